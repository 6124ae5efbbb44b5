//! Lists the files in the folders of definitions, with their kinds and metadata.
//!
//! Always holds: only folders are opened, so a FIFO or a device cannot stop a listing. No file
//! outside its folder is listed as readable, and no folder outside is entered, even if a name
//! is replaced by a link meanwhile. A folder is entered once, even if many links lead to it.
//! Reading the files is left to [`super::read`], and their meaning to [`super::load`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, open, openat, statat};

use super::read::{Refusal, plain};

/// Maximum number of files that are listed: each holds at least one document.
pub(super) const FILES_LIMIT: usize = 50_000;

/// Maximum number of files that are reported for their names.
const MISNAMED_LIMIT: usize = 1000;

/// Identity of a file or folder, independent of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// Seconds and nanoseconds since the Unix epoch.
type Moment = (i64, i64);

/// Metadata that tell two states of a file or folder apart without reading it. The change time
/// cannot be set back, unlike the modification time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature {
    identity: Identity,
    size: u64,
    changed: Moment,
    modified: Moment,
}

/// A name that could hold definitions, as a listing found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A file, with its metadata and its place.
    File(Signature, Place),
    /// A file that is refused.
    Refused(Refusal),
}

/// Place of a listed file, free of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The file lies in this folder, under its own name.
    Folder(Arc<Path>),
    /// The name is a link to this path.
    Linked(PathBuf),
}

/// Reason why the view of a folder is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScanGap {
    /// The folder does not exist.
    #[error("is missing")]
    Missing,
    /// The path is a file or something else that is no folder.
    #[error("is not a folder")]
    NotAFolder,
    /// The folder cannot be listed.
    #[error("cannot be listed: {0}")]
    Unreadable(String),
    /// A part of the folder cannot be listed.
    #[error("cannot be listed fully: `{path}`: {error}")]
    Partial {
        /// Path of the part, relative to the folder.
        path: String,
        /// The error of the attempt.
        error: String,
    },
    /// There are more files than [`FILES_LIMIT`].
    #[error("has more than {FILES_LIMIT} files of definitions")]
    TooManyFiles,
    /// The folder changed during every attempt to read it.
    #[error("kept changing while it was read")]
    Unsettled,
    /// The folder is not the same one as before, or did not exist for a time, and has not been
    /// seen twice with the same contents.
    #[error("was replaced, and has not been seen twice with the same contents")]
    Replaced,
}

/// Contents of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Listing {
    /// Identity of the folder; `None` if there is none.
    pub(super) identity: Option<Identity>,
    /// Reason why the listing is incomplete.
    pub(super) hole: Option<ScanGap>,
    /// Entries by their paths relative to the folder, in that order. The paths are kept as
    /// text, since paths compare slowly.
    pub(super) entries: Vec<(OsString, Entry)>,
    /// Files that are not read only because of the case of their ending, such as `a.YAML`. The
    /// paths are relative to the folder, in order.
    pub(super) misnamed: Vec<PathBuf>,
    folders: Folders,
}

/// Every folder that a listing entered, with its state before that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Folders(Vec<(PathBuf, Signature)>);

impl Folders {
    /// Returns `true` if the metadata of no folder have changed since. They change when an
    /// entry is created, removed or renamed.
    pub(super) fn are_unchanged(&self) -> bool {
        self.0.iter().all(|(path, before)| before.holds(path))
    }
}

/// Lists every folder given. A folder that lies in another one is listed once, under the first
/// of the two.
pub(super) fn list(roots: &[PathBuf]) -> Vec<Listing> {
    let mut entered = BTreeSet::new();
    roots
        .iter()
        .map(|root| list_root(root, &mut entered))
        .collect()
}

/// Identity of the folder that `path` leads to.
pub(super) fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|m| Signature::of(&m).identity)
}

impl Listing {
    /// The folders that were entered.
    pub(super) fn folders(&self) -> Folders {
        self.folders.clone()
    }

    /// Returns `true` if `other` shows the same files in the same state.
    pub(super) fn same_contents(&self, other: &Self) -> bool {
        self.identity == other.identity
            && self.hole == other.hole
            && self.entries == other.entries
            && self.misnamed == other.misnamed
    }
}

impl Place {
    /// Path of the file that is listed as `path`.
    pub(super) fn of(&self, path: &OsStr) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(Path::new(path).file_name().unwrap_or(path)),
            Self::Linked(real) => real.clone(),
        }
    }
}

impl Signature {
    /// The state in `metadata`.
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

    /// Returns `true` if the file or folder at `path` is in this state.
    pub(super) fn holds(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|now| Self::of(&now) == *self)
    }

    /// The state in the result of `fstat` on an open folder.
    fn of_stat(stat: &Stat) -> Self {
        // The types of the fields differ between systems.
        fn wide<T: TryInto<u64>>(number: T) -> u64 {
            number.try_into().unwrap_or_default()
        }
        fn long<T: TryInto<i64>>(number: T) -> i64 {
            number.try_into().unwrap_or_default()
        }
        Self {
            identity: Identity {
                device: wide(stat.st_dev),
                inode: wide(stat.st_ino),
            },
            size: wide(stat.st_size),
            changed: (long(stat.st_ctime), long(stat.st_ctime_nsec)),
            modified: (long(stat.st_mtime), long(stat.st_mtime_nsec)),
        }
    }

    /// Time of the last change of any kind.
    pub(super) fn changed(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.changed;
        let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
            + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default());
        UNIX_EPOCH + since
    }
}

impl ScanGap {
    /// A stable text for the revision, without the operating system's wording.
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
            listing.hole = Some(ScanGap::NotAFolder);
            return listing;
        }
        Ok((top, metadata)) => {
            listing.identity = Some(Signature::of(&metadata).identity);
            top
        }
        Err(error) => {
            listing.hole = Some(match error.kind() {
                io::ErrorKind::NotFound => ScanGap::Missing,
                io::ErrorKind::NotADirectory => ScanGap::NotAFolder,
                _ => ScanGap::Unreadable(plain(&error)),
            });
            return listing;
        }
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = match open(&top, flags, Mode::empty()) {
        Ok(folder) => Top { path: top, folder },
        Err(error) => {
            listing.note_hole(Path::new(""), &error.into());
            return listing;
        }
    };

    // Folders under their own names are listed first, so that a link to one of them adds
    // nothing under another name.
    let mut folders = vec![(PathBuf::new(), top.path.clone())];
    let mut linked = BTreeMap::new();
    'folders: while let Some((relative, real)) = folders.pop().or_else(|| linked.pop_first()) {
        let (folder, found) = match top.enter(&real) {
            Ok((before, open, found)) => {
                if !entered.insert(before.identity) {
                    continue;
                }
                let path = Arc::from(real.as_path());
                listing.folders.0.push((real, before));
                (Folder { path, open }, found)
            }
            // A folder that has just been removed or replaced by a link counts as never listed.
            // This does not hold for the topmost one: its absence does not mean that it is
            // empty. The folder that held it has changed, so the folders are listed again.
            Err(error)
                if (vanished(&error) || is_no_folder(&error)) && relative != Path::new("") =>
            {
                continue;
            }
            Err(error) => {
                listing.note_hole(&relative, &error);
                continue;
            }
        };
        for entry in found {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    listing.note_hole(&relative, &error.into());
                    break;
                }
            };
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if is_skipped(name) {
                continue;
            }
            let found = classify(&top, &folder, name, entry.file_type());
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
                Ok(Found::Misnamed) => {
                    if listing.misnamed.len() < MISNAMED_LIMIT {
                        listing.misnamed.push(path);
                    }
                }
                Ok(Found::Entry(_)) if listing.entries.len() >= FILES_LIMIT => {
                    listing.hole = Some(ScanGap::TooManyFiles);
                    break 'folders;
                }
                Ok(Found::Entry(entry)) => listing.entries.push((path.into_os_string(), entry)),
                Err(error) => listing.note_hole(&path, &error),
            }
        }
    }
    // A folder is entered once, so no path occurs twice.
    listing.entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    listing.misnamed.sort_unstable();
    listing
}

impl Listing {
    fn note_hole(&mut self, path: &Path, error: &io::Error) {
        let error = plain(error);
        self.hole.get_or_insert(if path == Path::new("") {
            ScanGap::Unreadable(error)
        } else {
            ScanGap::Partial {
                path: path.display().to_string(),
                error,
            }
        });
    }
}

/// The topmost folder of a listing.
struct Top {
    path: PathBuf,
    folder: OwnedFd,
}

/// A folder that was entered.
struct Folder {
    path: Arc<Path>,
    open: OwnedFd,
}

/// Kind and metadata of a path.
struct PathState {
    signature: Signature,
    kind: FileType,
}

impl PathState {
    fn of(stat: &Stat) -> Self {
        Self {
            signature: Signature::of_stat(stat),
            kind: FileType::from_raw_mode(stat.st_mode),
        }
    }

    /// The state of a name in an open folder. A link is not followed.
    fn at(folder: impl AsFd, name: &OsStr) -> io::Result<Self> {
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Self::of(&stat))
    }
}

impl Top {
    /// Opens a folder by a path that is free of links. If the path has a link now, the link is
    /// not followed, and the error is that of [`is_no_folder`].
    fn open(&self, real: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let outside = |_| io::Error::from(io::ErrorKind::NotFound);
        let parts = real.strip_prefix(&self.path).map_err(outside)?;
        let mut folder = openat(&self.folder, ".", flags, Mode::empty())?;
        for part in parts.components() {
            let Component::Normal(name) = part else {
                return Err(io::ErrorKind::NotFound.into());
            };
            folder = openat(&folder, name, flags, Mode::empty())?;
        }
        Ok(folder)
    }

    /// The state of a folder, and its entries, which are read after the state.
    fn enter(&self, real: &Path) -> io::Result<(Signature, OwnedFd, Dir)> {
        let folder = self.open(real)?;
        let before = Signature::of_stat(&fstat(&folder)?);
        let entries = Dir::read_from(&folder)?;
        Ok((before, folder, entries))
    }

    /// The state of a path that is free of links.
    fn path_state(&self, real: &Path) -> io::Result<PathState> {
        match (real.parent(), real.file_name()) {
            (Some(parent), Some(name)) if real != self.path => {
                PathState::at(self.open(parent)?, name)
            }
            _ => Ok(PathState::of(&fstat(&self.folder)?)),
        }
    }
}

enum Found {
    Nothing,
    /// The name is that of a file of definitions except for the case of its ending.
    Misnamed,
    Folder(PathBuf),
    LinkedFolder(PathBuf),
    Entry(Entry),
}

fn classify(top: &Top, folder: &Folder, name: &OsStr, file_type: FileType) -> io::Result<Found> {
    let refused = |refusal| Ok(Found::Entry(Entry::Refused(refusal)));
    // Some file systems do not give the type together with the name.
    let file_type = match file_type {
        FileType::Unknown => match PathState::at(&folder.open, name) {
            Ok(seen) => seen.kind,
            Err(error) if vanished(&error) => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        },
        known => known,
    };
    let is_link = file_type.is_symlink();
    if !is_link && !file_type.is_dir() && !is_definitions(name) {
        return Ok(if file_type.is_file() && is_misnamed(name) {
            Found::Misnamed
        } else {
            Found::Nothing
        });
    }
    let path = folder.path.join(name);
    let linked = if is_link {
        match fs::canonicalize(&path) {
            Ok(real) => Some(real),
            Err(error) if fs::symlink_metadata(&path).is_err_and(|e| vanished(&e)) => {
                drop(error);
                return Ok(Found::Nothing);
            }
            // The target of the link is not known: perhaps it was a whole folder.
            Err(error) => return refused(Refusal::BrokenLink(plain(&error))),
        }
    } else {
        None
    };
    if let Some(real) = linked.as_ref().filter(|real| !real.starts_with(&top.path)) {
        let is_folder = fs::metadata(real).is_ok_and(|metadata| metadata.is_dir());
        if is_definitions(name) && is_folder {
            return refused(Refusal::NotAFile("a folder"));
        }
        if !is_definitions(name) && !is_folder {
            return Ok(Found::Nothing);
        }
        return refused(Refusal::LeadsOut(real.display().to_string()));
    }
    let seen = match &linked {
        Some(real) => top.path_state(real),
        // The open folder is asked, so that the path is not resolved again for each file.
        None => PathState::at(&folder.open, name),
    };
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) if vanished(&error) && !is_link => return Ok(Found::Nothing),
        Err(error) if is_definitions(name) => {
            return refused(Refusal::Unreadable(plain(&error)));
        }
        Err(error) => return Err(error),
    };
    if seen.kind.is_dir() {
        return match linked {
            _ if is_definitions(name) => refused(Refusal::NotAFile("a folder")),
            Some(real) => Ok(Found::LinkedFolder(real)),
            None => Ok(Found::Folder(path)),
        };
    }
    if !is_definitions(name) {
        return Ok(if seen.kind.is_file() && is_misnamed(name) {
            Found::Misnamed
        } else {
            Found::Nothing
        });
    }
    if !seen.kind.is_file() {
        return refused(Refusal::NotAFile(kind_of(seen.kind)));
    }
    let place = match linked {
        Some(real) => Place::Linked(real),
        None => Place::Folder(Arc::clone(&folder.path)),
    };
    Ok(Found::Entry(Entry::File(seen.signature, place)))
}

/// Returns `true` if a file or folder of this name is skipped: files of editors and version
/// control, and the inner folders of a Kubernetes volume.
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

/// Returns `true` if a name ends as those of definitions do, except for the case.
fn is_misnamed(name: &OsStr) -> bool {
    let ending = Path::new(name).extension();
    !is_definitions(name)
        && ending.is_some_and(|ending| {
            ending.eq_ignore_ascii_case("yaml") || ending.eq_ignore_ascii_case("yml")
        })
}

fn kind_of(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        _ => "neither a file nor a folder",
    }
}

fn vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Returns `true` if the error of opening a folder means that the path is no folder. It may be
/// a link.
fn is_no_folder(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP))
}

#[cfg(test)]
mod tests;
