//! Heads whose queries and keys are turned by their places: the formula, a cache, and what is refused.

use super::*;
use reference::attention::{Extents, Pair, attention};
use reference::linalg::{add_bias, matmul};

const BATCH: usize = 2;
const SIZE: usize = 4;
const HEADS: usize = 2;

fn rotary() -> RotaryEmbedding {
    RotaryEmbedding::new().max_wavelength(20.0).scaling_factor(1.5)
}

/// Heads `[batch, time, heads, SIZE]` of which numbers j and j + SIZE / 2 are one complex number, multiplied by e^(i angle)
/// (Su et al. 2021, equation 34).
fn turned(x: &[f64], time: usize) -> Vec<f64> {
    let half = SIZE / 2;
    let mut y = x.to_vec();
    for (row, head) in y.chunks_mut(SIZE).enumerate() {
        let t = (row / HEADS % time) as f64;
        for j in 0..half {
            let angle = t / (1.5 * 20f64.powf(j as f64 / half as f64));
            let (re, im) = (head[j], head[j + half]);
            head[j] = re * angle.cos() - im * angle.sin();
            head[j + half] = re * angle.sin() + im * angle.cos();
        }
    }
    y
}

/// The layer in f64: query, value (which is the key), and the weights of the four parts.
fn oracle(at: &[Vec<f64>], [queries, keys, width, from]: [usize; 4], causal: bool) -> Vec<f64> {
    let inner = HEADS * SIZE;
    let project = |x: &[f64], part: usize, time, terms| {
        let y = matmul(x, &at[2 + 2 * part], 1, BATCH * time, inner, terms, false, false);
        add_bias(&y, &at[3 + 2 * part])
    };
    let q = turned(&project(&at[0], 0, queries, width), queries);
    let k = turned(&project(&at[1], 1, keys, from), keys);
    let v = project(&at[1], 2, keys, from);
    let e = Extents {
        samples: BATCH,
        queries,
        keys,
        heads: HEADS,
        groups: HEADS,
        size: SIZE,
        value: SIZE,
    };
    let pairs =
        |_, _, query, key| Pair { counts: !causal || key <= query, added: 0.0, factor: 1.0 };
    let [y, _] = attention(&q, &k, &v, e, 1.0 / (SIZE as f64).sqrt(), &pairs);
    let y = matmul(&y, &at[8], 1, BATCH * queries, width, inner, false, false);
    add_bias(&y, &at[9])
}

/// Numbers below 1, so that no softmax is nearly 0 and 1.
fn small(shape: &[usize], seed: u32) -> Tensor {
    let numbers = wide(&numbers(shape, seed)).into_iter().map(|x| 0.5 * x as f32);
    Tensor::f32(shape, numbers.collect::<Vec<f32>>()).unwrap()
}

fn weights(model: &Model) -> Vec<Tensor> {
    let shapes = model.weights().map(|(_, w)| w.shape.clone());
    shapes.zip(40..).map(|(shape, seed)| small(shape.dims(), seed)).collect()
}

/// Values, and the gradient of every operand, of a sequence to another; the causal mask keeps the places of both.
#[test]
fn queries_and_keys_turn_by_their_places() -> Result<()> {
    for causal in [false, true] {
        let inputs = [input([3, 5]), input([4, 3])];
        let layer = MultiHeadAttention::new(HEADS, SIZE).use_causal_mask(causal);
        let model = Model::new(&inputs, [&merge(layer.clone().rotary(rotary()), &inputs)])?;
        let (x, w) = ([small(&[BATCH, 3, 5], 1), small(&[BATCH, 4, 3], 2)], weights(&model));
        let step = model_step(&model, &refs(&x), &refs(&w), None)?;
        let operands: Vec<&Tensor> = x.iter().chain(&w).collect();
        check_gradients("rotary", &step, &operands, |at| oracle(at, [3, 4, 5, 3], causal));
        let plain = Model::new(&inputs, [&merge(layer, &inputs)])?;
        assert_ne!(model_step(&plain, &refs(&x), &refs(&w), None)?.y(), step.y());
    }
    Ok(())
}

/// Piece by piece with a cache, a block gives what it gives for the whole context.
#[test]
fn turned_heads_with_a_cache_are_those_of_the_whole_context() -> Result<()> {
    let block = || TransformerDecoder::new(12, HEADS).normalize_first(true);
    let x = numbers(&[BATCH, 5, 8], 11);
    let all = x.as_f32()?;
    let whole = |block: TransformerDecoder| -> Result<(Vec<f32>, Vec<Tensor>)> {
        let start = input([5, 8]);
        let model = Model::new([&start], [&start.then(block)])?;
        let w = weights(&model);
        let y = Predictor::new(support::device(), &model, &w)?.predict(&x)?;
        Ok((y.as_f32()?.to_vec(), w))
    };
    let (expected, w) = whole(block().rotary(rotary()))?;
    assert_ne!(expected, whole(block())?.0);
    for sizes in [&[1; 5][..], &[2, 3], &[5]] {
        let mut cache = numbers(&[BATCH, 2, 6, HEADS, SIZE], 12);
        let mut rows = vec![Vec::new(); BATCH];
        let mut done = 0;
        for &steps in sizes {
            let inputs = [input([steps, 8]), input([2, 6, HEADS, SIZE]), input([1])];
            let y = merge(block().rotary(rotary()).use_cache(true), &inputs);
            let model = Model::new(&inputs, [&y, &y.output(1)])?;
            let now = (0..BATCH).flat_map(|i| &all[(i * 5 + done) * 8..][..steps * 8]).copied();
            let x = [
                Tensor::f32([BATCH, steps, 8], now.collect::<Vec<f32>>())?,
                cache,
                Tensor::u32([BATCH, 1], [done as u32; BATCH])?,
            ];
            let network = Predictor::new(support::device(), &model, &w)?;
            let mut outputs = network.predict_outputs(x.as_slice())?;
            cache = outputs.remove(1);
            let y = outputs[0].as_f32()?.chunks(steps * 8);
            rows.iter_mut().zip(y).for_each(|(row, y)| row.extend_from_slice(y));
            done += steps;
        }
        assert_close(&format!("{sizes:?}"), &rows.concat(), &widen(&expected), 1e-5, 1e-5);
    }
    Ok(())
}

/// Scores depend on distances: a sequence with the same step everywhere gives the same output in each place.
#[test]
fn groups_turn_too() -> Result<()> {
    let x = input([6, 4]);
    let layer = GroupedQueryAttention::new(SIZE, 4, 2).rotary(rotary());
    let model = Model::new([&x], [&x.then(layer)])?;
    let w = weights(&model);
    let one = numbers(&[4], 3);
    let same = Tensor::f32([1, 6, 4], one.as_f32()?.repeat(6))?;
    let y = Predictor::new(support::device(), &model, &w)?.predict(&same)?;
    let first = widen(&y.as_f32()?[..4]);
    y.as_f32()?.chunks(4).for_each(|row| assert_close("place", row, &first, 1e-5, 1e-5));
    Ok(())
}

#[test]
fn heads_that_cannot_be_turned_are_refused() {
    let odd = MultiHeadAttention::new(2, 3).rotary(rotary());
    says(&refusal("multi_head_attention", odd, &[5, 4]), &["key_dim", "3", "even"]);
    let odd = TransformerEncoder::new(8, 2).rotary(rotary());
    says(&refusal("transformer_encoder", odd, &[5, 6]), &["key_dim", "3", "even"]);
    let wave = RotaryEmbedding::new().max_wavelength(-1.0);
    let layer = MultiHeadAttention::new(2, 4).rotary(wave);
    says(&refusal("multi_head_attention", layer, &[5, 4]), &["max_wavelength", "-1"]);
}
