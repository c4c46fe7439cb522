//! Dropout in attention, in the blocks of a transformer and in loops.

use super::recurrent_f64::{WORDS, factors};
use super::*;
use reference::attention::{Extents, Pair, attention};

fn weights_of(layer: &dyn Layer, inputs: &[&Tensor]) -> Vec<Tensor> {
    let drawn = |(i, w): (usize, wgrad::layers::WeightSpec)| {
        let values = uniform(30 + i as u32, w.shape.len(), -0.7, 0.7);
        Tensor::f32(w.shape, values).unwrap()
    };
    layer.weights(&samples(inputs)).into_iter().enumerate().map(drawn).collect()
}

/// Each layer with a rate of dropout, and how many of the inputs it reads: sequences, or all with a cache and a place.
fn layers(rate: f32) -> Vec<(LayerHandle, usize)> {
    let decoder = TransformerDecoder::new(6, 2).dropout(rate);
    vec![
        (MultiHeadAttention::new(2, 3).dropout(rate).into(), 1),
        (GroupedQueryAttention::new(3, 4, 2).dropout(rate).into(), 2),
        (Attention::new().dropout(rate).into(), 2),
        (Attention::new().score_mode(ScoreMode::Concat).dropout(rate).into(), 2),
        (AdditiveAttention::new().dropout(rate).into(), 2),
        (TransformerEncoder::new(6, 2).dropout(rate).into(), 1),
        (decoder.into(), 1),
        (decoder.normalize_first(true).into(), 2),
        (CachedMultiHeadAttention::new(2, 2).dropout(rate).into(), 3),
        (decoder.use_cache(true).into(), 3),
    ]
}

#[test]
fn words_decide_what_drops_and_evaluation_drops_nothing() -> Result<()> {
    let all = [numbers(&[2, 5, 4], 1), numbers(&[2, 6, 4], 2)];
    let cache = [numbers(&[2, 2, 7, 2, 2], 3), Tensor::u32([2, 1], vec![2, 0])?];
    for ((layer, count), (still, _)) in layers(0.4).into_iter().zip(layers(0.0)) {
        let inputs: Vec<&Tensor> = match count {
            3 => vec![&all[0], &cache[0], &cache[1]],
            _ => all[..count].iter().collect(),
        };
        let w = weights_of(layer.layer(), &inputs);
        let of =
            |layer: &LayerHandle, random| layer_step(layer.layer(), &inputs, &refs(&w), random);
        let (first, again) = (of(&layer, Some(WORDS))?, of(&layer, Some(WORDS))?);
        assert_eq!(first.y(), again.y(), "{layer:?}");
        assert_eq!((&first.inputs, &first.weights), (&again.inputs, &again.weights), "{layer:?}");
        assert_ne!(of(&layer, Some([7, 2, 4]))?.y(), again.y(), "{layer:?}: other words");
        let want = of(&still, Some(WORDS))?;
        assert_eq!(of(&layer, None)?.y(), want.y(), "{layer:?}: evaluation");
        assert_ne!(again.y(), want.y(), "{layer:?}");
    }
    Ok(())
}

/// Weights of keys drop out after the softmax, by the numbers that are drawn for `[batch, 1, queries, keys]`.
#[test]
fn attention_without_projections_agrees_in_value_and_gradient() -> Result<()> {
    let (samples, queries, keys, size) = (2, 5, 6, 4);
    let (q, v) = (numbers(&[samples, queries, size], 1), numbers(&[samples, keys, size], 2));
    let factors = factors(0.4, samples * queries * keys, &["dropout"]).unwrap();
    let pair = |sample, _, query, key| {
        let factor = factors[(sample * queries + query) * keys + key];
        Pair { counts: true, added: 0.0, factor }
    };
    let step = layer_step(&Attention::new().dropout(0.4), &[&q, &v], &[], Some(WORDS))?;
    check_gradients("Attention", &step, &[&q, &v], |at| {
        let e = Extents { samples, queries, keys, heads: 1, groups: 1, size, value: size };
        let [y, _] = attention(&at[0], &at[1], &at[1], e, 1.0, &pair);
        y
    });
    let layer = AdditiveAttention::new().dropout(0.4);
    let w = weights_of(&layer, &[&q, &v]);
    let step = layer_step(&layer, &[&q, &v], &refs(&w), Some(WORDS))?;
    check_gradients("AdditiveAttention", &step, &[&q, &v, &w[0]], |at| {
        let mut y = Vec::new();
        for row in 0..samples * queries {
            let query = &at[0][row * size..][..size];
            let values = &at[1][row / queries * keys * size..][..keys * size];
            let sums = |key: &[f64]| -> f64 {
                (0..size).map(|i| at[2][i] * (query[i] + key[i]).tanh()).sum()
            };
            let scores: Vec<f64> = values.chunks(size).map(sums).collect();
            let p = reference::softmax::softmax(&scores, keys);
            let part =
                |key: usize, i: usize| p[key] * factors[row * keys + key] * values[key * size + i];
            y.extend((0..size).map(|i| (0..keys).map(|key| part(key, i)).sum::<f64>()));
        }
        y
    });
    Ok(())
}

/// With a cache of as many places as there are steps, the same words drop the same weights of keys.
#[test]
fn a_cache_drops_what_the_whole_sequence_drops() -> Result<()> {
    let x = numbers(&[2, 5, 4], 1);
    let whole = MultiHeadAttention::new(2, 3).use_causal_mask(true).dropout(0.4);
    let w = weights_of(&whole, &[&x]);
    let want = layer_step(&whole, &[&x], &refs(&w), Some(WORDS))?;
    let (cache, place) = (numbers(&[2, 2, 5, 2, 3], 2), Tensor::u32([2, 1], vec![0, 0])?);
    let of = |rate| {
        let cached = CachedMultiHeadAttention::new(2, 3).dropout(rate);
        layer_step(&cached, &[&x, &cache, &place], &refs(&w), Some(WORDS))
    };
    let got = of(0.4)?;
    assert_close("cached", got.y(), &widen(want.y()), 1e-5, 1e-6);
    // The control: without dropout it is another.
    assert_ne!(of(0.0)?.y(), got.y());
    Ok(())
}

/// A block whose kernels are zero adds its biases, each by what the dropout of its half leaves of it; and, of its first head,
/// the share of the keys' weights that is left, as the weights of keys are equal and the values are 1.
#[test]
fn each_place_of_a_block_draws_numbers_of_its_own() -> Result<()> {
    const BATCH: usize = 3;
    const TIME: usize = 5;
    let (rate, heads, width) = (0.5, 2, 4);
    let x = numbers(&[BATCH, TIME, width], 1);
    for cross in [false, true] {
        let inputs = vec![&x; if cross { 2 } else { 1 }];
        let layer: LayerHandle = match cross {
            false => TransformerEncoder::new(6, heads).normalize_first(true).dropout(rate).into(),
            true => TransformerDecoder::new(6, heads).normalize_first(true).dropout(rate).into(),
        };
        let specs = layer.layer().weights(&samples(&inputs));
        let biases = [
            ("self_attention_layer/attention_output/bias", 1.0),
            ("cross_attention_layer/attention_output/bias", 4.0),
            ("feedforward_output_dense/bias", 16.0),
        ];
        let weight = |spec: &wgrad::layers::WeightSpec| {
            let name = spec.name.as_str();
            let mut values = vec![0.0; spec.shape.len()];
            if let Some((_, bias)) = biases.iter().find(|(own, _)| *own == name) {
                values.fill(*bias);
            } else if name.ends_with("value/bias") {
                values.fill(1.0);
            } else if name.ends_with("attention_output/kernel") {
                // The first number of the first head, for all features.
                values[..width].fill(1.0);
            }
            Tensor::f32(spec.shape.clone(), values)
        };
        let w = specs.iter().map(weight).collect::<Result<Vec<_>>>()?;
        let step = layer_step(layer.layer(), &inputs, &refs(&w), Some(WORDS))?;
        let of = |path: &[&str], len| factors(rate, len, path).unwrap();
        let half = |path| of(&[path], BATCH * TIME * width);
        let keys = |path| of(&[path, "dropout"], BATCH * heads * TIME * TIME);
        let parts = [
            ("self_attention_dropout", half("self_attention_dropout")),
            ("cross_attention_dropout", half("cross_attention_dropout")),
            ("feedforward_dropout", half("feedforward_dropout")),
        ];
        let left = |factors: &[f64], causal: bool, row: usize| {
            let (sample, query) = (row / TIME, row % TIME);
            let count = if causal { query + 1 } else { TIME };
            let line = &factors[(sample * heads * TIME + query) * TIME..][..count];
            line.iter().sum::<f64>() / count as f64
        };
        let (own, other) = (keys("self_attention_layer"), keys("cross_attention_layer"));
        let want = wide(&x).into_iter().enumerate().map(|(i, x)| {
            let row = i / width;
            let mut y = x + parts[0].1[i] * (1.0 + left(&own, cross, row)) + parts[2].1[i] * 16.0;
            if cross {
                y += parts[1].1[i] * (4.0 + left(&other, false, row));
            }
            y
        });
        assert_close("block", step.y(), &want.collect::<Vec<_>>(), 1e-6, 1e-6);
        // All five draw other numbers.
        let all = [&parts[0].1, &parts[1].1, &parts[2].1, &own, &other]
            .map(|f| &f[..BATCH * TIME * width]);
        for i in 0..5 {
            assert!((0..i).all(|j| all[i] != all[j]), "{i}");
        }
        // The gradient of a bias is that of what its dropout leaves.
        let dy = widen(&upstream(0, step.y().len()));
        for ((bias, _), (_, factors)) in biases.iter().zip(&parts) {
            let Some(i) = specs.iter().position(|spec| spec.name == *bias) else { continue };
            let sum = |feature: usize| {
                let terms = dy.iter().zip(factors).skip(feature).step_by(width);
                terms.map(|(d, f)| d * f).sum::<f64>()
            };
            assert_close(
                bias,
                &step.weights[i],
                &(0..width).map(sum).collect::<Vec<_>>(),
                1e-6,
                1e-6,
            );
        }
        assert_close("gradient of the input", &step.inputs[0], &dy, 1e-6, 1e-6);
    }
    Ok(())
}

/// A cell of a recurrence that is a model of these layers, and adds what they give to its state.
fn cell(layer: impl Into<LayerHandle>, shape: &[usize]) -> Result<Rnn> {
    let (x, h) = (input(shape), input(shape));
    let y = x.then(layer.into());
    let model = Model::new([&x, &h], [&y, &merge(Add, [&y, &h])])?;
    Ok(Rnn::new(&model, [shape]).return_sequences(true))
}

/// In a loop each step drops others, and the gradient the same.
#[test]
fn each_step_of_a_loop_drops_others() -> Result<()> {
    let x = numbers(&[3, 4, 5], 1);
    let layer = cell(Dropout::new(0.5), &[5])?;
    let of = |random| layer_step(&layer, &[&x], &[], random);
    let step = of(Some(WORDS))?;
    let (y, d, from) = (step.y(), &step.inputs[0], x.as_f32()?);
    let up = upstream(0, y.len());
    for i in 0..y.len() {
        let factor = y[i] / from[i];
        assert!([0.0, 2.0].contains(&factor), "{i}: {factor}");
        assert_eq!(d[i], factor * up[i], "{i}");
    }
    let mask = |t: usize| -> Vec<bool> {
        (0..3).flat_map(|s| y[(s * 4 + t) * 5..][..5].iter().map(|&v| v == 0.0)).collect()
    };
    for t in 1..4 {
        assert!((0..t).all(|before| mask(t) != mask(before)), "steps of time differ");
    }
    assert_eq!(of(Some(WORDS))?.y(), y);
    assert_ne!(of(Some([7, 2, 4]))?.y(), y);
    assert_eq!(of(None)?.y(), from);
    Ok(())
}

/// Attention in a loop stores its weights: the gradient, from the last step to the first, has the dropout of the way there.
#[test]
fn attention_in_a_loop_drops_the_same_backwards() -> Result<()> {
    let x = numbers(&[2, 3, 5, 4], 1);
    let layer = cell(MultiHeadAttention::new(2, 3).dropout(0.4), &[5, 4])?;
    let w = weights_of(&layer, &[&x]);
    let of = |x: &Tensor, random| layer_step(&layer, &[x], &refs(&w), random);
    let step = of(&x, Some(WORDS))?;
    assert_eq!(of(&x, Some(WORDS))?.y(), step.y());
    assert_ne!(of(&x, Some([7, 2, 4]))?.y(), step.y());
    assert_ne!(of(&x, None)?.y(), step.y());
    // The gradient along a direction, beside differences of the layer itself with the same words.
    let v = uniform(5, x.shape().len(), -1.0, 1.0);
    let up = upstream(0, step.y().len());
    let h = 1.0f32 / 128.0;
    let loss = |h: f32, random| -> Result<f64> {
        let moved = x.as_f32()?.iter().zip(&v).map(|(x, v)| x + h * v);
        let y = of(&Tensor::f32(x.shape(), moved.collect::<Vec<_>>())?, random)?;
        Ok(y.y().iter().zip(&up).map(|(y, d)| f64::from(*y) * f64::from(*d)).sum())
    };
    let along =
        |random| -> Result<f64> { Ok((loss(h, random)? - loss(-h, random)?) / f64::from(2.0 * h)) };
    let got: f64 = step.inputs[0].iter().zip(&v).map(|(d, v)| f64::from(*d) * f64::from(*v)).sum();
    let (want, other) = (along(Some(WORDS))?, along(Some([7, 2, 4]))?);
    let error = |want: f64| (got - want).abs() / want.abs().max(1.0);
    assert!(error(want) < 2e-3, "{got}, not {want}");
    assert!(error(other) > 2e-2, "the control: other words give {other}, and {got} is near");
    Ok(())
}
