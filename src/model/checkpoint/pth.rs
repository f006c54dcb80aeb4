//! PyTorch checkpoints, through pytorch-reader: it interprets the pickle's description of tensors
//! and executes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use pytorch_reader::{DType, PytorchReader};

use super::safetensors::wrong_type;
use super::{Float, Tensor, UNUSED_SUFFIX, one_line, tensor};

/// The keys under which training scripts nest a state dict, then the prefix that PyTorch's
/// DataParallel gives every name.
const WRAPPERS: [&str; 3] = ["state_dict.", "model.", "module."];

/// Reads the tensors of a file of `file_bytes`.
pub(super) fn read(path: &Path, file_bytes: u64) -> Result<BTreeMap<String, Tensor>, String> {
    let reader = PytorchReader::new(path).map_err(|error| format!("damaged PyTorch checkpoint: {}", one_line(&error.to_string(), 200)))?;
    let mut stored = reader.into_tensors();
    for wrapper in WRAPPERS {
        if stored.keys().any(|name| name.starts_with(wrapper)) {
            stored = stored.into_iter().filter_map(|(name, tensor)| Some((name.strip_prefix(wrapper)?.to_string(), tensor))).collect();
        }
    }
    stored.retain(|name, _| !name.ends_with(UNUSED_SUFFIX));
    if stored.is_empty() {
        return Err("a PyTorch file without tensors".into());
    }
    // A tensor may repeat a storage (stride 0), so a small file can announce any size.
    let total = stored.values().fold(0u64, |sum, tensor| sum.saturating_add(tensor.byte_len() as u64));
    if total > file_bytes.saturating_mul(4) {
        return Err(format!("its tensors take {total} bytes, over four times the {file_bytes} bytes of the file"));
    }
    let convert = |(name, stored): (String, pytorch_reader::Tensor)| {
        let float = match stored.dtype() {
            DType::F16 => Float::F16,
            DType::BF16 => Float::Bf16,
            DType::F32 => Float::F32,
            DType::F64 => Float::F64,
            other => return Err(wrong_type(&name, &format!("{other:?}"))),
        };
        // In native order, which is little-endian wherever there is a wgpu backend.
        let bytes = stored.read().map_err(|error| format!("damaged PyTorch checkpoint: {}", one_line(&error.to_string(), 200)))?;
        let read = tensor(&name, stored.shape().to_vec(), float, &bytes)?;
        Ok((name, read))
    };
    stored.into_iter().collect::<BTreeMap<_, _>>().into_iter().map(convert).collect()
}
