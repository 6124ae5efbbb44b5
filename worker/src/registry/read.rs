//! Reads one file of definitions, and says why one is not read.
//!
//! Always holds: no more than the limit is read, nothing but a regular file is
//! read, and what is read is the file that was listed.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::scan::Signature;

/// The largest file, in bytes.
pub(super) const FILE_LIMIT: u64 = 1024 * 1024;

/// Why a file is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A link to something outside the folder.
    #[error("the link leads out of the folder, to `{0}`")]
    LeadsOut(String),
    /// A link to nothing.
    #[error("the link leads nowhere: {0}")]
    BrokenLink(String),
    /// Something that is no file.
    #[error("this is {0}, not a file")]
    NotAFile(&'static str),
    /// It is over the limit.
    #[error("the file is larger than {FILE_LIMIT} bytes: {0}")]
    TooLarge(u64),
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// The system refuses.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// It changed during every attempt to read it.
    #[error("the file kept changing while it was read")]
    Unsettled,
}

/// Why nothing was read this time.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It is another file than the one listed, or has changed since, or is
    /// gone: list again.
    Moved,
    /// It is not to be read.
    Refused(Refusal),
}

impl Refusal {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::LeadsOut(_) => "copy the file into the folder, or give its folder with --dir",
            Self::BrokenLink(_) => "remove the link, or restore what it leads to",
            Self::TooLarge(_) => "split it into several files",
            Self::Empty => "remove the file to remove its definitions",
            Self::NotAFile(_) | Self::Unreadable(_) | Self::Unsettled => return None,
        })
    }

    /// A stable text for the revision: without the system's words.
    pub(super) fn tag(&self) -> &'static str {
        match self {
            Self::LeadsOut(_) => "leads out",
            Self::BrokenLink(_) => "broken link",
            Self::NotAFile(_) => "not a file",
            Self::TooLarge(_) => "too large",
            Self::Empty => "empty",
            Self::Unreadable(_) => "unreadable",
            Self::Unsettled => "unsettled",
        }
    }
}

/// Reads the file at `path`, a path free of links, that was listed as `listed`.
pub(super) fn read(path: &Path, listed: &Signature) -> Result<Vec<u8>, ReadError> {
    // The latter two: what was listed as a file is now a link, or a socket.
    let failed = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ELOOP | libc::ENXIO) => ReadError::Moved,
        _ => ReadError::Refused(Refusal::Unreadable(plain(&error))),
    };
    // A name can come to mean something else at any moment: a FIFO does not
    // block the open, a link is not followed.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || Signature::of(&metadata) != *listed {
        return Err(ReadError::Moved);
    }
    if metadata.len() > FILE_LIMIT {
        return Err(ReadError::Refused(Refusal::TooLarge(metadata.len())));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    (&mut file)
        .take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if Signature::of(&file.metadata().map_err(failed)?) != *listed {
        return Err(ReadError::Moved);
    }
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(ReadError::Refused(Refusal::TooLarge(bytes.len() as u64)));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        // What a writer leaves between truncating and writing; a person who
        // wants the definitions gone removes the file.
        return Err(ReadError::Refused(Refusal::Empty));
    }
    Ok(bytes)
}

/// A system error in a message's own style: `permission denied`.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text.to_owned(),
    }
}
