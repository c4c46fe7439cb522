//! Optimizers: update rules as graphs over flat arenas, one fused dispatch each. The rules are Keras 3's.
//!
//! An optimizer is a rule and a learning rate, which a [`Schedule`] may change from update to update. Before the rule,
//! [`GradientTransform`] averages gradients over several steps and clips them, in the same way for every rule.

mod adam;
mod clip;
mod rmsprop;
pub mod schedule;
mod sgd;
mod transform;

pub use adam::{Adam, AdamW};
pub use clip::Clip;
pub(crate) use clip::{ROW, rows_of};
pub use rmsprop::{Adagrad, RmsProp};
pub use schedule::Schedule;
pub use sgd::Sgd;
pub(crate) use transform::pack_over;
pub use transform::{ArenaGradients, GradientTransform};

use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::tensor::DType;
use crate::words::printed;
use serde_json::Value as Json;
use std::fmt::Debug;

/// A tensor that an optimizer keeps for every parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slot {
    /// Its name: `momentum`, `velocity`.
    pub name: &'static str,
    /// The initial value of its elements.
    pub initial: f32,
}

/// An update rule: elementwise on flat arenas of parameters, gradients and slots.
///
/// ```
/// use wgrad::graph::{Graph, Value};
/// use wgrad::optim::Slot;
/// use wgrad::prelude::*;
///
/// /// p ← p - rate · sign(g).
/// #[derive(Debug)]
/// struct SignDescent(Schedule);
///
/// impl Optimizer for SignDescent {
///     fn name(&self) -> &'static str {
///         "SignDescent"
///     }
///
///     fn check(&self) -> wgrad::Result<()> {
///         self.0.check()
///     }
///
///     fn slots(&self) -> Vec<Slot> {
///         vec![]
///     }
///
///     fn update(
///         &self,
///         graph: &mut Graph,
///         p: Value,
///         g: Value,
///         _slots: &[Value],
///     ) -> wgrad::Result<(Value, Vec<Value>)> {
///         let rate = graph.step_param("learning_rate", DType::F32)?;
///         let sign = graph.unary("sign", g, &[])?;
///         let step = graph.mul(sign, rate)?;
///         Ok((graph.sub(p, step)?, vec![]))
///     }
///
///     fn learning_rate(&self) -> &Schedule {
///         &self.0
///     }
///
///     fn step_values(&self, _done: u64, learning_rate: f64) -> Vec<(&'static str, f32)> {
///         vec![("learning_rate", learning_rate as f32)]
///     }
/// }
///
/// let compile = Compile::new(SignDescent(0.001.into()), Loss::MeanSquaredError);
/// ```
pub trait Optimizer: Debug + Send + Sync {
    /// The name, as Keras spells it.
    fn name(&self) -> &'static str;

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the setting and its domain.
    fn check(&self) -> Result<()>;

    /// The state kept per parameter.
    fn slots(&self) -> Vec<Slot>;

    /// Builds the rule: new parameters, and the new value of each slot.
    ///
    /// # Errors
    /// Those of the ops it builds.
    fn update(
        &self,
        graph: &mut Graph,
        p: Value,
        g: Value,
        slots: &[Value],
    ) -> Result<(Value, Vec<Value>)>;

    /// The learning rate.
    fn learning_rate(&self) -> &Schedule;

    /// The step parameters that the rule reads, for the update after `done` updates, computed in f64. `learning_rate`
    /// is that of this update: the schedule's, or one that a callback set in its place. The names are exactly those
    /// that [`Optimizer::update`] reads.
    fn step_values(&self, done: u64, learning_rate: f64) -> Vec<(&'static str, f32)>;

    /// The settings as an object of JSON, which checkpoints keep and compare. This library's optimizers have Keras' names for
    /// their settings, and give `null` without the feature `config`; by default the `Debug` text is one setting, so that must
    /// show all settings.
    fn config(&self) -> Json {
        printed(self)
    }
}

/// `old` · a + `new` · (1 - a).
fn blend(graph: &mut Graph, old: Value, new: Value, a: f32) -> Result<Value> {
    let old = graph.scale(old, a)?;
    let new = graph.scale(new, (1.0 - f64::from(a)) as f32)?;
    graph.add(old, new)
}

/// The f32 step parameter `name`.
fn rate(graph: &mut Graph, name: &str) -> Result<Value> {
    graph.step_param(name, DType::F32)
}

/// Checks the settings of an optimizer's learning rate.
fn check_rate(optimizer: &str, rate: &Schedule) -> Result<()> {
    rate.check().map_err(|error| match error {
        Error::Parameter { layer, name, value, detail } => {
            Error::Parameter { layer, name: format!("{optimizer} {name}"), value, detail }
        }
        other => other,
    })
}

/// Checks that a setting of `owner` is finite and in `low..high` (`high` excluded).
fn within(owner: &str, name: &str, value: f32, low: f32, high: f32) -> Result<()> {
    bounded(&format!("{owner} {name}"), value, low, high)
}

/// As [`within`], for a setting by its whole name.
fn bounded(name: &str, value: f32, low: f32, high: f32) -> Result<()> {
    if value.is_finite() && value >= low && value < high {
        return Ok(());
    }
    let domain = match high {
        f32::INFINITY => format!("a finite number, {low} or more"),
        _ => format!("lies in [{low}, {high})"),
    };
    Err(Error::parameter(name, value, domain))
}
