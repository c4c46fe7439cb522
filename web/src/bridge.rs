//! What the Worker of the page calls. Errors come as JavaScript's, with the library's words.

use crate::{digits, points};
use wasm_bindgen::prelude::*;
use wgrad::prelude::*;

fn said(error: wgrad::Error) -> JsError {
    JsError::new(&error.to_string())
}

/// An open device.
#[wasm_bindgen]
pub struct Lab {
    device: Device,
}

#[wasm_bindgen]
impl Lab {
    /// Opens the browser's adapter.
    pub async fn open() -> Result<Self, JsError> {
        Ok(Self { device: Device::new_async().await.map_err(said)? })
    }

    /// The adapter's name and kind.
    pub fn adapter(&self) -> String {
        self.device.info().to_string()
    }

    /// The losses of steps on XOR.
    pub async fn xor(&self, steps: usize) -> Result<Vec<f64>, JsError> {
        points::xor(&self.device, steps).await.map_err(said)
    }

    /// The losses of steps on digits, ten at a time.
    pub async fn mnist(&self, file: Vec<u8>, steps: usize) -> Result<Vec<f64>, JsError> {
        digits::losses(&self.device, &file, steps).await.map_err(said)
    }
}

/// See [`points::Points`].
#[wasm_bindgen]
pub struct Points {
    inner: points::Points,
}

#[wasm_bindgen]
impl Points {
    #[wasm_bindgen(constructor)]
    pub fn new(lab: &Lab, seed: u32) -> Result<Self, JsError> {
        Ok(Self { inner: points::Points::new(&lab.device, seed.into()).map_err(said)? })
    }

    pub async fn train(
        &mut self,
        points: Vec<f32>,
        classes: Vec<u8>,
        steps: usize,
    ) -> Result<Vec<f64>, JsError> {
        self.inner.train(&points, &classes, steps).await.map_err(said)
    }

    pub async fn regions(&mut self, side: usize) -> Result<Vec<f32>, JsError> {
        self.inner.regions(side).await.map_err(said)
    }

    pub async fn save(&self) -> Result<Vec<u8>, JsError> {
        self.inner.save().await.map_err(said)
    }

    pub async fn load(&mut self, bytes: Vec<u8>) -> Result<(), JsError> {
        self.inner.load(&bytes).await.map_err(said)
    }
}

/// See [`digits::Digits`].
#[wasm_bindgen]
pub struct Digits {
    inner: digits::Digits,
}

#[wasm_bindgen]
impl Digits {
    #[wasm_bindgen(constructor)]
    pub fn new(lab: &Lab, file: Vec<u8>, tests: usize, seed: u32) -> Result<Self, JsError> {
        let inner = digits::Digits::new(&lab.device, &file, tests, seed.into()).map_err(said)?;
        Ok(Self { inner })
    }

    /// Mean loss and accuracy of some steps.
    pub async fn train(&mut self, steps: usize, shuffle: bool) -> Result<Vec<f64>, JsError> {
        self.inner.train(steps, shuffle).await.map(|s| vec![s.loss, s.accuracy]).map_err(said)
    }

    /// Loss and accuracy on the digits for tests.
    pub async fn test(&mut self) -> Result<Vec<f64>, JsError> {
        self.inner.test().await.map(|s| vec![s.loss, s.accuracy]).map_err(said)
    }

    pub async fn recognise(&mut self, image: Vec<u8>) -> Result<Vec<f32>, JsError> {
        self.inner.recognise(&image).await.map_err(said)
    }

    pub async fn save(&self) -> Result<Vec<u8>, JsError> {
        self.inner.save().await.map_err(said)
    }

    pub async fn load(&mut self, bytes: Vec<u8>) -> Result<(), JsError> {
        self.inner.load(&bytes).await.map_err(said)
    }
}
