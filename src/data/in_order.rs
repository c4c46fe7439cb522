//! A stream's tensors in the order of a model.

use super::named::places;
use super::{Dataset, FurtherSpec, SampleSpec};
use crate::error::Result;
use crate::tensor::{DType, Shape};
use std::sync::Arc;

/// The dataset with its tensors in the order of these names; as it is if it has no names. Targets keep their order if no
/// `targets` are asked for.
///
/// # Errors
/// [`Error::Data`] for a name that the model does not have, that is there twice or that is missing, and for another
/// number of names than of tensors.
pub(crate) fn in_order(
    dataset: Arc<dyn Dataset>,
    inputs: &[&str],
    targets: Option<&[&str]>,
) -> Result<Arc<dyn Dataset>> {
    let (names, further) = (dataset.names(), dataset.further());
    let (x, y) = (further.inputs.len() + 1, further.targets.len() + 1);
    let inputs = places("inputs", &names.inputs, x, Some(inputs))?;
    let targets = places("targets", &names.targets, y, targets)?;
    if inputs.is_sorted() && targets.is_sorted() {
        return Ok(dataset);
    }
    Ok(Arc::new(InOrder { dataset, inputs, targets }))
}

/// A dataset with its tensors in another order.
struct InOrder {
    dataset: Arc<dyn Dataset>,
    /// The place of each input and each target in the dataset.
    inputs: Vec<usize>,
    targets: Vec<usize>,
}

impl InOrder {
    /// Shapes and types of inputs and of targets, in the dataset's order.
    fn types(&self) -> [Vec<(Shape, DType)>; 2] {
        let (spec, further) = (self.dataset.spec(), self.dataset.further());
        let x = std::iter::once((spec.x_shape, spec.x_dtype)).chain(further.inputs);
        let y = std::iter::once((spec.y_shape, spec.y_dtype)).chain(further.targets);
        [x.collect(), y.collect()]
    }

    /// The places of the weights: one for all outputs, or one for each.
    fn weights(&self, of: &FurtherSpec) -> Vec<usize> {
        match of.weights.len() {
            n if n == self.targets.len() => self.targets.clone(),
            n => (0..n).collect(),
        }
    }
}

impl Dataset for InOrder {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn spec(&self) -> SampleSpec {
        let [x, y] = self.types();
        let (x_shape, x_dtype) = x[self.inputs[0]].clone();
        let (y_shape, y_dtype) = y[self.targets[0]].clone();
        SampleSpec { x_shape, x_dtype, y_shape, y_dtype, scale: self.dataset.spec().scale }
    }

    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()> {
        let mut further = vec![Vec::new(); self.dataset.further().bytes().count()];
        self.read_all(rows, x, y, &mut further)
    }

    fn further(&self) -> FurtherSpec {
        let [x, y] = self.types();
        let own = self.dataset.further();
        FurtherSpec {
            inputs: self.inputs[1..].iter().map(|&i| x[i].clone()).collect(),
            targets: self.targets[1..].iter().map(|&i| y[i].clone()).collect(),
            weights: self.weights(&own).into_iter().map(|i| own.weights[i].clone()).collect(),
        }
    }

    fn read_all(
        &self,
        rows: &[u32],
        x: &mut Vec<u8>,
        y: &mut Vec<u8>,
        further: &mut [Vec<u8>],
    ) -> Result<()> {
        let own = self.dataset.further();
        let (mut first, mut target) = (Vec::new(), Vec::new());
        let mut rest = vec![Vec::new(); own.bytes().count()];
        self.dataset.read_all(rows, &mut first, &mut target, &mut rest)?;
        let mut rest = rest.into_iter();
        let mut inputs = vec![first];
        inputs.extend(rest.by_ref().take(own.inputs.len()));
        let mut targets = vec![target];
        targets.extend(rest.by_ref().take(own.targets.len()));
        let mut weights: Vec<Option<Vec<u8>>> =
            own.weights.iter().map(|w| w.as_ref().and_then(|_| rest.next())).collect();
        x.append(&mut inputs[self.inputs[0]]);
        y.append(&mut targets[self.targets[0]]);
        let inputs = self.inputs[1..].iter().map(|&i| std::mem::take(&mut inputs[i]));
        let targets = self.targets[1..].iter().map(|&i| std::mem::take(&mut targets[i]));
        let weights = self.weights(&own).into_iter().filter_map(|i| weights[i].take());
        for (mut bytes, out) in inputs.chain(targets).chain(weights).zip(further) {
            out.append(&mut bytes);
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        self.dataset.check()
    }
}
