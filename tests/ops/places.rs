//! One value in several places: twice in a pack, in packs and rows of a state, in states and outputs. Random graphs of
//! whole numbers, so that every result is exact.

use crate::harness::{execute, families};
use crate::reference::random::threefry2x32;
use std::collections::HashMap;
use wgrad::Error;
use wgrad::graph::{Graph, Value};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

/// Elements of every vector: whole vec4s, and not.
const LENGTHS: [usize; 4] = [1, 5, 8, 64];

/// A graph, what it is fed, and what outputs and states must hold after a step.
struct Scene {
    graph: Graph,
    feeds: Vec<(String, Tensor)>,
    outputs: HashMap<String, Vec<f32>>,
    states: HashMap<String, Vec<f32>>,
}

/// `parts` side by side, each from a multiple of 64, in `room` of 64.
fn side_by_side(parts: &[Vec<f32>], room: usize) -> Vec<f32> {
    let mut all = vec![0.0; 64 * room];
    for (i, part) in parts.iter().enumerate() {
        all[64 * i..][..part.len()].copy_from_slice(part);
    }
    all
}

fn scene(seed: u32) -> wgrad::Result<Scene> {
    let mut drawn = 0;
    let mut below = |n: usize| {
        drawn += 1;
        threefry2x32([seed, 0x91ace], [drawn, 0], 20)[0] as usize % n
    };
    let len = LENGTHS[below(4)];
    let mut g = Graph::new();
    let mut feeds = Vec::new();
    let mut states = HashMap::new();
    let mut pool: Vec<(Value, Vec<f32>)> = Vec::new();
    for (i, name) in ["x", "y", "s0", "s1"].into_iter().enumerate() {
        let words: Vec<f32> = (0..len).map(|j| (3 * i + j % 7 + 1) as f32).collect();
        let leaf =
            if i < 2 { g.input(name, [len], DType::F32) } else { g.state(name, [len], DType::F32) };
        feeds.push((name.to_owned(), Tensor::f32([len], words.clone())?));
        pool.push((leaf, words.clone()));
        if i >= 2 {
            states.insert(name.to_owned(), words);
        }
    }
    let two = g.constant(2.0);
    pool.push((g.broadcast_to(two, [len])?, vec![2.0; len]));
    for _ in 0..2 + below(5) {
        let (a, b) = (below(pool.len()), below(pool.len()));
        let ((va, wa), (vb, wb)) = (pool[a].clone(), pool[b].clone());
        let zip = |f: fn(f32, f32) -> f32| wa.iter().zip(&wb).map(|(a, b)| f(*a, *b)).collect();
        let next = match below(5) {
            0 | 1 => (g.add(va, vb)?, zip(|a, b| a + b)),
            2 => (g.sub(va, vb)?, zip(|a, b| a - b)),
            // The same elements by another way, which no pass may treat as a separate place.
            3 => {
                let column = g.reshape(va, [len, 1])?;
                (g.reshape(column, [len])?, wa.clone())
            }
            _ => {
                let sum = g.sum(va, &[], true)?;
                (g.broadcast_to(sum, [len])?, vec![wa.iter().sum(); len])
            }
        };
        pool.push(next);
    }
    let mut outputs = HashMap::new();
    for p in 0..1 + below(2) {
        let parts: Vec<(Value, Vec<f32>)> =
            (0..1 + below(4)).map(|_| pool[below(pool.len())].clone()).collect();
        let (values, words): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let offsets: Vec<usize> = (0..values.len()).map(|i| 64 * i).collect();
        let pack = g.pack(64 * values.len(), &offsets, &values)?;
        let packed = side_by_side(&words, values.len());
        // A tensor of the pack is one more value, and may be packed again.
        let part = below(values.len());
        pool.push((g.view(pack, 64 * part, [len])?, words[part].clone()));
        let state = g.state(&format!("p{p}"), [packed.len()], DType::F32);
        match below(3) {
            0 => g.output(&format!("pack{p}"), pack),
            1 => g.update(state, pack)?,
            _ => {
                let doubled = g.add(pack, pack)?;
                g.output(&format!("pack{p}"), doubled);
                outputs.insert(format!("pack{p}"), packed.iter().map(|v| v + v).collect());
                continue;
            }
        }
        outputs.insert(format!("pack{p}"), packed.clone());
        states.insert(format!("p{p}"), packed);
    }
    outputs.retain(|name, _| g.outputs().iter().any(|(n, _)| n == name));
    states.retain(|name, _| {
        !name.starts_with('p') || g.updates().iter().any(|&(s, _)| g.node(s).op.attrs() == *name)
    });
    // Rows of a state: two slots, of which the second is written.
    let columns: Vec<(Value, Vec<f32>)> =
        (0..1 + below(3)).map(|_| pool[below(pool.len())].clone()).collect();
    let (values, words): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let offsets: Vec<usize> = (0..values.len()).map(|i| 64 * i).collect();
    let rows = g.state("rows", [2, 64 * values.len()], DType::F32);
    let row = g.step_param("record", DType::U32)?;
    let recorded = g.record(rows, row, &values, &offsets)?;
    g.update(rows, recorded)?;
    let row = side_by_side(&words, values.len());
    states.insert("rows".into(), [vec![0.0; row.len()], row].concat());
    // New states, perhaps one value for both, or each the other's.
    for name in ["s0", "s1"].into_iter().filter(|_| below(4) > 0).collect::<Vec<_>>() {
        let (v, w) = pool[below(pool.len())].clone();
        let state = g.state(name, [len], DType::F32);
        g.update(state, v)?;
        states.insert(name.to_owned(), w);
    }
    for o in 0..1 + below(3) {
        let (v, w) = pool[below(pool.len())].clone();
        g.output(&format!("out{o}"), v);
        outputs.insert(format!("out{o}"), w);
    }
    Ok(Scene { graph: g, feeds, outputs, states })
}

/// What differs from what must be there.
fn wrong(scene: &Scene, passes: &Passes) -> Vec<String> {
    let feeds: Vec<(&str, Tensor)> =
        scene.feeds.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let ran = execute(&scene.graph, passes, &families()[0], &feeds, &[&[("record", 1)]]);
    let outputs = scene.outputs.iter().filter(|(name, want)| ran.f32(name) != **want);
    let states = scene.states.iter().filter(|(name, want)| {
        ran.states.get(*name).is_some_and(|got| got[..want.len()] != want[..])
    });
    outputs.chain(states).map(|(name, _)| name.clone()).collect()
}

#[test]
fn one_value_may_be_in_several_places() {
    let settings = [("all passes", Passes::default()), ("no pass", Passes::none())];
    let alone: Vec<_> = Passes::each().into_iter().map(|(name, _, alone)| (name, alone)).collect();
    for seed in 0..150 {
        let scene = scene(seed).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        // Each pass alone takes its turn.
        for (name, passes) in settings.into_iter().chain([alone[seed as usize % alone.len()]]) {
            let run = std::panic::AssertUnwindSafe(|| wrong(&scene, &passes));
            let wrong = std::panic::catch_unwind(run);
            let wrong = wrong.unwrap_or_else(|_| vec!["a panic".into()]);
            assert!(wrong.is_empty(), "seed {seed}, {name}: {wrong:?}\n{}", scene.graph);
        }
    }
}

#[test]
fn a_wrong_word_in_any_place_is_found() -> wgrad::Result<()> {
    for seed in 0..10 {
        let whole = scene(seed)?;
        for name in whole.outputs.keys().chain(whole.states.keys()) {
            let mut scene = scene(seed)?;
            let words = scene.outputs.get_mut(name);
            let words = words.or_else(|| scene.states.get_mut(name)).expect("one of them");
            *words.last_mut().expect("a word") += 1.0;
            let found = wrong(&scene, &Passes::default());
            // A state that nothing in the plan touches is not read back.
            let used =
                whole.graph.updates().iter().any(|&(s, _)| whole.graph.node(s).op.attrs() == *name);
            assert!(!found.is_empty() || !used && whole.states.contains_key(name), "{name}");
        }
    }
    Ok(())
}

/// The rows of a state are written while the step runs: other uses of it are refused.
#[test]
fn a_recorded_state_is_read_by_nothing_else() -> wgrad::Result<()> {
    let start = || -> wgrad::Result<_> {
        let mut g = Graph::new();
        let rows = g.state("rows", [2, 64], DType::F32);
        let (x, row) = (g.input("x", [5], DType::F32), g.step_param("record", DType::U32)?);
        let y = g.neg(x)?;
        let recorded = g.record(rows, row, &[y], &[0])?;
        Ok((g, rows, recorded, y, row))
    };
    let (mut read, rows, recorded, ..) = start()?;
    read.update(rows, recorded)?;
    let sum = read.sum(rows, &[], false)?;
    read.output("sum", sum);
    let (mut shown, rows, recorded, ..) = start()?;
    shown.update(rows, recorded)?;
    shown.output("rows", rows);
    let (mut again, rows, recorded, y, row) = start()?;
    again.update(rows, recorded)?;
    let other = again.record(rows, row, &[y], &[0])?;
    again.output("other", other);
    let (mut replaced, rows, recorded, ..) = start()?;
    let zero = replaced.constant(0.0);
    let zeros = replaced.broadcast_to(zero, [2, 64])?;
    replaced.update(rows, zeros)?;
    replaced.output("recorded", recorded);
    for graph in [read, shown, again, replaced] {
        let error = Plan::compile(&graph, &Passes::none(), &families()[0]).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
        assert!(error.to_string().contains("record: shapes [2, 64]"), "{error}");
        assert!(error.to_string().contains("use another state"), "{error}");
    }
    Ok(())
}
