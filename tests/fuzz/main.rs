//! Files that nobody wrote: every reader of the library takes a broken file or refuses it. None panics, none computes
//! with an overflow, and none takes more memory than its bound.
//!
//! Each loop reads `WGRAD_FUZZ_INPUTS` inputs, 2,000 unless set, that follow from `WGRAD_FUZZ_SEED`, 1 unless set. The
//! loop of pipeline caches reads every 20th of them, since each opens a device. A loop that fails names its seed and its
//! input.

mod archive;
mod checkpoint;
mod data;
mod device;
mod entry;
mod memory;
mod model;
mod mutate;
#[path = "../support/mod.rs"]
mod support;

use memory::peak_of;
use mutate::{Random, mutated};
use std::panic::{AssertUnwindSafe, catch_unwind};
use support::Folder;

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} = {text} is no whole number")),
        Err(_) => default,
    }
}

/// How many inputs a loop has that reads every `share`-th of them.
fn inputs(share: u64) -> u64 {
    setting("WGRAD_FUZZ_INPUTS", 2000).div_ceil(share)
}

/// The most memory for one input: twice a tensor of 64 MiB, which every packed file may become.
const MEMORY: usize = (2 * 64 + 16) << 20;

/// What a reader makes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Taken,
    Refused,
}

impl Verdict {
    fn of<T, E>(result: Result<T, E>) -> Self {
        if result.is_ok() { Self::Taken } else { Self::Refused }
    }
}

/// Reads one input after the other, each as `make` draws it.
#[track_caller]
fn fuzz(
    name: &str,
    count: u64,
    make: impl Fn(&mut Random) -> Vec<u8>,
    mut read: impl FnMut(&[u8]) -> Verdict,
) {
    let seed = setting("WGRAD_FUZZ_SEED", 1);
    let (mut taken, mut refused) = (0_u64, 0_u64);
    for i in 0..count {
        let input = make(&mut Random::new(seed, i));
        let mut verdict = None;
        let ended = catch_unwind(AssertUnwindSafe(|| peak_of(|| verdict = Some(read(&input)))));
        let shown = || input[..input.len().min(200)].escape_ascii().to_string();
        let place = format!("{name}: input {i} of WGRAD_FUZZ_SEED={seed}");
        match ended {
            Ok(peak) => assert!(peak <= MEMORY, "{place} takes {peak} bytes: {}", shown()),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&s| s.into()));
                panic!("{place} panics, `{}`: {}", text.unwrap_or_default(), shown())
            }
        }
        match verdict {
            Some(Verdict::Taken) => taken += 1,
            _ => refused += 1,
        }
    }
    println!("{name}: {taken} taken, {refused} refused");
    // A loop that only sees one of the two results tests nothing.
    assert!(taken > 0 && refused > 0, "{name}: {taken} taken, {refused} refused");
}

#[test]
fn overflow_checks_are_on() {
    let large = std::hint::black_box(u64::MAX);
    assert!(catch_unwind(|| large + std::hint::black_box(1)).is_err(), "overflow goes unseen");
}

/// The control: a reader with the fault that the loops look for.
#[test]
fn a_reader_that_overflows_is_found() {
    let careless = |bytes: &[u8]| {
        let Some((extent, rest)) = bytes.split_first_chunk::<8>() else { return Verdict::Refused };
        let bytes = u64::from_le_bytes(*extent) * 4;
        if bytes == rest.len() as u64 { Verdict::Taken } else { Verdict::Refused }
    };
    let file = [&2_u64.to_le_bytes()[..], &[0; 8]].concat();
    let make = |random: &mut Random| mutated(random, std::slice::from_ref(&file));
    let found = catch_unwind(|| fuzz("careless", 2000, make, careless)).unwrap_err();
    let text = found.downcast_ref::<String>().unwrap();
    for word in ["careless: input ", "of WGRAD_FUZZ_SEED=", "overflow"] {
        assert!(text.contains(word), "{text}");
    }
}

/// The control: a reader that takes what a header promises.
#[test]
fn a_reader_that_takes_too_much_memory_is_found() {
    let greedy = |bytes: &[u8]| {
        drop(Vec::<u8>::with_capacity(usize::from(bytes.len() > 3) * 2 * MEMORY));
        Verdict::Taken
    };
    let make = |random: &mut Random| mutated(random, &[vec![0; 8]]);
    let found = catch_unwind(|| fuzz("greedy", 2000, make, greedy)).unwrap_err();
    assert!(found.downcast_ref::<String>().unwrap().contains("greedy: input "));
}
