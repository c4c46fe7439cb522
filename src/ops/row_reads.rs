//! How a kernel over rows reads its operands, as WGSL: what is read once per row, and what for each four columns.

use super::layout::Layout;
use super::program::{Program, Words, step_operand};
use crate::error::{Error, Result};
use crate::graph::{Axis, LowerContext, Read, Rows, TensorType, View};
use crate::kernels::{Bind, Source};
use crate::tensor::{DType, Shape};
use std::fmt::Write;

impl Read {
    pub(super) const fn operand(self) -> usize {
        match self {
            Self::Element(operand) | Self::Value { operand, .. } => operand,
        }
    }
}

impl Rows {
    /// The axes that count rows.
    pub(super) fn outer(&self) -> &[usize] {
        &self.shape.dims()[..self.first]
    }

    /// The axes of a row.
    pub(super) fn inner(&self) -> &[usize] {
        &self.shape.dims()[self.first..]
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.outer().iter().product()
    }

    /// Elements of a row.
    pub(super) fn cols(&self) -> usize {
        self.inner().iter().product()
    }

    /// Refuses operands that do not suit the reads, and programs that read something else.
    pub(super) fn check(&self, op: &str, reads: &[Read], inputs: &[&TensorType]) -> Result<()> {
        if self.first >= self.shape.rank() {
            let detail = format!("axis {} is not one of its axes", self.first);
            return Err(Error::shape(op, &[&self.shape], detail));
        }
        for read in reads {
            let ty = *inputs
                .get(read.operand())
                .ok_or_else(|| Error::internal(op, format!("no operand {}", read.operand())))?;
            let word = ty.dtype == DType::U32 && ty.shape.rank() == 0;
            if ty.dtype != DType::F32 && !word {
                let dtypes: Vec<DType> = inputs.iter().map(|t| t.dtype).collect();
                return Err(Error::dtype(op, &dtypes, "operands are f32"));
            }
            let fits = match *read {
                Read::Element(_) => ty.shape.broadcast_strides(&self.shape).is_some(),
                Read::Value { place, .. } => match ty.shape.dims() {
                    [rows @ .., places] => rows == self.outer() && place < *places,
                    [] => false,
                },
            };
            if !fits {
                let detail = format!("{} does not broadcast to {}", ty.shape, self.shape);
                let shapes: Vec<&Shape> = inputs.iter().map(|t| &t.shape).collect();
                return Err(Error::shape(op, &shapes, detail));
            }
        }
        Ok(())
    }
}

/// The generated text of a kernel over rows, as it grows.
pub(super) struct RowCode {
    /// Declarations of the bindings.
    pub bindings: String,
    /// Offset functions.
    pub functions: String,
    /// All bindings in order.
    pub binds: Vec<Bind>,
    /// Uniform words that the text reads.
    pub words: Words,
    /// Whether the step block is read.
    pub step: bool,
    /// Whether a row is whole vec4s.
    pub whole: bool,
    /// In a loop, how many elements each iteration has: the next one draws further random numbers.
    each: Option<usize>,
    /// What is computed once per row: offsets, and inputs that are the same along it.
    pub row: String,
    /// The expression of each input.
    pub names: Vec<String>,
    /// How each input is loaded at column `c`, if it differs along the row.
    loads: Vec<Option<String>>,
}

impl RowCode {
    /// The code that reads these inputs.
    pub fn new(rows: &Rows, reads: &[Read], cx: &LowerContext<'_>) -> Result<Self> {
        let mut code = Self {
            bindings: String::new(),
            functions: String::new(),
            binds: Vec::new(),
            words: Words::default(),
            step: false,
            whole: rows.cols().is_multiple_of(4),
            each: cx.iterations.map(|_| rows.shape.len()),
            row: String::new(),
            names: Vec::new(),
            loads: Vec::new(),
        };
        for (i, read) in reads.iter().enumerate() {
            let (ty, source) = &cx.inputs[read.operand()];
            let name = format!("x{i}");
            let load = match *source {
                Source::Constant(v) => {
                    code.names.push(code.words.constant(v, ty.dtype));
                    None
                }
                Source::Step(word) => {
                    code.step = true;
                    code.names.push(step_operand(word, ty.dtype));
                    None
                }
                Source::Buffer => {
                    code.names.push(name);
                    match *read {
                        Read::Value { operand, place } => {
                            code.load_value(i, operand, place, ty);
                            None
                        }
                        Read::Element(operand) => {
                            let view = cx.views.get(operand).and_then(Option::as_ref);
                            let walk = match view {
                                None => RowWalk::broadcast(&ty.shape, rows)?,
                                Some(view) if shows_first_row(view, rows.cols()) => {
                                    RowWalk::broadcast(&rows.inner().into(), rows)?
                                }
                                Some(view) => RowWalk::viewed(view, rows).ok_or_else(|| {
                                    Error::internal("rows", format!("no row is read as {view}"))
                                })?,
                            };
                            code.load(i, operand, &walk)
                        }
                    }
                }
            };
            code.loads.push(load);
        }
        Ok(code)
    }

    /// Declares a binding, if the operand or result does not have one yet.
    pub fn declare(&mut self, name: &str, access: &str, element: &str, bind: Bind) {
        if self.binds.contains(&bind) {
            return;
        }
        let at = self.binds.len();
        let _ = writeln!(
            self.bindings,
            "@group(0) @binding({at}) var<storage, {access}> {name}: array<{element}>;"
        );
        self.binds.push(bind);
    }

    /// Reads input `i`, one of the values that an operand has for each row.
    fn load_value(&mut self, i: usize, operand: usize, place: usize, ty: &TensorType) {
        self.declare(&format!("in{operand}"), "read", "f32", Bind::Input(operand));
        let places = ty.shape.dims().last().copied().unwrap_or(1);
        let (places, place) = (self.words.push(places as u32), self.words.push(place as u32));
        let value = format!("in{operand}[row * {places} + {place}]");
        let _ = writeln!(self.row, "    let x{i} = vec4<f32>({value});");
    }

    /// Prepares input `i`: writes what is read once per row, and returns the expression that loads four columns.
    fn load(&mut self, i: usize, j: usize, walk: &RowWalk) -> Option<String> {
        let RowWalk { offset, outer, inner } = walk;
        let mut start = self.offset(&format!("start{i}"), "row", outer, false);
        if *offset > 0 {
            start = format!("{start} + {}", self.words.push(*offset as u32));
        }
        let vector = self.whole && walk.is_whole();
        self.declare(
            &format!("in{j}"),
            "read",
            if vector { "Quad" } else { "f32" },
            Bind::Input(j),
        );
        if inner.1.iter().all(|&s| s == 0) {
            let _ = writeln!(self.row, "    let x{i} = vec4<f32>(in{j}[{start}]);");
            return None;
        }
        let _ = writeln!(self.row, "    let at{i} = {start};");
        if vector {
            let within = self.offset(&format!("within{i}"), "c", inner, false);
            return Some(format!("from_quad(in{j}[(at{i} + {within}) / 4u])"));
        }
        let columns = match self.whole {
            true => ["c", "(c + 1u)", "(c + 2u)", "(c + 3u)"],
            false => ["c", "c1", "c2", "c3"],
        };
        let mut element = |c: &str| {
            let within = self.offset(&format!("within{i}"), c, inner, true);
            format!("in{j}[at{i} + {within}]")
        };
        let [a, b, c, d] = columns.map(&mut element);
        Some(format!("vec4<f32>({a}, {b}, {c}, {d})"))
    }

    /// The expression of an offset: `index` decoded over the axes, each coordinate times its stride. If it is found for each
    /// element, the extents are `literal`: a division by a constant is a product.
    fn offset(
        &mut self,
        name: &str,
        index: &str,
        (axes, strides): &(Vec<usize>, Vec<usize>),
        literal: bool,
    ) -> String {
        match strides.as_slice() {
            _ if strides.iter().all(|&s| s == 0) => return "0u".into(),
            [1] => return index.into(),
            [stride] => return format!("{index} * {}", self.words.push(*stride as u32)),
            _ => {}
        }
        let call = format!("{name}({index})");
        if self.functions.contains(&format!("fn {name}(")) {
            return call;
        }
        let (mut decode, mut sum) = (String::new(), String::from("0u"));
        for (axis, (&extent, &stride)) in axes.iter().zip(strides).enumerate().rev() {
            let coordinate = if axis == 0 { "rest".to_owned() } else { format!("i{axis}") };
            if axis > 0 {
                let extent = match literal {
                    true => format!("{extent}u"),
                    false => self.words.push(extent as u32),
                };
                let _ =
                    writeln!(decode, "    let i{axis} = rest % {extent}; rest = rest / {extent};");
            }
            if stride != 0 {
                let _ = write!(sum, " + {coordinate} * {}", self.words.push(stride as u32));
            }
        }
        let _ = writeln!(
            self.functions,
            "fn {name}(index: u32) -> u32 {{\n    var rest = index;\n{decode}    return {sum};\n}}"
        );
        call
    }

    /// The text before the loads of four columns from `c`: their numbers, and their element indices for random
    /// functions.
    pub fn columns(&self, random: bool) -> String {
        let mut text = String::new();
        if !self.whole {
            for c in 1..4 {
                let _ = writeln!(text, "        let c{c} = min(c + {c}u, last);");
            }
        }
        if random {
            let first = match self.each {
                Some(len) => format!("start + c + iteration.number.x * {len}u"),
                None => "start + c".into(),
            };
            let _ = writeln!(
                text,
                "        let index = vec4<u32>({first}) + vec4<u32>(0u, 1u, 2u, 3u);"
            );
        }
        text
    }

    /// The loads of the inputs that differ along the row and that one of these programs reads.
    pub fn loads<'a>(&self, programs: impl Iterator<Item = &'a Program> + Clone) -> String {
        let mut text = String::new();
        for (i, load) in self.loads.iter().enumerate() {
            let read = programs.clone().any(|p| p.reads(i));
            if let Some(load) = load.as_ref().filter(|_| read) {
                let _ = writeln!(text, "        let x{i} = {load};");
            }
        }
        text
    }

    /// The stores of four columns of a result at `at`.
    pub fn store(&self, result: &str, at: &str, value: &str, indent: &str) -> String {
        if self.whole {
            return format!("{indent}{result}[({at}) / 4u] = to_quad({value});\n");
        }
        let mut text = format!("{indent}let s_{result} = {value};\n");
        let _ = writeln!(text, "{indent}{result}[{at}] = s_{result}.x;");
        for (c, component) in ["y", "z", "w"].iter().enumerate() {
            let c = c + 1;
            let _ = writeln!(
                text,
                "{indent}if c + {c}u < cols {{ {result}[{at} + {c}u] = s_{result}.{component}; }}"
            );
        }
        text
    }

    /// The type that results of the full shape are bound as.
    pub const fn element(&self) -> &'static str {
        if self.whole { "Quad" } else { "f32" }
    }
}

/// The most runs of neighbours in a row that is read where they are. Each takes a line of a cache, which all loops over the
/// row, and rows beside it, read again. With more of them a copy is faster, which reads each line once.
const MOST_RUNS: usize = 4096;

/// How an operand is walked: extents and strides from row to row, and within a row.
pub(super) struct RowWalk {
    offset: usize,
    outer: (Vec<usize>, Vec<usize>),
    inner: (Vec<usize>, Vec<usize>),
}

impl RowWalk {
    /// An operand of this shape, broadcast to the rows.
    fn broadcast(of: &Shape, rows: &Rows) -> Result<Self> {
        let layout = Layout::broadcast(of, &rows.shape)?;
        let (outer, inner) = layout.strides.split_at(rows.first);
        let (outer, inner) = (collapsed(rows.outer(), outer), collapsed(rows.inner(), inner));
        Ok(Self { offset: 0, outer, inner })
    }

    /// An operand that is seen through a view; `None` if that is slower than a copy, which the loops of a kernel read one after
    /// the other: a row is neighbours, or whole vec4s of them, or so few that they stay in a cache.
    pub fn viewed(view: &View, rows: &Rows) -> Option<Self> {
        let view = view.spread(&rows.shape).filter(|view| view.guards().is_empty())?;
        let [outer, inner] =
            <[Vec<Axis>; 2]>::try_from(view.groups(&[rows.rows(), rows.cols()])?).ok()?;
        let along = |axes: &[Axis]| {
            let strides = axes.iter().map(|axis| usize::try_from(axis.stride).ok());
            let extents = axes.iter().map(|axis| axis.extent).collect::<Vec<_>>();
            Some((extents, strides.collect::<Option<Vec<_>>>()?))
        };
        let offset = usize::try_from(view.offset()).ok()?;
        let walk = Self { offset, outer: along(&outer)?, inner: along(&inner)? };
        (walk.runs() <= MOST_RUNS || walk.is_whole()).then_some(walk)
    }

    /// Runs of neighbours, or of one element, in a row.
    fn runs(&self) -> usize {
        let (extents, strides) = &self.inner;
        let runs = match strides.last() {
            Some(0 | 1) => &extents[..extents.len() - 1],
            _ => extents,
        };
        runs.iter().product()
    }

    /// Whether four neighbouring columns are a vec4 in memory, if the columns are whole vec4s.
    fn is_whole(&self) -> bool {
        let Some((1, rest)) = self.inner.1.split_last() else { return false };
        let fours = |of: &[usize]| of.iter().all(|n| n.is_multiple_of(4));
        let last = rest.is_empty() || self.inner.0.last().is_some_and(|n| n.is_multiple_of(4));
        last && self.offset.is_multiple_of(4) && fours(rest) && fours(&self.outer.1)
    }
}

/// Whether a view shows the first `cols` elements of its operand, in order.
pub(super) fn shows_first_row(view: &View, cols: usize) -> bool {
    let row = View::whole([cols]);
    view.guards().is_empty() && view.shape().len() == cols && view.reshaped(row.shape()) == row
}

/// Axes and strides without extents of 1, neighbours merged.
fn collapsed(dims: &[usize], strides: &[isize]) -> (Vec<usize>, Vec<usize>) {
    let strides = strides.to_vec();
    let layout = Layout { offset: 0, strides, full: false, own: None, guarded: None };
    let (axes, layouts) = Layout::collapse(&Shape::from(dims), &[layout]);
    // What is broadcast walks forwards.
    let strides = layouts.into_iter().flat_map(|l| l.strides);
    (axes, strides.map(isize::unsigned_abs).collect())
}
