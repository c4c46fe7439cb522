//! One run of a peer: a separate process, watched from outside.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use xtask::process::quiet_vulkan;

/// How often the program looks at a running peer: for its end, and for the most memory it held so far.
const LOOK: Duration = Duration::from_millis(10);

/// How a peer is started.
pub struct Start {
    /// The program.
    pub program: PathBuf,
    /// The arguments that come first.
    pub args: Vec<OsString>,
}

/// The caches that a run finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Caches {
    /// None: the folder is emptied, and what drivers keep is off.
    Empty,
    /// Those of the runs before.
    Filled,
}

/// The line that a peer prints.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Line {
    /// The library's version, if the peer knows it.
    pub version: Option<String>,
    /// What it computed on.
    pub device: String,
    /// The loss of the last compared step.
    pub loss: f64,
    /// Seconds from building the model to the first step's loss.
    pub first_step_seconds: f64,
    /// Seconds per step of each pass.
    pub step_seconds: Vec<f64>,
    /// Seconds per batch of prediction, of each pass.
    #[serde(default)]
    pub predict_seconds: Vec<f64>,
    /// Seconds of an epoch of MNIST.
    pub mnist_epoch_seconds: Option<f64>,
    /// The accuracy after it.
    pub mnist_accuracy: Option<f64>,
}

/// The line of a peer that cannot train the model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Lacks {
    /// The layer that its library does not have.
    pub lacks: String,
}

/// What a run that came to its end gave.
pub struct Done {
    /// The last line of its standard output.
    pub line: String,
    /// The most memory that the process held, if the system tells (Linux, `VmHWM`).
    pub peak_memory: Option<u64>,
}

/// The variables that put every cache a peer may use into `folder`.
pub fn caches(folder: &Path, state: Caches) -> HashMap<&'static str, OsString> {
    let inside = |name: &str| folder.join(name).into_os_string();
    let mut set = HashMap::from([
        ("XDG_CACHE_HOME", inside("user")),
        ("WGRAD_CACHE", inside("wgrad")),
        ("MESA_SHADER_CACHE_DIR", inside("mesa")),
        ("__GL_SHADER_DISK_CACHE_PATH", inside("gl")),
        ("CUDA_CACHE_PATH", inside("cuda")),
        ("TORCHINDUCTOR_CACHE_DIR", inside("inductor")),
        ("TRITON_CACHE_DIR", inside("triton")),
    ]);
    if state == Caches::Empty {
        set.insert("MESA_SHADER_CACHE_DISABLE", "true".into());
        set.insert("__GL_SHADER_DISK_CACHE", "0".into());
        set.insert("CUDA_CACHE_DISABLE", "1".into());
    }
    set
}

/// Runs a peer to its end. The error is the reason for its row: a crash, a status, a timeout, no line.
pub fn run(
    start: &Start,
    args: &[OsString],
    folder: &Path,
    state: Caches,
    timeout: Duration,
) -> Result<Done, String> {
    prepare(folder, state).map_err(|error| format!("{error:#}"))?;
    let mut command = Command::new(&start.program);
    command.args(&start.args).args(args).envs(caches(folder, state));
    // Away from any project: some libraries keep caches next to the manifest they find above the current folder.
    command.current_dir(std::env::temp_dir()).env("PYTHONDONTWRITEBYTECODE", "1");
    quiet_vulkan(&mut command);
    watch(command, timeout)
}

/// Makes the folder of caches as a run is to find it.
pub fn prepare(folder: &Path, state: Caches) -> Result<()> {
    if state == Caches::Empty && folder.exists() {
        std::fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    for part in ["user", "wgrad", "mesa", "gl"] {
        std::fs::create_dir_all(folder.join(part)).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

/// Starts a command and looks at it until it ends or its time is over.
fn watch(mut command: Command, timeout: Duration) -> Result<Done, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    let (output, errors) = (read(child.stdout.take()), read(child.stderr.take()));
    let (begun, mut peak) = (Instant::now(), None);
    let status = loop {
        peak = peak.max(peak_memory(&child));
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() > timeout => {
                // Either may fail only because the process has ended by itself meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("stopped after {} s", timeout.as_secs()));
            }
            Ok(None) => thread::sleep(LOOK),
            Err(error) => return Err(format!("cannot be waited for: {error}")),
        }
    };
    let (output, errors) = (text(output), text(errors));
    if !status.success() {
        let why = reason(&errors).map(|line| format!(": {line}")).unwrap_or_default();
        return Err(format!("crashed ({status}){why}"));
    }
    match last(&output) {
        Some(line) => Ok(Done { line: line.into(), peak_memory: peak }),
        None => Err("printed no result".into()),
    }
}

/// Reads a stream on a thread, so that a peer that prints much does not wait for a reader.
fn read(stream: Option<impl Read + Send + 'static>) -> Option<JoinHandle<Vec<u8>>> {
    let mut stream = stream?;
    Some(thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still worth showing.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    }))
}

/// What a stream held.
fn text(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last line with something on it.
fn last(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

/// The line that tells most about a crash, cut to what a table can hold: that of a panic or an error, else the last.
fn reason(errors: &str) -> Option<String> {
    let telling = |line: &&str| line.starts_with("Error") || line.contains("Error:");
    let panic = errors.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    let line = panic.or(errors.lines().rfind(telling)).or(last(errors))?;
    Some(line.trim().chars().take(160).collect())
}

/// The most memory that a process held so far, in bytes, if the system tells.
pub fn peak_memory(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_or_an_error_tells_more_than_the_last_line() {
        let panic = "thread 'main' panicked at src/main.rs:1:1:\nno adapter\nnote: run with\n";
        assert_eq!(reason(panic).as_deref(), Some("no adapter"));
        let python = "Traceback\n  File\nModuleNotFoundError: No module named 'x'\nbye\n";
        assert_eq!(reason(python).as_deref(), Some("ModuleNotFoundError: No module named 'x'"));
        assert_eq!(reason("a\nb\n\n").as_deref(), Some("b"));
        assert_eq!(reason(""), None);
    }

    #[test]
    fn the_benchmark_of_first_steps_turns_off_the_same_drivers_caches() {
        let bench = include_str!("../../../benches/benches/first_step.rs");
        let [off, on] = [Caches::Empty, Caches::Filled].map(|state| caches(Path::new("x"), state));
        // No benchmark uses CUDA.
        let drivers = |name: &&&str| !on.contains_key(**name) && !name.starts_with("CUDA");
        let drivers: Vec<_> = off.keys().filter(drivers).collect();
        assert_eq!(drivers.len(), 2, "{drivers:?}");
        for name in drivers {
            let pair = format!("({name:?}, {:?})", off[name]);
            assert!(bench.contains(&pair), "{pair}");
        }
    }

    #[cfg(unix)]
    mod processes {
        use super::*;

        /// Watches a line of shell.
        fn shell(line: &str) -> Result<Done, String> {
            let mut command = Command::new("sh");
            command.args(["-c", line]);
            watch(command, Duration::from_millis(500))
        }

        #[test]
        fn the_last_line_is_the_result() {
            assert_eq!(shell("echo a; echo b; echo").unwrap().line, "b");
            assert_eq!(shell("true").err().unwrap(), "printed no result");
        }

        #[test]
        fn crashes_and_timeouts_say_so() {
            let why = shell("echo lost >&2; exit 3").err().unwrap();
            assert!(why.contains("3") && why.ends_with(": lost"), "{why}");
            let why = shell("kill -SEGV $$").err().unwrap();
            assert!(why.contains("SIGSEGV"), "{why}");
            assert_eq!(shell("exec sleep 5").err().unwrap(), "stopped after 0 s");
        }
    }
}
