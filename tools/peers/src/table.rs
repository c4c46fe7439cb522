//! The tables, made only of results.

use crate::models::{MODELS, Model, TOLERANCE};
use crate::record::{Adapter, Build, Machine, ModelResults, PeerResults, Results, median};
use crate::roster::ROSTER;
use std::fmt::Write;

/// What a cell without a number shows.
const NONE: &str = "–";

/// The page of one adapter's results.
pub fn page(results: &Results) -> String {
    let mut page = format!("# Peers on {}\n\n", results.adapter.name);
    page += "Made by `cargo xtask peers` from the `.json` of the same name; what the columns mean stands in \
             [README.md](../README.md).\n\n";
    page += &conditions_of(results);
    for model in &results.models {
        page += &model_table(model);
    }
    if !results.builds.is_empty() {
        page += "\n## Builds\n\n";
        page += &table(
            &[
                "peer",
                "packages locked",
                "of them built here",
                "clean build",
                "load then",
                "binary",
            ],
            results.builds.iter().map(build_row),
        );
    }
    if !results.skipped.is_empty() {
        page += "\n## Left out\n\n";
        for skipped in &results.skipped {
            page += &format!("- {}: {}\n", skipped.name, skipped.why);
        }
    }
    page
}

/// The part of the README between its marks: a table for each adapter, its peers in rows.
pub fn readme(all: &[Results]) -> String {
    let mut text = String::new();
    for results in all {
        if !text.is_empty() {
            text += "\n";
        }
        write!(text, "**{}**: ", results.adapter.name).unwrap_or_default();
        text += &conditions_of(results);
        text += "\n";
        let mut head = vec!["peer".to_string()];
        for model in &results.models {
            let known = MODELS.iter().find(|m| m.name == model.model);
            let title = known.map_or_else(|| model.shape.clone(), Model::title);
            head.push(format!("{} ({title}), ms per step", model.model));
        }
        let first = results.models.first().map_or("S", |m| &m.model);
        head.push(format!("first step of {first}, cold; warm"));
        head.push("MNIST epoch, accuracy".into());
        head.push("peak memory".into());
        head.push("packages locked".into());
        head.push("clean build".into());
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let peers = ROSTER.iter().map(|peer| peer.name);
        let there = peers.filter(|name| results.models.iter().any(|m| m.peer(name).is_some()));
        text += &table(&head, there.map(|name| readme_row(results, name)));
        for skipped in &results.skipped {
            text += &format!("\nNot run: {} ({}).", skipped.name, skipped.why);
        }
        text += if results.skipped.is_empty() { "" } else { "\n" };
    }
    text
}

/// Adapter, machine, day, what `more` adds, and load, in one line.
pub fn conditions(adapter: &Adapter, machine: &Machine, date: &str, more: &str) -> String {
    let load = machine.load.map(|l| format!(", load {l:.1} before the run")).unwrap_or_default();
    format!(
        "{} ({}, {}); {}, {} threads, {}; {date}{more}{load}.\n",
        adapter.kind, adapter.backend, adapter.driver, machine.cpu, machine.cores, machine.system
    )
}

/// The conditions of a comparison.
fn conditions_of(results: &Results) -> String {
    let rounds = format!("; {} rounds", results.rounds);
    conditions(&results.adapter, &results.machine, &results.date, &rounds)
}

/// The heading and table of one model.
fn model_table(model: &ModelResults) -> String {
    let mut text = format!("\n## {}: {}\n\n", model.model, model.shape);
    if let (Some(spread), Some(expected)) = (model.spread(), model.expected()) {
        let of = if model.reference.is_some() { "f64" } else { "the first peer's" };
        text += &format!(
            "Loss after {} steps {expected:.6} ({of}); peers differ from it by at most {spread:.1e}, \
             {TOLERANCE:.0e} is allowed.\n\n",
            model.steps
        );
    }
    let mut head = vec![
        "peer",
        "ms per step, median (least)",
        "times wgrad's",
        "samples/s",
        "first step cold",
        "warm",
        "peak memory",
        "MNIST epoch",
        "accuracy",
        "loss",
        "computed on",
    ];
    let mut rows: Vec<_> = model.peers.iter().map(|peer| model_row(model, peer)).collect();
    if model.peers.iter().any(|peer| peer.predict().is_some()) {
        let place = 4;
        head.insert(place, "ms per batch of predict");
        for (row, peer) in rows.iter_mut().zip(&model.peers) {
            row.insert(place, or_none(peer.predict().map(ms)));
        }
    }
    text + &table(&head, rows.into_iter())
}

/// A peer's row in a model's table. One that failed says why in place of its times.
fn model_row(model: &ModelResults, peer: &PeerResults) -> Vec<String> {
    let loss = peer.losses.first().map(|l| format!("{l:.5}"));
    let mut row = vec![named(peer)];
    if let Some(why) = &peer.failure {
        row.push(why.clone());
        row.extend(vec![NONE.to_string(); 7]);
    } else {
        let step = |least: bool| if least { peer.step_least() } else { peer.step() };
        let steps = step(false).zip(step(true));
        row.push(or_none(steps.map(|(s, least)| format!("{} ({})", ms(s), ms(least)))));
        row.push(or_none(ratio(model, peer)));
        row.push(or_none(peer.step().map(|s| format!("{:.0}", model.batch as f64 / s))));
        row.push(or_none(peer.first_step_cold.map(seconds)));
        row.push(or_none(median(&peer.first_step_warm).map(seconds)));
        row.push(or_none(peer.peak_memory.map(megabytes)));
        row.push(or_none(median(&peer.mnist_epoch_seconds).map(seconds)));
        row.push(or_none(median(&peer.mnist_accuracy).map(percent)));
    }
    row.push(or_none(loss));
    row.push(if peer.device.is_empty() { NONE.into() } else { peer.device.clone() });
    row
}

/// A peer's row in the README.
fn readme_row(results: &Results, name: &str) -> Vec<String> {
    let on = |model: &ModelResults| model.peer(name).cloned();
    let any = results.models.iter().find_map(on).unwrap_or_default();
    let first = results.models.first().and_then(on).filter(|p| p.failure.is_none());
    let build = results.builds.iter().find(|b| b.name == name);
    let mut row = vec![named(&any)];
    for model in &results.models {
        let Some(peer) = model.peer(name) else {
            row.push(NONE.into());
            continue;
        };
        let cell = match (&peer.failure, peer.step(), ratio(model, peer)) {
            (Some(why), ..) => Some(why.clone()),
            (None, Some(step), Some(ratio)) => Some(format!("{} ({ratio})", ms(step))),
            (None, step, _) => step.map(ms),
        };
        row.push(or_none(cell));
    }
    let peer = first.unwrap_or_default();
    let pair = |a: Option<String>, b: Option<String>, with: &str| match (a, b) {
        (Some(a), Some(b)) => format!("{a}{with}{b}"),
        (a, b) => or_none(a.or(b)),
    };
    let warm = median(&peer.first_step_warm).map(seconds);
    row.push(pair(peer.first_step_cold.map(seconds), warm, "; "));
    let epoch = median(&peer.mnist_epoch_seconds).map(seconds);
    row.push(pair(epoch, median(&peer.mnist_accuracy).map(percent), ", "));
    row.push(or_none(peer.peak_memory.map(megabytes)));
    row.push(or_none(build.map(|b| b.locked.to_string())));
    row.push(or_none(build.and_then(|b| b.clean_seconds).map(seconds)));
    row
}

/// A row of the table of builds.
fn build_row(build: &Build) -> Vec<String> {
    vec![
        build.name.clone(),
        build.locked.to_string(),
        build.built.to_string(),
        or_none(build.clean_seconds.map(seconds)),
        or_none(build.clean_load.map(|l| format!("{l:.1}"))),
        or_none(build.binary.map(megabytes)),
    ]
}

/// A peer with its version.
fn named(peer: &PeerResults) -> String {
    format!("{} {}", peer.name, peer.version).trim().into()
}

/// How many times wgrad's step this one takes.
fn ratio(model: &ModelResults, peer: &PeerResults) -> Option<String> {
    let base = model.peer(ROSTER[0].name)?.step()?;
    Some(format!("{}×", three(peer.step()? / base)))
}

/// A table in Markdown.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| {
        // A bar within a cell would end it.
        let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = line(&head.iter().map(ToString::to_string).collect::<Vec<_>>());
    text += &format!("|{}\n", "---|".repeat(head.len()));
    rows.for_each(|row| text += &line(&row));
    text
}

/// A cell that may be without a number.
fn or_none(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| NONE.into())
}

/// Three digits, or all those before the point.
fn three(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// Seconds as milliseconds.
fn ms(seconds: f64) -> String {
    three(seconds * 1e3)
}

/// Seconds with their unit.
fn seconds(seconds: f64) -> String {
    format!("{} s", three(seconds))
}

/// Bytes as megabytes.
fn megabytes(bytes: u64) -> String {
    format!("{} MB", three(bytes as f64 / 1e6))
}

/// A share as percent.
fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Adapter, Machine, Skipped};

    /// A run of wgrad and two peers, one of which crashed.
    fn results() -> Results {
        let peer = |name: &str, step: f64| PeerResults {
            name: name.into(),
            version: "1.0".into(),
            device: "a".into(),
            losses: vec![0.25],
            first_step_cold: Some(1.5),
            first_step_warm: vec![0.3],
            step_seconds: vec![vec![step, step * 1.1], vec![step * 1.2]],
            mnist_epoch_seconds: vec![2.0],
            mnist_accuracy: vec![0.95],
            peak_memory: Some(123_000_000),
            ..Default::default()
        };
        let failure = Some("crashed (signal: 11): a | b".to_string());
        let crashed = PeerResults { failure, losses: vec![], ..peer("burn", 0.02) };
        Results {
            date: "2026-01-02".into(),
            machine: Machine { cpu: "C".into(), cores: 2, system: "linux".into(), load: Some(0.1) },
            adapter: Adapter {
                name: "A".into(),
                kind: "CPU".into(),
                backend: "vulkan".into(),
                driver: "D".into(),
            },
            rounds: 2,
            models: vec![ModelResults {
                model: "S".into(),
                shape: "784-8-8-10, batch 64".into(),
                batch: 64,
                steps: 50,
                reference: Some(0.2501),
                peers: vec![peer("wgrad", 0.002), crashed, peer("jax", 0.001)],
            }],
            builds: vec![Build {
                name: "wgrad".into(),
                locked: 100,
                built: 85,
                clean_seconds: Some(61.0),
                clean_load: Some(1.0),
                binary: Some(9_000_000),
            }],
            skipped: vec![Skipped { name: "torch".into(), why: "no module".into() }],
        }
    }

    #[test]
    fn a_page_has_every_number_and_a_crash_is_a_row_that_says_so() {
        let page = page(&results());
        for part in [
            "| wgrad 1.0 | 2.20 (2.00) | 1.00× | 29091 | 1.50 s | 0.30 s | 123 MB | 2.00 s | 95.00 % | 0.25000 | a |",
            "| jax 1.0 | 1.10 (1.00) | 0.50× |",
            "| burn 1.0 | crashed (signal: 11): a \\| b | – | – | – | – | – | – | – | – | a |",
            "| wgrad | 100 | 85 | 61.0 s | 1.0 | 9.00 MB |",
            "- torch: no module",
            "differ from it by at most 1.0e-4",
        ] {
            assert!(page.contains(part), "{part}\nis not in\n{page}");
        }
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        let lines: Vec<_> = page.lines().filter(|l| l.starts_with('|')).collect();
        assert!(lines[1..5].iter().all(|l| columns(l) == columns(lines[0])), "{page}");
    }

    #[test]
    fn prediction_has_a_column_if_it_was_timed() {
        let mut results = results();
        let head = "| samples/s | ms per batch of predict | first step cold |";
        assert!(!page(&results).contains(head));
        results.models[0].peers[0].predict_seconds = vec![vec![0.004, 0.005], vec![0.006]];
        let page = page(&results);
        for part in [head, "| 29091 | 5.00 | 1.50 s |", "| 58182 | – | 1.50 s |", "b | – | – |"]
        {
            assert!(page.contains(part), "{part}\nis not in\n{page}");
        }
    }

    #[test]
    fn the_readme_has_a_row_per_peer() {
        let text = readme(&[results()]);
        let row = "| wgrad 1.0 | 2.20 (1.00×) | 1.50 s; 0.30 s | 2.00 s, 95.00 % | 123 MB | 100 | 61.0 s |";
        assert!(text.contains("| packages locked | clean build |") && text.contains(row), "{text}");
        assert!(text.contains("| burn 1.0 | crashed (signal: 11): a \\| b | – | – |"), "{text}");
        assert!(text.contains("Not run: torch (no module)."));
    }

    #[test]
    fn numbers_have_three_digits() {
        let numbers = [0.0012, 1.234, 12.34, 123.4, 1234.5].map(three);
        assert_eq!(numbers, ["0.00", "1.23", "12.3", "123", "1234"]);
    }
}
