//! Named columns and their uses.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::bad;
use super::fill::{Fault, mean, no_number};
use super::number::Notation;
use crate::error::{Error, Result, listed};
use crate::tensor::Tensor;

/// What the fields of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnType {
    /// Finite numbers, kept as f32.
    Number,
    /// Text: class names.
    Text,
}

/// A column's fields.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Column {
    /// Of type [`ColumnType::Number`].
    Number(Vec<f32>),
    /// Of type [`ColumnType::Text`].
    Text(Vec<String>),
}

/// The whole numbers of a column, as its text has them: an f32 may be whole after rounding alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exact {
    Whole(Vec<i64>),
    /// The line of the first field that is none, and the field.
    Not {
        line: u64,
        field: String,
    },
}

impl Exact {
    /// Of a column of text.
    pub const fn none() -> Self {
        Self::Whole(vec![])
    }

    /// Appends the number of the row on `line`, whose field is given too.
    pub fn push(&mut self, whole: Option<i64>, line: u64, field: &str) {
        if let Self::Whole(values) = self {
            match whole {
                Some(value) => values.push(value),
                None => *self = Self::Not { line, field: field.to_owned() },
            }
        }
    }
}

/// A file, and the line on which each row starts, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub name: String,
    pub lines: Vec<u64>,
}

impl Source {
    /// What is wrong with a field of `column`.
    pub fn fault(&self, column: &str, (line, detail): Fault) -> Error {
        bad(&self.name, &format!("line {line}, column `{column}`"), detail)
    }
}

/// Columns with their whole numbers.
pub(super) type Columns = Vec<(Column, Exact)>;

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filled {
    pub name: String,
    pub column: Column,
    pub exact: Exact,
    /// The place of its file in the table's sources.
    pub source: usize,
}

/// A table in memory: named columns of equally many fields, at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub(super) sources: Vec<Source>,
    names: Vec<String>,
    places: HashMap<String, usize>,
    pub(super) columns: Vec<Filled>,
    pub(super) index: Option<Vec<String>>,
}

/// The classes of a column as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// The place of each row in `classes`: `[n]` u32.
    pub labels: Tensor,
    /// The classes' names.
    pub classes: Vec<String>,
}

impl Table {
    /// A table of one file.
    pub(super) fn new(
        source: Source,
        names: Vec<String>,
        columns: Columns,
        index: Option<Vec<String>>,
    ) -> Self {
        let filled = |(name, (column, exact))| Filled { name, column, exact, source: 0 };
        Self::of(vec![source], names.into_iter().zip(columns).map(filled).collect(), index)
    }

    /// A table of columns with different names.
    pub(super) fn of(
        sources: Vec<Source>,
        columns: Vec<Filled>,
        index: Option<Vec<String>>,
    ) -> Self {
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let places = names.iter().cloned().zip(0..).collect();
        Self { sources, names, places, columns, index }
    }

    /// How many rows there are: at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sources[0].lines.len()
    }

    /// Always false: a file without rows is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The columns' names, in the file's order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The fields of the file's first column, if the header gives no name to it: pandas and R write a table's index
    /// this way.
    #[must_use]
    pub fn index(&self) -> Option<&[String]> {
        self.index.as_deref()
    }

    /// A column's fields.
    ///
    /// # Errors
    /// [`Error::File`] if there is no such column.
    pub fn column(&self, name: &str) -> Result<&Column> {
        Ok(&self.filled(name)?.column)
    }

    pub(super) fn filled(&self, name: &str) -> Result<&Filled> {
        let place = self.places.get(name);
        place.map(|&place| &self.columns[place]).ok_or_else(|| {
            let files: Vec<&str> = self.sources.iter().map(|source| &*source.name).collect();
            no_such_column(&files.join(" + "), name, &self.names)
        })
    }

    /// Columns of numbers side by side, in the order given: `[n, columns]` f32. Features, or the
    /// targets of a regression.
    ///
    /// # Errors
    /// [`Error::File`] if there is no such column, and for a column of text, naming its first
    /// line that has no finite number; [`Error::Parameter`] if no column is named.
    pub fn numbers(&self, columns: &[impl AsRef<str>]) -> Result<Tensor> {
        if columns.is_empty() {
            return Err(Error::parameter("columns", "[]", "must name at least one column"));
        }
        let mut chosen = Vec::with_capacity(columns.len());
        for name in columns {
            chosen.push(self.numbers_of(name.as_ref())?);
        }
        let row = |row: usize| chosen.iter().map(move |values| values[row]);
        let values: Vec<f32> = (0..self.len()).flat_map(row).collect();
        Tensor::f32([self.len(), columns.len()], values)
    }

    /// A column of numbers.
    pub(super) fn numbers_of(&self, name: &str) -> Result<&[f32]> {
        let filled = self.filled(name)?;
        match &filled.column {
            Column::Number(values) => Ok(values),
            Column::Text(text) => {
                let number = |field: &String| Notation::default().number(field).is_some();
                let row = text.iter().position(|field| !number(field)).unwrap_or(0);
                let hint = match text[row].contains(',') {
                    true => "; Csv::decimal_comma and Csv::thousands read other notations",
                    false => "",
                };
                Err(self.fault(filled, row, no_number(&text[row]) + hint))
            }
        }
    }

    /// The mean of a column of numbers, of those that are no NaN: what [`Missing::fill`] puts in the
    /// place of missing values of a test file.
    ///
    /// [`Missing::fill`]: super::Missing::fill
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers); [`Error::Data`] if all values are NaN.
    pub fn mean(&self, column: &str) -> Result<f64> {
        let mean = mean(self.numbers_of(column)?);
        mean.ok_or_else(|| Error::data(column, "all values are NaN: there is no mean"))
    }

    /// A column as classes: its different fields, sorted, are the classes 0, 1, ... Numbers must be
    /// whole, as the file has them, and are sorted as numbers.
    ///
    /// If a file lacks a class, the others get new numbers. So read a test file with the training file's classes, by
    /// [`labels_of`](Self::labels_of).
    ///
    /// # Errors
    /// [`Error::File`] if there is no such column, and naming the line of a field that is empty,
    /// or a number that is not whole, or not within 64 bits with a sign.
    pub fn labels(&self, column: &str) -> Result<Labels> {
        let filled = self.filled(column)?;
        let classes: Vec<String> = match &filled.column {
            Column::Text(text) => {
                if let Some(row) = text.iter().position(String::is_empty) {
                    let detail = "the field is empty; a class has a name";
                    return Err(self.fault(filled, row, detail));
                }
                text.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
            }
            Column::Number(_) => {
                let classes: BTreeSet<i64> = self.whole(filled)?.iter().copied().collect();
                classes.iter().map(i64::to_string).collect()
            }
        };
        let labels = self.labels_of(column, &classes)?;
        Ok(Labels { labels, classes })
    }

    /// A column as the given classes: the place of each row's field in `classes`, `[n]` u32.
    ///
    /// # Errors
    /// As [`labels`](Self::labels), and naming the line of a field that is no class.
    pub fn labels_of(&self, column: &str, classes: &[impl AsRef<str>]) -> Result<Tensor> {
        let unknown = |filled: &Filled, row: usize, field: &str| {
            let detail = format!("`{field}` is none of the {} classes", classes.len());
            self.fault(filled, row, detail)
        };
        let filled = self.filled(column)?;
        let places = self.places_of(column, classes)?.into_iter().enumerate();
        let label = |(row, place): (usize, Result<u32, String>)| {
            place.map_err(|field| unknown(filled, row, &field))
        };
        Tensor::u32([self.len()], places.map(label).collect::<Result<Vec<u32>>>()?)
    }

    /// The place of each row's field in `classes`, or the field if it is no class.
    pub(super) fn places_of(
        &self,
        column: &str,
        classes: &[impl AsRef<str>],
    ) -> Result<Vec<Result<u32, String>>> {
        let places: BTreeMap<&str, u32> = classes.iter().map(AsRef::as_ref).zip(0_u32..).collect();
        if places.len() != classes.len() {
            let detail = "a class is named more than once";
            return Err(Error::parameter("classes", classes.len(), detail));
        }
        let place = |field: &str| places.get(field).copied().ok_or_else(|| field.to_owned());
        let filled = self.filled(column)?;
        Ok(match &filled.column {
            Column::Text(text) => text.iter().map(|field| place(field)).collect(),
            Column::Number(_) => {
                self.whole(filled)?.iter().map(|value| place(&value.to_string())).collect()
            }
        })
    }

    /// The whole numbers of a column of numbers.
    pub(super) fn whole<'a>(&self, filled: &'a Filled) -> Result<&'a [i64]> {
        match &filled.exact {
            Exact::Whole(values) => Ok(values),
            Exact::Not { line, field } => {
                let detail = format!(
                    "{field} is no class: classes are text, or whole numbers of 64 bits with a sign"
                );
                Err(self.sources[filled.source].fault(&filled.name, (*line, detail)))
            }
        }
    }

    /// What is wrong with a row of a column.
    pub(super) fn fault(&self, filled: &Filled, row: usize, detail: impl Into<String>) -> Error {
        let source = &self.sources[filled.source];
        source.fault(&filled.name, (source.lines[row], detail.into()))
    }
}

/// There is no column of this name.
pub(super) fn no_such_column(file: &str, name: &str, names: &[String]) -> Error {
    let detail = format!("there is no such column; there are {}", listed(names));
    bad(file, &format!("column `{name}`"), detail)
}
