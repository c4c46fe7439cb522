//! Batches of bytes: decoded by the kernels that read them, with the same bits as if the gather decodes them.

use super::*;
use wgrad::Result;
use wgrad::graph::TensorType;
use wgrad::kernels::{DeviceCaps, MatmulFamily};
use wgrad::passes::Passes;
use wgrad::plan::{BufferClass, Plan};
use wgrad::train::Batch;

/// The gather decodes.
const DECODED: Passes = Passes { bytes: false, ..Passes::all() };

fn images(n: usize, sample: &[usize]) -> TensorDataset {
    let len: usize = sample.iter().product();
    let pixels: Vec<u8> = (0..n * len).map(|i| (i * 37 % 251 + i / 97 % 5) as u8).collect();
    let x = Tensor::u8([&[n], sample].concat(), pixels).unwrap();
    let labels: Vec<u32> = (0..n).map(|i| (i * 7 % 3) as u32).collect();
    let data = TensorDataset::new(x, Tensor::u32([n], labels).unwrap()).unwrap();
    data.scaled(1.0 / 255.0).unwrap()
}

fn conv(filters: usize, size: usize) -> Conv2D {
    Conv2D::new(filters, size).activation(Activation::Relu)
}

fn ends(model: Sequential) -> Sequential {
    model.add(Flatten).add(Dense::new(3))
}

/// Grey images as `resnet` makes colours of them: a margin of zeros, and three channels that are the same.
fn in_colour(sample: &[usize]) -> Model {
    let pixels = input(sample.to_vec());
    let reshape = Reshape::new([-1, sample[1] as isize, 1]);
    let grey = pixels.then(reshape).then(ZeroPadding2D::new(2));
    let colour = merge(Concatenate::new(-1), [&grey, &grey, &grey]);
    Model::new([&pixels], [&colour]).unwrap()
}

/// Models whose first layer reads bytes; the sizes of samples are odd, but for the fourth and that of whole words.
fn models() -> Vec<(&'static str, Vec<usize>, Sequential)> {
    let of = |sample: &[usize]| Sequential::new(sample.to_vec());
    let same = conv(6, 3).strides(2).padding(Padding::Same);
    let flip = RandomFlip::new(wgrad::layers::FlipMode::Horizontal);
    vec![
        ("dense", vec![5, 7], ends(of(&[5, 7]))),
        ("one element", vec![1], of(&[1]).add(Dense::new(3))),
        ("convolution", vec![7, 5, 1], ends(of(&[7, 5, 1]).add(conv(4, 3)))),
        ("four channels", vec![5, 6, 4], ends(of(&[5, 6, 4]).add(conv(4, 3)))),
        ("three channels, stride 2", vec![7, 9, 3], ends(of(&[7, 9, 3]).add(same))),
        ("groups", vec![5, 5, 6], ends(of(&[5, 5, 6]).add(conv(4, 3).groups(2)))),
        (
            "rescaled",
            vec![5, 5, 3],
            ends(of(&[5, 5, 3]).add(Rescaling::new(2.0).offset(-1.0)).add(conv(4, 3))),
        ),
        ("a mean of pixels beside", vec![6, 5], ends(of(&[6, 5]).add(Activation::Tanh))),
        ("dense of whole words", vec![8, 8], ends(of(&[8, 8]))),
        ("largest of windows", vec![6, 6, 3], ends(of(&[6, 6, 3]).add(MaxPooling2D::new(2)))),
        ("means of windows", vec![5, 7, 4], ends(of(&[5, 7, 4]).add(AveragePooling2D::new(2)))),
        ("depthwise", vec![5, 7, 3], ends(of(&[5, 7, 3]).add(DepthwiseConv2D::new(3)))),
        ("separable", vec![5, 6, 4], ends(of(&[5, 6, 4]).add(SeparableConv2D::new(5, 3)))),
        ("flipped", vec![6, 6, 3], ends(of(&[6, 6, 3]).add(flip).add(conv(4, 3)))),
        (
            "turned",
            vec![6, 5, 4],
            ends(of(&[6, 5, 4]).add(RandomRotation::new(0.2)).add(conv(4, 3))),
        ),
        (
            "moved",
            vec![6, 5, 3],
            ends(of(&[6, 5, 3]).add(RandomTranslation::new(0.3, 0.2)).add(conv(4, 3))),
        ),
        ("padded", vec![7, 5, 3], ends(of(&[7, 5, 3]).add(ZeroPadding2D::new(2)).add(conv(4, 3)))),
        ("cropped", vec![7, 8, 4], ends(of(&[7, 8, 4]).add(Cropping2D::new(1)).add(conv(4, 3)))),
        (
            "random crops",
            vec![7, 6, 3],
            ends(of(&[7, 6, 3]).add(RandomCrop::new(5, 4)).add(conv(4, 3))),
        ),
        (
            "padded and bent",
            vec![7, 5, 3],
            ends(of(&[7, 5, 3]).add(ZeroPadding2D::new(2)).add(Activation::Tanh)),
        ),
        (
            "whole words, padded and bent",
            vec![6, 4, 4],
            ends(of(&[6, 4, 4]).add(ZeroPadding2D::new(1)).add(Activation::Tanh)),
        ),
        ("zoomed", vec![7, 5, 1], ends(of(&[7, 5, 1]).add(RandomZoom::new(0.3)).add(conv(4, 3)))),
        ("reshaped", vec![7, 5], ends(of(&[7, 5]).add(Reshape::new([7, 5, 1])).add(conv(4, 3)))),
    ]
}

/// A step on batches of 13, and of the rest of 11 after it.
fn train(
    model: &Sequential,
    sample: &[usize],
    passes: Passes,
    caps: &DeviceCaps,
) -> Result<Trainer> {
    let data = images(37, sample);
    let settings = Compile::new(Adam::new(0.01), SPARSE).passes(passes);
    let mut trainer = model.clone().compile(&device().with_caps(caps.clone()), settings)?;
    trainer.fit(&data, Fit::new().epochs(2).batch_size(13).verbose(Verbose::Silent))?;
    Ok(trainer)
}

fn plan(trainer: &Trainer, sample: &[usize], train: bool) -> Result<Plan> {
    let x = TensorType { shape: [&[37], sample].concat().into(), dtype: DType::U8 };
    let y = TensorType { shape: [37].into(), dtype: DType::U32 };
    let batch = Batch { scale: 1.0 / 255.0, ..Batch::new("train", x, y, 13, 3) };
    trainer.plan(&batch, train)
}

#[test]
fn bytes_give_the_same_bits_as_numbers() -> Result<()> {
    let caps = device().caps();
    let families = [MatmulFamily::Tiled, MatmulFamily::Direct, MatmulFamily::Broadcast];
    let able = |f: &MatmulFamily| *f != MatmulFamily::Broadcast || caps.can_broadcast();
    for (name, sample, model) in models() {
        for matmul in families.into_iter().filter(able) {
            let caps = DeviceCaps { matmul, ..caps.clone() };
            let kept = train(&model, &sample, Passes::default(), &caps)?;
            let decoded = train(&model, &sample, DECODED, &caps)?;
            assert_eq!(bits(&kept), bits(&decoded), "{name}, {matmul:?}");
            let data = images(9, &sample);
            let (mut kept, mut decoded) = (kept, decoded);
            assert_eq!(kept.predict(&data)?, decoded.predict(&data)?, "{name}, {matmul:?}");
        }
    }
    Ok(())
}

#[test]
fn a_batch_of_bytes_takes_a_quarter_and_no_launch_more() -> Result<()> {
    for (name, sample, model) in models() {
        let caps = device().caps();
        let [kept, decoded] = [Passes::default(), DECODED].map(|passes| -> Result<_> {
            let trainer = train(&model, &sample, passes, caps)?;
            Ok([plan(&trainer, &sample, true)?, plan(&trainer, &sample, false)?])
        });
        let elements = 13 * sample.iter().product::<usize>() as u64;
        for (kept, decoded) in kept?.iter().zip(&decoded?) {
            assert_eq!(kept.dispatches.len(), decoded.dispatches.len(), "{name}");
            let written = |plan: &Plan| {
                let gather = plan.dispatches.iter().find(|d| d.call.template.path == "data/gather");
                let dispatch = gather.expect("a gather");
                // After the order: each table and its result.
                dispatch.bindings[2].0.bytes
            };
            let padded = |bytes: u64| bytes.next_multiple_of(16);
            assert_eq!(written(kept), padded(elements), "{name}");
            assert_eq!(written(decoded), padded(4 * elements), "{name}");
            let activations = |plan: &Plan| plan.bytes_of(BufferClass::Activation);
            assert!(activations(kept) <= activations(decoded), "{name}");
        }
    }
    Ok(())
}

/// What cannot decode gets numbers from the gather, and no launch more.
#[test]
fn a_layer_that_reads_numbers_gets_numbers() -> Result<()> {
    let sample = [6, 6, 3];
    let model = ends(Sequential::new(sample).add(LayerNormalization::new()));
    let caps = device().caps();
    let trainer = train(&model, &sample, Passes::default(), caps)?;
    let plan = plan(&trainer, &sample, true)?;
    let gather = plan.dispatches.iter().find(|d| d.call.template.path == "data/gather");
    assert_eq!(gather.expect("a gather").bindings[2].0.bytes, 4 * 13 * 6 * 6 * 3);
    let sample = [7, 6];
    let colour = ends(Sequential::new(sample).add(in_colour(&sample)).add(conv(4, 3)));
    let kept = train(&colour, &sample, Passes::default(), caps)?;
    let decoded = train(&colour, &sample, DECODED, caps)?;
    assert_eq!(bits(&kept), bits(&decoded));
    Ok(())
}
