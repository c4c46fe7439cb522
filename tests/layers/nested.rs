//! Models inside models: names with a path, weights that stay shared, rows of the summary.

use super::*;
use support::device;

fn names(model: &Model) -> Vec<String> {
    model.weights().map(|(l, w)| format!("{}/{}", l.name, w.name)).collect()
}

fn weights_of(model: &Model) -> Vec<Tensor> {
    model.weights().zip(2..).map(|((_, spec), i)| numbers(spec.shape.dims(), i)).collect()
}

#[test]
fn a_model_inside_gives_what_its_layers_give() -> Result<()> {
    let inner =
        Sequential::new([5]).add(Dense::new(4).activation(Activation::Tanh)).add(PRelu::new());
    let outer = Sequential::new([3])
        .add(Dense::new(5))
        .add_named("encoder", &inner)
        .add(Dense::new(2))
        .build()?;
    let flat = Sequential::new([3])
        .add(Dense::new(5))
        .add(Dense::new(4).activation(Activation::Tanh))
        .add(PRelu::new())
        .add(Dense::new(2))
        .build()?;
    assert_eq!(
        names(&outer),
        [
            "dense/kernel",
            "dense/bias",
            "encoder/dense/kernel",
            "encoder/dense/bias",
            "encoder/p_re_lu/alpha",
            "dense_1/kernel",
            "dense_1/bias",
        ]
    );
    let (x, weights) = (numbers(&[3, 3], 1), weights_of(&flat));
    let [got, want] = [&outer, &flat].map(|m| model_step(m, &[&x], &refs(&weights), None).unwrap());
    assert_eq!((got.y(), &got.inputs, &got.weights), (want.y(), &want.inputs, &want.weights));
    assert!(got.weights.iter().all(|w| w.iter().any(|g| *g != 0.0)));
    let summary = outer.summary();
    assert!(summary.contains("encoder (Sequential)") && summary.contains("(None, 4)"), "{summary}");
    assert!(!summary.contains("p_re_lu"), "{summary}");
    let total =
        format!("Total params: {} ", weights.iter().map(|w| w.shape().len()).sum::<usize>());
    assert!(summary.contains(&total), "{summary}");
    // A path deeper.
    let deeper = Sequential::new([3]).add(&outer).build()?;
    assert_eq!(names(&deeper)[4], "sequential/encoder/p_re_lu/alpha");
    Ok(())
}

#[test]
fn a_model_used_twice_has_its_weights_once() -> Result<()> {
    let encoder = Sequential::new([3]).add(Dense::new(4).activation(Activation::Tanh)).build()?;
    let (a, b) = (input([3]), input([3]));
    let both = merge(Subtract, [&a.then(&encoder), &b.then(&encoder)]);
    let model = Model::new([&a, &b], [&both])?;
    assert_eq!(names(&model), ["sequential/dense/kernel", "sequential/dense/bias"]);
    let text = model.summary();
    assert!(text.contains("sequential[0][0], sequential[1][0]"), "{text}");
    let x = [numbers(&[2, 3], 1), numbers(&[2, 3], 7)];
    let weights = weights_of(&model);
    let step = model_step(&model, &refs(&x), &refs(&weights), None)?;
    let operands: Vec<&Tensor> = x.iter().chain(&weights).collect();
    check_gradients("twins", &step, &operands, |at| {
        let tower = |x: &[f64]| -> Vec<f64> {
            let y = reference::linalg::matmul(x, &at[2], 1, 2, 4, 3, false, false);
            let y = reference::linalg::add_bias(&y, &at[3]);
            y.into_iter().map(f64::tanh).collect()
        };
        tower(&at[0]).iter().zip(tower(&at[1])).map(|(a, b)| a - b).collect()
    });
    Ok(())
}

/// One layer object in two models that a third puts together, and beside them.
#[test]
fn one_layer_in_two_models_shares_its_weights() -> Result<()> {
    let shared = LayerHandle::new(Dense::new(3));
    let left = Sequential::new([3]).add(&shared).add(Activation::Tanh).build()?;
    let x = input([3]);
    let right = Model::new([&x], [&x.then(&shared).then(PRelu::new())])?;
    let y = input([3]);
    let parts = [y.then(&left), y.then(&right), y.then(&shared)];
    let model = Model::new([&y], [&merge(Add, &parts)])?;
    assert_eq!(
        names(&model),
        ["sequential/dense/kernel", "sequential/dense/bias", "functional/p_re_lu/alpha"]
    );
    assert!(left.layers()[0].is_same_layer(&right.layers()[0]));
    assert!(!left.layers()[0].is_same_layer(&right.layers()[1]));
    let (x, weights) = (numbers(&[2, 3], 1), weights_of(&model));
    let step = model_step(&model, &[&x], &refs(&weights), None)?;
    let operands: Vec<&Tensor> = std::iter::once(&x).chain(&weights).collect();
    check_gradients("shared between models", &step, &operands, |at| {
        let y = reference::linalg::matmul(&at[0], &at[1], 1, 2, 3, 3, false, false);
        let y = reference::linalg::add_bias(&y, &at[2]);
        let bent = reference::layers::rectify(&y, &at[3].repeat(2));
        y.iter().zip(bent).map(|(y, b)| y.tanh() + b + y).collect()
    });
    Ok(())
}

#[test]
fn a_frozen_model_inside_is_frozen_with_all_its_layers() -> Result<()> {
    let critic = Sequential::new([2])
        .add(Dense::new(4).activation(Activation::Tanh))
        .add(Dense::new(1))
        .build()?;
    let stacked = |critic: LayerHandle| -> Result<Model> {
        Sequential::new([2]).add(Dense::new(2)).add(critic).build()
    };
    let mut model = stacked(LayerHandle::new(&critic).named("critic").frozen())?;
    let compile = || Compile::new(Sgd::new(0.1), Loss::MeanSquaredError);
    let data = TensorDataset::new(numbers(&[6, 2], 1), numbers(&[6, 1], 2))?;
    let mut trainer = model.compile(device(), compile())?;
    let before = trainer.weights()?;
    let fit = || Fit::new().full_batch().verbose(Verbose::Silent);
    trainer.fit(&data, fit())?;
    let after = trainer.weights()?;
    assert_eq!(before[2..], after[2..]);
    assert_ne!(before[0], after[0]);
    // A model and a layer in it are known by name.
    trainer.unfreeze(["critic/dense_1"])?;
    trainer.fit(&data, fit().epochs(2).initial_epoch(1))?;
    let later = trainer.weights()?;
    assert_eq!(after[2..4], later[2..4]);
    assert_ne!(after[4], later[4]);
    trainer.unfreeze(["critic"])?;
    trainer.fit(&data, fit().epochs(3).initial_epoch(2))?;
    assert_ne!(later[2], trainer.weights()?[2]);
    assert!(model.summary().contains("Non-trainable params: 17 "));
    model.set_trainable("critic", true)?;
    assert!(model.summary().contains("Non-trainable params: 0 "));
    assert!(critic.layers().iter().all(|l| l.trainable));
    Ok(())
}

#[test]
fn outputs_and_shapes_of_models_inside() -> Result<()> {
    let (a, b) = (input([3]), input_named("side", [2]));
    let joined = merge(Concatenate::default(), [&a, &b]);
    let pair = Model::new([&a, &b], [&joined.then(Dense::new(2)), &joined])?;
    let (x, y) = (input([3]), input([2]));
    let both = merge(&pair, [&x, &y]);
    let model = Model::new([&x, &y], [&both.output(1), &both.output(0).then(Dense::new(1))])?;
    assert_eq!(model.output_shapes(), [Shape::from([5]), Shape::from([1])]);
    assert_eq!(model.output_names(), ["functional", "dense"]);
    let text = model.summary();
    assert!(text.contains("functional (Functional)"), "{text}");
    assert!(text.contains("[(None, 2), (None, 5)]"), "{text}");
    let error = Model::new([&x, &y], [&merge(&pair, [&y, &x])]).unwrap_err();
    says(&error, &["layer `functional`", "[2], [3]", "input `input`"]);
    let error = Model::new([&x], [&x.then(&pair)]).unwrap_err();
    says(&error, &["layer `functional`", "inputs = 1", "the model has 2"]);
    let bad = Sequential::new([3]).add(Dense::new(0));
    let error = Sequential::new([3]).add(&bad).build().unwrap_err();
    says(&error, &["layer `dense`", "units = 0"]);
    let ids = input([4]);
    let words = Sequential::new([4]).add(Embedding::new(9, 2)).build()?;
    let model = Model::new([&ids], [&ids.then(&words)])?;
    assert_eq!(model.index_range(0), Some(9));
    Ok(())
}

#[test]
fn layers_inside_and_their_uses_draw_different_numbers() -> Result<()> {
    let noise = || GaussianNoise::new(1.0);
    let inner = Sequential::new([100]).add(noise()).build()?;
    let steps = Sequential::new([2, 100]).add(TimeDistributed::new(&inner)).build()?;
    let x = input([100]);
    let pair = x.then(RepeatVector::new(2)).then(&steps);
    let ends = [x.then(noise()), x.then(&inner), x.then(&inner), pair];
    let model = Model::new([&x], &ends)?;
    let zeros = Tensor::f32([1, 100], vec![0.0; 100])?;
    let step = model_step(&model, &[&zeros], &[], Some([1, 2]))?;
    let drawn: Vec<&[f32]> =
        step.outputs.iter().flat_map(|t| t.as_f32().unwrap().chunks(100)).collect();
    assert_eq!(drawn.len(), 5);
    for i in 0..5 {
        let (mean, variance) = moments(drawn[i]);
        assert!(mean.abs() < 0.5 && (0.5..2.0).contains(&variance), "{i}: {mean} {variance}");
        for j in 0..i {
            assert_ne!(drawn[i], drawn[j], "{i} and {j}");
        }
    }
    // Evaluation draws none.
    let step = model_step(&model, &[&zeros], &[], None)?;
    assert!(step.outputs.iter().all(|t| t.as_f32().unwrap().iter().all(|v| *v == 0.0)));
    Ok(())
}
