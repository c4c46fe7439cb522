//! Tensors without values, from which a functional model is built.

use super::LayerHandle;
use crate::tensor::Shape;
use std::sync::Arc;

/// A tensor without values: an input of a model, or a layer applied to such tensors.
///
/// ```
/// use wgrad::prelude::*;
///
/// let x = input([16]);
/// let h = x.then(Dense::new(16).activation(Activation::Relu));
/// let y = merge(Add, [&h, &x]).then(Dense::new(1));
/// let model = Model::new([&x], [&y])?;
/// assert_eq!(model.output_shapes(), [Shape::from([1])]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SymbolicTensor {
    pub(super) node: Arc<Node>,
    /// Which output of the layer it is.
    pub(super) output: usize,
}

/// The source of a symbolic tensor.
#[derive(Debug)]
pub(super) enum Node {
    /// An input, of this sample shape.
    Input { name: Option<String>, shape: Shape },
    /// A layer's output.
    Call { layer: LayerHandle, inputs: Vec<SymbolicTensor> },
}

/// A long chain ends without a call within a call for each of its layers.
impl Drop for Node {
    fn drop(&mut self) {
        let inputs_of = |node: &mut Self| match node {
            Self::Call { inputs, .. } => std::mem::take(inputs),
            Self::Input { .. } => Vec::new(),
        };
        let mut open = inputs_of(self);
        while let Some(tensor) = open.pop() {
            if let Some(mut node) = Arc::into_inner(tensor.node) {
                open.extend(inputs_of(&mut node));
            }
        }
    }
}

impl Node {
    fn tensor(self) -> SymbolicTensor {
        SymbolicTensor { node: Arc::new(self), output: 0 }
    }
}

/// An input of samples of this shape (without the batch axis), as Keras' `Input`.
#[must_use]
pub fn input(shape: impl Into<Shape>) -> SymbolicTensor {
    Node::Input { name: None, shape: shape.into() }.tensor()
}

/// An input with this name.
#[must_use]
pub fn input_named(name: &str, shape: impl Into<Shape>) -> SymbolicTensor {
    Node::Input { name: Some(name.into()), shape: shape.into() }.tensor()
}

/// A layer applied to several tensors: its first output; [`SymbolicTensor::output`] gives the others.
#[must_use]
pub fn merge<'a>(
    layer: impl Into<LayerHandle>,
    inputs: impl IntoIterator<Item = &'a SymbolicTensor>,
) -> SymbolicTensor {
    let inputs = inputs.into_iter().cloned().collect();
    Node::Call { layer: layer.into(), inputs }.tensor()
}

impl SymbolicTensor {
    /// A layer applied to this tensor. A [`LayerHandle`] used twice shares its weights.
    #[must_use]
    pub fn then(&self, layer: impl Into<LayerHandle>) -> Self {
        merge(layer, [self])
    }

    /// Another output of the layer that gives this tensor, counted from 0. A model refuses one that the layer does not
    /// have.
    #[must_use]
    pub fn output(&self, output: usize) -> Self {
        Self { node: self.node.clone(), output }
    }
}
