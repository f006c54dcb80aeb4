//! Networks in ONNX files: their graphs become ours, operator by operator, by a table.
//!
//! A tensor of any rank is a view ([`value`]) of one of our nodes, whose maps are `[n, c, h, w]`.
//! Constants and the arithmetic on shapes fold away here, since every shape is known: the first
//! side of an input counts the images, and is 1 meanwhile. What is not covered is refused in one
//! message that lists each operator with its nodes and why.
//!
//! Operators: <https://onnx.ai/onnx/operators/>.

mod ends;
mod fold;
mod import;
#[cfg(not(target_arch = "wasm32"))]
mod last;
mod operators;
mod proto;
mod value;

use super::{
    Card, Network,
    checkpoint::{MAX_FILE_BYTES, regular_file},
};
use crate::{AnyTensor, Error, Result};
use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Component, Path},
};

/// How many first bytes tell an ONNX file.
pub(super) const HEAD_BYTES: usize = 9;

/// Whether a file of these first bytes may be an ONNX file: it begins with its version of the
/// format, then come texts, the graph or the operators' version. A safetensors file whose header is
/// of an unlucky length begins so too: with a length below 4 GiB, of eight bytes, and an object.
pub(super) fn is_onnx(head: &[u8]) -> bool {
    let safetensors = matches!(head, [_, _, _, _, 0, 0, 0, 0, b'{', ..]);
    matches!(head, [0x08, 1..=20, 0x12 | 0x1a | 0x22 | 0x32 | 0x3a | 0x42, ..]) && !safetensors
}

/// The bytes of a file that is an ONNX file by its first bytes.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    regular_file(path, MAX_FILE_BYTES)?;
    let io = |error: std::io::Error| Error::io(path, error);
    let mut file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut bytes).map_err(io)?;
    if !is_onnx(&bytes) {
        return Ok(None);
    }
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(io)?;
    Ok(Some(bytes))
}

/// What an ONNX file leaves to whoever opens it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open<'a> {
    /// Rows and columns of inputs that leave them open, where the graph needs to know them;
    /// 224 x 224 where nobody says.
    pub size: Option<[usize; 2]>,
    /// Tensors that inputs will have, by name. Those without which the graph's shapes or weights
    /// are not known become constants, and are no inputs any more: [`Network::constants`].
    pub given: &'a [(String, AnyTensor)],
}

/// The network of an ONNX file. Messages call it `origin`. Tensors in other files lie in `folder`.
pub(super) fn read(origin: &Path, bytes: &[u8], open: &Open<'_>, folder: Option<&Path>) -> Result<Network> {
    let refuse = |what: String| Error::weights(origin, what);
    let model = proto::Model::parse(bytes).map_err(refuse)?;
    let external = |tensor: &proto::Tensor<'_>| external(tensor, folder);
    let around = import::Around { operators: operators::OPERATORS, size: open.size, given: open.given, external: &external };
    let (graph, constants) = import::graph(&model, &around).map_err(refuse)?;
    let name = origin.file_stem().map_or_else(|| "network".into(), |stem| stem.to_string_lossy().into_owned());
    Ok(Network { constants, ..Network::new(graph, Card::named(name))? })
}

/// The bytes of a tensor that lies in another file of the folder.
fn external(tensor: &proto::Tensor<'_>, folder: Option<&Path>) -> Result<Vec<u8>, String> {
    let said = |key: &str| tensor.external.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    let name = said("location").unwrap_or_default();
    let wrong = |what: &str| format!("tensor `{}` lies in `{name}`: {what}", tensor.name);
    let folder = folder.ok_or_else(|| wrong("only this file was given"))?;
    // A file of the folder or below it, and no other.
    let is_below = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !is_below {
        return Err(wrong("not a file beside this one"));
    }
    let number = |key: &str| said(key).map_or(Ok(None), |text| text.parse::<u64>().map(Some).map_err(|_| wrong("an impossible place")));
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    let path = folder.join(name);
    regular_file(&path, MAX_FILE_BYTES).map_err(|error| wrong(&error.to_string()))?;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(length.unwrap_or(MAX_FILE_BYTES)).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| wrong(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::is_onnx;

    #[test]
    fn a_file_is_told_from_safetensors_by_more_than_a_brace() {
        // A graph whose first node is as many bytes long as a brace's number.
        assert!(is_onnx(b"\x08\x08:\xd9\xb1\xc1\x0b\n{"));
        assert!(!is_onnx(b"\x08\x08:\x00\x00\x00\x00\x00{"));
    }
}
