//! Pillow's resampling (`src/libImaging/Resample.c` of version 13), bit for bit: its weights, and
//! two passes of them on the CPU.

use crate::kernels::resize::{Problem, Rows};
use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

/// The filter with which an image is resized; both antialias as Pillow does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Interpolation {
    /// Triangle filter, support 1.
    Bilinear,
    /// Catmull-Rom-like cubic with a = -0.5, support 2.
    #[default]
    Bicubic,
}

impl Interpolation {
    /// `bilinear` or `bicubic`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        }
    }

    /// The filter of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Bilinear, Self::Bicubic].into_iter().find(|filter| filter.name() == name)
    }
}

/// How an image of one size becomes a network's input: the weights of both passes, and what of the
/// result is kept.
#[derive(Debug, Clone)]
pub struct Resize {
    source: [usize; 2],
    /// Height and width of the result.
    crop: [usize; 2],
    /// Rows and columns of black above and left of what is resized.
    margin: [usize; 2],
    vertical: Taps,
    horizontal: Taps,
    vertical_first: bool,
    /// Made where a device resizes.
    problem: OnceLock<Arc<Problem>>,
}

impl Resize {
    /// From an image of `source` to `resized`, of which the centre `crop` is cut. A crop that is
    /// larger is padded with black. All sizes are (rows, columns), none is zero.
    pub fn new(source: [usize; 2], resized: [u64; 2], crop: [usize; 2], interpolation: Interpolation) -> Self {
        let (rows, top) = crop_window(resized[0], crop[0]);
        let (columns, left) = crop_window(resized[1], crop[1]);
        Self {
            source,
            crop,
            margin: [top, left],
            vertical: Taps::new(source[0], resized[0], rows, interpolation),
            horizontal: Taps::new(source[1], resized[1], columns, interpolation),
            vertical_first: vertical_first(source, resized),
            problem: OnceLock::new(),
        }
    }

    /// Height and width of the images it is for.
    pub fn source(&self) -> [usize; 2] {
        self.source
    }

    /// Height and width of the result.
    pub fn size(&self) -> [usize; 2] {
        self.crop
    }

    /// The rows of the image that are needed.
    pub fn source_rows(&self) -> Range<usize> {
        self.vertical.sources()
    }

    /// The columns of the image that are needed.
    pub fn source_columns(&self) -> Range<usize> {
        self.horizontal.sources()
    }

    /// The same as the device's kernel needs it.
    pub fn problem(&self) -> Arc<Problem> {
        let make = || {
            Arc::new(Problem {
                source_rows: self.source_rows(),
                source_columns: self.source_columns(),
                crop: self.crop,
                across_first: !self.vertical_first,
                table: self.table(),
            })
        };
        self.problem.get_or_init(make).clone()
    }

    fn table(&self) -> Vec<i32> {
        let axes = [(&self.horizontal, self.margin[1], self.crop[1]), (&self.vertical, self.margin[0], self.crop[0])];
        let (mut table, mut weights) = (Vec::new(), Vec::<i32>::new());
        let weights_at = (self.crop[0] + self.crop[1]) * 3;
        for (taps, margin, crop) in axes {
            for i in 0..crop {
                // Starts and ends never decrease, so that a tile needs what lies between its
                // first's start and its last's end.
                let (start, of_pixel): (_, &[i32]) = match i.checked_sub(margin) {
                    None => (0, &[]),
                    Some(i) if i < taps.len() => taps.tap(i),
                    Some(_) => (taps.sources().len(), &[]),
                };
                table.extend([start, of_pixel.len(), weights_at + weights.len()].map(|v| v as i32));
                weights.extend(of_pixel);
            }
        }
        table.extend(weights);
        table
    }
}

/// Which of `resized` rows (or columns) a centred crop of `crop` takes, and where in the crop they
/// start (0 unless it pads).
fn crop_window(resized: u64, crop: usize) -> (Range<u64>, usize) {
    match (crop as u64).checked_sub(resized) {
        Some(missing) => (0..resized, (missing / 2) as usize),
        None => {
            let start = ((resized - crop as u64) as f64 / 2.0).round_ties_even() as u64;
            (start..start + crop as u64, 0)
        }
    }
}

/// Whether Pillow makes the vertical pass of a resize of `[h, w]` first. The order shows in
/// high-contrast noise, as 8 bits are kept in between.
///
/// Pillow does so from version 13 on (python-pillow/Pillow#9549), for tall images, and never
/// before. The rule is the one that fits random resizes of Pillow 13.0.0.
fn vertical_first([h, w]: [usize; 2], [resized_h, resized_w]: [u64; 2]) -> bool {
    let (down, across) = (h as i64 - resized_h as i64, w as i64 - resized_w as i64);
    down > 0 && down > 2 * across
}

/// Bits after the point of a weight, as in Pillow: 32 less 8 for the pixel and 2 for overshoot.
const PRECISION_BITS: u32 = 32 - 8 - 2;
const ROUND: i32 = 1 << (PRECISION_BITS - 1);

/// The weights with which source pixels make each output pixel along one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taps {
    /// First source pixel that any output needs.
    origin: usize,
    /// One past the last source pixel that any output needs.
    end: usize,
    /// First source pixel of each output, counted from `origin`, and where its weights start and
    /// end.
    spans: Vec<(usize, Range<usize>)>,
    weights: Vec<i32>,
}

impl Taps {
    /// Weights for the outputs `window` of a resize from `from` to `to` pixels: Pillow's
    /// `precompute_coeffs`, in its order of operations. Another order rounds some weights the other
    /// way.
    fn new(from: usize, to: u64, window: Range<u64>, interpolation: Interpolation) -> Self {
        let (filter, support): (fn(f64) -> f64, f64) = match interpolation {
            Interpolation::Bilinear => (triangle, 1.0),
            Interpolation::Bicubic => (cubic, 2.0),
        };
        let scale = from as f64 / to as f64;
        let filter_scale = scale.max(1.0);
        let support = support * filter_scale;
        let inverse = 1.0 / filter_scale;
        let (mut spans, mut weights, mut reals) = (Vec::new(), Vec::new(), Vec::new());
        for x in window {
            let center = (x as f64 + 0.5) * scale;
            let start = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            reals.clear();
            reals.extend((start..end).map(|i| filter((i as f64 - center + 0.5) * inverse)));
            let sum: f64 = reals.iter().sum();
            let first = weights.len();
            weights.extend(reals.iter().map(|&w| {
                let w = w / sum * f64::from(1 << PRECISION_BITS);
                (w + 0.5f64.copysign(w)) as i32
            }));
            spans.push((start, first..weights.len()));
        }
        let origin = spans.iter().map(|(start, _)| *start).min().unwrap_or(0);
        let end = spans.iter().map(|(start, weights)| start + weights.len()).max().unwrap_or(0);
        spans.iter_mut().for_each(|(start, _)| *start -= origin);
        Self { origin, end, spans, weights }
    }

    /// Number of outputs.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The source pixels that are needed.
    pub(crate) fn sources(&self) -> Range<usize> {
        self.origin..self.end
    }

    /// First source pixel of output `i`, counted from the start of [`Taps::sources`], and the
    /// weights from there on.
    pub(crate) fn tap(&self, i: usize) -> (usize, &[i32]) {
        let (start, weights) = &self.spans[i];
        (*start, &self.weights[weights.clone()])
    }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic, a = -0.5 (`bicubic_filter` of Pillow's Resample.c).
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// The image resized and cropped: RGB8, interleaved, [`Resize::size`] rows and columns.
pub(crate) fn resize(resize: &Resize, image: &dyn Rows) -> Vec<u8> {
    let Resize { crop: [crop_h, crop_w], margin: [top, left], vertical, horizontal, vertical_first, .. } = resize;
    let stride = horizontal.len() * 3;
    let (source_rows, source_columns) = (resize.source_rows(), resize.source_columns());
    let mut scratch = Vec::new();
    let mut pixels = vec![0; crop_h * crop_w * 3];
    let out_row = |i: usize| ((top + i) * crop_w + left) * 3..((top + i) * crop_w + left) * 3 + stride;
    if *vertical_first {
        let mut row = vec![0; source_columns.len() * 3];
        let mut sums = vec![0; row.len()];
        for i in 0..vertical.len() {
            let (start, weights) = vertical.tap(i);
            sums.fill(ROUND);
            for (y, &weight) in (source_rows.start + start..).zip(weights) {
                add_row(&mut sums, image.row(y, source_columns.clone(), &mut scratch), weight);
            }
            clip_row(&sums, &mut row);
            filter_row(horizontal, &row, &mut pixels[out_row(i)]);
        }
    } else {
        let mut narrow = vec![0; source_rows.len() * stride];
        for (y, out) in source_rows.zip(narrow.chunks_exact_mut(stride)) {
            filter_row(horizontal, image.row(y, source_columns.clone(), &mut scratch), out);
        }
        let mut sums = vec![0; stride];
        for i in 0..vertical.len() {
            let (start, weights) = vertical.tap(i);
            sums.fill(ROUND);
            for (row, &weight) in narrow[start * stride..].chunks_exact(stride).zip(weights) {
                add_row(&mut sums, row, weight);
            }
            clip_row(&sums, &mut pixels[out_row(i)]);
        }
    }
    pixels
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

fn add_row(sums: &mut [i32], row: &[u8], weight: i32) {
    for (sum, &v) in sums.iter_mut().zip(row) {
        *sum += i32::from(v) * weight;
    }
}

fn clip_row(sums: &[i32], out: &mut [u8]) {
    for (out, &sum) in out.iter_mut().zip(sums) {
        *out = clip(sum);
    }
}

/// Filters one row: `source` holds the pixels of [`Taps::sources`] and `out` takes one pixel per
/// output, both RGB interleaved.
fn filter_row(taps: &Taps, source: &[u8], out: &mut [u8]) {
    let (source, _) = source.as_chunks::<3>();
    let (out, _) = out.as_chunks_mut::<3>();
    for (i, out) in out.iter_mut().enumerate() {
        let (start, weights) = taps.tap(i);
        let [mut r, mut g, mut b] = [ROUND; 3];
        for (pixel, &weight) in source[start..].iter().zip(weights) {
            r += i32::from(pixel[0]) * weight;
            g += i32::from(pixel[1]) * weight;
            b += i32::from(pixel[2]) * weight;
        }
        *out = [clip(r), clip(g), clip(b)];
    }
}
