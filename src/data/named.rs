//! Datasets whose tensors are known by name.

use super::{Dataset, FurtherSpec, SampleSpec};
use crate::error::{Error, Result};

/// The names of a dataset's tensors, in its order: inputs of a model, and outputs that targets are for. An empty list is in the
/// order of the model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SampleNames {
    /// A name for each input.
    pub inputs: Vec<String>,
    /// A name for each target: that of the output's layer.
    pub targets: Vec<String>,
}

/// A stream whose tensors a model finds by name, in any order.
///
/// ```
/// use std::sync::Arc;
/// use wgrad::data::{Dataset, FnDataset, NamedDataset};
/// use wgrad::prelude::*;
///
/// let pairs = FnDataset::new(100, |rows| {
///     let x = Tensor::f32([rows.len(), 1], rows.iter().map(|&r| r as f32).collect::<Vec<_>>())?;
///     TensorDataset::multi([x.clone(), x.clone()], [x])
/// })?;
/// let named = Arc::new(NamedDataset::new(pairs).inputs(["right", "left"]));
/// assert_eq!(named.names().inputs, ["right", "left"]);
/// // trainer.fit(named, Fit::new())
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct NamedDataset<D> {
    dataset: D,
    names: SampleNames,
}

impl<D: Dataset> NamedDataset<D> {
    /// The same samples; names are given by [`inputs`](Self::inputs) and [`targets`](Self::targets).
    pub fn new(dataset: D) -> Self {
        Self { dataset, names: SampleNames::default() }
    }

    /// The names of the inputs, in the dataset's order.
    #[must_use]
    pub fn inputs<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names.inputs = names.into_iter().map(Into::into).collect();
        self
    }

    /// The names of the outputs that the targets are for, in the dataset's order.
    #[must_use]
    pub fn targets<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names.targets = names.into_iter().map(Into::into).collect();
        self
    }
}

impl<D: Dataset> Dataset for NamedDataset<D> {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn spec(&self) -> SampleSpec {
        self.dataset.spec()
    }

    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()> {
        self.dataset.read(rows, x, y)
    }

    fn further(&self) -> FurtherSpec {
        self.dataset.further()
    }

    fn read_all(
        &self,
        rows: &[u32],
        x: &mut Vec<u8>,
        y: &mut Vec<u8>,
        further: &mut [Vec<u8>],
    ) -> Result<()> {
        self.dataset.read_all(rows, x, y, further)
    }

    fn check(&self) -> Result<()> {
        self.dataset.check()
    }

    fn names(&self) -> SampleNames {
        self.names.clone()
    }
}

/// Refuses a name that is there twice.
pub(super) fn once(what: &str, own: &[String]) -> Result<()> {
    match own.iter().enumerate().find(|(i, name)| own[..*i].contains(name)) {
        Some((_, name)) => Err(wrong(what, format!("`{name}` is there twice"))),
        None => Ok(()),
    }
}

fn wrong(what: &str, detail: String) -> Error {
    Error::data(format!("names of {what}"), detail)
}

/// Where each of the `wanted` names is; the places are in order if there are no names.
///
/// # Errors
/// As [`super::in_order::in_order`].
pub(super) fn places(
    what: &str,
    own: &[String],
    tensors: usize,
    wanted: Option<&[&str]>,
) -> Result<Vec<usize>> {
    let Some(wanted) = wanted.filter(|_| !own.is_empty()) else {
        return Ok((0..tensors).collect());
    };
    let wrong = |detail: String| wrong(what, detail);
    if own.len() != tensors {
        return Err(wrong(format!("{} names for {tensors} tensors: each has one", own.len())));
    }
    let all = wanted.join(", ");
    if let Some(name) = own.iter().find(|name| !wanted.contains(&name.as_str())) {
        return Err(wrong(format!("`{name}` is none of the model's: it has {all}")));
    }
    once(what, own)?;
    let place = |name: &&str| {
        let place = own.iter().position(|own| own == name);
        place.ok_or_else(|| wrong(format!("`{name}` is missing: the model takes {all}")))
    };
    wanted.iter().map(place).collect()
}
