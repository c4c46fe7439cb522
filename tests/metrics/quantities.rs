//! Metrics of quantities.

use super::*;
use wgrad::metrics::{mean_absolute_error, mean_squared_error, r2_score, root_mean_squared_error};

/// Name in the recording, name in logs, tolerance. Errors, their squares and the mean over outputs are f32 on the
/// device, three roundings of 6e-8; R² is f64 from targets and predictions that are exact.
const METRICS: [(&str, &str, f64); 4] = [
    ("mse", "mean_squared_error", 2e-7),
    ("rmse", "root_mean_squared_error", 2e-7),
    ("mae", "mean_absolute_error", 2e-7),
    ("r2", "r2_score", 1e-13),
];

const ALL: [Metric; 4] = [
    Metric::MeanSquaredError,
    Metric::RootMeanSquaredError,
    Metric::MeanAbsoluteError,
    Metric::R2Score,
];

fn check(entry: &Json, evaluation: &Evaluation) -> Result<()> {
    for (key, log, tolerance) in METRICS {
        let got = evaluation.get(log).with_context(|| format!("no {log}"))?;
        let want = entry[key].as_f64().with_context(|| format!("no {key}"))?;
        compare(&format!("{}: {key}", text(entry, "name")?), got, want, tolerance)?;
    }
    Ok(())
}

#[test]
fn quantities_agree_with_scikit_learn() -> Result<()> {
    let entries = recorded("regression")?;
    for entry in &entries {
        let (p, y) = (tensor(&entry["y_pred"])?, tensor(&entry["y_true"])?);
        for batch in [1, 7, 16, 60] {
            for loss in [Loss::MeanSquaredError, Loss::Huber { delta: 1.0 }] {
                check(entry, &evaluate(&p, &y, loss, &ALL, batch)?)?;
            }
        }
        // The host's functions, in f64 throughout.
        let name = text(entry, "name")?;
        for (key, got) in [
            ("mse", mean_squared_error(&y, &p)?),
            ("rmse", root_mean_squared_error(&y, &p)?),
            ("mae", mean_absolute_error(&y, &p)?),
            ("r2", r2_score(&y, &p)?),
        ] {
            let want = entry[key].as_f64().with_context(|| format!("no {key}"))?;
            compare(&format!("{name}: {key} on the host"), got, want, 1e-13)?;
        }
    }
    // The comparison tells the entries apart, except the one that has the same errors elsewhere.
    let (p, y) = (tensor(&entries[0]["y_pred"])?, tensor(&entries[0]["y_true"])?);
    let evaluation = evaluate(&p, &y, Loss::MeanSquaredError, &ALL, 16)?;
    for other in &entries[1..] {
        let same = check(other, &evaluation).is_ok();
        ensure!(same == (text(other, "name")? == "far from zero"), "{}", other["name"]);
    }
    Ok(())
}

#[test]
fn a_large_mean_does_not_harm_r2() -> Result<()> {
    // Around 2^22 f32 still has the halves: Σ t² - n mean² would be off by 1e-2, even in f64.
    let around = |v: &[f32], mean: f32| v.iter().map(|v| v + mean).collect::<Vec<f32>>();
    let (t, p) = ([0.0, 1.0, 2.0, 3.0, 5.0], [0.5, 1.0, 1.5, 3.0, 4.0]);
    let column = |v: &[f32]| Tensor::f32([5, 1], v);
    let want = 1.0 - 1.5 / 14.8;
    for mean in [0.0, 4_194_304.0] {
        let (p, t) = (column(&around(&p, mean))?, column(&around(&t, mean))?);
        let evaluation = evaluate(&p, &t, Loss::MeanSquaredError, &[Metric::R2Score], 2)?;
        compare("r2", evaluation.get("r2_score").context("r2")?, want, 1e-11)?;
    }
    Ok(())
}

#[test]
fn r2_needs_two_samples() -> Result<()> {
    let one = Tensor::f32([1, 1], [1.0])?;
    let evaluation = evaluate(&one, &one, Loss::MeanSquaredError, &ALL, 1)?;
    ensure!(evaluation.get("r2_score").is_some_and(f64::is_nan), "{evaluation:?}");
    ensure!(evaluation.get("mean_squared_error") == Some(0.0), "{evaluation:?}");
    ensure!(r2_score(&one, &one)?.is_nan());
    Ok(())
}
