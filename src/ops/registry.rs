//! Every op as a card: its shaders, sample cases, and what its gradient is. Tests and shader checks loop over
//! [`cards`]; an op that is missing here is not tested, and the completeness test says so.
//!
//! Elementwise functions get their card from their row in [`super::table::ROWS`].

use super::table::{Derivative, ROWS, Row};
use super::{CrossEntropy, CrossEntropyKind, Map, Program, ReduceKind, SegmentSum};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// What the gradient of an op's first result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradient {
    /// Defined for every f32 operand, and checked against finite differences.
    Checked,
    /// Zero wherever it exists.
    Zero,
    /// Asking for it is an error, for this reason.
    None(&'static str),
}

/// What an operand of a case looks like.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
    /// Elements are drawn uniformly from here, the upper bound excluded.
    pub domain: (f32, f32),
    /// Whether only whole numbers are drawn: sums of few of them are exact in f32.
    pub whole: bool,
}

impl Sample {
    /// Real numbers in `domain`.
    pub fn f32(shape: impl Into<Shape>, domain: (f32, f32)) -> Self {
        Self { shape: shape.into(), dtype: DType::F32, domain, whole: false }
    }

    /// Whole numbers from -4 to 4, as f32.
    pub fn whole(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), dtype: DType::F32, domain: (-4.0, 5.0), whole: true }
    }

    /// Indices below `end`.
    pub fn indices(shape: impl Into<Shape>, end: usize) -> Self {
        Self { shape: shape.into(), dtype: DType::U32, domain: (0.0, end as f32), whole: true }
    }

    /// Bytes.
    pub fn u8(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), dtype: DType::U8, domain: (0.0, 256.0), whole: true }
    }
}

/// Builds the results of a case from its operands.
pub type Build = fn(&mut Graph, &Case, &[Value]) -> Result<Vec<Value>>;

/// One use of an op: operands, arguments, and how to build it.
#[derive(Debug, Clone)]
pub struct Case {
    /// The card's name.
    pub op: &'static str,
    /// The operands.
    pub inputs: Vec<Sample>,
    /// Whole-number arguments: axes, offsets, extents, flags. Each constructor says which.
    pub args: Vec<usize>,
    /// Real arguments: parameters, factors.
    pub params: Vec<f32>,
    /// Step words and their values.
    pub words: Vec<(&'static str, u32)>,
    /// The builder.
    pub build: Build,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shapes: Vec<String> =
            self.inputs.iter().map(|s| format!("{}{}", s.dtype, s.shape)).collect();
        write!(f, "{}({}) {:?} {:?}", self.op, shapes.join(", "), self.args, self.params)
    }
}

impl Case {
    fn new(op: &'static str, inputs: Vec<Sample>, args: &[usize], build: Build) -> Self {
        Self { op, inputs, args: args.to_vec(), params: vec![], words: vec![], build }
    }

    fn with(mut self, params: &[f32], words: &[(&'static str, u32)]) -> Self {
        self.params = params.to_vec();
        self.words = words.to_vec();
        self
    }

    /// The case as a graph with inputs `in0`, `in1`, ... and outputs `out0`, `out1`, ... The second result holds
    /// the input values, the third the output values.
    ///
    /// # Errors
    /// Those of the builder.
    pub fn graph(&self) -> Result<(Graph, Vec<Value>, Vec<Value>)> {
        let mut g = Graph::new();
        let inputs: Vec<Value> = (self.inputs.iter().enumerate())
            .map(|(i, s)| g.input(&format!("in{i}"), s.shape.clone(), s.dtype))
            .collect();
        let outputs = (self.build)(&mut g, self, &inputs)?;
        outputs.iter().enumerate().for_each(|(i, &v)| g.output(&format!("out{i}"), v));
        Ok((g, inputs, outputs))
    }

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

    /// Uniform numbers. `args`: stream, then the shape.
    #[must_use]
    pub fn random(stream: u32, shape: &[usize], seed: u32, step: u32) -> Self {
        let args = [&[stream as usize], shape].concat();
        let build: Build = |g, c, _| {
            let seed = g.step_param("seed", DType::U32)?;
            let step = g.step_param("step", DType::U32)?;
            Ok(vec![g.random_uniform(&c.args[1..], seed, step, c.args[0] as u32)?])
        };
        let words = [("seed", seed), ("step", step)];
        Self::new("random_uniform", vec![], &args, build).with(&[], &words)
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

    fn reshape(from: &[usize], to: &[usize]) -> Self {
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

    /// `sum`, `mean` or `max` over the axes `args`.
    #[must_use]
    pub fn reduce(op: &'static str, shape: &[usize], axes: &[usize]) -> Self {
        let build: Build = |g, c, x| {
            let kind = match c.op {
                "sum" => ReduceKind::Sum,
                "mean" => ReduceKind::Mean,
                "max" => ReduceKind::Max,
                other => return Err(Error::internal("registry", format!("no reduction {other}"))),
            };
            Ok(vec![g.reduce(kind, x[0], &c.args, false)?])
        };
        Self::new(op, vec![Sample::f32(shape, (-1.0, 1.0))], axes, build)
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
            g.push_all(Arc::new(CrossEntropy { kind, scale: c.params[0] }), x)
        };
        let inputs = vec![Sample::f32([rows, cols], (-4.0, 4.0)), labels];
        Self::new(op, inputs, &[], build).with(&[1.0 / rows as f32], &[])
    }

    /// Hits of predictions of `rows` by `cols`, with integer labels or targets of their shape.
    #[must_use]
    pub fn hits(rows: usize, cols: usize, sparse: bool) -> Self {
        let labels = match sparse {
            true => Sample::indices([rows], cols),
            false => Sample::f32([rows, cols], (0.0, 1.0)),
        };
        let build: Build = |g, _, x| Ok(vec![g.hits(x[0], x[1])?]);
        Self::new("hits", vec![Sample::f32([rows, cols], (-4.0, 4.0)), labels], &[], build)
    }

    /// `rows` labels as rows of `classes`.
    #[must_use]
    pub fn one_hot(rows: usize, classes: usize) -> Self {
        let build: Build = |g, c, x| Ok(vec![g.one_hot(x[0], c.args[0])?]);
        Self::new("one_hot", vec![Sample::indices([rows], classes)], &[classes], build)
    }

    /// Rows of `tables`, times a factor each. Operands: indices, then the tables. `args`: rows gathered, and
    /// the start where it is no step word.
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

    /// Sums of `rows` rows by index, into a table of shape `args`.
    #[must_use]
    pub fn segment_sum(rows: usize, table: &[usize]) -> Self {
        let build: Build = |g, c, x| {
            Ok(vec![g.push(Arc::new(SegmentSum { shape: Shape::from(c.args.clone()) }), x)?])
        };
        let values = Sample::f32([&[rows], &table[1..]].concat(), (-1.0, 1.0));
        Self::new("segment_sum", vec![Sample::indices([rows], table[0]), values], table, build)
    }

    /// Vectors in row 2 of a metrics state of `args` rows.
    #[must_use]
    pub fn record(slots: usize, lengths: &[usize]) -> Self {
        let build: Build = |g, c, x| {
            let room = |&v: &Value| g.shape(v).len().next_multiple_of(64);
            let rooms: Vec<usize> = x.iter().map(room).collect();
            let offsets: Vec<usize> = (0..x.len()).map(|i| rooms[..i].iter().sum()).collect();
            let stride = rooms.iter().sum();
            let metrics = g.state("metrics", [c.args[0], stride], DType::F32);
            let slot = g.step_param("slot", DType::U32)?;
            let new = g.record(metrics, slot, x, &offsets)?;
            g.update(metrics, new)?;
            Ok(vec![new])
        };
        let inputs = lengths.iter().map(|&n| Sample::whole([n])).collect();
        Self::new("record", inputs, &[slots], build).with(&[], &[("slot", 2)])
    }
}

/// An op.
#[derive(Debug, Clone)]
pub struct Card {
    /// Its name, which the oracle knows it by.
    pub name: &'static str,
    /// The shader templates that it launches; none where it is an alias.
    pub templates: &'static [&'static str],
    /// What its gradient is.
    pub gradient: Gradient,
    /// Sample cases: small, odd sizes.
    pub cases: Vec<Case>,
}

const MAP: &[&str] = &["elementwise/map"];

fn card_of(row: &'static Row) -> Card {
    let gradient = match row.derivative {
        Derivative::Zero => Gradient::Zero,
        Derivative::None(why) => Gradient::None(why),
        _ => Gradient::Checked,
    };
    let cases = match row.arity {
        _ if row.name == "random_uniform" => {
            vec![Case::random(3, &[7, 11], 42, 5), Case::random(1, &[1031], 7, 0)]
        }
        1 => vec![Case::unary(row, &[3, 5], &[]), Case::unary(row, &[1031], &[])],
        _ => vec![
            Case::binary(row, &[3, 5], &[3, 5]),
            Case::binary(row, &[7, 3, 8], &[3, 1]),
            Case::binary(row, &[5], &[4, 5]),
        ],
    };
    Card { name: row.name, templates: MAP, gradient, cases }
}

/// Every op.
#[must_use]
pub fn cards() -> Vec<Card> {
    use CrossEntropyKind::{Binary, Categorical, Sparse};
    use Gradient::{Checked, None};
    const REDUCE: &[&str] = &["reduce/rows", "reduce/columns"];
    const SOFTMAX: &[&str] = &["reduce/softmax"];
    const ENTROPY: &[&str] = &["loss/softmax_cross_entropy"];
    let card = |name, templates, gradient, cases| Card { name, templates, gradient, cases };
    let reduce = |op| {
        let over = |axes: &[usize]| Case::reduce(op, &[3, 5, 7], axes);
        let cases = vec![over(&[2]), over(&[0]), over(&[1]), over(&[0, 2]), over(&[])];
        card(op, REDUCE, Checked, cases)
    };
    let softmax = |op| {
        let shapes: [&[usize]; 4] = [&[3, 5], &[7, 1], &[2, 3, 13], &[2, 300]];
        card(op, SOFTMAX, Checked, shapes.iter().map(|s| Case::softmax(op, s)).collect())
    };
    let entropy = |name, template, kind| {
        let sizes = [(3, 5), (7, 10), (2, 300)];
        let cases = sizes.iter().map(|&(r, c)| Case::cross_entropy(kind, r, c)).collect();
        card(name, template, Checked, cases)
    };
    let forms = [[false, false], [true, false], [false, true], [true, true]];
    let mut products: Vec<Case> =
        forms.iter().map(|&t| Case::matmul(&[], [5, 7, 3], t, false)).collect();
    products.extend(forms.iter().map(|&t| Case::matmul(&[2], [3, 4, 5], t, false)));
    products.extend(forms.iter().map(|&t| Case::matmul(&[2], [4, 3, 2], t, true)));
    products.extend(forms.iter().map(|&t| Case::matmul(&[], [33, 36, 40], t, false)));
    products.push(Case::matmul(&[], [300, 260, 20], [false, false], false));
    // Sums long enough to be split: for want of tiles, and past the loop limit of software Vulkan.
    products.push(Case::matmul(&[], [5, 8, 1100], [true, false], false));
    products.push(Case::matmul(&[], [1, 3, 300_000], [false, true], false));
    let tables = [
        (Sample::u8([9, 5]), 1.0 / 255.0),
        (Sample::f32([11, 3], (-1.0, 1.0)), 2.0),
        (Sample::indices([10], 1000), 1.0),
    ];
    let gathers = vec![
        Case::gather(7, &[7, 0], &[(Sample::f32([5, 3], (-1.0, 1.0)), 1.0)]),
        Case::gather(7, &[7, 0], &[(Sample::f32([5, 2, 3], (-1.0, 1.0)), 0.5)]),
        Case::gather(13, &[4], &tables),
        Case::gather(13, &[5], &[(Sample::u8([9, 12]), 1.0 / 255.0), tables[2].clone()]),
    ];
    let mut all: Vec<Card> = ROWS.iter().map(card_of).collect();
    all.extend([
        card(
            "copy",
            MAP,
            Checked,
            vec![
                Case::copy(&[3, 1], &[2, 3, 5]),
                Case::copy(&[3, 5], &[3, 5]),
                Case::copy(&[], &[4, 4]),
            ],
        ),
        card(
            "transpose",
            MAP,
            Checked,
            vec![
                Case::transpose(&[3, 5], &[1, 0]),
                Case::transpose(&[2, 3, 4], &[0, 2, 1]),
                Case::transpose(&[4, 2, 8], &[1, 0, 2]),
            ],
        ),
        card("reshape", &[], Checked, vec![Case::reshape(&[3, 10], &[5, 6])]),
        card("view", &[], Checked, vec![Case::view(192, 64, &[3, 5])]),
        card("pack", MAP, Checked, vec![Case::pack(192, &[(0, &[3, 5]), (128, &[7])])]),
        card("matmul", &["matmul/tiled", "matmul/broadcast", "matmul/combine"], Checked, products),
        reduce("sum"),
        reduce("mean"),
        reduce("max"),
        softmax("softmax"),
        softmax("log_softmax"),
        entropy("sparse_softmax_cross_entropy", ENTROPY, Sparse),
        entropy("softmax_cross_entropy", ENTROPY, Categorical),
        entropy("sigmoid_cross_entropy", &["loss/sigmoid_cross_entropy"], Binary),
        card(
            "hits",
            &["reduce/argmax"],
            None("it counts"),
            vec![Case::hits(7, 5, true), Case::hits(7, 5, false), Case::hits(2, 300, true)],
        ),
        card(
            "one_hot",
            &["data/one_hot"],
            Gradient::Zero,
            vec![Case::one_hot(7, 5), Case::one_hot(70, 11)],
        ),
        card("gather", &["data/gather"], Checked, gathers),
        card(
            "segment_sum",
            &["data/segment_rank", "data/segment_sum"],
            Checked,
            vec![Case::segment_sum(9, &[5, 3]), Case::segment_sum(150, &[11, 2, 3])],
        ),
        card(
            "record",
            &[],
            None("metrics are read, not trained on"),
            vec![Case::record(4, &[37]), Case::record(3, &[300, 1, 5])],
        ),
    ]);
    all
}
