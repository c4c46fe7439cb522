//! Pooling layers: Keras' recorded numbers, the oracle's gradients, PyTorch's rules, and what is refused.

use super::*;
use recording::{agree, data, text};
use reference::pool::{Slide, adaptive_average, average, max};
use serde_json::Value as Json;
use wgrad::layers::{AdaptiveAveragePooling, ModelLoader};

fn recorded() -> anyhow::Result<Vec<Json>> {
    let all: Json = serde_json::from_str(include_str!("../known/pooling.json"))?;
    Ok(all["pooling"].as_array().expect("a list").clone())
}

fn tensor(value: &Json) -> anyhow::Result<Tensor> {
    let dims = value["shape"].as_array().expect("a shape");
    let dims: Vec<usize> = dims.iter().filter_map(|d| Some(d.as_u64()? as usize)).collect();
    Ok(Tensor::f32(dims, data(value)?)?)
}

/// Models as Keras wrote them: values and gradients are Keras'.
#[test]
fn values_and_gradients_agree_with_keras() -> anyhow::Result<()> {
    let entries = recorded()?;
    assert!(entries.len() >= 30, "{} are recorded", entries.len());
    for entry in &entries {
        let name = text(entry, "name")?;
        let model = ModelLoader::new().from_value(&entry["model"])?;
        let [x, y, dy, dx] = ["x", "y", "upstream", "grad"].map(|key| tensor(&entry[key]));
        let (x, y, dy, dx) = (x?, y?, dy?, dx?);
        let build =
            |g: &mut Graph, x: &[Value], w: &[Value]| Ok(model.run(g, x, &[], w, None)?.values);
        let got = differentiate(&[&x], &[], [0; 2], Some(&dy), build)?;
        assert_eq!(got.outputs[0].shape(), y.shape(), "{name}");
        assert_eq!(Shape::from(&y.shape().dims()[1..]), model.output_shapes()[0], "{name}");
        // A sum of at most 126 numbers near 1, divided by their count.
        agree(name, got.y(), &wide(&y), 1e-6, 2e-7);
        agree(&format!("{name}, gradient"), &got.inputs[0], &wide(&dx), 1e-6, 2e-7);
        assert!(got.inputs[0].iter().any(|&d| d != 0.0), "{name}");
    }
    Ok(())
}

/// An order of evenly spaced numbers, none of which ties with another.
fn spaced(shape: &[usize]) -> Tensor {
    let len: usize = shape.iter().product();
    let x: Vec<f32> = (0..len).map(|i| (i * 101 % len) as f32 / len as f32 - 0.5).collect();
    Tensor::f32(shape, x).unwrap()
}

#[test]
fn windows_agree_with_the_oracle_in_value_and_gradient() {
    let sides = Padding::Explicit(vec![[1, 1], [0, 2]]);
    // Strides, padding, and what they are along each axis of 5 by 11.
    let cases: [(_, Padding, [Slide; 2]); 4] = [
        (None, Padding::Valid, [[2, 2, 1, 0, 0], [3, 3, 1, 0, 0]]),
        (None, Padding::Same, [[2, 2, 1, 0, 1], [3, 3, 1, 0, 1]]),
        (Some([1, 2]), Padding::Same, [[2, 1, 1, 0, 1], [3, 2, 1, 1, 1]]),
        (Some([2, 1]), sides, [[2, 2, 1, 1, 1], [3, 1, 1, 0, 2]]),
    ];
    for (strides, padding, slides) in cases {
        let shape = [2, 5, 11, 3];
        let x = spaced(&shape);
        let mut most = MaxPooling2D::new([2, 3]).padding(padding.clone());
        let mut mean = AveragePooling2D::new([2, 3]).padding(padding.clone());
        if let Some(strides) = strides {
            (most, mean) = (most.strides(strides), mean.strides(strides));
        }
        let step = layer_step(&most, &[&x], &[], None).unwrap();
        check_gradients("max", &step, &[&x], |at| max(&at[0], &shape, &slides));
        for counts in [false, true] {
            let mean = mean.clone().count_include_pad(counts);
            let step = layer_step(&mean, &[&x], &[], None).unwrap();
            check_gradients("mean", &step, &[&x], |at| average(&at[0], &shape, &slides, counts));
        }
    }
}

#[test]
fn adaptive_windows_are_those_of_pytorch() {
    fn check<const N: usize>(shape: &[usize], sizes: [usize; N]) {
        let x = numbers(shape, 9);
        let layer = AdaptiveAveragePooling::<N>::new(sizes);
        let step = layer_step(&layer, &[&x], &[], None).unwrap();
        let name = format!("{shape:?} to {sizes:?}");
        check_gradients(&name, &step, &[&x], |at| adaptive_average(&at[0], shape, &sizes));
        assert!(step.inputs[0].iter().all(|&d| d != 0.0), "{name}");
    }
    for n in [1, 2, 5, 13, 41] {
        check(&[2, 41, 3], [n]);
    }
    check(&[2, 7, 10, 3], [3, 4]);
    // One axis stays, one is divided evenly, one has more windows than elements.
    check(&[2, 6, 5, 7], [6, 2]);
    check(&[1, 6, 9, 2], [2, 3]);
    check(&[1, 3, 4, 5, 2], [2, 6, 5]);
}

/// Windows past the loop limit of software Vulkan, alike and not: their sums are divided.
#[test]
fn adaptive_windows_may_be_longer_than_a_loop() -> Result<()> {
    for (shape, n) in [([1, 70_001, 1], 1), ([1, 140_001, 1], 2), ([1, 131_076, 2], 2)] {
        let x = numbers(&shape, 9);
        let step = layer_step(&AdaptiveAveragePooling1D::new(n), &[&x], &[], None)?;
        let want = adaptive_average(&wide(&x), &shape, &[n]);
        assert_close(&format!("{shape:?}"), step.y(), &want, 1e-5, 2e-6);
        assert!(step.inputs[0].iter().all(|d| d.is_finite() && *d != 0.0), "{shape:?}");
    }
    let x = numbers(&[1, 300, 300, 1], 9);
    let step = layer_step(&AdaptiveAveragePooling2D::new(1), &[&x], &[], None)?;
    let want = adaptive_average(&wide(&x), &[1, 300, 300, 1], &[1, 1]);
    assert_close("300 by 300", step.y(), &want, 1e-5, 2e-6);
    Ok(())
}

/// The largest element of a whole image shares the gradient with its equals, as in Keras on each of its backends; that of
/// a window does not, whatever the window's size.
#[test]
fn equal_elements_share_the_gradient_of_a_whole_image_alone() {
    let x = Tensor::f32([1, 2, 3, 1], [0.0, 4.0, 1.0, 4.0, 2.0, 4.0]).unwrap();
    let global = layer_step(&GlobalMaxPooling2D::new(), &[&x], &[], None).unwrap();
    let dy = upstream(0, 1)[0];
    let third = global.inputs[0][1];
    assert_eq!(global.inputs[0], [0.0, third, 0.0, third, 0.0, third]);
    // WGSL's division is exact to 2.5 units in the last place, and a GPU uses some of that.
    let unit = 2f32.powi((dy / 3.0).log2().floor() as i32) * f32::EPSILON;
    assert!((third - dy / 3.0).abs() <= 2.5 * unit, "{third}, not {}", dy / 3.0);
    let window = layer_step(&MaxPooling2D::new([2, 3]), &[&x], &[], None).unwrap();
    assert_eq!(
        (window.y(), window.inputs[0].as_slice()),
        (global.y(), &[0.0, dy, 0.0, 0.0, 0.0, 0.0][..])
    );
}

#[test]
fn a_mean_of_steps_leaves_out_what_a_mask_leaves_out() -> Result<()> {
    let x = Tensor::f32([2, 3, 1], [1.0, 0.0, 5.0, 0.0, 0.0, 6.0])?;
    let masked = Sequential::new([3, 1]).add(Masking::new(0.0));
    let means = |model: Model| Ok::<_, Error>(model_step(&model, &[&x], &[], None)?.y().to_vec());
    let average = masked.clone().add(GlobalAveragePooling1D::new());
    assert_eq!(means(average.build()?)?, [3.0, 6.0]);
    // The mask ends here, and the largest element is of all steps.
    let all =
        masked.add(GlobalMaxPooling1D::new().keepdims(true)).add(GlobalAveragePooling1D::new());
    assert_eq!(means(all.build()?)?, [5.0, 6.0]);
    let plain = Sequential::new([3, 1]).add(GlobalAveragePooling1D::new());
    assert_eq!(means(plain.build()?)?, [2.0, 2.0]);
    Ok(())
}

#[test]
fn defaults_are_those_of_keras() {
    assert_eq!(MaxPooling2D::default(), MaxPooling2D::new(2));
    assert_eq!(MaxPooling2D::new(2), MaxPooling2D::new((2, 2)).padding(Padding::Valid));
    let same = |strides| MaxPooling1D::new(3).strides(strides).output_shape(&[[9, 2].into()]);
    assert_eq!(MaxPooling1D::new(3).output_shape(&[[9, 2].into()]).unwrap(), same(3).unwrap());
    assert_ne!(same(1).unwrap(), same(3).unwrap());
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let image = [5, 6, 3];
    let error = refusal("max_pooling2d", MaxPooling2D::new(6), &image);
    says(&error, &["pool_size", "axis 1", "6", "which has 5", "Same"]);
    says(&refusal("max_pooling2d", MaxPooling2D::new([2, 0]), &image), &["pool_size", "[2, 0]"]);
    let error = refusal("average_pooling2d", AveragePooling2D::new(2).strides(0), &image);
    says(&error, &["strides", "[0, 0]", "1 or more"]);
    let error = refusal("max_pooling2d", MaxPooling2D::new(2), &[5, 6]);
    says(&error, &["height, width, channels", "Reshape"]);
    let causal = MaxPooling1D::new(2).padding(Padding::Causal);
    says(&refusal("max_pooling1d", causal, &[5, 3]), &["padding", "causal", "Explicit"]);
    let sides =
        |sides: &[[usize; 2]]| AveragePooling2D::new(2).padding(Padding::Explicit(sides.to_vec()));
    let error = refusal("average_pooling2d", sides(&[[1, 1]]), &image);
    says(&error, &["padding", "2 spatial axes"]);
    let error = refusal("average_pooling2d", sides(&[[0, 0], [0, 4]]), &image);
    says(&error, &["average_pool", "padding alone along axis 2", "pad by less"]);
    let error = refusal("global_max_pooling3d", GlobalMaxPooling3D::new(), &image);
    says(&error, &["depth, height, width, channels"]);
    let error =
        refusal("adaptive_average_pooling2d", AdaptiveAveragePooling2D::new([0, 2]), &image);
    says(&error, &["output_size", "[0, 2]", "1 or more"]);
    let error = refusal("adaptive_average_pooling1d", AdaptiveAveragePooling1D::new(2), &image);
    says(&error, &["steps, channels"]);
    let channels_first = r#"{"class_name": "Sequential", "config": {"build_input_shape": [null, 5, 6, 3], "layers": [
        {"class_name": "MaxPooling2D", "config": {"pool_size": 2, "data_format": "channels_first"}}]}}"#;
    says(&Model::from_json(channels_first).unwrap_err(), &["data_format", "channels_first"]);
}

/// A window with more elements than a loop of software Vulkan may have iterations: the mean of a whole large image.
#[test]
fn one_window_over_a_large_image() -> Result<()> {
    let shape = [2, 256, 256, 3];
    let x = numbers(&shape, 4);
    let dy = Tensor::f32([2, 1, 1, 3], [1.0, -2.0, 3.0, 0.5, 4.0, -1.0])?;
    let layer = AdaptiveAveragePooling::<2>::new(1);
    let step = differentiate(&[&x], &[], [0; 2], Some(&dy), |g, x, _| {
        Ok(layer.apply(g, &Context::new("layer", x))?.values)
    })?;
    let mut want = [0.0; 6];
    for (i, &v) in x.as_f32()?.iter().enumerate() {
        want[i / (256 * 256 * 3) * 3 + i % 3] += f64::from(v) / f64::from(256 * 256);
    }
    assert_close("mean", step.y(), &want, 1e-6, 1e-6);
    let share: Vec<f64> = (0..x.shape().len())
        .map(|i| f64::from(dy.as_f32().unwrap()[i / (256 * 256 * 3) * 3 + i % 3]) / 65_536.0)
        .collect();
    assert_close("gradient", &step.inputs[0], &share, 1e-6, 1e-12);
    Ok(())
}
