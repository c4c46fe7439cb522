//! Functions of one or two numbers, by name, and their derivatives.

use super::special::{erf, log_one_plus_exp, logistic, normal_cdf, normal_pdf};
use std::f64::consts::PI;

/// `alpha` of SELU. Source: Klambauer et al. 2017, "Self-Normalizing Neural Networks".
pub const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
/// `lambda` of SELU. Source: as [`SELU_ALPHA`].
pub const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
/// The cubic coefficient of GELU's tanh form. Source: Hendrycks and Gimpel 2016, section 2.
const GELU_CUBIC: f64 = 0.044715;

/// What the oracle knows of a function of one number, besides its values.
pub struct Unary {
    /// The name that [`unary`] takes.
    pub name: &'static str,
    /// The parameters used if a call gives none.
    pub params: &'static [f64],
    /// The open interval on which the function is defined.
    pub domain: (f64, f64),
}

const REALS: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

const fn row(name: &'static str, params: &'static [f64], domain: (f64, f64)) -> Unary {
    Unary { name, params, domain }
}

/// Every function that [`unary`] knows.
pub const UNARY: &[Unary] = &[
    row("linear", &[], REALS),
    row("neg", &[], REALS),
    row("abs", &[], REALS),
    row("sign", &[], REALS),
    row("is_nan", &[], REALS),
    row("is_finite", &[], REALS),
    row("floor", &[], REALS),
    row("ceil", &[], REALS),
    row("round", &[], REALS),
    row("sin", &[], REALS),
    row("cos", &[], REALS),
    row("erf", &[], REALS),
    row("exp", &[], REALS),
    row("expm1", &[], REALS),
    row("log", &[], (0.0, f64::INFINITY)),
    row("log1p", &[], (-1.0, f64::INFINITY)),
    row("sqrt", &[], (0.0, f64::INFINITY)),
    row("rsqrt", &[], (0.0, f64::INFINITY)),
    row("square", &[], REALS),
    row("reciprocal", &[], REALS),
    row("relu", &[], REALS),
    row("leaky_relu", &[0.2], REALS),
    row("elu", &[1.0], REALS),
    row("selu", &[], REALS),
    row("sigmoid", &[], REALS),
    row("hard_sigmoid", &[], REALS),
    row("tanh", &[], REALS),
    row("softplus", &[], REALS),
    row("softsign", &[], REALS),
    row("gelu", &[], REALS),
    row("gelu_tanh", &[], REALS),
    row("silu", &[], REALS),
    row("step", &[], REALS),
    row("perceptron", &[], REALS),
    row("clipped_linear", &[-1.0, 1.0], REALS),
];

/// Every function that [`binary`] knows, with its values by hand for (3, 2), (-2, 2) and (1, 1).
pub const BINARY: &[(&str, [f64; 3])] = &[
    ("add", [5.0, 0.0, 2.0]),
    ("sub", [1.0, -4.0, 0.0]),
    ("mul", [6.0, -4.0, 1.0]),
    ("div", [1.5, -1.0, 1.0]),
    ("maximum", [3.0, 2.0, 1.0]),
    ("minimum", [2.0, -2.0, 1.0]),
    ("pow", [9.0, 4.0, 1.0]),
    ("greater", [1.0, 0.0, 0.0]),
    ("greater_equal", [1.0, 0.0, 1.0]),
    ("less", [0.0, 1.0, 0.0]),
    ("less_equal", [0.0, 1.0, 1.0]),
    ("equal", [0.0, 0.0, 1.0]),
    ("not_equal", [1.0, 1.0, 0.0]),
];

/// The names that [`unary`] and [`unary_derivative`] take.
pub fn unary_names() -> impl Iterator<Item = &'static str> {
    UNARY.iter().map(|row| row.name)
}

/// The names that [`binary`] takes.
pub fn binary_names() -> impl Iterator<Item = &'static str> {
    BINARY.iter().map(|row| row.0)
}

/// The row of `name`, and its own parameters in place of an empty list.
fn lookup<'a>(name: &str, params: &'a [f64]) -> (&'static Unary, &'a [f64]) {
    let row = UNARY.iter().find(|row| row.name == name);
    let row = row.unwrap_or_else(|| panic!("the oracle knows no unary function {name:?}"));
    if params.is_empty() {
        return (row, row.params);
    }
    assert_eq!(params.len(), row.params.len(), "parameters of {name}: {params:?}");
    (row, params)
}

/// The open interval on which `name` is defined. At 0 `reciprocal` has a pole, listed in [`joints`].
pub fn domain(name: &str) -> (f64, f64) {
    lookup(name, &[]).0.domain
}

/// The points at which the derivative or the function jumps: keep finite differences away.
pub fn joints(name: &str, params: &[f64]) -> Vec<f64> {
    let (row, params) = lookup(name, params);
    match row.name {
        "abs" | "sign" | "reciprocal" | "relu" | "leaky_relu" | "elu" | "selu" | "step"
        | "perceptron" => vec![0.0],
        "hard_sigmoid" => vec![-3.0, 3.0],
        "clipped_linear" => vec![params[0], params[1]],
        "floor" | "ceil" => vec![-2.0, -1.0, 0.0, 1.0, 2.0],
        "round" => vec![-1.5, -0.5, 0.5, 1.5, 2.5],
        _ => vec![],
    }
}

/// The function `name` at `x`, with `params` or, if that is empty, the row's own parameters.
///
/// | name | formula | source |
/// |---|---|---|
/// | `linear`, `neg`, `abs`, `square`, `reciprocal` | `x`, `-x`, `\|x\|`, `x^2`, `1/x` | |
/// | `sign` | -1, 0, 1 | 0 at 0, as NumPy |
/// | `is_nan` | 1 for NaN, else 0 | IEEE 754 |
/// | `is_finite` | 0 for NaN and the infinities, else 1 | IEEE 754 |
/// | `floor`, `ceil`, `round` | down, up, to the nearest, half to even | IEEE 754 |
/// | `sin`, `cos`, `erf` | `sin x`, `cos x`, `2/sqrt(pi) int_0^x e^(-t^2) dt` | |
/// | `exp`, `expm1`, `log`, `log1p` | `e^x`, `e^x - 1`, `ln x`, `ln(1 + x)` | |
/// | `sqrt`, `rsqrt` | `x^(1/2)`, `x^(-1/2)` | |
/// | `relu` | `max(x, 0)` | Nair and Hinton 2010 |
/// | `leaky_relu(alpha)` | `x` above 0, else `alpha x` | Maas et al. 2013 |
/// | `elu(alpha)` | `x` above 0, else `alpha (e^x - 1)` | Clevert et al. 2015 |
/// | `selu` | `lambda elu(x, alpha)`, both fixed | Klambauer et al. 2017 |
/// | `sigmoid` | `1 / (1 + e^-x)` | |
/// | `hard_sigmoid` | `x/6 + 1/2` limited to `[0, 1]` | Keras 3 |
/// | `tanh`, `softplus` | `tanh x`, `ln(1 + e^x)` | Dugas et al. 2001 |
/// | `softsign` | `x / (1 + \|x\|)` | Glorot and Bengio 2010 |
/// | `gelu` | `x Phi(x)` | Hendrycks and Gimpel 2016 |
/// | `gelu_tanh` | `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))` | the same, section 2 |
/// | `silu` | `x / (1 + e^-x)` | Elfwing et al. 2017 |
/// | `step` | 1 above 0, else 0 | McCulloch and Pitts 1943 |
/// | `clipped_linear(lo, hi)` | `x` limited to `[lo, hi]` | the piecewise-linear unit |
pub fn unary(name: &str, params: &[f64], x: f64) -> f64 {
    let (row, p) = lookup(name, params);
    match row.name {
        "linear" => x,
        "neg" => -x,
        "abs" => x.abs(),
        "sign" if x == 0.0 => 0.0,
        "sign" => x.signum(),
        "is_nan" => f64::from(u8::from(x.is_nan())),
        "is_finite" => f64::from(u8::from(x.is_finite())),
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        "round" => x.round_ties_even(),
        "sin" => x.sin(),
        "cos" => x.cos(),
        "erf" => erf(x),
        "exp" => x.exp(),
        "expm1" => x.exp_m1(),
        "log" => x.ln(),
        "log1p" => x.ln_1p(),
        "sqrt" => x.sqrt(),
        "rsqrt" => 1.0 / x.sqrt(),
        "square" => x * x,
        "reciprocal" => 1.0 / x,
        "relu" => x.max(0.0),
        "leaky_relu" => choose(x > 0.0, x, p[0] * x),
        "elu" => choose(x > 0.0, x, p[0] * x.exp_m1()),
        "selu" => SELU_SCALE * choose(x > 0.0, x, SELU_ALPHA * x.exp_m1()),
        "sigmoid" => logistic(x),
        "hard_sigmoid" => (x / 6.0 + 0.5).clamp(0.0, 1.0),
        "tanh" => x.tanh(),
        "softplus" => log_one_plus_exp(x),
        "softsign" => x / (1.0 + x.abs()),
        "gelu" => x * normal_cdf(x),
        // (1 + tanh u)/2 is the logistic function of 2u, which keeps its precision below 0.
        "gelu_tanh" => x * logistic(2.0 * (2.0 / PI).sqrt() * (x + GELU_CUBIC * x.powi(3))),
        "silu" => x * logistic(x),
        "step" | "perceptron" => choose(x > 0.0, 1.0, 0.0),
        "clipped_linear" => x.clamp(p[0], p[1]),
        _ => panic!("the oracle lists {name:?} and has no formula for it"),
    }
}

/// The derivative of [`unary`] at `x`, from the calculus of each formula.
///
/// At a joint there is a choice. If the branches meet at 0, the lower one counts: `relu'(0) = 0`,
/// `leaky_relu'(0) = alpha`, `elu'(0) = alpha`, `selu'(0) = lambda alpha`. `clipped_linear` and `hard_sigmoid` count
/// both joints as clipped (0). `abs'(0) = 0`; `step` and `sign` have derivative 0 everywhere.
pub fn unary_derivative(name: &str, params: &[f64], x: f64) -> f64 {
    let (row, p) = lookup(name, params);
    match row.name {
        // The perceptron rule treats the step as the identity.
        "linear" | "perceptron" => 1.0,
        "neg" => -1.0,
        "abs" if x == 0.0 => 0.0,
        "abs" => x.signum(),
        "sign" | "is_nan" | "is_finite" | "step" | "floor" | "ceil" | "round" => 0.0,
        "sin" => x.cos(),
        "cos" => -x.sin(),
        "erf" => 2.0 / PI.sqrt() * (-x * x).exp(),
        "exp" | "expm1" => x.exp(),
        "log" => 1.0 / x,
        "log1p" => 1.0 / (1.0 + x),
        "sqrt" => 0.5 / x.sqrt(),
        "rsqrt" => -0.5 / (x * x.sqrt()),
        "square" => 2.0 * x,
        "reciprocal" => -1.0 / (x * x),
        "relu" => choose(x > 0.0, 1.0, 0.0),
        "leaky_relu" => choose(x > 0.0, 1.0, p[0]),
        "elu" => choose(x > 0.0, 1.0, p[0] * x.exp()),
        "selu" => SELU_SCALE * choose(x > 0.0, 1.0, SELU_ALPHA * x.exp()),
        "sigmoid" => logistic(x) * logistic(-x),
        "hard_sigmoid" => choose(x.abs() < 3.0, 1.0 / 6.0, 0.0),
        "tanh" => sech_squared(x),
        "softplus" => logistic(x),
        "softsign" => (1.0 + x.abs()).powi(-2),
        "gelu" => normal_cdf(x) + x * normal_pdf(x),
        "gelu_tanh" => {
            let scale = (2.0 / PI).sqrt();
            let u = scale * (x + GELU_CUBIC * x * x * x);
            let du = scale * (1.0 + 3.0 * GELU_CUBIC * x * x);
            logistic(2.0 * u) + 0.5 * x * sech_squared(u) * du
        }
        "silu" => logistic(x) * (1.0 + x * logistic(-x)),
        "clipped_linear" => choose(p[0] < x && x < p[1], 1.0, 0.0),
        _ => panic!("the oracle lists {name:?} and has no derivative for it"),
    }
}

/// `1 / cosh(x)^2`, the derivative of `tanh`; 0 if `cosh` overflows.
fn sech_squared(x: f64) -> f64 {
    x.cosh().powi(-2)
}

fn choose(condition: bool, yes: f64, no: f64) -> f64 {
    if condition { yes } else { no }
}

/// The function `name` of two numbers; a comparison gives 1 if it is true, else 0.
pub fn binary(name: &str, a: f64, b: f64) -> f64 {
    match name {
        "add" => a + b,
        "sub" => a - b,
        "mul" => a * b,
        "div" => a / b,
        // `max` and `min` of Rust drop NaN.
        "maximum" | "minimum" if a.is_nan() || b.is_nan() => f64::NAN,
        "maximum" => a.max(b),
        "minimum" => a.min(b),
        "pow" => a.powf(b),
        "greater" => choose(a > b, 1.0, 0.0),
        "greater_equal" => choose(a >= b, 1.0, 0.0),
        "less" => choose(a < b, 1.0, 0.0),
        "less_equal" => choose(a <= b, 1.0, 0.0),
        "equal" => choose(a == b, 1.0, 0.0),
        "not_equal" => choose(a == b, 0.0, 1.0),
        _ => panic!("the oracle knows no binary function {name:?}"),
    }
}
