//! What is refused when data meets a model.

use super::*;

fn fit(trainer: &mut Trainer, data: &TensorDataset) -> Result<wgrad::train::History> {
    trainer.fit(data, Fit::new().batch_size(1))
}

#[test]
fn samples_of_another_shape_are_refused() -> Result<()> {
    let t = &mut trainer(&linear());
    let before = t.weights()?;
    for shape in [vec![6, 5], vec![6], vec![6, 2, 2]] {
        let shown = Shape::from(shape.clone()).to_string();
        let x = floats(shape);
        let data = TensorDataset::new(x.clone(), Tensor::u32([6], vec![0; 6])?)?;
        let good = classes(6, 4);
        refused!(fit(t, &data), Error::Shape { .. }, "input", &shown, "[4]", "[n, ...]");
        let validated = t.fit(&good, Fit::new().batch_size(2).validation_data(&data));
        refused!(validated, Error::Shape { .. }, "input", &shown, "[4]");
        refused!(t.evaluate(&data), Error::Shape { .. }, "input", &shown, "[4]");
        refused!(t.predict(&x), Error::Shape { .. }, "input", &shown, "[4]");
    }
    refused!(t.predict(&Tensor::f32(Shape::scalar(), [1.0])?), Error::Shape { .. }, "input", "[]");
    refused!(t.predict(&Tensor::f32([0, 4], [])?), Error::Data { .. }, "no samples");
    // A refusal leaves everything as it was.
    assert_eq!((before, 0), (t.weights()?, t.steps()));
    Ok(())
}

#[test]
fn u32_features_are_refused() -> Result<()> {
    let t = &mut trainer(&linear());
    let x = Tensor::u32([2, 4], [1; 8])?;
    refused!(t.predict(&x), Error::DType { .. }, "u32", "f32 or u8");
    let data = TensorDataset::new(x, Tensor::u32([2], [0, 1])?)?;
    refused!(fit(t, &data), Error::DType { .. }, "u32", "f32 or u8");
    refused!(t.evaluate(&data), Error::DType { .. }, "u32", "f32 or u8");
    Ok(())
}

#[test]
fn targets_that_do_not_suit_the_loss_are_refused() -> Result<()> {
    let labels = classes(6, 4);
    let values = |shape: &[usize]| TensorDataset::new(floats([6, 4]), floats(shape)).unwrap();
    for loss in [
        Loss::MeanSquaredError,
        Loss::MeanAbsoluteError,
        Loss::Huber { delta: 1.0 },
        Loss::BinaryCrossentropy { from_logits: true },
        Loss::BinaryCrossentropy { from_logits: false },
        Loss::CategoricalCrossentropy { from_logits: true },
        Loss::CategoricalCrossentropy { from_logits: false },
    ] {
        let t = &mut compile(&linear(), Sgd::default(), loss)?;
        let words = [loss.name(), "u32", "sparse_categorical_crossentropy"];
        for result in [fit(t, &labels).map(|_| ()), t.evaluate(&labels).map(|_| ())] {
            refused!(result, Error::DType { .. }, words[0], words[1], words[2]);
        }
        for shape in [vec![6], vec![6, 2], vec![6, 4, 1], vec![6, 3, 2]] {
            let shown = Shape::from(shape.clone()).to_string();
            let result = t.evaluate(&values(&shape));
            refused!(result, Error::Shape { .. }, loss.name(), &shown, "[6, 3]", "are expected");
        }
        // A trailing axis of 1 is no difference.
        t.evaluate(&values(&[6, 3, 1]))?;
    }
    for from_logits in [true, false] {
        let loss = Loss::SparseCategoricalCrossentropy { from_logits };
        let t = &mut compile(&linear(), Sgd::default(), loss)?;
        let result = fit(t, &values(&[6, 3]));
        refused!(result, Error::DType { .. }, "f32", "class labels are u32");
    }
    Ok(())
}

#[test]
fn labels_outside_the_classes_are_refused() -> Result<()> {
    let t = &mut trainer(&linear());
    let data = TensorDataset::new(floats([4, 4]), Tensor::u32([4], [0, 3, 1, u32::MAX])?)?;
    let words = ["`y`", "row 1 has label 3", "3 classes", "2 of 4", "more units"];
    refused!(fit(t, &data), Error::Data { .. }, words[0], words[1], words[2], words[3], words[4]);
    refused!(t.evaluate(&data), Error::Data { .. }, words[1], words[2]);
    let good = classes(4, 4);
    let validated = t.fit(&good, Fit::new().batch_size(2).validation_data(&data));
    refused!(validated, Error::Data { .. }, words[1], words[2]);
    assert_eq!(t.steps(), 0);
    Ok(())
}

#[test]
fn batches_have_samples_and_epochs_are_counted_from_one() {
    let t = &mut trainer(&linear());
    let data = classes(5, 4);
    let result = t.fit(&data, Fit::new().batch_size(0));
    refused!(result, Error::Parameter { .. }, "batch_size = 0", "at least one sample");
    let result = t.fit(&data, Fit::new().batch_size(5).epochs(0));
    refused!(result, Error::Parameter { .. }, "epochs = 0", "at least one");
    assert_eq!(t.steps(), 0);
}

#[test]
fn nan_and_infinity_are_refused_unless_allowed() -> Result<()> {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let x = Tensor::f32([2, 4], [0.0, 0.0, 0.0, 0.0, 0.0, bad, 0.0, 0.0])?;
        let y = Tensor::u32([2], [0, 1])?;
        let result = TensorDataset::new(x.clone(), y.clone());
        refused!(result, Error::Data { .. }, "`x`", "row 1", "1 of 8", "new_allow_non_finite");
        // Allowed, it reaches the loss; it is not hidden on the way.
        let data = TensorDataset::new_allow_non_finite(x, y)?;
        let loss = trainer(&linear()).evaluate(&data)?.loss;
        assert!(!loss.is_finite(), "{bad} gives a loss of {loss}");
    }
    Ok(())
}

#[test]
fn empty_and_one_sample_data() -> Result<()> {
    let empty = TensorDataset::new(floats([0, 4]), Tensor::u32([0], [])?);
    refused!(empty, Error::Data { .. }, "`x`", "at least one");
    let t = &mut trainer(&linear());
    let one = classes(1, 4);
    fit(t, &one)?;
    assert!(t.evaluate(&one)?.loss.is_finite());
    refused!(one.split_at(1), Error::Parameter { .. }, "splitting 1 samples");
    Ok(())
}

#[test]
fn weights_that_do_not_fit_change_nothing() -> Result<()> {
    let mut t = trainer(&linear());
    let before = t.weights()?;
    let (kernel, bias) = (floats([4, 3]), floats([3]));
    let result = t.set_weights(std::slice::from_ref(&kernel));
    refused!(result, Error::Parameter { .. }, "weights = 1", "2 tensors");
    let result = t.set_weights(&[floats([3, 4]), bias.clone()]);
    refused!(result, Error::Shape { .. }, "dense/kernel", "[3, 4]", "[4, 3]");
    let result = t.set_weights(&[kernel.clone(), floats([3, 1])]);
    refused!(result, Error::Shape { .. }, "dense/bias", "[3, 1]", "[3]");
    let result = t.set_weights(&[kernel.clone(), Tensor::u32([3], [0, 1, 2])?]);
    refused!(result, Error::DType { .. }, "dense/bias", "u32", "f32");
    assert_eq!(before, t.weights()?);
    t.set_weights(&[kernel, bias])?;
    assert_ne!(before, t.weights()?);
    Ok(())
}

#[test]
fn metrics_that_do_not_suit_are_refused() {
    let settings = |metrics: Vec<Metric>| {
        let compile = Compile::new(Sgd::default(), SPARSE).metrics(metrics);
        linear().compile(support::device(), compile)
    };
    let result = settings(vec![Metric::MeanSquaredError]);
    refused!(result, Error::DType { .. }, "mean_squared_error", "u32", "f32");
    // However many metrics there are, each has its column, and a name of its own.
    let t = &mut settings(vec![Metric::Accuracy; 9]).unwrap();
    let logs = &fit(t, &classes(3, 4)).unwrap().epochs[0].logs;
    assert!(logs.len() == 10 && logs[1..].windows(2).all(|w| w[0].1 == w[1].1), "{logs:?}");
    assert!(logs[1].0 == "accuracy" && logs[9].0 == "accuracy_8", "{logs:?}");
}
