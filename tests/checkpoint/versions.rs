//! Checkpoints of earlier versions, and what checkpoints say of losses, metrics and optimizers.

use super::format::{Parts, saved};
use super::*;
use serde_json::Value;
use wgrad::Result;
use wgrad::layers::NamedLayer;
use wgrad::optim::GradientTransform;

/// The checkpoint `bytes` of a model as `version` wrote it. Version 1 had the `Debug` form of each layer, and no description of
/// the whole model; versions 1 and 2 had that form of losses, metrics and optimizers. `edit` changes the text of layers.
fn older(
    bytes: &[u8],
    version: u64,
    layers: &[NamedLayer],
    edit: impl Fn(String) -> String,
) -> Vec<u8> {
    let mut parts = Parts::of(bytes);
    let mut json = parts.json();
    json["format_version"] = version.into();
    json.as_object_mut().unwrap().remove("crc32");
    let config = &mut json["config"];
    config["optimizer"]["settings"] =
        "Adam { learning_rate: Constant(0.05), beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 }".into();
    config["optimizer"]["gradients"] =
        "GradientTransform { clip: None, accumulation_steps: 1 }".into();
    config["outputs"][0]["loss"] = "SparseCategoricalCrossentropy { from_logits: true }".into();
    config["outputs"][0]["metrics"] = serde_json::json!(["Accuracy"]);
    if version == 1 {
        for (i, layer) in layers.iter().enumerate() {
            assert!(config["layers"][i]["settings"].is_object());
            config["layers"][i]["settings"] = edit(format!("{:?}", layer.layer)).into();
        }
        assert!(json.as_object_mut().unwrap().remove("model").is_some_and(|m| m.is_object()));
    }
    parts.metadata = Some(format!("{{\"crc32\":\"00000000\",{}", &json.to_string()[1..]));
    parts.bytes()
}

#[test]
fn checkpoints_of_earlier_versions_are_still_read() -> Result<()> {
    let folder = Folder::new("earlier");
    let (bytes, _) = saved(&folder);
    let path = folder.file("old.safetensors");
    let mut other = strayed();
    let mut load = |bytes: Vec<u8>| {
        std::fs::write(&path, bytes).unwrap();
        other.load_checkpoint(&path).map(|()| state(&other, &folder))
    };
    let same = |text: String| text;
    for version in [1, 2] {
        assert_eq!(load(older(&bytes, version, network().layers(), same))?, bytes, "{version}");
    }
    // The first files have a `Dense` without settings that came later.
    let first = |text: String| {
        let none = "Regularizer { l1: 0.0, l2: 0.0 }";
        let later = [
            format!(", activity_regularizer: {none}"),
            ", kernel_constraint: None".into(),
            ", bias_constraint: None".into(),
        ];
        later.iter().fold(text.clone(), |all, one| {
            assert!(!text.starts_with("Dense") || text.contains(one), "{text}");
            all.replace(one, "")
        })
    };
    assert_eq!(load(older(&bytes, 1, network().layers(), first))?, bytes);
    // The controls: other settings are refused, in each version.
    let wider = Sequential::new([6]).add(Dense::new(16)).add(Dropout::new(0.5)).add(Dense::new(3));
    let refused = load(older(&bytes, 1, wider.build()?.layers(), first)).unwrap_err();
    says(&refused, &["layers.dense.settings.activation", "has Linear", "has Relu"]);
    let penalty = |text: String| text.replace("l2: 0.0", "l2: 0.5");
    let refused = load(older(&bytes, 1, network().layers(), penalty)).unwrap_err();
    says(&refused, &["layers.dense.settings", "l2", "has 0.5", "has 0.0"]);
    for version in [1, 2] {
        let mut parts = Parts::of(&older(&bytes, version, network().layers(), same));
        parts.replace("Constant(0.05)", "Constant(0.25)");
        says(
            &load(parts.bytes()).unwrap_err(),
            &["optimizer.settings.learning_rate", "0.25", "0.05"],
        );
    }
    std::fs::write(&path, older(&bytes, 1, network().layers(), same)).unwrap();
    says(&Model::load(&path).unwrap_err(), &["model", "an earlier version", "Predictor::load"]);
    // A setting that came after the file and that asks for something is a difference.
    std::fs::write(&path, older(&bytes, 1, network().layers(), first)).unwrap();
    let bounded = Dense::new(16).activation(Activation::Relu).kernel_constraint(Constraint::NonNeg);
    let bounded = Sequential::new([6]).add(bounded).add(Dropout::new(0.25)).add(Dense::new(3));
    let error = bounded.compile(device(), settings())?.load_checkpoint(&path).unwrap_err();
    says(&error, &["layers.dense.settings.kernel_constraint", "has nothing"]);
    Ok(())
}

/// A file that lacks a setting of a layer has the setting's default.
#[test]
fn a_setting_that_came_later_has_its_default() -> Result<()> {
    let folder = Folder::new("later");
    let (bytes, _) = saved(&folder);
    let mut parts = Parts::of(&bytes);
    let mut json = parts.json();
    for layer in json["config"]["layers"].as_array_mut().unwrap() {
        layer["settings"].as_object_mut().unwrap().remove("use_bias");
    }
    json.as_object_mut().unwrap().remove("crc32");
    parts.metadata = Some(format!("{{\"crc32\":\"00000000\",{}", &json.to_string()[1..]));
    let mut other = strayed();
    other.load_checkpoint_from_bytes(&parts.bytes())?;
    assert_eq!(state(&other, &folder), bytes);
    parts.replace("\"units\":16", "\"units\":15");
    let error = other.load_checkpoint_from_bytes(&parts.bytes()).unwrap_err();
    says(&error, &["layers.dense.settings.units", "has 15", "has 16"]);
    Ok(())
}

#[test]
fn a_functional_model_of_the_same_layers_is_the_same_for_training() -> Result<()> {
    let folder = Folder::new("functional");
    let (bytes, _) = saved(&folder);
    let x = input([6]);
    let first = x.then(Dense::new(16).activation(Activation::Relu));
    let y = first.then(Dropout::new(0.25)).then(Dense::new(3));
    let mut functional = Model::new([&x], [&y])?.compile(device(), settings())?;
    functional.load_checkpoint_from_bytes(&bytes)?;
    let mut other = strayed();
    other.load_checkpoint_from_bytes(&bytes)?;
    assert_eq!(digest(&functional), digest(&other));
    Ok(())
}

/// Each loss, metric, optimizer and schedule differs from every other, and from itself with another setting.
#[test]
fn parts_as_data_tell_settings_apart() {
    let distinct = |list: Vec<Value>| {
        for (i, a) in list.iter().enumerate() {
            assert!(list[..i].iter().all(|b| a != b), "{a}");
        }
    };
    let logits = |from_logits| {
        [
            Loss::BinaryCrossentropy { from_logits },
            Loss::CategoricalCrossentropy { from_logits },
            Loss::SparseCategoricalCrossentropy { from_logits },
        ]
    };
    let losses = [Loss::MeanSquaredError, Loss::MeanAbsoluteError];
    let huber = [0.5, 1.0].map(|delta| Loss::Huber { delta });
    let losses = losses.into_iter().chain(huber).chain(logits(true)).chain(logits(false));
    distinct(losses.map(|loss| loss.config()).collect());
    let scores = |average: Option<ClassAverage>, threshold: f32| {
        [
            Metric::Precision { average, threshold },
            Metric::Recall { average, threshold },
            Metric::F1 { average, threshold },
        ]
    };
    let averages = [
        None,
        Some(ClassAverage::Binary),
        Some(ClassAverage::Macro),
        Some(ClassAverage::Micro),
        Some(ClassAverage::Weighted),
    ];
    let metrics = averages.into_iter().flat_map(|a| [scores(a, 0.5), scores(a, 0.25)]).flatten();
    let metrics = metrics.chain([0.5, 0.25].into_iter().flat_map(|threshold| {
        [Metric::BinaryAccuracy { threshold }, Metric::ConfusionMatrix { threshold }]
    }));
    let metrics = metrics.chain([3, 5].into_iter().flat_map(|k| {
        [Metric::TopKCategoricalAccuracy { k }, Metric::SparseTopKCategoricalAccuracy { k }]
    }));
    let metrics = metrics.chain([
        Metric::Accuracy,
        Metric::CategoricalAccuracy,
        Metric::SparseCategoricalAccuracy,
        Metric::Auc,
        Metric::MeanSquaredError,
        Metric::RootMeanSquaredError,
        Metric::MeanAbsoluteError,
        Metric::R2Score,
    ]);
    distinct(metrics.map(|metric| metric.config()).collect());
    // Each field of each schedule counts.
    let cosine = CosineDecay::new(0.1, 9);
    let restarts = CosineDecayRestarts::new(0.1, 9);
    let cycle = OneCycle::new(0.1, 9);
    let exponential = ExponentialDecay::new(0.1, 9, 0.5);
    let inverse = InverseTimeDecay::new(0.1, 9, 0.5);
    let line = PolynomialDecay::new(0.1, 9);
    let schedules: Vec<Schedule> = vec![
        0.1.into(),
        0.2.into(),
        PiecewiseConstantDecay::new([5], [0.1, 0.2]).into(),
        PiecewiseConstantDecay::new([6], [0.1, 0.2]).into(),
        PiecewiseConstantDecay::new([5], [0.1, 0.3]).into(),
        exponential.into(),
        ExponentialDecay { initial_learning_rate: 0.2, ..exponential }.into(),
        ExponentialDecay { decay_steps: 8, ..exponential }.into(),
        ExponentialDecay { decay_rate: 0.25, ..exponential }.into(),
        ExponentialDecay { staircase: true, ..exponential }.into(),
        inverse.into(),
        InverseTimeDecay { initial_learning_rate: 0.2, ..inverse }.into(),
        InverseTimeDecay { decay_steps: 8, ..inverse }.into(),
        InverseTimeDecay { decay_rate: 0.25, ..inverse }.into(),
        InverseTimeDecay { staircase: true, ..inverse }.into(),
        line.into(),
        PolynomialDecay { initial_learning_rate: 0.2, ..line }.into(),
        PolynomialDecay { decay_steps: 8, ..line }.into(),
        PolynomialDecay { end_learning_rate: 0.01, ..line }.into(),
        PolynomialDecay { power: 2.0, ..line }.into(),
        PolynomialDecay { cycle: true, ..line }.into(),
        cosine.into(),
        CosineDecay { initial_learning_rate: 0.2, ..cosine }.into(),
        CosineDecay { decay_steps: 8, ..cosine }.into(),
        cosine.alpha(0.5).into(),
        cosine.warmup(0.3, 4).into(),
        cosine.warmup(0.3, 5).into(),
        cosine.warmup(0.4, 5).into(),
        restarts.into(),
        CosineDecayRestarts { initial_learning_rate: 0.2, ..restarts }.into(),
        CosineDecayRestarts { first_decay_steps: 8, ..restarts }.into(),
        restarts.t_mul(3.0).into(),
        restarts.m_mul(0.5).into(),
        restarts.alpha(0.5).into(),
        cycle.into(),
        OneCycle { max_learning_rate: 0.2, ..cycle }.into(),
        OneCycle { total_steps: 8, ..cycle }.into(),
        OneCycle { pct_start: 0.4, ..cycle }.into(),
        OneCycle { anneal: Anneal::Linear, ..cycle }.into(),
        OneCycle { div_factor: 20.0, ..cycle }.into(),
        OneCycle { final_div_factor: 2e4, ..cycle }.into(),
        OneCycle { three_phase: true, ..cycle }.into(),
    ];
    distinct(schedules.iter().map(Schedule::config).collect());
    let (adam, sgd, rms) = (Adam::default(), Sgd::default(), RmsProp::default());
    let adagrad = Adagrad::default();
    let optimizers: Vec<Box<dyn Optimizer>> = vec![
        Box::new(adam.clone()),
        Box::new(Adam::new(0.5)),
        Box::new(Adam { beta_1: 0.5, ..adam.clone() }),
        Box::new(Adam { beta_2: 0.5, ..adam.clone() }),
        Box::new(Adam { epsilon: 0.5, ..adam }),
        Box::new(AdamW::new(0.001, 0.1)),
        Box::new(AdamW::new(0.001, 0.2)),
        Box::new(sgd.clone()),
        Box::new(Sgd::new(0.5)),
        Box::new(Sgd { momentum: 0.5, ..sgd.clone() }),
        Box::new(Sgd { nesterov: true, ..sgd.clone() }),
        Box::new(Sgd { decay: 0.5, ..sgd }),
        Box::new(rms.clone()),
        Box::new(RmsProp::new(0.5)),
        Box::new(RmsProp { rho: 0.5, ..rms.clone() }),
        Box::new(RmsProp { momentum: 0.5, ..rms.clone() }),
        Box::new(RmsProp { epsilon: 0.5, ..rms.clone() }),
        Box::new(RmsProp { centered: true, ..rms }),
        Box::new(adagrad.clone()),
        Box::new(Adagrad::new(0.5)),
        Box::new(Adagrad { initial_accumulator_value: 0.5, ..adagrad.clone() }),
        Box::new(Adagrad { epsilon: 0.5, ..adagrad }),
    ];
    distinct(optimizers.iter().map(|o| o.config()).collect());
    let clips = [Clip::Value(1.0), Clip::Norm(1.0), Clip::GlobalNorm(1.0), Clip::Norm(2.0)];
    let clips = clips.into_iter().map(Some).chain([None]);
    let transforms = clips.flat_map(|clip| {
        [1, 2].map(|accumulation_steps| GradientTransform { clip, accumulation_steps }.config())
    });
    distinct(transforms.collect());
}
