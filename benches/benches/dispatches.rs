//! Where a training step's time goes: each dispatch of the step alone, in turn over many rounds, and its least
//! time.

use anyhow::Result;
use std::time::Duration;
use wgrad::gpu::Device;
use wgrad::plan::Plan;
use wgrad_benches::{Runner, training_step};

/// Times that each dispatch runs between two waits, and rounds of these.
const REPEATS: u64 = 32;
const ROUNDS: usize = 20;

fn main() -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    for (hidden, batch) in [(&[128, 128][..], 64), (&[512, 512], 128)] {
        let widths: Vec<String> = hidden.iter().map(ToString::to_string).collect();
        println!("step 784-{}-10 batch {batch}", widths.join("-"));
        let whole = training_step(&device, hidden, batch)?;
        let alone =
            |i: usize| Plan { dispatches: vec![whole.dispatches[i].clone()], ..whole.clone() };
        let mut runners = (0..whole.dispatches.len())
            .map(|i| Runner::from_plan(&device, alone(i)))
            .chain([Runner::from_plan(&device, whole.clone())])
            .collect::<Result<Vec<_>, _>>()?;
        let mut least = vec![Duration::MAX; runners.len()];
        for _ in 0..ROUNDS {
            for (runner, least) in runners.iter_mut().zip(&mut least) {
                *least = (*least).min(runner.time(REPEATS)? / REPEATS as u32);
            }
        }
        for (d, time) in whole.dispatches.iter().zip(&least) {
            let seconds = time.as_secs_f64();
            println!(
                "{:8.3} ms {:6.1} GFLOP/s  {}  {} {}",
                1e3 * seconds,
                d.call.flops as f64 / seconds / 1e9,
                d.call.template,
                d.layer,
                d.label.chars().take(70).collect::<String>(),
            );
        }
        let sum: Duration = least[..whole.dispatches.len()].iter().sum();
        println!(
            "{:8.3} ms in all, {:.3} ms as one step\n",
            1e3 * sum.as_secs_f64(),
            1e3 * least[whole.dispatches.len()].as_secs_f64()
        );
    }
    Ok(())
}
