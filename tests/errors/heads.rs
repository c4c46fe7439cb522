//! Models that look right and learn nothing: the last activation and the loss do not suit each other.

use super::*;
use std::sync::Mutex;
use wgrad::callbacks::ProgressLines;
use wgrad::layers::{Add, Layer, LayerHandle, Model, Reshape, input, merge};

const fn binary(from_logits: bool) -> Loss {
    Loss::BinaryCrossentropy { from_logits }
}

const fn categorical(from_logits: bool) -> Loss {
    Loss::CategoricalCrossentropy { from_logits }
}

const fn sparse(from_logits: bool) -> Loss {
    Loss::SparseCategoricalCrossentropy { from_logits }
}

/// Each way in which an activation of `units` can be the last one.
fn models(units: usize, activation: Activation) -> Vec<Sequential> {
    let dense = || Dense::new(units);
    let first = || Sequential::new([4]).add(dense().activation(Activation::Tanh));
    let shape = units as isize;
    vec![
        first().add(dense().activation(activation)),
        first().add(dense()).add(activation),
        first().add(dense().activation(activation)).add(Flatten),
        first().add(dense()).add(activation).add(Reshape::new([shape, 1])).add(Flatten),
        first().add(dense().activation(activation)).add(Activation::Linear),
    ]
}

/// The message that each of these models gives, and that it has all of `words`.
#[track_caller]
fn refused_with(units: usize, activation: Activation, loss: Loss, words: &[&str]) {
    for model in models(units, activation) {
        let error = compile(&model, Sgd::default(), loss).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
        says(&error, &[&["layer `", activation.name()], words].concat());
    }
}

/// The warnings of the first of these models; all have as many.
#[track_caller]
fn warnings(units: usize, activation: Activation, loss: Loss) -> Vec<String> {
    let all = models(units, activation)
        .into_iter()
        .map(|model| compile(&model, Sgd::default(), loss).unwrap().warnings().to_vec());
    let all: Vec<Vec<String>> = all.collect();
    assert!(all.iter().all(|own| own.len() == all[0].len()), "{all:?}");
    all[0].clone()
}

#[test]
fn numbers_without_bounds_are_no_probabilities() {
    for activation in [Activation::Linear, Activation::LogSoftmax] {
        let words = ["from_logits: false", "no probabilities", "set from_logits: true"];
        for loss in [categorical(false), sparse(false)] {
            refused_with(3, activation, loss, &[&words[..], &["Activation::Softmax"]].concat());
        }
        refused_with(
            3,
            activation,
            binary(false),
            &[&words[..], &["Activation::Sigmoid"]].concat(),
        );
    }
    let linear = Activation::Linear;
    refused_with(1, linear, binary(false), &["binary_crossentropy", "Activation::Sigmoid"]);
}

#[test]
fn probabilities_are_no_logits() {
    let words = ["from_logits: true", "no logits", "set from_logits: false", "linear"];
    for activation in [Activation::Softmax, Activation::Sigmoid, Activation::HardSigmoid] {
        for loss in [categorical(true), sparse(true), binary(true)] {
            refused_with(3, activation, loss, &words);
        }
    }
    refused_with(1, Activation::Sigmoid, binary(true), &words);
}

#[test]
fn one_unit_has_no_softmax() {
    for loss in [binary(false), binary(true), Loss::MeanSquaredError, Loss::MeanAbsoluteError] {
        refused_with(1, Activation::Softmax, loss, &["softmax of one unit", "Sigmoid"]);
    }
    for loss in [categorical(true), sparse(true), categorical(false), sparse(false)] {
        for activation in [Activation::Linear, Activation::Sigmoid, Activation::Softmax] {
            for model in models(1, activation) {
                let error = compile(&model, Sgd::default(), loss).map(|_| ()).unwrap_err();
                says(&error, &["one class", "BinaryCrossentropy", "a unit per class"]);
            }
        }
    }
}

#[test]
fn what_suits_is_taken_without_a_word() {
    let (linear, sigmoid, softmax) = (Activation::Linear, Activation::Sigmoid, Activation::Softmax);
    for (units, activation, loss) in [
        (3, linear, categorical(true)),
        (3, linear, sparse(true)),
        (3, softmax, categorical(false)),
        (3, softmax, sparse(false)),
        (3, sigmoid, sparse(false)),
        (2, softmax, binary(false)),
        (1, linear, binary(true)),
        (1, sigmoid, binary(false)),
        (3, sigmoid, binary(false)),
        (1, Activation::HardSigmoid, binary(false)),
        (1, Activation::ClippedLinear { low: 0.0, high: 1.0 }, binary(false)),
        (3, Activation::LogSoftmax, sparse(true)),
        (3, Activation::Relu, sparse(true)),
        (3, Activation::LeakyRelu { negative_slope: 0.2 }, binary(true)),
        (1, linear, Loss::MeanSquaredError),
        (3, softmax, Loss::MeanSquaredError),
        (1, Activation::Tanh, Loss::MeanAbsoluteError),
    ] {
        let found = warnings(units, activation, loss);
        assert!(found.is_empty(), "{activation:?} {loss:?}: {found:?}");
    }
}

#[test]
fn branches_and_shared_layers_are_seen_through() -> Result<()> {
    let device = support::device();
    let compiled = |outputs: &[wgrad::layers::SymbolicTensor], a, loss| -> Result<Trainer> {
        Model::new([a], outputs)?.compile(device, Compile::new(Sgd::default(), loss))
    };
    // One activation layer gives both outputs, one of them through Flatten.
    let a = input([4]);
    let shared = LayerHandle::new(Activation::Softmax).named("shared");
    let heads =
        [a.then(Dense::new(3)).then(&shared), a.then(Dense::new(3)).then(&shared).then(Flatten)];
    compiled(&heads, &a, sparse(false))?;
    for outputs in [&heads[..], &heads[1..]] {
        let error = compiled(outputs, &a, sparse(true)).map(|_| ()).unwrap_err();
        says(&error, &["layer `shared`", "softmax", "no logits"]);
    }
    // A separate loss for an output.
    let model = Model::new([&a], [&heads[0], &a.then(Dense::new(1))])?;
    let settings =
        |loss| Compile::new(Sgd::default(), sparse(false)).output_loss("dense_1", loss, 1.0);
    model.compile(device, settings(binary(true)))?;
    let error = model.compile(device, settings(binary(false))).map(|_| ()).unwrap_err();
    says(&error, &["layer `dense_1`", "binary_crossentropy", "Sigmoid"]);
    // Nothing is known of a sum, or of the data itself.
    let sum = merge(Add, [&heads[0], &heads[1]]);
    for from_logits in [true, false] {
        let trainer = compiled(std::slice::from_ref(&sum), &a, sparse(from_logits))?;
        assert!(trainer.warnings().is_empty());
        compiled(&[a.then(Flatten)], &a, sparse(from_logits))?;
        compiled(&[a.then(Activation::Linear)], &a, sparse(from_logits))?;
    }
    Ok(())
}

/// Layers that keep the range of what they are given hide no activation, also behind a model in the model.
#[test]
fn layers_that_keep_the_range_are_seen_through() -> Result<()> {
    type Behind = fn(Sequential) -> Sequential;
    let behind: [(&str, Behind); 16] = [
        ("dropout", |m| m.add(Dropout::new(0.5))),
        ("alpha dropout", |m| m.add(AlphaDropout::new(0.5))),
        ("noise", |m| m.add(GaussianNoise::new(0.5))),
        ("spatial dropout", |m| m.add(SpatialDropout2D::new(0.5))),
        ("permute", |m| m.add(Permute::new([2, 1, 3]))),
        ("repeat", |m| m.add(Flatten).add(RepeatVector::new(3)).add(Permute::new([2, 1]))),
        ("up", |m| m.add(UpSampling2D::new(2).interpolation(Interpolation::Bilinear))),
        ("crop", |m| m.add(Cropping2D::new(1))),
        ("center", |m| m.add(CenterCrop::new(2, 2))),
        ("resize", |m| m.add(Resizing::new(3, 5))),
        ("margins", |m| m.add(ZeroPadding2D::new(1))),
        ("mask", |m| m.add(Masking::new(0.0))),
        ("average", |m| m.add(AveragePooling2D::new(2))),
        ("largest", |m| m.add(GlobalMaxPooling2D::new())),
        ("adaptive", |m| m.add(AdaptiveAveragePooling2D::new(1))),
        ("each step", |m| m.add(TimeDistributed::new(Dropout::new(0.5)))),
    ];
    for (name, behind) in behind {
        for nested in [false, true] {
            let model = |activation| -> Result<Sequential> {
                let head = || Conv2D::new(3, 1).activation(activation).named("head");
                Ok(match nested {
                    true => {
                        let inner = Sequential::new([4, 4, 2]).add(head()).build()?;
                        behind(Sequential::new([4, 4, 2]).add(inner))
                    }
                    false => behind(Sequential::new([4, 4, 2]).add(head())),
                })
            };
            let compiled = |activation, loss| compile(&model(activation)?, Sgd::default(), loss);
            let (sigmoid, linear) = (Activation::Sigmoid, Activation::Linear);
            let error = compiled(sigmoid, binary(true)).map(|_| ()).unwrap_err();
            says(&error, &["head`", "sigmoid", "no logits"]);
            let error = compiled(linear, binary(false)).map(|_| ()).unwrap_err();
            says(&error, &["head`", "linear", "no probabilities"]);
            // What suits stays without a word.
            for (activation, loss) in [(sigmoid, binary(false)), (linear, binary(true))] {
                let trainer = compiled(activation, loss).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(trainer.warnings().is_empty(), "{name}: {:?}", trainer.warnings());
            }
        }
    }
    // Nothing is known behind a layer that gives other numbers.
    let other = Sequential::new([3]).add(Activation::Sigmoid).add(LayerNormalization::new());
    assert!(compile(&other, Sgd::default(), binary(true))?.warnings().is_empty());
    Ok(())
}

/// What progress wrote.
#[derive(Clone, Default)]
struct Out(std::sync::Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_may_be_meant_is_told_to_the_log_and_first_in_the_progress() -> Result<()> {
    let logged = logged();
    for (activation, loss, words) in [
        (Activation::Relu, binary(true), ["relu", "takes logits", "from 0 to inf"]),
        (Activation::Tanh, categorical(true), ["tanh", "takes logits", "from -1 to 1"]),
        (Activation::Tanh, binary(false), ["tanh", "takes probabilities", "Activation::Sigmoid"]),
        (Activation::Relu, sparse(false), ["relu", "takes probabilities", "Activation::Softmax"]),
    ] {
        let found = warnings(3, activation, loss);
        assert!(found.len() == 1, "{found:?}");
        let all = |text: &str| words.iter().all(|word| text.contains(word));
        assert!(all(&found[0]) && found[0].contains("layer `dense_1`"), "{found:?}");
        assert!(logged.lock().unwrap().contains(&found[0]), "{found:?}");
    }
    // A hidden softmax of one unit may be meant.
    let softmax = Dense::new(1).activation(Activation::Softmax);
    let model = Sequential::new([4]).add(softmax).add(Dense::new(3));
    let found = trainer(&model).warnings().to_vec();
    assert!(
        found.len() == 1 && found[0].contains("layer `dense`: a softmax of one unit"),
        "{found:?}"
    );

    let relu = Sequential::new([4]).add(Dense::new(3).activation(Activation::Relu).named("last"));
    let loss = Loss::BinaryCrossentropy { from_logits: true };
    let mut t = compile(&relu, Sgd::default(), loss)?;
    let data = TensorDataset::new(floats([6, 4]), floats([6, 3]))?;
    let out = Out::default();
    let lines = ProgressLines::to(out.clone());
    t.fit(&data, Fit::new().batch_size(3).epochs(2).verbose(Verbose::Silent).callback(lines))?;
    let text = String::from_utf8(out.0.lock().unwrap().clone()).expect("text");
    let shown: Vec<&str> = text.lines().collect();
    assert!(shown.len() == 3 && shown[0].starts_with("warning: layer `last`"), "{shown:?}");
    assert!(shown[1].starts_with("epoch 1/2"), "{shown:?}");
    Ok(())
}

#[test]
fn ranges_hold_the_values_of_each_activation() -> Result<()> {
    let x: Vec<f32> = (-4000..=4000).map(|i| i as f32 / 200.0).collect();
    for activation in [
        Activation::Linear,
        Activation::Relu,
        Activation::LeakyRelu { negative_slope: 0.9 },
        Activation::Elu { alpha: 1.5 },
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
        Activation::ClippedLinear { low: -0.5, high: 2.0 },
        Activation::Softmax,
        Activation::LogSoftmax,
    ] {
        let model = Sequential::new([2]).add(activation);
        let mut t = compile(&model, Sgd::default(), Loss::MeanSquaredError)?;
        let pairs: Vec<f32> = x.iter().flat_map(|&x| [x, -x]).collect();
        let y = t.predict(&Tensor::f32([x.len(), 2], pairs)?)?;
        let (low, high) = activation.range();
        let (least, most) =
            y.as_f32()?.iter().fold((f32::MAX, f32::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        assert!(low <= least && most <= high, "{activation:?}: {least} to {most}");
        // And no more than they need: an end without bound is one that values run towards.
        let tight = |bound: f32, end: f32| {
            if bound.is_finite() { (bound - end).abs() < 0.06 } else { end.abs() > 15.0 }
        };
        assert!(tight(low, least) && tight(high, most), "{activation:?}: {least} to {most}");
    }
    Ok(())
}
