//! Writes a checkpoint as a safetensors file.

use super::{
    Checkpoint, Config, Tensor, quoted,
    safetensors::{SCALE, ZERO},
};
use crate::{
    error::{Error, Result},
    file,
    image_input::{CropMode, Preprocess},
    json::Value,
};
use half::f16;
use std::{collections::BTreeMap, io::Write as _, path::Path};

impl Checkpoint {
    /// Writes the tensors, in f32, and the configuration as a safetensors file, which
    /// [`Checkpoint::open`] reads back unchanged.
    ///
    /// The file appears complete or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be written. [`Error::Weights`] where a tensor's shape
    /// does not fit its data.
    pub fn write_safetensors(&self, path: &Path) -> Result<()> {
        let bytes = to_bytes(&self.tensors, &self.config).map_err(|what| Error::weights(path, what))?;
        file::replace(path, |file| file.write_all(&bytes))
    }
}

impl Config {
    /// The metadata of a safetensors file that says the same.
    fn to_metadata(&self) -> Vec<(String, String)> {
        let mut metadata = vec![("format".to_string(), "pt".to_string())];
        let mut say = |key: &str, value: Option<String>| metadata.extend(value.map(|value| (key.to_string(), value)));
        say("architecture", self.architecture.clone());
        say("stem_stride", self.stem_stride.map(|stride| stride.to_string()));
        say("num_classes", self.num_classes.map(|count| count.to_string()));
        say(
            "labels",
            self.labels.as_ref().map(|labels| Value::List(labels.iter().map(|label| Value::Text(label.into())).collect()).to_string()),
        );
        if let Some(Preprocess { size: [h, w], mean, std, interpolation, crop_pct, crop_mode }) = &self.preprocess {
            say("input_size", Some(format!("[3, {h}, {w}]")));
            say("mean", Some(format!("{mean:?}")));
            say("std", Some(format!("{std:?}")));
            say("interpolation", Some(interpolation.name().into()));
            say("crop_pct", Some(crop_pct.to_string()));
            say("crop_mode", (*crop_mode != CropMode::default()).then(|| crop_mode.name().into()));
        }
        say("test_top1", self.test_top1.map(|share| share.to_string()));
        metadata
    }
}

/// The bytes of a file of these tensors, in f32, with the configuration as its metadata.
fn to_bytes(tensors: &BTreeMap<String, Tensor>, config: &Config) -> Result<Vec<u8>, String> {
    if let Some((name, tensor)) = tensors.iter().find(|(_, tensor)| !tensor.is_sound()) {
        return Err(format!("tensor {} is {:?} and holds {} elements", quoted(name), tensor.shape, tensor.data.len()));
    }
    let stored = tensors.iter().map(|(name, tensor)| Stored { name, dtype: "F32", shape: &tensor.shape, data: &tensor.data, rows: &[] });
    Ok(serialize(&stored.collect::<Vec<_>>(), config.to_metadata()))
}

/// A tensor as a file holds it.
pub(in crate::model) struct Stored<'a> {
    pub name: &'a str,
    /// `F32`, `F16` or `I8`.
    pub dtype: &'static str,
    pub shape: &'a [usize],
    pub data: &'a [f32],
    /// Of `I8`: how each row of the first side is stored.
    pub rows: &'a [Row],
}

/// What is behind the names of the scales and the zero points of a tensor of 8-bit integers.
pub(in crate::model) const ROWS: [&str; 2] = [SCALE, ZERO];

/// A row of 8-bit integers q: `(q - zero) * scale`.
#[derive(Clone, Copy)]
pub(in crate::model) struct Row {
    pub scale: f32,
    pub zero: f32,
}

impl Row {
    /// How a row is stored: as it is, if its values are multiples of one number that 8 bits can
    /// tell apart, as those of quantised networks are; else rounded.
    pub fn of(values: &[f32]) -> Self {
        let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        if largest == 0.0 {
            return Self { scale: 1.0, zero: 0.0 };
        }
        // The largest is a rounded product, so that the scale is next to a rounded quotient.
        let near = |multiple: u8| {
            let scale = largest / f32::from(multiple);
            [scale, scale.next_up(), scale.next_down()]
        };
        let exact = (1..=u8::MAX).rev().flat_map(near).find_map(|scale| Self::exact(values, scale));
        exact.unwrap_or(Self { scale: (largest / 127.0).max(f32::MIN_POSITIVE), zero: 0.0 })
    }

    /// The row of this scale that stores the values as they are.
    fn exact(values: &[f32], scale: f32) -> Option<Self> {
        let (mut least, mut most) = (0.0f32, 0.0f32);
        for &value in values {
            let multiple = (value / scale).round();
            if multiple * scale != value {
                return None;
            }
            (least, most) = (least.min(multiple), most.max(multiple));
        }
        let zero = if least < -128.0 { -128.0 - least } else { (127.0 - most).min(0.0) };
        (most - least <= 255.0).then_some(Self { scale, zero })
    }

    fn stored(self, value: f32) -> i8 {
        ((value / self.scale).round() + self.zero) as i8
    }
}

/// The bytes of a safetensors file, the same for the same tensors and metadata. The wider elements
/// come first, so that all are aligned.
pub(in crate::model) fn serialize(tensors: &[Stored<'_>], metadata: Vec<(String, String)>) -> Vec<u8> {
    let whole = |number: usize| Value::Number(number.to_string().into());
    let metadata = metadata.into_iter().map(|(key, value)| (key.into(), Value::Text(value.into()))).collect();
    let mut fields = vec![("__metadata__".into(), Value::Object(metadata))];
    let mut data = Vec::new();
    for dtype in ["F32", "F16", "I8"] {
        for tensor in tensors.iter().filter(|tensor| tensor.dtype == dtype) {
            let start = data.len();
            match dtype {
                "F32" => data.extend(tensor.data.iter().flat_map(|value| value.to_le_bytes())),
                "I8" => {
                    let of_row = (tensor.data.len() / tensor.rows.len().max(1)).max(1);
                    let rows = tensor.data.chunks(of_row).zip(tensor.rows);
                    data.extend(rows.flat_map(|(values, row)| values.iter().map(|&value| row.stored(value) as u8)));
                }
                _ => data.extend(tensor.data.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes())),
            }
            let said = [
                ("dtype", Value::Text(dtype.into())),
                ("shape", Value::List(tensor.shape.iter().map(|&side| whole(side)).collect())),
                ("data_offsets", Value::List(vec![whole(start), whole(data.len())])),
            ];
            fields.push((tensor.name.into(), Value::Object(said.map(|(key, value)| (key.into(), value)).into())));
        }
    }
    let mut header = Value::Object(fields).to_string();
    // The data begin at a multiple of eight bytes.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let length = header.len() as u64;
    [&length.to_le_bytes()[..], header.as_bytes(), &data].concat()
}
