//! The layers that this library has, by Keras' names.

use super::Settings;
use super::fields::Fields;
use super::read::Reading;
use super::values::Setting;
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::layers::{
    AdaptiveAveragePooling, Add, AdditiveAttention, AlphaDropout, Attention, Average,
    AveragePooling, BatchNormalization, Bidirectional, CachedMultiHeadAttention, CenterCrop,
    Concatenate, Conv, ConvTranspose, Cropping, Dense, DepthwiseConv, Dot, Dropout, Embedding,
    Flatten, GaussianNoise, GlobalAveragePooling, GlobalMaxPooling, GraphConv, GroupNormalization,
    GroupedQueryAttention, Gru, GruCell, LayerHandle, LayerNormalization, Lstm, LstmCell, Masking,
    MaxPooling, Maximum, MessagePassing, Minimum, MultiHeadAttention, Multiply, Normalization,
    PRelu, Permute, PositionEmbedding, RRelu, RandomBrightness, RandomContrast, RandomCrop,
    RandomFlip, RandomRotation, RandomTranslation, RandomZoom, RepeatVector, Rescaling, Reshape,
    Resizing, ReversibleEmbedding, RmsNormalization, Rnn, RotaryEmbedding, SeparableConv,
    SimpleRnn, SimpleRnnCell, SinePositionEncoding, SpatialDropout, SpectralNormalization,
    StackedRnnCells, Subtract, TimeDistributed, TransformerDecoder, TransformerEncoder,
    UnitNormalization, UpSampling, ZeroPadding,
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
    ("AdaptiveAveragePooling1D", make::<AdaptiveAveragePooling<1>>),
    ("AdaptiveAveragePooling2D", make::<AdaptiveAveragePooling<2>>),
    ("AdaptiveAveragePooling3D", make::<AdaptiveAveragePooling<3>>),
    ("Add", make::<Add>),
    ("AdditiveAttention", make::<AdditiveAttention>),
    ("AlphaDropout", make::<AlphaDropout>),
    ("Attention", make::<Attention>),
    ("Average", make::<Average>),
    ("AveragePooling1D", make::<AveragePooling<1>>),
    ("AveragePooling2D", make::<AveragePooling<2>>),
    ("AveragePooling3D", make::<AveragePooling<3>>),
    ("BatchNormalization", make::<BatchNormalization>),
    ("CachedMultiHeadAttention", make::<CachedMultiHeadAttention>),
    ("CenterCrop", make::<CenterCrop>),
    ("Bidirectional", make::<Bidirectional>),
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
    ("GRU", make::<Gru>),
    ("GRUCell", make::<GruCell>),
    ("GaussianNoise", make::<GaussianNoise>),
    ("GroupNormalization", make::<GroupNormalization>),
    ("GroupQueryAttention", make::<GroupedQueryAttention>),
    ("GlobalAveragePooling1D", make::<GlobalAveragePooling<1>>),
    ("GlobalAveragePooling2D", make::<GlobalAveragePooling<2>>),
    ("GlobalAveragePooling3D", make::<GlobalAveragePooling<3>>),
    ("GlobalMaxPooling1D", make::<GlobalMaxPooling<1>>),
    ("GlobalMaxPooling2D", make::<GlobalMaxPooling<2>>),
    ("GlobalMaxPooling3D", make::<GlobalMaxPooling<3>>),
    ("GraphConv", make::<GraphConv>),
    ("LSTM", make::<Lstm>),
    ("LSTMCell", make::<LstmCell>),
    ("LayerNormalization", make::<LayerNormalization>),
    ("LeakyReLU", activation::<1>),
    ("Masking", make::<Masking>),
    ("MaxPooling1D", make::<MaxPooling<1>>),
    ("MaxPooling2D", make::<MaxPooling<2>>),
    ("MaxPooling3D", make::<MaxPooling<3>>),
    ("Maximum", make::<Maximum>),
    ("MessagePassing", make::<MessagePassing>),
    ("Minimum", make::<Minimum>),
    ("MultiHeadAttention", make::<MultiHeadAttention>),
    ("Multiply", make::<Multiply>),
    ("Normalization", make::<Normalization>),
    ("PReLU", make::<PRelu>),
    ("Permute", make::<Permute>),
    ("PositionEmbedding", make::<PositionEmbedding>),
    ("RMSNormalization", make::<RmsNormalization>),
    ("RNN", make::<Rnn>),
    ("RReLU", make::<RRelu>),
    ("RandomBrightness", make::<RandomBrightness>),
    ("RandomContrast", make::<RandomContrast>),
    ("RandomCrop", make::<RandomCrop>),
    ("RandomFlip", make::<RandomFlip>),
    ("RandomRotation", make::<RandomRotation>),
    ("RandomTranslation", make::<RandomTranslation>),
    ("RandomZoom", make::<RandomZoom>),
    ("ReLU", activation::<0>),
    ("RepeatVector", make::<RepeatVector>),
    ("Rescaling", make::<Rescaling>),
    ("Reshape", make::<Reshape>),
    ("Resizing", make::<Resizing>),
    ("ReversibleEmbedding", make::<ReversibleEmbedding>),
    ("RotaryEmbedding", make::<RotaryEmbedding>),
    ("SeparableConv1D", make::<SeparableConv<1>>),
    ("SeparableConv2D", make::<SeparableConv<2>>),
    ("SimpleRNN", make::<SimpleRnn>),
    ("SimpleRNNCell", make::<SimpleRnnCell>),
    ("SinePositionEncoding", make::<SinePositionEncoding>),
    ("Softmax", activation::<3>),
    ("SpatialDropout1D", make::<SpatialDropout<1>>),
    ("SpatialDropout2D", make::<SpatialDropout<2>>),
    ("SpatialDropout3D", make::<SpatialDropout<3>>),
    ("SpectralNormalization", make::<SpectralNormalization>),
    ("StackedRNNCells", make::<StackedRnnCells>),
    ("Subtract", make::<Subtract>),
    ("TimeDistributed", make::<TimeDistributed>),
    ("TransformerDecoder", make::<TransformerDecoder>),
    ("TransformerEncoder", make::<TransformerEncoder>),
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
