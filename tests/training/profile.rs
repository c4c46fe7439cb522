//! The profile of a step: every dispatch counted, times that add up, and training that it does not change.

use crate::support::{device, says};
use crate::{SPARSE, bits, compile, points, small};
use anyhow::{Context, Result, ensure};
use wgrad::prelude::*;

fn trained(epochs: usize) -> Result<Trainer> {
    let mut trainer = compile(&small(5, 3), Compile::new(Adam::new(0.01), SPARSE));
    trainer.fit(&points(50, 5, 3), fit(epochs))?;
    Ok(trainer)
}

/// 50 samples are seven full batches and one of a single sample.
fn fit(epochs: usize) -> Fit<'static> {
    Fit::new().epochs(epochs).batch_size(7).verbose(Verbose::Silent)
}

#[test]
fn every_dispatch_is_counted_and_timed() -> Result<()> {
    let mut trainer = trained(1)?;
    // Two passes and a bit, two short batches among them.
    let profile = trainer.profile(18)?;
    let calls: usize = profile.kernels.iter().map(|k| k.calls).sum();
    ensure!(profile.steps == 18 && calls >= 18 * 4, "{calls} calls");
    ensure!(profile.kernels.iter().any(|k| k.template.starts_with("matmul/") && k.flops > 0));
    ensure!(profile.kernels.iter().all(|k| k.bytes > 0));
    let Some(seconds) = profile.kernel_seconds() else {
        ensure!(profile.calls.is_empty(), "times of some calls");
        return Ok(());
    };
    ensure!(profile.calls.len() == calls, "{} times of {calls}", profile.calls.len());
    ensure!(seconds > 0.0 && seconds < 60.0, "{seconds} s");
    let sum: f64 = profile.calls.iter().map(|c| c.time.end - c.time.start).sum();
    ensure!((sum - seconds).abs() < 1e-9 * calls as f64, "{sum}, {seconds}");
    for pair in profile.calls.windows(2) {
        ensure!(pair[0].time.end <= pair[1].time.start, "{pair:?} overlap");
    }
    let table = profile.to_string();
    ensure!(table.lines().count() == profile.kernels.len() + 2, "{table}");
    ensure!(profile.kernels.windows(2).all(|k| k[0].seconds >= k[1].seconds), "{table}");
    Ok(())
}

/// A kernel in a loop is called in each iteration.
#[test]
fn loops_are_counted_by_their_iterations() -> Result<()> {
    // More units than one kernel takes through all steps.
    let model = Sequential::new([9, 2]).add(SimpleRnn::new(65)).add(Dense::new(3));
    let mut trainer = compile(&model, Compile::new(Adam::new(0.01), SPARSE));
    let (x, y) = (vec![0.5; 8 * 9 * 2], vec![1; 8]);
    let data = TensorDataset::new(Tensor::f32([8, 9, 2], x)?, Tensor::u32([8], y)?)?;
    trainer.fit(&data, Fit::new().batch_size(8).verbose(Verbose::Silent))?;
    let profile = trainer.profile(2)?;
    let of_nine = profile.kernels.iter().filter(|k| k.calls == 2 * 9 && k.layer == "simple_rnn");
    // One forward, one backward.
    ensure!(of_nine.count() == 2, "{profile}");
    let calls: usize = profile.kernels.iter().map(|k| k.calls).sum();
    ensure!(profile.calls.is_empty() || profile.calls.len() == calls, "{profile}");
    Ok(())
}

#[test]
fn the_trace_holds_every_call() -> Result<()> {
    let mut trainer = trained(1)?;
    let profile = trainer.profile(3)?;
    let folder = std::env::temp_dir().join(format!("wgrad-trace-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("trace.json");
    profile.write_trace(&path)?;
    let trace: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    std::fs::remove_dir_all(&folder)?;
    let events = trace["traceEvents"].as_array().context("a list of events")?;
    ensure!(events.len() == profile.calls.len());
    for (event, call) in events.iter().zip(&profile.calls) {
        ensure!(event["ph"] == "X" && event["args"]["step"] == call.step, "{event}");
        ensure!(event["name"] == profile.kernels[call.kernel].label.as_str(), "{event}");
        let micros = event["dur"].as_f64().context("a duration")?;
        ensure!((micros - 1e6 * (call.time.end - call.time.start)).abs() < 1e-6, "{event}");
    }
    let error = profile.write_trace(folder.join("none").join("trace.json")).err();
    says(&error.context("there is no such folder")?, &["trace.json"]);
    Ok(())
}

#[test]
fn training_goes_on_as_if_nothing_had_been_profiled() -> Result<()> {
    let (mut plain, mut profiled) = (trained(1)?, trained(1)?);
    let (before, steps) = (bits(&profiled), profiled.steps());
    profiled.profile(9)?;
    ensure!(bits(&profiled) == before && profiled.steps() == steps, "the profile trained");
    let data = points(50, 5, 3);
    plain.fit(&data, fit(2))?;
    profiled.fit(&data, fit(2))?;
    ensure!(bits(&plain) == bits(&profiled), "the optimizer's state differs");
    ensure!(bits(&plain) != before, "nothing was learned: the comparison says nothing");
    Ok(())
}

#[test]
fn there_is_nothing_to_profile_before_a_fit() -> Result<()> {
    let mut trainer = small(5, 3).compile(device(), Compile::new(Adam::new(0.01), SPARSE))?;
    says(&trainer.profile(3).err().context("it ran")?, &["profile", "fit"]);
    trainer.fit(&points(50, 5, 3), fit(1))?;
    says(&trainer.profile(0).err().context("it ran")?, &["steps", "at least one"]);
    Ok(())
}
