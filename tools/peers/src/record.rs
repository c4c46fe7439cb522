//! What a run of the command leaves: every number as it was measured. Tables are made only of these.

use crate::models::TOLERANCE;
use crate::run::Line;
use serde::{Deserialize, Serialize};

/// One run of the command on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The day, as year-month-day.
    pub date: String,
    /// The machine.
    pub machine: Machine,
    /// The adapter that wgrad trained on.
    pub adapter: Adapter,
    /// Rounds over all peers.
    pub rounds: usize,
    /// The models in order.
    pub models: Vec<ModelResults>,
    /// How the Rust peers are built.
    pub builds: Vec<Build>,
    /// Who and what was left out, and why.
    pub skipped: Vec<Skipped>,
}

/// The machine and how busy it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Threads it runs at once.
    pub cores: usize,
    /// The operating system.
    pub system: String,
    /// Processes that waited for the processor in the minute before the first run, on average.
    pub load: Option<f64>,
}

/// The adapter, as wgrad names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// The product.
    pub name: String,
    /// `CPU`, or a kind of GPU.
    pub kind: String,
    /// The API.
    pub backend: String,
    /// Driver and version.
    pub driver: String,
}

/// All peers on one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelResults {
    /// Its name.
    pub model: String,
    /// Its sizes.
    pub shape: String,
    /// Images per step.
    pub batch: usize,
    /// The compared step.
    #[serde(default = "fifty")]
    pub steps: usize,
    /// The loss of the last compared step in f64, with which the peers' are compared; if there is none, they are compared with
    /// the first peer's.
    pub reference: Option<f64>,
    /// The peers in the order of a round.
    pub peers: Vec<PeerResults>,
}

/// The compared step of results that do not name it.
fn fifty() -> usize {
    50
}

/// One peer on one model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerResults {
    /// Its name.
    pub name: String,
    /// The library's version.
    pub version: String,
    /// What it computed on, in its words.
    pub device: String,
    /// Why its times do not count: it crashed, took too long, or computed something else.
    pub failure: Option<String>,
    /// The loss of the last compared step, of each run.
    pub losses: Vec<f64>,
    /// Seconds to the end of the first step with every cache empty.
    pub first_step_cold: Option<f64>,
    /// The same with caches filled, of each round.
    pub first_step_warm: Vec<f64>,
    /// Seconds per step: of each round, of each pass.
    pub step_seconds: Vec<Vec<f64>>,
    /// Seconds per batch of prediction by the trained network: of each round, of each pass.
    #[serde(default)]
    pub predict_seconds: Vec<Vec<f64>>,
    /// Seconds of an epoch of MNIST, of each round.
    pub mnist_epoch_seconds: Vec<f64>,
    /// The accuracy on the test images after it, of each round.
    pub mnist_accuracy: Vec<f64>,
    /// The most host memory that a round's process held, in bytes.
    pub peak_memory: Option<u64>,
}

/// How a Rust peer is built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// The peer.
    pub name: String,
    /// Packages in the lock file, without those of the harness.
    pub locked: usize,
    /// Packages that this machine's build is made of.
    pub built: usize,
    /// Seconds of a build from nothing, downloads not counted.
    pub clean_seconds: Option<f64>,
    /// Processes that waited for the processor when that build began.
    pub clean_load: Option<f64>,
    /// The program's size in bytes.
    pub binary: Option<u64>,
}

/// Something left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// A peer or a model.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Purpose {
    /// The first step with empty caches.
    Cold,
    /// To fill the caches; no number of it counts.
    Fill,
    /// A round.
    Round,
}

impl PeerResults {
    /// Takes in what a run printed; the error is why the peer's times do not count.
    pub fn take(
        &mut self,
        line: Line,
        purpose: Purpose,
        peak_memory: Option<u64>,
        expected: f64,
    ) -> Result<(), String> {
        self.device = line.device;
        self.version = line.version.unwrap_or_else(|| std::mem::take(&mut self.version));
        self.losses.push(line.loss);
        if let Some(why) = disagreement(line.loss, expected) {
            return Err(why);
        }
        match purpose {
            Purpose::Cold => self.first_step_cold = Some(line.first_step_seconds),
            Purpose::Fill => {}
            Purpose::Round => {
                self.first_step_warm.push(line.first_step_seconds);
                self.step_seconds.push(line.step_seconds);
                self.predict_seconds.push(line.predict_seconds);
                self.mnist_epoch_seconds.extend(line.mnist_epoch_seconds);
                self.mnist_accuracy.extend(line.mnist_accuracy);
                self.peak_memory = self.peak_memory.max(peak_memory);
            }
        }
        Ok(())
    }

    /// Seconds per step: the median over all passes of all rounds, if the times count.
    pub fn step(&self) -> Option<f64> {
        if self.failure.is_some() { None } else { median(self.step_seconds.iter().flatten()) }
    }

    /// Seconds per batch of prediction, as [`PeerResults::step`].
    pub fn predict(&self) -> Option<f64> {
        if self.failure.is_some() { None } else { median(self.predict_seconds.iter().flatten()) }
    }

    /// The least seconds per step of any pass.
    pub fn step_least(&self) -> Option<f64> {
        self.step().and(self.step_seconds.iter().flatten().copied().reduce(f64::min))
    }
}

impl ModelResults {
    /// The peer of this name.
    pub fn peer(&self, name: &str) -> Option<&PeerResults> {
        self.peers.iter().find(|p| p.name == name)
    }

    /// The loss with which the peers' are compared: in f64, or the first that a peer gave.
    pub fn expected(&self) -> Option<f64> {
        self.reference.or_else(|| self.peers.iter().find_map(|p| p.losses.first().copied()))
    }

    /// The most by which losses of peers whose times count differ from the expected one.
    pub fn spread(&self) -> Option<f64> {
        let expected = self.expected()?;
        let counted = self.peers.iter().filter(|p| p.failure.is_none());
        counted.flat_map(|p| &p.losses).map(|l| (l - expected).abs()).reduce(f64::max)
    }
}

/// What is wrong with a loss; nothing if it is the expected one to [`TOLERANCE`].
pub fn disagreement(loss: f64, expected: f64) -> Option<String> {
    let apart = (loss - expected).abs();
    // A loss that is not a number is within no tolerance.
    let agrees = apart <= TOLERANCE;
    (!agrees)
        .then(|| format!("another loss after the compared step: {loss:.5}, expected {expected:.5}"))
}

/// The middle number; of an even count the mean of the two.
pub fn median<'a>(numbers: impl IntoIterator<Item = &'a f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = numbers.into_iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.get((sorted.len().max(1) - 1) / 2)?, sorted.get(sorted.len() / 2)?);
    Some((low + high) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_agree_to_a_thousandth_and_no_further() {
        assert_eq!(disagreement(0.5009, 0.5), None);
        assert_eq!(disagreement(0.4991, 0.5), None);
        for loss in [0.5011, 0.4989, f64::NAN, f64::INFINITY] {
            assert!(disagreement(loss, 0.5).is_some_and(|why| why.contains("0.50000")), "{loss}");
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    /// A line of a run with this loss.
    fn line(loss: f64) -> Line {
        let (first_step_seconds, step_seconds) = (1.0, vec![0.5]);
        Line { loss, first_step_seconds, step_seconds, device: "d".into(), ..Line::default() }
    }

    #[test]
    fn a_run_counts_for_what_it_is_for() {
        let mut peer = PeerResults { version: "1".into(), ..Default::default() };
        peer.take(line(0.5), Purpose::Cold, Some(1), 0.5).unwrap();
        assert_eq!((peer.first_step_cold, peer.peak_memory), (Some(1.0), None));
        peer.take(line(0.5), Purpose::Fill, Some(1), 0.5).unwrap();
        assert!(peer.first_step_warm.is_empty() && peer.step_seconds.is_empty());
        for memory in [9, 8] {
            let line = Line { version: Some("2".into()), ..line(0.5) };
            peer.take(line, Purpose::Round, Some(memory), 0.5).unwrap();
        }
        assert_eq!((peer.first_step_warm.len(), peer.step_seconds.len()), (2, 2));
        assert_eq!((peer.peak_memory, peer.losses.len()), (Some(9), 4));
        assert_eq!((peer.version.as_str(), peer.device.as_str()), ("2", "d"));
    }

    #[test]
    fn times_of_another_loss_are_not_taken() {
        let mut peer = PeerResults::default();
        assert!(peer.take(line(0.6), Purpose::Round, Some(1), 0.5).is_err());
        assert!(peer.step_seconds.is_empty() && peer.losses == [0.6]);
    }

    #[test]
    fn the_spread_is_of_those_that_count() {
        let peer = |loss: f64| PeerResults { losses: vec![loss], ..Default::default() };
        let failed = PeerResults { failure: Some("another loss".into()), ..peer(0.9) };
        let model = ModelResults {
            model: "L".into(),
            shape: String::new(),
            batch: 1,
            steps: 50,
            reference: Some(0.5),
            peers: vec![peer(0.5), peer(0.5625), failed],
        };
        assert_eq!(model.spread(), Some(0.0625));
    }

    #[test]
    fn times_of_a_failed_peer_do_not_count() {
        let mut peer =
            PeerResults { step_seconds: vec![vec![2.0, 1.0], vec![3.0]], ..Default::default() };
        assert_eq!((peer.step(), peer.step_least()), (Some(2.0), Some(1.0)));
        peer.failure = Some("crashed".into());
        assert_eq!((peer.step(), peer.step_least()), (None, None));
    }
}
