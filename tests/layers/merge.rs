//! Add, Subtract, Multiply, Average, Maximum, Minimum and Concatenate.

use super::*;
use reference::linalg::{broadcast_shape, broadcast_to, concatenate};

/// How two numbers become one.
type Fold = fn(f64, f64) -> f64;

/// Each layer with the same in f64, and whether the result is then divided by the count.
fn elementwise() -> [(LayerHandle, Fold, bool); 5] {
    [
        (Add.into(), |a, b| a + b, false),
        (Multiply.into(), |a, b| a * b, false),
        (Average.into(), |a, b| a + b, true),
        (Maximum.into(), f64::max, false),
        (Minimum.into(), f64::min, false),
    ]
}

/// A model of one layer that takes tensors of these sample shapes.
fn merged(layer: impl Into<LayerHandle>, shapes: &[Shape]) -> Result<Model> {
    let inputs: Vec<SymbolicTensor> = shapes.iter().cloned().map(input).collect();
    Model::new(&inputs, [&merge(layer, &inputs)])
}

#[test]
fn sums_products_and_means_agree_with_the_oracle() {
    let shape_lists: [&[&[usize]]; 7] = [
        &[&[3, 7], &[3, 7]],
        &[&[3, 7], &[3, 7], &[3, 7]],
        &[&[3, 5, 7], &[3, 1, 7]],
        &[&[3, 1, 7], &[3, 5, 1], &[3, 1, 1]],
        &[&[1, 1], &[1, 4]],
        &[&[5], &[5]],
        &[&[2, 3][..]; 11],
    ];
    for shapes in shape_lists {
        for (layer, f, mean) in elementwise() {
            let x: Vec<Tensor> = shapes.iter().zip(1..).map(|(s, i)| numbers(s, i)).collect();
            let model = merged(layer, &samples(&refs(&x))).unwrap();
            let step = model_step(&model, &refs(&x), &[], None).unwrap();
            let to = shapes.iter().fold(vec![1], |a, &b| broadcast_shape(&a, b).unwrap());
            assert_eq!(step.outputs[0].shape().dims(), to);
            let name = format!("{} of {shapes:?}", model.layers()[0].name);
            check_gradients(&name, &step, &refs(&x), |at| {
                let spread = |i: usize| broadcast_to(&at[i], shapes[i], &to);
                let join =
                    |a: Vec<f64>, i| a.iter().zip(spread(i)).map(|(a, b)| f(*a, b)).collect();
                let total = (1..at.len()).fold(spread(0), join);
                let count = if mean { at.len() as f64 } else { 1.0 };
                total.iter().map(|v| v / count).collect()
            });
        }
    }
}

#[test]
fn differences_are_of_exactly_two() {
    for shapes in [[&[3, 7][..], &[3, 7]], [&[3, 5, 7], &[3, 1, 7]], [&[1, 1], &[1, 4]]] {
        let x: Vec<Tensor> = shapes.iter().zip(1..).map(|(s, i)| numbers(s, i)).collect();
        let model = merged(Subtract, &samples(&refs(&x))).unwrap();
        let step = model_step(&model, &refs(&x), &[], None).unwrap();
        let to = broadcast_shape(shapes[0], shapes[1]).unwrap();
        check_gradients(&format!("difference of {shapes:?}"), &step, &refs(&x), |at| {
            let spread = |i: usize| broadcast_to(&at[i], shapes[i], &to);
            spread(0).iter().zip(spread(1)).map(|(a, b)| a - b).collect()
        });
    }
    let three: &[&[usize]] = &[&[3], &[3], &[3]];
    refused(Subtract, &three[..1], &["layer `subtract`", "inputs = 1", "exactly two"]);
    refused(Subtract, three, &["layer `subtract`", "inputs = 3", "exactly two"]);
    refused(Subtract, &[&[3], &[4]], &["layer `subtract`", "[3], [4]", "equal or 1"]);
}

/// A derivative at a tie is each library's own choice.
#[test]
fn of_equal_elements_the_first_has_the_gradient() {
    let x = [Tensor::f32([1, 2], [1.0, 5.0]).unwrap(), Tensor::f32([1, 2], [1.0, 4.0]).unwrap()];
    for (layer, second) in [(LayerHandle::from(Maximum), [1.0, 0.0]), (Minimum.into(), [0.0, 1.0])]
    {
        let model = merged(layer, &samples(&refs(&x))).unwrap();
        let step = model_step(&model, &refs(&x), &[], None).unwrap();
        let dy = upstream(0, 2);
        assert_eq!(step.inputs[0], [dy[0], second[0] * dy[1]]);
        assert_eq!(step.inputs[1], [0.0, second[1] * dy[1]]);
    }
}

#[test]
fn concatenate_agrees_with_the_oracle_along_every_axis() {
    let cases: [(isize, usize, &[&[usize]]); 8] = [
        (-1, 1, &[&[3, 5], &[3, 2]]),
        (1, 1, &[&[1, 1], &[1, 1]]),
        (1, 1, &[&[2, 3, 4], &[2, 1, 4], &[2, 5, 4]]),
        (2, 2, &[&[2, 3, 4], &[2, 3, 1]]),
        (-2, 1, &[&[2, 3, 4], &[2, 6, 4]]),
        (-1, 3, &[&[2, 3, 2, 4], &[2, 3, 2, 3]]),
        (-3, 1, &[&[2, 3, 2, 4], &[2, 1, 2, 4]]),
        (-1, 1, &[&[3, 2][..]; 17]),
    ];
    for (axis, counted, shapes) in cases {
        let x: Vec<Tensor> = shapes.iter().zip(1..).map(|(s, i)| numbers(s, i)).collect();
        let model = merged(Concatenate::new(axis), &samples(&refs(&x))).unwrap();
        let step = model_step(&model, &refs(&x), &[], None).unwrap();
        check_gradients(&format!("Concatenate {axis} of {shapes:?}"), &step, &refs(&x), |at| {
            concatenate(&at.iter().map(Vec::as_slice).collect::<Vec<_>>(), shapes, counted)
        });
        let mut dims = shapes[0].to_vec();
        dims[counted] = shapes.iter().map(|s| s[counted]).sum();
        assert_eq!(step.outputs[0].shape().dims(), dims);
        assert_eq!(model.output_shapes()[0].dims(), &dims[1..]);
    }
    assert_eq!(Concatenate::default(), Concatenate::new(-1));
}

/// The same tensor may be in several places: its gradient is the sum over them.
#[test]
fn a_tensor_merged_with_itself() {
    let x = input([3]);
    let model = Model::new([&x], [&merge(Concatenate::default(), [&x, &x, &x])]).unwrap();
    let t = numbers(&[2, 3], 1);
    let step = model_step(&model, &[&t], &[], None).unwrap();
    check_gradients("thrice", &step, &[&t], |at| {
        concatenate(&[&at[0], &at[0], &at[0]], &[&[2, 3][..]; 3], 1)
    });
    let model = Model::new([&x], [&merge(Multiply, [&x, &x])]).unwrap();
    let step = model_step(&model, &[&t], &[], None).unwrap();
    check_gradients("square", &step, &[&t], |at| at[0].iter().map(|v| v * v).collect());
}

#[track_caller]
fn refused(layer: impl Into<LayerHandle>, shapes: &[&[usize]], words: &[&str]) {
    let shapes: Vec<Shape> = shapes.iter().map(|s| Shape::from(*s)).collect();
    says(&merged(layer, &shapes).unwrap_err(), words);
}

#[test]
fn shapes_that_do_not_fit_name_the_layer_and_all_shapes() {
    for (layer, name) in [
        (LayerHandle::from(Add), "add"),
        (Multiply.into(), "multiply"),
        (Average.into(), "average"),
        (Maximum.into(), "maximum"),
        (Minimum.into(), "minimum"),
    ] {
        let layer = || layer.clone();
        let prefix = format!("layer `{name}`");
        let both: &[&str] = &[&prefix, "[3], [4]", "equal or 1"];
        refused(layer(), &[&[3], &[4]], both);
        refused(layer(), &[&[2, 3], &[1, 3], &[3, 3]], &[&prefix, "[2, 3], [1, 3], [3, 3]"]);
        refused(layer(), &[&[2, 3], &[3]], &[&prefix, "[2, 3], [3]", "one rank"]);
        refused(layer(), &[&[3]], &[&prefix, "inputs = 1", "two tensors or more"]);
    }
    let join = Concatenate::new;
    let prefix = "layer `concatenate`";
    refused(join(-1), &[&[2, 3], &[4, 3]], &[prefix, "[2, 3], [4, 3]", "but that of axis 2"]);
    refused(join(1), &[&[2, 3], &[2, 4]], &[prefix, "[2, 3], [2, 4]", "but that of axis 1"]);
    refused(join(-1), &[&[2, 3], &[3]], &[prefix, "[2, 3], [3]"]);
    refused(join(1), &[&[3]], &[prefix, "inputs = 1", "two tensors or more"]);
    for axis in [0, 3, -3, isize::MIN, isize::MAX] {
        let axis_is = format!("axis = {axis}");
        refused(join(axis), &[&[2, 3], &[2, 3]], &[prefix, &axis_is, "1 to 2, or -2 to -1"]);
    }
    refused(join(-1), &[&[], &[]], &[prefix, "axis = -1", "reshape them to [1]"]);
    refused(join(1), &[&[1 << 31], &[1 << 31]], &[prefix, "4294967295"]);
}

#[test]
fn layers_of_one_tensor_refuse_several() {
    let (a, b) = (input([3]), input([3]));
    let error = Model::new([&a, &b], [&merge(Dense::new(2), [&a, &b])]).unwrap_err();
    says(&error, &["layer `dense`", "inputs = 2", "Dense takes one tensor"]);
}
