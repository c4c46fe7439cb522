//! Activation buffers that plans share if only one of them runs at a time.

use super::Device;
use super::store::create_buffer;
use crate::error::Result;
use crate::plan::{BufferClass, Plan};
use crate::sorted;
use std::cmp::Reverse;

/// Activation buffers of executors that take turns: each uses what the others have, and adds what is missing. What an
/// executor left in them stays valid until another one runs.
#[derive(Debug, Default)]
pub struct Pool {
    buffers: Vec<wgpu::Buffer>,
}

impl Pool {
    /// A buffer for each activation of `plan`, with its index into the plan's buffers.
    pub(super) fn take(
        &mut self,
        device: &Device,
        plan: &Plan,
    ) -> Result<Vec<(usize, wgpu::Buffer)>> {
        let mut sizes = self.sizes();
        let mut taken = Vec::new();
        for (decl, at) in places(&mut sizes, plan) {
            if at == self.buffers.len() {
                self.buffers.push(create_buffer(device, "activation", sizes[at])?);
            }
            taken.push((decl, self.buffers[at].clone()));
        }
        Ok(taken)
    }

    /// Frees the buffers that no executor uses.
    pub fn clear(&mut self) {
        self.buffers.clear();
    }

    /// Bytes of the buffers after executors of `plans` are added one after the other.
    #[must_use]
    pub fn bytes_with<'a>(&self, plans: impl IntoIterator<Item = &'a Plan>) -> u64 {
        let mut sizes = self.sizes();
        for plan in plans {
            places(&mut sizes, plan);
        }
        sizes.iter().sum()
    }

    fn sizes(&self) -> Vec<u64> {
        self.buffers.iter().map(wgpu::Buffer::size).collect()
    }
}

/// For each activation of `plan`, the largest first, its index into the plan's buffers and the place of the smallest
/// buffer that is large enough and not taken yet; `sizes` grows if there is none.
fn places(sizes: &mut Vec<u64>, plan: &Plan) -> Vec<(usize, usize)> {
    let mut wanted = Vec::new();
    for (i, decl) in plan.buffers.iter().enumerate() {
        if decl.class == BufferClass::Activation {
            sorted::insert(&mut wanted, (Reverse(decl.bytes), i));
        }
    }
    let mut free: Vec<usize> = (0..sizes.len()).collect();
    let place = |(Reverse(bytes), i)| {
        let fits = (0..free.len()).filter(|&f| sizes[free[f]] >= bytes);
        let at = match fits.min_by_key(|&f| sizes[free[f]]) {
            Some(f) => free.remove(f),
            None => {
                sizes.push(bytes);
                sizes.len() - 1
            }
        };
        (i, at)
    };
    wanted.into_iter().map(place).collect()
}
