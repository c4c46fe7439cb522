//! Datasets whose tensors are known by name.

use super::{Dataset, FurtherSpec, SampleSpec, TensorDataset};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use std::borrow::Cow;

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

impl TensorDataset {
    /// As [`TensorDataset::multi`], with the name of the model's input or output for each tensor, in any order: that of an
    /// output is its layer's. `fit`, `evaluate` and `predict` bring them into the order of the model: if it is another,
    /// by a copy on the host.
    ///
    /// # Errors
    /// As [`TensorDataset::multi`]; [`Error::Data`] for a name that is there twice. Names that the model does not have are
    /// refused with the model, and those that it misses.
    pub fn named<X: Into<String>, Y: Into<String>>(
        x: impl IntoIterator<Item = (X, Tensor)>,
        y: impl IntoIterator<Item = (Y, Tensor)>,
    ) -> Result<Self> {
        let (inputs, x): (Vec<X>, Vec<Tensor>) = x.into_iter().unzip();
        let (targets, y): (Vec<Y>, Vec<Tensor>) = y.into_iter().unzip();
        let inputs: Vec<String> = inputs.into_iter().map(Into::into).collect();
        let targets: Vec<String> = targets.into_iter().map(Into::into).collect();
        once("inputs", &inputs)?;
        once("targets", &targets)?;
        Ok(Self { names: SampleNames { inputs, targets }, ..Self::multi(x, y)? })
    }

    /// As [`TensorDataset::weighted_outputs`], by the names of the outputs; one that is not named has no weights.
    ///
    /// # Errors
    /// As [`TensorDataset::weighted`]; [`Error::Data`] for a name that no target has or that is there twice, and if the
    /// targets have no names.
    pub fn weighted_by_name<S: Into<String>>(
        self,
        weights: impl IntoIterator<Item = (S, Tensor)>,
    ) -> Result<Self> {
        let mut places = vec![None; self.y.len()];
        for (name, weights) in weights {
            let name = name.into();
            let Some(place) = self.names.targets.iter().position(|own| *own == name) else {
                let detail = match self.names.targets.join(", ") {
                    none if none.is_empty() => {
                        format!(
                            "`{name}`: the targets have no names; build the data by TensorDataset::named"
                        )
                    }
                    all => format!("`{name}` is no target; there are {all}"),
                };
                return Err(Error::data("sample weights", detail));
            };
            if places[place].replace(weights).is_some() {
                return Err(Error::data("sample weights", format!("`{name}` is there twice")));
            }
        }
        self.weighted_outputs(places)
    }

    /// The dataset with its tensors in the order of these names; as it is if it has no names, or has this order.
    ///
    /// # Errors
    /// As [`places`].
    pub(crate) fn in_order(&self, inputs: &[&str], targets: &[&str]) -> Result<Cow<'_, Self>> {
        let x = places("inputs", &self.names.inputs, self.x.len(), Some(inputs))?;
        let y = places("targets", &self.names.targets, self.y.len(), Some(targets))?;
        if x.is_sorted() && y.is_sorted() {
            return Ok(Cow::Borrowed(self));
        }
        let pick =
            |all: &[Tensor], places: &[usize]| places.iter().map(|&i| all[i].clone()).collect();
        let weights = match self.weights.len() {
            n if n == y.len() => y.iter().map(|&i| self.weights[i].clone()).collect(),
            // One tensor for all outputs.
            _ => self.weights.clone(),
        };
        let (x, y, scale) = (pick(&self.x, &x), pick(&self.y, &y), self.scale);
        Ok(Cow::Owned(Self { x, y, weights, scale, names: SampleNames::default() }))
    }

    /// The features in the order of these names.
    ///
    /// # Errors
    /// As [`places`].
    pub(crate) fn features_in_order(&self, inputs: &[&str]) -> Result<Cow<'_, [Tensor]>> {
        let places = places("inputs", &self.names.inputs, self.x.len(), Some(inputs))?;
        if places.is_sorted() {
            return Ok(Cow::Borrowed(&self.x));
        }
        Ok(places.iter().map(|&i| self.x[i].clone()).collect::<Vec<_>>().into())
    }

    /// The names of the tensors; both lists are empty if they have none.
    pub(crate) const fn sample_names(&self) -> &SampleNames {
        &self.names
    }
}

/// Refuses a name that is there twice.
fn once(what: &str, own: &[String]) -> Result<()> {
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
