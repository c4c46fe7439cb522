//! PReLU and RReLU.

use super::*;
use reference::layers::rectify;
use reference::linalg::broadcast_to;

const SETTING: [u32; 3] = [7, 42, 3];

#[test]
fn prelu_agrees_with_the_oracle_in_value_and_gradient() {
    let cases: [(&[usize], &[usize], &[usize]); 9] = [
        (&[5, 7], &[], &[7]),
        (&[1, 1], &[], &[1]),
        (&[3], &[], &[]),
        (&[3, 5, 3], &[], &[5, 3]),
        (&[3, 5, 3], &[1], &[1, 3]),
        (&[3, 5, 3], &[2], &[5, 1]),
        (&[2, 3, 4, 5], &[1, 2], &[1, 1, 5]),
        (&[2, 3, 4, 5], &[3, 1, 3], &[1, 4, 1]),
        (&[2, 3, 4, 5], &[1, 2, 3], &[1, 1, 1]),
    ];
    for (shape, shared, alpha) in cases {
        let layer = PRelu::new().shared_axes(shared);
        let x = numbers(shape, 1);
        let specs = layer.weights(&samples(&[&x]));
        assert_eq!(specs.len(), 1);
        assert_eq!((&*specs[0].name, specs[0].shape.dims()), ("alpha", alpha));
        let slopes = numbers(alpha, 2);
        let step = layer_step(&layer, &[&x], &[&slopes], None).unwrap();
        check_gradients(&format!("PReLU {shape:?} {shared:?}"), &step, &[&x, &slopes], |at| {
            rectify(&at[0], &broadcast_to(&at[1], alpha, shape))
        });
    }
}

#[test]
fn prelu_starts_as_relu_and_draws_nothing() {
    let spec = PRelu::default().weights(&[Shape::from([4])]).remove(0);
    assert_eq!(spec.initializer.fill(4, spec.fan_in, spec.fan_out, 0, 0), [0.0; 4]);
    let x = Tensor::f32([1, 4], [-1.5, 0.0, f32::NAN, 2.5]).unwrap();
    let alpha = Tensor::f32([4], [0.0; 4]).unwrap();
    for random in [None, Some(SETTING)] {
        let step = layer_step(&PRelu::new(), &[&x], &[&alpha], random).unwrap();
        assert_eq!((step.y()[0], step.y()[1], step.y()[3]), (0.0, 0.0, 2.5));
        assert!(step.y()[2].is_nan());
        // At 0 both sides have the derivative 0, as Keras' composition of two ReLUs.
        assert_eq!((step.inputs[0][0], step.inputs[0][1]), (0.0, 0.0));
    }
}

#[test]
fn prelu_refuses_axes_that_samples_do_not_have() {
    for axes in [vec![0], vec![3], vec![1, 2, 4], vec![usize::MAX]] {
        let error = refusal("p_re_lu", PRelu::new().shared_axes(axes.clone()), &[4, 5]);
        says(&error, &["shared_axes", &format!("{axes:?}"), "[4, 5]", "from 1"]);
    }
    let layer = PRelu::new().alpha_initializer(Initializer::Constant(f32::NAN));
    says(&refusal("p_re_lu", layer, &[4]), &["constant", "NaN"]);
    let layer = PRelu::new().alpha_regularizer(Regularizer::l2(-1.0));
    says(&refusal("p_re_lu", layer, &[4]), &["l2", "-1"]);
}

#[test]
fn rrelu_has_its_mean_slope_at_evaluation() {
    let (low, high) = (1.0 / 8.0, 1.0 / 3.0);
    for shape in [&[5, 7][..], &[1], &[2, 3, 5]] {
        let x = numbers(shape, 3);
        let step = layer_step(&RRelu::default(), &[&x], &[], None).unwrap();
        check_gradients("RReLU", &step, &[&x], |at| {
            rectify(&at[0], &vec![(low + high) / 2.0; at[0].len()])
        });
    }
}

#[test]
fn rrelu_draws_its_slopes_while_training() {
    for (low, high) in [(0.125f32, 1.0f32 / 3.0), (-0.5, 2.0), (0.25, 0.25)] {
        let layer = RRelu::new(low, high);
        for shape in [&[5, 7][..], &[1], &[2, 3, 5], &[1031]] {
            let x = numbers(shape, 4);
            let u = drawn(x.shape().len(), SETTING);
            let (l, h) = (f64::from(low), f64::from(high));
            let slopes: Vec<f64> = u.iter().map(|u| l + u * (h - l)).collect();
            let step = layer_step(&layer, &[&x], &[], Some(SETTING)).unwrap();
            check_gradients("RReLU", &step, &[&x], |at| rectify(&at[0], &slopes));
        }
    }
}

#[test]
fn rrelu_has_the_same_slopes_forward_and_backward() {
    let x = Tensor::f32([300, 1000], vec![-1.0; 300_000]).unwrap();
    let step = layer_step(&RRelu::default(), &[&x], &[], Some(SETTING)).unwrap();
    let dy = upstream(0, 300_000);
    for ((y, d), u) in step.y().iter().zip(&step.inputs[0]).zip(&dy) {
        assert!((d / u + y).abs() < 1e-6, "slope {} forward, {} backward", -y, d / u);
    }
    let (mean, variance) = moments(step.y());
    // Uniform: standard errors (h - l) / sqrt(12 n) = 1.1e-4 of the mean, and (h - l)^2 / sqrt(180 n) = 6e-6.
    let (l, h) = (1.0 / 8.0, 1.0 / 3.0);
    assert!((mean + (l + h) / 2.0).abs() < 5.5e-4, "mean {mean}");
    assert!((variance - (h - l) * (h - l) / 12.0).abs() < 3e-5, "variance {variance}");
    assert!(step.y().iter().all(|y| (1.0 / 8.0..=1.0 / 3.0).contains(&-y)));
    draws_anew(&RRelu::default(), &x);
}

#[test]
fn rrelu_at_the_joint_and_far_out() {
    let x = Tensor::f32([1, 5], [0.0, -0.0, f32::NAN, f32::INFINITY, 3e38]).unwrap();
    let step = layer_step(&RRelu::default(), &[&x], &[], Some(SETTING)).unwrap();
    assert_eq!((step.y()[0], step.y()[1], step.y()[3]), (0.0, 0.0, f32::INFINITY));
    assert!(step.y()[2].is_nan());
    // Right of zero nothing is rounded.
    assert_eq!(step.y()[4], 3e38);
    let (dy, u) = (upstream(0, 5), drawn(5, SETTING));
    for i in 0..2 {
        let slope = 1.0 / 8.0 + u[i] * (1.0 / 3.0 - 1.0 / 8.0);
        assert_close("at 0", &[step.inputs[0][i]], &[f64::from(dy[i]) * slope], 1e-6, 0.0);
    }
}

#[test]
fn rrelu_refuses_bounds_that_are_no_range() {
    let nan = f32::NAN;
    for (low, high) in [(0.5, 0.25), (nan, 1.0), (0.0, nan), (0.0, f32::INFINITY), (-3e38, 3e38)] {
        let error = refusal("r_re_lu", RRelu::new(low, high), &[4]);
        says(&error, &[&format!("lower = {low}"), &format!("upper = {high}")]);
    }
}
