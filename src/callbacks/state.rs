//! Numbers in the state of callbacks.

use crate::error::{Error, Result};
use crate::step::LARGEST_COUNT;
use serde_json::Value;

/// A number as text. JSON has no NaN and no infinities, and its readers may round decimals; Rust's own form reads back
/// to the same number.
pub(super) fn number(value: f64) -> Value {
    Value::String(format!("{value:?}"))
}

/// A number that may be missing.
pub(super) fn optional(value: Option<f64>) -> Value {
    value.map_or(Value::Null, number)
}

/// Reads a number that may be missing.
///
/// # Errors
/// [`Error::Data`] naming the field.
pub(super) fn read_optional(state: &Value, field: &str) -> Result<Option<f64>> {
    match &state[field] {
        Value::Null => Ok(None),
        value => match value.as_str().and_then(|text| text.parse().ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(wrong(field, "a number as text", value)),
        },
    }
}

/// Reads a count.
///
/// # Errors
/// [`Error::Data`] naming the field.
pub(super) fn read_count(state: &Value, field: &str) -> Result<usize> {
    match read_optional_count(state, field)? {
        Some(count) => Ok(count),
        None => Err(wrong(field, "a count", &Value::Null)),
    }
}

/// Reads a count that may be missing.
///
/// # Errors
/// [`Error::Data`] naming the field.
pub(super) fn read_optional_count(state: &Value, field: &str) -> Result<Option<usize>> {
    match &state[field] {
        Value::Null => Ok(None),
        value => {
            let count = value.as_u64().filter(|n| *n <= LARGEST_COUNT);
            match count.and_then(|n| usize::try_from(n).ok()) {
                Some(count) => Ok(Some(count)),
                None => Err(wrong(field, "a count", value)),
            }
        }
    }
}

/// A field of a state that is not what it must be.
pub(super) fn wrong(field: &str, expected: &str, value: &Value) -> Error {
    Error::data(format!("state.{field}"), format!("{expected} is expected, there is {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_survive_text_exactly() -> Result<()> {
        let numbers =
            [0.1, -0.0, 1.0 / 3.0, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        for n in numbers {
            let text = json!({ "n": number(n) }).to_string();
            let read = serde_json::from_str(&text).unwrap();
            let back = read_optional(&read, "n")?.unwrap();
            assert!(back.to_bits() == n.to_bits() || n.is_nan() && back.is_nan(), "{n} in {text}");
        }
        assert_eq!(read_optional(&json!({}), "n")?, None);
        Ok(())
    }

    #[test]
    fn other_values_are_refused_by_name() {
        for value in [json!("one"), json!(1.5), json!([1])] {
            let error = read_optional(&json!({ "best": value }), "best").unwrap_err().to_string();
            assert!(error.contains("state.best"), "{error}");
        }
        assert_eq!(read_count(&json!({ "wait": LARGEST_COUNT }), "wait").unwrap(), 1 << 53);
        for value in [json!("1"), json!(-1), json!(1.5), json!(null), json!(u64::MAX)] {
            let error = read_count(&json!({ "wait": value }), "wait").unwrap_err().to_string();
            assert!(error.contains("state.wait"), "{error}");
        }
    }
}
