//! Training data that is larger than the device: a thread reads windows of it ahead.

use super::check::{check_labels, check_probabilities};
use crate::data::{Dataset, Loader, SampleSpec, Window};
use crate::error::{Error, Result};
use crate::graph::TensorType;
use crate::session::{Compiled, Sweep};
use crate::step::Batch;
use crate::tensor::{DType, Data, Shape, Tensor};
use std::sync::Arc;

/// Bytes of samples that are uploaded at once, if the user sets no window.
const WINDOW_BYTES: usize = 16 << 20;

/// Windows that wait in host memory for their turn.
const QUEUE: usize = 2;

/// A dataset on its way to the device.
pub(crate) struct Stream {
    dataset: Arc<dyn Dataset>,
    loader: Option<Loader>,
    /// The window on the device.
    present: Option<usize>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("present", &self.present).finish_non_exhaustive()
    }
}

/// The type of `rows` samples.
fn table(rows: usize, shape: &Shape, dtype: DType) -> TensorType {
    TensorType { shape: [&[rows], shape.dims()].concat().into(), dtype }
}

impl Stream {
    pub const fn new(dataset: Arc<dyn Dataset>) -> Self {
        Self { dataset, loader: None, present: None }
    }

    /// Begins an epoch: reads the rows of `order` ahead, from the window of step `from` on.
    pub fn begin(&mut self, sweep: &Sweep, order: &[u32], from: usize) -> Result<()> {
        let rows = sweep.window * sweep.full.size;
        let end = sweep.samples();
        // After the last batch, which may be short, no sample is left.
        let skipped = (from / sweep.window * rows).min(end);
        let ahead = order[skipped..end].to_vec();
        self.loader = match ahead.is_empty() {
            true => None,
            false => Some(Loader::new(self.dataset.clone(), ahead, rows, QUEUE)?),
        };
        self.present = None;
        Ok(())
    }
}

impl Compiled {
    /// The sweep over a streamed dataset: batches of `size`, at most `limit` of them, `window` on the device at
    /// once.
    pub(crate) fn streamed_sweep(
        &self,
        dataset: &dyn Dataset,
        size: usize,
        limit: Option<usize>,
        window: Option<usize>,
    ) -> Result<Sweep> {
        let spec = dataset.spec();
        spec.check()?;
        let bytes = size.saturating_mul(spec.x_bytes() + spec.y_bytes()).max(1);
        let steps = dataset.len().div_ceil(size);
        let window = window.unwrap_or_else(|| (WINDOW_BYTES / bytes).max(1));
        if window == 0 {
            return Err(Error::parameter("window_batches", 0, "a window has at least one batch"));
        }
        let window = window.min(limit.unwrap_or(steps)).max(1);
        let rows = window * size;
        let full = Batch {
            scale: spec.scale,
            ..Batch::new(
                "train",
                table(rows, &spec.x_shape, spec.x_dtype),
                table(rows, &spec.y_shape, spec.y_dtype),
                size,
                0,
            )
        };
        let mut sweep = Sweep::over(full, dataset.len(), limit, true)?;
        sweep.window = window;
        Ok(sweep)
    }

    /// Makes room for the window, whose rows are taken in order.
    pub(crate) fn make_room(&mut self, sweep: &Sweep) -> Result<()> {
        let batch = &sweep.full;
        for (part, ty) in [("x", &batch.x[0]), ("y", &batch.y[0])] {
            let bytes = ty.shape.len() * ty.dtype.size();
            self.store.reserve(&batch.buffer(part, 0), bytes as u64)?;
        }
        let in_order: Vec<u32> = (0..(sweep.window * batch.size) as u32).collect();
        self.upload_order(sweep, &in_order)?;
        self.prepare(sweep)
    }

    /// Brings the window of a step to the device. Steps submitted before still read the old one: the
    /// queue writes after they ran.
    pub(crate) async fn bring_window(
        &mut self,
        stream: &mut Stream,
        sweep: &Sweep,
        step: usize,
    ) -> Result<()> {
        let window = step / sweep.window;
        if stream.present == Some(window) {
            return Ok(());
        }
        let next = match &mut stream.loader {
            Some(loader) => loader.next_async().await.transpose()?,
            None => None,
        };
        let Some(samples) = next else {
            return Err(Error::internal("stream", format!("there is no window {window}")));
        };
        self.check_window(&stream.dataset.spec(), &samples)?;
        self.store.write(&sweep.full.buffer("x", 0), &samples.x)?;
        self.store.write(&sweep.full.buffer("y", 0), &samples.y)?;
        stream.present = Some(window);
        Ok(())
    }

    /// Refuses samples that the kernels cannot work with.
    fn check_window(&self, spec: &SampleSpec, window: &Window) -> Result<()> {
        let loss = &self.outputs[0].loss;
        match spec.y_dtype {
            DType::U32 => {
                let labels: Vec<u32> = bytemuck::pod_collect_to_vec(&window.y);
                let shape = self.model.output_shapes().remove(0);
                let width = labels.len() / window.rows.len();
                check_labels(loss, &shape, &labels, width, |i| window.rows[i] as usize)
            }
            _ if !loss.takes_probabilities() => Ok(()),
            DType::F32 => {
                check_probabilities(loss, &bytemuck::pod_collect_to_vec::<u8, f32>(&window.y))
            }
            DType::U8 => {
                let targets: Vec<f32> = window.y.iter().copied().map(f32::from).collect();
                check_probabilities(loss, &targets)
            }
        }
    }

    /// Refuses a dataset whose samples do not suit the model.
    pub(crate) fn check_stream(&self, dataset: &dyn Dataset) -> Result<()> {
        dataset.check()?;
        let spec = dataset.spec();
        spec.check()?;
        if dataset.is_empty() {
            return Err(Error::data("x", "there are no samples"));
        }
        // A sample of zeros has the shapes and types of all.
        let zeros = |shape: &Shape, dtype: DType| {
            let ty = table(1, shape, dtype);
            let len = ty.shape.len();
            Tensor::new(
                ty.shape,
                match dtype {
                    DType::F32 => Data::F32(vec![0.0; len]),
                    DType::U32 => Data::U32(vec![0; len]),
                    DType::U8 => Data::U8(vec![0; len]),
                },
            )
        };
        let (x, y) = (zeros(&spec.x_shape, spec.x_dtype)?, zeros(&spec.y_shape, spec.y_dtype)?);
        self.check_data(&crate::data::TensorDataset::new(x, y)?)
    }
}
