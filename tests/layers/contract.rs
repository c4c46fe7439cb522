//! What a layer may hold and give besides one output and trained weights: states, constants, several outputs; and what
//! is refused if it gives other things than it declares.

use super::*;
use support::device;
use wgrad::graph::TensorType;
use wgrad::layers::WeightSpec;

/// How a layer breaks its word.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    OutputShape,
    OutputType,
    OutputCount,
    StateName,
    StateShape,
    StateTwice,
    Mask,
    NoWeight,
    NoConstant,
    WeightAsState,
}

/// x + offset + count, where `offset` is a constant and `count` the number of training steps so far; and twice that.
#[derive(Debug)]
struct Counter(Fault);

impl Layer for Counter {
    fn kind(&self) -> &'static str {
        "Counter"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::f32(inputs[0].clone()); 2])
    }

    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        let none = Regularizer::default();
        vec![
            WeightSpec::new("part/scale", [1], Initializer::Constant(1.0), none),
            WeightSpec::state("count", [1], Initializer::Zeros),
            WeightSpec::state("untouched", [3], Initializer::Constant(7.0)),
        ]
    }

    fn constants(&self, inputs: &[Shape]) -> Vec<(String, Tensor)> {
        let width = inputs[0].dims()[0];
        vec![("offset".into(), Tensor::f32([width], vec![0.5; width]).unwrap())]
    }

    fn apply(&self, g: &mut Graph, cx: &Context) -> Result<Outputs> {
        let count = cx.state("count")?;
        let one = g.constant(1.0);
        let next = g.add(count, one)?;
        let y = g.add(cx.input(), cx.constant("offset")?)?;
        let y = g.add(y, count)?;
        let y = g.mul(y, cx.weight("part/scale")?)?;
        let twice = g.scale(y, 2.0)?;
        let good = Outputs::from(vec![y, twice]).state("count", next);
        Ok(match self.0 {
            Fault::None => good,
            Fault::OutputShape => {
                let sum = g.sum(twice, &[1], true)?;
                Outputs { values: vec![y, sum], ..good }
            }
            Fault::OutputType => {
                let shape = g.shape(y).clone();
                Outputs { values: vec![y, g.input("ids", shape, DType::U32)], ..good }
            }
            Fault::OutputCount => Outputs { values: vec![y], ..good },
            Fault::StateName => good.state("counts", next),
            Fault::StateShape => {
                let wide = g.broadcast_to(next, [2])?;
                Outputs::from(vec![y, twice]).state("count", wide)
            }
            Fault::StateTwice => good.state("count", count),
            Fault::Mask => {
                let mask = g.input("mask", [3, 1], DType::F32);
                good.mask(Some(mask))
            }
            Fault::NoWeight => return cx.weight("kernel").map(Outputs::from),
            Fault::NoConstant => return cx.constant("table").map(Outputs::from),
            Fault::WeightAsState => good.state("part/scale", next),
        })
    }
}

/// A model whose outputs are both of the counter's.
fn counting(fault: Fault) -> Result<Model> {
    let x = input([2]);
    let counted = x.then(Counter(fault));
    Model::new([&x], [&counted, &counted.output(1)])
}

fn pairs(n: usize) -> Result<TensorDataset> {
    let x = Tensor::f32([n, 2], vec![1.0; 2 * n])?;
    let y = Tensor::f32([n, 2], vec![0.0; 2 * n])?;
    TensorDataset::multi([x], [y.clone(), y])
}

fn compile() -> Compile {
    Compile::new(Sgd::new(0.0), Loss::MeanSquaredError)
}

/// The tensor of this name.
fn named(trainer: &Trainer, name: &str) -> Result<Vec<f32>> {
    let all = trainer.weights()?;
    let names: Vec<&str> = all.iter().map(|(n, _)| n.as_str()).collect();
    let found = all.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{names:?}"));
    Ok(found.1.as_f32()?.to_vec())
}

#[test]
fn training_alone_writes_states_and_all_else_reads_them() -> Result<()> {
    let model = counting(Fault::None)?;
    assert_eq!(model.output_names(), ["counter", "counter_1"]);
    assert_eq!(model.output_shapes(), [Shape::from([2]), Shape::from([2])]);
    let text = model.summary();
    for line in [
        "[(None, 2), (None, 2)]",
        "Total params: 5 ",
        "Trainable params: 1 ",
        "Non-trainable params: 4 ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let mut trainer = model.compile(device(), compile())?;
    let x = Tensor::f32([3, 2], [1.0, -1.0, 0.0, 2.0, 5.0, 3.0])?;
    let fit = |epochs| Fit::new().epochs(epochs).batch_size(4).verbose(Verbose::Silent);
    for epochs in [1, 2] {
        // Ten samples in batches of four: three steps in an epoch, the last with a short batch.
        let history =
            trainer.fit(&pairs(10)?, fit(epochs).initial_epoch(epochs - 1).shuffle(false));
        assert_eq!(history?.epochs.len(), 1);
        let steps = trainer.steps() as f32;
        assert_eq!(steps, 3.0 * epochs as f32);
        assert_eq!(named(&trainer, "counter/count")?, [steps]);
        assert_eq!(named(&trainer, "counter/untouched")?, [7.0; 3]);
        let y = trainer.predict_outputs(&x)?;
        let want: Vec<f32> = x.as_f32()?.iter().map(|x| x + 0.5 + steps).collect();
        assert_eq!(y[0].as_f32()?, want);
        assert_eq!(y[1].as_f32()?, want.iter().map(|y| 2.0 * y).collect::<Vec<f32>>());
        trainer.evaluate(&pairs(10)?)?;
        assert_eq!(named(&trainer, "counter/count")?, [steps]);
    }
    // States are weights for those who read and write weights, in the order of their declaration.
    let names: Vec<String> = trainer.weights()?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["counter/part/scale", "counter/count", "counter/untouched"]);
    trainer.keep_weights("here")?;
    let set = [[1.0].as_slice(), &[100.0], &[1.0, 2.0, 3.0]];
    let set = set.map(|v| Tensor::f32([v.len()], v).unwrap());
    trainer.set_weights(&set)?;
    assert_eq!(named(&trainer, "counter/untouched")?, [1.0, 2.0, 3.0]);
    assert_eq!(trainer.predict_outputs(&x)?[0].as_f32()?[0], 101.5);
    trainer.restore_weights("here")?;
    assert_eq!(named(&trainer, "counter/count")?, [trainer.steps() as f32]);
    Ok(())
}

/// Each use goes on from the state that the one before it left.
#[test]
fn uses_of_one_layer_change_its_state_in_order() -> Result<()> {
    let x = input([2]);
    let shared = LayerHandle::new(Counter(Fault::None));
    let thrice = x.then(&shared).then(&shared).then(&shared);
    let mut trainer = Model::new([&x], [&thrice])?.compile(device(), compile())?;
    let data = TensorDataset::new(Tensor::f32([1, 2], [0.0; 2])?, Tensor::f32([1, 2], [0.0; 2])?)?;
    let loss = |trainer: &mut Trainer| -> Result<f64> {
        let fit = Fit::new().full_batch().epochs(1 + trainer.steps() as usize);
        let fit = fit.initial_epoch(trainer.steps() as usize).verbose(Verbose::Silent);
        Ok(trainer.fit(&data, fit)?.get("loss")[0])
    };
    // Training adds 0.5 three times, and 0, 1 and 2; then 3, 4 and 5.
    assert_eq!(loss(&mut trainer)?, 4.5f64.powi(2));
    assert_eq!(named(&trainer, "counter/count")?, [3.0]);
    assert_eq!(loss(&mut trainer)?, 13.5f64.powi(2));
    // Evaluation adds the same count three times.
    assert_eq!(trainer.evaluate(&data)?.loss, 19.5f64.powi(2));
    Ok(())
}

#[test]
fn a_layer_that_breaks_its_word_is_named_with_the_thing() {
    for (fault, words) in [
        (Fault::OutputShape, ["output 1", "[1, 1], [1, 2]"]),
        (Fault::OutputType, ["output 1", "u32, f32"]),
        (Fault::OutputCount, ["outputs = 1", "declares 2"]),
        (Fault::StateName, ["state = counts", "it declares count, untouched"]),
        (Fault::StateShape, ["state `count`", "[2], [1]"]),
        (Fault::StateTwice, ["state = count", "two new values"]),
        (Fault::Mask, ["mask of output 0", "[3, 1], [1, 2]"]),
        (Fault::NoWeight, ["weight = kernel", "it declares part/scale"]),
        (Fault::NoConstant, ["constant = table", "it declares offset"]),
        (Fault::WeightAsState, ["state = part/scale", "it declares count, untouched"]),
    ] {
        let model = counting(fault).unwrap();
        let error = model.compile(device(), compile()).unwrap_err();
        says(&error, &["layer `counter`"]);
        says(&error, &words);
    }
}

#[test]
fn a_training_step_whose_states_would_be_lost_is_refused() -> Result<()> {
    let model = counting(Fault::None)?;
    let mut g = Graph::new();
    let x = g.input("x", [3, 2], DType::F32);
    let specs: Vec<WeightSpec> = model.weights().map(|(_, spec)| spec).collect();
    let shape = |s: &WeightSpec| s.shape.clone();
    let w: Vec<Value> = specs.iter().map(|s| g.input(&s.name, shape(s), DType::F32)).collect();
    assert_eq!(model.apply(&mut g, &[x], &w, None)?.len(), 2);
    let random = Some((g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?));
    let error = model.apply(&mut g, &[x], &w, random).unwrap_err();
    says(&error, &["state = counter/count", "Model::run"]);
    let outputs = model.run(&mut g, &[x], &[], &w, random)?;
    assert_eq!(outputs.state.len(), 1);
    assert_eq!(outputs.state[0].0, "counter/count");
    Ok(())
}

#[test]
fn an_output_that_a_layer_lacks_is_refused_by_name() {
    let x = input([2]);
    let error = Model::new([&x], [&x.then(Dense::new(3)).output(1)]).unwrap_err();
    says(&error, &["layer `dense`", "output = 1", "has 1 outputs"]);
    let error = Model::new([&x], [&x.output(1).then(Dense::new(3))]).unwrap_err();
    says(&error, &["output = 1"]);
}

/// A layer that declares one name twice.
#[derive(Debug)]
struct Twice;

impl Layer for Twice {
    fn kind(&self) -> &'static str {
        "Twice"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn weights(&self, _inputs: &[Shape]) -> Vec<WeightSpec> {
        vec![
            WeightSpec::new("a", [1], Initializer::Zeros, Regularizer::default()),
            WeightSpec::state("a", [1], Initializer::Zeros),
        ]
    }

    fn apply(&self, _g: &mut Graph, cx: &Context) -> Result<Outputs> {
        Ok(cx.input().into())
    }
}

#[test]
fn a_name_that_is_declared_twice_is_refused() {
    says(&refusal("twice", Twice, &[3]), &["weight = a", "declares it twice"]);
}

/// Two dense layers of which one is frozen, as one layer: names have a path, and the parts draw their own weights.
#[derive(Debug)]
struct Gate {
    value: LayerHandle,
    gate: LayerHandle,
}

impl Gate {
    fn new() -> Self {
        let gate = Dense::new(3).activation(Activation::Sigmoid).frozen();
        Self { value: Dense::new(3).into(), gate }
    }
}

impl Layer for Gate {
    fn kind(&self) -> &'static str {
        "Gate"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.value.layer().output_shape(inputs)
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<WeightSpec> {
        let value = self.value.weights_within("value", inputs);
        [value, self.gate.weights_within("gate", inputs)].concat()
    }

    fn apply(&self, g: &mut Graph, cx: &Context) -> Result<Outputs> {
        let value = cx.part("value", cx.inputs()).apply(g, &self.value)?;
        let gate = cx.part("gate", cx.inputs()).apply(g, &self.gate)?;
        Ok(g.mul(value.values[0], gate.values[0])?.into())
    }
}

#[test]
fn parts_of_a_layer_have_paths() -> Result<()> {
    let model = Sequential::new([4]).add(Gate::new().named("block_3")).build()?;
    let mut trainer = model.compile(device(), compile())?;
    let before = trainer.weights()?;
    let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
    let path = |part: &str, w: &str| format!("block_3/{part}/{w}");
    assert_eq!(
        names,
        [
            path("value", "kernel"),
            path("value", "bias"),
            path("gate", "kernel"),
            path("gate", "bias")
        ]
    );
    assert_ne!(before[0].1, before[2].1);
    assert!(model.summary().contains("Non-trainable params: 15 "));
    let x = numbers(&[6, 4], 3);
    let data = TensorDataset::new(x.clone(), numbers(&[6, 3], 4))?;
    trainer.set_learning_rate(0.1)?;
    trainer.fit(&data, Fit::new().full_batch().verbose(Verbose::Silent))?;
    let after = trainer.weights()?;
    assert_ne!(before[0], after[0]);
    assert_eq!(before[2..], after[2..]);
    let weights: Vec<Tensor> = before.into_iter().map(|(_, t)| t).collect();
    let step = model_step(&model, &[&x], &refs(&weights), None)?;
    let operands: Vec<&Tensor> = std::iter::once(&x).chain(&weights).collect();
    check_gradients("gate", &step, &operands, |at| {
        let product = |k: &[f64], b: &[f64]| {
            let y = reference::linalg::matmul(&at[0], k, 1, 6, 3, 4, false, false);
            reference::linalg::add_bias(&y, b)
        };
        let gate = product(&at[3], &at[4]).into_iter().map(|v| 1.0 / (1.0 + (-v).exp()));
        product(&at[1], &at[2]).iter().zip(gate).map(|(v, g)| v * g).collect()
    });
    Ok(())
}

/// x + the bytes of a table over 255: a constant of bytes, read by a gather.
#[derive(Debug)]
struct Offset(Vec<u8>);

impl Layer for Offset {
    fn kind(&self) -> &'static str {
        "Offset"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn constants(&self, _inputs: &[Shape]) -> Vec<(String, Tensor)> {
        vec![
            ("table".into(), Tensor::u8([self.0.len() / 2, 2], self.0.clone()).unwrap()),
            ("places".into(), Tensor::u32([1], [0]).unwrap()),
        ]
    }

    fn apply(&self, g: &mut Graph, cx: &Context) -> Result<Outputs> {
        let (table, places, start) =
            (cx.constant("table")?, cx.constant("places")?, g.constant_u32(0));
        let row = g.gather_batch(places, start, 1, &[(table, 1.0 / 255.0)])?[0];
        Ok(g.add(cx.input(), row)?.into())
    }
}

/// Two models of a session have another constant of the same layer and name; trainers and predictors give the same.
#[test]
fn constants_of_bytes_are_told_apart_by_content() -> Result<()> {
    let x = Tensor::f32([3, 2], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])?;
    let mut session = wgrad::session::Session::new(device(), 0);
    for (name, bytes) in [("a", vec![51, 255, 7, 9]), ("b", vec![102, 0, 7, 9])] {
        let add = bytes[..2].iter().map(|&b| f32::from(b) / 255.0).collect::<Vec<f32>>();
        let wanted: Vec<f32> =
            x.as_f32()?.chunks(2).flat_map(|x| [x[0] + add[0], x[1] + add[1]]).collect();
        let model = Sequential::new([2]).add(Offset(bytes)).build()?;
        assert_eq!(model.constants()[0].0, "offset/table");
        let id = session.add(name, &model)?;
        let step = session.step(name, |s| {
            let x = s.input("x", [3, 2], DType::F32);
            let y = s.apply(id, &[x], false)?[0];
            s.output("y", y);
            Ok(())
        })?;
        assert_near(session.call(step, &[("x", &x)])?[0].as_f32()?, &wanted);
        let predictor = session.predictor(id)?;
        assert_near(predictor.predict(&x)?.as_f32()?, &wanted);
        // A lane of another size.
        assert_near(predictor.predict(&x.rows(0, 1)?)?.as_f32()?, &wanted[..2]);
        let mut trainer = model.compile(device(), compile())?;
        assert_near(trainer.predict(&x)?.as_f32()?, &wanted);
    }
    let empty = Sequential::new([2]).add(Offset(vec![])).build()?;
    let error = session.add("empty", &empty).and_then(|id| {
        session.step("empty", |s| {
            let x = s.input("x", [3, 2], DType::F32);
            s.apply(id, &[x], false).map(|_| ())
        })
    });
    says(&error.unwrap_err(), &["offset/table", "an extent is zero"]);
    Ok(())
}

fn assert_near(found: &[f32], wanted: &[f32]) {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6;
    assert!(
        found.len() == wanted.len() && found.iter().zip(wanted).all(near),
        "{found:?} is not {wanted:?}"
    );
}
