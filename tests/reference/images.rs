//! Images sampled through affine maps, as `scipy.ndimage.map_coordinates` of orders 0 and 1 defines it, and Keras'
//! `keras.ops.image.affine_transform` with it.

/// What is outside of an image.
#[derive(Clone, Copy, PartialEq)]
pub enum Outside {
    /// This number.
    Constant(f64),
    /// `d c b a | a b c d | d c b a`
    Reflect,
    /// `a b c d | a b c d | a b c d`
    Wrap,
    /// `a a a a | a b c d | d d d d`
    Nearest,
}

/// The pixels and shares that the sample at (`x`, `y`) of an image of `h` lines of `w` pixels is made of; a pixel is `None`
/// outside of an image with a constant around it.
pub fn neighbours(
    [y, x]: [f64; 2],
    [h, w]: [usize; 2],
    outside: Outside,
    linear: bool,
) -> Vec<(Option<usize>, f64)> {
    let along = |at: f64| match linear {
        true => vec![(at.floor(), 1.0 - (at - at.floor())), (at.floor() + 1.0, at - at.floor())],
        // Rust rounds halves away from zero.
        false => vec![(at.round(), 1.0)],
    };
    let mut found = Vec::new();
    for (line, a) in along(y) {
        for &(column, b) in &along(x) {
            let place = [(line, h), (column, w)].map(|(i, n)| inside(i as i64, n as i64, outside));
            let pixel = place[0].zip(place[1]).map(|(line, column)| line * w + column);
            found.push((pixel, a * b));
        }
    }
    found
}

/// Steps from edge to edge until the place is inside.
fn inside(mut i: i64, n: i64, outside: Outside) -> Option<usize> {
    while !(0..n).contains(&i) {
        let low = i < 0;
        i = match outside {
            Outside::Constant(_) => return None,
            Outside::Nearest => i.clamp(0, n - 1),
            Outside::Wrap if low => i + n,
            Outside::Wrap => i - n,
            Outside::Reflect if low => -1 - i,
            Outside::Reflect => 2 * n - 1 - i,
        };
    }
    Some(i as usize)
}

/// Images `[b, h, w, c]`, each at the places (m0 x + m1 y + m2, m3 x + m4 y + m5) of its matrix, for `to` lines and columns.
pub fn affine(
    images: &[f64],
    [batch, h, w, channels]: [usize; 4],
    matrices: &[f64],
    to: [usize; 2],
    outside: Outside,
    linear: bool,
) -> Vec<f64> {
    let fill = if let Outside::Constant(value) = outside { value } else { f64::NAN };
    let mut out = Vec::new();
    for s in 0..batch {
        for at in places(&matrices[6 * s..][..6], to) {
            let shares = neighbours(at, [h, w], outside, linear);
            for c in 0..channels {
                let of = |p: usize| images[(s * h * w + p) * channels + c];
                out.push(shares.iter().map(|&(p, share)| share * p.map_or(fill, of)).sum());
            }
        }
    }
    out
}

/// Line and column in the image of each sample, line by line.
pub fn places(m: &[f64], [height, width]: [usize; 2]) -> Vec<[f64; 2]> {
    let of = |i: usize| {
        let (y, x) = ((i / width) as f64, (i % width) as f64);
        [m[3] * x + m[4] * y + m[5], m[0] * x + m[1] * y + m[2]]
    };
    (0..height * width).map(of).collect()
}
