//! One step as a graph: gather, forward, loss, metrics, and while training backward and optimizer.

use super::layout::ArenaLayout;
use crate::autodiff::gradients;
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::Model;
use crate::losses::Loss;
use crate::metrics::Metric;
use crate::optim::{ArenaGradients, GradientTransform, Optimizer};
use crate::tensor::DType;

/// The batches that a step reads from resident data.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Prefix of the buffers' names: `train`, `evaluate`, `predict`.
    pub role: &'static str,
    /// All features on the device: `[rows, ...]`.
    pub x: TensorType,
    /// All targets on the device; `None` for prediction.
    pub y: Option<TensorType>,
    /// Factor on the features.
    pub scale: f32,
    /// Samples per step.
    pub size: usize,
    /// Slots of the metrics buffer: steps whose numbers it keeps.
    pub slots: usize,
    /// Samples that a slot has room for: the size of the full batch, of which this may be the short rest.
    pub capacity: usize,
}

impl Batch {
    /// Elements of a slot that each column of the metrics takes: a number per sample, from a place that can
    /// be bound.
    #[must_use]
    pub const fn column_room(&self) -> usize {
        self.capacity.next_multiple_of(64)
    }
}

/// What a step is made of.
#[derive(Debug, Clone, Copy)]
pub struct StepSpec<'a> {
    /// The network.
    pub model: &'a Model,
    /// Where its parameters lie.
    pub layout: &'a ArenaLayout,
    /// The loss.
    pub loss: &'a Loss,
    /// The metrics.
    pub metrics: &'a [Metric],
    /// The update rule while training.
    pub optimizer: Option<&'a dyn Optimizer>,
    /// What happens to gradients before the rule sees them.
    pub gradients: GradientTransform,
}

impl StepSpec<'_> {
    /// Columns of the metrics buffer: loss, metrics, and the penalty where layers have any.
    #[must_use]
    pub fn columns(&self) -> usize {
        let none = crate::layers::Regularizer::default();
        let penalties = self.layout.tensors.iter().any(|t| t.spec.regularizer != none);
        1 + self.metrics.len() + usize::from(penalties)
    }
}

/// Builds the graph of a step over `batch`.
///
/// External buffers: `{role}/x`, `{role}/y`, `{role}/order` (u32 row numbers), states `params/i`,
/// `{slot}/i` and `{role}/metrics` (for each slot the columns side by side, a number per sample). Step parameters: `start` (first place in the order), `slot`, and while
/// training `seed`, `step` and the optimizer's.
///
/// # Errors
/// Shapes and types that do not fit, naming the layer.
pub fn step_graph(spec: &StepSpec<'_>, batch: &Batch) -> Result<Graph> {
    let mut g = Graph::new();
    let name = |part: &str| format!("{}/{part}", batch.role);
    let Some(&rows) = batch.x.shape.dims().first() else {
        let detail = "features need a sample axis: [n, ...]";
        return Err(Error::shape("batch", &[&batch.x.shape], detail));
    };
    let order = g.input(&name("order"), [rows], DType::U32);
    let start = g.step_param("start", DType::U32)?;
    let x = g.input(&name("x"), batch.x.shape.clone(), batch.x.dtype);
    let mut tables = vec![(x, batch.scale)];
    if let Some(ty) = &batch.y {
        tables.push((g.input(&name("y"), ty.shape.clone(), ty.dtype), 1.0));
    }
    let gathered = g.gather_batch(order, start, batch.size, &tables)?;
    let arenas: Vec<Value> = (0..spec.layout.arenas.len())
        .map(|i| g.state(&format!("params/{i}"), [spec.layout.arenas[i]], DType::F32))
        .collect();
    let mut weights = Vec::new();
    for t in &spec.layout.tensors {
        weights.push(g.view(arenas[t.arena], t.offset, t.spec.shape.clone())?);
    }
    let random = match spec.optimizer {
        Some(_) => Some((g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?)),
        None => None,
    };
    let predictions = spec.model.apply(&mut g, &gathered[..1], &weights, random)?[0];
    let Some(&targets) = gathered.get(1) else {
        g.output("predictions", predictions);
        return Ok(g);
    };
    let total = g.in_layer("loss", |g| record(g, spec, batch, &weights, targets, predictions))?;
    if let Some(optimizer) = spec.optimizer {
        let grads = gradients(&mut g, total, &weights)?;
        g.in_layer(optimizer.name(), |g| update(g, spec, optimizer, &arenas, &grads))?;
    }
    Ok(g)
}

/// Builds loss and metrics, records them, and returns the scalar that training lowers.
fn record(
    g: &mut Graph,
    spec: &StepSpec<'_>,
    batch: &Batch,
    weights: &[Value],
    targets: Value,
    predictions: Value,
) -> Result<Value> {
    let values = spec.loss.build(g, targets, predictions)?;
    let mut columns = vec![values.rows];
    for metric in spec.metrics {
        columns.push(metric.build(g, spec.loss, &values, targets, predictions)?);
    }
    let mut total = g.sum(values.rows, &[], false)?;
    let mut penalty = None;
    for (t, &w) in spec.layout.tensors.iter().zip(weights) {
        if let Some(p) = t.spec.regularizer.penalty(g, w)? {
            penalty = Some(match penalty {
                Some(sum) => g.add(sum, p)?,
                None => p,
            });
        }
    }
    if let Some(p) = penalty {
        total = g.add(total, p)?;
        columns.push(p);
    }
    let room = batch.column_room();
    let offsets: Vec<usize> = (0..columns.len()).map(|c| c * room).collect();
    let shape = [batch.slots, columns.len() * room];
    let metrics = g.state(&format!("{}/metrics", batch.role), shape, DType::F32);
    let slot = g.step_param("slot", DType::U32)?;
    let recorded = g.record(metrics, slot, &columns, &offsets)?;
    g.update(metrics, recorded)?;
    Ok(total)
}

/// Sorts the gradients by arena and builds the update.
fn update(
    g: &mut Graph,
    spec: &StepSpec<'_>,
    optimizer: &dyn Optimizer,
    arenas: &[Value],
    grads: &[Value],
) -> Result<()> {
    let of_arena = |(arena, &params): (usize, &Value)| {
        let own = || spec.layout.tensors.iter().zip(grads).filter(|(t, _)| t.arena == arena);
        let offsets = own().map(|(t, _)| t.offset).collect();
        let gradients = own().map(|(_, &g)| g).collect();
        ArenaGradients { arena, params, offsets, gradients }
    };
    let arenas: Vec<ArenaGradients> = arenas.iter().enumerate().map(of_arena).collect();
    spec.gradients.build(g, optimizer, &arenas)
}
