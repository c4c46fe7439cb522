//! How to train: the options of `fit`.

use super::callback::{Callback, HookResult};
use super::control::Control;
use super::history::Epoch;
use crate::data::TensorDataset;
use crate::error::{Error, Result};
use crate::feed::{TrainingData, weigh_classes};
use crate::step::OutputSpec;
use crate::tensor::Tensor;

/// What `fit` shows while it trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Verbose {
    /// A progress bar on a terminal (with the feature `progress`), a line per epoch elsewhere; in a browser the lines
    /// go to its console.
    #[default]
    Auto,
    /// Nothing.
    Silent,
    /// A line per epoch.
    Lines,
}

/// How to train, in the words of Keras' `fit`.
///
/// ```
/// use wgrad::prelude::*;
///
/// let mut stopping = EarlyStopping::new("val_loss").patience(3);
/// let fit = Fit::new()
///     .epochs(50)
///     .batch_size(64)
///     .validation_split(0.2)
///     .callback(ReduceLrOnPlateau::new("val_loss").factor(0.5).patience(2))
///     .callback(&mut stopping)
///     .on_epoch_end(|epoch| println!("{epoch}"));
/// ```
pub struct Fit<'a> {
    pub(super) epochs: usize,
    pub(super) initial_epoch: usize,
    /// `None` for all samples.
    pub(super) batch_size: Option<usize>,
    pub(super) shuffle: bool,
    pub(super) steps_per_epoch: Option<usize>,
    pub(super) window_batches: Option<usize>,
    validation_data: Option<TrainingData<'a>>,
    validation_split: Option<f64>,
    class_weight: Vec<(u32, f32)>,
    sample_weight: Option<&'a [f32]>,
    pub(super) verbose: Verbose,
    pub(super) callbacks: Vec<Box<dyn Callback + 'a>>,
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Self {
            epochs: 1,
            initial_epoch: 0,
            batch_size: Some(32),
            shuffle: true,
            steps_per_epoch: None,
            window_batches: None,
            validation_data: None,
            validation_split: None,
            class_weight: Vec::new(),
            sample_weight: None,
            verbose: Verbose::default(),
            callbacks: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.callbacks.iter().map(|c| c.name()).collect();
        f.debug_struct("Fit")
            .field("epochs", &self.epochs)
            .field("batch_size", &self.batch_size)
            .field("callbacks", &names)
            .finish_non_exhaustive()
    }
}

impl<'a> Fit<'a> {
    /// One epoch, batches of 32, shuffled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Passes over the data. This is the number of the last epoch if [`Fit::initial_epoch`] is not 0, or if training
    /// goes on from a checkpoint.
    #[must_use]
    pub const fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// The number of the first epoch, for training that goes on.
    #[must_use]
    pub const fn initial_epoch(mut self, epoch: usize) -> Self {
        self.initial_epoch = epoch;
        self
    }

    /// Samples per step, 32 unless set; all of them if there are fewer, as in Keras. The last batch of an epoch may be
    /// shorter; it is trained too.
    #[must_use]
    pub const fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = Some(batch_size);
        self
    }

    /// All samples in every step: full-batch descent.
    #[must_use]
    pub const fn full_batch(mut self) -> Self {
        self.batch_size = None;
        self
    }

    /// Whether each epoch sees the samples in a new order.
    #[must_use]
    pub const fn shuffle(mut self, shuffle: bool) -> Self {
        self.shuffle = shuffle;
        self
    }

    /// Ends each epoch after so many steps. The next epoch goes on through the samples from there. If they are used up,
    /// it begins with them again, in a new order: batches are full then.
    #[must_use]
    pub const fn steps_per_epoch(mut self, steps: usize) -> Self {
        self.steps_per_epoch = Some(steps);
        self
    }

    /// Batches of streamed data that are on the device at once; about 16 MB unless set.
    #[must_use]
    pub const fn window_batches(mut self, batches: usize) -> Self {
        self.window_batches = Some(batches);
        self
    }

    /// Data evaluated after each epoch: a [`TensorDataset`], or an `Arc` of any dataset, which is streamed.
    #[must_use]
    pub fn validation_data(mut self, data: impl Into<TrainingData<'a>>) -> Self {
        self.validation_data = Some(data.into());
        self
    }

    /// Keeps the last samples, this share of all, for validation. They are taken before shuffling, as in Keras. 0,
    /// Keras' default, keeps none.
    #[must_use]
    pub const fn validation_split(mut self, share: f64) -> Self {
        self.validation_split = if share == 0.0 { None } else { Some(share) };
        self
    }

    /// Factors on the losses of training samples by their class; classes that are not named have 1. They multiply the
    /// weights that samples have.
    ///
    /// The class of a row of targets is the place of its largest number, and the first place if several are equal, as
    /// in Keras. This includes multi-hot rows and rows of zeros. A single target has the class 0 or 1. Regressions and
    /// models of several outputs have no classes: the weights are refused.
    #[must_use]
    pub fn class_weight(mut self, weights: impl IntoIterator<Item = (u32, f32)>) -> Self {
        self.class_weight = weights.into_iter().collect();
        self
    }

    /// A factor on the loss of each sample, in place of the dataset's own.
    #[must_use]
    pub const fn sample_weight(mut self, weights: &'a [f32]) -> Self {
        self.sample_weight = Some(weights);
        self
    }

    /// What is shown.
    #[must_use]
    pub const fn verbose(mut self, verbose: Verbose) -> Self {
        self.verbose = verbose;
        self
    }

    /// Adds a callback. Callbacks are called in the order in which they were added; pass `&mut` of one to look at it
    /// after training.
    #[must_use]
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Called after each epoch with its numbers.
    #[must_use]
    pub fn on_epoch_end(self, hook: impl FnMut(&Epoch) + Send + 'a) -> Self {
        self.callback(AfterEpoch(hook))
    }

    /// The place of each callback among those of its name. It is the same after a resume with other callbacks beside
    /// it.
    pub(super) fn places(&self) -> Vec<usize> {
        let names: Vec<String> = self.callbacks.iter().map(|c| c.name()).collect();
        let before = |i: usize| names[..i].iter().filter(|name| **name == names[i]).count();
        (0..names.len()).map(before).collect()
    }

    /// Whether epochs need nothing from the host between them: no new order, and nobody to tell.
    pub(super) fn alone(&self) -> bool {
        !self.shuffle && self.callbacks.is_empty() && self.steps_per_epoch.is_none()
    }

    /// The training data and the validation data that `data` and the options make, copied if necessary.
    ///
    /// # Errors
    /// A split that leaves a side empty; weights that do not suit.
    pub(super) fn split(
        &self,
        data: &TrainingData<'_>,
        outputs: &[OutputSpec],
    ) -> Result<Sides<'a>> {
        #[cfg_attr(target_arch = "wasm32", expect(irrefutable_let_patterns, reason = "one kind"))]
        let TrainingData::Resident(data) = data else {
            let given = [
                ("validation_split", self.validation_split.is_some()),
                ("class_weight", !self.class_weight.is_empty()),
                ("sample_weight", self.sample_weight.is_some()),
            ];
            if let Some((name, _)) = given.into_iter().find(|(_, given)| *given) {
                let detail = "streamed data is not at hand to be split or weighed; let the stream give weights with \
                              its samples, or use a TensorDataset";
                return Err(Error::parameter(name, "given", detail));
            }
            let given = self.validation_data.clone();
            let validation = given.map_or(Validation::None, Validation::Given);
            return Ok(Sides { train: None, validation });
        };
        let mut train = None;
        if let Some(weights) = self.sample_weight {
            let weights = Tensor::f32([weights.len()], weights)?;
            train = Some(data.clone().into_owned().weighted(weights)?);
        }
        let mut validation = Validation::None;
        match (&self.validation_data, self.validation_split) {
            (Some(_), Some(_)) => {
                let detail = "validation_data is given too; choose one of them";
                return Err(Error::parameter("validation_split", "given", detail));
            }
            (Some(data), None) => validation = Validation::Given(data.clone()),
            (None, Some(share)) => {
                let n = data.len();
                // As Keras: the training part is the floor.
                let first = (n as f64 * (1.0 - share)).floor();
                if !(share > 0.0 && share < 1.0) || first < 1.0 || first as usize >= n {
                    let detail = format!(
                        "a share of the samples, 0 or more and below 1{}; both sides of {n} samples need at least one",
                        percent(share)
                    );
                    return Err(Error::parameter("validation_split", share, detail));
                }
                let (head, tail) = train.as_ref().unwrap_or(data).split_at(first as usize)?;
                (train, validation) = (Some(head), Validation::Own(tail));
            }
            (None, None) => {}
        }
        // As in Keras, validation has no class weights.
        if !self.class_weight.is_empty() {
            let data = train.unwrap_or_else(|| data.clone().into_owned());
            train = Some(weigh_classes(&self.class_weight, outputs, data)?);
        }
        Ok(Sides { train, validation })
    }
}

/// The callback of [`Fit::on_epoch_end`].
struct AfterEpoch<F>(F);

impl<F: FnMut(&Epoch) + Send> Callback for AfterEpoch<F> {
    fn name(&self) -> String {
        "on_epoch_end".into()
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, _control: &mut Control<'_>) -> HookResult {
        (self.0)(epoch);
        Ok(())
    }
}

/// The value to write in place of a share that is a number of percent.
fn percent(share: f64) -> String {
    match share > 1.0 && share < 100.0 {
        true => format!(": {share} percent is {}", share / 100.0),
        false => String::new(),
    }
}

/// The data to train on, if it is not the data as given, and the data to evaluate.
pub(super) struct Sides<'a> {
    pub train: Option<TensorDataset>,
    pub validation: Validation<'a>,
}

/// Validation data.
pub(super) enum Validation<'a> {
    None,
    Given(TrainingData<'a>),
    Own(TensorDataset),
}

impl Validation<'_> {
    pub fn data(&self) -> Option<TrainingData<'_>> {
        match self {
            Self::None => None,
            Self::Given(data) => Some(data.clone()),
            Self::Own(data) => Some(data.into()),
        }
    }
}
