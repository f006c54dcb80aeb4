//! Safetensors: 8 bytes of header length, a JSON header, the numbers
//! (<https://github.com/huggingface/safetensors>).

use std::collections::BTreeMap;

use super::{Contents, Float, Found, OneFile, Tensor, names, one_line, quoted, sound, tensor};
use crate::json::Value;
use crate::tensor::count;
use crate::text::Sides;

/// A tensor as the header tells of it.
struct Entry<'a> {
    name: &'a str,
    dtype: &'a str,
    shape: Vec<usize>,
    /// Where its bytes begin and end in the data.
    span: [usize; 2],
}

/// Reads a whole file: its tensors, and what its metadata says about the network.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, String> {
    let header = header(bytes)?;
    let data = &bytes[8 + header.len()..];
    let damaged = |what: &str| format!("damaged safetensors header: {what}");
    let text = std::str::from_utf8(header).map_err(|_| damaged("not UTF-8"))?;
    let Value::Object(fields) = Value::parse(text).map_err(|what| damaged(&what))? else { return Err(damaged("no object")) };
    let mut metadata = None;
    let mut entries = Vec::new();
    for (name, value) in &fields {
        if name == "__metadata__" {
            metadata = Some(value);
        } else {
            entries.push(entry(name, value, data.len())?);
        }
    }
    check_spans(&entries, data.len())?;

    let one_file = metadata.map(OneFile::in_metadata).transpose()?.flatten();
    let mut tensors = BTreeMap::new();
    let mut unused = 0;
    let mut bytes_of = Vec::new();
    for Entry { name, dtype, shape, span: [start, end] } in entries {
        if one_file.is_none() && names::is_unused(name) {
            unused += 1;
            continue;
        }
        let float = match dtype {
            "I8" if one_file.is_some() => {
                bytes_of.push((name, shape, &data[start..end]));
                continue;
            }
            "F16" => Float::F16,
            "BF16" => Float::Bf16,
            "F32" => Float::F32,
            "F64" => Float::F64,
            other => return Err(wrong_type(name, other)),
        };
        let read = tensor(name, shape, float, &data[start..end])?;
        tensors.insert(name.to_string(), read);
    }
    for (name, shape, bytes) in bytes_of {
        let read = of_bytes(name, shape, bytes, &mut tensors)?;
        tensors.insert(name.to_string(), read);
    }
    if one_file.is_some() {
        return Ok(Contents { tensors, one_file, ..Contents::default() });
    }
    if tensors.is_empty() {
        return Err("it holds no tensors".into());
    }
    let found = metadata.map(Found::in_metadata).transpose()?.unwrap_or_default();
    let (tensors, taken) = names::unwrap(tensors);
    Ok(Contents { tensors, unused, taken, found, one_file })
}

/// What a tensor of 8-bit integers is called whose rows have scales, and zero points: `NAME` and
/// this.
pub(super) const SCALE: &str = ".int8_scale";
pub(super) const ZERO: &str = ".int8_zero";

/// A tensor of 8-bit integers q, of which each row of the first side has a scale and perhaps a zero
/// point: `(q - zero) * scale`. Those are tensors too, which are taken.
fn of_bytes(name: &str, shape: Vec<usize>, bytes: &[u8], tensors: &mut BTreeMap<String, Tensor>) -> Result<Tensor, String> {
    let rows = shape.first().copied().unwrap_or(1);
    let mut vector = |suffix: &str| match tensors.remove(&format!("{name}{suffix}")) {
        Some(vector) if vector.shape != [rows] => {
            Err(format!("tensor {} is {} and should be [{rows}]", quoted(&format!("{name}{suffix}")), Sides(&vector.shape)))
        }
        found => Ok(found.map(|vector| vector.data)),
    };
    let (scales, zeros) = (vector(SCALE)?, vector(ZERO)?);
    let scales =
        scales.ok_or_else(|| format!("tensor {} holds I8, and there are no scales {}", quoted(name), quoted(&format!("{name}{SCALE}"))))?;
    let of_row = (bytes.len() / rows.max(1)).max(1);
    let value = |(at, byte): (usize, &u8)| {
        let row = at / of_row;
        (f32::from(*byte as i8) - zeros.as_ref().map_or(0.0, |zeros| zeros[row])) * scales[row]
    };
    sound(name, Tensor { shape, data: bytes.iter().enumerate().map(value).collect() })
}

/// A tensor of the header: its type is known, its bytes are in the file and as many as its shape
/// takes.
fn entry<'a>(name: &'a str, info: &'a Value<'_>, data_bytes: usize) -> Result<Entry<'a>, String> {
    let numbers = |key: &str| info.get(key)?.list()?.iter().map(Value::whole).collect::<Option<Vec<_>>>();
    let (Some(dtype), Some(shape), Some(&[start, end])) =
        (info.get("dtype").and_then(Value::text), numbers("shape"), numbers("data_offsets").as_deref())
    else {
        return Err(format!("damaged safetensors header: tensor {} lacks a valid dtype, shape or data_offsets", quoted(name)));
    };
    let Some(bits) = bits(dtype) else { return Err(wrong_type(name, dtype)) };
    if start > end || end > data_bytes {
        return Err(format!("cut off or damaged: tensor {} lies at {start} to {end} of {data_bytes} bytes of data", quoted(name)));
    }
    let needed = count(&shape).and_then(|count| (count as u64).checked_mul(bits));
    if needed != Some((end - start) as u64 * 8) {
        let needed = needed.map_or("too many".to_string(), |bits| bits.div_ceil(8).to_string());
        let (name, shape) = (quoted(name), Sides(&shape));
        return Err(format!("damaged: tensor {name} is {dtype} {shape}, that is {needed} bytes, and has {}", end - start));
    }
    Ok(Entry { name, dtype, shape, span: [start, end] })
}

/// Bits of an element of each type that the format has.
fn bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E4M3" | "F8_E4M3FNUZ" | "F8_E5M2" | "F8_E5M2FNUZ" | "F8_E8M0" => 8,
        "U16" | "I16" | "F16" | "BF16" => 16,
        "U32" | "I32" | "F32" => 32,
        "U64" | "I64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

/// The tensors lie one behind the other and leave nothing over.
fn check_spans(entries: &[Entry<'_>], data_bytes: usize) -> Result<(), String> {
    let mut spans: Vec<[usize; 2]> = entries.iter().map(|entry| entry.span).collect();
    spans.sort_unstable();
    let mut covered = 0;
    for [start, end] in spans {
        if start != covered {
            let same = entries.iter().filter(|entry| entry.span == [start, end]);
            let name = same.map(|entry| entry.name).max().unwrap_or_default();
            return Err(format!("damaged: tensor {} begins at {start}, the one before it ends at {covered}", quoted(name)));
        }
        covered = end;
    }
    if covered != data_bytes {
        return Err(format!("damaged: its tensors take {covered} bytes, and it has {data_bytes} bytes of data"));
    }
    Ok(())
}

pub(super) fn wrong_type(name: &str, dtype: &str) -> String {
    format!("tensor {} holds {}, not f16, bf16, f32 or f64", quoted(name), one_line(dtype, 40))
}

/// The JSON header, once its length is known to lie within the file.
fn header(bytes: &[u8]) -> Result<&[u8], String> {
    let (length, rest) = bytes.split_first_chunk().ok_or_else(|| format!("cut off: {} bytes of a header", bytes.len()))?;
    let length = u64::from_le_bytes(*length);
    let header = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    header.ok_or_else(|| format!("cut off or damaged: it announces a header of {length} bytes and has {} bytes after that", rest.len()))
}
