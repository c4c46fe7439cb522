//! The gradient of a convolution's image for large strides: one product gives what each window adds to the elements that it
//! covers, and these columns are laid side by side. The other way, a product for each residue of the strides
//! (`convolution_products`), reads no padding and adds nothing, but its launches are as many as the strides multiply to.

use super::Convolution;
use super::convolution_products::copied;
use crate::error::Result;
use crate::graph::{Graph, Value, View};

/// Residues of the strides up to which there is a product for each.
const RESIDUES: usize = 16;

impl Convolution {
    /// Whether the columns of all windows are computed at once.
    pub(super) fn by_columns(&self) -> bool {
        let residues = self.windows.iter().zip(&self.extents).map(|(w, &e)| w.stride.min(e));
        let plain = self.windows.iter().all(|w| w.dilation == 1 || w.taps == 1);
        plain && residues.fold(1, usize::saturating_mul) > RESIDUES
    }

    /// x's gradient: dy · kernelᵀ is `[groups, samples, windows.., taps.., channels]`. Taps beyond a stride are in the place of
    /// a further window: they are moved there and added, in the order of the taps.
    pub(super) fn input_by_columns(
        &self,
        graph: &mut Graph,
        dy: Value,
        kernel: Value,
    ) -> Result<Value> {
        let axes = self.windows.len();
        let image = graph.shape(dy).dims().to_vec();
        let (samples, counts, filters) = (image[0], image[1..=axes].to_vec(), image[axes + 1]);
        let (groups, channels) = (self.groups, graph.shape(kernel).dims()[axes]);
        let taps: Vec<usize> = self.taps().collect();
        let (rows, own) = (samples * counts.iter().product::<usize>(), filters / groups);
        let columns = taps.iter().product::<usize>() * channels;
        let strides = [own, filters, 1].map(|s| s as isize);
        let rows_of_groups = View::strided([groups, rows, own], 0, &strides);
        let strides = [own, 1, filters].map(|s| s as isize);
        let turned = copied(graph, kernel, View::strided([groups, own, columns], 0, &strides))?;
        let whole = View::whole([groups, own, columns]);
        let product = graph.contract_views((dy, rows_of_groups), (turned, whole))?;
        let mut dims = vec![groups, samples];
        dims.extend(counts.iter().chain(&taps));
        dims.push(channels);
        let mut x = graph.reshape(product, dims)?;
        // [samples, windows, taps, .., groups, channels]
        let mut order = vec![1];
        (0..axes).for_each(|d| order.extend([2 + d, 2 + axes + d]));
        order.extend([0, 2 + 2 * axes]);
        x = graph.transpose(x, &order)?;
        for (d, window) in self.windows.iter().enumerate() {
            x = laid(graph, x, d, window.stride)?;
        }
        // [samples, elements.., groups · channels]: what padding took is cut off, and what no window reaches is zero.
        let all = groups * channels;
        let extents = graph.shape(x).dims()[1..=axes].to_vec();
        x = graph.reshape(x, self.image(samples, &extents, all))?;
        let mut around = vec![[0, 0]];
        let mut inside: Vec<_> = std::iter::once(0..samples).collect();
        for ((window, &extent), &have) in self.windows.iter().zip(&self.extents).zip(&extents) {
            let end = window.before + extent;
            around.push([0, end.saturating_sub(have)]);
            inside.push(window.before..end);
        }
        around.push([0, 0]);
        inside.push(0..all);
        x = graph.pad(x, &around, 0.0)?;
        graph.crop(x, &inside)
    }
}

/// Axes 1 + d and 2 + d of `x`, windows and their taps, as one: each window has `stride` elements.
fn laid(graph: &mut Graph, mut x: Value, d: usize, stride: usize) -> Result<Value> {
    let dims = graph.shape(x).dims().to_vec();
    let (windows, taps) = (dims[1 + d], dims[2 + d]);
    let parts = taps.div_ceil(stride);
    let mut around = vec![[0, 0]; dims.len()];
    around[2 + d] = [0, parts * stride - taps];
    x = graph.pad(x, &around, 0.0)?;
    let joined = |windows: usize| [&dims[..=d], &[windows * stride], &dims[d + 3..]].concat();
    if parts == 1 {
        return graph.reshape(x, joined(windows));
    }
    let mut sum = None;
    for part in 0..parts {
        let taps = graph.slice(x, 2 + d, part * stride..(part + 1) * stride)?;
        let placed = graph.reshape(taps, joined(windows))?;
        let mut around = vec![[0, 0]; dims.len() - 1];
        around[1 + d] = [part * stride, (parts - 1 - part) * stride];
        let placed = graph.pad(placed, &around, 0.0)?;
        sum = Some(match sum {
            None => placed,
            Some(sum) => graph.add(sum, placed)?,
        });
    }
    sum.map_or(Ok(x), Ok)
}
