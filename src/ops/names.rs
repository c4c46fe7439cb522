//! Elementwise functions by name, and what a wrong name may have meant.

use super::table::{ROWS, Row, row};
use crate::error::{Error, Result};
use crate::sorted;

/// How many near names a message lists.
const SHOWN: usize = 3;

/// The function of this name with this many operands.
///
/// # Errors
/// [`Error::Parameter`] that names the near functions, or the call that takes this one.
pub(super) fn find(name: &str, arity: usize) -> Result<&'static Row> {
    let Some(found) = row(name) else {
        return Err(Error::parameter("function", name, unknown(name, arity)));
    };
    if !found.is_by_name() {
        let detail = format!("is no function of f32 operands alone; call Graph::{name}");
        return Err(Error::parameter("function", name, detail));
    }
    if found.arity != arity {
        let call = ["unary", "binary", "select"][found.arity - 1];
        let plural = if found.arity == 1 { "" } else { "s" };
        let taken = format!("{} operand{plural}", found.arity);
        let detail = format!("takes {taken}, not {arity}; call Graph::{call}");
        return Err(Error::parameter("function", name, detail));
    }
    Ok(found)
}

/// What to say of a name that no function has.
fn unknown(name: &str, arity: usize) -> String {
    let near = near(name);
    let (label, names) = match near.is_empty() {
        false => ("the nearest are", near),
        true => {
            let listed = ROWS.iter().filter(|r| r.arity == arity && r.is_by_name());
            ("there are", listed.map(|r| r.name).collect())
        }
    };
    format!("no such elementwise function; {label} {}", names.join(", "))
}

/// The functions that differ by few letters or share their beginning, the nearest first.
fn near(name: &str) -> Vec<&'static str> {
    let wanted = plain(name);
    let mut found: Vec<(usize, &str)> = Vec::new();
    for row in ROWS {
        let known = plain(row.name);
        let distance = distance(&wanted, &known);
        let short = wanted.len().min(known.len());
        let begins = short >= 2 && wanted[..short] == known[..short];
        if begins || distance <= (wanted.len() / 3).max(1) {
            sorted::insert(&mut found, (distance, row.name));
        }
    }
    found.into_iter().take(SHOWN).map(|(_, name)| name).collect()
}

/// The letters and digits of a name, in small letters.
fn plain(name: &str) -> Vec<char> {
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric() || !c.is_ascii())
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// The edits (a letter put in, taken out or replaced) that make `b` of `a`. Levenshtein 1966.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            next.push(replaced.min(last[j + 1] + 1).min(next[j] + 1));
        }
        last = next;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::table::{Derivative, IndexUse, ROWS, functions_table};
    use super::{distance, find, near};

    #[test]
    fn edits_are_counted() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        for (a, b, edits) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("relu", "relu", 0)]
        {
            assert_eq!(distance(&chars(a), &chars(b)), edits);
            assert_eq!(distance(&chars(b), &chars(a)), edits);
        }
    }

    #[test]
    fn a_wrong_name_finds_the_near_ones() {
        for (wrong, right) in [
            ("rellu", "relu"),
            ("relu6", "relu"),
            ("LeakyReLU", "leaky_relu"),
            ("sigmiod", "sigmoid"),
            ("multiply", "mul"),
            ("max", "maximum"),
            ("negative", "neg"),
            ("Softplus", "softplus"),
        ] {
            assert_eq!(near(wrong).first(), Some(&right), "{wrong}: {:?}", near(wrong));
        }
        assert!(near("convolution").is_empty(), "{:?}", near("convolution"));
    }

    #[test]
    fn messages_say_what_to_do() {
        let says = |name: &str, arity| find(name, arity).unwrap_err().to_string();
        assert_eq!(
            says("gelu_tan", 1),
            "function = gelu_tan: no such elementwise function; the nearest are gelu_tanh, gelu"
        );
        let unknown = says("convolution", 2);
        assert!(unknown.contains("there are add, sub, mul, div"), "{unknown}");
        assert_eq!(says("add", 1), "function = add: takes 2 operands, not 1; call Graph::binary");
        assert_eq!(says("relu", 2), "function = relu: takes 1 operand, not 2; call Graph::unary");
        assert!(says("select", 2).ends_with("call Graph::select"));
        assert!(says("random_normal", 2).ends_with("call Graph::random_normal"));
        assert_eq!(find("relu", 1).unwrap().name, "relu");
    }

    /// What rustdoc shows of each row agrees with what the row does.
    #[test]
    fn the_documented_table_is_the_table() {
        let documented: Vec<Vec<&str>> = functions_table!()
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect();
        assert_eq!(documented.len(), ROWS.len());
        for (cells, row) in documented.iter().zip(ROWS) {
            let [name, operands, value, params, gradient] = cells[..] else {
                panic!("five columns: {cells:?}");
            };
            assert_eq!(name, format!("`{}`", row.name));
            let operands = operands.split(", ").filter(|x| !x.is_empty()).count();
            assert_eq!(operands, row.arity, "operands of {name}");
            assert!(!value.is_empty(), "no value of {name}");
            let shown: Vec<String> = match row.index {
                IndexUse::None => {
                    row.params.iter().map(|(n, v)| format!("`{n}` = {v:?}")).collect()
                }
                _ => vec![],
            };
            assert_eq!(params, shown.join(", "), "parameters of {name}");
            let found = match row.derivative {
                Derivative::Zero => "0",
                Derivative::StraightThrough => "passes through",
                Derivative::None(_) => "none",
                _ => "yes",
            };
            assert_eq!(gradient, found, "gradient of {name}");
        }
    }
}
