//! Readers of whole models. What is accepted is built, saved and used, since a number may do its harm later.

use super::entry::{entry, sealed, with_entry};
use super::mutate::{Random, mutated, renumbered};
use super::support::device;
use super::{Verdict, fuzz, inputs};
use wgrad::layers::ModelLoader;
use wgrad::prelude::*;

/// The entry of the metadata that makes a file a model.
const KEY: &str = "wgrad_model";

/// A model with settings of every kind: shapes, axes, statistics, a layer that is used twice, and models inside.
fn network() -> Model {
    let (x, ids) = (input_named("x", [2, 3]), input_named("ids", [2]));
    let data =
        Tensor::f32([2, 2, 3], [0.5, 1.0, -1.0, 2.0, 0.25, 3.0, 1.0, 0.0, 4.0, 2.0, 1.5, -2.0]);
    let adapted = Normalization::new().adapt(&data.unwrap()).unwrap();
    let encoder = Sequential::new([2, 3]).add(BatchNormalization::new()).add(Permute::new([2, 1]));
    let shared = LayerHandle::new(Dense::new(2).activation(Activation::Elu { alpha: 0.5 }));
    let a = x.then(adapted).then(Masking::new(0.0)).then(&encoder).then(&shared).then(&shared);
    let b = ids.then(Embedding::new(5, 2)).then(TimeDistributed::new(LayerNormalization::new()));
    let a = a.then(SimpleRnn::new(3).return_sequences(true)).then(Reshape::new([-1]));
    let b = merge(Dot::new([1, -1]), [&b, &b]).then(Flatten).then(RepeatVector::new(2));
    let joined =
        merge(Concatenate::new(1), [&a, &b.then(PRelu::new().shared_axes([1])).then(Flatten)]);
    let noise = joined.then(Dropout::new(0.5)).then(GaussianNoise::new(0.1)).then(RRelu::default());
    Model::new([&x, &ids], [&noise.then(Dense::new(2))]).unwrap()
}

/// Saves a model that was read, and predicts with it if it is small.
fn used(saved: &SavedModel) {
    let model = saved.model();
    saved.to_bytes().unwrap();
    drop(model.summary());
    let shapes = model.calls().iter().flat_map(|call| &call.shapes);
    let samples = model.inputs().iter().map(|input| &input.shape);
    let elements = shapes.chain(samples.clone()).map(Shape::len).fold(0, usize::saturating_add);
    if elements > 10_000 {
        return;
    }
    let x: Vec<Tensor> = (0..model.inputs().len())
        .zip(samples)
        .map(|(i, sample)| {
            let shape = [&[1], sample.dims()].concat();
            match model.index_range(i) {
                Some(_) => Tensor::u32(shape, vec![0; sample.len()]).unwrap(),
                None => Tensor::f32(shape, vec![0.5; sample.len()]).unwrap(),
            }
        })
        .collect();
    // A device may refuse it.
    drop(Predictor::from_saved(device(), saved).and_then(|p| p.predict_outputs(&x[..])));
}

#[test]
fn models_are_taken_or_refused() {
    let weights = network().compile(device(), Compile::new(Sgd::new(0.1), Loss::MeanSquaredError));
    let saved = weights.unwrap().saved_model().unwrap().attach("classes", "[1, 2]");
    let file = saved.to_bytes().unwrap();
    let text = entry(&file, KEY);
    let (files, texts) = ([file.clone()], [text.clone().into_bytes()]);
    let make = |random: &mut Random| match random.below(8) {
        0 => mutated(random, &files),
        1 => sealed(mutated(random, &files), KEY),
        2..6 => with_entry(&file, KEY, renumbered(random, &text)),
        _ => {
            let text = mutated(random, &texts);
            with_entry(&file, KEY, String::from_utf8_lossy(&text).into_owned())
        }
    };
    fuzz("model", inputs(1), make, |bytes| match ModelLoader::new().from_bytes(bytes) {
        Ok(saved) => {
            used(&saved);
            Verdict::Taken
        }
        Err(_) => Verdict::Refused,
    });
}

/// Descriptions without weights, in which extents may be anything.
#[test]
fn descriptions_are_taken_or_refused() {
    let text = network().to_json().unwrap();
    let texts = [text.clone().into_bytes()];
    let make = |random: &mut Random| match random.below(4) {
        0 => mutated(random, &texts),
        _ => renumbered(random, &text).into_bytes(),
    };
    fuzz("description", inputs(1), make, |bytes| {
        match Model::from_json(&String::from_utf8_lossy(bytes)) {
            Ok(model) => {
                drop(model.summary());
                assert_eq!(
                    Model::from_json(&model.to_json().unwrap()).unwrap().calls(),
                    model.calls()
                );
                Verdict::Taken
            }
            Err(_) => Verdict::Refused,
        }
    });
}

/// A chain of very many layers is dropped without a call within a call for each.
#[test]
fn a_long_chain_is_read() {
    let layer = r#"{"class_name":"Flatten","config":{}}"#;
    let text = format!(
        r#"{{"class_name":"Sequential","config":{{"layers":[{}],"build_input_shape":[null,3]}}}}"#,
        [layer; 3000].join(",")
    );
    assert_eq!(Model::from_json(&text).unwrap().calls().len(), 3000);
    let chain = (0..200_000).fold(input([3]), |x, _| x.then(Flatten));
    drop(chain);
}
