//! The loader that reads ahead on a thread.

use super::says;
use super::stream::{bytes, read};
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use wgrad::data::{Dataset, Loader, SampleSpec, Window};
use wgrad::{Error, Result};

fn windows(loader: Loader) -> Vec<Window> {
    loader.map(Result::unwrap).collect()
}

proptest! {
    /// Whatever the sizes, the windows one after the other give the order.
    #[test]
    fn windows_cover_the_order(
        order in prop::collection::vec(0..40_u32, 1..200),
        window in 1..70_usize,
        depth in 1..5_usize,
    ) {
        let data = bytes(40);
        let (x, y) = read(&data, &order).unwrap();
        let all = windows(Loader::new(Arc::new(data), order.clone(), window, depth).unwrap());
        prop_assert_eq!(all.len(), order.len().div_ceil(window));
        prop_assert!(all[..all.len() - 1].iter().all(|w| w.rows.len() == window));
        prop_assert_eq!(all.iter().flat_map(|w| w.rows.clone()).collect::<Vec<_>>(), order);
        prop_assert_eq!(all.iter().flat_map(|w| w.x.clone()).collect::<Vec<_>>(), x);
        prop_assert_eq!(all.iter().flat_map(|w| w.y.clone()).collect::<Vec<_>>(), y);
    }
}

#[test]
fn orders_that_cannot_be_loaded_are_refused() {
    let load = |order: Vec<u32>, window, depth| {
        Loader::new(Arc::new(bytes(3)), order, window, depth).map(|_| ())
    };
    says(load(vec![0], 0, 1), &["window = 0"]);
    says(load(vec![0], 1, 0), &["queue_depth = 0"]);
    says(load(vec![], 1, 1), &["order = []"]);
    says(load(vec![0, 2, 3], 1, 1), &["rows = 3", "rows[2]", "0..3"]);
}

/// The action of each read of a [`Probe`].
type Reading = Box<dyn Fn(&[u32]) -> Result<()> + Send + Sync>;

/// A dataset of 100 bytes that counts its reads and does something in each.
struct Probe {
    reads: AtomicUsize,
    /// Bytes that each row gives for its features: 1 is what the spec says.
    width: usize,
    reading: Reading,
}

impl Probe {
    fn new(reading: impl Fn(&[u32]) -> Result<()> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { reads: AtomicUsize::new(0), width: 1, reading: Box::new(reading) })
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl Dataset for Probe {
    fn len(&self) -> usize {
        100
    }

    fn spec(&self) -> SampleSpec {
        SampleSpec { x_shape: [1].into(), ..bytes(1).spec() }
    }

    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()> {
        (self.reading)(rows)?;
        x.resize(rows.len() * self.width, 0);
        y.resize(rows.len() * 4, 0);
        self.reads.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn in_order() -> Vec<u32> {
    (0..100).collect()
}

/// Waits until `done` holds, for at most ten seconds.
#[track_caller]
fn wait_until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(10), "it never happened");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_queue_is_filled_ahead_and_bounded() {
    let probe = Probe::new(|_| Ok(()));
    let mut loader = Loader::new(probe.clone(), in_order(), 10, 3).unwrap();
    // Three queued, and one read that finds the queue full.
    wait_until(|| probe.reads() == 4);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(probe.reads(), 4);
    // With four windows read ahead, taking one does not wait for the fifth.
    assert_eq!(loader.next().unwrap().unwrap().rows, (0..10).collect::<Vec<_>>());
    wait_until(|| probe.reads() == 5);
    assert_eq!(loader.count(), 9);
    assert_eq!(probe.reads(), 10);
}

#[test]
fn errors_name_the_rows_and_end_the_loading() {
    let probe = Probe::new(|rows| match rows.contains(&55) {
        true => Err(Error::data("camera", "the lens is covered")),
        false => Ok(()),
    });
    let mut loader = Loader::new(probe.clone(), in_order(), 10, 2).unwrap();
    let before: Vec<Window> = loader.by_ref().take(5).map(Result::unwrap).collect();
    assert_eq!(before.len(), 5);
    let error = loader.next().unwrap();
    assert!(matches!(error, Err(Error::Data { .. })));
    says(error, &["reading 10 rows 50, 51, 52, 53, ...", "camera", "the lens is covered"]);
    assert!(loader.next().is_none() && loader.next().is_none());
    assert_eq!(probe.reads(), 5);
    wait_until(|| Arc::strong_count(&probe) == 1);
}

#[test]
fn panics_are_errors_that_name_the_rows() {
    let cases: [(Reading, &str); 3] = [
        (Box::new(|_| panic!("no such tape")), "no such tape"),
        (Box::new(|rows| panic!("no row {}", rows[0])), "no row 0"),
        (Box::new(|_| std::panic::panic_any(7)), "no message"),
    ];
    for (reading, words) in cases {
        let mut loader = Loader::new(Probe::new(reading), in_order(), 2, 1).unwrap();
        let error = loader.next().unwrap();
        says(error, &["reading 2 rows 0, 1:", "panicked", words]);
        assert!(loader.next().is_none());
    }
}

#[test]
fn reads_of_a_wrong_size_are_refused() {
    for (width, words) in [(0, "`x` has 0 bytes"), (2, "`x` has 20 bytes")] {
        let probe =
            Probe { reads: AtomicUsize::new(0), width, reading: Box::new(|_: &[u32]| Ok(())) };
        let mut loader = Loader::new(Arc::new(probe), in_order(), 10, 1).unwrap();
        says(loader.next().unwrap(), &[words, "the spec promises 10"]);
    }
}

#[test]
fn dropping_the_loader_ends_the_thread() {
    // A full queue, on which the thread waits.
    let probe = Probe::new(|_| Ok(()));
    let loader = Loader::new(probe.clone(), in_order(), 1, 1).unwrap();
    wait_until(|| probe.reads() == 2);
    drop(loader);
    assert_eq!(Arc::strong_count(&probe), 1, "the thread has let go of the dataset");
    assert_eq!(probe.reads(), 2);

    // A read in progress: drop waits for it, and no other begins.
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let closed = gate.clone();
    let probe = Probe::new(move |_| {
        let (open, bell) = &*closed;
        drop(bell.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        Ok(())
    });
    let loader = Loader::new(probe.clone(), in_order(), 1, 1).unwrap();
    let opener = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
    });
    drop(loader);
    assert_eq!(Arc::strong_count(&probe), 1);
    assert!(probe.reads() <= 1, "{}", probe.reads());
    opener.join().unwrap();
}
