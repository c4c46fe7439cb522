//! Times of single dispatches, by timestamp queries.

use super::executor::{Executor, StepBlock};
use crate::error::Result;
use crate::plan::Launch;
use std::ops::Range;

/// Dispatches whose times one query set holds: two stamps each.
const AT_ONCE: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;

impl Executor {
    /// Whether the device tells the times of single dispatches.
    #[must_use]
    pub fn tells_times(&self) -> bool {
        self.device.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Nanoseconds between two ticks of the device's clock.
    #[must_use]
    pub fn tick_nanoseconds(&self) -> f32 {
        self.device.queue.get_timestamp_period()
    }

    /// Runs the plan once, each launch in a separate pass, and returns when each began and ended: ticks of the
    /// device's clock, in the plan's order. Only for a device that tells times.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] if the device fails or has no timestamp queries.
    pub async fn run_timed(&self, block: &StepBlock) -> Result<Vec<Range<u64>>> {
        let during = "timing a plan";
        let (device, queue) = self.device.wgpu();
        let plan = self.plan().clone();
        let mut times = Vec::with_capacity(plan.dispatches.len());
        let (mut offsets, mut order) = (Vec::new(), plan.order());
        loop {
            let launches: Vec<Launch> = order.by_ref().take(AT_ONCE).collect();
            if launches.is_empty() {
                self.check_faults().await?;
                return Ok(times);
            }
            let count = 2 * launches.len() as u32;
            let scopes = self.device.begin();
            self.upload(std::slice::from_ref(block));
            let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("times"),
                ty: wgpu::QueryType::Timestamp,
                count,
            });
            let resolved = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("times"),
                size: u64::from(count) * 8,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            let mut encoder = device.create_command_encoder(&Default::default());
            for (i, launch) in launches.iter().enumerate() {
                let first = 2 * i as u32;
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: None,
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set: &queries,
                        beginning_of_pass_write_index: Some(first),
                        end_of_pass_write_index: Some(first + 1),
                    }),
                });
                let (bound, iterations) = (&self.launches[launch.dispatch], &launch.iterations);
                bound.encode(&mut pass, (0, block), iterations, &mut offsets);
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            queue.submit([encoder.finish()]);
            self.device.end(scopes, during)?;
            let bytes =
                super::readback::read(&self.device, &resolved, 0, count as usize * 8).await?;
            let stamps: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
            times.extend(stamps.chunks_exact(2).map(|s| s[0]..s[1]));
        }
    }
}
