//! Metrics on an adapter, and the host's functions of the same names, against values recorded from scikit-learn
//! (`tests/known/README.md` says how).

mod behaviour;
mod binary;
mod classes;
mod quantities;
#[path = "../recording/mod.rs"]
mod recording;
#[path = "../reference/mod.rs"]
mod reference;
mod refusals;
mod rules;
#[path = "../support/mod.rs"]
mod support;

use anyhow::{Context, Result, ensure};
use recording::{data, entries, text};
use serde_json::Value as Json;
use support::device;
use wgrad::metrics::ConfusionMatrix;
use wgrad::prelude::*;

/// The tolerance of quotients of counts: exact but for the last operations.
const EXACT: f64 = 1e-14;

/// The entries of a section of the recording.
fn recorded(section: &str) -> Result<Vec<Json>> {
    entries(&serde_json::from_str(include_str!("../known/metrics.json"))?, section)
}

/// The numbers of a list, or of a list of lists.
fn list(value: &Json) -> Result<Vec<f64>> {
    match value {
        Json::Array(items) => Ok(items.iter().map(list).collect::<Result<Vec<_>>>()?.concat()),
        number => Ok(vec![number.as_f64().with_context(|| format!("{number} is no number"))?]),
    }
}

fn floats(value: &Json) -> Result<Vec<f32>> {
    Ok(list(value)?.into_iter().map(|v| v as f32).collect())
}

fn whole(value: &Json) -> Result<Vec<u32>> {
    Ok(list(value)?.into_iter().map(|v| v as u32).collect())
}

/// A recorded tensor, `[n]` as `[n, 1]`.
fn tensor(value: &Json) -> Result<Tensor> {
    let rows = list(&value["shape"])?[0] as usize;
    let values = data(value)?;
    Ok(Tensor::f32([rows, values.len() / rows], values)?)
}

/// The cells of a matrix, row by row.
fn counts(matrix: &ConfusionMatrix) -> Vec<f64> {
    matrix.rows().flatten().map(|&count| count as f64).collect()
}

/// Labels as rows with a one.
fn one_hot(labels: &[u32], classes: usize) -> Tensor {
    let labels: Vec<usize> = labels.iter().map(|&l| l as usize).collect();
    let rows = reference::losses::one_hot(&labels, classes);
    Tensor::f32([labels.len(), classes], reference::compare::narrow(&rows)).unwrap()
}

/// A trainer whose predictions are its features, of samples of `width` numbers.
fn echo(width: usize, loss: Loss, metrics: &[Metric], batch: usize) -> wgrad::Result<Trainer> {
    let settings = Compile::new(Sgd::default(), loss).metrics(metrics);
    let model = Sequential::new([width]).add(Flatten);
    model.compile(device(), settings.evaluation_batch_size(batch))
}

/// The metrics of these predictions `[n, width]`, computed on the device in batches of `batch`.
fn evaluate(
    predictions: &Tensor,
    targets: &Tensor,
    loss: Loss,
    metrics: &[Metric],
    batch: usize,
) -> Result<Evaluation> {
    let data = TensorDataset::new_allow_non_finite(predictions.clone(), targets.clone())?;
    Ok(echo(predictions.shape().dims()[1], loss, metrics, batch)?.evaluate(&data)?)
}

/// Whether two numbers are within `tolerance`, relative to numbers above 1. NaN agrees with NaN alone.
fn compare(name: &str, got: f64, want: f64, tolerance: f64) -> Result<()> {
    let near = (got - want).abs() <= tolerance * want.abs().max(1.0);
    ensure!(near || got.is_nan() && want.is_nan(), "{name}: got {got}, want {want}");
    Ok(())
}

/// [`compare`], number by number.
fn compare_all(name: &str, got: &[f64], want: &[f64], tolerance: f64) -> Result<()> {
    ensure!(got.len() == want.len() && !got.is_empty(), "{name}: {got:?} for {want:?}");
    got.iter().zip(want).try_for_each(|(got, want)| compare(name, *got, *want, tolerance))
}

#[test]
fn what_differs_is_noticed() {
    assert!(compare("", 0.5, 0.5 + 1e-13, 1e-12).is_ok());
    assert!(compare("", 2e6, 2e6 + 1e-7, 1e-12).is_ok());
    assert!(compare("", f64::NAN, f64::NAN, 1e-12).is_ok());
    for (got, want) in [(0.5, 0.5 + 1e-11), (f64::NAN, 0.5), (0.5, f64::NAN), (2e6, 2e6 + 1e-4)] {
        assert!(compare("", got, want, 1e-12).is_err(), "{got} {want}");
    }
    assert!(compare_all("", &[], &[], 1.0).is_err());
    assert!(compare_all("", &[1.0], &[1.0, 1.0], 1.0).is_err());
}
