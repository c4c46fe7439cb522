//! Rows of a learned table.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::tensor::{DType, Initializer, Shape};

/// A learned vector for each of `input_dim` ids: words, categories.
///
/// Input u32 ids `[batch, ...]` below `input_dim`, output `[batch, ..., output_dim]`; `embeddings` is
/// `[input_dim, output_dim]`. The gradient of a row is the sum over all its uses. Keras' `Embedding`.
///
/// Because of [`Layer::takes_indices`] the host refuses data with other ids. A graph built without that check treats an
/// id past the table as its last row, which is read and gets the gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    input_dim: usize,
    output_dim: usize,
    embeddings_initializer: Initializer,
    embeddings_regularizer: Regularizer,
    mask_zero: bool,
    embeddings_constraint: Option<Constraint>,
}

impl Embedding {
    /// Vectors of `output_dim` numbers for ids below `input_dim`, uniform in ±0.05 at first.
    #[must_use]
    pub const fn new(input_dim: usize, output_dim: usize) -> Self {
        Self {
            input_dim,
            output_dim,
            embeddings_initializer: Initializer::Uniform { low: -0.05, high: 0.05 },
            embeddings_regularizer: Regularizer::NONE,
            embeddings_constraint: None,
            mask_zero: false,
        }
    }

    /// Whether id 0 is padding: the output has a mask `[batch, ...]` with 0 for it, which layers, losses and metrics heed.
    /// Row 0 of the table is then no word: `input_dim` is the largest id plus 1, as in Keras.
    #[must_use]
    pub const fn mask_zero(mut self, mask_zero: bool) -> Self {
        self.mask_zero = mask_zero;
        self
    }

    /// The initial values of the table.
    #[must_use]
    pub const fn embeddings_initializer(mut self, initializer: Initializer) -> Self {
        self.embeddings_initializer = initializer;
        self
    }

    /// A penalty on the table.
    #[must_use]
    pub const fn embeddings_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.embeddings_regularizer = regularizer;
        self
    }

    /// What the table keeps to after each update. Keras' axis 0 is over all ids: `axes: &[1]` bounds each vector.
    #[must_use]
    pub const fn embeddings_constraint(mut self, constraint: Constraint) -> Self {
        self.embeddings_constraint = Some(constraint);
        self
    }
}

impl Settings for Embedding {
    fn blank() -> Self {
        Self::new(0, 0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("input_dim", &mut self.input_dim)?;
        fields.required("output_dim", &mut self.output_dim)?;
        fields.field("embeddings_initializer", &mut self.embeddings_initializer)?;
        fields.field("embeddings_regularizer", &mut self.embeddings_regularizer)?;
        fields.field("embeddings_constraint", &mut self.embeddings_constraint)?;
        fields.field("mask_zero", &mut self.mask_zero)
    }
}

impl Layer for Embedding {
    fn kind(&self) -> &'static str {
        "Embedding"
    }

    fn takes_indices(&self) -> Option<usize> {
        Some(self.input_dim)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        for (name, value) in [("input_dim", self.input_dim), ("output_dim", self.output_dim)] {
            if value == 0 {
                return Err(Error::parameter(name, value, "a table has rows and columns"));
            }
        }
        Ok([inputs[0].dims(), &[self.output_dim]].concat().into())
    }

    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        let shape = [self.input_dim, self.output_dim];
        let (initializer, regularizer) = (self.embeddings_initializer, self.embeddings_regularizer);
        let table = WeightSpec::new("embeddings", shape, initializer, regularizer);
        vec![table.constraint(self.embeddings_constraint)]
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let ids = graph.ty(cx.input()).clone();
        if ids.dtype != DType::U32 {
            return Err(Error::dtype("embedding", &[ids.dtype], "ids are u32 numbers of rows"));
        }
        let flat = graph.reshape(cx.input(), [ids.shape.len()])?;
        let rows = graph.gather(cx.weight("embeddings")?, flat)?;
        let y = graph.reshape(rows, [ids.shape.dims(), &[self.output_dim]].concat())?;
        if !self.mask_zero {
            return Ok(Outputs::from(y).mask(None));
        }
        let zero = graph.constant(0.0);
        let numbers = graph.to_f32(cx.input())?;
        let mask = graph.binary("greater", numbers, zero)?;
        Ok(Outputs::from(y).mask(Some(mask)))
    }
}
