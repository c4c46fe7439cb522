//! What takes the time of a training step: a table of kernels, and a trace for Chrome's `about:tracing` or Perfetto.

use anyhow::{Context, Result};
use std::path::PathBuf;
use wgrad::prelude::*;

/// The arguments.
#[derive(clap::Args)]
pub struct Args {
    /// Units of the hidden layers
    #[arg(long, value_delimiter = ',', default_value = "128")]
    hidden: Vec<usize>,
    /// Samples of a batch
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Dropout after each hidden layer
    #[arg(long, default_value_t = 0.0)]
    dropout: f32,
    /// Steps that are timed
    #[arg(long, default_value_t = 50)]
    steps: usize,
    /// Write every call as Chrome trace events
    #[arg(long)]
    trace: Option<PathBuf>,
}

/// Prints the table of kernels, and writes the trace if one is asked for.
pub fn run(args: &Args) -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}\n", device.info());
    let mut model = Sequential::new([784]);
    for &units in &args.hidden {
        model = model.add(Dense::new(units).activation(Activation::Relu));
        if args.dropout > 0.0 {
            model = model.add(Dropout::new(args.dropout));
        }
    }
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(Adam::default(), loss).metrics([Metric::Accuracy]);
    let mut trainer = model.add(Dense::new(10)).compile(&device, compile)?;

    let samples = 8 * args.batch;
    let pixels: Vec<u8> = (0..samples * 784).map(|i| (i.wrapping_mul(37) % 251) as u8).collect();
    let labels: Vec<u32> = (0..samples as u32).map(|i| i % 10).collect();
    let data =
        TensorDataset::new(Tensor::u8([samples, 784], pixels)?, Tensor::u32([samples], labels)?)?
            .scaled(1.0 / 255.0)?;
    trainer.fit(&data, Fit::new().batch_size(args.batch).verbose(Verbose::Silent))?;

    let profile = trainer.profile(args.steps)?;
    println!("{profile}");
    if let Some(path) = &args.trace {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        profile.write_trace(path)?;
        println!("wrote {}", path.display());
    }
    Ok(())
}
