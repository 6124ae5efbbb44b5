//! Logs: text or JSON on stderr, one line for each event.
//!
//! An event is escaped as a whole, whoever logs it: messages, fields and spans of
//! Almanac, of the SDK and of the other crates.

use std::fmt;
use std::io;

use almanac_base::text;
use anstyle::{AnsiColor, Style};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{Format, Full, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::console;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people, colored on a terminal.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
}

/// Directives that quiet noisy targets, unless the filter names the target. During an
/// outage the SDK logs each retried call of each poller, while the process itself logs
/// the outage once. Nor does the span of each activity help anyone.
const QUIET: [&str; 8] = [
    // It logs each connection once more, and at the level debug whole messages.
    "async_nats=warn",
    "temporalio_client=error",
    "temporalio_sdk=warn",
    "temporalio_sdk_core::pollers=error",
    "temporalio_sdk_core::worker=error",
    "temporalio_sdk_core::worker::workflow=warn",
    "h2=warn",
    "hyper=warn",
];

/// Returns the directives of `filter`, after those that quiet noisy targets, so that a
/// directive of `filter` for the same target wins.
fn directives(filter: &str) -> String {
    let mut all: Vec<&str> = QUIET
        .into_iter()
        .filter(|quiet| {
            let target = quiet.split('=').next().unwrap_or(quiet);
            !filter
                .split(',')
                .any(|directive| directive.trim().starts_with(target))
        })
        .collect();
    all.push(filter);
    all.join(",")
}

/// Sends the process's log lines to stderr. A second call changes nothing.
///
/// # Errors
/// `filter` cannot be parsed.
pub fn install_logs(format: LogFormat, filter: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(directives(filter))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Lines::default);
    // Only a second call fails; the first one's settings stay.
    let _already_installed = match format {
        LogFormat::Text => builder
            .with_ansi(false)
            .event_format(TextLine::new(console::logs_are_colored()))
            .try_init(),
        LogFormat::Json => builder
            .fmt_fields(JsonFields::new())
            .event_format(JsonLine::new())
            .try_init(),
    };
    Ok(())
}

/// Formats an event as a line for people: time, level, and the rest, escaped.
struct TextLine {
    rest: Format<Full, ()>,
    colored: bool,
}

impl TextLine {
    fn new(colored: bool) -> Self {
        let rest = Format::default().without_time().with_level(false);
        Self { rest, colored }
    }
}

impl<S, N> FormatEvent<S, N> for TextLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (dim, level) = if self.colored {
            (Style::new().dimmed(), style(*event.metadata().level()))
        } else {
            (Style::new(), Style::new())
        };
        write!(writer, "{dim}")?;
        SystemTime.format_time(&mut writer)?;
        let name = event.metadata().level();
        write!(writer, "{dim:#} {level}{name:>5}{level:#} ")?;
        let rest = formatted(&self.rest, context, event)?;
        writeln!(writer, "{}", text::escaped(rest.trim()))
    }
}

fn style(level: Level) -> Style {
    let color = match level {
        Level::ERROR => AnsiColor::Red,
        Level::WARN => AnsiColor::Yellow,
        Level::INFO => AnsiColor::Green,
        Level::DEBUG => AnsiColor::Blue,
        Level::TRACE => AnsiColor::Magenta,
    };
    color.on_default()
}

/// Formats an event as a JSON object on one line. Characters that JSON itself leaves as
/// they are (bidirectional overrides, line separators) are written as JSON escapes.
struct JsonLine(Format<Json>);

impl JsonLine {
    fn new() -> Self {
        Self(Format::default().json().flatten_event(true))
    }
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let line = formatted(&self.0, context, event)?;
        writeln!(writer, "{}", text::json(line.trim_end()))
    }
}

/// Returns an event as `format` formats it, without colors.
fn formatted<S, N>(
    format: &impl FormatEvent<S, N>,
    context: &FmtContext<'_, S, N>,
    event: &Event<'_>,
) -> Result<String, fmt::Error>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let mut line = String::new();
    format.format_event(context, Writer::new(&mut line), event)?;
    Ok(line)
}

/// Passes each event's line to the console, which never fails.
#[derive(Default)]
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        console::log(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The hostile parts of an event: its message, its fields, and a span around it.
    fn log_hostile_event() {
        crate::telemetry::ask_every_subscriber();
        let text = "a\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J\u{9b}31m\u{202e}\u{2028}\u{85}##[error]x";
        let span = tracing::error_span!("around", name = %text);
        let _entered = span.enter();
        tracing::error!(debug = ?text, shown = %text, plain = text, "{text}");
    }

    #[test]
    fn an_event_is_one_line_of_text_whatever_it_holds() {
        for colored in [false, true] {
            let kept = Kept::default();
            let writer = kept.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_writer(move || writer.clone())
                .with_ansi(false)
                .event_format(TextLine::new(colored))
                .finish();
            tracing::subscriber::with_default(subscriber, log_hostile_event);
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            let line = text.strip_suffix('\n').unwrap();
            // Time and level stand before the first word of the rest.
            let (own, rest) = line.split_once("around").unwrap();
            assert_eq!(own.contains('\u{1b}'), colored, "{line}");
            assert!(!rest.contains(text::is_hidden), "{rest}");
            assert!(rest.contains("a\\n2026"), "{rest}");
            assert!(!rest.contains("##["), "{rest}");
        }
    }

    #[test]
    fn an_event_is_one_line_of_json_that_holds_the_text() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(JsonLine::new())
            .finish();
        tracing::subscriber::with_default(subscriber, log_hostile_event);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(
            !line.contains(text::is_hidden) && !line.contains("##["),
            "{line}"
        );
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let message = event["message"].as_str().unwrap();
        assert!(
            message.contains("\u{202e}") && message.starts_with("a\n"),
            "{event}"
        );
    }

    #[test]
    fn noisy_targets_are_quiet_unless_asked_for() {
        assert_eq!(
            directives("info"),
            "async_nats=warn,temporalio_client=error,temporalio_sdk=warn,temporalio_sdk_core::pollers=error,\
             temporalio_sdk_core::worker=error,\
             temporalio_sdk_core::worker::workflow=warn,h2=warn,hyper=warn,info"
        );
        assert_eq!(
            directives("debug,temporalio_client=debug,h2=debug"),
            "async_nats=warn,temporalio_sdk=warn,temporalio_sdk_core::pollers=error,\
             temporalio_sdk_core::worker=error,\
             temporalio_sdk_core::worker::workflow=warn,hyper=warn,\
             debug,temporalio_client=debug,h2=debug"
        );
    }
}
