//! PyTorch checkpoints: the pickle says which tensors there are and where their numbers lie.
//! Nothing in it is executed.

mod archive;
mod pickle;

use super::{Contents, Float, Tensor, names, quoted, safetensors::wrong_type, tensor};
use crate::{tensor::count, text::Sides};
use archive::{Storages, Zip};
use pickle::{Id, Node, Pickle};
use std::{borrow::Cow, collections::BTreeMap};

/// Entries of dicts in each other that are looked at, in all; one that is in several counts as
/// often.
const MOST_ENTRIES: usize = 1 << 20;
/// Dicts in each other.
const DEEPEST: usize = 32;

/// Opens every file that PyTorch 0.1.10 to 1.5 wrote: a number in a pickle.
const MAGIC: &[u8] = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

fn damaged(what: &str) -> String {
    format!("damaged PyTorch checkpoint: {what}")
}

/// Where the numbers lie.
enum Numbers<'a> {
    Zip(Zip<'a>),
    Behind(Storages<'a>),
}

/// Reads the tensors of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, String> {
    if bytes.starts_with(b"PK") {
        let zip = Zip::read(bytes)?;
        if let Some(order) = zip.get(b"byteorder")?
            && order.trim_ascii() != b"little"
        {
            return Err("a PyTorch checkpoint in big-endian byte order".into());
        }
        let pickle = zip.get(b"data.pkl")?.ok_or_else(|| damaged("no data.pkl"))?;
        let pickle = Pickle::read(&mut &*pickle, bytes.len()).map_err(|what| damaged(&what))?;
        return tensors(&pickle, &Numbers::Zip(zip), bytes.len());
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Err("a checkpoint of PyTorch before 0.1.10 in a TAR archive, which newer ones load and save anew".into());
    }
    let mut rest = bytes;
    let mut next = || Pickle::read(&mut rest, bytes.len()).map_err(|what| damaged(&what));
    let mut pickle = next()?;
    let is_marked = bytes[..bytes.len().min(64)].windows(MAGIC.len()).any(|window| window == MAGIC);
    // Protocols below 2 write the number in digits, which no 64 bits hold.
    if is_marked || matches!(pickle.node(pickle.root()), Node::Int(None)) {
        let _version = next()?;
        let system = next()?;
        let entries = system.entries(system.root()).unwrap_or_default();
        let order = entries.iter().find(|[key, _]| system.text(*key) == Some(b"little_endian"));
        if order.is_some_and(|[_, value]| matches!(system.node(*value), Node::Bool(false))) {
            return Err("a PyTorch checkpoint in big-endian byte order".into());
        }
        pickle = next()?;
    }
    let storages = if rest.is_empty() { Storages::default() } else { archive::behind(rest, &pickle, bytes.len())? };
    tensors(&pickle, &Numbers::Behind(storages), bytes.len())
}

/// The tensors of the state dict in a pickle.
fn tensors(pickle: &Pickle<'_>, numbers: &Numbers<'_>, file_bytes: usize) -> Result<Contents, String> {
    let mut walk = Walk { pickle, found: Vec::new(), entries: 0, text: 0, most_text: 4 * file_bytes + (1 << 20) };
    let (mut root, mut taken) = (pickle.root(), None);
    // Training scripts keep state dicts beside other things, and under several names.
    while let Some((name, inner)) = container(pickle, root) {
        taken = Some(taken.map_or_else(|| name.to_string(), |outer: String| format!("{outer}.{name}")));
        root = inner;
        if taken.as_ref().is_some_and(|taken| taken.len() > 100) {
            return Err(damaged("dicts in each other without end"));
        }
    }
    walk.visit(root, "", 0)?;
    let (unused, stored): (Vec<_>, Vec<_>) = walk.found.into_iter().partition(|(name, _)| names::is_unused(name));
    if stored.is_empty() {
        return Err("a PyTorch file without tensors".into());
    }
    // A tensor may repeat a storage (stride 0), so a small file can announce any size.
    let bytes = |tensor: &Stored<'_>| count(&tensor.shape).map_or(u64::MAX, |count| (count as u64).saturating_mul(4));
    let total = stored.iter().fold(0u64, |sum, (_, tensor)| sum.saturating_add(bytes(tensor)));
    if total > (file_bytes as u64).saturating_mul(4) {
        return Err(format!("its tensors take {total} bytes, over four times the {file_bytes} bytes of the file"));
    }
    let mut tensors = BTreeMap::new();
    // The bytes of a storage that several tensors share are unpacked once while they follow each
    // other.
    let mut last: Option<(&[u8], Cow<'_, [u8]>)> = None;
    for (name, stored) in stored {
        if last.as_ref().is_none_or(|(key, _)| *key != stored.key) {
            let missing = || damaged(&format!("the numbers of tensor {} are not there", quoted(&name)));
            let numbers: Cow<'_, [u8]> = match numbers {
                Numbers::Zip(zip) => zip.get(&[b"data/", stored.key].concat())?.ok_or_else(missing)?,
                Numbers::Behind(storages) => (*storages.get(stored.key).ok_or_else(missing)?).into(),
            };
            last = Some((stored.key, numbers));
        }
        let numbers = last.as_ref().map_or(&[][..], |(_, numbers)| numbers);
        let read = stored.read(&name, numbers)?;
        tensors.insert(name, read);
    }
    let (tensors, of_names) = names::unwrap(tensors);
    let taken = of_names.or(taken);
    Ok(Contents { tensors, unused: unused.len(), taken, ..Contents::default() })
}

/// The dict of the first container that a dict has, and its name.
fn container(pickle: &Pickle<'_>, root: Id) -> Option<(&'static str, Id)> {
    let entries = pickle.entries(root)?;
    names::CONTAINERS.iter().find_map(|&name| {
        let (_, value) =
            entries.iter().rev().map(|&[key, value]| (key, value)).find(|(key, _)| pickle.text(*key) == Some(name.as_bytes()))?;
        pickle.entries(value).filter(|entries| !entries.is_empty()).map(|_| (name, value))
    })
}

/// A tensor as the pickle tells of it.
struct Stored<'a> {
    key: &'a [u8],
    dtype: &'a [u8],
    /// Bytes of an element.
    width: usize,
    /// In elements.
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// Finds the tensors in dicts in each other.
struct Walk<'p, 'a> {
    pickle: &'p Pickle<'a>,
    found: Vec<(String, Stored<'a>)>,
    entries: usize,
    text: usize,
    most_text: usize,
}

impl Walk<'_, '_> {
    fn visit(&mut self, id: Id, prefix: &str, depth: usize) -> Result<(), String> {
        let pickle = self.pickle;
        let Some(entries) = pickle.entries(id) else { return Ok(()) };
        for &[key, value] in &*entries {
            self.entries += 1;
            let key = match pickle.node(key) {
                Node::Text(text) => String::from_utf8_lossy(text),
                Node::Int(Some(number)) => number.to_string().into(),
                // Nothing that has other keys is a state dict.
                _ => continue,
            };
            self.text += prefix.len() + key.len();
            if self.entries > MOST_ENTRIES || self.text > self.most_text || depth > DEEPEST {
                return Err(damaged("dicts in each other without end"));
            }
            let name = if prefix.is_empty() { key.into_owned() } else { format!("{prefix}.{key}") };
            match stored(pickle, value, 0).map_err(|what| damaged(&format!("tensor {}: {what}", quoted(&name))))? {
                Some(tensor) => self.found.push((name, tensor)),
                None => self.visit(value, &name, depth + 1)?,
            }
        }
        Ok(())
    }
}

/// What a value says if it is a tensor.
fn stored<'a>(pickle: &Pickle<'a>, id: Id, depth: usize) -> Result<Option<Stored<'a>>, String> {
    let Some((module, name, arguments)) = pickle.object(id) else { return Ok(None) };
    match (module, name, arguments) {
        (b"torch._utils", b"_rebuild_parameter" | b"_rebuild_parameter_with_state", &[data, ..]) if depth < 4 => {
            stored(pickle, data, depth + 1)
        }
        // A class that extends tensors: the function that makes it, the class, the arguments.
        (b"torch._tensor", b"_rebuild_from_type_v2", &[function, _, arguments, _]) => {
            let Node::Global(b"torch._utils", b"_rebuild_tensor_v2" | b"_rebuild_parameter") = pickle.node(function) else {
                return Err("of a kind that is not read".into());
            };
            rebuilt(pickle, pickle.list(arguments).unwrap_or_default(), None).map(Some)
        }
        (b"torch._utils", b"_rebuild_tensor" | b"_rebuild_tensor_v2", arguments) => rebuilt(pickle, arguments, None).map(Some),
        (b"torch._utils", b"_rebuild_tensor_v3", &[_, _, _, _, _, _, dtype, ..]) => rebuilt(pickle, arguments, Some(dtype)).map(Some),
        _ => Ok(None),
    }
}

/// A tensor of what PyTorch makes it of: a storage, an offset, lengths, strides.
fn rebuilt<'a>(pickle: &Pickle<'a>, arguments: &[Id], dtype: Option<Id>) -> Result<Stored<'a>, String> {
    let said = || {
        let &[storage, offset, shape, strides, ..] = arguments else { return None };
        let Node::Persistent(storage) = pickle.node(storage) else { return None };
        let &[_, class, key, _, elements, ref view @ ..] = pickle.list(*storage)? else { return None };
        let Node::Global(_, class) = pickle.node(class) else { return None };
        let dtype = match dtype.map(|dtype| pickle.node(dtype)) {
            None => class.strip_suffix(b"Storage")?,
            Some(Node::Global(_, name)) => name,
            Some(_) => return None,
        };
        // PyTorch before 0.4 has views of storages: their key, where they begin, how long they are.
        let start = view.first().and_then(|&view| pickle.whole(*pickle.list(view)?.get(1)?)).unwrap_or(0);
        // A width that is not known is of a type that is refused.
        let width = element_bytes(class).unwrap_or(1);
        let offset = pickle.whole(offset)?.checked_add(start)?;
        let (shape, strides) = (pickle.wholes(shape)?, pickle.wholes(strides)?);
        (shape.len() == strides.len()).then_some(())?;
        Some((Stored { key: pickle.text(key)?, dtype, width, offset, shape, strides }, pickle.whole(elements)?))
    };
    let (stored, elements) = said().ok_or("a tensor without a sound storage, shape or strides")?;
    match stored.end() {
        Some(end) if end <= elements => Ok(stored),
        _ => Err(format!("{} from {} on lies outside a storage of {elements} elements", Sides(&stored.shape), stored.offset)),
    }
}

/// Bytes of an element in a storage of this class.
fn element_bytes(class: &[u8]) -> Option<usize> {
    Some(match class {
        b"ByteStorage" | b"CharStorage" | b"BoolStorage" | b"QInt8Storage" | b"QUInt8Storage" | b"UntypedStorage" => 1,
        b"ShortStorage" | b"HalfStorage" | b"BFloat16Storage" => 2,
        b"IntStorage" | b"FloatStorage" | b"QInt32Storage" => 4,
        b"LongStorage" | b"DoubleStorage" | b"ComplexFloatStorage" => 8,
        b"ComplexDoubleStorage" => 16,
        _ => return None,
    })
}

impl Stored<'_> {
    /// The element behind its last one.
    fn end(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(self.offset);
        }
        let steps = |(&side, &stride): (&usize, &usize)| (side - 1).checked_mul(stride);
        let last = self.shape.iter().zip(&self.strides).map(steps).try_fold(self.offset, |last, steps| last.checked_add(steps?));
        last?.checked_add(1)
    }

    /// The tensor, of the bytes of its storage.
    fn read(&self, name: &str, storage: &[u8]) -> Result<Tensor, String> {
        let float = match self.dtype {
            b"Half" => Float::F16,
            b"BFloat16" => Float::Bf16,
            b"Float" => Float::F32,
            b"Double" => Float::F64,
            b"Int" => return Err(wrong_type(name, "I32")),
            b"Long" => return Err(wrong_type(name, "I64")),
            other => return Err(wrong_type(name, &String::from_utf8_lossy(other))),
        };
        let Self { width, offset, shape, strides, .. } = self;
        let elements = count(shape).unwrap_or(usize::MAX);
        if elements == 0 {
            return tensor(name, shape.clone(), float, &[]);
        }
        // The pickle may tell of more than there is.
        let end = self.end().and_then(|end| end.checked_mul(*width)).filter(|&end| end <= storage.len());
        end.ok_or_else(|| damaged(&format!("tensor {} lies outside its storage of {} bytes", quoted(name), storage.len())))?;
        let mut run = 1;
        // Row-major, so that the bytes are taken as they lie.
        let is_plain = shape.iter().zip(strides).rev().all(|(&side, &stride)| {
            let plain = side == 1 || stride == run;
            run *= side;
            plain
        });
        if is_plain {
            return tensor(name, shape.clone(), float, &storage[offset * width..(offset + elements) * width]);
        }
        let mut bytes = Vec::with_capacity(elements * width);
        let mut index = vec![0; shape.len()];
        let mut at = *offset;
        for _ in 0..elements {
            bytes.extend_from_slice(&storage[at * width..(at + 1) * width]);
            // The next index, the last side first, and how far that is.
            for ((index, &side), &stride) in index.iter_mut().zip(shape).zip(strides).rev() {
                *index += 1;
                at += stride;
                if *index < side {
                    break;
                }
                at -= stride * side;
                *index = 0;
            }
        }
        tensor(name, shape.clone(), float, &bytes)
    }
}
