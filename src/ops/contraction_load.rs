//! How a matrix-product kernel reads an operand: the layout of its view, and the loads of those that are no lines in
//! memory, as WGSL.
//!
//! An operand is lines of neighbours, along the terms or across them, if it can be: then the kernel's own loads read it.
//! Every other view is split into what depends on the line alone, which is computed before the loop, and what depends
//! on the term: digits along the axes of the sum that are counted on from iteration to iteration, without a division.

use super::layout::{offset_function, strides_of, word};
use super::program::Words;
use crate::graph::{Axis, View};
use crate::kernels::Define;
use crate::tensor::Exact;
use std::fmt::Write;

/// The axes of an operand: A's lines are its rows, B's are its columns.
pub(super) struct Loads {
    view: View,
    batch: Vec<Axis>,
    lines: Vec<Axis>,
    terms: Vec<Axis>,
    count: [usize; 2],
    form: Form,
    bytes: Option<Exact>,
}

/// How the elements of an operand are next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Terms are neighbours: lines run along k, `ld` elements apart.
    AlongTerms { ld: usize },
    /// Lines are neighbours: those of one term run across k, `ld` elements apart.
    AcrossTerms { ld: usize },
    /// Any other view: four terms of a line at once.
    Gathered,
    /// Any other view that has four neighbouring lines side by side: four lines of a term at once.
    GatheredAcross,
}

impl Loads {
    /// A view of A, `[batch, lines, terms]`.
    pub fn of_a(view: &View, [batch, m, k]: [usize; 3]) -> Option<Self> {
        let groups = view.groups(&[batch, m, k])?;
        let [batch, lines, terms] = <[Vec<Axis>; 3]>::try_from(groups).ok()?;
        Some(Self::new(view, batch, lines, terms, [m, k]))
    }

    /// A view of B, `[batch, terms, lines]`.
    pub fn of_b(view: &View, [batch, k, n]: [usize; 3]) -> Option<Self> {
        let groups = view.groups(&[batch, k, n])?;
        let [batch, terms, lines] = <[Vec<Axis>; 3]>::try_from(groups).ok()?;
        Some(Self::new(view, batch, lines, terms, [n, k]))
    }

    fn new(
        view: &View,
        batch: Vec<Axis>,
        lines: Vec<Axis>,
        terms: Vec<Axis>,
        count: [usize; 2],
    ) -> Self {
        let distance = |axes: &[Axis]| match axes {
            [] => Some(None),
            [axis] => usize::try_from(axis.stride).ok().map(Some),
            _ => None,
        };
        let form = match (distance(&lines), distance(&terms)) {
            _ if !view.guards().is_empty() => Form::Gathered,
            (Some(ld), Some(Some(1))) => Form::AlongTerms { ld: ld.unwrap_or(count[1]) },
            (Some(Some(1)), Some(ld)) => Form::AcrossTerms { ld: ld.unwrap_or(count[0]) },
            (Some(ld), Some(None)) => Form::AlongTerms { ld: ld.unwrap_or(1) },
            (Some(None), Some(Some(ld))) => Form::AcrossTerms { ld },
            _ => Form::Gathered,
        };
        let mut this = Self { view: view.clone(), batch, lines, terms, count, form, bytes: None };
        if form == Form::Gathered && this.fours(&this.lines, &this.terms) {
            this.form = Form::GatheredAcross;
        }
        this
    }

    /// The same of a tensor of bytes, each times this factor: four are a word.
    pub const fn of_bytes(mut self, factor: Option<Exact>) -> Self {
        self.bytes = factor;
        self
    }

    /// The buffer of operand `x`, and the function that reads one element of it, or the four of a whole vec4.
    fn operand(&self, x: &str, words: &mut Words) -> String {
        let binding = if x == "a" { 0 } else { 1 };
        let (element, one, four) = match self.bytes.map(|factor| factor.get()) {
            None => {
                let element = if self.vectors() { "Quad" } else { "f32" };
                (element, format!("{x}[at]"), format!("from_quad({x}[at])"))
            }
            Some(factor) => {
                let one = format!("f32(({x}[at / 4u] >> (8u * (at % 4u))) & 255u)");
                let four = format!("vec4<f32>(unpack4xU8({x}[at]))");
                // Held below an infinity that no compiler sees: it must round here, and not multiply in another order.
                let scaled = |v: &str, ty: &str, words: &mut Words| match factor {
                    1.0 => v.to_owned(),
                    _ => {
                        let (factor, end) = (words.push_f32(factor), words.push_f32(f32::INFINITY));
                        format!("min({v} * {factor}, {ty}({end}))")
                    }
                };
                ("u32", scaled(&one, "f32", words), scaled(&four, "vec4<f32>", words))
            }
        };
        let (name, ty, body) = match self.vectors() {
            true => ("four", "vec4<f32>", four),
            false => ("one", "f32", one),
        };
        format!(
            "@group(0) @binding({binding}) var<storage, read> {x}: array<{element}>;\n\
             fn {x}_{name}(at: u32) -> {ty} {{ return {body}; }}"
        )
    }

    /// Whether the steps of `inner` are whole vec4s, with one coordinate of each guard, and those of `outer` keep them so.
    fn fours(&self, inner: &[Axis], outer: &[Axis]) -> bool {
        let stride = |a: &Axis| self.view.stride(a);
        let whole = |axes: &[Axis]| axes.iter().all(|a| stride(a) % 4 == 0);
        let Some((last, rest)) = inner.split_last() else { return false };
        let together = stride(last) == 1 && last.steps.iter().all(|&s| s == 0);
        let based = self.view.origin() % 4 == 0 && whole(&self.batch);
        based && together && last.extent % 4 == 0 && whole(rest) && whole(outer)
    }

    /// Whether consecutive terms are neighbours, or are gathered one by one.
    pub fn along_terms(&self) -> bool {
        !matches!(self.form, Form::AcrossTerms { .. } | Form::GatheredAcross)
    }

    /// Whether the kernel reads it about as fast as a copy: as lines, or four elements at once.
    pub fn is_fast(&self) -> bool {
        self.form != Form::Gathered || self.vectors()
    }

    /// Elements from one line to the next.
    pub fn ld(&self) -> usize {
        match self.form {
            Form::AlongTerms { ld } | Form::AcrossTerms { ld } => ld,
            Form::Gathered | Form::GatheredAcross => 0,
        }
    }

    /// Elements from one product to the next, if they are evenly apart.
    pub fn batch_stride(&self) -> usize {
        match self.batch.as_slice() {
            [axis] => usize::try_from(axis.stride).unwrap_or(0),
            _ => 0,
        }
    }

    /// Whether all that is read is whole vec4s.
    fn vectors(&self) -> bool {
        let whole = self.batch.iter().all(|a| self.view.stride(a) % 4 == 0);
        let based = self.view.origin() % 4 == 0 && whole;
        match self.form {
            Form::AlongTerms { ld } => based && ld % 4 == 0 && self.count[1].is_multiple_of(4),
            Form::AcrossTerms { ld } => based && ld % 4 == 0 && self.count[0].is_multiple_of(4),
            Form::Gathered => self.fours(&self.terms, &self.lines),
            Form::GatheredAcross => true,
        }
    }

    /// The preprocessor's definitions for operand `a` or `b`; a loop iteration of the kernel takes `step` terms.
    pub fn defines(&self, a: bool, step: usize, words: &mut Words) -> Vec<(&'static str, Define)> {
        let x = if a { "a" } else { "b" };
        let gathered = matches!(self.form, Form::Gathered | Form::GatheredAcross);
        let (inner, count) = match self.form {
            Form::AcrossTerms { .. } => (self.count[0], if a { "len_m" } else { "len_n" }),
            _ => (self.count[1], "len_k"),
        };
        // Lines that follow each other without a gap end where the next one begins.
        let last = match (self.ld() == inner, self.vectors()) {
            (true, _) => format!("{x}_ld - 1u"),
            (_, true) => format!("{count} / 4u - 1u"),
            _ => format!("{count} - 1u"),
        };
        let mut functions = String::new();
        let even = self.batch.len() <= 1 && self.view.origin() == 0;
        let base = match even && !gathered && self.batch.iter().all(|axis| axis.stride >= 0) {
            true => format!("product * params.{x}_batch"),
            false => {
                let axes = strides_of_view(&self.view, &self.batch);
                functions +=
                    &offset_function(&format!("{x}_base_of"), self.view.origin(), &axes, words);
                format!("{x}_base_of(product)")
            }
        };
        if gathered {
            functions.push('\n');
            functions += &self.gather(x, step, words);
        }
        let names = match a {
            true => {
                ["A_KIN", "VEC_A", "A_GATHER", "A_BASE", "A_LAST", "A_LOADS", "A_VIEW", "A_OPERAND"]
            }
            false => {
                ["B_KIN", "VEC_B", "B_GATHER", "B_BASE", "B_LAST", "B_LOADS", "B_VIEW", "B_OPERAND"]
            }
        };
        let viewed = !functions.is_empty();
        let values: [Define; 8] = [
            self.along_terms().into(),
            self.vectors().into(),
            gathered.into(),
            base.into(),
            last.into(),
            functions.replace("params.words[", "store_words[").into(),
            viewed.into(),
            self.operand(x, words).replace("params.words[", "store_words[").into(),
        ];
        names.into_iter().zip(values).collect()
    }

    /// The functions that read any view: `x_line` for what depends on the line, `x_first`, `x_next` and `x_after` for the
    /// digits of a term, of one an iteration later and of the next, `x_terms` for what depends on four terms, and
    /// `x_load`, which puts both together. If four lines are read at once, they are one line here, and terms are single.
    fn gather(&self, x: &str, step: usize, words: &mut Words) -> String {
        let guards = self.view.guards();
        let vectors = self.vectors();
        let coordinates =
            |ty: &str| -> String { (0..guards.len()).map(|g| format!(", g{g}: {ty}")).collect() };
        // Digits of a term along the axes of the sum; the outermost has no end.
        let mut extents: Vec<usize> = self.terms.iter().map(|a| a.extent).collect();
        let mut axes = self.terms.clone();
        if axes.is_empty() {
            extents.push(1);
            axes.push(Axis { extent: 1, stride: 0, steps: vec![0; guards.len()] });
        }
        let digits: Vec<String> = (0..extents.len()).map(|d| format!("d{d}: u32")).collect();
        let names: Vec<String> = (0..extents.len()).map(|d| format!("d{d}")).collect();
        let lanes = if vectors { ("u32", "bool") } else { ("vec4<u32>", "vec4<bool>") };
        let mut out = format!(
            "struct {x}Line {{ at: u32{} }}\nstruct {x}Term {{ {} }}\n\
             struct {x}Terms {{ at: {}, live: {}{} }}\n",
            coordinates("u32"),
            digits.join(", "),
            lanes.0,
            lanes.1,
            coordinates(lanes.0),
        );
        // What depends on the line.
        let (decode, indices) = decode("i", &self.lines, words);
        let line = sum("base", &indices, &strides_of_view(&self.view, &self.lines), words);
        let mut parts = vec![line];
        for (g, guard) in guards.iter().enumerate() {
            let steps: Vec<(usize, isize)> =
                self.lines.iter().map(|a| (a.extent, a.steps[g])).collect();
            let first = words.push(word(guard.first));
            parts.push(sum(&first, &indices, &steps, words));
        }
        let _ = write!(
            out,
            "fn {x}_line(base: u32, i: u32) -> {x}Line {{\n    var rest = i;\n{decode}    \
             return {x}Line({});\n}}\n",
            parts.join(", ")
        );
        // The digits of a term.
        let (decode, indices) = decode_digits(&extents, words);
        let _ = write!(
            out,
            "fn {x}_first(k: u32) -> {x}Term {{\n    var rest = k;\n{decode}    return {x}Term({});\n}}\n",
            indices.join(", ")
        );
        out += &count_on(&format!("{x}_next"), x, &extents, step, words);
        if !vectors || self.form == Form::GatheredAcross {
            out += &count_on(&format!("{x}_after"), x, &extents, 1, words);
        }
        // What depends on the term.
        let end = words.push(extents[0] as u32);
        let one = |t: &str, words: &mut Words| {
            let indices: Vec<String> = names.iter().map(|d| format!("{t}.{d}")).collect();
            let mut parts = vec![sum("0u", &indices, &strides_of_view(&self.view, &axes), words)];
            parts.push(format!("{t}.d0 < {end}"));
            for g in 0..guards.len() {
                let steps: Vec<(usize, isize)> =
                    axes.iter().map(|a| (a.extent, a.steps[g])).collect();
                parts.push(sum("0u", &indices, &steps, words));
            }
            parts
        };
        let _ = writeln!(out, "fn {x}_terms(t0: {x}Term) -> {x}Terms {{");
        let fields = match vectors {
            true => one("t0", words),
            false => {
                for i in 1..4 {
                    let _ = writeln!(out, "    let t{i} = {x}_after(t{});", i - 1);
                }
                let four: Vec<Vec<String>> =
                    ["t0", "t1", "t2", "t3"].iter().map(|t| one(t, words)).collect();
                let lanes = |f: usize| four.iter().map(|t| t[f].clone()).collect::<Vec<_>>();
                let ty = |f: usize| if f == 1 { "bool" } else { "u32" };
                let of = |f: usize| format!("vec4<{}>({})", ty(f), lanes(f).join(", "));
                (0..guards.len() + 2).map(of).collect()
            }
        };
        let _ = write!(out, "    return {x}Terms({});\n}}\n", fields.join(", "));
        // Four elements: outside the tensor, and past the last term, zero.
        let spread = |v: String| if vectors { v } else { format!("vec4<u32>({v})") };
        let both = if vectors { "&&" } else { "&" };
        let mut live = "terms.live".to_owned();
        for (g, guard) in guards.iter().enumerate() {
            let at = format!("{} + terms.g{g}", spread(format!("line.g{g}")));
            let end = spread(words.push(guard.extent as u32));
            live = format!("{live} {both} ({at} < {end})");
        }
        let at = format!("{} + terms.at", spread("line.at".into()));
        let element = |c: &str| format!("{x}_one(at.{c})");
        let (zero, load) = match vectors {
            true => ("0u".to_owned(), format!("{x}_four(at / 4u)")),
            false => {
                let all = ["x", "y", "z", "w"].map(element).join(", ");
                (spread("0u".into()), format!("vec4<f32>({all})"))
            }
        };
        let _ = write!(
            out,
            "fn {x}_load(line: {x}Line, terms: {x}Terms) -> vec4<f32> {{\n    let live = {live};\n    \
             let at = select({zero}, {at}, live);\n    return select(vec4<f32>(0.0), {load}, live);\n}}"
        );
        out
    }
}

/// Extents of axes with the elements from one step to the next, guards included.
fn strides_of_view(view: &View, axes: &[Axis]) -> Vec<(usize, isize)> {
    match view.guards() {
        [] => strides_of(axes),
        _ => axes.iter().map(|a| (a.extent, view.stride(a))).collect(),
    }
}

/// `first` plus the indices times their strides.
fn sum(first: &str, indices: &[String], axes: &[(usize, isize)], words: &mut Words) -> String {
    let mut text = first.to_owned();
    for (index, &(_, stride)) in indices.iter().zip(axes).filter(|(_, axis)| axis.1 != 0) {
        let _ = write!(text, " + {index} * {}", words.push(word(stride)));
    }
    text
}

/// Statements that take `rest` apart into indices along axes, and the indices.
fn decode(name: &str, axes: &[Axis], words: &mut Words) -> (String, Vec<String>) {
    let extents: Vec<usize> = axes.iter().map(|a| a.extent).collect();
    let (text, _) = decode_digits(&extents, words);
    let index = |i: usize| if i == 0 { "rest".to_owned() } else { format!("{name}{i}") };
    (text.replace("let d", &format!("let {name}")), (0..extents.len()).map(index).collect())
}

fn decode_digits(extents: &[usize], words: &mut Words) -> (String, Vec<String>) {
    let mut text = String::new();
    for (d, &extent) in extents.iter().enumerate().skip(1).rev() {
        let extent = words.push(extent as u32);
        let _ = writeln!(text, "    let d{d} = rest % {extent}; rest = rest / {extent};");
    }
    let index = |d: usize| if d == 0 { "rest".to_owned() } else { format!("d{d}") };
    (text, (0..extents.len()).map(index).collect())
}

/// The function that counts the digits of a term on by `step` terms: a digit overflows at most once.
fn count_on(name: &str, x: &str, extents: &[usize], step: usize, words: &mut Words) -> String {
    let (mut rest, mut steps) = (step, vec![0; extents.len()]);
    for d in (1..extents.len()).rev() {
        steps[d] = rest % extents[d];
        rest /= extents[d];
    }
    steps[0] = rest;
    let next: Vec<String> =
        (steps.iter().enumerate())
            .map(|(d, &s)| {
                if s == 0 {
                    format!("t.d{d}")
                } else {
                    format!("t.d{d} + {}", words.push(s as u32))
                }
            })
            .collect();
    let mut out =
        format!("fn {name}(t: {x}Term) -> {x}Term {{\n    var n = {x}Term({});\n", next.join(", "));
    for d in (1..extents.len()).rev() {
        let extent = words.push(extents[d] as u32);
        let outer = d - 1;
        let _ =
            writeln!(out, "    if n.d{d} >= {extent} {{ n.d{d} -= {extent}; n.d{outer} += 1u; }}");
    }
    out + "    return n;\n}\n"
}
