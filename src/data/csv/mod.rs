//! Tables from CSV files.

mod encoder;
mod fill;
mod header;
mod join;
mod missing;
mod number;
mod quotes;
mod rows;
mod table;

pub use encoder::TableEncoder;
pub use missing::Missing;
pub use table::{Column, ColumnType, Labels, Table};

use std::collections::HashMap;
use std::io::Read;

use crate::error::{Error, Result};
use fill::Filling;
use missing::is_missing;
use number::Notation;
use rows::Rows;
use table::{Columns, Source};

/// How a CSV file is read.
///
/// # Examples
/// ```
/// use wgrad::data::{ColumnType, Csv};
///
/// let text = "zip;area;price\n01067;70,5;1.210\n04103;55;980\n";
/// let csv = Csv::new().delimiter(b';').decimal_comma().thousands('.');
/// let csv = csv.column("zip", ColumnType::Text);
/// let homes = csv.read_from("homes.csv", text.as_bytes())?;
/// assert_eq!(homes.labels("zip")?.classes, ["01067", "04103"]);
/// assert_eq!(homes.numbers(&["area", "price"])?.as_f32()?, [70.5, 1210.0, 55.0, 980.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
///
/// A file without a header, and with `?` for what is not known:
/// ```
/// use wgrad::data::{Csv, Missing};
///
/// let text = "5.1,3.5,setosa\n?,3.0,setosa\n4.9,3.1,virginica\n";
/// let csv = Csv::new().names(["length", "width", "species"]);
/// let csv = csv.missing_value("?").missing(Missing::Mean);
/// let iris = csv.read_from("iris.data", text.as_bytes())?;
/// assert_eq!(iris.numbers(&["length"])?.as_f32()?, [5.1, 5.0, 4.9]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csv {
    delimiter: u8,
    header: Option<bool>,
    names: Vec<String>,
    notation: Notation,
    types: Vec<(String, ColumnType)>,
    missing: Missing,
    missing_in: Vec<(String, Missing)>,
    missing_values: Vec<String>,
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            delimiter: b',',
            header: None,
            names: vec![],
            notation: Notation::default(),
            types: vec![],
            missing: Missing::Refuse,
            missing_in: vec![],
            missing_values: vec![],
        }
    }
}

impl Csv {
    /// Fields between commas below a header of names; no value may be missing. A column is one of
    /// numbers if its first field with a value is a finite number, else one of text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The byte between fields, a comma unless set.
    #[must_use]
    pub const fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Whether the first row has the columns' names. Without a header the names are `0`, `1`, and so
    /// on, or those of [`Csv::names`].
    ///
    /// Unless this is said, the first row is the header, and a row that looks like data is refused: if
    /// all its fields are numbers, or one is a number that is not whole, or if one is text that comes
    /// again in its column, while a column of numbers has a number as its name or all columns are such
    /// text. A number as a name, such as a year, gives a warning.
    #[must_use]
    pub const fn header(mut self, header: bool) -> Self {
        self.header = Some(header);
        self
    }

    /// The names of all columns, for a file without a header. With `header(true)` they take the place
    /// of the file's own.
    #[must_use]
    pub fn names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Numbers have a decimal comma: `1,5` is one and a half.
    #[must_use]
    pub const fn decimal_comma(mut self) -> Self {
        self.notation.comma = true;
        self
    }

    /// Numbers may have this mark between groups of three digits: with `'.'` and a decimal comma
    /// `1.234,5` is 1234.5, and `1.5` is no number.
    #[must_use]
    pub const fn thousands(mut self, mark: char) -> Self {
        self.notation.thousands = Some(mark);
        self
    }

    /// Sets a column's type, whatever its fields are: postal codes, say, are text.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>, ty: ColumnType) -> Self {
        self.types.push((name.into(), ty));
        self
    }

    /// What to do with missing values in all columns that [`Csv::missing_in`] does not name.
    #[must_use]
    pub fn missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }

    /// What to do with missing values in one column.
    #[must_use]
    pub fn missing_in(mut self, column: impl Into<String>, missing: Missing) -> Self {
        self.missing_in.push((column.into(), missing));
        self
    }

    /// A further word for a missing value, beside those of [`Missing`]: `?`, or `-9999`.
    #[must_use]
    pub fn missing_value(mut self, word: impl Into<String>) -> Self {
        self.missing_values.push(word.into());
        self
    }

    /// Reads a file: a header of column names, then a row of as many fields per line. Quotes may
    /// enclose a field; white space around a field is dropped. Lines end with LF, CR LF or CR.
    ///
    /// A first column without a name is an index, as pandas and R write it. It is no column of the
    /// table; [`Table::index`] has it.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::File`] naming line and column for an
    /// empty file, no rows, an empty or repeated name, a header that seems to be data, another
    /// delimiter, a row with more or fewer fields than the header, a quote that is never closed, text
    /// that is not UTF-8, a field that is no finite number in a column of numbers, a missing value
    /// that is not provided for, and a column that is not there; [`Error::Parameter`] for a delimiter
    /// or separator that cannot be one.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self, path: impl AsRef<std::path::Path>) -> Result<Table> {
        let name = path.as_ref().display().to_string();
        match std::fs::File::open(path) {
            Ok(file) => self.read_from(&name, file),
            Err(cause) => Err(Error::Io { path: name, cause }),
        }
    }

    /// Reads from any reader what `read` reads from a file; `name` is the file's in messages.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read_from(&self, name: &str, reader: impl Read) -> Result<Table> {
        self.check()?;
        let mut rows = Rows::new(name, self.delimiter, reader);
        let Some(mut line) = rows.next()? else {
            let detail = "the file is empty; a header of column names is expected";
            return Err(bad(name, "line 1", detail));
        };
        let header = self.header.unwrap_or(self.names.is_empty());
        let names = self.column_names(name, line, &rows, header)?;
        // A header in one piece is split by another delimiter, if the first row is too.
        let other = rows.other_delimiter().filter(|_| self.names.is_empty() && names.len() == 1);
        let header_line = line;
        let mut more = !header;
        if header && let Some(next) = rows.next()? {
            (line, more) = (next, true);
        }
        if let Some(hint) = other.filter(|_| more && rows.other_delimiter().is_some()) {
            return Err(bad(name, &format!("line {header_line}"), hint));
        }
        let what = if self.names.is_empty() && header { "the header" } else { "the names are" };
        let own = usize::from(names[0].is_empty());
        let mut columns = self.columns(name, &names[own..])?;
        let (mut index, mut source) = (vec![], Source { name: name.into(), lines: vec![] });
        while more {
            let fields = rows.fields(line, &names, what)?;
            if !self.drops(&columns, &fields[own..]) {
                source.lines.push(line);
                index.extend(fields[..own].iter().map(|&field| field.to_owned()));
                for (i, &field) in fields[own..].iter().enumerate() {
                    let pushed = match is_missing(field, &self.missing_values) {
                        true => columns[i].push_missing(line, field),
                        false => columns[i].push(line, field),
                    };
                    pushed.map_err(|fault| source.fault(&names[own + i], fault))?;
                }
            }
            match rows.next()? {
                Some(next) => line = next,
                None => more = false,
            }
        }
        if source.lines.is_empty() {
            let (place, detail) = match line == header_line && header {
                true => (line + 1, "there are no rows below the header"),
                false => (header_line, "a value is missing in every row, so that none is left"),
            };
            return Err(bad(name, &format!("line {place}"), detail));
        }
        let finished = columns.into_iter().zip(&names[own..]);
        let finished = finished
            .map(|(c, name)| c.finish(&source.lines).map_err(|fault| source.fault(name, fault)));
        let filled: Columns = finished.collect::<Result<_>>()?;
        if self.header.is_none() && self.names.is_empty() {
            header::check_columns(name, header_line, &names[own..], &filled, self.notation)?;
        }
        Ok(Table::new(source, names[own..].to_vec(), filled, (own > 0).then_some(index)))
    }

    /// Refuses settings that cannot be told apart in a file.
    fn check(&self) -> Result<()> {
        if matches!(self.delimiter, b'"' | b'\n' | b'\r') {
            let detail = "is no delimiter: it quotes a field or ends a line";
            return Err(Error::parameter("delimiter", self.delimiter.escape_ascii(), detail));
        }
        header::check_given(&self.names)?;
        self.notation.check()
    }

    /// The columns' names: the caller's, the header's, or numbers.
    fn column_names(
        &self,
        file: &str,
        line: u64,
        rows: &Rows<'_, impl Read>,
        header: bool,
    ) -> Result<Vec<String>> {
        if !self.names.is_empty() {
            return Ok(self.names.clone());
        }
        if !header {
            return Ok((0..rows.record.len()).map(|i| i.to_string()).collect());
        }
        let names = header::names_of(file, line, &rows.record)?;
        if self.header.is_none() {
            header::check_no_data(file, line, &names, self.notation)?;
        }
        Ok(names)
    }

    /// An empty column for each name, with what was set for it.
    fn columns(&self, file: &str, names: &[String]) -> Result<Vec<Filling<'_>>> {
        let places: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
        let mut types = vec![None; names.len()];
        let mut missing = vec![&self.missing; names.len()];
        let place = |name: &str| {
            let place = places.get(name).copied();
            place.ok_or_else(|| table::no_such_column(file, name, names))
        };
        for (name, ty) in &self.types {
            types[place(name)?] = Some(*ty);
        }
        for (name, own) in &self.missing_in {
            missing[place(name)?] = own;
        }
        let column = |(ty, missing)| Filling::new(ty, self.notation, missing);
        Ok(types.into_iter().zip(missing).map(column).collect())
    }

    /// Whether a row is left out.
    fn drops(&self, columns: &[Filling<'_>], fields: &[&str]) -> bool {
        let dropped = |(column, field): (&Filling<'_>, &&str)| {
            *column.missing() == Missing::DropRow && is_missing(field, &self.missing_values)
        };
        columns.iter().zip(fields).any(dropped)
    }
}

/// Reads a CSV file with [`Csv`]'s defaults.
///
/// # Errors
/// Those of [`Csv::read`].
///
/// # Examples
/// ```no_run
/// use wgrad::data::{TensorDataset, read_csv};
///
/// let iris = read_csv("iris.csv")?;
/// let x = iris.numbers(&["sepal_length", "sepal_width", "petal_length", "petal_width"])?;
/// let species = iris.labels("species")?;
/// let data = TensorDataset::new(x, species.labels)?;
/// println!("{} flowers of {}", data.len(), species.classes.join(", "));
/// # Ok::<(), wgrad::Error>(())
/// ```
#[cfg(not(target_arch = "wasm32"))]
pub fn read_csv(path: impl AsRef<std::path::Path>) -> Result<Table> {
    Csv::new().read(path)
}

fn bad(file: &str, field: &str, detail: impl Into<String>) -> Error {
    Error::File { path: file.into(), field: field.into(), detail: detail.into() }
}
