//! The losses of the page's two networks on this machine, as JSON: what `cargo xtask web --test` compares a browser's with.
//! The calls are those of `tools/web/driver/patch.js`.
//!
//! `cargo run -p wgrad-web --example reference -- DIGITS XOR-STEPS MNIST-STEPS`

use std::process::ExitCode;
use wgrad::gpu::block_on;
use wgrad::prelude::*;
use wgrad_web::{digits::Digits, points::Points};

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
    let [file, of_points, of_digits] = args.as_slice() else {
        return Err("usage: reference DIGITS XOR-STEPS MNIST-STEPS".into());
    };
    let (file, device) = (std::fs::read(file)?, Device::new()?);
    let corners = [-1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0];
    let mut points = Points::new(&device, 0)?;
    let xor = block_on(points.train(&corners, &[0, 1, 1, 0], of_points.parse()?))?;
    let (mut digits, mut mnist) = (Digits::new(&device, &file, 500, &[128], 0)?, Vec::new());
    for _ in 0..of_digits.parse::<usize>()? / 10 {
        mnist.push(block_on(digits.train(10, true))?.loss);
    }
    println!("{{\"xor\": {xor:?}, \"mnist\": {mnist:?}}}");
    Ok(())
}
