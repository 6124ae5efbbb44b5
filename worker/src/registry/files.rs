//! State of every file that was read: metadata at the time of the read, and contents.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::iter::Peekable;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use almanac_core::definition::ParsedDocument;

use super::read::Refusal;
use super::scan::Signature;

/// Age of a change below which a file may change again without a new timestamp: some file
/// systems count time in whole seconds.
const TIMESTAMP_RESOLUTION: Duration = Duration::from_secs(2);

/// Key of a file: its folder, and its path in that folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileKey {
    /// Index of the folder, in the order given.
    pub(super) root: usize,
    /// Path relative to the folder.
    pub(super) path: Arc<OsStr>,
}

/// State of a file as it was last read.
#[derive(Debug)]
pub(super) struct FileState {
    /// Metadata of the file when it was read, and the time of that read.
    pub(super) seen: Option<(Signature, SystemTime)>,
    pub(super) content: Content,
}

/// Contents of a file.
#[derive(Debug)]
pub(super) enum Content {
    /// The file was read and parsed.
    Read {
        /// SHA-256 of the file's bytes.
        hash: [u8; 32],
        /// Documents in the order of the text.
        documents: Arc<[ParsedDocument]>,
    },
    /// The file was refused.
    Refused(Refusal),
}

/// State of every file, in the order of the keys.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<(FileKey, Arc<FileState>)>);

/// A cursor over the known files, moved along with a listing. Both are in the same order, so
/// that no search is needed.
pub(super) struct FilesCursor<'a> {
    known: Peekable<slice::Iter<'a, (FileKey, Arc<FileState>)>>,
    missed: bool,
}

impl FileKey {
    pub(super) fn new(root: usize, path: &OsStr) -> Self {
        Self {
            root,
            path: Arc::from(path),
        }
    }

    /// Appends the key and the contents to the bytes from which the revision is computed.
    pub(super) fn digest(&self, content: &Content, out: &mut Vec<u8>) {
        let path = self.path.as_encoded_bytes();
        out.extend((path.len() as u64).to_le_bytes());
        out.extend(path);
        match content {
            Content::Read { hash, .. } => out.extend(hash),
            Content::Refused(refusal) => {
                out.push(b'!');
                out.extend(refusal.tag().as_bytes());
                out.push(b'\n');
            }
        }
    }
}

impl FileState {
    pub(super) fn refused(refusal: Refusal) -> Arc<Self> {
        Arc::new(Self {
            seen: None,
            content: Content::Refused(refusal),
        })
    }

    /// Returns `true` if the file's metadata were the same when it was read.
    pub(super) fn looks_like(&self, signature: &Signature) -> bool {
        self.seen.is_some_and(|(seen, _)| seen == *signature)
    }

    /// Returns `true` if the file cannot have changed since it was read.
    pub(super) fn is_surely(&self, signature: &Signature) -> bool {
        self.seen.is_some_and(|(seen, read_at)| {
            seen == *signature
                && read_at
                    .duration_since(signature.changed())
                    .is_ok_and(|age| age > TIMESTAMP_RESOLUTION)
        })
    }
}

impl Files {
    /// Adds a file whose key is greater than all keys added before.
    pub(super) fn push(&mut self, key: FileKey, state: Arc<FileState>) {
        debug_assert!(self.0.last().is_none_or(|(last, _)| *last < key));
        self.0.push((key, state));
    }

    pub(super) fn get(&self, key: &FileKey) -> Option<&Arc<FileState>> {
        let at = self.0.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    pub(super) fn iter(&self) -> slice::Iter<'_, (FileKey, Arc<FileState>)> {
        self.0.iter()
    }
}

impl<'a> FilesCursor<'a> {
    pub(super) fn along(files: &'a Files) -> Self {
        Self {
            known: files.iter().peekable(),
            missed: false,
        }
    }

    /// The state of a file. Its key must be greater than those asked for before.
    pub(super) fn find(
        &mut self,
        root: usize,
        path: &OsStr,
    ) -> Option<&'a (FileKey, Arc<FileState>)> {
        loop {
            let (key, _) = self.known.peek()?;
            match (key.root, &*key.path).cmp(&(root, path)) {
                Ordering::Less => self.missed = true,
                Ordering::Equal => return self.known.next(),
                Ordering::Greater => return None,
            }
            self.known.next();
        }
    }

    /// Returns `true` if a known file was not asked for.
    pub(super) fn misses_some(mut self) -> bool {
        self.missed || self.known.next().is_some()
    }
}
