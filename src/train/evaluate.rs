//! Loss and metrics without training.

use super::trainer::Trainer;
use crate::data::TensorDataset;
use crate::error::Result;
use crate::session::{Compiled, Scaling, Wanted};
use crate::step::Evaluation;

impl Trainer {
    /// Loss and metrics over `data`, without training.
    ///
    /// # Errors
    /// Data that does not suit the model; [`Error::Limit`](crate::Error::Limit) if the device has no room, with the largest batch that fits;
    /// a device failure.
    pub async fn evaluate_async(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        self.sweep_over("evaluate", data, self.core.evaluation_batch()).await
    }

    /// The numbers of one sweep over `data` in batches of `size`, by the plans of `role`.
    pub(super) async fn sweep_over(
        &mut self,
        role: &'static str,
        data: &TensorDataset,
        size: usize,
    ) -> Result<Evaluation> {
        let core = &mut self.core;
        core.check_data(data)?;
        let scale = core.scale_of(data)?;
        let sized = |core: &Compiled, size| core.resident_sweep(role, data, scale, size, None);
        let sweep = sized(core, size)?;
        core.admit(&[Wanted { sweep: &sweep, resized: &sized }])?;
        core.make_resident(data, &sweep)?;
        if sweep.train {
            core.scaling = Some(Scaling::of(&sweep.full));
        }
        Ok(core.run_whole(&sweep).await?.evaluation(&core.outputs))
    }

    /// The blocking form of [`Trainer::evaluate_async`].
    ///
    /// # Errors
    /// As [`Trainer::evaluate_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn evaluate(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        crate::gpu::block_on(self.evaluate_async(data))
    }
}
