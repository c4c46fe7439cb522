//! Attention: dispatches, masks, groups, and what is refused.

use super::*;
use wgrad::plan::Plan;

/// A layer's output for these inputs and masks, and gradients.
fn step(
    layer: impl Into<LayerHandle>,
    inputs: &[&Tensor],
    weights: &[&Tensor],
    masks: &[Option<Tensor>],
) -> Result<Step> {
    let layer = layer.into();
    differentiate(inputs, weights, [0; 2], None, |g, x, w| {
        let mut given = Vec::new();
        for mask in masks {
            given.push(mask.clone().map(|mask| g.constant_tensor(mask)).transpose()?);
        }
        let specs = layer.layer().weights(&samples(inputs));
        let cx = Context::new("layer", x).tensors(&specs, w).with_masks(&given);
        Ok(cx.apply(g, &layer)?.values)
    })
}

fn weights_of(layer: &dyn Layer, inputs: &[&Tensor]) -> Vec<Tensor> {
    let specs = layer.weights(&samples(inputs));
    let of = |(i, w): (usize, &wgrad::layers::WeightSpec)| numbers(w.shape.dims(), 30 + i as u32);
    specs.iter().enumerate().map(of).collect()
}

/// A query that may attend to no key gives the bias of the output alone, and no gradient is NaN.
#[test]
fn rows_that_are_masked_entirely_give_zero() -> Result<()> {
    let x = numbers(&[2, 5, 4], 1);
    let layer = MultiHeadAttention::new(2, 3).return_attention_scores(true);
    let w = weights_of(&layer, &[&x]);
    let mask = Tensor::f32([2, 5], vec![0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?;
    let got = step(layer, &[&x], &refs(&w), &[Some(mask)])?;
    let bias = w[7].as_f32()?;
    for row in got.y()[..20].chunks(4) {
        assert_eq!(row, bias);
    }
    assert!(got.outputs[1].as_f32()?[..50].iter().all(|&p| p == 0.0));
    assert!(got.y()[20..].chunks(4).all(|row| row != bias), "the other sample attends");
    let all = got.inputs.iter().chain(&got.weights).flatten();
    assert!(all.clone().all(|d| d.is_finite()) && all.clone().any(|d| *d != 0.0));
    Ok(())
}

/// An added mask of 0 and -inf is that of 1 and 0; its gradient reaches it.
#[test]
fn an_added_mask_is_that_of_ones_and_zeros() -> Result<()> {
    let x = numbers(&[2, 4, 4], 2);
    let layer = MultiHeadAttention::new(2, 3).use_causal_mask(true);
    let keep: Vec<f32> = (0..64).map(|i| if i % 3 == 0 { 0.0 } else { 1.0 }).collect();
    let add: Vec<f32> =
        keep.iter().map(|&k| if k > 0.0 { 0.0 } else { f32::NEG_INFINITY }).collect();
    let (keep, add) = (Tensor::f32([2, 2, 4, 4], keep)?, Tensor::f32([2, 2, 4, 4], add)?);
    let of = |mask: &Tensor, kind| {
        let layer = layer.clone().attention_mask(kind);
        let w = weights_of(&layer, &[&x, mask]);
        step(layer, &[&x, mask], &refs(&w), &[])
    };
    let (a, b) = (of(&keep, SoftmaxMask::Keep)?, of(&add, SoftmaxMask::Additive)?);
    assert_close("added", a.y(), &widen(b.y()), 1e-6, 1e-6);
    assert_close("gradient", &a.inputs[0], &widen(&b.inputs[0]), 1e-6, 1e-6);
    let soft = numbers(&[2, 2, 4, 4], 3);
    let soft = of(&soft, SoftmaxMask::Additive)?;
    assert_ne!(soft.y(), b.y());
    assert!(soft.inputs[1].iter().any(|d| *d != 0.0), "a gradient of the mask");
    Ok(())
}

/// Groups are heads of keys that are repeated.
#[test]
fn groups_are_heads_that_share_keys() -> Result<()> {
    let x = numbers(&[2, 5, 4], 4);
    let grouped = GroupedQueryAttention::new(3, 4, 2).use_bias(false);
    let w = weights_of(&grouped, &[&x]);
    let twice = |t: &Tensor| {
        let each: Vec<f32> =
            (t.as_f32().unwrap().chunks(3)).flat_map(|head| [head, head].concat()).collect();
        Tensor::f32([4, 4, 3], each)
    };
    let many = [w[0].clone(), twice(&w[1])?, twice(&w[2])?, w[3].clone()];
    let a = step(grouped, &[&x], &refs(&w), &[])?;
    let b = step(MultiHeadAttention::new(4, 3).use_bias(false), &[&x], &refs(&many), &[])?;
    assert_close("groups", a.y(), &widen(b.y()), 1e-6, 1e-6);
    assert_close("gradient", &a.inputs[0], &widen(&b.inputs[0]), 1e-5, 1e-5);
    Ok(())
}

/// The plan of a layer for a batch of this shape.
fn plan(layer: LayerHandle, shape: [usize; 3]) -> Result<Plan> {
    let model = Sequential::new(&shape[1..]).add(layer).build()?;
    let mut g = Graph::new();
    let x = g.input("x", shape, DType::F32);
    let w: Vec<Value> =
        (model.weights()).map(|(_, w)| g.input(&w.name, w.shape.clone(), DType::F32)).collect();
    let y = model.apply(&mut g, &[x], &w, None)?[0];
    g.output("y", y);
    Plan::compile(&g, &wgrad::passes::Passes::default(), support::device().caps())
}

/// Large heads take products while scores are few, of all samples and heads together; then memory is linear in the
/// length.
#[test]
fn memory_of_large_heads_is_linear_in_the_length() -> Result<()> {
    use wgrad::plan::BufferClass;
    let of = |shape| plan(MultiHeadAttention::new(2, 96).into(), shape);
    for (shape, launches) in
        [([8, 512, 8], 7), ([9, 512, 8], 5), ([1, 1448, 8], 7), ([1, 1449, 8], 5)]
    {
        assert_eq!(of(shape)?.dispatches.len(), launches, "{shape:?}");
    }
    let bytes = |layer: MultiHeadAttention, length| -> Result<f64> {
        let all = plan(layer.into(), [1, length, 8])?.memory();
        let kept = all.iter().filter(|m| m.0 == BufferClass::Activation);
        Ok(kept.map(|m| m.1).sum::<u64>() as f64)
    };
    let layer = || MultiHeadAttention::new(2, 96);
    let (short, long) = (bytes(layer(), 1500)?, bytes(layer(), 3000)?);
    assert!(long <= 2.0 * 1.1 * short, "{short} bytes for 1500, {long} for 3000");
    let stored = |length| bytes(layer().return_attention_scores(true), length);
    let (short, long) = (stored(1500)?, stored(3000)?);
    assert!(long > 3.0 * short, "the control: {short} bytes for 1500, {long} for 3000");
    Ok(())
}

/// Heads are views: three projections, attention and output are a launch each. If its weights are asked for, scores,
/// weights and values are one each, and so they are if heads are too large for one kernel.
#[test]
fn heads_are_not_copied() -> Result<()> {
    let scores = MultiHeadAttention::new(4, 8).return_attention_scores(true);
    for (layer, launches) in [
        (LayerHandle::from(MultiHeadAttention::new(4, 8)), 5),
        (MultiHeadAttention::new(4, 8).use_causal_mask(true).into(), 5),
        (GroupedQueryAttention::new(8, 4, 2).use_causal_mask(true).into(), 5),
        (scores.clone().into(), 7),
        (scores.use_causal_mask(true).into(), 7),
        (MultiHeadAttention::new(2, 132).use_causal_mask(true).into(), 7),
        (MultiHeadAttention::new(2, 96).into(), 7),
        (MultiHeadAttention::new(2, 96).use_causal_mask(true).into(), 5),
    ] {
        let plan = plan(layer, [2, 16, 32])?;
        assert_eq!(plan.dispatches.len(), launches, "{plan}");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let mha = || MultiHeadAttention::new(2, 3);
    let gqa = GroupedQueryAttention::new(3, 4, 3);
    says(&refusal("group_query_attention", gqa, &[5, 4]), &["num_key_value_heads", "3", "4"]);
    says(
        &refusal("transformer_encoder", TransformerEncoder::new(8, 3), &[5, 4]),
        &["num_heads", "3", "4 features"],
    );
    says(&refusal("multi_head_attention", mha(), &[5]), &["[5]", "[time, features]"]);
    says(&refusal("multi_head_attention", mha().dropout(1.0), &[5, 4]), &["dropout"]);
    says(&refusal("multi_head_attention", MultiHeadAttention::new(0, 3), &[5, 4]), &["num_heads"]);
    says(&refusal("position_embedding", PositionEmbedding::new(4), &[5, 4]), &["5 steps", "4"]);
    says(&refusal("rotary_embedding", RotaryEmbedding::new(), &[5, 3]), &["even"]);
    let whole = |layer: LayerHandle, shapes: &[&[usize]]| {
        let inputs: Vec<SymbolicTensor> = shapes.iter().map(|&s| input(s)).collect();
        Model::new(&inputs, [&merge(layer, &inputs)]).unwrap_err()
    };
    let masked = mha().attention_mask(SoftmaxMask::Keep);
    says(&whole(masked.into(), &[&[5, 4], &[5, 6]]), &["multi_head_attention", "[5, 6]", "[5, 5]"]);
    says(&whole(mha().into(), &[&[5, 4], &[6, 4], &[7, 4]]), &["[6, 4]", "[7, 4]"]);
    says(&whole(Attention::new().into(), &[&[5, 4], &[6, 3]]), &["attention", "features"]);
    says(&whole(Attention::new().into(), &[&[5, 4]]), &["query and value"]);
    // Masks of pairs of the blocks.
    let encoder = || TransformerEncoder::new(7, 2).attention_mask(SoftmaxMask::Keep);
    says(&whole(encoder().into(), &[&[5, 4]]), &["TransformerEncoder", "1", "the attention mask"]);
    says(
        &whole(encoder().into(), &[&[5, 4], &[5, 6]]),
        &["transformer_encoder", "[5, 6]", "[5, 5]"],
    );
    let decoder = || TransformerDecoder::new(7, 2).encoder_attention_mask(SoftmaxMask::Keep);
    says(
        &whole(decoder().into(), &[&[5, 4], &[5, 6]]),
        &["transformer_decoder", "2", "an encoder"],
    );
    let wrong = whole(decoder().into(), &[&[5, 4], &[3, 4], &[5, 4]]);
    says(&wrong, &["transformer_decoder", "[5, 4]", "[5, 3]"]);
    let cached = TransformerDecoder::new(7, 2).use_cache(true);
    let cached = cached.decoder_attention_mask(SoftmaxMask::Keep);
    let given: &[&[usize]] = &[&[1, 4], &[2, 5, 2, 2], &[1], &[1, 5]];
    says(&whole(cached.into(), given), &["decoder_attention_mask", "cache"]);
    // A mask of another length.
    let x = numbers(&[2, 5, 4], 1);
    let w = weights_of(&mha(), &[&x]);
    let mask = Tensor::f32([2, 4], vec![1.0; 8]).unwrap();
    let error = step(mha(), &[&x], &refs(&w), &[Some(mask)]).err().unwrap();
    says(&error, &["mask of input 0", "[2, 4]", "[2, 5, 4]"]);
    // An id past the vocabulary.
    let words = LayerHandle::new(ReversibleEmbedding::new(7, 4));
    let ids = input([5]);
    let model = Model::new([&ids], [&ids.then(&words).then(&words)]).unwrap();
    let mut trainer = model
        .compile(support::device(), Compile::new(Adam::new(0.1), Loss::MeanSquaredError))
        .unwrap();
    let past = Tensor::u32([1, 5], vec![0, 1, 2, 7, 3]).unwrap();
    let error = trainer.predict(&past).unwrap_err();
    says(&error, &["layer `reversible_embedding`", "element 3 is 7", "7 ids 0..7"]);
}

#[test]
fn dropout_draws_anew_and_keeps_the_mean() -> Result<()> {
    let x = numbers(&[2, 5, 4], 1);
    let layer = MultiHeadAttention::new(2, 3).dropout(0.5);
    let w = weights_of(&layer, &[&x]);
    let of = |random| layer_step(&layer, &[&x], &refs(&w), random);
    let (still, a, again, b) =
        (of(None)?, of(Some([1, 2, 3]))?, of(Some([1, 2, 3]))?, of(Some([1, 2, 4]))?);
    assert_eq!(a.y(), again.y());
    assert!(a.y() != b.y() && a.y() != still.y());
    Ok(())
}

/// The kernels draw the numbers of a tensor of all weights, and the gradients draw them again: a layer that gives its
/// weights, and so stores them, agrees.
#[test]
fn dropout_is_that_of_stored_weights() -> Result<()> {
    let x = numbers(&[2, 5, 4], 1);
    let layer =
        GroupedQueryAttention::new(3, 4, 2).use_bias(false).use_causal_mask(true).dropout(0.4);
    let w = weights_of(&layer, &[&x]);
    let fused = layer_step(&layer, &[&x], &refs(&w), Some([1, 2, 3]))?;
    let build = |[stream, seed, step]: [u32; 3]| {
        let stored = layer.clone().return_attention_scores(true);
        differentiate(&[&x], &refs(&w), [seed, step], None, |g, x, w| {
            let specs = stored.weights(&[[5, 4].into()]);
            let [seed, step] = ["seed", "step"].map(|word| g.step_param(word, DType::U32));
            let random = Random { seed: seed?, step: step?, stream };
            let cx = Context::new("layer", x).tensors(&specs, w).training_with(Some(random));
            Ok(stored.apply(g, &cx)?.values[..1].to_vec())
        })
    };
    let stored = build([1, 2, 3])?;
    assert_close("values", fused.y(), &widen(stored.y()), 1e-5, 1e-6);
    let all = |step: &Step| [step.inputs.concat(), step.weights.concat()].concat();
    // Sums in another order: their rounding is that of the largest terms.
    let want = widen(&all(&stored));
    let largest = want.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    assert_close("gradients", &all(&fused), &want, 2e-5, 4e-6 * largest);
    assert!(build([1, 2, 4])?.y() != stored.y());
    Ok(())
}
