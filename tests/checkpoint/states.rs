//! States of layers in checkpoints, files of weights, and copies.

use super::*;
use wgrad::{Error, Result};

/// Six inputs, running statistics between two layers, and a model inside, three logits.
fn network() -> Model {
    let head = Sequential::new([16]).add(BatchNormalization::torch()).add(Dense::new(3));
    let layers = Sequential::new([6])
        .add(Dense::new(16))
        .add(BatchNormalization::new().momentum(0.8))
        .add(Activation::Relu)
        .add(Dropout::new(0.25))
        .add_named("head", head);
    layers.build().unwrap()
}

fn trainer() -> Trainer {
    network().compile(device(), settings()).unwrap()
}

fn quiet<'a>(epochs: usize) -> Fit<'a> {
    Fit::new().epochs(epochs).batch_size(20).verbose(Verbose::Silent)
}

const STATES: [&str; 4] = [
    "batch_normalization/moving_mean",
    "batch_normalization/moving_variance",
    "head/batch_normalization/moving_mean",
    "head/batch_normalization/moving_variance",
];

fn named(trainer: &Trainer, name: &str) -> Tensor {
    trainer.weights().unwrap().into_iter().find(|(n, _)| n == name).expect(name).1
}

#[test]
fn resumed_from_the_middle_of_an_epoch_it_gives_the_same_bits() -> Result<()> {
    let folder = Folder::new("states");
    let data = points(230);
    let mut whole = trainer();
    whole.fit(&data, quiet(3).validation_split(0.2).callback(Watch::default()))?;
    for save in [(1, Some(4)), (0, None)] {
        let path = folder.file("place.safetensors");
        let mut broken = trainer();
        let crash = Crash { path: &path, save, fail: (2, Some(3)) };
        let fit = quiet(3).validation_split(0.2).callback(Watch::default()).callback(crash);
        assert!(broken.fit(&data, fit).is_err());
        let mut resumed = trainer();
        resumed.load_checkpoint(&path)?;
        let fit = quiet(3).validation_split(0.2).callback(Watch::default());
        resumed.fit(&data, fit)?;
        assert_eq!(digest(&resumed), digest(&whole), "{save:?}");
        assert_ne!(digest(&broken), digest(&whole));
    }
    for name in STATES {
        assert_ne!(named(&whole, name), named(&trainer(), name), "{name}");
    }
    Ok(())
}

#[test]
fn the_best_weights_bring_their_states_back() -> Result<()> {
    let data = points(60);
    let mut trainer = trainer();
    trainer.fit(&data, quiet(2))?;
    let (loss, best) = (trainer.evaluate(&data)?.loss, digest(&trainer));
    trainer.keep_weights("mine")?;
    trainer.fit(&data, quiet(4).initial_epoch(2))?;
    assert_ne!(digest(&trainer), best);
    trainer.restore_weights("mine")?;
    assert_eq!((trainer.evaluate(&data)?.loss, digest(&trainer)), (loss, best));
    // The callback of the same kind: a rate that ruins the model after the first epoch.
    let mut trainer = network().compile(device(), settings())?;
    let ruin = LearningRateScheduler::new(|epoch, _| if epoch == 0 { 0.01 } else { 10.0 });
    let stop = EarlyStopping::new("loss").patience(2).restore_best_weights(true);
    let history = trainer.fit(&data, quiet(6).callback(ruin).callback(stop))?;
    assert!(history.epochs.len() < 6);
    let mut once = network().compile(device(), settings())?;
    let rate = LearningRateScheduler::new(|_, _| 0.01);
    once.fit(&data, quiet(1).callback(rate))?;
    assert_eq!(digest(&trainer), digest(&once));
    Ok(())
}

#[test]
fn files_of_weights_have_the_states() -> Result<()> {
    let folder = Folder::new("states-weights");
    let (data, path) = (points(60), folder.file("weights.safetensors"));
    let mut first = trainer();
    first.fit(&data, quiet(2))?;
    first.save_weights(&path)?;
    let mut second = trainer();
    let report = second.load_weights(&path)?;
    assert!(report.is_complete() && STATES.iter().all(|s| report.loaded.iter().any(|l| l == s)));
    assert_eq!(digest(&first), digest(&second));
    assert_eq!(first.evaluate(&data)?.loss, second.evaluate(&data)?.loss);
    // PyTorch's names, and the count of batches that it keeps beside them.
    let modules = ["0", "1", "4.0", "4.1"];
    first.save_weights_as(&path, &WeightMap::torch(modules))?;
    let mut parts = format::Parts::of(&std::fs::read(&path).unwrap());
    let names: Vec<&str> = parts.tensors.keys().map(String::as_str).collect();
    let of = |module: &str| {
        ["bias", "running_mean", "running_var", "weight"].map(|w| format!("{module}.{w}"))
    };
    let linear = |module: &str| ["bias", "weight"].map(|w| format!("{module}.{w}"));
    assert_eq!(
        names,
        [linear("0").to_vec(), of("1").to_vec(), of("4.0").to_vec(), linear("4.1").to_vec()]
            .concat()
    );
    let one = parts.tensors["1.bias"].clone();
    for module in ["1", "4.0"] {
        parts.tensors.insert(format!("{module}.num_batches_tracked"), one.clone());
    }
    std::fs::write(&path, parts.bytes()).unwrap();
    let mut third = trainer();
    third.load_weights_as(&path, &WeightMap::torch(modules))?;
    assert_eq!(digest(&third), digest(&first));
    // The count of a module without running statistics is no known tensor.
    parts.tensors.insert("0.num_batches_tracked".into(), one);
    std::fs::write(&path, parts.bytes()).unwrap();
    let error = third.load_weights_as(&path, &WeightMap::torch(modules)).unwrap_err();
    says(&error, &["0.num_batches_tracked", "no weight of the model"]);
    Ok(())
}

#[test]
fn a_checkpoint_whose_states_differ_is_refused_by_name() -> Result<()> {
    let folder = Folder::new("states-refused");
    let path = folder.file("checkpoint.safetensors");
    trainer().save_checkpoint(&path)?;
    let layers = Sequential::new([6]).add(Dense::new(16)).add(Dense::new(3));
    let error = layers.compile(device(), settings())?.load_checkpoint(&path).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    says(&error, &["layers.", "has batch_normalization", "this model has dense_1"]);
    let mut parts = format::Parts::of(&std::fs::read(&path).unwrap());
    assert!(parts.tensors.remove(STATES[2]).is_some());
    std::fs::write(&path, parts.bytes()).unwrap();
    says(&trainer().load_checkpoint(&path).unwrap_err(), &[STATES[2]]);
    Ok(())
}
