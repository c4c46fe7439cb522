//! What the layers of units with gates share: sizes, weights and dropout.

use super::driver::swap_time;
use super::{Given, Start};
use crate::activations::Activation;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::layers::config::Fields;
use crate::layers::rules::{BIAS, KERNEL, Rules};
use crate::layers::{Context, WeightSpec};
use crate::ops::{OverTime, RecurrentCell};
use crate::tensor::{Initializer, Shape};

/// Settings of a recurrent layer of units.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Units {
    pub units: usize,
    pub activation: Activation,
    pub use_bias: bool,
    pub kernel: Rules,
    pub recurrent_kernel: Rules,
    pub bias: Rules,
    pub dropout: f32,
    pub recurrent_dropout: f32,
}

const RECURRENT: [&str; 3] =
    ["recurrent_initializer", "recurrent_regularizer", "recurrent_constraint"];

impl Units {
    /// Keras' defaults.
    pub const fn new(units: usize) -> Self {
        Self {
            units,
            activation: Activation::Tanh,
            use_bias: true,
            kernel: Rules::new(Initializer::GlorotUniform),
            recurrent_kernel: Rules::new(Initializer::Orthogonal { gain: 1.0 }),
            bias: Rules::new(Initializer::Zeros),
            dropout: 0.0,
            recurrent_dropout: 0.0,
        }
    }

    pub fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        fields.required("units", &mut self.units)?;
        fields.field("activation", &mut self.activation)?;
        fields.field("use_bias", &mut self.use_bias)?;
        self.kernel.settings(fields, KERNEL)?;
        self.recurrent_kernel.settings(fields, RECURRENT)?;
        self.bias.settings(fields, BIAS)?;
        fields.field("dropout", &mut self.dropout)?;
        fields.field("recurrent_dropout", &mut self.recurrent_dropout)
    }

    /// Refuses settings outside their domain, and samples that are no sequences of vectors, or no vectors if `rank` is 1.
    pub fn check(&self, op: &str, sample: &Shape, rank: usize) -> Result<()> {
        if self.units == 0 {
            return Err(Error::parameter("units", 0, "a layer has at least one unit"));
        }
        for (name, rate) in
            [("dropout", self.dropout), ("recurrent_dropout", self.recurrent_dropout)]
        {
            if !(0.0..1.0).contains(&rate) {
                return Err(Error::parameter(name, rate, "a dropout rate lies in [0, 1)"));
            }
        }
        if sample.rank() != rank {
            let detail = match rank {
                1 => {
                    "a step of time is [features]; give the cell to `Rnn`, which takes the sequence"
                }
                _ => "a sample is [time, features]; reshape it, or embed ids first",
            };
            return Err(Error::shape(op, &[sample], detail));
        }
        self.activation.check()
    }

    /// Kernel `[features, gates · units]`, recurrent kernel `[units, gates · units]`, and a bias of `bias`.
    pub fn weights(&self, sample: &Shape, gates: usize, bias: &[usize]) -> Vec<WeightSpec> {
        let features = sample.dims().last().copied().unwrap_or(1);
        let width = gates.saturating_mul(self.units);
        let kernel = self.kernel.spec("kernel", [features, width]);
        let recurrent = self.recurrent_kernel.spec("recurrent_kernel", [self.units, width]);
        let bias = self.use_bias.then(|| self.bias.spec("bias", bias));
        [kernel, recurrent].into_iter().chain(bias).collect()
    }

    /// As [`Layer::sequence_dropout`](crate::layers::Layer::sequence_dropout), for steps of this shape.
    pub fn sequence_dropout(&self, step: &Shape) -> Vec<(String, f32, Shape)> {
        let all = [
            ("dropout", self.dropout, step.clone()),
            ("recurrent_dropout", self.recurrent_dropout, [self.units].into()),
        ];
        let drawn = all.into_iter().filter(|(_, rate, _)| *rate > 0.0);
        drawn.map(|(name, rate, shape)| (name.to_owned(), rate, shape)).collect()
    }

    /// The layer's bias, if it has one.
    pub fn bias(&self, cx: &Context) -> Result<Option<Value>> {
        if self.use_bias { cx.weight("bias").map(Some) } else { Ok(None) }
    }

    /// The products of all inputs with the kernel as one sequence, and the recurrent kernel with the mask of recurrent
    /// dropout, if there is one, for [`Units::recurrent`].
    pub fn all_steps(
        &self,
        graph: &mut Graph,
        cx: &Context,
        mut x: Value,
        [kernel, recurrent]: [Value; 2],
        bias: Option<Value>,
    ) -> Result<Given> {
        let dims = graph.shape(x).dims().to_vec();
        let (batch, time, features) = (dims[0], dims[1], dims[2]);
        let width = graph.shape(kernel).dims()[1];
        if let Some(mask) = dropout(graph, cx, "dropout", self.dropout, [batch, 1, features])? {
            x = graph.mul(x, mask)?;
        }
        // A loop goes along the first axis. Of input and product the narrower one is transposed.
        let early = features <= width;
        if early {
            x = swap_time(graph, x)?;
        }
        // Rows of a matrix, so that the gradients of kernel and bias are one kernel.
        x = graph.reshape(x, [batch * time, features])?;
        x = graph.matmul(x, kernel)?;
        if let Some(bias) = bias {
            x = graph.add(x, bias)?;
        }
        if early {
            x = graph.reshape(x, [time, batch, width])?;
        } else {
            x = graph.reshape(x, [batch, time, width])?;
            x = swap_time(graph, x)?;
        }
        let mut outer = vec![recurrent];
        let rate = self.recurrent_dropout;
        outer.extend(dropout(graph, cx, "recurrent_dropout", rate, [batch, self.units])?);
        Ok(Given { sequences: vec![x], outer })
    }

    /// Each state at all times.
    pub fn over_time(
        &self,
        graph: &mut Graph,
        given: &Given,
        cell: RecurrentCell<'_>,
        start: &Start<'_>,
    ) -> Result<Option<Vec<Value>>> {
        let (products, kernel) = (given.sequences[0], given.outer[0]);
        let &Start { states, mask, reverse } = start;
        graph.recurrence(cell, &OverTime { products, kernel, states, mask, reverse }).map(Some)
    }

    /// Whether [`Units::over_time`] suits: the recurrent products read h as it is, not what dropout leaves of it.
    pub fn is_one_op(&self, cx: &Context) -> bool {
        cx.random().is_none() || self.recurrent_dropout == 0.0
    }

    /// What the recurrent products read of h: h by the mask of recurrent dropout, one for all steps.
    pub fn recurrent(graph: &mut Graph, h: Value, mask: Option<&Value>) -> Result<Value> {
        mask.map_or(Ok(h), |&mask| graph.mul(h, mask))
    }
}

/// 1 / (1 - rate) for what is kept, 0 for what is dropped; `None` outside of training.
pub(super) fn dropout(
    graph: &mut Graph,
    cx: &Context,
    name: &str,
    rate: f32,
    shape: impl Into<Shape>,
) -> Result<Option<Value>> {
    let Some(random) = cx.random().filter(|_| rate > 0.0) else { return Ok(None) };
    // A cell in a loop has those of the sequence.
    if let Ok(known) = cx.constant(name) {
        return graph.reshape(known, shape).map(Some);
    }
    let drawn = random.of(name).uniform(graph, shape)?;
    let rate_value = graph.constant(rate);
    let kept = graph.binary("greater_equal", drawn, rate_value)?;
    graph.scale(kept, 1.0 / (1.0 - rate)).map(Some)
}

/// The builder functions of [`Units`] for a layer that has them as the field `units`, or as that of a field.
macro_rules! unit_builders {
    ($layer:ty, $($units:ident).+) => {
        impl $layer {
            /// Applies `activation` to what is computed of input and state.
            #[must_use]
            pub const fn activation(mut self, activation: Activation) -> Self {
                self.$($units).+.activation = activation;
                self
            }

            /// Whether there is a bias.
            #[must_use]
            pub const fn use_bias(mut self, use_bias: bool) -> Self {
                self.$($units).+.use_bias = use_bias;
                self
            }

            /// While training, each feature of a sample is dropped with probability `rate`, in [0, 1), in all steps
            /// alike, and the others grow by 1 / (1 - rate). Gal and Ghahramani 2016.
            #[must_use]
            pub const fn dropout(mut self, rate: f32) -> Self {
                self.$($units).+.dropout = rate;
                self
            }

            /// As `dropout`, of h before the recurrent product.
            #[must_use]
            pub const fn recurrent_dropout(mut self, rate: f32) -> Self {
                self.$($units).+.recurrent_dropout = rate;
                self
            }
        }

        $crate::layers::rules::rule_setters!(
            [] $layer,
            $($units).+.kernel,
            "the kernel",
            kernel_initializer,
            kernel_regularizer,
            kernel_constraint
        );
        $crate::layers::rules::rule_setters!(
            [] $layer,
            $($units).+.recurrent_kernel,
            "the recurrent kernel",
            recurrent_initializer,
            recurrent_regularizer,
            recurrent_constraint
        );
        $crate::layers::rules::rule_setters!(
            [] $layer,
            $($units).+.bias,
            "the bias",
            bias_initializer,
            bias_regularizer,
            bias_constraint
        );
    };
}
pub(super) use unit_builders;

/// The builder function of a setting of a cell, for the cell and for the layer whose field `cell` it is.
macro_rules! cell_setter {
    ($layer:ty, $cell:ty, $name:ident: $setting:ty, $doc:literal) => {
        impl $layer {
            #[doc = $doc]
            #[must_use]
            pub const fn $name(mut self, $name: $setting) -> Self {
                self.cell.$name = $name;
                self
            }
        }

        impl $cell {
            #[doc = $doc]
            #[must_use]
            pub const fn $name(mut self, $name: $setting) -> Self {
                self.$name = $name;
                self
            }
        }
    };
}
pub(super) use cell_setter;

/// The settings of a layer of units with gates: those of its cell and of its loop.
macro_rules! gated_settings {
    ($layer:ty) => {
        impl $crate::layers::config::Settings for $layer {
            fn blank() -> Self {
                Self::new(0)
            }

            fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
                self.cell.settings(fields)?;
                self.options.settings(fields)?;
                // These choose among ways to compute the same numbers.
                fields.only("implementation", &[0.into(), 1.into(), 2.into()])?;
                fields.only("use_cudnn", &["auto".into(), true.into(), false.into()])
            }
        }
    };
}
pub(super) use gated_settings;

/// The functions of [`Layer`](crate::layers::Layer) that all layers of units have: they are built by the loop, and have
/// the fields `cell` and `options`. A cell checks samples by `check` and declares its weights by `specs`.
macro_rules! unit_layer {
    ($kind:literal, $op:literal) => {
        fn kind(&self) -> &'static str {
            $kind
        }

        fn activation(&self) -> Option<Activation> {
            Some(self.cell.units.activation)
        }

        fn check_inputs(&self, count: usize) -> Result<()> {
            driver::check_inputs(&self.cell, $kind, count)
        }

        fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
            Ok(self.outputs(inputs)?.swap_remove(0).shape)
        }

        fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
            self.cell.check($op, &inputs[0], 2)?;
            driver::outputs(&self.cell, self.options, $op, inputs)
        }

        fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
            [self.cell.specs(&inputs[0]), driver::kept_states(&self.cell, self.options)].concat()
        }

        fn batch_size(&self) -> Option<usize> {
            self.options.stateful
        }

        fn recurrence(&self) -> Option<Recurrence> {
            let with = |options| Self { options, ..self.clone() }.into();
            Some(driver::recurrence(&self.cell, self.options, with))
        }

        fn config(&self) -> Result<serde_json::Value> {
            config_of(self)
        }

        fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
            driver::apply(&self.cell, self.options, $op, graph, cx)
        }
    };
}
pub(super) use unit_layer;

/// The functions of [`Layer`](crate::layers::Layer) of a cell of units: one step of time.
macro_rules! cell_layer {
    ($kind:literal, $op:literal) => {
        fn kind(&self) -> &'static str {
            $kind
        }

        fn activation(&self) -> Option<Activation> {
            Some(self.units.activation)
        }

        fn check_inputs(&self, count: usize) -> Result<()> {
            driver::check_step_inputs(self.states().len(), $kind, count)
        }

        fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
            Ok(self.outputs(inputs)?.swap_remove(0).shape)
        }

        fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
            self.check($op, &inputs[0], 1)?;
            driver::step_outputs(self, $op, inputs)
        }

        fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
            self.specs(&inputs[0])
        }

        fn cell_states(&self) -> Option<Vec<Shape>> {
            Some(self.states())
        }

        fn sequence_dropout(&self, inputs: &[Shape]) -> Vec<(String, f32, Shape)> {
            self.units.sequence_dropout(&inputs[0])
        }

        fn config(&self) -> Result<serde_json::Value> {
            config_of(self)
        }

        fn apply(&self, graph: &mut Graph, cx: &Context) -> Result<Outputs> {
            driver::one_step(self, $op, graph, cx)
        }
    };
}
pub(super) use cell_layer;
