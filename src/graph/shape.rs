//! The shape of a tensor: images, channels, rows, columns.

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
