//! How PyTorch keeps the weights of recurrent layers: gates in another order, and two biases.

use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

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
