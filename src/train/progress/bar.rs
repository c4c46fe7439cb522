//! A bar on a terminal.

use super::super::callback::{BatchInterval, Callback, HookResult};
use super::super::control::Control;
use super::super::history::{BatchEnd, Epoch, FitInfo};
use super::text;
use console::Term;
use indicatif::{HumanDuration, ProgressDrawTarget, ProgressFinish, ProgressStyle, TermLike};
use std::fmt::Debug;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two looks at the device's numbers.
const INTERVAL: Duration = Duration::from_millis(150);

/// A bar for the epoch under way with its steps, samples per second, the time left and the running loss and metrics; a
/// line for each epoch that ended. [`Verbose::Auto`](crate::train::Verbose::Auto) shows it if standard output is a
/// terminal; for a terminal elsewhere, add it as a callback.
pub struct ProgressBar {
    screen: Screen,
    bar: Option<indicatif::ProgressBar>,
    /// The first batch since the bar began, and when that was.
    began: Option<(usize, Instant)>,
}

/// Where the bar is drawn.
enum Screen {
    /// Standard output.
    Terminal(Term),
    Writer(Writer),
}

impl Debug for ProgressBar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgressBar").field("bar", &self.bar).finish_non_exhaustive()
    }
}

impl ProgressBar {
    /// A bar on standard output; `None` if that is no terminal, or one that cannot move its cursor.
    #[must_use]
    pub fn terminal() -> Option<Self> {
        let hidden = ProgressDrawTarget::stdout().is_hidden();
        (!hidden).then(|| Self::on(Screen::Terminal(Term::stdout())))
    }

    /// A bar on a terminal behind `out` with so many columns that understands ANSI escape codes.
    #[must_use]
    pub fn to(out: impl Write + Send + 'static, columns: u16) -> Self {
        Self::on(Screen::Writer(Writer { out: Arc::new(Mutex::new(out)), columns: columns.max(1) }))
    }

    const fn on(screen: Screen) -> Self {
        Self { screen, bar: None, began: None }
    }

    /// Removes the bar.
    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Writes lines that stay, if there is no bar.
    fn write(&self, lines: &[String]) -> HookResult {
        for line in lines {
            match &self.screen {
                Screen::Terminal(_) => println!("{line}"),
                Screen::Writer(writer) => writer.write(&format!("{line}\n"))?,
            }
        }
        Ok(())
    }

    /// Shows the lines of callbacks above the bar.
    fn show_lines(&self, control: &mut Control<'_>) -> HookResult {
        let lines = control.take_lines();
        match &self.bar {
            _ if lines.is_empty() => Ok(()),
            Some(bar) => bar.suspend(|| self.write(&lines)),
            None => self.write(&lines),
        }
    }

    /// Draws the bar after a batch.
    fn draw(&mut self, end: &BatchEnd<'_>, info: &FitInfo) {
        let done = end.batch + 1;
        let (first, at) = self.began.unwrap_or((0, Instant::now()));
        let per_step = at.elapsed().as_secs_f64().max(1e-9) / (done - first).max(1) as f64;
        let rate = info.samples as f64 / info.steps as f64 / per_step;
        let left = Duration::from_secs_f64(per_step * (info.steps - done) as f64);
        let speed = format!("{} samples/s  ETA {:#}", text::grouped(rate), HumanDuration(left));
        let width = self.screen.columns();
        let numbers = wrapped(text::numbers(end.logs), width, 2, 2);
        let screen = &self.screen;
        let bar = self.bar.get_or_insert_with(|| screen.bar(info.steps, end.epoch, info.epochs));
        bar.set_message(format!("{speed}\n{numbers}"));
        bar.update(|state| state.set_pos(done as u64));
    }
}

impl Callback for ProgressBar {
    fn name(&self) -> String {
        "ProgressBar".into()
    }

    fn batch_interval(&self) -> BatchInterval {
        BatchInterval::Time(INTERVAL)
    }

    fn on_train_begin(&mut self, control: &mut Control<'_>) -> HookResult {
        (self.bar, self.began) = (None, None);
        self.show_lines(control)
    }

    fn on_batch_begin(&mut self, batch: usize, _control: &mut Control<'_>) -> HookResult {
        self.began.get_or_insert_with(|| (batch, Instant::now()));
        Ok(())
    }

    fn on_batch_end(&mut self, end: &BatchEnd<'_>, control: &mut Control<'_>) -> HookResult {
        let info = *control.info();
        // An epoch that is over before the bar is due needs none. Other callbacks find an empty line at its end and may
        // print there.
        if end.batch + 1 < info.steps || (info.validation && self.bar.is_some()) {
            self.draw(end, &info);
        } else {
            self.clear();
        }
        self.show_lines(control)
    }

    fn on_test_begin(&mut self, _control: &mut Control<'_>) -> HookResult {
        if let Some(bar) = &self.bar {
            let message = bar.message();
            let numbers = message.split_once('\n').map_or("", |(_, numbers)| numbers);
            bar.set_message(format!("validating\n{numbers}"));
            bar.force_draw();
        }
        Ok(())
    }

    fn on_test_end(&mut self, control: &mut Control<'_>) -> HookResult {
        self.clear();
        self.show_lines(control)
    }

    fn on_epoch_end(&mut self, epoch: &mut Epoch, control: &mut Control<'_>) -> HookResult {
        self.clear();
        self.began = None;
        let items = text::summary(epoch, control.info().epochs);
        let indent = items[0].chars().count() + 2;
        self.write(&[wrapped(items.into_iter(), self.screen.columns(), 0, indent)])?;
        self.show_lines(control)
    }

    fn on_train_end(&mut self, control: &mut Control<'_>) -> HookResult {
        self.clear();
        self.show_lines(control)
    }
}

impl Screen {
    fn columns(&self) -> usize {
        match self {
            Self::Terminal(term) => usize::from(term.size().1),
            Self::Writer(writer) => usize::from(writer.columns),
        }
    }

    /// A bar for one epoch.
    fn bar(&self, steps: usize, epoch: usize, epochs: usize) -> indicatif::ProgressBar {
        let target = match self {
            Self::Terminal(_) => ProgressDrawTarget::stdout(),
            Self::Writer(writer) => ProgressDrawTarget::term_like(Box::new(writer.clone())),
        };
        let style = ProgressStyle::with_template("{prefix} {bar:20.green/dim} {pos}/{len}  {msg}");
        // The template is a constant. If the crate refuses it, a default bar takes its place.
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        indicatif::ProgressBar::with_draw_target(Some(steps as u64), target)
            .with_style(style.progress_chars("━╸─"))
            .with_prefix(text::counter(epoch, epochs))
            .with_finish(ProgressFinish::AndClear)
    }
}

/// Items with two spaces between them, in lines of at most `columns` characters, unless an item is longer than that.
/// `begin` spaces come before the first line, `indent` before the others.
fn wrapped(
    items: impl Iterator<Item = String>,
    columns: usize,
    begin: usize,
    indent: usize,
) -> String {
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 2 + item.chars().count() <= columns => {
                *line += &format!("  {item}");
            }
            Some(_) => lines.push(format!("{:indent$}{item}", "")),
            None => lines.push(format!("{:begin$}{item}", "")),
        }
    }
    lines.join("\n")
}

/// A terminal behind a writer.
#[derive(Clone)]
struct Writer {
    out: Arc<Mutex<dyn Write + Send>>,
    columns: u16,
}

impl Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Writer {
    fn write(&self, text: &str) -> io::Result<()> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes())
    }

    /// The escape code that moves the cursor.
    fn go(&self, n: usize, towards: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.write(&format!("\x1b[{n}{towards}")) }
    }
}

impl TermLike for Writer {
    fn width(&self) -> u16 {
        self.columns
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.go(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.go(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.go(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.go(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.write(&format!("{s}\n"))
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.write(s)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}
