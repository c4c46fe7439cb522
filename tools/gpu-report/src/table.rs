//! Rows, goals, and the table that is printed last.

use crate::part::Ran;
use peers::record::Machine;
use serde::Serialize;

/// The share of the vendor library's rate that the f32 product is to reach on a GPU.
pub const PRODUCT_GOAL: f64 = 0.6;
/// How many times as fast as PyTorch eager an epoch of MNIST is to be on a GPU.
pub const EPOCH_GOAL: f64 = 3.0;

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What was done.
    pub part: String,
    /// What came out.
    pub result: String,
    /// How long it took; none for further rows of the same part.
    pub seconds: Option<f64>,
    /// Whether it computed something wrong or crashed.
    pub failed: bool,
    /// Whether the time was over before it.
    pub missed: bool,
}

/// Everything that is kept.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The day, as year-month-day.
    pub date: String,
    /// The machine.
    pub machine: Machine,
    /// The adapter, as the doctor names it.
    pub adapter: String,
    /// The rows in order.
    pub rows: Vec<Row>,
    /// Whether all that was to be measured has its row.
    pub whole: bool,
}

impl Row {
    /// A row about a part's time.
    pub fn new(part: &str, result: impl Into<String>, seconds: f64) -> Row {
        Row { seconds: Some(seconds), ..Row::further(part, result) }
    }

    /// A part's row: what it says if it ended well, else why not.
    pub fn of(part: &str, ran: &Ran, said: impl FnOnce() -> String) -> Row {
        let result = ran.failure().unwrap_or_else(said);
        let (failed, missed) = (ran.failed(), ran.missed());
        Row { failed, missed, ..Row::new(part, result, ran.seconds) }
    }

    /// A row without a time.
    pub fn further(part: &str, result: impl Into<String>) -> Row {
        let (part, result) = (part.into(), result.into());
        Row { part, result, seconds: None, failed: false, missed: false }
    }
}

/// The f32 product of wgrad and of PyTorch: GFLOP/s of both, if they are known.
pub fn product(size: usize, ours: Option<f64>, torch: Option<f64>, gpu: bool) -> Row {
    let goal =
        |share: f64| verdict(gpu, share >= PRODUCT_GOAL, &format!("{:.0} %", PRODUCT_GOAL * 100.0));
    let result = match (ours, torch) {
        (Some(ours), Some(torch)) => {
            let share = ours / torch;
            format!(
                "wgrad {ours:.0}, torch {torch:.0} GFLOP/s: {:.1} %{}",
                share * 100.0,
                goal(share)
            )
        }
        (Some(ours), None) => format!("wgrad {ours:.0} GFLOP/s; no torch to compare with"),
        (None, Some(torch)) => format!("no result of wgrad; torch {torch:.0} GFLOP/s"),
        (None, None) => "no result".into(),
    };
    Row::further(&format!("product {size}³, f32, A·B"), result)
}

/// The epoch of MNIST of wgrad and of PyTorch eager: seconds of both, if they are known, and wgrad's accuracy after it.
pub fn epoch(ours: Option<f64>, torch: Option<f64>, accuracy: Option<f64>, gpu: bool) -> Row {
    let reached = accuracy.map(|a| format!("; accuracy {:.2} %", a * 100.0)).unwrap_or_default();
    let result = match (ours, torch) {
        (Some(ours), Some(torch)) => {
            let times = torch / ours;
            let goal = verdict(gpu, times >= EPOCH_GOAL, &format!("{EPOCH_GOAL}×"));
            format!(
                "wgrad {ours:.3} s, torch eager {torch:.3} s: {times:.2}× as fast{goal}{reached}"
            )
        }
        (Some(ours), None) => format!("wgrad {ours:.3} s; no torch to compare with{reached}"),
        (None, Some(torch)) => format!("no result of wgrad; torch eager {torch:.3} s"),
        (None, None) => "no result".into(),
    };
    Row::further("MNIST epoch, batch 64", result)
}

/// Whether a goal is met; goals are about GPUs.
fn verdict(gpu: bool, met: bool, goal: &str) -> String {
    match (gpu, met) {
        (false, _) => String::new(),
        (true, true) => format!(" (goal {goal}: met)"),
        (true, false) => format!(" (goal {goal}: missed)"),
    }
}

/// The rows as a table that reads well on a terminal and is Markdown too.
pub fn text(report: &Report) -> String {
    let cells = |row: &Row| {
        let seconds = row.seconds.map(|s| format!("{s:.1} s")).unwrap_or_default();
        [row.part.clone(), row.result.clone(), seconds].map(|cell| cell.replace('|', "\\|"))
    };
    let mut all = vec![["part", "result", "time"].map(String::from)];
    all.extend(report.rows.iter().map(cells));
    let width = |i: usize| all.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2].map(width);
    let mut text = format!(
        "{}\n{}, {} threads, {}; {}\n\n",
        report.adapter,
        report.machine.cpu,
        report.machine.cores,
        report.machine.system,
        report.date
    );
    for (i, row) in all.iter().enumerate() {
        let [a, b, c] = [0, 1, 2].map(|i| format!("{:1$}", row[i], widths[i]));
        text += &format!("| {a} | {b} | {c} |\n");
        if i == 0 {
            let [a, b, c] = widths.map(|w| "-".repeat(w + 1));
            text += &format!("|{a}-|{b}-|{c}:|\n");
        }
    }
    if !report.whole {
        text +=
            "\nUnfinished: the program was ended before all that was to be measured had its row.\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_met_or_missed_on_a_gpu_and_not_named_elsewhere() {
        let row = product(4096, Some(30_000.0), Some(50_000.0), true);
        assert_eq!(row.result, "wgrad 30000, torch 50000 GFLOP/s: 60.0 % (goal 60 %: met)");
        assert!(
            product(4096, Some(29.9), Some(50.0), true).result.ends_with("(goal 60 %: missed)")
        );
        assert!(!product(1024, Some(30.0), Some(50.0), false).result.contains("goal"));
        let row = epoch(Some(0.25), Some(0.75), Some(0.951), true);
        assert_eq!(
            row.result,
            "wgrad 0.250 s, torch eager 0.750 s: 3.00× as fast (goal 3×: met); accuracy 95.10 %"
        );
        assert!(epoch(Some(0.26), Some(0.75), None, true).result.contains("goal 3×: missed"));
        assert!(epoch(Some(0.26), None, None, true).result.contains("no torch"));
        assert_eq!(epoch(None, None, None, true).result, "no result");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = vec![Row::new("op tests", "53 passed", 12.34), Row::further("b", "µ | ×")];
        let machine = Machine { cpu: "C".into(), cores: 2, system: "linux".into(), load: None };
        let mut report =
            Report { date: "2026-01-02".into(), machine, adapter: "A".into(), rows, whole: true };
        let whole = text(&report);
        let lines: Vec<_> = whole.lines().skip(3).collect();
        assert_eq!(lines[0], "| part     | result    | time   |");
        assert_eq!(lines[1], "|----------|-----------|-------:|");
        assert_eq!(lines[2], "| op tests | 53 passed | 12.3 s |");
        assert!(lines[3].contains("µ \\| ×"));
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()));
        assert!(!whole.contains("Unfinished"));
        report.whole = false;
        assert!(text(&report).ends_with("had its row.\n"));
    }
}
