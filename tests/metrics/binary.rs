//! Metrics of two classes, by a threshold.

use super::*;
use wgrad::metrics::{
    self, accuracy_score, f1_score, precision_score, recall_score, roc_auc_score,
};

/// Compares the metrics of two classes with an entry, under this loss.
fn check_binary(entry: &Json, evaluation: &Evaluation) -> Result<()> {
    let name = text(entry, "name")?;
    for (key, log) in [
        ("accuracy", "binary_accuracy"),
        ("precision", "precision"),
        ("recall", "recall"),
        ("f1", "f1_score"),
        ("roc_auc", "auc"),
    ] {
        let want = entry[key].as_f64().unwrap_or(f64::NAN);
        let got = evaluation.get(log).with_context(|| format!("no {log}"))?;
        compare(&format!("{name}: {key}"), got, want, EXACT)?;
    }
    let matrix = evaluation.confusion_matrix().context("a confusion matrix")?;
    compare_all(name, &counts(matrix), &list(&entry["confusion_matrix"])?, 0.0)
}

fn binary_metrics(threshold: f32) -> [Metric; 6] {
    let average = Some(ClassAverage::Binary);
    [
        Metric::BinaryAccuracy { threshold },
        Metric::Precision { average, threshold },
        Metric::Recall { average, threshold },
        Metric::F1 { average, threshold },
        Metric::ConfusionMatrix { threshold },
        Metric::Auc,
    ]
}

#[test]
fn two_classes_agree_with_scikit_learn() -> Result<()> {
    let entries = recorded("binary")?;
    for entry in &entries {
        let (scores, targets) = (floats(&entry["scores"])?, floats(&entry["y_true"])?);
        let n = scores.len();
        let logits = text(entry, "name")? == "logits";
        let threshold = entry["threshold"].as_f64().context("a threshold")? as f32;
        // A threshold is a probability: on logits 0.5 means 0.
        let (cross_entropy, probability) = (
            Loss::BinaryCrossentropy { from_logits: logits },
            if logits { 0.5 } else { threshold },
        );
        let scores = Tensor::f32([n, 1], scores)?;
        // Targets without the predictions' last axis fit too.
        for targets in [Tensor::f32([n, 1], targets.clone())?, Tensor::f32([n], targets.clone())?] {
            for batch in [7, 16, 60] {
                for (loss, threshold) in
                    [(cross_entropy, probability), (Loss::MeanSquaredError, threshold)]
                {
                    let metrics = binary_metrics(threshold);
                    let evaluation = evaluate(&scores, &targets, loss, &metrics, batch)?;
                    check_binary(entry, &evaluation)?;
                }
            }
        }
    }
    // The comparison tells the entries apart, except the one that has the same scores as logits.
    let (scores, y) = (floats(&entries[0]["scores"])?, floats(&entries[0]["y_true"])?);
    let (scores, y) = (Tensor::f32([60, 1], scores)?, Tensor::f32([60], y)?);
    let loss = Loss::MeanSquaredError;
    let evaluation = evaluate(&scores, &y, loss, &binary_metrics(0.5), 16)?;
    for other in &entries[1..] {
        let same = check_binary(other, &evaluation).is_ok();
        ensure!(same == (text(other, "name")? == "logits"), "{}", other["name"]);
    }
    Ok(())
}

#[test]
fn scores_of_two_classes_on_the_host_agree_too() -> Result<()> {
    for entry in recorded("binary")? {
        let (scores, labels) = (floats(&entry["scores"])?, whole(&entry["y_true"])?);
        let threshold = entry["threshold"].as_f64().context("a threshold")? as f32;
        let predicted = metrics::classes(&Tensor::f32([60], scores.clone())?, threshold)?;
        let name = text(&entry, "name")?;
        for (key, got) in [
            ("accuracy", accuracy_score(&labels, &predicted)?),
            ("precision", precision_score(&labels, &predicted, ClassAverage::Binary)?),
            ("recall", recall_score(&labels, &predicted, ClassAverage::Binary)?),
            ("f1", f1_score(&labels, &predicted, ClassAverage::Binary)?),
            ("roc_auc", roc_auc_score(&labels, &scores)?),
        ] {
            let want = entry[key].as_f64().unwrap_or(f64::NAN);
            compare(&format!("{name}: {key}"), got, want, EXACT)?;
        }
    }
    Ok(())
}
