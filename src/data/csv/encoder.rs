//! Columns of numbers and of text as one tensor of features.

use super::table::{Column, Table};
use crate::data::saved::Saved;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use serde_json::{Value, json};

/// What the JSON says that it is.
const KIND: &str = "TableEncoder";

/// Turns columns of a table into features: a column of numbers stays as it is, a column of text becomes one-hot, a
/// feature for each of its classes (pandas' `get_dummies`). The classes are those of the fitted table, so that test
/// data and later data have the same features in the same order.
///
/// A column of numbers that are names, such as postal codes, is text if
/// [`Csv::column`](super::Csv::column) says so.
///
/// # Examples
/// ```
/// use wgrad::data::{Csv, TableEncoder};
///
/// let csv = Csv::new();
/// let train = csv.read_from("train.csv", "area,town\n70,Jena\n55,Halle\n".as_bytes())?;
/// let (encoder, x) = TableEncoder::fit_transform(&train, &["area", "town"])?;
/// assert_eq!(encoder.names(), ["area", "town=Halle", "town=Jena"]);
/// assert_eq!(x.as_f32()?, [70.0, 0.0, 1.0, 55.0, 1.0, 0.0]);
///
/// let test = csv.read_from("test.csv", "area,town\n60,Jena\n".as_bytes())?;
/// assert_eq!(encoder.transform(&test)?.as_f32()?, [60.0, 0.0, 1.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEncoder {
    parts: Vec<Part>,
    unknown_as_zeros: bool,
}

/// A column, and its classes if it has text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    column: String,
    classes: Option<Vec<String>>,
}

impl Part {
    fn width(&self) -> usize {
        self.classes.as_ref().map_or(1, Vec::len)
    }
}

impl TableEncoder {
    /// Learns the classes of `columns`, in the order given.
    ///
    /// # Errors
    /// [`Error::File`] if there is no such column, and for an empty field in a column of text;
    /// [`Error::Parameter`] if no column is named.
    pub fn fit(table: &Table, columns: &[impl AsRef<str>]) -> Result<Self> {
        if columns.is_empty() {
            return Err(Error::parameter("columns", "[]", "must name at least one column"));
        }
        let part = |name: &str| {
            let classes = match table.column(name)? {
                Column::Number(_) => None,
                Column::Text(_) => Some(table.labels(name)?.classes),
            };
            Ok(Part { column: name.to_owned(), classes })
        };
        let parts = columns.iter().map(|name| part(name.as_ref())).collect::<Result<_>>()?;
        Ok(Self { parts, unknown_as_zeros: false })
    }

    /// The features of `table`: `[n, features]` f32.
    ///
    /// # Errors
    /// [`Error::File`] if a column is missing or of the other type, and naming the line of a class that
    /// was not fitted, unless [`unknown_as_zeros`](Self::unknown_as_zeros).
    pub fn transform(&self, table: &Table) -> Result<Tensor> {
        let width: usize = self.parts.iter().map(Part::width).sum();
        let mut x = vec![0.0; table.len() * width];
        let mut start = 0;
        for part in &self.parts {
            let rows = x.chunks_exact_mut(width).map(|row| &mut row[start..start + part.width()]);
            match &part.classes {
                None => {
                    let values = table.numbers_of(&part.column)?;
                    rows.zip(values).for_each(|(row, &value)| row[0] = value);
                }
                Some(classes) => {
                    for (row, place) in rows.zip(self.places(table, &part.column, classes)?) {
                        if let Some(place) = place {
                            row[place as usize] = 1.0;
                        }
                    }
                }
            }
            start += part.width();
        }
        Tensor::f32([table.len(), width], x)
    }

    /// The place of each row's class; `None` for a class that is not known, if that is allowed.
    fn places(&self, table: &Table, column: &str, classes: &[String]) -> Result<Vec<Option<u32>>> {
        let filled = table.filled(column)?;
        if matches!(filled.column, Column::Number(_)) {
            let detail = "the column has numbers here and text where the encoder was fitted; \
                          Csv::column(name, ColumnType::Text) makes it text";
            return Err(table.fault(filled, 0, detail));
        }
        let known = |(row, place): (usize, Result<u32, String>)| match place {
            Ok(place) => Ok(Some(place)),
            Err(_) if self.unknown_as_zeros => Ok(None),
            Err(field) => {
                let count = classes.len();
                let detail = format!(
                    "`{field}` is none of the {count} classes that were fitted; \
                     TableEncoder::unknown_as_zeros lets it through"
                );
                Err(table.fault(filled, row, detail))
            }
        };
        table.places_of(column, classes)?.into_iter().enumerate().map(known).collect()
    }

    /// Fits an encoder to `table` and encodes `table` with it.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_transform(table: &Table, columns: &[impl AsRef<str>]) -> Result<(Self, Tensor)> {
        let encoder = Self::fit(table, columns)?;
        let x = encoder.transform(table)?;
        Ok((encoder, x))
    }

    /// A class that was not fitted becomes zeros, and is no error.
    #[must_use]
    pub const fn unknown_as_zeros(mut self) -> Self {
        self.unknown_as_zeros = true;
        self
    }

    /// A name for each feature: `area`, `town=Halle`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = |part: &Part| match &part.classes {
            None => vec![part.column.clone()],
            Some(classes) => classes.iter().map(|c| format!("{}={c}", part.column)).collect(),
        };
        self.parts.iter().flat_map(names).collect()
    }

    /// The classes of a column of text.
    #[must_use]
    pub fn classes(&self, column: &str) -> Option<&[String]> {
        self.parts.iter().find(|part| part.column == column)?.classes.as_deref()
    }

    /// The encoder as JSON, from which [`from_json`](Self::from_json) makes the same one:
    /// `{"kind":"TableEncoder","columns":[{"column":"town","classes":["Halle","Jena"]}],"unknown_as_zeros":false}`.
    /// The classes of a column of numbers are `null`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let part = |part: &Part| json!({ "column": part.column, "classes": part.classes });
        json!({
            "kind": KIND,
            "columns": self.parts.iter().map(part).collect::<Vec<_>>(),
            "unknown_as_zeros": self.unknown_as_zeros,
        })
        .to_string()
    }

    /// Makes the encoder again from what [`to_json`](Self::to_json) gave.
    ///
    /// # Errors
    /// [`Error::Data`] for another text.
    pub fn from_json(text: &str) -> Result<Self> {
        let saved = Saved::parse(KIND, text)?;
        let string = |value: &Value| value.as_str().map(str::to_owned);
        let part = |value: &Value| {
            let classes = match &value["classes"] {
                Value::Null => None,
                classes => {
                    Some(classes.as_array()?.iter().map(string).collect::<Option<Vec<_>>>()?)
                }
            };
            let mut sorted = classes.clone().unwrap_or_default();
            sorted.sort_unstable();
            sorted.dedup();
            // No class comes twice, and a column of text has at least one.
            let sound = classes.as_ref().is_none_or(|c| !c.is_empty() && c.len() == sorted.len());
            sound.then_some(Part { column: string(&value["column"])?, classes })
        };
        let columns = saved.value["columns"].as_array().filter(|columns| !columns.is_empty());
        let parts = columns
            .and_then(|columns| columns.iter().map(part).collect())
            .ok_or_else(|| saved.wrong("`columns` is no list of columns with their classes"))?;
        let unknown_as_zeros = saved.value["unknown_as_zeros"]
            .as_bool()
            .ok_or_else(|| saved.wrong("`unknown_as_zeros` is neither true nor false"))?;
        Ok(Self { parts, unknown_as_zeros })
    }
}
