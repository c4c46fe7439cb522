//! Layer normalization and normalization by the root mean square, with their gradients.

use super::row_builder::{Code, RowBuilder, check_epsilon, first_of_last};
use crate::error::{Error, Result};
use crate::graph::Rows;
use crate::graph::{Graph, Value};
use crate::graph::{RowReduction, RowRule};
use crate::ops::Reg;
use crate::tensor::Shape;

/// Refuses a factor or a summand of a row that has other extents than the row.
fn check_row(
    op: &str,
    graph: &Graph,
    x: Value,
    first: usize,
    rows: &[Option<Value>],
) -> Result<()> {
    let row = Shape::from(&graph.shape(x).dims()[first..]);
    for v in rows.iter().flatten().map(|&v| graph.shape(v)) {
        if *v != row {
            let detail = format!("gamma and beta have the extents of a row, {row}");
            return Err(Error::shape(op, &[graph.shape(x), v], detail));
        }
    }
    Ok(())
}

/// The first element of each row and the mean of the differences to it. Their sum is the mean, but it is never rounded:
/// if the mean is large against the spread, a rounded mean would be off by a part of the spread.
pub(super) fn mean_of(kernel: &mut RowBuilder, x: Reg, share: Reg) -> Result<[Reg; 2]> {
    let first = kernel.reduce(RowReduction::First, |_| Ok(x), |_, first| Ok(first))?;
    let offset = kernel.reduce(
        RowReduction::Sum,
        |code| code.sub(x, first),
        |code, sum| code.mul(sum, share),
    )?;
    Ok([first, offset])
}

/// x - mean, by what [`mean_of`] gives. The order matters: x less the first element is exact if both are near. A
/// compiler that reorders sums, as Metal's fast math may, leaves what a rounded mean gives.
pub(super) fn centred(code: &mut Code, x: Reg, [first, offset]: [Reg; 2]) -> Result<Reg> {
    let shifted = code.sub(x, first)?;
    code.sub(shifted, offset)
}

/// 1 / sqrt(sum · share + epsilon).
fn reciprocal_root(code: &mut Code, sum: Reg, [share, epsilon, one]: [Reg; 3]) -> Result<Reg> {
    let mean = code.mul(sum, share)?;
    let mean = code.add(mean, epsilon)?;
    let root = code.call("sqrt", &[mean], &[])?;
    code.call("div", &[one, root], &[])
}

impl Graph {
    /// gamma · (x - mean) / sqrt(variance + `epsilon`) + beta, with mean and variance (divided by n) of each row: the last
    /// `axes` axes of `x`. Ba, Kiros and Hinton, "Layer normalization", 2016.
    ///
    /// `x` is `[rows..., row...]`; `gamma` and `beta` are `[row...]`, and may be left out. One kernel forward; backward
    /// one for the gradient of `x`, and one for those of `gamma` and `beta`, or two if there are thousands of rows. Mean
    /// and variance are exact also if the mean is large against the spread. A square of a difference must be a number:
    /// rows whose elements differ by 1e18 or more are not normalized.
    ///
    /// ```
    /// use wgrad::graph::Graph;
    /// use wgrad::tensor::DType;
    ///
    /// let mut graph = Graph::new();
    /// let x = graph.input("x", [8, 5, 16], DType::F32);
    /// let gamma = graph.state("gamma", [16], DType::F32);
    /// let y = graph.layer_norm(x, Some(gamma), None, 1, 1e-5)?;
    /// assert_eq!(graph.shape(y), graph.shape(x));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` has fewer axes, or `gamma` or `beta` another shape; [`Error::Parameter`] for an epsilon
    /// that is negative or not finite; [`Error::DType`] if an operand is not f32.
    pub fn layer_norm(
        &mut self,
        x: Value,
        gamma: Option<Value>,
        beta: Option<Value>,
        axes: usize,
        epsilon: f32,
    ) -> Result<Value> {
        let operands: Vec<Value> = [Some(x), gamma, beta].into_iter().flatten().collect();
        self.check("layer_norm", &operands)?;
        check_epsilon(epsilon)?;
        let first = first_of_last("layer_norm", self.shape(x), axes)?;
        check_row("layer_norm", self, x, first, &[gamma, beta])?;
        let mut kernel = RowBuilder::new(self.shape(x), first);
        let rule = RowRule::new("layer_norm", [gamma.is_some(), beta.is_some()], layer_norm_vjp);
        let x = kernel.element(x);
        let [gamma, beta] = [gamma, beta].map(|v| v.map(|v| kernel.element(v)));
        let share = kernel.share(self);
        let [epsilon, one] = [epsilon, 1.0].map(|v| kernel.constant(self, v));
        let mean = mean_of(&mut kernel, x, share)?;
        let root = kernel.reduce(
            RowReduction::Sum,
            |code| {
                let centred = centred(code, x, mean)?;
                code.call("square", &[centred], &[])
            },
            |code, sum| reciprocal_root(code, sum, [share, epsilon, one]),
        )?;
        let elements = |code: &mut Code| {
            let centred = centred(code, x, mean)?;
            let unit = code.mul(centred, root)?;
            let scaled = code.scaled(unit, gamma)?;
            Ok(vec![beta.map_or(Ok(scaled), |beta| code.add(scaled, beta))?])
        };
        let [first, offset] = mean;
        Ok(kernel.push(self, rule, elements, &[&[first, offset, root]])?[0])
    }

    /// gamma · x / sqrt(mean of x² + `epsilon`) over each row: the last `axes` axes of `x`. Zhang and Sennrich, "Root mean
    /// square layer normalization", 2019.
    ///
    /// `x` is `[rows..., row...]`; `gamma` is `[row...]`, and may be left out. Kernels as in [`Graph::layer_norm`].
    ///
    /// # Errors
    /// As [`Graph::layer_norm`].
    pub fn rms_norm(
        &mut self,
        x: Value,
        gamma: Option<Value>,
        axes: usize,
        epsilon: f32,
    ) -> Result<Value> {
        let operands: Vec<Value> = [Some(x), gamma].into_iter().flatten().collect();
        self.check("rms_norm", &operands)?;
        check_epsilon(epsilon)?;
        let first = first_of_last("rms_norm", self.shape(x), axes)?;
        check_row("rms_norm", self, x, first, &[gamma])?;
        let mut kernel = RowBuilder::new(self.shape(x), first);
        let rule = RowRule::new("rms_norm", [gamma.is_some(), false], rms_norm_vjp);
        let x = kernel.element(x);
        let gamma = gamma.map(|v| kernel.element(v));
        let share = kernel.share(self);
        let [epsilon, one] = [epsilon, 1.0].map(|v| kernel.constant(self, v));
        let root = kernel.reduce(
            RowReduction::Sum,
            |code| code.call("square", &[x], &[]),
            |code, sum| reciprocal_root(code, sum, [share, epsilon, one]),
        )?;
        let elements = |code: &mut Code| {
            let unit = code.mul(x, root)?;
            Ok(vec![code.scaled(unit, gamma)?])
        };
        Ok(kernel.push(self, rule, elements, &[&[root]])?[0])
    }
}

/// With u = (x - mean) · root and g = dy · gamma: dx = root · (g - mean g - u · mean(g u)), dgamma = Σ dy u,
/// dbeta = Σ dy. The derivative of the formula of Ba et al. 2016.
fn layer_norm_vjp(
    graph: &mut Graph,
    rows: &Rows,
    [has_gamma, has_beta]: [bool; 2],
    inputs: &[Value],
    outputs: &[Value],
    dy: Value,
) -> Result<Vec<Option<Value>>> {
    let (x, kept) = (inputs[0], outputs[1]);
    let unit = |code: &mut Code, x: Reg, [first, offset, root]: [Reg; 3]| {
        let centred = centred(code, x, [first, offset])?;
        code.mul(centred, root)
    };
    let mut kernel = RowBuilder::new(&rows.shape, rows.first);
    let [g, v] = [dy, x].map(|v| kernel.element(v));
    let gamma = has_gamma.then(|| kernel.element(inputs[1]));
    let values = kernel.values(kept);
    let share = kernel.share(graph);
    let mean_g = kernel.reduce(
        RowReduction::Sum,
        |code| code.scaled(g, gamma),
        |code, sum| code.mul(sum, share),
    )?;
    let mean_gu = kernel.reduce(
        RowReduction::Sum,
        |code| {
            let unit = unit(code, v, values)?;
            let g = code.scaled(g, gamma)?;
            code.mul(g, unit)
        },
        |code, sum| code.mul(sum, share),
    )?;
    let elements = |code: &mut Code| {
        let unit = unit(code, v, values)?;
        let g = code.scaled(g, gamma)?;
        let level = code.sub(g, mean_g)?;
        let along = code.mul(unit, mean_gu)?;
        let rest = code.sub(level, along)?;
        Ok(vec![code.mul(rest, values[2])?])
    };
    let dx = kernel.push(graph, RowRule::gradient("layer_norm_gradient"), elements, &[])?[0];
    let mut partials = vec![Some(dx)];
    if has_gamma || has_beta {
        let mut kernel = RowBuilder::new(&rows.shape, rows.first);
        let g = kernel.element(dy);
        let sums = if has_gamma {
            let v = kernel.element(x);
            let values = kernel.values(kept);
            kernel.push_sums(graph, |code| {
                let unit = unit(code, v, values)?;
                let each = code.mul(g, unit)?;
                Ok(if has_beta { vec![each, g] } else { vec![each] })
            })?
        } else {
            kernel.push_sums(graph, |_| Ok(vec![g]))?
        };
        partials.extend(sums.into_iter().map(Some));
    }
    Ok(partials)
}

/// With u = x · root and g = dy · gamma: dx = root · (g - u · mean(g u)), dgamma = Σ dy u. The derivative of the formula
/// of Zhang and Sennrich 2019.
fn rms_norm_vjp(
    graph: &mut Graph,
    rows: &Rows,
    [has_gamma, _]: [bool; 2],
    inputs: &[Value],
    outputs: &[Value],
    dy: Value,
) -> Result<Vec<Option<Value>>> {
    let (x, kept) = (inputs[0], outputs[1]);
    let mut kernel = RowBuilder::new(&rows.shape, rows.first);
    let [g, v] = [dy, x].map(|v| kernel.element(v));
    let gamma = has_gamma.then(|| kernel.element(inputs[1]));
    let [root] = kernel.values(kept);
    let share = kernel.share(graph);
    let mean_gu = kernel.reduce(
        RowReduction::Sum,
        |code| {
            let unit = code.mul(v, root)?;
            let g = code.scaled(g, gamma)?;
            code.mul(g, unit)
        },
        |code, sum| code.mul(sum, share),
    )?;
    let elements = |code: &mut Code| {
        let unit = code.mul(v, root)?;
        let g = code.scaled(g, gamma)?;
        let along = code.mul(unit, mean_gu)?;
        let rest = code.sub(g, along)?;
        Ok(vec![code.mul(rest, root)?])
    };
    let dx = kernel.push(graph, RowRule::gradient("rms_norm_gradient"), elements, &[])?[0];
    let mut partials = vec![Some(dx)];
    if has_gamma {
        let mut kernel = RowBuilder::new(&rows.shape, rows.first);
        let [g, v] = [dy, x].map(|v| kernel.element(v));
        let [root] = kernel.values(kept);
        let sums = kernel.push_sums(graph, |code| {
            let unit = code.mul(v, root)?;
            Ok(vec![code.mul(g, unit)?])
        })?;
        partials.extend(sums.into_iter().map(Some));
    }
    Ok(partials)
}
