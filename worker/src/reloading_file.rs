//! A file that is read again when its contents change.
//!
//! Always holds:
//! - The last good contents are served.
//! - Contents decide, not times: the files of a `ConfigMap` keep their times.
//! - Only regular files are read. A pipe or a device in the file's place is an error, not
//!   a wait, so that the next good file is read.

use std::fs::{File, OpenOptions, metadata};
use std::io::Read as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::metrics::Metric;
use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Interval between two readings.
const READ_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time of a reading before it is an error; a network file system may never
/// answer.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// Maximum size of the file, in bytes.
const FILE_LIMIT_BYTES: u64 = 1024 * 1024;
/// Permission bits for others than the owner and the group.
const OTHERS: u32 = 0o006;

almanac_base::message_error! {
    /// The reason for which a file, or what takes its place, cannot be used.
    pub Unusable
}

/// Error of a file that cannot be used at the start.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: {path}: {why}")]
pub struct UnusableFile {
    /// The flag that names the file.
    flag: &'static str,
    path: String,
    /// Description of the error.
    why: Unusable,
}

/// A function that returns the meaning of a file's contents, or their error.
type Parse<T> = fn(&[u8]) -> Result<T, Unusable>;

/// A file's value, which follows the file.
#[derive(Debug)]
pub struct ReloadingFile<T> {
    flag: &'static str,
    path: PathBuf,
    parse: Parse<T>,
    /// `true` if others could use the contents if they can read them.
    is_secret: bool,
    first: ContentDigest,
    /// Permission bits of the file at the first reading.
    mode: u32,
    value: ArcSwap<T>,
}

/// A reading that is in progress.
type Reading<T> = JoinHandle<Result<Contents<T>, Unusable>>;

/// The result of a reading.
struct Contents<T> {
    print: ContentDigest,
    /// Permission bits of the file.
    mode: u32,
    /// The value of the contents, or their error; `None` if the contents are known
    /// already.
    value: Option<Result<T, Unusable>>,
}

/// A digest of contents: contents may be secret and are not kept.
type ContentDigest = [u8; 32];

impl<T: Send + Sync + 'static> ReloadingFile<T> {
    /// Reads the file that `flag` names.
    pub(crate) fn open(
        flag: &'static str,
        path: PathBuf,
        parse: Parse<T>,
    ) -> Result<Self, UnusableFile> {
        let first = load(&path, parse, None).and_then(|contents| {
            let value = contents
                .value
                .unwrap_or_else(|| Err("nothing was read".into()));
            Ok((contents.print, contents.mode, value?))
        });
        let (first, mode, value) = first.map_err(|why| UnusableFile {
            flag,
            path: path.display().to_string(),
            why,
        })?;
        Ok(Self {
            flag,
            path,
            parse,
            is_secret: false,
            first,
            mode,
            value: ArcSwap::from_pointee(value),
        })
    }

    /// Makes the file secret: warns if others than the owner and the group may read or
    /// write it.
    pub(crate) fn secret(self) -> Self {
        let this = Self {
            is_secret: true,
            ..self
        };
        this.warn_of_others(this.mode);
        this
    }

    /// Returns the current value.
    pub(crate) fn now(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// Follows changes of the file, for ever.
    pub(crate) async fn follow(&self) {
        // The last reading, and whether its contents were good.
        let (mut seen, mut is_good) = (Ok(self.first), true);
        let mut reading: Option<Reading<T>> = None;
        loop {
            tokio::time::sleep(READ_INTERVAL).await;
            let known = seen.as_ref().ok().copied();
            match self.read(known, &mut reading).await {
                // The contents are unchanged; after a reading that took too long, the
                // file is read again.
                Ok(Contents { value: None, .. }) => {}
                Ok(Contents {
                    print,
                    mode,
                    value: Some(value),
                }) => {
                    (seen, is_good) = (Ok(print), value.is_ok());
                    self.take(value, mode);
                }
                Err(why) => {
                    is_good = false;
                    if seen != Err(why.clone()) {
                        seen = Err(why.clone());
                        self.take(Err(why), 0);
                    }
                }
            }
            if !is_good {
                reloaded("error");
            }
        }
    }

    /// Reads the file on a thread of its own. If an earlier reading has not ended, waits
    /// for that one: there is never a second reading.
    async fn read(
        &self,
        seen: Option<ContentDigest>,
        reading: &mut Option<Reading<T>>,
    ) -> Result<Contents<T>, Unusable> {
        let (path, parse) = (self.path.clone(), self.parse);
        let mut begun = reading
            .take()
            .unwrap_or_else(|| tokio::task::spawn_blocking(move || load(&path, parse, seen)));
        match timeout(READ_LIMIT, &mut begun).await {
            Ok(Ok(contents)) => contents,
            Ok(Err(error)) => Err(error.to_string().into()),
            Err(_) => {
                *reading = Some(begun);
                Err(format!("reading takes longer than {READ_LIMIT:?}").into())
            }
        }
    }

    fn take(&self, value: Result<T, Unusable>, mode: u32) {
        let file = self.path.display();
        match value {
            Ok(value) => {
                reloaded("ok");
                self.value.store(Arc::new(value));
                tracing::info!(flag = self.flag, %file, "file reloaded");
                self.warn_of_others(mode);
            }
            Err(error) => tracing::error!(
                flag = self.flag, %file, error = error.to_string(),
                "the file cannot be read; its previous contents stay in force"
            ),
        }
    }

    fn warn_of_others(&self, mode: u32) {
        if self.is_secret && mode & OTHERS != 0 {
            tracing::warn!(
                flag = self.flag, file = %self.path.display(),
                "other users can read or write the file; hint: chmod o-rwx"
            );
        }
    }
}

/// Counts a reading that found new contents, and each reading that failed.
pub(crate) fn reloaded(result: &'static str) {
    metrics::counter!(Metric::AuthorityReloadTotal.as_str(), "result" => result).increment(1);
}

/// Reads a file, and parses its contents unless they are the ones seen last.
fn load<T>(
    path: &Path,
    parse: Parse<T>,
    seen: Option<ContentDigest>,
) -> Result<Contents<T>, Unusable> {
    let text = |error: std::io::Error| Unusable::from(error.to_string());
    let file = open(path)?;
    let mode = file.metadata().map_err(text)?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(text)?;
    if bytes.len() as u64 > FILE_LIMIT_BYTES {
        return Err(format!("the file is larger than {FILE_LIMIT_BYTES} bytes").into());
    }
    let print = print(&bytes);
    Ok(Contents {
        print,
        mode,
        value: (seen != Some(print)).then(|| parse(&bytes)),
    })
}

/// Opens a regular file. Opening a pipe would wait for its other end, and opening a
/// device may have any effect.
fn open(path: &Path) -> Result<File, Unusable> {
    let text = |error: std::io::Error| Unusable::from(error.to_string());
    let regular = |is_file: bool| is_file.then_some(()).ok_or("this is not a regular file");
    regular(metadata(path).map_err(text)?.is_file())?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(text)?;
    // The file may have been replaced in between.
    regular(file.metadata().map_err(text)?.is_file())?;
    Ok(file)
}

fn print(bytes: &[u8]) -> ContentDigest {
    Sha256::digest(bytes).into()
}
