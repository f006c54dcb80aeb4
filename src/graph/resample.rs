//! Maps of another size.

use super::{Shape, shape::below_largest};
use crate::text::decimal;

/// How large a resampled map is; pairs are (rows, columns).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Extent {
    /// So many.
    Sizes([usize; 2]),
    /// So many times those of the input, rounded down.
    Scales([f32; 2]),
    /// As many as those of a second input, of which nothing else is used.
    Like,
}

/// Where a pixel x of a resampled axis lies on the original one: ONNX's
/// `coordinate_transformation_mode`. Its scale is the given one, or the ratio of the sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coordinates {
    /// `(x + 0.5) / scale - 0.5`: a pixel is an area.
    #[default]
    HalfPixel,
    /// The same, but 0 where there is one pixel only.
    PytorchHalfPixel,
    /// `x * (length - 1) / (resampled length - 1)`: the first and last pixels' centres stay.
    AlignCorners,
    /// `x / scale`: the first pixel's centre stays.
    Asymmetric,
}

impl Coordinates {
    /// What ONNX, graphs in JSON and cases of kernels call them.
    pub(crate) const NAMES: [(&'static str, Self); 4] = [
        ("half_pixel", Self::HalfPixel),
        ("pytorch_half_pixel", Self::PytorchHalfPixel),
        ("align_corners", Self::AlignCorners),
        ("asymmetric", Self::Asymmetric),
    ];
}

/// Which pixel a place on an axis is nearest to: ONNX's `nearest_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nearest {
    /// The nearest; of two the lower.
    #[default]
    RoundPreferFloor,
    /// The nearest; of two the upper.
    RoundPreferCeil,
    /// The one below.
    Floor,
    /// The one above.
    Ceil,
}

impl Nearest {
    /// What ONNX, graphs in JSON and cases of kernels call them.
    pub(crate) const NAMES: [(&'static str, Self); 4] = [
        ("round_prefer_floor", Self::RoundPreferFloor),
        ("round_prefer_ceil", Self::RoundPreferCeil),
        ("floor", Self::Floor),
        ("ceil", Self::Ceil),
    ];
}

/// What a resampled pixel is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// One pixel.
    Nearest(Nearest),
    /// The weighted mean of the four around its place: ONNX's `linear` on two axes, without its
    /// antialiasing. What lies outside the map is its nearest pixel.
    Bilinear,
}

/// Maps of another size, as ONNX's Resize makes them on the last two axes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resample {
    /// How large.
    pub extent: Extent,
    /// What a pixel is made of.
    pub filter: Filter,
    /// Where it lies on the input.
    pub coordinates: Coordinates,
}

impl Resample {
    /// To so many rows and columns: bilinear, by pixels' areas.
    pub fn to(size: [usize; 2]) -> Self {
        Self { extent: Extent::Sizes(size), filter: Filter::Bilinear, coordinates: Coordinates::HalfPixel }
    }

    /// To the rows and columns of a second input: bilinear, by pixels' areas.
    pub fn like() -> Self {
        Self { extent: Extent::Like, ..Self::to([1, 1]) }
    }

    /// To so many times the rows and columns: bilinear, by pixels' areas.
    pub fn by(scales: [f32; 2]) -> Self {
        Self { extent: Extent::Scales(scales), ..Self::to([1, 1]) }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match self.extent {
            Extent::Sizes(sizes) if sizes.contains(&0) => Err("rows and columns must be at least 1".into()),
            Extent::Sizes(sizes) => below_largest("a side of", sizes),
            Extent::Scales(scales) => match scales.into_iter().find(|scale| !(*scale > 0.0 && scale.is_finite())) {
                Some(scale) => Err(format!("a scale of {} is not above 0 and finite", decimal(scale.into()))),
                None => Ok(()),
            },
            Extent::Like => Ok(()),
        }
    }

    /// Rows and columns of what is resampled; `like` is the second input of [`Extent::Like`].
    pub(crate) fn size(&self, input: Shape, like: Option<&Shape>) -> Result<[usize; 2], String> {
        // The kernel has places on the input as f32.
        const MOST: usize = 1 << 24;
        if let Some(side) = [input.h, input.w].into_iter().find(|side| *side > MOST) {
            return Err(format!("maps of {side} rows or columns cannot be resampled, {MOST} is the limit"));
        }
        // In f32, as ONNX's own inference of shapes: ten rows times 0.7 are seven.
        let scaled = |side: usize, scale: f32, what: &str| match (side as f32 * scale) as usize {
            0 => Err(format!("{side} {what} times {} are none", decimal(scale.into()))),
            scaled => below_largest("a side of", [scaled; 2]).map(|()| scaled),
        };
        match self.extent {
            Extent::Sizes(sizes) => Ok(sizes),
            Extent::Scales(scales) => Ok([scaled(input.h, scales[0], "rows")?, scaled(input.w, scales[1], "columns")?]),
            Extent::Like => like.map(|like| [like.h, like.w]).ok_or_else(|| "the map whose size it takes is missing".into()),
        }
    }
}
