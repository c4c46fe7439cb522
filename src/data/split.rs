//! Training rows apart from test rows.

use std::collections::BTreeMap;

use super::TensorDataset;
use super::shuffle::shuffled;
use crate::error::{Error, Result};
use crate::tensor::init::generator;

/// How [`train_test_split`] divides, in scikit-learn's words.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// The share of the rows that goes to the test side, between 0 and 1; the number of rows is
    /// rounded up.
    pub test_size: f64,
    /// Whether rows are drawn at random. If not, the last rows are the test side.
    pub shuffle: bool,
    /// Whether each class has the same share of both sides, as nearly as whole rows allow and with
    /// at least one row on each side. Targets must be u32 labels.
    pub stratify: bool,
    /// The seed of the random order.
    pub seed: u64,
}

impl Default for Split {
    /// A quarter of the rows, shuffled, not stratified, seed 0.
    fn default() -> Self {
        Self { test_size: 0.25, shuffle: true, stratify: false, seed: 0 }
    }
}

/// The training rows and the test rows of `data`: every row is on one side, both sides are
/// shuffled (unless [`Split::shuffle`] is off), and the same arguments give the same sides on every
/// platform.
///
/// # Errors
/// [`Error::Parameter`] if a side would be empty; for a `test_size` outside `(0, 1)`; for `stratify` without `shuffle`;
/// and if a side has fewer rows than there are classes. [`Error::Data`] naming a class with a single row, which cannot
/// be on both sides. [`Error::DType`] for `stratify` without class labels.
///
/// # Examples
/// ```
/// use wgrad::data::{Split, TensorDataset, train_test_split};
/// use wgrad::tensor::Tensor;
///
/// let x = Tensor::f32([10, 1], (0..10).map(|i| i as f32).collect::<Vec<_>>())?;
/// let data = TensorDataset::new(x, Tensor::u32([10], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])?)?;
/// let split = Split { test_size: 0.2, stratify: true, seed: 42, ..Split::default() };
/// let (train, test) = train_test_split(&data, &split)?;
/// assert_eq!((train.len(), test.len()), (8, 2));
/// assert_ne!(test.y().as_u32()?[0], test.y().as_u32()?[1]);
/// # Ok::<(), wgrad::Error>(())
/// ```
pub fn train_test_split(
    data: &TensorDataset,
    split: &Split,
) -> Result<(TensorDataset, TensorDataset)> {
    let size = split.test_size;
    if !(size > 0.0 && size < 1.0) {
        return Err(Error::parameter("test_size", size, "a share of the rows, between 0 and 1"));
    }
    let n = data.len();
    let n_test = (size * n as f64).ceil() as usize;
    if n_test >= n {
        let detail = format!(
            "of {n} rows, {n_test} go to the test side and none is left to train on; use a \
             smaller share or more rows"
        );
        return Err(Error::parameter("test_size", size, detail));
    }
    if !split.shuffle {
        if split.stratify {
            let detail = "rows are drawn from each class, so stratify needs shuffle = true";
            return Err(Error::parameter("stratify", true, detail));
        }
        return data.split_at(n - n_test);
    }
    let order = shuffled(n, &mut generator(*b"split\0\0\0", split.seed, 0))?;
    if !split.stratify {
        let (test, train) = order.split_at(n_test);
        return Ok((data.select(train)?, data.select(test)?));
    }
    let labels = data.y().as_u32().map_err(|_| {
        let detail = "stratify goes by u32 class labels; the targets hold none";
        Error::dtype("train_test_split", &[data.y().dtype()], detail)
    })?;
    let mut quota = quotas(labels, n_test)?;
    let (test, train): (Vec<u32>, Vec<u32>) = order.iter().partition(|&&row| {
        let left = quota.get_mut(&labels[row as usize]);
        left.is_some_and(|left| {
            let take = *left > 0;
            *left -= usize::from(take);
            take
        })
    });
    Ok((data.select(&train)?, data.select(&test)?))
}

/// How many test rows each class gives, `n_test` in all: each share rounded to whole rows with at least one on each
/// side, then corrected by single rows in the classes with the largest rounding error.
fn quotas(labels: &[u32], n_test: usize) -> Result<BTreeMap<u32, usize>> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for &label in labels {
        *counts.entry(label).or_default() += 1;
    }
    if let Some((class, _)) = counts.iter().find(|(_, count)| **count < 2) {
        let detail = format!(
            "class {class} has 1 row; to stratify, each class needs at least 2, one for each side"
        );
        return Err(Error::data("y", detail));
    }
    let (n, classes) = (labels.len(), counts.len());
    for (side, rows) in [("test", n_test), ("training", n - n_test)] {
        if rows < classes {
            let detail = format!(
                "the {side} side has {rows} of {n} rows, too few for one of each of the {classes} \
                 classes"
            );
            return Err(Error::parameter("test_size", n_test as f64 / n as f64, detail));
        }
    }
    let share = |count: usize| count as f64 * n_test as f64 / n as f64;
    let mut quota: BTreeMap<u32, usize> = counts
        .iter()
        .map(|(&class, &count)| (class, (share(count).round() as usize).clamp(1, count - 1)))
        .collect();
    let mut total: usize = quota.values().sum();
    while total != n_test {
        let more = total < n_test;
        // How far a class falls short of its share, for those that can give or take a row back.
        let furthest = quota
            .iter_mut()
            .filter(|(class, taken)| if more { **taken + 1 < counts[class] } else { **taken > 1 })
            .map(|(class, taken)| {
                let short = share(counts[class]) - *taken as f64;
                (if more { short } else { -short }, taken)
            })
            .max_by(|a, b| a.0.total_cmp(&b.0));
        // Each side has a row of each class, so there is always a class that can move.
        let Some((_, taken)) = furthest else { break };
        *taken = if more { *taken + 1 } else { *taken - 1 };
        total = if more { total + 1 } else { total - 1 };
    }
    Ok(quota)
}
