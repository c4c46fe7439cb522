//! Models that only predict: the bits of a trainer, from any number of threads, in the memory of predictions alone.

use super::support::{device, says};
use super::*;
use wgrad::Result;
use wgrad::gpu::{Device, block_on};

/// A model with two hidden layers, a frozen one, and a dropout that does nothing when it predicts.
fn net() -> Sequential {
    Sequential::new([5])
        .add(Dense::new(24).activation(Activation::Gelu))
        .add(Dropout::new(0.5))
        .add(Dense::new(17).activation(Activation::Tanh).frozen())
        .add(Dense::new(3).activation(Activation::Softmax))
}

fn trained() -> Result<Trainer> {
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: false };
    let mut trainer = net().compile(device(), Compile::new(Adam::new(0.01), loss))?;
    trainer.fit(&points(200, 5, 3), Fit::new().epochs(3).verbose(Verbose::Silent))?;
    Ok(trainer)
}

fn samples(n: usize) -> Tensor {
    Tensor::f32([n, 5], random::uniform(n as u32 + 50, n * 5, -2.0, 2.0)).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.as_f32().unwrap().iter().map(|v| v.to_bits()).collect()
}

const fn shared<T: Send + Sync>(_: &T) {}

#[test]
fn eight_threads_get_the_bits_of_one() -> Result<()> {
    let mut trainer = trained()?;
    let predictor = trainer.predictor()?;
    shared(&predictor);
    let sizes = [1, 2, 3, 31, 64, 255, 256, 700];
    let mut wanted = Vec::new();
    for n in sizes {
        wanted.push(bits(&trainer.predict(&samples(n))?));
    }
    assert!(wanted.iter().flatten().any(|&b| b != wanted[0][0]), "predictions differ");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (predictor, wanted) = (&predictor, &wanted);
            scope.spawn(move || {
                for round in 0..6 {
                    // All threads begin with the same size, then each goes on with others.
                    let i = round * thread % sizes.len();
                    let own = predictor.predict(&samples(sizes[i])).unwrap();
                    assert_eq!(bits(&own), wanted[i], "thread {thread}, {} samples", sizes[i]);
                }
            });
        }
    });
    Ok(())
}

#[test]
fn a_predictor_stays_as_it_is_while_its_trainer_goes_on() -> Result<()> {
    let mut trainer = trained()?;
    let predictor = trainer.predictor()?;
    let x = samples(40);
    let before = bits(&predictor.predict(&x)?);
    trainer.fit(&points(200, 5, 3), Fit::new().verbose(Verbose::Silent))?;
    assert_ne!(bits(&trainer.predict(&x)?), before);
    assert_eq!(bits(&predictor.predict(&x)?), before);
    drop(trainer);
    assert_eq!(bits(&predictor.predict(&x)?), before);
    Ok(())
}

#[test]
fn weights_come_from_a_list_or_a_file() -> Result<()> {
    let mut trainer = trained()?;
    let (x, model) = (samples(33), net().build()?);
    let wanted = bits(&trainer.predict(&x)?);
    let listed = Predictor::new(device(), &model, &tensors(&trainer))?;
    assert_eq!(bits(&listed.predict(&x)?), wanted);
    let folder = std::env::temp_dir().join(format!("wgrad-predictor-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (weights, checkpoint) = (folder.join("weights"), folder.join("checkpoint"));
    trainer.save_weights(&weights)?;
    trainer.save_checkpoint(&checkpoint)?;
    for path in [&weights, &checkpoint] {
        let loaded = Predictor::load(device(), &model, path)?;
        assert_eq!(bits(&loaded.predict(&x)?), wanted, "{}", path.display());
    }
    let map = WeightMap::keras().pair("dense/kernel", "elsewhere").skip_missing().skip_surplus();
    let error = Predictor::load_as(device(), &model, &weights, &map).unwrap_err();
    says(&error, &["dense/kernel", "is skipped"]);
    std::fs::remove_dir_all(&folder).unwrap();
    Ok(())
}

#[test]
fn the_factor_on_bytes_comes_with_the_weights() -> Result<()> {
    let (digits, _) = digits();
    let model = Sequential::new([28, 28]).add(Flatten).add(Dense::new(10)).build()?;
    let mut trainer = model.compile(device(), Compile::new(Sgd::new(0.1), SPARSE))?;
    trainer.fit(&digits, Fit::new().verbose(Verbose::Silent))?;
    let x = &digits.features()[0];
    let wanted = bits(&trainer.predict(x)?);
    assert_eq!(bits(&trainer.predictor()?.predict(x)?), wanted);
    let path = std::env::temp_dir().join(format!("wgrad-bytes-{}", std::process::id()));
    trainer.save_weights(&path)?;
    assert_eq!(bits(&Predictor::load(device(), &model, &path)?.predict(x)?), wanted);
    std::fs::remove_file(&path).unwrap();
    let listed = Predictor::new(device(), &model, &tensors(&trainer))?;
    says(&listed.predict(x).unwrap_err(), &["does not know how to scale"]);
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let (trainer, model) = (trained()?, net().build()?);
    let mut weights = tensors(&trainer);
    let predictor = Predictor::new(device(), &model, &weights)?;
    let wrong = Tensor::f32([2, 4], [0.0; 8])?;
    says(&predictor.predict(&wrong).unwrap_err(), &["input", "[2, 4]", "[5]"]);
    says(&predictor.batch_size(0).predict(&samples(1)).unwrap_err(), &["batch_size", "0"]);
    says(&Predictor::new(device(), &model, &weights[1..]).unwrap_err(), &["weights", "6"]);
    weights.swap(0, 1);
    says(&Predictor::new(device(), &model, &weights).unwrap_err(), &["dense/kernel"]);
    Ok(())
}

#[test]
fn memory_is_that_of_predictions_and_is_refused_before_it_is_taken() -> Result<()> {
    let trainer = trained()?;
    let (model, weights) = (net().build()?, tensors(&trainer));
    let limited = |bytes: u64| -> Result<Device> {
        let caps =
            wgrad::kernels::DeviceCaps { memory_bytes: Some(bytes), ..device().caps().clone() };
        Ok(device().with_caps(caps))
    };
    says(&Predictor::new(&limited(100)?, &model, &weights).unwrap_err(), &["weights", "100"]);
    // Room for the weights and a small batch, but not for a large one.
    let predictor = Predictor::new(&limited(200_000)?, &model, &weights)?;
    let small = predictor.predict(&samples(2))?;
    assert_eq!(small.shape(), &Shape::from([2, 3]));
    let error = predictor.predict(&samples(4096)).map(|_| ());
    assert!(error.is_ok(), "a batch has 256 samples at most: {error:?}");
    let predictor = predictor.batch_size(1 << 14);
    says(&predictor.predict(&samples(1 << 14)).unwrap_err(), &["memory", "batch_size"]);
    // What was refused left nothing behind.
    assert_eq!(bits(&predictor.predict(&samples(2))?), bits(&small));
    Ok(())
}

#[test]
fn a_call_that_is_given_up_leaves_a_predictor_that_goes_on() -> Result<()> {
    let predictor = trained()?.predictor()?;
    let x = samples(600);
    let wanted = bits(&predictor.predict(&x)?);
    for polls in 0..12 {
        let mut call = Box::pin(predictor.predict_async(&x));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..polls {
            if call.as_mut().poll(&mut context).is_ready() {
                break;
            }
        }
        drop(call);
        assert_eq!(bits(&block_on(predictor.predict_async(&x))?), wanted, "after {polls} polls");
    }
    Ok(())
}

/// Streams of several windows and a short last one, and of fewer samples than a step has.
#[test]
fn streams_are_predicted_to_the_same_bits() -> Result<()> {
    use std::sync::Arc;
    let mut trainer = trained()?;
    for n in [3, 100, 523] {
        let x = samples(n);
        let data = TensorDataset::new(x.clone(), Tensor::u32([n], vec![0; n])?)?;
        let predictor = trainer.predictor()?.batch_size(32);
        let want = bits(&predictor.predict(&x)?);
        assert_eq!(bits(&predictor.predict(Arc::new(data))?), want, "{n}");
        assert_eq!(want.len(), n * 3);
        assert_eq!(bits(&trainer.predict(&x)?), want);
    }
    let wide = Tensor::f32([4, 6], vec![0.0; 24])?;
    let wide = Arc::new(TensorDataset::new(wide, Tensor::u32([4], vec![0; 4])?)?);
    says(&trainer.predictor()?.predict(wide.clone()).unwrap_err(), &["[5]", "[4, 6]"]);
    let none = trainer.predictor()?.batch_size(0).predict(wide).unwrap_err();
    says(&none, &["batch_size", "at least one sample"]);
    Ok(())
}
