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
