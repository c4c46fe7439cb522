//! NumPy's `.npz` archives: zip files of `.npy` files.

use std::io::{Read, Seek};

use npyz::npz::{array_name_from_file_name, file_name_from_array_name};
use zip::ZipArchive;
use zip::result::ZipError;

use super::super::elements::Packed;
use super::source::parse;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// An open `.npz` archive, whose arrays are read when they are asked for.
///
/// # Examples
/// ```no_run
/// use wgrad::data::{Npz, TensorDataset};
///
/// let mut mnist = Npz::open("mnist.npz")?;
/// let train = TensorDataset::new(mnist.read("x_train")?, mnist.read("y_train")?)?;
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Npz<R> {
    name: String,
    archive: ZipArchive<R>,
    names: Vec<String>,
    /// The length of the archive.
    bytes: u64,
    max_unpacked: Option<u64>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Npz<std::io::BufReader<std::fs::File>> {
    /// Opens an archive, as `np.savez` or `np.savez_compressed` writes them.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened; [`Error::File`] for a file that is no zip archive and for two arrays
    /// of one name.
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        match std::fs::File::open(path) {
            Ok(file) => Self::from_reader(&name, std::io::BufReader::new(file)),
            Err(cause) => Err(Error::Io { path: name, cause }),
        }
    }
}

impl<R: Read + Seek> Npz<R> {
    /// Reads from any reader what `open` reads from a file; messages use `name`.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn from_reader(name: &str, mut reader: R) -> Result<Self> {
        let length = reader.seek(std::io::SeekFrom::End(0));
        let bytes = length.map_err(|cause| Error::Io { path: name.into(), cause })?;
        let archive = ZipArchive::new(reader).map_err(|error| refused(name, "archive", error))?;
        let mut names = Vec::new();
        for file in archive.file_names() {
            let file = file.map_err(|error| refused(name, "archive", error))?;
            names.extend(array_name_from_file_name(&file).map(str::to_owned));
        }
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let (path, field) = (name.into(), format!("array `{}`", pair[0]));
            let detail = "the archive holds two arrays of this name".into();
            return Err(Error::File { path, field, detail });
        }
        Ok(Self { name: name.into(), archive, names, bytes, max_unpacked: None })
    }

    /// The most bytes of a tensor that a compressed array may unpack to, which keeps a small file from filling the
    /// memory. Unless set, 100 times the array's compressed bytes, and 64 MiB at least.
    #[must_use]
    pub fn max_unpacked(mut self, bytes: u64) -> Self {
        self.max_unpacked = Some(bytes);
        self
    }

    /// The arrays' names, sorted. Other files in the archive are no arrays.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Reads an array, as [`parse_npy`](super::parse_npy) reads a file.
    ///
    /// # Errors
    /// Those of [`parse_npy`](super::parse_npy), which name file and array; [`Error::File`] if there is no array of
    /// this name, if it cannot be unpacked, and if it would unpack to more than [`Npz::max_unpacked`]; [`Error::Io`] if
    /// the reader fails.
    pub fn read(&mut self, array: &str) -> Result<Tensor> {
        let field = format!("array `{array}`");
        if !self.names.iter().any(|name| name == array) {
            let detail = format!("there is no such array; there are {}", self.names.join(", "));
            return Err(Error::File { path: self.name.clone(), field, detail });
        }
        match self.archive.by_name(&file_name_from_array_name(array)) {
            Ok(file) => {
                // The directory may say anything; the archive has no more bytes than its own length.
                let bytes = file.compressed_size().min(self.bytes);
                let packed = Packed { bytes, max: self.max_unpacked, remedy: "Npz::open(path)?" };
                let stored = file.compression() == zip::CompressionMethod::Stored;
                parse(&self.name, array, file, (!stored).then_some(packed))
            }
            Err(error) => Err(refused(&self.name, &field, error)),
        }
    }
}

/// Writes tensors as a `.npz` archive, not compressed, as `np.savez` does; see
/// `write_npy` for the element types.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written; [`Error::Parameter`] for a name that is given twice.
#[cfg(not(target_arch = "wasm32"))]
pub fn write_npz(path: impl AsRef<std::path::Path>, arrays: &[(&str, &Tensor)]) -> Result<()> {
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    for (i, (name, _)) in arrays.iter().enumerate() {
        if arrays[..i].iter().any(|(other, _)| other == name) {
            return Err(Error::parameter("arrays", name, "each array needs a different name"));
        }
    }
    crate::files::write_with(path.as_ref(), |file| {
        let mut archive = ZipWriter::new(std::io::BufWriter::new(file));
        for (name, tensor) in arrays {
            let options = SimpleFileOptions::default()
                .compression_method(zip::CompressionMethod::Stored)
                .large_file(tensor.data().bytes().len() >= 1 << 31);
            archive.start_file(file_name_from_array_name(name), options)?;
            super::encode(tensor, &mut archive)?;
        }
        archive.finish()?.flush()
    })
}

fn refused(path: &str, field: &str, error: ZipError) -> Error {
    match error {
        ZipError::Io(cause) if cause.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::Io { path: path.into(), cause }
        }
        error => {
            let detail = format!("this is no whole zip archive ({error})");
            Error::File { path: path.into(), field: field.into(), detail }
        }
    }
}
