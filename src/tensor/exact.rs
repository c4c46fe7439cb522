//! Real numbers that can be keys.

/// An f32 that equals another if their bits are the same, so that data that holds it is `Eq` and `Hash`. NaN equals
/// itself, and -0.0 differs from 0.0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Exact(u32);

impl Exact {
    /// The number.
    #[must_use]
    pub const fn get(self) -> f32 {
        f32::from_bits(self.0)
    }

    /// Its bits.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }
}

impl From<f32> for Exact {
    fn from(number: f32) -> Self {
        Self(number.to_bits())
    }
}

impl std::fmt::Debug for Exact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::Exact;

    #[test]
    fn bits_decide() {
        assert_eq!(Exact::from(f32::NAN), Exact::from(f32::NAN));
        assert_ne!(Exact::from(0.0), Exact::from(-0.0));
        assert_eq!(Exact::from(1.5).get(), 1.5);
    }
}
