//! What is known about the machine and the day.

use crate::record::Machine;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use xtask::process::output;

/// The machine as it is now.
pub fn machine() -> Machine {
    Machine {
        cpu: cpu().unwrap_or_else(|| "unknown processor".into()),
        cores: std::thread::available_parallelism().map_or(1, |n| n.get()),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        load: load(),
    }
}

/// The processor's name, if the system tells.
fn cpu() -> Option<String> {
    if cfg!(target_os = "macos") {
        let name = output(Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"])).ok()?;
        return Some(name.trim().into());
    }
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().into())
}

/// Processes that wait for the processor, on average over the last minute (Linux).
pub fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Today in UTC, as year-month-day.
pub fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    date(seconds / 86_400)
}

/// The date of a day counted from 1970-01-01, by the Gregorian calendar.
fn date(mut day: u64) -> String {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        for (day, name) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (19_722, "2023-12-31"),
            (19_782, "2024-02-29"),
            (20_088, "2024-12-31"),
        ] {
            assert_eq!(date(day), name);
        }
    }
}
