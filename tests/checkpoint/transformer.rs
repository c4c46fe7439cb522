//! Weights of transformers under the paths that KerasHub has.

use super::recurrent::counted;
use super::weights::{contents, write};
use super::*;
use serde_json::Value as Json;
use wgrad::Result;

/// The model whose paths are recorded.
fn network() -> Trainer {
    let (x, memory) = (input([5, 4]), input([6, 3]));
    let y = merge(Add, [&x, &x.then(PositionEmbedding::new(7))]);
    let y = merge(TransformerDecoder::new(7, 2), [&y.then(TransformerEncoder::new(7, 2)), &memory]);
    let model = Model::new([&x, &memory], [&y]).unwrap();
    model.compile(device(), Compile::new(Sgd::default(), Loss::MeanSquaredError)).unwrap()
}

/// Names here beside those of KerasHub, where they differ.
const DIFFER: [[&str; 2]; 3] = [
    ["transformer_decoder/self_attention_layer/", "transformer_decoder/self_attention/"],
    ["transformer_decoder/cross_attention_layer/", "transformer_decoder/cross_attention/"],
    ["position_embedding/position_embeddings", "position_embedding/embeddings"],
];

#[test]
fn weights_of_keras_hub_load_by_their_paths() -> Result<()> {
    let folder = Folder::new("hub");
    let all: Json = serde_json::from_str(include_str!("../known/transformer.json")).unwrap();
    let recorded: Vec<(String, Vec<usize>)> = (all["paths"].as_array().unwrap().iter())
        .map(|entry| {
            let shape = entry["shape"].as_array().unwrap().iter();
            let shape = shape.map(|d| d.as_u64().unwrap() as usize).collect();
            (entry["path"].as_str().unwrap().to_owned(), shape)
        })
        .collect();
    let file = |start: &str, from: &str, to: &str| {
        let names: Vec<String> =
            recorded.iter().map(|(path, _)| format!("{start}{}", path.replace(from, to))).collect();
        let shapes = recorded.iter().map(|(_, shape)| shape.as_slice());
        counted(&names.iter().map(String::as_str).zip(shapes).collect::<Vec<_>>())
    };
    for start in ["", "functional/"] {
        let bytes = file(start, "", "");
        let mut trainer = network();
        let report = trainer.load_weights(write(&folder, "hub.safetensors", &bytes))?;
        assert!(report.is_complete() && report.loaded.len() == recorded.len(), "{report}");
        let there = contents(&bytes);
        let mut differ = 0;
        for (name, weight) in trainer.weights()? {
            let path = DIFFER.iter().fold(name.clone(), |name, [own, hub]| name.replace(own, hub));
            differ += usize::from(path != name);
            let bytes: Vec<u8> = weight.as_f32()?.iter().flat_map(|v| v.to_le_bytes()).collect();
            assert_eq!(there[&format!("{start}{path}")].2, bytes, "{name}");
        }
        assert_eq!(differ, 17, "16 of the decoder's attention, and the places");
        // What is written has the names here, and is read again.
        let path = folder.file("ours.safetensors");
        trainer.save_weights(&path)?;
        let mut again = network();
        again.load_weights(&path)?;
        assert_eq!(digest(&again), digest(&trainer));
    }
    // The control: a part of another name is missed.
    let other = file("", "cross_attention/", "crossed_attention/");
    let error = network().load_weights(write(&folder, "other.safetensors", &other)).unwrap_err();
    says(&error, &["cross_attention_layer/"]);
    Ok(())
}
