//! Recurrences in one kernel and in loops: results and gradients of odd sizes against f64 and against each other.

use crate::harness::{Ran, browser, execute, families, fewer_lanes, wide};
use crate::reference::compare::compare;
use crate::reference::random::uniform;
use crate::reference::recurrent::{Kind, over_time};
use wgrad::autodiff::gradients;
use wgrad::graph::{Graph, Value};
use wgrad::kernels::{DeviceCaps, MatmulFamily};
use wgrad::ops::{OverTime, RecurrentCell};
use wgrad::passes::Passes;
use wgrad::plan::{BufferClass, Plan};
use wgrad::tensor::{DType, Tensor};

const KINDS: [Kind; 3] = [Kind::Simple, Kind::Lstm, Kind::Gru];

/// A recurrence, the operands that it is fed and the gradients that come from outside.
struct Scene {
    kind: Kind,
    sizes: [usize; 3],
    reverse: bool,
    masked: bool,
    /// Whether only the last h has a gradient.
    last: bool,
}

impl Scene {
    fn states(&self) -> usize {
        if self.kind == Kind::Lstm { 2 } else { 1 }
    }

    fn parts(&self) -> [usize; 2] {
        match self.kind {
            Kind::Simple => [1, 1],
            Kind::Lstm => [4, 4],
            Kind::Gru => [4, 3],
        }
    }

    /// Products, kernel, states and mask.
    fn operands(&self) -> Vec<(String, Tensor)> {
        let ([times, rows, units], [parts, terms]) = (self.sizes, self.parts());
        let weight = 1.5 / (units as f32).sqrt();
        let draw = |seed, shape: &[usize], size: f32| {
            Tensor::f32(shape, uniform(seed, shape.iter().product(), -size, size)).unwrap()
        };
        let mut all = vec![
            ("products".to_owned(), draw(1, &[times, rows, parts * units], 2.0)),
            ("kernel".to_owned(), draw(2, &[units, terms * units], weight)),
        ];
        all.extend(
            (0..self.states())
                .map(|s| (format!("state{s}"), draw(3 + s as u32, &[rows, units], 1.0))),
        );
        if self.masked {
            let mut mask = uniform(9, times * rows, -1.0, 1.0);
            // No step of the last row counts.
            mask.iter_mut().skip(rows - 1).step_by(rows).for_each(|m| *m = 0.0);
            all.push(("mask".into(), Tensor::f32([times, rows], mask).unwrap()));
        }
        all
    }

    /// The gradient of each state at all times.
    fn upstream(&self) -> Vec<Vec<f32>> {
        let [times, rows, units] = self.sizes;
        let row = rows * units;
        let end = if self.reverse { 0 } else { times * row };
        let of = |s: usize| -> Vec<f32> {
            let mut d = uniform(20 + s as u32, (times + 1) * row, -1.0, 1.0);
            if self.last {
                let kept = d[end..end + row].to_vec();
                d.fill(0.0);
                if s == 0 {
                    d[end..end + row].copy_from_slice(&kept);
                }
            }
            d
        };
        (0..self.states()).map(of).collect()
    }

    /// The operands, and the states at all times.
    fn states_in(&self, g: &mut Graph) -> [Vec<Value>; 2] {
        let operands = self.operands();
        let values: Vec<_> = operands
            .iter()
            .map(|(name, tensor)| g.input(name, tensor.shape().clone(), DType::F32))
            .collect();
        let (gate, function) = (("sigmoid", [].as_slice()), ("tanh", [].as_slice()));
        let cell = match self.kind {
            Kind::Simple => RecurrentCell::Simple { function },
            Kind::Lstm => RecurrentCell::Lstm { gate, function },
            Kind::Gru => RecurrentCell::Gru { gate, function },
        };
        let (states, mask) = values[2..].split_at(self.states());
        let over = OverTime {
            products: values[0],
            kernel: values[1],
            states,
            mask: mask.first().copied(),
            reverse: self.reverse,
        };
        let results = g.recurrence(cell, &over).unwrap();
        [values, results]
    }

    /// Outputs `out0..` and the gradients `grad0..` of all operands but the mask.
    fn graph(&self) -> Graph {
        let mut g = Graph::new();
        let [values, results] = self.states_in(&mut g);
        let mut loss = g.constant(0.0);
        for (s, &result) in results.iter().enumerate() {
            g.output(&format!("out{s}"), result);
            if self.last && s > 0 {
                continue;
            }
            let up = g.input(&format!("up{s}"), g.shape(result).clone(), DType::F32);
            let product = g.mul(result, up).unwrap();
            let sum = g.sum(product, &[], false).unwrap();
            loss = g.add(loss, sum).unwrap();
        }
        let wrt = &values[..2 + self.states()];
        for (i, d) in gradients(&mut g, loss, wrt).unwrap().into_iter().enumerate() {
            g.output(&format!("grad{i}"), d);
        }
        g
    }

    fn run(&self, passes: &Passes, caps: &DeviceCaps) -> Ran {
        let mut fed = self.operands();
        let [times, rows, units] = self.sizes;
        for (s, up) in
            self.upstream().into_iter().enumerate().filter(|(s, _)| !self.last || *s == 0)
        {
            fed.push((format!("up{s}"), Tensor::f32([times + 1, rows, units], up).unwrap()));
        }
        let feeds: Vec<(&str, Tensor)> = fed.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
        execute(&self.graph(), passes, caps, &feeds, &[&[]])
    }

    /// The states in f64, for these operands.
    fn oracle(&self, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (initial, mask) = x[2..].split_at(self.states());
        over_time(self.kind, [&x[0], &x[1]], initial, mask.first(), self.sizes, self.reverse)
    }

    /// Results, and gradients along random directions, against f64.
    fn check(&self, ran: &Ran, what: &str) {
        let [times, _, units] = self.sizes;
        let x: Vec<Vec<f64>> = self.operands().iter().map(|(_, t)| wide(t)).collect();
        let want = self.oracle(&x);
        let error = 2e-6 * (times as f64).sqrt() * (units as f64).sqrt();
        for (s, want) in want.iter().enumerate() {
            let name = format!("{:?} {:?} state {s}, {what}", self.kind, self.sizes);
            compare(&name, &ran.f32(&format!("out{s}")), want, 1e-5, error).unwrap();
        }
        let up = self.upstream();
        let loss = |x: &[Vec<f64>]| -> f64 {
            let states = self.oracle(x);
            let of = |(h, d): (&Vec<f64>, &Vec<f32>)| -> f64 {
                h.iter().zip(d).map(|(h, d)| h * f64::from(*d)).sum()
            };
            states.iter().zip(&up).map(of).sum()
        };
        for i in 0..2 + self.states() {
            let got = ran.f32(&format!("grad{i}"));
            // Over many steps the gradient of the initial states fades.
            assert!(i > 1 && times > 99 || got.iter().any(|d| *d != 0.0), "gradient {i} is zero");
            for seed in [31, 32] {
                let v = uniform(seed, got.len(), -1.0, 1.0);
                let moved = |step: f64| {
                    let mut x = x.clone();
                    x[i].iter_mut().zip(&v).for_each(|(x, v)| *x += step * f64::from(*v));
                    loss(&x)
                };
                let step = 1e-5;
                let want = (moved(step) - moved(-step)) / (2.0 * step);
                let terms = || got.iter().zip(&v).map(|(d, v)| f64::from(*d) * f64::from(*v));
                let (along, size) =
                    (terms().sum::<f64>(), terms().map(|t| t * t).sum::<f64>().sqrt());
                assert!(
                    (along - want).abs() <= 3e-5 * (size + want.abs()) + 1e-6,
                    "{:?} {:?} gradient {i}, {what}: {along}, not {want} (size {size})",
                    self.kind,
                    self.sizes
                );
            }
        }
    }
}

/// A GPU whose kernels bind seven buffers: with masks, the gates are in the kernel that adds chunks.
fn few_bindings() -> DeviceCaps {
    let [_, in_loop] = families();
    DeviceCaps { max_storage_buffers: 7, ..in_loop }
}

/// Those of this adapter, of a browser and of fewer lanes, which are one kernel, and a loop.
fn ways() -> Vec<(&'static str, DeviceCaps)> {
    let [own, in_loop] = families();
    let few = few_bindings();
    let mut ways =
        vec![("own", own), ("browser", browser()), ("loop", in_loop), ("few bindings", few)];
    ways.extend(fewer_lanes().into_iter().map(|caps| ("fewer lanes", caps)));
    ways
}

/// One kernel on any adapter, and that of this adapter if it has one: a GPU goes through time in a loop.
fn in_one_kernel() -> Vec<(&'static str, DeviceCaps)> {
    let [own, _] = families();
    let own = Some(("own", own)).filter(|(_, caps)| caps.matmul != MatmulFamily::Tiled);
    own.into_iter().chain([("browser", browser())]).collect()
}

/// How many lanes share the units, and whether they hand values around, does not change a sum.
#[test]
fn lanes_do_not_change_the_bits() {
    let direct = |lanes| DeviceCaps { subgroup: Some((lanes, lanes)), ..browser() };
    let forms = [fewer_lanes(), vec![direct(4), direct(8), direct(16), browser()]].concat();
    for (kind, sizes) in KINDS.into_iter().zip([[5, 9, 61], [4, 33, 36], [3, 17, 64]]) {
        let scene = Scene { kind, sizes, reverse: false, masked: true, last: false };
        let outputs = |caps: &DeviceCaps| {
            assert_eq!(launches(&scene, caps, "recurrent/forward"), 1);
            let ran = scene.run(&Passes::default(), caps);
            (0..scene.states()).map(|s| ran.f32(&format!("out{s}"))).collect::<Vec<_>>()
        };
        let first = outputs(&forms[0]);
        assert!(first[0].iter().any(|v| *v != 0.0));
        for caps in &forms[1..] {
            assert!(outputs(caps) == first, "{kind:?}: {:?}, {:?}", caps.subgroup, caps.matmul);
        }
    }
}

fn launches(scene: &Scene, caps: &DeviceCaps, path: &str) -> usize {
    let plan = Plan::compile(&scene.graph(), &Passes::default(), caps).unwrap();
    plan.dispatches.iter().filter(|d| d.call.name() == path).count()
}

/// What one kernel binds does not grow with masks, gradients from outside and the order of time.
#[test]
fn a_step_of_a_loop_is_one_launch_and_its_gradient_at_most_two() {
    let [own, gpu] = families();
    for kind in KINDS {
        for options in 0..8 {
            let [masked, reverse, last] = [1, 2, 4].map(|bit| options & bit != 0);
            let steps = |rows: usize, units: usize, caps: &DeviceCaps| {
                let scene = Scene { kind, sizes: [5, rows, units], reverse, masked, last };
                let plan = Plan::compile(&scene.graph(), &Passes::default(), caps).unwrap();
                let counts: Vec<usize> = plan.repeats.iter().map(|r| r.body.len()).collect();
                let words = format!("{kind:?} {units} {options}\n{plan}");
                assert_eq!(counts.len(), 2, "{words}");
                (counts, words)
            };
            for (rows, units) in [(64, 64), (33, 65), (1, 7)] {
                let (counts, words) = steps(rows, units, &gpu);
                assert_eq!(counts, [1, 1], "{words}");
            }
            // The sum of all parts is divided.
            if options % 7 == 0 {
                let (counts, words) = steps(64, 512, &gpu);
                assert_eq!(counts, [1, if kind == Kind::Simple { 1 } else { 2 }], "{words}");
            }
            let (counts, words) = steps(33, 65, &few_bindings());
            assert!(counts[0] == 1 + usize::from(masked) && counts[1] >= counts[0], "{words}");
            assert!(!masked || counts[1] == 2 && words.contains("matmul/combine"), "{words}");
            let (counts, words) = steps(64, 72, &own);
            assert!(counts[0] <= 2 && counts[1] <= 2, "{words}");
        }
    }
}

/// The kernel that adds the chunks of the product has the gates' gradient.
#[test]
fn a_divided_sum_agrees_with_f64() {
    let [_, gpu] = families();
    let scene =
        Scene { kind: Kind::Lstm, sizes: [2, 3, 256], reverse: false, masked: true, last: false };
    let plan = Plan::compile(&scene.graph(), &Passes::default(), &gpu).unwrap();
    let back = &plan.dispatches[plan.repeats[1].body.clone()];
    let names: Vec<&str> = back.iter().map(|d| d.call.name()).collect();
    assert_eq!(names, ["matmul/tiled", "matmul/combine"], "{plan}");
    let first = scene.run(&Passes::default(), &gpu);
    scene.check(&first, "divided");
    assert!((0..9).all(|_| scene.run(&Passes::default(), &gpu) == first));
}

/// A model that only predicts keeps no states of earlier steps.
#[test]
fn the_last_state_alone_needs_no_memory_for_the_others() {
    let memory = |kind: Kind, times: usize, reverse: bool, last: bool| {
        // Rows of whole multiples of 64, so that no sequence is padded.
        let scene = Scene { kind, sizes: [times, 4, 80], reverse, masked: false, last: true };
        let mut g = Graph::new();
        let [_, states] = scene.states_in(&mut g);
        for (s, &state) in states.iter().enumerate() {
            let at = if reverse { 0 } else { times };
            let shown = if last { g.slice(state, 0, at..at + 1).unwrap() } else { state };
            g.output(&format!("out{s}"), shown);
        }
        let [own, gpu] = families();
        let bytes = |caps: &DeviceCaps| -> u64 {
            let plan = Plan::compile(&g, &Passes::default(), caps).unwrap();
            let own = plan.memory().into_iter().filter(|(class, _)| *class != BufferClass::Input);
            own.map(|(_, bytes)| bytes).sum()
        };
        [bytes(&own), bytes(&gpu)]
    };
    for kind in KINDS {
        for reverse in [false, true] {
            let [few, many] = [4, 400].map(|times| memory(kind, times, reverse, true));
            assert_eq!(few, many, "{kind:?} {reverse}");
            let [few, many] = [4, 400].map(|times| memory(kind, times, reverse, false));
            assert!(few[0] < many[0] && few[1] < many[1], "{kind:?} {reverse}");
        }
    }
}

#[test]
fn results_and_gradients_are_those_of_f64() {
    let sizes = [
        [1, 1, 1],
        [2, 3, 5],
        [2, 65, 33],
        [3, 33, 36],
        [200, 1, 5],
        [200, 3, 1],
        [2, 3, 128],
        [2, 33, 65],
        [3, 1, 7],
        [2, 1, 130],
    ];
    for (n, sizes) in sizes.into_iter().enumerate() {
        for (k, kind) in KINDS.into_iter().enumerate() {
            let (reverse, masked, last) =
                ((n + k) % 2 == 1, (n + k) % 3 == 1 && sizes[1] > 1, n % 2 == 0);
            let scene = Scene { kind, sizes, reverse, masked, last };
            for (what, caps) in ways() {
                scene.check(&scene.run(&Passes::default(), &caps), what);
            }
        }
    }
}

#[test]
fn the_same_bits_come_ten_times_and_in_several_launches() {
    for kind in KINDS {
        let scene = Scene { kind, sizes: [7, 9, 36], reverse: false, masked: true, last: false };
        for (what, caps) in ways() {
            let first = scene.run(&Passes::default(), &caps);
            let again = || scene.run(&Passes::default(), &caps) == first;
            assert!((0..9).all(|_| again()), "{kind:?} {what}");
        }
        for (what, caps) in in_one_kernel() {
            let first = scene.run(&Passes::default(), &caps);
            // So few iterations an invocation that hardly a step fits: steps are divided among launches, and nothing
            // else changes.
            let of = |trips| DeviceCaps { max_loop_trips: trips, ..caps.clone() };
            let fits = |few: &DeviceCaps| launches(&scene, few, "recurrent/forward") > 0;
            let few = (40..400).step_by(20).map(of).find(fits).expect("a step fits");
            for path in ["recurrent/forward", "recurrent/backward"] {
                assert_eq!(launches(&scene, &caps, path), 1, "{kind:?} {what}");
                assert!(launches(&scene, &few, path) > 1, "{kind:?} {what}");
            }
            let divided = scene.run(&Passes::default(), &few);
            assert_eq!(divided.outputs, first.outputs, "{kind:?} {what}");
            // Not one step fits: a loop.
            assert!(!fits(&of(30)), "{kind:?} {what}");
        }
    }
}

#[test]
fn workgroups_past_the_limit_of_a_dimension() {
    let scene =
        Scene { kind: Kind::Gru, sizes: [2, 65, 5], reverse: true, masked: false, last: false };
    for (what, caps) in in_one_kernel() {
        // Five workgroups in rows of two: the sixth has no row.
        let folded = DeviceCaps { max_workgroups: 3, ..caps.clone() };
        let [want, got] = [caps, folded].map(|caps| scene.run(&Passes::default(), &caps));
        assert_eq!(got.outputs, want.outputs, "{what}");
    }
}

#[test]
fn a_row_without_steps_keeps_its_states() {
    for kind in KINDS {
        for reverse in [false, true] {
            let sizes = [4, 9, 6];
            let scene = Scene { kind, sizes, reverse, masked: true, last: false };
            for (what, caps) in ways() {
                let ran = scene.run(&Passes::default(), &caps);
                let [times, rows, units] = sizes;
                for (s, up) in scene.upstream().iter().enumerate() {
                    let initial = scene.operands()[2 + s].1.as_f32().unwrap().to_vec();
                    let (all, d) =
                        (ran.f32(&format!("out{s}")), ran.f32(&format!("grad{}", 2 + s)));
                    for unit in 0..units {
                        let at = (rows - 1) * units + unit;
                        let places = || (0..=times).map(|t| t * rows * units + at);
                        assert!(places().all(|i| all[i] == initial[at]), "{kind:?} {what}");
                        let want: f32 = places().map(|i| up[i]).sum();
                        assert!((d[at] - want).abs() < 1e-5, "{kind:?} {what}: {} {want}", d[at]);
                    }
                }
            }
        }
    }
}

#[test]
fn a_wrong_gradient_is_noticed() {
    let scene =
        Scene { kind: Kind::Lstm, sizes: [2, 3, 5], reverse: false, masked: false, last: false };
    let mut ran = scene.run(&Passes::default(), &families()[0]);
    scene.check(&ran, "as it is");
    let Some(d) = ran.outputs.get_mut("grad1") else { panic!("a gradient of the kernel") };
    let mut wrong = d.as_f32().unwrap().to_vec();
    wrong[7] += 0.01;
    *d = Tensor::f32(d.shape().clone(), wrong).unwrap();
    let noticed = std::panic::catch_unwind(|| scene.check(&ran, "wrong"));
    assert!(noticed.is_err());
}

#[test]
fn wrong_operands_are_refused() {
    let mut g = Graph::new();
    let products = g.input("products", [3, 2, 20], DType::F32);
    let kernel = g.input("kernel", [5, 20], DType::F32);
    let [h, c] = ["h", "c"].map(|name| g.input(name, [2, 5], DType::F32));
    let narrow = g.input("narrow", [2, 4], DType::F32);
    let mask = g.input("mask", [2, 3], DType::F32);
    let (gate, function) = (("sigmoid", [].as_slice()), ("tanh", [].as_slice()));
    let lstm = RecurrentCell::Lstm { gate, function };
    let over = OverTime { products, kernel, states: &[h, c], mask: None, reverse: false };
    assert!(g.recurrence(lstm, &over).is_ok());
    let mut refused = |cell, over: OverTime<'_>, words: [&str; 2]| {
        let text = g.recurrence(cell, &over).unwrap_err().to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    refused(lstm, OverTime { states: &[h], ..over }, ["lstm", "2 state"]);
    refused(lstm, OverTime { states: &[h, narrow], ..over }, ["lstm", "[2, 4]"]);
    refused(lstm, OverTime { mask: Some(mask), ..over }, ["mask", "[2, 3]"]);
    refused(
        RecurrentCell::Gru { gate, function },
        OverTime { states: &[h], ..over },
        ["gru", "[5, 20]"],
    );
    let step = ("step", [].as_slice());
    refused(
        RecurrentCell::Simple { function: step },
        OverTime { states: &[h], ..over },
        ["step", "gradient"],
    );
}
