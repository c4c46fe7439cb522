//! A model on a graph, and a model as a layer.

use super::{Model, NamedLayer};
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::{Context, Layer, LayerHandle, Outputs, Random, Sequential, WeightSpec};
use crate::tensor::{Shape, Tensor};
use std::collections::BTreeMap;

impl Model {
    /// Builds the network on `inputs`, each `[batch, ...]`. `weights` are in the order of [`Model::weights`];
    /// `random` is seed and step while training. Gives each output. Constants are in the graph.
    ///
    /// A training step of a model with states needs their new values: [`Model::run`] gives them too.
    ///
    /// # Errors
    /// Shapes that do not fit, naming the layer; another number of inputs or weights than the model has; new states.
    pub fn apply(
        &self,
        graph: &mut Graph,
        inputs: &[Value],
        weights: &[Value],
        random: Option<(Value, Value)>,
    ) -> Result<Vec<Value>> {
        let outputs = self.run(graph, inputs, &[], weights, random)?;
        match outputs.state.first() {
            None => Ok(outputs.values),
            Some((name, _)) => {
                let detail = "this state has a new value, which would be lost; use Model::run";
                Err(Error::parameter("state", name, detail))
            }
        }
    }

    /// As [`Model::apply`], with the mask of each input, or none; also gives new values of states, by names as
    /// `layer/state`, and the mask of each output.
    ///
    /// # Errors
    /// As [`Model::apply`].
    pub fn run(
        &self,
        graph: &mut Graph,
        inputs: &[Value],
        masks: &[Option<Value>],
        weights: &[Value],
        random: Option<(Value, Value)>,
    ) -> Result<Outputs> {
        let random = random.map(|(seed, step)| Random { seed, step, stream: 0 });
        self.run_drawing(graph, inputs, masks, weights, random)
    }

    /// As [`Model::run`], with another first stream of random numbers: uses of a model with different ones draw different
    /// numbers.
    ///
    /// # Errors
    /// As [`Model::apply`].
    pub(crate) fn run_drawing(
        &self,
        graph: &mut Graph,
        inputs: &[Value],
        masks: &[Option<Value>],
        weights: &[Value],
        random: Option<Random>,
    ) -> Result<Outputs> {
        let specs: Vec<WeightSpec> = self.weights().map(|(l, w)| w.within(&l.name)).collect();
        for (name, given, wanted) in
            [("inputs", inputs.len(), self.inputs.len()), ("weights", weights.len(), specs.len())]
        {
            if given != wanted {
                let detail = format!("the model has {wanted}");
                return Err(Error::parameter(name, given, detail));
            }
        }
        let cx = Context::new("", inputs).tensors(&specs, weights).with_masks(masks);
        let cx = cx.training_with(random);
        let add = |cx: Context, (name, tensor): (String, Tensor)| -> Result<Context> {
            let value = graph.constant_tensor(tensor).map_err(|e| e.in_layer(&name))?;
            Ok(cx.with_constant(&name, value))
        };
        let cx = Layer::constants(self, &[]).into_iter().try_fold(cx, add)?;
        Layer::apply(self, graph, &cx)
    }

    /// Refuses samples of other shapes than the inputs have.
    pub(super) fn check_samples(&self, samples: &[Shape]) -> Result<()> {
        if samples.len() != self.inputs.len() {
            let detail = format!("the model has {}", self.inputs.len());
            return Err(Error::parameter("inputs", samples.len(), detail));
        }
        match self.inputs.iter().zip(samples).find(|(own, given)| own.shape != **given) {
            None => Ok(()),
            Some((own, given)) => {
                let detail = format!("input `{}` of the model takes the second", own.name);
                Err(Error::shape(self.kind, &[given, &own.shape], detail))
            }
        }
    }

    /// Whether each input goes into layers that the same input of `other` goes into.
    pub(crate) fn begins_as(&self, other: &Self) -> bool {
        fn readers(model: &Model, input: usize) -> impl Iterator<Item = &NamedLayer> {
            let calls = model.calls.iter().filter(move |call| call.inputs.contains(&input));
            calls.map(|call| &model.layers[call.layer])
        }
        let same = |i| readers(self, i).all(|a| readers(other, i).any(|b| a.is_same_layer(b)));
        self.inputs.len() == other.inputs.len() && (0..self.inputs.len()).all(same)
    }

    /// Whether both are the same layers, called in the same way.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let layers = || self.layers.iter().zip(&other.layers);
        self.layers.len() == other.layers.len()
            && layers().all(|(a, b)| a.is_same_layer(b))
            && (&self.inputs, &self.calls, &self.outputs)
                == (&other.inputs, &other.calls, &other.outputs)
    }
}

impl Layer for Model {
    fn kind(&self) -> &'static str {
        if self.kind == "sequential" { "Sequential" } else { "Functional" }
    }

    fn check_inputs(&self, count: usize) -> Result<()> {
        match count == self.inputs.len() {
            true => Ok(()),
            false => {
                let detail = format!("the model has {}", self.inputs.len());
                Err(Error::parameter("inputs", count, detail))
            }
        }
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(self.outputs(inputs)?.swap_remove(0).shape)
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        self.check_samples(inputs)?;
        let sources = self.outputs.iter().filter_map(|&o| self.source(o));
        let types = sources.map(|(call, output)| {
            let NamedLayer { layer, inputs, .. } = &self.layers[call.layer];
            Ok(layer.outputs(inputs)?.swap_remove(output))
        });
        types.collect()
    }

    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        let own = self.weights().map(|(layer, spec)| {
            let spec = spec.within(&layer.name);
            if layer.trainable { spec } else { spec.frozen() }
        });
        own.collect()
    }

    fn batch_size(&self) -> Option<usize> {
        self.layers.iter().find_map(|l| l.layer.batch_size())
    }

    fn constants(&self, _inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let of_layer = |l: &NamedLayer| {
            let own = l.constants().into_iter().map(|(name, t)| (format!("{}/{name}", l.name), t));
            own.collect::<Vec<_>>()
        };
        self.layers.iter().flat_map(of_layer).collect()
    }

    fn as_model(&self) -> Result<Option<Model>> {
        Ok(Some(self.clone()))
    }

    fn config(&self) -> Result<serde_json::Value> {
        Ok(self.to_value()?["config"].take())
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check("model", cx.inputs())?;
        let mut values: Vec<(Value, Option<Value>)> =
            cx.inputs().iter().copied().zip(cx.masks().iter().copied()).collect();
        // The newest value of each state: a further use of a layer goes on from the one before.
        let mut state: BTreeMap<String, Value> = BTreeMap::new();
        let mut uses = vec![0; self.layers.len()];
        for call in &self.calls {
            let NamedLayer { name, layer, trainable, .. } = &self.layers[call.layer];
            let inputs: Vec<Value> = call.inputs.iter().map(|&i| values[i].0).collect();
            let masks: Vec<Option<Value>> = call.inputs.iter().map(|&i| values[i].1).collect();
            // Each use of a shared layer draws different numbers.
            let before = uses[call.layer];
            uses[call.layer] += 1;
            let own = cx.part(name, &inputs).with_masks(&masks).with_trainable(*trainable);
            let outputs = own.in_use(before).after(name, &state).run(graph, &**layer)?;
            for (local, new) in &outputs.state {
                state.insert(format!("{name}/{local}"), *new);
            }
            let masks = (0..outputs.values.len()).map(|i| outputs.mask_of(i));
            values.extend(outputs.values.iter().copied().zip(masks));
        }
        let (outputs, masks) = self.outputs.iter().map(|&o| values[o]).unzip();
        let state = state.into_iter().collect();
        Ok(Outputs { values: outputs, state, masks: Some(masks) })
    }
}

impl Layer for Sequential {
    fn kind(&self) -> &'static str {
        "Sequential"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.build()?.output_shape(inputs)
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        self.build()?.outputs(inputs)
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        self.build().map(|model| Layer::weights(&model, inputs)).unwrap_or_default()
    }

    fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        self.build().map(|model| Layer::constants(&model, inputs)).unwrap_or_default()
    }

    fn batch_size(&self) -> Option<usize> {
        Layer::batch_size(&self.build().ok()?)
    }

    fn as_model(&self) -> Result<Option<Model>> {
        self.build().map(Some)
    }

    fn config(&self) -> Result<serde_json::Value> {
        Layer::config(&self.build()?)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        Layer::apply(&self.build()?, graph, cx)
    }
}

impl From<&Model> for LayerHandle {
    /// The model as a layer. Every use shares its weights.
    fn from(model: &Model) -> Self {
        model.clone().into()
    }
}

impl From<&Sequential> for LayerHandle {
    /// The stack as a layer. Every use shares its weights.
    fn from(stack: &Sequential) -> Self {
        stack.clone().into()
    }
}
