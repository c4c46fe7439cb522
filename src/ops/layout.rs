//! How an operand is read: contiguous, or through strides.

use super::program::Words;
use crate::error::{Error, Result};
use crate::graph::{Axis, Guard, View};
use crate::tensor::Shape;
use std::fmt::Write;

/// Strides of an operand along the axes of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// First element.
    pub offset: isize,
    /// Elements per step along each axis; 0 repeats.
    pub strides: Vec<isize>,
    /// Whether element i of the result reads element i.
    pub full: bool,
    /// Extents of the axes of a view; `None` if the axes are those of the result.
    pub own: Option<Vec<usize>>,
    /// The view, if it has guards.
    pub guarded: Option<View>,
}

impl Layout {
    /// An operand of shape `from`, broadcast to `to`.
    pub(super) fn broadcast(from: &Shape, to: &Shape) -> Result<Self> {
        let strides = from
            .broadcast_strides(to)
            .ok_or_else(|| Error::shape("broadcast", &[from, to], "the extents differ"))?;
        let strides = strides.into_iter().map(|s| s as isize).collect();
        Ok(Self { offset: 0, strides, full: from.len() == to.len(), own: None, guarded: None })
    }

    /// An operand read through strides over `to`.
    pub(super) fn strided(strides: &[usize], offset: usize, to: &Shape) -> Self {
        let full = offset == 0 && strides == to.strides();
        let strides = strides.iter().map(|&s| s as isize).collect();
        Self { offset: offset as isize, strides, full, own: None, guarded: None }
    }

    /// An operand that is seen through a view and broadcast to `to`.
    pub(super) fn viewed(view: &View, to: &Shape) -> Result<Self> {
        let spread = view.spread(to).ok_or_else(|| {
            Error::shape("broadcast", &[view.shape(), to], format!("no view of {view} repeats it"))
        })?;
        let axes: Vec<(usize, isize)> =
            spread.axes().iter().map(|a| (a.extent, a.stride)).collect();
        let (mut extents, mut strides): (Vec<usize>, Vec<isize>) = axes.into_iter().unzip();
        if extents.is_empty() {
            (extents, strides) = (vec![1], vec![0]);
        }
        let full = spread.is_whole();
        let offset = spread.offset();
        let guarded = (!spread.guards().is_empty()).then_some(spread);
        Ok(Self { offset, strides, full, own: Some(extents), guarded })
    }

    /// Drops axes of extent 1 and merges neighbours that every strided operand walks evenly. Returns the
    /// merged extents and each layout over them. Views have other axes and stay as they are.
    pub(super) fn collapse(shape: &Shape, layouts: &[Self]) -> (Vec<usize>, Vec<Self>) {
        let mut axes: Vec<usize> = Vec::new();
        let mut strides: Vec<Vec<isize>> = vec![Vec::new(); layouts.len()];
        for (axis, &extent) in shape.dims().iter().enumerate() {
            if extent == 1 {
                continue;
            }
            let merges = axes.last().is_some()
                && layouts.iter().zip(&strides).all(|(layout, done)| {
                    let even = || done.last() == Some(&(layout.strides[axis] * extent as isize));
                    layout.full || layout.own.is_some() || even()
                });
            let shared = layouts.iter().zip(&mut strides).filter(|(l, _)| l.own.is_none());
            for (layout, done) in shared {
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
            .map(|(l, strides)| match l.own {
                Some(_) => l.clone(),
                None => Self { strides, ..l.clone() },
            })
            .collect();
        (axes, layouts)
    }

    /// Whether every vector of four consecutive inner elements starts at a multiple of four.
    pub(super) fn vector_aligned(&self) -> bool {
        let outer = &self.strides[..self.strides.len().saturating_sub(1)];
        self.offset % 4 == 0 && outer.iter().all(|s| s % 4 == 0)
    }

    /// Extents of the axes that the operand is read along, given those of the result.
    pub(super) fn axes<'a>(&'a self, of_result: &'a [usize]) -> &'a [usize] {
        self.own.as_deref().unwrap_or(of_result)
    }

    /// Whether the shader binds the operand as scalars; `axes` are those of the result.
    pub(super) fn scalar_binding(&self, axes: &[usize]) -> bool {
        if let Some(view) = &self.guarded {
            return !fours(view);
        }
        let vectors = whole_vectors(self.axes(axes))
            && self.strides.last() == Some(&1)
            && self.vector_aligned();
        !self.full && !vectors
    }
}

/// Whether a view with guards is read in whole vec4s: neighbours in memory, all inside or all outside.
pub(super) fn fours(view: &View) -> bool {
    let Some((last, rest)) = view.axes().split_last() else { return false };
    let inside = last.steps.iter().all(|&step| step == 0);
    let whole = |stride: isize| stride % 4 == 0;
    let others = rest.iter().all(|axis| whole(axis.stride));
    let guards = view.guards().iter().all(|guard| whole(guard.stride));
    last.extent % 4 == 0 && last.stride == 1 && inside && whole(view.offset()) && others && guards
}

/// Whether the innermost axis is whole vec4s.
pub(super) fn whole_vectors(axes: &[usize]) -> bool {
    axes.last().is_some_and(|d| d % 4 == 0)
}

/// A number of elements as a shader word: u32 arithmetic wraps, so that negative ones count down.
pub(super) fn word(elements: isize) -> u32 {
    elements as i32 as u32
}

/// Extents and strides of axes without guards.
pub(super) fn strides_of(axes: &[Axis]) -> Vec<(usize, isize)> {
    axes.iter().map(|a| (a.extent, a.stride)).collect()
}

/// The function `name(e: u32) -> u32`: the element at position `e` of a walk, in row-major order of its axes.
pub(super) fn offset_function(
    name: &str,
    offset: isize,
    axes: &[(usize, isize)],
    words: &mut Words,
) -> String {
    let mut sum = words.push(word(offset));
    let mut decode = String::new();
    for (axis, &(extent, stride)) in axes.iter().enumerate().rev() {
        let coordinate = if axis == 0 {
            "rest".to_owned()
        } else {
            let extent = words.push(extent as u32);
            let _ = writeln!(decode, "    let i{axis} = rest % {extent}; rest = rest / {extent};");
            format!("i{axis}")
        };
        if stride != 0 {
            let _ = write!(sum, " + {coordinate} * {}", words.push(word(stride)));
        }
    }
    format!("fn {name}(e: u32) -> u32 {{\n    var rest = e;\n{decode}    return {sum};\n}}")
}

/// The function `name(..) -> ty` of a position along each of `runs`, in row-major order of its axes: what `read` loads at the
/// element there, or zero if a guard is outside.
pub(super) fn gather_function(
    (name, ty): (&str, &str),
    (offset, guards): (isize, &[Guard]),
    runs: &[(&str, &[Axis])],
    words: &mut Words,
    read: impl Fn(String) -> String,
) -> String {
    let mut element = words.push(word(offset));
    let mut places: Vec<String> = guards.iter().map(|g| words.push(word(g.first))).collect();
    let mut body = String::new();
    for (run, axes) in runs {
        let _ = writeln!(body, "    var {run}_rest = {run};");
        for (a, axis) in axes.iter().enumerate().rev() {
            let index = if a == 0 { format!("{run}_rest") } else { format!("{run}{a}") };
            if a > 0 {
                let extent = words.push(axis.extent as u32);
                let _ = writeln!(
                    body,
                    "    let {index} = {run}_rest % {extent}; {run}_rest = {run}_rest / {extent};"
                );
            }
            let mut add = |sum: &mut String, stride: isize| {
                if stride != 0 {
                    let _ = write!(sum, " + {index} * {}", words.push(word(stride)));
                }
            };
            add(&mut element, axis.stride);
            places.iter_mut().zip(&axis.steps).for_each(|(place, &step)| add(place, step));
        }
    }
    for (i, (place, guard)) in places.iter().zip(guards).enumerate() {
        // A place before the first is a large number.
        let extent = words.push(guard.extent as u32);
        let _ = writeln!(body, "    let place{i} = {place};");
        let _ = writeln!(body, "    if place{i} >= {extent} {{ return {ty}(); }}");
        let _ = write!(element, " + place{i} * {}", words.push(word(guard.stride)));
    }
    let parameters: Vec<String> = runs.iter().map(|(run, _)| format!("{run}: u32")).collect();
    let (parameters, value) = (parameters.join(", "), read(element));
    format!("fn {name}({parameters}) -> {ty} {{\n{body}    return {value};\n}}")
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
