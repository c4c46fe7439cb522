//! Pooling: what each window of a tensor `[samples, extents.., channels]` gives.

use super::linalg::{ravel, unravel};

/// How windows slide along one axis: taps, stride, dilation, padding before and after.
pub type Slide = [usize; 5];

/// How many windows there are over `extent` elements: the largest n for which window n - 1 ends inside of the padding.
pub fn count(extent: usize, [taps, stride, dilation, before, after]: Slide) -> usize {
    let ends = |w: usize| w * stride + (taps - 1) * dilation < extent + before + after;
    (0..).take_while(|&w| ends(w)).count()
}

/// For each window and channel, the places of the elements under it in row-major order of the taps, and how many taps
/// there are in all: those under padding have no place.
fn windows(shape: &[usize], slides: &[Slide]) -> Vec<(Vec<usize>, usize)> {
    assert_eq!(shape.len(), slides.len() + 2, "{shape:?} under {slides:?}");
    let extents = &shape[1..=slides.len()];
    let mut counted = shape.to_vec();
    for (n, (&extent, &slide)) in counted[1..].iter_mut().zip(extents.iter().zip(slides)) {
        *n = count(extent, slide);
    }
    let taps: Vec<usize> = slides.iter().map(|s| s[0]).collect();
    let all: usize = taps.iter().product();
    let under = |flat: usize| {
        let at = unravel(flat, &counted);
        let place = |tap: usize| {
            let mut place = at.clone();
            for (axis, t) in unravel(tap, &taps).into_iter().enumerate() {
                let [_, stride, dilation, before, _] = slides[axis];
                let element = (at[axis + 1] * stride + t * dilation).checked_sub(before)?;
                place[axis + 1] = Some(element).filter(|&e| e < extents[axis])?;
            }
            Some(ravel(&place, shape))
        };
        ((0..all).filter_map(place).collect(), all)
    };
    (0..counted.iter().product()).map(under).collect()
}

/// The place of the largest element of each window: of the first of equal ones, or of the first NaN.
fn winners(x: &[f64], shape: &[usize], slides: &[Slide]) -> Vec<usize> {
    let first_of = |(places, _): (Vec<usize>, usize)| {
        let nan = places.iter().find(|&&p| x[p].is_nan());
        let larger = |best: usize, &p: &usize| if x[p] > x[best] { p } else { best };
        nan.copied().unwrap_or_else(|| places.iter().fold(places[0], larger))
    };
    windows(shape, slides).into_iter().map(first_of).collect()
}

/// The largest element of each window. Padding is no element.
pub fn max(x: &[f64], shape: &[usize], slides: &[Slide]) -> Vec<f64> {
    winners(x, shape, slides).into_iter().map(|p| x[p]).collect()
}

/// What each element gets of `upstream`: that of the windows whose largest element it is, the first of equal ones.
pub fn max_grad(x: &[f64], shape: &[usize], slides: &[Slide], upstream: &[f64]) -> Vec<f64> {
    let mut grad = vec![0.0; x.len()];
    winners(x, shape, slides).into_iter().zip(upstream).for_each(|(p, dy)| grad[p] += dy);
    grad
}

/// The mean of each window: over its elements, or over all taps with zeros under padding if `count_padding` is set.
pub fn average(x: &[f64], shape: &[usize], slides: &[Slide], count_padding: bool) -> Vec<f64> {
    let mean = |(places, taps): (Vec<usize>, usize)| {
        let terms = if count_padding { taps } else { places.len() };
        places.iter().map(|&p| x[p]).sum::<f64>() / terms as f64
    };
    windows(shape, slides).into_iter().map(mean).collect()
}

/// What each element gets of `upstream`: an equal share of that of each window that it is in.
pub fn average_grad(
    shape: &[usize],
    slides: &[Slide],
    upstream: &[f64],
    count_padding: bool,
) -> Vec<f64> {
    let mut grad = vec![0.0; shape.iter().product()];
    for ((places, taps), dy) in windows(shape, slides).into_iter().zip(upstream) {
        let terms = if count_padding { taps } else { places.len() };
        places.iter().for_each(|&p| grad[p] += dy / terms as f64);
    }
    grad
}

/// The mean of window i of n over m elements, for each axis: those from floor(i m / n) to ceil((i + 1) m / n). PyTorch's
/// `adaptive_avg_pool`.
pub fn adaptive_average(x: &[f64], shape: &[usize], sizes: &[usize]) -> Vec<f64> {
    let extents = &shape[1..=sizes.len()];
    let mut result = shape.to_vec();
    result[1..=sizes.len()].copy_from_slice(sizes);
    let mean = |flat: usize| {
        let at = unravel(flat, &result);
        let firsts: Vec<usize> =
            (0..sizes.len()).map(|d| at[d + 1] * extents[d] / sizes[d]).collect();
        let ends = (0..sizes.len()).map(|d| ((at[d + 1] + 1) * extents[d]).div_ceil(sizes[d]));
        let taps: Vec<usize> = ends.zip(&firsts).map(|(end, first)| end - first).collect();
        let terms: usize = taps.iter().product();
        let term = |tap: usize| {
            let mut place = at.clone();
            for (d, t) in unravel(tap, &taps).into_iter().enumerate() {
                place[d + 1] = firsts[d] + t;
            }
            x[ravel(&place, shape)]
        };
        (0..terms).map(term).sum::<f64>() / terms as f64
    };
    (0..result.iter().product()).map(mean).collect()
}
