//! The order of an epoch's rows.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::tensor::init::generator;

/// The numbers `0..len`, shuffled by `(seed, epoch)`: every order is equally likely, and the same arguments give the
/// same order on every platform. Each epoch has its own stream, so that its order does not need the orders before it.
///
/// A Fisher-Yates shuffle; bounded integers by Lemire's rejection ("Fast random integer generation
/// in an interval", 2019), words from ChaCha8.
///
/// # Errors
/// [`Error::Parameter`] if `len` does not fit the u32 that the device counts rows with.
pub fn permutation(len: usize, seed: u64, epoch: u64) -> Result<Vec<u32>> {
    shuffled(len, &mut generator(*b"shuffle\0", seed, epoch))
}

/// The numbers `0..len` in an order drawn from `rng`.
pub(super) fn shuffled(len: usize, rng: &mut ChaCha8Rng) -> Result<Vec<u32>> {
    let Ok(count) = u32::try_from(len) else {
        let detail = format!("rows are counted in u32, up to {}; split the data", u32::MAX);
        return Err(Error::parameter("len", len, detail));
    };
    let mut order: Vec<u32> = (0..count).collect();
    for last in (1..count).rev() {
        // `last` is below u32::MAX, so the bound does not overflow.
        let other = below(last + 1, || rng.next_u32());
        order.swap(last as usize, other as usize);
    }
    Ok(order)
}

/// A number in `0..bound` (`bound` at least 1), each equally likely, from uniform words.
pub(super) fn below(bound: u32, mut word: impl FnMut() -> u32) -> u32 {
    let mut product = u64::from(word()) * u64::from(bound);
    // The low word of a product tells how often its high word comes up: the first `2^32 mod bound` of each run are one
    // too many. The division is only done if it can matter.
    if (product as u32) < bound {
        let excess = bound.wrapping_neg() % bound;
        while (product as u32) < excess {
            product = u64::from(word()) * u64::from(bound);
        }
    }
    (product >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::{below, permutation};

    #[test]
    fn every_row_comes_once() {
        for len in [0, 1, 2, 3, 10, 60_000] {
            let mut order = permutation(len, 3, 5).unwrap();
            order.sort_unstable();
            assert!(order.iter().map(|&i| i as usize).eq(0..len), "length {len}");
        }
    }

    #[test]
    fn epochs_and_seeds_have_orders_of_their_own() {
        let order = permutation(1000, 1, 0).unwrap();
        assert_eq!(order, permutation(1000, 1, 0).unwrap());
        for other in [permutation(1000, 1, 1).unwrap(), permutation(1000, 2, 0).unwrap()] {
            let fixed = order.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(fixed < 10, "{fixed} rows stayed in place");
        }
    }

    #[test]
    fn every_order_of_four_is_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..24_000 {
            *counts.entry(permutation(4, 9, epoch).unwrap()).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        // 1000 each, with a standard deviation of 31.
        assert!(counts.values().all(|n| (850..1150).contains(n)), "{counts:?}");
    }

    #[test]
    fn words_that_would_favour_a_number_are_drawn_again() {
        // 2^32 mod 6 is 4: the products 0..4 in the low word are the excess.
        let mut words = [0, 1 << 31, u32::MAX].into_iter();
        assert_eq!(below(6, || words.next().unwrap()), 5);
        assert_eq!(words.next(), None);
        assert_eq!(below(1, || 12_345), 0);
        assert_eq!(below(u32::MAX, || u32::MAX), u32::MAX - 1);
    }

    #[test]
    fn the_order_is_pinned() {
        assert_eq!(permutation(10, 42, 1).unwrap(), [2, 9, 3, 5, 0, 6, 1, 4, 8, 7]);
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn more_rows_than_u32_counts_are_refused() {
        let error = permutation(1 << 32, 0, 0).unwrap_err().to_string();
        assert!(error.contains("4294967296") && error.contains("u32"), "{error}");
    }
}
