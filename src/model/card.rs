//! What a network is for.

use super::checkpoint::Config;
use crate::image_input::Preprocess;
use std::sync::Arc;

/// Classes of ImageNet-1k, whose names weights files leave out.
pub(crate) const IMAGENET_CLASSES: usize = 1000;

/// What is known of a network beside its architecture and its weights: what it takes and what its
/// answers mean.
#[derive(Debug, Clone)]
pub(super) struct Card {
    /// The network's name.
    pub name: String,
    /// The classes' names; empty where nobody named them.
    pub labels: Arc<[String]>,
    /// What it expects of its input image.
    pub preprocess: Preprocess,
    /// Share of its test images that it names right, 0 to 1, where its file says so.
    pub test_top1: Option<f32>,
}

impl Card {
    /// What `config` says of a network of so many classes; `name` is used where it gives none.
    pub fn new(config: &Config, classes: usize, name: impl FnOnce() -> String) -> Self {
        Self {
            name: config.architecture.clone().unwrap_or_else(name),
            labels: match &config.labels {
                Some(labels) => labels.clone().into(),
                None if classes == IMAGENET_CLASSES => imagenet(),
                None => Arc::from([]),
            },
            preprocess: config.preprocess.clone().unwrap_or_default(),
            test_top1: config.test_top1,
        }
    }

    /// A class's name, or `class N`.
    pub fn label(&self, class: usize) -> String {
        self.labels.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
    }
}

/// Human-readable names of the classes of ImageNet-1k, in their usual order.
///
/// The browser package keeps them in a file of their own, for few visitors need them. See
/// [`super::Network::name_classes`].
fn imagenet() -> Arc<[String]> {
    if cfg!(target_arch = "wasm32") { Arc::from([]) } else { of_lines(include_str!("../../assets/imagenet_labels.txt")) }
}

/// A name a line.
pub(super) fn of_lines(text: &str) -> Arc<[String]> {
    text.lines().map(str::to_string).collect()
}
