//! A layer that is a closure.

use super::{Context, Layer, Outputs};
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::tensor::{DType, Shape};
use std::fmt::{Debug, Formatter};
use std::sync::Arc;

/// Samples with which the closure is tried: a number that no other extent is likely to be.
const TRIED: usize = 13;

type Build = dyn Fn(&mut Graph, &[Value]) -> Result<Vec<Value>> + Send + Sync;

/// A closure over the graph's builder as a layer without weights. Keras' `Lambda`.
///
/// The closure gets the inputs, `[batch, ...]` f32, and gives an output `[batch, ...]`. Its shape is found by building the
/// closure in an empty graph. A checkpoint cannot tell one closure from another. A mask of the input ends here, as in
/// Keras, because nothing says what the closure makes of the steps: [`Lambda::keeps_mask`] hands it on.
///
/// ```
/// use wgrad::prelude::*;
/// use wgrad::layers;
///
/// let wave = layers::Lambda::new(|g, x| {
///     let twice = g.scale(x[0], 2.0)?;
///     g.unary("tanh", twice, &[])
/// });
/// let model = Sequential::new([4]).add(Dense::new(3)).add(wave).build()?;
/// assert_eq!(model.output_shapes(), [Shape::from([3])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Lambda {
    build: Arc<Build>,
    keeps_mask: bool,
}

impl Debug for Lambda {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        // What tells settings apart, as checkpoints do.
        f.write_str(if self.keeps_mask { "Lambda { keeps_mask: true }" } else { "Lambda" })
    }
}

impl Lambda {
    /// A layer with one output.
    #[must_use]
    pub fn new<F>(build: F) -> Self
    where
        F: Fn(&mut Graph, &[Value]) -> Result<Value> + Send + Sync + 'static,
    {
        Self::several(move |graph, inputs| Ok(vec![build(graph, inputs)?]))
    }

    /// A layer with several outputs, which [`super::SymbolicTensor::output`] names.
    #[must_use]
    pub fn several<F>(build: F) -> Self
    where
        F: Fn(&mut Graph, &[Value]) -> Result<Vec<Value>> + Send + Sync + 'static,
    {
        Self { build: Arc::new(build), keeps_mask: false }
    }

    /// Each output has the first mask of an input whose axes it has, as behind most layers: for a closure that computes
    /// each step by itself.
    #[must_use]
    pub const fn keeps_mask(mut self) -> Self {
        self.keeps_mask = true;
        self
    }
}

impl Layer for Lambda {
    fn kind(&self) -> &'static str {
        "Lambda"
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        match count {
            0 => Err(Error::parameter("inputs", count, "Lambda takes a tensor or more")),
            _ => Ok(()),
        }
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let types = self.outputs(inputs)?;
        let none = || Error::parameter("outputs", 0, "the closure gives an output or more");
        types.into_iter().next().map(|ty| ty.shape).ok_or_else(none)
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        let mut graph = Graph::new();
        let named = inputs.iter().enumerate().map(|(i, shape)| {
            let batch = [&[TRIED], shape.dims()].concat();
            graph.input(&format!("x{i}"), batch, DType::F32)
        });
        let inputs: Vec<Value> = named.collect();
        let outputs = (self.build)(&mut graph, &inputs)?;
        graph.check(self.kind(), &outputs)?;
        let sample = |&value: &Value| match graph.shape(value).dims() {
            [TRIED, sample @ ..] => {
                Ok(TensorType { shape: sample.into(), dtype: graph.ty(value).dtype })
            }
            _ => {
                let detail =
                    format!("of a batch of {TRIED} samples the closure gives {TRIED} rows");
                Err(Error::shape("lambda", &[graph.shape(value)], detail))
            }
        };
        outputs.iter().map(sample).collect()
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let outputs = Outputs::from((self.build)(graph, cx.inputs())?);
        Ok(if self.keeps_mask { outputs } else { outputs.mask(None) })
    }
}
