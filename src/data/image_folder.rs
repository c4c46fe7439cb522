//! Folders of images, one for each class.

mod decode;

use std::num::NonZero;
use std::path::{Path, PathBuf};

use super::source::check_rows;
use super::{Dataset, SampleSpec, TensorDataset, permutation};
use crate::error::{Error, Result};
use crate::tensor::{DType, Shape, Tensor};

/// The channels that images are read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ColorMode {
    /// One: brightness, 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601).
    Grayscale,
    /// Three: red, green, blue. Transparency is dropped.
    #[default]
    Rgb,
}

impl ColorMode {
    /// How many channels.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Grayscale => 1,
            Self::Rgb => 3,
        }
    }
}

/// PNG and JPEG images in folders, one folder for each class, as a [`Dataset`]: Keras'
/// `image_dataset_from_directory(labels="inferred", label_mode="int")`.
///
/// The folders in `dir`, sorted by name, are the classes 0, 1, 2, ...; their images, sorted by path, are the samples, also
/// those of folders in them. Names that begin with a dot are passed over. A sample is `[height, width, channels]` u8, and
/// its label u32. Files are read when a batch needs them, on as many threads as there are cores, and ahead of the device
/// if the folder is what is trained on. `Fit` shuffles them by its seed.
///
/// What a file holds decides how it is read, not what its name says. Rotation that EXIF data ask for is not applied.
///
/// # Examples
/// ```no_run
/// use std::sync::Arc;
/// use wgrad::data::ImageFolder;
///
/// let images = ImageFolder::open("flowers", [180, 180])?.scaled(1.0 / 255.0)?;
/// let (train, validation) = images.split(0.2, 42)?;
/// println!("{:?}", train.class_names());
/// # let _ = (Arc::new(train), validation.load()?);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ImageFolder {
    dir: String,
    classes: Vec<String>,
    /// Each file, and its class.
    files: Vec<(PathBuf, u32)>,
    size: [usize; 2],
    color: ColorMode,
    crop: bool,
    scale: f32,
    max_unpacked: Option<u64>,
}

impl ImageFolder {
    /// Lists the images in the folders of `dir`, to be resized to `[height, width]`: bilinear, and with a wider filter where
    /// that makes an image smaller, so that no pixel is left out.
    ///
    /// Files whose names do not end in `.png`, `.jpg` or `.jpeg` are passed over; a warning of the `log` counts them.
    ///
    /// # Errors
    /// [`Error::Io`] for a folder that cannot be read; [`Error::Data`] for one without folders or images, or with a single
    /// class; [`Error::Parameter`] for a size of zero.
    pub fn open(dir: impl AsRef<Path>, size: [usize; 2]) -> Result<Self> {
        let dir = dir.as_ref();
        let shown = dir.display().to_string();
        // A side fits the u32 of image files.
        if size.iter().any(|&side| side == 0 || u32::try_from(side).is_err()) {
            let detail = "height and width are at least 1, and below 2^32";
            return Err(Error::parameter("size", format!("{size:?}"), detail));
        }
        let mut skipped = 0;
        let mut folders = Vec::new();
        for (path, is_folder) in entries(dir)? {
            match is_folder {
                true => folders.push(path),
                false => skipped += 1,
            }
        }
        let name = |path: &PathBuf| {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let classes: Vec<String> = folders.iter().map(name).collect();
        let (mut files, mut filled) = (Vec::new(), Vec::new());
        for ((class, folder), name) in (0..).zip(&folders).zip(&classes) {
            let before = files.len();
            list(folder, class, &mut files, &mut skipped)?;
            match files.len() == before {
                true => log::warn!("{}: the class has no images", folder.display()),
                false => filled.push(name.as_str()),
            }
        }
        if skipped > 0 {
            let many = if skipped == 1 { "file is no image" } else { "files are no images" };
            log::warn!(
                "{shown}: {skipped} {many} in a class by name (.png, .jpg, .jpeg), and passed over"
            );
        }
        let refused = |detail: &str| Err(Error::data(&shown, detail));
        let names: Vec<&str> = classes.iter().map(String::as_str).collect();
        match (names.as_slice(), filled.as_slice()) {
            ([], _) => {
                return refused(
                    "holds no folders; put the images of each class into a folder in it",
                );
            }
            ([one], _) | (_, [one]) => {
                let detail = format!(
                    "holds images of one class, `{one}`, and a classifier tells two or more apart; name the folder above, \
                     or put the images of each class into a folder"
                );
                return refused(&detail);
            }
            _ => {}
        }
        if u32::try_from(files.len()).is_err() {
            return refused("holds 2^32 images or more; rows are counted in u32");
        }
        if files.is_empty() {
            return refused("holds no images: no file in its folders ends in .png, .jpg or .jpeg");
        }
        let (color, crop, scale) = (ColorMode::default(), false, 1.0);
        Ok(Self { dir: shown, classes, files, size, color, crop, scale, max_unpacked: None })
    }

    /// With these channels: three if it is not called.
    #[must_use]
    pub const fn color_mode(mut self, color: ColorMode) -> Self {
        self.color = color;
        self
    }

    /// Whether images whose proportions differ from the size lose their margins, rather than be distorted: they are
    /// distorted if it is not called.
    #[must_use]
    pub const fn crop_to_aspect_ratio(mut self, crop: bool) -> Self {
        self.crop = crop;
        self
    }

    /// The most bytes of memory that one file may take while it is read: its pixels in its own size, with their channels and
    /// with those asked for, and while they are resized. The file itself, and the rows and tables of a decoder and of the
    /// filter, come on top. Unless this is set, it is 100 times the file's size, or 64 MiB if that is more. Each thread reads one file at a
    /// time.
    #[must_use]
    pub const fn max_unpacked(mut self, bytes: u64) -> Self {
        self.max_unpacked = Some(bytes);
        self
    }

    /// The same samples, their features multiplied by `scale` when they are decoded on the device:
    /// `1.0 / 255.0` takes u8 pixels to `[0, 1]`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a scale that is NaN or infinite.
    pub fn scaled(mut self, scale: f32) -> Result<Self> {
        self.scale = scale;
        self.spec().check()?;
        Ok(self)
    }

    /// The names of the classes, in the order of their labels.
    #[must_use]
    pub fn class_names(&self) -> &[String] {
        &self.classes
    }

    /// The file of each sample.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    /// The label of each sample.
    #[must_use]
    pub fn labels(&self) -> Vec<u32> {
        self.files.iter().map(|(_, class)| *class).collect()
    }

    /// Two parts: for training, and `validation_split` of the samples for validation, drawn by `seed`. Both have the
    /// samples in the order of their files.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a part that is empty.
    pub fn split(self, validation_split: f64, seed: u64) -> Result<(Self, Self)> {
        let n = self.files.len();
        let held = (validation_split * n as f64).round();
        if !(held >= 1.0 && held < n as f64) {
            let detail = format!("leaves a part of the {n} images empty; take a number in (0, 1)");
            return Err(Error::parameter("validation_split", validation_split, detail));
        }
        let mut is_held = vec![false; n];
        for &row in &permutation(n, seed, 0)?[..held as usize] {
            is_held[row as usize] = true;
        }
        let part = |of: bool| {
            let own = self.files.iter().zip(&is_held).filter(|(_, held)| **held == of);
            Self { files: own.map(|(file, _)| file.clone()).collect(), ..self.clone() }
        };
        Ok((part(false), part(true)))
    }

    /// All images, decoded in memory: faster than files if they fit.
    ///
    /// # Errors
    /// As [`Dataset::read`]; [`Error::Data`] if the memory cannot be had.
    pub fn load(&self) -> Result<TensorDataset> {
        let n = self.files.len();
        let rows: Vec<u32> = (0..n as u32).collect();
        let (mut x, mut y) = (Vec::new(), Vec::new());
        let bytes = n.saturating_mul(self.spec().x_bytes());
        if x.try_reserve_exact(bytes).is_err() {
            let detail =
                format!("{bytes} bytes of memory cannot be had; train on the folder itself");
            return Err(Error::data(&self.dir, detail));
        }
        self.read(&rows, &mut x, &mut y)?;
        let shape = [&[n], self.spec().x_shape.dims()].concat();
        TensorDataset::new(Tensor::u8(shape, x)?, Tensor::u32([n], self.labels())?)?
            .scaled(self.scale)
    }
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn spec(&self) -> SampleSpec {
        SampleSpec {
            x_shape: [self.size[0], self.size[1], self.color.channels()].into(),
            x_dtype: DType::U8,
            y_shape: Shape::scalar(),
            y_dtype: DType::U32,
            scale: self.scale,
        }
    }

    /// # Errors
    /// [`Error::Io`] for a file that cannot be read; [`Error::File`] for one that is truncated, broken, neither PNG nor
    /// JPEG, or larger than [`ImageFolder::max_unpacked`].
    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()> {
        check_rows(rows, self.len())?;
        let width = self.spec().x_bytes();
        let start = x.len();
        x.resize(start + rows.len() * width, 0);
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(rows.len());
        let share = rows.len().div_ceil(threads.max(1)).max(1);
        let one = |rows: &[u32], x: &mut [u8]| -> Result<()> {
            rows.iter().zip(x.chunks_exact_mut(width)).try_for_each(|(&row, pixels)| {
                let path = &self.files[row as usize].0;
                decode::decode(path, self, pixels)
            })
        };
        let mut parts = rows.chunks(share).zip(x[start..].chunks_mut(share * width));
        let own = parts.next();
        // The first error by row, whichever thread was first.
        std::thread::scope(|scope| {
            let running: Vec<_> =
                parts.map(|(rows, x)| scope.spawn(move || one(rows, x))).collect();
            let first = own.map_or(Ok(()), |(rows, x)| one(rows, x));
            let rest =
                running.into_iter().map(|thread| thread.join()).try_for_each(|ended| match ended {
                    Ok(read) => read,
                    Err(panic) => std::panic::resume_unwind(panic),
                });
            first.and(rest)
        })?;
        y.extend(rows.iter().flat_map(|&row| self.files[row as usize].1.to_ne_bytes()));
        Ok(())
    }
}

/// What a folder holds, sorted by name: paths, and whether each is a folder. Names that begin with a dot, and links to
/// folders, are passed over.
fn entries(dir: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let io = |cause| Error::Io { path: dir.display().to_string(), cause };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        let kind = entry.file_type().map_err(io)?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !(hidden || kind.is_symlink() && path.is_dir()) {
            found.push((path, kind.is_dir()));
        }
    }
    found.sort();
    Ok(found)
}

/// Appends the images of a class, also those of folders in it.
fn list(
    folder: &Path,
    class: u32,
    files: &mut Vec<(PathBuf, u32)>,
    skipped: &mut usize,
) -> Result<()> {
    for (path, is_folder) in entries(folder)? {
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        if is_folder {
            list(&path, class, files, skipped)?;
        } else if matches!(ending.as_deref(), Some("png" | "jpg" | "jpeg")) {
            files.push((path, class));
        } else {
            *skipped += 1;
        }
    }
    Ok(())
}
