//! Prints the MNIST training step as graph, passes and plan: every dispatch with its kernel, shapes,
//! workgroups, reads, writes and bytes.

use anyhow::Result;
use wgrad::graph::TensorType;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::prelude::*;
use wgrad::train::Batch;

fn main() -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}\n", device.info());
    let model = Sequential::new([784])
        .add(Dense::new(128).activation(Activation::Relu))
        .add(Dense::new(10));
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(Adam::default(), loss).metrics([Metric::Accuracy]);
    let trainer = model.compile(&device, compile)?;
    let images = TensorType { shape: [60_000, 784].into(), dtype: DType::U8 };
    let labels = TensorType { shape: [60_000].into(), dtype: DType::U32 };
    let batch =
        Batch { scale: 1.0 / 255.0, ..Batch::new("train", images, labels, 32, 60_000 / 32) };

    let graph = trainer.graph(&batch, true)?;
    println!("graph as built\n{graph}");
    let (optimised, sizes) = Passes::default().run(&graph, device.caps())?;
    println!("passes");
    for (name, nodes) in sizes {
        println!("  {name:<12} {nodes:>4} nodes");
    }
    println!("\ngraph after the passes\n{optimised}");
    println!("plan\n{}", Plan::lower(&optimised, device.caps())?);
    Ok(())
}
