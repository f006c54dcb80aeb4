//! Samples a window of a picture, bilinearly, to a network's input of floats: for detectors, which
//! were trained on that. The classifiers' resize is Pillow's, with antialiasing and 8 bits between.

use super::Rows;
#[cfg(any(not(target_arch = "wasm32"), feature = "web_detect"))]
use crate::kernels::sample::{Problem, Tap as TableTap};
use crate::{
    Result,
    block::{Block, add, multiply, splat},
    cpu,
    parallel::*,
};
use std::ops::Range;

/// How a picture becomes a detector's input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sampling {
    /// The input's name.
    pub name: String,
    /// The tensor is `[1, h, w, 3]`, not `[1, 3, h, w]`.
    pub is_nhwc: bool,
    /// Its channels are blue, green and red.
    pub is_bgr: bool,
    /// Of each of the tensor's channels, of values in 0 ..= 255.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub fit: Fit,
    /// What stands beside the picture: red, green and blue, 0 ..= 255.
    pub pad: [f32; 3],
}

/// What of the picture the input shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fit {
    /// All of it, each side scaled for itself to `[h, w]`.
    Stretch([usize; 2]),
    /// All of it, in the middle.
    Letterbox([usize; 2]),
    /// All of it, at the upper left.
    Corner([usize; 2]),
    /// All of it as it is, with sides that are multiples of this.
    Multiple(usize),
    /// All of it at the upper left, scaled until its shorter side is as long as the first or its
    /// longer one as the second; the input's sides are multiples of the third. torchvision's.
    Sides([usize; 3]),
    /// A part, on `[h, w]`.
    Region([usize; 2]),
}

impl Fit {
    /// Rows and columns of the input, where they do not depend on the picture.
    pub(crate) fn size(self) -> Option<[usize; 2]> {
        match self {
            Self::Stretch(size) | Self::Letterbox(size) | Self::Corner(size) | Self::Region(size) => Some(size),
            Self::Multiple(_) | Self::Sides(_) => None,
        }
    }

    /// What the input shows of a picture of `[h, w]`; of a region nothing can be said.
    pub(crate) fn window(self, picture: [usize; 2]) -> Window {
        let [high, wide] = picture.map(|side| side as f32);
        let same = |[h, w]: [usize; 2]| (wide / w as f32).max(high / h as f32);
        match self {
            Self::Multiple(of) => Window { origin: [0.0; 2], scale: [1.0; 2], size: picture.map(|side| side.next_multiple_of(of)) },
            Self::Sides([short, long, of]) => {
                // In f64, as torchvision's: 451 pixels that become 256 would be 255 otherwise.
                let [shorter, longer] = [picture[0].min(picture[1]), picture[0].max(picture[1])].map(|side| side as f64);
                let scale = (short as f64 / shorter).min(long as f64 / longer);
                let shown = picture.map(|side| ((side as f64 * scale) as usize).max(1));
                let scale = [wide / shown[1] as f32, high / shown[0] as f32];
                Window { origin: [0.0; 2], scale, size: shown.map(|side| side.next_multiple_of(of)) }
            }
            Self::Corner(size) => Window { origin: [0.0; 2], scale: [same(size); 2], size },
            Self::Letterbox(size @ [h, w]) => {
                let scale = same(size);
                Window { origin: [(wide - w as f32 * scale) / 2.0, (high - h as f32 * scale) / 2.0], scale: [scale; 2], size }
            }
            Self::Stretch(size @ [h, w]) | Self::Region(size @ [h, w]) => {
                Window { origin: [0.0; 2], scale: [wide / w as f32, high / h as f32], size }
            }
        }
    }
}

/// A rectangle of a picture, as the input shows it. It may reach beyond the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    /// Its upper left corner, x and y, in pixels of the picture.
    pub origin: [f32; 2],
    /// The picture's pixels for one of the input, x and y.
    pub scale: [f32; 2],
    /// The input's rows and columns.
    pub size: [usize; 2],
}

impl Window {
    /// A point of the input in the picture.
    pub(crate) fn of_picture(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        [x * self.scale[0] + self.origin[0], y * self.scale[1] + self.origin[1]]
    }
}

/// Two pixels of a row or column and the second one's share; `None` outside of the picture.
type Tap = Option<(usize, usize, f32)>;

/// Where along an axis of `length` pixels each of `count` samples is.
fn taps(count: usize, origin: f32, scale: f32, length: usize) -> Vec<Tap> {
    let tap = |at: usize| {
        let from_edge = origin + (at as f32 + 0.5) * scale;
        if !(0.0..=length as f32).contains(&from_edge) {
            return None;
        }
        // Between the last pixel's middle and the edge its value is repeated.
        let place = (from_edge - 0.5).clamp(0.0, (length - 1) as f32);
        let first = place as usize;
        Some((first, (first + 1).min(length - 1), place - first as f32))
    };
    (0..count).map(tap).collect()
}

/// The pixels along an axis that taps read; the first one where they read none, for there is no
/// empty texture.
fn needed<'a>(taps: impl Iterator<Item = &'a Tap>) -> Range<usize> {
    let wider = |range: Option<Range<usize>>, &(first, second, _): &(usize, usize, f32)| match range {
        Some(range) => Some(range.start.min(first)..range.end.max(second + 1)),
        None => Some(first..second + 1),
    };
    taps.flatten().fold(None, wider).unwrap_or(0..1)
}

impl Sampling {
    /// The input's shape for a window.
    pub(crate) fn shape(&self, [h, w]: [usize; 2]) -> [usize; 4] {
        if self.is_nhwc { [1, h, w, 3] } else { [1, 3, h, w] }
    }

    /// The values of an input of black, of white, and beside the picture.
    #[cfg(any(not(target_arch = "wasm32"), feature = "web_detect"))]
    pub(crate) fn extremes(&self) -> [[f32; 3]; 3] {
        [[0.0; 3], [255.0; 3], self.pad].map(|pixel| self.normalised(pixel))
    }

    /// A pixel, red, green and blue, as the tensor's channels hold it.
    fn normalised(&self, [r, g, b]: [f32; 3]) -> [f32; 3] {
        let (mean, std) = (self.mean, self.std);
        let pixel = if self.is_bgr { [b, g, r] } else { [r, g, b] };
        [(pixel[0] - mean[0]) / std[0], (pixel[1] - mean[1]) / std[1], (pixel[2] - mean[2]) / std[2]]
    }

    /// How a device samples windows of one size, of a picture of `picture` rows and columns: what
    /// [`Sampling::tensor`] gives of each.
    #[cfg(any(not(target_arch = "wasm32"), feature = "web_detect"))]
    pub(crate) fn problem(&self, picture: [usize; 2], windows: &[Window]) -> Problem {
        let size @ [h, w] = windows.first().map_or([0; 2], |window| window.size);
        let along = |axis: usize| -> Vec<Vec<Tap>> {
            let of = |window: &Window| taps([w, h][axis], window.origin[axis], window.scale[axis], picture[1 - axis]);
            windows.iter().map(of).collect()
        };
        let (columns, rows) = (along(0), along(1));
        let [source_columns, source_rows] = [&columns, &rows].map(|taps| needed(taps.iter().flatten()));
        let of = |taps: &[Tap], first: usize, table: &mut Vec<TableTap>| {
            table.extend(taps.iter().map(|tap| match *tap {
                Some((a, b, share)) => TableTap { first: (a - first) as u32, second: (b - first) as u32, share },
                None => TableTap::NONE,
            }));
        };
        let mut table = Vec::with_capacity(windows.len() * (h + w));
        for (columns, rows) in columns.iter().zip(&rows) {
            of(columns, source_columns.start, &mut table);
            of(rows, source_rows.start, &mut table);
        }
        let Self { is_nhwc, is_bgr, mean, std, pad, .. } = *self;
        Problem { source_rows, source_columns, size, is_nhwc, is_bgr, mean, std, pad, taps: table }
    }

    /// The input's values, of a picture of `picture` rows and columns in memory.
    pub(crate) fn tensor(&self, pixels: &dyn Rows, picture: [usize; 2], window: &Window) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        self.sample(pixels, picture, window, &mut out)?;
        Ok(out)
    }

    /// As [`Sampling::tensor`], in the place of what `out` holds.
    pub(crate) fn sample(&self, pixels: &dyn Rows, picture: [usize; 2], window: &Window, out: &mut Vec<f32>) -> Result<()> {
        let [h, w] = window.size;
        let lines = Lines::new(self, pixels, picture, window);
        cpu::empty(out, "a detector's input", h * w * 3)?;
        out.resize(h * w * 3, 0.0f32);
        if self.is_nhwc {
            with_threads(|| {
                out.par_chunks_mut(w * 3).enumerate().for_each(|(y, to)| {
                    let to = to.as_chunks_mut::<3>().0;
                    lines.sample(y, &mut |x, pixel| to[x] = pixel);
                })
            });
        } else {
            let (red, rest) = out.split_at_mut(h * w);
            let (green, blue) = rest.split_at_mut(h * w);
            let planes = red.par_chunks_mut(w).zip(green.par_chunks_mut(w)).zip(blue.par_chunks_mut(w));
            with_threads(|| {
                planes.enumerate().for_each(|(y, ((red, green), blue))| {
                    lines.sample(y, &mut |x, pixel| [red[x], green[x], blue[x]] = pixel);
                })
            });
        }
        Ok(())
    }
}

/// The rows of an input, each sampled by itself.
struct Lines<'a> {
    sampling: &'a Sampling,
    pixels: &'a dyn Rows,
    rows: Vec<Tap>,
    columns: Vec<Tap>,
    /// The columns of the picture that any sample needs.
    source: Range<usize>,
}

impl<'a> Lines<'a> {
    fn new(sampling: &'a Sampling, pixels: &'a dyn Rows, picture: [usize; 2], window: &Window) -> Self {
        let along = |axis: usize| taps(window.size[1 - axis], window.origin[axis], window.scale[axis], picture[1 - axis]);
        let (columns, rows) = (along(0), along(1));
        let source = needed(columns.iter());
        Self { sampling, pixels, rows, columns, source }
    }

    /// Gives `put` every pixel of row `y`, normalised, in the tensor's order of channels.
    fn sample(&self, y: usize, put: &mut dyn FnMut(usize, [f32; 3])) {
        let beyond = self.sampling.normalised(self.sampling.pad);
        let Some((upper, lower, down)) = self.rows[y] else { return (0..self.columns.len()).for_each(|x| put(x, beyond)) };
        let (mut above, mut below) = Default::default();
        let (upper, step) = self.pixels.texels(upper, self.source.clone(), &mut above);
        let (lower, _) = self.pixels.texels(lower, self.source.clone(), &mut below);
        for (x, tap) in self.columns.iter().enumerate() {
            let Some((left, right, share)) = *tap else {
                put(x, beyond);
                continue;
            };
            let (left, right) = ((left - self.source.start) * step, (right - self.source.start) * step);
            let upper = mixed(texel(upper, left), texel(upper, right), share);
            let lower = mixed(texel(lower, left), texel(lower, right), share);
            let [r, g, b, _] = mixed(upper, lower, down);
            put(x, self.sampling.normalised([r, g, b]));
        }
    }
}

/// Red, green and blue of the pixel whose bytes begin at `at`.
#[inline(always)]
fn texel(bytes: &[u8], at: usize) -> Block {
    let &[r, g, b] = bytes[at..].first_chunk().expect("a pixel has three bytes");
    [f32::from(r), f32::from(g), f32::from(b), 0.0]
}

/// Between two pixels, at the second one's share.
#[inline(always)]
fn mixed(a: Block, b: Block, share: f32) -> Block {
    add(multiply(a, splat(1.0 - share)), multiply(b, splat(share)))
}
