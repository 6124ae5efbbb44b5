//! Logs: text or JSON on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people; coloured on a terminal.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// What is toned down under every filter that does not name it. An outage
/// makes the SDK log each retried call of each poller: the process says the
/// same once, itself.
/// Nor does each activity's span help anyone.
const QUIET: [&str; 7] = [
    "temporalio_client=error",
    "temporalio_sdk=warn",
    "temporalio_sdk_core::pollers=error",
    "temporalio_sdk_core::worker=error",
    "temporalio_sdk_core::worker::workflow=warn",
    "h2=warn",
    "hyper=warn",
];

/// The directives of `filter`, with the noisy targets toned down first so that
/// a directive of `filter` for the same target wins.
fn directives(filter: &str) -> String {
    let mut all: Vec<&str> = QUIET
        .into_iter()
        .filter(|quiet| {
            let target = quiet.split('=').next().unwrap_or(quiet);
            !filter
                .split(',')
                .any(|given| given.trim().starts_with(target))
        })
        .collect();
    all.push(filter);
    all.join(",")
}

/// Sends the process's log lines to stderr.
///
/// # Errors
/// When `filter` cannot be read. A second call changes nothing.
pub fn install_logs(format: LogFormat, filter: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(directives(filter))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Only a second call fails; the first one's settings stay.
    let _already_installed = match format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noisy_targets_are_quiet_unless_asked_for() {
        assert_eq!(
            directives("info"),
            "temporalio_client=error,temporalio_sdk=warn,temporalio_sdk_core::pollers=error,\
             temporalio_sdk_core::worker=error,\
             temporalio_sdk_core::worker::workflow=warn,h2=warn,hyper=warn,info"
        );
        assert_eq!(
            directives("debug,temporalio_client=debug,h2=debug"),
            "temporalio_sdk=warn,temporalio_sdk_core::pollers=error,\
             temporalio_sdk_core::worker=error,\
             temporalio_sdk_core::worker::workflow=warn,hyper=warn,\
             debug,temporalio_client=debug,h2=debug"
        );
    }
}
