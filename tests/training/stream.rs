//! Data that is streamed: the same training as on data in memory, and what is refused during it.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wgrad::data::{FnDataset, NamedDataset};
use wgrad::layers::{Model, input_named};
use wgrad::{Error, Result};

fn trainer() -> Trainer {
    compile(&small(6, 3), Compile::new(Adam::new(0.01), SPARSE).metrics([Metric::Accuracy]))
}

fn quiet<'a>() -> Fit<'a> {
    Fit::new().verbose(Verbose::Silent)
}

#[test]
fn streamed_data_trains_to_the_same_bits() -> Result<()> {
    // 12 full batches and a short one; windows of 1 batch, of some that do not divide, and of all.
    let data = points(123, 6, 3);
    for shuffle in [true, false] {
        let fit = || quiet().epochs(3).batch_size(10).shuffle(shuffle);
        let mut resident = trainer();
        let want = resident.fit(&data, fit())?;
        for window in [1, 5, 13, 100] {
            let mut streamed = trainer();
            let got = streamed.fit(Arc::new(data.clone()), fit().window_batches(window))?;
            assert_eq!(bits(&streamed), bits(&resident), "window of {window}");
            assert_eq!(got.get("loss"), want.get("loss"), "window of {window}");
            assert_eq!(got.get("accuracy"), want.get("accuracy"));
        }
        let mut streamed = trainer();
        streamed.fit(Arc::new(data.clone()), fit())?;
        assert_eq!(bits(&streamed), bits(&resident), "the window that nobody set");
    }
    Ok(())
}

#[test]
fn the_part_of_an_epoch_that_runs_is_the_part_that_is_read() -> Result<()> {
    let data = points(123, 6, 3);
    let (mut resident, mut streamed) = (trainer(), trainer());
    let fit = || quiet().epochs(2).batch_size(10).steps_per_epoch(7).validation_data(&data);
    let want = resident.fit(&data, fit())?;
    let got = streamed.fit(Arc::new(data.clone()), fit().window_batches(3))?;
    assert_eq!(bits(&streamed), bits(&resident));
    assert_eq!(got.get("val_loss"), want.get("val_loss"));
    Ok(())
}

/// A dataset of `n` samples made on demand, which counts the rows it reads, fails at row `bad` and gives the row
/// after it a label outside the classes.
fn made(n: usize, read: &Arc<AtomicUsize>, bad: u32) -> Result<Arc<dyn Dataset>> {
    let read = read.clone();
    let made = FnDataset::new(n, move |rows: &[u32]| {
        read.fetch_add(rows.len(), Ordering::Relaxed);
        if rows.contains(&bad) {
            return Err(Error::data("row", "the disk is gone"));
        }
        let x = rows.iter().flat_map(|row| (0..6).map(move |i| ((row * 7 + i) as f32).sin()));
        let y = rows.iter().map(|&row| if row == bad.wrapping_add(1) { 9 } else { row % 3 });
        let x = Tensor::f32([rows.len(), 6], x.collect::<Vec<f32>>())?;
        Ok((x, Tensor::u32([rows.len()], y.collect::<Vec<u32>>())?))
    })?;
    Ok(Arc::new(made))
}

#[test]
fn what_a_stream_cannot_carry_is_refused() -> Result<()> {
    let data = points(20, 6, 3);
    let y = Tensor::f32([20, 1], vec![7.0; 20])?;
    let wrong = TensorDataset::new(data.x().clone(), y)?;
    let model = small(6, 1);
    let loss = Loss::BinaryCrossentropy { from_logits: true };
    let mut trainer = compile(&model, Compile::new(Sgd::new(0.1), loss));
    let error = trainer.fit(Arc::new(wrong), quiet().batch_size(5)).unwrap_err().to_string();
    assert!(error.contains("is 7") && error.contains("probabilities"), "{error}");
    Ok(())
}

#[test]
fn every_row_is_read_once_an_epoch() -> Result<()> {
    let read = Arc::new(AtomicUsize::new(0));
    let data = made(10_000, &read, u32::MAX - 1)?;
    // One row was read to learn the shapes.
    read.store(0, Ordering::Relaxed);
    let history = trainer().fit(data, quiet().epochs(2).batch_size(100).window_batches(7))?;
    assert_eq!((history.epochs.len(), read.load(Ordering::Relaxed)), (2, 20_000));
    Ok(())
}

#[test]
fn a_failed_read_and_a_bad_label_end_training_with_the_row() -> Result<()> {
    let read = Arc::new(AtomicUsize::new(0));
    let mut t = trainer();
    let failing = made(1000, &read, 500)?;
    let error =
        t.fit(failing, quiet().batch_size(10).shuffle(false).window_batches(2)).unwrap_err();
    assert!(error.to_string().contains("the disk is gone"), "{error}");
    // Row 41 has a bad label, row 40 fails: whichever comes first in the order is named.
    let (train, order) = (made(60, &read, 40)?, wgrad::data::permutation(60, 0, 0)?);
    let place = |row: u32| order.iter().position(|&r| r == row);
    let first = if place(41) < place(40) { "row 41 has label 9" } else { "the disk is gone" };
    let error = trainer().fit(train, quiet().batch_size(1).window_batches(1)).unwrap_err();
    assert!(error.to_string().contains(first), "{error}");
    let labelled = made(60, &read, 60)?;
    trainer().fit(labelled, quiet())?;
    // The trainer works as before.
    t.fit(&points(60, 6, 3), quiet())?;
    Ok(())
}

#[test]
fn streams_cannot_be_split_or_weighed() -> Result<()> {
    let data = Arc::new(points(60, 6, 3));
    let refused = |fit: Fit<'_>, word: &str| {
        let error = trainer().fit(data.clone(), fit).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("TensorDataset"), "{error}");
    };
    refused(quiet().validation_split(0.5), "validation_split");
    refused(quiet().class_weight([(0, 2.0)]), "class_weight");
    refused(quiet().sample_weight(&[1.0; 60]), "sample_weight");
    let error = trainer().fit(data.clone(), quiet().window_batches(0)).unwrap_err().to_string();
    assert!(error.contains("window_batches = 0"), "{error}");
    let wide = Arc::new(points(60, 7, 3));
    let error = trainer().fit(wide, quiet()).unwrap_err();
    assert!(
        matches!(error, Error::Shape { .. }) && error.to_string().contains("[1, 7]"),
        "{error}"
    );
    Ok(())
}

/// Ids `[n, 4]` and points `[n, 3]`, a label per position and a quantity, all weighed: a weight per position and one per
/// sample.
fn mixed(n: usize) -> Result<TensorDataset> {
    let ids: Vec<u32> = (0..n * 4).map(|i| (i * i % 11 % 6) as u32).collect();
    let labels: Vec<u32> = ids.iter().map(|id| (id * 7 + 1) % 3).collect();
    let points = random::uniform(4, n * 3, -1.0, 1.0);
    let sums: Vec<f32> = points.chunks(3).map(|p| p.iter().sum()).collect();
    let x = [Tensor::u32([n, 4], ids)?, Tensor::f32([n, 3], points)?];
    let y = [Tensor::u32([n, 4], labels)?, Tensor::f32([n, 1], sums)?];
    TensorDataset::multi(x, y)?.weighted_outputs([
        Some(Tensor::f32([n, 4], random::uniform(5, n * 4, 0.1, 2.0))?),
        Some(Tensor::f32([n], random::uniform(6, n, 0.1, 2.0))?),
    ])
}

/// A trainer for [`mixed`] samples.
fn two_ends(device: &Device) -> Result<Trainer> {
    let (ids, points) = (input_named("ids", [4]), input_named("points", [3]));
    let tags = ids.then(Embedding::new(6, 3).mask_zero(true)).then(Dense::new(3).named("tags"));
    let sum = points.then(Dense::new(1).named("sum"));
    let options = Compile::new(Adam::new(0.01), Loss::MeanSquaredError)
        .output_loss("tags", SPARSE, 1.0)
        .metrics([])
        .output_metrics("tags", [Metric::Accuracy, Metric::f1(ClassAverage::Macro)])
        .evaluation_batch_size(16);
    Model::new([&ids, &points], [&tags, &sum])?.compile(device, options)
}

#[test]
fn streams_carry_ids_several_ends_and_weights() -> Result<()> {
    let data = mixed(60)?;
    let fit = || quiet().epochs(2).batch_size(8);
    let mut resident = two_ends(device())?;
    let want = resident.fit(&data, fit().validation_data(&data))?;
    let made = data.clone();
    let closure = FnDataset::new(60, move |rows: &[u32]| made.select(rows))?;
    let streams: [Arc<dyn wgrad::data::Dataset>; 2] = [Arc::new(data.clone()), Arc::new(closure)];
    for stream in streams {
        let mut streamed = two_ends(device())?;
        let got = streamed
            .fit(stream.clone(), fit().window_batches(3).validation_data(stream.clone()))?;
        assert_eq!(bits(&streamed), bits(&resident));
        for name in [
            "loss",
            "tags_loss",
            "sum_loss",
            "tags_accuracy",
            "val_loss",
            "val_tags_f1_score_macro",
        ] {
            assert!(!want.get(name).is_empty(), "{name}");
            assert_eq!(got.get(name), want.get(name), "{name}");
        }
        assert_eq!(streamed.evaluate(stream.clone())?, resident.evaluate(&data)?);
        let own = streamed.predict_outputs(stream.clone())?;
        assert_eq!(own, resident.predict_outputs(&data)?);
    }
    // The weights are heeded: others train to other weights.
    let mut other = two_ends(device())?;
    let plain = TensorDataset::multi(data.features(), data.targets())?;
    other.fit(Arc::new(plain), fit())?;
    assert_ne!(bits(&other), bits(&resident));
    Ok(())
}

#[test]
fn what_streams_carry_is_checked() -> Result<()> {
    let data = mixed(60)?;
    let refused = |change: fn(&TensorDataset) -> Result<TensorDataset>, words: &[&str]| {
        let made = data.clone();
        // Row 41 alone is not what it should be.
        let stream = FnDataset::new(60, move |rows: &[u32]| {
            let part = made.select(rows)?;
            if rows.contains(&41) { change(&part) } else { Ok(part) }
        })
        .unwrap();
        let fit = quiet().batch_size(1).window_batches(1);
        let error = two_ends(device()).unwrap().fit(Arc::new(stream), fit).unwrap_err();
        support::says(&error, words);
    };
    let ids = |d: &TensorDataset| {
        let x = [Tensor::u32([1, 4], [0, 9, 0, 0])?, d.features()[1].clone()];
        TensorDataset::multi(x, d.targets())?
            .weighted_outputs([d.weights_of(0).cloned(), d.weights_of(1).cloned()])
    };
    refused(ids, &["row 41 at position 1 is 9", "ids"]);
    let labels = |d: &TensorDataset| {
        let y = [Tensor::u32([1, 4], [0, 0, 3, 0])?, d.targets()[1].clone()];
        TensorDataset::multi(d.features(), y)?
            .weighted_outputs([d.weights_of(0).cloned(), d.weights_of(1).cloned()])
    };
    refused(labels, &["row 41 at position 2 has label 3"]);
    refused(|d| TensorDataset::multi(d.features(), d.targets()), &["row 0"]);
    Ok(())
}

/// The device, able to bind 1024 bytes in a table of samples at most, but not less than the model needs.
fn narrow() -> Device {
    let caps = device().caps().clone();
    device().with_caps(wgrad::kernels::DeviceCaps { max_binding_bytes: 1024, ..caps })
}

/// As MNIST's digits are 188 MB of numbers, and software Vulkan binds 128 MiB: more numbers than that train as their bytes do.
#[test]
fn numbers_past_what_software_vulkan_binds_train_as_their_bytes() -> Result<()> {
    let (n, pixels) = (43_008, 784);
    let bytes: Vec<u8> = (0..n * pixels).map(|i| (i * 37 % 251 + i / 97 % 5) as u8).collect();
    let numbers: Vec<f32> = bytes.iter().map(|&b| f32::from(b) * (1.0 / 255.0)).collect();
    assert!(4 * numbers.len() > 128 << 20);
    let labels: Vec<u32> = (0..n as u32).map(|i| i % 3).collect();
    let labels = Tensor::u32([n], labels)?;
    let few = TensorDataset::new(Tensor::u8([n, pixels], bytes)?, labels.clone())?;
    let many = TensorDataset::new(Tensor::f32([n, pixels], numbers)?, labels)?;
    let trained = |data: &TensorDataset| -> Result<_> {
        let mut t = small(pixels, 3).compile(device(), Compile::new(Adam::new(0.01), SPARSE))?;
        let history = t.fit(data, quiet().epochs(1).batch_size(4096))?;
        Ok((bits(&t), history.epochs[0].get("loss")))
    };
    assert_eq!(trained(&many)?, trained(&few.scaled(1.0 / 255.0)?)?);
    Ok(())
}

#[test]
fn data_past_the_binding_limit_streams_by_itself_to_the_same_bits() -> Result<()> {
    let data = points(123, 6, 3);
    assert!(data.x().data().bytes().len() > 1024 * 2);
    let options = || {
        Compile::new(Adam::new(0.01), SPARSE).metrics([Metric::Accuracy]).evaluation_batch_size(16)
    };
    for shuffle in [true, false] {
        let fit = || quiet().epochs(3).batch_size(10).shuffle(shuffle);
        let (mut wide, mut slim) =
            (small(6, 3).compile(device(), options())?, small(6, 3).compile(&narrow(), options())?);
        let want = wide.fit(&data, fit().validation_data(&data))?;
        let got = slim.fit(&data, fit().validation_data(&data))?;
        assert_eq!(bits(&slim), bits(&wide), "shuffle {shuffle}");
        for name in ["loss", "accuracy", "val_loss", "val_accuracy"] {
            assert_eq!(got.get(name), want.get(name), "{name}");
        }
        // No epoch is watched: the device goes through several at once if it can.
        let want = wide.fit(&data, fit())?;
        let got = slim.fit(&data, fit())?;
        assert_eq!((bits(&slim), got.get("loss")), (bits(&wide), want.get("loss")));
        assert_eq!(slim.evaluate(&data)?, wide.evaluate(&data)?);
        let part = fit().steps_per_epoch(5).class_weight([(1, 2.0)]).validation_split(0.2);
        slim.fit(&data, part)?;
        wide.fit(&data, fit().steps_per_epoch(5).class_weight([(1, 2.0)]).validation_split(0.2))?;
        assert_eq!(bits(&slim), bits(&wide));
    }
    // Ids, several ends and weights too.
    let (mut wide, mut slim) = (two_ends(device())?, two_ends(&narrow())?);
    let long = mixed(300)?;
    for t in [&mut wide, &mut slim] {
        t.fit(&long, quiet().epochs(2).batch_size(7))?;
    }
    assert_eq!(bits(&slim), bits(&wide));
    // One batch that the device cannot bind is still refused.
    let error =
        small(6, 3).compile(&narrow(), options())?.fit(&data, quiet().full_batch()).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    Ok(())
}

/// As a stream with names, a dataset in memory with names: in any order, with weights for one output by its name.
#[test]
fn tensors_are_found_by_name() -> Result<()> {
    let data = mixed(60)?;
    let (x, y) = (data.features().to_vec(), data.targets().to_vec());
    let weights: Vec<f32> = (0..60).map(|i| (i % 3) as f32 * 0.5).collect();
    let weights = Tensor::f32([60], weights)?;
    let plain = TensorDataset::multi(x.clone(), y.clone())?;
    let plain = plain.weighted_outputs([None, Some(weights.clone())])?;
    let inputs = || [("points", x[1].clone()), ("ids", x[0].clone())];
    let targets = || [("sum", y[1].clone()), ("tags", y[0].clone())];
    let named = TensorDataset::named(inputs(), targets())?;
    let unweighted = named.clone();
    let named = named.weighted_by_name([("sum", weights.clone())])?;
    let fit = || quiet().epochs(2).batch_size(8).validation_split(0.2);
    let train = |data: &TensorDataset| -> Result<_> {
        let mut trainer = two_ends(device())?;
        let history = trainer.fit(data, fit())?;
        Ok((bits(&trainer), history.get("val_loss").to_vec(), trainer))
    };
    let (want, losses, mut by_place) = train(&plain)?;
    let (got, found, mut by_name) = train(&named)?;
    assert_eq!((got, found), (want.clone(), losses));
    assert_eq!(by_name.evaluate(&named)?, by_place.evaluate(&plain)?);
    // Rows keep the names, and so does a stream of the same tensors.
    assert_eq!(by_name.evaluate(&named.rows(5, 20)?)?, by_place.evaluate(&plain.rows(5, 20)?)?);
    assert_eq!(by_name.evaluate(Arc::new(named.clone()))?, by_place.evaluate(&plain)?);
    let outputs = by_place.predict_outputs(&plain)?;
    assert_eq!(by_name.predict_outputs(&named)?, outputs);
    assert_eq!(by_name.predictor()?.predict_outputs(&named)?, outputs);
    // The data that is past the binding limit comes in windows.
    let mut slim = two_ends(&narrow())?;
    slim.fit(&named, fit())?;
    assert_eq!(bits(&slim), want);
    // The controls: other weights train otherwise, and names that do not suit are refused.
    assert_ne!(train(&unweighted)?.0, want);
    let refused = |error: Error, words: &[&str]| support::says(&error, words);
    let twice = TensorDataset::named([("ids", x[0].clone()), ("ids", x[1].clone())], targets());
    refused(twice.unwrap_err(), &["names of inputs", "`ids` is there twice"]);
    let mut wrong = |x, y| by_name.evaluate(&TensorDataset::named(x, y).unwrap()).unwrap_err();
    let mut other = inputs();
    other[0].0 = "pixels";
    refused(wrong(other, targets()), &["names of inputs", "`pixels`", "it has ids, points"]);
    let few = TensorDataset::named([("ids", x[0].clone())], targets())?;
    refused(by_place.evaluate(&few).unwrap_err(), &["`points` is missing", "takes ids, points"]);
    let weigh = |data: &TensorDataset, names: &[&str]| {
        let all = names.iter().map(|name| (*name, weights.clone()));
        data.clone().weighted_by_name(all.collect::<Vec<_>>()).unwrap_err()
    };
    refused(weigh(&named, &["sums"]), &["sample weights", "`sums` is no target", "sum, tags"]);
    refused(weigh(&named, &["sum", "sum"]), &["`sum` is there twice"]);
    refused(weigh(&plain, &["sum"]), &["TensorDataset::named"]);
    Ok(())
}

/// A dataset in another order than the model's, with names, is as one in the model's order.
#[test]
fn streams_are_found_by_name() -> Result<()> {
    let data = mixed(60)?;
    let turned = |list: &[Tensor]| list.iter().rev().cloned().collect::<Vec<_>>();
    let weights = [data.weights_of(1).cloned(), data.weights_of(0).cloned()];
    let other = TensorDataset::multi(turned(data.features()), turned(data.targets()))?;
    let other = other.weighted_outputs(weights)?;
    let named = |inputs: &[&str], targets: &[&str]| {
        let named = NamedDataset::new(other.clone());
        Arc::new(named.inputs(inputs.to_vec()).targets(targets.to_vec()))
    };
    let fit = || quiet().epochs(2).batch_size(8);
    let (mut plain, mut by_name) = (two_ends(device())?, two_ends(device())?);
    let want = plain.fit(&data, fit().validation_data(&data))?;
    let stream = named(&["points", "ids"], &["sum", "tags"]);
    let got =
        by_name.fit(stream.clone(), fit().window_batches(3).validation_data(stream.clone()))?;
    assert_eq!(bits(&by_name), bits(&plain));
    assert_eq!(got.get("val_loss"), want.get("val_loss"));
    assert_eq!(by_name.evaluate(stream.clone())?, plain.evaluate(&data)?);
    let outputs = plain.predict_outputs(&data)?;
    assert_eq!(by_name.predict_outputs(stream.clone())?, outputs);
    assert_eq!(by_name.predictor()?.predict_outputs(stream)?, outputs);
    // Names of one side alone, in the model's order.
    let half = NamedDataset::new(data).inputs(["ids", "points"]);
    assert_eq!(by_name.evaluate(Arc::new(half.clone()))?, plain.evaluate(Arc::new(half))?);
    // The control, and names that do not suit.
    let mut refused = |inputs: &[&str], targets: &[&str], words: &[&str]| {
        support::says(&by_name.evaluate(named(inputs, targets)).unwrap_err(), words);
    };
    refused(&[], &[], &["ids"]);
    refused(&["ids"], &[], &["names of inputs", "1 names for 2 tensors"]);
    refused(&["ids", "pixels"], &[], &["names of inputs", "`pixels`", "it has ids, points"]);
    refused(&["ids", "ids"], &[], &["names of inputs", "`ids` is there twice"]);
    let inputs = ["points", "ids"];
    refused(&inputs, &["sum", "sums"], &["names of targets", "`sums`", "tags, sum"]);
    Ok(())
}
