//! Callbacks that fail, and settings that are refused.

use super::*;

type Failing = fn(Lambda<'static>) -> Lambda<'static>;

fn fails() -> HookResult {
    Err("the dog ate it".into())
}

#[test]
fn a_failing_hook_ends_training_with_its_name() -> Result<()> {
    let hooks: [(&str, Failing, u64); 8] = [
        ("on_train_begin", |l| l.on_train_begin(|_| fails()), 0),
        ("on_epoch_begin", |l| l.on_epoch_begin(|_, _| fails()), 0),
        ("on_batch_begin", |l| l.on_batch_begin(BatchInterval::Batches(2), |_, _| fails()), 0),
        ("on_batch_end", |l| l.on_batch_end(BatchInterval::Batches(2), |_, _| fails()), 2),
        ("on_test_begin", |l| l.on_test_begin(|_| fails()), 5),
        ("on_test_end", |l| l.on_test_end(|_| fails()), 5),
        ("on_epoch_end", |l| l.on_epoch_end(|_, _| fails()), 5),
        ("on_train_end", |l| l.on_train_end(|_| fails()), 5),
    ];
    let (mut trainer, validation) = (trainer(), line(4));
    for (hook, failing, steps) in hooks {
        let before = trainer.steps();
        let lambda = failing(Lambda::new().batch_interval(BatchInterval::Batches(2)));
        let fit = fit(1).validation_data(&validation).callback(lambda);
        let error = trainer.fit(&line(10), fit).unwrap_err();
        assert!(matches!(&error, Error::Callback { .. }), "{error:?}");
        says(&error, &["`Lambda`", hook, "the dog ate it"]);
        assert_eq!(trainer.steps() - before, steps, "{hook}");
        // The model is as usable as before.
        assert!(trainer.evaluate(&line(10))?.loss.is_finite());
    }
    let before = trainer.evaluate(&line(10))?.loss;
    trainer.fit(&line(10), fit(5))?;
    assert!(trainer.evaluate(&line(10))?.loss < before);
    Ok(())
}

#[test]
fn causes_stand_in_the_message() {
    let failing = Lambda::new().on_epoch_end(|_, _| {
        let cause = std::io::Error::other("disk on fire");
        Err(Box::new(Error::Io { path: "model.bin".into(), cause }))
    });
    let error = trainer().fit(&line(4), fit(1).callback(failing)).unwrap_err();
    says(&error, &["`Lambda`", "on_epoch_end", "model.bin", "disk on fire"]);
}

/// The message of the refusal, before any step.
#[track_caller]
fn refused(callback: impl Callback, words: &[&str]) {
    let mut trainer = trainer();
    let error = trainer.fit(&line(4), fit(1).callback(callback)).unwrap_err();
    assert!(matches!(&error, Error::Parameter { .. }), "{error:?}");
    says(&error, words);
    assert_eq!(trainer.steps(), 0);
}

#[test]
fn monitors_that_do_not_exist_are_refused() {
    refused(
        EarlyStopping::new("val_loss"),
        &["monitor = val_loss", "EarlyStopping", "there are loss, mean_absolute_error"],
    );
    refused(
        ReduceLrOnPlateau::new("losss").mode(Mode::Min),
        &["monitor = losss", "ReduceLrOnPlateau", "there are loss"],
    );
    let validation = line(4);
    let fit = fit(1).validation_data(&validation).callback(EarlyStopping::new("val_auc"));
    let error = trainer().fit(&line(4), fit).unwrap_err();
    says(&error, &["val_auc", "val_loss, val_mean_absolute_error"]);
}

#[test]
fn a_log_is_monitored_after_who_adds_it_only() -> Result<()> {
    let numbers = [1.0];
    let mine = || EarlyStopping::new("mine").mode(Mode::Max);
    trainer().fit(&line(4), fit(1).callback(made_up("mine", &numbers)).callback(mine()))?;
    let wrong = fit(1).callback(mine()).callback(made_up("mine", &numbers));
    says(&trainer().fit(&line(4), wrong).unwrap_err(), &["monitor = mine", "EarlyStopping"]);
    // One that promises a log and does not add it.
    let promising = Lambda::new().logs("mine");
    let error = trainer().fit(&line(4), fit(1).callback(promising).callback(mine())).unwrap_err();
    says(&error, &["EarlyStopping", "on_epoch_end", "mine", "no such log"]);
    Ok(())
}

#[test]
fn settings_outside_their_domain_are_refused() {
    let nan = f64::NAN;
    for difference in [-1.0, nan, f64::INFINITY] {
        refused(
            EarlyStopping::new("loss").min_delta(difference),
            &["EarlyStopping min_delta", "finite number, 0 or more"],
        );
        refused(
            ReduceLrOnPlateau::new("loss").min_delta(difference),
            &["ReduceLrOnPlateau min_delta"],
        );
        refused(ReduceLrOnPlateau::new("loss").min_lr(difference), &["ReduceLrOnPlateau min_lr"]);
    }
    for factor in [0.0, 1.0, -0.5, nan] {
        refused(ReduceLrOnPlateau::new("loss").factor(factor), &["factor", "(0, 1)"]);
    }
    for separator in ['a', '1', '.', '-', '+', '"', '\n', '_'] {
        let log = folder("refused").join("never.csv");
        refused(CsvLogger::new(&log).separator(separator), &["CsvLogger separator", "comma"]);
        assert!(!log.exists());
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_ends_training_before_it_begins() {
    let folder = folder("no_checkpoint");
    let file = folder.join("no folder");
    std::fs::write(&file, "").unwrap();
    for name in ["a.safetensors", "{epoch}.safetensors", "{epoch}/a.safetensors", "below/a"] {
        let path = file.join(name).display().to_string();
        let mut trainer = trainer();
        let fit = fit(1).callback(ModelCheckpoint::new(path));
        let error = trainer.fit(&line(4), fit).unwrap_err();
        says(&error, &["`ModelCheckpoint`", "check", "no folder"]);
        assert_eq!(trainer.steps(), 0, "{name}");
    }
    // Literal braces, and no folder named after a number that is not known yet.
    let path = folder.join("{{a}}/{epoch}/w").display().to_string();
    let looking = Lambda::new().on_train_begin(|_| {
        let made: Vec<_> = std::fs::read_dir(folder.join("{a}"))?.collect();
        assert!(made.is_empty(), "{made:?}");
        Ok(())
    });
    let fit = fit(1).callback(ModelCheckpoint::new(path)).callback(looking);
    trainer().fit(&line(4), fit).unwrap();
    assert!(folder.join("{a}/1/w").is_file());
}

#[test]
fn what_a_callback_will_write_is_proved_before_training() {
    let folder = folder("proved");
    let file = folder.join("a file");
    std::fs::write(&file, "kept").unwrap();
    let log = folder.join("log.csv");
    std::fs::write(&log, "of an earlier training").unwrap();
    let below = file.join("below");
    let path = |path: &std::path::Path| path.display().to_string();
    let refuse = |name: &str, bad: Box<dyn Fn(Fit<'static>) -> Fit<'static>>| {
        let mut trainer = trainer();
        let hooks = Lambda::new().on_train_begin(|_| Err("no hook runs".into()));
        // The first hook of the log before it would empty that log.
        let fit = bad(fit(1).callback(hooks).callback(CsvLogger::new(&log)));
        let error = trainer.fit(&line(4), fit).unwrap_err();
        assert!(matches!(&error, Error::Callback { .. }), "{error:?}");
        says(&error, &[&format!("`{name}`"), "check"]);
        assert_eq!((trainer.steps(), std::fs::read(&file).unwrap()), (0, b"kept".to_vec()));
        assert_eq!(std::fs::read(&log).unwrap(), b"of an earlier training");
        let mut names: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a file", "board", "log.csv"], "nothing is left behind");
    };
    // A folder for a run of the validation data is a file.
    let board = folder.join("board");
    std::fs::create_dir(&board).unwrap();
    std::fs::write(board.join("validation"), "").unwrap();
    let (a, b, c, d) = (below.clone(), below.clone(), below.clone(), below.clone());
    let (folder_itself, long) = (folder.clone(), folder.join("x".repeat(300)));
    let also = folder.clone();
    refuse("BackupAndRestore", Box::new(move |f| f.callback(BackupAndRestore::new(&a))));
    refuse("ModelCheckpoint", Box::new(move |f| f.callback(ModelCheckpoint::new(path(&b)))));
    refuse("CsvLogger", Box::new(move |f| f.callback(CsvLogger::new(&c))));
    refuse("TensorBoard", Box::new(move |f| f.callback(TensorBoard::new(&d))));
    refuse("TensorBoard", Box::new(move |f| f.callback(TensorBoard::new(&board))));
    refuse("CsvLogger", Box::new(move |f| f.callback(CsvLogger::new(&folder_itself))));
    refuse("ModelCheckpoint", Box::new(move |f| f.callback(ModelCheckpoint::new(path(&also)))));
    let name = path(&long) + "{epoch}";
    refuse("ModelCheckpoint", Box::new(move |f| f.callback(ModelCheckpoint::new(name.clone()))));
    // The control: each of them with room on the disk.
    let room = folder.join("room");
    let all = fit(1)
        .callback(BackupAndRestore::new(room.join("backup")))
        .callback(ModelCheckpoint::new(path(&room.join("deep/w"))))
        .callback(CsvLogger::new(room.join("far/log.csv")))
        .callback(TensorBoard::new(room.join("board")));
    trainer().fit(&line(4), all).unwrap();
    assert!(room.join("deep/w").is_file() && room.join("far/log.csv").is_file());
    assert!(!room.join("board/validation").exists(), "there is no validation data");
}

/// The proof before training and the writer agree on links, pipes, devices, sockets, protected files and long names.
#[cfg(target_os = "linux")]
#[test]
fn the_proof_takes_what_the_writer_takes() {
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = support::Folder::new("agree");
    let file = |name: &str| folder.file(name);
    // Nobody makes files in this folder, root included.
    symlink("/proc/self/none", file("dangling")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(file("socket")).unwrap();
    std::fs::write(file("protected"), "kept").unwrap();
    std::fs::set_permissions(file("protected"), PermissionsExt::from_mode(0o400)).unwrap();
    let is_root = std::fs::OpenOptions::new().append(true).open(file("protected")).is_ok();
    std::fs::write(file("far"), "").unwrap();
    symlink("far", file("link")).unwrap();
    symlink("/dev/null", file("null")).unwrap();
    let names = folder.names();
    let saves = |path: &std::path::Path| {
        let path = path.display().to_string();
        trainer().fit(&line(4), fit(1).callback(ModelCheckpoint::new(path)))
    };
    let logs =
        |path: &std::path::Path| trainer().fit(&line(4), fit(1).callback(CsvLogger::new(path)));
    let refused = [Some("dangling"), Some("socket"), (!is_root).then_some("protected")];
    for name in refused.into_iter().flatten() {
        for (what, result) in [("Model", saves(&file(name))), ("Csv", logs(&file(name)))] {
            says(&result.unwrap_err(), &["check", what, name]);
        }
    }
    assert_eq!(std::fs::read(file("protected")).unwrap(), b"kept");
    for path in [file("link"), file("null"), "/dev/null".into()] {
        saves(&path).unwrap();
        logs(&path).unwrap();
    }
    assert_eq!(folder.names(), names, "nothing is left behind, and links stay");
    // The name of a pipe is in a folder where nothing can be made. The proof is not the end of the file.
    let (mut reader, writer) = std::io::pipe().unwrap();
    let read = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    });
    let pipe = std::path::PathBuf::from(format!("/proc/self/fd/{}", writer.as_raw_fd()));
    saves(&pipe).unwrap();
    drop(writer);
    let whole = file("whole");
    saves(&whole).unwrap();
    // The header has the seconds of the epoch, as text.
    let numbers = |bytes: &[u8]| {
        let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        bytes[8 + header..].to_vec()
    };
    let (piped, whole) = (read.join().unwrap().unwrap(), std::fs::read(whole).unwrap());
    assert!(!numbers(&piped).is_empty());
    assert_eq!(numbers(&piped), numbers(&whole));
    // Names of as many bytes as a file may have, and one more.
    for (len, fits) in [(255, true), (256, false)] {
        let exact = file(&"x".repeat(len));
        for path in [file(&("x".repeat(len - 1) + "{epoch}")), exact.clone()] {
            assert_eq!(saves(&path).is_ok(), fits, "{len}");
        }
        assert_eq!(logs(&exact).is_ok(), fits, "{len}");
    }
}

#[test]
fn a_name_without_a_direction_needs_a_mode() {
    let refusal = |fit: Fit<'static>| trainer().fit(&line(4), fit).unwrap_err();
    let mine = || fit(1).callback(Lambda::new().logs("mine"));
    let error = refusal(mine().callback(EarlyStopping::new("mine")));
    says(&error, &["EarlyStopping monitor = mine", "Mode::Min"]);
    let error = refusal(mine().callback(ReduceLrOnPlateau::new("mine")));
    says(&error, &["ReduceLrOnPlateau monitor = mine", "Mode::Max"]);
}

#[test]
fn an_impossible_rate_ends_training() {
    for rate in [-1.0, f64::NAN, f64::INFINITY, 1e39] {
        let schedule = LearningRateScheduler::new(move |_, _| rate);
        let error = trainer().fit(&line(4), fit(1).callback(schedule)).unwrap_err();
        says(&error, &["LearningRateScheduler", "on_epoch_begin", "learning_rate"]);
    }
}
