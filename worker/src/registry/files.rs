//! What is known of every file: what it looked like when it was read, and what
//! it holds.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::iter::Peekable;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use almanac_core::definition::ParsedDocument;

use super::read::Refusal;
use super::scan::Signature;

/// A file that changed less than this before it was read may change again
/// without showing it: some file systems count time in whole seconds.
const TIMESTAMP_RESOLUTION: Duration = Duration::from_secs(2);

/// A file: in which folder, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileKey {
    /// Index of the folder, in the order given.
    pub(super) root: usize,
    /// Relative to the folder.
    pub(super) path: Arc<OsStr>,
}

/// What is known of a file.
#[derive(Debug)]
pub(super) struct FileState {
    /// What it looked like when it was read, and when that was.
    pub(super) seen: Option<(Signature, SystemTime)>,
    /// What it holds.
    pub(super) content: Content,
}

/// What a file holds.
#[derive(Debug)]
pub(super) enum Content {
    /// Documents.
    Read {
        /// SHA-256 of the bytes.
        hash: [u8; 32],
        /// In the order of the text.
        documents: Arc<[ParsedDocument]>,
    },
    /// Nothing that could be read.
    Refused(Refusal),
}

/// What is known of every file, in the order of their keys.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<(FileKey, Arc<FileState>)>);

/// Goes through what is known along with a listing: both are in one order, so
/// that nothing is searched for.
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

    /// Adds the file and what it holds to what a revision is the digest of.
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

    /// Whether the file looked the same when it was read.
    pub(super) fn looks_like(&self, signature: &Signature) -> bool {
        self.seen.is_some_and(|(seen, _)| seen == *signature)
    }

    /// Whether it is out of the question that the file has changed since.
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
    /// Adds a file that comes after all that are there.
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

    /// What is known of a file; it comes after those asked for before.
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

    /// Whether something is known that was not asked for.
    pub(super) fn misses_some(mut self) -> bool {
        self.missed || self.known.next().is_some()
    }
}
