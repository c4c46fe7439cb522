//! Recurrent layers: dropout, states that outlive a step, cells of one's own, both directions, and what is refused.

use super::*;
use support::device;
use wgrad::layers::Rnn;

/// Weights of an LSTM, small enough that its functions have a slope.
fn weights(features: usize, units: usize) -> Vec<Tensor> {
    let drawn = |shape: &[usize], seed| {
        let x = uniform(seed, shape.iter().product(), -0.6, 0.6);
        Tensor::f32(shape, x).unwrap()
    };
    let width = 4 * units;
    vec![drawn(&[features, width], 11), drawn(&[units, width], 12), drawn(&[width], 13)]
}

/// The cell as a graph of single functions: what `Lstm` computes, without its kernels.
#[derive(Debug)]
struct OwnLstm;

impl Layer for OwnLstm {
    fn kind(&self) -> &'static str {
        "OwnLstm"
    }

    fn check_inputs(&self, _count: usize) -> Result<()> {
        Ok(())
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[1].clone())
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<wgrad::graph::TensorType>> {
        Ok(vec![wgrad::graph::TensorType::f32(inputs[1].clone()); 3])
    }

    fn weights(&self, inputs: &[Shape]) -> Vec<wgrad::layers::WeightSpec> {
        let width = 4 * inputs[1].dims()[0];
        let spec = |name, rows: usize| {
            let (glorot, none) = (Initializer::GlorotUniform, Regularizer::default());
            wgrad::layers::WeightSpec::new(name, [rows, width], glorot, none)
        };
        vec![spec("kernel", inputs[0].dims()[0]), spec("recurrent_kernel", width / 4)]
    }

    fn apply(&self, g: &mut Graph, cx: &Context) -> Result<Outputs> {
        let [x, h, c] = [0, 1, 2].map(|i| cx.inputs()[i]);
        let units = g.shape(h).dims()[1];
        let of_x = g.matmul(x, cx.weight("kernel")?)?;
        let of_h = g.matmul(h, cx.weight("recurrent_kernel")?)?;
        let sum = g.add(of_x, of_h)?;
        let part = |g: &mut Graph, k: usize, f: Activation| {
            let z = g.slice(sum, 1, k * units..(k + 1) * units)?;
            f.apply(g, z)
        };
        let (i, f) = (part(g, 0, Activation::Sigmoid)?, part(g, 1, Activation::Sigmoid)?);
        let (new, o) = (part(g, 2, Activation::Tanh)?, part(g, 3, Activation::Sigmoid)?);
        let (kept, added) = (g.mul(f, c)?, g.mul(i, new)?);
        let c = g.add(kept, added)?;
        let shown = g.unary("tanh", c, &[])?;
        let h = g.mul(o, shown)?;
        Ok(vec![h, h, c].into())
    }
}

#[test]
fn a_cell_of_ones_own_is_a_loop() -> Result<()> {
    let (x, w) = (numbers(&[3, 5, 2], 7), weights(2, 4));
    let states = [numbers(&[3, 4], 8), numbers(&[3, 4], 9)];
    // Before the first step that counts a cell's output is zero, while an LSTM's is its initial state.
    let (gaps, none) = ([1.0, 0.0, 0.0, 1.0, 1.0], [0.0; 5]);
    let mask = |from_states: bool| {
        Tensor::f32([3, 5], [[1.0; 5], gaps, if from_states { gaps } else { none }].concat())
    };
    for (all, masked, zeroed, backwards, from_states) in [
        (false, false, false, false, false),
        (true, false, false, false, false),
        (true, true, false, false, true),
        (false, true, false, true, false),
        (true, true, true, true, true),
        (false, true, true, false, false),
    ] {
        let own = Rnn::new(OwnLstm, [[4], [4]]);
        let own = own.return_sequences(all).return_state(true).go_backwards(backwards);
        let ours = Lstm::new(4).use_bias(false);
        let ours = ours.return_sequences(all).return_state(true).go_backwards(backwards);
        let (own, ours) = (own.zero_output_for_mask(zeroed), ours.zero_output_for_mask(zeroed));
        let inputs = [vec![&x], states.iter().filter(|_| from_states).collect()].concat();
        let masks = [if masked { Some(mask(from_states)?) } else { None }];
        let of = |layer: &dyn Layer| masked_step(layer, &inputs, &[&w[0], &w[1]], &masks, None);
        let (a, b) = (of(&own)?, of(&ours)?);
        let name = format!("{all} {masked} {zeroed} {backwards} {from_states}");
        assert_eq!((a.outputs.len(), b.outputs.len()), (3, 3), "{name}");
        for (i, (a, b)) in a.outputs.iter().zip(&b.outputs).enumerate() {
            assert_close(&format!("{name}: output {i}"), a.as_f32()?, &wide(b), 1e-6, 1e-6);
        }
        let pairs = a.inputs.iter().chain(&a.weights).zip(b.inputs.iter().chain(&b.weights));
        for (i, (a, b)) in pairs.enumerate() {
            assert_close(&format!("{name}: gradient {i}"), a, &widen(b), 1e-5, 1e-5);
        }
    }
    let names: Vec<String> = Rnn::new(OwnLstm, [[4], [4]])
        .weights(&[Shape::from([5, 2])])
        .into_iter()
        .map(|spec| spec.name)
        .collect();
    assert_eq!(names, ["own_lstm/kernel", "own_lstm/recurrent_kernel"]);
    Ok(())
}

#[test]
fn dropout_is_one_mask_for_all_steps() -> Result<()> {
    // x is 1 and the kernel the identity: a step shows the mask. Without recurrence no step reads another.
    let x = Tensor::f32([8, 6, 4], vec![1.0; 192])?;
    let identity = |n: usize| -> Vec<f32> {
        (0..n * n).map(|i| f32::from(u8::from(i % (n + 1) == 0))).collect()
    };
    let w = [Tensor::f32([4, 4], identity(4))?, Tensor::f32([4, 4], vec![0.0; 16])?];
    let layer = |rate: f32| {
        SimpleRnn::new(4)
            .use_bias(false)
            .activation(Activation::Linear)
            .dropout(rate)
            .return_sequences(true)
    };
    let step = layer_step(&layer(0.5), &[&x], &refs(&w), Some([1, 2, 3]))?;
    let y = step.y();
    for sample in y.chunks(24) {
        for row in sample.chunks(4) {
            assert_eq!(row, &sample[..4], "all steps drop the same");
        }
    }
    assert!(y.iter().all(|&v| v == 0.0 || v == 2.0) && y.contains(&0.0) && y.contains(&2.0));
    assert_eq!(layer_step(&layer(0.5), &[&x], &refs(&w), None)?.y(), x.as_f32()?);
    // Recurrent dropout: h = x + m · h, m 0 or 2, so a unit is 1, 1, 1, ... or 1, 3, 7, ...
    let w = [w[0].clone(), w[0].clone()];
    let layer = SimpleRnn::new(4)
        .use_bias(false)
        .activation(Activation::Linear)
        .recurrent_dropout(0.5)
        .return_sequences(true);
    let step = layer_step(&layer, &[&x], &refs(&w), Some([1, 2, 3]))?;
    let last: Vec<f32> = step.y().chunks(24).flat_map(|s| s[20..].to_vec()).collect();
    assert!(last.iter().all(|&v| v == 1.0 || v == 63.0), "{last:?}");
    assert!(last.contains(&1.0) && last.contains(&63.0), "{last:?}");
    let layer = Lstm::new(4).dropout(0.4).recurrent_dropout(0.3);
    let (x, w) = (numbers(&[3, 5, 4], 2), weights(4, 4));
    let of = |random| layer_step(&layer, &[&x], &refs(&w), Some(random)).unwrap();
    assert_eq!(of([1, 2, 3]).y(), of([1, 2, 3]).y());
    assert_ne!(of([1, 2, 3]).y(), of([1, 2, 4]).y());
    Ok(())
}

#[test]
fn a_stateful_layer_goes_on_from_its_state() -> Result<()> {
    let model = || Sequential::new([3, 2]).add(Lstm::new(4).stateful(2)).add(Dense::new(1));
    let settings = || Compile::new(Sgd::new(0.0), Loss::MeanSquaredError).seed(5);
    let mut trainer = model().compile(device(), settings())?;
    // Six steps at once are three steps, then three more.
    let whole = Sequential::new([6, 2]).add(Lstm::new(4)).add(Dense::new(1));
    let mut at_once = whole.compile(device(), settings())?;
    let named = trainer.weights()?;
    let states: Vec<&str> =
        named.iter().map(|(n, _)| n.as_str()).filter(|n| n.contains("state")).collect();
    assert_eq!(states, ["lstm/state_0", "lstm/state_1"]);
    let own: Vec<Tensor> =
        named.iter().filter(|(n, _)| !n.contains("state")).map(|(_, t)| t.clone()).collect();
    at_once.set_weights(&own)?;
    let x = numbers(&[2, 6, 2], 3);
    let half = |from: usize| -> Result<Tensor> {
        let v = x.as_f32()?;
        Tensor::f32([2, 3, 2], [&v[from..from + 6], &v[12 + from..18 + from]].concat())
    };
    let fit = |trainer: &mut Trainer, x: Tensor| -> Result<()> {
        let data = TensorDataset::new(x, Tensor::f32([2, 1], [0.0; 2])?)?;
        trainer.fit(&data, Fit::new().full_batch().shuffle(false).verbose(Verbose::Silent))?;
        Ok(())
    };
    let fresh = trainer.predict(&half(6)?)?;
    fit(&mut trainer, half(0)?)?;
    let y = trainer.predict(&half(6)?)?;
    assert_close("goes on", y.as_f32()?, &wide(&at_once.predict(&x)?), 1e-6, 1e-6);
    // The control: the state changed something, and a prediction leaves it.
    assert_ne!(y, fresh);
    assert_eq!(trainer.predict(&half(6)?)?, y);
    let data = TensorDataset::new(numbers(&[3, 3, 2], 1), Tensor::f32([3, 1], [0.0; 3])?)?;
    let error = trainer.fit(&data, Fit::new().full_batch().verbose(Verbose::Silent)).unwrap_err();
    says(&error, &["layer `lstm`", "2 samples", "given 3", "stateful(3)"]);
    Ok(())
}

/// Every recurrent layer: `stateful`, or with its last states as outputs.
fn stateful_or_not(stateful: bool, backwards: bool) -> Vec<LayerHandle> {
    macro_rules! with {
        ($layer:expr, $backwards:expr) => {
            if stateful {
                LayerHandle::from($layer.go_backwards($backwards).stateful(2))
            } else {
                $layer.go_backwards($backwards).return_state(true).into()
            }
        };
    }
    let mut all: Vec<LayerHandle> = vec![
        with!(Lstm::new(4), backwards),
        with!(Gru::new(3), backwards),
        with!(SimpleRnn::new(70), backwards),
        with!(Gru::new(3).reset_after(false), backwards),
        with!(Rnn::new(OwnLstm, [[4], [4]]), backwards),
    ];
    if !backwards {
        all.push(Bidirectional::new(with!(Lstm::new(4), false)).into());
    }
    all
}

/// A second batch begins at the states with which the first ends: it gives what the layer gives from those states. States
/// are weights, which begin anew if they are set to zero.
#[test]
fn every_stateful_layer_goes_on_and_begins_anew() -> Result<()> {
    // Steps of zeros are masked; the last of the second sample's first half is.
    let batch = |seed: u32, masked: bool| {
        let mut x = numbers(&[2, 3, 2], seed).as_f32().unwrap().to_vec();
        if masked {
            x[10..12].fill(0.0);
            x[2..4].fill(0.0);
        }
        let mask = Tensor::f32([2, 3], [1.0, 0.0, 1.0, 1.0, 1.0, 0.0]).unwrap();
        (Tensor::f32([2, 3, 2], x).unwrap(), Some(mask).filter(|_| masked))
    };
    for (backwards, masked) in [(false, true), (true, false)] {
        let pairs = stateful_or_not(true, backwards).into_iter();
        for (own, plain) in pairs.zip(stateful_or_not(false, backwards)) {
            let name = format!("{own:?} {backwards} {masked}");
            let model = Sequential::new([3, 2]).add(Masking::new(0.0)).add(own);
            let settings = Compile::new(Sgd::new(0.0), Loss::MeanSquaredError).seed(5);
            let mut trainer = model.compile(device(), settings)?;
            let named = trainer.weights()?;
            let is_state = |name: &str| name.contains("/state_");
            let weights: Vec<Tensor> =
                named.iter().filter(|(n, _)| !is_state(n)).map(|(_, t)| t.clone()).collect();
            let zeros = named.iter().filter(|(n, _)| is_state(n)).map(|(_, t)| t.clone());
            let zeros: Vec<Tensor> = zeros.collect();
            let from = |(x, mask): &(Tensor, Option<Tensor>), states: &[Tensor]| {
                let inputs = [vec![x], refs(states)].concat();
                masked_step(
                    plain.layer(),
                    &inputs,
                    &refs(&weights),
                    std::slice::from_ref(mask),
                    None,
                )
            };
            let (one, two) = (batch(3, masked), batch(4, masked));
            let (first, fresh) = (from(&one, &zeros)?, from(&two, &zeros)?);
            let second = from(&two, &first.outputs[1..])?;
            let fit = || Fit::new().full_batch().shuffle(false).verbose(Verbose::Silent);
            let y = Tensor::f32(first.outputs[0].shape(), vec![0.0; first.y().len()])?;
            trainer.fit(&TensorDataset::new(one.0.clone(), y.clone())?, fit())?;
            let went_on = trainer.predict(&two.0)?;
            assert_close(&name, went_on.as_f32()?, &widen(second.y()), 1e-6, 1e-6);
            let kept: Vec<Tensor> = (trainer.weights()?.into_iter())
                .filter(|(n, _)| is_state(n))
                .map(|(_, t)| t)
                .collect();
            for (kept, want) in kept.iter().zip(&first.outputs[1..]) {
                assert_close(&format!("{name}: state"), kept.as_f32()?, &wide(want), 1e-6, 1e-6);
            }
            // The control: from zeros it is another.
            assert_ne!(second.y(), fresh.y(), "{name}");
            let anew: Vec<Tensor> = (trainer.weights()?.into_iter())
                .map(|(n, t)| match is_state(&n) {
                    true => Tensor::f32(t.shape(), vec![0.0; t.shape().len()]),
                    false => Ok(t),
                })
                .collect::<Result<_>>()?;
            trainer.set_weights(&anew)?;
            let began = trainer.predict(&two.0)?;
            assert_close(&format!("{name}: anew"), began.as_f32()?, &widen(fresh.y()), 1e-6, 1e-6);
        }
    }
    Ok(())
}

#[test]
fn a_stateful_layer_inside_a_wrapper_goes_on_from_its_state() -> Result<()> {
    let stateful = || SimpleRnn::new(4).stateful(2);
    goes_on(TimeDistributed::new(stateful()))?;
    goes_on(TimeDistributed::new(Sequential::new([2, 5]).add(stateful())))
}

/// Compares a stateful layer for three sequences of two steps of each sample with the same layer used three times.
fn goes_on(wrapped: TimeDistributed) -> Result<()> {
    let stateful = || SimpleRnn::new(4).stateful(2);
    let layers = Sequential::new([3, 2, 5]).add(wrapped);
    let x = input([3, 2, 5]);
    let shared = LayerHandle::new(stateful());
    let parts: Vec<SymbolicTensor> = (0..3)
        .map(|i| {
            let part = wgrad::layers::Lambda::new(move |g, x| {
                let part = g.slice(x[0], 1, i..i + 1)?;
                let batch = g.shape(part).dims()[0];
                g.reshape(part, [batch, 2, 5])
            });
            x.then(part).then(&shared).then(Reshape::new([1, 4]))
        })
        .collect();
    let by_hand = Model::new([&x], [&merge(Concatenate::new(1), &parts)])?;
    let compile = || Compile::new(Sgd::new(0.1), Loss::MeanSquaredError);
    let (mut wrapped, mut by_hand) =
        (layers.compile(device(), compile())?, by_hand.compile(device(), compile())?);
    let values = |trainer: &Trainer| -> Result<Vec<Tensor>> {
        Ok(trainer.weights()?.into_iter().map(|(_, weight)| weight).collect())
    };
    by_hand.set_weights(&values(&wrapped)?)?;
    for i in 0..3 {
        let data = TensorDataset::new(numbers(&[2, 3, 2, 5], i), numbers(&[2, 3, 4], i + 9))?;
        let before = values(&wrapped)?;
        // Evaluation too, each sequence from the state that training left.
        assert_eq!(wrapped.predict(&data)?, by_hand.predict(&data)?);
        wrapped.train_on_batch(&data)?;
        by_hand.train_on_batch(&data)?;
        for (i, (a, b)) in values(&wrapped)?.iter().zip(values(&by_hand)?).enumerate() {
            assert_ne!(*a, before[i]);
            let apart = a.zip_with(&b, |a, b| (a - b).abs())?;
            assert!(apart.as_f32()?.iter().all(|&d| d < 1e-6), "{i}: {apart:?}");
        }
    }
    let three = numbers(&[3, 3, 2, 5], 1);
    let data = TensorDataset::new(three, numbers(&[3, 3, 4], 2))?;
    let error = wrapped.train_on_batch(&data).unwrap_err();
    says(&error, &["time_distributed", "2 samples", "given 3"]);
    // A wrapper of its weights hands on the batch size too.
    let normalized = SpectralNormalization::new(stateful());
    assert_eq!(normalized.batch_size(), Some(2));
    Sequential::new([2, 5]).add(normalized).compile(device(), compile())?;
    Ok(())
}

#[test]
fn forget_gates_begin_open() -> Result<()> {
    let bias = |layer: Lstm| -> Result<Vec<f32>> {
        let model = Sequential::new([3, 2]).add(layer);
        let trainer =
            model.compile(device(), Compile::new(Sgd::new(0.1), Loss::MeanSquaredError))?;
        Ok(trainer.weights()?[2].1.as_f32()?.to_vec())
    };
    assert_eq!(bias(Lstm::new(2))?, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(bias(Lstm::new(1).unit_forget_bias(false))?, [0.0; 4]);
    let drawn = bias(Lstm::new(2).bias_initializer(Initializer::HeNormal))?;
    assert_eq!(drawn[2..4], [1.0, 1.0]);
    assert!(drawn[..2].iter().chain(&drawn[4..]).all(|&v| v != 0.0 && v != 1.0), "{drawn:?}");
    Ok(())
}

/// A cell whose state grows.
#[derive(Debug)]
struct Growing;

impl Layer for Growing {
    fn kind(&self) -> &'static str {
        "Growing"
    }

    fn check_inputs(&self, _count: usize) -> Result<()> {
        Ok(())
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn outputs(&self, inputs: &[Shape]) -> Result<Vec<wgrad::graph::TensorType>> {
        let width = inputs[1].dims()[0] + 1;
        Ok(vec![wgrad::graph::TensorType::f32([width]); 2])
    }

    fn apply(&self, _g: &mut Graph, cx: &Context) -> Result<Outputs> {
        Ok(cx.inputs().to_vec().into())
    }
}

#[test]
fn bad_settings_and_inputs_are_refused() -> Result<()> {
    for (name, zero) in [("lstm", LayerHandle::new(Lstm::new(2))), ("gru", Gru::new(2).into())] {
        let build = |sample: &[usize]| Sequential::new(sample).add(zero.clone()).build();
        says(&build(&[4]).unwrap_err(), &[&format!("layer `{name}`"), "[time, features]"]);
        let error = zero.layer().outputs(&[Shape::from([0, 3])]).unwrap_err();
        says(&error, &["[0, 3]", "at least one step of time"]);
        let error = zero.layer().outputs(&[Shape::from([4, 0])]).unwrap_err();
        says(&error, &["[4, 0]", "one feature"]);
    }
    says(&refusal("lstm", Lstm::new(0), &[4, 3]), &["units", "0"]);
    says(&refusal("gru", Gru::new(2).dropout(1.0), &[4, 3]), &["dropout", "[0, 1)"]);
    let gates = Activation::ClippedLinear { low: 1.0, high: 0.0 };
    says(&refusal("lstm", Lstm::new(2).recurrent_activation(gates), &[4, 3]), &["low", "high"]);
    says(&refusal("lstm", Lstm::new(2).stateful(0), &[4, 3]), &["stateful", "0"]);
    let shape = ["cell `growing`", "[3], [2]", "keeps its shape"];
    says(&refusal("rnn", Rnn::new(Growing, [[2]]), &[4, 3]), &shape);
    let few = ["outputs = 2", "3 tensors"];
    says(&refusal("rnn", Rnn::new(Growing, [[2], [2]]), &[4, 3]), &few);
    says(&refusal("rnn", Rnn::new(Dense::new(3), [[3]]), &[4, 3]), &["inputs = 2", "one tensor"]);
    let none: [Shape; 0] = [];
    says(&refusal("rnn", Rnn::new(Dense::new(3), none), &[4, 3]), &["states", "TimeDistributed"]);
    let both = |layer: LayerHandle| refusal("bidirectional", Bidirectional::new(layer), &[4, 3]);
    says(&both(Dense::new(3).into()), &["Dense", "no recurrent layer"]);
    says(&both(Lstm::new(3).go_backwards(true).into()), &["go_backwards", "goes forwards"]);
    let other = Bidirectional::new(Lstm::new(3)).backward_layer(Lstm::new(3));
    says(&refusal("bidirectional", other, &[4, 3]), &["go_backwards", "from the end"]);
    let other = Bidirectional::new(Lstm::new(3)).backward_layer(Gru::new(3).go_backwards(true));
    says(&refusal("bidirectional", other, &[4, 3]), &["number of states"]);
    let wide = Lstm::new(4).go_backwards(true);
    let sum = Bidirectional::new(Lstm::new(3)).backward_layer(wide).merge_mode(MergeMode::Sum);
    says(&refusal("bidirectional", sum, &[4, 3]), &["Sum", "[3], [4]"]);
    let (x, h) = (input([4, 3]), input([5]));
    let error = Model::new([&x, &h], [&merge(Gru::new(2), [&x, &h])]).unwrap_err();
    says(&error, &["layer `gru`", "initial state 0", "[5], [2]"]);
    let error = Model::new([&x, &h], [&merge(Lstm::new(2), [&x, &h])]).unwrap_err();
    says(&error, &["layer `lstm`", "inputs = 2", "2 initial states"]);
    // A mask of another length.
    let mut g = Graph::new();
    let x = g.input("x", [2, 4, 3], DType::F32);
    let mask = g.input("mask", [2, 5], DType::F32);
    let w: Vec<Value> =
        weights(3, 2).iter().map(|t| g.constant_tensor(t.clone())).collect::<Result<_>>()?;
    let layer = Lstm::new(2);
    let cx = Context::new("lstm", &[x]).tensors(&layer.weights(&[[4, 3].into()]), &w);
    let error = cx.with_masks(&[Some(mask)]).apply(&mut g, &layer.into()).unwrap_err();
    says(&error, &["layer `lstm`", "[2, 5], [2, 4, 3]", "leading axes"]);
    Ok(())
}

#[test]
fn a_sequence_that_is_masked_whole_gives_zeros() -> Result<()> {
    let (x, w) = (numbers(&[2, 3, 2], 4), weights(2, 4));
    let mask = Tensor::f32([2, 3], [0.0, 0.0, 0.0, 1.0, 0.0, 1.0])?;
    let step = differentiate(&[&x], &refs(&w), [0; 2], None, |g, x, w| {
        let layer = Lstm::new(4);
        let mask = g.constant_tensor(mask.clone())?;
        let cx = Context::new("lstm", x).tensors(&layer.weights(&[[3, 2].into()]), w);
        Ok(cx.with_masks(&[Some(mask)]).apply(g, &layer.into())?.values)
    })?;
    assert_eq!(step.y()[..4], [0.0; 4]);
    assert!(step.y()[4..].iter().all(|&v| v != 0.0));
    assert!(step.inputs[0][..6].iter().all(|&d| d == 0.0), "what is masked has no gradient");
    assert!(step.weights.iter().flatten().all(|d| d.is_finite()));
    Ok(())
}
