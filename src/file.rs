//! Files that are read from outside, and files that are written whole or not at all: another file
//! in the same folder is filled and then takes the old one's place.

use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use std::fs::OpenOptions;
use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// Opens a regular file, of the length that is returned. Nothing waits for the other end of a pipe.
///
/// # Errors
/// [`Error::Io`] where it cannot be opened or is anything else.
pub fn open(path: &Path) -> Result<(File, u64)> {
    // Before opening: opening a pipe waits for its other end.
    let metadata = fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if !metadata.is_file() {
        return Err(if metadata.is_dir() {
            Error::file(path, io::ErrorKind::IsADirectory, "a directory, not a file")
        } else {
            Error::file(path, io::ErrorKind::InvalidInput, "not a regular file")
        });
    }
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    Ok((file, metadata.len()))
}

/// Makes or replaces a file, which `write` fills. The file that a link points to is replaced, not
/// the link. A pipe or device is written to directly.
///
/// # Errors
/// [`Error::Io`] if the folder is not there or the file cannot be written. Then it is as it was,
/// and nothing is left beside it.
#[cfg(not(target_arch = "wasm32"))]
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let is_special = fs::metadata(&target).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let written = if is_special {
        OpenOptions::new().write(true).open(&target).and_then(|mut file| write(&mut file))
    } else {
        // What is not on the disk yet may be lost after the old file is.
        swap(&target, Readers::All, |file| write(file).and_then(|()| file.sync_all()))
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::file(path, error.kind(), "no such directory"),
        _ => Error::io(path, error),
    })
}

/// Who may read a new file.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// All whom the user's umask does not leave out.
    All,
    /// Its user, who alone may write it too.
    User,
}

/// Puts a new file in the place of `target`, be that there or not.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn swap(target: &Path, readers: Readers, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".").suffix(".tmp").make_in(folder, |path| create(path, readers))?;
    write(temporary.as_file_mut())?;
    temporary.persist(target).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(not(target_arch = "wasm32"))]
fn create(path: &Path, readers: Readers) -> io::Result<File> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if readers == Readers::All { 0o666 } else { 0o600 });
    // Elsewhere the folder says who may.
    let _ = readers;
    options.read(true).write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_made_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for text in ["first", "2nd"] {
            replace(&path, |file| file.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[test]
    fn a_write_that_fails_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "old").unwrap();
        let error = replace(&path, |file| file.write_all(b"half").and(Err(io::Error::other("it is full")))).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: it is full", path.display()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        let error = replace(&folder.path().join("none/x"), |_| Ok(())).unwrap_err().to_string();
        assert!(error.ends_with("none/x: no such directory"), "{error}");
        // A folder in the way, and what is no file's name.
        for path in [folder.path().to_path_buf(), folder.path().join(".."), "".into()] {
            assert!(replace(&path, |file| file.write_all(b"new")).is_err(), "{}", path.display());
        }
        assert_eq!(names(folder.path()), ["x"]);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_waits_for_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        let refused = [
            open(&pipe).map(drop),
            crate::npy::read(&pipe).map(drop),
            crate::npy::shape(&pipe).map(drop),
            crate::Network::open(&pipe).map(drop),
            crate::Card::open(&pipe).map(drop),
            #[cfg(feature = "decode")]
            crate::image_input::decode_file(&pipe).map(drop),
        ];
        for result in refused {
            assert!(result.unwrap_err().to_string().ends_with("pipe: not a regular file"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_and_a_device_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        replace(&link, |file| file.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        replace(Path::new("/dev/null"), |file| file.write_all(b"new")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[cfg(unix)]
    #[test]
    fn a_users_umask_says_who_reads_a_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        fs::write(folder.path().join("usual"), "").unwrap();
        replace(&folder.path().join("all"), |_| Ok(())).unwrap();
        swap(&folder.path().join("user"), Readers::User, |_| Ok(())).unwrap();
        assert_eq!([mode("all"), mode("user")], [mode("usual"), 0o600]);
    }
}
