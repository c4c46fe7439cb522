//! What hooks may do with the trainer that calls them: it is harmless to the training around it, or refused.

use super::*;
use std::sync::Mutex;

/// `n` targets of the same number.
fn level(n: usize, y: f32) -> TensorDataset {
    let tensor = |value: f32| Tensor::f32([n, 1], vec![value; n]).unwrap();
    TensorDataset::new(tensor(0.0), tensor(y)).unwrap()
}

/// A model that answers 0 and learns nothing: its loss tells what it was trained on.
fn still() -> Trainer {
    let layer = Dense::new(1).kernel_initializer(Initializer::Zeros);
    let compile = Compile::new(Sgd::new(0.0), Loss::MeanAbsoluteError);
    Sequential::new([1]).add(layer).compile(device(), compile).unwrap()
}

type Hook<'a> = Box<dyn FnMut(&mut Control<'_>) -> HookResult + Send + 'a>;

/// A callback that calls this in every hook.
fn everywhere<'a>(hook: impl FnMut(&mut Control<'_>) -> HookResult + Send + 'a) -> Lambda<'a> {
    let hook: std::sync::Arc<Mutex<Hook<'a>>> = std::sync::Arc::new(Mutex::new(Box::new(hook)));
    let own = || {
        let hook = hook.clone();
        move |control: &mut Control<'_>| (hook.lock().unwrap())(control)
    };
    let [a, b, c, d, e, f, g, h] = std::array::from_fn(|_| own());
    let each = BatchInterval::Batches(1);
    Lambda::new()
        .on_train_begin(a)
        .on_epoch_begin(move |_, control| b(control))
        .on_batch_begin(each, move |_, control| c(control))
        .on_batch_end(each, move |_, control| d(control))
        .on_test_begin(e)
        .on_test_end(f)
        .on_epoch_end(move |_, control| g(control))
        .on_train_end(h)
}

#[test]
fn an_inner_fit_is_refused_and_changes_nothing() {
    let (outer, inner) = (level(4, 1.0), level(4, 100.0));
    let mut trainer = still();
    // The error ends training, unless the hook goes on.
    let fitting = Lambda::new().on_epoch_end(|_, control| {
        control.trainer().fit(&inner, fit(1))?;
        Ok(())
    });
    let error = trainer.fit(&outer, fit(3).callback(fitting)).unwrap_err();
    says(&error, &["`Lambda`", "on_epoch_end", "fit = called from a callback", "under way"]);
    let folder = folder("reentry");
    let file = folder.join("w");
    trainer.save_checkpoint(&file).unwrap();
    let checkpoint = trainer.checkpoint_to_bytes().unwrap();
    let errors = Mutex::new(Vec::new());
    let trying = everywhere(|control| {
        let trainer = control.trainer();
        let calls = [
            ("fit", trainer.fit(&inner, fit(1)).err()),
            ("profile", trainer.profile(1).err()),
            ("train_on_batch", trainer.train_on_batch(&inner).err()),
            ("load_checkpoint", trainer.load_checkpoint(&file).err()),
            ("save_checkpoint", trainer.save_checkpoint(&file).err()),
            ("load_checkpoint_from_bytes", trainer.load_checkpoint_from_bytes(&checkpoint).err()),
            ("checkpoint_to_bytes", trainer.checkpoint_to_bytes().err()),
            ("freeze", trainer.freeze(["dense"]).err()),
            ("unfreeze", trainer.unfreeze(["dense"]).err()),
        ];
        errors.lock().unwrap().extend(calls);
        Ok(())
    });
    let fit3 = fit(3).validation_data(&outer).callback(trying);
    let history = trainer.fit(&outer, fit3).unwrap();
    assert_eq!(history.get("loss"), [1.0; 3]);
    assert_eq!(history.get("val_loss"), [1.0; 3]);
    let errors = errors.into_inner().unwrap();
    // Begin and end of training; for each of 3 epochs begin, end, test twice, and 2 batches twice.
    assert_eq!(errors.len(), 9 * (2 + 3 * (4 + 4)));
    for (call, error) in errors {
        says(&error.expect(call), &[call, "called from a callback", "under way"]);
    }
    // Afterwards all of it works.
    trainer.profile(1).unwrap();
    trainer.save_checkpoint(&file).unwrap();
    trainer.load_checkpoint(&file).unwrap();
    let history = trainer.fit(&inner, fit(4)).unwrap();
    assert_eq!(history.get("loss"), [1.0, 1.0, 1.0, 100.0]);
}

#[test]
fn looking_is_harmless() {
    let validation = line(4);
    let run = |hook: Option<Lambda<'_>>| {
        let mut trainer = trainer();
        let mut fit = fit(3).validation_data(&validation);
        if let Some(hook) = hook {
            fit = fit.callback(hook);
        }
        let history = trainer.fit(&line(10), fit).unwrap();
        let logs: Vec<_> = history.epochs.iter().map(|e| e.logs.clone()).collect();
        (logs, bits(&trainer), trainer.steps())
    };
    let want = run(None);
    // The same shapes as the outer data, others, and so many that plans are dropped.
    let mut sizes = (1..40).cycle();
    let looking = everywhere(|control| {
        let size = sizes.next().unwrap();
        let trainer = control.trainer();
        for n in [10, 4, size] {
            trainer.evaluate(&level(n, 100.0))?;
            trainer.test_on_batch(&level(n, 100.0))?;
            trainer.predict(level(n, 7.0).x())?;
            trainer.predict_on_batch(level(n, 7.0).x())?;
        }
        trainer.weights()?;
        trainer.keep_weights("mine")?;
        trainer.forget_weights("mine");
        Ok(())
    });
    assert_eq!(run(Some(looking)), want);
    // The control: a call that does change the model.
    let changing = Lambda::new().on_epoch_begin(|_, control| {
        let zeros = [Tensor::f32([1, 1], [0.0])?, Tensor::f32([1], [0.0])?];
        control.trainer().set_weights(&zeros)?;
        Ok(())
    });
    assert_ne!(run(Some(changing)), want);
}

/// The factor on samples belongs to the `fit` under way.
#[test]
fn weights_of_other_samples_are_refused() {
    let map = WeightMap::keras();
    let other = |scale: f32| {
        let mut other = still();
        other.fit(&level(4, 3.0).scaled(scale).unwrap(), fit(1)).unwrap();
        let weights = [[1, 1].as_slice(), &[1]].map(|shape| Tensor::f32(shape, [3.0]).unwrap());
        other.set_weights(&weights).unwrap();
        other.weights_to_bytes(&map).unwrap()
    };
    let (same, half) = (other(1.0), other(0.5));
    let file = folder("scaled").join("w");
    std::fs::write(&file, &half).unwrap();
    let mut trainer = still();
    let mut errors = Vec::new();
    let loading = Lambda::new().on_epoch_end(|epoch, control| {
        let trainer = control.trainer();
        if epoch.epoch == 0 {
            errors.extend(trainer.load_weights(&file).err());
            errors.extend(trainer.load_weights_from_bytes(&half, &map).err());
        } else {
            trainer.load_weights_from_bytes(&same, &map)?;
        }
        Ok(())
    });
    let history = trainer.fit(&level(4, 1.0), fit(3).callback(loading)).unwrap();
    assert_eq!(history.get("loss"), [1.0, 1.0, 2.0], "those of the same samples are taken");
    assert_eq!(errors.len(), 2);
    for error in errors {
        says(&error, &["load_weights", "called from a callback", "under way", "f32 times 0.5"]);
    }
    // Afterwards they are taken, and their factor too: 3 · (0.5 · 1) + 3.
    let one = Tensor::f32([1, 1], [1.0]).unwrap();
    assert_eq!(trainer.predict(&one).unwrap().as_f32().unwrap(), [6.0]);
    trainer.load_weights(&file).unwrap();
    assert_eq!(trainer.predict(&one).unwrap().as_f32().unwrap(), [4.5]);
}

#[test]
fn a_trainer_that_is_put_in_anothers_place_ends_training() {
    let mut other = still();
    let mut trainer = still();
    let swapping = Lambda::new().on_epoch_end(|_, control| {
        std::mem::swap(control.trainer(), &mut other);
        Ok(())
    });
    let error = trainer.fit(&level(4, 1.0), fit(3).callback(swapping)).unwrap_err();
    says(&error, &["`Lambda`", "on_epoch_end", "another trainer"]);
    // Both are usable.
    for trainer in [&mut trainer, &mut other] {
        assert_eq!(trainer.fit(&level(4, 1.0), fit(2)).unwrap().get("loss"), [1.0; 2]);
    }
}

#[test]
fn a_fit_that_panicked_is_over() {
    let mut trainer = still();
    let panicking = Lambda::new().on_epoch_end(|_, _| panic!("of the hook"));
    let run =
        std::panic::AssertUnwindSafe(|| trainer.fit(&level(4, 1.0), fit(3).callback(panicking)));
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(trainer.fit(&level(4, 2.0), fit(2)).unwrap().get("loss"), [2.0; 2]);
}
