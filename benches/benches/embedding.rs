//! The gradient of an embedding: how its time grows with the ids of a batch, and a product of the same model beside it.
//! Least times over many rounds, on the clock and, where the adapter is the processor, by processor time.

use anyhow::Result;
use wgrad::autodiff::gradients;
use wgrad::gpu::Device;
use wgrad::graph::Graph;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};
use wgrad_benches::{Runner, Times, adapter_time};

/// Rows and columns of the table.
const VOCABULARY: usize = 20_000;
const WIDTH: usize = 128;
const ROUNDS: usize = 20;

/// The gradient of a table by `ids` looked-up rows, and nothing else of the plan.
fn gradient(device: &Device, ids: usize) -> Result<Plan> {
    let mut g = Graph::new();
    let table = g.input("table", [VOCABULARY, WIDTH], DType::F32);
    let index = g.input("ids", [ids], DType::U32);
    let upstream = g.input("upstream", [ids, WIDTH], DType::F32);
    let rows = g.gather(table, index)?;
    let weighted = g.mul(rows, upstream)?;
    let loss = g.sum(weighted, &[], false)?;
    let gradient = gradients(&mut g, loss, &[table])?[0];
    g.output("gradient", gradient);
    let mut plan = Plan::compile(&g, &Passes::default(), device.caps())?;
    // SAFETY: a dispatch binds the same regions whether others run beside it or not.
    let data = unsafe { plan.data_mut() };
    data.dispatches.retain(|d| d.label.starts_with("segment_sum"));
    Ok(plan)
}

/// A dense layer of the model: `ids` rows times a square matrix.
fn product(device: &Device, ids: usize) -> Result<Plan> {
    let mut g = Graph::new();
    let x = g.input("x", [ids, WIDTH], DType::F32);
    let w = g.input("w", [WIDTH, WIDTH], DType::F32);
    let y = g.matmul(x, w)?;
    g.output("y", y);
    Ok(Plan::compile(&g, &Passes::default(), device.caps())?)
}

fn least(device: &Device, plan: &Plan, feeds: &[(&str, Tensor)]) -> Result<Times> {
    let cores = std::thread::available_parallelism()?.get() as f64;
    let time = Runner::with(device, plan.clone(), feeds)?.least(ROUNDS, 4)?;
    Ok(Times { processor: time.processor.map(|all| all / cores), ..time })
}

fn main() -> Result<()> {
    let device = Device::new()?;
    println!("adapter: {}", device.info());
    println!(
        "table [{VOCABULARY}, {WIDTH}], ms{}",
        adapter_time(&device).map_or("", |_| ", ms by processor time")
    );
    let spread = |i: usize| (i as u32).wrapping_mul(2_654_435_761) % VOCABULARY as u32;
    for ids in [256, 1024, 4096, 32_768, 131_072] {
        let plan = gradient(&device, ids)?;
        let count = plan.dispatches.len();
        for (what, ids_of) in [("spread", (0..ids).map(spread).collect()), ("one id", vec![7; ids])]
        {
            let feeds = [("ids", Tensor::u32([ids], ids_of)?)];
            let time = least(&device, &plan, &feeds)?;
            let each = 1e6 * time.busy() / ids as f64;
            println!("{time} {each:8.1} ns each  {ids} ids, {what}, {count} dispatches");
        }
        println!(
            "{}          product [{ids}, {WIDTH}] x [{WIDTH}, {WIDTH}]",
            least(&device, &product(&device, ids)?, &[])?
        );
    }
    Ok(())
}
