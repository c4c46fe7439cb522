//! Tensors from `ndarray`'s arrays, and back.

use ::ndarray::{ArrayBase, ArrayD, Data as Storage, Dimension, IxDyn};

use crate::error::{Error, Result};
use crate::tensor::{Data, Shape, Tensor};

/// The array elements that tensors hold: f32, u32 and u8.
pub trait Element: Copy + sealed::Sealed {
    /// Wraps elements.
    #[doc(hidden)]
    fn wrap(values: Vec<Self>) -> Data;

    /// The elements of data of this type.
    #[doc(hidden)]
    fn unwrap(data: &Data) -> Option<&[Self]>;
}

mod sealed {
    /// Implemented only here.
    pub trait Sealed {}
}

macro_rules! element {
    ($type:ty, $variant:ident) => {
        impl sealed::Sealed for $type {}

        impl Element for $type {
            fn wrap(values: Vec<Self>) -> Data {
                Data::$variant(values)
            }

            fn unwrap(data: &Data) -> Option<&[Self]> {
                match data {
                    Data::$variant(values) => Some(values),
                    _ => None,
                }
            }
        }
    };
}

element!(f32, F32);
element!(u32, U32);
element!(u8, U8);

/// A row-major copy, whatever the array's memory layout.
impl<T, S, D> From<&ArrayBase<S, D>> for Tensor
where
    T: Element,
    S: Storage<Elem = T>,
    D: Dimension,
{
    fn from(array: &ArrayBase<S, D>) -> Self {
        let values = array.iter().copied().collect();
        Self::new(Shape::from(array.shape()), T::wrap(values))
            .expect("an array has as many elements as its shape")
    }
}

/// As from a reference.
impl<T, S, D> From<ArrayBase<S, D>> for Tensor
where
    T: Element,
    S: Storage<Elem = T>,
    D: Dimension,
{
    fn from(array: ArrayBase<S, D>) -> Self {
        Self::from(&array)
    }
}

/// A row-major copy. [`Error::DType`] if the tensor holds other elements; [`Error::Shape`] if no array can have the
/// shape.
impl<T: Element> TryFrom<&Tensor> for ArrayD<T> {
    type Error = Error;

    fn try_from(tensor: &Tensor) -> Result<Self> {
        let Some(values) = T::unwrap(tensor.data()) else {
            let detail = format!("the array holds {}", T::wrap(vec![]).dtype());
            return Err(Error::dtype("ndarray", &[tensor.dtype()], detail));
        };
        Self::from_shape_vec(IxDyn(tensor.shape().dims()), values.to_vec())
            .map_err(|error| Error::shape("ndarray", &[tensor.shape()], error.to_string()))
    }
}

/// As from a reference.
impl<T: Element> TryFrom<Tensor> for ArrayD<T> {
    type Error = Error;

    fn try_from(tensor: Tensor) -> Result<Self> {
        Self::try_from(&tensor)
    }
}
