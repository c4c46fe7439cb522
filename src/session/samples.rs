//! Samples without targets, and whether they suit a model.

use super::scaling::Scaling;
use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::layers::Model;
use crate::tensor::{Data, Shape, Tensor};

/// Samples to predict: a tensor `[n, ...]` for each input, and the factor that their elements are multiplied by.
///
/// If no factor is given, it is that of the samples that the model was trained on, if these have the same element
/// types: a model that learned on bytes times 1/255 takes other bytes times 1/255 too. Checkpoints and the library's
/// files of weights carry the factor. If it cannot be known, `predict` says so.
#[derive(Debug, Clone, Copy)]
pub struct Features<'a> {
    /// The samples.
    pub x: &'a [Tensor],
    /// The factor; `None` for that of the samples that the model was trained on.
    pub scale: Option<f32>,
}

impl<'a> From<&'a Tensor> for Features<'a> {
    fn from(x: &'a Tensor) -> Self {
        Self { x: std::slice::from_ref(x), scale: None }
    }
}

impl<'a> From<&'a [Tensor]> for Features<'a> {
    fn from(x: &'a [Tensor]) -> Self {
        Self { x, scale: None }
    }
}

impl<'a> From<&'a TensorDataset> for Features<'a> {
    fn from(data: &'a TensorDataset) -> Self {
        Self { x: data.features(), scale: data.given_scale() }
    }
}

/// The factor on samples that suit the model.
///
/// # Errors
/// As [`check`] and [`Scaling::for_features`], and for a factor that is not finite.
pub(crate) fn scale(
    model: &Model,
    known: Option<&Scaling>,
    Features { x, scale }: Features<'_>,
) -> Result<f32> {
    check(model, x)?;
    if let Some(scale) = scale.filter(|scale| !scale.is_finite()) {
        return Err(Error::parameter("scale", scale, "a finite number"));
    }
    Scaling::for_features(known, x, scale)
}

/// Refuses samples that do not suit the model's inputs.
pub(crate) fn check(model: &Model, features: &[Tensor]) -> Result<()> {
    let inputs = model.inputs();
    if features.len() != inputs.len() {
        let detail =
            format!("the model has {} inputs; a tensor for each is expected", inputs.len());
        return Err(Error::parameter("inputs", features.len(), detail));
    }
    for (i, (x, input)) in features.iter().zip(inputs).enumerate() {
        let dims = x.shape().dims();
        if dims.is_empty() || dims[1..] != *input.shape.dims() {
            let reads = model.calls().iter().find(|call| call.inputs.contains(&i));
            let layer = reads.map(|call| model.layers()[call.layer].name.as_str());
            let detail = samples_expected(&input.shape, dims, layer);
            return Err(Error::shape(&input.name, &[x.shape()], detail));
        }
        if dims[0] == 0 {
            return Err(Error::data("x", "there are no samples"));
        }
        if dims[0] != features[0].shape().dims()[0] {
            let detail = "all inputs have the same number of samples";
            return Err(Error::shape(&input.name, &[features[0].shape(), x.shape()], detail));
        }
        check_ids(model, i, x)?;
    }
    Ok(())
}

/// Refuses ids if an input takes quantities, quantities if it takes ids, and ids past the end of the embedding.
fn check_ids(model: &Model, input: usize, x: &Tensor) -> Result<()> {
    let name = &model.inputs()[input].name;
    match (model.index_layer(input), x.data()) {
        (None, Data::U32(_)) => {
            let detail = "samples are f32 or u8; convert them to f32";
            Err(Error::dtype(name, &[x.dtype()], detail))
        }
        (Some((rows, layer)), Data::U32(ids)) => {
            match ids.iter().position(|&id| id as usize >= rows) {
                Some(i) => {
                    let detail = format!(
                        "element {i} is {}; layer `{layer}` of the model takes the {rows} ids 0..{rows}",
                        ids[i]
                    );
                    Err(Error::data(name, detail))
                }
                None => Ok(()),
            }
        }
        (Some(_), _) => {
            Err(Error::dtype(name, &[x.dtype()], "the input takes ids: convert them to u32"))
        }
        (None, _) => Ok(()),
    }
}

/// The error text for features `[n, ...]` that a model of samples `wanted` does not take; `layer` is the first that reads
/// them.
fn samples_expected(wanted: &Shape, features: &[usize], layer: Option<&str>) -> String {
    let expected = format!("the model takes samples of shape {wanted}: [n, ...] is expected");
    let Some((_, sample)) = features.split_first() else { return expected };
    let dims = wanted.dims();
    let shown = Shape::from(sample);
    let flat = Shape::from([&[features[0]], dims].concat());
    if !sample.is_empty() && dims.get(1..) == Some(sample) {
        format!("{expected}. A model's shape has no batch axis: build the model on {shown}")
    } else if features == dims {
        format!("{expected}. A single sample is [1, ...]")
    } else if shown.len() == wanted.len() && dims.len() < sample.len() {
        format!(
            "{expected}. Build the model on {shown} and add a Flatten layer first, or reshape the data to {flat}"
        )
    } else if shown.len() == wanted.len() {
        format!("{expected}. Reshape the data to {flat}")
    } else if let (Some(layer), Some((own, outer)), Some((given, around))) =
        (layer, dims.split_last(), sample.split_last())
        && outer == around
    {
        format!(
            "{expected}. Layer `{layer}` was built for {own} channels or features, and each sample has {given}: convert the \
             data, or build the model on {shown}"
        )
    } else {
        expected
    }
}
