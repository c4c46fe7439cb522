//! The steps after which the host stops submitting and waits for their numbers.

use super::callback::BatchInterval;
use crate::session::Sweep;
use std::time::Duration;

/// The bounds of the steps that run without a wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stops {
    /// Steps of the sweep.
    steps: usize,
    /// Steps whose samples are on the device at once.
    window: usize,
    /// Steps whose numbers the device keeps.
    records: usize,
    /// Seconds that a step takes, measured between two waits.
    pub step_seconds: Option<f64>,
}

impl Stops {
    /// The stops of a sweep. The time of its steps is not known yet.
    pub const fn of(sweep: &Sweep) -> Self {
        let (steps, window, records) = (sweep.steps, sweep.window, sweep.full.records);
        Self { steps, window, records, step_seconds: None }
    }

    /// The end of the steps from `step` on that run before one of these intervals ends, their samples end, or the
    /// device's records are full of the numbers of `read` and later steps.
    pub fn next(
        &self,
        step: usize,
        read: usize,
        intervals: impl IntoIterator<Item = BatchInterval>,
    ) -> usize {
        let multiple_after = |n: usize| (step / n + 1) * n;
        let end = self.steps.min(multiple_after(self.window)).min(read + self.records);
        let wanted = intervals.into_iter().map(|interval| match interval {
            BatchInterval::Never => usize::MAX,
            BatchInterval::Batches(n) => multiple_after(n.max(1)),
            BatchInterval::Time(interval) => step.saturating_add(self.steps_within(interval)),
        });
        wanted.fold(end, usize::min)
    }

    /// Steps that take about `interval`; one while their time is not known.
    fn steps_within(&self, interval: Duration) -> usize {
        self.step_seconds.map_or(1, |s| (interval.as_secs_f64() / s.max(1e-9)) as usize).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BatchInterval::{Batches, Never, Time};

    /// An epoch of 100 steps, all on the device, with room for all numbers.
    const FREE: Stops = Stops { steps: 100, window: 100, records: 100, step_seconds: None };

    const HOUR: BatchInterval = Time(Duration::from_secs(3600));

    #[test]
    fn nobody_who_looks_leaves_a_whole_epoch() {
        assert_eq!(FREE.next(0, 0, []), 100);
        assert_eq!(FREE.next(7, 7, [Never, Never]), 100);
    }

    #[test]
    fn batches_are_counted_from_the_beginning_of_the_epoch() {
        let from = |step| FREE.next(step, step, [Batches(10)]);
        assert_eq!([0, 1, 9, 10, 95, 99].map(from), [10, 10, 10, 20, 100, 100]);
        assert_eq!(FREE.next(0, 0, [Batches(0)]), 1);
        assert_eq!(FREE.next(95, 95, [Batches(1000)]), 100);
    }

    #[test]
    fn the_earliest_of_all_counts() {
        assert_eq!(FREE.next(0, 0, [Batches(10), Never, Batches(4)]), 4);
        assert_eq!(FREE.next(4, 4, [Batches(10), Never, Batches(4)]), 8);
        assert_eq!(FREE.next(8, 8, [Batches(10), Never, Batches(4)]), 10);
    }

    #[test]
    fn time_becomes_steps_once_their_time_is_known() {
        let known = Stops { step_seconds: Some(0.01), ..FREE };
        let after = |millis| known.next(5, 5, [Time(Duration::from_millis(millis))]);
        assert_eq!([0, 1, 10, 125, 950, 10_000].map(after), [6, 6, 6, 17, 100, 100]);
        assert_eq!(FREE.next(5, 5, [HOUR]), 6, "the first step is measured alone");
        assert_eq!(known.next(5, 5, [HOUR]), 100);
        // A step so short that no clock can tell its time.
        assert_eq!(Stops { step_seconds: Some(0.0), ..FREE }.next(5, 5, [HOUR]), 100);
    }

    #[test]
    fn samples_and_records_end_before_the_interval_does() {
        let windowed = Stops { window: 8, ..FREE };
        assert_eq!([0, 7, 8, 98].map(|s| windowed.next(s, s, [HOUR, Never])), [1, 8, 9, 99]);
        assert_eq!([0, 7, 8, 98].map(|s| windowed.next(s, s, [])), [8, 8, 16, 100]);
        let few = Stops { records: 16, ..FREE };
        assert_eq!(few.next(0, 0, []), 16);
        assert_eq!(few.next(12, 4, [Batches(10)]), 20, "steps from 4 on are not read yet");
        assert_eq!(few.next(12, 12, [Batches(100)]), 28);
    }
}
