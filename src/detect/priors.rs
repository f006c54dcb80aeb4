//! The places and sizes against which a detector says where boxes are.

/// Priors that a card may ask for.
pub(crate) const MOST: usize = 1_000_000;

/// How priors are made for an input's size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Priors {
    pub levels: Vec<Level>,
    /// Where in its cell a prior is: 0 is the corner, 0.5 the middle.
    pub offset: f32,
    /// Centres and sizes are kept on the input.
    pub clamp: bool,
    /// A cell is the input by the grid, not a stride.
    pub cells_of_grid: bool,
    /// A stride is the input by the grid, rounded down: torchvision's.
    pub stride_of_grid: bool,
}

/// A grid, and the sizes at each of its cells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Level {
    pub stride: usize,
    pub sizes: Sizes,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sizes {
    /// As many times the stride.
    Stride(usize),
    /// As many times the whole input.
    Input(usize),
    /// Widths and heights, in pixels.
    Pixels(Vec<[f32; 2]>),
}

/// One prior, in pixels of the input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prior {
    pub center: [f32; 2],
    pub size: [f32; 2],
    pub stride: f32,
}

impl Prior {
    /// A region as one: it has no stride.
    pub(crate) fn of([x1, y1, x2, y2]: [f32; 4]) -> Self {
        let size = [x2 - x1, y2 - y1];
        Self { center: [x1 + size[0] / 2.0, y1 + size[1] / 2.0], size, stride: 1.0 }
    }
}

impl Sizes {
    fn count(&self) -> usize {
        match self {
            Self::Stride(count) | Self::Input(count) => *count,
            Self::Pixels(sizes) => sizes.len(),
        }
    }

    fn at(&self, index: usize, stride: f32, [h, w]: [usize; 2]) -> [f32; 2] {
        match self {
            Self::Stride(_) => [stride; 2],
            Self::Input(_) => [w as f32, h as f32],
            Self::Pixels(sizes) => sizes[index],
        }
    }
}

impl Level {
    /// Rows and columns.
    fn grid(&self, [h, w]: [usize; 2]) -> [usize; 2] {
        [h.div_ceil(self.stride), w.div_ceil(self.stride)]
    }

    /// How many priors it has for an input of `[h, w]`.
    fn count(&self, size: [usize; 2]) -> usize {
        let [rows, columns] = self.grid(size);
        rows.saturating_mul(columns).saturating_mul(self.sizes.count())
    }
}

impl Priors {
    /// How many each level has for an input of `[h, w]`.
    pub(crate) fn counts(&self, size: [usize; 2]) -> Vec<usize> {
        self.levels.iter().map(|level| level.count(size)).collect()
    }

    /// All of them, by level, row, column and place in a cell.
    #[cfg(any(not(target_arch = "wasm32"), feature = "web_detect"))]
    pub(crate) fn all(&self, size: [usize; 2]) -> Vec<Prior> {
        (0..self.counts(size).iter().sum()).map(|at| self.at(at, size)).collect()
    }

    /// One of them, by its place among all.
    pub(crate) fn at(&self, mut at: usize, size: [usize; 2]) -> Prior {
        for level in &self.levels {
            let count = level.count(size);
            if at < count {
                return self.of_level(level, at, size);
            }
            at -= count;
        }
        unreachable!("there are as many candidates as priors")
    }

    /// One of a level, by its place in it.
    fn of_level(&self, level: &Level, at: usize, size: [usize; 2]) -> Prior {
        let [h, w] = size.map(|side| side as f32);
        let [rows, columns] = level.grid(size);
        let stride = level.stride as f32;
        let cell = match level.stride {
            _ if self.stride_of_grid => [(size[1] / columns) as f32, (size[0] / rows) as f32],
            _ if self.cells_of_grid => [w / columns as f32, h / rows as f32],
            _ => [stride; 2],
        };
        let (place, index) = (at / level.sizes.count(), at % level.sizes.count());
        let (x, y) = (place % columns, place / columns);
        let mut center = [(x as f32 + self.offset) * cell[0], (y as f32 + self.offset) * cell[1]];
        let mut size = level.sizes.at(index, stride, size);
        if self.clamp {
            center = [center[0].clamp(0.0, w), center[1].clamp(0.0, h)];
            size = [size[0].clamp(0.0, w), size[1].clamp(0.0, h)];
        }
        Prior { center, size, stride }
    }
}
