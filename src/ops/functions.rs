//! Elementwise functions as methods of the builder, for those that a user expects there.

use crate::error::Result;
use crate::graph::{Graph, Value};

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident)*) => {
        impl Graph {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`crate::Error::DType`] if `x` is not f32.
                pub fn $name(&mut self, x: Value) -> Result<Value> {
                    self.unary(stringify!($name), x, &[])
                }
            )*
        }
    };
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident)*) => {
        impl Graph {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// As [`Graph::binary`].
                pub fn $name(&mut self, a: Value, b: Value) -> Result<Value> {
                    self.binary(stringify!($name), a, b)
                }
            )*
        }
    };
}

unary! {
    /// -x.
    neg
    /// |x|.
    abs
    /// -1, 0 or 1 by the sign of x.
    sign
    /// The largest whole number not above x.
    floor
    /// The smallest whole number not below x.
    ceil
    /// The nearest whole number; a half goes to the even one.
    round
    /// eˣ.
    exp
    /// eˣ - 1, exact near 0 too.
    expm1
    /// ln x.
    log
    /// ln(1 + x), exact near 0 too.
    log1p
    /// √x.
    sqrt
    /// 1 / √x.
    rsqrt
    /// x².
    square
    /// 1 / x.
    reciprocal
    /// sin x, right to 2·10⁻⁷ for |x| up to 10⁵.
    sin
    /// cos x, right to 2·10⁻⁷ for |x| up to 10⁵.
    cos
    /// The error function, 2/√π · ∫₀ˣ e^(-t²) dt.
    erf
}

binary! {
    /// a + b, broadcast.
    add
    /// a - b, broadcast.
    sub
    /// a · b elementwise, broadcast.
    mul
    /// a / b, broadcast.
    div
    /// aᵇ, broadcast, as IEEE 754 defines it: 1 if b is 0, and NaN for a negative base unless b is a whole number.
    ///
    /// Whole exponents from -64 to 64 are products of at most 12 factors. The relative error of others is about
    /// (3 + 2 |b log₂ a|) · 10⁻⁷ if the device's `exp2` and `log2` are as good as WGSL asks.
    ///
    /// The gradient of `a` is b aᵇ⁻¹, and that of `b` is aᵇ ln a: 0 at a = 0 if b ≥ 0, as in Keras and PyTorch, and
    /// without a value for a negative base, as in PyTorch. One that is not asked for is not computed.
    pow
    /// The larger of both, broadcast; NaN if one is.
    maximum
    /// The smaller of both, broadcast; NaN if one is.
    minimum
    /// 1 if a > b, else 0, broadcast.
    greater
    /// 1 if a ≥ b, else 0, broadcast.
    greater_equal
    /// 1 if a < b, else 0, broadcast.
    less
    /// 1 if a ≤ b, else 0, broadcast.
    less_equal
    /// 1 if a = b, else 0, broadcast.
    equal
    /// 1 if a ≠ b, else 0, broadcast.
    not_equal
}
