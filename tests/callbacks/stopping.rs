//! `EarlyStopping` and `TerminateOnNan`.

use super::*;
use std::sync::Mutex;

/// Trains under `stopping` with these numbers for `val_loss`; gives how many epochs ran.
fn epochs(stopping: &mut EarlyStopping, monitor: &str, numbers: &[f64]) -> Result<usize> {
    let (mut trainer, validation) = (trainer(), line(2));
    let fit = fit(numbers.len()).validation_data(&validation);
    let fit = fit.callback(made_up(monitor, numbers)).callback(stopping);
    Ok(trainer.fit(&line(4), fit)?.epochs.len())
}

#[test]
fn patience_counts_epochs_without_improvement() -> Result<()> {
    let mut stopping = EarlyStopping::new("val_loss").patience(3);
    let numbers = [5.0, 4.0, 4.5, 4.25, 3.0, 3.0, 3.5, 3.0, 1.0];
    assert_eq!(epochs(&mut stopping, "val_loss", &numbers)?, 8);
    assert_eq!(stopping.stopped_epoch(), Some(7));
    assert_eq!((stopping.best(), stopping.best_epoch()), (Some(3.0), Some(4)));
    assert_eq!(stopping.wait(), 3);
    // Used again, it begins again.
    assert_eq!(epochs(&mut stopping, "val_loss", &[9.0, 8.0, 7.0, 6.0])?, 4);
    assert_eq!((stopping.stopped_epoch(), stopping.best()), (None, Some(6.0)));
    Ok(())
}

#[test]
fn without_patience_the_first_epoch_without_improvement_ends() -> Result<()> {
    for patience in [0, 1] {
        let mut stopping = EarlyStopping::new("val_loss").patience(patience);
        assert_eq!(epochs(&mut stopping, "val_loss", &[5.0, 4.0, 4.0, 3.0])?, 3);
    }
    Ok(())
}

#[test]
fn small_improvements_do_not_count() -> Result<()> {
    // 4.5 is better by exactly min_delta, which is not enough; 4.25 is enough.
    let mut stopping = EarlyStopping::new("val_loss").patience(2).min_delta(0.5);
    assert_eq!(epochs(&mut stopping, "val_loss", &[5.0, 4.5, 4.25, 4.0, 3.75, 3.5])?, 5);
    assert_eq!((stopping.best(), stopping.stopped_epoch()), (Some(4.25), Some(4)));
    Ok(())
}

#[test]
fn the_direction_comes_from_the_name_or_the_mode() -> Result<()> {
    let rising = [1.0, 2.0, 3.0, 4.0];
    let mut auto = EarlyStopping::new("val_accuracy");
    assert_eq!(epochs(&mut auto, "val_accuracy", &rising)?, 4);
    let mut min = EarlyStopping::new("val_accuracy").mode(Mode::Min);
    assert_eq!(epochs(&mut min, "val_accuracy", &rising)?, 2);
    let mut max = EarlyStopping::new("val_loss").mode(Mode::Max);
    assert_eq!(epochs(&mut max, "val_loss", &rising)?, 4);
    Ok(())
}

#[test]
fn a_baseline_must_be_beaten() -> Result<()> {
    // Every epoch improves, but none is under 2.
    let mut stopping = EarlyStopping::new("val_loss").patience(2).baseline(2.0);
    assert_eq!(epochs(&mut stopping, "val_loss", &[5.0, 4.0, 3.0, 3.5, 3.0])?, 4);
    // Once it is beaten, patience begins again.
    let mut stopping = EarlyStopping::new("val_loss").patience(2).baseline(2.0);
    assert_eq!(epochs(&mut stopping, "val_loss", &[5.0, 1.0, 3.0, 3.5, 3.0])?, 4);
    assert_eq!(stopping.stopped_epoch(), Some(3));
    Ok(())
}

#[test]
fn early_epochs_may_be_left_out() -> Result<()> {
    let mut stopping = EarlyStopping::new("val_loss").start_from_epoch(2);
    assert_eq!(epochs(&mut stopping, "val_loss", &[1.0, 2.0, 3.0, 2.5, 2.75])?, 5);
    assert_eq!((stopping.best(), stopping.best_epoch()), (Some(2.5), Some(3)));
    Ok(())
}

#[test]
fn nan_is_no_improvement_and_hides_none() -> Result<()> {
    let nan = f64::NAN;
    let mut stopping = EarlyStopping::new("val_loss").patience(2);
    assert_eq!(epochs(&mut stopping, "val_loss", &[nan, 3.0, nan, nan, 1.0])?, 4);
    assert_eq!(stopping.best(), Some(3.0));
    Ok(())
}

#[test]
fn the_best_weights_come_back() -> Result<()> {
    let numbers = [5.0, 3.0, 4.0, 4.0, 2.0];
    for (restore, kept) in [(true, 1), (false, 3)] {
        let weights = Mutex::new(Vec::new());
        let noting = Lambda::new().on_epoch_end(|_, control| {
            weights.lock().unwrap().push(bits(control.trainer()));
            Ok(())
        });
        let mut stopping = EarlyStopping::new("loss").patience(2).restore_best_weights(restore);
        let fit = fit(5).callback(made_up("loss", &numbers)).callback(&mut stopping);
        let mut trainer = trainer();
        trainer.fit(&line(4), fit.callback(noting))?;
        let weights = weights.into_inner().unwrap();
        assert_eq!(weights.len(), 4);
        assert_ne!(weights[1], weights[3], "training moves the weights");
        assert_eq!(bits(&trainer), weights[kept], "restore: {restore}");
        // What was kept is freed.
        assert!(trainer.kept_names().is_empty(), "{:?}", trainer.kept_names());
    }
    Ok(())
}

#[test]
fn two_that_watch_one_number_keep_weights_of_their_own() -> Result<()> {
    let weights = Mutex::new(Vec::new());
    let noting = Lambda::new().on_epoch_end(|_, control| {
        weights.lock().unwrap().push(bits(control.trainer()));
        Ok(())
    });
    // The second one looks from the third epoch on, and restores last.
    let first = EarlyStopping::new("loss").patience(9).restore_best_weights(true);
    let second = first.clone().start_from_epoch(2);
    let fit = fit(5).callback(made_up("loss", &[5.0, 1.0, 4.0, 2.0, 3.0]));
    let mut trainer = trainer();
    trainer.fit(&line(4), fit.callback(first).callback(second).callback(noting))?;
    assert_eq!(bits(&trainer), weights.into_inner().unwrap()[3]);
    assert!(trainer.kept_names().is_empty(), "{:?}", trainer.kept_names());
    Ok(())
}

#[test]
fn the_best_weights_come_back_at_an_end_that_is_not_early() -> Result<()> {
    let weights = Mutex::new(Vec::new());
    let noting = Lambda::new().on_epoch_end(|_, control| {
        weights.lock().unwrap().push(bits(control.trainer()));
        Ok(())
    });
    let mut stopping = EarlyStopping::new("loss").patience(9).restore_best_weights(true);
    let fit = fit(3).callback(made_up("loss", &[2.0, 1.0, 3.0])).callback(&mut stopping);
    let mut trainer = trainer();
    trainer.fit(&line(4), fit.callback(noting))?;
    assert_eq!(bits(&trainer), weights.into_inner().unwrap()[1]);
    assert_eq!(stopping.stopped_epoch(), None);
    Ok(())
}

/// Points of a line whose 7th target is too large for the loss in f32.
fn overflowing() -> TensorDataset {
    let data = line(10);
    let mut y = data.y().as_f32().unwrap().to_vec();
    y[6] = 1e30;
    TensorDataset::new(data.x().clone(), Tensor::f32([10, 1], y).unwrap()).unwrap()
}

#[test]
fn a_loss_that_is_no_number_ends_training() -> Result<()> {
    // The 4th batch has an infinite loss, and so has the mean from there on.
    for (interval, batch) in
        [(BatchInterval::Batches(1), 3), (BatchInterval::Batches(3), 4), (BatchInterval::Never, 4)]
    {
        let mut terminate = TerminateOnNan::new().interval(interval);
        let lines = Shared::default();
        let fit = fit(3).shuffle(false).callback(&mut terminate);
        let fit = fit.callback(ProgressLines::to(lines.clone()));
        let history = trainer().fit(&overflowing(), fit)?;
        assert_eq!(history.epochs.len(), 1, "{interval:?}");
        assert!(!history.get("loss")[0].is_finite());
        assert_eq!(terminate.found(), Some((0, batch)), "{interval:?}");
        let says = format!("stopped: the loss is inf after batch {} of epoch 1", batch + 1);
        assert!(lines.text().ends_with(&(says.clone() + "\n")), "{says}: {}", lines.text());
    }
    let mut terminate = TerminateOnNan::new();
    let history = trainer().fit(&line(10), fit(3).callback(&mut terminate))?;
    assert_eq!((history.epochs.len(), terminate.found()), (3, None));
    Ok(())
}
