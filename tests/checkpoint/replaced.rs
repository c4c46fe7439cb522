//! What a file is written over: permissions stay, links stay, devices and pipes stay, and writers do not disturb each
//! other.
#![cfg(unix)]

use super::*;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, SystemTime};
use wgrad::{Error, Result};

/// Every way to write a file in one go, by the file's extension.
type Writer<'a> = (&'a str, Box<dyn Fn(&Path) -> Result<()> + 'a>);

fn writers(trainer: &Trainer) -> Vec<Writer<'_>> {
    let picture = || wgrad::plot::ConfusionMatrix::new("", &["a", "b"], [1_u32, 2, 3, 4]);
    #[cfg_attr(not(feature = "npy"), allow(unused_mut))]
    let mut writers: Vec<Writer<'_>> = vec![
        ("safetensors", Box::new(|path| trainer.save_checkpoint(path))),
        ("weights", Box::new(|path| trainer.save_weights(path))),
        ("svg", Box::new(move |path| picture().save(path))),
    ];
    #[cfg(feature = "npy")]
    {
        let tensor = || Tensor::f32([2], [1.0, 2.0]).unwrap();
        writers.push(("npy", Box::new(move |path| wgrad::data::write_npy(path, &tensor()))));
        let pair = move |path: &Path| wgrad::data::write_npz(path, &[("a", &tensor())]);
        writers.push(("npz", Box::new(pair)));
    }
    writers
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn permissions_and_links_stay() {
    let folder = Folder::new("replaced");
    let trainer = trainer();
    for (extension, write) in writers(&trainer) {
        let name = |stem: &str| folder.file(&format!("{stem}.{extension}"));
        let (plain, fresh) = (name("plain"), name("fresh"));
        write(&fresh).unwrap();
        let written = std::fs::read(&fresh).unwrap();
        // A new file has the permissions of the process' mask, as a file of the standard library has.
        std::fs::write(folder.file("usual"), "").unwrap();
        assert_eq!(mode(&fresh), mode(&folder.file("usual")), "{extension}");
        for bits in [0o600, 0o640, 0o666] {
            std::fs::write(&plain, "old").unwrap();
            std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(bits)).unwrap();
            write(&plain).unwrap();
            assert_eq!(mode(&plain), bits, "{extension}");
            assert!(std::fs::read(&plain).unwrap() == written, "{extension}");
        }
        // Through two links, relative to their folders, to a file that is there and to one that is not.
        std::fs::create_dir_all(folder.file("below")).unwrap();
        for target in ["there", "absent"] {
            let target = name(target);
            if target.ends_with(format!("there.{extension}")) {
                std::fs::write(&target, "old").unwrap();
            }
            let (inner, outer) = (name("below/inner"), name("outer"));
            symlink(Path::new("..").join(target.file_name().unwrap()), &inner).unwrap();
            symlink(Path::new("below").join(inner.file_name().unwrap()), &outer).unwrap();
            write(&outer).unwrap();
            assert!(std::fs::read(&target).unwrap() == written, "{extension}");
            for link in [inner, outer] {
                assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink(), "{extension}");
                std::fs::remove_file(link).unwrap();
            }
        }
    }
    // Nothing is left beside the files.
    assert!(folder.names().iter().all(|name| !name.ends_with(".tmp")), "{:?}", folder.names());
}

#[test]
fn what_is_no_file_is_written_through_or_refused() {
    let folder = Folder::new("special");
    let trainer = trainer();
    let path = folder.file("whole");
    trainer.save_checkpoint(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    // A pipe gets the bytes, and stays a pipe.
    let pipe = folder.file("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read(pipe).unwrap()
    });
    trainer.save_checkpoint(&pipe).unwrap();
    assert!(reader.join().unwrap() == whole);
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    // A device node stays one. Only root can make one: other users test the system's own through a link.
    let null = folder.file("null");
    let made = Command::new("mknod").arg(&null).args(["c", "1", "3"]).output().unwrap();
    if made.status.success() && std::fs::write(&null, "").is_ok() {
        trainer.save_checkpoint(&null).unwrap();
        assert!(std::fs::symlink_metadata(&null).unwrap().file_type().is_char_device());
    }
    // A socket and a folder are refused.
    let socket = folder.file("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let below = folder.file("below");
    std::fs::create_dir(&below).unwrap();
    for (path, words) in [(&socket, "this is no file"), (&below, "this is a folder")] {
        for error in [trainer.save_checkpoint(path), trainer.save_weights(path)] {
            let error = error.unwrap_err();
            assert!(matches!(error, Error::Io { .. }), "{error:?}");
            says(&error, &[&path.display().to_string(), words]);
        }
    }
    assert!(std::fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    assert!(below.is_dir());
    says(&trainer.save_checkpoint("").unwrap_err(), &["this is no file's name"]);
    let missing = folder.file("missing/checkpoint");
    says(&trainer.save_checkpoint(&missing).unwrap_err(), &["missing", "No such file"]);
}

#[test]
fn a_file_that_may_not_be_written_is_not_replaced() {
    let folder = Folder::new("protected");
    let path = folder.file("checkpoint");
    std::fs::write(&path, "mine").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    let saved = trainer().save_checkpoint(&path);
    // Root may write to everything.
    if std::fs::OpenOptions::new().write(true).open(&path).is_err() {
        says(&saved.unwrap_err(), &["checkpoint", "Permission denied"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    }
    assert_eq!(mode(&path), 0o400);
}

#[test]
fn planted_names_are_not_followed_and_abandoned_files_go() {
    let folder = Folder::new("planted");
    let (path, victim) = (folder.file("checkpoint"), folder.file("victim"));
    std::fs::write(&victim, "untouched").unwrap();
    symlink(&victim, folder.file("checkpoint.tmp")).unwrap();
    let left = |name: &str, hours: u64| {
        let file = std::fs::File::create(folder.file(name)).unwrap();
        let then = SystemTime::now() - Duration::from_secs(hours * 3600);
        file.set_times(std::fs::FileTimes::new().set_modified(then)).unwrap();
    };
    left(".wgrad-0123456789abcdef.tmp", 2);
    left(".wgrad-fedcba9876543210.tmp", 0);
    left(".wgrad-notes.tmp", 2);
    trainer().save_checkpoint(&path).unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
    let names = [
        ".wgrad-fedcba9876543210.tmp",
        ".wgrad-notes.tmp",
        "checkpoint",
        "checkpoint.tmp",
        "victim",
    ];
    assert_eq!(folder.names(), names);
}

#[test]
fn two_writers_of_one_file_do_not_disturb_each_other() {
    let folder = Folder::new("writers");
    let path = folder.file("checkpoint");
    let trainers = [trainer(), strayed()];
    let wholes = trainers.each_ref().map(|trainer| {
        trainer.save_checkpoint(&path).unwrap();
        std::fs::read(&path).unwrap()
    });
    assert!(wholes[0] != wholes[1]);
    std::thread::scope(|scope| {
        for trainer in &trainers {
            let path = &path;
            scope.spawn(move || (0..100).for_each(|_| trainer.save_checkpoint(path).unwrap()));
        }
        for _ in 0..300 {
            let found = std::fs::read(&path).unwrap();
            assert!(wholes.contains(&found), "half a file");
        }
    });
    assert_eq!(folder.names(), ["checkpoint"]);
}
