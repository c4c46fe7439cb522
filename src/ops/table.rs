//! The elementwise functions: one row each. Fusion, gradients, tests and the printed plan follow from it.
//!
//! Expressions are WGSL over `vec4<f32>`: operands `x`, `y`, `z`, parameters `p0`, `p1` (f32) and `q0` (raw
//! bits), `index` (the four element indices). Longer functions live in `shaders/lib/math.wgsl`.

/// How an elementwise function is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Derivative {
    /// WGSL of f'(x) in terms of the operand `x`.
    OfInput(&'static str),
    /// WGSL of f'(x) in terms of the result, written `x`: the operand need not be kept.
    OfOutput(&'static str),
    /// Of several operands: built from other rows in `map.rs`.
    Composed,
    /// f' = 1: the upstream gradient passes through.
    One,
    /// f' = 0 wherever it exists.
    Zero,
    /// The upstream gradient passes through although f' is something else: the function's own learning rule.
    StraightThrough,
    /// No gradient, and why.
    None(&'static str),
}

/// An elementwise function.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Operands.
    pub arity: usize,
    /// Names and defaults of its parameters.
    pub params: &'static [(&'static str, f32)],
    /// The WGSL expression.
    pub wgsl: &'static str,
    /// Its derivative.
    pub derivative: Derivative,
    /// The range of the operands: tests sample here.
    pub domain: (f32, f32),
    /// Evaluation on constants, in f64.
    pub fold: Option<fn(&[f64]) -> f64>,
    /// The constant that leaves the other operand unchanged: (as left operand, as right operand).
    pub neutral: (Option<f32>, Option<f32>),
}

impl Row {
    /// Whether it draws random numbers: a function of step words, its stream and the element index.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.params.iter().any(|(name, _)| *name == STREAM)
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Row {}

impl std::hash::Hash for Row {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

const ANY: (f32, f32) = (-4.0, 4.0);

/// The parameter that tells draws of one step apart: raw bits.
pub(super) const STREAM: &str = "stream";

const fn unary(name: &'static str, wgsl: &'static str, derivative: Derivative) -> Row {
    let params = &[];
    Row { name, arity: 1, params, wgsl, derivative, domain: ANY, fold: None, neutral: (None, None) }
}

const fn binary(name: &'static str, wgsl: &'static str, derivative: Derivative) -> Row {
    Row { arity: 2, ..unary(name, wgsl, derivative) }
}

/// Operands are step words (seed, step); the stream is fixed when the layer is built.
const fn random(name: &'static str, wgsl: &'static str) -> Row {
    with(binary(name, wgsl, Zero), &[(STREAM, 0.0)])
}

const fn on(row: Row, low: f32, high: f32) -> Row {
    Row { domain: (low, high), ..row }
}

const fn with(row: Row, params: &'static [(&'static str, f32)]) -> Row {
    Row { params, ..row }
}

const fn folds(row: Row, fold: fn(&[f64]) -> f64) -> Row {
    Row { fold: Some(fold), ..row }
}

const fn neutral(row: Row, left: Option<f32>, right: Option<f32>) -> Row {
    Row { neutral: (left, right), ..row }
}

use Derivative::{Composed, OfInput, OfOutput, One, StraightThrough, Zero};

const COMPARISON: Derivative = Zero;

/// Every elementwise function.
pub static ROWS: &[Row] = &[
    unary("linear", "x", One),
    folds(unary("neg", "-x", OfInput("vec4<f32>(-1.0)")), |a| -a[0]),
    unary("abs", "abs(x)", OfInput("sign_of(x)")),
    unary("sign", "sign_of(x)", Zero),
    unary("is_nan", "nan_as_one(x)", Zero),
    folds(unary("exp", "exp(x)", OfOutput("x")), |a| a[0].exp()),
    folds(on(unary("log", "log(x)", OfInput("1.0 / x")), 0.05, 8.0), |a| a[0].ln()),
    folds(on(unary("sqrt", "sqrt(x)", OfOutput("0.5 / x")), 0.05, 8.0), |a| a[0].sqrt()),
    folds(unary("square", "x * x", OfInput("2.0 * x")), |a| a[0] * a[0]),
    // `select` on a comparison that is false for NaN lets NaN through; `max` may drop it.
    unary(
        "relu",
        "relu(x)",
        OfOutput("select(vec4<f32>(0.0), vec4<f32>(1.0), x > vec4<f32>(0.0))"),
    ),
    with(
        unary(
            "leaky_relu",
            "select(x, p0 * x, negative(x))",
            OfInput("select(vec4<f32>(1.0), vec4<f32>(p0), x <= vec4<f32>(0.0))"),
        ),
        &[("negative_slope", 0.2)],
    ),
    with(
        unary(
            "elu",
            "select(x, p0 * expm1_neg(x), negative(x))",
            OfInput(
                "select(vec4<f32>(1.0), p0 * exp(min(x, vec4<f32>(0.0))), x <= vec4<f32>(0.0))",
            ),
        ),
        &[("alpha", 1.0)],
    ),
    unary(
        "selu",
        "1.05070098 * select(x, 1.67326324 * expm1_neg(x), negative(x))",
        OfInput(
            "1.05070098 * select(vec4<f32>(1.0), 1.67326324 * exp(min(x, vec4<f32>(0.0))), x <= vec4<f32>(0.0))",
        ),
    ),
    unary("sigmoid", "sigmoid(x)", OfOutput("x * (1.0 - x)")),
    unary(
        "hard_sigmoid",
        "hold(x / 6.0 + 0.5, 0.0, 1.0)",
        OfOutput(
            "select(vec4<f32>(0.0), vec4<f32>(1.0 / 6.0), (x > vec4<f32>(0.0)) & (x < vec4<f32>(1.0)))",
        ),
    ),
    unary("tanh", "safe_tanh(x)", OfOutput("1.0 - x * x")),
    unary("softplus", "softplus(x)", OfInput("sigmoid(x)")),
    unary("softsign", "x / (1.0 + abs(x))", OfInput("1.0 / ((1.0 + abs(x)) * (1.0 + abs(x)))")),
    unary("gelu", "gelu(x)", OfInput("gelu_derivative(x)")),
    unary("gelu_tanh", "gelu_tanh(x)", OfInput("gelu_tanh_derivative(x)")),
    unary("silu", "x * sigmoid(x)", OfInput("silu_derivative(x)")),
    unary("step", "heaviside(x)", Zero),
    unary("perceptron", "heaviside(x)", StraightThrough),
    with(
        unary(
            "clipped_linear",
            "hold(x, p0, p1)",
            OfInput(
                "select(vec4<f32>(0.0), vec4<f32>(1.0), (x > vec4<f32>(p0)) & (x < vec4<f32>(p1)))",
            ),
        ),
        &[("low", -1.0), ("high", 1.0)],
    ),
    neutral(folds(binary("add", "x + y", Composed), |a| a[0] + a[1]), Some(0.0), Some(0.0)),
    neutral(folds(binary("sub", "x - y", Composed), |a| a[0] - a[1]), None, Some(0.0)),
    neutral(folds(binary("mul", "x * y", Composed), |a| a[0] * a[1]), Some(1.0), Some(1.0)),
    on(
        neutral(folds(binary("div", "x / y", Composed), |a| a[0] / a[1]), None, Some(1.0)),
        0.5,
        4.0,
    ),
    binary("maximum", "larger(x, y)", Composed),
    binary("minimum", "smaller(x, y)", Composed),
    binary("greater", "select(vec4<f32>(0.0), vec4<f32>(1.0), x > y)", COMPARISON),
    binary("greater_equal", "select(vec4<f32>(0.0), vec4<f32>(1.0), x >= y)", COMPARISON),
    binary("less", "select(vec4<f32>(0.0), vec4<f32>(1.0), x < y)", COMPARISON),
    binary("less_equal", "select(vec4<f32>(0.0), vec4<f32>(1.0), x <= y)", COMPARISON),
    binary("equal", "select(vec4<f32>(0.0), vec4<f32>(1.0), x == y)", COMPARISON),
    // y if x > 0, else z. The branch that is not taken leaves no trace, not even a NaN.
    Row { arity: 3, ..unary("select", "select(z, y, x > vec4<f32>(0.0))", Composed) },
    random("random_uniform", "random_uniform(x, q0, index, y)"),
    random("random_normal", "random_normal(x, q0, index, y)"),
];

/// The row of this name.
#[must_use]
pub fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|r| r.name == name)
}

#[cfg(test)]
mod tests {
    use super::ROWS;

    #[test]
    fn names_are_unique() {
        for (i, row) in ROWS.iter().enumerate() {
            assert!(ROWS[i + 1..].iter().all(|r| r.name != row.name), "{} stands twice", row.name);
        }
    }
}
