//! Files that are whole or not there. Every file that the library writes in one go is written here.
//!
//! The content goes to a new file beside the old one, to the disk, and then to its name, so that a process that is
//! killed leaves the old file or the new one. What is replaced keeps its permissions, and a symbolic link stays: its
//! target is replaced. A pipe or a character device (`/dev/stdout`, `/dev/null`) is written to, since it cannot be
//! replaced; anything else that is no file is refused.

use crate::error::{Error, Result};
use std::fs::{self, File, Metadata, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the system said of `path`.
pub(crate) fn io(path: &Path, cause: io::Error) -> Error {
    Error::Io { path: path.display().to_string(), cause }
}

/// Writes `path` anew or leaves it as it is.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// Writes `path` anew with what `content` writes, or leaves it as it is.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub(crate) fn write_with(
    path: &Path,
    content: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<()> {
    let put = || match target(path)? {
        Target::Pipe | Target::Device => content(&mut opened(path)?),
        Target::File { path, old } => {
            let mut new = NewFile::beside(&path, old.as_ref())?;
            content(&mut new.file)?;
            new.file.sync_all()?;
            new.rename(&path)?;
            sync_folder(folder_of(&path))
        }
    };
    put().map_err(|cause| io(path, cause))
}

/// Makes sure that [`write`] could write `path` now. What is there stays as it is.
///
/// # Errors
/// As [`write`].
pub(crate) fn prove_replaced(path: &Path) -> Result<()> {
    prove(path, true)
}

/// Makes sure that the file at `path` can be made, or opened to be written to. What is there stays as it is.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub(crate) fn prove_opened(path: &Path) -> Result<()> {
    prove(path, false)
}

/// Makes sure that a file with a name as long as that of `path` can be made in its folder.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub(crate) fn prove_new(path: &Path) -> Result<()> {
    let proved = match fs::symlink_metadata(path) {
        // The name is too long, for example.
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(cause),
        _ => NewFile::beside(path, None).map(drop),
    };
    proved.map_err(|cause| io(path, cause))
}

fn prove(path: &Path, replaced: bool) -> Result<()> {
    let proved = target(path).and_then(|target| match target {
        // The reader of a pipe would take the end of this proof for the end of the file.
        Target::Pipe => Ok(()),
        Target::Device => opened(path).map(drop),
        Target::File { old: Some(_), .. } if !replaced => Ok(()),
        Target::File { path, old } => NewFile::beside(&path, old.as_ref()).map(drop),
    });
    proved.map_err(|cause| io(path, cause))
}

/// What a path means to a writer.
enum Target {
    /// A file to be replaced, or to be made if there is none, with all symbolic links followed.
    File { path: PathBuf, old: Option<Metadata> },
    /// A pipe takes bytes, and is not opened yet: that waits for a reader.
    Pipe,
    /// A device that takes bytes.
    Device,
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

fn target(path: &Path) -> io::Result<Target> {
    let kind = match fs::metadata(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            return Ok(Target::File { path: end_of_links(path)?, old: None });
        }
        metadata => metadata?.file_type(),
    };
    if !kind.is_file() {
        let detail = if kind.is_dir() {
            "this is a folder; give the name of a file in it"
        } else {
            "this is no file, and it cannot be written like one"
        };
        return stream(kind).ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, detail));
    }
    // A file that may not be written is not replaced either, although the folder would allow it.
    let file = opened(path)?;
    let link = fs::symlink_metadata(path)?.is_symlink();
    let end = if link { fs::canonicalize(path)? } else { path.to_owned() };
    Ok(Target::File { path: end, old: Some(file.metadata()?) })
}

#[cfg(unix)]
fn stream(kind: fs::FileType) -> Option<Target> {
    use std::os::unix::fs::FileTypeExt;
    let device = kind.is_char_device().then_some(Target::Device);
    device.or_else(|| kind.is_fifo().then_some(Target::Pipe))
}

#[cfg(not(unix))]
fn stream(_kind: fs::FileType) -> Option<Target> {
    None
}

/// The path at the end of symbolic links, if no file is there yet.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut end = path.to_owned();
    // As many as Linux follows.
    for _ in 0..40 {
        match fs::read_link(&end) {
            Ok(next) => end = folder_of(&end).join(next),
            Err(_) => return Ok(end),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that was not there before, under a name that no other writer has. It is removed unless it gets its own name.
struct NewFile {
    path: PathBuf,
    file: File,
    named: bool,
}

/// What comes before and after the number in the name of a [`NewFile`].
const NAME: (&str, &str) = (".wgrad-", ".tmp");

impl NewFile {
    /// A file that will become `path`, with the permissions of what it replaces.
    fn beside(path: &Path, old: Option<&Metadata>) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "this is no file's name"));
        }
        let folder = folder_of(path);
        let made = Self::create(folder, old).and_then(|new| {
            if let Some(old) = old {
                keep_permissions(&new.file, old)?;
            }
            Ok(new)
        });
        let new = made.map_err(|cause| {
            io::Error::new(cause.kind(), format!("no file can be made beside it: {cause}"))
        })?;
        remove_abandoned(folder, &new.file);
        Ok(new)
    }

    fn create(folder: &Path, old: Option<&Metadata>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if old.is_some() {
            use std::os::unix::fs::OpenOptionsExt;
            // Nobody else reads it before it has the permissions of the old file.
            options.mode(0o600);
        }
        #[cfg(not(unix))]
        let _ = old;
        loop {
            let number = RandomState::new().hash_one(std::process::id());
            let path = folder.join(format!("{}{number:016x}{}", NAME.0, NAME.1));
            match options.open(&path) {
                Ok(file) => return Ok(Self { path, file, named: false }),
                Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(cause),
            }
        }
    }

    /// Gives the file its name.
    fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.named {
            // Half a file takes up room and is of no use; the error before it is what matters.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Gives a new file the mode of the old one, and its owner and group as far as this process may.
#[cfg(unix)]
fn keep_permissions(new: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let now = new.metadata()?;
    if now.uid() != old.uid() {
        let _ = fchown(new, Some(old.uid()), None);
    }
    let group = now.gid() == old.gid() || fchown(new, None, Some(old.gid())).is_ok();
    let mode = old.mode();
    // Another group does not get what the old group was allowed.
    let mode = if group { mode } else { mode & !0o070 | (mode & 0o007) << 3 };
    new.set_permissions(fs::Permissions::from_mode(mode & 0o7777))
}

#[cfg(not(unix))]
fn keep_permissions(_new: &File, _old: &Metadata) -> io::Result<()> {
    Ok(())
}

/// After this long without a new byte, a file without its name belongs to a process that is gone.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Removes what killed processes left in a folder. Ages are measured between files, since a file server has its own
/// clock. A failure leaves things as they are.
fn remove_abandoned(folder: &Path, new: &File) {
    let ours = |name: &str| {
        let number = name.strip_prefix(NAME.0).and_then(|rest| rest.strip_suffix(NAME.1));
        number.is_some_and(|n| n.len() == 16 && n.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let Ok(now) = new.metadata().and_then(|m| m.modified()) else { return };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(ours) {
            continue;
        }
        let modified = entry.metadata().and_then(|m| m.modified());
        if modified.is_ok_and(|then| now.duration_since(then).is_ok_and(|age| age > ABANDONED)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Makes the new name last.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all())
}

/// Only unix opens folders.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
