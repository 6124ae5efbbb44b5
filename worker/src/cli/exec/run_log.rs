//! The lines about a run without a server, on standard error.

use std::time::Duration;

use almanac_steps::machine::{Entry, Fault};
use jiff::Timestamp;
use serde_json::Value;

use crate::console::{self, Cell, Page, Tone};
use crate::time_text::span;
use crate::wording::counted;

/// Maximum number of characters of a task's output that are shown. On a terminal, the output
/// is cut at the edge too.
const OUTPUT_LIMIT: usize = 200;

/// Something that happened in a run.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// The machine logged an entry.
    Entry(&'a Entry),
    /// A step emits this event.
    Emits(&'a Value),
    /// The run gets this event.
    Receives(&'a Value),
    /// The event that the run got is dropped, for this reason.
    Drops(&'static str),
    /// The command waits for this number of commands that no step waits for.
    Awaits(usize),
}

/// Prints a line for each message about a run, with the seconds since the run began.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunLog {
    began: Timestamp,
}

impl RunLog {
    pub(super) fn new(began: Timestamp) -> Self {
        Self { began }
    }

    pub(super) fn print(self, message: &Message) {
        let seconds = Timestamp::now().duration_since(self.began).as_secs_f64();
        let mut page = Page::default();
        line(seconds, message, &mut page);
        console::eprint_page(&page);
    }
}

/// Adds the line about a message.
fn line(seconds: f64, message: &Message, page: &mut Page) {
    let (tone, action, text) = match message {
        Message::Entry(entry) => of_entry(entry),
        Message::Emits(event) => (Tone::Strong, "emits", event.to_string()),
        Message::Receives(event) => (Tone::Strong, "receives", event.to_string()),
        Message::Drops(reason) => (Tone::Caution, "drops", format!("the event: {reason}")),
        Message::Awaits(commands) => {
            let commands = counted(*commands as u64, "command", "commands");
            let text = format!("{commands} that no step waits for");
            (Tone::Caution, "awaits", text)
        }
    };
    let output = match message {
        Message::Entry(Entry::Completed { output, .. }) => shortened(output),
        _ => String::new(),
    };
    page.cut_cells([
        Cell::toned(Tone::Muted, format!("{seconds:8.3}s  ")),
        Cell::toned(tone, format!("{action:<9}  ")),
        text.into(),
        Cell::toned(Tone::Muted, output),
    ]);
}

/// The action of an entry with its tone, and the task.
fn of_entry(entry: &Entry) -> (Tone, &'static str, String) {
    let place = |task: &str| task.trim_start_matches('/').to_owned();
    match entry {
        Entry::Began { task } => (Tone::Muted, "begins", place(task)),
        Entry::Skipped { task } => (Tone::Muted, "skips", place(task)),
        Entry::Completed { task, .. } => (Tone::Good, "completes", format!("{}: ", place(task))),
        Entry::Faulted { task, fault } => {
            let text = format!("{}: {}", place(task), cause(task, fault));
            (Tone::Bad, "fails", text)
        }
        Entry::Retrying {
            task,
            attempt,
            delay,
        } => {
            let (place, delay) = (place(task), delay_text(*delay));
            let text = format!("{place}: retry {attempt} after {delay}");
            (Tone::Caution, "retries", text)
        }
        Entry::Caught { task } => (Tone::Caution, "catches", place(task)),
    }
}

/// A delay to the millisecond, or in its greatest units from a minute on.
fn delay_text(delay: Duration) -> String {
    if delay >= Duration::from_mins(1) {
        span(delay, 2)
    } else {
        let millis = u64::try_from(delay.as_millis()).unwrap_or_default();
        format!("{}s", Duration::from_millis(millis).as_secs_f64())
    }
}

/// The text of a task's error. The place of the error is left out if it is the task.
fn cause(task: &str, fault: &Fault) -> String {
    if fault.instance.as_deref() != Some(task) {
        return fault.to_string();
    }
    let placeless = Fault {
        instance: None,
        ..fault.clone()
    };
    placeless.to_string()
}

/// The beginning of a value, on one line.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(OUTPUT_LIMIT) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use almanac_steps::machine::Standard;
    use serde_json::json;

    use super::*;

    fn task(path: &str) -> String {
        format!("/do/{path}")
    }

    /// The lines about a run with each kind of message.
    fn page() -> Page {
        let orders =
            json!({ "orders": (1..=30).map(|id| json!({ "id": id })).collect::<Vec<_>>() });
        let refused = Fault {
            instance: Some("/do/2/send/try/0/post".to_owned()),
            ..Standard::Communication.fault("http://shop/: Connection refused (os error 111)")
        };
        let escaped = json!("\u{1b}[2J\u{202e}");
        let event = json!({ "type": "paid", "id": "7", "source": "/shop", "data": { "n": 5 } });
        let entries = [
            Entry::Began {
                task: task("0/ask"),
            },
            Entry::Completed {
                task: task("0/ask"),
                output: orders,
            },
            Entry::Skipped {
                task: task("1/warn"),
            },
            Entry::Faulted {
                task: task("2/send/try/0/post"),
                fault: refused.clone(),
            },
            Entry::Retrying {
                task: task("2/send"),
                attempt: 1,
                delay: Duration::from_micros(1_500_250),
            },
            Entry::Caught {
                task: task("2/send"),
            },
            Entry::Completed {
                task: task("2/send"),
                output: escaped,
            },
            Entry::Faulted {
                task: task("3/all"),
                fault: refused,
            },
        ];
        let events = [
            Message::Emits(&event),
            Message::Receives(&event),
            Message::Drops("no step listens for its type"),
            Message::Awaits(1),
            Message::Awaits(2),
        ];
        let mut page = Page::default();
        let messages = entries.iter().map(Message::Entry).chain(events);
        for (message, index) in messages.zip(0_u8..) {
            line(f64::from(index) * 12.345, &message, &mut page);
        }
        page
    }

    #[test]
    fn a_line_for_each_message_fits_the_terminal_but_for_errors_and_events() {
        insta::assert_snapshot!(page().at_width(80), @r#"
          0.000s  begins     do/0/ask
         12.345s  completes  do/0/ask: {"orders":[{"id":1},{"id":2},{"id":3},{"id":4},…
         24.690s  skips      do/1/warn
         37.035s  fails      do/2/send/try/0/post: Communication Error (status 500): http://shop/: Connection refused (os error 111)
         49.380s  retries    do/2/send: retry 1 after 1.5s
         61.725s  catches    do/2/send
         74.070s  completes  do/2/send: "\u001b[2J\u{202e}"
         86.415s  fails      do/3/all: Communication Error (status 500, at /do/2/send/try/0/post): http://shop/: Connection refused (os error 111)
         98.760s  emits      {"data":{"n":5},"id":"7","source":"/shop","type":"paid"}
        111.105s  receives   {"data":{"n":5},"id":"7","source":"/shop","type":"paid"}
        123.450s  drops      the event: no step listens for its type
        135.795s  awaits     1 command that no step waits for
        148.140s  awaits     2 commands that no step waits for
        "#);
        insta::assert_snapshot!(page().at_width(120), @r#"
          0.000s  begins     do/0/ask
         12.345s  completes  do/0/ask: {"orders":[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5},{"id":6},{"id":7},{"id":8},{"id…
         24.690s  skips      do/1/warn
         37.035s  fails      do/2/send/try/0/post: Communication Error (status 500): http://shop/: Connection refused (os error 111)
         49.380s  retries    do/2/send: retry 1 after 1.5s
         61.725s  catches    do/2/send
         74.070s  completes  do/2/send: "\u001b[2J\u{202e}"
         86.415s  fails      do/3/all: Communication Error (status 500, at /do/2/send/try/0/post): http://shop/: Connection refused (os error 111)
         98.760s  emits      {"data":{"n":5},"id":"7","source":"/shop","type":"paid"}
        111.105s  receives   {"data":{"n":5},"id":"7","source":"/shop","type":"paid"}
        123.450s  drops      the event: no step listens for its type
        135.795s  awaits     1 command that no step waits for
        148.140s  awaits     2 commands that no step waits for
        "#);
    }

    #[test]
    fn actions_are_colored_by_their_result() {
        insta::assert_snapshot!(page().in_color(), @r#"
        ESC[2m   0.000s  ESC[0mESC[2mbegins     ESC[0mdo/0/ask
        ESC[2m  12.345s  ESC[0mESC[32mcompletes  ESC[0mdo/0/ask: ESC[2m{"orders":[{"id":1},{"id":2},{"id":3},{"id":4},…ESC[0m
        ESC[2m  24.690s  ESC[0mESC[2mskips      ESC[0mdo/1/warn
        ESC[2m  37.035s  ESC[0mESC[31mfails      ESC[0mdo/2/send/try/0/post: Communication Error (status 500): http://shop/: Connection refused (os error 111)
        ESC[2m  49.380s  ESC[0mESC[33mretries    ESC[0mdo/2/send: retry 1 after 1.5s
        ESC[2m  61.725s  ESC[0mESC[33mcatches    ESC[0mdo/2/send
        ESC[2m  74.070s  ESC[0mESC[32mcompletes  ESC[0mdo/2/send: ESC[2m"\u001b[2J\u{202e}"ESC[0m
        ESC[2m  86.415s  ESC[0mESC[31mfails      ESC[0mdo/3/all: Communication Error (status 500, at /do/2/send/try/0/post): http://shop/: Connection refused (os error 111)
        ESC[2m  98.760s  ESC[0mESC[1memits      ESC[0m{"data":{"n":5},"id":"7","source":"/shop","type":"paid"}
        ESC[2m 111.105s  ESC[0mESC[1mreceives   ESC[0m{"data":{"n":5},"id":"7","source":"/shop","type":"paid"}
        ESC[2m 123.450s  ESC[0mESC[33mdrops      ESC[0mthe event: no step listens for its type
        ESC[2m 135.795s  ESC[0mESC[33mawaits     ESC[0m1 command that no step waits for
        ESC[2m 148.140s  ESC[0mESC[33mawaits     ESC[0m2 commands that no step waits for
        "#);
        insta::assert_snapshot!(page().in_color_at(120), @r#"
        ESC[2m   0.000s  ESC[0mESC[2mbegins     ESC[0mdo/0/ask
        ESC[2m  12.345s  ESC[0mESC[32mcompletes  ESC[0mdo/0/ask: ESC[2m{"orders":[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5},{"id":6},{"id":7},{"id":8},{"id…ESC[0m
        ESC[2m  24.690s  ESC[0mESC[2mskips      ESC[0mdo/1/warn
        ESC[2m  37.035s  ESC[0mESC[31mfails      ESC[0mdo/2/send/try/0/post: Communication Error (status 500): http://shop/: Connection refused (os error 111)
        ESC[2m  49.380s  ESC[0mESC[33mretries    ESC[0mdo/2/send: retry 1 after 1.5s
        ESC[2m  61.725s  ESC[0mESC[33mcatches    ESC[0mdo/2/send
        ESC[2m  74.070s  ESC[0mESC[32mcompletes  ESC[0mdo/2/send: ESC[2m"\u001b[2J\u{202e}"ESC[0m
        ESC[2m  86.415s  ESC[0mESC[31mfails      ESC[0mdo/3/all: Communication Error (status 500, at /do/2/send/try/0/post): http://shop/: Connection refused (os error 111)
        ESC[2m  98.760s  ESC[0mESC[1memits      ESC[0m{"data":{"n":5},"id":"7","source":"/shop","type":"paid"}
        ESC[2m 111.105s  ESC[0mESC[1mreceives   ESC[0m{"data":{"n":5},"id":"7","source":"/shop","type":"paid"}
        ESC[2m 123.450s  ESC[0mESC[33mdrops      ESC[0mthe event: no step listens for its type
        ESC[2m 135.795s  ESC[0mESC[33mawaits     ESC[0m1 command that no step waits for
        ESC[2m 148.140s  ESC[0mESC[33mawaits     ESC[0m2 commands that no step waits for
        "#);
    }

    #[test]
    fn a_delay_is_shown_to_the_millisecond_or_in_its_greatest_units() {
        assert_eq!(delay_text(Duration::from_nanos(1_234_567_890)), "1.234s");
        assert_eq!(delay_text(Duration::from_millis(250)), "0.25s");
        assert_eq!(delay_text(Duration::from_mins(90)), "1h 30m");
        assert_eq!(delay_text(Duration::ZERO), "0s");
    }

    #[test]
    fn a_long_output_is_shortened_in_a_file_too() {
        let output = json!("ä".repeat(1000));
        let task = task("0/ask");
        let mut page = Page::default();
        line(
            0.0,
            &Message::Entry(&Entry::Completed { task, output }),
            &mut page,
        );
        let text = page.to_string();
        assert!(text.ends_with("ää…\n"), "{text}");
        assert!(text.chars().count() < 250, "{text}");
    }
}
