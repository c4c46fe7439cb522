//! Made data sets: the distributions are scikit-learn's.

mod classification;
mod plane;
mod regression;

use super::{close, numbers, says, sklearn};
use std::collections::BTreeMap;
use wgrad::data::{
    Blobs, Centers, Circles, Classification, Moons, Regression, TensorDataset, make_blobs,
    make_circles, make_classification, make_moons, make_regression,
};
use wgrad::tensor::Tensor;

const SEEDS: u64 = 100;

/// A table `[rows, width]` in f64.
struct Table {
    values: Vec<f64>,
    width: usize,
}

impl Table {
    fn of(tensor: &Tensor) -> Self {
        let values = tensor.as_f32().unwrap().iter().map(|&v| v.into()).collect();
        Self { values, width: tensor.shape().dims()[1] }
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks(self.width)
    }

    fn column(&self, column: usize) -> Vec<f64> {
        self.rows().map(|row| row[column]).collect()
    }

    /// The mean of the variances of these columns.
    fn var(&self, columns: std::ops::Range<usize>) -> f64 {
        mean(&columns.map(|c| var(&self.column(c))).collect::<Vec<_>>())
    }

    fn of_class(&self, labels: &[u32], class: u32) -> Self {
        let rows = self.rows().zip(labels).filter(|(_, l)| **l == class);
        Self { values: rows.flat_map(|(row, _)| row).copied().collect(), width: self.width }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn var(values: &[f64]) -> f64 {
    let center = mean(values);
    values.iter().map(|v| (v - center).powi(2)).sum::<f64>() / values.len() as f64
}

fn share(labels: &[u32], class: u32) -> f64 {
    labels.iter().filter(|&&l| l == class).count() as f64 / labels.len() as f64
}

/// The share of the samples that are nearest to their own class's mean.
fn nearest_centroid(x: &Table, labels: &[u32]) -> f64 {
    let classes = labels.iter().max().unwrap() + 1;
    let centers: Vec<Vec<f64>> = (0..classes)
        .map(|class| x.of_class(labels, class))
        .map(|rows| (0..x.width).map(|c| mean(&rows.column(c))).collect())
        .collect();
    let hit = |(row, &label): (&[f64], &u32)| {
        let distance = |center: &Vec<f64>| -> f64 {
            row.iter().zip(center).map(|(a, b)| (a - b).powi(2)).sum()
        };
        let nearest = (0..centers.len())
            .min_by(|&a, &b| distance(&centers[a]).total_cmp(&distance(&centers[b])));
        f64::from(u8::from(nearest == Some(label as usize)))
    };
    mean(&x.rows().zip(labels).map(hit).collect::<Vec<_>>())
}

/// Compares means over the seeds with scikit-learn's, whose standard deviation over seeds tells how far apart two means
/// of 100 may be.
#[track_caller]
fn agree(maker: &str, describe: impl Fn(u64) -> Vec<(&'static str, f64)>) {
    let theirs = &sklearn("makers")[maker];
    let mut ours: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, value) in (0..SEEDS).flat_map(describe) {
        ours.entry(name).or_default().push(value);
    }
    assert_eq!(ours.len(), theirs.as_object().unwrap().len());
    for (name, values) in ours {
        let [center, deviation] = numbers(&theirs[name])[..] else { panic!("{name}") };
        let tolerance = 4.0 * deviation * (2.0 / SEEDS as f64).sqrt() + 1e-6;
        let found = mean(&values);
        assert!(
            (found - center).abs() < tolerance,
            "{maker} {name}: {found}, scikit-learn has {center} +- {tolerance}"
        );
    }
}

fn parts(data: &TensorDataset) -> (Table, Vec<u32>) {
    (Table::of(data.x()), data.y().as_u32().unwrap().to_vec())
}

#[test]
fn the_seed_decides() {
    fn check(make: impl Fn(u64) -> TensorDataset) {
        assert_eq!(make(3), make(3));
        assert_ne!(make(3).x(), make(4).x());
    }
    check(|seed| make_classification(&Classification { seed, ..Default::default() }).unwrap());
    check(|seed| make_regression(&Regression { seed, ..Default::default() }).unwrap().0);
    check(|seed| make_blobs(&Blobs { seed, ..Default::default() }).unwrap());
    check(|seed| make_moons(&Moons { seed, ..Default::default() }).unwrap());
    check(|seed| make_circles(&Circles { seed, ..Default::default() }).unwrap());
}

#[test]
fn options_outside_their_domain_are_refused() {
    let base = Classification::default;
    let cases = [
        (Classification { n_samples: 0, ..base() }, "n_samples = 0"),
        (
            Classification { n_samples: 3, ..base() },
            "n_samples = 3: must be at least the number of",
        ),
        (Classification { n_features: 3, ..base() }, "n_features = 3: n_informative + n_redundant"),
        (Classification { n_repeated: usize::MAX, ..base() }, "n_features = 20"),
        (Classification { n_informative: 1, ..base() }, "n_informative = 1: 2 classes of 2"),
        (Classification { n_informative: 0, ..base() }, "n_informative = 0"),
        (Classification { n_classes: usize::MAX, ..base() }, "n_informative = 2"),
        (Classification { n_classes: 0, ..base() }, "n_classes = 0"),
        (Classification { n_clusters_per_class: 0, ..base() }, "n_clusters_per_class = 0"),
        (Classification { flip_y: 1.1, ..base() }, "flip_y = 1.1"),
        (Classification { flip_y: f64::NAN, ..base() }, "flip_y = NaN"),
        (Classification { class_sep: f64::NAN, ..base() }, "class_sep = NaN"),
        (Classification { scale: f64::INFINITY, ..base() }, "scale = inf"),
        (Classification { weights: vec![1.0], ..base() }, "weights = [1.0]: needs n_classes = 2"),
        (Classification { weights: vec![0.6, 0.6], ..base() }, "add up to 1"),
        (Classification { weights: vec![-0.5, 1.5], ..base() }, "weights = [-0.5, 1.5]"),
        (Classification { n_features: usize::MAX, ..base() }, "n_samples x n_features"),
    ];
    for (options, words) in cases {
        says(make_classification(&options), &[words]);
    }
    let base = Regression::default();
    says(make_regression(&Regression { n_samples: 0, ..base }), &["n_samples = 0"]);
    says(make_regression(&Regression { n_features: 0, ..base }), &["n_features = 0"]);
    says(make_regression(&Regression { n_targets: 0, ..base }), &["n_targets = 0"]);
    says(make_regression(&Regression { n_targets: usize::MAX, ..base }), &["at most 2^32 - 1"]);
    says(make_regression(&Regression { noise: -1.0, ..base }), &["noise = -1"]);
    says(make_regression(&Regression { bias: f64::NAN, ..base }), &["bias = NaN"]);
    let base = Blobs::default;
    let cases = [
        (Blobs { n_samples: 0, ..base() }, "n_samples = 0"),
        (Blobs { n_features: 0, ..base() }, "n_features = 0"),
        (Blobs { centers: Centers::Random(0), ..base() }, "centers = 0"),
        (Blobs { centers: Centers::At(vec![]), ..base() }, "centers = 0"),
        (
            Blobs { centers: Centers::At(vec![vec![1.0]]), ..base() },
            "center 0 needs n_features = 2",
        ),
        (Blobs { centers: Centers::At(vec![vec![1.0, f64::NAN]]), ..base() }, "centers = NaN"),
        (Blobs { cluster_std: vec![1.0, 2.0], ..base() }, "cluster_std = [1.0, 2.0]: needs one"),
        (Blobs { cluster_std: vec![-1.0], ..base() }, "cluster_std = -1"),
        (Blobs { center_box: (1.0, 0.0), ..base() }, "center_box = 1"),
        (Blobs { center_box: (f64::NAN, 0.0), ..base() }, "center_box = NaN"),
    ];
    for (options, words) in cases {
        says(make_blobs(&options), &[words]);
    }
    says(make_moons(&Moons { n_samples: 1, ..Default::default() }), &["n_samples = 1"]);
    says(make_moons(&Moons { noise: f64::NAN, ..Default::default() }), &["noise = NaN"]);
    says(make_circles(&Circles { n_samples: 0, ..Default::default() }), &["n_samples = 0"]);
    for factor in [1.0, -0.1, f64::NAN] {
        says(make_circles(&Circles { factor, ..Default::default() }), &["factor = "]);
    }
}
