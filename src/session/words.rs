//! The words of a step: what changes from one step to the next.

use super::compiled::Compiled;
use super::sweep::Sweep;
use crate::error::Result;
use crate::gpu::StepBlock;
use crate::plan::{Plan, PlanData};

/// The places of the words of a plan's steps in their blocks, looked up once for many steps.
#[derive(Debug)]
pub(crate) struct Words {
    start: Option<usize>,
    record: Option<usize>,
    seed: Option<usize>,
    step: Option<usize>,
    /// The update's words, in the order in which its rule names them.
    update: Vec<(&'static str, Option<usize>)>,
}

impl Words {
    pub fn of(plan: &PlanData) -> Self {
        let [start, record, seed, step] =
            ["start", "record", "seed", "step"].map(|name| plan.step_param(name));
        Self { start, record, seed, step, update: Vec::new() }
    }

    /// The place of the `i`-th word that the rule named.
    fn update(&mut self, plan: &PlanData, i: usize, name: &'static str) -> Option<usize> {
        match self.update.get(i) {
            Some((known, place)) if *known == name => *place,
            _ => {
                // Rules name the same words at each step; a rule that does not costs a search.
                self.update.truncate(i);
                let place = plan.step_param(name);
                self.update.push((name, place));
                place
            }
        }
    }
}

/// Sets a word, if the plan reads it.
fn set(block: &mut StepBlock, place: Option<usize>, value: u32) -> Result<()> {
    place.map_or(Ok(()), |place| block.set_word(place, value))
}

impl Compiled {
    /// The words of a step of a sweep. If the sweep trains, `trained` steps were trained before it.
    pub(crate) fn step_block(
        &self,
        words: &mut Words,
        plan: &Plan,
        sweep: &Sweep,
        step: usize,
        trained: u64,
    ) -> Result<StepBlock> {
        let mut block = StepBlock::default();
        let place = step % sweep.steps % sweep.window;
        set(&mut block, words.start, (place * sweep.full.size) as u32)?;
        set(&mut block, words.record, (step % sweep.full.records) as u32)?;
        if sweep.train {
            set(&mut block, words.seed, fold_seed(self.seed()))?;
            // The counter may wrap after 2^32 steps: masks repeat, but nothing breaks.
            set(&mut block, words.step, trained as u32)?;
            for (i, (name, value)) in self.update_values(trained).into_iter().enumerate() {
                set(&mut block, words.update(plan, i, name), value.to_bits())?;
            }
        }
        Ok(block)
    }
}

/// A 64-bit seed in the generator's 32-bit key word.
pub(crate) fn fold_seed(seed: u64) -> u32 {
    (seed ^ (seed >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::StepParam;
    use crate::tensor::DType;

    fn plan(names: &[&str]) -> PlanData {
        let param = |name: &&str| StepParam { name: (*name).into(), dtype: DType::F32 };
        PlanData {
            buffers: Vec::new(),
            dispatches: Vec::new(),
            repeats: Vec::new(),
            outputs: Vec::new(),
            step_params: names.iter().map(param).collect(),
            params_bytes: 0,
        }
    }

    #[test]
    fn words_lie_where_the_plan_says_in_any_order() {
        let plan = plan(&["step", "alpha", "start", "apply"]);
        let mut words = Words::of(&plan);
        assert_eq!([words.step, words.start, words.record], [Some(0), Some(2), None]);
        for named in [&["alpha", "apply"][..], &["alpha", "apply"], &["apply"], &["other", "alpha"]]
        {
            for (i, &name) in named.iter().enumerate() {
                assert_eq!(words.update(&plan, i, name), plan.step_param(name), "{named:?}");
            }
        }
    }
}
