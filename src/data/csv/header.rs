//! The names of a file's columns.

use std::collections::HashMap;

use ::csv::ByteRecord;

use super::bad;
use super::number::Notation;
use super::rows::{NOT_UTF8, text};
use super::table::{Column, Columns};
use crate::error::{Error, Result};

/// The header's names, each of them once. Only the first may be empty, if there are more: pandas and R write a table
/// this way, with no name for its index.
pub(super) fn names_of(file: &str, line: u64, record: &ByteRecord) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(record.len());
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(record.len());
    for (i, bytes) in record.iter().enumerate() {
        let field = || format!("line {line}, column {}", i + 1);
        let name = text(bytes).ok_or_else(|| bad(file, &field(), NOT_UTF8))?;
        if name.is_empty() && (i > 0 || record.len() == 1) {
            return Err(bad(file, &field(), "the header gives no name to this column"));
        }
        if let Some(first) = places.insert(name, i) {
            let detail = format!(
                "`{name}` is the name of column {} already; if the file has no header, say so with Csv::header(false)",
                first + 1
            );
            return Err(bad(file, &field(), detail));
        }
        names.push(name.into());
    }
    Ok(names)
}

/// Refuses a header that seems to be a row of data: all numbers, or one that is not whole. Years are
/// names of columns, `5.1` hardly is.
pub(super) fn check_no_data(
    file: &str,
    line: u64,
    names: &[String],
    notation: Notation,
) -> Result<()> {
    let is_number = |name: &&String| notation.number(name).is_some();
    let fraction = names.iter().filter(is_number).find(|name| notation.whole(name).is_none());
    let all = names.iter().filter(|name| !name.is_empty()).all(|name| is_number(&name));
    match fraction.or(names.last().filter(|_| all)) {
        Some(name) => {
            Err(no_header(file, line, &format!("`{name}` is a number, not a column's name")))
        }
        None => Ok(()),
    }
}

/// The error for a first row that is data, with its reason.
fn no_header(file: &str, line: u64, why: &str) -> Error {
    let detail = format!(
        "{why}: the file seems to have no header. Say so with Csv::header(false) or Csv::names; if this is the header, \
         with Csv::header(true)"
    );
    bad(file, &format!("line {line}"), detail)
}

/// Refuses a header that seems to be a row of data, now that the columns are known: a name comes again as text of its
/// column, while a number names a column of numbers, or all columns are such text. Otherwise a number as a name may be a
/// year, and gets a warning.
pub(super) fn check_columns(
    file: &str,
    line: u64,
    names: &[String],
    columns: &Columns,
    notation: Notation,
) -> Result<()> {
    let (mut number, mut again, mut texts) = (None, None, 0);
    let mut all_again = true;
    for (name, (column, _)) in names.iter().zip(columns) {
        match column {
            Column::Number(_) if notation.number(name).is_some() => number = Some(name),
            Column::Text(fields) if fields.contains(name) => {
                (again, texts) = (Some(name), texts + 1);
            }
            _ => all_again = false,
        }
    }
    if let Some(name) = again.filter(|_| number.is_some() || all_again && texts > 1) {
        let why = format!("`{name}` comes again below, as text of its column");
        return Err(no_header(file, line, &why));
    }
    if let Some(name) = number {
        log::warn!(
            "{file}: line {line}: `{name}` is a column's name. If the file has no header, say so with \
             Csv::header(false); if it has, with Csv::header(true)"
        );
    }
    Ok(())
}

/// Names from the caller: none empty, each of them once.
pub(super) fn check_given(names: &[String]) -> Result<()> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(names.len());
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            let detail = format!("column {} needs a name", i + 1);
            return Err(Error::parameter("names", "``", detail));
        }
        if let Some(first) = places.insert(name, i) {
            let detail = format!("is the name of columns {} and {}", first + 1, i + 1);
            return Err(Error::parameter("names", format!("`{name}`"), detail));
        }
    }
    Ok(())
}
