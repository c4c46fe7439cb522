//! Layers frozen and unfrozen on a trainer.

use super::format::Parts;
use super::*;
use wgrad::{Error, Result};

fn quiet<'a>(epochs: usize) -> Fit<'a> {
    Fit::new().epochs(epochs).batch_size(32).verbose(Verbose::Silent)
}

/// The tensors of a checkpoint of `trainer`.
fn tensors(trainer: &Trainer, folder: &Folder) -> std::collections::BTreeMap<String, Vec<u8>> {
    let parts = Parts::of(&state(trainer, folder)).tensors.into_iter();
    parts.map(|(name, raw)| (name, raw.bytes)).collect()
}

/// The network with its first layer frozen from the beginning.
fn frozen() -> Trainer {
    let mut model = network();
    model.set_trainable("dense", false).unwrap();
    model.compile(device(), settings()).unwrap()
}

#[test]
fn a_frozen_layer_stays_and_the_rest_goes_on_with_its_state() -> Result<()> {
    let folder = Folder::new("freeze");
    let mut trainer = trainer();
    trainer.fit(&points(320), quiet(2))?;
    trainer.keep_weights("best")?;
    let before = tensors(&trainer, &folder);
    trainer.freeze(["dense"])?;
    let after = tensors(&trainer, &folder);
    // All that stays is the same to the last bit, and only the frozen layer's optimizer state is gone.
    for (name, bytes) in &before {
        let dropped = name.starts_with("optimizer/") && name.contains("/dense/");
        assert_eq!(after.get(name), (!dropped).then_some(bytes), "{name}");
    }
    assert!(before.keys().any(|name| name.starts_with("optimizer/") && name.contains("/dense/")));
    assert!(after.keys().all(|name| before.contains_key(name)));
    assert!(after.iter().any(|(n, b)| n.starts_with("optimizer/") && b.iter().any(|&b| b != 0)));
    let steps = trainer.steps();
    // A trainer compiled this way, from a checkpoint, trains to the same bits.
    let path = folder.file("frozen.safetensors");
    trainer.save_checkpoint(&path)?;
    let mut other = frozen();
    other.load_checkpoint(&path)?;
    trainer.fit(&points(320), quiet(2))?;
    other.fit(&points(320), quiet(4))?;
    assert_eq!((trainer.steps(), other.steps()), (steps + 20, steps + 20));
    assert_eq!(state_of_all(&trainer, &folder), state_of_all(&other, &folder));
    let trained = tensors(&trainer, &folder);
    for name in ["dense/kernel", "dense/bias", "kept/best/dense/kernel", "kept/best/dense_1/bias"] {
        assert_eq!(trained[name], before[name], "{name}");
    }
    for name in ["dense_1/kernel", "dense_1/bias"] {
        assert_ne!(trained[name], before[name], "{name}");
    }
    Ok(())
}

/// The tensors without the callbacks' and the history's part.
fn state_of_all(trainer: &Trainer, folder: &Folder) -> Vec<(String, Vec<u8>)> {
    tensors(trainer, folder).into_iter().filter(|(n, _)| !n.starts_with("numbers/")).collect()
}

#[test]
fn an_unfrozen_layer_trains_again_from_new_state() -> Result<()> {
    let folder = Folder::new("unfreeze");
    let mut trainer = trainer();
    trainer.fit(&points(320), quiet(1))?;
    trainer.freeze(["dense"])?;
    trainer.fit(&points(320), quiet(1))?;
    let before = tensors(&trainer, &folder);
    trainer.unfreeze(["dense"])?;
    let after = tensors(&trainer, &folder);
    for (name, bytes) in &after {
        match before.get(name) {
            Some(own) => assert_eq!(own, bytes, "{name}"),
            None => {
                assert!(name.starts_with("optimizer/") && name.contains("/dense/"), "{name}");
                assert!(bytes.iter().all(|&byte| byte == 0), "{name}");
            }
        }
    }
    assert!(after.len() > before.len());
    trainer.fit(&points(320), quiet(1))?;
    let trained = tensors(&trainer, &folder);
    assert!(["dense/kernel", "dense_1/kernel"].iter().all(|name| trained[*name] != after[*name]));
    Ok(())
}

#[test]
fn freezing_and_back_changes_nothing_where_there_is_no_state() -> Result<()> {
    let new = || {
        let compile = Compile::new(Sgd::new(0.1), SPARSE).metrics([Metric::Accuracy]).seed(3);
        network().compile(device(), compile)
    };
    let (mut a, mut b) = (new()?, new()?);
    for trainer in [&mut a, &mut b] {
        trainer.fit(&points(320), quiet(1))?;
    }
    a.freeze(["dense", "dense_1"])?;
    a.unfreeze(["dense_1"])?;
    a.unfreeze(["dense", "dropout"])?;
    let first = bits(&a.fit(&points(320), quiet(2))?);
    assert_eq!(first, bits(&b.fit(&points(320), quiet(2))?));
    assert_eq!(digest(&a), digest(&b));
    // The control: if frozen in between, they differ.
    a.freeze(["dense"])?;
    assert_ne!(bits(&a.fit(&points(320), quiet(1))?), bits(&b.fit(&points(320), quiet(1))?));
    Ok(())
}

#[test]
fn training_with_frozen_layers_resumes_with_the_same_bits() -> Result<()> {
    let folder = Folder::new("frozen-resume");
    let path = folder.file("checkpoint.safetensors");
    let phase = |crash: Option<Crash<'_>>| -> Result<Trainer> {
        let mut trainer = trainer();
        trainer.fit(&points(320), quiet(1))?;
        trainer.freeze(["dense"])?;
        match crash {
            None => drop(trainer.fit(&points(320), quiet(3))?),
            Some(crash) => drop(trainer.fit(&points(320), quiet(3).callback(crash)).unwrap_err()),
        }
        Ok(trainer)
    };
    let whole = phase(None)?;
    phase(Some(Crash { path: &path, save: (1, Some(4)), fail: (1, Some(7)) }))?;
    let mut second = trainer();
    // Another choice of layers is another model, and the message says how it differs.
    let error = second.load_checkpoint(&path).unwrap_err();
    says(&error, &["layers.dense.trainable", "has false", "model has true"]);
    second.freeze(["dense"])?;
    second.load_checkpoint(&path)?;
    second.fit(&points(320), quiet(3))?;
    assert_eq!(digest(&second), digest(&whole));
    // What was loaded is still used if layers are frozen afterwards.
    let mut third = trainer();
    third.freeze(["dense"])?;
    third.load_checkpoint(&path)?;
    let steps = third.steps();
    third.freeze(["dense_1"])?;
    third.unfreeze(["dense_1"])?;
    third.fit(&points(320), quiet(3))?;
    assert_eq!(third.steps(), steps + 15, "half an epoch and one more");
    Ok(())
}

#[test]
fn what_cannot_be_frozen_is_refused() -> Result<()> {
    let folder = Folder::new("refused");
    let mut trainer = trainer();
    let before = state(&trainer, &folder);
    let error = trainer.freeze(["dense", "dens"]).unwrap_err();
    assert!(matches!(error, Error::Parameter { .. }));
    says(&error, &["layer = dens", "dense, dropout, dense_1"]);
    assert_eq!(state(&trainer, &folder), before);
    // A call from a hook does not change the model in training.
    let freeze =
        Lambda::new().on_epoch_end(|_, control| Ok(control.trainer().freeze(["dense"])?));
    let error = trainer.fit(&points(64), quiet(1).callback(freeze)).unwrap_err();
    says(&error, &["freeze = called from a callback", "between two `fit`s"]);
    assert!(trainer.model().layers()[0].trainable);
    // With all layers frozen, nothing changes and losses are reported.
    trainer.freeze(["dense", "dense_1"])?;
    let weights = digest(&trainer);
    let history = trainer.fit(&points(64), quiet(2))?;
    assert_eq!((history.epochs.len(), digest(&trainer)), (2, weights));
    assert!(history.get("loss")[0] > 0.0);
    Ok(())
}
