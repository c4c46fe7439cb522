//! Metrics that do not suit are refused when the model is compiled, by name.

use super::*;
use support::says;
use wgrad::metrics::{
    accuracy_score, classes, confusion_matrix, f1_score, mean_squared_error, r2_score,
    roc_auc_score, top_k_accuracy_score,
};

const SPARSE: Loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
const CATEGORICAL: Loss = Loss::CategoricalCrossentropy { from_logits: true };
const BINARY: Loss = Loss::BinaryCrossentropy { from_logits: true };
const MSE: Loss = Loss::MeanSquaredError;

/// The message of the error that compiling a model of `width` outputs gives.
#[track_caller]
fn refused(width: usize, loss: Loss, metric: Metric, words: &[&str]) {
    match echo(width, loss, &[metric], 1) {
        Ok(_) => panic!("{metric:?} was taken"),
        Err(error) => says(&error, &[&[metric.name()], words].concat()),
    }
}

#[test]
fn settings_outside_their_domain() {
    for k in [0, 4] {
        refused(3, SPARSE, Metric::SparseTopKCategoricalAccuracy { k }, &["k = ", "1 to 3"]);
        refused(3, CATEGORICAL, Metric::TopKCategoricalAccuracy { k }, &["k = ", "1 to 3"]);
    }
    let average = Some(ClassAverage::Binary);
    for threshold in [f32::NAN, 0.0, 1.0, -0.5, 1.5, f32::INFINITY] {
        for metric in [
            Metric::BinaryAccuracy { threshold },
            Metric::Precision { average, threshold },
            Metric::Recall { average: None, threshold },
            Metric::F1 { average, threshold },
            Metric::MeanIoU { threshold },
            Metric::ConfusionMatrix { threshold },
        ] {
            refused(1, BINARY, metric, &["threshold = ", "between 0 and 1"]);
            // Other losses have no probabilities.
            match threshold.is_finite() {
                true => assert!(echo(1, MSE, &[metric], 1).is_ok(), "{metric:?}"),
                false => refused(1, MSE, metric, &["threshold = ", "finite"]),
            }
        }
    }
    // k may be all classes, and a threshold anything between.
    assert!(echo(3, SPARSE, &[Metric::SparseTopKCategoricalAccuracy { k: 3 }], 1).is_ok());
    assert!(echo(1, BINARY, &[Metric::BinaryAccuracy { threshold: 0.01 }], 1).is_ok());
}

#[test]
fn outputs_that_do_not_suit() {
    for metric in [Metric::precision(ClassAverage::Binary), Metric::f1(ClassAverage::Binary)] {
        refused(3, SPARSE, metric, &["average = Binary", "3 classes"]);
    }
    refused(3, BINARY, Metric::Auc, &["[3]", "single output"]);
    let threshold = 0.5;
    refused(3, CATEGORICAL, Metric::BinaryAccuracy { threshold }, &["[3]", "CategoricalAccuracy"]);
    refused(1, BINARY, Metric::CategoricalAccuracy, &["[1]", "class axis"]);
    refused(1, MSE, Metric::TopKCategoricalAccuracy { k: 1 }, &["[1]", "class axis"]);
    // Independent labels are not classes.
    refused(3, BINARY, Metric::recall(ClassAverage::Macro), &["[3]", "labels of their own"]);
    refused(3, BINARY, Metric::ConfusionMatrix { threshold }, &["labels of their own"]);
    // f32 counts to 2^24.
    refused(4097, SPARSE, Metric::f1(ClassAverage::Macro), &["[4097]", "4096"]);
    assert!(echo(4096, SPARSE, &[Metric::f1(ClassAverage::Macro)], 1).is_ok());
    let sequence = Sequential::new([5, 3]).add(Dense::new(3));
    let settings = Compile::new(Sgd::default(), CATEGORICAL).metrics([Metric::f1(None)]);
    // A position has one class.
    assert!(sequence.compile(device(), settings).is_ok());
}

#[test]
fn targets_that_do_not_suit() {
    let threshold = 0.5;
    for metric in [
        Metric::MeanSquaredError,
        Metric::RootMeanSquaredError,
        Metric::MeanAbsoluteError,
        Metric::R2Score,
        Metric::CategoricalAccuracy,
        Metric::BinaryAccuracy { threshold },
        Metric::TopKCategoricalAccuracy { k: 2 },
    ] {
        refused(3, SPARSE, metric, &["u32", "f32"]);
    }
    // The error is about the three classes, before their targets.
    for loss in [SPARSE, CATEGORICAL, BINARY, MSE] {
        refused(3, loss, Metric::Auc, &["[3]", "single output", "class 1", "F1", "one unit"]);
    }
    for metric in
        [Metric::SparseCategoricalAccuracy, Metric::SparseTopKCategoricalAccuracy { k: 2 }]
    {
        refused(3, CATEGORICAL, metric, &["f32", "u32"]);
    }
}

#[test]
fn lists_that_do_not_suit() -> Result<()> {
    let says = |error: wgrad::Error, words: &[&str]| says(&error, words);
    says(accuracy_score(&[], &[]).unwrap_err(), &["accuracy_score", "0 labels"]);
    says(accuracy_score(&[1], &[1, 2]).unwrap_err(), &["1 labels for 2"]);
    says(confusion_matrix(&[1, 3], &[1, 2], 3).unwrap_err(), &["element 1 is 3", "0..3"]);
    says(confusion_matrix(&[1, 2], &[4, 2], 3).unwrap_err(), &["element 0 is 4"]);
    says(confusion_matrix(&[0], &[0], 0).unwrap_err(), &["classes = 0"]);
    says(confusion_matrix(&[0], &[0], 4097).unwrap_err(), &["classes = 4097", "4096"]);
    says(
        f1_score(&[0, 2], &[0, 1], ClassAverage::Binary).unwrap_err(),
        &["element 1 is 2", "0..2"],
    );
    says(f1_score(&[], &[], ClassAverage::Macro).unwrap_err(), &["0 labels"]);
    let three = confusion_matrix(&[0, 2], &[0, 1], 3)?;
    says(three.f1(ClassAverage::Binary).unwrap_err(), &["average = Binary", "3 classes"]);
    says(roc_auc_score(&[0, 2], &[0.1, 0.2]).unwrap_err(), &["element 1 is 2"]);
    let scores = Tensor::f32([2, 3], vec![0.5; 6])?;
    says(top_k_accuracy_score(&[0, 1], &scores, 0).unwrap_err(), &["k = 0", "1 to 3"]);
    says(top_k_accuracy_score(&[0, 3], &scores, 1).unwrap_err(), &["element 1 is 3"]);
    says(top_k_accuracy_score(&[0], &scores, 1).unwrap_err(), &["1 labels for 2"]);
    let (y, p) = (Tensor::f32([2, 1], [1.0, 2.0])?, Tensor::f32([1, 2], [1.0, 2.0])?);
    says(r2_score(&y, &p).unwrap_err(), &["r2_score", "[2, 1]", "[1, 2]"]);
    let labels = Tensor::u32([2], [0, 1])?;
    says(mean_squared_error(&labels, &y).unwrap_err(), &["mean_squared_error", "u32"]);
    says(classes(&Tensor::f32([], [0.0])?, 0.5).unwrap_err(), &["[]"]);
    says(classes(&Tensor::f32([2, 3, 0], [0.0; 0])?, 0.5).unwrap_err(), &["[2, 3, 0]"]);
    says(classes(&Tensor::u8([1, 2], [0, 1])?, 0.5).unwrap_err(), &["[1, 2]", "integer labels"]);
    for labels in
        [Tensor::u8([2], [3, 0])?, Tensor::u8([2, 1], [3, 0])?, Tensor::u32([2, 1], [3, 0])?]
    {
        assert_eq!(classes(&labels, 0.5)?, [3, 0]);
    }
    Ok(())
}
