//! Fields without a value.

/// What [`Csv`](super::Csv) does with a field that has no value.
///
/// A field has none if it is empty, or one of pandas' words for it: `NA`, `N/A`, `n/a`, `<NA>`, `NaN`, `nan`, `-NaN`,
/// `-nan`, `NULL`, `null`, `None`, `#N/A`, `#NA`; more can be named with
/// [`Csv::missing_value`](super::Csv::missing_value).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// An error in a column of numbers. A column of text keeps the field as it is, and an empty one
    /// is no class.
    Refuse,
    /// Leaves out the row.
    DropRow,
    /// Puts this in its place: a number with a decimal point, or text. See [`Missing::fill`].
    Fill(String),
    /// Puts the mean of the column's other numbers in its place; an error in a column of text. A
    /// test file needs the mean of the training file:
    /// `csv.missing_in("age", Missing::fill(train.mean("age")?))`.
    Mean,
    /// NaN in a column of numbers; a column of text keeps the field as it is. A
    /// [`TensorDataset`](crate::data::TensorDataset) takes NaN only if it is built with
    /// `new_allow_non_finite`.
    Nan,
}

impl Missing {
    /// Puts `value` in the place of a missing field: a number, or the name of a class.
    #[must_use]
    pub fn fill(value: impl std::fmt::Display) -> Self {
        Self::Fill(value.to_string())
    }
}

/// Words for no value, beside the empty field.
const WORDS: [&str; 13] = [
    "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "#N/A", "#NA",
];

/// Whether a field has no value; `more` are further words for that.
pub(super) fn is_missing(field: &str, more: &[String]) -> bool {
    field.is_empty() || WORDS.contains(&field) || more.iter().any(|word| word == field)
}
