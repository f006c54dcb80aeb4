//! Names of classes that weights files leave out.

use std::sync::Arc;

/// Human-readable names of the 1000 classes of ImageNet-1k, in their usual order.
pub(super) fn imagenet() -> Arc<[String]> {
    include_str!("../../assets/imagenet_labels.txt").lines().map(str::to_string).collect()
}
