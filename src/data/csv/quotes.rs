//! The bytes of a CSV file with line feeds as line ends, and which quote is open at the end.

use std::io::{Read, Result};

/// The place of the bytes in a field, by the parser's rules: a quote opens a field only at its start, and in a field
/// that one opened, two quotes are one of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Plain,
    Quoted,
    /// After a quote in a quoted field: it closes the field, or is the first of two.
    Quote,
}

/// Hands bytes on, makes every line end (CR LF, or CR alone) a line feed, and follows the quotes. If the file ends in a
/// quoted field, the parser ends the field there, and does not say that the quote was open.
#[derive(Debug)]
pub(super) struct Quotes<R> {
    inner: R,
    delimiter: u8,
    state: State,
    /// The number of bytes so far; the first three may be a byte order mark.
    bytes: usize,
    line: u64,
    /// The line of the last quote that opened a field.
    opened: u64,
    ended: bool,
    /// Whether the last byte was a carriage return: a line feed after it is the same line end.
    returned: bool,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl<R> Quotes<R> {
    /// Follows what `inner` gives.
    pub fn new(inner: R, delimiter: u8) -> Self {
        let state = State::Start;
        Self {
            inner,
            delimiter,
            state,
            bytes: 0,
            line: 1,
            opened: 0,
            ended: false,
            returned: false,
        }
    }

    /// The line of the quote that is still open after the last byte; `None` before that one was read.
    pub fn open_at_end(&self) -> Option<u64> {
        (self.ended && self.state == State::Quoted).then_some(self.opened)
    }

    fn follow(&mut self, byte: u8) {
        let mark = BYTE_ORDER_MARK.get(self.bytes) == Some(&byte);
        self.bytes += 1;
        let ends = byte == b'\n' || byte == self.delimiter;
        self.state = match self.state {
            State::Start if byte == b'"' => {
                self.opened = self.line;
                State::Quoted
            }
            State::Quoted if byte == b'"' => State::Quote,
            State::Quoted => State::Quoted,
            State::Quote if byte == b'"' => State::Quoted,
            State::Start if mark => State::Start,
            _ if ends => State::Start,
            _ => State::Plain,
        };
        self.line += u64::from(byte == b'\n');
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let read = self.inner.read(buffer)?;
            self.ended = read == 0 && !buffer.is_empty();
            let mut kept = 0;
            for i in 0..read {
                let byte = buffer[i];
                let second = std::mem::replace(&mut self.returned, byte == b'\r') && byte == b'\n';
                if !second {
                    buffer[kept] = if byte == b'\r' { b'\n' } else { byte };
                    self.follow(buffer[kept]);
                    kept += 1;
                }
            }
            // No byte means the end of the file to the parser.
            if kept > 0 || read == 0 {
                return Ok(kept);
            }
        }
    }
}
