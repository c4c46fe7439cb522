//! Kernels of convolutions in PyTorch's layout: predictions are those of its formulas, which this file has as they are
//! documented, over channels-first images.

use super::weights::write;
use super::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use wgrad::Result;

const SIZE: [usize; 2] = [5, 4];

/// Numbers from -1 to 1 that differ from place to place.
fn draw(seed: usize, len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + seed * 101) % 199) as f32 / 99.5 - 1.0).collect()
}

/// The file of a module with a kernel of this shape and a bias.
fn file(weight: [usize; 4], filters: usize) -> (Vec<u8>, Vec<f32>, Vec<f32>) {
    let (w, b) = (draw(1, weight.iter().product()), draw(2, filters));
    let view = |shape: &[usize], v: &[f32]| {
        let bytes = bytemuck::cast_slice::<f32, u8>(v).to_vec();
        (shape.to_vec(), bytes)
    };
    let tensors = [("conv.weight", view(&weight, &w)), ("conv.bias", view(&[filters], &b))];
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    (serialize(views, None).unwrap(), w, b)
}

/// A layer on channels-last images, with the weights of the file, and `images` as channels first.
fn predict(layer: &LayerHandle, channels: usize, bytes: &[u8]) -> Result<(Tensor, Vec<f32>)> {
    let folder = Folder::new("convolutions");
    let path = write(&folder, "torch.safetensors", bytes);
    let model = Sequential::new([SIZE[0], SIZE[1], channels]).add(layer);
    let compile = Compile::new(Sgd::default(), Loss::MeanSquaredError);
    let mut trainer = model.compile(device(), compile)?;
    let map = WeightMap::torch(["conv"]);
    trainer.load_weights_as(&path, &map)?;
    // What is written again is the same file.
    trainer.save_weights_as(folder.file("again.safetensors"), &map)?;
    let read = |bytes: &[u8]| {
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let mut all: Vec<_> = file.tensors().into_iter().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let owned = |(name, view): (String, TensorView<'_>)| {
            (name, view.shape().to_vec(), view.data().to_vec())
        };
        all.into_iter().map(owned).collect::<Vec<_>>()
    };
    assert_eq!(read(&std::fs::read(folder.file("again.safetensors")).unwrap()), read(bytes));
    let [height, width] = SIZE;
    let first = draw(3, 2 * channels * height * width);
    let at = |i: usize| {
        let (n, pixel, c) = (i / channels / height / width, i / channels, i % channels);
        (n * channels + c) * height * width + pixel % (height * width)
    };
    let last: Vec<f32> = (0..first.len()).map(|i| first[at(i)]).collect();
    let y = trainer.predict(&Tensor::f32([2, height, width, channels], last)?)?;
    Ok((y, first))
}

/// `torch.nn.Conv2d`: `out[n, o, i, j] = bias[o] + Σ w[o, c, k, l] · x[n, group's c, i·s + k - p, j·s + l - p]`.
fn conv2d(
    x: &[f32],
    [channels, filters, groups]: [usize; 3],
    (w, taps): (&[f32], usize),
    b: &[f32],
    [stride, padding]: [usize; 2],
) -> (Vec<usize>, Vec<f64>) {
    let [height, width] = SIZE;
    let out = SIZE.map(|n| (n + 2 * padding - taps) / stride + 1);
    let seen = channels / groups;
    let mut y = Vec::new();
    for n in 0..2 {
        for o in 0..filters {
            for (i, j) in (0..out[0]).flat_map(|i| (0..out[1]).map(move |j| (i, j))) {
                let mut sum = f64::from(b[o]);
                for (c, k, l) in triples([seen, taps, taps]) {
                    let (r, s) = (i * stride + k, j * stride + l);
                    let inside = (padding..height + padding).contains(&r)
                        && (padding..width + padding).contains(&s);
                    if inside {
                        let channel = o / (filters / groups) * seen + c;
                        let pixel = (r - padding) * width + s - padding;
                        let x = x[(n * channels + channel) * height * width + pixel];
                        sum += f64::from(w[((o * seen + c) * taps + k) * taps + l]) * f64::from(x);
                    }
                }
                y.push(sum);
            }
        }
    }
    (vec![2, filters, out[0], out[1]], y)
}

/// `torch.nn.ConvTranspose2d`: each element of x puts `w[c, o, ..]` times itself into y, `stride` apart.
fn conv_transpose2d(
    x: &[f32],
    [channels, filters]: [usize; 2],
    (w, taps): (&[f32], usize),
    b: &[f32],
    [stride, padding, more]: [usize; 3],
) -> (Vec<usize>, Vec<f64>) {
    let [height, width] = SIZE;
    let out = SIZE.map(|n| (n - 1) * stride + taps + more - 2 * padding);
    let plane = out[0] * out[1];
    let mut y: Vec<f64> = (0..2 * filters * plane).map(|i| b[i / plane % filters].into()).collect();
    for (n, c, pixel) in triples([2, channels, height * width]) {
        for (o, k, l) in triples([filters, taps, taps]) {
            let (r, s) = (pixel / width * stride + k, pixel % width * stride + l);
            let inside = (padding..out[0] + padding).contains(&r)
                && (padding..out[1] + padding).contains(&s);
            if inside {
                let at = (n * filters + o) * plane + (r - padding) * out[1] + s - padding;
                let x = x[(n * channels + c) * height * width + pixel];
                y[at] += f64::from(w[((c * filters + o) * taps + k) * taps + l]) * f64::from(x);
            }
        }
    }
    (vec![2, filters, out[0], out[1]], y)
}

fn triples([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a * b * c).map(move |i| (i / (b * c), i / c % b, i % c))
}

/// Compares channels-last predictions with channels-first numbers.
#[track_caller]
fn same(what: &str, y: &Tensor, (dims, want): &(Vec<usize>, Vec<f64>)) {
    let (filters, plane) = (dims[1], dims[2] * dims[3]);
    assert_eq!(y.shape().dims(), [2, dims[2], dims[3], filters], "{what}");
    for (i, got) in y.as_f32().unwrap().iter().enumerate() {
        let (n, pixel, o) = (i / filters / plane, i / filters % plane, i % filters);
        let want = want[(n * filters + o) * plane + pixel];
        // Up to forty products below 1, each rounded to 6e-8.
        assert!((f64::from(*got) - want).abs() < 1e-5, "{what}: {i}: {got}, {want}");
    }
}

fn both(by: usize) -> Padding {
    Padding::Explicit(vec![[by, by]; 2])
}

#[test]
fn plain_and_grouped_kernels() -> Result<()> {
    for (channels, filters, groups, stride) in [(3, 5, 1, 1), (4, 6, 2, 2)] {
        let (bytes, w, b) = file([filters, channels / groups, 3, 3], filters);
        let layer = Conv2D::new(filters, 3).groups(groups).strides(stride).padding(both(1));
        let (y, x) = predict(&layer.into(), channels, &bytes)?;
        let want = conv2d(&x, [channels, filters, groups], (&w, 3), &b, [stride, 1]);
        same("conv", &y, &want);
    }
    Ok(())
}

#[test]
fn depthwise_kernels() -> Result<()> {
    let (bytes, w, b) = file([6, 1, 3, 3], 6);
    let layer = DepthwiseConv2D::new(3).depth_multiplier(2).padding(both(1));
    let (y, x) = predict(&layer.into(), 3, &bytes)?;
    same("depthwise", &y, &conv2d(&x, [3, 6, 3], (&w, 3), &b, [1, 1]));
    Ok(())
}

#[test]
fn transposed_kernels() -> Result<()> {
    let (bytes, w, b) = file([3, 5, 3, 3], 5);
    let layer = Conv2DTranspose::new(5, 3).strides(2).padding(both(1)).output_padding(1);
    let (y, x) = predict(&layer.into(), 3, &bytes)?;
    same("transposed", &y, &conv_transpose2d(&x, [3, 5], (&w, 3), &b, [2, 1, 1]));
    Ok(())
}

/// A kernel in another module's layout is refused with both shapes.
#[test]
fn a_kernel_of_another_layout_is_refused() {
    let (bytes, ..) = file([6, 1, 3, 3], 6);
    let layer = Conv2D::new(6, 3);
    let error = predict(&layer.into(), 3, &bytes).unwrap_err().to_string();
    assert!(error.contains("[6, 1, 3, 3]") && error.contains("[6, 3, 3, 3]"), "{error}");
    let depthwise = DepthwiseConv2D::new(3).named("depthwise");
    let (bytes, ..) = file([3, 6, 3, 3], 3);
    let error = predict(&depthwise, 3, &bytes).unwrap_err().to_string();
    assert!(error.contains("[3, 1, 3, 3]") && error.contains("[3, 6, 3, 3]"), "{error}");
}
