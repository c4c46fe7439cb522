//! Where samples come from: the trait that streams them, and a closure as its source.

use super::TensorDataset;
use crate::error::{Error, Result};
use crate::tensor::{DType, Shape, Tensor};

/// What one sample of a [`Dataset`] is: the shapes and element types of its features `x` and of its
/// target `y`, both without the axis that counts samples.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleSpec {
    /// The shape of one sample's features.
    pub x_shape: Shape,
    /// The features' element type: f32, or u8 that becomes f32 on the device.
    pub x_dtype: DType,
    /// The shape of one sample's target: a scalar for class labels.
    pub y_shape: Shape,
    /// The target's element type: u32 class labels, f32, or u8 that becomes f32 on the device.
    pub y_dtype: DType,
    /// What the features are multiplied by when they are decoded on the device.
    pub scale: f32,
}

impl SampleSpec {
    /// Bytes of one sample's features.
    #[must_use]
    pub fn x_bytes(&self) -> usize {
        self.x_shape.len().saturating_mul(self.x_dtype.size())
    }

    /// Bytes of one sample's target.
    #[must_use]
    pub fn y_bytes(&self) -> usize {
        self.y_shape.len().saturating_mul(self.y_dtype.size())
    }

    /// Checks that a model can be trained on such samples.
    ///
    /// # Errors
    /// [`Error::DType`] for features other than f32 and u8, or class labels that are u8;
    /// [`Error::Shape`] for samples without elements and for class labels that are no scalars;
    /// [`Error::Parameter`] for a scale that is NaN or infinite.
    pub fn check(&self) -> Result<()> {
        if self.x_dtype == DType::U32 {
            let detail = "the features `x` must be f32 or u8; convert them to f32";
            return Err(Error::dtype("dataset", &[self.x_dtype], detail));
        }
        if self.y_dtype == DType::U8 && self.y_shape.len() == 1 {
            let detail = "a stream gives class labels as u32; convert them";
            return Err(Error::dtype("dataset", &[self.y_dtype], detail));
        }
        if self.x_shape.is_empty() || self.y_shape.is_empty() {
            let detail = "a sample needs at least one feature and one target element";
            return Err(Error::shape("dataset", &[&self.x_shape, &self.y_shape], detail));
        }
        if self.y_dtype == DType::U32 && self.y_shape.rank() != 0 {
            let detail = "u32 targets are one class label per sample: a scalar";
            return Err(Error::shape("dataset", &[&self.y_shape], detail));
        }
        if !self.scale.is_finite() {
            return Err(Error::parameter("scale", self.scale, "must be a finite number"));
        }
        Ok(())
    }
}

/// Samples that are read when they are needed, for data larger than the device or the host holds.
///
/// [`TensorDataset`] is one in memory, `IdxDataset` one on disk, [`FnDataset`] one that a closure makes. `Loader` reads
/// ahead from any of them on a separate thread, so [`read`](Self::read) must not depend on the order of its calls.
/// [`read`](Self::read) must keep out NaN and infinity if they are not meant.
///
/// ```
/// use wgrad::data::{Dataset, SampleSpec};
/// use wgrad::tensor::{DType, Shape};
///
/// /// Sample i is the eight bits of i, its label their sum modulo 2.
/// struct Parity;
///
/// impl Dataset for Parity {
///     fn len(&self) -> usize {
///         256
///     }
///
///     fn spec(&self) -> SampleSpec {
///         SampleSpec {
///             x_shape: [8].into(),
///             x_dtype: DType::U8,
///             y_shape: Shape::scalar(),
///             y_dtype: DType::U32,
///             scale: 1.0,
///         }
///     }
///
///     fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> wgrad::Result<()> {
///         for row in rows {
///             x.extend((0..8).map(|bit| (row >> bit & 1) as u8));
///             y.extend_from_slice(&(row.count_ones() % 2).to_le_bytes());
///         }
///         Ok(())
///     }
/// }
///
/// let (mut x, mut y) = (vec![], vec![]);
/// Parity.read(&[6], &mut x, &mut y)?;
/// assert_eq!((x, y), (vec![0, 1, 1, 0, 0, 0, 0, 0], vec![0, 0, 0, 0]));
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// Training takes it in an [`Arc`](std::sync::Arc): `trainer.fit(Arc::new(Parity), Fit::new())`.
pub trait Dataset: Send + Sync {
    /// How many samples there are.
    fn len(&self) -> usize;

    /// What one sample is. The same at each call.
    fn spec(&self) -> SampleSpec;

    /// Appends the samples of `rows`, in that order, to `x` and `y`: row-major elements as
    /// [`Data::bytes`](crate::tensor::Data::bytes) gives them, [`SampleSpec::x_bytes`] and
    /// [`SampleSpec::y_bytes`] per row. Each row is below [`len`](Self::len).
    ///
    /// # Errors
    /// Any reason why the samples cannot be read; [`Error::Parameter`] for a row that is not there.
    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()>;

    /// Refuses what cannot be streamed; a dataset that does not define this refuses nothing.
    ///
    /// # Errors
    /// Those of the dataset.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Refuses rows that a dataset of `len` samples does not have.
pub(super) fn check_rows(rows: &[u32], len: usize) -> Result<()> {
    match rows.iter().position(|&row| row as usize >= len) {
        None => Ok(()),
        Some(at) => {
            let detail = format!("rows[{at}] lies outside the samples 0..{len}");
            Err(Error::parameter("rows", rows[at], detail))
        }
    }
}

impl Dataset for TensorDataset {
    fn len(&self) -> usize {
        self.len()
    }

    fn spec(&self) -> SampleSpec {
        SampleSpec {
            x_shape: self.sample_shape(),
            x_dtype: self.x().dtype(),
            y_shape: self.target_shape(),
            y_dtype: self.y().dtype(),
            scale: self.scale(),
        }
    }

    /// A stream has one table of features, one of targets, and no weights.
    fn check(&self) -> Result<()> {
        let tables = [
            ("inputs", self.features().len()),
            ("targets", self.targets().len()),
            ("weights", 1 + usize::from(self.weights().is_some())),
        ];
        match tables.into_iter().find(|(_, count)| *count > 1) {
            None => Ok(()),
            Some((name, count)) => {
                let detail = "a stream has one input, one target and no weights of samples; \
                              train on the TensorDataset itself";
                Err(Error::parameter(format!("streamed {name}"), count, detail))
            }
        }
    }

    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()> {
        check_rows(rows, self.len())?;
        for (tensor, out) in [(self.x(), x), (self.y(), y)] {
            let bytes = tensor.data().bytes();
            let width = bytes.len() / self.len();
            for &row in rows {
                out.extend_from_slice(&bytes[row as usize * width..][..width]);
            }
        }
        Ok(())
    }
}

/// Samples made by a closure: decoded, generated, or fetched from anywhere.
///
/// # Examples
/// ```
/// use wgrad::data::{Dataset, FnDataset};
/// use wgrad::tensor::Tensor;
///
/// // A million samples of y = 2x, none of them stored.
/// let line = FnDataset::new(1_000_000, |rows| {
///     let x: Vec<f32> = rows.iter().map(|&row| row as f32 / 1e6).collect();
///     let y: Vec<f32> = x.iter().map(|x| 2.0 * x).collect();
///     Ok((Tensor::f32([rows.len(), 1], x)?, Tensor::f32([rows.len(), 1], y)?))
/// })?;
/// assert_eq!((line.len(), line.spec().x_shape), (1_000_000, [1].into()));
/// # Ok::<(), wgrad::Error>(())
/// ```
pub struct FnDataset<F> {
    len: usize,
    spec: SampleSpec,
    samples: F,
}

impl<F> std::fmt::Debug for FnDataset<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FnDataset")
            .field("len", &self.len)
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

impl<F> FnDataset<F>
where
    F: Fn(&[u32]) -> Result<(Tensor, Tensor)> + Send + Sync,
{
    /// `len` samples that `samples` makes: given row numbers below `len`, it returns the features
    /// `[rows, ...]` and the targets `[rows]` (u32 labels) or `[rows, ...]` (f32) of those rows, in
    /// that order. It is called once for row 0 to learn the shapes, which every later call must
    /// keep.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a `len` of 0; the closure's own error; those of
    /// [`TensorDataset::new`] for samples that cannot be trained on.
    pub fn new(len: usize, samples: F) -> Result<Self> {
        if len == 0 {
            return Err(Error::parameter("len", len, "a dataset needs at least one sample"));
        }
        let (x, y) = samples(&[0])?;
        let first = TensorDataset::new(x, y)?;
        if first.len() != 1 {
            let detail = format!("one row was asked for and {} came", first.len());
            return Err(Error::data("samples", detail));
        }
        Ok(Self { len, spec: first.spec(), samples })
    }

    /// The same samples, their features multiplied by `scale` when they are decoded on the device:
    /// `1.0 / 255.0` takes u8 pixels to `[0, 1]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a scale that is NaN or infinite.
    pub fn scaled(mut self, scale: f32) -> Result<Self> {
        self.spec.scale = scale;
        self.spec.check()?;
        Ok(self)
    }
}

impl<F> Dataset for FnDataset<F>
where
    F: Fn(&[u32]) -> Result<(Tensor, Tensor)> + Send + Sync,
{
    fn len(&self) -> usize {
        self.len
    }

    fn spec(&self) -> SampleSpec {
        self.spec.clone()
    }

    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()> {
        check_rows(rows, self.len)?;
        let (features, targets) = (self.samples)(rows)?;
        let part = TensorDataset::new(features, targets)?;
        let spec = SampleSpec { scale: self.spec.scale, ..part.spec() };
        if part.len() != rows.len() || spec != self.spec {
            let detail = format!(
                "{} rows were asked for; x {} {} and y {} {} came, which is not what row 0 is",
                rows.len(),
                part.x().dtype(),
                part.x().shape(),
                part.y().dtype(),
                part.y().shape()
            );
            return Err(Error::data("samples", detail));
        }
        x.extend_from_slice(part.x().data().bytes());
        y.extend_from_slice(part.y().data().bytes());
        Ok(())
    }
}
