//! A model's outputs for samples.

use super::memory::Wanted;
use super::step::Batch;
use super::sweep::{Sweep, ty};
use super::trainer::Trainer;
use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::gpu::{PendingOutput, StepBlock};
use crate::graph::TensorType;
use crate::tensor::{Shape, Tensor};

/// Samples to predict: a tensor `[n, ...]` for each input, and the factor that their elements are multiplied by.
///
/// If no factor is given, it is that of the samples that the model was trained on, if these have the same element
/// types: a model that learned on bytes times 1/255 takes other bytes times 1/255 too. Checkpoints and the library's
/// files of weights carry the factor. If it cannot be known, `predict` says so.
#[derive(Debug, Clone, Copy)]
pub struct Features<'a> {
    /// The samples.
    pub x: &'a [Tensor],
    /// The factor; `None` for that of the samples that the model was trained on.
    pub scale: Option<f32>,
}

impl<'a> From<&'a Tensor> for Features<'a> {
    fn from(x: &'a Tensor) -> Self {
        Self { x: std::slice::from_ref(x), scale: None }
    }
}

impl<'a> From<&'a [Tensor]> for Features<'a> {
    fn from(x: &'a [Tensor]) -> Self {
        Self { x, scale: None }
    }
}

impl<'a> From<&'a TensorDataset> for Features<'a> {
    fn from(data: &'a TensorDataset) -> Self {
        Self { x: data.features(), scale: data.given_scale() }
    }
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

/// The sweep over samples in batches of `size`.
fn predict_sweep(x: &[Tensor], scale: f32, size: usize) -> Sweep {
    let n = x[0].shape().dims()[0];
    let types = x.iter().map(|x| {
        let mut dims = x.shape().dims().to_vec();
        dims[0] = size;
        TensorType { shape: Shape::from(dims), ..ty(x) }
    });
    let full = Batch {
        role: "predict",
        x: types.collect(),
        y: Vec::new(),
        weighted: false,
        scale,
        size,
        records: 0,
        capacity: 0,
    };
    Sweep::refilled(full, n.div_ceil(size))
}

impl Trainer {
    /// The output of a model with one output for each sample: `[n, ...]`. Samples pass through the device in
    /// batches.
    ///
    /// # Errors
    /// [`Error::Shape`] if the samples do not suit the model; [`Error::Parameter`] for a model of several outputs;
    /// [`Error::Data`] for samples whose factor is not known, see [`Features`]; [`Error::Limit`] if the device has no
    /// room, with the largest batch that fits; [`Error::Gpu`] for a device failure.
    pub async fn predict_async<'a>(&mut self, samples: impl Into<Features<'a>>) -> Result<Tensor> {
        self.check_one_output()?;
        Ok(self.predict_outputs_async(samples).await?.swap_remove(0))
    }

    /// Each output for each sample: `[n, ...]`. Samples pass through the device in batches.
    ///
    /// # Errors
    /// As [`Trainer::predict_async`], without the second.
    pub async fn predict_outputs_async<'a>(
        &mut self,
        samples: impl Into<Features<'a>>,
    ) -> Result<Vec<Tensor>> {
        // Rounded up, so that few plans are compiled for any number of samples.
        let size = self.evaluation_batch();
        self.predict_sized(samples.into(), size, usize::next_power_of_two).await
    }

    /// Refuses a model of several outputs.
    pub(super) fn check_one_output(&self) -> Result<()> {
        match self.outputs.len() {
            1 => Ok(()),
            several => {
                let detail = "the model has several; predict_outputs gives them all";
                Err(Error::parameter("outputs", several, detail))
            }
        }
    }

    /// Each output for each sample, in batches of `size` samples, rounded, or of all if there are fewer.
    pub(super) async fn predict_sized(
        &mut self,
        Features { x, scale }: Features<'_>,
        size: usize,
        rounded: impl Fn(usize) -> usize,
    ) -> Result<Vec<Tensor>> {
        self.check_features(x)?;
        if let Some(scale) = scale.filter(|scale| !scale.is_finite()) {
            return Err(Error::parameter("scale", scale, "a finite number"));
        }
        let scale = self.scale_of_features(x, scale)?;
        let n = x[0].shape().dims()[0];
        let sized = |_: &Self, size: usize| Ok(predict_sweep(x, scale, rounded(size)));
        let sweep = sized(self, n.min(size))?;
        self.admit(&[Wanted { sweep: &sweep, resized: &sized }])?;
        let (batch, size) = (&sweep.full, sweep.full.size);
        let in_order: Vec<u32> = (0..size as u32).collect();
        let order = bytemuck::cast_slice(&in_order);
        self.store.upload_bytes(&batch.buffer("order", 0), order)?;
        let shapes = self.model.output_shapes();
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
                self.store.upload_bytes(&batch.buffer("x", i), &rows)?;
            }
            let i = self.executor(batch, false)?;
            let executor = self.executor_at(i);
            executor.run(&[StepBlock::default()])?;
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

    /// The blocking form of [`Trainer::predict_async`].
    ///
    /// # Errors
    /// As [`Trainer::predict_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn predict<'a>(&mut self, samples: impl Into<Features<'a>>) -> Result<Tensor> {
        crate::gpu::block_on(self.predict_async(samples))
    }

    /// The blocking form of [`Trainer::predict_outputs_async`].
    ///
    /// # Errors
    /// As [`Trainer::predict_outputs_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn predict_outputs<'a>(&mut self, samples: impl Into<Features<'a>>) -> Result<Vec<Tensor>> {
        crate::gpu::block_on(self.predict_outputs_async(samples))
    }
}
