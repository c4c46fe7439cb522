//! Columns of several tables in one.

use std::collections::HashMap;

use super::table::{Column, Exact, Filled, Source, Table};
use crate::error::{Error, Result};

impl Table {
    /// The columns of `other` beside those of this table, row by row: pandas'
    /// `concat([a, b], axis=1)`. Rows that belong together must be at the same place; if they are found
    /// by a key, use [`join_on`](Self::join_on).
    ///
    /// # Errors
    /// [`Error::Data`] if the tables have different numbers of rows, and for a name that both have.
    ///
    /// # Examples
    /// ```
    /// use wgrad::data::Csv;
    ///
    /// let homes = Csv::new().read_from("homes.csv", "area\n70\n55\n".as_bytes())?;
    /// let prices = Csv::new().read_from("prices.csv", "price\n210\n180\n".as_bytes())?;
    /// let both = homes.join(prices)?;
    /// assert_eq!(both.numbers(&["area", "price"])?.as_f32()?, [70.0, 210.0, 55.0, 180.0]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn join(self, other: Self) -> Result<Self> {
        if self.len() != other.len() {
            let detail = format!(
                "{} has {} rows, {} has {}; to find rows by a key, use join_on",
                self.files(),
                self.len(),
                other.files(),
                other.len()
            );
            return Err(Error::data("join", detail));
        }
        self.beside(other, "")
    }

    /// The columns of `other` beside those of this table: each row here gets those of the row there with the same field
    /// in the column `key`. Rows there that match no row here are left out. As in pandas:
    /// `a.merge(b, on=key, how="left", validate="m:1")`.
    ///
    /// # Errors
    /// [`Error::File`] if a table has no such column, for a key here that is not there, a key that comes
    /// twice there, and a key that is neither text nor a whole number; [`Error::Data`] for another name
    /// that both have.
    pub fn join_on(self, other: Self, key: &str) -> Result<Self> {
        let mut places = HashMap::new();
        let there = other.filled(key)?;
        for (row, field) in other.keys(there)?.into_iter().enumerate() {
            if let Some(first) = places.insert(field, row) {
                let line = other.sources[there.source].lines[first];
                let detail = format!("the row on line {line} has this key too");
                return Err(other.fault(there, row, detail));
            }
        }
        let here = self.filled(key)?;
        let mut rows = Vec::with_capacity(self.len());
        for (row, field) in self.keys(here)?.into_iter().enumerate() {
            let Some(&place) = places.get(&field) else {
                let detail = format!("`{field}` is no key of {}", other.files());
                return Err(self.fault(here, row, detail));
            };
            rows.push(place);
        }
        let other = other.select(&rows);
        self.beside(other, key)
    }

    /// All columns of both but `key` of the other.
    fn beside(mut self, other: Self, key: &str) -> Result<Self> {
        let (ours, theirs) = (self.files(), other.files());
        for mut filled in other.columns {
            if filled.name == key {
                continue;
            }
            if self.filled(&filled.name).is_ok() {
                let detail = format!("{ours} and {theirs} both have a column of this name");
                return Err(Error::data(filled.name, detail));
            }
            filled.source += self.sources.len();
            self.columns.push(filled);
        }
        self.sources.extend(other.sources);
        Ok(Self::of(self.sources, self.columns, self.index))
    }

    fn files(&self) -> String {
        let names: Vec<&str> = self.sources.iter().map(|source| &*source.name).collect();
        names.join(" + ")
    }

    /// A column's fields as keys.
    fn keys(&self, filled: &Filled) -> Result<Vec<String>> {
        match &filled.column {
            Column::Text(text) => Ok(text.clone()),
            Column::Number(_) => Ok(self.whole(filled)?.iter().map(i64::to_string).collect()),
        }
    }

    /// These rows, in this order.
    fn select(self, rows: &[usize]) -> Self {
        fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|&row| values[row].clone()).collect()
        }
        let source = |source: Source| Source { lines: pick(&source.lines, rows), ..source };
        let filled = |filled: Filled| {
            let (column, exact) = match (filled.column, filled.exact) {
                (Column::Text(text), exact) => (Column::Text(pick(&text, rows)), exact),
                (Column::Number(values), Exact::Whole(whole)) => {
                    (Column::Number(pick(&values, rows)), Exact::Whole(pick(&whole, rows)))
                }
                (Column::Number(values), exact) => (Column::Number(pick(&values, rows)), exact),
            };
            Filled { column, exact, ..filled }
        };
        Self::of(
            self.sources.into_iter().map(source).collect(),
            self.columns.into_iter().map(filled).collect(),
            self.index.map(|index| pick(&index, rows)),
        )
    }
}
