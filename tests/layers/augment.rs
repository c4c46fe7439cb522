//! Augmentation: images against the oracle, factors against their range, and what is exact.

use super::*;
use reference::images::{Outside, affine};
use std::f64::consts::TAU;

pub const SETTING: [u32; 3] = [9, 5, 11];

/// The uniform numbers that a layer draws for the part `name`, one per image.
fn factors(batch: usize, name: &str, [stream, seed, step]: [u32; 3]) -> Vec<f64> {
    let hash = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    let part = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash) as u32;
    drawn(batch, [stream.wrapping_add(part), seed, step])
}

fn between(u: f64, low: f64, high: f64) -> f64 {
    low + (high - low) * u
}

/// Seven geometric layers, and the matrix that each makes of its numbers, for images of `[h, w]`.
type Matrices = Box<dyn Fn(usize) -> Vec<f64>>;

fn geometric(batch: usize, [h, w]: [f64; 2]) -> Vec<(Box<dyn Layer>, Outside, bool, Matrices)> {
    let of = move |name: &str| factors(batch, name, SETTING);
    let (cy, cx) = (0.5 * (h - 1.0), 0.5 * (w - 1.0));
    let shift = {
        let (y, x) = (of("height"), of("width"));
        move |i: usize| {
            let (y, x) = (between(y[i], -0.31, 0.4), between(x[i], -0.2, 0.2));
            vec![1.0, 0.0, -w * x, 0.0, 1.0, -h * y]
        }
    };
    let turn = {
        let u = of("factor");
        move |i: usize| {
            let (s, c) = (TAU * between(u[i], -0.3, 0.7)).sin_cos();
            vec![c, -s, cx - c * cx + s * cy, s, c, cy - s * cx - c * cy]
        }
    };
    let zoom = {
        let (y, x) = (of("height"), of("width"));
        move |i: usize| {
            let (y, x) = (1.0 + between(y[i], -0.4, 0.4), 1.0 + between(x[i], 0.1, 0.9));
            vec![x, 0.0, cx - x * cx, 0.0, y, cy - y * cy]
        }
    };
    let same = {
        let y = of("height");
        move |i: usize| {
            let z = 1.0 + between(y[i], -0.5, 0.5);
            vec![z, 0.0, cx - z * cx, 0.0, z, cy - z * cy]
        }
    };
    let flip = |mode: FlipMode| {
        let of = |name: &str, on: bool| {
            let u = of(name);
            move |i: usize| if on && u[i] < 0.5 { [-1.0, 1.0] } else { [1.0, 0.0] }
        };
        let x = of("horizontal", mode != FlipMode::Vertical);
        let y = of("vertical", mode != FlipMode::Horizontal);
        move |i: usize| {
            let ([x, x0], [y, y0]) = (x(i), y(i));
            vec![x, 0.0, x0 * (w - 1.0), 0.0, y, y0 * (h - 1.0)]
        }
    };
    let shifted = RandomTranslation::new((-0.31, 0.4), 0.2);
    let turned = RandomRotation::new((0.7, -0.3));
    let zoomed = RandomZoom::new(0.4).width_factor((0.1, 0.9));
    let constant = shifted.fill_mode(FillMode::Constant).fill_value(0.7);
    let near = |layer: RandomRotation| layer.interpolation(Interpolation::Nearest);
    vec![
        (Box::new(constant), Outside::Constant(f64::from(0.7f32)), true, Box::new(shift.clone())),
        (Box::new(shifted), Outside::Reflect, true, Box::new(shift)),
        (Box::new(turned.fill_mode(FillMode::Wrap)), Outside::Wrap, true, Box::new(turn.clone())),
        (Box::new(near(turned)), Outside::Reflect, false, Box::new(turn)),
        (Box::new(zoomed.fill_mode(FillMode::Nearest)), Outside::Nearest, true, Box::new(zoom)),
        (Box::new(RandomZoom::new(0.5)), Outside::Reflect, true, Box::new(same)),
        (Box::new(RandomFlip::new(FlipMode::Horizontal)), Outside::Nearest, false, {
            Box::new(flip(FlipMode::Horizontal))
        }),
        (Box::new(RandomFlip::new(FlipMode::Vertical)), Outside::Nearest, false, {
            Box::new(flip(FlipMode::Vertical))
        }),
        (Box::new(RandomFlip::default()), Outside::Nearest, false, {
            Box::new(flip(FlipMode::HorizontalAndVertical))
        }),
    ]
}

#[test]
fn geometric_layers_agree_with_the_oracle_in_value_and_gradient() {
    for shape in [[3, 5, 7, 3], [2, 6, 4, 4], [1, 1, 5, 1]] {
        let x = numbers(&shape, 1);
        let [batch, h, w, _] = shape;
        let dy = widen(&upstream(0, x.shape().len()));
        for (layer, outside, linear, matrix) in geometric(batch, [h as f64, w as f64]) {
            let matrices: Vec<f64> = (0..batch).flat_map(&matrix).collect();
            let f = |x: &[f64]| affine(x, shape, &matrices, [h, w], outside, linear);
            let step = layer_step(&*layer, &[&x], &[], Some(SETTING)).unwrap();
            let name = format!("{layer:?} on {shape:?}");
            // A coordinate is off by a few units of the image's side, and neighbours differ by up to 4.
            assert_close(&name, step.y(), &f(&wide(&x)), 0.0, 2e-5);
            let want = numeric_vjp(f, &wide(&x), &dy, STEP);
            assert_close(&format!("gradient of {name}"), &step.inputs[0], &want, 1e-5, 5e-5);
            assert!(step.inputs[0].iter().any(|&d| d != 0.0), "{name} passes nothing back");
            // The control: the matrices of the image beside it.
            let other: Vec<f64> = (0..batch).flat_map(|i| matrix((i + 1) % batch)).collect();
            let wrong = affine(&wide(&x), shape, &other, [h, w], outside, linear);
            let far = step.y().iter().zip(&wrong).any(|(y, w)| (f64::from(*y) - w).abs() > 1e-3);
            assert!(far || other == matrices, "{name} hides an error");
        }
    }
}

#[test]
fn images_and_gradients_are_those_that_keras_makes() -> Result<()> {
    use serde_json::{Value as Json, json};
    let all: Json = serde_json::from_str(include_str!("../known/augment.json")).unwrap();
    let read = |t: &Json| known::floats(t).unwrap();
    let x = read(&all["x"]);
    let entries = recording::entries(&all, "layers").unwrap();
    assert_eq!(entries.len(), 41);
    for entry in entries {
        let layers = json!([{ "class_name": entry["layer"], "config": entry["config"] }]);
        let stack = json!({ "layers": layers, "build_input_shape": [null, 5, 6, 2] });
        let stack = json!({ "class_name": "Sequential", "config": stack });
        let model = wgrad::layers::ModelLoader::new().from_value(&stack)?;
        let step = differentiate(&[&x], &[], [1, 2], Some(&read(&entry["dy"])), |g, x, w| {
            let word = |g: &mut Graph, name| g.step_param(name, DType::U32);
            let random = (word(g, "seed")?, word(g, "step")?);
            model.apply(g, x, w, Some(random))
        })?;
        let name = format!("{} {}", entry["layer"], entry["config"]);
        recording::agree(&name, step.y(), &wide(&read(&entry["y"])), 1e-5, 1e-5);
        let dx = wide(&read(&entry["dx"]));
        recording::agree(&format!("gradient of {name}"), &step.inputs[0], &dx, 1e-5, 1e-5);
        assert!(dx.iter().any(|d| d.abs() > 0.1), "{name} passes nothing back");
    }
    Ok(())
}

#[test]
fn the_same_bits_come_ten_times() {
    let x = numbers(&[4, 13, 11, 3], 2);
    for (layer, ..) in geometric(4, [13.0, 11.0]) {
        let first = layer_step(&*layer, &[&x], &[], Some(SETTING)).unwrap();
        for _ in 0..9 {
            let again = layer_step(&*layer, &[&x], &[], Some(SETTING)).unwrap();
            assert_eq!((again.y(), &again.inputs), (first.y(), &first.inputs), "{layer:?}");
        }
    }
}

/// Every layer of augmentation.
fn all() -> Vec<Box<dyn Layer>> {
    vec![
        Box::new(RandomFlip::default()),
        Box::new(RandomTranslation::new(0.3, 0.3)),
        Box::new(RandomCrop::new(5, 4)),
        Box::new(RandomRotation::new(0.2)),
        Box::new(RandomZoom::new(0.3)),
        Box::new(RandomContrast::new(0.5).value_range(-9.0, 9.0)),
        Box::new(RandomBrightness::new(0.2).value_range(-9.0, 9.0)),
    ]
}

#[test]
fn all_draw_anew_at_each_step_and_are_the_identity_in_evaluation() {
    // Of 40 flips not all are the same by chance.
    let x = numbers(&[40, 8, 9, 2], 3);
    for layer in all() {
        draws_anew(&*layer, &x);
        let step = layer_step(&*layer, &[&x], &[], None).unwrap();
        if layer.kind() != "RandomCrop" {
            assert_eq!(step.y(), x.as_f32().unwrap(), "{layer:?}");
            assert_eq!(step.inputs[0], upstream(0, x.shape().len()), "{layer:?}");
        }
    }
}

/// Pixel (y, x) of channel c of image i.
pub fn pixel(t: &[f32], [_, h, w, c]: [usize; 4], at: [usize; 4]) -> f32 {
    t[((at[0] * h + at[1]) * w + at[2]) * c + at[3]]
}

#[test]
fn a_quarter_turn_is_a_flipped_transpose() {
    let shape = [3, 5, 5, 2];
    let x = numbers(&shape, 4);
    let quarter = |factor: f32| RandomRotation::new((factor, factor)).fill_mode(FillMode::Nearest);
    for (factor, clockwise) in [(0.25, false), (-0.25, true), (0.75, true)] {
        let step = layer_step(&quarter(factor), &[&x], &[], Some(SETTING)).unwrap();
        for i in 0..150 {
            let at = [i / 50, i / 10 % 5, i / 2 % 5, i % 2];
            let [b, r, q, c] = at;
            // Counter-clockwise, the right column becomes the top line.
            let from = if clockwise { [b, 4 - q, r, c] } else { [b, q, 4 - r, c] };
            let (got, want) = (pixel(step.y(), shape, at), pixel(x.as_f32().unwrap(), shape, from));
            assert!((got - want).abs() < 2e-5, "{factor}, {at:?}: {got}, {want}");
        }
    }
    let none = layer_step(&quarter(0.0), &[&x], &[], Some(SETTING)).unwrap();
    assert_eq!(none.y(), x.as_f32().unwrap());
}

#[test]
fn flips_and_shifts_by_whole_pixels_copy_bits() {
    let shape = [64, 3, 8, 1];
    let x = numbers(&shape, 5);
    let images = x.as_f32().unwrap();
    let step = layer_step(&RandomFlip::new(FlipMode::Horizontal), &[&x], &[], Some(SETTING));
    let mut flipped = 0;
    for (got, from) in step.unwrap().y().chunks(24).zip(images.chunks(24)) {
        let turned: Vec<f32> = from.chunks(8).flat_map(|line| line.iter().rev().copied()).collect();
        assert!(got == from || got == turned);
        flipped += usize::from(got == turned);
    }
    // 32 are expected, with a standard deviation of 4.
    assert!((16..=48).contains(&flipped), "{flipped} of 64");
    // A quarter of the width is two pixels to the right; a third of the height one up.
    let third = -1.0f32 / 3.0;
    let moved = RandomTranslation::new((third, third), (0.25, 0.25));
    let moved = moved.fill_mode(FillMode::Constant).fill_value(9.0);
    let near = moved.interpolation(Interpolation::Nearest);
    let step = layer_step(&near, &[&x], &[], Some(SETTING)).unwrap();
    for i in 0..images.len() {
        let [b, r, q] = [i / 24, i / 8 % 3, i % 8];
        let want = match (r, q) {
            (2, _) | (_, 0 | 1) => 9.0,
            _ => pixel(images, shape, [b, r + 1, q - 2, 0]),
        };
        assert_eq!(step.y()[i], want, "{b} {r} {q}");
    }
}

#[test]
fn colors_agree_with_their_formulas_in_value_and_gradient() {
    let shape = [3, 5, 7, 3];
    let x = numbers(&shape, 8);
    let (batch, pixels, channels) = (3, 35, 3);
    let u = factors(batch, "factor", SETTING);
    let contrast = |x: &[f64]| -> Vec<f64> {
        let mean = |b: usize, c: usize| {
            let own = |p: usize| x[(b * pixels + p) * channels + c];
            (0..pixels).map(own).sum::<f64>() / pixels as f64
        };
        let of = |i: usize| {
            let (b, c) = (i / (pixels * channels), i % channels);
            let f = between(u[b], 1.0 - f64::from(0.3f32), 1.0 + f64::from(0.8f32));
            ((x[i] - mean(b, c)) * f + mean(b, c)).clamp(-1.9, 1.9)
        };
        (0..x.len()).map(of).collect()
    };
    let layer = RandomContrast::new((0.3, 0.8)).value_range(-1.9, 1.9);
    let step = layer_step(&layer, &[&x], &[], Some(SETTING)).unwrap();
    check_gradients("RandomContrast", &step, &[&x], |at| contrast(&at[0]));
    let brightness = |x: &[f64]| -> Vec<f64> {
        let of = |i: usize| {
            let f = between(u[i / (pixels * channels)], f64::from(-0.1f32), f64::from(0.4f32));
            (x[i] + 3.9 * f).clamp(-2.0, 1.9)
        };
        (0..x.len()).map(of).collect()
    };
    let layer = RandomBrightness::new((-0.1, 0.4)).value_range(-2.0, 1.9);
    let step = layer_step(&layer, &[&x], &[], Some(SETTING)).unwrap();
    check_gradients("RandomBrightness", &step, &[&x], |at| brightness(&at[0]));
    assert!(step.y().contains(&1.9), "what is too bright is held");
}

/// Asserts that factors cover [low, high] evenly: ends, mean and quarters.
#[track_caller]
fn covers(name: &str, found: &[f64], low: f64, high: f64) {
    let (n, width) = (found.len() as f64, high - low);
    let share = |x: &f64| (x - low) / width;
    let slack = 1e-3;
    assert!(found.iter().all(|x| (-slack..=1.0 + slack).contains(&share(x))), "{name} leaves it");
    let mean = found.iter().map(share).sum::<f64>() / n;
    // Five standard errors of the mean of uniform numbers.
    assert!((mean - 0.5).abs() < 5.0 * (1.0 / (12.0 * n)).sqrt(), "{name}: mean {mean}");
    for quarter in 0..4 {
        let here = |x: &&f64| (share(x) * 4.0).floor().clamp(0.0, 3.0) as usize == quarter;
        let part = found.iter().filter(here).count() as f64 / n;
        assert!(
            (part - 0.25).abs() < 5.0 * (0.1875 / n).sqrt(),
            "{name}: quarter {quarter} {part}"
        );
    }
    let (least, most) =
        found.iter().fold((1f64, 0f64), |(a, b), x| (a.min(share(x)), b.max(share(x))));
    assert!(least < 0.01 && most > 0.99, "{name}: {least} to {most}");
}

/// Images that are a ramp: the value at (y, x) is `across` times x plus `along` times y. Bilinear samples of it are exact.
fn ramp(shape: [usize; 4], across: f32, along: f32) -> Tensor {
    let [_, h, w, _] = shape;
    let of = |i: usize| across * (i % w) as f32 + along * (i / w % h) as f32;
    Tensor::f32(shape, (0..shape.iter().product()).map(of).collect::<Vec<_>>()).unwrap()
}

#[test]
fn factors_cover_the_range_that_was_asked_for() {
    let n = 4000;
    let shape = [n, 9, 9, 1];
    let (x, y) = (ramp(shape, 1.0, 0.0), ramp(shape, 0.0, 1.0));
    let run = |layer: &dyn Layer, x: &Tensor| layer_step(layer, &[x], &[], Some(SETTING)).unwrap();
    let at = |step: &Step, r: usize, q: usize| -> Vec<f64> {
        (0..n).map(|b| pixel(step.y(), shape, [b, r, q, 0]).into()).collect()
    };
    let minus = |a: Vec<f64>, b: Vec<f64>| -> Vec<f64> {
        a.into_iter().zip(b).map(|(a, b)| a - b).collect()
    };
    // What was in the middle has moved by the factor.
    let shift = RandomTranslation::new((-0.1, 0.3), 0.2);
    let [across, along] = [&x, &y].map(|image| run(&shift, image));
    let shares = |step| at(step, 4, 4).iter().map(|v| (4.0 - v) / 9.0).collect::<Vec<_>>();
    covers("width of a shift", &shares(&across), -0.2, 0.2);
    covers("height of a shift", &shares(&along), -0.1, 0.3);
    // Neighbours are 1 + f apart.
    let zoom = RandomZoom::new((-0.4, 0.1)).width_factor(0.25);
    let apart = minus(at(&run(&zoom, &x), 4, 5), at(&run(&zoom, &x), 4, 4));
    covers("width of a zoom", &apart, 0.75, 1.25);
    let apart = minus(at(&run(&zoom, &y), 5, 4), at(&run(&zoom, &y), 4, 4));
    covers("height of a zoom", &apart, 0.6, 1.1);
    // Their direction is the angle.
    let turn = RandomRotation::new((-0.1, 0.4));
    let step = run(&turn, &x);
    let cos = minus(at(&step, 4, 5), at(&step, 4, 4));
    let sin = minus(at(&step, 4, 4), at(&step, 5, 4));
    let turns: Vec<f64> = sin.iter().zip(cos).map(|(s, c)| s.atan2(c) / TAU).collect();
    covers("rotation", &turns, -0.1, 0.4);
    let bright = run(&RandomBrightness::new((-0.3, 0.5)).value_range(-99.0, 99.0), &x);
    let shifts: Vec<f64> = at(&bright, 0, 0).iter().map(|v| v / 198.0).collect();
    covers("brightness", &shifts, -0.3, 0.5);
    let contrast = run(&RandomContrast::new(0.6).value_range(-99.0, 99.0), &x);
    covers("contrast", &minus(at(&contrast, 0, 1), at(&contrast, 0, 0)), 0.4, 1.6);
    // The control: half of the range is noticed.
    let narrow: Vec<f64> = shifts.iter().map(|f| 0.5 * f).collect();
    let wrong = std::panic::catch_unwind(|| covers("half", &narrow, -0.3, 0.5));
    assert!(wrong.is_err());
}

#[test]
fn bad_settings_and_inputs_name_the_layer() {
    let image = [5, 5, 3];
    let parameter = |error: Error, words: &[&str]| {
        assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
        says(&error, words);
    };
    for f in [1.5, -1.01, f32::NAN] {
        let shown = format!("= {f}");
        let error = refusal("random_rotation", RandomRotation::new((0.0, f)), &image);
        parameter(error, &["factor", &shown, "[-1, 1]"]);
        let error = refusal("random_translation", RandomTranslation::new(0.0, f), &image);
        parameter(error, &["width_factor", &shown, "[-1, 1]"]);
        let error = refusal("random_brightness", RandomBrightness::new((f, 0.0)), &image);
        parameter(error, &["factor", &shown, "[-1, 1]"]);
        parameter(refusal("random_contrast", RandomContrast::new(f), &image), &["[0, 1]"]);
    }
    for factor in [Factor::Range(-1.0, 0.0), Factor::Both(1.0), Factor::Range(0.0, 1.1)] {
        let error = refusal("random_zoom", RandomZoom::new(0.1).width_factor(factor), &image);
        parameter(error, &["width_factor", "(-1, 1]"]);
    }
    let error = refusal("random_contrast", RandomContrast::new(0.1).value_range(1.0, 1.0), &image);
    parameter(error, &["value_range", "the lower first"]);
    let filled = RandomZoom::new(0.1).fill_value(f32::INFINITY);
    parameter(refusal("random_zoom", filled, &image), &["fill_value", "finite"]);
    parameter(refusal("random_crop", RandomCrop::new(3, 0), &image), &["width = 0", "at least 1"]);
    // Images without the axis of channels.
    let flat = |error: Error| {
        assert!(matches!(error, Error::Shape { .. }), "{error:?}");
        says(&error, &["height, width, channels", "Reshape"]);
    };
    flat(refusal("random_flip", RandomFlip::default(), &[5, 5]));
    flat(refusal("random_crop", RandomCrop::new(3, 3), &[5, 5]));
    flat(refusal("random_zoom", RandomZoom::new(0.1), &[5, 5]));
    flat(refusal("random_contrast", RandomContrast::new(0.1), &[5, 5]));
    flat(refusal("random_brightness", RandomBrightness::new(0.1), &[5, 5]));
    // Places between pixels are not told apart beyond 2^20. Colours are not placed.
    let long = [1, (1 << 20) + 1, 1];
    let large =
        |error: Error| says(&error, &["1048577", "at most 1048576 pixels", "crop or resize"]);
    large(refusal("random_flip", RandomFlip::default(), &long));
    large(refusal("random_rotation", RandomRotation::new(0.1), &long));
    large(refusal("random_crop", RandomCrop::new(1, 1), &long));
    let part = RandomCrop::new(1, (1 << 20) + 1);
    parameter(refusal("random_crop", part, &image), &["width = 1048577", "at most 1048576"]);
    assert!(Sequential::new(long).add(RandomBrightness::new(0.1)).build().is_ok());
    assert!(Sequential::new([1, 1 << 20, 1]).add(RandomFlip::default()).build().is_ok());
}

/// A network whose images are changed in every way, before and behind a layer that is trained.
fn augmented() -> Result<Trainer> {
    let model = Sequential::new([7, 6, 2])
        .add(RandomFlip::default())
        .add(RandomTranslation::new(0.2, 0.1).fill_mode(FillMode::Wrap))
        .add(RandomBrightness::new(0.2).value_range(-2.0, 2.0))
        .add(Dense::new(4).activation(Activation::Tanh))
        .add(RandomRotation::new(0.1))
        .add(RandomZoom::new(0.2).fill_mode(FillMode::Constant))
        .add(RandomContrast::new(0.2).value_range(-1.0, 1.0))
        .add(RandomCrop::new(5, 5))
        .add(Flatten)
        .add(Dense::new(3));
    let loss = Loss::SparseCategoricalCrossentropy { from_logits: true };
    model.build()?.compile(support::device(), Compile::new(Adam::new(0.01), loss).seed(3))
}

#[test]
fn training_goes_on_with_the_same_bits_after_a_checkpoint() -> Result<()> {
    let labels: Vec<u32> = (0..20).map(|i| i % 3).collect();
    let data = TensorDataset::new(numbers(&[20, 7, 6, 2], 9), Tensor::u32([20], labels)?)?;
    let fit = |epochs| Fit::new().epochs(epochs).batch_size(8).verbose(Verbose::Silent);
    let bits = |trainer: &Trainer| -> Result<Vec<u32>> {
        let weights = trainer.weights()?;
        let words = weights.iter().flat_map(|(_, w)| w.as_f32().unwrap()).map(|v| v.to_bits());
        Ok(words.collect())
    };
    let mut whole = augmented()?;
    let start = bits(&whole)?;
    let history = whole.fit(&data, fit(4))?;
    assert!(history.get("loss").iter().all(|loss| loss.is_finite()));
    let end = bits(&whole)?;
    // The gradient reaches the layer before the images are turned.
    assert!((0..8).all(|i| start[i] != end[i]), "the first kernel is trained");
    let path =
        std::env::temp_dir().join(format!("wgrad-augment-{}.safetensors", std::process::id()));
    let mut first = augmented()?;
    first.fit(&data, fit(2))?;
    first.save_checkpoint(&path)?;
    let mut second = augmented()?;
    let read = second.load_checkpoint(&path);
    std::fs::remove_file(&path).expect("the file is there");
    read?;
    second.fit(&data, fit(4).initial_epoch(2))?;
    assert_eq!(bits(&second)?, end);
    // Evaluation changes nothing.
    assert_eq!(whole.evaluate(&data)?, whole.evaluate(&data)?);
    Ok(())
}
