//! Compares rows of scores with the class that is right.

use super::softmax::{row_launch, rows_cols};
use crate::error::{Error, Result};
use crate::graph::{Class, Graph, LowerContext, Lowered, Op, TensorType, Value, VjpContext};
use crate::kernels::{Bind, KernelCall, RowParams, Template, template};
use crate::tensor::{DType, Shape};
use std::sync::Arc;

pub(super) const COMPARE: Template = template!("reduce/argmax", RowParams);

/// What is computed for a row. The predicted class is the place of the largest score, the first of equal ones. A row
/// with a NaN has no predicted class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClassComparison {
    /// 1 if the predicted class is the target's, else 0.
    Hit,
    /// The cell of the confusion matrix, row by row: target · cols + predicted class, or -1 - target if there is no
    /// predicted class.
    Cell,
    /// How many scores are larger than that of the target's class, or `cols` if there is no predicted class.
    Rank,
}

/// The most classes for which f32 counts the cells of a confusion matrix: 4096² = 2²⁴.
pub const MAX_CELL_CLASSES: usize = 4096;

/// A number for each row, `[...]`. Operands: scores `[..., cols]` and integer labels `[...]`, or targets `[..., cols]`,
/// whose largest element (the first of equal ones) is at the right class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CompareClasses(pub ClassComparison);

impl Op for CompareClasses {
    fn name(&self) -> String {
        match self.0 {
            ClassComparison::Hit => "hits",
            ClassComparison::Cell => "confusion_cells",
            ClassComparison::Rank => "target_ranks",
        }
        .into()
    }

    fn class(&self) -> Class<'_> {
        Class::Opaque
    }

    fn min_inputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (_, cols) = rows_cols(&self.name(), &inputs[0].shape)?;
        let dims = inputs[0].shape.dims();
        let rows = Shape::from(&dims[..dims.len() - 1]);
        let fits = match inputs[1].dtype {
            DType::U32 => inputs[1].shape == rows,
            DType::F32 => inputs[1].shape == inputs[0].shape,
            DType::U8 => false,
        };
        if inputs[0].dtype != DType::F32 || !fits {
            let detail = "targets are u32 labels per row, or f32 of the predictions' shape";
            let shapes = [&inputs[0].shape, &inputs[1].shape];
            return Err(Error::shape(self.name(), &shapes, detail));
        }
        if self.0 == ClassComparison::Cell && cols > MAX_CELL_CLASSES {
            let detail =
                format!("an f32 counts the cells of no more than {MAX_CELL_CLASSES} classes");
            return Err(Error::shape(self.name(), &[&inputs[0].shape], detail));
        }
        Ok(vec![TensorType::f32(rows)])
    }

    fn vjp(&self, _graph: &mut Graph, _cx: &VjpContext<'_>) -> Result<Vec<Option<Value>>> {
        Err(Error::not_differentiable(
            self.name(),
            "counting is piecewise constant; train on a loss",
        ))
    }

    fn lower(&self, cx: &LowerContext<'_>) -> Result<Lowered> {
        let (rows, cols) = rows_cols(&self.name(), &cx.inputs[0].0.shape)?;
        let kind: u32 = match self.0 {
            ClassComparison::Hit => 0,
            ClassComparison::Cell => 1,
            ClassComparison::Rank => 2,
        };
        let loops = if self.0 == ClassComparison::Rank { 3 } else { 2 };
        let (mut defines, grid) = row_launch(&self.name(), (rows, cols), loops, cx.caps)?;
        defines.push(("SPARSE", (cx.inputs[1].0.dtype == DType::U32).into()));
        defines.push(("KIND", kind.into()));
        let params = RowParams { rows: rows as u32, cols: cols as u32, pad0: 0, pad1: 0 };
        Ok(KernelCall {
            text: None,
            template: COMPARE,
            defines,
            binds: vec![Bind::Input(0), Bind::Input(1), Bind::Output(0)],
            params: params.with_words(&[]),
            step: false,
            grid,
            flops: (rows * cols) as u64,
        }
        .into())
    }
}

impl Graph {
    /// Whether each row of `predictions` has its largest element at the place that `targets` name: 1 or 0; see
    /// [`CompareClasses`].
    ///
    /// # Errors
    /// [`Error::Shape`] if the targets do not suit the predictions.
    pub fn hits(&mut self, predictions: Value, targets: Value) -> Result<Value> {
        self.push(Arc::new(CompareClasses(ClassComparison::Hit)), &[predictions, targets])
    }

    /// The cell of the confusion matrix of each row, `target · cols + predicted class`; see
    /// [`ClassComparison::Cell`].
    ///
    /// # Errors
    /// As [`Graph::hits`]; more than [`MAX_CELL_CLASSES`] classes.
    pub fn confusion_cells(&mut self, predictions: Value, targets: Value) -> Result<Value> {
        self.push(Arc::new(CompareClasses(ClassComparison::Cell)), &[predictions, targets])
    }

    /// How many elements of each row are larger than that of the target's class; see [`CompareClasses`].
    ///
    /// # Errors
    /// As [`Graph::hits`].
    pub fn target_ranks(&mut self, predictions: Value, targets: Value) -> Result<Value> {
        self.push(Arc::new(CompareClasses(ClassComparison::Rank)), &[predictions, targets])
    }
}
