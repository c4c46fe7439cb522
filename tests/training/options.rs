//! The options of `fit`: validation, weights of samples and classes, the begin and end of epochs.

use super::*;
use reference::compare::assert_close;
use std::sync::Mutex;
use support::says;
use wgrad::Error;
use wgrad::Result;
use wgrad::callbacks::{BatchInterval, Lambda};
use wgrad::layers::input;

fn quiet<'a>() -> Fit<'a> {
    Fit::new().verbose(Verbose::Silent)
}

fn trainer(seed: u64) -> Trainer {
    compile(
        &small(6, 3),
        Compile::new(Adam::new(0.01), SPARSE).metrics([Metric::Accuracy]).seed(seed),
    )
}

/// The message of a refused `fit`, which must leave the trainer as it was.
#[track_caller]
fn refused(data: &TensorDataset, fit: Fit<'_>, words: &[&str]) {
    let mut t = trainer(1);
    let before = bits(&t);
    let error = t.fit(data, fit).unwrap_err();
    assert!(matches!(error, Error::Parameter { .. } | Error::Data { .. }), "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "{error} lacks {word:?}");
    }
    assert_eq!((t.steps(), bits(&t)), (0, before));
}

#[test]
fn a_validation_split_is_the_last_rows() -> Result<()> {
    let data = points(103, 6, 3);
    let mut split = trainer(3);
    let own = split.fit(&data, quiet().epochs(3).validation_split(0.2))?;
    // Keras trains on the floor of 103 * 0.8.
    let (train, validation) = data.split_at(82)?;
    let mut given = trainer(3);
    let other = given.fit(&train, quiet().epochs(3).validation_data(&validation))?;
    for name in ["loss", "accuracy", "val_loss", "val_accuracy"] {
        assert_eq!(own.get(name), other.get(name), "{name}");
        assert_eq!(own.get(name).len(), 3);
    }
    assert_eq!(bits(&split), bits(&given));
    Ok(())
}

#[test]
fn a_split_leaves_samples_on_both_sides() {
    let data = points(40, 6, 3);
    for share in [1.0, -0.1, 1.5, f64::NAN, 0.999] {
        refused(&data, quiet().validation_split(share), &["validation_split", "both sides"]);
    }
    let percent = ["validation_split = 20", "20 percent is 0.2", "both sides of 40"];
    refused(&data, quiet().validation_split(20.0), &percent);
    let both = quiet().validation_split(0.5).validation_data(&data);
    refused(&data, both, &["validation_split", "validation_data", "choose one"]);
}

#[test]
fn a_split_of_zero_is_none() -> Result<()> {
    let data = points(40, 6, 3);
    let (mut plain, mut zero) = (trainer(3), trainer(3));
    let want = plain.fit(&data, quiet().epochs(2))?;
    let got = zero.fit(&data, quiet().epochs(2).validation_split(0.0))?;
    assert_eq!((got.get("loss"), bits(&zero)), (want.get("loss"), bits(&plain)));
    assert!(got.get("val_loss").is_empty());
    // Together with options that a split does not allow.
    let fit = quiet().validation_split(0.0).validation_data(&data);
    assert_eq!(zero.fit(&data, fit)?.get("val_loss").len(), 1);
    zero.fit(std::sync::Arc::new(data), quiet().validation_split(0.0))?;
    Ok(())
}

#[test]
fn a_batch_has_at_most_all_samples() -> Result<()> {
    let data = points(6, 6, 3);
    let run = |fit: Fit<'_>, streamed: bool| -> Result<(Vec<f64>, u64, Vec<u8>)> {
        let mut t = trainer(3);
        let history = match streamed {
            false => t.fit(&data, fit.epochs(2))?,
            true => t.fit(std::sync::Arc::new(data.clone()), fit.epochs(2))?,
        };
        Ok((history.get("loss"), t.steps(), bits(&t)))
    };
    for streamed in [false, true] {
        let want = run(quiet().batch_size(6), streamed)?;
        assert_eq!(want.1, 2, "an epoch is a step");
        assert_eq!(run(quiet(), streamed)?, want, "the default of 32");
        for size in [7, usize::MAX] {
            assert_eq!(run(quiet().batch_size(size), streamed)?, want, "{size}");
        }
        assert_ne!(run(quiet().batch_size(5), streamed)?, want);
    }
    refused(&data, quiet().batch_size(32).steps_per_epoch(2), &["steps_per_epoch = 2", "1 step"]);
    Ok(())
}

#[test]
fn weights_multiply_each_samples_loss() -> Result<()> {
    let data = points(70, 6, 3);
    let weights = random::uniform(9, 70, 0.0, 3.0);
    let weighted = data.clone().weighted(Tensor::f32([70], &weights[..])?)?;
    let mut t = trainer(5);
    // The mean of the weighted losses, from the loss of each sample by itself.
    let mut want = 0.0;
    for (i, w) in weights.iter().enumerate() {
        want += f64::from(*w) * t.evaluate(&data.rows(i, 1)?)?.loss / 70.0;
    }
    let got = t.evaluate(&weighted)?;
    assert!((got.loss - want).abs() < 1e-6 * want, "{} is not {want}", got.loss);
    // Metrics are not weighted, as in Keras.
    assert_eq!(got.get("accuracy"), t.evaluate(&data)?.get("accuracy"));
    Ok(())
}

#[test]
fn a_weight_counts_like_that_many_copies() -> Result<()> {
    // Twice the weight of one sample is the sample twice, but for the batch size that divides.
    let (data, extra) = (points(8, 6, 3), 3);
    let mut weights = vec![1.0; 8];
    weights[extra] = 2.0;
    let row = |i: usize| data.rows(i, 1);
    let mut x = data.x().as_f32()?.to_vec();
    x.extend_from_slice(row(extra)?.x().as_f32()?);
    let mut y = data.y().as_u32()?.to_vec();
    y.extend_from_slice(row(extra)?.y().as_u32()?);
    let copied = TensorDataset::new(Tensor::f32([9, 6], x)?, Tensor::u32([9], y)?)?;
    let descend = |data: &TensorDataset, rate: f32, fit: Fit<'_>| -> Result<Vec<f32>> {
        let mut t = compile(&small(6, 3), Compile::new(Sgd::new(rate), SPARSE));
        t.fit(data, fit.full_batch().verbose(Verbose::Silent))?;
        Ok(flat(&t))
    };
    let weighted = descend(&data, 0.8, Fit::new().sample_weight(&weights))?;
    let copied = descend(&copied, 0.9, Fit::new())?;
    assert_close("weights", &weighted, &widen(&copied), 1e-5, 1e-6);
    let unweighted = descend(&data, 0.8, Fit::new())?;
    assert_ne!(weighted, unweighted);
    Ok(())
}

#[test]
fn class_weights_are_sample_weights() -> Result<()> {
    let data = points(64, 6, 3);
    let labels = data.y().as_u32()?.to_vec();
    let weights: Vec<f32> = labels.iter().map(|&l| if l == 2 { 0.25 } else { 1.0 }).collect();
    let (mut by_class, mut by_sample) = (trainer(7), trainer(7));
    by_class.fit(&data, quiet().class_weight([(2, 0.25)]).epochs(2))?;
    by_sample.fit(&data, quiet().sample_weight(&weights).epochs(2))?;
    assert_eq!(bits(&by_class), bits(&by_sample));
    Ok(())
}

#[test]
fn validation_knows_no_class_weights() -> Result<()> {
    let data = points(64, 6, 3);
    let mut t = trainer(7);
    let fit = || quiet().validation_split(0.25);
    let weighed = t.fit(&data, fit().class_weight([(0, 10.0)]))?;
    // The rate is not zero: what is validated is the weights after the epoch.
    let own = t.evaluate(&data.rows(48, 16)?)?.loss;
    assert_eq!(weighed.get("val_loss"), [own]);
    // A class that only validation has is no class to weigh.
    let mut labels = data.y().as_u32()?.to_vec();
    labels[..48].iter_mut().for_each(|label| *label %= 2);
    labels[48..].fill(2);
    let data = TensorDataset::new(data.x().clone(), Tensor::u32([64], labels)?)?;
    refused(&data, fit().class_weight([(2, 5.0)]), &["class 2", "no training sample"]);
    Ok(())
}

#[test]
fn class_weights_need_classes() -> Result<()> {
    let data = points(40, 6, 2);
    let y = Tensor::f32([40, 1], (0..40).map(|i| i as f32 * 0.1).collect::<Vec<_>>())?;
    let numbers = TensorDataset::new(data.x().clone(), y)?;
    let model = small(6, 1);
    let mut t = compile(&model, Compile::new(Sgd::new(0.1), Loss::MeanSquaredError));
    let error = t.fit(&numbers, quiet().class_weight([(1, 2.0)])).unwrap_err().to_string();
    assert!(
        error.contains("element 1 of the targets is 0.1") && error.contains("class_weight"),
        "{error}"
    );
    Ok(())
}

/// Compares the class weights of these rows of targets with weights of samples, bit by bit.
fn weighed(loss: Loss, y: &[[f32; 3]], classes: &[(u32, f32)], samples: &[f32]) -> Result<()> {
    let x = points(y.len(), 6, 3).x().clone();
    let data = TensorDataset::new(x, Tensor::f32([y.len(), 3], y.as_flattened())?)?;
    let train = |fit: Fit<'_>| -> Result<Vec<u8>> {
        let mut t = compile(&small(6, 3), Compile::new(Sgd::new(0.1), loss));
        t.fit(&data, fit.batch_size(2).verbose(Verbose::Silent))?;
        Ok(bits(&t))
    };
    let own = train(Fit::new().class_weight(classes.to_vec()))?;
    assert_eq!(own, train(Fit::new().sample_weight(samples))?, "{y:?} {classes:?}");
    assert_ne!(own, train(Fit::new())?, "{y:?} {classes:?}");
    Ok(())
}

#[test]
fn the_class_of_a_row_is_its_first_largest() -> Result<()> {
    // Multi-hot, tied, and empty rows, as `np.argmax` has them.
    let y = [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
    for loss in [Loss::BinaryCrossentropy { from_logits: true }, Loss::MeanSquaredError] {
        weighed(loss, &y, &[(0, 10.0)], &[10.0, 1.0, 10.0, 1.0])?;
        weighed(loss, &y, &[(1, 3.0), (2, 5.0)], &[1.0, 3.0, 1.0, 5.0])?;
    }
    let soft = [[0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [0.1, 0.2, 0.7], [0.5, 0.3, 0.2]];
    let categorical = Loss::CategoricalCrossentropy { from_logits: true };
    weighed(categorical, &soft, &[(0, 10.0), (1, 0.5)], &[10.0, 0.5, 1.0, 10.0])
}

#[test]
fn class_weights_of_regressions_and_several_outputs_are_refused() -> Result<()> {
    let x = points(2, 6, 3).x().clone();
    let y = Tensor::f32([2, 3], [0.1, 0.9, 0.0, 1.0, 0.0, 0.0])?;
    let data = TensorDataset::new(x.clone(), y.clone())?;
    let mut t = compile(&small(6, 3), Compile::new(Sgd::new(0.1), Loss::MeanAbsoluteError));
    let fit = || quiet().batch_size(2).class_weight([(1, 2.0)]);
    let error = t.fit(&data, fit()).unwrap_err();
    says(&error, &["class_weight", "element 0 of the targets is 0.1", "regression"]);
    let a = input([6]);
    let model = Model::new([&a], &[a.then(Dense::new(3)), a.then(Dense::new(3))])?;
    let mut t = model.compile(device(), Compile::new(Sgd::new(0.1), Loss::MeanAbsoluteError))?;
    let error = t.fit(&TensorDataset::multi([x], [y.clone(), y])?, fit()).unwrap_err();
    says(&error, &["class_weight", "several outputs"]);
    assert_eq!(t.steps(), 0);
    Ok(())
}

#[test]
fn weights_that_make_no_sense_are_refused() {
    let data = points(40, 6, 2);
    refused(
        &data,
        quiet().class_weight([(2, 1.0)]),
        &["class 2", "no training sample has this class"],
    );
    refused(&data, quiet().class_weight([(0, 1.0), (0, 2.0)]), &["class 0", "twice"]);
    for bad in [-1.0, f32::NAN, f32::INFINITY] {
        refused(&data, quiet().class_weight([(0, bad)]), &["class 0", "0 or more"]);
        let mut weights = vec![1.0; 40];
        weights[17] = bad;
        refused(&data, quiet().sample_weight(&weights), &["row 17", "0 or more"]);
    }
    refused(&data, quiet().sample_weight(&[1.0; 39]), &["sample weights", "[39]", "[40]"]);
}

#[test]
fn epochs_begin_and_end_where_they_are_told() -> Result<()> {
    let data = points(100, 6, 3);
    let mut t = trainer(2);
    let history = t.fit(&data, quiet().initial_epoch(3).epochs(5).batch_size(10))?;
    assert_eq!(history.epochs.iter().map(|e| e.epoch).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(t.steps(), 20);
    let history = t.fit(&data, quiet().epochs(2).batch_size(30).steps_per_epoch(3))?;
    assert_eq!((t.steps(), history.epochs.len()), (26, 2));
    refused(&data, quiet().batch_size(30).steps_per_epoch(5), &["steps_per_epoch = 5", "4 steps"]);
    refused(&data, quiet().steps_per_epoch(0), &["steps_per_epoch = 0"]);
    Ok(())
}

#[test]
fn epochs_of_fewer_steps_go_through_all_samples() -> Result<()> {
    // At rate 0 the loss of each epoch tells which samples it had.
    let data = points(10, 6, 3);
    let still = || compile(&small(6, 3), Compile::new(Sgd::new(0.0), SPARSE).seed(3));
    let mut t = still();
    let of = |t: &mut Trainer, rows: [usize; 4]| -> Result<f64> {
        let losses = rows.map(|row| t.evaluate(&data.rows(row, 1)?).map(|e| e.loss));
        losses.into_iter().sum::<Result<f64>>().map(|sum| sum / 4.0)
    };
    let fit = || quiet().batch_size(2).steps_per_epoch(2);
    let want = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1], [2, 3, 4, 5]];
    let history = t.fit(&data, fit().shuffle(false).epochs(4))?;
    for (got, rows) in history.get("loss").iter().zip(want) {
        let want = of(&mut t, rows)?;
        assert!((got - want).abs() < 1e-6, "{got} is not {want} of rows {rows:?}");
    }
    // Shuffled, five epochs of four samples see each of ten samples twice.
    let history = t.fit(&data, fit().epochs(5))?;
    let (all, got) = (t.evaluate(&data)?.loss, history.get("loss"));
    let mean = got.iter().sum::<f64>() / 5.0;
    assert!((mean - all).abs() < 1e-6, "{mean} is not {all}");
    assert!(got.iter().any(|loss| (loss - all).abs() > 1e-3), "{got:?}");
    // A stream takes the same samples.
    let mut streamed = still();
    let windows = fit().window_batches(1).shuffle(false).epochs(4);
    let streamed = streamed.fit(std::sync::Arc::new(data.clone()), windows)?;
    let resident = still().fit(&data, fit().shuffle(false).epochs(4))?;
    assert_eq!(streamed.get("loss"), resident.get("loss"));
    Ok(())
}

#[test]
fn batch_hooks_do_not_change_what_is_learned() -> Result<()> {
    let data = points(90, 6, 3);
    let (mut plain, mut watched) = (trainer(4), trainer(4));
    let alone = plain.fit(&data, quiet().epochs(2).batch_size(8))?;
    let seen = Mutex::new(Vec::new());
    let hook = Lambda::new().on_batch_end(BatchInterval::Batches(5), |end, _| {
        let loss = end.get("loss").ok_or("no loss")?;
        seen.lock().unwrap().push((end.epoch, end.batch, loss));
        Ok(())
    });
    let logged = watched.fit(&data, quiet().epochs(2).batch_size(8).callback(hook))?;
    assert_eq!(bits(&plain), bits(&watched));
    assert_eq!(alone.get("loss"), logged.get("loss"));
    let places: Vec<_> =
        seen.lock().unwrap().iter().map(|(epoch, batch, _)| (*epoch, *batch)).collect();
    assert_eq!(places, [(0, 4), (0, 9), (0, 11), (1, 4), (1, 9), (1, 11)]);
    assert_eq!(seen.lock().unwrap()[2].2, logged.get("loss")[0], "the last number is the epoch's");
    Ok(())
}

#[test]
fn frozen_layers_stay_as_they_are() -> Result<()> {
    let model = |frozen: bool| {
        let first = Dense::new(8).activation(Activation::Tanh).named("base");
        let first = if frozen { first.frozen() } else { first };
        Sequential::new([6]).add(first).add(Dense::new(3))
    };
    let mut t = compile(&model(true), Compile::new(Adam::new(0.01), SPARSE));
    let before = tensors(&t);
    t.fit(&points(60, 6, 3), quiet().epochs(3))?;
    let after = tensors(&t);
    assert_eq!(before[..2], after[..2], "the frozen layer");
    assert_ne!(before[2], after[2], "the kernel that trains");
    let summary = model(true).summary()?;
    assert!(summary.contains(" Non-trainable params: 56 "), "{summary}");

    // A trainer takes over a trained network and trains its head.
    let mut whole = compile(&model(false), Compile::new(Adam::new(0.01), SPARSE));
    whole.fit(&points(60, 6, 3), quiet())?;
    t.set_weights(&tensors(&whole))?;
    assert_eq!(tensors(&t), tensors(&whole));
    Ok(())
}

#[test]
fn frozen_layers_add_no_penalty() -> Result<()> {
    // One weight of 3 under l2(1) or l1(2): 9 or 6 if it trains; as in Keras 0 if it is frozen.
    let layer = |penalty| {
        let kernel = Dense::new(1).use_bias(false).kernel_regularizer(penalty);
        kernel.kernel_initializer(Initializer::Constant(3.0))
    };
    let zeros = || Tensor::f32([2, 1], [0.0, 0.0]);
    let data = TensorDataset::new(zeros()?, zeros()?)?;
    let (l1, l2) = (Regularizer::l1(2.0), Regularizer::l2(1.0));
    let frozen = |penalty| layer(penalty).frozen();
    let models = [
        (Sequential::new([1]).add(frozen(l2)), 0.0),
        (Sequential::new([1]).add(layer(l2)), 9.0),
        (Sequential::new([1]).add(frozen(l2)).add(layer(l1)), 6.0),
        (Sequential::new([1]).add(layer(l2)).add(frozen(l1)), 9.0),
    ];
    for (model, want) in models {
        let settings = || Compile::new(Sgd::new(0.0), Loss::MeanSquaredError);
        let mut t = compile(&model, settings());
        let fitted = t.fit(&data, quiet().epochs(2).validation_data(&data))?;
        assert_eq!(fitted.get("loss"), [want; 2]);
        assert_eq!(fitted.get("val_loss"), [want; 2]);
        assert_eq!(t.evaluate(&data)?.loss, want);
    }
    Ok(())
}

#[test]
fn epochs_without_a_wait_between_them_are_the_same() -> Result<()> {
    // 5 steps an epoch, the last one short; a callback makes the host wait after each.
    let data = points(70, 6, 3);
    let in_order = || quiet().epochs(37).batch_size(16).shuffle(false);
    let (mut alone, mut watched) = (trainer(6), trainer(6));
    let at_once = alone.fit(&data, in_order())?;
    let one_by_one = watched.fit(&data, in_order().on_epoch_end(|_| {}))?;
    assert_eq!(bits(&alone), bits(&watched));
    assert_eq!((alone.steps(), at_once.epochs.len()), (185, 37));
    for name in ["loss", "accuracy"] {
        assert_eq!(at_once.get(name), one_by_one.get(name), "{name}");
    }
    Ok(())
}
