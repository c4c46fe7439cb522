//! Models with branches, shared and frozen layers, several inputs and outputs.

use super::*;
use reference::linalg::{add_bias, matmul};

/// x · kernel + bias for two rows.
fn dense(x: &[f64], kernel: &[f64], bias: &[f64]) -> Vec<f64> {
    let (k, n) = (x.len() / 2, bias.len());
    add_bias(&matmul(x, kernel, 1, 2, n, k, false, false), bias)
}

fn tanh(x: Vec<f64>) -> Vec<f64> {
    x.into_iter().map(f64::tanh).collect()
}

fn add(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[test]
fn a_residual_network_agrees_with_the_oracle() {
    let x = input([4]);
    let mut h = x.clone();
    for _ in 0..3 {
        let branch = h.then(Dense::new(5).activation(Activation::Tanh)).then(Dense::new(4));
        h = merge(Add, [&h, &branch]);
    }
    let model = Model::new([&x], [&h]).unwrap();
    let batch = numbers(&[2, 4], 1);
    let weights: Vec<Tensor> =
        model.weights().zip(2..).map(|((_, spec), i)| numbers(spec.shape.dims(), i)).collect();
    let step = model_step(&model, &[&batch], &refs(&weights), None).unwrap();
    let operands: Vec<&Tensor> = std::iter::once(&batch).chain(&weights).collect();
    check_gradients("residual", &step, &operands, |at| {
        at[1..].chunks_exact(4).fold(at[0].clone(), |h, w| {
            add(&h, &dense(&tanh(dense(&h, &w[0], &w[1])), &w[2], &w[3]))
        })
    });
}

/// Two towers of one layer: its weights have one gradient, the sum over both uses.
#[test]
fn a_shared_layer_has_its_weights_once_and_adds_up_its_gradients() {
    let (a, b) = (input_named("left", [3]), input_named("right", [3]));
    let shared = LayerHandle::new(Dense::new(5).activation(Activation::Tanh)).named("tower");
    let both = merge(Concatenate::default(), [&a.then(&shared), &b.then(&shared)]);
    let model = Model::new([&a, &b], [&both.then(Dense::new(2))]).unwrap();
    let names: Vec<String> =
        model.weights().map(|(l, s)| format!("{}/{}", l.name, s.name)).collect();
    assert_eq!(names, ["tower/kernel", "tower/bias", "dense/kernel", "dense/bias"]);
    assert_eq!(model.calls().iter().filter(|c| c.layer == 0).count(), 2);

    let x = [numbers(&[2, 3], 1), numbers(&[2, 3], 2)];
    let weights: Vec<Tensor> =
        model.weights().zip(3..).map(|((_, spec), i)| numbers(spec.shape.dims(), i)).collect();
    let step = model_step(&model, &refs(&x), &refs(&weights), None).unwrap();
    let operands: Vec<&Tensor> = x.iter().chain(&weights).collect();
    check_gradients("shared", &step, &operands, |at| {
        let tower = |x: &[f64]| tanh(dense(x, &at[2], &at[3]));
        let parts = [tower(&at[0]), tower(&at[1])];
        let parts = parts.each_ref().map(Vec::as_slice);
        let joined = reference::linalg::concatenate(&parts, &[&[2, 5], &[2, 5]], 1);
        dense(&joined, &at[4], &at[5])
    });
}

#[test]
fn several_inputs_and_outputs_share_what_lies_between() {
    let (ids, x) = (input_named("ids", [2]), input_named("numbers", [3]));
    let words = ids.then(Embedding::new(6, 2)).then(Flatten);
    let body = merge(Concatenate::new(1), [&words, &x]);
    let hidden = body.then(Dense::new(4).activation(Activation::Tanh));
    let (first, second) = (hidden.then(Dense::new(1).named("score")), hidden.then(PRelu::new()));
    let model = Model::new([&ids, &x], [&first, &second, &hidden]).unwrap();
    assert_eq!(model.output_names(), ["score", "p_re_lu", "dense"]);
    let inputs = [Tensor::u32([2, 2], [0, 5, 5, 1]).unwrap(), numbers(&[2, 3], 1)];
    let weights: Vec<Tensor> =
        model.weights().zip(2..).map(|((_, spec), i)| numbers(spec.shape.dims(), i)).collect();
    let step = model_step(&model, &refs(&inputs), &refs(&weights), None).unwrap();

    let network = |at: &[Vec<f64>]| -> [Vec<f64>; 3] {
        let rows = reference::linalg::gather_rows(&at[1], 2, &[0, 5, 5, 1]);
        let body = reference::linalg::concatenate(&[&rows, &at[0]], &[&[2, 4], &[2, 3]], 1);
        let hidden = tanh(dense(&body, &at[2], &at[3]));
        let slopes = at[6].repeat(2);
        let second = reference::layers::rectify(&hidden, &slopes);
        [dense(&hidden, &at[4], &at[5]), second, hidden]
    };
    let operands: Vec<Vec<f64>> = std::iter::once(&inputs[1]).chain(&weights).map(wide).collect();
    let want = network(&operands);
    for (i, want) in want.iter().enumerate() {
        let got = step.outputs[i].as_f32().unwrap();
        assert_close(&format!("output {i}"), got, want, 1e-6, 1e-6);
    }
    let dy: Vec<f64> = (0..3).flat_map(|i| widen(&upstream(i, want[i].len()))).collect();
    let got = std::iter::once(&step.inputs[1]).chain(&step.weights);
    for (i, got) in got.enumerate() {
        let of_operand = |x: &[f64]| {
            let mut all = operands.clone();
            all[i] = x.to_vec();
            network(&all).concat()
        };
        let want = numeric_vjp(of_operand, &operands[i], &dy, STEP);
        assert_close(&format!("gradient {i}"), got, &want, 1e-5, 1e-5);
    }
}

#[test]
fn frozen_layers_count_as_non_trainable() {
    let x = input([3]);
    let body = x.then(Dense::new(5).frozen()).then(PRelu::new()).then(Dense::new(2));
    let mut model = Model::new([&x], [&body]).unwrap();
    let counts = |model: &Model| {
        let text = model.summary();
        let line = |what: &str| {
            let line = text.lines().find(|l| l.trim_start().starts_with(what)).expect("a line");
            line.split_whitespace().nth(2).expect("a count").to_owned()
        };
        ["Total", "Trainable", "Non-trainable"].map(line)
    };
    assert_eq!(counts(&model), ["37", "17", "20"]);
    model.set_trainable("dense", true).unwrap();
    model.set_trainable("p_re_lu", false).unwrap();
    assert_eq!(counts(&model), ["37", "32", "5"]);
    let error = model.set_trainable("dense_2", true).unwrap_err();
    says(&error, &["layer = dense_2", "dense, p_re_lu, dense_1"]);
    // A frozen layer passes gradients on, and also has a gradient itself if asked.
    let weights: Vec<Tensor> =
        model.weights().zip(2..).map(|((_, spec), i)| numbers(spec.shape.dims(), i)).collect();
    let step = model_step(&model, &[&numbers(&[2, 3], 1)], &refs(&weights), None).unwrap();
    assert!(step.inputs[0].iter().chain(&step.weights[0]).all(|d| *d != 0.0));
}

#[test]
fn layers_are_named_and_listed_as_in_keras() {
    let (a, b) = (input([2, 3]), input([2, 3]));
    let noisy = a.then(GaussianNoise::new(0.1)).then(AlphaDropout::new(0.1));
    let bent = b.then(PRelu::new()).then(RRelu::default()).then(PRelu::new());
    let joined = merge(Concatenate::default(), [&noisy, &bent]);
    let turned = joined.then(Permute::new([2, 1])).then(Reshape::new([4, -1]));
    let ends = [merge(Multiply, [&turned, &turned]), merge(Average, [&turned, &turned])];
    let model = Model::new([&a, &b], [&merge(Add, &ends)]).unwrap();
    let names: Vec<&str> = model.layers().iter().map(|l| l.name.as_str()).collect();
    let want = [
        "gaussian_noise",
        "alpha_dropout",
        "p_re_lu",
        "r_re_lu",
        "p_re_lu_1",
        "concatenate",
        "permute",
        "reshape",
        "multiply",
        "average",
        "add",
    ];
    assert_eq!(names, want);
    let summary = model.summary();
    for row in
        ["p_re_lu_1 (PReLU)", "concatenate (Concatenate)", "(None, 4, 3)", "input_1 (InputLayer)"]
    {
        assert!(summary.contains(row), "{summary}");
    }
    assert!(summary.contains("alpha_dropout[0][0], p_re_lu_1[0][0]"), "{summary}");
    assert!(summary.contains("Total params: 12 "), "{summary}");
}

#[test]
fn connections_are_listed_as_in_keras() {
    let (a, b) = (input_named("a", [4]), input_named("b", [4]));
    let shared = LayerHandle::new(Dense::new(4));
    let (x, y) = (a.then(&shared), b.then(&shared));
    let sum = merge(Add, [&x, &y]);
    let model = Model::new([&a, &b], [&sum.then(Dense::new(2))]).unwrap();
    // The fourth column of Keras 3's table for the same model.
    let connected = |model: &Model| -> Vec<String> {
        let rows = model.summary();
        let rows = rows.lines().filter(|line| line.starts_with('│'));
        rows.map(|row| row.split('│').nth(4).unwrap_or_default().trim().to_owned()).collect()
    };
    let want = ["-", "-", "a[0][0], b[0][0]", "dense[0][0], dense[1][0]", "add[0][0]"];
    assert_eq!(connected(&model), want);
    // A chain has no such column, one layer used three times has.
    let chain = Model::new([&a], [&a.then(Flatten).then(Dense::new(2))]).unwrap();
    assert_eq!(connected(&chain), [""; 3]);
    let thrice = Model::new([&a], [&x.then(&shared).then(&shared)]).unwrap();
    assert_eq!(connected(&thrice), ["-", "a[0][0], dense[0][0], dense[1][0]"]);
}

#[test]
fn what_is_no_model_is_refused() {
    let (a, b) = (input([3]), input([3]));
    let sum = merge(Add, [&a, &b]);
    let build = |inputs: &[&SymbolicTensor], outputs: &[&SymbolicTensor]| {
        Model::new(inputs.iter().copied(), outputs.iter().copied()).unwrap_err()
    };
    says(&build(&[&a], &[&sum]), &["inputs", "not in the list of inputs"]);
    let alone = a.then(Dense::new(2));
    says(&build(&[&a, &b], &[&alone]), &["inputs = input_1", "no output depends on it"]);
    says(&build(&[&a, &b], &[]), &["an input and an output"]);
    says(&build(&[], &[&sum]), &["not in the list of inputs"]);
    says(&build(&[&a, &a], &[&alone]), &["two inputs are one"]);
    says(&build(&[&a, &alone], &[&sum]), &["an input is made by `input`"]);
    says(&build(&[&a, &b], &[&sum, &a]), &["at least one layer"]);
    let (x, y) = (input_named("x", [3]), input_named("x", [3]));
    says(&build(&[&x, &y], &[&merge(Add, [&x, &y])]), &["inputs = x", "one name"]);
    let twice = a.then(Dense::new(3).named("d")).then(Dense::new(3).named("d"));
    says(&build(&[&a], &[&twice]), &["name = d", "two layers have this name"]);
    let empty = input([3, 0]);
    says(&build(&[&empty], &[&empty.then(Flatten)]), &["[3, 0]", "zero"]);
    // A shared layer whose weights would need two shapes.
    let wide = input([4]);
    let shared = LayerHandle::new(Dense::new(3));
    let both = merge(Add, [&a.then(&shared), &wide.then(&shared)]);
    says(&build(&[&a, &wide], &[&both]), &["layer `dense`", "[3], [4]", "shared layer"]);
}
