//! The scalers, against scikit-learn.

use super::{close, numbers, says, sklearn};
use wgrad::Error;
use wgrad::data::{MinMaxScaler, StandardScaler};
use wgrad::tensor::{Shape, Tensor};

/// The recorded table: `[7, 4]`, its last column constant.
fn table() -> Tensor {
    let x: Vec<f32> = numbers(&sklearn("scalers")["x"]).into_iter().map(|v| v as f32).collect();
    Tensor::f32([7, 4], x).unwrap()
}

#[track_caller]
fn agree(ours: &[f64], kind: &str, name: &str, tolerance: f64) {
    let theirs = numbers(&sklearn("scalers")[kind][name]);
    assert_eq!(ours.len(), theirs.len(), "{name}");
    for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        assert!(close(*a, *b, tolerance), "{kind} {name}[{i}]: {a}, scikit-learn has {b}");
    }
}

fn doubles(tensor: &Tensor) -> Vec<f64> {
    tensor.as_f32().unwrap().iter().map(|&v| v.into()).collect()
}

#[test]
fn standardising_is_scikit_learns() {
    let x = table();
    let (scaler, z) = StandardScaler::fit_transform(&x).unwrap();
    agree(scaler.mean(), "standard", "mean", 1e-12);
    agree(scaler.var(), "standard", "var", 1e-12);
    agree(scaler.scale(), "standard", "scale", 1e-12);
    agree(&doubles(&z), "standard", "z", 1e-6);
    assert_eq!((scaler.var()[3], scaler.scale()[3]), (0.0, 1.0));
    let back = scaler.inverse_transform(&z).unwrap();
    for (a, b) in doubles(&back).into_iter().zip(doubles(&x)) {
        assert!(close(a, b, 1e-6), "{a} was {b}");
    }
}

#[test]
fn ranges_are_scikit_learns() {
    let x = table();
    let scaler = MinMaxScaler::fit_range(&x, -2.0, 3.0).unwrap();
    agree(scaler.data_min(), "minmax", "data_min", 0.0);
    agree(scaler.data_max(), "minmax", "data_max", 0.0);
    agree(scaler.min(), "minmax", "min", 1e-12);
    agree(scaler.scale(), "minmax", "scale", 1e-12);
    let z = scaler.transform(&x).unwrap();
    agree(&doubles(&z), "minmax", "z", 1e-6);
    let back = scaler.inverse_transform(&z).unwrap();
    for (a, b) in doubles(&back).into_iter().zip(doubles(&x)) {
        assert!(close(a, b, 1e-5), "{a} was {b}");
    }
    assert_eq!(MinMaxScaler::fit(&x).unwrap(), MinMaxScaler::fit_range(&x, 0.0, 1.0).unwrap());
}

#[test]
fn constant_columns_stay_finite_however_many_rows_there_are() {
    // The mean of these is not 0.1 to the last bit: 0.1 has no short binary form.
    let x = Tensor::f32([1001], vec![0.1; 1001]).unwrap();
    let (scaler, z) = StandardScaler::fit_transform(&x).unwrap();
    assert_eq!((scaler.var(), scaler.scale()), (&[0.0][..], &[1.0][..]));
    assert_eq!(z, Tensor::f32([1001], vec![0.0; 1001]).unwrap());
    let (_, z) = MinMaxScaler::fit_transform(&x).unwrap();
    assert_eq!(z, Tensor::f32([1001], vec![0.0; 1001]).unwrap());
}

#[test]
fn samples_of_any_shape_and_bytes_are_scaled_place_by_place() {
    let x = Tensor::u8([2, 2, 1], [0, 10, 255, 30]).unwrap();
    let (scaler, z) = StandardScaler::fit_transform(&x).unwrap();
    assert_eq!(scaler.mean(), [127.5, 20.0]);
    assert_eq!(z, Tensor::f32([2, 2, 1], [-1.0, -1.0, 1.0, 1.0]).unwrap());
    let one = Tensor::f32([1, 2, 1], [127.5, 40.0]).unwrap();
    assert_eq!(scaler.transform(&one).unwrap(), Tensor::f32([1, 2, 1], [0.0, 2.0]).unwrap());
    // Outside the range that was fitted.
    let scaler = MinMaxScaler::fit(&x).unwrap();
    assert_eq!(scaler.transform(&one).unwrap(), Tensor::f32([1, 2, 1], [0.5, 1.5]).unwrap());
}

#[test]
fn tables_that_cannot_be_scaled_are_refused() {
    let floats = |shape: &[usize], v: &[f32]| Tensor::f32(shape, v).unwrap();
    let labels = Tensor::u32([2], [0, 1]).unwrap();
    for result in [StandardScaler::fit(&labels).err(), MinMaxScaler::fit(&labels).err()] {
        assert!(matches!(&result, Some(Error::DType { .. })), "{result:?}");
    }
    let scalar = Tensor::f32(Shape::scalar(), [1.0]).unwrap();
    says(StandardScaler::fit(&scalar), &["StandardScaler::fit", "[n, ...]"]);
    for shape in [[0, 3], [3, 0]] {
        says(StandardScaler::fit(&floats(&shape, &[])), &["`x`", "nothing to fit"]);
        says(MinMaxScaler::fit(&floats(&shape, &[])), &["`x`", "nothing to fit"]);
    }
    for bad in [f32::NAN, f32::INFINITY] {
        let x = floats(&[2, 2], &[0.0, 1.0, 2.0, bad]);
        says(StandardScaler::fit(&x), &["row 1, column 1", &bad.to_string()]);
        says(MinMaxScaler::fit(&x), &["row 1, column 1"]);
    }
    let x = floats(&[2, 2], &[0.0, 1.0, 2.0, 3.0]);
    for (low, high) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        says(MinMaxScaler::fit_range(&x, low, high), &["feature_range", "low < high"]);
    }
    let (standard, minmax) = (StandardScaler::fit(&x).unwrap(), MinMaxScaler::fit(&x).unwrap());
    let other = floats(&[2, 3], &[0.0; 6]);
    for result in [
        standard.transform(&other),
        standard.inverse_transform(&other),
        minmax.transform(&other),
        minmax.inverse_transform(&other),
    ] {
        says(result, &["Scaler::", "[2, 3]", "fitted to rows of shape [2]"]);
    }
}
