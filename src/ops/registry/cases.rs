//! How each op's cases are made.

use super::{Build, Case, Sample};
use crate::error::{Error, Result};
use crate::graph::Value;
use crate::ops::table::{self, Row};
use crate::ops::{
    ColumnSums, CrossEntropy, CrossEntropyKind, Instr, Map, Program, Read, ReduceKind, Reg, Rows,
    SoftmaxMask, SumRule,
};
use crate::tensor::{DType, Shape};
use std::ops::Range;
use std::sync::Arc;

impl Case {
    /// A function of one operand from the table, on `shape`. Parameters beyond the given take defaults.
    #[must_use]
    pub fn unary(row: &'static Row, shape: &[usize], params: &[f32]) -> Self {
        let build: Build = |g, c, x| Ok(vec![g.unary(c.op, x[0], &c.params)?]);
        Self::new(row.name, vec![Sample::f32(shape, row.domain)], &[], build).with(params, &[])
    }

    /// A function of two operands from the table, broadcast.
    #[must_use]
    pub fn binary(row: &'static Row, a: &[usize], b: &[usize]) -> Self {
        let build: Build = |g, c, x| Ok(vec![g.binary(c.op, x[0], x[1])?]);
        let inputs = vec![Sample::f32(a, row.domain), Sample::f32(b, row.domain)];
        Self::new(row.name, inputs, &[], build)
    }

    /// A choice between two operands, all broadcast.
    #[must_use]
    pub fn select(condition: &[usize], yes: &[usize], no: &[usize]) -> Self {
        let build: Build = |g, _, x| Ok(vec![g.select(x[0], x[1], x[2])?]);
        let inputs = [condition, yes, no].map(|shape| Sample::f32(shape, (-4.0, 4.0)));
        Self::new("select", inputs.to_vec(), &[], build)
    }

    /// `random_uniform` or `random_normal`. `args`: stream, then the shape.
    #[must_use]
    pub fn random(op: &'static str, stream: u32, shape: &[usize], seed: u32, step: u32) -> Self {
        let args = [&[stream as usize], shape].concat();
        let build: Build = |g, c, _| {
            let seed = g.step_param("seed", DType::U32)?;
            let step = g.step_param("step", DType::U32)?;
            let (shape, stream) = (&c.args[1..], c.args[0] as u32);
            let numbers = match c.op {
                "random_normal" => g.random_normal(shape, seed, step, stream)?,
                _ => g.random_uniform(shape, seed, step, stream)?,
            };
            Ok(vec![numbers])
        };
        let words = [("seed", seed), ("step", step)];
        Self::new(op, vec![], &args, build).with(&[], &words)
    }

    /// `from` repeated to `args`.
    #[must_use]
    pub fn copy(from: &[usize], to: &[usize]) -> Self {
        let build: Build = |g, c, x| {
            let program = Program::identity();
            let shape = Shape::from(c.args.clone());
            Ok(vec![g.push(Arc::new(Map { program, shape }), &[x[0]])?])
        };
        Self::new("copy", vec![Sample::f32(from, (-4.0, 4.0))], to, build)
    }

    /// Axes in the order `args`.
    #[must_use]
    pub fn transpose(shape: &[usize], axes: &[usize]) -> Self {
        let build: Build = |g, c, x| Ok(vec![g.transpose(x[0], &c.args)?]);
        Self::new("transpose", vec![Sample::f32(shape, (-4.0, 4.0))], axes, build)
    }

    /// The operand, as a constant for gradients.
    #[must_use]
    pub fn stop_gradient(shape: &[usize]) -> Self {
        let build: Build = |g, _, x| Ok(vec![g.stop_gradient(x[0])?]);
        Self::new("stop_gradient", vec![Sample::f32(shape, (-4.0, 4.0))], &[], build)
    }

    /// The elements under the shape `args`.
    #[must_use]
    pub fn reshape(from: &[usize], to: &[usize]) -> Self {
        let build: Build = |g, c, x| Ok(vec![g.reshape(x[0], c.args.clone())?]);
        Self::new("reshape", vec![Sample::f32(from, (-4.0, 4.0))], to, build)
    }

    /// A tensor in an arena. `args`: offset, then the shape.
    #[must_use]
    pub fn view(arena: usize, offset: usize, shape: &[usize]) -> Self {
        let build: Build = |g, c, x| Ok(vec![g.view(x[0], c.args[0], &c.args[1..])?]);
        let args = [&[offset], shape].concat();
        Self::new("view", vec![Sample::f32([arena], (-4.0, 4.0))], &args, build)
    }

    /// Functions of the operands side by side. `args`: the arena's elements, then an offset per operand.
    #[must_use]
    pub fn pack(len: usize, parts: &[(usize, &[usize])]) -> Self {
        let build: Build = |g, c, x| {
            let parts = x.iter().map(|&v| g.neg(v)).collect::<Result<Vec<_>>>()?;
            Ok(vec![g.pack(c.args[0], &c.args[1..], &parts)?])
        };
        let args: Vec<usize> = std::iter::once(len).chain(parts.iter().map(|p| p.0)).collect();
        let inputs = parts.iter().map(|p| Sample::f32(p.1, (-4.0, 4.0))).collect();
        Self::new("pack", inputs, &args, build)
    }

    /// A part of a tensor. `args`: axis, first element, one past the last.
    #[must_use]
    pub fn slice(shape: &[usize], axis: usize, range: Range<usize>) -> Self {
        let build: Build = |g, c, x| Ok(vec![g.slice(x[0], c.args[0], c.args[1]..c.args[2])?]);
        let args = [axis, range.start, range.end];
        Self::new("slice", vec![Sample::f32(shape, (-4.0, 4.0))], &args, build)
    }

    /// Tensors side by side that differ in the extent of one axis. `args`: the axis.
    #[must_use]
    pub fn concatenate(shape: &[usize], axis: usize, extents: &[usize]) -> Self {
        let build: Build = |g, c, x| Ok(vec![g.concatenate(x, c.args[0])?]);
        let part = |&extent: &usize| {
            let mut dims = shape.to_vec();
            dims[axis] = extent;
            Sample::f32(dims, (-4.0, 4.0))
        };
        Self::new("concatenate", extents.iter().map(part).collect(), &[axis], build)
    }

    /// A matrix product of `lead` batches. `args`: whether A and whether B is stored transposed. With `shared`
    /// all batches have one B.
    #[must_use]
    pub fn matmul(lead: &[usize], [m, n, k]: [usize; 3], trans: [bool; 2], shared: bool) -> Self {
        let build: Build =
            |g, c, x| Ok(vec![g.matmul_form(x[0], x[1], c.args[0] == 1, c.args[1] == 1)?]);
        let pair = |swap: bool, a: usize, b: usize| if swap { [b, a] } else { [a, b] };
        let a = [lead, &pair(trans[0], m, k)].concat();
        let b = [if shared { &[] } else { lead }, &pair(trans[1], k, n)].concat();
        let inputs = vec![Sample::f32(a, (-1.0, 1.0)), Sample::f32(b, (-1.0, 1.0))];
        Self::new("matmul", inputs, &trans.map(usize::from), build)
    }

    /// `sum`, `mean`, `max`, `min` or `product` over the axes `args`.
    #[must_use]
    pub fn reduce(op: &'static str, shape: &[usize], axes: &[usize]) -> Self {
        let build: Build = |g, c, x| {
            let kind = match c.op {
                "sum" => ReduceKind::Sum,
                "mean" => ReduceKind::Mean,
                "max" => ReduceKind::Max,
                "min" => ReduceKind::Min,
                "product" => ReduceKind::Product,
                other => return Err(Error::internal("registry", format!("no reduction {other}"))),
            };
            Ok(vec![g.reduce(kind, x[0], &c.args, false)?])
        };
        // Products of many factors stay in range.
        let domain = if op == "product" { (0.5, 1.5) } else { (-1.0, 1.0) };
        Self::new(op, vec![Sample::f32(shape, domain)], axes, build)
    }

    /// u32 values as f32.
    #[must_use]
    pub fn to_f32(shape: &[usize]) -> Self {
        let build: Build = |g, _, x| Ok(vec![g.to_f32(x[0])?]);
        Self::new("to_f32", vec![Sample::indices(shape, 1 << 24)], &[], build)
    }

    /// The index along an axis. `args`: the axis, then the shape.
    #[must_use]
    pub fn iota(shape: &[usize], axis: usize) -> Self {
        let build: Build = |g, c, _| Ok(vec![g.iota(&c.args[1..], c.args[0])?]);
        Self::new("iota", vec![], &[&[axis], shape].concat(), build)
    }

    /// `softmax` or `log_softmax`.
    #[must_use]
    pub fn softmax(op: &'static str, shape: &[usize]) -> Self {
        let build: Build = |g, c, x| {
            let y = if c.op == "softmax" { g.softmax(x[0])? } else { g.log_softmax(x[0])? };
            Ok(vec![y])
        };
        Self::new(op, vec![Sample::f32(shape, (-4.0, 4.0))], &[], build)
    }

    /// Layer normalization over the last axes. `args`: how many, whether there is a gamma, whether there is a beta.
    /// `params`: epsilon.
    #[must_use]
    pub fn layer_norm(shape: &[usize], axes: usize, gamma: bool, beta: bool) -> Self {
        let build: Build = |g, c, x| {
            let mut rest = x[1..].iter().copied();
            let gamma = if c.args[1] == 1 { rest.next() } else { None };
            Ok(vec![g.layer_norm(x[0], gamma, rest.next(), c.args[0], c.params[0])?])
        };
        let row = &shape[shape.len() - axes..];
        let mut inputs = vec![Sample::f32(shape, (-2.0, 2.0))];
        inputs.extend([gamma, beta].iter().filter(|&&v| v).map(|_| Sample::f32(row, (0.5, 1.5))));
        let args = [axes, usize::from(gamma), usize::from(beta)];
        Self::new("layer_norm", inputs, &args, build).with(&[1e-3], &[])
    }

    /// Division by the root mean square of the last axes. `args`: how many, whether there is a gamma. `params`: epsilon.
    #[must_use]
    pub fn rms_norm(shape: &[usize], axes: usize, gamma: bool) -> Self {
        let build: Build =
            |g, c, x| Ok(vec![g.rms_norm(x[0], x.get(1).copied(), c.args[0], c.params[0])?]);
        let row = &shape[shape.len() - axes..];
        let mut inputs = vec![Sample::f32(shape, (-2.0, 2.0))];
        inputs.extend(gamma.then(|| Sample::f32(row, (0.5, 1.5))));
        let args = [axes, usize::from(gamma)];
        Self::new("rms_norm", inputs, &args, build).with(&[1e-6], &[])
    }

    /// Softmax under a mask of shape `mask`. `args`: whether the mask is added.
    #[must_use]
    pub fn masked_softmax(shape: &[usize], mask: &[usize], kind: SoftmaxMask) -> Self {
        let build: Build = |g, c, x| {
            let kind = if c.args[0] == 1 { SoftmaxMask::Additive } else { SoftmaxMask::Keep };
            Ok(vec![g.masked_softmax(x[0], x[1], kind)?])
        };
        let inputs = vec![Sample::f32(shape, (-4.0, 4.0)), Sample::f32(mask, (-2.0, 2.0))];
        let args = [usize::from(kind == SoftmaxMask::Additive)];
        Self::new("masked_softmax", inputs, &args, build)
    }

    /// `variance` or `log_sum_exp` over the axes `args`.
    #[must_use]
    pub fn statistic(op: &'static str, shape: &[usize], axes: &[usize]) -> Self {
        let build: Build = |g, c, x| {
            Ok(vec![match c.op {
                "variance" => g.variance(x[0], &c.args, false)?,
                _ => g.log_sum_exp(x[0], &c.args, false)?,
            }])
        };
        Self::new(op, vec![Sample::f32(shape, (-2.0, 2.0))], axes, build)
    }

    /// Σ a · b and Σ a over the rows of `shape`, whose columns are axes `args`; b broadcasts.
    #[must_use]
    pub fn column_sums(shape: &[usize], first: usize, b: &[usize]) -> Self {
        let build: Build = |g, c, x| {
            let row = table::row("mul").ok_or_else(|| Error::internal("registry", "no mul"))?;
            let args = vec![Reg::Input(0), Reg::Input(1)];
            let instrs = vec![Instr { row, derivative: false, params: vec![], args }];
            let outputs = vec![Reg::Temp(0), Reg::Input(0)];
            let card = ColumnSums {
                rows: Rows { shape: c.inputs[0].shape.clone(), first: c.args[0] },
                reads: vec![Read::Element(0), Read::Element(1)],
                program: Program { inputs: 2, instrs, outputs },
                rule: SumRule::None,
            };
            g.push_all(Arc::new(card), x)
        };
        let inputs = vec![Sample::whole(shape), Sample::whole(b)];
        Self::new("column_sums", inputs, &[first], build)
    }

    /// A cross-entropy on logits of `rows` by `cols`, scaled by `params`. Results: loss, gradient, hits.
    #[must_use]
    pub fn cross_entropy(kind: CrossEntropyKind, rows: usize, cols: usize) -> Self {
        let (op, labels): (_, Sample) = match kind {
            CrossEntropyKind::Sparse => {
                ("sparse_softmax_cross_entropy", Sample::indices([rows], cols))
            }
            CrossEntropyKind::Categorical => {
                ("softmax_cross_entropy", Sample::f32([rows, cols], (0.0, 1.0)))
            }
            CrossEntropyKind::Binary => {
                ("sigmoid_cross_entropy", Sample::f32([rows, cols], (0.0, 1.0)))
            }
        };
        let build: Build = |g, c, x| {
            let kind = match c.op {
                "sparse_softmax_cross_entropy" => CrossEntropyKind::Sparse,
                "softmax_cross_entropy" => CrossEntropyKind::Categorical,
                _ => CrossEntropyKind::Binary,
            };
            g.push_all(Arc::new(CrossEntropy { kind, scale: c.params[0].into() }), x)
        };
        let inputs = vec![Sample::f32([rows, cols], (-4.0, 4.0)), labels];
        Self::new(op, inputs, &[], build).with(&[1.0 / rows as f32], &[])
    }

    /// Compares predictions of `rows` by `cols` with integer labels or targets of their shape: `hits`,
    /// `confusion_cells` or `target_ranks`.
    #[must_use]
    pub fn classes(op: &'static str, rows: usize, cols: usize, sparse: bool) -> Self {
        let labels = match sparse {
            true => Sample::indices([rows], cols),
            false => Sample::f32([rows, cols], (0.0, 1.0)),
        };
        let build: Build = |g, c, x| {
            let compared = match c.op {
                "hits" => g.hits(x[0], x[1])?,
                "confusion_cells" => g.confusion_cells(x[0], x[1])?,
                _ => g.target_ranks(x[0], x[1])?,
            };
            Ok(vec![compared])
        };
        Self::new(op, vec![Sample::f32([rows, cols], (-4.0, 4.0)), labels], &[], build)
    }

    /// `rows` labels as rows of `classes`.
    #[must_use]
    pub fn one_hot(rows: usize, classes: usize) -> Self {
        let build: Build = |g, c, x| Ok(vec![g.one_hot(x[0], c.args[0])?]);
        Self::new("one_hot", vec![Sample::indices([rows], classes)], &[classes], build)
    }

    /// Rows of `tables`, times a factor each. Operands: indices, then the tables. `args`: rows gathered, and the start
    /// if it is no step word.
    #[must_use]
    pub fn gather(indices: usize, args: &[usize], tables: &[(Sample, f32)]) -> Self {
        let build: Build = |g, c, x| {
            let start = match c.args.get(1) {
                Some(&start) => g.constant_u32(start as u16),
                None => g.step_param("start", DType::U32)?,
            };
            let tables: Vec<(Value, f32)> =
                x[1..].iter().copied().zip(c.params.iter().copied()).collect();
            g.gather_batch(x[0], start, c.args[0], &tables)
        };
        let rows = tables.iter().map(|t| t.0.shape.dims()[0]).min().unwrap_or(1);
        let mut inputs = vec![Sample::indices([indices], rows)];
        inputs.extend(tables.iter().map(|t| t.0.clone()));
        let factors: Vec<f32> = tables.iter().map(|t| t.1).collect();
        Self::new("gather", inputs, args, build).with(&factors, &[("start", 2)])
    }

    /// Ranges of a vector of `len` elements, summed or filled: `args` are the length, then beginnings and ends.
    #[must_use]
    pub fn ranges(op: &'static str, len: usize, bounds: &[usize]) -> Self {
        let build: Build = |g, c, x| {
            let bounds = c.args[1..].chunks_exact(2).zip(&c.params);
            let ranges: Vec<_> = bounds.map(|(b, &factor)| (b[0]..b[1], factor)).collect();
            Ok(vec![match c.op {
                "sum_ranges" => g.sum_ranges(x[0], &ranges)?,
                _ => g.fill_ranges(x[0], c.args[0], &ranges)?,
            }])
        };
        let count = bounds.len() / 2;
        let from = if op == "sum_ranges" { len } else { count };
        let factors: Vec<f32> = (0..count).map(|i| 0.5 + (i % 3) as f32).collect();
        let inputs = vec![Sample::f32([from], (-1.0, 1.0))];
        Self::new(op, inputs, &[&[len], bounds].concat(), build).with(&factors, &[])
    }

    /// Sums of `rows` rows by index, into a table of shape `args`.
    #[must_use]
    pub fn segment_sum(rows: usize, table: &[usize]) -> Self {
        Self::segments("segment_sum", rows, table)
    }

    /// `segment_sum` or `segment_max` of `rows` rows by index, into a table of shape `args`.
    #[must_use]
    pub fn segments(op: &'static str, rows: usize, table: &[usize]) -> Self {
        let build: Build = |g, c, x| {
            Ok(vec![match c.op {
                "segment_max" => g.segment_max(x[0], x[1], c.args[0])?,
                _ => g.segment_sum(x[0], x[1], c.args[0])?,
            }])
        };
        let values = Sample::f32([&[rows], &table[1..]].concat(), (-1.0, 1.0));
        Self::new(op, vec![Sample::indices([rows], table[0]), values], table, build)
    }

    /// Vectors in row 2 of a metrics state of `args` rows.
    #[must_use]
    pub fn record(records: usize, lengths: &[usize]) -> Self {
        let build: Build = |g, c, x| {
            let room = |sample: &Sample| sample.shape.len().next_multiple_of(64);
            let rooms: Vec<usize> = c.inputs.iter().map(room).collect();
            let offsets: Vec<usize> = (0..x.len()).map(|i| rooms[..i].iter().sum()).collect();
            let stride = rooms.iter().sum();
            let metrics = g.state("metrics", [c.args[0], stride], DType::F32);
            let row = g.step_param("record", DType::U32)?;
            let new = g.record(metrics, row, x, &offsets)?;
            g.update(metrics, new)?;
            Ok(vec![new])
        };
        let inputs = lengths.iter().map(|&n| Sample::whole([n])).collect();
        Self::new("record", inputs, &[records], build).with(&[], &[("record", 2)])
    }
}
