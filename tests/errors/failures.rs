//! Failures that wgpu itself reports, provoked for real: each arrives as [`Error::Gpu`].

use super::*;
use std::process::Command;
use std::sync::Arc;
use wgrad::GpuErrorKind;
use wgrad::gpu::{Device, Executor, StepBlock, Store, block_on};
use wgrad::graph::Graph;
use wgrad::kernels::{DeviceCaps, MatmulFamily};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::DType;

fn kind(error: &Error) -> GpuErrorKind {
    match error {
        Error::Gpu { kind, .. } => *kind,
        other => panic!("expected Error::Gpu, got {other:?}"),
    }
}

#[test]
fn a_validation_error_arrives_once() {
    // A separate device: each device keeps its failure, and other tests share theirs.
    let device = Device::new().unwrap();
    device.check("nothing").unwrap();
    let _ = device.wgpu().0.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wrong"),
        size: 4,
        // Reading from the host and binding as storage exclude each other.
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let error = device.check("making a wrong buffer").unwrap_err();
    assert_eq!(kind(&error), GpuErrorKind::Validation);
    says(&error, &["GPU validation error in making a wrong buffer", "wrong"]);
    device.check("again").unwrap();
    // The device still works.
    let mut t = linear().compile(&device, Compile::new(Sgd::default(), SPARSE)).unwrap();
    t.fit(&classes(6, 4), Fit::new().batch_size(4)).unwrap();
}

#[test]
fn a_shader_that_does_not_compile_arrives() {
    let device = Device::new().unwrap();
    let _ = device.wgpu().0.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("broken"),
        source: wgpu::ShaderSource::Wgsl("fn main( {".into()),
    });
    let error = device.check("compiling").unwrap_err();
    assert_eq!(kind(&error), GpuErrorKind::Validation);
    says(&error, &["compiling", "broken"]);
}

/// If the adapter is not a CPU, several threads compile kernels: each failure belongs to its kernel.
#[test]
fn a_kernel_that_does_not_compile_is_named_and_the_others_work() {
    let device = Device::new().unwrap();
    let caps = DeviceCaps {
        cpu: false,
        subgroup: None,
        wide_words: false,
        matmul: MatmulFamily::Tiled,
        ..device.caps().clone()
    };
    let device = device.with_caps(caps.clone());
    for round in 0..8 {
        let mut g = Graph::new();
        let x = g.input("x", [4, 4], DType::F32);
        let outputs = [
            g.unary("exp", x, &[]).unwrap(),
            g.sum(x, &[1], false).unwrap(),
            g.softmax(x).unwrap(),
            g.matmul(x, x).unwrap(),
            // No two rounds compile the same kernel.
            g.unary("leaky_relu", x, &[0.5]).unwrap(),
        ];
        for (i, output) in outputs.into_iter().enumerate() {
            g.output(&format!("y{i}"), output);
        }
        let plan = Plan::compile(&g, &Passes::none(), &caps).unwrap();
        let mut broken = plan.clone();
        let at = round % plan.dispatches.len();
        // SAFETY: the shader does not compile, so that nothing of it runs.
        let call = &mut unsafe { broken.data_mut() }.dispatches[at].call;
        let words = call.defines.iter_mut().find(|(name, _)| *name == "WG");
        words.unwrap().1 = "no_number".into();
        let mut store = Store::new(&device);
        store.upload("x", &floats([4, 4])).unwrap();
        let error = Executor::new(&device, Arc::new(broken), &store).unwrap_err();
        says(&error, &[plan.dispatches[at].call.name()]);
        let mut executor = Executor::new(&device, Arc::new(plan), &store).unwrap();
        executor.run(&[StepBlock::default()]).unwrap();
        let product = block_on(executor.read("y3")).unwrap();
        assert_eq!(product.as_f32().unwrap(), [4.0; 16]);
    }
}

#[test]
fn a_buffer_beyond_wgpus_limit_arrives() {
    // Raised capabilities let the library ask for what wgpu refuses.
    let device = Device::new().unwrap();
    let raised = DeviceCaps { max_buffer_bytes: u64::MAX, ..device.caps().clone() };
    let mut store = Store::new(&device.with_caps(raised));
    let error = store.allocate("huge", 1 << 50).unwrap_err();
    assert_eq!(kind(&error), GpuErrorKind::Validation);
    says(&error, &["allocating `huge`", "1125899906842624 bytes"]);
    assert!(!store.contains("huge"));
}

/// Marks the process that takes all the memory it can get.
const CHILD: &str = "WGRAD_TEST_TAKES_ALL_MEMORY";

#[test]
fn running_out_of_memory_arrives() {
    let device = Device::new().unwrap();
    if std::env::var_os(CHILD).is_some() {
        return take_all_memory(&device);
    }
    // Software Vulkan has memory until a process runs out of addresses, so the child is given few of them, and the
    // other tests keep theirs.
    let test = std::env::current_exe().unwrap();
    let mut child = match cfg!(unix) && device.caps().cpu {
        true => {
            let mut shell = Command::new("sh");
            shell.args(["-c", "ulimit -v 33554432; exec \"$0\" \"$@\""]).arg(test);
            shell
        }
        false => Command::new(test),
    };
    child.args(["--exact", "failures::running_out_of_memory_arrives", "--nocapture"]);
    let output = child.env(CHILD, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let arrived = text.contains("arrived: GPU out of memory in allocating `b");
    assert!(arrived || (device.caps().cpu && text.contains(ENDLESS)), "{text}");
}

/// What the child says if software Vulkan promises more memory than any machine has. Mesa from 26 on does.
const ENDLESS: &str = "memory does not end";

fn take_all_memory(device: &Device) {
    let mut store = Store::new(device);
    let bytes = device.caps().max_buffer_bytes / 256 * 256;
    let most = (1 << 42) / bytes + 1;
    let error = (0..most).find_map(|i| store.allocate(&format!("b{i}"), bytes).err());
    let Some(error) = error else { return println!("{ENDLESS}: {most} buffers of {bytes} bytes") };
    assert_eq!(kind(&error), GpuErrorKind::OutOfMemory, "{error}");
    says(&error, &["use a smaller batch or a smaller model"]);
    println!("arrived: {error}");
    // Freed memory is available again, and the device works.
    (0..most).for_each(|i| store.remove(&format!("b{i}")));
    device.wait().unwrap();
    let mut executor = exponential(device, &mut store).unwrap();
    executor.run(&[StepBlock::default()]).unwrap();
    block_on(executor.read("y")).unwrap();
}

/// Asserts that a call on a lost device says so.
#[track_caller]
fn lost<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.expect_err("the device is lost");
    assert_eq!(kind(&error), GpuErrorKind::DeviceLost, "{error}");
    says(&error, &["GPU device lost in "]);
}

/// y = e^x over four elements.
fn exponential(device: &Device, store: &mut Store) -> Result<Executor> {
    let mut g = Graph::new();
    let x = g.input("x", [4], DType::F32);
    let y = g.unary("exp", x, &[])?;
    g.output("y", y);
    store.upload("x", &floats([4]))?;
    let plan = Plan::compile(&g, &Passes::default(), device.caps())?;
    Executor::new(device, Arc::new(plan), store)
}

#[test]
fn a_lost_device_is_said_by_every_call() {
    let device = Device::new().unwrap();
    let mut store = Store::new(&device);
    let mut executor = exponential(&device, &mut store).unwrap();
    executor.run(&[StepBlock::default()]).unwrap();
    block_on(executor.read("y")).unwrap();

    device.wgpu().0.destroy();
    lost(executor.run(&[StepBlock::default(); 200]));
    lost(block_on(executor.read("y")));
    lost(block_on(store.read("x", 16)));
    lost(device.wait());
    lost(store.allocate("more", 1024));
    lost(store.upload("x", &floats([4])));
    lost(executor.bind(&store).and_then(|()| device.check("binding")));
    lost(exponential(&device, &mut store));
    // It stays lost.
    lost(device.check("looking"));
}

#[test]
fn a_trainer_on_a_lost_device_says_so() {
    let device = Device::new().unwrap();
    let mut t = linear().compile(&device, Compile::new(Adam::default(), SPARSE)).unwrap();
    let data = classes(40, 4);
    t.fit(&data, Fit::new().validation_data(&data)).unwrap();
    let weights: Vec<Tensor> = t.weights().unwrap().into_iter().map(|(_, w)| w).collect();

    device.wgpu().0.destroy();
    lost(t.fit(&data, Fit::new()));
    lost(t.evaluate(&data));
    lost(t.predict(&data));
    lost(t.weights());
    lost(t.set_weights(&weights));
    lost(linear().compile(&device, Compile::new(Adam::default(), SPARSE)));
    drop(t);
    // Another device still works.
    trainer(&linear()).evaluate(&data).unwrap();
}

#[test]
fn a_device_lost_in_the_middle_of_training_ends_it() {
    let device = Device::new().unwrap();
    let mut t = linear().compile(&device, Compile::new(Adam::default(), SPARSE)).unwrap();
    let data = classes(400, 4);
    let fit = Fit::new().epochs(5).batch_size(4);
    lost(t.fit(
        &data,
        fit.on_epoch_end(|e| {
            if e.epoch == 1 {
                device.wgpu().0.destroy();
            }
        }),
    ));
}
