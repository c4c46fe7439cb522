//! From a graph to a plan.

use super::schedule::schedule;
use super::storage::{ALIGN, Storage};
use super::{BufferClass, Dispatch, OutputDecl, Plan, PlanData, Region};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, Leaf, LowerContext, TensorType, Value, View};
use crate::kernels::{Access, Bind, DeviceCaps, Source};
use crate::passes::{Passes, materialise};
use crate::tensor::DType;
use std::collections::HashMap;

impl Plan {
    /// Runs the passes and lowers the graph for a device.
    ///
    /// # Errors
    /// [`Error::Limit`] if a tensor exceeds what the device binds, holds or dispatches, naming layer and
    /// op; [`Error::MissingFeature`]; [`Error::Internal`] for a defect.
    pub fn compile(graph: &Graph, passes: &Passes, caps: &DeviceCaps) -> Result<Self> {
        let (graph, _) = passes.run(graph, caps.storage_buffers() as usize)?;
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
        if schedule.order.len() != graph.nodes().len() {
            return Err(Error::internal("schedule", "the kernels cannot be ordered"));
        }
        let mut storage = Storage::new(graph, &schedule)?;
        let mut dispatches = Vec::new();
        for (at, &i) in schedule.order.iter().enumerate() {
            let node = &graph.nodes()[i];
            if node.op.class().launches() {
                lower_node(graph, i, &schedule.placed, &mut storage, caps, &mut dispatches)
                    .map_err(|e| match node.layer.as_deref() {
                        Some(layer) => in_limit(e, layer),
                        None => e,
                    })?;
            }
            let values: Vec<Value> = node.inputs.iter().copied().chain(graph.values(i)).collect();
            if node.op.class().launches() {
                storage.expire(graph, &values, at);
            }
        }
        finish_updates(graph, &schedule.placed, &storage, caps, &mut dispatches)?;
        let outputs = graph.outputs().iter().map(|(name, v)| {
            let (shape, dtype) = (graph.shape(*v).clone(), graph.ty(*v).dtype);
            Ok(OutputDecl { name: name.clone(), region: storage.region(graph, *v)?, shape, dtype })
        });
        let outputs = outputs.collect::<Result<Vec<_>>>()?;
        let step_params = graph.step_params().to_vec();
        let mut params_bytes = 0u64;
        for dispatch in &mut dispatches {
            dispatch.params_at = params_bytes.next_multiple_of(u64::from(caps.uniform_alignment));
            params_bytes = dispatch.params_at + dispatch.call.params.len() as u64;
        }
        // As all buffers: a driver rounds other sizes up, and the plan would announce too little.
        let params_bytes = params_bytes.max(16).next_multiple_of(ALIGN);
        let buffers = storage.buffers;
        let plan = Self(PlanData { buffers, dispatches, outputs, step_params, params_bytes });
        plan.verify(caps)?;
        Ok(plan)
    }

    /// Checks what must be true of every plan: regions inside their buffers and aligned, one access mode per buffer and
    /// dispatch, and the device's limits.
    ///
    /// # Errors
    /// [`Error::Limit`] for a limit, [`Error::Internal`] for all else.
    pub fn verify(&self, caps: &DeviceCaps) -> Result<()> {
        for buffer in &self.buffers {
            let (unit, advice) = ("bytes of one buffer", advice(buffer.class));
            limit(&buffer.name, unit, buffer.bytes, caps.max_buffer_bytes, advice)?;
        }
        for d in &self.dispatches {
            let broken =
                |detail: String| Err(Error::internal(format!("plan: {}", d.label), detail));
            let what = if d.layer.is_empty() {
                d.label.clone()
            } else {
                format!("layer `{}`: {}", d.layer, d.label)
            };
            let count = d.bindings.len() as u64;
            let allowed = u64::from(caps.storage_buffers());
            let help = "give the op fewer operands: fewer metrics";
            limit(&what, "storage buffers", count, allowed, help)?;
            let mut modes: HashMap<usize, Access> = HashMap::new();
            for (region, access) in &d.bindings {
                let buffer = &self.buffers[region.buffer];
                let unit = format!("bytes of the binding `{}`", buffer.name);
                limit(&what, &unit, region.bytes, caps.max_binding_bytes, advice(buffer.class))?;
                if region.offset + region.bytes > buffer.bytes || region.offset % ALIGN != 0 {
                    return broken(format!("region {region:?} of {} bytes", buffer.bytes));
                }
                if let Some(moves) = region.step_offset {
                    if region.offset + region.bytes > moves.stride {
                        return broken(format!("region {region:?} leaves its record"));
                    }
                    // Dynamic offsets are 32-bit: a later record would be written over an earlier one.
                    let unit = format!("bytes of the records of `{}`", buffer.name);
                    let help = "use larger batches, or fewer samples";
                    limit(&what, &unit, buffer.bytes, u64::from(u32::MAX), help)?;
                }
                if buffer.class == BufferClass::Input && *access == Access::ReadWrite {
                    return broken(format!("writes the input `{}`", buffer.name));
                }
                if *modes.entry(region.buffer).or_insert(*access) != *access {
                    return broken(format!("reads and writes `{}`", buffer.name));
                }
            }
            if d.call.grid.iter().any(|&g| g == 0 || g > caps.max_workgroups) {
                return broken(format!("grid {:?}", d.call.grid));
            }
        }
        Ok(())
    }
}

/// What helps if a buffer of this class is too large.
const fn advice(class: BufferClass) -> &'static str {
    match class {
        BufferClass::Input => {
            "keep fewer samples on the device at once, or store them as bytes; or use another adapter"
        }
        BufferClass::State | BufferClass::Arena => "use a smaller layer, or another adapter",
        BufferClass::Activation | BufferClass::Uniform => {
            "use a smaller batch, a smaller layer, or another adapter"
        }
    }
}

fn limit(what: &str, unit: &str, needed: u64, allowed: u64, advice: &str) -> Result<()> {
    if needed <= allowed {
        return Ok(());
    }
    Err(Error::Limit { what: format!("{what}: {unit}"), needed, allowed, detail: advice.into() })
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

fn lower_node(
    graph: &Graph,
    i: usize,
    placed: &HashMap<Value, Value>,
    storage: &mut Storage,
    caps: &DeviceCaps,
    dispatches: &mut Vec<Dispatch>,
) -> Result<()> {
    let node = &graph.nodes()[i];
    let source = |v: Value| match graph.node(v).op.class() {
        Class::Leaf(Leaf::Constant(c)) => Source::Constant(c.get()),
        Class::Leaf(Leaf::Step(s)) => Source::Step(*s),
        _ => Source::Buffer,
    };
    let outputs: Vec<Value> = graph.values(i).collect();
    let in_place = outputs
        .iter()
        .map(|o| placed.get(o).and_then(|state| node.inputs.iter().position(|v| v == state)))
        .collect();
    let cx = LowerContext {
        inputs: (node.inputs.iter().enumerate())
            .map(|(j, &v)| (node.seen(j, graph.ty(v)), source(v)))
            .collect(),
        views: node.views.clone(),
        outputs: node.outputs.clone(),
        in_place,
        caps,
    };
    let lowered = node.op.lower(&cx)?;
    for &o in &outputs {
        storage.allocate(o, graph.ty(o).bytes());
    }
    let scratch: Vec<(usize, u64)> =
        lowered.scratch.iter().map(|&bytes| (storage.take_buffer(bytes), bytes)).collect();
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
                Ok(Region {
                    buffer,
                    offset: 0,
                    bytes: bytes.next_multiple_of(16),
                    step_offset: None,
                })
            }
        };
        let bindings = call.binds.iter().map(|b| Ok((region(b)?, b.access())));
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
        dispatches.push(Dispatch {
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
    scratch.iter().for_each(|&(buffer, _)| storage.release(buffer));
    Ok(())
}

/// Copies new states that could not be written over the old ones, after everything that reads the old ones.
fn finish_updates(
    graph: &Graph,
    placed: &HashMap<Value, Value>,
    storage: &Storage,
    caps: &DeviceCaps,
    dispatches: &mut Vec<Dispatch>,
) -> Result<()> {
    for &(state, new) in graph.updates() {
        if placed.get(&new) == Some(&state) || graph.storage_root(new) == state {
            continue;
        }
        let ty = graph.ty(new).clone();
        if ty.dtype != DType::F32 {
            let detail = "only f32 states are copied; give the new value to one state alone";
            return Err(Error::dtype("update", &[ty.dtype], detail));
        }
        let copy =
            crate::ops::Map { program: crate::ops::Program::identity(), shape: ty.shape.clone() };
        let cx = LowerContext {
            inputs: vec![(ty.clone(), Source::Buffer)],
            views: vec![None],
            outputs: vec![ty.clone()],
            in_place: vec![None],
            caps,
        };
        let (from, to) = (storage.region(graph, new)?, storage.region(graph, state)?);
        if from == to {
            continue;
        }
        for call in crate::graph::Op::lower(&copy, &cx)?.calls {
            let bindings = call.binds.iter().map(|b| match b {
                Bind::Input(_) | Bind::ScratchRead(_) => (from, Access::Read),
                Bind::Output(_) | Bind::ScratchWrite(_) => (to, Access::ReadWrite),
            });
            dispatches.push(Dispatch {
                label: "copy[new state]".into(),
                layer: String::new(),
                shapes: format!("({ty}) -> {ty}"),
                bindings: bindings.collect(),
                call,
                params_at: 0,
                bytes_read: from.bytes,
                bytes_written: to.bytes,
            });
        }
    }
    Ok(())
}
