//! Targets, masks and weights of positions, against Keras 3's rule in f64: Σ mask · weight · l / Σ mask.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wgrad::Result;
use wgrad::graph::Graph;
use wgrad::layers::{Context, Outputs};

/// The loss of a position's row and its gradient by the row.
type LossOf<'a> = dyn Fn(usize, &[f64]) -> (f64, Vec<f64>) + 'a;

pub const N: usize = 7;
pub const T: usize = 5;
const D: usize = 3;
pub const UNITS: usize = 4;

/// Sequences `[N, T, D]` and which of their positions count: the others are zeros.
pub fn sequences(masked: bool) -> (Tensor, Vec<f64>) {
    let mut x = random::uniform(11, N * T * D, 0.1, 1.0);
    let counts: Vec<bool> = (0..N * T).map(|i| !masked || i % T < 1 + i / T % T).collect();
    for (i, x) in x.iter_mut().enumerate() {
        *x *= f32::from(u8::from(counts[i / D]));
    }
    let counts = counts.into_iter().map(|c| f64::from(u8::from(c))).collect();
    (Tensor::f32([N, T, D], x).unwrap(), counts)
}

/// The loss of each element, and its derivative by the prediction, by the formulas of the losses.
fn element(loss: Loss, t: f64, p: f64) -> (f64, f64) {
    let e = p - t;
    match loss {
        Loss::MeanSquaredError => (e * e, 2.0 * e),
        Loss::MeanAbsoluteError => (e.abs(), e.signum()),
        Loss::Huber { delta } => {
            let delta = f64::from(delta);
            match e.abs() <= delta {
                true => (e * e / 2.0, e),
                false => (delta * (e.abs() - delta / 2.0), delta * e.signum()),
            }
        }
        Loss::BinaryCrossentropy { from_logits: true } => {
            (p.max(0.0) - p * t + (-p.abs()).exp().ln_1p(), 1.0 / (1.0 + (-p).exp()) - t)
        }
        other => unreachable!("{other:?} has no elements"),
    }
}

/// Mean loss, and its gradient by the predictions `[N, T, units]`: `of` gives both for a position.
fn weighed(
    predictions: &[f64],
    units: usize,
    mask: &[f64],
    weights: &[f64],
    of: &LossOf<'_>,
) -> (f64, Vec<f64>) {
    let counted = mask.iter().sum::<f64>().max(1.0);
    let (mut loss, mut gradient) = (0.0, Vec::new());
    for (i, row) in predictions.chunks_exact(units).enumerate() {
        let factor = mask[i] * weights[i] / counted;
        let (own, by) = of(i, row);
        loss += own * factor;
        gradient.extend(by.iter().map(|g| g * factor));
    }
    (loss, gradient)
}

pub fn close(found: f64, want: f64, what: &str) {
    assert!((found - want).abs() <= 2e-5 * want.abs().max(0.1), "{what}: {found}, want {want}");
}

/// Weights of samples, of positions, or none: as a tensor, and a number for each position.
fn weights(kind: usize) -> (Option<Tensor>, Vec<f64>) {
    let numbers = |n| random::uniform(5, n, 0.2, 3.0);
    match kind {
        0 => (None, vec![1.0; N * T]),
        1 => {
            let own = numbers(N);
            let each = (0..N * T).map(|i| f64::from(own[i / T])).collect();
            (Some(Tensor::f32([N], own).unwrap()), each)
        }
        _ => {
            let own = numbers(N * T);
            let each = widen(&own);
            let shape: &[usize] = if kind == 2 { &[N, T] } else { &[N, T, 1] };
            (Some(Tensor::f32(shape, own).unwrap()), each)
        }
    }
}

pub fn model(masked: bool, units: usize, activation: Activation) -> Sequential {
    let model = Sequential::new([T, D]);
    let model = if masked { model.add(Masking::new(0.0)) } else { model };
    model.add(Dense::new(units).activation(activation))
}

/// Evaluates, takes one step of plain descent at rate 1 with all samples, and compares the loss before and the step with
/// the formula. Gives the predictions and the evaluation.
fn checked(
    what: &str,
    (masked, kind, units): (bool, usize, usize),
    (activation, loss): (Activation, Loss),
    metrics: &[Metric],
    y: Tensor,
    of: &LossOf<'_>,
) -> Result<(Vec<f64>, Vec<f64>, wgrad::train::Evaluation)> {
    let (x, mask) = sequences(masked);
    let (given, each) = weights(kind);
    let data = TensorDataset::new(x.clone(), y)?;
    let data = match given {
        Some(weights) => data.weighted(weights)?,
        None => data,
    };
    let options = Compile::new(Sgd::new(1.0), loss).metrics(metrics).evaluation_batch_size(N);
    let mut t = compile(&model(masked, units, activation), options);
    let before = wide(&t);
    let predictions = widen(t.predict(&x)?.as_f32()?);
    let (want, gradient) = weighed(&predictions, units, &mask, &each, of);
    let found = t.evaluate(&data)?;
    close(found.loss, want, what);
    let trained = t.train_on_batch(&data)?;
    assert_eq!(trained.loss, found.loss, "{what}");
    let x = widen(x.as_f32()?);
    let kernel = linalg::matmul(&x, &gradient, 1, D, units, N * T, true, false);
    for (i, want) in kernel.iter().enumerate() {
        close(before[0][i] - wide(&t)[0][i], *want, &format!("{what}: kernel {i}"));
    }
    assert!(kernel.iter().any(|g| g.abs() > 1e-3), "{what}: no gradient");
    Ok((predictions, mask, found))
}

/// Softmax cross-entropy of a position, from logits.
fn softmax(label: usize, row: &[f64]) -> (f64, Vec<f64>) {
    let sum: f64 = row.iter().map(|v| v.exp()).sum();
    let by = row.iter().enumerate();
    let by = by.map(|(k, v)| v.exp() / sum - f64::from(u8::from(k == label))).collect();
    (sum.ln() - row[label], by)
}

#[test]
fn labels_of_positions_train_by_keras_rule() -> Result<()> {
    let labels: Vec<u32> = (0..N * T).map(|i| (i * 5 % 7 % UNITS) as u32).collect();
    let one_hot: Vec<f32> =
        labels.iter().flat_map(|&l| (0..4).map(move |k| f32::from(u8::from(k == l)))).collect();
    let bytes: Vec<u8> = labels.iter().map(|&l| l as u8).collect();
    let sparse = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let forms = [
        (sparse, Tensor::u32([N, T], labels.clone())?),
        (sparse, Tensor::u8([N, T], bytes.clone())?),
        (sparse, Tensor::u32([N, T, 1], labels.clone())?),
        (
            Loss::CategoricalCrossentropy { from_logits: true },
            Tensor::f32([N, T, UNITS], one_hot.clone())?,
        ),
    ];
    for (masked, kind) in [(false, 0), (true, 0), (false, 1), (true, 1), (true, 2), (false, 3)] {
        for (loss, y) in forms.clone() {
            let what = format!("{} {} masked {masked} weights {kind}", loss.name(), y.shape());
            let is_sparse = loss.takes_labels();
            let top = match is_sparse {
                true => Metric::SparseTopKCategoricalAccuracy { k: 2 },
                false => Metric::TopKCategoricalAccuracy { k: 2 },
            };
            let metrics = [
                Metric::Accuracy,
                top,
                Metric::f1(ClassAverage::Macro),
                Metric::ConfusionMatrix { threshold: 0.5 },
            ];
            let form = (masked, kind, UNITS);
            let of = |i: usize, row: &[f64]| softmax(labels[i] as usize, row);
            let (p, mask, found) =
                checked(&what, form, (Activation::Linear, loss), &metrics, y, &of)?;
            let counted = mask.iter().sum::<f64>();
            let rows = || p.chunks_exact(UNITS).enumerate().filter(|(i, _)| mask[*i] > 0.0);
            let class = |row: &[f64]| reference::softmax::argmax(row, UNITS)[0];
            let hits = rows().filter(|(i, row)| class(row) == labels[*i] as usize).count();
            close(found.get("accuracy").unwrap(), hits as f64 / counted, &what);
            let above = |row: &[f64], l: u32| row.iter().filter(|v| **v > row[l as usize]).count();
            let among = rows().filter(|(i, row)| above(row, labels[*i]) < 2).count();
            let name = if is_sparse { "sparse_top_k" } else { "top_k" };
            let name = format!("{name}_categorical_accuracy");
            close(found.get(&name).unwrap(), among as f64 / counted, &what);
            let matrix = found.confusion_matrix().unwrap();
            assert_eq!(matrix.samples(), counted as u64, "{what}");
            for (actual, row) in matrix.rows().enumerate() {
                for (predicted, &count) in row.iter().enumerate() {
                    let own = |(i, row): &(usize, &[f64])| {
                        labels[*i] as usize == actual && class(row) == predicted
                    };
                    assert_eq!(count, rows().filter(own).count() as u64, "{what}");
                }
            }
        }
    }
    // Probabilities give the loss that logits give.
    for (loss, y) in [
        (Loss::SparseCategoricalCrossentropy { from_logits: false }, forms[0].1.clone()),
        (Loss::CategoricalCrossentropy { from_logits: false }, forms[3].1.clone()),
    ] {
        let of = |i: usize, row: &[f64]| (-row[labels[i] as usize].ln(), vec![0.0; UNITS]);
        let (x, mask) = sequences(true);
        let (given, each) = weights(2);
        let data = TensorDataset::new(x.clone(), y)?.weighted(given.unwrap())?;
        let mut t = compile(
            &model(true, UNITS, Activation::Softmax),
            Compile::new(Sgd::new(1.0), loss).evaluation_batch_size(N),
        );
        let predictions = widen(t.predict(&x)?.as_f32()?);
        close(
            t.evaluate(&data)?.loss,
            weighed(&predictions, UNITS, &mask, &each, &of).0,
            loss.name(),
        );
    }
    Ok(())
}

#[test]
fn quantities_of_positions_train_by_keras_rule() -> Result<()> {
    let y = random::uniform(9, N * T * UNITS, -1.0, 1.0);
    let targets = widen(&y);
    let y = Tensor::f32([N, T, UNITS], y)?;
    let metrics = [
        Metric::MeanSquaredError,
        Metric::MeanAbsoluteError,
        Metric::RootMeanSquaredError,
        Metric::R2Score,
    ];
    for loss in [Loss::MeanSquaredError, Loss::MeanAbsoluteError, Loss::Huber { delta: 0.4 }] {
        for (masked, kind) in [(false, 0), (true, 0), (false, 2), (true, 2), (true, 1)] {
            let what = format!("{} masked {masked} weights {kind}", loss.name());
            let of = |i: usize, row: &[f64]| {
                let own = |(k, p): (usize, &f64)| element(loss, targets[i * UNITS + k], *p);
                let (losses, by): (Vec<f64>, Vec<f64>) = row.iter().enumerate().map(own).unzip();
                let width = UNITS as f64;
                (losses.iter().sum::<f64>() / width, by.iter().map(|g| g / width).collect())
            };
            let form = (masked, kind, UNITS);
            let (p, mask, found) =
                checked(&what, form, (Activation::Linear, loss), &metrics, y.clone(), &of)?;
            let own: Vec<usize> = (0..p.len()).filter(|i| mask[i / UNITS] > 0.0).collect();
            let mean = |f: &dyn Fn(usize) -> f64| {
                own.iter().map(|&i| f(i)).sum::<f64>() / own.len() as f64
            };
            let square = mean(&|i| (p[i] - targets[i]).powi(2));
            close(found.get("mean_squared_error").unwrap(), square, &what);
            close(found.get("root_mean_squared_error").unwrap(), square.sqrt(), &what);
            let absolute = mean(&|i| (p[i] - targets[i]).abs());
            close(found.get("mean_absolute_error").unwrap(), absolute, &what);
            let r2 = |k: usize| {
                let of: Vec<usize> = own.iter().copied().filter(|i| i % UNITS == k).collect();
                let centre = of.iter().map(|&i| targets[i]).sum::<f64>() / of.len() as f64;
                let all: f64 = of.iter().map(|&i| (targets[i] - centre).powi(2)).sum();
                1.0 - of.iter().map(|&i| (targets[i] - p[i]).powi(2)).sum::<f64>() / all
            };
            let want = (0..UNITS).map(r2).sum::<f64>() / UNITS as f64;
            close(found.get("r2_score").unwrap(), want, &what);
        }
    }
    Ok(())
}

#[test]
fn two_classes_of_positions_train_by_keras_rule() -> Result<()> {
    let labels: Vec<u32> = (0..N * T).map(|i| u32::from(i * i % 3 == 1)).collect();
    let numbers: Vec<f32> = labels.iter().map(|&l| l as f32).collect();
    let loss = Loss::BinaryCrossentropy { from_logits: true };
    let metrics = [
        Metric::Accuracy,
        Metric::BinaryAccuracy { threshold: 0.5 },
        Metric::Auc,
        Metric::precision(ClassAverage::Binary),
        Metric::ConfusionMatrix { threshold: 0.5 },
    ];
    let forms = [
        Tensor::f32([N, T], numbers.clone())?,
        Tensor::f32([N, T, 1], numbers)?,
        Tensor::u32([N, T], labels.clone())?,
        Tensor::u8([N, T, 1], labels.iter().map(|&l| l as u8).collect::<Vec<u8>>())?,
    ];
    for (masked, kind) in [(false, 0), (true, 0), (false, 2), (true, 2), (true, 1)] {
        for y in forms.clone() {
            let what = format!("{} {} masked {masked} weights {kind}", y.dtype(), y.shape());
            let of = |i: usize, row: &[f64]| {
                let (loss, by) = element(loss, f64::from(labels[i]), row[0]);
                (loss, vec![by])
            };
            let form = (masked, kind, 1);
            let (p, mask, found) =
                checked(&what, form, (Activation::Linear, loss), &metrics, y, &of)?;
            let own: Vec<usize> = (0..N * T).filter(|&i| mask[i] > 0.0).collect();
            let right = own.iter().filter(|&&i| (p[i] > 0.0) == (labels[i] == 1)).count();
            let accuracy = right as f64 / own.len() as f64;
            close(found.get("accuracy").unwrap(), accuracy, &what);
            close(found.get("binary_accuracy").unwrap(), accuracy, &what);
            let side = |class| -> Vec<usize> {
                own.iter().copied().filter(|&i| labels[i] == class).collect()
            };
            let (ones, zeros) = (side(1), side(0));
            let pairs = ones.iter().flat_map(|&a| zeros.iter().map(move |&b| (a, b)));
            let order: Vec<f64> = pairs
                .map(
                    |(a, b)| {
                        if p[a] > p[b] { 1.0 } else { 0.5 * f64::from(u8::from(p[a] == p[b])) }
                    },
                )
                .collect();
            let auc = order.iter().sum::<f64>() / order.len() as f64;
            close(found.get("auc").unwrap(), auc, &what);
            let positive = own.iter().filter(|&&i| p[i] > 0.0).count();
            let found_right = ones.iter().filter(|&&i| p[i] > 0.0).count();
            let precision = if positive == 0 { 0.0 } else { found_right as f64 / positive as f64 };
            close(found.get("precision").unwrap(), precision, &what);
            let matrix = found.confusion_matrix().unwrap();
            assert_eq!((matrix.classes(), matrix.samples()), (2, own.len() as u64), "{what}");
        }
    }
    Ok(())
}

#[test]
fn padding_of_ids_is_left_out() -> Result<()> {
    let ids = [3, 1, 0, 2, 0, 0, 1, 2, 3, 0, 0, 0];
    let labels = [0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0];
    for dims in [&[3, 4][..], &[3, 2, 2]] {
        let x = Tensor::u32(dims, ids.to_vec())?;
        let y = Tensor::u32(dims, labels.to_vec())?;
        let shown = |mask_zero: bool, x: &Tensor| -> Result<(f64, f64, Vec<f64>)> {
            let model = Sequential::new(&dims[1..])
                .add(Embedding::new(4, 3).mask_zero(mask_zero))
                .add(Dense::new(2));
            let options = Compile::new(Sgd::new(1.0), SPARSE).metrics([Metric::Accuracy]);
            let mut t = compile(&model, options);
            let logits = widen(t.predict(x)?.as_f32()?);
            let found = t.evaluate(&TensorDataset::new(x.clone(), y.clone())?)?;
            Ok((found.loss, found.get("accuracy").unwrap(), logits))
        };
        for mask_zero in [true, false] {
            let (loss, accuracy, logits) = shown(mask_zero, &x)?;
            let rows = logits.chunks_exact(2).enumerate();
            let own: Vec<_> = rows.filter(|(i, _)| !mask_zero || ids[*i] != 0).collect();
            assert_eq!(own.len(), if mask_zero { 6 } else { 12 });
            let sum: f64 = own.iter().map(|(i, row)| softmax(labels[*i] as usize, row).0).sum();
            close(loss, sum / own.len() as f64, "loss");
            let hits = own.iter().filter(|(i, row)| (row[1] > row[0]) == (labels[*i] == 1)).count();
            close(accuracy, hits as f64 / own.len() as f64, "accuracy");
        }
        // Nothing counts: both are 0, as in Keras.
        let (loss, accuracy, _) = shown(true, &Tensor::u32(dims, vec![0; 12])?)?;
        assert_eq!((loss, accuracy), (0.0, 0.0));
    }
    Ok(())
}

#[test]
fn what_is_masked_may_be_nan() -> Result<()> {
    let (x, mask) = sequences(true);
    let y: Vec<f32> = (mask.iter().enumerate())
        .map(|(i, &m)| if m == 0.0 { f32::NAN } else { i as f32 / 35.0 })
        .collect();
    let clean = y.iter().map(|v| if v.is_nan() { 0.5 } else { *v }).collect::<Vec<f32>>();
    let trained = |y: Vec<f32>| -> Result<(Vec<u8>, Vec<f64>)> {
        let model = model(true, 1, Activation::Linear);
        let mut t = compile(&model, Compile::new(Sgd::new(0.1), Loss::MeanSquaredError));
        let data = TensorDataset::new_allow_non_finite(x.clone(), Tensor::f32([N, T], y)?)?;
        let history = t.fit(&data, Fit::new().batch_size(3).verbose(Verbose::Silent))?;
        Ok((bits(&t), history.get("loss")))
    };
    let want = trained(clean.clone())?;
    assert!(want.1[0].is_finite());
    assert_eq!(trained(y)?, want);
    let other = clean.iter().map(|v| v + 1.0).collect();
    assert_ne!(trained(other)?, want);
    Ok(())
}

#[test]
fn weights_of_classes_weigh_positions() -> Result<()> {
    let (x, mask) = sequences(true);
    let labels: Vec<u32> = (0..N * T).map(|i| (i * 5 % 7 % UNITS) as u32).collect();
    for kind in 0..3 {
        let (given, each) = weights(kind);
        let bytes = Tensor::u8([N, T], labels.iter().map(|&l| l as u8).collect::<Vec<u8>>())?;
        for y in [Tensor::u32([N, T], labels.clone())?, bytes] {
            let data = TensorDataset::new(x.clone(), y)?;
            let data = match given.clone() {
                Some(weights) => data.weighted(weights)?,
                None => data,
            };
            let options = Compile::new(Sgd::new(1e-6), SPARSE);
            let mut t = compile(&model(true, UNITS, Activation::Linear), options);
            let predictions = widen(t.predict(&x)?.as_f32()?);
            let factor = |l: u32| [1.0, 3.0, 1.0, 0.5][l as usize];
            let each: Vec<f64> = each.iter().zip(&labels).map(|(w, &l)| w * factor(l)).collect();
            let of = |i: usize, row: &[f64]| softmax(labels[i] as usize, row);
            let want = weighed(&predictions, UNITS, &mask, &each, &of).0;
            let fit = Fit::new().full_batch().class_weight([(1, 3.0), (3, 0.5)]);
            let history = t.fit(&data, fit.verbose(Verbose::Silent))?;
            close(history.get("loss")[0], want, &format!("weights {kind}"));
        }
    }
    Ok(())
}

#[test]
fn weights_and_masks_of_other_lengths_are_named() -> Result<()> {
    let (x, _) = sequences(false);
    let y = Tensor::u32([N, T], vec![1; N * T])?;
    let data = TensorDataset::new(x, y)?;
    let numbers = |shape: &[usize]| Tensor::f32(shape, vec![1.0; shape.iter().product()]).unwrap();
    let mut t =
        compile(&model(false, UNITS, Activation::Linear), Compile::new(Sgd::new(0.1), SPARSE));
    for shape in [&[N, T + 1][..], &[N, UNITS], &[N, T, UNITS]] {
        let error = t.evaluate(&data.clone().weighted(numbers(shape))?).unwrap_err();
        let shown = wgrad::tensor::Shape::from(shape).to_string();
        support::says(&error, &["sample weights", &shown, "dense", "[7, 5]"]);
    }
    let error = data.clone().weighted(numbers(&[N + 1])).unwrap_err();
    support::says(&error, &["[8]", "[7]", "per sample", "per position"]);
    let error = data.weighted_outputs([None, None]).unwrap_err();
    support::says(&error, &["2 for 1 outputs"]);
    // A mask that a layer gives an output of other axes.
    let mut g = wgrad::graph::Graph::new();
    let p = g.input("p", [N, T, UNITS], wgrad::tensor::DType::F32);
    let t = g.input("t", [N, T], wgrad::tensor::DType::U32);
    let mask = g.input("m", [N, T + 1], wgrad::tensor::DType::F32);
    let weighing = wgrad::losses::Weighing { mask: Some(mask), weights: None };
    let error = SPARSE.build_weighted(&mut g, t, p, weighing).unwrap_err();
    support::says(&error, &["mask", "[7, 6]", "[7, 5, 4]", "[7, 5] for a number per position"]);
    Ok(())
}

#[test]
fn positions_that_weigh_nothing_do_not_train() -> Result<()> {
    // Weights 0 and 1 are a mask but for the number that divides.
    let (x, mask) = sequences(true);
    let y = Tensor::f32([N, T, 1], random::uniform(2, N * T, -1.0, 1.0))?;
    let own: Vec<f32> = mask.iter().map(|&m| m as f32).collect();
    let share = mask.iter().sum::<f64>() / (N * T) as f64;
    let data = TensorDataset::new(x, y)?;
    let loss = |masked: bool, data: &TensorDataset| -> Result<f64> {
        let options = Compile::new(Sgd::new(0.1), Loss::MeanSquaredError);
        Ok(compile(&model(masked, 1, Activation::Linear), options).evaluate(data)?.loss)
    };
    let masked = loss(true, &data)?;
    close(loss(false, &data.weighted(Tensor::f32([N, T], own)?)?)?, masked * share, "weights");
    Ok(())
}

/// Counts how often it is built, penalises nothing, and passes its mask on.
#[derive(Debug, Default, Clone)]
struct Counted(Arc<AtomicUsize>);

impl Layer for Counted {
    fn kind(&self) -> &'static str {
        "Counted"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn apply(&self, _g: &mut Graph, cx: &Context) -> Result<Outputs> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(cx.input().into())
    }
}

/// The step that is planned first shows which outputs have masks and whether a layer penalises what it computes.
#[test]
fn a_model_is_built_once_when_it_is_compiled() -> Result<()> {
    let counted = Counted::default();
    let loss_of = |masked: bool, penalty: Regularizer| {
        let model = Sequential::new([T, D]);
        let model = if masked { model.add(Masking::new(0.0)) } else { model };
        let model = model.add(counted.clone()).add(Dense::new(2).activity_regularizer(penalty));
        counted.0.store(0, Ordering::Relaxed);
        let mut trainer = compile(&model, Compile::new(Sgd::new(0.1), Loss::MeanSquaredError));
        assert_eq!(counted.0.load(Ordering::Relaxed), 1);
        let y = Tensor::f32([N, T, 2], vec![0.5; N * T * 2])?;
        Ok::<_, wgrad::Error>(trainer.evaluate(&TensorDataset::new(sequences(true).0, y)?)?.loss)
    };
    let penalty = Regularizer::l2(0.1);
    let both = loss_of(true, penalty)?;
    assert!(both > loss_of(true, Regularizer::NONE)? + 1e-3);
    assert!((both - loss_of(false, penalty)?).abs() > 1e-3);
    Ok(())
}
