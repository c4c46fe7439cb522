//! The test of the page in headless Chromium, on its software adapter.
//!
//! A script for playwright-core drives the browser and gives what it saw as JSON; what must hold is decided here.

use crate::build::DIGITS_FILE;
use crate::serve::Server;
use anyhow::{Context, Result, ensure};
use lzma_rust2::LzmaReader;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use xtask::process::{cargo, output, root, say, skipped, status, target};
use xtask::toolchain::program;

/// The driver of browsers, and its version.
const PLAYWRIGHT: [&str; 2] = ["playwright-core", "1.65.1"];
/// Steps that are compared: full-batch ones on XOR, and batches of digits.
const STEPS: [usize; 2] = [200, 200];
/// How far losses may be from native ones. They begin at 0.7 and 1.9.
const LOSS: f64 = 1e-5;
/// Seconds until the end of the first step of each network, shaders compiled, and until a person sees the first one learn.
const FIRST_STEP: f64 = 10.0;
/// The share of a picture that is of each class' colour: a quarter of it is the plane, and buttons have little.
const COLOUR: f64 = 0.01;
/// Ms of the page's longest task while both networks train.
const LONGEST_TASK: f64 = 200.0;
/// Ms between two of its pictures then, in the median. The browser draws and computes on the same cores.
const FRAME: f64 = 100.0;
/// Submits that may be under way at once: two of each plan, and what a readback adds.
const IN_FLIGHT: f64 = 6.0;
/// KB of WebAssembly and JavaScript to download that the page may have: it does not grow unnoticed.
pub const SIZE: usize = 400;

/// What a test of the page needs.
pub struct Browser {
    /// The program of the browser.
    chromium: PathBuf,
    /// The folder of the driver.
    driver: PathBuf,
}

/// Whether a folder has the driver, of its version.
fn has_driver(folder: &Path) -> bool {
    let [name, version] = PLAYWRIGHT;
    let package = folder.join("node_modules").join(name).join("package.json");
    let package = fs::read_to_string(package).ok();
    let package = package.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    package.is_some_and(|package| package["version"] == version)
}

impl Browser {
    /// Looks for the browser and its driver, and gets the driver if npm can. What is not there and cannot be had skips the test.
    pub fn find() -> Result<Self> {
        let lacks = |why| skipped("the test of the page", &why);
        let chromium =
            program(&["chromium", "chromium-browser", "google-chrome"]).map_err(lacks)?;
        program(&["node"]).map_err(lacks)?;
        let driver = target().join("web").join("driver");
        fs::create_dir_all(&driver)?;
        if !has_driver(&driver) {
            let mut install = Command::new(program(&["npm"]).map_err(lacks)?);
            install.args(["install", "--no-audit", "--no-fund", &PLAYWRIGHT.join("@")]);
            let had = output(install.current_dir(&driver));
            had.context("playwright-core cannot be had").map_err(lacks)?;
        }
        fs::copy(root().join("tools/web/driver/test.mjs"), driver.join("test.mjs"))?;
        Ok(Self { chromium, driver })
    }

    /// Tests the page in `site`.
    pub fn test(&self, site: &Path) -> Result<()> {
        let native = native(site)?;
        let shaders = shaders()?;
        let server = Server::open(&patched(site)?, 0)?;
        let address = server.address();
        std::thread::spawn(move || server.run());
        say("the page in Chromium");
        let pictures = target().join("web");
        let mut node = Command::new("node");
        node.current_dir(&self.driver).arg("test.mjs").arg(&self.chromium).arg(address);
        node.args([shaders.as_os_str(), pictures.as_os_str()]);
        node.args(STEPS.map(|steps| steps.to_string()).iter().map(OsStr::new));
        node.stderr(Stdio::inherit());
        let seen = output(&mut node).context("the page failed in Chromium")?;
        let seen: Value = serde_json::from_str(&seen).context("what the driver saw")?;
        check(&native, &seen)?;
        say(format_args!("{}", summary(&seen)));
        say(format_args!("pictures: {}/page*.png", pictures.display()));
        Ok(())
    }
}

/// A copy of the page whose Worker begins with what the test looks at.
fn patched(site: &Path) -> Result<PathBuf> {
    let folder = target().join("web").join("tested");
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(site)? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    let patch = fs::read_to_string(root().join("tools/web/driver/patch.js"))?;
    let worker = fs::read_to_string(site.join("worker.js"))?;
    fs::write(folder.join("worker.js"), patch + &worker)?;
    Ok(folder)
}

/// The losses on this machine.
fn native(site: &Path) -> Result<Value> {
    let mut digits = Vec::new();
    let packed = BufReader::new(fs::File::open(site.join(DIGITS_FILE))?);
    LzmaReader::new_mem_limit(packed, u32::MAX, None)?.read_to_end(&mut digits)?;
    let file = target().join("web").join("digits.bin");
    fs::write(&file, digits)?;
    say("the same steps natively");
    let args = ["run", "--quiet", "--package", "wgrad-web", "--example", "reference", "--"];
    let mut reference = cargo(&args);
    reference.arg(file).args(STEPS.map(|steps| steps.to_string()));
    let losses = output(&mut reference)?;
    serde_json::from_str(&losses).context("native losses")
}

/// Writes the kernels that a browser can run into a folder.
fn shaders() -> Result<PathBuf> {
    let folder = target().join("web").join("shaders");
    if folder.is_dir() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    say("every kernel for a browser");
    // The features of the other tests, so that nothing is built again.
    let args = ["test", "--quiet", "--workspace", "--all-features", "--test", "shaders"];
    let mut write = cargo(&args);
    write.arg("kernels_of_a_browser").env("WGRAD_SHADERS", &folder);
    ensure!(status(&mut write)?.success(), "the kernels cannot be written");
    Ok(folder)
}

/// The values of a list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The numbers of a list. `NaN` comes as `null`, so then the list is shorter.
fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().filter_map(Value::as_f64).collect()
}

/// What must hold of what a browser gave.
fn check(native: &Value, seen: &Value) -> Result<()> {
    for (name, least) in [("xor", STEPS[0]), ("mnist", STEPS[1] / 10)] {
        let (own, theirs) = (numbers(&native[name]), numbers(&seen[name]));
        ensure!(own.len() == least && theirs.len() == least, "{name}: {own:?}, {theirs:?}");
        ensure!(own[least - 1] < own[0] / 2.0, "{name}: nothing is learned: {own:?}");
        for (step, (own, theirs)) in own.iter().zip(&theirs).enumerate() {
            let off = (own - theirs).abs();
            ensure!(off <= LOSS, "{name}: loss {step} is {theirs}, natively {own}");
        }
    }
    let number = |name: &str| seen[name].as_f64().with_context(|| format!("{name} is missing"));
    for (name, most) in [("learns", FIRST_STEP), ("in_flight", IN_FLIGHT)] {
        let found = number(name)?;
        ensure!(found > 0.0 && found <= most, "{name}: {found}, at most {most}");
    }
    let within = |times: &[f64]| times.len() == 2 && times.iter().all(|&t| t <= FIRST_STEP);
    let first = &seen["first_steps"];
    ensure!(within(&numbers(first)), "first steps: {first}, at most {FIRST_STEP} s each");
    ensure!(numbers(&seen["rates"]).len() == 2, "steps per second: {}", seen["rates"]);
    let (curves, steps) = (list(&seen["curves"]), list(&seen["steps"]));
    ensure!(curves.len() == 2 && steps.len() == 2, "curves: {curves:?}, to {steps:?}");
    for (curve, last) in curves.iter().zip(steps) {
        // From the first steps to the last one, and nowhere thin.
        let steps = [vec![0.0], numbers(curve)].concat();
        let end = steps[steps.len() - 1];
        let even = steps.windows(2).all(|w| w[0] < w[1] && w[1] - w[0] <= end / 4.0);
        let few = (3..=403).contains(&steps.len());
        ensure!(even && few && last.as_f64() == Some(end), "a curve: {curve}, to {last}");
    }
    let coloured = |picture: &Value| {
        let shares = numbers(picture);
        shares.len() == 2 && shares.iter().all(|&share| share >= COLOUR)
    };
    let pictures = list(&seen["colours"]);
    let all = pictures.len() == 2 && pictures.iter().all(coloured);
    ensure!(all, "blue and orange in the pictures: {}", seen["colours"]);
    // A stroke of each colour, from the upper part of the plane to the lower.
    let points: Vec<Vec<f64>> = list(&seen["points"]).iter().map(numbers).collect();
    let stroke = |class: f64, x: f64| {
        let all: Vec<_> = points.iter().filter(|p| p.len() == 3 && p[2] == class).collect();
        let falls = all.windows(2).all(|pair| pair[1][1] < pair[0][1]);
        all.len() > 4 && falls && all.iter().all(|p| (p[0] - x).abs() < 0.05)
    };
    ensure!(stroke(0.0, -0.6) && stroke(1.0, 0.6), "the points drawn are {}", seen["points"]);
    ensure!(seen["drawn"] == "7", "a seven is taken for {}", seen["drawn"]);
    let weights = &seen["weights"];
    ensure!(*weights == json!([true, true]), "weights from files are others: {weights}");
    ensure!(number("touched")? > 4.0, "a finger draws {} points", seen["touched"]);
    ensure!(number("longest_task")? <= LONGEST_TASK, "a task of {} ms", seen["longest_task"]);
    let frames = numbers(&seen["frames"]);
    let smooth = frames.len() == 2 && (1.0..=FRAME).contains(&frames[0]);
    ensure!(smooth, "ms between pictures, median and of 95 %: {frames:?}");
    for (name, why) in [
        ("shows_new", "new weights are not shown while nothing trains"),
        ("shows_loaded", "weights from a file are not shown while nothing trains"),
        ("empty", "a plane without points is not empty"),
    ] {
        ensure!(seen[name] == true, "{why}");
    }
    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let adapter = words(&seen["adapter"]);
    ensure!(adapter.len() > "Adapter: ".len(), "no adapter is named: `{adapter}`");
    let late = words(&seen["late"]);
    ensure!(late.contains("compiling matmul/"), "an error without its kernel: `{late}`");
    ensure!(seen["stopped"] == "Train", "after an error the button says {}", seen["stopped"]);
    let [no_gpu, no_program] = ["no_gpu", "no_program"].map(|name| &seen[name]);
    let told = no_gpu[0] == "No GPU for this page." && words(&no_gpu[1]).contains("WebGPU");
    ensure!(told, "without WebGPU the page says {no_gpu}");
    let told = no_program[0] == "This page did not start." && !words(&no_program[1]).is_empty();
    ensure!(told, "without its program the page says {no_program}");
    let cut_off = words(&seen["cut_off"][1]);
    ensure!(cut_off.contains("cut off"), "with a part of its program the page says {cut_off}");
    let errors = seen["errors"].as_array().context("errors")?;
    ensure!(errors.is_empty(), "the page reports: {errors:?}");
    let refused = seen["refused"].as_array().context("refused kernels")?;
    let some: Vec<String> = refused.iter().take(8).map(|kernel| format!("\n  {kernel}")).collect();
    ensure!(some.is_empty(), "Tint refuses {} kernels:{}", refused.len(), some.concat());
    for (name, least) in [("kernels", 800.0), ("pipelines", 60.0)] {
        ensure!(number(name)? > least, "few {name}: {}", seen[name]);
    }
    ensure!(seen["control"] == true, "Tint takes a kernel with a fault");
    Ok(())
}

/// What was seen, in a line.
fn summary(seen: &Value) -> String {
    format!(
        "{}; learns after {} s, first steps {} s; XOR and MNIST agree with native losses; at most {} submits under way; {} kernels are read, \
         {} compiled; steps per second: points {}, digits {}; longest task {} ms, between pictures {} ms",
        seen["adapter"],
        seen["learns"],
        seen["first_steps"],
        seen["in_flight"],
        seen["kernels"],
        seen["pipelines"],
        seen["rates"][0],
        seen["rates"][1],
        seen["longest_task"],
        seen["frames"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::sources::Scratch;

    /// Losses that fall by half at each tenth of the steps.
    fn falling(n: usize) -> Vec<f64> {
        (0..n).map(|i| 0.5f64.powf(10.0 * i as f64 / n as f64)).collect()
    }

    #[test]
    fn what_does_not_hold_is_noticed() {
        let (xor, mnist) = (falling(STEPS[0]), falling(STEPS[1] / 10));
        let native = json!({ "xor": xor, "mnist": mnist });
        let strokes = |places: [f64; 2]| -> Vec<Value> {
            let stroke = |class: usize| {
                (0..6).map(move |i| json!([places[class], 0.5 - f64::from(i) / 5.0, class]))
            };
            stroke(0).chain(stroke(1)).collect()
        };
        let seen = json!({
            "xor": xor, "mnist": mnist, "learns": 4, "first_steps": [3.5, 5], "in_flight": 3, "rates": [60.5, 9],
            "curves": [[1, 3, 5, 7, 9], [4, 8, 12, 16]], "steps": [9, 16], "colours": [[0.05, 0.04], [0.03, 0.06]], "drawn": "7",
            "points": strokes([-0.6, 0.6]),
            "weights": [true, true], "touched": 7, "longest_task": 60, "frames": [17, 40], "shows_new": true, "shows_loaded": true, "empty": true, "adapter": "Adapter: x",
            "late": "GPU validation error in compiling matmul/broadcast: x", "stopped": "Train", "errors": [],
            "no_gpu": ["No GPU for this page.", "no GPU adapter: WebGPU"],
            "no_program": ["This page did not start.", "404"],
            "cut_off": ["This page did not start.", "the file is cut off"],
            "refused": [], "kernels": 900, "pipelines": 90, "control": true,
        });
        check(&native, &seen).unwrap();
        let mut far = mnist.clone();
        far[7] += 2e-5;
        for (name, wrong) in [
            ("mnist", json!(far)),
            ("xor", json!(xor[1..])),
            ("learns", json!(10.5)),
            ("first_steps", json!([3.5, 10.5])),
            ("first_steps", json!([3.5])),
            ("in_flight", json!(40)),
            ("rates", json!([60.5, null])),
            ("curves", json!([[1, 3, 5, 5, 7, 9], [4, 8, 12, 16]])),
            ("curves", json!([[1, 3, 5, 7], [4, 8, 12, 16]])),
            ("curves", json!([[7, 8, 9], [4, 8, 12, 16]])),
            ("curves", json!([[1, 3, 5, 7, 9], []])),
            ("colours", json!([[0.05, 0.04], [0.03, 0.0]])),
            ("colours", json!([[0.05, 0.04]])),
            ("drawn", json!("1")),
            ("points", json!([])),
            ("points", json!(strokes([-0.6, -0.6]))),
            ("weights", json!(0)),
            ("shows_new", json!(false)),
            ("shows_loaded", json!(false)),
            ("empty", json!(false)),
            ("adapter", json!("Adapter: ")),
            ("weights", json!([true, false])),
            ("touched", json!(0)),
            ("longest_task", json!(3000)),
            ("frames", json!([400, 800])),
            ("late", json!("zeros")),
            ("stopped", json!("Pause")),
            ("no_gpu", json!(["This page did not start.", "no GPU adapter: WebGPU"])),
            ("no_program", json!(["No GPU for this page.", "404"])),
            ("cut_off", json!(["This page did not start.", "unreachable"])),
            ("errors", json!(["x"])),
            ("refused", json!([{ "name": "x" }])),
            ("kernels", json!(3)),
            ("pipelines", json!(3)),
            ("control", json!(false)),
        ] {
            let mut seen = seen.clone();
            seen[name] = wrong;
            assert!(check(&native, &seen).is_err(), "{name}: {}", seen[name]);
            seen[name].take();
            assert!(check(&native, &seen).is_err(), "{name} is missing");
        }
    }

    #[test]
    fn a_driver_of_another_version_is_no_driver() {
        let folder = Scratch::new(&std::env::temp_dir()).unwrap();
        assert!(!has_driver(folder.path()));
        let [name, version] = PLAYWRIGHT;
        let package = folder.path().join("node_modules").join(name);
        fs::create_dir_all(&package).unwrap();
        for (version, there) in [("1.60.0", false), (version, true)] {
            let text = json!({ "name": name, "version": version }).to_string();
            fs::write(package.join("package.json"), text).unwrap();
            assert_eq!(has_driver(folder.path()), there, "{version}");
        }
    }
}
