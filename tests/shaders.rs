//! Every kernel that the registry's cases, their gradients and 200 random chains launch, under several
//! devices' capabilities and in every tile: it validates, it translates to SPIR-V, MSL and HLSL as wgpu translates it,
//! spirv-val accepts it if that is installed, it keeps the limits that every
//! WebGPU device has, and its bindings and uniform block are what the host binds. Needs no adapter.

#[allow(dead_code, reason = "only the graphs are needed here, not their values")]
#[path = "ops/dags.rs"]
mod dags;
mod reference;
mod translate;
#[path = "ops/viewed.rs"]
mod viewed;

use dags::Dag;
use naga::valid::{Capabilities, FunctionInfo, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Block, Expression, Handle, Module, Statement, StorageAccess, TypeInner};
use std::collections::HashMap;
use translate::{translate, validator};
use wgrad::autodiff::gradients;
use wgrad::graph::{Graph, Value, Window};
use wgrad::kernels::{
    Access, DeviceCaps, KernelCall, MatmulFamily, MatmulRule, MatmulTile, ParamBlock, Template,
    preprocess,
};
use wgrad::ops::registry::{Card, Case, Gradient, cards};
use wgrad::ops::table::{ROWS, Row};
use wgrad::ops::{Loop, Looped};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::DType;

/// Capabilities of a device without subgroups, of software Vulkan with eight lanes, of a GPU with subgroups of 32, of a CPU
/// in a browser, and of software Vulkan with 4 and 16 lanes.
fn devices() -> [DeviceCaps; 6] {
    let plain = DeviceCaps::webgpu_defaults();
    let cpu = DeviceCaps {
        cpu: true,
        subgroup: Some((8, 8)),
        wide_words: true,
        max_loop_trips: 65_535,
        matmul: MatmulFamily::Broadcast,
        ..plain.clone()
    };
    let gpu = DeviceCaps { subgroup: Some((32, 32)), max_invocations: 1024, ..plain.clone() };
    let browser = DeviceCaps {
        cpu: true,
        max_loop_trips: 65_535,
        matmul: MatmulFamily::Direct,
        ..plain.clone()
    };
    let four = DeviceCaps { subgroup: Some((4, 4)), ..cpu.clone() };
    let sixteen =
        DeviceCaps { subgroup: Some((16, 16)), matmul: MatmulFamily::Direct, ..cpu.clone() };
    [plain, cpu, gpu, browser, four, sixteen]
}

/// The case's graph with its gradients by every f32 operand as outputs.
fn gradient_graph(case: &Case) -> wgrad::Result<Graph> {
    let (mut g, inputs, outputs) = case.graph()?;
    let shape = g.shape(outputs[0]).clone();
    let upstream = g.input("upstream", shape, DType::F32);
    let weighted = g.mul(outputs[0], upstream)?;
    let loss = g.sum(weighted, &[], false)?;
    let wrt: Vec<Value> = inputs.into_iter().filter(|&v| g.ty(v).dtype == DType::F32).collect();
    let grads = gradients(&mut g, loss, &wrt)?;
    grads.iter().enumerate().for_each(|(i, &d)| g.output(&format!("grad{i}"), d));
    Ok(g)
}

fn graphs() -> Vec<Graph> {
    let mut graphs = Vec::new();
    for card in cards() {
        for case in &card.cases {
            graphs.push(case.graph().unwrap_or_else(|e| panic!("{case}: {e}")).0);
            let partial = case.op == "gather" && case.args.len() == 1;
            if card.gradient == Gradient::Checked && !partial {
                graphs.push(gradient_graph(case).unwrap_or_else(|e| panic!("{case}: {e}")));
            }
        }
    }
    graphs.extend(DRAWING.map(|template| drawn_in_a_loop(template).expect("a loop")));
    let views = viewed::copies().into_iter().chain(viewed::windows());
    graphs.extend(views.map(|s| s.graph().unwrap_or_else(|e| panic!("{}: {e}", s.name)).0));
    let functions: Vec<&'static Row> =
        ROWS.iter().filter(|row| row.arity < 3 && row.is_by_name()).collect();
    graphs.extend((0..200).map(|seed| {
        Dag::random(seed, &functions, 12).graph().unwrap_or_else(|e| panic!("{seed}: {e}"))
    }));
    graphs
}

/// Kernels that draw random numbers in a loop.
const DRAWING: [&str; 3] = ["elementwise/map", "matmul/", "reduce/row_kernel"];

/// Dropout in a loop, in a kernel of one of [`DRAWING`].
fn drawn_in_a_loop(template: &str) -> wgrad::Result<Graph> {
    let mut g = Graph::new();
    let (h, w) = (g.input("h", [5, 7], DType::F32), g.input("w", [7, 7], DType::F32));
    let (seed, step) = (g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?);
    let what = Loop { carries: &[h], outer: &[w, seed, step], times: Some(3), ..Loop::default() };
    let result = g.scan(&what, |g, now| {
        let [w, seed, step] = now.outer[..] else { panic!("three values") };
        let x = match template {
            "matmul/" => g.matmul(now.carries[0], w)?,
            "reduce/row_kernel" => g.layer_norm(now.carries[0], None, None, 1, 1e-3)?,
            _ => now.carries[0],
        };
        let drawn = g.random_uniform([5, 7], seed, step, 1)?;
        Ok(Looped { carries: vec![g.mul(x, drawn)?], stacked: vec![] })
    })?;
    g.output("h", result.carries[0]);
    Ok(g)
}

/// Whether a graph has a product, or what becomes one.
fn has_product(graph: &Graph) -> bool {
    let text = graph.to_string();
    ["matmul", "contract", "conv"].iter().any(|name| text.contains(name))
}

/// [`kernels_of`] the graphs that are wanted.
fn kernels(caps: &DeviceCaps, wanted: &dyn Fn(&Graph) -> bool) -> HashMap<String, KernelCall> {
    kernels_of(caps, graphs().into_iter().filter(wanted))
}

/// Every distinct kernel of a device for these graphs, by its text: products in every tile that it runs.
fn kernels_of(
    caps: &DeviceCaps,
    graphs: impl Iterator<Item = Graph>,
) -> HashMap<String, KernelCall> {
    let off = Passes::none();
    let mut kernels = HashMap::new();
    let mut tiles: Vec<DeviceCaps> = vec![caps.clone()];
    for tile in MatmulTile::ALL.into_iter().filter(|t| t.family == caps.matmul && t.runs_on(caps)) {
        let tuned = vec![MatmulRule { m: 0, n: 0, work: 0, tile, fill: 0 }];
        tiles.push(DeviceCaps { tuned, ..caps.clone() });
    }
    for graph in graphs {
        for passes in [Passes::default(), off] {
            for caps in &tiles {
                let plan =
                    Plan::compile(&graph, &passes, caps).unwrap_or_else(|e| panic!("{e}\n{graph}"));
                for dispatch in plan.dispatches.iter().cloned() {
                    let text = preprocess(&dispatch.call.template, &dispatch.call.defines)
                        .unwrap_or_else(|e| panic!("{e}"));
                    kernels.insert(text, dispatch.call);
                }
                // Without a product all tiles give the same.
                if !plan.dispatches.iter().any(|d| d.call.name().starts_with("matmul/")) {
                    break;
                }
            }
        }
    }
    kernels
}

fn validated(source: &str, caps: &DeviceCaps) -> Result<(Module, ModuleInfo), String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let mut allowed = Capabilities::empty();
    allowed.set(Capabilities::SUBGROUP, caps.subgroup.is_some());
    allowed.set(Capabilities::SHADER_INT64, caps.wide_words);
    let info = Validator::new(ValidationFlags::all(), allowed).validate(&module);
    let info = info.map_err(|e| e.emit_to_string(source))?;
    Ok((module, info))
}

/// Invocations and workgroup memory within what every WebGPU device has.
fn within_limits(module: &Module, caps: &DeviceCaps) -> Result<(), String> {
    let entry = &module.entry_points[0];
    let invocations: u32 = entry.workgroup_size.iter().product();
    if invocations > caps.max_invocations {
        return Err(format!("{invocations} invocations"));
    }
    let memory: u32 = (module.global_variables.iter())
        .filter(|(_, v)| v.space == AddressSpace::WorkGroup)
        .map(|(_, v)| module.types[v.ty].inner.size(module.to_ctx()))
        .sum();
    if memory > caps.max_workgroup_memory {
        return Err(format!("{memory} bytes of workgroup memory"));
    }
    Ok(())
}

/// The storage bindings that the shader declares are those that the host binds, in access and number.
fn bindings_match(module: &Module, call: &KernelCall) -> Result<(), String> {
    let mut declared: Vec<(u32, Access)> = Vec::new();
    let mut uniforms = Vec::new();
    for (_, variable) in module.global_variables.iter() {
        let Some(binding) = variable.binding else { continue };
        match variable.space {
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                declared.push((binding.binding, Access::ReadWrite));
            }
            AddressSpace::Storage { .. } => declared.push((binding.binding, Access::Read)),
            _ => uniforms.push(binding.binding),
        }
    }
    declared.sort_by_key(|d| d.0);
    uniforms.sort_unstable();
    let bound: Vec<(u32, Access)> = (0..).zip(call.binds.iter().map(|b| b.access())).collect();
    if declared != bound {
        return Err(format!("declares {declared:?}, the host binds {bound:?}"));
    }
    let read = [(8, true), (9, call.step), (10, call.iteration())];
    let wanted: Vec<u32> = read.iter().filter(|(_, read)| *read).map(|(at, _)| *at).collect();
    if uniforms != wanted {
        return Err(format!("uniform blocks {uniforms:?}, the host binds {wanted:?}"));
    }
    Ok(())
}

/// The uniform block begins with the Rust struct's members, continues with at most `words`, and has the size of what
/// the host writes.
fn layout_matches(module: &Module, call: &KernelCall, block: &ParamBlock) -> Result<(), String> {
    let at_8 = |b: &Option<naga::ResourceBinding>| b.is_some_and(|b| b.binding == 8);
    let found = module.global_variables.iter().find(|(_, v)| at_8(&v.binding));
    let variable = found.ok_or("no uniform block at binding 8")?.1;
    let TypeInner::Struct { members, span } = &module.types[variable.ty].inner else {
        return Err("binding 8 is no struct".into());
    };
    let fields: Vec<(&str, usize)> = (members.iter())
        .map(|m| (m.name.as_deref().unwrap_or_default(), m.offset as usize))
        .collect();
    let (head, tail) = fields.split_at(block.fields.len().min(fields.len()));
    if head != block.fields {
        return Err(format!("members {head:?}, {} has {:?}", block.name, block.fields));
    }
    if !tail.is_empty() && tail != [("words", block.size)] {
        return Err(format!("members {tail:?} follow {}", block.name));
    }
    if *span as usize != call.params.len() {
        return Err(format!("a block of {span} bytes, the host writes {}", call.params.len()));
    }
    Ok(())
}

fn check(source: &str, call: &KernelCall, caps: &DeviceCaps, spirv: bool) -> Result<(), String> {
    let (module, info) = validated(source, caps)?;
    translate(&module, &info, caps, spirv)?;
    within_limits(&module, caps)?;
    bindings_match(&module, call)?;
    if call.binds.len() > caps.max_storage_buffers as usize {
        return Err(format!("{} storage buffers", call.binds.len()));
    }
    layout_matches(&module, call, call.template.block.ok_or("the template names no block")?)
}

/// Checks kernels, on several threads.
fn check_each(kernels: &HashMap<String, KernelCall>, caps: &DeviceCaps, spirv: bool) {
    let kernels: Vec<_> = kernels.iter().collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in kernels.chunks(kernels.len().div_ceil(threads).max(1)) {
            scope.spawn(move || {
                for (source, call) in part {
                    let checked = check(source, call, caps, spirv);
                    checked.unwrap_or_else(|e| panic!("{}: {e}\n{source}", call.name()));
                }
            });
        }
    });
}

fn check_all(caps: &DeviceCaps) {
    let kernels = kernels(caps, &|_| true);
    assert!(kernels.len() > 200, "only {} kernels", kernels.len());
    check_each(&kernels, caps, validator());
    for template in DRAWING {
        let numbered = |c: &&KernelCall| c.iteration() && c.name().starts_with(template);
        assert!(kernels.values().find(numbered).is_some(), "{template} draws in no loop");
    }
    let other_family = match caps.matmul {
        MatmulFamily::Tiled => "matmul/broadcast",
        MatmulFamily::Broadcast | MatmulFamily::Direct => "matmul/tiled",
    };
    let other_attention = match caps.cpu && caps.can_broadcast() {
        true => "attention/tiled",
        false => "attention/broadcast",
    };
    // Without a kernel for all steps a recurrence is a loop.
    let no_recurrence = (!caps.cpu).then_some(["recurrent/forward", "recurrent/backward"]);
    for Template { path, .. } in cards().iter().flat_map(|card| card.templates) {
        let used = kernels.values().any(|c| c.name() == *path);
        let other = [other_family, other_attention].contains(path)
            || no_recurrence.is_some_and(|paths| paths.contains(path));
        assert!(used || other, "nothing launches {path}");
    }
}

#[test]
fn a_device_with_webgpu_defaults() {
    check_all(&devices()[0]);
}

#[test]
fn software_vulkan() {
    check_all(&devices()[1]);
}

#[test]
fn a_gpu_with_subgroups() {
    check_all(&devices()[2]);
}

#[test]
fn a_cpu_in_a_browser() {
    check_all(&devices()[3]);
}

/// Products alone: all else does not depend on the lanes.
#[test]
fn software_vulkan_of_other_lanes() {
    let spirv = validator();
    for caps in &devices()[4..] {
        let mut kernels = kernels(caps, &|graph| has_product(graph));
        kernels.retain(|_, call| call.name().starts_with("matmul/"));
        assert!(kernels.len() > 20, "only {} kernels", kernels.len());
        check_each(&kernels, caps, spirv);
    }
}

/// Divisions of integers by what is no constant, in the loops of a block and in all that they call: a processor takes
/// longer for each than for several products.
fn divisions(module: &Module, info: &ModuleInfo, at: Place<'_>, block: &Block) -> usize {
    let Place { function, types, looped } = at;
    let within = |block: &Block, looped| divisions(module, info, Place { looped, ..at }, block);
    let divides = |handle: Handle<Expression>| {
        let Expression::Binary { op, right, .. } = function.expressions[handle] else {
            return false;
        };
        use naga::{BinaryOperator as Op, ScalarKind as Kind};
        let kind = types[handle].ty.inner_with(&module.types).scalar_kind();
        matches!(op, Op::Divide | Op::Modulo)
            && matches!(kind, Some(Kind::Sint | Kind::Uint))
            && !is_constant(function, right)
    };
    let of = |statement: &Statement| match statement {
        Statement::Emit(range) if looped => range.clone().filter(|h| divides(*h)).count(),
        Statement::Block(block) => within(block, looped),
        Statement::If { accept, reject, .. } => within(accept, looped) + within(reject, looped),
        Statement::Switch { cases, .. } => cases.iter().map(|c| within(&c.body, looped)).sum(),
        Statement::Loop { body, continuing, .. } => within(body, true) + within(continuing, true),
        Statement::Call { function, .. } => {
            let (called, types) = (&module.functions[*function], &info[*function]);
            divisions(module, info, Place { function: called, types, looped }, &called.body)
        }
        _ => 0,
    };
    block.iter().map(of).sum()
}

fn is_constant(function: &naga::Function, value: Handle<Expression>) -> bool {
    match &function.expressions[value] {
        Expression::Literal(_) | Expression::Constant(_) => true,
        Expression::Splat { value, .. } => is_constant(function, *value),
        Expression::Compose { components, .. } => {
            components.iter().all(|part| is_constant(function, *part))
        }
        _ => false,
    }
}

/// Where a block is: in which function, and whether in a loop.
#[derive(Clone, Copy)]
struct Place<'a> {
    function: &'a naga::Function,
    types: &'a FunctionInfo,
    looped: bool,
}

/// [`divisions`] of an entry point.
fn divisions_in_loops(source: &str, caps: &DeviceCaps) -> usize {
    let (module, info) = validated(source, caps).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let function = &module.entry_points[0].function;
    let place = Place { function, types: info.get_entry_point(0), looped: false };
    divisions(&module, &info, place, &function.body)
}

/// The digits of a term of a convolution are counted on.
#[test]
fn no_product_of_a_convolution_divides_in_its_loops() {
    let strided = Window { stride: 2, dilation: 3, before: 3, after: 3, ..Window::of(3) };
    let axes = [(strided, 9), (Window { before: 1, after: 1, ..Window::of(3) }, 5)];
    let case = |sizes| Case::convolution("convolution", sizes, &axes);
    let [tiled, broadcast, _, direct, ..] = devices();
    for caps in [tiled, broadcast, direct] {
        // With and without whole vec4s of channels, and in groups; and both gradients of each.
        let cases = [case([2, 3, 5, 1]), case([2, 4, 8, 1]), case([2, 6, 9, 3])];
        let graphs = cases.iter().map(|case| gradient_graph(case).expect("a gradient"));
        let mut kernels = kernels_of(&caps, graphs);
        kernels.retain(|_, call| call.name().starts_with("matmul/"));
        let gathers = kernels.keys().filter(|text| text.contains("fn a_terms")).count();
        assert!(gathers > 5, "{gathers} of {} kernels gather", kernels.len());
        for (source, call) in &kernels {
            assert_eq!(divisions_in_loops(source, &caps), 0, "{}\n{source}", call.name());
        }
    }
}

/// The controls: in a loop, in a call of one, and of vectors; none outside, by a constant, or of numbers with a point.
#[test]
fn a_division_in_a_loop_is_noticed() {
    let count = |before: &str, inside: &str| {
        let source = format!(
            "@group(0) @binding(0) var<storage, read_write> x: array<u32>;
            fn called(a: u32, b: u32) -> u32 {{ return a % b; }}
            @compute @workgroup_size(8) fn main() {{
                let n = x[0];
                var sum = 0u;
                {before}
                for (var i = 0u; i < n; i++) {{ if i > 3u {{ {inside} }} }}
                x[1] = sum;
            }}"
        );
        divisions_in_loops(&source, &devices()[0])
    };
    assert_eq!(count("sum += called(x[2], n) + x[2] / n;", "sum += i;"), 0);
    assert_eq!(count("", "sum += i / 3u + i % 4u + (vec2<u32>(i) / vec2<u32>(3u, 5u)).x;"), 0);
    assert_eq!(count("", "sum += u32(f32(i) / f32(n));"), 0);
    assert_eq!(count("", "sum += i / n;"), 1);
    assert_eq!(count("", "sum += called(i, n);"), 1);
    assert_eq!(count("", "sum += (vec2<u32>(i) / vec2<u32>(n)).x;"), 1);
    assert_eq!(count("", "sum += (vec2<u32>(i) / vec2<u32>(3u, n)).x;"), 1);
    assert_eq!(count("", "sum += i / n + u32(i32(i) % i32(n));"), 2);
}

/// The controls of the translation: a device without 64-bit words or subgroups, and what spirv-val must refuse.
#[test]
fn what_a_device_lacks_is_not_translated() {
    let [plain, cpu, ..] = devices();
    let source = "@compute @workgroup_size(8) fn main() { let x = subgroupAdd(1.0); }";
    let (module, info) = validated(source, &cpu).unwrap();
    assert_eq!(translate(&module, &info, &cpu, false), Ok(()));
    let refused = translate(&module, &info, &plain, false).unwrap_err();
    assert!(refused.contains("SPIR-V"), "{refused}");
    // Of words the validation alone knows.
    let source = "@group(0) @binding(0) var<storage, read_write> x: u64;
        @compute @workgroup_size(8) fn main() { x = 1lu; }";
    assert!(validated(source, &cpu).is_ok() && validated(source, &plain).is_err());
    if validator() {
        let (source, _) = example("reduce/rows");
        let (module, info) = validated(&source, &plain).unwrap();
        let mut words = translate::to_spirv(&module, &info, &plain, false, (1, 3)).unwrap();
        assert_eq!(translate::spirv_val(&words, "vulkan1.1"), Ok(()));
        words.pop();
        assert!(translate::spirv_val(&words, "vulkan1.1").is_err(), "a cut module is accepted");
    }
}

/// Writes the kernels that a browser can run into the folder `WGRAD_SHADERS`, if it is set, for `cargo xtask web --test`:
/// a text each, and a file beside it with the template, the access of its bindings and the further uniform blocks.
#[test]
fn kernels_of_a_browser_are_written_where_asked() {
    let Some(folder) = std::env::var_os("WGRAD_SHADERS").map(std::path::PathBuf::from) else {
        return;
    };
    let mut seen = std::collections::HashSet::new();
    for (device, caps) in devices().into_iter().enumerate() {
        // 64-bit words exist in no browser.
        let caps = DeviceCaps { wide_words: false, ..caps };
        for (text, call) in kernels(&caps, &|_| true) {
            if !seen.insert(text.clone()) {
                continue;
            }
            let access = call.binds.iter().map(|b| format!("{:?}", b.access()));
            let about = format!(
                "{}\n{}\n{} {}\n",
                call.name(),
                access.collect::<Vec<_>>().join(","),
                call.step,
                call.iteration()
            );
            let name = folder.join(format!("{device}-{}", seen.len()));
            std::fs::write(name.with_extension("wgsl"), text).unwrap();
            std::fs::write(name.with_extension("txt"), about).unwrap();
        }
    }
    assert!(seen.len() > 800, "only {} kernels", seen.len());
}

/// Some kernel and its text, for the controls.
fn example(template: &str) -> (String, KernelCall) {
    let named = |c: &Card| c.templates.iter().any(|t| t.path == template);
    let case = cards().into_iter().find(named).expect("a card");
    let graph = case.cases[0].graph().expect("a graph").0;
    let plan = Plan::compile(&graph, &Passes::default(), &devices()[0]).expect("a plan");
    let call = plan.dispatches[0].call.clone();
    (preprocess(&call.template, &call.defines).expect("a shader"), call)
}

#[test]
fn a_wrong_layout_is_noticed() {
    let (source, call) = example("reduce/rows");
    let caps = &devices()[0];
    assert_eq!(check(&source, &call, caps, false), Ok(()));
    for wrong in [
        source.replace("outer: u32, len: u32", "len: u32, outer: u32"),
        source.replace("pad0: u32, pad1: u32", "pad0: u32"),
        source.replace("outer: u32, len: u32", "outer: u32, @align(16) len: u32"),
        source.replace("pad1: u32,", "pad1: u32, more: vec4<u32>,"),
    ] {
        assert_ne!(wrong, source);
        assert!(check(&wrong, &call, caps, false).is_err(), "accepted\n{wrong}");
    }
}

#[test]
fn a_wrong_binding_is_noticed() {
    let (source, call) = example("reduce/rows");
    let caps = &devices()[0];
    for (from, to) in [
        ("var<storage, read> values", "var<storage, read_write> values"),
        ("@binding(1)", "@binding(2)"),
        ("@binding(8)", "@binding(7)"),
        ("@workgroup_size(32)", "@workgroup_size(512)"),
        ("array<f32, 64>", "array<f32, 8192>"),
    ] {
        let wrong = source.replace(from, to);
        assert_ne!(wrong, source, "nothing to replace: {from}");
        assert!(check(&wrong, &call, caps, false).is_err(), "accepted {to}");
    }
}

#[test]
fn subgroup_operations_need_the_capability() {
    let source = "@compute @workgroup_size(8) fn main() { let x = subgroupAdd(1.0); }";
    let [plain, cpu, ..] = devices();
    assert!(validated(source, &plain).is_err());
    assert!(validated(source, &cpu).is_ok());
}
