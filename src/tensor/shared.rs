//! Tensors that never change, shared and compared by their content.

use super::{DType, Shape, Tensor};
use std::sync::Arc;

/// A tensor in host memory that graphs and plans share. Two are equal if shape, element type and all bits are; the
/// comparison of unequal ones takes no time.
#[derive(Clone)]
pub struct SharedTensor {
    tensor: Arc<Tensor>,
    digest: u64,
}

impl SharedTensor {
    /// The tensor.
    #[must_use]
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        self.tensor.shape()
    }

    /// Its element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.tensor.dtype()
    }

    /// A name that tells the content: the same in every run.
    #[must_use]
    pub fn name(&self) -> String {
        format!("constant/{:016x}", self.digest)
    }
}

impl From<Tensor> for SharedTensor {
    fn from(tensor: Tensor) -> Self {
        let digest = digest(&tensor);
        Self { tensor: Arc::new(tensor), digest }
    }
}

impl From<&Self> for SharedTensor {
    fn from(tensor: &Self) -> Self {
        tensor.clone()
    }
}

impl PartialEq for SharedTensor {
    fn eq(&self, other: &Self) -> bool {
        let bits = |t: &Self, o: &Self| t.tensor.data().bytes() == o.tensor.data().bytes();
        Arc::ptr_eq(&self.tensor, &other.tensor)
            || self.digest == other.digest
                && self.shape() == other.shape()
                && self.dtype() == other.dtype()
                && bits(self, other)
    }
}

impl Eq for SharedTensor {}

impl std::hash::Hash for SharedTensor {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl std::fmt::Debug for SharedTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{} {}", self.dtype(), self.shape(), self.name())
    }
}

/// FNV-1a (Fowler, Noll, Vo 1991) of type, extents and elements, eight bytes at a time.
fn digest(tensor: &Tensor) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add =
        |word: u64| hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    add(tensor.dtype() as u64);
    tensor.shape().dims().iter().for_each(|&extent| add(extent as u64));
    for chunk in tensor.data().bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        add(u64::from_le_bytes(word));
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::{SharedTensor, Tensor};

    #[test]
    fn content_decides() {
        let shared = |shape: &[usize], data: Vec<f32>| {
            SharedTensor::from(Tensor::f32(shape, data).expect("a tensor"))
        };
        let a = shared(&[3], vec![1.0, f32::NAN, 0.0]);
        assert_eq!(a, shared(&[3], vec![1.0, f32::NAN, 0.0]));
        for other in [
            shared(&[3], vec![1.0, f32::NAN, -0.0]),
            shared(&[3], vec![1.5, f32::NAN, 0.0]),
            shared(&[3, 1], vec![1.0, f32::NAN, 0.0]),
            SharedTensor::from(Tensor::u32([3], vec![1, 2, 3]).expect("a tensor")),
        ] {
            assert_ne!(a, other);
            assert_ne!(a.name(), other.name());
        }
        // Bits, not the digest alone, make two equal.
        let forged = SharedTensor { digest: a.digest, ..shared(&[3], vec![2.0, 2.0, 2.0]) };
        assert_ne!(a, forged);
    }
}
