//! Lists the folders of definitions: which files there are, and what each is.
//!
//! Always holds: nothing is opened but folders, so a FIFO or a device cannot
//! stop a listing; no file outside its folder is named as readable; a folder
//! is entered once, however many links lead to it. Reading the files is left
//! to [`super::read`], what they mean to [`super::load`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::read::{Refusal, plain};

/// The most files of definitions that are listed: one document each at least.
pub(super) const FILES_LIMIT: usize = 50_000;

/// Which file or folder something is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// Seconds and nanoseconds since the epoch.
type Moment = (i64, i64);

/// What tells two states of a file or folder apart without reading it. The
/// change time cannot be set back, unlike the modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature {
    identity: Identity,
    size: u64,
    changed: Moment,
    modified: Moment,
}

/// What stands under a name that could hold definitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A file, and where it is.
    File(Signature, Place),
    /// Something that is not read.
    Refused(Refusal),
}

/// Where a listed file is, free of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In this folder, under its own name.
    Folder(Arc<Path>),
    /// Where a link leads.
    Linked(PathBuf),
}

/// Why the view of a folder is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Hole {
    /// There is nothing under its name.
    #[error("is missing")]
    Missing,
    /// It is a file or something else.
    #[error("is not a folder")]
    NotAFolder,
    /// It cannot be listed.
    #[error("cannot be listed: {0}")]
    Unreadable(String),
    /// Something in it cannot be listed.
    #[error("cannot be listed fully: `{path}`: {error}")]
    Partial {
        /// What, relative to the folder.
        path: String,
        /// Why.
        error: String,
    },
    /// There are more files than are listed.
    #[error("holds more than {FILES_LIMIT} files of definitions")]
    TooManyFiles,
    /// It changed during every attempt to read it.
    #[error("kept changing while it was read")]
    Unsettled,
    /// It is another folder than before, or was gone, and has not been seen
    /// twice with the same contents.
    #[error("was replaced, and has not been seen twice with the same contents")]
    Replaced,
}

/// One folder's contents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Listing {
    /// Which folder it is; `None` when there is none.
    pub(super) identity: Option<Identity>,
    /// Why the listing is not the whole truth.
    pub(super) hole: Option<Hole>,
    /// With their paths relative to the folder, in the order of these; as
    /// text, since paths compare slowly.
    pub(super) entries: Vec<(OsString, Entry)>,
    /// Every folder that was entered, and its state before it was.
    folders: Vec<(PathBuf, Signature)>,
}

/// Lists every folder given. A folder that lies in another is listed once,
/// under the first of the two.
pub(super) fn list(roots: &[PathBuf]) -> Vec<Listing> {
    let mut entered = BTreeSet::new();
    roots
        .iter()
        .map(|root| list_root(root, &mut entered))
        .collect()
}

/// Which folder `path` leads to.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|m| Signature::of(&m).identity)
}

impl Listing {
    /// Whether no folder of this listing has changed since, as far as a glance
    /// at each tells: entries made, removed or renamed change their folder.
    pub(super) fn holds_at_a_glance(&self) -> bool {
        self.folders.iter().all(|(path, before)| {
            fs::metadata(path).is_ok_and(|now| Signature::of(&now) == *before)
        })
    }

    /// Whether `other` shows the same files, in the same state.
    pub(super) fn same_contents(&self, other: &Self) -> bool {
        self.identity == other.identity && self.hole == other.hole && self.entries == other.entries
    }
}

impl Place {
    /// The path of the file that is listed as `path`.
    pub(super) fn of(&self, path: &OsStr) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(Path::new(path).file_name().unwrap_or(path)),
            Self::Linked(real) => real.clone(),
        }
    }
}

impl Signature {
    /// The state that `metadata` shows.
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            identity: Identity {
                device: metadata.dev(),
                inode: metadata.ino(),
            },
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// When it last changed in any way.
    pub(super) fn changed(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.changed;
        let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
            + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default());
        UNIX_EPOCH + since
    }
}

impl Hole {
    /// A stable text for the revision: without the system's words.
    pub(super) fn tag(&self) -> String {
        match self {
            Self::Missing => "missing".into(),
            Self::NotAFolder => "not a folder".into(),
            Self::Unreadable(_) => "unreadable".into(),
            Self::Partial { path, .. } => format!("partial {path}"),
            Self::TooManyFiles => "too many files".into(),
            Self::Unsettled => "unsettled".into(),
            Self::Replaced => "replaced".into(),
        }
    }
}

fn list_root(root: &Path, entered: &mut BTreeSet<Identity>) -> Listing {
    let mut listing = Listing::default();
    let top = match fs::canonicalize(root).and_then(|top| fs::metadata(&top).map(|m| (top, m))) {
        Ok((_, metadata)) if !metadata.is_dir() => {
            listing.hole = Some(Hole::NotAFolder);
            return listing;
        }
        Ok((top, metadata)) => {
            listing.identity = Some(Signature::of(&metadata).identity);
            top
        }
        Err(error) => {
            listing.hole = Some(match error.kind() {
                io::ErrorKind::NotFound => Hole::Missing,
                io::ErrorKind::NotADirectory => Hole::NotAFolder,
                _ => Hole::Unreadable(plain(&error)),
            });
            return listing;
        }
    };

    // Folders under their own names go first, so that a link to one of them
    // adds nothing, whatever it is called.
    let mut folders = vec![(PathBuf::new(), top.clone())];
    let mut linked = BTreeMap::new();
    'folders: while let Some((relative, real)) = folders.pop().or_else(|| linked.pop_first()) {
        let folder: Arc<Path> = Arc::from(real.as_path());
        let found = match enter(&real) {
            Ok((before, found)) => {
                if !entered.insert(before.identity) {
                    continue;
                }
                listing.folders.push((real, before));
                found
            }
            // A folder that has just gone is as good as never listed, but for
            // the topmost: its absence is no emptiness.
            Err(error) if vanished(&error) && relative != Path::new("") => continue,
            Err(error) => {
                listing.note_hole(&relative, &error);
                continue;
            }
        };
        for entry in found {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    listing.note_hole(&relative, &error);
                    break;
                }
            };
            let name = entry.file_name();
            if is_skipped(&name) {
                continue;
            }
            let found = classify(&top, &folder, &entry, &name);
            let path = if relative.as_os_str().is_empty() {
                PathBuf::from(name)
            } else {
                relative.join(name)
            };
            match found {
                Ok(Found::Nothing) => {}
                Ok(Found::Folder(real)) => folders.push((path, real)),
                Ok(Found::LinkedFolder(real)) => {
                    linked.insert(path, real);
                }
                Ok(Found::Entry(_)) if listing.entries.len() >= FILES_LIMIT => {
                    listing.hole = Some(Hole::TooManyFiles);
                    break 'folders;
                }
                Ok(Found::Entry(entry)) => listing.entries.push((path.into_os_string(), entry)),
                Err(error) => listing.note_hole(&path, &error),
            }
        }
    }
    // A folder is entered once, so no path comes twice.
    listing.entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    listing
}

impl Listing {
    fn note_hole(&mut self, path: &Path, error: &io::Error) {
        let error = plain(error);
        self.hole.get_or_insert(if path == Path::new("") {
            Hole::Unreadable(error)
        } else {
            Hole::Partial {
                path: path.display().to_string(),
                error,
            }
        });
    }
}

/// A folder's state, and its entries as they are read afterwards.
fn enter(real: &Path) -> io::Result<(Signature, fs::ReadDir)> {
    let before = Signature::of(&fs::metadata(real)?);
    Ok((before, fs::read_dir(real)?))
}

enum Found {
    Nothing,
    Folder(PathBuf),
    LinkedFolder(PathBuf),
    Entry(Entry),
}

fn classify(
    top: &Path,
    folder: &Arc<Path>,
    entry: &fs::DirEntry,
    name: &OsStr,
) -> io::Result<Found> {
    let refused = |refusal| Ok(Found::Entry(Entry::Refused(refusal)));
    let file_type = match entry.file_type() {
        Ok(file_type) => file_type,
        Err(error) if vanished(&error) => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    let is_link = file_type.is_symlink();
    if !is_link && !file_type.is_dir() && !is_definitions(name) {
        return Ok(Found::Nothing);
    }
    let linked = if is_link {
        let path = entry.path();
        match fs::canonicalize(&path) {
            Ok(real) => Some(real),
            Err(error) if fs::symlink_metadata(&path).is_err_and(|e| vanished(&e)) => {
                drop(error);
                return Ok(Found::Nothing);
            }
            // What it led to is not known: perhaps a whole folder.
            Err(error) => return refused(Refusal::BrokenLink(plain(&error))),
        }
    } else {
        None
    };
    let metadata = match &linked {
        Some(real) => fs::symlink_metadata(real),
        // Asked of the open folder: no path is walked for each file.
        None => entry.metadata(),
    };
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) if vanished(&error) && !is_link => return Ok(Found::Nothing),
        Err(error) if is_definitions(name) => {
            return refused(Refusal::Unreadable(plain(&error)));
        }
        Err(error) => return Err(error),
    };
    let leads_out = linked.as_ref().filter(|real| !real.starts_with(top));
    let leads_out = leads_out.map(|real| Refusal::LeadsOut(real.display().to_string()));
    if metadata.is_dir() {
        return match (linked, leads_out) {
            _ if is_definitions(name) => refused(Refusal::NotAFile("a folder")),
            (_, Some(leads_out)) => refused(leads_out),
            (Some(real), None) => Ok(Found::LinkedFolder(real)),
            (None, None) => Ok(Found::Folder(entry.path())),
        };
    }
    if !is_definitions(name) {
        return Ok(Found::Nothing);
    }
    if let Some(leads_out) = leads_out {
        return refused(leads_out);
    }
    if !metadata.is_file() {
        return refused(Refusal::NotAFile(kind_of(&metadata)));
    }
    let place = match linked {
        Some(real) => Place::Linked(real),
        None => Place::Folder(Arc::clone(folder)),
    };
    Ok(Found::Entry(Entry::File(Signature::of(&metadata), place)))
}

/// Whether a file or folder of this name is passed over: what editors and
/// version control leave, and the inner folders of a Kubernetes volume.
fn is_skipped(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b".")
        || [&b"~"[..], b".swp", b".tmp"]
            .iter()
            .any(|s| name.ends_with(s))
}

fn is_definitions(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".yaml") || name.ends_with(b".yml")
}

fn kind_of(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "neither a file nor a folder"
    }
}

fn vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
