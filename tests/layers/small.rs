//! Lambda, RepeatVector, Dot and TimeDistributed.

use super::*;
use support::device;
use wgrad::layers::{Lambda, WeightKind};

#[test]
fn a_closure_is_a_layer() -> Result<()> {
    let wave = Lambda::new(|g, x| {
        let twice = g.scale(x[0], 2.0)?;
        let bent = g.unary("tanh", twice, &[])?;
        g.sum(bent, &[1], false)
    });
    for shape in [&[3, 5][..], &[1, 1], &[2, 7, 3]] {
        let x = numbers(shape, 1);
        let step = layer_step(&wave, &[&x], &[], None)?;
        check_gradients(&format!("closure {shape:?}"), &step, &[&x], |at| {
            let inner: usize = shape[2..].iter().product();
            let bent: Vec<f64> = at[0].iter().map(|v| (2.0 * v).tanh()).collect();
            let sum = |(b, i): (usize, usize)| {
                (0..shape[1]).map(|t| bent[(b * shape[1] + t) * inner + i]).sum()
            };
            (0..shape[0]).flat_map(|b| (0..inner).map(move |i| (b, i))).map(sum).collect()
        });
    }
    let split = Lambda::several(|g, x| {
        let product = g.mul(x[0], x[1])?;
        Ok(vec![product, g.neg(x[0])?])
    });
    let (a, b) = (input([4]), input([4]));
    let both = merge(split, [&a, &b]);
    let model = Model::new([&a, &b], [&both, &both.output(1)])?;
    assert_eq!(model.output_names(), ["lambda", "lambda_1"]);
    let x = [numbers(&[2, 4], 1), numbers(&[2, 4], 2)];
    let step = model_step(&model, &refs(&x), &[], None)?;
    let want: Vec<f64> = wide(&x[0]).iter().zip(wide(&x[1])).map(|(a, b)| a * b).collect();
    assert_close("product", step.y(), &want, 1e-6, 1e-6);
    assert_close(
        "neg",
        step.outputs[1].as_f32()?,
        &wide(&x[0]).iter().map(|v| -v).collect::<Vec<_>>(),
        0.0,
        0.0,
    );
    // What is wrong with a closure is said when the model is built.
    let over_batch = Lambda::new(|g, x| g.sum(x[0], &[0], false));
    says(&refusal("lambda", over_batch, &[3]), &["a batch of 13 samples", "[3]"]);
    let failing = Lambda::new(|g, x| g.transpose(x[0], &[0]));
    says(&refusal("lambda", failing, &[3]), &["transpose"]);
    says(&refusal("lambda", Lambda::several(|_, _| Ok(vec![])), &[3]), &["outputs = 0"]);
    let foreign = Lambda::new(|_, _| Ok(Graph::new().constant(1.0)));
    says(&refusal("lambda", foreign, &[3]), &["another graph"]);
    Ok(())
}

#[test]
fn a_vector_is_repeated() {
    for (shape, n) in [(&[3, 5], 4), (&[1, 1], 1), (&[2, 7], 3), (&[5, 4], 1)] {
        let x = numbers(shape, 1);
        let step = layer_step(&RepeatVector::new(n), &[&x], &[], None).unwrap();
        assert_eq!(step.outputs[0].shape().dims(), [shape[0], n, shape[1]]);
        check_gradients(&format!("repeat {shape:?} {n}"), &step, &[&x], |at| {
            at[0].chunks(shape[1]).flat_map(|row| row.repeat(n)).collect()
        });
    }
    says(&refusal("repeat_vector", RepeatVector::new(0), &[3]), &["n = 0", "once or more"]);
    says(&refusal("repeat_vector", RepeatVector::new(2), &[3, 4]), &["[3, 4]", "flatten"]);
    says(&refusal("repeat_vector", RepeatVector::new(2), &[]), &["vectors [d]"]);
}

/// The sum of products along an axis of each, by the definition.
fn dotted(x: &[f64], y: &[f64], [dx, dy]: [&[usize]; 2], [ax, ay]: [usize; 2]) -> Vec<f64> {
    // The vectors along an axis of one sample, in the order of the other axes.
    let vectors = |v: &[f64], dims: &[usize], axis: usize| -> Vec<Vec<f64>> {
        let inner: usize = dims[axis + 1..].iter().product();
        let outer: usize = dims[..axis].iter().product();
        let at = |o: usize, i: usize, k: usize| v[(o * dims[axis] + k) * inner + i];
        let one = |o: usize, i: usize| (0..dims[axis]).map(|k| at(o, i, k)).collect();
        (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))).map(|(o, i)| one(o, i)).collect()
    };
    let (sx, sy) = (dx[1..].iter().product(), dy[1..].iter().product());
    let mut out = Vec::new();
    for (x, y) in x.chunks(sx).zip(y.chunks(sy)) {
        let (xs, ys) = (vectors(x, &dx[1..], ax - 1), vectors(y, &dy[1..], ay - 1));
        for a in &xs {
            out.extend(ys.iter().map(|b| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>()));
        }
    }
    out
}

#[test]
fn dot_agrees_with_the_oracle_along_every_pair_of_axes() {
    type Case = (&'static [usize], &'static [usize], [isize; 2], [usize; 2], &'static [usize]);
    let cases: [Case; 9] = [
        (&[3, 5], &[3, 5], [1, 1], [1, 1], &[1]),
        (&[1, 1], &[1, 1], [-1, -1], [1, 1], &[1]),
        (&[2, 3, 5], &[2, 7, 5], [2, 2], [2, 2], &[3, 7]),
        (&[2, 3, 5], &[2, 5, 7], [-1, -2], [2, 1], &[3, 7]),
        (&[2, 5, 3], &[2, 5, 7], [1, 1], [1, 1], &[3, 7]),
        (&[2, 4], &[2, 6, 4], [1, 2], [1, 2], &[6]),
        (&[2, 6, 4], &[2, 4], [2, 1], [2, 1], &[6]),
        (&[2, 3, 4, 5], &[2, 4, 2], [2, 1], [2, 1], &[3, 5, 2]),
        (&[3, 4, 6], &[3, 6, 1], [2, 1], [2, 1], &[4, 1]),
    ];
    for (dx, dy, axes, counted, to) in cases {
        for normalize in [false, true] {
            let layer = Dot::new(axes).normalize(normalize);
            let x = [numbers(dx, 1), numbers(dy, 2)];
            let step = layer_step(&layer, &refs(&x), &[], None).unwrap();
            assert_eq!(&step.outputs[0].shape().dims()[1..], to, "{layer:?} {dx:?} {dy:?}");
            let lengths = |v: &[f64], d: &[usize], axis: usize| -> Vec<f64> {
                let inner: usize = d[axis + 1..].iter().product();
                let group = |i: usize| (i / (inner * d[axis]), i % inner);
                let norm = |i: usize| {
                    let own = v.iter().enumerate().filter(|(j, _)| group(*j) == group(i));
                    own.map(|(_, v)| v * v).sum::<f64>().sqrt().max(1e-7)
                };
                if normalize { (0..v.len()).map(|i| v[i] / norm(i)).collect() } else { v.to_vec() }
            };
            check_gradients(&format!("{layer:?} {dx:?} {dy:?}"), &step, &refs(&x), |at| {
                let (a, b) = (lengths(&at[0], dx, counted[0]), lengths(&at[1], dy, counted[1]));
                dotted(&a, &b, [dx, dy], counted)
            });
        }
    }
    // A vector of zeros has no direction, and no NaN.
    let zeros = Tensor::f32([1, 3], [0.0; 3]).unwrap();
    let layer = Dot::new([1, 1]).normalize(true);
    let step = layer_step(&layer, &[&zeros, &numbers(&[1, 3], 1)], &[], None).unwrap();
    assert_eq!(step.y(), [0.0]);
    assert!(step.inputs.iter().flatten().all(|d| d.is_finite()));
}

#[test]
fn dot_refuses_what_does_not_fit() {
    let refused = |layer: Dot, shapes: &[&[usize]], words: &[&str]| {
        let inputs: Vec<SymbolicTensor> = shapes.iter().map(|s| input(*s)).collect();
        let error = Model::new(&inputs, [&merge(layer, &inputs)]).unwrap_err();
        says(&error, &["layer `dot`"]);
        says(&error, words);
    };
    refused(Dot::new([1, 1]), &[&[3], &[4]], &["[3], [4]", "axis 1 has 3 and axis 1 has 4"]);
    for bad in [[0, 1], [1, 0], [2, 1], [1, -2], [isize::MIN, 1]] {
        refused(Dot::new(bad), &[&[3], &[3]], &[&format!("axes = {bad:?}"), "0 is the batch"]);
    }
    refused(Dot::new([1, 1]), &[&[3]], &["inputs = 1", "exactly two"]);
    refused(Dot::new([1, 1]), &[&[3], &[3], &[3]], &["inputs = 3", "exactly two"]);
}

#[test]
fn a_layer_at_every_step_agrees_with_it_step_by_step() -> Result<()> {
    for (shape, layer) in [
        (&[2, 3, 5][..], LayerHandle::new(Dense::new(4).activation(Activation::Tanh))),
        (&[1, 1, 1], Dense::new(2).into()),
        (&[3, 4, 2, 5], Dense::new(3).into()),
        (&[3, 4, 2, 5], Flatten.into()),
        (&[3, 4, 2, 5], PRelu::new().into()),
    ] {
        let x = numbers(shape, 1);
        let wrapped = TimeDistributed::new(&layer);
        let inner = Shape::from(&shape[2..]);
        let specs = wrapped.weights(&samples(&[&x]));
        let w: Vec<Tensor> =
            specs.iter().zip(5..).map(|(s, i)| numbers(s.shape.dims(), i)).collect();
        let step = layer_step(&wrapped, &[&x], &refs(&w), None)?;
        // The same rows as one batch.
        let rows = shape[0] * shape[1];
        let flat = Tensor::f32([&[rows], inner.dims()].concat(), x.as_f32()?)?;
        let alone = layer_step(layer.layer(), &[&flat], &refs(&w), None)?;
        assert_eq!(
            (step.y(), &step.inputs, &step.weights),
            (alone.y(), &alone.inputs, &alone.weights)
        );
        assert_eq!(&step.outputs[0].shape().dims()[..2], &shape[..2]);
        assert!(step.inputs[0].iter().any(|d| *d != 0.0));
    }
    let model = Sequential::new([3, 4]).add(TimeDistributed::new(Dense::new(2))).build()?;
    let names: Vec<String> =
        model.weights().map(|(l, w)| format!("{}/{}", l.name, w.name)).collect();
    assert_eq!(names, ["time_distributed/dense/kernel", "time_distributed/dense/bias"]);
    let error = refusal("time_distributed", TimeDistributed::new(Dense::new(2)), &[3]);
    says(&error, &["[3]", "sequences [time, ...]"]);
    says(
        &refusal("time_distributed", TimeDistributed::new(Dense::new(0)), &[3, 2]),
        &["units = 0"],
    );
    says(&refusal("time_distributed", TimeDistributed::new(Add), &[3, 2]), &["inputs = 1"]);
    Ok(())
}

/// A model inside, and a layer with states that each step changes after the one before.
#[test]
fn states_go_from_step_to_step() -> Result<()> {
    let inner = Sequential::new([2]).add(BatchNormalization::new().momentum(0.5)).build()?;
    let wrapped = TimeDistributed::new(&inner);
    let specs = wrapped.weights(&[[3, 2].into()]);
    assert_eq!(specs[2].name, "sequential/batch_normalization/moving_mean");
    assert_eq!(specs[2].kind, WeightKind::State);
    let compile = Compile::new(Sgd::new(0.0), Loss::MeanSquaredError);
    let mut trainer = Sequential::new([3, 2]).add(wrapped).compile(device(), compile)?;
    let x = numbers(&[4, 3, 2], 1);
    let data = TensorDataset::new(x.clone(), Tensor::f32([4, 3, 2], vec![0.0; 24])?)?;
    trainer.fit(&data, Fit::new().full_batch().shuffle(false).verbose(Verbose::Silent))?;
    let values = wide(&x);
    let mut mean = vec![0.0; 2];
    for t in 0..3 {
        let step: Vec<f64> = values.chunks(6).flat_map(|s| s[2 * t..2 * t + 2].to_vec()).collect();
        let (m, _) = reference::layers::column_moments(&step, 2, &[true; 4]);
        mean.iter_mut().zip(m).for_each(|(o, n)| *o = 0.5 * *o + 0.5 * n);
    }
    let weights = trainer.weights()?;
    let own = weights.iter().find(|(n, _)| n.ends_with("moving_mean")).unwrap();
    assert_eq!(own.0, "time_distributed/sequential/batch_normalization/moving_mean");
    assert_close("mean", own.1.as_f32()?, &mean, 1e-5, 1e-6);
    trainer.predict(&x)?;
    Ok(())
}
