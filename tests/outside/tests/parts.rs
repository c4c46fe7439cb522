//! Every part from outside trains, and does what it says.

use outside::{
    Balanced, Clipped, Lion, LogCosh, Margin, MaxError, Mish, Parity, Scale, Sparse, StopBelow,
};
use std::sync::{Arc, OnceLock};
use wgrad::graph::{Graph, Value};
use wgrad::losses::CustomLoss;
use wgrad::metrics::CustomMetric;
use wgrad::prelude::*;
use wgrad::{Error, Result};

fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| Device::new().unwrap())
}

/// y = 2 x₀ - x₁ + 0.5.
fn plane() -> TensorDataset {
    let x: Vec<f32> = (0..26).map(|i| (i as f32 * 0.9).sin()).collect();
    let y = x.chunks(2).map(|x| 2.0 * x[0] - x[1] + 0.5).collect::<Vec<f32>>();
    let (x, y) = (Tensor::f32([13, 2], x.clone()), Tensor::f32([13, 1], y));
    TensorDataset::new(x.unwrap(), y.unwrap()).unwrap()
}

fn quiet(epochs: usize) -> Fit<'static> {
    Fit::new().epochs(epochs).batch_size(5).verbose(Verbose::Silent)
}

fn line() -> Sequential {
    Sequential::new([2]).add(Dense::new(1))
}

#[test]
fn all_parts_train_together() -> Result<()> {
    let dense = Dense::new(8)
        .activation(Activation::custom(Mish))
        .kernel_initializer(Initializer::custom(Sparse { share: 0.7 }))
        .kernel_regularizer(Regularizer::custom(Balanced { factor: 1e-3 }))
        .kernel_constraint(Constraint::custom(Clipped { limit: 1.5 }));
    let model = Sequential::new([2]).add(dense).add(Scale).add(Dense::new(1));
    let lion = Lion { learning_rate: 0.01.into(), beta: 0.9 };
    let compile = Compile::new(lion, LogCosh).metrics([Metric::custom(MaxError)]);
    let mut trainer = model.compile(device(), compile)?;
    let stop = StopBelow { log: "max_error", bound: 0.25 };
    let history = trainer.fit(&plane(), quiet(400).callback(stop))?;
    let errors = history.get("max_error");
    assert!(errors.len() < 400 && errors[errors.len() - 1] < 0.25, "{errors:?}");
    assert!(errors[0] > 0.5);

    // The metric's number is that of the predictions, and the loss that of its formula.
    let evaluation = trainer.evaluate(&plane())?;
    let predicted = trainer.predict(plane().x())?;
    let pairs = predicted.as_f32()?.iter().zip(plane().y().as_f32()?.to_vec());
    let errors: Vec<f64> = pairs.map(|(p, y)| f64::from(p - y)).collect();
    let largest = errors.iter().fold(0.0f64, |a, e| a.max(e.abs()));
    let (name, value) = &evaluation.metrics[0];
    assert_eq!(name, "max_error");
    assert!((value - largest).abs() < 1e-5, "{value} {largest}");
    let kernel = trainer.weights()?[0].1.as_f32()?.to_vec();
    assert!(kernel.iter().all(|w| w.abs() <= 1.5));
    let sum: f64 = kernel.iter().map(|&w| f64::from(w)).sum();
    let loss = errors.iter().map(|e| e.cosh().ln()).sum::<f64>() / 13.0 + 1e-3 * sum * sum;
    assert!((evaluation.loss - loss).abs() < 1e-5, "{} {loss}", evaluation.loss);
    Ok(())
}

#[test]
fn an_initializer_fills_and_a_constraint_bounds() -> Result<()> {
    let sparse = Initializer::custom(Sparse { share: 0.3 });
    let clipped = Constraint::custom(Clipped { limit: 0.2 });
    let dense = Dense::new(50).kernel_initializer(sparse).kernel_constraint(clipped);
    let model = Sequential::new([2]).add(dense).add(Dense::new(1));
    let compile = Compile::new(Sgd::new(0.1), Loss::MeanSquaredError);
    let mut trainer = model.compile(device(), compile)?;
    let kernel =
        |trainer: &Trainer| -> Result<Vec<f32>> { Ok(trainer.weights()?[0].1.as_f32()?.to_vec()) };
    let first = kernel(&trainer)?;
    let zeros = first.iter().filter(|w| **w == 0.0).count();
    assert!((50..90).contains(&zeros), "{zeros} of 100");
    assert!(first.iter().any(|w| w.abs() > 0.2));
    trainer.fit(&plane(), quiet(1))?;
    assert!(kernel(&trainer)?.iter().all(|w| w.abs() <= 0.2));
    Ok(())
}

#[test]
fn a_regularizer_moves_weights() -> Result<()> {
    let sum = |factor: f32| -> Result<f32> {
        let balanced = Regularizer::custom(Balanced { factor });
        let model = Sequential::new([2]).add(Dense::new(1).kernel_regularizer(balanced));
        let compile = Compile::new(Sgd::new(0.05), Loss::MeanSquaredError);
        let mut trainer = model.compile(device(), compile)?;
        trainer.fit(&plane(), quiet(60))?;
        Ok(trainer.weights()?[0].1.as_f32()?.iter().sum())
    };
    let (free, balanced) = (sum(0.0)?, sum(5.0)?);
    assert!(free > 0.5 && balanced.abs() < 0.2, "{free} {balanced}");
    Ok(())
}

#[test]
fn a_loss_of_labels_trains_on_a_dataset_from_outside() -> Result<()> {
    let hidden = Dense::new(16).activation(Activation::Tanh);
    let model = Sequential::new([3]).add(hidden).add(Dense::new(2));
    let loss = Margin { margin: 1.0 };
    let compile = Compile::new(Adam::new(0.05), loss).metrics([Metric::Accuracy]);
    let mut trainer = model.compile(device(), compile)?;
    let fit = Fit::new().epochs(150).batch_size(4).verbose(Verbose::Silent);
    let history = trainer.fit(Arc::new(Parity { bits: 3 }), fit)?;
    let accuracy = history.get("accuracy");
    assert_eq!(accuracy[accuracy.len() - 1], 1.0, "{accuracy:?}");
    Ok(())
}

/// The error of compiling and fitting with this loss.
fn refused(loss: impl Into<Loss>, model: Sequential) -> Error {
    model.compile(device(), Compile::new(Sgd::new(0.1), loss)).unwrap_err()
}

#[derive(Debug)]
struct Wrong(&'static str);

impl CustomLoss for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }

    fn rows(&self, g: &mut Graph, targets: Value, predictions: Value) -> Result<Value> {
        match self.0 {
            "shape" => g.sub(predictions, targets),
            "op" => g.unary("no_such_function", predictions, &[]),
            _ => {
                let mut other = Graph::new();
                Ok(other.constant(1.0))
            }
        }
    }
}

impl CustomMetric for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }

    fn columns(&self, g: &mut Graph, targets: Value, predictions: Value) -> Result<Vec<Value>> {
        match self.0 {
            "count" => Ok(vec![]),
            _ => Ok(vec![g.concatenate(&[targets, predictions], 1)?]),
        }
    }
}

#[test]
fn what_parts_do_wrong_names_them() {
    for kind in ["shape", "op", "graph"] {
        let error = refused(Loss::custom(Wrong(kind)), line()).to_string();
        assert!(error.contains("wrong"), "{kind}: {error}");
    }
    let error = refused(Margin { margin: -1.0 }, line()).to_string();
    assert!(error.contains("margin = -1"), "{error}");
    let soft = Sequential::new([2]).add(Dense::new(3).activation(Activation::Softmax));
    let error = refused(Margin { margin: 1.0 }, soft).to_string();
    assert!(error.contains("margin") && error.contains("logits"), "{error}");
    for kind in ["count", "width"] {
        let compile = Compile::new(Sgd::new(0.1), LogCosh).metrics([Metric::custom(Wrong(kind))]);
        let error = line().compile(device(), compile).unwrap_err().to_string();
        assert!(error.contains("wrong") && error.contains("CustomMetric::widths"), "{error}");
    }
    let sparse = Initializer::custom(Sparse { share: 2.0 });
    let model = Sequential::new([2]).add(Dense::new(1).kernel_initializer(sparse));
    let error = refused(LogCosh, model).to_string();
    assert!(error.contains("layer `dense`") && error.contains("share = 2"), "{error}");
}

#[test]
fn parts_with_the_same_settings_are_equal() {
    assert_eq!(Loss::custom(Margin { margin: 1.0 }), Margin { margin: 1.0 }.into());
    assert_ne!(Loss::custom(Margin { margin: 1.0 }), Margin { margin: 2.0 }.into());
    assert_ne!(Loss::custom(LogCosh), Loss::MeanSquaredError);
    assert_eq!(format!("{:?}", Activation::custom(Mish)), "Custom(Mish)");
}

/// A checkpoint names the custom parts, and refuses others.
#[test]
fn a_checkpoint_names_custom_parts() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("outside-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("model.safetensors");
    let trainer = |margin: f32| {
        let model = Sequential::new([3]).add(Dense::new(2));
        model.compile(device(), Compile::new(Adam::new(0.05), Margin { margin }))
    };
    let data = || Arc::new(Parity { bits: 3 });
    let mut first = trainer(1.0)?;
    let fit = || Fit::new().epochs(2).batch_size(4).verbose(Verbose::Silent);
    first.fit(data(), fit())?;
    first.save_checkpoint(&path)?;
    let mut same = trainer(1.0)?;
    same.load_checkpoint(&path)?;
    assert_eq!(same.weights()?[0].1, first.weights()?[0].1);
    let error = trainer(2.0)?.load_checkpoint(&path).unwrap_err().to_string();
    assert!(error.contains("Margin { margin: 1.0 }"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
    Ok(())
}
