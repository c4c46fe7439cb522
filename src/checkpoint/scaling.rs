//! Numbers and the factor on samples, as files say them.

use super::file::wrong;
use crate::error::Result;
use crate::tensor::DType;
use crate::train::Scaling;
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::Path;

/// How samples came; see [`Scaling`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Samples {
    types: Vec<String>,
    scale: Exact,
}

impl Samples {
    pub fn new(scaling: &Scaling) -> Self {
        let types = scaling.dtypes.iter().map(ToString::to_string).collect();
        Self { types, scale: Exact(scaling.scale.into()) }
    }

    /// What the file at `path` says.
    pub fn scaling(&self, path: &Path) -> Result<Scaling> {
        let known = [DType::F32, DType::U8];
        let dtype = |name: &String| known.into_iter().find(|dtype| dtype.to_string() == *name);
        let scale = self.scale.0 as f32;
        let dtypes: Option<Vec<DType>> = self.types.iter().map(dtype).collect();
        match dtypes.filter(|_| scale.is_finite()) {
            Some(dtypes) => Ok(Scaling { dtypes, scale }),
            None => {
                let detail = "element types f32 and u8 and a finite factor are expected";
                Err(wrong(path, "samples", detail))
            }
        }
    }
}

/// A number that comes back to the last bit. If JSON cannot express it, its bits are in hexadecimal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exact(pub f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_finite() {
            true => serializer.serialize_f64(self.0),
            false => serializer.serialize_str(&format!("{:016x}", self.0.to_bits())),
        }
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number).map(Self)
    }
}

/// Reads [`Exact`].
struct Number;

impl Visitor<'_> for Number {
    type Value = f64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    fn visit_u64<E>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_i64<E>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_str<E: serde::de::Error>(self, bits: &str) -> Result<f64, E> {
        let unlike = |_| E::invalid_type(Unexpected::Str(bits), &self);
        u64::from_str_radix(bits, 16).map(f64::from_bits).map_err(unlike)
    }
}
