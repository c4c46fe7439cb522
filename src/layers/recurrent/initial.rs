//! The initial bias of an LSTM.

use crate::error::Result;
use crate::tensor::{CustomInitializer, Draws, Initializer};
use std::sync::{Mutex, PoisonError};

/// The gates' biases begin as `Initializer` says, those of the forget gates, the second of four parts, at 1.
#[derive(Debug)]
struct ForgetBias(Initializer);

impl CustomInitializer for ForgetBias {
    fn name(&self) -> &'static str {
        "unit_forget_bias"
    }

    fn fill(&self, values: &mut [f32], _fans: [usize; 2], draws: &mut Draws) {
        let units = values.len() / 4;
        // Another seed for each tensor and each model.
        let seed = (draws.uniform() * (1u64 << 53) as f64) as u64;
        values.copy_from_slice(&self.0.fill(values.len(), units, units, seed, 0));
        values[units..2 * units].fill(1.0);
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }
}

/// `bias` with ones for the forget gates. An initializer from outside stays in memory, so each is made once.
pub(super) fn with_forget_bias(bias: Initializer) -> Initializer {
    static MADE: Mutex<Vec<(Initializer, Initializer)>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = made.iter().find(|(inner, _)| *inner == bias) {
        return *known;
    }
    let new = Initializer::custom(ForgetBias(bias));
    made.push((bias, new));
    new
}
