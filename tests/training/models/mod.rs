//! Random models, trained for two steps with the passes on, off and each alone, against f64.
//!
//! 200 models run, each with all passes, with none and with one alone, which takes turns. With `WGRAD_RANDOM_MODELS` so
//! many run, and each pass alone on every one; `WGRAD_RANDOM_FIRST` is the first seed.

mod draw;
mod oracle;

use super::*;
use draw::{Drawn, Merge, Node, Rule};
use oracle::{ADAM_EPSILON, MOMENTUM, RATE, Trained, train};
use reference::compare::compare;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use wgrad::Result;
use wgrad::passes::Passes;

/// All passes, none, and each alone.
fn settings() -> Vec<(&'static str, Passes)> {
    let alone = Passes::each().into_iter().map(|(name, _, alone)| (name, alone));
    [("all passes", Passes::all()), ("no pass", Passes::none())].into_iter().chain(alone).collect()
}

/// The first model of this seed that can be tested in f32.
fn drawn(seed: u32) -> (Drawn, Trained) {
    let candidates = (0..).map(|attempt| Drawn::random(seed, attempt));
    let mut trained = candidates.map(|model| (train(&model, STEPS, |_| ()), model));
    let (want, model) = trained.find(|(want, _)| want.fit_for_test).expect("models without end");
    (model, want)
}

const STEPS: u64 = 2;

/// The model itself. Layer `i` is named `layer{i}`.
fn model(drawn: &Drawn) -> Result<Model> {
    let handles: Vec<LayerHandle> = (drawn.layers.iter().enumerate())
        .map(|(i, layer)| {
            let [rows, units] = layer.kernel;
            let handle = match layer.table {
                true => LayerHandle::new(Embedding::new(rows, units)),
                false => LayerHandle::new(
                    Dense::new(units)
                        .activation(layer.activation)
                        .use_bias(layer.bias)
                        .kernel_regularizer(Regularizer::l2(layer.l2)),
                ),
            };
            let handle = handle.named(&format!("layer{i}"));
            if layer.frozen { handle.frozen() } else { handle }
        })
        .collect();
    let inputs: Vec<SymbolicTensor> = drawn.inputs.iter().map(|i| input([i.width])).collect();
    let mut tensors = inputs.clone();
    for node in &drawn.nodes {
        let parts = |parts: &[usize]| parts.iter().map(|&p| tensors[p].clone()).collect::<Vec<_>>();
        tensors.push(match node {
            Node::Layer(l, x) if drawn.layers[*l].table => {
                tensors[*x].then(&handles[*l]).then(Flatten)
            }
            Node::Layer(l, x) => tensors[*x].then(&handles[*l]),
            Node::Activation(f, x) => tensors[*x].then(*f),
            Node::Normalize(x) => {
                let layer = LayerNormalization::new().epsilon(oracle::EPSILON);
                tensors[*x].then(layer.scale(false).center(false))
            }
            Node::Merge(Merge::Add, p) => merge(Add, &parts(p)),
            Node::Merge(Merge::Average, p) => merge(Average, &parts(p)),
            Node::Merge(Merge::Multiply, p) => merge(Multiply, &parts(p)),
            Node::Merge(Merge::Concatenate, p) => merge(Concatenate::default(), &parts(p)),
        });
    }
    Model::new(&inputs, drawn.outputs.iter().map(|o| &tensors[o.tensor]))
}

fn data(drawn: &Drawn) -> Result<TensorDataset> {
    let n = drawn.samples;
    let whole = |v: &[f32]| v.iter().map(|&v| v as u32).collect::<Vec<_>>();
    let x = drawn.inputs.iter().zip(drawn.features()).map(|(input, mut x)| {
        if input.ids {
            return Tensor::u32([n, input.width], whole(&x));
        }
        x.iter_mut().for_each(|x| *x /= drawn.scale());
        match input.bytes {
            true => Tensor::u8([n, input.width], x.iter().map(|&x| x as u8).collect::<Vec<_>>()),
            false => Tensor::f32([n, input.width], x),
        }
    });
    let y = drawn.outputs.iter().zip(drawn.targets()).map(|(output, y)| {
        match output.loss.takes_labels() {
            true => Tensor::u32([n], whole(&y)),
            false => Tensor::f32([n, y.len() / n], y),
        }
    });
    TensorDataset::multi(x.collect::<Result<Vec<_>>>()?, y.collect::<Result<Vec<_>>>()?)?
        .scaled(drawn.scale())
}

/// The library's results for a model: the loss of each step, the weights by name, the predictions.
struct Got {
    losses: Vec<f32>,
    weights: Vec<(String, Vec<f32>)>,
    predictions: Vec<Vec<f32>>,
}

fn run(drawn: &Drawn, passes: Passes) -> Result<Got> {
    let model = model(drawn)?;
    let mut settings = match drawn.rule {
        Rule::Sgd => Compile::new(Sgd::new(RATE), SPARSE),
        Rule::Nesterov => {
            let rule = Sgd { momentum: MOMENTUM, nesterov: true, ..Sgd::new(RATE) };
            Compile::new(rule, SPARSE)
        }
        Rule::Adam => Compile::new(Adam { epsilon: ADAM_EPSILON, ..Adam::new(RATE) }, SPARSE),
    };
    for (name, output) in model.output_names().iter().zip(&drawn.outputs) {
        settings = settings.output_loss(name, output.loss, output.weight);
    }
    if let Some(clip) = drawn.clip {
        settings = settings.clip(clip);
    }
    let mut trainer = model.compile(device(), settings.passes(passes))?;
    let first = drawn.weights();
    let placed: Vec<Tensor> = (trainer.layout().tensors.iter())
        .map(|t| Tensor::f32(t.spec.shape.clone(), of(&first, &t.name).clone()))
        .collect::<Result<_>>()?;
    trainer.set_weights(&placed)?;
    let data = data(drawn)?;
    let fit = Fit::new().epochs(STEPS as usize).full_batch().verbose(Verbose::Silent);
    let losses = trainer.fit(&data, fit)?.get("loss");
    let numbers = |t: &Tensor| t.as_f32().map(<[f32]>::to_vec);
    Ok(Got {
        losses: losses.into_iter().map(|l| l as f32).collect(),
        weights: (trainer.weights()?.iter())
            .map(|(name, t)| Ok((name.clone(), numbers(t)?)))
            .collect::<Result<_>>()?,
        predictions: trainer.predict_outputs(&data)?.iter().map(numbers).collect::<Result<_>>()?,
    })
}

/// The weight of this name, `layer3/bias`, among those of all layers.
fn of<'a, T>(weights: &'a [Vec<Vec<T>>], name: &str) -> &'a Vec<T> {
    let (layer, part) = name.split_once('/').expect("layer/part");
    let layer: usize = layer.trim_start_matches("layer").parse().expect("a number");
    &weights[layer][usize::from(part == "bias")]
}

/// Whether the library agrees with f64. Weights of about 1 are held to a change of a few roundings; predictions and
/// losses are sums of much larger terms.
fn agree(drawn: &Drawn, got: &Got, want: &Trained) -> Result<(), String> {
    compare("losses", &got.losses, &want.losses, 2e-5, 2e-5)?;
    for (name, w) in &got.weights {
        compare(name, w, of(&want.weights, name), 1e-5, 3e-6)?;
    }
    for (i, want) in oracle::predict(drawn, &want.weights).iter().enumerate() {
        compare(&format!("output {i}"), &got.predictions[i], want, 2e-5, 2e-5)?;
    }
    Ok(())
}

/// A number from the environment.
fn number(name: &str) -> Option<u32> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

/// What a test of models must have met, and how often it did.
#[derive(Debug, Default)]
struct Met {
    shared: u32,
    frozen: u32,
    embedded: u32,
    merged: u32,
    stepped: u32,
    normalized: u32,
    inputs: u32,
    bytes: u32,
    outputs: u32,
    twice: u32,
    clipped: u32,
    moved: u32,
    /// How many models ran with each setting.
    settings: BTreeMap<&'static str, u32>,
}

impl Met {
    fn count(&mut self, drawn: &Drawn, want: &Trained) {
        let uses = drawn.uses();
        let layers = || drawn.layers.iter().zip(&uses).filter(|(_, uses)| **uses > 0);
        let step = |f: Activation| matches!(f, Activation::Step);
        let normalizes = drawn.nodes.iter().any(|n| matches!(n, Node::Normalize(_)));
        let merges = drawn.nodes.iter().any(|n| matches!(n, Node::Merge(..)));
        let tensors: Vec<usize> = drawn.outputs.iter().map(|o| o.tensor).collect();
        let twice = (1..tensors.len()).any(|i| tensors[..i].contains(&tensors[i]));
        let first = drawn.weights().into_iter().flatten().map(|w| widen(&w));
        let moved =
            first.zip(want.weights.iter().flatten()).any(|(before, after)| before != *after);
        for (counter, met) in [
            (&mut self.shared, uses.iter().any(|&n| n > 1)),
            (&mut self.frozen, layers().any(|(l, _)| l.frozen)),
            (&mut self.embedded, layers().any(|(l, _)| l.table)),
            (&mut self.merged, merges),
            (&mut self.stepped, layers().any(|(l, _)| step(l.activation))),
            (&mut self.normalized, normalizes),
            (&mut self.inputs, drawn.inputs.len() > 1),
            (&mut self.bytes, drawn.inputs.iter().any(|input| input.bytes)),
            (&mut self.outputs, drawn.outputs.len() > 1),
            (&mut self.twice, twice),
            (&mut self.clipped, drawn.clip.is_some()),
            (&mut self.moved, moved),
        ] {
            *counter += u32::from(met);
        }
    }

    fn least(&self) -> u32 {
        let all = [self.shared, self.frozen, self.embedded, self.merged, self.stepped];
        let rest = [self.normalized, self.inputs, self.bytes, self.outputs];
        let rest = rest.into_iter().chain([self.twice, self.clipped]);
        let ran = settings().into_iter().map(|(name, _)| self.settings.get(name).copied());
        all.into_iter().chain(rest).chain(ran.map(Option::unwrap_or_default)).min().unwrap_or(0)
    }
}

/// Trains the model of this seed with some settings; what was wrong.
fn failures(seed: u32, all: bool, met: &mut Met) -> Vec<String> {
    let (drawn, want) = drawn(seed);
    met.count(&drawn, &want);
    let settings = settings();
    let alone = 2 + seed as usize % (settings.len() - 2);
    let chosen = settings.into_iter().enumerate().filter(|(i, _)| all || *i < 2 || *i == alone);
    let wrong = chosen.filter_map(|(_, (name, passes))| {
        *met.settings.entry(name).or_default() += 1;
        let result = match std::panic::catch_unwind(AssertUnwindSafe(|| run(&drawn, passes))) {
            Ok(got) => got.map_err(|e| e.to_string()).and_then(|got| agree(&drawn, &got, &want)),
            Err(_) => Err("a panic".into()),
        };
        result.err().map(|message| format!("seed {seed}, {name}: {message}\n{drawn:?}"))
    });
    wrong.collect()
}

#[test]
fn random_models_train_as_in_f64() {
    let first = number("WGRAD_RANDOM_FIRST").unwrap_or(0);
    let given = number("WGRAD_RANDOM_MODELS");
    let count = given.unwrap_or(200);
    let mut met = Met::default();
    let seeds = first..first.saturating_add(count);
    let failures: Vec<String> =
        seeds.flat_map(|seed| failures(seed, given.is_some(), &mut met)).collect();
    let shown = failures.iter().take(3).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(
        failures.is_empty(),
        "{} failures; one model alone: WGRAD_RANDOM_MODELS=1 WGRAD_RANDOM_FIRST=seed\n{shown}",
        failures.len()
    );
    if count >= 200 {
        assert!(met.least() * 40 >= count, "of {count} models: {met:?}");
        assert!(met.moved * 10 >= count * 9, "of {count} models: {met:?}");
    }
}

/// The comparison finds one element that is off, and one gradient that is.
#[test]
fn a_wrong_element_of_a_random_model_is_found() -> Result<()> {
    let plain = |(drawn, _): &(Drawn, Trained)| {
        let trained = drawn.uses().iter().zip(&drawn.layers).any(|(&n, l)| n > 0 && !l.frozen);
        trained && drawn.rule == Rule::Sgd && drawn.clip.is_none()
    };
    for (drawn, want) in (1000..).map(drawn).filter(plain).take(4) {
        let got = run(&drawn, Passes::default())?;
        assert_eq!(agree(&drawn, &got, &want), Ok(()));
        for i in 0..got.weights.len() {
            let mut wrong = Got {
                weights: got.weights.clone(),
                losses: got.losses.clone(),
                predictions: got.predictions.clone(),
            };
            *wrong.weights[i].1.last_mut().expect("an element") += 1e-3;
            assert!(agree(&drawn, &wrong, &want).is_err(), "{}", got.weights[i].0);
        }
        let uses = drawn.uses();
        let wrong = train(&drawn, STEPS, |gradients| {
            let trained = gradients.iter_mut().enumerate();
            let trained = trained.filter(|(l, _)| uses[*l] > 0 && !drawn.layers[*l].frozen);
            let all = trained.flat_map(|(_, own)| own.iter_mut().flatten());
            let largest = all.max_by(|a, b| a.abs().total_cmp(&b.abs()));
            *largest.expect("a trained weight") += 0.01;
        });
        assert!(agree(&drawn, &got, &wrong).is_err(), "seed {}", drawn.seed);
    }
    Ok(())
}

/// Two linear towers have equal bias gradients, with one input equal kernel gradients too; a step function makes all
/// gradients before it zero.
#[test]
fn parameters_with_equal_gradients_train() -> Result<()> {
    let (a, b) = (input([3]), input([3]));
    let towers =
        |x: &SymbolicTensor, y: &SymbolicTensor| [x.then(Dense::new(2)), y.then(Dense::new(2))];
    let x = Tensor::f32([3, 3], random::uniform(1, 9, -1.0, 1.0))?;
    let y = Tensor::f32([3, 2], random::uniform(2, 6, -1.0, 1.0))?;
    let step = |x: &SymbolicTensor| x.then(Dense::new(3).activation(Activation::Step));
    let one = [merge(Add, &towers(&a, &a)), merge(Average, &towers(&a, &a)), {
        step(&step(&a)).then(Dense::new(2))
    }];
    let mut models: Vec<Model> = Vec::new();
    for output in &one {
        models.push(Model::new([&a], [output])?);
    }
    models.push(Model::new([&a, &b], [&merge(Average, &towers(&a, &b))])?);
    for model in models {
        let x = vec![x.clone(); model.inputs().len()];
        let settings = Compile::new(Sgd::new(0.1), Loss::MeanSquaredError);
        let mut trainer = model.compile(device(), settings)?;
        let losses = trainer.fit(
            &TensorDataset::multi(x, [y.clone()])?,
            Fit::new().epochs(20).full_batch().verbose(Verbose::Silent),
        )?;
        let losses = losses.get("loss");
        assert!(losses[19] < 0.9 * losses[0], "{losses:?}");
    }
    Ok(())
}
