//! Bytes that are decoded where they are read: every width of a row, with guard words, against the gather that decodes.

use crate::harness::{execute, families};
use crate::readers;
use wgrad::graph::Graph;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

fn numbers(shape: [usize; 2]) -> Tensor {
    let len = shape[0] * shape[1];
    let values: Vec<f32> = (0..len).map(|i| ((i * 29) % 23) as f32 / 11.0 - 1.0).collect();
    Tensor::f32(shape, values).expect("as many elements")
}

#[test]
fn readers_of_bytes_give_the_bits_of_readers_of_numbers() {
    let off = Passes { bytes: false, ..Passes::default() };
    for width in [1, 2, 3, 4, 5, 7, 8, 12, 41, 64] {
        let table: Vec<u8> = (0..11 * width).map(|i| (i * 83 % 256) as u8).collect();
        let table = Tensor::u8([11, width], table).expect("as many elements");
        // The last row, one past the end, and a row twice.
        let order = Tensor::u32([7], vec![3, 10, 0, 3, 99, 1, 7]).expect("seven");
        for (name, reader) in readers::READERS {
            let g = readers::graph(reader, width).expect("a reader");
            let feeds = [
                ("table", table.clone()),
                ("order", order.clone()),
                ("w", numbers([width, 5])),
                ("v", numbers([7, 3])),
                ("kernel", numbers([3, width]).reshape([3, width, 1]).expect("as many")),
                ("kernels", numbers([3, 2 * width]).reshape([3, width, 2]).expect("as many")),
            ];
            for caps in families() {
                let run = |passes: &Passes| {
                    let y = execute(&g, passes, &caps, &feeds, &[&[]]).f32("y");
                    y.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                };
                let want = run(&off);
                assert_eq!(run(&Passes::default()), want, "{name}, {width} wide");
                assert!(want.iter().any(|&bits| bits != want[0]) || want.len() < 8, "{name}");
                let plan = |passes| Plan::compile(&g, passes, &caps).expect("a plan");
                let written = |plan: &Plan| plan.dispatches[0].bindings[2].0.bytes;
                let (kept, decoded) = (plan(&Passes::default()), plan(&off));
                assert_eq!(written(&kept), (7 * width).next_multiple_of(16) as u64, "{name}");
                assert_eq!(written(&decoded), (28 * width).next_multiple_of(16) as u64, "{name}");
                assert_eq!(kept.dispatches.len(), decoded.dispatches.len(), "{name}");
            }
        }
    }
}

/// A result of the graph, and what has no loads for bytes, get numbers.
#[test]
fn other_readers_get_numbers() {
    let mut g = Graph::new();
    let t = g.input("table", [11, 6], DType::U8);
    let indices = g.input("order", [7], DType::U32);
    let x = g.gather(t, indices).expect("rows");
    let y = g.softmax(x).expect("a softmax");
    let twice = g.add(x, x).expect("a sum");
    g.output("y", y);
    g.output("twice", twice);
    let caps = &families()[0];
    let plan = Plan::compile(&g, &Passes::default(), caps).expect("a plan");
    assert_eq!(plan.dispatches[0].bindings[2].0.bytes, (4 * 7 * 6u64).next_multiple_of(16));
}
