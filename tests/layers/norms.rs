//! Group, unit and spectral normalization.

use super::*;
use reference::linalg::{matmul, transpose};
use reference::norm;
use support::device;
use wgrad::autodiff::gradients;
use wgrad::layers::WeightKind;
use wgrad::passes::Passes;
use wgrad::plan::Plan;

/// The most places of a row that is read where its elements are apart.
const MOST_PLACES: usize = 4096;

const TRAINS: Option<[u32; 3]> = Some([1, 2, 3]);

/// Mean 0 and variance 1 of each group of channels of each sample, by the definition: channels are the last axis.
fn grouped(x: &[f64], shape: &[usize], groups: usize, epsilon: f64) -> Vec<f64> {
    let (n, c) = (shape[0], shape[shape.len() - 1]);
    let places = x.len() / (n * c);
    // [n, places, groups, rest] as rows of a group.
    let apart = [n, places, groups, c / groups];
    let rows = transpose(x, &apart, &[0, 2, 1, 3]);
    let y = norm::layer_norm(&rows, places * (c / groups), None, None, epsilon);
    transpose(&y, &[n, groups, places, c / groups], &[0, 2, 1, 3])
}

#[test]
fn groups_agree_with_the_oracle_in_value_and_gradient() {
    for (shape, groups) in [
        (&[2, 3, 5, 6][..], 2),
        (&[3, 4, 9], 3),
        (&[2, 7, 4], 4),
        (&[2, 8], 2),
        (&[1, 5, 3, 8], 1),
        (&[2, 2, 3, 2, 6], 3),
    ] {
        let c = shape[shape.len() - 1];
        let layer = match groups == c {
            true => GroupNormalization::instance(),
            false => GroupNormalization::new(groups),
        };
        let x = numbers(shape, 1);
        let w = [numbers(&[c], 2), numbers(&[c], 3)];
        let step = layer_step(&layer, &[&x], &refs(&w), None).unwrap();
        let f = |at: &[Vec<f64>]| {
            let y = grouped(&at[0], shape, groups, 1e-3);
            y.iter().enumerate().map(|(i, v)| v * at[1][i % c] + at[2][i % c]).collect()
        };
        check_gradients(&format!("{shape:?} {groups}"), &step, &[&x, &w[0], &w[1]], f);
        assert!(step.inputs[0].iter().any(|d| d.abs() > 1e-3));
        for _ in 0..9 {
            assert_eq!(layer_step(&layer, &[&x], &refs(&w), None).unwrap().inputs, step.inputs);
        }
        // Channels in another place are the same.
        if let [n, h, w_, c] = *shape {
            let front = Tensor::f32([n, c, h, w_], moved(&x, &[0, 3, 1, 2])).unwrap();
            let layer = layer.axis(1);
            let other = layer_step(&layer, &[&front], &refs(&w), None).unwrap();
            let back = transpose(&wide(&other.outputs[0]), &[n, c, h, w_], &[0, 2, 3, 1]);
            assert_close("channels first", step.y(), &back, 1e-6, 1e-6);
        }
    }
    let (x, bare) = (numbers(&[2, 3, 4], 5), GroupNormalization::new(2).scale(false).center(false));
    assert!(bare.weights(&samples(&[&x])).is_empty());
    let step = layer_step(&bare.epsilon(0.1), &[&x], &[], None).unwrap();
    check_gradients("bare", &step, &[&x], |at| grouped(&at[0], &[2, 3, 4], 2, f64::from(0.1f32)));
}

/// The kernel reads groups of channels where they are: forward no copy is made, backward none of what comes in.
#[test]
fn groups_of_channels_are_read_without_a_copy() -> Result<()> {
    let launches = |layer: &dyn Layer, shape: &[usize], back: bool, views: bool| -> Result<usize> {
        let mut g = Graph::new();
        let x = g.input("x", shape, DType::F32);
        let specs = layer.weights(&[shape[1..].into()]);
        let w: Vec<Value> =
            specs.iter().map(|s| g.input(&s.name, s.shape.clone(), DType::F32)).collect();
        let cx = Context::new("layer", &[x]).tensors(&specs, &w);
        let y = layer.apply(&mut g, &cx)?.values[0];
        g.output("y", y);
        if back {
            let dy = g.input("dy", shape, DType::F32);
            let product = g.mul(y, dy)?;
            let loss = g.sum(product, &[], false)?;
            let dx = gradients(&mut g, loss, &[x])?[0];
            g.output("dx", dx);
        }
        let passes = Passes { views, ..Passes::default() };
        Ok(Plan::compile(&g, &passes, device().caps())?.dispatches.len())
    };
    let count = |layer: &dyn Layer, shape: &[usize]| -> Result<[[usize; 2]; 2]> {
        let both = |back| -> Result<[usize; 2]> {
            Ok([launches(layer, shape, back, false)?, launches(layer, shape, back, true)?])
        };
        Ok([both(false)?, both(true)?])
    };
    // Groups of whole vec4s, of two channels, of one; as many elements as no vec4s have.
    let three = GroupNormalization::new(3);
    let each = GroupNormalization::instance();
    assert_eq!(count(&three, &[2, 5, 7, 12])?, [[4, 2], [8, 5]]);
    assert_eq!(count(&three, &[2, 5, 7, 6])?, [[4, 2], [8, 5]]);
    assert_eq!(count(&each, &[2, 5, 7, 6])?, [[4, 2], [8, 5]]);
    assert_eq!(count(&each, &[2, 4, 8, 8])?, [[4, 2], [8, 5]]);
    // A row whose elements are far apart in memory and too many for a cache is copied once, and read several times.
    let (wide, more) = (&[1, MOST_PLACES, 2], &[1, MOST_PLACES + 1, 2]);
    assert_eq!([count(&each, wide)?, count(&each, more)?], [[[4, 2], [8, 5]], [[4, 3], [8, 7]]]);
    // Axes in the middle.
    let middle = LayerNormalization::new().axes([1]);
    assert_eq!(count(&middle, &[2, 5, 6])?, [[3, 2], [6, 4]]);
    Ok(())
}

fn moved(x: &Tensor, axes: &[usize]) -> Vec<f32> {
    let moved = transpose(&wide(x), x.shape().dims(), axes);
    moved.into_iter().map(|v| v as f32).collect()
}

#[test]
fn a_large_mean_takes_no_digits_of_a_group() {
    let x: Vec<f32> = uniform(3, 2 * 25 * 6, -1.0, 1.0).iter().map(|v| v + 1e4).collect();
    let x = Tensor::f32([2, 5, 5, 6], x).unwrap();
    for groups in [1, 2, 3, 6] {
        let layer = GroupNormalization::new(groups).scale(false).center(false);
        let step = layer_step(&layer, &[&x], &[], None).unwrap();
        let want = grouped(&wide(&x), &[2, 5, 5, 6], groups, 1e-3);
        assert_close("mean 1e4", step.y(), &want, 1e-5, 1e-5);
    }
}

#[test]
fn vectors_get_a_length_of_one() {
    for (shape, axes, of) in [
        (&[5, 7][..], &[-1][..], &[1][..]),
        (&[3, 5, 4], &[1], &[1]),
        (&[2, 3, 4, 5], &[1, 3], &[1, 3]),
        (&[2, 3, 4, 5], &[1, 2, 3], &[1, 2, 3]),
        (&[4, 1], &[1], &[1]),
    ] {
        let x = numbers(shape, 4);
        let layer = UnitNormalization::new().axes(axes);
        let step = layer_step(&layer, &[&x], &[], None).unwrap();
        let order: Vec<usize> =
            (0..shape.len()).filter(|a| !of.contains(a)).chain(of.iter().copied()).collect();
        let back: Vec<usize> =
            (0..shape.len()).map(|a| order.iter().position(|&o| o == a).unwrap()).collect();
        let ahead: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
        let cols = of.iter().map(|&a| shape[a]).product::<usize>();
        check_gradients(&format!("unit {shape:?} {axes:?}"), &step, &[&x], |at| {
            let rows = transpose(&at[0], shape, &order);
            let unit = |row: &[f64]| {
                let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
                row.iter().map(|v| v / length).collect::<Vec<_>>()
            };
            transpose(&rows.chunks(cols).flat_map(unit).collect::<Vec<_>>(), &ahead, &back)
        });
        assert_eq!(step.inputs[0].iter().any(|d| d.abs() > 1e-3), cols > 1, "{shape:?}");
    }
    let zeros = Tensor::f32([2, 3], [0.0, 0.0, 0.0, 3e18, 4e18, 0.0]).unwrap();
    let step = layer_step(&UnitNormalization::new(), &[&zeros], &[], None).unwrap();
    assert_close("zeros and large", step.y(), &[0.0, 0.0, 0.0, 0.6, 0.8, 0.0], 1e-6, 0.0);
}

/// `iterations` of the power method on a matrix `[rows, cols]`: u, v and the singular value.
fn power(w: &[f64], u: &[f64], cols: usize, iterations: usize) -> (Vec<f64>, Vec<f64>, f64) {
    let rows = w.len() / cols;
    let unit = |x: Vec<f64>| {
        let length = x.iter().map(|v| v * v).sum::<f64>().sqrt();
        (x.iter().map(|v| v / length).collect::<Vec<_>>(), length)
    };
    let (mut u, mut v) = (u.to_vec(), vec![]);
    for _ in 0..iterations {
        v = unit(matmul(&u, w, 1, 1, rows, cols, false, true)).0;
        u = unit(matmul(&v, w, 1, 1, cols, rows, false, false)).0;
    }
    let image = matmul(&v, w, 1, 1, cols, rows, false, false);
    let sigma = image.iter().zip(&u).map(|(a, b)| a * b).sum();
    (u, v, sigma)
}

#[test]
fn a_kernel_is_divided_by_its_largest_singular_value() -> Result<()> {
    let (x, w, b) = (numbers(&[4, 5], 1), numbers(&[5, 3], 2), numbers(&[3], 3));
    let u = Tensor::f32([1, 3], [0.02, -0.01, 0.03])?;
    for iterations in [1, 3] {
        let layer = SpectralNormalization::new(Dense::new(3)).power_iterations(iterations);
        let names: Vec<String> =
            layer.weights(&samples(&[&x])).iter().map(|s| s.name.clone()).collect();
        assert_eq!(names, ["dense/kernel", "dense/bias", "vector_u"]);
        let step = layer_step(&layer, &[&x], &[&w, &b, &u], TRAINS)?;
        let (u1, v1, sigma) = power(&wide(&w), &wide(&u), 3, iterations);
        // u and v are constants for the gradient.
        let f = |x: &[f64], w: &[f64], b: &[f64]| -> Vec<f64> {
            let image = matmul(&v1, w, 1, 1, 3, 5, false, false);
            let sigma: f64 = image.iter().zip(&u1).map(|(a, b)| a * b).sum();
            let y = matmul(x, w, 1, 4, 3, 5, false, false);
            y.iter().enumerate().map(|(i, y)| y / sigma + b[i % 3]).collect()
        };
        let at: Vec<Vec<f64>> = [&x, &w, &b].map(wide).to_vec();
        let own = |at: &[Vec<f64>]| f(&at[0], &at[1], &at[2]);
        let mut known = step;
        assert!(known.weights.pop().unwrap().iter().all(|d| *d == 0.0), "vector_u has none");
        check_gradients(&format!("{iterations} iterations"), &known, &[&x, &w, &b], own);
        assert!(sigma > 0.0 && at.len() == 3);
    }
    // Many steps of training find the singular value: with a rate of 0 the kernel stays.
    let compile = Compile::new(Sgd::new(0.0), Loss::MeanSquaredError);
    let model = Sequential::new([5]).add(SpectralNormalization::new(Dense::new(3))).build()?;
    let mut trainer = model.compile(device(), compile)?;
    trainer.set_weights(&[w.clone(), b.clone(), u.clone()])?;
    let data = TensorDataset::new(x.clone(), Tensor::f32([4, 3], vec![0.0; 12])?)?;
    trainer.fit(&data, Fit::new().epochs(60).full_batch().verbose(Verbose::Silent))?;
    let (u1, _, sigma) = power(&wide(&w), &wide(&u), 3, 200);
    let now = trainer.weights()?.into_iter().find(|(n, _)| n.ends_with("vector_u")).unwrap().1;
    assert_close("vector_u", now.as_f32()?, &u1, 1e-4, 1e-4);
    let plain = matmul(&wide(&x), &wide(&w), 1, 4, 3, 5, false, false);
    let bias = wide(&b);
    let want: Vec<f64> = plain.iter().enumerate().map(|(i, y)| y / sigma + bias[i % 3]).collect();
    assert_close("prediction", trainer.predict(&x)?.as_f32()?, &want, 1e-4, 1e-4);
    // The control: it divides by something else than 1.
    assert!((sigma - 1.0).abs() > 0.5, "{sigma}");
    Ok(())
}

#[test]
fn zeros_stay_zeros_and_tables_are_normalized() -> Result<()> {
    let x = numbers(&[2, 3], 1);
    let (w, b) = (Tensor::f32([3, 2], vec![0.0; 6])?, Tensor::f32([2], [0.5, -0.5])?);
    let u = Tensor::f32([1, 2], [0.6, 0.8])?;
    for random in [None, TRAINS] {
        let layer = SpectralNormalization::new(Dense::new(2));
        let step = layer_step(&layer, &[&x], &[&w, &b, &u], random)?;
        assert_eq!(step.y(), [0.5, -0.5, 0.5, -0.5]);
    }
    let ids = Tensor::u32([1, 2], [1, 0])?;
    let table = Tensor::f32([2, 2], [3.0, 0.0, 0.0, 4.0])?;
    let layer = SpectralNormalization::new(Embedding::new(2, 2)).power_iterations(60);
    let step = layer_step(&layer, &[&ids], &[&table, &u], TRAINS)?;
    assert_close("rows", step.y(), &[0.0, 1.0, 0.75, 0.0], 1e-5, 1e-5);
    Ok(())
}

#[test]
fn frozen_it_keeps_its_direction() -> Result<()> {
    let model = Sequential::new([5])
        .add(SpectralNormalization::new(Dense::new(3)).frozen())
        .add(Dense::new(1))
        .build()?;
    let compile = Compile::new(Sgd::new(0.1), Loss::MeanSquaredError);
    let mut trainer = model.compile(device(), compile)?;
    let before = trainer.weights()?;
    let data = TensorDataset::new(numbers(&[4, 5], 1), Tensor::f32([4, 1], [0.5; 4])?)?;
    trainer.fit(&data, Fit::new().full_batch().verbose(Verbose::Silent))?;
    let after = trainer.weights()?;
    assert_eq!(before[..3], after[..3]);
    assert_ne!(before[3..], after[3..]);
    Ok(())
}

#[test]
fn settings_that_do_not_suit_are_refused() {
    let group = "group_normalization";
    for bad in [4, 0, 7, 12, usize::MAX] {
        let words = &["groups = ", "6 channels", "[5, 6]", "divisor"];
        says(&refusal(group, GroupNormalization::new(bad), &[5, 6]), words);
    }
    says(&refusal(group, GroupNormalization::default(), &[6]), &["groups = 32"]);
    says(&refusal(group, GroupNormalization::new(2).axis(0), &[6]), &["axis = [0]", "batch"]);
    says(&refusal(group, GroupNormalization::new(2).epsilon(-1.0), &[6]), &["epsilon = -1"]);
    let axis = UnitNormalization::new().axes([3]);
    says(&refusal("unit_normalization", axis, &[6]), &["axes = [3]"]);
    let spectral = "spectral_normalization";
    let none = SpectralNormalization::new(Dense::new(3)).power_iterations(0);
    says(&refusal(spectral, none, &[6]), &["power_iterations = 0"]);
    let bare = SpectralNormalization::new(Flatten);
    says(&refusal(spectral, bare, &[6, 2]), &["layer = Flatten", "kernel"]);
    let norm = SpectralNormalization::new(LayerNormalization::new());
    says(&refusal(spectral, norm, &[6]), &["LayerNormalization", "gamma", "beta"]);
    let states = SpectralNormalization::new(Dense::new(3)).weights(&[[6].into()]);
    assert_eq!(states.iter().filter(|s| s.kind == WeightKind::State).count(), 1);
}

/// Each constraint holds after a step of training.
#[test]
fn constraints_of_norms_and_of_slopes_hold() -> Result<()> {
    let most = Constraint::max_norm(0.5);
    let model = Sequential::new([4])
        .add(BatchNormalization::new().gamma_constraint(most).beta_constraint(Constraint::NonNeg))
        .add(LayerNormalization::new().gamma_constraint(most).beta_constraint(Constraint::NonNeg))
        .add(GroupNormalization::new(2).gamma_constraint(most).beta_constraint(Constraint::NonNeg))
        .add(PRelu::new().alpha_initializer(Initializer::Constant(0.7)).alpha_constraint(most))
        .build()?;
    let compile = Compile::new(Sgd::new(0.05), Loss::MeanSquaredError);
    let mut trainer = model.compile(device(), compile)?;
    let data = TensorDataset::new(numbers(&[8, 4], 1), numbers(&[8, 4], 2))?;
    trainer.fit(&data, Fit::new().epochs(3).full_batch().verbose(Verbose::Silent))?;
    let mut seen = 0;
    for (name, tensor) in trainer.weights()? {
        let values = tensor.as_f32()?;
        if name.ends_with("gamma") || name.ends_with("alpha") {
            let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
            assert!(norm <= 0.5 + 1e-5, "{name} {norm}");
            seen += 1;
        }
        if name.ends_with("beta") {
            assert!(values.iter().all(|v| *v >= 0.0), "{name} {values:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 7);
    Ok(())
}
