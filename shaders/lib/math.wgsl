// Functions of the elementwise table that are longer than an expression. All are finite and accurate from
// -1e4 to 1e4: exponents are never positive, and quotients never inf / inf.

// Whether the sign is negative and x is not NaN, by its bits: a compiler may assume that there is no NaN, and then
// makes a comparison and a choice into `max`, which drops NaN.
fn negative(x: vec4<f32>) -> vec4<bool> {
    return bitcast<vec4<u32>>(x) - vec4<u32>(0x80000000u) <= vec4<u32>(0x7f800000u);
}

// Whether x is NaN; also by its bits.
fn nan(x: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}

// Whether |x| is at least `low` and x is not NaN; by its bits, which count up with the size.
fn at_least(x: vec4<f32>, low: f32) -> vec4<bool> {
    let size = bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
    return size - vec4<u32>(bitcast<u32>(low)) <= vec4<u32>(0x7f800000u - bitcast<u32>(low));
}

// 1 if x is NaN, else 0.
fn nan_as_one(x: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(0.0), vec4<f32>(1.0), nan(x));
}

// 1 if x is neither infinite nor NaN, else 0; by its bits.
fn finite_as_one(x: vec4<f32>) -> vec4<f32> {
    let size = bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
    return select(vec4<f32>(0.0), vec4<f32>(1.0), size < vec4<u32>(0x7f800000u));
}

// `y` if x is a number, else x.
fn keep_nan(x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    return select(y, x, nan(x));
}

// The larger and the smaller of two; NaN, if one of them is. `max` and `min` may drop it.
fn larger(x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    return keep_nan(x, keep_nan(y, max(x, y)));
}

fn smaller(x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    return keep_nan(x, keep_nan(y, min(x, y)));
}

// -1, 0 or 1 by the sign of x; NaN for NaN.
fn sign_of(x: vec4<f32>) -> vec4<f32> {
    return keep_nan(x, sign(x));
}

// 1 above 0, else 0; NaN for NaN.
fn heaviside(x: vec4<f32>) -> vec4<f32> {
    return keep_nan(x, select(vec4<f32>(0.0), vec4<f32>(1.0), x > vec4<f32>(0.0)));
}

// max(x, 0) that lets NaN through.
fn relu(x: vec4<f32>) -> vec4<f32> {
    return select(x, vec4<f32>(0.0), negative(x));
}

// x limited to [low, high]; NaN for NaN, which `clamp` may drop.
fn hold(x: vec4<f32>, low: f32, high: f32) -> vec4<f32> {
    return keep_nan(x, clamp(x, vec4<f32>(low), vec4<f32>(high)));
}

// 1 / (1 + e^-x).
fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-abs(x));
    return select(e, vec4<f32>(1.0), x >= vec4<f32>(0.0)) / (1.0 + e);
}

// tanh saturates to 1 in f32 past 9.02; some drivers overflow inside tanh for large operands.
fn safe_tanh(x: vec4<f32>) -> vec4<f32> {
    let bounded = clamp(x, vec4<f32>(-12.0), vec4<f32>(12.0));
    // Below 0.05 the series keeps the relative error that e^x - e^-x loses. It also takes NaN, which `clamp` may drop.
    let square = x * x;
    let series = x * (1.0 - square * (1.0 / 3.0 - square * (2.0 / 15.0)));
    return select(series, tanh(bounded), at_least(x, 0.05));
}

// e^min(x, 0) - 1; the series avoids cancellation near 0.
fn expm1_neg(x: vec4<f32>) -> vec4<f32> {
    let t = min(x, vec4<f32>(0.0));
    let series = t * (1.0 + t * (0.5 + t * (1.0 / 6.0 + t * (1.0 / 24.0))));
    return select(exp(t) - 1.0, series, t > vec4<f32>(-0.05));
}

// log(1 + u) for u in [0, 1].
fn log1p_unit(u: vec4<f32>) -> vec4<f32> {
    let series = u * (1.0 - u * (0.5 - u * (1.0 / 3.0)));
    return select(log(1.0 + u), series, u < vec4<f32>(0.01));
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|).
fn softplus(x: vec4<f32>) -> vec4<f32> {
    // `max` may drop NaN, and `exp` of NaN may be infinite; `relu` keeps NaN.
    return relu(x) + log1p_unit(exp(-abs(x)));
}

// erfc(z) for z >= 0 with relative error below 1.2e-7: Chebyshev fit of Numerical Recipes, section 6.2.
fn erfc_positive(z: vec4<f32>) -> vec4<f32> {
    let t = 1.0 / (1.0 + 0.5 * z);
    let p = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806
        + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
    // Past 10 the result underflows; the bound keeps z * z finite.
    let bounded = min(z, vec4<f32>(13.0));
    return t * exp(-bounded * bounded + p);
}

// The standard normal distribution function.
fn normal_cdf(x: vec4<f32>) -> vec4<f32> {
    let tail = 0.5 * erfc_positive(abs(x) * 0.70710678);
    return select(tail, 1.0 - tail, x >= vec4<f32>(0.0));
}

// x * cdf(x): Hendrycks and Gimpel 2016.
fn gelu(x: vec4<f32>) -> vec4<f32> {
    return x * normal_cdf(x);
}

fn gelu_derivative(x: vec4<f32>) -> vec4<f32> {
    let bounded = min(abs(x), vec4<f32>(18.0));
    return normal_cdf(x) + clamp(x, vec4<f32>(-18.0), vec4<f32>(18.0)) * 0.39894228 * exp(-0.5 * bounded * bounded);
}

// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), written 1 + tanh(a) = 2 sigmoid(2a) to keep the tail.
fn gelu_tanh_argument(x: vec4<f32>) -> vec4<f32> {
    let bounded = clamp(x, vec4<f32>(-30.0), vec4<f32>(30.0));
    return 1.5957691 * (bounded + 0.044715 * bounded * bounded * bounded);
}

fn gelu_tanh(x: vec4<f32>) -> vec4<f32> {
    return x * sigmoid(gelu_tanh_argument(x));
}

fn gelu_tanh_derivative(x: vec4<f32>) -> vec4<f32> {
    let s = sigmoid(gelu_tanh_argument(x));
    let bounded = clamp(x, vec4<f32>(-30.0), vec4<f32>(30.0));
    return keep_nan(x, s + bounded * s * (1.0 - s) * 1.5957691 * (1.0 + 0.134145 * bounded * bounded));
}

fn silu_derivative(x: vec4<f32>) -> vec4<f32> {
    let s = sigmoid(x);
    return s * (1.0 + x * (1.0 - s));
}

// sin(x + shift quarter turns). x less the nearest whole number n of quarter turns, in three parts of which n times each
// of the first two is exact up to n = 65536, then Taylor's series within an eighth of a turn. Past that n the result is
// wrong, but within [-1, 1].
fn sine_shifted(x: vec4<f32>, shift: u32) -> vec4<f32> {
    let n = round(x * 0.63661977);
    let rest = fma(-n, vec4<f32>(1.2675908e-6), fma(-n, vec4<f32>(4.825592041015625e-4), fma(-n, vec4<f32>(1.5703125), x)));
    let r = hold(rest, -0.8, 0.8);
    let quarters = bitcast<vec4<u32>>(vec4<i32>(clamp(n, vec4<f32>(-1e9), vec4<f32>(1e9)))) + vec4<u32>(shift);
    let s = r * r;
    let sine = r - r * s * (1.0 / 6.0 - s * (1.0 / 120.0 - s * (1.0 / 5040.0 - s / 362880.0)));
    let cosine = 1.0 - s * (0.5 - s * (1.0 / 24.0 - s * (1.0 / 720.0 - s * (1.0 / 40320.0 - s / 3628800.0))));
    let size = select(sine, cosine, (quarters & vec4<u32>(1u)) == vec4<u32>(1u));
    return select(size, -size, (quarters & vec4<u32>(2u)) == vec4<u32>(2u));
}

fn sine(x: vec4<f32>) -> vec4<f32> { return sine_shifted(x, 0u); }

fn cosine(x: vec4<f32>) -> vec4<f32> { return sine_shifted(x, 1u); }

// The error function. Near 0 its series keeps the relative error that 1 - erfc loses; it also takes NaN.
fn erf(x: vec4<f32>) -> vec4<f32> {
    let s = x * x;
    let inner = 1.0 / 42.0 - s * (1.0 / 216.0 - s * (1.0 / 1320.0 - s / 9360.0));
    let series = 1.1283792 * x * (1.0 - s * (1.0 / 3.0 - s * (0.1 - s * inner)));
    let size = 1.0 - erfc_positive(abs(x));
    return select(series, select(size, -size, x < vec4<f32>(0.0)), at_least(x, 0.5));
}

fn erf_derivative(x: vec4<f32>) -> vec4<f32> {
    let bounded = min(abs(x), vec4<f32>(13.0));
    return keep_nan(x, 1.1283792 * exp(-bounded * bounded));
}

// log(1 + x) = 2 artanh(x / (2 + x)): near 0 the series keeps the digits that 1 + x loses; it also takes NaN.
fn log1p(x: vec4<f32>) -> vec4<f32> {
    let t = x / (2.0 + x);
    let s = t * t;
    let inner = 1.0 / 5.0 + s * (1.0 / 7.0 + s * (1.0 / 9.0 + s / 11.0));
    let series = 2.0 * t * (1.0 + s * (1.0 / 3.0 + s * inner));
    return select(series, log(1.0 + x), at_least(x, 0.4));
}

// e^x - 1; near 0 the series keeps the digits that the difference loses; it also takes NaN.
fn expm1(x: vec4<f32>) -> vec4<f32> {
    let inner = 1.0 / 24.0 + x * (1.0 / 120.0 + x * (1.0 / 720.0 + x / 5040.0));
    let series = x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * inner)));
    return select(series, exp(x) - 1.0, at_least(x, 0.3));
}

// x to the power y by IEEE 754. A whole y up to 64 multiplies, in any sign of x. Else 2^(y log2 |x|), negative for an
// odd power of a negative x, and NaN for a power that is not whole.
fn power(x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    let n = abs(y);
    let whole = floor(n) == n;
    let count = vec4<u32>(min(n, vec4<f32>(16777216.0)));
    var product = vec4<f32>(1.0);
    var square = x;
    for (var bit = 0u; bit < 7u; bit++) {
        product = select(product, product * square, ((count >> vec4<u32>(bit)) & vec4<u32>(1u)) == vec4<u32>(1u));
        square *= square;
    }
    let below = y < vec4<f32>(0.0);
    let multiplied = select(product, 1.0 / product, below);
    let size = abs(x);
    // At 0 and 1 the logarithm times y may have no value.
    let at_zero = select(size, 1.0 / size, below);
    let powered = select(exp2(y * log2(size)), at_zero, size == vec4<f32>(0.0));
    let magnitude = select(powered, vec4<f32>(1.0), size == vec4<f32>(1.0));
    let odd = (count & vec4<u32>(1u)) == vec4<u32>(1u);
    let signed = select(magnitude, -magnitude, whole & odd);
    let none = bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) | vec4<u32>(0x7fc00000u));
    let of_negative = select(none, signed, whole);
    let by_logarithm = select(magnitude, of_negative, x < vec4<f32>(0.0));
    let result = select(by_logarithm, multiplied, whole & (n <= vec4<f32>(64.0)));
    return select(keep_nan(x, keep_nan(y, result)), vec4<f32>(1.0), (y == vec4<f32>(0.0)) | (x == vec4<f32>(1.0)));
}

// The place of each element along an axis: `stride` elements are between neighbours, `extent` along it.
fn axis_index(index: vec4<u32>, stride: u32, extent: u32) -> vec4<f32> {
    return vec4<f32>((index / vec4<u32>(stride)) % vec4<u32>(extent));
}
