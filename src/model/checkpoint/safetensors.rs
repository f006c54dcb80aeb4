//! Safetensors: 8 bytes of header length, a JSON header, the numbers (<https://github.com/huggingface/safetensors>).

use std::collections::BTreeMap;

use ::safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;

use super::{Float, Found, Tensor, UNUSED_SUFFIX, elements, one_line, quoted, tensor};

/// Reads a whole file: its tensors, and what its metadata says about the network.
pub(super) fn read(bytes: &[u8]) -> Result<(BTreeMap<String, Tensor>, Found), String> {
    let header = header(bytes)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| explain(header, bytes.len(), &error.to_string()))?;
    let data = &bytes[8 + header.len()..];
    let mut tensors = BTreeMap::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name).filter(|_| !name.ends_with(UNUSED_SUFFIX)) else { continue };
        let float = match info.dtype {
            Dtype::F16 => Float::F16,
            Dtype::BF16 => Float::Bf16,
            Dtype::F32 => Float::F32,
            Dtype::F64 => Float::F64,
            other => return Err(wrong_type(&name, &other.to_string())),
        };
        let (start, end) = info.data_offsets;
        let read = tensor(&name, info.shape.clone(), float, &data[start..end])?;
        tensors.insert(name, read);
    }
    if tensors.is_empty() {
        return Err("it holds no tensors".into());
    }
    let found = metadata.metadata().as_ref().map(Found::in_metadata).transpose()?;
    Ok((tensors, found.unwrap_or_default()))
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

/// Says which tensor is wrong and both numbers; the library's own message (`error`) names neither.
fn explain(header: &[u8], file_bytes: usize, error: &str) -> String {
    let fallback = || format!("damaged safetensors header: {}", one_line(error, 200));
    let Ok(Value::Object(header_fields)) = serde_json::from_slice(header) else { return fallback() };
    let data_bytes = file_bytes - 8 - header.len();
    let mut spans = Vec::new();
    for (name, info) in header_fields.iter().filter(|(name, _)| *name != "__metadata__") {
        let (Some(dtype), Some(shape), Some(&[start, end])) =
            (info["dtype"].as_str(), numbers(&info["shape"]), numbers(&info["data_offsets"]).as_deref())
        else {
            return format!("damaged safetensors header: tensor {} lacks a valid dtype, shape or data_offsets", quoted(name));
        };
        let Ok(known) = serde_json::from_value::<Dtype>(info["dtype"].clone()) else { return wrong_type(name, dtype) };
        if start > end || end > data_bytes {
            return format!("cut off or damaged: tensor {} lies at {start} to {end} of {data_bytes} bytes of data", quoted(name));
        }
        let needed = elements(&shape).and_then(|count| count.checked_mul(known.bitsize())).map(|bits| bits / 8);
        if needed != Some(end - start) {
            let needed = needed.map_or("too many".to_string(), |bytes| bytes.to_string());
            return format!("damaged: tensor {} is {dtype} {shape:?}, that is {needed} bytes, and has {}", quoted(name), end - start);
        }
        spans.push((start, end, name));
    }
    spans.sort_unstable();
    let mut covered = 0;
    for (start, end, name) in spans {
        if start != covered {
            return format!("damaged: tensor {} begins at {start}, the one before it ends at {covered}", quoted(name));
        }
        covered = end;
    }
    if covered != data_bytes {
        return format!("damaged: its tensors take {covered} bytes, and it has {data_bytes} bytes of data");
    }
    fallback()
}

fn numbers(value: &Value) -> Option<Vec<usize>> {
    value.as_array()?.iter().map(|item| usize::try_from(item.as_u64()?).ok()).collect()
}

/// The bytes of a file of these tensors, in f32, with the configuration as its metadata.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn write(tensors: &BTreeMap<String, Tensor>, config: &super::Config) -> Result<Vec<u8>, String> {
    use ::safetensors::tensor::TensorView;
    if let Some((name, tensor)) = tensors.iter().find(|(_, tensor)| elements(&tensor.shape) != Some(tensor.data.len())) {
        return Err(format!("tensor {} is {:?} and holds {} elements", quoted(name), tensor.shape, tensor.data.len()));
    }
    let error = |error: ::safetensors::SafeTensorError| one_line(&error.to_string(), 200);
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|tensor| tensor.data.iter().flat_map(|element| element.to_le_bytes()).collect()).collect();
    let views =
        tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| Ok((name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?)));
    let views: Vec<_> = views.collect::<Result<_, _>>().map_err(error)?;
    ::safetensors::serialize(views, Some(config.to_metadata())).map_err(error)
}
