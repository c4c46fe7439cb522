//! Patches: the windows that a convolution slides over a tensor, as a view.

use super::{Axis, Guard, View};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// How windows slide along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Elements of a window.
    pub taps: usize,
    /// Elements from one window to the next.
    pub stride: usize,
    /// Elements from one tap to the next.
    pub dilation: usize,
    /// Zeros before the first element.
    pub before: usize,
    /// Zeros after the last element.
    pub after: usize,
}

impl Window {
    /// Windows of neighbours, one at each element, without padding.
    #[must_use]
    pub const fn of(taps: usize) -> Self {
        Self { taps, stride: 1, dilation: 1, before: 0, after: 0 }
    }

    /// The largest stride, dilation, and extent with its padding: kernels count places along an axis with 32 bits and a
    /// sign.
    pub(crate) const LARGEST: usize = i32::MAX as usize;

    /// How many windows there are over `extent` elements; `None` if not even one, or a number is zero or past 31 bits.
    #[must_use]
    pub fn count(&self, extent: usize) -> Option<usize> {
        let reach = self.taps.checked_sub(1)?.checked_mul(self.dilation)?.checked_add(1)?;
        let padded = extent.checked_add(self.before)?.checked_add(self.after)?;
        let room = padded.checked_sub(reach)?.checked_div(self.stride)?;
        let small = padded.max(self.stride).max(self.dilation) <= Self::LARGEST;
        (small && self.dilation > 0 && extent > 0).then_some(room + 1)
    }

    /// What a stride and a dilation have in common.
    pub(crate) fn steps(&self) -> Steps {
        let (mut common, mut rest) = (self.stride, self.dilation);
        while rest != 0 {
            (common, rest) = (rest, common % rest);
        }
        Steps { common, tap: self.stride / common, window: self.dilation / common }
    }

    /// `count` windows of this kind.
    pub(crate) const fn slide(&self, count: usize) -> Slide {
        Slide {
            count,
            taps: self.taps,
            first: -(self.before as isize),
            step: self.stride as isize,
            tap_step: self.dilation as isize,
        }
    }
}

/// The taps that meet one element: of those in neighbouring windows that do, the tap is `tap` further and the window `window`
/// earlier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Steps {
    /// The greatest common divisor of stride and dilation.
    pub common: usize,
    /// The stride divided by it.
    pub tap: usize,
    /// The dilation divided by it.
    pub window: usize,
}

impl Steps {
    /// The number that times `window` is 1 modulo `tap`; 0 modulo 1.
    pub fn inverse(self) -> usize {
        let (mut r, mut next_r) = (self.tap as i64, (self.window % self.tap) as i64);
        let (mut t, mut next_t) = (0, 1);
        while next_r != 0 {
            let quotient = r / next_r;
            (r, next_r) = (next_r, r - quotient * next_r);
            (t, next_t) = (next_t, t - quotient * next_t);
        }
        t.rem_euclid(self.tap as i64) as usize
    }
}

impl View {
    /// The windows over a tensor `[samples, extents.., channels]`, one [`Window`] for each extent, as the matrix
    /// `[1, samples · windows, taps · channels]`: a convolution is its product with the filters, and nothing is copied.
    ///
    /// ```
    /// use wgrad::graph::{Graph, View, Window};
    /// use wgrad::tensor::DType;
    ///
    /// // 8 filters of 3 by 3 over images of 28 by 28, without padding.
    /// let mut graph = Graph::new();
    /// let images = graph.input("images", [32, 28, 28, 1], DType::F32);
    /// let filters = graph.input("filters", [3 * 3, 8], DType::F32);
    /// let patches = View::patches(graph.shape(images), &[Window::of(3), Window::of(3)])?;
    /// let y = graph.contract_views((images, patches), (filters, View::whole([1, 3 * 3, 8])))?;
    /// let y = graph.reshape(y, [32, 26, 26, 8])?;
    /// # graph.output("y", y);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if the tensor has not an extent for each window, or one is too short for its window.
    pub fn patches(of: &Shape, windows: &[Window]) -> Result<Self> {
        let fail = |detail: String| Err(Error::shape("patches", &[of], detail));
        let (dims, count) = (of.dims(), windows.len());
        if dims.len() != count + 2 {
            return fail(format!(
                "{count} windows need a tensor [samples, {count} extents, channels]"
            ));
        }
        let mut slides = Vec::new();
        for (window, &extent) in windows.iter().zip(&dims[1..]) {
            match window.count(extent) {
                Some(count) => slides.push(window.slide(count)),
                None => return fail(format!("no {window:?} fits {extent} elements")),
            }
        }
        Ok(Self::slides(of, &slides, 1))
    }

    /// The windows over `[samples, extents.., channels]`, in each of `groups` equal groups of channels: the matrices
    /// `[groups, samples · windows, taps · channels of a group]`. A coordinate that never leaves the tensor has no guard.
    pub(crate) fn slides(of: &Shape, slides: &[Slide], groups: usize) -> Self {
        let dims = of.dims();
        let own: Vec<isize> = of.strides().iter().map(|&s| s as isize).collect();
        let channels = dims[slides.len() + 1] / groups;
        let guarded: Vec<usize> =
            (0..slides.len()).filter(|&d| !slides[d].stays_inside(dims[d + 1])).collect();
        let axis = |extent: usize, stride: isize, along: Option<(usize, isize)>| {
            let free = along.filter(|(d, _)| !guarded.contains(d));
            let step = |g: &usize| along.filter(|(d, _)| d == g).map_or(0, |(_, step)| step);
            Axis {
                extent,
                stride: stride + free.map_or(0, |(d, step)| step * own[d + 1]),
                steps: guarded.iter().map(step).collect(),
            }
        };
        let along = |d: usize, step: isize| Some((d, step));
        let positions = slides.iter().enumerate().map(|(d, s)| axis(s.count, 0, along(d, s.step)));
        let taps = slides.iter().enumerate().map(|(d, s)| axis(s.taps, 0, along(d, s.tap_step)));
        let axes: Vec<Axis> = [axis(groups, channels as isize, None), axis(dims[0], own[0], None)]
            .into_iter()
            .chain(positions)
            .chain(taps)
            .chain([axis(channels, 1, None)])
            .collect();
        let offset = (0..slides.len())
            .filter(|d| !guarded.contains(d))
            .map(|d| slides[d].first * own[d + 1]);
        let guards = guarded.iter().map(|&d| Guard {
            first: slides[d].first,
            extent: dims[d + 1],
            stride: own[d + 1],
        });
        let rows = dims[0] * slides.iter().map(|s| s.count).product::<usize>();
        let terms = channels * slides.iter().map(|s| s.taps).product::<usize>();
        Self::new([groups, rows, terms], offset.sum(), axes, guards.collect())
    }
}

/// Windows along one axis, one after the other: tap `t` of window `i` is element `first + i·step + t·tap_step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slide {
    /// Windows.
    pub count: usize,
    /// Elements of a window.
    pub taps: usize,
    /// The first tap of the first window; negative if that is padding.
    pub first: isize,
    /// From one window to the next.
    pub step: isize,
    /// From one tap to the next.
    pub tap_step: isize,
}

impl Slide {
    /// Whether all taps of all windows are among `extent` elements.
    fn stays_inside(&self, extent: usize) -> bool {
        let reach = [(self.count, self.step), (self.taps, self.tap_step)]
            .map(|(n, step)| (n as isize - 1) * step);
        let low = self.first + reach.iter().map(|&r| r.min(0)).sum::<isize>();
        let high = self.first + reach.iter().map(|&r| r.max(0)).sum::<isize>();
        low >= 0 && high < extent as isize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted() {
        let count = |taps, stride, dilation, before, after, extent| {
            Window { taps, stride, dilation, before, after }.count(extent)
        };
        assert_eq!(count(3, 1, 1, 1, 1, 28), Some(28));
        assert_eq!(count(3, 2, 1, 0, 1, 28), Some(14));
        assert_eq!(count(3, 1, 2, 0, 0, 5), Some(1));
        assert_eq!(count(3, 1, 2, 0, 0, 4), None);
        for zero in [count(0, 1, 1, 0, 0, 4), count(1, 0, 1, 0, 0, 4), count(1, 1, 0, 0, 0, 4)] {
            assert_eq!(zero, None);
        }
    }

    #[test]
    fn steps_meet() {
        for stride in 1..40 {
            for dilation in 1..40 {
                let steps = Window { stride, dilation, ..Window::of(2) }.steps();
                let (tap, window) = (steps.tap * steps.common, steps.window * steps.common);
                assert_eq!((tap, window), (stride, dilation));
                assert!(
                    (2..=tap.min(window))
                        .all(|d| !steps.tap.is_multiple_of(d) || !steps.window.is_multiple_of(d))
                );
                let inverse = steps.inverse();
                assert!(inverse < steps.tap, "{steps:?}");
                assert_eq!(inverse * steps.window % steps.tap, 1 % steps.tap, "{steps:?}");
            }
        }
    }

    #[test]
    fn windows_without_padding_of_one_element_are_the_tensor() {
        let of = Shape::from([2, 5, 6, 4]);
        let view = View::patches(&of, &[Window::of(1), Window::of(1)]).expect("patches");
        assert_eq!(view.shape().dims(), [1, 60, 4]);
        assert!(view.fits(240) && !view.fits(239));
        assert!(View::patches(&of, &[Window::of(1)]).is_err());
        assert!(View::patches(&of, &[Window::of(6), Window::of(1)]).is_err());
    }
}
