//! Columns that grow row by row.

use super::missing::Missing;
use super::number::Notation;
use super::table::{Column, ColumnType, Exact};

/// A column while its file is read. Its type is the one that was set, or that of its first field with
/// a value.
#[derive(Debug)]
pub(super) struct Filling<'a> {
    notation: Notation,
    missing: &'a Missing,
    cells: Cells,
}

#[derive(Debug)]
enum Cells {
    /// No field had a value yet: the line of each field, and its word for a missing value.
    Unknown(Vec<(u64, String)>),
    /// Numbers, and the rows that wait for the mean.
    Number {
        values: Vec<f32>,
        exact: Exact,
        gaps: Vec<usize>,
    },
    Text(Vec<String>),
}

impl Cells {
    const fn new(ty: ColumnType) -> Self {
        match ty {
            ColumnType::Number => {
                Self::Number { values: vec![], exact: Exact::Whole(vec![]), gaps: vec![] }
            }
            ColumnType::Text => Self::Text(vec![]),
        }
    }
}

/// A line, and what is wrong with its field of a column.
pub(super) type Fault = (u64, String);

impl<'a> Filling<'a> {
    /// An empty column, whose type may be set.
    pub fn new(ty: Option<ColumnType>, notation: Notation, missing: &'a Missing) -> Self {
        let cells = ty.map_or_else(|| Cells::Unknown(vec![]), Cells::new);
        Self { notation, missing, cells }
    }

    /// What happens to a field without a value.
    pub const fn missing(&self) -> &'a Missing {
        self.missing
    }

    /// Appends the field of the row on `line`, which has a value.
    pub fn push(&mut self, line: u64, field: &str) -> Result<(), Fault> {
        if matches!(self.cells, Cells::Unknown(_)) {
            let number = self.notation.number(field).is_some();
            self.decide(if number { ColumnType::Number } else { ColumnType::Text })?;
        }
        match &mut self.cells {
            Cells::Unknown(_) => {}
            Cells::Text(text) => text.push(field.to_owned()),
            Cells::Number { values, exact, .. } => {
                let Some(value) = self.notation.number(field) else {
                    let hint = match field.contains(',') && !self.notation.comma {
                        true => "; if commas are decimal, say so with Csv::decimal_comma",
                        false => "; if the column is text, say so with Csv::column",
                    };
                    return Err((line, no_number(field) + hint));
                };
                exact.push(self.notation.whole(field), line, field);
                values.push(value);
            }
        }
        Ok(())
    }

    /// Appends the field of the row on `line`, which has no value.
    pub fn push_missing(&mut self, line: u64, field: &str) -> Result<(), Fault> {
        match &mut self.cells {
            Cells::Unknown(fields) => fields.push((line, field.to_owned())),
            Cells::Text(text) => match self.missing {
                Missing::Fill(fill) => text.push(fill.clone()),
                Missing::Mean => {
                    let detail =
                        "the field is missing, and a column of text has no mean; use Missing::fill";
                    return Err((line, detail.into()));
                }
                Missing::Refuse | Missing::DropRow | Missing::Nan => text.push(field.to_owned()),
            },
            Cells::Number { values, exact, gaps } => match self.missing {
                Missing::Refuse | Missing::DropRow => {
                    let hint = "; Csv::missing says what to do with missing values";
                    return Err((line, no_number(field) + hint));
                }
                Missing::Fill(fill) => {
                    let plain = Notation::default();
                    let Some(value) = plain.number(fill) else {
                        let detail = format!(
                            "the field is missing, and the fill `{fill}` is no finite number"
                        );
                        return Err((line, detail));
                    };
                    exact.push(plain.whole(fill), line, fill);
                    values.push(value);
                }
                Missing::Mean | Missing::Nan => {
                    exact.push(None, line, "a missing value");
                    gaps.push(values.len());
                    values.push(f32::NAN);
                }
            },
        }
        Ok(())
    }

    /// Gives a column its type, and appends the missing fields before.
    fn decide(&mut self, ty: ColumnType) -> Result<(), Fault> {
        let Cells::Unknown(fields) = std::mem::replace(&mut self.cells, Cells::new(ty)) else {
            return Ok(());
        };
        fields.iter().try_for_each(|(line, field)| self.push_missing(*line, field))
    }

    /// The column, its means filled in. `lines` are those of its rows.
    pub fn finish(mut self, lines: &[u64]) -> Result<(Column, Exact), Fault> {
        if matches!(self.cells, Cells::Unknown(_)) {
            let number = match self.missing {
                Missing::Refuse | Missing::DropRow => false,
                Missing::Fill(fill) => Notation::default().number(fill).is_some(),
                Missing::Mean | Missing::Nan => true,
            };
            self.decide(if number { ColumnType::Number } else { ColumnType::Text })?;
        }
        match self.cells {
            Cells::Unknown(_) => Ok((Column::Text(vec![]), Exact::none())),
            Cells::Text(text) => Ok((Column::Text(text), Exact::none())),
            Cells::Number { mut values, exact, gaps } => {
                if let (Missing::Mean, Some(&row)) = (self.missing, gaps.first()) {
                    let Some(mean) = mean(&values) else {
                        return Err((lines[row], "no field has a value: there is no mean".into()));
                    };
                    gaps.into_iter().for_each(|row| values[row] = mean as f32);
                }
                Ok((Column::Number(values), exact))
            }
        }
    }
}

/// The mean of the values that are no NaN.
pub(super) fn mean(values: &[f32]) -> Option<f64> {
    let known = || values.iter().filter(|value| !value.is_nan()).map(|&value| f64::from(value));
    let count = known().count();
    (count > 0).then(|| known().sum::<f64>() / count as f64)
}

pub(super) fn no_number(field: &str) -> String {
    match field {
        "" => "the field is empty where a number is expected".into(),
        field => format!("`{field}` is no finite number"),
    }
}
