//! Layers: functions that build nodes of a graph. They have no kernels.

mod attention;
mod augment;
mod axes;
mod batch_normalization;
mod concatenate;
mod config;
mod context;
mod convolution;
mod core;
mod dense;
mod dot;
mod edges;
mod embedding;
mod group_normalization;
mod handle;
mod interpolation;
mod lambda;
mod layer_normalization;
mod margins;
mod masking;
mod merge;
mod model;
mod noise;
mod normalization;
mod pooling;
mod rectifier;
mod recurrent;
mod regularizer;
mod resizing;
mod rules;
mod sequential;
mod shape;
mod spatial_dropout;
mod spec;
mod spectral_normalization;
mod summary;
mod symbolic;
mod time_distributed;
mod unit_normalization;
mod up_sampling;
mod windows;

pub use self::core::{Dropout, Flatten};
pub use attention::{
    AdditiveAttention, Attention, CachedMultiHeadAttention, GroupedQueryAttention,
    MultiHeadAttention, PositionEmbedding, ReversibleEmbedding, RotaryEmbedding, ScoreMode,
    SinePositionEncoding, TransformerDecoder, TransformerEncoder,
};
pub use augment::{
    Factor, FlipMode, RandomBrightness, RandomContrast, RandomCrop, RandomFlip, RandomRotation,
    RandomTranslation, RandomZoom,
};
pub use batch_normalization::BatchNormalization;
pub use concatenate::Concatenate;
pub use config::ModelLoader;
pub(crate) use config::current;
pub use context::{Context, Outputs, Random};
pub use convolution::{
    Conv, Conv1D, Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D, Conv3DTranspose, ConvTranspose,
    DepthwiseConv, DepthwiseConv1D, DepthwiseConv2D, SeparableConv, SeparableConv1D,
    SeparableConv2D,
};
pub use dense::Dense;
pub use dot::Dot;
pub use edges::{Aggregation, GraphConv, MessagePassing};
pub use embedding::Embedding;
pub use group_normalization::GroupNormalization;
pub(crate) use handle::Address;
pub use handle::LayerHandle;
pub use interpolation::Interpolation;
pub use lambda::Lambda;
pub use layer_normalization::{LayerNormalization, RmsNormalization};
pub use margins::{
    Cropping, Cropping1D, Cropping2D, Cropping3D, Margins, ZeroPadding, ZeroPadding1D,
    ZeroPadding2D, ZeroPadding3D,
};
pub use masking::Masking;
pub use merge::{Add, Average, Maximum, Minimum, Multiply, Subtract};
pub use model::{Call, Model, ModelInput, NamedLayer};
pub use noise::{AlphaDropout, GaussianNoise};
pub use normalization::Normalization;
pub use pooling::{
    AdaptiveAveragePooling, AdaptiveAveragePooling1D, AdaptiveAveragePooling2D,
    AdaptiveAveragePooling3D, AveragePooling, AveragePooling1D, AveragePooling2D, AveragePooling3D,
    GlobalAveragePooling, GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D,
    GlobalMaxPooling, GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D, MaxPooling,
    MaxPooling1D, MaxPooling2D, MaxPooling3D,
};
pub use rectifier::{PRelu, RRelu};
pub use recurrent::{
    Bidirectional, Gru, GruCell, Lstm, LstmCell, MergeMode, Recurrence, Rnn, SimpleRnn,
    SimpleRnnCell, StackedRnnCells,
};
pub use regularizer::{CustomRegularizer, Regularizer};
pub use resizing::{CenterCrop, Rescaling, Resizing};
pub use sequential::Sequential;
pub use shape::{Permute, RepeatVector, Reshape};
pub use spatial_dropout::{SpatialDropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D};
pub use spec::{WeightKind, WeightSpec};
pub use spectral_normalization::SpectralNormalization;
pub use symbolic::{SymbolicTensor, input, input_named, merge};
pub use time_distributed::TimeDistributed;
pub use unit_normalization::UnitNormalization;
pub use up_sampling::{UpSampling, UpSampling1D, UpSampling2D, UpSampling3D};
pub use windows::{Extents, Padding};

use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType};
use crate::tensor::{Shape, Tensor};
use std::fmt::Debug;

/// A layer of a network.
///
/// A layer takes one tensor, or several if it merges them: [`Layer::check_inputs`] says how many. It declares what it
/// gives and what it holds, and builds its nodes from a [`Context`]:
///
/// | what | declared by | read with |
/// |---|---|---|
/// | outputs | [`Layer::output_shape`]; [`Layer::outputs`] for several, or for ids | |
/// | weights, which gradients change | [`Layer::weights`] | [`Context::weight`] |
/// | states, which the layer changes while training | [`Layer::weights`], by [`WeightSpec::state`] | [`Context::state`] |
/// | constants, which nothing changes or saves | [`Layer::constants`] | [`Context::constant`] |
///
/// What `apply` gives is checked against what the layer declares.
///
/// ```
/// use wgrad::graph::Graph;
/// use wgrad::layers::{Context, Layer, Outputs};
/// use wgrad::prelude::{Dense, Sequential, Shape};
///
/// /// x · tanh(softplus(x)). Misra 2019.
/// #[derive(Debug)]
/// struct Mish;
///
/// impl Layer for Mish {
///     fn kind(&self) -> &'static str {
///         "Mish"
///     }
///
///     fn output_shape(&self, inputs: &[Shape]) -> wgrad::Result<Shape> {
///         Ok(inputs[0].clone())
///     }
///
///     fn apply(&self, graph: &mut Graph, cx: &Context) -> wgrad::Result<Outputs> {
///         let soft = graph.unary("softplus", cx.input(), &[])?;
///         let gate = graph.unary("tanh", soft, &[])?;
///         Ok(graph.mul(cx.input(), gate)?.into())
///     }
/// }
///
/// let model = Sequential::new([3]).add(Dense::new(8)).add(Mish).build()?;
/// assert_eq!(model.layers()[1].name, "mish");
/// # Ok::<(), wgrad::Error>(())
/// ```
pub trait Layer: Debug + Send + Sync {
    /// The type's name as Keras spells it: `Dense`.
    fn kind(&self) -> &'static str;

    /// Refuses a number of inputs that the layer does not take. Unless it defines this, a layer takes one.
    ///
    /// # Errors
    /// [`Error::Parameter`] with the number.
    fn check_inputs(&self, count: usize) -> Result<()> {
        match count {
            1 => Ok(()),
            _ => {
                Err(Error::parameter("inputs", count, format!("{} takes one tensor", self.kind())))
            }
        }
    }

    /// The number of rows in the table, if the layer takes u32 ids: the host refuses data with an id that is not below
    /// it. `None` for a layer that takes numbers.
    fn takes_indices(&self) -> Option<usize> {
        None
    }

    /// As [`Layer::takes_indices`], of the input at this place. A layer that takes ids beside numbers, as nodes and edges,
    /// defines this; `inputs` has the sample shape of each.
    fn takes_indices_of(&self, _input: usize, _inputs: &[Shape]) -> Option<usize> {
        self.takes_indices()
    }

    /// Whether the output has the same elements as the input, in another shape: ids stay ids.
    fn keeps_elements(&self) -> bool {
        false
    }

    /// Whether every number of the output is within the range of the input's numbers, or 0: a layer that moves, repeats,
    /// leaves out or averages them, or changes them only while it trains. The function of the layer before it then
    /// is that of the output too, for [`Layer::activation`].
    fn keeps_range(&self) -> bool {
        self.keeps_elements()
    }

    /// A penalty on each output, which every use of the layer adds to the loss: over the batch, divided by its samples, as
    /// in Keras. [`Graph::add_penalty`] takes other penalties.
    fn activity_regularizer(&self) -> Regularizer {
        Regularizer::NONE
    }

    /// The function that gives the output its values. [`Model::compile`] refuses a loss that does not suit the function
    /// of the last layer. `None` if a layer does not tell: then nothing is refused.
    fn activation(&self) -> Option<Activation> {
        None
    }

    /// The shape of one output sample (without the batch axis) from those of one sample of each input; of several
    /// outputs, that of the first.
    ///
    /// # Errors
    /// Settings outside their domain, or inputs that do not suit.
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape>;

    /// Shape and element type of one sample of each output. A layer with several outputs, or with ids as output,
    /// defines this; otherwise there is one f32 output of [`Layer::output_shape`].
    ///
    /// # Errors
    /// As [`Layer::output_shape`].
    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::f32(self.output_shape(inputs)?)])
    }

    /// The weights and states for inputs of these sample shapes, in the order in which they are saved. It is called
    /// only for inputs that [`Layer::outputs`] takes.
    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        Vec::new()
    }

    /// Tensors that nothing changes, by name: tables and fixed filters. Equal ones are on the device
    /// once, and they are in no file.
    fn constants(&self, _inputs: &[Shape]) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    /// The only batch size that the layer takes, as a stateful one; `None` for any.
    fn batch_size(&self) -> Option<usize> {
        None
    }

    /// What a wrapper may know of a recurrent layer; `None` for one that is not. [`Bidirectional`] asks for it.
    fn recurrence(&self) -> Option<Recurrence> {
        None
    }

    /// The sample shapes of the states, if the layer is a cell: [`Rnn::from_cell`] asks for them. A cell takes a step of a
    /// sequence and its states, and gives its output and the new states.
    fn cell_states(&self) -> Option<Vec<Shape>> {
        None
    }

    /// Factors of dropout that a cell has once for a whole sequence: name, rate, and the shape of a sample. [`Rnn`] draws
    /// them before its loop while training, as each step would draw others; the cell reads them by [`Context::constant`].
    fn sequence_dropout(&self, _inputs: &[Shape]) -> Vec<(String, f32, Shape)> {
        Vec::new()
    }

    /// The layers that this layer consists of, if it is a model: a model around it takes them up one by one.
    ///
    /// # Errors
    /// As [`Model::new`].
    fn as_model(&self) -> Result<Option<Model>> {
        Ok(None)
    }

    /// The layer's settings as an object of JSON, from which a saved model makes the layer again:
    /// [`ModelLoader::register`] takes the constructor. Weights are not among them. This library's layers have Keras'
    /// names for their settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the layer has no such form: unless a layer defines this, a model with it trains and
    /// predicts, and is not saved whole.
    fn config(&self) -> Result<serde_json::Value> {
        let detail = "the layer gives no config, so a model with it cannot be saved whole: define `Layer::config` and \
                      register the constructor with `ModelLoader::register`, or save the weights alone";
        Err(Error::parameter("config", self.kind(), detail))
    }

    /// Builds the layer on the inputs of `cx`, each `[batch, ...]`: outputs, and new values of states.
    ///
    /// # Errors
    /// Those of the ops it builds.
    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs>;

    /// The layer with this name.
    fn named(self, name: &str) -> LayerHandle
    where
        Self: Sized + 'static,
    {
        LayerHandle::from(self).named(name)
    }

    /// The layer with weights that training leaves as they are.
    fn frozen(self) -> LayerHandle
    where
        Self: Sized + 'static,
    {
        LayerHandle::from(self).frozen()
    }
}

/// The random stream of a name (FNV-1a): a layer keeps its numbers at any place in a model.
pub(crate) fn stream_of(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// `AlphaDropout` becomes `alpha_dropout`, `PReLU` `p_re_lu`: the rule by which Keras 3 names layers. A capital
/// starts a word if it follows a small letter or precedes one.
fn snake_case(name: &str) -> String {
    // In ASCII: tables of Unicode are 6 KB that a page would download.
    let is_letter = |c: &char| c.is_ascii_alphanumeric() || *c == '_' || !c.is_ascii();
    let letters: Vec<char> = name.chars().filter(is_letter).collect();
    let small = |i: usize| letters.get(i).is_some_and(char::is_ascii_lowercase);
    let mut out = String::new();
    for (i, c) in letters.iter().enumerate() {
        if i > 0 && c.is_ascii_uppercase() && (small(i - 1) || small(i + 1)) {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn names_are_those_of_keras() {
        // Each pair is what `to_snake_case` of Keras 3.15.1 gives.
        for (kind, name) in [
            ("Dense", "dense"),
            ("PReLU", "p_re_lu"),
            ("RReLU", "r_re_lu"),
            ("LeakyReLU", "leaky_re_lu"),
            ("AlphaDropout", "alpha_dropout"),
            ("GaussianNoise", "gaussian_noise"),
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("MaxPooling2D", "max_pooling2d"),
            ("LSTM", "lstm"),
            ("GRUCell", "gru_cell"),
            ("BatchNormalizationV2", "batch_normalization_v2"),
            ("SimpleRNN", "simple_rnn"),
            ("My_Layer", "my__layer"),
            ("aB1Cd", "a_b1_cd"),
            ("Layer-X", "layer_x"),
        ] {
            assert_eq!(snake_case(kind), name);
        }
    }
}
