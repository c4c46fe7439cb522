//! A layer with what a model needs to know about it.

use super::Layer;
use std::sync::Arc;

/// A layer, its name if it was given one, and whether it trains. Every use of one handle shares its weights.
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
    /// A handle to use more than once, so that all uses share their weights.
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

    /// The layer with weights that training leaves as they are.
    #[must_use]
    pub const fn frozen(mut self) -> Self {
        self.trainable = false;
        self
    }

    /// Whether both are the same layer, with the same weights.
    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.layer), Arc::as_ptr(&other.layer))
    }
}
