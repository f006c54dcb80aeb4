//! Names of classes that weights files leave out.

use std::sync::Arc;

/// Human-readable names of the 1000 classes of ImageNet-1k, in their usual order.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn imagenet() -> Arc<[String]> {
    of_lines(include_str!("../../assets/imagenet_labels.txt"))
}

/// The browser package keeps them in a file of their own, for few visitors need their 10 KB: see [`super::Network::name_classes`].
#[cfg(target_arch = "wasm32")]
pub(super) fn imagenet() -> Arc<[String]> {
    Arc::from([])
}

/// A name a line.
pub(super) fn of_lines(text: &str) -> Arc<[String]> {
    text.lines().map(str::to_string).collect()
}
