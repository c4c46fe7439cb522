//! The kernels of pooling and of its gradient.

use super::map::to_u32;
use super::pool::{Pool, PoolKind};
use crate::error::{Error, Result};
use crate::graph::{Op, Steps, Window};
use crate::kernels::{
    Bind, Define, DeviceCaps, KernelCall, Template, grid, param_blocks, template,
};
use crate::tensor::Shape;

pub(super) const POOL: Template = template!("window/pool", PoolParams);
pub(super) const GRADIENT: Template = template!("window/pool_gradient", PoolParams);
pub(super) const SPREAD: Template = template!("window/pool_spread", PoolParams);

param_blocks! {
    /// Pooling and its gradient: all other sizes are in the text.
    PoolParams {
        /// Cells that invocations handle: elements, or vectors of four.
        len: u32,
        /// Factor on bytes.
        factor: f32,
        /// An infinity, below which products with the factor are held.
        limit: f32,
        /// Padding.
        pad0: u32,
    }
}

const WORKGROUP: u32 = 64;

/// The axes over which windows slide, at most.
pub(super) const AXES: usize = 3;

/// Sizes along the three axes of the kernels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub extents: [usize; AXES],
    pub counts: [usize; AXES],
    pub windows: [Window; AXES],
    pub channels: usize,
}

impl Sizes {
    /// Whether windows have more than the element itself along an axis.
    pub(super) fn along(&self) -> [bool; AXES] {
        std::array::from_fn(|axis| {
            let window = self.windows[axis];
            (window.taps, window.before) != (1, 0) || self.extents[axis] != self.counts[axis]
        })
    }

    /// Blocks of STRIDE elements that the tensor and the padding before it have, if no windows overlap and a block is
    /// small: an invocation writes a block.
    pub(super) fn blocks(&self) -> Option<[usize; AXES]> {
        const MOST: usize = 64;
        let apart = |w: &Window| w.taps <= w.stride && (w.dilation == 1 || w.taps == 1);
        let elements = self.windows.iter().fold(1usize, |all, w| all.saturating_mul(w.stride));
        (self.windows.iter().all(apart) && elements <= MOST).then(|| {
            std::array::from_fn(|axis| {
                (self.extents[axis] + self.windows[axis].before).div_ceil(self.windows[axis].stride)
            })
        })
    }

    /// Iterations of nested loops over the axes.
    pub(super) fn trips(&self, of: impl Fn(&Window) -> usize) -> u64 {
        let (mut nested, mut all) = (1u64, 0u64);
        for (window, along) in self.windows.iter().zip(self.along()) {
            if along {
                nested = nested.saturating_mul(of(window) as u64);
                all = all.saturating_add(nested);
            }
        }
        all
    }
}

impl Pool {
    /// Whether an invocation handles four channels, and a word holds who won of each.
    pub(super) fn vectors(&self, channels: usize) -> bool {
        channels.is_multiple_of(4) && self.taps() <= 256
    }

    fn taps(&self) -> usize {
        self.windows.iter().fold(1, |all, w| all.saturating_mul(w.taps))
    }

    /// The sizes for the kernels: axes that the tensor does not have come first, with an extent of one.
    pub(super) fn sizes(&self, of: &Shape) -> Sizes {
        let (mut extents, mut counts) = ([1; AXES], [1; AXES]);
        let mut windows = [Window::of(1); AXES];
        let first = AXES - self.windows.len();
        for (axis, window) in self.windows.iter().enumerate() {
            let extent = of.dims()[axis + 1];
            extents[first + axis] = extent;
            counts[first + axis] = window.count(extent).unwrap_or(1);
            windows[first + axis] = *window;
            let window = &mut windows[first + axis];
            if window.taps == 1 {
                window.dilation = 1;
            }
            // One window has no next, so the stride may be any: this one keeps numbers small.
            if counts[first + axis] == 1 {
                window.stride = window.taps * window.dilation;
            }
        }
        Sizes { extents, counts, windows, channels: of.dims()[self.windows.len() + 1] }
    }

    /// A launch with an invocation for each cell of `[samples, each.., channels]`. `factor` is that on an operand of bytes.
    pub(super) fn call(
        &self,
        template: Template,
        sizes: &Sizes,
        (samples, each): (usize, [usize; AXES]),
        trips: u64,
        (binds, factor): (Vec<Bind>, Option<f32>),
        caps: &DeviceCaps,
    ) -> Result<KernelCall> {
        if trips > u64::from(caps.max_loop_trips) {
            return Err(Error::Limit {
                what: format!("{}: elements of a window", self.name()),
                needed: trips,
                allowed: caps.max_loop_trips.into(),
                detail: "pool over all of an axis by a reduction, or in two steps".into(),
            });
        }
        let elements = each.iter().fold(samples * sizes.channels, |all, n| all * n);
        to_u32(elements)?;
        let vectors = self.vectors(sizes.channels);
        let cells = if vectors { elements / 4 } else { elements };
        let list = |of: [usize; AXES]| Define::from(of.map(|v| format!("{v}u")).join(", "));
        let of = |of: fn(&Window) -> usize| list(sizes.windows.each_ref().map(of));
        let [along_x, along_y, along_z] = sizes.along();
        let padded = sizes.windows.iter().any(|w| w.before + w.after > 0);
        let counts = self.kind == PoolKind::Average { count_padding: true };
        let steps = sizes.windows.map(|w| w.steps());
        // Their product is below 2^32 in the kernel.
        if let Some(step) = steps.iter().find(|s| s.inverse() > 1 && s.tap > 1 << 16) {
            return Err(Error::Limit {
                what: format!("{}: stride beside a dilation", self.name()),
                needed: step.tap as u64,
                allowed: 1 << 16,
                detail: "use a smaller stride, or no dilation".into(),
            });
        }
        let defines = vec![
            ("WG", WORKGROUP.into()),
            ("VEC", vectors.into()),
            ("BYTES", factor.is_some().into()),
            ("WIDE", (caps.wide_words && vectors).into()),
            ("MAX", (self.kind == PoolKind::Max).into()),
            ("PADDED", padded.into()),
            ("PADDING_COUNTS", counts.into()),
            ("ALONG_X", along_x.into()),
            ("ALONG_Y", along_y.into()),
            ("ALONG_Z", along_z.into()),
            ("BLOCKS", list(each)),
            ("CELLS", to_u32(if vectors { sizes.channels / 4 } else { sizes.channels })?.into()),
            ("EXTENT", list(sizes.extents)),
            ("WINDOWS", list(sizes.counts)),
            ("TAPS", of(|w| w.taps)),
            ("STRIDE", of(|w| w.stride)),
            ("DILATION", of(|w| w.dilation)),
            ("BEFORE", of(|w| w.before)),
            ("COMMON", list(steps.map(|s| s.common))),
            ("FIRST", list(steps.map(Steps::inverse))),
            ("TAP_STEP", list(steps.map(|s| s.tap))),
            ("WINDOW_STEP", list(steps.map(|s| s.window))),
        ];
        let (factor, limit) = (factor.unwrap_or(1.0), f32::INFINITY);
        let params = PoolParams { len: cells as u32, factor, limit, pad0: 0 };
        let workgroups = cells.div_ceil(WORKGROUP as usize) as u64;
        Ok(KernelCall {
            text: None,
            template,
            defines,
            binds,
            params: params.with_words(&[]),
            step: false,
            grid: grid(&self.name(), workgroups, caps)?,
            flops: (elements as u64).saturating_mul(trips.max(1)),
        })
    }
}
