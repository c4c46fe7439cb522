//! Whole models in one file: another program predicts the same bits, training goes on, and what is refused.

use super::*;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use wgrad::layers::{Context, ModelLoader, Outputs};
use wgrad::{Error, Result};

/// Two inputs, one of them ids, a model inside, a layer that is used twice, statistics, and a frozen layer.
fn rich() -> Model {
    let (x, ids) = (input_named("x", [6]), input_named("ids", [4]));
    let adapted = Normalization::new().adapt(&features(8)).unwrap();
    let encoder = Sequential::new([6]).add(Dense::new(6)).add(BatchNormalization::new());
    let shared = LayerHandle::new(Dense::new(6).activation(Activation::Tanh));
    let a = x.then(adapted).then(&encoder).then(&shared).then(&shared);
    let b = ids.then(Embedding::new(10, 3).frozen()).then(SimpleRnn::new(6)).then(&shared);
    let both = merge(Concatenate::default(), [&a, &b]);
    let both = both.then(Dropout::new(0.2)).then(LayerNormalization::new());
    Model::new([&x, &ids], [&both.then(Dense::new(3).named("class"))]).unwrap()
}

fn features(n: usize) -> Tensor {
    let x = (0..n * 6).map(|i| (scramble(i as u64) >> 40) as f32 / 8_388_608.0 - 1.0);
    Tensor::f32([n, 6], x.collect::<Vec<_>>()).unwrap()
}

fn ids(n: usize) -> Tensor {
    Tensor::u32([n, 4], (0..n * 4).map(|i| (scramble(i as u64) % 10) as u32).collect::<Vec<_>>())
        .unwrap()
}

fn trained() -> Trainer {
    let y = Tensor::u32([20], (0..20).map(|i| i % 3).collect::<Vec<u32>>()).unwrap();
    let data = TensorDataset::multi(vec![features(20), ids(20)], vec![y]).unwrap();
    let mut trainer = rich().compile(device(), settings()).unwrap();
    trainer.fit(&data, Fit::new().epochs(2).batch_size(8).verbose(Verbose::Silent)).unwrap();
    trainer
}

/// The bits of a tensor.
fn bits(y: &Tensor) -> Vec<u32> {
    y.as_f32().unwrap().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn a_loaded_model_predicts_the_same_bits() -> Result<()> {
    let folder = Folder::new("model");
    let path = folder.file("model.safetensors");
    let mut trainer = trained();
    trainer.save_model(&path)?;
    let x = [features(13), ids(13)];
    let before = trainer.predict(&x[..])?;
    let served = Predictor::load_model(device(), &path)?;
    assert_eq!(bits(&served.predict(&x[..])?), bits(&before));
    // The control: other weights give other bits.
    let other = rich().compile(device(), settings().seed(9))?.predictor()?.predict(&x[..])?;
    assert_ne!(bits(&other), bits(&before));

    // The same bytes, by any way, again and again.
    let saved = Model::load(&path)?;
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(saved.to_bytes()?, bytes);
    assert_eq!(ModelLoader::new().from_bytes(&bytes)?.to_bytes()?, bytes);
    saved.model().save(&path, saved.weights())?;
    let again = Predictor::load_model(device(), &path)?;
    assert_eq!(bits(&again.predict(&x[..])?), bits(&before));

    // Training goes on as with the code of the model: from the same weights the same bits.
    std::fs::write(&path, &bytes).unwrap();
    let y = Tensor::u32([13], vec![1; 13])?;
    let data = TensorDataset::multi(x.to_vec(), vec![y])?;
    let mut digests = Vec::new();
    for model in [rich(), saved.model().clone()] {
        let mut next = model.compile(device(), settings())?;
        assert_ne!(digest(&next), digest(&trainer));
        next.load_weights(&path)?;
        assert_eq!(digest(&next), digest(&trainer));
        next.fit(&data, Fit::new().epochs(2).batch_size(8).verbose(Verbose::Silent))?;
        digests.push(digest(&next));
    }
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], digest(&trainer));
    Ok(())
}

#[test]
fn the_factor_on_samples_and_texts_come_along() -> Result<()> {
    let bytes: Vec<u8> = (0..60_u8).map(|i| i.wrapping_mul(37)).collect();
    let x = Tensor::u8([10, 6], bytes)?;
    let y = Tensor::u32([10], vec![0, 1, 2, 0, 1, 2, 0, 1, 2, 0])?;
    let data = TensorDataset::new(x.clone(), y)?.scaled(1.0 / 255.0)?;
    let mut trainer = trainer();
    trainer.fit(&data, Fit::new().epochs(1).verbose(Verbose::Silent))?;
    let scaler = StandardScaler::fit(&features(5))?;
    let saved = trainer.saved_model()?.attach("scaler", scaler.to_json());
    let saved = ModelLoader::new().from_bytes(&saved.to_bytes()?)?;
    let text = saved.attached("scaler").unwrap();
    assert_eq!(StandardScaler::from_json(text)?.to_json(), scaler.to_json());
    assert_eq!(saved.attached("other"), None);
    let served = Predictor::from_saved(device(), &saved)?;
    assert_eq!(bits(&served.predict(&x)?), bits(&trainer.predict(&x)?));
    // The control: without the file's word bytes are refused.
    let weights = saved.weights().to_vec();
    let bare = Predictor::new(device(), saved.model(), &weights)?;
    says(&bare.predict(&x).unwrap_err(), &["how to scale these samples"]);
    Ok(())
}

/// x · tanh(softplus(x)).
#[derive(Debug)]
struct Mish;

impl Layer for Mish {
    fn kind(&self) -> &'static str {
        "Mish"
    }

    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }

    fn apply(&self, graph: &mut wgrad::graph::Graph, cx: &Context) -> Result<Outputs> {
        let soft = graph.unary("softplus", cx.input(), &[])?;
        let gate = graph.unary("tanh", soft, &[])?;
        Ok(graph.mul(cx.input(), gate)?.into())
    }

    fn config(&self) -> Result<Value> {
        Ok(json!({}))
    }
}

#[test]
fn a_layer_that_the_build_lacks_is_named_or_registered() -> Result<()> {
    let folder = Folder::new("mish");
    let path = folder.file("mish.safetensors");
    let model = Sequential::new([6]).add(Dense::new(4)).add(Mish).build()?;
    let mut trainer =
        model.compile(device(), Compile::new(Sgd::new(0.1), Loss::MeanSquaredError))?;
    trainer.save_model(&path)?;
    let error = Predictor::load_model(device(), &path).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error:?}");
    says(&error, &["mish.safetensors: mish: ", "no layer `Mish`", "ModelLoader::register"]);
    let saved = ModelLoader::new().register("Mish", |_| Ok(Mish)).load(&path)?;
    let served = Predictor::from_saved(device(), &saved)?;
    assert_eq!(bits(&served.predict(&features(3))?), bits(&trainer.predict(&features(3))?));
    Ok(())
}

/// The file with another description, and a right checksum.
fn with_description(file: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (_, header) = SafeTensors::read_metadata(file).unwrap();
    let text = &header.metadata().as_ref().unwrap()["wgrad_model"];
    let mut value: Value = serde_json::from_str(text).unwrap();
    change(&mut value);
    let crc = value.as_object_mut().unwrap().remove("crc32").unwrap();
    assert_eq!(crc.as_str().unwrap().len(), 8);
    let text = format!("{{\"crc32\":\"00000000\",{}", &value.to_string()[1..]);
    sealed(file, text)
}

fn sealed(file: &[u8], text: String) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let metadata = [("wgrad_model".to_owned(), text)].into_iter().collect();
    let mut bytes = safetensors::serialize(tensors.iter(), Some(metadata)).unwrap();
    let mark = br#""wgrad_model":"{\"crc32\":\""#;
    let place = bytes.windows(mark.len()).position(|w| w == mark).unwrap() + mark.len();
    let digits = format!("{:08x}", crc32fast::hash(&bytes));
    bytes[place..place + 8].copy_from_slice(digits.as_bytes());
    bytes
}

#[test]
fn what_is_wrong_with_a_file_is_named() -> Result<()> {
    let trainer = trainer();
    let file = trainer.saved_model()?.to_bytes()?;
    let load = |bytes: &[u8]| ModelLoader::new().from_bytes(bytes);
    let refused = |change: &dyn Fn(&mut Value), words: &[&str]| {
        let error = load(&with_description(&file, change)).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error:?}");
        says(&error, words);
    };
    // The control: unchanged it is taken, and unknown fields are passed over.
    assert!(load(&with_description(&file, |_| ())).is_ok());
    assert!(load(&with_description(&file, |v| v["later"] = json!(null))).is_ok());
    refused(&|v| v["format_version"] = json!(2), &["format_version", "is 2", "models of 1"]);
    refused(&|v| v["model"]["format_version"] = json!(2), &["format_version", "up to 1"]);
    let layer = |v: &mut Value, name: &str, new: Value| {
        v["model"]["config"]["layers"][1]["config"][name] = new
    };
    refused(&|v| layer(v, "units", json!(17)), &["dense/kernel", "[6, 16]", "[6, 17]"]);
    refused(&|v| layer(v, "use_bias", json!(false)), &["dense/bias", "belongs to no weight"]);
    refused(&|v| layer(v, "units", json!(1e30)), &["dense.units", "1e+30"]);
    refused(&|v| layer(v, "lora_rank", json!(4)), &["dense.lora_rank", "no such setting"]);
    refused(
        &|v| v["samples"] = json!({ "types": ["f64"], "scale": 1.0 }),
        &["samples", "f32 and u8"],
    );
    refused(&|v| v["attached"] = json!([1]), &["metadata"]);
    refused(&|v| v["model"] = json!(null), &["model.class_name", "missing"]);
    // Any changed byte is noticed.
    for at in (0..file.len()).step_by(97) {
        let mut bytes = file.clone();
        bytes[at] ^= 4;
        assert!(load(&bytes).is_err(), "byte {at}");
    }
    // Files of other kinds.
    let folder = Folder::new("kinds");
    let path = folder.file("file");
    trainer.save_weights(&path)?;
    says(&Model::load(&path).unwrap_err(), &["wgrad_model", "no saved model", "Predictor::load"]);
    std::fs::write(&path, &file).unwrap();
    let mut other = strayed();
    says(&other.load_checkpoint(&path).unwrap_err(), &["no checkpoint of wgrad"]);
    // Weights that do not suit.
    let one = vec![Tensor::f32([2], [0.0; 2])?];
    says(&network().save(&path, one).unwrap_err(), &["weights = 1", "the model has 4"]);
    Ok(())
}

#[test]
fn a_checkpoint_is_a_model_too() -> Result<()> {
    let folder = Folder::new("served");
    let path = folder.file("checkpoint");
    let mut trainer = trained();
    trainer.keep_weights("best")?;
    trainer.save_checkpoint(&path)?;
    let x = [features(5), ids(5)];
    let served = Predictor::load_model(device(), &path)?;
    assert_eq!(bits(&served.predict(&x[..])?), bits(&trainer.predict(&x[..])?));
    // A model with a closure trains and resumes, and only its code can serve it.
    let closure = wgrad::layers::Lambda::new(|graph, x| graph.scale(x[0], 2.0));
    let model = Sequential::new([6]).add(Dense::new(3)).add(closure).build()?;
    let mut trainer = model.compile(device(), settings())?;
    trainer.save_checkpoint(&path)?;
    trainer.load_checkpoint(&path)?;
    says(
        &Model::load(&path).unwrap_err(),
        &["checkpoint: model", "gives no config", "Predictor::load"],
    );
    says(&trainer.save_model(&path).unwrap_err(), &["layer `lambda`", "Layer::config"]);
    Ok(())
}

/// Names the file that another process predicts with.
const SERVED: &str = "WGRAD_TEST_SERVED";

#[test]
fn another_process_serves_the_same_bits() -> Result<()> {
    if let Some(path) = std::env::var_os(SERVED) {
        let served = Predictor::load_model(device(), path)?;
        println!("predicted {:?}", bits(&served.predict(&[features(7), ids(7)][..])?));
        return Ok(());
    }
    let folder = Folder::new("process");
    let path = folder.file("model.safetensors");
    let mut trainer = trained();
    trainer.save_model(&path)?;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "model::another_process_serves_the_same_bits", "--nocapture"]);
    let output = child.env(SERVED, &path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let want = format!("predicted {:?}", bits(&trainer.predict(&[features(7), ids(7)][..])?));
    assert!(output.status.success() && said.contains(&want), "{said}\n{want}");
    Ok(())
}
