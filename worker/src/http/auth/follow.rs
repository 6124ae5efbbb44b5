//! A file that is read again when its contents change.
//!
//! Always holds: what it said last that was good is what is served. Contents
//! decide, not times: a `ConfigMap`'s files keep theirs.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};

use super::AuthError;

/// Time between two readings.
const EVERY: Duration = Duration::from_secs(1);
/// The largest file, in bytes.
const LIMIT: u64 = 1024 * 1024;
/// The permission bits of those who are neither the owner nor of the group.
const OTHERS: u32 = 0o006;

/// What a file's contents mean, or what is wrong with them.
type Parse<T> = fn(&[u8]) -> Result<T, String>;

/// What a file says.
#[derive(Debug)]
pub struct Followed<T> {
    flag: &'static str,
    path: PathBuf,
    parse: Parse<T>,
    /// Whether others who can read it can use what it says.
    is_secret: bool,
    first: Print,
    value: ArcSwap<T>,
}

/// A digest of contents: secrets are not kept.
type Print = [u8; 32];

impl<T: Send + Sync + 'static> Followed<T> {
    /// Reads the file that `flag` names.
    pub(super) fn open(
        flag: &'static str,
        path: PathBuf,
        parse: Parse<T>,
    ) -> Result<Self, AuthError> {
        let value = read(&path).and_then(|bytes| Ok((print(&bytes), parse(&bytes)?)));
        let (first, value) = value.map_err(|why| AuthError::File {
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
            value: ArcSwap::from_pointee(value),
        })
    }

    /// Warns when others than the owner and the group may use the file.
    pub(super) fn secret(self) -> Self {
        let this = Self {
            is_secret: true,
            ..self
        };
        this.look_at_mode();
        this
    }

    /// What it says now.
    pub(super) fn now(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// Follows it, for ever.
    pub(super) async fn follow(&self) {
        let mut seen = Ok(self.first);
        loop {
            tokio::time::sleep(EVERY).await;
            let path = self.path.clone();
            let bytes = match tokio::task::spawn_blocking(move || read(&path)).await {
                Ok(bytes) => bytes,
                Err(error) => Err(error.to_string()),
            };
            let now = bytes.as_deref().map(print).map_err(Clone::clone);
            if now == seen {
                continue;
            }
            seen = now;
            self.take(bytes.and_then(|bytes| (self.parse)(&bytes)));
        }
    }

    fn take(&self, value: Result<T, String>) {
        let file = self.path.display();
        match value {
            Ok(value) => {
                self.value.store(Arc::new(value));
                tracing::info!(flag = self.flag, %file, "authority read again");
                self.look_at_mode();
            }
            Err(error) => tracing::error!(
                flag = self.flag, %file, error,
                "authority cannot be read; what the file said before goes on"
            ),
        }
    }

    fn look_at_mode(&self) {
        let mode = std::fs::metadata(&self.path).map(|file| file.permissions().mode());
        if self.is_secret && mode.is_ok_and(|mode| mode & OTHERS != 0) {
            tracing::warn!(
                flag = self.flag, file = %self.path.display(),
                "others can read or write the file; hint: chmod o-rwx"
            );
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LIMIT {
        return Err(format!("the file is larger than {LIMIT} bytes"));
    }
    Ok(bytes)
}

fn print(bytes: &[u8]) -> Print {
    Sha256::digest(bytes).into()
}
