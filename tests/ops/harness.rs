//! Runs a graph with guard words around every buffer.
//!
//! A plan is plain data, so the harness rewrites it: every buffer grows by [`GUARD`] bytes at both ends, all
//! regions move by as much, and buffers that the executor would own become state that the test owns. Each
//! binding reaches into the guard behind it, so that a kernel that writes past its end really does. After the
//! run every word that no kernel may write must be what it was.

use crate::family;
use crate::oracle;
use crate::reference::compare::compare;
use crate::reference::random::uniform;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use wgrad::gpu::{Device, DeviceOptions, Executor, StepBlock, Store, block_on};
use wgrad::graph::Graph;
use wgrad::kernels::{Access, DeviceCaps, MatmulFamily};
use wgrad::ops::registry::{Case, Sample};
use wgrad::ops::table::row;
use wgrad::passes::Passes;
use wgrad::plan::{BufferClass, Plan, Region};
use wgrad::tensor::{DType, Data, Tensor};

/// Bytes before and after every buffer.
const GUARD: u64 = 256;

/// The content of the guards of buffer `i`: a quiet NaN, so that a read by mistake shows in the result, and a different
/// one for each buffer, since arithmetic on a NaN yields the same NaN and must not pass for an untouched guard.
fn pattern(i: usize) -> u32 {
    0x7fc1_0000 + i as u32
}

/// The device that all tests share, without the table of kernels that `tune` may have measured on this machine.
pub fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let options = DeviceOptions::from_env().map(|env| DeviceOptions { cache: None, ..env });
        let device = options.and_then(|options| family::open(&options));
        device.unwrap_or_else(|e| panic!("{e}"))
    })
}

/// The capabilities under which the adapter runs every kernel family: its own, and those of a device without
/// subgroups and 64-bit words, which reduces through workgroup memory and multiplies in tiles.
pub fn families() -> [DeviceCaps; 2] {
    let own = device().caps().clone();
    let plain = family::as_gpu(&own);
    [own, plain]
}

/// The capabilities of a CPU adapter in a browser.
pub fn browser() -> DeviceCaps {
    family::as_cpu(device().caps())
}

/// Those of CPU adapters with fewer lanes than this one, with shuffles and without. Their workgroups are parts of a
/// subgroup here, and its operations are those of the lanes that there are.
pub fn fewer_lanes() -> Vec<DeviceCaps> {
    let [own, _] = families();
    let fewer = |lanes: &u32| own.subgroup.is_some_and(|(least, _)| *lanes < least);
    let families = |lanes| {
        let of = |matmul| DeviceCaps {
            cpu: true,
            subgroup: Some((lanes, lanes)),
            matmul,
            ..own.clone()
        };
        [MatmulFamily::Broadcast, MatmulFamily::Direct].map(of)
    };
    [4, 8, 16].into_iter().filter(fewer).flat_map(families).collect()
}

/// No pass.
pub const NO_PASSES: Passes = Passes::none();

/// Values by name.
pub type Named = HashMap<String, Tensor>;

/// Tensors for the buffers of a graph, by name. A state that is not fed starts at zero.
pub type Feeds<'a> = [(&'a str, Tensor)];

/// The words of one step.
pub type Words<'a> = [(&'a str, u32)];

/// What a run left behind.
#[derive(Debug, PartialEq)]
pub struct Ran {
    pub outputs: Named,
    /// The words of each state.
    pub states: HashMap<String, Vec<f32>>,
}

impl Ran {
    /// The elements of an output, as f32.
    pub fn f32(&self, name: &str) -> Vec<f32> {
        let output = self.outputs.get(name).unwrap_or_else(|| panic!("no output `{name}`"));
        match output.data() {
            Data::F32(v) => v.clone(),
            Data::U32(v) => v.iter().map(|&v| v as f32).collect(),
            Data::U8(v) => v.iter().map(|&v| f32::from(v)).collect(),
            other => panic!("{:?}", other.dtype()),
        }
    }
}

/// Compiles and runs a graph for each of `steps`.
#[track_caller]
pub fn execute(
    graph: &Graph,
    passes: &Passes,
    caps: &DeviceCaps,
    feeds: &Feeds<'_>,
    steps: &[&Words<'_>],
) -> Ran {
    let plan = Plan::compile(graph, passes, caps).unwrap_or_else(|e| panic!("{e}"));
    run_plan(&plan, feeds, steps).unwrap_or_else(|e| panic!("{e}\n{plan}"))
}

/// Runs a plan with guards. The error names a guard word that was overwritten.
pub fn run_plan(plan: &Plan, feeds: &Feeds<'_>, steps: &[&Words<'_>]) -> Result<Ran, String> {
    let guarded = Guarded::new(plan, feeds);
    let device = device();
    let text = |e: wgrad::Error| e.to_string();
    let mut store = Store::new(device);
    for (decl, words) in guarded.plan.buffers.iter().zip(&guarded.before) {
        store.upload_bytes(&decl.name, bytemuck::cast_slice(words)).map_err(text)?;
    }
    let blocks: Vec<StepBlock> = steps
        .iter()
        .map(|words| {
            let mut block = StepBlock::default();
            for &(name, word) in *words {
                // Words are given as bits, and a scene's words go to plans that read some of them.
                if let Some(place) = plan.step_param(name) {
                    block.set_word(place, word)?;
                }
            }
            Ok(block)
        })
        .collect::<wgrad::Result<_>>()
        .map_err(text)?;
    let mut executor =
        Executor::new(device, Arc::new(guarded.plan.clone()), &store).map_err(text)?;
    executor.run(&blocks).map_err(text)?;
    let mut after: Vec<Vec<u32>> = Vec::new();
    for (decl, before) in guarded.plan.buffers.iter().zip(&guarded.before) {
        let bytes = block_on(store.read(&decl.name, before.len() * 4)).map_err(text)?;
        after.push(bytemuck::pod_collect_to_vec(&bytes));
    }
    guarded.check(plan, steps, &after)?;
    let outputs = plan.outputs.iter().map(|o| {
        let first = (o.region.offset + GUARD) as usize / 4;
        let words = &after[o.region.buffer][first..];
        let bytes: &[u8] = &bytemuck::cast_slice(words)[..o.shape.len() * o.dtype.size()];
        let data = match o.dtype {
            DType::F32 => Data::F32(bytemuck::pod_collect_to_vec(bytes)),
            DType::U32 => Data::U32(bytemuck::pod_collect_to_vec(bytes)),
            DType::U8 => Data::U8(bytes.to_vec()),
            other => panic!("{other:?}"),
        };
        (o.name.clone(), Tensor::new(o.shape.clone(), data).expect("an output's own shape"))
    });
    let state = |(i, decl): (usize, &wgrad::plan::BufferDecl)| {
        let words = &after[i][GUARD as usize / 4..][..guarded.lengths[i] / 4];
        (decl.class == BufferClass::State)
            .then(|| (decl.name.clone(), bytemuck::cast_slice(words).to_vec()))
    };
    let states = plan.buffers.iter().enumerate().filter_map(state).collect();
    Ok(Ran { outputs: outputs.collect(), states })
}

/// A rewritten plan, and what its buffers hold before the run.
struct Guarded {
    plan: Plan,
    before: Vec<Vec<u32>>,
    /// Bytes of the content of each buffer.
    lengths: Vec<usize>,
}

impl Guarded {
    fn new(plan: &Plan, feeds: &Feeds<'_>) -> Self {
        let mut plan = plan.clone();
        // SAFETY: every region moves by as much as its buffer grows and stays inside it, so that a kernel's stray
        // writes hit guard words.
        let new = unsafe { plan.data_mut() };
        let (mut before, mut lengths) = (Vec::new(), Vec::new());
        for (i, decl) in new.buffers.iter_mut().enumerate() {
            let external = matches!(decl.class, BufferClass::Input | BufferClass::State);
            let feed = feeds.iter().find(|f| external && f.0 == decl.name);
            // Arenas and states start at zero, slots with any content: here with NaN.
            let constant = decl.content.take();
            let content = match (decl.class, feed) {
                (BufferClass::Constant, _) => {
                    let bytes = constant.as_ref().expect("a content").tensor().data().bytes();
                    bytemuck::pod_collect_to_vec(bytes)
                }
                (_, Some((_, tensor))) => {
                    let mut bytes = tensor.data().bytes().to_vec();
                    bytes.resize(bytes.len().next_multiple_of(4), 0);
                    bytemuck::pod_collect_to_vec(&bytes)
                }
                (BufferClass::Input, None) => panic!("input `{}` is not fed", decl.name),
                (BufferClass::Activation, None) => vec![pattern(i); decl.bytes as usize / 4],
                (_, None) => vec![0; decl.bytes as usize / 4],
            };
            assert!(content.len() * 4 <= decl.bytes as usize, "feed `{}` is too long", decl.name);
            let guard = GUARD as usize / 4;
            let mut words = vec![pattern(i); decl.bytes as usize / 4 + 2 * guard];
            words[guard..][..content.len()].copy_from_slice(&content);
            before.push(words);
            lengths.push(content.len() * 4);
            decl.bytes += 2 * GUARD;
            decl.name = format!("b{i}");
            if decl.class != BufferClass::Input {
                decl.class = BufferClass::State;
            }
        }
        let sizes: Vec<u64> = new.buffers.iter().map(|b| b.bytes).collect();
        let shift = |region: &mut Region| {
            region.offset += GUARD;
            // A region that moves would reach past the buffer in its last slot.
            if !region.moves() {
                region.bytes = (region.bytes + GUARD).min(sizes[region.buffer] - region.offset);
            }
        };
        for dispatch in &mut new.dispatches {
            let bytes: Vec<u64> = dispatch.bindings.iter().map(|b| b.0.bytes).collect();
            dispatch.bindings.iter_mut().for_each(|b| shift(&mut b.0));
            // What holds a kernel from outside is the end of the region.
            if dispatch.call.text.is_some() {
                dispatch.bindings.iter_mut().zip(bytes).for_each(|(b, bytes)| b.0.bytes = bytes);
            }
        }
        Self { plan, before, lengths }
    }

    /// Fails if a word changed that no kernel may write.
    fn check(&self, plan: &Plan, steps: &[&Words<'_>], after: &[Vec<u32>]) -> Result<(), String> {
        for (i, (before, after)) in self.before.iter().zip(after).enumerate() {
            let mut writable = vec![false; before.len()];
            for range in self.writable(plan, steps, i) {
                writable[range].fill(true);
            }
            let changed = |w: &usize| !writable[*w] && before[*w] != after[*w];
            if let Some(w) = (0..before.len()).find(changed) {
                let name = &plan.buffers[i].name;
                let at = w as i64 * 4 - GUARD as i64;
                return Err(format!(
                    "guard: byte {at} of `{name}` ({} bytes) became {:#x}",
                    plan.buffers[i].bytes, after[w]
                ));
            }
        }
        Ok(())
    }

    /// The words of a buffer that kernels may write.
    fn writable(&self, plan: &Plan, steps: &[&Words<'_>], buffer: usize) -> Vec<Range<usize>> {
        let mut written: Vec<(&Region, Vec<i64>)> = Vec::new();
        for (i, dispatch) in plan.dispatches.iter().enumerate() {
            // In a loop another buffer may be in this one's place, and a region moves.
            let placed = |b: usize| {
                let loops = plan.loops_of(i);
                let mut swaps = loops.iter().flat_map(|repeat| &repeat.swaps);
                b == buffer || swaps.any(|swap| swap.contains(&b) && swap.contains(&buffer))
            };
            let launches = || plan.order().filter(|launch| launch.dispatch == i);
            for (r, access) in &dispatch.bindings {
                if placed(r.buffer) && *access == Access::ReadWrite {
                    written.push((r, launches().map(|l| r.moved(&l.iterations)).collect()));
                }
            }
        }
        let end = self.lengths[buffer];
        // Each step's word sets the place of a region that moves.
        let moved = |r: &Region| -> Vec<u64> {
            let Some(place) = r.step_offset else { return vec![0] };
            let name = &plan.step_params[place.word].name;
            let word = |words: &&Words<'_>| words.iter().find(|w| w.0 == name).map_or(0, |w| w.1);
            steps.iter().map(|words| u64::from(word(words)) * place.stride).collect()
        };
        let range = |r: &Region, moved: i64| {
            // An output that owns its region ends at its last element; others at the next 16 bytes.
            let alone = written.iter().filter(|(other, _)| *other == r).count() == 1;
            let output = plan.outputs.iter().find(|o| alone && o.region == *r);
            let bytes = output.map_or(r.bytes as usize, |o| o.shape.len() * o.dtype.size());
            let first = (r.offset as i64 + moved) as usize;
            let last = (first + bytes).min(end.max(first));
            (first + GUARD as usize) / 4..(last + GUARD as usize).div_ceil(4)
        };
        let places = |r: &Region, loops: &[i64]| -> Vec<i64> {
            let steps = moved(r);
            loops.iter().flat_map(|&l| steps.iter().map(move |&s| s as i64 + l)).collect()
        };
        let ranges = written.iter().flat_map(|(r, loops)| {
            places(r, loops).into_iter().map(|m| range(r, m)).collect::<Vec<_>>()
        });
        ranges.collect()
    }
}

/// A tensor for an operand, from `seed`.
pub fn draw(sample: &Sample, seed: u32) -> Tensor {
    let (low, high) = sample.domain;
    let mut x = uniform(seed, sample.shape.len(), low, high);
    if sample.whole {
        x.iter_mut().for_each(|v| *v = v.floor());
    }
    let data = match sample.dtype {
        DType::F32 => Data::F32(x),
        DType::U32 => Data::U32(x.iter().map(|&v| v as u32).collect()),
        DType::U8 => Data::U8(x.iter().map(|&v| v as u8).collect()),
        other => panic!("{other:?}"),
    };
    Tensor::new(sample.shape.clone(), data).expect("as many elements as the shape has")
}

/// The operands of a case, the same each time.
pub fn operands(case: &Case) -> Vec<Tensor> {
    let name = case.to_string();
    let hash = name.bytes().fold(17u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    let inputs = case.inputs.iter().zip(0..);
    inputs.map(|(sample, i)| draw(sample, hash.wrapping_add(i))).collect()
}

/// Operands under the names that [`Case::graph`] gives them.
pub fn feeds(operands: &[Tensor]) -> Vec<(String, Tensor)> {
    operands.iter().enumerate().map(|(i, t)| (format!("in{i}"), t.clone())).collect()
}

/// The elements of a tensor in f64.
pub fn wide(tensor: &Tensor) -> Vec<f64> {
    match tensor.data() {
        Data::F32(v) => v.iter().map(|&v| f64::from(v)).collect(),
        Data::U32(v) => v.iter().map(|&v| f64::from(v)).collect(),
        Data::U8(v) => v.iter().map(|&v| f64::from(v)).collect(),
        other => panic!("{:?}", other.dtype()),
    }
}

/// Runs a case on these operands under `caps`.
#[track_caller]
pub fn run_case(case: &Case, operands: &[Tensor], passes: &Passes, caps: &DeviceCaps) -> Ran {
    let (graph, ..) = case.graph().unwrap_or_else(|e| panic!("{case}: {e}"));
    let named = feeds(operands);
    let feeds: Vec<(&str, Tensor)> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    execute(&graph, passes, caps, &feeds, &[&case.words])
}

/// Runs a case on every family and compares every result with the oracle's.
#[track_caller]
pub fn check_case_on(case: &Case, operands: &[Tensor], tolerance: (f64, f64)) {
    compare_case(case, operands, tolerance, &families());
}

#[track_caller]
fn compare_case(
    case: &Case,
    operands: &[Tensor],
    (rtol, atol): (f64, f64),
    families: &[DeviceCaps],
) {
    let inputs: Vec<Vec<f64>> = operands.iter().map(wide).collect();
    let want = oracle::results(case, &inputs);
    for caps in families {
        let ran = run_case(case, operands, &Passes::default(), caps);
        assert_eq!(ran.outputs.len(), want.len(), "{case}: results");
        for (i, want) in want.iter().enumerate() {
            let name = format!("{case} out{i}, {:?}", caps.matmul);
            compare(&name, &ran.f32(&format!("out{i}")), want, rtol, atol)
                .unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

/// As [`check_case`], under these capabilities.
#[track_caller]
pub fn check_case_under(case: &Case, families: &[DeviceCaps]) {
    compare_case(case, &operands(case), oracle::tolerance(case), families);
}

/// As [`check_case_on`], on the case's own operands and tolerance.
#[track_caller]
pub fn check_case(case: &Case) {
    check_case_on(case, &operands(case), oracle::tolerance(case));
}

/// Whether this device's own function of this name gives NaN for NaN. WGSL does not ask it to.
pub fn keeps_nan(builtin: &str) -> bool {
    let case = Case::unary(row(builtin).expect("a row of the table"), &[1], &[]);
    let x = [Tensor::f32([1], vec![f32::NAN]).expect("right length")];
    run_case(&case, &x, &Passes::default(), &families()[0]).f32("out0")[0].is_nan()
}
