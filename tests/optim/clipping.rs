//! Clipping against f64, on odd shapes in several arenas, and what it does with numbers that are not finite.

use super::*;
use reference::compare::{assert_close, compare, widen};
use reference::optim::{clip_by_global_norm, clip_by_norm, clip_by_value};
use support::says;
use wgrad::Error;

/// What `clip` leaves of each of these gradients: SGD from zero at rate 1 steps to its negative.
fn clipped(clip: Option<Clip>, shapes: Shapes<'_>, gradients: &[f32]) -> Result<Vec<f32>> {
    let transform = GradientTransform { clip, ..GradientTransform::default() };
    let start = vec![0.0; gradients.len()];
    let trace = run(&transform, &Sgd::new(1.0), shapes, &start, &[gradients.to_vec()])?;
    Ok(trace.params[0].iter().map(|p| -p).collect())
}

/// The same in f64.
fn oracle(clip: Clip, shapes: Shapes<'_>, gradients: &[f32]) -> Vec<f64> {
    let tensors = by_tensor(&widen(gradients), shapes);
    let each = |f: fn(&[f64], f64) -> Vec<f64>, c: f32| {
        tensors.iter().flat_map(|g| f(g, f64::from(c))).collect()
    };
    match clip {
        Clip::Value(c) => each(clip_by_value, c),
        Clip::Norm(c) => each(clip_by_norm, c),
        Clip::GlobalNorm(c) => clip_by_global_norm(&tensors, f64::from(c)).concat(),
        other => panic!("no oracle for {other:?}"),
    }
}

const CLIPS: [Clip; 6] = [
    Clip::Value(0.3),
    Clip::Value(2.0),
    Clip::Norm(0.1),
    Clip::Norm(2.0),
    Clip::GlobalNorm(0.5),
    Clip::GlobalNorm(10.0),
];

#[test]
fn clipped_gradients_are_f64s() -> Result<()> {
    let gradients = numbers(ODD, 7);
    for clip in CLIPS {
        let got = clipped(Some(clip), ODD, &gradients)?;
        let want = oracle(clip, ODD, &gradients);
        assert_close(&format!("{clip:?}"), &got, &want, 1e-6, 1e-8);
        assert_ne!(got, gradients, "{clip:?} binds");
    }
    Ok(())
}

#[test]
fn the_three_forms_differ() -> Result<()> {
    // The comparison notices one form in place of another, and another bound.
    let gradients = numbers(ODD, 7);
    let got = clipped(Some(Clip::Norm(0.5)), ODD, &gradients)?;
    for other in [Clip::GlobalNorm(0.5), Clip::Value(0.5), Clip::Norm(0.500_01)] {
        let want = oracle(other, ODD, &gradients);
        assert!(compare("control", &got, &want, 1e-6, 1e-8).is_err(), "{other:?}");
    }
    Ok(())
}

#[test]
fn norms_of_long_tensors_are_f64s() -> Result<()> {
    // A sum in two stages, and one that ends within a chunk.
    let shapes: Shapes<'_> = &[&[&[100_003], &[5]], &[&[4097]]];
    let gradients = uniform(3, 104_105, -1.0, 1.0);
    for clip in [Clip::Norm(3.0), Clip::GlobalNorm(3.0)] {
        let got = clipped(Some(clip), shapes, &gradients)?;
        assert_close(&format!("{clip:?}"), &got, &oracle(clip, shapes, &gradients), 1e-6, 1e-9);
    }
    Ok(())
}

#[test]
fn what_lies_within_the_bound_keeps_its_bits() -> Result<()> {
    let gradients = numbers(ODD, 9);
    let plain = clipped(None, ODD, &gradients)?;
    assert_eq!(plain, gradients);
    for clip in [Clip::Value(1e3), Clip::Norm(1e3), Clip::GlobalNorm(1e3)] {
        assert_eq!(bits(&clipped(Some(clip), ODD, &gradients)?), bits(&plain), "{clip:?}");
        let zero = vec![0.0; gradients.len()];
        assert_eq!(clipped(Some(clip), ODD, &zero)?, zero, "{clip:?} of zero");
    }
    Ok(())
}

/// One element of the second tensor is not finite, or too large for its square.
#[test]
fn a_norm_that_is_not_finite_shows() -> Result<()> {
    let gradients = numbers(ODD, 11);
    let at = 15 + 3;
    let own = 15..22;
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e19] {
        let mut spoilt = gradients.clone();
        spoilt[at] = bad;

        // By value: only the element, clipped to the bound unless it is NaN.
        let mut got = clipped(Some(Clip::Value(0.5)), ODD, &spoilt)?;
        let mut want = clipped(Some(Clip::Value(0.5)), ODD, &gradients)?;
        match bad.is_nan() {
            true => assert!(got[at].is_nan()),
            false => assert_eq!(got[at], 0.5 * bad.signum()),
        }
        (got[at], want[at]) = (0.0, 0.0);
        assert_eq!(bits(&got), bits(&want), "by value, {bad}");

        // By norm: its tensor, and no other.
        let mut got = clipped(Some(Clip::Norm(0.5)), ODD, &spoilt)?;
        let mut want = clipped(Some(Clip::Norm(0.5)), ODD, &gradients)?;
        assert!(got[own.clone()].iter().all(|g| g.is_nan()), "by norm, {bad}: {got:?}");
        got[own.clone()].fill(0.0);
        want[own.clone()].fill(0.0);
        assert_eq!(bits(&got), bits(&want), "by norm, {bad}");

        // By global norm: all of them, in both arenas.
        let got = clipped(Some(Clip::GlobalNorm(0.5)), ODD, &spoilt)?;
        assert!(got.iter().all(|g| g.is_nan()), "by global norm, {bad}: {got:?}");
    }
    Ok(())
}

#[test]
fn dispatches_do_not_grow_with_tensors() -> Result<()> {
    let count = |clip: Option<Clip>, shapes: Shapes<'_>| -> Result<usize> {
        let transform = GradientTransform { clip, ..GradientTransform::default() };
        let n = lengths(shapes).iter().sum();
        Ok(run(&transform, &Adam::new(0.1), shapes, &vec![0.0; n], &[])?.dispatches)
    };
    let few: Shapes<'_> = &[&[&[70], &[5]]];
    let many: Shapes<'_> = &[&[&[70], &[5], &[1], &[3, 3], &[9], &[2, 2, 2], &[4]]];
    // By value clips in the update itself; by global norm squares, sums and forms the factor before.
    for (clip, more) in [(Clip::Value(1.0), 0), (Clip::GlobalNorm(1.0), 3)] {
        for shapes in [few, many] {
            assert_eq!(count(Some(clip), shapes)?, count(None, shapes)? + more, "{clip:?}");
        }
    }
    Ok(())
}

#[test]
fn bounds_are_finite_and_above_zero() {
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let clips = [
            (Clip::Value(bad), "Clip::Value"),
            (Clip::Norm(bad), "Clip::Norm"),
            (Clip::GlobalNorm(bad), "Clip::GlobalNorm"),
        ];
        for (clip, name) in clips {
            let compile = Compile::new(Sgd::default(), Loss::MeanSquaredError).clip(clip);
            let model = Sequential::new([2]).add(Dense::new(1));
            let error = model.compile(device(), compile).unwrap_err();
            assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
            says(&error, &[&format!("{name} = {bad}"), "a finite number above 0"]);
        }
    }
}
