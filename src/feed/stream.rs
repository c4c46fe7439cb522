//! Training data that is larger than the device: a thread reads windows of it ahead.

use super::check::{check_labels, check_probabilities};
use super::windows::on_device;
use crate::data::{Dataset, Loader, TensorDataset, Window, row_of};
use crate::error::{Error, Result};
use crate::graph::TensorType;
use crate::session::{Compiled, Sweep};
use crate::step::Batch;
use crate::tensor::{DType, Data, Shape, Tensor};
use std::sync::Arc;

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

/// The types of `rows` samples: features, targets and weights.
struct Types {
    x: Vec<TensorType>,
    y: Vec<TensorType>,
    weights: Vec<Option<TensorType>>,
}

impl Types {
    fn of(dataset: &dyn Dataset, rows: usize) -> Self {
        let (spec, further) = (dataset.spec(), dataset.further());
        let types = |first: TensorType, further: &[(Shape, DType)]| {
            let further = further.iter().map(|(shape, dtype)| table(rows, shape, *dtype));
            std::iter::once(first).chain(further).collect()
        };
        let weight = |w: &Option<Shape>| w.as_ref().map(|shape| table(rows, shape, DType::F32));
        Self {
            x: types(table(rows, &spec.x_shape, spec.x_dtype), &further.inputs),
            y: types(table(rows, &spec.y_shape, spec.y_dtype), &further.targets),
            weights: further.weights.iter().map(weight).collect(),
        }
    }

    /// All in the order in which they are read and stored.
    fn all(&self) -> impl Iterator<Item = &TensorType> {
        self.x.iter().chain(&self.y).chain(self.weights.iter().flatten())
    }
}

/// A tensor from its bytes.
fn tensor(ty: &TensorType, bytes: &[u8]) -> Result<Tensor> {
    let data = match ty.dtype {
        DType::F32 => Data::F32(bytemuck::pod_collect_to_vec(bytes)),
        DType::U32 => Data::U32(bytemuck::pod_collect_to_vec(bytes)),
        DType::U8 => Data::U8(bytes.to_vec()),
    };
    Tensor::new(ty.shape.clone(), data)
}

/// The features of a window, filled up with zeros to `rows` samples.
pub(super) fn features(dataset: &dyn Dataset, window: &Window, rows: usize) -> Result<Vec<Tensor>> {
    let types = Types::of(dataset, rows).x;
    let bytes = std::iter::once(&window.x).chain(&window.further);
    let filled = types.iter().zip(bytes).map(|(ty, bytes)| {
        let mut bytes = bytes.clone();
        bytes.resize(ty.bytes() as usize, 0);
        tensor(ty, &bytes)
    });
    filled.collect()
}

impl Compiled {
    /// The sweep over a streamed dataset: batches of `size`, at most `limit` of them, `window` on the device at
    /// once.
    pub(crate) fn streamed_sweep(
        &self,
        role: &'static str,
        dataset: &dyn Dataset,
        size: usize,
        limit: Option<usize>,
        window: Option<usize>,
    ) -> Result<Sweep> {
        let spec = dataset.spec();
        spec.check()?;
        let Types { x, y, weights } = Types::of(dataset, size);
        let one = Batch {
            role,
            x,
            y: self.target_types(y.into_iter()),
            weights,
            scale: spec.scale,
            size,
            records: 0,
            capacity: size,
        };
        self.windowed(&one, dataset.len(), limit, window)
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
        let types = Types::of(&*stream.dataset, samples.rows.len());
        self.check_window(&types, &samples)?;
        let given = [&samples.x, &samples.y];
        let (inputs, outputs) = (types.x.len() - 1, types.y.len() - 1);
        let further = &samples.further;
        let x = std::iter::once(given[0]).chain(&further[..inputs]);
        let y = std::iter::once(given[1]).chain(&further[inputs..inputs + outputs]);
        let all = x.chain(y).chain(&further[inputs + outputs..]);
        for ((bytes, own), (name, ty)) in all.zip(types.all()).zip(sweep.full.tables()) {
            self.store.write(&name, &on_device(bytes.into(), own.dtype, ty.dtype))?;
        }
        stream.present = Some(window);
        Ok(())
    }

    /// Refuses samples that the kernels cannot work with: ids past an embedding, labels outside the classes, targets that
    /// are no probabilities, weights that are negative or not finite.
    fn check_window(&self, types: &Types, window: &Window) -> Result<()> {
        let (inputs, outputs) = (types.x.len() - 1, types.y.len() - 1);
        let (x, rest) = window.further.split_at(inputs);
        let (y, weights) = rest.split_at(outputs);
        let row = |i: usize| window.rows[i] as usize;
        let n = window.rows.len();
        for (i, (ty, bytes)) in types.x.iter().zip(std::iter::once(&window.x).chain(x)).enumerate()
        {
            let (DType::U32, Some((range, layer))) = (ty.dtype, self.model.index_layer(i)) else {
                continue;
            };
            let ids: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
            if let Some(place) = ids.iter().position(|&id| id as usize >= range) {
                let (sample, at) = row_of(place, ids.len() / n);
                let detail = format!(
                    "row {}{at} is {}; layer `{layer}` of the model takes the {range} ids 0..{range}",
                    row(sample),
                    ids[place]
                );
                return Err(Error::data(self.model.inputs()[i].name.clone(), detail));
            }
        }
        let shapes = self.model.output_shapes();
        let targets = types.y.iter().zip(std::iter::once(&window.y).chain(y));
        for ((ty, bytes), (output, shape)) in targets.zip(self.outputs.iter().zip(&shapes)) {
            let loss = &output.loss;
            if ty.dtype == DType::U32 || ty.dtype == DType::U8 && loss.takes_labels() {
                let labels = on_device(bytes.into(), ty.dtype, DType::U32);
                let labels: Vec<u32> = bytemuck::pod_collect_to_vec(&labels);
                check_labels(loss, shape, &labels, labels.len() / n, row)?;
            } else if loss.takes_probabilities() {
                let targets: Vec<f32> = match ty.dtype {
                    DType::U8 => bytes.iter().copied().map(f32::from).collect(),
                    _ => bytemuck::pod_collect_to_vec(bytes),
                };
                check_probabilities(loss, &targets)?;
            }
        }
        for bytes in weights {
            let weights: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
            if let Some(i) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
                let (sample, at) = row_of(i, weights.len() / n);
                let (row, weight) = (row(sample), weights[i]);
                let detail =
                    format!("row {row}{at} has weight {weight}; weights are finite, 0 or more");
                return Err(Error::data("sample weights", detail));
            }
        }
        Ok(())
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
        let zeros = |ty: &TensorType| tensor(ty, &vec![0; ty.bytes() as usize]);
        let types = Types::of(dataset, 1);
        let all = |types: &[TensorType]| types.iter().map(zeros).collect::<Result<Vec<_>>>();
        let weights = types.weights.iter().map(|ty| ty.as_ref().map(zeros).transpose());
        let weights = weights.collect::<Result<Vec<_>>>()?;
        let sample = TensorDataset::multi(all(&types.x)?, all(&types.y)?)?;
        self.check_data(&match &weights[..] {
            [] => sample,
            [Some(one)] => sample.weighted(one.clone())?,
            _ => sample.weighted_outputs(weights)?,
        })
    }
}
