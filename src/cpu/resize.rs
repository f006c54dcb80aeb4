//! Twin of `shaders/resize.wgsl`, up to the normalisation: that is `preprocess`'s, for a plan that runs on the CPU starts with it.

use crate::kernels::{PRECISION_BITS, ROUND, Resize, Rows, Taps};

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

/// Filters one row: `source` holds the pixels of [`Taps::sources`] and `out` takes one pixel per output, both RGB interleaved.
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
