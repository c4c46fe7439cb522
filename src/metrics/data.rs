//! Metrics as data.

use super::{ClassAverage, Metric};
use crate::words::{number, object, outside};
use serde_json::{Value, json};

/// scikit-learn's word.
const fn word(average: ClassAverage) -> &'static str {
    match average {
        ClassAverage::Binary => "binary",
        ClassAverage::Macro => "macro",
        ClassAverage::Micro => "micro",
        ClassAverage::Weighted => "weighted",
    }
}

impl Metric {
    /// The metric as JSON, in the words of `keras.metrics`; `"accuracy"`, whose form follows from the shapes, is a name alone there
    /// too. A metric from outside is known by its name and its `config`.
    ///
    /// ```
    /// use wgrad::metrics::Metric;
    ///
    /// assert_eq!(Metric::Accuracy.config(), "accuracy");
    /// assert_eq!(Metric::TopKCategoricalAccuracy { k: 3 }.config()["config"]["k"], 3);
    /// ```
    #[must_use]
    pub fn config(&self) -> Value {
        let keras = |class, config| object("keras.metrics", class, config);
        let plain = |class| keras(class, json!({}));
        let threshold = |threshold: f32| json!({ "threshold": number(threshold) });
        let score = |name: &str, threshold: f32, average: Option<ClassAverage>| json!({ name: number(threshold), "average": average.map(word) });
        match *self {
            Self::Accuracy => "accuracy".into(),
            Self::BinaryAccuracy { threshold: t } => keras("BinaryAccuracy", threshold(t)),
            Self::CategoricalAccuracy => plain("CategoricalAccuracy"),
            Self::SparseCategoricalAccuracy => plain("SparseCategoricalAccuracy"),
            Self::TopKCategoricalAccuracy { k } => {
                keras("TopKCategoricalAccuracy", json!({ "k": k }))
            }
            Self::SparseTopKCategoricalAccuracy { k } => {
                keras("SparseTopKCategoricalAccuracy", json!({ "k": k }))
            }
            Self::Precision { average, threshold } => {
                keras("Precision", score("thresholds", threshold, average))
            }
            Self::Recall { average, threshold } => {
                keras("Recall", score("thresholds", threshold, average))
            }
            Self::F1 { average, threshold } => {
                keras("F1Score", score("threshold", threshold, average))
            }
            Self::MeanIoU { threshold: t } => object("wgrad", "MeanIoU", threshold(t)),
            Self::ConfusionMatrix { threshold: t } => {
                object("wgrad", "ConfusionMatrix", threshold(t))
            }
            Self::Auc => plain("AUC"),
            Self::MeanSquaredError => plain("MeanSquaredError"),
            Self::RootMeanSquaredError => plain("RootMeanSquaredError"),
            Self::MeanAbsoluteError => plain("MeanAbsoluteError"),
            Self::R2Score => plain("R2Score"),
            Self::Custom(metric) => outside(metric.name(), metric.config()),
        }
    }
}
