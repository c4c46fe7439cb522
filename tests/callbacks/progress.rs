//! What training shows, on a terminal of 80 columns and elsewhere.

use super::*;
use std::time::{Duration, Instant};

#[test]
fn a_line_per_epoch() -> Result<()> {
    let (out, validation) = (Shared::default(), line(4));
    let saying = Lambda::new().on_epoch_end(|epoch, control| {
        if epoch.epoch == 1 {
            control.print("half the way");
        }
        Ok(())
    });
    let fit = fit(2).validation_data(&validation).callback(saying);
    let history = trainer().fit(&line(10), fit.callback(ProgressLines::to(out.clone())))?;
    let text = out.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, epoch) in lines.iter().zip(&history.epochs) {
        assert!(line.starts_with(&format!("epoch {}/2  ", epoch.epoch + 1)), "{line}");
        for name in ["loss", "mean_absolute_error", "val_loss", "val_mean_absolute_error"] {
            let item = format!("  {name} {:.4}", epoch.get(name).unwrap());
            assert!(line.contains(&item), "{item} in {line}");
        }
        assert!(line.contains(" samples/s"), "{line}");
    }
    assert_eq!(lines[2], "half the way");
    Ok(())
}

/// A sink has the lines that a writer has, without their ends.
#[test]
fn a_sink_has_each_line() -> Result<()> {
    let (out, lines) = (Shared::default(), std::sync::Arc::new(std::sync::Mutex::new(Vec::new())));
    let sink = lines.clone();
    let fit = fit(3)
        .callback(ProgressLines::to(out.clone()))
        .callback(ProgressLines::each(move |line| sink.lock().unwrap().push(line.to_owned())));
    trainer().fit(&line(10), fit)?;
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(out.text(), lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    Ok(())
}

#[test]
fn small_numbers_keep_their_digits() -> Result<()> {
    let out = Shared::default();
    let numbers = [1.25e-5, 0.0, 12_345_678.0, f64::NAN];
    let fit = fit(4).callback(made_up("loss", &numbers));
    trainer().fit(&line(4), fit.callback(ProgressLines::to(out.clone())))?;
    let text = out.text();
    for (line, number) in text.lines().zip(["1.250e-5", "0.0000", "1.235e7", "NaN"]) {
        assert!(line.ends_with(&format!("  loss {number}")), "{line}");
    }
    Ok(())
}

/// What a terminal shows after some text with escape codes.
#[cfg(feature = "progress")]
fn screen(text: &str, columns: usize) -> Vec<String> {
    let mut rows: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\n' => (row, column) = (row + 1, 0),
            '\r' => column = 0,
            '\x1b' => {
                assert_eq!(chars.next(), Some('['));
                let (mut n, mut code) = (0, ' ');
                for c in chars.by_ref() {
                    match c.to_digit(10) {
                        Some(digit) => n = 10 * n + digit as usize,
                        None => {
                            code = c;
                            break;
                        }
                    }
                }
                match (code, n) {
                    ('A', n) => row -= n,
                    ('B', n) => row += n,
                    ('K', 2) => rows[row].clear(),
                    // Colours.
                    ('m', _) => {}
                    other => panic!("escape code {other:?}"),
                }
            }
            c => {
                // As terminals do, the cursor waits behind the last column.
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                rows.resize(rows.len().max(row + 1), Vec::new());
                let line = &mut rows[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        rows.resize(rows.len().max(row + 1), Vec::new());
    }
    let text = |row: &Vec<char>| row.iter().collect::<String>().trim_end().to_owned();
    rows.iter().map(text).filter(|row| !row.is_empty()).collect()
}

#[cfg(feature = "progress")]
#[test]
fn a_bar_for_the_epoch_under_way() -> Result<()> {
    let (out, validation) = (Shared::default(), line(4));
    let mut screens = Vec::new();
    // The hook runs after the bar is drawn, in epochs that take long enough for it.
    let slow = Lambda::new().on_batch_end(BatchInterval::Batches(1), |_, _| {
        std::thread::sleep(Duration::from_millis(40));
        Ok(())
    });
    let looking = Lambda::new().on_batch_end(BatchInterval::Batches(1), |end, control| {
        screens.push((end.epoch, end.batch, screen(&out.text(), 80)));
        if (end.epoch, end.batch) == (1, 7) {
            control.print("something happened");
        }
        Ok(())
    });
    let fit = fit(2).validation_data(&validation).callback(slow);
    let fit = fit.callback(ProgressBar::to(out.clone(), 80)).callback(looking);
    let history = trainer().fit(&line(24), fit)?;
    let drawn: Vec<_> =
        screens.iter().filter(|(.., s)| s.iter().any(|l| l.contains('━'))).collect();
    assert!(drawn.len() > 6, "{screens:?}");
    for (epoch, batch, screen) in &drawn {
        let [.., bar, numbers] = &screen[..] else { panic!("{screen:?}") };
        assert!(bar.starts_with(&format!("epoch {}/2 ━", epoch + 1)), "{bar}");
        assert!(bar.contains("/12  ") && bar.contains(" samples/s  ETA "), "{bar}");
        assert!(numbers.starts_with("  loss "), "{numbers}");
        assert!(numbers.contains("  mean_absolute_error "), "{numbers}");
        assert!(screen.iter().all(|line| line.chars().count() <= 80), "{screen:?}");
        // One line stays per epoch that ended; at 80 columns it takes two here. A message is above the bar from the
        // next time that the bar is drawn, which the clock decides.
        let printed = screen.iter().any(|line| line == "something happened");
        assert!(!printed || (*epoch, *batch) > (1, 7), "{screen:?}");
        assert_eq!(screen.len(), 2 + 2 * epoch + usize::from(printed), "{screen:?}");
    }
    let end = screen(&out.text(), 80);
    assert!(!end.iter().any(|line| line.contains('━')), "the bar is gone: {end:?}");
    assert_eq!(end.len(), 5, "{end:?}");
    assert!(end.contains(&"something happened".to_owned()));
    for (line, epoch) in end.iter().filter(|line| line.starts_with("epoch")).zip(&history.epochs) {
        let loss = format!("  loss {:.4}", epoch.get("loss").unwrap());
        assert!(line.contains(&loss), "{loss} in {line}");
    }
    Ok(())
}

#[cfg(feature = "progress")]
#[test]
fn epochs_that_are_over_at_once_draw_no_bar() -> Result<()> {
    let out = Shared::default();
    let mut trainer = trainer();
    // The first one may take long: it compiles.
    trainer.fit(&line(4), fit(1))?;
    // When each epoch ended, and how much of a bar was drawn by then.
    let mut ends = vec![(Instant::now(), 0)];
    let looking = Lambda::new().on_epoch_end(|_, _| {
        ends.push((Instant::now(), out.text().matches('━').count()));
        Ok(())
    });
    let fit = fit(50).callback(ProgressBar::to(out.clone(), 80)).callback(looking);
    trainer.fit(&line(4), fit)?;
    let lines = screen(&out.text(), 80);
    assert_eq!(lines.iter().filter(|line| line.starts_with("epoch")).count(), 50, "{lines:?}");
    // On a busy machine some epochs take longer. A bar is due 75 ms after the last look, which was in the epoch before.
    let at_once =
        |e: &usize| ends[e + 1].0 - ends[e.saturating_sub(1)].0 < Duration::from_millis(75);
    let epochs: Vec<usize> = (0..50).filter(at_once).collect();
    assert!(!epochs.is_empty(), "no epoch was over at once");
    assert!(epochs.iter().all(|e| ends[e + 1].1 == ends[*e].1), "{}", out.text());
    Ok(())
}

#[cfg(feature = "progress")]
#[test]
fn a_failure_leaves_no_bar() {
    let out = Shared::default();
    let failing = Lambda::new().on_batch_end(BatchInterval::Batches(1), |end, _| {
        std::thread::sleep(Duration::from_millis(40));
        if end.batch == 10 { Err("no more".into()) } else { Ok(()) }
    });
    let fit = fit(1).callback(ProgressBar::to(out.clone(), 80)).callback(failing);
    assert!(trainer().fit(&line(24), fit).is_err());
    assert!(out.text().contains('━'));
    assert_eq!(screen(&out.text(), 80), [""; 0]);
}
