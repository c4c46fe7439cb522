//! Data in host memory, before it goes to the device.
//!
//! [`read_idx`] reads the IDX format of MNIST and its kin, plain or gzip; `load_mnist` finds and
//! checks the four files. A [`TensorDataset`] pairs features with targets and refuses what cannot be
//! trained on when it is built. [`permutation`] orders the rows of an epoch.
//!
//! ```
//! use wgrad::data::TensorDataset;
//! use wgrad::tensor::Tensor;
//!
//! let x = Tensor::u8([4, 2], [0, 255, 255, 0, 255, 255, 0, 0])?;
//! let y = Tensor::u32([4], [1, 1, 0, 0])?;
//! let (train, validation) = TensorDataset::new(x, y)?.scaled(1.0 / 255.0)?.split_at(3)?;
//! train.check_labels(2)?;
//! assert_eq!((train.len(), validation.len()), (3, 1));
//! # Ok::<(), wgrad::Error>(())
//! ```

#[cfg(feature = "csv")]
mod csv;
mod dataset;
mod encode;
mod idx;
#[cfg(not(target_arch = "wasm32"))]
mod idx_dataset;
#[cfg(not(target_arch = "wasm32"))]
mod loader;
mod make;
#[cfg(not(target_arch = "wasm32"))]
mod mnist;
mod scale;
mod shuffle;
mod source;
mod split;

#[cfg(all(feature = "csv", not(target_arch = "wasm32")))]
pub use csv::read_csv;
#[cfg(feature = "csv")]
pub use csv::{Column, ColumnType, Csv, Labels, Table};
pub use dataset::TensorDataset;
pub use encode::one_hot;
#[cfg(not(target_arch = "wasm32"))]
pub use idx::read_idx;
pub use idx::{expect_rank, parse_idx};
#[cfg(not(target_arch = "wasm32"))]
pub use idx_dataset::IdxDataset;
#[cfg(not(target_arch = "wasm32"))]
pub use loader::{Loader, Window};
pub use make::{
    Blobs, Centers, Circles, Classification, Moons, Regression, make_blobs, make_circles,
    make_classification, make_moons, make_regression,
};
#[cfg(not(target_arch = "wasm32"))]
pub use mnist::load_mnist;
pub use scale::{MinMaxScaler, StandardScaler};
pub use shuffle::permutation;
pub use source::{Dataset, FnDataset, SampleSpec};
pub use split::{Split, train_test_split};
