//! A dispatch bound to buffers, ready to be encoded for any step and iteration.

use super::executor::{Executor, StepBlock};
use super::pipelines::{ITERATION_BINDING, PARAMS_BINDING, Pipeline, STEP_BINDING};
use crate::error::{Error, Result};
use crate::kernels::{FAULTS_BINDING, ITERATION_BYTES, STEP_BYTES};
use crate::plan::{MAX_LOOPS, Plan, Region, Repeat, StepOffset};
use std::sync::Arc;

/// Bytes of the uniform block with an iteration's number.
const NUMBER: u64 = 16;

/// The words of a step, and their place among those that were uploaded.
type Step<'a> = (usize, &'a StepBlock);

pub(super) struct Launch {
    pipeline: Arc<Pipeline>,
    /// One, or one for each set of outer iterations that are odd, if buffers change places. Bit d is loop d.
    groups: Vec<wgpu::BindGroup>,
    /// Bindings that move, in binding order, and the first byte that each is bound from.
    moving: Vec<(Region, u64)>,
    step: bool,
    /// The iterations of each loop around the dispatch and whether their numbers count down, if the kernel reads them.
    numbered: Option<Vec<(usize, bool)>>,
    grid: [u32; 3],
}

impl Launch {
    /// Binds dispatch `index` of the executor's plan.
    pub(super) fn new(executor: &Executor, index: usize) -> Result<Self> {
        let (device, plan) = (&executor.device, executor.plan());
        let dispatch = &plan.dispatches[index];
        let pipeline = device.pipelines.get(device, dispatch)?;
        let (times, loops) = (plan.times_of(index), plan.loops_of(index));
        let [params, steps, numbers] = executor.uniforms();
        let start = |region: &Region| region.span(&times).0 as u64;
        let swapped = loops.iter().any(|repeat| {
            let buffers = || dispatch.bindings.iter().map(|(region, _)| region.buffer);
            repeat.swaps.iter().flatten().any(|&b| buffers().any(|bound| bound == b))
        });
        let numbered = dispatch.call.iteration().then(|| {
            loops.iter().map(|repeat| (repeat.times, repeat.countdown)).collect::<Vec<_>>()
        });
        let mut groups = Vec::new();
        for odd in 0..if swapped { 1usize << loops.len() } else { 1 } {
            let mut entries = Vec::new();
            for (binding, (region, _)) in (0..).zip(&dispatch.bindings) {
                let buffer = executor.buffer(stand_in(&loops, odd, region.buffer))?;
                entries.push(entry(binding, Some(buffer), start(region), region.bytes)?);
            }
            let bytes = dispatch.call.params.len() as u64;
            entries.push(entry(PARAMS_BINDING, params, dispatch.params_at, bytes)?);
            if dispatch.call.step {
                entries.push(entry(STEP_BINDING, steps, 0, STEP_BYTES as u64)?);
            }
            if numbered.is_some() {
                entries.push(entry(ITERATION_BINDING, numbers, 0, NUMBER)?);
            }
            if let Some((buffer, offset, bytes)) =
                executor.faults.as_ref().and_then(|faults| faults.words(index))
            {
                entries.push(entry(FAULTS_BINDING, Some(buffer), offset, bytes)?);
            }
            let scopes = device.begin();
            let group = device.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(dispatch.call.name()),
                layout: &pipeline.layout,
                entries: &entries,
            });
            device.end(scopes, &format!("binding {}", dispatch.label))?;
            groups.push(group);
        }
        let moving = dispatch.bindings.iter().map(|(region, _)| *region).filter(Region::moves);
        let moving = moving.map(|region| (region, start(&region))).collect();
        let (step, grid) = (dispatch.call.step, dispatch.call.grid);
        Ok(Self { pipeline, groups, moving, step, numbered, grid })
    }

    /// Encodes the dispatch. `offsets` is room for the dynamic offsets.
    pub(super) fn encode(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        (step, block): Step<'_>,
        iterations: &[usize; MAX_LOOPS],
        offsets: &mut Vec<u32>,
    ) {
        offsets.clear();
        for (region, start) in &self.moving {
            let word = |s: StepOffset| block.0[s.word].wrapping_mul(s.stride as u32);
            let in_loops = region.offset as i64 + region.moved(iterations) - *start as i64;
            offsets.push(region.step_offset.map_or(0, word).wrapping_add(in_loops as u32));
        }
        offsets.extend(self.step.then_some((step * STEP_BYTES) as u32));
        if let Some(loops) = &self.numbered {
            let number = loops.iter().zip(iterations).fold(0, |all, (&(times, down), &i)| {
                all * times + if down { times - 1 - i } else { i }
            });
            offsets.push((number as u64 * ITERATION_BYTES) as u32);
        }
        let odd = (0..MAX_LOOPS).map(|d| (iterations[d] & 1) << d).sum::<usize>();
        let group = if self.groups.len() == 1 { 0 } else { odd & (self.groups.len() - 1) };
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.groups[group], offsets);
        let [x, y, z] = self.grid;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// The buffer that has the place of `buffer` in the iterations of these loops whose odd ones are the bits of `odd`.
fn stand_in(loops: &[&Repeat], odd: usize, buffer: usize) -> usize {
    loops.iter().enumerate().fold(buffer, |buffer, (d, repeat)| {
        let pair = repeat.swaps.iter().find(|pair| odd >> d & 1 == 1 && pair.contains(&buffer));
        pair.map_or(buffer, |&[a, b]| if buffer == a { b } else { a })
    })
}

/// The numbers of iterations, each at the beginning of a block: what kernels read that draw random numbers in a loop.
pub(super) fn iteration_numbers(plan: &Plan) -> Vec<u8> {
    let mut bytes = vec![0; plan.iteration_bytes() as usize];
    for (number, block) in (0u32..).zip(bytes.chunks_exact_mut(ITERATION_BYTES as usize)) {
        block[..4].copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn entry(
    binding: u32,
    buffer: Option<&wgpu::Buffer>,
    offset: u64,
    size: u64,
) -> Result<wgpu::BindGroupEntry<'_>> {
    let missing = || Error::internal("executor", format!("nothing to bind at {binding}"));
    let buffer = buffer.ok_or_else(missing)?;
    let size = std::num::NonZeroU64::new(size);
    let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size });
    Ok(wgpu::BindGroupEntry { binding, resource })
}
