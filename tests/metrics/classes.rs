//! Metrics of several classes, by the largest prediction.

use super::*;
use wgrad::metrics::{
    self, accuracy_score, f1_score, precision_score, recall_score, top_k_accuracy_score,
};

const SCORES: [&str; 3] = ["precision", "recall", "f1"];
const AVERAGES: [(ClassAverage, &str); 3] = [
    (ClassAverage::Macro, "macro"),
    (ClassAverage::Micro, "micro"),
    (ClassAverage::Weighted, "weighted"),
];

/// All metrics of several classes but accuracies.
fn class_metrics() -> Vec<Metric> {
    let mut all = vec![Metric::ConfusionMatrix { threshold: 0.5 }, Metric::mean_iou()];
    for average in AVERAGES.map(|a| Some(a.0)).into_iter().chain([None]) {
        all.extend([Metric::precision(average), Metric::recall(average), Metric::f1(average)]);
    }
    all
}

/// Intersection over union of each class of a recorded matrix, and the mean over the classes that occur.
fn ious(entry: &Json) -> Result<(Vec<f64>, f64)> {
    let matrix = list(&entry["confusion_matrix"])?;
    let sum = |cells: &mut dyn Iterator<Item = &f64>| cells.sum::<f64>();
    let each = (0..4).map(|class| {
        let (row, column) = (&matrix[4 * class..4 * class + 4], matrix.iter().skip(class));
        let union = sum(&mut row.iter()) + sum(&mut column.step_by(4)) - row[class];
        (union > 0.0).then(|| row[class] / union)
    });
    let each: Vec<Option<f64>> = each.collect();
    let occurring: Vec<f64> = each.iter().flatten().copied().collect();
    let mean = occurring.iter().sum::<f64>() / occurring.len() as f64;
    Ok((each.into_iter().map(|iou| iou.unwrap_or(0.0)).collect(), mean))
}

/// Compares the metrics of several classes with an entry.
fn check_classes(entry: &Json, evaluation: &Evaluation) -> Result<()> {
    let name = text(entry, "name")?;
    let get = |log: &str| evaluation.get(log).with_context(|| format!("no {log}"));
    for (score, log) in SCORES.into_iter().zip(["precision", "recall", "f1_score"]) {
        for (_, average) in AVERAGES {
            let want = entry[score][average].as_f64().context("an average")?;
            let got = get(&format!("{log}_{average}"))?;
            compare(&format!("{name}: {score} {average}"), got, want, EXACT)?;
        }
        let got = (0..4).map(|class| get(&format!("{log}_{class}"))).collect::<Result<Vec<_>>>()?;
        compare_all(name, &got, &list(&entry[score]["per_class"])?, EXACT)?;
    }
    // For integer targets and for rows with a one; a name used again is numbered.
    let either = |log: &str| {
        let found = ["", "sparse_"].iter().find_map(|p| evaluation.get(&format!("{p}{log}")));
        found.with_context(|| format!("no {log}"))
    };
    let accuracy = entry["accuracy"].as_f64().context("an accuracy")?;
    compare(name, either("categorical_accuracy")?, accuracy, EXACT)?;
    for (k, number) in [("1", ""), ("2", "_1"), ("3", "_2")] {
        let want = entry["top_k_accuracy"][k].as_f64().context("a share")?;
        let got = either(&format!("top_k_categorical_accuracy{number}"))?;
        compare(&format!("{name}: top {k}"), got, want, EXACT)?;
    }
    let matrix = evaluation.confusion_matrix().context("a confusion matrix")?;
    let (each, mean) = ious(entry)?;
    compare(name, get("mean_io_u")?, mean, EXACT)?;
    compare_all(name, &matrix.iou_per_class(), &each, EXACT)?;
    compare(name, matrix.accuracy(), accuracy, EXACT)?;
    compare_all(name, &counts(matrix), &list(&entry["confusion_matrix"])?, 0.0)
}

#[test]
fn several_classes_agree_with_scikit_learn() -> Result<()> {
    let entries = recorded("multiclass")?;
    let categorical = |from_logits| Loss::CategoricalCrossentropy { from_logits };
    let sparse = |from_logits| Loss::SparseCategoricalCrossentropy { from_logits };
    let losses = [
        sparse(true),
        sparse(false),
        categorical(true),
        categorical(false),
        Loss::MeanSquaredError,
    ];
    for entry in &entries {
        let (scores, labels) = (tensor(&entry["scores"])?, whole(&entry["y_true"])?);
        for loss in losses {
            let mut metrics = class_metrics();
            let targets = match loss.takes_labels() {
                true => {
                    metrics.push(Metric::SparseCategoricalAccuracy);
                    metrics.extend((1..4).map(|k| Metric::SparseTopKCategoricalAccuracy { k }));
                    Tensor::u32([labels.len()], labels.clone())?
                }
                false => {
                    metrics.push(Metric::CategoricalAccuracy);
                    metrics.extend((1..4).map(|k| Metric::TopKCategoricalAccuracy { k }));
                    one_hot(&labels, 4)
                }
            };
            for batch in [7, 16] {
                check_classes(entry, &evaluate(&scores, &targets, loss, &metrics, batch)?)?;
            }
        }
    }
    let mut metrics = class_metrics();
    metrics.push(Metric::SparseCategoricalAccuracy);
    metrics.extend((1..4).map(|k| Metric::SparseTopKCategoricalAccuracy { k }));
    let y = Tensor::u32([60], whole(&entries[0]["y_true"])?)?;
    let scores = tensor(&entries[0]["scores"])?;
    let evaluation = evaluate(&scores, &y, sparse(true), &metrics, 16)?;
    for other in &entries[1..] {
        ensure!(check_classes(other, &evaluation).is_err(), "{} is taken for it", other["name"]);
    }
    Ok(())
}

#[test]
fn scores_of_several_classes_on_the_host_agree_too() -> Result<()> {
    for entry in recorded("multiclass")? {
        let name = text(&entry, "name")?;
        let (scores, labels) = (tensor(&entry["scores"])?, whole(&entry["y_true"])?);
        let predicted = metrics::classes(&scores, 0.5)?;
        ensure!(predicted == whole(&entry["y_pred"])?, "{name}: {predicted:?}");
        ensure!(labels == metrics::classes(&one_hot(&labels, 4), 0.5)?, "{name}: one-hot labels");
        let matrix = metrics::confusion_matrix(&labels, &predicted, 4)?;
        compare_all(name, &counts(&matrix), &list(&entry["confusion_matrix"])?, 0.0)?;
        let per_class =
            [matrix.precision_per_class(), matrix.recall_per_class(), matrix.f1_per_class()];
        for (score, got) in SCORES.into_iter().zip(&per_class) {
            compare_all(name, got, &list(&entry[score]["per_class"])?, EXACT)?;
        }
        for (average, key) in AVERAGES {
            let got = [matrix.precision(average)?, matrix.recall(average)?, matrix.f1(average)?];
            for (score, got) in SCORES.into_iter().zip(got) {
                let want = entry[score][key].as_f64().context("an average")?;
                compare(&format!("{name}: {score} {key}"), got, want, EXACT)?;
            }
        }
        let got = accuracy_score(&labels, &predicted)?;
        compare(name, got, entry["accuracy"].as_f64().context("an accuracy")?, EXACT)?;
        for (k, want) in entry["top_k_accuracy"].as_object().context("top k")? {
            let got = top_k_accuracy_score(&labels, &scores, k.parse()?)?;
            compare(&format!("{name}: top {k}"), got, want.as_f64().context("a share")?, EXACT)?;
        }
    }
    Ok(())
}

#[test]
fn a_class_that_does_not_occur_is_in_no_mean_of_ious() -> Result<()> {
    // The example of Keras' documentation: a third for each of two classes, whether or not there is a third one.
    let (labels, predicted) = ([0, 0, 1, 1], [0, 1, 0, 1]);
    for classes in [2, 3] {
        let matrix = metrics::confusion_matrix(&labels, &predicted, classes)?;
        compare("mean", matrix.mean_iou(), 1.0 / 3.0, EXACT)?;
    }
    // A class that is only predicted counts 0.
    let matrix = metrics::confusion_matrix(&[0, 0], &[0, 2], 4)?;
    compare_all("each", &matrix.iou_per_class(), &[0.5, 0.0, 0.0, 0.0], EXACT)?;
    compare("mean", matrix.mean_iou(), 0.25, EXACT)?;
    // Pixels of two images, 2 by 1, of three classes: intersections 1, 1, 0 of unions 1, 3, 2.
    let scores = [[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.2, 0.6, 0.2], [0.1, 0.6, 0.3]];
    let images = Tensor::f32([2, 2, 1, 3], scores.concat())?;
    ensure!(metrics::classes(&images, 0.5)? == [0, 1, 1, 1]);
    let halves = Tensor::f32([1, 2, 1], [0.6, 0.4])?;
    ensure!(metrics::classes(&halves, 0.5)? == [1, 0]);
    let data = TensorDataset::new(images, Tensor::u32([2, 2, 1], [0, 1, 2, 2])?)?;
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let model = Sequential::new([2, 1, 3]).add(Activation::Linear);
    let compile = Compile::new(Sgd::default(), loss).metrics([Metric::mean_iou()]);
    let mean = model.compile(device(), compile)?.evaluate(&data)?.get("mean_io_u");
    compare("pixels", mean.context("no mean_io_u")?, (1.0 + 1.0 / 3.0) / 3.0, EXACT)
}

#[test]
fn the_hosts_averages_are_over_the_classes_that_occur() -> Result<()> {
    // scikit-learn's macro averages of [5, 5, 9] and [5, 9, 9]: precision (1 + 1/2) / 2, F1 (2/3 + 2/3) / 2.
    let (labels, predicted) = ([5, 5, 9], [5, 9, 9]);
    compare("precision", precision_score(&labels, &predicted, ClassAverage::Macro)?, 0.75, EXACT)?;
    compare("recall", recall_score(&labels, &predicted, ClassAverage::Macro)?, 0.75, EXACT)?;
    compare("f1", f1_score(&labels, &predicted, ClassAverage::Macro)?, 2.0 / 3.0, EXACT)?;
    // Of ten classes, eight that do not occur count 0.
    let matrix = metrics::confusion_matrix(&labels, &predicted, 10)?;
    compare("precision of ten", matrix.precision(ClassAverage::Macro)?, 0.15, EXACT)?;
    ensure!(matrix.get(5, 9) == Some(1) && matrix.get(9, 5) == Some(0));
    ensure!(matrix.get(10, 0).is_none() && matrix.get(0, 10).is_none());
    ensure!(matrix.classes() == 10 && matrix.samples() == 3);
    Ok(())
}
