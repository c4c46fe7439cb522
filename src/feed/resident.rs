//! Data that stays on the device as a whole.

use crate::data::TensorDataset;
use crate::error::Result;
use crate::graph::TensorType;
use crate::session::{Compiled, Sweep, ty};
use crate::step::{Batch, OutputSpec};
use crate::tensor::{DType, Data, Tensor};

impl Compiled {
    /// The types of targets on the device: bytes become ids if the loss takes labels.
    pub(crate) fn target_types(&self, types: impl Iterator<Item = TensorType>) -> Vec<TensorType> {
        let outputs = self.outputs.iter().map(Some).chain(std::iter::repeat(None));
        let of = |(ty, output): (TensorType, Option<&OutputSpec>)| {
            let labels = output.is_some_and(|output| output.loss.takes_labels());
            let dtype = if labels && ty.dtype == DType::U8 { DType::U32 } else { ty.dtype };
            TensorType { dtype, ..ty }
        };
        types.zip(outputs).map(of).collect()
    }

    /// The sweep over a dataset that is on the device as a whole, or in windows if the device cannot bind all of it.
    pub(crate) fn resident_sweep(
        &self,
        role: &'static str,
        data: &TensorDataset,
        scale: f32,
        size: usize,
        limit: Option<usize>,
        window: Option<usize>,
    ) -> Result<Sweep> {
        let size = size.min(data.len());
        let full = Batch {
            role,
            x: data.features().iter().map(ty).collect(),
            y: self.target_types(data.targets().iter().map(ty)),
            weights: data.weight_tables().iter().map(|w| w.as_ref().map(ty)).collect(),
            scale,
            size,
            records: 0,
            capacity: size,
        };
        if self.is_past_binding(&full) {
            return self.windowed(&full.with_rows(size), data.len(), limit, window);
        }
        Sweep::over(full, data.len(), limit, ["train", "train_on_batch"].contains(&role))
    }

    /// Uploads a dataset, its samples in order, and compiles its batches: nothing is allocated or compiled between the
    /// first step and the last.
    pub(crate) fn make_resident(&mut self, data: &TensorDataset, sweep: &Sweep) -> Result<()> {
        let batch = &sweep.full;
        for (i, x) in data.features().iter().enumerate() {
            self.store.upload(&batch.buffer("x", i), x)?;
        }
        for (i, y) in data.targets().iter().enumerate() {
            let name = batch.buffer("y", i);
            match y.data() {
                Data::U8(labels) if batch.y[i].dtype == DType::U32 => {
                    let labels: Vec<u32> = labels.iter().copied().map(u32::from).collect();
                    self.store.upload(&name, &Tensor::u32(y.shape().clone(), labels)?)?;
                }
                _ => self.store.upload(&name, y)?,
            }
        }
        for (i, weights) in data.weight_tables().iter().enumerate() {
            if let Some(weights) = weights {
                self.store.upload(&batch.buffer("weights", i), weights)?;
            }
        }
        let in_order: Vec<u32> = (0..data.len() as u32).collect();
        self.upload_order(sweep, &in_order)?;
        self.prepare(sweep)
    }
}
