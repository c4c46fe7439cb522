//! The quick tutorial programs run, and reach their figures.

use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The folder of all examples, built at once and with the features of these tests, so that nothing is built twice.
static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--all-features", "--examples"]);
    let status = cargo.args(["--manifest-path", manifest]).status().expect("cargo starts");
    assert!(status.success(), "the examples are not built: {status}");
    let own = std::env::current_exe().expect("this program has a path");
    own.parent().and_then(|deps| deps.parent()).expect("a target folder").join("examples")
});

/// Runs an example in a separate folder and gives the numbers of its result line.
fn run(name: &str, args: &[&str]) -> Result<HashMap<String, f64>> {
    // Tests run side by side, some of them the same example.
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let (process, nth) = (std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    let folder = std::env::temp_dir().join(format!("wgrad-{name}-{process}-{nth}"));
    std::fs::create_dir_all(&folder)?;
    let program = BUILT.join(name).with_extension(std::env::consts::EXE_EXTENSION);
    let output = Command::new(program).args(args).current_dir(&folder).output()?;
    std::fs::remove_dir_all(&folder)?;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{name} {args:?}: {}\n{out}\n{err}", output.status);
    let last = out.lines().last().unwrap_or_default();
    let pairs = last.strip_prefix("result: ").with_context(|| format!("{name} ends: {last:?}"))?;
    let number = |pair: &str| -> Result<(String, f64)> {
        let (key, value) = pair.split_once('=').with_context(|| format!("{name}: {pair:?}"))?;
        Ok((key.to_owned(), value.parse()?))
    };
    pairs.split(' ').map(number).collect()
}

#[test]
fn gates_are_learned_from_ten_seeds() -> Result<()> {
    for seed in 0..10 {
        let result = run("gates", &["--seed", &seed.to_string()])?;
        ensure!(result["correct"] == 1.0, "seed {seed}: {result:?}");
    }
    Ok(())
}

#[test]
fn xor_is_learned_from_ten_seeds() -> Result<()> {
    for seed in 0..10 {
        let result = run("xor", &["--seed", &seed.to_string()])?;
        ensure!(result["correct"] == 1.0 && result["loss"] < 0.002, "seed {seed}: {result:?}");
    }
    Ok(())
}

#[test]
fn the_clouds_are_told_apart() -> Result<()> {
    let result = run("gaussians", &[])?;
    ensure!(result["accuracy"] >= 0.99, "{result:?}");
    Ok(())
}

#[test]
fn classification_reaches_its_figure() -> Result<()> {
    let result = run("classification", &[])?;
    ensure!(result["test_accuracy"] >= 0.85 && result["logits_accuracy"] >= 0.85, "{result:?}");
    Ok(())
}

#[test]
fn regression_reaches_its_figures() -> Result<()> {
    let result = run("regression", &[])?;
    ensure!(result["r2"] >= 0.98 && result["r2_standardised"] >= 0.996, "{result:?}");
    Ok(())
}

#[test]
fn each_cure_narrows_the_gap() -> Result<()> {
    let result = run("overfitting", &[])?;
    for cure in ["gap_l1", "gap_l2", "gap_dropout"] {
        ensure!(result[cure] < 0.7 * result["gap_none"], "{cure}: {result:?}");
    }
    Ok(())
}

#[test]
fn more_steps_an_epoch_go_down_further() -> Result<()> {
    let result = run("gradient_descent", &[])?;
    let order = ["full_batch", "mini_batch", "stochastic"];
    for pair in order.windows(2) {
        ensure!(result[pair[0]] > result[pair[1]], "{pair:?}: {result:?}");
    }
    for way in &order[..2] {
        ensure!(result[&format!("{way}_momentum")] < result[*way], "{way}: {result:?}");
    }
    Ok(())
}

#[test]
fn the_hand_written_loop_agrees_with_fit() -> Result<()> {
    let result = run("custom_loop", &[])?;
    ensure!(result["same_bits"] == 1.0 && result["host_difference"] <= 1e-6, "{result:?}");
    Ok(())
}

#[test]
fn generated_points_lie_where_real_ones_do() -> Result<()> {
    let result = run("gan", &["--epochs", "100", "--svg"])?;
    for (real, fake) in [("real_x", "fake_x"), ("real_y", "fake_y")] {
        ensure!((result[real] - result[fake]).abs() <= 0.2, "{result:?}");
    }
    Ok(())
}

#[test]
fn signals_are_told_apart() -> Result<()> {
    let result = run("conv1d", &["--svg"])?;
    ensure!(result["test_accuracy"] >= 0.98, "{result:?}");
    Ok(())
}

/// The programs for images take minutes. Here each learns something from a little.
#[test]
fn programs_for_images_learn_from_a_few() -> Result<()> {
    let digits = run("mnist_cnn", &["--data", DIGITS, "--epochs", "10", "--svg"])?;
    ensure!(digits["test_accuracy"] >= 0.6, "{digits:?}");
    // Images of one grey have 0.39 at best.
    let noise = run("autoencoder", &["--data", DIGITS, "--epochs", "12", "--svg"])?;
    ensure!(noise["test_loss"] <= 0.37, "{noise:?}");
    // Without CIFAR-10 it takes digits. Guesses among ten classes have ln 10 = 2.30, and penalties come on top.
    let args = ["--mnist", DIGITS, "--samples", "256", "--epochs", "4", "--svg"];
    let resnet = run("resnet", &args)?;
    ensure!(resnet["train_loss"] <= 2.2 && resnet["test_loss"].is_finite(), "{resnet:?}");
    // A mask that is all background has 0.21.
    let shapes = run("segmentation", &["--samples", "160", "--epochs", "6", "--svg"])?;
    ensure!(shapes["mean_iou"] >= 0.31, "{shapes:?}");
    Ok(())
}

#[test]
fn cifar_10_in_a_named_folder_is_taken_or_missed() {
    let error = run("resnet", &["--data", "no/such"]).unwrap_err().to_string();
    assert!(error.contains("error: CIFAR-10 in no/such"), "{error}");
    assert!(error.contains("cargo xtask data cifar10"), "{error}");
}

#[test]
fn activations_take_what_every_example_takes() -> Result<()> {
    let result = run("activations", &["--seed", "1", "--epochs", "2", "--svg"])?;
    ensure!(result["activations"] == 17.0, "{result:?}");
    Ok(())
}

/// The folder of the few digits that the tests have.
const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

#[test]
fn an_accuracy_that_was_not_measured_is_not_reported() -> Result<()> {
    let args = |relu| ["--data", DIGITS, "--epochs", "1", "--relu-epochs", relu, "--svg"];
    let alone = run("mnist_sigmoid", &args("0"))?;
    ensure!(
        alone.contains_key("test_accuracy") && !alone.contains_key("relu_accuracy"),
        "{alone:?}"
    );
    let both = run("mnist_sigmoid", &args("1"))?;
    ensure!(both["relu_accuracy"] > 0.0, "{both:?}");
    Ok(())
}

#[test]
fn rows_of_digits_are_read_by_either_layer() -> Result<()> {
    for layer in [[].as_slice(), &["--gru"]] {
        let args = ["--data", DIGITS, "--epochs", "10", "--units", "16", "--batch", "32"];
        let args = [&args[..], &["--learning-rate", "0.01"], layer].concat();
        let result = run("mnist_rows", &args)?;
        // A guess among ten has 2.30, and is right once in ten.
        ensure!(result["test_loss"] < 1.9 && result["test_accuracy"] > 0.35, "{result:?}");
    }
    Ok(())
}

#[test]
fn negation_is_understood() -> Result<()> {
    let result = run("sentiment", &[])?;
    ensure!(result["test_accuracy"] >= 0.98 && result["counting_words"] < 0.8, "{result:?}");
    Ok(())
}

#[test]
fn a_split_club_is_sorted_out() -> Result<()> {
    let result = run("karate", &["--svg"])?;
    ensure!(result["edges"] == 78.0 && result["right"] >= 32.0, "{result:?}");
    Ok(())
}

#[test]
fn forecasts_halve_the_error_of_the_last_value() -> Result<()> {
    let result = run("timeseries", &["--epochs", "4", "--steps", "2000", "--svg"])?;
    for network in ["gru", "convolution"] {
        ensure!(result[network] <= 0.5 * result["last_value"], "{network}: {result:?}");
    }
    Ok(())
}

/// The whole run takes minutes: numbers of two digits, of which it begins to learn the sums.
#[test]
fn sums_are_learned() -> Result<()> {
    let few = ["--digits", "2", "--sums", "2500", "--units", "48", "--batch", "32"];
    let short = ["--epochs", "10", "--learning-rate", "0.015"];
    let result = run("addition", &[few.as_slice(), &short].concat())?;
    ensure!(result["loss"] < 0.5 * result["first_loss"], "{result:?}");
    // One answer to all questions is right for 2 % of them.
    ensure!(result["right"] > 0.08, "{result:?}");
    let error = run("addition", &["--digits", "5"]).err().context("five digits")?.to_string();
    ensure!(error.contains("error: digits = 5: 1 to 4"), "{error}");
    Ok(())
}

/// The whole run takes many minutes: a few dates, which it begins to learn.
#[test]
fn dates_are_translated() -> Result<()> {
    let few = ["--dates", "64", "--units", "32", "--batch", "16", "--epochs", "40"];
    let rate = ["--learning-rate", "0.01", "--svg"];
    let result = run("translate", &[few.as_slice(), &rate].concat())?;
    ensure!(result["loss"] < 0.5 * result["first_loss"], "{result:?}");
    let error = run("translate", &["--dates", "9"]).err().context("nine dates")?.to_string();
    ensure!(error.contains("error: dates = 9: at least 10"), "{error}");
    Ok(())
}

/// The whole run takes many minutes: a small network reads a chapter, and writes with a cache what it says of the whole.
#[test]
fn a_small_gpt_learns_and_its_cache_tells_what_the_context_tells() -> Result<()> {
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide.md");
    let size = ["--layers", "2", "--heads", "2", "--width", "32", "--context", "16"];
    let few = ["--text", text, "--steps", "60", "--batch", "8", "--learning-rate", "0.01"];
    let result = run("gpt", &[size.as_slice(), &few, &["--characters", "40"]].concat())?;
    // A guess among its hundred characters has 4.6.
    ensure!(result["loss"] < 4.0, "{result:?}");
    ensure!(result["cache_difference"] <= 1e-4, "{result:?}");
    let error = run("gpt", &["--text", text, "--prompt", "\u{1F980}"]).unwrap_err().to_string();
    ensure!(error.contains("error: prompt = "), "{error}");
    Ok(())
}

#[test]
fn a_named_folder_without_digits_is_an_error() -> Result<()> {
    for name in ["mnist", "mnist_sigmoid", "mnist_rows", "mnist_cnn", "autoencoder"] {
        let error = run(name, &["--data", "no/such"]).err().context(name)?.to_string();
        ensure!(error.contains("error: MNIST in no/such"), "{error}");
        ensure!(error.contains("train-images") && error.contains("WGRAD_DATA"), "{error}");
    }
    Ok(())
}

#[test]
fn a_bad_argument_is_an_error() {
    let error = run("xor", &["--epochs", "0"]).unwrap_err().to_string();
    assert!(error.contains("error: epochs = 0: at least one epoch"), "{error}");
}
