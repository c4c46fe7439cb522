//! Static shapes, row-major, and element types. Users find them in `tensor`; they are below it because errors show them.

/// The extents of a tensor, outermost first. A scalar has rank 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// The shape with these extents.
    #[must_use]
    pub fn new(dims: impl Into<Vec<usize>>) -> Self {
        Self(dims.into())
    }

    /// The shape of a scalar.
    #[must_use]
    pub const fn scalar() -> Self {
        Self(Vec::new())
    }

    /// The extents, outermost first.
    #[must_use]
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// How many axes there are.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// How many elements there are: 1 for a scalar. Counts beyond `usize` stop at its largest value, which no
    /// tensor holds and every limit refuses.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.0.contains(&0) {
            return 0;
        }
        self.0.iter().fold(1, |count: usize, &extent| count.saturating_mul(extent))
    }

    /// Whether an extent is zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row-major strides in elements.
    #[must_use]
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.rank()];
        for axis in (1..self.rank()).rev() {
            strides[axis - 1] = usize::saturating_mul(strides[axis], self.0[axis]);
        }
        strides
    }

    /// The shape that both broadcast to under NumPy's rule, or `None` if they do not fit.
    #[must_use]
    pub fn broadcast(&self, other: &Self) -> Option<Self> {
        let rank = self.rank().max(other.rank());
        let extent =
            |s: &Self, axis: usize| (axis + s.rank()).checked_sub(rank).map_or(1, |own| s.0[own]);
        (0..rank)
            .map(|axis| match (extent(self, axis), extent(other, axis)) {
                (a, b) if a == b => Some(a),
                (1, b) => Some(b),
                (a, 1) => Some(a),
                _ => None,
            })
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    /// Strides that read `self` as if it had the shape `to`: 0 along every repeated axis.
    /// `None` if `self` does not broadcast to `to`.
    #[must_use]
    pub fn broadcast_strides(&self, to: &Self) -> Option<Vec<usize>> {
        let lead = to.rank().checked_sub(self.rank())?;
        let own = self.strides();
        let mut strides = vec![0; to.rank()];
        for axis in 0..self.rank() {
            match (self.0[axis], to.0[lead + axis]) {
                (1, _) => {}
                (a, b) if a == b => strides[lead + axis] = own[axis],
                _ => return None,
            }
        }
        Some(strides)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Self(dims.to_vec())
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self(dims.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Self(dims)
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

/// The element types that buffers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// 32-bit floating point: every computation.
    F32,
    /// 32-bit unsigned: labels and indices.
    U32,
    /// 8-bit unsigned, packed four to a word on the device: images at rest.
    U8,
}

impl DType {
    /// Bytes per element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::U8 => 1,
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::U32 => "u32",
            Self::U8 => "u8",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn broadcasting_follows_numpy() {
        let a = Shape::from([32, 1, 10]);
        assert_eq!(a.broadcast(&Shape::from([7, 1])), Some(Shape::from([32, 7, 10])));
        assert_eq!(a.broadcast(&Shape::scalar()), Some(a.clone()));
        assert_eq!(a.broadcast(&Shape::from([3])), None);
        assert_eq!(Shape::from([10]).broadcast_strides(&Shape::from([4, 10])), Some(vec![0, 1]));
        assert_eq!(Shape::from([4, 1]).broadcast_strides(&Shape::from([4, 10])), Some(vec![1, 0]));
        assert_eq!(Shape::from([4, 10]).broadcast_strides(&Shape::from([10])), None);
    }

    #[test]
    fn strides_are_row_major() {
        assert_eq!(Shape::from([2, 3, 4]).strides(), vec![12, 4, 1]);
        assert_eq!(Shape::scalar().len(), 1);
    }
}
