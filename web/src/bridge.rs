//! What the Worker of the page calls. Errors come as JavaScript's, with the library's words.
//!
//! Each call gives a promise of a boxed future: all share one piece of code that runs it, and a page downloads less.

use crate::{digits, points};
use js_sys::{Error, Promise, futures::future_to_promise};
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wgrad::prelude::*;

/// An error whose `name` tells a page without a GPU from other failures.
fn said(error: wgrad::Error) -> JsValue {
    let said = Error::new(&error.to_string());
    if matches!(error, wgrad::Error::NoAdapter(_)) {
        said.set_name("NoAdapter");
    }
    said.into()
}

fn promise(answer: Pin<Box<dyn Future<Output = wgrad::Result<JsValue>>>>) -> Promise {
    future_to_promise(async move { answer.await.map_err(said) })
}

/// A network, which is away while a call works with it.
struct Net<T>(Rc<Cell<Option<T>>>);

impl<T: 'static> Net<T> {
    fn new(net: wgrad::Result<T>) -> Result<Self, JsValue> {
        net.map(|net| Self(Rc::new(Cell::new(Some(net))))).map_err(said)
    }

    fn call(&self, work: impl AsyncFnOnce(&mut T) -> wgrad::Result<JsValue> + 'static) -> Promise {
        let place = self.0.clone();
        promise(Box::pin(async move {
            let busy = || wgrad::Error::parameter("call", "a second one", "wait for the first");
            let mut net = place.take().ok_or_else(busy)?;
            let answer = work(&mut net).await;
            place.set(Some(net));
            answer
        }))
    }
}

/// An open device.
#[wasm_bindgen]
pub struct Lab {
    device: Device,
}

#[wasm_bindgen]
impl Lab {
    /// Opens the browser's adapter: a promise of a `Lab`.
    pub fn open() -> Promise {
        promise(Box::pin(async { Ok(Self { device: Device::new_async().await? }.into()) }))
    }

    /// The adapter's name and kind.
    pub fn adapter(&self) -> String {
        self.device.info().to_string()
    }
}

/// See [`points::Points`].
#[wasm_bindgen]
pub struct Points(Net<points::Points>);

#[wasm_bindgen]
impl Points {
    #[wasm_bindgen(constructor)]
    pub fn new(lab: &Lab, seed: u32) -> Result<Self, JsValue> {
        Net::new(points::Points::new(&lab.device, seed.into())).map(Self)
    }

    /// The loss of each step.
    pub fn train(&self, points: Vec<f32>, classes: Vec<u8>, steps: usize) -> Promise {
        self.0.call(async move |net| Ok(net.train(&points, &classes, steps).await?.into()))
    }

    pub fn regions(&self, side: usize) -> Promise {
        self.0.call(async move |net| Ok(net.regions(side).await?.into()))
    }

    pub fn save(&self) -> Promise {
        self.0.call(async |net| Ok(net.save().await?.into()))
    }

    pub fn load(&self, bytes: Vec<u8>) -> Promise {
        self.0.call(async move |net| net.load(&bytes).await.map(|()| JsValue::UNDEFINED))
    }
}

/// See [`digits::Digits`].
#[wasm_bindgen]
pub struct Digits(Net<digits::Digits>);

#[wasm_bindgen]
impl Digits {
    #[wasm_bindgen(constructor)]
    pub fn new(
        lab: &Lab,
        file: &[u8],
        tests: usize,
        hidden: &[usize],
        seed: u32,
    ) -> Result<Self, JsValue> {
        Net::new(digits::Digits::new(&lab.device, file, tests, hidden, seed.into())).map(Self)
    }

    /// Mean loss and accuracy of some steps.
    pub fn train(&self, steps: usize, shuffle: bool) -> Promise {
        self.0.call(async move |net| net.train(steps, shuffle).await.map(scores))
    }

    /// Loss and accuracy on the digits for tests.
    pub fn test(&self) -> Promise {
        self.0.call(async |net| net.test().await.map(scores))
    }

    pub fn recognise(&self, image: Vec<u8>) -> Promise {
        self.0.call(async move |net| Ok(net.recognise(&image).await?.into()))
    }

    pub fn save(&self) -> Promise {
        self.0.call(async |net| Ok(net.save().await?.into()))
    }

    pub fn load(&self, bytes: Vec<u8>) -> Promise {
        self.0.call(async move |net| net.load(&bytes).await.map(|()| JsValue::UNDEFINED))
    }
}

fn scores(score: digits::Score) -> JsValue {
    vec![score.loss, score.accuracy].into()
}
