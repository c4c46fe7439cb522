//! Layers in a model: activations, shapes, penalties, tables.

use super::*;
use reference::compare::assert_close;
use reference::losses::{batch_mean, mse};
use wgrad::Result;

const ACTIVATIONS: [Activation; 16] = [
    Activation::Linear,
    Activation::Relu,
    Activation::LeakyRelu { negative_slope: 0.2 },
    Activation::Elu { alpha: 1.0 },
    Activation::Selu,
    Activation::Sigmoid,
    Activation::HardSigmoid,
    Activation::Tanh,
    Activation::Softplus,
    Activation::Softsign,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Step,
    Activation::Perceptron,
    Activation::ClippedLinear { low: -1.0, high: 1.0 },
];

#[test]
fn every_activation_works_in_a_dense_layer_and_as_a_layer() -> Result<()> {
    let data = curve(8, 4, 2);
    for activation in ACTIVATIONS {
        let inside = Sequential::new([4]).add(Dense::new(2).activation(activation));
        let beside = Sequential::new([4]).add(Dense::new(2)).add(activation);
        let mut trained = Vec::new();
        for model in [inside, beside] {
            let mut trainer = compile(&model, Compile::new(Sgd::new(0.1), Loss::MeanSquaredError));
            let got = trainer.predict(&data)?;
            let want = forward(&wide(&trainer), &[activation.name()], &features(&data), 8);
            assert_close(activation.name(), got.as_f32()?, &want, 1e-5, 2e-6);
            trainer.fit(&data, Fit::new().epochs(3).batch_size(8))?;
            trained.push(bits(&trainer));
        }
        assert_eq!(trained[0], trained[1], "{}", activation.name());
    }
    Ok(())
}

#[test]
fn softmax_works_in_a_dense_layer_and_as_a_layer() -> Result<()> {
    let data = points(8, 4, 3);
    for log in [false, true] {
        let activation = if log { Activation::LogSoftmax } else { Activation::Softmax };
        let inside = Sequential::new([4]).add(Dense::new(3).activation(activation));
        let beside = Sequential::new([4]).add(Dense::new(3)).add(activation);
        // Log-probabilities are logits of themselves.
        let loss = Loss::SparseCategoricalCrossentropy { from_logits: log };
        let mut trained = Vec::new();
        for model in [inside, beside] {
            let mut trainer = compile(&model, Compile::new(Sgd::new(0.5), loss));
            let logits = forward(&wide(&trainer), &["linear"], &features(&data), 8);
            let want = match log {
                true => reference::softmax::log_softmax(&logits, 3),
                false => reference::softmax::softmax(&logits, 3),
            };
            assert_close("softmax", trainer.predict(&data)?.as_f32()?, &want, 1e-6, 1e-6);
            trainer.fit(&data, Fit::new().epochs(2).batch_size(8))?;
            trained.push(bits(&trainer));
        }
        assert_eq!(trained[0], trained[1]);
    }
    Ok(())
}

#[test]
fn a_dense_layer_takes_the_last_of_many_axes() -> Result<()> {
    let n = 37;
    let x = Tensor::f32([n, 4, 5], random::uniform(6, n * 20, -1.0, 1.0))?;
    let y = Tensor::f32([n, 2], random::uniform(7, n * 2, -1.0, 1.0))?;
    let data = TensorDataset::new(x, y)?;
    let model = Sequential::new([4, 5])
        .add(Dense::new(3).activation(Activation::Tanh))
        .add(Flatten)
        .add(Dense::new(2));
    let built = model.build()?;
    let shapes: Vec<Shape> = built.calls().iter().map(|call| call.shapes[0].clone()).collect();
    assert_eq!(shapes, [[4, 3].into(), [12].into(), Shape::from([2])]);
    let mut trainer = compile(&model, Compile::new(Sgd::new(0.2), Loss::MeanSquaredError));
    let predict = |w: &[Vec<f64>]| {
        let hidden = forward(&w[..2], &["tanh"], &features(&data), n * 4);
        forward(&w[2..], &["linear"], &hidden, n)
    };
    let before = wide(&trainer);
    assert_close("output", trainer.predict(&data)?.as_f32()?, &predict(&before), 1e-6, 1e-6);

    // One step of the whole set is the gradient of the loss, by differences in f64.
    trainer.fit(&data, Fit::new().batch_size(n).shuffle(false))?;
    let y = widen(data.y().as_f32()?);
    let mut want = before.clone();
    for (i, w) in before.iter().enumerate() {
        let loss = |at: &[f64]| {
            let mut weights = before.clone();
            weights[i] = at.to_vec();
            batch_mean(&mse(&y, &predict(&weights), 2))
        };
        let gradient = reference::gradient::numeric_gradient(loss, w, 1e-5);
        want[i].iter_mut().zip(gradient).for_each(|(w, g)| *w -= f64::from(0.2f32) * g);
    }
    assert_close("weights", &flat(&trainer), &want.concat(), 1e-6, 1e-6);
    Ok(())
}

#[test]
fn penalties_show_in_the_loss_and_pull_weights() -> Result<()> {
    // With inputs of zero only the penalty moves the kernel.
    let (l1, l2, rate) = (0.01f32, 0.02f32, 0.5f32);
    let x = Tensor::f32([8, 4], vec![0.0; 32])?;
    let data = TensorDataset::new(x, Tensor::f32([8, 3], vec![0.0; 24])?)?;
    let penalty = Regularizer::l1_l2(l1, l2);
    let layer = Dense::new(3)
        .kernel_regularizer(penalty)
        .bias_regularizer(Regularizer::l2(0.1))
        .bias_initializer(Initializer::Constant(0.5));
    let settings = Compile::new(Sgd::new(rate), Loss::MeanSquaredError);
    let settings = settings.metrics([Metric::MeanSquaredError, Metric::MeanAbsoluteError]);
    let mut trainer = compile(&Sequential::new([4]).add(layer), settings);
    let before = wide(&trainer);
    let penalties = reference::optim::l1_l2(&before[0], f64::from(l1), f64::from(l2)) + 0.1 * 0.75;
    let got = trainer.evaluate(&data)?;
    assert_close("loss", &[got.loss as f32], &[0.25 + penalties], 1e-6, 1e-7);
    // Metrics know nothing of penalties.
    let metrics = [got.metrics[0].1 as f32, got.metrics[1].1 as f32];
    assert_close("metrics", &metrics, &[0.25, 0.5], 1e-6, 0.0);

    let history = trainer.fit(&data, Fit::new().batch_size(8))?;
    assert_close("logged", &[history.get("loss")[0] as f32], &[got.loss], 1e-6, 0.0);
    let slope = reference::optim::l1_l2_grad(&before[0], f64::from(l1), f64::from(l2));
    let kernel: Vec<f64> =
        before[0].iter().zip(slope).map(|(w, g)| w - f64::from(rate) * g).collect();
    assert_close("kernel", tensors(&trainer)[0].as_f32()?, &kernel, 1e-6, 1e-7);
    // The bias: mean squared error over three outputs, and 2 * 0.1 * w.
    let bias = 0.5 - 0.5 * (2.0 * 0.5 / 3.0 + 0.2 * 0.5);
    assert_close("bias", tensors(&trainer)[1].as_f32()?, &[bias; 3], 1e-6, 0.0);
    Ok(())
}

#[test]
fn summaries_are_keras_tables() -> Result<()> {
    let mnist = Sequential::new([28, 28])
        .add(Flatten)
        .add(Dense::new(128).activation(Activation::Relu))
        .add(Dropout::new(0.2))
        .add(Dense::new(10));
    let expected = "\
Model: \"sequential\"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ flatten (Flatten)               │ (None, 784)            │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense (Dense)                   │ (None, 128)            │       100,480 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dropout (Dropout)               │ (None, 128)            │             0 │
├─────────────────────────────────┼────────────────────────┼───────────────┤
│ dense_1 (Dense)                 │ (None, 10)             │         1,290 │
└─────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 101,770 (397.54 KB)
 Trainable params: 101,770 (397.54 KB)
 Non-trainable params: 0 (0.00 B)";
    assert_eq!(mnist.summary()?, expected);

    let small = Sequential::new([4, 5])
        .add_named("a_name_that_is_longer_than_its_column", Dense::new(3).use_bias(false))
        .add(Activation::Softmax);
    let expected = "\
Model: \"sequential\"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ Layer (type)                                  ┃ Output Shape           ┃       Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ a_name_that_is_longer_than_its_column (Dense) │ (None, 4, 3)           │            15 │
├───────────────────────────────────────────────┼────────────────────────┼───────────────┤
│ activation (Activation)                       │ (None, 4, 3)           │             0 │
└───────────────────────────────────────────────┴────────────────────────┴───────────────┘
 Total params: 15 (60.00 B)
 Trainable params: 15 (60.00 B)
 Non-trainable params: 0 (0.00 B)";
    assert_eq!(small.summary()?, expected);
    Ok(())
}

#[test]
fn an_embedding_learns_and_refuses_other_ids() -> Result<()> {
    // The sum of two words' values; words 5 and 6 are never seen.
    let ids: Vec<u32> = random::uniform(8, 400, 0.0, 5.0).iter().map(|&v| v as u32).collect();
    let values = [0.5f32, -1.0, 2.0, 0.0, 1.5];
    let y: Vec<f32> =
        ids.chunks(2).map(|w| values[w[0] as usize] + values[w[1] as usize]).collect();
    let data = TensorDataset::new(Tensor::u32([200, 2], ids)?, Tensor::f32([200, 1], y)?)?;
    let model = Sequential::new([2]).add(Embedding::new(7, 3)).add(Flatten).add(Dense::new(1));
    let mut trainer = compile(&model, Compile::new(Adam::new(0.05), Loss::MeanSquaredError));
    let before = tensors(&trainer)[0].as_f32()?.to_vec();
    let history = trainer.fit(&data, Fit::new().epochs(30).verbose(Verbose::Silent))?;
    assert!(history.get("loss")[29] < 0.01, "{:?}", history.get("loss"));
    let after = tensors(&trainer)[0].as_f32()?.to_vec();
    assert_eq!(before[15..], after[15..], "words that are never seen");
    assert_ne!(before[..15], after[..15]);

    // Ids in another shape are ids still.
    let reshaped = Sequential::new([2])
        .add(Reshape::new([2, 1]))
        .add(Flatten)
        .add(Embedding::new(7, 3))
        .add(Flatten)
        .add(Dense::new(1));
    for model in [&model, &reshaped] {
        let refused = |x: Tensor| -> Result<String> {
            let data = TensorDataset::new(x, Tensor::f32([2, 1], [0.0; 2])?)?;
            let mut trainer = compile(model, Compile::new(Sgd::default(), Loss::MeanSquaredError));
            Ok(trainer.fit(&data, Fit::new().batch_size(2)).unwrap_err().to_string())
        };
        let past = refused(Tensor::u32([2, 2], [0, 1, 7, 2])?)?;
        assert!(past.contains("element 2 is 7") && past.contains("0..7"), "{past}");
        let floats = refused(Tensor::f32([2, 2], [0.0; 4])?)?;
        assert!(floats.contains("f32") && floats.contains("convert them to u32"), "{floats}");
    }
    let mut trainer = compile(&reshaped, Compile::new(Adam::new(0.05), Loss::MeanSquaredError));
    let history = trainer.fit(&data, Fit::new().epochs(30).verbose(Verbose::Silent))?;
    assert!(history.get("loss")[29] < 0.01, "{:?}", history.get("loss"));
    Ok(())
}
