//! Penalties on what a layer computes, by Keras' rule: over the batch, divided by its samples.

use crate::support::{device, says};
use wgrad::Result;
use wgrad::prelude::*;

const L1: f32 = 0.3;
const L2: f32 = 0.05;
const RATE: f32 = 0.1;
const SAMPLES: usize = 5;

fn layer(penalty: Regularizer) -> Dense {
    Dense::new(2).use_bias(false).activity_regularizer(penalty)
}

/// A sum of outputs of one layer, which is used once or twice.
fn model(penalty: Regularizer, uses: usize) -> Result<Model> {
    let x = input([3]);
    let shared = LayerHandle::new(layer(penalty).named("shared"));
    let all: Vec<_> = (0..uses).map(|_| x.then(&shared)).collect();
    let y = if uses == 1 { all[0].clone() } else { merge(Add, &all) };
    Model::new([&x], [&y])
}

fn data() -> Result<TensorDataset> {
    let numbers = |n: usize, by: f32| (0..n).map(|i| (i as f32 * by).sin()).collect::<Vec<f32>>();
    TensorDataset::new(
        Tensor::f32([SAMPLES, 3], numbers(SAMPLES * 3, 0.7))?,
        Tensor::f32([SAMPLES, 2], numbers(SAMPLES * 2, 1.9))?,
    )
}

/// Loss and kernel after one step of gradient descent, in f64. `y` is `uses` times what the layer computes.
fn formula(w: &[f32], uses: usize, l1: f64, l2: f64) -> Result<(f64, Vec<f64>)> {
    let data = data()?;
    let (x, t) = (data.x().as_f32()?, data.y().as_f32()?);
    let (n, uses) = (SAMPLES as f64, uses as f64);
    let mut loss = 0.0;
    let mut new: Vec<f64> = w.iter().map(|&w| f64::from(w)).collect();
    for i in 0..SAMPLES {
        for j in 0..2 {
            let h: f64 = (0..3).map(|k| f64::from(x[i * 3 + k]) * f64::from(w[k * 2 + j])).sum();
            let error = uses * h - f64::from(t[i * 2 + j]);
            loss += error * error / (2.0 * n) + uses * (l1 * h.abs() + l2 * h * h) / n;
            let slope = uses * (error + l1 * h.signum() + 2.0 * l2 * h) / n;
            for k in 0..3 {
                new[k * 2 + j] -= f64::from(RATE) * slope * f64::from(x[i * 3 + k]);
            }
        }
    }
    Ok((loss, new))
}

fn near(found: &[f32], wanted: &[f64]) -> bool {
    found.iter().zip(wanted).all(|(&a, b)| (f64::from(a) - b).abs() <= 2e-6 * b.abs().max(1.0))
}

#[test]
fn loss_and_gradient_are_those_of_the_formula() -> Result<()> {
    let penalty = Regularizer::l1_l2(L1, L2);
    for uses in [1, 2] {
        let network = model(penalty, uses)?;
        let compile = Compile::new(Sgd::new(RATE), Loss::MeanSquaredError).seed(3);
        let mut trainer = network.clone().compile(device(), compile)?;
        let before = trainer.weights()?;
        let w = before[0].1.as_f32()?.to_vec();
        let (loss, wanted) = formula(&w, uses, f64::from(L1), f64::from(L2))?;
        let reported = trainer.evaluate(&data()?)?.loss;
        assert!((reported - loss).abs() <= 1e-6 * loss, "{reported} is not {loss}");
        let plain = model(Regularizer::NONE, uses)?;
        let compile = Compile::new(Sgd::new(RATE), Loss::MeanSquaredError).seed(3);
        let mut without = plain.compile(device(), compile)?;
        assert!(without.evaluate(&data()?)?.loss < 0.95 * loss);
        assert_eq!(without.predict(data()?.x())?, trainer.predict(data()?.x())?);
        trainer.train_on_batch(&data()?)?;
        let trained = trainer.weights()?;
        assert!(near(trained[0].1.as_f32()?, &wanted), "{trained:?} is not {wanted:?}");
        assert!(!near(trained[0].1.as_f32()?, &formula(&w, uses, 0.0, f64::from(L2))?.1));

        // A loop by hand adds the same.
        let mut session = Session::new(device(), 3);
        let model = session.add("model", &network)?;
        session.set_weights(model, &[before[0].1.clone()])?;
        let sgd = session.optimizer(Sgd::new(RATE), [model])?;
        let step = session.step("train", |s| {
            let x = s.input("x", [SAMPLES, 3], DType::F32);
            let y = s.input("y", [SAMPLES, 2], DType::F32);
            let p = s.apply(model, &[x], true)?[0];
            let loss = s.loss(&Loss::MeanSquaredError, y, p)?;
            s.minimize(loss, sgd)
        })?;
        let data = data()?;
        session.run(step, &[("x", data.x()), ("y", data.y())])?;
        assert!(near(session.weights(model)?[0].1.as_f32()?, &wanted));
    }
    Ok(())
}

/// It is in the model's data, in Keras' words.
#[test]
fn a_saved_model_keeps_it() -> Result<()> {
    let json = model(Regularizer::l2(L2), 1)?.to_json()?;
    assert!(json.contains("activity_regularizer"), "{json}");
    assert_eq!(Model::from_json(&json)?.to_json()?, json);
    assert_ne!(model(Regularizer::NONE, 1)?.to_json()?, json);
    Ok(())
}

#[test]
fn where_it_has_no_place_it_is_refused() {
    let bad = Sequential::new([3]).add(layer(Regularizer::l2(-1.0))).build().unwrap_err();
    says(&bad, &["layer `dense`", "l2 = -1"]);
    let within = TimeDistributed::new(layer(Regularizer::l2(0.1)));
    let error = Sequential::new([4, 3]).add(within).build().unwrap_err();
    says(&error, &["time_distributed", "activity_regularizer = Dense", "penalise the output"]);
}
