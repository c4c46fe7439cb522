//! A `Linear` of PyTorch after a `Flatten`, recorded from PyTorch, under channels-last images; and rules of PyTorch that
//! differ from Keras'.

use super::*;
use safetensors::SafeTensors;
use wgrad::Result;
use wgrad::data::TensorDataset;

/// Sums of some dozens of products near 1.
const ROUNDING: f32 = 2e-6;

const RECORDED: &[u8] = include_bytes!("../known/torch_flatten.safetensors");

fn recorded(name: &str) -> Tensor {
    tensor(RECORDED, name)
}

/// A tensor of a file.
pub fn tensor(file: &[u8], name: &str) -> Tensor {
    let file = SafeTensors::deserialize(file).unwrap();
    let view = file.tensor(name).unwrap();
    let floats = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    Tensor::f32(view.shape().to_vec(), floats.collect::<Vec<_>>()).unwrap()
}

/// `[n, channels, extents..]` as `[n, extents.., channels]`.
pub fn channels_last(x: &Tensor) -> Tensor {
    let (dims, values) = (x.shape().dims(), x.as_f32().unwrap());
    let (n, channels) = (dims[0], dims[1]);
    let pixels: usize = dims[2..].iter().product();
    let mut turned = Vec::new();
    for s in 0..n {
        for p in 0..pixels {
            turned.extend((0..channels).map(|c| values[(s * channels + c) * pixels + p]));
        }
    }
    let shape = [&[n], &dims[2..], &[channels]].concat();
    Tensor::f32(shape, turned).unwrap()
}

/// Whether tensors differ by at most this share, and of numbers below 1 by this much.
pub fn close(got: &Tensor, want: &Tensor, share: f32) -> bool {
    assert_eq!(got.shape(), want.shape());
    let pairs = got.as_f32().unwrap().iter().zip(want.as_f32().unwrap());
    pairs.into_iter().all(|(a, b)| (a - b).abs() <= share * (1.0 + b.abs()))
}

fn compiled(model: Sequential) -> Trainer {
    model.compile(device(), Compile::new(Sgd::new(0.05), Loss::MeanSquaredError)).unwrap()
}

fn network() -> Trainer {
    let model = Sequential::new([6, 5, 2])
        .add(Conv2D::new(5, 3).activation(Activation::Relu))
        .add(Flatten)
        .add(Dropout::new(0.5))
        .add(Dense::new(7).activation(Activation::Tanh))
        .add(Dense::new(3));
    compiled(model)
}

#[test]
fn a_linear_after_a_flatten_of_images_has_its_rows_in_order() -> Result<()> {
    let mut trainer = network();
    let map = WeightMap::torch(["0", "3", "5"]).skip_surplus();
    trainer.load_weights_from_bytes(RECORDED, &map)?;
    let (x, y) = (channels_last(&recorded("x")), recorded("y"));
    assert!(close(&trainer.predict(&x)?, &y, ROUNDING));
    // It is written as it was read.
    let written = trainer.weights_to_bytes(&map)?;
    let file = SafeTensors::deserialize(&written).unwrap();
    let bits = |v: &[u8]| v.to_vec();
    for name in ["3.weight", "5.weight"] {
        let again = SafeTensors::deserialize(RECORDED).unwrap();
        assert_eq!(
            bits(file.tensor(name).unwrap().data()),
            bits(again.tensor(name).unwrap().data())
        );
    }
    // The order matters: rows as they are in the file give other numbers.
    let as_it_is = map.flattened("dense/kernel", [60]);
    trainer.load_weights_from_bytes(RECORDED, &as_it_is)?;
    assert!(!close(&trainer.predict(&x)?, &y, ROUNDING));
    Ok(())
}

#[test]
fn a_sequence_says_its_order() -> Result<()> {
    let model = || Sequential::new([7, 2]).add(Conv1D::new(3, 2)).add(Flatten).add(Dense::new(4));
    let (x, y) = (channels_last(&recorded("steps.x")), recorded("steps.y"));
    let map = WeightMap::torch(["0", "2"]).prefix("steps.").skip_surplus();
    let mut trainer = compiled(model());
    trainer.load_weights_from_bytes(RECORDED, &map.clone().flattened("dense/kernel", [6, 3]))?;
    assert!(close(&trainer.predict(&x)?, &y, ROUNDING));
    trainer.load_weights_from_bytes(RECORDED, &map)?;
    assert!(!close(&trainer.predict(&x)?, &y, ROUNDING));
    for (weight, sample, words) in [
        ("dense/kernel", vec![6, 4], "[6, 4]"),
        ("dense/bias", vec![2, 2], "no matrix"),
        ("head/kernel", vec![6, 3], "no such weight"),
    ] {
        let map = map.clone().flattened(weight, sample);
        let error = trainer.load_weights_from_bytes(RECORDED, &map).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    Ok(())
}

#[test]
fn rules_of_torch_that_differ_from_those_of_keras() -> Result<()> {
    let x = channels_last(&recorded("rules.x"));
    // The padding counts.
    let around = Padding::Explicit(vec![[1, 1], [1, 1]]);
    let pool = AveragePooling2D::new(3).strides(2).padding(around).count_include_pad(true);
    let mut trainer = compiled(Sequential::new([5, 6, 3]).add(pool));
    assert!(close(&trainer.predict(&x)?, &channels_last(&recorded("rules.pool")), ROUNDING));

    // `output_padding` adds to what `padding` leaves of the result.
    let around = Padding::Explicit(vec![[1, 1], [1, 1]]);
    let up = Conv2DTranspose::new(3, 3).strides(2).padding(around).output_padding(1);
    let mut trainer = compiled(Sequential::new([4, 5, 2]).add(up));
    let map = WeightMap::torch(["0"]).prefix("up.").skip_surplus();
    trainer.load_weights_from_bytes(RECORDED, &map)?;
    let y = trainer.predict(&channels_last(&recorded("up.x")))?;
    assert!(close(&y, &channels_last(&recorded("up.y")), ROUNDING));

    // Momentum, epsilon, and the variance that is kept.
    let mut trainer = compiled(Sequential::new([5, 6, 3]).add(BatchNormalization::torch()));
    let zeros = Tensor::f32([3], [0.0; 3])?;
    let ones = Tensor::f32([3], [1.0; 3])?;
    trainer.set_weights(&[recorded("rules.gamma"), recorded("rules.beta"), zeros, ones])?;
    let samples = TensorDataset::new(x, channels_last(&recorded("rules.target")))?;
    let fit = Fit::new().epochs(20).full_batch().shuffle(false).verbose(Verbose::Silent);
    let history = trainer.fit(&samples, fit)?;
    let losses: Vec<f32> = history.get("loss").iter().map(|&v| v as f32).collect();
    let want = recorded("rules.losses");
    assert!(want.as_f32()?[19] < 0.9 * want.as_f32()?[0]);
    assert!(close(&Tensor::f32([20], losses)?, &want, ROUNDING));
    let weights = trainer.weights()?;
    assert!(close(&weights[2].1, &recorded("rules.running_mean"), ROUNDING));
    assert!(close(&weights[3].1, &recorded("rules.running_var"), ROUNDING));
    Ok(())
}
