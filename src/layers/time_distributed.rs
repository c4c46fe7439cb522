//! One layer at every step of a sequence.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, LayerHandle, Outputs, Regularizer, WeightKind, WeightSpec};
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::tensor::{Shape, Tensor};
use std::collections::BTreeMap;

/// A layer applied to every step of a sequence, with the same weights. Keras' `TimeDistributed`.
///
/// Input `[batch, time, ...]`, of which the layer sees `[batch, ...]`; output `[batch, time, ...]`. The weights have the
/// layer's name: `time_distributed/dense/kernel`. The steps are samples of one larger batch, unless the layer has states:
/// then training runs step by step, and each step goes on from the state of the one before, as in Keras. A layer that
/// takes one batch size alone, as a stateful recurrent one, runs step by step in evaluation too, each step from the
/// states that training left.
#[derive(Debug, Clone)]
pub struct TimeDistributed {
    layer: LayerHandle,
}

impl TimeDistributed {
    /// `layer` at every step; it takes one tensor.
    #[must_use]
    pub fn new(layer: impl Into<LayerHandle>) -> Self {
        Self { layer: layer.into() }
    }

    /// The extent of time, and the sample that the layer sees.
    fn step(&self, inputs: &[Shape]) -> Result<(usize, Shape)> {
        match inputs[0].dims() {
            [time, sample @ ..] if !sample.is_empty() => Ok((*time, sample.into())),
            _ => {
                let detail = "samples are sequences [time, ...] with an axis besides the time";
                Err(Error::shape("time_distributed", &[&inputs[0]], detail))
            }
        }
    }

    /// The layer on all steps at once.
    fn folded(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let dims = graph.shape(cx.input()).dims().to_vec();
        let rows = dims[0] * dims[1];
        let fold = |graph: &mut Graph, x: Value| {
            let rest = graph.shape(x).dims()[2..].to_vec();
            graph.reshape(x, [&[rows], rest.as_slice()].concat())
        };
        let x = fold(graph, cx.input())?;
        let mask = match cx.mask().filter(|&mask| graph.shape(mask).rank() > 1) {
            Some(mask) => Some(fold(graph, mask)?),
            None => None,
        };
        let part = self.layer.part_name();
        let inner = cx.part(&part, &[x]).with_masks(&[mask]).apply(graph, &self.layer)?;
        let mut outputs = Vec::new();
        for &y in &inner.values {
            let rest = graph.shape(y).dims()[1..].to_vec();
            outputs.push(graph.reshape(y, [&dims[..2], rest.as_slice()].concat())?);
        }
        Ok(Outputs::from(outputs))
    }

    /// The layer step by step.
    fn unrolled(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        let time = graph.shape(cx.input()).dims()[1];
        let part = self.layer.part_name();
        let at = |graph: &mut Graph, x: Value, step: usize| {
            let mut dims = graph.shape(x).dims().to_vec();
            let slice = graph.slice(x, 1, step..step + 1)?;
            dims.remove(1);
            graph.reshape(slice, dims)
        };
        let mut state: BTreeMap<String, Value> = BTreeMap::new();
        let mut columns: Vec<Vec<Value>> = Vec::new();
        for step in 0..time {
            let x = at(graph, cx.input(), step)?;
            let mask = match cx.mask().filter(|&mask| graph.shape(mask).rank() > 1) {
                Some(mask) => Some(at(graph, mask, step)?),
                None => None,
            };
            let own = cx.part(&part, &[x]).with_masks(&[mask]).in_use(step as u32);
            let inner = own.after(&part, &state).apply(graph, &self.layer)?;
            for (name, new) in &inner.state {
                state.insert(format!("{part}/{name}"), *new);
            }
            columns.resize(inner.values.len(), Vec::new());
            for (column, y) in columns.iter_mut().zip(inner.values) {
                let dims = graph.shape(y).dims().to_vec();
                let row = [&dims[..1], &[1], &dims[1..]].concat();
                column.push(graph.reshape(y, row)?);
            }
        }
        let joined = columns.iter().map(|steps| match steps.as_slice() {
            [one] => Ok(*one),
            several => graph.concatenate(several, 1),
        });
        let outputs: Vec<Value> = joined.collect::<Result<_>>()?;
        let state = state.into_iter().collect();
        Ok(Outputs { state, ..Outputs::from(outputs) })
    }
}

impl Settings for TimeDistributed {
    fn blank() -> Self {
        Self::new(crate::activations::Activation::Linear)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        let mut layer = Some(self.layer.clone());
        fields.layer("layer", &mut layer)?;
        self.layer = layer.unwrap_or_else(|| self.layer.clone());
        Ok(())
    }
}

impl Layer for TimeDistributed {
    fn kind(&self) -> &'static str {
        "TimeDistributed"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(self.outputs(inputs)?.swap_remove(0).shape)
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        let (time, sample) = self.step(inputs)?;
        self.layer.layer().check_inputs(1)?;
        if self.layer.layer().activity_regularizer() != Regularizer::NONE {
            let detail = "a step of time has none; penalise the output of TimeDistributed";
            return Err(Error::parameter(
                "activity_regularizer",
                self.layer.layer().kind(),
                detail,
            ));
        }
        let types = self.layer.layer().outputs(&[sample])?.into_iter().map(|ty| TensorType {
            shape: [&[time], ty.shape.dims()].concat().into(),
            dtype: ty.dtype,
        });
        let types: Vec<TensorType> = types.collect();
        if types.is_empty() {
            return Err(Error::parameter("outputs", 0, "a layer declares an output or more"));
        }
        Ok(types)
    }

    fn batch_size(&self) -> Option<usize> {
        self.layer.layer().batch_size()
    }

    fn takes_indices(&self) -> Option<usize> {
        self.layer.layer().takes_indices()
    }

    fn keeps_elements(&self) -> bool {
        self.layer.layer().keeps_elements()
    }

    fn keeps_range(&self) -> bool {
        self.layer.layer().keeps_range()
    }

    fn activation(&self) -> Option<crate::activations::Activation> {
        self.layer.layer().activation()
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let sample = self.step(inputs).map(|(_, sample)| sample);
        let own = |sample| self.layer.weights_within(&self.layer.part_name(), &[sample]);
        sample.map(own).unwrap_or_default()
    }

    fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let part = self.layer.part_name();
        let sample = self.step(inputs).map(|(_, sample)| sample);
        let own = |sample| self.layer.layer().constants(&[sample]);
        let own = sample.map(own).unwrap_or_default().into_iter();
        own.map(|(name, tensor)| (format!("{part}/{name}"), tensor)).collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let sample = Shape::from(&graph.shape(cx.input()).dims()[1..]);
        let holds_state = self.weights(&[sample]).iter().any(|w| w.kind == WeightKind::State);
        match holds_state && cx.training() || self.batch_size().is_some() {
            true => self.unrolled(graph, cx),
            false => self.folded(graph, cx),
        }
    }
}
