//! Whether data suits a model and its losses.

use crate::data::{TensorDataset, row_of};
use crate::error::{Error, Result};
use crate::losses::{Loss, position_shape};
use crate::session::{Compiled, check_samples};
use crate::tensor::{DType, Data, Shape};

impl Compiled {
    /// Refuses data that does not suit the model.
    pub(crate) fn check_data(&self, data: &TensorDataset) -> Result<()> {
        check_samples(&self.model, data.features())?;
        if data.targets().len() != self.outputs.len() {
            let detail = format!(
                "the model has {} outputs; a tensor for each is expected",
                self.outputs.len()
            );
            return Err(Error::parameter("targets", data.targets().len(), detail));
        }
        let shapes = self.model.output_shapes();
        for (i, (y, output)) in data.targets().iter().zip(&self.outputs).enumerate() {
            // Bytes are labels for a loss that takes labels, and numbers for others.
            let dtype = match (y.dtype(), output.loss.takes_labels()) {
                (DType::U8, true) => DType::U32,
                (DType::U8, false) => DType::F32,
                (dtype, _) => dtype,
            };
            let predictions = Shape::from([&[data.len()], shapes[i].dims()].concat());
            let checked = output.loss.target_shape(y.shape(), dtype, &predictions);
            let layer =
                self.model.output_calls().nth(i).map(|call| &self.model.layers()[call.layer]);
            checked.map_err(|e| e.in_layer(layer.map_or("", |layer| &layer.name)))?;
            if let Some(weights) = data.weights_of(i) {
                let axes = predictions.rank() - usize::from(output.loss.is_categorical());
                if position_shape(weights.shape(), &predictions, axes).is_none() {
                    let wanted = Shape::from(&predictions.dims()[..axes.max(1)]);
                    let detail = format!(
                        "shape {} for the predictions {predictions} of output `{}`; a weight per sample is [{}], a \
                         weight per position at most {wanted}",
                        weights.shape(),
                        output.name,
                        data.len()
                    );
                    return Err(Error::data("sample weights", detail));
                }
            }
            let width = y.shape().len() / data.len();
            match y.data() {
                Data::U32(_) if output.loss.takes_labels() => {
                    data.check_labels_of(i, shapes[i].dims().last().copied().unwrap_or(0))?;
                }
                Data::U32(labels) => check_labels(&output.loss, &shapes[i], labels, width, |i| i)?,
                Data::U8(labels) if output.loss.takes_labels() => {
                    let labels: Vec<u32> = labels.iter().copied().map(u32::from).collect();
                    check_labels(&output.loss, &shapes[i], &labels, width, |i| i)?;
                }
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

/// Refuses labels outside the classes of a loss, `width` of each sample; `row` gives the row of each sample.
pub(crate) fn check_labels(
    loss: &Loss,
    sample: &Shape,
    labels: &[u32],
    width: usize,
    row: impl Fn(usize) -> usize,
) -> Result<()> {
    let Some(classes) = loss.label_classes(sample) else { return Ok(()) };
    match labels.iter().position(|&label| label as usize >= classes) {
        Some(i) => {
            let remedy = match loss.takes_labels() {
                true => "",
                false => "; more classes need SparseCategoricalCrossentropy and a unit each",
            };
            let (sample, at) = row_of(i, width);
            let (row, label, name) = (row(sample), labels[i], loss.name());
            let detail = format!(
                "row {row}{at} has label {label}, outside the {classes} classes 0..{classes} of {name}{remedy}"
            );
            Err(Error::data("y", detail))
        }
        None => Ok(()),
    }
}

/// Refuses targets that are no probabilities.
pub(crate) fn check_probabilities(loss: &Loss, targets: &[f32]) -> Result<()> {
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
