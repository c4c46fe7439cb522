//! Seconds from the start of a process to the end of its first training step (784-128-10, batch 64), with the
//! shader caches as they are and without: each time in a new process, in turn.

use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::time::Instant;
use wgrad::gpu::Device;
use wgrad_benches::{Runner, processor_time, training_step};

const ROUNDS: usize = 5;

/// What turns off the caches that a shader may come from: Mesa's, NVIDIA's, the library's. The first two are those
/// of `caches` in `tools/peers/src/run.rs`.
const COLD: [(&str, &str); 3] =
    [("MESA_SHADER_CACHE_DISABLE", "true"), ("__GL_SHADER_DISK_CACHE", "0"), ("WGRAD_CACHE", "")];

fn main() -> Result<()> {
    if std::env::args().any(|a| a == "--child") {
        let start = Instant::now();
        let device = Device::new()?;
        Runner::from_plan(&device, training_step(&device, &[128], 64)?)?.time(1)?;
        let used = processor_time().map_or(f64::NAN, |t| t.as_secs_f64());
        println!("{} {used}", start.elapsed().as_secs_f64());
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let seconds = |cold: bool| -> Result<[f64; 2]> {
        let mut child = Command::new(&program);
        child.arg("--child");
        if cold {
            child.envs(COLD);
        }
        let output = child.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let mut numbers = text.split_whitespace().map(str::parse::<f64>);
        let mut next = || numbers.next().context("two numbers are printed")?.context("a number");
        Ok([next()?, next()?])
    };
    let mut least = [[f64::NAN; 2]; 2];
    for _ in 0..ROUNDS {
        for (least, cold) in least.iter_mut().zip([true, false]) {
            for (least, now) in least.iter_mut().zip(seconds(cold)?) {
                // The least; a time that the system does not count stays NaN.
                *least = least.min(now);
            }
        }
    }
    for (name, [clock, processor]) in ["cold", "warm"].into_iter().zip(least) {
        let used = if processor.is_nan() {
            String::new()
        } else {
            format!(", {processor:.2} s of processor time")
        };
        println!("first step, {name}: {clock:.2} s{used}");
    }
    Ok(())
}
