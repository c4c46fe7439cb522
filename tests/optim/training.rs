//! The same through `compile` and `fit`: batches, epochs, split arenas, and how many dispatches a step takes.

use super::*;
use reference::compare::{assert_close, compare, widen};
use reference::optim::{clip_by_global_norm, clip_by_norm, clip_by_value};
use wgrad::graph::{TensorType, Value};
use wgrad::kernels::DeviceCaps;
use wgrad::optim::Slot;
use wgrad::train::Batch;

/// `n` points of 6 numbers with 2 smooth targets.
fn data(n: usize) -> Result<TensorDataset> {
    let x = uniform(31, n * 6, -1.0, 1.0);
    let y: Vec<f32> = (0..2 * n).map(|i| (2.0 * x[i / 2 * 6 + i % 2]).sin()).collect();
    TensorDataset::new(Tensor::f32([n, 6], x)?, Tensor::f32([n, 2], y)?)
}

fn model() -> Sequential {
    Sequential::new([6]).add(Dense::new(16).activation(Activation::Tanh)).add(Dense::new(2))
}

fn settings(rule: impl Optimizer + 'static) -> Compile {
    Compile::new(rule, Loss::MeanSquaredError).seed(5)
}

fn trained(compile: Compile, data: &TensorDataset, fit: Fit<'_>) -> Result<Trainer> {
    let mut trainer = model().compile(device(), compile)?;
    trainer.fit(data, fit.shuffle(false))?;
    Ok(trainer)
}

fn weights(trainer: &Trainer) -> Result<Vec<Vec<f32>>> {
    trainer.weights()?.iter().map(|(_, tensor)| Ok(tensor.as_f32()?.to_vec())).collect()
}

fn flat(trainer: &Trainer) -> Result<Vec<f32>> {
    Ok(weights(trainer)?.concat())
}

#[test]
fn three_batches_equal_one_of_three_times_the_size() -> Result<()> {
    let data = data(48)?;
    let pairs = each_rule!(settings).into_iter().zip(each_rule!(settings));
    for (whole, parts) in pairs {
        let name = format!("{whole:?}");
        let fit = || Fit::new().epochs(4);
        let whole = trained(whole, &data, fit().batch_size(24))?;
        let parts = parts.gradient_accumulation_steps(3);
        let parts = trained(parts, &data, fit().batch_size(8))?;
        assert_eq!((whole.steps(), parts.steps()), (8, 24));
        assert_close(&name, &flat(&parts)?, &widen(&flat(&whole)?), 1e-5, 1e-5);
    }
    // The comparison notices a step that updates by itself.
    let whole = trained(settings(Sgd::new(0.1)), &data, Fit::new().batch_size(24))?;
    let parts = trained(settings(Sgd::new(0.1)), &data, Fit::new().batch_size(8))?;
    let want = widen(&flat(&whole)?);
    assert!(compare("control", &flat(&parts)?, &want, 1e-5, 1e-5).is_err());
    Ok(())
}

#[test]
fn accumulation_goes_on_in_the_next_epoch() -> Result<()> {
    let data = data(20)?;
    let twice = {
        let (x, y) = (data.x().as_f32()?, data.y().as_f32()?);
        let both = |v: &[f32]| [v, v].concat();
        TensorDataset::new(Tensor::f32([40, 6], both(x))?, Tensor::f32([40, 2], both(y))?)?
    };
    let train = |data: &TensorDataset, epochs: usize| {
        let compile = settings(Adam::new(0.01)).gradient_accumulation_steps(2);
        trained(compile, data, Fit::new().epochs(epochs).batch_size(4))
    };
    // Five batches an epoch: the third update is made of the last one and the first of the next epoch.
    let two_epochs = flat(&train(&data, 2)?)?;
    assert_eq!(two_epochs, flat(&train(&twice, 1)?)?);
    let mut calls = train(&data, 1)?;
    // The fifth batch changes nothing yet.
    assert_eq!(flat(&calls)?, flat(&train(&data.split_at(16)?.0, 1)?)?);
    calls.fit(&data, Fit::new().batch_size(4).shuffle(false))?;
    assert_eq!(flat(&calls)?, two_epochs, "two calls of fit");
    Ok(())
}

#[test]
fn a_short_batch_counts_as_one() -> Result<()> {
    let data = data(20)?;
    let sgd = || settings(Sgd::new(0.5));
    let start = widen(&flat(&model().compile(device(), sgd())?)?);
    let got =
        flat(&trained(sgd().gradient_accumulation_steps(3), &data, Fit::new().batch_size(8))?)?;
    let (first, rest) = data.split_at(8)?;
    let (second, third) = rest.split_at(8)?;
    let mut want = start.clone();
    for part in [&first, &second, &third] {
        let alone = flat(&trained(sgd(), part, Fit::new().batch_size(part.len()))?)?;
        for ((w, alone), start) in want.iter_mut().zip(alone).zip(&start) {
            *w += (f64::from(alone) - start) / 3.0;
        }
    }
    assert_close("three batches", &got, &want, 1e-6, 1e-6);
    Ok(())
}

#[test]
fn split_arenas_clip_alike() -> Result<()> {
    let data = data(16)?;
    let train = |caps: DeviceCaps, clip: Option<Clip>, steps: u64| -> Result<Trainer> {
        let mut compile = settings(Sgd::new(1.0)).gradient_accumulation_steps(steps);
        if let Some(clip) = clip {
            compile = compile.clip(clip);
        }
        let mut trainer = model().compile(&device().with_caps(caps), compile)?;
        trainer.fit(&data, Fit::new().batch_size(16 / steps as usize).shuffle(false))?;
        Ok(trainer)
    };
    let caps = || device().caps().clone();
    // One step of gradients: the difference that it makes at rate 1.
    let start = weights(&model().compile(device(), settings(Sgd::new(1.0)))?)?;
    let start: Vec<Vec<f64>> = start.iter().map(|w| widen(w)).collect();
    let after = weights(&train(caps(), None, 1)?)?;
    let gradients: Vec<Vec<f64>> = (start.iter().zip(&after))
        .map(|(s, a)| s.iter().zip(a).map(|(s, a)| s - f64::from(*a)).collect())
        .collect();
    for clip in [Clip::Value(0.05), Clip::Norm(0.2), Clip::GlobalNorm(0.2)] {
        let clipped = match clip {
            Clip::Value(c) => gradients.iter().map(|g| clip_by_value(g, f64::from(c))).collect(),
            Clip::Norm(c) => gradients.iter().map(|g| clip_by_norm(g, f64::from(c))).collect(),
            Clip::GlobalNorm(c) => clip_by_global_norm(&gradients, f64::from(c)),
            other => panic!("no oracle for {other:?}"),
        };
        assert_ne!(clipped, gradients, "{clip:?} binds");
        let want: Vec<f64> =
            start.concat().iter().zip(clipped.concat()).map(|(s, g)| s - g).collect();
        for steps in [1, 2] {
            let whole = train(caps(), Some(clip), steps)?;
            let small = DeviceCaps { max_binding_bytes: 1024, ..caps() };
            let split = train(small, Some(clip), steps)?;
            assert_eq!((whole.layout().arenas.len(), split.layout().arenas.len()), (1, 2));
            let name = format!("{clip:?}, {steps} steps");
            assert_close(&name, &flat(&whole)?, &want, 0.0, 1e-6);
            assert_close(&name, &flat(&split)?, &want, 0.0, 1e-6);
        }
    }
    Ok(())
}

/// 784-128-10 with Adam and accuracy.
fn dispatches(change: impl Fn(Compile) -> Compile) -> Result<usize> {
    let model = Sequential::new([784])
        .add(Dense::new(128).activation(Activation::Relu))
        .add(Dense::new(10));
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let compile = Compile::new(Adam::default(), loss).metrics([Metric::Accuracy]);
    let trainer = model.compile(device(), change(compile))?;
    let x = TensorType { shape: [64, 784].into(), dtype: DType::U8 };
    let y = TensorType { shape: [64].into(), dtype: DType::U32 };
    let batch = Batch::new("train", x, y, 32, 2);
    Ok(trainer.plan(&batch, true)?.dispatches.len())
}

#[test]
fn a_step_that_accumulates_or_clips_by_value_is_eight_dispatches() -> Result<()> {
    assert_eq!(dispatches(|c| c)?, 8);
    assert_eq!(dispatches(|c| c.gradient_accumulation_steps(1))?, 8);
    assert_eq!(dispatches(|c| c.gradient_accumulation_steps(4))?, 8);
    assert_eq!(dispatches(|c| c.clip(Clip::Value(1.0)))?, 8);
    assert_eq!(dispatches(|c| c.clip(Clip::Value(1.0)).gradient_accumulation_steps(4))?, 8);
    // Squares, their sum in two stages, and the factor.
    assert_eq!(dispatches(|c| c.clip(Clip::GlobalNorm(1.0)))?, 12);
    Ok(())
}

/// SGD that counts its updates in slots of these names.
#[derive(Debug)]
struct Counting(Vec<&'static str>, Sgd);

impl Optimizer for Counting {
    fn name(&self) -> &'static str {
        "Counting"
    }

    fn check(&self) -> Result<()> {
        self.1.check()
    }

    fn slots(&self) -> Vec<Slot> {
        self.0.iter().map(|&name| Slot { name, initial: 0.0 }).collect()
    }

    fn update(
        &self,
        graph: &mut Graph,
        p: Value,
        g: Value,
        slots: &[Value],
    ) -> Result<(Value, Vec<Value>)> {
        let (p, _) = self.1.update(graph, p, g, &[])?;
        let one = graph.constant(1.0);
        let slots = slots.iter().map(|&slot| graph.add(slot, one));
        Ok((p, slots.collect::<Result<_>>()?))
    }

    fn learning_rate(&self) -> &Schedule {
        self.1.learning_rate()
    }

    fn step_values(&self, done: u64, learning_rate: f64) -> Vec<(&'static str, f32)> {
        self.1.step_values(done, learning_rate)
    }
}

#[test]
fn a_slot_shares_its_name_with_nothing() {
    let compiled = |names: &[&'static str], accumulated: u64| {
        let rule = Counting(names.to_vec(), Sgd::new(0.1));
        let compile = Compile::new(rule, Loss::MeanSquaredError);
        let compile = compile.gradient_accumulation_steps(accumulated);
        Sequential::new([1]).add(Dense::new(1)).compile(device(), compile)
    };
    for name in ["params", "frozen", "kept", "profile", "train", "train_on_batch", "a/b", ""] {
        let error = compiled(&["count", name], 1).unwrap_err();
        support::says(&error, &[&format!("slot = {name}:"), "taken"]);
    }
    support::says(&compiled(&["count", "count"], 1).unwrap_err(), &["slot = count", "rename"]);
    // The library itself keeps one slot.
    support::says(&compiled(&["accumulated"], 2).unwrap_err(), &["slot = accumulated"]);
    assert!(compiled(&["accumulated"], 1).is_ok() && compiled(&["count", "other"], 2).is_ok());
}
