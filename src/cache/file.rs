//! A file of the cache.

use super::CacheDir;
use crate::file::{Readers, swap};
use std::{
    env,
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

impl CacheDir {
    /// The folder, be it there or not; `None` if there shall be none, or the user has none.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Off => None,
            Self::At(folder) => Some(folder.clone()),
            Self::User => match env::var_os("GHOSTNET_CACHE_DIR") {
                Some(folder) => Some(PathBuf::from(folder)).filter(|f| !f.as_os_str().is_empty()),
                None => Some(dirs::cache_dir()?.join("ghostnet")),
            },
        }
    }
}

/// A file of the cache.
#[derive(Debug)]
pub(crate) struct CacheFile {
    path: PathBuf,
    key: String,
}

/// Start of every file, with the format's version.
const MAGIC: &[u8] = b"GHOSTNET CACHE 1\n";

/// The most a file may hold: far more than 18 pipelines, far less than a disk.
const MAX_BYTES: u64 = 32 << 20;

impl CacheFile {
    /// The file for what `of` says in full. Its name begins with `name`. What it holds is only good
    /// for exactly this `key`.
    pub(crate) fn of(folder: &CacheDir, name: &str, of: &str, key: String) -> Option<Self> {
        Some(Self::new(&folder.path()?, &format!("{name}_{:08x}", crc32fast::hash(of.as_bytes())), key))
    }

    fn new(folder: &Path, name: &str, key: String) -> Self {
        Self { path: folder.join(name), key }
    }

    /// What was written under this key, if all of it is there.
    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        match self.try_read() {
            Ok(body) => Some(body),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::info!("{}: not used: {error}", self.path.display());
                None
            }
        }
    }

    /// Replaces the file as a whole, so that another process never reads half of it. Returns
    /// whether it succeeded.
    pub(crate) fn write(&self, body: &[u8]) -> bool {
        let written = self.try_write(body);
        match &written {
            Ok(()) => log::debug!("{}: {} bytes written", self.path.display(), body.len()),
            Err(error) => log::info!("{}: not written: {error}", self.path.display()),
        }
        written.is_ok()
    }

    /// Where it lies, be it there or not.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// As [`CacheFile::path`], for messages.
    pub(crate) fn shown(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// Removes it, whatever it holds. Whether it was there.
    pub(crate) fn remove(&self) -> io::Result<bool> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true),
        }
    }

    fn try_read(&self) -> io::Result<Vec<u8>> {
        // Before it is opened: opening a pipe would wait for its writer.
        if !fs::metadata(&self.path)?.is_file() {
            return Err(io::Error::other("is no file"));
        }
        let file = File::open(&self.path)?;
        check_owner(&file)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::other(format!("holds more than {MAX_BYTES} bytes")));
        }
        let start = self.start();
        let rest = bytes.strip_prefix(&start[..]).ok_or_else(|| io::Error::other("is of another adapter, driver or version"))?;
        let cut_off = || io::Error::other("is cut off");
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(cut_off)?;
        let (checksum, body) = rest.split_first_chunk::<4>().ok_or_else(cut_off)?;
        if u64::from_le_bytes(*length) != body.len() as u64 {
            return Err(io::Error::other(format!("holds {} bytes, {} were written", body.len(), u64::from_le_bytes(*length))));
        }
        if u32::from_le_bytes(*checksum) != crc32fast::hash(body) {
            return Err(io::Error::other("is damaged: its checksum differs"));
        }
        Ok(body.to_vec())
    }

    /// As [`CacheFile::write`], for who wants to know why not.
    pub(crate) fn try_write(&self, body: &[u8]) -> io::Result<()> {
        let mut bytes = self.start();
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        bytes.extend_from_slice(body);
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::other(format!("would hold {} bytes, {MAX_BYTES} are the most", bytes.len())));
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        make(folder)?;
        swap(&self.path, Readers::User, |file| file.write_all(&bytes))
    }

    /// What a file of this key begins with.
    fn start(&self) -> Vec<u8> {
        let length = (self.key.len() as u32).to_le_bytes();
        [MAGIC, &length, self.key.as_bytes()].concat()
    }
}

/// A folder that other users cannot write to.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Refuses what another user may have written: a checksum says nothing against intent.
#[cfg(unix)]
fn check_owner(file: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = file.metadata()?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("other users may write to it"));
    }
    Ok(())
}

/// The user's cache folder is the user's alone.
#[cfg(not(unix))]
fn check_owner(_: &File) -> io::Result<()> {
    Ok(())
}
#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("the temporary directory is writable")
    }

    fn file(folder: &tempfile::TempDir, key: &str) -> CacheFile {
        CacheFile::new(&folder.path().join("new/folder"), "a.bin", key.into())
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = folder();
        let file = file(&folder, "key");
        assert_eq!(file.read(), None);
        for body in [&b"first"[..], b"", b"another, longer one"] {
            assert!(file.write(body));
            assert_eq!(file.read().as_deref(), Some(body));
        }
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(folder.path().join("new/folder")).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_is_not_as_it_was_written_is_ignored_and_replaced() {
        let folder = folder();
        let path = folder.path().join("new/folder/a.bin");
        let file = file(&folder, "adapter 1, driver 2, version 3");
        assert!(file.write(b"pipelines"));
        let whole = fs::read(&path).unwrap();
        // Cut off anywhere, any byte changed, something added, nothing at all, or something else.
        let mut bad: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
        bad.extend((0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            bytes
        }));
        bad.push([&whole[..], b"x"].concat());
        bad.push(b"\0asm".to_vec());
        bad.push(vec![0xff; 4096]);
        for bytes in bad {
            fs::write(&path, &bytes).unwrap();
            assert_eq!(file.read(), None, "{bytes:?}");
        }
        assert!(file.write(b"new"));
        assert_eq!(file.read().as_deref(), Some(&b"new"[..]));
    }

    #[test]
    fn a_file_of_something_else_is_ignored_and_replaced() {
        let folder = folder();
        let [one, other] = ["version 1", "version 10"].map(|key| file(&folder, key));
        assert!(one.write(b"one"));
        assert_eq!(other.read(), None);
        assert!(other.write(b"other"));
        assert_eq!((one.read(), other.read().as_deref()), (None, Some(&b"other"[..])));
    }

    #[test]
    fn a_file_is_bounded() {
        let folder = folder();
        let file = file(&folder, "key");
        assert!(file.write(b"small"));
        assert!(!file.write(&vec![0; MAX_BYTES as usize]));
        assert_eq!(file.read().as_deref(), Some(&b"small"[..]));
        let path = folder.path().join("new/folder/a.bin");
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(file.read(), None);
    }

    #[test]
    fn what_cannot_be_written_is_no_failure() {
        let folder = folder();
        let occupied = folder.path().join("file");
        fs::write(&occupied, b"").unwrap();
        // A file where the folder should be, and a folder where the file should be.
        let file = CacheFile::new(&occupied, "a.bin", "key".into());
        assert!(!file.write(b"body"));
        assert_eq!(file.read(), None);
        let file = CacheFile::new(folder.path().parent().unwrap(), folder.path().file_name().unwrap().to_str().unwrap(), "key".into());
        assert!(!file.write(b"body"));
        assert_eq!(file.read(), None);
    }

    #[test]
    #[cfg(unix)]
    fn only_its_user_may_write_a_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = folder();
        let file = file(&folder, "key");
        assert!(file.write(b"body"));
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let path = folder.path().join("new/folder/a.bin");
        assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
        for open in [0o620, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            assert_eq!(file.read(), None, "{open:o}");
        }
        assert!(file.write(b"body"));
        assert!(file.read().is_some());
    }

    #[test]
    fn many_writers_leave_one_whole_file() {
        let folder = folder();
        std::thread::scope(|scope| {
            for writer in 0..4u8 {
                let folder = &folder;
                scope.spawn(move || {
                    let file = file(folder, "key");
                    for _ in 0..50 {
                        assert!(file.write(&vec![writer; 10_000 + usize::from(writer)]));
                        let body = file.read().expect("some writer's file is there, and whole");
                        assert_eq!(body.len(), 10_000 + usize::from(body[0]));
                    }
                });
            }
        });
    }

    #[test]
    fn a_folder_of_ones_own_or_none() {
        assert_eq!(CacheDir::Off.path(), None);
        assert_eq!(CacheDir::At("here".into()).path(), Some("here".into()));
    }
}
