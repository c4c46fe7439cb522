//! Data that stays on the device as a whole.

use crate::data::TensorDataset;
use crate::error::Result;
use crate::session::{Compiled, Sweep, ty};
use crate::step::Batch;

impl Compiled {
    /// The sweep over a dataset that is on the device as a whole.
    pub(crate) fn resident_sweep(
        &self,
        role: &'static str,
        data: &TensorDataset,
        scale: f32,
        size: usize,
        limit: Option<usize>,
    ) -> Result<Sweep> {
        let size = size.min(data.len());
        let full = Batch {
            role,
            x: data.features().iter().map(ty).collect(),
            y: data.targets().iter().map(ty).collect(),
            weighted: data.weights().is_some(),
            scale,
            size,
            records: 0,
            capacity: size,
        };
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
            self.store.upload(&batch.buffer("y", i), y)?;
        }
        if let Some(weights) = data.weights() {
            self.store.upload(&batch.buffer("weights", 0), weights)?;
        }
        let in_order: Vec<u32> = (0..data.len() as u32).collect();
        self.upload_order(sweep, &in_order)?;
        self.prepare(sweep)
    }
}
