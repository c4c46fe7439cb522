//! Layers frozen and unfrozen between two `fit`s.

use super::trainer::Trainer;
use crate::error::Result;

impl Trainer {
    /// From the next `fit` on, training leaves the weights of these layers as they are: Keras'
    /// `layer.trainable = False`, without a new `compile`. Weights, counters, kept weights and the optimizer state of
    /// layers that stay trained are kept; the optimizer state of these layers is dropped.
    ///
    /// A checkpoint says which layers are frozen. To load it, freeze the same ones first.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for a layer that the model does not have, and while a `fit` is under way;
    /// [`Error::Gpu`](crate::Error::Gpu) if the device fails. The trainer stays as it was.
    ///
    /// # Examples
    /// ```no_run
    /// # use wgrad::prelude::*;
    /// # fn tune(trainer: &mut Trainer, data: &TensorDataset) -> wgrad::Result<()> {
    /// trainer.freeze(["dense", "dense_1"])?;
    /// trainer.fit(data, Fit::new().epochs(5))?;
    /// trainer.unfreeze(["dense_1"])?;
    /// trainer.set_learning_rate(1e-5)?;
    /// trainer.fit(data, Fit::new().epochs(2))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn freeze<S: AsRef<str>>(&mut self, layers: impl IntoIterator<Item = S>) -> Result<()> {
        crate::gpu::block_on(self.set_trainable_async(layers, false))
    }

    /// From the next `fit` on, training changes the weights of these layers. Their optimizer state begins anew. The
    /// count of updates, which Adam's bias correction and schedules use, goes on, so a lower learning rate is advisable
    /// for the first steps.
    ///
    /// # Errors
    /// As [`Trainer::freeze`]; [`Error::Limit`](crate::Error::Limit) if the optimizer state does not fit into the device's memory.
    pub fn unfreeze<S: AsRef<str>>(&mut self, layers: impl IntoIterator<Item = S>) -> Result<()> {
        crate::gpu::block_on(self.set_trainable_async(layers, true))
    }

    /// The async form of [`Trainer::freeze`] and [`Trainer::unfreeze`].
    ///
    /// # Errors
    /// As for these.
    pub async fn set_trainable_async<S: AsRef<str>>(
        &mut self,
        layers: impl IntoIterator<Item = S>,
        trainable: bool,
    ) -> Result<()> {
        let call = if trainable { "unfreeze" } else { "freeze" };
        self.refuse_in_fit(call, "freeze and unfreeze between two `fit`s")?;
        self.core.set_trainable(layers, trainable).await
    }
}
