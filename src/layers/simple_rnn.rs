//! The fully connected recurrent layer.

use super::config::{Fields, Settings, config_of};
use super::{Context, Layer, Outputs, Regularizer, WeightSpec};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::ops::{Loop, Looped, Order};
use crate::tensor::{Initializer, Shape};

/// A recurrent layer: h = activation(x · kernel + h · recurrent_kernel + bias) over the steps of time, from h = 0 (Elman,
/// "Finding structure in time", 1990). Keras' `SimpleRNN`.
///
/// Input `[batch, time, in]`. Output `[batch, units]`, h after the last step; with `return_sequences` `[batch, time,
/// units]`, all of them. `kernel` is `[in, units]`, `recurrent_kernel` `[units, units]`, `bias` `[units]`.
///
/// The products of all inputs with the kernel are one product; the loop has the recurrent one.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([28, 28]).add(SimpleRnn::new(64)).add(Dense::new(10)).build()?;
/// assert_eq!(model.layers()[0].name, "simple_rnn");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SimpleRnn {
    units: usize,
    activation: Activation,
    use_bias: bool,
    kernel_initializer: Initializer,
    recurrent_initializer: Initializer,
    bias_initializer: Initializer,
    kernel_regularizer: Regularizer,
    recurrent_regularizer: Regularizer,
    bias_regularizer: Regularizer,
    constraints: [Option<Constraint>; 3],
    return_sequences: bool,
    go_backwards: bool,
}

impl SimpleRnn {
    /// A layer of `units`: tanh, Glorot-uniform kernel, orthogonal recurrent kernel, zero bias.
    #[must_use]
    pub const fn new(units: usize) -> Self {
        let none = Regularizer::NONE;
        Self {
            units,
            activation: Activation::Tanh,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            recurrent_initializer: Initializer::Orthogonal { gain: 1.0 },
            bias_initializer: Initializer::Zeros,
            kernel_regularizer: none,
            recurrent_regularizer: none,
            bias_regularizer: none,
            constraints: [None; 3],
            return_sequences: false,
            go_backwards: false,
        }
    }

    /// Applies `activation` to the sums.
    #[must_use]
    pub const fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Whether there is a bias.
    #[must_use]
    pub const fn use_bias(mut self, use_bias: bool) -> Self {
        self.use_bias = use_bias;
        self
    }

    /// The initial values of the kernel.
    #[must_use]
    pub const fn kernel_initializer(mut self, initializer: Initializer) -> Self {
        self.kernel_initializer = initializer;
        self
    }

    /// The initial values of the recurrent kernel.
    #[must_use]
    pub const fn recurrent_initializer(mut self, initializer: Initializer) -> Self {
        self.recurrent_initializer = initializer;
        self
    }

    /// The initial values of the bias.
    #[must_use]
    pub const fn bias_initializer(mut self, initializer: Initializer) -> Self {
        self.bias_initializer = initializer;
        self
    }

    /// A penalty on the kernel.
    #[must_use]
    pub const fn kernel_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.kernel_regularizer = regularizer;
        self
    }

    /// A penalty on the recurrent kernel.
    #[must_use]
    pub const fn recurrent_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.recurrent_regularizer = regularizer;
        self
    }

    /// A penalty on the bias.
    #[must_use]
    pub const fn bias_regularizer(mut self, regularizer: Regularizer) -> Self {
        self.bias_regularizer = regularizer;
        self
    }

    /// What the kernel keeps to after each update.
    #[must_use]
    pub const fn kernel_constraint(mut self, constraint: Constraint) -> Self {
        self.constraints[0] = Some(constraint);
        self
    }

    /// What the recurrent kernel keeps to after each update.
    #[must_use]
    pub const fn recurrent_constraint(mut self, constraint: Constraint) -> Self {
        self.constraints[1] = Some(constraint);
        self
    }

    /// What the bias keeps to after each update.
    #[must_use]
    pub const fn bias_constraint(mut self, constraint: Constraint) -> Self {
        self.constraints[2] = Some(constraint);
        self
    }

    /// Whether the output has h after each step.
    #[must_use]
    pub const fn return_sequences(mut self, return_sequences: bool) -> Self {
        self.return_sequences = return_sequences;
        self
    }

    /// Whether time is gone through from its end. The sequence of outputs is then reversed too.
    #[must_use]
    pub const fn go_backwards(mut self, go_backwards: bool) -> Self {
        self.go_backwards = go_backwards;
        self
    }
}

impl Settings for SimpleRnn {
    fn blank() -> Self {
        Self::new(0)
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("units", &mut self.units)?;
        fields.field("activation", &mut self.activation)?;
        fields.field("use_bias", &mut self.use_bias)?;
        fields.field("kernel_initializer", &mut self.kernel_initializer)?;
        fields.field("recurrent_initializer", &mut self.recurrent_initializer)?;
        fields.field("bias_initializer", &mut self.bias_initializer)?;
        fields.field("kernel_regularizer", &mut self.kernel_regularizer)?;
        fields.field("recurrent_regularizer", &mut self.recurrent_regularizer)?;
        fields.field("bias_regularizer", &mut self.bias_regularizer)?;
        fields.field("return_sequences", &mut self.return_sequences)?;
        fields.field("go_backwards", &mut self.go_backwards)?;
        fields.only("dropout", &[0.0.into(), 0.into()])?;
        fields.only("recurrent_dropout", &[0.0.into(), 0.into()])
    }
}

impl Layer for SimpleRnn {
    fn kind(&self) -> &'static str {
        "SimpleRNN"
    }

    fn activation(&self) -> Option<Activation> {
        Some(self.activation)
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if self.units == 0 {
            return Err(Error::parameter("units", 0, "a layer has at least one unit"));
        }
        let &[time, features] = inputs[0].dims() else {
            let detail = "a sample is [time, features]; reshape it, or embed ids first";
            return Err(Error::shape("simple_rnn", &[&inputs[0]], detail));
        };
        if time * features == 0 {
            let detail = "a sample has at least one step of time and one feature";
            return Err(Error::shape("simple_rnn", &[&inputs[0]], detail));
        }
        self.activation.check()?;
        let initializers =
            [&self.kernel_initializer, &self.recurrent_initializer, &self.bias_initializer];
        initializers.into_iter().try_for_each(Initializer::check)?;
        let penalties =
            [&self.kernel_regularizer, &self.recurrent_regularizer, &self.bias_regularizer];
        penalties.into_iter().try_for_each(Regularizer::check)?;
        Ok(if self.return_sequences { [time, self.units].into() } else { [self.units].into() })
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let features = inputs[0].dims().last().copied().unwrap_or(1);
        let spec = |name, shape: &[usize], initializer, regularizer| {
            WeightSpec::new(name, shape, initializer, regularizer)
        };
        let (shape, square) = ([features, self.units], [self.units, self.units]);
        let mut specs = vec![
            spec("kernel", &shape, self.kernel_initializer, self.kernel_regularizer),
            spec(
                "recurrent_kernel",
                &square,
                self.recurrent_initializer,
                self.recurrent_regularizer,
            ),
        ];
        if self.use_bias {
            specs.push(spec("bias", &[self.units], self.bias_initializer, self.bias_regularizer));
        }
        for (spec, constraint) in specs.iter_mut().zip(self.constraints) {
            spec.constraint = constraint;
        }
        specs
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
        graph.check(self.kind(), cx.inputs())?;
        let shape = graph.shape(cx.input()).clone();
        let &[batch, time, features] = shape.dims() else {
            let detail = "the input is [batch, time, features]";
            return Err(Error::shape("simple_rnn", &[&shape], detail));
        };
        // A loop goes along the first axis. Of input and product the narrower one is transposed.
        let time_first = |graph: &mut Graph, v| graph.transpose(v, &[1, 0, 2]);
        let mut x = cx.input();
        let early = features <= self.units;
        if early {
            x = time_first(graph, x)?;
        }
        // Rows of a matrix, so that the gradients of kernel and bias are one kernel.
        x = graph.reshape(x, [batch * time, features])?;
        x = graph.matmul(x, cx.weight("kernel")?)?;
        if self.use_bias {
            x = graph.add(x, cx.weight("bias")?)?;
        }
        if early {
            x = graph.reshape(x, [time, batch, self.units])?;
        } else {
            x = graph.reshape(x, [batch, time, self.units])?;
            x = time_first(graph, x)?;
        }
        let zero = graph.constant(0.0);
        let start = graph.broadcast_to(zero, [batch, self.units])?;
        let mut sequences = vec![x];
        if let Some(mask) = cx.mask() {
            let mask = graph.reshape(mask, [batch, time, 1])?;
            sequences.push(time_first(graph, mask)?);
        }
        let over_time = Loop {
            carries: &[start],
            sequences: &sequences,
            outer: &[cx.weight("recurrent_kernel")?],
            order: if self.go_backwards { Order::Flipped } else { Order::Forward },
            times: None,
        };
        let result = graph.scan(&over_time, |g, now| {
            let before = now.carries[0];
            let recurrent = g.matmul(before, now.outer[0])?;
            let sum = g.add(now.slices[0], recurrent)?;
            let mut h = self.activation.apply(g, sum)?;
            // A masked step carries its state.
            if let Some(&mask) = now.slices.get(1) {
                h = g.select(mask, h, before)?;
            }
            let stacked = if self.return_sequences { vec![h] } else { vec![] };
            Ok(Looped { carries: vec![h], stacked })
        })?;
        Ok(match result.stacked.first() {
            Some(&all) => graph.transpose(all, &[1, 0, 2])?.into(),
            // The last step has no time left for a mask.
            None => Outputs::from(result.carries[0]).mask(None),
        })
    }
}
