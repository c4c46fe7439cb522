//! Kernels over rows that take their neighbours in: the same results in fewer launches.

use crate::harness::{execute, families};
use crate::reference::compare::compare;
use crate::reference::random::uniform;
use crate::rows::launched;
use wgrad::graph::Graph;
use wgrad::kernels::DeviceCaps;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

/// What a graph computes with all passes and with none.
fn fused_and_not(graph: &Graph, caps: &DeviceCaps) -> [Vec<Vec<f32>>; 2] {
    [Passes::default(), Passes::none()].map(|passes| {
        let named: Vec<(String, Tensor)> = graph
            .nodes()
            .iter()
            .filter(|n| n.op.name() == "input")
            .zip(0..)
            .map(|(n, i)| {
                let shape = n.outputs[0].shape.clone();
                let data = uniform(20 + i, shape.len(), -2.0, 2.0);
                (n.op.attrs(), Tensor::f32(shape, data).expect("right length"))
            })
            .collect();
        let fed: Vec<(&str, Tensor)> = named.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
        let ran = execute(graph, &passes, caps, &fed, &[&[]]);
        graph.outputs().iter().map(|(name, _)| ran.f32(name)).collect()
    })
}

#[track_caller]
fn agree(graph: &Graph, caps: &DeviceCaps) {
    let [fused, plain] = fused_and_not(graph, caps);
    for (got, want) in fused.iter().zip(&plain) {
        let want: Vec<f64> = want.iter().map(|&v| f64::from(v)).collect();
        compare("fused", got, &want, 1e-5, 1e-5).unwrap_or_else(|e| panic!("{e}\n{graph}"));
    }
}

/// A residual sum before and an activation after, which is one launch; the sum that others read is stored beside it.
#[test]
fn neighbours_are_taken_in() -> anyhow::Result<()> {
    for cols in [48, 7] {
        let build = |outside: bool, gate: bool| -> wgrad::Result<Graph> {
            let mut g = Graph::new();
            let [x, f] = ["x", "f"].map(|name| g.input(name, [6, cols], DType::F32));
            let [a, b] = ["a", "b"].map(|name| g.input(name, [cols], DType::F32));
            let h = g.add(x, f)?;
            let y = g.layer_norm(h, Some(a), Some(b), 1, 1e-3)?;
            let z = g.unary("tanh", y, &[])?;
            let z = if gate { g.mul(z, h)? } else { z };
            g.output("z", z);
            if outside {
                g.output("h", h);
                g.output("y", y);
            }
            Ok(g)
        };
        for caps in families() {
            for (outside, gate) in [(false, false), (true, false), (false, true), (true, true)] {
                let g = build(outside, gate)?;
                // Two outputs more are two buffers more: x, f, a, b, z, the kept values, h, y.
                assert_eq!(launched(&g, &caps), ["reduce/row_kernel"], "{outside} {gate}");
                agree(&g, &caps);
            }
            let few = DeviceCaps { max_storage_buffers: 6, ..caps.clone() };
            assert!(launched(&build(true, true)?, &few).len() > 1);
            agree(&build(true, true)?, &few);
        }
    }
    Ok(())
}

/// Dropout after a normalization draws the same numbers inside the row kernel as outside.
#[test]
fn dropout_is_taken_in() -> anyhow::Result<()> {
    for cols in [48, 7] {
        let mut g = Graph::new();
        let x = g.input("x", [6, cols], DType::F32);
        let y = g.layer_norm(x, None, None, 1, 1e-3)?;
        let y = crate::steps::dropout(&mut g, y, 3)?;
        g.output("y", y);
        let data = Tensor::f32([6, cols], uniform(4, 6 * cols, -2.0, 2.0))?;
        let words = [("seed", 11), ("step", 4)];
        for caps in families() {
            assert_eq!(launched(&g, &caps), ["reduce/row_kernel"]);
            let [fused, plain] = [Passes::default(), Passes::none()]
                .map(|p| execute(&g, &p, &caps, &[("x", data.clone())], &[&words]).f32("y"));
            let want: Vec<f64> = plain.iter().map(|&v| f64::from(v)).collect();
            compare("dropout", &fused, &want, 1e-6, 1e-6).unwrap_or_else(|e| panic!("{e}"));
            let dropped = fused.iter().filter(|v| **v == 0.0).count();
            assert!(dropped > 0 && dropped < fused.len(), "{fused:?}");
        }
    }
    Ok(())
}

/// A residual sum, layer normalization and an activation, with all gradients: three launches. What the activation does to
/// the gradient is computed beside it and stored for both kernels of the gradient.
#[test]
fn gradients_take_their_neighbours_in() -> anyhow::Result<()> {
    let mut g = Graph::new();
    let [x, f, dy] = ["x", "f", "dy"].map(|name| g.input(name, [64, 48], DType::F32));
    let a = g.input("a", [48], DType::F32);
    let h = g.add(x, f)?;
    let y = g.layer_norm(h, Some(a), None, 1, 1e-3)?;
    let z = g.unary("tanh", y, &[])?;
    g.output("z", z);
    let weighted = g.mul(z, dy)?;
    let loss = g.sum(weighted, &[], false)?;
    let grads = wgrad::autodiff::gradients(&mut g, loss, &[x, f, a])?;
    for (i, d) in grads.into_iter().enumerate() {
        g.output(&format!("d{i}"), d);
    }
    for caps in families() {
        let expected = ["reduce/row_kernel", "reduce/row_kernel", "reduce/column_sums"];
        assert_eq!(launched(&g, &caps), expected);
        agree(&g, &caps);
    }
    Ok(())
}

/// Two blocks that normalise their sum, with gradients: what is taken in changes no result.
#[test]
fn blocks_with_neighbours_agree_with_plain_ones() -> anyhow::Result<()> {
    for last in ["layer", "rms", "softmax"] {
        let mut g = Graph::new();
        let [x, other] = ["x", "other"].map(|name| g.input(name, [6, 8], DType::F32));
        let gammas = ["a", "b"].map(|name| g.input(name, [8], DType::F32));
        let w = g.input("w", [8, 8], DType::F32);
        let mut h = x;
        for gamma in gammas {
            let sum = g.add(h, other)?;
            let y = g.layer_norm(sum, Some(gamma), None, 1, 1e-3)?;
            let y = g.unary("gelu", y, &[])?;
            let product = g.matmul(y, w)?;
            let y = match last {
                "layer" => g.layer_norm(product, None, Some(gamma), 1, 1e-3)?,
                "rms" => g.rms_norm(product, Some(gamma), 1, 1e-3)?,
                _ => g.masked_softmax(product, other, wgrad::ops::SoftmaxMask::Keep)?,
            };
            let y = g.mul(y, sum)?;
            h = g.add(y, h)?;
        }
        let loss = g.mean(h, &[], false)?;
        let wrt = [x, other, gammas[0], gammas[1], w];
        let grads = wgrad::autodiff::gradients(&mut g, loss, &wrt)?;
        g.output("h", h);
        for (i, d) in grads.into_iter().enumerate() {
            g.output(&format!("d{i}"), d);
        }
        for caps in families() {
            let fused = launched(&g, &caps).len();
            let plain = Plan::compile(&g, &Passes { fuse: false, ..Passes::default() }, &caps)?;
            assert!(fused < plain.dispatches.len());
            agree(&g, &caps);
        }
    }
    Ok(())
}
