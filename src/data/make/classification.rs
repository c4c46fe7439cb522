//! Gaussian clusters at the corners of a hypercube.

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;

use super::{arrange, at_least_one, finite, fits, labelled, normal, product, uniform};
use crate::data::TensorDataset;
use crate::data::shuffle::{below, shuffled};
use crate::error::{Error, Result};
use crate::tensor::init::{generator, unit};
use rand::Rng;

/// The options of [`make_classification`].
#[derive(Debug, Clone, PartialEq)]
pub struct Classification {
    /// Samples in all.
    pub n_samples: usize,
    /// Numbers of each sample: informative, redundant, repeated, and random for the rest.
    pub n_features: usize,
    /// Features that tell the classes apart.
    pub n_informative: usize,
    /// Features that are random linear combinations of the informative ones.
    pub n_redundant: usize,
    /// Features that are copies of informative or redundant ones.
    pub n_repeated: usize,
    /// Classes.
    pub n_classes: usize,
    /// Clusters of each class.
    pub n_clusters_per_class: usize,
    /// The share of the samples that each class gets, `n_classes` numbers that add up to 1; empty
    /// for equal shares.
    pub weights: Vec<f64>,
    /// The share of the samples whose label is drawn anew, from all classes alike.
    pub flip_y: f64,
    /// Half the edge of the hypercube: larger values put the clusters farther apart.
    pub class_sep: f64,
    /// What is added to every feature.
    pub shift: f64,
    /// What every feature is multiplied by, after the shift.
    pub scale: f64,
    /// Whether samples and features are shuffled. If not, features are in the order above and samples are ordered by
    /// cluster.
    pub shuffle: bool,
    /// The seed of everything random.
    pub seed: u64,
}

impl Default for Classification {
    /// 100 samples of 20 features (2 informative, 2 redundant), 2 classes of 2 clusters each, 1 %
    /// of the labels drawn anew.
    fn default() -> Self {
        Self {
            n_samples: 100,
            n_features: 20,
            n_informative: 2,
            n_redundant: 2,
            n_repeated: 0,
            n_classes: 2,
            n_clusters_per_class: 2,
            weights: vec![],
            flip_y: 0.01,
            class_sep: 1.0,
            shift: 0.0,
            scale: 1.0,
            shuffle: true,
            seed: 0,
        }
    }
}

/// A random classification problem (Guyon, "Design of experiments of the NIPS 2003 variable
/// selection benchmark", 2003): features `[n_samples, n_features]` with labels below `n_classes`.
///
/// Each cluster is around a different corner of a hypercube of edge `2 * class_sep` in the space of the informative
/// features: standard normal numbers, correlated by a random matrix with entries in `[-1, 1)`.
///
/// # Errors
/// [`Error::Parameter`] naming an option outside its domain: more kinds of features than features, fewer corners or
/// samples than clusters, weights that are not shares.
pub fn make_classification(options: &Classification) -> Result<TensorDataset> {
    check(options)?;
    let Classification { n_samples, n_features, n_informative, .. } = *options;
    let rng = &mut generator(*b"classify", options.seed, 0);
    let clusters = options.n_classes * options.n_clusters_per_class;
    let sizes = cluster_sizes(options);

    let mut informative = Vec::with_capacity(n_samples * n_informative);
    let mut labels = Vec::with_capacity(n_samples);
    for (cluster, corner) in corners(rng, clusters, n_informative).into_iter().enumerate() {
        let points = normal(rng, sizes[cluster] * n_informative);
        let mixing = uniform(rng, n_informative * n_informative, -1.0, 1.0);
        let mut points = product(&points, &mixing, n_informative, n_informative);
        for point in points.chunks_exact_mut(n_informative) {
            for (value, &up) in point.iter_mut().zip(&corner) {
                *value += if up { options.class_sep } else { -options.class_sep };
            }
        }
        informative.extend(points);
        labels.resize(labels.len() + sizes[cluster], (cluster % options.n_classes) as u32);
    }

    let mixing = uniform(rng, n_informative * options.n_redundant, -1.0, 1.0);
    let redundant = product(&informative, &mixing, n_informative, options.n_redundant);
    let useful = n_informative + options.n_redundant;
    let copied: Vec<usize> =
        (0..options.n_repeated).map(|_| (unit(rng) * useful as f64) as usize).collect();
    let random = n_features - useful - options.n_repeated;
    let noise = normal(rng, n_samples * random);
    let columns = if options.shuffle { Some(shuffled(n_features, rng)?) } else { None };

    let mut x = Vec::with_capacity(n_samples * n_features);
    for row in 0..n_samples {
        let part = |values: &[f64], width: usize| values[row * width..][..width].to_vec();
        let mut sample = part(&informative, n_informative);
        sample.extend(part(&redundant, options.n_redundant));
        sample.extend(copied.iter().map(|&column| sample[column]).collect::<Vec<_>>());
        sample.extend(part(&noise, random));
        sample.iter_mut().for_each(|v| *v = (*v + options.shift) * options.scale);
        x.extend(arrange(&sample, 1, columns.as_deref()));
    }
    for label in &mut labels {
        if unit(rng) < options.flip_y {
            *label = below(options.n_classes as u32, || rng.next_u32());
        }
    }
    labelled(&x, n_features, &labels, options.shuffle.then_some(rng))
}

fn check(options: &Classification) -> Result<()> {
    for (name, value) in [
        ("n_samples", options.n_samples),
        ("n_informative", options.n_informative),
        ("n_classes", options.n_classes),
        ("n_clusters_per_class", options.n_clusters_per_class),
    ] {
        at_least_one(name, value)?;
    }
    fits(options.n_samples, options.n_features)?;
    let kinds = [options.n_informative, options.n_redundant, options.n_repeated];
    let sum = kinds.iter().fold(0, |sum: usize, &kind| sum.saturating_add(kind));
    if sum > options.n_features {
        let detail = format!(
            "n_informative + n_redundant + n_repeated = {sum}; there must be at least as many \
             features"
        );
        return Err(Error::parameter("n_features", options.n_features, detail));
    }
    fits(options.n_informative, options.n_informative.max(options.n_redundant))?;
    let clusters = options.n_classes.saturating_mul(options.n_clusters_per_class);
    let corners = 1_usize.checked_shl(options.n_informative.min(64) as u32);
    if corners.is_some_and(|corners| clusters > corners) {
        let detail = format!(
            "{} classes of {} clusters need as many corners; n informative features have 2^n",
            options.n_classes, options.n_clusters_per_class
        );
        return Err(Error::parameter("n_informative", options.n_informative, detail));
    }
    if clusters > options.n_samples {
        let detail = format!("must be at least the number of clusters, {clusters}");
        return Err(Error::parameter("n_samples", options.n_samples, detail));
    }
    if !(0.0..=1.0).contains(&options.flip_y) {
        return Err(Error::parameter("flip_y", options.flip_y, "a share of the samples, 0 to 1"));
    }
    for (name, value) in
        [("class_sep", options.class_sep), ("shift", options.shift), ("scale", options.scale)]
    {
        finite(name, value)?;
    }
    let weights = &options.weights;
    if !weights.is_empty() {
        let shares = weights.iter().all(|w| (0.0..=1.0).contains(w));
        let sum: f64 = weights.iter().sum();
        if weights.len() != options.n_classes || !shares || (sum - 1.0).abs() > 1e-6 {
            let detail = format!("needs n_classes = {} shares that add up to 1", options.n_classes);
            return Err(Error::parameter("weights", format!("{weights:?}"), detail));
        }
    }
    Ok(())
}

/// How many samples each cluster has; cluster `k` belongs to class `k % n_classes`. The first clusters get what
/// rounding down leaves over, one each in turn.
fn cluster_sizes(options: &Classification) -> Vec<usize> {
    let classes = options.n_classes;
    let clusters = classes * options.n_clusters_per_class;
    let sum: f64 = options.weights.iter().sum();
    let share = |class| options.weights.get(class).map_or(1.0 / classes as f64, |w| w / sum);
    let of_cluster = |cluster: usize| {
        let samples = options.n_samples as f64 * share(cluster % classes);
        (samples / options.n_clusters_per_class as f64) as usize
    };
    let mut sizes: Vec<usize> = (0..clusters).map(of_cluster).collect();
    let left = options.n_samples.saturating_sub(sizes.iter().sum());
    for cluster in (0..clusters).cycle().take(left) {
        sizes[cluster] += 1;
    }
    sizes
}

/// `count` different corners of a hypercube that has at least as many: for each axis, whether the corner is on the
/// upper side.
fn corners(rng: &mut ChaCha8Rng, count: usize, axes: usize) -> Vec<Vec<bool>> {
    let mut taken = BTreeSet::new();
    let mut corners = Vec::with_capacity(count);
    while corners.len() < count {
        let corner: Vec<bool> = (0..axes).map(|_| rng.next_u32() >> 31 == 1).collect();
        if taken.insert(corner.clone()) {
            corners.push(corner);
        }
    }
    corners
}
