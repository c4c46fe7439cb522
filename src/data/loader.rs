//! Reading ahead of the device, on a separate thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::Dataset;
use super::source::check_rows;
use crate::error::{Error, Result};
use futures_intrusive::channel::shared::{Receiver, Sender, channel};
use pollster::block_on;

/// Consecutive samples of an order, ready for upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The rows of the dataset that these samples are, in order.
    pub rows: Vec<u32>,
    /// The features, `rows.len()` times [`SampleSpec::x_bytes`](super::SampleSpec::x_bytes).
    pub x: Vec<u8>,
    /// The targets, `rows.len()` times [`SampleSpec::y_bytes`](super::SampleSpec::y_bytes).
    pub y: Vec<u8>,
    /// The tensors of [`Dataset::further`](super::Dataset::further), in its order.
    pub further: Vec<Vec<u8>>,
}

/// The windows of an order, read by a background thread that keeps a bounded queue full: as long as
/// it reads faster on average than the windows are used, [`next`](Iterator::next) does not wait.
///
/// At most `queue_depth + 2` windows are in memory: those queued, the one being read and the one
/// being used. An error ends the iteration. Dropping the loader ends the thread, at the latest when
/// the read in progress returns, and waits for that.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use wgrad::data::{Loader, TensorDataset, permutation};
/// use wgrad::tensor::Tensor;
///
/// let x = Tensor::u8([10, 2], (0..20).collect::<Vec<u8>>())?;
/// let data = TensorDataset::new(x, Tensor::u32([10], (0..10).collect::<Vec<u32>>())?)?;
/// let mut seen = vec![];
/// for window in Loader::new(Arc::new(data), permutation(10, 0, 0)?, 4, 2)? {
///     let window = window?;
///     assert_eq!(window.x[0], 2 * window.rows[0] as u8);
///     seen.push(window.rows.len());
/// }
/// assert_eq!(seen, [4, 4, 2]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Loader {
    /// Taken on drop, so that the thread's next send fails.
    windows: Option<Receiver<Result<Window>>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts reading the rows of `order`, `window` rows at a time (the last window has what is
    /// left), up to `queue_depth` windows ahead.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an empty order, a window or queue of 0, and a row that the dataset does not have; those
    /// of [`SampleSpec::check`](super::SampleSpec::check); [`Error::Io`] if the system cannot start another thread.
    pub fn new(
        dataset: Arc<dyn Dataset>,
        order: Vec<u32>,
        window: usize,
        queue_depth: usize,
    ) -> Result<Self> {
        for (name, value) in [("window", window), ("queue_depth", queue_depth)] {
            if value == 0 {
                return Err(Error::parameter(name, value, "must be at least 1"));
            }
        }
        if order.is_empty() {
            return Err(Error::parameter("order", "[]", "must name at least one row"));
        }
        check_rows(&order, dataset.len())?;
        dataset.spec().check()?;
        let (sender, windows) = channel(queue_depth);
        let thread = Builder::new()
            .name("wgrad-loader".into())
            .spawn(move || feed(&*dataset, &order, window, &sender))
            .map_err(|cause| Error::Io { path: "the loader's thread".into(), cause })?;
        Ok(Self { windows: Some(windows), thread: Some(thread) })
    }
}

impl Loader {
    /// The next window, as [`next`](Iterator::next) gives it. A future that is dropped takes no window.
    pub async fn next_async(&mut self) -> Option<Result<Window>> {
        // A closed channel means the end of the order, or an error before.
        self.windows.as_ref()?.receive().await
    }
}

impl Iterator for Loader {
    type Item = Result<Window>;

    fn next(&mut self) -> Option<Self::Item> {
        block_on(self.next_async())
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.windows = None;
        if let Some(thread) = self.thread.take() {
            // Panics of the dataset were caught on the thread and sent as errors.
            let _ = thread.join();
        }
    }
}

/// Sends the windows of `order` until its end, the first error, or the receiver's drop.
fn feed(dataset: &dyn Dataset, order: &[u32], window: usize, out: &Sender<Result<Window>>) {
    for rows in order.chunks(window) {
        let read = match catch_unwind(AssertUnwindSafe(|| read(dataset, rows))) {
            Ok(read) => read,
            Err(panic) => Err(failed(rows, format!("the dataset panicked: {}", words(&*panic)))),
        };
        let last = read.is_err();
        if block_on(out.send(read)).is_err() || last {
            return;
        }
    }
}

fn read(dataset: &dyn Dataset, rows: &[u32]) -> Result<Window> {
    let spec = dataset.spec();
    let size = |bytes: usize| rows.len().saturating_mul(bytes);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for (buffer, bytes) in [(&mut x, size(spec.x_bytes())), (&mut y, size(spec.y_bytes()))] {
        if buffer.try_reserve_exact(bytes).is_err() {
            let detail = format!("{bytes} bytes of memory cannot be had; use smaller windows");
            return Err(failed(rows, detail));
        }
    }
    let promised: Vec<usize> = dataset.further().bytes().map(size).collect();
    let mut further = vec![Vec::new(); promised.len()];
    let read = dataset.read_all(rows, &mut x, &mut y, &mut further);
    read.map_err(|error| failed(rows, error.to_string()))?;
    let own = [("x", &x, size(spec.x_bytes())), ("y", &y, size(spec.y_bytes()))];
    let more = further.iter().zip(promised).map(|(buffer, bytes)| ("further", buffer, bytes));
    for (name, buffer, bytes) in own.into_iter().chain(more) {
        if buffer.len() != bytes {
            let found = buffer.len();
            let detail = format!("`{name}` has {found} bytes where the spec promises {bytes}");
            return Err(failed(rows, detail));
        }
    }
    Ok(Window { rows: rows.to_vec(), x, y, further })
}

/// An error that names the rows it came from.
fn failed(rows: &[u32], detail: String) -> Error {
    let first: Vec<String> = rows.iter().take(4).map(u32::to_string).collect();
    let more = if rows.len() > first.len() { ", ..." } else { "" };
    let rows = format!("{} rows {}{more}", rows.len(), first.join(", "));
    Error::data("dataset", format!("reading {rows}: {detail}"))
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
