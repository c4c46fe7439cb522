//! Models as data: every layer comes back from what it says of itself, and what is refused.

use super::*;
use serde_json::{Value as Json, json};
use wgrad::activations::CustomActivation;
use wgrad::constraints::{Constraint, CustomConstraint};
use wgrad::layers::{CustomRegularizer, Lambda, ModelLoader, WeightSpec};
use wgrad::tensor::{CustomInitializer, Draws};

/// Every layer with settings that are not its defaults, and samples that it takes.
/// A model of one step: x + h twice.
fn state_cell() -> LayerHandle {
    let (x, h) = (input([3]), input([3]));
    let sum = merge(Add.named("add"), [&x, &h]);
    LayerHandle::new(Model::new([&x, &h], [&sum, &sum]).unwrap()).named("functional")
}

fn all() -> Vec<(LayerHandle, Vec<Vec<usize>>)> {
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
        one(Conv3D::new(2, 2).padding(Padding::Same).use_bias(false).into(), &[2, 3, 4, 1]),
        one(Conv1DTranspose::new(2, 3).dilation_rate(2).into(), &[5, 3]),
        one(
            Conv2DTranspose::new(2, 3)
                .strides((2, 3))
                .output_padding((0, 2))
                .padding(Padding::Same)
                .kernel_initializer(Initializer::LecunNormal)
                .kernel_regularizer(both)
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

/// A model of one layer.
fn around(layer: &LayerHandle, samples: &[Vec<usize>]) -> Result<Model> {
    let inputs: Vec<SymbolicTensor> = samples.iter().map(|s| input(s.clone())).collect();
    Model::new(&inputs, [&merge(layer, &inputs)])
}

#[test]
fn every_layer_comes_back_from_its_config() -> Result<()> {
    let mut seen: Vec<&str> = Vec::new();
    for (layer, samples) in all() {
        let kind = layer.layer().kind();
        let model = around(&layer, &samples)?;
        let text = model.to_json()?;
        let again = Model::from_json(&text)?;
        let said = |m: &Model| format!("{:?}", m.layers());
        assert_eq!(said(&again), said(&model), "{text}");
        // Statistics are weights, which the file holds.
        let bare = |w: WeightSpec| WeightSpec { values: None, ..w };
        let specs = |m: &Model| m.weights().map(|(_, spec)| bare(spec)).collect::<Vec<_>>();
        assert_eq!(specs(&again), specs(&model), "{text}");
        assert_eq!(again.to_json()?, text);
        // The control: without its settings the layer is another, or is refused.
        let mut less: Json = serde_json::from_str(&text).unwrap();
        let config = &mut less["config"]["layers"][samples.len()]["config"];
        let own = config.as_object().unwrap().keys().any(|k| k != "name" && k != "trainable");
        *config = json!({});
        let same = ModelLoader::new().from_value(&less).is_ok_and(|m| said(&m) == said(&model));
        assert!(!(same && own) || kind == "Flatten", "{text} says nothing");
        seen.push(kind);
    }
    // No layer is missing: the message lists what there is.
    let none = json!({ "class_name": "None", "config": {} });
    let stack = json!({ "class_name": "Sequential",
        "config": { "layers": [none], "build_input_shape": [null, 3] } });
    let error = ModelLoader::new().from_value(&stack).unwrap_err().to_string();
    let known = error.split("There are ").nth(1).unwrap();
    // Read as activations.
    let alias = ["ELU", "LeakyReLU", "ReLU", "Softmax"];
    for name in known.split(", ") {
        assert!(alias.contains(&name) || seen.contains(&name), "{name} is not in the table");
    }
    Ok(())
}

#[test]
fn every_word_comes_back() -> Result<()> {
    use Activation as A;
    use Initializer as I;
    let functions = [
        A::Linear,
        A::Relu,
        A::Selu,
        A::Sigmoid,
        A::HardSigmoid,
        A::Tanh,
        A::Softplus,
        A::Softsign,
        A::Gelu,
        A::GeluTanh,
        A::Silu,
        A::Step,
        A::Perceptron,
        A::Softmax,
        A::LogSoftmax,
        A::LeakyRelu { negative_slope: 0.2 },
        A::LeakyRelu { negative_slope: 0.1 },
        A::Elu { alpha: 1.0 },
        A::Elu { alpha: 2.0 },
        A::ClippedLinear { low: 0.1, high: 0.3 },
    ];
    let initial = [
        I::Zeros,
        I::Constant(1.0),
        I::Constant(0.1),
        I::GlorotUniform,
        I::GlorotNormal,
        I::HeUniform,
        I::HeNormal,
        I::LecunNormal,
        I::Uniform { low: -0.1, high: 1e-40 },
        I::Normal { mean: 1.0 / 3.0, stddev: 16_777_217.0 },
        I::Orthogonal { gain: 0.1 },
    ];
    let mut texts = Vec::new();
    let dense = |a, i| Dense::new(2).activation(a).kernel_initializer(i);
    let layers = functions.map(|f| dense(f, I::Zeros)).into_iter();
    for layer in layers.chain(initial.map(|i| dense(A::Linear, i))) {
        let model = Sequential::new([3]).add(layer.clone()).build()?;
        let text = model.to_json()?;
        let again = Model::from_json(&text)?;
        assert_eq!(format!("{:?}", again.layers()[0].layer), format!("{layer:?}"));
        texts.push(text);
    }
    texts.sort();
    texts.dedup();
    // Linear with zeros is in both lists.
    assert_eq!(texts.len(), functions.len() + initial.len() - 1);
    Ok(())
}

/// The same names, layers, uses, shared weights and frozen layers.
#[track_caller]
fn comes_back(model: &Model) -> Model {
    let text = model.to_json().unwrap();
    let again = Model::from_json(&text).unwrap();
    let said = |m: &Model| {
        let layers: Vec<_> = m.layers().iter().map(|l| (&l.name, l.trainable, &l.inputs)).collect();
        format!(
            "{layers:?} {:?} {:?} {:?} {:?}",
            m.inputs(),
            m.calls(),
            m.output_tensors(),
            m.output_names()
        )
    };
    assert_eq!(said(&again), said(model), "{text}");
    assert_eq!(again.summary(), model.summary());
    assert_eq!(again.to_json().unwrap(), text);
    again
}

#[test]
fn models_come_back_with_names_sharing_and_frozen_layers() -> Result<()> {
    let stack = Sequential::new([4]).add(Dense::new(3).frozen()).add_named("end", Dense::new(2));
    comes_back(&stack.build()?);
    let encoder = Sequential::new([4]).add(Dense::new(3)).add(PRelu::new()).build()?;
    let (left, right) = (input_named("left", [4]), input_named("right", [4]));
    let shared = LayerHandle::new(Dense::new(5));
    let (a, b) = (left.then(&encoder).then(&shared), right.then(&encoder).then(&shared));
    let both = merge(Concatenate::default(), [&a, &b]);
    let inner = Model::new([&left, &right], [&both, &a])?;
    let nested = merge(&inner, [&left, &right]);
    let out = merge(Add, [&nested.output(0).then(Dense::new(5)), &nested.output(1)]);
    // A layer that is inside and outside, a model twice, and one frozen whole.
    let more = left.then(&encoder).then(&shared);
    let frozen = right.then(LayerHandle::new(&inner_of(4)?).named("still").frozen());
    let model = Model::new([&left, &right], [&out, &more, &frozen])?;
    let again = comes_back(&model);
    assert!(again.layers().iter().any(|l| !l.trainable && l.name.starts_with("still/")));
    let count = |m: &Model| m.weights().map(|(_, w)| w.shape.len()).sum::<usize>();
    assert_eq!(count(&again), count(&model));
    // Layers that were frozen afterwards, one of them in a model inside.
    let mut thawed = model.clone();
    thawed.set_trainable("still", true)?;
    let name = model.layers()[0].name.clone();
    thawed.set_trainable(&name, false)?;
    let again = comes_back(&thawed);
    assert!(
        !again.layers()[0].trainable && again.layers().iter().filter(|l| !l.trainable).count() == 1
    );
    // Uses that are no chain, in a Sequential.
    let twice = LayerHandle::new(Dense::new(4));
    let looped = Sequential::new([4]).add(&twice).add(Activation::Relu).add(&twice).build()?;
    let again = Model::from_json(&looped.to_json()?)?;
    assert_eq!((again.calls(), count(&again)), (looped.calls(), 20));
    Ok(())
}

fn inner_of(width: usize) -> Result<Model> {
    Sequential::new([width]).add(Dense::new(3)).add(BatchNormalization::new()).build()
}

/// x · factor.
#[derive(Debug)]
struct Scaled(f64);

impl Layer for Scaled {
    fn kind(&self) -> &'static str {
        "Scaled"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        Ok(graph.scale(cx.input(), self.0 as f32)?.into())
    }

    fn config(&self) -> Result<Json> {
        Ok(json!({ "factor": self.0 }))
    }
}

#[test]
fn layers_of_ones_own_are_registered() -> Result<()> {
    let model = Sequential::new([3]).add(Dense::new(2)).add(Scaled(0.5).named("half")).build()?;
    let text = model.to_json()?;
    says(
        &Model::from_json(&text).unwrap_err(),
        &["half", "no layer `Scaled`", "ModelLoader::register", "Dense"],
    );
    let factor = |config: &Json| {
        let factor = config["factor"].as_f64();
        factor.ok_or_else(|| Error::Data { name: "factor".into(), detail: "is no number".into() })
    };
    let loader = ModelLoader::new().register("Scaled", move |config| Ok(Scaled(factor(config)?)));
    let again = loader.from_json(&text)?;
    assert_eq!(format!("{:?}", again.layers()), format!("{:?}", model.layers()));
    let broken = text.replace("0.5", "null");
    says(&loader.from_json(&broken).unwrap_err(), &["factor", "no number"]);
    // What gives no config is named when it is written.
    let closure = Lambda::new(|graph, x| graph.scale(x[0], 2.0));
    let model = Sequential::new([3]).add(closure.named("twice")).build()?;
    says(
        &model.to_json().unwrap_err(),
        &["layer `twice`", "Lambda", "Layer::config", "save the weights alone"],
    );
    Ok(())
}

#[test]
fn what_a_build_lacks_is_named() -> Result<()> {
    let model = Sequential::new([3]).add(Dense::new(2)).add(Dropout::new(0.5)).build()?;
    let value = model.to_value()?;
    let refused = |path: &str, new: Json, words: &[&str]| {
        let mut other = value.clone();
        *other.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = new;
        says(&ModelLoader::new().from_value(&other).unwrap_err(), words);
    };
    refused("/format_version", json!(2), &["format_version", "is 2", "up to 1", "newer"]);
    refused("/class_name", json!("MyModel"), &["MyModel", "Sequential"]);
    let dense = "/config/layers/1/config";
    let units = format!("{dense}/units");
    refused(&units, json!(-1), &["dense.units", "-1", "2^32"]);
    refused(&units, json!(u64::MAX), &["dense.units", "2^32"]);
    refused(&units, json!(u32::MAX), &["dense", "kernel", "32 bits"]);
    refused(&format!("{dense}/activation"), json!("mish"), &["dense.activation", "`mish`"]);
    refused(
        &format!("{dense}/kernel_initializer/class_name"),
        json!("TruncatedNormal"),
        &["dense.kernel_initializer", "TruncatedNormal"],
    );
    refused(
        "/config/layers/1/class_name",
        json!("ConvLSTM2D"),
        &["dense", "no layer `ConvLSTM2D`"],
    );
    refused("/config/layers/2/config/rate", json!("much"), &["dropout.rate", "much", "f32"]);
    refused("/config/layers/2/config/rate", json!(1.5), &["dropout", "rate", "[0, 1)"]);
    let shape = "/config/layers/0/config/batch_shape";
    refused(shape, json!([null, null]), &["[null,null]", "static", "a number for each axis"]);
    refused(shape, json!(3), &["is 3", "a list"]);
    refused("/config/layers", Json::Null, &["layers", "null", "a list"]);
    Ok(())
}

#[test]
fn fields_that_ask_for_nothing_are_passed_over() -> Result<()> {
    let model = Sequential::new([3]).add(Dense::new(2)).build()?;
    let with = |new: Json| {
        let mut value = model.to_value().unwrap();
        value["config"]["layers"][1]["config"]["groups"] = new;
        ModelLoader::new().from_value(&value)
    };
    for nothing in [Json::Null, json!(false)] {
        assert_eq!(with(nothing)?.to_json()?, model.to_json()?);
    }
    says(&with(json!(4)).unwrap_err(), &["dense.groups", "is 4", "no such setting"]);
    Ok(())
}

/// Models inside models that ask for very many layers, in few words.
#[test]
fn a_small_file_asks_for_few_layers() -> Result<()> {
    let mut model = Sequential::new([3]).add(Activation::Relu).build()?;
    for _ in 0..9 {
        let x = input([3]);
        let handle = LayerHandle::new(&model);
        let y = (0..2).fold(x.clone(), |y, _| y.then(&handle));
        model = Model::new([&x], [&y])?;
    }
    let value = model.to_value()?;
    assert_eq!(ModelLoader::new().from_value(&value)?.calls().len(), 512);
    // Each level twenty times in place of two.
    let more = |value: &Json| {
        fn widen(value: &mut Json) {
            if let Some(layers) = value["config"]["layers"].as_array_mut() {
                layers.iter_mut().for_each(widen);
                let last = layers.len() - 1;
                let first = u64::from(layers[last]["class_name"] == "Functional");
                let name = layers[last]["name"].as_str().unwrap_or_default().to_owned();
                let nodes = layers[last]["inbound_nodes"].as_array_mut();
                if let Some(nodes) = nodes.filter(|nodes| nodes.len() == 2) {
                    for i in 2..20_u64 {
                        let mut node = nodes[1].clone();
                        node["args"][0]["config"]["keras_history"] =
                            json!([name, i - 1 + first, 0]);
                        nodes.push(node);
                    }
                    value["config"]["output_layers"] = json!([[name, 19 + first, 0]]);
                }
            }
        }
        let mut wide = value.clone();
        widen(&mut wide);
        wide
    };
    let error = ModelLoader::new().from_value(&more(&value)).unwrap_err();
    says(&error, &["more than 100000 times"]);
    Ok(())
}

/// A function, an initializer, a penalty and a constraint from outside, each with a setting.
#[derive(Debug)]
struct Mine(f32);

impl CustomActivation for Mine {
    fn name(&self) -> &'static str {
        "mine"
    }

    fn apply(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        graph.scale(x, self.0)
    }
}

impl CustomInitializer for Mine {
    fn name(&self) -> &'static str {
        "mine"
    }

    fn fill(&self, values: &mut [f32], _: [usize; 2], _: &mut Draws) {
        values.fill(self.0);
    }
}

impl CustomRegularizer for Mine {
    fn name(&self) -> &'static str {
        "mine"
    }

    fn penalty(&self, graph: &mut Graph, weight: Value) -> Result<Value> {
        graph.sum(weight, &[], false)
    }
}

impl CustomConstraint for Mine {
    fn name(&self) -> &'static str {
        "mine"
    }

    fn apply(&self, graph: &mut Graph, weight: Value) -> Result<Value> {
        graph.scale(weight, self.0)
    }
}

#[test]
fn words_of_ones_own_are_registered() -> Result<()> {
    let dense = || Dense::new(2);
    let (activation, initializer) = (Activation::custom(Mine(1.5)), Initializer::custom(Mine(2.5)));
    let (regularizer, constraint) = (Regularizer::custom(Mine(3.5)), Constraint::custom(Mine(4.5)));
    let cases: [(Dense, ModelLoader, ModelLoader, &str); 4] = [
        (
            dense().activation(activation),
            ModelLoader::new().activation(activation),
            ModelLoader::new().activation(Activation::custom(Mine(9.0))),
            "activation",
        ),
        (
            dense().kernel_initializer(initializer),
            ModelLoader::new().initializer(initializer),
            ModelLoader::new().initializer(Initializer::custom(Mine(9.0))),
            "initializer",
        ),
        (
            dense().bias_regularizer(regularizer),
            ModelLoader::new().regularizer(regularizer),
            ModelLoader::new().regularizer(Regularizer::custom(Mine(9.0))),
            "regularizer",
        ),
        (
            dense().kernel_constraint(constraint),
            ModelLoader::new().constraint(constraint),
            ModelLoader::new().constraint(Constraint::custom(Mine(9.0))),
            "constraint",
        ),
    ];
    for (layer, loader, other, what) in cases {
        let model = Sequential::new([3]).add(layer.clone()).build()?;
        let text = model.to_json()?;
        let again = loader.from_json(&text)?;
        assert_eq!(format!("{:?}", again.layers()), format!("{:?}", model.layers()));
        let asked = format!("ModelLoader::{what}");
        for unknown in [ModelLoader::new(), other] {
            says(&unknown.from_json(&text).unwrap_err(), &["dense.", "`mine`", "Mine(", &asked]);
        }
    }
    Ok(())
}
