//! A random linear model with noise.

use super::{arrange, at_least_one, finite, fits, normal, not_negative, product, uniform};
use crate::data::TensorDataset;
use crate::data::shuffle::shuffled;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::tensor::init::generator;

/// The options of [`make_regression`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regression {
    /// Samples.
    pub n_samples: usize,
    /// Numbers of each sample.
    pub n_features: usize,
    /// How many of the features the targets depend on; all, if there are fewer features.
    pub n_informative: usize,
    /// Numbers of each target.
    pub n_targets: usize,
    /// What is added to every target.
    pub bias: f64,
    /// The standard deviation of the Gaussian noise on the targets.
    pub noise: f64,
    /// Whether samples and features are shuffled. If not, the informative features come first.
    pub shuffle: bool,
    /// The seed of everything random.
    pub seed: u64,
}

impl Default for Regression {
    /// 100 samples of 100 features, of which 10 are informative; one target, without noise or bias.
    fn default() -> Self {
        Self {
            n_samples: 100,
            n_features: 100,
            n_informative: 10,
            n_targets: 1,
            bias: 0.0,
            noise: 0.0,
            shuffle: true,
            seed: 0,
        }
    }
}

/// A random regression problem, and the coefficients behind it: `y = x coef + bias + noise`, with
/// standard normal features `x` `[n_samples, n_features]`, and coefficients that are uniform in
/// `[0, 100)` for the informative features and 0 for the others. With one target, `y` is
/// `[n_samples]` and the coefficients are `[n_features]`; with more, `[n_samples, n_targets]` and
/// `[n_features, n_targets]`.
///
/// # Errors
/// [`Error::Parameter`](crate::Error::Parameter) naming an option outside its domain.
///
/// # Examples
/// ```
/// use wgrad::data::{Regression, make_regression};
///
/// let options = Regression { n_samples: 10, n_features: 2, bias: 1.5, ..Regression::default() };
/// let (data, coef) = make_regression(&options)?;
/// let (x, y, coef) = (data.x().as_f32()?, data.y().as_f32()?, coef.as_f32()?);
/// assert!((x[0] * coef[0] + x[1] * coef[1] + 1.5 - y[0]).abs() < 1e-3);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn make_regression(options: &Regression) -> Result<(TensorDataset, Tensor)> {
    let Regression { n_samples, n_features, n_targets, .. } = *options;
    for (name, value) in
        [("n_samples", n_samples), ("n_features", n_features), ("n_targets", n_targets)]
    {
        at_least_one(name, value)?;
    }
    fits(n_samples, n_features)?;
    fits(n_samples.max(n_features), n_targets)?;
    finite("bias", options.bias)?;
    not_negative("noise", options.noise)?;
    let rng = &mut generator(*b"regress\0", options.seed, 0);
    let x = normal(rng, n_samples * n_features);
    let informative = options.n_informative.min(n_features);
    let mut coef = uniform(rng, informative * n_targets, 0.0, 100.0);
    coef.resize(n_features * n_targets, 0.0);
    let mut y = product(&x, &coef, n_features, n_targets);
    for (y, error) in y.iter_mut().zip(normal(rng, n_samples * n_targets)) {
        *y += options.bias + options.noise * error;
    }
    let (x, y, coef) = if options.shuffle {
        let rows = shuffled(n_samples, rng)?;
        let columns = shuffled(n_features, rng)?;
        let x: Vec<f64> =
            x.chunks_exact(n_features).flat_map(|row| arrange(row, 1, Some(&columns))).collect();
        let x = arrange(&x, n_features, Some(&rows));
        (x, arrange(&y, n_targets, Some(&rows)), arrange(&coef, n_targets, Some(&columns)))
    } else {
        (x, y, coef)
    };
    let tensor = |dims: [usize; 2], values: Vec<f64>| {
        let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
        if n_targets == 1 { Tensor::f32([dims[0]], values) } else { Tensor::f32(dims, values) }
    };
    let x: Vec<f32> = x.into_iter().map(|v| v as f32).collect();
    let x = Tensor::f32([n_samples, n_features], x)?;
    let data = TensorDataset::new(x, tensor([n_samples, n_targets], y)?)?;
    Ok((data, tensor([n_features, n_targets], coef)?))
}
