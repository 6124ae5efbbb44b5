//! Reads a single file of definitions, or says why the file is refused.
//!
//! Always holds: no more than the limit is read, only a regular file is read, and the bytes
//! come from the file that was listed.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::scan::Signature;

/// Maximum size of a file, in bytes.
pub(super) const FILE_LIMIT: u64 = 1024 * 1024;

/// Reason why a file is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The file is a link to something outside the folder.
    #[error("the link points out of the folder, to `{0}`")]
    LeadsOut(String),
    /// The file is a link whose target does not exist.
    #[error("the link is broken: {0}")]
    BrokenLink(String),
    /// The path is not a regular file; the text says what kind of thing stands there.
    #[error("this is {0}, not a file")]
    NotAFile(&'static str),
    /// The file has this many bytes, which is over the limit.
    #[error("the file is larger than {FILE_LIMIT} bytes: {0}")]
    TooLarge(u64),
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The operating system refuses to read the file, with this error.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// The file changed during every attempt to read it.
    #[error("the file kept changing while it was read")]
    Unsettled,
}

/// Reason why an attempt to read a file gave no contents.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The file is not the one that was listed, has changed since, or no longer exists. The
    /// caller lists the folder again.
    Moved,
    /// The file is refused, and another attempt would not help.
    Refused(Refusal),
}

impl Refusal {
    /// A hint for the person who wrote the file.
    pub(super) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::LeadsOut(_) => "copy the file into the folder, or give its folder with --dir",
            Self::BrokenLink(_) => "remove the link, or restore its target",
            Self::TooLarge(_) => "split it into several files",
            Self::Empty => "remove the file to remove its definitions",
            Self::NotAFile(_) | Self::Unreadable(_) | Self::Unsettled => return None,
        })
    }

    /// A stable text for the revision, without the operating system's wording.
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

/// Reads the file at `path`, a path without links, that was listed as `listed`.
pub(super) fn read(path: &Path, listed: &Signature) -> Result<Vec<u8>, ReadError> {
    // The last two errors mean that a link or a socket now stands where a file was listed.
    let failed = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ELOOP | libc::ENXIO) => ReadError::Moved,
        _ => ReadError::Refused(Refusal::Unreadable(plain(&error))),
    };
    // A name can refer to something else at any moment. These options keep the open from
    // blocking on a FIFO and from following a link.
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
        // A writer leaves an empty file between truncating and writing it. A person who wants
        // the definitions gone removes the file.
        return Err(ReadError::Refused(Refusal::Empty));
    }
    Ok(bytes)
}

/// Reads the regular file at `path`, up to the limit, for people. `None` if that fails.
pub(super) fn read_any(path: &Path) -> Option<Vec<u8>> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    read(path, &Signature::of(&metadata)).ok()
}

/// The text of a system error in the style of Almanac's messages: `permission denied`.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text.to_owned(),
    }
}
