//! Divisions of integers in the loops of a kernel.

use super::{cards, devices, gradient_graph, kernels, validated};
use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{Block, Expression, Handle, Module, Statement};
use std::collections::BTreeSet;
use wgrad::graph::Window;
use wgrad::kernels::DeviceCaps;
use wgrad::ops::registry::Case;

/// Divisions of integers by what is no constant, in the loops of a block and in all that they call: a processor takes
/// longer for each than for several products.
fn divisions(module: &Module, info: &ModuleInfo, at: Place<'_>, block: &Block) -> usize {
    let Place { function, types, fixed, looped } = at;
    let within = |block: &Block, looped| divisions(module, info, Place { looped, ..at }, block);
    let divides = |handle: Handle<Expression>| {
        let Expression::Binary { op, right, .. } = function.expressions[handle] else {
            return false;
        };
        use naga::{BinaryOperator as Op, ScalarKind as Kind};
        let kind = types[handle].ty.inner_with(&module.types).scalar_kind();
        matches!(op, Op::Divide | Op::Modulo)
            && matches!(kind, Some(Kind::Sint | Kind::Uint))
            && !is_constant(function, fixed, right)
    };
    let of = |statement: &Statement| match statement {
        Statement::Emit(range) if looped => range.clone().filter(|h| divides(*h)).count(),
        Statement::Block(block) => within(block, looped),
        Statement::If { accept, reject, .. } => within(accept, looped) + within(reject, looped),
        Statement::Switch { cases, .. } => cases.iter().map(|c| within(&c.body, looped)).sum(),
        Statement::Loop { body, continuing, .. } => within(body, true) + within(continuing, true),
        Statement::Call { function: name, arguments, .. } => {
            let (called, types) = (&module.functions[*name], &info[*name]);
            let fixed: Vec<bool> =
                arguments.iter().map(|&value| is_constant(function, fixed, value)).collect();
            let place = Place { function: called, types, fixed: &fixed, looped };
            divisions(module, info, place, &called.body)
        }
        _ => 0,
    };
    block.iter().map(of).sum()
}

/// Whether a value is a constant, or made of one that the caller hands over.
fn is_constant(function: &naga::Function, fixed: &[bool], value: Handle<Expression>) -> bool {
    let whole = |value: &Handle<Expression>| is_constant(function, fixed, *value);
    match &function.expressions[value] {
        Expression::Literal(_) | Expression::Constant(_) => true,
        Expression::FunctionArgument(nth) => fixed.get(*nth as usize).is_some_and(|own| *own),
        Expression::AccessIndex { base: value, .. }
        | Expression::Splat { value, .. }
        | Expression::As { expr: value, .. } => whole(value),
        Expression::Compose { components, .. } => components.iter().all(whole),
        _ => false,
    }
}

/// Where a block is: in which function, which of its arguments are constants, and whether in a loop.
#[derive(Clone, Copy)]
struct Place<'a> {
    function: &'a naga::Function,
    types: &'a FunctionInfo,
    fixed: &'a [bool],
    looped: bool,
}

/// [`divisions`] of an entry point.
fn divisions_in_loops(source: &str, caps: &DeviceCaps) -> usize {
    let (module, info) = validated(source, caps).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let function = &module.entry_points[0].function;
    let place = Place { function, types: info.get_entry_point(0), fixed: &[], looped: false };
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
        let mut kernels = kernels(&caps, &graphs.collect::<Vec<_>>());
        kernels.retain(|_, call| call.name().starts_with("matmul/"));
        let gathers = kernels.keys().filter(|text| text.contains("fn a_terms")).count();
        assert!(gathers > 5, "{gathers} of {} kernels gather", kernels.len());
        for (source, call) in &kernels {
            assert_eq!(divisions_in_loops(source, &caps), 0, "{}\n{source}", call.name());
        }
    }
}

/// Sizes of windows are constants, and a division by a constant is a product.
#[test]
fn no_window_of_pooling_or_of_a_depthwise_convolution_divides_in_its_loops() {
    let slides = |op: &str| op.contains("pool") || op.starts_with("depthwise");
    let cases = cards().into_iter().flat_map(|card| card.cases).filter(|case| slides(case.op));
    let graphs: Vec<_> = cases.map(|case| case.graph().expect("a graph").0).collect();
    let caps = &devices()[0];
    let mut kernels = kernels(caps, &graphs);
    kernels.retain(|_, call| call.name().starts_with("window/"));
    let names: BTreeSet<String> = kernels.values().map(|call| call.name().to_owned()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    for (source, call) in &kernels {
        assert_eq!(divisions_in_loops(source, caps), 0, "{}\n{source}", call.name());
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
    assert_eq!(count("", "sum += called(i, 3u);"), 0);
    assert_eq!(count("", "sum += (vec2<u32>(i) / vec2<u32>(n)).x;"), 1);
    assert_eq!(count("", "sum += (vec2<u32>(i) / vec2<u32>(3u, n)).x;"), 1);
    assert_eq!(count("", "sum += i / n + u32(i32(i) % i32(n));"), 2);
}
