//! Paths with places for numbers.

use crate::error::{Error, Result};

/// A piece of a path.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    /// A number by its name, with the fewest characters, filled with zeros or not, and its decimals.
    Number {
        name: String,
        width: usize,
        zeros: bool,
        decimals: Option<usize>,
    },
}

/// A path with places for numbers, as Python formats them: `{epoch:02d}`, `{val_loss:.4f}`; `{{` means a brace.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template(Vec<Part>);

/// The most digits that a format may ask for.
const LONGEST: usize = 32;

impl Template {
    /// Parses a path.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |detail: &str| Error::parameter("path", text, detail);
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if brace.starts_with("{{") || brace.starts_with("}}") {
                plain.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let inner = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (inner, after) = inner.ok_or_else(|| wrong("a brace has no partner"))?;
            let number = number(inner);
            let detail = "a number is written {epoch}, {epoch:03d}, {val_loss:.4f}";
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(number.ok_or_else(|| wrong(detail))?);
            rest = after;
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Ok(Self(parts))
    }

    /// The names of its numbers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Number { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The path with these numbers.
    pub fn fill(&self, number: impl Fn(&str) -> Option<f64>) -> Result<String> {
        let part = |part: &Part| match part {
            Part::Text(text) => Ok(text.clone()),
            Part::Number { name, width, zeros, decimals } => {
                let value = number(name)
                    .ok_or_else(|| Error::parameter("path", name, "there is no such log"))?;
                let text = match decimals {
                    Some(decimals) => format!("{value:.decimals$}"),
                    None => value.to_string(),
                };
                let fill = if *zeros && value.is_finite() { "0" } else { " " };
                let missing = fill.repeat(width.saturating_sub(text.chars().count()));
                Ok(match text.strip_prefix('-') {
                    Some(digits) if fill == "0" => format!("-{missing}{digits}"),
                    _ => missing + &text,
                })
            }
        };
        self.0.iter().map(part).collect()
    }
}

/// The text between braces: a name, and perhaps a width and decimals.
fn number(inner: &str) -> Option<Part> {
    let (name, format) = inner.split_once(':').unwrap_or((inner, ""));
    let format = format.strip_suffix(['f', 'd']).unwrap_or(format);
    let (width, decimals) = match format.split_once('.') {
        Some((width, decimals)) => (width, Some(digits(decimals)?)),
        None => (format, None),
    };
    let zeros = width.starts_with('0');
    let width = if width.is_empty() { 0 } else { digits(width)? };
    (!name.is_empty()).then(|| Part::Number { name: name.into(), width, zeros, decimals })
}

/// A number of digits.
fn digits(text: &str) -> Option<usize> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&n| plain && n <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let fill = |text: &str| {
            Template::parse(text).unwrap().fill(|name| match name {
                "epoch" => Some(7.0),
                "val_loss" => Some(0.123_456),
                "r2" => Some(-1.5),
                "nan" => Some(f64::NAN),
                _ => None,
            })
        };
        for (text, want) in [
            ("plain.safetensors", "plain.safetensors"),
            ("w-{epoch}", "w-7"),
            ("w-{epoch:02d}-{val_loss:.4f}.st", "w-07-0.1235.st"),
            ("{epoch:3}|{epoch:03}|{val_loss:.2}", "  7|007|0.12"),
            ("{r2:07.2f}|{r2:7.2f}|{r2:.0}", "-001.50|  -1.50|-2"),
            ("{nan:05.1}", "  NaN"),
            ("a{{b}}{epoch}{{", "a{b}7{"),
            ("ü{epoch}ß", "ü7ß"),
        ] {
            assert_eq!(fill(text).unwrap(), want, "{text}");
        }
        let error = fill("{lost}").unwrap_err().to_string();
        assert!(error.contains("path = lost") && error.contains("no such log"), "{error}");
        let names = Template::parse("{epoch}{{x}}{a:.2}").unwrap();
        assert_eq!(names.names().collect::<Vec<_>>(), ["epoch", "a"]);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "{",
            "}",
            "{epoch",
            "epoch}",
            "{}",
            "{:02}",
            "{epoch:x}",
            "{epoch:-3}",
            "{a:.f}",
            "{a:+1}",
            "{a:99}",
            "{a:.99}",
            "{a:1.2.3}",
            "{a:99999999999999999999}",
        ] {
            let error = Template::parse(text).expect_err(text).to_string();
            assert!(error.contains(&format!("path = {text}")), "{error}");
        }
    }
}
