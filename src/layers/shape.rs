//! Layers that give a sample another shape.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::Shape;

/// The elements of each sample under another shape, in row-major order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshape {
    shape: Vec<isize>,
}

impl Reshape {
    /// The shape of a sample (without the batch axis). One extent may be -1: it follows from the others.
    #[must_use]
    pub fn new(shape: impl Into<Vec<isize>>) -> Self {
        Self { shape: shape.into() }
    }

    /// The new shape of samples of the shape `from`.
    fn target(&self, from: &Shape) -> Result<Shape> {
        let shown = format!("{:?}", self.shape);
        let known = self.shape.iter().filter(|&&d| d != -1);
        if known.clone().any(|&d| d < 1) || known.clone().count() + 1 < self.shape.len() {
            let detail = "extents are 1 or more, but one of them may be -1";
            return Err(Error::parameter("shape", shown, detail));
        }
        let known: Shape = known.map(|&d| d as usize).collect::<Vec<_>>().into();
        let rest = from.len() / known.len();
        let dims = self.shape.iter().map(|&d| if d == -1 { rest } else { d as usize });
        let to = Shape::from(dims.collect::<Vec<_>>());
        if to.len() != from.len() {
            let detail = format!("its {} elements do not fill {shown}", from.len());
            return Err(Error::shape("reshape", &[from], detail));
        }
        Ok(to)
    }
}

impl Settings for Reshape {
    fn blank() -> Self {
        Self::new([])
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("target_shape", &mut self.shape)
    }
}

impl Layer for Reshape {
    fn kind(&self) -> &'static str {
        "Reshape"
    }

    fn keeps_elements(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.target(&inputs[0])
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let (batch, sample) = batch_and_sample(graph, cx.input());
        let to = self.target(&sample)?;
        let y = graph.reshape(cx.input(), [&[batch], to.dims()].concat())?;
        Ok(Outputs::from(y).mask(None))
    }
}

/// The axes of each sample in another order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permute {
    dims: Vec<usize>,
}

impl Permute {
    /// Axis i of the result is axis `dims[i - 1]` of `[batch, ...]`, both counted from 1: axis 0 is the batch and
    /// stays. `[2, 1]` transposes matrices.
    #[must_use]
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Self { dims: dims.into() }
    }
}

impl Settings for Permute {
    fn blank() -> Self {
        Self::new([])
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("dims", &mut self.dims)
    }
}

impl Layer for Permute {
    fn kind(&self) -> &'static str {
        "Permute"
    }

    fn keeps_range(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let from = inputs[0].dims();
        let mut sorted = self.dims.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(1..=from.len()) {
            let detail = format!("samples {} have the axes 1 to {}", inputs[0], from.len());
            return Err(Error::parameter("dims", format!("{:?}", self.dims), detail));
        }
        Ok(self.dims.iter().map(|&d| from[d - 1]).collect::<Vec<_>>().into())
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let y = graph.transpose(cx.input(), &[&[0], self.dims.as_slice()].concat())?;
        Ok(Outputs::from(y).mask(None))
    }
}

/// Each sample `n` times, one after the other: `[batch, d]` becomes `[batch, n, d]`. Keras' `RepeatVector`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatVector {
    n: usize,
}

impl RepeatVector {
    /// `n` times, 1 or more.
    #[must_use]
    pub const fn new(n: usize) -> Self {
        Self { n }
    }
}

impl Settings for RepeatVector {
    fn blank() -> Self {
        Self::new(0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("n", &mut self.n)
    }
}

impl Layer for RepeatVector {
    fn kind(&self) -> &'static str {
        "RepeatVector"
    }

    fn keeps_range(&self) -> bool {
        true
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self.n == 0 {
            return Err(Error::parameter("n", 0, "a vector is repeated once or more"));
        }
        match inputs[0].dims() {
            &[width] => Ok([self.n, width].into()),
            _ => {
                let detail = "samples are vectors [d]; flatten them first";
                Err(Error::shape("repeat_vector", &[&inputs[0]], detail))
            }
        }
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let (batch, sample) = batch_and_sample(graph, cx.input());
        let row = graph.reshape(cx.input(), [batch, 1, sample.len()])?;
        let y = graph.broadcast_to(row, [batch, self.n, sample.len()])?;
        Ok(Outputs::from(y).mask(None))
    }
}

/// The extent of the batch axis, and the shape of a sample.
fn batch_and_sample(graph: &Graph, x: Value) -> (usize, Shape) {
    let dims = graph.shape(x).dims();
    (dims[0], dims[1..].into())
}
