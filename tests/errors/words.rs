//! Step words that a plan does not read: an error, since a misspelt rate would be zero.

use super::*;
use wgrad::gpu::StepBlock;
use wgrad::graph::{Graph, Value};
use wgrad::optim::{Schedule, Slot};
use wgrad::passes::Passes;
use wgrad::plan::Plan;
use wgrad::tensor::DType;

#[test]
fn step_words_that_the_plan_does_not_read_are_refused() {
    let mut g = Graph::new();
    let x = g.input("x", [4], DType::F32);
    let rate = g.step_param("rate", DType::F32).unwrap();
    let y = g.mul(x, rate).unwrap();
    g.output("y", y);
    let plan = |g: &Graph| Plan::compile(g, &Passes::default(), support::device().caps()).unwrap();
    let words = plan(&g);
    let mut block = StepBlock::default();
    block.set_f32(&words, "rate", 0.5).unwrap();
    let unknown = block.set_f32(&words, "rat", 0.5);
    refused!(unknown, Error::Parameter { .. }, "step word `rat` = 0.5", "f32", "`rate` (f32)");
    let other_type = block.set_u32(&words, "rate", 3);
    refused!(other_type, Error::Parameter { .. }, "step word `rate` = 3", "no such u32", "(f32)");
    let at = words.step_param("rate").unwrap();
    block.set_word(at, 7).unwrap();
    refused!(block.set_word(64, 7), Error::Parameter { .. }, "step word = 64", "64 words");
    let mut g = Graph::new();
    let x = g.input("x", [4], DType::F32);
    let y = g.add(x, x).unwrap();
    g.output("y", y);
    refused!(block.set_u32(&plan(&g), "record", 1), Error::Parameter { .. }, "reads no step words");
}

/// Plain descent that reads one word and is given others.
#[derive(Debug)]
struct Descent {
    rate: Schedule,
    given: &'static [&'static str],
}

impl Optimizer for Descent {
    fn name(&self) -> &'static str {
        "descent"
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn slots(&self) -> Vec<Slot> {
        Vec::new()
    }

    fn update(
        &self,
        graph: &mut Graph,
        p: Value,
        g: Value,
        _slots: &[Value],
    ) -> Result<(Value, Vec<Value>)> {
        let rate = graph.step_param("rate", DType::F32)?;
        let step = graph.mul(g, rate)?;
        Ok((graph.sub(p, step)?, vec![]))
    }

    fn learning_rate(&self) -> &Schedule {
        &self.rate
    }

    fn step_values(&self, _done: u64, learning_rate: f64) -> Vec<(&'static str, f32)> {
        self.given.iter().map(|&name| (name, learning_rate as f32)).collect()
    }
}

#[test]
fn an_optimizer_gives_the_words_that_it_reads() {
    let fit = |given| {
        let rule = Descent { rate: Schedule::Constant(0.1), given };
        let data = classes(6, 4);
        compile(&linear(), rule, SPARSE)?.fit(&data, Fit::new().batch_size(4))
    };
    fit(&["rate"]).unwrap();
    refused!(fit(&["rat"]), Error::Parameter { .. }, "descent step word = rate", "`step_values`");
    refused!(fit(&[]), Error::Parameter { .. }, "descent step word = rate", "does not give it");
    let more = fit(&["rate", "momentum"]);
    refused!(more, Error::Parameter { .. }, "descent step word = momentum", "does not read it");
}
