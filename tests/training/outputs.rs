//! Models of several inputs and outputs, from compilation to prediction.

use super::*;
use reference::compare::assert_close;
use wgrad::Error;
use wgrad::Result;
use wgrad::layers::{Add, Model, input_named, merge};

/// A residual trunk over two inputs, with a classifying and a regressing head.
fn model() -> Model {
    let (a, b) = (input_named("a", [5]), input_named("b", [3]));
    let left = a.then(Dense::new(8).activation(Activation::Tanh));
    let right = b.then(Dense::new(8).activation(Activation::Tanh));
    let sum = merge(Add, [&left, &right]);
    let classes = sum.then(Dense::new(3).named("classes"));
    let penalty = Regularizer::l2(0.01);
    let value = sum.then(Dense::new(1).kernel_regularizer(penalty).named("value"));
    Model::new([&a, &b], [&classes, &value]).unwrap()
}

fn data(n: usize) -> TensorDataset {
    let a = random::uniform(1, n * 5, -1.0, 1.0);
    let b = random::uniform(2, n * 3, -1.0, 1.0);
    let labels: Vec<u32> =
        a.chunks(5).map(|a| if a[0] > 0.3 { 2 } else { u32::from(a[1] > 0.0) }).collect();
    let values: Vec<f32> = a.chunks(5).zip(b.chunks(3)).map(|(a, b)| a[2] - b[1]).collect();
    TensorDataset::multi(
        [Tensor::f32([n, 5], a).unwrap(), Tensor::f32([n, 3], b).unwrap()],
        [Tensor::u32([n], labels).unwrap(), Tensor::f32([n, 1], values).unwrap()],
    )
    .unwrap()
}

fn settings() -> Compile {
    Compile::new(Adam::new(0.01), SPARSE)
        .output_loss("value", Loss::MeanSquaredError, 0.5)
        .output_metrics("classes", [Metric::Accuracy])
        .output_metrics("value", [Metric::MeanAbsoluteError])
}

#[test]
fn both_heads_learn_and_are_named() -> Result<()> {
    let data = data(200);
    let mut t = model().compile(device(), settings())?;
    let fit = Fit::new().epochs(30).batch_size(32).validation_split(0.25).verbose(Verbose::Silent);
    let history = t.fit(&data, fit)?;
    let names: Vec<&str> = history.epochs[0].logs.iter().map(|(name, _)| name.as_str()).collect();
    let own =
        ["loss", "classes_loss", "value_loss", "classes_accuracy", "value_mean_absolute_error"];
    assert_eq!(names[..5], own);
    assert_eq!(names[5], "val_loss");
    for name in ["loss", "classes_loss", "value_loss", "val_loss"] {
        let series = history.get(name);
        assert!(series[29] < 0.6 * series[0], "{name}: {} to {}", series[0], series[29]);
    }
    Ok(())
}

#[test]
fn the_loss_is_the_weighted_sum_and_the_penalty() -> Result<()> {
    let mut t = model().compile(device(), settings())?;
    let result = t.evaluate(&data(70))?;
    let [classes, value] = ["classes_loss", "value_loss"].map(|name| result.get(name).unwrap());
    let kernel = t.weights()?.into_iter().find(|(name, _)| name == "value/kernel").unwrap().1;
    let squares: f64 = widen(kernel.as_f32()?).iter().map(|w| w * w).sum();
    let want = classes + 0.5 * value + 0.01 * squares;
    assert!((result.loss - want).abs() < 1e-6 * want, "{} is not {want}", result.loss);
    Ok(())
}

#[test]
fn every_output_is_predicted() -> Result<()> {
    let data = data(300);
    let mut t = model().compile(device(), settings())?;
    let outputs = t.predict_outputs(&data)?;
    let shapes: Vec<Shape> = outputs.iter().map(|o| o.shape().clone()).collect();
    assert_eq!(shapes, [Shape::from([300, 3]), Shape::from([300, 1])]);
    // Against f64: the second head by itself.
    let w: Vec<Vec<f64>> = t.weights()?.iter().map(|(_, w)| widen(w.as_f32().unwrap())).collect();
    let x = |i: usize| widen(data.features()[i].as_f32().unwrap());
    let left = forward(&w[..2], &["tanh"], &x(0), 300);
    let right = forward(&w[2..4], &["tanh"], &x(1), 300);
    let sum: Vec<f64> = left.iter().zip(right).map(|(a, b)| a + b).collect();
    let want = forward(&w[6..8], &["linear"], &sum, 300);
    assert_close("value", outputs[1].as_f32()?, &want, 1e-5, 1e-6);
    let error = t.predict(&data).unwrap_err();
    assert!(
        matches!(error, Error::Parameter { .. }) && error.to_string().contains("predict_outputs")
    );
    Ok(())
}

#[test]
fn what_does_not_match_the_model_is_named() -> Result<()> {
    let refused = |compile: Compile, words: &[&str]| {
        let error = model().compile(device(), compile).unwrap_err().to_string();
        words.iter().for_each(|w| assert!(error.contains(w), "{error} lacks {w:?}"));
    };
    let unknown = settings().output_loss("valve", Loss::MeanSquaredError, 1.0);
    refused(unknown, &["output = valve", "classes, value"]);
    let negative = settings().output_loss("value", Loss::MeanSquaredError, -1.0);
    refused(negative, &["loss weight of value", "0 or more"]);

    let mut t = model().compile(device(), settings())?;
    let (full, n) = (data(20), 20);
    let one = TensorDataset::new(full.x().clone(), full.y().clone())?;
    let error = t.evaluate(&one).unwrap_err().to_string();
    assert!(error.contains("inputs = 1") && error.contains("2 inputs"), "{error}");
    let [a, b] = [full.features()[0].clone(), full.features()[1].clone()];
    let targets = full.targets().to_vec();
    let error = t.evaluate(&TensorDataset::multi([b, a.clone()], targets)?).unwrap_err();
    assert!(error.to_string().contains("a: shapes [20, 3]"), "{error}");
    let b = full.features()[1].clone();
    let few = TensorDataset::multi([a, b], [full.y().clone()])?;
    let error = t.evaluate(&few).unwrap_err().to_string();
    assert!(error.contains("targets = 1") && error.contains("2 outputs"), "{error}");
    let ragged = [Tensor::f32([n, 5], vec![0.0; n * 5])?, Tensor::f32([n - 1, 3], vec![0.0; 57])?];
    let error = TensorDataset::multi(ragged, full.targets().to_vec()).unwrap_err().to_string();
    assert!(error.contains("19 samples [19, 3] for 20 samples"), "{error}");
    Ok(())
}
