//! The words of progress.

use super::super::history::{Epoch, short};

/// `epoch  3/20`, as wide for each epoch.
pub(super) fn counter(epoch: usize, epochs: usize) -> String {
    let width = epochs.to_string().len();
    format!("epoch {:>width$}/{epochs}", epoch + 1)
}

/// `loss 0.1234`, `accuracy 0.9876`, ...
pub(super) fn numbers(logs: &[(String, f64)]) -> impl Iterator<Item = String> {
    logs.iter().map(|(name, value)| format!("{name} {}", short(*value)))
}

/// The line for an epoch that ended.
pub(super) fn summary(epoch: &Epoch, epochs: usize) -> Vec<String> {
    let mut items = vec![
        counter(epoch.epoch, epochs),
        format!("{:.2}s", epoch.duration.as_secs_f64()),
        format!("{} samples/s", grouped(epoch.samples_per_second)),
    ];
    items.extend(numbers(&epoch.logs));
    items
}

/// A whole number with commas between thousands.
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
