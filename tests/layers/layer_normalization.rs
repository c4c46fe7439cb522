//! Layer normalization and normalization by the root mean square.

use super::*;
use reference::linalg::transpose;
use reference::norm;
use support::device;
use wgrad::Result;

/// Shape, axes as they are given, and the axes of `[batch, ...]` that are meant.
const CASES: [(&[usize], &[isize], &[usize]); 9] = [
    (&[5, 7], &[-1], &[1]),
    (&[1, 1], &[1], &[1]),
    (&[3, 64], &[-1], &[1]),
    (&[3, 5, 3], &[-1], &[2]),
    (&[3, 5, 4], &[2, 1], &[1, 2]),
    (&[3, 5, 4], &[1], &[1]),
    (&[2, 3, 4, 5], &[-2, -1], &[2, 3]),
    (&[2, 3, 4, 5], &[1, 3], &[1, 3]),
    (&[2, 3, 4, 5], &[1, 2, 3], &[1, 2, 3]),
];

/// `f` on the rows that `axes` make of `x`, with the result in the order of `x`.
fn over(
    x: &[f64],
    shape: &[usize],
    axes: &[usize],
    f: impl Fn(&[f64], usize) -> Vec<f64>,
) -> Vec<f64> {
    let others = (0..shape.len()).filter(|a| !axes.contains(a));
    let order: Vec<usize> = others.chain(axes.iter().copied()).collect();
    let moved: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
    let cols = axes.iter().map(|&a| shape[a]).product();
    let y = f(&transpose(x, shape, &order), cols);
    let back: Vec<usize> =
        (0..shape.len()).filter_map(|a| order.iter().position(|&o| o == a)).collect();
    transpose(&y, &moved, &back)
}

fn row(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|&a| shape[a]).collect()
}

#[test]
fn layer_normalization_agrees_with_the_oracle_in_value_and_gradient() {
    for (shape, given, axes) in CASES {
        for (scale, center) in [(true, true), (true, false), (false, true), (false, false)] {
            let epsilon = if scale { 1e-3 } else { 1e-5 };
            let layer = LayerNormalization::new().axes(given).epsilon(epsilon);
            let layer = layer.scale(scale).center(center);
            let x = numbers(shape, 1);
            let specs = layer.weights(&samples(&[&x]));
            let names: Vec<&str> = specs.iter().map(|s| s.name).collect();
            let all = [("gamma", scale), ("beta", center)];
            let expected: Vec<&str> = all.iter().filter(|a| a.1).map(|a| a.0).collect();
            assert_eq!(names, expected);
            assert!(specs.iter().all(|s| s.shape.dims() == row(shape, axes)), "{specs:?}");
            let weights: Vec<Tensor> =
                (0..specs.len()).map(|i| numbers(&row(shape, axes), 2 + i as u32)).collect();
            let step = layer_step(&layer, &[&x], &refs(&weights), None).unwrap();
            let operands = [vec![&x], refs(&weights)].concat();
            let name = format!("layer normalization {shape:?} {given:?} {scale} {center}");
            check_gradients(&name, &step, &operands, |at| {
                let mut rest = at[1..].iter().map(Vec::as_slice);
                let gamma = if scale { rest.next() } else { None };
                let beta = rest.next();
                over(&at[0], shape, axes, |rows, cols| {
                    norm::layer_norm(rows, cols, gamma, beta, f64::from(epsilon))
                })
            });
            // The gradient of one element alone is zero, and a wrong one would not show.
            let varies = row(shape, axes).iter().product::<usize>() > 1;
            assert_eq!(step.inputs[0].iter().any(|d| d.abs() > 1e-3), varies, "{name}");
        }
    }
}

#[test]
fn rms_normalization_agrees_with_the_oracle_in_value_and_gradient() {
    for (shape, given, axes) in CASES {
        let layer = RmsNormalization::new().axes(given).epsilon(1e-2);
        let (x, scale) = (numbers(shape, 4), numbers(&row(shape, axes), 5));
        let specs = layer.weights(&samples(&[&x]));
        assert_eq!((specs.len(), specs[0].name), (1, "scale"));
        let step = layer_step(&layer, &[&x], &[&scale], None).unwrap();
        let name = format!("rms normalization {shape:?} {given:?}");
        check_gradients(&name, &step, &[&x, &scale], |at| {
            over(&at[0], shape, axes, |rows, cols| norm::rms_norm(rows, cols, Some(&at[1]), 1e-2))
        });
        assert!(step.inputs[0].iter().any(|d| d.abs() > 1e-3), "{name}");
    }
}

/// The defaults are those of Keras 3, by its formulas: (x - mean) / sqrt(variance + 1e-3), x / sqrt(mean x² + 1e-6).
#[test]
fn defaults_are_those_of_keras() -> Result<()> {
    let x = Tensor::f32([1, 4], [1.0, 2.0, 3.0, 4.0])?;
    let start = |layer: &dyn Layer| -> Result<Vec<Tensor>> {
        let fill = |s: &wgrad::layers::WeightSpec| {
            let len = s.shape.len();
            Tensor::f32(&s.shape, s.initializer.fill(len, s.fan_in, s.fan_out, 0, 0))
        };
        layer.weights(&samples(&[&x])).iter().map(fill).collect()
    };
    let (layer, rms) = (LayerNormalization::default(), RmsNormalization::default());
    let step = layer_step(&layer, &[&x], &refs(&start(&layer)?), None)?;
    let root = 1.251f64.sqrt();
    assert_close("layer", step.y(), &[-1.5, -0.5, 0.5, 1.5].map(|v| v / root), 1e-6, 0.0);
    let step = layer_step(&rms, &[&x], &refs(&start(&rms)?), None)?;
    let root = 7.500_001f64.sqrt();
    assert_close("rms", step.y(), &[1.0, 2.0, 3.0, 4.0].map(|v| v / root), 1e-6, 0.0);
    Ok(())
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for axes in [vec![0], vec![3], vec![-3], vec![1, 1], vec![1, -2], vec![]] {
        let layer = LayerNormalization::new().axes(axes.clone());
        says(&refusal("layer_normalization", layer, &[4, 5]), &["axes", &format!("{axes:?}")]);
        let layer = RmsNormalization::new().axes(axes.clone());
        says(&refusal("rms_normalization", layer, &[4, 5]), &["axes", &format!("{axes:?}")]);
    }
    for epsilon in [-1e-3, f32::NAN, f32::INFINITY] {
        let layer = LayerNormalization::new().epsilon(epsilon);
        says(&refusal("layer_normalization", layer, &[4]), &["epsilon", &epsilon.to_string()]);
        let layer = RmsNormalization::new().epsilon(epsilon);
        says(&refusal("rms_normalization", layer, &[4]), &["epsilon", &epsilon.to_string()]);
    }
    let layer = LayerNormalization::new().gamma_initializer(Initializer::Constant(f32::NAN));
    says(&refusal("layer_normalization", layer, &[4]), &["constant", "NaN"]);
    let layer = LayerNormalization::new().beta_regularizer(Regularizer::l2(-1.0));
    says(&refusal("layer_normalization", layer, &[4]), &["l2", "-1"]);
}

/// A model trains with both layers: penalties count, a summary counts weights, a file of weights has them, a short last
/// batch works, and evaluation does the same as training.
#[test]
fn models_with_normalization_train() -> Result<()> {
    let model = || {
        let norm = LayerNormalization::new()
            .gamma_initializer(Initializer::Constant(0.9))
            .beta_initializer(Initializer::Constant(0.1))
            .gamma_regularizer(Regularizer::l2(1e-3))
            .beta_regularizer(Regularizer::l1(1e-3));
        Sequential::new([6])
            .add(Dense::new(16).activation(Activation::Relu))
            .add(norm)
            .add(Dense::new(8))
            .add(RmsNormalization::new())
            .add(Dense::new(1))
            .build()
    };
    let summary = model()?.summary();
    assert!(summary.contains("rms_normalization (RMSNormalization)"), "{summary}");
    // 6 · 16 + 16, 2 · 16, 16 · 8 + 8, 8, 8 + 1.
    assert!(summary.contains("Total params: 297"), "{summary}");
    let x = numbers(&[101, 6], 7);
    let y: Vec<f32> = x.as_f32()?.chunks(6).map(|row| row[0] * row[1] - row[2]).collect();
    let data = TensorDataset::new(x.clone(), Tensor::f32([101, 1], y)?)?;
    let compile = || Compile::new(Adam::new(1e-2), Loss::MeanSquaredError);
    let mut trainer = model()?.compile(device(), compile())?;
    let before = trainer.evaluate(&data)?.loss;
    trainer.fit(&data, Fit::new().epochs(40).batch_size(32))?;
    let after = trainer.evaluate(&data)?.loss;
    assert!(after < 0.2 * before, "from {before} to {after}");
    let weights = trainer.weights()?;
    for name in ["layer_normalization/gamma", "layer_normalization/beta", "rms_normalization/scale"]
    {
        let (_, tensor) = weights.iter().find(|w| w.0 == name).expect("a weight");
        let first = tensor.as_f32()?[0];
        assert!(tensor.as_f32()?.iter().any(|v| (v - first).abs() > 1e-4), "{name} is learned");
    }
    let mut other = model()?.compile(device(), compile())?;
    other.set_weights(&weights.iter().map(|w| w.1.clone()).collect::<Vec<_>>())?;
    assert_eq!(other.predict(&x)?, trainer.predict(&x)?);
    Ok(())
}
