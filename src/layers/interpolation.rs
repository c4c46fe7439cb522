//! How numbers between the elements of an image are found.

use super::config::{Reading, Setting};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value, View};
use crate::tensor::{Shape, Tensor};
use serde_json::Value as Json;

pub use crate::ops::Interpolation;

impl Setting for Interpolation {
    fn write(&self) -> Result<Json> {
        Ok(match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
        }
        .into())
    }

    fn read(value: &Json, _: &Reading<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some("nearest") => Ok(Self::Nearest),
            Some("bilinear") => Ok(Self::Bilinear),
            _ => Err(format!("is {value}; this library has \"nearest\" and \"bilinear\"")),
        }
    }
}

impl Interpolation {
    /// The element before each of `to` new ones, the one after it, and the share of the latter.
    fn places(self, from: usize, to: usize) -> impl Iterator<Item = (usize, usize, f64)> {
        let scale = from as f64 / to as f64;
        let last = from - 1;
        (0..to).map(move |i| {
            let middle = (i as f64 + 0.5) * scale;
            match self {
                Self::Nearest => {
                    let at = (middle.floor() as usize).min(last);
                    (at, at, 0.0)
                }
                Self::Bilinear => {
                    let place = (middle - 0.5).clamp(0.0, last as f64);
                    let before = place.floor() as usize;
                    (before, (before + 1).min(last), place - place.floor())
                }
            }
        })
    }

    /// The matrix `[to, from]` whose product with a line of an image is the resized line.
    fn matrix(self, from: usize, to: usize) -> Result<Tensor> {
        let mut matrix = vec![0.0f32; from * to];
        for (row, (before, after, share)) in
            matrix.chunks_exact_mut(from).zip(self.places(from, to))
        {
            row[before] += (1.0 - share) as f32;
            row[after] += share as f32;
        }
        Tensor::f32([to, from], matrix)
    }

    /// `x` with `to` elements along `axis`: a product with a constant matrix, whose gradient is one too.
    pub(super) fn resize(
        self,
        graph: &mut Graph,
        x: Value,
        axis: usize,
        to: usize,
    ) -> Result<Value> {
        let mut dims = graph.shape(x).dims().to_vec();
        let from = dims[axis];
        if from == to {
            return Ok(x);
        }
        let outer: usize = dims[..axis].iter().product();
        let inner: usize = dims[axis + 1..].iter().product();
        let matrix = graph.constant_tensor(self.matrix(from, to)?)?;
        let shared = View::whole([1, to, from]).spread(&Shape::from([outer, to, from]));
        let shared = shared.ok_or_else(|| Error::internal("resize", "a matrix is not repeated"))?;
        let lines = (x, View::whole([outer, from, inner]));
        let y = graph.contract_views((matrix, shared), lines)?;
        dims[axis] = to;
        graph.reshape(y, dims)
    }
}
