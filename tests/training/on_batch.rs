//! Steps one by one: they are those of `fit`, `evaluate` and `predict`.

use super::*;
use wgrad::Result;

fn trainer() -> Trainer {
    let settings = Compile::new(Adam::new(0.01), SPARSE).metrics([Metric::Accuracy]);
    compile(&small(6, 3), settings.gradient_accumulation_steps(2))
}

#[test]
fn steps_on_batches_are_those_of_fit() -> Result<()> {
    let data = points(50, 6, 3);
    let (mut by_hand, mut fitted) = (trainer(), trainer());
    let fit = Fit::new().batch_size(8).shuffle(false).verbose(Verbose::Silent);
    let (mut losses, mut hits) = (0.0, 0.0);
    for start in (0..50).step_by(8) {
        let batch = data.rows(start, 8.min(50 - start))?;
        let before = by_hand.evaluate(&batch)?;
        let numbers = by_hand.train_on_batch(&batch)?;
        // The result of the weights before the update, up to the order of sums in batches of another size.
        assert!((numbers.loss - before.loss).abs() < 1e-6, "{numbers:?} {before:?}");
        assert_eq!(numbers.get("accuracy"), before.get("accuracy"));
        losses += numbers.loss * batch.len() as f64;
        hits += numbers.get("accuracy").unwrap() * batch.len() as f64;
    }
    let history = fitted.fit(&data, fit)?;
    assert_eq!(bits(&by_hand), bits(&fitted));
    assert_eq!((by_hand.steps(), fitted.steps()), (7, 7));
    assert!((losses / 50.0 - history.get("loss")[0]).abs() < 1e-9);
    assert!((hits / 50.0 - history.get("accuracy")[0]).abs() < 1e-9);
    Ok(())
}

#[test]
fn weights_of_samples_count_on_batches() -> Result<()> {
    let data = points(4, 6, 3);
    let mut t = trainer();
    let each: Vec<f64> =
        (0..4).map(|i| Ok(t.test_on_batch(&data.rows(i, 1)?)?.loss)).collect::<Result<_>>()?;
    let weighted = data.weighted(Tensor::f32([4], [1.0, 0.0, 2.0, 0.5])?)?;
    let want = (each[0] + 2.0 * each[2] + 0.5 * each[3]) / 4.0;
    for got in [t.test_on_batch(&weighted)?.loss, t.train_on_batch(&weighted)?.loss] {
        assert!((got - want).abs() < 1e-6, "{got} is not {want}");
    }
    Ok(())
}

#[test]
fn batches_without_training_are_evaluation_and_prediction() -> Result<()> {
    let data = points(300, 6, 3);
    let mut t = trainer();
    t.fit(&data, Fit::new().verbose(Verbose::Silent))?;
    let before = (bits(&t), t.steps());
    let (all, one) = (t.evaluate(&data)?, t.test_on_batch(&data)?);
    assert!((all.loss - one.loss).abs() < 1e-6, "{all:?} {one:?}");
    assert_eq!(all.get("accuracy"), one.get("accuracy"));
    // A batch of 300, which is not a power of two and more than evaluation takes at once.
    let (all, one) = (t.predict(data.x())?, t.predict_on_batch(data.x())?);
    assert_eq!(one.shape(), &Shape::from([300, 3]));
    assert_close_tensors(&all, &one);
    assert_close_tensors(&t.predict(&data)?, &t.predict_on_batch(&data)?);
    assert_eq!((bits(&t), t.steps()), before);
    Ok(())
}

fn assert_close_tensors(a: &Tensor, b: &Tensor) {
    let pairs = a.as_f32().unwrap().iter().zip(b.as_f32().unwrap());
    let far = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(a.shape() == b.shape() && far < 1e-5, "{far}");
}

#[test]
fn batches_that_do_not_suit_are_refused() -> Result<()> {
    let mut t = trainer();
    let before = bits(&t);
    let other = points(4, 5, 3);
    support::says(&t.train_on_batch(&other).unwrap_err(), &["[4, 5]", "samples of shape [6]"]);
    support::says(&t.test_on_batch(&other).unwrap_err(), &["[4, 5]"]);
    support::says(&t.predict_on_batch(other.x()).unwrap_err(), &["[4, 5]"]);
    assert_eq!((bits(&t), t.steps()), (before, 0));
    // This does not disturb an epoch in progress elsewhere: the samples of `fit` stay in place.
    let data = points(20, 6, 3);
    t.fit(&data, Fit::new().verbose(Verbose::Silent))?;
    t.train_on_batch(&points(7, 6, 3))?;
    assert_eq!(t.profile(1)?.steps, 1);
    Ok(())
}
