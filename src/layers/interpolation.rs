//! How numbers between the elements of an image are found.

use super::config::{Reading, Setting};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Band, Bands};
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

    /// `x` with `to` elements along `axis`: one or two neighbours for each.
    pub(super) fn resize(
        self,
        graph: &mut Graph,
        x: Value,
        axis: usize,
        to: usize,
    ) -> Result<Value> {
        let from = graph.shape(x).dims()[axis];
        if from == to {
            return Ok(x);
        }
        let band = |(before, after, share): (usize, usize, f64)| match after == before {
            true => Band::new(before, &[1.0]),
            false => Band::new(before, &[(1.0 - share) as f32, share as f32]),
        };
        let bands: Vec<Band> = self.places(from, to).map(band).collect();
        graph.bands(x, axis, &Bands { from, bands: bands.into() })
    }
}
