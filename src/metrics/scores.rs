//! Metrics of labels and predictions in host memory, under scikit-learn's names.

use super::confusion::{ClassAverage, ConfusionMatrix};
use super::tally::{self, Tally};
use crate::error::{Error, Result};
use crate::ops::MAX_CELL_CLASSES;
use crate::tensor::{Data, Tensor};

/// What [`classes`] gives in place of a class for predictions with a NaN among them. No label equals it: such a
/// prediction is wrong.
pub const NO_CLASS: u32 = u32::MAX;

/// The class of each sample: that of the largest of several outputs `[n, classes]` (of equal ones the first);
/// for a single output `[n]` or `[n, 1]` whether it is above `threshold` (0.5 for probabilities, 0 for logits);
/// of integer labels `[n]` or `[n, 1]` the labels. So it takes predictions as well as targets. Outputs with a NaN have
/// [`NO_CLASS`]. Outputs of several positions, `[n, .., classes]` or `[n, .., 1]`, have a class for each position, in
/// row-major order.
///
/// # Errors
/// [`Error::Shape`] for outputs without elements or axes, and for integers that are not one per sample.
pub fn classes(outputs: &Tensor, threshold: f32) -> Result<Vec<u32>> {
    let fail = |detail| Err(Error::shape("classes", &[outputs.shape()], detail));
    let dims = outputs.shape().dims();
    let label = matches!(*dims, [_] | [_, 1]);
    match outputs.data() {
        Data::U8(labels) if label => Ok(labels.iter().copied().map(u32::from).collect()),
        Data::U32(labels) if label => Ok(labels.clone()),
        Data::U8(_) | Data::U32(_) => fail("integer labels are [n] or [n, 1]"),
        Data::F32(values) => match *dims {
            [_] | [_, .., 1] => {
                let side = |v: &f32| if v.is_nan() { NO_CLASS } else { u32::from(*v > threshold) };
                Ok(values.iter().map(side).collect())
            }
            [_, .., cols] if cols > 1 => {
                let class = |row: &[f32]| predicted_class(row).unwrap_or(NO_CLASS);
                Ok(values.chunks_exact(cols).map(class).collect())
            }
            _ => fail("[n], or [n, .., classes], is expected"),
        },
    }
}

/// The place of the largest number, the first of equal ones; none if one is NaN, or if there are no numbers.
/// `shaders/lib/class.wgsl` says the same.
pub(crate) fn predicted_class(row: &[f32]) -> Option<u32> {
    let mut largest = None;
    for (i, v) in row.iter().enumerate() {
        match largest {
            _ if v.is_nan() => return None,
            Some(place) if *v <= row[place] => {}
            _ => largest = Some(i),
        }
    }
    largest.map(|place| place as u32)
}

/// Refuses lists that are empty or of different lengths.
fn check(name: &str, labels: usize, predicted: usize) -> Result<()> {
    if labels == predicted && labels > 0 {
        return Ok(());
    }
    let detail = format!(
        "{labels} labels for {predicted} predictions; as many are needed, and one at least"
    );
    Err(Error::data(name, detail))
}

/// The share of predicted classes that are right; [`NO_CLASS`] never is.
///
/// # Errors
/// [`Error::Data`] for no labels, or not as many predictions.
pub fn accuracy_score(labels: &[u32], predicted: &[u32]) -> Result<f64> {
    check("accuracy_score", labels.len(), predicted.len())?;
    let hits = labels.iter().zip(predicted).map(|(a, b)| f32::from(a == b && *b != NO_CLASS));
    Ok(mean(hits))
}

fn mean(numbers: impl Iterator<Item = f32>) -> f64 {
    let mut state = Vec::new();
    Tally::Mean { each: 1 }.accumulate(&mut state, &[&numbers.collect::<Vec<f32>>()], None);
    tally::mean(&state)
}

/// The share of samples with fewer than `k` of their scores `[n, classes]` above that of their label. Scores equal to
/// it are not above it. Scores with a NaN among them are wrong.
///
/// # Errors
/// [`Error::Shape`] or [`Error::DType`] for scores that are not f32 `[n, classes]`; [`Error::Data`] for a label
/// outside the classes; [`Error::Parameter`] for a `k` that is not 1 to the number of classes.
pub fn top_k_accuracy_score(labels: &[u32], scores: &Tensor, k: usize) -> Result<f64> {
    let name = "top_k_accuracy_score";
    let [rows, cols] = *scores.shape().dims() else {
        return Err(Error::shape(name, &[scores.shape()], "scores are [n, classes]"));
    };
    check(name, labels.len(), rows)?;
    if k == 0 || k > cols {
        let detail = format!("1 to {cols}, the number of classes");
        return Err(Error::parameter("top_k_accuracy_score k", k, detail));
    }
    within(name, labels, cols)?;
    let rows = scores.as_f32()?.chunks_exact(cols).zip(labels);
    let among = rows.map(|(row, &label)| {
        let score = row[label as usize];
        let above = row.iter().filter(|v| **v > score).count();
        f32::from(above < k && predicted_class(row).is_some())
    });
    Ok(mean(among))
}

/// Refuses labels outside the classes.
fn within(name: &str, labels: &[u32], classes: usize) -> Result<()> {
    match labels.iter().position(|&label| label as usize >= classes) {
        Some(i) => {
            let detail =
                format!("element {i} is {}; the {classes} classes are 0..{classes}", labels[i]);
            Err(Error::data(name, detail))
        }
        None => Ok(()),
    }
}

/// How often samples of each class were taken for each, among `classes` classes; a prediction may be [`NO_CLASS`].
///
/// # Errors
/// [`Error::Data`] for no labels, not as many predictions, or a label outside the classes;
/// [`Error::Parameter`] for no classes, or more than [`MAX_CELL_CLASSES`].
pub fn confusion_matrix(
    labels: &[u32],
    predicted: &[u32],
    classes: usize,
) -> Result<ConfusionMatrix> {
    let name = "confusion_matrix";
    check(name, labels.len(), predicted.len())?;
    if classes == 0 || classes > MAX_CELL_CLASSES {
        let detail = format!("1 to {MAX_CELL_CLASSES} classes are counted");
        return Err(Error::parameter("confusion_matrix classes", classes, detail));
    }
    within(name, labels, classes)?;
    let any = |class: &u32| if *class == NO_CLASS { 0 } else { *class };
    within(name, &predicted.iter().map(any).collect::<Vec<u32>>(), classes)?;
    let cell = |(&actual, &predicted): (&u32, &u32)| match predicted {
        NO_CLASS => -1.0 - actual as f32,
        _ => (actual * classes as u32 + predicted) as f32,
    };
    let cells: Vec<f32> = labels.iter().zip(predicted).map(cell).collect();
    let mut state = Vec::new();
    Tally::Cells { classes, positions: 1 }.accumulate(&mut state, &[&cells], None);
    Ok(ConfusionMatrix::from_state(classes, &state))
}

/// The matrix of the two classes for the binary average, else of the classes that occur.
fn matrix(labels: &[u32], predicted: &[u32], average: ClassAverage) -> Result<ConfusionMatrix> {
    check("labels", labels.len(), predicted.len())?;
    if average == ClassAverage::Binary {
        return confusion_matrix(labels, predicted, 2);
    }
    let mut present = [labels, predicted].concat();
    present.retain(|label| *label != NO_CLASS);
    present.sort_unstable();
    present.dedup();
    let place = |label: &u32| match *label {
        NO_CLASS => NO_CLASS,
        _ => present.partition_point(|p| p < label) as u32,
    };
    let places = |labels: &[u32]| -> Vec<u32> { labels.iter().map(place).collect() };
    confusion_matrix(&places(labels), &places(predicted), present.len())
}

/// Precision, TP / (TP + FP); 0 for a class that is never predicted. As in scikit-learn the classes are those
/// that occur among labels and predictions; [`confusion_matrix`] takes their number instead, and has the
/// precision of each.
///
/// # Errors
/// As [`confusion_matrix`], with two classes for [`ClassAverage::Binary`].
pub fn precision_score(labels: &[u32], predicted: &[u32], average: ClassAverage) -> Result<f64> {
    matrix(labels, predicted, average)?.precision(average)
}

/// Recall, TP / (TP + FN); 0 for a class without samples. Classes as for [`precision_score`].
///
/// # Errors
/// As [`precision_score`].
pub fn recall_score(labels: &[u32], predicted: &[u32], average: ClassAverage) -> Result<f64> {
    matrix(labels, predicted, average)?.recall(average)
}

/// F1, 2 TP / (2 TP + FP + FN); 0 if that is 0/0. Classes as for [`precision_score`].
///
/// # Errors
/// As [`precision_score`].
pub fn f1_score(labels: &[u32], predicted: &[u32], average: ClassAverage) -> Result<f64> {
    matrix(labels, predicted, average)?.f1(average)
}

/// The area under the ROC curve of scores with labels 0 and 1; see [`Metric::Auc`](super::Metric::Auc). NaN without
/// both labels, or if a score is NaN.
///
/// # Errors
/// [`Error::Data`] for no labels, not as many scores, or another label.
pub fn roc_auc_score(labels: &[u32], scores: &[f32]) -> Result<f64> {
    check("roc_auc_score", labels.len(), scores.len())?;
    within("roc_auc_score", labels, 2)?;
    let labels: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
    let mut state = Vec::new();
    Tally::Pairs { positions: 1 }.accumulate(&mut state, &[&labels, scores], None);
    Ok(tally::auc(&state))
}
