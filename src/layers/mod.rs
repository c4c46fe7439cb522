//! Layers: functions that build nodes of a graph. They have no kernels.

mod axes;
mod concatenate;
mod core;
mod dense;
mod embedding;
mod handle;
mod layer_normalization;
mod merge;
mod model;
mod noise;
mod normalization;
mod rectifier;
mod sequential;
mod shape;
mod summary;
mod symbolic;

pub use self::core::{Dropout, Flatten};
pub use concatenate::Concatenate;
pub use dense::{Dense, Regularizer};
pub use embedding::Embedding;
pub use handle::LayerHandle;
pub use layer_normalization::{LayerNormalization, RmsNormalization};
pub use merge::{Add, Average, Multiply};
pub use model::{Call, Model, ModelInput, NamedLayer};
pub use noise::{AlphaDropout, GaussianNoise};
pub use normalization::Normalization;
pub use rectifier::{PRelu, RRelu};
pub use sequential::Sequential;
pub use shape::{Permute, Reshape};
pub use symbolic::{SymbolicTensor, input, input_named, merge};

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::{Initializer, Shape};
use std::fmt::Debug;
use std::sync::Arc;

/// A tensor that a layer asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightSpec {
    /// Its name inside the layer: `kernel`, `bias`.
    pub name: &'static str,
    /// Its shape.
    pub shape: Shape,
    /// Its initial values.
    pub initializer: Initializer,
    /// Units that feed one output unit, for the variance-scaling initializers.
    pub fan_in: usize,
    /// Units that one input unit feeds.
    pub fan_out: usize,
    /// The penalty that its values add to the loss.
    pub regularizer: Regularizer,
    /// Whether training may change it, unless its layer is frozen.
    pub trainable: bool,
    /// Its initial values in row-major order, in place of the initializer's.
    pub values: Option<Arc<[f32]>>,
}

impl WeightSpec {
    /// A weight with Keras' fans. Both fans of a vector are its length, a matrix is `[fan_in, fan_out]`. With more
    /// axes, the leading ones count as the receptive field of a convolution, a factor on both.
    #[must_use]
    pub fn new(
        name: &'static str,
        shape: impl Into<Shape>,
        initializer: Initializer,
        regularizer: Regularizer,
    ) -> Self {
        let shape = shape.into();
        let (fan_in, fan_out) = match shape.dims() {
            [] => (1, 1),
            &[len] => (len, len),
            [field @ .., fan_in, fan_out] => {
                let field = Shape::from(field).len();
                (fan_in.saturating_mul(field), fan_out.saturating_mul(field))
            }
        };
        let (trainable, values) = (true, None);
        Self { name, shape, initializer, fan_in, fan_out, regularizer, trainable, values }
    }

    /// A weight that training never changes: it is saved with the others, and no gradient moves it.
    #[must_use]
    pub const fn frozen(mut self) -> Self {
        self.trainable = false;
        self
    }

    /// A weight with these initial values, one for each element; a model refuses another number of them.
    #[must_use]
    pub fn values(mut self, values: impl Into<Arc<[f32]>>) -> Self {
        self.values = Some(values.into());
        self
    }
}

/// What a layer may depend on besides its input and weights.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Training: seed and step of the random numbers. `None` at evaluation and prediction.
    pub random: Option<(Value, Value)>,
    /// The layer's random stream: a function of its name.
    pub stream: u32,
}

/// A layer of a network.
///
/// A layer takes one tensor, or several if it merges them: [`Layer::check_inputs`] says how many.
///
/// ```
/// use wgrad::graph::{Graph, Value};
/// use wgrad::layers::{Layer, Mode};
/// use wgrad::prelude::{Dense, Sequential, Shape};
///
/// /// x · tanh(softplus(x)). Misra 2019.
/// #[derive(Debug)]
/// struct Mish;
///
/// impl Layer for Mish {
///     fn kind(&self) -> &'static str {
///         "Mish"
///     }
///
///     fn output_shape(&self, inputs: &[Shape]) -> wgrad::Result<Shape> {
///         Ok(inputs[0].clone())
///     }
///
///     fn apply(
///         &self,
///         graph: &mut Graph,
///         inputs: &[Value],
///         _weights: &[Value],
///         _mode: &Mode,
///     ) -> wgrad::Result<Value> {
///         let soft = graph.unary("softplus", inputs[0], &[])?;
///         let gate = graph.unary("tanh", soft, &[])?;
///         graph.mul(inputs[0], gate)
///     }
/// }
///
/// let model = Sequential::new([3]).add(Dense::new(8)).add(Mish).build()?;
/// assert_eq!(model.layers()[1].name, "mish");
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Layer: Debug + Send + Sync {
    /// The type's name as Keras spells it: `Dense`.
    fn kind(&self) -> &'static str;

    /// Refuses a number of inputs that the layer does not take. Unless it defines this, a layer takes one.
    ///
    /// # Errors
    /// [`Error::Parameter`] with the number.
    fn check_inputs(&self, count: usize) -> Result<()> {
        match count {
            1 => Ok(()),
            _ => {
                Err(Error::parameter("inputs", count, format!("{} takes one tensor", self.kind())))
            }
        }
    }

    /// The number of rows in the table, if the layer takes u32 ids: the host refuses data with an id that is not below
    /// it. `None` for a layer that takes numbers.
    fn takes_indices(&self) -> Option<usize> {
        None
    }

    /// Whether the output has the same elements as the input, in another shape: ids stay ids.
    fn keeps_elements(&self) -> bool {
        false
    }

    /// The function that gives the output its values. [`Model::compile`] refuses a loss that does not suit the function
    /// of the last layer. `None` if a layer does not tell: then nothing is refused.
    fn activation(&self) -> Option<Activation> {
        None
    }

    /// The shape of one output sample (without the batch axis) from those of one sample of each input.
    ///
    /// # Errors
    /// Settings outside their domain, or inputs that do not suit.
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape>;

    /// The tensors for inputs of these sample shapes.
    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        Vec::new()
    }

    /// Builds the layer: each input is `[batch, ...]`, `weights` in the order of [`Layer::weights`].
    ///
    /// # Errors
    /// Those of the ops it builds.
    fn apply(
        &self,
        graph: &mut Graph,
        inputs: &[Value],
        weights: &[Value],
        mode: &Mode,
    ) -> Result<Value>;

    /// The layer with this name.
    fn named(self, name: &str) -> LayerHandle
    where
        Self: Sized + 'static,
    {
        LayerHandle::from(self).named(name)
    }

    /// The layer with weights that training leaves as they are.
    fn frozen(self) -> LayerHandle
    where
        Self: Sized + 'static,
    {
        LayerHandle::from(self).frozen()
    }
}

/// The random stream of a name (FNV-1a): a layer keeps its numbers at any place in a model.
pub(crate) fn stream_of(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// `AlphaDropout` becomes `alpha_dropout`, `PReLU` `p_re_lu`: the rule by which Keras 3 names layers. A capital
/// starts a word if it follows a small letter or precedes one.
fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let small = |i: usize| letters.get(i).is_some_and(char::is_ascii_lowercase);
    let mut out = String::new();
    for (i, c) in letters.iter().enumerate() {
        if i > 0 && c.is_ascii_uppercase() && (small(i - 1) || small(i + 1)) {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn names_are_those_of_keras() {
        // Each pair is what `to_snake_case` of Keras 3.15.1 gives.
        for (kind, name) in [
            ("Dense", "dense"),
            ("PReLU", "p_re_lu"),
            ("RReLU", "r_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("AlphaDropout", "alpha_dropout"),
            ("GaussianNoise", "gaussian_noise"),
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("MaxPooling2D", "max_pooling2d"),
            ("LSTM", "lstm"),
            ("GRUCell", "gru_cell"),
            ("BatchNormalizationV2", "batch_normalization_v2"),
            ("My_Layer", "my__layer"),
            ("aB1Cd", "a_b1_cd"),
            ("Layer-X", "layer_x"),
        ] {
            assert_eq!(snake_case(kind), name);
        }
    }
}
