//! What a weights file says about its network: safetensors metadata, and `config.json` in the form
//! of timm's models on a hub.

use super::one_line;
use crate::image_input::{CropMode, Interpolation, Preprocess};
use crate::json::Value;
use std::{borrow::Cow, collections::HashMap};

/// More classes or pixels than any network has. Numbers beyond are mistakes, and sizes computed
/// from them would overflow.
pub(in crate::model) const MAX_CLASSES: usize = 1_000_000;
pub(in crate::model) const MAX_INPUT_SIZE: usize = 16_384;

/// Fields of safetensors' metadata that are texts, not JSON.
const TEXTS: [&str; 4] = ["architecture", "interpolation", "crop_mode", "input_space"];

/// What is known about a checkpoint's network; `None` where nothing is said.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub struct Config {
    /// timm's name of the network, such as `ghostnet_100`.
    pub architecture: Option<String>,
    /// Stride of the first convolution, where it is not the network's usual 2.
    pub stem_stride: Option<usize>,
    /// Number of classes, 1 ..= 1,000,000; known wherever `labels` are.
    pub num_classes: Option<usize>,
    /// Name of each class; as many as `num_classes`.
    pub labels: Option<Vec<String>>,
    /// Another name of each class, such as WordNet's synset, where `labels` describe them.
    pub label_names: Option<Vec<String>>,
    /// How an image becomes the input. What the file leaves open is as in [`Preprocess::default`].
    /// `None` if it leaves open all of it.
    pub preprocess: Option<Preprocess>,
    /// Share of its test images that it names right, 0 to 1, as measured by whoever made the file.
    pub test_top1: Option<f32>,
}

/// What one source says, each value checked by itself.
#[derive(Default)]
pub(in crate::model) struct Found {
    architecture: Option<String>,
    stem_stride: Option<usize>,
    num_classes: Option<usize>,
    labels: Option<Vec<String>>,
    label_names: Option<Vec<String>>,
    size: Option<[usize; 2]>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<Interpolation>,
    crop_pct: Option<f32>,
    crop_mode: Option<CropMode>,
    test_top1: Option<f32>,
}

/// What a source says under a name, if it says anything.
type Said<'v> = Result<Option<Cow<'v, Value<'v>>>, String>;

impl Found {
    /// Reads safetensors metadata: every value is a string, of JSON where it is not a string
    /// itself.
    pub(super) fn in_metadata(metadata: &Value<'_>) -> Result<Self, String> {
        let field = |key: &str| -> Said<'_> {
            match metadata.get(key) {
                None => Ok(None),
                Some(value @ Value::Text(_)) if TEXTS.contains(&key) => Ok(Some(Cow::Borrowed(value))),
                Some(Value::Text(text)) => match Value::parse(text) {
                    Ok(value) => Ok(Some(Cow::Owned(value))),
                    Err(_) => Err(format!("{key} is `{}`, not JSON", one_line(text, 40))),
                },
                Some(other) => Err(wrong(key, other, "a text, as all of safetensors' metadata")),
            }
        };
        let mut found = Self::read(&field)?;
        found.fit_classes()?;
        Ok(found)
    }

    /// Reads a `config.json`. timm keeps the preprocessing in `pretrained_cfg`, or, in older files,
    /// at the root. The root wins.
    pub(in crate::model) fn in_json(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("not JSON: {error}"))?;
        let root = Value::parse(text).map_err(|error| format!("not JSON: {error}"))?;
        let field = |key: &str| {
            let pretrained = root.get("pretrained_cfg").and_then(|cfg| cfg.get(key));
            [root.get(key), pretrained].into_iter().flatten().find(|value| **value != Value::Null)
        };
        let mut found = Self::read(&|key| Ok(field(key).map(Cow::Borrowed)))?;
        if let Some(names) = field("label_names") {
            let names = labels("label_names", names)?;
            // The names are WordNet's synsets, say, and the descriptions what people call them.
            let described = match field("label_descriptions") {
                Some(Value::Object(fields)) => {
                    let described: HashMap<&str, &str> =
                        fields.iter().filter_map(|(name, description)| Some((&**name, description.text()?))).collect();
                    names.iter().map(|name| described.get(&**name).copied().unwrap_or(name).to_string()).collect()
                }
                _ => names.clone(),
            };
            let described = found.labels.get_or_insert(described);
            found.label_names = (*described != names).then_some(names);
        }
        found.fit_classes()?;
        Ok(found)
    }

    fn read<'v>(field: &dyn Fn(&str) -> Said<'v>) -> Result<Self, String> {
        let field = |key| Ok::<_, String>(field(key)?.filter(|value| **value != Value::Null));
        let mut found = Self::default();
        if let Some(value) = field("architecture")? {
            found.architecture = Some(value.text().ok_or_else(|| wrong("architecture", &value, "a name"))?.to_string());
        }
        if let Some(value) = field("stem_stride")? {
            found.stem_stride = Some(whole("stem_stride", &value, MAX_INPUT_SIZE)?);
        }
        if let Some(value) = field("num_classes")? {
            found.num_classes = Some(whole("num_classes", &value, MAX_CLASSES)?);
        }
        if let Some(value) = field("labels")? {
            found.labels = Some(labels("labels", &value)?);
        }
        // What timm evaluates with comes before what it trains with.
        for key in ["test_input_size", "input_size"] {
            if let Some(value) = field(key)? {
                let size = match value.list() {
                    Some([channels, h, w]) if channels.whole() == Some(3) => [h, w],
                    _ => return Err(wrong(key, &value, "[3, height, width]")),
                };
                let size = [whole(key, size[0], MAX_INPUT_SIZE)?, whole(key, size[1], MAX_INPUT_SIZE)?];
                found.size.get_or_insert(size);
            }
        }
        if let Some(value) = field("mean")? {
            found.mean = Some(channels(&value).ok_or_else(|| wrong("mean", &value, "three numbers"))?);
        }
        if let Some(value) = field("std")? {
            let std = channels(&value).filter(|std| std.iter().all(|&deviation| deviation > 0.0));
            found.std = Some(std.ok_or_else(|| wrong("std", &value, "three numbers above 0"))?);
        }
        if let Some(value) = field("interpolation")? {
            let named = value.text().and_then(Interpolation::named);
            found.interpolation = Some(named.ok_or_else(|| wrong("interpolation", &value, "bilinear or bicubic"))?);
        }
        for key in ["test_crop_pct", "crop_pct"] {
            if let Some(value) = field(key)? {
                let crop = number(&value).filter(|&crop| crop > 0.0 && crop <= 1.0);
                found.crop_pct.get_or_insert(crop.ok_or_else(|| wrong(key, &value, "above 0 and at most 1"))?);
            }
        }
        if let Some(value) = field("crop_mode")? {
            let named = value.text().and_then(CropMode::named);
            found.crop_mode = Some(named.ok_or_else(|| wrong("crop_mode", &value, "center or squash"))?);
        }
        // What else would change pixels has one value here.
        let usual = ["3", "0", "\"RGB\"", "[0,1]"];
        for (key, usual) in ["in_chans", "crop_border_pixels", "input_space", "input_range"].into_iter().zip(usual) {
            if let Some(value) = field(key)?
                && value.to_string() != usual
            {
                return Err(wrong(key, &value, usual));
            }
        }
        // Nothing is computed from it, so it is no reason to refuse a file; a browser's page does
        // not show it.
        if cfg!(not(target_arch = "wasm32")) {
            let share = field("test_top1").ok().flatten().and_then(|value| number(&value));
            found.test_top1 = share.filter(|share| (0.0..=1.0).contains(share));
        }
        Ok(found)
    }

    /// Compares the number of classes with the labels, or takes it from them.
    fn fit_classes(&mut self) -> Result<(), String> {
        let Some(labels) = &self.labels else { return Ok(()) };
        match self.num_classes {
            Some(count) if count != labels.len() => Err(format!("labels holds {} names, num_classes is {count}", labels.len())),
            _ => {
                self.num_classes = Some(labels.len());
                Ok(())
            }
        }
    }

    /// This source, and `other` for what it leaves open.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            architecture: self.architecture.or(other.architecture),
            stem_stride: self.stem_stride.or(other.stem_stride),
            num_classes: self.num_classes.or(other.num_classes),
            // Other names belong to the labels that they stand beside.
            label_names: if self.labels.is_some() { self.label_names } else { other.label_names },
            labels: self.labels.or(other.labels),
            size: self.size.or(other.size),
            mean: self.mean.or(other.mean),
            std: self.std.or(other.std),
            interpolation: self.interpolation.or(other.interpolation),
            crop_pct: self.crop_pct.or(other.crop_pct),
            crop_mode: self.crop_mode.or(other.crop_mode),
            test_top1: self.test_top1.or(other.test_top1),
        }
    }

    /// The configuration, once all sources are in.
    pub(in crate::model) fn finish(mut self) -> Result<Config, String> {
        self.fit_classes()?;
        let Self { architecture, stem_stride, num_classes, labels, label_names, test_top1, .. } = self;
        let Self { size, mean, std, interpolation, crop_pct, crop_mode, .. } = self;
        let said =
            size.is_some() || mean.is_some() || std.is_some() || interpolation.is_some() || crop_pct.is_some() || crop_mode.is_some();
        let usual = Preprocess::default();
        let preprocess = said.then(|| Preprocess {
            size: size.unwrap_or(usual.size),
            mean: mean.unwrap_or(usual.mean),
            std: std.unwrap_or(usual.std),
            interpolation: interpolation.unwrap_or(usual.interpolation),
            crop_pct: crop_pct.unwrap_or(usual.crop_pct),
            crop_mode: crop_mode.unwrap_or(usual.crop_mode),
        });
        Ok(Config { architecture, stem_stride, num_classes, labels, label_names, preprocess, test_top1 })
    }
}

/// The texts of a one-file network: its metadata beside the weights.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::model) struct OneFile {
    pub version: String,
    pub graph: String,
    pub card: String,
}

impl OneFile {
    /// What a file's `format` says where it is a one-file network.
    pub const FORMAT: &str = "ghostnet";

    /// The texts of such a file; `None` of any other.
    pub(super) fn in_metadata(metadata: &Value<'_>) -> Result<Option<Self>, String> {
        let text = |key: &str| metadata.get(key).and_then(Value::text);
        if text("format") != Some(Self::FORMAT) {
            return Ok(None);
        }
        let needed = |key: &str| text(key).map(str::to_string).ok_or_else(|| format!("a one-file network without `{key}`"));
        Ok(Some(Self { version: needed("version")?, graph: needed("graph")?, card: needed("card")? }))
    }
}

pub(in crate::model) fn wrong(key: &str, value: &Value<'_>, wanted: &str) -> String {
    format!("{key} is {}, not {wanted}", one_line(&value.to_string(), 60))
}

pub(in crate::model) fn whole(key: &str, value: &Value<'_>, most: usize) -> Result<usize, String> {
    let number = value.whole().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| wrong(key, value, &format!("a whole number from 1 to {most}")))
}

/// A number that f32 holds without becoming infinite.
pub(in crate::model) fn number(value: &Value<'_>) -> Option<f32> {
    value.number().map(|number| number as f32).filter(|number| number.is_finite())
}

pub(in crate::model) fn channels(value: &Value<'_>) -> Option<[f32; 3]> {
    let items = value.list()?.iter().map(number).collect::<Option<Vec<f32>>>()?;
    items.try_into().ok()
}

/// Names of classes: a list, or an object of them under their numbers.
pub(in crate::model) fn labels(key: &str, value: &Value<'_>) -> Result<Vec<String>, String> {
    let texts = |items: &mut dyn Iterator<Item = &Value<'_>>| items.map(|item| item.text().map(str::to_string)).collect::<Option<Vec<_>>>();
    let names = match value {
        Value::List(items) => texts(&mut items.iter()),
        Value::Object(fields) => {
            let mut numbered = vec![None; fields.len()];
            for (number, name) in fields {
                if let Some(place) = number.parse::<usize>().ok().and_then(|number| numbered.get_mut(number)) {
                    *place = Some(name);
                }
            }
            // A number that is missing, or there twice, leaves a place empty.
            let is_whole = numbered.iter().all(Option::is_some);
            is_whole.then(|| texts(&mut numbered.into_iter().flatten())).flatten()
        }
        _ => None,
    };
    names.filter(|names| !names.is_empty()).ok_or_else(|| wrong(key, value, "a list of names, or an object of them by numbers from 0 on"))
}
