//! `TensorBoard`: this test has a separate reader that reads its files back, checksums included.
//!
//! A check by hand with tensorboard 2.21.0 showed that its own reader reads the files that the tests leave below
//! `target/tmp/callbacks/tensorboard_*`:
//!
//! ```text
//! from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
//! a = EventAccumulator("target/tmp/callbacks/tensorboard_runs/validation"); a.Reload()
//! a.Tags()["scalars"]        # ['epoch_loss', 'epoch_mean_absolute_error']
//! a.Scalars("epoch_loss")    # steps 0, 1, 2 with the history's numbers as f32
//! ```
//!
//! and in `tensorboard_resumed/train` the tag `epoch_loss` has the steps 0 to 5 once each, 3 and 4 from the second
//! session.

use super::*;
use std::path::Path;

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// The records of a file: length, its checksum, bytes, their checksum.
fn records(mut file: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut records = Vec::new();
    while !file.is_empty() {
        let mut take = |n: usize| -> Result<&[u8], String> {
            let (head, rest) = file.split_at_checked(n).ok_or("the file ends too soon")?;
            file = rest;
            Ok(head)
        };
        let mut checked = |n: usize| -> Result<Vec<u8>, String> {
            let bytes = take(n)?.to_vec();
            let mask = u32::from_le_bytes(take(4)?.try_into().unwrap());
            let crc = mask.wrapping_sub(0xa282_ead8).rotate_left(15);
            if crc == crc32c(&bytes) { Ok(bytes) } else { Err(format!("checksum of {bytes:?}")) }
        };
        let length = u64::from_le_bytes(checked(8)?.try_into().unwrap());
        records.push(checked(length as usize)?);
    }
    Ok(records)
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
enum Wire {
    Varint(u64),
    Fixed64(u64),
    Bytes(Vec<u8>),
    Fixed32(u32),
}

/// The fields of a message, with their numbers.
fn fields(mut message: &[u8]) -> Vec<(u64, Wire)> {
    fn varint(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = message[0];
            *message = &message[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    fn take<'a>(message: &mut &'a [u8], n: usize) -> &'a [u8] {
        let (head, rest) = message.split_at(n);
        *message = rest;
        head
    }
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = match key & 7 {
            0 => Wire::Varint(varint(&mut message)),
            1 => Wire::Fixed64(u64::from_le_bytes(take(&mut message, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut message) as usize;
                Wire::Bytes(take(&mut message, length).to_vec())
            }
            5 => Wire::Fixed32(u32::from_le_bytes(take(&mut message, 4).try_into().unwrap())),
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

/// An event of a file.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    Version(String),
    Session { step: u64, status: u64 },
    Scalar { step: u64, tag: String, value: f32 },
}

/// The events of a file, in order.
fn events(file: &Path) -> Vec<Event> {
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
    let mut events = Vec::new();
    for record in records(&std::fs::read(file).unwrap()).unwrap() {
        let (mut step, mut what) = (0, None);
        for (number, value) in fields(&record) {
            match (number, value) {
                (1, Wire::Fixed64(bits)) => {
                    let seconds = f64::from_bits(bits);
                    assert!((1.5e9..1e10).contains(&seconds), "wall time {seconds}");
                }
                (2, Wire::Varint(value)) => step = value,
                (number @ (3 | 5 | 7), Wire::Bytes(bytes)) => what = Some((number, bytes)),
                other => panic!("field {other:?}"),
            }
        }
        match what.unwrap() {
            (3, bytes) => events.push(Event::Version(text(&bytes))),
            (7, bytes) => match fields(&bytes)[..] {
                [(1, Wire::Varint(status))] => events.push(Event::Session { step, status }),
                ref other => panic!("session log {other:?}"),
            },
            (_, bytes) => {
                for (number, value) in fields(&bytes) {
                    let Wire::Bytes(value) = value else { panic!("a summary value") };
                    match &fields(&value)[..] {
                        [(1, Wire::Bytes(tag)), (2, Wire::Fixed32(bits))] if number == 1 => {
                            let (tag, value) = (text(tag), f32::from_bits(*bits));
                            events.push(Event::Scalar { step, tag, value });
                        }
                        other => panic!("summary value {other:?}"),
                    }
                }
            }
        }
    }
    events
}

/// The files of a run in the order of their names.
fn files(run: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(run).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

/// What a run's file must hold: for each epoch the logs, with other names.
fn want(history: &History, names: &[(&str, &str)]) -> Vec<Event> {
    let mut want = vec![Event::Version("brain.Event:2".into())];
    for epoch in &history.epochs {
        for (log, tag) in names {
            let value = if *log == "rate" { 0.125 } else { epoch.get(log).unwrap() as f32 };
            want.push(Event::Scalar { step: epoch.epoch as u64, tag: (*tag).into(), value });
        }
    }
    want
}

#[test]
fn two_runs_hold_the_history() -> Result<()> {
    let folder = folder("tensorboard_runs");
    let validation = line(4);
    let fit = fit(3).validation_data(&validation).callback(TensorBoard::new(&folder));
    let history = trainer().fit(&line(10), fit)?;
    let (train, validation) = (files(&folder.join("train")), files(&folder.join("validation")));
    assert_eq!((train.len(), validation.len()), (1, 1));
    let name = train[0].file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("events.out.tfevents."), "{name}");
    let error = "epoch_mean_absolute_error";
    let own =
        [("loss", "epoch_loss"), ("mean_absolute_error", error), ("rate", "epoch_learning_rate")];
    assert_eq!(events(&train[0]), want(&history, &own));
    let own = [("val_loss", "epoch_loss"), ("val_mean_absolute_error", error)];
    assert_eq!(events(&validation[0]), want(&history, &own));
    Ok(())
}

#[test]
fn the_reader_notices_damage() -> Result<()> {
    let folder = folder("tensorboard_damage");
    trainer().fit(&line(4), fit(1).callback(TensorBoard::new(&folder)))?;
    assert!(!folder.join("validation").exists(), "nothing was validated");
    let file = std::fs::read(&files(&folder.join("train"))[0]).unwrap();
    let whole = records(&file).unwrap();
    assert_eq!(whole.len(), 2);
    for i in 0..file.len() {
        let mut damaged = file.clone();
        damaged[i] ^= 1;
        assert!(records(&damaged).is_err(), "byte {i}");
        let cut = records(&file[..i]);
        assert!(cut.is_err() || cut.unwrap().len() < 2, "cut at {i}");
    }
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    Ok(())
}

#[test]
fn a_second_fit_adds_a_file() -> Result<()> {
    let folder = folder("tensorboard_second");
    let mut trainer = trainer();
    trainer.fit(&line(4), fit(2).callback(TensorBoard::new(&folder)))?;
    trainer.fit(&line(4), fit(4).initial_epoch(2).callback(TensorBoard::new(&folder)))?;
    let files = files(&folder.join("train"));
    let steps: Vec<Vec<u64>> = files.iter().map(|f| steps(&events(f))).collect();
    assert_eq!(steps, [[0, 1], [2, 3]]);
    Ok(())
}

fn steps(events: &[Event]) -> Vec<u64> {
    let losses = events.iter().filter_map(|event| match event {
        Event::Scalar { step, tag, .. } if tag == "epoch_loss" => Some(*step),
        _ => None,
    });
    losses.collect()
}

#[test]
fn a_resumed_session_replaces_the_lost_epochs() -> Result<()> {
    let folder = folder("tensorboard_resumed");
    let mut first = TensorBoard::new(&folder);
    let mut trainer = trainer();
    trainer.fit(&line(4), fit(3).callback(&mut first))?;
    let state = first.state();
    // Epochs 3 and 4 ran after the checkpoint and were lost.
    trainer.fit(&line(4), fit(5).initial_epoch(3).callback(TensorBoard::new(&folder)))?;
    let mut second = TensorBoard::new(&folder);
    second.restore(&state).unwrap();
    trainer.fit(&line(4), fit(6).initial_epoch(3).callback(&mut second))?;
    let files = files(&folder.join("train"));
    assert_eq!(files.len(), 3);
    let last = events(&files[2]);
    assert_eq!(last[1], Event::Session { step: 3, status: 1 });
    assert_eq!(steps(&last), [3, 4, 5]);
    assert!(!events(&files[1]).iter().any(|e| matches!(e, Event::Session { .. })));
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let file = folder("tensorboard_file").join("file");
    std::fs::write(&file, "").unwrap();
    let mut trainer = trainer();
    let error = trainer.fit(&line(4), fit(1).callback(TensorBoard::new(&file))).unwrap_err();
    says(&error, &["TensorBoard", "check", "file"]);
    assert_eq!(trainer.steps(), 0);
}
