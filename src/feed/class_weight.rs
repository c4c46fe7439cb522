//! Turns weights of classes into weights of samples, or of positions.

use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::metrics::predicted_class;
use crate::step::OutputSpec;
use crate::tensor::{Data, Tensor};

/// `data`, with each sample's weight multiplied by the weight of its class in `class_weight`.
///
/// # Errors
/// Targets that are no classes; a weight that is negative or not finite, is given twice, or belongs to no sample.
pub(crate) fn weigh_classes(
    class_weight: &[(u32, f32)],
    outputs: &[OutputSpec],
    data: TensorDataset,
) -> Result<TensorDataset> {
    let n = data.len();
    let [output] = outputs else {
        let detail = "the model has several outputs; weigh samples, or the outputs' losses";
        return Err(Error::parameter("class_weight", "given", detail));
    };
    let classes = classes_of(&output.loss, data.y())?;
    for (i, &(class, weight)) in class_weight.iter().enumerate() {
        let name = format!("class_weight of class {class}");
        if !(weight.is_finite() && weight >= 0.0) {
            return Err(Error::parameter(name, weight, "a finite number, 0 or more"));
        }
        if class_weight[..i].iter().any(|(other, _)| *other == class) {
            return Err(Error::parameter(name, weight, "the class is given twice"));
        }
        if !classes.contains(&class) {
            return Err(Error::parameter(name, weight, "no training sample has this class"));
        }
    }
    // Labels of positions weigh positions. The sample's own weights may be fewer than the classes, or more.
    let own = match data.weights() {
        Some(weights) => (weights.as_f32()?.to_vec(), weights.shape().clone()),
        None => (vec![1.0; n], [n].into()),
    };
    let labels = if classes.len() == n { [n].into() } else { data.y().shape().clone() };
    let shape = if own.0.len() >= classes.len() { own.1 } else { labels };
    let mut weights = Vec::with_capacity(shape.len());
    for i in 0..shape.len() {
        let of = |count: usize| i / (shape.len() / count);
        let class = classes[of(classes.len())];
        let factor = class_weight.iter().find(|(c, _)| *c == class);
        weights.push(own.0[of(own.0.len())] * factor.map_or(1.0, |(_, w)| *w));
    }
    data.weighted(Tensor::f32(shape, weights)?)
}

/// The class of each target: of each sample, or of each position if labels are of positions.
fn classes_of(loss: &Loss, y: &Tensor) -> Result<Vec<u32>> {
    let refused = |detail: String| Err(Error::parameter("class_weight", "given", detail));
    let values: Vec<f32> = match y.data() {
        Data::U32(labels) => return Ok(labels.clone()),
        Data::F32(values) => values.clone(),
        Data::U8(labels) if loss.takes_labels() => {
            return Ok(labels.iter().copied().map(u32::from).collect());
        }
        Data::U8(values) => values.iter().copied().map(f32::from).collect(),
    };
    let (samples, dims) = match y.shape().dims() {
        [samples, dims @ ..] => (*samples, dims),
        [] => return Err(Error::internal("class_weight", "targets have no sample axis")),
    };
    let width = values.len() / samples;
    if dims.iter().filter(|&&d| d != 1).count() > 1 {
        return refused(format!("targets {} have no class per sample; weigh samples", y.shape()));
    }
    // Soft labels have a largest class. A quantity has none, and a loss of errors is used with both.
    let quantities = width == 1 || !loss.takes_probabilities();
    if let Some(i) = values.iter().position(|&v| v != 0.0 && v != 1.0).filter(|_| quantities) {
        return refused(format!(
            "element {i} of the targets is {}, no class: {} with classes has targets of 0 and 1. A regression has \
             no classes; weigh samples",
            values[i],
            loss.name()
        ));
    }
    if width == 1 {
        return Ok(values.iter().map(|&v| u32::from(v == 1.0)).collect());
    }
    let mut classes = Vec::with_capacity(samples);
    for (row, numbers) in values.chunks_exact(width).enumerate() {
        match predicted_class(numbers) {
            Some(class) => classes.push(class),
            None => return refused(format!("row {row} of the targets has a NaN, and no class")),
        }
    }
    Ok(classes)
}
