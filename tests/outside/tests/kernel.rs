//! A kernel from outside trains as the same formula of the library's functions does.

use outside::SoftClip;
use wgrad::layers::Lambda;
use wgrad::prelude::*;
use wgrad::{Error, Result};

const LIMIT: f32 = 0.75;

fn data() -> Result<TensorDataset> {
    let x: Vec<f32> = (0..22).map(|i| (i as f32 * 0.7).sin() * 2.0).collect();
    let y: Vec<f32> = (0..11).map(|i| (i as f32 * 0.3).cos()).collect();
    TensorDataset::new(Tensor::f32([11, 2], x)?, Tensor::f32([11, 1], y)?)
}

/// The same function of the library's own.
fn composed() -> Lambda {
    Lambda::new(|g, x| {
        let size = g.unary("abs", x[0], &[])?;
        let part = g.scale(size, 1.0 / LIMIT)?;
        let one = g.constant(1.0);
        let s = g.add(part, one)?;
        g.div(x[0], s)
    })
}

fn weights(model: Sequential, epochs: usize) -> Result<Vec<f32>> {
    let compile = Compile::new(Sgd::new(0.05), Loss::MeanSquaredError);
    let mut trainer = model.compile(&Device::new()?, compile)?;
    // The last batch is short: it has a plan of its own, and lengths of its own in the kernel.
    trainer.fit(&data()?, Fit::new().epochs(epochs).batch_size(4).verbose(Verbose::Silent))?;
    let mut all = Vec::new();
    for (_, tensor) in trainer.weights()? {
        all.extend_from_slice(tensor.as_f32()?);
    }
    Ok(all)
}

#[test]
fn a_kernel_with_gradient_trains() -> Result<()> {
    let model = || Sequential::new([2]).add(Dense::new(5));
    let clip = SoftClip { limit: LIMIT };
    let own = weights(model().add(clip).add(Dense::new(1)), 3)?;
    let composed = weights(model().add(composed()).add(Dense::new(1)), 3)?;
    assert_eq!(own.len(), composed.len());
    for (a, b) in own.iter().zip(&composed) {
        assert!((a - b).abs() < 1e-5, "{own:?}\n{composed:?}");
    }
    // Without the activation it is another function.
    let linear = weights(model().add(Dense::new(1)), 3)?;
    assert!(own.iter().zip(&linear).any(|(a, b)| (a - b).abs() > 1e-3));
    for _ in 0..3 {
        assert_eq!(weights(model().add(clip).add(Dense::new(1)), 3)?, own);
    }
    Ok(())
}

#[test]
fn a_bad_setting_names_the_layer() {
    let model = Sequential::new([2]).add(SoftClip { limit: 0.0 }).add(Dense::new(1));
    let error = model.build().unwrap_err();
    assert!(matches!(&error, Error::Parameter { layer, .. } if layer == "soft_clip"), "{error}");
}
