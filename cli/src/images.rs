//! Images as arguments name them: files, folders of them, `-` for stdin.

use ghostnet::{Error, image::DynamicImage, image_input};
use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// What files of images in folders end with.
pub const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif"];

/// As an image file may have.
const MOST_BYTES: u64 = 1 << 30;

/// An image to be decoded. Printed it is what the user called it.
#[derive(Debug)]
pub enum Source {
    Stdin,
    File(PathBuf),
    /// A folder that gives none, and why.
    Folder(PathBuf, Error),
}

impl Source {
    fn of(argument: PathBuf) -> Self {
        if argument == Path::new("-") { Self::Stdin } else { Self::File(argument) }
    }

    /// What `work` makes of the decoded image. Files that several threads decode share one budget of
    /// memory.
    pub fn with_image<T>(&self, work: impl FnOnce(&DynamicImage) -> ghostnet::Result<T>) -> ghostnet::Result<T> {
        match self {
            Self::File(path) => image_input::with_file(path, work),
            Self::Folder(_, error) => Err(error.clone()),
            Self::Stdin => {
                let mut bytes = Vec::new();
                let origin = Path::new("-");
                let read = io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes);
                read.map_err(|error| Error::Io { file: origin.into(), what: error.to_string() })?;
                work(&image_input::decode_bytes(origin, &bytes)?)
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("-"),
            Self::File(path) | Self::Folder(path, _) => path.display().fmt(f),
        }
    }
}

/// What the arguments name, in their order, of folders every image in them and in their folders. A
/// folder that cannot be read or has none is an error in its place.
pub fn sources(arguments: Vec<PathBuf>) -> Vec<Source> {
    let mut found = Vec::new();
    for argument in arguments {
        if !argument.is_dir() {
            found.push(Source::of(argument));
            continue;
        }
        let before = found.len();
        walk(&argument, &mut found);
        if found.len() == before {
            let what = format!("no images ({}) in it", EXTENSIONS.join(", "));
            found.push(Source::Folder(argument.clone(), Error::Io { file: argument, what }));
        }
    }
    found
}

/// Everything in order of the names. Links to folders are not followed, for they may lead in
/// circles, and names that begin with a dot are left out.
fn walk(folder: &Path, found: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return found.push(Source::Folder(folder.into(), Error::Io { file: folder.into(), what: error.to_string() })),
    };
    entries.retain(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, found);
        } else if path.is_file() && is_image(&path) {
            found.push(Source::File(path));
        }
    }
}

/// Whether a file's name says that it is an image or, where it has no extension, its first bytes.
fn is_image(path: &Path) -> bool {
    match path.extension().map(|extension| extension.to_string_lossy().to_lowercase()) {
        Some(extension) => EXTENSIONS.contains(&&*extension),
        None => image_input::is_image(path),
    }
}
