//! The library on an adapter against values recorded from Keras 3 (`tests/known/README.md` says how).
//!
//! Both sides compute in f32, so tolerances count roundings of 2^-24 = 6e-8 and what the Vulkan
//! specification allows a function: `exp` 3 + 2|x| units in the last place, `log` 3 of them and 2^-21
//! between 1/2 and 2, a division 2.5.

#[path = "known/classification.rs"]
mod classification;
mod recording;
mod reference;
#[path = "known/steps.rs"]
mod steps;
mod support;

use anyhow::{Context, Result, bail, ensure};
use recording::{agree, data, entries, labels, number, recording, text, wide};
use serde_json::Value as Json;
use std::sync::Arc;
use support::{device, run};
use wgrad::activations::Activation;
use wgrad::autodiff::gradients;
use wgrad::gpu::{Executor, StepBlock, Store, block_on};
use wgrad::graph::Graph;
use wgrad::layers::{Dense, Model, Regularizer, Sequential};
use wgrad::losses::Loss;
use wgrad::optim::{Adagrad, Adam, AdamW, Optimizer, RmsProp, Schedule, Sgd};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Shape, Tensor};

fn shape(tensor: &Json) -> Result<Shape> {
    let dims = tensor["shape"].as_array().context("a shape")?.iter();
    let dims: Option<Vec<usize>> = dims.map(|d| Some(d.as_u64()? as usize)).collect();
    Ok(Shape::from(dims.context("extents are whole numbers")?))
}

fn floats(tensor: &Json) -> Result<Tensor> {
    Ok(Tensor::f32(shape(tensor)?, data(tensor)?)?)
}

fn classes(tensor: &Json) -> Result<Tensor> {
    let labels: Vec<u32> = labels(tensor)?.into_iter().map(|l| l as u32).collect();
    Ok(Tensor::u32([labels.len()], labels)?)
}

/// What the graph gives for each of its outputs, as flat f32.
fn outputs(graph: &Graph, inputs: &[(&str, &Tensor)]) -> Result<Vec<Vec<f32>>> {
    let read = run(graph, inputs, &[])?;
    read.iter().map(|t| Ok(t.as_f32()?.to_vec())).collect()
}

#[test]
fn softmax_agrees_with_keras() -> Result<()> {
    for entry in recording("softmax")? {
        let (name, x) = (text(&entry, "name")?, floats(&entry["x"])?);
        let mut g = Graph::new();
        let input = g.input("x", x.shape(), DType::F32);
        let (p, log_p) = (g.softmax(input)?, g.log_softmax(input)?);
        g.output("softmax", p);
        g.output("log_softmax", log_p);
        let got = outputs(&g, &[("x", &x)])?;
        // The exponent's own 3 + 2|x| units are 2e-6 of an e^x at x = -16; smaller ones fall under
        // the absolute part.
        agree(&format!("softmax {name}"), &got[0], &wide(&entry["softmax"])?, 2e-6, 1e-7);
        // 2^-21 of the logarithm, and the rounding of x - max.
        agree(&format!("log_softmax {name}"), &got[1], &wide(&entry["log_softmax"])?, 2e-7, 5e-7);
    }
    Ok(())
}

#[test]
fn softmax_gives_the_textbook_values() -> Result<()> {
    let mut g = Graph::new();
    let input = g.input("x", [2, 3], DType::F32);
    let p = g.softmax(input)?;
    g.output("p", p);
    let x = Tensor::f32([2, 3], [2.0, 1.0, 0.0, 2.0, 1.0, 0.1])?;
    let got = outputs(&g, &[("x", &x)])?;
    // Quoted in three digits, of which the last is not always rounded.
    let quoted = [0.665, 0.245, 0.090, 0.659, 0.242, 0.098];
    agree("quoted softmax", &got[0], &quoted, 0.0, 1e-3);
    Ok(())
}

fn loss(entry: &Json) -> Result<Loss> {
    let config = &entry["config"];
    let from_logits = config["from_logits"].as_bool().unwrap_or(false);
    Ok(match text(entry, "loss")? {
        "MeanSquaredError" => Loss::MeanSquaredError,
        "MeanAbsoluteError" => Loss::MeanAbsoluteError,
        "Huber" => Loss::Huber { delta: number(config, "delta")? as f32 },
        "BinaryCrossentropy" => Loss::BinaryCrossentropy { from_logits },
        "CategoricalCrossentropy" => Loss::CategoricalCrossentropy { from_logits },
        "SparseCategoricalCrossentropy" => Loss::SparseCategoricalCrossentropy { from_logits },
        other => bail!("no loss {other:?}"),
    })
}

#[test]
fn losses_agree_with_keras() -> Result<()> {
    for entry in recording("losses")? {
        let (name, loss) = (text(&entry, "name")?, loss(&entry)?);
        let p = floats(&entry["y_pred"])?;
        let y = match loss.takes_labels() {
            true => classes(&entry["y_true"])?,
            false => floats(&entry["y_true"])?,
        };
        let mut g = Graph::new();
        let predictions = g.input("p", p.shape(), DType::F32);
        let targets = g.input("y", y.shape(), y.dtype());
        let rows = loss.build(&mut g, targets, predictions)?.rows;
        let mean = g.sum(rows, &[], false)?;
        let grad = gradients(&mut g, mean, &[predictions])?[0];
        for (name, value) in [("rows", rows), ("mean", mean), ("grad", grad)] {
            g.output(name, value);
        }
        let got = outputs(&g, &[("p", &p), ("y", &y)])?;
        // A row is its share of the batch's mean.
        let per_sample = wide(&entry["per_sample"])?;
        let rows: Vec<f64> = per_sample.iter().map(|l| l / per_sample.len() as f64).collect();
        // 2^-21 for the logarithm, 1e-6 for some fifteen roundings.
        agree(name, &got[0], &rows, 1e-6, 5e-7);
        agree(&format!("mean {name}"), &got[1], &wide(&entry["mean"])?, 1e-6, 5e-7);
        // Quotients and differences of numbers up to 1, over the batch of 5: a few units of 6e-8 / 5.
        let grad = wide(&entry["grad"])?;
        agree(&format!("gradient {name}"), &got[2], &grad, 1e-6, 1e-7);
    }
    Ok(())
}

/// The number of a config as f32.
fn setting(config: &Json, key: &str) -> Result<f32> {
    Ok(number(config, key)? as f32)
}

fn rate(config: &Json) -> Result<Schedule> {
    Ok(setting(config, "learning_rate")?.into())
}

fn sgd(c: &Json) -> Result<Sgd> {
    let (learning_rate, momentum) = (rate(c)?, setting(c, "momentum")?);
    let decay = c["decay"].as_f64().unwrap_or(0.0) as f32;
    Ok(Sgd { learning_rate, momentum, nesterov: c["nesterov"] == true, decay })
}

fn rmsprop(c: &Json) -> Result<RmsProp> {
    Ok(RmsProp {
        learning_rate: rate(c)?,
        rho: setting(c, "rho")?,
        momentum: setting(c, "momentum")?,
        epsilon: setting(c, "epsilon")?,
        centered: c["centered"] == true,
    })
}

fn adagrad(c: &Json) -> Result<Adagrad> {
    let (learning_rate, epsilon) = (rate(c)?, setting(c, "epsilon")?);
    let initial_accumulator_value = setting(c, "initial_accumulator_value")?;
    Ok(Adagrad { learning_rate, initial_accumulator_value, epsilon })
}

fn adam(c: &Json) -> Result<Adam> {
    let (learning_rate, epsilon) = (rate(c)?, setting(c, "epsilon")?);
    let (beta_1, beta_2) = (setting(c, "beta_1")?, setting(c, "beta_2")?);
    Ok(Adam { learning_rate, beta_1, beta_2, epsilon })
}

fn adamw(c: &Json) -> Result<AdamW> {
    Ok(AdamW { adam: adam(c)?, weight_decay: setting(c, "weight_decay")? })
}

fn optimizer(entry: &Json) -> Result<Box<dyn Optimizer>> {
    let c = &entry["config"];
    Ok(match text(entry, "optimizer")? {
        "SGD" => Box::new(sgd(c)?),
        "RMSprop" => Box::new(rmsprop(c)?),
        "Adagrad" => Box::new(adagrad(c)?),
        "Adam" => Box::new(adam(c)?),
        "AdamW" => Box::new(adamw(c)?),
        other => bail!("no optimizer {other:?}"),
    })
}

/// The parameters after each step, from the rule alone: an arena, its gradient, and the slots.
fn rule_steps(rule: &dyn Optimizer, initial: &[f32], gradients: &[f32]) -> Result<Vec<f32>> {
    rule.check()?;
    let len = initial.len();
    let mut g = Graph::new();
    let params = g.state("params", [len], DType::F32);
    let grad = g.input("grad", [len], DType::F32);
    let mut store = Store::new(device());
    store.upload("params", &Tensor::f32([len], initial)?)?;
    store.upload("grad", &Tensor::f32([len], vec![0.0; len])?)?;
    let mut slots = Vec::new();
    for slot in rule.slots() {
        slots.push(g.state(slot.name, [len], DType::F32));
        store.upload(slot.name, &Tensor::f32([len], vec![slot.initial; len])?)?;
    }
    let (new, new_slots) = rule.update(&mut g, params, grad, &slots)?;
    g.update(params, new)?;
    for (&slot, &new) in slots.iter().zip(&new_slots) {
        g.update(slot, new)?;
    }
    let plan = Arc::new(Plan::compile(&g, &Passes::default(), device().caps())?);
    ensure!(plan.dispatches.len() == 1, "{}: one dispatch per arena\n{plan}", rule.name());
    let mut executor = Executor::new(device(), plan.clone(), &store)?;
    let mut all = Vec::new();
    for (done, gradient) in gradients.chunks_exact(len).enumerate() {
        store.upload("grad", &Tensor::f32([len], gradient)?)?;
        let mut block = StepBlock::default();
        for (name, value) in rule.step_values(done as u64, rule.learning_rate().at(done as u64)) {
            block.set_f32(&plan, name, value)?;
        }
        executor.run(&[block])?;
        all.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&block_on(
            store.read("params", 4 * len),
        )?));
    }
    Ok(all)
}

#[test]
fn five_steps_of_every_optimizer_agree_with_keras() -> Result<()> {
    let mut kinds = std::collections::BTreeSet::new();
    for entry in recording("optimizers")? {
        let (name, rule) = (text(&entry, "name")?, optimizer(&entry)?);
        kinds.insert(rule.name());
        let got = rule_steps(&*rule, &data(&entry["initial"])?, &data(&entry["gradients"])?)?;
        // Keras' 1 - beta_2^t loses digits in f32, here it is f64: up to 7e-7 after five steps.
        agree(name, &got, &wide(&entry["parameters"])?, 1e-6, 7e-7);
    }
    ensure!(kinds.len() == 5, "recorded: {kinds:?}");
    Ok(())
}

fn activation(entry: &Json) -> Result<Activation> {
    let config = &entry["config"];
    let n = |key: &str| -> Result<f32> { Ok(number(config, key)? as f32) };
    Ok(match text(entry, "name")? {
        "linear" => Activation::Linear,
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu { negative_slope: n("negative_slope")? },
        "elu" => Activation::Elu { alpha: n("alpha")? },
        "selu" => Activation::Selu,
        "sigmoid" => Activation::Sigmoid,
        "hard_sigmoid" => Activation::HardSigmoid,
        "tanh" => Activation::Tanh,
        "softplus" => Activation::Softplus,
        "softsign" => Activation::Softsign,
        "gelu" => Activation::Gelu,
        "gelu_tanh" => Activation::GeluTanh,
        "silu" => Activation::Silu,
        other => bail!("no activation {other:?}"),
    })
}

#[test]
fn activations_agree_with_keras() -> Result<()> {
    for entry in recording("activations")? {
        let (name, x) = (text(&entry, "name")?, floats(&entry["x"])?);
        let mut g = Graph::new();
        let input = g.input("x", x.shape(), DType::F32);
        let y = activation(&entry)?.apply(&mut g, input)?;
        // Linear returns its operand, and a plan's output is no input.
        let y = g.scale(y, 1.0)?;
        let total = g.sum(y, &[], false)?;
        let slope = gradients(&mut g, total, &[input])?[0];
        g.output("y", y);
        g.output("dy", slope);
        let got = outputs(&g, &[("x", &x)])?;
        // 2^-21 if a logarithm or 1 - e^x is taken of numbers near 1.
        agree(name, &got[0], &wide(&entry["y"])?, 2e-6, 5e-7);

        let kinks = entry["kinks"].as_array().context("kinks")?;
        let smooth = |x: f32| kinks.iter().all(|k| k.as_f64() != Some(f64::from(x)));
        let (got, want): (Vec<f32>, Vec<f64>) = x
            .as_f32()?
            .iter()
            .zip(got[1].iter().copied().zip(wide(&entry["dy"])?))
            .filter(|(x, _)| smooth(**x))
            .map(|(_, pair)| pair)
            .unzip();
        agree(&format!("{name} derivative"), &got, &want, 2e-6, 5e-7);
    }
    Ok(())
}

/// Loss, predictions and the gradients of all weights, with the weights as inputs.
fn model_step(
    model: &Model,
    loss: Loss,
    x: &Tensor,
    y: &Tensor,
    weights: &[Tensor],
) -> Result<Vec<Vec<f32>>> {
    let mut g = Graph::new();
    let input = g.input("x", x.shape(), DType::F32);
    let targets = g.input("y", y.shape(), y.dtype());
    let names: Vec<String> = (0..weights.len()).map(|i| format!("w{i}")).collect();
    let values: Vec<_> =
        names.iter().zip(weights).map(|(n, w)| g.input(n, w.shape(), DType::F32)).collect();
    let predictions = model.apply(&mut g, &[input], &values, None)?[0];
    let rows = loss.build(&mut g, targets, predictions)?.rows;
    let mut total = g.sum(rows, &[], false)?;
    for ((_, spec), &w) in model.weights().zip(&values) {
        if let Some(penalty) = spec.regularizer.penalty(&mut g, w)? {
            total = g.add(total, penalty)?;
        }
    }
    let grads = gradients(&mut g, total, &values)?;
    g.output("predictions", predictions);
    g.output("loss", total);
    names.iter().zip(&grads).for_each(|(name, &grad)| g.output(name, grad));
    let named = names.iter().map(String::as_str).zip(weights);
    let inputs: Vec<_> = [("x", x), ("y", y)].into_iter().chain(named).collect();
    outputs(&g, &inputs)
}

#[test]
fn network_gradients_agree_with_keras() -> Result<()> {
    for entry in recording("networks")? {
        let name = text(&entry, "name")?;
        let hidden = match text(&entry, "activation")? {
            "tanh" => Activation::Tanh,
            "relu" => Activation::Relu,
            other => bail!("no network with {other:?}"),
        };
        let weights = entry["weights"].as_array().context("weights")?;
        let weights: Vec<Tensor> = weights.iter().map(floats).collect::<Result<_>>()?;
        let (x, y) = (floats(&entry["x"])?, classes(&entry["labels"])?);
        let model = Sequential::new([5]).add(Dense::new(4).activation(hidden)).add(Dense::new(3));
        let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
        let got = model_step(&model.build()?, loss, &x, &y, &weights)?;
        // Sums of up to six products of numbers near 1, twice: some twenty roundings.
        agree(&format!("logits {name}"), &got[0], &wide(&entry["logits"])?, 1e-6, 2e-7);
        agree(&format!("loss {name}"), &got[1], &wide(&entry["loss"])?, 1e-6, 5e-7);
        for (i, got) in got[2..].iter().enumerate() {
            agree(&format!("grad {i} {name}"), got, &wide(&entry["grads"][i])?, 2e-6, 2e-7);
        }
    }
    Ok(())
}

#[test]
fn penalties_agree_with_keras() -> Result<()> {
    for entry in recording("regularizers")? {
        let name = text(&entry, "name")?;
        let penalty =
            Regularizer::l1_l2(number(&entry, "l1")? as f32, number(&entry, "l2")? as f32);
        let (x, y) = (floats(&entry["x"])?, floats(&entry["y_true"])?);
        let weights = [floats(&entry["kernel"])?, floats(&entry["bias"])?];

        let mut g = Graph::new();
        let w = g.input("w", weights[0].shape(), DType::F32);
        let alone = penalty.penalty(&mut g, w)?.context("a penalty")?;
        g.output("penalty", alone);
        let got = outputs(&g, &[("w", &weights[0])])?;
        // Six terms: some ten roundings.
        agree(&format!("penalty {name}"), &got[0], &wide(&entry["penalty"])?, 1e-6, 1e-7);

        let model = Sequential::new([3]).add(Dense::new(2).kernel_regularizer(penalty));
        let got = model_step(&model.build()?, Loss::MeanSquaredError, &x, &y, &weights)?;
        agree(&format!("loss {name}"), &got[1], &wide(&entry["loss"])?, 1e-6, 1e-7);
        for (i, got) in got[2..].iter().enumerate() {
            agree(&format!("grad {i} {name}"), got, &wide(&entry["grads"][i])?, 2e-6, 2e-7);
        }
    }
    Ok(())
}
