//! Conversions from and to `ndarray`.

use super::says;
use ndarray::{Array, Array0, Array2, ArrayD, ShapeBuilder, s};
use proptest::prelude::*;
use wgrad::tensor::{Shape, Tensor};

#[test]
fn any_memory_layout_converts() {
    let array = Array2::from_shape_fn((2, 3), |(r, c)| (10 * r + c) as f32);
    let expected = Tensor::f32([2, 3], [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]).unwrap();
    assert_eq!(Tensor::from(&array), expected);
    let mut fortran = Array2::zeros((2, 3).f());
    fortran.assign(&array);
    assert!(!fortran.is_standard_layout());
    assert_eq!(Tensor::from(fortran), expected);
    let turned = Tensor::f32([3, 2], [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]).unwrap();
    assert_eq!(Tensor::from(array.t()), turned);
    let part = Tensor::f32([2, 2], [12.0, 10.0, 2.0, 0.0]).unwrap();
    assert_eq!(Tensor::from(array.slice(s![..;-1, ..;-2])), part);
    assert_eq!(Tensor::from(array.mapv(|v| v as u8)).dtype(), wgrad::tensor::DType::U8);
    let scalar = Tensor::u32(Shape::scalar(), [7]).unwrap();
    assert_eq!(Tensor::from(Array0::from_elem((), 7_u32)), scalar);
}

#[test]
fn tensors_become_arrays_of_their_own_type() {
    let tensor = Tensor::f32([2, 1, 3], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let array = ArrayD::<f32>::try_from(&tensor).unwrap();
    assert_eq!((array.shape(), array[[1, 0, 2]]), (&[2, 1, 3][..], 6.0));
    says(ArrayD::<u32>::try_from(&tensor), &["ndarray", "f32", "the array holds u32"]);
    says(ArrayD::<f32>::try_from(Tensor::u8([1], [1]).unwrap()), &["u8", "the array holds f32"]);
}

proptest! {
    #[test]
    fn there_and_back_is_the_same(dims in prop::collection::vec(0..4_usize, 0..5)) {
        let mut next = 0;
        let array = Array::from_shape_simple_fn(dims.clone(), || { next += 1; next });
        let tensor = Tensor::from(&array);
        prop_assert_eq!(tensor.shape().dims(), &dims[..]);
        prop_assert_eq!(ArrayD::<u32>::try_from(tensor).unwrap(), array);
    }
}
