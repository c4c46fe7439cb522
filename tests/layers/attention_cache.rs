//! Attention with a cache: it gives what the whole sequence gives, whatever the cache had before.

use super::*;

const STEPS: usize = 7;
const LENGTH: usize = 9;

/// A small GPT with tied weights, and the same with a cache: `steps` ids, their place, and a cache for each block.
fn whole() -> Result<Model> {
    let words = LayerHandle::new(ReversibleEmbedding::new(11, 6));
    let ids = input([STEPS]);
    let x = ids.then(&words);
    let mut x = merge(Add, [&x, &x.then(PositionEmbedding::new(LENGTH))]);
    for _ in 0..2 {
        x = x.then(block());
    }
    Model::new([&ids], [&x.then(LayerNormalization::new()).then(&words)])
}

fn block() -> TransformerDecoder {
    TransformerDecoder::new(8, 2).activation(Activation::Gelu).normalize_first(true)
}

fn in_pieces(steps: usize) -> Result<Model> {
    let words = LayerHandle::new(ReversibleEmbedding::new(11, 6));
    let (ids, places) = (input([steps]), input([steps]));
    let first = input([1]);
    let caches = [input([2, LENGTH, 2, 3]), input([2, LENGTH, 2, 3])];
    let mut x = merge(Add, [&ids.then(&words), &places.then(Embedding::new(LENGTH, 6))]);
    let mut kept = Vec::new();
    for cache in &caches {
        let y = merge(block().use_cache(true), [&x, cache, &first]);
        (kept, x) = ([kept, vec![y.output(1)]].concat(), y);
    }
    let logits = x.then(LayerNormalization::new()).then(&words);
    let inputs = [&ids, &places, &first, &caches[0], &caches[1]];
    Model::new(inputs, [&logits, &kept[0], &kept[1]])
}

fn weights(model: &Model) -> Vec<Tensor> {
    let shapes = model.weights().map(|(_, w)| w.shape.clone());
    shapes.zip(60..).map(|(shape, seed)| numbers(shape.dims(), seed)).collect()
}

/// Logits for ids that come in pieces of `sizes`; places are `wrong` too high.
fn logits(ids: &[u32], sizes: &[usize], wrong: u32) -> Result<Vec<f32>> {
    let batch = ids.len() / STEPS;
    let weights = weights(&whole()?);
    // What a cache has at first does not count.
    let mut caches = [numbers(&[batch, 2, LENGTH, 2, 3], 1), numbers(&[batch, 2, LENGTH, 2, 3], 2)];
    let mut all = vec![Vec::new(); batch];
    let mut done = 0;
    for &steps in sizes {
        let network = Predictor::new(support::device(), &in_pieces(steps)?, &weights)?;
        let of = |row: &[u32]| row[done..done + steps].to_vec();
        let now: Vec<u32> = ids.chunks(STEPS).flat_map(of).collect();
        let places: Vec<u32> =
            (0..batch).flat_map(|_| done as u32..(done + steps) as u32).collect();
        let first = vec![done as u32 + wrong; batch];
        let [a, b] = caches.clone();
        let x = [
            Tensor::u32([batch, steps], now)?,
            Tensor::u32([batch, steps], places)?,
            Tensor::u32([batch, 1], first)?,
            a,
            b,
        ];
        let mut outputs = network.predict_outputs(x.as_slice())?;
        let (b, a) = (outputs.pop().unwrap(), outputs.pop().unwrap());
        caches = [a, b];
        let rows = outputs[0].as_f32()?.chunks(steps * 11);
        all.iter_mut().zip(rows).for_each(|(all, row)| all.extend_from_slice(row));
        done += steps;
    }
    Ok(all.concat())
}

/// One step at a time, in pieces, and all at once: the logits of each position are those of the whole context.
#[test]
fn cached_logits_are_those_of_the_whole_context() -> Result<()> {
    let ids: Vec<u32> = (0..3 * STEPS as u32).map(|i| (i * i + 3) % 11).collect();
    let model = whole()?;
    let network = Predictor::new(support::device(), &model, &weights(&model))?;
    let expected = network.predict(&Tensor::u32([3, STEPS], ids.clone())?)?;
    let expected = widen(expected.as_f32()?);
    for sizes in [&[1; STEPS][..], &[3, 1, 2, 1], &[STEPS]] {
        assert_close(&format!("{sizes:?}"), &logits(&ids, sizes, 0)?, &expected, 1e-5, 1e-5);
    }
    // The comparison sees a step that goes to another place.
    let off = logits(&ids, &[1; STEPS], 1)?;
    let most =
        off.iter().zip(&expected).fold(0.0_f64, |m, (a, b)| m.max((f64::from(*a) - b).abs()));
    assert!(most > 1e-2, "{most}");
    Ok(())
}

/// An encoder's output is read by every piece.
#[test]
fn a_decoder_with_a_cache_sees_the_encoder() -> Result<()> {
    let (x, memory) = (numbers(&[2, 4, 6], 3), numbers(&[2, 5, 3], 4));
    let plain = TransformerDecoder::new(8, 2);
    let w: Vec<Tensor> = plain
        .weights(&samples(&[&x, &memory]))
        .iter()
        .zip(70..)
        .map(|(w, seed)| numbers(w.shape.dims(), seed))
        .collect();
    let expected = layer_step(&plain, &[&x, &memory], &refs(&w), None)?;
    let (cache, place) = (numbers(&[2, 2, 4, 2, 3], 5), Tensor::u32([2, 1], vec![0, 0])?);
    let cached =
        layer_step(&plain.use_cache(true), &[&x, &memory, &cache, &place], &refs(&w), None)?;
    assert_close("cached", cached.y(), &widen(expected.y()), 1e-5, 1e-5);
    Ok(())
}

/// Samples may be at different places, and gradients are those of attention to the whole sequence. Of the old cache only the
/// entries that a step sees have one.
#[test]
fn samples_have_places_of_their_own_and_gradients() -> Result<()> {
    let x = numbers(&[2, 3, 4], 6);
    let layer = CachedMultiHeadAttention::new(2, 3);
    let plain = MultiHeadAttention::new(2, 3).use_causal_mask(true);
    let w: Vec<Tensor> = plain
        .weights(&samples(&[&x]))
        .iter()
        .zip(80..)
        .map(|(w, seed)| numbers(w.shape.dims(), seed))
        .collect();
    let of = |places: [u32; 2]| {
        let inputs = [&x, &numbers(&[2, 2, 5, 2, 3], 7), &Tensor::u32([2, 1], places.to_vec())?];
        differentiate(&inputs, &refs(&w), [0; 2], None, |g, x, w| {
            let handle = LayerHandle::from(layer.clone());
            let cx = Context::new("layer", x).tensors(&layer.weights(&samples(&inputs)), w);
            Ok(cx.apply(g, &handle)?.values[..1].to_vec())
        })
    };
    let (whole, both) = (layer_step(&plain, &[&x], &refs(&w), None)?, of([0, 2])?);
    let start = of([0, 0])?;
    assert_close("outputs", start.y(), &widen(whole.y()), 1e-5, 1e-5);
    assert_close("of x", &start.inputs[0], &widen(&whole.inputs[0]), 1e-4, 1e-4);
    for (i, (a, b)) in start.weights.iter().zip(&whole.weights).enumerate() {
        assert_close(&format!("of weight {i}"), a, &widen(b), 1e-4, 1e-4);
    }
    assert_eq!(both.y()[..12], start.y()[..12], "the first sample begins in both");
    assert!(both.y()[12..] != start.y()[12..], "the second sees what is before it");
    // Keys, then values, of each sample: 5 entries of 6 numbers.
    let entries = both.inputs[1].chunks(6).map(|d| d.iter().any(|d| *d != 0.0));
    let seen = [true, true, false, false, false];
    assert_eq!(entries.collect::<Vec<_>>(), [[false; 10].as_slice(), &seen, &seen].concat());
    assert!(both.inputs[1].iter().all(|d| d.is_finite()));
    Ok(())
}

#[test]
fn a_cache_that_does_not_fit_is_refused_by_name() -> Result<()> {
    let layer = || CachedMultiHeadAttention::new(2, 3);
    let refused = |layer: LayerHandle, shapes: &[&[usize]]| {
        let inputs: Vec<SymbolicTensor> = shapes.iter().map(|&s| input(s)).collect();
        Model::new(&inputs, [&merge(layer, &inputs)]).unwrap_err()
    };
    let name = "cached_multi_head_attention";
    says(&refused(layer().into(), &[&[1, 4]]), &["CachedMultiHeadAttention", "1", "place"]);
    let cache = refused(layer().into(), &[&[1, 4], &[2, 5, 3, 3], &[1]]);
    says(&cache, &[name, "[2, 5, 3, 3]", "[2, length, 2, 3]"]);
    says(&refused(layer().into(), &[&[6, 4], &[2, 5, 2, 3], &[1]]), &[name, "6 steps", "5 places"]);
    says(&refused(layer().into(), &[&[1, 4], &[2, 5, 2, 3], &[2]]), &[name, "place", "[1]"]);
    says(&refused(layer().into(), &[&[4], &[2, 5, 2, 3], &[1]]), &[name, "[time, features]"]);
    let block = || TransformerDecoder::new(8, 2).use_cache(true);
    says(&refused(block().into(), &[&[1, 4], &[5, 4]]), &["transformer_decoder", "2", "use_cache"]);
    let ahead = block().use_causal_mask(false);
    says(&refused(ahead.into(), &[&[1, 4], &[2, 5, 2, 2], &[1]]), &["use_causal_mask"]);

    // A mask, which the cache would forget.
    let (ids, cache, place) = (input([1]), input([2, 5, 2, 3]), input([1]));
    let x = ids.then(Embedding::new(7, 4).mask_zero(true));
    let masked = Model::new([&ids, &cache, &place], [&merge(layer(), [&x, &cache, &place])])?;
    let masked = Predictor::new(support::device(), &masked, &weights(&masked))?;
    let [id, place] = [1, 0].map(|id| Tensor::u32([1, 1], vec![id]).unwrap());
    let error = masked.predict([id, numbers(&[1, 2, 5, 2, 3], 1), place].as_slice()).unwrap_err();
    says(&error, &[name, "mask", "mask_zero"]);

    // A place without room for all steps, and one that is no id.
    let inputs = [input([2, 4]), input([2, 5, 2, 3]), input_named("place", [1])];
    let model = Model::new(&inputs, [&merge(layer(), &inputs)])?;
    let network = Predictor::new(support::device(), &model, &weights(&model))?;
    let at = |place: Tensor| {
        network.predict([numbers(&[1, 2, 4], 1), numbers(&[1, 2, 5, 2, 3], 2), place].as_slice())
    };
    assert!(at(Tensor::u32([1, 1], vec![3])?).is_ok());
    says(&at(Tensor::u32([1, 1], vec![4])?).unwrap_err(), &["place", "4", "0..4"]);
    says(&at(Tensor::f32([1, 1], vec![1.0])?).unwrap_err(), &["place", "u32"]);
    Ok(())
}
