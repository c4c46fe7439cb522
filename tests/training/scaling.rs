//! The factor on samples belongs to what was trained.

use super::*;
use support::says;
use wgrad::Result;

const SCALE: f32 = 1.0 / 256.0;

fn bytes(n: usize) -> Tensor {
    Tensor::u8([n, 3], (0..n * 3).map(|i| (i * 37 % 256) as u8).collect::<Vec<_>>()).unwrap()
}

/// The same numbers as floats.
fn floats(n: usize) -> Tensor {
    let x = bytes(n);
    let Data::U8(values) = x.data() else { unreachable!("bytes") };
    Tensor::f32([n, 3], values.iter().map(|&v| f32::from(v)).collect::<Vec<_>>()).unwrap()
}

fn with_targets(x: Tensor) -> TensorDataset {
    let n = x.shape().dims()[0];
    let y: Vec<f32> = (0..n).map(|i| (i as f32).sin()).collect();
    TensorDataset::new(x, Tensor::f32([n, 1], y).unwrap()).unwrap()
}

fn untrained() -> Trainer {
    let model = Sequential::new([3]).add(Dense::new(1));
    compile(&model, Compile::new(Sgd::new(0.01), Loss::MeanSquaredError))
}

fn quiet<'a>() -> Fit<'a> {
    Fit::new().verbose(Verbose::Silent)
}

fn trained(data: &TensorDataset) -> Trainer {
    let mut trainer = untrained();
    trainer.fit(data, quiet().epochs(2)).unwrap();
    trainer
}

#[test]
fn plain_samples_are_scaled_as_those_trained_on() -> Result<()> {
    for x in [bytes(9), floats(9)] {
        let plain = with_targets(x.clone());
        let data = plain.clone().scaled(SCALE)?;
        let mut t = trained(&data);
        let want = t.predict(&data)?;
        assert_eq!(t.predict(&x)?, want);
        assert_eq!(t.predict(std::slice::from_ref(&x))?, want);
        assert_eq!(t.predict_outputs(&x)?, std::slice::from_ref(&want));
        assert_eq!(t.predict(&plain)?, want, "a dataset that was given no scale");
        let given = |scale| Features { x: std::slice::from_ref(&x), scale };
        assert_eq!(t.predict(given(None))?, want);
        assert_eq!(t.predict(given(Some(SCALE)))?, want);
        let raw = t.predict(given(Some(1.0)))?;
        assert_ne!(raw, want, "one that is given counts");
        assert_eq!(t.predict(&plain.clone().scaled(1.0)?)?, raw);
        let loss = t.evaluate(&data)?.loss;
        assert_eq!(t.evaluate(&plain)?.loss, loss);
        assert_eq!(t.test_on_batch(&plain)?.loss, loss);
        assert_ne!(t.evaluate(&plain.clone().scaled(1.0)?)?.loss, loss);
        let says_nan = t.predict(given(Some(f32::NAN))).unwrap_err();
        says(&says_nan, &["scale = NaN", "finite"]);
    }
    Ok(())
}

#[test]
fn validation_and_further_training_are_scaled_too() -> Result<()> {
    let plain = with_targets(bytes(9));
    let data = plain.clone().scaled(SCALE)?;
    let run = |train: [&TensorDataset; 2], validation: &TensorDataset| -> Result<_> {
        let mut t = untrained();
        let first = t.fit(train[0], quiet().validation_data(validation))?;
        let second = t.fit(train[1], quiet())?;
        t.train_on_batch(train[1])?;
        Ok((first.get("val_loss"), second.get("loss"), bits(&t)))
    };
    let want = run([&data, &data], &data)?;
    assert_eq!(run([&data, &plain], &plain)?, want);
    let raw = plain.clone().scaled(1.0)?;
    let other = run([&data, &raw], &raw)?;
    assert!(other.0 != want.0 && other.1 != want.1, "the control");
    // Streams say their scale.
    let mut t = untrained();
    t.fit(std::sync::Arc::new(data.clone()), quiet())?;
    assert_eq!(t.predict(&bytes(9))?, t.predict(&data)?);
    Ok(())
}

#[test]
fn samples_that_say_nothing_of_their_scale_are_refused() -> Result<()> {
    // The meaning of bytes that a model never saw is not known.
    let error = untrained().predict(&bytes(2)).unwrap_err();
    says(&error, &["data `x`", "not trained yet", "u8", "TensorDataset::scaled", "Features"]);
    untrained().predict(&floats(2))?;
    untrained().evaluate(&with_targets(bytes(2)))?;
    // Floats beside scaled bytes may be scaled already.
    let mut t = trained(&with_targets(bytes(9)).scaled(SCALE)?);
    let words = ["trained on u8 times 0.00390625", "these are f32", "1.0 takes the numbers"];
    says(&t.predict(&floats(2)).unwrap_err(), &words);
    says(&t.predict_on_batch(&floats(2)).unwrap_err(), &words);
    says(&t.evaluate(&with_targets(floats(2))).unwrap_err(), &words);
    says(&t.fit(&with_targets(floats(2)), quiet()).unwrap_err(), &words);
    let x = floats(9);
    let scaled = t.predict(Features { x: std::slice::from_ref(&x), scale: Some(SCALE) })?;
    assert_eq!(scaled, t.predict(&bytes(9))?, "256 is exact");
    // Bytes after floats that were taken as they are.
    let mut t = trained(&with_targets(floats(9)));
    says(&t.predict(&bytes(2)).unwrap_err(), &["trained on f32 times 1", "these are u8"]);
    let validated = quiet().validation_data(&*Box::leak(Box::new(with_targets(bytes(2)))));
    says(&t.fit(&with_targets(floats(2)), validated).unwrap_err(), &["these are u8"]);
    t.predict(&floats(2))?;
    // Bytes that were taken as they are: floats are, too.
    let mut t = trained(&with_targets(bytes(9)));
    assert_eq!(t.predict(&floats(9))?, t.predict(&bytes(9))?);
    Ok(())
}
