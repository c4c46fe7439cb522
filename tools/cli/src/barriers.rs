//! Whether a value in workgroup memory reaches all invocations: in the library's own sums of rows, and in the pattern that
//! Apple's compiler gets wrong, which the library's kernels do without.

use crate::checks::{apart, executor, wide};
use anyhow::{Context, Result, ensure};
use wgrad::gpu::{Device, StepBlock, block_on};
use wgrad::graph::{Graph, TensorType};
use wgrad::kernels::DeviceCaps;
use wgrad::ops::CustomKernel;
use wgrad::prelude::*;

const WORKGROUPS: u32 = 64;
const LANES: u32 = 64;
const ROUNDS: u32 = 64;

/// One lane writes, a barrier, all read: each lane mixes the words that it saw.
const STRESS: &str = "
var<workgroup> word: u32;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) at: vec3u, @builtin(local_invocation_index) lane: u32) {
    var mixed = 1u;
    for (var round = 0u; round < 64u; round++) {
        if lane == (63u - round * 7u % 64u) { word = x[at.x * 64u + round]; }
        workgroupBarrier();
        mixed = mixed * 31u + word;
        workgroupBarrier();
    }
    seen[at.x * 64u + lane] = mixed;
}";

/// What [`STRESS`] looks like if the first barrier is lost: all read before the lane writes.
fn without_barrier() -> String {
    let read = "        mixed = mixed * 31u + word;\n";
    let write = "        if lane ==";
    STRESS.replace(read, "").replace(write, &format!("{read}        workgroupBarrier();\n{write}"))
}

/// The check: what it says, or what is wrong.
pub fn check(device: &Device) -> Result<String> {
    rows(device)?;
    let lost = lost(device, STRESS)?;
    // What would not be noticed here would be noticed nowhere.
    ensure!(self::lost(device, &without_barrier())? > 0, "a lost barrier would not be noticed");
    let said = match lost {
        0 => "one lane's write reaches all lanes".to_owned(),
        lost => format!(
            "this driver loses a barrier after one lane's write ({lost} lanes saw an old value): kernels of your own \
             must not rely on it, and the library's do not"
        ),
    };
    Ok(format!("sums, norms and softmax of rows in workgroup memory are right; {said}"))
}

/// In how many lanes a word was missed.
fn lost(device: &Device, text: &str) -> Result<usize> {
    let len = (WORKGROUPS * LANES) as usize;
    let words: Vec<u32> = (0..len as u32).map(|i| i.wrapping_mul(2_654_435_761) >> 7).collect();
    let mut g = Graph::new();
    let x = g.input("x", [len], DType::U32);
    let kernel = CustomKernel::new("lanes_stress", text)
        .input("x")
        .output("seen", TensorType { dtype: DType::U32, shape: [len].into() })
        .workgroups([WORKGROUPS, 1, 1]);
    let seen = *g.kernel(&kernel, &[x])?.first().context("one output")?;
    g.output("seen", seen);
    let mut executor = executor(device, &g, &[("x", Tensor::u32([len], words.clone())?)])?;
    executor.run(&[StepBlock::default()])?;
    let seen = block_on(executor.read("seen"))?;
    let wanted = words.chunks(ROUNDS as usize).flat_map(|words| {
        let mixed = words.iter().fold(1u32, |m, word| m.wrapping_mul(31).wrapping_add(*word));
        std::iter::repeat_n(mixed, LANES as usize)
    });
    Ok(seen.as_u32()?.iter().zip(wanted).filter(|(seen, wanted)| *seen != wanted).count())
}

/// Sums, norms and softmax of rows of whole numbers, on the kernels of a GPU without subgroups: all lanes need a sum, the mean
/// and then the spread around it, and the largest number and then a sum.
fn rows(device: &Device) -> Result<()> {
    const ROWS: usize = 200;
    const COLS: usize = 300;
    const EPSILON: f32 = 1e-3;
    const ALLOWED: f64 = 1e-5;
    let caps = DeviceCaps { cpu: false, subgroup: None, ..device.caps().clone() };
    let device = device.with_caps(caps);
    let x: Vec<f32> = (0..ROWS * COLS).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
    let mut g = Graph::new();
    let v = g.input("x", [ROWS, COLS], DType::F32);
    for (name, value) in [
        ("sum", g.sum(v, &[1], false)?),
        ("norm", g.layer_norm(v, None, None, 1, EPSILON)?),
        ("softmax", g.softmax(v)?),
    ] {
        g.output(name, value);
    }
    let mut executor = executor(&device, &g, &[("x", Tensor::f32([ROWS, COLS], x.clone())?)])?;
    executor.run(&[StepBlock::default()])?;
    let sums: Vec<f32> = x.chunks(COLS).map(|row| row.iter().sum()).collect();
    let got = block_on(executor.read("sum"))?;
    ensure!(got.as_f32()? == sums, "sums of rows in workgroup memory are wrong");
    let x = wide(&x);
    let of_rows = |f: fn(&[f64]) -> Vec<f64>| -> Vec<f64> { x.chunks(COLS).flat_map(f).collect() };
    let norms = of_rows(|row| {
        let mean = row.iter().sum::<f64>() / COLS as f64;
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / COLS as f64;
        row.iter().map(|v| (v - mean) / (variance + f64::from(EPSILON)).sqrt()).collect()
    });
    let shares = of_rows(|row| {
        let all: f64 = row.iter().map(|v| v.exp()).sum();
        row.iter().map(|v| v.exp() / all).collect()
    });
    for (name, wanted) in [("norm", &norms), ("softmax", &shares)] {
        let apart = apart(block_on(executor.read(name))?.as_f32()?, wanted);
        ensure!(
            apart <= ALLOWED,
            "{name} of rows in workgroup memory: {apart:.1e} from f64, {ALLOWED:.0e} is allowed"
        );
    }
    Ok(())
}
