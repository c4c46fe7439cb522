//! A small GPT learns to write like a text, one character after the other: nanoGPT's setting for a processor. Then it
//! writes, and keeps the keys and values of what it has read, so that each new character is one step of the network.
//!
//! `cargo run --release --example gpt` gets Shakespeare's plays unless a text is named.

mod common;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
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
    /// Weights of an earlier run, in place of training.
    #[arg(long)]
    weights: Option<PathBuf>,
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
    /// How far the writer strays from the most likely character; 0 for not at all.
    #[arg(long, default_value_t = 0.8, allow_negative_numbers = true)]
    temperature: f32,
    /// Seed of initial weights, shuffling and writing.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

/// The network: for each character the logits of the next one. The table of characters is the last layer too.
///
/// In training it reads `[context]` characters at once. If it `writes`, it reads one, at the place of a second input,
/// with a cache for each block as the other inputs, and the new caches as the other outputs. Both have the same weights.
fn network(args: &Args, symbols: usize, writes: bool) -> Result<Model> {
    let normal = Initializer::Normal { mean: 0.0, stddev: 0.02 };
    let table = ReversibleEmbedding::new(symbols, args.width).embeddings_initializer(normal);
    let table = LayerHandle::new(table);
    let (ids, place) = (input([if writes { 1 } else { args.context }]), input([1]));
    let characters = ids.then(&table);
    let places = match writes {
        false => characters.then(PositionEmbedding::new(args.context).initializer(normal)),
        true => place.then(Embedding::new(args.context, args.width)),
    };
    let mut x = merge(Add, [&characters, &places]);
    let (mut caches, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..args.layers {
        let block = TransformerDecoder::new(4 * args.width, args.heads)
            .activation(Activation::Gelu)
            .normalize_first(true)
            .kernel_initializer(normal);
        if writes {
            let cache = input(cache_of(args));
            x = merge(block.use_cache(true), [&x, &cache, &place]);
            kept.push(x.output(1));
            caches.push(cache);
        } else {
            x = x.then(block);
        }
    }
    let logits = x.then(LayerNormalization::new().epsilon(1e-5)).then(&table);
    let inputs = if writes { vec![ids, place] } else { vec![ids] };
    Ok(Model::new(&[inputs, caches].concat(), &[vec![logits], kept].concat())?)
}

/// The shape of a block's cache: keys and values, places, heads.
fn cache_of(args: &Args) -> [usize; 4] {
    [2, args.context, args.heads, args.width / args.heads.max(1)]
}

/// A network that reads one character at a time and keeps the keys and values of those before.
struct Writer {
    network: Predictor,
    caches: Vec<Tensor>,
    /// What the caches know.
    read: Vec<u32>,
    context: usize,
}

impl Writer {
    fn new(args: &Args, network: Predictor) -> Result<Self> {
        let shape = Shape::from([&[1], cache_of(args).as_slice()].concat());
        let caches = vec![Tensor::f32(&shape, vec![0.0; shape.len()])?; args.layers];
        Ok(Self { network, caches, read: Vec::new(), context: args.context })
    }

    /// Reads one more character: the logits of the next. Places have an end, so what is full goes on with its later half.
    fn logits(&mut self, id: u32) -> Result<Vec<f32>> {
        if self.read.len() == self.context {
            let read = std::mem::take(&mut self.read);
            for &id in &read[self.context - self.context / 2..] {
                self.logits(id)?;
            }
        }
        let place = self.read.len() as u32;
        let x = [Tensor::u32([1, 1], vec![id])?, Tensor::u32([1, 1], vec![place])?];
        let x = [x.as_slice(), &self.caches].concat();
        let mut outputs = self.network.predict_outputs(x.as_slice())?;
        self.caches = outputs.split_off(1);
        self.read.push(id);
        Ok(outputs[0].as_f32()?.to_vec())
    }
}

/// A character by its probability: softmax of `logits / temperature`.
fn drawn(logits: &[f32], temperature: f32, rng: &mut ChaCha8Rng) -> u32 {
    let (best, most) = (0..).zip(logits).fold((0, f32::NEG_INFINITY), |(best, most), (i, &l)| {
        if l > most { (i, l) } else { (best, most) }
    });
    if temperature == 0.0 {
        return best;
    }
    let shares: Vec<f32> = logits.iter().map(|l| ((l - most) / temperature).exp()).collect();
    let mut left = rng.random::<f32>() * shares.iter().sum::<f32>();
    for (id, share) in (0..).zip(&shares) {
        left -= share;
        if left < 0.0 {
            return id;
        }
    }
    best
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    ensure!(args.steps > 0, "steps = 0: at least one");
    let warm = args.temperature >= 0.0 && args.temperature.is_finite();
    ensure!(warm, "temperature = {}: 0 or more", args.temperature);
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let text = common::text(args.text.as_deref())?;
    let characters = TextVectorization::characters().adapt([&text])?;
    let prompt = characters.ids(&args.prompt)?;
    // 1 is the id of what the vocabulary does not have.
    let known = !prompt.is_empty() && !prompt.contains(&1);
    ensure!(known, "prompt = {:?}: one character of the text or more", args.prompt);
    let ids = characters.ids(&text)?;
    let (train, rest) = ids.split_at(ids.len() / 10 * 9);
    let train = TextWindows::new(train, args.context, 1)?;
    let held_out = |windows: usize| {
        let stride = (rest.len() / windows).max(args.context);
        TextWindows::new(rest, args.context, stride).map(Arc::new)
    };
    println!("{} characters, {} different\n", ids.len(), characters.vocabulary_size());

    let model = network(args, characters.vocabulary_size(), false)?;
    println!("{}\n", model.summary());
    let warmup = (args.steps / 20) as u64;
    let rate = CosineDecay::new(0.0, (args.steps as u64 - warmup).max(1)).alpha(0.1);
    let rate = rate.warmup(args.learning_rate, warmup);
    let adam = Adam { beta_2: 0.99, ..Adam::new(rate) };
    let optimizer = AdamW { adam, weight_decay: 0.1 };
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(optimizer, loss).clip(Clip::GlobalNorm(1.0)).seed(args.seed);
    let mut trainer = model.compile(&device, compile)?;
    if let Some(file) = &args.weights {
        trainer.load_weights(file)?;
    } else {
        let each = args.steps.min(250);
        let fit = Fit::new().epochs(args.steps.div_ceil(each)).steps_per_epoch(each);
        let fit = fit.batch_size(args.batch).validation_data(held_out(240)?);
        trainer.fit(Arc::new(train), fit)?;
        std::fs::create_dir_all("out").context("out")?;
        trainer.save_weights("out/gpt.safetensors")?;
    }
    let loss = trainer.evaluate(held_out(usize::MAX)?)?.loss;
    println!("\nvalidation loss {loss:.4}\n");

    let weights: Vec<Tensor> = trainer.weights()?.into_iter().map(|(_, weight)| weight).collect();
    let writes = network(args, characters.vocabulary_size(), true)?;
    let mut writer = Writer::new(args, Predictor::new(&device, &writes, &weights)?)?;
    // Piece by piece, the network says what it says of the whole.
    let window = &rest[..args.context];
    let whole = trainer.predict(&Tensor::u32([1, args.context], window.to_vec())?)?;
    let pieces = window.iter().map(|&id| writer.logits(id)).collect::<Result<Vec<_>>>()?.concat();
    let pairs = whole.as_f32()?.iter().zip(&pieces);
    let apart = pairs.map(|(a, b)| (a - b).abs()).max_by(f32::total_cmp).context("no logits")?;

    let (mut rng, start) = (common::generator(args.seed, 1), clock.seconds());
    writer.read.clear();
    let mut logits = Vec::new();
    for &id in &prompt {
        logits = writer.logits(id)?;
    }
    let mut written = prompt;
    for _ in 0..args.characters {
        let next = drawn(&logits, args.temperature, &mut rng);
        written.push(next);
        logits = writer.logits(next)?;
    }
    let each = 1000.0 * (clock.seconds() - start) / args.characters.max(1) as f64;
    println!("{}\n\n{each:.1} ms for each character\n", characters.decode(&written)?);
    println!(
        "result: loss={loss:.4} cache_difference={apart:e} ms_per_character={each:.2} seconds={:.1}",
        clock.seconds()
    );
    Ok(())
}
