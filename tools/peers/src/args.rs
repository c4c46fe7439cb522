//! The command line of `peers`.

use crate::models::{MODELS, Model};
use crate::roster::ROSTER;
use crate::usage;
use anyhow::Result;
use std::ffi::OsString;
use std::time::Duration;

/// The arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Args {
    /// The models.
    pub models: Vec<Model>,
    /// Rounds over all peers.
    pub rounds: usize,
    /// The peers to run, without those that [`Args::skipped`] names; none for all.
    pub only: Option<Vec<String>>,
    /// The peers to leave out.
    pub skipped: Vec<String>,
    /// The peers to build from nothing, for the time of a clean build.
    pub rebuilt: Vec<String>,
    /// One round of few passes, without MNIST.
    pub quick: bool,
    /// How long a run may take.
    pub timeout: Duration,
    /// Whether nothing is run, and the tables are made again from the results that are there.
    pub tables: bool,
}

impl Args {
    /// Reads the arguments; every fault is a wrong use of the command.
    pub fn parse(words: Vec<OsString>) -> Result<Args> {
        let mut args = Args {
            models: MODELS.to_vec(),
            rounds: 3,
            only: None,
            skipped: Vec::new(),
            rebuilt: Vec::new(),
            quick: false,
            timeout: Duration::from_secs(300),
            tables: false,
        };
        let mut words = words.into_iter().map(|w| w.to_string_lossy().into_owned());
        while let Some(word) = words.next() {
            let mut value =
                || words.next().ok_or_else(|| usage(&format!("`{word}` needs a value")));
            match word.as_str() {
                "--models" => args.models = models(&value()?)?,
                "--rounds" => args.rounds = number(&word, &value()?)?,
                "--only" => args.only = Some(names(&value()?)?),
                "--skip" => args.skipped = names(&value()?)?,
                "--rebuild" => args.rebuilt = names(&value()?)?,
                "--timeout" => args.timeout = Duration::from_secs(number(&word, &value()?)? as u64),
                "--quick" => (args.quick, args.rounds) = (true, 1),
                "--tables" => args.tables = true,
                _ => return Err(usage(&format!("unknown argument `{word}`"))),
            }
        }
        if args.skipped.iter().any(|name| name == ROSTER[0].name) {
            return Err(usage("wgrad is what the others are held against, and always runs"));
        }
        Ok(args)
    }

    /// Whether the run is the whole comparison, whose results are kept with the peers.
    pub fn whole(&self) -> bool {
        self.models == MODELS && self.only.is_none() && !self.quick
    }

    /// Whether a peer is left out by name; wgrad never is.
    pub fn leaves_out(&self, name: &str) -> bool {
        let asked = self.only.as_ref().is_none_or(|only| only.iter().any(|n| n == name));
        name != ROSTER[0].name && (!asked || self.skipped.iter().any(|n| n == name))
    }
}

/// A number that is at least 1.
fn number(word: &str, value: &str) -> Result<usize> {
    let number = value.parse().ok().filter(|n| *n > 0);
    number.ok_or_else(|| usage(&format!("`{word}` needs a whole number from 1, not `{value}`")))
}

/// The models of a list, in the table's order.
fn models(list: &str) -> Result<Vec<Model>> {
    let asked: Vec<&str> = list.split(',').collect();
    if let Some(other) = asked.iter().find(|name| !MODELS.iter().any(|m| m.name == **name)) {
        let known = MODELS.map(|model| model.name).join(", ");
        return Err(usage(&format!("no model `{other}`; there are {known}")));
    }
    Ok(MODELS.into_iter().filter(|m| asked.contains(&m.name)).collect())
}

/// The peers of a list.
fn names(list: &str) -> Result<Vec<String>> {
    let known = ROSTER.map(|peer| peer.name);
    let names: Vec<String> = list.split(',').map(String::from).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(other) => Err(usage(&format!("no peer `{other}`; there are {}", known.join(", ")))),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::process::Exit;

    /// Reads a command line written as words.
    fn words(line: &str) -> Result<Args> {
        Args::parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn nothing_asks_for_everything() {
        let args = words("").unwrap();
        assert!(args.whole() && args.models == MODELS && args.rounds == 3);
        assert!(ROSTER.iter().all(|peer| !args.leaves_out(peer.name)));
    }

    #[test]
    fn peers_are_chosen_by_name_and_wgrad_stays() {
        let args = words("--only jax,burn --skip burn --models M --rounds 5").unwrap();
        let left: Vec<_> = ROSTER.iter().map(|p| p.name).filter(|n| !args.leaves_out(n)).collect();
        assert_eq!(left, ["wgrad", "jax"]);
        assert_eq!((args.models[0].name, args.models.len(), args.rounds), ("M", 1, 5));
        assert!(!args.whole() && !words("--quick").unwrap().whole());
        assert!(
            words("--skip burn --rounds 2").unwrap().whole(),
            "a peer skipped is named as such"
        );
    }

    #[test]
    fn the_usage_has_every_option() {
        let options = ["models", "rounds", "only", "skip", "rebuild", "timeout", "quick", "tables"];
        for option in options {
            let line = format!("--{option}");
            assert!(crate::USAGE.contains(&format!("\n  {line} ")), "{line}");
            // A value is missing or not; either way the option is known.
            let error = words(&line).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(!error.contains("unknown"), "{error}");
        }
    }

    #[test]
    fn a_wrong_word_is_a_wrong_use() {
        for line in
            ["--model S", "--models X", "--only no", "--rounds 0", "--rounds", "--skip wgrad", "S"]
        {
            let error = words(line).unwrap_err();
            assert_eq!(error.downcast_ref::<Exit>().unwrap().code, 2, "{line}");
        }
    }
}
