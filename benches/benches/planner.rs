//! What it costs to compile a graph into a plan, by its nodes, and a model of 1,000 layers up to the end of its first
//! step: the time grows linearly with them.

#[path = "../../tests/support/deep.rs"]
mod deep;

use anyhow::Result;
use std::time::Instant;
use wgrad::kernels::DeviceCaps;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::prelude::*;

/// Layers of the deep model.
const LAYERS: usize = 1_000;

/// The time to build a `Sequential` of [`LAYERS`] layers, to compile it, and for its first step.
fn sequential() -> Result<[f64; 3]> {
    let device = Device::new()?;
    let data = TensorDataset::new(
        Tensor::f32([4, 4], vec![0.5; 16])?,
        Tensor::f32([4, 4], vec![0.0; 16])?,
    )?;
    let start = Instant::now();
    let stack = (0..LAYERS).fold(Sequential::new([4]), |stack, _| stack.add(Dense::new(4)));
    let model = stack.build()?;
    let built = start.elapsed().as_secs_f64();
    let compile = Compile::new(Sgd::new(0.01), Loss::MeanSquaredError);
    let mut trainer = model.compile(&device, compile)?;
    let compiled = start.elapsed().as_secs_f64();
    trainer.fit(&data, Fit::new().epochs(1).batch_size(4).verbose(Verbose::Silent))?;
    let stepped = start.elapsed().as_secs_f64();
    Ok([built, compiled - built, stepped - compiled])
}

fn main() -> Result<()> {
    for (name, build) in deep::BUILDS {
        for nodes in [1_000, 3_000, 10_000] {
            let start = Instant::now();
            let graph = build(nodes)?;
            let built = start.elapsed();
            let plan = Plan::compile(&graph, &Passes::default(), &DeviceCaps::webgpu_defaults())?;
            let all = start.elapsed();
            println!(
                "{name:10} {:6} nodes, {:5} launches: built in {:6.1} ms, compiled in {:7.1} ms, {:5.1} us a node",
                graph.nodes().len(),
                plan.dispatches.len(),
                1e3 * built.as_secs_f64(),
                1e3 * (all - built).as_secs_f64(),
                1e6 * all.as_secs_f64() / graph.nodes().len() as f64,
            );
        }
    }
    let [built, compiled, stepped] = sequential()?.map(|seconds| 1e3 * seconds);
    println!(
        "Sequential {LAYERS:6} layers: built in {built:6.1} ms, compiled in {compiled:7.1} ms, first step in {stepped:7.1} ms"
    );
    Ok(())
}
