//! Loss and metrics without training.

use super::trainer::Trainer;
use crate::error::Result;
use crate::feed::{Cut, TrainingData};
use crate::session::{Compiled, Scaling, Wanted};
use crate::step::Evaluation;

impl Trainer {
    /// Loss and metrics over `data`, without training: a [`TensorDataset`](crate::data::TensorDataset), or an `Arc` of any
    /// dataset, which is streamed.
    ///
    /// # Errors
    /// Data that does not suit the model; [`Error::Limit`](crate::Error::Limit) if the device has no room, with the largest batch that fits;
    /// a device failure.
    pub async fn evaluate_async<'d>(
        &mut self,
        data: impl Into<TrainingData<'d>>,
    ) -> Result<Evaluation> {
        self.sweep_over("evaluate", &data.into(), self.core.evaluation_batch()).await
    }

    /// The numbers of one sweep over `data` in batches of `size`, by the plans of `role`.
    pub(super) async fn sweep_over(
        &mut self,
        role: &'static str,
        data: &TrainingData<'_>,
        size: usize,
    ) -> Result<Evaluation> {
        let core = &mut self.core;
        let data = &core.suited(data.clone())?;
        let scale = core.scale_of(core.scaling.as_ref(), data)?;
        let sized = |core: &Compiled, size| core.sweep_of(role, data, scale, &Cut::whole(size));
        let sweep = sized(core, size)?;
        core.admit(&[Wanted { sweep: &sweep, resized: &sized }])?;
        let mut feed = core.feed(data, &sweep)?;
        if sweep.train {
            core.scaling = Some(Scaling::of(&sweep.full));
        }
        Ok(core.run_fed(&mut feed, &sweep).await?.evaluation(&core.outputs))
    }

    /// The blocking form of [`Trainer::evaluate_async`].
    ///
    /// # Errors
    /// As [`Trainer::evaluate_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn evaluate<'d>(&mut self, data: impl Into<TrainingData<'d>>) -> Result<Evaluation> {
        crate::gpu::block_on(self.evaluate_async(data))
    }
}
