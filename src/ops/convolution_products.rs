//! The products over views that compute a convolution and its gradients.

use super::{Convolution, Map, Program};
use crate::error::{Error, Result};
use crate::graph::{Graph, Op, Slide, Value, View, Window};
use crate::tensor::Shape;
use std::sync::Arc;

/// The taps of a window that meet the elements of one residue, when the gradient of a window's operand is computed: an
/// element `stride·q + residue` is in the windows `first + q - tap_step·u`, with tap `first_tap + u·tap_gap` of them.
struct Phase {
    first_tap: usize,
    tap_gap: usize,
    slide: Slide,
}

impl Phase {
    /// The taps for elements `residue` apart from multiples of the stride, of which there are `count`; `None` if no window
    /// has one.
    fn new(window: &Window, residue: usize, count: usize) -> Option<Self> {
        let Window { taps, stride, dilation, before, .. } = *window;
        let tap_gap = window.steps().tap;
        let shifted = residue + before;
        let first_tap =
            (0..tap_gap.min(taps)).find(|t| t * dilation % stride == shifted % stride)?;
        // Both are `shifted % stride` more than a multiple of the stride.
        let first = (shifted / stride) as isize - (first_tap * dilation / stride) as isize;
        let slide = Slide {
            count,
            taps: (taps - first_tap).div_ceil(tap_gap),
            first,
            step: 1,
            tap_step: -((tap_gap * dilation / stride) as isize),
        };
        Some(Self { first_tap, tap_gap, slide })
    }
}

/// The copy of what `view` shows of `x`. A kernel that reads views reads it in place.
pub(super) fn copied(graph: &mut Graph, x: Value, view: View) -> Result<Value> {
    let map = Map { program: Program::identity(), shape: view.shape().clone() };
    if view.is_whole() {
        return graph.reshape(x, map.shape);
    }
    Ok(graph.push_viewed(Arc::new(map), &[x], vec![Some(view)])?[0])
}

impl Convolution {
    /// y = patches of x · kernel.
    pub(super) fn output(&self, graph: &mut Graph, x: Value, kernel: Value) -> Result<Value> {
        let (of, [terms, filters]) = (graph.shape(x).clone(), self.matrix(graph, kernel));
        let counts = self.counts().unwrap_or_default();
        let slides: Vec<Slide> =
            self.windows.iter().zip(&counts).map(|(w, &count)| w.slide(count)).collect();
        let patches = View::slides(&of, &slides, self.groups);
        let columns = self.filters(terms, filters);
        let kernel = copied(graph, kernel, columns)?;
        let whole = View::whole(graph.shape(kernel));
        let y = graph.contract_views((x, patches), (kernel, whole))?;
        let y = self.merged(graph, y)?;
        graph.reshape(y, self.image(of.dims()[0], &counts, filters))
    }

    /// The kernel's gradient = (patches of x)ᵀ · dy.
    pub(super) fn kernel(&self, graph: &mut Graph, x: Value, dy: Value) -> Result<Value> {
        let (of, counts) = (graph.shape(x).clone(), self.counts().unwrap_or_default());
        let slides: Vec<Slide> =
            self.windows.iter().zip(&counts).map(|(w, &count)| w.slide(count)).collect();
        let patches = View::slides(&of, &slides, self.groups);
        let rows = of.dims()[0] * counts.iter().product::<usize>();
        let (filters, terms) =
            (graph.shape(dy).dims()[counts.len() + 1], patches.shape().dims()[2]);
        let turned = patches.transposed([self.groups, rows, terms]);
        let turned = turned.ok_or_else(|| Error::internal(self.name(), "patches do not turn"))?;
        let columns = self.filters(rows, filters);
        let dk = graph.contract_views((x, turned), (dy, columns))?;
        let dk = self.merged(graph, dk)?;
        let channels = of.dims()[counts.len() + 1] / self.groups;
        let taps: Vec<usize> = self.taps().collect();
        graph.reshape(dk, [taps, vec![channels, filters]].concat())
    }

    /// x's gradient: for each residue of the strides a dense product of dy's patches and of the taps that meet it.
    pub(super) fn input(&self, graph: &mut Graph, dy: Value, kernel: Value) -> Result<Value> {
        if self.by_columns() {
            return self.input_by_columns(graph, dy, kernel);
        }
        let (of, groups) = (graph.shape(dy).clone(), self.groups);
        let (samples, filters) = (of.dims()[0], of.dims()[self.windows.len() + 1] / groups);
        let channels = graph.shape(kernel).dims()[self.windows.len()];
        // Residues along each axis, and the elements of each.
        let residues: Vec<usize> =
            self.windows.iter().zip(&self.extents).map(|(w, &e)| w.stride.min(e)).collect();
        let counts: Vec<usize> =
            self.windows.iter().zip(&self.extents).map(|(w, &e)| e.div_ceil(w.stride)).collect();
        let len = groups * samples * counts.iter().product::<usize>() * channels;
        let mut parts = Vec::new();
        for part in 0..residues.iter().product::<usize>() {
            let mut rest = part;
            let mut phases = Vec::new();
            for d in (0..residues.len()).rev() {
                phases.push(Phase::new(&self.windows[d], rest % residues[d], counts[d]));
                rest /= residues[d];
            }
            phases.reverse();
            let value = match phases.into_iter().collect::<Option<Vec<Phase>>>() {
                Some(phases) => {
                    let slides: Vec<Slide> = phases.iter().map(|p| p.slide).collect();
                    let patches = View::slides(&of, &slides, groups);
                    let taps = self.turned(&phases, channels, filters);
                    let taps = copied(graph, kernel, taps)?;
                    let whole = View::whole(graph.shape(taps));
                    graph.contract_views((dy, patches), (taps, whole))?
                }
                None => {
                    let zero = graph.constant(0.0);
                    graph.broadcast_to(zero, [len])?
                }
            };
            parts.push(value);
        }
        let whole = self.image(samples, &self.extents, groups * channels);
        if let ([one], 1) = (parts.as_slice(), groups) {
            return graph.reshape(*one, whole);
        }
        // Side by side, then in the order of x.
        let gap = len.next_multiple_of(64);
        let packed = match parts.as_slice() {
            [one] => *one,
            _ => {
                let offsets: Vec<usize> = (0..parts.len()).map(|p| p * gap).collect();
                graph.pack(parts.len() * gap, &offsets, &parts)?
            }
        };
        let image: Vec<usize> = counts.iter().copied().chain([channels]).collect();
        let own = Shape::from([vec![groups, samples], image].concat()).strides();
        let (mut dims, mut strides) = (vec![samples], vec![own[1] as isize]);
        for d in 0..counts.len() {
            let residue = gap * residues[d + 1..].iter().product::<usize>();
            dims.extend([counts[d], residues[d]]);
            strides.extend([own[d + 2] as isize, residue as isize]);
        }
        dims.extend([groups, channels]);
        strides.extend([own[0] as isize, 1]);
        let mut x = copied(graph, packed, View::strided(dims, 0, &strides))?;
        let padded: Vec<usize> = counts.iter().zip(&residues).map(|(c, r)| c * r).collect();
        x = graph.reshape(x, self.image(samples, &padded, groups * channels))?;
        for (d, &extent) in self.extents.iter().enumerate() {
            x = graph.slice(x, d + 1, 0..extent)?;
        }
        Ok(x)
    }

    /// Terms and filters of a kernel.
    fn matrix(&self, graph: &Graph, kernel: Value) -> [usize; 2] {
        let dims = graph.shape(kernel).dims();
        let (filters, terms) = (dims[dims.len() - 1], dims[..dims.len() - 1].iter().product());
        [terms, filters]
    }

    /// A matrix of `filters` columns as a matrix for each group.
    fn filters(&self, rows: usize, filters: usize) -> View {
        let own = filters / self.groups;
        let strides = [own, filters, 1].map(|s| s as isize);
        View::strided([self.groups, rows, own], 0, &strides)
    }

    /// Results of groups `[groups, rows, columns]` as `[rows, groups · columns]`.
    fn merged(&self, graph: &mut Graph, x: Value) -> Result<Value> {
        if self.groups == 1 {
            return Ok(x);
        }
        graph.transpose(x, &[1, 0, 2])
    }

    /// The kernel's taps of these phases, filters before channels: `[groups, taps · filters, channels]`.
    fn turned(&self, phases: &[Phase], channels: usize, filters: usize) -> View {
        let all = filters * self.groups;
        let mut tap = all * channels;
        let (mut offset, mut taps) = (0, Vec::new());
        for (phase, window) in phases.iter().zip(&self.windows).rev() {
            offset += phase.first_tap * tap;
            taps.push((phase.slide.taps, (phase.tap_gap * tap) as isize));
            tap *= window.taps;
        }
        taps.reverse();
        let walk: Vec<(usize, isize)> = [(self.groups, filters as isize)]
            .into_iter()
            .chain(taps)
            .chain([(filters, 1), (channels, all as isize)])
            .collect();
        let dims: Vec<usize> = walk.iter().map(|w| w.0).collect();
        let strides: Vec<isize> = walk.iter().map(|w| w.1).collect();
        let terms = dims[1..dims.len() - 1].iter().product();
        View::strided(dims, offset as isize, &strides).reshaped([self.groups, terms, channels])
    }
}
