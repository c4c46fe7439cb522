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
        for block in &self.blocks {
            let uses = &block.uses;
            let shape = uses.first().map(|(_, outputs)| self.outputs_cell(outputs));
            let sources: Vec<String> =
                uses.iter().flat_map(|(inputs, _)| inputs).map(|&t| self.origin(t)).collect();
            let name = format!("{} ({})", block.name, block.kind);
            let params = grouped(self.params(block.layers.iter().copied(), |_| true));
            rows.push(vec![name, shape.unwrap_or_default(), params, sources.join(", ")]);
        }
        let total = self.params(0..self.layers.len(), |_| true);
        let trained = self.params(0..self.layers.len(), |is_trained| is_trained);
        let columns = if functional && !self.is_chain() { 4 } else { 3 };
        table(&format!("Model: \"{}\"\n", self.kind), &rows, columns, total, trained)
    }

    /// The elements of the weights and states of some layers; only of those for which `counts` says so.
    fn params(&self, layers: impl Iterator<Item = usize>, counts: impl Fn(bool) -> bool) -> usize {
        let own = layers.flat_map(|i| {
            let layer = &self.layers[i];
            layer.weights().into_iter().map(|w| (layer.trainable && w.is_trained(), w.shape.len()))
        });
        own.filter(|&(trained, _)| counts(trained))
            .map(|(_, len)| len)
            .fold(0, usize::saturating_add)
    }

    /// A cell of the output column: a shape, or a list of several.
    fn outputs_cell(&self, tensors: &[usize]) -> String {
        let shapes = tensors.iter().filter_map(|&t| self.source(t));
        let cells: Vec<String> = shapes.map(|(call, o)| output_cell(&call.shapes[o])).collect();
        match cells.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        }
    }

    /// Whether each layer takes the output of the one before it, once.
    fn is_chain(&self) -> bool {
        let mut last = vec![0];
        self.inputs.len() == 1
            && self.blocks.iter().all(|block| {
                let [(inputs, outputs)] = block.uses.as_slice() else { return false };
                std::mem::replace(&mut last, outputs.clone()) == *inputs
            })
    }

    /// The origin of a tensor, as Keras names it: the layer, which of its uses, which output of that use.
    fn origin(&self, tensor: usize) -> String {
        if let Some(input) = self.inputs.get(tensor) {
            return format!("{}[0][0]", input.name);
        }
        match self.block_of(tensor) {
            Some((block, i, output)) => format!("{}[{i}][{output}]", block.name),
            None => String::new(),
        }
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
