//! Images as arguments name them: files, folders of them, `-` for stdin.

use crate::output::{note, one_line};
use ghostnet::{Error, image::DynamicImage, image_input};
use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Extensions of files that are decoded. What has none is told by its first bytes.
pub const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif"];

/// Extensions of images that are not decoded: they are counted as left out. Other files are none.
const OTHERS: [&str; 16] =
    ["avif", "heic", "heif", "ico", "j2k", "jp2", "jxl", "pbm", "pgm", "pnm", "ppm", "psd", "svg", "tga", "tif", "tiff"];

/// Folders in a folder that are searched for images.
const DEEPEST: usize = 16;

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

    /// The file of one that lies in a folder.
    pub fn file(self) -> ghostnet::Result<PathBuf> {
        match self {
            Self::File(path) => Ok(path),
            Self::Folder(_, error) => Err(error),
            Self::Stdin => Ok("-".into()),
        }
    }

    /// What `work` makes of the decoded image. Files that several threads decode share one budget
    /// of memory.
    pub fn with_image<T>(&self, work: impl FnOnce(&DynamicImage) -> ghostnet::Result<T>) -> ghostnet::Result<T> {
        match self {
            Self::File(path) => image_input::with_file(path, work),
            Self::Folder(_, error) => Err(error.clone()),
            Self::Stdin => {
                let mut bytes = Vec::new();
                let origin = Path::new("-");
                let read = io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes);
                read.map_err(|error| Error::io(origin, error))?;
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
    let (mut found, mut left_out) = (Vec::new(), BTreeMap::new());
    for argument in arguments {
        if !argument.is_dir() {
            found.push(Source::of(argument));
            continue;
        }
        let before = found.len();
        walk(&argument, &mut found, &mut left_out);
        if found.len() == before {
            let what = format!("no images ({}) in it", EXTENSIONS.join(", "));
            found.push(Source::Folder(argument.clone(), Error::file(argument, io::ErrorKind::NotFound, what)));
        }
    }
    note_left_out(&left_out);
    found
}

/// The images in a folder and below it, in order of their names; of the other files the images that
/// are not decoded are counted by their kind. A folder that cannot be read is an error in its
/// place.
pub fn walk(folder: &Path, found: &mut Vec<Source>, left_out: &mut BTreeMap<String, usize>) {
    walk_to(DEEPEST, folder, found, left_out);
}

fn walk_to(depth: usize, folder: &Path, found: &mut Vec<Source>, left_out: &mut BTreeMap<String, usize>) {
    let paths = match list(folder) {
        Ok(paths) => paths,
        Err(error) => return found.push(Source::Folder(folder.into(), error)),
    };
    for path in paths {
        if path.is_dir() {
            // A link may lead to where it lies.
            if depth > 0 && !path.is_symlink() {
                walk_to(depth - 1, &path, found, left_out);
            }
            continue;
        }
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let kind = match extension {
            // Nothing waits for a pipe.
            _ if !path.is_file() => "no regular file".into(),
            Some(extension) if EXTENSIONS.contains(&&*extension) => String::new(),
            Some(extension) if OTHERS.contains(&&*extension) => format!(".{extension}"),
            Some(_) => continue,
            None if image_input::is_image(&path) => String::new(),
            None => "without an extension".into(),
        };
        if kind.is_empty() {
            found.push(Source::File(path));
        } else {
            *left_out.entry(kind).or_default() += 1;
        }
    }
}

/// What a folder holds and does not hide, in order of the names.
pub fn list(folder: &Path) -> ghostnet::Result<Vec<PathBuf>> {
    let fail = |error: io::Error| {
        let what = if error.kind() == io::ErrorKind::NotFound { "no such directory".into() } else { error.to_string() };
        Error::file(folder, error.kind(), what)
    };
    let entries = fs::read_dir(folder).map_err(fail)?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>().map_err(fail)?;
    paths.retain(|path| path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b".")));
    paths.sort();
    Ok(paths)
}

/// Says what was left out, if anything was.
pub fn note_left_out(left_out: &BTreeMap<String, usize>) {
    if !left_out.is_empty() {
        let kinds: Vec<String> = left_out.iter().map(|(kind, count)| format!("{count} {}", one_line(kind))).collect();
        note(&format!("note: {} are decoded; left out: {}", EXTENSIONS.join(", "), kinds.join(", ")));
    }
}
