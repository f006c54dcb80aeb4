//! Regions of maps, each on a grid.

use super::{Shape, shape::below_largest};
use crate::text::decimal;

/// Regions of maps, each on a grid of cells: torchvision's and ONNX's RoIAlign. A cell is the mean
/// of samples, each bilinear between four pixels.
///
/// Its inputs are the maps, all with as many channels `c`, and then the regions `[n, 1, r, 4]`,
/// each x1, y1, x2, y2. Its output is `[n, c, r * rows, columns]`, the regions one below the other.
#[derive(Debug, Clone, PartialEq)]
pub struct RoiAlign {
    /// Rows and columns of cells that each region becomes.
    pub cells: [usize; 2],
    /// Samples in a cell, along either side.
    pub samples: usize,
    /// For each map how many of its pixels one of the regions' is: the finest first.
    pub scales: Vec<f32>,
    /// A pixel's value is that of its middle. Without, it is that of its corner, and regions are at
    /// least one pixel of the map high and wide: torchvision's usual.
    pub aligned: bool,
    /// From this side on, in pixels of the regions, a square is of the second map, from twice that
    /// on of the third, and so on. torchvision's `canonical_scale`, 224, is usually that of the
    /// third map. Of one map it says nothing.
    pub side: f32,
}

impl RoiAlign {
    /// As many as a kernel can bind.
    pub(crate) const MOST_MAPS: usize = 4;
    const MOST_SAMPLES: usize = 64;

    /// The area from which on a region is of a map, by the map's number.
    pub(crate) fn least_area(&self, map: usize) -> f32 {
        if map == 0 {
            return f32::NEG_INFINITY;
        }
        // torchvision adds 1e-6 to the logarithm of the side.
        let side = f64::from(self.side) * f64::exp2(map as f64 - 1.0 - 1e-6);
        (side * side) as f32
    }

    /// What is wrong with it for maps and regions of so many channels.
    pub(super) fn check(&self, channels: &[usize]) -> Result<usize, String> {
        let (regions, maps) = channels.split_last().expect("it takes as many as its scales and one");
        let first = maps.first().copied().unwrap_or(0);
        let finite = |what: &str, value: f32| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(format!("a {what} of {} is not above 0 and finite", decimal(value.into()))),
        };
        if maps.is_empty() || maps.len() > Self::MOST_MAPS {
            return Err(format!("{} maps, 1 to {} are possible", maps.len(), Self::MOST_MAPS));
        }
        if let Some(other) = maps.iter().find(|c| **c != first) {
            return Err(format!("maps have {first} and {other} channels"));
        }
        if *regions != 1 {
            return Err(format!("regions have {regions} channels, 1 is needed"));
        }
        if self.cells.contains(&0) || !(1..=Self::MOST_SAMPLES).contains(&self.samples) {
            return Err(format!("cells must be at least 1 and samples 1 to {}", Self::MOST_SAMPLES));
        }
        below_largest("cells of", self.cells)?;
        self.scales.iter().try_for_each(|scale| finite("scale", *scale))?;
        finite("side", self.side)?;
        Ok(first)
    }

    /// Rows and columns of the output.
    pub(super) fn size(&self, inputs: &[Shape]) -> Result<[usize; 2], String> {
        let regions = inputs[inputs.len() - 1];
        if regions.w != 4 {
            return Err(format!("regions are {regions}, [n, 1, r, 4] is needed"));
        }
        let rows = regions.h.saturating_mul(self.cells[0]);
        below_largest("a side of", [rows, self.cells[1]])?;
        Ok([rows, self.cells[1]])
    }
}
