//! CIFAR-10's binary files, made small.

use super::{folder, keep_log, said, says};
use std::path::Path;
use wgrad::Result;
use wgrad::data::{CIFAR10_CLASSES, load_cifar10};
use wgrad::tensor::Data;

/// A record whose pixel (y, x) of channel c is a number of its own, as far as bytes go.
fn record(label: u8) -> Vec<u8> {
    let plane = |c: usize| (0..1024).map(move |p| value(label, p, c));
    std::iter::once(label).chain((0..3).flat_map(plane)).collect()
}

fn value(label: u8, pixel: usize, channel: usize) -> u8 {
    (pixel * 7 + channel * 85 + usize::from(label)) as u8
}

/// Six files with a record for each of these labels.
fn write(dir: &Path, labels: &[u8]) {
    std::fs::create_dir_all(dir).unwrap();
    let names = (1..=5).map(|i| format!("data_batch_{i}.bin")).chain(["test_batch.bin".into()]);
    for name in names {
        let records: Vec<u8> = labels.iter().flat_map(|&label| record(label)).collect();
        std::fs::write(dir.join(name), records).unwrap();
    }
}

#[test]
fn records_become_images_with_their_channels_last() -> Result<()> {
    for inner in ["", "cifar-10-batches-bin"] {
        let dir = folder("cifar");
        write(&dir.join(inner), &[3, 9]);
        let (train, test) = load_cifar10(&dir)?;
        assert_eq!((train.len(), test.len()), (10, 2));
        assert_eq!(train.x().shape().dims(), [10, 32, 32, 3]);
        assert_eq!(train.scale(), 1.0 / 255.0);
        assert_eq!(train.y().data(), &Data::U32([3, 9].repeat(5)));
        let Data::U8(pixels) = test.x().data() else { panic!("bytes stay bytes") };
        for (i, &got) in pixels.iter().enumerate() {
            let label = if i < 3072 { 3 } else { 9 };
            assert_eq!(got, value(label, i % 3072 / 3, i % 3), "element {i}");
        }
    }
    assert_eq!(CIFAR10_CLASSES[3], "cat");
    Ok(())
}

#[test]
fn a_file_that_was_cut_is_taken_with_a_warning() -> Result<()> {
    keep_log();
    let dir = folder("cifar-cut");
    write(&dir, &[3]);
    // One file is whole: of it nothing is said.
    std::fs::write(dir.join("test_batch.bin"), record(1).repeat(10_000)).unwrap();
    let (train, test) = load_cifar10(&dir)?;
    assert_eq!((train.len(), test.len()), (5, 10_000));
    let warnings = said("cifar-cut");
    assert_eq!(warnings.len(), 5, "{warnings:?}");
    for word in ["data_batch_1.bin", "1 images", "10000 in each", "cargo xtask data cifar10"] {
        assert!(warnings[0].contains(word), "{}", warnings[0]);
    }
    Ok(())
}

#[test]
fn what_is_wrong_is_named() {
    let dir = folder("cifar-wrong");
    says(
        load_cifar10(&dir),
        &["data_batch_1.bin", "cifar-10-batches-bin", "cargo xtask data cifar10"],
    );
    write(&dir, &[0]);
    std::fs::remove_file(dir.join("test_batch.bin")).unwrap();
    says(load_cifar10(&dir), &["test_batch.bin"]);
    write(&dir, &[0, 1]);
    let third = dir.join("data_batch_3.bin");
    for (bytes, words) in [
        (vec![], ["length", "found 0 bytes"]),
        (record(1)[..3072].to_vec(), ["length", "found 3072 bytes"]),
        ([record(1), record(10)].concat(), ["labels", "label 1 is 10"]),
    ] {
        std::fs::write(&third, bytes).unwrap();
        let remedy = ["data_batch_3.bin", "remove the file", "cargo xtask data cifar10"];
        says(load_cifar10(&dir), &[&remedy, &words[..]].concat());
    }
}
