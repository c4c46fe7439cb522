//! Softmax, each optimizer on a million parameters, and a fused elementwise chain.

use anyhow::Result;
use criterion::Throughput;
use wgrad::gpu::Device;
use wgrad::graph::Graph;
use wgrad::optim::{Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd};
use wgrad::tensor::DType;
use wgrad_benches::{Runner, criterion, timed};

const PARAMETERS: usize = 1 << 20;

fn main() -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    let mut criterion = criterion();
    let mut bench = |name: &str, elements: usize, graph: &Graph| -> Result<()> {
        let mut runner = Runner::new(&device, graph)?;
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(elements as u64));
        group.bench_function("wgrad", |b| b.iter_custom(|steps| timed(runner.time(steps))));
        group.finish();
        Ok(())
    };
    for [rows, cols] in [[128, 10], [1024, 1024], [16, 100_000]] {
        let mut g = Graph::new();
        let x = g.input("x", [rows, cols], DType::F32);
        let y = g.softmax(x)?;
        g.output("y", y);
        bench(&format!("softmax {rows}x{cols}"), rows * cols, &g)?;
    }
    let nesterov = Sgd { momentum: 0.9, nesterov: true, ..Sgd::default() };
    let optimizers: [(&str, &dyn Optimizer); 6] = [
        ("SGD", &Sgd::default()),
        ("SGD Nesterov", &nesterov),
        ("RMSprop", &RmsProp::default()),
        ("Adagrad", &Adagrad::default()),
        ("Adam", &Adam::default()),
        ("AdamW", &AdamW::default()),
    ];
    for (name, optimizer) in optimizers {
        let mut g = Graph::new();
        let p = g.state("p", [PARAMETERS], DType::F32);
        let grad = g.input("g", [PARAMETERS], DType::F32);
        let slots: Vec<_> =
            optimizer.slots().iter().map(|s| g.state(s.name, [PARAMETERS], DType::F32)).collect();
        let (new, new_slots) = optimizer.update(&mut g, p, grad, &slots)?;
        g.update(p, new)?;
        for (&slot, &new) in slots.iter().zip(&new_slots) {
            g.update(slot, new)?;
        }
        bench(&format!("{name} 1M"), PARAMETERS, &g)?;
    }
    let mut g = Graph::new();
    let (x, bias) = (g.input("x", [1024, 1024], DType::F32), g.input("bias", [1024], DType::F32));
    let y = g.add(x, bias)?;
    let y = g.unary("tanh", y, &[])?;
    let y = g.mul(y, x)?;
    let y = g.unary("sigmoid", y, &[])?;
    g.output("y", y);
    bench("elementwise chain 1M", PARAMETERS, &g)?;
    criterion.final_summary();
    Ok(())
}
