//! Reshape and Permute.

use super::*;
use reference::linalg::transpose;

#[test]
fn reshape_keeps_the_elements_in_order() {
    let cases: [(&[usize], &[isize], &[usize]); 8] = [
        (&[3, 12], &[3, 4], &[3, 4]),
        (&[3, 12], &[-1, 4], &[3, 4]),
        (&[1, 12], &[2, -1, 3], &[2, 2, 3]),
        (&[2, 5, 7], &[35], &[35]),
        (&[2, 5, 7], &[-1], &[35]),
        (&[2, 6], &[6, -1], &[6, 1]),
        (&[4, 1], &[], &[]),
        (&[4], &[1, -1], &[1, 1]),
    ];
    for (from, target, to) in cases {
        let layer = Reshape::new(target);
        let x = numbers(from, 1);
        assert_eq!(layer.output_shape(&samples(&[&x])).unwrap().dims(), to);
        let step = layer_step(&layer, &[&x], &[], None).unwrap();
        assert_eq!(step.y(), x.as_f32().unwrap());
        assert_eq!(step.inputs[0], upstream(0, x.shape().len()));
    }
}

#[test]
fn reshape_refuses_what_does_not_fill_the_shape() {
    let bad_shapes: [&[isize]; 5] = [&[-1, -1], &[0, 12], &[0, -1], &[-2, 6], &[isize::MIN]];
    for bad in bad_shapes {
        let error = refusal("reshape", Reshape::new(bad), &[12]);
        assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
        says(&error, &[&format!("shape = {bad:?}"), "1 or more", "-1"]);
    }
    for bad in [&[5][..], &[5, -1], &[3, 5], &[24, -1], &[isize::MAX, isize::MAX], &[]] {
        let error = refusal("reshape", Reshape::new(bad), &[12]);
        assert!(matches!(error, Error::Shape { .. }), "{error:?}");
        says(&error, &["[12]", "12 elements", &format!("{bad:?}")]);
    }
}

#[test]
fn permute_agrees_with_the_oracle_in_value_and_gradient() {
    let cases: [(&[usize], &[usize]); 6] = [
        (&[3, 5, 7], &[2, 1]),
        (&[3, 5, 7], &[1, 2]),
        (&[2, 3, 4, 5], &[3, 1, 2]),
        (&[1, 3, 1, 8], &[3, 2, 1]),
        (&[5, 4], &[1]),
        (&[5], &[]),
    ];
    for (shape, dims) in cases {
        let x = numbers(shape, 2);
        let step = layer_step(&Permute::new(dims), &[&x], &[], None).unwrap();
        let axes = [&[0], dims].concat();
        check_gradients(&format!("Permute {dims:?}"), &step, &[&x], |at| {
            transpose(&at[0], shape, &axes)
        });
    }
}

#[test]
fn permute_refuses_what_is_no_permutation() {
    for bad in [&[1][..], &[0, 1], &[1, 1], &[2, 3], &[1, 2, 3], &[], &[usize::MAX, 1]] {
        let error = refusal("permute", Permute::new(bad), &[4, 5]);
        assert!(matches!(error, Error::Parameter { .. }), "{error:?}");
        says(&error, &[&format!("dims = {bad:?}"), "[4, 5]", "1 to 2"]);
    }
}

/// Ids may get another shape before their table, but a layer that moves elements needs numbers.
#[test]
fn ids_are_reshaped_and_not_transposed() {
    let ids = input([6]);
    let rows = ids.then(Reshape::new([2, 3])).then(Embedding::new(5, 2));
    let model = Model::new([&ids], [&rows]).unwrap();
    let x = Tensor::u32([2, 6], [0, 1, 2, 3, 4, 4, 3, 2, 1, 0, 0, 1]).unwrap();
    let table = numbers(&[5, 2], 3);
    let step = model_step(&model, &[&x], &[&table], None);
    let index: Vec<usize> = x.as_u32().unwrap().iter().map(|&i| i as usize).collect();
    let want = reference::linalg::gather_rows(&wide(&table), 2, &index);
    let step = step.unwrap();
    assert_eq!(step.outputs[0].shape().dims(), [2, 2, 3, 2]);
    assert_close("rows", step.y(), &want, 0.0, 0.0);

    let matrix = Tensor::u32([1, 2, 3], [0; 6]).unwrap();
    let error = layer_step(&Permute::new([2, 1]), &[&matrix], &[], None).err().unwrap();
    assert!(matches!(error, Error::DType { .. }), "{error:?}");
    says(&error, &["transpose", "u32", "f32"]);
}
