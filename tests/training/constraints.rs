//! Constraints hold after each update, by the formulas of Keras in f64.

use crate::support;
use wgrad::prelude::*;
use wgrad::{Error, Result};

/// Keras' epsilon.
const EPSILON: f64 = 1e-7;

/// √Σ w² of column `j` of `[rows, columns]`.
fn column(w: &[f64], columns: usize, j: usize) -> f64 {
    w.iter().skip(j).step_by(columns).map(|w| w * w).sum::<f64>().sqrt()
}

/// What Keras makes of a kernel of `columns` columns.
fn formula(constraint: Constraint, w: &[f32], columns: usize) -> Vec<f64> {
    let w: Vec<f64> = w.iter().map(|&w| f64::from(w)).collect();
    let scaled = |wanted: &dyn Fn(f64) -> f64, row: bool| {
        let own = |i: usize| match row {
            true => {
                let from = i / columns * columns;
                w[from..from + columns].iter().map(|w| w * w).sum::<f64>().sqrt()
            }
            false => column(&w, columns, i % columns),
        };
        let each = w.iter().enumerate();
        each.map(|(i, w)| w * wanted(own(i)) / (EPSILON + own(i))).collect()
    };
    match constraint {
        Constraint::NonNeg => w.iter().map(|w| w.max(0.0)).collect(),
        Constraint::UnitNorm { .. } => scaled(&|_| 1.0, false),
        Constraint::MaxNorm { max_value, axes } => {
            scaled(&|norm| norm.min(f64::from(max_value)), axes == [1])
        }
        Constraint::MinMaxNorm { min_value, max_value, rate, .. } => {
            let (low, high, rate) = (f64::from(min_value), f64::from(max_value), f64::from(rate));
            scaled(&|norm| rate * norm.clamp(low, high) + (1.0 - rate) * norm, false)
        }
        other => panic!("{other:?}"),
    }
}

fn data() -> TensorDataset {
    let x: Vec<f32> = (0..21).map(|i| (i as f32 * 0.7).sin() * 2.0).collect();
    let y: Vec<f32> = (0..35).map(|i| (i as f32 * 0.4).cos()).collect();
    TensorDataset::new(Tensor::f32([7, 3], x).unwrap(), Tensor::f32([7, 5], y).unwrap()).unwrap()
}

/// Kernel and bias after `steps` updates of whole batches, each of which takes `batches` steps.
fn trained(constraint: Option<Constraint>, steps: usize, batches: u64) -> Result<[Vec<f32>; 2]> {
    let dense = Dense::new(5);
    let dense = match constraint {
        Some(constraint) => dense.kernel_constraint(constraint),
        None => dense,
    };
    let compile = Compile::new(Sgd::new(0.3), Loss::MeanSquaredError);
    let compile = compile.gradient_accumulation_steps(batches);
    let model = Sequential::new([3]).add(dense);
    let mut trainer = model.compile(support::device(), compile)?;
    let fit = Fit::new().epochs(steps * batches as usize).full_batch().verbose(Verbose::Silent);
    trainer.fit(&data(), fit)?;
    let tensors = trainer.weights()?;
    let of = |i: usize| tensors[i].1.as_f32().map(<[f32]>::to_vec);
    Ok([of(0)?, of(1)?])
}

#[test]
fn constraints_are_those_of_keras() -> Result<()> {
    let constraints = [
        Constraint::NonNeg,
        Constraint::unit_norm(),
        Constraint::max_norm(0.5),
        Constraint::MaxNorm { max_value: 0.6, axes: &[1] },
        Constraint::min_max_norm(0.7, 0.9),
        Constraint::MinMaxNorm { min_value: 0.7, max_value: 0.9, rate: 0.25, axes: &[0] },
    ];
    let [free, bias] = trained(None, 1, 1)?;
    for constraint in constraints {
        for batches in [1, 3] {
            let [kernel, own_bias] = trained(Some(constraint), 1, batches)?;
            let want = formula(constraint, &free, 5);
            assert!(want.iter().zip(&free).any(|(a, b)| (a - f64::from(*b)).abs() > 1e-2));
            for (got, want) in kernel.iter().zip(&want) {
                let error = (f64::from(*got) - want).abs();
                assert!(error < 2e-6, "{constraint:?}: {kernel:?}, {want:?}");
            }
            let same = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
            assert!(own_bias.iter().zip(&bias).all(same), "{constraint:?}: the bias is free");
        }
    }
    // It holds after later updates, and all weights still learn.
    let [later, _] = trained(Some(Constraint::max_norm(0.5)), 20, 1)?;
    let later: Vec<f64> = later.iter().map(|&w| f64::from(w)).collect();
    assert!((0..5).all(|j| column(&later, 5, j) < 0.500_01), "{later:?}");
    let [free, _] = trained(None, 20, 1)?;
    let free: Vec<f64> = free.iter().map(|&w| f64::from(w)).collect();
    assert!((0..5).any(|j| column(&free, 5, j) > 0.51), "{free:?}");
    Ok(())
}

/// The bias of a convolution after one update of a whole batch, and its other weights.
fn convolved(layer: LayerHandle, rank: usize) -> Result<(Vec<f32>, Vec<Tensor>)> {
    let sample: &[usize] = [&[7, 3][..], &[5, 4, 3], &[4, 3, 3, 3]][rank - 1];
    let model = Sequential::new(sample).add(layer).build()?;
    let wave = |i: usize, step: f32| (i as f32 * step).sin() * 2.0;
    let x = (0..4 * sample.iter().product::<usize>()).map(|i| wave(i, 0.7));
    // Neighbouring filters learn numbers of unlike signs.
    let (out, filters) = (model.output_shapes()[0].clone(), model.weights().last());
    let filters = filters.map_or(1, |(_, bias)| bias.shape.len());
    let y = (0..4 * out.len()).map(|i| wave(i, 0.43) + [1.0, -1.0][i % filters % 2]);
    let data = TensorDataset::new(
        Tensor::f32([&[4], sample].concat(), x.collect::<Vec<_>>())?,
        Tensor::f32([&[4], out.dims()].concat(), y.collect::<Vec<_>>())?,
    )?;
    let compile = Compile::new(Sgd::new(2.0), Loss::MeanSquaredError);
    let mut trainer = model.compile(support::device(), compile)?;
    trainer.fit(&data, Fit::new().full_batch().verbose(Verbose::Silent))?;
    let mut weights: Vec<Tensor> = trainer.weights()?.into_iter().map(|(_, w)| w).collect();
    let bias = weights.pop().expect("a bias is the last weight");
    Ok((bias.as_f32()?.to_vec(), weights))
}

#[test]
fn the_bias_of_a_convolution_keeps_to_its_constraint() -> Result<()> {
    /// A convolution, with a constraint on its bias or without one, and the rank of its images.
    type Make = fn(Option<Constraint>) -> LayerHandle;
    macro_rules! layers {
        ($($layer:expr, $rank:literal;)*) => {
            [$((|constraint| match constraint {
                Some(constraint) => $layer.bias_constraint(constraint).into(),
                None => $layer.into(),
            }, $rank)),*]
        };
    }
    let layers: [(Make, usize); 9] = layers![
        Conv1D::new(4, 3), 1;
        Conv2D::new(4, 2), 2;
        Conv3D::new(4, 2), 3;
        DepthwiseConv1D::new(3), 1;
        DepthwiseConv2D::new(2), 2;
        SeparableConv1D::new(4, 3), 1;
        SeparableConv2D::new(4, 2), 2;
        Conv1DTranspose::new(4, 3), 1;
        Conv2DTranspose::new(4, 2), 2;
    ];
    // The norm of a bias is that of all its numbers.
    let constraints = [
        Constraint::NonNeg,
        Constraint::unit_norm(),
        Constraint::max_norm(0.02),
        Constraint::MinMaxNorm { min_value: 3.0, max_value: 4.0, rate: 0.25, axes: &[0] },
    ];
    for (make, rank) in layers {
        let (free, others) = convolved(make(None), rank)?;
        for constraint in constraints {
            let (bias, own_others) = convolved(make(Some(constraint)), rank)?;
            let what = format!("{:?}, {constraint:?}: {bias:?} of {free:?}", make(None));
            let want = formula(constraint, &free, 1);
            let apart = |a: &[f32]| {
                let each = a.iter().zip(&want).map(|(a, want)| (f64::from(*a) - want).abs());
                each.fold(0.0, f64::max)
            };
            assert_eq!(bias.len(), want.len());
            assert!(apart(&bias) < 2e-6, "{what}");
            // The control: without the constraint the bias is another, and the other weights are the same.
            assert!(apart(&free) > 1e-3, "{what}");
            assert_eq!(own_others, others, "{what}");
        }
    }
    Ok(())
}

#[test]
fn bad_constraints_name_the_layer() {
    let nan = f32::NAN;
    let wrong: [(Constraint, &[&str]); 5] = [
        (Constraint::max_norm(-1.0), &["max_norm max_value", "-1"]),
        (Constraint::max_norm(nan), &["max_norm max_value", "NaN"]),
        (Constraint::min_max_norm(2.0, 1.0), &["min_max_norm min_value", "at most"]),
        (
            Constraint::MinMaxNorm { min_value: 0.0, max_value: 1.0, rate: 2.0, axes: &[0] },
            &["min_max_norm rate"],
        ),
        (Constraint::UnitNorm { axes: &[2] }, &["unit_norm", "no axis 2"]),
    ];
    for (constraint, words) in wrong {
        let error = trained(Some(constraint), 1, 1).unwrap_err();
        assert!(matches!(error, Error::Parameter { .. } | Error::Shape { .. }), "{error:?}");
        support::says(&error, words);
        support::says(&error, &["layer `dense`"]);
    }
}
