//! What callbacks must be before a `fit`, and what their hooks may not do to it.

use super::callback::{Callback, HookResult};
use super::control::Control;
use super::fit::Fit;
use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::step::Numbers;
use std::sync::{Arc, Weak};

/// A `fit` under way. Its trainer has the weak half: a `fit` that was dropped before its end, or that panicked, is no
/// longer under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Arc<()>);

impl UnderWay {
    /// The trainer's half.
    pub fn mark(&self) -> Weak<()> {
        Arc::downgrade(&self.0)
    }

    /// Calls a hook, and makes sure that it left this `fit` its trainer.
    pub fn call(
        &self,
        callback: &mut dyn Callback,
        control: &mut Control<'_>,
        hook: &'static str,
        call: impl FnOnce(&mut dyn Callback, &mut Control<'_>) -> HookResult,
    ) -> Result<()> {
        let result = call(callback, control);
        if !control.trainer.core.held.ptr_eq(&self.mark()) {
            let cause = "it put another trainer in the place of the one that trains; \
                         set_weights gives a model other weights";
            return Err(Error::callback(callback.name(), hook, &*HookError::from(cause)));
        }
        result.map_err(|e| Error::callback(callback.name(), hook, &*e))
    }
}

/// The error of a hook.
type HookError = Box<dyn std::error::Error + Send + Sync>;

impl Trainer {
    /// Whether a `fit` is under way, whose callbacks may use the trainer too.
    pub(super) fn is_fitting(&self) -> bool {
        self.core.held.strong_count() > 0
    }

    /// Refuses a call that would change what a `fit` under way trains on; `instead` says what to do.
    pub(crate) fn refuse_in_fit(&self, call: &str, instead: &str) -> Result<()> {
        match self.is_fitting() {
            true => {
                let detail = format!("a `fit` of this trainer is under way; {instead}");
                Err(Error::parameter(call, "called from a callback", detail))
            }
            false => Ok(()),
        }
    }

    /// Names of the logs at the end of an epoch.
    fn log_names(&self, validation: bool) -> Vec<String> {
        let own = Numbers::empty(&self.core.spec(false)).evaluation(&self.core.outputs);
        let mut names: Vec<String> = own.logs("").into_iter().map(|(name, _)| name).collect();
        if validation {
            names.extend(own.logs("val_").into_iter().map(|(name, _)| name));
        }
        names
    }

    /// Refuses callbacks with settings outside their domain, and callbacks that monitor a log that nobody writes before
    /// them.
    pub(super) fn check_callbacks(&self, fit: &Fit<'_>, validation: bool) -> Result<()> {
        let mut names = self.log_names(validation);
        for callback in &fit.callbacks {
            for monitor in callback.monitors() {
                if !names.contains(&monitor) {
                    let detail = format!(
                        "{} finds no such log; there are {}",
                        callback.name(),
                        names.join(", ")
                    );
                    return Err(Error::parameter("monitor", monitor, detail));
                }
            }
            callback.check().map_err(|e| match e {
                // An error that only names a file does not say who wants the file.
                Error::Io { .. } | Error::File { .. } => {
                    Error::callback(callback.name(), "check", &e)
                }
                e => e,
            })?;
            for log in callback.logs() {
                if !names.contains(&log) {
                    names.push(log);
                }
            }
        }
        Ok(())
    }
}
