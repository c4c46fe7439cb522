//! Kernels from outside of the library that cannot run: refused when the graph is built or the model compiled.

use super::*;
use wgrad::autodiff::gradients;
use wgrad::gpu::{Executor, Store};
use wgrad::graph::{Graph, TensorType};
use wgrad::layers::Lambda;
use wgrad::ops::CustomKernel;
use wgrad::passes::Passes;
use wgrad::plan::Plan;

const COPY: &str = "@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x < x_len { y[id.x] = x[id.x]; }
}";

fn copy(text: &str) -> CustomKernel {
    CustomKernel::new("copy", text).input("x").output("y", TensorType::f32([1, 4]))
}

fn built(kernel: &CustomKernel) -> Result<Graph> {
    let mut g = Graph::new();
    let x = g.input("x", [1, 4], DType::F32);
    let y = g.kernel(kernel, &[x])?[0];
    g.output("y", y);
    Ok(g)
}

/// What the device says of a kernel of this text.
fn ran(text: &str) -> Result<Executor> {
    let device = support::device();
    let plan = Plan::compile(&built(&copy(text))?, &Passes::default(), device.caps())?;
    let mut store = Store::new(device);
    store.upload("x", &floats([1, 4]))?;
    Executor::new(device, plan.into(), &store)
}

#[test]
fn text_that_does_not_compile_names_kernel_and_line() {
    ran(COPY).unwrap();
    // The words, and the line as the author counts.
    let wrong = [
        ("x_len {", "x_len", "3:"),
        ("= x[id.x]", "= x[id.x] +", "3:"),
        // Another type than that of the tensor.
        ("= x[id.x]", "= u32(x[id.x])", "3:"),
        // A tensor that the kernel was not given.
        ("= x[id.x]", "= x[id.x] + z[id.x]", "3:"),
        ("y[id.x] =", "x[id.x] = y[id.x]; y[id.x] =", "3:"),
    ];
    for (from, to, line) in wrong {
        refused!(
            ran(&COPY.replace(from, to)),
            Error::Gpu { .. },
            "compiling the kernel `copy`",
            line,
            "var<storage, read> x: array<f32, 4>"
        );
    }
    for (from, to) in [("64", "100000"), ("@workgroup_size(64)", ""), ("fn main", "fn start")] {
        refused!(ran(&COPY.replace(from, to)), Error::Gpu { .. }, "compiling the kernel `copy`");
    }
    // The device is whole.
    ran(COPY).unwrap();
}

#[test]
fn what_binds_wrongly_is_refused_when_the_graph_is_built() {
    built(&copy(COPY)).unwrap();
    let declared = format!("@group(0) @binding(0) var<storage> x: array<f32>;\n{COPY}");
    refused!(built(&copy(&declared)), Error::Parameter { .. }, "kernel `copy`", "binding");
    let commented = format!("// @group(0) @binding(0)\n/* @binding */ {COPY}");
    built(&copy(&commented)).unwrap();
    // The words alone are names as any other.
    let named = COPY.replace("{", "{ let group = 1u; var binding = group; binding += group;");
    ran(&named).unwrap();
    let spaced = format!("@ /* 0 */\ngroup(0) @binding(0) var<storage> x: array<f32>;\n{COPY}");
    refused!(built(&copy(&spaced)), Error::Parameter { .. }, "kernel `copy`", "@binding");
    let alone = format!("@ /* 0 */\ngroup(0) var<storage> x: array<f32>;\n{COPY}");
    refused!(built(&copy(&alone)), Error::Parameter { .. }, "kernel `copy`", "@group");
    let ty = || TensorType::f32([1, 4]);
    let wrong: [(CustomKernel, &str); 7] = [
        (copy(COPY).output("z", ty()), "does not use it"),
        (copy(COPY).param("scale", 1.0f32), "does not use it"),
        (copy(COPY).output("x", ty()), "taken"),
        (copy(COPY).output("1y", ty()), "begins with a letter"),
        (copy(COPY).workgroups([1, 0, 1]), "at least 1"),
        (CustomKernel::new("copy", COPY).input("x"), "CustomKernel::output"),
        ((0..7).fold(copy(COPY), |k, i| k.output(format!("y{i}"), ty())), "at most 8 tensors"),
    ];
    for (kernel, words) in wrong {
        refused!(built(&kernel), Error::Parameter { .. }, "kernel `copy`", words);
    }
    let mut g = Graph::new();
    let x = g.input("x", [1, 4], DType::F32);
    refused!(g.kernel(&copy(COPY), &[x, x]), Error::Parameter { .. }, "copy", "2", "inputs: x");
    let bytes = g.input("bytes", [1, 4], DType::U8);
    refused!(g.kernel(&copy(COPY), &[bytes]), Error::DType { .. }, "copy", "u8");
}

#[test]
fn grids_over_the_limit_are_refused() {
    let device = support::device();
    let graph = built(&copy(COPY).workgroups([1, u32::MAX, 1])).unwrap();
    let plan = Plan::compile(&graph, &Passes::default(), device.caps());
    refused!(plan, Error::Limit { .. }, "kernel `copy`", "workgroups", "4294967295");
}

#[test]
fn a_missing_gradient_is_refused() {
    let gradient = |kernel: &CustomKernel| {
        let mut g = Graph::new();
        let x = g.input("x", [1, 4], DType::F32);
        let y = g.kernel(kernel, &[x])?[0];
        let loss = g.sum(y, &[], false)?;
        gradients(&mut g, loss, &[x])
    };
    let none = gradient(&copy(COPY));
    refused!(none, Error::NotDifferentiable { .. }, "kernel `copy`", "CustomKernel::gradient");
    let other = copy(COPY).gradient(COPY, [1, 1, 1]);
    refused!(gradient(&other), Error::NotDifferentiable { .. }, "kernel `copy`", "`d_x`");
    let right = COPY.replace("y[", "d_x[").replace("= x[", "= d_y[");
    gradient(&copy(COPY).gradient(right, [1, 1, 1])).unwrap();
}

/// A model is refused when it is compiled, before anything is trained.
#[test]
fn a_model_with_a_wrong_kernel_is_refused_by_compile() {
    let model = |text: &'static str, back: &'static str| {
        let clip = Lambda::new(move |g, x| {
            let kernel = CustomKernel::new("clip", text)
                .input("x")
                .output("y", g.ty(x[0]).clone())
                .gradient(back, [1, 1, 1]);
            Ok(g.kernel(&kernel, &[x[0]])?[0])
        });
        Sequential::new([4]).add(Dense::new(3)).add(clip.named("clip")).add(Dense::new(3))
    };
    let back = "@compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3u) {
            if id.x < x_len { d_x[id.x] = d_y[id.x]; }
        }";
    trainer(&model(COPY, back));
    let wrong = "@compute @workgroup_size(64) fn main() { y[0] = x[0] * true; }";
    let error = compile(&model(wrong, back), Sgd::default(), SPARSE);
    refused!(error, Error::Gpu { .. }, "layer `clip`", "kernel `clip`");
    let wrong = "@compute @workgroup_size(64) fn main() { d_x[0] = d_y[0] * true; }";
    let error = compile(&model(COPY, wrong), Sgd::default(), SPARSE);
    refused!(error, Error::Gpu { .. }, "layer `clip`", "kernel `clip`");
}
