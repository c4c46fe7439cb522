//! Models as data: every layer comes back from what it says of itself, and what is refused.

use super::config_layers::all;
use super::*;
use serde_json::{Value as Json, json};
use wgrad::activations::CustomActivation;
use wgrad::constraints::{Constraint, CustomConstraint};
use wgrad::layers::{CustomRegularizer, Lambda, ModelLoader, WeightSpec};
use wgrad::tensor::{CustomInitializer, Draws};

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
