//! Every kernel that the registry's cases, their gradients and 200 random chains launch, under several
//! devices' capabilities and in every tile: it validates, it translates to SPIR-V, MSL and HLSL as wgpu translates it,
//! spirv-val accepts some of each template if that is installed, it keeps the limits that every
//! WebGPU device has, and its bindings and uniform block are what the host binds. Needs no adapter.

#[allow(dead_code, reason = "only the graphs are needed here, not their values")]
#[path = "ops/dags.rs"]
mod dags;
#[path = "shaders/declared.rs"]
mod declared;
#[path = "shaders/divisions.rs"]
mod divisions;
#[path = "ops/readers.rs"]
mod readers;
mod reference;
mod translate;
#[path = "ops/viewed.rs"]
mod viewed;

use dags::Dag;
use declared::{bindings_match, layout_matches, within_limits};
use naga::Module;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use std::collections::{HashMap, HashSet};
use translate::{translate, validator};
use wgrad::autodiff::gradients;
use wgrad::graph::{Graph, Value};
use wgrad::kernels::{
    Define, DeviceCaps, KernelCall, MatmulFamily, MatmulRule, MatmulTile, MeasuredRule, Template,
    preprocess,
};
use wgrad::ops::registry::{Card, Case, Gradient, cards};
use wgrad::ops::table::{ROWS, Row};
use wgrad::ops::{Loop, Looped};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::DType;

/// Capabilities of a device without subgroups, of software Vulkan with eight lanes, of a GPU with subgroups of 32, and of a
/// CPU in a browser.
fn devices() -> [DeviceCaps; 4] {
    let plain = DeviceCaps::webgpu_defaults();
    let cpu = DeviceCaps {
        cpu: true,
        subgroup: Some((8, 8)),
        wide_words: true,
        max_loop_trips: 65_535,
        matmul: MatmulFamily::Broadcast,
        ..plain.clone()
    };
    let gpu = DeviceCaps {
        subgroup: Some((32, 32)),
        max_invocations: 1024,
        max_workgroup_memory: 48 << 10,
        ..plain.clone()
    };
    let browser = DeviceCaps {
        cpu: true,
        max_loop_trips: 65_535,
        matmul: MatmulFamily::Direct,
        ..plain.clone()
    };
    [plain, cpu, gpu, browser]
}

/// Those of software Vulkan with other lanes, with the other family of products, and of drivers on which 64-bit words were
/// not measured.
fn other_lanes() -> [DeviceCaps; 7] {
    let [_, cpu, ..] = devices();
    let (shuffles, direct) = (MatmulFamily::Broadcast, MatmulFamily::Direct);
    let lanes = [
        (4, shuffles, true),
        (4, direct, true),
        (8, direct, true),
        (16, shuffles, true),
        (16, direct, true),
        (4, shuffles, false),
        (8, shuffles, false),
    ];
    lanes.map(|(lanes, matmul, wide_words)| DeviceCaps {
        subgroup: Some((lanes, lanes)),
        matmul,
        wide_words,
        ..cpu.clone()
    })
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
    graphs.extend(tall_products());
    let of_bytes = |(name, reader)| {
        [3, 8].map(|width| readers::graph(reader, width).unwrap_or_else(|e| panic!("{name}: {e}")))
    };
    graphs.extend(readers::READERS.into_iter().flat_map(of_bytes));
    graphs
}

/// Products that fill the tallest tile, in every form: of fewer rows a tile is less tall.
fn tall_products() -> Vec<Graph> {
    let forms = [[false, false], [true, false], [false, true], [true, true]];
    let product = |form, k| Case::matmul(&[], [64, 64, k], form, false).graph().expect("a graph").0;
    forms.iter().flat_map(|&form| [product(form, 8), product(form, 9)]).collect()
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

/// Every distinct kernel of a device for these graphs, by its text: products in every tile that it runs.
fn kernels(caps: &DeviceCaps, graphs: &[Graph]) -> HashMap<String, KernelCall> {
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
                    Plan::compile(graph, &passes, caps).unwrap_or_else(|e| panic!("{e}\n{graph}"));
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

/// Checks kernels, on several threads. `spirv-val` is a program that is started for each module, so it sees the first kernel
/// of each template, and one in sixteen of all.
fn check_each(kernels: &HashMap<String, KernelCall>, caps: &DeviceCaps, spirv: bool) {
    let mut kernels: Vec<_> = kernels.iter().collect();
    kernels.sort_by_key(|(source, call)| (call.name(), *source));
    let names: Vec<String> = kernels.iter().map(|(_, call)| call.name().to_owned()).collect();
    let seen = |i: usize| i.is_multiple_of(16) || names[i] != names[i - 1];
    let kernels: Vec<_> = (0..).zip(kernels).map(|(i, k)| (k, spirv && seen(i))).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in kernels.chunks(kernels.len().div_ceil(threads).max(1)) {
            scope.spawn(move || {
                for &((source, call), spirv) in part {
                    let checked = check(source, call, caps, spirv);
                    checked.unwrap_or_else(|e| panic!("{}: {e}\n{source}", call.name()));
                }
            });
        }
    });
}

fn check_all(caps: &DeviceCaps) {
    let kernels = kernels(caps, &graphs());
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
    let other_attention = match caps.cpu {
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

/// The kernels that depend on the lanes: products, rows, attention and recurrences.
#[test]
fn software_vulkan_of_other_lanes() {
    let (spirv, graphs) = (validator(), graphs());
    let mut seen = HashSet::new();
    for caps in other_lanes() {
        let mut kernels = kernels(&caps, &graphs);
        kernels.retain(|_, call| call.defines.iter().any(|d| ["LANES", "SUBGROUP"].contains(&d.0)));
        for name in ["matmul/broadcast", "attention/broadcast", "recurrent/forward", "reduce/rows"]
        {
            let found = kernels.values().any(|call| call.name() == name);
            assert!(found, "{} lanes, {:?}: no {name}", caps.lanes(), caps.matmul);
        }
        kernels.retain(|source, _| seen.insert(source.clone()));
        check_each(&kernels, &caps, spirv);
    }
}

/// The tile of a product's kernel, by its definitions, and its lanes.
fn tile_of(call: &KernelCall) -> Option<(u32, MatmulTile)> {
    let number = |name| match call.defines.iter().find(|d| d.0 == name)?.1 {
        Define::Int(value) => u32::try_from(value).ok(),
        Define::Text(_) => None,
    };
    let lanes = number("LANES")?;
    let (family, rows, columns) = match call.name() {
        "matmul/tiled" => (MatmulFamily::Tiled, number("TILE")?, number("TILE")?),
        "matmul/broadcast" => {
            let shuffles = number("SHUFFLE")? == 1;
            let family = if shuffles { MatmulFamily::Broadcast } else { MatmulFamily::Direct };
            (family, number("TM")?, 4 * lanes * number("T4")?)
        }
        _ => return None,
    };
    Some((lanes, MatmulTile { family, rows, columns }))
}

/// Every tile that there is, and each that was measured with the lanes for which it is chosen, is among the kernels that
/// are translated.
#[test]
fn every_tile_is_among_the_kernels() {
    let (graphs, mut seen) = (tall_products(), HashSet::new());
    for caps in devices().into_iter().chain(other_lanes()) {
        seen.extend(kernels(&caps, &graphs).values().filter_map(tile_of));
    }
    for tile in MatmulTile::ALL {
        assert!(seen.iter().any(|(_, other)| *other == tile), "{tile} is translated nowhere");
    }
    let table = include_str!("../src/kernels/measured.txt").lines();
    let rows: Vec<MeasuredRule> = table.filter_map(|line| line.parse().ok()).collect();
    assert!(rows.len() > 20, "only {} measured rows", rows.len());
    for row in rows {
        assert!(seen.contains(&(row.lanes, row.rule.tile)), "{row} is translated nowhere");
    }
    // The control: no device has so many rows.
    assert!(
        !seen.contains(&(8, MatmulTile { family: MatmulFamily::Direct, rows: 64, columns: 64 }))
    );
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
/// a text each, and a file beside it with the template, the access of its bindings, the further uniform blocks and the device's
/// workgroup memory.
#[test]
fn kernels_of_a_browser_are_written_where_asked() {
    let Some(folder) = std::env::var_os("WGRAD_SHADERS").map(std::path::PathBuf::from) else {
        return;
    };
    let (graphs, mut seen) = (graphs(), HashSet::new());
    // Other lanes are taken in no browser today: its sizes of subgroups count only with subgroup operations, and wgpu asks for
    // none there. Their kernels are read all the same.
    for (device, caps) in devices().into_iter().chain(other_lanes()).enumerate() {
        // 64-bit words exist in no browser.
        let caps = DeviceCaps { wide_words: false, ..caps };
        for (text, call) in kernels(&caps, &graphs) {
            if !seen.insert(text.clone()) {
                continue;
            }
            let access = call.binds.iter().map(|b| format!("{:?}", b.access()));
            let about = format!(
                "{}\n{}\n{} {}\n{}\n",
                call.name(),
                access.collect::<Vec<_>>().join(","),
                call.step,
                call.iteration(),
                caps.max_workgroup_memory
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

/// A text with one part in place of another, which it must have.
fn replaced(source: &str, from: &str, to: &str) -> String {
    let wrong = source.replace(from, to);
    assert_ne!(wrong, source, "nothing to replace: {from}");
    wrong
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
        let wrong = replaced(&source, from, to);
        assert!(check(&wrong, &call, caps, false).is_err(), "accepted {to}");
    }
}

#[test]
fn what_passes_a_limit_is_noticed() {
    let (source, _) = example("reduce/rows");
    let caps = &devices()[0];
    let limits = |source: &str| within_limits(&validated(source, caps).unwrap().0, caps);
    assert_eq!(limits(&source), Ok(()));
    for (from, to) in [
        ("@workgroup_size(32)", "@workgroup_size(1, 1, 65)"),
        ("@workgroup_size(32)", "@workgroup_size(257)"),
        ("pad1: u32,", "pad1: u32, more: array<vec4<u32>, 4096>,"),
        ("array<f32, 64>", "array<f32, 8192>"),
    ] {
        let wrong = replaced(&source, from, to);
        assert!(limits(&wrong).is_err(), "accepted {to}");
    }
}

#[test]
fn subgroup_operations_need_the_capability() {
    let source = "@compute @workgroup_size(8) fn main() { let x = subgroupAdd(1.0); }";
    let [plain, cpu, ..] = devices();
    assert!(validated(source, &plain).is_err());
    assert!(validated(source, &cpu).is_ok());
}
