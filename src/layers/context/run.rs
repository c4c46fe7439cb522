//! A layer applied in its context, and checked against what it declares.

use super::{Context, Outputs};
use crate::error::{Error, Result};
use crate::graph::{Graph, TensorType, Value};
use crate::layers::{Layer, LayerHandle};
use crate::tensor::{DType, Shape};

impl Context {
    /// Applies `layer` in this context, under its name, and checks that it keeps to what it declares.
    ///
    /// # Errors
    /// Those of the layer; [`Error::Parameter`], [`Error::Shape`] and [`Error::DType`] naming the layer and the output
    /// or the state that differs from what it declares.
    pub fn apply(&self, graph: &mut Graph, layer: &LayerHandle) -> Result<Outputs> {
        let cx = self.clone().with_trainable(layer.trainable);
        cx.run(graph, &*layer.layer)
    }

    pub(in crate::layers) fn run(&self, graph: &mut Graph, layer: &dyn Layer) -> Result<Outputs> {
        graph.in_layer(&self.path, |graph| {
            graph.check(layer.kind(), &self.inputs)?;
            check_masks(graph, layer.kind(), "input", &self.masks, &self.inputs)?;
            let declared = self.declared(graph, layer)?;
            let mut outputs = layer.apply(graph, self)?;
            self.check_outputs(graph, layer.kind(), &declared, &outputs.values)?;
            self.check_state(graph, layer.kind(), &outputs.state)?;
            for &output in &outputs.values {
                if let Some(penalty) = layer.activity_regularizer().activity(graph, output)? {
                    graph.add_penalty(penalty)?;
                }
            }
            self.complete_masks(graph, layer.kind(), &mut outputs)?;
            // Evaluation reads states and leaves them.
            if !self.training() {
                outputs.state.clear();
            }
            Ok(outputs)
        })
    }

    /// The types of the outputs, with the batch axis.
    fn declared(&self, graph: &Graph, layer: &dyn Layer) -> Result<Vec<TensorType>> {
        let mut samples = Vec::new();
        let mut batch = 1;
        for &input in &self.inputs {
            let shape = graph.shape(input);
            let Some((&first, sample)) = shape.dims().split_first() else {
                let detail = "an input has a batch axis: [batch, ...]";
                return Err(Error::shape(layer.kind(), &[shape], detail));
            };
            batch = first;
            samples.push(Shape::from(sample));
        }
        layer.check_inputs(samples.len())?;
        let types = layer.outputs(&samples)?.into_iter().map(|ty| {
            let dtype = match layer.keeps_elements() {
                true => graph.ty(self.inputs[0]).dtype,
                false => ty.dtype,
            };
            TensorType { shape: [&[batch], ty.shape.dims()].concat().into(), dtype }
        });
        Ok(types.collect())
    }

    fn check_outputs(
        &self,
        graph: &Graph,
        kind: &str,
        declared: &[TensorType],
        values: &[Value],
    ) -> Result<()> {
        graph.check(kind, values)?;
        if values.len() != declared.len() {
            let detail = format!("`apply` gave so many; the layer declares {}", declared.len());
            return Err(Error::parameter("outputs", values.len(), detail));
        }
        for (i, (&value, declared)) in values.iter().zip(declared).enumerate() {
            let got = graph.ty(value);
            let detail =
                || format!("output {i}: `apply` gave the first, the layer declares the second");
            if got.shape != declared.shape {
                return Err(Error::shape(kind, &[&got.shape, &declared.shape], detail()));
            }
            if got.dtype != declared.dtype {
                return Err(Error::dtype(kind, &[got.dtype, declared.dtype], detail()));
            }
        }
        Ok(())
    }

    fn check_state(&self, graph: &Graph, kind: &str, state: &[(String, Value)]) -> Result<()> {
        for (i, (name, new)) in state.iter().enumerate() {
            graph.check(kind, &[*new])?;
            let old = self.state(name)?;
            if state[..i].iter().any(|(other, _)| other == name) {
                let detail = "the layer gives it two new values; give it one";
                return Err(Error::parameter("state", name, detail));
            }
            let (new, old) = (graph.ty(*new), graph.ty(old));
            let detail =
                || format!("state `{name}`: its new value has the first, it has the second");
            if new.shape != old.shape {
                return Err(Error::shape(kind, &[&new.shape, &old.shape], detail()));
            }
            if new.dtype != old.dtype {
                return Err(Error::dtype(kind, &[new.dtype, old.dtype], detail()));
            }
        }
        Ok(())
    }

    /// Checks the masks that a layer gives. If it gives none, an output has the first mask whose axes it has.
    fn complete_masks(&self, graph: &Graph, kind: &str, outputs: &mut Outputs) -> Result<()> {
        let Some(masks) = &outputs.masks else {
            let kept = |&value: &Value| {
                self.masks.iter().copied().flatten().find(|&mask| fits(graph, mask, value))
            };
            outputs.masks = Some(outputs.values.iter().map(kept).collect());
            return Ok(());
        };
        if masks.len() != outputs.values.len() {
            let detail = format!("the layer has {} outputs", outputs.values.len());
            return Err(Error::parameter("masks", masks.len(), detail));
        }
        check_masks(graph, kind, "output", masks, &outputs.values)
    }
}

/// Whether a mask has the leading axes of a value.
fn fits(graph: &Graph, mask: Value, value: Value) -> bool {
    graph.shape(value).dims().starts_with(graph.shape(mask).dims())
}

/// Refuses a mask of another shape or type than its input or output may have.
fn check_masks(
    graph: &Graph,
    kind: &str,
    what: &str,
    masks: &[Option<Value>],
    values: &[Value],
) -> Result<()> {
    for (i, (mask, &value)) in masks.iter().zip(values).enumerate() {
        let Some(mask) = *mask else { continue };
        graph.check(kind, &[mask])?;
        if !fits(graph, mask, value) {
            let shapes = [graph.shape(mask), graph.shape(value)];
            let detail = format!("the mask of {what} {i} has its leading axes: [batch, time]");
            return Err(Error::shape(kind, &shapes, detail));
        }
        if graph.ty(mask).dtype != DType::F32 {
            let detail = format!("the mask of {what} {i} is f32: 1 or 0");
            return Err(Error::dtype(kind, &[graph.ty(mask).dtype], detail));
        }
    }
    Ok(())
}
