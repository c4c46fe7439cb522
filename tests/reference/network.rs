//! A network of two dense layers, forward and backward by the chain rule (Goodfellow et al. 2016, 6.5).

use super::losses::batch_mean;
use super::{elementwise, linalg, losses, reduce};

/// The batch mean of the loss of a network of two dense layers, and the tensors on the way to it.
///
/// Dense, activation, dense; sparse categorical cross-entropy on logits.
pub struct Network {
    /// Inputs, a row per sample.
    pub x: Vec<f64>,
    /// Each sample's class.
    pub labels: Vec<usize>,
    /// Kernel, bias, kernel, bias; kernels are inputs by units.
    pub weights: Vec<Vec<f64>>,
    /// The activation's name in [`elementwise`].
    pub activation: String,
}

impl Network {
    /// The logits, the inputs of the activation, and its outputs.
    pub fn forward(&self, weights: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (batch, hidden, classes) = (self.labels.len(), weights[1].len(), weights[3].len());
        let inputs = self.x.len() / batch;
        let z = linalg::matmul(&self.x, &weights[0], 1, batch, hidden, inputs, false, false);
        let z = linalg::add_bias(&z, &weights[1]);
        let h: Vec<f64> = z.iter().map(|&z| elementwise::unary(&self.activation, &[], z)).collect();
        let logits = linalg::matmul(&h, &weights[2], 1, batch, classes, hidden, false, false);
        (linalg::add_bias(&logits, &weights[3]), z, h)
    }

    /// The loss with these weights.
    pub fn loss(&self, weights: &[Vec<f64>]) -> f64 {
        let (logits, ..) = self.forward(weights);
        let classes = weights[3].len();
        batch_mean(&losses::sparse_categorical_crossentropy_logits(&self.labels, &logits, classes))
    }

    /// The gradients by the chain rule, layer by layer from the loss.
    pub fn backward(&self) -> Vec<Vec<f64>> {
        let w = &self.weights;
        let (batch, hidden, classes) = (self.labels.len(), w[1].len(), w[3].len());
        let inputs = self.x.len() / batch;
        let (logits, z, h) = self.forward(w);
        let y = losses::one_hot(&self.labels, classes);
        let d_logits = losses::categorical_crossentropy_logits_grad(&y, &logits, classes);
        let d_h = linalg::matmul(&d_logits, &w[2], 1, batch, hidden, classes, false, true);
        let slope = |&z: &f64| elementwise::unary_derivative(&self.activation, &[], z);
        let d_z: Vec<f64> = d_h.iter().zip(z.iter().map(slope)).map(|(g, s)| g * s).collect();
        vec![
            linalg::matmul(&self.x, &d_z, 1, inputs, hidden, batch, true, false),
            reduce::sum(&d_z, &[batch, hidden], &[0]),
            linalg::matmul(&h, &d_logits, 1, hidden, classes, batch, true, false),
            reduce::sum(&d_logits, &[batch, classes], &[0]),
        ]
    }
}
