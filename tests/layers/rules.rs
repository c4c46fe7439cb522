//! What a layer says of its weights is checked with the model, for every layer: the error names the layer and the value.

use super::config_layers::all;
use super::*;
use serde_json::{Value as Json, json};
use wgrad::layers::ModelLoader;

/// A setting outside its domain for each kind of setting, and what the error says of it.
fn bad(key: &str) -> Option<(Json, &'static str)> {
    let object = |class: &str, config: Json| json!({ "class_name": class, "config": config });
    let ends = |end: &str| key.ends_with(end);
    if ends("initializer") {
        Some((object("RandomNormal", json!({ "mean": 0.0, "stddev": -1.0 })), "stddev = -1"))
    } else if ends("regularizer") {
        Some((object("L1L2", json!({ "l1": 0.5, "l2": -0.25 })), "l2 = -0.25"))
    } else if ends("constraint") {
        Some((object("MaxNorm", json!({ "max_value": -2.0, "axis": 0 })), "max_value = -2"))
    } else if ends("activation") {
        let clipped = json!({ "module": "wgrad", "class_name": "ClippedLinear",
            "config": { "low": 2.0, "high": 1.0 } });
        Some((clipped, "clipped_linear = [2, 1]"))
    } else {
        None
    }
}

/// The places of settings in the layer's data, as JSON pointers. A weight that a layer does not have has no rules.
fn settings(config: &Json, at: &str, found: &mut Vec<(String, String)>) {
    let off = |switch: &str| config.get(switch) == Some(&json!(false));
    for (key, value) in config.as_object().into_iter().flatten() {
        let unused = key.starts_with("bias_") && off("use_bias")
            || key.starts_with("beta_") && off("center")
            || key.starts_with("gamma_") && off("scale");
        let place = format!("{at}/{key}");
        match bad(key) {
            Some(_) if unused => {}
            Some(_) => found.push((place, key.clone())),
            None => settings(value, &place, found),
        }
    }
    for (i, value) in config.as_array().into_iter().flatten().enumerate() {
        settings(value, &format!("{at}/{i}"), found);
    }
}

#[test]
fn every_layer_refuses_rules_outside_their_domain_by_name() -> Result<()> {
    let (mut kinds, mut taken) = (Vec::new(), Vec::new());
    for (layer, samples) in all() {
        let kind = layer.layer().kind();
        let inputs: Vec<SymbolicTensor> = samples.iter().map(|s| input(s.clone())).collect();
        let model = Model::new(&inputs, [&merge(&layer, &inputs)])?;
        let name = &model.layers()[0].name;
        let whole: Json = serde_json::from_str(&model.to_json()?).unwrap();
        let config = format!("/config/layers/{}/config", samples.len());
        let mut places = Vec::new();
        settings(whole.pointer(&config).unwrap(), &config, &mut places);
        for (place, key) in places {
            // A step of time has no penalty on its output, of whatever value.
            if kind == "TimeDistributed" && key == "activity_regularizer" {
                continue;
            }
            let (value, said) = bad(&key).unwrap();
            let mut broken = whole.clone();
            *broken.pointer_mut(&place).unwrap() = value;
            let loaded = ModelLoader::new().from_value(&broken);
            let Err(error) = loaded else {
                taken.push(format!("{kind} takes {place} with {said}"));
                continue;
            };
            assert!(matches!(&error, Error::Parameter { .. }), "{kind} {place}: {error:?}");
            says(&error, &[&format!("layer `{name}`"), said]);
            kinds.push((kind, key));
        }
        // The control: what was not broken is taken.
        ModelLoader::new().from_value(&whole)?;
    }
    assert!(taken.is_empty(), "{taken:#?}");
    // The table has weights of each kind.
    for (kind, key) in [
        ("Conv2D", "kernel_regularizer"),
        ("Conv3D", "activity_regularizer"),
        ("Conv2DTranspose", "kernel_initializer"),
        ("Conv2DTranspose", "activity_regularizer"),
        ("DepthwiseConv2D", "depthwise_regularizer"),
        ("DepthwiseConv2D", "activity_regularizer"),
        ("SeparableConv2D", "pointwise_initializer"),
        ("SeparableConv2D", "activity_regularizer"),
        ("Dense", "activity_regularizer"),
        ("LSTM", "recurrent_initializer"),
        ("MultiHeadAttention", "bias_regularizer"),
        ("GraphConv", "kernel_regularizer"),
        ("TimeDistributed", "kernel_constraint"),
        ("PReLU", "alpha_constraint"),
    ] {
        assert!(kinds.contains(&(kind, key.into())), "{kind} {key} is not in the table");
    }
    assert!(kinds.len() > 150, "{}", kinds.len());
    Ok(())
}

#[test]
fn the_error_names_the_weight() {
    let layer = Conv2D::new(3, 2).bias_regularizer(Regularizer::l1(f32::NAN));
    let error = refusal("conv2d", layer, &[4, 4, 1]);
    says(&error, &["bias: l1 = NaN"]);
    let layer = Dense::new(2).activity_regularizer(Regularizer::l2(-1.0));
    says(&refusal("dense", layer, &[3]), &["activity_regularizer: l2 = -1"]);
}
