//! `ReduceLrOnPlateau` and `LearningRateScheduler`.

use super::*;
use std::sync::Mutex;

/// The learning rates of the epochs, and the one after them, under `reduce` with these numbers for `loss`.
fn rates(reduce: ReduceLrOnPlateau, numbers: &[f64]) -> Result<Vec<f64>> {
    let mut trainer = trainer();
    let fit = fit(numbers.len()).callback(made_up("loss", numbers)).callback(reduce);
    let history = trainer.fit(&line(4), fit)?;
    let mut rates = history.get("learning_rate");
    assert_eq!(rates.len(), numbers.len());
    rates.push(trainer.learning_rate());
    Ok(rates)
}

#[test]
fn a_plateau_lowers_the_rate() -> Result<()> {
    let reduce = ReduceLrOnPlateau::new("loss").factor(0.5).patience(2).min_delta(0.0);
    // Epochs 2 and 3 are no better than 4, so epoch 4 has half the rate; then the same for 4 and 5.
    let got = rates(reduce, &[5.0, 4.0, 4.0, 4.5, 4.0, 4.0, 3.0])?;
    assert_eq!(got, [0.125, 0.125, 0.125, 0.125, 0.0625, 0.0625, 0.03125, 0.03125]);
    Ok(())
}

#[test]
fn a_cooldown_counts_nothing() -> Result<()> {
    let reduce = ReduceLrOnPlateau::new("loss").factor(0.5).patience(1).min_delta(0.0);
    let flat = [1.0; 7];
    assert_eq!(
        rates(reduce.clone(), &flat)?,
        [0.125, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625, 0.001953125]
    );
    // After a reduction in epoch 1, epoch 2 cools down; epoch 3 ends the cooldown and counts.
    let got = rates(reduce.cooldown(2), &flat)?;
    assert_eq!(got, [0.125, 0.125, 0.0625, 0.0625, 0.03125, 0.03125, 0.015625, 0.015625]);
    Ok(())
}

#[test]
fn the_rate_stays_above_its_minimum() -> Result<()> {
    let reduce = ReduceLrOnPlateau::new("loss").factor(0.1).patience(1).min_lr(0.0625);
    assert_eq!(rates(reduce, &[1.0; 4])?, [0.125, 0.125, 0.0625, 0.0625, 0.0625]);
    Ok(())
}

#[test]
fn improvements_must_exceed_min_delta() -> Result<()> {
    // Keras' default is 1e-4.
    let falling: Vec<f64> = (0..4).map(|i| 1.0 - 5e-5 * f64::from(i)).collect();
    let reduce = ReduceLrOnPlateau::new("loss").factor(0.5).patience(3);
    // 1, 0.99995 and 0.9999 are no better; 0.99985 is, by 1.5e-4.
    assert_eq!(rates(reduce.clone(), &falling)?[4], 0.125);
    assert_eq!(rates(reduce.min_delta(1e-3), &falling)?[4], 0.0625);
    Ok(())
}

#[test]
fn the_tutorial_waits_a_hundred_epochs() -> Result<()> {
    let reduce = ReduceLrOnPlateau::new("loss").factor(0.95).patience(100);
    let got = rates(reduce, &[1.0; 202])?;
    let first = f64::from((0.125f64 * 0.95) as f32);
    let second = f64::from((first * 0.95) as f32);
    assert!(got[..=100].iter().all(|&r| r == 0.125), "101 epochs at the first rate");
    assert!(got[101..=200].iter().all(|&r| r == first), "100 epochs at 0.95 of it");
    assert_eq!(got[201..], [second, second]);
    Ok(())
}

#[test]
fn a_schedule_sets_the_rate_of_each_epoch() -> Result<()> {
    let asked = Mutex::new(Vec::new());
    let schedule = LearningRateScheduler::new(|epoch, rate| {
        asked.lock().unwrap().push((epoch, rate));
        if epoch < 2 { rate } else { rate / 2.0 }
    });
    let history = trainer().fit(&line(4), fit(4).callback(schedule))?;
    assert_eq!(history.get("learning_rate"), [0.125, 0.125, 0.0625, 0.03125]);
    assert_eq!(asked.into_inner().unwrap(), [(0, 0.125), (1, 0.125), (2, 0.125), (3, 0.0625)]);
    Ok(())
}

#[test]
fn a_rate_may_be_monitored_after_who_logs_it() -> Result<()> {
    let schedule = LearningRateScheduler::new(|epoch, _| if epoch < 3 { 0.1 } else { 0.05 });
    let mut stopping = EarlyStopping::new("learning_rate").mode(Mode::Min).patience(2);
    let fit = fit(9).callback(schedule).callback(&mut stopping);
    assert_eq!(trainer().fit(&line(4), fit)?.epochs.len(), 3);
    Ok(())
}
