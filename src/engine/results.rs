//! What a network answers.

use crate::tensor::Tensor;

/// A class and how probable the network finds it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Class {
    /// Its number.
    pub index: usize,
    /// Its name.
    pub label: String,
    /// Its softmax probability, 0 to 1.
    pub probability: f32,
}

/// One of a network's feature maps.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// The module whose output it is, as timm's `feature_info` names it.
    pub name: String,
    /// Input pixels per pixel of the map.
    pub reduction: usize,
    /// `[n, c, h, w]`.
    pub tensor: Tensor,
}

/// What a ghost module made.
#[derive(Debug, Clone, PartialEq)]
pub struct GhostMaps {
    /// The maps of the primary convolution: `[n, m, h, w]`.
    pub intrinsic: Tensor,
    /// The maps that the cheap operation derives from them: `[n, c_out - m, h, w]`.
    pub ghost: Tensor,
}
