//! Models of a session: masks, random numbers and states of their uses.

use super::support::{device, says};
use super::*;
use wgrad::Result;
use wgrad::graph::Value;
use wgrad::session::StepBuilder;

pub(super) const BATCH: usize = 6;
pub(super) const MSE: Loss = Loss::MeanSquaredError;

pub(super) fn numbers(shape: &[usize], seed: u32) -> Tensor {
    let len = shape.iter().product();
    Tensor::f32(shape, random::uniform(seed, len, -1.0, 1.0)).unwrap()
}

/// Sequences of five steps, of which the last ones are zeros, and targets for each step.
fn padded(seed: u32) -> (Tensor, Tensor) {
    let x = numbers(&[BATCH, 5, 3], seed);
    let kept = |i: usize| i / 3 % 5 < 1 + i / 15 % 4;
    let x: Vec<f32> = x
        .as_f32()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(i, &x)| if kept(i) { x } else { 0.0 })
        .collect();
    (Tensor::f32([BATCH, 5, 3], x).unwrap(), numbers(&[BATCH, 5, 2], seed + 50))
}

pub(super) fn close(a: &Tensor, b: &Tensor) {
    let apart = a.zip_with(b, |a, b| (a - b).abs()).unwrap();
    assert!(apart.as_f32().unwrap().iter().all(|&d| d < 1e-5), "{a:?} {b:?}");
}

/// The numbers of weights without their names.
pub(super) fn values(weights: Vec<(String, Tensor)>) -> Vec<Tensor> {
    weights.into_iter().map(|(_, weight)| weight).collect()
}

#[test]
fn a_session_heeds_masks_as_fit_does() -> Result<()> {
    let masked = || Sequential::new([5, 3]).add(Masking::default());
    let model = masked().add(Lstm::new(4).return_sequences(true)).add(Dense::new(2)).build()?;
    let mut trainer = model.compile(device(), Compile::new(Adam::new(0.01), MSE).seed(3))?;
    // The second session takes the mask of the loss away, the third gives it to the input of a model without `Masking`.
    let bare = Sequential::new([5, 3]).add(Lstm::new(4).return_sequences(true)).add(Dense::new(2));
    let bare = bare.build()?;
    let train = |net: &Model, prepare: &dyn Fn(&mut StepBuilder<'_>, Value, bool) -> Result<()>| {
        let mut session = Session::new(device(), 3);
        let own = session.add("net", net)?;
        let adam = session.optimizer(Adam::new(0.01), [own])?;
        let step = session.step("fit", |s| {
            let x = s.input("x", [BATCH, 5, 3], DType::F32);
            let y = s.input("y", [BATCH, 5, 2], DType::F32);
            prepare(s, x, true)?;
            let p = s.apply(own, &[x], true)?[0];
            prepare(s, p, false)?;
            let loss = s.loss(&MSE, y, p)?;
            s.minimize(loss, adam)
        })?;
        for i in 0..4 {
            let (x, y) = padded(i);
            session.run(step, &[("x", &x), ("y", &y)])?;
        }
        Ok::<_, wgrad::Error>(values(session.weights(own)?))
    };
    for i in 0..4 {
        let (x, y) = padded(i);
        trainer.train_on_batch(&TensorDataset::new(x, y)?)?;
    }
    let fitted = values(trainer.weights()?);
    assert_eq!(train(&model, &|_, _, _| Ok(()))?, fitted);
    let unmasked = train(&model, &|s, value, _| s.set_mask(value, None))?;
    assert_ne!(unmasked, fitted);
    let given = train(&bare, &|s, value, input| match input {
        true => {
            let present = s.graph().unary("abs", value, &[])?;
            let present = s.graph().sum(present, &[2], false)?;
            let present = s.graph().unary("sign", present, &[])?;
            s.set_mask(value, present)
        }
        false => {
            assert!(s.mask(value).is_some());
            Ok(())
        }
    })?;
    assert_eq!(given, fitted);
    assert_ne!(train(&bare, &|_, _, _| Ok(()))?, fitted);
    Ok(())
}

#[test]
fn a_mask_travels_from_model_to_model() -> Result<()> {
    let x = input([5, 3]);
    let seen = x.then(Masking::default()).then(Dense::new(3));
    let (inner, last) = (input([5, 3]), LayerHandle::new(Lstm::new(4)));
    let whole = Model::new([&x], [&seen.then(&last)])?;
    let (first, second) = (Model::new([&x], [&seen])?, Model::new([&inner], [&inner.then(&last)])?);
    let mut session = Session::new(device(), 1);
    let [whole, first, second] = [("whole", &whole), ("first", &first), ("second", &second)]
        .map(|(name, model)| session.add(name, model).unwrap());
    let same = x.then(wgrad::layers::Lambda::new(|_, x| Ok(x[0])));
    let same = session.add("same", &Model::new([&x], [&same])?)?;
    let step = session.step("look", |s| {
        let x = s.input("x", [BATCH, 5, 3], DType::F32);
        let (once, h) = (s.apply(whole, &[x], false)?[0], s.apply(first, &[x], false)?[0]);
        let twice = s.apply(second, &[h], false)?[0];
        s.set_mask(h, None)?;
        let unmasked = s.apply(second, &[h], false)?[0];
        s.outputs("y", &[once, twice, unmasked]);
        let wrong = s.filled([BATCH, 4], 1.0)?;
        s.set_mask(h, wrong)?;
        says(&s.apply(second, &[h], false).unwrap_err(), &["[6, 4], [6, 5, 3]", "mask"]);
        // What a model gives back as it is keeps the mask that others need.
        let ones = s.filled([BATCH, 5], 1.0)?;
        s.set_mask(x, ones)?;
        s.apply(same, &[x], false)?;
        assert_eq!(s.mask(x), Some(ones));
        Ok(())
    })?;
    let y = session.call(step, &[("x", &padded(1).0)])?;
    assert_eq!(y[0], y[1]);
    assert_ne!(y[0], y[2]);
    Ok(())
}

#[test]
fn uses_of_models_draw_different_numbers() -> Result<()> {
    let noisy = || {
        let noise = LayerHandle::new(GaussianNoise::new(1.0));
        let x = input([40]);
        // Two uses in the model: the second of one use is not the first of the next.
        Model::new([&x], [&x.then(&noise), &x.then(&noise)])
    };
    let draw = |uses: &[usize]| -> Result<Vec<Tensor>> {
        let mut session = Session::new(device(), 7);
        let models = [session.add("a", &noisy()?)?, session.add("b", &noisy()?)?];
        let step = session.step("draw", |s| {
            let x = s.filled([3, 40], 0.0)?;
            for (i, &model) in uses.iter().enumerate() {
                let drawn = s.apply(models[model], &[x], true)?;
                s.outputs(&format!("use {i}"), &drawn);
            }
            let still = s.apply(models[0], &[x], false)?;
            s.outputs("still", &still);
            Ok(())
        })?;
        session.call(step, &[])
    };
    let mut drawn = draw(&[0, 0, 1, 0, 1])?;
    let still = drawn.split_off(10);
    assert!(still.iter().all(|y| y.as_f32().unwrap().iter().all(|&v| v == 0.0)));
    for (i, a) in drawn.iter().enumerate() {
        for (j, b) in drawn[..i].iter().enumerate() {
            let same = a.as_f32()?.iter().zip(b.as_f32()?).filter(|(a, b)| a == b).count();
            assert!(same < 3, "uses {j} and {i} have {same} numbers in common");
        }
    }
    assert_eq!(draw(&[0, 0])?[..4], drawn[..4]);
    // A trainer of the model draws what its first use draws.
    let model = noisy()?;
    let mut trainer = model.compile(device(), Compile::new(Sgd::new(0.1), MSE).seed(7))?;
    let zeros = || Tensor::f32([3, 40], [0.0; 120]);
    let data = TensorDataset::multi([zeros()?], [zeros()?, zeros()?])?;
    let loss = trainer.train_on_batch(&data)?.loss;
    let squares = |y: &Tensor| y.as_f32().unwrap().iter().map(|v| f64::from(v * v)).sum::<f64>();
    let wanted = (squares(&drawn[0]) + squares(&drawn[1])) / 120.0;
    assert!((loss - wanted).abs() < 1e-5 * wanted, "{loss} {wanted}");
    Ok(())
}

/// A model with batch normalization, applied to two batches in one step by a session, and twice in one model.
#[test]
fn later_uses_go_on_from_the_newest_states() -> Result<()> {
    let norm = || BatchNormalization::new().momentum(0.7);
    let judge = || Sequential::new([3]).add(Dense::new(4)).add(norm()).add(Dense::new(1)).build();
    let (real, fake) = (input_named("real", [3]), input_named("fake", [3]));
    let inside = judge()?;
    let both = Model::new([&real, &fake], [&real.then(&inside), &fake.then(&inside)])?;
    let mut trainer = both.compile(device(), Compile::new(Sgd::new(0.1), MSE))?;
    let mut session = Session::new(device(), 0);
    let own = session.add("judge", &judge()?)?;
    let first: Vec<Tensor> = values(trainer.weights()?);
    session.set_weights(own, &first)?;
    let sgd = session.optimizer(Sgd::new(0.1), [own])?;
    let step = session.step("train", |s| {
        let (real, fake) =
            (s.input("real", [BATCH, 3], DType::F32), s.input("fake", [BATCH, 3], DType::F32));
        let (yes, no) = (s.apply(own, &[real], true)?[0], s.apply(own, &[fake], true)?[0]);
        let (one, zero) = (s.filled([BATCH, 1], 1.0)?, s.filled([BATCH, 1], 0.0)?);
        let (of_yes, of_no) = (s.loss(&MSE, one, yes)?, s.loss(&MSE, zero, no)?);
        let loss = s.graph().add(of_yes, of_no)?;
        // Evaluation after training has the newest statistics too.
        let seen = s.apply(own, &[real], false)?[0];
        s.output("seen", seen);
        s.minimize(loss, sgd)
    })?;
    for i in 0..3 {
        let (real, fake) = (numbers(&[BATCH, 3], i), numbers(&[BATCH, 3], i + 20));
        let before = values(session.weights(own)?);
        session.run(step, &[("real", &real), ("fake", &fake)])?;
        let targets = [vec![1.0; BATCH], vec![0.0; BATCH]].map(|y| Tensor::f32([BATCH, 1], y));
        let [one, zero] = targets;
        let data = TensorDataset::multi([real.clone(), fake], [one?, zero?])?;
        trainer.train_on_batch(&data)?;
        // What evaluation sees: the weights before the update, and the statistics after both uses.
        let (weights, after) = (values(session.weights(own)?), values(trainer.weights()?));
        assert_eq!(weights, after, "step {i}");
        let model = judge()?;
        let mixed: Vec<Tensor> = (before.iter().zip(&weights).zip(model.weights()))
            .map(|((old, new), (_, spec))| match spec.name.starts_with("moving") {
                true => new.clone(),
                false => old.clone(),
            })
            .collect();
        assert_ne!(mixed, before);
        let wanted = Predictor::new(device(), &model, &mixed)?.predict(&real)?;
        let seen = session.read(step, "seen")?;
        close(&seen, &wanted);
    }
    Ok(())
}
