//! Cells in a loop: a cell is its layer, a stack is layers in order, and what is no cell is refused.

use super::*;

/// A layer's outputs and gradients for these inputs.
fn step(layer: impl Into<LayerHandle>, x: &Tensor, random: Option<[u32; 2]>) -> Result<Step> {
    let start = input(&x.shape().dims()[1..]);
    let model = Model::new([&start], [&start.then(layer)])?;
    let w = weights(&model);
    model_step(&model, &[x], &refs(&w), random)
}

fn weights(model: &Model) -> Vec<Tensor> {
    let shapes = model.weights().map(|(_, w)| w.shape.clone());
    shapes.zip(50..).map(|(shape, seed)| numbers(shape.dims(), seed)).collect()
}

#[track_caller]
fn same(name: &str, a: &Step, b: &Step) {
    assert_close(name, a.y(), &widen(b.y()), 1e-5, 1e-5);
    let all = |s: &Step| [s.inputs.concat(), s.weights.concat()].concat();
    let want = widen(&all(b));
    let largest = want.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    assert_close(&format!("gradients of {name}"), &all(a), &want, 2e-5, 4e-6 * largest);
}

#[test]
fn a_cell_in_a_loop_is_its_layer() -> Result<()> {
    let x = numbers(&[3, 5, 4], 7);
    let hard = Activation::HardSigmoid;
    let pairs: Vec<(LayerHandle, Rnn)> = vec![
        (SimpleRnn::new(6).return_sequences(true).into(), Rnn::from_cell(SimpleRnnCell::new(6))),
        (Lstm::new(6).return_sequences(true).into(), Rnn::from_cell(LstmCell::new(6))),
        (
            Lstm::new(6).use_bias(false).recurrent_activation(hard).return_sequences(true).into(),
            Rnn::from_cell(LstmCell::new(6).use_bias(false).recurrent_activation(hard)),
        ),
        (Gru::new(6).return_sequences(true).into(), Rnn::from_cell(GruCell::new(6))),
        (
            Gru::new(6).reset_after(false).return_sequences(true).into(),
            Rnn::from_cell(GruCell::new(6).reset_after(false)),
        ),
    ];
    for (layer, cell) in pairs {
        let name = format!("{:?}", layer.layer().kind());
        same(&name, &step(cell.return_sequences(true), &x, None)?, &step(layer, &x, None)?);
    }
    let other = step(Rnn::from_cell(GruCell::new(6)).return_sequences(true), &x, None)?;
    let before = GruCell::new(6).activation(Activation::Relu);
    let before = step(Rnn::from_cell(before).return_sequences(true), &x, None)?;
    assert_ne!(other.y(), before.y(), "a cell has its settings");
    Ok(())
}

#[test]
fn a_stack_is_its_cells_one_after_the_other() -> Result<()> {
    let x = numbers(&[3, 5, 4], 8);
    let cells = [LstmCell::new(3).into(), GruCell::new(6).into(), LstmCell::new(2).into()];
    let stack = Rnn::from_cell(StackedRnnCells::new(cells)).return_sequences(true);
    let start = input([5, 4]);
    let lstm = start.then(Lstm::new(3).return_sequences(true));
    let gru = lstm.then(Gru::new(6).return_sequences(true));
    let model = Model::new([&start], [&gru.then(Lstm::new(2).return_sequences(true))])?;
    let layers = model_step(&model, &[&x], &refs(&weights(&model)), None)?;
    same("stack", &step(stack.clone(), &x, None)?, &layers);

    let model = Sequential::new([5, 4]).add(stack.return_state(true)).build()?;
    let names: Vec<String> =
        model.weights().map(|(l, w)| format!("{}/{}", l.name, w.name)).collect();
    assert_eq!(names[0], "rnn/stacked_rnn_cells/lstm_cell/kernel");
    assert_eq!(names[3], "rnn/stacked_rnn_cells/gru_cell/kernel");
    assert_eq!(names[8], "rnn/stacked_rnn_cells/lstm_cell_1/bias");
    let outputs = model.layers()[0].layer.outputs(&[[5, 4].into()])?;
    let shapes: Vec<&[usize]> = outputs.iter().map(|ty| ty.shape.dims()).collect();
    assert_eq!(shapes, [&[5, 2][..], &[3], &[3], &[6], &[2], &[2]]);
    Ok(())
}

/// As in Keras all steps of a sequence lose the same features.
#[test]
fn dropout_of_a_cell_is_the_same_in_all_steps() -> Result<()> {
    let x = Tensor::f32([2, 4, 6], vec![1.0; 48])?;
    let of = |rate, words| {
        let cell = SimpleRnnCell::new(5).dropout(rate).activation(Activation::Linear);
        let start = input([4, 6]);
        let model =
            Model::new([&start], [&start.then(Rnn::from_cell(cell).return_sequences(true))])?;
        let mut w = weights(&model);
        w[1] = Tensor::f32([5, 5], vec![0.0; 25])?;
        Ok::<_, Error>(model_step(&model, &[&x], &refs(&w), words)?.y().to_vec())
    };
    let dropped = of(0.5, Some([1, 2]))?;
    for sample in dropped.chunks(20) {
        sample.chunks(5).for_each(|step| assert_eq!(step, &sample[..5]));
    }
    assert!(dropped[..20] != dropped[20..], "samples lose features of their own");
    assert_ne!(dropped, of(0.0, Some([1, 2]))?);
    assert_ne!(dropped, of(0.5, Some([1, 3]))?);
    assert_eq!(of(0.5, None)?, of(0.0, None)?);
    Ok(())
}

#[test]
fn what_is_no_cell_is_refused() {
    let rnn = |cell: LayerHandle| refusal("rnn", Rnn::from_cell(cell), &[5, 4]);
    says(&rnn(Dense::new(3).into()), &["states", "Rnn::new(cell", "cell_states"]);
    let stack = |cells: Vec<LayerHandle>| rnn(StackedRnnCells::new(cells).into());
    says(
        &stack(vec![LstmCell::new(3).into(), Dense::new(3).into()]),
        &["cells", "dense", "cell_states"],
    );
    says(&stack(vec![]), &["cell"]);
    says(&rnn(LstmCell::new(0).into()), &["units", "0"]);
    // A cell takes a step, not a sequence.
    let alone = Sequential::new([5, 4]).add(LstmCell::new(3)).build().unwrap_err();
    says(&alone, &["layer `lstm_cell`", "LSTMCell", "2", "states"]);
    let inputs = [input([5, 4]), input([3])];
    let alone = Model::new(&inputs, [&merge(GruCell::new(3), &inputs)]).unwrap_err();
    says(&alone, &["layer `gru_cell`", "[5, 4]", "[features]", "Rnn"]);
    let inputs = [input([4]), input([2])];
    let alone = Model::new(&inputs, [&merge(GruCell::new(3), &inputs)]).unwrap_err();
    says(&alone, &["layer `gru_cell`", "state 0", "[2]", "[3]"]);
}
