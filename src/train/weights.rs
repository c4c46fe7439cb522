//! The host reads, writes and copies a trainer's weights.

use super::trainer::Trainer;
use crate::error::Result;
use crate::layers::Model;
use crate::session::Predictor;
use crate::tensor::Tensor;

impl Trainer {
    /// Every parameter as a host tensor with its name, in the model's order: kernels `[in, out]` as in Keras.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::Error::Gpu) if the device fails.
    pub async fn weights_async(&self) -> Result<Vec<(String, Tensor)>> {
        self.core.weights_async().await
    }

    /// The blocking form of [`Trainer::weights_async`].
    ///
    /// # Errors
    /// As [`Trainer::weights_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn weights(&self) -> Result<Vec<(String, Tensor)>> {
        crate::gpu::block_on(self.weights_async())
    }

    /// A model with a copy of the present weights that only predicts, for any number of threads. It stays as it is while
    /// this trainer goes on.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) and [`Error::Gpu`](crate::Error::Gpu) if the device has no room.
    pub fn predictor(&self) -> Result<Predictor> {
        self.predictor_of(self.model())
    }

    /// As [`Trainer::predictor`], for a part of the model: a model of the same layer objects, as the encoder of an
    /// autoencoder, or one that gives what a layer on the way computes.
    ///
    /// ```no_run
    /// use wgrad::prelude::*;
    ///
    /// # fn main() -> wgrad::Result<()> {
    /// let x = input([8]);
    /// let code = x.then(Dense::new(2));
    /// let encoder = Model::new([&x], [&code])?;
    /// let autoencoder = Model::new([&x], [&code.then(Dense::new(8))])?;
    /// let compile = Compile::new(Adam::default(), Loss::MeanSquaredError);
    /// let mut trainer = autoencoder.compile(&Device::new()?, compile)?;
    /// let samples = Tensor::f32([4, 8], [0.5; 32])?;
    /// trainer.fit(&TensorDataset::new(samples.clone(), samples.clone())?, Fit::new())?;
    /// let codes = trainer.predictor_of(&encoder)?.predict(&samples)?;
    /// assert_eq!(codes.shape().dims(), [4, 2]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Trainer::predictor`]; [`Error::Parameter`](crate::Error::Parameter) naming a layer with weights that this
    /// trainer's model does not have.
    pub fn predictor_of(&self, part: &Model) -> Result<Predictor> {
        self.core.predictor_of(part)
    }

    /// Replaces every parameter, in the order of [`Trainer::weights`]. Nothing changes if one does not fit.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) or [`Error::DType`](crate::Error::DType) naming the first tensor that does not fit.
    pub fn set_weights(&mut self, tensors: &[Tensor]) -> Result<()> {
        self.core.set_weights(tensors)
    }

    /// Keeps a copy of all weights on the device under `name`, in place of one kept before.
    ///
    /// # Errors
    /// [`Error::Limit`](crate::Error::Limit) and [`Error::Gpu`](crate::Error::Gpu) if the device has no room.
    pub fn keep_weights(&mut self, name: &str) -> Result<()> {
        self.core.keep_weights(name)
    }

    /// Takes up the weights kept under `name` again.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if nothing was kept; [`Error::Gpu`](crate::Error::Gpu) if the device fails.
    pub fn restore_weights(&mut self, name: &str) -> Result<()> {
        self.core.restore_weights(name)
    }

    /// Whether weights are kept under `name`.
    #[must_use]
    pub fn keeps_weights(&self, name: &str) -> bool {
        self.core.keeps_weights(name)
    }

    /// Names under which weights are kept, sorted.
    #[must_use]
    pub fn kept_names(&self) -> Vec<String> {
        self.core.kept_names()
    }

    /// Frees the weights kept under `name`, if there are any.
    pub fn forget_weights(&mut self, name: &str) {
        self.core.forget_weights(name);
    }
}
