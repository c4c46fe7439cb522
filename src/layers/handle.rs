//! A layer with what a model needs to know about it.

use super::{Layer, WeightSpec, snake_case};
use crate::tensor::Shape;
use std::sync::Arc;

/// What a layer object is known by.
pub(crate) type Address = *const ();

/// The address of a layer object: equal ones are one layer, with the same weights.
pub(super) fn address(layer: &Arc<dyn Layer>) -> Address {
    Arc::as_ptr(layer).cast()
}

/// A layer, its name if it was given one, and whether it trains.
///
/// Every use of one handle is the same layer object, with one set of weights: in a model, in a model that contains others,
/// and in models of one [`Session`](crate::session::Session). A layer that another one wraps, as in
/// [`TimeDistributed`](super::TimeDistributed), has its weights there for itself. Each `compile` gives a trainer weights of
/// its own; [`Trainer::predictor_of`](crate::train::Trainer::predictor_of) gives them on to another model of the same layers.
#[derive(Debug, Clone)]
pub struct LayerHandle {
    pub(super) name: Option<String>,
    pub(super) layer: Arc<dyn Layer>,
    pub(super) trainable: bool,
}

impl<L: Layer + 'static> From<L> for LayerHandle {
    fn from(layer: L) -> Self {
        Self { name: None, layer: Arc::new(layer), trainable: true }
    }
}

impl From<&Self> for LayerHandle {
    fn from(handle: &Self) -> Self {
        handle.clone()
    }
}

impl LayerHandle {
    /// A handle to use more than once.
    ///
    /// ```
    /// use wgrad::prelude::*;
    ///
    /// let (left, right) = (input([4]), input([4]));
    /// let shared = LayerHandle::new(Dense::new(3));
    /// let model = Model::new([&left, &right], [&merge(Add, [&left.then(&shared), &right.then(&shared)])])?;
    /// assert_eq!(model.weights().count(), 2);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[must_use]
    pub fn new(layer: impl Into<Self>) -> Self {
        layer.into()
    }

    /// The layer under this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The layer with weights that training leaves as they are; of a model, all of its layers.
    #[must_use]
    pub const fn frozen(mut self) -> Self {
        self.trainable = false;
        self
    }

    /// Its weights and states as those of the part `part` of a layer: frozen, if it is frozen.
    #[must_use]
    pub fn weights_within(&self, part: &str, inputs: &[Shape]) -> Vec<WeightSpec> {
        let own = self.layer.weights(inputs).into_iter().map(|spec| spec.within(part));
        own.map(|spec| if self.trainable { spec } else { spec.frozen() }).collect()
    }

    /// The layer.
    #[must_use]
    pub fn layer(&self) -> &dyn Layer {
        &*self.layer
    }

    /// The name that it was given, or its type's as Keras names layers: its name as a part of another layer.
    #[must_use]
    pub fn part_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| snake_case(self.layer.kind()))
    }

    /// Whether both are the same layer, with the same weights.
    pub(super) fn is(&self, other: &Self) -> bool {
        address(&self.layer) == address(&other.layer)
    }
}
