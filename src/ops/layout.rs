//! How an operand is read: contiguous, or through strides.

use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Strides of an operand along the axes of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// First element.
    pub offset: usize,
    /// Elements per step along each axis of the result; 0 repeats.
    pub strides: Vec<usize>,
    /// Whether element i of the result reads element i.
    pub full: bool,
}

impl Layout {
    /// An operand of shape `from`, broadcast to `to`.
    pub(super) fn broadcast(from: &Shape, to: &Shape) -> Result<Self> {
        let strides = from
            .broadcast_strides(to)
            .ok_or_else(|| Error::shape("broadcast", &[from, to], "the extents differ"))?;
        Ok(Self { offset: 0, strides, full: from.len() == to.len() })
    }

    /// An operand read through strides over `to`.
    pub(super) fn strided(strides: &[usize], offset: usize, to: &Shape) -> Self {
        Self { offset, strides: strides.to_vec(), full: offset == 0 && strides == to.strides() }
    }

    /// Drops axes of extent 1 and merges neighbours that every strided operand walks evenly. Returns the
    /// merged extents and each layout over them.
    pub(super) fn collapse(shape: &Shape, layouts: &[Self]) -> (Vec<usize>, Vec<Self>) {
        let mut axes: Vec<usize> = Vec::new();
        let mut strides: Vec<Vec<usize>> = vec![Vec::new(); layouts.len()];
        for (axis, &extent) in shape.dims().iter().enumerate() {
            if extent == 1 {
                continue;
            }
            let merges = axes.last().is_some()
                && layouts.iter().zip(&strides).all(|(layout, done)| {
                    layout.full || done.last() == Some(&(layout.strides[axis] * extent))
                });
            for (layout, done) in layouts.iter().zip(&mut strides) {
                if merges {
                    done.pop();
                }
                done.push(layout.strides[axis]);
            }
            match axes.last_mut() {
                Some(last) if merges => *last *= extent,
                _ => axes.push(extent),
            }
        }
        if axes.is_empty() {
            axes.push(1);
            strides.iter_mut().for_each(|s| s.push(0));
        }
        let layouts = layouts
            .iter()
            .zip(strides)
            .map(|(l, strides)| Self { offset: l.offset, strides, full: l.full })
            .collect();
        (axes, layouts)
    }

    /// Whether every vector of four consecutive inner elements starts at a multiple of four.
    pub(super) fn vector_aligned(&self) -> bool {
        let outer = &self.strides[..self.strides.len().saturating_sub(1)];
        self.offset.is_multiple_of(4) && outer.iter().all(|s| s.is_multiple_of(4))
    }

    /// Whether the shader binds the operand as scalars.
    pub(super) fn scalar_binding(&self, whole_vectors: bool) -> bool {
        let vectors = whole_vectors && self.strides.last() == Some(&1) && self.vector_aligned();
        !self.full && !vectors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_keeps_two_axes() {
        let out = Shape::from([4, 5, 8]);
        let bias = Layout::broadcast(&Shape::from([8]), &out).unwrap();
        let full = Layout::broadcast(&out, &out).unwrap();
        let (axes, layouts) = Layout::collapse(&out, &[full, bias]);
        assert_eq!(axes, vec![20, 8]);
        assert_eq!(layouts[1].strides, vec![0, 1]);
    }

    #[test]
    fn a_transpose_does_not_collapse() {
        let out = Shape::from([3, 5]);
        let (axes, layouts) = Layout::collapse(&out, &[Layout::strided(&[1, 3], 0, &out)]);
        assert_eq!((axes, layouts[0].strides.clone()), (vec![3, 5], vec![1, 3]));
    }

    #[test]
    fn full_operands_collapse_to_one_axis() {
        let out = Shape::from([3, 1, 5]);
        let full = Layout::broadcast(&out, &out).unwrap();
        assert_eq!(Layout::collapse(&out, &[full]).0, vec![15]);
    }
}
