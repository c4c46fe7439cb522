//! Samples to predict: in memory, or streamed.

#[cfg(not(target_arch = "wasm32"))]
use super::stream::features;
use crate::data::TensorDataset;
#[cfg(not(target_arch = "wasm32"))]
use crate::data::{Dataset, Loader};
use crate::error::Result;
use crate::session::{Compiled, Features};
#[cfg(not(target_arch = "wasm32"))]
use crate::tensor::Shape;
use crate::tensor::Tensor;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Arc;

/// Batches of a stream that are read at once.
#[cfg(not(target_arch = "wasm32"))]
const BATCHES: usize = 4;

/// Samples for `predict`: [`Features`] and what becomes them, or an `Arc` of any dataset, whose targets are not used.
#[derive(Clone)]
#[non_exhaustive]
pub enum PredictData<'a> {
    /// In memory.
    Features(Features<'a>),
    /// Streamed.
    #[cfg(not(target_arch = "wasm32"))]
    Streamed(Arc<dyn Dataset>),
}

impl std::fmt::Debug for PredictData<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Features(features) => features.fmt(f),
            #[cfg(not(target_arch = "wasm32"))]
            Self::Streamed(_) => f.write_str("Streamed"),
        }
    }
}

impl<'a> From<Features<'a>> for PredictData<'a> {
    fn from(features: Features<'a>) -> Self {
        Self::Features(features)
    }
}

impl<'a> From<&'a Tensor> for PredictData<'a> {
    fn from(x: &'a Tensor) -> Self {
        Self::Features(x.into())
    }
}

impl<'a> From<&'a [Tensor]> for PredictData<'a> {
    fn from(x: &'a [Tensor]) -> Self {
        Self::Features(x.into())
    }
}

impl<'a> From<&'a TensorDataset> for PredictData<'a> {
    fn from(data: &'a TensorDataset) -> Self {
        Self::Features(data.into())
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl<D: Dataset + 'static> From<Arc<D>> for PredictData<'_> {
    fn from(data: Arc<D>) -> Self {
        Self::Streamed(data)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl From<Arc<dyn Dataset>> for PredictData<'_> {
    fn from(data: Arc<dyn Dataset>) -> Self {
        Self::Streamed(data)
    }
}

impl Compiled {
    /// Each output for each sample, in batches of about `size`.
    pub(crate) async fn predict_data(
        &mut self,
        data: PredictData<'_>,
        size: usize,
        rounded: fn(usize) -> usize,
    ) -> Result<Vec<Tensor>> {
        match data {
            PredictData::Features(features) => self.predict_sized(features, size, rounded).await,
            #[cfg(not(target_arch = "wasm32"))]
            PredictData::Streamed(dataset) => self.predict_stream(dataset, size, rounded).await,
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    async fn predict_stream(
        &mut self,
        dataset: Arc<dyn Dataset>,
        size: usize,
        rounded: fn(usize) -> usize,
    ) -> Result<Vec<Tensor>> {
        dataset.check()?;
        let n = dataset.len();
        let size = size.min(n);
        let order: Vec<u32> = (0..n as u32).collect();
        let mut loader = Loader::new(dataset.clone(), order, size.saturating_mul(BATCHES), 1)?;
        let scale = Some(dataset.spec().scale);
        let mut values: Vec<Vec<f32>> = vec![Vec::new(); self.outputs.len()];
        while let Some(window) = loader.next_async().await.transpose()? {
            let rows = window.rows.len();
            // The last window may be short: zeros make it a batch, so that all samples run the same plan.
            let x = features(&*dataset, &window, rows.max(size))?;
            let outputs = self.predict_sized(Features { x: &x, scale }, size, rounded).await?;
            for (values, output) in values.iter_mut().zip(outputs) {
                let all = output.as_f32()?;
                values.extend_from_slice(&all[..all.len() / rows.max(size) * rows]);
            }
        }
        let shapes = self.model.output_shapes();
        let outputs = values.into_iter().zip(shapes);
        outputs
            .map(|(v, shape)| Tensor::f32(Shape::from([&[n], shape.dims()].concat()), v))
            .collect()
    }
}
