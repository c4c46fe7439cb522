//! Checks the oracle: its formulas against values recorded from Keras 3 (`tests/known/README.md` says how), its parts
//! against tables and against each other.
//!
//! This needs no adapter and nothing of the library.

mod recording;
mod reference;

#[path = "reference/checks.rs"]
mod checks;

use anyhow::{Context, Result, ensure};
use recording::{agree, data, labels, last_axis, number, recording, text, wide};
use reference::compare::compare;
use reference::gradient::{STEP, numeric_gradient};
use reference::losses::batch_mean;
use reference::network::Network;
use reference::optim::{Adagrad, Adam, AdamW, RmsProp, Sgd};
use reference::{elementwise, linalg, losses, optim, softmax};
use serde_json::Value;

#[test]
fn softmax_agrees_with_keras() -> Result<()> {
    for entry in recording("softmax")? {
        let name = text(&entry, "name")?;
        let (x, cols) = (wide(&entry["x"])?, last_axis(&entry["x"])?);
        let check = |key: &str, want: Vec<f64>| -> Result<()> {
            agree(&format!("{key} {name}"), &data(&entry[key])?, &want, 1e-6, 1e-7);
            Ok(())
        };
        check("softmax", softmax::softmax(&x, cols))?;
        check("log_softmax", softmax::log_softmax(&x, cols))?;
        check("logsumexp", softmax::logsumexp(&x, cols))?;
    }
    // The textbook values, as quoted in three digits, of which the last is not always rounded.
    let quoted = [0.665, 0.245, 0.090, 0.659, 0.242, 0.098];
    let got = softmax::softmax(&[2.0, 1.0, 0.0, 2.0, 1.0, 0.1], 3);
    let near = got.iter().zip(quoted).all(|(got, want)| (got - want).abs() <= 1e-3);
    ensure!(near, "softmax {got:?}, quoted {quoted:?}");
    Ok(())
}

type Loss = Box<dyn Fn(&[f64]) -> Vec<f64>>;

/// The oracle's per-sample loss for a recorded case, as a function of the predictions.
fn loss(entry: &Value) -> Result<Loss> {
    let (kind, config) = (text(entry, "loss")?, &entry["config"]);
    let (y, cols) = (wide(&entry["y_true"])?, last_axis(&entry["y_pred"])?);
    let logits = config["from_logits"].as_bool().unwrap_or(false);
    Ok(match (kind, logits) {
        ("MeanSquaredError", _) => Box::new(move |p| losses::mse(&y, p, cols)),
        ("MeanAbsoluteError", _) => Box::new(move |p| losses::mae(&y, p, cols)),
        ("Huber", _) => {
            let delta = number(config, "delta")?;
            Box::new(move |p| losses::huber(&y, p, cols, delta))
        }
        ("BinaryCrossentropy", false) => {
            Box::new(move |p| losses::binary_crossentropy(&y, p, cols))
        }
        ("BinaryCrossentropy", true) => {
            Box::new(move |p| losses::binary_crossentropy_logits(&y, p, cols))
        }
        ("CategoricalCrossentropy", false) => {
            Box::new(move |p| losses::categorical_crossentropy(&y, p, cols))
        }
        ("CategoricalCrossentropy", true) => {
            Box::new(move |p| losses::categorical_crossentropy_logits(&y, p, cols))
        }
        ("SparseCategoricalCrossentropy", logits) => {
            let y = labels(&entry["y_true"])?;
            Box::new(move |p| match logits {
                false => losses::sparse_categorical_crossentropy(&y, p, cols),
                true => losses::sparse_categorical_crossentropy_logits(&y, p, cols),
            })
        }
        _ => anyhow::bail!("the oracle has no loss {kind:?}"),
    })
}

#[test]
fn losses_agree_with_keras() -> Result<()> {
    for entry in recording("losses")? {
        let name = text(&entry, "name")?;
        let (f, p) = (loss(&entry)?, wide(&entry["y_pred"])?);
        let value = f(&p);
        // In f32 the upper bound of a clipped probability is 1 - 2^-23, not 1 - 1e-7. A check below shows what that
        // changes in the logarithm.
        let saturated = name.contains("saturated");
        let rtol = if saturated { 0.02 } else { 2e-6 };
        agree(name, &data(&entry["per_sample"])?, &value, rtol, 2e-7);
        agree(&format!("mean {name}"), &data(&entry["mean"])?, &[batch_mean(&value)], rtol, 2e-7);

        // Probabilities need a small step: their logarithms are steep, and the step must not leave the range in which
        // they are clipped.
        let probabilities = entry["config"]["from_logits"] == false;
        let (h, atol) = match (saturated, probabilities) {
            (true, _) => (1e-9, 1e-5),
            (false, true) => (1e-6, 2e-7),
            (false, false) => (STEP, 2e-7),
        };
        let grad = numeric_gradient(|p| batch_mean(&f(p)), &p, h);
        agree(&format!("gradient {name}"), &data(&entry["grad"])?, &grad, 2e-6, atol);

        let (y, cols) = (wide(&entry["y_true"])?, last_axis(&entry["y_pred"])?);
        let analytic = match (text(&entry, "loss")?, entry["config"]["from_logits"] == true) {
            ("BinaryCrossentropy", true) => losses::binary_crossentropy_logits_grad(&y, &p, cols),
            ("CategoricalCrossentropy", true) => {
                losses::categorical_crossentropy_logits_grad(&y, &p, cols)
            }
            _ => continue,
        };
        agree(&format!("analytic {name}"), &data(&entry["grad"])?, &analytic, 2e-6, 1e-7);
    }
    Ok(())
}

#[test]
fn clipped_probabilities_differ_by_the_rounding_of_the_bound() -> Result<()> {
    let entries = recording("losses")?;
    let entry = entries.iter().find(|entry| entry["name"] == "bce saturated");
    let recorded = data(&entry.context("no case")?["per_sample"])?;
    // Sample 1: targets 1 0 0 for probabilities 0 1 0. Two of the three answers are certain and wrong.
    let (low, high) = (1e-7f64.ln(), f64::from(2f32.powi(-23)).ln());
    agree("both bounds", &recorded[1..2], &[-(low + high) / 3.0], 1e-6, 1e-9);
    Ok(())
}

/// One recorded run of an optimizer: the parameters after each step, by the oracle.
fn run(entry: &Value, first_step: u64, epsilon: Option<f64>) -> Result<Vec<f64>> {
    let c = &entry["config"];
    let n = |key: &str| number(c, key);
    let eps = || epsilon.map_or_else(|| n("epsilon"), Ok);
    let lr = n("learning_rate")?;
    let mut p = wide(&entry["initial"])?;
    let len = p.len();
    let zeros = || vec![0.0; len];
    let (mut s1, mut s2, mut s3) = (zeros(), zeros(), zeros());
    let adam = || -> Result<Adam> {
        Ok(Adam { lr, beta_1: n("beta_1")?, beta_2: n("beta_2")?, epsilon: eps()? })
    };
    let mut all = Vec::new();
    for (i, g) in wide(&entry["gradients"])?.chunks_exact(len).enumerate() {
        let step = first_step + i as u64;
        match text(entry, "optimizer")? {
            "SGD" => {
                let nesterov = c["nesterov"] == true;
                let decay = c["decay"].as_f64().unwrap_or(0.0);
                let c = Sgd { lr, momentum: n("momentum")?, nesterov, decay };
                optim::sgd(&c, step, &mut p, g, &mut s1);
            }
            "RMSprop" => {
                let centered = c["centered"] == true;
                let (rho, momentum) = (n("rho")?, n("momentum")?);
                let c = RmsProp { lr, rho, momentum, epsilon: eps()?, centered };
                optim::rmsprop(&c, &mut p, g, &mut s1, &mut s2, &mut s3);
            }
            "Adagrad" => {
                let initial_accumulator = n("initial_accumulator_value")?;
                let c = Adagrad { lr, initial_accumulator, epsilon: eps()? };
                if i == 0 {
                    s1.fill(c.initial_accumulator);
                }
                optim::adagrad(&c, &mut p, g, &mut s1);
            }
            "Adam" => optim::adam(&adam()?, step, &mut p, g, &mut s1, &mut s2),
            "AdamW" => {
                let c = AdamW { adam: adam()?, weight_decay: n("weight_decay")? };
                optim::adamw(&c, step, &mut p, g, &mut s1, &mut s2);
            }
            other => anyhow::bail!("the oracle has no optimizer {other:?}"),
        }
        all.extend_from_slice(&p);
    }
    Ok(all)
}

#[test]
fn optimizers_agree_with_keras() -> Result<()> {
    for entry in recording("optimizers")? {
        let (name, recorded) = (text(&entry, "name")?, data(&entry["parameters"])?);
        let (rtol, atol) = (1e-6, 5e-7);
        agree(name, &recorded, &run(&entry, 0, None)?, rtol, atol);

        // The recording tells a wrong epsilon and a wrong count of steps apart from the right ones.
        let refused = |want: Vec<f64>| compare(name, &recorded, &want, rtol, atol).is_err();
        if entry["config"]["epsilon"].is_number() && name != "adagrad" {
            ensure!(refused(run(&entry, 0, Some(0.0))?), "{name} does not see epsilon");
        }
        if name.contains("decay") || name.contains("adam") {
            ensure!(refused(run(&entry, 1, None)?), "{name} does not see the step");
        }
    }
    Ok(())
}

#[test]
fn network_gradients_agree_with_keras() -> Result<()> {
    for entry in recording("networks")? {
        let name = text(&entry, "name")?;
        let weights = entry["weights"].as_array().context("weights")?;
        let network = Network {
            x: wide(&entry["x"])?,
            labels: labels(&entry["labels"])?,
            weights: weights.iter().map(wide).collect::<Result<_>>()?,
            activation: text(&entry, "activation")?.to_owned(),
        };
        let (logits, z, _) = network.forward(&network.weights);
        ensure!(z.iter().any(|&z| z < 0.0) && z.iter().any(|&z| z > 0.0), "one-sided {name}");
        agree(&format!("logits {name}"), &data(&entry["logits"])?, &logits, 2e-6, 2e-7);
        let loss = network.loss(&network.weights);
        agree(&format!("loss {name}"), &data(&entry["loss"])?, &[loss], 1e-6, 1e-7);

        for (i, by_chain_rule) in network.backward().iter().enumerate() {
            let recorded = data(&entry["grads"][i])?;
            agree(&format!("grad {i} {name}"), &recorded, by_chain_rule, 2e-6, 2e-7);
            let mut weights = network.weights.clone();
            let at = |w: &[f64]| {
                weights[i].copy_from_slice(w);
                network.loss(&weights)
            };
            let numeric = numeric_gradient(at, &network.weights[i], STEP);
            agree(&format!("numeric grad {i} {name}"), &recorded, &numeric, 2e-6, 2e-7);
        }
    }
    Ok(())
}

#[test]
fn activations_agree_with_keras() -> Result<()> {
    for entry in recording("activations")? {
        let (name, config) = (text(&entry, "name")?, &entry["config"]);
        let params: Vec<f64> =
            ["negative_slope", "alpha"].iter().filter_map(|key| config[key].as_f64()).collect();
        let x = wide(&entry["x"])?;
        let y: Vec<f64> = x.iter().map(|&x| elementwise::unary(name, &params, x)).collect();
        agree(&format!("{name}{params:?}"), &data(&entry["y"])?, &y, 2e-6, 2e-7);

        // At a joint the derivative is a choice, and Keras' own differs between its backends.
        let joints = elementwise::joints(name, &params);
        let kinks = entry["kinks"].as_array().context("kinks")?;
        ensure!(kinks.iter().map(Value::as_f64).eq(joints.iter().copied().map(Some)), "{name}");
        let smooth = x.iter().zip(data(&entry["dy"])?).filter(|(x, _)| !joints.contains(x));
        let (x, recorded): (Vec<f64>, Vec<f32>) = smooth.unzip();
        let slope: Vec<f64> =
            x.iter().map(|&x| elementwise::unary_derivative(name, &params, x)).collect();
        agree(&format!("{name}{params:?} derivative"), &recorded, &slope, 2e-6, 2e-7);
    }
    Ok(())
}

#[test]
fn penalties_agree_with_keras() -> Result<()> {
    for entry in recording("regularizers")? {
        let name = text(&entry, "name")?;
        let (l1, l2) = (number(&entry, "l1")?, number(&entry, "l2")?);
        let (x, y) = (wide(&entry["x"])?, wide(&entry["y_true"])?);
        let (kernel, bias) = (wide(&entry["kernel"])?, wide(&entry["bias"])?);
        let (inputs, units) = (kernel.len() / bias.len(), bias.len());
        let batch = y.len() / units;
        let data_loss = |kernel: &[f64], bias: &[f64]| {
            let p = linalg::matmul(&x, kernel, 1, batch, units, inputs, false, false);
            batch_mean(&losses::mse(&y, &linalg::add_bias(&p, bias), units))
        };
        let penalty = optim::l1_l2(&kernel, l1, l2);
        agree(&format!("{name} penalty"), &data(&entry["penalty"])?, &[penalty], 1e-6, 1e-7);
        let loss = data_loss(&kernel, &bias) + penalty;
        agree(&format!("{name} loss"), &data(&entry["loss"])?, &[loss], 1e-6, 1e-7);

        let slope = optim::l1_l2_grad(&kernel, l1, l2);
        let grad = numeric_gradient(|k| data_loss(k, &bias), &kernel, STEP);
        let grad: Vec<f64> = grad.iter().zip(slope).map(|(a, b)| a + b).collect();
        agree(&format!("{name} kernel"), &data(&entry["grads"][0])?, &grad, 2e-6, 2e-7);
        let grad = numeric_gradient(|b| data_loss(&kernel, b), &bias, STEP);
        agree(&format!("{name} bias"), &data(&entry["grads"][1])?, &grad, 2e-6, 2e-7);
    }
    Ok(())
}
