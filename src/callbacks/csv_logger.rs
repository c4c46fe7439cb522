//! A row of numbers per epoch in a CSV file.

use super::proof::{make_folder_of, prove_opened};
use super::state;
use super::state::wrong;
use crate::error::{Error, Result};
use crate::files::io;
use crate::train::{Callback, Control, Epoch, HookResult};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// Writes each epoch's logs as a row of a CSV file, as Keras' `CSVLogger`: `epoch,loss,accuracy,...`. Epochs count from
/// 0; the columns follow the order of the first epoch's logs. If a later epoch lacks a log, its field is `NA`. A row is
/// written as soon as its epoch ends, and numbers read back to the same f64. Missing folders are made; if the file
/// cannot be written, training ends before it begins.
///
/// If training goes on from a checkpoint, the file goes on too: rows written after the checkpoint are replaced.
#[derive(Debug)]
pub struct CsvLogger {
    path: PathBuf,
    separator: char,
    append: bool,
    log: Option<Log>,
    resumed: Option<Mark>,
}

/// How far a log has come.
#[derive(Debug)]
struct Mark {
    columns: Vec<String>,
    bytes: u64,
}

/// An open log.
#[derive(Debug)]
struct Log {
    file: File,
    /// Known from the first row on.
    columns: Option<Vec<String>>,
    /// The header of a file that is appended to.
    header: Option<String>,
    bytes: u64,
}

impl CsvLogger {
    /// Writes to `path`, with commas. A file that is there is replaced.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), separator: ',', append: false, log: None, resumed: None }
    }

    /// The separator between fields: `,`, `;`, a tab, ...
    #[must_use]
    pub const fn separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    /// Whether rows are added to a file that is there. Its header must be the same as the new one would be.
    #[must_use]
    pub const fn append(mut self, append: bool) -> Self {
        self.append = append;
        self
    }

    /// The file, ready for the next row.
    fn open(&mut self) -> Result<Log> {
        let fail = |cause| io(&self.path, cause);
        let known = std::fs::metadata(&self.path).map_or(0, |m| m.len());
        if let Some(Mark { columns, bytes }) = self.resumed.take().filter(|m| m.bytes <= known) {
            let mut file = OpenOptions::new().write(true).open(&self.path).map_err(fail)?;
            file.set_len(bytes).map_err(fail)?;
            file.seek(SeekFrom::End(0)).map_err(fail)?;
            return Ok(Log { file, columns: Some(columns), header: None, bytes });
        }
        if self.append && known > 0 {
            let mut reader = BufReader::new(File::open(&self.path).map_err(fail)?);
            let mut header = String::new();
            reader.read_line(&mut header).map_err(fail)?;
            reader.seek(SeekFrom::End(-1)).map_err(fail)?;
            let mut last = [0];
            reader.read_exact(&mut last).map_err(fail)?;
            let mut file = OpenOptions::new().append(true).open(&self.path).map_err(fail)?;
            let mut bytes = known;
            if last != *b"\n" {
                // The last row has no line end.
                file.write_all(b"\n").map_err(fail)?;
                bytes += 1;
            }
            let header = Some(header.trim_end_matches(['\r', '\n']).to_owned());
            return Ok(Log { file, columns: None, header, bytes });
        }
        make_folder_of(&self.path)?;
        let file = File::create(&self.path).map_err(fail)?;
        Ok(Log { file, columns: None, header: None, bytes: 0 })
    }

    /// A row without its line end.
    fn row<'f>(&self, fields: impl Iterator<Item = &'f str>) -> String {
        let fields: Vec<String> = fields.map(|field| quoted(field, self.separator)).collect();
        fields.join(&self.separator.to_string())
    }

    /// The rows that an epoch adds, with a header before the first one.
    fn rows(&self, log: &mut Log, epoch: &Epoch) -> Result<String> {
        let mut text = String::new();
        let columns = match &mut log.columns {
            Some(columns) => columns,
            none => {
                let columns: Vec<String> =
                    epoch.logs.iter().map(|(name, _)| name.clone()).collect();
                let names = std::iter::once("epoch").chain(columns.iter().map(String::as_str));
                let header = self.row(names);
                match &log.header {
                    Some(there) if *there != header => {
                        return Err(Error::File {
                            path: self.path.display().to_string(),
                            field: "header".into(),
                            detail: format!(
                                "it is `{there}`, but this training logs `{header}`; \
                                 log to another file, or do not append"
                            ),
                        });
                    }
                    Some(_) => {}
                    None => text = header + "\n",
                }
                none.insert(columns)
            }
        };
        let number = |name: &String| epoch.get(name).map_or("NA".into(), |v| format!("{v:?}"));
        let fields: Vec<String> =
            std::iter::once(epoch.epoch.to_string()).chain(columns.iter().map(number)).collect();
        text += &self.row(fields.iter().map(String::as_str));
        Ok(text + "\n")
    }
}

impl Callback for CsvLogger {
    fn name(&self) -> String {
        "CsvLogger".into()
    }

    fn check(&self) -> Result<()> {
        let c = self.separator;
        // Characters that can occur in a number or a name, or that have a special meaning.
        if c.is_alphanumeric() || "+-._\"\r\n".contains(c) {
            let detail = "a comma, a semicolon, a tab or the like: \
                          no letter, no digit, none of + - . _ \" and no line end";
            return Err(Error::parameter("CsvLogger separator", format!("{c:?}"), detail));
        }
        prove_opened(&self.path)
    }

    fn on_train_begin(&mut self, _control: &mut Control<'_>) -> HookResult {
        self.log = Some(self.open()?);
        Ok(())
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, _control: &mut Control<'_>) -> HookResult {
        let Some(mut log) = self.log.take() else { return Ok(()) };
        let text = self.rows(&mut log, epoch)?;
        log.file.write_all(text.as_bytes()).map_err(|cause| io(&self.path, cause))?;
        log.bytes += text.len() as u64;
        self.log = Some(log);
        Ok(())
    }

    fn on_train_end(&mut self, _control: &mut Control<'_>) -> HookResult {
        self.log = None;
        Ok(())
    }

    fn state(&self) -> Value {
        // Before the first row there is nothing to continue.
        match &self.log {
            Some(Log { columns: Some(columns), bytes, .. }) => {
                json!({ "columns": columns, "bytes": bytes })
            }
            _ => Value::Null,
        }
    }

    fn restore(&mut self, state: &Value) -> HookResult {
        if state.is_null() {
            return Ok(());
        }
        let columns = &state["columns"];
        let names = columns.as_array().and_then(|names| {
            names.iter().map(|name| name.as_str().map(String::from)).collect::<Option<Vec<_>>>()
        });
        let Some(columns) = names else {
            return Err(wrong("columns", "a list of names", columns).into());
        };
        let bytes = state::read_count(state, "bytes")? as u64;
        self.resumed = Some(Mark { columns, bytes });
        Ok(())
    }
}

/// A field as RFC 4180 writes it: in quotes if it contains the separator, a quote or a line end.
fn quoted(field: &str, separator: char) -> String {
    if field.contains([separator, '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.into()
    }
}
