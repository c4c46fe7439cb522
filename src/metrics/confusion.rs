//! The confusion matrix, and the scores of classes that follow from it.

use crate::error::{Error, Result};

/// How the numbers of the classes become one, as scikit-learn's `average`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClassAverage {
    /// That of class 1, of two classes.
    Binary,
    /// The mean over all classes, also those that do not occur.
    Macro,
    /// That of all samples counted together: the accuracy, as each sample has one class.
    Micro,
    /// The mean over classes, each weighing as many as it has targets.
    Weighted,
}

impl ClassAverage {
    /// What follows a metric's name in logs.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Binary => "",
            Self::Macro => "_macro",
            Self::Micro => "_micro",
            Self::Weighted => "_weighted",
        }
    }
}

/// A number of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Score {
    Precision,
    Recall,
    F1,
    IoU,
}

/// Counts of a class: samples that have it and were found, samples taken for it, samples that have it.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    right: u64,
    predicted: u64,
    actual: u64,
}

impl Tried {
    /// Samples that have the class or were taken for it.
    const fn union(&self) -> u64 {
        self.predicted + self.actual - self.right
    }
}

impl Score {
    /// The class's number, or 0 if it is 0/0.
    fn of(self, tried: &Tried) -> f64 {
        let (over, under) = match self {
            Self::Precision => (tried.right, tried.predicted),
            Self::Recall => (tried.right, tried.actual),
            Self::F1 => (2 * tried.right, tried.predicted + tried.actual),
            Self::IoU => (tried.right, tried.union()),
        };
        if under == 0 { 0.0 } else { over as f64 / under as f64 }
    }
}

/// How often samples of each class (rows) were taken for each class (columns).
///
/// If a class is never predicted, or has no samples, its scores are 0, as with scikit-learn's `zero_division=0`. Scores
/// of a matrix without samples are NaN. A sample whose predictions have a NaN has no predicted class and is in no
/// column; it counts as missed. With the feature `plot`, `plot::ConfusionMatrix::new("test set", &names, &matrix)`
/// draws the columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
    /// Samples of each class without a predicted class.
    unclassified: Vec<u64>,
}

/// The cells, row by row.
impl AsRef<[u64]> for ConfusionMatrix {
    fn as_ref(&self) -> &[u64] {
        &self.counts
    }
}

impl ConfusionMatrix {
    /// Built from how often each cell occurred, row by row, then each class without a prediction; all zero for an empty
    /// state.
    pub(super) fn from_state(classes: usize, state: &[f64]) -> Self {
        let cells = classes * (classes + 1);
        // Whatever a file says, the sum of all cells does not overflow.
        let most = u64::MAX / (cells as u64).max(1);
        let mut counts: Vec<u64> = state.iter().map(|&count| (count as u64).min(most)).collect();
        counts.resize(cells, 0);
        let unclassified = counts.split_off(classes * classes);
        Self { classes, counts, unclassified }
    }

    /// How many classes there are.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// How often samples of class `actual` were taken for class `predicted`; `None` for no such class.
    #[must_use]
    pub fn get(&self, actual: usize, predicted: usize) -> Option<u64> {
        self.rows().nth(actual)?.get(predicted).copied()
    }

    /// The row of each class: how often its samples were taken for each.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, u64> {
        self.counts.chunks_exact(self.classes)
    }

    /// For each class, how many of its samples have no predicted class, as their predictions have a NaN.
    #[must_use]
    pub fn unclassified(&self) -> &[u64] {
        &self.unclassified
    }

    /// How many samples there are, those without a predicted class among them.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.counts.iter().chain(&self.unclassified).sum()
    }

    /// The share of samples on the diagonal.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        let right: u64 = self.tried().iter().map(|t| t.right).sum();
        right as f64 / self.samples() as f64
    }

    /// Precision, TP / (TP + FP).
    ///
    /// # Errors
    /// [`Error::Parameter`] for [`ClassAverage::Binary`] of other than two classes.
    pub fn precision(&self, average: ClassAverage) -> Result<f64> {
        self.checked(Score::Precision, average)
    }

    /// Recall, TP / (TP + FN).
    ///
    /// # Errors
    /// As [`ConfusionMatrix::precision`].
    pub fn recall(&self, average: ClassAverage) -> Result<f64> {
        self.checked(Score::Recall, average)
    }

    /// F1, 2 TP / (2 TP + FP + FN).
    ///
    /// # Errors
    /// As [`ConfusionMatrix::precision`].
    pub fn f1(&self, average: ClassAverage) -> Result<f64> {
        self.checked(Score::F1, average)
    }

    /// The precision of each class.
    #[must_use]
    pub fn precision_per_class(&self) -> Vec<f64> {
        self.per_class(Score::Precision)
    }

    /// The recall of each class.
    #[must_use]
    pub fn recall_per_class(&self) -> Vec<f64> {
        self.per_class(Score::Recall)
    }

    /// The F1 of each class.
    #[must_use]
    pub fn f1_per_class(&self) -> Vec<f64> {
        self.per_class(Score::F1)
    }

    /// The intersection over union of each class, TP / (TP + FP + FN): scikit-learn's `jaccard_score`.
    #[must_use]
    pub fn iou_per_class(&self) -> Vec<f64> {
        self.per_class(Score::IoU)
    }

    /// The mean intersection over union of the classes that occur among samples or predictions, as Keras' `MeanIoU`;
    /// NaN without samples.
    #[must_use]
    pub fn mean_iou(&self) -> f64 {
        let occurring: Vec<Tried> =
            self.tried().into_iter().filter(|tried| tried.union() > 0).collect();
        occurring.iter().map(|t| Score::IoU.of(t)).sum::<f64>() / occurring.len() as f64
    }

    fn checked(&self, score: Score, average: ClassAverage) -> Result<f64> {
        if average == ClassAverage::Binary && self.classes != 2 {
            let detail = format!("there are {} classes; choose another average", self.classes);
            return Err(Error::parameter("average", "Binary", detail));
        }
        Ok(self.average(score, average))
    }

    /// The counts of each class.
    fn tried(&self) -> Vec<Tried> {
        let mut all = vec![Tried::default(); self.classes];
        for (actual, row) in self.rows().enumerate() {
            all[actual].right = row[actual];
            all[actual].actual = row.iter().sum::<u64>() + self.unclassified[actual];
            all.iter_mut().zip(row).for_each(|(tried, count)| tried.predicted += count);
        }
        all
    }

    /// A number per class; NaN without samples.
    pub(super) fn per_class(&self, score: Score) -> Vec<f64> {
        let empty = self.samples() == 0;
        let of = |t: &Tried| if empty { f64::NAN } else { score.of(t) };
        self.tried().iter().map(of).collect()
    }

    /// One number of all classes; NaN without samples.
    pub(super) fn average(&self, score: Score, average: ClassAverage) -> f64 {
        let (tried, samples) = (self.tried(), self.samples());
        let weighted = |weight: &dyn Fn(&Tried) -> f64| {
            let sum: f64 = tried.iter().map(|t| weight(t) * score.of(t)).sum();
            sum / tried.iter().map(weight).sum::<f64>()
        };
        match average {
            _ if samples == 0 => f64::NAN,
            ClassAverage::Binary => tried.get(1).map_or(f64::NAN, |t| score.of(t)),
            ClassAverage::Macro => weighted(&|_| 1.0),
            ClassAverage::Weighted => weighted(&|t| t.actual as f64),
            ClassAverage::Micro => {
                // A sample without a predicted class is a prediction that is wrong.
                let right = tried.iter().map(|t| t.right).sum();
                score.of(&Tried { right, predicted: samples, actual: samples })
            }
        }
    }
}
