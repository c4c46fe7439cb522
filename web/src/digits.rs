//! A network that learns handwritten digits.

use wgrad::prelude::*;

/// Bytes of an image.
pub const PIXELS: usize = 28 * 28;

/// 784 pixels, hidden layers, 10 logits, Adam, with digits to train on and others to test with.
#[derive(Debug)]
pub struct Digits {
    trainer: Trainer,
    train: TensorDataset,
    test: TensorDataset,
}

/// What some steps gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The mean loss.
    pub loss: f64,
    /// The share of digits that were recognised.
    pub accuracy: f64,
}

/// Digits of a file: images `[n, 28, 28]`, a byte a pixel, then `n` labels.
fn dataset(bytes: &[u8]) -> wgrad::Result<TensorDataset> {
    let n = bytes.len() / (PIXELS + 1);
    let (images, labels) = bytes.split_at(n * PIXELS);
    let images = Tensor::new([n, 28, 28], Data::U8(images.to_vec()))?;
    let labels: Vec<u32> = labels.iter().map(|&label| label.into()).collect();
    TensorDataset::new(images, Tensor::u32([n], labels)?)?.scaled(1.0 / 255.0)
}

impl Digits {
    /// A network with fresh weights and so many `hidden` units in each layer between, and the digits of a file of which
    /// the last `tests` are for tests.
    ///
    /// # Errors
    /// A file that is cut off; those of [`Sequential::compile`].
    pub fn new(
        device: &Device,
        file: &[u8],
        tests: usize,
        hidden: &[usize],
        seed: u64,
    ) -> wgrad::Result<Self> {
        let all = dataset(file)?;
        let (train, test) = all.split_at(all.len().saturating_sub(tests))?;
        let mut model = Sequential::new([28, 28]).add(Flatten);
        for &units in hidden {
            model = model.add(Dense::new(units).activation(Activation::Relu));
        }
        let model = model.add(Dense::new(10));
        let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
        let compile = Compile::new(Adam::new(0.001), loss).metrics([Metric::Accuracy]).seed(seed);
        Ok(Self { trainer: model.compile(device, compile)?, train, test })
    }

    /// Trains `steps` steps of 64 digits, shuffled or from the first one on.
    ///
    /// # Errors
    /// Those of [`Trainer::fit`].
    pub async fn train(&mut self, steps: usize, shuffle: bool) -> wgrad::Result<Score> {
        let fit = Fit::new().batch_size(64).steps_per_epoch(steps).shuffle(shuffle);
        let fit = fit.verbose(Verbose::Silent);
        let history = self.trainer.fit_async(&self.train, fit).await?;
        let last = |name: &str| history.get(name).last().copied().unwrap_or(f64::NAN);
        Ok(Score { loss: last("loss"), accuracy: last("accuracy") })
    }

    /// Digits that were not trained on.
    ///
    /// # Errors
    /// Those of [`Trainer::evaluate`].
    pub async fn test(&mut self) -> wgrad::Result<Score> {
        let result = self.trainer.evaluate_async(&self.test).await?;
        Ok(Score { loss: result.loss, accuracy: result.get("accuracy").unwrap_or(f64::NAN) })
    }

    /// The probability of each digit for an image of 28 by 28 bytes.
    ///
    /// # Errors
    /// Another size of the image; those of [`Trainer::predict`].
    pub async fn recognise(&mut self, image: &[u8]) -> wgrad::Result<Vec<f32>> {
        let image = Tensor::new([1, 28, 28], Data::U8(image.to_vec()))?;
        let logits = self.trainer.predict_async(&image).await?;
        let logits = logits.as_f32()?;
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shares: Vec<f32> = logits.iter().map(|z| (z - largest).exp()).collect();
        let total: f32 = shares.iter().sum();
        Ok(shares.iter().map(|share| share / total).collect())
    }

    /// The weights as the bytes of a safetensors file.
    ///
    /// # Errors
    /// Those of [`Trainer::weights_to_bytes_async`].
    pub async fn save(&self) -> wgrad::Result<Vec<u8>> {
        crate::bytes_of(&self.trainer).await
    }

    /// Takes the weights of a safetensors file.
    ///
    /// # Errors
    /// Those of [`Trainer::load_weights_from_bytes_async`].
    pub async fn load(&mut self, bytes: &[u8]) -> wgrad::Result<()> {
        crate::take_bytes(&mut self.trainer, bytes).await
    }
}
