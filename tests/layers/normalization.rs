//! Mean and variance of data, kept as weights that no step changes.

use super::*;
use support::device;
use wgrad::Result;

/// (x - mean) / max(sqrt(variance), 1e-7) along the kept axes of `[batch, ...]`, or its inverse.
fn normalised(
    x: &[f64],
    dims: &[usize],
    kept: &[usize],
    m: &[f64],
    v: &[f64],
    invert: bool,
) -> Vec<f64> {
    let one = |(i, &x): (usize, &f64)| {
        let mut at = 0;
        for &axis in kept {
            let stride: usize = dims[axis + 1..].iter().product();
            at = at * dims[axis] + i / stride % dims[axis];
        }
        let deviation = v[at].sqrt().max(1e-7);
        if invert { m[at] + x * deviation } else { (x - m[at]) / deviation }
    };
    x.iter().enumerate().map(one).collect()
}

/// Mean and variance of the elements that share a place along the kept axes.
fn moments_of(x: &[f64], dims: &[usize], kept: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let count: usize = kept.iter().map(|&axis| dims[axis]).product();
    let places: Vec<f64> = (0..count).map(|i| i as f64).collect();
    // The place of each element: what a mean of places would subtract.
    let of = normalised(&vec![0.0; x.len()], dims, kept, &places, &vec![1.0; count], false);
    let group = |place: usize| -> Vec<f64> {
        let own = x.iter().zip(&of).filter(|(_, p)| (**p + place as f64).abs() < 0.5);
        own.map(|(x, _)| *x).collect()
    };
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let both = |place| {
        let group = group(place);
        let m = mean(&group);
        (m, mean(&group.iter().map(|x| (x - m).powi(2)).collect::<Vec<_>>()))
    };
    (0..count).map(both).unzip()
}

/// Shape, axes as they are given, and axes of `[batch, ...]` that are kept.
const CASES: [(&[usize], &[isize], &[usize]); 9] = [
    (&[5, 7], &[-1], &[1]),
    (&[1, 1], &[1], &[1]),
    (&[65, 3], &[], &[]),
    (&[3, 5, 3], &[-1], &[2]),
    (&[3, 5, 3], &[1], &[1]),
    (&[3, 5, 3], &[2, 1], &[1, 2]),
    (&[2, 3, 4, 5], &[-3, -1], &[1, 3]),
    (&[2, 3, 4, 5], &[2], &[2]),
    (&[7, 4, 4], &[1], &[1]),
];

#[test]
fn it_agrees_with_the_oracle_in_value_and_gradient() {
    for (dims, axes, kept) in CASES {
        for invert in [false, true] {
            let layer = Normalization::new().axes(axes).invert(invert);
            let x = numbers(dims, 1);
            let specs = layer.weights(&samples(&[&x]));
            let shape: Vec<usize> = kept.iter().map(|&axis| dims[axis]).collect();
            assert_eq!([&*specs[0].name, &*specs[1].name], ["mean", "variance"]);
            assert!(specs.iter().all(|s| s.shape.dims() == shape && !s.is_trained()));
            let mean = numbers(&shape, 2);
            let variance =
                Tensor::f32(&shape[..], uniform(3, mean.shape().len(), 0.5, 2.0)).unwrap();
            let step = layer_step(&layer, &[&x], &[&mean, &variance], None).unwrap();
            check_gradients(&format!("{layer:?} {dims:?}"), &step, &[&x, &mean, &variance], |at| {
                normalised(&at[0], dims, kept, &at[1], &at[2], invert)
            });
        }
    }
}

#[test]
fn adapting_finds_mean_and_variance() -> Result<()> {
    for (dims, axes, kept) in CASES {
        let x = numbers(dims, 5);
        let layer = Normalization::new().axes(axes).adapt(&x)?;
        let specs = layer.weights(&samples(&[&x]));
        let (mean, variance) = moments_of(&wide(&x), dims, kept);
        let found = |i: usize| specs[i].values.clone().unwrap();
        assert_close(&format!("mean {dims:?}"), &found(0), &mean, 1e-7, 1e-7);
        assert_close(&format!("variance {dims:?}"), &found(1), &variance, 1e-7, 1e-7);
        // Bytes times a scale, as a model sees them.
        let bytes: Vec<u8> = (0..x.shape().len()).map(|i| (i * 71 % 251) as u8).collect();
        let scaled: Vec<f64> = bytes.iter().map(|&b| f64::from(b) * 0.25).collect();
        let layer = Normalization::new().axes(axes);
        let layer = layer.adapt_scaled(&Tensor::u8(dims, bytes)?, 0.25)?;
        let (mean, variance) = moments_of(&scaled, dims, kept);
        let specs = layer.weights(&samples(&[&x]));
        assert_close("mean", &specs[0].values.clone().unwrap(), &mean, 1e-5, 1e-6);
        assert_close("variance", &specs[1].values.clone().unwrap(), &variance, 1e-3, 1e-6);
    }
    Ok(())
}

/// The outputs of a model of this layer alone, for `[n, width]` samples.
fn outputs(layer: Normalization, width: usize, x: &[f32]) -> Result<Vec<f32>> {
    let compile = Compile::new(Sgd::new(0.1), Loss::MeanSquaredError);
    let mut trainer = Sequential::new([width]).add(layer).compile(device(), compile)?;
    let y = trainer.predict(&Tensor::f32([x.len() / width, width], x)?)?;
    Ok(y.as_f32()?.to_vec())
}

#[test]
fn the_examples_of_keras() -> Result<()> {
    let half = 0.5f64.sqrt();
    let close = |name: &str, got: &[f32], want: &[f64]| assert_close(name, got, want, 1e-6, 1e-6);
    let column = Tensor::f32([5, 1], [1.0, 2.0, 3.0, 4.0, 5.0])?;
    let all = Normalization::new().axes([]).adapt(&column)?;
    close("axis=None", &outputs(all, 1, &[1.0, 2.0, 3.0])?, &[-2.0 * half, -half, 0.0]);
    let rows = [0.0, 7.0, 4.0, 2.0, 9.0, 6.0, 0.0, 7.0, 4.0, 2.0, 9.0, 6.0];
    let rows = Tensor::f32([4, 3], rows)?;
    let last = Normalization::new().adapt(&rows)?;
    close("axis=-1", &outputs(last, 3, &[0.0, 7.0, 4.0])?, &[-1.0, -1.0, -1.0]);
    let given = Normalization::new().statistics([3.0], [2.0])?;
    close("given", &outputs(given, 1, &[1.0, 2.0, 3.0])?, &[-2.0 * half, -half, 0.0]);
    let invert = Normalization::new().invert(true).adapt(&rows)?;
    close("invert", &outputs(invert, 3, &[1.0, 2.0, 3.0])?, &[2.0, 10.0, 8.0]);
    // Before it is adapted it changes nothing; a number for all places is one for each.
    assert_eq!(outputs(Normalization::new(), 2, &[1.5, -3.0])?, [1.5, -3.0]);
    let each = Normalization::new().statistics([1.0], [4.0])?;
    assert_eq!(outputs(each, 2, &[1.5, -3.0])?, [0.25, -2.0]);
    Ok(())
}

#[test]
fn constants_give_zeros_however_many_there_are() -> Result<()> {
    let n = 10_007;
    let x = Tensor::f32([n, 2], [0.1, -1e30].repeat(n))?;
    let layer = Normalization::new().adapt(&x)?;
    assert_eq!(outputs(layer, 2, &[0.1, -1e30])?, [0.0, 0.0]);
    Ok(())
}

/// A model that has to learn from columns of very different size.
fn model(first: Normalization) -> Sequential {
    let hidden = Dense::new(8).activation(Activation::Tanh);
    Sequential::new([3]).add(first).add(hidden).add(Dense::new(1))
}

#[test]
fn training_leaves_it_and_files_hold_it() -> Result<()> {
    let columns = uniform(7, 300, -1.0, 1.0);
    let sized = |(i, x): (usize, &f32)| x * [1000.0, 1.0, 0.01][i % 3] + [5000.0, 0.0, 1.0][i % 3];
    let x = Tensor::f32([100, 3], columns.iter().enumerate().map(sized).collect::<Vec<_>>())?;
    let y: Vec<f32> = columns.chunks(3).map(|c| c[0] * c[1] + c[2]).collect();
    let data = TensorDataset::new(x.clone(), Tensor::f32([100, 1], y)?)?;
    let compile = || Compile::new(Adam::new(0.02), Loss::MeanSquaredError).seed(3);
    let fit = || Fit::new().epochs(60).verbose(Verbose::Silent);
    let mut trainer = model(Normalization::new().adapt(&x)?).compile(device(), compile())?;
    let before = trainer.weights()?;
    assert_eq!(before[0].0, "normalization/mean");
    let history = trainer.fit(&data, fit())?;
    let after = trainer.weights()?;
    assert_eq!(before[..2], after[..2]);
    assert_ne!(before[2..], after[2..]);
    let last = *history.get("loss").last().unwrap();
    // The control: the data without this layer saturates every unit.
    let mut raw = model(Normalization::new()).compile(device(), compile())?;
    let of_raw = *raw.fit(&data, fit())?.get("loss").last().unwrap();
    assert!(last < 0.05 && of_raw > 2.0 * last, "{last} and {of_raw}");
    // A process that has the files and no data to adapt to.
    let folder = std::env::temp_dir().join(format!("wgrad-normalization-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (weights, checkpoint) = (folder.join("weights"), folder.join("checkpoint"));
    trainer.save_weights(&weights)?;
    trainer.save_checkpoint(&checkpoint)?;
    let want = trainer.predict(&x)?;
    let fresh = || model(Normalization::new()).compile(device(), compile());
    let mut loaded = fresh()?;
    assert_ne!(loaded.predict(&x)?, want);
    loaded.load_weights(&weights)?;
    assert_eq!(loaded.predict(&x)?, want);
    let mut resumed = fresh()?;
    resumed.load_checkpoint(&checkpoint)?;
    assert_eq!(resumed.predict(&x)?, want);
    let further = || fit().epochs(62);
    trainer.load_checkpoint(&checkpoint)?;
    trainer.fit(&data, further())?;
    resumed.fit(&data, further())?;
    assert_eq!(resumed.weights()?, trainer.weights()?);
    std::fs::remove_dir_all(folder).unwrap();
    Ok(())
}

#[test]
fn what_does_not_suit_is_refused() -> Result<()> {
    let x = numbers(&[4, 5], 1);
    for axes in [vec![0], vec![2], vec![-2], vec![1, 1], vec![1, -1], vec![isize::MIN]] {
        let layer = Normalization::new().axes(axes.clone());
        let words = ["axes", &format!("{axes:?}"), "[5]", "0 is the batch"];
        says(&refusal("normalization", layer.clone(), &[5]), &words);
        says(&layer.adapt(&x).unwrap_err(), &words);
    }
    let new = Normalization::new;
    let adapted = new().adapt(&x)?;
    let words = ["adapted to [5]", "samples have [6]", "adapt to such samples"];
    says(&refusal("normalization", adapted.clone(), &[6]), &words);
    let words = ["along axes [-1]", "along axes [1]", "before `adapt`"];
    says(&refusal("normalization", adapted.axes([1]), &[5]), &words);
    let given = new().statistics([0.0; 3], [1.0; 3])?;
    says(&refusal("normalization", given, &[5]), &["3 means", "1 or 5 are expected"]);
    says(&new().statistics([0.0], [1.0, 1.0]).unwrap_err(), &["variances = 2", "1 means"]);
    says(&new().statistics([], []).unwrap_err(), &["variances = 0"]);
    says(&new().statistics([f32::NAN], [1.0]).unwrap_err(), &["mean = NaN"]);
    for bad in [-1.0, f32::INFINITY, f32::NAN] {
        says(&new().statistics([0.0], [bad]).unwrap_err(), &["variance = ", "0 or more"]);
    }
    let with = |bad: f32| Tensor::f32([2, 2], [0.0, 0.0, bad, 0.0]).unwrap();
    says(&new().adapt(&with(f32::NAN)).unwrap_err(), &["element 2 (row 1) is NaN", "clean"]);
    says(&new().adapt(&with(3e38)).unwrap_err(), &["variance", "as f32", "divide"]);
    says(&new().adapt(&Tensor::u32([2, 1], [1, 2])?).unwrap_err(), &["u32", "ids are not"]);
    says(&new().adapt(&Tensor::f32([0, 2], [])?).unwrap_err(), &["nothing to adapt to"]);
    says(&new().adapt(&Tensor::f32([], [1.0])?).unwrap_err(), &["counts samples"]);
    says(&new().adapt_scaled(&x, f32::NAN).unwrap_err(), &["scale = NaN"]);
    Ok(())
}

/// A layer whose weight has more or fewer initial values than elements.
#[derive(Debug)]
struct Miscounted(usize);

impl Layer for Miscounted {
    fn kind(&self) -> &'static str {
        "Miscounted"
    }
    fn output_shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0].clone())
    }
    fn weights(&self, _inputs: &[Shape]) -> Vec<wgrad::layers::WeightSpec> {
        let spec =
            wgrad::layers::WeightSpec::new("w", [3], Initializer::Zeros, Regularizer::default());
        vec![spec.values(vec![1.0; self.0])]
    }
    fn apply(&self, g: &mut Graph, cx: &Context) -> Result<Outputs> {
        Ok(g.add(cx.input(), cx.weight("w")?)?.into())
    }
}

#[test]
fn a_weight_begins_as_one_value_for_each_element() {
    for count in [0, 2, 4] {
        let error = refusal("miscounted", Miscounted(count), &[3]);
        says(&error, &[&format!("`w` begins as {count} values"), "[3]"]);
    }
    assert!(Sequential::new([3]).add(Miscounted(3)).build().is_ok());
}
