//! The model as Keras' table.

use super::Model;
use crate::tensor::Shape;
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

/// A cell of the output column: `(None, 28, 28)`.
fn output_cell(shape: &Shape) -> String {
    let dims = shape.dims().iter().map(ToString::to_string);
    format!("({})", std::iter::once("None".to_owned()).chain(dims).collect::<Vec<_>>().join(", "))
}

impl Model {
    /// Keras' table: a row per layer with its output shape and parameter count, then the totals. Unless a functional
    /// model is a plain chain, the table also lists its inputs and what each layer is connected to: `dense[1][0]` is
    /// the output of the second use of `dense`, counted in the order in which the model's outputs need them.
    #[must_use]
    pub fn summary(&self) -> String {
        let functional = self.kind == "functional";
        let mut rows: Vec<Vec<String>> = Vec::new();
        if functional {
            for i in &self.inputs {
                let name = format!("{} (InputLayer)", i.name);
                rows.push(vec![name, output_cell(&i.shape), "0".into(), "-".into()]);
            }
        }
        let [mut total, mut trained] = [0, 0];
        for (i, layer) in self.layers.iter().enumerate() {
            let mut params = 0;
            for weight in layer.weights() {
                let len = weight.shape.len();
                params = usize::saturating_add(params, len);
                let trains = layer.trainable && weight.trainable;
                trained = usize::saturating_add(trained, if trains { len } else { 0 });
            }
            total = usize::saturating_add(total, params);
            let mut uses = self.calls.iter().filter(|call| call.layer == i).peekable();
            let shape = uses.peek().map(|call| output_cell(&call.shape)).unwrap_or_default();
            let sources: Vec<String> =
                uses.flat_map(|c| &c.inputs).map(|&t| self.source(t)).collect();
            let name = format!("{} ({})", layer.name, layer.layer.kind());
            rows.push(vec![name, shape, grouped(params), sources.join(", ")]);
        }
        let columns = if functional && !self.is_chain() { 4 } else { 3 };
        table(&format!("Model: \"{}\"\n", self.kind), &rows, columns, total, trained)
    }

    /// Whether each layer takes the output of the one before it, once.
    fn is_chain(&self) -> bool {
        let chained = self.calls.iter().enumerate().all(|(i, call)| call.inputs == [i]);
        self.inputs.len() == 1 && self.layers.len() == self.calls.len() && chained
    }

    /// The source of a tensor, as Keras names it: the layer, which of its uses, which output of that use.
    fn source(&self, tensor: usize) -> String {
        let Some(call) = tensor.checked_sub(self.inputs.len()) else {
            return format!("{}[0][0]", self.inputs[tensor].name);
        };
        let layer = self.calls[call].layer;
        let uses = self.calls[..call].iter().filter(|c| c.layer == layer).count();
        format!("{}[{uses}][0]", self.layers[layer].name)
    }
}

/// The table with its totals.
fn table(
    title: &str,
    rows: &[Vec<String>],
    columns: usize,
    total: usize,
    trained: usize,
) -> String {
    let heads = ["Layer (type)", "Output Shape", "Param #", "Connected to"];
    let minimum = [31, 22, 13, 20];
    let width = |c: usize| {
        let longest = rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
        longest.max(minimum[c])
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let rule = |fill: &str, ends: [&str; 3]| {
        let cells: Vec<String> = widths.iter().map(|w| fill.repeat(w + 2)).collect();
        format!("{}{}{}\n", ends[0], cells.join(ends[1]), ends[2])
    };
    let row = |bar: &str, cells: &[&str]| {
        let mut line = String::new();
        for (c, (cell, &w)) in cells.iter().zip(&widths).enumerate() {
            // Counts are aligned to the right.
            line +=
                &if c == 2 { format!("{bar} {cell:>w$} ") } else { format!("{bar} {cell:<w$} ") };
        }
        format!("{line}{bar}\n")
    };
    let mut out = title.to_owned();
    out += &rule("━", ["┏", "┳", "┓"]);
    out += &row("┃", &heads);
    out += &rule("━", ["┡", "╇", "┩"]);
    for (i, cells) in rows.iter().enumerate() {
        if i > 0 {
            out += &rule("─", ["├", "┼", "┤"]);
        }
        out += &row("│", &cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    out += &rule("─", ["└", "┴", "┘"]);
    let frozen = total - trained;
    let _ = writeln!(out, " Total params: {} ({})", grouped(total), size(total));
    let _ = writeln!(out, " Trainable params: {} ({})", grouped(trained), size(trained));
    let _ = write!(out, " Non-trainable params: {} ({})", grouped(frozen), size(frozen));
    out
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
