//! The release of the Temporal server that the tests run against: the pinned one, or an older one
//! that `make compat` names.
//!
//! A test that needs what an older release lacks does nothing there. It says so past the capture of
//! its output, since a test that passes prints nothing else.

use std::io::Write;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use crate::cli::temporal_binary;

/// The first release (major, minor) with a CHASM scheduler whose schedules can be listed by their
/// ids.
pub(crate) const CHASM_SINCE: (u32, u32) = (1, 32);

/// A feature that older servers lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// The CHASM scheduler.
    Chasm,
    /// The end of the search for the next time of a schedule whose exclusions leave none.
    EndOfSearch,
    /// The migration of schedules to the CHASM scheduler.
    Migration,
    /// Activities that no workflow starts.
    StandaloneActivities,
}

impl Feature {
    /// The first release (major, minor) with the feature.
    const fn since(self) -> (u32, u32) {
        match self {
            Self::Chasm => CHASM_SINCE,
            Self::EndOfSearch => (1, 30),
            Self::Migration => (1, 32),
            Self::StandaloneActivities => (1, 31),
        }
    }

    /// Returns `true` if the server has the feature. Otherwise says that this test does nothing.
    pub fn is_there(self) -> bool {
        let (release, since) = (release(), self.since());
        if release >= since {
            return true;
        }
        let test = thread::current().name().unwrap_or("a test").to_owned();
        let line = format!(
            "not run: {test} needs {self:?} (Temporal server {}.{} or newer), and this is {}.{}\n",
            since.0, since.1, release.0, release.1
        );
        std::io::stderr()
            .write_all(line.as_bytes())
            .expect("standard error");
        false
    }
}

/// The release (major, minor) of the server in Temporal's CLI.
pub(crate) fn release() -> (u32, u32) {
    static RELEASE: OnceLock<(u32, u32)> = OnceLock::new();
    *RELEASE.get_or_init(|| {
        let temporal = temporal_binary().expect("Temporal's CLI");
        let output = Command::new(temporal).arg("--version").output();
        let output = output.expect("running Temporal's CLI").stdout;
        let text = String::from_utf8_lossy(&output);
        of(&text).unwrap_or_else(|| panic!("no release of the server in `{text}`"))
    })
}

/// Reads `temporal version 1.9.1 (Server 1.32.0, UI 2.53.2)`.
fn of(text: &str) -> Option<(u32, u32)> {
    let version = text.split_once("(Server ")?.1;
    let mut parts = version.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_that_of_the_server_and_not_of_the_cli() {
        assert_eq!(
            of("temporal version 1.9.1 (Server 1.32.0, UI 2.53.2)\n"),
            Some((1, 32))
        );
        assert_eq!(of("temporal version 1.9.1"), None);
    }
}
