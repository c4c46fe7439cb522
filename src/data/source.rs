//! Where samples come from: the trait that streams them, and a closure as its source.

use super::{SampleNames, TensorDataset};
use crate::error::{Error, Result};
use crate::tensor::{DType, Shape, Tensor};

/// What one sample of a [`Dataset`] is: the shapes and element types of its features `x` and of its
/// target `y`, both without the axis that counts samples.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleSpec {
    /// The shape of one sample's features.
    pub x_shape: Shape,
    /// The features' element type: f32, u8 that becomes f32 on the device, or u32 ids of an embedding.
    pub x_dtype: DType,
    /// The shape of one sample's target: a scalar for a class label, `[t]` for one per position.
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
    /// [`Error::DType`] for class labels that are u8 scalars; [`Error::Shape`] for samples without elements;
    /// [`Error::Parameter`] for a scale that is NaN or infinite.
    pub fn check(&self) -> Result<()> {
        if self.y_dtype == DType::U8 && self.y_shape.len() == 1 {
            let detail = "a stream gives class labels as u32; convert them";
            return Err(Error::dtype("dataset", &[self.y_dtype], detail));
        }
        if self.x_shape.is_empty() || self.y_shape.is_empty() {
            let detail = "a sample needs at least one feature and one target element";
            return Err(Error::shape("dataset", &[&self.x_shape, &self.y_shape], detail));
        }
        if !self.scale.is_finite() {
            return Err(Error::parameter("scale", self.scale, "must be a finite number"));
        }
        Ok(())
    }
}

/// What a sample has beside its first input and its first target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FurtherSpec {
    /// Shape and element type of each further input, in the order of the model's.
    pub inputs: Vec<(Shape, DType)>,
    /// Shape and element type of the target of each further output, in the order of the model's.
    pub targets: Vec<(Shape, DType)>,
    /// The weights of the losses, f32: none, one shape for all outputs, or a place for each output. A scalar is a weight
    /// per sample, `[t]` one per position.
    pub weights: Vec<Option<Shape>>,
}

impl FurtherSpec {
    /// Bytes of one sample of each tensor: inputs, targets, weights.
    pub fn bytes(&self) -> impl Iterator<Item = usize> {
        let typed = self.inputs.iter().chain(&self.targets);
        let typed = typed.map(|(shape, dtype)| shape.len().saturating_mul(dtype.size()));
        typed.chain(self.weights.iter().flatten().map(|shape| shape.len().saturating_mul(4)))
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

    /// What a sample has beside its first input and its first target: nothing, unless a dataset says so. The same at each
    /// call.
    fn further(&self) -> FurtherSpec {
        FurtherSpec::default()
    }

    /// As [`read`](Self::read), and appends the tensors of [`further`](Self::further) to `further`: inputs, targets,
    /// weights. A dataset that has any defines this.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_all(
        &self,
        rows: &[u32],
        x: &mut Vec<u8>,
        y: &mut Vec<u8>,
        further: &mut [Vec<u8>],
    ) -> Result<()> {
        let _ = further;
        self.read(rows, x, y)
    }

    /// The names of the tensors, by which a model finds them: none, unless a dataset says so, and then they are in the model's
    /// order. [`NamedDataset`](super::NamedDataset) gives any dataset names.
    fn names(&self) -> SampleNames {
        SampleNames::default()
    }

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

    fn further(&self) -> FurtherSpec {
        let of_sample = |t: &Tensor| Shape::from(&t.shape().dims()[1..]);
        let typed = |t: &Tensor| (of_sample(t), t.dtype());
        FurtherSpec {
            inputs: self.features()[1..].iter().map(typed).collect(),
            targets: self.targets()[1..].iter().map(typed).collect(),
            weights: self.weight_tables().iter().map(|w| w.as_ref().map(of_sample)).collect(),
        }
    }

    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()> {
        check_rows(rows, self.len())?;
        append_rows(self.x(), rows, x);
        append_rows(self.y(), rows, y);
        Ok(())
    }

    fn read_all(
        &self,
        rows: &[u32],
        x: &mut Vec<u8>,
        y: &mut Vec<u8>,
        further: &mut [Vec<u8>],
    ) -> Result<()> {
        self.read(rows, x, y)?;
        further_of(self).zip(further).for_each(|(tensor, out)| append_rows(tensor, rows, out));
        Ok(())
    }

    fn names(&self) -> SampleNames {
        self.sample_names().clone()
    }
}

/// The tensors of [`Dataset::further`], in its order.
fn further_of(data: &TensorDataset) -> impl Iterator<Item = &Tensor> {
    let typed = data.features()[1..].iter().chain(&data.targets()[1..]);
    typed.chain(data.weight_tables().iter().flatten())
}

/// Appends rows of a tensor.
pub(crate) fn append_rows(tensor: &Tensor, rows: &[u32], out: &mut Vec<u8>) {
    let bytes = tensor.data().bytes();
    let width = bytes.len() / tensor.shape().dims()[0];
    for &row in rows {
        out.extend_from_slice(&bytes[row as usize * width..][..width]);
    }
}

/// What the closure of a [`FnDataset`] gives: features and targets, or a [`TensorDataset`] with several inputs and
/// targets, or with weights.
pub trait IntoSamples {
    /// The samples.
    ///
    /// # Errors
    /// Those of [`TensorDataset::new`].
    fn into_samples(self) -> Result<TensorDataset>;
}

impl IntoSamples for (Tensor, Tensor) {
    fn into_samples(self) -> Result<TensorDataset> {
        TensorDataset::new(self.0, self.1)
    }
}

impl IntoSamples for TensorDataset {
    fn into_samples(self) -> Result<TensorDataset> {
        Ok(self)
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
    further: FurtherSpec,
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

impl<F, S> FnDataset<F>
where
    F: Fn(&[u32]) -> Result<S> + Send + Sync,
    S: IntoSamples,
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
        let first = samples(&[0])?.into_samples()?;
        if first.len() != 1 {
            let detail = format!("one row was asked for and {} came", first.len());
            return Err(Error::data("samples", detail));
        }
        Ok(Self { len, spec: first.spec(), further: first.further(), samples })
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

impl<F, S> Dataset for FnDataset<F>
where
    F: Fn(&[u32]) -> Result<S> + Send + Sync,
    S: IntoSamples,
{
    fn len(&self) -> usize {
        self.len
    }

    fn spec(&self) -> SampleSpec {
        self.spec.clone()
    }

    fn further(&self) -> FurtherSpec {
        self.further.clone()
    }

    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()> {
        let mut further = vec![Vec::new(); self.further.bytes().count()];
        self.read_all(rows, x, y, &mut further)
    }

    fn read_all(
        &self,
        rows: &[u32],
        x: &mut Vec<u8>,
        y: &mut Vec<u8>,
        further: &mut [Vec<u8>],
    ) -> Result<()> {
        check_rows(rows, self.len)?;
        let part = (self.samples)(rows)?.into_samples()?;
        let spec = SampleSpec { scale: self.spec.scale, ..part.spec() };
        if part.len() != rows.len() || spec != self.spec || part.further() != self.further {
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
        for (tensor, out) in further_of(&part).zip(further) {
            out.extend_from_slice(tensor.data().bytes());
        }
        Ok(())
    }
}
