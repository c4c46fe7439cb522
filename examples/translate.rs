//! Dates written in many ways become ISO dates. An encoder reads the characters, a decoder writes `YYYY-MM-DD`, and
//! attention says for each character of the result where in the source to look: a picture shows it.
//!
//! `cargo run --release --example translate`

mod common;

use anyhow::{Result, ensure};
use clap::Parser;
use rand::RngExt;
use std::process::ExitCode;
use wgrad::plot::{Figure, Heatmap};
use wgrad::prelude::*;

/// Trains a network that translates dates.
#[derive(Parser)]
struct Args {
    /// Passes over the training dates.
    #[arg(long, default_value_t = 4)]
    epochs: usize,
    /// Dates to train with; a tenth as many are for the test, of days that are in no training date.
    #[arg(long, default_value_t = 10_000)]
    dates: usize,
    /// Units of the decoder; each direction of the encoder has half as many.
    #[arg(long, default_value_t = 128)]
    units: usize,
    /// Dates per step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Adam's first learning rate; it falls to zero by the end.
    #[arg(long, default_value_t = 0.004, allow_negative_numbers = true)]
    learning_rate: f32,
    /// Seed of dates, initial weights and shuffling.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Writes the picture as SVG.
    #[arg(long)]
    svg: bool,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Every character of a source or a result, and the one before a result.
const SYMBOLS: &str = "0123456789-/,. abcdefghijklmnopqrstuvwxyzADFJMNOSTW>";
/// The longest source, `Wednesday, September 30, 2020`, and the length of a result.
const LONGEST: usize = 29;
const RESULT: usize = 10;

#[derive(Clone, Copy)]
struct Day {
    year: usize,
    month: usize,
    day: usize,
    /// 0 for Monday.
    weekday: usize,
}

/// The days of a century, so that two digits of a year are enough: 70 to 99 are before 2000.
fn days() -> Vec<Day> {
    let mut days = Vec::new();
    for year in 1970..2070 {
        // 2000 is a leap year too.
        let february = if year % 4 == 0 { 29 } else { 28 };
        for (month, length) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
            // The first day is a Thursday.
            days.extend((1..=length).map(|day| Day { year, month, day, weekday: 0 }));
        }
    }
    for (i, day) in days.iter_mut().enumerate() {
        day.weekday = (i + 3) % 7;
    }
    days
}

/// A day in one of the ways in which people write it. Digits alone, day and month in either order, are taken only if the day
/// is past 12, so that each source has one meaning.
fn written(day: Day, way: usize) -> String {
    let Day { year, month: m, day: d, weekday } = day;
    let (month, weekday, short_year) = (MONTHS[m - 1], WEEKDAYS[weekday], year % 100);
    let (short_month, short_weekday) = (&month[..3], &weekday[..3]);
    let nth = match d {
        1 | 21 | 31 => "st",
        2 | 22 => "nd",
        3 | 23 => "rd",
        _ => "th",
    };
    match way {
        0 => format!("{d}{nth} of {month} {year}"),
        1 => format!("{short_weekday}, {d} {short_month} {year}"),
        2 => format!("{weekday}, {month} {d}, {year}"),
        3 => format!("{month} {d}{nth}, {year}"),
        4 => format!("{d} {short_month} {short_year:02}"),
        5 => format!("{d:02}.{m:02}.{year}"),
        6 => format!("{year}/{m:02}/{d:02}"),
        7 if d > 12 => format!("{d}/{m:02}/{short_year:02}"),
        8 if d > 12 => format!("{m:02}/{d}/{year}"),
        7 | 8 => format!("{short_month} {d}, {year}"),
        _ => format!("{year}{m:02}{d:02}"),
    }
}
const WAYS: usize = 10;

fn iso(day: Day) -> String {
    format!("{}-{:02}-{:02}", day.year, day.month, day.day)
}

/// Sources and results: `count` of these days, each written in a random way.
fn pairs(days: &[Day], count: usize, rng: &mut impl RngExt) -> Vec<(String, String)> {
    let mut one = || {
        let day = days[rng.random_range(0..days.len())];
        (written(day, rng.random_range(0..WAYS)), iso(day))
    };
    (0..count).map(|_| one()).collect()
}

/// Sources as ids, filled up with zeros.
fn sources(text: &TextVectorization, pairs: &[(String, String)]) -> Result<Tensor> {
    let sources = text.clone().output_sequence_length(LONGEST);
    Ok(sources.transform(pairs.iter().map(|(source, _)| source))?)
}

/// Sources, results moved on by one character, and results: the decoder learns each character from those before it.
fn data(text: &TextVectorization, pairs: &[(String, String)]) -> Result<TensorDataset> {
    let before = pairs.iter().map(|(_, result)| format!(">{}", &result[..RESULT - 1]));
    let given = text.transform(before)?;
    let results = text.transform(pairs.iter().map(|(_, result)| result))?;
    Ok(TensorDataset::multi([sources(text, pairs)?, given], [results])?)
}

/// The network that trains, and the same layers with the weights of attention as a second output.
fn networks(units: usize, symbols: usize) -> Result<[Model; 2]> {
    let source = input_named("source", [LONGEST]);
    let given = input_named("given", [RESULT]);
    let read = source
        .then(Embedding::new(symbols, 32).mask_zero(true))
        .then(Bidirectional::new(Gru::new(units / 2).return_sequences(true)));
    let state =
        given.then(Embedding::new(symbols, 32)).then(Gru::new(units).return_sequences(true));
    let attention = MultiHeadAttention::new(1, units).return_attention_scores(true);
    let found = merge(attention, [&state, &read]);
    let joined = merge(Concatenate::new(-1), [&state, &found]);
    let logits =
        joined.then(Dense::new(units).activation(Activation::Tanh)).then(Dense::new(symbols));
    let inputs = [&source, &given];
    Ok([Model::new(inputs, [&logits])?, Model::new(inputs, [&logits, &found.output(1)])?])
}

/// What the network writes for each source, always the most likely next character, and the weights of attention
/// `[n, 1, RESULT, LONGEST]` of all steps.
fn translate(
    network: &Predictor,
    text: &TextVectorization,
    sources: &Tensor,
) -> Result<(Vec<String>, Tensor)> {
    let (n, symbols) = (sources.shape().dims()[0], text.vocabulary_size());
    let start = text.ids(">")?[0];
    let mut given = vec![0; n * RESULT];
    let mut written: Vec<Vec<u32>> = vec![Vec::new(); n];
    let mut scores = None;
    given.iter_mut().step_by(RESULT).for_each(|id| *id = start);
    for step in 0..RESULT {
        let x = [sources.clone(), Tensor::u32([n, RESULT], given.clone())?];
        let mut outputs = network.predict_outputs(x.as_slice())?;
        scores = outputs.pop();
        let logits = outputs.remove(0).reshape([n * RESULT, symbols])?;
        let ids = wgrad::metrics::classes(&logits, 0.5)?;
        for ((text, given), ids) in
            written.iter_mut().zip(given.chunks_mut(RESULT)).zip(ids.chunks(RESULT))
        {
            text.push(ids[step]);
            if let Some(next) = given.get_mut(step + 1) {
                *next = ids[step];
            }
        }
    }
    let texts = written.iter().map(|ids| text.decode(ids)).collect::<wgrad::Result<_>>()?;
    Ok((texts, scores.ok_or_else(|| anyhow::anyhow!("the network has no second output"))?))
}

fn main() -> ExitCode {
    common::report(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let clock = common::Clock::start();
    ensure!(args.dates >= 10, "dates = {}: at least 10", args.dates);
    ensure!(args.units >= 2, "units = {}: at least 2", args.units);
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let mut rng = common::generator(args.seed, 0);
    // Every tenth day, from a random one, is for the test alone.
    let held_out = rng.random_range(0..10);
    let (test, train): (Vec<_>, Vec<_>) =
        days().into_iter().enumerate().partition(|(i, _)| i % 10 == held_out);
    let only = |days: Vec<(usize, Day)>| days.into_iter().map(|(_, day)| day).collect::<Vec<_>>();
    let train = pairs(&only(train), args.dates, &mut rng);
    let test = pairs(&only(test), args.dates / 10, &mut rng);

    let text = TextVectorization::characters().set_vocabulary(SYMBOLS.chars().map(String::from))?;
    let [model, seen] = networks(args.units, text.vocabulary_size())?;
    println!("{}\n", model.summary());
    let steps = (args.epochs * train.len().div_ceil(args.batch.max(1))) as u64;
    let rate = CosineDecay::new(args.learning_rate, steps.max(1));
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(Adam::new(rate), loss).metrics([Metric::Accuracy]);
    let mut trainer =
        model.compile(&device, compile.clip(Clip::GlobalNorm(1.0)).seed(args.seed))?;
    let fit = Fit::new().epochs(args.epochs).batch_size(args.batch);
    let (train, held_out) = (data(&text, &train)?, data(&text, &test)?);
    let history = trainer.fit(&train, fit.validation_data(&held_out))?;

    let weights: Vec<Tensor> = trainer.weights()?.into_iter().map(|(_, weight)| weight).collect();
    let network = Predictor::new(&device, &seen, &weights)?;
    let (texts, scores) = translate(&network, &text, &sources(&text, &test)?)?;
    let is_right = |((_, result), text): (&(String, String), &String)| result == text;
    for pair in test.iter().zip(&texts).take(8) {
        let verdict = if is_right(pair) { "" } else { "  (wrong)" };
        println!("{:>LONGEST$}  {}{verdict}", pair.0.0, pair.1);
    }
    let right = test.iter().zip(&texts).filter(|&pair| is_right(pair)).count();
    let share = right as f64 / test.len() as f64;
    println!("\n{:.1} % of {} dates of other days are right", 100.0 * share, test.len());

    let path = common::picture("translate", args.svg);
    // The first test date of each of two kinds: with the month as a word, and with digits alone.
    let words = test.iter().position(|(source, _)| source.contains("of "));
    let digits = test.iter().position(|(source, _)| !source.contains(' '));
    let mut figure = Figure::new("where the decoder looks");
    let names = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
    for i in [words.unwrap_or(0), digits.unwrap_or(1)] {
        let (source, result) = (&test[i].0, &texts[i]);
        let own = scores.as_f32()?[i * RESULT * LONGEST..][..RESULT * LONGEST].chunks(LONGEST);
        let own: Vec<f32> = own.flat_map(|row| &row[..source.len()]).copied().collect();
        let map = Heatmap::new("", &names(result), &names(source), &own);
        figure = figure.panel(map.x("source").y("result"));
    }
    figure.columns(1).save(&path)?;
    println!("wrote {}\n", path.display());
    let losses = history.get("loss");
    println!(
        "result: right={share:.4} first_loss={:.4} loss={:.4} seconds={:.1}",
        losses.first().copied().unwrap_or_default(),
        losses.last().copied().unwrap_or_default(),
        clock.seconds()
    );
    Ok(())
}
