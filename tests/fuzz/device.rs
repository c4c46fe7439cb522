//! What is kept from run to run: the pipelines that a driver compiled, and the table of kernels that was measured.

use super::mutate::{Random, mutated};
use super::{Folder, Verdict, fuzz, inputs};
use std::path::{Path, PathBuf};
use wgrad::gpu::{Device, DeviceOptions, Executor, Store, block_on};
use wgrad::graph::Graph;
use wgrad::kernels::{DeviceCaps, MatmulRule, MatmulTile, matmul_rule};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::{DType, Tensor};

fn open(folder: &Path) -> wgrad::Result<Device> {
    let cache = Some(folder.to_owned());
    block_on(Device::open(&DeviceOptions { cache, ..DeviceOptions::from_env()? }))
}

/// Runs a kernel, after which its pipeline is kept.
fn doubled(device: &Device) -> wgrad::Result<Tensor> {
    let mut g = Graph::new();
    let x = g.input("x", [2], DType::F32);
    let y = g.add(x, x)?;
    g.output("y", y);
    let mut store = Store::new(device);
    store.upload("x", &Tensor::f32([2], vec![1.0, 2.0])?)?;
    let plan = Plan::compile(&g, &Passes::default(), device.caps())?;
    let mut executor = Executor::new(device, plan.into(), &store)?;
    executor.run(&[Default::default()])?;
    block_on(executor.read("y"))
}

/// The file of a kind, if the device keeps one.
fn file(folder: &Path, kind: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.extension().is_some_and(|e| e == kind))
}

/// The bytes before the content: a mark and a checksum.
const HEAD: usize = 12;

/// The file with another content, and a right checksum.
fn sealed(whole: &[u8], content: &[u8]) -> Vec<u8> {
    [&whole[..8], &crc32fast::hash(content).to_le_bytes(), content].concat()
}

#[test]
fn a_pipeline_cache_of_another_device_is_not_used() {
    let folder = Folder::new("pipelines");
    let doubles = |device: &Device| {
        assert_eq!(doubled(device).unwrap(), Tensor::f32([2], vec![2.0, 4.0]).unwrap());
        // Nothing is left for the next reader.
        device.check("afterwards").unwrap();
    };
    doubles(&open(folder.path()).unwrap());
    let device = open(folder.path()).unwrap();
    if !device.wgpu().0.features().contains(wgpu::Features::PIPELINE_CACHE) {
        return;
    }
    let Some(path) = file(folder.path(), "pipelines") else {
        // Mesa 26.2's lavapipe gives less than a header. Mesa 22.3.6, on which every test run passes, gives a whole one.
        assert!(!device.info().driver.contains("22.3.6"), "no file of pipelines");
        return;
    };
    let whole = std::fs::read(&path).unwrap();
    let content = &whole[HEAD..];
    assert_eq!(sealed(&whole, content), whole);
    // wgpu's header has 64 bytes, the driver's 32: version, adapter, driver, vendor, device and UUID are in them. The
    // driver's own data behind them is not changed under a right checksum: it may do anything then.
    const HEADERS: usize = 96;
    let header = [content[..HEADERS].to_vec()];
    let make = |random: &mut Random| match random.below(8) {
        // The loop sees both results on every driver, whatever the length of its data.
        7 => whole.clone(),
        0 | 1 => mutated(random, std::slice::from_ref(&whole)),
        2 | 3 => sealed(&whole, &mutated(random, &header)),
        _ => {
            let mut other = content.to_vec();
            other[random.below(HEADERS)] ^= 1 << random.below(8);
            sealed(&whole, &other)
        }
    };
    fuzz("pipeline cache", inputs(20), make, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let device = open(folder.path()).unwrap();
        device.check("afterwards").unwrap();
        // A cache that is not used is made anew: it is whole again after a kernel ran. One input in ten shows it.
        let same = bytes == whole;
        if !same && bytes.len().is_multiple_of(10) {
            doubles(&device);
            assert_eq!(
                std::fs::read(&path).unwrap()[HEAD..HEAD + HEADERS - 24],
                content[..HEADERS - 24]
            );
        }
        if same { Verdict::Taken } else { Verdict::Refused }
    });
}

#[test]
fn a_table_of_kernels_is_taken_or_refused() {
    let rows: Vec<Vec<u8>> = MatmulTile::ALL
        .map(|tile| {
            MatmulRule { m: 64, n: 65_536, work: 1 << 20, tile, fill: 96 }.to_string().into()
        })
        .to_vec();
    let make = |random: &mut Random| mutated(random, &rows);
    fuzz("table of kernels", inputs(1), make, |bytes| {
        let Ok(rule) = String::from_utf8_lossy(bytes).parse::<MatmulRule>() else {
            return Verdict::Refused;
        };
        let tuned = vec![rule];
        let caps = DeviceCaps { tuned, matmul: rule.tile.family, ..DeviceCaps::webgpu_defaults() };
        for size in [[1; 3], [64, 65_536, 4096], [4096, 4096, 4096]] {
            assert!(MatmulTile::ALL.contains(&matmul_rule(&caps, size).tile));
        }
        Verdict::Taken
    });
}
