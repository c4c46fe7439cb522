//! What the benchmarks and the profile measured, in the words of the table.

use crate::read;

/// What a benchmark measured, in words; also that of one that was stopped.
pub fn numbers(name: &str, text: &str) -> Vec<(String, String)> {
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
        "embedding" => {
            let lines = text.lines().filter_map(|l| l.split_once(" ns each  "));
            let each =
                |before: &str| before.split_whitespace().last().map(|n| format!("{n} ns each"));
            lines.filter_map(|(before, ids)| Some((ids.into(), each(before)?))).collect()
        }
        "first_step" => {
            let lines =
                text.lines().filter_map(|l| l.strip_prefix("first step, ")?.split_once(": "));
            lines.map(|(name, said)| (name.into(), said.into())).collect()
        }
        "planner" => {
            let lines = text.lines().filter_map(|l| l.rsplit_once(", "));
            let name = |before: &str| before.split_once(" nodes").map(|(name, _)| name.to_string());
            let words = |name: String| name.split_whitespace().collect::<Vec<_>>().join(" ");
            lines
                .filter_map(|(before, each)| Some((words(name(before)?), each.trim().into())))
                .collect()
        }
        "convolution" => convolutions(text),
        _ => read::criterion(text),
    }
}

/// The rate of each part of a convolution, whose sizes are in the line before its parts, the ratio of its gradients, and the
/// times of steps on bytes.
fn convolutions(text: &str) -> Vec<(String, String)> {
    let (mut sizes, mut all) = ("", Vec::new());
    for line in text.lines() {
        let rate = line.split_once(" GFLOP/s  ").and_then(|(before, part)| {
            let rate = before.split_whitespace().last()?;
            Some((part.split(',').next()?, format!("{rate} GFLOP/s")))
        });
        let ratio = line.strip_prefix("backward to forward ");
        let ratio = ratio.map(|ratio| ("backward to forward", ratio.to_string()));
        let time = line.rsplit_once("  ").filter(|(_, part)| part.contains(", decoded "));
        let time = time.map(|(time, part)| (part, time.trim().to_string()));
        match rate.or(ratio).or(time) {
            Some((part, said)) => all.push((format!("{sizes}: {part}"), said)),
            None => sizes = line,
        }
    }
    all
}

/// A kernel's share, time and name out of a line of the profile: calls, time, share, four rates, the shader, the op and
/// the layer, the last three two blanks apart.
pub fn kernel(line: &str) -> Option<String> {
    let (mut rest, mut words) = (line, [""; 7]);
    for word in &mut words {
        (*word, rest) = rest.trim_start().split_once(' ')?;
    }
    let [_, time, share, ..] = words;
    share.ends_with('%').then(|| format!("{share}, {time} us: {}", rest.trim().replace("  ", " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_share_time_and_name() {
        let line = "    50      795.8  24.8%    1849.0      2.4     1.420       1.8  elementwise/map  fused[t0 = mul(x0, x1)]  // Adam";
        let said = "24.8%, 795.8 us: elementwise/map fused[t0 = mul(x0, x1)] // Adam";
        assert_eq!(kernel(line).unwrap(), said);
        let line = "    50        1.0   1.0%       1.0      2.4     0.000       0.0  data/gather  gather[64 rows]";
        assert_eq!(kernel(line).unwrap(), "1.0%, 1.0 us: data/gather gather[64 rows]");
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
        let text = "  1.2  0.3   300.0 ns each  1024 ids, spread, 9 dispatches\n  0.1   product\n";
        assert_eq!(
            numbers("embedding", text),
            pair("1024 ids, spread, 9 dispatches", "300.0 ns each")
        );
        assert_eq!(numbers("first_step", "first step, cold: 1.6 s\n"), pair("cold", "1.6 s"));
        let planner = "chain        1000 nodes,     4 launches: built in    1.6 ms, compiled in    9.7 ms,   9.4 us a node\n";
        assert_eq!(numbers("planner", planner), pair("chain 1000", "9.4 us a node"));
        assert_eq!(numbers("kernels", "a/b  time:   [1 ms 2 ms 3 ms]\n"), pair("a/b", "2 ms"));
        let text = "adapter: A\n4x8x8, stride 1\n 0.5 ms  0.6 ms   2.5 GFLOP/s  kernel, 1 dispatches\nbackward to forward 1.90\n\
                    a step of 128 images\n 0.5 ms  0.6 ms  bytes, decoded in loads\n";
        let said = numbers("convolution", text);
        assert_eq!(said[0], pair("4x8x8, stride 1: kernel", "2.5 GFLOP/s")[0]);
        assert_eq!(said[1], pair("4x8x8, stride 1: backward to forward", "1.90")[0]);
        let name = "a step of 128 images: bytes, decoded in loads";
        assert_eq!(said[2..], pair(name, "0.5 ms  0.6 ms"));
        assert!(numbers("fit", "stopped").is_empty());
    }
}
