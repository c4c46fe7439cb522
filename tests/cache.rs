//! What is kept from run to run: compiled pipelines and the measured table of kernels.

use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use wgrad::gpu::{Device, DeviceOptions, Executor, Store, block_on};
use wgrad::graph::Graph;
use wgrad::kernels::{MatmulFamily, MatmulRule, MatmulTile, matmul_rule};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

/// A folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("wgrad-test-{name}-{}", std::process::id())))
    }

    fn files(&self, kind: &str) -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(&self.0)?.collect::<std::io::Result<Vec<_>>>()?;
        let paths = entries.into_iter().map(|e| e.path());
        Ok(paths.filter(|p| p.extension().is_some_and(|e| e == kind)).collect())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn open(folder: &Path) -> wgrad::Result<Device> {
    let cache = Some(folder.to_owned());
    block_on(Device::open(&DeviceOptions { cache, ..DeviceOptions::from_env()? }))
}

/// Runs a kernel: four squares.
fn squares(device: &Device) -> wgrad::Result<Vec<f32>> {
    let mut g = Graph::new();
    let x = g.input("x", [4], DType::F32);
    let y = g.unary("square", x, &[])?;
    g.output("y", y);
    let mut store = Store::new(device);
    store.upload("x", &Tensor::f32([4], vec![1.0, 2.0, 3.0, 4.0])?)?;
    let plan = Plan::compile(&g, &Passes::default(), device.caps())?;
    let mut executor = Executor::new(device, plan.into(), &store)?;
    executor.run(&[Default::default()])?;
    Ok(block_on(executor.read("y"))?.as_f32()?.to_vec())
}

#[test]
fn pipelines_are_kept_and_a_damaged_file_is_replaced() -> Result<()> {
    let folder = Folder::new("pipelines");
    ensure!(squares(&open(&folder.0)?)? == [1.0, 4.0, 9.0, 16.0]);
    let supported = open(&folder.0)?.wgpu().0.features().contains(wgpu::Features::PIPELINE_CACHE);
    if !supported {
        return Ok(());
    }
    let files = folder.files("pipelines")?;
    ensure!(files.len() == 1, "{files:?}");
    ensure!(squares(&open(&folder.0)?)? == [1.0, 4.0, 9.0, 16.0]);
    let whole = std::fs::read(&files[0])?;
    std::fs::write(&files[0], &whole[..whole.len() / 2])?;
    ensure!(squares(&open(&folder.0)?)? == [1.0, 4.0, 9.0, 16.0]);
    ensure!(std::fs::read(&files[0])?.len() >= whole.len(), "the file was not replaced");
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_written_costs_nothing() -> Result<()> {
    let folder = Folder::new("file");
    std::fs::create_dir_all(&folder.0)?;
    let file = folder.0.join("no-folder");
    std::fs::write(&file, "")?;
    ensure!(squares(&open(&file)?)? == [1.0, 4.0, 9.0, 16.0]);
    Ok(())
}

#[test]
fn the_measured_table_goes_before_the_built_in_one() -> Result<()> {
    let folder = Folder::new("matmul");
    let device = open(&folder.0)?;
    ensure!(device.caps().tuned.is_empty());
    let caps = device.caps();
    let tile = |family, side| MatmulTile { family, rows: side, columns: 32 };
    let tile = match caps.matmul {
        MatmulFamily::Tiled => tile(MatmulFamily::Tiled, 32),
        MatmulFamily::Broadcast => tile(MatmulFamily::Broadcast, 16),
    };
    let row = MatmulRule { m: 1, n: 1, work: 0, tile, fill: 3 };
    ensure!(matmul_rule(caps, [1000, 1000, 1000]).tile != tile);
    let path = device.save_tuned(&folder.0, &[row])?;
    let again = open(&folder.0)?;
    ensure!(again.caps().tuned == [row]);
    ensure!(matmul_rule(again.caps(), [1000, 1000, 1000]) == row);
    std::fs::write(path, "damaged")?;
    ensure!(open(&folder.0)?.caps().tuned.is_empty());
    Ok(())
}

#[test]
fn a_table_that_cannot_be_written_is_an_error() -> Result<()> {
    let folder = Folder::new("unwritable");
    std::fs::create_dir_all(&folder.0)?;
    let file = folder.0.join("no-folder");
    std::fs::write(&file, "")?;
    let result = open(&folder.0)?.save_tuned(&file, &[]);
    ensure!(matches!(result, Err(wgrad::Error::Io { .. })), "{result:?}");
    Ok(())
}
