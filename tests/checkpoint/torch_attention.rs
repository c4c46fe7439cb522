//! PyTorch's attention: heads that lie one after the other, with queries, keys and values in the rows of one tensor.

use super::flatten::{close, tensor};
use super::*;
use safetensors::SafeTensors;
use wgrad::Result;

const RECORDED: &[u8] = include_bytes!("../known/torch_attention.safetensors");

fn compiled(model: Model) -> Result<Trainer> {
    model.compile(device(), Compile::new(Sgd::default(), Loss::MeanSquaredError))
}

/// `start` and the module of each of the four parts.
fn parts(start: &str) -> Vec<String> {
    ["in_proj", "in_proj", "in_proj", "out_proj"].map(|part| format!("{start}{part}")).to_vec()
}

#[test]
fn attention_of_torch_gives_what_torch_gives_and_goes_back() -> Result<()> {
    let (x, memory) = (input([5, 6]), input([4, 6]));
    let attention = |heads| MultiHeadAttention::new(heads, 6 / heads);
    let both = [tensor(RECORDED, "x"), tensor(RECORDED, "memory")];
    let cross = merge(attention(3).use_bias(false), [&x, &memory]);
    let encoder =
        [parts("self_attn."), ["norm1", "norm2", "linear1", "linear2"].map(Into::into).to_vec()];
    let of =
        |name: &str, modules: Vec<String>| WeightMap::torch(modules).prefix(&format!("{name}."));
    for (name, model, inputs, map) in [
        (
            "attention",
            Model::new([&x], [&merge(attention(2), [&x, &x])])?,
            &both[..1],
            of("attention", parts("")),
        ),
        ("cross", Model::new([&x, &memory], [&cross])?, &both[..], of("cross", parts(""))),
        (
            "encoder",
            Model::new([&x], [&x.then(TransformerEncoder::new(7, 2))])?,
            &both[..1],
            of("encoder", encoder.concat()),
        ),
    ] {
        let mut trainer = compiled(model)?;
        let want = tensor(RECORDED, &format!("{name}.y"));
        assert!(!close(&trainer.predict(inputs)?, &want, 0.1), "{name}: before");
        trainer.load_weights_from_bytes(RECORDED, &map.clone().skip_surplus())?;
        let got = trainer.predict(inputs)?;
        assert!(close(&got, &want, 2e-6), "{name}: {got:?} is not {want:?}");
        // Back to the same tensors, to the bit.
        let written = trainer.weights_to_bytes(&map)?;
        let file = SafeTensors::deserialize(&written).unwrap();
        let names = file.names();
        let all = SafeTensors::deserialize(RECORDED).unwrap();
        let own = |n: &str| n.starts_with(&format!("{name}.")) && !n.ends_with(".y");
        assert_eq!(names.len(), all.names().iter().filter(|n| own(n)).count(), "{names:?}");
        for name in names {
            assert_eq!(tensor(&written, name), tensor(RECORDED, name), "{name}");
        }
    }
    Ok(())
}

/// A `Linear` each, as many networks have it, with the biases without an axis of heads.
#[test]
fn parts_of_an_attention_are_linear_modules() -> Result<()> {
    let x = input([5, 6]);
    let model = Model::new([&x], [&merge(MultiHeadAttention::new(2, 3), [&x, &x])])?;
    let mut trainer = compiled(model)?;
    let map = WeightMap::torch(["q", "k", "v", "o"]);
    let before = trainer.predict(&tensor(RECORDED, "x"))?;
    let written = trainer.weights_to_bytes(&map)?;
    let file = SafeTensors::deserialize(&written).unwrap();
    for name in ["q", "k", "v", "o"] {
        assert_eq!(file.tensor(&format!("{name}.weight")).unwrap().shape(), [6, 6]);
        assert_eq!(file.tensor(&format!("{name}.bias")).unwrap().shape(), [6]);
    }
    // Element [4, 5] of the transpose: the second head's first place, of the last feature.
    let kernel = &trainer.weights()?[0].1;
    let turned = tensor(&written, "q.weight");
    assert_eq!(turned.as_f32()?[3 * 6 + 5], kernel.as_f32()?[(5 * 2 + 1) * 3]);
    let halves = trainer.weights()?.into_iter().map(|(_, w)| {
        let shape = w.shape().clone();
        Tensor::f32(shape.clone(), vec![0.5; shape.len()])
    });
    trainer.set_weights(&halves.collect::<Result<Vec<_>>>()?)?;
    assert!(!close(&trainer.predict(&tensor(RECORDED, "x"))?, &before, 1e-3));
    trainer.load_weights_from_bytes(&written, &map)?;
    assert_eq!(trainer.predict(&tensor(RECORDED, "x"))?, before);
    Ok(())
}

/// What cannot be one tensor is refused: two kernels of one part, and rows of another length.
#[test]
fn weights_that_would_be_one_tensor_are_named() -> Result<()> {
    let refused = |model: Model, modules: &[&str], words: &[&str]| {
        let map = WeightMap::torch(modules.to_vec());
        let error = compiled(model).unwrap().weights_to_bytes(&map).unwrap_err().to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "{error}: no {word}"));
    };
    let (x, memory) = (input([5, 6]), input([4, 3]));
    let attention = merge(MultiHeadAttention::new(2, 3), [&x, &memory]);
    let model = Model::new([&x, &memory], [&attention])?;
    let words = ["in_proj_weight", "query/kernel", "key/kernel", "pair"];
    refused(model, &["in_proj", "in_proj", "in_proj", "out"], &words);
    let (nodes, edges) = (input([4, 3]), input([2, 2]));
    let model = Model::new([&nodes, &edges], [&merge(MessagePassing::new(3), [&nodes, &edges])])?;
    refused(model, &["graph"], &["graph.weight", "/self_kernel", "/kernel", "pair"]);
    Ok(())
}
