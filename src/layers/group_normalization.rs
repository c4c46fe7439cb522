//! Normalization of the channels of each sample, in groups.

use super::axes::axes_of;
use super::config::{Fields, Settings, config_of};
use super::rules::{Rules, rule_setters};
use super::{Context, Layer, Outputs, WeightSpec};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::{Initializer, Shape};

/// gamma · (x - mean) / sqrt(variance + epsilon) + beta, with mean and variance of each group of channels of each sample.
/// Wu and He, "Group normalization", 2018. Keras' `GroupNormalization`.
///
/// Input and output `[batch, ..., c]`; `gamma` and `beta` are `[c]`. Neighbouring channels make a group, and mean and
/// variance are over all their places. It does the same in training and evaluation, for batches of any size. A mask
/// passes through and changes nothing, as in Keras.
///
/// [`GroupNormalization::instance`] has a group for each channel. Ulyanov et al., "Instance normalization", 2016.
///
/// ```
/// use wgrad::prelude::*;
///
/// let model = Sequential::new([8, 8, 16])
///     .add(GroupNormalization::new(4))
///     .add(GroupNormalization::instance().epsilon(1e-5))
///     .build()?;
/// assert!(model.summary().contains("group_normalization (GroupNormalization)"));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GroupNormalization {
    /// -1 is a group for each channel.
    groups: isize,
    axis: isize,
    epsilon: f32,
    center: bool,
    scale: bool,
    beta: Rules,
    gamma: Rules,
}

/// 32 groups.
impl Default for GroupNormalization {
    fn default() -> Self {
        Self::new(32)
    }
}

/// A method that sets one field.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $($(#[$doc])*
        #[must_use]
        pub const fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        })*
    };
}

impl GroupNormalization {
    /// So many groups of channels, with Keras' defaults: epsilon 0.001, `gamma` ones and `beta` zeros.
    #[must_use]
    pub const fn new(groups: usize) -> Self {
        Self {
            // A number that no channels have is refused with the model.
            groups: if groups > i32::MAX as usize { i32::MAX as isize } else { groups as isize },
            axis: -1,
            epsilon: 1e-3,
            center: true,
            scale: true,
            beta: Rules::new(Initializer::Zeros),
            gamma: Rules::new(Initializer::Constant(1.0)),
        }
    }

    /// A group for each channel: instance normalization, which is `GroupNormalization(groups=-1)` in Keras 3 and
    /// `InstanceNorm` in PyTorch, with an epsilon of 1e-5 and without gamma and beta unless they are asked for.
    #[doc(alias = "InstanceNormalization")]
    #[must_use]
    pub const fn instance() -> Self {
        Self { groups: -1, ..Self::new(1) }
    }

    setters! {
        /// The axis of the channels in `[batch, ...]`, from 1, or from -1 at the end: the last unless it is said.
        axis: isize,
        /// What is added to the variance, 0 or more.
        epsilon: f32,
        /// Whether `beta` is added.
        center: bool,
        /// Whether the result is multiplied by `gamma`.
        scale: bool,
    }

    /// The axis of the channels of a sample, from 0, and the number of groups.
    fn groups_of(&self, sample: &Shape) -> Result<(usize, usize)> {
        let axis = axes_of("axis", &[self.axis], sample)?[0];
        let channels = sample.dims()[axis];
        let groups = if self.groups == -1 { channels } else { self.groups.max(0) as usize };
        if groups == 0 || !channels.is_multiple_of(groups) {
            let detail = format!(
                "the {channels} channels of samples {sample} are divided into equal groups; choose a divisor, or \
                 GroupNormalization::instance for a group each"
            );
            return Err(Error::parameter("groups", self.groups, detail));
        }
        Ok((axis, groups))
    }

    /// A weight for each channel, in the place of the channels: `[c, 1, ..]`.
    fn aligned(g: &mut Graph, weight: Value, after: usize) -> Result<Value> {
        let width = g.shape(weight).len();
        g.reshape(weight, [&[width], vec![1; after].as_slice()].concat())
    }
}

rule_setters!(
    [] GroupNormalization,
    beta,
    "`beta`",
    beta_initializer,
    beta_regularizer,
    beta_constraint,
);
rule_setters!(
    [] GroupNormalization,
    gamma,
    "`gamma`",
    gamma_initializer,
    gamma_regularizer,
    gamma_constraint,
);

const BETA: [&str; 3] = ["beta_initializer", "beta_regularizer", "beta_constraint"];
const GAMMA: [&str; 3] = ["gamma_initializer", "gamma_regularizer", "gamma_constraint"];

impl Settings for GroupNormalization {
    fn blank() -> Self {
        Self::default()
    }

    fn settings(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        let mut axis = [self.axis];
        fields.field("groups", &mut self.groups)?;
        fields.field("axis", &mut axis)?;
        self.axis = axis[0];
        fields.field("epsilon", &mut self.epsilon)?;
        fields.field("center", &mut self.center)?;
        fields.field("scale", &mut self.scale)?;
        self.beta.settings(fields, BETA)?;
        self.gamma.settings(fields, GAMMA)
    }
}

impl Layer for GroupNormalization {
    fn kind(&self) -> &'static str {
        "GroupNormalization"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if !(self.epsilon.is_finite() && self.epsilon >= 0.0) {
            return Err(Error::parameter("epsilon", self.epsilon, "a finite number, 0 or more"));
        }
        self.groups_of(&inputs[0])?;
        Ok(inputs[0].clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let channels = self.groups_of(&inputs[0]).map_or(1, |(axis, _)| inputs[0].dims()[axis]);
        let gamma = self.scale.then(|| self.gamma.spec("gamma", [channels]));
        let beta = self.center.then(|| self.beta.spec("beta", [channels]));
        gamma.into_iter().chain(beta).collect()
    }

    fn config(&self) -> Result<serde_json::Value> {
        config_of(self)
    }

    fn apply(&self, g: &mut Graph, cx: &Context) -> Result<Outputs> {
        g.check(self.kind(), cx.inputs())?;
        let shape = g.shape(cx.input()).clone();
        let dims = shape.dims();
        let (axis, groups) = self.groups_of(&dims[1..].into())?;
        // A group of a sample is a row: places before the channels, the group's channels, places after them. The kernel
        // reads it through a view.
        let channels = axis + 1;
        let [before, after] =
            [&dims[1..channels], &dims[channels + 1..]].map(|d| d.iter().product());
        let apart = [dims[0], before, groups, dims[channels] / groups, after];
        let x = g.reshape(cx.input(), apart)?;
        let order = [0, 2, 1, 3, 4];
        let x = if before > 1 { g.transpose(x, &order)? } else { x };
        let rest = shape.len() / (dims[0] * groups);
        let x = g.reshape(x, [dims[0], groups, rest])?;
        let mut y = g.layer_norm(x, None, None, 1, self.epsilon)?;
        if before > 1 {
            y = g.reshape(y, order.map(|a| apart[a]))?;
            // The order is its own inverse.
            y = g.transpose(y, &order)?;
        }
        let mut y = g.reshape(y, shape.clone())?;
        let after = shape.rank() - 1 - channels;
        if self.scale {
            let gamma = Self::aligned(g, cx.weight("gamma")?, after)?;
            y = g.mul(y, gamma)?;
        }
        if self.center {
            let beta = Self::aligned(g, cx.weight("beta")?, after)?;
            y = g.add(y, beta)?;
        }
        Ok(y.into())
    }
}
