//! `ModelCheckpoint` and `BackupAndRestore`, and the library's other callbacks across a checkpoint.

use super::format::Parts;
use super::*;
use wgrad::{Error, Result};

/// Silent training on 320 samples in ten batches.
fn fit<'a>(epochs: usize) -> Fit<'a> {
    Fit::new().epochs(epochs).validation_split(0.2).verbose(Verbose::Silent)
}

/// A callback that adds made-up numbers to the logs as `made_loss`.
fn made<'a>(numbers: &'a [f64]) -> Lambda<'a> {
    Lambda::new().logs("made_loss").on_epoch_end(move |epoch, _| {
        epoch.logs.push(("made_loss".into(), numbers[epoch.epoch]));
        Ok(())
    })
}

/// The pattern of a path in a folder.
fn pattern(folder: &Folder, name: &str) -> String {
    folder.file(name).display().to_string()
}

#[test]
fn files_are_named_by_their_numbers() -> Result<()> {
    let folder = Folder::new("named");
    let path = pattern(&folder, "deep/{epoch:02d}-{made_loss:.2f}.safetensors");
    let numbers = [0.5, 0.25, 0.125, 1.0];
    let every = ModelCheckpoint::new(&path).every_epochs(2);
    trainer().fit(&points(400), fit(4).callback(made(&numbers)).callback(every))?;
    let deep = folder.inside("deep");
    assert_eq!(deep.names(), ["02-0.25.safetensors", "04-1.00.safetensors"]);
    let steps =
        |name: &str| Parts::of(&std::fs::read(deep.file(name)).unwrap()).json()["steps"].clone();
    assert_eq!(
        (steps("02-0.25.safetensors"), steps("04-1.00.safetensors")),
        (20.into(), 40.into())
    );
    // Ends of every 3rd batch of ten, if at least 3 have passed.
    let batches = Folder::new("batches-named");
    let path = pattern(&batches, "{epoch}-{batch}.safetensors");
    let every = ModelCheckpoint::new(path).every_batches(3).save_weights_only(true);
    trainer().fit(&points(400), fit(2).callback(every))?;
    let want = ["1-3", "1-6", "1-9", "2-3", "2-6", "2-9"].map(|n| format!("{n}.safetensors"));
    assert_eq!(batches.names(), want);
    // More than an epoch has.
    let rare = Folder::new("rare");
    let path = pattern(&rare, "{epoch}-{batch}.safetensors");
    trainer().fit(&points(400), fit(4).callback(ModelCheckpoint::new(path).every_batches(15)))?;
    assert_eq!(rare.names(), ["2-10.safetensors", "4-10.safetensors"]);
    Ok(())
}

#[test]
fn only_the_best_is_written() -> Result<()> {
    let folder = Folder::new("best");
    let numbers = [0.5, 0.75, f64::NAN, 0.25, 0.25, 0.5];
    let path = pattern(&folder, "{epoch}.safetensors");
    let best = || ModelCheckpoint::new(&path).save_best_only("made_loss").save_weights_only(true);
    let kept = folder.file("kept");
    let mut digests = Vec::new();
    let mut callback = best();
    let mut first = trainer();
    let seen = Lambda::new().on_epoch_end(|_, control| {
        digests.push(digest(control.trainer()));
        Ok(())
    });
    let all = fit(5).callback(made(&numbers)).callback(&mut callback).callback(seen);
    first.fit(&points(400), all)?;
    first.save_checkpoint(&kept)?;
    assert_eq!(callback.best(), Some(0.25));
    assert_eq!(folder.names(), ["1.safetensors", "4.safetensors", "kept"]);
    let mut loaded = trainer();
    for (epoch, file) in [(0, "1.safetensors"), (3, "4.safetensors")] {
        loaded.load_weights(folder.file(file))?;
        assert_eq!(digest(&loaded), digests[epoch]);
    }
    // A checkpoint keeps the best value, and a new object takes it from there; without a checkpoint a new object has none.
    let mut second = strayed();
    second.load_checkpoint(&kept)?;
    second.fit(&points(400), fit(6).callback(made(&numbers)).callback(best()))?;
    assert_eq!(folder.names(), ["1.safetensors", "4.safetensors", "kept"]);
    let highest = pattern(&folder, "highest-{epoch}.safetensors");
    let highest = ModelCheckpoint::new(highest).save_best_only("made_loss").mode(Mode::Max);
    second.fit(&points(400), fit(6).callback(made(&numbers)).callback(highest))?;
    let names = folder.names();
    assert_eq!(names[2..4], ["highest-1.safetensors", "highest-2.safetensors"], "{names:?}");
    Ok(())
}

#[test]
fn the_best_is_remembered_by_the_object() -> Result<()> {
    let folder = Folder::new("remembered");
    let path = pattern(&folder, "best.safetensors");
    let (good, worse, better) = ([0.5, 0.25], [16.0, 15.0], [0.3, 0.125]);
    let written = || std::fs::read(folder.file("best.safetensors")).unwrap();
    let mut best = ModelCheckpoint::new(&path).save_best_only("made_loss").save_weights_only(true);
    trainer().fit(&points(400), fit(2).callback(made(&good)).callback(&mut best))?;
    let file = written();
    // Another training of the same object, as in Keras: nothing there is as good.
    let mut second = strayed();
    second.fit(&points(400), fit(2).callback(made(&worse)).callback(&mut best))?;
    assert!(written() == file, "a worse model does not replace a better one");
    assert_eq!(best.best(), Some(0.25));
    second.fit(&points(400), fit(2).callback(made(&better)).callback(&mut best))?;
    assert!(written() != file);
    assert_eq!(best.best(), Some(0.125));
    // A new object knows nothing of the file, unless it is told.
    let file = written();
    let new = || ModelCheckpoint::new(&path).save_best_only("made_loss").save_weights_only(true);
    let mut told = new().initial_value_threshold(0.125);
    second.fit(&points(400), fit(2).callback(made(&worse)).callback(&mut told))?;
    assert!(written() == file && told.best() == Some(0.125));
    second.fit(&points(400), fit(2).callback(made(&[0.5, 0.0625])).callback(&mut told))?;
    assert!(written() != file && told.best() == Some(0.0625));
    let file = written();
    second.fit(&points(400), fit(2).callback(made(&worse)).callback(new()))?;
    assert!(written() != file, "the control");
    // A threshold is compared in the same direction as the numbers.
    let high = new().mode(Mode::Max).initial_value_threshold(20.0);
    let file = written();
    second.fit(&points(400), fit(2).callback(made(&worse)).callback(high))?;
    assert!(written() == file);
    Ok(())
}

#[test]
fn settings_that_do_not_suit_are_refused_before_training() {
    let folder = Folder::new("refused");
    let path = |name: &str| pattern(&folder, name);
    let new = |name: &str| ModelCheckpoint::new(path(name));
    let mut trainer = trainer();
    let mut refused = |callback: ModelCheckpoint, words: &[&str]| {
        let error = trainer.fit(&points(400), fit(1).callback(callback)).unwrap_err();
        assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
        says(&error, words);
        assert_eq!(trainer.steps(), 0);
    };
    refused(new("w").every_epochs(0), &["ModelCheckpoint interval = 0"]);
    refused(new("w").every_batches(0), &["ModelCheckpoint interval = 0"]);
    refused(new("{epoch"), &["path = ", "{epoch", "brace"]);
    refused(new("{val_lost}"), &["monitor = val_lost", "ModelCheckpoint", "val_loss"]);
    refused(new("w").save_best_only("lost"), &["monitor", "lost"]);
    refused(new("{batch}"), &["batch", "ends of epochs"]);
    refused(new("{val_loss}").every_batches(2), &["val_loss", "ends of batches"]);
    let best = new("w").save_best_only("val_accuracy").every_batches(2);
    refused(best, &["val_accuracy", "ends of batches"]);
    assert!(folder.names().is_empty());
    let backup = BackupAndRestore::new(folder.file("backup")).every_epochs(0);
    let error = trainer.fit(&points(400), fit(1).callback(backup)).unwrap_err();
    says(&error, &["BackupAndRestore interval = 0"]);
}

#[test]
fn what_is_in_the_way_of_a_coming_file_is_found_before_training() -> Result<()> {
    let folder = Folder::new("in-the-way");
    let path = |name: &str| pattern(&folder, name);
    for name in ["3.safetensors", "2-7.safetensors"] {
        std::fs::create_dir(folder.file(name)).unwrap();
    }
    std::fs::write(folder.file("2"), "kept").unwrap();
    let before = folder.names();
    let long = "x".repeat(254) + "{epoch}";
    let epochs = |name: &str| ModelCheckpoint::new(path(name)).save_weights_only(true);
    let refused: [(ModelCheckpoint, usize, &[&str]); 5] = [
        (epochs("{epoch}.safetensors"), 4, &["3.safetensors", "this is a folder"]),
        (epochs("{epoch}-{batch}.safetensors").every_batches(3), 2, &["2-7.safetensors"]),
        // A file where a folder would be, also of a file whose name is not known yet.
        (epochs("{epoch}/w.safetensors"), 3, &["2/w.safetensors"]),
        (epochs("{epoch}/{val_loss:.2f}.safetensors"), 3, &["2/0.00.safetensors"]),
        // The name of the tenth epoch is one letter too long.
        (epochs(&long), 10, &["xx10"]),
    ];
    for (checkpoint, epochs, words) in refused {
        let mut trainer = trainer();
        let error = trainer.fit(&points(400), fit(epochs).callback(checkpoint)).unwrap_err();
        says(&error, &["ModelCheckpoint"]);
        says(&error, words);
        assert_eq!((trainer.steps(), folder.names()), (0, before.clone()));
    }
    // The controls: other epochs, batches and numbers have other names.
    let other = epochs("{epoch}.safetensors");
    trainer().fit(&points(400), fit(2).callback(other.clone()))?;
    trainer().fit(&points(400), fit(4).callback(other.clone().every_epochs(2)))?;
    trainer().fit(&points(400), fit(4).initial_epoch(3).callback(other))?;
    let logs = epochs("{epoch}.{val_loss:.0f}safetensors");
    trainer().fit(&points(400), fit(1).callback(logs))?;
    assert!(folder.file("4.safetensors").is_file() && folder.file("3.safetensors").is_dir());
    Ok(())
}

/// Fails at the end of this batch of this epoch.
fn failing<'a>(place: (usize, usize)) -> Lambda<'a> {
    Lambda::new().on_batch_end(BatchInterval::Batches(1), move |batch, _| {
        if (batch.epoch, batch.batch) == place { Err("crash".into()) } else { Ok(()) }
    })
}

#[test]
fn a_program_that_was_interrupted_is_run_again() -> Result<()> {
    let folder = Folder::new("backup");
    let place = folder.file("backup");
    let backup = || BackupAndRestore::new(&place).every_batches(4);
    let mut whole = trainer();
    let want = bits(&whole.fit(&points(400), fit(4).callback(Watch::default()))?);
    // Before the first backup, in the middle of an epoch, at the beginning of one, at the end of one.
    for (failure, at) in [((0, 2), 0), ((0, 6), 4), ((2, 1), 18), ((2, 9), 28)] {
        let callbacks = fit(4).callback(backup()).callback(Watch::default());
        let error = trainer().fit(&points(400), callbacks.callback(failing(failure))).unwrap_err();
        says(&error, &["Lambda", "crash"]);
        assert_eq!(backup().path().exists(), at > 0);
        if at > 0 {
            let json = Parts::of(&std::fs::read(backup().path()).unwrap()).json();
            assert_eq!(json["steps"], at);
        }
    }
    let mut last = trainer();
    let got = last.fit(&points(400), fit(4).callback(backup()).callback(Watch::default()))?;
    assert_eq!((bits(&got), digest(&last)), (want, digest(&whole)));
    assert!(folder.names().is_empty(), "the backup is gone");
    // If it stays, training continues from it once more.
    let stays = || fit(4).callback(backup().delete_checkpoint(false)).callback(Watch::default());
    let mut one = trainer();
    let history = one.fit(&points(400), stays())?;
    let json = Parts::of(&std::fs::read(backup().path()).unwrap()).json();
    assert_eq!(json["steps"], 38, "the last backup");
    let mut two = trainer();
    let again = two.fit(&points(400), stays())?;
    assert_eq!((bits(&again), digest(&two)), (bits(&history), digest(&one)));
    Ok(())
}

#[test]
fn a_backup_that_does_not_suit_ends_training_before_it_begins() -> Result<()> {
    let folder = Folder::new("unsuitable");
    let backup = || BackupAndRestore::new(folder.path()).delete_checkpoint(false);
    trainer().fit(&points(400), fit(1).callback(backup()))?;
    let path = backup().path();
    let good = std::fs::read(&path).unwrap();
    let mut damaged = good.clone();
    // The numbers are at the end.
    damaged[good.len() - 64] ^= 4;
    std::fs::write(&path, &damaged).unwrap();
    let mut second = strayed();
    let aside = Folder::new("unsuitable-state");
    let before = state(&second, &aside);
    let error = second.fit(&points(400), fit(2).callback(backup())).unwrap_err();
    says(&error, &["backup.safetensors: crc32", "damaged"]);
    assert!(state(&second, &aside) == before);
    assert!(std::fs::read(&path).unwrap() == damaged, "it is left to its owner");
    std::fs::write(&path, &good).unwrap();
    let other = Compile::new(Adam::new(RATE), SPARSE).seed(8);
    let error = network().compile(device(), other)?.fit(&points(400), fit(2).callback(backup()));
    says(&error.unwrap_err(), &["backup.safetensors: seed", "has 7", "has 8"]);
    // The control: the same model loads it, in place of what was loaded by hand.
    let elsewhere = aside.file("elsewhere");
    strayed().save_checkpoint(&elsewhere)?;
    second.load_checkpoint(&elsewhere)?;
    assert_eq!(second.fit(&points(400), fit(2).callback(backup()))?.epochs.len(), 2);
    assert_eq!(second.steps(), 20);
    Ok(())
}

#[test]
fn the_librarys_callbacks_go_on_together() -> Result<()> {
    let folder = Folder::new("together");
    let data = points(800);
    let run = |trainer: &mut Trainer, log: &str, crash: Option<Crash<'_>>| {
        let mut fit = fit(12).batch_size(64);
        if let Some(crash) = crash {
            fit = fit.callback(crash);
        }
        let stopping = EarlyStopping::new("val_loss").patience(2).min_delta(0.05);
        let fit = fit
            .callback(ReduceLrOnPlateau::new("val_loss").factor(0.5).patience(1).min_delta(0.02))
            .callback(stopping.restore_best_weights(true))
            .callback(CsvLogger::new(folder.file(log)));
        trainer.fit(&data, fit)
    };
    let mut whole = trainer();
    let history = run(&mut whole, "whole.csv", None)?;
    let rates = history.get("learning_rate");
    assert!(history.epochs.len() < 12 && rates.last() < rates.first(), "{history:?}");
    let want = (digest(&whole), bits(&history), std::fs::read(folder.file("whole.csv")).unwrap());
    let path = folder.file("checkpoint.safetensors");
    for save in [(1, None), (3, Some(4)), (history.epochs.len() - 2, None)] {
        let crash = Crash { path: &path, save, fail: (save.0 + 1, Some(2)) };
        run(&mut trainer(), "log.csv", Some(crash)).unwrap_err();
        let mut second = strayed();
        second.load_checkpoint(&path)?;
        let history = run(&mut second, "log.csv", None)?;
        let log = std::fs::read(folder.file("log.csv")).unwrap();
        assert_eq!((digest(&second), bits(&history), log), want, "{save:?}");
    }
    Ok(())
}

#[test]
fn the_best_weights_outlive_the_end_of_training() -> Result<()> {
    let folder = Folder::new("outlive");
    let path = folder.file("checkpoint.safetensors");
    let numbers = [1.0, 0.5, 0.75, 0.75, 0.75, 0.75];
    let stopping = || EarlyStopping::new("made_loss").patience(9).restore_best_weights(true);
    let mut first = trainer();
    first.fit(&points(400), fit(3).callback(made(&numbers)).callback(stopping()))?;
    first.save_checkpoint(&path)?;
    let mut second = strayed();
    second.load_checkpoint(&path)?;
    let mut callback = stopping();
    let further = fit(5).callback(made(&numbers)).callback(&mut callback);
    assert_eq!(second.fit(&points(400), further)?.epochs.len(), 5);
    assert_eq!((callback.best(), callback.best_epoch()), (Some(0.5), Some(1)));
    assert_eq!(digest(&second), digest(&first), "no epoch was better");
    Ok(())
}
