//! Sizes past all memory: each number of each layer is refused with the layer's name, or does not matter, and nothing
//! overflows.

use super::*;

/// A layer with one of its numbers, and a sample that it takes.
struct Row(&'static str, fn(usize) -> LayerHandle, &'static [usize]);

const WORDS: &[usize] = &[5, 4];
const IMAGE: &[usize] = &[5, 6, 4];
const VOLUME: &[usize] = &[3, 5, 6, 4];

/// The numbers of layers that are refused if they are past all memory.
const REFUSED: &[Row] = &[
    Row("filters", |n| Conv1D::new(n, 3).into(), WORDS),
    Row("kernel_size", |n| Conv2D::new(4, n).into(), IMAGE),
    Row("kernel_size, same", |n| Conv3D::new(4, n).padding(Padding::Same).into(), VOLUME),
    Row("kernel_size, causal", |n| Conv1D::new(4, n).padding(Padding::Causal).into(), WORDS),
    Row("strides", |n| Conv2D::new(4, 3).strides(n).into(), IMAGE),
    Row("strides, same", |n| Conv2D::new(4, 3).strides(n).padding(Padding::Same).into(), IMAGE),
    Row("dilation", |n| Conv2D::new(4, 3).dilation_rate(n).into(), IMAGE),
    Row(
        "dilation, same",
        |n| Conv2D::new(4, 3).dilation_rate(n).padding(Padding::Same).into(),
        IMAGE,
    ),
    Row("dilation of one tap", |n| Conv2D::new(4, 1).dilation_rate(n).into(), IMAGE),
    Row("groups", |n| Conv2D::new(4, 3).groups(n).into(), IMAGE),
    Row("padding", |n| Conv1D::new(4, 3).padding(Padding::Explicit(vec![[n, 1]])).into(), WORDS),
    Row(
        "padding, both",
        |n| Conv1D::new(4, 3).padding(Padding::Explicit(vec![[n, n]])).into(),
        WORDS,
    ),
    Row("multiplier", |n| DepthwiseConv2D::new(3).depth_multiplier(n).into(), IMAGE),
    Row(
        "dilation",
        |n| DepthwiseConv1D::new(3).dilation_rate(n).padding(Padding::Same).into(),
        WORDS,
    ),
    Row("multiplier", |n| SeparableConv2D::new(3, 3).depth_multiplier(n).into(), IMAGE),
    Row("filters", |n| SeparableConv2D::new(n, 3).into(), IMAGE),
    Row("filters", |n| Conv2DTranspose::new(n, 3).into(), IMAGE),
    Row("kernel_size", |n| Conv2DTranspose::new(4, n).into(), IMAGE),
    Row("kernel_size", |n| Conv1DTranspose::new(4, n).padding(Padding::Same).into(), WORDS),
    Row("strides", |n| Conv2DTranspose::new(4, 3).strides(n).into(), IMAGE),
    Row("strides", |n| Conv2DTranspose::new(4, 3).strides(n).padding(Padding::Same).into(), IMAGE),
    Row(
        "strides and output_padding",
        |n| Conv1DTranspose::new(4, 3).strides(n).output_padding(n - 1).into(),
        WORDS,
    ),
    Row(
        "strides and output_padding, same",
        |n| {
            let layer = Conv1DTranspose::new(4, 3).strides(n).output_padding(n - 1);
            layer.padding(Padding::Same).into()
        },
        WORDS,
    ),
    Row("dilation", |n| Conv3DTranspose::new(4, 3).dilation_rate(n).into(), VOLUME),
    Row(
        "dilation",
        |n| Conv2DTranspose::new(4, 3).dilation_rate(n).padding(Padding::Same).into(),
        IMAGE,
    ),
    Row("output_padding", |n| Conv2DTranspose::new(4, 3).output_padding(n).into(), IMAGE),
    Row(
        "padding",
        |n| Conv1DTranspose::new(4, 3).padding(Padding::Explicit(vec![[n, n]])).into(),
        WORDS,
    ),
    Row("pool_size", |n| MaxPooling2D::new(n).into(), IMAGE),
    Row("pool_size", |n| AveragePooling3D::new(n).padding(Padding::Same).into(), VOLUME),
    Row("strides", |n| MaxPooling1D::new(2).strides(n).padding(Padding::Same).into(), WORDS),
    Row("output_size", |n| AdaptiveAveragePooling2D::new(n).into(), IMAGE),
    Row("padding", |n| ZeroPadding3D::new(n).into(), VOLUME),
    Row("cropping", |n| Cropping2D::new(n).into(), IMAGE),
    Row("size", |n| UpSampling2D::new(n).into(), IMAGE),
    Row("size", |n| Resizing::new(n, 3).into(), IMAGE),
    Row("size", |n| CenterCrop::new(3, n).into(), IMAGE),
    Row("size", |n| RandomCrop::new(n, n).into(), IMAGE),
    Row("groups", |n| GroupNormalization::new(n).into(), IMAGE),
    Row("n", |n| RepeatVector::new(n).into(), &[4]),
    Row("shape", |n| Reshape::new([(n >> 1) as isize, (n >> 1) as isize]).into(), &[4]),
    Row("dims", |n| Permute::new([n, 1]).into(), WORDS),
    Row("input_dim", |n| Embedding::new(n, 4).into(), &[4]),
    Row("output_dim", |n| Embedding::new(4, n).into(), &[4]),
    Row("units", |n| Dense::new(n).into(), WORDS),
    Row("units", |n| SimpleRnn::new(n).into(), WORDS),
    Row("units", |n| Lstm::new(n).into(), WORDS),
    Row("units", |n| Gru::new(n).into(), WORDS),
    Row("units, both ways", |n| Bidirectional::new(Gru::new(n)).into(), WORDS),
    Row("units in time", |n| TimeDistributed::new(Dense::new(n)).into(), WORDS),
    Row("heads", |n| MultiHeadAttention::new(n, 4).into(), WORDS),
    Row("key_dim", |n| MultiHeadAttention::new(4, n).into(), WORDS),
    Row("value_dim", |n| MultiHeadAttention::new(4, 4).value_dim(n).into(), WORDS),
    Row("query heads", |n| GroupedQueryAttention::new(4, n, 1).into(), WORDS),
    Row("intermediate_dim", |n| TransformerEncoder::new(n, 2).into(), WORDS),
    Row("heads", |n| TransformerDecoder::new(4, n).into(), WORDS),
    Row("length", |n| PositionEmbedding::new(n).into(), WORDS),
];

#[test]
fn numbers_past_all_memory_are_refused_by_name() {
    for Row(number, layer, sample) in REFUSED {
        // Sums and products of these are past 64 bits, or just below.
        for huge in [usize::MAX, usize::MAX / 2, usize::MAX / 4 + 1] {
            let kind = layer(2).layer().kind();
            let built = Sequential::new(*sample).add(layer(huge)).build();
            let error = built.err().unwrap_or_else(|| panic!("{kind}, {number}: taken"));
            says(&error, &["layer `"]);
        }
    }
}

/// Sizes that kernels can just count to: padding takes the image past that, and a stride does not.
#[test]
fn the_largest_stride_gives_one_window() -> Result<()> {
    let most = i32::MAX as usize;
    let wide = Conv2D::new(4, 3).dilation_rate(most).padding(Padding::Same);
    let error = refusal("conv2d", wide, IMAGE);
    says(&error, &["axis 1 of 5", "with its padding", "smaller kernel_size"]);
    let (x, w) = (numbers(&[2, 5, 6, 4], 1), numbers(&[3, 3, 4, 2], 2));
    let predicted = |stride: usize| -> Result<Tensor> {
        let layer = Conv2D::new(2, 3).strides(stride).use_bias(false);
        let model = Sequential::new(IMAGE).add(layer).build()?;
        Predictor::new(support::device(), &model, std::slice::from_ref(&w))?.predict(&x)
    };
    let largest = predicted(most)?;
    assert_eq!(largest.shape().dims(), [2, 1, 1, 2]);
    assert_eq!(largest.as_f32()?, predicted(6)?.as_f32()?);
    assert_ne!(largest.as_f32()?, [0.0; 4]);
    Ok(())
}
