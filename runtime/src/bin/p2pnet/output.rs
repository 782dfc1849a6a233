//! Standard output and standard error: who gets to see what.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;
use p2pnet::{ContentId, Event};
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::human::{self, Names, Word};
use crate::json::{self, Line};

/// Where a command tells what happens. Results go to standard output, as lines for people or as JSON; logs,
/// remarks and progress bars go to standard error, and bars step aside for lines.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    started: Instant,
    names: Names,
    network: String,
    bars: MultiProgress,
}

impl Output {
    /// Times count from `started`.
    pub(crate) fn new(json: bool, started: Instant) -> Output {
        Output { json, started, names: Names::default(), network: String::new(), bars: MultiProgress::new() }
    }

    /// The network that lines for people mention.
    pub(crate) fn set_network(&mut self, network: &str) {
        network.clone_into(&mut self.network);
    }

    /// Logs go to standard error from now on: warnings, and more the more `verbose`. `RUST_LOG` decides if it is
    /// set and nothing was asked for.
    pub(crate) fn log_to_stderr(&self, verbose: u8) {
        let ours = |level: &str| EnvFilter::new(format!("warn,p2pnet={level},p2pnet_engine={level}"));
        let filter = match verbose {
            0 => EnvFilter::try_from_default_env().unwrap_or_else(|_| ours("warn")),
            1 => ours("info"),
            2 => ours("debug"),
            _ => ours("trace"),
        };
        let bars = self.bars.clone();
        let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
        let made = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(move || BesideBars(bars.clone()))
            .with_ansi(colours)
            .try_init();
        debug_assert!(made.is_ok(), "only the program itself sets up logging");
    }

    /// Whether programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// The time since the process started.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The names learned from events.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Remembers what a content of ours is called.
    pub(crate) fn learn_content(&mut self, content: ContentId, name: String) {
        self.names.learn_content(content, name);
    }

    /// Tells an event.
    pub(crate) fn event(&mut self, event: &Event) -> Result<(), Failure> {
        self.names.learn(event);
        if self.json {
            return json::event(event, self.elapsed()).map_or(Ok(()), |line| self.print(&line.end()));
        }
        let told = human::event(event, &self.names, &self.network);
        told.map_or(Ok(()), |(word, rest)| self.print(&human::line(self.elapsed(), word, &rest)))
    }

    /// Tells an event of the program itself: `object` to programs, `word` and `rest` to people.
    pub(crate) fn tell(
        &self,
        object: impl FnOnce(Duration) -> Line,
        word: Word,
        rest: &str,
    ) -> Result<(), Failure> {
        let at = self.elapsed();
        self.print(&if self.json { object(at).end() } else { human::line(at, word, rest) })
    }

    /// Tells an object that only programs are interested in.
    pub(crate) fn object(&self, object: impl FnOnce(Duration) -> Line) -> Result<(), Failure> {
        if self.json { self.print(&object(self.elapsed()).end()) } else { Ok(()) }
    }

    /// Tells people a line of a command's result.
    pub(crate) fn line(&self, line: &str) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.print(line) }
    }

    /// A remark for people, on standard error; programs may ignore it.
    pub(crate) fn remark(&self, remark: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(anstream::stderr(), "{} {remark}", "note:".yellow().bold());
        });
    }

    /// A progress bar over so many bytes; invisible where standard error is no terminal.
    pub(crate) fn bar(&self, bytes: u64, what: String) -> ProgressBar {
        let style = ProgressStyle::with_template(
            "{msg:28!} [{bar:24}] {bytes:>10} of {total_bytes:10} {binary_bytes_per_sec:>12} {eta:>4}",
        );
        let bar = ProgressBar::new(bytes).with_message(what);
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        self.bars.add(bar)
    }

    /// A line on standard error that changes; invisible where that is no terminal.
    pub(crate) fn spinner(&self) -> ProgressBar {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        self.bars.add(bar)
    }

    /// The last word: what went wrong, and the exit code.
    pub(crate) fn end(&self, outcome: Result<(), Failure>) -> ExitCode {
        let Err(failure) = outcome else { return ExitCode::SUCCESS };
        if let Some(message) = failure.message() {
            // One line, whatever an operating system or a path put into it.
            let message = crate::text::escaped(message);
            let _ = self.bars.clear();
            let _ = self.object(|at| Line::new("error", at).text("message", &message));
            let _ = writeln!(anstream::stderr(), "{} {message}", "error:".red().bold());
        }
        ExitCode::from(failure.code())
    }

    /// One line to standard output, at once.
    pub(crate) fn print(&self, line: &str) -> Result<(), Failure> {
        self.bars.suspend(|| {
            let mut stdout = anstream::stdout().lock();
            writeln!(stdout, "{line}")?;
            stdout.flush()
        })?;
        Ok(())
    }
}

/// Standard error for the log, where progress bars may be.
struct BesideBars(MultiProgress);

impl Write for BesideBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
