//! The largest channels of each pixel.

/// The first channels of each pixel in the order of their values, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK {
    /// How many.
    pub k: usize,
    /// The smallest first.
    pub is_smallest: bool,
    /// Of equal values that of the channel with the highest number first, not the lowest.
    pub is_last: bool,
    /// The channels' numbers, not their values.
    pub places: bool,
}

impl TopK {
    /// Channels of which numbers can be told in any precision.
    pub(super) const MOST_CHANNELS: usize = 2048;
}
