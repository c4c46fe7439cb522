//! The device memory of training: it is known, and refused if it is too much, before anything is allocated.

use super::compiled::Compiled;
use super::sweep::{ROLES, Sweep};
use crate::error::{Error, Result};
use crate::gpu::Device;
use crate::plan::{BufferClass, BufferDecl, Plan};
use std::collections::HashMap;
use std::sync::Arc;

/// The roles whose buffers stay in use while [`Compiled::held`] is.
pub(crate) const HELD: [&str; 2] = ["train", "validate"];

/// A sweep that will run.
pub(crate) struct Wanted<'a> {
    /// The sweep.
    pub sweep: &'a Sweep,
    /// The same sweep with batches of another size.
    pub resized: &'a dyn Fn(&Compiled, usize) -> Result<Sweep>,
}

/// Refuses bytes that the device's memory does not hold.
pub(super) fn within(device: &Device, what: &str, needed: u64, detail: &str) -> Result<()> {
    match device.caps().memory_bytes {
        Some(allowed) if needed > allowed => Err(Error::Limit {
            what: format!("{what}: bytes of device memory"),
            needed,
            allowed,
            detail: detail.into(),
        }),
        _ => Ok(()),
    }
}

/// The buffers of plans that the store holds.
fn external<'p>(
    plans: impl IntoIterator<Item = &'p Arc<Plan>>,
) -> impl Iterator<Item = &'p BufferDecl> {
    plans.into_iter().flat_map(|plan| &plan.buffers).filter(|decl| decl.class.is_shared())
}

impl Compiled {
    /// Compiles the batches of sweeps that take turns, refuses what the device cannot hold together, and frees what
    /// they will replace.
    ///
    /// # Errors
    /// [`Error::Limit`] with the largest batch of the first sweep that fits; those of [`Plan::compile`].
    pub(crate) fn admit(&mut self, sweeps: &[Wanted<'_>]) -> Result<()> {
        let mut plans = Vec::new();
        // Plans of the sweeps after the first begin here.
        let mut rest = 0;
        for (i, wanted) in sweeps.iter().enumerate() {
            plans.extend(self.plans_of(wanted.sweep).map_err(|e| match e {
                Error::Limit { what, needed, allowed, detail } => {
                    let largest = self.largest_batch(wanted, &[]);
                    let detail = format!("{detail}; {}", said(largest));
                    Error::Limit { what, needed, allowed, detail }
                }
                other => other,
            })?);
            if i == 0 {
                rest = plans.len();
            }
        }
        if let Some(allowed) = self.device.caps().memory_bytes {
            if self.bytes_with(&plans) > allowed {
                self.release_all_but(sweeps);
            }
            let needed = self.bytes_with(&plans);
            if needed > allowed {
                let first = sweeps.first();
                let largest = first.map_or(0, |wanted| self.largest_batch(wanted, &plans[rest..]));
                let trains = first.is_some_and(|wanted| wanted.sweep.train);
                let inputs = plans.iter().map(|plan| plan.bytes_of(BufferClass::Input)).max();
                let advice = match (trains, inputs > Some(allowed / 2)) {
                    (true, true) => {
                        "keep the samples off the device: `fit` streams an `Arc` of any `Dataset`"
                    }
                    (true, false) => "use smaller batches, fewer samples or a smaller model",
                    (false, large) if large || largest == 0 => "use fewer samples at once",
                    (false, _) => "use a smaller `evaluation_batch_size`",
                };
                return Err(Error::Limit {
                    what: "model, optimizer and batches: bytes of device memory".into(),
                    needed,
                    allowed,
                    detail: format!("{advice}; {}", said(largest)),
                });
            }
        }
        self.make_way(&plans);
        Ok(())
    }

    /// Refuses a model that does not fit with a single sample.
    pub(crate) fn admit_model(&self, plan: &Arc<Plan>) -> Result<()> {
        let detail = "use a smaller model, or another adapter; no batch fits";
        within(
            &self.device,
            "model and optimizer",
            self.bytes_with(std::slice::from_ref(plan)),
            detail,
        )
    }

    /// Refuses `bytes` in addition to what is allocated with executors of `plans`. What is allocated stays.
    ///
    /// # Errors
    /// [`Error::Limit`], which says that `what` takes the bytes.
    pub(crate) fn admit_extra(&self, what: &str, bytes: u64, plans: &[Arc<Plan>]) -> Result<()> {
        let detail = "it comes on top of model, optimizer and batches; use smaller batches";
        within(&self.device, what, self.bytes_with(plans).saturating_add(bytes), detail)
    }

    /// The plans of a sweep. Those not compiled yet are compiled.
    pub(crate) fn plans_of(&mut self, sweep: &Sweep) -> Result<Vec<Arc<Plan>>> {
        sweep.batches().map(|batch| self.planned(batch, sweep.train)).collect()
    }

    /// Device bytes with executors of these plans: what each takes for itself, the activations that they use in turn,
    /// the buffers that they share, and what else is allocated after [`Compiled::make_way`] made way for them. The
    /// staging memory of uploads and readbacks, between host and device, is not counted.
    fn bytes_with(&self, plans: &[Arc<Plan>]) -> u64 {
        let constants = self.store.constants();
        let constants = constants.iter().map(|(name, bytes)| (name.as_str(), *bytes));
        let mut shared: HashMap<&str, u64> = self.store.sizes().chain(constants).collect();
        for decl in external(plans) {
            shared.insert(&decl.name, decl.bytes);
        }
        let displaced = self.displaced(plans);
        let bound = self.executors.iter().map(|(_, executor)| executor.plan());
        let bound: Vec<_> = bound.filter(|plan| !uses(plan, &displaced)).collect();
        let new = plans.iter().filter(|plan| !bound.iter().any(|b| Arc::ptr_eq(b, plan)));
        let activations = self.pool.bytes_with(new.clone().map(|plan| &**plan));
        let own = |plan: &Arc<Plan>| {
            plan.bytes_of(BufferClass::Arena) + plan.bytes_of(BufferClass::Uniform)
        };
        let own: u64 = bound.iter().copied().chain(new).map(own).sum();
        activations + own + shared.values().sum::<u64>()
    }

    /// The names of buffers that exist, but in another size than these plans want.
    fn displaced<'p>(&self, plans: &'p [Arc<Plan>]) -> Vec<&'p str> {
        let present: HashMap<&str, u64> = self.store.sizes().collect();
        let other =
            |decl: &&BufferDecl| present.get(&*decl.name).is_some_and(|&bytes| bytes != decl.bytes);
        external(plans).filter(other).map(|decl| &*decl.name).collect()
    }

    /// Frees the buffers that these plans want in another size, and the executors that are bound to them: old and new
    /// buffers never exist together.
    fn make_way(&mut self, plans: &[Arc<Plan>]) {
        let displaced = self.displaced(plans);
        self.executors.retain(|(_, executor)| !uses(executor.plan(), &displaced));
        for name in displaced {
            self.store.remove(name);
        }
    }

    /// Frees what earlier calls left for later ones of other batches, but nothing that is held.
    fn release_all_but(&mut self, sweeps: &[Wanted<'_>]) {
        let held = self.held.strong_count() > 0;
        let in_use = |role: &str| held && HELD.contains(&role);
        self.executors.retain(|((batch, _), _)| in_use(batch.role));
        // Executors hold their activations. If the pool forgot them, they would still exist and not be counted.
        if self.executors.is_empty() {
            self.pool.clear();
        }
        let wanted = |role: &str| sweeps.iter().any(|wanted| wanted.sweep.full.role == role);
        let left = ROLES.iter().filter(|role| !in_use(role) && !wanted(role));
        let left: Vec<String> = left.map(|role| format!("{role}/")).collect();
        let names: Vec<String> = self.store.names().map(str::to_owned).collect();
        for name in names.iter().filter(|name| left.iter().any(|role| name.starts_with(role))) {
            self.store.remove(name);
        }
        if left.iter().any(|role| role == "train/") {
            self.trained = None;
        }
    }

    /// How many samples the batches of a sweep may have at most, beside other plans.
    fn largest_batch(&self, wanted: &Wanted<'_>, others: &[Arc<Plan>]) -> usize {
        let allowed = self.device.caps().memory_bytes.unwrap_or(u64::MAX);
        let plans = |size: usize| -> Result<Vec<Arc<Plan>>> {
            let smaller = (wanted.resized)(self, size)?;
            smaller.batches().map(|batch| Ok(Arc::new(self.plan(batch, smaller.train)?))).collect()
        };
        let fits = |size: usize| {
            plans(size).is_ok_and(|own| self.bytes_with(&[&own, others].concat()) <= allowed)
        };
        // A smaller batch takes less of everything, except the numbers of its steps, which are few, and a short last
        // batch.
        let (mut least, mut beyond) = (0, wanted.sweep.full.size);
        while beyond - least > 1 {
            let size = least.midpoint(beyond);
            if fits(size) { least = size } else { beyond = size }
        }
        least
    }
}

/// The largest batch in words.
fn said(largest: usize) -> String {
    match largest {
        0 => "no batch fits".into(),
        1 => "the largest batch that fits has one sample".into(),
        n => format!("the largest batch that fits has {n} samples"),
    }
}

/// Whether a plan reads or writes one of these buffers of the store.
fn uses(plan: &Arc<Plan>, names: &[&str]) -> bool {
    external([plan]).any(|decl| names.contains(&&*decl.name))
}
