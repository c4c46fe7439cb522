//! The four MNIST files: their names, the sums they must have, and the check of a folder.

use anyhow::{Context, Result, ensure};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// One file of the data set.
#[derive(Debug, PartialEq)]
pub struct DataFile {
    /// Its name unpacked; the gzip form has `.gz` after it.
    pub name: &'static str,
    /// The SHA-256 of the unpacked content, in lower-case hexadecimal: one sum for both forms,
    /// because gzip may pack the same content in many ways.
    pub sha256: &'static str,
}

/// MNIST as LeCun, Cortes and Burges published it.
pub const MNIST: [DataFile; 4] = [
    DataFile {
        name: "train-images-idx3-ubyte",
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    DataFile {
        name: "train-labels-idx1-ubyte",
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    DataFile {
        name: "t10k-images-idx3-ubyte",
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    DataFile {
        name: "t10k-labels-idx1-ubyte",
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
];

impl DataFile {
    /// The forms of this file that a folder holds, plain first; none, one or both.
    pub fn forms(&self, dir: &Path) -> Vec<PathBuf> {
        let names = [self.name.to_string(), format!("{}.gz", self.name)];
        names.iter().map(|name| dir.join(name)).filter(|path| path.is_file()).collect()
    }

    /// Checks the sum of one form, unpacked while it is read if its name ends in `.gz`. No
    /// content other than the published one passes.
    pub fn verify(&self, path: &Path) -> Result<()> {
        let failed = || format!("{} cannot be read", path.display());
        let file = File::open(path).with_context(failed)?;
        let actual = if path.extension().is_some_and(|extension| extension == "gz") {
            sum(MultiGzDecoder::new(file))
        } else {
            sum(file)
        }
        .with_context(failed)?;
        ensure!(
            actual == self.sha256,
            "{} is not MNIST's {}: SHA-256 of the content is {actual}, expected {}",
            path.display(),
            self.name,
            self.sha256
        );
        Ok(())
    }
}

/// Checks every form of every file that a folder holds, because a reader may take either, and gives
/// the files of which it holds none.
pub fn missing<'a>(dir: &Path, files: &'a [DataFile]) -> Result<Vec<&'a DataFile>> {
    let mut missing = Vec::new();
    for file in files {
        let forms = file.forms(dir);
        if forms.is_empty() {
            missing.push(file);
        }
        for path in forms {
            file.verify(&path)?;
        }
    }
    Ok(missing)
}

/// Puts the four files of MNIST from one folder, in either form, into another as plain IDX, so that no reader there
/// needs to unpack.
pub fn unpack(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for file in &MNIST {
        let plain = to.join(file.name);
        if plain.is_file() && file.verify(&plain).is_ok() {
            continue;
        }
        let forms = file.forms(from);
        let source = forms.first().with_context(|| format!("{} is missing", file.name))?;
        let mut plain = File::create(&plain)?;
        if source.extension().is_some_and(|e| e == "gz") {
            io::copy(&mut MultiGzDecoder::new(File::open(source)?), &mut plain)?;
        } else {
            io::copy(&mut File::open(source)?, &mut plain)?;
        }
    }
    Ok(())
}

/// The SHA-256 of all that a reader gives, in lower-case hexadecimal.
pub(crate) fn sum(mut from: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::sources::Scratch;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    /// A file whose content is `abc`, with the sum that FIPS 180-4 gives for it.
    pub const ABC: DataFile = DataFile {
        name: "abc",
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };

    /// The gzip form of some bytes.
    pub fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    /// What the check of a folder with these files in it says.
    fn check(files: &[(&str, &[u8])]) -> Result<usize> {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        missing(dir.path(), &[ABC]).map(|missing| missing.len())
    }

    #[test]
    fn plain_and_gzip_are_both_accepted() {
        assert_eq!(check(&[("abc", b"abc")]).unwrap(), 0);
        assert_eq!(check(&[("abc.gz", &gzip(b"abc"))]).unwrap(), 0);
        assert_eq!(check(&[("abc", b"abc"), ("abc.gz", &gzip(b"abc"))]).unwrap(), 0);
    }

    #[test]
    fn an_absent_file_is_missing() {
        assert_eq!(check(&[("abd", b"abc")]).unwrap(), 1);
        assert_eq!(missing(Path::new("no/such/folder"), &MNIST).unwrap().len(), 4);
    }

    #[test]
    fn a_flipped_byte_is_refused_with_both_sums() {
        for (name, bytes) in [("abc", b"abb".to_vec()), ("abc.gz", gzip(b"abb"))] {
            let error = check(&[(name, &bytes)]).unwrap_err().to_string();
            let actual = sum(&b"abb"[..]).unwrap();
            assert!(error.contains(name), "{error}");
            assert!(error.contains(&actual) && error.contains(ABC.sha256), "{error}");
        }
        // The second form is checked too.
        assert!(check(&[("abc", b"abc"), ("abc.gz", &gzip(b"abb"))]).is_err());
    }

    #[test]
    fn a_truncated_or_mislabelled_gzip_is_refused() {
        let packed = gzip(b"abc");
        assert!(check(&[("abc.gz", &packed[..packed.len() - 4])]).is_err());
        assert!(check(&[("abc.gz", b"abc")]).is_err());
        assert!(check(&[("abc", &packed)]).is_err());
    }
}
