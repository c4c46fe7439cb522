//! The library's one error type.

use crate::shape::{DType, Shape};

/// What any fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong. Messages name the layer, the op and the shapes, and say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Operands whose shapes do not fit an operation.
    #[error("{}{op}: shapes {} do not fit: {detail}", layer_prefix(.layer), list(.shapes))]
    Shape {
        /// The operation, e.g. `matmul`.
        op: String,
        /// The layer being built, empty outside one.
        layer: String,
        /// The operands' shapes, in order.
        shapes: Vec<Shape>,
        /// Why they do not fit, and what to do.
        detail: String,
    },
    /// Operands whose element types do not fit an operation.
    #[error("{}{op}: element types {} do not fit: {detail}", layer_prefix(.layer), list(.dtypes))]
    DType {
        /// The operation.
        op: String,
        /// The layer being built, empty outside one.
        layer: String,
        /// The operands' element types, in order.
        dtypes: Vec<DType>,
        /// Why they do not fit, and what to do.
        detail: String,
    },
    /// A setting outside its domain: zero units, a negative learning rate, a dropout rate of 1.
    #[error("{}{name} = {value}: {detail}", layer_prefix(.layer))]
    Parameter {
        /// The layer, optimizer or call that owns the setting.
        layer: String,
        /// The setting's name.
        name: String,
        /// The value that was given.
        value: String,
        /// The domain, and what to do.
        detail: String,
    },
    /// Data that cannot be trained on: empty, ragged, NaN, a label outside the classes.
    #[error("data `{name}`: {detail}")]
    Data {
        /// Which array or file.
        name: String,
        /// What is wrong, where, and what to do.
        detail: String,
    },
    /// A file that is not what its name or header says.
    #[error("{path}: {field}: {detail}")]
    File {
        /// The file.
        path: String,
        /// The part of the file: `magic`, `dimensions`, `payload`.
        field: String,
        /// What is wrong and what to do.
        detail: String,
    },
    /// The operating system refused a file.
    #[error("{path}: {cause}")]
    Io {
        /// The file.
        path: String,
        /// The system's own words. They are in the message, so they are not a further source.
        cause: std::io::Error,
    },
    /// More than the adapter can hold, bind or dispatch.
    #[error("{what} needs {needed}, the adapter allows {allowed}: {detail}")]
    Limit {
        /// The tensor, binding or dispatch, with its layer if it has one.
        what: String,
        /// What is needed, in the limit's unit.
        needed: u64,
        /// What the adapter allows, in the same unit.
        allowed: u64,
        /// What to do.
        detail: String,
    },
    /// No GPU adapter could be opened.
    #[error("no GPU adapter: {0}")]
    NoAdapter(String),
    /// The device lacks a feature that a kernel needs.
    #[error("{kernel} needs the feature {feature}, which the adapter lacks: {detail}")]
    MissingFeature {
        /// The kernel or call.
        kernel: String,
        /// The feature's name.
        feature: String,
        /// What to use instead.
        detail: String,
    },
    /// The GPU runtime reported a failure.
    #[error("GPU {kind} in {during}: {detail}")]
    Gpu {
        /// Which kind of failure.
        kind: GpuErrorKind,
        /// What the runtime was doing.
        during: String,
        /// The runtime's own words.
        detail: String,
    },
    /// An operation without a gradient is between a loss and a parameter.
    #[error("{}{op} has no gradient: {detail}", layer_prefix(.layer))]
    NotDifferentiable {
        /// The operation.
        op: String,
        /// The layer being built, empty outside one.
        layer: String,
        /// Why, and what to do.
        detail: String,
    },
    /// A callback failed.
    #[error("callback `{callback}` in {hook}: {detail}")]
    Callback {
        /// Its name.
        callback: String,
        /// The hook: `on_epoch_end`.
        hook: &'static str,
        /// Its own words.
        detail: String,
    },
    /// A graph or a kernel that breaks one of the runtime's own invariants: a defect of wgrad, or of an
    /// op card from outside it.
    #[error("internal: {what}: {detail}")]
    Internal {
        /// The pass, kernel or check that found it.
        what: String,
        /// What does not hold.
        detail: String,
    },
}

/// The kinds of failure that a GPU runtime reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpuErrorKind {
    /// A call broke a rule of the API.
    Validation,
    /// An allocation failed.
    OutOfMemory,
    /// The device is gone: driver reset, unplugged, or destroyed.
    DeviceLost,
    /// Waiting or mapping failed.
    Internal,
    /// A kernel from outside of the library used an index past the end of a tensor, on a device that checks.
    OutOfBounds,
}

impl std::fmt::Display for GpuErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Validation => "validation error",
            Self::OutOfMemory => "out of memory",
            Self::DeviceLost => "device lost",
            Self::Internal => "failure",
            Self::OutOfBounds => "index out of bounds",
        })
    }
}

impl Error {
    /// A shape error of `op`, outside any layer.
    pub fn shape(op: impl Into<String>, shapes: &[&Shape], detail: impl Into<String>) -> Self {
        Self::Shape {
            op: op.into(),
            layer: String::new(),
            shapes: shapes.iter().map(|&s| s.clone()).collect(),
            detail: detail.into(),
        }
    }

    /// An element-type error of `op`, outside any layer.
    pub fn dtype(op: impl Into<String>, dtypes: &[DType], detail: impl Into<String>) -> Self {
        Self::DType {
            op: op.into(),
            layer: String::new(),
            dtypes: dtypes.to_vec(),
            detail: detail.into(),
        }
    }

    /// A setting outside its domain.
    pub fn parameter(
        name: impl Into<String>,
        value: impl std::fmt::Display,
        detail: impl Into<String>,
    ) -> Self {
        Self::Parameter {
            layer: String::new(),
            name: name.into(),
            value: value.to_string(),
            detail: detail.into(),
        }
    }

    /// An op without the gradient that is asked for.
    pub fn not_differentiable(op: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::NotDifferentiable { op: op.into(), layer: String::new(), detail: detail.into() }
    }

    /// Unusable data.
    pub fn data(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Data { name: name.into(), detail: detail.into() }
    }

    /// A broken invariant of the runtime.
    pub fn internal(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Internal { what: what.into(), detail: detail.into() }
    }

    /// The same error, if it is of a setting, as one of `part`: `kernel: stddev = -1`.
    #[must_use]
    pub(crate) fn of(mut self, part: &str) -> Self {
        if let Self::Parameter { name, .. } = &mut self {
            *name = format!("{part}: {name}");
        }
        self
    }

    /// The same error, naming `layer` if it names none yet.
    #[must_use]
    pub fn in_layer(mut self, name: &str) -> Self {
        match &mut self {
            Self::Shape { layer, .. }
            | Self::DType { layer, .. }
            | Self::Parameter { layer, .. }
            | Self::NotDifferentiable { layer, .. }
                if layer.is_empty() =>
            {
                name.clone_into(layer);
            }
            _ => {}
        }
        self
    }
}

fn layer_prefix(layer: &str) -> String {
    if layer.is_empty() { String::new() } else { format!("layer `{layer}`: ") }
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The first of many names.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 12;
    let mut text: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    let more = format!("{} more", names.len().saturating_sub(SHOWN));
    if names.len() > SHOWN {
        text.push(&more);
    }
    if text.is_empty() { "none".into() } else { text.join(", ") }
}
