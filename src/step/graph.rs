//! One step as a graph: gather, forward, loss, metrics, and, in training, backward and optimizer.

use super::compile::OutputSpec;
use super::layout::{ArenaLayout, PlacedTensor};
use crate::autodiff::gradients;
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::{Model, Outputs, Regularizer};
use crate::losses::Weighing;
use crate::optim::{ArenaGradients, GradientTransform, Optimizer, ROW, rows_of};
use crate::tensor::{DType, Shape};

/// The batches that a step reads from resident data.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Prefix of the buffers' names: `train`, `evaluate`, `predict`.
    pub role: &'static str,
    /// All features on the device, for each input: `[rows, ...]`.
    pub x: Vec<TensorType>,
    /// All targets on the device, for each output; none for prediction.
    pub y: Vec<TensorType>,
    /// The weights of losses, over leading axes of the predictions: `[rows]` for a weight per sample, `[rows, time]` for
    /// one per position. None, one tensor for all outputs, or a place for each output.
    pub weights: Vec<Option<TensorType>>,
    /// Factor on the features.
    pub scale: f32,
    /// Samples per step.
    pub size: usize,
    /// Records of the metrics buffer: steps whose numbers it keeps.
    pub records: usize,
    /// Samples that a record has room for: the size of the full batch. This batch may be its short rest.
    pub capacity: usize,
}

impl Batch {
    /// Steps of `size` samples from one table of features and one of targets, with `records` records.
    #[must_use]
    pub fn new(
        role: &'static str,
        x: TensorType,
        y: TensorType,
        size: usize,
        records: usize,
    ) -> Self {
        let (x, y) = (vec![x], vec![y]);
        Self { role, x, y, weights: Vec::new(), scale: 1.0, size, records, capacity: size }
    }

    /// Elements of a record that one number per sample takes. Each number begins at a place that can be bound.
    #[must_use]
    pub const fn column_room(&self) -> usize {
        self.capacity.next_multiple_of(64)
    }

    /// The place of the weights of an output's losses, if it has any.
    #[must_use]
    pub fn weights_of(&self, output: usize) -> Option<usize> {
        let place = if self.weights.len() == 1 { 0 } else { output };
        self.weights.get(place)?.as_ref().map(|_| place)
    }

    /// The buffers of its samples: features, targets and weights, each with its name.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (String, &TensorType)> {
        let part = |part: &'static str, types: &'_ [TensorType]| {
            (0..types.len()).map(|i| self.buffer(part, i)).collect::<Vec<_>>()
        };
        let names = part("x", &self.x).into_iter().chain(part("y", &self.y));
        let all = names.zip(self.x.iter().chain(&self.y));
        let weights = self.weights.iter().enumerate();
        all.chain(weights.filter_map(|(i, ty)| Some((self.buffer("weights", i), ty.as_ref()?))))
    }

    /// The same batch of tables with another number of rows.
    pub(crate) fn with_rows(&self, rows: usize) -> Self {
        let of = |ty: &TensorType| {
            let mut dims = ty.shape.dims().to_vec();
            dims[0] = rows;
            TensorType { shape: dims.into(), dtype: ty.dtype }
        };
        Self {
            x: self.x.iter().map(of).collect(),
            y: self.y.iter().map(of).collect(),
            weights: self.weights.iter().map(|w| w.as_ref().map(of)).collect(),
            ..self.clone()
        }
    }

    /// The name of the buffer with the `i`-th tensor of `part`: `train/x`, `train/x1`.
    #[must_use]
    pub fn buffer(&self, part: &str, i: usize) -> String {
        match i {
            0 => format!("{}/{part}", self.role),
            _ => format!("{}/{part}{i}", self.role),
        }
    }
}

/// The parts of a step.
#[derive(Debug, Clone, Copy)]
pub struct StepSpec<'a> {
    /// The network.
    pub model: &'a Model,
    /// The places of its parameters.
    pub layout: &'a ArenaLayout,
    /// What each output is trained towards.
    pub outputs: &'a [OutputSpec],
    /// Whether a layer penalises what it computes.
    pub activity: bool,
    /// What happens to gradients before the rule sees them.
    pub gradients: GradientTransform,
    /// The update rule while training.
    pub optimizer: Option<&'a dyn Optimizer>,
}

impl StepSpec<'_> {
    /// Whether layers add a penalty to the loss, on trained weights or on what they compute.
    #[must_use]
    pub fn penalised(&self) -> bool {
        self.activity || self.penalises()
    }

    /// Numbers of a sample in the metrics buffer: for each output its loss, its mask and the columns of its metrics, and
    /// the penalty if layers have any.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns_of(&self.known())
    }

    /// As [`StepSpec::columns`], for a network that shows this.
    fn columns_of(&self, traced: &Traced) -> usize {
        let metrics = self.outputs.iter().flat_map(|o| o.metrics.iter().map(|m| (m, &o.shape)));
        let metrics: usize = metrics.flat_map(|(m, shape)| m.columns(shape)).sum();
        let masks: usize = traced.masks.iter().flatten().sum();
        self.outputs.len() + metrics + masks + usize::from(traced.activity || self.penalises())
    }

    /// Whether a trained weight has a penalty.
    fn penalises(&self) -> bool {
        self.layout.tensors.iter().any(|t| t.penalty() != Regularizer::default())
    }

    /// What the caller says that the network shows.
    fn known(&self) -> Traced {
        let masks = self.outputs.iter().map(|output| output.mask).collect();
        Traced { masks, activity: self.activity }
    }
}

/// What only the network that is built shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Traced {
    /// Numbers of a sample's mask, for each output: [`OutputSpec::mask`].
    pub masks: Vec<Option<usize>>,
    /// Whether a layer penalises what it computes.
    pub activity: bool,
}

impl Traced {
    fn new(g: &Graph, outputs: &Outputs) -> Self {
        let sample = |v: Value| Shape::from(&g.shape(v).dims()[1..]);
        let mask = |(i, &prediction): (usize, &Value)| {
            let mask = outputs.mask_of(i)?;
            Some(mask_numbers(&sample(mask), &sample(prediction)))
        };
        let masks = outputs.values.iter().enumerate().map(mask).collect();
        Self { masks, activity: g.is_penalised() }
    }
}

/// Numbers of a sample's mask of this shape for predictions of this shape, both without the batch axis.
fn mask_numbers(mask: &Shape, sample: &Shape) -> usize {
    match sample.dims().split_last() {
        Some((_, lead)) if mask.rank() < sample.rank() => lead.iter().product(),
        _ => sample.len(),
    }
}

/// Tables that one gather takes: it binds 7 buffers, which are its order, each table and each result.
const TABLES: usize = 3;

/// Builds the graph of a step over `batch`.
///
/// External buffers: `{role}/x`, `{role}/y` (`x1`, `y1` and so on for further inputs and outputs),
/// `{role}/weights`, `{role}/order` (u32 row numbers), states `params/i`, `frozen/i`, `state/i`, `{slot}/i` and
/// `{role}/metrics` (for each record the columns side by side, a number per sample). Step parameters: `start`
/// (first place in the order), `record`, and while training `seed`, `step` and the optimizer's.
///
/// # Errors
/// Shapes and types that do not fit, naming the layer; [`Error::Internal`] if `spec` has other masks or penalties than the
/// model.
pub fn step_graph(spec: &StepSpec<'_>, batch: &Batch) -> Result<Graph> {
    let (graph, traced) = traced_step(spec, batch)?;
    let known = spec.known();
    if !batch.y.is_empty() && traced != known {
        let detail = format!("{traced:?} of the model, {known:?} expected");
        return Err(Error::internal("metrics", detail));
    }
    Ok(graph)
}

/// As [`step_graph`], also if what `spec` says of masks and penalties is not known yet: what the model has is given back.
pub(crate) fn traced_step(spec: &StepSpec<'_>, batch: &Batch) -> Result<(Graph, Traced)> {
    let mut g = Graph::new();
    let rows = batch.x.first().and_then(|ty| ty.shape.dims().first());
    let Some(&rows) = rows else {
        let shapes: Vec<&Shape> = batch.x.iter().map(|ty| &ty.shape).collect();
        return Err(Error::shape("batch", &shapes, "features need a sample axis: [n, ...]"));
    };
    let gathered = gather(&mut g, batch, rows)?;
    let (features, rest) = gathered.split_at(batch.x.len());
    let (targets, given) = rest.split_at(batch.y.len());
    let mut given = given.iter().copied();
    let mut weights_of = Vec::new();
    for weights in &batch.weights {
        weights_of.push(weights.as_ref().and_then(|_| given.next()));
    }
    let arenas: Vec<Value> = (0..spec.layout.arenas.len())
        .map(|i| g.state(&spec.layout.arena_name(i), [spec.layout.arenas[i].len], DType::F32))
        .collect();
    let mut weights = Vec::new();
    for t in &spec.layout.tensors {
        weights.push(g.view(arenas[t.arena], t.offset, t.spec.shape.clone())?);
    }
    let random = match spec.optimizer {
        Some(_) => Some((g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?)),
        None => None,
    };
    let outputs = spec.model.run(&mut g, features, &[], &weights, random)?;
    let traced = Traced::new(&g, &outputs);
    if targets.is_empty() {
        for (i, &p) in outputs.values.iter().enumerate() {
            g.output(&format!("predictions/{i}"), p);
        }
        return Ok((g, traced));
    }
    let weights_of = |i| batch.weights_of(i).and_then(|place| weights_of[place]);
    let ends = Ends {
        targets,
        predictions: &outputs.values,
        weighing: (0..targets.len())
            .map(|i| Weighing { weights: weights_of(i), mask: outputs.mask_of(i) })
            .collect(),
        traced: &traced,
    };
    let penalty = g.in_layer("loss", |g| penalty(g, spec.layout, &arenas))?;
    let total = g.in_layer("loss", |g| {
        let activity = g.penalty()?;
        let reported = match (penalty, activity) {
            (Some(penalty), Some(activity)) => Some(g.add(penalty, activity)?),
            (penalty, activity) => penalty.or(activity),
        };
        let total = record(g, spec, batch, reported, &ends)?;
        activity.map_or(Ok(total), |activity| g.add(total, activity))
    })?;
    if let Some(optimizer) = spec.optimizer {
        g.in_layer("state", |g| spec.layout.update_states(g, &arenas, &outputs.state))?;
        let trained = || spec.layout.tensors.iter().zip(&weights);
        let trained: Vec<Value> =
            trained().filter(|(t, _)| t.trainable()).map(|(_, &w)| w).collect();
        let grads = gradients(&mut g, total, &trained)?;
        g.in_layer(optimizer.name(), |g| {
            let penalties = penalty_gradients(g, spec.layout, penalty, &arenas)?;
            update(g, spec, optimizer, &arenas, &grads, &penalties)
        })?;
    }
    Ok((g, traced))
}

/// The rows of a batch from each table: features, targets, sample weights.
fn gather(g: &mut Graph, batch: &Batch, rows: usize) -> Result<Vec<Value>> {
    let order = g.input(&batch.buffer("order", 0), [rows], DType::U32);
    let start = g.step_param("start", DType::U32)?;
    let mut tables = Vec::new();
    for (i, ty) in batch.x.iter().enumerate() {
        // Ids are no quantities.
        let scale = if ty.dtype == DType::U32 { 1.0 } else { batch.scale };
        tables.push((g.input(&batch.buffer("x", i), ty.shape.clone(), ty.dtype), scale));
    }
    for (i, ty) in batch.y.iter().enumerate() {
        tables.push((g.input(&batch.buffer("y", i), ty.shape.clone(), ty.dtype), 1.0));
    }
    for (i, ty) in batch.weights.iter().enumerate() {
        if let Some(ty) = ty {
            tables.push((g.input(&batch.buffer("weights", i), ty.shape.clone(), ty.dtype), 1.0));
        }
    }
    let mut gathered = Vec::new();
    for tables in tables.chunks(TABLES) {
        gathered.extend(g.gather_samples(order, start, batch.size, tables)?);
    }
    Ok(gathered)
}

/// What loss and metrics compare.
struct Ends<'a> {
    targets: &'a [Value],
    predictions: &'a [Value],
    /// For each output.
    weighing: Vec<Weighing>,
    traced: &'a Traced,
}

/// The penalties of all trained parameters as a scalar, over whole arenas: many tensors take as many dispatches as one.
pub(crate) fn penalty(
    g: &mut Graph,
    layout: &ArenaLayout,
    arenas: &[Value],
) -> Result<Option<Value>> {
    let mut total = None;
    for (arena, &params) in arenas.iter().enumerate() {
        let len = g.shape(params).len();
        for (i, (function, _)) in Regularizer::default().terms().into_iter().enumerate() {
            let own = layout.tensors.iter().filter(|t| t.arena == arena);
            let own = own.map(|t| (t, t.penalty().terms()[i].1)).filter(|t| t.1 != 0.0);
            let tensors: Vec<_> =
                own.map(|(t, factor)| (rows_of(t.offset, t.spec.shape.len()), factor)).collect();
            if tensors.is_empty() {
                continue;
            }
            let rows = g.reshape(params, [len / ROW, ROW])?;
            let each = g.unary(function, rows, &[])?;
            let each = g.sum(each, &[1], false)?;
            let each = g.sum_ranges(each, &tensors)?;
            let sum = g.sum(each, &[], false)?;
            total = Some(match total {
                Some(t) => g.add(t, sum)?,
                None => sum,
            });
        }
    }
    // A penalty from outside sees its tensor alone.
    for t in layout.tensors.iter().filter(|t| t.penalty().custom.is_some()) {
        let w = g.view(arenas[t.arena], t.offset, t.spec.shape.clone())?;
        let own = t.penalty().custom_penalty(g, w).map_err(|e| e.in_layer(&t.layer))?;
        total = match (total, own) {
            (Some(total), Some(own)) => Some(g.add(total, own)?),
            (total, own) => total.or(own),
        };
    }
    Ok(total)
}

/// What the penalties add to the gradients of each arena that has any.
pub(crate) fn penalty_gradients(
    g: &mut Graph,
    layout: &ArenaLayout,
    penalty: Option<Value>,
    arenas: &[Value],
) -> Result<Vec<Option<Value>>> {
    let mut all = vec![None; arenas.len()];
    let penalised = |arena: usize| {
        let own = layout.tensors.iter().filter(|t| t.arena == arena);
        own.map(PlacedTensor::penalty).any(|r| r != Regularizer::default())
    };
    let trained = (0..arenas.len()).filter(|&a| layout.arenas[a].trainable() && penalised(a));
    if let Some(penalty) = penalty {
        let which: Vec<usize> = trained.collect();
        let wrt: Vec<Value> = which.iter().map(|&a| arenas[a]).collect();
        for (a, gradient) in which.into_iter().zip(gradients(g, penalty, &wrt)?) {
            all[a] = Some(gradient);
        }
    }
    Ok(all)
}

/// Builds losses and metrics, records them, and returns the scalar whose gradient the layers need.
fn record(
    g: &mut Graph,
    spec: &StepSpec<'_>,
    batch: &Batch,
    penalty: Option<Value>,
    ends: &Ends<'_>,
) -> Result<Value> {
    let mut columns = Vec::new();
    let mut totals = Vec::new();
    for ((((output, &targets), &predictions), &weighing), &numbers) in spec
        .outputs
        .iter()
        .zip(ends.targets)
        .zip(ends.predictions)
        .zip(&ends.weighing)
        .zip(&ends.traced.masks)
    {
        let values = output.loss.build_weighted(g, targets, predictions, weighing)?;
        let rows = values.rows;
        columns.push(rows);
        if let (Some(mask), Some(numbers)) = (values.mask, numbers) {
            columns.push(position_mask(g, mask, predictions, numbers)?);
        }
        for metric in &output.metrics {
            columns.extend(metric.build(g, &output.loss, &values, targets, predictions)?);
        }
        let total = g.sum(rows, &[], false)?;
        totals.push(if output.weight == 1.0 { total } else { g.scale(total, output.weight)? });
    }
    columns.extend(penalty);
    let room = batch.column_room();
    let mut offsets = Vec::new();
    let mut width = 0;
    for &column in &columns {
        offsets.push(width * room);
        width += g.shape(column).len().div_ceil(batch.size);
    }
    let expected = spec.columns_of(ends.traced);
    if width != expected {
        let detail = format!("{width} numbers of a sample, {expected} expected");
        return Err(Error::internal("metrics", detail));
    }
    let shape = [batch.records, width * room];
    let metrics = g.state(&batch.buffer("metrics", 0), shape, DType::F32);
    let record = g.step_param("record", DType::U32)?;
    let recorded = g.record(metrics, record, &columns, &offsets)?;
    g.update(metrics, recorded)?;
    let (first, rest) = (totals[0], &totals[1..]);
    rest.iter().try_fold(first, |sum, &t| g.add(sum, t))
}

/// The mask of each sample as `width` numbers: one for each position of the predictions, or for each element.
fn position_mask(g: &mut Graph, mask: Value, predictions: Value, width: usize) -> Result<Value> {
    let dims = g.shape(predictions).dims();
    let (batch, mut lead) = (dims[0], dims.to_vec());
    if dims.len() > 1 && lead.iter().skip(1).product::<usize>() != width {
        lead.pop();
    }
    let mut own = g.shape(mask).dims().to_vec();
    own.resize(lead.len(), 1);
    let mask = g.reshape(mask, own)?;
    let mask = g.broadcast_to(mask, lead)?;
    g.reshape(mask, if width == 1 { vec![batch] } else { vec![batch, width] })
}

/// Sorts the gradients of the trained tensors by arena and builds the update.
fn update(
    g: &mut Graph,
    spec: &StepSpec<'_>,
    optimizer: &dyn Optimizer,
    arenas: &[Value],
    grads: &[Value],
    penalties: &[Option<Value>],
) -> Result<()> {
    let layout = spec.layout;
    let of_arena = |(arena, &params): (usize, &Value)| {
        let trained = layout.tensors.iter().filter(|t| t.trainable());
        let own = || trained.clone().zip(grads).filter(|(t, _)| t.arena == arena);
        let offsets = own().map(|(t, _)| t.offset).collect();
        let gradients = own().map(|(_, &g)| g).collect();
        let constraints = own().map(|(t, _)| t.spec.constraint).collect();
        ArenaGradients { arena, params, offsets, gradients, penalty: penalties[arena], constraints }
    };
    let trained = arenas.iter().enumerate().filter(|(a, _)| layout.arenas[*a].trainable());
    let arenas: Vec<ArenaGradients> = trained.map(of_arena).collect();
    spec.gradients.build(g, optimizer, &arenas)
}
