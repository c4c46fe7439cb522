//! What takes the time of a training step: each dispatch of the step alone, in turn over many rounds, and its least
//! time on the clock. If the adapter is the processor and the system counts its time, the table also has that time over
//! all cores, and rates use it: other programs change it less.

use anyhow::Result;
use std::time::Duration;
use wgrad::gpu::Device;
use wgrad_benches::{Runner, Times, adapter_time, training_step};

/// Times that each dispatch runs between two waits, and rounds of these.
const REPEATS: u64 = 16;
const ROUNDS: usize = 20;

fn main() -> Result<()> {
    let device = Device::new()?;
    let cores = std::thread::available_parallelism()?.get();
    println!("adapter: {}", device.info());
    for (hidden, batch) in [(&[128][..], 64), (&[128, 128], 64), (&[512, 512], 128)] {
        let widths: Vec<String> = hidden.iter().map(ToString::to_string).collect();
        let beside = adapter_time(&device).map_or("", |_| ", ms by processor time");
        println!("step 784-{}-10 batch {batch}: ms{beside}", widths.join("-"));
        let whole = training_step(&device, hidden, batch)?;
        let alone = |i: usize| {
            let mut plan = whole.clone();
            // SAFETY: a dispatch binds the same regions whether others run with it or not.
            let data = unsafe { plan.data_mut() };
            data.dispatches = vec![whole.dispatches[i].clone()];
            plan
        };
        let mut runners = (0..whole.dispatches.len())
            .map(|i| Runner::from_plan(&device, alone(i)))
            .chain([Runner::from_plan(&device, whole.clone())])
            .collect::<Result<Vec<_>, _>>()?;
        let mut least = vec![Times { clock: f64::MAX, processor: None }; runners.len()];
        for _ in 0..ROUNDS {
            for (runner, least) in runners.iter_mut().zip(&mut least) {
                let before = adapter_time(&device);
                let clock = runner.time(REPEATS)?;
                let used = adapter_time(&device).zip(before).map(|(after, before)| after - before);
                let ms = |t: Duration| 1e3 * t.as_secs_f64() / REPEATS as f64;
                let processor = used.map(|used| ms(used) / cores as f64);
                *least = least.least(Times { clock: ms(clock), processor });
            }
        }
        for (d, time) in whole.dispatches.iter().zip(&least) {
            println!(
                "{time} {:6.1} GFLOP/s  {}  {} {}",
                d.call.flops as f64 / time.busy() / 1e6,
                d.call.name(),
                d.layer,
                d.label.chars().take(50).collect::<String>(),
            );
        }
        let (each, step) = least.split_at(whole.dispatches.len());
        println!("{} in all", each.iter().copied().sum::<Times>());
        println!("{} as one step\n", step[0]);
    }
    Ok(())
}
