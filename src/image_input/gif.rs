//! What a GIF file's first frame is and where it lies, before it is decoded.

use std::{borrow::Cow, ops::Range};

/// The first frame of a file.
pub(super) struct Frame {
    /// Columns and rows of the logical screen.
    screen: [usize; 2],
    /// Columns and rows of the screen that the frame covers.
    columns: Range<usize>,
    rows: Range<usize>,
    /// What Pillow shows beside the frame: the transparent colour, else the palette's first.
    beside: [u8; 3],
}

impl Frame {
    /// Reads the blocks before the first frame; `None` of a file that ends before it.
    pub(super) fn first(bytes: &[u8]) -> Option<Self> {
        let two = |at: usize| Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
        let palette = |flags: u8, at: usize| {
            let count = if flags & 0x80 == 0 { 0 } else { 2 << (flags & 7) };
            bytes.get(at..at + 3 * count)
        };
        let screen = [two(6)?, two(8)?];
        let colours = palette(*bytes.get(10)?, 13)?;
        let mut transparent = None;
        let mut at = 13 + colours.len();
        loop {
            match bytes.get(at)? {
                0x21 => {
                    // The graphic control extension may make an index transparent.
                    if let [0xf9, 4, flags, _, _, index, ..] = bytes.get(at + 1..)?
                        && flags & 1 == 1
                    {
                        transparent = Some(usize::from(*index));
                    }
                    at += 2;
                    while *bytes.get(at)? > 0 {
                        at += usize::from(bytes[at]) + 1;
                    }
                    at += 1;
                }
                0x2c => break,
                _ => return None,
            }
        }
        let [left, top, width, height] = [two(at + 1)?, two(at + 3)?, two(at + 5)?, two(at + 7)?];
        let own = palette(*bytes.get(at + 9)?, at + 10)?;
        let colours = if own.is_empty() { colours } else { own };
        let beside = colours.as_chunks().0.get(transparent.unwrap_or(0)).copied().unwrap_or([0; 3]);
        Some(Self { screen, columns: left..left + width, rows: top..top + height, beside })
    }

    /// Columns and rows of the screen, which grows to hold the frame, as in Pillow and in browsers.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.screen[0].max(self.columns.end), self.screen[1].max(self.rows.end)]
    }

    /// The file with a screen that holds the frame.
    pub(super) fn on_its_screen<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let size = self.size();
        if size == self.screen || self.screen.contains(&0) {
            return bytes.into();
        }
        let mut bytes = bytes.to_vec();
        // A side beyond 16 bits is cut, and the frame with it.
        for (field, side) in bytes[6..10].as_chunks_mut().0.iter_mut().zip(size) {
            *field = u16::try_from(side).unwrap_or(u16::MAX).to_le_bytes();
        }
        bytes.into()
    }

    /// Gives what lies beside the frame its colour.
    pub(super) fn fill_beside(&self, image: &mut image::RgbaImage) {
        let [r, g, b] = self.beside;
        let is_covered = self.columns.start == 0 && self.rows.start == 0 && [self.columns.end, self.rows.end] == self.size();
        if is_covered {
            return;
        }
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            if !(self.columns.contains(&(x as usize)) && self.rows.contains(&(y as usize))) {
                pixel.0 = [r, g, b, 0];
            }
        }
    }
}
