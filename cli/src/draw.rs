//! Draws detections on a picture: boxes, labels and points.

use anyhow::{Context as _, Result};
use ghostnet::{
    Detection, Error,
    image::{DynamicImage, ImageFormat, Rgb, RgbImage},
};
use std::{
    io::{self, Cursor},
    path::Path,
};

/// Rows and columns of a glyph, without the gap to the next.
const GLYPH: [usize; 2] = [7, 5];

/// ASCII from the space on: 35 bits a glyph, the upper left one highest, row by row.
#[rustfmt::skip]
const FONT: [u64; 95] = [
    0x000000000, 0x108421004, 0x294a00000, 0x2bea57d40, 0x11f4717c4, 0x674222173, 0x32544564d, 0x108000000,
    0x088421082, 0x208421088, 0x009575480, 0x0084f9080, 0x000003088, 0x0000f8000, 0x00000018c, 0x042222210,
    0x3a33ae62e, 0x11842108e, 0x3a211111f, 0x7c441062e, 0x08ca97c42, 0x7e1e0862e, 0x1910f462e, 0x7c2222108,
    0x3a317462e, 0x3a317844c, 0x018c03180, 0x018c03088, 0x088882082, 0x001f07c00, 0x208208888, 0x3a2111004,
    0x3a216d6ae, 0x3a31fc631, 0x7a31f463e, 0x3a308422e, 0x72518c65c, 0x7e10f421f, 0x7e10f4210, 0x3a30bc62f,
    0x4631fc631, 0x38842108e, 0x1c4210a4c, 0x4654c5251, 0x42108421f, 0x4775ac631, 0x4639ace31, 0x3a318c62e,
    0x7a31f4210, 0x3a318d64d, 0x7a31f5251, 0x3e107043e, 0x7c8421084, 0x46318c62e, 0x46318c544, 0x4631ad771,
    0x462a22a31, 0x462a21084, 0x7c222221f, 0x188421086, 0x420820821, 0x30842108c, 0x115100000, 0x00000001f,
    0x208000000, 0x000e0be2f, 0x421e8c63e, 0x000e8422e, 0x042f8c62f, 0x000e8fe0e, 0x191c42108, 0x000f8bc2e,
    0x421e8c631, 0x100c2108e, 0x080610a4c, 0x4212a6292, 0x30842108e, 0x001aad6b5, 0x001e8c631, 0x000e8c62e,
    0x001e8fa10, 0x000f8bc21, 0x0016c4210, 0x000f8383e, 0x211c42126, 0x00118c66d, 0x00118c544, 0x0015ad6aa,
    0x001151151, 0x00118bc2e, 0x001f1111f, 0x088441082, 0x108421084, 0x208411088, 0x0008a8800,
];

/// A class's colour: these, in turn. Each has a label's black text readable on it.
const COLOURS: [[u8; 3]; 8] =
    [[255, 99, 88], [80, 200, 120], [110, 170, 255], [255, 200, 60], [240, 130, 240], [70, 210, 210], [255, 160, 90], [180, 220, 90]];

const BLACK: [u8; 3] = [0; 3];
const LANDMARK: [u8; 3] = [60, 255, 140];

/// A picture that is drawn on, with lines and letters as thick as suits its size.
struct Canvas {
    picture: RgbImage,
    unit: i64,
}

impl Canvas {
    fn fill(&mut self, [x1, y1, x2, y2]: [i64; 4], colour: [u8; 3]) {
        let bound = |v: i64, end: u32| v.clamp(0, end.into()) as u32;
        for y in bound(y1, self.picture.height())..bound(y2, self.picture.height()) {
            for x in bound(x1, self.picture.width())..bound(x2, self.picture.width()) {
                self.picture.put_pixel(x, y, Rgb(colour));
            }
        }
    }

    /// The edges of a rectangle, `width` thick, within it.
    fn frame(&mut self, [x1, y1, x2, y2]: [i64; 4], width: i64, colour: [u8; 3]) {
        self.fill([x1, y1, x2, (y1 + width).min(y2)], colour);
        self.fill([x1, (y2 - width).max(y1), x2, y2], colour);
        self.fill([x1, y1, (x1 + width).min(x2), y2], colour);
        self.fill([(x2 - width).max(x1), y1, x2, y2], colour);
    }

    /// A dot with a dark rim, which is seen on any ground.
    fn dot(&mut self, [x, y]: [f32; 2], radius: i64, colour: [u8; 3]) {
        let (x, y) = (x as i64, y as i64);
        self.fill([x - radius - 1, y - radius - 1, x + radius + 2, y + radius + 2], BLACK);
        self.fill([x - radius, y - radius, x + radius + 1, y + radius + 1], colour);
    }

    /// A line of text, black on a colour, with its lower left corner there, or on the picture.
    fn label(&mut self, [x, y]: [i64; 2], text: &str, colour: [u8; 3]) {
        let [high, wide] = GLYPH.map(|side| side as i64);
        let advance = (wide + 1) * self.unit;
        let [width, height] = [text.chars().count() as i64 * advance + 3 * self.unit, (high + 4) * self.unit];
        let x = x.min(i64::from(self.picture.width()) - width).max(0);
        let y = y.max(height);
        self.fill([x, y - height, x + width, y], colour);
        for (at, letter) in text.chars().enumerate() {
            // What is not ASCII has no glyph.
            let glyph = (letter as usize).checked_sub(32).and_then(|at| FONT.get(at)).unwrap_or(&FONT['?' as usize - 32]);
            let left = x + 2 * self.unit + at as i64 * advance;
            for bit in (0..GLYPH[0] * GLYPH[1]).filter(|bit| glyph >> (34 - bit) & 1 == 1) {
                let [row, column] = [bit / GLYPH[1], bit % GLYPH[1]].map(|v| v as i64 * self.unit);
                let (px, py) = (left + column, y - height + 2 * self.unit + row);
                self.fill([px, py, px + self.unit, py + self.unit], BLACK);
            }
        }
    }
}

/// The picture with what was found in it; `landmarks` are those of each detection.
pub fn drawn(image: &DynamicImage, found: &[Detection], landmarks: &[Vec<[f32; 2]>]) -> RgbImage {
    let longer = image.width().max(image.height());
    let mut canvas = Canvas { picture: image.to_rgb8(), unit: i64::from(longer / 500).max(1) };
    let unit = canvas.unit;
    let colour = |detection: &Detection| COLOURS[detection.index % COLOURS.len()];
    for detection in found {
        let [x1, y1, x2, y2] = detection.corners.map(|v| v.round() as i64);
        canvas.frame([x1 - 1, y1 - 1, x2 + 1, y2 + 1], 2 * unit + 2, BLACK);
        canvas.frame([x1, y1, x2, y2], 2 * unit, colour(detection));
    }
    for point in landmarks.iter().flatten() {
        canvas.dot(*point, unit / 2, LANDMARK);
    }
    for detection in found {
        for point in &detection.points {
            canvas.dot(*point, unit, colour(detection));
        }
    }
    // The best one's label is above those of others.
    for detection in found.iter().rev() {
        let [x, y] = [detection.corners[0], detection.corners[1]].map(|v| v.round() as i64);
        canvas.label([x, y], &format!("{} {:.2}", detection.label, detection.score), colour(detection));
    }
    canvas.picture
}

/// Writes a picture as the file's ending says, whole or not at all; over one that is there only with
/// `force`.
pub fn write(path: &Path, picture: &RgbImage, force: bool) -> Result<()> {
    if !force && path.exists() {
        return Err(Error::file(path, io::ErrorKind::AlreadyExists, "is there already; --force writes over it").into());
    }
    let format = ImageFormat::from_path(path).with_context(|| format!("writing {}", path.display()))?;
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).with_context(|| format!("writing {}", path.display()))?;
    Ok(ghostnet::low_level::replace_file(path, |file| io::Write::write_all(file, bytes.get_ref()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each letter is another, and all but the space have something.
    #[test]
    fn letters_differ() {
        let mut seen = FONT.to_vec();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((seen.len(), FONT[0]), (95, 0));
        assert!(FONT.iter().all(|glyph| glyph >> 35 == 0));
    }

    #[test]
    fn labels_stay_on_the_picture() {
        for (width, height) in [(1, 1), (3, 50), (640, 480), (40, 4000)] {
            let mut canvas = Canvas { picture: RgbImage::new(width, height), unit: 1 };
            for corner in [[-5, -5], [0, 0], [10_000, 10_000], [i64::from(width), 3]] {
                canvas.label(corner, "a label é", [255; 3]);
                canvas.frame([corner[0], corner[1], 20, 20], 2, [1; 3]);
                canvas.dot([corner[0] as f32, f32::NAN], 2, [1; 3]);
            }
        }
        let mut canvas = Canvas { picture: RgbImage::new(60, 20), unit: 1 };
        canvas.label([0, 0], "I", [255; 3]);
        let dark = (0..60).flat_map(|x| (0..11).map(move |y| (x, y))).filter(|&(x, y)| x < 9 && canvas.picture.get_pixel(x, y).0 == BLACK);
        assert_eq!(dark.count(), 11, "an I of eleven pixels");
    }
}
