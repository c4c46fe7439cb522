//! An encoder reads a sum of two numbers, digit by digit, and a decoder writes the result, as in Keras' `addition_rnn`. Both
//! go from the last digit to the first, as people add: the carry is then never far away. Keras turns the question alone
//! around, and gives characters as one-hot vectors; here an embedding learns a vector for each.
//!
//! `cargo run --release --example addition`

mod common;

use anyhow::{Result, ensure};
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;
use std::process::ExitCode;
use wgrad::prelude::*;

/// Trains a network that adds.
#[derive(Parser)]
struct Args {
    /// Passes over the training sums.
    #[arg(long, default_value_t = 12)]
    epochs: usize,
    /// Sums, all different; a tenth of them are for the test.
    #[arg(long, default_value_t = 20_000)]
    sums: usize,
    /// Digits of each number at most.
    #[arg(long, default_value_t = 3)]
    digits: usize,
    /// Units of the encoder and of the decoder.
    #[arg(long, default_value_t = 128)]
    units: usize,
    /// Sums per step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Adam's first learning rate; it falls to zero by the end.
    #[arg(long, default_value_t = 0.004, allow_negative_numbers = true)]
    learning_rate: f32,
    /// Seed of sums, initial weights and shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Different sums `(a, b)`: numbers of one digit to `digits`, each length as often as the others.
fn sums(args: &Args) -> Result<Vec<(u32, u32)>> {
    ensure!((1..=4).contains(&args.digits), "digits = {}: 1 to 4", args.digits);
    let pairs = 10_usize.pow(2 * args.digits as u32);
    ensure!(args.sums >= 20, "sums = {}: at least 20", args.sums);
    ensure!(args.sums <= pairs / 4, "sums = {}: at most a quarter of {pairs}", args.sums);
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let mut seen = HashSet::new();
    let mut sums = Vec::with_capacity(args.sums);
    while sums.len() < args.sums {
        let mut number = || {
            let digits = rng.random_range(1..=args.digits as u32);
            rng.random_range(0..10_u32.pow(digits))
        };
        let pair = (number(), number());
        // a + b and b + a are one sum.
        if seen.insert((pair.0.min(pair.1), pair.0.max(pair.1))) {
            sums.push(pair);
        }
    }
    Ok(sums)
}

/// A text from its end to its beginning.
fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

/// The sums as ids, last digit first, and the ids of their results, last digit first too.
fn data(text: &TextVectorization, sums: &[(u32, u32)], digits: usize) -> Result<TensorDataset> {
    let (longest, result) = (2 * digits + 1, digits + 1);
    let question = |(a, b): &(u32, u32)| format!("{:<longest$}", format!("{a}+{b}"));
    let questions = sums.iter().map(|pair| reversed(&question(pair)));
    let results = sums.iter().map(|(a, b)| format!("{:<result$}", reversed(&(a + b).to_string())));
    Ok(TensorDataset::new(text.transform(questions)?, text.transform(results)?)?)
}

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    let sums = sums(args)?;
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let text =
        TextVectorization::characters().set_vocabulary("0123456789+ ".chars().map(String::from))?;
    let (test, train) = sums.split_at(args.sums / 10);
    let (held_out, train) = (data(&text, test, args.digits)?, data(&text, train, args.digits)?);

    let (longest, result) = (2 * args.digits + 1, args.digits + 1);
    let symbols = text.vocabulary_size();
    let model = Sequential::new([longest])
        .add(Embedding::new(symbols, 16))
        .add(Lstm::new(args.units))
        .add(RepeatVector::new(result))
        .add(Lstm::new(args.units).return_sequences(true))
        .add(Dense::new(symbols));
    println!("{}\n", model.summary()?);
    let steps = (args.epochs * train.len().div_ceil(args.batch.max(1))) as u64;
    let rate = CosineDecay::new(args.learning_rate, steps.max(1));
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(Adam::new(rate), loss).metrics([Metric::Accuracy]);
    let mut trainer =
        model.compile(&device, compile.clip(Clip::GlobalNorm(1.0)).seed(args.seed))?;
    let fit = Fit::new().epochs(args.epochs).batch_size(args.batch);
    let history = trainer.fit(&train, fit.validation_data(&held_out))?;

    let logits = trainer.predict(held_out.x())?;
    let rows = logits.reshape([test.len() * result, symbols])?;
    let ids = wgrad::metrics::classes(&rows, 0.5)?;
    let answer = |ids| text.decode(ids).map(|text| reversed(text.trim_end()));
    let answers: Vec<String> = ids.chunks(result).map(answer).collect::<wgrad::Result<_>>()?;
    let is_right = |((a, b), answer): (&(u32, u32), &String)| *answer == (a + b).to_string();
    let right = test.iter().zip(&answers).filter(|&pair| is_right(pair)).count();
    for pair in test.iter().zip(&answers).take(8) {
        let ((a, b), answer) = pair;
        let verdict = if is_right(pair) { "" } else { "  (wrong)" };
        println!("{a:>3} + {b:>3} = {answer}{verdict}");
    }
    let share = right as f64 / test.len() as f64;
    println!(
        "\n{:.1} % of {} sums that were not trained on are right\n",
        100.0 * share,
        test.len()
    );
    let losses = history.get("loss");
    println!(
        "result: right={share:.4} first_loss={:.4} loss={:.4} seconds={:.1}",
        losses.first().copied().unwrap_or_default(),
        losses.last().copied().unwrap_or_default(),
        clock.seconds()
    );
    Ok(())
}
