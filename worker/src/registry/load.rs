//! Lists, reads and parses the changed files, until the view is one that the folders had at one
//! moment.
//!
//! Always holds: a load that panics leaves the loader as it was. A file that cannot be parsed
//! does not affect other files. A file is read only after it has not changed for a while. The
//! definitions that follow from the view are left to [`super::assemble`].

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use almanac_base::names::Revision;
use almanac_core::definition::{
    Diagnostic, Kind, ParseContext, ParsedDocument, Severity, parse_file,
};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::files::{Content, FileKey, FileRead, FileState, Files, FilesCursor};
use super::read::{ReadError, Refusal, read};
use super::scan::{Entry, Folders, Identity, Listing, Place, ScanGap, Signature, identity, list};
use super::threads::map_in_order;

/// Maximum time that a load waits for files that are being written, and tries to find the
/// folders in a consistent state.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two attempts to find the folders in a consistent state.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// The parser, as a value so that tests can replace it.
pub(super) type Parse = fn(&str, &[u8], &ParseContext) -> Vec<ParsedDocument>;

/// Decides which files a load reads. Every load lists all files with their metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadDepth {
    /// Reads the files whose size, times or place differ from the last load, and those that
    /// changed shortly before their last read by the clock of this machine.
    Changed,
    /// Reads also the files that have not been read twice with the same metadata. The clock of
    /// the file system does not matter then.
    Unconfirmed,
    /// Reads every file.
    Contents,
}

/// The files of all folders, as a load found them.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Revision computed from the files.
    pub(super) revision: Revision,
    /// Time of the load; for warnings only.
    pub(super) at: Timestamp,
    /// The files that exist.
    pub(super) files: Arc<Files>,
    /// Warnings about the files themselves.
    pub(super) warnings: Vec<Diagnostic>,
    /// Reasons why the views of folders are incomplete, by the folder's index.
    pub(super) holes: BTreeMap<usize, ScanGap>,
}

impl View {
    /// Returns `true` if a file that was not found may still exist: its folder could not be
    /// read completely.
    pub(super) fn hides(&self, file: &FileKey) -> bool {
        self.holes.contains_key(&file.root) && self.files.get(file).is_none()
    }
}

/// Loads the same folders again and again.
#[derive(Debug)]
pub(super) struct Loader {
    roots: Vec<PathBuf>,
    still_for: Duration,
    patience: Duration,
    parse: Parse,
    files: Arc<Files>,
    trust: Vec<FolderIdentity>,
}

/// Identity of a folder, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum FolderIdentity {
    /// The folder has not been read.
    Unseen,
    /// The folder is the same as ever, or has been seen twice.
    Trusted(Identity),
    /// The folder has another identity, and was seen once with these contents.
    Seen(Identity, Revision),
    /// The folder did not exist.
    Gone,
}

/// Result of a load, before the loader accepts it.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The view that follows from the load.
    pub(super) view: View,
    trust: Vec<FolderIdentity>,
}

/// Result of a load during the debounce. It counts only if nothing has changed by the end of
/// the debounce.
#[derive(Debug)]
pub(super) struct SpeculativeLoad {
    /// The expected result of the load at the end of the debounce.
    pub(super) loaded: Loaded,
    /// The folders that were given, with their identities.
    roots: Vec<(PathBuf, Option<Identity>)>,
    folders: Vec<Folders>,
    /// The files that were read, with their metadata.
    read: Vec<(PathBuf, Signature)>,
    still_for: Duration,
}

impl SpeculativeLoad {
    /// Returns `true` if each name still leads to the folder that was listed, the metadata of
    /// every folder and file that was read are the same, and each file has not changed for long
    /// enough. Blocks.
    pub(super) fn holds(&self) -> bool {
        let is_still = |signature| restless_for(signature, self.still_for).is_none();
        let mut read = self.read.iter();
        let mut roots = self.roots.iter();
        roots.all(|(root, before)| identity(root) == *before)
            && self.folders.iter().all(Folders::are_unchanged)
            && read.all(|(path, before)| is_still(before) && before.holds(path))
    }
}

/// The files that a load has read.
type Fresh = BTreeMap<FileKey, Arc<FileState>>;

/// A file that may have changed.
struct SuspectFile<'a> {
    key: FileKey,
    signature: &'a Signature,
    place: &'a Place,
}

/// The files of a listing that have to be checked further.
struct SuspectFiles<'a> {
    files: Vec<SuspectFile<'a>>,
    /// `true` if a file that existed before is missing.
    missing: bool,
}

impl Loader {
    /// A loader of `roots`, in this order. A file is read once it has not changed for
    /// `still_for`.
    pub(super) fn new(roots: Vec<PathBuf>, still_for: Duration) -> Self {
        Self {
            trust: vec![FolderIdentity::Unseen; roots.len()],
            roots,
            still_for,
            patience: LOAD_TIMEOUT,
            parse: parse_file,
            files: Arc::default(),
        }
    }

    /// The loader with another parser and another maximum wait.
    #[cfg(test)]
    pub(super) fn with(mut self, parse: Parse, patience: Duration) -> Self {
        self.parse = parse;
        self.patience = patience;
        self
    }

    /// The files that existed at the last load.
    pub(super) fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files)
    }

    /// Loads the folders while files may still be written. `None` if something is changing, or
    /// a file that existed before is missing: then a load has to wait and try again. Blocks on
    /// the disk.
    pub(super) fn speculative_load(&self) -> Option<SpeculativeLoad> {
        let listings = list(&self.roots);
        let fresh = Fresh::new();
        let SuspectFiles { files, missing } = self.doubts(&listings, ReadDepth::Changed, &fresh);
        if missing {
            return None;
        }
        let states = map_in_order(&files, |file| self.read(file, &fresh));
        let states: Option<Vec<_>> = states.into_iter().collect();
        let fresh = files.iter().map(|file| file.key.clone()).zip(states?);
        let fresh = fresh.collect();
        let read = files
            .iter()
            .map(|file| (file.place.of(&file.key.path), *file.signature))
            .collect();
        Some(SpeculativeLoad {
            read,
            roots: {
                let identities = listings.iter().map(|listing| listing.identity);
                self.roots.iter().cloned().zip(identities).collect()
            },
            folders: listings.iter().map(Listing::folders).collect(),
            still_for: self.still_for,
            loaded: self.follow(listings, &[], fresh),
        })
    }

    /// Loads the folders. Blocks on the disk, and up to some seconds while files are being
    /// written.
    pub(super) fn load(&self, depth: ReadDepth) -> Loaded {
        let deadline = Instant::now() + self.patience;
        let mut fresh = Fresh::new();
        let (listings, unsettled) = loop {
            let listings = list(&self.roots);
            let SuspectFiles { files, missing } = self.doubts(&listings, depth, &fresh);
            let patient = Instant::now() < deadline;
            if patient && let Some(wait) = self.until_still(&files, &fresh) {
                std::thread::sleep(wait.max(RETRY_INTERVAL));
                continue;
            }
            let moved = self.read_changed(&files, &mut fresh);
            // A file that existed and is missing is worth a second, careful load.
            let at_a_glance = !moved
                && !missing
                && listings
                    .iter()
                    .all(|listing| listing.folders().are_unchanged());
            let differing = if at_a_glance {
                Vec::new()
            } else {
                differing(&listings, &list(&self.roots))
            };
            if (differing.is_empty() && !moved) || !patient {
                break (listings, differing);
            }
            std::thread::sleep(RETRY_INTERVAL);
        };
        self.follow(listings, &unsettled, fresh)
    }

    /// Makes a load's result the loader's state.
    pub(super) fn accept(&mut self, loaded: Loaded) -> View {
        self.trust = loaded.trust;
        self.files = Arc::clone(&loaded.view.files);
        loaded.view
    }

    /// The files of a listing that have to be checked further.
    fn doubts<'a>(
        &self,
        listings: &'a [Listing],
        depth: ReadDepth,
        fresh: &Fresh,
    ) -> SuspectFiles<'a> {
        let mut known = FilesCursor::along(&self.files);
        let mut files = Vec::new();
        for (root, listing) in listings.iter().enumerate() {
            for (path, entry) in &listing.entries {
                let known = known.find(root, path);
                let Entry::File(signature, place) = entry else {
                    continue;
                };
                let is_known = |(_, state): &(_, Arc<FileState>)| match depth {
                    ReadDepth::Changed => state.is_surely(signature),
                    ReadDepth::Unconfirmed => state.is_confirmed(signature),
                    ReadDepth::Contents => false,
                };
                let key = || match known {
                    Some((key, _)) => key.clone(),
                    None => FileKey::new(root, path),
                };
                if known.is_some_and(is_known) && (fresh.is_empty() || !fresh.contains_key(&key()))
                {
                    continue;
                }
                files.push(SuspectFile {
                    key: key(),
                    signature,
                    place,
                });
            }
        }
        SuspectFiles {
            files,
            missing: known.misses_some(),
        }
    }

    /// The latest known state of a file.
    fn known<'a>(&'a self, key: &FileKey, fresh: &'a Fresh) -> Option<&'a Arc<FileState>> {
        fresh.get(key).or_else(|| self.files.get(key))
    }

    /// Time until every changed file will not have changed for long enough; `None` if that is
    /// so now.
    fn until_still(&self, files: &[SuspectFile<'_>], fresh: &Fresh) -> Option<Duration> {
        files
            .iter()
            .filter(|file| {
                let known = self.known(&file.key, fresh);
                known.is_none_or(|known| !known.has_signature(file.signature))
            })
            .filter_map(|file| restless_for(file.signature, self.still_for))
            .max()
    }

    /// Reads the files that have to be read into `fresh`. Returns `true` if a file was no
    /// longer the one that was listed.
    fn read_changed(&self, files: &[SuspectFile<'_>], fresh: &mut Fresh) -> bool {
        let due: Vec<_> = files
            .iter()
            .filter(|file| self.is_due(file, fresh))
            .collect();
        let states = map_in_order(&due, |file| self.read(file, fresh));
        let mut moved = false;
        for (file, state) in due.into_iter().zip(states) {
            match state {
                Some(state) => {
                    fresh.insert(file.key.clone(), state);
                }
                None => moved = true,
            }
        }
        moved
    }

    /// Returns `true` if a file has yet to be read, and has not changed for long enough.
    fn is_due(&self, file: &SuspectFile<'_>, fresh: &Fresh) -> bool {
        let is_like = |state: &Arc<FileState>| state.has_signature(file.signature);
        if fresh.get(&file.key).is_some_and(is_like) {
            return false;
        }
        self.known(&file.key, fresh).is_some_and(is_like)
            || restless_for(file.signature, self.still_for).is_none()
    }

    /// The present contents of a file; `None` if it is no longer the one that was listed.
    fn read(&self, file: &SuspectFile<'_>, fresh: &Fresh) -> Option<Arc<FileState>> {
        let now = (Instant::now(), SystemTime::now());
        let known = self.known(&file.key, fresh);
        let content = match read(&file.place.of(&file.key.path), file.signature) {
            Ok(bytes) => self.parse_unless_known(&file.key, &bytes, known),
            Err(ReadError::Refused(refusal)) => Content::Refused(refusal),
            Err(ReadError::Moved) => return None,
        };
        let before = known
            .filter(|known| known.content.is_same(&content))
            .and_then(|known| known.read.as_ref());
        let read = Some(FileRead::new(*file.signature, now, before));
        Some(Arc::new(FileState { read, content }))
    }

    fn parse_unless_known(
        &self,
        key: &FileKey,
        bytes: &[u8],
        known: Option<&Arc<FileState>>,
    ) -> Content {
        let hash = Sha256::digest(bytes).into();
        let documents = match known.map(|known| &known.content) {
            Some(Content::Read {
                hash: before,
                documents,
            }) if *before == hash => Arc::clone(documents),
            _ => self.parse_file(key, bytes),
        };
        Content::Read { hash, documents }
    }

    fn parse_file(&self, key: &FileKey, bytes: &[u8]) -> Arc<[ParsedDocument]> {
        let path = self.roots[key.root].join(&*key.path).display().to_string();
        let context = ParseContext {
            now: Timestamp::now(),
        };
        catch_unwind(AssertUnwindSafe(|| (self.parse)(&path, bytes, &context)))
            .unwrap_or_else(|_| {
                let error = Diagnostic::error(&path, 1, 1, "the parser failed on this file");
                let hint = "this is a bug in Almanac; please report it with the file";
                vec![ParsedDocument {
                    line: 1,
                    id: None,
                    kind: Kind::default(),
                    result: Err(vec![Diagnostic {
                        hint: Some(hint.into()),
                        ..error
                    }]),
                    events: Box::default(),
                    after: Box::default(),
                    calendars: Box::default(),
                    warnings: Vec::new(),
                }]
            })
            .into()
    }

    /// The result that follows from the listings and the files.
    fn follow(&self, listings: Vec<Listing>, unsettled: &[usize], mut fresh: Fresh) -> Loaded {
        let mut trust = Vec::new();
        let mut view = View {
            at: Timestamp::now(),
            ..View::default()
        };
        let mut all = Vec::new();
        let mut files = Files::default();
        let mut known = FilesCursor::along(&self.files);
        for (root, listing) in listings.into_iter().enumerate() {
            let mut contents = Vec::new();
            for (path, entry) in listing.entries {
                let known = known.find(root, &path);
                let key = match known {
                    Some((key, _)) => key.clone(),
                    None => FileKey::new(root, &path),
                };
                let state = match entry {
                    Entry::File(signature, _) => fresh
                        .remove(&key)
                        .or_else(|| known.map(|(_, state)| Arc::clone(state)))
                        .filter(|state| state.has_signature(&signature))
                        .unwrap_or_else(|| FileState::refused(Refusal::Unsettled)),
                    Entry::Refused(refusal) => FileState::refused(refusal),
                };
                key.digest(&state.content, &mut contents);
                files.push(key, state);
            }
            for path in &listing.misnamed {
                contents.push(b'?');
                contents.extend(path.as_os_str().as_encoded_bytes());
                contents.push(b'\n');
                view.warnings.push(misnamed(&self.roots[root].join(path)));
            }
            let contents = Revision::of(&contents);
            let (trusted, replaced) = self.trust[root].next(listing.identity, &contents);
            trust.push(trusted);
            let unsettled = unsettled.contains(&root).then_some(ScanGap::Unsettled);
            let hole = listing
                .hole
                .or(unsettled)
                .or(replaced.then_some(ScanGap::Replaced));
            let tag = hole.as_ref().map(ScanGap::tag).unwrap_or_default();
            all.extend(format!("{root} {contents} {tag}\n").into_bytes());
            view.holes.extend(hole.map(|hole| (root, hole)));
        }
        view.revision = Revision::of(&all);
        view.files = Arc::new(files);
        Loaded { view, trust }
    }
}

/// Time until a file will not have changed for `still_for`; `None` if that is so now.
fn restless_for(signature: &Signature, still_for: Duration) -> Option<Duration> {
    // A change in the future comes from another machine's clock.
    let age = SystemTime::now().duration_since(signature.changed()).ok()?;
    still_for.checked_sub(age).filter(|wait| !wait.is_zero())
}

impl FolderIdentity {
    /// The identity after a load, and `true` if the folder has to be read once more.
    fn next(&self, identity: Option<Identity>, contents: &Revision) -> (Self, bool) {
        let Some(identity) = identity else {
            return (Self::Gone, false);
        };
        let trusted = match self {
            Self::Unseen => true,
            Self::Trusted(before) => *before == identity,
            Self::Seen(before, then) => *before == identity && then == contents,
            Self::Gone => false,
        };
        if trusted {
            (Self::Trusted(identity), false)
        } else {
            (Self::Seen(identity, contents.clone()), true)
        }
    }
}

/// The warning about a file that is not read because of the case of its ending.
fn misnamed(path: &Path) -> Diagnostic {
    let ending = path.extension().unwrap_or_default().display();
    let message = format!("the file is not read: its name ends in `.{ending}`");
    Diagnostic {
        severity: Severity::Warning,
        hint: Some("files of definitions end in `.yaml` or `.yml`, in lower case".to_owned()),
        ..Diagnostic::error(path.display().to_string(), 1, 1, message)
    }
}

/// Indices of the folders whose contents differ between two listings.
fn differing(first: &[Listing], second: &[Listing]) -> Vec<usize> {
    first
        .iter()
        .zip(second)
        .enumerate()
        .filter(|(_, (first, second))| !first.same_contents(second))
        .map(|(root, _)| root)
        .collect()
}
