//! A small GPT learns to write like a text, one character after the other: nanoGPT's setting for a processor. Then it
//! writes, and keeps the keys and values of what it has read, so that each new character is one step of the network.
//!
//! `cargo run --release --example gpt` gets Shakespeare's plays unless a text is named.

mod common;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use wgrad::prelude::*;

/// Trains a transformer on the characters of a text, and lets it write.
#[derive(Parser)]
struct Args {
    /// The text [default: Shakespeare's plays in data/shakespeare, which are downloaded if they are not there]
    #[arg(long)]
    text: Option<PathBuf>,
    /// Steps of training.
    #[arg(long, default_value_t = 2000)]
    steps: usize,
    /// Windows of text per step.
    #[arg(long, default_value_t = 12)]
    batch: usize,
    /// Characters that the network looks back.
    #[arg(long, default_value_t = 64)]
    context: usize,
    /// Blocks of the network.
    #[arg(long, default_value_t = 4)]
    layers: usize,
    /// Heads of attention.
    #[arg(long, default_value_t = 4)]
    heads: usize,
    /// Numbers for each character; the heads divide it.
    #[arg(long, default_value_t = 128)]
    width: usize,
    /// The learning rate after the warm-up; it falls to a tenth by the end.
    #[arg(long, default_value_t = 0.001, allow_negative_numbers = true)]
    learning_rate: f32,
    /// What the written text begins with.
    #[arg(long, default_value = "\n")]
    prompt: String,
    /// Characters to write.
    #[arg(long, default_value_t = 500)]
    characters: usize,
    /// How far the writer strays from the most likely character.
    #[arg(long, default_value_t = 0.8, allow_negative_numbers = true)]
    temperature: f32,
    /// Seed of initial weights, shuffling and writing.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

/// The network: characters `[context]` in, for each place the logits of the next one out. The table of characters
/// is the last layer too.
fn network(args: &Args, symbols: usize) -> Result<Model> {
    let normal = Initializer::Normal { mean: 0.0, stddev: 0.02 };
    let table =
        LayerHandle::new(ReversibleEmbedding::new(symbols, args.width).embeddings_initializer(normal));
    let ids = input([args.context]);
    let characters = ids.then(&table);
    let places = characters.then(PositionEmbedding::new(args.context).initializer(normal));
    let mut x = merge(Add, [&characters, &places]);
    for _ in 0..args.layers {
        let block = TransformerDecoder::new(4 * args.width, args.heads)
            .activation(Activation::Gelu)
            .normalize_first(true);
        x = x.then(block.kernel_initializer(normal));
    }
    Ok(Model::new([&ids], [&x.then(LayerNormalization::new().epsilon(1e-5)).then(&table)])?)
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let text = common::text(args.text.as_deref())?;
    let characters = TextVectorization::characters().adapt([&text])?;
    let ids = characters.ids(&text)?;
    let (train, rest) = ids.split_at(ids.len() / 10 * 9);
    let train = TextWindows::new(train, args.context, 1)?;
    let held_out = |windows: usize| {
        let stride = (rest.len() / windows).max(args.context);
        TextWindows::new(rest, args.context, stride).map(Arc::new)
    };
    println!("{} characters, {} different\n", ids.len(), characters.vocabulary_size());

    let model = network(args, characters.vocabulary_size())?;
    println!("{}\n", model.summary());
    let warmup = (args.steps / 20) as u64;
    let rate = CosineDecay::new(0.0, (args.steps as u64 - warmup).max(1)).alpha(0.1);
    let rate = rate.warmup(args.learning_rate, warmup);
    let adam = Adam { beta_2: 0.99, ..Adam::new(rate) };
    let optimizer = AdamW { adam, weight_decay: 0.1 };
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(optimizer, loss).clip(Clip::GlobalNorm(1.0)).seed(args.seed);
    let mut trainer = model.compile(&device, compile)?;
    let each = args.steps.min(250);
    let fit = Fit::new().epochs(args.steps.div_ceil(each.max(1))).steps_per_epoch(each);
    let fit = fit.batch_size(args.batch).validation_data(held_out(240)?);
    let history = trainer.fit(Arc::new(train), fit)?;
    let result = trainer.evaluate(held_out(usize::MAX)?)?;
    println!("\nvalidation loss {:.4}\n", result.loss);
    trainer.save_weights("gpt.safetensors")?;
    println!("result: loss={:.4} seconds={:.1}", result.loss, clock.seconds());
    Ok(())
}
