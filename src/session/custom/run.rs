//! Runs a session's steps and reads what they computed.

use super::super::clock::run_steps;
use super::super::words::fold_seed;
use super::builder::{WORDS, prefix};
use super::{Ids, Input, Session, StepId, input_buffer};
use crate::error::{Error, Result};
use crate::gpu::StepBlock;
use crate::tensor::{Data, Tensor};

impl Session {
    /// Runs a step on these inputs: name and tensor. An input that is not given keeps its tensor of the run before. The
    /// host does not wait for the result.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an input that the step does not have or was never given, and for a step of another
    /// session; [`Error::Shape`] or [`Error::DType`] for a tensor of another type, naming the input; [`Error::Data`] for a
    /// label past the classes of a loss, or an id past the table of a layer, that takes the input; [`Error::Gpu`] for a
    /// device failure.
    pub async fn run_async(&mut self, step: StepId, inputs: &[(&str, &Tensor)]) -> Result<()> {
        let index = self.index("step", step.0)?;
        let places = self.check_inputs(index, inputs)?;
        for (&place, (name, tensor)) in places.iter().zip(inputs) {
            let step = &mut self.steps[index];
            self.store.write(&input_buffer(&step.name, name), tensor.data().bytes())?;
            step.inputs[place].given = true;
        }
        let block = self.block(index)?;
        run_steps(&self.device, &mut self.steps[index].executor, &[block]).await?;
        Ok(())
    }

    /// The blocking form of [`Session::run_async`].
    ///
    /// # Errors
    /// As [`Session::run_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run(&mut self, step: StepId, inputs: &[(&str, &Tensor)]) -> Result<()> {
        crate::gpu::block_on(self.run_async(step, inputs))
    }

    /// Runs a step and reads all its outputs, in the order in which the step marks them. The host waits for them.
    ///
    /// # Errors
    /// As [`Session::run_async`].
    pub async fn call_async(
        &mut self,
        step: StepId,
        inputs: &[(&str, &Tensor)],
    ) -> Result<Vec<Tensor>> {
        self.run_async(step, inputs).await?;
        let executor = &self.steps[self.index("step", step.0)?].executor;
        let mut outputs = Vec::new();
        for output in &executor.plan().outputs {
            outputs.push(executor.read(&output.name).await?);
        }
        Ok(outputs)
    }

    /// The blocking form of [`Session::call_async`].
    ///
    /// # Errors
    /// As [`Session::call_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn call(&mut self, step: StepId, inputs: &[(&str, &Tensor)]) -> Result<Vec<Tensor>> {
        crate::gpu::block_on(self.call_async(step, inputs))
    }

    /// An output of a step's last run. The host waits for it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an output that the step does not have, a step that has not run, and one of another
    /// session; [`Error::Gpu`] for a device failure.
    pub async fn read_async(&self, step: StepId, output: &str) -> Result<Tensor> {
        let step = &self.steps[self.index("step", step.0)?];
        let names: Vec<&str> =
            step.executor.plan().outputs.iter().map(|o| o.name.as_str()).collect();
        if !names.contains(&output) {
            let detail = format!("step `{}` has {}", step.name, names.join(", "));
            return Err(Error::parameter("output", output, detail));
        }
        if step.executor.runs() == 0 {
            let detail = format!("step `{}` has not run yet", step.name);
            return Err(Error::parameter("output", output, detail));
        }
        step.executor.read(output).await
    }

    /// The blocking form of [`Session::read_async`].
    ///
    /// # Errors
    /// As [`Session::read_async`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self, step: StepId, output: &str) -> Result<Tensor> {
        crate::gpu::block_on(self.read_async(step, output))
    }

    /// The place of each input among those of the step, if all fit and none is missing.
    fn check_inputs(&self, index: usize, inputs: &[(&str, &Tensor)]) -> Result<Vec<usize>> {
        let step = &self.steps[index];
        let mut places = Vec::new();
        for (name, tensor) in inputs {
            let Some(i) = step.inputs.iter().position(|input| input.name == *name) else {
                let names: Vec<&str> = step.inputs.iter().map(|i| i.name.as_str()).collect();
                let detail = format!("step `{}` has {}", step.name, names.join(", "));
                return Err(Error::parameter("input", name, detail));
            };
            let Input { ty, ids, .. } = &step.inputs[i];
            if tensor.shape() != &ty.shape {
                let detail = format!("`{name}` of step `{}` has the second shape", step.name);
                return Err(Error::shape("run", &[tensor.shape(), &ty.shape], detail));
            }
            if tensor.dtype() != ty.dtype {
                let detail = format!("`{name}` of step `{}` has the second type", step.name);
                return Err(Error::dtype("run", &[tensor.dtype(), ty.dtype], detail));
            }
            if let (Some(Ids { range, takes }), Data::U32(given)) = (ids, tensor.data())
                && let Some(at) = given.iter().position(|&id| id as usize >= *range)
            {
                let detail = format!(
                    "element {at} is {}; in step `{}` {takes} 0..{range}",
                    given[at], step.name
                );
                return Err(Error::data(*name, detail));
            }
            if places.contains(&i) {
                return Err(Error::parameter("input", name, "it is given twice"));
            }
            places.push(i);
        }
        let missing = step.inputs.iter().enumerate().find(|(i, o)| !o.given && !places.contains(i));
        match missing {
            Some((_, input)) => {
                let detail = format!("step `{}` was never given it", step.name);
                Err(Error::parameter("input", &input.name, detail))
            }
            None => Ok(places),
        }
    }

    /// The words of a step's next run.
    fn block(&self, index: usize) -> Result<StepBlock> {
        let step = &self.steps[index];
        let plan = step.executor.plan();
        let mut block = StepBlock::default();
        let mut set = |name: &str, value: u32| match plan.step_param(name) {
            Some(place) => block.set_word(place, value),
            None => Ok(()),
        };
        let runs: u64 = self.steps.iter().map(|step| step.executor.runs()).sum();
        // The counter may wrap after 2^32 steps: masks repeat, but nothing breaks.
        for (name, value) in WORDS.into_iter().zip([fold_seed(self.seed), runs as u32]) {
            set(name, value)?;
        }
        for &o in &step.optimizers {
            let own = &self.optimizers[o];
            let done = self.steps_with(o);
            for (name, value) in own.gradients.step_values(&*own.rule, done, own.learning_rate) {
                set(&format!("{}{name}", prefix(o)), value.to_bits())?;
            }
        }
        Ok(block)
    }
}
