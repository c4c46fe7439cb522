//! The test of the page in headless Chromium, on its software adapter.
//!
//! A script for playwright-core drives the browser and gives what it saw as JSON; what must hold is decided here.

use crate::serve::Server;
use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use xtask::process::{cargo, output, root, say, status, target};

/// The version of the driver of browsers.
const PLAYWRIGHT: &str = "playwright-core@1.65";
/// Steps that are compared: full-batch ones on XOR, and batches of digits.
const STEPS: [usize; 2] = [200, 200];
/// How far losses may be from native ones. They begin at 0.7 and 1.9.
const LOSS: f64 = 1e-5;
/// Seconds until the end of the first step, shaders compiled.
const FIRST_STEP: f64 = 10.0;
/// Submits that may be under way at once: two of each plan, and what a readback adds.
const IN_FLIGHT: f64 = 6.0;
/// KB of WebAssembly and JavaScript, gzipped, that the page may have: it does not grow unnoticed. The goal is 400.
pub const SIZE: usize = 590;

/// What a test of the page needs.
pub struct Browser {
    /// The program of the browser.
    chromium: PathBuf,
    /// The folder of the driver.
    driver: PathBuf,
}

/// The first of these programs that is on the path.
fn program(names: &[&str]) -> Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path = |name: &&str| {
        std::env::split_paths(&paths).map(|dir| dir.join(name)).find(|path| path.is_file())
    };
    names.iter().find_map(on_path).with_context(|| format!("{} is not installed", names[0]))
}

impl Browser {
    /// Looks for the browser and its driver, and gets the driver if npm can.
    pub fn find() -> Result<Self> {
        let chromium = program(&["chromium", "chromium-browser", "google-chrome"])?;
        program(&["node"])?;
        let driver = target().join("web").join("driver");
        fs::create_dir_all(&driver)?;
        if !driver.join("node_modules").join("playwright-core").is_dir() {
            let npm = program(&["npm"])?;
            let mut install = Command::new(npm);
            install.args(["install", "--no-audit", "--no-fund", PLAYWRIGHT]).current_dir(&driver);
            output(&mut install).context("playwright-core cannot be had")?;
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
    MultiGzDecoder::new(fs::File::open(site.join("digits.bin.gz"))?).read_to_end(&mut digits)?;
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

/// The numbers of a list.
fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
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
    for (name, most) in [("first_step", FIRST_STEP), ("in_flight", IN_FLIGHT)] {
        let found = number(name)?;
        ensure!(found > 0.0 && found <= most, "{name}: {found}, at most {most}");
    }
    ensure!(number("weights")? == 1.0, "weights from a file give other regions");
    let late = seen["late"].as_str().unwrap_or_default();
    ensure!(late.contains("compiling matmul/"), "an error without its kernel: `{late}`");
    if let Some(errors) = seen["errors"].as_array().filter(|errors| !errors.is_empty()) {
        bail!("the page reports: {errors:?}");
    }
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
        "{}; first step {} s; XOR and MNIST agree with native losses; at most {} submits under way; {} kernels are read, \
         {} compiled; steps per second: points {}, digits {}",
        seen["adapter"],
        seen["first_step"],
        seen["in_flight"],
        seen["kernels"],
        seen["pipelines"],
        seen["rates"][0],
        seen["rates"][1]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Losses that fall by half at each tenth of the steps.
    fn falling(n: usize) -> Vec<f64> {
        (0..n).map(|i| 0.5f64.powf(10.0 * i as f64 / n as f64)).collect()
    }

    #[test]
    fn what_does_not_hold_is_noticed() {
        let (xor, mnist) = (falling(STEPS[0]), falling(STEPS[1] / 10));
        let native = json!({ "xor": xor, "mnist": mnist });
        let seen = json!({
            "xor": xor, "mnist": mnist, "first_step": 3.5, "in_flight": 3, "weights": 1, "errors": [], "refused": [],
            "late": "GPU validation error in compiling matmul/broadcast: x", "kernels": 900, "pipelines": 90,
            "control": true,
        });
        assert!(check(&native, &seen).is_ok());
        let mut far = mnist.clone();
        far[7] += 2e-5;
        for (name, wrong) in [
            ("mnist", json!(far)),
            ("xor", json!(xor[1..])),
            ("first_step", json!(10.5)),
            ("in_flight", json!(40)),
            ("weights", json!(0)),
            ("late", json!("zeros")),
            ("errors", json!(["x"])),
            ("refused", json!([{ "name": "x" }])),
            ("kernels", json!(3)),
            ("pipelines", json!(3)),
            ("control", json!(false)),
        ] {
            let mut seen = seen.clone();
            seen[name] = wrong;
            assert!(check(&native, &seen).is_err(), "{name}");
        }
    }
}
