//! Round Gaussian clouds.

use super::{at_least_one, finite, fits, labelled, normal, not_negative, uniform};
use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::tensor::init::generator;

/// The places of the clouds of [`make_blobs`].
#[derive(Debug, Clone, PartialEq)]
pub enum Centers {
    /// This many, drawn uniformly from [`Blobs::center_box`].
    Random(usize),
    /// At these points, each of [`Blobs::n_features`] numbers.
    At(Vec<Vec<f64>>),
}

/// The options of [`make_blobs`].
#[derive(Debug, Clone, PartialEq)]
pub struct Blobs {
    /// Samples in all, divided equally; if that leaves a rest, the first clouds get one more.
    pub n_samples: usize,
    /// Numbers of each sample.
    pub n_features: usize,
    /// The clouds, one class each.
    pub centers: Centers,
    /// The standard deviation of the clouds in each direction: one for all, or one for each.
    pub cluster_std: Vec<f64>,
    /// The bounds of each number of a random center.
    pub center_box: (f64, f64),
    /// Whether samples are shuffled, rather than cloud by cloud.
    pub shuffle: bool,
    /// The seed of everything random.
    pub seed: u64,
}

impl Default for Blobs {
    /// 100 samples of 2 features around 3 random centers, standard deviation 1.
    fn default() -> Self {
        Self {
            n_samples: 100,
            n_features: 2,
            centers: Centers::Random(3),
            cluster_std: vec![1.0],
            center_box: (-10.0, 10.0),
            shuffle: true,
            seed: 0,
        }
    }
}

/// Gaussian clouds, the same in every direction: features `[n_samples, n_features]`, and as label
/// the number of the cloud.
///
/// # Errors
/// [`Error::Parameter`] naming an option outside its domain.
///
/// # Examples
/// ```
/// use wgrad::data::{Blobs, Centers, make_blobs};
///
/// let centers = Centers::At(vec![vec![-2.0, 0.0], vec![2.0, 0.0]]);
/// let data = make_blobs(&Blobs { centers, cluster_std: vec![0.5, 1.0], ..Blobs::default() })?;
/// assert_eq!(data.len(), 100);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn make_blobs(options: &Blobs) -> Result<TensorDataset> {
    let Blobs { n_samples, n_features, .. } = *options;
    at_least_one("n_samples", n_samples)?;
    at_least_one("n_features", n_features)?;
    fits(n_samples, n_features)?;
    let rng = &mut generator(*b"blobs\0\0\0", options.seed, 0);
    let centers = match &options.centers {
        Centers::Random(count) => {
            at_least_one("centers", *count)?;
            fits(*count, n_features)?;
            let (low, high) = options.center_box;
            finite("center_box", low)?;
            finite("center_box", high)?;
            if low > high {
                let detail = format!("must not be above the upper bound {high}");
                return Err(Error::parameter("center_box", low, detail));
            }
            uniform(rng, count * n_features, low, high)
        }
        Centers::At(points) => {
            at_least_one("centers", points.len())?;
            for (i, point) in points.iter().enumerate() {
                if point.len() != n_features {
                    let detail = format!("center {i} needs n_features = {n_features} numbers");
                    return Err(Error::parameter("centers", format!("{point:?}"), detail));
                }
                point.iter().try_for_each(|&value| finite("centers", value))?;
            }
            points.concat()
        }
    };
    let clouds = centers.len() / n_features;
    let spread = &options.cluster_std;
    if spread.len() != 1 && spread.len() != clouds {
        let detail = format!("needs one number for all clouds, or one for each of the {clouds}");
        return Err(Error::parameter("cluster_std", format!("{spread:?}"), detail));
    }
    spread.iter().try_for_each(|&value| not_negative("cluster_std", value))?;
    let mut labels = Vec::with_capacity(n_samples);
    for cloud in 0..clouds {
        let count = n_samples / clouds + usize::from(cloud < n_samples % clouds);
        labels.resize(labels.len() + count, cloud as u32);
    }
    let mut x = normal(rng, n_samples * n_features);
    for (row, &label) in x.chunks_exact_mut(n_features).zip(&labels) {
        let cloud = label as usize;
        let spread = spread[cloud % spread.len()];
        for (value, center) in row.iter_mut().zip(&centers[cloud * n_features..]) {
            *value = center + spread * *value;
        }
    }
    labelled(&x, n_features, &labels, options.shuffle.then_some(rng))
}
