//! Seeds: the same bits again, other bits with another; dropout masks; training that continues.

use super::*;
use std::sync::Mutex;
use support::run;
use wgrad::Result;
use wgrad::autodiff::gradients;
use wgrad::graph::Graph;
use wgrad::layers::{Context, Random};

/// Shuffling, dropout and a short batch: everything that draws numbers.
fn trained(seed: u64, rate: f32) -> Trainer {
    let model = Sequential::new([6])
        .add(Dense::new(16).activation(Activation::Relu))
        .add(Dropout::new(rate))
        .add(Dense::new(3));
    let mut trainer = compile(&model, Compile::new(Adam::new(0.01), SPARSE).seed(seed));
    trainer.fit(&points(100, 6, 3), Fit::new().epochs(3).batch_size(8)).unwrap();
    trainer
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let first = bits(&trained(3, 0.25));
    assert_eq!(first, bits(&trained(3, 0.25)));
    assert_ne!(first, bits(&trained(4, 0.25)));
    assert_ne!(first, bits(&trained(3 << 32, 0.25)), "the upper half of a seed counts");
}

#[test]
fn initial_weights_follow_the_seed() {
    let initial =
        |seed| bits(&compile(&small(6, 3), Compile::new(Adam::default(), SPARSE).seed(seed)));
    assert_eq!(initial(1), initial(1));
    assert_ne!(initial(1), initial(2));
}

#[test]
fn training_continues_where_it_stopped() -> Result<()> {
    let data = points(100, 6, 3);
    let model = Sequential::new([6]).add(Dense::new(8)).add(Dropout::new(0.5)).add(Dense::new(3));
    let trainer = || compile(&model, Compile::new(Adam::new(0.01), SPARSE));
    let (mut once, mut twice) = (trainer(), trainer());
    let whole = once.fit(&data, Fit::new().epochs(4).batch_size(8))?;
    let mut losses = twice.fit(&data, Fit::new().epochs(1).batch_size(8))?.get("loss");
    // Evaluation and prediction in between change nothing.
    twice.evaluate(&data)?;
    twice.predict(&data)?;
    losses.extend(twice.fit(&data, Fit::new().epochs(3).batch_size(8))?.get("loss"));
    assert_eq!(whole.get("loss"), losses);
    assert_eq!(bits(&once), bits(&twice));
    assert_eq!((once.steps(), twice.steps()), (52, 52));
    Ok(())
}

#[test]
fn other_data_and_batch_sizes_may_follow() -> Result<()> {
    let mut trainer = compile(&small(6, 3), Compile::new(Adam::new(0.01), SPARSE));
    for (n, batch) in [(100, 32), (40, 7), (100, 32), (300, 300)] {
        let data = points(n, 6, 3);
        let before = trainer.evaluate(&data)?.loss;
        trainer.fit(&data, Fit::new().epochs(3).batch_size(batch))?;
        assert!(trainer.evaluate(&data)?.loss < before, "{n} samples in batches of {batch}");
    }
    Ok(())
}

/// y and dx of dropout on `x` with upstream gradient `x`, for one step.
fn dropped(rate: f32, stream: u32, step: u32, x: &Tensor) -> (Vec<f32>, Vec<f32>) {
    let mut g = Graph::new();
    let input = g.input("x", x.shape(), DType::F32);
    let seed = g.step_param("seed", DType::U32).unwrap();
    let counter = g.step_param("step", DType::U32).unwrap();
    let cx = Context::new("dropout", &[input]);
    let cx = cx.training_with(Some(Random { seed, step: counter, stream }));
    let y = Dropout::new(rate).apply(&mut g, &cx).unwrap().values[0];
    let upstream = g.input("upstream", x.shape(), DType::F32);
    let weighted = g.mul(y, upstream).unwrap();
    let total = g.sum(weighted, &[], false).unwrap();
    let dx = gradients(&mut g, total, &[input]).unwrap()[0];
    g.output("y", y);
    g.output("dx", dx);
    let words = [("seed", 9), ("step", step)];
    let got = run(&g, &[("x", x), ("upstream", x)], &words).unwrap();
    (got[0].as_f32().unwrap().to_vec(), got[1].as_f32().unwrap().to_vec())
}

#[test]
fn the_mask_is_the_same_in_forward_and_backward() {
    let n = 10_000;
    let x = Tensor::f32([100, 100], random::uniform(4, n, 0.5, 1.5)).unwrap();
    let (y, dx) = dropped(0.3, 2, 5, &x);
    assert_eq!(y, dx, "both are the mask times x");
    let (zero, kept): (Vec<_>, Vec<_>) =
        y.iter().zip(x.as_f32().unwrap()).partition(|(y, _)| **y == 0.0);
    // 3000 expected, with a standard deviation of 46.
    assert!((2750..3250).contains(&zero.len()), "{} of {n} dropped", zero.len());
    assert!(kept.iter().all(|(y, x)| (**y - **x / 0.7).abs() <= 2e-7 * **y), "scaled by 1/0.7");

    // Another step or stream is another mask.
    assert_ne!(y, dropped(0.3, 2, 6, &x).0);
    assert_ne!(y, dropped(0.3, 3, 5, &x).0);
    assert_eq!(y, dropped(0.3, 2, 5, &x).0);
}

#[test]
fn dropout_is_off_outside_training() -> Result<()> {
    let trainer = &mut trained(3, 0.5);
    let data = points(7, 6, 3);
    let got = trainer.predict(&data)?;
    let want = forward(&wide(trainer), &["relu", "linear"], &features(&data), 7);
    reference::compare::assert_close("predictions", got.as_f32()?, &want, 1e-5, 1e-6);
    assert_eq!(trainer.evaluate(&data)?, trainer.evaluate(&data)?);
    assert_eq!(got, trainer.predict(&data)?);
    // While training it is on: a rate of 0 gives other weights.
    assert_ne!(bits(trainer), bits(&trained(3, 0.0)));
    Ok(())
}

#[test]
fn weights_go_out_and_in() -> Result<()> {
    let data = points(64, 6, 3);
    let mut first = compile(&small(6, 3), Compile::new(Sgd::new(0.1), SPARSE).seed(1));
    first.fit(&data, Fit::new())?;
    let mut second = compile(&small(6, 3), Compile::new(Sgd::new(0.1), SPARSE).seed(2));
    assert_ne!(bits(&first), bits(&second));
    second.set_weights(&tensors(&first))?;
    assert_eq!(bits(&first), bits(&second));
    assert_eq!(first.evaluate(&data)?, second.evaluate(&data)?);
    // The rule has no state and no shuffle: training goes on alike.
    first.fit(&data, Fit::new().shuffle(false))?;
    second.fit(&data, Fit::new().shuffle(false))?;
    assert_eq!(bits(&first), bits(&second));

    let names: Vec<String> = first.weights()?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]);
    Ok(())
}

#[test]
fn validation_is_logged_after_each_epoch() -> Result<()> {
    let (train, validation) = points(150, 6, 3).split_at(100)?;
    let settings = Compile::new(Adam::new(0.01), SPARSE).metrics([Metric::Accuracy]);
    let mut trainer = compile(&small(6, 3), settings);
    let seen = Mutex::new(Vec::new());
    let fit = Fit::new().epochs(3).validation_data(&validation);
    let history =
        trainer.fit(&train, fit.on_epoch_end(|e| seen.lock().unwrap().push(e.clone())))?;
    assert_eq!(history.epochs, seen.into_inner().unwrap());
    for epoch in &history.epochs {
        let names: Vec<&str> = epoch.logs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["loss", "accuracy", "val_loss", "val_accuracy"]);
        assert!(epoch.samples_per_second > 0.0);
    }
    let line = history.epochs[2].to_string();
    assert!(line.starts_with("epoch  3  ") && line.contains("  val_loss 0."), "{line}");
    let after = trainer.evaluate(&validation)?;
    assert_eq!(history.get("val_loss")[2], after.loss);
    assert_eq!(history.get("val_accuracy")[2], after.get("accuracy").unwrap());
    assert!(history.first_step.is_some_and(|d| d.as_nanos() > 0));
    Ok(())
}
