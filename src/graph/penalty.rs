//! What layers add to the loss.

use super::{Graph, Value};
use crate::error::{Error, Result};
use crate::tensor::DType;

impl Graph {
    /// Adds a scalar to what is trained: a penalty on what a layer computes, as Keras' `add_loss`. Training adds all
    /// penalties of a step's graph to its loss, `evaluate` reports them, and prediction does not compute them.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::DType`] for other things than an f32 scalar; [`Error::Parameter`] for a value of another
    /// graph.
    pub fn add_penalty(&mut self, penalty: Value) -> Result<()> {
        self.check("add_penalty", &[penalty])?;
        let ty = self.ty(penalty);
        if ty.shape.rank() != 0 {
            let detail = "a penalty is a scalar: sum it over all axes";
            return Err(Error::shape("add_penalty", &[&ty.shape], detail));
        }
        if ty.dtype != DType::F32 {
            return Err(Error::dtype("add_penalty", &[ty.dtype], "a penalty is f32"));
        }
        self.penalties.push(penalty);
        Ok(())
    }

    /// The sum of the penalties so far, if there are any.
    pub(crate) fn penalty(&mut self) -> Result<Option<Value>> {
        let all = self.penalties.clone();
        let Some((&first, rest)) = all.split_first() else { return Ok(None) };
        rest.iter().try_fold(first, |sum, &penalty| self.add(sum, penalty)).map(Some)
    }

    /// Whether a layer has added a penalty.
    pub(crate) const fn is_penalised(&self) -> bool {
        !self.penalties.is_empty()
    }
}
