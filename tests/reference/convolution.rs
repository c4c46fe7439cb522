//! Convolution and its gradients: one sum of products, solved for each of its three tensors.

/// How windows slide along one axis of an image.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    pub taps: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
    pub after: usize,
    pub extent: usize,
}

impl Axis {
    /// An axis of one element, for images of fewer than three.
    const ONE: Self = Self { taps: 1, stride: 1, dilation: 1, before: 0, after: 0, extent: 1 };

    pub fn windows(&self) -> usize {
        let padded = self.before + self.extent + self.after;
        (padded - (self.taps - 1) * self.dilation - 1) / self.stride + 1
    }

    /// The element under tap `t` of window `o`, if it is no padding.
    pub fn element(&self, o: usize, t: usize) -> Option<usize> {
        let at = (o * self.stride + t * self.dilation).checked_sub(self.before)?;
        (at < self.extent).then_some(at)
    }
}

/// The axes as three, the first of one element if there are fewer.
pub fn three(axes: &[Axis]) -> [Axis; 3] {
    let mut all = [Axis::ONE; 3];
    all[3 - axes.len()..].copy_from_slice(axes);
    all
}

/// Samples, channels, filters and groups of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub samples: usize,
    pub channels: usize,
    pub filters: usize,
    pub groups: usize,
}

/// Calls `each` with the places in x, in the kernel and in y of every product of a convolution.
pub fn products(sizes: Sizes, axes: &[Axis], mut each: impl FnMut(usize, usize, usize)) {
    let Sizes { samples, channels, filters, groups } = sizes;
    let [a, b, c] = three(axes);
    let (seen, own) = (channels / groups, filters / groups);
    for s in 0..samples {
        for (o0, o1, o2) in triples([a.windows(), b.windows(), c.windows()]) {
            for (t0, t1, t2) in triples([a.taps, b.taps, c.taps]) {
                let at = (a.element(o0, t0), b.element(o1, t1), c.element(o2, t2));
                let (Some(i0), Some(i1), Some(i2)) = at else { continue };
                let image = ((s * a.extent + i0) * b.extent + i1) * c.extent + i2;
                let window = ((s * a.windows() + o0) * b.windows() + o1) * c.windows() + o2;
                let tap = (t0 * b.taps + t1) * c.taps + t2;
                for f in 0..filters {
                    for channel in 0..seen {
                        let x = image * channels + f / own * seen + channel;
                        each(x, (tap * seen + channel) * filters + f, window * filters + f);
                    }
                }
            }
        }
    }
}

fn triples([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a * b * c).map(move |i| (i / (b * c), i / c % b, i % c))
}

/// Elements of x, of the kernel and of y.
pub fn lengths(sizes: Sizes, axes: &[Axis]) -> [usize; 3] {
    let Sizes { samples, channels, filters, groups } = sizes;
    let product = |of: fn(&Axis) -> usize| axes.iter().map(of).product::<usize>();
    [
        samples * product(|a| a.extent) * channels,
        product(|a| a.taps) * channels / groups * filters,
        samples * product(Axis::windows) * filters,
    ]
}

/// y from x and the kernel.
pub fn convolution(x: &[f64], kernel: &[f64], sizes: Sizes, axes: &[Axis]) -> Vec<f64> {
    let mut y = vec![0.0; lengths(sizes, axes)[2]];
    products(sizes, axes, |i, k, o| y[o] += x[i] * kernel[k]);
    y
}

/// The gradient of x from dy and the kernel.
pub fn convolution_transpose(dy: &[f64], kernel: &[f64], sizes: Sizes, axes: &[Axis]) -> Vec<f64> {
    let mut dx = vec![0.0; lengths(sizes, axes)[0]];
    products(sizes, axes, |i, k, o| dx[i] += dy[o] * kernel[k]);
    dx
}

/// The gradient of the kernel from x and dy.
pub fn convolution_kernel(x: &[f64], dy: &[f64], sizes: Sizes, axes: &[Axis]) -> Vec<f64> {
    let mut dk = vec![0.0; lengths(sizes, axes)[1]];
    products(sizes, axes, |i, k, o| dk[k] += x[i] * dy[o]);
    dk
}
