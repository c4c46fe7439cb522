//! Callbacks that load a state decide as if training had never stopped.

use super::*;
use serde_json::Value;

/// A state as a checkpoint keeps it: as text.
fn state_of(callback: &impl Callback) -> Value {
    serde_json::from_str(&callback.state().to_string()).unwrap()
}

const NUMBERS: [f64; 12] = [9.0, 7.5, 8.0, 7.0, 7.25, 7.0, 6.0, 6.0, 6.5, 6.25, 6.0, 5.0];

#[test]
fn early_stopping_goes_on() -> Result<()> {
    for (numbers, ran) in [
        (NUMBERS, 10),
        ([f64::INFINITY; 12], 4),
        ([f64::NAN, 1.0 / 3.0, 0.5, 0.1, 0.1, 0.2, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0], 7),
    ] {
        let new = || EarlyStopping::new("loss").patience(3);
        let mut whole = new();
        let fit = |callback: &mut EarlyStopping, from: usize, to| {
            let fit = fit(to).initial_epoch(from).callback(made_up("loss", &numbers));
            trainer().fit(&line(4), fit.callback(callback))
        };
        assert_eq!(fit(&mut whole, 0, 12)?.epochs.len(), ran);
        for cut in 1..ran {
            let (mut first, mut second) = (new(), new());
            fit(&mut first, 0, cut)?;
            second.restore(&state_of(&first)).unwrap();
            assert_eq!(fit(&mut second, cut, 12)?.epochs.len(), ran - cut, "cut at {cut}");
            assert_eq!(state_of(&second), state_of(&whole), "cut at {cut}");
        }
        // Training that was stopped stays stopped.
        let mut again = new();
        again.restore(&state_of(&whole)).unwrap();
        assert_eq!(fit(&mut again, ran, 12)?.epochs.len(), 0);
    }
    Ok(())
}

#[test]
fn the_rate_goes_on_down() -> Result<()> {
    let new = || ReduceLrOnPlateau::new("loss").factor(0.5).patience(1).cooldown(2);
    let run = |trainer: &mut Trainer, callback: &mut ReduceLrOnPlateau, from, to| {
        let fit = fit(to).initial_epoch(from).callback(made_up("loss", &NUMBERS));
        trainer.fit(&line(4), fit.callback(callback)).map(|h| h.get("learning_rate"))
    };
    let (mut whole, mut one) = (new(), trainer());
    let want = run(&mut one, &mut whole, 0, 12)?;
    assert!(want[11] < 0.05, "several reductions in {want:?}");
    for cut in 1..12 {
        let (mut first, mut second, mut trainer) = (new(), new(), trainer());
        let mut got = run(&mut trainer, &mut first, 0, cut)?;
        second.restore(&state_of(&first)).unwrap();
        got.extend(run(&mut trainer, &mut second, cut, 12)?);
        assert_eq!(got, want, "cut at {cut}");
        assert_eq!(state_of(&second), state_of(&whole));
    }
    Ok(())
}

#[test]
fn a_log_goes_on_without_the_lost_epochs() -> Result<()> {
    let log = folder("csv_resume").join("log.csv");
    let run = |callback: CsvLogger, from, to| {
        let fit = fit(to).initial_epoch(from).callback(made_up("loss", &NUMBERS));
        trainer().fit(&line(4), fit.callback(callback))
    };
    run(CsvLogger::new(&log), 0, 6)?;
    let want = std::fs::read_to_string(&log).unwrap();
    // A checkpoint after epoch 2; epochs 3 and 4 ran and were lost.
    let mut state = Value::Null;
    let mut first = CsvLogger::new(&log);
    let fit = fit(5).callback(made_up("loss", &NUMBERS)).callback(Tapped {
        inner: &mut first,
        at: 2,
        state: &mut state,
    });
    trainer().fit(&line(4), fit)?;
    for append in [false, true] {
        let mut second = CsvLogger::new(&log).append(append);
        second.restore(&state).unwrap();
        run(second, 3, 6)?;
        let text = std::fs::read_to_string(&log).unwrap();
        let first = |line: &str| line.split(',').next().unwrap().to_owned();
        let epochs = |text: &str| text.lines().map(first).collect::<Vec<String>>();
        assert_eq!(epochs(&text), epochs(&want), "append: {append}");
    }
    // The file was taken away.
    std::fs::remove_file(&log).unwrap();
    let mut second = CsvLogger::new(&log);
    second.restore(&state).unwrap();
    run(second, 3, 6)?;
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 4);
    Ok(())
}

/// Takes the state of a callback after an epoch.
struct Tapped<'a, C> {
    inner: &'a mut C,
    at: usize,
    state: &'a mut Value,
}

impl<C: Callback> Callback for Tapped<'_, C> {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn on_train_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        self.inner.on_train_begin(control)
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        self.inner.on_epoch_end(epoch, control)?;
        if epoch.epoch == self.at {
            *self.state = state_of(self.inner);
        }
        Ok(())
    }
}

#[test]
fn a_state_that_is_none_is_refused() {
    let wrong = serde_json::json!({ "best": [1], "wait": -1, "columns": 3, "next_epoch": "x" });
    let refusals = [
        EarlyStopping::new("loss").restore(&wrong),
        ReduceLrOnPlateau::new("loss").restore(&wrong),
        CsvLogger::new("never.csv").restore(&wrong),
        TensorBoard::new("never").restore(&wrong),
    ];
    for (refusal, field) in refusals.into_iter().zip(["best", "best", "columns", "next_epoch"]) {
        let message = refusal.unwrap_err().to_string();
        assert!(message.contains(&format!("state.{field}")), "{message}");
    }
}
