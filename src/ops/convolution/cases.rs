//! Sample cases of convolutions, for tests.

use super::super::contraction_lower::{BROADCAST, TILED};
use super::super::registry::{Build, Card, Case, Gradient, Sample};
use super::{Computes, Convolution};
use crate::graph::Window;
use crate::kernels::Template;
use std::sync::Arc;

const NAMES: [(&str, Computes); 3] = [
    ("convolution", Computes::Output),
    ("convolution_transpose", Computes::Input),
    ("convolution_kernel", Computes::Kernel),
];

impl Case {
    /// A convolution, or the gradient of one of its operands. `args`: groups, then taps, stride, dilation, zeros before
    /// and after, and the extent of each axis.
    #[must_use]
    pub fn convolution(
        op: &'static str,
        [samples, channels, filters, groups]: [usize; 4],
        axes: &[(Window, usize)],
    ) -> Self {
        let build: Build = |g, c, x| {
            let computes = NAMES.iter().find(|n| n.0 == c.op).map_or(Computes::Output, |n| n.1);
            let axes = c.args[1..].chunks_exact(6);
            let windows = axes.clone().map(|a| Window {
                taps: a[0],
                stride: a[1],
                dilation: a[2],
                before: a[3],
                after: a[4],
            });
            let extents = axes.clone().map(|a| a[5]).collect();
            let windows = windows.collect();
            let op = Convolution { windows, groups: c.args[0], extents, computes };
            Ok(vec![g.push(Arc::new(op), x)?])
        };
        let sample = |dims: &[&[usize]]| Sample::f32(dims.concat(), (-1.0, 1.0));
        let extents: Vec<usize> = axes.iter().map(|a| a.1).collect();
        let counts: Vec<usize> =
            axes.iter().map(|(window, extent)| window.count(*extent).unwrap_or(0)).collect();
        let taps: Vec<usize> = axes.iter().map(|a| a.0.taps).collect();
        let x = sample(&[&[samples], &extents, &[channels]]);
        let y = sample(&[&[samples], &counts, &[filters]]);
        let kernel = sample(&[&taps, &[channels / groups, filters]]);
        let inputs = match op {
            "convolution" => vec![x, kernel],
            "convolution_transpose" => vec![y, kernel],
            _ => vec![x, y],
        };
        let sizes = axes
            .iter()
            .flat_map(|(w, extent)| [w.taps, w.stride, w.dilation, w.before, w.after, *extent]);
        let args: Vec<usize> = [groups].into_iter().chain(sizes).collect();
        Self::new(op, inputs, &args, build)
    }
}

/// A rounding for each product of a sum, at most as many as the smaller operand or a window has.
fn error(case: &Case) -> (f64, f64) {
    let axes = case.args[1..].chunks_exact(6);
    let taps: usize = axes.map(|a| a[0]).product();
    let dims: Vec<&[usize]> = case.inputs.iter().map(|s| s.shape.dims()).collect();
    let terms = match case.op {
        "convolution_kernel" => dims[1][..dims[1].len() - 1].iter().product(),
        _ => taps * dims[0].last().copied().unwrap_or(1),
    };
    let unit = f64::from(f32::EPSILON);
    (unit, unit * terms as f64)
}

pub fn cards() -> Vec<Card> {
    let window = |taps, stride, dilation, [before, after]: [usize; 2]| Window {
        taps,
        stride,
        dilation,
        before,
        after,
    };
    let plain = |taps| Window::of(taps);
    let same = |taps: usize| window(taps, 1, 1, [(taps - 1) / 2, taps / 2]);
    NAMES
        .iter()
        .map(|&(name, _)| {
            let of = |sizes, axes: &[(Window, usize)]| Case::convolution(name, sizes, axes);
            let cases = vec![
                // Few and many channels, without and with padding.
                of([2, 1, 4, 1], &[(plain(3), 6), (plain(3), 5)]),
                of([2, 4, 8, 1], &[(same(3), 5), (same(3), 4)]),
                of([1, 7, 3, 1], &[(same(2), 4), (plain(2), 41)]),
                of([3, 8, 5, 1], &[(plain(1), 3), (plain(1), 2)]),
                // Strides, with and without taps for each residue, extents that they do not divide.
                of([2, 3, 4, 1], &[(window(3, 2, 1, [1, 1]), 7), (window(3, 2, 1, [0, 1]), 6)]),
                of([1, 4, 4, 1], &[(window(1, 2, 1, [0, 0]), 5), (window(2, 3, 1, [0, 0]), 8)]),
                of([1, 2, 3, 1], &[(window(5, 4, 1, [2, 3]), 3), (window(3, 5, 1, [2, 2]), 4)]),
                // Dilation beside stride, causal padding, a window larger than the image.
                of([1, 2, 3, 1], &[(window(3, 2, 3, [3, 2]), 9)]),
                of([2, 4, 4, 1], &[(window(3, 4, 2, [1, 4]), 11)]),
                of([2, 3, 2, 1], &[(window(3, 1, 4, [8, 0]), 7)]),
                // Groups.
                of([2, 6, 9, 3], &[(same(3), 4), (plain(2), 5)]),
                of([2, 8, 8, 2], &[(window(3, 2, 1, [1, 1]), 7)]),
                // Three axes.
                of([1, 2, 3, 1], &[(plain(2), 3), (same(3), 4), (window(2, 2, 1, [0, 0]), 5)]),
            ];
            let templates: &'static [Template] = &[TILED, BROADCAST];
            Card::new(name, templates, Gradient::Checked, cases).within(error)
        })
        .collect()
}
