//! Trains neural networks in WGSL compute shaders, on any GPU that wgpu reaches, in browsers, and on software Vulkan.
//!
//! A model, its loss, its gradients and its optimizer are one graph. The graph is compiled once into a plan, and
//! training replays the plan. Names and rules are those of Keras.
//!
//! ```no_run
//! use wgrad::data::{Blobs, make_blobs};
//! use wgrad::prelude::*;
//!
//! fn main() -> wgrad::Result<()> {
//!     let device = Device::new()?;
//!     let data = make_blobs(&Blobs::default())?;
//!     let model = Sequential::new([2])
//!         .add(Dense::new(16).activation(Activation::Relu))
//!         .add(Dense::new(3));
//!     let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
//!     let compile = Compile::new(Adam::default(), loss).metrics([Metric::Accuracy]);
//!     let mut trainer = model.compile(&device, compile)?;
//!     let history = trainer.fit(&data, Fit::new().epochs(20).validation_split(0.2))?;
//!     println!("{:?}", history.get("val_accuracy").last());
//!     Ok(())
//! }
//! ```
//!
//! # For training
//!
//! A program that trains needs these modules, and [`prelude`] has most of their names.
//!
//! | module | what is in it |
//! |---|---|
//! | [`prelude`] | the names that a training program uses |
//! | [`gpu`] | [`Device`](gpu::Device): what the model runs on |
//! | [`tensor`] | [`Tensor`](tensor::Tensor), [`Shape`](tensor::Shape) and initial values |
//! | [`data`] | datasets, splits, scalers, files, made-up sets |
//! | [`layers`], [`activations`], [`constraints`] | layers, and the models that are made of them |
//! | [`losses`], [`metrics`], [`optim`] | what [`Compile`](train::Compile) takes |
//! | [`train`] | [`Compile`](train::Compile), [`Trainer`](train::Trainer), [`Fit`](train::Fit) and the numbers that they give |
//! | [`session`] | [`Session`](session::Session): several models and optimizers in a loop of one's own; [`Predictor`](session::Predictor) |
//! | [`callbacks`] | early stopping, schedules, logs, checkpoints while training |
//! | [`checkpoint`] | whole models, checkpoints, and weights by name, from other libraries too; in files and as bytes |
//! | `plot` | pictures (feature `plot`) |
//! | [`error`] | [`Error`], which names layer, op and shapes and says what to do |
//!
//! # For extending
//!
//! These traits are open to your own types. `docs/extending.md` in the repository has a program for each.
//!
//! | trait | what it adds |
//! |---|---|
//! | [`layers::Layer`] | a layer: calls of the graph builder, with weights if it has any |
//! | [`activations::CustomActivation`] | an activation function |
//! | [`tensor::CustomInitializer`], [`layers::CustomRegularizer`], [`constraints::CustomConstraint`] | first values of weights, penalties on them, and what they keep to |
//! | [`losses::CustomLoss`], [`metrics::CustomMetric`] | a loss, and a metric that the step computes |
//! | [`optim::Optimizer`] | an update rule |
//! | [`callbacks::Callback`] | something that happens while `fit` runs |
//! | [`data::Dataset`] | samples that are read when they are needed |
//!
//! [`ops::CustomKernel`] launches a kernel of your own in WGSL, with run-time checks.
//!
//! Layers and optimizers build nodes of a [`graph::Graph`]; [`graph::Graph::unary`] lists the elementwise functions.
//! [`autodiff`] gives the gradients. A training loop by hand uses [`session::Session`]: the examples `gan` and
//! `custom_loop` have one.
//!
//! # Two tiers
//!
//! What [`prelude`] has, and the modules of the first table, are the stable tier: a change that breaks programs comes only
//! with a version that Cargo takes for incompatible. Enums and results that will grow are `#[non_exhaustive]`: a `match`
//! on them has an arm `_`. Options that are written as literals end in `..Default::default()`, so that a new field
//! breaks no program.
//!
//! These modules are the second tier. They make a graph into kernel launches, and are public so that layers, optimizers and
//! training loops can be written outside, and so that all of it can be printed and tested. They may change with any
//! version.
//!
//! | module | what is in it |
//! |---|---|
//! | [`graph`] | nodes, values, the trait of ops |
//! | [`autodiff`] | gradients, as nodes of the graph |
//! | [`ops`] | the ops, and the table of elementwise functions |
//! | [`passes`] | from graph to graph: folding, common subexpressions, fusion |
//! | [`plan`] | from graph to a list of kernel launches over planned buffers |
//! | [`kernels`] | a launch as plain data, and what a device can do |
//! | [`gpu::Executor`], [`gpu::Store`], [`gpu::Pool`] | a plan's buffers and command buffers |
//! | [`wgpu`] | the crate that [`gpu::Device::wgpu`] and [`gpu::Device::from_wgpu`] speak of |
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `config` (default) | models as data: `Layer::config`, whole models and checkpoints in files. Without it a page has less to download |
//! | `csv` (default) | tables from CSV files |
//! | `progress` (default) | a progress bar on terminals |
//! | `plot` | pictures as PNG and SVG |
//! | `image` | folders of PNG and JPEG images |
//! | `npy` | NumPy's `.npy` and `.npz` files |
//! | `ndarray` | tensors from and to `ndarray` |
//! | `testing` | sample cases of every op (`ops::registry`) and late errors, for this library's own tests; in no tier |

pub mod activations;
pub mod autodiff;
pub mod callbacks;
pub mod checkpoint;
pub mod constraints;
pub mod data;
pub mod error;
mod feed;
#[cfg(not(target_arch = "wasm32"))]
mod files;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod layers;
pub mod losses;
pub mod metrics;
pub mod ops;
pub mod optim;
pub mod passes;
pub mod plan;
#[cfg(feature = "plot")]
pub mod plot;
pub mod prelude;
pub mod session;
mod shape;
mod sorted;
mod step;
pub mod tensor;
pub mod train;
mod words;

/// The Rust blocks of README and guides. The documentation's tests compile them with its own blocks.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[cfg(feature = "csv")]
    #[doc = include_str!("../docs/guide.md")]
    mod guide {}
    #[cfg(all(feature = "image", feature = "plot"))]
    #[doc = include_str!("../docs/images.md")]
    mod images {}
    #[cfg(feature = "plot")]
    #[doc = include_str!("../docs/sequences.md")]
    mod sequences {}
    #[doc = include_str!("../docs/from-keras.md")]
    mod from_keras {}
    #[doc = include_str!("../docs/extending.md")]
    mod extending {}
}

pub use error::{Error, GpuErrorKind, Result};
pub use wgpu;
