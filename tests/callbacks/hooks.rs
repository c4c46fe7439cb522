//! Which hook is called when, and with which numbers.

use super::*;
use std::sync::Mutex;
use std::time::Duration;
use support::{family, options};

/// A callback that notes every call, with the letter `who`.
fn noting<'a>(who: &'a str, interval: BatchInterval, calls: &'a Mutex<Vec<String>>) -> Lambda<'a> {
    let note = move |what: String| {
        calls.lock().unwrap().push(format!("{who}{what}"));
        Ok(())
    };
    Lambda::new()
        .on_train_begin(move |_| note("train[".into()))
        .on_train_end(move |_| note("]train".into()))
        .on_epoch_begin(move |epoch, _| note(format!("epoch{epoch}[")))
        .on_epoch_end(move |epoch, _| note(format!("]epoch{}", epoch.epoch)))
        .on_batch_begin(interval, move |batch, _| note(format!("batch{batch}[")))
        .on_batch_end(interval, move |end, _| note(format!("]batch{}", end.batch)))
        .on_test_begin(move |_| note("test[".into()))
        .on_test_end(move |_| note("]test".into()))
}

#[test]
fn hooks_come_in_order() -> Result<()> {
    let calls = Mutex::new(Vec::new());
    let validation = line(4);
    let fit = fit(2).validation_data(&validation);
    trainer().fit(&line(10), fit.callback(noting("", BatchInterval::Batches(2), &calls)))?;
    let epoch = |e: usize| {
        format!("epoch{e}[ batch0[ ]batch1 batch2[ ]batch3 batch4[ ]batch4 test[ ]test ]epoch{e}")
    };
    assert_eq!(
        calls.into_inner().unwrap().join(" "),
        format!("train[ {} {} ]train", epoch(0), epoch(1))
    );
    Ok(())
}

#[test]
fn without_validation_and_interval_the_hooks_are_four() -> Result<()> {
    let calls = Mutex::new(Vec::new());
    trainer().fit(&line(10), fit(1).callback(noting("", BatchInterval::Never, &calls)))?;
    assert_eq!(calls.into_inner().unwrap().join(" "), "train[ epoch0[ ]epoch0 ]train");
    Ok(())
}

#[test]
fn a_hook_before_batches_alone_is_called() -> Result<()> {
    let mut seen = Vec::new();
    let looking = Lambda::new().on_batch_begin(BatchInterval::Batches(2), |batch, _| {
        seen.push(batch);
        Ok(())
    });
    trainer().fit(&line(10), fit(1).callback(looking))?;
    assert_eq!(seen, [0, 2, 4]);
    Ok(())
}

#[test]
fn each_callback_has_its_own_interval() -> Result<()> {
    let calls = Mutex::new(Vec::new());
    let (a, b) = (BatchInterval::Batches(2), BatchInterval::Batches(3));
    let fit = fit(1).callback(noting("a", a, &calls)).callback(noting("b", b, &calls));
    trainer().fit(&line(14), fit)?;
    let calls = calls.into_inner().unwrap();
    let of = |who: &str| -> String {
        let own = calls.iter().filter_map(|c| c.strip_prefix(who).filter(|c| c.contains("batch")));
        own.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of("a"), "batch0[ ]batch1 batch2[ ]batch3 batch4[ ]batch5 batch6[ ]batch6");
    assert_eq!(of("b"), "batch0[ ]batch2 batch3[ ]batch5 batch6[ ]batch6");
    // At each moment, callbacks are called in their order.
    let moment = calls.iter().filter(|c| c.ends_with("]batch5"));
    assert_eq!(moment.collect::<Vec<_>>(), ["a]batch5", "b]batch5"]);
    Ok(())
}

#[test]
fn numbers_do_not_depend_on_who_looks_when() -> Result<()> {
    let seen = |interval: BatchInterval| -> Result<Vec<(usize, f64)>> {
        let mut seen = Vec::new();
        let looking = Lambda::new().on_batch_end(interval, |end, _| {
            seen.push((end.batch, end.get("loss").unwrap()));
            Ok(())
        });
        let history = trainer().fit(&line(14), fit(1).callback(looking))?;
        assert_eq!(seen.last().unwrap().1, history.get("loss")[0], "the last mean is the epoch's");
        Ok(seen)
    };
    let every = seen(BatchInterval::Batches(1))?;
    assert_eq!(every.iter().map(|s| s.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
    let distinct: Vec<f64> = every.iter().map(|s| s.1).collect();
    assert!(distinct.windows(2).all(|w| w[0] != w[1]), "{distinct:?} tell batches apart");
    for (interval, batches) in [
        (BatchInterval::Batches(3), vec![2, 5, 6]),
        (BatchInterval::Batches(100), vec![6]),
        (BatchInterval::Time(Duration::ZERO), vec![0, 1, 2, 3, 4, 5, 6]),
        (BatchInterval::Time(Duration::from_secs(3600)), vec![6]),
    ] {
        let want: Vec<(usize, f64)> = batches.into_iter().map(|b: usize| every[b]).collect();
        assert_eq!(seen(interval)?, want, "{interval:?}");
    }
    Ok(())
}

/// How often the host waits in an epoch of so many batches, if a callback looks this often.
fn waits(batches: usize, interval: BatchInterval) -> Result<u64> {
    // Tests beside this one would wait on the shared device too.
    let device = family::open(&options()?)?;
    let mut trainer = trainer_on(&device);
    // The host waits for the first steps to measure them, so one epoch runs before.
    trainer.fit(&line(2 * batches), fit(1))?;
    let before = device.waits();
    let looking = Lambda::new().on_batch_end(interval, |_, _| Ok(()));
    trainer.fit(&line(2 * batches), fit(1).callback(looking))?;
    Ok(device.waits() - before)
}

#[test]
fn the_host_waits_only_where_somebody_looks() -> Result<()> {
    let batches = 120;
    assert_eq!(waits(batches, BatchInterval::Never)?, 1, "the epoch's end");
    assert_eq!(waits(batches, BatchInterval::Batches(1))?, batches as u64);
    assert_eq!(waits(batches, BatchInterval::Batches(50))?, 3);
    // The host waits for a step to learn how many take an hour.
    assert_eq!(waits(batches, BatchInterval::Time(Duration::from_secs(3600)))?, 2);
    assert_eq!(waits(batches, BatchInterval::Time(Duration::ZERO))?, batches as u64);
    Ok(())
}

#[test]
fn a_batch_may_end_training() -> Result<()> {
    let (calls, validation) = (Mutex::new(Vec::new()), line(4));
    let mut at_stop = Vec::new();
    let stopping = Lambda::new().on_batch_end(BatchInterval::Batches(3), |end, control| {
        at_stop = end.logs.to_vec();
        control.stop_training();
        Ok(())
    });
    let fit = fit(5).validation_data(&validation);
    let fit = fit.callback(stopping).callback(noting("", BatchInterval::Batches(1), &calls));
    let mut trainer = trainer();
    let history = trainer.fit(&line(10), fit)?;
    assert_eq!(trainer.steps(), 3);
    assert_eq!(history.epochs.len(), 1);
    assert_eq!(history.epochs[0].logs[..2], at_stop[..], "means over the batches that ran");
    assert!(history.epochs[0].get("val_loss").is_some());
    let calls = calls.into_inner().unwrap().join(" ");
    assert!(calls.ends_with("]batch2 test[ ]test ]epoch0 ]train"), "{calls}");
    Ok(())
}

#[test]
fn an_epoch_may_end_training_before_it_begins() -> Result<()> {
    let stopping = Lambda::new().on_epoch_begin(|epoch, control| {
        if epoch == 2 {
            control.stop_training();
        }
        Ok(())
    });
    let mut trainer = trainer();
    let history = trainer.fit(&line(10), fit(5).callback(stopping))?;
    assert_eq!((history.epochs.len(), trainer.steps()), (2, 10));
    assert!(history.get("loss").iter().all(|l| l.is_finite()));
    let at_once = Lambda::new().on_train_begin(|control| {
        control.stop_training();
        Ok(())
    });
    assert_eq!(trainer.fit(&line(10), fit(5).callback(at_once))?.epochs.len(), 0);
    Ok(())
}

#[test]
fn what_a_callback_adds_is_in_the_history() -> Result<()> {
    let numbers = [4.0, 3.0];
    let history = trainer().fit(&line(10), fit(2).callback(made_up("mine", &numbers)))?;
    assert_eq!(history.get("mine"), numbers);
    Ok(())
}

#[test]
fn callbacks_know_what_is_trained() -> Result<()> {
    let (mut info, validation) = (None, line(4));
    let looking = Lambda::new().on_train_begin(|control| {
        info = Some(*control.info());
        Ok(())
    });
    let fit = fit(3).validation_data(&validation).callback(looking);
    trainer().fit(&line(9), fit)?;
    let info: FitInfo = info.expect("the hook runs");
    assert_eq!((info.epochs, info.steps, info.samples, info.validation), (3, 5, 9, true));
    Ok(())
}
