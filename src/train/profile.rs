//! Where the time of a step goes.

use super::trainer::Trainer;
use crate::error::Result;
use crate::session::Profile;

impl Trainer {
    /// Runs `steps` training steps of the last `fit` over the samples that it left on the device, and gives the time of
    /// each kernel, by timestamp queries if the adapter has them. Parameters and optimizer state are the same
    /// afterwards as before.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for no steps, or if no `fit` ran before; [`Error::Limit`](crate::Error::Limit) if the device has no room for a
    /// copy of the state; [`Error::Gpu`](crate::Error::Gpu) if the device fails.
    pub async fn profile_async(&mut self, steps: usize) -> Result<Profile> {
        self.refuse_in_fit("profile", "profile after it")?;
        self.core.profile(steps).await
    }

    /// The blocking form of [`Trainer::profile_async`].
    ///
    /// # Errors
    /// As [`Trainer::profile_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn profile(&mut self, steps: usize) -> Result<Profile> {
        crate::gpu::block_on(self.profile_async(steps))
    }
}
