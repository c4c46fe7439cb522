//! Data in host memory that the device cannot bind as a whole: windows of it, in the order of the epoch.

use crate::data::{TensorDataset, append_rows};
use crate::error::{Error, Result};
use crate::session::{Compiled, STEPS_AT_ONCE, Sweep};
use crate::step::Batch;
use crate::tensor::DType;
use std::borrow::Cow;

/// Bytes of samples that are on the device at once, if the user sets no window.
const WINDOW_BYTES: u64 = 16 << 20;

/// A dataset on its way to the device.
#[derive(Debug)]
pub(crate) struct Windows<'d> {
    data: &'d TensorDataset,
    order: Vec<u32>,
    /// The window on the device.
    present: Option<usize>,
}

impl<'d> Windows<'d> {
    pub const fn new(data: &'d TensorDataset) -> Self {
        Self { data, order: Vec::new(), present: None }
    }

    /// Begins an epoch with its samples in this order.
    pub fn begin(&mut self, order: Vec<u32>) {
        self.order = order;
        self.present = None;
    }
}

/// The elements of targets as the device has them: bytes that are labels become ids.
pub(crate) fn on_device(bytes: Cow<'_, [u8]>, from: DType, to: DType) -> Cow<'_, [u8]> {
    match (from, to) {
        (DType::U8, DType::U32) => bytes
            .iter()
            .flat_map(|&label| u32::from(label).to_ne_bytes())
            .collect::<Vec<u8>>()
            .into(),
        _ => bytes,
    }
}

impl Compiled {
    /// Whether a batch has a table that the device cannot bind.
    pub(crate) fn is_past_binding(&self, batch: &Batch) -> bool {
        batch.tables().any(|(_, ty)| ty.bytes() > self.device.caps().max_binding_bytes)
    }

    /// Batches of a window, if the user sets none: about 16 MB, and no table longer than the device can bind.
    pub(crate) fn window_of(&self, one: &Batch, steps: usize) -> usize {
        let bytes: u64 = one.tables().map(|(_, ty)| ty.bytes()).sum();
        let longest = one.tables().map(|(_, ty)| ty.bytes()).max().unwrap_or(1).max(1);
        let bound = self.device.caps().max_binding_bytes / longest;
        let most = (WINDOW_BYTES / bytes.max(1)).min(bound) as usize;
        most.min(STEPS_AT_ONCE).min(steps).max(1)
    }

    /// The sweep over the samples of `one` batch at a time: `window` batches on the device at once.
    pub(crate) fn windowed(
        &self,
        one: &Batch,
        samples: usize,
        limit: Option<usize>,
        window: Option<usize>,
    ) -> Result<Sweep> {
        if window == Some(0) {
            return Err(Error::parameter("window_batches", 0, "a window has at least one batch"));
        }
        let steps = samples.div_ceil(one.size);
        let steps = limit.unwrap_or(steps).min(steps).max(1);
        let window = window.map_or_else(|| self.window_of(one, steps), |w| w.min(steps));
        let full = one.with_rows(window * one.size);
        let train = ["train", "train_on_batch"].contains(&one.role);
        let mut sweep = Sweep::over(full, samples, limit, train)?;
        sweep.window = window;
        Ok(sweep)
    }

    /// Makes room for a window, whose rows are taken in order.
    pub(crate) fn make_room(&mut self, sweep: &Sweep) -> Result<()> {
        let batch = &sweep.full;
        for (name, ty) in batch.tables() {
            self.store.reserve(&name, ty.bytes())?;
        }
        let in_order: Vec<u32> = (0..(sweep.window * batch.size) as u32).collect();
        self.upload_order(sweep, &in_order)?;
        self.prepare(sweep)
    }

    /// Brings the window of a step to the device. The queue writes after the steps submitted before ran.
    pub(crate) fn bring_rows(
        &mut self,
        windows: &mut Windows<'_>,
        sweep: &Sweep,
        step: usize,
    ) -> Result<()> {
        let window = step / sweep.window;
        if windows.present == Some(window) {
            return Ok(());
        }
        let rows = sweep.window * sweep.full.size;
        let end = (window * rows + rows).min(sweep.samples());
        let rows = &windows.order[window * rows..end];
        let data = windows.data;
        let features = data.features().iter().map(Some);
        let targets = data.targets().iter().map(Some);
        let weights = data.weight_tables().iter().map(Option::as_ref);
        let tensors = features.chain(targets).chain(weights).flatten();
        for (tensor, (name, ty)) in tensors.zip(sweep.full.tables()) {
            let mut own = Vec::new();
            append_rows(tensor, rows, &mut own);
            self.store.write(&name, &on_device(own.into(), tensor.dtype(), ty.dtype))?;
        }
        windows.present = Some(window);
        Ok(())
    }
}
