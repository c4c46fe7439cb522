//! Layers: composites over the graph builder. They have no kernels of their own.

mod core;
mod dense;
mod sequential;
mod summary;

pub use self::core::{Dropout, Flatten};
pub use dense::{Dense, Regularizer};
pub use sequential::{NamedLayer, Sequential};

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::tensor::{Initializer, Shape};
use std::fmt::Debug;

/// A trainable tensor that a layer asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightSpec {
    /// Its name inside the layer: `kernel`, `bias`.
    pub name: &'static str,
    /// Its shape.
    pub shape: Shape,
    /// How it begins.
    pub initializer: Initializer,
    /// Units that feed one output unit, for the variance-scaling initializers.
    pub fan_in: usize,
    /// Units that one input unit feeds.
    pub fan_out: usize,
    /// The penalty that its values add to the loss.
    pub regularizer: Regularizer,
}

/// What a layer may depend on beside its input and weights.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Training: seed and step of the random numbers. `None` at evaluation and prediction.
    pub random: Option<(Value, Value)>,
    /// The layer's own random stream: a function of its name.
    pub stream: u32,
}

/// A layer of a network.
pub trait Layer: Debug + Send + Sync {
    /// The type's name as Keras spells it: `Dense`.
    fn kind(&self) -> &'static str;

    /// The shape of one output sample (without the batch axis) from that of one input sample.
    ///
    /// # Errors
    /// Settings outside their domain, or an input that does not suit.
    fn output_shape(&self, input: &Shape) -> Result<Shape>;

    /// The trainable tensors for inputs of this sample shape.
    fn weights(&self, _input: &Shape) -> Vec<WeightSpec> {
        Vec::new()
    }

    /// Builds the layer: `x` is `[batch, ...]`, `weights` in the order of [`Layer::weights`].
    ///
    /// # Errors
    /// Those of the ops it builds.
    fn apply(&self, graph: &mut Graph, x: Value, weights: &[Value], mode: &Mode) -> Result<Value>;
}

/// The random stream of a name (FNV-1a): a layer keeps its numbers wherever it stands in a model.
pub(crate) fn stream_of(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// `Dense` becomes `dense`, `AlphaDropout` becomes `alpha_dropout`.
fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
