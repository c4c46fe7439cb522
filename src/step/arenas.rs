//! From tensors to the contents of arenas, and back.

use super::layout::ArenaLayout;
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor};

impl ArenaLayout {
    /// Each weight with its name, from the contents of every arena.
    pub(crate) fn split(&self, arenas: &[Vec<f32>]) -> Result<Vec<(String, Tensor)>> {
        let tensors = self.tensors.iter().map(|t| {
            let values = &arenas[t.arena][t.offset..t.offset + t.spec.shape.len()];
            Ok((t.name.clone(), Tensor::f32(t.spec.shape.clone(), values)?))
        });
        tensors.collect()
    }

    /// Refuses tensors that are not one for each weight, in order.
    pub(crate) fn check(&self, tensors: &[Tensor]) -> Result<()> {
        if tensors.len() != self.tensors.len() {
            let detail = format!("the model has {} tensors", self.tensors.len());
            return Err(Error::parameter("weights", tensors.len(), detail));
        }
        for (placed, tensor) in self.tensors.iter().zip(tensors) {
            if tensor.shape() != &placed.spec.shape {
                let detail = format!("`{}` has the second shape", placed.name);
                return Err(Error::shape(
                    "set_weights",
                    &[tensor.shape(), &placed.spec.shape],
                    detail,
                ));
            }
            if tensor.dtype() != DType::F32 {
                let detail = format!("`{}` is f32", placed.name);
                return Err(Error::dtype("set_weights", &[tensor.dtype()], detail));
            }
        }
        Ok(())
    }

    /// The contents of every arena, from a tensor for each weight in order; zero between them.
    pub(crate) fn fill(&self, tensors: &[Tensor]) -> Result<Vec<Vec<f32>>> {
        self.check(tensors)?;
        let mut arenas: Vec<Vec<f32>> =
            self.arenas.iter().map(|arena| vec![0.0; arena.len]).collect();
        for (placed, tensor) in self.tensors.iter().zip(tensors) {
            let values = tensor.as_f32()?;
            arenas[placed.arena][placed.offset..placed.offset + values.len()]
                .copy_from_slice(values);
        }
        Ok(arenas)
    }
}
