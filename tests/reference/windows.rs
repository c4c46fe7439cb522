//! Windows that slide over tensors `[samples, extents.., channels]`: depthwise convolution, and its gradients, as sums
//! over every pair of a window and a tap that is on the tensor (Chollet 2017, "Xception"; the indices are those of
//! TensorFlow's `depthwise_conv2d_native` with zeros around the tensor).

/// Windows along one axis.
#[derive(Debug, Clone, Copy)]
pub struct Sliding {
    pub extent: usize,
    pub taps: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
    pub after: usize,
}

impl Sliding {
    /// `sizes` are taps, stride, dilation, and zeros before and after.
    pub fn new(extent: usize, [taps, stride, dilation, before, after]: [usize; 5]) -> Self {
        Self { extent, taps, stride, dilation, before, after }
    }

    /// How many windows there are.
    pub fn count(&self) -> usize {
        let reach = (self.taps - 1) * self.dilation + 1;
        (self.extent + self.before + self.after - reach) / self.stride + 1
    }

    /// The element under tap `tap` of window `window`, if it is no zero of the padding.
    pub fn element(&self, window: usize, tap: usize) -> Option<usize> {
        let at = (window * self.stride + tap * self.dilation).checked_sub(self.before)?;
        (at < self.extent).then_some(at)
    }
}

fn product(sliding: &[Sliding], of: impl Fn(&Sliding) -> usize) -> usize {
    sliding.iter().map(of).product()
}

/// Calls `f` with the flat places of each window, tap and element that meet.
pub fn meetings(sliding: &[Sliding], mut f: impl FnMut(usize, usize, usize)) {
    let digits = |mut flat: usize, of: &dyn Fn(&Sliding) -> usize| {
        let mut digits = vec![0; sliding.len()];
        for (digit, axis) in digits.iter_mut().zip(sliding).rev() {
            (*digit, flat) = (flat % of(axis), flat / of(axis));
        }
        digits
    };
    for window in 0..product(sliding, Sliding::count) {
        let o = digits(window, &Sliding::count);
        for tap in 0..product(sliding, |s| s.taps) {
            let t = digits(tap, &|s| s.taps);
            let flat = |at: Option<usize>, (axis, (&o, &t)): (&Sliding, (&usize, &usize))| {
                Some(at? * axis.extent + axis.element(o, t)?)
            };
            if let Some(element) = sliding.iter().zip(o.iter().zip(&t)).fold(Some(0), flat) {
                f(window, tap, element);
            }
        }
    }
}

/// Calls `f` with the places in `x`, the kernel and `y` of every product in a depthwise convolution.
fn products(
    samples: usize,
    channels: usize,
    multiplier: usize,
    sliding: &[Sliding],
    mut f: impl FnMut(usize, usize, usize),
) {
    let (elements, windows) = (product(sliding, |s| s.extent), product(sliding, Sliding::count));
    meetings(sliding, |window, tap, element| {
        for n in 0..samples {
            for filter in 0..channels * multiplier {
                f(
                    (n * elements + element) * channels + filter / multiplier,
                    tap * channels * multiplier + filter,
                    (n * windows + window) * channels * multiplier + filter,
                );
            }
        }
    });
}

/// `y[n, o, c, m]` is the sum over taps `t` of `x[n, o · stride + t · dilation - before, c] · kernel[t, c, m]`.
pub fn depthwise(x: &[f64], kernel: &[f64], multiplier: usize, sliding: &[Sliding]) -> Vec<f64> {
    let channels = kernel.len() / product(sliding, |s| s.taps) / multiplier;
    let samples = x.len() / product(sliding, |s| s.extent) / channels;
    let windows = product(sliding, Sliding::count);
    let mut y = vec![0.0; samples * windows * channels * multiplier];
    products(samples, channels, multiplier, sliding, |i, j, k| y[k] += x[i] * kernel[j]);
    y
}

/// The gradient of `x` in [`depthwise`], from that of `y`.
pub fn depthwise_input(
    dy: &[f64],
    kernel: &[f64],
    multiplier: usize,
    sliding: &[Sliding],
) -> Vec<f64> {
    let channels = kernel.len() / product(sliding, |s| s.taps) / multiplier;
    let samples = dy.len() / product(sliding, Sliding::count) / channels / multiplier;
    let mut dx = vec![0.0; samples * product(sliding, |s| s.extent) * channels];
    products(samples, channels, multiplier, sliding, |i, j, k| dx[i] += dy[k] * kernel[j]);
    dx
}

/// The gradient of the kernel in [`depthwise`] over `samples`, from that of `y`.
pub fn depthwise_kernel(
    x: &[f64],
    dy: &[f64],
    samples: usize,
    multiplier: usize,
    sliding: &[Sliding],
) -> Vec<f64> {
    let channels = x.len() / product(sliding, |s| s.extent) / samples;
    let mut dkernel = vec![0.0; product(sliding, |s| s.taps) * channels * multiplier];
    products(samples, channels, multiplier, sliding, |i, j, k| dkernel[j] += x[i] * dy[k]);
    dkernel
}
