//! Layers that change the extents of images: padding, cropping, upsampling, resizing; and dropout of channels.

use super::*;
use reference::linalg::{pad, unravel};
use support::device;
use wgrad::layers::Margins;

/// The element of `y` at each place of `to`, by `f`, which is given the place.
fn each(to: &[usize], f: impl Fn(&[usize]) -> f64) -> Vec<f64> {
    (0..to.iter().product()).map(|i| f(&unravel(i, to))).collect()
}

/// The element of `x` at a place.
fn at(x: &[f64], shape: &[usize], place: &[usize]) -> f64 {
    x[place.iter().zip(shape).fold(0, |at, (p, d)| at * d + p)]
}

/// The extents along the spatial axes of [batch, extents.., channels] changed by `f`.
fn resized(shape: &[usize], f: impl Fn(usize, usize) -> usize) -> Vec<usize> {
    let last = shape.len() - 1;
    let extent = |(a, &d): (usize, &usize)| if a == 0 || a == last { d } else { f(a - 1, d) };
    shape.iter().enumerate().map(extent).collect()
}

/// Checks a layer by its formula, and that its gradient is not zero and comes with the same bits again.
#[track_caller]
fn check(layer: &dyn Layer, shape: &[usize], to: &[usize], f: impl Fn(&[f64]) -> Vec<f64>) {
    let x = numbers(shape, 3);
    let step = layer_step(layer, &[&x], &[], None).unwrap();
    assert_eq!(step.outputs[0].shape().dims(), to, "{layer:?}");
    check_gradients(&format!("{layer:?} {shape:?}"), &step, &[&x], |at| f(&at[0]));
    assert!(step.inputs[0].iter().any(|d| d.abs() > 0.1), "{layer:?}");
    for _ in 0..9 {
        let again = layer_step(layer, &[&x], &[], None).unwrap();
        assert_eq!((again.y(), &again.inputs), (step.y(), &step.inputs), "{layer:?}");
    }
}

fn check_padding<const N: usize>(shape: &[usize], margins: [[usize; 2]; N]) {
    let around = [&[[0, 0]], margins.as_slice(), &[[0, 0]]].concat();
    let to = resized(shape, |a, d| margins[a][0] + d + margins[a][1]);
    check(&ZeroPaddingOf::<N>::new(margins), shape, &to, |x| pad(x, shape, &around, 0.0));
}

fn check_cropping<const N: usize>(shape: &[usize], margins: [[usize; 2]; N]) {
    let to = resized(shape, |a, d| d - margins[a][0] - margins[a][1]);
    check(&CroppingOf::<N>::new(margins), shape, &to, |x| {
        each(&to, |place| {
            let mut from = place.to_vec();
            from[1..=N].iter_mut().zip(margins).for_each(|(p, m)| *p += m[0]);
            at(x, shape, &from)
        })
    });
}

fn check_repeats<const N: usize>(shape: &[usize], size: [usize; N]) {
    let to = resized(shape, |a, d| d * size[a]);
    check(&UpSamplingOf::<N>::new(size), shape, &to, |x| {
        each(&to, |place| {
            let mut from = place.to_vec();
            from[1..=N].iter_mut().zip(size).for_each(|(p, s)| *p /= s);
            at(x, shape, &from)
        })
    });
}

use wgrad::layers::{
    Cropping as CroppingOf, UpSampling as UpSamplingOf, ZeroPadding as ZeroPaddingOf,
};

#[test]
fn padding_cropping_and_repeating_agree_with_the_oracle() {
    check_padding::<1>(&[2, 5, 3], [[1, 2]]);
    check_padding::<1>(&[1, 1, 1], [[0, 3]]);
    check_padding::<2>(&[2, 3, 5, 4], [[1, 1], [2, 0]]);
    check_padding::<2>(&[3, 4, 1, 7], [[0, 0], [0, 1]]);
    check_padding::<3>(&[2, 2, 3, 1, 3], [[1, 0], [0, 2], [1, 1]]);
    check_padding::<3>(&[2, 2, 3, 2, 3], [[1, 0], [0, 0], [0, 0]]);
    check_cropping::<1>(&[2, 5, 3], [[1, 2]]);
    check_cropping::<2>(&[2, 7, 5, 4], [[1, 3], [0, 2]]);
    check_cropping::<2>(&[1, 3, 3, 1], [[1, 1], [2, 0]]);
    check_cropping::<3>(&[2, 3, 4, 5, 3], [[1, 0], [0, 2], [1, 3]]);
    check_repeats::<1>(&[2, 5, 3], [3]);
    check_repeats::<2>(&[2, 3, 5, 4], [2, 3]);
    check_repeats::<2>(&[1, 1, 1, 7], [5, 1]);
    check_repeats::<3>(&[2, 2, 1, 3, 3], [2, 3, 1]);
}

/// A line of `from` numbers as a line of `to`, by the definition: the value at the middle of each new element.
fn line(x: &[f64], to: usize, way: Interpolation) -> Vec<f64> {
    let from = x.len();
    let value = |i: usize| {
        let middle = (i as f64 + 0.5) * from as f64 / to as f64;
        if way == Interpolation::Nearest {
            return x[middle as usize];
        }
        // Each old element is a tent around its middle; those beyond the edge are the outermost one.
        let old = |j: isize| x[j.clamp(0, from as isize - 1) as usize];
        (-1..=from as isize)
            .map(|j| old(j) * (1.0 - (middle - 0.5 - j as f64).abs()).max(0.0))
            .sum()
    };
    (0..to).map(value).collect()
}

/// Images of another size, one axis after the other.
fn resize(x: &[f64], shape: &[usize], to: [usize; 2], way: Interpolation) -> Vec<f64> {
    let [n, h, w, c] = *shape else { panic!("images") };
    let columns = |b: usize, j: usize, k: usize| {
        let own: Vec<f64> = (0..h).map(|i| at(x, shape, &[b, i, j, k])).collect();
        line(&own, to[0], way)
    };
    let tall = [n, to[0], w, c];
    let high = each(&tall, |p| columns(p[0], p[2], p[3])[p[1]]);
    each(&[n, to[0], to[1], c], |p| {
        let own: Vec<f64> = (0..w).map(|j| at(&high, &tall, &[p[0], p[1], j, p[3]])).collect();
        line(&own, to[1], way)[p[2]]
    })
}

#[test]
fn interpolation_agrees_with_the_oracle() {
    use Interpolation::{Bilinear, Nearest};
    for (shape, size) in [([2, 3, 5, 3], [2, 3]), ([1, 1, 2, 4], [3, 2]), ([2, 4, 3, 1], [1, 2])] {
        let layer = UpSampling2D::new(size).interpolation(Bilinear);
        let to = [shape[1] * size[0], shape[2] * size[1]];
        let all = [shape[0], to[0], to[1], shape[3]];
        check(&layer, &shape, &all, |x| resize(x, &shape, to, Bilinear));
    }
    for way in [Nearest, Bilinear] {
        for (shape, to) in [
            ([2, 5, 4, 3], [7, 9]),
            ([1, 7, 9, 2], [3, 4]),
            ([2, 4, 5, 1], [4, 2]),
            ([1, 1, 3, 5], [4, 1]),
        ] {
            let layer = Resizing::new(to[0], to[1]).interpolation(way);
            let all = [shape[0], to[0], to[1], shape[3]];
            check(&layer, &shape, &all, |x| resize(x, &shape, to, way));
        }
    }
}

#[test]
fn the_ratio_of_height_and_width_is_kept_if_asked_for() {
    let way = Interpolation::Bilinear;
    // [height, width] of the part in the middle, and where it begins.
    for (shape, to, part, start) in [
        ([2, 8, 5, 3], [3, 3], [5, 5], [1, 0]),
        ([1, 5, 9, 2], [4, 2], [5, 2], [0, 3]),
        ([1, 4, 4, 1], [2, 2], [4, 4], [0, 0]),
    ] {
        let cut = |x: &[f64]| {
            let inside = [shape[0], part[0], part[1], shape[3]];
            let x =
                each(&inside, |p| at(x, &shape, &[p[0], p[1] + start[0], p[2] + start[1], p[3]]));
            resize(&x, &inside, to, way)
        };
        let all = [shape[0], to[0], to[1], shape[3]];
        check(&Resizing::new(to[0], to[1]).crop_to_aspect_ratio(true), &shape, &all, cut);
    }
    for (shape, to, margin) in [
        ([2, 8, 5, 3], [3, 3], [0, 1]),
        ([1, 5, 9, 2], [4, 4], [2, 0]),
        ([1, 4, 4, 1], [2, 2], [0, 0]),
    ] {
        let padded = |x: &[f64]| {
            let around = [[0; 2], [margin[0]; 2], [margin[1]; 2], [0; 2]];
            let x = pad(x, &shape, &around, 0.5);
            let grown = [shape[0], shape[1] + 2 * margin[0], shape[2] + 2 * margin[1], shape[3]];
            resize(&x, &grown, to, way)
        };
        let all = [shape[0], to[0], to[1], shape[3]];
        let layer = Resizing::new(to[0], to[1]).pad_to_aspect_ratio(true).fill_value(0.5);
        check(&layer, &shape, &all, padded);
    }
}

#[test]
fn the_middle_is_cut_out_or_resized() {
    let shape = [2, 7, 6, 3];
    check(&CenterCrop::new(4, 3), &shape, &[2, 4, 3, 3], |x| {
        each(&[2, 4, 3, 3], |p| at(x, &shape, &[p[0], p[1] + 1, p[2] + 1, p[3]]))
    });
    // Too few rows: the whole width of 6 has a height of 6 · 8 / 4 = 12, which is cut to 7; the height of 7 a width of 3.
    check(&CenterCrop::new(8, 4), &shape, &[2, 8, 4, 3], |x| {
        let part = each(&[2, 7, 3, 3], |p| at(x, &shape, &[p[0], p[1], p[2] + 1, p[3]]));
        resize(&part, &[2, 7, 3, 3], [8, 4], Interpolation::Bilinear)
    });
}

#[test]
fn pixels_are_rescaled() {
    let shape = [2, 3, 5];
    check(&Rescaling::new(0.25).offset(-1.5), &shape, &shape, |x| {
        x.iter().map(|v| v * 0.25 - 1.5).collect()
    });
    check(&Rescaling::new(2.0), &shape, &shape, |x| x.iter().map(|v| v * 2.0).collect());
}

fn check_channels<const N: usize>(shape: &[usize]) {
    let layer = wgrad::layers::SpatialDropout::<N>::new(0.4);
    let random = [5, 6, 7];
    let x = numbers(shape, 4);
    let step = layer_step(&layer, &[&x], &[], Some(random)).unwrap();
    let (n, c) = (shape[0], shape[N + 1]);
    let drawn = drawn(n * c, random);
    let kept = |i: usize| {
        let place = unravel(i, shape);
        if drawn[place[0] * c + place[N + 1]] >= f64::from(0.4f32) { 1.0 / 0.6 } else { 0.0 }
    };
    check_gradients(&format!("channels {shape:?}"), &step, &[&x], |at| {
        at[0].iter().enumerate().map(|(i, v)| v * kept(i)).collect()
    });
    let dropped = step.y().iter().filter(|v| **v == 0.0).count();
    assert!(dropped > 0 && dropped < x.shape().len(), "{shape:?}: {dropped}");
    draws_anew(&layer, &x);
    let still = layer_step(&layer, &[&x], &[], None).unwrap();
    assert_eq!(still.y(), x.as_f32().unwrap());
}

#[test]
fn whole_channels_are_dropped() {
    check_channels::<1>(&[5, 3, 7]);
    check_channels::<2>(&[3, 5, 2, 9]);
    check_channels::<3>(&[3, 2, 1, 3, 8]);
}

/// Of the layers alone: what reads a crop, repeated elements or zeros around an image reads the images.
#[test]
fn crops_repeats_and_margins_cost_no_copy() -> Result<()> {
    let dispatches = |layer: LayerHandle| -> Result<usize> {
        let mut g = Graph::new();
        let x = g.input("x", [4, 6, 6, 8], DType::F32);
        let cx = Context::new("layer", &[x]);
        let y = layer.layer().apply(&mut g, &cx)?.values[0];
        let y = g.unary("tanh", y, &[])?;
        g.output("y", y);
        let passes = wgrad::passes::Passes::default();
        let plan = wgrad::plan::Plan::compile(&g, &passes, device().caps())?;
        Ok(plan.dispatches.len())
    };
    assert_eq!(dispatches(Cropping2D::new(1).into())?, 1);
    assert_eq!(dispatches(UpSampling2D::new(2).into())?, 1);
    assert_eq!(dispatches(CenterCrop::new(3, 3).into())?, 1);
    assert_eq!(dispatches(ZeroPadding2D::new(2).into())?, 1);
    assert_eq!(dispatches(Rescaling::new(0.5).offset(1.0).into())?, 1);
    // A kernel for each axis, and the activation.
    assert!(dispatches(Resizing::new(9, 9).into())? <= 3);
    Ok(())
}

/// A pixel that is infinite or no number spoils those that are made of it, and no other; gradients stay finite.
#[test]
fn an_infinite_pixel_stays_where_it_is() -> Result<()> {
    let shape = [2, 6, 7, 3];
    let place = ((4 + 6) * 7 + 3) * 3 + 1;
    for spoiled in [f32::INFINITY, f32::NAN] {
        let clean = numbers(&shape, 5);
        let mut values = clean.as_f32()?.to_vec();
        values[place] = spoiled;
        let dirty = Tensor::f32(shape, values)?;
        let bilinear = Interpolation::Bilinear;
        let layers: [(LayerHandle, Option<usize>); 6] = [
            (Resizing::new(9, 11).into(), None),
            (Resizing::new(9, 11).interpolation(Interpolation::Nearest).into(), None),
            (Resizing::new(3, 4).into(), None),
            (UpSampling2D::new(2).interpolation(bilinear).into(), Some(16)),
            (AdaptiveAveragePooling2D::new([4, 3]).into(), None),
            (AdaptiveAveragePooling2D::new([3, 7]).into(), Some(1)),
        ];
        for (layer, count) in layers {
            let name = format!("{:?} with {spoiled}", layer.layer());
            let [clean, dirty] =
                [&clean, &dirty].map(|x| layer_step(layer.layer(), &[x], &[], None));
            let (clean, dirty) = (clean?, dirty?);
            let bad = |v: &&f32| !v.is_finite();
            let spoiled = dirty.y().iter().filter(bad).count();
            assert!(spoiled > 0 && spoiled <= 16, "{name}: {spoiled} of {}", dirty.y().len());
            assert!(count.is_none_or(|count| count == spoiled), "{name}: {spoiled}");
            let others = clean.y().iter().zip(dirty.y()).filter(|(_, d)| d.is_finite());
            assert!(others.into_iter().all(|(c, d)| c.to_bits() == d.to_bits()), "{name}");
        }
    }
    Ok(())
}

#[test]
fn sizes_that_do_not_suit_are_refused() {
    let rank = |name: &str, layer: LayerHandle, sample: &[usize], words: &[&str]| {
        let error = Sequential::new(sample).add(layer).build().unwrap_err();
        says(&error, &[&format!("layer `{name}`")]);
        says(&error, words);
    };
    let images = ["[28, 28]", "[height, width, channels]", "Reshape"];
    rank("zero_padding2d", ZeroPadding2D::default().into(), &[28, 28], &images);
    rank("cropping2d", Cropping2D::default().into(), &[28, 28], &images);
    rank("up_sampling2d", UpSampling2D::default().into(), &[28, 28], &images);
    rank("resizing", Resizing::new(3, 3).into(), &[28, 28], &images);
    rank("center_crop", CenterCrop::new(3, 3).into(), &[28, 28], &images);
    rank("spatial_dropout2d", SpatialDropout2D::new(0.5).into(), &[28, 28], &images);
    rank("zero_padding1d", ZeroPadding1D::default().into(), &[3, 4, 5], &["[steps, channels]"]);
    let volumes = &["[4, 4, 4]", "[depth, height, width, channels]"];
    rank("up_sampling3d", UpSampling3D::default().into(), &[4, 4, 4], volumes);
    let all = &["[5, 7, 2]", "3 and 2 elements", "axis 1 of 5", "crop less"];
    rank("cropping2d", Cropping2D::new([[3, 2], [0, 0]]).into(), &[5, 7, 2], all);
    let huge = Cropping2D::new([[0, 0], [usize::MAX, 1]]);
    rank("cropping2d", huge.into(), &[5, 7, 2], &["axis 2 of 7"]);
    rank("up_sampling1d", UpSampling1D::new(0).into(), &[5, 7], &["size = [0]", "1 or more"]);
    rank("resizing", Resizing::new(0, 3).into(), &[5, 7, 2], &["height = 0", "one pixel"]);
    rank("center_crop", CenterCrop::new(3, 0).into(), &[5, 7, 2], &["width = 0"]);
    let both = Resizing::new(3, 3).crop_to_aspect_ratio(true).pad_to_aspect_ratio(true);
    rank("resizing", both.into(), &[5, 7, 2], &["pad_to_aspect_ratio", "choose one"]);
    let fill = Resizing::new(3, 3).fill_value(f32::NAN);
    rank("resizing", fill.into(), &[5, 7, 2], &["fill_value = NaN"]);
    for bad in [f32::NAN, f32::INFINITY] {
        rank("rescaling", Rescaling::new(bad).into(), &[3], &["scale = ", "finite"]);
        rank("rescaling", Rescaling::new(1.0).offset(bad).into(), &[3], &["offset = "]);
    }
    for bad in [-0.1, 1.0, f32::NAN] {
        rank(
            "spatial_dropout1d",
            SpatialDropout1D::new(bad).into(),
            &[3, 4],
            &["rate = ", "[0, 1)"],
        );
    }
    // A shape past all memory is an error, and no overflow.
    let huge = ZeroPadding2D::new(usize::MAX);
    assert!(Sequential::new([5, 7, 2]).add(huge).build().is_err());
    let huge = UpSampling2D::new(usize::MAX);
    assert!(Sequential::new([5, 7, 2]).add(huge).build().is_err());
}

#[test]
fn margins_are_given_in_keras_ways() {
    let all = Margins::<2>::from(((1, 2), (3, 4)));
    assert_eq!(all.0, [[1, 2], [3, 4]]);
    assert_eq!(Margins::<3>::from([1, 0, 2]).0, [[1, 1], [0, 0], [2, 2]]);
}
