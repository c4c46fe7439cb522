//! The content of a checkpoint, read without the library.

use super::*;
use safetensors::{Dtype, SafeTensors, View};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use wgrad::Result;

/// A tensor of a file, changed or not.
#[derive(Clone)]
pub struct Raw {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl View for Raw {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A safetensors file in parts.
#[derive(Clone)]
pub struct Parts {
    pub tensors: BTreeMap<String, Raw>,
    pub metadata: Option<String>,
}

impl Parts {
    pub fn of(bytes: &[u8]) -> Self {
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let raw = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
            let (dtype, shape) = (view.dtype(), view.shape().to_vec());
            (name.to_owned(), Raw { dtype, shape, bytes: view.data().to_vec() })
        };
        Self {
            tensors: SafeTensors::deserialize(bytes).unwrap().iter().map(raw).collect(),
            metadata: header.metadata().as_ref().and_then(|m| m.get("wgrad").cloned()),
        }
    }

    /// The checkpoint's JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.metadata.as_ref().unwrap()).unwrap()
    }

    /// Puts other text into the checkpoint's JSON.
    pub fn replace(&mut self, old: &str, new: &str) {
        let text = self.metadata.as_mut().unwrap();
        assert!(text.contains(old), "{text} has no {old}");
        *text = text.replacen(old, new, 1);
    }

    /// The file, with a checksum as the format says: of all bytes, with eight zeros in its own place.
    pub fn bytes(&self) -> Vec<u8> {
        let said = self.metadata.as_ref().map(|m| m[10..18].to_owned());
        let metadata =
            self.metadata.clone().map(|text| [("wgrad".to_owned(), text)].into_iter().collect());
        let mut bytes = safetensors::serialize(self.tensors.clone(), metadata).unwrap();
        if let Some(said) = said {
            let mark = format!(r#"{{\"crc32\":\"{said}"#);
            let at = bytes.windows(mark.len()).position(|w| w == mark.as_bytes()).unwrap();
            let place = at + mark.len() - 8..at + mark.len();
            bytes[place.clone()].copy_from_slice(b"00000000");
            let digits = format!("{:08x}", crc32fast::hash(&bytes));
            bytes[place].copy_from_slice(digits.as_bytes());
        }
        bytes
    }
}

/// A checkpoint from the middle of an epoch, with weights kept, and its trainer.
pub fn saved(folder: &Folder) -> (Vec<u8>, Trainer) {
    let path = folder.file("saved.safetensors");
    let mut trainer = trainer();
    let crash = Crash { path: &path, save: (1, Some(6)), fail: (1, Some(7)) };
    let fit = Fit::new().epochs(3).validation_split(0.2).verbose(Verbose::Silent);
    trainer.fit(&points(400), fit.callback(Watch::default()).callback(crash)).unwrap_err();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    (bytes, trainer)
}

#[test]
fn tensors_and_metadata_are_what_the_documentation_says() -> Result<()> {
    let folder = Folder::new("format");
    let (bytes, mut trainer) = saved(&folder);
    let parts = Parts::of(&bytes);
    let weights = [
        ("dense/bias", vec![16]),
        ("dense/kernel", vec![6, 16]),
        ("dense_1/bias", vec![3]),
        ("dense_1/kernel", vec![16, 3]),
    ];
    let mut expected = BTreeMap::from([
        ("numbers/losses".to_owned(), (Dtype::F64, vec![1])),
        ("numbers/metrics/0".to_owned(), (Dtype::F64, vec![2])),
    ]);
    for prefix in ["", "kept/best/", "optimizer/momentum/", "optimizer/velocity/"] {
        for (name, shape) in &weights {
            expected.insert(format!("{prefix}{name}"), (Dtype::F32, shape.clone()));
        }
    }
    let found =
        parts.tensors.iter().map(|(name, raw)| (name.clone(), (raw.dtype, raw.shape.clone())));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
    // The writer's own checksum is the documented one.
    assert_eq!(parts.bytes(), bytes);

    let json = parts.json();
    let fields = ["steps", "epochs", "learning_rate", "format_version"].map(|f| json[f].clone());
    assert_eq!(fields, [17.into(), 1.into(), Value::Null, 3.into()]);
    assert_eq!(json["library_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&json["config"]["seed"], &json["kept"][0]), (&7.into(), &"best".into()));
    let layers = json["config"]["layers"].as_array().unwrap();
    let kinds: Vec<_> = layers.iter().map(|l| (l["name"].clone(), l["kind"].clone())).collect();
    let named = |name: &str, kind: &str| (Value::from(name), Value::from(kind));
    let want = [named("dense", "Dense"), named("dropout", "Dropout"), named("dense_1", "Dense")];
    assert_eq!(kinds, want);
    let (optimizer, output) = (&json["config"]["optimizer"], &json["config"]["outputs"][0]);
    assert_eq!(optimizer["name"], "Adam");
    let rates = serde_json::json!({
        "learning_rate": 0.05, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7,
    });
    assert_eq!(optimizer["settings"], rates);
    assert_eq!(output["loss"]["class_name"], "SparseCategoricalCrossentropy");
    assert_eq!(output["loss"]["config"], serde_json::json!({ "from_logits": true }));
    assert_eq!(output["metrics"], serde_json::json!(["accuracy"]));
    assert_eq!((&json["fit"]["epoch"], &json["fit"]["batch"]), (&1.into(), &7.into()));
    assert_eq!(json["fit"]["callbacks"][0][0], "Watch");

    // The weights are those that the best epoch left, in the model's layout.
    trainer.restore_weights("best")?;
    for (name, weight) in trainer.weights()? {
        assert_eq!(parts.tensors[&format!("kept/best/{name}")].bytes, weight.data().bytes());
    }
    Ok(())
}

#[test]
fn the_same_state_is_the_same_bytes() -> Result<()> {
    let folder = Folder::new("bytes");
    let (bytes, _) = saved(&folder);
    let path = folder.file("checkpoint.safetensors");
    std::fs::write(&path, &bytes).unwrap();
    let mut other = strayed();
    assert_ne!(state(&other, &folder), bytes);
    other.load_checkpoint(&path)?;
    assert_eq!(state(&other, &folder), bytes);
    // What `strayed` had kept is gone, like its other state.
    assert!(other.restore_weights("stray").is_err());
    // Only the files that were asked for are left.
    assert_eq!(folder.names(), ["checkpoint.safetensors"]);
    Ok(())
}

#[test]
fn numbers_that_json_lacks_come_back() -> Result<()> {
    let folder = Folder::new("exact");
    let path = folder.file("checkpoint.safetensors");
    let odd = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1, 5e-324];
    let add = Lambda::new().on_epoch_end(move |epoch, _| {
        epoch.logs.extend(odd.iter().enumerate().map(|(i, v)| (format!("odd{i}"), *v)));
        Ok(())
    });
    let mut first = trainer();
    let history = first.fit(&points(64), Fit::new().callback(add))?;
    first.set_learning_rate(0.1)?;
    first.save_checkpoint(&path)?;
    let mut second = strayed();
    second.load_checkpoint(&path)?;
    assert_eq!(second.learning_rate().to_bits(), f64::from(0.1f32).to_bits());
    let again = second.fit(&points(64), Fit::new())?;
    assert_eq!(bits(&again), bits(&history));
    assert_eq!(again.first_step, history.first_step);
    assert_eq!(again.epochs[0].duration, history.epochs[0].duration);
    Ok(())
}

#[test]
fn a_trainer_that_never_trained_and_one_without_state_are_saved_too() -> Result<()> {
    let folder = Folder::new("fresh");
    let path = folder.file("checkpoint.safetensors");
    // Frozen parameters have no optimizer state, plain descent has none at all.
    let model = || {
        let layers = Sequential::new([6]).add(Dense::new(4).frozen()).add(Dense::new(3));
        layers.compile(device(), Compile::new(Sgd::new(0.1), SPARSE))
    };
    let (first, mut second) = (model()?, model()?);
    first.save_checkpoint(&path)?;
    second.fit(&points(64), Fit::new())?;
    second.load_checkpoint(&path)?;
    assert_eq!((digest(&second), second.steps()), (digest(&first), 0));
    let adam = Sequential::new([6]).add(Dense::new(4).frozen()).add(Dense::new(3));
    let adam = adam.compile(device(), Compile::new(Adam::new(0.1), SPARSE))?;
    let parts = Parts::of(&state(&adam, &folder));
    let slots: Vec<&String> =
        parts.tensors.keys().filter(|k| k.starts_with("optimizer/")).collect();
    assert_eq!(slots.len(), 4);
    assert!(slots.iter().all(|name| name.contains("/dense_1/")), "{slots:?}");
    Ok(())
}

#[test]
fn names_that_meet_are_refused() -> Result<()> {
    let folder = Folder::new("meet");
    let path = folder.file("checkpoint.safetensors");
    // A layer may be named as the state of another.
    let layers = Sequential::new([6])
        .add_named("dense", Dense::new(4))
        .add_named("optimizer/momentum/dense", Dense::new(3));
    let trainer = layers.compile(device(), Compile::new(Adam::new(0.1), SPARSE))?;
    let error = trainer.save_checkpoint(&path).unwrap_err();
    says(&error, &["checkpoint.safetensors", "optimizer/momentum/dense/", "two tensors"]);
    assert!(folder.names().is_empty());
    Ok(())
}
