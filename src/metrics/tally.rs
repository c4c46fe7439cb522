//! What the host keeps of an epoch: plain numbers, to which each step's columns are added in f64.

/// The kinds of state, by the columns that they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tally {
    /// The sum of `each` numbers of a sample. State: the sum of all, and their count.
    Mean { each: usize },
    /// The cell of the confusion matrix, target · classes + predicted, or -1 - target without a predicted class.
    /// One for each position. State: how often each cell occurred, then each target without one.
    Cells { classes: usize, positions: usize },
    /// Target and prediction of each position. State: each pair.
    Pairs { positions: usize },
    /// Targets and predictions of several outputs of each position. State: the number of positions, and for each output
    /// the targets' mean, their summed squared deviations from it, and the summed squared errors.
    Moments { outputs: usize, positions: usize },
}

impl Tally {
    /// How many numbers of a sample each column has.
    pub fn columns(self) -> Vec<usize> {
        match self {
            Self::Mean { .. } => vec![1],
            Self::Cells { positions, .. } => vec![positions],
            Self::Pairs { positions } => vec![positions; 2],
            Self::Moments { outputs, positions } => vec![outputs * positions; 2],
        }
    }

    /// Whether the state is of no position: no sample was added, or a mask leaves all out.
    pub fn is_of_nothing(self, state: &[f64]) -> bool {
        match self {
            Self::Mean { .. } => state.get(1).is_none_or(|&count| count == 0.0),
            Self::Cells { .. } => state.iter().all(|&count| count == 0.0),
            Self::Pairs { .. } => state.is_empty(),
            Self::Moments { .. } => state.first().is_none_or(|&count| count == 0.0),
        }
    }

    /// Adds further samples to the state, which begins empty. A mask has a number for each position, or for each element
    /// of a mean; the sums of a mean are of what counts already.
    pub fn accumulate(self, state: &mut Vec<f64>, columns: &[&[f32]], mask: Option<&[f32]>) {
        let column = |i: usize| columns.get(i).copied().unwrap_or_default();
        let counts = |i: usize| mask.is_none_or(|mask| mask.get(i).is_some_and(|&m| m != 0.0));
        match self {
            Self::Mean { each } => {
                add_mean(state, column(0), each);
                if let Some(mask) = mask.filter(|mask| !mask.is_empty()) {
                    let left_out = mask.iter().filter(|&&m| m == 0.0).count();
                    state[1] -= (left_out * (column(0).len() * each / mask.len())) as f64;
                }
            }
            Self::Cells { classes, .. } => {
                let cells = classes * classes;
                state.resize(cells + classes, 0.0);
                for (_, &cell) in column(0).iter().enumerate().filter(|(i, _)| counts(*i)) {
                    let place =
                        if cell < 0.0 { cells + (-1.0 - cell) as usize } else { cell as usize };
                    if let Some(count) = state.get_mut(place) {
                        *count += 1.0;
                    }
                }
            }
            Self::Pairs { .. } => {
                let pairs = column(0).iter().zip(column(1)).enumerate();
                for (_, (&target, &prediction)) in pairs.filter(|(i, _)| counts(*i)) {
                    state.extend([f64::from(target), f64::from(prediction)]);
                }
            }
            Self::Moments { outputs, .. } => {
                state.resize(1 + 3 * outputs, 0.0);
                let samples = column(0).chunks_exact(outputs).zip(column(1).chunks_exact(outputs));
                for (_, (targets, predictions)) in samples.enumerate().filter(|(i, _)| counts(*i)) {
                    moments(state, targets, predictions);
                }
            }
        }
    }
}

/// Adds sums of `each` numbers to a state of [`Tally::Mean`].
pub(super) fn add_mean(state: &mut Vec<f64>, sums: &[f32], each: usize) {
    state.resize(2, 0.0);
    state[0] += sums.iter().copied().map(f64::from).sum::<f64>();
    state[1] += (sums.len() * each) as f64;
}

/// Adds a sample to the moments: Welford's recurrence (1962), which a large mean does not harm.
fn moments(state: &mut [f64], targets: &[f32], predictions: &[f32]) {
    let Some((count, outputs)) = state.split_first_mut() else { return };
    *count += 1.0;
    let samples = targets.iter().zip(predictions);
    for (output, (&target, &prediction)) in outputs.chunks_exact_mut(3).zip(samples) {
        let (target, prediction) = (f64::from(target), f64::from(prediction));
        let before = target - output[0];
        output[0] += before / *count;
        output[1] += before * (target - output[0]);
        output[2] += (target - prediction).powi(2);
    }
}

/// The mean of a state of [`Tally::Mean`].
pub(super) fn mean(state: &[f64]) -> f64 {
    if let [sum, count] = state { sum / count } else { f64::NAN }
}

/// The area under the ROC curve, from a state of [`Tally::Pairs`]: with P positives and N negatives, (Σ ranks of
/// positives - P (P + 1) / 2) / (P N); equal predictions share their mean rank (Mann and Whitney 1947).
pub(super) fn auc(state: &[f64]) -> f64 {
    let mut pairs: Vec<(f64, bool)> = state.chunks_exact(2).map(|p| (p[1], p[0] > 0.5)).collect();
    if pairs.iter().any(|(prediction, _)| prediction.is_nan()) {
        return f64::NAN;
    }
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut positives, mut ranks, mut below) = (0.0, 0.0, 0.0);
    // Ranks count from 1; `below` predictions are smaller than those of a group of equal ones. -0 equals 0.
    for equal in pairs.chunk_by(|a, b| a.0 == b.0) {
        let own = equal.iter().filter(|(_, positive)| *positive).count() as f64;
        let len = equal.len() as f64;
        ranks += own * (below + (len + 1.0) / 2.0);
        positives += own;
        below += len;
    }
    let negatives = below - positives;
    (ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives)
}

/// R², averaged over outputs, from a state of [`Tally::Moments`].
pub(super) fn r2(state: &[f64]) -> f64 {
    let outputs = match state.split_first() {
        Some((&count, outputs)) if count >= 2.0 => outputs.chunks_exact(3),
        _ => return f64::NAN,
    };
    let number = outputs.len() as f64;
    let of_output = |output: &[f64]| match (output[1], output[2]) {
        (0.0, 0.0) => 1.0,
        (0.0, _) => 0.0,
        (deviations, errors) => 1.0 - errors / deviations,
    };
    outputs.map(of_output).sum::<f64>() / number
}
