//! The asynchronous forms in tokio: futures that move between threads, leave their thread to others while the device
//! works, and can be dropped.

#[path = "support/mod.rs"]
mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::device;
use tokio::runtime::{Builder, Runtime};
use wgrad::Result;
use wgrad::data::{Dataset, FnDataset};
use wgrad::prelude::*;

const WIDTH: usize = 16;

/// One thread for all tasks: a task that blocks it blocks all.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn row(i: u32) -> Vec<f32> {
    (0..WIDTH as u32).map(|j| ((i * 31 + j * 17) % 97) as f32 / 97.0).collect()
}

fn data(n: u32) -> TensorDataset {
    let x: Vec<f32> = (0..n).flat_map(row).collect();
    let y = (0..n).map(|i| row(i).iter().sum::<f32>().sin()).collect::<Vec<f32>>();
    let n = n as usize;
    TensorDataset::new(Tensor::f32([n, WIDTH], x).unwrap(), Tensor::f32([n, 1], y).unwrap())
        .unwrap()
}

fn trainer() -> Trainer {
    let model = Sequential::new([WIDTH])
        .add(Dense::new(64).activation(Activation::Tanh))
        .add(Dense::new(64).activation(Activation::Tanh))
        .add(Dense::new(1));
    model.compile(device(), Compile::new(Adam::new(0.001), Loss::MeanSquaredError)).unwrap()
}

fn quiet<'a>() -> Fit<'a> {
    Fit::new().batch_size(16).shuffle(false).verbose(Verbose::Silent)
}

fn bits(trainer: &Trainer) -> Vec<u32> {
    let all = trainer.weights().unwrap().into_iter();
    all.flat_map(|(_, w)| w.as_f32().unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        .collect()
}

/// How often another task ran while `future` did.
async fn beside<F: Future>(future: F) -> (F::Output, usize) {
    let count = Arc::new(AtomicUsize::new(0));
    let own = count.clone();
    let other = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            own.fetch_add(1, Ordering::Relaxed);
        }
    });
    let output = future.await;
    other.abort();
    (output, count.load(Ordering::Relaxed))
}

const fn moves<T: Send>(future: T) -> T {
    future
}

#[test]
fn tasks_of_tokio_train_and_predict() -> Result<()> {
    let threads = runtime();
    let (data, x) = (data(64), data(3).features()[0].clone());
    let mut expected = trainer();
    expected.fit(&data, quiet().epochs(3))?;
    let mut trainer = trainer();
    let predictor = Arc::new(trainer.predictor()?);
    let before = predictor.predict(&x)?;
    let own = data.clone();
    // `tokio::spawn` takes only futures that are `Send`.
    let trained = threads.block_on(async {
        let serving = predictor.clone();
        let samples = x.clone();
        let served = tokio::spawn(async move { serving.predict_async(&samples).await });
        let trained = tokio::spawn(async move {
            let mut stopping = EarlyStopping::new("loss").patience(50);
            let fit = quiet().epochs(3).callback(&mut stopping).on_epoch_end(|_| ());
            trainer.fit_async(&own, fit).await.map(|_| trainer)
        });
        assert_eq!(served.await.unwrap()?, before);
        trained.await.unwrap()
    })?;
    assert_eq!(bits(&trained), bits(&expected));
    Ok(())
}

/// Two threads poll one future in turn, with a pause in which the device goes on. Gives the output, and how often each
/// thread polled.
fn in_turn<F: Future + Send>(future: F) -> (F::Output, [usize; 2])
where
    F::Output: Send,
{
    let mut future = Box::pin(future);
    let (mut output, mut polls) = (None, [0; 2]);
    for thread in (0..2).cycle() {
        let polled = std::thread::scope(|scope| {
            let poll = || {
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                future.as_mut().poll(&mut context)
            };
            scope.spawn(poll).join().unwrap()
        });
        polls[thread] += 1;
        if let std::task::Poll::Ready(ready) = polled {
            output = Some(ready);
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    (output.unwrap(), polls)
}

#[test]
fn a_fit_moves_between_threads_at_every_wait() -> Result<()> {
    let data = data(160);
    let mut expected = trainer();
    expected.fit(&data, quiet().epochs(6).validation_split(0.2))?;
    let mut trainer = trainer();
    let fit = trainer.fit_async(&data, quiet().epochs(6).validation_split(0.2));
    let (trained, polls) = in_turn(fit);
    assert_eq!(trained?.epochs.len(), 6);
    assert!(polls.iter().all(|&polls| polls > 2), "{polls:?}");
    assert_eq!(bits(&trainer), bits(&expected));
    Ok(())
}

#[test]
fn a_fit_in_a_select_ends_or_is_dropped() -> Result<()> {
    let data = data(160);
    let mut trainer = trainer();
    let waiting = || tokio::time::sleep(Duration::from_secs(600));
    runtime().block_on(async {
        tokio::select! {
            trained = trainer.fit_async(&data, quiet().epochs(2)) => trained.map(|_| ()),
            () = waiting() => panic!("the fit did not end"),
        }
    })?;
    assert_eq!((trainer.steps(), bits(&trainer)), (20, uninterrupted(&data, 20)?));
    runtime().block_on(async {
        tokio::select! {
            _ = trainer.fit_async(&data, quiet().epochs(100_000)) => panic!("it ended"),
            () = tokio::time::sleep(Duration::from_millis(40)) => (),
        }
    });
    let steps = trainer.steps();
    assert_eq!(bits(&trainer), uninterrupted(&data, steps)?, "after {steps} steps");
    // Two models train in one task, and each has the bits that it has alone.
    let mut other = self::trainer();
    runtime().block_on(async {
        let mut first = std::pin::pin!(trainer.fit_async(&data, quiet().epochs(3)));
        let mut second = std::pin::pin!(other.fit_async(&data, quiet().epochs(3)));
        let mut ended = [false; 2];
        while ended != [true; 2] {
            tokio::select! {
                trained = &mut first, if !ended[0] => { trained?; ended[0] = true; }
                trained = &mut second, if !ended[1] => { trained?; ended[1] = true; }
            }
        }
        Ok::<_, wgrad::Error>(())
    })?;
    assert_eq!((trainer.steps(), other.steps()), (steps + 30, 30));
    assert_eq!(bits(&other), uninterrupted(&data, 30)?);
    Ok(())
}

#[test]
fn every_future_of_a_session_is_send() -> Result<()> {
    let mut session = Session::new(device(), 0);
    let model = session.add("net", trainer().model())?;
    let step = session.step("look", |s| {
        let x = s.input("x", [3, WIDTH], DType::F32);
        let y = s.apply(model, &[x], false)?[0];
        s.output("y", y);
        Ok(())
    })?;
    let x = data(3).x().clone();
    drop(moves(session.run_async(step, &[("x", &x)])));
    drop(moves(session.call_async(step, &[("x", &x)])));
    drop(moves(session.read_async(step, "y")));
    drop(moves(session.weights_async(model)));
    drop(moves(session.map_weights_async(model, |_, weight| Ok(weight.clone()))));
    // They move, and give what the blocking forms give.
    let y = in_turn(session.call_async(step, &[("x", &x)])).0?;
    assert_eq!(y, session.call(step, &[("x", &x)])?);
    assert_eq!(in_turn(session.weights_async(model)).0?, session.weights(model)?);
    Ok(())
}

#[test]
fn every_future_is_send() -> Result<()> {
    let (mut trainer, data) = (trainer(), data(8));
    let stream: Arc<dyn Dataset> = Arc::new(data.clone());
    drop(moves(trainer.fit_async(&data, Fit::new())));
    drop(moves(trainer.fit_async(stream, Fit::new())));
    drop(moves(trainer.evaluate_async(&data)));
    drop(moves(trainer.predict_async(&data)));
    drop(moves(trainer.train_on_batch_async(&data)));
    drop(moves(trainer.profile_async(1)));
    drop(moves(trainer.weights_async()));
    drop(moves(trainer.save_checkpoint_async("nowhere")));
    drop(moves(trainer.save_weights_async("nowhere", &WeightMap::keras())));
    drop(moves(trainer.set_trainable_async(["dense"], false)));
    drop(moves(trainer.saved_model_async()));
    drop(moves(trainer.checkpoint_to_bytes_async()));
    drop(moves(trainer.weights_to_bytes_async(&WeightMap::keras())));
    drop(moves(trainer.load_weights_from_bytes_async(&[], &WeightMap::keras())));
    drop(moves(trainer.test_on_batch_async(&data)));
    drop(moves(trainer.predict_on_batch_async(&data)));
    drop(moves(trainer.predict_outputs_async(&data)));
    drop(moves(trainer.predictor()?.predict_async(&data)));
    drop(moves(trainer.predictor()?.predict_outputs_async(&data)));
    drop(moves(Device::open(&DeviceOptions::default())));
    drop(moves(Device::new_async()));
    drop(moves(Device::adapters_async()));
    drop(moves(device().wait_async()));
    Ok(())
}

#[test]
fn other_tasks_run_while_a_model_trains() -> Result<()> {
    let (mut trainer, data) = (trainer(), data(4096));
    // Kernels are compiled first: that is work of the host.
    trainer.fit(&data, quiet())?;
    let began = Instant::now();
    let (trained, ticks) = runtime().block_on(beside(trainer.fit_async(&data, quiet().epochs(8))));
    let took = began.elapsed();
    trained?;
    // A tick takes a millisecond at least; a `fit` that blocks its thread leaves none.
    assert!(ticks >= 15, "{ticks} ticks in {took:?} and 32 submits");
    // Negative control: the blocking form lets no other task run.
    let (trained, ticks) =
        runtime().block_on(beside(async { trainer.fit(&data, quiet().epochs(2)) }));
    trained?;
    assert_eq!(ticks, 0);
    Ok(())
}

#[test]
fn a_slow_stream_leaves_the_thread_to_others() -> Result<()> {
    let slow = FnDataset::new(64, |rows: &[u32]| {
        std::thread::sleep(Duration::from_millis(20));
        let x: Vec<f32> = rows.iter().flat_map(|&i| row(i)).collect();
        let y: Vec<f32> = rows.iter().map(|&i| row(i)[0]).collect();
        Ok((Tensor::f32([rows.len(), WIDTH], x)?, Tensor::f32([rows.len(), 1], y)?))
    })?;
    let mut trainer = trainer();
    trainer.fit(&data(64), quiet())?;
    let fit = quiet().window_batches(1).epochs(2);
    let (trained, ticks) = runtime().block_on(beside(trainer.fit_async(Arc::new(slow), fit)));
    trained?;
    assert!(ticks >= 20, "{ticks} ticks in 8 windows of 20 ms");
    Ok(())
}

/// The weights after `steps` steps of 16 samples without interruption.
fn uninterrupted(data: &TensorDataset, steps: u64) -> Result<Vec<u32>> {
    let mut trainer = trainer();
    let epoch = data.len() as u64 / 16;
    if steps >= epoch {
        trainer.fit(data, quiet().epochs((steps / epoch) as usize))?;
    }
    if !steps.is_multiple_of(epoch) {
        trainer.fit(data, quiet().steps_per_epoch((steps % epoch) as usize))?;
    }
    assert_eq!(trainer.steps(), steps);
    Ok(bits(&trainer))
}

#[test]
fn a_fit_that_times_out_leaves_whole_steps() -> Result<()> {
    let data = data(2048);
    let mut seen = Vec::new();
    for millis in [1, 5, 30, 80, 200] {
        let mut trainer = trainer();
        let began = Instant::now();
        let timed = runtime().block_on(async {
            let fit = trainer.fit_async(&data, quiet().epochs(100_000));
            tokio::time::timeout(Duration::from_millis(millis), fit).await.map(|_| ())
        });
        assert!(timed.is_err(), "{millis} ms");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        let steps = trainer.steps();
        assert_eq!(bits(&trainer), uninterrupted(&data, steps)?, "after {steps} steps");
        // No `fit` is under way any more, and training goes on.
        let history = trainer.fit(&data, quiet().epochs(2))?;
        assert_eq!((history.epochs.len(), trainer.steps()), (2, steps + 2 * 128));
        trainer.evaluate(&data)?;
        seen.push(steps);
    }
    assert!(seen.iter().any(|&steps| steps > 0), "{seen:?}");
    Ok(())
}

#[test]
fn a_fit_may_be_dropped_anywhere() -> Result<()> {
    let data = data(160);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut seen = std::collections::BTreeSet::new();
    for polls in (0..64).step_by(5) {
        let mut trainer = trainer();
        let mut fit = Box::pin(trainer.fit_async(&data, quiet().epochs(50)));
        for _ in 0..polls {
            assert!(fit.as_mut().poll(&mut context).is_pending());
            // The device goes on, so that the next poll comes further.
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(fit);
        let steps = trainer.steps();
        seen.insert(steps);
        assert_eq!(bits(&trainer), uninterrupted(&data, steps)?, "{polls} polls, {steps} steps");
        trainer.fit(&data, quiet().epochs(1))?;
        assert_eq!(trainer.steps(), steps + 10);
    }
    assert!(seen.len() > 2, "{seen:?}");
    Ok(())
}

/// Of a stream a window may be on its way, of resident samples an evaluation.
#[test]
fn a_fit_on_a_stream_may_be_dropped_anywhere() -> Result<()> {
    let data = data(160);
    let stream = || -> Arc<dyn Dataset> { Arc::new(data.clone()) };
    let fit = |epochs| {
        let validation = stream();
        quiet().window_batches(2).epochs(epochs).validation_data(validation)
    };
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut seen = std::collections::BTreeSet::new();
    for polls in (0..48).step_by(5) {
        let mut trainer = trainer();
        let mut fitting = Box::pin(trainer.fit_async(stream(), fit(50)));
        for _ in 0..polls {
            assert!(fitting.as_mut().poll(&mut context).is_pending());
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(fitting);
        let steps = trainer.steps();
        seen.insert(steps);
        assert_eq!(bits(&trainer), uninterrupted(&data, steps)?, "{polls} polls, {steps} steps");
        let history = trainer.fit(stream(), fit(1))?;
        assert_eq!((history.get("val_loss").len(), trainer.steps()), (1, steps + 10));
    }
    assert!(seen.len() > 2, "{seen:?}");
    Ok(())
}

#[test]
fn a_profile_that_is_dropped_changes_nothing() -> Result<()> {
    let (mut trainer, data) = (trainer(), data(160));
    trainer.fit(&data, quiet())?;
    let before = (bits(&trainer), trainer.steps());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for polls in 1..6 {
        let mut profile = Box::pin(trainer.profile_async(10));
        for _ in 0..polls {
            if profile.as_mut().poll(&mut context).is_ready() {
                break;
            }
        }
        drop(profile);
        assert_eq!((bits(&trainer), trainer.steps()), before, "{polls} polls");
    }
    Ok(())
}
