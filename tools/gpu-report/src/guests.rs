//! The Python libraries of the target: which are there, how each is started, and PyTorch's matrix products.

use crate::part::Site;
use crate::read;
use crate::rows::Rows;
use crate::table::{self, Row};
use anyhow::{Context, Result};
use peers::record::Skipped;
use peers::roster::{Kind, ROSTER};
use std::collections::HashMap;
use std::ffi::OsString;
use std::process::Command;

/// The Python peers of the report. PyTorch eager comes first, because the goals are about it.
pub const GUESTS: [&str; 3] = ["torch", "torch-compile", "jax"];

/// A Python peer whose modules are there.
pub struct Guest {
    /// Its name.
    pub name: &'static str,
    /// Its script, and arguments for this peer.
    args: Vec<OsString>,
    /// Whether it finds a CUDA device.
    cuda: bool,
}

/// All that are there.
pub struct Guests<'a> {
    /// The runner of parts.
    pub site: &'a Site,
    /// Whether wgrad computes on a GPU.
    pub gpu: bool,
    /// The Python.
    python: OsString,
    /// The peers.
    pub all: Vec<Guest>,
    /// Those of the roster that are not among them, and why.
    pub absent: Vec<Skipped>,
}

impl<'a> Guests<'a> {
    /// Looks for the peers; what is not there gets a row.
    pub fn look(site: &'a Site, gpu: bool, rows: &mut Rows) -> Result<Self> {
        let python = std::env::var_os("WGRAD_PYTHON").unwrap_or_else(|| "python3".into());
        let mut guests = Guests { site, gpu, python, all: Vec::new(), absent: not_invited() };
        // One look for all peers with the same modules: imports take their time.
        let mut looked: HashMap<String, Result<bool, (String, bool)>> = HashMap::new();
        for name in GUESTS {
            let peer =
                ROSTER.iter().find(|p| p.name == name).context("a guest is in the roster")?;
            let Kind::Python { script, modules, args, cuda } = peer.kind else { continue };
            let code = format!("import {}; print('cuda:', {cuda})", modules.join(", "));
            if !looked.contains_key(&code) {
                let mut command = Command::new(&guests.python);
                command.args(["-c", &code]);
                let ran = site.run(&format!("look-{name}"), command, 60)?;
                let found = match ran.failure() {
                    None => Ok(ran.text.contains("cuda: True")),
                    Some(why) => Err((why.replace("FAILED ", "not there: "), ran.missed())),
                };
                looked.insert(code.clone(), found);
            }
            match &looked[&code] {
                Ok(cuda) => {
                    let mut all = vec![site.root.join("peers").join(script).into_os_string()];
                    all.extend(args.iter().map(OsString::from));
                    guests.all.push(Guest { name, args: all, cuda: *cuda });
                }
                Err((why, missed)) => {
                    guests.absent.push(Skipped { name: name.into(), why: why.clone() });
                    rows.push(Row { missed: *missed, ..Row::further(name, why) });
                }
            }
        }
        Ok(guests)
    }

    /// The start of a peer on the device that it computes on.
    pub fn command(&self, guest: &Guest) -> Command {
        let mut command = Command::new(&self.python);
        command.args(&guest.args).args(["--device", self.device(guest)]);
        command
    }

    /// CUDA's if wgrad runs on a GPU, the processor if it runs on software Vulkan.
    fn device(&self, guest: &Guest) -> &'static str {
        if self.gpu && guest.cuda { "cuda" } else { "cpu" }
    }

    /// PyTorch's products with what wgrad's benchmark printed.
    pub fn product(&self, products: &str, rows: &mut Rows) -> Result<()> {
        let size = if self.gpu { 4096 } else { 1024 };
        let name = format!("{size}x{size}x{size}");
        let ours = read::products(products).into_iter().find(|(size, _)| *size == name);
        let ours = ours.and_then(|(_, forms)| forms.into_iter().find(|(form, _)| form == "AB"));
        let mut theirs = None;
        if let Some(guest) = self.all.iter().find(|g| g.name == "torch") {
            let mut command = Command::new(&self.python);
            command.arg(self.site.root.join("peers/torch_product.py"));
            let sizes = if self.gpu { "2048,4096".into() } else { size.to_string() };
            command.args(["--sizes", &sizes, "--device", self.device(guest)]);
            let ran = self.site.run("torch-product", command, 60)?;
            let read = read::json(&ran.text).and_then(|l| serde_json::from_str(l).ok());
            let read: Option<read::TorchProduct> = read.filter(|_| ran.failure().is_none());
            theirs = read.as_ref().and_then(|t| t.gflops.get(&format!("AB {size}")).copied());
            let said = read.map(|torch| {
                let rates = torch.gflops.iter().map(|(name, rate)| format!("{name} {rate:.0}"));
                let rates = rates.collect::<Vec<_>>().join(", ");
                format!("{}: {rates} GFLOP/s ({})", torch.version, torch.device)
            });
            let row = Row::of("torch products", &ran, || {
                said.unwrap_or_else(|| "it printed no result".into())
            });
            // If PyTorch cannot do it, wgrad is not at fault.
            rows.push(Row { failed: false, ..row });
        }
        rows.push(table::product(size, ours.map(|(_, rate)| rate), theirs, self.gpu));
        Ok(())
    }
}

/// The peers that no folder contains.
fn not_invited() -> Vec<Skipped> {
    let others = ROSTER[1..].iter().filter(|peer| !GUESTS.contains(&peer.name));
    let why = "`cargo xtask gpu-report` takes it to no machine";
    others.map(|peer| Skipped { name: peer.name.into(), why: why.into() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_in_the_roster_and_run_scripts() {
        for name in GUESTS {
            let peer = ROSTER.iter().find(|p| p.name == name).unwrap();
            assert!(matches!(peer.kind, Kind::Python { .. }), "{name}");
        }
    }

    #[test]
    fn every_peer_of_the_roster_is_wgrad_a_guest_or_named_as_absent() {
        let absent = not_invited();
        assert_eq!(absent.len() + GUESTS.len() + 1, ROSTER.len());
        assert!(absent.iter().all(|s| s.name != "wgrad" && s.name != "torch"), "{absent:?}");
    }
}
