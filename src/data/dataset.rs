//! Features with their targets.

use super::named::SampleNames;
use super::source::check_rows;
use crate::error::{Error, Result};
use crate::tensor::{Data, Shape, Tensor};

/// Samples to train on or to evaluate: features `x` of shape `[n, ...]` and targets `y` of shape
/// `[n]` (class labels, u32), `[n, t]` (a label per position) or `[n, ...]` (f32). A model of several inputs or outputs
/// takes a tensor for each.
///
/// Labels may be given as u8 or u32. One per sample may be `[n]` or `[n, 1]`: it is kept as `[n]` u32. u8 targets of
/// several numbers per sample are labels for a loss that takes them; for other losses they become f32 on the device, as
/// u8 features do.
///
/// Features are f32, or u8 that stays u8 on the device and becomes f32 there, batch by batch, or u32 ids for an
/// embedding. What a dataset holds was checked when it was built: at least one sample, as many targets as
/// features, and no NaN or infinity unless allowed.
///
/// Tensors are in the order of the model's inputs and outputs, or [`named`](Self::named):
///
/// ```
/// use wgrad::prelude::*;
///
/// let (ids, points) = (Tensor::u32([2, 1], [3, 4])?, Tensor::f32([2, 2], [0.5; 4])?);
/// let (size, class) = (Tensor::f32([2, 1], [1.0, 2.0])?, Tensor::u32([2], [0, 1])?);
/// let data = TensorDataset::named([("points", points), ("ids", ids)], [("size", size), ("class", class)])?
///     .weighted_by_name([("size", Tensor::f32([2], [1.0, 0.5])?)])?;
/// assert_eq!(data.weights_of(0).unwrap().as_f32()?, [1.0, 0.5]);
/// // The model finds each tensor, whatever the order of its inputs and outputs: trainer.fit(&data, Fit::new())
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TensorDataset {
    pub(super) x: Vec<Tensor>,
    pub(super) y: Vec<Tensor>,
    /// The weights of losses: none, one tensor for every output, or a place for each output.
    pub(super) weights: Vec<Option<Tensor>>,
    pub(super) scale: Option<f32>,
    /// The names of the tensors, if they have any.
    pub(super) names: SampleNames,
}

impl TensorDataset {
    /// Pairs features with targets.
    ///
    /// # Errors
    /// - [`Error::Shape`] for a scalar on either side.
    /// - [`Error::Data`] for no samples, samples without elements, differing numbers of samples,
    ///   and NaN or infinity on either side.
    pub fn new(x: Tensor, y: Tensor) -> Result<Self> {
        Self::multi([x], [y])
    }

    /// As [`TensorDataset::new`], with a tensor for each input and each output of a model.
    ///
    /// # Errors
    /// As [`TensorDataset::new`]; no tensor on either side.
    pub fn multi(x: impl Into<Vec<Tensor>>, y: impl Into<Vec<Tensor>>) -> Result<Self> {
        let dataset = Self::multi_allow_non_finite(x.into(), y.into())?;
        dataset.x.iter().try_for_each(|x| check_finite("x", x))?;
        dataset.y.iter().try_for_each(|y| check_finite("y", y))?;
        Ok(dataset)
    }

    /// As [`TensorDataset::new`], but NaN and infinity are allowed, and reach every loss that they touch.
    ///
    /// # Errors
    /// As [`TensorDataset::new`], without the last.
    pub fn new_allow_non_finite(x: Tensor, y: Tensor) -> Result<Self> {
        Self::multi_allow_non_finite(vec![x], vec![y])
    }

    fn multi_allow_non_finite(x: Vec<Tensor>, y: Vec<Tensor>) -> Result<Self> {
        let (Some(first), false) = (x.first(), y.is_empty()) else {
            return Err(Error::data("x, y", "a dataset has features and targets"));
        };
        let samples = samples("x", first)?;
        for x in &x {
            same_length("x", x, first.shape(), samples)?;
        }
        let mut targets = Vec::with_capacity(y.len());
        for y in y {
            same_length("y", &y, first.shape(), samples)?;
            targets.push(labels(y)?);
        }
        let names = SampleNames::default();
        Ok(Self { x, y: targets, weights: Vec::new(), scale: None, names })
    }

    /// The same data, each loss multiplied by its weight: `[n]` f32, 0 or more, for a weight per sample, or `[n, t]` for
    /// one per position of outputs `[n, t, ...]`. If there are several outputs, all have these weights.
    ///
    /// # Errors
    /// [`Error::Data`] for a number of weights other than that of samples, or a weight that is negative or not
    /// finite, naming the first; [`Error::DType`] for weights that are not f32. Whether they suit the positions is
    /// checked with the model.
    pub fn weighted(self, weights: Tensor) -> Result<Self> {
        self.check_weights(&weights)?;
        Ok(Self { weights: vec![Some(weights)], ..self })
    }

    /// As [`TensorDataset::weighted`], with weights for each output in order; `None` for an output without.
    ///
    /// # Errors
    /// As [`TensorDataset::weighted`]; [`Error::Data`] for another number of places than there are outputs.
    pub fn weighted_outputs(self, weights: impl Into<Vec<Option<Tensor>>>) -> Result<Self> {
        let weights = weights.into();
        if weights.len() != self.y.len() {
            let detail =
                format!("{} for {} outputs; each has a place", weights.len(), self.y.len());
            return Err(Error::data("sample weights", detail));
        }
        weights.iter().flatten().try_for_each(|w| self.check_weights(w))?;
        let any = weights.iter().any(Option::is_some);
        Ok(Self { weights: if any { weights } else { Vec::new() }, ..self })
    }

    /// Refuses weights that no loss can have.
    fn check_weights(&self, weights: &Tensor) -> Result<()> {
        let values = weights.as_f32()?;
        let (shape, n) = (weights.shape(), self.len());
        if shape.dims().first() != Some(&n) || shape.is_empty() {
            let detail = format!(
                "shape {shape}; [{n}] is expected, a weight per sample, or [{n}, t], a weight per position"
            );
            return Err(Error::data("sample weights", detail));
        }
        if let Some(i) = values.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            let row = i / (values.len() / n);
            let detail =
                format!("row {row} has weight {}; weights are finite, 0 or more", values[i]);
            return Err(Error::data("sample weights", detail));
        }
        Ok(())
    }

    /// The same data, its features multiplied by `scale` when they are decoded on the device, in
    /// place of any scale set before: `1.0 / 255.0` takes u8 pixels to `[0, 1]`.
    ///
    /// A model remembers the scale that it was trained with, and also multiplies datasets of the same element type by
    /// it if they were given none.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a scale that is NaN or infinite.
    pub fn scaled(self, scale: f32) -> Result<Self> {
        if !scale.is_finite() {
            return Err(Error::parameter("scale", scale, "must be a finite number"));
        }
        Ok(Self { scale: Some(scale), ..self })
    }

    /// How many samples there are: at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.x[0].shape().dims()[0]
    }

    /// Always false: an empty dataset cannot be built.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The features of the first input, `[n, ...]`, before [`scale`](Self::scale).
    #[must_use]
    pub fn x(&self) -> &Tensor {
        &self.x[0]
    }

    /// The features of each input.
    #[must_use]
    pub fn features(&self) -> &[Tensor] {
        &self.x
    }

    /// The targets of the first output: `[n]` u32 or `[n, ...]` f32.
    #[must_use]
    pub fn y(&self) -> &Tensor {
        &self.y[0]
    }

    /// The targets of each output.
    #[must_use]
    pub fn targets(&self) -> &[Tensor] {
        &self.y
    }

    /// The weights of the losses of the first output, `[n]` or `[n, t]`, if there are any.
    #[must_use]
    pub fn weights(&self) -> Option<&Tensor> {
        self.weights_of(0)
    }

    /// The weights of the losses of an output, `[n]` or `[n, t]`, if it has any.
    #[must_use]
    pub fn weights_of(&self, output: usize) -> Option<&Tensor> {
        let place = if self.weights.len() == 1 { 0 } else { output };
        self.weights.get(place)?.as_ref()
    }

    /// None, one tensor for every output, or a place for each output.
    pub(crate) fn weight_tables(&self) -> &[Option<Tensor>] {
        &self.weights
    }

    /// What the features are multiplied by on the device: 1 unless [`scaled`](Self::scaled).
    #[must_use]
    pub const fn scale(&self) -> f32 {
        match self.scale {
            Some(scale) => scale,
            None => 1.0,
        }
    }

    /// The scale that was given, if one was.
    pub(crate) const fn given_scale(&self) -> Option<f32> {
        self.scale
    }

    /// The shape of one sample's features: `x` without its first axis.
    #[must_use]
    pub fn sample_shape(&self) -> Shape {
        Shape::from(&self.x().shape().dims()[1..])
    }

    /// The shape of one sample's target: `y` without its first axis, a scalar for class labels.
    #[must_use]
    pub fn target_shape(&self) -> Shape {
        Shape::from(&self.y().shape().dims()[1..])
    }

    /// Checks that every target is a class label below `classes`.
    ///
    /// # Errors
    /// [`Error::Data`] naming the first row whose label is outside and how many there are; [`Error::DType`] if the
    /// targets are no labels.
    pub fn check_labels(&self, classes: usize) -> Result<()> {
        self.check_labels_of(0, classes)
    }

    /// As [`TensorDataset::check_labels`], for the targets of one of several outputs.
    ///
    /// # Errors
    /// As [`TensorDataset::check_labels`]; [`Error::Parameter`] for an output that is not there.
    pub fn check_labels_of(&self, output: usize, classes: usize) -> Result<()> {
        let Some(y) = self.y.get(output) else {
            let detail = format!("there are the {} outputs 0..{0}", self.y.len());
            return Err(Error::parameter("output", output, detail));
        };
        let Data::U32(labels) = y.data() else {
            return Err(Error::dtype(
                "check_labels",
                &[y.dtype()],
                "class labels are u32; for f32 targets use a loss that takes one value per output",
            ));
        };
        let outside = |label: u32| label as usize >= classes;
        let Some(place) = labels.iter().position(|&label| outside(label)) else {
            return Ok(());
        };
        let (row, at) = row_of(place, labels.len() / self.len());
        let count = labels.iter().filter(|&&label| outside(label)).count();
        Err(Error::data(
            "y",
            format!(
                "row {row}{at} has label {}, outside the {classes} classes 0..{classes} \
                 ({count} of {} labels are outside); correct the labels or give the model's last \
                 layer more units",
                labels[place],
                labels.len()
            ),
        ))
    }

    /// The first `n` samples and the rest, both copies with the same scale.
    ///
    /// # Errors
    /// [`Error::Parameter`] if either side would be empty.
    pub fn split_at(&self, n: usize) -> Result<(Self, Self)> {
        let len = self.len();
        if n == 0 || n >= len {
            return Err(Error::parameter(
                "n",
                n,
                format!(
                    "splitting {len} samples needs 0 < n < {len}, to leave samples on each side"
                ),
            ));
        }
        Ok((self.rows(0, n)?, self.rows(n, len - n)?))
    }

    /// The first `n` samples, copied.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `n` is 0 or more than there are.
    pub fn take(&self, n: usize) -> Result<Self> {
        self.rows(0, n)
    }

    /// The samples `start..start + count`, copied, with the same scale.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `count` is 0 or the range reaches past the end.
    pub fn rows(&self, start: usize, count: usize) -> Result<Self> {
        let len = self.len();
        if count == 0 || start.checked_add(count).is_none_or(|end| end > len) {
            return Err(Error::parameter(
                "rows",
                format!("{start}..{start}+{count}"),
                format!("must name at least one of the samples 0..{len}"),
            ));
        }
        let rows = |tensors: &[Tensor]| -> Result<Vec<Tensor>> {
            tensors.iter().map(|t| t.rows(start, count)).collect()
        };
        let weights =
            self.weights.iter().map(|w| w.as_ref().map(|w| w.rows(start, count)).transpose());
        let weights = weights.collect::<Result<_>>()?;
        let names = self.names.clone();
        Ok(Self { x: rows(&self.x)?, y: rows(&self.y)?, weights, scale: self.scale, names })
    }

    /// The samples of `rows` in this order, copied, with the same scale. A row may come twice.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `rows` is empty or names a row that is not there.
    pub fn select(&self, rows: &[u32]) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::parameter("rows", "[]", "must name at least one sample"));
        }
        check_rows(rows, self.len())?;
        let pick = |tensors: &[Tensor]| -> Result<Vec<Tensor>> {
            tensors.iter().map(|t| gather(t, rows)).collect()
        };
        let weights = self.weights.iter().map(|w| w.as_ref().map(|w| gather(w, rows)).transpose());
        let weights = weights.collect::<Result<_>>()?;
        let names = self.names.clone();
        Ok(Self { x: pick(&self.x)?, y: pick(&self.y)?, weights, scale: self.scale, names })
    }
}

/// The row of a label, and where in the row it is if there are several, in words.
pub(crate) fn row_of(place: usize, width: usize) -> (usize, String) {
    let at = if width == 1 { String::new() } else { format!(" at position {}", place % width) };
    (place / width, at)
}

/// Targets with labels, one per sample, as `[n]` u32.
fn labels(y: Tensor) -> Result<Tensor> {
    let samples = y.shape().dims()[0];
    let one = y.shape().len() == samples;
    match y.data() {
        Data::U8(labels) if one => {
            Tensor::u32([samples], labels.iter().copied().map(u32::from).collect::<Vec<_>>())
        }
        Data::U32(labels) if one && y.shape().rank() != 1 => Tensor::u32([samples], labels.clone()),
        _ => Ok(y),
    }
}

/// Rows along the first axis of a tensor that has them all.
fn gather(tensor: &Tensor, rows: &[u32]) -> Result<Tensor> {
    fn pick<T: Copy>(values: &[T], width: usize, rows: &[u32]) -> Vec<T> {
        rows.iter().flat_map(|&row| &values[row as usize * width..][..width]).copied().collect()
    }
    let mut dims = tensor.shape().dims().to_vec();
    let width = dims[1..].iter().product();
    dims[0] = rows.len();
    let data = match tensor.data() {
        Data::F32(v) => Data::F32(pick(v, width, rows)),
        Data::U32(v) => Data::U32(pick(v, width, rows)),
        Data::U8(v) => Data::U8(pick(v, width, rows)),
    };
    Tensor::new(dims, data)
}

/// The extent of the first axis, if every tensor has one.
fn samples(name: &str, tensor: &Tensor) -> Result<usize> {
    match tensor.shape().dims() {
        [] => Err(Error::shape(
            "dataset",
            &[tensor.shape()],
            format!("`{name}` is a scalar where its first axis must count samples"),
        )),
        [0, ..] => Err(Error::data(name, "no samples; a dataset needs at least one")),
        dims if dims.contains(&0) => Err(Error::data(
            name,
            format!("shape {} leaves each sample without elements", tensor.shape()),
        )),
        dims => Ok(dims[0]),
    }
}

/// Refuses a tensor of another number of samples.
fn same_length(name: &str, tensor: &Tensor, first: &Shape, expected: usize) -> Result<()> {
    let found = samples(name, tensor)?;
    if found == expected {
        return Ok(());
    }
    let what = if name == "y" { "targets" } else { "samples" };
    let shape = tensor.shape();
    let detail = format!(
        "{found} {what} {shape} for {expected} samples {first}; each sample needs one target"
    );
    Err(Error::data(name, detail))
}

/// Refuses NaN and infinity in a tensor that has samples.
fn check_finite(name: &str, tensor: &Tensor) -> Result<()> {
    let Data::F32(values) = tensor.data() else { return Ok(()) };
    let Some(first) = values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    let count = values.iter().filter(|v| !v.is_finite()).count();
    let width = values.len() / tensor.shape().dims()[0];
    Err(Error::data(
        name,
        format!(
            "element {first} (row {}) is {}; {count} of {} values are not finite. Clean the data, \
             or build it with TensorDataset::new_allow_non_finite",
            first / width,
            values[first],
            values.len()
        ),
    ))
}
