//! One folder a user for files that make the next start or run quicker. Nothing is in it that
//! cannot be made again.
//!
//! A file says what it is of (such as an adapter, its driver and this crate's version) and carries
//! a checksum. One that is cut off, damaged, of something else, or writable by other users counts
//! as none, and the next write replaces it. Nothing here fails: a folder that cannot be written is
//! logged, and the next start is as slow as the first. A browser has no such folder.

use std::path::PathBuf;

/// Where files go that make the next start or run quicker: pipelines as the driver compiled them,
/// and what `ghostnet tune` chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CacheDir {
    /// No files are read or written: a library leaves a user's folders alone unless it is asked.
    #[default]
    Off,
    /// The environment variable `GHOSTNET_CACHE_DIR`, or no folder if it is empty. Where it is not
    /// set, `ghostnet` in the user's cache folder: `$XDG_CACHE_HOME` or `~/.cache`,
    /// `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows. This is what the command uses.
    User,
    /// This folder, made when there is something to put into it. It should be writable by its user
    /// only: drivers run what they read.
    At(PathBuf),
}

#[cfg_attr(target_arch = "wasm32", path = "no_file.rs")]
mod file;

pub(crate) use file::CacheFile;
