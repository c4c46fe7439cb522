//! Linear models with noise.

use super::*;

#[test]
fn regressions_are_scikit_learns() {
    agree("regression", |seed| {
        let options = Regression {
            n_samples: 200,
            n_features: 6,
            n_informative: 4,
            bias: 3.0,
            noise: 5.0,
            shuffle: false,
            seed,
            ..Regression::default()
        };
        let (data, coef) = make_regression(&options).unwrap();
        let x = Table::of(data.x());
        let y: Vec<f64> = data.y().as_f32().unwrap().iter().map(|&v| v.into()).collect();
        let coef: Vec<f64> = coef.as_f32().unwrap().iter().map(|&v| v.into()).collect();
        assert_eq!(coef[4..], [0.0, 0.0]);
        let line = |row: &[f64]| row.iter().zip(&coef).map(|(x, c)| x * c).sum::<f64>() + 3.0;
        let noise: Vec<f64> = x.rows().zip(&y).map(|(row, y)| y - line(row)).collect();
        vec![
            ("x_var", var(&x.values)),
            ("coef_mean", mean(&coef[..4])),
            ("coef_var", var(&coef[..4])),
            ("noise_var", var(&noise)),
            ("y_mean", mean(&y)),
        ]
    });
}

#[test]
fn a_linear_model_recovers_the_coefficients() {
    for (n_targets, shuffle) in [(1, true), (1, false), (3, true)] {
        let options = Regression {
            n_samples: 2000,
            n_features: 8,
            n_informative: 5,
            n_targets,
            bias: 7.0,
            noise: 1.0,
            shuffle,
            seed: 4,
        };
        let (data, coef) = make_regression(&options).unwrap();
        let outer = if n_targets == 1 { vec![] } else { vec![n_targets] };
        assert_eq!(data.target_shape().dims(), outer);
        assert_eq!(coef.shape().dims(), [&[8][..], &outer].concat());
        let (x, y) = (Table::of(data.x()), data.y().as_f32().unwrap());
        // Gradient descent on the mean squared error; the features are standard normal.
        let (n, mut w, mut bias) = (2000.0, vec![0.0; 8 * n_targets], vec![0.0; n_targets]);
        for _ in 0..200 {
            let (mut dw, mut db) = (vec![0.0; w.len()], vec![0.0; n_targets]);
            for (row, y) in x.rows().zip(y.chunks(n_targets)) {
                for t in 0..n_targets {
                    let line: f64 = (0..8).map(|c| row[c] * w[c * n_targets + t]).sum();
                    let error = line + bias[t] - f64::from(y[t]);
                    (0..8).for_each(|c| dw[c * n_targets + t] += error * row[c] / n);
                    db[t] += error / n;
                }
            }
            w.iter_mut().zip(&dw).for_each(|(w, d)| *w -= 0.5 * d);
            bias.iter_mut().zip(&db).for_each(|(b, d)| *b -= 0.5 * d);
        }
        // Their standard errors are 1 / sqrt(2000) = 0.022.
        for (found, &meant) in w.iter().zip(coef.as_f32().unwrap()) {
            assert!((found - f64::from(meant)).abs() < 0.12, "{found}, meant {meant}");
        }
        assert!(bias.iter().all(|b| (b - 7.0).abs() < 0.12), "{bias:?}");
        let informative = coef.as_f32().unwrap().iter().filter(|&&c| c != 0.0).count();
        assert_eq!(informative, 5 * n_targets);
    }
}
