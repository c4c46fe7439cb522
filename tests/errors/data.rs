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

/// Four inputs and three outputs that suit the loss.
fn suiting(loss: Loss) -> Sequential {
    let activation = match (loss.from_logits(), loss.is_categorical()) {
        (Some(false), true) => Activation::Softmax,
        (Some(false), false) => Activation::Sigmoid,
        _ => Activation::Linear,
    };
    Sequential::new([4]).add(Dense::new(3).activation(activation))
}

#[test]
fn targets_that_do_not_suit_the_loss_are_refused() -> Result<()> {
    let labels = classes(6, 4);
    let values = |shape: &[usize]| TensorDataset::new(floats([6, 4]), floats(shape)).unwrap();
    let errors =
        ["mean_squared_error", "convert the targets", "Loss::SparseCategoricalCrossentropy"];
    let one_hot = ["categorical_crossentropy", "one_hot", "Loss::SparseCategoricalCrossentropy"];
    for (loss, words) in [
        (Loss::MeanSquaredError, errors),
        (Loss::MeanAbsoluteError, ["mean_absolute_error", errors[1], errors[2]]),
        (Loss::Huber { delta: 1.0 }, ["huber", errors[1], "Loss::BinaryCrossentropy"]),
        (Loss::CategoricalCrossentropy { from_logits: true }, one_hot),
        (Loss::CategoricalCrossentropy { from_logits: false }, one_hot),
    ] {
        let t = &mut compile(&suiting(loss), Sgd::default(), loss)?;
        for result in [fit(t, &labels).map(|_| ()), t.evaluate(&labels).map(|_| ())] {
            refused!(
                result,
                Error::DType { .. },
                "layer `dense`",
                "u32",
                words[0],
                words[1],
                words[2]
            );
        }
    }
    for loss in [
        Loss::MeanSquaredError,
        Loss::BinaryCrossentropy { from_logits: true },
        Loss::BinaryCrossentropy { from_logits: false },
        Loss::CategoricalCrossentropy { from_logits: true },
        Loss::CategoricalCrossentropy { from_logits: false },
    ] {
        let t = &mut compile(&suiting(loss), Sgd::default(), loss)?;
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
        let t = &mut compile(&suiting(loss), Sgd::default(), loss)?;
        // One-hot rows have a loss.
        let result = fit(t, &values(&[6, 3]));
        refused!(result, Error::DType { .. }, "f32", "Loss::CategoricalCrossentropy takes one-hot");
        let result = fit(t, &values(&[6, 1]));
        refused!(result, Error::DType { .. }, "f32", "class labels are u32");
        // Labels are one per sample, of two classes, for one unit.
        let binary = Loss::BinaryCrossentropy { from_logits };
        let t = &mut compile(&suiting(binary), Sgd::default(), binary)?;
        let result = fit(t, &labels);
        refused!(result, Error::Shape { .. }, "[6, 3]", "one unit", "0 and 1 as f32 or u8");
    }
    let t = &mut compile(
        &Sequential::new([4]).add(Dense::new(1)),
        Sgd::default(),
        Loss::BinaryCrossentropy { from_logits: true },
    )?;
    let words = ["row 2 has label 2", "binary_crossentropy", "SparseCategoricalCrossentropy"];
    refused!(fit(t, &labels), Error::Data { .. }, words[0], words[1], words[2]);
    let bytes = TensorDataset::new(floats([6, 4]), Tensor::u8([6, 3], [2; 18])?)?;
    let t =
        &mut compile(&linear(), Sgd::default(), Loss::BinaryCrossentropy { from_logits: true })?;
    refused!(fit(t, &bytes), Error::Data { .. }, "element 0 is 2", "probabilities");
    Ok(())
}

#[test]
fn a_batch_axis_in_the_models_shape_is_named() -> Result<()> {
    let t = &mut trainer(&Sequential::new([6, 4]).add(Flatten).add(Dense::new(3)));
    let data = classes(6, 4);
    let words = ["input", "[6, 4]", "no batch axis", "build the model on [4]"];
    for result in [fit(t, &data).map(|_| ()), t.predict(data.x()).map(|_| ())] {
        refused!(result, Error::Shape { .. }, words[0], words[1], words[2], words[3]);
    }
    // One sample has a batch axis too.
    let t = &mut trainer(&linear());
    refused!(t.predict(&floats([4])), Error::Shape { .. }, "[4]", "A single sample is [1, ...]");
    // Other shapes only get advice that suits them.
    let error = t.predict(&floats([6, 5])).unwrap_err().to_string();
    assert!(!error.contains("batch axis") && !error.contains("Flatten"), "{error}");
    Ok(())
}

#[test]
fn a_missing_flatten_is_named() -> Result<()> {
    // Images into a model of flat samples.
    let t = &mut trainer(&linear());
    let images = TensorDataset::new(floats([6, 2, 2]), classes(6, 4).y().clone())?;
    let words = ["[6, 2, 2]", "Build the model on [2, 2] and add a Flatten", "[6, 4]"];
    refused!(fit(t, &images), Error::Shape { .. }, words[0], words[1], words[2]);
    let flat = &mut trainer(&Sequential::new([2, 2]).add(Flatten).add(Dense::new(3)));
    refused!(fit(flat, &classes(6, 4)), Error::Shape { .. }, "Reshape the data to [6, 2, 2]");
    // A model of images whose Dense layers keep the rows.
    let kept = |units, loss| {
        compile(&Sequential::new([2, 2]).add(Dense::new(units)), Sgd::default(), loss)
    };
    let words = ["layer `dense`", "keep the axes [2]", "Flatten layer missing"];
    refused!(
        fit(&mut kept(3, SPARSE)?, &images),
        Error::Shape { .. },
        "[6, 2, 3]",
        words[0],
        words[1],
        words[2]
    );
    let binary = Loss::BinaryCrossentropy { from_logits: true };
    let categorical = Loss::CategoricalCrossentropy { from_logits: true };
    for (loss, units) in [(binary, 1), (Loss::MeanSquaredError, 1), (categorical, 3)] {
        let data = TensorDataset::new(images.x().clone(), floats([6, units]))?;
        let result = fit(&mut kept(units, loss)?, &data);
        refused!(result, Error::Shape { .. }, words[0], words[1], words[2]);
    }
    fit(flat, &images)?;
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
        // If allowed, it reaches the loss; nothing hides it on the way.
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
    // For any number of metrics, each has its own column and its own name.
    let t = &mut settings(vec![Metric::Accuracy; 9]).unwrap();
    let logs = &fit(t, &classes(3, 4)).unwrap().epochs[0].logs;
    assert!(logs.len() == 10 && logs[1..].windows(2).all(|w| w[0].1 == w[1].1), "{logs:?}");
    assert!(logs[1].0 == "accuracy" && logs[9].0 == "accuracy_8", "{logs:?}");
}
