//! Buckets of a session: a model for each length, of the same layers.

use super::support::device;
use super::*;
use wgrad::Result;
use wgrad::data::{Bucket, bucket_by_length};

/// Sentences of 1 to 8 words, of which the first is the class.
fn sentences() -> Vec<Vec<u32>> {
    let words =
        |i: u32| [vec![1 + i % 2], (0..i * 5 % 8).map(|j| 3 + (i + j) % 6).collect()].concat();
    (0..48).map(words).collect()
}

/// The weights after an epoch of batches of four, bucket after bucket, each as long as `of` says; and the share of
/// sentences that a model of the longest length tells rightly.
fn train(buckets: &[Bucket], of: impl Fn(&Bucket) -> usize) -> Result<(Vec<Tensor>, f64)> {
    let sentences = sentences();
    let layers: [LayerHandle; 3] =
        [Embedding::new(9, 6).mask_zero(true).into(), Lstm::new(6).into(), Dense::new(2).into()];
    let model = |length: usize| {
        let ids = input([length]);
        let y = layers.iter().fold(ids.clone(), |x, layer| x.then(layer));
        Model::new([&ids], [&y])
    };
    let rows = |rows: &[u32], maxlen| {
        let own: Vec<&[u32]> = rows.iter().map(|&row| sentences[row as usize].as_slice()).collect();
        let side = SequenceSide::Post;
        let pad = PadSequences { maxlen: Some(maxlen), padding: side, ..PadSequences::default() };
        let classes: Vec<u32> = own.iter().map(|sentence| sentence[0] - 1).collect();
        Ok::<_, wgrad::Error>((pad_sequences(&own, &pad)?, Tensor::u32([own.len()], classes)?))
    };
    let mut session = Session::new(device(), 5);
    let mut models = Vec::new();
    for bucket in buckets {
        models.push(session.add(&format!("{} words", bucket.length), &model(of(bucket))?)?);
    }
    let adam = session.optimizer(Adam::new(0.03), models.clone())?;
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    for (bucket, &model) in buckets.iter().zip(&models) {
        let length = of(bucket);
        let step = session.step(&format!("train {} words", bucket.length), |s| {
            let ids = s.input("ids", [4, length], DType::U32);
            let class = s.input("class", [4], DType::U32);
            let logits = s.apply(model, &[ids], true)?[0];
            let loss = s.loss(&loss, class, logits)?;
            s.minimize(loss, adam)
        })?;
        for batch in bucket.rows.chunks_exact(4) {
            let (ids, class) = rows(batch, length)?;
            session.run(step, &[("ids", &ids), ("class", &class)])?;
        }
    }
    let own = session.weights(models[0])?.into_iter().map(|(_, weight)| weight).collect();
    let all: Vec<u32> = (0..sentences.len() as u32).collect();
    let (ids, class) = rows(&all, 8)?;
    let logits = session.predictor_of(models[0], &model(8)?)?.predict(&ids)?;
    let told = wgrad::metrics::classes(&logits, 0.5)?;
    let right = told.iter().zip(class.as_u32()?).filter(|(a, b)| a == b).count();
    Ok((own, right as f64 / told.len() as f64))
}

/// Models of two lengths train one set of weights, as one model does that has all sentences padded to the longest: what a
/// mask takes out changes nothing.
#[test]
fn models_of_two_lengths_train_one_set_of_weights() -> Result<()> {
    let lengths: Vec<usize> = sentences().iter().map(Vec::len).collect();
    let buckets = bucket_by_length(&lengths, &[3, 8])?;
    assert_eq!(
        buckets.iter().map(|b| (b.length, b.rows.len())).collect::<Vec<_>>(),
        [(3, 18), (8, 30)]
    );
    let (own, right) = train(&buckets, |bucket| bucket.length)?;
    let (padded, _) = train(&buckets, |_| 8)?;
    for (a, b) in own.iter().zip(&padded) {
        let apart = a.zip_with(b, |a, b| (a - b).abs())?;
        assert!(apart.as_f32()?.iter().all(|&d| d < 1e-4), "{a:?} {b:?}");
    }
    // The control: without one of the buckets the weights are others.
    let (fewer, _) = train(&buckets[1..], |_| 8)?;
    let apart = own[0].zip_with(&fewer[0], |a, b| (a - b).abs())?;
    assert!(apart.as_f32()?.iter().any(|&d| d > 1e-2));
    // One epoch of eleven steps: more than by chance.
    assert!(right > 0.6, "{right}");
    Ok(())
}
