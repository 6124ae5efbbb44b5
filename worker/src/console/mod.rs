//! Standard output and standard error: the only module that writes to them.
//!
//! Always holds:
//! - Every character that is written is either Almanac's own or escaped: a page consists
//!   of lines, and each line is escaped as a whole. Colors are added after that.
//! - A write that fails never stops the process. Output that cannot be written is dropped
//!   and counted; a command that could not print its result exits with 1.
//! - A worker never waits for the reader of its output: after [`detach`], a thread writes
//!   from a bounded queue.
//!
//! A reader of standard output that closes it (`| head`) is not a failure.

#![expect(
    clippy::disallowed_methods,
    reason = "the one place that asks for the standard streams"
)]

mod outlet;
mod page;
mod table;
mod yaml;

use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::time::Duration;

use almanac_base::text;
use anstream::{AutoStream, ColorChoice};

use self::outlet::Outlet;
pub(crate) use self::page::{Cell, Medium, Page, Tone};
pub(crate) use self::table::{Column, Table, cut};

/// Maximum time that the end of the process waits for output that nobody reads.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

static OUT: Outlet = Outlet::new(outlet::Stream::Out);
static ERR: Outlet = Outlet::new(outlet::Stream::Err);

/// Leaves writing to threads from now on, so that no caller waits for a reader.
pub(crate) fn detach() {
    OUT.detach();
    ERR.detach();
}

/// Waits, within a bound, until the queued output is written.
pub(crate) fn flush() {
    OUT.flush(FLUSH_LIMIT);
    ERR.flush(FLUSH_LIMIT);
}

/// Returns the number of lines of standard error that were dropped since the start.
pub(crate) fn dropped_lines() -> u64 {
    ERR.dropped()
}

/// Returns `true` if output to standard output was lost.
pub(crate) fn lost_output() -> bool {
    OUT.failed()
}

/// Returns `true` if standard error is a terminal that takes colors.
pub(crate) fn logs_are_colored() -> bool {
    AutoStream::choice(&std::io::stderr()) != ColorChoice::Never
}

/// Prints a page to standard output.
pub(crate) fn print(page: &Page) {
    OUT.write(page.rendered(output_medium()).into_bytes());
}

/// Prints a page over the one before. Only as many lines are printed as the terminal has. If
/// standard output is no terminal, the page is printed below the one before, after an empty
/// line.
pub(crate) fn redraw(page: &Page) {
    let medium = output_medium();
    let text = page.rendered(medium);
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    // A terminal that does not know its height says 0.
    let rows = size.map_or(0, |size| usize::from(size.ws_row));
    if rows == 0 {
        OUT.write(format!("{text}\n").into_bytes());
        return;
    }
    let plain = page.rendered(Medium {
        colors: false,
        ..medium
    });
    let lines: Vec<_> = text.lines().collect();
    let shown = lines_that_fit(&plain, rows, medium.width);
    // To the upper left, each line to its end, and nothing below.
    let mut out = String::from("\u{1b}[H");
    for line in lines.iter().take(shown) {
        out += line;
        out += "\u{1b}[K\n";
    }
    if lines.len() > shown {
        let more = lines.len() - shown;
        write!(out, "and {more} more lines\u{1b}[K").unwrap_or_default();
    }
    out += "\u{1b}[J";
    OUT.write(out.into_bytes());
}

/// The number of lines of a text that fit on a terminal above one more line. A line that is
/// wider than the terminal takes several rows.
fn lines_that_fit(page: &str, rows: usize, width: Option<usize>) -> usize {
    let mut room = rows.saturating_sub(2).max(1);
    let taken = |line: &str| match width {
        Some(width) => text::width(line).div_ceil(width).max(1),
        None => 1,
    };
    let fits = |line: &&str| {
        let taken = taken(line);
        let fits = taken <= room;
        room = room.saturating_sub(taken);
        fits
    };
    page.lines().take_while(fits).count()
}

/// Returns `true` if the reader of standard output has closed it.
pub(crate) fn is_output_closed() -> bool {
    OUT.closed()
}

/// The number of columns of the terminal that standard output leads to. `None` if it leads
/// elsewhere.
pub(crate) fn output_width() -> Option<usize> {
    columns(std::io::stdout())
}

/// The place that standard output leads to.
fn output_medium() -> Medium {
    let out = std::io::stdout();
    Medium {
        colors: AutoStream::choice(&out) != ColorChoice::Never,
        width: columns(&out),
    }
}

/// The number of columns of a stream's terminal; `None` if the stream leads elsewhere.
fn columns(stream: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    // A terminal that does not know its width says 0.
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Prints a JSON document to standard output.
pub(crate) fn print_json(document: &str) {
    OUT.write(format!("{}\n", text::json(document)).into_bytes());
}

/// Prints data to standard output as a YAML document.
pub(crate) fn print_yaml(data: &serde_json::Value) {
    OUT.write(yaml::document(data).into_bytes());
}

/// Prints a document that consists of the program's own text (a schema, a script, a
/// manual page) unchanged.
pub(crate) fn print_verbatim(document: String) {
    OUT.write(document.into_bytes());
}

/// Prints a line to standard error.
pub(crate) fn eprint(line: &str) {
    eprint_page(&Page::of_line(line));
}

/// Prints a page to standard error.
pub(crate) fn eprint_page(page: &Page) {
    let medium = Medium {
        colors: logs_are_colored(),
        width: columns(std::io::stderr()),
    };
    ERR.write(page.rendered(medium).into_bytes());
}

/// Prints text that clap composed to standard error. The caller has checked that no
/// argument in the text needs escaping.
pub(crate) fn eprint_styled(text: &clap::builder::StyledStr) {
    ERR.write(styled(text, logs_are_colored()).into_bytes());
}

/// Prints text that clap composed to standard output.
pub(crate) fn print_styled(text: &clap::builder::StyledStr) {
    let colors = AutoStream::choice(&std::io::stdout()) != ColorChoice::Never;
    OUT.write(styled(text, colors).into_bytes());
}

fn styled(composed: &clap::builder::StyledStr, colors: bool) -> String {
    if colors {
        return composed.ansi().to_string();
    }
    let lines: Vec<String> = composed
        .to_string()
        .split('\n')
        .map(|line| text::line(line).into_owned())
        .collect();
    lines.join("\n")
}

/// Writes a log line, which is already escaped.
pub(crate) fn log(line: Vec<u8>) {
    ERR.write(line);
}

/// Makes this module report panics on standard error: the default hook panics again if it
/// cannot write.
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        let trace = std::backtrace::Backtrace::capture();
        let traced = trace.status() == std::backtrace::BacktraceStatus::Captured;
        let backtrace = traced.then(|| trace.to_string());
        if tracing::enabled!(tracing::Level::ERROR) {
            tracing::error!(thread, place, said = message, backtrace, "panicked");
        } else {
            eprint(&format!("thread `{thread}` panicked at {place}: {message}"));
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_line_takes_the_rows_that_it_wraps_to() {
        let page = "12345678901\nb\n\nd\n";
        assert_eq!(lines_that_fit(page, 10, Some(80)), 4);
        assert_eq!(lines_that_fit(page, 10, None), 4);
        assert_eq!(lines_that_fit(page, 5, Some(5)), 1);
        assert_eq!(lines_that_fit(page, 6, Some(5)), 2);
        assert_eq!(lines_that_fit(page, 4, Some(5)), 0);
        assert_eq!(lines_that_fit(page, 1, Some(80)), 1);
    }
}
