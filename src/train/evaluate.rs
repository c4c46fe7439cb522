//! Loss and metrics without training, and the checks that data must pass.

use super::history::Evaluation;
use super::memory::Wanted;
use super::trainer::Trainer;
use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::tensor::{DType, Data, Tensor};

impl Trainer {
    /// Loss and metrics over `data`, without training.
    ///
    /// # Errors
    /// Data that does not suit the model; [`Error::Limit`] where the device has no room, with the largest batch that
    /// fits; a device failure.
    pub async fn evaluate_async(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        self.check_data(data)?;
        let scale = self.scale_of(data)?;
        let sized =
            |this: &Self, size: usize| this.resident_pass("evaluate", data, scale, size, None);
        let pass = sized(self, self.evaluation_batch())?;
        self.admit(&[Wanted { pass: &pass, resized: &sized }])?;
        self.make_resident(data, &pass)?;
        Ok(self.run_whole(&pass).await?.evaluation(&self.outputs))
    }

    /// The blocking form of [`Trainer::evaluate_async`].
    ///
    /// # Errors
    /// As [`Trainer::evaluate_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn evaluate(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        crate::gpu::block_on(self.evaluate_async(data))
    }

    /// Refuses samples that do not suit the model's inputs.
    pub(super) fn check_features(&self, features: &[Tensor]) -> Result<()> {
        let inputs = self.model.inputs();
        if features.len() != inputs.len() {
            let detail =
                format!("the model has {} inputs; a tensor for each is expected", inputs.len());
            return Err(Error::parameter("inputs", features.len(), detail));
        }
        for (i, (x, input)) in features.iter().zip(inputs).enumerate() {
            let dims = x.shape().dims();
            if dims.is_empty() || dims[1..] != *input.shape.dims() {
                let detail = format!(
                    "the model takes samples of shape {}: [n, ...] is expected",
                    input.shape
                );
                return Err(Error::shape(&input.name, &[x.shape()], detail));
            }
            if dims[0] == 0 {
                return Err(Error::data("x", "there are no samples"));
            }
            if dims[0] != features[0].shape().dims()[0] {
                let detail = "all inputs have the same number of samples";
                return Err(Error::shape(&input.name, &[features[0].shape(), x.shape()], detail));
            }
            self.check_indices(i, x)?;
        }
        Ok(())
    }

    /// Refuses ids where an input takes quantities, the reverse, and ids past the end of the embedding.
    fn check_indices(&self, input: usize, x: &Tensor) -> Result<()> {
        let name = &self.model.inputs()[input].name;
        match (self.index_range(input), x.data()) {
            (None, Data::U32(_)) => {
                let detail = "samples are f32 or u8; convert them to f32";
                Err(Error::dtype(name, &[x.dtype()], detail))
            }
            (Some(rows), Data::U32(ids)) => match ids.iter().position(|&id| id as usize >= rows) {
                Some(i) => {
                    let detail = format!(
                        "element {i} is {}; the embedding has the {rows} ids 0..{rows}",
                        ids[i]
                    );
                    Err(Error::data(name, detail))
                }
                None => Ok(()),
            },
            (Some(_), _) => {
                Err(Error::dtype(name, &[x.dtype()], "an embedding takes ids: convert them to u32"))
            }
            (None, _) => Ok(()),
        }
    }

    /// Refuses data that does not suit the model.
    pub(super) fn check_data(&self, data: &TensorDataset) -> Result<()> {
        self.check_features(data.features())?;
        if data.targets().len() != self.outputs.len() {
            let detail = format!(
                "the model has {} outputs; a tensor for each is expected",
                self.outputs.len()
            );
            return Err(Error::parameter("targets", data.targets().len(), detail));
        }
        let shapes = self.model.output_shapes();
        for (i, (y, output)) in data.targets().iter().zip(&self.outputs).enumerate() {
            if output.loss.takes_labels() {
                data.check_labels_of(i, shapes[i].dims().last().copied().unwrap_or(0))?;
            }
            if output.loss.takes_probabilities() && y.dtype() == DType::F32 {
                check_probabilities(&output.loss, y.as_f32()?)?;
            }
        }
        Ok(())
    }
}

/// Refuses targets that are no probabilities.
pub(super) fn check_probabilities(loss: &Loss, targets: &[f32]) -> Result<()> {
    match targets.iter().position(|p| !(0.0..=1.0).contains(p)) {
        Some(i) => {
            let detail = format!(
                "element {i} is {}; targets of {} are probabilities from 0 to 1",
                targets[i],
                loss.name()
            );
            Err(Error::data("y", detail))
        }
        None => Ok(()),
    }
}
