//! A part of the measurement: a process with a log and a limit of time.

use anyhow::{Context, Result};
use peers::run::{Caches, caches, peak_memory, prepare};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use xtask::process::{quiet_vulkan, say};

/// How often the program looks at a running part.
const LOOK: Duration = Duration::from_millis(20);

/// The runner of parts: in which folder they run, and until when.
pub struct Site {
    /// The folder of the report.
    pub root: PathBuf,
    /// What is added to the environment of parts: the way to Vulkan, caches.
    pub vars: HashMap<String, OsString>,
    /// When everything is over.
    deadline: Instant,
}

/// How a part ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// By itself.
    Status(ExitStatus),
    /// It was stopped after this many seconds.
    Stopped(u64),
    /// Nothing was started: the time is over.
    NoTime,
}

/// What a part left.
pub struct Ran {
    /// All that it printed.
    pub text: String,
    /// How it ended.
    pub end: End,
    /// How long it took.
    pub seconds: f64,
    /// The most memory that the process held, if the system tells.
    pub peak_memory: Option<u64>,
}

impl Ran {
    /// Why it has no result; none if it ended well.
    pub fn failure(&self) -> Option<String> {
        match self.end {
            End::Status(status) if status.success() => None,
            End::Status(status) => {
                let last = self.text.lines().map(str::trim).rfind(|line| !line.is_empty());
                let last: String = last.unwrap_or("it printed nothing").chars().take(120).collect();
                Some(format!("FAILED ({status}): {last}"))
            }
            End::Stopped(after) => Some(format!("stopped after {after} s")),
            End::NoTime => Some("not run: the time is over".into()),
        }
    }

    /// Whether it failed, which running out of time is not.
    pub fn failed(&self) -> bool {
        matches!(self.end, End::Status(status) if !status.success())
    }

    /// Whether it was not reached.
    pub fn missed(&self) -> bool {
        self.end == End::NoTime
    }
}

impl Site {
    /// Makes the folders of logs and caches; everything is to be over at `deadline`.
    pub fn new(root: &Path, deadline: Instant) -> Result<Site> {
        let report = root.join("report");
        if report.exists() {
            fs::remove_dir_all(&report).with_context(|| report.display().to_string())?;
        }
        fs::create_dir_all(&report).with_context(|| report.display().to_string())?;
        let folder = root.join("work/caches");
        prepare(&folder, Caches::Filled)?;
        let vars = caches(&folder, Caches::Filled)
            .into_iter()
            .map(|(name, value)| (name.to_string(), value));
        Ok(Site { root: root.into(), vars: vars.collect(), deadline })
    }

    /// The time that is left; none if it is too little to start anything.
    pub fn left(&self) -> Option<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        (left >= Duration::from_secs(1)).then_some(left)
    }

    /// A program of the folder.
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.root.join("work/bin").join(name))
    }

    /// Runs a part: `name` is its log's, `limit` the seconds that it may take if so many are left.
    pub fn run(&self, name: &str, mut command: Command, limit: u64) -> Result<Ran> {
        let Some(left) = self.left() else {
            let (text, end) = (String::new(), End::NoTime);
            return Ok(Ran { text, end, seconds: 0.0, peak_memory: None });
        };
        let limit = left.min(Duration::from_secs(limit));
        say(format_args!("{name}, at most {:.0} s", limit.as_secs_f64()));
        let path = self.root.join("report").join(format!("{name}.log"));
        let log = File::create(&path).with_context(|| path.display().to_string())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.current_dir(self.root.join("work")).env("PYTHONDONTWRITEBYTECODE", "1");
        quiet_vulkan(&mut command);
        let given: Vec<OsString> = command.get_envs().map(|(name, _)| name.into()).collect();
        let new = |name: &&String| !given.iter().any(|g| g == OsStr::new(name.as_str()));
        for name in self.vars.keys().filter(new) {
            command.env(name, &self.vars[name]);
        }
        let start = Instant::now();
        let mut memory = None;
        let end = wait(command, limit, &mut memory);
        let seconds = start.elapsed().as_secs_f64();
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        // A program that cannot start is a result like others: the log says so.
        let (text, end) = match end {
            Ok(end) => (text, end),
            Err(error) => {
                fs::write(&path, format!("{error:#}\n"))?;
                (format!("{error:#}"), End::Status(failure()))
            }
        };
        Ok(Ran { text, end, seconds, peak_memory: memory })
    }
}

/// The status for a program that could not be started.
fn failure() -> ExitStatus {
    #[cfg(unix)]
    let status = std::os::unix::process::ExitStatusExt::from_raw(127 << 8);
    #[cfg(windows)]
    let status = std::os::windows::process::ExitStatusExt::from_raw(127);
    status
}

/// Waits for a command's end, or ends it; notes the most memory that it held.
fn wait(mut command: Command, limit: Duration, memory: &mut Option<u64>) -> Result<End> {
    let program = command.get_program().to_owned();
    let mut child =
        command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
    let start = Instant::now();
    loop {
        *memory = (*memory).max(peak_memory(&child));
        if let Some(status) = child.try_wait()? {
            return Ok(End::Status(status));
        }
        if start.elapsed() > limit {
            // Fails only if the process ended by itself meanwhile.
            let _ = child.kill();
            child.wait()?;
            return Ok(End::Stopped(limit.as_secs()));
        }
        thread::sleep(LOOK);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use xtask::sources::Scratch;

    /// Runs a line of shell with a limit of one second.
    fn shell(line: &str, seconds: u64) -> Ran {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let site = Site::new(dir.path(), Instant::now() + Duration::from_secs(seconds)).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("WGRAD_CACHE", "mine");
        site.run("x", command, 1).unwrap()
    }

    #[test]
    fn a_part_leaves_its_text_and_its_end() {
        let ran = shell("echo a; echo b >&2", 9);
        assert_eq!((ran.text.as_str(), ran.failure(), ran.failed()), ("a\nb\n", None, false));
        let ran = shell("echo lost; exit 3", 9);
        assert!(ran.failed() && ran.failure().unwrap().ends_with("3): lost"));
        let ran = shell("echo a; exec sleep 5", 9);
        assert_eq!((ran.text.as_str(), ran.failed()), ("a\n", false));
        assert_eq!(ran.failure().unwrap(), "stopped after 1 s");
        assert!(!ran.missed());
        let ran = shell("true", 0);
        assert_eq!(ran.failure().unwrap(), "not run: the time is over");
        assert!(ran.missed() && !ran.failed());
    }

    #[test]
    fn caches_are_the_folders_own_unless_a_part_says_otherwise() {
        let text = shell("echo $WGRAD_CACHE; echo $CUDA_CACHE_PATH", 9).text;
        assert!(text.starts_with("mine\n") && text.contains("work/caches/cuda"), "{text}");
    }

    #[test]
    fn what_cannot_be_started_says_so() {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let site = Site::new(dir.path(), Instant::now() + Duration::from_secs(9)).unwrap();
        let ran = site.run("x", site.program("none"), 1).unwrap();
        assert!(ran.failed() && ran.failure().unwrap().contains("cannot be started"));
    }
}
