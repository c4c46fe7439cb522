//! Readers of checkpoints and weights. Training continues with what is accepted, since a number may do its harm later.

use super::entry::{entry, sealed, with_entry};
use super::mutate::{Random, mutated, renumbered};
use super::support::{device, says};
use super::{Folder, Verdict, fuzz, inputs};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::path::Path;
use wgrad::prelude::*;

/// The entry of the metadata that makes a file a checkpoint.
const KEY: &str = "wgrad";

fn points() -> TensorDataset {
    let x: Vec<f32> = (0..24_u8).map(f32::from).collect();
    let y = Tensor::u32([8], [0, 1, 0, 1, 0, 1, 0, 1]).unwrap();
    TensorDataset::new(Tensor::f32([8, 3], x).unwrap(), y).unwrap()
}

fn trainer() -> Trainer {
    let layers = Sequential::new([3])
        .add(Dense::new(4).activation(Activation::Relu))
        .add(Dropout::new(0.5))
        .add(Dense::new(2));
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    let metrics = [Metric::Accuracy, Metric::ConfusionMatrix { threshold: 0.5 }];
    let rate = CosineDecayRestarts::new(0.01, 10);
    let compile = Compile::new(Adam::new(rate), loss).metrics(metrics).seed(3);
    layers.compile(device(), compile).unwrap()
}

/// Training with every callback that keeps counts, in `folder`.
fn fit<'a>(folder: &Path) -> Fit<'a> {
    let file = |name: &str| folder.join(name).display().to_string();
    Fit::new()
        .epochs(4)
        .batch_size(3)
        .verbose(Verbose::Silent)
        .callback(EarlyStopping::new("loss").patience(2))
        .callback(ReduceLrOnPlateau::new("loss").patience(1))
        .callback(CsvLogger::new(file("log.csv")))
        .callback(ModelCheckpoint::new(file("model")).every_batches(2).save_weights_only(true))
}

/// A checkpoint from the middle of the second epoch.
fn checkpoint(folder: &Path) -> Vec<u8> {
    let path = folder.join("saved");
    let save = Lambda::new().on_batch_end(BatchInterval::Batches(1), |batch, control| {
        if (batch.epoch, batch.batch) == (1, 1) {
            control.save_checkpoint(&path);
            control.stop_training();
        }
        Ok(())
    });
    trainer().fit(&points(), fit(folder).callback(save)).unwrap();
    std::fs::read(&path).unwrap()
}

/// Trains on after a checkpoint was loaded, and saves.
fn goes_on(trainer: &mut Trainer, folder: &Path, file: &[u8]) -> Verdict {
    let path = folder.join("fuzzed");
    std::fs::write(&path, file).unwrap();
    let loaded = trainer.load_checkpoint(&path);
    let verdict = Verdict::of(loaded);
    if verdict == Verdict::Taken {
        // Training may be refused; saving is not.
        drop(trainer.fit(&points(), fit(folder)));
        trainer.save_checkpoint(&path).unwrap();
    }
    verdict
}

#[test]
fn checkpoints_are_taken_or_refused() {
    let folder = Folder::new("checkpoint");
    let file = checkpoint(folder.path());
    let text = entry(&file, KEY);
    let (files, texts) = ([file.clone()], [text.clone().into_bytes()]);
    // What comes before must agree with the model to the letter.
    let (config, counts) = text.split_at(text.find("\"steps\":").unwrap());
    let make = |random: &mut Random| match random.below(8) {
        0 => mutated(random, &files),
        1 => sealed(mutated(random, &files), KEY),
        2..6 => with_entry(&file, KEY, format!("{config}{}", renumbered(random, counts))),
        _ => {
            let text = mutated(random, &texts);
            with_entry(&file, KEY, String::from_utf8_lossy(&text).into_owned())
        }
    };
    let mut trainer = trainer();
    fuzz("checkpoint", inputs(1), make, |bytes| goes_on(&mut trainer, folder.path(), bytes));
}

/// Each number of the metadata alone, at each end of its type: one input in a thousand has such a number by chance.
#[test]
fn every_counter_of_a_checkpoint_is_checked() {
    let folder = Folder::new("counters");
    let file = checkpoint(folder.path());
    let text = entry(&file, KEY);
    let starts = |text: &str| -> Vec<usize> {
        let digit = |i: usize| text.as_bytes()[i].is_ascii_digit();
        (1..text.len()).filter(|&i| digit(i) && !digit(i - 1)).collect()
    };
    let mut trainer = trainer();
    let (mut taken, mut refused) = (0, 0);
    for start in starts(&text) {
        let len = text[start..].bytes().take_while(u8::is_ascii_digit).count();
        for other in ["0", "9007199254740992", "9223372036854775807", "18446744073709551615"] {
            let mut changed = text.clone();
            changed.replace_range(start..start + len, other);
            match goes_on(&mut trainer, folder.path(), &with_entry(&file, KEY, changed)) {
                Verdict::Taken => taken += 1,
                Verdict::Refused => refused += 1,
            }
        }
    }
    assert!(taken > 20 && refused > 100, "{taken} taken, {refused} refused");
    let steps = text.find("\"steps\":").unwrap();
    let end = steps + text[steps..].find(',').unwrap();
    let mut large = text.clone();
    large.replace_range(steps..end, "\"steps\":18446744073709551615");
    let path = folder.file("large");
    std::fs::write(&path, with_entry(&file, KEY, large)).unwrap();
    let error = trainer.load_checkpoint(&path).unwrap_err();
    says(&error, &["large: metadata: ", "18446744073709551615", "a smaller count"]);
    // The control: unchanged it is taken.
    assert_eq!(goes_on(&mut trainer, folder.path(), &with_entry(&file, KEY, text)), Verdict::Taken);
}

/// The tensors of a file with elements of another type, which look random, and finite.
fn recoded(file: &[u8], dtype: Dtype) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let tensors: Vec<_> = (tensors.iter())
        .map(|(name, view)| {
            let count: usize = view.shape().iter().product();
            let element = |i: usize| match dtype {
                Dtype::F64 => (i as f64 / 3.0 - 1.0).to_le_bytes().to_vec(),
                Dtype::F32 => (i as f32 / 3.0 - 1.0).to_le_bytes().to_vec(),
                // Finite in both types of 16 bits.
                _ => (0x3c00 + 37 * i as u16 % 512).to_le_bytes().to_vec(),
            };
            let bytes: Vec<u8> = (0..count).flat_map(element).collect();
            (name.to_owned(), view.shape().to_vec(), bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn weights_are_taken_or_refused() {
    let folder = Folder::new("weights");
    let path = folder.file("weights");
    let mut trainer = trainer();
    let maps = [
        WeightMap::keras(),
        WeightMap::keras().prefix("body.").skip_missing().skip_mismatch().skip_surplus(),
        WeightMap::torch(["0", "3"]),
    ];
    let types = [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F64];
    let mut files = Vec::new();
    for map in &maps {
        let file = trainer.weights_to_bytes(map).unwrap();
        files.extend(types.map(|dtype| recoded(&file, dtype)));
    }
    // Each file is read as one of them is, with nothing changed.
    for (i, file) in files.iter().enumerate() {
        trainer.load_weights_from_bytes(file, &maps[i / types.len()]).unwrap();
    }
    let make = |random: &mut Random| mutated(random, &files);
    fuzz("weights", inputs(1), make, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let read = maps.each_ref().map(|map| trainer.load_weights_as(&path, map));
        // Two of three maps are wrong for a whole file.
        Verdict::of(read.into_iter().reduce(Result::or).unwrap())
    });
}
