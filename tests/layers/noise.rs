//! AlphaDropout and GaussianNoise.

use super::*;
use reference::layers::alpha_dropout;
use wgrad::passes::Passes;
use wgrad::plan::Plan;

const SETTING: [u32; 3] = [9, 5, 11];

/// Standard normal numbers of this shape.
fn standard(shape: &[usize]) -> Tensor {
    let x = normal(shape.iter().product(), [0, 0, 0]);
    Tensor::f32(shape, x.iter().map(|&v| v as f32).collect::<Vec<_>>()).unwrap()
}

#[test]
fn alpha_dropout_agrees_with_the_oracle_in_value_and_gradient() {
    for rate in [0.1f32, 0.5, 0.9] {
        for shape in [&[5, 7][..], &[1], &[2, 3, 5]] {
            let x = numbers(shape, 1);
            let u = drawn(x.shape().len(), SETTING);
            let keep: Vec<bool> = u.iter().map(|&u| u >= f64::from(rate)).collect();
            let layer = AlphaDropout::new(rate);
            let step = layer_step(&layer, &[&x], &[], Some(SETTING)).unwrap();
            check_gradients(&format!("AlphaDropout {rate}"), &step, &[&x], |at| {
                alpha_dropout(&at[0], &keep, rate.into())
            });
        }
    }
}

#[test]
fn alpha_dropout_keeps_mean_and_variance() {
    let x = standard(&[500, 1000]);
    for rate in [0.05f32, 0.25, 0.5, 0.8] {
        let step = layer_step(&AlphaDropout::new(rate), &[&x], &[], Some(SETTING)).unwrap();
        let (mean, variance) = moments(step.y());
        // Standard errors: 1 / sqrt(500,000) = 0.0014 of the mean, and below 0.003 of the variance.
        assert!(mean.abs() < 0.008, "rate {rate}: mean {mean}");
        assert!((variance - 1.0).abs() < 0.015, "rate {rate}: variance {variance}");
        let dropped = step.inputs[0].iter().filter(|&&d| d == 0.0).count() as f64 / 5e5;
        assert!((dropped - f64::from(rate)).abs() < 0.004, "rate {rate}: {dropped} dropped");
    }
    // Plain dropout of the same rate doubles the variance: the check can fail.
    let step = layer_step(&Dropout::new(0.5), &[&x], &[], Some(SETTING)).unwrap();
    assert!((moments(step.y()).1 - 1.0).abs() > 0.5);
    draws_anew(&AlphaDropout::new(0.5), &x);
}

#[test]
fn alpha_dropout_drops_the_same_elements_forward_and_backward() {
    let x = numbers(&[40, 50], 2);
    let step = layer_step(&AlphaDropout::new(0.3), &[&x], &[], Some(SETTING)).unwrap();
    let gone = step.inputs[0].iter().position(|&d| d == 0.0).expect("a dropped element");
    let floor = step.y()[gone];
    for (y, d) in step.y().iter().zip(&step.inputs[0]) {
        assert_eq!(*y == floor, *d == 0.0, "a dropped element has no gradient, others have one");
    }
}

#[test]
fn gaussian_noise_agrees_with_the_oracle_and_lets_gradients_through() {
    for (stddev, shape) in [(0.5f32, &[5, 7][..]), (2.0, &[1]), (1e-3, &[2, 3, 5])] {
        let x = numbers(shape, 3);
        let noise = normal(x.shape().len(), SETTING);
        let layer = GaussianNoise::new(stddev);
        let step = layer_step(&layer, &[&x], &[], Some(SETTING)).unwrap();
        let want: Vec<f64> =
            wide(&x).iter().zip(&noise).map(|(x, n)| x + f64::from(stddev) * n).collect();
        // The logarithm and the cosine behind a normal number: 1e-5 of it at most.
        assert_close("GaussianNoise", step.y(), &want, 1e-6, f64::from(stddev) * 2e-5);
        assert_eq!(step.inputs[0], upstream(0, x.shape().len()));
    }
}

#[test]
fn gaussian_noise_has_its_mean_and_deviation() {
    let x = Tensor::f32([500, 1000], vec![0.25; 500_000]).unwrap();
    let step = layer_step(&GaussianNoise::new(0.5), &[&x], &[], Some(SETTING)).unwrap();
    let (mean, variance) = moments(step.y());
    // Standard errors 0.5 / sqrt(n) = 7e-4 and 0.25 sqrt(2 / n) = 5e-4.
    assert!((mean - 0.25).abs() < 3.5e-3, "mean {mean}");
    assert!((variance - 0.25).abs() < 2.5e-3, "variance {variance}");
    draws_anew(&GaussianNoise::new(0.5), &x);
}

#[test]
fn both_are_the_identity_at_evaluation_and_where_they_disturb_nothing() {
    let x = numbers(&[6, 11], 4);
    let layers: [(&dyn Layer, Option<[u32; 3]>); 4] = [
        (&AlphaDropout::new(0.5), None),
        (&GaussianNoise::new(1.0), None),
        (&AlphaDropout::new(0.0), Some(SETTING)),
        (&GaussianNoise::new(0.0), Some(SETTING)),
    ];
    for (layer, random) in layers {
        let step = layer_step(layer, &[&x], &[], random).unwrap();
        assert_eq!(step.y(), x.as_f32().unwrap(), "{layer:?}");
        assert_eq!(step.inputs[0], upstream(0, 66), "{layer:?}");
    }
}

#[test]
fn bad_settings_name_the_layer() {
    for rate in [-0.1, 1.0, 2.0, f32::NAN, f32::INFINITY] {
        let error = refusal("alpha_dropout", AlphaDropout::new(rate), &[4]);
        assert!(matches!(error, Error::Parameter { .. }));
        says(&error, &[&format!("rate = {rate}"), "[0, 1)"]);
    }
    for stddev in [-0.1, f32::NAN, f32::INFINITY] {
        let error = refusal("gaussian_noise", GaussianNoise::new(stddev), &[4]);
        assert!(matches!(error, Error::Parameter { .. }));
        says(&error, &[&format!("stddev = {stddev}"), "0 or more"]);
    }
}

/// Every layer of a model draws different numbers, and so does every use of a shared one.
#[test]
fn layers_and_uses_draw_different_numbers() {
    let x = input([100]);
    let shared = LayerHandle::new(GaussianNoise::new(1.0));
    let ends = [
        x.then(GaussianNoise::new(1.0)),
        x.then(GaussianNoise::new(1.0)),
        x.then(&shared),
        x.then(&shared),
    ];
    let model = Model::new([&x], &ends).unwrap();
    let names: Vec<&str> = model.layers().iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["gaussian_noise", "gaussian_noise_1", "gaussian_noise_2"]);
    let zeros = Tensor::f32([3, 100], vec![0.0; 300]).unwrap();
    let step = model_step(&model, &[&zeros], &[], Some([1, 2])).unwrap();
    for i in 0..4 {
        for j in 0..i {
            assert_ne!(step.outputs[i], step.outputs[j], "outputs {i} and {j}");
        }
    }
}

/// The kernel of a dense layer that adds the noise draws the numbers of one that only adds noise.
#[test]
fn noise_is_the_same_in_the_epilogue_of_a_product() {
    let model = Sequential::new([5]).add(Dense::new(9)).add(GaussianNoise::new(1.0));
    let model = model.build().unwrap();
    let weights =
        [Tensor::f32([5, 9], vec![0.0; 45]).unwrap(), Tensor::f32([9], [0.0; 9]).unwrap()];
    let x = numbers(&[7, 5], 5);
    let got = model_step(&model, &[&x], &refs(&weights), Some([5, 11])).unwrap();
    // FNV-1a of the layer's name.
    let hash = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    let stream = b"gaussian_noise".iter().fold(0xcbf2_9ce4_8422_2325, |h, &b| hash(h, b)) as u32;
    assert_close("noise", got.y(), &normal(63, [stream, 5, 11]), 1e-5, 1e-5);
    let mut g = Graph::new();
    let values = [&x, &weights[0], &weights[1]]
        .map(|t| g.input(&t.shape().to_string(), t.shape(), DType::F32));
    let random = [g.step_param("seed", DType::U32), g.step_param("step", DType::U32)];
    let [seed, step] = random.map(|v| v.unwrap());
    let y = model.apply(&mut g, &values[..1], &values[1..], Some((seed, step))).unwrap()[0];
    g.output("y", y);
    let plan = Plan::compile(&g, &Passes::default(), support::device().caps()).unwrap();
    assert_eq!(plan.dispatches.len(), 1, "{plan}");
}
