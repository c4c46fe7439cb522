//! Reads the values recorded from Keras 3 (`tests/known/README.md` says how).

#![allow(dead_code, reason = "each test binary includes the whole module and uses a part of it")]

use super::reference::compare::{assert_close, compare, widen, worst_relative};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The entries of a section of `keras.json`.
pub fn recording(section: &str) -> Result<Vec<Value>> {
    entries(&serde_json::from_str(include_str!("../known/keras.json"))?, section)
}

/// The entries of a section of a recording.
pub fn entries(all: &Value, section: &str) -> Result<Vec<Value>> {
    let entries = all[section].as_array().with_context(|| format!("no list {section:?}"))?;
    ensure!(!entries.is_empty(), "section {section:?} is empty");
    Ok(entries.clone())
}

/// The numbers of a recorded tensor. Keras computed them in `f32`, so nothing is lost.
pub fn data(tensor: &Value) -> Result<Vec<f32>> {
    let numbers = |key: &str| -> Result<Vec<f64>> {
        let list = tensor[key].as_array().with_context(|| format!("no {key} in {tensor}"))?;
        list.iter().map(|v| v.as_f64().with_context(|| format!("{v} in {key}"))).collect()
    };
    let (shape, values) = (numbers("shape")?, numbers("data")?);
    ensure!(shape.iter().product::<f64>() == values.len() as f64, "shape {shape:?} of {tensor}");
    Ok(values.into_iter().map(|v| v as f32).collect())
}

/// The numbers of a recorded tensor in f64.
pub fn wide(tensor: &Value) -> Result<Vec<f64>> {
    Ok(widen(&data(tensor)?))
}

/// The numbers of a recorded tensor as class labels.
pub fn labels(tensor: &Value) -> Result<Vec<usize>> {
    Ok(data(tensor)?.into_iter().map(|v| v as usize).collect())
}

/// The extent of the last axis of a recorded tensor.
pub fn last_axis(tensor: &Value) -> Result<usize> {
    let size = tensor["shape"].as_array().and_then(|shape| shape.last()?.as_u64());
    Ok(size.context("a tensor with a last axis")? as usize)
}

/// The text under `key`.
pub fn text<'a>(entry: &'a Value, key: &str) -> Result<&'a str> {
    entry[key].as_str().with_context(|| format!("no text {key:?}"))
}

/// The number under `key`.
pub fn number(entry: &Value, key: &str) -> Result<f64> {
    entry[key].as_f64().with_context(|| format!("no number {key:?} in {entry}"))
}

/// Recorded and expected agree, and would not if one element were three tolerances off.
#[track_caller]
pub fn agree(name: &str, recorded: &[f32], want: &[f64], rtol: f64, atol: f64) {
    let worst = worst_relative(recorded, want, atol / rtol);
    println!("{name}: worst {worst:.1e} of max(|want|, {:.0e})", atol / rtol);
    assert_close(name, recorded, want, rtol, atol);
    let mut off = want.to_vec();
    let last = off.len() - 1;
    off[last] += 3.0 * (atol + rtol * off[last].abs());
    assert!(compare(name, recorded, &off, rtol, atol).is_err(), "{name}: hides a difference");
}
