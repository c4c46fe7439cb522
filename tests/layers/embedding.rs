//! Embedding.

use super::*;
use reference::linalg::gather_rows;

fn ids(shape: &[usize], rows: usize, seed: u32) -> Tensor {
    let x = uniform(seed, shape.iter().product(), 0.0, rows as f32);
    Tensor::u32(shape, x.iter().map(|&v| v as u32).collect::<Vec<_>>()).unwrap()
}

fn indices(ids: &Tensor) -> Vec<usize> {
    ids.as_u32().unwrap().iter().map(|&i| i as usize).collect()
}

#[test]
fn rows_and_their_gradients_agree_with_the_oracle() {
    let shapes: [&[usize]; 5] = [&[1], &[9], &[4, 7], &[1, 5], &[2, 3, 5]];
    for shape in shapes {
        for (rows, columns) in [(1, 1), (5, 3), (11, 4), (300, 1)] {
            let layer = Embedding::new(rows, columns);
            assert_eq!(layer.takes_indices(), Some(rows));
            let (x, table) = (ids(shape, rows, 1), numbers(&[rows, columns], 2));
            let step = layer_step(&layer, &[&x], &[&table], None).unwrap();
            assert_eq!(step.outputs[0].shape().dims(), [shape, &[columns]].concat());
            let name = format!("Embedding {rows}x{columns} of {shape:?}");
            check_gradients(&name, &step, &[&table], |at| {
                gather_rows(&at[0], columns, &indices(&x))
            });
        }
    }
}

#[test]
fn a_row_gets_the_sum_over_its_uses_and_an_unused_one_nothing() {
    let x = Tensor::u32([3, 4], [2, 2, 2, 2, 0, 2, 0, 2, 2, 2, 2, 2]).unwrap();
    let step = layer_step(&Embedding::new(4, 2), &[&x], &[&numbers(&[4, 2], 3)], None);
    let mut want = [[0.0; 2]; 4];
    let dy = widen(&upstream(0, 24));
    for (row, dy) in indices(&x).into_iter().zip(dy.chunks(2)) {
        want[row].iter_mut().zip(dy).for_each(|(sum, d)| *sum += d);
    }
    let step = step.unwrap();
    assert_close("sums", &step.weights[0], &want.concat(), 1e-6, 0.0);
    assert_eq!((&step.weights[0][2..4], &step.weights[0][6..]), (&[0.0; 2][..], &[0.0; 2][..]));
}

#[test]
fn ids_past_the_table_are_its_last_row() {
    let x = Tensor::u32([4], [1, 3, u32::MAX, 2]).unwrap();
    let table = Tensor::f32([3, 1], [10.0, 11.0, 12.0]).unwrap();
    let step = layer_step(&Embedding::new(3, 1), &[&x], &[&table], None).unwrap();
    assert_eq!(step.y(), [11.0, 12.0, 12.0, 12.0]);
    let dy = upstream(0, 4);
    assert_eq!(step.weights[0], [0.0, dy[0], dy[1] + dy[2] + dy[3]]);
}

#[test]
fn the_table_starts_uniform_as_in_keras() {
    let spec = Embedding::new(1000, 30).weights(&[Shape::from([7])]).remove(0);
    assert_eq!((&*spec.name, spec.shape.dims()), ("embeddings", &[1000, 30][..]));
    assert_eq!((spec.fan_in, spec.fan_out), (1000, 30));
    let values = spec.initializer.fill(30_000, spec.fan_in, spec.fan_out, 0, 0);
    assert!(values.iter().all(|v| (-0.05..0.05).contains(v)));
    let (mean, variance) = moments(&values);
    assert!(mean.abs() < 1e-3 && (variance - 0.01 / 12.0).abs() < 2e-5, "{mean}, {variance}");
}

#[test]
fn only_embedding_takes_ids() {
    let layers: [&dyn Layer; 4] = [&Dense::new(3), &Flatten, &Reshape::new([3]), &Add];
    assert!(layers.iter().all(|l| l.takes_indices().is_none()));
}

#[test]
fn bad_settings_and_numbers_instead_of_ids_name_the_layer() {
    let error = refusal("embedding", Embedding::new(0, 3), &[4]);
    says(&error, &["input_dim = 0", "rows"]);
    let error = refusal("embedding", Embedding::new(3, 0), &[4]);
    says(&error, &["output_dim = 0", "columns"]);
    let bad = Initializer::Uniform { low: 1.0, high: 0.0 };
    let layer = Embedding::new(3, 3).embeddings_initializer(bad);
    says(&refusal("embedding", layer, &[4]), &["low = 1"]);
    let layer = Embedding::new(3, 3).embeddings_regularizer(Regularizer::l1(f32::NAN));
    says(&refusal("embedding", layer, &[4]), &["l1 = NaN"]);
    let error = refusal("embedding", Embedding::new(1 << 31, 1 << 31), &[4]);
    assert!(matches!(error, Error::Limit { .. }), "{error:?}");

    let model = Sequential::new([4]).add(Embedding::new(5, 2)).build().unwrap();
    let error = model_step(&model, &[&numbers(&[2, 4], 1)], &[&numbers(&[5, 2], 2)], None);
    let error = error.err().expect("f32 is refused");
    assert!(matches!(error, Error::DType { .. }), "{error:?}");
    says(&error, &["layer `embedding`", "f32", "u32"]);
}
