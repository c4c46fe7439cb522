//! Labels of any element type and of both shapes train as f32 targets do, to the last bit.

use super::*;
use std::sync::Arc;
use wgrad::Result;
use wgrad::data::FnDataset;

/// What training on these targets gives: the weights, the losses and every metric.
fn trained(x: &Tensor, y: Tensor, loss: Loss, units: usize) -> Result<(Vec<u8>, Vec<String>)> {
    let sigmoid = loss.from_logits() == Some(false);
    let activation = if sigmoid { Activation::Sigmoid } else { Activation::Linear };
    let model = Sequential::new([6]).add(Dense::new(units).activation(activation));
    let metrics = [
        Metric::Accuracy,
        Metric::f1(ClassAverage::Macro),
        Metric::ConfusionMatrix { threshold: 0.5 },
    ];
    let binary = [Metric::BinaryAccuracy { threshold: 0.5 }, Metric::Auc];
    let metrics = if units == 1 { [&metrics[..], &binary].concat() } else { metrics[..1].to_vec() };
    let mut t = compile(&model, Compile::new(Adam::new(0.01), loss).metrics(metrics).seed(3));
    let data = TensorDataset::new(x.clone(), y)?;
    let fit = Fit::new().epochs(2).batch_size(7).verbose(Verbose::Silent);
    let history = t.fit(&data, fit.class_weight([(1, 2.0)]).validation_split(0.25))?;
    let mut shown: Vec<String> = history.epochs.iter().map(|e| format!("{:?}", e.logs)).collect();
    shown.push(format!("{:?}", t.evaluate(&data)?));
    Ok((bits(&t), shown))
}

#[test]
fn binary_labels_of_any_type_are_zeros_and_ones() -> Result<()> {
    let points = points(40, 6, 2);
    let labels = points.y().as_u32()?.to_vec();
    let numbers: Vec<f32> = labels.iter().map(|&l| l as f32).collect();
    let bytes: Vec<u8> = labels.iter().map(|&l| l as u8).collect();
    for from_logits in [true, false] {
        let loss = Loss::BinaryCrossentropy { from_logits };
        let want = trained(points.x(), Tensor::f32([40, 1], numbers.clone())?, loss, 1)?;
        for y in [
            Tensor::f32([40], numbers.clone())?,
            Tensor::u32([40], labels.clone())?,
            Tensor::u32([40, 1], labels.clone())?,
            Tensor::u8([40], bytes.clone())?,
            Tensor::u8([40, 1], bytes.clone())?,
        ] {
            let (dtype, shape) = (y.dtype(), y.shape().clone());
            assert_eq!(trained(points.x(), y, loss, 1)?, want, "{dtype} {shape}");
        }
        let other: Vec<u32> = labels.iter().map(|l| 1 - l).collect();
        let other = Tensor::u32([40], other)?;
        assert_ne!(trained(points.x(), other, loss, 1)?, want);
    }
    Ok(())
}

#[test]
fn several_labels_of_bytes_are_zeros_and_ones() -> Result<()> {
    let points = points(40, 6, 3);
    let bytes: Vec<u8> = (0..120).map(|i| u8::from(i % 2 == 0 || i % 7 == 0)).collect();
    let numbers: Vec<f32> = bytes.iter().copied().map(f32::from).collect();
    for loss in [
        Loss::BinaryCrossentropy { from_logits: true },
        Loss::CategoricalCrossentropy { from_logits: true },
        Loss::MeanSquaredError,
    ] {
        let want = trained(points.x(), Tensor::f32([40, 3], numbers.clone())?, loss, 3)?;
        let got = trained(points.x(), Tensor::u8([40, 3], bytes.clone())?, loss, 3)?;
        assert_eq!(got, want, "{loss:?}");
    }
    Ok(())
}

#[test]
fn sparse_labels_of_bytes_are_labels() -> Result<()> {
    let points = points(40, 6, 3);
    let labels = points.y().as_u32()?.to_vec();
    let bytes: Vec<u8> = labels.iter().map(|&l| l as u8).collect();
    let want = trained(points.x(), points.y().clone(), SPARSE, 3)?;
    for y in [
        Tensor::u8([40], bytes.clone())?,
        Tensor::u8([40, 1], bytes)?,
        Tensor::u32([40, 1], labels)?,
    ] {
        assert_eq!(trained(points.x(), y, SPARSE, 3)?, want);
    }
    Ok(())
}

#[test]
fn labels_of_streams_suit_the_loss_too() -> Result<()> {
    let data = points(40, 6, 2);
    let loss = Loss::BinaryCrossentropy { from_logits: true };
    let model = Sequential::new([6]).add(Dense::new(1));
    let fit = || Fit::new().batch_size(8).shuffle(false).verbose(Verbose::Silent);
    let fresh = || compile(&model, Compile::new(Sgd::new(0.1), loss));
    let (mut resident, mut streamed) = (fresh(), fresh());
    resident.fit(&data, fit())?;
    // The closure gives bytes.
    let bytes: Vec<u8> = data.y().as_u32()?.iter().map(|&l| l as u8).collect();
    let made = |bytes: Vec<u8>| {
        let x = data.x().clone();
        FnDataset::new(40, move |rows: &[u32]| {
            let all = TensorDataset::new(x.clone(), Tensor::u8([40], bytes.clone())?)?;
            let part = all.select(rows)?;
            let y: Vec<u8> = part.y().as_u32()?.iter().map(|&l| l as u8).collect();
            Ok((part.x().clone(), Tensor::u8([rows.len()], y)?))
        })
    };
    streamed.fit(Arc::new(made(bytes.clone())?), fit())?;
    assert_eq!(bits(&streamed), bits(&resident));
    let bad: Vec<u8> =
        bytes.iter().enumerate().map(|(i, &b)| if i == 30 { 2 } else { b }).collect();
    let error = fresh().fit(Arc::new(made(bad)?), fit()).unwrap_err();
    support::says(&error, &["row 30 has label 2", "binary_crossentropy"]);
    Ok(())
}
