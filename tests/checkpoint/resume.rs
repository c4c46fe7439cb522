//! Training that stops and continues, against training that never stopped.

use super::*;
use std::process::Command;
use std::sync::Arc;
use wgrad::{Error, Result};

/// Six epochs of 20 batches, validated.
fn fit<'a>() -> Fit<'a> {
    Fit::new().epochs(6).batch_size(32).validation_split(0.2).verbose(Verbose::Silent)
}

/// What training ends with: the weights, the best weights, and the logs.
#[derive(Debug, PartialEq)]
struct End {
    weights: String,
    best: String,
    logs: Vec<(usize, Vec<(String, u64)>)>,
    steps: u64,
    rate: u64,
}

/// Trains to the end.
fn ended(mut trainer: Trainer) -> End {
    let history = trainer.fit(&points(800), fit().callback(Watch::default())).unwrap();
    let (weights, steps) = (digest(&trainer), trainer.steps());
    let rate = trainer.learning_rate().to_bits();
    trainer.restore_weights("best").unwrap();
    End { weights, best: digest(&trainer), logs: bits(&history), steps, rate }
}

/// Trains, saves at one place and fails at a later one.
fn interrupted(path: &Path, save: (usize, Option<usize>), fail: (usize, Option<usize>)) {
    let crash = Crash { path, save, fail };
    // The callback that saves comes first: the states of those after it agree nevertheless.
    let fit = fit().callback(crash).callback(Watch::default());
    let error = trainer().fit(&points(800), fit).unwrap_err();
    says(&error, &["Crash", "crash"]);
}

#[test]
fn training_goes_on_with_the_same_bits() -> Result<()> {
    let folder = Folder::new("resume");
    let whole = ended(trainer());
    assert_eq!((whole.logs.len(), whole.steps), (6, 120));
    assert_ne!(whole.weights, whole.best);
    assert_ne!(whole.rate, f64::from(RATE).to_bits(), "the rate was lowered");
    for (name, save, fail) in [
        ("after 3 of 6 epochs", (2, None), (3, Some(4))),
        ("after batch 7 of 20", (3, Some(6)), (3, Some(9))),
        ("after the last batch, before the epoch's end", (1, Some(19)), (4, None)),
        ("after the last epoch", (5, None), (9, None)),
    ] {
        let path = folder.file("checkpoint.safetensors");
        if fail.0 < 6 {
            interrupted(&path, save, fail);
        } else {
            let crash = Crash { path: &path, save, fail };
            trainer().fit(&points(800), fit().callback(crash).callback(Watch::default()))?;
        }
        let mut second = strayed();
        second.load_checkpoint(&path)?;
        assert_eq!(ended(second), whole, "{name}");
    }
    Ok(())
}

#[test]
fn a_checkpoint_after_fit_goes_on_for_further_epochs() -> Result<()> {
    let folder = Folder::new("further");
    let path = folder.file("checkpoint.safetensors");
    let whole = ended(trainer());
    let mut first = trainer();
    first.fit(&points(800), fit().epochs(3).callback(Watch::default()))?;
    first.save_checkpoint(&path)?;
    let mut second = strayed();
    second.load_checkpoint(&path)?;
    // What was loaded and not used yet is saved again.
    assert_eq!(state(&second, &folder), std::fs::read(&path).unwrap());
    assert_eq!(ended(second), whole);
    // It is used once: the next `fit` begins anew.
    let mut third = strayed();
    third.load_checkpoint(&path)?;
    let epochs = |t: &mut Trainer, n| Ok(t.fit(&points(800), fit().epochs(n))?.epochs.len());
    let counts: Result<Vec<usize>> = [3, 4, 1].into_iter().map(|n| epochs(&mut third, n)).collect();
    assert_eq!(counts?, [3, 4, 1]);
    assert_eq!(third.steps(), 20 * (3 + 4 + 1));
    Ok(())
}

#[test]
fn training_that_a_callback_ended_stays_ended() -> Result<()> {
    let folder = Folder::new("ended");
    let path = folder.file("checkpoint.safetensors");
    let stop = |at: Option<usize>| {
        let path = path.clone();
        let batches = Lambda::new();
        batches.on_batch_end(BatchInterval::Batches(1), move |b, control| {
            if (b.epoch, Some(b.batch)) == (1, at) {
                control.stop_training();
                control.save_checkpoint(&path);
            }
            Ok(())
        })
    };
    let mut first = trainer();
    let whole = first.fit(&points(800), fit().callback(stop(Some(6))))?;
    assert_eq!((whole.epochs.len(), first.steps()), (2, 27));
    let mut second = strayed();
    second.load_checkpoint(&path)?;
    let again = second.fit(&points(800), fit().callback(stop(None)))?;
    assert_eq!(bits(&again), bits(&whole), "the epoch that was stopped has its end");
    assert_eq!(digest(&second), digest(&first));
    Ok(())
}

#[test]
fn a_stream_goes_on_from_its_window() -> Result<()> {
    let folder = Folder::new("stream");
    let path = folder.file("checkpoint.safetensors");
    let data = Arc::new(points(640));
    let fit = || Fit::new().epochs(3).window_batches(3).verbose(Verbose::Silent);
    let mut whole = trainer();
    let want = bits(&whole.fit(data.clone(), fit())?);
    // In the middle of the third window, and at the beginning of one.
    for batch in [6, 8] {
        let crash = Crash { path: &path, save: (1, Some(batch)), fail: (1, Some(12)) };
        trainer().fit(data.clone(), fit().callback(crash)).unwrap_err();
        let mut second = strayed();
        second.load_checkpoint(&path)?;
        assert_eq!(bits(&second.fit(data.clone(), fit())?), want);
        assert_eq!(digest(&second), digest(&whole));
    }
    // Data in memory continues from the point at which a stream of the same data stopped.
    let mut third = strayed();
    third.load_checkpoint(&path)?;
    assert_eq!(bits(&third.fit(&*data, fit())?), want);
    Ok(())
}

#[test]
fn accumulated_gradients_and_schedules_go_on() -> Result<()> {
    let folder = Folder::new("accumulated");
    let path = folder.file("checkpoint.safetensors");
    let compile = || {
        let rate = CosineDecay::new(0.05, 30).warmup(0.08, 5);
        let compile = Compile::new(Adam::new(rate), SPARSE).metrics([Metric::Accuracy]).seed(7);
        compile.gradient_accumulation_steps(3).clip(Clip::GlobalNorm(0.5))
    };
    let new = || network().compile(device(), compile());
    let mut whole = new()?;
    let want = bits(&whole.fit(&points(800), fit().callback(Watch::default()))?);
    // After 48 and 47 steps: with nothing accumulated, and with two gradients.
    for batch in [7, 6] {
        let crash = Crash { path: &path, save: (2, Some(batch)), fail: (2, Some(batch + 1)) };
        new()?.fit(&points(800), fit().callback(Watch::default()).callback(crash)).unwrap_err();
        let mut second = new()?;
        second.fit(&points(64), Fit::new().epochs(2).verbose(Verbose::Silent))?;
        second.load_checkpoint(&path)?;
        let got = second.fit(&points(800), fit().callback(Watch::default()))?;
        assert_eq!((bits(&got), digest(&second)), (want.clone(), digest(&whole)));
    }
    let parts = format::Parts::of(&std::fs::read(&path).unwrap());
    let sums = &parts.tensors["optimizer/accumulated/dense/kernel"];
    assert!(sums.bytes.iter().any(|&byte| byte != 0), "two gradients wait");
    // Another transform is another optimizer.
    let other = network().compile(device(), compile().gradient_accumulation_steps(4));
    let error = other?.load_checkpoint(&path).unwrap_err();
    says(&error, &["optimizer.gradients.gradient_accumulation_steps", "has 3", "has 4"]);
    Ok(())
}

#[test]
fn callbacks_of_one_name_have_states_of_their_own() -> Result<()> {
    let folder = Folder::new("names");
    let path = folder.file("checkpoint.safetensors");
    let watch = |sum| Watch { sum, ..Watch::default() };
    let (mut a, mut b) = (watch(100.0), watch(200.0));
    let mut first = trainer();
    first.fit(&points(800), fit().epochs(1).callback(&mut a).callback(&mut b))?;
    first.save_checkpoint(&path)?;
    let (mut c, mut d) = (watch(0.0), watch(0.0));
    let mut second = strayed();
    second.load_checkpoint(&path)?;
    second.fit(&points(800), fit().epochs(1).callback(&mut c).callback(&mut d))?;
    assert_eq!((a.sum.to_bits(), b.sum.to_bits()), (c.sum.to_bits(), d.sum.to_bits()));
    assert!(b.sum - a.sum > 99.0, "{} {}", a.sum, b.sum);
    Ok(())
}

#[test]
fn an_epoch_goes_on_with_its_own_batches() -> Result<()> {
    let folder = Folder::new("batches");
    let path = folder.file("checkpoint.safetensors");
    interrupted(&path, (0, Some(6)), (0, Some(8)));
    let mut second = strayed();
    second.load_checkpoint(&path)?;
    let before = state(&second, &folder);
    for (other, words) in [
        (fit().batch_size(64), "10 of 64 from 640 samples shuffled"),
        (fit().shuffle(false), "20 of 32 from 640 samples in order"),
        (fit().steps_per_epoch(10), "10 of 32 from 640 samples shuffled"),
        (fit().validation_split(0.5), "13 of 32 from 400 samples shuffled"),
    ] {
        let error = second.fit(&points(800), other).unwrap_err();
        assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
        says(&error, &["batches", words, "after batch 7 of 20 of 32 from 640 samples shuffled"]);
        assert_eq!(state(&second, &folder), before);
    }
    // At the end of an epoch the batches are free.
    let history = second.fit(&points(800), fit().epochs(1).callback(Watch::default()))?;
    assert_eq!((history.epochs.len(), second.steps()), (1, 20));
    second.save_checkpoint(&path)?;
    second.load_checkpoint(&path)?;
    second.fit(&points(800), fit().batch_size(64).epochs(2))?;
    assert_eq!(second.steps(), 30);
    Ok(())
}

/// Marks the process that trains and stops.
const CHILD: &str = "WGRAD_TEST_TRAINS_AND_STOPS";

#[test]
fn another_process_goes_on_with_the_same_bits() -> Result<()> {
    if let Some(path) = std::env::var_os(CHILD) {
        interrupted(Path::new(&path), (4, Some(12)), (4, Some(13)));
        return Ok(());
    }
    let folder = Folder::new("process");
    let path = folder.file("checkpoint.safetensors");
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "resume::another_process_goes_on_with_the_same_bits"]);
    let output = child.env(CHILD, &path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let mut second = strayed();
    second.load_checkpoint(&path)?;
    assert_eq!(second.steps(), 4 * 20 + 13);
    assert_eq!(ended(second), ended(trainer()));
    Ok(())
}

#[test]
fn a_stream_goes_on_after_its_last_short_batch() -> Result<()> {
    let folder = Folder::new("stream-end");
    let path = folder.file("checkpoint");
    // Ten batches in windows of five, the last batch with five samples of ten.
    let data = || std::sync::Arc::new(points(95));
    let fit = || Fit::new().epochs(2).batch_size(10).window_batches(5).verbose(Verbose::Silent);
    let save = Lambda::new().on_batch_end(BatchInterval::Batches(1), |batch, control| {
        if (batch.epoch, batch.batch) == (0, 9) {
            control.save_checkpoint(&path);
        }
        Ok(())
    });
    let mut whole = trainer();
    let want = bits(&whole.fit(data(), fit().callback(save))?);
    let mut loaded = strayed();
    loaded.load_checkpoint(&path)?;
    assert_eq!(loaded.steps(), 10);
    let got = loaded.fit(data(), fit())?;
    assert_eq!((bits(&got), digest(&loaded)), (want, digest(&whole)));
    Ok(())
}
