//! Layers with settings other than Keras' defaults, for the tests of models as data.

use super::*;
use wgrad::constraints::Constraint;

/// Every layer with settings that are not its defaults, and samples that it takes.
/// A model of one step: x + h twice.
fn state_cell() -> LayerHandle {
    let (x, h) = (input([3]), input([3]));
    let sum = merge(Add.named("add"), [&x, &h]);
    LayerHandle::new(Model::new([&x, &h], [&sum, &sum]).unwrap()).named("functional")
}

pub fn all() -> Vec<(LayerHandle, Vec<Vec<usize>>)> {
    let l2 = Regularizer::l2(0.25);
    let both = Regularizer::l1_l2(0.1, 1e-7);
    let slope = Activation::LeakyRelu { negative_slope: 0.15 };
    let x = numbers(&[4, 3], 5);
    let one = |layer: LayerHandle, shape: &[usize]| (layer, vec![shape.to_vec()]);
    let two = |layer: LayerHandle, a: &[usize], b: &[usize]| (layer, vec![a.to_vec(), b.to_vec()]);
    vec![
        one(slope.into(), &[3]),
        one(Activation::ClippedLinear { low: -0.3, high: f32::MAX }.into(), &[3]),
        one(Activation::Elu { alpha: 0.7 }.into(), &[3]),
        two(Add.into(), &[3], &[3]),
        one(AdaptiveAveragePooling1D::new(3).into(), &[5, 2]),
        one(AdaptiveAveragePooling2D::new([3, 2]).into(), &[5, 4, 2]),
        one(AdaptiveAveragePooling3D::new((1, 2, 3)).into(), &[2, 5, 4, 2]),
        one(AlphaDropout::new(0.1).into(), &[3]),
        two(Average.into(), &[3], &[1]),
        one(AveragePooling1D::new(3).padding(Padding::Same).into(), &[7, 2]),
        one(AveragePooling2D::new(3).strides((1, 2)).into(), &[5, 4, 2]),
        one(
            AveragePooling3D::new([2, 1, 3])
                .padding(Padding::Explicit(vec![[1, 0], [0, 0], [1, 2]]))
                .count_include_pad(true)
                .into(),
            &[2, 5, 4, 2],
        ),
        one(
            BatchNormalization::torch()
                .momentum(0.3)
                .axis(1)
                .center(false)
                .gamma_constraint(Constraint::NonNeg)
                .gamma_initializer(Initializer::Uniform { low: -1.0, high: 0.3 })
                .gamma_regularizer(l2)
                .moving_variance_initializer(Initializer::Constant(2.0))
                .into(),
            &[3],
        ),
        two(Concatenate::new(1).into(), &[2, 3], &[4, 3]),
        one(
            Conv1D::new(4, 3)
                .padding(Padding::Causal)
                .dilation_rate(2)
                .groups(2)
                .kernel_constraint(Constraint::NonNeg)
                .into(),
            &[7, 2],
        ),
        one(
            Conv2D::new(3, (2, 3))
                .strides((1, 2))
                .padding(Padding::Explicit(vec![[1, 2], [0, 1]]))
                .activation(slope)
                .kernel_initializer(Initializer::HeNormal)
                .kernel_regularizer(l2)
                .bias_initializer(Initializer::Constant(0.5))
                .bias_regularizer(both)
                .bias_constraint(Constraint::NonNeg)
                .into(),
            &[5, 6, 2],
        ),
        one(
            Conv3D::new(2, 2)
                .padding(Padding::Same)
                .use_bias(false)
                .activity_regularizer(both)
                .into(),
            &[2, 3, 4, 1],
        ),
        one(Conv1DTranspose::new(2, 3).dilation_rate(2).into(), &[5, 3]),
        one(
            Conv2DTranspose::new(2, 3)
                .strides((2, 3))
                .output_padding((0, 2))
                .padding(Padding::Same)
                .kernel_initializer(Initializer::LecunNormal)
                .kernel_regularizer(both)
                .activity_regularizer(l2)
                .kernel_constraint(Constraint::NonNeg)
                .into(),
            &[3, 4, 2],
        ),
        one(Conv3DTranspose::new(2, 2).strides(2).use_bias(false).into(), &[2, 2, 2, 3]),
        one(DepthwiseConv1D::new(3).strides(2).dilation_rate(2).into(), &[9, 2]),
        one(
            DepthwiseConv2D::new(3)
                .depth_multiplier(2)
                .padding(Padding::Same)
                .depthwise_initializer(Initializer::HeUniform)
                .depthwise_regularizer(l2)
                .activity_regularizer(both)
                .depthwise_constraint(Constraint::NonNeg)
                .into(),
            &[4, 5, 3],
        ),
        one(SeparableConv1D::new(3, 2).use_bias(false).activation(slope).into(), &[5, 2]),
        one(
            SeparableConv2D::new(3, 2)
                .depth_multiplier(2)
                .depthwise_initializer(Initializer::HeUniform)
                .pointwise_initializer(Initializer::HeNormal)
                .depthwise_regularizer(l2)
                .pointwise_regularizer(both)
                .activity_regularizer(l2)
                .depthwise_constraint(Constraint::NonNeg)
                .pointwise_constraint(Constraint::NonNeg)
                .into(),
            &[4, 5, 3],
        ),
        one(
            Dense::new(7)
                .activation(slope)
                .kernel_initializer(Initializer::Normal { mean: 0.1, stddev: 1e-30 })
                .bias_initializer(Initializer::Constant(0.1))
                .kernel_regularizer(both)
                .bias_regularizer(Regularizer::l1(0.3))
                .kernel_constraint(Constraint::MinMaxNorm {
                    min_value: 0.1,
                    max_value: 0.7,
                    rate: 0.3,
                    axes: &[0, 1],
                })
                .bias_constraint(Constraint::NonNeg)
                .into(),
            &[3],
        ),
        one(Dense::new(2).use_bias(false).activation(Activation::GeluTanh).into(), &[5, 3]),
        two(Dot::new([1, -1]).normalize(true).into(), &[3], &[3]),
        two(
            GraphConv::new(3)
                .activation(slope)
                .directed(true)
                .self_loops(false)
                .kernel_regularizer(l2)
                .bias_constraint(Constraint::NonNeg)
                .into(),
            &[4, 3],
            &[5, 2],
        ),
        two(
            MessagePassing::new(3)
                .aggregate(Aggregation::Max)
                .use_bias(false)
                .kernel_constraint(Constraint::NonNeg)
                .into(),
            &[4, 3],
            &[5, 2],
        ),
        one(Dropout::new(0.3).into(), &[3]),
        one(
            Embedding::new(9, 4)
                .mask_zero(true)
                .embeddings_initializer(Initializer::LecunNormal)
                .embeddings_regularizer(l2)
                .embeddings_constraint(Constraint::unit_norm())
                .into(),
            &[3],
        ),
        one(
            MultiHeadAttention::new(2, 3)
                .value_dim(5)
                .output_shape([2, 2])
                .dropout(0.3)
                .use_causal_mask(true)
                .kernel_initializer(Initializer::HeNormal)
                .bias_initializer(Initializer::Constant(0.5))
                .kernel_regularizer(l2)
                .bias_regularizer(both)
                .kernel_constraint(Constraint::NonNeg)
                .bias_constraint(Constraint::NonNeg)
                .into(),
            &[4, 3],
        ),
        two(
            MultiHeadAttention::new(2, 3)
                .use_bias(false)
                .attention_mask(SoftmaxMask::Additive)
                .return_attention_scores(true)
                .into(),
            &[4, 3],
            &[4, 4],
        ),
        one(GroupedQueryAttention::new(3, 4, 2).use_causal_mask(true).into(), &[4, 3]),
        two(
            Attention::new().use_scale(true).score_mode(ScoreMode::Concat).dropout(0.3).into(),
            &[4, 3],
            &[5, 3],
        ),
        two(
            AdditiveAttention::new().use_scale(false).use_causal_mask(true).into(),
            &[4, 3],
            &[5, 3],
        ),
        one(PositionEmbedding::new(9).initializer(Initializer::HeNormal).into(), &[4, 3]),
        one(SinePositionEncoding::new().max_wavelength(100.0).into(), &[4, 3]),
        one(RotaryEmbedding::new().max_wavelength(50.0).scaling_factor(2.0).into(), &[4, 3, 6]),
        one(
            ReversibleEmbedding::new(9, 4)
                .mask_zero(true)
                .tie_weights(false)
                .logit_soft_cap(30.0)
                .into(),
            &[3],
        ),
        one(
            TransformerEncoder::new(7, 2)
                .dropout(0.3)
                .activation(Activation::Gelu)
                .layer_norm_epsilon(1e-3)
                .kernel_initializer(Initializer::HeNormal)
                .bias_initializer(Initializer::Constant(0.5))
                .normalize_first(true)
                .into(),
            &[4, 6],
        ),
        two(TransformerDecoder::new(7, 2).use_causal_mask(false).into(), &[4, 6], &[5, 3]),
        two(
            TransformerEncoder::new(7, 2)
                .attention_mask(SoftmaxMask::Additive)
                .rotary(RotaryEmbedding::new().max_wavelength(50.0))
                .into(),
            &[4, 8],
            &[2, 4, 4],
        ),
        (
            TransformerDecoder::new(7, 2)
                .decoder_attention_mask(SoftmaxMask::Keep)
                .encoder_attention_mask(SoftmaxMask::Additive)
                .rotary(RotaryEmbedding::new().scaling_factor(2.0))
                .into(),
            vec![vec![4, 8], vec![5, 3], vec![4, 4], vec![4, 5]],
        ),
        (
            TransformerDecoder::new(7, 2).use_cache(true).into(),
            vec![vec![1, 6], vec![2, 5, 2, 3], vec![1]],
        ),
        (
            CachedMultiHeadAttention::new(2, 4)
                .dropout(0.25)
                .use_bias(false)
                .rotary(RotaryEmbedding::new().max_wavelength(99.0))
                .kernel_regularizer(l2)
                .kernel_constraint(Constraint::NonNeg)
                .into(),
            vec![vec![2, 6], vec![2, 5, 2, 4], vec![1]],
        ),
        one(Flatten.into(), &[2, 3]),
        one(GaussianNoise::new(0.2).into(), &[3]),
        one(GlobalAveragePooling1D::new().keepdims(true).into(), &[5, 2]),
        one(GlobalAveragePooling2D::new().keepdims(true).into(), &[5, 4, 2]),
        one(GlobalAveragePooling3D::new().keepdims(true).into(), &[2, 5, 4, 2]),
        one(GlobalMaxPooling1D::new().keepdims(true).into(), &[5, 2]),
        one(GlobalMaxPooling2D::new().keepdims(true).into(), &[5, 4, 2]),
        one(GlobalMaxPooling3D::new().keepdims(true).into(), &[2, 5, 4, 2]),
        one(
            GroupNormalization::new(2)
                .axis(1)
                .epsilon(1e-5)
                .scale(false)
                .beta_initializer(Initializer::HeNormal)
                .beta_regularizer(both)
                .beta_constraint(Constraint::unit_norm())
                .into(),
            &[4, 3],
        ),
        one(GroupNormalization::instance().center(false).gamma_regularizer(l2).into(), &[4, 3]),
        one(
            LayerNormalization::new()
                .axes([1, 2])
                .epsilon(1e-5)
                .scale(false)
                .beta_initializer(Initializer::HeNormal)
                .beta_regularizer(both)
                .beta_constraint(Constraint::max_norm(0.3))
                .into(),
            &[2, 3],
        ),
        one(CenterCrop::new(3, 2).into(), &[5, 4, 2]),
        one(Cropping1D::new((2, 1)).into(), &[5, 2]),
        one(Cropping2D::new([[2, 1], [0, 1]]).into(), &[5, 4, 2]),
        one(Cropping3D::new([[2, 1], [0, 1], [0, 0]]).into(), &[5, 4, 1, 2]),
        one(Masking::new(f32::NEG_INFINITY).into(), &[2, 3]),
        one(Rescaling::new(0.1).offset(-0.7).into(), &[3]),
        one(
            Resizing::new(3, 7)
                .interpolation(Interpolation::Nearest)
                .pad_to_aspect_ratio(true)
                .fill_value(0.1)
                .into(),
            &[5, 4, 2],
        ),
        one(SpatialDropout1D::new(0.3).into(), &[5, 2]),
        one(SpatialDropout2D::new(0.3).into(), &[5, 4, 2]),
        one(SpatialDropout3D::new(0.3).into(), &[5, 4, 3, 2]),
        one(UnitNormalization::new().axes([1, -1]).into(), &[2, 3]),
        one(UpSampling1D::new(3).into(), &[5, 2]),
        one(UpSampling2D::new([3, 1]).interpolation(Interpolation::Bilinear).into(), &[5, 4, 2]),
        one(UpSampling3D::new([3, 1, 2]).into(), &[2, 1, 2, 2]),
        one(ZeroPadding1D::new((2, 0)).into(), &[5, 2]),
        one(ZeroPadding2D::new([[2, 0], [0, 1]]).into(), &[5, 4, 2]),
        one(ZeroPadding3D::new([[2, 0], [0, 1], [3, 0]]).into(), &[5, 4, 1, 2]),
        one(MaxPooling1D::new(3).strides(2).padding(Padding::Same).into(), &[7, 2]),
        one(MaxPooling2D::new([3, 2]).strides(1).into(), &[5, 4, 2]),
        one(
            MaxPooling3D::new(2).padding(Padding::Explicit(vec![[1, 0], [0, 0], [1, 1]])).into(),
            &[2, 5, 4, 2],
        ),
        two(Maximum.into(), &[3], &[3]),
        two(Minimum.into(), &[3], &[3]),
        two(Multiply.into(), &[3], &[3]),
        one(Normalization::new().invert(true).adapt(&x).unwrap().into(), &[3]),
        one(Normalization::new().axes([]).statistics([0.1], [0.7]).unwrap().into(), &[3]),
        one(
            PRelu::new()
                .alpha_initializer(Initializer::GlorotNormal)
                .alpha_regularizer(l2)
                .alpha_constraint(Constraint::NonNeg)
                .shared_axes([1])
                .into(),
            &[2, 3],
        ),
        one(Permute::new([2, 1]).into(), &[2, 3]),
        one(RRelu::new(0.1, 0.2).into(), &[3]),
        one(RandomBrightness::new((-0.1, 0.3)).value_range(-1.0, 0.7).into(), &[5, 4, 3]),
        one(RandomContrast::new(0.3).value_range(0.0, 1.0).into(), &[5, 4, 3]),
        one(RandomCrop::new(3, 2).into(), &[5, 4, 3]),
        one(RandomFlip::new(FlipMode::Vertical).into(), &[5, 4, 3]),
        one(
            RandomRotation::new(0.3)
                .fill_mode(FillMode::Constant)
                .fill_value(0.1)
                .interpolation(Interpolation::Nearest)
                .into(),
            &[5, 4, 3],
        ),
        one(RandomTranslation::new((-0.1, 0.3), 0.2).fill_mode(FillMode::Wrap).into(), &[5, 4, 3]),
        one(
            RandomZoom::new(0.2).width_factor((0.1, 0.2)).fill_mode(FillMode::Nearest).into(),
            &[5, 4, 3],
        ),
        one(RandomZoom::new((-0.7, 0.2)).into(), &[5, 4, 3]),
        one(RepeatVector::new(5).into(), &[3]),
        one(Reshape::new([3, -1]).into(), &[2, 3]),
        one(RmsNormalization::new().axes([1]).epsilon(1e-3).into(), &[2, 3]),
        one(
            SimpleRnn::new(4)
                .activation(Activation::Softsign)
                .recurrent_initializer(Initializer::Orthogonal { gain: 0.9 })
                .kernel_initializer(Initializer::HeUniform)
                .recurrent_regularizer(l2)
                .return_sequences(true)
                .go_backwards(true)
                .into(),
            &[5, 3],
        ),
        one(
            SpectralNormalization::new(Dense::new(4).named("inside")).power_iterations(3).into(),
            &[5, 3],
        ),
        one(
            Lstm::new(4)
                .recurrent_activation(Activation::HardSigmoid)
                .unit_forget_bias(false)
                .dropout(0.1)
                .recurrent_dropout(0.2)
                .kernel_constraint(Constraint::NonNeg)
                .return_state(true)
                .zero_output_for_mask(true)
                .into(),
            &[5, 3],
        ),
        one(Gru::new(4).reset_after(false).use_bias(false).stateful(7).into(), &[5, 3]),
        one(Rnn::new(state_cell(), [[3]]).return_sequences(true).into(), &[5, 3]),
        one(
            Rnn::from_cell(
                StackedRnnCells::new([
                    LstmCell::new(4).unit_forget_bias(false).recurrent_dropout(0.1).named("first"),
                    GruCell::new(3)
                        .reset_after(false)
                        .kernel_regularizer(l2)
                        .named("second")
                        .frozen(),
                    SimpleRnnCell::new(2).bias_initializer(Initializer::HeNormal).named("third"),
                ])
                .named("stack"),
            )
            .go_backwards(true)
            .into(),
            &[5, 3],
        ),
        (
            LstmCell::new(4).recurrent_activation(Activation::HardSigmoid).into(),
            vec![vec![3], vec![4], vec![4]],
        ),
        two(GruCell::new(4).use_bias(false).into(), &[3], &[4]),
        two(SimpleRnnCell::new(4).dropout(0.1).into(), &[3], &[4]),
        two(StackedRnnCells::new([GruCell::new(4).named("one")]).into(), &[3], &[4]),
        one(
            Bidirectional::new(Gru::new(4).return_sequences(true).named("gru"))
                .backward_layer(
                    SimpleRnn::new(4).go_backwards(true).return_sequences(true).named("back"),
                )
                .merge_mode(MergeMode::None)
                .into(),
            &[5, 3],
        ),
        two(Subtract.into(), &[3], &[3]),
        one(TimeDistributed::new(Dense::new(4).named("inside").frozen()).into(), &[5, 3]),
    ]
}
