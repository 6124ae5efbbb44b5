//! `--watch`: prints a page again and again until Ctrl-C.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use crate::console::{self, Page, Tone};
use crate::failure;
use crate::time_text::utc;

/// Prints the page that `draw` makes every `interval`. After an error, the error is printed
/// in place of the page, and the next attempt follows: a server that restarts does not end the
/// command.
pub(super) async fn watch<F, Fut>(interval: Duration, mut draw: F) -> anyhow::Result<ExitCode>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<Page>>,
{
    loop {
        let drawn = draw().await;
        let mut page = Page::default();
        let every = interval.as_secs();
        page.toned(
            Tone::Muted,
            format!("every {every}s, last at {}", utc(Timestamp::now())),
        );
        page.append(match drawn {
            Ok(drawn) => drawn,
            Err(error) => failure::page("error: ", &error),
        });
        console::redraw(&page);
        if console::lost_output() || console::is_output_closed() {
            return Ok(ExitCode::SUCCESS);
        }
        sleep(interval).await;
    }
}
