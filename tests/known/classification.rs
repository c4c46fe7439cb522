//! The tutorial's binary classification on Keras' arrays, initial weights and batches:
//! `classification.safetensors` and `classification.json`.

use super::reference::compare::compare;
use super::*;
use safetensors::SafeTensors;
use wgrad::data::TensorDataset;
use wgrad::metrics::Metric;
use wgrad::train::{Compile, Fit, History, Trainer};

/// A tensor of a safetensors file, by name.
fn tensor(file: &SafeTensors<'_>, name: &str) -> Result<Tensor> {
    let view = file.tensor(name)?;
    ensure!(view.dtype() == safetensors::Dtype::F32, "{name} is {:?}", view.dtype());
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    Ok(Tensor::f32(view.shape().to_vec(), values.collect::<Vec<f32>>())?)
}

struct Recorded {
    all: Json,
    train: TensorDataset,
    test: TensorDataset,
    weights: Vec<(String, Tensor)>,
}

fn recorded() -> Result<Recorded> {
    let file = SafeTensors::deserialize(include_bytes!("classification.safetensors"))?;
    let all: Json = serde_json::from_str(include_str!("classification.json"))?;
    let data = |part: &str| -> Result<TensorDataset> {
        let named = |axis: &str| tensor(&file, &format!("{axis}_{part}"));
        Ok(TensorDataset::new(named("x")?, named("y")?)?)
    };
    let mut weights = Vec::new();
    for name in all["weights"].as_array().context("weights")? {
        let name = name.as_str().context("a name")?;
        weights.push((name.to_owned(), tensor(&file, name)?));
    }
    Ok(Recorded { train: data("train")?, test: data("test")?, weights, all })
}

/// Trains as the recorded run did: 50 epochs in order, the last rows kept for validation.
fn train(recorded: &Recorded, from_logits: bool, rate: f32) -> Result<(Trainer, History)> {
    let config = &recorded.all["config"];
    let whole = |key: &str| -> Result<usize> { Ok(number(config, key)? as usize) };
    let output = if from_logits { Activation::Linear } else { Activation::Sigmoid };
    let model = Sequential::new([20])
        .add(Dense::new(64).activation(Activation::Relu))
        .add(Dense::new(32).activation(Activation::Relu))
        .add(Dense::new(1).activation(output));
    let settings = Compile::new(Adam::new(rate), Loss::BinaryCrossentropy { from_logits });
    let mut trainer = model.compile(device(), settings.metrics([Metric::Accuracy]))?;
    let names: Vec<String> = trainer.weights()?.into_iter().map(|(name, _)| name).collect();
    let (known, tensors): (Vec<String>, Vec<Tensor>) = recorded.weights.iter().cloned().unzip();
    ensure!(names == known, "{names:?} are named {known:?} in Keras");
    trainer.set_weights(&tensors)?;

    let held_back = number(config, "validation_split")? * recorded.train.len() as f64;
    let (fitted, validation) =
        recorded.train.split_at(recorded.train.len() - held_back as usize)?;
    let fit = Fit::new().epochs(whole("epochs")?).batch_size(whole("batch_size")?);
    let history = trainer.fit(&fitted, fit.shuffle(false).validation_data(&validation))?;
    Ok((trainer, history))
}

/// Epochs before any rounding takes a unit across the kink of its ReLU, after which two runs slowly differ: on software
/// Vulkan it is the 39th.
const SAME: usize = 20;

/// Losses and accuracies of the first epochs, with the tolerance of each.
fn first_epochs(history: &History, run: &Json) -> Result<(), String> {
    // Half of a sample of the 640 or 160.
    let series = [("loss", 1e-4), ("val_loss", 1e-4), ("accuracy", 7e-4), ("val_accuracy", 3e-3)];
    for (key, tolerance) in series {
        let got: Vec<f32> = history.get(key).iter().take(SAME).map(|&v| v as f32).collect();
        let want = steps::list(&run["history"], key).map_err(|e| e.to_string())?;
        compare(key, &got, &want[..SAME], tolerance, 0.0)?;
    }
    Ok(())
}

#[test]
fn classification_reaches_what_keras_reaches() -> Result<()> {
    let recorded = recorded()?;
    for run in entries(&recorded.all, "runs")? {
        let from_logits = run["from_logits"] == true;
        let rate = number(&recorded.all["config"], "learning_rate")? as f32;
        let (mut trainer, history) = train(&recorded, from_logits, rate)?;
        first_epochs(&history, &run).map_err(anyhow::Error::msg)?;
        let tested = trainer.evaluate(&recorded.test)?;
        let accuracy = tested.get("accuracy").context("accuracy")?;
        let (want, want_loss) = (number(&run, "test_accuracy")?, number(&run, "test_loss")?);
        println!(
            "from_logits {from_logits}: {accuracy} and {}, Keras {want} and {want_loss}",
            tested.loss
        );
        ensure!((accuracy - want).abs() <= 0.02, "accuracy {accuracy}, Keras {want}");
        ensure!((tested.loss - want_loss).abs() <= 0.02, "loss {}, Keras {want_loss}", tested.loss);
        let ten = trainer.predict(recorded.test.take(10)?.x())?;
        let scale = if from_logits { 0.1 } else { 0.02 };
        agree("predictions", ten.as_f32()?, &steps::list(&run, "predictions")?, 0.02, scale);
    }
    Ok(())
}

#[test]
fn another_rate_is_noticed() -> Result<()> {
    let recorded = recorded()?;
    let run = &entries(&recorded.all, "runs")?[0];
    let (_, history) = train(&recorded, false, 0.00101)?;
    let error = first_epochs(&history, run).err().context("a rate of 0.00101 passes for 0.001")?;
    ensure!(error.starts_with("loss"), "{error}");
    Ok(())
}
