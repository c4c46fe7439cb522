//! The row kernel: reductions over each row, each with an elementwise program before and after it, and elementwise
//! results that use what was reduced. One launch computes a whole normalization or a masked softmax.

use super::row_lower::lower_row_kernel;
use super::row_reads::RowWalk;
use crate::error::{Error, Result};
use crate::graph::{
    Class, Graph, LowerContext, Lowered, Op, Phase, Read, RowKernel, TensorType, Value, View,
    VjpContext,
};

impl Op for RowKernel {
    fn name(&self) -> String {
        self.rule.name.into()
    }

    fn attrs(&self) -> String {
        let phase = |p: &Phase| format!("{:?} of {} as {}", p.reduction, p.before, p.after);
        let phases = self.phases.iter().map(phase).collect::<Vec<_>>().join("; ");
        format!("rows of {}; {phases}; {}", self.rows.cols(), self.elements)
    }

    fn class(&self) -> Class<'_> {
        Class::Rows(self)
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        self.rows.check(&self.name(), &self.reads, inputs)?;
        let full = TensorType::f32(&self.rows.shape);
        let mut types = vec![full; self.elements.outputs.len()];
        let value =
            |values: &Vec<usize>| TensorType::f32([self.rows.outer(), &[values.len()]].concat());
        types.extend(self.kept.iter().map(value));
        Ok(types)
    }

    fn vjp(&self, graph: &mut Graph, cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        let VjpContext { inputs, outputs, upstream, .. } = *cx;
        let mut partials = vec![None; inputs.len()];
        let Some(dy) = upstream[0] else { return Ok(partials) };
        let Some(gradient) = self.rule.gradient else {
            let detail = "the gradient of a row kernel has no gradient; build it from elementwise functions and sums";
            return Err(Error::not_differentiable(self.rule.name, detail));
        };
        let found = gradient(graph, &self.rows, self.rule.options, inputs, outputs, dy)?;
        for (partial, found) in partials.iter_mut().zip(found) {
            *partial = found;
        }
        Ok(partials)
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        lower_row_kernel(self, cx)
    }

    fn takes_view(&self, _inputs: &[&TensorType], input: usize, view: &View) -> bool {
        let mut reads = self.reads.iter().filter(|read| read.operand() == input);
        let elements = reads.all(|read| matches!(read, Read::Element(_)));
        elements && RowWalk::viewed(view, &self.rows).is_some()
    }

    fn takes_uniform(&self, input: usize) -> bool {
        self.reads.contains(&Read::Element(input))
    }
}
