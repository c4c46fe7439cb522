//! A product with the gates of recurrent units behind it: a step of time in one launch.

use super::contraction::Contraction;
use super::contraction_lower::lower_product;
use super::contraction_store::StoreCode;
use super::gates::Gates;
use crate::error::{Error, Result};
use crate::graph::{
    Class, Graph, LowerContext, Lowered, Op, OpRef, TensorType, Value, View, VjpContext,
};
use std::sync::Arc;

/// Gates whose first operand is a product: operands A and B, then the further ones of the gates. If that operand has four
/// parts, the product has them side by side for each unit, so that they meet in one vec4 of its kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GatedProduct {
    pub(super) product: Contraction,
    pub(super) gates: Gates,
}

impl Op for GatedProduct {
    fn name(&self) -> String {
        format!("matmul+{}", self.gates.name())
    }

    fn attrs(&self) -> String {
        format!("{}; {}", self.product.attrs(), self.gates.attrs())
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        1 + self.gates.min_inputs()
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let product = self.product.infer(&inputs[..2])?;
        if !matches!(self.gates.operands[0], 1 | 4) {
            let detail = format!("{} parts do not meet in a vec4", self.gates.operands[0]);
            return Err(Error::internal(self.name(), detail));
        }
        let operands: Vec<&TensorType> =
            product.iter().chain(inputs[2..].iter().copied()).collect();
        self.gates.infer(&operands)
    }

    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Err(Error::internal(self.name(), "is made after gradients"))
    }

    fn with_copy(&self, output: usize) -> Option<OpRef> {
        let gates = self.gates.copied(output)?;
        Some(Arc::new(Self { gates, ..self.clone() }))
    }

    fn takes_view(&self, inputs: &[&TensorType], input: usize, view: &View) -> bool {
        input < 2 && self.product.takes_view(inputs, input, view)
    }

    fn gains_by_view(&self, inputs: &[&TensorType], input: usize, view: &View) -> bool {
        self.product.gains_by_view(inputs, input, view)
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        self.gates.check_size(self.product.spec.m)?;
        let results = cx.read.iter().filter(|&&read| read).count();
        let joined = cx.inputs.len() + results <= cx.caps.storage_buffers() as usize;
        let store = |sources| Ok(StoreCode::gates(&self.gates, &cx.read, sources));
        lower_product(&self.product, cx, joined, &store)
    }
}
