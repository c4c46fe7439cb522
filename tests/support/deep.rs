//! Deep graphs and models, by their nodes: what compiling them costs is measured, and grows linearly with them.

use wgrad::Result;
use wgrad::graph::Graph;
use wgrad::prelude::*;
use wgrad::tensor::DType;

/// A graph of about so many nodes.
pub type Build = fn(usize) -> Result<Graph>;

/// Each shape of graph by its name.
pub const BUILDS: [(&str, Build); 5] = [
    ("chain", chain),
    ("products", products),
    ("states", states),
    ("gradients", gradients),
    ("layers", layers),
];

/// A chain of elementwise functions.
fn chain(nodes: usize) -> Result<Graph> {
    let mut g = Graph::new();
    let mut x = g.input("x", [4, 4], DType::F32);
    for _ in 1..nodes {
        x = g.unary("tanh", x, &[])?;
    }
    g.output("y", x);
    Ok(g)
}

/// A chain of products, each with an activation.
fn products(nodes: usize) -> Result<Graph> {
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
fn states(nodes: usize) -> Result<Graph> {
    let mut g = Graph::new();
    for i in 0..nodes / 2 {
        let state = g.state(&format!("state{i}"), [4, 4], DType::F32);
        let new = g.unary("tanh", state, &[])?;
        g.update(state, new)?;
    }
    Ok(g)
}

/// A chain of layers, and the gradient of each kernel.
fn gradients(nodes: usize) -> Result<Graph> {
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

/// A model with a tensor of each layer added to the next one's.
pub fn residual(layers: usize) -> Result<Model> {
    let x = input([4]);
    let mut last = x.clone();
    for _ in 0..layers / 2 {
        last = merge(Add, [&last.then(Dense::new(4)), &last]);
    }
    Model::new([&x], [&last])
}

/// The graph of [`residual`], whose layers are about four nodes each.
fn layers(nodes: usize) -> Result<Graph> {
    let model = residual(nodes / 3)?;
    let mut g = Graph::new();
    let x = g.input("x", [4, 4], DType::F32);
    let specs = model.weights().enumerate();
    let weights: Vec<_> =
        specs.map(|(i, (_, spec))| g.state(&format!("w{i}"), spec.shape, DType::F32)).collect();
    let outputs = model.apply(&mut g, &[x], &weights, None)?;
    g.output("y", outputs[0]);
    Ok(g)
}
