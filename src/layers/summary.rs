//! The model as Keras' table.

use super::Sequential;
use crate::error::Result;
use std::fmt::Write;

/// 1234567 as 1,234,567.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes of f32 parameters, in the largest unit that keeps a digit before the point.
fn size(params: usize) -> String {
    let bytes = params as f64 * 4.0;
    match bytes {
        b if b < 1024.0 => format!("{b:.2} B"),
        b if b < 1_048_576.0 => format!("{:.2} KB", b / 1024.0),
        b if b < 1_073_741_824.0 => format!("{:.2} MB", b / 1_048_576.0),
        b => format!("{:.2} GB", b / 1_073_741_824.0),
    }
}

impl Sequential {
    /// Keras' table: a row per layer with its output shape and parameter count, then the totals.
    ///
    /// # Errors
    /// As [`Sequential::shapes`].
    pub fn summary(&self) -> Result<String> {
        let shapes = self.shapes()?;
        let inputs = std::iter::once(self.input_shape()).chain(&shapes);
        let mut rows = Vec::new();
        let mut total = 0;
        for ((named, input), shape) in self.layers().iter().zip(inputs).zip(&shapes) {
            let lens = named.layer.weights(input).into_iter().map(|w| w.shape.len());
            let params = lens.fold(0, usize::saturating_add);
            total = usize::saturating_add(total, params);
            let mut dims = vec!["None".to_owned()];
            dims.extend(shape.dims().iter().map(ToString::to_string));
            let name = format!("{} ({})", named.name, named.layer.kind());
            rows.push([name, format!("({})", dims.join(", ")), grouped(params)]);
        }
        let heads = ["Layer (type)", "Output Shape", "Param #"];
        let minimum = [31, 22, 13];
        let width = |c: usize| {
            let longest = rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
            longest.max(minimum[c])
        };
        let widths = [width(0), width(1), width(2)];
        let rule = |fill: &str, ends: [&str; 3]| {
            let cells = widths.map(|w| fill.repeat(w + 2));
            format!("{}{}{}\n", ends[0], cells.join(ends[1]), ends[2])
        };
        let row = |bar: &str, cells: [&str; 3]| {
            let [a, b, c] = cells;
            let [wa, wb, wc] = widths;
            format!("{bar} {a:<wa$} {bar} {b:<wb$} {bar} {c:>wc$} {bar}\n")
        };
        let mut out = String::from("Model: \"sequential\"\n");
        out += &rule("━", ["┏", "┳", "┓"]);
        out += &row("┃", heads);
        out += &rule("━", ["┡", "╇", "┩"]);
        for (i, cells) in rows.iter().enumerate() {
            if i > 0 {
                out += &rule("─", ["├", "┼", "┤"]);
            }
            out += &row("│", [&cells[0], &cells[1], &cells[2]]);
        }
        out += &rule("─", ["└", "┴", "┘"]);
        let _ = writeln!(out, " Total params: {} ({})", grouped(total), size(total));
        let _ = writeln!(out, " Trainable params: {} ({})", grouped(total), size(total));
        let _ = write!(out, " Non-trainable params: 0 (0.00 B)");
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(
            ["0", "999", "1,000", "101,770"],
            [0, 999, 1000, 101_770].map(grouped).each_ref().map(String::as_str)
        );
    }
}
