//! Samples to predict: in memory, or streamed.

#[cfg(not(target_arch = "wasm32"))]
use super::stream::features;
use crate::data::TensorDataset;
#[cfg(not(target_arch = "wasm32"))]
use crate::data::{Dataset, Loader, in_order};
use crate::error::Result;
use crate::layers::Model;
use crate::session::{Compiled, Features, Predictor, check_one_output};
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
    /// The features of a dataset in memory, by name if they have names.
    Dataset(&'a TensorDataset),
    /// Streamed.
    #[cfg(not(target_arch = "wasm32"))]
    Streamed(Arc<dyn Dataset>),
}

impl std::fmt::Debug for PredictData<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Features(features) => features.fmt(f),
            Self::Dataset(_) => f.write_str("Dataset"),
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
        Self::Dataset(data)
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

fn input_names(model: &Model) -> Vec<&str> {
    model.inputs().iter().map(|input| &*input.name).collect()
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
            PredictData::Dataset(data) => {
                let x = data.features_in_order(&input_names(&self.model))?;
                let features = Features { x: &x, ..data.into() };
                self.predict_sized(features, size, rounded).await
            }
            #[cfg(not(target_arch = "wasm32"))]
            PredictData::Streamed(dataset) => {
                let mut stream = Predictions::new(&self.model, dataset, size)?;
                while let Some(x) = stream.next().await? {
                    let outputs = self.predict_sized(stream.features(&x), size, rounded).await?;
                    stream.take(&outputs)?;
                }
                stream.outputs()
            }
        }
    }
}

impl Predictor {
    /// The output of a model with one output for each sample: `[n, ...]`. An `Arc` of any dataset is streamed.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the samples do not suit the model; [`Error::Parameter`](crate::Error::Parameter) for a model of several
    /// outputs, and for a batch size of 0; [`Error::Data`](crate::Error::Data) for samples whose factor is not known, see
    /// [`Features`]; [`Error::Limit`](crate::Error::Limit) if the device has no room; [`Error::Gpu`](crate::Error::Gpu) for a
    /// device failure; those of the dataset.
    pub async fn predict_async<'a>(&self, samples: impl Into<PredictData<'a>>) -> Result<Tensor> {
        check_one_output(self.model().output_tensors().len())?;
        Ok(self.predict_outputs_async(samples).await?.swap_remove(0))
    }

    /// Each output for each sample: `[n, ...]`.
    ///
    /// # Errors
    /// As [`Predictor::predict_async`], without that for several outputs.
    pub async fn predict_outputs_async<'a>(
        &self,
        samples: impl Into<PredictData<'a>>,
    ) -> Result<Vec<Tensor>> {
        match samples.into() {
            PredictData::Features(features) => self.predict_features(features).await,
            PredictData::Dataset(data) => {
                let x = data.features_in_order(&input_names(self.model()))?;
                self.predict_features(Features { x: &x, ..data.into() }).await
            }
            #[cfg(not(target_arch = "wasm32"))]
            PredictData::Streamed(dataset) => {
                let mut stream = Predictions::new(self.model(), dataset, self.step_size()?)?;
                while let Some(x) = stream.next().await? {
                    let outputs = self.predict_features(stream.features(&x)).await?;
                    stream.take(&outputs)?;
                }
                stream.outputs()
            }
        }
    }

    /// The blocking form of [`Predictor::predict_async`].
    ///
    /// # Errors
    /// As [`Predictor::predict_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn predict<'a>(&self, samples: impl Into<PredictData<'a>>) -> Result<Tensor> {
        crate::gpu::block_on(self.predict_async(samples))
    }

    /// The blocking form of [`Predictor::predict_outputs_async`].
    ///
    /// # Errors
    /// As [`Predictor::predict_outputs_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn predict_outputs<'a>(&self, samples: impl Into<PredictData<'a>>) -> Result<Vec<Tensor>> {
        crate::gpu::block_on(self.predict_outputs_async(samples))
    }
}

/// The outputs of a stream, window after window.
#[cfg(not(target_arch = "wasm32"))]
struct Predictions {
    dataset: Arc<dyn Dataset>,
    loader: Loader,
    /// The most samples of a batch.
    size: usize,
    /// Samples of the last window, without those that fill it up.
    rows: usize,
    shapes: Vec<Shape>,
    values: Vec<Vec<f32>>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Predictions {
    fn new(model: &Model, dataset: Arc<dyn Dataset>, size: usize) -> Result<Self> {
        let dataset = in_order(dataset, &input_names(model), None)?;
        dataset.check()?;
        let size = size.min(dataset.len());
        let order: Vec<u32> = (0..dataset.len() as u32).collect();
        let loader = Loader::new(dataset.clone(), order, size.saturating_mul(BATCHES), 1)?;
        let shapes = model.output_shapes();
        let values = vec![Vec::new(); shapes.len()];
        Ok(Self { dataset, loader, size, rows: 0, shapes, values })
    }

    /// The samples of the next window. The last one may be short: zeros make it a batch, so that all samples run the same
    /// plan.
    async fn next(&mut self) -> Result<Option<Vec<Tensor>>> {
        let Some(window) = self.loader.next_async().await.transpose()? else { return Ok(None) };
        self.rows = window.rows.len();
        features(&*self.dataset, &window, self.rows.max(self.size)).map(Some)
    }

    fn features<'x>(&self, x: &'x [Tensor]) -> Features<'x> {
        Features { x, scale: Some(self.dataset.spec().scale) }
    }

    /// Takes the outputs for a window.
    fn take(&mut self, outputs: &[Tensor]) -> Result<()> {
        for (values, output) in self.values.iter_mut().zip(outputs) {
            let all = output.as_f32()?;
            values.extend_from_slice(&all[..all.len() / self.rows.max(self.size) * self.rows]);
        }
        Ok(())
    }

    fn outputs(self) -> Result<Vec<Tensor>> {
        let n = self.dataset.len();
        let outputs = self.values.into_iter().zip(self.shapes);
        outputs
            .map(|(v, shape)| Tensor::f32(Shape::from([&[n], shape.dims()].concat()), v))
            .collect()
    }
}
