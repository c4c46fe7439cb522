//! What models learn: figures that a broken gradient or update does not reach.

use super::*;
use wgrad::Result;

#[test]
fn digits_are_learnt() -> Result<()> {
    let (train, test) = digits();
    let model = Sequential::new([28, 28])
        .add(Flatten)
        .add(Dense::new(32).activation(Activation::Relu))
        .add(Dense::new(10));
    let settings = Compile::new(Adam::new(0.005), SPARSE).metrics([Metric::Accuracy]);
    let mut trainer = compile(&model, settings);
    let before = trainer.evaluate(&test)?;
    let history = trainer.fit(&train, Fit::new().epochs(8))?;
    let losses = history.get("loss");
    assert!(losses.windows(2).all(|w| w[1] < w[0]), "the loss goes down: {losses:?}");
    let accuracy = history.get("accuracy");
    assert!(accuracy[7] > 0.95, "training accuracy {accuracy:?}");
    // 400 digits take a dense network to about 80 %.
    let after = trainer.evaluate(&test)?;
    assert!(after.get("accuracy").unwrap() > 0.75, "before {before:?}, after {after:?}");
    assert!(after.loss < before.loss);
    Ok(())
}

#[test]
fn points_with_a_boundary_are_learnt() -> Result<()> {
    let data = points(256, 6, 3);
    let settings = Compile::new(Adam::new(0.02), SPARSE).metrics([Metric::Accuracy]);
    let mut trainer = compile(&small(6, 3), settings);
    let history = trainer.fit(&data, Fit::new().epochs(20))?;
    assert!(*history.get("accuracy").last().unwrap() > 0.97, "{:?}", history.get("accuracy"));
    Ok(())
}

/// Corners of a square, label 1 if the signs differ: no linear model gets more than half of them right with confidence.
fn xor() -> TensorDataset {
    let x = random::uniform(5, 128, 0.5, 1.0);
    let signed = |i: usize, v: &f32| if ((i / 2) >> (i % 2)) & 1 == 1 { -v } else { *v };
    let x: Vec<f32> = x.iter().enumerate().map(|(i, v)| signed(i, v)).collect();
    let y: Vec<f32> = x.chunks(2).map(|p| if p[0] * p[1] < 0.0 { 1.0 } else { 0.0 }).collect();
    TensorDataset::new(Tensor::f32([64, 2], x).unwrap(), Tensor::f32([64], y).unwrap()).unwrap()
}

#[test]
fn every_optimizer_learns_xor() -> Result<()> {
    let rules: Vec<Box<dyn Fn(Loss) -> Compile>> = vec![
        Box::new(|loss| Compile::new(Sgd::new(0.5), loss)),
        Box::new(|loss| Compile::new(Sgd { momentum: 0.9, ..Sgd::new(0.1) }, loss)),
        Box::new(|loss| {
            let sgd = Sgd { momentum: 0.9, nesterov: true, decay: 0.001, ..Sgd::new(0.1) };
            Compile::new(sgd, loss)
        }),
        Box::new(|loss| Compile::new(RmsProp::new(0.02), loss)),
        Box::new(|loss| {
            let rule = RmsProp { momentum: 0.5, centered: true, ..RmsProp::new(0.01) };
            Compile::new(rule, loss)
        }),
        Box::new(|loss| Compile::new(Adagrad::new(0.2), loss)),
        Box::new(|loss| Compile::new(Adam::new(0.03), loss)),
        Box::new(|loss| Compile::new(AdamW::new(0.03, 0.001), loss)),
    ];
    let data = xor();
    for rule in rules {
        let settings =
            rule(Loss::BinaryCrossentropy { from_logits: true }).metrics([Metric::Accuracy]);
        let name = format!("{settings:?}");
        let mut trainer = compile(&small(2, 1), settings);
        let history = trainer.fit(&data, Fit::new().epochs(50).batch_size(8))?;
        let accuracy = history.get("accuracy");
        assert_eq!(accuracy.last(), Some(&1.0), "{name}: {accuracy:?}");
        assert!(*history.get("loss").last().unwrap() < 0.2, "{name}: {:?}", history.get("loss"));
    }
    Ok(())
}

#[test]
fn a_linear_model_cannot_learn_xor() -> Result<()> {
    let loss = Loss::BinaryCrossentropy { from_logits: true };
    let settings = Compile::new(Adam::new(0.03), loss).metrics([Metric::Accuracy]);
    let mut trainer = compile(&Sequential::new([2]).add(Dense::new(1)), settings);
    let history = trainer.fit(&xor(), Fit::new().epochs(20).batch_size(8))?;
    assert!(*history.get("accuracy").last().unwrap() < 0.8);
    assert!(*history.get("loss").last().unwrap() > 0.6);
    Ok(())
}

#[test]
fn every_loss_goes_down() -> Result<()> {
    let zero_one = |data: &TensorDataset| -> TensorDataset {
        let y = data.y().as_f32().unwrap().iter().map(|y| if *y > 0.0 { 1.0 } else { 0.0 });
        let y = Tensor::f32(data.y().shape(), y.collect::<Vec<f32>>()).unwrap();
        TensorDataset::new(data.x().clone(), y).unwrap()
    };
    let one_hot = |data: &TensorDataset| -> TensorDataset {
        let y = reference::losses::one_hot(&labels(data), 3);
        let y = Tensor::f32([data.len(), 3], reference::compare::narrow(&y)).unwrap();
        TensorDataset::new(data.x().clone(), y).unwrap()
    };
    let (values, bits, classes) = (curve(96, 4, 3), zero_one(&curve(96, 4, 3)), points(96, 4, 3));
    let one_hot = one_hot(&classes);
    let (linear, sigmoid, softmax) = (Activation::Linear, Activation::Sigmoid, Activation::Softmax);
    let (binary, categorical) = (
        |from_logits| Loss::BinaryCrossentropy { from_logits },
        |from_logits| Loss::CategoricalCrossentropy { from_logits },
    );
    let cases = [
        (Loss::MeanSquaredError, linear, &values),
        (Loss::MeanAbsoluteError, linear, &values),
        (Loss::Huber { delta: 0.5 }, linear, &values),
        (binary(true), linear, &bits),
        (binary(false), sigmoid, &bits),
        (categorical(true), linear, &one_hot),
        (categorical(false), softmax, &one_hot),
        (SPARSE, linear, &classes),
        (Loss::SparseCategoricalCrossentropy { from_logits: false }, softmax, &classes),
    ];
    for (loss, output, data) in cases {
        let model = Sequential::new([4]).add(Dense::new(3).activation(output));
        let mut trainer = compile(&model, Compile::new(Adam::new(0.05), loss));
        let losses = trainer.fit(data, Fit::new().epochs(15).batch_size(8))?.get("loss");
        assert!(losses[14] < 0.7 * losses[0], "{loss:?}: {losses:?}");
    }
    Ok(())
}
