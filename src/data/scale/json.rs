//! Scalers as JSON.

use crate::error::{Error, Result};
use crate::tensor::Shape;
use serde_json::Value;

/// A scaler's JSON, of the right kind.
pub(super) struct Saved {
    kind: &'static str,
    value: Value,
}

/// A scaler that is not what it must be.
fn wrong(kind: &str, detail: impl std::fmt::Display) -> Error {
    Error::data(kind, format!("{detail}; this is no saved {kind}"))
}

impl Saved {
    pub fn parse(kind: &'static str, text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).map_err(|e| wrong(kind, e))?;
        if value["kind"] != kind {
            return Err(wrong(kind, format!("its kind is {}", value["kind"])));
        }
        Ok(Self { kind, value })
    }

    /// A list of numbers. JSON has no NaN and no infinity, and a number comes back to the last bit.
    pub fn numbers(&self, field: &str) -> Result<Vec<f64>> {
        let list = self.value[field].as_array();
        let numbers = list.and_then(|list| list.iter().map(Value::as_f64).collect());
        numbers.ok_or_else(|| wrong(self.kind, format!("`{field}` is no list of numbers")))
    }

    /// The shape of one sample.
    pub fn sample(&self) -> Result<Shape> {
        let extent = |v: &Value| v.as_u64().and_then(|v| usize::try_from(v).ok());
        let list = self.value["sample"].as_array();
        let dims: Option<Vec<usize>> = list.and_then(|list| list.iter().map(extent).collect());
        dims.map(Shape::from).ok_or_else(|| wrong(self.kind, "`sample` is no list of extents"))
    }
}

/// Refuses statistics that are not one finite number for each column of a sample.
pub(super) fn check_columns(kind: &str, sample: &Shape, lists: &[(&str, &[f64])]) -> Result<()> {
    // The product may not fit a number if the shape comes from a file.
    let columns = sample.dims().iter().try_fold(1usize, |n, &dim| n.checked_mul(dim));
    for (name, list) in lists {
        if Some(list.len()) != columns || list.is_empty() {
            let detail = format!("samples {:?} need one each, 1 or more", sample.dims());
            return Err(Error::parameter(format!("{kind} {name}: numbers"), list.len(), detail));
        }
        if let Some(i) = list.iter().position(|v| !v.is_finite()) {
            let detail = "a finite number is expected";
            return Err(Error::parameter(format!("{kind} {name}[{i}]"), list[i], detail));
        }
    }
    Ok(())
}
