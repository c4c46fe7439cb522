//! What is kept from run to run: compiled pipelines and the measured table of kernels.

use anyhow::{Result, ensure};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Once;
use wgrad::gpu::{Device, DeviceOptions, Executor, Store, block_on};
use wgrad::graph::Graph;
use wgrad::kernels::{MatmulFamily, MatmulRule, MatmulTile, matmul_rule};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

/// Keeps the warnings of each thread.
struct Kept;

thread_local! {
    static WARNINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl log::Log for Kept {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("wgrad") && metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            WARNINGS.with_borrow_mut(|warnings| warnings.push(record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// The library's warnings in `call`, on this thread.
fn warnings<T>(call: impl FnOnce() -> T) -> (T, Vec<String>) {
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| {
        log::set_logger(&Kept).expect("no other logger");
        log::set_max_level(log::LevelFilter::Warn);
    });
    WARNINGS.take();
    let result = call();
    (result, WARNINGS.take())
}

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

/// The best adapter by its name, so that its kind is no warning.
fn open(folder: &Path) -> wgrad::Result<Device> {
    let options = DeviceOptions::from_env()?;
    let name = || Device::adapters().first().map(|adapter| adapter.name.clone());
    let (cache, adapter) = (Some(folder.to_owned()), options.adapter.clone().or_else(name));
    block_on(Device::open(&DeviceOptions { cache, adapter, ..options }))
}

/// Runs a kernel: four squares.
fn squares(device: &Device) -> wgrad::Result<Vec<f32>> {
    run(device, "square")
}

/// A function of 1, 2, 3 and 4.
fn run(device: &Device, function: &str) -> wgrad::Result<Vec<f32>> {
    let mut g = Graph::new();
    let x = g.input("x", [4], DType::F32);
    let y = g.unary(function, x, &[])?;
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
    let (opened, none) = warnings(|| open(&folder.0));
    ensure!(squares(&opened?)? == [1.0, 4.0, 9.0, 16.0]);
    ensure!(none.is_empty(), "{none:?}");
    let whole = std::fs::read(&files[0])?;
    std::fs::write(&files[0], &whole[..whole.len() / 2])?;
    let (opened, said) = warnings(|| open(&folder.0));
    ensure!(squares(&opened?)? == [1.0, 4.0, 9.0, 16.0]);
    one_warning(&said, &[&files[0].display().to_string(), "damaged", "not used"])?;
    // The file was replaced by a whole one. How much a driver puts into it is its own affair.
    let (opened, none) = warnings(|| open(&folder.0));
    ensure!(opened.is_ok() && none.is_empty(), "{none:?}");
    Ok(())
}

/// There is one warning, and it has all of `words`.
fn one_warning(warnings: &[String], words: &[&str]) -> Result<()> {
    ensure!(warnings.len() == 1, "{warnings:?}");
    for word in words {
        ensure!(warnings[0].contains(word), "`{}` does not say `{word}`", warnings[0]);
    }
    Ok(())
}

#[test]
fn software_instead_of_a_gpu_is_a_warning() -> Result<()> {
    let options = DeviceOptions::default();
    let (device, said) = warnings(|| block_on(Device::open(&options)));
    let info = device?.info().clone();
    match info.kind.as_str() {
        "CPU" => one_warning(&said, &["no GPU was found", &info.name, "WGRAD_ADAPTER"])?,
        _ => ensure!(said.is_empty(), "{said:?}"),
    }
    // No warning if software is asked for by name.
    let options = DeviceOptions { adapter: Some(info.name), ..options };
    let (device, said) = warnings(|| block_on(Device::open(&options)));
    ensure!(device.is_ok() && said.is_empty(), "{said:?}");
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_written_costs_nothing_but_a_warning() -> Result<()> {
    let folder = Folder::new("file");
    std::fs::create_dir_all(&folder.0)?;
    let file = folder.0.join("no-folder");
    std::fs::write(&file, "")?;
    let device = open(&file)?;
    let (squared, said) = warnings(|| squares(&device));
    ensure!(squared? == [1.0, 4.0, 9.0, 16.0]);
    if device.wgpu().0.features().contains(wgpu::Features::PIPELINE_CACHE) {
        one_warning(&said, &[&file.display().to_string(), "not kept", "WGRAD_CACHE"])?;
    }
    // The warning comes once.
    let (cubed, said) = warnings(|| run(&device, "exp"));
    ensure!(cubed.is_ok() && said.is_empty(), "{said:?}");
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
        // The test is for the other families.
        MatmulFamily::Direct => return Ok(()),
    };
    let row = MatmulRule { m: 1, n: 1, work: 0, tile, fill: 3 };
    ensure!(matmul_rule(caps, [1000, 1000, 1000]).tile != tile);
    let path = device.save_tuned(&folder.0, &[row])?;
    let again = open(&folder.0)?;
    ensure!(again.caps().tuned == [row]);
    ensure!(matmul_rule(again.caps(), [1000, 1000, 1000]) == row);
    let whole = std::fs::read(&path)?;
    std::fs::write(&path, "damaged")?;
    let (opened, said) = warnings(|| open(&folder.0));
    ensure!(opened?.caps().tuned.is_empty());
    one_warning(&said, &[&path.display().to_string(), "damaged", "not used"])?;
    // A row that is no row, in a file that is whole.
    std::fs::write(&path, of_another_version(&whole))?;
    let (opened, said) = warnings(|| open(&folder.0));
    ensure!(opened?.caps().tuned.is_empty());
    one_warning(&said, &[&path.display().to_string(), "is no row", "`wgrad tune`"])?;
    std::fs::write(&path, whole)?;
    let (opened, said) = warnings(|| open(&folder.0));
    ensure!(opened?.caps().tuned == [row] && said.is_empty(), "{said:?}");
    Ok(())
}

/// A file of the same form with a row that this version does not know: eight bytes of magic, four of the checksum.
fn of_another_version(whole: &[u8]) -> Vec<u8> {
    let rows = b"1 1 0 3 hexagonal 9x9\n";
    let mut crc = flate2::Crc::new();
    crc.update(rows);
    [&whole[..8], &crc.sum().to_le_bytes(), rows].concat()
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
