//! Loss and metrics over samples.

use crate::metrics::ConfusionMatrix;

/// The numbers of an evaluation over all samples.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// The loss, penalties included.
    pub loss: f64,
    /// Name and value of each metric.
    pub metrics: Vec<(String, f64)>,
    /// Each [`Metric::ConfusionMatrix`](crate::metrics::Metric::ConfusionMatrix), with the name of its output.
    pub confusion_matrices: Vec<(String, ConfusionMatrix)>,
}

impl Evaluation {
    /// `loss` and the metrics, each name with `prefix` before it.
    #[must_use]
    pub fn logs(&self, prefix: &str) -> Vec<(String, f64)> {
        let metrics = self.metrics.iter().map(|(name, value)| (name.as_str(), *value));
        let all = std::iter::once(("loss", self.loss)).chain(metrics);
        all.map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
    }

    /// `loss` or the metric of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        if name == "loss" {
            return Some(self.loss);
        }
        self.metrics.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    /// The confusion matrix, if the model was compiled with that metric. If there are several outputs, the first one
    /// that has it counts.
    #[must_use]
    pub fn confusion_matrix(&self) -> Option<&ConfusionMatrix> {
        self.confusion_matrices.first().map(|(_, matrix)| matrix)
    }
}
