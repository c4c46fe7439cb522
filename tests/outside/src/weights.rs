//! What has to do with weights: an activation, an initializer, a regularizer, a constraint and a layer.

use wgrad::activations::CustomActivation;
use wgrad::constraints::CustomConstraint;
use wgrad::graph::{Graph, Value};
use wgrad::layers::{Context, CustomRegularizer, Outputs, WeightSpec};
use wgrad::prelude::*;
use wgrad::tensor::{CustomInitializer, Draws};
use wgrad::{Error, Result};

/// x · tanh(softplus(x)). Misra 2019.
#[derive(Debug)]
pub struct Mish;

impl CustomActivation for Mish {
    fn name(&self) -> &'static str {
        "mish"
    }

    fn apply(&self, g: &mut Graph, x: Value) -> Result<Value> {
        let soft = g.unary("softplus", x, &[])?;
        let gate = g.unary("tanh", soft, &[])?;
        g.mul(x, gate)
    }

    fn range(&self) -> (f32, f32) {
        (-0.31, f32::INFINITY)
    }
}

/// Normal numbers at a share of the places, else zeros. Martens 2010.
#[derive(Debug)]
pub struct Sparse {
    /// The share.
    pub share: f64,
}

impl CustomInitializer for Sparse {
    fn name(&self) -> &'static str {
        "sparse"
    }

    fn check(&self) -> Result<()> {
        match (0.0..=1.0).contains(&self.share) {
            true => Ok(()),
            false => Err(Error::parameter("share", self.share, "from 0 to 1")),
        }
    }

    fn fill(&self, values: &mut [f32], _fans: [usize; 2], draws: &mut Draws) {
        for value in values {
            *value = if draws.uniform() < self.share { draws.normal() as f32 } else { 0.0 };
        }
    }
}

/// factor · (Σ w)².
#[derive(Debug)]
pub struct Balanced {
    /// The factor.
    pub factor: f32,
}

impl CustomRegularizer for Balanced {
    fn name(&self) -> &'static str {
        "balanced"
    }

    fn penalty(&self, g: &mut Graph, weight: Value) -> Result<Value> {
        let sum = g.sum(weight, &[], false)?;
        let square = g.unary("square", sum, &[])?;
        g.scale(square, self.factor)
    }
}

/// Each weight stays in [-limit, limit]. Arjovsky et al. 2017.
#[derive(Debug)]
pub struct Clipped {
    /// The bound.
    pub limit: f32,
}

impl CustomConstraint for Clipped {
    fn name(&self) -> &'static str {
        "clipped"
    }

    fn apply(&self, g: &mut Graph, weight: Value) -> Result<Value> {
        g.unary("clipped_linear", weight, &[-self.limit, self.limit])
    }
}

/// x · scale, a factor for each feature.
#[derive(Debug)]
pub struct Scale;

impl Layer for Scale {
    fn kind(&self) -> &'static str {
        "Scale"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let width = inputs[0].dims().last().copied().unwrap_or(1);
        let (ones, none) = (Initializer::Constant(1.0), Regularizer::default());
        vec![WeightSpec::new("scale", [width], ones, none)]
    }

    fn apply(&self, g: &mut Graph, cx: &Context) -> Result<Outputs> {
        Ok(g.mul(cx.input(), cx.weight("scale")?)?.into())
    }

    fn config(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({}))
    }
}
