//! A layer whose kernel has a largest singular value of one.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, LayerHandle, Outputs, WeightSpec};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::tensor::{Initializer, Shape, Tensor};

/// The weights that are normalized, if a layer has one of them.
const KERNELS: [&str; 2] = ["kernel", "embeddings"];

/// The least length by which a vector is divided.
const LEAST: f32 = 1e-12;

/// A layer whose kernel is divided by its largest singular value, so that it stretches nothing: as in the discriminator of
/// a GAN. Miyato et al., "Spectral normalization for generative adversarial networks", 2018. Keras'
/// `SpectralNormalization`.
///
/// Inputs and outputs are the layer's. The kernel, or the table of an `Embedding`, counts as a matrix `[..., n]`. The state
/// `vector_u` `[1, n]` is the direction that it stretches most, as far as that is known: each training step comes closer
/// by `power_iterations` products, 1 by default. Gradients flow through the division, by the singular value, and not
/// through `vector_u`.
///
/// The weights have the layer's name: `spectral_normalization/dense/kernel`. They stay as the optimizer leaves them, and the
/// division is a part of the layer in training, evaluation and prediction, as in the paper and in PyTorch. Keras divides
/// the variable itself in each training step, and not at all in evaluation.
///
/// ```
/// use wgrad::prelude::*;
///
/// let critic = Sequential::new([2])
///     .add(SpectralNormalization::new(Dense::new(64).activation(Activation::Relu)))
///     .add(SpectralNormalization::new(Dense::new(1)))
///     .build()?;
/// assert!(critic.summary().contains("Non-trainable params: 65 "));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SpectralNormalization {
    layer: LayerHandle,
    power_iterations: usize,
}

impl SpectralNormalization {
    /// `layer` with a normalized kernel.
    #[must_use]
    pub fn new(layer: impl Into<LayerHandle>) -> Self {
        Self { layer: layer.into(), power_iterations: 1 }
    }

    /// How many products each training step takes to come closer to the largest singular value, 1 or more.
    #[must_use]
    pub const fn power_iterations(mut self, iterations: usize) -> Self {
        self.power_iterations = iterations;
        self
    }

    /// The kernel of the layer.
    fn kernel(&self, inputs: &[Shape]) -> Result<WeightSpec> {
        let own = self.layer.layer().weights(inputs);
        let kernel = own.iter().find(|w| KERNELS.contains(&w.name.as_str()) && w.shape.rank() > 1);
        kernel.cloned().ok_or_else(|| {
            let names: Vec<&str> = own.iter().map(|w| w.name.as_str()).collect();
            let detail = format!(
                "it has no weight `kernel` or `embeddings` of two axes or more to normalize; its weights are {names:?}"
            );
            Error::parameter("layer", self.layer.layer().kind(), detail)
        })
    }

    /// kernel / σ, and a direction nearer to that of σ if this is a step of training.
    fn normalized(
        &self,
        g: &mut Graph,
        kernel: Value,
        mut u: Value,
        trains: bool,
    ) -> Result<[Value; 2]> {
        let shape = g.shape(kernel).clone();
        let width = shape.dims()[shape.rank() - 1];
        let matrix = g.reshape(kernel, [shape.len() / width, width])?;
        let constant = g.stop_gradient(matrix)?;
        let mut v = along(g, u, constant, true)?;
        for i in 0..if trains { self.power_iterations } else { 0 } {
            if i > 0 {
                v = along(g, u, constant, true)?;
            }
            u = along(g, v, constant, false)?;
        }
        let (u, v) = (g.stop_gradient(u)?, g.stop_gradient(v)?);
        // In evaluation u is not the image of v, and has any length at first.
        let image = g.matmul(v, matrix)?;
        let sigma = match trains {
            true => {
                let product = g.mul(image, u)?;
                g.sum(product, &[], false)?
            }
            false => length(g, image)?,
        };
        // A kernel of zeros stays one.
        let one = g.constant(1.0);
        let sigma = g.select(sigma, sigma, one)?;
        Ok([g.div(kernel, sigma)?, u])
    }
}

/// √Σ x², at least [`LEAST`].
fn length(g: &mut Graph, x: Value) -> Result<Value> {
    let square = g.unary("square", x, &[])?;
    let sum = g.sum(square, &[], false)?;
    let least = g.constant(LEAST * LEAST);
    let sum = g.binary("maximum", sum, least)?;
    g.unary("sqrt", sum, &[])
}

/// The row `x` times the matrix, or its transpose, with a length of one.
fn along(g: &mut Graph, x: Value, matrix: Value, transposed: bool) -> Result<Value> {
    let image = g.matmul_form(x, matrix, false, transposed)?;
    let length = length(g, image)?;
    g.div(image, length)
}

impl Settings for SpectralNormalization {
    fn blank() -> Self {
        Self::new(Activation::Linear)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        let mut layer = Some(self.layer.clone());
        fields.layer("layer", &mut layer)?;
        self.layer = layer.unwrap_or_else(|| self.layer.clone());
        fields.field("power_iterations", &mut self.power_iterations)
    }
}

impl Layer for SpectralNormalization {
    fn kind(&self) -> &'static str {
        "SpectralNormalization"
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        self.layer.layer().check_inputs(count)
    }

    fn batch_size(&self) -> Option<usize> {
        self.layer.layer().batch_size()
    }

    fn takes_indices(&self) -> Option<usize> {
        self.layer.layer().takes_indices()
    }

    fn takes_indices_of(&self, input: usize, inputs: &[Shape]) -> Option<usize> {
        self.layer.layer().takes_indices_of(input, inputs)
    }

    fn activation(&self) -> Option<Activation> {
        self.layer.layer().activation()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self.power_iterations == 0 {
            return Err(Error::parameter("power_iterations", 0, "one or more"));
        }
        let activity = self.layer.layer().activity_regularizer().check();
        activity.map_err(|error| error.of("activity_regularizer"))?;
        let shape = self.layer.layer().output_shape(inputs)?;
        self.kernel(inputs)?;
        Ok(shape)
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        self.output_shape(inputs)?;
        self.layer.layer().outputs(inputs)
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let mut specs = self.layer.weights_within(&self.layer.part_name(), inputs);
        if let Ok(kernel) = self.kernel(inputs) {
            let width = kernel.shape.dims()[kernel.shape.rank() - 1];
            let drawn = Initializer::Normal { mean: 0.0, stddev: 0.02 };
            specs.push(WeightSpec::state("vector_u", [1, width], drawn));
        }
        specs
    }

    fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let part = self.layer.part_name();
        let own = self.layer.layer().constants(inputs).into_iter();
        own.map(|(name, tensor)| (format!("{part}/{name}"), tensor)).collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let samples: Vec<Shape> =
            cx.inputs().iter().map(|&x| graph.shape(x).dims()[1..].into()).collect();
        let name = self.kernel(&samples)?.name;
        let part = self.layer.part_name();
        let inner = cx.part(&part, cx.inputs()).with_masks(cx.masks());
        let trains = cx.training() && cx.trainable();
        let (kernel, u) = (inner.weight(&name)?, cx.state("vector_u")?);
        let [kernel, u] = self.normalized(graph, kernel, u, trains)?;
        let outputs = inner.with_weight(&name, kernel).apply(graph, &self.layer)?;
        let own = Outputs { state: Vec::new(), ..outputs.clone() }.part(&part, &outputs);
        Ok(if trains { own.state("vector_u", u) } else { own })
    }
}
