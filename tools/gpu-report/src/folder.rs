//! The folder: programs packed with gzip, so that all of it stays small enough to send; data; scripts.

use crate::{build, libc};
use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use peers::reference::Reference;
use peers::{build::Built, data, models::MODELS, record::Build};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;
use xtask::dataset::MNIST;
use xtask::process::{output, root, say};
use xtask::{dataset, mnist};

/// The most bytes that the folder may have.
const LARGEST: u64 = 64 << 20;

/// What starts everything on the target.
const RUN: &str = include_str!("run.sh");
/// What is said about the folder in it.
const README: &str = include_str!("FOLDER.md");

/// The Python scripts.
const SCRIPTS: [&str; 4] = ["protocol.py", "torch_peer.py", "jax_peer.py", "torch_product.py"];

/// What this machine knows and the target cannot find out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    /// What training in f64 leads to, by model.
    pub references: BTreeMap<String, Reference>,
    /// wgrad's version.
    pub version: String,
    /// What wgrad's peer is made of. The time of its build is left out, because it is this machine's.
    pub build: Build,
}

impl Carried {
    /// Its place in a folder.
    const PLACE: &str = "data/carried.json";

    /// Puts it into a folder. The files of weights and batches, which have the same bytes on every machine, are made on
    /// the target.
    fn write(peer: Built, out: &Path) -> Result<()> {
        let mut references = BTreeMap::new();
        for model in MODELS.iter().filter(|m| m.recorded.is_none() && m.is_dense()) {
            let reference = data::file(model, &peers::folder())?.reference;
            references.extend(reference.map(|reference| (model.name.into(), reference)));
        }
        let build = Build { clean_seconds: None, clean_load: None, ..peer.build };
        let carried = Carried { references, version: peer.version, build };
        Ok(fs::write(out.join(Carried::PLACE), serde_json::to_vec_pretty(&carried)?)?)
    }

    /// Reads it from a folder.
    pub fn read(folder: &Path) -> Result<Carried> {
        let path = folder.join(Carried::PLACE);
        let read = || anyhow::Ok(serde_json::from_slice(&fs::read(&path)?)?);
        read().with_context(|| path.display().to_string())
    }
}

/// Makes the folder.
pub fn make(out: &Path) -> Result<()> {
    let (programs, peer) = build::programs()?;
    // Only what an earlier run of this command left is removed.
    if out.exists() {
        ensure!(
            out.join("run.sh").is_file() || fs::read_dir(out)?.next().is_none(),
            "{} holds something else; name another folder with --out",
            out.display()
        );
        fs::remove_dir_all(out).with_context(|| out.display().to_string())?;
    }
    for part in ["bin", "data", "peers", "lib"] {
        fs::create_dir_all(out.join(part)).with_context(|| out.display().to_string())?;
    }
    strip(&std::env::current_exe()?, &out.join("bin/report"))?;
    let mut needed = needs(&out.join("bin/report"))?;
    for program in &programs {
        let plain = out.join("bin").join(&program.name);
        strip(&program.path, &plain)?;
        needed = needed.max(needs(&plain)?);
        pack(&plain, &plain.with_extension("gz"))?;
        fs::remove_file(&plain)?;
    }
    for script in SCRIPTS {
        fs::copy(root().join("benches/peers").join(script), out.join("peers").join(script))?;
    }
    Carried::write(peer, out)?;
    if let Err(error) = images(&out.join("data")) {
        say(format_args!("without MNIST, so no epoch of it will be measured: {error:#}"));
    }
    match loader() {
        Some(path) => drop(fs::copy(path, out.join("lib/libvulkan.so.1"))?),
        None => say("no Vulkan loader to take along: the target needs one of its own"),
    }
    let system = system(needed);
    fs::write(out.join("README.md"), README.replace("{system}", &system))?;
    fs::write(out.join("run.sh"), RUN.replace("{system}", &system))?;
    executable(&out.join("run.sh"))?;
    let bytes = size(out)?;
    ensure!(
        bytes <= LARGEST,
        "{} has {} MiB, more than {}",
        out.display(),
        bytes >> 20,
        LARGEST >> 20
    );
    say(format_args!(
        "{} has {:.1} MiB; on the target: sh run.sh",
        out.display(),
        bytes as f64 / (1 << 20) as f64
    ));
    Ok(())
}

/// Copies a program without its symbols, or as it is if there is no `strip`.
fn strip(from: &Path, to: &Path) -> Result<()> {
    if output(Command::new("strip").arg("-o").arg(to).arg(from)).is_err() {
        fs::copy(from, to).with_context(|| from.display().to_string())?;
    }
    executable(to)
}

/// Writes the gzip form of a file.
fn pack(from: &Path, to: &Path) -> Result<()> {
    let mut packer = GzEncoder::new(File::create(to)?, Compression::best());
    io::copy(&mut File::open(from)?, &mut packer)?;
    packer.finish()?;
    Ok(())
}

/// Unpacks all programs of a folder into another.
pub fn unpack(bin: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(bin).with_context(|| bin.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "gz") {
            let plain = to.join(path.file_stem().unwrap_or_default());
            let mut packed = MultiGzDecoder::new(File::open(&path)?);
            let done = File::create(&plain).and_then(|mut file| io::copy(&mut packed, &mut file));
            done.with_context(|| format!("unpacking {}", path.display()))?;
            executable(&plain)?;
        }
    }
    Ok(())
}

/// Lets a file be run.
fn executable(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    ensure!(path.is_file(), "{} is missing", path.display());
    Ok(())
}

/// Puts MNIST into the folder as gzip, through a folder of plain files because either form may be there.
fn images(data: &Path) -> Result<()> {
    let plain = peers::folder().join("mnist");
    if !dataset::missing(&plain, &MNIST).is_ok_and(|missing| missing.is_empty()) {
        dataset::unpack(&mnist::data_folder(None, std::env::var_os("WGRAD_DATA"))?, &plain)?;
    }
    for file in &MNIST {
        pack(&plain.join(file.name), &data.join(format!("{}.gz", file.name)))?;
    }
    Ok(())
}

/// This machine's Vulkan loader: containers with a GPU's driver often have none.
fn loader() -> Option<String> {
    let listed = ["ldconfig", "/sbin/ldconfig"]
        .iter()
        .find_map(|p| output(Command::new(p).arg("-p")).ok())?;
    let line = listed.lines().find(|l| {
        l.trim_start().starts_with("libvulkan.so.1")
            && l.contains("x86-64") == cfg!(target_arch = "x86_64")
    })?;
    Some(line.split_once("=> ")?.1.trim().into())
}

/// The version of glibc that a program needs.
fn needs(program: &Path) -> Result<Option<Vec<u32>>> {
    Ok(libc::glibc(&fs::read(program).with_context(|| program.display().to_string())?))
}

/// What programs run on that need this version of glibc.
fn system(needed: Option<Vec<u32>>) -> String {
    let newer = needed.map(|version| format!(" with glibc {} or newer", libc::written(&version)));
    format!("{} {}{}", std::env::consts::OS, std::env::consts::ARCH, newer.unwrap_or_default())
}

/// The bytes of all files below a folder.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { size(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::sources::Scratch;

    #[test]
    fn what_is_packed_is_unpacked_and_other_files_stay_behind() {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("tool"), b"abc").unwrap();
        pack(&at("tool"), &at("tool.gz")).unwrap();
        unpack(dir.path(), &at("to")).unwrap();
        assert_eq!(fs::read(at("to/tool")).unwrap(), b"abc");
        assert_eq!(fs::read_dir(at("to")).unwrap().count(), 1);
        assert_eq!(size(&at("to")).unwrap(), 3);
    }

    /// Runs `run.sh` with this script as `bin/report`; gives what it printed and its status.
    #[cfg(unix)]
    fn started(report: &str) -> (String, Option<i32>) {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        fs::write(dir.path().join("run.sh"), RUN).unwrap();
        let program = dir.path().join("bin/report");
        fs::write(&program, format!("#!/bin/sh\n[ \"$1\" = --help ] && exit 0\n{report}\n"))
            .unwrap();
        executable(&program).unwrap();
        let done = Command::new("sh").arg(dir.path().join("run.sh")).output().unwrap();
        (String::from_utf8(done.stdout).unwrap(), done.status.code())
    }

    #[cfg(unix)]
    #[test]
    fn a_run_that_is_ended_prints_the_table_so_far() {
        let keep = "mkdir \"$2/report\" && echo kept > \"$2/report/report.md\"";
        assert_eq!(started(&format!("{keep}; kill -KILL $$")), ("kept\n".into(), Some(1)));
        // A run that ends by itself has printed its table.
        for status in [0, 1, 3] {
            let (text, code) = started(&format!("{keep}; echo printed; exit {status}"));
            assert_eq!((text.as_str(), code), ("printed\n", Some(status)));
        }
    }

    #[test]
    fn the_scripts_are_there() {
        for script in SCRIPTS {
            assert!(root().join("benches/peers").join(script).is_file(), "{script}");
        }
    }
}
