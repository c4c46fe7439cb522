//! A disk that is full: the last good checkpoint stays.
#![cfg(unix)]

use super::*;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use wgrad::{Error, Result};

/// Marks the process that may write only so much; names its folder.
const CHILD: &str = "WGRAD_TEST_FILLS_THE_DISK";

/// A model whose checkpoint is larger than the child may write.
fn large() -> Trainer {
    let layers = Sequential::new([6]).add(Dense::new(8192)).add(Dense::new(3));
    layers.compile(device(), settings()).unwrap()
}

#[test]
fn the_last_good_checkpoint_stays() -> Result<()> {
    match std::env::var_os(CHILD) {
        Some(nothing) if nothing.is_empty() => {
            return large().fit(&points(64), Fit::new()).map(|_| ());
        }
        Some(folder) => return fills_the_disk(Path::new(&folder)),
        None => {}
    }
    let folder = Folder::new("disk");
    let path = folder.file("checkpoint.safetensors");
    let mut first = large();
    first.fit(&points(64), Fit::new())?;
    first.save_checkpoint(&path)?;
    let good = std::fs::read(&path).unwrap();
    assert!(good.len() > 900_000, "{} bytes", good.len());
    // 256 KiB in the blocks of 512 bytes that POSIX has, or twice that. The shell and the child ignore the signal that
    // a write beyond the limit raises, so that the write fails instead.
    let script = "trap '' XFSZ; ulimit -f 512; exec \"$0\" \"$@\"";
    let limited = |folder: &Path| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(std::env::current_exe().unwrap());
        shell.args(["--exact", "disk::the_last_good_checkpoint_stays", "--nocapture"]);
        shell.env(CHILD, folder).output().unwrap()
    };
    // Mesa from 26 on keeps device memory in files, and dies by a signal under the limit: with nothing saved at all.
    if device().caps().cpu && limited(Path::new("")).status.signal().is_some() {
        println!("{} cannot run under a limit of file sizes", device().info());
        return Ok(());
    }
    let output = limited(folder.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for refused in ["saving", "fit", "weights"] {
        assert!(text.contains(&format!("{refused} was refused")), "{text}");
    }
    assert_eq!(folder.names(), ["checkpoint.safetensors"], "no half file stays");
    assert!(std::fs::read(&path).unwrap() == good, "the checkpoint changed");
    let mut second = large();
    second.load_checkpoint(&path)?;
    assert_eq!((digest(&second), second.steps()), (digest(&first), first.steps()));
    Ok(())
}

/// Trains on from the checkpoint and cannot save.
fn fills_the_disk(folder: &Path) -> Result<()> {
    let path = folder.join("checkpoint.safetensors");
    let mut trainer = large();
    trainer.load_checkpoint(&path)?;
    let refused = |what: &str, result: Result<()>, name: &str| {
        let error = result.expect_err("the limit is below the file's size");
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        says(&error, &[name, "File too large"]);
        println!("{what} was refused: {error}");
    };
    // Inside `fit`, the failure ends training.
    let save = Lambda::new().on_epoch_end(|_, control| {
        control.save_checkpoint(&path);
        Ok(())
    });
    let history = trainer.fit(&points(64), Fit::new().epochs(5).callback(save));
    refused("fit", history.map(|_| ()), "checkpoint.safetensors");
    assert_eq!(trainer.steps(), 4, "one epoch of two steps after the two of the checkpoint");
    refused("saving", trainer.save_checkpoint(&path), "checkpoint.safetensors");
    refused("weights", trainer.save_weights(folder.join("weights")), "weights");
    // The trainer still works.
    trainer.fit(&points(64), Fit::new()).map(|_| ())
}
