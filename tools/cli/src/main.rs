//! The command `wgrad`: what a machine's GPU adapters are, whether the library computes correctly on one, which
//! kernels are the fastest on it, and what takes the time of a training step.
//!
//! `cargo run --release --bin wgrad -- --help` lists the subcommands.

mod adapters;
mod barriers;
mod checks;
mod doctor;
mod profile;
mod tune;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What the end of every help text says.
const STATUS: &str = "Exit status: 0 all is well; 1 something failed; 2 the command line is wrong; \
    3 no GPU adapter opens.\n\
    WGRAD_ADAPTER=NAME takes the first adapter whose name contains NAME; WGPU_BACKEND limits the APIs.";

/// The exit status if no adapter opens.
const NO_ADAPTER: u8 = 3;

/// Looks after wgrad, which trains neural networks on GPUs, on this machine.
#[derive(Parser)]
#[command(name = "wgrad", version, after_help = STATUS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the GPU adapters and opens the one that the library takes
    #[command(after_help = example("wgrad adapters"))]
    Adapters,
    /// Says whether the library computes correctly here, and what to do if not
    ///
    /// Says which lanes and driver the chosen adapter has and which kernels of products it takes, and why. Compares products,
    /// sums and training steps with f64 on the host, tests barriers, and measures a submit.
    #[command(after_help = example("WGRAD_ADAPTER=radeon wgrad doctor"))]
    Doctor,
    /// Measures the matrix-product kernels and keeps the fastest for later runs
    #[command(after_help = example("wgrad tune --rounds 20"))]
    Tune(tune::Args),
    /// Shows what takes the time of a training step, kernel by kernel
    ///
    /// The step is that of a dense network on samples of MNIST's shape; `Trainer::profile` does it for your model.
    #[command(after_help = example("wgrad profile --hidden 512,512 --batch 128 --trace out/step.json"))]
    Profile(profile::Args),
}

/// What the help of a subcommand says after its options.
fn example(line: &str) -> String {
    format!("Example:\n  {line}\n\n{STATUS}")
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Adapters => adapters::run(),
        Command::Doctor => doctor::run(),
        Command::Tune(args) => tune::run(&args),
        Command::Profile(args) => profile::run(&args),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    if matches!(error.downcast_ref(), Some(wgrad::Error::NoAdapter(_))) {
        eprintln!("{}", doctor::ADVICE);
        return ExitCode::from(NO_ADAPTER);
    }
    ExitCode::FAILURE
}
