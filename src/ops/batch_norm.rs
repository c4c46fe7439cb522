//! Normalization of columns by their mean and variance over all rows, with its gradient: one kernel for each of mean,
//! variance and result; backward one for all sums, and one for the gradient of the operand.

use super::column_sums::SumRule;
use super::map::Map;
use super::row_builder::{Code, RowBuilder, check_epsilon};
use crate::error::{Error, Result};
use crate::graph::{
    Class, Graph, LowerContext, Lowered, Op, Reg, TensorType, Value, View, VjpContext,
};
use crate::tensor::Shape;
use std::sync::Arc;

/// What Keras adds to a count that may be zero.
const LEAST: f32 = 1e-7;

/// x - shift - offset: the order matters, see `normalize::centred`.
fn centred(code: &mut Code, x: Reg, shift: Reg, offset: Reg) -> Result<Reg> {
    let shifted = code.sub(x, shift)?;
    code.sub(shifted, offset)
}

/// share · `value` for the rows that count.
fn counted(code: &mut Code, value: Reg, share: Reg, mask: Option<[Reg; 2]>) -> Result<Reg> {
    let own = match mask {
        Some([mask, zero]) => code.call("select", &[mask, value, zero], &[])?,
        None => value,
    };
    code.mul(own, share)
}

/// How rows are counted: what each adds to a mean, and which of them do.
#[derive(Clone, Copy)]
struct Counted {
    share: Value,
    mask: Option<Value>,
}

impl Counted {
    fn inputs(self, graph: &mut Graph, kernel: &mut RowBuilder) -> (Reg, Option<[Reg; 2]>) {
        let share = kernel.element(self.share);
        let mask = self.mask.map(|mask| [kernel.element(mask), kernel.constant(graph, 0.0)]);
        (share, mask)
    }
}

/// Σ share · (x - shift): the mean's distance from `shift`.
fn mean(graph: &mut Graph, x: Value, shift: Value, counted_by: Counted) -> Result<Value> {
    let mut kernel = columns(graph, x);
    let [x, shift] = [x, shift].map(|v| kernel.element(v));
    let (share, mask) = counted_by.inputs(graph, &mut kernel);
    let rule = SumRule::Mean { masked: mask.is_some() };
    let sums = kernel.push_sums_as(graph, rule, |code| {
        let shifted = code.sub(x, shift)?;
        Ok(vec![counted(code, shifted, share, mask)?])
    });
    Ok(sums?[0])
}

/// Σ share · (x - shift - offset)².
fn variance(
    graph: &mut Graph,
    x: Value,
    [shift, offset]: [Value; 2],
    counted_by: Counted,
) -> Result<Value> {
    let mut kernel = columns(graph, x);
    let [x, shift, offset] = [x, shift, offset].map(|v| kernel.element(v));
    let (share, mask) = counted_by.inputs(graph, &mut kernel);
    let rule = SumRule::Variance { masked: mask.is_some() };
    let sums = kernel.push_sums_as(graph, rule, |code| {
        let centred = centred(code, x, shift, offset)?;
        let square = code.call("square", &[centred], &[])?;
        Ok(vec![counted(code, square, share, mask)?])
    });
    Ok(sums?[0])
}

/// A kernel whose columns are the last axis of `x`.
fn columns(graph: &Graph, x: Value) -> RowBuilder {
    let shape = graph.shape(x);
    RowBuilder::new(shape, shape.rank() - 1)
}

/// The gradient of `mean` or `variance` by `x`. By `shift` there is none, as that is a constant near the mean; by
/// `offset` it is zero, as that is the mean.
pub(super) fn moment_vjp(
    graph: &mut Graph,
    rule: SumRule,
    inputs: &[Value],
    ds: Value,
) -> Result<Vec<Option<Value>>> {
    let mut partials = vec![None; inputs.len()];
    let x = inputs[0];
    // Of the whole shape at once, so that all of it is one kernel.
    let shape = graph.shape(x).clone();
    let (mut dx, rest, masked) = match rule {
        SumRule::None => return Err(Error::internal("column_sums", "has no gradient")),
        SumRule::Mean { masked } => (graph.broadcast_to(ds, shape)?, &inputs[2..], masked),
        SumRule::Variance { masked } => {
            let shifted = graph.sub(x, inputs[1])?;
            let centred = graph.sub(shifted, inputs[2])?;
            let slope = graph.scale(centred, 2.0)?;
            (graph.mul(slope, ds)?, &inputs[3..], masked)
        }
    };
    dx = graph.mul(dx, rest[0])?;
    if masked {
        let zero = graph.constant(0.0);
        dx = graph.select(rest[1], dx, zero)?;
    }
    partials[0] = Some(dx);
    Ok(partials)
}

/// (x - shift - offset) · scale + beta, a value of each for a column: elementwise, with a gradient that takes one kernel
/// for all sums over rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Normalized {
    map: Map,
    beta: bool,
}

impl Op for Normalized {
    fn name(&self) -> String {
        "batch_norm".into()
    }

    fn attrs(&self) -> String {
        self.map.attrs()
    }

    fn class(&self) -> Class<'_> {
        Class::Elementwise(&self.map)
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.map.infer(inputs)
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, upstream, .. } = *cx;
        let mut partials = vec![None; inputs.len()];
        let Some(dy) = upstream[0] else { return Ok(partials) };
        let &[x, shift, offset, scale, ..] = inputs else {
            return Err(Error::internal("batch_norm", format!("{} operands", inputs.len())));
        };
        let mut kernel = columns(graph, x);
        let g = kernel.element(dy);
        let [v, shift, offset, factor] = [x, shift, offset, scale].map(|v| kernel.element(v));
        let sums = kernel.push_sums(graph, |code| {
            let centred = centred(code, v, shift, offset)?;
            let along = code.mul(g, centred)?;
            let level = code.mul(g, factor)?;
            let level = code.call("neg", &[level], &[])?;
            Ok(if self.beta { vec![level, along, g] } else { vec![level, along] })
        })?;
        partials[0] = Some(graph.mul(dy, scale)?);
        for (partial, sum) in partials[2..].iter_mut().zip(sums) {
            *partial = Some(sum);
        }
        Ok(partials)
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        self.map.lower(cx)
    }

    fn takes_uniform(&self, input: usize) -> bool {
        self.map.takes_uniform(input)
    }

    fn takes_view(&self, inputs: &[&TensorType], input: usize, view: &View) -> bool {
        self.map.takes_view(inputs, input, view)
    }

    fn may_overwrite(&self, inputs: &[&TensorType], input: usize, output: usize) -> bool {
        self.map.may_overwrite(inputs, input, output)
    }
}

/// A number for each column of [`Graph::batch_norm`], or none.
fn check_column(graph: &Graph, x: Value, column: Option<Value>) -> Result<()> {
    let width = Shape::from(&graph.shape(x).dims()[graph.shape(x).rank() - 1..]);
    match column.map(|v| graph.shape(v)).filter(|shape| **shape != width) {
        None => Ok(()),
        Some(other) => {
            let detail = format!("gamma and beta have a number for each column, {width}");
            Err(Error::shape("batch_norm", &[graph.shape(x), other], detail))
        }
    }
}

impl Graph {
    /// gamma · (x - mean) / sqrt(variance + `epsilon`) + beta, with mean and variance (divided by n) of each column over
    /// all rows: `[result, mean, variance]`. Ioffe and Szegedy, "Batch normalization", 2015.
    ///
    /// `x` is `[rows..., c]`, all others are `[c]`. With a `mask` `[rows..., 1]`, only rows at which it is 1 are in the
    /// statistics. Mean and variance are exact also if the mean is large against the spread: they are those of the
    /// differences to the first row, or to a first mean of the rows that count.
    ///
    /// ```
    /// use wgrad::graph::Graph;
    /// use wgrad::tensor::DType;
    ///
    /// let mut graph = Graph::new();
    /// let x = graph.input("x", [32, 8, 8, 16], DType::F32);
    /// let gamma = graph.state("gamma", [16], DType::F32);
    /// let [y, mean, variance] = graph.batch_norm(x, Some(gamma), None, None, 1e-3)?;
    /// assert_eq!(graph.shape(y), graph.shape(x));
    /// assert_eq!((graph.shape(mean).dims(), graph.shape(variance).dims()), (&[16][..], &[16][..]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` has no axis of rows, or another operand has another shape; [`Error::Parameter`] for an
    /// epsilon that is negative or not finite; [`Error::DType`] if an operand is not f32.
    pub fn batch_norm(
        &mut self,
        x: Value,
        gamma: Option<Value>,
        beta: Option<Value>,
        mask: Option<Value>,
        epsilon: f32,
    ) -> Result<[Value; 3]> {
        let operands: Vec<Value> = [Some(x), gamma, beta, mask].into_iter().flatten().collect();
        self.check("batch_norm", &operands)?;
        check_epsilon(epsilon)?;
        let shape = self.shape(x).clone();
        let Some((&width, rows)) = shape.dims().split_last().filter(|_| shape.rank() > 1) else {
            let detail = "columns are the last axis, rows those before it";
            return Err(Error::shape("batch_norm", &[&shape], detail));
        };
        check_column(self, x, gamma)?;
        check_column(self, x, beta)?;
        let one = self.constant(1.0);
        let count: usize = rows.iter().product();
        let (counted_by, shift) = match mask {
            None => {
                let share = self.constant(1.0 / count as f32);
                let mut first = vec![0..1; rows.len()];
                first.push(0..width);
                (Counted { share, mask }, self.crop(x, &first)?)
            }
            Some(mask) => {
                let column = Shape::from([rows, &[1]].concat());
                if *self.shape(mask) != column {
                    let detail = format!("a mask has a number for each row, {column}");
                    return Err(Error::shape("batch_norm", &[&shape, self.shape(mask)], detail));
                }
                let sum = self.sum(mask, &[], false)?;
                let least = self.constant(LEAST);
                let sum = self.add(sum, least)?;
                let share = self.div(one, sum)?;
                let counted_by = Counted { share, mask: Some(mask) };
                let zero = self.constant(0.0);
                (counted_by, mean(self, x, zero, counted_by)?)
            }
        };
        let shift = self.reshape(shift, [width])?;
        let shift = self.stop_gradient(shift)?;
        let offset = mean(self, x, shift, counted_by)?;
        let variance = variance(self, x, [shift, offset], counted_by)?;
        let epsilon = self.constant(epsilon);
        let raised = self.add(variance, epsilon)?;
        let root = self.unary("sqrt", raised, &[])?;
        let scale = self.div(gamma.unwrap_or(one), root)?;
        let mean = self.add(shift, offset)?;
        let mut kernel = columns(self, x);
        let [v, near, off, factor] = [x, shift, offset, scale].map(|v| kernel.element(v));
        let last = beta.map(|beta| kernel.element(beta));
        let (program, operands) = kernel.program(|code| {
            let centred = centred(code, v, near, off)?;
            let scaled = code.mul(centred, factor)?;
            Ok(vec![last.map_or(Ok(scaled), |beta| code.add(scaled, beta))?])
        })?;
        let card = Normalized { map: Map { program, shape }, beta: beta.is_some() };
        let y = self.push(Arc::new(card), &operands)?;
        Ok([y, mean, variance])
    }
}

#[cfg(feature = "testing")]
pub(super) use cases::cards;

/// Sample cases, for tests.
#[cfg(feature = "testing")]
mod cases {
    use super::super::column_sums::COLUMN_SUMS;
    use super::super::map::MAP;
    use super::super::reduce::ROWS;
    use super::super::registry::{Build, Card, Case, Gradient, Sample};

    impl Case {
        /// Batch normalization of `shape`. `args`: whether there are gamma, beta and a mask.
        #[must_use]
        pub fn batch_norm(shape: &[usize], [gamma, beta, mask]: [bool; 3], epsilon: f32) -> Self {
            let build: Build = |g, c, x| {
                let mut rest = x[1..].iter().copied();
                let mut next = |i: usize| if c.args[i] == 1 { rest.next() } else { None };
                let (gamma, beta, mask) = (next(0), next(1), next(2));
                let one = g.constant(0.0);
                let mask = mask.map(|m| g.binary("greater", m, one)).transpose()?;
                Ok(g.batch_norm(x[0], gamma, beta, mask, c.params[0])?.to_vec())
            };
            let width = shape[shape.len() - 1];
            let column = Sample::f32([width], (0.5, 2.0));
            let rows = [&shape[..shape.len() - 1], &[1]].concat();
            let mut inputs = vec![Sample::f32(shape, (-2.0, 2.0))];
            inputs.extend([gamma, beta].into_iter().filter(|is| *is).map(|_| column.clone()));
            inputs.extend(mask.then(|| Sample::f32(rows, (-1.0, 2.0))));
            let args = [gamma, beta, mask].map(usize::from);
            Self::new("batch_norm", inputs, &args, build).with(&[epsilon], &[])
        }
    }

    pub fn cards() -> Vec<Card> {
        let cases = vec![
            Case::batch_norm(&[5, 3], [true, true, false], 1e-3),
            Case::batch_norm(&[7, 4], [false, true, false], 0.1),
            Case::batch_norm(&[2, 3, 5, 8], [true, false, false], 1e-3),
            Case::batch_norm(&[3, 5, 3], [false, false, false], 1e-2),
            Case::batch_norm(&[3, 7, 5], [true, true, true], 1e-3),
            Case::batch_norm(&[301, 1], [true, true, false], 1e-3),
        ];
        let templates = &[MAP, COLUMN_SUMS, ROWS];
        vec![Card::new("batch_norm", templates, Gradient::Checked, cases).within(|_| (2e-6, 2e-6))]
    }
}
