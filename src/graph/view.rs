//! Views: what an operand reads, as data. Kernels' loads are generated from it.

use crate::tensor::Shape;

/// One axis of a walk through memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Steps along it.
    pub extent: usize,
    /// Elements from one step to the next; 0 repeats.
    pub stride: isize,
    /// What a step adds to the coordinate of each guard.
    pub steps: Vec<isize>,
}

/// A coordinate that may leave the tensor: what lies outside reads zero.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Guard {
    /// The coordinate where all indices are zero: minus the padding.
    pub first: isize,
    /// Elements are inside from 0 to here, excluded.
    pub extent: usize,
    /// Elements in memory from one coordinate to the next.
    pub stride: isize,
}

/// How a node reads an operand: it sees a tensor of `shape` whose elements are somewhere in the operand's memory.
///
/// The view is a walk. Row-major order over `shape` is row-major order over the axes, and the element at indices `i` is
/// `offset + Σ iₐ·strideₐ + Σ c·stride of the guard` with each guard's coordinate `c = first + Σ iₐ·stepₐ`. Axes of
/// extent 1 are left out and neighbours that walk evenly are one axis, so that equal walks are equal data, and a
/// reshape changes the shape alone.
///
/// ```
/// use wgrad::graph::View;
///
/// // A transpose of a 3 by 4 matrix, and its second row: the second column of the matrix.
/// let transposed = View::strided([4, 3], 0, &[1, 4]);
/// let row = transposed.then(&View::strided([3], 3, &[1])).expect("a row is a walk");
/// assert_eq!(row, View::strided([3], 1, &[4]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    shape: Shape,
    offset: isize,
    axes: Vec<Axis>,
    guards: Vec<Guard>,
}

impl View {
    /// A view from its axes, outermost first, whose extents multiply to the elements of `shape`.
    #[must_use]
    pub fn new(
        shape: impl Into<Shape>,
        offset: isize,
        axes: impl IntoIterator<Item = Axis>,
        guards: Vec<Guard>,
    ) -> Self {
        let mut walk: Vec<Axis> = Vec::new();
        for axis in axes.into_iter().filter(|axis| axis.extent != 1) {
            let even =
                |outer: isize, inner: isize| outer == inner.saturating_mul(axis.extent as isize);
            match walk.last_mut() {
                Some(last)
                    if even(last.stride, axis.stride)
                        && last.steps.iter().zip(&axis.steps).all(|(&o, &i)| even(o, i)) =>
                {
                    *last = Axis { extent: last.extent.saturating_mul(axis.extent), ..axis };
                }
                _ => walk.push(axis),
            }
        }
        Self { shape: shape.into(), offset, axes: walk, guards }
    }

    /// Element `offset + Σ iₐ·strides[a]` at indices `i` of `shape`.
    #[must_use]
    pub fn strided(shape: impl Into<Shape>, offset: isize, strides: &[isize]) -> Self {
        let shape = shape.into();
        let axes: Vec<Axis> = (shape.dims().iter().zip(strides))
            .map(|(&extent, &stride)| Axis { extent, stride, steps: vec![] })
            .collect();
        Self::new(shape, offset, axes, vec![])
    }

    /// As [`View::strided`], from offsets and strides of a memory that is gone through forwards.
    pub(crate) fn forward(shape: impl Into<Shape>, offset: usize, strides: &[usize]) -> Self {
        let strides: Vec<isize> = strides.iter().map(|&s| s as isize).collect();
        Self::strided(shape, offset as isize, &strides)
    }

    /// All elements in their order.
    #[must_use]
    pub fn whole(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let strides = shape.strides();
        Self::forward(shape, 0, &strides)
    }

    /// A tensor of shape `of` with zeros before and after each axis, as many as `around` says.
    pub(crate) fn padded(of: &Shape, around: &[[usize; 2]]) -> Self {
        let own = of.strides().into_iter().map(|s| s as isize).collect::<Vec<_>>();
        let guarded: Vec<usize> = (0..own.len()).filter(|&a| around[a] != [0, 0]).collect();
        let guard = |&a: &usize| {
            let first = -(around[a][0] as isize);
            Guard { first, extent: of.dims()[a], stride: own[a] }
        };
        let extents: Vec<usize> =
            of.dims().iter().zip(around).map(|(d, [before, after])| before + d + after).collect();
        let axes = (0..own.len()).map(|a| Axis {
            extent: extents[a],
            stride: if guarded.contains(&a) { 0 } else { own[a] },
            steps: guarded.iter().map(|&g| isize::from(g == a)).collect(),
        });
        Self::new(extents.clone(), 0, axes, guarded.iter().map(guard).collect())
    }

    /// A tensor of shape `from` repeated to `to`; `None` if it does not broadcast.
    #[must_use]
    pub fn broadcast(from: &Shape, to: &Shape) -> Option<Self> {
        Self::whole(from).spread(to)
    }

    /// The shape that the node sees.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The element at indices zero, guards aside.
    #[must_use]
    pub const fn offset(&self) -> isize {
        self.offset
    }

    /// The axes of the walk, outermost first.
    #[must_use]
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// The coordinates that may leave the tensor.
    #[must_use]
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// Whether the elements are read in their order from the first.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let in_order = self.axes.iter().all(|a| a.stride == 1) && self.axes.len() <= 1;
        self.offset == 0 && self.guards.is_empty() && in_order
    }

    /// Elements from one step of `axis` to the next, guards included.
    #[must_use]
    pub fn stride(&self, axis: &Axis) -> isize {
        let guarded = axis.steps.iter().zip(&self.guards).map(|(step, g)| step * g.stride);
        axis.stride + guarded.sum::<isize>()
    }

    /// The element at indices zero, which is outside if a guard begins there.
    #[must_use]
    pub fn origin(&self) -> isize {
        self.offset + self.guards.iter().map(|g| g.first * g.stride).sum::<isize>()
    }

    /// Whether every element read is one of the first `len`.
    #[must_use]
    pub fn fits(&self, len: usize) -> bool {
        let walks = self.axes.iter().map(|a| (a.extent, a.stride));
        let guards = self.guards.iter().map(|g| (g.extent, g.stride));
        let (mut low, mut high) = (self.offset, self.offset);
        for (extent, stride) in walks.chain(guards) {
            let reach = (extent as isize - 1).saturating_mul(stride);
            if reach < 0 {
                low = low.saturating_add(reach);
            } else {
                high = high.saturating_add(reach);
            }
        }
        let steps = self.axes.iter().all(|a| a.steps.len() == self.guards.len());
        let count = self.axes.iter().fold(1, |n: usize, a| n.saturating_mul(a.extent));
        steps && count == self.shape.len() && low >= 0 && high < len as isize
    }

    /// Whether both read the same elements in the same order.
    #[must_use]
    pub fn same_walk(&self, other: &Self) -> bool {
        (self.offset, &self.axes, &self.guards) == (other.offset, &other.axes, &other.guards)
    }

    /// The same walk under another shape of as many elements.
    #[must_use]
    pub fn reshaped(&self, shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), ..self.clone() }
    }

    /// What `outer` reads of the tensor that this view shows; `None` if no view reads that.
    #[must_use]
    pub fn then(&self, outer: &Self) -> Option<Self> {
        if !outer.guards.is_empty() || self.shape.is_empty() {
            return None;
        }
        let mut rest = usize::try_from(outer.offset).ok()?;
        // Elements of `shape` from one step of each axis to the next, and the first index along it.
        let mut radix = vec![1; self.axes.len()];
        for a in (1..self.axes.len()).rev() {
            radix[a - 1] = radix[a] * self.axes[a].extent;
        }
        let mut offset = self.offset;
        let mut guards = self.guards.clone();
        let mut last = Vec::new();
        for (axis, &radix) in self.axes.iter().zip(&radix) {
            let index = rest / radix;
            rest %= radix;
            offset += index as isize * axis.stride;
            for (guard, step) in guards.iter_mut().zip(&axis.steps) {
                guard.first += index as isize * step;
            }
            last.push(index);
        }
        let mut axes = Vec::new();
        for axis in &outer.axes {
            let step = usize::try_from(axis.stride).ok()?;
            self.walk(axis.extent, step, &radix, &mut last, &mut axes)?;
        }
        let inside = rest == 0 && last.iter().zip(&self.axes).all(|(&i, axis)| i < axis.extent);
        inside.then(|| Self::new(outer.shape.clone(), offset, axes, guards))
    }

    /// Adds to `axes` the walk of `extent` steps of `step` elements each; `last` is the largest index along each own axis.
    fn walk(
        &self,
        extent: usize,
        step: usize,
        radix: &[usize],
        last: &mut [usize],
        axes: &mut Vec<Axis>,
    ) -> Option<()> {
        if step == 0 {
            axes.push(Axis { extent, stride: 0, steps: vec![0; self.guards.len()] });
            return Some(());
        }
        let a = radix.iter().position(|&r| r <= step)?;
        let own = &self.axes[a];
        let times = step / radix[a];
        if !step.is_multiple_of(radix[a]) {
            return None;
        }
        let part = |extent: usize| Axis {
            extent,
            stride: own.stride * times as isize,
            steps: own.steps.iter().map(|s| s * times as isize).collect(),
        };
        if (extent - 1) * times < own.extent {
            last[a] += (extent - 1) * times;
            axes.push(part(extent));
            return Some(());
        }
        // It goes on along the next outer axis after a whole number of steps.
        let steps = own.extent / times;
        if steps == 0 || !own.extent.is_multiple_of(times) || !extent.is_multiple_of(steps) {
            return None;
        }
        self.walk(extent / steps, step * steps, radix, last, axes)?;
        last[a] += (steps - 1) * times;
        axes.push(part(steps));
        Some(())
    }

    /// The axes of each of these runs of elements, whose extents multiply to all; `None` if a run ends within an axis.
    #[must_use]
    pub fn groups(&self, extents: &[usize]) -> Option<Vec<Vec<Axis>>> {
        if self.shape.is_empty() {
            return None;
        }
        let mut axes = self.axes.clone();
        let mut groups = Vec::new();
        for &extent in extents.iter().rev() {
            let (mut group, mut left) = (Vec::new(), extent);
            while left > 1 {
                let axis = axes.pop()?;
                if axis.extent <= left {
                    if left % axis.extent != 0 {
                        return None;
                    }
                    left /= axis.extent;
                    group.push(axis);
                    continue;
                }
                if axis.extent % left != 0 {
                    return None;
                }
                axes.push(Axis {
                    extent: axis.extent / left,
                    stride: axis.stride * left as isize,
                    steps: axis.steps.iter().map(|s| s * left as isize).collect(),
                });
                group.push(Axis { extent: left, ..axis });
                left = 1;
            }
            group.reverse();
            groups.push(group);
        }
        groups.reverse();
        axes.is_empty().then_some(groups)
    }

    /// The view with its last two axes of `[batch, rows, columns]` in the other order.
    #[must_use]
    pub fn transposed(&self, [batch, rows, columns]: [usize; 3]) -> Option<Self> {
        let groups = self.groups(&[batch, rows, columns])?;
        let [b, r, c] = <[Vec<Axis>; 3]>::try_from(groups).ok()?;
        let axes = b.into_iter().chain(c).chain(r);
        Some(Self::new([batch, columns, rows], self.offset, axes, self.guards.clone()))
    }

    /// The view repeated to `to` by the rules of broadcasting.
    #[must_use]
    pub fn spread(&self, to: &Shape) -> Option<Self> {
        if self.shape.len() == to.len() {
            return self.shape.broadcast_strides(to).map(|_| self.reshaped(to));
        }
        self.shape.broadcast_strides(to)?;
        let lead = to.rank() - self.shape.rank();
        let mut groups = self.groups(self.shape.dims())?.into_iter();
        let mut axes = Vec::new();
        for (a, &extent) in to.dims().iter().enumerate() {
            let own = if a < lead { vec![] } else { groups.next()? };
            let repeats = a < lead || self.shape.dims()[a - lead] != extent;
            match repeats {
                true => axes.push(Axis { extent, stride: 0, steps: vec![0; self.guards.len()] }),
                false => axes.extend(own),
            }
        }
        Some(Self::new(to, self.offset, axes, self.guards.clone()))
    }
}

/// Extents with strides, as in `3·8+1`, `2·4` from element 1.
impl std::fmt::Display for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let axes: Vec<String> =
            self.axes.iter().map(|a| format!("{}·{}", a.extent, self.stride(a))).collect();
        write!(f, "{} as {}", self.shape, axes.join(" "))?;
        if self.origin() != 0 {
            write!(f, " from {}", self.origin())?;
        }
        if !self.guards.is_empty() {
            write!(f, ", outside 0")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The elements that a view without guards reads, in order.
    fn read(view: &View) -> Vec<isize> {
        view.axes.iter().fold(vec![view.offset], |at, axis| {
            let steps =
                |&first: &isize| (0..axis.extent as isize).map(move |i| first + i * axis.stride);
            at.iter().flat_map(steps).collect()
        })
    }

    fn views_of(shape: &[usize]) -> Vec<View> {
        let own: Vec<isize> = Shape::from(shape).strides().iter().map(|&s| s as isize).collect();
        let mut views = vec![View::whole(shape)];
        for a in 0..shape.len() {
            // A slice, a reversal of two axes, a repeated axis.
            let mut dims = shape.to_vec();
            dims[a] = shape[a].div_ceil(2);
            views.push(View::strided(dims, own[a] * (shape[a] / 2) as isize, &own));
            for b in 0..a {
                let (mut dims, mut strides) = (shape.to_vec(), own.clone());
                dims.swap(a, b);
                strides.swap(a, b);
                views.push(View::strided(dims, 0, &strides));
            }
        }
        let to = Shape::from([&[2], shape].concat());
        views.extend(View::broadcast(&Shape::from(shape), &to));
        views
    }

    #[test]
    fn a_view_of_a_view_reads_what_both_read() {
        let (mut composed, mut refused) = (0, 0);
        for inner in views_of(&[4, 6, 2]) {
            let between = read(&inner);
            let len = between.len();
            let mut shapes = vec![inner.shape.dims().to_vec(), vec![len]];
            shapes.extend(
                [2, 3, 4].iter().filter(|&&d| len.is_multiple_of(d)).map(|&d| vec![d, len / d]),
            );
            for outer in shapes.iter().flat_map(|s| views_of(s)) {
                let want: Vec<isize> = read(&outer).iter().map(|&e| between[e as usize]).collect();
                match inner.then(&outer) {
                    Some(both) => {
                        assert_eq!(read(&both), want, "{inner} then {outer}");
                        assert!(both.fits(48) && both.shape == outer.shape);
                        composed += 1;
                    }
                    None => refused += 1,
                }
            }
        }
        assert!(composed > 150 && refused < composed / 4, "{composed} of {}", composed + refused);
    }

    #[test]
    fn heads_are_a_view() {
        let (b, t, h, d) = (2isize, 5, 3, 4);
        let split = View::strided([2, 3, 5, 4], 0, &[t * h * d, d, h * d, 1]);
        let groups = split.reshaped([6, 5, 4]).groups(&[6, 5, 4]).expect("groups");
        let strides = |axes: &[Axis]| axes.iter().map(|a| a.stride).collect::<Vec<_>>();
        assert_eq!(
            groups.iter().map(|g| strides(g)).collect::<Vec<_>>(),
            [vec![t * h * d, d], vec![h * d], vec![1]]
        );
        assert!(split.fits((b * t * h * d) as usize) && !split.fits(119));
        let back = split.then(&View::strided([2, 5, 12], 0, &[60, 4, 1]));
        assert!(back.is_none(), "an axis of 12 elements 1 apart leaves the axis of 4");
        let merged = View::strided([2, 5, 3, 4], 0, &[60, 4, 20, 1]).reshaped([2, 5, 12]);
        assert!(split.then(&merged).expect("merged heads").is_whole());
    }

    #[test]
    fn views_outside_the_operand_do_not_fit() {
        assert!(View::whole([3, 4]).fits(12));
        assert!(!View::whole([3, 4]).fits(11));
        assert!(!View::strided([3], 1, &[-1]).fits(3));
        assert!(View::strided([3], 2, &[-1]).fits(3));
        let guard = Guard { first: -1, extent: 5, stride: 1 };
        let axis = |extent| Axis { extent, stride: 0, steps: vec![1] };
        let patches = View::new([5, 3], 0, [axis(5), axis(3)], vec![guard]);
        assert!(patches.fits(5) && !patches.fits(4));
        assert_eq!((patches.origin(), patches.stride(&patches.axes()[1])), (-1, 1));
    }
}
