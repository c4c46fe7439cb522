//! The four files of MNIST.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{TensorDataset, expect_rank, read_idx};
use crate::error::{Error, Result};
use crate::tensor::{Data, Tensor};

/// The 60,000 training and 10,000 test digits of MNIST (LeCun, Cortes and Burges), or any files of
/// their form: images `[n, 28, 28]` u8 with scale 1/255, labels `[n]` u32 below 10.
///
/// `dir` holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the two of `t10k`, each
/// plain or with `.gz` (plain is taken first), also spelled `train-images.idx3-ubyte`.
///
/// # Errors
/// [`Error::Io`] for a file that is missing or cannot be read, with the names that were tried;
/// [`Error::File`] for one that is corrupt, has other shapes, or holds a label above 9;
/// [`Error::Data`] for one without digits.
pub fn load_mnist(dir: impl AsRef<Path>) -> Result<(TensorDataset, TensorDataset)> {
    let dir = dir.as_ref();
    Ok((part(dir, "train")?, part(dir, "t10k")?))
}

fn part(dir: &Path, name: &str) -> Result<TensorDataset> {
    let image_path = find(dir, &format!("{name}-images"), "idx3-ubyte")?;
    let label_path = find(dir, &format!("{name}-labels"), "idx1-ubyte")?;
    let images = read_idx(&image_path)?;
    expect_rank(&image_path, &images, 3, "images")?;
    let count = images.shape().dims()[0];
    if images.shape().dims()[1..] != [28, 28] || !matches!(images.data(), Data::U8(_)) {
        let detail = format!(
            "found {} images of shape {}, expected u8 [n, 28, 28]",
            images.dtype(),
            images.shape()
        );
        return Err(bad(&image_path, "dimensions", detail));
    }
    let labels = labels(&label_path)?;
    if labels.len() != count {
        let detail = format!(
            "found {} labels for the {count} images of {}; the files do not belong together",
            labels.len(),
            image_path.display()
        );
        return Err(bad(&label_path, "dimensions", detail));
    }
    TensorDataset::new(images, Tensor::u32([count], labels)?)?.scaled(1.0 / 255.0)
}

fn labels(path: &Path) -> Result<Vec<u32>> {
    let tensor = read_idx(path)?;
    expect_rank(path, &tensor, 1, "labels")?;
    let Data::U8(labels) = tensor.data() else {
        let detail = format!("found {} elements, expected u8 labels", tensor.dtype());
        return Err(bad(path, "magic", detail));
    };
    if let Some(row) = labels.iter().position(|&label| label > 9) {
        let count = labels.iter().filter(|&&label| label > 9).count();
        let detail = format!(
            "label {row} is {}, expected a digit 0 to 9 ({count} of {} labels are above 9)",
            labels[row],
            labels.len()
        );
        return Err(bad(path, "payload", detail));
    }
    Ok(labels.iter().map(|&label| label.into()).collect())
}

/// The file with this stem under any of its names.
fn find(dir: &Path, stem: &str, kind: &str) -> Result<PathBuf> {
    let names = [
        format!("{stem}-{kind}"),
        format!("{stem}-{kind}.gz"),
        format!("{stem}.{kind}"),
        format!("{stem}.{kind}.gz"),
    ];
    names.iter().map(|name| dir.join(name)).find(|path| path.is_file()).ok_or_else(|| Error::Io {
        path: dir.display().to_string(),
        cause: std::io::Error::new(
            ErrorKind::NotFound,
            format!("no MNIST file with any of the names {}", names.join(", ")),
        ),
    })
}

fn bad(path: &Path, field: &str, detail: String) -> Error {
    Error::File { path: path.display().to_string(), field: field.into(), detail }
}
