//! A stack of layers.

use super::{LayerHandle, Model, SymbolicTensor, input};
use crate::error::Result;
use crate::tensor::Shape;

/// Layers applied one after the other, as Keras' `Sequential`.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([28, 28])
///     .add(Flatten)
///     .add(Dense::new(128).activation(Activation::Relu))
///     .add(Dropout::new(0.2))
///     .add_named("logits", Dense::new(10))
///     .build()?;
/// assert_eq!(model.output_shapes(), [Shape::from([10])]);
/// assert_eq!(model.layers()[3].name, "logits");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sequential {
    input: SymbolicTensor,
    output: SymbolicTensor,
}

impl Sequential {
    /// An empty stack for samples of this shape (without the batch axis).
    #[must_use]
    pub fn new(shape: impl Into<Shape>) -> Self {
        let input = input(shape);
        Self { output: input.clone(), input }
    }

    /// Appends a layer, named after its type unless it was given a name.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "the name that Keras gave it")]
    pub fn add(mut self, layer: impl Into<LayerHandle>) -> Self {
        self.output = self.output.then(layer);
        self
    }

    /// Appends a layer with this name.
    #[must_use]
    pub fn add_named(self, name: &str, layer: impl Into<LayerHandle>) -> Self {
        self.add(layer.into().named(name))
    }

    /// The network, with its shapes checked.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn build(&self) -> Result<Model> {
        Model::build("sequential", [&self.input], [&self.output])
    }

    /// Keras' table of the layers; see [`Model::summary`].
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn summary(&self) -> Result<String> {
        Ok(self.build()?.summary())
    }
}
