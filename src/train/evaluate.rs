//! Loss and metrics without training, and the checks that data must pass.

use super::memory::Wanted;
use super::samples;
use super::scaling::Scaling;
use super::trainer::Trainer;
use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::tensor::{DType, Data, Shape};
use crate::step::Evaluation;

impl Trainer {
    /// Loss and metrics over `data`, without training.
    ///
    /// # Errors
    /// Data that does not suit the model; [`Error::Limit`] if the device has no room, with the largest batch that fits;
    /// a device failure.
    pub async fn evaluate_async(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        self.sweep_over("evaluate", data, self.evaluation_batch()).await
    }

    /// The numbers of one sweep over `data` in batches of `size`, by the plans of `role`.
    pub(super) async fn sweep_over(
        &mut self,
        role: &'static str,
        data: &TensorDataset,
        size: usize,
    ) -> Result<Evaluation> {
        self.check_data(data)?;
        let scale = self.scale_of(data)?;
        let sized = |this: &Self, size: usize| this.resident_sweep(role, data, scale, size, None);
        let sweep = sized(self, size)?;
        self.admit(&[Wanted { sweep: &sweep, resized: &sized }])?;
        self.make_resident(data, &sweep)?;
        if sweep.train {
            self.scaling = Some(Scaling::of(&sweep.full));
        }
        Ok(self.run_whole(&sweep).await?.evaluation(&self.outputs))
    }

    /// The blocking form of [`Trainer::evaluate_async`].
    ///
    /// # Errors
    /// As [`Trainer::evaluate_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn evaluate(&mut self, data: &TensorDataset) -> Result<Evaluation> {
        crate::gpu::block_on(self.evaluate_async(data))
    }

    /// Refuses data that does not suit the model.
    pub(super) fn check_data(&self, data: &TensorDataset) -> Result<()> {
        samples::check(&self.model, data.features())?;
        if data.targets().len() != self.outputs.len() {
            let detail = format!(
                "the model has {} outputs; a tensor for each is expected",
                self.outputs.len()
            );
            return Err(Error::parameter("targets", data.targets().len(), detail));
        }
        let shapes = self.model.output_shapes();
        for (i, (y, output)) in data.targets().iter().zip(&self.outputs).enumerate() {
            let dtype = if y.dtype() == DType::U8 { DType::F32 } else { y.dtype() };
            let predictions = Shape::from([&[data.len()], shapes[i].dims()].concat());
            let checked = output.loss.target_shape(y.shape(), dtype, &predictions);
            let layer =
                self.model.output_calls().nth(i).map(|call| &self.model.layers()[call.layer]);
            checked.map_err(|e| e.in_layer(layer.map_or("", |layer| &layer.name)))?;
            match y.data() {
                Data::U32(_) if output.loss.takes_labels() => {
                    data.check_labels_of(i, shapes[i].dims().last().copied().unwrap_or(0))?;
                }
                Data::U32(labels) => check_labels(&output.loss, &shapes[i], labels, |i| i)?,
                _ if !output.loss.takes_probabilities() => {}
                Data::F32(y) => check_probabilities(&output.loss, y)?,
                Data::U8(y) => {
                    let y: Vec<f32> = y.iter().copied().map(f32::from).collect();
                    check_probabilities(&output.loss, &y)?;
                }
            }
        }
        Ok(())
    }
}

/// Refuses labels outside the classes of a loss; `row` gives the sample of each place.
pub(super) fn check_labels(
    loss: &Loss,
    sample: &Shape,
    labels: &[u32],
    row: impl Fn(usize) -> usize,
) -> Result<()> {
    let Some(classes) = loss.label_classes(sample) else { return Ok(()) };
    match labels.iter().position(|&label| label as usize >= classes) {
        Some(i) => {
            let remedy = match loss.takes_labels() {
                true => "",
                false => "; more classes need SparseCategoricalCrossentropy and a unit each",
            };
            let (row, label, name) = (row(i), labels[i], loss.name());
            let detail = format!(
                "row {row} has label {label}, outside the {classes} classes 0..{classes} of {name}{remedy}"
            );
            Err(Error::data("y", detail))
        }
        None => Ok(()),
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
