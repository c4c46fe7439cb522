//! A layer that launches a kernel of its own.

use wgrad::graph::Graph;
use wgrad::layers::{Context, Outputs};
use wgrad::ops::CustomKernel;
use wgrad::prelude::*;
use wgrad::{Error, Result};

const FORWARD: &str = "
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x < x_len {
        y[id.x] = x[id.x] / (1.0 + abs(x[id.x]) / params.limit);
    }
}
";

// With s = 1 + |x| / limit, the derivative is 1 / s².
const GRADIENT: &str = "
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x < x_len {
        let s = 1.0 + abs(x[id.x]) / params.limit;
        d_x[id.x] = d_y[id.x] / (s * s);
    }
}
";

/// x / (1 + |x| / limit): softsign, scaled so that it stays within `limit`.
#[derive(Debug, Clone, Copy)]
pub struct SoftClip {
    /// The bound.
    pub limit: f32,
}

impl SoftClip {
    /// The layer whose `config` this is.
    ///
    /// # Errors
    /// A limit that is missing or is no number.
    pub fn from_config(config: &serde_json::Value) -> Result<Self> {
        let limit = config["limit"].as_f64();
        let wrong = || Error::data("SoftClip.limit", "is no number");
        Ok(Self { limit: limit.ok_or_else(wrong)? as f32 })
    }
}

impl Layer for SoftClip {
    fn kind(&self) -> &'static str {
        "SoftClip"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        if !(self.limit.is_finite() && self.limit > 0.0) {
            return Err(Error::parameter("limit", self.limit, "is above 0"));
        }
        Ok(inputs[0].clone())
    }

    fn apply(&self, g: &mut Graph, cx: &Context) -> Result<Outputs> {
        let x = cx.input();
        let workgroups = [(g.shape(x).len() as u32).div_ceil(64), 1, 1];
        let kernel = CustomKernel::new("softclip", FORWARD)
            .input("x")
            .output("y", g.ty(x).clone())
            .param("limit", self.limit)
            .workgroups(workgroups)
            .gradient(GRADIENT, workgroups);
        Ok(g.kernel(&kernel, &[x])?.into())
    }

    fn config(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({ "limit": self.limit }))
    }
}
