//! The order in which a plan's dispatches are launched, loop by loop.

use super::{Dispatch, MAX_LOOPS, PlanData, Region};
use std::ops::Range;

/// Neighbouring dispatches that run several times: an inner node of the plan's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The dispatches, at least one. Ranges of two loops lie one inside the other, or apart.
    pub body: Range<usize>,
    /// Iterations, 1 or more.
    pub times: usize,
    /// Buffers that change places after each iteration: what an iteration writes into the second is in the first for the
    /// next. So a kernel reads the old value of a carry and writes the new one, in different buffers.
    pub swaps: Vec<[usize; 2]>,
    /// Whether the number of the iteration, which random numbers depend on, counts down.
    pub countdown: bool,
    /// The loop around it: an index into [`PlanData::repeats`].
    pub outer: Option<usize>,
}

/// One launch of a dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// Index into [`PlanData::dispatches`].
    pub dispatch: usize,
    /// The iteration of each loop around it, the outermost first; 0 past the innermost.
    pub iterations: [usize; MAX_LOOPS],
}

impl Region {
    /// Bytes by which the region has moved in these iterations.
    #[must_use]
    pub fn moved(&self, iterations: &[usize; MAX_LOOPS]) -> i64 {
        self.loop_strides.iter().zip(iterations).map(|(stride, &i)| stride * i as i64).sum()
    }

    /// The first and the last offset of the region inside loops of so many iterations.
    #[must_use]
    pub fn span(&self, times: &[usize; MAX_LOOPS]) -> (i64, i64) {
        let ends = self.loop_strides.iter().zip(times).map(|(s, &n)| s * (n.max(1) - 1) as i64);
        let start = self.offset as i64;
        ends.fold((start, start), |(low, high), end| (low + end.min(0), high + end.max(0)))
    }

    /// Whether its offset changes from step to step, or from iteration to iteration.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.step_offset.is_some() || self.loop_strides.iter().any(|&stride| stride != 0)
    }
}

impl PlanData {
    /// All launches of one run, in order.
    #[must_use]
    pub const fn order(&self) -> Launches<'_> {
        Launches { plan: self, at: 0, next: 0, open: Vec::new() }
    }

    /// The loops around a dispatch, the outermost first.
    #[must_use]
    pub fn loops_of(&self, dispatch: usize) -> Vec<&Repeat> {
        // What is around a dispatch is the last loop that begins before it, or around that one.
        let mut next = self.repeats.partition_point(|r| r.body.start <= dispatch).checked_sub(1);
        let mut found = Vec::new();
        while let Some(repeat) = next.and_then(|i| self.repeats.get(i)) {
            if repeat.body.contains(&dispatch) {
                found.push(repeat);
            }
            // An outer loop comes before those inside it, so this ends.
            next = repeat.outer.filter(|&outer| Some(outer) < next);
        }
        found.reverse();
        found
    }

    /// The iterations of each loop around a dispatch, the outermost first; 1 past the innermost.
    #[must_use]
    pub fn times_of(&self, dispatch: usize) -> [usize; MAX_LOOPS] {
        let mut times = [1; MAX_LOOPS];
        times.iter_mut().zip(self.loops_of(dispatch)).for_each(|(t, repeat)| *t = repeat.times);
        times
    }

    /// How often a dispatch is launched in one run.
    #[must_use]
    pub fn launches_of(&self, dispatch: usize) -> u64 {
        self.loops_of(dispatch).iter().fold(1u64, |n, repeat| n.saturating_mul(repeat.times as u64))
    }

    /// The sum of `of` over all launches of one run.
    pub(crate) fn total(&self, of: impl Fn(&Dispatch) -> u64) -> u64 {
        let each = self.dispatches.iter().enumerate();
        each.map(|(i, d)| of(d).saturating_mul(self.launches_of(i))).fold(0, u64::saturating_add)
    }
}

/// A loop that the walk is inside of.
#[derive(Debug, Clone)]
struct Open {
    repeat: usize,
    iteration: usize,
}

/// The launches of one run: a walk over the plan's tree, which takes no memory per iteration.
#[derive(Debug, Clone)]
pub struct Launches<'a> {
    plan: &'a PlanData,
    at: usize,
    /// The first loop that begins at `at` or later.
    next: usize,
    open: Vec<Open>,
}

impl Iterator for Launches<'_> {
    type Item = Launch;

    fn next(&mut self) -> Option<Launch> {
        let repeats = &self.plan.repeats;
        while let Some(inner) = self.open.last_mut() {
            let repeat = &repeats[inner.repeat];
            if self.at < repeat.body.end {
                break;
            }
            inner.iteration += 1;
            if inner.iteration < repeat.times {
                self.at = repeat.body.start;
                self.next = inner.repeat + 1;
                break;
            }
            self.open.pop();
        }
        while repeats.get(self.next).is_some_and(|repeat| repeat.body.start == self.at) {
            self.open.push(Open { repeat: self.next, iteration: 0 });
            self.next += 1;
        }
        let dispatch = Some(self.at).filter(|&at| at < self.plan.dispatches.len())?;
        self.at += 1;
        let mut iterations = [0; MAX_LOOPS];
        iterations.iter_mut().zip(&self.open).for_each(|(i, open)| *i = open.iteration);
        Some(Launch { dispatch, iterations })
    }
}
