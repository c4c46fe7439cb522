//! Weights in PyTorch's layout: matrices and kernels turned, and several weights in the rows of one tensor.

use super::place::{Place, Rows, owner};
use crate::error::{Error, Result};
use crate::layers::WeightSpec;
use crate::tensor::{Shape, Tensor};
use crate::train::PlacedTensor;
use std::collections::BTreeMap;

/// Gives the weights of parts that share a module their rows of its tensors, but for those that are `given` a tensor.
pub(super) fn share(
    tensors: &[PlacedTensor],
    places: &mut [Place],
    given: impl Fn(&str) -> bool,
) -> Result<()> {
    let mut sharing: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, (t, place)) in tensors.iter().zip(places.iter()).enumerate() {
        if !given(&t.name) {
            sharing.entry(place.name.clone()).or_default().push(i);
        }
    }
    for (name, all) in sharing.into_iter().filter(|(_, all)| all.len() > 1) {
        let shapes: Vec<Shape> =
            all.iter().map(|&i| in_torch(&tensors[i].spec, &places[i])).collect();
        for (i, pair) in all.windows(2).enumerate() {
            let [a, b] = [pair[0], pair[1]].map(|i| tensors[i].name.as_str());
            let below = |shape: &Shape| shape.dims().get(1..).map(<[_]>::to_vec);
            let fit = below(&shapes[i]) == below(&shapes[i + 1]);
            if owner(&tensors[pair[0]]) == owner(&tensors[pair[1]]) || !fit {
                let detail = format!(
                    "`{a}` and `{b}` would both be this tensor: say where one of them is by `pair` or `transposed`"
                );
                return Err(Error::parameter("modules", name, detail));
            }
        }
        let own = shapes.iter().map(|shape| shape.dims().first().copied().unwrap_or(1));
        let (own, mut before) = (own.collect::<Vec<usize>>(), 0);
        for (&i, &rows) in all.iter().zip(&own) {
            places[i].rows = Some(Rows { before, own: rows, all: own.iter().sum() });
            before += rows;
        }
    }
    Ok(())
}

/// A tensor, and the rows of another below it.
pub(super) fn below(above: &Tensor, tensor: &Tensor) -> Result<Tensor> {
    let (dims, more) = (above.shape().dims(), tensor.shape().dims());
    let shape = [&[dims[0] + more[0]], &dims[1..]].concat();
    Tensor::f32(shape, [above.as_f32()?, tensor.as_f32()?].concat())
}

/// The shape of a weight in PyTorch's layout: of its own tensor, or of that with the rows of others.
pub(super) fn in_torch(spec: &WeightSpec, place: &Place) -> Shape {
    let shape = match place.transposed {
        true => turned(spec),
        false => spec.projection.as_ref().unwrap_or(&spec.shape).clone(),
    };
    match place.rows {
        Some(rows) => [&[rows.all], &shape.dims()[1..]].concat().into(),
        None => shape,
    }
}

/// The shape in PyTorch's layout, `[a, b, taps..]`, of a matrix or kernel `[taps.., b, a]`.
fn turned(spec: &WeightSpec) -> Shape {
    let dims = spec.projection.as_ref().unwrap_or(&spec.shape).dims();
    let (taps, last) = dims.split_at(dims.len() - 2);
    // Filters of a depthwise kernel see one channel each, and are numbered by channels first in both layouts.
    let [a, b] = if spec.depthwise { [last[0] * last[1], 1] } else { [last[1], last[0]] };
    [&[a, b], taps].concat().into()
}

/// A tensor of three axes with its axes in reverse order.
fn reversed(values: &[f32], [a, b, c]: [usize; 3]) -> Vec<f32> {
    let at = |i: usize| (i % a * b + i / a % b) * c + i / a / b;
    (0..values.len()).map(|i| values[at(i)]).collect()
}

/// The weight of this spec from PyTorch's layout.
pub(super) fn from_torch(tensor: &Tensor, spec: &WeightSpec, transposed: bool) -> Result<Tensor> {
    let values = tensor.as_f32()?;
    if !transposed {
        return Tensor::f32(spec.shape.clone(), values);
    }
    let dims = tensor.shape().dims();
    let taps = dims[2..].iter().product();
    Tensor::f32(spec.shape.clone(), reversed(values, [dims[0], dims[1], taps]))
}

/// The weight of this spec in PyTorch's layout.
pub(super) fn to_torch(tensor: &Tensor, spec: &WeightSpec, transposed: bool) -> Result<Tensor> {
    if !transposed {
        // A bias of a recurrent layer is in parts here, and has no axis of heads.
        let shape = spec.projection.as_ref().unwrap_or_else(|| tensor.shape());
        return Tensor::f32(shape.clone(), tensor.as_f32()?);
    }
    let shape = turned(spec);
    let dims = shape.dims();
    let taps = dims[2..].iter().product();
    let values = reversed(tensor.as_f32()?, [taps, dims[1], dims[0]]);
    Tensor::f32(shape, values)
}
