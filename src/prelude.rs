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
pub use crate::checkpoint::SavedModel;
#[cfg(not(target_arch = "wasm32"))]
pub use crate::checkpoint::WeightMap;
pub use crate::constraints::Constraint;
pub use crate::data::{
    Dataset, MinMaxScaler, Split, StandardScaler, TensorDataset, train_test_split,
};
#[cfg(not(target_arch = "wasm32"))]
pub use crate::data::{load_mnist, read_idx};
pub use crate::gpu::{Device, DeviceOptions};
pub use crate::layers::{
    Add, AlphaDropout, Average, BatchNormalization, CenterCrop, Concatenate, Conv1D,
    Conv1DTranspose, Conv2D, Conv2DTranspose, Conv3D, Conv3DTranspose, Cropping1D, Cropping2D,
    Cropping3D, Dense, DepthwiseConv1D, DepthwiseConv2D, Dot, Dropout, Embedding, Flatten,
    GaussianNoise, GroupNormalization, Interpolation, Layer, LayerHandle, LayerNormalization,
    Masking, Maximum, Minimum, Model, Multiply, Normalization, PRelu, Permute, RRelu, Regularizer,
    RepeatVector, Rescaling, Reshape, Resizing, RmsNormalization, SeparableConv1D, SeparableConv2D,
    Sequential, SimpleRnn, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D,
    SpectralNormalization, Subtract, SymbolicTensor, TimeDistributed, UnitNormalization,
    UpSampling1D, UpSampling2D, UpSampling3D, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D, input,
    input_named, merge,
};
pub use crate::losses::Loss;
pub use crate::metrics::{ClassAverage, Metric};
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
