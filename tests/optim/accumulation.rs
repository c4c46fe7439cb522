//! Several steps for one update: the mean of their gradients, and nothing between.

use super::*;
use reference::compare::{assert_close, compare, widen};
use support::says;
use wgrad::Error;

const fn every(accumulation_steps: u64) -> GradientTransform {
    GradientTransform { clip: None, accumulation_steps }
}

/// A gradient per update.
fn per_update(updates: u32) -> Vec<Vec<f32>> {
    (0..updates).map(|u| numbers(ODD, 100 * u)).collect()
}

#[test]
fn equal_gradients_give_the_same_bits() -> Result<()> {
    let (initial, gradients) = (numbers(ODD, 1000), per_update(5));
    for rule in rules() {
        let want = run(&every(1), &*rule, ODD, &initial, &gradients)?;
        for k in [2, 4] {
            // The sum of 2 or 4 equal numbers, and its mean, are exact.
            let repeated: Vec<Vec<f32>> =
                gradients.iter().flat_map(|g| std::iter::repeat_n(g.clone(), k)).collect();
            let got = run(&every(k as u64), &*rule, ODD, &initial, &repeated)?;
            assert_eq!(got.dispatches, want.dispatches, "{rule:?}");
            let mut before = &initial;
            for (step, params) in got.params.iter().enumerate() {
                let (update, last) = (step / k, step % k == k - 1);
                let want = if last { &want.params[update] } else { before };
                assert_eq!(bits(params), bits(want), "{rule:?}, {k} steps, step {step}");
                before = want;
            }
            // The accumulated state is the sum so far, and zero after an update.
            for (step, sums) in got.accumulated.iter().enumerate() {
                let terms = ((step + 1) % k) as f32;
                let want: Vec<f32> = gradients[step / k].iter().map(|g| terms * g).collect();
                assert_eq!(sums, &want, "{rule:?}, {k} steps, step {step}");
            }
        }
    }
    Ok(())
}

#[test]
fn different_gradients_give_their_mean() -> Result<()> {
    let (initial, gradients) = (numbers(ODD, 2000), per_update(6));
    let means: Vec<Vec<f32>> = gradients
        .chunks(3)
        .map(|three| {
            let mean = |i: usize| three.iter().map(|g| f64::from(g[i])).sum::<f64>() / 3.0;
            (0..initial.len()).map(|i| mean(i) as f32).collect()
        })
        .collect();
    for rule in rules() {
        let got = run(&every(3), &*rule, ODD, &initial, &gradients)?;
        let want = run(&every(1), &*rule, ODD, &initial, &means)?;
        let want = widen(&want.params[1]);
        assert_close(&format!("{rule:?}"), &got.params[5], &want, 1e-5, 1e-6);
        // The comparison notices a mean over other steps.
        let other = run(&every(2), &*rule, ODD, &initial, &gradients)?;
        assert!(compare("control", &other.params[5], &want, 1e-5, 1e-6).is_err(), "{rule:?}");
    }
    Ok(())
}

#[test]
fn the_mean_is_clipped_not_its_terms() -> Result<()> {
    // Terms far over the bound that cancel to a mean within it.
    let shapes: Shapes<'_> = &[&[&[2]], &[&[1]]];
    let terms = [vec![30.0, 40.0, 5.0], vec![-30.0, -39.0, -5.0]];
    for (clip, want) in [
        (Clip::Value(0.25), [0.0, 0.25, 0.0]),
        (Clip::Norm(0.25), [0.0, 0.25, 0.0]),
        (Clip::GlobalNorm(0.25), [0.0, 0.25, 0.0]),
        (Clip::GlobalNorm(1.0), [0.0, 0.5, 0.0]),
    ] {
        let transform = GradientTransform { clip: Some(clip), accumulation_steps: 2 };
        let trace = run(&transform, &Sgd::new(1.0), shapes, &[0.0; 3], &terms)?;
        assert_eq!(trace.params[0], [0.0; 3], "{clip:?}");
        let got: Vec<f32> = trace.params[1].iter().map(|p| -p).collect();
        assert_eq!(got, want, "{clip:?}");
        assert_eq!(trace.accumulated[1], [0.0; 3], "{clip:?}");
    }
    Ok(())
}

#[test]
fn nan_waits_for_its_update_and_goes() -> Result<()> {
    let shapes: Shapes<'_> = &[&[&[5]]];
    let good = vec![1.0, -2.0, 3.0, -4.0, 5.0];
    for bad in [f32::NAN, f32::INFINITY] {
        let spoilt = vec![1.0, bad, 3.0, -4.0, 5.0];
        for rule in rules() {
            let steps = [spoilt.clone(), good.clone(), good.clone(), good.clone()];
            let trace = run(&every(2), &*rule, shapes, &good, &steps)?;
            // The update that is not taken would have been NaN or infinite.
            assert_eq!(bits(&trace.params[0]), bits(&good), "{rule:?}");
            assert!(!trace.accumulated[0][1].is_finite(), "{rule:?}");
            // Then it is taken, in one element, and the next sum begins at zero.
            for (i, p) in trace.params[1].iter().enumerate() {
                assert_eq!(p.is_finite(), i != 1, "{rule:?}: {:?}", trace.params[1]);
            }
            assert_eq!(bits(&trace.accumulated[1]), [0; 5], "{rule:?}");
            assert_eq!(trace.accumulated[2], good, "{rule:?}");
        }
    }
    Ok(())
}

#[test]
fn rates_and_corrections_follow_updates() {
    let rate = PiecewiseConstantDecay::new([0, 1], [0.5, 0.25, 0.125]);
    let transform = every(3);
    let sgd = Sgd::new(rate.clone());
    let all: Vec<(u64, Vec<(&str, f32)>)> =
        (0..9).map(|step| (step, transform.step_values(&sgd, step, None))).collect();
    for (step, values) in all {
        let rate = [0.5, 0.25, 0.125][step as usize / 3];
        let apply = if step % 3 == 2 { 1.0 } else { 0.0 };
        assert_eq!(values, [("learning_rate", rate), ("apply", apply)], "step {step}");
        assert_eq!(transform.updates(step), step / 3);
    }
    // Without accumulation there is no step word for it.
    assert_eq!(every(1).step_values(&sgd, 1, None), [("learning_rate", 0.25)]);
    let adam = Adam::new(rate);
    let corrected = |done: u64, rate: f64| adam.step_values(done, rate)[0];
    assert_eq!(transform.step_values(&adam, 5, None)[0], corrected(1, 0.25));
    assert_ne!(corrected(1, 0.25), corrected(5, 0.25));
}

#[test]
fn a_rate_set_by_hand_takes_the_place_of_the_schedule() {
    let decayed = Sgd { decay: 1.0, ..Sgd::new(ExponentialDecay::new(0.5, 1, 0.5)) };
    let values = |rate| every(1).step_values(&decayed, 3, rate);
    // 0.5 · 0.5³ / (1 + 3), and 0.75 / (1 + 3): SGD's own decay divides either.
    assert_eq!(values(None), [("learning_rate", 0.015_625)]);
    assert_eq!(values(Some(0.75)), [("learning_rate", 0.1875)]);
    let adamw = AdamW::new(0.5, 0.5);
    let values = every(1).step_values(&adamw, 0, Some(0.25));
    assert_eq!(values[1], ("kept_weight", 0.875));
    assert_eq!(values[0].1, every(1).step_values(&Adam::new(0.25), 0, None)[0].1);
}

#[test]
fn no_steps_are_refused() {
    let model = Sequential::new([2]).add(Dense::new(1));
    let compile = Compile::new(Sgd::default(), Loss::MeanSquaredError);
    let error = model.compile(device(), compile.gradient_accumulation_steps(0)).unwrap_err();
    assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
    says(&error, &["gradient_accumulation_steps = 0", "at least 1"]);
}
