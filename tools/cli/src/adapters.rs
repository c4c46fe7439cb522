//! Lists the GPU adapters and opens the one that the library takes.

use anyhow::Result;
use wgrad::gpu::Device;

/// Prints what is found and what is taken; the error is that nothing opens.
pub fn run() -> Result<()> {
    for adapter in Device::adapters() {
        println!("found  {adapter}");
    }
    let device = Device::new()?;
    println!("taken  {}", device.info());
    println!("       {:?}", device.caps());
    Ok(())
}
