//! The rows as they come: kept in the folder after each, so that a table remains however this program ends.

use crate::numbers::kernel;
use crate::part::Ran;
use crate::table::{self, Report, Row};
use anyhow::{Context, Result};
use peers::machine;
use peers::record::Machine;
use std::fs;
use std::path::PathBuf;
use xtask::process::say;

/// The rows so far.
pub struct Rows {
    /// What is known.
    report: Report,
    /// The folder that keeps it.
    folder: PathBuf,
}

/// How many parts did not end as they should.
#[derive(Debug, PartialEq)]
pub struct Counts {
    /// Those that computed something wrong or crashed.
    pub failed: usize,
    /// Those before which the time was over.
    pub missed: usize,
}

impl Rows {
    /// No rows, kept in a folder that is there.
    pub fn new(folder: PathBuf) -> Rows {
        let (date, machine) = (machine::today(), machine::machine());
        let report = Report { date, machine, adapter: "?".into(), rows: Vec::new(), whole: false };
        Rows { report, folder }
    }

    /// Names the adapter, which is shown above the rows.
    pub fn on(&mut self, adapter: &str) {
        self.report.adapter = adapter.into();
    }

    /// The machine as it was at the beginning.
    pub fn machine(&self) -> &Machine {
        &self.report.machine
    }

    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        self.extend([row]);
    }

    /// Adds rows.
    pub fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.report.rows.extend(rows);
        if let Err(error) = self.keep() {
            say(format_args!("the table so far cannot be kept: {error:#}"));
        }
    }

    /// Adds what a profile says: the time of a step, under `name`, and its `most` slowest kernels.
    pub fn push_profile(&mut self, name: &str, kernels: &str, most: usize, ran: &Ran) {
        let step = ran.text.lines().find(|l| l.starts_with("step: ")).unwrap_or("no time");
        self.push(Row::of(name, ran, || step.to_string()));
        let slowest = ran.text.lines().filter_map(kernel).take(most);
        self.extend(slowest.map(|said| Row::further(kernels, said)));
    }

    /// Ends the table and gives its text and what went wrong. It is `whole` if all parts had their turn.
    pub fn finish(mut self, whole: bool) -> Result<(String, Counts)> {
        self.report.whole = whole;
        self.keep()?;
        let count = |which: fn(&Row) -> bool| self.report.rows.iter().filter(|r| which(r)).count();
        let counts = Counts { failed: count(|r| r.failed), missed: count(|r| r.missed) };
        Ok((table::text(&self.report), counts))
    }

    /// Writes the table, and every row as data.
    fn keep(&self) -> Result<()> {
        let write = |name: &str, text: String| {
            let path = self.folder.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())
        };
        write("report.md", table::text(&self.report))?;
        write("report.json", serde_json::to_string_pretty(&self.report)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::sources::Scratch;

    #[test]
    fn a_table_is_there_after_each_row() {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let kept = || fs::read_to_string(dir.path().join("report.md")).unwrap();
        let mut rows = Rows::new(dir.path().into());
        rows.on("A");
        rows.push(Row::further("first", "1"));
        assert!(kept().starts_with("A\n") && kept().contains("| first | 1"), "{}", kept());
        assert!(kept().contains("Unfinished") && !kept().contains("second"));
        let second = Row::further("second", "2");
        rows.extend([Row { failed: true, ..second.clone() }, Row { missed: true, ..second }]);
        let (text, counts) = rows.finish(true).unwrap();
        assert_eq!((kept().as_str(), counts), (text.as_str(), Counts { failed: 1, missed: 1 }));
        assert!(!text.contains("Unfinished"));
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_at_the_end() {
        let mut rows = Rows::new("/no/such/folder".into());
        rows.push(Row::further("a", "b"));
        assert!(rows.finish(true).is_err());
    }
}
