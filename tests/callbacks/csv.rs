//! `CsvLogger`.

use super::*;
use std::fs::read_to_string;

#[test]
fn a_row_per_epoch() -> Result<()> {
    let log = folder("csv_rows").join("log.csv");
    let validation = line(4);
    let fit = fit(3).validation_data(&validation).callback(CsvLogger::new(&log));
    let history = trainer().fit(&line(10), fit)?;
    let text = read_to_string(&log).unwrap();
    let mut lines = text.lines();
    let header = "epoch,loss,mean_absolute_error,val_loss,val_mean_absolute_error";
    assert_eq!(lines.next(), Some(header));
    for (i, epoch) in history.epochs.iter().enumerate() {
        let fields: Vec<&str> = lines.next().unwrap().split(',').collect();
        assert_eq!(fields[0], i.to_string());
        let numbers: Vec<f64> = fields[1..].iter().map(|f| f.parse().unwrap()).collect();
        let want: Vec<f64> = epoch.logs.iter().map(|l| l.1).collect();
        assert_eq!(numbers, want, "to the last bit");
    }
    assert_eq!(lines.next(), None);
    Ok(())
}

#[test]
fn a_row_is_there_when_its_epoch_has_ended() -> Result<()> {
    let log = folder("csv_flushed").join("log.csv");
    let reading = Lambda::new().on_epoch_end(|epoch, _| {
        assert_eq!(read_to_string(&log)?.lines().count(), epoch.epoch + 2);
        Ok(())
    });
    trainer().fit(&line(4), fit(3).callback(CsvLogger::new(&log)).callback(reading))?;
    Ok(())
}

#[test]
fn a_file_is_replaced_or_appended_to() -> Result<()> {
    let log = folder("csv_append").join("log.csv");
    let train = |logger: CsvLogger| trainer().fit(&line(4), fit(2).callback(logger));
    let epochs = || -> Vec<String> {
        let text = read_to_string(&log).unwrap();
        text.lines().map(|l| l.split(';').next().unwrap().to_owned()).collect()
    };
    let logger = || CsvLogger::new(&log).separator(';');
    train(logger().append(true))?;
    assert_eq!(epochs(), ["epoch", "0", "1"]);
    train(logger().append(true))?;
    assert_eq!(epochs(), ["epoch", "0", "1", "0", "1"]);
    // The end of the last line is missing.
    let text = read_to_string(&log).unwrap();
    std::fs::write(&log, text.trim_end()).unwrap();
    train(logger().append(true))?;
    assert_eq!(epochs(), ["epoch", "0", "1", "0", "1", "0", "1"]);
    train(logger())?;
    assert_eq!(epochs(), ["epoch", "0", "1"]);
    // An empty file has no header yet.
    std::fs::write(&log, "").unwrap();
    train(logger().append(true))?;
    assert_eq!(epochs(), ["epoch", "0", "1"]);
    Ok(())
}

#[test]
fn missing_folders_are_made() -> Result<()> {
    let log = folder("csv_missing").join("one").join("two").join("log.csv");
    trainer().fit(&line(4), fit(2).callback(CsvLogger::new(&log)))?;
    assert_eq!(read_to_string(&log).unwrap().lines().count(), 3);
    Ok(())
}

#[test]
fn another_header_is_refused_and_the_file_left_alone() {
    let log = folder("csv_header").join("log.csv");
    std::fs::write(&log, "epoch,accuracy\n0,1.0\n").unwrap();
    let fit = fit(1).callback(CsvLogger::new(&log).append(true));
    let error = trainer().fit(&line(4), fit).unwrap_err();
    let names = ["CsvLogger", "log.csv", "header", "`epoch,accuracy`", "`epoch,loss"];
    says(&error, &names);
    assert_eq!(read_to_string(&log).unwrap(), "epoch,accuracy\n0,1.0\n");
}

#[test]
fn numbers_that_are_none_and_logs_that_are_missing() -> Result<()> {
    let log = folder("csv_none").join("log.csv");
    let numbers = [f64::NAN, f64::INFINITY, -1e-300, 0.1];
    let changing = Lambda::new().on_epoch_end(|epoch, _| {
        epoch.logs = vec![("a,\"b\"".into(), numbers[epoch.epoch])];
        if epoch.epoch != 1 {
            epoch.logs.push(("c".into(), 1.0));
        }
        if epoch.epoch == 2 {
            epoch.logs.insert(0, ("late".into(), 2.0));
        }
        Ok(())
    });
    trainer().fit(&line(4), fit(4).callback(changing).callback(CsvLogger::new(&log)))?;
    let want = "epoch,\"a,\"\"b\"\"\",c\n0,NaN,1.0\n1,inf,NA\n2,-1e-300,1.0\n3,0.1,1.0\n";
    assert_eq!(read_to_string(&log).unwrap(), want);
    Ok(())
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    // A file in place of a needed folder.
    let below = folder("csv_below").join("no folder").join("log.csv");
    std::fs::write(below.parent().unwrap(), "").unwrap();
    let mut trainer = trainer();
    let error = trainer.fit(&line(4), fit(1).callback(CsvLogger::new(&below))).unwrap_err();
    says(&error, &["CsvLogger", "check", "no folder"]);
    assert_eq!(trainer.steps(), 0);
    // A disk without room.
    if cfg!(target_os = "linux") {
        let full = fit(1).callback(CsvLogger::new("/dev/full"));
        let error = trainer.fit(&line(4), full).unwrap_err();
        says(&error, &["CsvLogger", "on_epoch_end", "/dev/full", "space"]);
    }
}
