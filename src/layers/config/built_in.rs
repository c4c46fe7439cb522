//! The layers that this library has, by Keras' names.

use super::Settings;
use super::fields::Fields;
use super::read::Reading;
use super::values::Setting;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layers::{
    Add, AlphaDropout, Average, BatchNormalization, CenterCrop, Concatenate, Conv, ConvTranspose,
    Cropping, Dense, DepthwiseConv, Dot, Dropout, Embedding, Flatten, GaussianNoise,
    GroupNormalization, LayerHandle, LayerNormalization, Masking, Maximum, Minimum, Multiply,
    Normalization, PRelu, Permute, RRelu, RepeatVector, Rescaling, Reshape, Resizing,
    RmsNormalization, SeparableConv, SimpleRnn, SpatialDropout, SpectralNormalization, Subtract,
    TimeDistributed, UnitNormalization, UpSampling, ZeroPadding,
};
use serde_json::{Map, Value, json};

type Make = fn(&str, &Map<String, Value>, &Reading<'_>) -> Result<LayerHandle>;

/// A layer from its settings.
fn make<L: Settings + 'static>(
    place: &str,
    config: &Map<String, Value>,
    reading: &Reading<'_>,
) -> Result<LayerHandle> {
    let mut layer = L::blank();
    let mut fields = Fields::to_read(place, config, reading);
    layer.settings(&mut fields)?;
    fields.finish()?;
    Ok(layer.into())
}

/// Keras' layers that are an activation here.
fn activation<const CLASS: usize>(
    place: &str,
    config: &Map<String, Value>,
    reading: &Reading<'_>,
) -> Result<LayerHandle> {
    let class = ACTIVATIONS[CLASS];
    let value = json!({ "class_name": class, "config": config });
    let read = Activation::read(&value, reading);
    read.map(LayerHandle::from).map_err(|detail| Error::data(place, detail))
}

const ACTIVATIONS: [&str; 4] = ["ReLU", "LeakyReLU", "ELU", "Softmax"];

/// How each layer is made.
const LAYERS: &[(&str, Make)] = &[
    ("Activation", make::<Activation>),
    ("Add", make::<Add>),
    ("AlphaDropout", make::<AlphaDropout>),
    ("Average", make::<Average>),
    ("BatchNormalization", make::<BatchNormalization>),
    ("CenterCrop", make::<CenterCrop>),
    ("Concatenate", make::<Concatenate>),
    ("Conv1D", make::<Conv<1>>),
    ("Conv1DTranspose", make::<ConvTranspose<1>>),
    ("Conv2D", make::<Conv<2>>),
    ("Conv2DTranspose", make::<ConvTranspose<2>>),
    ("Conv3D", make::<Conv<3>>),
    ("Conv3DTranspose", make::<ConvTranspose<3>>),
    ("Cropping1D", make::<Cropping<1>>),
    ("Cropping2D", make::<Cropping<2>>),
    ("Cropping3D", make::<Cropping<3>>),
    ("Dense", make::<Dense>),
    ("DepthwiseConv1D", make::<DepthwiseConv<1>>),
    ("DepthwiseConv2D", make::<DepthwiseConv<2>>),
    ("Dot", make::<Dot>),
    ("Dropout", make::<Dropout>),
    ("ELU", activation::<2>),
    ("Embedding", make::<Embedding>),
    ("Flatten", make::<Flatten>),
    ("GaussianNoise", make::<GaussianNoise>),
    ("GroupNormalization", make::<GroupNormalization>),
    ("LayerNormalization", make::<LayerNormalization>),
    ("LeakyReLU", activation::<1>),
    ("Masking", make::<Masking>),
    ("Maximum", make::<Maximum>),
    ("Minimum", make::<Minimum>),
    ("Multiply", make::<Multiply>),
    ("Normalization", make::<Normalization>),
    ("PReLU", make::<PRelu>),
    ("Permute", make::<Permute>),
    ("RMSNormalization", make::<RmsNormalization>),
    ("RReLU", make::<RRelu>),
    ("ReLU", activation::<0>),
    ("RepeatVector", make::<RepeatVector>),
    ("Rescaling", make::<Rescaling>),
    ("Reshape", make::<Reshape>),
    ("Resizing", make::<Resizing>),
    ("SeparableConv1D", make::<SeparableConv<1>>),
    ("SeparableConv2D", make::<SeparableConv<2>>),
    ("SimpleRNN", make::<SimpleRnn>),
    ("Softmax", activation::<3>),
    ("SpatialDropout1D", make::<SpatialDropout<1>>),
    ("SpatialDropout2D", make::<SpatialDropout<2>>),
    ("SpatialDropout3D", make::<SpatialDropout<3>>),
    ("SpectralNormalization", make::<SpectralNormalization>),
    ("Subtract", make::<Subtract>),
    ("TimeDistributed", make::<TimeDistributed>),
    ("UnitNormalization", make::<UnitNormalization>),
    ("UpSampling1D", make::<UpSampling<1>>),
    ("UpSampling2D", make::<UpSampling<2>>),
    ("UpSampling3D", make::<UpSampling<3>>),
    ("ZeroPadding1D", make::<ZeroPadding<1>>),
    ("ZeroPadding2D", make::<ZeroPadding<2>>),
    ("ZeroPadding3D", make::<ZeroPadding<3>>),
];

/// How the layer of this name is made, if this library has it.
pub(super) fn find(class: &str) -> Option<Make> {
    LAYERS.iter().find(|(name, _)| *name == class).map(|(_, make)| *make)
}

/// The names of all layers.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    LAYERS.iter().map(|(name, _)| *name)
}
