//! The shader preprocessor.
//!
//! Lines: `#import PATH` (once per shader), `#if EXPR` / `#else` / `#endif`, `#for NAME in A..B` / `#end`.
//! Anywhere: `#{EXPR}`. Expressions hold integers, names, `+ - * / %`, comparisons, `&& || !` and parentheses.
//! An unknown directive, an unknown name or an unclosed block is an error.

use super::Define;
use super::templates::{LIBRARY, Template};
use crate::error::{Error, Result};
use std::collections::HashMap;

/// The WGSL of a template under these definitions.
///
/// # Errors
/// [`Error::Internal`] naming file and line.
pub fn preprocess(template: &Template, defines: &[(&str, Define)]) -> Result<String> {
    let mut state = Expander {
        template: template.path,
        names: defines.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        imported: Vec::new(),
        out: String::new(),
    };
    state.file(template.path, template.text)?;
    Ok(state.out)
}

struct Expander {
    /// The template that is expanded, for messages about the files that it imports.
    template: &'static str,
    names: HashMap<String, Define>,
    imported: Vec<String>,
    out: String,
}

type Line<'a> = (usize, &'a str);

impl Expander {
    fn import(&mut self, path: &str) -> Result<()> {
        let file = LIBRARY.iter().find(|(known, _)| *known == path);
        let (_, text) = file
            .ok_or_else(|| Error::internal("shader preprocessor", format!("no file `{path}`")))?;
        self.file(path, text)
    }

    fn file(&mut self, path: &str, text: &str) -> Result<()> {
        if self.imported.iter().any(|p| p == path) {
            return Ok(());
        }
        self.imported.push(path.to_owned());
        let lines: Vec<Line<'_>> = text.lines().enumerate().map(|(i, l)| (i + 1, l)).collect();
        self.block(path, &lines)
    }

    fn block(&mut self, path: &str, lines: &[Line<'_>]) -> Result<()> {
        let mut at = 0;
        while at < lines.len() {
            let (number, line) = lines[at];
            let template = self.template;
            let fail = |detail: String| match path == template {
                true => Error::internal(format!("{path}.wgsl:{number}"), detail),
                false => Error::internal(format!("{path}.wgsl:{number}, for {template}"), detail),
            };
            let word = line.trim_start();
            if !word.starts_with('#') || word.starts_with("#{") {
                let text = self.substitute(line).map_err(fail)?;
                self.out.push_str(&text);
                self.out.push('\n');
                at += 1;
            } else if let Some(target) = word.strip_prefix("#import ") {
                self.import(target.trim())?;
                at += 1;
            } else if let Some(condition) = word.strip_prefix("#if ") {
                let condition = self.substitute(condition).map_err(fail)?;
                let (close, middle) =
                    matching(&lines[at + 1..], "#if ", "#endif", Some("#else")).map_err(fail)?;
                let body = &lines[at + 1..at + 1 + close];
                let (yes, no) = match middle {
                    Some(m) => (&body[..m], &body[m + 1..]),
                    None => (body, &body[..0]),
                };
                let taken = self.eval(&condition).map_err(fail)? != 0;
                self.block(path, if taken { yes } else { no })?;
                at += close + 2;
            } else if let Some(head) = word.strip_prefix("#for ") {
                let (close, _) = matching(&lines[at + 1..], "#for ", "#end", None).map_err(fail)?;
                let (name, range) = head
                    .split_once(" in ")
                    .ok_or_else(|| fail("expected `#for NAME in A..B`".into()))?;
                let (from, to) = range
                    .split_once("..")
                    .ok_or_else(|| fail("expected `#for NAME in A..B`".into()))?;
                let (from, to) = (self.eval(from).map_err(fail)?, self.eval(to).map_err(fail)?);
                let shadowed = self.names.get(name.trim()).cloned();
                for i in from..to {
                    self.names.insert(name.trim().to_owned(), Define::Int(i));
                    self.block(path, &lines[at + 1..at + 1 + close])?;
                }
                match shadowed {
                    Some(old) => self.names.insert(name.trim().to_owned(), old),
                    None => self.names.remove(name.trim()),
                };
                at += close + 2;
            } else {
                return Err(fail(format!("unknown directive `{word}`")));
            }
        }
        Ok(())
    }

    fn substitute(&self, line: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = line;
        while let Some(start) = rest.find("#{") {
            out.push_str(&rest[..start]);
            let end = rest[start..].find('}').ok_or("unclosed `#{`")? + start;
            let expression = rest[start + 2..end].trim();
            match self.names.get(expression) {
                Some(Define::Text(text)) => out.push_str(text),
                _ => out.push_str(&self.eval(expression)?.to_string()),
            }
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn eval(&self, text: &str) -> Result<i64, String> {
        let tokens = tokenize(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0, names: &self.names };
        let value = parser.binary(0)?;
        if parser.at == tokens.len() {
            Ok(value)
        } else {
            Err(format!("unexpected `{}` in `{text}`", tokens[parser.at]))
        }
    }
}

/// The index of the line that closes a block, and of its `else` line.
fn matching(
    lines: &[Line<'_>],
    open: &str,
    close: &str,
    middle: Option<&str>,
) -> Result<(usize, Option<usize>), String> {
    let mut depth = 0;
    let mut else_at = None;
    for (i, (_, line)) in lines.iter().enumerate() {
        let word = line.trim();
        if word.starts_with(open) {
            depth += 1;
        } else if word == close {
            if depth == 0 {
                return Ok((i, else_at));
            }
            depth -= 1;
        } else if depth == 0 && Some(word) == middle {
            else_at = Some(i);
        }
    }
    Err(format!("no `{close}` closes the `{}`", open.trim()))
}

fn tokenize(text: &str) -> Result<Vec<String>, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        let start = i;
        if c.is_whitespace() {
            i += 1;
            continue;
        } else if c.is_ascii_alphanumeric() || c == '_' {
            while i < chars.len() && (chars[i].is_ascii_alphanumeric() || chars[i] == '_') {
                i += 1;
            }
        } else if i + 1 < chars.len()
            && matches!(
                (c, chars[i + 1]),
                ('=', '=') | ('!', '=') | ('<', '=') | ('>', '=') | ('&', '&') | ('|', '|')
            )
        {
            i += 2;
        } else if "+-*/%<>!()".contains(c) {
            i += 1;
        } else {
            return Err(format!("unexpected `{c}` in `{text}`"));
        }
        tokens.push(chars[start..i].iter().collect());
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [String],
    at: usize,
    names: &'a HashMap<String, Define>,
}

const LEVELS: [&[&str]; 5] =
    [&["||"], &["&&"], &["==", "!=", "<", "<=", ">", ">="], &["+", "-"], &["*", "/", "%"]];

impl Parser<'_> {
    fn binary(&mut self, level: usize) -> Result<i64, String> {
        if level == LEVELS.len() {
            return self.unary();
        }
        let mut left = self.binary(level + 1)?;
        while self.at < self.tokens.len() && LEVELS[level].contains(&self.tokens[self.at].as_str())
        {
            let operator = self.tokens[self.at].clone();
            self.at += 1;
            let right = self.binary(level + 1)?;
            let nonzero = || if right == 0 { Err("division by zero") } else { Ok(right) };
            left = match operator.as_str() {
                "||" => i64::from(left != 0 || right != 0),
                "&&" => i64::from(left != 0 && right != 0),
                "==" => i64::from(left == right),
                "!=" => i64::from(left != right),
                "<" => i64::from(left < right),
                "<=" => i64::from(left <= right),
                ">" => i64::from(left > right),
                ">=" => i64::from(left >= right),
                "+" => left + right,
                "-" => left - right,
                "*" => left * right,
                "/" => left / nonzero()?,
                _ => left % nonzero()?,
            };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<i64, String> {
        let token = self.tokens.get(self.at).ok_or("the expression ends early")?.clone();
        self.at += 1;
        match token.as_str() {
            "!" => Ok(i64::from(self.unary()? == 0)),
            "-" => Ok(-self.unary()?),
            "(" => {
                let value = self.binary(0)?;
                if self.tokens.get(self.at).map(String::as_str) != Some(")") {
                    return Err("expected `)`".into());
                }
                self.at += 1;
                Ok(value)
            }
            word => match self.names.get(word) {
                Some(Define::Int(v)) => Ok(*v),
                Some(Define::Text(_)) => Err(format!("`{word}` is text, not a number")),
                None => word.parse().map_err(|_| format!("unknown name `{word}`")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str, defines: &[(&str, Define)]) -> Result<String> {
        let mut state = Expander {
            template: "test",
            names: defines.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
            imported: Vec::new(),
            out: String::new(),
        };
        let lines: Vec<Line<'_>> = text.lines().enumerate().map(|(i, l)| (i + 1, l)).collect();
        state.block("test", &lines)?;
        Ok(state.out)
    }

    #[test]
    fn loops_and_conditions_nest() {
        let text =
            "#for i in 0..N\n#if i % 2 == 0\na#{i} = #{i * 4 + 1};\n#else\nskip#{i}\n#endif\n#end";
        let out = expand(text, &[("N", Define::Int(3))]).unwrap();
        assert_eq!(out, "a0 = 1;\nskip1\na2 = 9;\n");
    }

    #[test]
    fn text_is_put_in_verbatim() {
        assert_eq!(
            expand("x #{BODY} y", &[("BODY", "let a = 1;".into())]).unwrap(),
            "x let a = 1; y\n"
        );
    }

    #[test]
    fn mistakes_are_errors() {
        for bad in
            ["#{UNKNOWN}", "#frob", "#if 1", "#for i in 0..2", "#if (1\n#endif", "#{1 / 0}", "#{1"]
        {
            assert!(expand(bad, &[]).is_err(), "{bad} was accepted");
        }
    }
}
