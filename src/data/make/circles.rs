//! Two shapes in the plane that no straight line separates: crossing half circles, and rings.

use std::f64::consts::{PI, TAU};

use rand_chacha::ChaCha8Rng;

use super::{fits, labelled, normal, not_negative};
use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::tensor::init::generator;

/// The options of [`make_moons`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moons {
    /// Samples in all, half of each class; an odd one belongs to class 1.
    pub n_samples: usize,
    /// The standard deviation of the Gaussian noise on both coordinates.
    pub noise: f64,
    /// Whether samples are shuffled, rather than class by class along the arcs.
    pub shuffle: bool,
    /// The seed of everything random.
    pub seed: u64,
}

impl Default for Moons {
    /// 100 samples without noise.
    fn default() -> Self {
        Self { n_samples: 100, noise: 0.0, shuffle: true, seed: 0 }
    }
}

/// Two half circles of radius 1 that reach into each other: features `[n_samples, 2]`. Class 0 is
/// the upper half of the circle around (0, 0), class 1 the lower half of the one around (1, 0.5).
///
/// # Errors
/// [`Error::Parameter`] for fewer than 2 samples and for noise that is negative, NaN or infinite.
pub fn make_moons(options: &Moons) -> Result<TensorDataset> {
    let (first, second) = halves(options.n_samples)?;
    // Both ends of an arc are samples.
    let angle = |i: usize, n: usize| PI * i as f64 / (n.max(2) - 1) as f64;
    let upper = (0..first).map(|i| angle(i, first)).map(|t| [t.cos(), t.sin()]);
    let lower = (0..second).map(|i| angle(i, second)).map(|t| [1.0 - t.cos(), 0.5 - t.sin()]);
    let points: Vec<[f64; 2]> = upper.chain(lower).collect();
    let rng = &mut generator(*b"moons\0\0\0", options.seed, 0);
    noisy(&points, first, options.noise, options.shuffle, rng)
}

/// The options of [`make_circles`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Circles {
    /// Samples in all, half of each class; an odd one belongs to class 1.
    pub n_samples: usize,
    /// The standard deviation of the Gaussian noise on both coordinates.
    pub noise: f64,
    /// The radius of the inner circle, in `[0, 1)`; the outer one has 1.
    pub factor: f64,
    /// Whether samples are shuffled, rather than class by class around the circles.
    pub shuffle: bool,
    /// The seed of everything random.
    pub seed: u64,
}

impl Default for Circles {
    /// 100 samples without noise, the inner circle of radius 0.8.
    fn default() -> Self {
        Self { n_samples: 100, noise: 0.0, factor: 0.8, shuffle: true, seed: 0 }
    }
}

/// Two circles around (0, 0), evenly sampled: features `[n_samples, 2]`. Class 0 is the outer one,
/// of radius 1, class 1 the inner one, of radius [`Circles::factor`].
///
/// # Errors
/// [`Error::Parameter`] for fewer than 2 samples, for noise that is negative, NaN or infinite, and
/// for a factor outside `[0, 1)`.
pub fn make_circles(options: &Circles) -> Result<TensorDataset> {
    let (first, second) = halves(options.n_samples)?;
    let factor = options.factor;
    if !(0.0..1.0).contains(&factor) {
        return Err(Error::parameter("factor", factor, "the inner radius, in [0, 1)"));
    }
    // The last sample of a circle is not the first one again.
    let ring = |n: usize, radius: f64| {
        let angle = move |i: usize| TAU * i as f64 / n as f64;
        (0..n).map(angle).map(move |t| [radius * t.cos(), radius * t.sin()])
    };
    let points: Vec<[f64; 2]> = ring(first, 1.0).chain(ring(second, factor)).collect();
    let rng = &mut generator(*b"circles\0", options.seed, 0);
    noisy(&points, first, options.noise, options.shuffle, rng)
}

/// How many samples the two classes have.
fn halves(n_samples: usize) -> Result<(usize, usize)> {
    if n_samples < 2 {
        let detail = "needs at least 2, one for each class";
        return Err(Error::parameter("n_samples", n_samples, detail));
    }
    fits(n_samples, 2)?;
    Ok((n_samples / 2, n_samples - n_samples / 2))
}

/// The points with noise, of which the `first` are class 0 and the others class 1.
fn noisy(
    points: &[[f64; 2]],
    first: usize,
    noise: f64,
    shuffle: bool,
    rng: &mut ChaCha8Rng,
) -> Result<TensorDataset> {
    not_negative("noise", noise)?;
    let errors = normal(rng, 2 * points.len());
    let x: Vec<f64> = points
        .as_flattened()
        .iter()
        .zip(errors)
        .map(|(point, error)| point + noise * error)
        .collect();
    let labels: Vec<u32> = (0..points.len()).map(|i| u32::from(i >= first)).collect();
    labelled(&x, 2, &labels, shuffle.then_some(rng))
}
