//! What it costs to compile a graph into a plan, by its nodes: the time grows linearly with them.

use anyhow::Result;
use std::time::Instant;
use wgrad::graph::Graph;
use wgrad::kernels::DeviceCaps;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::DType;

/// A graph of about so many nodes.
type Build = fn(usize) -> Result<Graph, wgrad::Error>;

/// A chain of elementwise functions.
fn chain(nodes: usize) -> Result<Graph, wgrad::Error> {
    let mut g = Graph::new();
    let mut x = g.input("x", [4, 4], DType::F32);
    for _ in 1..nodes {
        x = g.unary("tanh", x, &[])?;
    }
    g.output("y", x);
    Ok(g)
}

/// A chain of products, each with an activation.
fn products(nodes: usize) -> Result<Graph, wgrad::Error> {
    let mut g = Graph::new();
    let mut x = g.input("x", [4, 4], DType::F32);
    for i in 0..nodes / 3 {
        let kernel = g.state(&format!("kernel{i}"), [4, 4], DType::F32);
        let product = g.matmul(x, kernel)?;
        x = g.unary("tanh", product, &[])?;
    }
    g.output("y", x);
    Ok(g)
}

/// States that each get a new value.
fn states(nodes: usize) -> Result<Graph, wgrad::Error> {
    let mut g = Graph::new();
    for i in 0..nodes / 2 {
        let state = g.state(&format!("state{i}"), [4, 4], DType::F32);
        let new = g.unary("tanh", state, &[])?;
        g.update(state, new)?;
    }
    Ok(g)
}

/// A chain of layers, and the gradient of each kernel.
fn gradients(nodes: usize) -> Result<Graph, wgrad::Error> {
    let mut g = Graph::new();
    let mut x = g.input("x", [4, 4], DType::F32);
    let mut kernels = Vec::new();
    for i in 0..nodes / 10 {
        kernels.push(g.state(&format!("kernel{i}"), [4, 4], DType::F32));
        let product = g.matmul(x, kernels[i])?;
        x = g.unary("relu", product, &[])?;
    }
    let loss = g.sum(x, &[0, 1], false)?;
    for (kernel, gradient) in
        kernels.iter().zip(wgrad::autodiff::gradients(&mut g, loss, &kernels)?)
    {
        let step = g.scale(gradient, -0.1)?;
        let new = g.add(*kernel, step)?;
        g.update(*kernel, new)?;
    }
    Ok(g)
}

fn main() -> Result<()> {
    let builds: [(&str, Build); 4] =
        [("chain", chain), ("products", products), ("states", states), ("gradients", gradients)];
    for (name, build) in builds {
        for nodes in [1_000, 3_000, 10_000] {
            let start = Instant::now();
            let graph = build(nodes)?;
            let built = start.elapsed();
            let plan = Plan::compile(&graph, &Passes::default(), &DeviceCaps::webgpu_defaults())?;
            let all = start.elapsed();
            println!(
                "{name:10} {:6} nodes, {:5} launches: built in {:6.1} ms, compiled in {:7.1} ms, {:5.1} us a node",
                graph.nodes().len(),
                plan.dispatches.len(),
                1e3 * built.as_secs_f64(),
                1e3 * (all - built).as_secs_f64(),
                1e6 * all.as_secs_f64() / graph.nodes().len() as f64,
            );
        }
    }
    Ok(())
}
