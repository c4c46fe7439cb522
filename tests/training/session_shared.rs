//! Models that share layers, in a session and in trainers.

use super::session_models::{BATCH, MSE, close, numbers, values};
use super::support::{device, says};
use super::*;
use wgrad::Result;
use wgrad::optim::GradientTransform;
use wgrad::session::{ModelId, StepId};

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
