//! Metrics while training, of several outputs, and of predictions that tie or are NaN.

use super::*;
use reference::random;
use wgrad::callbacks::{Callback, HookResult};
use wgrad::layers::{Model, input};
use wgrad::metrics::{roc_auc_score, top_k_accuracy_score};

const SPARSE: Loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
const MSE: Loss = Loss::MeanSquaredError;

/// 50 samples of 3 numbers, with a class each.
fn points() -> Result<TensorDataset> {
    let x = random::uniform(1, 150, -1.0, 1.0);
    let labels: Vec<u32> =
        x.chunks(3).map(|x| (x[0] + x[1] + 2.0) as u32 / 2 + u32::from(x[2] > 0.0)).collect();
    Ok(TensorDataset::new(Tensor::f32([50, 3], x)?, Tensor::u32([50], labels)?)?)
}

#[test]
fn fit_logs_what_evaluate_does() -> Result<()> {
    // One step over all samples: its numbers are those before the update. The penalty's column is the last.
    let dense = Dense::new(3).kernel_regularizer(Regularizer::l2(0.01));
    let model = Sequential::new([3]).add(dense);
    let x = points()?.x().clone();
    let y = Tensor::f32([50, 3], random::uniform(2, 150, -1.0, 1.0))?;
    let data = TensorDataset::new(x, y)?;
    let metrics = [Metric::R2Score, Metric::f1(ClassAverage::Macro), Metric::MeanAbsoluteError];
    let settings = Compile::new(Sgd::new(0.1), MSE).metrics(metrics).evaluation_batch_size(16);
    let mut trainer = model.compile(device(), settings)?;
    let before = trainer.evaluate(&data)?;
    let fit = Fit::new().full_batch().verbose(Verbose::Silent).validation_data(&data);
    let history = trainer.fit(&data, fit)?;
    let after = trainer.evaluate(&data)?;
    for name in ["loss", "r2_score", "f1_score_macro", "mean_absolute_error"] {
        let (first, last) = (before.get(name).context("a log")?, after.get(name).context("a log")?);
        // Batches of 16 add up in another order than 50 samples at once.
        compare(name, history.get(name)[0], first, 1e-6)?;
        compare(name, history.get(&format!("val_{name}"))[0], last, 1e-12)?;
        let moved = name == "f1_score_macro" || (first - last).abs() > 1e-4;
        ensure!(moved, "{name}: {first} and {last} cannot be told apart");
    }
    Ok(())
}

#[test]
fn weights_of_samples_change_the_loss_alone() -> Result<()> {
    let data = points()?;
    let weights: Vec<f32> = (0..50).map(|i| (i % 3) as f32).collect();
    let weighted = data.clone().weighted(Tensor::f32([50], weights)?)?;
    let metrics = [Metric::SparseCategoricalAccuracy, Metric::f1(None)];
    let mut trainer = echo(3, SPARSE, &metrics, 16)?;
    let (plain, weighted) = (trainer.evaluate(&data)?, trainer.evaluate(&weighted)?);
    ensure!(plain.metrics == weighted.metrics && plain.metrics.len() == 4);
    ensure!((plain.loss - weighted.loss).abs() > 1e-3);
    Ok(())
}

/// Monitors logs of these names.
struct Monitors(Vec<String>);

impl Callback for Monitors {
    fn name(&self) -> String {
        "Monitors".into()
    }
    fn monitors(&self) -> Vec<String> {
        self.0.clone()
    }
    fn on_train_begin(&mut self, control: &mut wgrad::callbacks::Control<'_>) -> HookResult {
        control.stop_training();
        Ok(())
    }
}

#[test]
fn several_outputs_have_metrics_of_their_own() -> Result<()> {
    let (a, b) = (input([3]), input([1]));
    let outputs = [a.then(Dense::new(3)), b.then(Flatten)];
    let model = Model::new([&a, &b], &outputs)?;
    let binary = Loss::BinaryCrossentropy { from_logits: true };
    let settings = Compile::new(Sgd::default(), SPARSE)
        .output_loss("flatten", binary, 1.0)
        .output_metrics("flatten", [Metric::Auc, Metric::ConfusionMatrix { threshold: 0.5 }])
        .output_metrics("dense", [Metric::recall(None), Metric::ConfusionMatrix { threshold: 0.5 }])
        .evaluation_batch_size(16);
    let mut trainer = model.compile(device(), settings)?;
    let points = points()?;
    let scores = random::uniform(3, 50, -1.0, 1.0);
    let positive: Vec<u32> = scores.iter().map(|s| u32::from(s.sin() > 0.3)).collect();
    let y = Tensor::f32([50], positive.iter().map(|p| *p as f32).collect::<Vec<f32>>())?;
    let data = TensorDataset::multi(
        [points.x().clone(), Tensor::f32([50, 1], scores.clone())?],
        [points.y().clone(), y],
    )?;
    let evaluation = trainer.evaluate(&data)?;
    let names: Vec<&str> = evaluation.metrics.iter().map(|(name, _)| name.as_str()).collect();
    let want = ["dense_loss", "flatten_loss", "dense_recall_0", "dense_recall_1", "dense_recall_2"];
    ensure!(names == [&want[..], &["flatten_auc"]].concat(), "{names:?}");
    let auc = evaluation.get("flatten_auc").context("an area")?;
    compare("auc", auc, roc_auc_score(&positive, &scores)?, 0.0)?;
    let of: Vec<_> = evaluation.confusion_matrices.iter().map(|(n, m)| (&n[..], m)).collect();
    ensure!(of.len() == 2 && of[0].0 == "dense" && of[1].0 == "flatten", "{of:?}");
    ensure!(of[0].1.classes() == 3 && of[1].1.classes() == 2);
    ensure!(of.iter().all(|(_, matrix)| matrix.samples() == 50));
    ensure!(evaluation.confusion_matrix() == Some(of[0].1));

    // Names are known before training; a wrong one is refused.
    let fit =
        |name: &str| Fit::new().verbose(Verbose::Silent).callback(Monitors(vec![name.into()]));
    trainer.fit(&data, fit("dense_recall_2"))?;
    let error = trainer.fit(&data, fit("dense_recall_3")).unwrap_err();
    support::says(&error, &["dense_recall_3", "dense_recall_2", "flatten_auc"]);
    Ok(())
}

#[test]
fn labels_of_their_own_are_counted_each() -> Result<()> {
    let p = Tensor::f32([2, 3], [0.9, 0.4, 0.6, 0.1, 0.2, 0.7])?;
    let y = Tensor::f32([2, 3], [1.0, 1.0, 0.0, 0.0, 0.0, 1.0])?;
    let loss = Loss::BinaryCrossentropy { from_logits: false };
    let metrics = [Metric::BinaryAccuracy { threshold: 0.5 }, Metric::Accuracy];
    let evaluation = evaluate(&p, &y, loss, &metrics, 1)?;
    compare("binary", evaluation.get("binary_accuracy").context("a log")?, 4.0 / 6.0, 1e-7)?;
    // `Accuracy` follows the shapes: it treats three outputs as classes, and sample 1 has the right one.
    compare("accuracy", evaluation.get("accuracy").context("a log")?, 0.5 + 0.5, 0.0)?;
    Ok(())
}

#[test]
fn equal_scores_are_all_among_the_top() -> Result<()> {
    let scores = Tensor::f32([3, 4], [3.0, 1.0, 1.0, 0.0, 2.0, 2.0, 2.0, 2.0, 0.0, 1.0, 2.0, 3.0])?;
    let labels = [2, 3, 0];
    let y = Tensor::u32([3], labels)?;
    // Scores above the label's: 1, 0 and 3.
    for (k, want) in [(1, 1.0), (2, 2.0), (3, 2.0), (4, 3.0)] {
        let metrics = [Metric::SparseTopKCategoricalAccuracy { k }, Metric::Accuracy];
        let evaluation = evaluate(&scores, &y, SPARSE, &metrics, 2)?;
        let got = evaluation.get("sparse_top_k_categorical_accuracy").context("a log")?;
        compare(&format!("top {k}"), got, want / 3.0, 1e-12)?;
        compare("host", top_k_accuracy_score(&labels, &scores, k)?, want / 3.0, 1e-12)?;
        // The first of equal scores is the prediction.
        ensure!(evaluation.get("accuracy") == Some(0.0));
    }
    Ok(())
}

#[test]
fn predictions_that_are_nan() -> Result<()> {
    let nan = f32::NAN;
    let y = Tensor::f32([3], [1.0, 0.0, 1.0])?;
    let p = Tensor::f32([3, 1], [nan, 0.1, 0.9])?;
    let metrics = [
        Metric::Auc,
        Metric::R2Score,
        Metric::MeanSquaredError,
        Metric::recall(ClassAverage::Binary),
    ];
    let evaluation = evaluate(&p, &y, MSE, &metrics, 2)?;
    for name in ["auc", "r2_score", "mean_squared_error"] {
        ensure!(evaluation.get(name).is_some_and(f64::is_nan), "{name}: {evaluation:?}");
    }
    // It is on no side of the threshold.
    ensure!(evaluation.get("recall") == Some(0.5), "{evaluation:?}");
    // A row of NaN has no class: it is in no column, and the right class's score is not among the largest.
    let p = Tensor::f32([2, 3], [nan, nan, nan, 0.0, 1.0, 2.0])?;
    let y = Tensor::u32([2], [0, 2])?;
    let metrics = [
        Metric::ConfusionMatrix { threshold: 0.5 },
        Metric::SparseTopKCategoricalAccuracy { k: 3 },
        Metric::SparseCategoricalAccuracy,
    ];
    let evaluation = evaluate(&p, &y, SPARSE, &metrics, 2)?;
    let rows: Vec<&[u64]> = evaluation.confusion_matrix().context("a matrix")?.rows().collect();
    ensure!(rows == [[0, 0, 0], [0, 0, 0], [0, 0, 1]], "{rows:?}");
    ensure!(evaluation.get("sparse_top_k_categorical_accuracy") == Some(0.5), "{evaluation:?}");
    Ok(())
}

#[test]
fn numbers_of_no_samples_have_names() {
    let (classes, one) = (Shape::from([3]), Shape::from([1]));
    let names = |metric: Metric, shape: &Shape| {
        let results = metric.results(shape, &[]);
        assert!(results.iter().all(|(_, v)| v.is_nan()), "{results:?}");
        results.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(Metric::f1(None), &classes), ["f1_score_0", "f1_score_1", "f1_score_2"]);
    assert_eq!(names(Metric::precision(None), &one), ["precision_0", "precision_1"]);
    assert_eq!(names(Metric::recall(ClassAverage::Weighted), &one), ["recall_weighted"]);
    assert_eq!(names(Metric::f1(ClassAverage::Binary), &one), ["f1_score"]);
    assert_eq!(names(Metric::Auc, &one), ["auc"]);
    assert_eq!(names(Metric::R2Score, &classes), ["r2_score"]);
    assert_eq!(names(Metric::RootMeanSquaredError, &classes), ["root_mean_squared_error"]);
    assert!(names(Metric::ConfusionMatrix { threshold: 0.5 }, &classes).is_empty());
}
