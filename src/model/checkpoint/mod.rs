//! The weights of a network: named f32 tensors, read from safetensors files and from PyTorch's
//! `.pth` files.
//!
//! A weights file comes from anywhere, so everything in it is checked here, once: lengths against
//! the file, element types, shapes against bytes, and every number for NaN and infinity. What the
//! tensors mean is the network's business, and [`Checkpoint::check`] compares the two. Nothing in a
//! file is ever executed.

pub(super) mod config;
mod kind;
mod names;
#[cfg(feature = "pth")]
mod pth;
mod safetensors;
#[cfg(not(target_arch = "wasm32"))]
pub(super) mod write;

pub use config::Config;

use crate::{
    error::{Error, Result},
    tensor,
    text::{Sides, decimal},
};
use config::{Found, OneFile};
use half::{bf16, f16, slice::HalfFloatSliceExt as _};
use kind::{HEAD_BYTES, Kind};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fmt::{self, Write as _},
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The largest weights file that is read: GhostNet 1.3 in f64 takes 59 MB.
pub(super) const MAX_FILE_BYTES: u64 = 2 << 30;

/// The largest `config.json` that is read: the labels of ImageNet-22k take 2 MB.
pub(super) const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// One tensor of a checkpoint, in f32 whatever type the file holds it in. Clones share its values.
pub type Tensor = tensor::Tensor<Arc<[f32]>>;

/// The named f32 tensors of a network, and what the file says about the network.
///
/// Tensor names are timm's (`conv_stem.weight`, `blocks.0.0.ghost1.primary_conv.0.weight`, ...), as
/// in the official PyTorch checkpoint. A clone shares the numbers.
#[derive(Clone)]
pub struct Checkpoint {
    file: PathBuf,
    tensors: BTreeMap<String, Tensor>,
    config: Config,
    one_file: Option<OneFile>,
    notes: Vec<String>,
}

/// What a file holds.
#[derive(Default)]
struct Contents {
    tensors: BTreeMap<String, Tensor>,
    /// Tensors that inference has no use for, which are passed over.
    unused: usize,
    /// The container that the tensors are from, if the file has several.
    taken: Option<String>,
    found: Found,
    one_file: Option<OneFile>,
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint")
            .field("file", &self.file)
            .field("tensors", &self.tensors.len())
            .field("architecture", &self.config.architecture)
            .finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// Reads a safetensors file or a PyTorch checkpoint, told apart by content, not by name.
    ///
    /// Elements in f16, bf16, f32 and f64 become f32. A PyTorch checkpoint may be in any form that
    /// `torch.save` has written since version 0.1.10. Its state dict is at the root or under one of
    /// the names that training scripts give it, averages of the weights before the weights. Modules
    /// that wrap the network, such as `module.`, are taken off its names. Tensors that only
    /// training uses are passed over. [`Checkpoint::notes`] tells of both. What is known about the
    /// network comes from the safetensors metadata. What that leaves open comes from a
    /// `config.json` in the same folder (as timm publishes it).
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read or is no regular file. [`Error::Weights`] where
    /// it is of another kind, larger than 2 GiB, damaged, or holds elements of another type or a
    /// NaN or infinity. That is also the error where the file or the `config.json` says something
    /// impossible about the network. It names the tensor or key.
    pub fn open(path: &Path) -> Result<Self> {
        let length = regular_file(path, MAX_FILE_BYTES)?;
        let failed = |error: std::io::Error| Error::io(path, error);
        let mut file = File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.by_ref().take(HEAD_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        // What is no weights file is not read any further.
        kind::recognise(&bytes).map_err(|what| Error::weights(path, what))?;
        let room = usize::try_from(length.saturating_sub(bytes.len() as u64)).unwrap_or(usize::MAX);
        bytes.try_reserve_exact(room).map_err(|_| Error::OutOfMemory(format!("{} of {length} bytes", path.display())))?;
        // The limit holds even if the file grows meanwhile.
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        Self::read(path.into(), &bytes, || config_beside(path))
    }

    /// Reads a file that is in memory already, such as an embedded or a downloaded one. `origin`
    /// names it in messages.
    ///
    /// # Errors
    /// [`Error::Weights`], as [`Checkpoint::open`].
    pub fn from_bytes(origin: impl Into<PathBuf>, bytes: &[u8]) -> Result<Self> {
        Self::read(origin.into(), bytes, || Ok(Found::default()))
    }

    /// As [`Checkpoint::from_bytes`], with the `config.json` that lies beside the file on a hub.
    ///
    /// # Errors
    /// [`Error::Weights`], as [`Checkpoint::open`].
    pub fn from_bytes_with(origin: impl Into<PathBuf>, bytes: &[u8], config: &[u8]) -> Result<Self> {
        Self::read(origin.into(), bytes, || Found::in_json(config).map_err(|what| Error::weights("config.json", what)))
    }

    fn read(file: PathBuf, bytes: &[u8], beside: impl FnOnce() -> Result<Found>) -> Result<Self> {
        let contents = kind::recognise(&bytes[..bytes.len().min(HEAD_BYTES as usize)]).and_then(|kind| match kind {
            Kind::Safetensors => safetensors::read(bytes),
            Kind::Pytorch => read_pth(bytes),
        });
        let Contents { tensors, unused, taken, found, one_file } = contents.map_err(|what| Error::weights(&file, what))?;
        // A one-file network says all of itself.
        let found = if one_file.is_some() { found } else { found.or(beside()?) };
        let config = found.finish().map_err(|what| Error::weights(&file, what))?;
        let mut notes = Vec::new();
        notes.extend(taken.map(|taken| format!("the weights are those under {}", quoted(&taken))));
        if unused > 0 {
            notes.push(format!("{unused} tensors that only training uses are passed over"));
        }
        Ok(Self { file, tensors, config, one_file, notes })
    }

    /// Gathers tensors made by the program, such as random ones. `origin` names them in messages.
    ///
    /// The numbers and `config` are taken as they are. [`Checkpoint::check`] compares each shape
    /// with its data.
    pub fn from_tensors(origin: impl Into<PathBuf>, tensors: impl IntoIterator<Item = (String, Tensor)>, config: Config) -> Self {
        Self { file: origin.into(), tensors: tensors.into_iter().collect(), config, one_file: None, notes: Vec::new() }
    }

    /// The file, or the origin given instead of one.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What was chosen and left out while it was read, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What the file says about the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it says beside its weights, if it is a one-file network.
    pub(super) fn one_file(&self) -> Option<&OneFile> {
        self.one_file.as_ref()
    }

    /// The names of the tensors, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of the tensor of this name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The checkpoint with the tensor `name` where the network has it: one prefix of any name that
    /// stands before it is taken off all names that have it. Of several, that of the first
    /// container is taken, and the others' tensors are left out.
    pub(super) fn with_first(&self, name: &str) -> Cow<'_, Self> {
        let prefix = |known: &str| Some(known.strip_suffix(name)?.to_string()).filter(|prefix| prefix.ends_with('.'));
        let prefixes: Vec<String> = self.names().filter_map(prefix).collect();
        let of_container = |container: &&str| prefixes.iter().find(|prefix| prefix.split('.').any(|part| part == *container));
        let prefix = match &prefixes[..] {
            [only] => Some(only),
            several => names::CONTAINERS.iter().find_map(of_container).filter(|_| !several.is_empty()),
        };
        let Some(prefix) = prefix.filter(|_| self.get(name).is_none()) else { return Cow::Borrowed(self) };
        let mut found = self.clone();
        if prefixes.len() > 1 {
            found.tensors.retain(|name, _| name.starts_with(prefix) || !prefixes.iter().any(|other| name.starts_with(other)));
            found.notes.push(format!("the weights are those under {}", quoted(prefix.trim_end_matches('.'))));
        }
        found.tensors = names::behind(found.tensors, prefix, true);
        Cow::Owned(found)
    }

    /// The checkpoint without the tensors of some names, of which its notes tell.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn without(&self, is_unused: &dyn Fn(&str) -> bool) -> Cow<'_, Self> {
        let unused = self.names().filter(|name| is_unused(name)).count();
        if unused == 0 {
            return Cow::Borrowed(self);
        }
        let mut found = self.clone();
        found.tensors.retain(|name, _| !is_unused(name));
        found.notes.push(format!("{unused} tensors that the network has no use for are left out"));
        Cow::Owned(found)
    }

    /// What its tensors are called, for messages.
    pub(super) fn holds(&self) -> String {
        let mut firsts: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.names() {
            *firsts.entry(name.split_inclusive('.').next().unwrap_or_default()).or_default() += 1;
        }
        let firsts: Vec<String> = firsts.into_iter().map(|(first, count)| format!("{} ({count})", quoted(first))).collect();
        let names: Vec<String> = self.names().map(quoted).collect();
        format!("{}; names begin with {}", listed("there", &names), shown(&firsts))
    }

    /// Checks that the checkpoint holds exactly the tensors of `expected`, each in its shape.
    ///
    /// # Errors
    /// [`Error::Weights`]: one line with the missing tensors, those the network does not have, and
    /// those of another shape with both shapes. It names at most four of each, and says how many
    /// more there are.
    pub fn check(&self, expected: &[(String, Vec<usize>)]) -> Result<()> {
        let used = |name: &str| !names::is_unused(name);
        let known: HashSet<&str> = expected.iter().map(|(name, _)| &**name).collect();
        let mut missing = Vec::new();
        let mut misshapen = Vec::new();
        for (name, shape) in expected.iter().filter(|(name, _)| used(name)) {
            match self.get(name) {
                None => missing.push(quoted(name)),
                Some(tensor) if tensor.shape != *shape => {
                    misshapen.push(format!("{} is {} and should be {}", quoted(name), Sides(&tensor.shape), Sides(shape)));
                }
                Some(tensor) if !tensor.is_sound() => {
                    misshapen.push(format!("{} is {} and holds {} elements", quoted(name), Sides(shape), tensor.data.len()));
                }
                Some(_) => {}
            }
        }
        let extra: Vec<String> = self.names().filter(|name| used(name) && !known.contains(name)).map(quoted).collect();
        let parts = [("missing", missing), ("not in this network", extra), ("of another shape", misshapen)];
        let parts: Vec<String> = parts.iter().filter(|(_, items)| !items.is_empty()).map(|(what, items)| listed(what, items)).collect();
        if parts.is_empty() { Ok(()) } else { Err(Error::weights(&self.file, parts.join("; "))) }
    }
}

/// The length of a regular file of at most `limit` bytes.
pub(super) fn regular_file(path: &Path, limit: u64) -> Result<u64> {
    // Before opening: opening a pipe waits for its other end.
    let metadata = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if !metadata.is_file() {
        return Err(if metadata.is_dir() {
            Error::file(path, std::io::ErrorKind::IsADirectory, "a directory, not a file")
        } else {
            Error::file(path, std::io::ErrorKind::InvalidInput, "not a regular file")
        });
    }
    if metadata.len() > limit {
        return Err(Error::weights(path, format!("{} bytes long, at most {limit} are read", metadata.len())));
    }
    Ok(metadata.len())
}

/// What the `config.json` in the folder of a weights file says, if there is one.
fn config_beside(weights: &Path) -> Result<Found> {
    let path = weights.with_file_name("config.json");
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => {}
        _ => return Ok(Found::default()),
    }
    regular_file(&path, MAX_CONFIG_BYTES)?;
    let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
    Found::in_json(&bytes).map_err(|what| Error::weights(path, what))
}

#[cfg(feature = "pth")]
fn read_pth(bytes: &[u8]) -> Result<Contents, String> {
    pth::read(bytes)
}

#[cfg(not(feature = "pth"))]
fn read_pth(_: &[u8]) -> Result<Contents, String> {
    Err("a PyTorch checkpoint; this build reads safetensors only (it lacks the feature `pth`)".into())
}

/// The element types that are read.
#[derive(Clone, Copy)]
enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

/// Makes a tensor of little-endian bytes, as many as its shape takes. The error names the tensor
/// and its first NaN or infinity.
fn tensor(name: &str, shape: Vec<usize>, float: Float, bytes: &[u8]) -> Result<Tensor, String> {
    let data: Arc<[f32]> = match float {
        Float::F32 => bytes.as_chunks().0.iter().map(|element| f32::from_le_bytes(*element)).collect(),
        Float::F64 => bytes.as_chunks().0.iter().map(|element| f64::from_le_bytes(*element) as f32).collect(),
        // In bulk: a conversion of single elements asks for the processor's features each time.
        Float::F16 => {
            let halves: Vec<f16> = bytes.as_chunks().0.iter().map(|element| f16::from_le_bytes(*element)).collect();
            halves.to_f32_vec().into()
        }
        Float::Bf16 => {
            let halves: Vec<bf16> = bytes.as_chunks().0.iter().map(|element| bf16::from_le_bytes(*element)).collect();
            halves.to_f32_vec().into()
        }
    };
    sound(name, Tensor { shape, data })
}

/// The tensor, unless its values are not as many as its shape says, or one is no number.
fn sound(name: &str, tensor: Tensor) -> Result<Tensor, String> {
    let Tensor { shape, data } = &tensor;
    if !tensor.is_sound() {
        return Err(format!("tensor {} is {} and holds {} elements", quoted(name), Sides(shape), data.len()));
    }
    match first_not_finite(data) {
        None => Ok(tensor),
        Some(at) => Err(format!("tensor {} has {} at {}", quoted(name), decimal(data[at].into()), Sides(&position(at, shape)))),
    }
}

fn first_not_finite(data: &[f32]) -> Option<usize> {
    const INFINITY: u32 = f32::INFINITY.to_bits();
    // The largest exponent of a whole block is found without a branch per element, which the
    // compiler vectorises.
    let block = data.chunks(4096).position(|block| block.iter().fold(0, |most, x| most.max(x.abs().to_bits())) >= INFINITY)?;
    (block * 4096..data.len()).find(|&at| !data[at].is_finite())
}

/// The index in each dimension of the element at `at`.
fn position(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for (index, extent) in position.iter_mut().zip(shape).rev() {
        *index = at % extent;
        at /= extent;
    }
    position
}

/// `2 tensors are missing: a, b`, of at most four items, and how many more there are.
fn listed(what: &str, items: &[String]) -> String {
    let count = if items.len() == 1 { "1 tensor is".to_string() } else { format!("{} tensors are", items.len()) };
    format!("{count} {what}: {}", shown(items))
}

/// At most four items, and how many more there are.
fn shown(items: &[String]) -> String {
    const SHOWN: usize = 4;
    let mut text = items[..items.len().min(SHOWN)].join(", ");
    if items.len() > SHOWN {
        let _ = write!(text, " and {} more", items.len() - SHOWN);
    }
    text
}

/// A name out of a file, fit for a message: in backquotes, on one line, cut where it is very long.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", one_line(name, 100))
}

/// Text out of a file or of another library, without line breaks and of at most about `limit`
/// characters.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let mut line: String = text.chars().take(limit).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(limit).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests;
