//! The shape of a tensor: images, channels, rows, columns.

use crate::{Error, Result};

/// Shape of a tensor in the field's order `[n, c, h, w]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Images in the batch.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Shape {
    /// `[n, c, h, w]`.
    pub const fn new(n: usize, c: usize, h: usize, w: usize) -> Self {
        Self { n, c, h, w }
    }

    /// Pixels of one map.
    pub const fn pixels(&self) -> usize {
        self.h * self.w
    }

    /// The number of values, if this machine can count them.
    pub fn checked_count(&self) -> Option<usize> {
        [self.c, self.h, self.w].iter().try_fold(self.n, |count, side| count.checked_mul(*side))
    }

    /// Fails where a side is too long, or where bytes of the tensor, with all that layouts add to
    /// it, cannot be counted. `what` has it, for messages.
    pub(super) fn check(&self, what: &str) -> Result<()> {
        let longest = self.n.max(self.h).max(self.w);
        if longest >= LARGEST {
            return Err(Error::Limit { what: format!("{what}: the longest side"), needed: longest as u64, limit: LARGEST as u64 });
        }
        // A channel alone takes a block of 16 bytes, and a layout has its parts padded each.
        const BYTES: usize = 64;
        let limit = (usize::MAX / BYTES) as u64;
        match self.checked_count() {
            Some(count) if count as u64 <= limit => Ok(()),
            count => Err(Error::Limit { what: format!("{what}: values"), needed: count.map_or(u64::MAX, |count| count as u64), limit }),
        }
    }

    /// Values of the whole tensor.
    pub const fn count(&self) -> usize {
        self.n * self.c * self.h * self.w
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {}, {}, {}]", self.n, self.c, self.h, self.w)
    }
}

/// Strides, padding and dilation go up to here, as do the sides of maps and the images of a batch.
/// Products of two of them do not overflow.
pub(super) const LARGEST: usize = 1 << 31;

pub(super) fn below_largest(what: &str, values: [usize; 2]) -> Result<(), String> {
    match values.into_iter().find(|v| *v >= LARGEST) {
        Some(value) => Err(format!("{what} {value} is too large, {LARGEST} is the limit")),
        None => Ok(()),
    }
}
