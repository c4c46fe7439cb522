//! A model's outputs for samples.

use super::trainer::Trainer;
use crate::error::Result;
use crate::feed::PredictData;
use crate::session::check_one_output;
use crate::tensor::Tensor;

impl Trainer {
    /// The output of a model with one output for each sample: `[n, ...]`. Samples pass through the device in
    /// batches; an `Arc` of any dataset is streamed.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the samples do not suit the model; [`Error::Parameter`](crate::Error::Parameter) for a model of several outputs;
    /// [`Error::Data`](crate::Error::Data) for samples whose factor is not known, see [`Features`](crate::train::Features); [`Error::Limit`](crate::Error::Limit) if the device has no
    /// room, with the largest batch that fits; [`Error::Gpu`](crate::Error::Gpu) for a device failure.
    pub async fn predict_async<'a>(
        &mut self,
        samples: impl Into<PredictData<'a>>,
    ) -> Result<Tensor> {
        check_one_output(self.core.outputs.len())?;
        Ok(self.predict_outputs_async(samples).await?.swap_remove(0))
    }

    /// Each output for each sample: `[n, ...]`. Samples pass through the device in batches.
    ///
    /// # Errors
    /// As [`Trainer::predict_async`], without the second.
    pub async fn predict_outputs_async<'a>(
        &mut self,
        samples: impl Into<PredictData<'a>>,
    ) -> Result<Vec<Tensor>> {
        // Rounded up, so that few plans are compiled for any number of samples.
        let size = self.core.evaluation_batch();
        self.core.predict_data(samples.into(), size, usize::next_power_of_two).await
    }

    /// The blocking form of [`Trainer::predict_async`].
    ///
    /// # Errors
    /// As [`Trainer::predict_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn predict<'a>(&mut self, samples: impl Into<PredictData<'a>>) -> Result<Tensor> {
        crate::gpu::block_on(self.predict_async(samples))
    }

    /// The blocking form of [`Trainer::predict_outputs_async`].
    ///
    /// # Errors
    /// As [`Trainer::predict_outputs_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn predict_outputs<'a>(
        &mut self,
        samples: impl Into<PredictData<'a>>,
    ) -> Result<Vec<Tensor>> {
        crate::gpu::block_on(self.predict_outputs_async(samples))
    }
}
