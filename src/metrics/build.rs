//! The device's part of a metric: its inputs, and what is refused.

use super::{ClassAverage, CustomMetric, Metric, class_count};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::losses::{Loss, LossValues};
use crate::tensor::{DType, Shape};

/// An output as a metric sees it.
pub(super) struct Output<'a> {
    /// The metric's name.
    pub name: &'static str,
    pub loss: &'a Loss,
    pub values: &'a LossValues,
    /// The mask, over leading axes of the predictions.
    pub mask: Option<Value>,
    pub targets: Value,
    /// The targets' element type.
    pub dtype: DType,
    pub predictions: Value,
    /// The predictions' shape, `[batch, ...]`.
    pub shape: Shape,
    pub batch: usize,
    /// The shape of one sample.
    pub sample: Shape,
}

impl Metric {
    /// Builds the columns for predictions `[batch, ...]` and targets of the loss: `[batch]` each, or `[batch, numbers]`
    /// if [`Metric::columns`] says so. What the mask of the loss leaves out is in no sum; other columns have it, and
    /// [`Metric::accumulate_masked`] leaves it out.
    ///
    /// # Errors
    /// Settings outside their domain, and outputs or targets that do not suit the metric, with its name.
    pub fn build(
        &self,
        graph: &mut Graph,
        loss: &Loss,
        values: &LossValues,
        targets: Value,
        predictions: Value,
    ) -> Result<Vec<Value>> {
        graph.check(self.name(), &[targets, predictions, values.rows])?;
        let shape = graph.shape(predictions).clone();
        let name = self.name();
        // If the loss computes with numbers, its labels become numbers here too.
        let numbers = graph.ty(targets).dtype == DType::U32 && !loss.takes_labels();
        let targets =
            if numbers { loss.fit_targets(graph, targets, predictions)? } else { targets };
        let dtype = graph.ty(targets).dtype;
        let Some((&batch, sample)) = shape.dims().split_first() else {
            return Err(Error::shape(name, &[&shape], "predictions need a batch axis"));
        };
        let sample = Shape::from(sample);
        if let Self::Custom(metric) = self {
            let targets = loss.fit_targets(graph, targets, predictions)?;
            let columns = match values.mask {
                Some(mask) => metric.masked_columns(graph, targets, predictions, mask),
                None => metric.columns(graph, targets, predictions).map(Some),
            };
            let Some(columns) = columns.map_err(|e| e.in_layer(name))? else {
                let shapes: Vec<&Shape> = values.mask.iter().map(|&m| graph.shape(m)).collect();
                let detail = "the output has a mask, which the metric does not heed; measure an output without one, \
                              or write CustomMetric::masked_columns";
                return Err(Error::shape(name, &[&shapes[..], &[&shape]].concat(), detail));
            };
            return checked_columns(*metric, graph, columns, (batch, &sample));
        }
        let mask = values.mask;
        let o =
            Output { name, loss, values, mask, targets, dtype, predictions, shape, batch, sample };
        let column = match *self {
            Self::Custom(_) => return Ok(Vec::new()),
            // As Keras 3 chooses: by the last axis, whatever the loss.
            Self::Accuracy
                if dtype == DType::F32 && o.sample.dims().last().is_none_or(|&d| d == 1) =>
            {
                o.sides(graph, loss.threshold())
            }
            Self::Accuracy => o.hits(graph),
            Self::BinaryAccuracy { threshold } => {
                o.takes(DType::F32)?;
                if loss.is_categorical() {
                    let detail = "outputs of one softmax are no labels of their own; use CategoricalAccuracy";
                    return Err(Error::shape(name, &[&o.sample], detail));
                }
                let threshold = o.threshold(threshold)?;
                o.sides(graph, threshold)
            }
            Self::CategoricalAccuracy => {
                o.takes(DType::F32)?;
                o.classes()?;
                o.hits(graph)
            }
            Self::SparseCategoricalAccuracy => {
                o.takes(DType::U32)?;
                o.classes()?;
                o.hits(graph)
            }
            Self::TopKCategoricalAccuracy { k } => {
                o.takes(DType::F32)?;
                o.top(graph, k)
            }
            Self::SparseTopKCategoricalAccuracy { k } => {
                o.takes(DType::U32)?;
                o.top(graph, k)
            }
            Self::Precision { average, threshold }
            | Self::Recall { average, threshold }
            | Self::F1 { average, threshold } => {
                let classes = class_count(&o.sample);
                if average == Some(ClassAverage::Binary) && classes != 2 {
                    let detail = format!("there are {classes} classes; choose another average");
                    return Err(Error::parameter(format!("{name} average"), "Binary", detail));
                }
                o.cells(graph, threshold)
            }
            Self::MeanIoU { threshold } | Self::ConfusionMatrix { threshold } => {
                o.cells(graph, threshold)
            }
            Self::Auc => {
                if !o.is_single() {
                    let detail = "the area under the ROC curve ranks samples by a single output, the score of class \
                                  1; measure several classes with Accuracy, F1 or ConfusionMatrix, or give the \
                                  model one unit and BinaryCrossentropy";
                    return Err(Error::shape(name, &[&o.sample], detail));
                }
                o.takes(DType::F32)?;
                return o.pairs(graph);
            }
            Self::R2Score => {
                o.takes(DType::F32)?;
                o.check_mask(graph)?;
                return o.pairs(graph);
            }
            Self::MeanSquaredError | Self::RootMeanSquaredError => o.errors(graph, "square"),
            Self::MeanAbsoluteError => o.errors(graph, "abs"),
        };
        Ok(vec![column?])
    }
}

/// The columns of a metric from outside, checked.
fn checked_columns(
    metric: &dyn CustomMetric,
    graph: &Graph,
    columns: Vec<Value>,
    (batch, sample): (usize, &Shape),
) -> Result<Vec<Value>> {
    let name = metric.name();
    graph.check(name, &columns)?;
    let widths = metric.widths(sample);
    if columns.len() != widths.len() {
        let detail = format!("CustomMetric::widths says {}", widths.len());
        return Err(Error::parameter(format!("{name}: columns"), columns.len(), detail));
    }
    for (&column, width) in columns.iter().zip(widths) {
        let ty = graph.ty(column);
        if ty.dtype != DType::F32 {
            return Err(Error::dtype(name, &[ty.dtype], "columns are f32"));
        }
        let fits = ty.shape.dims() == [batch, width] || width == 1 && ty.shape.dims() == [batch];
        if !fits {
            let detail = format!("CustomMetric::widths says [{batch}, {width}]");
            return Err(Error::shape(name, &[&ty.shape], detail));
        }
    }
    Ok(columns)
}

impl Output<'_> {
    /// Whether a position has one output, with two classes.
    pub fn is_single(&self) -> bool {
        self.sample.dims().last().is_none_or(|&d| d == 1)
    }

    /// Refuses a mask that leaves out a part of a position.
    pub fn check_mask(&self, graph: &Graph) -> Result<()> {
        let Some(mask) = self.mask else { return Ok(()) };
        let mask = graph.shape(mask);
        if self.is_single() || mask.rank() < self.shape.rank() {
            return Ok(());
        }
        let detail = "the mask (the first shape) leaves out parts of a position; it is over the axes before the last";
        Err(Error::shape(self.name, &[mask, &self.shape], detail))
    }

    /// Positions of the batch: rows along the last axis.
    pub fn rows(&self) -> usize {
        self.shape.len() / self.sample.dims().last().copied().unwrap_or(1)
    }

    /// Refuses targets of another element type.
    pub fn takes(&self, dtype: DType) -> Result<()> {
        if self.dtype == dtype {
            return Ok(());
        }
        let detail = match dtype {
            DType::U32 => {
                "the metric takes integer labels (u32); its form without `Sparse` takes f32"
            }
            _ => {
                "the metric takes targets of f32; Accuracy, the `Sparse` accuracies, F1 and ConfusionMatrix take labels"
            }
        };
        Err(Error::dtype(self.name, &[self.dtype], detail))
    }

    /// The extent of the class axis.
    pub fn classes(&self) -> Result<usize> {
        match self.sample.dims().last() {
            Some(&classes) if classes > 1 => Ok(classes),
            _ => {
                let detail =
                    "a class axis is needed; a single output is measured by binary metrics";
                Err(Error::shape(self.name, &[&self.sample], detail))
            }
        }
    }

    /// The threshold in the unit of the predictions.
    pub fn threshold(&self, threshold: f32) -> Result<f32> {
        let name = || format!("{} threshold", self.name);
        if matches!(self.loss, Loss::BinaryCrossentropy { .. }) {
            if !(threshold > 0.0 && threshold < 1.0) {
                return Err(Error::parameter(name(), threshold, "a probability between 0 and 1"));
            }
        } else if !threshold.is_finite() {
            return Err(Error::parameter(name(), threshold, "a finite number"));
        }
        let odds = f64::from(threshold) / (1.0 - f64::from(threshold));
        let logits = matches!(self.loss, Loss::BinaryCrossentropy { from_logits: true });
        Ok(if logits { odds.ln() as f32 } else { threshold })
    }
}
