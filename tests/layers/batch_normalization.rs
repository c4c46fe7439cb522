//! Statistics of each batch, and their moving averages as states.

use super::*;
use reference::layers::{column_moments, standardise};
use support::device;
use wgrad::layers::{WeightKind, WeightSpec};

/// Seed and step of a training step, with a stream.
const TRAINS: Option<[u32; 3]> = Some([1, 2, 3]);

/// The layer on a batch, by its moments.
fn of_batch(x: &[f64], gamma: &[f64], beta: &[f64], epsilon: f64) -> Vec<f64> {
    let (mean, variance) = column_moments(x, gamma.len(), &vec![true; x.len() / gamma.len()]);
    standardise(x, [&mean, &variance, gamma, beta], epsilon)
}

/// Columns of different means and spreads.
fn columns(shape: &[usize], seed: u32, mean: f32, spread: f32) -> Tensor {
    let width = shape[shape.len() - 1];
    let drawn = uniform(seed, shape.iter().product(), -1.0, 1.0);
    let place =
        |(i, v): (usize, &f32)| mean + v * spread * (1.0 + (i % width) as f32 / width as f32);
    Tensor::f32(shape, drawn.iter().enumerate().map(place).collect::<Vec<_>>()).unwrap()
}

/// gamma, beta, moving mean and moving variance of `width` columns.
fn tensors(width: usize) -> Vec<Tensor> {
    let of = |seed, low, high| Tensor::f32([width], uniform(seed, width, low, high)).unwrap();
    vec![of(11, 0.5, 2.0), of(12, -1.0, 1.0), of(13, -0.5, 0.5), of(14, 0.5, 2.0)]
}

const SHAPES: [&[usize]; 8] =
    [&[5, 3], &[2, 1], &[7, 1], &[3, 5, 3], &[2, 2, 3, 5], &[17, 5], &[70, 2], &[3, 17]];

#[test]
fn training_agrees_with_the_oracle_in_value_and_gradient() {
    for shape in SHAPES {
        let (x, w) = (columns(shape, 1, 0.3, 1.0), tensors(shape[shape.len() - 1]));
        let layer = BatchNormalization::new();
        let step = layer_step(&layer, &[&x], &refs(&w), TRAINS).unwrap();
        let operands: Vec<&Tensor> = std::iter::once(&x).chain(&w).collect();
        check_gradients(&format!("batch {shape:?}"), &step, &operands, |at| {
            of_batch(&at[0], &at[1], &at[2], 1e-3)
        });
        let nonzero = |d: &[f32]| d.iter().any(|v| v.abs() > 1e-4);
        assert!(nonzero(&step.inputs[0]) || shape.len() == 2 && shape[0] == 2, "{shape:?}");
        assert!(nonzero(&step.weights[0]) && nonzero(&step.weights[1]));
        assert!(step.weights[2..].iter().flatten().all(|d| *d == 0.0), "states have no gradient");
        for _ in 0..9 {
            assert_eq!(layer_step(&layer, &[&x], &refs(&w), TRAINS).unwrap().y(), step.y());
        }
    }
}

#[test]
fn evaluation_agrees_with_the_oracle_and_reads_the_states() {
    for shape in SHAPES {
        let (x, w) = (columns(shape, 1, 0.3, 1.0), tensors(shape[shape.len() - 1]));
        let layer = BatchNormalization::new().epsilon(0.01);
        let step = layer_step(&layer, &[&x], &refs(&w), None).unwrap();
        let operands: Vec<&Tensor> = std::iter::once(&x).chain(&w).collect();
        check_gradients(&format!("states {shape:?}"), &step, &operands, |at| {
            standardise(&at[0], [&at[3], &at[4], &at[1], &at[2]], f64::from(0.01f32))
        });
    }
}

#[test]
fn scale_and_center_may_be_left_out() {
    let x = columns(&[6, 3], 2, 0.0, 1.0);
    let (all, ones, zeros) = (tensors(3), vec![1.0; 3], vec![0.0; 3]);
    for (scale, center) in [(true, false), (false, true), (false, false)] {
        let layer = BatchNormalization::new().scale(scale).center(center);
        let names: Vec<String> =
            layer.weights(&samples(&[&x])).into_iter().map(|spec| spec.name).collect();
        let own =
            [(scale, "gamma"), (center, "beta"), (true, "moving_mean"), (true, "moving_variance")];
        let own: Vec<&str> = own.iter().filter(|o| o.0).map(|o| o.1).collect();
        assert_eq!(names, own);
        let w: Vec<Tensor> = (all.iter().zip([scale, center, true, true]))
            .filter(|(_, kept)| *kept)
            .map(|(w, _)| w.clone())
            .collect();
        let step = layer_step(&layer, &[&x], &refs(&w), TRAINS).unwrap();
        let operands: Vec<&Tensor> = std::iter::once(&x).chain(&w).collect();
        check_gradients(&format!("{layer:?}"), &step, &operands, |at| {
            let gamma = if scale { &at[1] } else { &ones };
            let beta = if center { &at[1 + usize::from(scale)] } else { &zeros };
            of_batch(&at[0], gamma, beta, 1e-3)
        });
    }
}

/// A mean of 1e4 beside a spread of 1 takes nothing from the digits of the result.
#[test]
fn statistics_are_exact_where_the_mean_is_large() {
    for rows in [3, 33, 1000, 5000] {
        let x = columns(&[rows, 3], 3, 1e4, 1.0);
        let w = tensors(3);
        let step = layer_step(&BatchNormalization::new(), &[&x], &refs(&w), TRAINS).unwrap();
        let at: Vec<Vec<f64>> = [&x, &w[0], &w[1]].iter().map(|t| wide(t)).collect();
        let want = of_batch(&at[0], &at[1], &at[2], 1e-3);
        // Differences of f32 near 1e4 are exact; what is left rounds as numbers near 1 do.
        assert_close(&format!("{rows} rows"), step.y(), &want, 1e-5, 1e-5);
        if rows < 100 {
            let dy = widen(&upstream(0, step.y().len()));
            let of_x = |x: &[f64]| of_batch(x, &at[1], &at[2], 1e-3);
            let want = numeric_vjp(of_x, &at[0], &dy, 1e-3);
            assert_close(&format!("gradient of {rows} rows"), &step.inputs[0], &want, 1e-4, 1e-5);
        }
    }
    // The control: the mean of squares less the square of the mean has no digit left.
    let x = columns(&[1000, 1], 3, 1e4, 1.0);
    let x = x.as_f32().unwrap();
    let (sum, squares) = x.iter().fold((0.0f32, 0.0f32), |(s, q), v| (s + v, q + v * v));
    let naive = squares / 1000.0 - (sum / 1000.0).powi(2);
    let (_, variance) = column_moments(&widen(x), 1, &[true; 1000]);
    assert!((f64::from(naive) - variance[0]).abs() > 0.1 * variance[0], "{naive} {variance:?}");
}

/// A trainer of this layer alone, which changes nothing but its states.
fn alone(layer: BatchNormalization, sample: &[usize]) -> Result<Trainer> {
    let compile = Compile::new(Sgd::new(0.0), Loss::MeanSquaredError);
    Sequential::new(sample).add(layer).compile(device(), compile)
}

/// The tensors whose name ends in `name`.
fn state(trainer: &Trainer, name: &str) -> Result<Vec<f32>> {
    let all = trainer.weights()?.into_iter();
    Ok(all
        .filter(|(n, _)| n.ends_with(name))
        .flat_map(|(_, t)| t.as_f32().unwrap().to_vec())
        .collect())
}

#[test]
fn moving_statistics_follow_the_rules_of_keras_and_of_torch() -> Result<()> {
    // Ten rows in batches of four: the last has two.
    for (layer, momentum, unbiased) in [
        (BatchNormalization::new(), 0.99, false),
        (BatchNormalization::new().momentum(0.5), 0.5, false),
        (BatchNormalization::new().momentum(0.0), 0.0, false),
        (BatchNormalization::torch(), 0.9, true),
    ] {
        let x = columns(&[10, 3], 4, 5.0, 2.0);
        let data = TensorDataset::new(x.clone(), Tensor::f32([10, 3], vec![0.0; 30])?)?;
        let mut trainer = alone(layer, &[3])?;
        let fit = Fit::new().epochs(2).batch_size(4).shuffle(false).verbose(Verbose::Silent);
        trainer.fit(&data, fit)?;
        let momentum = f64::from(momentum as f32);
        let (mut mean, mut variance) = (vec![0.0; 3], vec![1.0; 3]);
        for rows in wide(&x).chunks(12).chain(wide(&x).chunks(12)) {
            let n = rows.len() / 3;
            let (m, v) = column_moments(rows, 3, &vec![true; n]);
            let factor = if unbiased { n as f64 / (n as f64 - 1.0) } else { 1.0 };
            for c in 0..3 {
                mean[c] = momentum * mean[c] + (1.0 - momentum) * m[c];
                variance[c] = momentum * variance[c] + (1.0 - momentum) * v[c] * factor;
            }
        }
        assert_close("moving mean", &state(&trainer, "moving_mean")?, &mean, 1e-5, 1e-6);
        assert_close(
            "moving variance",
            &state(&trainer, "moving_variance")?,
            &variance,
            1e-5,
            1e-6,
        );
        // Prediction takes them.
        let y = trainer.predict(&x)?;
        let (ones, zeros) = (vec![1.0; 3], vec![0.0; 3]);
        let epsilon = if unbiased { 1e-5 } else { 1e-3 };
        let want = standardise(&wide(&x), [&mean, &variance, &ones, &zeros], epsilon);
        assert_close("prediction", y.as_f32()?, &want, 2e-5, 2e-5);
    }
    Ok(())
}

#[test]
fn a_batch_of_one_has_no_spread() -> Result<()> {
    for layer in [BatchNormalization::new(), BatchNormalization::torch().momentum(0.99)] {
        let mut trainer = alone(layer, &[2])?;
        let x = Tensor::f32([1, 2], [3.0, -8.0])?;
        let data = TensorDataset::new(x, Tensor::f32([1, 2], [0.0; 2])?)?;
        let history = trainer.fit(&data, Fit::new().full_batch().verbose(Verbose::Silent))?;
        assert_eq!(history.get("loss"), [0.0]);
        assert_close("mean", &state(&trainer, "moving_mean")?, &[0.03, -0.08], 1e-5, 1e-6);
        assert_close("variance", &state(&trainer, "moving_variance")?, &[0.99; 2], 1e-6, 0.0);
    }
    Ok(())
}

#[test]
fn frozen_it_evaluates_and_keeps_its_states() -> Result<()> {
    let x = columns(&[8, 3], 5, 2.0, 1.0);
    let data = TensorDataset::new(x.clone(), Tensor::f32([8, 3], vec![0.5; 24])?)?;
    let fit = |epoch| {
        let fit = Fit::new().epochs(epoch).initial_epoch(epoch - 1).full_batch().shuffle(false);
        fit.verbose(Verbose::Silent)
    };
    let bare = BatchNormalization::new().scale(false).center(false);
    for layer in [BatchNormalization::new(), bare] {
        let mut trainer = alone(layer, &[3])?;
        let trained = trainer.fit(&data, fit(1))?.get("loss")[0];
        let moved = trainer.weights()?;
        assert_ne!(state(&trainer, "moving_mean")?, [0.0; 3]);
        trainer.freeze(["batch_normalization"])?;
        assert_eq!(trainer.weights()?, moved, "freezing changes no number");
        let frozen = trainer.fit(&data, fit(2))?.get("loss")[0];
        assert_eq!(trainer.weights()?, moved);
        let evaluated = trainer.evaluate(&data)?.loss;
        assert!((frozen - evaluated).abs() <= 1e-6 * evaluated, "{frozen} {evaluated}");
        assert!((trained - evaluated).abs() > 0.1, "{trained} {evaluated}");
        trainer.unfreeze(["batch_normalization"])?;
        assert_eq!(trainer.weights()?, moved);
        assert_eq!(trainer.fit(&data, fit(3))?.get("loss")[0], trained);
        assert_ne!(trainer.weights()?, moved);
    }
    Ok(())
}

#[test]
fn one_layer_used_twice_moves_its_statistics_in_order() -> Result<()> {
    let (a, b) = (input_named("a", [2]), input_named("b", [2]));
    let shared = LayerHandle::new(BatchNormalization::new().momentum(0.5));
    let both = merge(Add, [&a.then(&shared), &b.then(&shared)]);
    let model = Model::new([&a, &b], [&both])?;
    let compile = Compile::new(Sgd::new(0.0), Loss::MeanSquaredError);
    let mut trainer = model.compile(device(), compile)?;
    let x = [columns(&[6, 2], 6, 4.0, 1.0), columns(&[6, 2], 7, -9.0, 3.0)];
    let y = Tensor::f32([6, 2], vec![0.0; 12])?;
    let data = TensorDataset::multi(x.clone(), [y])?;
    trainer.fit(&data, Fit::new().full_batch().shuffle(false).verbose(Verbose::Silent))?;
    let moments = x.map(|x| column_moments(&wide(&x), 2, &[true; 6]));
    let mut want = [vec![0.0; 2], vec![1.0; 2]];
    for (m, v) in &moments {
        for (old, new) in want.iter_mut().zip([m, v]) {
            old.iter_mut().zip(new).for_each(|(o, n)| *o = 0.5 * *o + 0.5 * n);
        }
    }
    assert_close("mean", &state(&trainer, "moving_mean")?, &want[0], 1e-5, 1e-6);
    assert_close("variance", &state(&trainer, "moving_variance")?, &want[1], 1e-5, 1e-6);
    // The other order would give other numbers.
    let other = 0.25 * moments[1].0[0] + 0.5 * moments[0].0[0];
    assert!((want[0][0] - other).abs() > 1.0);
    Ok(())
}

#[test]
fn masked_rows_are_not_in_the_statistics() {
    let (batch, time, width) = (3, 4, 2);
    let x = columns(&[batch, time, width], 8, 1.0, 1.0);
    let w = tensors(width);
    let counts: Vec<bool> = (0..batch * time).map(|i| i % 3 != 1).collect();
    let mask: Vec<f32> = counts.iter().map(|&c| f32::from(u8::from(c))).collect();
    let mask = Tensor::f32([batch, time], mask).unwrap();
    let layer = BatchNormalization::new();
    let specs = layer.weights(&samples(&[&x]));
    let step = differentiate(&[&x, &mask], &refs(&w), [1, 2], None, |g, x, w| {
        let random = Random {
            seed: g.step_param("seed", DType::U32)?,
            step: g.step_param("step", DType::U32)?,
            stream: 0,
        };
        let cx = Context::new("norm", &x[..1]).tensors(&specs, w).with_masks(&[Some(x[1])]);
        let cx = cx.training_with(Some(random));
        Ok(layer.apply(g, &cx)?.values)
    })
    .unwrap();
    let f = |x: &[f64], gamma: &[f64], beta: &[f64]| {
        let (mean, variance) = column_moments(x, width, &counts);
        standardise(x, [&mean, &variance, gamma, beta], 1e-3)
    };
    let at: Vec<Vec<f64>> = [&x, &w[0], &w[1]].iter().map(|t| wide(t)).collect();
    assert_close("masked", step.y(), &f(&at[0], &at[1], &at[2]), 1e-5, 1e-6);
    let unmasked = of_batch(&at[0], &at[1], &at[2], 1e-3);
    assert!(step.y().iter().zip(unmasked).any(|(a, b)| (f64::from(*a) - b).abs() > 0.01));
    let dy = widen(&upstream(0, step.y().len()));
    let want = numeric_vjp(|x| f(x, &at[1], &at[2]), &at[0], &dy, STEP);
    assert_close("gradient", &step.inputs[0], &want, 1e-4, 1e-5);
}

#[test]
fn a_deep_network_learns_with_it() -> Result<()> {
    let n = 192;
    let x = uniform(1, 2 * n, -1.0, 1.0);
    let y: Vec<f32> = x.chunks(2).map(|p| (3.0 * p[0]).sin() * p[1]).collect();
    let data = TensorDataset::new(Tensor::f32([n, 2], x)?, Tensor::f32([n, 1], y)?)?;
    let mut model = Sequential::new([2]);
    for _ in 0..4 {
        model = model.add(Dense::new(16).use_bias(false));
        model = model.add(BatchNormalization::new().momentum(0.9)).add(Activation::Relu);
    }
    let compile = Compile::new(Adam::new(0.01), Loss::MeanSquaredError);
    let mut trainer = model.add(Dense::new(1)).compile(device(), compile)?;
    let before = trainer.evaluate(&data)?.loss;
    trainer.fit(&data, Fit::new().epochs(40).batch_size(32).verbose(Verbose::Silent))?;
    let after = trainer.evaluate(&data)?.loss;
    assert!(after < 0.1 * before, "from {before} to {after}");
    Ok(())
}

#[test]
fn settings_and_shapes_that_do_not_suit_are_refused() {
    let new = BatchNormalization::new;
    let name = "batch_normalization";
    for bad in [-0.1, 1.5, f32::NAN] {
        says(&refusal(name, new().momentum(bad), &[3]), &["momentum = ", "[0, 1]"]);
    }
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        says(&refusal(name, new().epsilon(bad), &[3]), &["epsilon = ", "above 0"]);
    }
    says(&refusal(name, new(), &[]), &["an axis of features"]);
    says(&refusal(name, new().gamma_regularizer(Regularizer::l2(-1.0)), &[3]), &["l2 = -1"]);
    let states =
        |specs: Vec<WeightSpec>| specs.into_iter().filter(|s| s.kind == WeightKind::State).count();
    assert_eq!(states(new().weights(&[[4].into()])), 2);
}

/// Dispatches of a graph of a dense layer, this layer and an activation; with the gradients of all weights if it trains.
fn dispatches(sample: &[usize], trains: bool) -> Result<usize> {
    launches(Dense::new(8), sample, Activation::Relu, trains)
}

/// As [`dispatches`], with another layer before and another activation.
fn launches(
    first: impl Into<LayerHandle>,
    sample: &[usize],
    activation: Activation,
    trains: bool,
) -> Result<usize> {
    let model = Sequential::new(sample)
        .add(first.into())
        .add(BatchNormalization::new())
        .add(activation)
        .build()?;
    let mut g = Graph::new();
    let x = g.input("x", [&[16], sample].concat(), DType::F32);
    let specs: Vec<WeightSpec> = model.weights().map(|(_, spec)| spec).collect();

    let w: Vec<Value> = specs
        .iter()
        .enumerate()
        .map(|(i, s)| g.state(&format!("w{i}"), s.shape.clone(), DType::F32))
        .collect();
    let words = match trains {
        true => Some((g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?)),
        false => None,
    };
    let outputs = model.run(&mut g, &[x], &[None], &w, words)?;
    let y = outputs.values[0];
    if trains {
        let square = g.unary("square", y, &[])?;
        let total = g.sum(square, &[], false)?;
        for (i, d) in gradients(&mut g, total, &w[..4])?.into_iter().enumerate() {
            g.output(&format!("d{i}"), d);
        }
    }
    g.output("y", y);
    for (name, new) in outputs.state {
        let names: Vec<String> =
            model.weights().map(|(l, w)| format!("{}/{}", l.name, w.name)).collect();
        let at = names.iter().position(|n| *n == name).expect("a state of the model");
        g.update(w[at], new)?;
    }
    let plan = wgrad::plan::Plan::compile(&g, &wgrad::passes::Passes::default(), device().caps())?;
    Ok(plan.dispatches.len())
}

/// With the sums of the mask, and of the gradients of its weights: mean, variance, result; all sums, and the gradient of
/// the input; and four kernels of a number for each column.
#[test]
fn a_training_step_takes_few_kernels() -> Result<()> {
    // The product before it takes three, of bias and kernel, and the loss one.
    assert!(dispatches(&[5], true)? <= 11, "{}", dispatches(&[5], true)?);
    assert_eq!(dispatches(&[4, 4, 5], true)?, dispatches(&[7, 5], true)?, "images are rows too");
    Ok(())
}

#[test]
fn at_prediction_it_is_a_part_of_the_product_before_it() -> Result<()> {
    // Bias, normalization and activation; of vectors, of steps of a sequence, and of pixels.
    for sample in [&[5][..], &[7, 5], &[4, 4, 3]] {
        assert_eq!(dispatches(sample, false)?, 1, "{sample:?}");
    }
    Ok(())
}

/// After a convolution too, with and without a bias; kernels of 3 x 3 and of a pixel, with padding, strides and sequences.
#[test]
fn at_prediction_it_is_a_part_of_the_convolution_before_it() -> Result<()> {
    for bias in [true, false] {
        for taps in [3, 1] {
            let conv = || Conv2D::new(8, taps).use_bias(bias);
            for conv in [conv(), conv().padding(Padding::Same), conv().strides(2)] {
                let one = launches(conv.clone(), &[9, 7, 3], Activation::Relu, false)?;
                assert_eq!(one, 1, "{conv:?}");
            }
            let conv = Conv1D::new(8, taps).use_bias(bias);
            assert_eq!(
                launches(conv, &[9, 3], Activation::Relu, false)?,
                1,
                "{taps} of a sequence"
            );
        }
    }
    // The control: an activation that is a kernel by itself is one more.
    assert!(launches(Conv2D::new(8, 3), &[9, 7, 3], Activation::Softmax, false)? > 1);
    Ok(())
}

/// A convolution that is no single product has its kernels, and one more for bias, normalization and activation together.
/// The second product of a separable convolution does them.
#[test]
fn at_prediction_it_is_one_launch_after_other_convolutions() -> Result<()> {
    let of = |layer: LayerHandle| launches(layer, &[9, 7, 4], Activation::Relu, false);
    let transposed = |stride| Conv2DTranspose::new(8, 3).strides(stride);
    for (layer, want) in [
        (SeparableConv2D::new(8, 3).into(), 2),
        (DepthwiseConv2D::new(3).into(), 2),
        (Conv2D::new(8, 3).groups(2).into(), 2),
        (transposed(1).into(), 1),
        // A product for each residue of the strides; and a copy where the output ends within a stride.
        (transposed(2).padding(Padding::Same).into(), 5),
        (transposed(2).into(), 6),
    ] {
        let name = format!("{layer:?}");
        assert_eq!(of(layer)?, want, "{name}");
    }
    Ok(())
}

/// In training the activation is a part of the kernel of the result, and its gradient of those of the sums and the input.
#[test]
fn in_training_an_activation_costs_no_kernel() -> Result<()> {
    let of = |activation| launches(Conv2D::new(8, 3), &[9, 7, 3], activation, true);
    let (without, with) = (of(Activation::Linear)?, of(Activation::Relu)?);
    assert_eq!(with, without);
    assert!(of(Activation::Softmax)? > without, "the control");
    Ok(())
}

/// Another axis is as the last one, with the input turned.
#[test]
fn any_axis_may_be_the_channels() {
    use reference::linalg::transpose;
    for (shape, axis) in
        [(&[4, 3, 2, 5][..], 1), (&[4, 5, 3], 1), (&[2, 3, 4, 3], -2), (&[6, 3], 1)]
    {
        let channels = if axis < 0 { shape.len() - 2 } else { 1 };
        let mut order: Vec<usize> = (0..shape.len()).filter(|&a| a != channels).collect();
        order.push(channels);
        let ahead: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
        let back: Vec<usize> =
            (0..shape.len()).map(|a| order.iter().position(|&o| o == a).unwrap()).collect();
        let (x, w) = (numbers(shape, 1), tensors(shape[channels]));
        let layer = BatchNormalization::new().axis(axis);
        let operands: Vec<&Tensor> = std::iter::once(&x).chain(&w).collect();
        for random in [TRAINS, None] {
            let step = layer_step(&layer, &[&x], &refs(&w), random).unwrap();
            check_gradients(&format!("axis {axis} of {shape:?}"), &step, &operands, |at| {
                let rows = transpose(&at[0], shape, &order);
                let y = match random {
                    Some(_) => of_batch(&rows, &at[1], &at[2], 1e-3),
                    None => standardise(&rows, [&at[3], &at[4], &at[1], &at[2]], 1e-3),
                };
                transpose(&y, &ahead, &back)
            });
        }
    }
    let name = "batch_normalization";
    says(&refusal(name, BatchNormalization::new().axis(0), &[3, 4]), &["axis = [0]", "batch"]);
    says(&refusal(name, BatchNormalization::new().axis(3), &[3, 4]), &["axis = [3]", "1 to 2"]);
}

/// Mean and variance have gradients too: in a loop, states are carried through the iterations.
#[test]
fn statistics_have_gradients() {
    let (x, width) = (columns(&[5, 3], 1, 2.0, 1.0), 3);
    let step = differentiate(&[&x], &[], [0, 0], None, |g, x, _| {
        let [_, mean, variance] = g.batch_norm(x[0], None, None, None, 1e-3)?;
        Ok(vec![mean, variance])
    })
    .unwrap();
    let (dm, dv) = (widen(&upstream(0, width)), widen(&upstream(1, width)));
    let f = |x: &[f64]| {
        let (mean, variance) = column_moments(x, width, &[true; 5]);
        (0..width).map(|c| mean[c] * dm[c] + variance[c] * dv[c]).collect()
    };
    let want = numeric_vjp(f, &wide(&x), &[1.0; 3], STEP);
    assert_close("gradient", &step.inputs[0], &want, 1e-5, 1e-5);
}
