//! A recurrent layer in both directions of time.

use super::Recurrence;
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::config::{Fields, Settings, config_of};
use crate::layers::{Context, Layer, LayerHandle, Outputs, WeightSpec};
use crate::tensor::{Shape, Tensor};

/// What becomes of the outputs of the two directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum MergeMode {
    /// Side by side along the last axis.
    #[default]
    Concat,
    /// Their sum.
    Sum,
    /// Their product.
    Mul,
    /// Their mean.
    Ave,
    /// They are two outputs.
    None,
}

/// A recurrent layer that reads a sequence from its start and, with weights apart, from its end. Keras' `Bidirectional`
/// (Schuster and Paliwal, "Bidirectional recurrent neural networks", 1997).
///
/// Input as that of the layer; of initial states those of the layer from the start come first. Output of step t is made of
/// both directions' output of step t by the [`MergeMode`]; without `return_sequences` both have read the whole sequence.
/// With `return_state` the last states follow, those of the layer from the start first. Weights have the names of the two
/// parts: `bidirectional/forward_lstm/kernel`. As in Keras, a masked step of a sequence of outputs is zero.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([20])
///     .add(Embedding::new(50, 8).mask_zero(true))
///     .add(Bidirectional::new(Lstm::new(16)))
///     .add(Dense::new(1));
/// assert_eq!(model.build()?.layers()[1].layer.output_shape(&[[20, 8].into()])?, [32].into());
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bidirectional {
    layer: LayerHandle,
    backward_layer: Option<LayerHandle>,
    merge_mode: MergeMode,
}

/// Both directions, with their names.
struct Parts {
    names: [String; 2],
    layers: [LayerHandle; 2],
    each: Recurrence,
}

impl Bidirectional {
    /// `layer`, which is recurrent and goes forwards, in both directions.
    #[must_use]
    pub fn new(layer: impl Into<LayerHandle>) -> Self {
        Self { layer: layer.into(), backward_layer: None, merge_mode: MergeMode::default() }
    }

    /// Another layer from the end: one that has `go_backwards`, and the same options besides.
    #[must_use]
    pub fn backward_layer(mut self, layer: impl Into<LayerHandle>) -> Self {
        self.backward_layer = Some(layer.into());
        self
    }

    /// What becomes of the outputs of the two directions.
    #[must_use]
    pub const fn merge_mode(mut self, merge_mode: MergeMode) -> Self {
        self.merge_mode = merge_mode;
        self
    }

    fn parts(&self) -> Result<Parts> {
        let of = |handle: &LayerHandle, backwards: bool| {
            let found = handle.layer().recurrence();
            let detail = "is no recurrent layer: it does not define `Layer::recurrence`";
            let found =
                found.ok_or_else(|| Error::parameter("layer", handle.layer().kind(), detail))?;
            if found.go_backwards != backwards {
                let detail = format!("the layer `{}` has it", handle.part_name());
                let rule = match backwards {
                    false => "; wrap a layer that goes forwards",
                    true => "; a layer from the end has go_backwards",
                };
                return Err(Error::parameter("go_backwards", !backwards, detail + rule));
            }
            Ok(found)
        };
        let each = of(&self.layer, false)?;
        let name = self.layer.part_name();
        let bare = |start: &str| name.strip_prefix(start).unwrap_or(&name).to_owned();
        let own = format!("backward_{}", bare("backward_"));
        let forward = format!("forward_{}", bare("forward_"));
        let (from_end, backward) = match &self.backward_layer {
            None => (each.from_end.clone(), own),
            Some(other) => {
                let second = of(other, true)?;
                let same = |r: &Recurrence| (r.return_sequences, r.return_state, r.states);
                if same(&each) != same(&second) {
                    let detail = "both directions have the same return_sequences, return_state and number of states";
                    return Err(Error::parameter("backward_layer", other.part_name(), detail));
                }
                let name = Some(&other.name).cloned().flatten();
                (second.from_end, name.unwrap_or(own))
            }
        };
        let frozen = |part: &LayerHandle, of: &LayerHandle| LayerHandle {
            trainable: of.trainable,
            ..part.clone()
        };
        let second = self.backward_layer.as_ref().unwrap_or(&self.layer);
        let layers = [frozen(&each.from_start, &self.layer), frozen(&from_end, second)];
        Ok(Parts { names: [forward, backward], layers, each })
    }

    /// What each direction is given of all inputs.
    fn halves<T: Clone>(inputs: &[T]) -> [Vec<T>; 2] {
        let (first, states) = inputs.split_at(1);
        let (start, end) = states.split_at(states.len() / 2);
        [[first, start].concat(), [first, end].concat()]
    }

    fn merged(&self, g: &mut Graph, y: Value, from_end: Value) -> Result<Vec<Value>> {
        let one = match self.merge_mode {
            MergeMode::None => return Ok(vec![y, from_end]),
            MergeMode::Concat => {
                let axis = g.shape(y).rank() - 1;
                g.concatenate(&[y, from_end], axis)
            }
            MergeMode::Sum => g.add(y, from_end),
            MergeMode::Mul => g.mul(y, from_end),
            MergeMode::Ave => {
                let sum = g.add(y, from_end)?;
                g.scale(sum, 0.5)
            }
        };
        Ok(vec![one?])
    }
}

impl Settings for Bidirectional {
    fn blank() -> Self {
        Self::new(crate::activations::Activation::Linear)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        let mut layer = Some(self.layer.clone());
        fields.layer("layer", &mut layer)?;
        self.layer = layer.unwrap_or_else(|| self.layer.clone());
        fields.optional_layer("backward_layer", &mut self.backward_layer)?;
        fields.field("merge_mode", &mut self.merge_mode)
    }
}

impl Layer for Bidirectional {
    fn kind(&self) -> &'static str {
        "Bidirectional"
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        let states = 2 * self.parts()?.each.states;
        if count == 1 || count == 1 + states {
            return Ok(());
        }
        let detail = format!("Bidirectional takes a sequence, or it and {states} initial states");
        Err(Error::parameter("inputs", count, detail))
    }

    fn batch_size(&self) -> Option<usize> {
        self.parts().ok()?.layers.iter().find_map(|layer| layer.layer().batch_size())
    }

    fn activation(&self) -> Option<crate::activations::Activation> {
        self.layer.layer().activation().filter(|_| {
            matches!(self.merge_mode, MergeMode::Concat | MergeMode::Ave | MergeMode::None)
        })
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(self.outputs(inputs)?.swap_remove(0).shape)
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        let Parts { layers, .. } = self.parts()?;
        let mut all = Vec::new();
        for (layer, given) in layers.iter().zip(Self::halves(inputs)) {
            all.push(layer.layer().outputs(&given)?);
        }
        let (y, from_end) = (all[0].remove(0), all[1].remove(0));
        let (axis, same) = (y.shape.rank() - 1, y.shape == from_end.shape);
        let lead = y.shape.dims()[..axis] == from_end.shape.dims()[..axis];
        let joined = matches!(self.merge_mode, MergeMode::Concat | MergeMode::None) && lead;
        if !(same || joined) {
            let detail = format!("merge_mode {:?} needs outputs of one shape", self.merge_mode);
            return Err(Error::shape("bidirectional", &[&y.shape, &from_end.shape], detail));
        }
        let mut outputs = match self.merge_mode {
            MergeMode::None => vec![y, from_end],
            MergeMode::Concat => {
                let mut dims = y.shape.dims().to_vec();
                dims[axis] = dims[axis].saturating_add(from_end.shape.dims()[axis]);
                vec![TensorType::f32(dims)]
            }
            _ => vec![y],
        };
        outputs.extend(all.concat());
        Ok(outputs)
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let Ok(Parts { names, layers, .. }) = self.parts() else { return Vec::new() };
        let parts = names.iter().zip(&layers).zip(Self::halves(inputs));
        parts.flat_map(|((name, layer), given)| layer.weights_within(name, &given)).collect()
    }

    fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let Ok(Parts { names, layers, .. }) = self.parts() else { return Vec::new() };
        let parts = names.iter().zip(&layers).zip(Self::halves(inputs));
        let own = parts.flat_map(|((name, layer), given)| {
            let own = layer.layer().constants(&given).into_iter();
            own.map(move |(inner, tensor)| (format!("{name}/{inner}"), tensor))
        });
        own.collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let Parts { names, layers, .. } = self.parts()?;
        let mut outputs = Outputs::default();
        let (mut sides, mut states, mut mask) = (Vec::new(), Vec::new(), None);
        let given = Self::halves(cx.inputs()).into_iter().zip(Self::halves(cx.masks()));
        for ((name, layer), (inputs, masks)) in names.iter().zip(&layers).zip(given) {
            let part = cx.part(name, &inputs).with_masks(&masks).apply(graph, layer)?;
            sides.push(part.values[0]);
            states.extend(&part.values[1..]);
            mask = part.mask_of(0);
            outputs = outputs.part(name, &part);
        }
        let merged = self.merged(graph, sides[0], sides[1])?;
        let masks = [vec![mask; merged.len()], vec![None; states.len()]].concat();
        Ok(Outputs { values: [merged, states].concat(), ..outputs }.masks(masks))
    }
}
