//! Models that are described as Keras 3.15 writes `config.json`.

use super::*;
use serde_json::{Value as Json, json};
use wgrad::layers::ModelLoader;

fn policy() -> Json {
    json!({ "module": "keras", "class_name": "DTypePolicy", "config": { "name": "float32" }, "registered_name": null })
}

fn initializer(class: &str, config: Json) -> Json {
    json!({ "module": "keras.initializers", "class_name": class, "config": config, "registered_name": null })
}

/// A layer of a Keras file: its settings with those that every layer has.
fn layer(class: &str, name: &str, settings: Json, build: Json) -> Json {
    let mut config = json!({ "name": name, "trainable": true, "dtype": policy() });
    for (key, value) in settings.as_object().unwrap() {
        config[key] = value.clone();
    }
    json!({ "module": "keras.layers", "class_name": class, "config": config, "registered_name": null,
        "build_config": { "input_shape": build } })
}

fn input_layer(name: &str, shape: Json, dtype: &str) -> Json {
    json!({ "module": "keras.layers", "class_name": "InputLayer", "registered_name": null, "config": {
        "batch_shape": shape, "dtype": dtype, "sparse": false, "ragged": false, "name": name, "optional": false } })
}

fn dense(name: &str, units: u32, activation: &str) -> Json {
    let settings = json!({
        "units": units, "activation": activation, "use_bias": true,
        "kernel_initializer": initializer("GlorotUniform", json!({ "seed": null })),
        "bias_initializer": initializer("Zeros", json!({})),
        "kernel_regularizer": { "module": "keras.regularizers", "class_name": "L2", "config": { "l2": 0.01 },
            "registered_name": null },
        "bias_regularizer": null, "kernel_constraint": null, "bias_constraint": null,
        "quantization_config": null,
    });
    layer("Dense", name, settings, json!([null, 4]))
}

fn norm(class: &str, name: &str, more: Json) -> Json {
    let mut settings = json!({
        "epsilon": 0.001, "center": true, "scale": true,
        "beta_initializer": initializer("Zeros", json!({})), "gamma_initializer": initializer("Ones", json!({})),
        "beta_regularizer": null, "gamma_regularizer": null, "beta_constraint": null, "gamma_constraint": null,
    });
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    layer(class, name, settings, json!([null, 5, 8]))
}

fn whole(class: &str, config: Json) -> Json {
    json!({ "module": "keras", "class_name": class, "config": config, "registered_name": null,
        "build_config": { "input_shape": [null, 5, 4] },
        "compile_config": { "optimizer": "adam", "loss": "mse", "metrics": null, "jit_compile": true } })
}

#[test]
fn a_sequential_of_keras_is_read() -> Result<()> {
    let moving = json!({ "axis": -1, "momentum": 0.9, "synchronized": false,
        "moving_mean_initializer": initializer("Zeros", json!({})),
        "moving_variance_initializer": initializer("Ones", json!({})) });
    let layers = json!([
        input_layer("input_layer", json!([null, 5, 4]), "float32"),
        layer("Masking", "masking", json!({ "mask_value": -1.0 }), json!([null, 5, 4])),
        dense("dense", 8, "relu"),
        norm("BatchNormalization", "batch_normalization", moving),
        norm(
            "LayerNormalization",
            "layer_normalization",
            json!({ "axis": [2], "rms_scaling": false })
        ),
        layer(
            "SimpleRNN",
            "simple_rnn",
            json!({
            "return_sequences": true, "return_state": false, "go_backwards": false, "stateful": false,
            "unroll": false, "zero_output_for_mask": false, "units": 6, "activation": "tanh", "use_bias": true,
            "kernel_initializer": initializer("GlorotUniform", json!({ "seed": null })),
            "recurrent_initializer": initializer("Orthogonal", json!({ "seed": null, "gain": 1.0 })),
            "bias_initializer": initializer("Zeros", json!({})), "kernel_regularizer": null,
            "recurrent_regularizer": null, "bias_regularizer": null, "activity_regularizer": null,
            "kernel_constraint": null, "recurrent_constraint": null, "bias_constraint": null,
            "dropout": 0.0, "recurrent_dropout": 0.0, "seed": null }),
            json!([null, 5, 8])
        ),
        layer(
            "TimeDistributed",
            "time_distributed",
            json!({ "layer": dense("dense_1", 3, "linear") }),
            json!(null)
        ),
        layer(
            "Dropout",
            "dropout",
            json!({ "rate": 0.2, "seed": 7, "noise_shape": null }),
            json!(null)
        ),
        layer("Flatten", "flatten", json!({ "data_format": "channels_last" }), json!(null)),
        layer("Reshape", "reshape", json!({ "target_shape": [3, 5] }), json!(null)),
        layer("LeakyReLU", "leaky_re_lu", json!({ "negative_slope": 0.3 }), json!(null)),
        layer(
            "ReLU",
            "re_lu",
            json!({ "max_value": null, "negative_slope": 0.0, "threshold": 0.0 }),
            json!(null)
        ),
        layer("Activation", "activation", json!({ "activation": "softmax" }), json!(null)),
    ]);
    let file = whole(
        "Sequential",
        json!({ "name": "sequential", "trainable": true, "dtype": policy(),
        "layers": layers, "build_input_shape": [null, 5, 4] }),
    );
    let model = ModelLoader::new().from_json(&file.to_string())?;
    let rule = Regularizer::l2(0.01);
    let want = Sequential::new([5, 4])
        .add(Masking::new(-1.0))
        .add(Dense::new(8).activation(Activation::Relu).kernel_regularizer(rule))
        .add(BatchNormalization::new().momentum(0.9))
        .add(LayerNormalization::new().axes([2]))
        .add(SimpleRnn::new(6).return_sequences(true))
        .add(TimeDistributed::new(Dense::new(3).kernel_regularizer(rule).named("dense_1")))
        .add(Dropout::new(0.2))
        .add(Flatten)
        .add(Reshape::new([3, 5]))
        .add(Activation::LeakyRelu { negative_slope: 0.3 }.named("leaky_re_lu"))
        .add(Activation::Relu.named("re_lu"))
        .add(Activation::Softmax.named("activation"))
        .build()?;
    assert_eq!(format!("{:?}", model.layers()), format!("{:?}", want.layers()));
    assert_eq!(model.output_shapes(), want.output_shapes());
    // Without an InputLayer the shape is that of the whole.
    let mut bare = file.clone();
    bare["config"]["layers"].as_array_mut().unwrap().remove(0);
    assert_eq!(ModelLoader::new().from_value(&bare)?.output_shapes(), want.output_shapes());
    // What this library has not is refused by name, whatever else there is.
    let refused = |at: usize, name: &str, value: Json, words: &[&str]| {
        let mut other = file.clone();
        other["config"]["layers"][at]["config"][name] = value;
        says(&ModelLoader::new().from_value(&other).unwrap_err(), words);
    };
    refused(
        2,
        "kernel_constraint",
        json!({ "class_name": "MyNorm" }),
        &["dense.kernel_constraint", "`MyNorm`", "ModelLoader::constraint"],
    );
    refused(3, "axis", json!([1, 2]), &["batch_normalization.axis", "[1,2]", "one whole number"]);
    refused(3, "renorm", json!(true), &["batch_normalization.renorm", "no such setting"]);
    refused(4, "rms_scaling", json!(true), &["layer_normalization.rms_scaling"]);
    refused(5, "stateful", json!(true), &["simple_rnn.stateful", "stateful_batch_size"]);
    refused(5, "dropout", json!(1.5), &["simple_rnn", "dropout", "1.5"]);
    refused(8, "data_format", json!("channels_first"), &["flatten.data_format", "channels_first"]);
    refused(11, "threshold", json!(1.0), &["re_lu", "threshold is 1"]);
    Ok(())
}

fn keras_tensor(shape: Json, history: Json) -> Json {
    json!({ "class_name": "__keras_tensor__",
        "config": { "shape": shape, "dtype": "float32", "keras_history": history } })
}

fn functional() -> Json {
    let node = |args: Json| json!([{ "args": args, "kwargs": {} }]);
    let place = |mut layer: Json, nodes: Json| {
        layer["name"] = layer["config"]["name"].clone();
        layer["inbound_nodes"] = nodes;
        layer
    };
    let wide = json!([null, 8]);
    let tensor = |history: Json| keras_tensor(wide.clone(), history);
    let embedding = json!({
        "input_dim": 20, "output_dim": 8, "mask_zero": false, "activity_regularizer": null,
        "embeddings_initializer": initializer("RandomUniform", json!({ "minval": -0.05, "maxval": 0.05, "seed": null })),
        "embeddings_regularizer": null, "embeddings_constraint": null });
    let inner = whole(
        "Functional",
        json!({ "name": "inner", "trainable": false,
        "layers": [
            place(input_layer("in", wide.clone(), "float32"), json!([])),
            place(dense("same", 8, "gelu"), node(json!([tensor(json!(["in", 0, 0]))]))),
        ],
        "input_layers": [["in", 0, 0]], "output_layers": [["same", 0, 0]] }),
    );
    // One layer for two inputs, and a model inside whose uses are counted from 1.
    let shared = json!([
        { "args": [tensor(json!(["left", 0, 0]))], "kwargs": {} },
        { "args": [tensor(json!(["embedding", 0, 0]))], "kwargs": { "mask": null } },
    ]);
    whole(
        "Functional",
        json!({ "name": "functional", "trainable": true,
        "layers": [
            place(input_layer("left", json!([null, 8]), "float32"), json!([])),
            place(input_layer("ids", json!([null]), "int32"), json!([])),
            place(layer("Embedding", "embedding", embedding, json!(null)),
                node(json!([keras_tensor(json!([null]), json!(["ids", 0, 0]))]))),
            place(dense("shared", 8, "elu"), shared),
            place(layer("Add", "add", json!({}), json!(null)),
                node(json!([[tensor(json!(["shared", 0, 0])), tensor(json!(["shared", 1, 0]))]]))),
            place(inner, node(json!([tensor(json!(["add", 0, 0]))]))),
            place(layer("Concatenate", "joined", json!({ "axis": -1 }), json!(null)),
                node(json!([[tensor(json!(["inner", 1, 0])), tensor(json!(["left", 0, 0]))]]))),
            place(dense("class", 3, "softmax"), node(json!([keras_tensor(json!([null, 16]), json!(["joined", 0, 0]))]))),
        ],
        "input_layers": [["left", 0, 0], ["ids", 0, 0]], "output_layers": ["class", 0, 0] }),
    )
}

#[test]
fn a_functional_model_of_keras_is_read() -> Result<()> {
    let file = functional();
    let model = ModelLoader::new().from_value(&file)?;
    let rule = Regularizer::l2(0.01);
    let (left, ids) = (input_named("left", [8]), input_named("ids", []));
    let own = |units, activation| Dense::new(units).activation(activation).kernel_regularizer(rule);
    let shared = own(8, Activation::Elu { alpha: 1.0 }).named("shared");
    let start = input_named("in", [8]);
    let inner = Model::new([&start], [&start.then(own(8, Activation::Gelu).named("same"))])?;
    let both = [left.then(&shared), ids.then(Embedding::new(20, 8)).then(&shared)];
    let inside = merge(Add, &both).then(LayerHandle::new(&inner).named("inner").frozen());
    let joined = merge(Concatenate::default().named("joined"), [&inside, &left]);
    let want =
        Model::new([&left, &ids], [&joined.then(own(3, Activation::Softmax).named("class"))])?;
    assert_eq!(format!("{:?}", model.layers()), format!("{:?}", want.layers()));
    assert_eq!((model.calls(), model.inputs()), (want.calls(), want.inputs()));
    assert_eq!(model.summary(), want.summary());
    // What is written is what Keras wrote, in the words that both have.
    let back = model.to_value()?;
    let words = |value: &Json| {
        let layers = value["config"]["layers"].as_array().unwrap().iter();
        let said =
            layers.map(|l| json!([l["class_name"], l["name"], l["module"], l["registered_name"]]));
        let nodes = value["config"]["layers"].as_array().unwrap().iter().map(|l| {
            let nodes = l["inbound_nodes"].as_array().unwrap().iter();
            nodes.map(|node| node["args"].clone()).collect::<Json>()
        });
        (said.collect::<Json>(), nodes.collect::<Vec<Json>>())
    };
    let (mut said, mut wrote) = (words(&back), words(&file));
    // The order of layers is each library's own.
    for list in [&mut said.0, &mut wrote.0] {
        list.as_array_mut().unwrap().sort_by_key(ToString::to_string);
    }
    assert_eq!(said.0, wrote.0);
    let shown = |nodes: &[Json]| {
        let mut texts: Vec<String> =
            nodes.iter().map(|n| n.to_string().replace("int32", "float32")).collect();
        texts.sort();
        texts
    };
    assert_eq!(shown(&said.1), shown(&wrote.1));
    let settings = |value: &Json| {
        let layers = value["config"]["layers"].as_array().unwrap();
        layers.iter().find(|l| l["name"] == "class").unwrap()["config"].clone()
    };
    for (name, value) in settings(&back).as_object().unwrap() {
        assert_eq!(*value, settings(&file)[name], "{name}");
    }
    Ok(())
}

#[test]
fn what_does_not_connect_is_named() {
    let file = functional();
    let refused = |path: &str, new: Json, words: &[&str]| {
        let mut other = file.clone();
        *other.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = new;
        says(&ModelLoader::new().from_value(&other).unwrap_err(), words);
    };
    let layers = "/config/layers";
    let history = format!("{layers}/4/inbound_nodes/0/args/0/0/config/keras_history");
    refused(&history, json!(["none", 0, 0]), &["add.inbound_nodes", "\"none\"", "no layer"]);
    refused(&history, json!(["shared", 2, 0]), &["add.inbound_nodes", "no layer gives"]);
    refused(&history, json!(["add", 0, 0]), &["add.inbound_nodes", "depends on it"]);
    refused(&history, json!(["shared", 0, 1]), &["shared", "output = 1"]);
    refused(&history, json!(["inner", 0, 0]), &["names a use of `inner`"]);
    let node = format!("{layers}/3/inbound_nodes/0");
    refused(
        &format!("{node}/kwargs"),
        json!({ "training": true }),
        &["shared", "`training` = true"],
    );
    refused(&format!("{node}/args/0"), json!(2.5), &["shared", "takes 2.5"]);
    refused(&node, json!([["left", 0, 0, {}]]), &["shared", "Keras 3"]);
    refused("/config/output_layers", json!(["class", 5, 0]), &["output_layers", "use of `class`"]);
    refused("/config/output_layers", json!([]), &["an input and an output"]);
    refused("/config/input_layers", json!([["left", 0, 0]]), &["not in the list of inputs"]);
    refused(&format!("{layers}/4/name"), json!("shared"), &["second layer", "`shared`"]);
    refused(&format!("{layers}/5/class_name"), json!("Encoder"), &["inner", "no layer `Encoder`"]);
}

/// A `Normalization` that was given its statistics has them in its config.
#[test]
fn given_statistics_of_keras_are_read() -> Result<()> {
    let file = |mean: Json, variance: Json| {
        let settings = json!({ "axis": [-1], "invert": false, "mean": mean, "variance": variance });
        let layers = json!([layer("Normalization", "normalization", settings, json!([null, 3]))]);
        whole("Sequential", json!({ "layers": layers, "build_input_shape": [null, 3] }))
    };
    let read = |mean, variance| ModelLoader::new().from_value(&file(mean, variance));
    let values = |m: &Model| m.weights().map(|(_, w)| w.values).collect::<Vec<_>>();
    let given = Normalization::new().statistics([0.5, 1.0, 2.0], [1.0, 4.0, 0.25])?;
    let want = Sequential::new([3]).add(given).build()?;
    let got = read(json!([0.5, 1.0, 2.0]), json!([1.0, 4.0, 0.25]))?;
    assert!(values(&got) == values(&want) && values(&got)[0].is_some());
    assert!(values(&read(json!(null), json!(null))?)[0].is_none());
    let error = read(json!([0.5, 1.0, 2.0]), json!([1.0, -4.0, 0.25])).unwrap_err();
    says(&error, &["normalization.mean", "variance = -4"]);
    Ok(())
}

/// Layers of augmentation, as Keras 3.15.1 describes them.
#[test]
fn augmentation_of_keras_is_read() -> Result<()> {
    let filled = |mode: &str| {
        json!({ "data_format": "channels_last", "fill_mode": mode, "fill_value": 0.0,
            "interpolation": "bilinear", "seed": null })
    };
    let with = |mut to: Json, more: Json| {
        for (key, value) in more.as_object().unwrap() {
            to[key] = value.clone();
        }
        to
    };
    let factors =
        |height: Json, width: Json| json!({ "height_factor": height, "width_factor": width });
    let range = |factor: Json, range: Json| json!({ "data_format": "channels_last", "factor": factor, "value_range": range, "seed": null });
    let cases: [(&str, Json, LayerHandle); 8] = [
        (
            "RandomFlip",
            json!({ "data_format": "channels_last", "seed": 3, "mode": "horizontal" }),
            RandomFlip::new(FlipMode::Horizontal).into(),
        ),
        (
            "RandomTranslation",
            with(filled("reflect"), factors(json!(0.1), json!([-0.2, 0.3]))),
            RandomTranslation::new(0.1, (-0.2, 0.3)).into(),
        ),
        (
            "RandomCrop",
            json!({ "data_format": "channels_last", "height": 3, "width": 4, "seed": 682185148 }),
            RandomCrop::new(3, 4).into(),
        ),
        (
            "RandomRotation",
            with(filled("wrap"), json!({ "factor": [-0.2, 0.2] })),
            RandomRotation::new((-0.2, 0.2)).fill_mode(FillMode::Wrap).into(),
        ),
        (
            "RandomZoom",
            with(filled("constant"), factors(json!(0.3), json!(null))),
            RandomZoom::new(0.3).fill_mode(FillMode::Constant).into(),
        ),
        (
            "RandomZoom",
            with(filled("nearest"), factors(json!([-0.3, 0.1]), json!(0.2))),
            RandomZoom::new((-0.3, 0.1)).width_factor(0.2).fill_mode(FillMode::Nearest).into(),
        ),
        // Keras makes a pair of one number, with 0 as the lower.
        (
            "RandomContrast",
            range(json!([0, 0.2]), json!([0, 255])),
            RandomContrast::new((0.0, 0.2)).into(),
        ),
        (
            "RandomBrightness",
            range(json!([-0.1, 0.3]), json!([0, 1])),
            RandomBrightness::new((-0.1, 0.3)).value_range(0.0, 1.0).into(),
        ),
    ];
    let read = |class: &str, settings: Json| {
        let layers = json!([layer(class, "layer", settings, json!([null, 5, 6, 3]))]);
        let stack = json!({ "layers": layers, "build_input_shape": [null, 5, 6, 3] });
        ModelLoader::new().from_value(&whole("Sequential", stack))
    };
    for (class, settings, want) in cases {
        let got = read(class, settings.clone())?;
        assert_eq!(
            format!("{:?}", got.layers()[0].layer),
            format!("{:?}", want.layer()),
            "{class}"
        );
        let first = with(settings, json!({ "data_format": "channels_first" }));
        says(&read(class, first).unwrap_err(), &["data_format", "channels_last"]);
    }
    let missing = read("RandomRotation", filled("wrap")).unwrap_err();
    says(&missing, &["factor", "missing"]);
    let mode = with(filled("mirror"), json!({ "factor": 0.1 }));
    says(&read("RandomRotation", mode).unwrap_err(), &["fill_mode", "mirror", "reflect"]);
    let three = with(filled("wrap"), json!({ "factor": [0.1, 0.2, 0.3] }));
    says(&read("RandomRotation", three).unwrap_err(), &["factor", "one or two numbers"]);
    Ok(())
}
