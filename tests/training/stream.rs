//! Data that is streamed: the same training as on data in memory, and what is refused during it.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wgrad::data::FnDataset;
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
    let weighted = data.clone().weighted(Tensor::f32([20], vec![5.0; 20])?)?;
    let error = trainer().fit(Arc::new(weighted), quiet().batch_size(5)).unwrap_err().to_string();
    assert!(error.contains("weights") && error.contains("TensorDataset"), "{error}");

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
