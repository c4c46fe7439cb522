//! What does not fit is refused before anything is allocated, and what is there is dropped to make room.

use super::*;
use std::sync::Mutex;
use wgrad::kernels::DeviceCaps;

/// The number in "the largest batch that fits has N samples".
fn largest(error: &Error) -> Result<usize> {
    let text = error.to_string();
    let (_, rest) = text.split_once("the largest batch that fits has ").context(text.clone())?;
    Ok(rest.split(' ').next().context("a number")?.parse()?)
}

/// A call with batches of a size: what it gives, and whether wgpu has as much after it as before.
type Attempt<'a> = &'a dyn Fn(usize) -> Result<(wgrad::Result<()>, bool)>;

/// A batch of `size` is refused, before anything is allocated for it; the one that the message names fits, and no
/// larger one.
fn refuses(size: usize, attempt: Attempt<'_>) -> Result<()> {
    let refused = |size: usize| -> Result<usize> {
        let (result, unchanged) = attempt(size)?;
        let error = result.err().context(format!("{size} fits"))?;
        ensure!(matches!(error, Error::Limit { .. }), "{error}");
        ensure!(unchanged, "something was allocated: {error}");
        largest(&error)
    };
    let named = refused(size)?;
    ensure!((1..size).contains(&named), "{named} of {size}");
    ensure!(refused(named + 1)? == named, "one more than {named}");
    let (result, unchanged) = attempt(named)?;
    result?;
    ensure!(!unchanged, "a call that runs allocates");
    Ok(())
}

/// As [`refuses`], for a call on a new trainer that evaluates in such batches.
fn refuses_in(
    device: &Device,
    model: &Sequential,
    size: usize,
    call: &dyn Fn(&mut Trainer, usize) -> wgrad::Result<()>,
) -> Result<()> {
    refuses(size, &|size| {
        let settings = settings().evaluation_batch_size(size);
        let mut trainer = model.compile(device, settings)?;
        let before = held_at_rest(device)?;
        let result = call(&mut trainer, size);
        Ok((result, held_at_rest(device)? == before))
    })
}

fn fit<'a>(size: usize) -> Fit<'a> {
    Fit::new().batch_size(size).verbose(Verbose::Silent)
}

/// What trains, evaluates and predicts on `data` in batches of a size.
type Call<'a> = Box<dyn Fn(&mut Trainer, usize) -> wgrad::Result<()> + 'a>;

fn calls(data: &TensorDataset) -> [Call<'_>; 3] {
    [
        Box::new(move |trainer, size| trainer.fit(data, fit(size)).map(|_| ())),
        Box::new(move |trainer, _| trainer.evaluate(data).map(|_| ())),
        Box::new(move |trainer, _| trainer.predict(data).map(|_| ())),
    ]
}

#[test]
fn too_little_memory_is_refused_before_anything_is_allocated() -> Result<()> {
    let device = own_device(Some(1 << 20))?;
    let (model, data) = (model(16, 64), samples(4000, 16)?);
    for call in calls(&data) {
        refuses_in(&device, &model, 3000, &*call)?;
    }
    Ok(())
}

#[test]
fn too_large_a_binding_is_refused_with_the_largest_batch() -> Result<()> {
    let device = own_device(None)?;
    let caps = DeviceCaps { max_binding_bytes: 65_536, ..device.caps().clone() };
    let device = device.with_caps(caps);
    let (model, data) = (model(4, 100), samples(1000, 4)?);
    for call in calls(&data) {
        refuses_in(&device, &model, 1000, &*call)?;
    }
    Ok(())
}

#[test]
fn a_model_that_does_not_fit_is_refused() -> Result<()> {
    let device = own_device(Some(1 << 20))?;
    let before = held_at_rest(&device)?;
    let error = model(16, 1000).compile(&device, settings()).err().context("it fits")?;
    says(&error, &["bytes of device memory", "1048576", "no batch fits"]);
    ensure!(held_at_rest(&device)? == before, "something was allocated");
    Ok(())
}

#[test]
fn a_copy_of_the_weights_counts() -> Result<()> {
    let limit = 1 << 18;
    let device = own_device(Some(limit))?;
    let empty = held_at_rest(&device)?;
    let mut trainer = model(16, 64).compile(&device, settings())?;
    let kept = (0..).find(|i| trainer.keep_weights(&i.to_string()).is_err());
    let before = held_at_rest(&device)?;
    let error = trainer.keep_weights("more").err().context("it fits")?;
    says(&error, &["a copy of the weights", "bytes of device memory"]);
    ensure!(held_at_rest(&device)? == before && !trainer.keeps_weights("more"), "{kept:?}");
    ensure!(before.bytes - empty.bytes <= limit as isize, "{before:?} after {empty:?}");
    // What is kept already is kept again.
    ensure!(kept.is_some_and(|i| i > 0), "{kept:?}");
    trainer.keep_weights("0")?;
    Ok(())
}

#[test]
fn what_an_earlier_call_left_makes_way() -> Result<()> {
    let limit = 1 << 20;
    let device = own_device(Some(limit))?;
    let empty = held_at_rest(&device)?;
    let most = Mutex::new(0);
    let look = |device: &Device| -> Result<()> {
        let now = held_at_rest(device)?.bytes - empty.bytes;
        ensure!(now as u64 <= limit, "{now} of {limit}");
        let mut most = most.lock().unwrap();
        *most = now.max(*most);
        Ok(())
    };
    let training =
        |control: &mut Control<'_>| -> HookResult { Ok(look(control.trainer().device())?) };
    // The samples of each call fit by themselves; those of no two of them do.
    let tables = [samples(7000, 16)?, samples(8000, 16)?, samples(7500, 16)?];
    let mut trainer = model(16, 64).compile(&device, settings())?;
    for data in &tables {
        trainer.fit(data, fit(100).callback(Lambda::new().on_train_begin(training)))?;
        look(&device)?;
    }
    for data in &tables {
        trainer.evaluate(data)?;
        look(&device)?;
    }
    for data in &tables {
        trainer.fit(data, fit(100).callback(Lambda::new().on_train_begin(training)))?;
        trainer.evaluate(data)?;
        trainer.predict(data)?;
        look(&device)?;
    }
    let most = most.into_inner().unwrap() as u64;
    ensure!(most > limit / 2, "{most}: too little to need room");
    Ok(())
}

#[test]
fn a_fit_keeps_what_it_uses_while_a_callback_asks_for_more() -> Result<()> {
    let device = own_device(Some(1 << 20))?;
    let mut trainer = model(16, 64).compile(&device, settings())?;
    let (data, more) = (samples(6000, 16)?, samples(7000, 16)?);
    let errors = Mutex::new(Vec::new());
    let ask = |_: &mut Epoch, control: &mut Control<'_>| -> HookResult {
        errors.lock().unwrap().push(control.trainer().evaluate(&more).err());
        Ok(())
    };
    // Left by an earlier call, and free to go.
    trainer.predict(&data)?;
    let history =
        trainer.fit(&data, fit(100).epochs(3).callback(Lambda::new().on_epoch_end(ask)))?;
    ensure!(history.epochs.len() == 3);
    for error in errors.into_inner().unwrap() {
        let error = error.context("it fits beside the training data")?;
        says(&error, &["bytes of device memory", "use fewer samples at once", "no batch fits"]);
    }
    trainer.evaluate(&more)?;
    Ok(())
}

/// The place of each buffer, if the backend tells.
fn places(device: &Device) -> Result<Option<Vec<(String, u64, u64)>>> {
    held_at_rest(device)?;
    let Some(report) = device.wgpu().0.generate_allocator_report() else { return Ok(None) };
    let own = report.allocations.into_iter().map(|a| (a.name, a.offset, a.size));
    let mut places: Vec<_> = own.collect();
    places.sort();
    Ok(Some(places))
}

#[test]
fn the_same_again_takes_the_same_buffers() -> Result<()> {
    let device = own_device(None)?;
    let mut trainer = model(16, 64).compile(&device, settings())?;
    let data = samples(400, 16)?;
    let mut run = |size: usize| -> Result<_> {
        trainer.fit(&data, fit(size).validation_data(&data))?;
        trainer.evaluate(&data)?;
        trainer.predict(&data)?;
        places(&device)
    };
    let first = run(100)?;
    ensure!(run(100)? == first, "a buffer was made anew");
    // Numbers of batches of another size need different memory.
    ensure!(first.is_none() || run(64)? != first, "places tell nothing");
    Ok(())
}
