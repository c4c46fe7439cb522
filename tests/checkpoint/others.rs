//! Checkpoints of another model, optimizer or seed: the message names what differs.

use super::*;
use wgrad::layers::{Add, input, merge};

use wgrad::{Error, Result};

/// The message if another trainer loads a checkpoint of `trainer()`; that trainer stays as it was.
#[track_caller]
fn refusal(mut other: Trainer) -> Error {
    let folder = Folder::new("others");
    let path = folder.file("checkpoint.safetensors");
    trainer().save_checkpoint(&path).unwrap();
    let before = state(&other, &folder);
    let error = other.load_checkpoint(&path).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error:?}");
    assert!(state(&other, &folder) == before, "{error}");
    error
}

fn with(compile: Compile) -> Trainer {
    network().compile(device(), compile).unwrap()
}

fn of(model: Sequential) -> Trainer {
    model.compile(device(), settings()).unwrap()
}

#[test]
fn another_seed_or_optimizer_is_named() {
    let adam = Compile::new(Adam::new(RATE), SPARSE).metrics([Metric::Accuracy]);
    says(&refusal(with(adam.seed(8))), &["checkpoint.safetensors: seed", "has 7", "model has 8"]);
    let other = |o: Box<dyn Fn() -> Compile>| with(o().metrics([Metric::Accuracy]).seed(7));
    let sgd = other(Box::new(|| Compile::new(Sgd::new(0.01), SPARSE)));
    says(&refusal(sgd), &["optimizer.name", "has Adam", "model has SGD"]);
    let rms = other(Box::new(|| Compile::new(RmsProp::new(0.01), SPARSE)));
    says(&refusal(rms), &["optimizer.name", "has Adam", "model has RMSprop"]);
    let faster = other(Box::new(|| Compile::new(Adam::new(0.02), SPARSE)));
    says(&refusal(faster), &["optimizer.settings.learning_rate", "has 0.05", "has 0.02"]);
}

#[test]
fn another_model_is_named() -> Result<()> {
    let first = || Dense::new(16).activation(Activation::Relu);
    let base = || Sequential::new([6]).add(first());
    let wide = Sequential::new([6]).add(Dense::new(17).activation(Activation::Relu));
    let wide = wide.add(Dropout::new(0.25)).add(Dense::new(3));
    says(&refusal(of(wide)), &["layers.dense.weights.kernel.shape", "[6,16]", "[6,17]"]);
    let inputs = Sequential::new([7]).add(first()).add(Dropout::new(0.25)).add(Dense::new(3));
    says(&refusal(of(inputs)), &["inputs.input.shape", "has [6]", "model has [7]"]);
    let rate = base().add(Dropout::new(0.5)).add(Dense::new(3));
    says(&refusal(of(rate)), &["layers.dropout.settings", "0.25", "0.5"]);
    let more = base().add(Dropout::new(0.25)).add(Dense::new(3)).add(Dense::new(3));
    says(&refusal(of(more)), &["layers.dense_2", "has nothing", "model has Dense"]);
    let fewer = base().add(Dropout::new(0.25));
    says(&refusal(of(fewer.clone())), &["layers.dense_1", "has Dense", "model has nothing"]);
    let kind = fewer.add(Activation::Tanh);
    says(&refusal(of(kind)), &["layers.activation.name", "has dense_1", "model has activation"]);
    let named = base().add(Dropout::new(0.25)).add_named("logits", Dense::new(3));
    says(&refusal(of(named)), &["layers.logits.name", "has dense_1", "model has logits"]);
    let frozen = Sequential::new([6]).add(first().frozen());
    let frozen = frozen.add(Dropout::new(0.25)).add(Dense::new(3));
    says(&refusal(of(frozen)), &["layers.dense.trainable", "has true", "model has false"]);
    Ok(())
}

#[test]
fn other_losses_and_metrics_are_named() {
    let adam = || Compile::new(Adam::new(RATE), SPARSE).seed(7);
    says(&refusal(with(adam())), &["outputs.dense_1.metrics", "accuracy", "[]"]);
    let smooth = Compile::new(Adam::new(RATE), Loss::CategoricalCrossentropy { from_logits: true });
    let names = ["outputs.dense_1.loss.class_name", "has Sparse", "has CategoricalCrossentropy"];
    says(&refusal(with(smooth.metrics([Metric::Accuracy]).seed(7))), &names);
    let weighted = adam().metrics([Metric::Accuracy]).output_loss("dense_1", SPARSE, 0.5);
    says(&refusal(with(weighted)), &["outputs.dense_1.loss_weight", "has 1.0", "model has 0.5"]);
}

#[test]
fn the_wiring_counts() -> Result<()> {
    let folder = Folder::new("wiring");
    let path = folder.file("checkpoint.safetensors");
    // The same layers in the same order, with other inputs.
    let build = |crossed: bool| {
        let x = input([6]);
        let a = x.then(Dense::new(6).named("a"));
        let b = if crossed { &a } else { &x }.then(Dense::new(6).named("b"));
        let y = merge(Add, [&a, &b]).then(Dense::new(3).named("y"));
        Model::new([&x], [&y])?.compile(device(), settings())
    };
    build(false)?.save_checkpoint(&path)?;
    build(false)?.load_checkpoint(&path)?;
    let error = build(true)?.load_checkpoint(&path).unwrap_err();
    says(&error, &["calls.1.inputs", "has [0]", "model has [1]"]);
    Ok(())
}
