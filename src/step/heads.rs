//! Whether the last activation of each output suits its loss: a model that looks right and learns nothing is refused
//! when it is compiled.

use super::compile::OutputSpec;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layers::Model;
use crate::losses::Loss;
use crate::tensor::Shape;

/// The last activation that decides the range of a tensor, with the name of its layer and the shape that it is applied to.
/// `None` for an input, and if a layer does not tell.
fn last_activation(model: &Model, mut tensor: usize) -> Option<(Activation, &str, &Shape)> {
    loop {
        let (call, output) = model.source(tensor)?;
        let layer = &model.layers()[call.layer];
        if !layer.layer.keeps_range() {
            let shape = &call.shapes[output];
            return layer.layer.activation().map(|a| (a, layer.name.as_str(), shape));
        }
        tensor = *call.inputs.first()?;
    }
}

/// Whether a softmax over the last axis of `shape` has one unit, and so no choice.
fn of_one_unit(activation: Activation, shape: &Shape) -> bool {
    let softmax = matches!(activation, Activation::Softmax | Activation::LogSoftmax);
    softmax && shape.dims().last() == Some(&1)
}

/// What is odd about the outputs of `model`, but may be meant.
///
/// # Errors
/// [`Error::Parameter`] with the remedy, for an output that cannot learn what its loss asks for.
pub(crate) fn check(model: &Model, outputs: &[OutputSpec]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for (&tensor, output) in model.output_tensors().iter().zip(outputs) {
        let loss = &output.loss;
        if loss.is_categorical() && output.shape.dims().last() == Some(&1) {
            let detail = "of one class the loss is constant; use BinaryCrossentropy for a single unit that tells two \
                          classes apart, or give the last layer a unit per class";
            return Err(refused(loss, detail.into(), &output.name));
        }
        let Some((activation, layer, shape)) = last_activation(model, tensor) else { continue };
        if of_one_unit(activation, shape) {
            let detail = "a softmax of one unit is the same number whatever the model learns; use Sigmoid, or a unit \
                          per class";
            return Err(Error::parameter("activation", activation.name(), detail).in_layer(layer));
        }
        warnings.extend(suits(loss, activation, layer)?);
    }
    for call in model.calls() {
        let layer = &model.layers()[call.layer];
        if layer.layer.activation().is_some_and(|a| of_one_unit(a, &call.shapes[0])) {
            let name = &layer.name;
            warnings.push(format!(
                "layer `{name}`: a softmax of one unit is the same number for every sample"
            ));
        }
    }
    Ok(warnings)
}

fn refused(loss: &Loss, detail: String, layer: &str) -> Error {
    let given = match loss.from_logits() {
        Some(from_logits) => format!("{} {{ from_logits: {from_logits} }}", loss.name()),
        None => loss.name().into(),
    };
    Error::parameter("loss", given, detail).in_layer(layer)
}

/// Whether a loss can be computed from what an activation gives; a warning if it can, but seldom is.
fn suits(loss: &Loss, activation: Activation, layer: &str) -> Result<Option<String>> {
    let (low, high) = activation.range();
    let name = activation.name();
    let probabilities = low >= 0.0 && high <= 1.0;
    let (loss_name, categorical) = (loss.name(), loss.is_categorical());
    let wanted = if categorical { "Softmax" } else { "Sigmoid" };
    match loss.from_logits() {
        None => Ok(None),
        // No probability is negative, so values without a lower bound are no probabilities.
        Some(false) if low == f32::NEG_INFINITY => {
            let detail = format!(
                "the last activation is {name}, so that predictions are no probabilities; set from_logits: true, or \
                 give the last layer Activation::{wanted}"
            );
            Err(refused(loss, detail, layer))
        }
        Some(false) if !probabilities => Ok(Some(format!(
            "layer `{layer}`: {loss_name} takes probabilities, and {name} gives numbers from {low} to {high}; \
             Activation::{wanted} gives probabilities"
        ))),
        Some(true) if probabilities => {
            let detail = format!(
                "the last activation is {name}, so that predictions are no logits but lie between 0 and 1; set \
                 from_logits: false, or make the last layer linear"
            );
            Err(refused(loss, detail, layer))
        }
        // A softmax sees only differences: one side without bound is enough.
        Some(true) if categorical && (low == f32::NEG_INFINITY || high == f32::INFINITY) => {
            Ok(None)
        }
        Some(true) if low > f32::NEG_INFINITY || high < f32::INFINITY => Ok(Some(format!(
            "layer `{layer}`: {loss_name} takes logits, and {name} gives numbers from {low} to {high}, which leaves \
             some probabilities out; a linear last layer has all"
        ))),
        _ => Ok(None),
    }
}
