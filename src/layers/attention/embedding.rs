//! A table of vectors for ids that also gives a score to each id.

use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Embedding, Layer, Outputs, WeightSpec};
use crate::tensor::{Initializer, Shape};

/// An [`Embedding`] whose table is also the output projection: used a second time, on vectors, it gives a score for each id.
/// Keras' `ReversibleEmbedding` (Press and Wolf, "Using the output embedding to improve language models", 2017).
///
/// Of u32 ids `[batch]` or `[batch, time]` it gives `[batch, ..., output_dim]`. Of vectors `[batch, time, ..., output_dim]`
/// it gives scores `[batch, time, ..., input_dim]`: their products with all rows of the table. Which of the two is meant
/// follows from the axes of a sample: none or one are ids, more are vectors. In Keras it is the argument `reverse` of the
/// call.
///
/// ```
/// use wgrad::prelude::*;
///
/// let words = LayerHandle::new(ReversibleEmbedding::new(50, 32));
/// let ids = input([16]);
/// let h = ids.then(&words).then(TransformerEncoder::new(64, 4));
/// let model = Model::new([&ids], [&h.then(&words)])?;
/// assert_eq!(model.output_shapes(), [Shape::from([16, 50])]);
/// assert_eq!(model.weights().filter(|(_, w)| w.shape == [50, 32].into()).count(), 1);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ReversibleEmbedding {
    input_dim: usize,
    output_dim: usize,
    table: Embedding,
    tie_weights: bool,
    logit_soft_cap: Option<f32>,
}

impl ReversibleEmbedding {
    /// Vectors of `output_dim` numbers for ids below `input_dim`, uniform in ±0.05 at first.
    #[must_use]
    pub const fn new(input_dim: usize, output_dim: usize) -> Self {
        let table = Embedding::new(input_dim, output_dim);
        Self { input_dim, output_dim, table, tie_weights: true, logit_soft_cap: None }
    }

    /// As [`Embedding::mask_zero`].
    #[must_use]
    pub fn mask_zero(mut self, mask_zero: bool) -> Self {
        self.table = self.table.mask_zero(mask_zero);
        self
    }

    /// The initial values of the table.
    #[must_use]
    pub fn embeddings_initializer(mut self, initializer: Initializer) -> Self {
        self.table = self.table.embeddings_initializer(initializer);
        self
    }

    /// A penalty on the table.
    #[must_use]
    pub fn embeddings_regularizer(mut self, regularizer: crate::layers::Regularizer) -> Self {
        self.table = self.table.embeddings_regularizer(regularizer);
        self
    }

    /// What the table keeps to after each update.
    #[must_use]
    pub fn embeddings_constraint(mut self, constraint: Constraint) -> Self {
        self.table = self.table.embeddings_constraint(constraint);
        self
    }

    /// Whether scores are products with the table, or with a second one, `reverse_embeddings` `[output_dim, input_dim]`.
    #[must_use]
    pub const fn tie_weights(mut self, tie_weights: bool) -> Self {
        self.tie_weights = tie_weights;
        self
    }

    /// A bound that scores approach: cap · tanh(score / cap).
    #[must_use]
    pub const fn logit_soft_cap(mut self, cap: f32) -> Self {
        self.logit_soft_cap = Some(cap);
        self
    }
}

/// Whether a sample is ids.
const fn is_ids(rank: usize) -> bool {
    rank < 2
}

impl Settings for ReversibleEmbedding {
    fn blank() -> Self {
        Self::new(0, 0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("input_dim", &mut self.input_dim)?;
        fields.required("output_dim", &mut self.output_dim)?;
        self.table.settings(fields)?;
        fields.field("tie_weights", &mut self.tie_weights)?;
        fields.only("reverse_dtype", &["float32".into()])?;
        fields.field("logit_soft_cap", &mut self.logit_soft_cap)
    }
}

impl Layer for ReversibleEmbedding {
    fn kind(&self) -> &'static str {
        "ReversibleEmbedding"
    }

    fn takes_indices(&self) -> Option<usize> {
        Some(self.input_dim)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let sample = &inputs[0];
        if is_ids(sample.rank()) {
            return self.table.output_shape(inputs);
        }
        if let Some(cap) = self.logit_soft_cap.filter(|cap| !(*cap > 0.0 && cap.is_finite())) {
            return Err(Error::parameter("logit_soft_cap", cap, "a bound is above 0"));
        }
        match sample.dims() {
            [lead @ .., width] if *width == self.output_dim && !sample.is_empty() => {
                Ok([lead, &[self.input_dim]].concat().into())
            }
            _ => {
                let detail = format!(
                    "a sample with one axis is ids; one with more is vectors of output_dim = {} numbers",
                    self.output_dim
                );
                Err(Error::shape("reversible_embedding", &[sample], detail))
            }
        }
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let mut specs = self.table.weights(inputs);
        if !self.tie_weights {
            let shape = [self.output_dim, self.input_dim];
            let second = WeightSpec::new(
                "reverse_embeddings",
                shape,
                specs[0].initializer,
                crate::layers::Regularizer::NONE,
            );
            specs.push(second);
        }
        specs
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let x = cx.input();
        if is_ids(graph.shape(x).rank() - 1) {
            return self.table.apply(graph, cx);
        }
        if graph.ty(x).dtype != crate::tensor::DType::F32 {
            let detail = "ids have one axis beside the batch; with more they would be vectors";
            return Err(Error::dtype("reversible_embedding", &[graph.ty(x).dtype], detail));
        }
        let mut y = match self.tie_weights {
            true => graph.matmul_form(x, cx.weight("embeddings")?, false, true)?,
            false => graph.matmul(x, cx.weight("reverse_embeddings")?)?,
        };
        if let Some(cap) = self.logit_soft_cap {
            y = graph.scale(y, 1.0 / cap)?;
            y = graph.unary("tanh", y, &[])?;
            y = graph.scale(y, cap)?;
        }
        Ok(y.into())
    }
}
