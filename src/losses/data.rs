//! Losses as data.

use super::Loss;
use crate::words::{number, object, outside};
use serde_json::{Value, json};

impl Loss {
    /// The loss as JSON, in the words of `keras.losses`; a loss from outside by its name and its `config`.
    ///
    /// ```
    /// use wgrad::losses::Loss;
    ///
    /// let data = Loss::Huber { delta: 0.5 }.config();
    /// assert_eq!((&data["class_name"], &data["config"]["delta"]), (&"Huber".into(), &0.5.into()));
    /// ```
    #[must_use]
    pub fn config(&self) -> Value {
        let keras = |class, config| object("keras.losses", class, config);
        let logits = |from_logits: bool| json!({ "from_logits": from_logits });
        match *self {
            Self::MeanSquaredError => keras("MeanSquaredError", json!({})),
            Self::MeanAbsoluteError => keras("MeanAbsoluteError", json!({})),
            Self::Huber { delta } => keras("Huber", json!({ "delta": number(delta) })),
            Self::BinaryCrossentropy { from_logits } => {
                keras("BinaryCrossentropy", logits(from_logits))
            }
            Self::CategoricalCrossentropy { from_logits } => {
                keras("CategoricalCrossentropy", logits(from_logits))
            }
            Self::SparseCategoricalCrossentropy { from_logits } => {
                keras("SparseCategoricalCrossentropy", logits(from_logits))
            }
            Self::Custom(loss) => outside(loss.name(), loss.config()),
        }
    }
}
