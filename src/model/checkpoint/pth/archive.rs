//! Where a PyTorch checkpoint keeps its pickle and its numbers: in a ZIP archive (PyTorch 1.6 and
//! later), or behind each other (before that).

use super::{
    damaged, element_bytes,
    pickle::{Node, Pickle},
};
use crate::model::checkpoint::quoted;
use std::{borrow::Cow, collections::HashMap, io::Read as _};

/// An entry of a ZIP archive.
struct Entry {
    method: u16,
    crc32: u32,
    stored: u64,
    size: u64,
    /// Where its own header begins.
    header: u64,
}

/// The entries of a ZIP archive by name.
pub(super) struct Zip<'a> {
    bytes: &'a [u8],
    entries: HashMap<&'a [u8], Entry>,
    /// What stands before the names of all entries of the checkpoint.
    root: &'a [u8],
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl<'a> Zip<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let directory = directory(bytes).ok_or_else(|| damaged("cut off: the ZIP archive's directory is not there"))?;
        let entries = entries(directory).ok_or_else(|| damaged("the ZIP archive's directory"))?;
        let roots = entries.keys().filter_map(|name| name.strip_suffix(b"data.pkl"));
        let root = roots.filter(|root| root.is_empty() || root.ends_with(b"/")).min_by_key(|root| (root.len(), *root));
        let root = root.ok_or("a ZIP archive without data.pkl, not a PyTorch checkpoint")?;
        Ok(Self { bytes, entries, root })
    }

    /// What the checkpoint keeps under a name.
    pub(super) fn get(&self, name: &[u8]) -> Result<Option<Cow<'a, [u8]>>, String> {
        let name = [self.root, name].concat();
        let Some(entry) = self.entries.get(&name[..]) else { return Ok(None) };
        let wrong = |what: &str| damaged(&format!("{what} of {} in the ZIP archive", quoted(&String::from_utf8_lossy(&name))));
        let stored = || {
            let header = usize::try_from(entry.header).ok()?;
            let names = usize::from(u16_at(self.bytes, header.checked_add(26)?)?) + usize::from(u16_at(self.bytes, header + 28)?);
            self.bytes.get(header + 30 + names..)?.get(..usize::try_from(entry.stored).ok()?)
        };
        let stored = stored().ok_or_else(|| wrong("the place"))?;
        let read: Cow<'_, [u8]> = match entry.method {
            0 => stored.into(),
            8 => {
                let mut read = Vec::new();
                // No longer than it says, and it grows as it is read. Weights hardly shrink.
                let most = entry.size.min(4 * self.bytes.len() as u64 + (4 << 20));
                let unpacked = flate2::read::DeflateDecoder::new(stored).take(most + 1).read_to_end(&mut read);
                unpacked.map_err(|error| wrong(&format!("the compression ({error})")))?;
                read.into()
            }
            _ => return Err(wrong("an unknown compression")),
        };
        if read.len() as u64 != entry.size {
            return Err(wrong("the length"));
        }
        // `torch.save` writes 0 where it was told not to compute it.
        if entry.crc32 != 0 && crc32fast::hash(&read) != entry.crc32 {
            return Err(wrong("the checksum"));
        }
        Ok(Some(read))
    }
}

/// The directory at the end of a ZIP archive.
fn directory(bytes: &[u8]) -> Option<&[u8]> {
    // Behind it is a record of 22 bytes and a comment of up to 64 KiB.
    let last = bytes.len().checked_sub(22)?;
    let end = (last.saturating_sub(0xffff)..=last).rev().find(|&at| bytes[at..].starts_with(b"PK\x05\x06"))?;
    let (mut size, mut start) = (u64::from(u32_at(bytes, end + 12)?), u64::from(u32_at(bytes, end + 16)?));
    if let Some(at) = end.checked_sub(20).filter(|&at| bytes[at..].starts_with(b"PK\x06\x07")) {
        let record = usize::try_from(u64_at(bytes, at + 8)?).ok()?;
        (size, start) = (u64_at(bytes, record.checked_add(40)?)?, u64_at(bytes, record.checked_add(48)?)?);
    }
    bytes.get(usize::try_from(start).ok()?..)?.get(..usize::try_from(size).ok()?)
}

fn entries(mut directory: &[u8]) -> Option<HashMap<&[u8], Entry>> {
    const LARGE: u32 = u32::MAX;
    let mut entries = HashMap::new();
    while !directory.is_empty() {
        if !directory.starts_with(b"PK\x01\x02") {
            return None;
        }
        let [name, extra, comment] = [28, 30, 32].map(|at| u16_at(directory, at).map(usize::from));
        let (name, rest) = directory.get(46..)?.split_at_checked(name?)?;
        let (mut extra, rest) = rest.split_at_checked(extra?)?;
        let [stored, size, header] = [20, 24, 42].map(|at| u32_at(directory, at));
        let mut wide = [size?, stored?, header?].map(u64::from);
        // What 32 bits do not hold is in an extra field, in this order.
        while let [id_low, id_high, low, high, fields @ ..] = extra {
            let (mut fields, next) = fields.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
            if [*id_low, *id_high] == [1, 0] {
                for value in wide.iter_mut().filter(|value| **value == u64::from(LARGE)) {
                    let (first, others) = fields.split_first_chunk()?;
                    (*value, fields) = (u64::from_le_bytes(*first), others);
                }
            }
            extra = next;
        }
        let [size, stored, header] = wide;
        entries.insert(name, Entry { method: u16_at(directory, 10)?, crc32: u32_at(directory, 16)?, stored, size, header });
        directory = rest.get(comment?..)?;
    }
    Some(entries)
}

/// Storages by their keys.
pub(super) type Storages<'a> = HashMap<Vec<u8>, &'a [u8]>;

/// The storages behind the pickle of a file without an archive: their keys, then each one's count
/// of elements and its elements.
pub(super) fn behind<'a>(mut rest: &'a [u8], pickle: &Pickle<'a>, file_bytes: usize) -> Result<Storages<'a>, String> {
    // The elements' types are where the storages are used.
    let mut widths = HashMap::new();
    for node in pickle.nodes() {
        if let Node::Persistent(id) = node
            && let Some(&[_, class, key, ..]) = pickle.list(*id)
            && let (Node::Global(_, class), Some(key)) = (pickle.node(class), pickle.text(key))
        {
            widths.insert(key, element_bytes(class));
        }
    }
    let keys = Pickle::read(&mut rest, file_bytes).map_err(|what| damaged(&what))?;
    let mut storages = HashMap::new();
    for &key in keys.list(keys.root()).ok_or_else(|| damaged("no list of storages"))? {
        let key = keys.text(key).ok_or_else(|| damaged("a storage without a name"))?;
        let width = widths.get(key).copied().flatten();
        let width = width.ok_or_else(|| damaged(&format!("storage {} is of an unknown type", quoted(&String::from_utf8_lossy(key)))))?;
        storages.insert(key.to_vec(), numbers(&mut rest, width)?);
    }
    Ok(storages)
}

/// A count of elements of so many bytes, and the elements.
fn numbers<'a>(rest: &mut &'a [u8], width: usize) -> Result<&'a [u8], String> {
    let cut_off = || damaged("cut off in a storage");
    let (count, numbers) = rest.split_first_chunk().ok_or_else(cut_off)?;
    let count = usize::try_from(u64::from_le_bytes(*count)).map_err(|_| cut_off())?;
    let (numbers, next) = count.checked_mul(width).and_then(|bytes| numbers.split_at_checked(bytes)).ok_or_else(cut_off)?;
    *rest = next;
    Ok(numbers)
}
