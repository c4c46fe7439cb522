//! The `figures` command: what this library does on this machine, as the README's table of figures shows it.
//!
//! It runs the `mnist` example and three of the benchmarks, writes `benches/results/<adapter>.json`, and makes the table
//! of all files there. Nothing in the table is written by hand.

#![warn(clippy::missing_docs_in_private_items)]

mod table;

use anyhow::{Context, Result};
use gpu_report::read;
use peers::record::{Adapter, Machine};
use peers::{files, machine};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::PathBuf;
use xtask::process::{cargo, end, output, root, say, wrong_use};
use xtask::{adapter, mnist};

/// What is printed for `--help`, and for a wrong command line.
const USAGE: &str = "\
usage: cargo xtask figures [--tables]

Trains MNIST and runs benchmarks, and writes benches/results and the README's table of figures;
--tables makes only the table.";

/// The marks before and after the table.
const MARKS: [&str; 2] = ["<!-- figures:begin -->", "<!-- figures:end -->"];

/// The size of the product.
const SIZE: &str = "512x512x512";
/// The step whose times are shown, as the benchmark names it.
const STEP: &str = "step 784-128-10 batch 32";

/// What was measured on one adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The day, as year-month-day.
    pub date: String,
    /// The machine before the first run.
    pub machine: Machine,
    /// The adapter.
    pub adapter: Adapter,
    /// The example `mnist` with its default options.
    pub mnist: Mnist,
    /// Kernel launches of a training step of its model, batch 32.
    pub launches: usize,
    /// How long the step takes, in Criterion's words.
    pub step: String,
    /// How long the host alone takes for it.
    pub host: String,
    /// From a process' start to the end of its first step, with the shader caches off and as they are.
    pub first_step: [String; 2],
    /// GFLOP/s of the product of 512 in its three forms.
    pub product: Vec<(String, f64)>,
}

/// What the example `mnist` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mnist {
    /// The share of test images that are told right.
    pub accuracy: f64,
    /// Passes over the training images.
    pub epochs: f64,
    /// Seconds per pass.
    pub epoch_seconds: f64,
}

fn main() {
    std::process::exit(end(run(std::env::args_os().skip(1).collect())));
}

/// Runs the command.
fn run(words: Vec<OsString>) -> Result<()> {
    match words.iter().map(|w| w.to_str()).collect::<Vec<_>>()[..] {
        [] => {}
        [Some("--tables")] => return update_readme(),
        [Some("--help" | "-h")] => {
            println!("{USAGE}");
            return Ok(());
        }
        _ => return Err(wrong_use("`figures` takes no more than `--tables`", USAGE)),
    }
    adapter::ensure(&["--release", "--example", "mnist"])?;
    let data = mnist::data_folder(None, std::env::var_os("WGRAD_DATA"))?;
    say("building the benchmarks");
    output(&mut cargo(&["bench", "--package", "wgrad-benches", "--no-run"]))?;

    let (date, machine) = (machine::today(), machine::machine());
    say("training");
    let mut example = cargo(&["run", "--quiet", "--release", "--example", "mnist", "--", "--data"]);
    let trained = output(example.arg(data))?;
    let bench = |name: &str, args: &[&str]| {
        say(format_args!("measuring: {name}"));
        let all = ["bench", "--quiet", "--package", "wgrad-benches", "--bench", name, "--"];
        output(cargo(&all).args(args))
    };
    let figures = Figures {
        date,
        machine,
        ..read_all(
            &trained,
            &bench("step", &["--noplot", &format!("{STEP}/(adapter|host)")])?,
            &bench("first_step", &[])?,
            &bench("matmul", &["--noplot", &format!("{SIZE}/wgrad")])?,
        )?
    };
    let name = files::file_name(&figures.adapter.name);
    let path = folder().join(format!("{name}.json"));
    std::fs::create_dir_all(folder())?;
    std::fs::write(&path, serde_json::to_string_pretty(&figures)? + "\n")
        .with_context(|| path.display().to_string())?;
    update_readme()?;
    print!("{}", table::one(&figures));
    say(format_args!("the results are in {}", path.display()));
    Ok(())
}

/// The folder of results.
fn folder() -> PathBuf {
    root().join("benches/results")
}

/// Makes the README's table again from the kept results.
fn update_readme() -> Result<()> {
    files::update(MARKS, &table::all(&files::read(&folder())?))
}

/// What the programs printed: the example, and the benchmarks of steps, first steps and products. Machine and day are
/// not in it.
fn read_all(trained: &str, steps: &str, first: &str, products: &str) -> Result<Figures> {
    let number = |key| read::number(trained, key).with_context(|| format!("mnist prints no {key}"));
    let times = read::criterion(steps);
    let time = |kind: &str| {
        let name = format!("{STEP}/{kind}");
        let found = times.iter().find(|(n, _)| *n == name);
        found.map(|(_, time)| time.clone()).with_context(|| format!("no time of {name}"))
    };
    let first = |name: &str| {
        let start = format!("first step, {name}: ");
        let line = first.lines().find_map(|line| line.strip_prefix(&start));
        // Processor time may follow.
        let clock = line.and_then(|line| line.split(',').next());
        clock.map(str::to_string).with_context(|| format!("no {name} first step"))
    };
    let adapter = steps.lines().find_map(|line| line.strip_prefix("adapter: "));
    // The first model that the benchmark takes is the one of `STEP`.
    let launches = steps.lines().find_map(|line| {
        line.strip_prefix("adapter: ")?.strip_suffix(" dispatches")?.parse::<usize>().ok()
    });
    let product = read::products(products).into_iter().find(|(size, _)| size == SIZE);
    Ok(Figures {
        date: String::new(),
        machine: Machine { cpu: String::new(), cores: 0, system: String::new(), load: None },
        adapter: adapter.and_then(named).context("the benchmark names no adapter")?,
        mnist: Mnist {
            accuracy: number("test_accuracy")?,
            epochs: number("epochs")?,
            epoch_seconds: number("seconds_per_epoch")?,
        },
        launches: launches.context("the benchmark counts no dispatches")?,
        step: time("adapter")?,
        host: time("host only")?,
        first_step: [first("cold")?, first("warm")?],
        product: product.context("no product of 512")?.1,
    })
}

/// The adapter out of what `Device::info` prints: name, and kind, backend and driver in brackets.
fn named(info: &str) -> Option<Adapter> {
    let (head, driver) = info.strip_suffix(')')?.split_once("; ")?;
    let (name, kind) = head.rsplit_once(" (")?;
    let (kind, backend) = kind.split_once(", ")?;
    let [name, kind, backend, driver] = [name, kind, backend, driver].map(String::from);
    Some(Adapter { name, kind, backend, driver })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &str = "adapter: soft (LLVM 15, 256 bits) (CPU, vulkan; D (x; y))\nadapter: 8 dispatches\n\
        step 784-128-10 batch 32/adapter\n            time:   [1.1 ms 1.2 ms 1.3 ms]\nhost only: 8 dispatches\n\
        step 784-128-10 batch 32/host only\n            time:   [2.1 µs 2.2 µs 2.3 µs]\nadapter: 11 dispatches\n";
    const TRAINED: &str =
        "result: test_accuracy=0.9763 test_loss=0.08 epochs=5 seconds_per_epoch=2.80 first=1\n";
    const FIRST: &str =
        "first step, cold: 1.50 s, 1.40 s of processor time\nfirst step, warm: 0.20 s\n";
    const PRODUCTS: &str =
        "AB 512x512x512: wgrad 50.0 GFLOP/s\nAB 1024x1024x1024: wgrad 0.0 GFLOP/s\n";

    #[test]
    fn figures_are_read_from_what_the_programs_print() {
        let figures = read_all(TRAINED, STEPS, FIRST, PRODUCTS).unwrap();
        assert_eq!(figures.adapter.name, "soft (LLVM 15, 256 bits)");
        assert_eq!(
            (figures.adapter.kind.as_str(), figures.adapter.driver.as_str()),
            ("CPU", "D (x; y)")
        );
        assert_eq!((figures.mnist.accuracy, figures.mnist.epoch_seconds), (0.9763, 2.8));
        assert_eq!(
            (figures.launches, figures.step.as_str(), figures.host.as_str()),
            (8, "1.2 ms", "2.2 µs")
        );
        assert_eq!(figures.first_step, ["1.50 s", "0.20 s"]);
        assert_eq!(figures.product, [("AB".to_string(), 50.0)]);
    }

    #[test]
    fn a_number_that_is_missing_is_an_error_that_names_it() {
        for (trained, steps, first, products, what) in [
            ("", STEPS, FIRST, PRODUCTS, "test_accuracy"),
            (
                TRAINED,
                "adapter: A (CPU, b; d)\nadapter: 8 dispatches\n",
                FIRST,
                PRODUCTS,
                "batch 32/adapter",
            ),
            (TRAINED, STEPS, "first step, cold: 1 s\n", PRODUCTS, "warm"),
            (TRAINED, STEPS, FIRST, "", "512"),
        ] {
            let error = read_all(trained, steps, first, products).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    #[test]
    fn a_wrong_word_is_a_wrong_use() {
        assert_eq!(end(run(vec!["--no-such".into()])), 2);
        assert_eq!(end(run(vec!["--help".into()])), 0);
    }

    #[test]
    fn the_readme_is_made_of_the_kept_figures() {
        let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
        let kept: Vec<Figures> = files::read(&folder()).unwrap();
        assert!(!kept.is_empty());
        let made = files::with_table(&readme, MARKS, &table::all(&kept)).unwrap();
        assert_eq!(readme, made, "`cargo xtask figures --tables` makes it anew");
    }
}
