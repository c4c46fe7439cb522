//! A stack of layers.

use super::{Layer, Mode, WeightSpec, snake_case, stream_of};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::Shape;
use std::sync::Arc;

/// A layer in its place.
#[derive(Debug, Clone)]
pub struct NamedLayer {
    /// Its name, unique in the model: `dense`, `dense_1`.
    pub name: String,
    /// The layer.
    pub layer: Arc<dyn Layer>,
}

/// Layers applied one after the other, as Keras' `Sequential`.
#[derive(Debug, Clone)]
pub struct Sequential {
    input: Shape,
    layers: Vec<NamedLayer>,
}

impl Sequential {
    /// An empty stack for samples of this shape (without the batch axis).
    #[must_use]
    pub fn new(input: impl Into<Shape>) -> Self {
        Self { input: input.into(), layers: Vec::new() }
    }

    /// Appends a layer, named after its type.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "the name that Keras gave it")]
    pub fn add(self, layer: impl Layer + 'static) -> Self {
        let base = snake_case(layer.kind());
        let same = self.layers.iter().filter(|l| l.layer.kind() == layer.kind()).count();
        let numbered = |i: usize| if i == 0 { base.clone() } else { format!("{base}_{i}") };
        let taken = |name: &String| self.layers.iter().any(|l| l.name == *name);
        let name = (same..).map(numbered).find(|name| !taken(name)).unwrap_or_default();
        self.add_named(&name, layer)
    }

    /// Appends a layer under a name of its own.
    #[must_use]
    pub fn add_named(mut self, name: &str, layer: impl Layer + 'static) -> Self {
        self.layers.push(NamedLayer { name: name.into(), layer: Arc::new(layer) });
        self
    }

    /// The shape of one input sample.
    #[must_use]
    pub const fn input_shape(&self) -> &Shape {
        &self.input
    }

    /// The layers.
    #[must_use]
    pub fn layers(&self) -> &[NamedLayer] {
        &self.layers
    }

    /// The shape of one sample after each layer.
    ///
    /// # Errors
    /// The first layer that does not fit, by name; an empty stack; two layers of one name.
    pub fn shapes(&self) -> Result<Vec<Shape>> {
        if self.layers.is_empty() {
            return Err(Error::parameter("layers", 0, "a model has at least one layer; add one"));
        }
        if self.input.is_empty() {
            return Err(Error::shape("input", &[&self.input], "an extent is zero"));
        }
        indexable("input", &self.input)?;
        let mut shapes: Vec<Shape> = Vec::new();
        for (i, named) in self.layers.iter().enumerate() {
            if self.layers[..i].iter().any(|l| l.name == named.name) {
                let detail = "two layers have this name; give one another with add_named";
                return Err(Error::parameter("name", &named.name, detail));
            }
            let input = shapes.last().unwrap_or(&self.input);
            let shape = named.layer.output_shape(input).map_err(|e| e.in_layer(&named.name))?;
            indexable(&format!("layer `{}`: one sample", named.name), &shape)?;
            for weight in named.layer.weights(input) {
                indexable(&format!("layer `{}`: {}", named.name, weight.name), &weight.shape)?;
            }
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// The shape of one output sample.
    ///
    /// # Errors
    /// As [`Sequential::shapes`].
    pub fn output_shape(&self) -> Result<Shape> {
        Ok(self.shapes()?.pop().unwrap_or_default())
    }

    /// Every trainable tensor: (layer's name, tensor), in order.
    ///
    /// # Errors
    /// As [`Sequential::shapes`].
    pub fn weights(&self) -> Result<Vec<(String, WeightSpec)>> {
        let shapes = self.shapes()?;
        let inputs = std::iter::once(&self.input).chain(&shapes);
        let specs = self.layers.iter().zip(inputs).flat_map(|(named, input)| {
            named.layer.weights(input).into_iter().map(|spec| (named.name.clone(), spec))
        });
        Ok(specs.collect())
    }

    /// Builds the stack on `x` `[batch, ...]`. `weights` are in the order of [`Sequential::weights`];
    /// `random` is seed and step while training.
    ///
    /// # Errors
    /// Shapes that do not fit, naming the layer.
    pub fn apply(
        &self,
        graph: &mut Graph,
        x: Value,
        weights: &[Value],
        random: Option<(Value, Value)>,
    ) -> Result<Value> {
        let shapes = self.shapes()?;
        let inputs = std::iter::once(&self.input).chain(&shapes);
        let (mut x, mut rest) = (x, weights);
        for (named, input) in self.layers.iter().zip(inputs) {
            let (own, others) = rest.split_at(named.layer.weights(input).len());
            rest = others;
            let mode = Mode { random, stream: stream_of(&named.name) as u32 };
            x = graph.in_layer(&named.name, |g| named.layer.apply(g, x, own, &mode))?;
        }
        Ok(x)
    }
}

/// Refuses a tensor whose elements 32 bits do not count: no kernel could index it.
fn indexable(what: &str, shape: &Shape) -> Result<()> {
    if u32::try_from(shape.len()).is_ok() {
        return Ok(());
    }
    Err(Error::Limit {
        what: format!("{what} {shape}: elements"),
        needed: shape.len() as u64,
        allowed: u64::from(u32::MAX),
        detail: "shaders index with 32 bits; use fewer units".into(),
    })
}
