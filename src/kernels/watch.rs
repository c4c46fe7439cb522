//! Kernels from outside of the library in a form that tells of indices past the end of their tensors.

use super::DECLARED;
use std::fmt::Write as _;
use std::ops::Range;

/// Binding of the words in which a watched kernel tells of such indices: one for each tensor. 0: there was none.
pub const FAULTS_BINDING: u32 = super::MAX_STORAGE_BUFFERS + 3;

/// A kernel's text that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The WGSL. Its lines are those of the author.
    pub source: String,
    /// Names of the tensors, in the order of their bindings, and how many elements each has.
    pub tensors: Vec<(String, u32)>,
}

/// The text of a kernel from outside with each index `NAME[i]` of a tensor compared with the tensor's length. The largest
/// index past the end is kept, so that every run tells the same; a negative one is the largest. What is read and written
/// stays the same.
///
/// An index through a pointer is not seen, nor one of a tensor whose name the text gives to something else too.
#[must_use]
pub fn watch(text: &str) -> Watched {
    let (own, declared) = text.split_once(DECLARED).unwrap_or((text, ""));
    let tensors = tensors(declared);
    let all = tokens(own);
    let word = |i: usize| all.get(i).map_or("", |at: &Range<usize>| &own[at.clone()]);
    let hidden = |name: &str| {
        let given = |i: usize| {
            let before = i.checked_sub(1).map_or("", word);
            word(i) == name && (["let", "var", "const"].contains(&before) || word(i + 1) == ":")
        };
        (0..all.len()).any(given)
    };
    let seen: Vec<bool> = tensors.iter().map(|(name, _)| !hidden(name)).collect();
    let (mut source, mut done, mut open) = (String::new(), 0, Vec::new());
    for (i, at) in all.iter().enumerate() {
        source.push_str(&own[done..at.start]);
        done = at.end;
        let field = i > 1 && word(i - 2) == ".";
        let name = i.checked_sub(1).filter(|_| !field).map_or("", word);
        let tensor = tensors.iter().position(|(own, _)| own == name).filter(|&t| seen[t]);
        // Writing to a string cannot fail.
        _ = match (word(i), tensor) {
            ("[", Some(t)) => {
                open.push(true);
                write!(source, "[wgrad_seen({t}u, {}u, u32(", tensors[t].1)
            }
            ("[", None) => {
                open.push(false);
                write!(source, "[")
            }
            ("]", _) if open.pop() == Some(true) => write!(source, "))]"),
            (other, _) => write!(source, "{other}"),
        };
    }
    source.push_str(&own[done..]);
    _ = write!(
        source,
        "{DECLARED}{declared}
@group(0) @binding({FAULTS_BINDING}) var<storage, read_write> wgrad_faults: array<atomic<u32>, {}>;
fn wgrad_seen(tensor: u32, len: u32, index: u32) -> u32 {{
    if index >= len {{ atomicMax(&wgrad_faults[tensor], index); }}
    return index;
}}
",
        tensors.len().max(1)
    );
    Watched { source, tensors }
}

/// The tensors among the library's declarations: `... var<storage, ACCESS> NAME: array<TYPE, LENGTH>;`.
fn tensors(declared: &str) -> Vec<(String, u32)> {
    let tensor = |line: &str| {
        let (name, ty) =
            line.split_once("var<storage, ")?.1.split_once("> ")?.1.split_once(": ")?;
        let (_, len) = ty.strip_suffix(">;")?.split_once(", ")?;
        Some((name.to_owned(), len.parse().ok()?))
    };
    declared.lines().filter_map(tensor).collect()
}

/// The words of a text, and each other character by itself, without space and comments. Comments in WGSL nest.
pub(crate) fn tokens(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut depth, mut line): (Vec<Range<usize>>, usize, bool) = Default::default();
    let mut rest = text.char_indices().peekable();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut inside = false;
    while let Some((at, c)) = rest.next() {
        let next = rest.peek().map(|n| n.1);
        let word = depth == 0 && !line && is_word(c);
        match found.last_mut() {
            Some(last) if word && inside => last.end = at + c.len_utf8(),
            _ if word => found.push(at..at + c.len_utf8()),
            _ => {}
        }
        inside = word;
        match (c, next) {
            ('\n', _) => line = false,
            ('/', Some('/')) if depth == 0 => line = true,
            ('/', Some('*')) if !line => {
                depth += 1;
                rest.next();
            }
            ('*', Some('/')) if depth > 0 => {
                depth -= 1;
                rest.next();
            }
            _ if !word && depth == 0 && !line && !c.is_whitespace() => {
                found.push(at..at + c.len_utf8());
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|at| &text[at]).collect()
    }

    #[test]
    fn comments_hold_no_words() {
        let text = "a1 // b[\n/* c /* d */ e */f /*/g*/ h_2// i";
        assert_eq!(words(text), ["a1", "f", "h_2"]);
        assert_eq!(words("y[i+1]/ü.b"), ["y", "[", "i", "+", "1", "]", "/", "ü", ".", "b"]);
    }

    #[test]
    fn indices_of_tensors_are_seen() {
        let declared = format!(
            "{DECLARED}\n@group(0) @binding(0) var<storage, read> x: array<u32, 12>;\n\
             @group(0) @binding(1) var<storage, read_write> y: array<f32, 7>;\nconst x_len: u32 = 12u;\n"
        );
        let own = |text: &str| {
            let watched = watch(&format!("{text}\n{declared}"));
            assert_eq!(watched.tensors, [("x".into(), 12), ("y".into(), 7)]);
            assert!(watched.source.contains("array<atomic<u32>, 2>"));
            watched.source.split_once(DECLARED).unwrap().0.trim_end().to_owned()
        };
        let x = |inner: &str| format!("x[wgrad_seen(0u, 12u, u32({inner}))]");
        let y = |inner: &str| format!("y[wgrad_seen(1u, 7u, u32({inner}))]");
        assert_eq!(own("y[3] = x[i];"), format!("{} = {};", y("3"), x("i")));
        let nested = own("y [ x[a[i]] + 1 ] = 0;");
        assert_eq!(
            nested,
            format!("{} = 0;", y(&format!(" {} + 1 ", x("a[i]"))).replace("y[", "y ["))
        );
        // Comments, fields of the parameters, and names that the text gives away are left alone.
        for text in [
            "/* y[3] */ // x[3]",
            "params.y[3] + xy[3]",
            "var x = b; x[3]",
            "x: array<f32, 2>) x[9]",
        ] {
            assert_eq!(own(text), text);
        }
    }
}
