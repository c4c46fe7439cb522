//! Features of mean 0 and variance 1, with numbers found before training.

use super::axes::{axes_of, extents};
use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::{Data, Initializer, Shape, Tensor};
use std::sync::Arc;

/// The least deviation to divide by, as in Keras.
const LEAST: f32 = 1e-7;

/// (x - mean) / max(sqrt(variance), 1e-7), with a mean and a variance for each place along the kept axes. Keras'
/// `Normalization`.
///
/// Input and output `[batch, ...]`; `mean` and `variance` have the extents of the kept axes, the last one unless
/// [`Normalization::axes`] says otherwise. They are weights that training does not change, so that checkpoints and
/// files of weights have them: a loaded model needs no data to adapt to. Before [`Normalization::adapt`] they are 0 and
/// 1, which change nothing.
///
/// ```
/// use wgrad::prelude::*;
///
/// let x = Tensor::f32([4, 2], [1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0])?;
/// let model = Sequential::new([2])
///     .add(Normalization::new().adapt(&x)?)
///     .add(Dense::new(8).activation(Activation::Relu))
///     .add(Dense::new(1));
/// assert!(model.summary()?.contains("Non-trainable params: 4 "));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Normalization {
    axes: Vec<isize>,
    invert: bool,
    statistics: Option<Statistics>,
}

/// Mean and variance of data, or given numbers.
#[derive(Debug, Clone, PartialEq)]
struct Statistics {
    mean: Arc<[f32]>,
    variance: Arc<[f32]>,
    /// The axes that were kept, and their extents; `None` for numbers that were given.
    kept: Option<(Vec<isize>, Shape)>,
}

/// Only the settings: the numbers found in data are weights, which a checkpoint has anyway.
impl std::fmt::Debug for Normalization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Normalization")
            .field("axes", &self.axes)
            .field("invert", &self.invert)
            .finish_non_exhaustive()
    }
}

impl Default for Normalization {
    fn default() -> Self {
        Self::new()
    }
}

impl Normalization {
    /// A mean and a variance for each place along the last axis: 0 and 1 until the layer is adapted or its weights are
    /// loaded.
    #[must_use]
    pub fn new() -> Self {
        Self { axes: vec![-1], invert: false, statistics: None }
    }

    /// The axes of `[batch, ...]` that keep a mean and a variance for each of their places, from 1, or from -1 at the
    /// end; axis 0 is the batch. None for one mean and one variance of all elements. Keras' `axis`.
    #[must_use]
    pub fn axes(mut self, axes: impl Into<Vec<isize>>) -> Self {
        self.axes = axes.into();
        self
    }

    /// Whether the layer does the inverse: mean + x · max(sqrt(variance), 1e-7). It turns the outputs of a model that
    /// learned on scaled targets back into the targets' unit.
    #[must_use]
    pub const fn invert(mut self, invert: bool) -> Self {
        self.invert = invert;
        self
    }

    /// Takes mean and variance (divided by n) of `x`, `[n, ...]` f32 or u8, summed in f64. For a scaled dataset use
    /// [`Normalization::adapt_scaled`].
    ///
    /// # Errors
    /// [`Error::DType`] for ids; [`Error::Parameter`] for axes that `x` does not have; [`Error::Data`] for no samples
    /// and for NaN or infinity.
    pub fn adapt(self, x: &Tensor) -> Result<Self> {
        self.adapt_scaled(x, 1.0)
    }

    /// As [`Normalization::adapt`], for `x` times `scale`, which a model sees of a dataset with this scale:
    /// `adapt_scaled(data.x(), data.scale())`.
    ///
    /// # Errors
    /// As [`Normalization::adapt`]; [`Error::Parameter`] for a scale that is not finite.
    pub fn adapt_scaled(self, x: &Tensor, scale: f32) -> Result<Self> {
        if !scale.is_finite() {
            return Err(Error::parameter("scale", scale, "a finite number"));
        }
        let values: Vec<f64> = match x.data() {
            Data::F32(v) => v.iter().map(|&v| f64::from(v)).collect(),
            Data::U8(v) => v.iter().map(|&v| f64::from(v)).collect(),
            Data::U32(_) => {
                let detail = "quantities are normalised, f32 or u8; ids are not";
                return Err(Error::dtype("Normalization::adapt", &[x.dtype()], detail));
            }
        };
        let [rows, sample @ ..] = x.shape().dims() else {
            let detail = "the first axis counts samples: [n, ...]";
            return Err(Error::shape("Normalization::adapt", &[x.shape()], detail));
        };
        let sample = Shape::from(sample);
        let kept = self.kept(&sample)?;
        if values.is_empty() {
            return Err(Error::data(
                "x",
                format!("shape {} leaves nothing to adapt to", x.shape()),
            ));
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            let row = i / sample.len();
            let detail = format!("element {i} (row {row}) is {}; clean the data", values[i]);
            return Err(Error::data("x", detail));
        }
        let shape = extents(&sample, &kept);
        // The statistic that each element of a sample belongs to.
        let places: Vec<usize> = (0..sample.len()).map(|i| place(i, &sample, &kept)).collect();
        let sum = |term: &dyn Fn(usize, f64) -> f64| {
            let mut sums = vec![0.0; shape.len()];
            for (i, value) in values.iter().enumerate() {
                let at = places[i % places.len()];
                sums[at] += term(at, *value);
            }
            let count = (rows * places.len() / shape.len()) as f64;
            sums.into_iter().map(|sum| sum / count).collect::<Vec<f64>>()
        };
        // Rounding would give a constant a mean slightly off its value.
        let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); shape.len()];
        for (i, &value) in values.iter().enumerate() {
            let (low, high) = &mut ranges[places[i % places.len()]];
            (*low, *high) = (low.min(value), high.max(value));
        }
        let mut mean = sum(&|_, value| value);
        for (mean, (low, high)) in mean.iter_mut().zip(ranges) {
            *mean = mean.clamp(low, high);
        }
        let variance = sum(&|at, value| (value - mean[at]).powi(2));
        let scale = f64::from(scale);
        let mean: Arc<[f32]> = mean.iter().map(|mean| (mean * scale) as f32).collect();
        let variance: Arc<[f32]> = variance.iter().map(|v| (v * scale * scale) as f32).collect();
        if let Some(v) = mean.iter().chain(&*variance).find(|v| !v.is_finite()) {
            let detail = format!("a mean or variance is {v} as f32; divide the data by a constant");
            return Err(Error::data("x", detail));
        }
        let kept = Some((self.axes.clone(), shape));
        Ok(Self { statistics: Some(Statistics { mean, variance, kept }), ..self })
    }

    /// Uses these numbers as mean and variance: one of each for all places, or one for each place along the kept axes,
    /// in row-major order.
    ///
    /// # Errors
    /// [`Error::Parameter`] for lengths that differ, numbers that are not finite and variances below 0.
    pub fn statistics(
        self,
        mean: impl Into<Vec<f32>>,
        variance: impl Into<Vec<f32>>,
    ) -> Result<Self> {
        let (mean, variance) = (mean.into(), variance.into());
        if mean.len() != variance.len() || mean.is_empty() {
            let detail = format!("there are {} means; each has a variance", mean.len());
            return Err(Error::parameter("variances", variance.len(), detail));
        }
        if let Some(mean) = mean.iter().find(|mean| !mean.is_finite()) {
            return Err(Error::parameter("mean", mean, "a finite number"));
        }
        if let Some(v) = variance.iter().find(|v| !(v.is_finite() && **v >= 0.0)) {
            return Err(Error::parameter("variance", v, "a finite number, 0 or more"));
        }
        let (mean, variance) = (mean.into(), variance.into());
        Ok(Self { statistics: Some(Statistics { mean, variance, kept: None }), ..self })
    }

    /// The kept axes of a sample, from 0, sorted.
    fn kept(&self, sample: &Shape) -> Result<Vec<usize>> {
        axes_of("axes", &self.axes, sample)
    }
}

/// The place of a sample's `i`-th element along the kept axes.
fn place(i: usize, sample: &Shape, kept: &[usize]) -> usize {
    let dims = sample.dims();
    let index = |axis: usize| i / dims[axis + 1..].iter().product::<usize>() % dims[axis];
    kept.iter().fold(0, |place, &axis| place * dims[axis] + index(axis))
}

impl Settings for Normalization {
    fn blank() -> Self {
        Self::new()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("axis", &mut self.axes)?;
        fields.field("invert", &mut self.invert)?;
        // Statistics are weights, which files hold: they are not written here. Keras' files may give them here.
        let (mut mean, mut variance): (Option<Vec<f32>>, Option<Vec<f32>>) = (None, None);
        fields.field("mean", &mut mean)?;
        fields.field("variance", &mut variance)?;
        if let Some(mean) = mean {
            let given = self.clone().statistics(mean, variance.unwrap_or_default());
            *self = given.map_err(|e| fields.wrong("mean", &e.to_string()))?;
        }
        Ok(())
    }
}

impl Layer for Normalization {
    fn kind(&self) -> &'static str {
        "Normalization"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let own = extents(&inputs[0], &self.kept(&inputs[0])?);
        match &self.statistics {
            Some(Statistics { kept: Some((axes, shape)), .. })
                if *axes != self.axes || *shape != own =>
            {
                let detail = format!(
                    "the layer was adapted to {shape} along axes {axes:?}; samples have {own} along axes {:?}: \
                     set the axes before `adapt`, and adapt to such samples",
                    self.axes
                );
                Err(Error::shape("normalization", &[&inputs[0]], detail))
            }
            Some(Statistics { mean, kept: None, .. }) if ![1, own.len()].contains(&mean.len()) => {
                let detail =
                    format!("there are {} means; 1 or {} are expected", mean.len(), own.len());
                Err(Error::shape("normalization", &[&inputs[0]], detail))
            }
            _ => Ok(inputs[0].clone()),
        }
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape = extents(&inputs[0], &self.kept(&inputs[0]).unwrap_or_default());
        let spec = |name, initial, own: fn(&Statistics) -> &Arc<[f32]>| {
            let spec = |initial| {
                let initializer = Initializer::Constant(initial);
                WeightSpec::new(name, shape.clone(), initializer, Regularizer::default()).frozen()
            };
            match self.statistics.as_ref().map(own) {
                Some(values) if values.len() == shape.len() => spec(initial).values(values.clone()),
                Some(values) => spec(values[0]),
                None => spec(initial),
            }
        };
        vec![spec("mean", 0.0, |s| &s.mean), spec("variance", 1.0, |s| &s.variance)]
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let x = cx.input();
        let mut dims = graph.shape(x).dims().to_vec();
        let kept = self.kept(&dims[1..].into())?;
        for (axis, dim) in dims.iter_mut().enumerate() {
            if axis == 0 || !kept.contains(&(axis - 1)) {
                *dim = 1;
            }
        }
        let mean = graph.reshape(cx.weight("mean")?, dims.clone())?;
        let variance = graph.reshape(cx.weight("variance")?, dims)?;
        let deviation = graph.unary("sqrt", variance, &[])?;
        let least = graph.constant(LEAST);
        let deviation = graph.binary("maximum", deviation, least)?;
        if self.invert {
            let wide = graph.mul(x, deviation)?;
            return Ok(graph.add(wide, mean)?.into());
        }
        let centred = graph.sub(x, mean)?;
        Ok(graph.div(centred, deviation)?.into())
    }
}
