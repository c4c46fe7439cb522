//! What a training program names: `use wgrad::prelude::*`.

pub use crate::activations::Activation;
#[cfg(all(feature = "progress", not(target_arch = "wasm32")))]
pub use crate::callbacks::ProgressBar;
#[cfg(not(target_arch = "wasm32"))]
pub use crate::callbacks::{BackupAndRestore, CsvLogger, ModelCheckpoint, TensorBoard};
pub use crate::callbacks::{
    BatchInterval, Callback, Control, EarlyStopping, HookResult, Lambda, LearningRateScheduler,
    Mode, ProgressLines, ReduceLrOnPlateau, TerminateOnNan,
};
pub use crate::checkpoint::{SavedModel, WeightMap};
pub use crate::constraints::Constraint;
#[cfg(all(feature = "image", not(target_arch = "wasm32")))]
pub use crate::data::{ColorMode, ImageFolder};
pub use crate::data::{
    Dataset, MinMaxScaler, PadSequences, SequenceSide, Split, StandardScaler, TensorDataset,
    TextVectorization, TextWindows, Timeseries, pad_sequences, timeseries_dataset_from_array,
    train_test_split,
};
#[cfg(not(target_arch = "wasm32"))]
pub use crate::data::{load_cifar10, load_mnist, read_idx};
pub use crate::gpu::{Device, DeviceOptions};
pub use crate::layers::{
    AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D, Add,
    AdditiveAttention, Aggregation, AlphaDropout, Attention, Average, AveragePooling1D,
    AveragePooling2D, AveragePooling3D, BatchNormalization, Bidirectional,
    CachedMultiHeadAttention, CenterCrop, Concatenate, Conv1D, Conv1DTranspose, Conv2D,
    Conv2DTranspose, Conv3D, Conv3DTranspose, Cropping1D, Cropping2D, Cropping3D, Dense,
    DepthwiseConv1D, DepthwiseConv2D, Dot, Dropout, Embedding, Factor, Flatten, FlipMode,
    GaussianNoise, GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D,
    GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D, GraphConv, GroupNormalization,
    GroupedQueryAttention, Gru, GruCell, Interpolation, Layer, LayerHandle, LayerNormalization,
    Lstm, LstmCell, Masking, MaxPooling1D, MaxPooling2D, MaxPooling3D, Maximum, MergeMode,
    MessagePassing, Minimum, Model, MultiHeadAttention, Multiply, Normalization, PRelu, Padding,
    Permute, PositionEmbedding, RRelu, RandomBrightness, RandomContrast, RandomCrop, RandomFlip,
    RandomRotation, RandomTranslation, RandomZoom, Regularizer, RepeatVector, Rescaling, Reshape,
    Resizing, ReversibleEmbedding, RmsNormalization, Rnn, RotaryEmbedding, ScoreMode,
    SeparableConv1D, SeparableConv2D, Sequential, SimpleRnn, SimpleRnnCell, SinePositionEncoding,
    SpatialDropout1D, SpatialDropout2D, SpatialDropout3D, SpectralNormalization, StackedRnnCells,
    Subtract, SymbolicTensor, TimeDistributed, TransformerDecoder, TransformerEncoder,
    UnitNormalization, UpSampling1D, UpSampling2D, UpSampling3D, ZeroPadding1D, ZeroPadding2D,
    ZeroPadding3D, input, input_named, merge,
};
pub use crate::losses::Loss;
pub use crate::metrics::{ClassAverage, Metric};
pub use crate::ops::{FillMode, SoftmaxMask};
pub use crate::optim::schedule::{
    Anneal, CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, OneCycle,
    PiecewiseConstantDecay, PolynomialDecay,
};
pub use crate::optim::{Adagrad, Adam, AdamW, Clip, Optimizer, RmsProp, Schedule, Sgd};
pub use crate::session::Session;
pub use crate::tensor::{DType, Data, Initializer, Shape, Tensor};
pub use crate::train::{
    BatchEnd, Compile, Epoch, Evaluation, Features, Fit, FitInfo, History, Predictor, Profile,
    Trainer, Verbose,
};
