//! The records of a file.

use std::io::{Chain, Read};

use ::csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, Terminator};

use super::bad;
use super::quotes::Quotes;
use crate::error::{Error, Result};

/// The records of a file and the lines they start on.
pub(super) struct Rows<'a, R> {
    name: &'a str,
    delimiter: u8,
    reader: Reader<Chain<Quotes<R>, &'static [u8]>>,
    pub record: ByteRecord,
}

impl<'a, R: Read> Rows<'a, R> {
    /// Only a line feed ends a record, since the parser counts lines by them, and `Quotes` turns every line end into
    /// one. One more at the end makes sure that the last record has one too.
    pub fn new(name: &'a str, delimiter: u8, reader: R) -> Self {
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .terminator(Terminator::Any(b'\n'))
            .has_headers(false)
            .flexible(true)
            .from_reader(Quotes::new(reader, delimiter).chain(&b"\n"[..]));
        Self { name, delimiter, reader, record: ByteRecord::new() }
    }

    /// Reads the next record that is no empty line, and gives the line on which it starts.
    pub fn next(&mut self) -> Result<Option<u64>> {
        let before = self.reader.position().line();
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => self.check_quotes()?,
            Ok(false) => return Ok(None),
            Err(error) => return Err(self.broken(error)),
        }
        // The lines passed are the empty ones before the record, those within it, and its own end.
        let passed = self.reader.position().line() - before;
        let within = self.record.as_slice().iter().filter(|&&byte| byte == b'\n').count();
        Ok(Some(before + passed.saturating_sub(within as u64 + 1)))
    }

    /// The fields of the record on `line`, without white space around them: as many as there are
    /// `names`. `what` has the names: the header, or the caller.
    pub fn fields(&self, line: u64, names: &[String], what: &str) -> Result<Vec<&str>> {
        let (found, expected) = (self.record.len(), names.len());
        if found != expected {
            let column = match names.get(found) {
                Some(missing) => format!("column `{missing}`"),
                None => format!("column {}", expected + 1),
            };
            let mut detail = format!("the row has {found} fields, {what} {expected}");
            if let Some(hint) = self.other_delimiter().filter(|_| found == 1) {
                detail = format!("{detail}: {hint}");
            }
            return Err(bad(self.name, &format!("line {line}, {column}"), detail));
        }
        let field = |(bytes, name)| {
            text(bytes)
                .ok_or_else(|| bad(self.name, &format!("line {line}, column `{name}`"), NOT_UTF8))
        };
        self.record.iter().zip(names).map(field).collect()
    }

    /// Which other byte seems to be between the fields of this record, and what to do.
    pub fn other_delimiter(&self) -> Option<String> {
        let text = self.record.as_slice();
        let count = |byte: u8| text.iter().filter(|&&other| other == byte).count();
        let others = [b',', b';', b'\t', b'|'].into_iter().filter(|&byte| byte != self.delimiter);
        let byte = others.filter(|&byte| count(byte) > 0).max_by_key(|&byte| count(byte))?;
        let (here, shown) = (self.delimiter.escape_ascii(), byte.escape_ascii());
        Some(format!(
            "the delimiter is `{here}`, but the line has {} `{shown}`; set it with Csv::delimiter(b'{shown}')",
            count(byte)
        ))
    }

    /// Refuses a record with a quote that is never closed: its field has taken in all rows below.
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

pub(super) const NOT_UTF8: &str = "the field is not UTF-8; save the file as UTF-8";

/// A field without white space around it.
pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().map(str::trim)
}
