//! The losses of the page's two networks on this machine, as JSON: what `cargo xtask web --test` compares a browser's with.
//!
//! `cargo run -p wgrad-web --example reference -- DIGITS XOR-STEPS MNIST-STEPS`

use std::process::ExitCode;
use wgrad::gpu::block_on;
use wgrad::prelude::*;
use wgrad_web::{digits, points};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, xor, mnist] = args.as_slice() else {
        return Err("usage: reference DIGITS XOR-STEPS MNIST-STEPS".into());
    };
    let (file, device) = (std::fs::read(file)?, Device::new()?);
    let xor = block_on(points::xor(&device, xor.parse()?))?;
    let mnist = block_on(digits::losses(&device, &file, mnist.parse()?))?;
    println!("{{\"xor\": {xor:?}, \"mnist\": {mnist:?}}}");
    Ok(())
}
