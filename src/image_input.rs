//! From an image file to the network's input: decode, orient, resize, crop, normalise, as timm's evaluation transform does.

/// The filter with which an image is resized; both antialias as Pillow does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interpolation {
    /// Triangle filter, support 1.
    Bilinear,
    /// Catmull-Rom-like cubic with a = -0.5, support 2.
    #[default]
    Bicubic,
}

/// What a network expects of its input image (timm's `pretrained_cfg`).
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    /// Height and width of the network's input, in pixels.
    pub size: [usize; 2],
    /// Mean of each channel (red, green, blue), of values in 0 ..= 1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, of values in 0 ..= 1.
    pub std: [f32; 3],
    /// Filter of the resize.
    pub interpolation: Interpolation,
    /// Share of the resized image's short side that the crop keeps: the short side is resized to `size / crop_pct`.
    pub crop_pct: f32,
}

impl Default for Preprocess {
    /// timm's values for `ghostnet_100.in1k`.
    fn default() -> Self {
        Self { size: [224, 224], mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], interpolation: Interpolation::Bicubic, crop_pct: 0.875 }
    }
}
