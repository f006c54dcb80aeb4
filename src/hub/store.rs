//! The cache on disk, laid out as by Python's huggingface_hub.
//!
//! ```text
//! models--OWNER--NAME/blobs/ETAG                the bytes; ETAG.incomplete while they arrive
//!                     snapshots/COMMIT/FILE     a relative link to its blob, or else a copy
//!                     refs/main                 the commit that main is
//! .locks/models--OWNER--NAME/ETAG.lock          held while a blob is written
//! ```
//!
//! Every name that comes in here was checked by [`is_file_name`]. Files get their names when they
//! are complete, by renaming, which replaces a link instead of following it. A folder that is a
//! link out of the cache is refused.

use super::choice::{choose, is_file_name};
use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// What the cache has of one model.
pub(super) struct Store {
    cache: PathBuf,
    name: String,
}

/// What the folder of a model begins with.
const PREFIX: &str = "models--";

/// Between its owner and its name.
const SLASH: &str = "--";

/// Names of the models that have a folder.
pub(super) fn repos(cache: &Path) -> impl Iterator<Item = String> {
    let names = fs::read_dir(cache).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| Some(name.to_str()?.strip_prefix(PREFIX)?.replace(SLASH, "/")))
}

impl Store {
    pub fn new(cache: &Path, repo: &str) -> Self {
        Store { cache: cache.into(), name: format!("{PREFIX}{}", repo.replace('/', SLASH)) }
    }

    fn model(&self) -> PathBuf {
        self.cache.join(&self.name)
    }

    /// A file of a revision and its length, if it is there.
    pub fn present(&self, commit: &str, file: &str) -> Option<(PathBuf, u64)> {
        let path = self.model().join("snapshots").join(commit).join(file);
        let found = fs::metadata(&path).ok().filter(|m| m.is_file())?;
        Some((path, found.len()))
    }

    /// The folders of the revisions that have weights: first the one that main is, then the newest.
    pub fn snapshots(&self) -> Vec<PathBuf> {
        let main = self.main();
        let found = fs::read_dir(self.model().join("snapshots")).into_iter().flatten().flatten();
        let mut found: Vec<(bool, SystemTime, PathBuf)> = found
            .filter_map(|entry| {
                let (name, folder) = (entry.file_name(), entry.path());
                let names = files(&folder);
                let weights = choose(names.iter().map(String::as_str))?;
                let written = fs::metadata(folder.join(weights)).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                Some((main.as_deref().is_some_and(|main| name == main), written, folder))
            })
            .collect();
        found.sort_by(|a, b| b.cmp(a));
        found.into_iter().map(|(_, _, folder)| folder).collect()
    }

    fn main(&self) -> Option<String> {
        let commit = fs::read_to_string(self.model().join("refs/main")).ok()?;
        Some(commit.trim().to_string()).filter(|commit| is_file_name(commit))
    }

    /// Notes which revision main is.
    pub fn set_main(&self, commit: &str) -> Result<()> {
        // A cache that others keep may be readable only.
        if self.main().as_deref() == Some(commit) {
            return Ok(());
        }
        let folder = self.folder(&[&self.name, "refs"])?;
        write_whole(&folder.join("main"), |file| file.write_all(commit.as_bytes()))
    }

    /// Makes sure that nobody else writes this blob. Waits for whoever does, for as long as
    /// `patience` without any progress.
    pub fn claim(&self, etag: &str, patience: Duration) -> Result<Claim> {
        let blobs = self.folder(&[&self.name, "blobs"])?;
        let path = self.folder(&[".locks", &self.name])?.join(format!("{etag}.lock"));
        let mut part = blobs.join(format!("{etag}.incomplete"));
        let lock = open(&path).map_err(|e| Error::io(&path, e))?;
        let (mut since, mut seen) = (Instant::now(), None);
        loop {
            // By its full name: since Rust 1.89 files have a method of this name.
            match fs4::FileExt::try_lock(&lock) {
                Ok(()) => break,
                Err(fs4::TryLockError::WouldBlock) => {}
                // Some file systems have no locks. A part of our own is in nobody's way, and is
                // gone on from by nobody.
                Err(fs4::TryLockError::Error(_)) => {
                    part = blobs.join(format!("{etag}.{}.incomplete", std::process::id()));
                    break;
                }
            }
            let length = fs::metadata(&part).ok().map(|m| m.len());
            if length != seen {
                (since, seen) = (Instant::now(), length);
            }
            if since.elapsed() > patience {
                let what = "another process holds it, and its download makes no progress";
                return Err(Error::file(path, io::ErrorKind::ResourceBusy, what));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Claim { blob: blobs.join(etag), part, _lock: lock })
    }

    /// Gives a blob its name in a revision.
    pub fn link(&self, blob: &Path, commit: &str, file: &str) -> Result<PathBuf> {
        self.link_by(symlink, blob, commit, file)
    }

    fn link_by(&self, symlink: fn(&Path, &Path) -> io::Result<()>, blob: &Path, commit: &str, file: &str) -> Result<PathBuf> {
        let path = self.folder(&[&self.name, "snapshots", commit])?.join(file);
        let to = Path::new("../../blobs").join(blob.file_name().unwrap_or_default());
        let linked = beside(&path, |at| symlink(&to, at));
        if linked.and_then(|link| link.persist(&path).map_err(|e| e.error)).is_err() {
            write_whole(&path, |file| io::copy(&mut File::open(blob)?, file).map(drop))?;
        }
        Ok(path)
    }

    /// A folder in the cache, made if need be.
    fn folder(&self, names: &[&str]) -> Result<PathBuf> {
        let io = |path: &Path, e: io::Error| Error::io(path, e);
        fs::create_dir_all(&self.cache).map_err(|e| io(&self.cache, e))?;
        let inside = fs::canonicalize(&self.cache).map_err(|e| io(&self.cache, e))?;
        let mut path = self.cache.clone();
        for name in names {
            path.push(name);
            match fs::create_dir(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                made => made.map_err(|e| io(&path, e))?,
            }
            if !fs::canonicalize(&path).map_err(|e| io(&path, e))?.starts_with(&inside) {
                return Err(Error::file(path, io::ErrorKind::InvalidInput, "a link that leads out of the cache"));
            }
        }
        Ok(path)
    }
}

/// The names of the files in a folder, through the links into `blobs`, of which one may lead
/// nowhere.
pub(super) fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_file());
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The right to write one blob, until dropped.
pub(super) struct Claim {
    pub blob: PathBuf,
    /// Where its bytes gather.
    pub part: PathBuf,
    _lock: File,
}

impl Claim {
    pub fn open_part(&self) -> Result<File> {
        open(&self.part).map_err(|e| Error::io(&self.part, e))
    }

    /// The part is the blob.
    pub fn finish(&self) -> Result<()> {
        fs::rename(&self.part, &self.blob).map_err(|e| Error::io(&self.blob, e))
    }

    /// The part is known to be bad.
    pub fn discard(&self) {
        let _ = fs::remove_file(&self.part);
    }
}

/// Opens a file of the cache to read and write what it holds, or makes an empty one. What is in its
/// place and is no file, such as a link, is removed.
fn open(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => fs::remove_file(path)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NOFOLLOW.bits() as i32);
    options.open(path)
}

/// Replaces a file as a whole.
fn write_whole(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let written = beside(path, |at| File::create_new(at)).and_then(|mut file| {
        write(file.as_file_mut())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)
    });
    written.map(drop).map_err(|e| Error::io(path, e))
}

/// Makes what shall replace `path`, under a name beside it that no file of a hub has.
fn beside<T>(path: &Path, make: impl FnMut(&Path) -> io::Result<T>) -> io::Result<tempfile::NamedTempFile<T>> {
    tempfile::Builder::new().prefix(".ghostnet-").make_in(path.parent().unwrap_or(Path::new("")), make)
}

#[cfg(unix)]
fn symlink(to: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(windows)]
fn symlink(to: &Path, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(to, at)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_links_are_refused_a_file_is_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), "a/b");
        let claim = store.claim("etag", Duration::ZERO).unwrap();
        claim.open_part().unwrap().write_all(b"weights").unwrap();
        claim.finish().unwrap();
        for _ in 0..2 {
            let path = store.link_by(|_, _| Err(io::ErrorKind::PermissionDenied.into()), &claim.blob, "c", "x.pth").unwrap();
            assert_eq!(path, folder.path().join("models--a--b/snapshots/c/x.pth"));
            assert!(fs::symlink_metadata(&path).unwrap().is_file());
            assert_eq!(fs::read(&path).unwrap(), b"weights");
            // Nothing else lies there, and a link replaces the copy.
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        }
        let path = store.link(&claim.blob, "c", "x.pth").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"weights");
        assert_eq!(cfg!(unix), fs::symlink_metadata(&path).unwrap().is_symlink());
    }
}
