//! What was taken from a file of weights.

use crate::tensor::Shape;
use std::fmt::{Display, Formatter};

/// What [`Trainer::load_weights_as`](crate::train::Trainer::load_weights_as) took from a file, and what it skipped.
/// When printed, it has a line for each kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WeightReport {
    /// The model's weights that were replaced: `dense/kernel`.
    pub loaded: Vec<String>,
    /// The model's weights that the file does not have; they stay as they were.
    pub missing: Vec<String>,
    /// The model's weights that have another shape in the file; they stay as they were.
    pub mismatched: Vec<Mismatch>,
    /// The file's tensors that belong to no weight of the model.
    pub surplus: Vec<String>,
}

/// A weight that has one shape in the model and another in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// The model's weight.
    pub weight: String,
    /// Its shape in the file.
    pub found: Shape,
    /// The shape that the model needs in the file.
    pub expected: Shape,
}

impl WeightReport {
    /// Whether every weight of the model was replaced and nothing in the file was skipped.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.mismatched.is_empty() && self.surplus.is_empty()
    }
}

impl Display for WeightReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let shapes = |m: &Mismatch| format!("{} {} for {}", m.weight, m.found, m.expected);
        let mismatched: Vec<String> = self.mismatched.iter().map(shapes).collect();
        write!(f, "{} weights loaded", self.loaded.len())?;
        for (what, names) in [
            ("not in the file", &self.missing),
            ("of another shape", &mismatched),
            ("not in the model", &self.surplus),
        ] {
            if !names.is_empty() {
                write!(f, "\n{} {what}: {}", names.len(), names.join(", "))?;
            }
        }
        Ok(())
    }
}
