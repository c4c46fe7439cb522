//! What a layer gives.

use crate::graph::Value;

/// What a layer gives: its outputs, new values of its states, and masks.
///
/// A value becomes the outputs of a layer with one output: `Ok(y.into())`.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// Each output, `[batch, ...]`.
    pub values: Vec<Value>,
    /// New values of states by name, while training. A state that has none stays as it is.
    pub state: Vec<(String, Value)>,
    /// The mask of each output. `None` for the rule that most layers have: an output has the first mask of an input
    /// whose axes it has.
    pub masks: Option<Vec<Option<Value>>>,
}

impl From<Value> for Outputs {
    fn from(value: Value) -> Self {
        vec![value].into()
    }
}

impl From<Vec<Value>> for Outputs {
    fn from(values: Vec<Value>) -> Self {
        Self { values, ..Self::default() }
    }
}

impl Outputs {
    /// With a new value of the state `name`, which counts in training steps only.
    #[must_use]
    pub fn state(mut self, name: &str, value: Value) -> Self {
        self.state.push((name.into(), value));
        self
    }

    /// With the new states of the part `part`.
    #[must_use]
    pub fn part(mut self, part: &str, outputs: &Self) -> Self {
        let own = outputs.state.iter().map(|(name, v)| (format!("{part}/{name}"), *v));
        self.state.extend(own);
        self
    }

    /// With this mask for every output.
    #[must_use]
    pub fn mask(mut self, mask: Option<Value>) -> Self {
        self.masks = Some(vec![mask; self.values.len()]);
        self
    }

    /// With a mask for each output.
    #[must_use]
    pub fn masks(mut self, masks: Vec<Option<Value>>) -> Self {
        self.masks = Some(masks);
        self
    }

    /// The mask of an output, once it is known.
    #[must_use]
    pub fn mask_of(&self, output: usize) -> Option<Value> {
        self.masks.as_ref().and_then(|masks| masks.get(output).copied().flatten())
    }
}
