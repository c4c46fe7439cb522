//! Gradient clipping on the device, between the backward pass and the rule.

use super::ArenaGradients;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};

/// A bound on gradients, with the names and formulas of Keras' optimizers. Gradients within the bound stay the same to
/// the last bit.
///
/// Norms are sums of squares in f32: above 1.8e19 they overflow and count as infinite. A norm that is infinite or NaN
/// makes everything that it would scale NaN, so that the next step's loss shows the failure. Keras' `global_clipnorm`
/// does the same; its `clipnorm` makes the finite elements of a tensor with an infinite one 0 instead.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Clip {
    /// Each element is limited to [-c, c]: Keras' `clipvalue`. An infinite element becomes ±c, NaN stays. Part
    /// of the dispatch of the update.
    Value(f32),
    /// Each weight tensor g by itself: g · min(1, c / ‖g‖₂). Keras' `clipnorm`. A few dispatches per arena.
    Norm(f32),
    /// All tensors together: each g · min(1, c / n) with n² the sum of all squares. Keras' `global_clipnorm`,
    /// Pascanu et al. 2013. A few dispatches per arena.
    GlobalNorm(f32),
}

impl Clip {
    /// Checks the bound.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming it.
    pub fn check(&self) -> Result<()> {
        let (name, bound) = match *self {
            Self::Value(bound) => ("Clip::Value", bound),
            Self::Norm(bound) => ("Clip::Norm", bound),
            Self::GlobalNorm(bound) => ("Clip::GlobalNorm", bound),
        };
        if bound.is_finite() && bound > 0.0 {
            return Ok(());
        }
        Err(Error::parameter(name, bound, "a finite number above 0"))
    }

    /// The clipped form of each arena's flat gradient, zero between tensors as before.
    pub(super) fn build(
        self,
        graph: &mut Graph,
        arenas: &[ArenaGradients],
        gradients: &[Value],
    ) -> Result<Vec<Value>> {
        match self {
            Self::Value(bound) => gradients
                .iter()
                .map(|&gradient| graph.unary("clipped_linear", gradient, &[-bound, bound]))
                .collect(),
            Self::Norm(bound) => arenas
                .iter()
                .zip(gradients)
                .map(|(arena, &gradient)| each_by_norm(graph, arena, gradient, bound))
                .collect(),
            Self::GlobalNorm(bound) => {
                let mut squares = graph.constant(0.0);
                for &gradient in gradients {
                    let own = sum_of_squares(graph, gradient)?;
                    squares = graph.add(squares, own)?;
                }
                let factor = factor(graph, squares, bound)?;
                gradients.iter().map(|&gradient| graph.mul(gradient, factor)).collect()
            }
        }
    }
}

/// Clips each tensor of an arena by its norm.
fn each_by_norm(
    graph: &mut Graph,
    arena: &ArenaGradients,
    gradient: Value,
    bound: f32,
) -> Result<Value> {
    let len = graph.shape(gradient).len();
    let extents = arena.gradients.iter().map(|&tensor| graph.shape(tensor).len());
    let tensors: Vec<_> =
        arena.offsets.iter().zip(extents).map(|(&at, len)| (rows_of(at, len), 1.0)).collect();
    let rows = graph.reshape(gradient, [len / ROW, ROW])?;
    let squares = graph.unary("square", rows, &[])?;
    let squares = graph.sum(squares, &[1], false)?;
    let squares = graph.sum_ranges(squares, &tensors)?;
    let factors = factor(graph, squares, bound)?;
    let factors = graph.fill_ranges(factors, len / ROW, &tensors)?;
    let factors = graph.reshape(factors, [len / ROW, 1])?;
    let clipped = graph.mul(rows, factors)?;
    graph.reshape(clipped, [len])
}

/// Elements of an arena's row: tensors begin at multiples of it.
pub(crate) const ROW: usize = 64;

/// The rows of an arena that hold a tensor of `len` elements, from element `at` on.
pub(crate) fn rows_of(at: usize, len: usize) -> std::ops::Range<usize> {
    at / ROW..(at + len).div_ceil(ROW)
}

fn sum_of_squares(graph: &mut Graph, x: Value) -> Result<Value> {
    let squares = graph.unary("square", x, &[])?;
    graph.sum(squares, &[], false)
}

/// min(1, bound / √`squares`), exactly 1 within the bound; NaN if the norm is not finite.
fn factor(graph: &mut Graph, squares: Value, bound: f32) -> Result<Value> {
    let norm = graph.unary("sqrt", squares, &[])?;
    let limit = graph.constant(bound);
    let one = graph.constant(1.0);
    let ratio = graph.div(limit, norm)?;
    let over = graph.binary("greater", norm, limit)?;
    let factor = graph.select(over, ratio, one)?;
    // By its bits: a driver may simplify norm - norm to 0, and take it that no comparison meets NaN.
    let finite = graph.unary("is_finite", norm, &[])?;
    let ruined = graph.constant(f32::NAN);
    graph.select(finite, factor, ruined)
}
