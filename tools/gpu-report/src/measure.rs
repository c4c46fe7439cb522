//! All parts on the target, the most important first, so that the least is lost if time runs out.

use crate::Choice;
use crate::contest::Contest;
use crate::folder::{self, Carried};
use crate::guests::Guests;
use crate::numbers::numbers;
use crate::part::{Ran, Site};
use crate::rows::{Counts, Rows};
use crate::table::Row;
use crate::{read, vulkan};
use anyhow::{Context, Result};
use peers::machine;
use peers::models::{MODELS, Model};
use peers::record::{Adapter, Results, Skipped};
use std::path::Path;
use std::time::{Duration, Instant};
use xtask::dataset;
use xtask::process::say;

/// What everything together may take; the table and the last process' end have the rest of eight minutes.
const TIME: Duration = Duration::from_secs(455);

/// Criterion with short measurements: many benchmarks share the time.
const SHORT: [&str; 6] =
    ["--bench", "--noplot", "--warm-up-time", "0.2", "--measurement-time", "0.5"];

/// Measures with what is in the folder and prints the table, even if parts fail; gives how many parts failed or
/// were not reached.
pub fn run(root: &Path, choice: &Choice) -> Result<Counts> {
    let mut site = Site::new(root, Instant::now() + TIME)?;
    let mut rows = Rows::new(root.join("report"));
    say("unpacking");
    folder::unpack(&root.join("bin"), &root.join("work/bin"))?;
    let doctor = vulkan::find(&mut site)?;
    let ended = parts(&site, &doctor, choice, &mut rows);
    if let Err(error) = &ended {
        let row = Row::further("the parts that follow", format!("FAILED: {error:#}"));
        rows.push(Row { failed: true, ..row });
    }
    let (text, counts) = rows.finish(ended.is_ok())?;
    println!("{text}");
    Ok(counts)
}

/// All parts after the doctor, each with its rows.
fn parts(site: &Site, doctor: &Ran, choice: &Choice, rows: &mut Rows) -> Result<()> {
    rows.on(doctor.text.lines().find_map(|l| l.strip_prefix("taken  ")).unwrap_or("?"));
    rows.extend(self::doctor(doctor));
    if choice.takes("tests") {
        tests(site, "ops", "op tests", false, rows)?;
        tests(site, "ops", "op tests, checked shaders", true, rows)?;
        tests(site, "memory", "memory tests", false, rows)?;
    }
    let products = match choice.takes("benchmarks") {
        true => benchmarks(site, rows)?,
        false => String::new(),
    };

    let adapter = adapter(site, rows)?;
    let guests = Guests::look(site, adapter.is_gpu(), rows)?;
    if choice.takes("benchmarks") {
        guests.product(&products, rows)?;
    }
    contests(&guests, adapter, choice, rows)
}

/// All benchmarks, and the profile of a step; gives what that of products printed.
fn benchmarks(site: &Site, rows: &mut Rows) -> Result<String> {
    let products = bench(site, "matmul", 60, rows)?;
    for (name, limit) in [
        ("step", 30),
        ("kernels", 30),
        ("dispatches", 40),
        ("embedding", 30),
        ("fit", 60),
        ("first_step", 30),
        ("planner", 30),
        ("convolution", 60),
    ] {
        bench(site, name, limit, rows)?;
    }
    profile(site, rows)?;
    Ok(products.text)
}

/// The adapter, as wgrad's peer names it.
fn adapter(site: &Site, rows: &mut Rows) -> Result<Adapter> {
    let mut command = site.program("peer");
    command.arg("--adapter");
    let ran = site.run("adapter", command, 30)?;
    rows.push(Row::of("adapter of the contests", &ran, || {
        read::json(&ran.text).unwrap_or("?").into()
    }));
    let named = || serde_json::from_str(read::json(&ran.text)?).ok();
    named().context("wgrad's peer names no adapter")
}

/// The contests of the chosen models that this adapter can train.
fn contests(guests: &Guests, adapter: Adapter, choice: &Choice, rows: &mut Rows) -> Result<()> {
    let root = &guests.site.root;
    let images = root.join("work/mnist");
    let mnist = dataset::unpack(&root.join("data"), &images).is_ok().then_some(images);
    let (here, elsewhere): (Vec<Model>, Vec<Model>) =
        MODELS.into_iter().filter(|m| choice.takes(m.name)).partition(|m| guests.gpu || !m.large);
    let carried = Carried::read(root)?;
    // Rounds are short on a GPU. Only wgrad and PyTorch eager have more than one.
    let rounds = if guests.gpu { 2 } else { 1 };
    let mut skipped = guests.absent.clone();
    for model in elsewhere {
        let why = format!("{}, for GPUs only", model.shape());
        rows.push(Row::further(&format!("model {}", model.name), format!("not run: {why}")));
        skipped.push(Skipped { name: format!("model {}", model.name), why });
    }
    if mnist.is_none() {
        skipped.push(Skipped { name: "MNIST".into(), why: "the folder has none".into() });
    }
    for guest in guests.all.iter().filter(|g| g.name != "torch" && rounds > 1) {
        let why = "`cargo xtask gpu-report` has the time for one".into();
        skipped.push(Skipped { name: format!("further rounds of {}", guest.name), why });
    }
    let results = Results {
        date: machine::today(),
        machine: rows.machine().clone(),
        adapter,
        rounds,
        models: Vec::new(),
        builds: vec![carried.build.clone()],
        skipped,
    };
    let mut contest = Contest { guests, carried, mnist, results };
    here.iter().try_for_each(|model| contest.first(model, rows))?;
    here.iter().try_for_each(|model| contest.others(model, rows))
}

/// What the doctor says of the adapter and of its checks, a row each.
fn doctor(ran: &Ran) -> Vec<Row> {
    let mut rows = vec![Row::of("doctor", ran, || {
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

/// A test binary, with shaders as they are or with all checks.
fn tests(site: &Site, program: &str, name: &str, checked: bool, rows: &mut Rows) -> Result<()> {
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
        Some(why) if ran.missed() => why,
        Some(why) if failed.is_empty() => format!("{why}; {counted} before"),
        _ => counted,
    };
    rows.push(Row {
        failed: ran.failed() || !failed.is_empty(),
        missed: ran.missed(),
        ..Row::new(name, result, ran.seconds)
    });
    Ok(())
}

/// A benchmark, with a row for each number that it prints.
fn bench(site: &Site, name: &str, limit: u64, rows: &mut Rows) -> Result<Ran> {
    let mut command = site.program(name);
    match name {
        "fit" => drop(command.args(["--bench", "--quick"])),
        "matmul" | "kernels" | "step" => drop(command.args(SHORT)),
        _ => drop(command.arg("--bench")),
    }
    let ran = site.run(name, command, limit)?;
    let numbers = numbers(name, &ran.text);
    rows.push(Row::of(&format!("bench {name}"), &ran, || format!("{} results", numbers.len())));
    for (what, said) in &numbers {
        // Some names begin with the benchmark's.
        let what = what.strip_prefix(name).unwrap_or(what).trim_end_matches("/wgrad").trim();
        rows.push(Row::further(&format!("{name}: {what}"), said));
    }
    Ok(ran)
}

/// What takes the time of S's step: the slowest kernels.
fn profile(site: &Site, rows: &mut Rows) -> Result<()> {
    let mut command = site.program("wgrad");
    command.args(["profile", "--hidden", "128,128", "--batch", "64", "--trace"]);
    command.arg(site.root.join("report/step-S.json"));
    let ran = site.run("profile", command, 30)?;
    rows.push_profile("profile of S", "profile: kernel", 5, &ran);
    Ok(())
}

#[cfg(all(test, unix))]
mod tests_of_rows {
    use super::*;
    use crate::part::End;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[test]
    fn the_doctors_lines_become_rows() {
        let text = "found  A\ntaken  A (GPU)\n       memory: 8 MiB\nok     product: fine\nFAILED training: off\n\
                    result: checks=2 failed=1 kind=GPU\n";
        let end = End::Status(ExitStatus::from_raw(256));
        let rows = doctor(&Ran { text: text.into(), end, seconds: 1.0, peak_memory: None });
        let pairs: Vec<_> = rows.iter().map(|r| (r.part.as_str(), r.result.as_str())).collect();
        assert!(rows[0].failed && pairs[0].1.starts_with("FAILED"));
        assert_eq!(
            pairs[1..],
            [("doctor: memory", "8 MiB"), ("doctor: product", "fine"), ("doctor: training", "off"),]
        );
    }
}
