//! Loops of one's own: several models and optimizers over shared weights.

use super::support::{device, says};
use super::*;
use wgrad::Result;
use wgrad::optim::GradientTransform;
use wgrad::session::{ModelId, StepId};

const BATCH: usize = 16;

fn net() -> Result<Model> {
    Sequential::new([3])
        .add(Dense::new(7).activation(Activation::Tanh).kernel_regularizer(Regularizer::l2(0.01)))
        .add(Dense::new(4).frozen())
        .add(Dense::new(1))
        .build()
}

fn batch(seed: u32) -> (Tensor, Tensor) {
    let x = random::uniform(seed, BATCH * 3, -1.0, 1.0);
    let y: Vec<f32> = x.chunks(3).map(|x| (x[0] + 2.0 * x[1]).sin() - x[2]).collect();
    (Tensor::f32([BATCH, 3], x).unwrap(), Tensor::f32([BATCH, 1], y).unwrap())
}

fn bits(weights: &[(String, Tensor)]) -> Vec<u32> {
    weights.iter().flat_map(|(_, w)| w.as_f32().unwrap().iter().map(|v| v.to_bits())).collect()
}

/// A step that lowers the squared error of a model.
fn regress(
    session: &mut Session,
    name: &str,
    model: ModelId,
    rule: impl Optimizer + 'static,
) -> Result<StepId> {
    let optimizer = session.optimizer(rule, [model])?;
    session.step(name, |s| {
        let (x, y) = (s.input("x", [BATCH, 3], DType::F32), s.input("y", [BATCH, 1], DType::F32));
        let p = s.apply(model, &[x], true)?[0];
        let loss = s.loss(&Loss::MeanSquaredError, y, p)?;
        s.output("loss", loss);
        s.minimize(loss, optimizer)
    })
}

#[test]
fn a_session_trains_as_fit_does() -> Result<()> {
    for clipped in [false, true] {
        let transform = match clipped {
            true => GradientTransform { clip: Some(Clip::GlobalNorm(0.1)), accumulation_steps: 2 },
            false => GradientTransform::default(),
        };
        let mut compile = Compile::new(Adam::new(0.01), Loss::MeanSquaredError).seed(5);
        if clipped {
            compile = compile.clip(Clip::GlobalNorm(0.1)).gradient_accumulation_steps(2);
        }
        let mut trainer = net()?.compile(device(), compile)?;
        let mut session = Session::new(device(), 5);
        let model = session.add("net", &net()?)?;
        assert_eq!(session.weights(model)?, trainer.weights()?);
        let before = bits(&trainer.weights()?);
        let adam = session.optimizer_with(Adam::new(0.01), transform, [model])?;
        let step = session.step("fit", |s| {
            let (x, y) =
                (s.input("x", [BATCH, 3], DType::F32), s.input("y", [BATCH, 1], DType::F32));
            let p = s.apply(model, &[x], true)?[0];
            let loss = s.loss(&Loss::MeanSquaredError, y, p)?;
            s.minimize(loss, adam)
        })?;
        for i in 0..9 {
            let (x, y) = batch(i);
            session.run(step, &[("x", &x), ("y", &y)])?;
            trainer.train_on_batch(&TensorDataset::new(x, y)?)?;
        }
        assert_eq!(session.weights(model)?, trainer.weights()?, "clipped: {clipped}");
        assert_ne!(bits(&session.weights(model)?), before);
        let (x, _) = batch(100);
        let own = session.predictor(model)?.predict(&x)?;
        assert_eq!(own, trainer.predict(&x)?);
    }
    Ok(())
}

#[test]
fn two_rules_in_one_step_have_their_own_words_and_states() -> Result<()> {
    let (x, y) = batch(1);
    let inputs = [("x", &x), ("y", &y)];
    // Each model alone, with a rule of its own: Adam at two rates reads a word of one name.
    let alone = |rate: f32| -> Result<Vec<u32>> {
        let mut session = Session::new(device(), 2);
        let model = session.add("a", &net()?)?;
        let step = regress(&mut session, "alone", model, Adam::new(rate))?;
        for _ in 0..5 {
            session.run(step, &inputs)?;
        }
        Ok(bits(&session.weights(model)?))
    };
    let mut session = Session::new(device(), 2);
    let (a, b) = (session.add("a", &net()?)?, session.add("b", &net()?)?);
    let of_a = session.optimizer(Adam::new(0.01), [a])?;
    let of_b = session.optimizer(Adam::new(0.05), [b])?;
    let both = session.step("both", |s| {
        let (x, y) = (s.input("x", [BATCH, 3], DType::F32), s.input("y", [BATCH, 1], DType::F32));
        for (model, optimizer) in [(a, of_a), (b, of_b)] {
            let p = s.apply(model, &[x], true)?[0];
            let loss = s.loss(&Loss::MeanSquaredError, y, p)?;
            s.minimize(loss, optimizer)?;
        }
        Ok(())
    })?;
    for _ in 0..5 {
        session.run(both, &inputs)?;
    }
    assert_eq!(bits(&session.weights(a)?), alone(0.01)?);
    assert_eq!(bits(&session.weights(b)?), alone(0.05)?);
    assert_ne!(alone(0.01)?, alone(0.05)?);
    Ok(())
}

#[test]
fn steps_share_weights_and_leave_other_models_alone() -> Result<()> {
    let mut session = Session::new(device(), 3);
    let (online, target) = (session.add("online", &net()?)?, session.add("target", &net()?)?);
    let train = regress(&mut session, "train", online, Sgd::new(0.1))?;
    let look = session.step("look", |s| {
        let x = s.input("x", [BATCH, 3], DType::F32);
        let (a, b) = (s.apply(online, &[x], false)?[0], s.apply(target, &[x], false)?[0]);
        s.output("online", a);
        s.output("target", b);
        Ok(())
    })?;
    let (x, y) = batch(7);
    session.run(look, &[("x", &x)])?;
    let first = session.read(look, "target")?;
    assert_eq!(session.read(look, "online")?, first);
    session.run(train, &[("x", &x), ("y", &y)])?;
    // What is not given stays; the outputs of a step outlive the runs of others.
    assert_eq!(session.read(look, "online")?, first);
    session.run(look, &[])?;
    assert_ne!(session.read(look, "online")?, first);
    assert_eq!(session.read(look, "target")?, first);
    session.copy_weights(online, target)?;
    session.run(look, &[])?;
    assert_eq!(session.read(look, "online")?, session.read(look, "target")?);
    // The loss falls.
    let before = session.read(train, "loss")?.as_f32()?[0];
    for _ in 0..50 {
        session.run(train, &[])?;
    }
    assert!(session.read(train, "loss")?.as_f32()?[0] < 0.5 * before);
    Ok(())
}

#[test]
fn rates_and_seeds_are_as_set() -> Result<()> {
    let mut session = Session::new(device(), 0);
    let model = session.add("net", &net()?)?;
    let sgd = session.optimizer(Sgd::new(ExponentialDecay::new(0.1, 1, 0.5)), [model])?;
    let step = session.step("train", |s| {
        let x = s.normal([BATCH, 3])?;
        s.output("x", x);
        let p = s.apply(model, &[x], true)?[0];
        let zero = s.filled([BATCH, 1], 0.0)?;
        let loss = s.loss(&Loss::MeanSquaredError, zero, p)?;
        s.minimize(loss, sgd)
    })?;
    let mut draws = Vec::new();
    for rate in [0.1, 0.05, 0.025] {
        assert!((session.learning_rate(sgd)? - rate).abs() < 1e-7);
        session.run(step, &[])?;
        draws.push(session.read(step, "x")?);
    }
    assert!(draws[0] != draws[1] && draws[1] != draws[2]);
    session.set_learning_rate(sgd, 0.0)?;
    let before = bits(&session.weights(model)?);
    session.run(step, &[])?;
    assert_eq!((session.learning_rate(sgd)?, bits(&session.weights(model)?)), (0.0, before));
    Ok(())
}

/// Labels and ids that a step is given are checked as those of `fit` are.
#[test]
fn labels_and_ids_past_the_end_are_refused() -> Result<()> {
    let words = Sequential::new([2]).add(Embedding::new(5, 4)).add(Flatten).add(Dense::new(3));
    let mut session = Session::new(device(), 0);
    let model = session.add("words", &words.build()?)?;
    let sgd = session.optimizer(Sgd::new(0.1), [model])?;
    let train = session.step("train", |s| {
        let (x, y) = (s.input("x", [4, 2], DType::U32), s.input("y", [4, 1], DType::U32));
        let p = s.apply(model, &[x], true)?[0];
        let labels = s.graph().reshape(y, [4])?;
        let loss = s.loss(&SPARSE, labels, p)?;
        s.output("loss", loss);
        s.minimize(loss, sgd)
    })?;
    let ids = |last| Tensor::u32([4, 2], [0, 1, 2, 3, 4, 0, 1, last]);
    let labels = |last| Tensor::u32([4, 1], [0, 1, 2, last]);
    let before = bits(&session.weights(model)?);
    for (x, y, what) in [
        (5, 0, ["`x`", "element 7 is 5", "layer `embedding` of `words`", "0..5"]),
        (0, 3, ["`y`", "element 3 is 3", "sparse_categorical_crossentropy", "0..3"]),
    ] {
        let error = session.run(train, &[("x", &ids(x)?), ("y", &labels(y)?)]).unwrap_err();
        says(&error, &[&what[..], &["`train`"]].concat());
    }
    assert_eq!(bits(&session.weights(model)?), before, "nothing ran");
    session.run(train, &[("x", &ids(4)?), ("y", &labels(2)?)])?;
    assert_ne!(bits(&session.weights(model)?), before);
    Ok(())
}

#[test]
fn bad_input_is_refused_by_name() -> Result<()> {
    let mut session = Session::new(device(), 0);
    let model = session.add("net", &net()?)?;
    let train = regress(&mut session, "train", model, Sgd::new(0.1))?;
    let sgd = session.optimizer(Sgd::new(0.1), [model])?;
    let (x, y) = batch(0);
    says(&session.add("net", &net()?).unwrap_err(), &["name of a model", "net"]);
    says(&session.add("a/b", &net()?).unwrap_err(), &["name of a model", "a/b"]);
    says(&session.optimizer(Sgd::new(-1.0), [model]).unwrap_err(), &["learning_rate", "-1"]);
    says(&session.optimizer(Sgd::new(0.1), []).unwrap_err(), &["models"]);
    says(&session.optimizer(Sgd::new(0.1), [model, model]).unwrap_err(), &["models", "net"]);
    says(&session.run(train, &[("x", &x)]).unwrap_err(), &["input", "y", "train"]);
    says(&session.run(train, &[("z", &x)]).unwrap_err(), &["input", "z", "x, y"]);
    says(&session.run(train, &[("x", &y)]).unwrap_err(), &["`x`", "[16, 1]", "[16, 3]"]);
    says(&session.run(train, &[("x", &x), ("x", &x)]).unwrap_err(), &["x", "twice"]);
    let labels = Tensor::u32([BATCH, 1], vec![0; BATCH])?;
    says(&session.run(train, &[("y", &labels)]).unwrap_err(), &["`y`", "u32", "f32"]);
    says(&session.read(train, "loss").unwrap_err(), &["loss", "has not run"]);
    says(&session.read(train, "gain").unwrap_err(), &["gain", "loss"]);
    let mut refused = |build: &dyn Fn(&mut wgrad::session::StepBuilder<'_>) -> Result<()>,
                       words: &[&str]| {
        says(&session.step("wrong", build).unwrap_err(), words);
    };
    refused(
        &|s| {
            let loss = s.graph().constant(1.0);
            s.minimize(loss, sgd)
        },
        &["SGD", "does not depend", "net"],
    );
    refused(
        &|s| {
            let x = s.normal([BATCH, 3])?;
            let p = s.apply(model, &[x], true)?[0];
            s.minimize(p, sgd)
        },
        &["a loss is one f32 number"],
    );
    refused(
        &|s| {
            let x = s.normal([BATCH, 3])?;
            let p = s.apply(model, &[x], true)?[0];
            let loss = s.graph().sum(p, &[], false)?;
            s.minimize(loss, sgd)?;
            s.minimize(loss, sgd)
        },
        &["SGD", "already", "net"],
    );
    refused(
        &|s| {
            let word = s.graph().step_param("rate", DType::F32)?;
            s.output("rate", word);
            Ok(())
        },
        &["step word", "rate", "input"],
    );
    refused(
        &|s| {
            let state = s.graph().state("mean", [4], DType::F32);
            let twice = s.graph().scale(state, 2.0)?;
            s.output("twice", twice);
            Ok(())
        },
        &["mean", "input"],
    );
    refused(
        &|s| {
            let x = s.input("x", [BATCH, 2], DType::F32);
            s.apply(model, &[x], true).map(|_| ())
        },
        &["dense"],
    );
    refused(
        &|s| {
            let (a, b) = (s.input("x", [2], DType::F32), s.input("x", [2, 1], DType::F32));
            let sum = s.graph().add(a, b)?;
            s.output("sum", sum);
            Ok(())
        },
        &["x", "one shape"],
    );
    let mut other = Session::new(device(), 0);
    says(&other.weights(model).unwrap_err(), &["model", "another session"]);
    says(&other.run(train, &[]).unwrap_err(), &["step", "another session"]);
    says(&other.set_learning_rate(sgd, 0.1).unwrap_err(), &["optimizer", "another session"]);
    let small = other.add("small", &Sequential::new([3]).add(Dense::new(2)).build()?)?;
    let large = other.add("large", &Sequential::new([3]).add(Dense::new(3)).build()?)?;
    says(&other.copy_weights(small, large).unwrap_err(), &["[3, 2]", "[3, 3]"]);
    says(&other.set_weights(small, &[x]).unwrap_err(), &["weights", "2"]);
    // A step that failed to build took no name.
    assert!(regress(&mut session, "wrong", model, Sgd::new(0.1)).is_ok());
    Ok(())
}

#[test]
fn memory_is_refused_before_it_is_taken() -> Result<()> {
    let caps =
        wgrad::kernels::DeviceCaps { memory_bytes: Some(200_000), ..device().caps().clone() };
    let mut session = Session::new(&device().with_caps(caps), 0);
    let wide = Sequential::new([300]).add(Dense::new(300)).build()?;
    says(&session.add("wide", &wide).unwrap_err(), &["wide", "memory"]);
    let model = session.add("net", &net()?)?;
    let error = session.step("large", |s| {
        let x = s.normal([10_000, 3])?;
        let p = s.apply(model, &[x], false)?[0];
        s.output("p", p);
        Ok(())
    });
    says(&error.unwrap_err(), &["large", "memory"]);
    Ok(())
}

#[test]
fn states_follow_the_batches_of_a_session() -> Result<()> {
    let model = Sequential::new([3])
        .add(Dense::new(6))
        .add(BatchNormalization::default())
        .add(Dense::new(1))
        .build()?;
    let mut trainer =
        model.compile(device(), Compile::new(Sgd::new(0.05), Loss::MeanSquaredError))?;
    let mut session = Session::new(device(), 0);
    let own = session.add("net", &model)?;
    let before = bits(&session.weights(own)?);
    let step = regress(&mut session, "train", own, Sgd::new(0.05))?;
    for i in 0..4 {
        let (x, y) = batch(i);
        session.run(step, &[("x", &x), ("y", &y)])?;
        trainer.train_on_batch(&TensorDataset::new(x, y)?)?;
    }
    assert_eq!(session.weights(own)?, trainer.weights()?);
    let names: Vec<String> = trainer.weights()?.into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().any(|name| name.contains("moving_mean")), "{names:?}");
    assert_ne!(bits(&session.weights(own)?), before);
    // The statistics are part of what predicts.
    let (x, _) = batch(9);
    let wanted = trainer.predict(&x)?;
    assert_eq!(trainer.predictor()?.predict(&x)?, wanted);
    assert_eq!(session.predictor(own)?.predict(&x)?, wanted);
    Ok(())
}

/// Gradients that the host reads and applies, weight by weight, are those of plain gradient descent.
#[test]
fn a_call_gives_all_outputs_and_the_host_may_update() -> Result<()> {
    let mut session = Session::new(device(), 5);
    let (ours, theirs) = (session.add("ours", &net()?)?, session.add("theirs", &net()?)?);
    session.copy_weights(ours, theirs)?;
    let build = |session: &mut Session, name: &str, model: ModelId| {
        session.step(name, |s| {
            let (x, y) =
                (s.input("x", [BATCH, 3], DType::F32), s.input("y", [BATCH, 1], DType::F32));
            let p = s.apply(model, &[x], true)?[0];
            let loss = s.loss(&Loss::MeanSquaredError, y, p)?;
            s.output("loss", loss);
            let gradients = s.gradients(loss, model)?;
            s.outputs("gradient", &gradients);
            Ok(())
        })
    };
    let (step, other) = (build(&mut session, "a", ours)?, build(&mut session, "b", theirs)?);
    let (x, y) = batch(1);
    let given = [("x", &x), ("y", &y)];
    let outputs = session.call(step, &given)?;
    let weights = session.weights(ours)?;
    assert_eq!(outputs.len(), 1 + weights.len());
    assert_eq!(outputs[0], session.read(step, "loss")?);
    for (i, output) in outputs[1..].iter().enumerate() {
        assert_eq!(*output, session.read(step, &format!("gradient {i}"))?);
        assert_eq!(output.shape(), weights[i].1.shape());
        assert!(output.as_f32()?.iter().any(|&g| g != 0.0), "gradient {i}");
    }
    session.map_weights(ours, |i, w| w.zip_with(&outputs[1 + i], |w, g| w - 0.1 * g))?;
    for ((i, (name, new)), (_, old)) in session.weights(ours)?.iter().enumerate().zip(&weights) {
        let gradient = outputs[1 + i].as_f32()?;
        let wanted = old.as_f32()?.iter().zip(gradient).map(|(w, g)| w - 0.1 * g);
        assert_eq!(new.as_f32()?, wanted.collect::<Vec<f32>>(), "{name}");
    }
    assert_ne!(session.call(step, &given)?[0], outputs[0]);
    // The other model stays, and the same numbers come of it.
    assert_eq!(
        session.weights(theirs)?.iter().map(|w| &w.1).collect::<Vec<_>>(),
        weights.iter().map(|w| &w.1).collect::<Vec<_>>()
    );
    assert_eq!(session.call(other, &given)?, outputs);
    let before = session.weights(ours)?;
    let error = session.map_weights(ours, |_, w| w.clone().reshape([w.shape().len()])).unwrap_err();
    says(&error, &["kernel"]);
    let error = before[0].1.zip_with(&before[1].1, |a, _| a).unwrap_err();
    says(&error, &["zip_with", "both tensors have the same shape"]);
    assert_eq!(session.weights(ours)?, before);
    Ok(())
}
