//! Axes of samples, as layers are given them.

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::Shape;

/// The axes of `[batch, ...]` that are meant, as axes of a sample from 0, sorted. They are given from 1, or from -1 at
/// the end; axis 0 is the batch. `setting` is what errors call them.
pub(super) fn axes_of(setting: &str, axes: &[isize], sample: &Shape) -> Result<Vec<usize>> {
    let rank = sample.rank() as isize;
    let of = |axis: isize| if axis < 0 { axis.checked_add(rank + 1) } else { Some(axis) };
    let found = axes.iter().map(|&axis| of(axis).filter(|axis| (1..=rank).contains(axis)));
    let mut kept: Vec<usize> = found.flatten().map(|axis| (axis - 1) as usize).collect();
    kept.sort_unstable();
    kept.dedup();
    if kept.len() < axes.len() {
        let detail = format!(
            "samples {sample} have the axes 1 to {rank}, or -1 to -{rank}, each given once; 0 is the batch"
        );
        return Err(Error::parameter(setting, format!("{axes:?}"), detail));
    }
    Ok(kept)
}

/// The extents of these axes of a sample.
pub(super) fn extents(sample: &Shape, axes: &[usize]) -> Shape {
    axes.iter().map(|&axis| sample.dims()[axis]).collect::<Vec<_>>().into()
}

/// Applies `normalize` to `[batch, ...]` with these axes of a sample as the last ones, and brings them back.
pub(super) fn over_last(
    graph: &mut Graph,
    x: Value,
    axes: &[usize],
    normalize: impl FnOnce(&mut Graph, Value) -> Result<Value>,
) -> Result<Value> {
    let rank = graph.shape(x).rank();
    let chosen = |axis: &usize| *axis > 0 && axes.contains(&(axis - 1));
    let (last, others): (Vec<usize>, Vec<usize>) = (0..rank).partition(chosen);
    let order = [others, last].concat();
    if order.is_sorted() {
        return normalize(graph, x);
    }
    let moved = graph.transpose(x, &order)?;
    let y = normalize(graph, moved)?;
    let mut back = vec![0; rank];
    order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
    graph.transpose(y, &back)
}
