//! What it costs to compile a graph grows linearly with its nodes, and to build a model with its layers.

use crate::deep::{BUILDS, residual};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use wgrad::kernels::DeviceCaps;
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::prelude::Model;

/// Eight times as many nodes may take so many times as long: linear is 8, quadratic is 64.
const MOST: f64 = 16.0;

/// How many times as long `work` takes on 8,000 as on 1,000: the least times of up to three runs, so that what else the
/// machine does counts little.
fn growth(mut work: impl FnMut(usize) -> Result<()>) -> Result<f64> {
    let mut least = [Duration::MAX; 2];
    for _ in 0..3 {
        for (least, size) in least.iter_mut().zip([1_000, 8_000]) {
            let start = Instant::now();
            work(size)?;
            *least = start.elapsed().min(*least);
        }
        if least[1].as_secs_f64() < MOST * least[0].as_secs_f64() {
            break;
        }
    }
    Ok(least[1].as_secs_f64() / least[0].as_secs_f64())
}

#[test]
fn compiling_is_linear_in_nodes() -> Result<()> {
    for (name, build) in BUILDS {
        let growth = growth(|nodes| {
            let graph = build(nodes)?;
            let count = graph.nodes().len();
            ensure!(count > nodes * 3 / 4 && count < nodes * 3 / 2, "{count} nodes for {nodes}");
            Plan::compile(&graph, &Passes::default(), &DeviceCaps::webgpu_defaults())?;
            Ok(())
        })?;
        ensure!(growth < MOST, "{name}: 8 times the nodes take {growth:.1} times as long");
    }
    Ok(())
}

#[test]
fn building_a_model_is_linear_in_layers() -> Result<()> {
    let growth = growth(|layers| {
        let model = residual(layers)?;
        ensure!(model.layers().len() == layers, "{} layers", model.layers().len());
        // As data, and back.
        let again = Model::from_json(&model.to_json()?)?;
        ensure!(again.summary() == model.summary());
        Ok(())
    })?;
    ensure!(growth < MOST, "8 times the layers take {growth:.1} times as long");
    Ok(())
}

#[test]
fn quadratic_work_is_noticed() -> Result<()> {
    let growth = growth(|size| {
        let numbers: Vec<usize> = (0..size).collect();
        let found = numbers.iter().filter(|&&n| numbers.iter().any(|&m| m == size + n)).count();
        ensure!(found == 0);
        Ok(())
    })?;
    ensure!(growth > MOST, "{growth:.1}");
    Ok(())
}
