//! What a layer says about its tensors.

use super::Regularizer;
use crate::constraints::Constraint;
use crate::error::Result;
use crate::graph::Graph;
use crate::tensor::{DType, Initializer, Shape};
use std::sync::Arc;

/// What changes a tensor of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightKind {
    /// The optimizer, by its gradient.
    Trained,
    /// Nothing.
    Frozen,
    /// The layer: it gives a new value while training, by [`Outputs::state`](super::Outputs::state).
    State,
}

/// A tensor that a layer asks for: a weight or a state. Files of weights, checkpoints and copies hold all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightSpec {
    /// Its name inside the layer: `kernel`, or `query/kernel` in a part of it.
    pub name: String,
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
    /// What its values keep to after each update.
    pub constraint: Option<Constraint>,
    /// What changes it, unless its layer is frozen.
    pub kind: WeightKind,
    /// Its initial values in row-major order, in place of the initializer's.
    pub values: Option<Arc<[f32]>>,
    /// Whether it is a depthwise kernel `[taps.., channels, multiplier]`, which PyTorch keeps as
    /// `[channels · multiplier, 1, taps..]`.
    pub depthwise: bool,
    /// Its shape without the axis of heads, if it has one: the matrix `[in, out]` or the bias `[out]` of a dense layer, as
    /// PyTorch keeps a projection.
    pub projection: Option<Shape>,
}

impl WeightSpec {
    /// A weight with Keras' fans. Both fans of a vector are its length, a matrix is `[fan_in, fan_out]`. With more
    /// axes, the leading ones count as the receptive field of a convolution, a factor on both.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        shape: impl Into<Shape>,
        initializer: Initializer,
        regularizer: Regularizer,
    ) -> Self {
        let (name, shape) = (name.into(), shape.into());
        let (fan_in, fan_out) = match shape.dims() {
            [] => (1, 1),
            &[len] => (len, len),
            [field @ .., fan_in, fan_out] => {
                let field = Shape::from(field).len();
                (fan_in.saturating_mul(field), fan_out.saturating_mul(field))
            }
        };
        let (kind, constraint, values) = (WeightKind::Trained, None, None);
        Self {
            name,
            shape,
            initializer,
            fan_in,
            fan_out,
            regularizer,
            constraint,
            kind,
            values,
            depthwise: false,
            projection: None,
        }
    }

    /// A depthwise kernel `[taps.., channels, multiplier]`.
    #[must_use]
    pub fn depthwise(mut self) -> Self {
        self.depthwise = true;
        self
    }

    /// A kernel or bias with an axis of heads, which is `shape` in a dense layer.
    #[must_use]
    pub fn projection(mut self, shape: impl Into<Shape>) -> Self {
        self.projection = Some(shape.into());
        self
    }

    /// A state: a tensor that the layer itself changes while training, as running statistics. Evaluation and prediction
    /// read it. No gradient moves it, and freezing the layer does not change its kind.
    #[must_use]
    pub fn state(
        name: impl Into<String>,
        shape: impl Into<Shape>,
        initializer: Initializer,
    ) -> Self {
        let spec = Self::new(name, shape, initializer, Regularizer::default());
        Self { kind: WeightKind::State, ..spec }
    }

    /// A weight that training never changes: it is saved with the others, and no gradient moves it. A state stays one.
    #[must_use]
    pub fn frozen(mut self) -> Self {
        if self.kind == WeightKind::Trained {
            self.kind = WeightKind::Frozen;
        }
        self
    }

    /// A weight that keeps to this after each update.
    #[must_use]
    pub fn constraint(mut self, constraint: impl Into<Option<Constraint>>) -> Self {
        self.constraint = constraint.into();
        self
    }

    /// A weight with these initial values, one for each element; a model refuses another number of them.
    #[must_use]
    pub fn values(mut self, values: impl Into<Arc<[f32]>>) -> Self {
        self.values = Some(values.into());
        self
    }

    /// The tensor as one of the part `part` of a layer: `query/kernel`.
    #[must_use]
    pub fn within(mut self, part: &str) -> Self {
        self.name = format!("{part}/{}", self.name);
        self
    }

    /// Refuses settings of what comes with it that are outside their domain; the error names the weight. A constraint is
    /// built once, so that an axis which the weight does not have is refused with the model.
    pub(in crate::layers) fn check(&self) -> Result<()> {
        self.check_rules().map_err(|error| error.of(&self.name))
    }

    fn check_rules(&self) -> Result<()> {
        self.initializer.check()?;
        self.regularizer.check()?;
        let Some(constraint) = self.constraint else { return Ok(()) };
        constraint.check()?;
        if !self.shape.is_empty() {
            let mut graph = Graph::new();
            let weight = graph.input(&self.name, self.shape.clone(), DType::F32);
            constraint.apply(&mut graph, weight)?;
        }
        Ok(())
    }

    /// Whether gradients change it, unless its layer is frozen.
    #[must_use]
    pub fn is_trained(&self) -> bool {
        self.kind == WeightKind::Trained
    }
}
