//! Single batches, for the user's own loops.

use super::trainer::Trainer;
use crate::data::TensorDataset;
use crate::error::Result;
use crate::feed::PredictData;
use crate::session::check_one_output;
use crate::step::Evaluation;
use crate::tensor::Tensor;

impl Trainer {
    /// One step of training with all samples of `data` as the batch, as Keras' `train_on_batch`. Gives loss and metrics
    /// of this batch alone, as they were before the update. No epoch is counted.
    ///
    /// # Examples
    /// ```no_run
    /// use wgrad::prelude::*;
    ///
    /// # fn main() -> wgrad::Result<()> {
    /// # let device = Device::new()?;
    /// let compile = Compile::new(Sgd::new(0.1), Loss::MeanSquaredError);
    /// let mut trainer = Sequential::new([2]).add(Dense::new(1)).compile(&device, compile)?;
    /// for _ in 0..100 {
    ///     let x = Tensor::f32([4, 2], [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?;
    ///     let y = Tensor::f32([4, 1], [0.0, 1.0, 1.0, 2.0])?;
    ///     let numbers = trainer.train_on_batch(&TensorDataset::new(x, y)?)?;
    ///     println!("{}", numbers.loss);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Data that does not suit the model; [`Error::Parameter`](crate::Error::Parameter) from a callback of a `fit` of
    /// this trainer; [`Error::Limit`](crate::Error::Limit) if the device has no room, with the largest batch that fits;
    /// a device failure.
    pub async fn train_on_batch_async(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        self.refuse_in_fit("train_on_batch", "the loop trains the model already")?;
        self.sweep_over("train_on_batch", &data.into(), data.len()).await
    }

    /// Loss and metrics of all samples of `data` as one batch, without training, as Keras' `test_on_batch`.
    ///
    /// # Errors
    /// As [`Trainer::evaluate_async`].
    pub async fn test_on_batch_async(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        self.sweep_over("test_on_batch", &data.into(), data.len()).await
    }

    /// The output of a model with one output for all samples as one batch, `[n, ...]`, as Keras' `predict_on_batch`.
    ///
    /// # Errors
    /// As [`Trainer::predict_async`].
    pub async fn predict_on_batch_async<'a>(
        &mut self,
        samples: impl Into<PredictData<'a>>,
    ) -> Result<Tensor> {
        check_one_output(self.core.outputs.len())?;
        Ok(self.core.predict_data(samples.into(), usize::MAX, |size| size).await?.swap_remove(0))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Trainer {
    /// The blocking form of [`Trainer::train_on_batch_async`].
    ///
    /// # Errors
    /// As [`Trainer::train_on_batch_async`].
    pub fn train_on_batch(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        crate::gpu::block_on(self.train_on_batch_async(data))
    }

    /// The blocking form of [`Trainer::test_on_batch_async`].
    ///
    /// # Errors
    /// As [`Trainer::test_on_batch_async`].
    pub fn test_on_batch(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        crate::gpu::block_on(self.test_on_batch_async(data))
    }

    /// The blocking form of [`Trainer::predict_on_batch_async`].
    ///
    /// # Errors
    /// As [`Trainer::predict_on_batch_async`].
    pub fn predict_on_batch<'a>(&mut self, samples: impl Into<PredictData<'a>>) -> Result<Tensor> {
        crate::gpu::block_on(self.predict_on_batch_async(samples))
    }
}
