//! A bidirectional LSTM tells whether a sentence praises or blames. `not` turns the word after it, however far away it
//! is, so that no count of words is enough; sentences have different lengths, and a mask says where they end.
//!
//! `cargo run --release --example sentiment`

mod common;

use anyhow::{Context, Result};
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::process::ExitCode;
use wgrad::prelude::*;

const GOOD: [&str; 6] = ["good", "fine", "bright", "warm", "clever", "moving"];
const BAD: [&str; 6] = ["bad", "dull", "cold", "slow", "clumsy", "empty"];
/// Words without a meaning of their own.
const OTHER: [&str; 10] =
    ["the", "film", "was", "plot", "and", "its", "music", "seemed", "quite", "often"];
const NOT: &str = "not";
/// The longest sentence.
const LONGEST: usize = 20;

/// Trains a recurrent network on sentences with negation.
#[derive(Parser)]
struct Args {
    /// Passes over the training sentences.
    #[arg(long, default_value_t = 12)]
    epochs: usize,
    /// Sentences to train with; a fifth as many are for the test.
    #[arg(long, default_value_t = 4000)]
    sentences: usize,
    /// Seed of sentences, initial weights and shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// The vocabulary. Id 0 is no word: it fills sentences up.
fn words() -> Vec<&'static str> {
    [&[""], &[NOT], GOOD.as_slice(), &BAD, &OTHER].concat()
}

/// A sentence, and whether it praises: the sum of its judgements, each turned by a `not` before it, is above zero.
fn sentence(rng: &mut ChaCha8Rng) -> (Vec<&'static str>, bool) {
    loop {
        let (mut text, mut score) = (Vec::new(), 0);
        let judgements = rng.random_range(1..=3);
        for _ in 0..judgements {
            text.extend((0..rng.random_range(1..=3)).map(|_| OTHER[rng.random_range(0..10)]));
            let turned = rng.random_bool(0.4);
            if turned {
                text.push(NOT);
                text.extend((0..rng.random_range(0..=2)).map(|_| OTHER[rng.random_range(0..10)]));
            }
            let good = rng.random_bool(0.5);
            text.push(if good { GOOD } else { BAD }[rng.random_range(0..6)]);
            score += if good != turned { 1 } else { -1 };
        }
        if score != 0 && text.len() <= LONGEST {
            return (text, score > 0);
        }
    }
}

/// Sentences as ids, filled up with zeros, and 1 for praise.
fn data(sentences: &[(Vec<&str>, bool)]) -> Result<TensorDataset> {
    let words = words();
    let mut ids = vec![0u32; sentences.len() * LONGEST];
    for ((text, _), row) in sentences.iter().zip(ids.chunks_mut(LONGEST)) {
        for (word, id) in text.iter().zip(row) {
            *id = words.iter().position(|known| known == word).context("a known word")? as u32;
        }
    }
    let praise: Vec<f32> =
        sentences.iter().map(|(_, praise)| f32::from(u8::from(*praise))).collect();
    let n = sentences.len();
    Ok(TensorDataset::new(Tensor::u32([n, LONGEST], ids)?, Tensor::f32([n, 1], praise)?)?)
}

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let mut made = |n: usize| (0..n).map(|_| sentence(&mut rng)).collect::<Vec<_>>();
    let (train, test) = (made(args.sentences), made(args.sentences.div_ceil(5)));

    let model = Sequential::new([LONGEST])
        .add(Embedding::new(words().len(), 16).mask_zero(true))
        .add(Bidirectional::new(Lstm::new(24)))
        .add(Dense::new(1));
    println!("{}\n", model.summary()?);
    let loss = Loss::BinaryCrossentropy { from_logits: true };
    let compile = Compile::new(Adam::new(0.01), loss).metrics([Metric::Accuracy]).seed(args.seed);
    let mut trainer = model.compile(&device, compile.clip(Clip::GlobalNorm(1.0)))?;
    let fit = Fit::new().epochs(args.epochs).batch_size(64);
    trainer.fit(&data(&train)?, fit)?;

    let shown = &test[..test.len().min(6)];
    let logits = trainer.predict(&data(shown)?)?;
    for ((text, praise), logit) in shown.iter().zip(logits.as_f32()?) {
        let verdict = if *logit > 0.0 { "praise" } else { "blame" };
        let right = if (*logit > 0.0) == *praise { "" } else { "  (wrong)" };
        println!("{verdict:<7} {}{right}", text.join(" "));
    }
    let held_out = data(&test)?;
    let logits = trainer.predict(&held_out)?;
    let pairs = logits.as_f32()?.iter().zip(&test);
    let right = pairs.filter(|(logit, (_, praise))| (**logit > 0.0) == *praise).count();
    // What counting words gets: the same, if no `not` is heard.
    let counted = |text: &[&str]| {
        let of = |list: &[&str]| text.iter().filter(|w| list.contains(w)).count();
        of(&GOOD) > of(&BAD)
    };
    let by_count = test.iter().filter(|(text, praise)| counted(text) == *praise).count();
    let share = |n: usize| n as f64 / test.len() as f64;
    println!("\n{:.1} % of the test sentences are right\n", 100.0 * share(right));
    println!("result: test_accuracy={:.4} counting_words={:.4}", share(right), share(by_count));
    Ok(())
}
