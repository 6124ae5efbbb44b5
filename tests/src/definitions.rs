//! Definitions that tests write. They start workflows of a type that nobody
//! runs, so a run that is started stays visible.

use std::fmt::Write as _;

/// A definition with one cron string and no id: its file's stem is its id.
pub fn cron(cron: &str) -> String {
    with_schedule(&format!("  cron: \"{cron}\"\n"))
}

/// The same, with `schedule.enabled: false`.
pub fn paused_cron(cron: &str) -> String {
    with_schedule(&format!("  enabled: false\n  cron: \"{cron}\"\n"))
}

/// A definition with these lines in its `schedule:` block.
pub fn with_schedule(lines: &str) -> String {
    format!("schedule:\n{lines}workflow:\n  type: Nobody\n  task_queue: nobody\n")
}

/// A file with `count` documents, ids `{stem}-000` and on, each at a time of its own.
pub fn many(stem: &str, count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        let (minute, hour) = (n % 60, n / 60 % 24);
        write!(
            text,
            "---\nid: {stem}-{n:03}\n{}",
            cron(&format!("{minute} {hour} 1 1 *"))
        )
        .expect("writing to a string");
    }
    text
}
