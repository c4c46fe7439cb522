//! PyTorch's layers for images, recorded while they train: options that Keras refuses or does not have. Losses and weights of
//! 20 steps are the same, so gradients of the images and of the weights are too.

use super::flatten::{channels_last, close};
use super::*;
use safetensors::SafeTensors;
use wgrad::Result;
use wgrad::data::TensorDataset;

const RECORDED: &[u8] = include_bytes!("../known/torch_images.safetensors");

fn recorded(name: &str) -> Tensor {
    super::flatten::tensor(RECORDED, name)
}

/// Trains a convolution of one tap and `layer` for 20 steps from the recorded weights.
fn trains(name: &str, first: LayerHandle, layer: LayerHandle) -> Result<()> {
    let x = channels_last(&recorded(&format!("{name}.x")));
    let target = channels_last(&recorded(&format!("{name}.target")));
    let model = Sequential::new(&x.shape().dims()[1..]).add(first).add(layer);
    let mut trainer =
        model.compile(device(), Compile::new(Sgd::new(0.2), Loss::MeanSquaredError))?;
    let map = |when: &str| WeightMap::torch(["0", "1"]).prefix(&format!("{name}.{when}."));
    trainer.load_weights_from_bytes(RECORDED, &map("first").skip_surplus())?;
    let fit = Fit::new().epochs(20).full_batch().shuffle(false).verbose(Verbose::Silent);
    let history = trainer.fit(&TensorDataset::new(x, target)?, fit)?;
    let losses: Vec<f32> = history.get("loss").iter().map(|&v| v as f32).collect();
    let want = recorded(&format!("{name}.losses"));
    assert!(want.as_f32()?[19] < 0.9 * want.as_f32()?[0], "{name}");
    assert!(close(&Tensor::f32([20], losses)?, &want, 1e-5), "{name}: the losses differ");
    let written = trainer.weights_to_bytes(&map("last"))?;
    let file = SafeTensors::deserialize(&written).unwrap();
    assert_eq!(file.len(), 4, "{name}");
    for key in file.names() {
        let (got, want) = (super::flatten::tensor(&written, key), recorded(key));
        assert!(close(&got, &want, 1e-5), "{key} differs");
        // The control: it has moved. A normalization takes off the bias before it.
        let before = recorded(&key.replace(".last.", ".first."));
        assert!(key == "instance.last.0.bias" || !close(&got, &before, 1e-3), "{key} stays");
    }
    Ok(())
}

fn around<const N: usize>(sides: [usize; N]) -> Padding {
    Padding::Explicit(sides.map(|n| [n, n]).to_vec())
}

#[test]
fn convolutions_train_as_in_torch() -> Result<()> {
    let grouped = Conv2D::new(6, 3).strides(2).padding(around([1, 1])).groups(2);
    trains("groups", Conv2D::new(4, 1).into(), grouped.into())?;
    let dilated = Conv2D::new(4, 3).strides(2).dilation_rate(3).padding(around([3, 3]));
    trains("dilated", Conv2D::new(2, 1).into(), dilated.into())?;
    let volume = Conv3D::new(3, 2).strides((1, 2, 1)).dilation_rate((1, 1, 2));
    trains("volume", Conv3D::new(2, 1).into(), volume.padding(around([0, 1, 1])).into())
}

#[test]
fn transposed_convolutions_train_as_in_torch() -> Result<()> {
    let up = Conv1DTranspose::new(2, 4).strides(2).padding(around([1])).output_padding(1);
    trains("up1", Conv1D::new(3, 1).into(), up.into())?;
    let up = Conv2DTranspose::new(3, 3).strides((2, 3)).output_padding((1, 2));
    trains("up2", Conv2D::new(2, 1).into(), up.padding(around([1, 0])).into())?;
    let up = Conv3DTranspose::new(2, 3).strides((2, 1, 2)).output_padding((1, 0, 1));
    trains("up3", Conv3D::new(2, 1).into(), up.padding(around([1; 3])).into())
}

#[test]
fn instance_normalization_trains_as_in_torch() -> Result<()> {
    let norm = GroupNormalization::instance().epsilon(1e-5);
    trains("instance", Conv2D::new(3, 1).into(), norm.into())
}

/// Keras does not divide in evaluation.
#[test]
fn spectral_normalization_divides_in_evaluation_as_in_torch() -> Result<()> {
    let model = Sequential::new([5, 6, 3]).add(SpectralNormalization::new(Conv2D::new(4, 3)));
    let compile = Compile::new(Sgd::new(0.1), Loss::MeanSquaredError);
    let mut trainer = model.compile(device(), compile)?;
    // [filters, channels, taps..] as [taps.., channels, filters].
    let weight = recorded("spectral.0.weight");
    let at = |i: usize| (i % 4 * 3 + i / 4 % 3) * 9 + i / 12;
    let kernel: Vec<f32> = (0..108).map(|i| weight.as_f32().unwrap()[at(i)]).collect();
    let given =
        [Tensor::f32([3, 3, 3, 4], kernel)?, recorded("spectral.0.bias"), recorded("spectral.u")];
    let of_shape = |(name, own): (String, Tensor)| {
        let found = given.iter().find(|t| t.shape() == own.shape());
        found.cloned().unwrap_or_else(|| panic!("{name} {}", own.shape()))
    };
    let weights: Vec<Tensor> = trainer.weights()?.into_iter().map(of_shape).collect();
    assert_eq!(weights.len(), 3);
    trainer.set_weights(&weights)?;
    let y = trainer.predict(&channels_last(&recorded("spectral.x")))?;
    assert!(close(&y, &channels_last(&recorded("spectral.y")), 1e-5));
    Ok(())
}
