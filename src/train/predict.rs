//! A model's outputs for samples.

use super::memory::Wanted;
use super::pass::{Pass, ty};
use super::step::Batch;
use super::trainer::Trainer;
use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::gpu::{PendingOutput, StepBlock};
use crate::graph::TensorType;
use crate::tensor::{Shape, Tensor};

/// Samples to predict: a tensor `[n, ...]` for each input, and the factor that their elements are multiplied by.
#[derive(Debug, Clone, Copy)]
pub struct Features<'a> {
    /// The samples.
    pub x: &'a [Tensor],
    /// The factor.
    pub scale: f32,
}

impl<'a> From<&'a Tensor> for Features<'a> {
    fn from(x: &'a Tensor) -> Self {
        Self { x: std::slice::from_ref(x), scale: 1.0 }
    }
}

impl<'a> From<&'a [Tensor]> for Features<'a> {
    fn from(x: &'a [Tensor]) -> Self {
        Self { x, scale: 1.0 }
    }
}

impl<'a> From<&'a TensorDataset> for Features<'a> {
    fn from(data: &'a TensorDataset) -> Self {
        Self { x: data.features(), scale: data.scale() }
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

/// The pass over samples in batches of about `size`, rounded up so that few plans are compiled however many samples
/// there are.
fn predict_pass(x: &[Tensor], scale: f32, size: usize) -> Pass {
    let n = x[0].shape().dims()[0];
    let size = size.next_power_of_two();
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
        slots: 0,
        capacity: 0,
    };
    Pass::refilled(full, n.div_ceil(size))
}

impl Trainer {
    /// The output of a model with one output for each sample: `[n, ...]`. Samples pass through the device in
    /// batches.
    ///
    /// # Errors
    /// [`Error::Shape`] where the samples do not suit the model; [`Error::Parameter`] for a model of several
    /// outputs; [`Error::Limit`] where the device has no room, with the largest batch that fits; [`Error::Gpu`] for
    /// a device failure.
    pub async fn predict_async<'a>(&mut self, samples: impl Into<Features<'a>>) -> Result<Tensor> {
        if self.outputs.len() > 1 {
            let detail = "the model has several; predict_outputs gives them all";
            return Err(Error::parameter("outputs", self.outputs.len(), detail));
        }
        Ok(self.predict_outputs_async(samples).await?.swap_remove(0))
    }

    /// Each output for each sample: `[n, ...]`. Samples pass through the device in batches.
    ///
    /// # Errors
    /// As [`Trainer::predict_async`], less the second.
    pub async fn predict_outputs_async<'a>(
        &mut self,
        samples: impl Into<Features<'a>>,
    ) -> Result<Vec<Tensor>> {
        let Features { x, scale } = samples.into();
        self.check_features(x)?;
        if !scale.is_finite() {
            return Err(Error::parameter("scale", scale, "a finite number"));
        }
        let n = x[0].shape().dims()[0];
        let sized = |_: &Self, size: usize| Ok(predict_pass(x, scale, size));
        let pass = sized(self, n.min(self.evaluation_batch()))?;
        self.admit(&[Wanted { pass: &pass, resized: &sized }])?;
        let (batch, size) = (&pass.full, pass.full.size);
        let in_order: Vec<u32> = (0..size as u32).collect();
        let order = bytemuck::cast_slice(&in_order);
        self.store.upload_bytes(&batch.buffer("order", 0), order)?;
        let shapes = self.model.output_shapes();
        let mut values = vec![Vec::new(); shapes.len()];
        // The batch before: its outputs are read while the next one is on its way.
        let mut before: Option<(usize, Vec<PendingOutput>)> = None;
        for start in (0..n).step_by(size) {
            let count = size.min(n - start);
            for (i, x) in x.iter().enumerate() {
                let row_bytes = x.data().bytes().len() / n;
                let mut rows = x.data().bytes()[start * row_bytes..][..count * row_bytes].to_vec();
                // A short last batch is filled up with zeros, whose predictions nobody reads.
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
