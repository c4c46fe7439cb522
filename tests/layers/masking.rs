//! Masks: made from padding, and carried by the layers that keep the axes.

use super::*;
use wgrad::layers::Lambda;

/// Sequences `[3, 4, 2]` whose padding is `value`: the last steps of each, and one in the middle.
fn padded(value: f32) -> (Tensor, Vec<bool>) {
    let counts: Vec<bool> = [1, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1].map(|c| c == 1).to_vec();
    let x = numbers(&[3, 4, 2], 1);
    let fill = |(i, &x): (usize, &f32)| match (counts[i / 2], i) {
        (false, _) => value,
        // One element of padding masks nothing.
        (true, 0) => value,
        _ => x,
    };
    let x: Vec<f32> = x.as_f32().unwrap().iter().enumerate().map(fill).collect();
    (Tensor::f32([3, 4, 2], x).unwrap(), counts)
}

/// The outputs of a model, and the mask of the first of them if it has one.
fn masked(model: &Model, x: &[&Tensor], weights: &[Tensor]) -> Result<(Vec<f32>, Option<Tensor>)> {
    let mut g = Graph::new();
    let mut feeds = Vec::new();
    let mut feed = |g: &mut Graph, name: String, t: &Tensor| {
        feeds.push((name.clone(), t.clone()));
        g.input(&name, t.shape(), t.dtype())
    };
    let inputs: Vec<Value> =
        x.iter().enumerate().map(|(i, t)| feed(&mut g, format!("x{i}"), t)).collect();
    let w: Vec<Value> =
        weights.iter().enumerate().map(|(i, t)| feed(&mut g, format!("w{i}"), t)).collect();
    let outputs = model.run(&mut g, &inputs, &[], &w, None)?;
    g.output("y", outputs.values[0]);
    if let Some(mask) = outputs.mask_of(0) {
        g.output("mask", mask);
    }
    let fed: Vec<(&str, &Tensor)> = feeds.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let mut read = run(&g, &fed, &[])?.into_iter();
    let y = read.next().unwrap();
    Ok((y.as_f32()?.to_vec(), read.next()))
}

fn flags(counts: &[bool]) -> Vec<f32> {
    counts.iter().map(|&c| f32::from(u8::from(c))).collect()
}

#[test]
fn padding_becomes_zeros_and_a_mask() -> Result<()> {
    for value in [0.0, -1.5] {
        let (x, counts) = padded(value);
        let model = Sequential::new([4, 2]).add(Masking::new(value)).build()?;
        let (y, mask) = masked(&model, &[&x], &[])?;
        let mask = mask.unwrap();
        assert_eq!(mask.shape().dims(), [3, 4]);
        assert_eq!(mask.as_f32()?, flags(&counts));
        let want: Vec<f32> = (x.as_f32()?.iter().enumerate())
            .map(|(i, &x)| if counts[i / 2] { x } else { 0.0 })
            .collect();
        assert_eq!(y, want);
        let step = layer_step(&Masking::new(value), &[&x], &[], None)?;
        let dy = upstream(0, 24);
        let want: Vec<f32> =
            dy.iter().enumerate().map(|(i, &d)| if counts[i / 2] { d } else { 0.0 }).collect();
        assert_eq!(step.inputs[0], want);
    }
    says(&refusal("masking", Masking::new(f32::NAN), &[4, 2]), &["mask_value = NaN"]);
    says(&refusal("masking", Masking::default(), &[4]), &["[4]", "sequences"]);
    Ok(())
}

#[test]
fn masks_travel_through_layers_that_keep_the_time() -> Result<()> {
    let (x, counts) = padded(0.0);
    let other: Vec<f32> = (0..12).map(|i| f32::from(u8::from(i % 4 == 1))).collect();
    let x2: Vec<f32> = other.iter().flat_map(|m| [*m, 0.0]).collect();
    let x2 = Tensor::f32([3, 4, 2], x2)?;
    let or = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a.max(*b)).collect::<Vec<f32>>();
    let own = flags(&counts);
    let side: Vec<f32> =
        own.chunks(4).zip(other.chunks(4)).flat_map(|(a, b)| [a, b].concat()).collect();
    let half: Vec<f32> = own.chunks(4).flat_map(|a| [a, &[1.0; 4]].concat()).collect();
    type Build = fn(&SymbolicTensor, &SymbolicTensor, &SymbolicTensor) -> SymbolicTensor;
    // The first and the second sequence masked, and the second without its mask.
    let cases: [(&str, Build, Option<Vec<f32>>); 15] = [
        ("dense", |a, _, _| a.then(Dense::new(3)), Some(own.clone())),
        ("activation", |a, _, _| a.then(Activation::Tanh), Some(own.clone())),
        ("dropout", |a, _, _| a.then(Dropout::new(0.5)), Some(own.clone())),
        ("norm", |a, _, _| a.then(BatchNormalization::new()), Some(own.clone())),
        ("steps", |a, _, _| a.then(TimeDistributed::new(Dense::new(3))), Some(own.clone())),
        (
            "inside",
            |a, _, _| a.then(Sequential::new([4, 2]).add(Dense::new(5)).add(Activation::Relu)),
            Some(own.clone()),
        ),
        ("flat", |a, _, _| a.then(Flatten), None),
        ("closure", |a, _, _| a.then(Lambda::new(|g, x| g.scale(x[0], 2.0))), None),
        (
            "closure that keeps it",
            |a, _, _| a.then(Lambda::new(|g, x| g.scale(x[0], 2.0)).keeps_mask()),
            Some(own.clone()),
        ),
        ("turned", |a, _, _| a.then(Permute::new([2, 1])), None),
        ("both", |a, b, _| merge(Add, [a, b]), Some(or(&own, &other))),
        ("one", |a, _, c| merge(Multiply, [a, c]), None),
        ("features", |a, b, _| merge(Concatenate::default(), [a, b]), Some(or(&own, &other))),
        ("time", |a, b, _| merge(Concatenate::new(1), [a, b]), Some(side)),
        ("time, one", |a, _, c| merge(Concatenate::new(1), [a, c]), Some(half)),
    ];
    for (name, build, want) in cases {
        let (a, b) = (input([4, 2]), input([4, 2]));
        let masked_a = a.then(Masking::default());
        let y = build(&masked_a, &b.then(Masking::default()), &b);
        // The second input counts in every model.
        let end = merge(Concatenate::new(1), [&b.then(Flatten), &a.then(Flatten)]);
        let model = Model::new([&a, &b], [&y, &end])?;
        let weights: Vec<Tensor> =
            model.weights().zip(3..).map(|((_, s), i)| numbers(s.shape.dims(), i)).collect();
        let weights: Vec<Tensor> = weights
            .into_iter()
            .map(|w| {
                Tensor::f32(
                    w.shape(),
                    w.as_f32().unwrap().iter().map(|v| v.abs()).collect::<Vec<_>>(),
                )
                .unwrap()
            })
            .collect();
        let (_, mask) = masked(&model, &[&x, &x2], &weights)?;
        let mask = mask.map(|mask| mask.as_f32().unwrap().to_vec());
        assert_eq!(mask, want, "{name}");
    }
    Ok(())
}

#[test]
fn a_mask_of_another_length_is_refused() -> Result<()> {
    let model = Sequential::new([4, 2]).add(Dense::new(3)).add(Flatten).build()?;
    let mut g = Graph::new();
    let x = g.input("x", [3, 4, 2], DType::F32);
    let w = [g.input("w", [2, 3], DType::F32), g.input("b", [3], DType::F32)];
    let masks: [(&[usize], DType, &[&str]); 4] = [
        (&[3, 5], DType::F32, &["[3, 5], [3, 4, 2]", "mask of input 0", "leading axes"]),
        (&[2, 4], DType::F32, &["[2, 4], [3, 4, 2]"]),
        (&[3, 4, 2, 1], DType::F32, &["[3, 4, 2, 1]"]),
        (&[3, 4], DType::U32, &["u32", "mask of input 0 is f32"]),
    ];
    for (shape, dtype, words) in masks {
        let mask = g.input("mask", shape, dtype);
        let error = model.run(&mut g, &[x], &[Some(mask)], &w, None).unwrap_err();
        says(&error, &["layer `dense`"]);
        says(&error, words);
    }
    for shape in [&[3][..], &[3, 4], &[3, 4, 2]] {
        let mask = g.input("mask", shape, DType::F32);
        model.run(&mut g, &[x], &[Some(mask)], &w, None)?;
    }
    let norm = Sequential::new([4, 2]).add(BatchNormalization::new()).build()?;
    let w: Vec<Value> = (0..4).map(|i| g.input(&format!("n{i}"), [2], DType::F32)).collect();
    let mask = g.input("mask", [3, 4, 2], DType::F32);
    let random = Some((g.step_param("seed", DType::U32)?, g.step_param("step", DType::U32)?));
    let error = norm.run(&mut g, &[x], &[Some(mask)], &w, random).unwrap_err();
    says(&error, &["layer `batch_normalization`", "before the last"]);
    Ok(())
}

#[test]
fn the_last_step_has_no_mask() -> Result<()> {
    let (x, _) = padded(0.0);
    // As many units as steps: the shape of the mask would suit the output.
    let rnn = |all: bool| SimpleRnn::new(4).return_sequences(all);
    for all in [false, true] {
        let model = Sequential::new([4, 2]).add(Masking::new(0.0)).add(rnn(all)).build()?;
        let weights = [numbers(&[2, 4], 2), numbers(&[4, 4], 3), numbers(&[4], 4)];
        let (_, mask) = masked(&model, &[&x], &weights)?;
        assert_eq!(mask.is_some(), all);
    }
    Ok(())
}

#[test]
fn embeddings_mask_the_id_zero() -> Result<()> {
    let ids = Tensor::u32([2, 2, 2], [0, 1, 2, 0, 3, 3, 0, 0])?;
    let table = numbers(&[4, 3], 2);
    for mask_zero in [true, false] {
        let layer = Embedding::new(4, 3).mask_zero(mask_zero);
        let model = Sequential::new([2, 2]).add(layer).build()?;
        let (y, mask) = masked(&model, &[&ids], std::slice::from_ref(&table))?;
        assert_eq!(y[..3], table.as_f32()?[..3]);
        let want = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        assert_eq!(mask.map(|m| m.as_f32().unwrap().to_vec()), mask_zero.then(|| want.to_vec()));
    }
    Ok(())
}
