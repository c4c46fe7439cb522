//! Fusion: elementwise nodes of one shape become one kernel, and one that follows a contraction becomes its
//! epilogue.
//!
//! The work grows linearly with the graph: groups are bounded, and the search for a way back into a group ends at the
//! first place that no group reaches across.
//!
//! A group may have several results. Sources (functions of constants, step words and the element index
//! alone, such as dropout masks) are recomputed by each group that reads them, never stored. Groups stop at
//! the number of buffers that one kernel may bind.

use super::rewrite::Rewrite;
use super::search::{Gaps, Marks};
use super::shaped;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Movement, Node, Value};
use crate::ops::table::IndexUse;
use crate::ops::{Contraction, Map, Program, Reg};
use crate::tensor::DType;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

/// The most functions that one kernel computes: a driver's time to compile straight-line code grows faster than the
/// code.
const LONGEST: usize = 256;

pub(super) fn fuse(graph: &Graph, max_buffers: usize) -> Result<Graph> {
    let graph = &shaped::products(graph)?;
    let mut fusion = Fusion::new(graph, max_buffers);
    fusion.group();
    fusion.attach_epilogues();
    fusion.emit()
}

struct Fusion<'a> {
    graph: &'a Graph,
    max_buffers: usize,
    /// Nodes that read each node.
    users: Vec<Vec<usize>>,
    /// The group of each elementwise node that is not a source.
    group_of: Vec<Option<usize>>,
    /// Members of each group, ascending; empty once merged into another.
    groups: Vec<Vec<usize>>,
    /// The contraction whose epilogue a group is.
    head: HashMap<usize, usize>,
    source: Vec<bool>,
    root: Vec<bool>,
    /// The state that each new value replaces.
    replaces: HashMap<Value, Vec<Value>>,
    /// Places between neighbours in the order that no group reaches across.
    gaps: Gaps,
    /// The search that last came to each node.
    seen: RefCell<Marks>,
}

/// A node, or the nodes of a group, and the nodes outside that must come first.
struct Unit {
    nodes: Vec<usize>,
    needs: Vec<usize>,
}

/// The map of a node that reads its operands as they are.
fn map_of(node: &Node) -> Option<&Map> {
    node.op.class().map().filter(|_| node.views.iter().all(Option::is_none))
}

impl<'a> Fusion<'a> {
    fn new(graph: &'a Graph, max_buffers: usize) -> Self {
        let count = graph.nodes().len();
        let mut this = Self {
            graph,
            max_buffers,
            users: vec![Vec::new(); count],
            group_of: vec![None; count],
            groups: Vec::new(),
            head: HashMap::new(),
            source: vec![false; count],
            root: vec![false; count],
            replaces: HashMap::new(),
            gaps: Gaps::new(count),
            seen: RefCell::new(Marks::new(count)),
        };
        for &(state, new) in graph.updates() {
            this.replaces.entry(new).or_default().push(state);
        }
        graph.roots().for_each(|v| this.root[v.node.index()] = true);
        for (i, node) in graph.nodes().iter().enumerate() {
            for v in &node.inputs {
                this.users[v.node.index()].push(i);
            }
            // A map of several results is a group already.
            if map_of(node).is_some_and(|m| m.program.outputs.len() == 1) {
                let free = |v: &Value| this.source[v.node.index()] || this.uniform(*v);
                this.source[i] = node.inputs.iter().all(free);
                if !this.source[i] || this.root[i] {
                    this.group_of[i] = Some(this.groups.len());
                    this.groups.push(vec![i]);
                }
            }
        }
        this
    }

    fn uniform(&self, v: Value) -> bool {
        self.graph.node(v).op.class().is_uniform()
    }

    /// Whether a consumer of this shape recomputes `v` instead of reading it.
    fn inlines(&self, v: Value, consumer: &Map) -> bool {
        let node = v.node.index();
        self.source[node]
            && map_of(self.graph.node(v)).is_some_and(|m| match self.index_use(node) {
                IndexUse::None => true,
                IndexUse::Position => consumer.shape.dims().ends_with(m.shape.dims()),
                IndexUse::Random => m.shape == consumer.shape,
            })
    }

    /// What a source makes of the element index.
    fn index_use(&self, node: usize) -> IndexUse {
        let node = &self.graph.nodes()[node];
        let own = map_of(node).map_or(IndexUse::None, |m| m.program.index_use());
        let sources = node.inputs.iter().map(|v| v.node.index()).filter(|&n| self.source[n]);
        sources.map(|n| self.index_use(n)).fold(own, Ord::max)
    }

    fn shape_of(&self, node: usize) -> &crate::tensor::Shape {
        &self.graph.nodes()[node].outputs[0].shape
    }

    /// Merges producers into consumers of the same shape. A producer with one reader goes first: a derivative
    /// in terms of a stored result then joins the backward kernel that reads it, and is not stored itself. A union
    /// with too many buffers may fit once other readers of its results have joined it, so the others are tried
    /// again until none merges.
    fn group(&mut self) {
        self.merge_all(true);
        while self.merge_all(false) {}
    }

    /// Tries every producer, or those with one reader; says whether any was merged.
    fn merge_all(&mut self, single: bool) -> bool {
        let mut merged = false;
        for i in 0..self.graph.nodes().len() {
            for v in self.graph.nodes()[i].inputs.clone() {
                if !single || self.users[v.node.index()].len() == 1 {
                    merged |= self.merge(v.node.index(), i);
                }
            }
        }
        merged
    }

    /// Merges the groups of two elementwise nodes if shape, buffers and order allow it; says whether it did.
    fn merge(&mut self, producer: usize, consumer: usize) -> bool {
        let (Some(a), Some(b)) = (self.group_of[producer], self.group_of[consumer]) else {
            return false;
        };
        if a == b || self.shape_of(producer) != self.shape_of(consumer) {
            return false;
        }
        if self.groups[a].len() + self.groups[b].len() > LONGEST {
            return false;
        }
        let mut union = [self.groups[a].as_slice(), self.groups[b].as_slice()].concat();
        union.sort_unstable();
        let (inputs, outputs) = self.boundary(&union);
        let read = inputs.iter().filter(|v| !self.uniform(**v)).count();
        let own = outputs.iter().filter(|&&o| !self.takes_place(&union, &inputs, o)).count();
        let fits = read + own <= self.max_buffers && !self.reenters(&union);
        if fits {
            union.iter().for_each(|&n| self.group_of[n] = Some(b));
            self.gaps.span(union[0], union[union.len() - 1]);
            self.groups[a].clear();
            self.groups[b] = union;
        }
        fits
    }

    /// Whether `output` of the set is sure to be written over a state that the set reads: then both share one binding.
    /// If two states take one value, only the first is written, and a pack keeps its content.
    fn takes_place(&self, set: &[usize], inputs: &[Value], output: Value) -> bool {
        let states = self.replaces.get(&output).map_or(&[][..], Vec::as_slice);
        let &[state] = states else { return false };
        inputs.contains(&state) && self.read_before(state, set) && !self.packed(output)
    }

    /// Whether a pack or a record may hold `v` or a view of it.
    fn packed(&self, v: Value) -> bool {
        self.users[v.node.index()].iter().any(|&u| {
            let class = self.graph.nodes()[u].op.class();
            let alias = matches!(class, Class::Movement(Movement::Alias { .. }));
            class.first_held().is_some() || alias && self.graph.values(u).any(|v| self.packed(v))
        })
    }

    /// Whether all other kernels that read `v` or an alias of it are before the set.
    fn read_before(&self, v: Value, set: &[usize]) -> bool {
        self.users[v.node.index()].iter().all(|&u| {
            let alias =
                matches!(self.graph.nodes()[u].op.class(), Class::Movement(Movement::Alias { .. }));
            let aliases = || self.graph.values(u).all(|v| self.read_before(v, set));
            set.binary_search(&u).is_ok() || u < set[0] && (!alias || aliases())
        })
    }

    /// Whether a path leaves the set and comes back: merging it would make a cycle.
    fn reenters(&self, set: &[usize]) -> bool {
        let end = self.gaps.end(set[set.len() - 1]);
        let inside = |n: &usize| set.binary_search(n).is_ok();
        let mut seen = self.seen.borrow_mut();
        seen.clear();
        let users = set.iter().flat_map(|&n| &self.users[n]).copied();
        let mut open: Vec<usize> = users.filter(|n| *n <= end && !inside(n)).collect();
        while let Some(n) = open.pop() {
            // A path through a node in another group continues from all of that group.
            let alone = [n];
            for &m in self.group_of[n].map_or(&alone[..], |g| &self.groups[g]) {
                if !seen.set(m) {
                    continue;
                }
                for u in &self.users[m] {
                    if inside(u) {
                        return true;
                    }
                    // What comes after the end has no way back.
                    if *u <= end {
                        open.push(*u);
                    }
                }
            }
        }
        false
    }

    /// Values read from outside and values needed outside, in order of first use.
    fn boundary(&self, set: &[usize]) -> (Vec<Value>, Vec<Value>) {
        let mut inputs = Vec::new();
        let mut outputs = Vec::new();
        for &n in set {
            self.operands(n, set, &mut inputs);
            let escapes = self.users[n].iter().any(|u| set.binary_search(u).is_err());
            if escapes || self.root[n] {
                outputs.push(Value { node: self.graph.id(n), output: 0 });
            }
        }
        (inputs, outputs)
    }

    /// Operands of a node outside the set, those of recomputed sources included.
    fn operands(&self, n: usize, set: &[usize], inputs: &mut Vec<Value>) {
        let node = &self.graph.nodes()[n];
        let Some(map) = map_of(node) else { return };
        for &v in &node.inputs {
            if set.binary_search(&v.node.index()).is_ok() {
                continue;
            }
            if self.inlines(v, map) {
                self.operands(v.node.index(), set, inputs);
            } else if !inputs.contains(&v) {
                inputs.push(v);
            }
        }
    }

    /// Gives each group the latest contraction whose only reader it is.
    fn attach_epilogues(&mut self) {
        for g in 0..self.groups.len() {
            let members = self.groups[g].clone();
            if members.is_empty() {
                continue;
            }
            let (inputs, outputs) = self.boundary(&members);
            let shape = self.shape_of(members[0]).clone();
            let fits = |c: usize| {
                let node = &self.graph.nodes()[c];
                let Some(op) = node.op.class().contraction() else { return false };
                let others: Vec<Value> =
                    inputs.iter().copied().filter(|v| v.node.index() != c).collect();
                let buffers =
                    2 + outputs.len() + others.iter().filter(|v| !self.uniform(**v)).count();
                let readable = |v: &Value| {
                    let ty = self.graph.ty(*v);
                    let buffer =
                        || ty.dtype == DType::F32 && op.epilogue_strides(&ty.shape).is_some();
                    self.uniform(*v) || buffer()
                };
                let mut set = members.clone();
                set.push(c);
                set.sort_unstable();
                op.epilogue.instrs.is_empty()
                    && op.shape == shape
                    && !self.root[c]
                    && self.users[c].iter().all(|u| members.contains(u))
                    && buffers <= self.max_buffers
                    && others.iter().all(readable)
                    && !self.reenters(&set)
            };
            let best = inputs.iter().map(|v| v.node.index()).filter(|&c| fits(c)).max();
            if let Some(c) = best {
                self.head.insert(g, c);
            }
        }
    }

    /// The program of a group over `inputs`.
    fn program(&self, members: &[usize], inputs: &[Value], outputs: &[Value]) -> Result<Program> {
        let mut program = Program { inputs: inputs.len(), instrs: vec![], outputs: vec![] };
        let mut regs: HashMap<Value, Reg> =
            inputs.iter().enumerate().map(|(i, &v)| (v, Reg::Input(i))).collect();
        for &n in members {
            self.append(n, &mut program, &mut regs)?;
        }
        program.outputs = outputs.iter().map(|v| regs[v]).collect();
        Ok(program)
    }

    fn append(
        &self,
        n: usize,
        program: &mut Program,
        regs: &mut HashMap<Value, Reg>,
    ) -> Result<()> {
        let node = &self.graph.nodes()[n];
        let result = Value { node: self.graph.id(n), output: 0 };
        if regs.contains_key(&result) {
            return Ok(());
        }
        let map = map_of(node)
            .ok_or_else(|| Error::internal("fuse", format!("%{n} is not elementwise")))?;
        for v in &node.inputs {
            if !regs.contains_key(v) {
                self.append(v.node.index(), program, regs)?;
            }
        }
        let args: Vec<Reg> = node.inputs.iter().map(|v| regs[v]).collect();
        let shift = program.instrs.len();
        let place = |reg: &Reg| match reg {
            Reg::Input(i) => args[*i],
            Reg::Temp(i) => Reg::Temp(i + shift),
        };
        for instr in &map.program.instrs {
            let mut instr = instr.clone();
            instr.args = instr.args.iter().map(place).collect();
            program.instrs.push(instr);
        }
        regs.insert(result, place(&map.program.outputs[0]));
        Ok(())
    }

    /// Rebuilds the graph with a node per group, each as early as its operands allow: the graph is walked over and
    /// over, and a node or group that is met is emitted if its operands are there.
    fn emit(&self) -> Result<Graph> {
        let mut rewrite = Rewrite::new(self.graph);
        let units = self.units();
        let mut unit_of: HashMap<usize, usize> = HashMap::new();
        let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); self.graph.nodes().len()];
        let mut missing: Vec<usize> = units.iter().map(|unit| unit.needs.len()).collect();
        // What is emitted next: the walk, and the node at which it meets the unit.
        let mut ready = BinaryHeap::new();
        for (u, unit) in units.iter().enumerate() {
            unit.nodes.iter().for_each(|&n| _ = unit_of.insert(n, u));
            unit.needs.iter().for_each(|&n| waiting[n].push(u));
            if unit.needs.is_empty() {
                ready.push(Reverse((0, unit.nodes[0])));
            }
        }
        let mut emitted = 0;
        while let Some(Reverse((walk, n))) = ready.pop() {
            self.emit_node(n, &mut rewrite)?;
            emitted += 1;
            for &user in units[unit_of[&n]].nodes.iter().flat_map(|&node| &waiting[node]) {
                missing[user] -= 1;
                if missing[user] == 0 {
                    let nodes = &units[user].nodes;
                    let later = nodes.iter().find(|&&node| node > n);
                    ready.push(Reverse(later.map_or((walk + 1, nodes[0]), |&node| (walk, node))));
                }
            }
        }
        if emitted < units.len() {
            return Err(Error::internal("fuse", "the groups form a cycle"));
        }
        Ok(rewrite.finish())
    }

    /// The units to emit, in order of first nodes. A head is part of its group.
    fn units(&self) -> Vec<Unit> {
        let heads: HashSet<usize> = self.head.values().copied().collect();
        let mut units = Vec::new();
        for (n, node) in self.graph.nodes().iter().enumerate() {
            let (nodes, mut needs): (_, Vec<Value>) = match self.group_of[n] {
                _ if heads.contains(&n) => continue,
                None => (vec![n], node.inputs.clone()),
                Some(g) if self.groups[g][0] != n => continue,
                Some(g) => {
                    let head = self.head.get(&g).copied();
                    let (mut needs, _) = self.boundary(&self.groups[g]);
                    needs.retain(|v| Some(v.node.index()) != head);
                    needs.extend(head.into_iter().flat_map(|c| &self.graph.nodes()[c].inputs));
                    (self.groups[g].clone(), needs)
                }
            };
            needs.sort_unstable();
            needs.dedup_by_key(|v| v.node);
            units.push(Unit { nodes, needs: needs.iter().map(|v| v.node.index()).collect() });
        }
        units
    }

    /// Emits a node, or its whole group, whose operands are there.
    fn emit_node(&self, n: usize, rewrite: &mut Rewrite<'_>) -> Result<()> {
        let node = &self.graph.nodes()[n];
        let Some(g) = self.group_of[n] else { return rewrite.copy(n) };
        let members = &self.groups[g];
        let (mut inputs, mut outputs) = self.boundary(members);
        if outputs.is_empty() {
            // Nothing reads the group; keep its last value so that the graph stays whole.
            outputs.extend(members.last().map(|&m| Value { node: self.graph.id(m), output: 0 }));
        }
        let head = self.head.get(&g).copied();
        let outside = |v: &Value| Some(v.node.index()) != head;
        let operands = head.map_or(&[][..], |c| &self.graph.nodes()[c].inputs);
        let shape = self.shape_of(members[0]).clone();
        let layer = node.layer.clone();
        let values = match head {
            Some(c) => {
                let sum = Value { node: self.graph.id(c), output: 0 };
                inputs.retain(outside);
                inputs.insert(0, sum);
                let epilogue = self.program(members, &inputs, &outputs)?;
                let contraction = self.graph.nodes()[c].op.class().contraction();
                let contraction = contraction
                    .ok_or_else(|| Error::internal("fuse", "a head is no contraction"))?;
                let op = Contraction { epilogue, ..contraction.clone() };
                let args: Vec<Value> =
                    operands.iter().chain(&inputs[1..]).map(|&v| rewrite.get(v)).collect();
                let mut views = self.graph.nodes()[c].views.clone();
                views.resize(args.len(), None);
                rewrite.to.push_node(Arc::new(op), &args, views, layer)?
            }
            None => {
                let program = self.program(members, &inputs, &outputs)?;
                let args: Vec<Value> = inputs.iter().map(|&v| rewrite.get(v)).collect();
                let (op, views) = (Arc::new(Map { program, shape }), vec![None; args.len()]);
                rewrite.to.push_node(op, &args, views, layer)?
            }
        };
        let mut anchor = values[0];
        for &m in members {
            let old = Value { node: self.graph.id(m), output: 0 };
            if let Some(o) = outputs.iter().position(|&v| v == old) {
                anchor = values[o];
            }
            // Nothing asks for members that stay inside; each is mapped to the group.
            rewrite.set(m, vec![anchor]);
        }
        Ok(())
    }
}
