//! The training loop.

use super::callback::{BatchInterval, Callback, HookResult};
use super::control::{Control, Requests};
use super::fit::Fit;
use super::guard::UnderWay;
use super::history::{BatchEnd, Epoch, FitInfo, History};
use super::place::{Batches, FitState};
use super::progress::shown;
use super::stops::Stops;
use super::trainer::Trainer;
use crate::data::permutation;
use crate::error::{Error, Result};
use crate::feed::{Cut, Feed, TrainingData};
use crate::session::{Compiled, Instant, Scaling, Sweep, Wanted};
use std::time::Duration;

/// What a `fit` trains with.
struct Run<'f, 'a> {
    fit: &'f mut Fit<'a>,
    under_way: UnderWay,
    info: FitInfo,
    feed: Feed<'f>,
    /// The samples of validation, if there are any.
    validation: Option<(Feed<'f>, Sweep)>,
    state: FitState,
    requests: Requests,
    /// When the epoch began, or was taken up in its middle.
    epoch_began: Instant,
    /// For each callback: whether its batch hook ran since the present batch began, and when it last ran.
    batch_hooks: Vec<(bool, Instant)>,
    /// The place of each callback among those of its name.
    places: Vec<usize>,
    /// Where the host waits.
    stops: Stops,
}

impl Run<'_, '_> {
    /// The place of training, callbacks included.
    fn snapshot(&self) -> FitState {
        let callbacks = self.fit.callbacks.iter().map(|c| (c.name(), c.state())).collect();
        let elapsed = match self.state.batch {
            0 => Duration::ZERO,
            _ => self.state.elapsed.saturating_add(self.epoch_began.elapsed()),
        };
        FitState { callbacks, elapsed, stop: self.requests.stop, ..self.state.clone() }
    }

    /// The end of the steps that run before a callback wants numbers. The numbers of `read` and later steps are still
    /// on the device.
    fn next_stop(&self, read: usize) -> usize {
        let intervals = self.fit.callbacks.iter().map(|callback| callback.batch_interval());
        self.stops.next(self.state.batch, read, intervals)
    }

    /// Whether any callback's batch hooks run.
    fn wants_batches(&self) -> bool {
        self.fit.callbacks.iter().any(|c| c.batch_interval() != BatchInterval::Never)
    }
}

impl Trainer {
    /// Trains on `data`. Data and parameters stay on the device; the host reads one buffer of numbers per epoch, and
    /// more if callbacks ask for them.
    ///
    /// After a checkpoint was loaded, training goes on from its place; epochs before that are in the history too.
    ///
    /// # Errors
    /// Data that does not suit the model, a batch size of zero, a split that leaves a side empty, a callback that fails
    /// or monitors what is not logged, a call from a callback of this trainer's `fit`, batches other than those of an
    /// epoch that a checkpoint left in its middle, or a device failure.
    pub async fn fit_async<'d>(
        &mut self,
        data: impl Into<TrainingData<'d>>,
        mut fit: Fit<'_>,
    ) -> Result<History> {
        let began = Instant::now();
        self.refuse_in_fit("fit", "train another model, or after this training")?;
        if fit.epochs == 0 {
            return Err(Error::parameter("epochs", 0, "at least one epoch"));
        }
        let data = data.into();
        let core = &mut self.core;
        let split = fit.split(&data, &core.outputs)?;
        let data = split.train.as_ref().map_or(data, TrainingData::from);
        let data = core.suited(data)?;
        fit.callbacks.extend(shown(fit.verbose));
        let unwatched = fit.alone() && split.validation.data().is_none();
        let cut = Cut {
            size: fit.batch_size.unwrap_or(data.len()),
            steps_per_epoch: fit.steps_per_epoch,
            window_batches: fit.window_batches,
            sweeps: if unwatched { fit.epochs } else { 1 },
        };
        let scale = core.scale_of(core.scaling.as_ref(), &data)?;
        let sized =
            |core: &Compiled, size| core.sweep_of("train", &data, scale, &Cut { size, ..cut });
        let sweep = sized(core, cut.size)?;
        let scaling = Scaling::of(&sweep.full);
        let validation = match split.validation.data() {
            Some(data) => {
                let data = core.suited(data)?;
                let scale = core.scale_of(Some(&scaling), &data)?;
                let cut = Cut::whole(core.evaluation_batch());
                let sweep = core.sweep_of("validate", &data, scale, &cut)?;
                Some((data, scale, sweep))
            }
            None => None,
        };
        let validated = validation.as_ref().map(|(data, scale, _)| {
            |core: &Compiled, size| core.sweep_of("validate", data, *scale, &Cut::whole(size))
        });
        self.check_callbacks(&fit, validation.is_some())?;
        let core = &mut self.core;
        {
            let mut sweeps = vec![Wanted { sweep: &sweep, resized: &sized }];
            if let (Some((.., sweep)), Some(resized)) = (&validation, &validated) {
                sweeps.push(Wanted { sweep, resized });
            }
            core.admit(&sweeps)?;
        }
        // By now, everything that can be refused is refused; then the first byte is uploaded.
        core.trained = None;
        let feed = core.feed(&data, &sweep)?;
        core.trained = Some(sweep.clone());
        let validation = match &validation {
            Some((data, _, sweep)) => Some((core.feed(data, sweep)?, sweep.clone())),
            None => None,
        };
        let info = FitInfo {
            initial_epoch: fit.initial_epoch,
            epochs: fit.epochs,
            steps: sweep.steps,
            samples: sweep.samples(),
            validation: validation.is_some(),
        };
        let (samples, steps, shuffle) = (data.len(), sweep.steps, fit.shuffle);
        let batches = Batches { samples, size: sweep.full.size, steps, shuffle };
        let state = FitState { epoch: fit.initial_epoch, batches, ..FitState::default() };
        let mut run = Run {
            batch_hooks: vec![(true, Instant::now()); fit.callbacks.len()],
            places: fit.places(),
            fit: &mut fit,
            under_way: UnderWay::default(),
            info,
            feed,
            validation,
            state,
            requests: Requests::default(),
            epoch_began: Instant::now(),
            stops: Stops::of(&sweep),
        };
        self.take_up(&mut run, &scaling)?;
        run.info.initial_epoch = run.state.epoch;
        // While training runs, and after it failed, the trainer has no place to go on from.
        self.fit_state = None;
        self.core.scaling = Some(scaling);
        self.core.held = run.under_way.mark();
        self.epochs_of(&mut run, &sweep, began).await?;
        // Training that has ended may go on for more epochs if a checkpoint says so.
        self.fit_state = Some(FitState { stop: false, ..run.snapshot() });
        self.resume = false;
        Ok(run.state.history)
    }

    /// The blocking form of [`Trainer::fit_async`].
    ///
    /// # Errors
    /// As [`Trainer::fit_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn fit<'d>(&mut self, data: impl Into<TrainingData<'d>>, fit: Fit<'_>) -> Result<History> {
        crate::gpu::block_on(self.fit_async(data, fit))
    }

    /// Takes up the state of a checkpoint, if one was loaded or a callback has one.
    fn take_up(&mut self, run: &mut Run<'_, '_>, scaling: &Scaling) -> Result<()> {
        for callback in &mut run.fit.callbacks {
            if callback.resume(self)? {
                Scaling::compare(self.core.scaling.as_ref(), scaling);
                break;
            }
        }
        let Some(state) = self.fit_state.clone().filter(|_| self.resume) else { return Ok(()) };
        let own = run.state.batches;
        if state.batch > 0 && state.batches != own {
            let FitState { batch, batches, .. } = state;
            let detail = format!(
                "the checkpoint was written after batch {batch} of {batches}; an epoch goes on with the same batches"
            );
            return Err(Error::parameter("batches", own, detail));
        }
        let mut saved = state.callbacks.clone();
        for callback in &mut run.fit.callbacks {
            // If several callbacks have one name, each has a separate state.
            let name = callback.name();
            if let Some(i) = saved.iter().position(|(n, _)| *n == name) {
                let (_, own) = saved.remove(i);
                callback.restore(&own).map_err(|e| Error::callback(name, "restore", &*e))?;
            }
        }
        for (callback, (fresh, _)) in run.fit.callbacks.iter().zip(&mut run.batch_hooks) {
            if let BatchInterval::Batches(n) = callback.batch_interval() {
                *fresh = state.batch.is_multiple_of(n.max(1));
            }
        }
        run.requests.stop = state.stop;
        run.state = FitState { batches: own, ..state };
        self.resume = false;
        Ok(())
    }

    /// Keeps the place of training where hooks asked for that.
    async fn keep_place(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        for keep in std::mem::take(&mut run.requests.keep) {
            keep.call(self, run.snapshot()).await?;
        }
        Ok(())
    }

    async fn epochs_of(
        &mut self,
        run: &mut Run<'_, '_>,
        sweep: &Sweep,
        began: Instant,
    ) -> Result<()> {
        run.requests
            .lines
            .extend(self.core.warnings.iter().map(|warning| format!("warning: {warning}")));
        self.call(run, "on_train_begin", |c, control| c.on_train_begin(control))?;
        self.keep_place(run).await?;
        // An epoch that was stopped in its middle still gets its end.
        while run.state.epoch < run.fit.epochs && (!run.requests.stop || run.state.batch > 0) {
            let together = sweep.full.records / sweep.steps;
            if together > 1 && run.state.batch == 0 {
                let epochs = together.min(run.fit.epochs - run.state.epoch);
                self.epochs_at_once(run, sweep, epochs, began).await?;
                continue;
            }
            let epoch = run.state.epoch;
            run.epoch_began = Instant::now();
            let order = self.epoch_order(run)?;
            self.core.begin_epoch(&mut run.feed, sweep, order.as_deref(), run.state.batch)?;
            if run.state.batch == 0 {
                self.call(run, "on_epoch_begin", |c, control| c.on_epoch_begin(epoch, control))?;
                if run.requests.stop {
                    // No sample was seen: there is nothing to report.
                    break;
                }
            }
            let first = self.batches_of(run, sweep).await?;
            if let Some(ended) = first.filter(|_| run.state.history.epochs.is_empty()) {
                run.state.history.first_step = Some(ended - began);
            }
            let before = std::mem::take(&mut run.state.elapsed);
            let duration = before.saturating_add(run.epoch_began.elapsed());
            let numbers = std::mem::take(&mut run.state.numbers);
            let mut logs = numbers.evaluation(&self.core.outputs).logs("");
            let samples_per_second = numbers.samples as f64 / duration.as_secs_f64().max(1e-9);
            self.epochs += 1;
            if run.validation.is_some() {
                self.call(run, "on_test_begin", |c, control| c.on_test_begin(control))?;
            }
            if let Some((feed, sweep)) = &mut run.validation {
                let numbers = self.core.run_fed(feed, sweep).await?;
                logs.extend(numbers.evaluation(&self.core.outputs).logs("val_"));
                self.call(run, "on_test_end", |c, control| c.on_test_end(control))?;
            }
            let mut report = Epoch { epoch, logs, duration, samples_per_second };
            run.state.batch = 0;
            run.state.epoch += 1;
            self.call(run, "on_epoch_end", |c, control| c.on_epoch_end(&mut report, control))?;
            run.state.history.epochs.push(report);
            // If nothing is shown, nobody took the lines.
            run.requests.lines.clear();
            self.keep_place(run).await?;
        }
        self.call(run, "on_train_end", |c, control| c.on_train_end(control))?;
        self.keep_place(run).await
    }

    /// The order in which the epoch under way takes the samples; `None` for their own order.
    fn epoch_order(&self, run: &Run<'_, '_>) -> Result<Option<Vec<u32>>> {
        let Batches { samples, size, steps, shuffle } = run.state.batches;
        let order = |counter: u64| -> Result<Vec<u32>> {
            match shuffle {
                true => permutation(samples, self.seed(), counter),
                false => Ok((0..samples as u32).collect()),
            }
        };
        let rows = steps * size;
        if rows >= samples {
            return shuffle.then(|| order(self.epochs)).transpose();
        }
        // Epochs of fewer samples go on from the end of the one before: all orders of this fit form one sequence.
        let done = run.state.epoch.saturating_sub(run.fit.initial_epoch) as u64;
        // A file may claim very many earlier epochs: their rows are counted in 128 bits.
        let (from, rows, all) = (u128::from(done) * rows as u128, rows as u128, samples as u128);
        let mut taken = Vec::with_capacity(samples);
        for k in from / all..=(from + rows - 1) / all {
            let start = from.max(k * all) - k * all;
            let end = (from + rows).min((k + 1) * all) - k * all;
            let counter = self.epochs.saturating_sub(done).wrapping_add(k as u64);
            taken.extend_from_slice(&order(counter)?[start as usize..end as usize]);
        }
        // The buffer of the order has room for all samples.
        taken.resize(samples, 0);
        Ok(Some(taken))
    }

    /// Runs some epochs without a wait between them, if nobody looks at the numbers of one before the next begins.
    async fn epochs_at_once(
        &mut self,
        run: &mut Run<'_, '_>,
        sweep: &Sweep,
        epochs: usize,
        began: Instant,
    ) -> Result<()> {
        let start = Instant::now();
        let first = self.core.run_sweep(sweep, 0..epochs * sweep.steps).await?;
        let numbers = self.core.numbers_of_sweeps(sweep, epochs).await?;
        let duration = start.elapsed() / epochs as u32;
        let history = &mut run.state.history;
        if let Some(ended) = first.filter(|_| history.epochs.is_empty()) {
            history.first_step = Some(ended - began);
        }
        for numbers in numbers {
            let logs = numbers.evaluation(&self.core.outputs).logs("");
            let samples_per_second = numbers.samples as f64 / duration.as_secs_f64().max(1e-9);
            let epoch = run.state.epoch;
            history.epochs.push(Epoch { epoch, logs, duration, samples_per_second });
            run.state.epoch += 1;
            self.epochs += 1;
        }
        Ok(())
    }

    /// Runs the rest of an epoch's batches. Gives the instant at which the first one ended.
    async fn batches_of(
        &mut self,
        run: &mut Run<'_, '_>,
        sweep: &Sweep,
    ) -> Result<Option<Instant>> {
        let mut first = None;
        let mut read = run.state.batch;
        let wanted = run.wants_batches();
        while run.state.batch < sweep.steps && !run.requests.stop {
            let step = run.state.batch;
            let end = run.next_stop(read);
            if wanted {
                self.batch_begins(run)?;
            }
            self.core.bring(&mut run.feed, sweep, step).await?;
            // If earlier steps are still under way, the wait takes longer than these steps do.
            let (began, alone) = (Instant::now(), read == step);
            let ended = self.core.run_sweep(sweep, step..end).await?;
            first = first.or(ended);
            run.state.batch = end;
            if wanted || end == sweep.steps || end - read == sweep.full.records {
                self.core.add_numbers(sweep, read..end, &mut run.state.numbers).await?;
                read = end;
                // The first steps include compilation, so they are no measure of the others.
                if ended.is_none() && alone {
                    let took = began.elapsed();
                    run.stops.step_seconds = Some(took.as_secs_f64() / (end - step) as f64);
                    self.core.pace(sweep, end - step, took);
                }
            }
            if wanted {
                self.batch_ends(run, sweep)?;
                self.keep_place(run).await?;
            }
        }
        Ok(first)
    }

    /// Tells callbacks whose last batch ended that the next one begins.
    fn batch_begins(&mut self, run: &mut Run<'_, '_>) -> Result<()> {
        let step = run.state.batch;
        let due =
            |c: &dyn Callback, fresh: bool| fresh && c.batch_interval() != BatchInterval::Never;
        let Run { fit, under_way, info, requests, batch_hooks, places, .. } = run;
        let callbacks = fit.callbacks.iter_mut().zip(places);
        for ((callback, &mut place), (fresh, _)) in callbacks.zip(batch_hooks) {
            if due(callback.as_ref(), *fresh) {
                *fresh = false;
                let mut control = Control { trainer: self, info, requests, place };
                under_way.call(
                    callback.as_mut(),
                    &mut control,
                    "on_batch_begin",
                    |c, control| c.on_batch_begin(step, control),
                )?;
            }
        }
        Ok(())
    }

    /// Gives the numbers so far to callbacks that want them now.
    fn batch_ends(&mut self, run: &mut Run<'_, '_>, sweep: &Sweep) -> Result<()> {
        let logs = run.state.numbers.evaluation(&self.core.outputs).logs("");
        let Run { fit, under_way, info, requests, batch_hooks, places, state, .. } = run;
        let last = state.batch == sweep.steps;
        let end = BatchEnd { epoch: state.epoch, batch: state.batch - 1, logs: &logs };
        let callbacks = fit.callbacks.iter_mut().zip(places);
        for ((callback, &mut place), (fresh, at)) in callbacks.zip(batch_hooks) {
            let due = match callback.batch_interval() {
                BatchInterval::Never => false,
                BatchInterval::Batches(n) => last || state.batch.is_multiple_of(n.max(1)),
                // The steps were chosen to take about this long.
                BatchInterval::Time(interval) => last || at.elapsed() >= interval / 2,
            };
            if due {
                (*fresh, *at) = (true, Instant::now());
                let mut control = Control { trainer: self, info, requests, place };
                under_way.call(callback.as_mut(), &mut control, "on_batch_end", |c, control| {
                    c.on_batch_end(&end, control)
                })?;
            }
        }
        Ok(())
    }

    /// Calls a hook of every callback.
    fn call(
        &mut self,
        run: &mut Run<'_, '_>,
        hook: &'static str,
        mut each: impl FnMut(&mut dyn Callback, &mut Control<'_>) -> HookResult,
    ) -> Result<()> {
        let Run { fit, under_way, info, requests, places, .. } = run;
        for (callback, &mut place) in fit.callbacks.iter_mut().zip(places) {
            let mut control = Control { trainer: self, info, requests, place };
            under_way.call(callback.as_mut(), &mut control, hook, &mut each)?;
        }
        Ok(())
    }
}
