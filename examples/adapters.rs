//! Lists the GPU adapters and opens the one that wgrad takes. Exit status 3: there is none.

use std::process::ExitCode;
use wgrad::gpu::Device;

fn main() -> ExitCode {
    for adapter in Device::adapters() {
        println!("found  {adapter}");
    }
    match Device::new() {
        Ok(device) => {
            println!("taken  {}", device.info());
            println!("       {:?}", device.caps());
            ExitCode::SUCCESS
        }
        Err(e @ wgrad::Error::NoAdapter(_)) => {
            eprintln!("{e}");
            ExitCode::from(3)
        }
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
