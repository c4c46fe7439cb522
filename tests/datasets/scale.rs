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
    // Outside the fitted range.
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

#[test]
fn scalers_are_made_of_their_numbers() {
    let x = table();
    let fitted = StandardScaler::fit(&x).unwrap();
    let made = StandardScaler::from_statistics([4], fitted.mean(), fitted.var()).unwrap();
    assert_eq!(made, fitted);
    let of = |mean: &[f64], var: &[f64]| StandardScaler::from_statistics([2], mean, var);
    says(of(&[0.0], &[1.0, 1.0]), &["StandardScaler mean", "= 1", "[2]"]);
    says(of(&[0.0; 2], &[1.0; 3]), &["StandardScaler var", "= 3"]);
    says(of(&[0.0, f64::NAN], &[1.0; 2]), &["mean[1] = NaN", "finite"]);
    says(of(&[0.0; 2], &[1.0, -1.0]), &["var = -1", "0 or more"]);
    assert!(StandardScaler::from_statistics([0], [], []).is_err());
    assert!(StandardScaler::from_statistics([usize::MAX, 2], [0.0], [1.0]).is_err());
    let fitted = MinMaxScaler::fit_range(&x, -2.0, 3.0).unwrap();
    let (low, high) = (fitted.data_min(), fitted.data_max());
    assert_eq!(MinMaxScaler::from_ranges([4], low, high, -2.0, 3.0).unwrap(), fitted);
    assert_ne!(MinMaxScaler::from_ranges([4], low, high, 0.0, 1.0).unwrap(), fitted);
    let of = |low: &[f64], high: &[f64]| MinMaxScaler::from_ranges([2], low, high, 0.0, 1.0);
    says(of(&[0.0, 2.0], &[1.0, 1.0]), &["data_min[1] = 2", "data_max[1] = 1"]);
    says(of(&[0.0], &[1.0]), &["MinMaxScaler data_min"]);
    let range = MinMaxScaler::from_ranges([1], [0.0], [1.0], 1.0, 1.0);
    says(range, &["feature_range", "low < high"]);
}

#[test]
fn saved_scalers_come_back_to_the_last_bit() {
    let folder = std::env::temp_dir().join(format!("wgrad-scalers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("scaler.json");
    // Numbers that need all their decimals, and extremes.
    let x = [0.1, 1.0 / 3.0, 1e-38, -3e38, 7.0, -0.0, 2.5e-40, 3e38].map(|v| v as f32);
    for x in [table(), Tensor::f32([2, 2, 2], x).unwrap()] {
        let standard = StandardScaler::fit(&x).unwrap();
        standard.save(&path).unwrap();
        let back = StandardScaler::load(&path).unwrap();
        let bits = |s: &StandardScaler| -> Vec<u64> {
            [s.mean(), s.var(), s.scale()].concat().iter().map(|v| v.to_bits()).collect()
        };
        assert_eq!((bits(&back), &back), (bits(&standard), &standard));
        assert_eq!(back.transform(&x).unwrap(), standard.transform(&x).unwrap());
        let min_max = MinMaxScaler::fit_range(&x, -0.1, 0.7).unwrap();
        min_max.save(&path).unwrap();
        assert_eq!(MinMaxScaler::load(&path).unwrap(), min_max);
        // JSON of one kind is not the other.
        let error = StandardScaler::load(&path).unwrap_err();
        says(
            Err::<(), _>(error),
            &["scaler.json", "kind is \"MinMaxScaler\"", "no saved StandardScaler"],
        );
    }
    let good = StandardScaler::fit(&table()).unwrap().to_json();
    for (from, to, word) in [
        ("\"mean\":[", "\"mean\":[\"one\",", "`mean`"),
        ("\"mean\":[", "\"mean\":[1.0,", "mean"),
        ("\"sample\":[4]", "\"sample\":[-4]", "`sample`"),
        ("\"sample\":[4]", "\"sample\":[18446744073709551615,4]", "mean"),
        ("\"var\"", "\"bar\"", "`var`"),
        ("{", "[", "no saved StandardScaler"),
    ] {
        std::fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let error = StandardScaler::load(&path).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error:?}");
        says(Err::<(), _>(error), &["scaler.json", word]);
    }
    says(StandardScaler::load(folder.join("none")), &["none"]);
    assert!(MinMaxScaler::from_json("").is_err() && MinMaxScaler::from_json("3").is_err());
    let two = MinMaxScaler::fit(&table()).unwrap().to_json().replace("[0.0,1.0]", "[0.0,0.5,1.0]");
    says(MinMaxScaler::from_json(&two), &["feature_range", "two numbers"]);
    std::fs::remove_dir_all(folder).unwrap();
}
