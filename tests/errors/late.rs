//! Errors that come late, as a browser's do: a shader that was refused leaves zeros, which are never handed out.

use super::support::device;
use super::*;
use std::sync::{Arc, OnceLock};
use wgrad::GpuErrorKind;
use wgrad::gpu::{Device, Executor, StepBlock, Store, block_on};
use wgrad::graph::{Graph, Value};
use wgrad::kernels::DeviceCaps;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::DType;

/// A device without optional features, and the same one under capabilities that say it has 64-bit words: shaders with
/// such words are refused.
fn devices() -> (Device, Device) {
    // One instance for all tests, after that of the library: drivers do not bear several that begin at the same time.
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    let wanted = device().info();
    let instance = INSTANCE.get_or_init(|| {
        wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env())
    });
    let backends = wgpu::Backends::all() - wgpu::Backends::NOOP;
    let adapters = block_on(instance.enumerate_adapters(backends));
    let adapter = adapters.into_iter().find(|a| a.get_info().name == wanted.name).unwrap();
    let (wgpu, queue) = block_on(adapter.request_device(&Default::default())).unwrap();
    let caps = DeviceCaps {
        max_loop_trips: device().caps().max_loop_trips,
        ..DeviceCaps::webgpu_defaults()
    };
    let sound = Device::from_wgpu(wgpu, queue, caps.clone());
    let refusing = sound.with_caps(DeviceCaps { wide_words: true, ..caps });
    (sound, refusing)
}

/// Asserts that a kernel was refused, and that the error names it.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.expect_err("a kernel was refused");
    let is_validation = matches!(error, Error::Gpu { kind: GpuErrorKind::Validation, .. });
    assert!(is_validation, "{error}");
    says(&error, &["GPU validation error in compiling ", "fn main("]);
}

fn compiled(device: &Device) -> Result<Trainer> {
    linear().compile(device, Compile::new(Sgd::default(), SPARSE))
}

#[test]
fn a_refused_shader_is_an_error_at_once_where_errors_come_at_once() {
    let (sound, refusing) = devices();
    refused(compiled(&refusing).and_then(|mut t| t.predict(&classes(6, 4))));
    // The device itself is sound.
    let rows = compiled(&sound).unwrap().predict(&classes(6, 4)).unwrap();
    assert!(rows.as_f32().unwrap().iter().any(|&v| v != 0.0));
}

#[test]
fn a_refused_shader_gives_no_zeros_where_errors_come_late() {
    let data = classes(6, 4);
    let (_, refusing) = devices();
    // A device for each call: all are first ones.
    let late = || compiled(&devices().1.with_late_errors()).unwrap();
    refused(late().predict(&data));
    refused(late().evaluate(&data));
    refused(late().fit(&data, Fit::new().batch_size(4)));
    // It is an error each time.
    let mut t = compiled(&refusing.with_late_errors()).unwrap();
    refused(t.predict(&data));
    for _ in 0..3 {
        let error = t.predict(&data).unwrap_err();
        assert!(matches!(error, Error::Gpu { kind: GpuErrorKind::Validation, .. }), "{error}");
    }
    // Compiled again, it is named again.
    refused(compiled(&refusing.with_late_errors()).unwrap().predict(&data));
}

/// Another trainer may hear first of one trainer's refused kernel. Both get the error: what either reads may be zeros.
#[test]
fn late_errors_reach_each_that_shares_the_device() {
    let data = classes(6, 4);
    let (sound, refusing) = devices();
    let refusing = refusing.with_late_errors();
    let sound = refusing.with_caps(sound.caps().clone());
    let mut t = compiled(&sound).unwrap();
    t.predict(&data).unwrap();
    let (plan, store) = product(&refusing);
    let mut executor = Executor::new(&refusing, Arc::new(plan), &store).unwrap();
    executor.run(&[StepBlock::default()]).unwrap();
    refused(t.predict(&data));
    t.predict(&data).unwrap();
    refused(block_on(executor.read("y")));
    // An error that was reported is not reported again.
    refusing.wait().unwrap();
    t.predict(&data).unwrap();
}

/// A product, which has 64-bit words if the capabilities say so, and its operand.
fn product(device: &Device) -> (Plan, Store) {
    lowered(device, |g, x| g.matmul(x, x))
}

fn lowered(device: &Device, op: impl FnOnce(&mut Graph, Value) -> Result<Value>) -> (Plan, Store) {
    let mut g = Graph::new();
    let x = g.input("x", [4, 4], DType::F32);
    let y = op(&mut g, x).unwrap();
    g.output("y", y);
    let mut store = Store::new(device);
    store.upload("x", &floats([4, 4])).unwrap();
    (Plan::compile(&g, &Passes::none(), device.caps()).unwrap(), store)
}

#[test]
fn a_kernel_that_does_not_compile_is_named_when_its_output_is_read() {
    let device = Device::new().unwrap().with_late_errors();
    let (plan, store) = lowered(&device, |g, x| g.softmax(x));
    let mut broken = plan.clone();
    // SAFETY: the shader does not compile, so that nothing of it runs.
    let call = &mut unsafe { broken.data_mut() }.dispatches[0].call;
    let words = call.defines.iter_mut().find(|(name, _)| *name == "WG");
    words.unwrap().1 = "no_number".into();
    let mut executor = Executor::new(&device, Arc::new(broken), &store).unwrap();
    executor.run(&[StepBlock::default()]).unwrap();
    let error = block_on(executor.read("y")).unwrap_err();
    says(&error, &["compiling", plan.dispatches[0].call.name(), "no_number"]);
}

#[test]
fn waiting_for_the_device_finds_what_came_late() {
    let refusing = devices().1.with_late_errors();
    let (plan, store) = product(&refusing);
    drop(Executor::new(&refusing, Arc::new(plan), &store).unwrap());
    refused(refusing.wait());
    refusing.wait().unwrap();
}

/// If nothing fails, waiting for errors changes nothing.
#[test]
fn training_gives_the_same_bits_where_errors_come_late() {
    let data = classes(40, 4);
    let train = |device: &Device| {
        let mut t = compiled(device).unwrap();
        t.fit(&data, Fit::new().batch_size(8).epochs(2)).unwrap();
        t.predict(&data).unwrap()
    };
    let device = Device::new().unwrap();
    assert_eq!(train(&device), train(&device.with_late_errors()));
}
