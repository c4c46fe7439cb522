//! Convolutions of 3 by 3 and their two gradients, each a plan by itself; and a network whose first convolution decodes
//! bytes in its loads, beside the same on numbers that were decoded before. Least of three rounds, in ms of a step on the
//! clock and, if the adapter is the processor, of all cores together, which other programs disturb less.

use anyhow::Result;
use wgrad::gpu::Device;
use wgrad::graph::{Graph, TensorType, Window};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::prelude::*;
use wgrad::train::Batch;
use wgrad_benches::{Runner, Times};

const ROUNDS: usize = 3;
const STEPS: u64 = 4;
const TAPS: usize = 3;

/// Samples, height and width, channels, filters, stride, and whether zeros are around the images.
const SHAPES: [([usize; 5], bool); 4] = [
    ([128, 13, 32, 64, 1], false),
    ([64, 32, 32, 32, 1], true),
    ([64, 16, 64, 64, 1], true),
    ([64, 16, 64, 64, 2], true),
];

/// The convolution, the gradient of its images and that of its kernel, and the operations of each.
fn plans(
    device: &Device,
    [samples, extent, channels, filters, stride]: [usize; 5],
    padded: bool,
) -> Result<([(&'static str, Plan); 3], usize)> {
    let before = if padded { (TAPS - stride) / 2 } else { 0 };
    let after = if padded { TAPS / 2 } else { 0 };
    let windows = [Window { stride, before, after, ..Window::of(TAPS) }; 2];
    let mut g = Graph::new();
    let x = g.input("x", [samples, extent, extent, channels], DType::F32);
    let kernel = g.input("kernel", [TAPS, TAPS, channels, filters], DType::F32);
    let y = g.convolution(x, kernel, &windows, 1)?;
    let dy = g.input("dy", g.shape(y).clone(), DType::F32);
    let dx = g.convolution_transpose(dy, kernel, &windows, 1, &[extent; 2])?;
    let dk = g.convolution_kernel(x, dy, &windows, 1)?;
    let operations = 2 * g.shape(y).len() * TAPS * TAPS * channels;
    let alone = |value| -> Result<Plan> {
        let mut g = g.clone();
        g.output("result", value);
        Ok(Plan::compile(&g, &Passes::default(), device.caps())?)
    };
    Ok(([("forward", alone(y)?), ("images", alone(dx)?), ("kernel", alone(dk)?)], operations))
}

/// A step of training of a network on bytes, which its convolution decodes, or the gather before it.
fn on_bytes(device: &Device, sample: [usize; 3], bytes: bool) -> Result<Plan> {
    let model = Sequential::new(sample)
        .add(Conv2D::new(32, TAPS).activation(Activation::Relu))
        .add(GlobalAveragePooling2D::new())
        .add(Dense::new(10));
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let passes = Passes { bytes, ..Passes::default() };
    let trainer = model.compile(device, Compile::new(Adam::default(), loss).passes(passes))?;
    let [height, width, channels] = sample;
    let x = TensorType { shape: [512, height, width, channels].into(), dtype: DType::U8 };
    let y = TensorType { shape: [512].into(), dtype: DType::U32 };
    let batch = Batch { scale: 1.0 / 255.0, ..Batch::new("train", x, y, 128, 4) };
    Ok(trainer.plan(&batch, true)?)
}

fn main() -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let measured =
        |plan| -> Result<Times> { Ok(Runner::from_plan(&device, plan)?.least(ROUNDS, STEPS)?) };
    for (sizes, padded) in SHAPES {
        let [samples, extent, channels, filters, stride] = sizes;
        let same = if padded { ", same" } else { "" };
        println!("{samples}x{extent}x{extent}, {channels} to {filters}{same}, stride {stride}");
        let (plans, operations) = plans(&device, sizes, padded)?;
        let mut busy = Vec::new();
        for (part, plan) in plans {
            let count = plan.dispatches.len();
            let time = measured(plan)?;
            let rate = operations as f64 / time.busy() / 1e6;
            println!("{time} {rate:8.1} GFLOP/s  {part}, {count} dispatches");
            busy.push(time.busy());
        }
        println!("backward to forward {:.2}", (busy[1] + busy[2]) / busy[0]);
    }
    for sample in [[28, 28, 1], [32, 32, 3]] {
        println!("a step of 128 images of {sample:?}");
        println!("{}  bytes, decoded in loads", measured(on_bytes(&device, sample, true)?)?);
        println!("{}  numbers, decoded before", measured(on_bytes(&device, sample, false)?)?);
    }
    Ok(())
}
