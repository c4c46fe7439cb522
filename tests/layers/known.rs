//! Layers against values and gradients recorded from Keras 3 (`tests/known/README.md` says how).

use super::*;
use anyhow::{Context, bail, ensure};
use recording::{agree, data, number, text};
use serde_json::Value as Json;

fn recorded() -> anyhow::Result<Json> {
    Ok(serde_json::from_str(include_str!("../known/layers.json"))?)
}

fn list<'a>(entry: &'a Json, key: &str) -> anyhow::Result<&'a Vec<Json>> {
    entry[key].as_array().with_context(|| format!("no list {key}"))
}

fn shape(tensor: &Json) -> anyhow::Result<Shape> {
    let dims: Option<Vec<usize>> =
        list(tensor, "shape")?.iter().map(|d| Some(d.as_u64()? as usize)).collect();
    Ok(dims.context("extents are whole numbers")?.into())
}

fn floats(tensor: &Json) -> anyhow::Result<Tensor> {
    Ok(Tensor::f32(shape(tensor)?, data(tensor)?)?)
}

fn layer(entry: &Json) -> anyhow::Result<LayerHandle> {
    let name = text(entry, "name")?;
    Ok(match (text(entry, "layer")?, name) {
        ("PReLU", _) => PRelu::new().into(),
        ("Embedding", _) => Embedding::new(4, 3).into(),
        ("Add", _) => Add.into(),
        ("Multiply", _) => Multiply.into(),
        ("Average", _) => Average.into(),
        ("Concatenate", "concatenate, axis -1") => Concatenate::default().into(),
        ("Concatenate", "concatenate, axis 1") => Concatenate::new(1).into(),
        ("Permute", "permute [2, 1]") => Permute::new([2, 1]).into(),
        ("Permute", "permute [3, 1, 2]") => Permute::new([3, 1, 2]).into(),
        ("Reshape", "reshape [4, 6]") => Reshape::new([4, 6]).into(),
        ("Reshape", "reshape [-1, 8]") => Reshape::new([-1, 8]).into(),
        other => bail!("no layer {other:?}"),
    })
}

#[test]
fn values_and_gradients_agree_with_keras() -> anyhow::Result<()> {
    let all = recorded()?;
    let entries = list(&all, "layers")?;
    ensure!(entries.len() >= 12, "{} layers are recorded", entries.len());
    for entry in entries {
        let name = text(entry, "name")?;
        let ids = text(entry, "layer")? == "Embedding";
        let read = |t: &Json| match ids {
            true => {
                let ids: Vec<u32> = data(t)?.into_iter().map(|v| v as u32).collect();
                Ok(Tensor::u32(shape(t)?, ids)?)
            }
            false => floats(t),
        };
        let x = list(entry, "inputs")?.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        let w = list(entry, "weights")?.iter().map(floats).collect::<anyhow::Result<Vec<_>>>()?;
        let dy = floats(&entry["upstream"])?;
        let inputs: Vec<SymbolicTensor> = samples(&refs(&x)).into_iter().map(input).collect();
        let model = Model::new(&inputs, [&merge(layer(entry)?, &inputs)])?;
        ensure!(model.layers()[0].layer.kind() == text(entry, "layer")?, "{name}: its kind");

        let build = |g: &mut Graph, x: &[Value], w: &[Value]| model.apply(g, x, w, None);
        let got = differentiate(&refs(&x), &refs(&w), [0; 2], Some(&dy), build)?;
        let y = &got.outputs[0];
        ensure!(*y.shape() == shape(&entry["y"])?, "{name}: shape {}", y.shape());
        let none = vec![];
        let grads = |key: &str| entry[key].as_array().unwrap_or(&none).clone();
        let want = [vec![entry["y"].clone()], grads("input_grads"), grads("weight_grads")].concat();
        let numbers = got.inputs.iter().filter(|d| !d.is_empty()).map(Vec::as_slice);
        let weights = got.weights.iter().map(Vec::as_slice);
        let got: Vec<&[f32]> = std::iter::once(got.y()).chain(numbers).chain(weights).collect();
        ensure!(want.len() == got.len(), "{name}: {} tensors are recorded", want.len());
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            // Sums of a few products of numbers near 1, each rounded to 6e-8.
            agree(&format!("{name}, {i}"), got, &widen(&data(want)?), 1e-6, 2e-7);
        }
    }
    Ok(())
}

#[test]
fn alpha_dropout_has_the_constants_of_keras() -> anyhow::Result<()> {
    for entry in list(&recorded()?, "alpha_dropout")? {
        let rate = number(entry, "rate")? as f32;
        let ramp: Vec<f32> = (0..400).map(|i| i as f32 / 100.0).collect();
        let x = Tensor::f32([400], ramp)?;
        let step = layer_step(&AlphaDropout::new(rate), &[&x], &[], Some([1, 2, 3]))?;
        let [slope, offset, dropped] =
            ["slope", "offset", "dropped"].map(|key| number(entry, key).unwrap_or(f64::NAN));
        let want: Vec<f64> = (wide(&x).iter().zip(&step.inputs[0]))
            .map(|(x, d)| if *d == 0.0 { dropped } else { slope * x + offset })
            .collect();
        // Keras' slope is the difference of two outputs near 2: good to 1e-7.
        agree(&format!("alpha dropout {rate}"), step.y(), &want, 1e-6, 1e-6);
    }
    Ok(())
}
