//! Where a training step's time goes: each dispatch of the step alone, in turn over many rounds, and its least
//! time, on the clock and by processor time over all cores.

use anyhow::Result;
use std::time::Duration;
use wgrad::gpu::Device;
use wgrad_benches::{Runner, processor_time, training_step};

/// Times that each dispatch runs between two waits, and rounds of these.
const REPEATS: u64 = 16;
const ROUNDS: usize = 20;

/// Least milliseconds on the clock, and of processor time over all cores.
#[derive(Clone, Copy)]
struct Least {
    clock: f64,
    processor: f64,
}

fn main() -> Result<()> {
    let device = Device::new()?;
    let cores = std::thread::available_parallelism()?.get();
    println!("adapter: {}", device.info());
    for (hidden, batch) in [(&[128][..], 64), (&[128, 128], 64), (&[512, 512], 128)] {
        let widths: Vec<String> = hidden.iter().map(ToString::to_string).collect();
        println!("step 784-{}-10 batch {batch}: ms, ms by processor time", widths.join("-"));
        let whole = training_step(&device, hidden, batch)?;
        let alone = |i: usize| {
            let mut plan = whole.clone();
            // SAFETY: a dispatch binds the same regions whether others run beside it or not.
            let data = unsafe { plan.data_mut() };
            data.dispatches = vec![whole.dispatches[i].clone()];
            plan
        };
        let mut runners = (0..whole.dispatches.len())
            .map(|i| Runner::from_plan(&device, alone(i)))
            .chain([Runner::from_plan(&device, whole.clone())])
            .collect::<Result<Vec<_>, _>>()?;
        let mut least = vec![Least { clock: f64::MAX, processor: f64::MAX }; runners.len()];
        for _ in 0..ROUNDS {
            for (runner, least) in runners.iter_mut().zip(&mut least) {
                let before = processor_time();
                let clock = runner.time(REPEATS)?;
                let used = processor_time().zip(before).map(|(after, before)| after - before);
                let ms = |t: Duration| 1e3 * t.as_secs_f64() / REPEATS as f64;
                least.clock = least.clock.min(ms(clock));
                least.processor = least.processor.min(used.map_or(f64::NAN, ms) / cores as f64);
            }
        }
        for (d, time) in whole.dispatches.iter().zip(&least) {
            println!(
                "{:8.3} {:8.3} {:6.1} GFLOP/s  {}  {} {}",
                time.clock,
                time.processor,
                d.call.flops as f64 / time.processor / 1e6,
                d.call.template,
                d.layer,
                d.label.chars().take(50).collect::<String>(),
            );
        }
        let (each, step) = least.split_at(whole.dispatches.len());
        let sum = |f: fn(&Least) -> f64| each.iter().map(f).sum::<f64>();
        println!("{:8.3} {:8.3} in all", sum(|l| l.clock), sum(|l| l.processor));
        println!("{:8.3} {:8.3} as one step\n", step[0].clock, step[0].processor);
    }
    Ok(())
}
