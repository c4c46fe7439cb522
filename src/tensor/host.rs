//! Tensors in host memory.

use super::{DType, Shape};
use crate::error::{Error, Result};

/// A host tensor's elements, row-major.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 32-bit unsigned integers.
    U32(Vec<u32>),
    /// Bytes.
    U8(Vec<u8>),
}

impl Data {
    /// The element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::U32(_) => DType::U32,
            Self::U8(_) => DType::U8,
        }
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::U8(v) => v.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements as the device stores them (little-endian words; bytes packed four to a word).
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::F32(v) => bytemuck::cast_slice(v),
            Self::U32(v) => bytemuck::cast_slice(v),
            Self::U8(v) => v,
        }
    }
}

/// A shape and its elements in host memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Shape,
    data: Data,
}

impl Tensor {
    /// A tensor of `shape` from its elements, row-major.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shape's element count is not the data's.
    pub fn new(shape: impl Into<Shape>, data: Data) -> Result<Self> {
        let shape = shape.into();
        if shape.len() != data.len() {
            return Err(Error::shape(
                "tensor",
                &[&shape],
                format!("{} elements were given where the shape holds {}", data.len(), shape.len()),
            ));
        }
        Ok(Self { shape, data })
    }

    /// An f32 tensor.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn f32(shape: impl Into<Shape>, data: impl Into<Vec<f32>>) -> Result<Self> {
        Self::new(shape, Data::F32(data.into()))
    }

    /// A u32 tensor: labels, indices.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn u32(shape: impl Into<Shape>, data: impl Into<Vec<u32>>) -> Result<Self> {
        Self::new(shape, Data::U32(data.into()))
    }

    /// A u8 tensor: images.
    ///
    /// # Errors
    /// As [`Tensor::new`].
    pub fn u8(shape: impl Into<Shape>, data: impl Into<Vec<u8>>) -> Result<Self> {
        Self::new(shape, Data::U8(data.into()))
    }

    /// The shape.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// The elements.
    #[must_use]
    pub const fn data(&self) -> &Data {
        &self.data
    }

    /// The elements of an f32 tensor.
    ///
    /// # Errors
    /// [`Error::DType`] for any other element type.
    pub fn as_f32(&self) -> Result<&[f32]> {
        match &self.data {
            Data::F32(v) => Ok(v),
            other => Err(Error::dtype("as_f32", &[other.dtype()], "the tensor does not hold f32")),
        }
    }

    /// The elements of a u32 tensor.
    ///
    /// # Errors
    /// [`Error::DType`] for any other element type.
    pub fn as_u32(&self) -> Result<&[u32]> {
        match &self.data {
            Data::U32(v) => Ok(v),
            other => Err(Error::dtype("as_u32", &[other.dtype()], "the tensor does not hold u32")),
        }
    }

    /// An f32 tensor of `f` of each pair of elements: `w.zip_with(&gradient, |w, g| w - 0.1 * g)`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes differ; [`Error::DType`] if either does not hold f32.
    pub fn zip_with(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Result<Self> {
        if self.shape != other.shape {
            let detail = "both tensors have the same shape";
            return Err(Error::shape("zip_with", &[&self.shape, &other.shape], detail));
        }
        let pairs = self.as_f32()?.iter().zip(other.as_f32()?);
        Self::f32(self.shape.clone(), pairs.map(|(&a, &b)| f(a, b)).collect::<Vec<f32>>())
    }

    /// The same elements under another shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if the element counts differ.
    pub fn reshape(self, shape: impl Into<Shape>) -> Result<Self> {
        Self::new(shape, self.data)
    }

    /// Rows `start..start + count` along the first axis.
    ///
    /// # Errors
    /// [`Error::Shape`] if the tensor is a scalar or has fewer rows.
    pub fn rows(&self, start: usize, count: usize) -> Result<Self> {
        let dims = self.shape.dims();
        let end = start.checked_add(count);
        if dims.is_empty() || end.is_none_or(|end| end > dims[0]) {
            return Err(Error::shape(
                "rows",
                &[&self.shape],
                format!("rows {start}..{start}+{count} lie outside the tensor"),
            ));
        }
        let width: usize = dims[1..].iter().product();
        let range = start * width..(start + count) * width;
        let mut shape = dims.to_vec();
        shape[0] = count;
        let data = match &self.data {
            Data::F32(v) => Data::F32(v[range].to_vec()),
            Data::U32(v) => Data::U32(v[range].to_vec()),
            Data::U8(v) => Data::U8(v[range].to_vec()),
        };
        Self::new(shape, data)
    }
}
