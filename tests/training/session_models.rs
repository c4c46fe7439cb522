//! Models of a session: masks, random numbers and states of their uses, and layers that they share.

use super::support::{device, says};
use super::*;
use wgrad::Result;
use wgrad::graph::Value;
use wgrad::optim::GradientTransform;
use wgrad::session::{ModelId, StepBuilder, StepId};

const BATCH: usize = 6;
const MSE: Loss = Loss::MeanSquaredError;

fn numbers(shape: &[usize], seed: u32) -> Tensor {
    let len = shape.iter().product();
    Tensor::f32(shape, random::uniform(seed, len, -1.0, 1.0)).unwrap()
}

/// Sequences of five steps, of which the last ones are zeros, and targets for each step.
fn padded(seed: u32) -> (Tensor, Tensor) {
    let x = numbers(&[BATCH, 5, 3], seed);
    let kept = |i: usize| i / 3 % 5 < 1 + i / 15 % 4;
    let x: Vec<f32> = x
        .as_f32()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(i, &x)| if kept(i) { x } else { 0.0 })
        .collect();
    (Tensor::f32([BATCH, 5, 3], x).unwrap(), numbers(&[BATCH, 5, 2], seed + 50))
}

fn close(a: &Tensor, b: &Tensor) {
    let apart = a.zip_with(b, |a, b| (a - b).abs()).unwrap();
    assert!(apart.as_f32().unwrap().iter().all(|&d| d < 1e-5), "{a:?} {b:?}");
}

/// The numbers of weights without their names.
fn values(weights: Vec<(String, Tensor)>) -> Vec<Tensor> {
    weights.into_iter().map(|(_, weight)| weight).collect()
}

#[test]
fn a_session_heeds_masks_as_fit_does() -> Result<()> {
    let masked = || Sequential::new([5, 3]).add(Masking::default());
    let model = masked().add(Lstm::new(4).return_sequences(true)).add(Dense::new(2)).build()?;
    let mut trainer = model.compile(device(), Compile::new(Adam::new(0.01), MSE).seed(3))?;
    // The second session takes the mask of the loss away, the third gives it to the input of a model without `Masking`.
    let bare = Sequential::new([5, 3]).add(Lstm::new(4).return_sequences(true)).add(Dense::new(2));
    let bare = bare.build()?;
    let train = |net: &Model, prepare: &dyn Fn(&mut StepBuilder<'_>, Value, bool) -> Result<()>| {
        let mut session = Session::new(device(), 3);
        let own = session.add("net", net)?;
        let adam = session.optimizer(Adam::new(0.01), [own])?;
        let step = session.step("fit", |s| {
            let x = s.input("x", [BATCH, 5, 3], DType::F32);
            let y = s.input("y", [BATCH, 5, 2], DType::F32);
            prepare(s, x, true)?;
            let p = s.apply(own, &[x], true)?[0];
            prepare(s, p, false)?;
            let loss = s.loss(&MSE, y, p)?;
            s.minimize(loss, adam)
        })?;
        for i in 0..4 {
            let (x, y) = padded(i);
            session.run(step, &[("x", &x), ("y", &y)])?;
        }
        Ok::<_, wgrad::Error>(values(session.weights(own)?))
    };
    for i in 0..4 {
        let (x, y) = padded(i);
        trainer.train_on_batch(&TensorDataset::new(x, y)?)?;
    }
    let fitted = values(trainer.weights()?);
    assert_eq!(train(&model, &|_, _, _| Ok(()))?, fitted);
    let unmasked = train(&model, &|s, value, _| s.set_mask(value, None))?;
    assert_ne!(unmasked, fitted);
    let given = train(&bare, &|s, value, input| match input {
        true => {
            let present = s.graph().unary("abs", value, &[])?;
            let present = s.graph().sum(present, &[2], false)?;
            let present = s.graph().unary("sign", present, &[])?;
            s.set_mask(value, present)
        }
        false => {
            assert!(s.mask(value).is_some());
            Ok(())
        }
    })?;
    assert_eq!(given, fitted);
    assert_ne!(train(&bare, &|_, _, _| Ok(()))?, fitted);
    Ok(())
}

#[test]
fn a_mask_travels_from_model_to_model() -> Result<()> {
    let x = input([5, 3]);
    let seen = x.then(Masking::default()).then(Dense::new(3));
    let (inner, last) = (input([5, 3]), LayerHandle::new(Lstm::new(4)));
    let whole = Model::new([&x], [&seen.then(&last)])?;
    let (first, second) = (Model::new([&x], [&seen])?, Model::new([&inner], [&inner.then(&last)])?);
    let mut session = Session::new(device(), 1);
    let [whole, first, second] = [("whole", &whole), ("first", &first), ("second", &second)]
        .map(|(name, model)| session.add(name, model).unwrap());
    let same = x.then(wgrad::layers::Lambda::new(|_, x| Ok(x[0])));
    let same = session.add("same", &Model::new([&x], [&same])?)?;
    let step = session.step("look", |s| {
        let x = s.input("x", [BATCH, 5, 3], DType::F32);
        let (once, h) = (s.apply(whole, &[x], false)?[0], s.apply(first, &[x], false)?[0]);
        let twice = s.apply(second, &[h], false)?[0];
        s.set_mask(h, None)?;
        let unmasked = s.apply(second, &[h], false)?[0];
        s.outputs("y", &[once, twice, unmasked]);
        let wrong = s.filled([BATCH, 4], 1.0)?;
        s.set_mask(h, wrong)?;
        says(&s.apply(second, &[h], false).unwrap_err(), &["[6, 4], [6, 5, 3]", "mask"]);
        // What a model gives back as it is keeps the mask that others need.
        let ones = s.filled([BATCH, 5], 1.0)?;
        s.set_mask(x, ones)?;
        s.apply(same, &[x], false)?;
        assert_eq!(s.mask(x), Some(ones));
        Ok(())
    })?;
    let y = session.call(step, &[("x", &padded(1).0)])?;
    assert_eq!(y[0], y[1]);
    assert_ne!(y[0], y[2]);
    Ok(())
}

#[test]
fn uses_of_models_draw_different_numbers() -> Result<()> {
    let noisy = || {
        let noise = LayerHandle::new(GaussianNoise::new(1.0));
        let x = input([40]);
        // Two uses in the model: the second of one use is not the first of the next.
        Model::new([&x], [&x.then(&noise), &x.then(&noise)])
    };
    let draw = |uses: &[usize]| -> Result<Vec<Tensor>> {
        let mut session = Session::new(device(), 7);
        let models = [session.add("a", &noisy()?)?, session.add("b", &noisy()?)?];
        let step = session.step("draw", |s| {
            let x = s.filled([3, 40], 0.0)?;
            for (i, &model) in uses.iter().enumerate() {
                let drawn = s.apply(models[model], &[x], true)?;
                s.outputs(&format!("use {i}"), &drawn);
            }
            let still = s.apply(models[0], &[x], false)?;
            s.outputs("still", &still);
            Ok(())
        })?;
        session.call(step, &[])
    };
    let mut drawn = draw(&[0, 0, 1, 0, 1])?;
    let still = drawn.split_off(10);
    assert!(still.iter().all(|y| y.as_f32().unwrap().iter().all(|&v| v == 0.0)));
    for (i, a) in drawn.iter().enumerate() {
        for (j, b) in drawn[..i].iter().enumerate() {
            let same = a.as_f32()?.iter().zip(b.as_f32()?).filter(|(a, b)| a == b).count();
            assert!(same < 3, "uses {j} and {i} have {same} numbers in common");
        }
    }
    assert_eq!(draw(&[0, 0])?[..4], drawn[..4]);
    // A trainer of the model draws what its first use draws.
    let model = noisy()?;
    let mut trainer = model.compile(device(), Compile::new(Sgd::new(0.1), MSE).seed(7))?;
    let zeros = || Tensor::f32([3, 40], [0.0; 120]);
    let data = TensorDataset::multi([zeros()?], [zeros()?, zeros()?])?;
    let loss = trainer.train_on_batch(&data)?.loss;
    let squares = |y: &Tensor| y.as_f32().unwrap().iter().map(|v| f64::from(v * v)).sum::<f64>();
    let wanted = (squares(&drawn[0]) + squares(&drawn[1])) / 120.0;
    assert!((loss - wanted).abs() < 1e-5 * wanted, "{loss} {wanted}");
    Ok(())
}

/// A model with batch normalization, applied to two batches in one step by a session, and twice in one model.
#[test]
fn later_uses_go_on_from_the_newest_states() -> Result<()> {
    let norm = || BatchNormalization::new().momentum(0.7);
    let judge = || Sequential::new([3]).add(Dense::new(4)).add(norm()).add(Dense::new(1)).build();
    let (real, fake) = (input_named("real", [3]), input_named("fake", [3]));
    let inside = judge()?;
    let both = Model::new([&real, &fake], [&real.then(&inside), &fake.then(&inside)])?;
    let mut trainer = both.compile(device(), Compile::new(Sgd::new(0.1), MSE))?;
    let mut session = Session::new(device(), 0);
    let own = session.add("judge", &judge()?)?;
    let first: Vec<Tensor> = values(trainer.weights()?);
    session.set_weights(own, &first)?;
    let sgd = session.optimizer(Sgd::new(0.1), [own])?;
    let step = session.step("train", |s| {
        let (real, fake) =
            (s.input("real", [BATCH, 3], DType::F32), s.input("fake", [BATCH, 3], DType::F32));
        let (yes, no) = (s.apply(own, &[real], true)?[0], s.apply(own, &[fake], true)?[0]);
        let (one, zero) = (s.filled([BATCH, 1], 1.0)?, s.filled([BATCH, 1], 0.0)?);
        let (of_yes, of_no) = (s.loss(&MSE, one, yes)?, s.loss(&MSE, zero, no)?);
        let loss = s.graph().add(of_yes, of_no)?;
        // Evaluation after training has the newest statistics too.
        let seen = s.apply(own, &[real], false)?[0];
        s.output("seen", seen);
        s.minimize(loss, sgd)
    })?;
    for i in 0..3 {
        let (real, fake) = (numbers(&[BATCH, 3], i), numbers(&[BATCH, 3], i + 20));
        let before = values(session.weights(own)?);
        session.run(step, &[("real", &real), ("fake", &fake)])?;
        let targets = [vec![1.0; BATCH], vec![0.0; BATCH]].map(|y| Tensor::f32([BATCH, 1], y));
        let [one, zero] = targets;
        let data = TensorDataset::multi([real.clone(), fake], [one?, zero?])?;
        trainer.train_on_batch(&data)?;
        // What evaluation sees: the weights before the update, and the statistics after both uses.
        let (weights, after) = (values(session.weights(own)?), values(trainer.weights()?));
        assert_eq!(weights, after, "step {i}");
        let model = judge()?;
        let mixed: Vec<Tensor> = (before.iter().zip(&weights).zip(model.weights()))
            .map(|((old, new), (_, spec))| match spec.name.starts_with("moving") {
                true => new.clone(),
                false => old.clone(),
            })
            .collect();
        assert_ne!(mixed, before);
        let wanted = Predictor::new(device(), &model, &mixed)?.predict(&real)?;
        let seen = session.read(step, "seen")?;
        close(&seen, &wanted);
    }
    Ok(())
}

/// An autoencoder and its encoder, of the same layers.
struct Coders {
    encoder: Model,
    whole: Model,
}

fn coders() -> Result<Coders> {
    let x = input([3]);
    let bounded = Dense::new(5).kernel_constraint(Constraint::max_norm(0.6));
    let code = x.then(bounded.activation(Activation::Tanh).named("hidden"));
    let code = code.then(Dense::new(2).kernel_regularizer(Regularizer::l2(0.02)).named("code"));
    let constraint = Constraint::max_norm(0.8);
    let out = code.then(Dense::new(4).kernel_constraint(constraint).named("wide"));
    let out = out.then(Dense::new(3).named("out"));
    Ok(Coders { encoder: Model::new([&x], [&code])?, whole: Model::new([&x], [&out])? })
}

/// A step that teaches a model to give back, in its first outputs, what it is given.
fn repeats(
    session: &mut Session,
    name: &str,
    model: ModelId,
    outputs: usize,
    optimizer: wgrad::session::OptimizerId,
) -> Result<StepId> {
    session.step(name, |s| {
        let x = s.input("x", [BATCH, 3], DType::F32);
        let y = s.graph().slice(x, 1, 0..outputs)?;
        let p = s.apply(model, &[x], true)?[0];
        let loss = s.loss(&MSE, y, p)?;
        s.minimize(loss, optimizer)
    })
}

#[test]
fn models_that_share_layers_train_one_set_of_weights() -> Result<()> {
    let x = |i: u32| numbers(&[BATCH, 3], i);
    let adam = || AdamW::new(0.02, 0.1);
    // What `fit` makes of the whole model.
    let mut trainer = coders()?.whole.compile(device(), Compile::new(adam(), MSE).seed(4))?;
    let initial = values(trainer.weights()?);
    for i in 0..4 {
        trainer.train_on_batch(&TensorDataset::new(x(i), x(i))?)?;
    }
    let fitted = values(trainer.weights()?);
    // The encoder alone, by a loss of its own.
    let alone = {
        let mut session = Session::new(device(), 4);
        let encoder = session.add("encoder", &coders()?.encoder)?;
        let rule = session.optimizer(adam(), [encoder])?;
        let step = repeats(&mut session, "alone", encoder, 2, rule)?;
        assert_eq!(values(session.weights(encoder)?), initial[..4]);
        for i in 0..4 {
            session.run(step, &[("x", &x(i))])?;
        }
        values(session.weights(encoder)?)
    };
    assert_ne!(alone, initial[..4]);
    for part_first in [true, false] {
        let coders = coders()?;
        let mut session = Session::new(device(), 4);
        let mut add = |name: &str, model: &Model| session.add(name, model).unwrap();
        let (encoder, whole) = match part_first {
            true => (add("encoder", &coders.encoder), add("whole", &coders.whole)),
            false => {
                let whole = add("whole", &coders.whole);
                (add("encoder", &coders.encoder), whole)
            }
        };
        assert_eq!(values(session.weights(whole)?), initial);
        // Both models in one optimizer are the same as the whole one: nothing counts twice.
        let rules =
            [session.optimizer(adam(), [whole])?, session.optimizer(adam(), [encoder, whole])?];
        let of_encoder = session.optimizer(adam(), [encoder])?;
        let train = repeats(&mut session, "train", whole, 3, rules[0])?;
        let joint = session.step("joint", |s| {
            let x = s.input("x", [BATCH, 3], DType::F32);
            let p = s.apply(whole, &[x], true)?[0];
            let loss = s.loss(&MSE, x, p)?;
            s.minimize(loss, rules[1])
        })?;
        for step in [train, joint] {
            session.set_weights(whole, &initial)?;
            for i in 0..4 {
                session.run(step, &[("x", &x(i))])?;
            }
            assert_eq!(values(session.weights(whole)?), fitted, "encoder first: {part_first}");
            assert_eq!(values(session.weights(encoder)?), fitted[..4]);
        }
        // A prediction of the part has the weights of the whole, in the session or not.
        let code = session.predictor(encoder)?.predict(&x(9))?;
        assert_eq!(session.predictor_of(whole, &coders.encoder)?.predict(&x(9))?, code);
        let again = Predictor::new(device(), &coders.encoder, &fitted[..4])?.predict(&x(9))?;
        assert_eq!(code, again);
        // To train the part leaves the rest as it is, decay and constraints included.
        session.set_weights(whole, &initial)?;
        let step = repeats(&mut session, "part", encoder, 2, of_encoder)?;
        for i in 0..4 {
            session.run(step, &[("x", &x(i))])?;
        }
        let trained = values(session.weights(whole)?);
        assert_eq!(trained[..4], alone, "encoder first: {part_first}");
        assert_eq!(trained[4..], initial[4..], "encoder first: {part_first}");
        // New weights of the part leave the rest too.
        session.set_weights(encoder, &fitted[..4])?;
        let [own, rest] = [&fitted[..4], &initial[4..]];
        assert_eq!(values(session.weights(whole)?), [own, rest].concat());
    }
    Ok(())
}

/// Unlike in Keras, where compiled models share their layers' weights.
#[test]
fn two_trainers_of_one_layer_have_its_weights_twice() -> Result<()> {
    let shared = LayerHandle::new(Dense::new(3));
    let trainer = || {
        let model = Sequential::new([3]).add(&shared).build()?;
        model.compile(device(), Compile::new(Sgd::new(0.1), MSE).seed(4))
    };
    let (mut first, second) = (trainer()?, trainer()?);
    let before = values(second.weights()?);
    assert_eq!(values(first.weights()?), before);
    let x = numbers(&[BATCH, 3], 1);
    first.train_on_batch(&TensorDataset::new(x.clone(), x)?)?;
    assert_ne!(values(first.weights()?), before);
    assert_eq!(values(second.weights()?), before);
    Ok(())
}

#[test]
fn a_gradient_is_of_all_uses_of_a_shared_layer() -> Result<()> {
    let coders = coders()?;
    let mut session = Session::new(device(), 4);
    let (encoder, whole) =
        (session.add("encoder", &coders.encoder)?, session.add("whole", &coders.whole)?);
    let step = session.step("gradients", |s| {
        let x = s.input("x", [BATCH, 3], DType::F32);
        let (code, back) = (s.apply(encoder, &[x], true)?[0], s.apply(whole, &[x], true)?[0]);
        let zero = s.filled([BATCH, 2], 0.0)?;
        let (of_code, of_back) = (s.loss(&MSE, zero, code)?, s.loss(&MSE, x, back)?);
        let both = s.graph().add(of_code, of_back)?;
        for (name, loss, model) in
            [("code", of_code, encoder), ("back", of_back, whole), ("both", both, encoder)]
        {
            let all = s.gradients(loss, model)?;
            s.outputs(name, &all[..4]);
        }
        Ok(())
    })?;
    let all = session.call(step, &[("x", &numbers(&[BATCH, 3], 1))])?;
    for i in 0..4 {
        let [code, back, both] = [0, 4, 8].map(|at| all[at + i].as_f32().unwrap());
        assert!(code.iter().chain(back).any(|&d| d != 0.0));
        for ((a, b), sum) in code.iter().zip(back).zip(both) {
            assert!((a + b - sum).abs() < 1e-6, "{a} + {b}, {sum}");
        }
    }
    Ok(())
}

/// As in Keras: the generator trains through a discriminator that is frozen in the one model and trains in the other.
#[test]
fn a_layer_may_be_frozen_in_one_model_and_train_in_another() -> Result<()> {
    let generator = Sequential::new([3]).add(Dense::new(3)).build()?;
    let judge = Sequential::new([3]).add(Dense::new(4)).add(Dense::new(1)).build()?;
    let noise = input([3]);
    let fixed = LayerHandle::from(&judge).frozen();
    let chain = Model::new([&noise], [&noise.then(&generator).then(&fixed)])?;
    let mut session = Session::new(device(), 0);
    let (judge, chain) = (session.add("judge", &judge)?, session.add("chain", &chain)?);
    let of_judge = session.optimizer(Sgd::new(0.1), [judge])?;
    let of_chain = session.optimizer(Sgd::new(0.1), [chain])?;
    let before = [values(session.weights(judge)?), values(session.weights(chain)?)];
    let step = session.step("chain", |s| {
        let noise = s.normal([BATCH, 3])?;
        let p = s.apply(chain, &[noise], true)?[0];
        let one = s.filled([BATCH, 1], 1.0)?;
        let loss = s.loss(&MSE, one, p)?;
        s.minimize(loss, of_chain)
    })?;
    session.run(step, &[])?;
    let after = values(session.weights(chain)?);
    assert_eq!(values(session.weights(judge)?), before[0]);
    assert_ne!(after[..2], before[1][..2]);
    assert_eq!(after[2..], before[0]);
    // Both in one step: each changes its own.
    let both = session.step("both", |s| {
        let (x, noise) = (s.normal([BATCH, 3])?, s.normal([BATCH, 3])?);
        let (p, q) = (s.apply(judge, &[x], true)?[0], s.apply(chain, &[noise], true)?[0]);
        let one = s.filled([BATCH, 1], 1.0)?;
        let (of_p, of_q) = (s.loss(&MSE, one, p)?, s.loss(&MSE, one, q)?);
        s.minimize(of_p, of_judge)?;
        s.minimize(of_q, of_chain)
    })?;
    session.run(both, &[])?;
    let last = values(session.weights(chain)?);
    assert_eq!(values(session.weights(judge)?), last[2..]);
    assert!(last.iter().zip(&after).all(|(a, b)| a != b));
    Ok(())
}

#[test]
fn what_shared_layers_do_not_allow_is_refused_by_name() -> Result<()> {
    let Coders { encoder, whole } = coders()?;
    let mut session = Session::new(device(), 0);
    let (of_whole, part) = (session.add("whole", &whole)?, session.add("part", &encoder)?);
    let again = session.add("again", &whole)?;
    let error = session.copy_weights(of_whole, again).unwrap_err();
    says(&error, &["hidden", "`whole` and `again` share this layer", "new layers"]);
    let [a, b] = [of_whole, part].map(|m| session.optimizer(Sgd::new(0.1), [m]).unwrap());
    let error = session.step("both", |s| {
        let x = s.normal([BATCH, 3])?;
        let (code, back) = (s.apply(part, &[x], true)?[0], s.apply(of_whole, &[x], true)?[0]);
        let y = s.graph().slice(x, 1, 0..2)?;
        let (of_code, of_back) = (s.loss(&MSE, y, code)?, s.loss(&MSE, x, back)?);
        s.minimize(of_back, a)?;
        s.minimize(of_code, b)
    });
    says(&error.unwrap_err(), &["SGD", "`hidden/kernel` of `part`", "already", "two steps"]);
    let other = coders()?.encoder;
    let error = session.predictor_of(of_whole, &other).unwrap_err();
    says(&error, &["layer = hidden", "no such layer", "LayerHandle"]);
    let dense = LayerHandle::new(Dense::new(2).named("two"));
    let of = |width: usize| Sequential::new([width]).add(&dense).build();
    session.add("narrow", &of(3)?)?;
    let error = session.add("broad", &of(4)?).unwrap_err();
    says(&error, &["`two`", "`broad`", "`narrow`", "kernel", "[3, 2], [4, 2]"]);
    Ok(())
}

/// An encoder, a decoder, and both as one model, added in this order, whose steps train each part with an optimizer of its
/// own; the weights after each step.
fn two_optimizers(order: [usize; 3], both: bool) -> Result<Vec<Vec<Tensor>>> {
    let (x, mid) = (input([3]), input([2]));
    let bounded = Dense::new(5).kernel_constraint(Constraint::max_norm(0.9));
    let hidden = LayerHandle::new(bounded.activation(Activation::Tanh).named("hidden"));
    let penalised = Dense::new(2).kernel_regularizer(Regularizer::l2(0.02));
    let code = LayerHandle::new(penalised.named("code"));
    let wide = LayerHandle::new(Dense::new(4).activation(Activation::Relu).named("wide"));
    let out = LayerHandle::new(Dense::new(3).named("out"));
    let coded = x.then(&hidden).then(&code);
    let models = [
        Model::new([&x], [&coded])?,
        Model::new([&mid], [&mid.then(&wide).then(&out)])?,
        Model::new([&x], [&coded.then(&wide).then(&out)])?,
    ];
    let mut session = Session::new(device(), 4);
    let mut ids = [None; 3];
    for i in order {
        ids[i] = Some(session.add(["encoder", "decoder", "whole"][i], &models[i])?);
    }
    let [encoder, decoder, whole] = ids.map(|id| id.expect("all are added"));
    let clipped = GradientTransform { clip: Some(Clip::Value(0.05)), ..Default::default() };
    let adam = session.optimizer_with(Adam::new(0.01), clipped, [encoder])?;
    let averaged = GradientTransform { accumulation_steps: 2, ..Default::default() };
    let sgd = Sgd { momentum: 0.9, ..Sgd::new(0.1) };
    let sgd = session.optimizer_with(sgd, averaged, [decoder])?;
    let step = session.step("train", |s| {
        let x = s.input("x", [BATCH, 3], DType::F32);
        let y = s.apply(whole, &[x], true)?[0];
        let loss = s.loss(&MSE, x, y)?;
        s.minimize(loss, adam)?;
        if both { s.minimize(loss, sgd) } else { Ok(()) }
    })?;
    let mut seen = vec![values(session.weights(whole)?)];
    for i in 0..4 {
        session.run(step, &[("x", &numbers(&[BATCH, 3], i))])?;
        seen.push(values(session.weights(whole)?));
    }
    Ok(seen)
}

/// Whether optimizers share a buffer depends on the order in which models come; what they compute does not.
#[test]
fn two_optimizers_of_a_step_update_their_own_weights_in_any_buffer() -> Result<()> {
    // Each part has a buffer; all weights are in one; the decoder has one, and the rest another.
    let [apart, joint, half] =
        [[0, 1, 2], [2, 0, 1], [1, 2, 0]].map(|order| two_optimizers(order, true));
    let apart = apart?;
    assert_eq!(joint?, apart);
    assert_eq!(half?, apart);
    for (i, pair) in apart.windows(2).enumerate() {
        let changed: Vec<bool> = pair[0].iter().zip(&pair[1]).map(|(a, b)| a != b).collect();
        // Adam's at each step, the others at every second one.
        assert_eq!(changed[..4], [true; 4], "{i}");
        assert_eq!(changed[4..], [i % 2 == 1; 4], "{i}");
    }
    // The control: without the second optimizer its weights stay.
    for order in [[0, 1, 2], [2, 0, 1]] {
        let alone = two_optimizers(order, false)?;
        assert_eq!(alone[4][4..], alone[0][4..]);
        assert_eq!(alone[1][..4], apart[1][..4]);
        assert_ne!(alone[4][..4], alone[0][..4]);
    }
    Ok(())
}

/// Two parts of one model, in one buffer.
#[test]
fn a_part_takes_the_weights_of_another_part() -> Result<()> {
    let (x, parts) = (input([3]), [0, 1].map(|_| LayerHandle::new(Dense::new(3))));
    let [first, second] = parts.map(|part| (x.then(&part), part));
    let whole = Model::new([&x], [&first.0.then(&second.1)])?;
    let mut session = Session::new(device(), 0);
    let whole = session.add("whole", &whole)?;
    let a = session.add("a", &Model::new([&x], [&first.0])?)?;
    let b = session.add("b", &Model::new([&x], [&second.0])?)?;
    let before = values(session.weights(whole)?);
    assert_ne!(before[..2], before[2..]);
    session.copy_weights(a, b)?;
    let after = values(session.weights(whole)?);
    assert_eq!((&after[..2], &after[2..]), (&before[..2], &before[..2]));
    assert_eq!(values(session.weights(b)?), before[..2]);
    Ok(())
}

#[test]
fn a_part_of_a_trained_model_predicts() -> Result<()> {
    let x = input([4]);
    let hidden = x.then(Dense::new(6).activation(Activation::Relu)).then(BatchNormalization::new());
    let code = hidden.then(Dense::new(2));
    let last = LayerHandle::new(Dense::new(4));
    let inner = input([2]);
    let (encoder, decoder) =
        (Model::new([&x], [&code])?, Model::new([&inner], [&inner.then(&last)])?);
    let whole = Model::new([&x], [&code.then(&last)])?;
    let bytes: Vec<u8> = (0..80).map(|i| (i * 37 % 251) as u8).collect();
    let (pixels, y) = (Tensor::u8([20, 4], bytes)?, numbers(&[20, 4], 3));
    let data = TensorDataset::new(pixels.clone(), y)?.scaled(1.0 / 255.0)?;
    let mut trainer = whole.compile(device(), Compile::new(Adam::new(0.05), MSE))?;
    trainer.fit(&data, Fit::new().epochs(3).verbose(Verbose::Silent))?;
    // The middle as a further output of the whole.
    let (weights, both) =
        (values(trainer.weights()?), Model::new([&x], [&code, &code.then(&last)])?);
    let predictor = Predictor::new(device(), &both, &weights)?;
    let middle = predictor.predict_outputs(&data)?.swap_remove(0);
    let codes = trainer.predictor_of(&encoder)?;
    close(&codes.predict(&data)?, &middle);
    // The part knows what bytes mean; what comes out of it is no byte times 1/255.
    let middle = codes.predict(&pixels)?;
    close(&trainer.predictor_of(&decoder)?.predict(&middle)?, &trainer.predict(&pixels)?);
    // Negative control: before training the code was another.
    let untrained = whole.compile(device(), Compile::new(Adam::new(0.05), MSE))?;
    assert_ne!(untrained.predictor_of(&encoder)?.predict(&data)?, middle);
    let foreign = Sequential::new([4]).add(Dense::new(2).named("foreign")).build()?;
    let error = trainer.predictor_of(&foreign).unwrap_err();
    says(&error, &["layer = foreign", "no such layer"]);
    Ok(())
}
