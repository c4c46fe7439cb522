//! The six binary files of CIFAR-10.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::TensorDataset;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

const SIDE: usize = 32;
const CHANNELS: usize = 3;
const PIXELS: usize = SIDE * SIDE;
/// A label, and a plane of pixels per channel.
const RECORD: usize = 1 + CHANNELS * PIXELS;
/// The folder that the published archive has.
const FOLDER: &str = "cifar-10-batches-bin";

/// The records that each of the six published files has.
const RECORDS: usize = 10_000;
/// What to do about a file that is not as it was published.
const REMEDY: &str = "remove the file, and `cargo xtask data cifar10` gets it anew";

/// What the labels of CIFAR-10 mean.
pub const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The 50,000 training and 10,000 test images of CIFAR-10 (Krizhevsky, "Learning multiple layers of features from tiny
/// images", 2009): images `[n, 32, 32, 3]` u8 with scale 1/255, channels red, green, blue; labels `[n]` u32, which
/// [`CIFAR10_CLASSES`] names.
///
/// `dir` holds `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, or a folder `cifar-10-batches-bin` that does,
/// as the published archive is unpacked. `cargo xtask data cifar10` downloads it. A file with another number of images
/// than 10,000 is taken, with a warning in the log.
///
/// # Errors
/// [`Error::Io`] for a file that is missing or cannot be read; [`Error::File`] for one that is not whole records of 3,073
/// bytes, is empty, or holds a label above 9.
pub fn load_cifar10(dir: impl AsRef<Path>) -> Result<(TensorDataset, TensorDataset)> {
    let dir = dir.as_ref();
    let train: Vec<String> = (1..=5).map(|i| format!("data_batch_{i}.bin")).collect();
    Ok((part(dir, &train)?, part(dir, &["test_batch.bin".into()])?))
}

fn part(dir: &Path, names: &[String]) -> Result<TensorDataset> {
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for name in names {
        let path = find(dir, name)?;
        let bytes = std::fs::read(&path)
            .map_err(|cause| Error::Io { path: path.display().to_string(), cause })?;
        append(&path, &bytes, &mut pixels, &mut labels)?;
    }
    let n = labels.len();
    let images = Tensor::u8([n, SIDE, SIDE, CHANNELS], pixels)?;
    TensorDataset::new(images, Tensor::u32([n], labels)?)?.scaled(1.0 / 255.0)
}

/// Appends the records of a file, the channels of each pixel beside each other.
fn append(path: &Path, bytes: &[u8], pixels: &mut Vec<u8>, labels: &mut Vec<u32>) -> Result<()> {
    let bad = |field: &str, detail: String| Error::File {
        path: path.display().to_string(),
        field: field.into(),
        detail,
    };
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
        let detail = format!(
            "found {} bytes, expected whole records of {RECORD}: a label and 3 planes of 32 by 32 pixels (the binary \
             version of CIFAR-10; CIFAR-100 and the Python version differ); {REMEDY}",
            bytes.len()
        );
        return Err(bad("length", detail));
    }
    let records = bytes.len() / RECORD;
    if records != RECORDS {
        let shown = path.display();
        log::warn!("{shown}: {records} images, and CIFAR-10 has {RECORDS} in each file; {REMEDY}");
    }
    pixels.reserve(bytes.len());
    for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
        let (label, planes) = (record[0], &record[1..]);
        if label > 9 {
            let detail = format!("label {i} is {label}, expected a class 0 to 9; {REMEDY}");
            return Err(bad("labels", detail));
        }
        labels.push(label.into());
        pixels.extend(
            (0..PIXELS).flat_map(|p| [planes[p], planes[PIXELS + p], planes[2 * PIXELS + p]]),
        );
    }
    Ok(())
}

/// The file of this name in the folder, or in the archive's folder in it.
fn find(dir: &Path, name: &str) -> Result<PathBuf> {
    let places = [dir.join(name), dir.join(FOLDER).join(name)];
    places.into_iter().find(|path| path.is_file()).ok_or_else(|| Error::Io {
        path: dir.display().to_string(),
        cause: std::io::Error::new(
            ErrorKind::NotFound,
            format!("no CIFAR-10 file {name}, here or in {FOLDER}; `cargo xtask data cifar10` downloads it"),
        ),
    })
}
