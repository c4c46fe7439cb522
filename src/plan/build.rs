//! From a graph to a plan.

use super::materialise::materialise;
use super::schedule::{Schedule, schedule};
use super::storage::{ALIGN, Buffers, Place, Storage};
use super::{Dispatch, OutputDecl, Plan, PlanData, Region, Repeat};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Leaf, LowerContext, TensorType, Value, View};
use crate::kernels::{Access, Bind, DeviceCaps, Source};
use crate::passes::Passes;
use crate::tensor::DType;
use std::collections::HashMap;

impl Plan {
    /// Runs the passes and lowers the graph for a device.
    ///
    /// # Errors
    /// [`Error::Limit`] if a tensor exceeds what the device binds, holds or dispatches, naming layer and
    /// op; [`Error::MissingFeature`]; [`Error::Internal`] for a defect.
    pub fn compile(graph: &Graph, passes: &Passes, caps: &DeviceCaps) -> Result<Self> {
        let (graph, _) = passes.run(graph, caps)?;
        Self::lower_verified(&graph, caps)
    }

    /// Lowers a graph as it is.
    ///
    /// # Errors
    /// As [`Plan::compile`].
    pub fn lower(graph: &Graph, caps: &DeviceCaps) -> Result<Self> {
        graph.verify("building")?;
        Self::lower_verified(graph, caps)
    }

    fn lower_verified(graph: &Graph, caps: &DeviceCaps) -> Result<Self> {
        let graph = &materialise(graph)?;
        graph.verify("materialise")?;
        let schedule = schedule(graph);
        let mut storage = Storage::new(graph, &schedule, Buffers::default())?;
        let mut lowering = Lowering::new(caps);
        lowering.graph(graph, &schedule, &mut storage)?;
        lowering.finish_updates(graph, &schedule.placed, &storage)?;
        let outputs = graph.outputs().iter().map(|(name, v)| {
            let (shape, dtype) = (graph.shape(*v).clone(), graph.ty(*v).dtype);
            Ok(OutputDecl { name: name.clone(), region: storage.region(graph, *v)?, shape, dtype })
        });
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        let step_params = graph.step_params().to_vec();
        let Lowering { mut dispatches, repeats, .. } = lowering;
        let mut params_bytes = 0u64;
        for dispatch in &mut dispatches {
            dispatch.params_at = params_bytes.next_multiple_of(u64::from(caps.uniform_alignment));
            params_bytes = dispatch.params_at + dispatch.call.params.len() as u64;
        }
        // As all buffers: a driver rounds other sizes up, and the plan would announce too little.
        let params_bytes = params_bytes.max(16).next_multiple_of(ALIGN);
        let buffers = storage.buffers.decls;
        let plan =
            Self(PlanData { buffers, dispatches, repeats, outputs, step_params, params_bytes });
        plan.verify(caps)?;
        Ok(plan)
    }
}

/// The dispatches and loops of a plan in the making.
pub(super) struct Lowering<'a> {
    pub caps: &'a DeviceCaps,
    pub dispatches: Vec<Dispatch>,
    pub repeats: Vec<Repeat>,
    /// Loops around what is lowered, the outermost first.
    pub around: Vec<usize>,
}

impl<'a> Lowering<'a> {
    const fn new(caps: &'a DeviceCaps) -> Self {
        Self { caps, dispatches: Vec::new(), repeats: Vec::new(), around: Vec::new() }
    }

    /// Lowers the nodes of a graph, or of a loop's body.
    pub(super) fn graph(
        &mut self,
        graph: &Graph,
        schedule: &Schedule,
        storage: &mut Storage,
    ) -> Result<()> {
        if schedule.order.len() != graph.nodes().len() {
            return Err(Error::internal("schedule", "the kernels cannot be ordered"));
        }
        for (at, &i) in schedule.order.iter().enumerate() {
            let node = &graph.nodes()[i];
            let class = node.op.class();
            if !class.launches() {
                continue;
            }
            if let Class::Scan(scan) = class {
                self.scan(graph, (i, at), scan, storage)?;
            } else {
                let done = self.node(graph, (i, at), &schedule.placed, storage);
                done.map_err(|e| match node.layer.as_deref() {
                    Some(layer) => in_limit(e, layer),
                    None => e,
                })?;
            }
            let values: Vec<Value> = node.inputs.iter().copied().chain(graph.values(i)).collect();
            storage.expire(graph, &values, at);
        }
        Ok(())
    }

    fn node(
        &mut self,
        graph: &Graph,
        (i, at): (usize, usize),
        placed: &HashMap<Value, Value>,
        storage: &mut Storage,
    ) -> Result<()> {
        let node = &graph.nodes()[i];
        let source = |v: Value| match graph.node(v).op.class() {
            Class::Leaf(Leaf::Constant(c)) => Source::Constant(c.get()),
            Class::Leaf(Leaf::Step(s)) => Source::Step(*s),
            Class::Leaf(Leaf::Input(_) | Leaf::State(_) | Leaf::Tensor(_) | Leaf::Param(_))
            | Class::Elementwise(_)
            | Class::Reduction(_)
            | Class::Contraction(_)
            | Class::Rows(_)
            | Class::Movement(_)
            | Class::Scan(_)
            | Class::Composite
            | Class::Opaque => Source::Buffer,
        };
        let outputs: Vec<Value> = graph.values(i).collect();
        let over_state =
            |o| placed.get(o).and_then(|state| node.inputs.iter().position(|v| v == state));
        let mut in_place: Vec<Option<usize>> = outputs.iter().map(over_state).collect();
        // Elementwise kernels in place would be shaders besides those that are not, and each is compiled.
        if matches!(node.op.class(), Class::Opaque) {
            for (&o, taken) in outputs.iter().zip(&mut in_place) {
                *taken = taken.or_else(|| storage.take_over(graph, node, o, at));
            }
        }
        let cx = LowerContext {
            inputs: (node.inputs.iter().enumerate())
                .map(|(j, &v)| (node.seen(j, graph.ty(v)), source(v)))
                .collect(),
            views: node.views.clone(),
            outputs: node.outputs.clone(),
            in_place,
            read: outputs.iter().map(|&o| storage.is_read(o)).collect(),
            caps: self.caps,
            iterations: self.iterations(),
        };
        let lowered = node.op.lower(&cx)?;
        for (i, &o) in outputs.iter().enumerate() {
            if cx.read[i] || lowered.calls.iter().any(|call| call.binds.contains(&Bind::Output(i)))
            {
                storage.allocate(o, graph.ty(o).bytes());
            }
        }
        let scratch: Vec<(usize, u64)> =
            lowered.scratch.iter().map(|&bytes| (storage.buffers.take(bytes), bytes)).collect();
        let types = |values: &[Value]| {
            values.iter().map(|&v| graph.ty(v).to_string()).collect::<Vec<_>>().join(", ")
        };
        let seen = |(v, view): (&Value, &Option<View>)| match view {
            Some(view) if !view.is_whole() => format!("{} {view}", graph.ty(*v)),
            _ => graph.ty(*v).to_string(),
        };
        let read: Vec<String> = node.inputs.iter().zip(&node.views).map(seen).collect();
        let shapes = format!("({}) -> {}", read.join(", "), types(&outputs));
        let operands: Vec<&TensorType> = cx.inputs.iter().map(|(ty, _)| ty).collect();
        for call in lowered.calls {
            let region = |bind: &Bind| match *bind {
                Bind::Input(j) => storage.region(graph, node.inputs[j]),
                Bind::Output(o) => storage.region(graph, outputs[o]),
                Bind::ScratchRead(s) | Bind::ScratchWrite(s) => {
                    let (buffer, bytes) = scratch[s];
                    Ok(Place::of(buffer).region(bytes))
                }
            };
            // A kernel from outside is held inside what is bound: the elements alone, without what pads a tensor.
            let elements = |bind: &Bind| match *bind {
                Bind::Input(j) if call.text.is_some() => Some(graph.ty(node.inputs[j]).bytes()),
                Bind::Output(o) if call.text.is_some() => Some(graph.ty(outputs[o]).bytes()),
                _ => None,
            };
            let bindings = call.binds.iter().map(|bind| {
                let region = region(bind)?;
                let bytes = elements(bind).unwrap_or(region.bytes);
                Ok((Region { bytes, ..region }, bind.access()))
            });
            let bindings = bindings.collect::<Result<Vec<_>>>()?;
            let (mut bytes_read, mut bytes_written) = (0, 0);
            for (bind, (region, _)) in call.binds.iter().zip(&bindings) {
                match *bind {
                    Bind::Input(j) => bytes_read += node.op.bytes_read(&operands, j),
                    Bind::ScratchRead(_) => bytes_read += region.bytes,
                    Bind::ScratchWrite(_) => bytes_written += region.bytes,
                    Bind::Output(o) => {
                        bytes_written += region.bytes;
                        // An output that takes an operand's place is read first.
                        bytes_read += cx.in_place[o].map_or(0, |_| region.bytes);
                    }
                }
            }
            let attrs = node.op.attrs();
            let attrs = if attrs.is_empty() { attrs } else { format!("[{attrs}]") };
            self.dispatches.push(Dispatch {
                label: format!("{}{attrs}", node.op.name()),
                layer: node.layer.as_deref().unwrap_or_default().to_owned(),
                shapes: shapes.clone(),
                call,
                params_at: 0,
                bindings,
                bytes_read,
                bytes_written,
            });
        }
        scratch.iter().for_each(|&(buffer, _)| storage.buffers.release(buffer));
        Ok(())
    }

    /// How often what is lowered now runs in all, if it is in a loop.
    fn iterations(&self) -> Option<u64> {
        let product = |n: u64, &i: &usize| n.saturating_mul(self.repeats[i].times as u64);
        (!self.around.is_empty()).then(|| self.around.iter().fold(1, product))
    }

    /// Copies new states that could not be written over the old ones, after everything that reads the old ones.
    fn finish_updates(
        &mut self,
        graph: &Graph,
        placed: &HashMap<Value, Value>,
        storage: &Storage,
    ) -> Result<()> {
        for &(state, new) in graph.updates() {
            if placed.get(&new) == Some(&state) || graph.storage_root(new) == state {
                continue;
            }
            let ty = graph.ty(new);
            if ty.dtype != DType::F32 {
                let detail = "only f32 states are copied; give the new value to one state alone";
                return Err(Error::dtype("update", &[ty.dtype], detail));
            }
            let (from, to) = (storage.region(graph, new)?, storage.region(graph, state)?);
            if from != to {
                self.copy("copy[new state]", "", ty, from, to)?;
            }
        }
        Ok(())
    }

    /// Copies an f32 tensor from one region to another, of another buffer.
    pub(super) fn copy(
        &mut self,
        label: &str,
        layer: &str,
        ty: &TensorType,
        from: Region,
        to: Region,
    ) -> Result<()> {
        let copy =
            crate::ops::Map { program: crate::ops::Program::identity(), shape: ty.shape.clone() };
        let cx = LowerContext {
            inputs: vec![(ty.clone(), Source::Buffer)],
            views: vec![None],
            outputs: vec![ty.clone()],
            in_place: vec![None],
            read: vec![true],
            caps: self.caps,
            iterations: self.iterations(),
        };
        for call in crate::graph::Op::lower(&copy, &cx)?.calls {
            let bindings = call.binds.iter().map(|b| match b {
                Bind::Input(_) | Bind::ScratchRead(_) => (from, Access::Read),
                Bind::Output(_) | Bind::ScratchWrite(_) => (to, Access::ReadWrite),
            });
            self.dispatches.push(Dispatch {
                label: label.into(),
                layer: layer.into(),
                shapes: format!("({ty}) -> {ty}"),
                bindings: bindings.collect(),
                call,
                params_at: 0,
                bytes_read: from.bytes,
                bytes_written: to.bytes,
            });
        }
        Ok(())
    }
}

/// A limit error that names the layer.
fn in_limit(error: Error, layer: &str) -> Error {
    match error {
        Error::Limit { what, needed, allowed, detail } => {
            Error::Limit { what: format!("layer `{layer}`: {what}"), needed, allowed, detail }
        }
        other => other.in_layer(layer),
    }
}
