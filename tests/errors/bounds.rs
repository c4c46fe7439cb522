//! A device that checks names the kernel from outside that uses an index past the end of a tensor, and its layer.

use super::*;
use wgrad::GpuErrorKind;
use wgrad::gpu::{Device, DeviceOptions, Executor, StepBlock, Store, block_on};
use wgrad::graph::{Graph, TensorType};
use wgrad::layers::Lambda;
use wgrad::ops::CustomKernel;
use wgrad::passes::Passes;
use wgrad::plan::Plan;

fn device(checked: bool) -> Device {
    block_on(Device::open(&DeviceOptions { checked, ..DeviceOptions::from_env().unwrap() }))
        .unwrap()
}

/// What a kernel of this body makes of [1, 1, 1, 1, 1], with `z` of 3 elements beside.
fn ran(device: &Device, body: &str) -> Result<Vec<f32>> {
    let text = format!(
        "@compute @workgroup_size(8)\nfn main(@builtin(global_invocation_id) id: vec3u) {{ {body} }}"
    );
    let mut g = Graph::new();
    let x = g.input("x", [5], DType::F32);
    let kernel = CustomKernel::new("shift", text).input("x").output("y", TensorType::f32([5]));
    let kernel = kernel
        .output("z", TensorType { dtype: DType::U32, ..TensorType::f32([3]) })
        .param("by", 2u32);
    let values = g.kernel(&kernel, &[x])?;
    g.output("y", values[0]);
    let plan = Plan::compile(&g, &Passes::default(), device.caps())?;
    let mut store = Store::new(device);
    store.upload("x", &floats([5]))?;
    let mut executor = Executor::new(device, plan.into(), &store)?;
    executor.run(&[StepBlock::default()])?;
    Ok(block_on(executor.read("y"))?.as_f32()?.to_vec())
}

const RIGHT: &str =
    "if id.x < 5 { y[id.x] = x[id.x] + f32(params.by); } if id.x < 3 { z[id.x] = id.x; }";

#[test]
fn an_index_past_the_end_is_named() {
    let checked = device(true);
    assert_eq!(ran(&checked, RIGHT).unwrap(), [3.0; 5]);
    let wrong = [
        // A write, a read, another tensor, and a negative index.
        ("y[id.x]", "y[id.x + params.by]", "`y` has 5 elements", "index 6"),
        ("x[id.x]", "x[4 * id.x]", "`x` has 5 elements", "index 16"),
        ("z[id.x]", "z[u32(x[0]) + id.x]", "`z` has 3 elements", "index 3"),
        ("x[id.x]", "x[i32(id.x) - 1]", "`x` has 5 elements", "index -1"),
    ];
    for (from, to, tensor, index) in wrong {
        let body = RIGHT.replace(from, to);
        let error = ran(&checked, &body).unwrap_err();
        let kind = GpuErrorKind::OutOfBounds;
        assert!(matches!(&error, Error::Gpu { kind: k, .. } if *k == kind), "{error:?}");
        says(&error, &["index out of bounds", "running the kernel `shift`", tensor, index]);
        // The control: without checks nothing is told, and the kernel is still held inside its tensors.
        ran(&device(false), &body).unwrap();
    }
    // The device is whole, and the fault is forgotten.
    assert_eq!(ran(&checked, RIGHT).unwrap(), [3.0; 5]);
}

/// x twice, by a kernel whose gradient has this body.
fn model(body: &'static str) -> Sequential {
    let twice = Lambda::new(move |g, x| {
        let text =
            "@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
            if id.x < x_len { y[id.x] = 2.0 * x[id.x]; }
        }";
        let gradient = format!(
            "@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {{ {body} }}"
        );
        let kernel = CustomKernel::new("twice", text)
            .input("x")
            .output("y", g.ty(x[0]).clone())
            .gradient(gradient, [1, 1, 1]);
        Ok(g.kernel(&kernel, &[x[0]])?[0])
    });
    Sequential::new([4]).add(Dense::new(3)).add(twice.named("doubled")).add(Dense::new(3))
}

#[test]
fn training_names_the_layer_whose_gradient_writes_past_the_end() {
    let checked = device(true);
    let fit = |body| {
        let compile = Compile::new(Sgd::new(0.1), SPARSE);
        let mut trainer = model(body).compile(&checked, compile)?;
        trainer.fit(&classes(6, 4), Fit::new().batch_size(3).verbose(Verbose::Silent))
    };
    fit("if id.x < d_x_len { d_x[id.x] = 2.0 * d_y[id.x]; }").unwrap();
    // The grid is larger than the tensor of 9 elements: what is past its end is missing in the condition.
    let error = fit("d_x[id.x] = 2.0 * d_y[id.x];").unwrap_err();
    says(
        &error,
        &["layer `doubled`", "kernel `twice_gradient`", "`d_x` has 9 elements", "index 63"],
    );
    says(&error, &["`d_y` has 9 elements", "NAME_len"]);
}
