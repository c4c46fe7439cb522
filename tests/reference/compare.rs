//! Comparison of what a kernel gave with what the oracle says.

/// Whether every `got` is within `atol + rtol |want|` of its `want`.
///
/// Two equal infinities agree. A NaN on either side, one infinity alone, a different length, an empty
/// pair, and a tolerance that is negative or not a number are failures. The message tells
/// how many elements fail and which is worst: the furthest beyond its tolerance.
pub fn compare(name: &str, got: &[f32], want: &[f64], rtol: f64, atol: f64) -> Result<(), String> {
    let tolerances = [rtol, atol];
    if !tolerances.iter().all(|t| t.is_finite() && *t >= 0.0) {
        return Err(format!("{name}: tolerances rtol {rtol}, atol {atol} make no sense"));
    }
    if got.len() != want.len() {
        return Err(format!("{name}: got {} elements, want {}", got.len(), want.len()));
    }
    if got.is_empty() {
        return Err(format!("{name}: nothing to compare"));
    }
    let (mut failures, mut worst) = (0usize, (0usize, 0.0f64));
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let excess = excess(f64::from(got), want, rtol, atol);
        if excess > 1.0 {
            failures += 1;
        }
        if excess > worst.1 {
            worst = (i, excess);
        }
    }
    if failures == 0 {
        return Ok(());
    }
    let (i, excess) = worst;
    let (g, w) = (f64::from(got[i]), want[i]);
    Err(format!(
        "{name}: {failures} of {} elements differ; worst at {i}: got {g:e}, want {w:e}, \
         difference {:e}, {excess:.3} times its tolerance (rtol {rtol:e}, atol {atol:e})",
        got.len(),
        (g - w).abs(),
    ))
}

/// The difference of two numbers in units of what is allowed: above 1 they don't agree.
fn excess(got: f64, want: f64, rtol: f64, atol: f64) -> f64 {
    if got == want {
        return 0.0;
    }
    if !got.is_finite() || !want.is_finite() {
        return f64::INFINITY;
    }
    (got - want).abs() / (atol + rtol * want.abs())
}

/// Like [`compare`], but panics with the message, at the caller's line.
#[track_caller]
pub fn assert_close(name: &str, got: &[f32], want: &[f64], rtol: f64, atol: f64) {
    if let Err(message) = compare(name, got, want, rtol, atol) {
        panic!("{message}");
    }
}

/// The largest `|got - want| / max(|want|, floor)`, for reports; infinite if [`compare`] could never agree.
pub fn worst_relative(got: &[f32], want: &[f64], floor: f64) -> f64 {
    assert_eq!(got.len(), want.len(), "worst_relative: lengths");
    let error = |(&got, &want): (&f32, &f64)| match excess(f64::from(got), want, 0.0, 1.0) {
        difference if difference.is_finite() => difference / want.abs().max(floor),
        difference => difference,
    };
    got.iter().zip(want).map(error).fold(0.0, f64::max)
}

/// The numbers of an `f32` array, exactly, for the oracle.
pub fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

/// The nearest `f32` of each number.
pub fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&v| v as f32).collect()
}
