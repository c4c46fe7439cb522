//! A process that is killed while it checkpoints, again and again: only what was not saved is ever lost.
#![cfg(unix)]

use super::*;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use wgrad::Result;

/// Marks the process that is killed; names its checkpoint.
const CHILD: &str = "WGRAD_TEST_IS_KILLED";
const KILLS: u64 = 50;

/// Epochs of 100 batches, more than there is time for.
fn fit<'a>() -> Fit<'a> {
    Fit::new().epochs(1_000_000).batch_size(4).verbose(Verbose::Silent)
}

/// Continues from the checkpoint and writes one after every batch, until it is killed.
fn checkpoints(path: &Path) -> Result<()> {
    let mut trainer = trainer();
    if path.exists() {
        trainer.load_checkpoint(path)?;
    }
    let save = Lambda::new().on_batch_end(BatchInterval::Batches(1), |_, control| {
        // What the last batch asked for is written by now.
        println!("done {}", control.trainer().steps() - 1);
        control.save_checkpoint(path);
        Ok(())
    });
    trainer.fit(&points(400), fit().callback(save)).map(|_| ())
}

/// The step that a line of the child names.
fn step(line: &str) -> Option<u64> {
    // The test harness writes before the first line's end.
    line.rsplit("done ").next()?.trim().parse().ok()
}

#[test]
fn killed_fifty_times_and_nothing_lost() -> Result<()> {
    if let Some(path) = std::env::var_os(CHILD) {
        return checkpoints(Path::new(&path));
    }
    let folder = Folder::new("kill");
    let path = folder.file("checkpoint.safetensors");
    let mut loaded = trainer();
    let mut last = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::killed_fifty_times_and_nothing_lost", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut steps = lines.by_ref().filter_map(|line| step(&line.unwrap()));
        // Its second line comes when its first checkpoint is there.
        let first = steps.by_ref().take(2).last().expect("the child trains");
        std::thread::sleep(Duration::from_micros(scramble(kill) % 40_000));
        child.kill().unwrap();
        // SIGKILL ended it, not its own exit.
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let done = steps.last().unwrap_or(first);
        loaded.load_checkpoint(&path)?;
        let saved = loaded.steps();
        // The newest, or the one before if the child was killed before it could say so.
        assert!((done..=done + 1).contains(&saved), "kill {kill}: {saved} saved, {done} said");
        assert!(saved > last, "kill {kill}: no step since {last}");
        last = saved;
    }
    // Half files stay for an hour, each under a different name; nothing else does.
    let half = folder.names().iter().filter(|name| name.starts_with(".wgrad-")).count();
    assert_eq!(folder.names().len(), half + 1, "{:?}", folder.names());
    println!("{last} steps; {half} of {KILLS} kills left half a file");
    // Training continues, and has lost nothing: it equals one that was never killed.
    let stop = |at: u64| {
        Lambda::new().on_batch_end(BatchInterval::Batches(1), move |_, control| {
            if control.trainer().steps() == at {
                control.stop_training();
            }
            Ok(())
        })
    };
    let resumed = loaded.fit(&points(400), fit().callback(stop(last + 7)))?;
    let mut whole = trainer();
    let history = whole.fit(&points(400), fit().callback(stop(last + 7)))?;
    assert_eq!(digest(&loaded), digest(&whole));
    assert_eq!(bits(&resumed), bits(&history));
    Ok(())
}
