//! `SimpleRnn`.

use super::*;
use reference::recurrent::{Kind, Sizes, batch_first};
use support::{device, family};
use wgrad::graph::{Class, TensorType};
use wgrad::plan::Plan;
use wgrad::train::Batch;

/// Kernel, recurrent kernel and bias for these sizes, small enough that tanh has a slope.
fn weights(sizes: Sizes) -> Vec<Tensor> {
    let Sizes { features, units, .. } = sizes;
    let drawn = |shape: &[usize], seed| {
        let x = uniform(seed, shape.iter().product(), -0.6, 0.6);
        Tensor::f32(shape, x).unwrap()
    };
    vec![drawn(&[features, units], 11), drawn(&[units, units], 12), drawn(&[units], 13)]
}

#[test]
fn it_agrees_with_the_oracle_in_value_and_gradient() {
    let sizes = |[batch, time, features, units]: [usize; 4]| Sizes { batch, time, features, units };
    let variants = [(false, false), (true, false), (false, true), (true, true)];
    for all in [[3, 5, 4, 7], [1, 1, 1, 1], [8, 3, 5, 16], [2, 4, 9, 3], [5, 7, 1, 2]] {
        let sizes = sizes(all);
        let x = numbers(&[sizes.batch, sizes.time, sizes.features], 3);
        let w = weights(sizes);
        for (sequences, backwards) in variants {
            for activation in [Activation::Tanh, Activation::Sigmoid] {
                let layer = SimpleRnn::new(sizes.units)
                    .return_sequences(sequences)
                    .go_backwards(backwards)
                    .activation(activation);
                let step = layer_step(&layer, &[&x], &refs(&w), None).unwrap();
                let name = format!("{all:?} {sequences} {backwards} {activation:?}");
                let mut operands = vec![&x];
                operands.extend(&w);
                check_gradients(&name, &step, &operands, |at| {
                    let rnn = reference::recurrent::Layer {
                        activation: activation.name(),
                        backwards,
                        ..reference::recurrent::Layer::new(Kind::Simple, sizes)
                    };
                    let h = rnn.states(&at[0], [&at[1], &at[2], &at[3]], &rnn.zeros());
                    let h: Vec<Vec<f64>> = h.concat();
                    match sequences {
                        true => batch_first(&h, sizes.batch),
                        false => h[sizes.time - 1].clone(),
                    }
                });
                let zero = |d: &Vec<f32>| d.iter().all(|&d| d == 0.0);
                assert!(!step.inputs.iter().any(zero), "{name}: no gradient of the input");
                // With one step of time h is 0 before it, so the recurrent kernel has no gradient.
                assert_eq!(zero(&step.weights[1]), sizes.time == 1, "{name}: recurrent kernel");
                assert!(!zero(&step.weights[0]) && !zero(&step.weights[2]), "{name}");
            }
        }
    }
}

#[test]
fn it_does_without_a_bias() {
    let sizes = Sizes { batch: 3, time: 4, features: 2, units: 5 };
    let (x, w) = (numbers(&[3, 4, 2], 5), weights(sizes));
    let layer = SimpleRnn::new(5).use_bias(false);
    assert_eq!(layer.weights(&samples(&[&x])).len(), 2);
    let step = layer_step(&layer, &[&x], &[&w[0], &w[1]], None).unwrap();
    check_gradients("no bias", &step, &[&x, &w[0], &w[1]], |at| {
        let rnn = reference::recurrent::Layer::new(Kind::Simple, sizes);
        rnn.states(&at[0], [&at[1], &at[2], &[0.0; 5]], &rnn.zeros())[3][0].clone()
    });
}

#[test]
fn weights_have_keras_names_and_start_values() -> Result<()> {
    let model = Sequential::new([6, 3]).add(SimpleRnn::new(8)).build()?;
    let specs = SimpleRnn::new(8).weights(&[Shape::from([6, 3])]);
    let names: Vec<_> =
        specs.iter().map(|spec| (spec.name.as_str(), spec.shape.dims().to_vec())).collect();
    let want = [("kernel", vec![3, 8]), ("recurrent_kernel", vec![8, 8]), ("bias", vec![8])];
    assert_eq!(names, want);
    assert_eq!(model.layers()[0].name, "simple_rnn");
    assert_eq!(specs[0].initializer, Initializer::GlorotUniform);
    assert_eq!(specs[1].initializer, Initializer::Orthogonal { gain: 1.0 });
    assert_eq!(specs[2].initializer, Initializer::Zeros);
    let shape = |layer: SimpleRnn| layer.output_shape(&[Shape::from([6, 3])]);
    assert_eq!(shape(SimpleRnn::new(8))?, [8].into());
    assert_eq!(shape(SimpleRnn::new(8).return_sequences(true))?, [6, 8].into());
    Ok(())
}

#[test]
fn bad_settings_and_inputs_are_refused() {
    says(&refusal("simple_rnn", SimpleRnn::new(0), &[4, 3]), &["units", "0"]);
    says(&refusal("simple_rnn", SimpleRnn::new(2), &[4]), &["[4]", "[time, features]"]);
    says(&refusal("simple_rnn", SimpleRnn::new(2), &[4, 3, 2]), &["[4, 3, 2]", "[time, features]"]);
    let gain = Initializer::Orthogonal { gain: f32::NAN };
    let layer = SimpleRnn::new(2).recurrent_initializer(gain);
    says(&refusal("simple_rnn", layer, &[4, 3]), &["gain", "NaN"]);
    let layer = SimpleRnn::new(2).recurrent_regularizer(Regularizer::l2(-1.0));
    says(&refusal("simple_rnn", layer, &[4, 3]), &["l2", "-1"]);
}

/// Sequences of random signs; the target is the sign of the first of them, which the layer has to keep.
fn first_signs(n: usize, time: usize) -> Result<TensorDataset> {
    let x: Vec<f32> = uniform(5, n * time, -1.0, 1.0).iter().map(|v| v.signum()).collect();
    let y: Vec<u32> = x.chunks(time).map(|row| u32::from(row[0] > 0.0)).collect();
    TensorDataset::new(Tensor::f32([n, time, 1], x)?, Tensor::u32([n], y)?)
}

#[test]
fn it_learns_to_remember() -> Result<()> {
    let data = first_signs(256, 6)?;
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let model = || {
        Sequential::new([6, 1])
            .add(SimpleRnn::new(12).return_sequences(true))
            .add(Dropout::new(0.05))
            .add(SimpleRnn::new(12).recurrent_regularizer(Regularizer::l2(1e-5)))
            .add(Dense::new(2))
    };
    let train = || -> Result<(Trainer, f64)> {
        let settings = Compile::new(Adam::new(0.01), loss).clip(Clip::GlobalNorm(1.0)).seed(3);
        let mut trainer = model().compile(device(), settings)?;
        let before = trainer.evaluate(&data)?.loss;
        // 40 does not divide 256: the last batch has another plan.
        trainer.fit(&data, Fit::new().epochs(12).batch_size(40).verbose(Verbose::Silent))?;
        Ok((trainer, before))
    };
    let (mut trainer, before) = train()?;
    let after = trainer.evaluate(&data)?.loss;
    assert!(after < 0.2 * before, "from {before} to {after}");
    let (other, _) = train()?;
    assert_eq!(trainer.weights()?, other.weights()?, "the same seed gives the same bits");
    Ok(())
}

/// The device under the capabilities of a CPU adapter, on which few units go through all steps of time in one kernel, and of a
/// GPU, on which they do so in a loop of launches. Plans are made for either on any adapter.
fn cpu_and_gpu() -> [Device; 2] {
    [family::as_cpu, family::as_gpu].map(|caps| device().with_caps(caps(device().caps())))
}

/// `model` compiled, and batches of this size to train it on.
fn compiled(
    device: &Device,
    model: Sequential,
    sample: [usize; 2],
    batch: usize,
) -> Result<(Trainer, Batch)> {
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let trainer = model.compile(device, Compile::new(Adam::default(), loss))?;
    let x = TensorType { shape: [2 * batch, sample[0], sample[1]].into(), dtype: DType::F32 };
    let y = TensorType { shape: [2 * batch].into(), dtype: DType::U32 };
    Ok((trainer, Batch::new("train", x, y, batch, 1)))
}

/// The plan of a training step of `model`, on batches of this size.
fn training_plan(
    device: &Device,
    model: Sequential,
    sample: [usize; 2],
    batch: usize,
) -> Result<Plan> {
    let (trainer, batch) = compiled(device, model, sample, batch)?;
    trainer.plan(&batch, true)
}

fn simple_model(time: usize, units: usize) -> Sequential {
    Sequential::new([time, 5]).add(SimpleRnn::new(units)).add(Dense::new(2))
}

fn simple(device: &Device, time: usize, units: usize, batch: usize) -> Result<Plan> {
    training_plan(device, simple_model(time, units), [time, 5], batch)
}

/// The nodes of a graph and of the bodies of its loops, and how many of them are loops.
fn nodes(graph: &Graph) -> [usize; 2] {
    graph.nodes().iter().fold([0, 0], |[all, loops], node| match node.op.class() {
        Class::Scan(scan) => {
            let [inside, inner] = nodes(scan.body.graph());
            [all + 1 + inside, loops + 1 + inner]
        }
        _ => [all + 1, loops],
    })
}

/// Launches of a step of time, forward and backward.
fn in_loops(plan: &Plan) -> [usize; 2] {
    let counts: Vec<usize> = plan.repeats.iter().map(|repeat| repeat.body.len()).collect();
    counts.try_into().unwrap_or_else(|_| panic!("one loop forward, one backward\n{plan}"))
}

#[test]
fn nodes_and_dispatches_do_not_grow_with_time() -> Result<()> {
    let [cpu, gpu] = cpu_and_gpu();
    // A layer is one op on each device, but not if the product reads what dropout leaves of h.
    for (rate, loops) in [(0.1, 2), (0.0, 0)] {
        for device in [&cpu, &gpu] {
            let of = |time: usize| -> Result<[usize; 2]> {
                let layer = SimpleRnn::new(80).recurrent_dropout(rate);
                let model = Sequential::new([time, 5]).add(layer).add(Dense::new(2));
                let (trainer, batch) = compiled(device, model, [time, 5], 32)?;
                Ok(nodes(&trainer.graph(&batch, true)?))
            };
            let (short, long) = (of(100)?, of(200)?);
            assert_eq!(short, long, "dropout {rate}");
            assert!(long[1] == loops && long[0] > 20, "dropout {rate}: {long:?}");
        }
    }
    // All so long that the products for the gradients are divided.
    let of = |device: &Device, units| -> Result<[Plan; 2]> {
        Ok([simple(device, 100, units, 32)?, simple(device, 200, units, 32)?])
    };
    for [short, long] in [of(&cpu, 80)?, of(&gpu, 80)?, of(&gpu, 16)?] {
        assert_eq!(short.dispatches.len(), long.dispatches.len(), "{long}");
        // One kernel an iteration: the product with everything else behind it.
        assert_eq!(in_loops(&long), [1, 1], "{long}");
        assert_eq!(long.order().count() - long.dispatches.len(), 199 * 2, "{long}");
    }
    // Few units on a CPU adapter: no loop at all.
    let [short, long] = of(&cpu, 16)?;
    assert!(long.repeats.is_empty(), "{long}");
    assert_eq!(short.order().count(), long.order().count(), "{long}");
    Ok(())
}

#[test]
fn memory_grows_by_the_states_of_a_step() -> Result<()> {
    let (units, batch) = (64, 4);
    for device in cpu_and_gpu() {
        let bytes = |time: usize| -> Result<u64> {
            let plan = simple(&device, time, units, batch)?;
            Ok(plan.memory().iter().map(|(_, bytes)| bytes).sum())
        };
        // Whole multiples of 64, so that what pads tensors is none of it; and so long that a GPU divides each of the
        // products for the gradients, which takes a launch more.
        let (few, more, most) = (bytes(256)?, bytes(512)?, bytes(1024)?);
        let form = device.caps().matmul;
        assert_eq!(most - more, 2 * (more - few), "{form:?}: {few}, {more}, {most} bytes");
        let step = (more - few) / 256;
        // What is kept of a step, in rows of the batch: h, the sum and its gradient, and the products. A copy of the
        // recurrent kernel would be as many numbers as all units squared.
        let (row, input) = (4 * (batch * units) as u64, 4 * (batch * 5) as u64);
        assert!(step >= 2 * row && step <= 4 * row + 8 * input, "{form:?}: {step} bytes a step");
        assert!(step < 4 * (units * units) as u64, "{form:?}: {step} bytes a step");
    }
    Ok(())
}

/// Launches of a step of time, forward and backward, of a model with this layer on a CPU adapter.
fn launches(
    layer: impl Into<LayerHandle>,
    [batch, time, features]: [usize; 3],
) -> Result<[usize; 2]> {
    let model = Sequential::new([time, features]).add(layer.into()).add(Flatten).add(Dense::new(2));
    Ok(in_loops(&training_plan(&cpu_and_gpu()[0], model, [time, features], batch)?))
}

/// On a GPU the gates are a part of the product's kernel, or of the one that adds the chunks of its sum.
#[test]
fn on_a_gpu_a_step_is_one_launch_and_its_gradient_one_or_two() -> Result<()> {
    let [_, gpu] = cpu_and_gpu();
    let count = |layer: LayerHandle, masked: bool| -> Result<[usize; 2]> {
        let mut model = Sequential::new([6, 5]);
        if masked {
            model = model.add(Masking::new(0.0));
        }
        let model = model.add(layer).add(Dense::new(2));
        Ok(in_loops(&training_plan(&gpu, model, [6, 5], 64)?))
    };
    for masked in [false, true] {
        for (units, backward) in [(66, 1), (512, 2)] {
            let zeros = Initializer::Zeros;
            let lstm = Lstm::new(units).dropout(0.1).recurrent_initializer(zeros);
            assert_eq!(count(lstm.into(), masked)?, [1, backward], "{units} {masked}");
            let gru = Gru::new(units).go_backwards(true).recurrent_initializer(zeros);
            assert_eq!(count(gru.into(), masked)?, [1, backward], "{units} {masked}");
            let simple = SimpleRnn::new(units).recurrent_initializer(zeros);
            assert_eq!(count(simple.into(), masked)?, [1, 1], "{units} {masked}");
        }
    }
    // With the reset before it the second product waits for the first.
    assert_eq!(count(Gru::new(66).reset_after(false).into(), false)?, [4, 6]);
    Ok(())
}

#[test]
fn a_step_of_time_is_four_launches() -> Result<()> {
    for sizes in [[64, 7, 5], [3, 5, 4]] {
        for all in [false, true] {
            for units in [72, 66] {
                let lstm = Lstm::new(units).return_sequences(all);
                assert_eq!(launches(lstm, sizes)?, [2, 2], "{sizes:?} {all} {units}");
                let gru = Gru::new(units).return_sequences(all);
                assert_eq!(launches(gru, sizes)?, [2, 2], "{sizes:?} {all} {units}");
            }
        }
    }
    // The rows of images, read by an LSTM of 128 units.
    assert_eq!(launches(Lstm::new(128), [128, 28, 28])?, [2, 2]);
    // Without the kernel of gates, which has no softmax, a step is many more.
    let composite = Lstm::new(16).activation(Activation::Softmax);
    let [forward, backward] = launches(composite, [64, 7, 5])?;
    assert!(forward > 2 && backward > 2, "{forward} {backward}");
    Ok(())
}

/// On a CPU adapter. On a GPU they are a loop, and a step of it is at most four launches.
#[test]
fn few_units_are_a_launch_forward_and_one_backward() -> Result<()> {
    let [cpu, gpu] = cpu_and_gpu();
    for all in [false, true] {
        let layers: [LayerHandle; 3] = [
            Lstm::new(64).return_sequences(all).into(),
            Gru::new(6).return_sequences(all).go_backwards(!all).into(),
            SimpleRnn::new(64).activation(Activation::Relu).return_sequences(all).into(),
        ];
        for layer in layers {
            let model = Sequential::new([28, 28]).add(layer).add(Flatten).add(Dense::new(2));
            let plan = training_plan(&cpu, model.clone(), [28, 28], 32)?;
            let count = |path: &str| {
                let of = plan.order().filter(|l| plan.dispatches[l.dispatch].call.name() == path);
                of.count()
            };
            assert_eq!([count("recurrent/forward"), count("recurrent/backward")], [1, 1], "{plan}");
            assert!(plan.repeats.is_empty() && plan.order().count() < 2 * 28, "{plan}");
            let plan = training_plan(&gpu, model, [28, 28], 32)?;
            assert_eq!(in_loops(&plan), [1, 1], "{plan}");
        }
    }
    Ok(())
}
