//! Which numbers a convolution multiplies.

use super::pack::Tiling;
use std::borrow::Cow;

/// Which numbers a kernel holds in memory and which it multiplies: the constant `F16` of its
/// template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halves {
    /// f32 throughout.
    None = 0,
    /// Halves in memory, f32 in registers: core WGSL.
    Stored = 1,
    /// Halves are multiplied as well (`enable f16`); a few products are added up as halves, these
    /// sums as f32.
    Multiplied = 2,
}

/// How a convolution multiplies.
///
/// Sums of products of halves must not overflow, since one infinity would make every value that it
/// reaches NaN. A clamp for each sum would take a sixth of what halves save. So a layer's weights
/// are stored times a power of two that bounds these sums. Its inverse comes for free, in the
/// multiply-add that adds a sum to the f32 accumulator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Products {
    /// What is stored and multiplied.
    pub halves: Halves,
    /// The power of two with which weights are stored: 1 unless halves are multiplied.
    pub scale: f32,
}

/// Products that are added up as halves, at most: those of two input blocks.
const RUN: f32 = 8.0;

impl Products {
    /// Of a kernel that multiplies f32, whether or not it stores halves.
    pub fn of_f32(stores_halves: bool) -> Self {
        Self { halves: if stores_halves { Halves::Stored } else { Halves::None }, scale: 1.0 }
    }

    /// Of a kernel that multiplies halves by `weights`. The scale is the largest with which no run
    /// of products adds up to more than the activations' largest magnitude, 65504 at most.
    pub fn of_halves(weights: &[f32]) -> Self {
        let largest = weights.iter().fold(0.0f32, |largest, w| largest.max(w.abs()));
        let bits = (f64::from(RUN) * f64::from(largest)).to_bits();
        // The exponent of the least power of two that is no smaller comes from the number's own
        // bits, since libm's log2 and exp2 are 2 KB of the browser package. Within 2^±64 a scale
        // and its inverse stay far from the ends of f32.
        let exponent = (bits >> 52) as i32 - 1023 + i32::from(bits << 12 != 0);
        let exponent = if largest > 0.0 { exponent.clamp(-64, 64) } else { 0 };
        Self { halves: Halves::Multiplied, scale: f32::from_bits(((127 - exponent) as u32) << 23) }
    }

    /// A kernel's parameter `unscale`: the bits of what undoes the scale.
    pub fn unscale(self) -> u32 {
        (1.0 / self.scale).to_bits()
    }

    /// The weights as they are stored.
    pub fn scaled(self, weights: &[f32]) -> Cow<'_, [f32]> {
        match self.halves {
            Halves::Multiplied => weights.iter().map(|w| w * self.scale).collect(),
            Halves::None | Halves::Stored => weights.into(),
        }
    }

    /// How a convolution's weights are packed, as [`ConstantKey`](super::ConstantKey) has it.
    pub(crate) fn variant(self, tile: Tiling) -> usize {
        tile.variant() * 2 + usize::from(self.halves == Halves::Multiplied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_halves_are_bounded() {
        for largest in [f32::MIN_POSITIVE, 1e-9, 0.01, 0.125, 0.126, 1.0, 3.0, 60000.0, 65504.0] {
            let products = Products::of_halves(&[largest / 3.0, -largest, 0.0]);
            let bound = f64::from(RUN) * f64::from(largest) * f64::from(products.scale);
            assert!(bound <= 1.0 && (bound > 0.5 || largest < 1e-18), "{largest}: {products:?}, {bound}");
            assert_eq!(f32::from_bits(products.unscale()) * products.scale, 1.0, "{largest}: {products:?}");
            assert_eq!(products.scale.to_bits() & 0x007F_FFFF, 0, "{largest}: {} is no power of two", products.scale);
        }
        assert_eq!(Products::of_halves(&[0.0]).scale, 1.0);
        assert_eq!(Products::of_f32(true).unscale(), 1f32.to_bits());
    }
}
