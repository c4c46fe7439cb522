//! Initial values of parameters, drawn on the host.
//!
//! Every tensor draws from a separate stream, keyed by `(seed, stream)`, so that a layer added to
//! a model never moves another layer's numbers.
//!
//! The same seed gives the same bits on every platform: words come from ChaCha8, and the
//! arithmetic is f64 `+ - * /` and square root, which IEEE 754 defines to the last bit, then one
//! rounding to f32. The logarithm that normal numbers need is built here from those
//! operations, because the last bit of a system's logarithm differs between mathematics libraries.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::words::{config_by_default, equal_by_config, kept};

/// The standard deviation of a standard normal number conditioned on lying within ±2: dividing by
/// it makes the truncated draws of the variance-scaling kinds as wide as their formula says.
const TRUNCATED_STDDEV: f64 = 0.879_625_661_034_239_8;

/// How the first values of a parameter are chosen. Names and formulas are those of Keras 3.
///
/// `fan_in` and `fan_out` are the numbers of inputs and outputs that one unit connects; a dense
/// kernel of shape `[inputs, units]` has `fan_in = inputs`, `fan_out = units`. A fan (or mean of
/// fans) below 1 counts as 1. The normal variance-scaling kinds draw from a normal distribution
/// truncated at two standard deviations and widened so that `stddev` below is that of the draws.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Initializer {
    /// Every element 0.
    Zeros,
    /// Every element this value.
    Constant(f32),
    /// Uniform in `[low, high)`.
    Uniform {
        /// The smallest value.
        low: f32,
        /// The bound above every value.
        high: f32,
    },
    /// Normal, not truncated.
    Normal {
        /// The centre.
        mean: f32,
        /// The standard deviation, 0 or more.
        stddev: f32,
    },
    /// Uniform in `±sqrt(6 / (fan_in + fan_out))`: keeps the variance of activations and gradients
    /// through symmetric activations (Glorot and Bengio, "Understanding the difficulty of training
    /// deep feedforward neural networks", 2010).
    #[default]
    GlorotUniform,
    /// Truncated normal, `stddev = sqrt(2 / (fan_in + fan_out))` (Glorot and Bengio, 2010).
    GlorotNormal,
    /// Uniform in `±sqrt(6 / fan_in)`: keeps the variance through ReLU (He, Zhang, Ren and Sun,
    /// "Delving deep into rectifiers", 2015).
    HeUniform,
    /// Truncated normal, `stddev = sqrt(2 / fan_in)` (He et al., 2015).
    HeNormal,
    /// Truncated normal, `stddev = sqrt(1 / fan_in)` (LeCun, Bottou, Orr and Müller, "Efficient
    /// BackProp", 1998): the start that SELU assumes.
    LecunNormal,
    /// A matrix `[fan_in, fan_out]` with orthogonal columns of length `gain`, or such rows if it is wider than high:
    /// repeated products with it neither grow nor vanish (Saxe, McClelland and Ganguli, "Exact solutions to the
    /// nonlinear dynamics of learning in deep linear neural networks", 2014). The orthogonal part of a matrix of normal
    /// numbers; its first values depend on its size.
    Orthogonal {
        /// The factor.
        gain: f32,
    },
    /// An initializer from outside of the library; [`Initializer::custom`] makes one.
    Custom(&'static dyn CustomInitializer),
}

/// An initializer of your own; [`Initializer::custom`] makes an [`Initializer`] of it.
///
/// Checkpoints compare its [`config`](CustomInitializer::config).
///
/// ```
/// use wgrad::prelude::*;
/// use wgrad::tensor::{CustomInitializer, Draws};
///
/// /// Few weights other than zero (Martens 2010).
/// #[derive(Debug)]
/// struct Sparse {
///     share: f64,
/// }
///
/// impl CustomInitializer for Sparse {
///     fn name(&self) -> &'static str {
///         "sparse"
///     }
///
///     fn fill(&self, values: &mut [f32], _fans: [usize; 2], draws: &mut Draws) {
///         for value in values {
///             let kept = draws.uniform() < self.share;
///             *value = if kept { draws.normal() as f32 } else { 0.0 };
///         }
///     }
/// }
///
/// let layer = Dense::new(8).kernel_initializer(Initializer::custom(Sparse { share: 0.1 }));
/// ```
pub trait CustomInitializer: std::fmt::Debug + Send + Sync {
    /// Its name in errors, in snake case.
    fn name(&self) -> &'static str;

    config_by_default!();

    /// Sets all values, which begin at zero, in row-major order. `fans` are the inputs and the outputs that one unit
    /// connects. The same draws come for the same seed and tensor.
    fn fill(&self, values: &mut [f32], fans: [usize; 2], draws: &mut Draws);

    /// Checks the settings, before anything is drawn.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a setting outside its domain.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

equal_by_config!(CustomInitializer);

/// The random numbers of one tensor, the same on every platform.
#[derive(Debug)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// A uniform number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        unit(&mut self.0)
    }

    /// A standard normal number.
    pub fn normal(&mut self) -> f64 {
        Normal::new(&mut self.0).draw()
    }
}

impl Initializer {
    /// An initializer of your own. Its settings stay in memory until the program ends, so that an initializer is a value
    /// to copy.
    #[must_use]
    pub fn custom(initializer: impl CustomInitializer + 'static) -> Self {
        Self::Custom(kept(initializer))
    }

    /// Checks the settings, before anything is drawn.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a setting that is NaN or infinite, for `low >= high`, and for a
    /// negative `stddev`.
    pub fn check(&self) -> Result<()> {
        let finite = |name: &str, value: f32| {
            if value.is_finite() {
                return Ok(());
            }
            Err(Error::parameter(name, value, "an initializer's settings must be finite numbers"))
        };
        match *self {
            Self::Constant(value) => finite("constant", value),
            Self::Orthogonal { gain } => finite("gain", gain),
            Self::Custom(own) => own.check(),
            Self::Uniform { low, high } => {
                finite("low", low)?;
                finite("high", high)?;
                if low >= high {
                    let detail = format!(
                        "must be below high = {high}; for one fixed value use Constant({low})"
                    );
                    return Err(Error::parameter("low", low, detail));
                }
                Ok(())
            }
            Self::Normal { mean, stddev } => {
                finite("mean", mean)?;
                finite("stddev", stddev)?;
                if stddev < 0.0 {
                    return Err(Error::parameter("stddev", stddev, "must be 0 or more"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `len` values in row-major order, the same for the same arguments on every platform. Shorter
    /// fills are prefixes of longer ones, except of `Orthogonal`. Settings that [`check`](Self::check) refuses give values
    /// without meaning, never a panic.
    ///
    /// # Examples
    /// ```
    /// use wgrad::tensor::Initializer;
    /// let kernel = Initializer::HeNormal.fill(784 * 128, 784, 128, 0, 3);
    /// assert_eq!(kernel, Initializer::HeNormal.fill(784 * 128, 784, 128, 0, 3));
    /// ```
    #[must_use]
    pub fn fill(
        &self,
        len: usize,
        fan_in: usize,
        fan_out: usize,
        seed: u64,
        stream: u64,
    ) -> Vec<f32> {
        let rng = &mut generator(*b"weights\0", seed, stream);
        if let Self::Custom(own) = self {
            let mut values = vec![0.0; len];
            own.fill(&mut values, [fan_in, fan_out], &mut Draws(rng.clone()));
            return values;
        }
        let fan_in = (fan_in as f64).max(1.0);
        let fan_mean = ((fan_in + fan_out as f64) / 2.0).max(1.0);
        match *self {
            Self::Zeros | Self::Custom(_) => vec![0.0; len],
            Self::Constant(value) => vec![value; len],
            Self::Uniform { low, high } => uniform(rng, len, low.into(), high.into()),
            Self::Normal { mean, stddev } => {
                let (mean, stddev) = (f64::from(mean), f64::from(stddev));
                let mut normal = Normal::new(rng);
                (0..len).map(|_| (mean + stddev * normal.draw()) as f32).collect()
            }
            Self::GlorotUniform => symmetric(rng, len, (3.0 / fan_mean).sqrt()),
            Self::GlorotNormal => truncated(rng, len, (1.0 / fan_mean).sqrt()),
            Self::HeUniform => symmetric(rng, len, (6.0 / fan_in).sqrt()),
            Self::HeNormal => truncated(rng, len, (2.0 / fan_in).sqrt()),
            Self::LecunNormal => truncated(rng, len, (1.0 / fan_in).sqrt()),
            Self::Orthogonal { gain } => {
                super::orthogonal::fill(&mut Normal::new(rng), len, fan_in as usize, gain.into())
            }
        }
    }
}

/// The generator of one stream: ChaCha8 with `seed` and `domain` as its key and `stream` as its
/// nonce. The domain separates uses, so that stream 3 of one never repeats stream 3 of another.
pub(crate) fn generator(domain: [u8; 8], seed: u64, stream: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&domain);
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(stream);
    rng
}

/// A uniform number in `[0, 1)`, a multiple of 2^-53.
pub(crate) fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

fn symmetric(rng: &mut ChaCha8Rng, len: usize, limit: f64) -> Vec<f32> {
    uniform(rng, len, -limit, limit)
}

fn uniform(rng: &mut ChaCha8Rng, len: usize, low: f64, high: f64) -> Vec<f32> {
    let bound = high as f32;
    let draw = |_| {
        let value = (low + (high - low) * unit(rng)) as f32;
        // Rounding to f32 reaches the upper bound about once in 2^25 draws; the interval is open
        // there.
        if value >= bound { bound.next_down() } else { value }
    };
    (0..len).map(draw).collect()
}

fn truncated(rng: &mut ChaCha8Rng, len: usize, stddev: f64) -> Vec<f32> {
    let scale = stddev / TRUNCATED_STDDEV;
    let mut normal = Normal::new(rng);
    let mut draw = || loop {
        let z = normal.draw();
        if z.abs() <= 2.0 {
            return (scale * z) as f32;
        }
    };
    (0..len).map(|_| draw()).collect()
}

/// Standard normal numbers by Marsaglia's polar method, which makes two at a time.
pub(crate) struct Normal<'a> {
    rng: &'a mut ChaCha8Rng,
    spare: Option<f64>,
}

impl<'a> Normal<'a> {
    pub(crate) fn new(rng: &'a mut ChaCha8Rng) -> Self {
        Self { rng, spare: None }
    }

    pub(crate) fn draw(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let x = 2.0 * unit(self.rng) - 1.0;
            let y = 2.0 * unit(self.rng) - 1.0;
            let s = x * x + y * y;
            if s > 0.0 && s < 1.0 {
                let radius = (-2.0 * ln(s) / s).sqrt();
                self.spare = Some(y * radius);
                return x * radius;
            }
        }
    }
}

/// The natural logarithm of a positive normal number, within a few units in the last place, from
/// exactly specified operations alone: `x = m * 2^e` with `m` in `[sqrt(1/2), sqrt(2))`, and
/// `ln m = 2 artanh((m - 1) / (m + 1))` by its power series. Its 14 terms leave less than 2^-70.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut m = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if m >= std::f64::consts::SQRT_2 {
        m /= 2.0;
        exponent += 1;
    }
    let z = (m - 1.0) / (m + 1.0);
    let series = (0..14).rev().fold(0.0, |sum, k| sum * (z * z) + 1.0 / f64::from(2 * k + 1));
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * z * series
}

#[cfg(test)]
mod tests {
    use super::{Initializer as I, ln};
    use crate::error::Error;

    const N: usize = 100_000;

    /// Mean and standard deviation of `values`, which must be finite.
    fn moments(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        assert!(values.iter().all(|v| v.is_finite()));
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt())
    }

    #[test]
    fn draws_have_the_bounds_and_moments_of_their_formulas() {
        let (fan_in, fan_out) = (300, 100);
        let glorot = (2.0 / 400.0_f64).sqrt();
        let he = (2.0 / 300.0_f64).sqrt();
        let lecun = (1.0 / 300.0_f64).sqrt();
        let uniform_limit = 3.0_f64.sqrt();
        let normal_limit = 2.0 / super::TRUNCATED_STDDEV;
        // Kind, mean, standard deviation, bound of |value - mean| in standard deviations.
        let cases = [
            (I::Uniform { low: -1.0, high: 3.0 }, 1.0, 2.0 / uniform_limit, uniform_limit),
            (I::Normal { mean: 0.5, stddev: 2.0 }, 0.5, 2.0, 6.0),
            (I::GlorotUniform, 0.0, glorot, uniform_limit),
            (I::GlorotNormal, 0.0, glorot, normal_limit),
            (I::HeUniform, 0.0, he, uniform_limit),
            (I::HeNormal, 0.0, he, normal_limit),
            (I::LecunNormal, 0.0, lecun, normal_limit),
        ];
        for (kind, mean, stddev, bound) in cases {
            let values = kind.fill(N, fan_in, fan_out, 7, 1);
            let (m, s) = moments(&values);
            // Five standard errors of the mean; the deviation's own error is smaller than 1 %.
            assert!((m - mean).abs() < 5.0 * stddev / (N as f64).sqrt(), "{kind:?}: mean {m}");
            assert!((s / stddev - 1.0).abs() < 0.01, "{kind:?}: stddev {s}, expected {stddev}");
            let widest = values.iter().map(|&v| (f64::from(v) - mean).abs()).fold(0.0, f64::max);
            assert!(widest <= bound * stddev * (1.0 + 1e-6), "{kind:?}: {widest}");
            let reached = if matches!(kind, I::Normal { .. }) { 0.6 } else { 0.99 };
            assert!(widest > reached * bound * stddev, "{kind:?}: {widest} is too narrow");
        }
        assert_eq!(I::Zeros.fill(3, 1, 1, 0, 0), [0.0; 3]);
        assert_eq!(I::Constant(1.5).fill(2, 1, 1, 0, 0), [1.5; 2]);
    }

    #[test]
    fn normal_draws_have_the_shape_of_the_bell() {
        let values = I::Normal { mean: 0.0, stddev: 1.0 }.fill(N, 1, 1, 3, 0);
        for (bound, expected) in [(0.5, 0.382_925), (1.0, 0.682_689), (2.0, 0.954_500)] {
            let inside = values.iter().filter(|v| v.abs() < bound).count() as f64 / N as f64;
            assert!((inside - expected).abs() < 0.008, "within {bound}: {inside}");
        }
        let pairs = values.chunks_exact(2).map(|p| f64::from(p[0]) * f64::from(p[1])).sum::<f64>();
        assert!((pairs / (N as f64 / 2.0)).abs() < 0.025, "the two numbers of a pair correlate");
    }

    #[test]
    fn streams_and_seeds_are_independent_and_repeatable() {
        for kind in [I::GlorotUniform, I::HeNormal] {
            let values = kind.fill(1000, 10, 10, 5, 2);
            assert_eq!(values, kind.fill(1000, 10, 10, 5, 2));
            assert_eq!(values[..100], kind.fill(100, 10, 10, 5, 2));
            for other in [kind.fill(1000, 10, 10, 5, 3), kind.fill(1000, 10, 10, 6, 2)] {
                assert!(values.iter().zip(&other).filter(|(a, b)| a == b).count() < 5);
            }
        }
    }

    #[test]
    fn a_uniform_draw_stays_below_its_upper_bound() {
        // Four neighbouring floats: a third of all roundings land on an end of the interval.
        let (low, high) = (1.0_f32, 1.0 + 3.0 * f32::EPSILON);
        let values = I::Uniform { low, high }.fill(1000, 1, 1, 0, 0);
        assert!(values.iter().all(|v| (low..high).contains(v)));
        let wide = I::Uniform { low: f32::MIN, high: f32::MAX }.fill(1000, 1, 1, 0, 0);
        assert!(wide.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn the_logarithm_agrees_with_the_system() {
        let mut x = 1e-32_f64;
        while x < 1e3 {
            assert!((ln(x) - x.ln()).abs() <= 4e-16 * x.ln().abs().max(1.0), "ln {x}");
            x *= 1.000_37;
        }
        assert_eq!(ln(1.0).to_bits(), 0);
    }

    #[test]
    fn the_bits_are_pinned() {
        let bits = |kind: I| -> Vec<u32> {
            kind.fill(4, 784, 128, 42, 1).into_iter().map(f32::to_bits).collect()
        };
        assert_eq!(bits(I::GlorotUniform), [0xb94f_379c, 0x3d7c_0cdd, 0x3be6_1922, 0xbced_0290]);
        assert_eq!(bits(I::HeNormal), [0xb94b_3b4a, 0x3d77_33cb, 0x3cde_2396, 0xbde4_cfd0]);
    }

    #[test]
    fn unusable_settings_are_refused_by_name() {
        let refused = [
            (I::Constant(f32::NAN), "constant"),
            (I::Uniform { low: f32::NEG_INFINITY, high: 0.0 }, "low"),
            (I::Uniform { low: 0.0, high: f32::INFINITY }, "high"),
            (I::Uniform { low: 1.0, high: 1.0 }, "low"),
            (I::Uniform { low: 2.0, high: 1.0 }, "low"),
            (I::Normal { mean: f32::NAN, stddev: 1.0 }, "mean"),
            (I::Normal { mean: 0.0, stddev: -1.0 }, "stddev"),
            (I::Normal { mean: 0.0, stddev: f32::NAN }, "stddev"),
        ];
        for (kind, setting) in refused {
            let Err(Error::Parameter { name, .. }) = kind.check() else {
                panic!("{kind:?} was accepted");
            };
            assert_eq!(name, setting, "{kind:?}");
            assert_eq!(kind.fill(3, 0, 0, 0, 0).len(), 3);
        }
        for kind in [I::default(), I::Zeros, I::Normal { mean: 0.0, stddev: 0.0 }] {
            assert!(kind.check().is_ok());
            assert!(kind.fill(100, 0, 0, 0, 0).iter().all(|v| v.abs() < 4.0));
        }
    }
}
