//! What a layer says of one weight: its first values, a penalty, and what it keeps to.

use super::config::Fields;
use super::{Regularizer, WeightSpec};
use crate::constraints::Constraint;
use crate::error::Result;
use crate::tensor::{Initializer, Shape};

/// What a layer says of one weight.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rules {
    pub initializer: Initializer,
    pub regularizer: Regularizer,
    pub constraint: Option<Constraint>,
}

/// Keras' names for the rules of a kernel and of a bias.
pub(super) const KERNEL: [&str; 3] =
    ["kernel_initializer", "kernel_regularizer", "kernel_constraint"];
pub(super) const BIAS: [&str; 3] = ["bias_initializer", "bias_regularizer", "bias_constraint"];

impl Rules {
    /// These first values alone.
    pub const fn new(initializer: Initializer) -> Self {
        Self { initializer, regularizer: Regularizer::NONE, constraint: None }
    }

    /// The weight of this name.
    pub fn spec(&self, name: &str, shape: impl Into<Shape>) -> WeightSpec {
        WeightSpec::new(name, shape, self.initializer, self.regularizer).constraint(self.constraint)
    }

    /// The settings under Keras' names: initializer, regularizer, constraint.
    pub fn settings(&mut self, fields: &mut Fields<'_>, names: [&'static str; 3]) -> Result<()> {
        fields.field(names[0], &mut self.initializer)?;
        fields.field(names[1], &mut self.regularizer)?;
        fields.field(names[2], &mut self.constraint)
    }
}

/// The rules of one weight, as methods of a layer whose field holds them.
macro_rules! rule_setters {
    ([$($generic:tt)*] $layer:ty, $($field:ident).+, $what:literal, $initializer:ident, $regularizer:ident, $constraint:ident $(,)?) => {
        impl<$($generic)*> $layer {
            #[doc = concat!("The initial values of ", $what, ".")]
            #[must_use]
            pub const fn $initializer(mut self, initializer: $crate::tensor::Initializer) -> Self {
                self.$($field).+.initializer = initializer;
                self
            }

            #[doc = concat!("A penalty on ", $what, ".")]
            #[must_use]
            pub const fn $regularizer(mut self, regularizer: $crate::layers::Regularizer) -> Self {
                self.$($field).+.regularizer = regularizer;
                self
            }

            #[doc = concat!("A constraint on ", $what, ", which holds after each update.")]
            #[must_use]
            pub const fn $constraint(mut self, constraint: $crate::constraints::Constraint) -> Self {
                self.$($field).+.constraint = Some(constraint);
                self
            }
        }
    };
}
pub(super) use rule_setters;
