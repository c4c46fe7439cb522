//! What the lines of the parts say.

use std::collections::BTreeMap;

/// The value of `key=` in the last line that starts with `result:`.
pub fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let line = text.lines().rfind(|line| line.starts_with("result:"))?;
    line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// The same as a number.
pub fn number(text: &str, key: &str) -> Option<f64> {
    value(text, key)?.parse().ok()
}

/// The last line that is a JSON object.
pub fn json(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| line.starts_with('{') && line.ends_with('}'))
}

/// What a test binary says: passed, failed, and the names of those that failed. Counted line by line, so that a run
/// that was stopped says how far it came.
pub fn tests(text: &str) -> (usize, Vec<String>) {
    let (mut passed, mut failed) = (0, Vec::new());
    for line in text.lines() {
        // The output of a test may come between its name and its end.
        if line.ends_with("... ok") || line == "ok" {
            passed += 1;
        } else if let Some(name) = line.strip_suffix(" ... FAILED") {
            failed.push(name.trim_start_matches("test ").into());
        }
    }
    (passed, failed)
}

/// GFLOP/s of the products, by size and then by form, in the order in which they were printed.
pub fn products(text: &str) -> Vec<(String, Vec<(String, f64)>)> {
    let mut all: Vec<(String, Vec<(String, f64)>)> = Vec::new();
    for line in text.lines() {
        let Some((head, rest)) = line.split_once(": wgrad ") else { continue };
        let rate = rest.split_once(" GFLOP/s").and_then(|(rate, _)| rate.parse().ok());
        let (Some((form, size)), Some(rate)) = (head.split_once(' '), rate) else { continue };
        match all.iter_mut().find(|(name, _)| name == size) {
            Some((_, forms)) => forms.push((form.into(), rate)),
            None => all.push((size.into(), vec![(form.into(), rate)])),
        }
    }
    all
}

/// Names and middle times of Criterion's lines; a long name is on the line before.
pub fn criterion(text: &str) -> Vec<(String, String)> {
    let (mut all, mut before) = (Vec::new(), "");
    for line in text.lines() {
        if let Some((name, times)) = line.split_once("time:   [") {
            let name = if name.trim().is_empty() { before } else { name.trim() };
            // Least, middle and most, each a number and a unit.
            let words: Vec<&str> = times.split_whitespace().collect();
            if let [_, _, middle, unit, ..] = words[..] {
                all.push((name.into(), format!("{middle} {unit}")));
            }
        }
        before = line.trim();
    }
    all
}

/// The times of whole steps in what `dispatches` prints, in milliseconds by the clock, and of their dispatches alone.
pub fn steps(text: &str) -> Vec<(String, f64, f64)> {
    let (mut all, mut name, mut alone) = (Vec::new(), "", 0.0);
    for line in text.lines() {
        let clock = || line.split_whitespace().next()?.parse::<f64>().ok();
        if let Some(head) = line.strip_prefix("step ") {
            name = head.split_once(':').map_or(head, |(head, _)| head);
        } else if line.ends_with(" in all") {
            alone = clock().unwrap_or_default();
        } else if line.ends_with(" as one step")
            && let Some(step) = clock()
        {
            all.push((name.to_string(), step, alone));
        }
    }
    all
}

/// The rates of `torch_product.py`.
#[derive(Debug, Default, PartialEq, serde::Deserialize)]
pub struct TorchProduct {
    /// PyTorch's version.
    pub version: String,
    /// What it computed on.
    pub device: String,
    /// GFLOP/s by form and size.
    pub gflops: BTreeMap<String, f64>,
}

#[cfg(test)]
mod tests_of_lines {
    use super::*;

    #[test]
    fn results_are_key_and_value() {
        let text = "result: kind=CPU\nx\nresult: checks=3 failed=0 kind=GPU\n";
        assert_eq!(value(text, "kind"), Some("GPU"));
        assert_eq!(number(text, "checks"), Some(3.0));
        assert_eq!((value(text, "check"), value("kind=GPU", "kind")), (None, None));
        assert_eq!(json("a\n{\"b\":1}\nwarning\n"), Some("{\"b\":1}"));
        assert_eq!(json("a\n{\"b\":\n"), None);
    }

    #[test]
    fn tests_are_counted_as_far_as_they_came() {
        let text = "running 4 tests\ntest a::b ... ok\ntest c ... FAILED\ntest d ... noise\nok\ntest e ...";
        assert_eq!(tests(text), (2, vec!["c".to_string()]));
    }

    #[test]
    fn products_by_size_and_form() {
        let text = "AB 32x128x784: wgrad 25.6 GFLOP/s, gemm crate 48.0 GFLOP/s\n\
                    AtB 32x128x784: wgrad 30.0 GFLOP/s, gemm crate 48.0 GFLOP/s\nBenchmarking x: y\n\
                    AB 4096x4096x4096: wgrad 21000.1 GFLOP/s\n";
        let forms = vec![("AB".to_string(), 25.6), ("AtB".to_string(), 30.0)];
        let large = vec![("AB".to_string(), 21000.1)];
        let all = [("32x128x784".to_string(), forms), ("4096x4096x4096".to_string(), large)];
        assert_eq!(products(text), all);
    }

    #[test]
    fn criterions_middle_times() {
        let text = "Benchmarking Adam 1M/wgrad: Analyzing\nAdam 1M/wgrad           time:   [1.1 ms 1.2 ms 1.3 ms]\n\
                    step 784-512-512-10 batch 128/host only\n                        time:   [2.1 µs 2.2 µs 2.3 µs]\n";
        let pair = |a: &str, b: &str| (a.to_string(), b.to_string());
        let all = [
            pair("Adam 1M/wgrad", "1.2 ms"),
            pair("step 784-512-512-10 batch 128/host only", "2.2 µs"),
        ];
        assert_eq!(criterion(text), all);
    }

    #[test]
    fn whole_steps_and_their_dispatches() {
        let text = "step 784-128-10 batch 64: ms, ms by processor time\n   0.100    0.050   12.0 GFLOP/s  x  y z\n   \
                    1.500    0.750 in all\n   1.250    0.600 as one step\n";
        assert_eq!(steps(text), [("784-128-10 batch 64".to_string(), 1.25, 1.5)]);
    }
}
