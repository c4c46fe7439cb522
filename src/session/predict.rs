//! A model's outputs for samples.

use super::compiled::Compiled;
use super::memory::Wanted;
use super::samples::{self, Features};
use super::sweep::{Sweep, ty};
use crate::error::{Error, Result};
use crate::gpu::{Executor, PendingOutput, StepBlock, Store};
use crate::graph::TensorType;
use crate::step::Batch;
use crate::tensor::{Shape, Tensor};

/// Batches of `size` samples.
pub(crate) fn batch_of(x: &[Tensor], scale: f32, size: usize) -> Batch {
    let types = x.iter().map(|x| {
        let mut dims = x.shape().dims().to_vec();
        dims[0] = size;
        TensorType { shape: Shape::from(dims), ..ty(x) }
    });
    Batch {
        role: "predict",
        x: types.collect(),
        y: Vec::new(),
        weights: Vec::new(),
        scale,
        size,
        records: 0,
        capacity: 0,
    }
}

/// Makes the buffers of a batch, whose samples are taken in order.
pub(crate) fn make_room(store: &mut Store, batch: &Batch) -> Result<()> {
    for (i, ty) in batch.x.iter().enumerate() {
        store.reserve(&batch.buffer("x", i), (ty.shape.len() * ty.dtype.size()) as u64)?;
    }
    let in_order: Vec<u32> = (0..batch.size as u32).collect();
    store.upload_bytes(&batch.buffer("order", 0), bytemuck::cast_slice(&in_order))
}

/// The outputs for all samples, batch after batch; `shapes` are those of one sample of each output.
pub(crate) async fn outputs(
    store: &mut Store,
    executor: &mut Executor,
    batch: &Batch,
    x: &[Tensor],
    shapes: &[Shape],
) -> Result<Vec<Tensor>> {
    let (n, size) = (x[0].shape().dims()[0], batch.size);
    let mut values = vec![Vec::new(); shapes.len()];
    // The batch before: its outputs are read while the next one runs.
    let mut before: Option<(usize, Vec<PendingOutput>)> = None;
    for start in (0..n).step_by(size) {
        let count = size.min(n - start);
        for (i, x) in x.iter().enumerate() {
            let row_bytes = x.data().bytes().len() / n;
            let mut rows = x.data().bytes()[start * row_bytes..][..count * row_bytes].to_vec();
            // A short last batch is filled up with zeros. Nobody reads their predictions.
            rows.resize(size * row_bytes, 0);
            store.write(&batch.buffer("x", i), &rows)?;
        }
        executor.run_async(&[StepBlock::default()]).await?;
        let outputs = (0..shapes.len())
            .map(|i| executor.read_later(&format!("predictions/{i}")))
            .collect::<Result<Vec<_>>>()?;
        if let Some((count, outputs)) = before.replace((count, outputs)) {
            take(count, outputs, &mut values).await?;
        }
    }
    if let Some((count, outputs)) = before {
        take(count, outputs, &mut values).await?;
    }
    let outputs = values.into_iter().zip(shapes).map(|(values, shape)| {
        let mut dims = vec![n];
        dims.extend(shape.dims());
        Tensor::f32(dims, values)
    });
    outputs.collect()
}

/// Adds the first `count` samples of a batch's outputs to the values of each output.
async fn take(count: usize, outputs: Vec<PendingOutput>, values: &mut [Vec<f32>]) -> Result<()> {
    for (values, output) in values.iter_mut().zip(outputs) {
        let predicted = output.tensor().await?;
        let rows = predicted.shape().dims()[0];
        let all = predicted.as_f32()?;
        values.extend_from_slice(&all[..all.len() / rows * count]);
    }
    Ok(())
}

/// Refuses a model of several outputs.
pub(crate) fn check_one_output(outputs: usize) -> Result<()> {
    match outputs {
        1 => Ok(()),
        several => {
            let detail = "the model has several; predict_outputs gives them all";
            Err(Error::parameter("outputs", several, detail))
        }
    }
}

impl Compiled {
    /// Each output for each sample, in batches of `size` samples, rounded, or of all if there are fewer.
    pub(crate) async fn predict_sized(
        &mut self,
        features: Features<'_>,
        size: usize,
        rounded: fn(usize) -> usize,
    ) -> Result<Vec<Tensor>> {
        let scale = samples::scale(&self.model, self.scaling.as_ref(), features)?;
        let x = features.x;
        let n = x[0].shape().dims()[0];
        let sized = |_: &Self, size: usize| {
            let batch = batch_of(x, scale, rounded(size));
            let steps = n.div_ceil(batch.size);
            Ok(Sweep::refilled(batch, steps))
        };
        let sweep = sized(self, n.min(size))?;
        self.admit(&[Wanted { sweep: &sweep, resized: &sized }])?;
        make_room(&mut self.store, &sweep.full)?;
        let shapes = self.model.output_shapes();
        let i = self.executor(&sweep.full, false)?;
        let executor = &mut self.executors[i].1;
        outputs(&mut self.store, executor, &sweep.full, x, &shapes).await
    }
}
