//! Data in host memory, before it goes to the device.
//!
//! - A [`TensorDataset`] pairs features with targets and refuses data that cannot be trained on when it is built;
//!   [`train_test_split`] divides one, [`StandardScaler`] and [`MinMaxScaler`] scale features, [`one_hot`] encodes
//!   labels, [`permutation`] orders the rows of an epoch.
//! - [`Dataset`] is the trait of samples that are read when they are needed, for data larger than
//!   the device: a `Loader` reads ahead of it on a thread.
//! - Files: [`read_idx`] reads the IDX format of MNIST and its kin, plain or gzip ([`Idx`] sets another bound), and
//!   `load_mnist` the four files; `IdxDataset` streams a pair; `load_cifar10` reads the six of CIFAR-10; `ImageFolder` has
//!   PNG and JPEG images in a folder per class (feature `image`); `read_csv` reads tables (feature `csv`); `read_npy` and
//!   `Npz` read NumPy's files, `write_npy` and `write_npz` write them (feature `npy`). With the feature `ndarray`,
//!   tensors convert from and to its arrays.
//! - Sequences: [`TextVectorization`] turns text into ids by a vocabulary, [`pad_sequences`] and [`bucket_by_length`] make
//!   lengths equal, [`TextWindows`] and [`timeseries_dataset_from_array`] take windows.
//! - [`make_classification`], [`make_regression`], [`make_blobs`], [`make_moons`] and
//!   [`make_circles`] make data sets from random numbers.
//!
//! ```
//! use wgrad::data::{Split, TensorDataset, train_test_split};
//! use wgrad::tensor::Tensor;
//!
//! let x = Tensor::u8([4, 2], [0, 255, 255, 0, 255, 255, 0, 0])?;
//! let y = Tensor::u32([4], [1, 1, 0, 0])?;
//! let data = TensorDataset::new(x, y)?.scaled(1.0 / 255.0)?;
//! data.check_labels(2)?;
//! let (train, test) = train_test_split(&data, &Split { seed: 42, ..Split::default() })?;
//! assert_eq!((train.len(), test.len()), (3, 1));
//! # Ok::<(), wgrad::Error>(())
//! ```

#[cfg(not(target_arch = "wasm32"))]
mod cifar10;
#[cfg(feature = "csv")]
mod csv;
mod dataset;
mod elements;
mod encode;
mod idx;
#[cfg(not(target_arch = "wasm32"))]
mod idx_dataset;
#[cfg(all(feature = "image", not(target_arch = "wasm32")))]
mod image_folder;
#[cfg(not(target_arch = "wasm32"))]
mod in_order;
#[cfg(not(target_arch = "wasm32"))]
mod loader;
mod make;
#[cfg(not(target_arch = "wasm32"))]
mod mnist;
mod named;
#[cfg(feature = "ndarray")]
mod ndarray;
#[cfg(feature = "npy")]
mod npy;
mod saved;
mod scale;
mod sequences;
mod shuffle;
mod source;
mod split;

#[cfg(not(target_arch = "wasm32"))]
pub use cifar10::{CIFAR10_CLASSES, load_cifar10};
#[cfg(all(feature = "csv", not(target_arch = "wasm32")))]
pub use csv::read_csv;
#[cfg(feature = "csv")]
pub use csv::{Column, ColumnType, Csv, Labels, Missing, Table, TableEncoder};
pub use dataset::TensorDataset;
pub(crate) use dataset::row_of;
pub use encode::one_hot;
#[cfg(not(target_arch = "wasm32"))]
pub use idx::read_idx;
pub use idx::{Idx, expect_rank, parse_idx};
#[cfg(not(target_arch = "wasm32"))]
pub use idx_dataset::IdxDataset;
#[cfg(all(feature = "image", not(target_arch = "wasm32")))]
pub use image_folder::{ColorMode, ImageFolder};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use in_order::in_order;
#[cfg(not(target_arch = "wasm32"))]
pub use loader::{Loader, Window};
pub use make::{
    Blobs, Centers, Circles, Classification, Moons, Regression, make_blobs, make_circles,
    make_classification, make_moons, make_regression,
};
#[cfg(not(target_arch = "wasm32"))]
pub use mnist::load_mnist;
pub use named::{NamedDataset, SampleNames};
#[cfg(feature = "ndarray")]
pub use ndarray::Element;
#[cfg(feature = "npy")]
pub use npy::{Npz, parse_npy};
#[cfg(all(feature = "npy", not(target_arch = "wasm32")))]
pub use npy::{read_npy, write_npy, write_npz};
pub use scale::{MinMaxScaler, StandardScaler};
#[cfg(not(target_arch = "wasm32"))]
pub use sequences::read_text;
pub use sequences::{
    Bucket, PadSequences, SequenceElement, SequenceSide, Standardize, TextOutput, TextSplit,
    TextVectorization, TextWindows, Timeseries, bucket_by_length, pad_sequences, parse_text,
    timeseries_dataset_from_array,
};
pub use shuffle::permutation;
pub(crate) use source::append_rows;
pub use source::{Dataset, FnDataset, FurtherSpec, IntoSamples, SampleSpec};
pub use split::{Split, train_test_split};
