//! The library's one error type: what went wrong, on which file or node, with both numbers where
//! there are two.

use crate::text::path;
use std::{fmt, io, path::PathBuf, sync::Arc};

/// Everything that can go wrong, one variant per thing a caller can act on.
///
/// Every message is one line that says what and why, cause first.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// No GPU adapter matches the request. Remedy: install a Vulkan driver, loosen the filter, or
    /// use the CPU backend.
    NoAdapter(String),
    /// The adapter lacks a limit or feature that the engine needs. Remedy: another adapter, or the
    /// CPU backend.
    Unsupported {
        /// The adapter's name.
        adapter: String,
        /// What it lacks, with both numbers.
        what: String,
    },
    /// A buffer or dispatch is over a limit of the device. Remedy: a smaller batch or input.
    Limit {
        /// The node or buffer, and which limit.
        what: String,
        /// What it needs.
        needed: u64,
        /// What the device allows.
        limit: u64,
    },
    /// A weights file cannot be used: damaged, of an unknown kind, or not this network's.
    Weights {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the tensor's name and both shapes.
        what: String,
    },
    /// No network of this name, or a description that no network can have.
    Model(String),
    /// An image cannot be decoded or is too large.
    Image {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A tensor has another shape than the operation takes.
    Shape {
        /// The node.
        node: String,
        /// Both shapes.
        what: String,
    },
    /// Nodes that no kernel covers, every one named.
    NoKernel(Vec<String>),
    /// The GPU device was lost (driver reset, unplugged). Remedy: make a new engine and load the
    /// model again.
    DeviceLost(String),
    /// The device's memory is exhausted, or a browser's module's. Remedy: a smaller batch or input.
    OutOfMemory(String),
    /// The GPU refused a command. This is a defect of this library or of the driver.
    Gpu(String),
    /// A file cannot be read or written. `kind` tells a file that is not there from one that may
    /// not be opened, a disk that is full or contents of another kind (`InvalidData`).
    Io {
        /// The file.
        file: PathBuf,
        /// The reason, in words.
        what: String,
        /// What kind of failure it is.
        kind: io::ErrorKind,
        /// The system's error, if one was the reason.
        source: Option<Arc<io::Error>>,
    },
    /// A download failed.
    Download(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoAdapter(what) => write!(f, "no GPU adapter: {what}"),
            Error::Unsupported { adapter, what } => write!(f, "adapter `{adapter}`: {what}"),
            Error::Limit { what, needed, limit } => write!(f, "{what} needs {needed}, the device allows {limit}"),
            Error::Model(what) | Error::Download(what) => f.write_str(what),
            Error::Weights { file, what } | Error::Image { file, what } | Error::Io { file, what, .. } => {
                write!(f, "{}: {what}", path(file))
            }
            Error::Shape { node, what } => write!(f, "{node}: {what}"),
            Error::NoKernel(nodes) => write!(f, "no kernel for {}", nodes.join(", ")),
            Error::DeviceLost(why) => write!(f, "the GPU device was lost: {why}"),
            Error::OutOfMemory(what) => write!(f, "out of memory: {what}"),
            Error::Gpu(what) => write!(f, "the GPU refused {what}"),
        }
    }
}

impl std::error::Error for Error {
    /// The system's error as it is, not behind the pointer that clones share.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source: Some(source), .. } => Some(&**source),
            _ => None,
        }
    }
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// [`Error::Io`], since the system refused.
    pub fn io(file: impl Into<PathBuf>, error: io::Error) -> Self {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "no such file".to_string(),
            _ => error.to_string(),
        };
        Error::Io { file: file.into(), what, kind: error.kind(), source: Some(error.into()) }
    }
    /// [`Error::Io`], since the file is not what it has to be.
    pub fn file(file: impl Into<PathBuf>, kind: io::ErrorKind, what: impl Into<String>) -> Self {
        Error::Io { file: file.into(), what: what.into(), kind, source: None }
    }
    pub(crate) fn weights(file: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Error::Weights { file: file.into(), what: on_one_line(what.into()) }
    }
    #[cfg(feature = "decode")]
    pub(crate) fn image(file: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Error::Image { file: file.into(), what: what.into() }
    }
    pub(crate) fn shape(node: impl Into<String>, what: impl Into<String>) -> Self {
        Error::Shape { node: on_one_line(node.into()), what: on_one_line(what.into()) }
    }
}

/// Names out of files may hold anything, and an error is one line.
fn on_one_line(text: String) -> String {
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn the_systems_error_is_the_source() {
        let error = Error::io("x", io::ErrorKind::NotFound.into());
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::NotFound));
    }
}
