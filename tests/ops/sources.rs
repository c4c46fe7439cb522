//! What kernels compute or read without an upload for each step: indices along an axis, integers as numbers, and
//! tensors that never change.

use crate::harness::{NO_PASSES, device, execute, families, run_plan};
use crate::reference::random::uniform;
use std::sync::Arc;
use wgrad::gpu::{Executor, StepBlock, Store, block_on};
use wgrad::graph::{Graph, Value};
use wgrad::passes::Passes;
use wgrad::plan::{BufferClass, Plan};
use wgrad::tensor::{DType, SharedTensor, Tensor};
use wgrad::{Error, Result};

/// 1 if the row is the column or after it.
fn causal(g: &mut Graph, n: usize) -> Result<Value> {
    let (row, column) = (g.iota([n, n], 0)?, g.iota([n, n], 1)?);
    g.greater_equal(row, column)
}

fn is_causal(at: usize, n: usize) -> bool {
    at / n % n >= at % n
}

fn dispatches(graph: &Graph) -> usize {
    Plan::compile(graph, &Passes::default(), device().caps()).expect("a plan").dispatches.len()
}

/// A mask takes no buffer and no dispatch of its own: it is computed where it is read, under more leading axes too.
#[test]
fn a_mask_is_computed_where_it_is_read() -> Result<()> {
    for n in [5, 8] {
        let shape = [3, 2, n, n];
        let len: usize = shape.iter().product();
        let mut g = Graph::new();
        let x = g.input("x", shape, DType::F32);
        let mask = causal(&mut g, n)?;
        let low = g.constant(-1e9);
        let masked = g.select(mask, x, low)?;
        g.output("masked", masked);
        assert_eq!(dispatches(&g), 1);
        let values = uniform(7, len, -1.0, 1.0);
        let want: Vec<f32> =
            (0..len).map(|i| if is_causal(i, n) { values[i] } else { -1e9 }).collect();
        for caps in families() {
            for passes in [Passes::default(), NO_PASSES] {
                let feed = [("x", Tensor::f32(shape, values.clone())?)];
                assert_eq!(execute(&g, &passes, &caps, &feed, &[&[]]).f32("masked"), want);
            }
        }
    }
    Ok(())
}

/// In the epilogue of a product too.
#[test]
fn a_mask_is_computed_in_an_epilogue() -> Result<()> {
    for n in [5, 8, 40] {
        let mut g = Graph::new();
        let (a, b) = (g.input("a", [n, 1], DType::F32), g.input("b", [1, n], DType::F32));
        let product = g.matmul(a, b)?;
        let mask = causal(&mut g, n)?;
        let masked = g.mul(product, mask)?;
        g.output("masked", masked);
        assert_eq!(dispatches(&g), 1);
        let want: Vec<f32> =
            (0..n * n).map(|i| if is_causal(i, n) { (i / n + 1) as f32 } else { 0.0 }).collect();
        let a = Tensor::f32([n, 1], (1..=n).map(|i| i as f32).collect::<Vec<_>>())?;
        let feeds = [("a", a), ("b", Tensor::f32([1, n], vec![1.0; n])?)];
        for caps in families() {
            assert_eq!(execute(&g, &Passes::default(), &caps, &feeds, &[&[]]).f32("masked"), want);
        }
    }
    Ok(())
}

/// Under other trailing axes a source is stored once and read as a tensor.
#[test]
fn an_index_is_broadcast() -> Result<()> {
    let mut g = Graph::new();
    let x = g.input("x", [4, 6], DType::F32);
    let row = g.iota([4, 1], 0)?;
    let sum = g.add(x, row)?;
    g.output("sum", sum);
    let feed = [("x", Tensor::f32([4, 6], vec![0.5; 24])?)];
    let want: Vec<f32> = (0..24).map(|i| 0.5 + (i / 6) as f32).collect();
    for passes in [Passes::default(), NO_PASSES] {
        assert_eq!(execute(&g, &passes, &families()[0], &feed, &[&[]]).f32("sum"), want);
    }
    Ok(())
}

#[test]
fn what_an_index_and_integers_cannot_be() {
    let mut g = Graph::new();
    let says = |error: Error, words: &str| {
        assert!(error.to_string().contains(words), "{error}");
    };
    says(g.iota([3, 4], 2).unwrap_err(), "there is no axis 2");
    says(g.iota([(1 << 24) + 1], 0).unwrap_err(), "2^24");
    assert!(g.iota([2, 1 << 24], 0).is_ok());
    let (ids, x) = (g.input("ids", [3], DType::U32), g.input("x", [3], DType::F32));
    says(g.unary("relu", ids, &[]).unwrap_err(), "to_f32");
    says(g.add(x, ids).unwrap_err(), "to_f32");
    says(g.to_f32(x).unwrap_err(), "operands are u32");
    says(g.unary("to_f32", ids, &[]).unwrap_err(), "call Graph::to_f32");
    says(g.unary("iota", ids, &[]).unwrap_err(), "call Graph::iota");
    let seed = g.constant_u32(1);
    says(g.random_uniform([3], ids, seed, 0).unwrap_err(), "step parameters or constants");
    let bytes = Tensor::u8([3], vec![1, 2, 3]).expect("a tensor");
    let bytes = g.constant_tensor(bytes).expect("a constant of bytes");
    says(g.add(x, bytes).unwrap_err(), "u8");
    let empty = Tensor::f32([0], vec![]).expect("a tensor");
    says(g.constant_tensor(empty).unwrap_err(), "an extent is zero");
}

/// Ids as a mask, as for sequences that are filled up with zeros: one kernel, and exact for any id.
#[test]
fn ids_make_a_mask() -> Result<()> {
    let ids = [0, 1, u32::MAX, 0, 1 << 24, (1 << 24) + 1, 7, 0, 2];
    // Of the shape of what is masked, and broadcast to it: then the mask is stored once.
    for (n, rows, kernels) in [(9, 1, 1), (8, 1, 1), (9, 3, 2), (8, 3, 2)] {
        let shape = if rows == 1 { vec![n] } else { vec![rows, n] };
        let mut g = Graph::new();
        let input = g.input("ids", [n], DType::U32);
        let x = g.input("x", shape.as_slice(), DType::F32);
        let zero = g.constant(0.0);
        let numbers = g.to_f32(input)?;
        let mask = g.not_equal(numbers, zero)?;
        let masked = g.mul(x, mask)?;
        g.output("masked", masked);
        assert_eq!(dispatches(&g), kernels);
        let feeds = [
            ("ids", Tensor::u32([n], &ids[..n])?),
            ("x", Tensor::f32(shape, vec![2.0; rows * n])?),
        ];
        let want: Vec<f32> =
            (0..rows * n).map(|i| if ids[i % n] == 0 { 0.0 } else { 2.0 }).collect();
        for caps in families() {
            for passes in [Passes::default(), NO_PASSES] {
                assert_eq!(execute(&g, &passes, &caps, &feeds, &[&[]]).f32("masked"), want);
            }
        }
    }
    Ok(())
}

/// A mask of ids after a product: the product is stored first, since an epilogue reads no integers.
#[test]
fn ids_after_a_product() -> Result<()> {
    let mut g = Graph::new();
    let (a, b) = (g.input("a", [3, 1], DType::F32), g.input("b", [1, 4], DType::F32));
    let ids = g.input("ids", [3, 4], DType::U32);
    let product = g.matmul(a, b)?;
    let numbers = g.to_f32(ids)?;
    let sum = g.add(product, numbers)?;
    g.output("sum", sum);
    let feeds = [
        ("a", Tensor::f32([3, 1], vec![2.0; 3])?),
        ("b", Tensor::f32([1, 4], vec![3.0; 4])?),
        ("ids", Tensor::u32([3, 4], (0..12).collect::<Vec<_>>())?),
    ];
    let want: Vec<f32> = (0..12).map(|i| 6.0 + i as f32).collect();
    for caps in families() {
        assert_eq!(execute(&g, &Passes::default(), &caps, &feeds, &[&[]]).f32("sum"), want);
    }
    Ok(())
}

/// A step word as a number.
#[test]
fn a_step_word_as_a_number() -> Result<()> {
    let mut g = Graph::new();
    let x = g.input("x", [3], DType::F32);
    let step = g.step_param("step", DType::U32)?;
    let step = g.to_f32(step)?;
    let sum = g.add(x, step)?;
    g.output("sum", sum);
    let feeds = [("x", Tensor::f32([3], [0.5, 1.5, 2.5])?)];
    let ran = execute(&g, &Passes::default(), &families()[0], &feeds, &[&[("step", 70_000)]]);
    assert_eq!(ran.f32("sum"), [70_000.5, 70_001.5, 70_002.5]);
    Ok(())
}

/// The place of the largest element serves as an id, and no gradient goes through it.
#[test]
fn a_place_is_an_id() -> Result<()> {
    let mut g = Graph::new();
    let x = g.input("x", [4, 3], DType::F32);
    let table = g.input("table", [3, 2], DType::F32);
    let place = g.argmax(x)?;
    let rows = g.gather(table, place)?;
    let loss = g.sum(rows, &[], false)?;
    let grads = wgrad::autodiff::gradients(&mut g, loss, &[x, table])?;
    g.output("rows", rows);
    g.output("place", place);
    g.output("dx", grads[0]);
    g.output("dtable", grads[1]);
    let x = [0.0, 2.0, 1.0, 5.0, 5.0, 1.0, -3.0, -2.0, -1.0, 1.0, f32::NAN, f32::INFINITY];
    let feeds = [
        ("x", Tensor::f32([4, 3], x)?),
        ("table", Tensor::f32([3, 2], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?),
    ];
    for caps in families() {
        let ran = execute(&g, &Passes::default(), &caps, &feeds, &[&[]]);
        assert_eq!(ran.outputs["place"].as_u32()?, [1, 0, 2, 1]);
        assert_eq!(ran.f32("rows"), [3.0, 4.0, 1.0, 2.0, 5.0, 6.0, 3.0, 4.0]);
        assert_eq!(ran.f32("dx"), [0.0; 12]);
        assert_eq!(ran.f32("dtable"), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0]);
    }
    Ok(())
}

fn table(seed: u32) -> Tensor {
    Tensor::f32([5, 3], uniform(seed, 15, -1.0, 1.0)).expect("a tensor")
}

/// x times a constant, plus the same constant from another layer.
fn weighted(seeds: [u32; 2], rows: usize) -> Result<Graph> {
    let mut g = Graph::new();
    let x = g.input("x", [rows, 5, 3], DType::F32);
    let first = g.in_layer("first", |g| g.constant_tensor(table(seeds[0])))?;
    let second = g.in_layer("second", |g| g.constant_tensor(table(seeds[1])))?;
    let product = g.mul(x, first)?;
    let sum = g.add(product, second)?;
    g.output("sum", sum);
    Ok(g)
}

#[test]
fn equal_constants_are_one_buffer() -> Result<()> {
    for (seeds, count) in [([1, 1], 1), ([1, 2], 2)] {
        let graph = weighted(seeds, 2)?;
        for passes in [Passes::default(), NO_PASSES] {
            let plan = Plan::compile(&graph, &passes, device().caps())?;
            let constants: Vec<_> =
                plan.buffers.iter().filter(|b| b.class == BufferClass::Constant).collect();
            assert_eq!(constants.len(), count);
            // They are in the memory and in the printed plan.
            assert_eq!(plan.bytes_of(BufferClass::Constant), 256 * count as u64);
            assert!(plan.to_string().contains(&constants[0].name), "{plan}");
            let x = uniform(3, 30, -1.0, 1.0);
            let [a, b] = seeds.map(|s| table(s).as_f32().expect("f32").to_vec());
            let ran = run_plan(&plan, &[("x", Tensor::f32([2, 5, 3], x.clone())?)], &[&[]]);
            let got = ran.expect("a run").f32("sum");
            for i in 0..30 {
                let want = f64::from(x[i]) * f64::from(a[i % 15]) + f64::from(b[i % 15]);
                assert!((f64::from(got[i]) - want).abs() < 3e-7, "{i}: {} of {want}", got[i]);
            }
        }
    }
    Ok(())
}

/// Two plans of a store have one buffer for equal constants, and each gives the right sums.
#[test]
fn plans_share_a_constant() -> Result<()> {
    let mut store = Store::new(device());
    store.upload("x", &Tensor::f32([4, 5, 3], vec![0.0; 60])?)?;
    let mut sums = Vec::new();
    for (rows, seed, held) in [(2, 1, 1), (4, 1, 1), (4, 2, 2)] {
        let plan =
            Plan::compile(&weighted([seed, seed], rows)?, &Passes::default(), device().caps())?;
        let mut executor = Executor::new(device(), Arc::new(plan), &store)?;
        assert_eq!(store.constants().len(), held, "{rows} rows");
        executor.run(&[StepBlock::default()])?;
        sums.push(block_on(executor.read("sum"))?.as_f32()?[..15].to_vec());
    }
    assert_eq!(sums[0], table(1).as_f32()?);
    assert_eq!(sums[1], table(1).as_f32()?);
    assert_eq!(sums[2], table(2).as_f32()?);
    let bytes: u64 = store.constants().iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(bytes, 2 * 256);
    Ok(())
}

/// As an output, as ids of a gather, and as what a state becomes.
#[test]
fn a_constant_is_read_like_any_tensor() -> Result<()> {
    let ids = SharedTensor::from(Tensor::u32([3], vec![2, 0, 1])?);
    let mut g = Graph::new();
    let (x, state) = (g.input("x", [3, 2], DType::F32), g.state("s", [5, 3], DType::F32));
    let ids = g.constant_tensor(&ids)?;
    let rows = g.gather(x, ids)?;
    let constant = g.constant_tensor(table(4))?;
    g.update(state, constant)?;
    g.output("rows", rows);
    g.output("constant", constant);
    let feeds = [("x", Tensor::f32([3, 2], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?)];
    for passes in [Passes::default(), NO_PASSES] {
        let ran = execute(&g, &passes, &families()[0], &feeds, &[&[]]);
        assert_eq!(ran.f32("rows"), [5.0, 6.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(ran.f32("constant"), table(4).as_f32()?);
        assert_eq!(ran.states["s"][..15], *table(4).as_f32()?);
    }
    Ok(())
}

/// A kernel that writes a constant is refused: other plans read it.
#[test]
fn nothing_writes_a_constant() -> Result<()> {
    let caps = device().caps();
    let mut plan = Plan::compile(&weighted([1, 1], 2)?, &Passes::default(), caps)?;
    assert!(plan.verify(caps).is_ok());
    // SAFETY: the plan is not run.
    let data = unsafe { plan.data_mut() };
    let constant = data.buffers.iter().position(|b| b.class == BufferClass::Constant);
    let bindings = &mut data.dispatches[0].bindings;
    let bound = bindings.iter_mut().find(|b| Some(b.0.buffer) == constant).expect("a binding");
    bound.1 = wgrad::kernels::Access::ReadWrite;
    assert!(plan.verify(caps).unwrap_err().to_string().contains("may only read"));
    Ok(())
}
