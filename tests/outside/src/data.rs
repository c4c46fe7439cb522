//! A dataset.

use wgrad::Result;
use wgrad::data::SampleSpec;
use wgrad::prelude::*;

/// Sample i is the bits of i, and its label their sum modulo 2.
#[derive(Debug)]
pub struct Parity {
    /// How many bits.
    pub bits: usize,
}

impl Dataset for Parity {
    fn len(&self) -> usize {
        1 << self.bits
    }

    fn spec(&self) -> SampleSpec {
        SampleSpec {
            x_shape: [self.bits].into(),
            x_dtype: DType::U8,
            y_shape: Shape::scalar(),
            y_dtype: DType::U32,
            scale: 1.0,
        }
    }

    fn read(&self, rows: &[u32], x: &mut Vec<u8>, y: &mut Vec<u8>) -> Result<()> {
        for row in rows {
            x.extend((0..self.bits).map(|bit| (row >> bit & 1) as u8));
            y.extend_from_slice(&(row.count_ones() % 2).to_le_bytes());
        }
        Ok(())
    }
}
