//! The columns of metrics as nodes of the step's graph: numbers of each sample.

use super::build::Output;
use super::class_count;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::losses::{Loss, aligned, sum_samples};
use crate::ops::MAX_CELL_CLASSES;
use crate::tensor::DType;

impl Output<'_> {
    /// Targets of the predictions' shape, or integer labels of it less the class axis.
    fn fitted(&self, graph: &mut Graph) -> Result<Value> {
        let dims = self.shape.dims();
        match self.dtype {
            DType::U32 => graph.reshape(self.targets, &dims[..dims.len() - 1]),
            _ => graph.reshape(self.targets, self.shape.clone()),
        }
    }

    /// The sum of each sample's numbers that count: the host divides, so that counts stay whole.
    fn sum(&self, graph: &mut Graph, numbers: Value) -> Result<Value> {
        let Some(mask) = self.mask else { return sum_samples(graph, numbers, 1) };
        if graph.shape(numbers).rank() < self.shape.rank() {
            self.check_mask(graph)?;
        }
        let (own, zero) = (aligned(graph, mask, numbers)?, graph.constant(0.0));
        let counted = graph.select(own, numbers, zero)?;
        sum_samples(graph, counted, 1)
    }

    /// How many rows of predictions have the class of their target.
    pub fn hits(&self, graph: &mut Graph) -> Result<Value> {
        let hits = match self.values.hits {
            Some(hits) => hits,
            None => {
                let targets = self.fitted(graph)?;
                graph.hits(self.predictions, targets)?
            }
        };
        self.sum(graph, hits)
    }

    /// How many outputs are on their target's side of the threshold. NaN is on neither.
    pub fn sides(&self, graph: &mut Graph, threshold: f32) -> Result<Value> {
        let targets = self.fitted(graph)?;
        let threshold = graph.constant(threshold);
        let positive = graph.binary("greater", self.predictions, threshold)?;
        let right = graph.binary("equal", positive, targets)?;
        let (nan, wrong) = (graph.unary("is_nan", self.predictions, &[])?, graph.constant(0.0));
        let right = graph.select(nan, wrong, right)?;
        self.sum(graph, right)
    }

    /// How many rows have fewer than `k` predictions above that of the target's class.
    pub fn top(&self, graph: &mut Graph, k: usize) -> Result<Value> {
        let classes = self.classes()?;
        if k == 0 || k > classes {
            let detail = format!("1 to {classes}, the number of classes");
            return Err(Error::parameter(format!("{} k", self.name), k, detail));
        }
        let targets = self.fitted(graph)?;
        let ranks = graph.target_ranks(self.predictions, targets)?;
        let k = graph.constant(k as f32);
        let among = graph.binary("less", ranks, k)?;
        self.sum(graph, among)
    }

    /// The cell of the confusion matrix: target · classes + predicted, or -1 - target if a prediction is NaN.
    pub fn cells(&self, graph: &mut Graph, threshold: f32) -> Result<Value> {
        let classes = class_count(&self.sample);
        let threshold = self.threshold(threshold)?;
        self.check_mask(graph)?;
        let rows = self.rows();
        let of_samples = |graph: &mut Graph, cells| {
            graph.reshape(
                cells,
                if rows == self.batch { vec![rows] } else { vec![self.batch, rows / self.batch] },
            )
        };
        if self.is_single() {
            self.takes(DType::F32)?;
            let targets = graph.reshape(self.targets, [rows])?;
            let predictions = graph.reshape(self.predictions, [rows])?;
            let (half, threshold) = (graph.constant(0.5), graph.constant(threshold));
            let actual = graph.binary("greater", targets, half)?;
            let row = graph.scale(actual, 2.0)?;
            let predicted = graph.binary("greater", predictions, threshold)?;
            let cell = graph.add(row, predicted)?;
            let minus_one = graph.constant(-1.0);
            let (nan, none) =
                (graph.unary("is_nan", predictions, &[])?, graph.sub(minus_one, actual)?);
            let cells = graph.select(nan, none, cell)?;
            return of_samples(graph, cells);
        }
        if matches!(self.loss, Loss::BinaryCrossentropy { .. }) {
            let detail = "binary_crossentropy takes several outputs for labels of their own, where a position has \
                          one class; give each label an output of the model";
            return Err(Error::shape(self.name, &[&self.sample], detail));
        }
        if classes > MAX_CELL_CLASSES {
            let detail =
                format!("at most {MAX_CELL_CLASSES} classes have cells that an f32 counts");
            return Err(Error::shape(self.name, &[&self.sample], detail));
        }
        let predictions = graph.reshape(self.predictions, [rows, classes])?;
        let targets = match self.dtype {
            DType::U32 => graph.reshape(self.targets, [rows])?,
            _ => graph.reshape(self.targets, [rows, classes])?,
        };
        let cells = graph.confusion_cells(predictions, targets)?;
        of_samples(graph, cells)
    }

    /// Targets and predictions as they are, `[batch, outputs]`.
    pub fn pairs(&self, graph: &mut Graph) -> Result<Vec<Value>> {
        let flat = [self.batch, self.sample.len()];
        Ok(vec![graph.reshape(self.targets, flat)?, graph.reshape(self.predictions, flat)?])
    }

    /// The sum of a function of the errors.
    pub fn errors(&self, graph: &mut Graph, function: &str) -> Result<Value> {
        self.takes(DType::F32)?;
        let targets = self.fitted(graph)?;
        let errors = graph.sub(self.predictions, targets)?;
        let errors = graph.unary(function, errors, &[])?;
        self.sum(graph, errors)
    }
}
