//! Integer labels as rows of zeros with a one.

use super::map::to_u32;
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, KernelCall, RowParams, Template, grid, template};
use crate::tensor::DType;
use std::sync::Arc;

pub(super) const ONE_HOT: Template = template!("data/one_hot", RowParams);

/// `[..., classes]` with a one at each label; a label past the classes is the last. Operand: labels `[...]` u32.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OneHot {
    /// Extent of the new last axis.
    pub classes: usize,
}

impl Op for OneHot {
    fn name(&self) -> String {
        "one_hot".into()
    }

    fn attrs(&self) -> String {
        self.classes.to_string()
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs[0].dtype != DType::U32 {
            return Err(Error::dtype("one_hot", &[inputs[0].dtype], "labels are u32"));
        }
        if inputs[0].shape.is_empty() || self.classes == 0 {
            let detail = "there are labels, and at least one class";
            return Err(Error::shape("one_hot", &[&inputs[0].shape], detail));
        }
        let mut dims = inputs[0].shape.dims().to_vec();
        dims.push(self.classes);
        Ok(vec![TensorType::f32(dims)])
    }

    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![None])
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let rows = cx.inputs[0].0.shape.len();
        let len = rows * self.classes;
        to_u32(len)?;
        let params = RowParams { rows: rows as u32, cols: self.classes as u32, pad0: 0, pad1: 0 };
        Ok(KernelCall {
            text: None,
            template: ONE_HOT,
            defines: vec![("WG", 64u32.into())],
            binds: vec![Bind::Input(0), Bind::Output(0)],
            params: params.with_words(&[]),
            step: false,
            grid: grid("one_hot", len.div_ceil(64) as u64, cx.caps)?,
            flops: 0,
        }
        .into())
    }
}

impl Graph {
    /// Labels as rows of zeros with a one: `[...]` u32 to `[..., classes]` f32. A label past the classes counts as the last.
    ///
    /// # Errors
    /// [`Error::DType`] for labels that are not u32.
    pub fn one_hot(&mut self, labels: Value, classes: usize) -> Result<Value> {
        self.push(Arc::new(OneHot { classes }), &[labels])
    }
}
