//! The file that every peer starts from: weights, and batches of made-up digits.
//!
//! A class is a set of lit pixels, about a fifth of all as in MNIST; an image shows its class's pixels unless
//! noise says otherwise. All numbers come from one counter-based generator, so every machine makes the same file.

use crate::models::{CLASSES, Model};
use crate::reference::{self, Reference};
use anyhow::{Context, Result, ensure};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use xtask::process::say;

/// The name under which a file keeps its reference.
const REFERENCE: &str = "reference";

/// How many in a hundred pixels a class lights.
const LIT: u64 = 20;

/// What a layer learns.
pub struct Weights {
    /// The shape of the weights: of a dense layer inputs by outputs, of a kernel rows, columns, channels and filters.
    pub shape: Vec<usize>,
    /// The weights.
    pub weights: Vec<f32>,
    /// The biases, if the layer has them.
    pub biases: Vec<f32>,
}

/// What the file holds.
pub struct Samples {
    /// The initial weights of the layers that have them.
    pub layers: Vec<Weights>,
    /// The images of all batches, row by row; or ids, as whole numbers.
    pub images: Vec<f32>,
    /// A label per image, or per id.
    pub labels: Vec<i32>,
}

/// A model's file, and what training from it leads to.
pub struct File {
    /// Its path.
    pub path: PathBuf,
    /// The losses in f64, if the model can be trained in f64.
    pub reference: Option<Reference>,
}

/// SplitMix64 (Steele, Lea and Flood 2014).
pub struct Random(u64);

impl Random {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in [0, 1) that f32 holds exactly.
    fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 24) as f32
    }

    /// Whether this many in a hundred say so.
    fn percent(&mut self, share: u64) -> bool {
        self.bits() % 100 < share
    }
}

/// Makes a model's weights (Glorot-uniform, scales one, biases zero) and batches.
pub fn samples(model: &Model) -> Samples {
    let mut random = Random::new(model.seed);
    let layers = model.weights().into_iter().map(|(shape, bias)| initial(shape, bias, &mut random));
    let layers = layers.collect();
    if let Some(words) = model.words() {
        return texts(model, words, layers, random);
    }
    // A pattern is as large as the image, or begins again after some rows and columns.
    let inputs = model.inputs();
    let places: Vec<usize> = (0..inputs).map(|i| place(model, i)).collect();
    let size = places.iter().max().map_or(0, |most| most + 1);
    let lit: Vec<bool> = (0..CLASSES * size).map(|_| random.percent(LIT)).collect();
    let count = model.steps * model.batch;
    let labels: Vec<usize> = (0..count).map(|_| random.bits() as usize % CLASSES).collect();
    let mut images = Vec::with_capacity(count * inputs);
    for &label in &labels {
        for place in &places {
            let pixel = lit[label * size + place];
            let on = if random.percent(model.noise) { random.percent(LIT) } else { pixel };
            let shade = random.uniform();
            images.push(if on { shade } else { 0.0 });
        }
    }
    let labels = labels.into_iter().map(|l| l as i32).collect();
    Samples { layers, images, labels }
}

/// A text for each sample, in which an id is most often followed by one of its own; labels are what follows.
fn texts(model: &Model, words: usize, layers: Vec<Weights>, mut random: Random) -> Samples {
    let mut id = || random.bits() as usize % words;
    let next: Vec<usize> = (0..words).map(|_| id()).collect();
    let starts: Vec<usize> = (0..model.steps * model.batch).map(|_| id()).collect();
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for mut at in starts {
        for _ in 0..model.inputs() {
            images.push(at as f32);
            let other = random.percent(model.noise);
            at = if other { random.bits() as usize % words } else { next[at] };
            labels.push(at as i32);
        }
    }
    Samples { layers, images, labels }
}

/// The weights that a layer starts with.
fn initial(shape: Vec<usize>, bias: bool, random: &mut Random) -> Weights {
    let outputs = shape.last().copied().unwrap_or_default();
    let weights = match shape.split_last_chunk() {
        // A dense layer, or a kernel that is one at each of its taps.
        Some((taps, [inputs, outputs])) => {
            let taps: usize = taps.iter().product();
            let limit = (6.0 / (taps * (inputs + outputs)) as f32).sqrt();
            let count = taps * inputs * outputs;
            (0..count).map(|_| (2.0 * random.uniform() - 1.0) * limit).collect()
        }
        None => vec![1.0; outputs],
    };
    Weights { shape, weights, biases: vec![0.0; if bias { outputs } else { 0 }] }
}

/// The pixel of a class's pattern that is at place `i` of an image.
fn place(model: &Model, i: usize) -> usize {
    match (model.tile, model.input) {
        (Some(tile), [_, columns, channels]) => {
            let (channel, pixel) = (i % channels, i / channels);
            let (row, column) = (pixel / columns % tile, pixel % columns % tile);
            (row * tile + column) * channels + channel
        }
        _ => i,
    }
}

/// The file of a model in `dir`, made if it is not there or was made of other numbers.
pub fn file(model: &Model, dir: &Path) -> Result<File> {
    let path = dir.join(format!("{}.safetensors", model.name));
    if let Some(reference) = made(model, &path) {
        return Ok(File { path, reference });
    }
    say(format_args!("making the data of model {} ({})", model.name, model.shape()));
    let samples = samples(model);
    let computed = || model.is_dense().then(|| reference::run(model, &samples));
    let reference = model.recorded.or_else(computed);
    reference.iter().try_for_each(|r| r.ensure_free_of_kinks(model))?;
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    write(model, &samples, reference.as_ref(), &path)?;
    Ok(File { path, reference })
}

/// The same file, with the reference that is known from another machine's training, if there is one.
pub fn with_reference(model: &Model, reference: Option<Reference>, dir: &Path) -> Result<File> {
    let path = dir.join(format!("{}.safetensors", model.name));
    if made(model, &path) != Some(reference) {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        write(model, &samples(model), reference.as_ref(), &path)?;
    }
    Ok(File { path, reference })
}

/// The file's metadata. Peers read the layers, the batch and the rate; all of it tells whether a file is the model's.
fn metadata(model: &Model) -> BTreeMap<String, String> {
    let words: Vec<String> = model.layers.iter().map(|layer| layer.word()).collect();
    let numbers = [
        ("layers", words.join(" ")),
        ("sizes", format!("{:?} {:?} {}", model.weights(), model.tile, model.steps)),
        ("batch", model.batch.to_string()),
        ("rate", model.rate.to_string()),
        ("seed", model.seed.to_string()),
        ("noise", model.noise.to_string()),
    ];
    numbers.map(|(name, value)| (name.to_string(), value)).into()
}

/// What a file says that was made of this model before, which has no reference for some models; none if there is no such
/// file.
fn made(model: &Model, path: &Path) -> Option<Option<Reference>> {
    let bytes = std::fs::read(path).ok()?;
    let (_, header) = SafeTensors::read_metadata(&bytes).ok()?;
    let mut found: BTreeMap<String, String> = header.metadata().clone()?.into_iter().collect();
    let reference = match found.remove(REFERENCE) {
        Some(losses) => {
            let [loss_first, loss, moved] = serde_json::from_str(&losses).ok()?;
            Some(Reference { loss_first, loss, moved })
        }
        None => None,
    };
    let whole = SafeTensors::deserialize(&bytes).is_ok();
    let right = model.recorded.is_none_or(|recorded| Some(recorded) == reference);
    (whole && right && found == metadata(model)).then_some(reference)
}

/// Writes the file.
fn write(
    model: &Model,
    samples: &Samples,
    reference: Option<&Reference>,
    path: &Path,
) -> Result<()> {
    let mut tensors = Vec::new();
    for (i, layer) in samples.layers.iter().enumerate() {
        tensors.push((format!("w{i}"), Dtype::F32, layer.shape.clone(), floats(&layer.weights)));
        if !layer.biases.is_empty() {
            let shape = vec![layer.biases.len()];
            tensors.push((format!("b{i}"), Dtype::F32, shape, floats(&layer.biases)));
        }
    }
    let count = model.steps * model.batch;
    let shape = [&[count], model.input].concat();
    let each = if model.words().is_some() { shape.clone() } else { vec![count] };
    let whole = samples.images.len() == count * model.inputs()
        && samples.labels.len() == each.iter().product::<usize>();
    ensure!(whole, "images and labels differ in number");
    let integers =
        |numbers: &mut dyn Iterator<Item = i32>| numbers.flat_map(i32::to_le_bytes).collect();
    let (dtype, inputs) = match model.words() {
        Some(_) => (Dtype::I32, integers(&mut samples.images.iter().map(|v| *v as i32))),
        None => (Dtype::F32, floats(&samples.images)),
    };
    tensors.push(("x".into(), dtype, shape, inputs));
    tensors.push(("y".into(), Dtype::I32, each, integers(&mut samples.labels.iter().copied())));
    let mut views = Vec::new();
    for (name, dtype, shape, bytes) in &tensors {
        views.push((name, TensorView::new(*dtype, shape.clone(), bytes)?));
    }
    let mut metadata = metadata(model);
    if let Some(Reference { loss_first, loss, moved }) = reference {
        let losses = serde_json::json!([loss_first, loss, moved]);
        metadata.insert(REFERENCE.into(), losses.to_string());
    }
    let bytes = serialize(views, Some(metadata.into_iter().collect()))?;
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

/// The bytes of some numbers, as the format keeps them.
fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::models::Layer;
    use xtask::sources::Scratch;

    /// A model that is quick to train in f64.
    pub const TINY: Model = Model {
        name: "tiny",
        title: "",
        input: &[784],
        layers: &[
            Layer::Dense(8),
            Layer::Relu,
            Layer::Dense(8),
            Layer::Relu,
            Layer::Dense(CLASSES),
        ],
        batch: 4,
        steps: 50,
        rate: 1e-3,
        seed: 1,
        noise: 70,
        tile: None,
        repeats: 1,
        epoch: false,
        large: false,
        recorded: None,
    };

    #[test]
    fn the_same_model_makes_the_same_bytes_and_another_seed_others() {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let tensors = |model: &Model| {
            let samples = samples(model);
            (samples.images, samples.labels, samples.layers[0].weights.clone())
        };
        assert_eq!(tensors(&TINY), tensors(&TINY));
        assert_ne!(tensors(&TINY).0, tensors(&Model { seed: 2, ..TINY }).0);
        assert!(made(&TINY, &dir.path().join("no")).is_none());
    }

    /// FNV-1a of some bytes.
    fn hash(bytes: &[u8]) -> u64 {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
    }

    /// Kept results are of these numbers.
    #[test]
    fn the_first_models_bytes_are_those_of_the_kept_results() {
        let samples = samples(&crate::models::MODELS[0]);
        let labels: Vec<u8> = samples.labels.iter().flat_map(|l| l.to_le_bytes()).collect();
        assert_eq!(hash(&floats(&samples.layers[1].weights)), 0xbd80_38e9_7c15_a173);
        assert_eq!(hash(&labels), 0x5b5e_ff91_20f0_dad3);
        assert_eq!(hash(&floats(&samples.images[..250_000])), 0x3279_cc66_4ed0_f23c);
    }

    #[test]
    fn a_pattern_begins_again_after_its_tile() {
        let model = Model { input: &[6, 6, 3], tile: Some(4), noise: 0, ..TINY };
        let at = |row: usize, column: usize, channel: usize| {
            place(&model, (row * 6 + column) * 3 + channel)
        };
        assert_eq!(at(1, 2, 1), (4 + 2) * 3 + 1);
        assert_eq!((at(5, 2, 1), at(1, 6 - 1, 0)), (at(1, 2, 1), at(1, 1, 0)));
        assert_ne!(at(1, 2, 1), at(1, 2, 2));
        let whole = Model { tile: None, ..model };
        assert_eq!(place(&whole, 107), 107);
    }

    /// Makes what `benches/peers/reference_large.py` reads: `cargo test -p peers large_files -- --ignored`.
    #[test]
    #[ignore = "240 MB, made if a model changes"]
    fn large_files() {
        for model in crate::models::MODELS.iter().filter(|m| m.recorded.is_some()) {
            println!("{}", file(model, &crate::folder()).unwrap().path.display());
        }
    }

    /// Labels are the ids that follow, and four in five follow their own.
    #[test]
    fn texts_say_what_follows() {
        let model = Model { layers: &[Layer::Embedding(9, 4)], input: &[16], noise: 20, ..TINY };
        let samples = samples(&model);
        assert_eq!(samples.images.len(), 50 * 4 * 16);
        let mut after = [[0usize; 9]; 9];
        for (text, labels) in samples.images.chunks(16).zip(samples.labels.chunks(16)) {
            let ids: Vec<usize> = text.iter().map(|v| *v as usize).collect();
            assert!(ids[1..].iter().zip(labels).all(|(id, label)| *id == *label as usize));
            ids.iter().zip(labels).for_each(|(id, label)| after[*id][*label as usize] += 1);
        }
        let most: usize = after.iter().filter_map(|row| row.iter().max()).sum();
        let share = most as f64 / samples.labels.len() as f64;
        assert!((0.75..0.9).contains(&share), "{share}");
    }

    #[test]
    fn a_file_is_taken_again_for_its_own_model_only() {
        let dir = Scratch::new(&std::env::temp_dir()).unwrap();
        let path = dir.path().join("tiny.safetensors");
        let reference = Reference { loss_first: 2.0, loss: 0.123_456_789_012_345, moved: 1e-9 };
        write(&TINY, &samples(&TINY), Some(&reference), &path).unwrap();
        assert_eq!(made(&TINY, &path), Some(Some(reference)));
        assert!(made(&Model { seed: 2, ..TINY }, &path).is_none());
        assert!(made(&Model { rate: 1e-4, ..TINY }, &path).is_none());
        let recorded = |moved| Model { recorded: Some(Reference { moved, ..reference }), ..TINY };
        assert_eq!(made(&recorded(1e-9), &path), Some(Some(reference)));
        assert!(made(&recorded(2e-9), &path).is_none(), "another reference is recorded by now");
        let none = dir.path().join("none.safetensors");
        write(&TINY, &samples(&TINY), None, &none).unwrap();
        assert_eq!(made(&TINY, &none), Some(None));
        assert!(made(&recorded(1e-9), &none).is_none(), "a reference is recorded by now");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(made(&TINY, &path).is_none(), "a file cut short");
    }
}
