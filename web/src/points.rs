//! A network that learns two classes of points in the plane.

use wgrad::prelude::*;

/// Rows of a step. Drawn points are repeated until there are so many: kernels of one size are compiled once.
const ROWS: usize = 256;

/// 2-16-16-1 units, logits, Adam.
#[derive(Debug)]
pub struct Points {
    trainer: Trainer,
}

impl Points {
    /// A network with fresh weights.
    ///
    /// # Errors
    /// Those of [`Sequential::compile`].
    pub fn new(device: &Device, seed: u64) -> wgrad::Result<Self> {
        let model = Sequential::new([2])
            .add(Dense::new(16).activation(Activation::Tanh))
            .add(Dense::new(16).activation(Activation::Tanh))
            .add(Dense::new(1));
        let loss = Loss::BinaryCrossentropy { from_logits: true };
        let compile = Compile::new(Adam::new(0.02), loss).seed(seed);
        Ok(Self { trainer: model.compile(device, compile)? })
    }

    /// Trains `steps` steps on points `x, y` of classes 0 and 1, and gives the loss of each.
    ///
    /// # Errors
    /// Points without a class each; those of [`Trainer::fit`].
    pub async fn train(
        &mut self,
        points: &[f32],
        classes: &[u8],
        steps: usize,
    ) -> wgrad::Result<Vec<f64>> {
        // Of more points than rows the last ones count.
        let rows = (0..ROWS).map(|row| (classes.len().saturating_sub(ROWS), row));
        let rows = rows.map(|(first, row)| first + row % classes.len().clamp(1, ROWS));
        let rows: Vec<usize> = rows.collect();
        let x: Vec<f32> = rows
            .iter()
            .flat_map(|&i| points.get(2 * i..2 * i + 2).unwrap_or(&[]))
            .copied()
            .collect();
        let y: Vec<f32> =
            rows.iter().filter_map(|&i| classes.get(i).map(|&c| f32::from(c))).collect();
        let data = TensorDataset::new(Tensor::f32([ROWS, 2], x)?, Tensor::f32([ROWS, 1], y)?)?;
        let fit = Fit::new().epochs(steps).full_batch().shuffle(false).verbose(Verbose::Silent);
        Ok(self.trainer.fit_async(&data, fit).await?.get("loss"))
    }

    /// The probability of class 1 in the middle of each cell of a grid of `side` by `side` over -1 to 1, row by row
    /// from the top.
    ///
    /// # Errors
    /// Those of [`Trainer::predict`].
    pub async fn regions(&mut self, side: usize) -> wgrad::Result<Vec<f32>> {
        let middle = |i: usize| (i as f32 + 0.5) / side as f32 * 2.0 - 1.0;
        let cells = (0..side * side).flat_map(|i| [middle(i % side), -middle(i / side)]);
        let x = Tensor::f32([side * side, 2], cells.collect::<Vec<f32>>())?;
        let logits = self.trainer.predict_async(&x).await?;
        Ok(logits.as_f32()?.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect())
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
