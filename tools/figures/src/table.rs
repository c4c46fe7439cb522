//! The README's table of figures, made only of what was measured.

use super::Figures;
use peers::table::conditions;

/// A table for each adapter.
pub fn all(figures: &[Figures]) -> String {
    figures.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// One adapter's table, under a line about machine and day.
pub fn one(figures: &Figures) -> String {
    let mnist = &figures.mnist;
    let [cold, warm] = &figures.first_step;
    let forms: Vec<_> =
        figures.product.iter().map(|(form, rate)| format!("{} {rate:.1}", shown(form))).collect();
    let rows = [
        (
            format!("MNIST, 784-128-10, batch 32, {} epochs, seed 0", mnist.epochs),
            format!(
                "{:.2} % on the test images, {:.1} s per epoch",
                100.0 * mnist.accuracy,
                mnist.epoch_seconds
            ),
        ),
        (
            "one training step of it".into(),
            format!(
                "{} kernel launches, {}; the host alone {}",
                figures.launches,
                rounded(&figures.step),
                rounded(&figures.host)
            ),
        ),
        (
            "process start to the end of the first step, batch 64".into(),
            format!("{warm}; {cold} with the shader caches off"),
        ),
        ("f32 product 512x512x512, GFLOP/s".into(), forms.join(", ")),
    ];
    let rows: String = rows.iter().map(|(what, value)| format!("| {what} | {value} |\n")).collect();
    let conditions = conditions(&figures.adapter, &figures.machine, &figures.date, "");
    format!("**{}**: {conditions}\n| | |\n|---|---|\n{rows}", figures.adapter.name)
}

/// A time as Criterion prints it, to two digits after the point.
fn rounded(time: &str) -> String {
    let number = time.split_once(' ').and_then(|(n, unit)| Some((n.parse::<f64>().ok()?, unit)));
    number.map_or_else(|| time.into(), |(n, unit)| format!("{n:.2} {unit}"))
}

/// A form of the product, as the benchmark names it, in letters.
fn shown(form: &str) -> &str {
    match form {
        "AB" => "A·B",
        "AtB" => "Aᵀ·B",
        "ABt" => "A·Bᵀ",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn times_keep_their_unit() {
        assert_eq!(rounded("1.3495 ms"), "1.35 ms");
        assert_eq!(rounded("812 ns"), "812.00 ns");
        assert_eq!(rounded("none"), "none");
    }
}
