//! Writes a checkpoint as a safetensors file.

use super::{Checkpoint, Config, Tensor, one_line, quoted};
use crate::{
    error::{Error, Result},
    file,
    image_input::{Interpolation, Preprocess},
    json::Value,
};
use safetensors::tensor::{Dtype, TensorView};
use std::{
    collections::{BTreeMap, HashMap},
    io::Write as _,
    path::Path,
};

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
    fn to_metadata(&self) -> HashMap<String, String> {
        let mut metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
        let mut say = |key: &str, value: Option<String>| metadata.extend(value.map(|value| (key.to_string(), value)));
        say("architecture", self.architecture.clone());
        say("stem_stride", self.stem_stride.map(|stride| stride.to_string()));
        say("num_classes", self.num_classes.map(|count| count.to_string()));
        say("labels", self.labels.as_ref().map(|labels| Value::List(labels.iter().cloned().map(Value::Text).collect()).to_string()));
        if let Some(Preprocess { size: [h, w], mean, std, interpolation, crop_pct }) = &self.preprocess {
            let interpolation = match interpolation {
                Interpolation::Bilinear => "bilinear",
                Interpolation::Bicubic => "bicubic",
            };
            say("input_size", Some(format!("[3, {h}, {w}]")));
            say("mean", Some(format!("{mean:?}")));
            say("std", Some(format!("{std:?}")));
            say("interpolation", Some(interpolation.into()));
            say("crop_pct", Some(crop_pct.to_string()));
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
    let error = |error: safetensors::SafeTensorError| one_line(&error.to_string(), 200);
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|tensor| tensor.data.iter().flat_map(|element| element.to_le_bytes()).collect()).collect();
    let views =
        tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| Ok((name, TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?)));
    let views: Vec<_> = views.collect::<Result<_, _>>().map_err(error)?;
    safetensors::serialize(views, Some(config.to_metadata())).map_err(error)
}
