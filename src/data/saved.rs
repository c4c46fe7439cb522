//! Scalers and encoders as JSON.

use crate::error::{Error, Result};
use crate::tensor::Shape;
use serde_json::Value;

/// The JSON of a scaler or an encoder, of the right kind.
pub(super) struct Saved {
    kind: &'static str,
    pub value: Value,
}

/// JSON that is not what it must be.
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

    /// What is wrong with the JSON.
    pub fn wrong(&self, detail: impl std::fmt::Display) -> Error {
        wrong(self.kind, detail)
    }

    /// A list of numbers. JSON has no NaN and no infinity, and a number comes back to the last bit, or, in a browser without
    /// the feature `config`, to the one before it.
    pub fn numbers(&self, field: &str) -> Result<Vec<f64>> {
        let list = self.value[field].as_array();
        let numbers = list.and_then(|list| list.iter().map(Value::as_f64).collect());
        numbers.ok_or_else(|| self.wrong(format!("`{field}` is no list of numbers")))
    }

    /// The shape of one sample.
    pub fn sample(&self) -> Result<Shape> {
        let extent = |v: &Value| v.as_u64().and_then(|v| usize::try_from(v).ok());
        let list = self.value["sample"].as_array();
        let dims: Option<Vec<usize>> = list.and_then(|list| list.iter().map(extent).collect());
        dims.map(Shape::from).ok_or_else(|| self.wrong("`sample` is no list of extents"))
    }
}
