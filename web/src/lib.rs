//! The page of `cargo xtask web`: a network that learns drawn points, and one that learns digits.
//!
//! [`points`] and [`digits`] are programs of the library like any other, and run natively too: the test of the page
//! compares their losses. `bridge` gives them to JavaScript. `page/` has the page, whose Worker calls `bridge`.

#[cfg(target_arch = "wasm32")]
mod bridge;
pub mod digits;
pub mod points;

use wgrad::prelude::*;

/// The weights of a model as the bytes of a safetensors file.
async fn bytes_of(trainer: &Trainer) -> wgrad::Result<Vec<u8>> {
    trainer.weights_to_bytes_async(&WeightMap::keras()).await
}

/// Takes the weights of a safetensors file.
async fn take_bytes(trainer: &mut Trainer, bytes: &[u8]) -> wgrad::Result<()> {
    trainer.load_weights_from_bytes_async(bytes, &WeightMap::keras()).await.map(drop)
}
