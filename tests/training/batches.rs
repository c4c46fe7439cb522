//! Batches: short ones count, and what is computed in batches equals f64 over all samples.

use super::*;
use reference::compare::assert_close;
use reference::losses::{batch_mean, sparse_categorical_crossentropy_logits};
use reference::network::Network;
use wgrad::Result;

/// The share of rows of `classes` scores whose largest is the label.
fn accuracy(scores: &[f64], labels: &[usize], classes: usize) -> f64 {
    let found = reference::softmax::argmax(scores, classes);
    found.iter().zip(labels).filter(|(a, b)| a == b).count() as f64 / labels.len() as f64
}

#[test]
fn evaluation_equals_f64_over_all_samples() -> Result<()> {
    // Evaluation takes 256 at once: 400 is a full batch and a short one, 255 only a short one.
    let (train, test) = digits();
    let model = Sequential::new([28, 28])
        .add(Flatten)
        .add(Dense::new(16).activation(Activation::Relu))
        .add(Dense::new(10));
    let settings = Compile::new(Adam::new(0.005), SPARSE).metrics([Metric::Accuracy]);
    let mut trainer = compile(&model, settings);
    trainer.fit(&train, Fit::new().epochs(2))?;
    let weights = wide(&trainer);
    for data in [&train, &test, &train.take(255)?, &train.take(257)?, &train.take(1)?] {
        let got = trainer.evaluate(data)?;
        let logits = forward(&weights, &["relu", "linear"], &features(data), data.len());
        let losses = sparse_categorical_crossentropy_logits(&labels(data), &logits, 10);
        let want = batch_mean(&losses);
        // Sums of 784 products of 6e-8 each, and the logarithm's 5e-7.
        let name = format!("loss over {}", data.len());
        assert_close(&name, &[got.loss as f32], &[want], 1e-5, 1e-6);
        let want = accuracy(&logits, &labels(data), 10);
        let hits = got.get("accuracy").unwrap();
        assert!((hits - want).abs() < 1e-6, "accuracy over {}: {hits}, {want}", data.len());
    }
    Ok(())
}

#[test]
fn an_epoch_with_a_short_batch_is_f64s() -> Result<()> {
    // 50 samples are three batches of 16 and one of 2.
    let data = points(50, 6, 3);
    let rate = 0.5;
    let settings = Compile::new(Sgd::new(rate), SPARSE).metrics([Metric::Accuracy]);
    let mut trainer = compile(&small(6, 3), settings);
    let mut weights = wide(&trainer);
    let history = trainer.fit(&data, Fit::new().batch_size(16).shuffle(false))?;

    let (mut loss, mut hits) = (0.0, 0.0);
    for start in (0..50).step_by(16) {
        let rows = data.rows(start, 16.min(50 - start))?;
        let network = Network {
            x: features(&rows),
            labels: labels(&rows),
            weights: weights.clone(),
            activation: "tanh".into(),
        };
        loss += network.loss(&weights) * rows.len() as f64;
        let logits = network.forward(&weights).0;
        hits += accuracy(&logits, &network.labels, 3) * rows.len() as f64;
        for (w, g) in weights.iter_mut().zip(network.backward()) {
            w.iter_mut().zip(g).for_each(|(w, g)| *w -= f64::from(rate) * g);
        }
    }
    assert_eq!(trainer.steps(), 4);
    // Four steps of some fifty roundings each stay far below this; a missing short batch is 1e-2.
    assert_close("weights", &flat(&trainer), &weights.concat(), 0.0, 1e-5);
    let got = [history.get("loss")[0] as f32, history.get("accuracy")[0] as f32];
    assert_close("logs", &got, &[loss / 50.0, hits / 50.0], 0.0, 1e-5);
    Ok(())
}

#[test]
fn an_epoch_shuffles_by_the_permutation() -> Result<()> {
    let data = points(50, 6, 3);
    let settings = || Compile::new(Sgd::new(0.5), SPARSE).seed(7);
    let fit = || Fit::new().batch_size(16);
    let mut shuffled = compile(&small(6, 3), settings());
    shuffled.fit(&data, fit().epochs(2))?;

    let mut in_order = compile(&small(6, 3), settings());
    for epoch in 0..2 {
        let order = wgrad::data::permutation(50, 7, epoch)?;
        let x = data.x().as_f32()?;
        let x: Vec<f32> = order.iter().flat_map(|&i| x[i as usize * 6..][..6].to_vec()).collect();
        let y: Vec<u32> = order.iter().map(|&i| data.y().as_u32().unwrap()[i as usize]).collect();
        let moved = TensorDataset::new(Tensor::f32([50, 6], x)?, Tensor::u32([50], y)?)?;
        in_order.fit(&moved, fit().shuffle(false))?;
    }
    assert_eq!(bits(&shuffled), bits(&in_order));
    Ok(())
}

#[test]
fn bytes_equal_floats_divided_by_255() -> Result<()> {
    let (bytes, _) = digits();
    let floats: Vec<f32> = match bytes.x().data() {
        Data::U8(v) => v.iter().map(|&v| f32::from(v) / 255.0).collect(),
        other => panic!("MNIST images are bytes: {:?}", other.dtype()),
    };
    let floats = TensorDataset::new(Tensor::f32(bytes.x().shape(), floats)?, bytes.y().clone())?;
    let model = Sequential::new([28, 28]).add(Flatten).add(Dense::new(10));
    let mut weights = Vec::new();
    let mut predictions = Vec::new();
    for data in [&bytes, &floats] {
        let mut trainer = compile(&model, Compile::new(Sgd::new(0.1), SPARSE));
        predictions.push(trainer.predict(data)?.as_f32()?.to_vec());
        trainer.fit(data, Fit::new())?;
        weights.push(flat(&trainer));
    }
    // v * (1/255) and v / 255 differ by one rounding.
    assert_close("predictions", &predictions[0], &widen(&predictions[1]), 1e-6, 1e-6);
    assert_close("weights", &weights[0], &widen(&weights[1]), 1e-6, 1e-6);
    Ok(())
}

#[test]
fn predictions_do_not_depend_on_their_company() -> Result<()> {
    // Rows before the last batch fill it up: 257 and 1000 show that.
    let data = points(1000, 6, 3);
    let mut trainer = compile(&small(6, 3), Compile::new(Adam::default(), SPARSE));
    let mut single = Vec::new();
    for i in 0..1000 {
        single.extend_from_slice(trainer.predict(&data.rows(i, 1)?)?.as_f32()?);
    }
    let want = forward(&wide(&trainer), &["tanh", "linear"], &features(&data), 1000);
    assert_close("row by row", &single, &want, 1e-6, 1e-6);
    for n in [1, 255, 256, 257, 1000] {
        let got = trainer.predict(data.take(n)?.x())?;
        assert_eq!(got.shape().dims(), [n, 3]);
        // Kernels differ with the row count, the order of each sum may too.
        let name = format!("{n} at once");
        assert_close(&name, got.as_f32()?, &widen(&single[..3 * n]), 1e-6, 1e-6);
    }
    Ok(())
}

#[test]
fn one_sample_is_enough() -> Result<()> {
    let data = points(1, 6, 3);
    let settings = Compile::new(Sgd::new(0.5), SPARSE).metrics([Metric::Accuracy]);
    let mut trainer = compile(&small(6, 3), settings);
    let history = trainer.fit(&data, Fit::new().epochs(30).batch_size(1).validation_data(&data))?;
    assert!(*history.get("loss").last().unwrap() < 0.1, "{:?}", history.get("loss"));
    assert_eq!(trainer.evaluate(&data)?.get("accuracy"), Some(1.0));
    assert_eq!(history.get("val_accuracy").last(), Some(&1.0));
    Ok(())
}
