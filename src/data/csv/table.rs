//! Named columns and what they are used as.

use std::collections::{BTreeMap, BTreeSet};

use super::bad;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// What the fields of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Finite numbers, kept as f32.
    Number,
    /// Text: class names.
    Text,
}

/// A column's fields.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Of type [`ColumnType::Number`].
    Number(Vec<f32>),
    /// Of type [`ColumnType::Text`].
    Text(Vec<String>),
}

/// A table in memory: named columns of equally many fields, at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The file, for messages.
    name: String,
    names: Vec<String>,
    /// The line on which each row starts, for messages.
    lines: Vec<u64>,
    columns: Vec<Column>,
}

/// A column's classes as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// For each row its place in `classes`: `[n]` u32.
    pub labels: Tensor,
    /// The classes' names.
    pub classes: Vec<String>,
}

impl Table {
    /// A table without rows; types are set with the first.
    pub(super) fn new(name: &str, names: Vec<String>) -> Self {
        Self { name: name.into(), names, lines: vec![], columns: vec![] }
    }

    /// Sets the type of each column of an empty table.
    pub(super) fn set_types(&mut self, types: &[ColumnType]) {
        let column = |ty: &ColumnType| match ty {
            ColumnType::Number => Column::Number(vec![]),
            ColumnType::Text => Column::Text(vec![]),
        };
        self.columns = types.iter().map(column).collect();
    }

    /// How many rows there are: at least 1.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.lines.len()
    }

    /// Always false: a file without rows is refused.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The columns' names, in the file's order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A column's fields.
    ///
    /// # Errors
    /// [`Error::File`] where there is no such column.
    pub fn column(&self, name: &str) -> Result<&Column> {
        Ok(&self.columns[place(&self.name, &self.names, name)?])
    }

    /// Columns of numbers side by side, in the order given: `[n, columns]` f32. Features, or the
    /// targets of a regression.
    ///
    /// # Errors
    /// [`Error::File`] where there is no such column, and for a column of text, naming its first
    /// line that has no finite number; [`Error::Parameter`] where no column is named.
    pub fn numbers(&self, columns: &[impl AsRef<str>]) -> Result<Tensor> {
        if columns.is_empty() {
            return Err(Error::parameter("columns", "[]", "must name at least one column"));
        }
        let mut chosen = Vec::with_capacity(columns.len());
        for name in columns {
            let name = name.as_ref();
            match self.column(name)? {
                Column::Number(values) => chosen.push(values),
                Column::Text(text) => {
                    let row = text.iter().position(|field| number(field).is_none()).unwrap_or(0);
                    return Err(self.bad(row, name, no_number(&text[row])));
                }
            }
        }
        let row = |row: usize| chosen.iter().map(move |values| values[row]);
        let values: Vec<f32> = (0..self.len()).flat_map(row).collect();
        Tensor::f32([self.len(), columns.len()], values)
    }

    /// A column as classes: its different fields, sorted, are the classes 0, 1, ... Numbers must be
    /// whole, and are sorted as numbers.
    ///
    /// A file that lacks a class numbers the others anew: read a test file with the training file's
    /// classes, by [`labels_of`](Self::labels_of).
    ///
    /// # Errors
    /// [`Error::File`] where there is no such column, and naming the line of a field that is empty,
    /// or a number that is not whole or beyond 2^24, where f32 skips whole numbers.
    pub fn labels(&self, column: &str) -> Result<Labels> {
        let classes: Vec<String> = match self.column(column)? {
            Column::Text(text) => {
                if let Some(row) = text.iter().position(String::is_empty) {
                    return Err(self.bad(row, column, "the field is empty; a class has a name"));
                }
                text.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
            }
            Column::Number(values) => {
                let whole = |(row, &value)| self.whole(row, column, value);
                let classes: BTreeSet<i64> =
                    values.iter().enumerate().map(whole).collect::<Result<_>>()?;
                classes.iter().map(i64::to_string).collect()
            }
        };
        let labels = self.labels_of(column, &classes)?;
        Ok(Labels { labels, classes })
    }

    /// A column as the classes given: for each row the place of its field in `classes`, `[n]` u32.
    ///
    /// # Errors
    /// As [`labels`](Self::labels), and naming the line of a field that is no class.
    pub fn labels_of(&self, column: &str, classes: &[impl AsRef<str>]) -> Result<Tensor> {
        let places: BTreeMap<&str, u32> = classes.iter().map(AsRef::as_ref).zip(0_u32..).collect();
        if places.len() != classes.len() {
            let detail = "a class is named more than once";
            return Err(Error::parameter("classes", classes.len(), detail));
        }
        let label = |row: usize, field: &str| {
            places.get(field).copied().ok_or_else(|| {
                let detail = format!("`{field}` is none of the {} classes", classes.len());
                self.bad(row, column, detail)
            })
        };
        let labels: Vec<u32> = match self.column(column)? {
            Column::Text(text) => {
                text.iter().enumerate().map(|(row, field)| label(row, field)).collect::<Result<_>>()
            }
            Column::Number(values) => values
                .iter()
                .enumerate()
                .map(|(row, &value)| label(row, &self.whole(row, column, value)?.to_string()))
                .collect(),
        }?;
        Tensor::u32([self.len()], labels)
    }

    /// Appends a row, which has a field for each column.
    pub(super) fn push(&mut self, line: u64, fields: &[&str]) -> Result<()> {
        self.lines.push(line);
        for (i, &field) in fields.iter().enumerate() {
            match &mut self.columns[i] {
                Column::Text(text) => text.push(field.to_owned()),
                Column::Number(values) => match number(field) {
                    Some(value) => values.push(value),
                    None => {
                        let hint = "; if the column is text, say so with Csv::column";
                        let row = self.lines.len() - 1;
                        return Err(self.bad(row, &self.names[i], no_number(field) + hint));
                    }
                },
            }
        }
        Ok(())
    }

    /// A number that may be a class.
    fn whole(&self, row: usize, column: &str, value: f32) -> Result<i64> {
        if value.fract() == 0.0 && value.abs() <= 16_777_216.0 {
            return Ok(value as i64);
        }
        let detail = format!("{value} is no class: classes are text or whole numbers up to 2^24");
        Err(self.bad(row, column, detail))
    }

    fn bad(&self, row: usize, column: &str, detail: impl Into<String>) -> Error {
        bad(&self.name, &format!("line {}, column `{column}`", self.lines[row]), detail)
    }
}

/// The place of the column with this name.
pub(super) fn place(file: &str, names: &[String], name: &str) -> Result<usize> {
    names.iter().position(|other| other == name).ok_or_else(|| {
        let detail = format!("there is no such column; there are {}", names.join(", "));
        bad(file, &format!("column `{name}`"), detail)
    })
}

/// A finite number.
pub(super) fn number(field: &str) -> Option<f32> {
    field.parse().ok().filter(|value: &f32| value.is_finite())
}

fn no_number(field: &str) -> String {
    match field {
        "" => "the field is empty where a number is expected".into(),
        field => format!("`{field}` is no finite number"),
    }
}
