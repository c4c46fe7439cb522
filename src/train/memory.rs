//! What training takes of the device: known, and refused where it is too much, before anything is allocated.

use super::pass::Pass;
use super::step::Batch;
use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::plan::{BufferClass, Plan};
use std::collections::HashMap;
use std::sync::Arc;

/// The roles of batches whose buffers every call fills anew.
const ROLES: [&str; 4] = ["train", "validate", "evaluate", "predict"];

impl Trainer {
    /// Compiles the batches of passes that take turns, and refuses what the device cannot hold together.
    ///
    /// # Errors
    /// [`Error::Limit`] with the largest batch of the first pass that fits; those of [`Plan::compile`].
    pub(super) fn admit(&mut self, passes: &[&Pass]) -> Result<()> {
        let mut plans = Vec::new();
        // Plans of the passes after the first begin here.
        let mut rest = 0;
        for (i, pass) in passes.iter().enumerate() {
            plans.extend(self.plans_of(pass).map_err(|e| match e {
                Error::Limit { what, needed, allowed, detail } => {
                    let largest = self.largest_batch(pass, &[]);
                    let detail = format!("{detail}; {largest}");
                    Error::Limit { what, needed, allowed, detail }
                }
                other => other,
            })?);
            if i == 0 {
                rest = plans.len();
            }
        }
        let Some(allowed) = self.device.caps().memory_bytes else { return Ok(()) };
        if self.bytes_with(&plans) > allowed {
            self.release_all_but(passes);
        }
        let needed = self.bytes_with(&plans);
        if needed <= allowed {
            return Ok(());
        }
        let largest = passes.first().map(|pass| self.largest_batch(pass, &plans[rest..]));
        Err(Error::Limit {
            what: "model, optimizer and batches: bytes of device memory".into(),
            needed,
            allowed,
            detail: format!("{}; {}", Self::advice(&plans, allowed), largest.unwrap_or_default()),
        })
    }

    /// Refuses a model that does not fit with a single sample.
    pub(super) fn admit_model(&self, plan: &Arc<Plan>) -> Result<()> {
        let needed = self.bytes_with(std::slice::from_ref(plan));
        match self.device.caps().memory_bytes {
            Some(allowed) if needed > allowed => Err(Error::Limit {
                what: "model and optimizer: bytes of device memory".into(),
                needed,
                allowed,
                detail: "use a smaller model, or another adapter; no batch fits".into(),
            }),
            _ => Ok(()),
        }
    }

    /// The plans of a pass, compiled where they are not yet.
    pub(super) fn plans_of(&mut self, pass: &Pass) -> Result<Vec<Arc<Plan>>> {
        pass.batches().map(|batch| self.planned(batch, pass.train)).collect()
    }

    /// Device bytes with executors of these plans: what each takes for itself, the activations that they take
    /// turns on, the buffers that they share, and what is held besides.
    fn bytes_with(&self, plans: &[Arc<Plan>]) -> u64 {
        let mut shared: HashMap<&str, u64> = self.store.sizes().collect();
        for decl in plans.iter().flat_map(|plan| &plan.buffers) {
            if decl.class.is_external() {
                let bytes = shared.entry(&decl.name).or_default();
                *bytes = decl.bytes.max(*bytes);
            }
        }
        let bound: Vec<_> = self.executors.iter().map(|(_, executor)| executor.plan()).collect();
        let new = plans.iter().filter(|plan| !bound.iter().any(|b| Arc::ptr_eq(b, plan)));
        let activations = self.pool.bytes_with(new.clone().map(|plan| &**plan));
        let own = |plan: &Arc<Plan>| {
            plan.bytes_of(BufferClass::Arena) + plan.bytes_of(BufferClass::Uniform)
        };
        let own: u64 = bound.iter().copied().chain(new).map(own).sum();
        activations + own + shared.values().sum::<u64>()
    }

    /// Frees what earlier calls left for later ones of other batches.
    fn release_all_but(&mut self, passes: &[&Pass]) {
        self.executors.clear();
        self.pool.clear();
        let keep = |batch: &Batch| passes.iter().any(|pass| pass.batches().any(|b| b == batch));
        self.plans.retain(|((batch, _), _)| keep(batch));
        let left = ROLES.iter().filter(|role| !passes.iter().any(|p| p.full.role == **role));
        let left: Vec<String> = left.map(|role| format!("{role}/")).collect();
        let names: Vec<String> = self.store.names().map(str::to_owned).collect();
        for name in names.iter().filter(|name| left.iter().any(|role| name.starts_with(role))) {
            self.store.remove(name);
        }
        self.trained = None;
    }

    /// What takes less memory where these plans take more than there is.
    fn advice(plans: &[Arc<Plan>], allowed: u64) -> &'static str {
        let inputs = plans.iter().map(|plan| plan.bytes_of(BufferClass::Input)).max();
        match inputs {
            Some(bytes) if bytes > allowed / 2 => {
                "keep the samples off the device: fit streams an `Arc` of any `Dataset`"
            }
            _ => "use smaller batches or a smaller model",
        }
    }

    /// Says how many samples the batches of a pass may have at most, beside other plans.
    fn largest_batch(&self, pass: &Pass, others: &[Arc<Plan>]) -> String {
        let allowed = self.device.caps().memory_bytes.unwrap_or(u64::MAX);
        let plans = |size: usize| -> Result<Vec<Arc<Plan>>> {
            let full = Batch { size, capacity: size, ..pass.full.clone() };
            let smaller = self.pass(full, pass.samples(), None, pass.train)?;
            smaller.batches().map(|batch| Ok(Arc::new(self.plan(batch, pass.train)?))).collect()
        };
        let fits = |size: usize| {
            plans(size).is_ok_and(|own| self.bytes_with(&[&own, others].concat()) <= allowed)
        };
        // A smaller batch takes less of everything but the numbers of its steps, which are few, and a short rest.
        let (mut least, mut beyond) = (0, pass.full.size);
        while beyond - least > 1 {
            let size = least.midpoint(beyond);
            if fits(size) { least = size } else { beyond = size }
        }
        match least {
            0 => "no batch fits".into(),
            1 => "the largest batch that fits has one sample".into(),
            n => format!("the largest batch that fits has {n} samples"),
        }
    }
}
