//! Where a file has a weight. PyTorch keeps those of recurrent layers with the gates in another order, and with two biases.

use super::file::{Contents, unlike, wrong};
use super::floats::weight;
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};
use crate::train::PlacedTensor;
use std::path::Path;

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub name: String,
    pub transposed: bool,
    /// How PyTorch keeps a weight of a recurrent layer.
    pub gates: Option<Gates>,
    /// The image `[extents.., channels]` whose elements are the rows of the kernel: channel by channel in the file.
    pub flattened: Option<Shape>,
    /// The rows of the tensor that are this weight, if others lie above or below it: PyTorch has queries, keys and values of an
    /// attention in one.
    pub rows: Option<Rows>,
}

/// Rows of a tensor that has those of several weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rows {
    pub before: usize,
    pub own: usize,
    pub all: usize,
}

impl Rows {
    /// These rows of a tensor.
    pub fn of(self, tensor: &Tensor) -> Result<Tensor> {
        let dims = tensor.shape().dims();
        let width: usize = dims[1..].iter().product();
        let values = &tensor.as_f32()?[self.before * width..][..self.own * width];
        Tensor::f32([&[self.own], &dims[1..]].concat(), values)
    }
}

impl Place {
    pub const fn new(name: String, transposed: bool) -> Self {
        Self { name, transposed, gates: None, flattened: None, rows: None }
    }

    /// All names of tensors in the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let second = self.gates.as_ref().and_then(|gates| gates.second.as_deref());
        [self.name.as_str()].into_iter().chain(second)
    }

    /// The tensor of a file, in the layout of the file.
    pub fn read(&self, path: &Path, contents: &Contents<'_>) -> Result<Tensor> {
        let first = weight(path, contents, &self.name)?;
        match self.gates.as_ref().and_then(|g| Some((g, g.second.as_deref()?))) {
            None => Ok(first),
            Some((gates, name)) => {
                let second = weight(path, contents, name)?;
                if first.shape() != second.shape() {
                    return Err(wrong(path, name, unlike(second.shape(), first.shape())));
                }
                gates.joined(&first, &second)
            }
        }
    }

    /// A weight of the model as the tensors of a file, before they are transposed.
    pub fn parts(&self, weight: Tensor) -> Result<Vec<(String, Tensor)>> {
        let all = match &self.gates {
            None => vec![weight],
            Some(gates) if gates.second.is_none() => vec![gates.ordered(&weight)?],
            Some(gates) => gates.parted(&gates.ordered(&weight)?)?.into(),
        };
        Ok(self.names().map(str::to_owned).zip(all).collect())
    }
}

/// The layer, or the part of a layer, that a tensor is of: its name without the last segment.
pub(super) fn owner(t: &PlacedTensor) -> &str {
    t.name.rsplit_once('/').map_or("", |(owner, _)| owner)
}

/// The rows of a kernel `[extents · channels, units]` pixel by pixel, from a file that has them channel by channel.
pub(super) fn by_pixels(kernel: &Tensor, image: &Shape) -> Result<Tensor> {
    let channels = image.dims().last().copied().unwrap_or(1);
    turned_rows(kernel, [channels, image.len() / channels.max(1)])
}

/// The same the other way round.
pub(super) fn by_channels(kernel: &Tensor, image: &Shape) -> Result<Tensor> {
    let channels = image.dims().last().copied().unwrap_or(1);
    turned_rows(kernel, [image.len() / channels.max(1), channels])
}

/// A matrix whose rows are numbered `[a, b]`, with rows `[b, a]`.
fn turned_rows(kernel: &Tensor, [a, b]: [usize; 2]) -> Result<Tensor> {
    let values = kernel.as_f32()?;
    let units = values.len() / (a * b).max(1);
    let rows = (0..b).flat_map(|j| (0..a).map(move |i| i * b + j));
    let turned: Vec<f32> =
        rows.flat_map(|row| values[row * units..][..units].iter().copied()).collect();
    Tensor::f32(kernel.shape(), turned)
}

/// How a file of PyTorch has one weight of a recurrent layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gates {
    /// The second bias.
    pub second: Option<String>,
    /// Whether both biases are kept, or their sum.
    both: bool,
    /// Units, if the first two gates change places: PyTorch's GRU has r, z, n, Keras' z, r, h. An LSTM has i, f, g, o in
    /// both.
    swapped: Option<usize>,
}

impl Gates {
    /// The tensor that a layer with this recurrent kernel has for its weight `own`, in `module`.
    pub fn of(module: &str, own: &str, shape: &Shape, kernel: &Shape) -> Result<(String, Self)> {
        let (units, width) = (kernel.dims()[0], kernel.dims()[kernel.rank() - 1]);
        let gates = width / units.max(1);
        let of_layer = |last: &str| {
            last.strip_prefix('l').is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()))
        };
        let (module, layer) = match module.rsplit_once('.').filter(|(_, last)| of_layer(last)) {
            Some(found) => found,
            None => (module, "l0"),
        };
        let swapped = (gates == 3).then_some(units);
        let name = |kind: &str| format!("{module}.{kind}_{layer}");
        match own {
            "kernel" => Ok((name("weight_ih"), Self { second: None, both: false, swapped })),
            "recurrent_kernel" => {
                Ok((name("weight_hh"), Self { second: None, both: false, swapped }))
            }
            "bias" if gates == 3 && shape.rank() == 1 => {
                let detail =
                    "PyTorch's GRU resets after the product: make the layer reset_after(true)";
                Err(Error::parameter("reset_after", false, detail))
            }
            "bias" => {
                let second = Some(name("bias_hh"));
                Ok((name("bias_ih"), Self { second, both: shape.rank() == 2, swapped }))
            }
            other => {
                let detail = "PyTorch keeps no such weight of a recurrent layer; give its tensor with `pair`";
                Err(Error::parameter("weight", other, detail))
            }
        }
    }

    /// Two biases as the layer has them.
    pub fn joined(&self, first: &Tensor, second: &Tensor) -> Result<Tensor> {
        let (a, b) = (first.as_f32()?, second.as_f32()?);
        match self.both {
            true => Tensor::f32([2, a.len()], [a, b].concat()),
            false => {
                let sums: Vec<f32> = a.iter().zip(b).map(|(a, b)| a + b).collect();
                Tensor::f32(first.shape(), sums)
            }
        }
    }

    /// The layer's bias as two: of a sum the second is zero.
    pub fn parted(&self, bias: &Tensor) -> Result<[Tensor; 2]> {
        let values = bias.as_f32()?;
        if self.both {
            let (first, second) = values.split_at(values.len() / 2);
            return Ok([Tensor::f32([first.len()], first)?, Tensor::f32([second.len()], second)?]);
        }
        Ok([bias.clone(), Tensor::f32(bias.shape(), vec![0.0; values.len()])?])
    }

    /// The gates along the last axis in the other library's order.
    pub fn ordered(&self, weight: &Tensor) -> Result<Tensor> {
        let Some(units) = self.swapped else { return Ok(weight.clone()) };
        let mut values = weight.as_f32()?.to_vec();
        for row in values.chunks_mut(3 * units) {
            let (first, rest) = row.split_at_mut(units);
            first.swap_with_slice(&mut rest[..units]);
        }
        Tensor::f32(weight.shape(), values)
    }
}

/// The name under which Keras and KerasHub keep a weight: a recurrent layer has the cell's segment before the last, and parts
/// of KerasHub have other names. A name that the file has stays.
pub(super) fn in_keras(names: &[&str], name: String) -> String {
    let has = |name: &str| names.binary_search(&name).is_ok();
    if has(&name) {
        return name;
    }
    let hub: Vec<&str> = name.split('/').map(|part| in_hub(part).unwrap_or(part)).collect();
    let hub = hub.join("/");
    if has(&hub) { hub } else { in_cell(names, name) }
}

/// KerasHub's name of a part of `TransformerDecoder`, and of the weight of `PositionEmbedding`.
fn in_hub(part: &str) -> Option<&'static str> {
    match part {
        "self_attention_layer" => Some("self_attention"),
        "cross_attention_layer" => Some("cross_attention"),
        "position_embeddings" => Some("embeddings"),
        _ => None,
    }
}

/// A name with the segment of the cell, if the file has such a one.
fn in_cell(names: &[&str], name: String) -> String {
    let Some((layer, last)) = name.rsplit_once('/') else { return name };
    let start = format!("{layer}/");
    let inside = names.iter().find(|other| {
        let cell = other.strip_prefix(&start).and_then(|rest| rest.strip_suffix(last));
        let cell = cell.and_then(|cell| cell.strip_suffix('/'));
        cell.is_some_and(|cell| cell.ends_with("_cell") && !cell.contains('/'))
    });
    inside.map_or(name, |&inside| inside.to_owned())
}
