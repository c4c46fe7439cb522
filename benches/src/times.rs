//! The time of something by two measures.

use std::fmt;
use std::iter::Sum;

/// Milliseconds on the clock, and of processor time over all cores if the adapter is the processor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// On the clock.
    pub clock: f64,
    /// Of processor time.
    pub processor: Option<f64>,
}

impl Times {
    /// The less of both, each by its measure.
    #[must_use]
    pub fn least(self, other: Times) -> Times {
        let processor = self.processor.into_iter().chain(other.processor).reduce(f64::min);
        Times { clock: self.clock.min(other.clock), processor }
    }

    /// The time that rates use.
    #[must_use]
    pub fn busy(self) -> f64 {
        self.processor.unwrap_or(self.clock)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.3}", self.clock)?;
        self.processor.map_or(Ok(()), |processor| write!(f, " {processor:8.3}"))
    }
}

impl Sum for Times {
    fn sum<I: Iterator<Item = Times>>(all: I) -> Times {
        let add = |a: Times, b: Times| Times {
            clock: a.clock + b.clock,
            processor: a.processor.zip(b.processor).map(|(a, b)| a + b),
        };
        all.reduce(add).unwrap_or(Times { clock: 0.0, processor: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_by_the_clock_where_the_processor_says_nothing() {
        let here = Times { clock: 3.0, processor: Some(2.0) };
        let gpu = Times { clock: 3.0, processor: None };
        assert_eq!((here.busy(), gpu.busy()), (2.0, 3.0));
        assert_eq!(
            (here.to_string(), gpu.to_string()),
            ("   3.000    2.000".into(), "   3.000".into())
        );
    }

    #[test]
    fn each_measure_has_its_least_and_its_sum() {
        let (a, b) = (
            Times { clock: 1.0, processor: Some(4.0) },
            Times { clock: 2.0, processor: Some(3.0) },
        );
        assert_eq!(a.least(b), Times { clock: 1.0, processor: Some(3.0) });
        assert_eq!(
            Times { processor: None, ..a }.least(b),
            Times { clock: 1.0, processor: Some(3.0) }
        );
        assert_eq!([a, b].into_iter().sum::<Times>(), Times { clock: 3.0, processor: Some(7.0) });
        let part = [a, Times { processor: None, ..b }].into_iter().sum::<Times>();
        assert_eq!(part, Times { clock: 3.0, processor: None });
    }
}
