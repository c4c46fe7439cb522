//! TensorBoard's `Event` messages in protobuf's encoding. Field numbers are those of `event.proto` and
//! `summary.proto`.

/// Protobuf's wire types.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

/// A message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// Seven bits per byte, the lowest first; the high bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, wire: Wire) {
        self.varint(field << 3 | wire as u64);
    }

    fn unsigned(mut self, field: u64, value: u64) -> Self {
        self.key(field, Wire::Varint);
        self.varint(value);
        self
    }

    fn double(mut self, field: u64, value: f64) -> Self {
        self.key(field, Wire::Fixed64);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, Wire::Fixed32);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.key(field, Wire::Bytes);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }
}

/// The first event of every file.
pub(super) fn file_version(seconds: f64) -> Vec<u8> {
    Message::default().double(1, seconds).bytes(3, b"brain.Event:2").0
}

/// A session that starts at `step`: events of later steps, written before, no longer count.
pub(super) fn session_start(seconds: f64, step: usize) -> Vec<u8> {
    const START: u64 = 1;
    let log = Message::default().unsigned(1, START);
    Message::default().double(1, seconds).unsigned(2, step as u64).bytes(7, &log.0).0
}

/// Scalars of one step, by name.
pub(super) fn scalars(seconds: f64, step: usize, values: &[(String, f32)]) -> Vec<u8> {
    let mut summary = Message::default();
    for (tag, value) in values {
        let value = Message::default().bytes(1, tag.as_bytes()).float(2, *value);
        summary = summary.bytes(1, &value.0);
    }
    Message::default().double(1, seconds).unsigned(2, step as u64).bytes(5, &summary.0).0
}
