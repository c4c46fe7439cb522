//! Weights alone, from and for Keras and PyTorch.

use super::format::Parts;
use super::*;
use safetensors::Dtype;
use serde_json::Value;
use std::collections::BTreeMap;
use wgrad::Error;
use wgrad::Result;

pub const KERAS: &[u8] = include_bytes!("../known/keras_weights.safetensors");
pub const TORCH: &[u8] = include_bytes!("../known/torch_weights.safetensors");

/// The recorded network, with other weights.
pub fn recorded() -> Trainer {
    let layers = Sequential::new([4])
        .add(Dense::new(5).activation(Activation::Relu))
        .add(Dense::new(5).activation(Activation::Tanh))
        .add(Dense::new(3));
    layers.compile(device(), Compile::new(Sgd::default(), Loss::MeanSquaredError)).unwrap()
}

/// The places of the layers with weights in PyTorch's `Sequential`.
pub fn torch() -> WeightMap {
    WeightMap::torch(["0", "2", "4"])
}

pub fn write(folder: &Folder, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.file(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// How far predictions are from the recorded ones.
pub fn distance(trainer: &mut Trainer) -> f32 {
    let recording: Value = serde_json::from_str(include_str!("../known/weights.json")).unwrap();
    let numbers = |key: &str| -> Vec<f32> {
        let list = recording[key]["data"].as_array().unwrap();
        list.iter().map(|v| v.as_f64().unwrap() as f32).collect()
    };
    let y = trainer.predict(&Tensor::f32([6, 4], numbers("x")).unwrap()).unwrap();
    let pairs = y.as_f32().unwrap().iter().zip(numbers("y"));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Names, types, shapes and bytes of a file.
pub fn contents(bytes: &[u8]) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
    let tensors = Parts::of(bytes).tensors.into_iter();
    tensors.map(|(name, raw)| (name, (raw.dtype, raw.shape, raw.bytes))).collect()
}

#[test]
fn keras_weights_go_in_and_out() -> Result<()> {
    let folder = Folder::new("keras");
    let mut trainer = recorded();
    assert!(distance(&mut trainer) > 0.1);
    trainer.load_weights(write(&folder, "keras.safetensors", KERAS))?;
    // Outputs up to 3, some ten roundings of 6e-8 each, and the tangent's 1e-5 of itself at the most.
    assert!(distance(&mut trainer) < 2e-5, "{}", distance(&mut trainer));
    let path = folder.file("ours.safetensors");
    trainer.save_weights(&path)?;
    let ours = std::fs::read(&path).unwrap();
    assert_eq!(contents(&ours), contents(KERAS));
    let mut again = recorded();
    again.load_weights(&path)?;
    assert_eq!(digest(&again), digest(&trainer));
    Ok(())
}

/// What a browser does, which has no files.
#[test]
fn weights_come_from_and_go_to_bytes() -> Result<()> {
    let folder = Folder::new("bytes");
    let mut trainer = recorded();
    let report = trainer.load_weights_from_bytes(TORCH, &torch())?;
    assert!(report.is_complete() && report.loaded.len() == 6, "{report}");
    assert!(distance(&mut trainer) < 2e-5, "{}", distance(&mut trainer));
    for map in [WeightMap::keras(), torch()] {
        let path = folder.file("weights.safetensors");
        trainer.save_weights_as(&path, &map)?;
        let bytes = trainer.weights_to_bytes(&map)?;
        assert_eq!(bytes, std::fs::read(&path).unwrap());
        let mut again = recorded();
        again.load_weights_from_bytes(&bytes, &map)?;
        assert_eq!(digest(&again), digest(&trainer));
        let x = Tensor::f32([2, 4], [0.5, -1.0, 2.0, 0.25, 1.0, 0.0, -0.5, 3.0])?;
        let predictor = Predictor::from_bytes(device(), trainer.model(), &bytes, &map)?;
        assert_eq!(predictor.predict(&x)?, trainer.predict(&x)?);
    }
    // A weight that is skipped stays, and bytes of something else change nothing.
    let kept = digest(&trainer);
    for (bytes, part) in [(&TORCH[..TORCH.len() - 1], "header"), (TORCH, "dense")] {
        let error = trainer.load_weights_from_bytes(bytes, &WeightMap::keras()).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("weights: ") && text.contains(part), "{text}");
    }
    assert_eq!(digest(&trainer), kept);
    Ok(())
}

#[test]
fn checkpoints_and_models_come_from_and_go_to_bytes() -> Result<()> {
    let folder = Folder::new("checkpoint-bytes");
    let x = Tensor::f32([4, 4], (0..16).map(|i| (i as f32).sin()).collect::<Vec<_>>())?;
    let data = TensorDataset::new(x, Tensor::f32([4, 3], [0.5; 12])?)?;
    let fit = || Fit::new().batch_size(3).epochs(2).verbose(Verbose::Silent);
    let mut trainer = recorded();
    trainer.fit(&data, fit())?;
    let (bytes, path) = (trainer.checkpoint_to_bytes()?, folder.file("checkpoint"));
    trainer.save_checkpoint(&path)?;
    assert_eq!(bytes, std::fs::read(&path).unwrap());
    trainer.fit(&data, fit().epochs(4).initial_epoch(2))?;
    let mut again = recorded();
    again.load_checkpoint_from_bytes(&bytes)?;
    assert_ne!(digest(&again), digest(&trainer));
    again.fit(&data, fit().epochs(4))?;
    assert_eq!(digest(&again), digest(&trainer));
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let error = again.load_checkpoint_from_bytes(&damaged).unwrap_err().to_string();
    assert!(error.starts_with("checkpoint: crc32"), "{error}");
    assert_eq!(digest(&again), digest(&trainer));
    // The same bytes have the whole model.
    let model = Model::from_bytes(&bytes)?;
    assert_eq!(model.model().to_json()?, trainer.model().to_json()?);
    let saved = trainer.saved_model()?;
    assert_eq!(Model::from_bytes(&saved.to_bytes()?)?.weights(), saved.weights());
    Ok(())
}

#[test]
fn torch_weights_go_in_and_out() -> Result<()> {
    let folder = Folder::new("torch");
    let mut trainer = recorded();
    let path = write(&folder, "torch.safetensors", TORCH);
    trainer.load_weights_as(&path, &torch())?;
    assert!(distance(&mut trainer) < 2e-5, "{}", distance(&mut trainer));
    let mut keras = recorded();
    keras.load_weights(write(&folder, "keras.safetensors", KERAS))?;
    assert_eq!(digest(&keras), digest(&trainer));
    keras.save_weights_as(folder.file("ours.safetensors"), &torch())?;
    let ours = std::fs::read(folder.file("ours.safetensors")).unwrap();
    assert_eq!(contents(&ours), contents(TORCH));
    let (_, header) = safetensors::SafeTensors::read_metadata(&ours).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    // The control: the square second kernel would go in without its transpose, and give other numbers.
    let forgotten = torch().pair("dense_1/kernel", "2.weight");
    trainer.load_weights_as(&path, &forgotten)?;
    assert!(distance(&mut trainer) > 0.1);
    Ok(())
}

/// PyTorch calls gamma `weight` and beta `bias`.
#[test]
fn normalizations_have_torch_names() -> Result<()> {
    let folder = Folder::new("norms");
    let model = || -> Result<Trainer> {
        let layers = Sequential::new([4]).add(Dense::new(3)).add(LayerNormalization::new());
        let compile = Compile::new(Sgd::default(), Loss::MeanSquaredError);
        layers.add(RmsNormalization::new()).compile(device(), compile)
    };
    let map = WeightMap::torch(["0", "1", "2"]);
    let trainer = model()?;
    trainer.save_weights_as(folder.file("torch.safetensors"), &map)?;
    let bytes = std::fs::read(folder.file("torch.safetensors")).unwrap();
    let names: Vec<String> = contents(&bytes).into_keys().collect();
    assert_eq!(names, ["0.bias", "0.weight", "1.bias", "1.weight", "2.weight"]);
    let mut other = model()?;
    other.load_weights_as(folder.file("torch.safetensors"), &map)?;
    assert_eq!(digest(&other), digest(&trainer));
    Ok(())
}

#[test]
fn pairs_name_single_tensors() -> Result<()> {
    let folder = Folder::new("pairs");
    let mut file = Parts::of(TORCH);
    let kernel = file.tensors.remove("4.weight").unwrap();
    file.tensors.insert("head.w".into(), kernel);
    let path = write(&folder, "named.safetensors", &file.bytes());
    let mut trainer = recorded();
    trainer.load_weights_as(&path, &torch().transposed("dense_2/kernel", "head.w"))?;
    assert!(distance(&mut trainer) < 2e-5);
    let all = WeightMap::default()
        .transposed("dense/kernel", "0.weight")
        .pair("dense/bias", "0.bias")
        .transposed("dense_1/kernel", "2.weight")
        .pair("dense_1/bias", "2.bias")
        .pair("dense_2/kernel", "nowhere")
        .transposed("dense_2/kernel", "head.w")
        .pair("dense_2/bias", "4.bias");
    let mut other = recorded();
    other.load_weights_as(&path, &all)?;
    assert_eq!(digest(&other), digest(&trainer));
    Ok(())
}

#[test]
fn the_weights_of_a_checkpoint_load_alone() -> Result<()> {
    let folder = Folder::new("alone");
    let (bytes, first) = super::format::saved(&folder);
    let path = write(&folder, "checkpoint.safetensors", &bytes);
    let mut second = strayed();
    let (steps, rate) = (second.steps(), second.learning_rate());
    second.load_weights(&path)?;
    let file = contents(&bytes);
    for (name, weight) in second.weights()? {
        assert_eq!(file[&name].2, weight.data().bytes(), "{name}");
    }
    assert_ne!(digest(&second), digest(&first), "the trainer had gone on");
    assert_eq!((second.steps(), second.learning_rate()), (steps, rate));
    second.restore_weights("stray")?;
    // A damaged one is refused for its weights too.
    let mut damaged = bytes;
    *damaged.last_mut().unwrap() ^= 1;
    let before = digest(&second);
    let error = second.load_weights(write(&folder, "damaged.safetensors", &damaged)).unwrap_err();
    says(&error, &["damaged.safetensors: crc32"]);
    assert_eq!(digest(&second), before);
    Ok(())
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let folder = Folder::new("misfits");
    let mut trainer = recorded();
    let before = digest(&trainer);
    let mut refused = |change: &dyn Fn(&mut Parts), map: &WeightMap, words: &[&str]| {
        let mut file = Parts::of(KERAS);
        change(&mut file);
        let path = write(&folder, "file.safetensors", &file.bytes());
        let error = trainer.load_weights_as(path, map).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error:?}");
        says(&error, words);
        assert_eq!(digest(&trainer), before);
    };
    let own = WeightMap::keras();
    let kernel = "dense/kernel";
    refused(
        &|f| drop(f.tensors.remove(kernel)),
        &own,
        &["file.safetensors: dense/kernel: is missing"],
    );
    let more = |f: &mut Parts| drop(f.tensors.insert("extra".into(), f.tensors[kernel].clone()));
    refused(&more, &own, &["file.safetensors: extra", "belongs to no weight"]);
    let turned = |f: &mut Parts| f.tensors.get_mut(kernel).unwrap().shape = vec![5, 4];
    refused(&turned, &own, &[kernel, "[5, 4]", "[4, 5] is expected", "transpose", "WeightMap"]);
    let flat = |f: &mut Parts| f.tensors.get_mut(kernel).unwrap().shape = vec![20];
    refused(&flat, &own, &[kernel, "has shape [20]; [4, 5] is expected"]);
    let whole = |f: &mut Parts| f.tensors.get_mut(kernel).unwrap().dtype = Dtype::I32;
    refused(&whole, &own, &[kernel, "is I32; F32, F16, BF16 or F64 is expected"]);
    refused(
        &|_| (),
        &torch(),
        &["file.safetensors: 0.weight: is missing", "dense/bias, dense/kernel"],
    );
}

#[test]
fn maps_that_do_not_suit_the_model_are_refused() {
    let folder = Folder::new("maps");
    let mut trainer = recorded();
    let path = write(&folder, "keras.safetensors", KERAS);
    let mut refused = |map: WeightMap, words: &[&str]| {
        says(&trainer.load_weights_as(&path, &map).unwrap_err(), words);
        says(&trainer.save_weights_as(folder.file("out"), &map).unwrap_err(), words);
    };
    refused(WeightMap::torch(["0", "2"]), &["modules = 2", "3 layers", "dense, dense_1, dense_2"]);
    refused(WeightMap::keras().pair("dens/kernel", "a"), &["weight = dens/kernel", "dense/kernel"]);
    let vector = WeightMap::keras().transposed("dense/bias", "b");
    refused(vector, &["transpose", "[5]", "dense/bias", "no matrix"]);
    // One tensor may serve two weights that are read, but not two that are written.
    let tied = WeightMap::keras().pair("dense_1/bias", "dense/bias");
    let error = trainer.save_weights_as(folder.file("out"), &tied).unwrap_err();
    says(&error, &["out: dense/bias: two tensors would have this name"]);
    assert_eq!(folder.names(), ["keras.safetensors"]);
}

#[test]
fn the_scale_of_the_samples_survives() -> Result<()> {
    let folder = Folder::new("scale");
    let pixels =
        |n: usize| Tensor::u8([n, 4], (0..4 * n).map(|i| (i * 31) as u8).collect::<Vec<_>>());
    let y = Tensor::f32([8, 3], (0..24).map(|i| (i as f32).cos()).collect::<Vec<_>>())?;
    let data = TensorDataset::new(pixels(8)?, y)?.scaled(1.0 / 255.0)?;
    let mut first = recorded();
    first.fit(&data, Fit::new().verbose(Verbose::Silent))?;
    let want = first.predict(&data)?;
    let file = |name: &str| folder.file(name);
    first.save_weights(file("weights"))?;
    first.save_checkpoint(file("checkpoint"))?;
    first.save_weights_as(file("torch"), &torch())?;
    // In other processes, which see the files alone.
    let mut weights = recorded();
    weights.load_weights(file("weights"))?;
    let mut checkpoint = recorded();
    checkpoint.load_checkpoint(file("checkpoint"))?;
    let mut of_checkpoint = recorded();
    of_checkpoint.load_weights(file("checkpoint"))?;
    for trainer in [&mut weights, &mut checkpoint, &mut of_checkpoint] {
        assert_eq!(trainer.predict(&pixels(8)?)?, want);
    }
    // Another library's file has no place for this: the call's message says what it needs.
    let mut foreign = recorded();
    foreign.load_weights_as(file("torch"), &torch())?;
    let x = pixels(8)?;
    says(&foreign.predict(&x).unwrap_err(), &["weights came from elsewhere", "Features"]);
    let given = Features { x: std::slice::from_ref(&x), scale: Some(1.0 / 255.0) };
    assert_eq!(foreign.predict(given)?, want);
    // It passes from file to file, and the same weights give the same bytes.
    weights.save_weights(file("again"))?;
    assert!(std::fs::read(file("again")).unwrap() == std::fs::read(file("weights")).unwrap());
    // A damaged entry is an error, and changes nothing.
    let good = std::fs::read(file("weights")).unwrap();
    for (from, to) in [("u8", "x8"), ("u8", "f8"), ("types", "typos")] {
        let at = find(&good, b"wgrad_samples");
        let at = at + find(&good[at..], from.as_bytes());
        let mut bad = good.clone();
        bad[at..at + to.len()].copy_from_slice(to.as_bytes());
        let before = digest(&foreign);
        let error = foreign.load_weights(write(&folder, "bad", &bad)).unwrap_err();
        says(&error, &["bad", "samples"]);
        assert_eq!(digest(&foreign), before);
    }
    Ok(())
}
