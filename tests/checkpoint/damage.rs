//! Files that are damaged: each is refused by file and field, and the trainer stays as it was.

use super::format::{Parts, saved};
use super::*;
use wgrad::Error;

/// Loads `bytes` and gives the refusal.
#[track_caller]
fn refused(trainer: &mut Trainer, folder: &Folder, bytes: &[u8]) -> Error {
    let path = folder.file("damaged.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let error = trainer.load_checkpoint(&path).expect_err("the file is damaged");
    assert!(matches!(error, Error::File { .. }), "{error:?}");
    says(&error, &["damaged.safetensors: "]);
    error
}

#[test]
fn every_prefix_is_refused() {
    let folder = Folder::new("prefix");
    let (bytes, _) = saved(&folder);
    let mut trainer = strayed();
    let before = state(&trainer, &folder);
    let path = folder.file("damaged.safetensors");
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for len in (0..bytes.len()).rev() {
        file.set_len(len as u64).unwrap();
        let error = trainer.load_checkpoint(&path).expect_err("the file is too short");
        assert!(matches!(&error, Error::File { field, .. } if field == "header"), "{error:?}");
        // Whatever a wrong load changed would still be changed later.
        if len % 1000 == 0 {
            assert!(state(&trainer, &folder) == before, "{len} bytes changed the trainer");
        }
    }
    // The control: the whole file is taken, and changes the trainer.
    std::fs::write(&path, &bytes).unwrap();
    trainer.load_checkpoint(&path).unwrap();
    assert!(state(&trainer, &folder) == bytes);
}

#[test]
fn every_flipped_byte_is_found() {
    let folder = Folder::new("flips");
    let (bytes, _) = saved(&folder);
    let mut trainer = strayed();
    let before = state(&trainer, &folder);
    let mut fields = std::collections::BTreeMap::<String, usize>::new();
    for i in 0..1000 {
        let (at, by) = (scramble(2 * i) as usize % bytes.len(), scramble(2 * i + 1) as u8);
        let mut damaged = bytes.clone();
        damaged[at] ^= by.max(1);
        match refused(&mut trainer, &folder, &damaged) {
            Error::File { field, .. } => *fields.entry(field).or_default() += 1,
            other => panic!("byte {at}: {other:?}"),
        }
        if i % 100 == 0 {
            assert!(state(&trainer, &folder) == before, "byte {at} changed the trainer");
        }
    }
    assert!(state(&trainer, &folder) == before);
    // Both the header and the part behind it were hit.
    assert!(fields["crc32"] > 100 && fields["header"] > 10, "{fields:?}");
}

#[test]
fn whatever_keeps_its_checksum_is_looked_at() {
    let folder = Folder::new("crafted");
    let (bytes, _) = saved(&folder);
    let whole = Parts::of(&bytes);
    let mut trainer = strayed();
    let before = state(&trainer, &folder);
    let mut says_of = |change: &dyn Fn(&mut Parts), words: &[&str]| {
        let mut parts = whole.clone();
        change(&mut parts);
        says(&refused(&mut trainer, &folder, &parts.bytes()), words);
    };
    let kernel = "optimizer/velocity/dense/kernel";
    says_of(&|p| drop(p.tensors.remove(kernel)), &[kernel, "is missing"]);
    says_of(
        &|p| p.tensors.get_mut(kernel).unwrap().shape = vec![16, 6],
        &[kernel, "[16, 6]", "[6, 16] is expected"],
    );
    says_of(
        &|p| p.tensors.get_mut(kernel).unwrap().dtype = safetensors::Dtype::U32,
        &[kernel, "U32", "F32 is expected"],
    );
    let surplus = |p: &mut Parts| drop(p.tensors.insert("more".into(), p.tensors[kernel].clone()));
    says_of(&surplus, &["more", "belongs to no part"]);
    says_of(&|p| drop(p.tensors.remove("kept/best/dense/bias")), &["kept/best/dense/bias"]);
    says_of(&|p| drop(p.tensors.remove("numbers/metrics/0")), &["numbers/metrics/0"]);
    says_of(&|p| p.replace("\"steps\":17", "\"step\":17"), &["metadata", "missing field `steps`"]);
    says_of(&|p| p.replace("\"steps\":17", "\"steps\":-17"), &["metadata", "-17"]);
    says_of(&|p| p.replace("\"learning_rate\":null", "\"learning_rate\":-1.0"), &["learning_rate"]);
    says_of(
        &|p| p.replace("\"kept\":[\"best\"]", "\"kept\":[\"best\",\"last\"]"),
        &["kept/last/", "is missing"],
    );
    says_of(
        &|p| p.replace("\"format_version\":3", "\"format_version\":4"),
        &["format_version", "is 4", "reads 1 to 3", "wgrad"],
    );
    says_of(&|p| p.replace("\"format_version\":3", "\"format\":3"), &["format_version", "is null"]);
    assert!(state(&trainer, &folder) == before);
    // The control: unchanged it is taken.
    let path = folder.file("whole.safetensors");
    std::fs::write(&path, whole.bytes()).unwrap();
    trainer.load_checkpoint(&path).unwrap();
}

#[test]
fn a_newer_format_is_named_before_its_checksum() {
    let folder = Folder::new("newer");
    let (bytes, _) = saved(&folder);
    let version = br#"format_version\":"#;
    let at = find(&bytes, version) + version.len();
    assert_eq!(bytes[at], b'3');
    let mut newer = bytes.clone();
    newer[at] = b'4';
    let error = refused(&mut trainer(), &folder, &newer);
    says(&error, &["format_version: is 4; this version of wgrad reads 1 to 3"]);
}

#[test]
fn foreign_files_are_refused() {
    let folder = Folder::new("foreign");
    let mut trainer = strayed();
    let before = state(&trainer, &folder);
    let keras = include_bytes!("../known/keras_weights.safetensors");
    let torch = include_bytes!("../known/torch_weights.safetensors");
    for weights in [keras.as_slice(), torch] {
        let error = refused(&mut trainer, &folder, weights);
        says(&error, &["__metadata__.wgrad", "no checkpoint of wgrad", "load_weights"]);
    }
    for other in [&b""[..], b"PK\x03\x04 a zip file, as Keras writes it", &[0xff; 100], &[0; 100]] {
        says(&refused(&mut trainer, &folder, other), &["header", "no whole safetensors file"]);
    }
    for path in [folder.file("nothing"), folder.path().to_owned()] {
        let error = trainer.load_checkpoint(&path).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        says(&error, &[&path.display().to_string()]);
    }
    assert!(state(&trainer, &folder) == before);
}
