//! Row kernels take in their neighbours: an elementwise kernel that alone comes before them, such as a residual sum, and
//! one that follows them, such as an activation.
//!
//! This runs after `fuse`: what is an elementwise kernel then has no contraction that it could be the epilogue of.

use super::rewrite::Rewrite;
use crate::error::Result;
use crate::graph::{Class, Graph, Movement, Value};
use crate::ops::{Map, Phase, Program, Read, Reg, RowKernel};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The most functions of a kernel before a row kernel: each loop over the row computes them again.
const LONGEST_BEFORE: usize = 4;
/// The most operands that it reads from memory.
const WIDEST_BEFORE: usize = 2;
/// The most functions of a kernel after a row kernel.
const LONGEST_AFTER: usize = 64;

pub(super) fn fuse_rows(graph: &Graph, max_buffers: usize) -> Result<Graph> {
    let neighbours = Neighbours::new(graph);
    // The row kernel that each elementwise kernel becomes a part of.
    let mut taken: HashMap<usize, usize> = HashMap::new();
    let mut merges: HashMap<usize, Merge<'_>> = HashMap::new();
    for (k, node) in graph.nodes().iter().enumerate() {
        let Some(kernel) = node.op.card::<RowKernel>() else { continue };
        let mut merge = Merge { at: k, kernel, before: None, after: None };
        for side in [Side::After, Side::Before] {
            let found = neighbours.candidates(&merge, side, &taken).into_iter().find(|n| {
                let wider = merge.with(graph, side, *n);
                !taken.contains_key(n)
                    && neighbours.buffers(&wider) <= max_buffers
                    && !neighbours.stored(&wider).is_empty()
            });
            if let Some(n) = found {
                taken.insert(n, k);
                merge = merge.with(graph, side, n);
            }
        }
        if merge.before.is_some() || merge.after.is_some() {
            merges.insert(k, merge);
        }
    }
    let mut rewrite = Rewrite::new(graph);
    for i in 0..graph.nodes().len() {
        let done = graph.values(i).any(|v| rewrite.has(v));
        match merges.get(&i) {
            Some(merge) => neighbours.emit(merge, &mut rewrite)?,
            None if done || taken.contains_key(&i) => {}
            None => rewrite.copy(i)?,
        }
    }
    Ok(rewrite.finish())
}

/// Where a neighbour of a row kernel is.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Before,
    After,
}

/// A row kernel and what it takes in.
#[derive(Clone)]
struct Merge<'a> {
    at: usize,
    kernel: &'a RowKernel,
    before: Option<(usize, &'a Map)>,
    after: Option<(usize, &'a Map)>,
}

impl<'a> Merge<'a> {
    fn with(&self, graph: &'a Graph, side: Side, n: usize) -> Self {
        let map = graph.nodes()[n].op.card::<Map>().map(|map| (n, map));
        match side {
            Side::Before => Self { before: map, ..self.clone() },
            Side::After => Self { after: map, ..self.clone() },
        }
    }

    /// The nodes that become one kernel, in order.
    fn nodes(&self) -> impl Iterator<Item = usize> {
        let [before, after] = [self.before, self.after].map(|side| side.map(|(n, _)| n));
        before.into_iter().chain([self.at]).chain(after)
    }
}

struct Neighbours<'a> {
    graph: &'a Graph,
    /// The nodes that read each value.
    users: HashMap<Value, Vec<usize>>,
    /// Values that must be readable after a run.
    roots: HashSet<Value>,
    /// Values that become a state: the kernel that computes one may write it over the old one, a row kernel may not.
    states: HashSet<Value>,
}

impl<'a> Neighbours<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut users: HashMap<Value, Vec<usize>> = HashMap::new();
        for (i, node) in graph.nodes().iter().enumerate() {
            node.inputs.iter().for_each(|&v| users.entry(v).or_default().push(i));
        }
        let roots = graph.roots().collect();
        let states = graph.updates().iter().map(|&(_, new)| new).collect();
        Self { graph, users, roots, states }
    }

    fn users(&self, v: Value) -> &[usize] {
        self.users.get(&v).map_or(&[], Vec::as_slice)
    }

    fn map(&self, n: usize, rows: &RowKernel) -> Option<&'a Map> {
        let map = self.graph.nodes()[n].op.card::<Map>()?;
        let state = self.graph.values(n).any(|v| self.states.contains(&v));
        (map.shape == rows.rows.shape && !state && !map.program.instrs.is_empty()).then_some(map)
    }

    /// Elementwise kernels on this side that the row kernel may take in.
    fn candidates(
        &self,
        merge: &Merge<'_>,
        side: Side,
        taken: &HashMap<usize, usize>,
    ) -> Vec<usize> {
        let (k, kernel) = (merge.at, merge.kernel);
        let node = &self.graph.nodes()[k];
        let mut found = Vec::new();
        match side {
            Side::Before => {
                for read in &kernel.reads {
                    let Read::Element(j) = *read else { continue };
                    let v = node.inputs[j];
                    let Some(map) = self.map(v.node.index(), kernel) else { continue };
                    let inputs = &self.graph.node(v).inputs;
                    let read = inputs.iter().filter(|v| !self.uniform(**v)).count();
                    // What else reads its results comes after the row kernel.
                    let later = self.graph.values(v.node.index()).all(|v| {
                        self.users(v).iter().all(|u| *taken.get(u).unwrap_or(u) >= k)
                    });
                    let small = map.program.instrs.len() <= LONGEST_BEFORE && read <= WIDEST_BEFORE;
                    if later && small && read > 0 && !map.program.uses_index() {
                        found.push(v.node.index());
                    }
                }
            }
            Side::After => {
                let results = kernel.elements.outputs.len();
                for v in self.graph.values(k).take(results) {
                    for &n in self.users(v) {
                        let Some(map) = self.map(n, kernel) else { continue };
                        let inputs = &self.graph.nodes()[n].inputs;
                        // Its other operands are there before the row kernel.
                        let ready = inputs.iter().all(|v| {
                            v.node.index() == k && (v.output as usize) < results
                                || v.node.index() < k
                                || self.movable(*v)
                        });
                        if ready && map.program.instrs.len() <= LONGEST_AFTER {
                            found.push(n);
                        }
                    }
                }
            }
        }
        found
    }

    fn uniform(&self, v: Value) -> bool {
        self.graph.node(v).op.class().is_uniform()
    }

    /// Whether a value needs no kernel: a leaf, or a view of one. It may be emitted earlier.
    fn movable(&self, v: Value) -> bool {
        let node = self.graph.node(v);
        match node.op.class() {
            Class::Leaf(_) => true,
            Class::Movement(Movement::Alias { .. }) => self.movable(node.inputs[0]),
            _ => false,
        }
    }

    /// Results of the full shape that the merged kernel stores: those that something outside it needs.
    fn stored(&self, merge: &Merge<'_>) -> Vec<Value> {
        let nodes: Vec<usize> = merge.nodes().collect();
        let full = |&n: &usize| {
            let count = match self.graph.nodes()[n].op.card::<RowKernel>() {
                Some(kernel) => kernel.elements.outputs.len(),
                None => usize::MAX,
            };
            self.graph.values(n).take(count)
        };
        let outside = |v: &Value| {
            self.roots.contains(v) || self.users(*v).iter().any(|u| !nodes.contains(u))
        };
        nodes.iter().flat_map(full).filter(outside).collect()
    }

    /// The operands of the merged kernel.
    fn operands(&self, merge: &Merge<'_>) -> Vec<Value> {
        let nodes: Vec<usize> = merge.nodes().collect();
        let mut operands: Vec<Value> = Vec::new();
        for v in nodes.iter().flat_map(|&n| &self.graph.nodes()[n].inputs) {
            if !nodes.contains(&v.node.index()) && !operands.contains(v) {
                operands.push(*v);
            }
        }
        operands
    }

    fn buffers(&self, merge: &Merge<'_>) -> usize {
        let read = self.operands(merge).iter().filter(|v| !self.uniform(**v)).count();
        read + self.stored(merge).len() + merge.kernel.kept.len()
    }

    /// Emits the merged kernel.
    fn emit(&self, merge: &Merge<'_>, rewrite: &mut Rewrite<'_>) -> Result<()> {
        let (k, kernel) = (merge.at, merge.kernel);
        let node = &self.graph.nodes()[k];
        let operands = self.operands(merge);
        let place = |v: Value| operands.iter().position(|&o| o == v);
        // The inputs of the new programs, and where the inputs of the old ones are among them.
        let mut reads: Vec<Read> = Vec::new();
        let mut input = |read: Read| {
            reads.iter().position(|r| *r == read).unwrap_or_else(|| {
                reads.push(read);
                reads.len() - 1
            })
        };
        let element = |v: &Value| place(*v).map(Read::Element);
        let of_kernel: Vec<Option<usize>> = kernel
            .reads
            .iter()
            .map(|read| match *read {
                Read::Element(j) => element(&node.inputs[j]).map(&mut input),
                Read::Value { operand, place: at } => {
                    place(node.inputs[operand]).map(|operand| input(Read::Value { operand, place: at }))
                }
            })
            .collect();
        let mut of_map = |side: Option<(usize, &Map)>| -> Vec<Option<usize>> {
            let inputs = side.map_or(&[][..], |(n, _)| &self.graph.nodes()[n].inputs);
            inputs.iter().map(|v| element(v).map(&mut input)).collect()
        };
        let (of_before, of_after) = (of_map(merge.before), of_map(merge.after));
        let phase_at = reads.len();
        let inputs = phase_at + kernel.phases.len();
        // Appends a program to `to`; `regs` has its inputs.
        let append = |to: &mut Program, program: &Program, regs: &[Reg]| -> Vec<Reg> {
            let shift = to.instrs.len();
            let moved = |reg: &Reg| match *reg {
                Reg::Input(i) => regs[i],
                Reg::Temp(t) => Reg::Temp(t + shift),
            };
            for instr in &program.instrs {
                let mut instr = instr.clone();
                instr.args = instr.args.iter().map(moved).collect();
                to.instrs.push(instr);
            }
            program.outputs.iter().map(moved).collect()
        };
        let empty = || Program { inputs, instrs: vec![], outputs: vec![] };
        // A program of the kernel, after the program before it if it reads a result of that.
        let translate = |to: &mut Program, program: &Program, known: &mut HashMap<Value, Reg>| {
            let needs = |i: usize| {
                let args = program.instrs.iter().flat_map(|instr| &instr.args);
                args.chain(&program.outputs).any(|reg| *reg == Reg::Input(i))
            };
            let inside = of_kernel.iter().enumerate().any(|(i, at)| at.is_none() && needs(i));
            if let Some((n, map)) = merge.before.filter(|_| inside) {
                self.compute(to, n, map, &of_before, known, &append);
            }
            let read = |(i, at): (usize, &Option<usize>)| match (*at, kernel.reads[i]) {
                (Some(at), _) => Reg::Input(at),
                (None, Read::Element(j) | Read::Value { operand: j, .. }) => {
                    // A program that does not read the input does not have it.
                    known.get(&node.inputs[j]).copied().unwrap_or(Reg::Input(0))
                }
            };
            let mut regs: Vec<Reg> = of_kernel.iter().enumerate().map(read).collect();
            regs.extend((0..kernel.phases.len()).map(|p| Reg::Input(phase_at + p)));
            append(to, program, &regs)
        };
        let whole = |program: &Program| {
            let mut to = empty();
            to.outputs = translate(&mut to, program, &mut HashMap::new());
            to
        };
        let phases = kernel.phases.iter().map(|phase| Phase {
            reduction: phase.reduction,
            before: whole(&phase.before),
            after: whole(&phase.after),
        });
        let phases: Vec<Phase> = phases.collect();
        let stored = self.stored(merge);
        let (mut elements, mut known) = (empty(), HashMap::new());
        let of_first = |v: &Value| merge.before.is_some_and(|(n, _)| v.node.index() == n);
        let reads_first = |n: usize| self.graph.nodes()[n].inputs.iter().any(of_first);
        let first = stored.iter().any(of_first) || merge.after.is_some_and(|(n, _)| reads_first(n));
        if let Some((n, map)) = merge.before.filter(|_| first) {
            self.compute(&mut elements, n, map, &of_before, &mut known, &append);
        }
        let results = translate(&mut elements, &kernel.elements, &mut known);
        known.extend(self.graph.values(k).zip(results));
        if let Some((n, map)) = merge.after {
            self.compute(&mut elements, n, map, &of_after, &mut known, &append);
        }
        elements.outputs = stored.iter().map(|v| known[v]).collect();
        let card = RowKernel {
            rule: kernel.rule,
            rows: kernel.rows.clone(),
            reads,
            phases,
            elements,
            kept: kernel.kept.clone(),
        };
        for &v in &operands {
            self.ensure(v, rewrite)?;
        }
        let operands: Vec<Value> = operands.iter().map(|&v| rewrite.get(v)).collect();
        let values = rewrite.to.push_node(Arc::new(card), &operands, node.layer.clone())?;
        let (full, kept) = values.split_at(stored.len());
        for n in merge.nodes() {
            let own: Vec<Value> = self.graph.values(n).collect();
            let kernel_results = if n == k { kernel.elements.outputs.len() } else { own.len() };
            let now = own.iter().enumerate().map(|(o, v)| match stored.iter().position(|s| s == v) {
                Some(at) => full[at],
                None if o >= kernel_results => kept[o - kernel_results],
                // Nothing asks for a result that stays inside.
                None => values[0],
            });
            rewrite.set(n, now.collect());
        }
        Ok(())
    }

    /// Appends an elementwise kernel to a program, unless its results are known.
    fn compute(
        &self,
        to: &mut Program,
        n: usize,
        map: &Map,
        inputs: &[Option<usize>],
        known: &mut HashMap<Value, Reg>,
        append: &dyn Fn(&mut Program, &Program, &[Reg]) -> Vec<Reg>,
    ) {
        if self.graph.values(n).any(|v| known.contains_key(&v)) {
            return;
        }
        let read = |(v, at): (&Value, &Option<usize>)| at.map_or_else(|| known[v], Reg::Input);
        let regs: Vec<Reg> = self.graph.nodes()[n].inputs.iter().zip(inputs).map(read).collect();
        let results = append(to, &map.program, &regs);
        known.extend(self.graph.values(n).zip(results));
    }

    /// Emits a value that needs no kernel, if it is not there.
    fn ensure(&self, v: Value, rewrite: &mut Rewrite<'_>) -> Result<()> {
        if rewrite.has(v) {
            return Ok(());
        }
        for &input in &self.graph.node(v).inputs {
            self.ensure(input, rewrite)?;
        }
        rewrite.copy(v.node.index())
    }
}
