//! Tables from CSV files.

mod quotes;
mod table;

pub use table::{Column, ColumnType, Labels, Table};

use std::io::{Chain, Read};

use ::csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, Terminator};

use crate::error::{Error, Result};
use quotes::Quotes;
use table::{number, place};

/// How a CSV file is read.
///
/// # Examples
/// ```
/// use wgrad::data::{ColumnType, Csv};
///
/// let text = "zip;area;price\n01067;70;210\n04103;55;180\n";
/// let csv = Csv::new().delimiter(b';').column("zip", ColumnType::Text);
/// let homes = csv.read_from("homes.csv", text.as_bytes())?;
/// assert_eq!(homes.labels("zip")?.classes, ["01067", "04103"]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csv {
    delimiter: u8,
    types: Vec<(String, ColumnType)>,
}

impl Default for Csv {
    fn default() -> Self {
        Self { delimiter: b',', types: vec![] }
    }
}

impl Csv {
    /// Fields between commas. A column is one of numbers where the first row has a finite number,
    /// else one of text.
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

    /// Sets a column's type, whatever its first row has: postal codes, say, are text.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>, ty: ColumnType) -> Self {
        self.types.push((name.into(), ty));
        self
    }

    /// Reads a file: a header of column names, then a row of as many fields per line. Quotes may
    /// enclose a field; white space around a field is dropped.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read; [`Error::File`] naming line and column for an
    /// empty file, no rows, an empty or repeated name, a row with more or fewer fields than the
    /// header, a quote that is never closed, text that is not UTF-8, a field that is no finite number in a column of numbers,
    /// and a type set for a column that is not there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self, path: impl AsRef<std::path::Path>) -> Result<Table> {
        let name = path.as_ref().display().to_string();
        match std::fs::File::open(path) {
            Ok(file) => self.read_from(&name, file),
            Err(cause) => Err(Error::Io { path: name, cause }),
        }
    }

    /// Reads from any reader what `read` reads from a file; `name` stands in the messages.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read_from(&self, name: &str, reader: impl Read) -> Result<Table> {
        let mut rows = Rows::new(name, self.delimiter, reader);
        let Some(line) = rows.next()? else {
            let detail = "the file is empty; a header of column names is expected";
            return Err(bad(name, "line 1", detail));
        };
        let names = column_names(name, line, &rows.record)?;
        for (column, _) in &self.types {
            place(name, &names, column)?;
        }
        let mut table = Table::new(name, names);
        while let Some(line) = rows.next()? {
            let fields = fields(name, line, table.names(), &rows.record)?;
            if table.is_empty() {
                table.set_types(&self.types_of(table.names(), &fields));
            }
            table.push(line, &fields)?;
        }
        if table.is_empty() {
            let field = format!("line {}", line + 1);
            return Err(bad(name, &field, "there are no rows below the header"));
        }
        Ok(table)
    }

    /// The columns' types: those that were set, or else those that the first row has.
    fn types_of(&self, names: &[String], first: &[&str]) -> Vec<ColumnType> {
        let column = |(name, field): (&String, &&str)| {
            let set = self.types.iter().rfind(|(column, _)| column == name);
            let found = if number(field).is_some() { ColumnType::Number } else { ColumnType::Text };
            set.map_or(found, |(_, ty)| *ty)
        };
        names.iter().zip(first).map(column).collect()
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

/// The records of a file and the lines they start on.
struct Rows<'a, R> {
    name: &'a str,
    reader: Reader<Chain<Quotes<R>, &'static [u8]>>,
    record: ByteRecord,
}

impl<'a, R: Read> Rows<'a, R> {
    /// Records end with a line feed alone, since the parser counts lines by them; what Windows puts
    /// before it is white space to the fields. One more at the end makes sure that each record,
    /// the last too, has its own.
    fn new(name: &'a str, delimiter: u8, reader: R) -> Self {
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .has_headers(false)
            .flexible(true)
            .from_reader(Quotes::new(reader, delimiter).chain(&b"\n"[..]));
        Self { name, reader, record: ByteRecord::new() }
    }

    /// Reads the next record that is no empty line, and gives the line on which it starts.
    fn next(&mut self) -> Result<Option<u64>> {
        loop {
            let before = self.reader.position().line();
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) => self.check_quotes()?,
                Ok(false) => return Ok(None),
                Err(error) => return Err(self.broken(error)),
            }
            if self.record.as_slice() == b"\r" {
                continue;
            }
            // Lines passed are empty ones before the record, those within it, and its own end.
            let passed = self.reader.position().line() - before;
            let within = self.record.as_slice().iter().filter(|&&byte| byte == b'\n').count();
            return Ok(Some(before + passed.saturating_sub(within as u64 + 1)));
        }
    }

    /// Refuses a record in a quote that is never closed: it has taken all rows below into its field.
    fn check_quotes(&self) -> Result<()> {
        let Some(line) = self.reader.get_ref().get_ref().0.open_at_end() else { return Ok(()) };
        let detail = "a quote opens here and is never closed";
        Err(bad(self.name, &format!("line {line}"), detail))
    }

    fn broken(&self, error: ::csv::Error) -> Error {
        let words = error.to_string();
        match error.into_kind() {
            ErrorKind::Io(cause) => Error::Io { path: self.name.into(), cause },
            _ => bad(self.name, "rows", words),
        }
    }
}

/// The fields of a row, without white space around them: as many as there are names.
fn fields<'a>(
    file: &str,
    line: u64,
    names: &[String],
    record: &'a ByteRecord,
) -> Result<Vec<&'a str>> {
    let (found, expected) = (record.len(), names.len());
    if found != expected {
        let column = match names.get(found) {
            Some(missing) => format!("column `{missing}`"),
            None => format!("column {}", expected + 1),
        };
        let detail = format!("the row has {found} fields, the header {expected}");
        return Err(bad(file, &format!("line {line}, {column}"), detail));
    }
    let field = |(bytes, name)| {
        text(bytes).ok_or_else(|| bad(file, &format!("line {line}, column `{name}`"), NOT_UTF8))
    };
    record.iter().zip(names).map(field).collect()
}

/// The header's names, each of them once.
fn column_names(file: &str, line: u64, record: &ByteRecord) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(record.len());
    for (i, bytes) in record.iter().enumerate() {
        let field = format!("line {line}, column {}", i + 1);
        let name = text(bytes).ok_or_else(|| bad(file, &field, NOT_UTF8))?;
        if name.is_empty() {
            return Err(bad(file, &field, "the header gives no name to this column"));
        }
        if let Some(first) = names.iter().position(|other| other == name) {
            let detail = format!("`{name}` is the name of column {} already", first + 1);
            return Err(bad(file, &field, detail));
        }
        names.push(name.into());
    }
    Ok(names)
}

const NOT_UTF8: &str = "the field is not UTF-8; save the file as UTF-8";

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().map(str::trim)
}

fn bad(file: &str, field: &str, detail: impl Into<String>) -> Error {
    Error::File { path: file.into(), field: field.into(), detail: detail.into() }
}
