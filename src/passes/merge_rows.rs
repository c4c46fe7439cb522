//! One row kernel out of a row kernel and the elementwise kernels that it takes in.

use super::rewrite::Rewrite;
use super::rows::Merge;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::ops::{Map, Phase, Program, Read, Reg, RowKernel};
use std::collections::HashMap;
use std::sync::Arc;

/// Where each input of an old program is among the inputs of the new ones; `None` for a result of another node of the
/// merge.
type Places = Vec<Option<usize>>;

/// Emits the kernel: it reads `operands`, and stores `stored` and what the row kernel keeps.
pub(super) fn emit(
    merge: &Merge<'_>,
    operands: &[Value],
    stored: &[Value],
    rewrite: &mut Rewrite<'_>,
) -> Result<()> {
    let graph = rewrite.from;
    let node = &graph.nodes()[merge.at];
    let merged = Merged::new(graph, merge, operands);
    let card = RowKernel {
        rule: merge.kernel.rule,
        rows: merge.kernel.rows.clone(),
        reads: merged.reads.clone(),
        phases: merged.phases(),
        elements: merged.elements(stored),
        kept: merge.kernel.kept.clone(),
    };
    for &v in operands {
        ensure(graph, v, rewrite)?;
    }
    let operands: Vec<Value> = operands.iter().map(|&v| rewrite.get(v)).collect();
    let (views, layer) = (vec![None; operands.len()], node.layer.clone());
    let values = rewrite.to.push_node(Arc::new(card), &operands, views, layer)?;
    let (full, kept) = values.split_at(stored.len());
    for n in merge.nodes() {
        let results = if n == merge.at { merge.kernel.elements.outputs.len() } else { usize::MAX };
        let now = |(o, v): (usize, Value)| match stored.iter().position(|s| *s == v) {
            Some(at) => full[at],
            None if o >= results => kept[o - results],
            // Nothing asks for a result that stays inside.
            None => values[0],
        };
        rewrite.set(n, graph.values(n).enumerate().map(now).collect());
    }
    Ok(())
}

/// Emits a value that needs no kernel, if it is not there.
fn ensure(graph: &Graph, v: Value, rewrite: &mut Rewrite<'_>) -> Result<()> {
    if rewrite.has(v) {
        return Ok(());
    }
    for &input in &graph.node(v).inputs {
        ensure(graph, input, rewrite)?;
    }
    rewrite.copy(v.node.index())
}

/// The programs of the new kernel.
struct Merged<'a> {
    graph: &'a Graph,
    merge: &'a Merge<'a>,
    /// The inputs of the new programs, before the values of the phases.
    reads: Vec<Read>,
    of_kernel: Places,
    of_before: Places,
    of_after: Places,
}

impl<'a> Merged<'a> {
    fn new(graph: &'a Graph, merge: &'a Merge<'a>, operands: &[Value]) -> Self {
        let mut this = Self {
            graph,
            merge,
            reads: Vec::new(),
            of_kernel: Places::new(),
            of_before: Places::new(),
            of_after: Places::new(),
        };
        let at = |v: Value| operands.iter().position(|&o| o == v);
        let inputs = |n: usize| &graph.nodes()[n].inputs;
        let kernel = merge.kernel.reads.iter().map(|read| match *read {
            Read::Element(j) => at(inputs(merge.at)[j]).map(Read::Element),
            Read::Value { operand, place } => {
                at(inputs(merge.at)[operand]).map(|operand| Read::Value { operand, place })
            }
        });
        this.of_kernel = this.places(kernel);
        let elements = |side: Option<(usize, &Map)>| {
            let operands = side.map_or(&[][..], |(n, _)| inputs(n));
            operands.iter().map(|&v| at(v).map(Read::Element)).collect::<Vec<_>>()
        };
        this.of_before = this.places(elements(merge.before).into_iter());
        this.of_after = this.places(elements(merge.after).into_iter());
        this
    }

    /// Gives each read a place; equal reads share one.
    fn places(&mut self, reads: impl Iterator<Item = Option<Read>>) -> Places {
        let mut place = |read: Read| {
            self.reads.iter().position(|r| *r == read).unwrap_or_else(|| {
                self.reads.push(read);
                self.reads.len() - 1
            })
        };
        reads.map(|read| read.map(&mut place)).collect()
    }

    fn empty(&self) -> Program {
        let inputs = self.reads.len() + self.merge.kernel.phases.len();
        Program { inputs, instrs: vec![], outputs: vec![] }
    }

    fn phases(&self) -> Vec<Phase> {
        let whole = |program: &Program| {
            let mut to = self.empty();
            to.outputs = self.translate(&mut to, program, &mut HashMap::new());
            to
        };
        let phase = |p: &Phase| Phase {
            reduction: p.reduction,
            before: whole(&p.before),
            after: whole(&p.after),
        };
        self.merge.kernel.phases.iter().map(phase).collect()
    }

    /// The program of the results of the full shape.
    fn elements(&self, stored: &[Value]) -> Program {
        let Merge { at, kernel, before, after } = *self.merge;
        let (mut to, mut known) = (self.empty(), HashMap::new());
        let of_before = |v: &Value| before.is_some_and(|(n, _)| v.node.index() == n);
        let reads = |n: usize| self.graph.nodes()[n].inputs.iter().any(of_before);
        if stored.iter().any(of_before) || after.is_some_and(|(n, _)| reads(n)) {
            self.compute(before, &self.of_before, &mut to, &mut known);
        }
        let results = self.translate(&mut to, &kernel.elements, &mut known);
        known.extend(self.graph.values(at).zip(results));
        self.compute(after, &self.of_after, &mut to, &mut known);
        to.outputs = stored.iter().map(|v| known[v]).collect();
        to
    }

    /// Appends a program of the row kernel, behind the elementwise kernel whose result it reads.
    fn translate(
        &self,
        to: &mut Program,
        program: &Program,
        known: &mut HashMap<Value, Reg>,
    ) -> Vec<Reg> {
        let Merge { at, kernel, before, .. } = *self.merge;
        let places = self.of_kernel.iter().enumerate();
        if places.clone().any(|(i, place)| place.is_none() && program.reads(i)) {
            self.compute(before, &self.of_before, to, known);
        }
        let register = |(i, place): (usize, &Option<usize>)| match (*place, kernel.reads[i]) {
            (Some(place), _) => Reg::Input(place),
            // An input that the program does not read may be any.
            (None, Read::Element(j) | Read::Value { operand: j, .. }) => {
                let v = self.graph.nodes()[at].inputs[j];
                known.get(&v).copied().unwrap_or(Reg::Input(0))
            }
        };
        let values = (0..kernel.phases.len()).map(|k| Reg::Input(self.reads.len() + k));
        let inputs: Vec<Reg> = places.map(register).chain(values).collect();
        to.append(program, &inputs)
    }

    /// Appends an elementwise kernel, unless its results are known.
    fn compute(
        &self,
        side: Option<(usize, &Map)>,
        places: &Places,
        to: &mut Program,
        known: &mut HashMap<Value, Reg>,
    ) {
        let Some((n, map)) = side else { return };
        if self.graph.values(n).any(|v| known.contains_key(&v)) {
            return;
        }
        let operands = self.graph.nodes()[n].inputs.iter().zip(places);
        let register =
            |(v, place): (&Value, &Option<usize>)| place.map_or_else(|| known[v], Reg::Input);
        let inputs: Vec<Reg> = operands.map(register).collect();
        let results = to.append(&map.program, &inputs);
        known.extend(self.graph.values(n).zip(results));
    }
}
