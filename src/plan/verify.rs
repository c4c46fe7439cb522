//! What must be true of every plan.

use super::storage::ALIGN;
use super::{BufferClass, Dispatch, MAX_LOOPS, Plan, Region, Repeat};
use crate::error::{Error, Result};
use crate::kernels::{Access, DYNAMIC_BINDINGS, DeviceCaps};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

impl Plan {
    /// Checks what must be true of every plan: regions inside their buffers and aligned, in every iteration; one access
    /// mode per buffer and dispatch; loops that nest; and the device's limits.
    ///
    /// # Errors
    /// [`Error::Limit`] for a limit, [`Error::Internal`] for all else.
    pub fn verify(&self, caps: &DeviceCaps) -> Result<()> {
        for buffer in &self.buffers {
            let (unit, advice) = ("bytes of one buffer", advice(buffer.class));
            limit(&buffer.name, unit, buffer.bytes, caps.max_buffer_bytes, advice)?;
        }
        self.verify_loops()?;
        let help = "use fewer steps of time, or draw all random numbers before the loop";
        let numbers = self.iteration_bytes();
        limit("the numbers of iterations", "bytes", numbers, caps.max_buffer_bytes, help)?;
        for (i, d) in self.dispatches.iter().enumerate() {
            self.verify_dispatch(i, d, caps)?;
        }
        Ok(())
    }

    fn verify_loops(&self) -> Result<()> {
        // Loops around the one that is looked at.
        let mut around: Vec<usize> = Vec::new();
        for (i, repeat) in self.repeats.iter().enumerate() {
            let broken = |what: &str| {
                let Repeat { body, times, .. } = repeat;
                Err(Error::internal(format!("plan: {body:?} {times} times"), what))
            };
            if repeat.times == 0 || repeat.body.is_empty() {
                return broken("a loop that runs nothing");
            }
            if repeat.body.end > self.dispatches.len() {
                return broken("dispatches that do not exist");
            }
            // Loops come in the order of their beginnings, the outer one first.
            while around.last().is_some_and(|&o| self.repeats[o].body.end <= repeat.body.start) {
                around.pop();
            }
            let outer = around.last().map(|&o| &self.repeats[o].body);
            let inside =
                |o: &Range<usize>| o.start <= repeat.body.start && repeat.body.end <= o.end;
            let ordered = i
                .checked_sub(1)
                .is_none_or(|before| self.repeats[before].body.start <= repeat.body.start);
            if repeat.outer != around.last().copied() || !ordered || !outer.is_none_or(inside) {
                return broken("loops that overlap");
            }
            if around.len() == MAX_LOOPS {
                return broken("too many loops inside each other");
            }
            // A buffer changes places in one loop at a time.
            let mut seen: HashSet<usize> =
                around.iter().flat_map(|&o| &self.repeats[o].swaps).flatten().copied().collect();
            let classes = [BufferClass::Activation, BufferClass::Arena, BufferClass::State];
            let fits =
                |b: &usize| self.buffers.get(*b).is_some_and(|decl| classes.contains(&decl.class));
            if !repeat.swaps.iter().flatten().all(|b| seen.insert(*b) && fits(b)) {
                return broken("buffers that cannot change places");
            }
            around.push(i);
        }
        Ok(())
    }

    fn verify_dispatch(&self, i: usize, d: &Dispatch, caps: &DeviceCaps) -> Result<()> {
        let broken = |detail: String| Err(Error::internal(format!("plan: {}", d.label), detail));
        let what = if d.layer.is_empty() {
            d.label.clone()
        } else {
            format!("layer `{}`: {}", d.layer, d.label)
        };
        let count = d.bindings.len() as u64;
        let allowed = u64::from(caps.storage_buffers());
        let help = "give the op fewer operands: fewer metrics";
        limit(&what, "storage buffers", count, allowed, help)?;
        let moving = d.bindings.iter().filter(|(region, _)| region.moves()).count();
        if moving > DYNAMIC_BINDINGS {
            return broken(format!("{moving} bindings move"));
        }
        let times = self.times_of(i);
        let mut modes: HashMap<usize, Access> = HashMap::new();
        for (region, access) in &d.bindings {
            let buffer = &self.buffers[region.buffer];
            let unit = format!("bytes of the binding `{}`", buffer.name);
            limit(&what, &unit, region.bytes, caps.max_binding_bytes, advice(buffer.class))?;
            self.verify_region(i, &what, region, &times)?;
            let fixed = matches!(buffer.class, BufferClass::Input | BufferClass::Constant);
            if fixed && *access == Access::ReadWrite {
                return broken(format!("writes `{}`, which it may only read", buffer.name));
            }
            if *modes.entry(region.buffer).or_insert(*access) != *access {
                return broken(format!("reads and writes `{}`", buffer.name));
            }
        }
        if d.call.grid.iter().any(|&g| g == 0 || g > caps.max_workgroups) {
            return broken(format!("grid {:?}", d.call.grid));
        }
        Ok(())
    }

    fn verify_region(
        &self,
        i: usize,
        what: &str,
        region: &Region,
        times: &[usize; MAX_LOOPS],
    ) -> Result<()> {
        let broken = |detail: String| Err(Error::internal(format!("plan: {what}"), detail));
        let buffer = &self.buffers[region.buffer];
        let (low, high) = region.span(times);
        // Where the region may be while other buffers take this one's place.
        let loops = self.loops_of(i);
        let places = loops.iter().flat_map(|repeat| &repeat.swaps);
        let other = |swap: &&[usize; 2]| swap.contains(&region.buffer);
        let least = places.filter(other).flatten().map(|&b| self.buffers[b].bytes).min();
        let bytes = least.unwrap_or(buffer.bytes);
        let aligned = |n: i64| n % ALIGN as i64 == 0;
        let strides = region.loop_strides.iter().all(|&s| aligned(s));
        if low < 0 || high as u64 + region.bytes > bytes || !aligned(low) || !strides {
            return broken(format!("region {region:?} of {bytes} bytes"));
        }
        let record =
            region.loop_strides.iter().filter(|&&s| s != 0).map(|s| s.unsigned_abs()).min();
        if record.is_some_and(|record| region.bytes > record) {
            return broken(format!("region {region:?} leaves its row"));
        }
        if let Some(moves) = region.step_offset
            && region.offset + region.bytes > moves.stride
        {
            return broken(format!("region {region:?} leaves its record"));
        }
        if region.moves() {
            // Dynamic offsets are 32-bit: a later record would be written over an earlier one.
            let unit = format!("bytes of the records of `{}`", buffer.name);
            let help = match region.step_offset {
                Some(_) => "use larger batches, or fewer samples",
                None => "use a smaller batch, or fewer steps of time",
            };
            limit(what, &unit, buffer.bytes, u64::from(u32::MAX), help)?;
        }
        Ok(())
    }
}

/// What helps if a buffer of this class is too large.
const fn advice(class: BufferClass) -> &'static str {
    match class {
        BufferClass::Input => {
            "keep fewer samples on the device at once, or store them as bytes; or use another adapter"
        }
        BufferClass::Constant => "use a smaller constant, or another adapter",
        BufferClass::State | BufferClass::Arena => "use a smaller layer, or another adapter",
        BufferClass::Activation | BufferClass::Uniform => {
            "use a smaller batch, a smaller layer, or another adapter"
        }
    }
}

fn limit(what: &str, unit: &str, needed: u64, allowed: u64, advice: &str) -> Result<()> {
    if needed <= allowed {
        return Ok(());
    }
    Err(Error::Limit { what: format!("{what}: {unit}"), needed, allowed, detail: advice.into() })
}
