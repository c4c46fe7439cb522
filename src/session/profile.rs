//! Where the time of a step goes.

use super::clock::Instant;
use super::compiled::Compiled;
use super::sweep::Sweep;
use crate::error::{Error, Result};
use crate::plan::{BufferClass, Dispatch, Plan};
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The times of one step's dispatches.
struct Timed {
    /// The step's number.
    step: usize,
    plan: Arc<Plan>,
    /// When each launch began and ended, in ticks of the device's clock; none if it tells no times.
    times: Vec<Range<u64>>,
    /// Nanoseconds of a tick.
    tick: f32,
}

impl Timed {
    /// Seconds from tick `start` to tick `end`. The device's clock may show any count, even one too large for an f64 to
    /// hold single ticks, and it may overflow.
    fn seconds(&self, start: u64, end: u64) -> f64 {
        end.wrapping_sub(start) as i64 as f64 * f64::from(self.tick) / 1e9
    }
}

/// Characters of a label in the table.
const SHOWN: usize = 60;

/// The times of every run of one dispatch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Call {
    /// Index into the kernels of the profile.
    pub kernel: usize,
    /// The step, from 0.
    pub step: usize,
    /// When it began and ended: seconds from the beginning of the first.
    pub time: Range<f64>,
}

/// A kernel of the step: all dispatches of one shader for one op in one layer on the same shapes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Kernel {
    /// The op, with its attributes.
    pub label: String,
    /// The layer that built it, empty for none.
    pub layer: String,
    /// Shapes of operands and results.
    pub shapes: String,
    /// Its shader.
    pub template: &'static str,
    /// Launches in all steps.
    pub calls: usize,
    /// Bytes that one dispatch reads and writes.
    pub bytes: u64,
    /// Floating-point operations of one dispatch.
    pub flops: u64,
    /// Seconds of all calls; `None` if the adapter does not tell.
    pub seconds: Option<f64>,
}

/// Where the time of some steps went: a table as text, a trace for Chrome's `about:tracing` and Perfetto.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// Steps that ran.
    pub steps: usize,
    /// The time of all of them as training runs them: many dispatches in a compute pass, many steps in a submit.
    pub wall: Duration,
    /// The kernels, those that took longest first.
    pub kernels: Vec<Kernel>,
    /// Every call, in the order of their beginnings; none if the adapter does not tell times.
    pub calls: Vec<Call>,
}

impl Profile {
    fn new(steps: usize, wall: Duration, runs: &[Timed]) -> Self {
        let mut kernels: Vec<Kernel> = Vec::new();
        let mut calls = Vec::new();
        let start = runs.iter().find_map(|run| Some(run.times.first()?.start));
        for run in runs {
            for (i, launch) in run.plan.order().enumerate() {
                let dispatch = &run.plan.dispatches[launch.dispatch];
                let kernel = kernels.iter().position(|k| k.is(dispatch)).unwrap_or_else(|| {
                    kernels.push(Kernel::of(dispatch));
                    kernels.len() - 1
                });
                kernels[kernel].calls += 1;
                if let (Some(time), Some(start)) = (run.times.get(i), start) {
                    let own = run.seconds(time.start, time.end);
                    *kernels[kernel].seconds.get_or_insert(0.0) += own;
                    let time = run.seconds(start, time.start)..run.seconds(start, time.end);
                    calls.push(Call { kernel, step: run.step, time });
                }
            }
        }
        let mut order: Vec<usize> = (0..kernels.len()).collect();
        let seconds = |i: &usize| kernels[*i].seconds.unwrap_or_default();
        order.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)));
        for call in &mut calls {
            call.kernel = order.iter().position(|&i| i == call.kernel).unwrap_or_default();
        }
        let kernels = order.into_iter().map(|i| kernels[i].clone()).collect();
        Self { steps, wall, kernels, calls }
    }

    /// Seconds inside kernels, of all steps; `None` if the adapter does not tell.
    #[must_use]
    pub fn kernel_seconds(&self) -> Option<f64> {
        self.kernels.iter().map(|k| k.seconds).sum()
    }

    /// The calls as Chrome's trace events, a JSON text that `about:tracing` and Perfetto show.
    #[must_use]
    pub fn trace(&self) -> String {
        let event = |call: &Call| {
            let kernel = &self.kernels[call.kernel];
            serde_json::json!({
                "name": kernel.label,
                "cat": kernel.template,
                "ph": "X",
                "pid": 1,
                "tid": 1,
                "ts": call.time.start * 1e6,
                "dur": (call.time.end - call.time.start) * 1e6,
                "args": {
                    "layer": kernel.layer,
                    "shapes": kernel.shapes,
                    "step": call.step,
                    "bytes": kernel.bytes,
                    "flops": kernel.flops,
                },
            })
        };
        let events: Vec<serde_json::Value> = self.calls.iter().map(event).collect();
        serde_json::json!({ "displayTimeUnit": "ms", "traceEvents": events }).to_string()
    }

    /// Writes [`Profile::trace`] to a file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn write_trace(&self, path: impl AsRef<std::path::Path>) -> Result<()> {
        crate::files::write(path.as_ref(), self.trace().as_bytes())
    }
}

impl Kernel {
    fn of(dispatch: &Dispatch) -> Self {
        Self {
            label: dispatch.label.clone(),
            layer: dispatch.layer.clone(),
            shapes: dispatch.shapes.clone(),
            template: dispatch.call.name(),
            calls: 0,
            bytes: dispatch.bytes_read + dispatch.bytes_written,
            flops: dispatch.call.flops,
            seconds: None,
        }
    }

    /// Whether the dispatch is a call of it. An op that takes several launches has a kernel for each.
    fn is(&self, dispatch: &Dispatch) -> bool {
        self.label == dispatch.label
            && self.layer == dispatch.layer
            && self.shapes == dispatch.shapes
            && self.template == dispatch.call.name()
            && self.flops == dispatch.call.flops
            && self.bytes == dispatch.bytes_read + dispatch.bytes_written
    }
}

/// One row per kernel: calls, microseconds per call, share of all kernels' time, bytes and operations per call and per
/// second, its shader, its op and its layer.
impl Display for Profile {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let all = self.kernel_seconds();
        writeln!(
            f,
            "{:>6} {:>10} {:>6} {:>9} {:>8} {:>9} {:>9}  kernel",
            "calls", "us/call", "share", "KiB", "GB/s", "MFLOP", "GFLOP/s"
        )?;
        for k in &self.kernels {
            let each = k.seconds.map(|s| s / k.calls as f64);
            let show = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "-".into(), |v| format!("{v:.digits$}"))
            };
            let rate = |n: u64| each.filter(|&s| s > 0.0).map(|s| n as f64 / s / 1e9);
            let share = k.seconds.zip(all).map(|(s, all)| 100.0 * s / all.max(1e-12));
            let layer =
                if k.layer.is_empty() { String::new() } else { format!("  // {}", k.layer) };
            writeln!(
                f,
                "{:>6} {:>10} {:>5}% {:>9.1} {:>8} {:>9.3} {:>9}  {}  {}{layer}",
                k.calls,
                show(each.map(|s| s * 1e6), 1),
                show(share, 1),
                k.bytes as f64 / 1024.0,
                show(rate(k.bytes), 1),
                k.flops as f64 / 1e6,
                show(rate(k.flops), 1),
                k.template,
                shortened(&k.label)
            )?;
        }
        let steps = self.steps as f64;
        write!(f, "step: {:.3} ms", self.wall.as_secs_f64() * 1e3 / steps)?;
        match all {
            Some(all) => write!(f, ", its kernels, timed one by one: {:.3} ms", all * 1e3 / steps),
            None => write!(f, "; this adapter does not tell the times of single kernels"),
        }
    }
}

/// The beginning of a label: a fused program may fill a page.
fn shortened(label: &str) -> String {
    match label.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &label[..end]),
        None => label.into(),
    }
}

impl Compiled {
    /// Runs `steps` steps of the last sweep that trained, and times each kernel. The state is the same afterwards.
    pub(crate) async fn profile(&mut self, steps: usize) -> Result<Profile> {
        if steps == 0 {
            return Err(Error::parameter("steps", 0, "a profile has at least one step"));
        }
        let Some(sweep) = self.trained.clone() else {
            let detail = "it replays the steps of the last `fit`; there was none yet";
            return Err(Error::parameter("profile", steps, detail));
        };
        let (before, kept) = (self.steps, self.keep_state(&sweep)?);
        let mut kept = Kept { of: self, steps: before, buffers: kept };
        let result = kept.of.profile_sweep(&sweep, steps).await;
        let restored = kept.restore();
        result.and_then(|profile| restored.map(|()| profile))
    }
}

/// The state from before a profile. It is taken up again when this is dropped, also if nobody waits for the profile.
struct Kept<'t> {
    of: &'t mut Compiled,
    steps: u64,
    /// The buffers that have copies.
    buffers: Vec<String>,
}

impl Kept<'_> {
    fn restore(&mut self) -> Result<()> {
        self.of.steps = self.steps;
        for name in std::mem::take(&mut self.buffers) {
            self.of.store.copy(&copy_of(&name), &name)?;
            self.of.store.remove(&copy_of(&name));
        }
        Ok(())
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            log::warn!("the state from before the profile is not taken up again: {error}");
        }
    }
}

/// The name of the buffer that keeps the earlier contents of a buffer.
fn copy_of(name: &str) -> String {
    format!("profile/{name}")
}

impl Compiled {
    /// Copies everything that the steps of a sweep change, except their numbers, and gives the names of the buffers.
    fn keep_state(&mut self, sweep: &Sweep) -> Result<Vec<String>> {
        let plans = self.plans_of(sweep)?;
        let own = format!("{}/", sweep.full.role);
        let decls = plans.iter().flat_map(|plan| &plan.buffers);
        let states = decls.filter(|b| b.class == BufferClass::State && !b.name.starts_with(&own));
        let kept: BTreeMap<&str, u64> = states.map(|b| (&*b.name, b.bytes)).collect();
        self.admit_extra("copy of the state while it is profiled", kept.values().sum(), &plans)?;
        for name in kept.keys() {
            self.store.copy(name, &copy_of(name))?;
        }
        Ok(kept.into_keys().map(str::to_owned).collect())
    }

    async fn profile_sweep(&mut self, sweep: &Sweep, steps: usize) -> Result<Profile> {
        // The table is compared with steps as training runs them. The first round makes what is missing.
        self.replay(sweep, 1).await?;
        let began = Instant::now();
        self.replay(sweep, steps).await?;
        let wall = began.elapsed();
        let mut runs = Vec::with_capacity(steps);
        for step in 0..steps {
            let (i, block) = self.prepared_step(sweep, step)?;
            // Timed dispatches are no run of the executor: the step is counted here.
            self.steps += 1;
            let executor = self.executor_at(i);
            let plan = executor.plan().clone();
            let times = match executor.tells_times() {
                true => executor.run_timed(&block).await?,
                false => Vec::new(),
            };
            runs.push(Timed { step, plan, times, tick: executor.tick_nanoseconds() });
        }
        Ok(Profile::new(steps, wall, &runs))
    }

    /// Runs the first steps of sweeps, and waits.
    async fn replay(&mut self, sweep: &Sweep, steps: usize) -> Result<()> {
        let mut next = 0;
        while next < steps {
            let end = steps.min(next + sweep.full.records);
            self.run_sweep(sweep, next..end).await?;
            next = end;
        }
        self.device.wait_async().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::kernels::DeviceCaps;
    use crate::passes::Passes;
    use crate::tensor::DType;

    /// The plan of a product with divided sums, after a gather of 3 of 1000 rows.
    fn plan() -> Arc<Plan> {
        let mut g = Graph::new();
        let table = g.input("table", [1000, 4096], DType::U8);
        let order = g.input("order", [1000], DType::U32);
        let weights = g.input("weights", [4096, 8], DType::F32);
        let start = g.constant_u32(0);
        let rows = g.gather_batch(order, start, 3, &[(table, 1.0)]).unwrap()[0];
        let product = g.matmul(rows, weights).unwrap();
        g.output("product", product);
        let caps = DeviceCaps::webgpu_defaults();
        Arc::new(Plan::compile(&g, &Passes::default(), &caps).unwrap())
    }

    fn profile(first: u64, tick: f32) -> Profile {
        let plan = plan();
        let at = |ticks: u64| first.wrapping_add(ticks);
        let times = [at(0)..at(10), at(10)..at(70), at(71)..at(72)];
        Profile::new(1, Duration::ZERO, &[Timed { step: 0, plan, times: times.into(), tick }])
    }

    #[test]
    fn every_launch_of_an_op_is_a_kernel_of_its_own() {
        let profile = profile(0, 1.0);
        let seen: Vec<_> = profile.kernels.iter().map(|k| (k.template, k.calls)).collect();
        assert_eq!(seen, [("matmul/tiled", 1), ("data/gather", 1), ("matmul/combine", 1)]);
        // Three rows of bytes and their indices are read, and the product reads the rows as bytes.
        assert_eq!(profile.kernels[1].bytes, 3 * 4096 + 3 * 4 + 3 * 4096);
    }

    #[test]
    fn clocks_may_stand_anywhere_and_run_over() {
        for first in [0, 1_764_000_000_000_000_003, u64::MAX - 5] {
            let profile = profile(first, 2.0);
            let seconds: Vec<f64> = profile.kernels.iter().map(|k| k.seconds.unwrap()).collect();
            assert_eq!(seconds, [120e-9, 20e-9, 2e-9], "a clock that stands at {first}");
            assert_eq!(profile.calls[2].time, 142e-9..144e-9);
        }
    }
}
