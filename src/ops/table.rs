//! The elementwise functions: one row each. Fusion, gradients, tests, the printed plan and the table in the
//! documentation follow from it.
//!
//! Expressions are WGSL over `vec4<f32>`: operands `x`, `y`, `z`, parameters `p0`, `p1` (f32), `q0`, `q1` (raw bits),
//! `index` (the four element indices). Operands of a function of integers are `u32` or `vec4<u32>`. Longer functions
//! live in `shaders/lib/math.wgsl`.

pub use crate::graph::{Applied, Derivative, IndexUse, Partials, Row};

use super::partials::{of_add, of_div, of_maximum, of_minimum, of_mul, of_pow, of_select, of_sub};
use crate::graph::{answers, computes};
use Derivative::{Built, OfInput, OfOutput, One, StraightThrough, Zero};

/// Tells draws of one step apart.
const STREAM: &[(&str, f32)] = &[("stream", 0.0)];

/// The elements between neighbours along an axis, and the axis' extent.
const AXIS: &[(&str, f32)] = &[("stride", 0.0), ("extent", 0.0)];

/// Makes the rows and, for rustdoc, their table. A row: name, operands, what it gives, parameters with their defaults,
/// its gradient in words, and the function.
macro_rules! functions {
    ($($name:ident($($x0:ident $(, $x:ident)*)?) $value:literal
        [$($p0:ident = $d0:literal $(, $p:ident = $d:literal)*)?] $gradient:literal $row:expr;)*) => {
        /// Every elementwise function.
        pub static ROWS: &[Row] = &[$({
            const OPERANDS: &[&str] = &[$(stringify!($x0) $(, stringify!($x))*)?];
            const PARAMS: &[(&str, f32)] = &[$((stringify!($p0), $d0) $(, (stringify!($p), $d))*)?];
            $row.named(stringify!($name), OPERANDS.len(), PARAMS)
        }),*];

        macro_rules! functions_table {
            () => {
                concat!(
                    "| name | operands | value | parameters | gradient |\n|---|---|---|---|---|\n",
                    $("| `", stringify!($name), "` | ",
                    $(stringify!($x0), $(", ", stringify!($x),)*)?
                    " | ", $value, " | ",
                    $("`", stringify!($p0), "` = ", $d0, $(", `", stringify!($p), "` = ", $d,)*)?
                    " | ", $gradient, " |\n",)*
                )
            };
        }
    };
}

functions! {
    linear(x) "x" [] "yes" computes("x", One);
    neg(x) "-x" [] "yes" computes("-x", OfInput("vec4<f32>(-1.0)")).folds(|a| -a[0]);
    abs(x) "\\|x\\|" [] "yes" computes("abs(x)", OfInput("sign_of(x)"));
    sign(x) "-1, 0 or 1" [] "0" computes("sign_of(x)", Zero);
    is_nan(x) "1 if x is NaN, else 0" [] "0" answers("nan_as_one(x)");
    is_finite(x) "1 if x is neither infinite nor NaN, else 0" [] "0" answers("finite_as_one(x)");
    floor(x) "the largest whole number not above x" [] "0" computes("floor(x)", Zero);
    ceil(x) "the smallest whole number not below x" [] "0" computes("ceil(x)", Zero);
    round(x) "the nearest whole number; a half goes to the even one" [] "0" computes("round(x)", Zero);
    exp(x) "eˣ" [] "yes" computes("exp(x)", OfOutput("x")).folds(|a| a[0].exp());
    expm1(x) "eˣ - 1, exact near 0 too" [] "yes"
        computes("expm1(x)", OfInput("keep_nan(x, exp(x))")).folds(|a| a[0].exp_m1());
    log(x) "ln x" [] "yes" computes("log(x)", OfInput("1.0 / x")).on(0.05, 8.0).folds(|a| a[0].ln());
    log1p(x) "ln(1 + x), exact near 0 too" [] "yes"
        computes("log1p(x)", OfInput("1.0 / (1.0 + x)")).on(-0.9, 8.0).folds(|a| a[0].ln_1p());
    sqrt(x) "√x" [] "yes" computes("sqrt(x)", OfOutput("0.5 / x")).on(0.05, 8.0).folds(|a| a[0].sqrt());
    rsqrt(x) "1 / √x" [] "yes"
        computes("inverseSqrt(x)", OfOutput("-0.5 * x * x * x")).on(0.05, 8.0).folds(|a| 1.0 / a[0].sqrt());
    square(x) "x²" [] "yes" computes("x * x", OfInput("2.0 * x")).folds(|a| a[0] * a[0]);
    reciprocal(x) "1 / x" [] "yes" computes("1.0 / x", OfOutput("-x * x")).on(0.5, 4.0).folds(|a| 1.0 / a[0]);
    sin(x) "sin x, right to 2·10⁻⁷ for \\|x\\| up to 10⁵" [] "yes"
        computes("sine(x)", OfInput("cosine(x)")).folds(|a| a[0].sin());
    cos(x) "cos x, right to 2·10⁻⁷ for \\|x\\| up to 10⁵" [] "yes"
        computes("cosine(x)", OfInput("-sine(x)")).folds(|a| a[0].cos());
    erf(x) "the error function, 2/√π · ∫₀ˣ e^(-t²) dt" [] "yes" computes("erf(x)", OfInput("erf_derivative(x)"));
    // A comparison and `max` drop NaN: where they decide, `keep_nan` and functions that look at the bits let it through.
    relu(x) "x if x > 0, else 0" [] "yes" computes("relu(x)", OfOutput("heaviside(x)"));
    leaky_relu(x) "x if x ≥ 0, else `negative_slope` · x" [negative_slope = 0.2] "yes" computes(
        "select(x, p0 * x, negative(x))",
        OfInput("keep_nan(x, select(vec4<f32>(1.0), vec4<f32>(p0), x <= vec4<f32>(0.0)))"),
    );
    elu(x) "x if x ≥ 0, else `alpha` · (eˣ - 1)" [alpha = 1.0] "yes" computes(
        "select(x, p0 * expm1_neg(x), negative(x))",
        OfInput(
            "keep_nan(x, select(vec4<f32>(1.0), p0 * exp(min(x, vec4<f32>(0.0))), x <= vec4<f32>(0.0)))",
        ),
    );
    selu(x) "1.0507 · x if x ≥ 0, else 1.0507 · 1.6733 · (eˣ - 1)" [] "yes" computes(
        "1.05070098 * select(x, 1.67326324 * expm1_neg(x), negative(x))",
        OfInput(
            "keep_nan(x, 1.05070098 * select(vec4<f32>(1.0), 1.67326324 * exp(min(x, vec4<f32>(0.0))), x <= vec4<f32>(0.0)))",
        ),
    );
    sigmoid(x) "1 / (1 + e⁻ˣ)" [] "yes" computes("sigmoid(x)", OfOutput("x * (1.0 - x)"));
    hard_sigmoid(x) "x / 6 + 1/2, held in [0, 1]" [] "yes" computes(
        "hold(x / 6.0 + 0.5, 0.0, 1.0)",
        OfOutput(
            "keep_nan(x, select(vec4<f32>(0.0), vec4<f32>(1.0 / 6.0), (x > vec4<f32>(0.0)) & (x < vec4<f32>(1.0))))",
        ),
    );
    tanh(x) "tanh x" [] "yes" computes("safe_tanh(x)", OfOutput("1.0 - x * x"));
    softplus(x) "ln(1 + eˣ)" [] "yes" computes("softplus(x)", OfInput("sigmoid(x)"));
    softsign(x) "x / (1 + \\|x\\|)" [] "yes"
        computes("x / (1.0 + abs(x))", OfInput("1.0 / ((1.0 + abs(x)) * (1.0 + abs(x)))"));
    gelu(x) "x · Φ(x), Φ the normal distribution function" [] "yes"
        computes("gelu(x)", OfInput("gelu_derivative(x)"));
    gelu_tanh(x) "`gelu` by its tanh approximation" [] "yes"
        computes("gelu_tanh(x)", OfInput("gelu_tanh_derivative(x)"));
    silu(x) "x · sigmoid(x), also called swish" [] "yes"
        computes("x * sigmoid(x)", OfInput("silu_derivative(x)"));
    step(x) "1 if x > 0, else 0" [] "0" computes("heaviside(x)", Zero);
    perceptron(x) "1 if x > 0, else 0" [] "passes through" computes("heaviside(x)", StraightThrough);
    clipped_linear(x) "x, held in [`low`, `high`]" [low = -1.0, high = 1.0] "yes" computes(
        "hold(x, p0, p1)",
        OfInput(
            "keep_nan(x, select(vec4<f32>(0.0), vec4<f32>(1.0), (x > vec4<f32>(p0)) & (x < vec4<f32>(p1))))",
        ),
    );
    add(x, y) "x + y" [] "yes"
        computes("x + y", Built(of_add)).folds(|a| a[0] + a[1]).neutral(Some(0.0), Some(0.0));
    sub(x, y) "x - y" [] "yes" computes("x - y", Built(of_sub)).folds(|a| a[0] - a[1]).neutral(None, Some(0.0));
    mul(x, y) "x · y" [] "yes"
        computes("x * y", Built(of_mul)).folds(|a| a[0] * a[1]).neutral(Some(1.0), Some(1.0));
    div(x, y) "x / y" [] "yes"
        computes("x / y", Built(of_div)).on(0.5, 4.0).folds(|a| a[0] / a[1]).neutral(None, Some(1.0));
    pow(x, y) "xʸ; see [`Graph::pow`]" [] "yes"
        computes("power(x, y)", Built(of_pow)).on(0.5, 4.0).folds(|a| a[0].powf(a[1])).neutral(None, Some(1.0));
    maximum(x, y) "the larger of x and y" [] "yes" computes("larger(x, y)", Built(of_maximum));
    minimum(x, y) "the smaller of x and y" [] "yes" computes("smaller(x, y)", Built(of_minimum));
    greater(x, y) "1 if x > y, else 0" [] "0" answers("select(vec4<f32>(0.0), vec4<f32>(1.0), x > y)");
    greater_equal(x, y) "1 if x ≥ y, else 0" [] "0" answers("select(vec4<f32>(0.0), vec4<f32>(1.0), x >= y)");
    less(x, y) "1 if x < y, else 0" [] "0" answers("select(vec4<f32>(0.0), vec4<f32>(1.0), x < y)");
    less_equal(x, y) "1 if x ≤ y, else 0" [] "0" answers("select(vec4<f32>(0.0), vec4<f32>(1.0), x <= y)");
    equal(x, y) "1 if x = y, else 0" [] "0" answers("select(vec4<f32>(0.0), vec4<f32>(1.0), x == y)");
    not_equal(x, y) "1 if x ≠ y, else 0" [] "0" answers("select(vec4<f32>(1.0), vec4<f32>(0.0), x == y)");
    // y if x > 0, else z. The branch that is not taken leaves no trace, not even a NaN.
    select(x, y, z) "y if x > 0, else z; call [`Graph::select`]" [] "yes"
        computes("select(z, y, x > vec4<f32>(0.0))", Built(of_select));
    to_f32(x) "u32 x as a number; call [`Graph::to_f32`]" [] "0"
        computes("vec4<f32>(vec4<u32>(x))", Zero).of_u32();
    iota() "the element's place along an axis; call [`Graph::iota`]" [] "0"
        computes("axis_index(index, q0, q1)", Zero).by_index(IndexUse::Position, AXIS);
    random_uniform(seed, step) "uniform in [0, 1); call [`Graph::random_uniform`]" [] "0"
        computes("random_uniform(x, q0, index, y)", Zero).of_u32().by_index(IndexUse::Random, STREAM);
    random_normal(seed, step) "standard normal; call [`Graph::random_normal`]" [] "0"
        computes("random_normal(x, q0, index, y)", Zero).of_u32().by_index(IndexUse::Random, STREAM);
}

pub(super) use functions_table;

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
            assert!(
                ROWS[i + 1..].iter().all(|r| r.name != row.name),
                "{} is there twice",
                row.name
            );
        }
    }
}
