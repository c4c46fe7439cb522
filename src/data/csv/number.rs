//! How the numbers of a file are written.

use crate::error::{Error, Result};
use std::borrow::Cow;

/// The marks inside a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Notation {
    /// Whether the decimal mark is a comma.
    pub comma: bool,
    /// The mark between groups of three digits.
    pub thousands: Option<char>,
}

impl Notation {
    const fn decimal(self) -> char {
        if self.comma { ',' } else { '.' }
    }

    /// Refuses marks that cannot be told from the rest of a number.
    pub fn check(self) -> Result<()> {
        let Some(mark) = self.thousands else { return Ok(()) };
        if mark == self.decimal() {
            let detail = "is the decimal mark already; Csv::decimal_comma makes that a comma";
            return Err(Error::parameter("thousands", format!("`{mark}`"), detail));
        }
        if mark.is_alphanumeric() || matches!(mark, '+' | '-' | '"' | '\r' | '\n') {
            let detail = "is no separator of thousands; use a comma, a point, a space or the like";
            return Err(Error::parameter("thousands", format!("`{mark}`"), detail));
        }
        Ok(())
    }

    /// The number with a decimal point and without separators. `None` if the separators are not
    /// between groups of three digits: `1.5` is not fifteen.
    fn plain(self, field: &str) -> Option<Cow<'_, str>> {
        if self == Self::default() {
            return Some(Cow::Borrowed(field));
        }
        let end = field.find([self.decimal(), 'e', 'E']).unwrap_or(field.len());
        let (whole, rest) = field.split_at(end);
        let whole = match self.thousands {
            Some(mark) => ungrouped(whole, mark)?,
            None => Cow::Borrowed(whole),
        };
        let stray = self.comma && (whole.contains('.') || rest.contains('.'));
        let rest = if self.comma { rest.replacen(',', ".", 1) } else { rest.to_owned() };
        (!stray).then(|| Cow::Owned(whole.into_owned() + &rest))
    }

    /// The nearest f32, if the field is a finite number.
    pub fn number(self, field: &str) -> Option<f32> {
        self.plain(field)?.parse().ok().filter(|value: &f32| value.is_finite())
    }

    /// The whole number that the field equals exactly: `2.0` and `2e3` have one, `0.99999999` has none, though an f32
    /// rounds it to 1.
    pub fn whole(self, field: &str) -> Option<i64> {
        let text = self.plain(field)?;
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i64>().ok()?),
            None => (&*text, 0),
        };
        let (minus, number) = match number.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", number.strip_prefix('+').unwrap_or(number)),
        };
        let (left, right) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{left}{right}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let leading = digits.trim_end_matches('0');
        if leading.is_empty() {
            return Some(0);
        }
        // The power of ten that the last digit other than zero counts.
        let zeros = (digits.len() - leading.len()) as i64 - right.len() as i64;
        let zeros = usize::try_from(exponent.saturating_add(zeros)).ok().filter(|&z| z < 20)?;
        format!("{minus}{leading}{}", "0".repeat(zeros)).parse().ok()
    }
}

/// Digits without the mark between their groups of three.
fn ungrouped(whole: &str, mark: char) -> Option<Cow<'_, str>> {
    let unsigned = whole.trim_start_matches(['+', '-']);
    let mut groups = unsigned.split(mark);
    let first = groups.next().unwrap_or_default().len();
    if first == unsigned.len() {
        return Some(Cow::Borrowed(whole));
    }
    let grouped = (1..=3).contains(&first) && groups.all(|group| group.len() == 3);
    grouped.then(|| Cow::Owned(whole.replace(mark, "")))
}

#[cfg(test)]
mod tests {
    use super::Notation;

    #[test]
    fn whole_numbers_are_those_of_the_text() {
        let plain = Notation::default();
        for (text, value) in [
            ("0", 0),
            ("-0.0", 0),
            ("+7", 7),
            ("007", 7),
            ("9.0", 9),
            ("1.20e1", 12),
            ("1200e-2", 12),
            (".5e1", 5),
            ("5.", 5),
            ("16777217", 16_777_217),
            ("9007199254740993", 9_007_199_254_740_993),
            ("-9223372036854775808", i64::MIN),
            ("0e999", 0),
        ] {
            assert_eq!(plain.whole(text), Some(value), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "e3",
            "0.99999999",
            "0.99999999999999999999",
            "1e-50",
            "12e-2",
            "9223372036854775808",
            "1e19",
            "1e9223372036854775807",
            "1e-9223372036854775808",
            "1e99999999999999999999",
            "--1",
            "1 2",
            "0x10",
            "inf",
        ] {
            assert_eq!(plain.whole(text), None, "{text}");
        }
    }

    #[test]
    fn marks_are_read_where_they_belong() {
        let german = Notation { comma: true, thousands: Some('.') };
        let swiss = Notation { comma: false, thousands: Some('\'') };
        let comma = Notation { comma: true, thousands: None };
        for (notation, text, value) in [
            (german, "1.234,5", Some(1234.5)),
            (german, "-1.234.567", Some(-1_234_567.0)),
            (german, "1234,5", Some(1234.5)),
            (german, "1,5e3", Some(1500.0)),
            (german, "1.5", None),
            (german, "1234.567", None),
            (german, ".123", None),
            (german, "1.234,567.8", None),
            (german, "1,2,3", None),
            (swiss, "1'234.5", Some(1234.5)),
            (swiss, "1,5", None),
            (comma, "1,5", Some(1.5)),
            (comma, "1.5", None),
            (Notation::default(), "1,5", None),
        ] {
            assert_eq!(notation.number(text), value, "{text} {notation:?}");
        }
        assert_eq!(german.whole("16.777.217,0"), Some(16_777_217));
    }
}
