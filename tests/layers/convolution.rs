//! Convolutions against values, gradients and training recorded from Keras 3 (`tests/known/README.md` says how), the fans
//! of their kernels, and what is refused.

use super::known::{floats, list};
use super::*;
use anyhow::{Context as _, ensure};
use recording::{agree, data, number, text};
use reference::convolution::{Axis, Sizes, convolution};
use reference::linalg::matmul;
use serde_json::{Value as Json, json};
use wgrad::layers::{Extents, ModelLoader};

fn recorded() -> anyhow::Result<Json> {
    Ok(serde_json::from_str(include_str!("../known/convolutions.json"))?)
}

/// A model of one layer, from Keras' own config of it.
fn model_of(layer: &Json, sample: &[usize]) -> Result<Model> {
    let batch: Vec<Json> =
        [Json::Null].into_iter().chain(sample.iter().map(|&d| d.into())).collect();
    let file = json!({ "class_name": "Sequential", "config": { "name": "sequential", "layers": [
        { "class_name": "InputLayer", "config": { "batch_shape": batch, "dtype": "float32", "name": "x" } },
        layer,
    ] } });
    ModelLoader::new().from_json(&file.to_string())
}

#[test]
fn values_and_gradients_are_those_of_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    let entries = list(&all, "layers")?;
    ensure!(entries.len() == 25, "{} layers are recorded", entries.len());
    let mut kinds = std::collections::BTreeSet::new();
    for entry in entries {
        let kind = entry["layer"]["class_name"].as_str().context("a class")?;
        let name = format!("{kind}, {}", text(entry, "name")?);
        let x = floats(&list(entry, "inputs")?[0])?;
        let w = list(entry, "weights")?.iter().map(floats).collect::<anyhow::Result<Vec<_>>>()?;
        let dy = floats(&entry["upstream"])?;
        let model = model_of(&entry["layer"], &x.shape().dims()[1..])?;
        ensure!(model.layers()[0].layer.kind() == kind, "{name}: its kind");
        kinds.insert(kind.to_owned());
        // What it says of itself is read again as the same layer.
        let again = Model::from_json(&model.to_json()?)?;
        ensure!(
            format!("{:?}", again.layers()) == format!("{:?}", model.layers()),
            "{name}: its config"
        );
        let shapes: Vec<Shape> = model.weights().map(|(_, spec)| spec.shape).collect();
        ensure!(shapes.iter().eq(w.iter().map(Tensor::shape)), "{name}: weights {shapes:?}");
        let got = differentiate(&[&x], &refs(&w), [0; 2], Some(&dy), |g, x, w| {
            Ok(model.run(g, x, &[], w, None)?.values)
        })?;
        ensure!(got.outputs[0].shape() == dy.shape(), "{name}: {}", got.outputs[0].shape());
        let grads = [list(entry, "input_grads")?.clone(), list(entry, "weight_grads")?.clone()];
        let want = [vec![entry["y"].clone()], grads.concat()].concat();
        let found: Vec<&[f32]> = (std::iter::once(got.y()))
            .chain(got.inputs.iter().map(Vec::as_slice))
            .chain(got.weights.iter().map(Vec::as_slice))
            .collect();
        ensure!(want.len() == found.len(), "{name}: {} tensors are recorded", want.len());
        for (i, (got, want)) in found.iter().zip(&want).enumerate() {
            // Sums of up to some hundred products of numbers near 1, each rounded to 6e-8.
            agree(&format!("{name}, {i}"), got, &widen(&data(want)?), 5e-6, 1e-5);
            ensure!(got.iter().any(|v| v.abs() > 1e-3), "{name}, {i}: all zero");
        }
    }
    ensure!(kinds.len() == 10, "{kinds:?}");
    Ok(())
}

#[test]
fn twenty_steps_of_training_are_those_of_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    let run = &all["training"];
    let model = ModelLoader::new().from_json(&run["model"].to_string())?;
    let rate = number(run, "learning_rate")? as f32;
    let compile = Compile::new(Sgd::new(rate), Loss::MeanSquaredError);
    let mut trainer = model.compile(support::device(), compile)?;
    let w = list(run, "weights")?.iter().map(floats).collect::<anyhow::Result<Vec<_>>>()?;
    trainer.set_weights(&w)?;
    let samples = TensorDataset::new(floats(&run["x"])?, floats(&run["y"])?)?;
    let fit = Fit::new().epochs(20).full_batch().shuffle(false).verbose(Verbose::Silent);
    let losses = trainer.fit(&samples, fit)?;
    let got: Vec<f32> = losses.get("loss").iter().map(|&v| v as f32).collect();
    let want: Vec<f64> = list(run, "losses")?
        .iter()
        .map(|v| v.as_f64().context("a loss"))
        .collect::<anyhow::Result<_>>()?;
    ensure!(want.len() == 20 && want[19] < 0.8 * want[0], "{want:?}");
    agree("losses", &got, &want, 1e-4, 0.0);
    Ok(())
}

/// Fans are taps · channels in of a group, and taps · filters; of a transposed kernel, whose last axes are exchanged, the
/// other way round, as in Keras.
#[test]
fn fans_are_those_of_keras() -> Result<()> {
    let fans = |layer: LayerHandle, sample: &[usize]| -> Result<Vec<[usize; 2]>> {
        let model = Sequential::new(sample.to_vec()).add(layer).build()?;
        Ok(model.weights().map(|(_, w)| [w.fan_in, w.fan_out]).collect())
    };
    let image = [9, 9, 6];
    assert_eq!(fans(Conv2D::new(8, (3, 5)).into(), &image)?, [[90, 120], [8, 8]]);
    assert_eq!(fans(Conv2D::new(8, 3).groups(2).use_bias(false).into(), &image)?, [[27, 72]]);
    assert_eq!(fans(Conv2DTranspose::new(4, 3).into(), &image)?[0], [36, 54]);
    assert_eq!(fans(DepthwiseConv2D::new(3).depth_multiplier(2).into(), &image)?[0], [54, 18]);
    let separable = fans(SeparableConv2D::new(4, 3).depth_multiplier(2).into(), &image)?;
    assert_eq!(separable, [[54, 18], [12, 4], [4, 4]]);
    Ok(())
}

/// As in PyTorch: Keras refuses both for `Conv2D`.
#[test]
fn strides_beside_dilation_agree_with_the_oracle() -> Result<()> {
    // Windows of 3 taps over 9 and 8 elements, with as many zeros around as `Same` has.
    let axis = |stride, dilation, [before, after]: [usize; 2], extent| Axis {
        taps: 3,
        stride,
        dilation,
        before,
        after,
        extent,
    };
    let axes = [axis(2, 3, [3, 3], 9), axis(3, 2, [1, 2], 8)];
    let x = numbers(&[2, 9, 8, 4], 1);
    let sizes = |filters, groups| Sizes { samples: 2, channels: 4, filters, groups };
    let conv = |groups| {
        let conv = Conv2D::new(6, 3).groups(groups).use_bias(false);
        conv.strides((2, 3)).dilation_rate((3, 2)).padding(Padding::Same)
    };
    for groups in [1, 2] {
        let w = numbers(&[3, 3, 4 / groups, 6], 2);
        let step = layer_step(&conv(groups), &[&x], &[&w], None)?;
        assert_eq!(step.outputs[0].shape().dims(), [2, 5, 3, 6]);
        let f = |at: &[Vec<f64>]| convolution(&at[0], &at[1], sizes(6, groups), &axes);
        check_gradients(&format!("{groups} groups"), &step, &[&x, &w], f);
    }
    // A filter or two for each channel are as many groups; their kernel has the channel before the filter.
    let depthwise = |x: &[f64], kernel: &[f64]| {
        convolution(x, kernel, Sizes { groups: 4, ..sizes(8, 4) }, &axes)
    };
    let layer = DepthwiseConv2D::new(3).depth_multiplier(2).use_bias(false).padding(Padding::Same);
    let layer = layer.strides((2, 3)).dilation_rate((3, 2));
    let w = numbers(&[3, 3, 4, 2], 3);
    let step = layer_step(&layer, &[&x], &[&w], None)?;
    check_gradients("depthwise", &step, &[&x, &w], |at| depthwise(&at[0], &at[1]));
    let layer = SeparableConv2D::new(5, 3).depth_multiplier(2).use_bias(false);
    let layer = layer.strides((2, 3)).dilation_rate((3, 2)).padding(Padding::Same);
    let point = numbers(&[1, 1, 8, 5], 4);
    let step = layer_step(&layer, &[&x], &[&w, &point], None)?;
    check_gradients("separable", &step, &[&x, &w, &point], |at| {
        matmul(&depthwise(&at[0], &at[1]), &at[2], 1, 2 * 5 * 3, 5, 8, false, false)
    });
    Ok(())
}

/// Keras has it for `Conv1D` alone.
#[test]
fn causal_padding_agrees_with_the_oracle() -> Result<()> {
    let axes = [Axis { taps: 3, stride: 2, dilation: 3, before: 6, after: 0, extent: 11 }];
    let x = numbers(&[2, 11, 3], 1);
    let w = numbers(&[3, 3, 2], 2);
    let each = Sizes { samples: 2, channels: 3, filters: 6, groups: 3 };
    let depthwise = |x: &[f64], kernel: &[f64]| convolution(x, kernel, each, &axes);
    let layer = DepthwiseConv1D::new(3).depth_multiplier(2).use_bias(false);
    let layer = layer.strides(2).dilation_rate(3).padding(Padding::Causal);
    let step = layer_step(&layer, &[&x], &[&w], None)?;
    assert_eq!(step.outputs[0].shape().dims(), [2, 6, 6]);
    check_gradients("depthwise", &step, &[&x, &w], |at| depthwise(&at[0], &at[1]));
    let layer = SeparableConv1D::new(4, 3).depth_multiplier(2).use_bias(false);
    let layer = layer.strides(2).dilation_rate(3).padding(Padding::Causal);
    let point = numbers(&[1, 6, 4], 3);
    let step = layer_step(&layer, &[&x], &[&w, &point], None)?;
    check_gradients("separable", &step, &[&x, &w, &point], |at| {
        matmul(&depthwise(&at[0], &at[1]), &at[2], 1, 2 * 6, 4, 6, false, false)
    });
    Ok(())
}

#[test]
fn explicit_padding_is_that_of_torch() -> Result<()> {
    let shape = |layer: LayerHandle| -> Result<Vec<usize>> {
        let model = Sequential::new([7, 8, 3]).add(layer).build()?;
        Ok(model.output_shapes()[0].dims().to_vec())
    };
    let padding = || Padding::Explicit(vec![[1, 1], [2, 2]]);
    assert_eq!(shape(Conv2D::new(4, 3).strides(2).padding(padding()).into())?, [4, 5, 4]);
    // (n - 1) · stride - 2 · padding + kernel + output_padding.
    let transposed = Conv2DTranspose::new(4, 3).strides(2).padding(padding()).output_padding(1);
    assert_eq!(shape(transposed.into())?, [14, 14, 4]);
    let text = Sequential::new([7, 8, 3]).add(Conv2D::new(4, 3).padding(padding())).build()?;
    let again = Model::from_json(&text.to_json()?)?;
    assert_eq!(format!("{:?}", again.layers()), format!("{:?}", text.layers()));
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_with_the_layer_and_its_sizes() {
    let image = [5, 6, 4];
    let refused = |layer: LayerHandle, words: &[&str]| {
        let error = Sequential::new(image).add(layer).build().unwrap_err();
        says(&error, words);
    };
    let conv = |size| Conv2D::new(4, size);
    refused(
        conv(7).into(),
        &["layer `conv2d`", "covers 7 elements", "which has 5", "padding Same"],
    );
    refused(conv(3).dilation_rate(3).into(), &["`conv2d`", "covers 7", "dilation 3"]);
    refused(conv(0).into(), &["`conv2d`", "kernel_size", "1 or more"]);
    refused(conv(3).strides((1, 0)).into(), &["`conv2d`", "strides", "[1, 0]"]);
    refused(conv(3).dilation_rate(0).into(), &["`conv2d`", "dilation_rate"]);
    refused(conv(3).groups(3).into(), &["`conv2d`", "groups = 3", "4 channels", "divisor"]);
    refused(Conv2D::new(6, 3).groups(4).into(), &["groups = 4", "6 filters"]);
    refused(conv(3).groups(0).into(), &["groups = 0"]);
    refused(Conv2D::new(0, 3).into(), &["filters = 0"]);
    refused(conv(3).padding(Padding::Causal).into(), &["`conv2d`", "causal", "has 2"]);
    refused(Conv1D::new(4, 3).into(), &["`conv1d`", "[batch, steps, channels]"]);
    refused(Conv3D::new(4, 3).into(), &["`conv3d`", "depth, height, width, channels"]);
    refused(DepthwiseConv2D::new(3).depth_multiplier(0).into(), &["depth_multiplier = 0"]);
    refused(DepthwiseConv2D::new(6).into(), &["`depthwise_conv2d`", "covers 6"]);
    refused(SeparableConv2D::new(0, 3).into(), &["`separable_conv2d`", "filters = 0"]);
    let transposed = || Conv2DTranspose::new(4, 3);
    refused(
        transposed().strides(2).output_padding(2).into(),
        &["`conv2d_transpose`", "output_padding = 2", "below the stride 2"],
    );
    refused(
        transposed().strides(2).dilation_rate((1, 2)).into(),
        &["`conv2d_transpose`", "dilation_rate = [1, 2]", "strides [2, 2]", "as in Keras"],
    );
    refused(transposed().strides(0).into(), &["strides", "1 or more"]);
    refused(transposed().padding(Padding::Causal).into(), &["causal", "transposed"]);
    let wide = Padding::Explicit(vec![[9, 9], [0, 0]]);
    refused(transposed().padding(wide).into(), &["gives no output", "axis 1", "less padding"]);
    assert_eq!(Extents::<2>::from(3), Extents([3, 3]));
}

#[test]
fn channels_first_is_refused_with_the_remedy() {
    let layer = |kind: &str, more: Json| {
        let mut config = json!({ "name": "c", "filters": 2, "kernel_size": [3, 3], "data_format": "channels_first" });
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        json!({ "class_name": kind, "config": config })
    };
    for kind in ["Conv2D", "Conv2DTranspose", "SeparableConv2D"] {
        let error = model_of(&layer(kind, json!({})), &[5, 5, 2]).unwrap_err();
        says(&error, &["c.data_format", "channels_first", "[batch, height, width, channels]"]);
    }
    let last = json!({ "data_format": "channels_last", "kernel_size": 3 });
    assert!(model_of(&layer("Conv2D", last), &[5, 5, 2]).is_ok());
    let more = json!({ "data_format": null, "kernel_size": [3, 3, 3] });
    says(
        &model_of(&layer("Conv2D", more), &[5, 5, 2]).unwrap_err(),
        &["c.kernel_size", "one or 2"],
    );
}

/// The channels of a batch differ from those that the weights were made for.
#[test]
fn other_channels_are_refused() -> Result<()> {
    let model = Sequential::new([5, 5, 2]).add(Conv2D::new(3, 3)).build()?;
    let compile = Compile::new(Sgd::new(0.1), Loss::MeanSquaredError);
    let mut trainer = model.compile(support::device(), compile)?;
    let error = trainer.predict(&numbers(&[1, 5, 5, 3], 1)).unwrap_err();
    let sizes = ["[5, 5, 2]", "[1, 5, 5, 3]", "built for 2 channels", "each sample has 3"];
    says(&error, &sizes);
    says(&error, &["Layer `conv2d`", "convert the data, or build the model on [5, 5, 3]"]);
    // The control: if more than the channels differs, it is not their fault.
    let error = trainer.predict(&numbers(&[1, 6, 5, 3], 1)).unwrap_err().to_string();
    assert!(!error.contains("channels"), "{error}");
    Ok(())
}

/// A mask says which steps count, and windows are other steps: what comes after a convolution sees all of them, though
/// the last steps of the input are masked.
#[test]
fn a_mask_ends_at_a_convolution() -> Result<()> {
    let mut values = uniform(3, 12, -1.0, 1.0);
    values[6..].fill(0.0);
    let x = Tensor::f32([1, 4, 3], values)?;
    let run = |masks: bool, convolves: bool| -> Result<Vec<f32>> {
        let mut model = Sequential::new([4, 3]);
        if masks {
            model = model.add(Masking::new(0.0));
        }
        if convolves {
            model = model.add(Conv1D::new(3, 3).padding(Padding::Same));
        }
        let model = model.add(SimpleRnn::new(2)).build()?;
        let weights = model.weights().zip(0..);
        let weights: Vec<Tensor> = weights.map(|((_, w), i)| numbers(w.shape.dims(), i)).collect();
        Ok(model_step(&model, &[&x], &refs(&weights), None)?.y().to_vec())
    };
    assert_eq!(run(true, true)?, run(false, true)?);
    assert_ne!(run(true, false)?, run(false, false)?);
    Ok(())
}
