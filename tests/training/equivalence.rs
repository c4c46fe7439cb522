//! Ways to say the same: passes on and off, split arenas, labels and one-hot rows, probabilities and logits.

use super::*;
use reference::compare::assert_close;
use wgrad::Result;
use wgrad::graph::TensorType;
use wgrad::kernels::{DeviceCaps, MatmulFamily};
use wgrad::passes::Passes;
use wgrad::train::Batch;

#[test]
fn each_pass_switched_off_agrees() -> Result<()> {
    let model = Sequential::new([6])
        .add(Dense::new(16).activation(Activation::Gelu).kernel_regularizer(Regularizer::l2(0.01)))
        .add(Dropout::new(0.2))
        .add(Dense::new(3));
    // 80 samples in batches of 16: 20 steps in four epochs.
    let data = points(80, 6, 3);
    let train = |passes| -> Result<Vec<f32>> {
        let settings = Compile::new(Adam::new(0.01), SPARSE).metrics([Metric::Accuracy]);
        let mut trainer = compile(&model, settings.passes(passes));
        trainer.fit(&data, Fit::new().epochs(4).batch_size(16))?;
        assert_eq!(trainer.steps(), 20);
        Ok(flat(&trainer))
    };
    let want = widen(&train(Passes::all())?);
    let off = Passes::each().into_iter().map(|(name, without, _)| (name, without));
    for (name, passes) in off.chain([("all", Passes::none())]) {
        // The same sums in the same order: only roundings inside fused kernels may differ.
        assert_close(&format!("without {name}"), &train(passes)?, &want, 0.0, 1e-5);
    }
    Ok(())
}

#[test]
fn split_arenas_give_the_same_bits() -> Result<()> {
    let data = points(32, 64, 5);
    let model = Sequential::new([64])
        .add(Dense::new(32).activation(Activation::Relu))
        .add(Dense::new(16).activation(Activation::Relu))
        .add(Dense::new(5));
    let train = |caps: DeviceCaps| -> Result<Trainer> {
        let rule = RmsProp { momentum: 0.5, centered: true, ..RmsProp::default() };
        let compile = Compile::new(rule, SPARSE).metrics([Metric::Accuracy]);
        let mut trainer = model.compile(&device().with_caps(caps), compile)?;
        trainer.fit(&data, Fit::new().epochs(3).batch_size(10).validation_data(&data))?;
        Ok(trainer)
    };
    let caps = device().caps();
    let whole = train(caps.clone())?;
    assert_eq!(whole.layout().arenas.len(), 1);
    // The first kernel and the features take 8192 bytes each.
    let split = train(DeviceCaps { max_binding_bytes: 8704, ..caps.clone() })?;
    let arenas: Vec<usize> = split.layout().arenas.iter().map(|a| a.len).collect();
    assert_eq!(arenas, [64 * 32 + 64, 32 * 16 + 64 + 128 + 64]);
    assert_eq!(bits(&whole), bits(&split));
    assert_eq!(whole.weights()?, split.weights()?);
    Ok(())
}

#[test]
fn all_matmul_families_agree() -> Result<()> {
    let caps = device().caps();
    let families = [MatmulFamily::Tiled, MatmulFamily::Direct, MatmulFamily::Broadcast];
    let able = |f: &MatmulFamily| *f != MatmulFamily::Broadcast || caps.can_broadcast();
    let data = points(70, 6, 3);
    let mut weights = Vec::new();
    for matmul in families.into_iter().filter(able) {
        let device = device().with_caps(DeviceCaps { matmul, ..caps.clone() });
        let mut trainer = small(6, 3).compile(&device, Compile::new(Sgd::new(0.1), SPARSE))?;
        trainer.fit(&data, Fit::new().epochs(3))?;
        weights.push(flat(&trainer));
    }
    for other in &weights {
        assert_close("families", other, &widen(&weights[0]), 0.0, 1e-6);
    }
    Ok(())
}

#[test]
fn one_hot_rows_equal_labels() -> Result<()> {
    let data = points(50, 6, 3);
    let rows = reference::compare::narrow(&reference::losses::one_hot(&labels(&data), 3));
    let one_hot = TensorDataset::new(data.x().clone(), Tensor::f32([50, 3], rows)?)?;
    for from_logits in [true, false] {
        let output = if from_logits { Activation::Linear } else { Activation::Softmax };
        let model = small(6, 3).add(output);
        let train = |loss: Loss, data: &TensorDataset| -> Result<(Vec<f32>, f64, f64)> {
            let settings = Compile::new(Adam::new(0.02), loss).metrics([Metric::Accuracy]);
            let mut trainer = compile(&model, settings);
            let history = trainer.fit(data, Fit::new().epochs(5))?;
            let last = &history.epochs[4];
            Ok((flat(&trainer), last.get("loss").unwrap(), last.get("accuracy").unwrap()))
        };
        let a = train(Loss::SparseCategoricalCrossentropy { from_logits }, &data)?;
        let b = train(Loss::CategoricalCrossentropy { from_logits }, &one_hot)?;
        assert_close("weights", &a.0, &widen(&b.0), 0.0, 1e-5);
        assert_close("loss", &[a.1 as f32], &[b.1], 1e-6, 0.0);
        assert_eq!(a.2, b.2, "accuracy, from_logits {from_logits}");
    }
    Ok(())
}

#[test]
fn probabilities_equal_logits() -> Result<()> {
    let data = points(50, 6, 3);
    let bits: Vec<f32> = labels(&data).iter().map(|&l| if l == 0 { 1.0 } else { 0.0 }).collect();
    let binary = TensorDataset::new(data.x().clone(), Tensor::f32([50, 1], bits)?)?;
    let sparse = |from_logits| Loss::SparseCategoricalCrossentropy { from_logits };
    let bce = |from_logits| Loss::BinaryCrossentropy { from_logits };
    type Make<'a> = &'a dyn Fn(bool) -> Loss;
    let cases: [(Make, Activation, &TensorDataset, usize); 2] =
        [(&sparse, Activation::Softmax, &data, 3), (&bce, Activation::Sigmoid, &binary, 1)];
    for (loss, output, data, units) in cases {
        let mut results = Vec::new();
        for from_logits in [true, false] {
            let mut model = Sequential::new([6]).add(Dense::new(units));
            if !from_logits {
                model = model.add(output);
            }
            let settings = Compile::new(Sgd::new(0.2), loss(from_logits));
            let mut trainer = compile(&model, settings.metrics([Metric::Accuracy]));
            trainer.fit(data, Fit::new().epochs(5).batch_size(8))?;
            results.push((flat(&trainer), trainer.evaluate(data)?));
        }
        let name = output.name();
        assert_close(name, &results[1].0, &widen(&results[0].0), 0.0, 1e-5);
        assert_close(name, &[results[1].1.loss as f32], &[results[0].1.loss], 1e-5, 0.0);
        assert_eq!(results[1].1.metrics, results[0].1.metrics, "{name}");
    }
    Ok(())
}

#[test]
fn a_model_without_parameters_evaluates_and_fits() -> Result<()> {
    let data = points(40, 3, 3);
    let model = Sequential::new([3]).add(Activation::Softmax);
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: false };
    let mut trainer = compile(&model, Compile::new(Adam::default(), loss));
    assert!(trainer.weights()?.is_empty());
    let want = reference::softmax::softmax(&features(&data), 3);
    assert_close("softmax", trainer.predict(&data)?.as_f32()?, &want, 1e-6, 1e-6);
    let before = trainer.evaluate(&data)?;
    let losses = reference::losses::sparse_categorical_crossentropy(&labels(&data), &want, 3);
    let want = reference::losses::batch_mean(&losses);
    assert_close("loss", &[before.loss as f32], &[want], 1e-6, 1e-6);
    // There is nothing to learn, and nothing breaks.
    trainer.fit(&data, Fit::new().epochs(2))?;
    assert_eq!(trainer.evaluate(&data)?, before);
    Ok(())
}

/// Gather, two products forward, the loss with its numbers, three products backward, the update.
#[test]
fn a_step_of_two_layers_is_eight_dispatches() -> Result<()> {
    let model = Sequential::new([784])
        .add(Dense::new(128).activation(Activation::Relu))
        .add(Dense::new(10));
    let x = TensorType { shape: [64, 784].into(), dtype: DType::U8 };
    let y = TensorType { shape: [64].into(), dtype: DType::U32 };
    // On this adapter, and on any GPU: there too no sum is split.
    for caps in [device().caps().clone(), DeviceCaps::webgpu_defaults()] {
        let settings = Compile::new(Adam::default(), SPARSE).metrics([Metric::Accuracy]);
        let trainer = model.compile(&device().with_caps(caps), settings)?;
        for size in [32, 64] {
            let batch = Batch::new("train", x.clone(), y.clone(), size, 2);
            assert_eq!(trainer.plan(&batch, true)?.dispatches.len(), 8);
        }
    }
    Ok(())
}

/// A layer of one unit, or of one input, takes no launch more than another: its bias's gradient is a sum that its kernel's gradient
/// gives, too.
#[test]
fn layers_of_one_unit_are_as_many_dispatches() -> Result<()> {
    let dispatches = |[inputs, hidden, outputs]: [usize; 3]| {
        let model = Sequential::new([inputs])
            .add(Dense::new(hidden).activation(Activation::Relu))
            .add(Dense::new(outputs));
        let trainer = compile(&model, Compile::new(Sgd::new(0.1), Loss::MeanSquaredError));
        let of = |width: usize| TensorType { shape: [64, width].into(), dtype: DType::F32 };
        let batch = Batch::new("train", of(inputs), of(outputs), 32, 2);
        Ok(trainer.plan(&batch, true)?.dispatches.len())
    };
    let usual = dispatches([5, 7, 3])?;
    for widths in [[5, 7, 1], [5, 1, 3], [1, 7, 3], [1, 7, 1], [5, 1, 1], [1, 1, 1]] {
        let seen: Result<usize> = dispatches(widths);
        assert!(seen? <= usual, "{widths:?}");
    }
    Ok(())
}

/// Clipping and penalties work on whole arenas: what they add does not grow with the layers.
#[test]
fn clipping_and_penalties_add_the_same_dispatches_at_any_depth() -> Result<()> {
    let x = TensorType { shape: [64, 20].into(), dtype: DType::F32 };
    let y = TensorType { shape: [64].into(), dtype: DType::U32 };
    let batch = Batch::new("train", x, y, 32, 2);
    let dispatches = |depth: usize, clip: Option<Clip>, penalty: Regularizer| -> Result<usize> {
        let layer = |units| Dense::new(units).kernel_regularizer(penalty);
        let hidden = |model: Sequential, _| model.add(layer(30).activation(Activation::Tanh));
        let model = (0..depth).fold(Sequential::new([20]), hidden).add(layer(5));
        let mut settings = Compile::new(Adam::default(), SPARSE);
        if let Some(clip) = clip {
            settings = settings.clip(clip);
        }
        Ok(compile(&model, settings).plan(&batch, true)?.dispatches.len())
    };
    let plain = Regularizer::default();
    for (clip, penalty, most) in [
        (Some(Clip::Value(0.1)), plain, 0),
        (Some(Clip::Norm(0.1)), plain, 6),
        (Some(Clip::GlobalNorm(0.1)), plain, 4),
        (None, Regularizer::l2(0.1), 8),
        (None, Regularizer::l1_l2(0.1, 0.1), 14),
    ] {
        let added = |depth| -> Result<usize> {
            Ok(dispatches(depth, clip, penalty)? - dispatches(depth, None, plain)?)
        };
        // Long sums take two dispatches.
        let (shallow, deep) = (added(8)?, added(24)?);
        assert_eq!(shallow, deep, "{clip:?}, {penalty:?}");
        assert!(deep <= most, "{clip:?}, {penalty:?}: {deep} more");
    }
    Ok(())
}
