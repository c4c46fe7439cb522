//! The counter-based generator, bit for bit, and inputs for tests.

/// Rotations of Threefry-2x32, taken in turn.
const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
/// The third word of the key schedule is this exclusive-or the two words of the key.
const PARITY: u32 = 0x1BD1_1BDA;

/// Threefry-2x32 after `rounds` rounds: two words that look random, a pure function of `key` and
/// `counter`.
///
/// The counter gets the key added. A round adds the second word to the first, rotates the second
/// left, and exclusive-ors the first into it. After each fourth round comes a key injection: the
/// next two words of the schedule `(k0, k1, k0 ^ k1 ^ parity)`, taken in a circle, are added, and the
/// injection's number, from 1, to the second word.
///
/// Source: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", and the constants of its
/// Random123 library, in which 13 rounds are the fewest that pass BigCrush and 20 are the default.
pub fn threefry2x32(key: [u32; 2], counter: [u32; 2], rounds: u32) -> [u32; 2] {
    let schedule = [key[0], key[1], key[0] ^ key[1] ^ PARITY];
    let mut x = [counter[0].wrapping_add(key[0]), counter[1].wrapping_add(key[1])];
    for round in 0..rounds {
        x[0] = x[0].wrapping_add(x[1]);
        x[1] = x[1].rotate_left(ROTATIONS[round as usize % 8]) ^ x[0];
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            let word = |i: u32| schedule[(i % 3) as usize];
            x[0] = x[0].wrapping_add(word(injection));
            x[1] = x[1].wrapping_add(word(injection + 1)).wrapping_add(injection);
        }
    }
    x
}

/// A number in `[0, 1)` from the upper 24 bits of a word, `floor(bits / 2^8) / 2^24`: every value
/// is exact in `f32`, and 1 can't come out.
pub fn unit_interval(bits: u32) -> f64 {
    f64::from(bits >> 8) / f64::from(1 << 24)
}

/// A standard normal number from two uniform ones in `[0, 1)`: `sqrt(-2 ln(1 - u)) cos(2 pi v)`. Source:
/// Box and Muller 1958, "A note on the generation of random normal deviates".
pub fn box_muller(u: f64, v: f64) -> f64 {
    (-2.0 * (-u).ln_1p()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
}

/// Inverted dropout: `x / (1 - rate)` if `keep` says so, else 0. Source: Srivastava et al. 2014, scaled in training so
/// that prediction needs nothing. Its gradient has the same formula.
pub fn dropout(x: &[f64], keep: &[bool], rate: f64) -> Vec<f64> {
    assert_eq!(x.len(), keep.len(), "dropout: length of the mask");
    x.iter().zip(keep).map(|(x, &keep)| if keep { x / (1.0 - rate) } else { 0.0 }).collect()
}

/// `len` numbers for a test, uniform in `[low, high)`, the same for the same `seed` everywhere.
pub fn uniform(seed: u32, len: usize, low: f32, high: f32) -> Vec<f32> {
    let draw = |i: usize| {
        let u = unit_interval(threefry2x32([seed, 0x7465_7374], [i as u32, 0], 20)[0]);
        (f64::from(low) + u * (f64::from(high) - f64::from(low))) as f32
    };
    (0..len).map(draw).map(|v| if v < high { v } else { low }).collect()
}
