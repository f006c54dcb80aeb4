//! What a network is for.

use super::checkpoint::{
    Config,
    config::{Found, MAX_CLASSES, MAX_INPUT_SIZE, channels, labels, number, whole, wrong},
    one_line,
};
use crate::{
    Error, Result, detect,
    image_input::{CropMode, Interpolation, Preprocess},
    json::{Field, Value},
};
use std::{path::Path, sync::Arc};

/// Classes of ImageNet-1k, whose names weights files leave out.
pub(crate) const IMAGENET_CLASSES: usize = 1000;

/// What a network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Task {
    /// Its first result are logits of classes.
    Classify,
    /// It finds things in pictures, as [`Card::decoder`] says.
    Detect,
    /// It finds points of a thing, as [`Card::decoder`] says.
    Landmarks,
}

impl Task {
    /// `classify`, `detect` or `landmarks`.
    pub fn name(self) -> &'static str {
        match self {
            Task::Classify => "classify",
            Task::Detect => "detect",
            Task::Landmarks => "landmarks",
        }
    }
}

/// What is known of a network beside its graph and its weights: what it takes and what its answers
/// mean.
///
/// As JSON, in which everything may be left out:
///
/// ```json
/// { "name": "ghostnet_100", "task": "classify", "labels": ["tench", "goldfish"],
///   "inputs": { "input": { "size": [224, 224], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
///                          "interpolation": "bicubic", "crop_pct": 0.875 } },
///   "outputs": { "logits": "one value a class" }, "source": "where it comes from", "licence": "MIT",
///   "test_top1": 0.855 }
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Card {
    /// The network's name.
    pub name: String,
    /// What it does.
    pub task: Option<Task>,
    /// The classes' names, in their order; empty where nobody named them.
    pub labels: Arc<[String]>,
    /// Other names of the classes, such as WordNet's synsets, where `labels` describe them; as
    /// many, or none.
    pub label_names: Arc<[String]>,
    /// How an image becomes an input, for each input that takes one, by its name.
    pub inputs: Vec<(String, Preprocess)>,
    /// How a picture becomes the input, and results become boxes or points: the fields of the card
    /// that say so, as JSON, of the tasks `detect` and `landmarks`.
    pub decoder: Option<Arc<str>>,
    /// What each result is, in words, by its name.
    pub outputs: Vec<(String, String)>,
    /// Where it comes from.
    pub source: Option<String>,
    /// Under which licence its weights are.
    pub licence: Option<String>,
    /// Share of its test images that it names right, 0 to 1, as measured by whoever made it.
    pub test_top1: Option<f32>,
}

/// Inputs, or results, that a card names.
const MOST_ENDS: usize = 1 << 12;

/// The name of an input that is nowhere named.
const INPUT: &str = "input";

impl Card {
    /// A card that says only the network's name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Sets [`Card::labels`], and no other names of the classes.
    pub fn labels(self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { labels: labels.into_iter().map(Into::into).collect(), label_names: Arc::from([]), ..self }
    }

    /// Sets how an image becomes the input `name`.
    pub fn input(mut self, name: impl Into<String>, preprocess: Preprocess) -> Self {
        let name = name.into();
        self.inputs.retain(|(known, _)| *known != name);
        self.inputs.push((name, preprocess));
        self
    }

    /// Reads a card: JSON as above, or a `config.json` as timm publishes it.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::Model`] where it is no card, with the
    /// field.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        super::checkpoint::regular_file(path, super::checkpoint::MAX_CONFIG_BYTES)?;
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
        let wrong = |what: String| Error::file(path, std::io::ErrorKind::InvalidData, what);
        let text = std::str::from_utf8(&bytes).map_err(|error| wrong(format!("not JSON: {error}")))?;
        let json = Value::parse(text).map_err(|error| wrong(format!("not JSON: {error}")))?;
        let is_config = ["architecture", "pretrained_cfg"].iter().any(|key| json.get(key).is_some());
        match is_config {
            true => Found::in_json(&bytes).and_then(Found::finish).map(|config| Self::of(&config, 0, String::new)),
            false => Self::from_json(&json),
        }
        .map_err(wrong)
    }

    /// Reads a card as JSON.
    ///
    /// # Errors
    /// [`Error::Model`] where it is none, with the field.
    pub fn of_json(text: &str) -> Result<Self> {
        let json = Value::parse(text).map_err(|error| format!("not JSON: {error}"));
        json.and_then(|json| Self::from_json(&json)).map_err(|what| Error::Model(format!("the card: {what}")))
    }

    /// What `config` says of a network of so many classes. `name` is used where it gives none.
    pub(super) fn of(config: &Config, classes: usize, name: impl FnOnce() -> String) -> Self {
        Self {
            name: config.architecture.clone().unwrap_or_else(name),
            task: Some(Task::Classify),
            labels: match &config.labels {
                Some(labels) => labels.clone().into(),
                None if classes == IMAGENET_CLASSES => imagenet(),
                None => Arc::from([]),
            },
            label_names: config.label_names.clone().unwrap_or_default().into(),
            inputs: vec![(INPUT.into(), config.preprocess.clone().unwrap_or_default())],
            test_top1: config.test_top1,
            ..Self::default()
        }
    }

    /// Reads the JSON of a card; the error names the field.
    pub(super) fn from_json(json: &Value<'_>) -> Result<Self, String> {
        let Value::Object(fields) = json else { return Err("a card is an object".into()) };
        let mut card = Self::default();
        let task = json.get("task").and_then(Value::text);
        let finds = task.is_some_and(|task| task != Task::Classify.name());
        let text = |key: &str, value: &Value<'_>| value.text().map(str::to_string).ok_or_else(|| wrong(key, value, "a text"));
        for (key, value) in fields {
            match &**key {
                "name" => card.name = text(key, value)?,
                "task" => {
                    let tasks = [Task::Classify, Task::Detect, Task::Landmarks];
                    let task = tasks.into_iter().find(|task| value.text() == Some(task.name()));
                    card.task = Some(task.ok_or_else(|| wrong(key, value, "classify, detect or landmarks"))?);
                }
                // The file that a card was made for.
                "file" => drop(text(key, value)?),
                key if finds && detect::FIELDS.contains(&key) => {}
                "labels" => card.labels = labels(key, value)?.into(),
                "label_names" => card.label_names = labels(key, value)?.into(),
                "inputs" => {
                    for (name, input) in object(key, value)? {
                        card = card.input(&**name, preprocess(input)?.1);
                    }
                }
                "input" => {
                    let (name, preprocess) = preprocess(value)?;
                    card = card.input(name.unwrap_or_else(|| INPUT.into()), preprocess);
                }
                "outputs" => {
                    let outputs = object(key, value)?.iter().map(|(name, what)| Ok((name.to_string(), text(name, what)?)));
                    card.outputs = outputs.collect::<Result<_, String>>()?;
                }
                "source" => card.source = Some(text(key, value)?),
                "licence" => card.licence = Some(text(key, value)?),
                "test_top1" => card.test_top1 = number(value).filter(|share| (0.0..=1.0).contains(share)),
                _ => return Err(format!("`{}` is no field of a card", one_line(key, 40))),
            }
        }
        if finds {
            card.decoder = Some(detect::decoder(json)?.into());
        }
        if card.labels.len() > MAX_CLASSES {
            return Err(format!("{} labels, at most {MAX_CLASSES} are possible", card.labels.len()));
        }
        if !card.label_names.is_empty() && card.label_names.len() != card.labels.len() {
            return Err(format!("{} label_names for {} labels", card.label_names.len(), card.labels.len()));
        }
        Ok(card)
    }

    /// The card as JSON: what [`Card::open`] reads.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn to_json(&self) -> String {
        fn text(text: &str) -> Value<'_> {
            Value::Text(text.into())
        }
        let number = |number: f32| Value::Number(format!("{number:?}").into());
        let numbers = |numbers: &[f32]| Value::List(numbers.iter().copied().map(number).collect());
        let mut fields = vec![("name".into(), text(&self.name))];
        let mut say = |key: &'static str, value| fields.push((key.into(), value));
        self.task.iter().for_each(|task| say("task", text(task.name())));
        for (key, names) in [("labels", &self.labels), ("label_names", &self.label_names)] {
            if !names.is_empty() {
                say(key, Value::List(names.iter().map(|name| text(name)).collect()));
            }
        }
        let input = |(name, p): &(String, Preprocess)| {
            let mut fields = vec![
                ("size", Value::List(p.size.map(|side| Value::Number(side.to_string().into())).into())),
                ("mean", numbers(&p.mean)),
                ("std", numbers(&p.std)),
                ("interpolation", text(p.interpolation.name())),
                ("crop_pct", number(p.crop_pct)),
            ];
            if p.crop_mode != CropMode::default() {
                fields.push(("crop_mode", text(p.crop_mode.name())));
            }
            (name.clone().into(), Value::Object(fields.into_iter().map(|(key, value)| (key.into(), value)).collect()))
        };
        if !self.inputs.is_empty() {
            say("inputs", Value::Object(self.inputs.iter().map(input).collect()));
        }
        if !self.outputs.is_empty() {
            say("outputs", Value::Object(self.outputs.iter().map(|(name, what)| (name.into(), text(what))).collect()));
        }
        self.source.iter().for_each(|source| say("source", text(source)));
        self.licence.iter().for_each(|licence| say("licence", text(licence)));
        self.test_top1.iter().for_each(|share| say("test_top1", number(*share)));
        if let Some(Ok(Value::Object(own))) = self.decoder.as_deref().map(Value::parse) {
            fields.extend(own);
        }
        Value::Object(fields).to_string()
    }

    /// What this card says, and `other` for what it leaves open.
    pub fn or(self, other: Self) -> Self {
        fn more<T: Clone>(own: Vec<(String, T)>, other: &[(String, T)]) -> Vec<(String, T)> {
            if own.is_empty() { other.to_vec() } else { own }
        }
        Self {
            name: if self.name.is_empty() { other.name } else { self.name },
            // A decoder belongs to the task that it stands beside.
            decoder: if self.task.is_some() { self.decoder } else { other.decoder },
            task: self.task.or(other.task),
            // Other names belong to the labels that they stand beside.
            label_names: if self.labels.is_empty() { other.label_names } else { self.label_names },
            labels: if self.labels.is_empty() { other.labels } else { self.labels },
            inputs: more(self.inputs, &other.inputs),
            outputs: more(self.outputs, &other.outputs),
            source: self.source.or(other.source),
            licence: self.licence.or(other.licence),
            test_top1: self.test_top1.or(other.test_top1),
        }
    }

    /// Of each class whether it is wanted; empty where all are. The error names a label that there
    /// is not.
    pub(crate) fn only(&self, options: &detect::DetectOptions) -> Result<Vec<bool>, String> {
        let Some(wanted) = &options.labels else { return Ok(Vec::new()) };
        match wanted.iter().find(|label| !self.labels.contains(label)) {
            Some(unknown) => Err(format!("`{}` is none of the {} labels", one_line(unknown, 40), self.labels.len())),
            None => Ok(self.labels.iter().map(|label| wanted.contains(label)).collect()),
        }
    }

    /// A class's name, or `class N`.
    pub fn label(&self, class: usize) -> String {
        self.labels.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
    }
}

fn object<'v>(key: &str, value: &'v Value<'v>) -> Result<&'v [Field<'v>], String> {
    match value {
        Value::Object(fields) if fields.len() <= MOST_ENDS => Ok(fields),
        Value::Object(fields) => Err(format!("{key} has {} entries, {MOST_ENDS} are the most", fields.len())),
        _ => Err(wrong(key, value, "an object")),
    }
}

/// An input's name, if it says it, and how an image becomes it. What it leaves open is as in
/// [`Preprocess::default`].
fn preprocess(json: &Value<'_>) -> Result<(Option<String>, Preprocess), String> {
    let (mut name, mut p) = (None, Preprocess::default());
    for (key, value) in object("input", json)? {
        let needed = |wanted: &str| wrong(key, value, wanted);
        match &**key {
            "name" => name = Some(value.text().ok_or_else(|| needed("a text"))?.to_string()),
            "size" => match value.list() {
                Some([h, w]) => p.size = [whole(key, h, MAX_INPUT_SIZE)?, whole(key, w, MAX_INPUT_SIZE)?],
                _ => return Err(needed("[height, width]")),
            },
            "mean" => p.mean = channels(value).ok_or_else(|| needed("three numbers"))?,
            "std" => {
                let above_zero = |std: &[f32; 3]| std.iter().all(|&deviation| deviation > 0.0);
                p.std = channels(value).filter(above_zero).ok_or_else(|| needed("three numbers above 0"))?;
            }
            "interpolation" => {
                p.interpolation = value.text().and_then(Interpolation::named).ok_or_else(|| needed("bilinear or bicubic"))?;
            }
            "crop_pct" => {
                p.crop_pct = number(value).filter(|&crop| crop > 0.0 && crop <= 1.0).ok_or_else(|| needed("above 0 and at most 1"))?;
            }
            "crop_mode" => p.crop_mode = value.text().and_then(CropMode::named).ok_or_else(|| needed("center or squash"))?,
            _ => return Err(format!("`{}` is no field of an input", one_line(key, 40))),
        }
    }
    Ok((name, p))
}

/// Human-readable names of the classes of ImageNet-1k, in their usual order.
///
/// The browser package keeps them in a file of their own, for few visitors need their 10 KB. See
/// [`super::Network::name_classes`].
fn imagenet() -> Arc<[String]> {
    if cfg!(target_arch = "wasm32") { Arc::from([]) } else { of_lines(include_str!("../../assets/imagenet_labels.txt")) }
}

/// A name a line.
pub(super) fn of_lines(text: &str) -> Arc<[String]> {
    text.lines().map(str::to_string).collect()
}
