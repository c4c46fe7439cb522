//! The table of measured kernels that is checked in: which one multiplies on a generation of drivers with so many lanes.

use super::{DeviceCaps, Driver, MatmulFamily, MatmulRule};
use crate::error::{Error, Result};
use std::sync::LazyLock;

/// What `wgrad tune --all` printed on each driver: a [`MeasuredRule`] a line. Empty lines and those of `#` say nothing.
const TABLE: &str = include_str!("measured.txt");

/// A row of the table: its rule holds on drivers of this generation with so many lanes, on such a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredRule {
    /// The generation.
    pub driver: Driver,
    /// The lanes that the adapter runs at a time: see [`DeviceCaps::lanes`].
    pub lanes: u32,
    /// The processor's vector registers: see [`DeviceCaps::vector_registers`].
    pub registers: u32,
    /// The rule.
    pub rule: MatmulRule,
}

/// A row as text: `DRIVER LANES REGISTERS` and the text of the rule.
impl std::fmt::Display for MeasuredRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.driver, self.lanes, self.registers, self.rule)
    }
}

impl std::str::FromStr for MeasuredRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fail = || Error::internal("table of kernels", format!("`{text}` is no measured row"));
        let words: Vec<&str> = text.splitn(4, ' ').collect();
        let &[driver, lanes, registers, rule] = words.as_slice() else { return Err(fail()) };
        let number = |word: &str| word.parse().map_err(|_| fail());
        Ok(Self {
            driver: driver.parse()?,
            lanes: number(lanes)?,
            registers: number(registers)?,
            rule: rule.parse()?,
        })
    }
}

/// The rows; a line that is not understood is left out, and a test finds it.
static ROWS: LazyLock<Vec<MeasuredRule>> = LazyLock::new(|| {
    let rows = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.filter_map(|line| line.parse().ok()).collect()
});

/// The rules that were measured on a CPU adapter like this one, in the order of the table: on a processor with as many
/// registers, or on any if there are none of such a one.
pub fn measured(caps: &DeviceCaps) -> impl Iterator<Item = &'static MatmulRule> {
    let (key, registers) = ((caps.driver, caps.lanes()), caps.vector_registers);
    // Rows are of kernels with subgroup operations or beside them: without such, as in every browser, nothing was measured.
    let known = !cfg!(target_arch = "wasm32") && caps.cpu && caps.can_broadcast();
    let rows: &[MeasuredRule] = if known { &ROWS } else { &[] };
    let like = move |row: &&MeasuredRule| (row.driver, row.lanes) == key;
    let any = !rows.iter().filter(like).any(|row| row.registers == registers);
    let of_registers = move |row: &&MeasuredRule| any || row.registers == registers;
    rows.iter().filter(like).filter(of_registers).map(|row| &row.rule)
}

/// The family of these rules.
pub fn measured_family(caps: &DeviceCaps) -> Option<MatmulFamily> {
    measured(caps).next().map(|rule| rule.tile.family)
}

/// The kernels of all rows.
#[cfg(test)]
pub fn measured_tiles() -> impl Iterator<Item = super::MatmulTile> {
    ROWS.iter().map(|row| row.rule.tile)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::matmul_rule;

    fn lines() -> Vec<&'static str> {
        TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    }

    #[test]
    fn every_line_is_a_row_that_prints_as_it_stands() {
        for line in lines() {
            assert_eq!(line.parse::<MeasuredRule>().unwrap().to_string(), line);
        }
        assert_eq!(ROWS.len(), lines().len());
        for bad in [
            "",
            "lavapipe-22",
            "lavapipe-22 8",
            "lavapipe-22 8 0 0 0 0 direct 8x32",
            "lavapipe-22 x 16 0 0 0 0 direct 8x32",
        ] {
            assert!(bad.parse::<MeasuredRule>().is_err(), "{bad}");
        }
    }

    /// Of each key: the rules are of one family, which its adapters can run, larger products come first, and every
    /// rule is the one that a product of its size takes.
    #[test]
    fn rules_of_a_key_agree() {
        for row in ROWS.iter() {
            let caps = DeviceCaps {
                cpu: true,
                driver: row.driver,
                subgroup: Some((row.lanes, row.lanes)),
                vector_registers: row.registers,
                matmul: row.rule.tile.family,
                ..DeviceCaps::webgpu_defaults()
            };
            assert_eq!(measured_family(&caps), Some(row.rule.tile.family), "{row}");
            assert!(row.rule.tile.runs_on(&caps), "{row}");
            let MatmulRule { m, n, work, .. } = row.rule;
            let (m, n) = (m.max(1), n.max(1));
            let size = [m, n, work.div_ceil(m * n).max(1)];
            assert_eq!(matmul_rule(&caps, size), row.rule, "{row}: {size:?}");
        }
    }

    /// A key that is not in the table has no rules, nor has an adapter that does not tell its lanes.
    #[test]
    fn unknown_adapters_have_no_rules() {
        let key = ROWS.first().expect("a row");
        let known = DeviceCaps {
            cpu: true,
            driver: key.driver,
            subgroup: Some((key.lanes, key.lanes)),
            ..DeviceCaps::webgpu_defaults()
        };
        assert!(measured(&known).count() > 0);
        for unknown in [
            DeviceCaps { cpu: false, ..known.clone() },
            DeviceCaps { driver: Driver::Other, ..known.clone() },
            DeviceCaps { subgroup: None, ..known.clone() },
            DeviceCaps { subgroup: Some((4, 64)), ..known.clone() },
        ] {
            assert_eq!(measured(&unknown).count(), 0, "{unknown:?}");
        }
    }

    /// The rows of a processor's registers are taken if there are such, else those of another processor.
    #[test]
    fn rows_are_of_the_processor_if_it_was_measured() {
        let keys = |registers: Option<u32>| {
            let rows = ROWS.iter().filter(move |row| registers.is_none_or(|r| row.registers == r));
            rows.map(|row| (row.driver, row.lanes)).collect::<std::collections::HashSet<_>>()
        };
        let (both, all) = (&keys(Some(16)) & &keys(Some(32)), keys(None));
        assert!(!both.is_empty() && both.len() < all.len(), "{both:?} of {all:?}");
        for (driver, lanes) in all {
            let rules = |vector_registers| {
                let caps = DeviceCaps {
                    cpu: true,
                    driver,
                    subgroup: Some((lanes, lanes)),
                    vector_registers,
                    ..DeviceCaps::webgpu_defaults()
                };
                measured(&caps).copied().collect::<Vec<_>>()
            };
            let differ = rules(16) != rules(32);
            assert_eq!(differ, both.contains(&(driver, lanes)), "{driver} {lanes}");
        }
    }
}
