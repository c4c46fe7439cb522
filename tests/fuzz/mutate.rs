//! Files changed in places, by numbers that look random.

/// SplitMix64 (Steele et al. 2014).
pub struct Random(u64);

impl Random {
    /// The numbers of one input.
    pub fn new(seed: u64, input: u64) -> Self {
        let mut random = Self(seed);
        let own = random.next() ^ input.wrapping_mul(0xd605_bbb5_8c8a_bc5d);
        Self(own)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Numbers at the ends of the types that files and readers use.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// The same as text, and beyond.
const NUMBERS: [&str; 20] = [
    "0",
    "1",
    "-1",
    "255",
    "65536",
    "4294967295",
    "4294967296",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "1e308",
    "1e400",
    "-0.5",
    "NaN",
    "null",
    "",
];

/// One of `files` with one to four changes.
pub fn mutated(random: &mut Random, files: &[Vec<u8>]) -> Vec<u8> {
    let mut file = random.pick(files).clone();
    for _ in 0..1 + random.below(4) {
        change(random, &mut file, files);
    }
    file
}

/// A text with other numbers in one to three places.
pub fn renumbered(random: &mut Random, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..1 + random.below(3) {
        let at = random.below(bytes.len());
        number(random, &mut bytes, at);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn change(random: &mut Random, file: &mut Vec<u8>, files: &[Vec<u8>]) {
    if file.is_empty() {
        return file.push(random.next() as u8);
    }
    let at = random.below(file.len());
    let end = at + random.below((file.len() - at).min(64)) + 1;
    match random.below(10) {
        0 => file[at] ^= 1 << random.below(8),
        1 => file[at] = *random.pick(&EDGES) as u8,
        2 => integer(random, file, at),
        // Headers are small, and decide most.
        3 => {
            let header = file.len().min(128);
            integer(random, file, at % header);
        }
        4 => file.truncate(at),
        5 => drop(file.drain(at..end)),
        6 => file.splice(at..at, file[at..end].to_vec()).for_each(drop),
        7 => {
            let other = random.pick(files);
            let start = random.below(other.len().max(1)).min(other.len());
            file.truncate(at);
            file.extend(&other[start..]);
        }
        _ => number(random, file, at),
    }
}

/// An edge of a type in place of an integer.
fn integer(random: &mut Random, file: &mut [u8], at: usize) {
    let edge = *random.pick(&EDGES);
    let width = *random.pick(&[2, 4, 8]);
    let bytes = match random.below(2) {
        0 => edge.to_le_bytes()[..width].to_vec(),
        _ => edge.to_be_bytes()[8 - width..].to_vec(),
    };
    let room = width.min(file.len() - at);
    file[at..at + room].copy_from_slice(&bytes[..room]);
}

/// Another number in place of the next one in the file's text.
fn number(random: &mut Random, file: &mut Vec<u8>, at: usize) {
    let Some(start) = file[at..].iter().position(u8::is_ascii_digit).map(|i| at + i) else {
        return;
    };
    let len = file[start..].iter().take_while(|b| b.is_ascii_digit()).count();
    let other = random.pick(&NUMBERS).bytes();
    file.splice(start..start + len, other).for_each(drop);
}
