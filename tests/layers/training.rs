//! The layers inside a training step.

use super::*;
use support::device;
use wgrad::Result;

/// Points in the plane, and what a smooth function gives there.
fn curve(n: usize) -> TensorDataset {
    let x = uniform(1, 2 * n, -1.0, 1.0);
    let y: Vec<f32> = x.chunks(2).map(|p| (2.0 * p[0]).sin() * p[1]).collect();
    let (x, y) = (Tensor::f32([n, 2], x).unwrap(), Tensor::f32([n, 1], y).unwrap());
    TensorDataset::new(x, y).unwrap()
}

#[test]
fn they_learn_and_evaluation_draws_nothing() -> Result<()> {
    let data = curve(256);
    let model = Sequential::new([2])
        .add(GaussianNoise::new(0.01))
        .add(Dense::new(24))
        .add(PRelu::new())
        .add(AlphaDropout::new(0.02))
        .add(Reshape::new([4, -1]))
        .add(Permute::new([2, 1]))
        .add(Flatten)
        .add(Dense::new(24))
        .add(RRelu::default())
        .add(Dense::new(1));
    let mut trainer =
        model.compile(device(), Compile::new(Adam::new(0.01), Loss::MeanSquaredError))?;
    let alpha = |trainer: &Trainer| -> Result<Tensor> {
        Ok(trainer.weights()?.into_iter().find(|w| w.0 == "p_re_lu/alpha").expect("slopes").1)
    };
    assert!(alpha(&trainer)?.as_f32()?.iter().all(|&a| a == 0.0));
    let before = trainer.evaluate(&data)?.loss;
    trainer.fit(&data, Fit::new().epochs(40).batch_size(32))?;
    let after = trainer.evaluate(&data)?.loss;
    assert_eq!(after, trainer.evaluate(&data)?.loss);
    assert!(after < 0.1 * before, "from {before} to {after}");
    assert!(alpha(&trainer)?.as_f32()?.iter().any(|&a| a != 0.0), "slopes are learned");
    Ok(())
}
