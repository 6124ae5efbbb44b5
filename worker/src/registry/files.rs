//! State of every file that was read: metadata at the time of the read, and contents.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::iter::Peekable;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use almanac_core::definition::ParsedDocument;

use super::read::Refusal;
use super::scan::Signature;

/// Age of a change below which a file may change again without a new timestamp: some file
/// systems count time in whole seconds.
pub(super) const TIMESTAMP_RESOLUTION: Duration = Duration::from_secs(2);

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
    /// The last read of the file; `None` if there was none.
    pub(super) read: Option<FileRead>,
    pub(super) content: Content,
}

/// A read of a file, for the question if the file must be read again.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileRead {
    /// Metadata of the file when it was read.
    signature: Signature,
    /// Time of the first read that found this metadata and these contents.
    first_read: Instant,
    /// The last change was older than [`TIMESTAMP_RESOLUTION`], if this machine's clock agrees
    /// with the clock of the file system.
    was_aged: bool,
    /// This read came more than [`TIMESTAMP_RESOLUTION`] after the first one. So each later
    /// change has another timestamp, whatever the clock of the file system shows.
    is_confirmed: bool,
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
            read: None,
            content: Content::Refused(refusal),
        })
    }

    /// Returns `true` if the file's metadata were the same when it was read.
    pub(super) fn has_signature(&self, signature: &Signature) -> bool {
        self.read.is_some_and(|read| read.signature == *signature)
    }

    /// Returns `true` if the file cannot have changed since it was read, provided that the
    /// clocks of this machine and of the file system agree.
    pub(super) fn is_surely(&self, signature: &Signature) -> bool {
        let was_aged = |read: FileRead| read.was_aged || read.is_confirmed;
        self.has_signature(signature) && self.read.is_some_and(was_aged)
    }

    /// Returns `true` if the file cannot have changed since it was read, whatever the clock of
    /// the file system shows. A file that could not be read may be readable without a change of
    /// its own: the error may have been that of a disk or of a folder above.
    pub(super) fn is_confirmed(&self, signature: &Signature) -> bool {
        let failed = matches!(self.content, Content::Refused(Refusal::Unreadable(_)));
        let is_confirmed = self.read.is_some_and(|read| read.is_confirmed);
        self.has_signature(signature) && is_confirmed && !failed
    }
}

impl FileRead {
    /// A read that began at `now` and found this metadata. `before` is the last read, if it
    /// found the same contents.
    pub(super) fn new(
        signature: Signature,
        now: (Instant, SystemTime),
        before: Option<&Self>,
    ) -> Self {
        let (begun, wall) = now;
        let same = before.filter(|before| before.signature == signature);
        let first_read = same.map_or(begun, |before| before.first_read);
        Self {
            signature,
            first_read,
            was_aged: wall
                .duration_since(signature.changed())
                .is_ok_and(|age| age > TIMESTAMP_RESOLUTION),
            is_confirmed: begun.duration_since(first_read) > TIMESTAMP_RESOLUTION,
        }
    }
}

impl Content {
    /// Returns `true` if both are the contents of equal files.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Read { hash, .. }, Self::Read { hash: before, .. }) => hash == before,
            (Self::Refused(refusal), Self::Refused(before)) => refusal == before,
            _ => false,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn signature(folder: &tempfile::TempDir, text: &str) -> Signature {
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, text).unwrap();
        Signature::of(&std::fs::metadata(path).unwrap())
    }

    fn state(read: FileRead, content: Content) -> FileState {
        FileState {
            read: Some(read),
            content,
        }
    }

    fn contents(hash: u8) -> Content {
        Content::Read {
            hash: [hash; 32],
            documents: Arc::from([]),
        }
    }

    /// The file system's clock is an hour behind, so a file that has just changed looks old.
    #[test]
    fn a_clock_that_is_behind_confirms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let signature = signature(&folder, "x");
        let begun = Instant::now();
        let wall = signature.changed() + HOUR;
        let first = FileRead::new(signature, (begun, wall), None);
        let first_state = state(first, contents(1));
        assert!(first_state.is_surely(&signature));
        assert!(!first_state.is_confirmed(&signature));

        // Within the tick of a coarse clock, another read proves no more.
        let soon = begun + TIMESTAMP_RESOLUTION;
        let second = FileRead::new(signature, (soon, wall), Some(&first));
        assert!(!state(second, contents(1)).is_confirmed(&signature));
        let late = soon + Duration::from_millis(1);
        let third = FileRead::new(signature, (late, wall), Some(&second));
        assert!(state(third, contents(1)).is_confirmed(&signature));
    }

    /// The file system's clock is an hour ahead, so no file ever looks old.
    #[test]
    fn a_clock_that_is_ahead_hinders_no_confirmation() {
        let folder = tempfile::tempdir().unwrap();
        let signature = signature(&folder, "x");
        let begun = Instant::now();
        let wall = signature.changed().checked_sub(HOUR).unwrap();
        let first = FileRead::new(signature, (begun, wall), None);
        assert!(!state(first, contents(1)).is_surely(&signature));
        let later = (begun + 2 * TIMESTAMP_RESOLUTION, wall);
        let second = state(FileRead::new(signature, later, Some(&first)), contents(1));
        assert!(second.is_surely(&signature) && second.is_confirmed(&signature));
    }

    #[test]
    fn other_metadata_or_other_contents_have_to_be_confirmed_again() {
        let folder = tempfile::tempdir().unwrap();
        let before = signature(&folder, "x");
        let after = signature(&folder, "longer");
        let begun = Instant::now();
        let wall = before.changed() + HOUR;
        let first = FileRead::new(before, (begun, wall), None);
        let later = (begun + 2 * TIMESTAMP_RESOLUTION, wall);
        let second = state(FileRead::new(after, later, Some(&first)), contents(1));
        assert!(!second.is_confirmed(&after));

        let confirmed = state(FileRead::new(before, later, Some(&first)), contents(1));
        assert!(confirmed.is_confirmed(&before));
        assert!(!confirmed.is_confirmed(&after));
        // The loader passes no earlier read if the contents differ.
        assert!(!contents(1).is_same(&contents(2)));
        let third = state(FileRead::new(before, later, None), contents(2));
        assert!(!third.is_confirmed(&before));
    }

    #[test]
    fn a_file_that_could_not_be_read_is_never_confirmed() {
        let folder = tempfile::tempdir().unwrap();
        let signature = signature(&folder, "x");
        let begun = Instant::now();
        let wall = signature.changed() + HOUR;
        let first = FileRead::new(signature, (begun, wall), None);
        let later = (begun + 2 * TIMESTAMP_RESOLUTION, wall);
        let second = FileRead::new(signature, later, Some(&first));
        let refused = |refusal| state(second, Content::Refused(refusal));
        assert!(refused(Refusal::Empty).is_confirmed(&signature));
        let failed = refused(Refusal::Unreadable("input/output error".into()));
        assert!(!failed.is_confirmed(&signature));
    }
}
