//! All parts on the target, in the order of what matters most, so that time that runs out takes the least with it.

use super::contest::Contest;
use super::folder::{self, References};
use super::guests::Guests;
use super::part::{Ran, Site};
use super::table::{self, Report, Row};
use super::{read, vulkan};
use crate::dataset;
use crate::peers::machine;
use crate::peers::models::{MODELS, Model};
use crate::process::say;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What all parts together may take; what is unpacked and written before and after has the rest of eight minutes.
const TIME: Duration = Duration::from_secs(455);

/// Criterion with short measurements: many benchmarks share the time.
const SHORT: [&str; 6] =
    ["--bench", "--noplot", "--warm-up-time", "0.2", "--measurement-time", "0.5"];

/// Measures with what lies in the folder and prints the table; gives how many parts failed.
pub fn run(root: &Path) -> Result<usize> {
    say("unpacking");
    folder::unpack(&root.join("bin"), &root.join("work/bin"))?;
    let mut site = Site::new(root, TIME)?;
    let mut rows = Vec::new();
    let images = root.join("work/mnist");
    let mnist = dataset::unpack(&root.join("data"), &images).is_ok().then_some(images);
    let references = root.join("data/references.json");
    let references = fs::read(&references).with_context(|| references.display().to_string())?;
    let references: References = serde_json::from_slice(&references)?;

    let doctor = vulkan::find(&mut site)?;
    let taken =
        doctor.text.lines().find_map(|l| l.strip_prefix("taken  ")).unwrap_or("?").to_string();
    let gpu = read::value(&doctor.text, "kind") == Some("GPU");
    rows.extend(self::doctor(&doctor));

    tests(&site, "ops", "op tests", false, &mut rows)?;
    let products = bench(&site, "matmul", 60, &mut rows)?;
    for (name, limit) in
        [("step", 30), ("kernels", 30), ("dispatches", 40), ("fit", 60), ("first_step", 30)]
    {
        bench(&site, name, limit, &mut rows)?;
    }
    profile(&site, &mut rows)?;
    tests(&site, "memory", "memory tests", false, &mut rows)?;

    let guests = Guests::look(&site, gpu, &mut rows)?;
    guests.product(&products.text, &mut rows)?;
    let mut contest = Contest::new(&guests, references, mnist);
    let (here, elsewhere): (Vec<Model>, Vec<Model>) =
        MODELS.into_iter().partition(|m| gpu || !m.large);
    for model in elsewhere {
        let part = format!("{} ({})", model.name, model.shape());
        rows.push(Row::further(&part, "not run: for GPUs only"));
    }
    here.iter().try_for_each(|model| contest.first(model, &mut rows))?;
    tests(&site, "ops", "op tests, checked shaders", true, &mut rows)?;
    here.iter().try_for_each(|model| contest.others(model, &mut rows))?;

    let failed = rows.iter().filter(|row| row.failed).count();
    let report =
        Report { date: machine::today(), machine: machine::machine(), adapter: taken, rows };
    let text = table::text(&report);
    fs::write(root.join("report/report.md"), &text)?;
    fs::write(root.join("report/report.json"), serde_json::to_string_pretty(&report)? + "\n")?;
    println!("{text}");
    Ok(failed)
}

/// What the doctor says of the adapter and of its checks, a row each.
fn doctor(ran: &Ran) -> Vec<Row> {
    let mut rows = vec![part("doctor", ran, || {
        let number = |key| read::number(&ran.text, key).unwrap_or(f64::NAN);
        format!("{} checks, {} failed", number("checks"), number("failed"))
    })];
    for line in ran.text.lines() {
        if let Some((name, said)) = line.strip_prefix("       ").and_then(|l| l.split_once(": ")) {
            rows.push(Row::further(&format!("doctor: {name}"), said));
        }
        let check = |mark: &str| line.strip_prefix(mark)?.trim_start().split_once(": ");
        if let Some((name, said)) = check("ok     ").or_else(|| check("FAILED ")) {
            rows.push(Row::further(&format!("doctor: {name}"), said));
        }
    }
    rows
}

/// A part's first row: what it says where it ended well, else why not.
fn part(name: &str, ran: &Ran, said: impl FnOnce() -> String) -> Row {
    Row { failed: ran.failed(), ..Row::new(name, ran.failure().unwrap_or_else(said), ran.seconds) }
}

/// A test binary, with shaders as they are or with all checks.
fn tests(site: &Site, program: &str, name: &str, checked: bool, rows: &mut Vec<Row>) -> Result<()> {
    let mut command = site.program(program);
    command.env("WGRAD_CHECKED", if checked { "1" } else { "0" });
    let ran =
        site.run(&format!("{program}{}", if checked { "-checked" } else { "" }), command, 150)?;
    let (passed, failed) = read::tests(&ran.text);
    let counted = match failed.len() {
        0 => format!("{passed} passed"),
        n => format!("{passed} passed, {n} FAILED: {}", failed.join(", ")),
    };
    let result = match ran.failure() {
        Some(why) if failed.is_empty() => format!("{why}; {counted} before"),
        _ => counted,
    };
    rows.push(Row {
        failed: ran.failed() || !failed.is_empty(),
        ..Row::new(name, result, ran.seconds)
    });
    Ok(())
}

/// A benchmark, with a row for each number that it prints.
fn bench(site: &Site, name: &str, limit: u64, rows: &mut Vec<Row>) -> Result<Ran> {
    let mut command = site.program(name);
    match name {
        "fit" => drop(command.args(["--bench", "--quick"])),
        "matmul" | "kernels" | "step" => drop(command.args(SHORT)),
        _ => drop(command.arg("--bench")),
    }
    let ran = site.run(name, command, limit)?;
    let numbers = numbers(name, &ran.text);
    rows.push(part(&format!("bench {name}"), &ran, || format!("{} results", numbers.len())));
    for (what, said) in &numbers {
        // Some names begin with the benchmark's.
        let what = what.strip_prefix(name).unwrap_or(what).trim_end_matches("/wgrad").trim();
        rows.push(Row::further(&format!("{name}: {what}"), said));
    }
    Ok(ran)
}

/// What a benchmark measured, in words; also that of one that was stopped.
fn numbers(name: &str, text: &str) -> Vec<(String, String)> {
    match name {
        "matmul" => {
            let forms = |forms: &[(String, f64)]| {
                let forms: Vec<_> =
                    forms.iter().map(|(form, rate)| format!("{form} {rate:.1}")).collect();
                format!("{} GFLOP/s", forms.join(", "))
            };
            read::products(text).into_iter().map(|(size, all)| (size, forms(&all))).collect()
        }
        "dispatches" => {
            let said = |step: f64, alone: f64| {
                format!("{step:.3} ms as one step, {alone:.3} ms one by one")
            };
            read::steps(text).into_iter().map(|(step, ms, alone)| (step, said(ms, alone))).collect()
        }
        "fit" => {
            let number = |key| read::number(text, key);
            let all = number("bare_seconds").zip(number("fit_seconds")).zip(number("median_ratio"));
            let said = all.map(|((bare, fit), ratio)| {
                format!("bare {bare:.3} s, fit {fit:.3} s, ratio {ratio:.3}")
            });
            said.map(|said| ("an epoch".to_string(), said)).into_iter().collect()
        }
        "first_step" => {
            let lines =
                text.lines().filter_map(|l| l.strip_prefix("first step, ")?.split_once(": "));
            lines.map(|(name, said)| (name.into(), said.into())).collect()
        }
        _ => read::criterion(text),
    }
}

/// Where the time of S's step goes: the kernels that take most.
fn profile(site: &Site, rows: &mut Vec<Row>) -> Result<()> {
    let mut command = site.program("profile");
    command.args(["--hidden", "128,128", "--batch", "64", "--trace"]);
    command.arg(site.root.join("report/step-S.json"));
    let ran = site.run("profile", command, 30)?;
    let said = ran.text.lines().find(|l| l.starts_with("step: ")).unwrap_or("no time").to_string();
    rows.push(part("profile of S", &ran, || said));
    let kernels = ran.text.lines().filter_map(kernel).take(5);
    rows.extend(kernels.map(|said| Row::further("profile: kernel", said)));
    Ok(())
}

/// A kernel's share, time and name out of a line of the profile: calls, time, share, four rates, the name and, after
/// two blanks, the layer.
fn kernel(line: &str) -> Option<String> {
    let (mut rest, mut words) = (line, [""; 7]);
    for word in &mut words {
        (*word, rest) = rest.trim_start().split_once(' ')?;
    }
    let [_, time, share, ..] = words;
    share.ends_with('%').then(|| format!("{share}, {time} us: {}", rest.trim().replace("  ", " ")))
}

#[cfg(all(test, unix))]
mod tests_of_rows {
    use super::super::part::End;
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[test]
    fn the_doctors_lines_become_rows() {
        let text = "found  A\ntaken  A (GPU)\n       memory: 8 MiB\nok     product: fine\nFAILED training: off\n\
                    result: checks=2 failed=1 kind=GPU\n";
        let end = End::Status(ExitStatus::from_raw(256));
        let rows = doctor(&Ran { text: text.into(), end, seconds: 1.0 });
        let pairs: Vec<_> = rows.iter().map(|r| (r.part.as_str(), r.result.as_str())).collect();
        assert!(rows[0].failed && pairs[0].1.starts_with("FAILED"));
        assert_eq!(
            pairs[1..],
            [("doctor: memory", "8 MiB"), ("doctor: product", "fine"), ("doctor: training", "off"),]
        );
    }

    #[test]
    fn kernels_have_share_time_and_name() {
        let line = "    50      795.8  24.8%    1849.0      2.4     1.420       1.8  fused[t0 = mul(x0, x1)]  // Adam";
        assert_eq!(kernel(line).unwrap(), "24.8%, 795.8 us: fused[t0 = mul(x0, x1)] // Adam");
        let line =
            "    50        1.0   1.0%       1.0      2.4     0.000       0.0  gather[64 rows]";
        assert_eq!(kernel(line).unwrap(), "1.0%, 1.0 us: gather[64 rows]");
        assert_eq!(kernel(" calls    us/call  share  KiB  GB/s  MFLOP  GFLOP/s  kernel"), None);
        assert_eq!(kernel("step: 2.868 ms"), None);
    }

    #[test]
    fn each_benchmark_has_its_numbers() {
        let pair = |a: &str, b: &str| vec![(a.to_string(), b.to_string())];
        let text = "AB 1x1x1: wgrad 2.0 GFLOP/s, gemm crate 3.0 GFLOP/s\n";
        assert_eq!(numbers("matmul", text), pair("1x1x1", "AB 2.0 GFLOP/s"));
        let text = "result: bare_seconds=1.0 fit_seconds=1.1 ratio_of_best=1.1 median_ratio=1.1\n";
        assert_eq!(
            numbers("fit", text),
            pair("an epoch", "bare 1.000 s, fit 1.100 s, ratio 1.100")
        );
        assert_eq!(numbers("first_step", "first step, cold: 1.6 s\n"), pair("cold", "1.6 s"));
        assert_eq!(numbers("kernels", "a/b  time:   [1 ms 2 ms 3 ms]\n"), pair("a/b", "2 ms"));
        assert!(numbers("fit", "stopped").is_empty());
    }
}
