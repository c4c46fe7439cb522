//! Windows of a time series.

use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::tensor::{Data, Tensor};

/// How [`timeseries_dataset_from_array`] takes windows, in Keras' words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeseries {
    /// Steps of a window.
    pub sequence_length: usize,
    /// Steps from the beginning of a window to that of the next.
    pub sequence_stride: usize,
    /// Steps of the series from one step of a window to the next.
    pub sampling_rate: usize,
    /// The first step that is used.
    pub start_index: usize,
    /// The step at which use ends; `None` for the end of the series.
    pub end_index: Option<usize>,
}

impl Timeseries {
    /// Windows of `sequence_length` steps in a row, one at every step.
    #[must_use]
    pub const fn new(sequence_length: usize) -> Self {
        let (start_index, end_index) = (0, None);
        Self { sequence_length, sequence_stride: 1, sampling_rate: 1, start_index, end_index }
    }
}

/// Windows of a time series with their targets: `data` `[steps, ...]` gives samples `[windows, sequence_length, ...]`, and the
/// target of a window that begins at step i is `targets[i]`. Keras' function of this name; batches and shuffling are those
/// of `Fit`.
///
/// To forecast the step after a window of n, shift the targets: `targets[i] = data[i + n]`.
///
/// ```
/// use wgrad::data::{Timeseries, timeseries_dataset_from_array};
/// use wgrad::tensor::Tensor;
///
/// let series = Tensor::f32([6, 1], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])?;
/// let next = series.rows(3, 3)?;
/// let data = timeseries_dataset_from_array(&series, &next, &Timeseries::new(3))?;
/// assert_eq!(data.x(), &Tensor::f32([3, 3, 1], [0.0, 1.0, 2.0, 1.0, 2.0, 3.0, 2.0, 3.0, 4.0])?);
/// assert_eq!(data.y(), &Tensor::f32([3, 1], [3.0, 4.0, 5.0])?);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// # Errors
/// [`Error::Parameter`] naming a setting of 0, or that does not fit the series; [`Error::Data`] if there is no window, or
/// more elements than memory can hold; as [`TensorDataset::new`].
pub fn timeseries_dataset_from_array(
    data: &Tensor,
    targets: &Tensor,
    options: &Timeseries,
) -> Result<TensorDataset> {
    let Timeseries { sequence_length, sequence_stride, sampling_rate, start_index, .. } = *options;
    let steps = data.shape().dims().first().copied().unwrap_or(0);
    let end = options.end_index.unwrap_or(steps);
    for (name, value) in [
        ("sequence_length", sequence_length),
        ("sequence_stride", sequence_stride),
        ("sampling_rate", sampling_rate),
    ] {
        if value == 0 {
            return Err(Error::parameter(name, 0, "must be at least 1"));
        }
    }
    if end > steps {
        let detail = format!("the series has {steps} steps");
        return Err(Error::parameter("end_index", end, detail));
    }
    if start_index >= end {
        let detail = format!("must be below the end, which is {end}");
        return Err(Error::parameter("start_index", start_index, detail));
    }
    // As in Keras, `start_index` and `end_index` count in the targets too.
    let known = targets.shape().dims().first().copied().unwrap_or(0).min(end);
    let span = (sequence_length - 1).saturating_mul(sampling_rate);
    let starts = (end - start_index).saturating_sub(span).min(known.saturating_sub(start_index));
    if starts == 0 {
        let detail = format!(
            "no window: {} steps from {start_index} to {end} and {} targets, for windows over {} steps",
            end - start_index,
            targets.shape().dims().first().copied().unwrap_or(0),
            span.saturating_add(1)
        );
        return Err(Error::data("time series", detail));
    }
    let starts: Vec<usize> = (start_index..start_index + starts).step_by(sequence_stride).collect();
    let windows = starts.len();
    let each = |&start: &usize| (0..sequence_length).map(move |t| start + t * sampling_rate);
    let x = rows(data, &[windows, sequence_length], starts.iter().flat_map(each))?;
    TensorDataset::new(x, rows(targets, &[windows], starts.iter().copied())?)
}

/// Rows of a tensor, in the order of `places`, under these leading axes.
fn rows(tensor: &Tensor, lead: &[usize], places: impl Iterator<Item = usize>) -> Result<Tensor> {
    fn pick<T: Copy>(
        values: &[T],
        width: usize,
        count: usize,
        places: impl Iterator<Item = usize>,
    ) -> Result<Vec<T>> {
        let mut out = Vec::new();
        if out.try_reserve_exact(count).is_err() {
            let detail = "the windows take more than memory can hold; take a larger stride";
            return Err(Error::data("time series", detail));
        }
        places.for_each(|place| out.extend_from_slice(&values[place * width..][..width]));
        Ok(out)
    }
    let row = &tensor.shape().dims()[1..];
    let width = row.iter().product();
    let shape = [lead, row].concat();
    let count = shape.iter().fold(1, |count: usize, &dim| count.saturating_mul(dim));
    let data = match tensor.data() {
        Data::F32(v) => Data::F32(pick(v, width, count, places)?),
        Data::U32(v) => Data::U32(pick(v, width, count, places)?),
        Data::U8(v) => Data::U8(pick(v, width, count, places)?),
    };
    Tensor::new(shape, data)
}
