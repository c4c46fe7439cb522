//! `train_test_split`, `select` and `one_hot`.

use super::says;
use proptest::prelude::*;
use std::collections::BTreeMap;
use wgrad::Error;
use wgrad::data::{Split, TensorDataset, one_hot, train_test_split};
use wgrad::tensor::Tensor;

/// Samples `[i, -i]` with these labels.
fn labelled(labels: &[u32]) -> TensorDataset {
    let x: Vec<f32> = (0..labels.len()).flat_map(|i| [i as f32, -(i as f32)]).collect();
    let y = Tensor::u32([labels.len()], labels).unwrap();
    TensorDataset::new(Tensor::f32([labels.len(), 2], x).unwrap(), y).unwrap()
}

/// The rows of a part, by their features, checked to have kept their own labels.
fn rows(part: &TensorDataset, labels: &[u32]) -> Vec<usize> {
    let y = part.y().as_u32().unwrap();
    let row = |(x, &y): (&[f32], &u32)| {
        let row = x[0] as usize;
        assert_eq!((x[1], y), (-x[0], labels[row]));
        row
    };
    part.x().as_f32().unwrap().chunks(2).zip(y).map(row).collect()
}

fn counts(labels: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    labels.iter().for_each(|&label| *counts.entry(label).or_default() += 1);
    counts
}

#[test]
fn the_test_side_is_rounded_up_and_the_order_is_the_seeds() {
    let labels = [0; 10];
    let data = labelled(&labels).scaled(0.5).unwrap();
    for (test_size, expected) in [(0.25, 3), (0.2, 2), (0.01, 1), (0.9, 9)] {
        let split = Split { test_size, ..Split::default() };
        let (train, test) = train_test_split(&data, &split).unwrap();
        assert_eq!((train.len(), test.len()), (10 - expected, expected), "{test_size}");
        assert_eq!((train.scale(), test.scale()), (0.5, 0.5));
    }
    let order = |seed| {
        let split = Split { seed, ..Split::default() };
        let (train, test) = train_test_split(&data, &split).unwrap();
        (rows(&train, &labels), rows(&test, &labels))
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    let split = Split { shuffle: false, test_size: 0.3, ..Split::default() };
    let (train, test) = train_test_split(&data, &split).unwrap();
    assert_eq!(rows(&train, &labels), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(rows(&test, &labels), [7, 8, 9]);
}

#[test]
fn every_row_is_as_likely_on_the_test_side() {
    let labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1];
    for stratify in [false, true] {
        let mut drawn = [0; 10];
        for seed in 0..2000 {
            let split = Split { test_size: 0.5, stratify, seed, ..Split::default() };
            let (_, test) = train_test_split(&labelled(&labels), &split).unwrap();
            rows(&test, &labels).into_iter().for_each(|row| drawn[row] += 1);
        }
        // 1000 each, with a standard deviation of 22.
        assert!(drawn.iter().all(|n| (890..1110).contains(n)), "{drawn:?}");
    }
}

#[test]
fn rare_classes_are_on_both_sides() {
    // A tenth of 2 rows rounds to none.
    let labels: Vec<u32> = [0; 96].into_iter().chain([7, 7, 9, 9]).collect();
    let split = Split { test_size: 0.1, stratify: true, ..Split::default() };
    let (train, test) = train_test_split(&labelled(&labels), &split).unwrap();
    assert_eq!(counts(train.y().as_u32().unwrap()), [(0, 88), (7, 1), (9, 1)].into());
    assert_eq!(counts(test.y().as_u32().unwrap()), [(0, 8), (7, 1), (9, 1)].into());
}

#[test]
fn sides_that_would_be_empty_are_refused() {
    let data = labelled(&[0, 0, 1, 1]);
    for test_size in [0.0, 1.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
        let split = Split { test_size, ..Split::default() };
        let result = train_test_split(&data, &split);
        assert!(matches!(result, Err(Error::Parameter { .. })));
        says(result, &["test_size", &test_size.to_string(), "between 0 and 1"]);
    }
    for shuffle in [false, true] {
        let split = Split { test_size: 0.8, shuffle, ..Split::default() };
        says(train_test_split(&data, &split), &["test_size = 0.8", "of 4 rows, 4", "none is left"]);
        says(train_test_split(&labelled(&[3]), &Split::default()), &["of 1 rows, 1"]);
    }
}

#[test]
fn classes_that_cannot_be_stratified_are_refused() {
    let split = Split { stratify: true, ..Split::default() };
    let result = train_test_split(&labelled(&[4, 4, 4, 4, 8]), &split);
    assert!(matches!(result, Err(Error::Data { .. })));
    says(result, &["class 8 has 1 row", "at least 2"]);
    let three = labelled(&[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    for (test_size, side) in [(0.1, "test side has 2 of 12"), (0.9, "training side has 1 of 12")] {
        let split = Split { test_size, ..split };
        says(train_test_split(&three, &split), &[side, "3 classes"]);
    }
    says(train_test_split(&three, &Split { shuffle: false, ..split }), &["stratify", "shuffle"]);
    let floats = Tensor::f32([4], [0.0, 1.0, 0.0, 1.0]).unwrap();
    let floats = TensorDataset::new(floats.clone(), floats).unwrap();
    says(train_test_split(&floats, &split), &["f32", "u32 class labels"]);
}

proptest! {
    /// For any labels, a split loses no row and doubles none, and a stratified one gives each class its share to within
    /// two rows, or to within one if no class is so rare that it must be rounded up.
    #[test]
    fn splits_divide(
        labels in prop::collection::vec(0..4_u32, 8..200),
        test_size in 0.05..0.95_f64,
        stratify: bool,
        seed: u64,
    ) {
        let split = Split { test_size, stratify, seed, ..Split::default() };
        let Ok((train, test)) = train_test_split(&labelled(&labels), &split) else {
            let all = counts(&labels);
            let n_test = (test_size * labels.len() as f64).ceil() as usize;
            let side = n_test.min(labels.len() - n_test);
            let rare = *all.values().min().unwrap() < 2;
            prop_assert!(side == 0 || stratify && (rare || side < all.len()));
            return Ok(());
        };
        prop_assert_eq!(test.len(), (test_size * labels.len() as f64).ceil() as usize);
        let mut all = rows(&train, &labels);
        all.extend(rows(&test, &labels));
        all.sort_unstable();
        prop_assert!(all.into_iter().eq(0..labels.len()));
        if stratify {
            let (of_test, of_train) =
                (counts(test.y().as_u32().unwrap()), counts(train.y().as_u32().unwrap()));
            let common = test.len() as f64 / labels.len() as f64;
            let roomy =
                counts(&labels).values().all(|&n| n as f64 * common.min(1.0 - common) >= 1.0);
            for (class, n) in counts(&labels) {
                let (taken, left) = (of_test.get(&class), of_train.get(&class));
                prop_assert!(taken.is_some() && left.is_some());
                let off = (taken.copied().unwrap_or(0) as f64 - n as f64 * common).abs();
                prop_assert!(off < if roomy { 1.0 + 1e-9 } else { 4.0 }, "{}: {}", class, off);
            }
        }
    }
}

#[test]
fn rows_are_selected_in_the_order_given() {
    let data = labelled(&[5, 6, 7]).scaled(2.0).unwrap();
    let part = data.select(&[2, 0, 2]).unwrap();
    assert_eq!(part.x().as_f32().unwrap(), [2.0, -2.0, 0.0, 0.0, 2.0, -2.0]);
    assert_eq!((part.y().as_u32().unwrap(), part.scale()), (&[7, 5, 7][..], 2.0));
    says(data.select(&[]), &["rows = []", "at least one"]);
    says(data.select(&[0, 3]), &["rows = 3", "rows[1]", "0..3"]);
}

#[test]
fn labels_become_rows_with_a_one() {
    let labels = Tensor::u32([2, 2], [0, 2, 1, 0]).unwrap();
    let expected = [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
    assert_eq!(one_hot(&labels, 3).unwrap(), Tensor::f32([2, 2, 3], expected).unwrap());
    let empty = Tensor::u32([0], []).unwrap();
    assert_eq!(one_hot(&empty, 3).unwrap(), Tensor::f32([0, 3], []).unwrap());
    says(one_hot(&labels, 2), &["`labels`", "label 1 is 2", "2 classes 0..2"]);
    says(one_hot(&empty, 0), &["classes = 0", "at least 1"]);
    says(one_hot(&labels, usize::MAX), &["classes", "more than memory"]);
    says(one_hot(&Tensor::f32([1], [0.0]).unwrap(), 2), &["one_hot", "f32", "u32"]);
}
