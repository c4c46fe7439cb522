//! How a recurrent layer goes through time, and what it returns.

use crate::error::Result;
use crate::layers::config::Fields;
use crate::ops::Order;

/// Keras' options of every recurrent layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Options {
    pub return_sequences: bool,
    pub return_state: bool,
    pub go_backwards: bool,
    /// The batch size of a layer that begins at the states of the step before.
    pub stateful: Option<usize>,
    pub zero_output_for_mask: bool,
    /// Whether a sequence of outputs is in the order of time even if time is gone through from its end.
    pub in_order_of_time: bool,
}

impl Options {
    pub const NONE: Self = Self {
        return_sequences: false,
        return_state: false,
        go_backwards: false,
        stateful: None,
        zero_output_for_mask: false,
        in_order_of_time: false,
    };

    pub const fn order(self) -> Order {
        match (self.go_backwards, self.in_order_of_time) {
            (false, _) => Order::Forward,
            (true, false) => Order::Flipped,
            (true, true) => Order::Reverse,
        }
    }

    /// The same from the end of time, for [`super::Recurrence::from_end`].
    pub const fn reversed(self) -> Self {
        Self { go_backwards: true, in_order_of_time: true, ..self }
    }

    /// Keras' words, with the batch size of a stateful layer, which Keras has from the model's input.
    pub fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.field("return_sequences", &mut self.return_sequences)?;
        fields.field("return_state", &mut self.return_state)?;
        fields.field("go_backwards", &mut self.go_backwards)?;
        fields.field("zero_output_for_mask", &mut self.zero_output_for_mask)?;
        let mut stateful = self.stateful.is_some();
        let mut batch = self.stateful;
        fields.field("stateful", &mut stateful)?;
        fields.field("stateful_batch_size", &mut batch)?;
        if stateful && batch.is_none() {
            let detail = "is true; say for how many samples: \"stateful_batch_size\": 32";
            return Err(fields.wrong("stateful", detail));
        }
        self.stateful = batch.filter(|_| stateful);
        Ok(())
    }
}

/// The builder functions of [`Options`] for a layer with the field `options`.
macro_rules! option_builders {
    ($layer:ty) => {
        impl $layer {
            /// Whether the output has a value for each step, `[batch, time, ...]`, or that of the last step alone.
            #[must_use]
            pub const fn return_sequences(mut self, return_sequences: bool) -> Self {
                self.options.return_sequences = return_sequences;
                self
            }

            /// Whether the states after the last step are further outputs.
            #[must_use]
            pub const fn return_state(mut self, return_state: bool) -> Self {
                self.options.return_state = return_state;
                self
            }

            /// Whether time is gone through from its end. The sequence of outputs is then reversed too.
            #[must_use]
            pub const fn go_backwards(mut self, go_backwards: bool) -> Self {
                self.options.go_backwards = go_backwards;
                self
            }

            /// A training step begins at the states with which the step before ended, sample by sample: batches of
            /// `batch_size` samples that go on from each other. No gradient goes from step to step. Evaluation and
            /// prediction begin at the states that training left, and leave them. The states are among the weights of
            /// the trainer as `state_0` and so on: set them to zero to begin anew.
            #[must_use]
            pub const fn stateful(mut self, batch_size: usize) -> Self {
                self.options.stateful = Some(batch_size);
                self
            }

            /// Whether the output of a masked step is zero. Otherwise it is that of the step before.
            #[must_use]
            pub const fn zero_output_for_mask(mut self, zero: bool) -> Self {
                self.options.zero_output_for_mask = zero;
                self
            }
        }
    };
}
pub(super) use option_builders;
