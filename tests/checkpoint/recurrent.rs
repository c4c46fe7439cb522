//! Weights of recurrent layers, from and for Keras and PyTorch.

use super::weights::{contents, write};
use super::*;
use safetensors::Dtype;
use std::collections::BTreeMap;
use wgrad::Result;

/// A recurrent model of each kind, its tensors in PyTorch's layout, and the map.
fn recurrent(
    layer: impl Into<wgrad::prelude::LayerHandle>,
    modules: &[&str],
) -> (Trainer, WeightMap) {
    let model = Sequential::new([3, 2]).add(layer.into()).add(Dense::new(1));
    let compile = Compile::new(Sgd::default(), Loss::MeanSquaredError);
    (model.compile(device(), compile).unwrap(), WeightMap::torch(modules.to_vec()))
}

/// Tensors of a file, each with numbers that count on from those before.
pub fn counted(shapes: &[(&str, &[usize])]) -> Vec<u8> {
    let mut next = 0;
    let mut all = BTreeMap::new();
    for (name, shape) in shapes {
        let len: usize = shape.iter().product();
        let values: Vec<f32> = (next..next + len).map(|v| v as f32 / 64.0).collect();
        next += len;
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        all.insert(name.to_string(), (shape.to_vec(), bytes));
    }
    let views = all.iter().map(|(name, (shape, bytes))| {
        let view = safetensors::tensor::TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name.clone(), view.unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// The weight of this name.
fn named(trainer: &Trainer, name: &str) -> Vec<f32> {
    let all = trainer.weights().unwrap();
    let found = all.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name}"));
    found.1.as_f32().unwrap().to_vec()
}

#[test]
fn recurrent_weights_of_torch_go_in_and_out() -> Result<()> {
    let folder = Folder::new("recurrent");
    // One unit: a gate is a number. PyTorch's LSTM has i, f, g, o, which is Keras' order.
    let (mut trainer, map) = recurrent(Lstm::new(1), &["rnn", "head"]);
    let file = counted(&[
        ("rnn.weight_ih_l0", &[4, 2]),
        ("rnn.weight_hh_l0", &[4, 1]),
        ("rnn.bias_ih_l0", &[4]),
        ("rnn.bias_hh_l0", &[4]),
        ("head.weight", &[1, 1]),
        ("head.bias", &[1]),
    ]);
    let path = write(&folder, "lstm.safetensors", &file);
    trainer.load_weights_as(&path, &map)?;
    let scaled = |list: &[i32]| list.iter().map(|&v| v as f32 / 64.0).collect::<Vec<f32>>();
    assert_eq!(named(&trainer, "lstm/kernel"), scaled(&[0, 2, 4, 6, 1, 3, 5, 7]));
    assert_eq!(named(&trainer, "lstm/recurrent_kernel"), scaled(&[8, 9, 10, 11]));
    assert_eq!(named(&trainer, "lstm/bias"), scaled(&[12 + 16, 13 + 17, 14 + 18, 15 + 19]));
    // Both biases come back as their sum and zero.
    trainer.save_weights_as(folder.file("back.safetensors"), &map)?;
    let back = std::fs::read(folder.file("back.safetensors")).unwrap();
    let (back, first) = (contents(&back), contents(&file));
    assert_eq!(back.keys().collect::<Vec<_>>(), first.keys().collect::<Vec<_>>());
    assert_eq!(back["rnn.weight_ih_l0"], first["rnn.weight_ih_l0"]);
    assert_eq!(back["rnn.bias_hh_l0"].2, [0; 16]);
    let before = digest(&trainer);
    trainer.load_weights_as(folder.file("back.safetensors"), &map)?;
    assert_eq!(digest(&trainer), before);

    // PyTorch's GRU has r, z, n and both biases; Keras z, r, h and the same two.
    let (mut trainer, map) = recurrent(Gru::new(1), &["rnn.l1_reverse", "head"]);
    let file = counted(&[
        ("rnn.weight_ih_l1_reverse", &[3, 2]),
        ("rnn.weight_hh_l1_reverse", &[3, 1]),
        ("rnn.bias_ih_l1_reverse", &[3]),
        ("rnn.bias_hh_l1_reverse", &[3]),
        ("head.weight", &[1, 1]),
        ("head.bias", &[1]),
    ]);
    let path = write(&folder, "gru.safetensors", &file);
    trainer.load_weights_as(&path, &map)?;
    assert_eq!(named(&trainer, "gru/kernel"), scaled(&[2, 0, 4, 3, 1, 5]));
    assert_eq!(named(&trainer, "gru/recurrent_kernel"), scaled(&[7, 6, 8]));
    assert_eq!(named(&trainer, "gru/bias"), scaled(&[10, 9, 11, 13, 12, 14]));
    trainer.save_weights_as(folder.file("back.safetensors"), &map)?;
    assert_eq!(contents(&std::fs::read(folder.file("back.safetensors")).unwrap()), contents(&file));

    let (mut trainer, map) = recurrent(Gru::new(1).reset_after(false), &["rnn.l1_reverse", "head"]);
    let error = trainer.load_weights_as(&path, &map).unwrap_err().to_string();
    assert!(error.contains("layer `gru`") && error.contains("reset_after(true)"), "{error}");
    // Both directions are two parts.
    let both = Bidirectional::new(Lstm::new(1));
    let (trainer, map) = recurrent(both, &["rnn.l0", "rnn.l0_reverse", "head"]);
    trainer.save_weights_as(folder.file("both.safetensors"), &map)?;
    let names = contents(&std::fs::read(folder.file("both.safetensors")).unwrap());
    let names: Vec<&str> = names.keys().map(String::as_str).collect();
    assert!(
        names.contains(&"rnn.weight_hh_l0") && names.contains(&"rnn.bias_hh_l0_reverse"),
        "{names:?}"
    );
    Ok(())
}

/// Layers of several units, recorded from PyTorch: each gate at its place, in both directions and one over the other.
#[test]
fn recurrent_layers_of_torch_give_what_torch_gives() -> Result<()> {
    const RECORDED: &[u8] = include_bytes!("../known/torch_recurrent.safetensors");
    let file = safetensors::SafeTensors::deserialize(RECORDED).unwrap();
    let recorded = |name: &str| {
        let view = file.tensor(name).unwrap();
        let floats = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        Tensor::f32(view.shape().to_vec(), floats.collect::<Vec<_>>()).unwrap()
    };
    let x = recorded("x");
    let both = |layer: wgrad::prelude::LayerHandle| Bidirectional::new(layer);
    let lstm = || Lstm::new(5).return_sequences(true);
    let gru = || Gru::new(5).return_sequences(true);
    let model = || Sequential::new([6, 4]);
    for (name, model, modules) in [
        ("rnn", model().add(SimpleRnn::new(5).return_sequences(true)), vec!["rnn"]),
        ("lstm", model().add(lstm()), vec!["lstm"]),
        ("gru", model().add(gru()), vec!["gru"]),
        ("both", model().add(both(lstm().into())), vec!["both.l0", "both.l0_reverse"]),
        (
            "deep",
            model().add(both(gru().into())).add(both(gru().into())),
            vec!["deep.l0", "deep.l0_reverse", "deep.l1", "deep.l1_reverse"],
        ),
    ] {
        let compile = Compile::new(Sgd::default(), Loss::MeanSquaredError);
        let mut trainer = model.compile(device(), compile)?;
        let want = recorded(&format!("{name}.y"));
        let distance = |trainer: &mut Trainer| -> Result<f32> {
            let y = trainer.predict(&x)?;
            assert_eq!(y.shape(), want.shape(), "{name}");
            let pairs = y.as_f32()?.iter().zip(want.as_f32()?);
            Ok(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
        };
        assert!(distance(&mut trainer)? > 0.1, "{name}: before");
        let map = WeightMap::torch(modules).skip_surplus();
        trainer.load_weights_from_bytes(RECORDED, &map)?;
        let after = distance(&mut trainer)?;
        assert!(after < 2e-6, "{name}: {after}");
    }
    Ok(())
}

/// Keras' names have the segment of the cell.
#[test]
fn cells_of_keras_have_a_segment_of_their_name() -> Result<()> {
    let folder = Folder::new("cells");
    let shapes = |start: &'static str, cell: &'static str| {
        let name = move |rest: &str| format!("{start}{rest}");
        let inside = move |w: &str| name(&format!("lstm/{cell}{w}"));
        let names = [
            inside("kernel"),
            inside("recurrent_kernel"),
            inside("bias"),
            name("dense/kernel"),
            name("dense/bias"),
        ];
        let sizes: [&[usize]; 5] = [&[2, 4], &[1, 4], &[4], &[1, 1], &[1]];
        let pairs: Vec<(&str, &[usize])> = names.iter().map(String::as_str).zip(sizes).collect();
        counted(&pairs)
    };
    let mut found = Vec::new();
    for (start, cell) in [("", ""), ("", "lstm_cell/"), ("sequential/", "lstm_cell/")] {
        let (mut trainer, _) = recurrent(Lstm::new(1), &[]);
        trainer.load_weights(write(&folder, "cell.safetensors", &shapes(start, cell)))?;
        found.push(digest(&trainer));
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
    let (mut trainer, _) = recurrent(Lstm::new(1), &[]);
    let error = trainer.load_weights(write(&folder, "odd.safetensors", &shapes("", "lstm_core/")));
    assert!(error.unwrap_err().to_string().contains("lstm"));
    Ok(())
}
