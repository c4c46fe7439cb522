//! Weights of other element types and names, and files of which only a part is loaded.

use super::format::Parts;
use super::weights::{KERAS, TORCH, distance, recorded, torch, write};
use super::*;
use safetensors::Dtype;
use std::collections::BTreeMap;
use wgrad::{Error, Result};

/// The recorded file with changes.
fn changed(folder: &Folder, change: impl FnOnce(&mut Parts)) -> PathBuf {
    let mut file = Parts::of(KERAS);
    change(&mut file);
    write(folder, "file.safetensors", &file.bytes())
}

/// The file with other names.
fn renamed(file: &mut Parts, name: impl Fn(&str) -> String) {
    let tensors = std::mem::take(&mut file.tensors);
    file.tensors = tensors.into_iter().map(|(n, tensor)| (name(&n), tensor)).collect();
}

/// The weights by their names.
fn values(trainer: &Trainer) -> BTreeMap<String, Vec<f32>> {
    let weights = trainer.weights().unwrap().into_iter();
    weights.map(|(name, tensor)| (name, tensor.as_f32().unwrap().to_vec())).collect()
}

/// A number as a half by its definition: `bits` of exponent around `bias`, the others of the fraction.
fn half(half: u16, fraction: u32, bias: i32) -> f64 {
    let sign = if half >> 15 == 1 { -1.0 } else { 1.0 };
    let magnitude = u32::from(half & 0x7fff);
    let (exponent, rest) = ((magnitude >> fraction) as i32, magnitude & ((1 << fraction) - 1));
    let rest = f64::from(rest) / f64::from(1_u32 << fraction);
    let last = (1 << (15 - fraction)) - 1;
    match exponent {
        0 => sign * rest * 2.0_f64.powi(1 - bias),
        e if e == last && rest == 0.0 => sign * f64::INFINITY,
        e if e == last => f64::NAN,
        e => sign * (1.0 + rest) * 2.0_f64.powi(e - bias),
    }
}

#[test]
fn every_half_is_read_as_the_number_it_is() -> Result<()> {
    let folder = Folder::new("halves");
    for (dtype, fraction, bias) in [(Dtype::F16, 10, 15), (Dtype::BF16, 7, 127)] {
        let model = Sequential::new([256]).add(Dense::new(256).use_bias(false));
        let compile = Compile::new(Sgd::default(), Loss::MeanSquaredError);
        let mut trainer = model.compile(device(), compile)?;
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let path = changed(&folder, |file| {
            let mut tensor = file.tensors.remove("dense/kernel").unwrap();
            (tensor.dtype, tensor.shape, tensor.bytes) = (dtype, vec![256, 256], bytes);
            file.tensors = [("dense/kernel".to_owned(), tensor)].into_iter().collect();
        });
        assert!(trainer.load_weights(&path)?.is_complete());
        let read = &values(&trainer)["dense/kernel"];
        for (bits, &value) in (0..=u16::MAX).zip(read) {
            let want = half(bits, fraction, bias);
            let same = f64::from(value) == want || (value.is_nan() && want.is_nan());
            assert!(same, "{dtype:?} {bits:04x}: {value} for {want}");
        }
    }
    // The control: the types differ.
    assert_ne!(half(0x3c00, 10, 15), half(0x3c00, 7, 127));
    Ok(())
}

#[test]
fn f64_is_rounded_and_refused_beyond_f32() -> Result<()> {
    let folder = Folder::new("wide");
    let wide = |last: f64| {
        changed(&folder, |file| {
            let bias = file.tensors.get_mut("dense_2/bias").unwrap();
            let numbers = [0.1, -3.0, last].into_iter().flat_map(f64::to_le_bytes);
            (bias.dtype, bias.bytes) = (Dtype::F64, numbers.collect());
        })
    };
    let mut trainer = recorded();
    trainer.load_weights(wide(1e-60))?;
    assert_eq!(values(&trainer)["dense_2/bias"], [0.1, -3.0, 0.0]);
    let before = digest(&trainer);
    let error = trainer.load_weights(wide(1e39)).unwrap_err();
    says(
        &error,
        &["file.safetensors: dense_2/bias", "element 2 is 1e39", "beyond the range of F32"],
    );
    assert_eq!(digest(&trainer), before);
    trainer.load_weights(wide(f64::INFINITY))?;
    assert_eq!(values(&trainer)["dense_2/bias"][2], f32::INFINITY);
    Ok(())
}

#[test]
fn full_paths_and_prefixes_are_found() -> Result<()> {
    let folder = Folder::new("paths");
    let mut want = recorded();
    want.load_weights(write(&folder, "keras.safetensors", KERAS))?;
    // Keras' `variable.path`, of a model in a model too.
    for start in ["sequential/", "functional/sequential_1/"] {
        let path = changed(&folder, |file| renamed(file, |name| format!("{start}{name}")));
        let mut trainer = recorded();
        let report = trainer.load_weights(&path)?;
        assert!(report.is_complete() && report.loaded.len() == 6, "{report}");
        assert_eq!(digest(&trainer), digest(&want));
        let mut trainer = recorded();
        assert!(distance(&mut trainer) > 0.1);
        trainer.load_weights_as(&path, &WeightMap::keras().prefix(start))?;
        assert_eq!(digest(&trainer), digest(&want));
    }
    // One tensor elsewhere: the paths have nothing in common, and a prefix has to be given.
    let path = changed(&folder, |file| {
        renamed(file, |name| format!("net/{name}"));
        let extra = file.tensors["net/dense/bias"].clone();
        file.tensors.insert("optimizer/rate".into(), extra);
    });
    let mut trainer = recorded();
    says(&trainer.load_weights(&path).unwrap_err(), &["dense/kernel: is missing"]);
    let map = WeightMap::keras().prefix("net/");
    says(&trainer.load_weights_as(&path, &map).unwrap_err(), &["optimizer/rate: belongs to no"]);
    let report = trainer.load_weights_as(&path, &map.skip_surplus())?;
    assert_eq!(report.surplus, ["optimizer/rate"]);
    assert_eq!(digest(&trainer), digest(&want));
    // PyTorch's names, in and out.
    let mut file = Parts::of(TORCH);
    renamed(&mut file, |name| format!("module.{name}"));
    let path = write(&folder, "torch.safetensors", &file.bytes());
    let mut trainer = recorded();
    let map = torch().prefix("module.");
    trainer.load_weights_as(&path, &map)?;
    assert_eq!(digest(&trainer), digest(&want));
    trainer.save_weights_as(folder.file("out"), &map)?;
    let names = Parts::of(&std::fs::read(folder.file("out")).unwrap()).tensors;
    assert!(names.len() == 6 && names.keys().all(|name| name.starts_with("module.")));
    Ok(())
}

#[test]
fn what_is_skipped_stays_and_is_reported() -> Result<()> {
    let folder = Folder::new("skipped");
    let path = changed(&folder, |file| {
        file.tensors.remove("dense/bias");
        let head = file.tensors.remove("dense_2/kernel").unwrap();
        file.tensors.insert("old_head/kernel".into(), head);
        let body = file.tensors["dense_1/kernel"].clone();
        file.tensors.insert("dense_2/kernel".into(), body);
    });
    let mut trainer = recorded();
    let (before, first) = (digest(&trainer), values(&trainer));
    let all = || WeightMap::keras().skip_missing().skip_mismatch().skip_surplus();
    // Each permission is needed.
    let surplus = WeightMap::keras().skip_missing().skip_mismatch();
    let mismatch = WeightMap::keras().skip_missing().skip_surplus();
    let missing = WeightMap::keras().skip_mismatch().skip_surplus();
    for (map, words) in [
        (surplus, ["old_head/kernel", "belongs to no weight"]),
        (mismatch, ["dense_2/kernel", "has shape [5, 5]; [5, 3] is expected"]),
        (missing, ["dense/bias", "is missing"]),
    ] {
        let error = trainer.load_weights_as(&path, &map).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error:?}");
        says(&error, &words);
        assert_eq!(digest(&trainer), before);
    }
    let report = trainer.load_weights_as(&path, &all())?;
    assert!(!report.is_complete());
    assert_eq!(report.loaded, ["dense/kernel", "dense_1/kernel", "dense_1/bias", "dense_2/bias"]);
    assert_eq!(
        (&report.missing[..], &report.surplus[..]),
        (&["dense/bias".to_owned()][..], &["old_head/kernel".to_owned()][..])
    );
    assert_eq!(report.mismatched.len(), 1);
    assert_eq!(
        report.to_string(),
        "4 weights loaded\n1 not in the file: dense/bias\n1 of another shape: dense_2/kernel [5, 5] for [5, 3]\n1 not in the model: old_head/kernel"
    );
    // The loaded weights are the file's, the rest did not change.
    let mut whole = recorded();
    whole.load_weights(write(&folder, "keras.safetensors", KERAS))?;
    let (file, now) = (values(&whole), values(&trainer));
    for (name, value) in &now {
        let taken = report.loaded.contains(name);
        assert_eq!(value, if taken { &file[name] } else { &first[name] }, "{name}");
    }
    assert_ne!(file["dense_2/kernel"], first["dense_2/kernel"]);
    Ok(())
}

#[test]
fn a_file_of_which_nothing_fits_is_refused() {
    let folder = Folder::new("nothing");
    let path = changed(&folder, |file| renamed(file, |name| name.replace("dense", "layer")));
    let mut trainer = recorded();
    let before = digest(&trainer);
    let map = WeightMap::keras().skip_missing().skip_mismatch().skip_surplus();
    let error = trainer.load_weights_as(&path, &map).unwrap_err();
    says(&error, &["none fits the model", "layer/kernel", "dense/kernel"]);
    assert_eq!(digest(&trainer), before);
}
