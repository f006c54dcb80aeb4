//! Decoding and preprocessing against Pillow and timm. `tools/make_image_fixtures.py` makes the
//! files and expected values, and names the versions it ran on.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use ghostnet::image_input::{CropMode, Interpolation, Preprocess, decode_bytes, decode_file, with_file};
use image::{DynamicImage, GenericImageView, ImageFormat, RgbImage};
use proptest::prelude::*;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/images").join(name)
}

fn read(name: &str) -> Vec<u8> {
    fs::read(data(name)).unwrap()
}

fn decode(name: &str) -> DynamicImage {
    decode_file(&data(name)).unwrap()
}

/// The line that a user sees for these bytes.
fn refusal(bytes: &[u8]) -> String {
    let message = decode_bytes(Path::new("x.jpg"), bytes).expect_err("must be refused").to_string();
    assert!(!message.contains('\n') && message.starts_with("x.jpg: "), "{message}");
    message
}

/// Decoded pixels as the network sees them before any resize.
fn rgb(image: &DynamicImage) -> RgbImage {
    let size = [image.height() as usize, image.width() as usize];
    Preprocess::default().size(size).crop_pct(1.0).resize_and_crop(image).unwrap()
}

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |value, &byte| (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

/// Largest and mean absolute difference of two images, in levels of 0 ..= 255.
fn difference(a: &RgbImage, b: &RgbImage) -> (u8, f64) {
    assert_eq!(a.dimensions(), b.dimensions());
    let differences = || a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| a.abs_diff(*b));
    (differences().max().unwrap(), differences().map(f64::from).sum::<f64>() / a.as_raw().len() as f64)
}

/// `generated` of the script.
fn generated(name: &str) -> DynamicImage {
    let (kind, size) = name.split_once('-').unwrap();
    let (w, h) = size.split_once('x').unwrap();
    let (w, h): (u32, u32) = (w.parse().unwrap(), h.parse().unwrap());
    let value = |i: u64| {
        let v = ((i * 2_654_435_761 + (i >> 7) * 40_503) % (1 << 32)) >> 19;
        if kind == "noise" { v as u8 } else { (v % 2 * 255) as u8 }
    };
    DynamicImage::ImageRgb8(RgbImage::from_raw(w, h, (0..u64::from(w) * u64::from(h) * 3).map(value).collect()).unwrap())
}

fn preprocess(h: &str, w: &str, filter: &str, crop_pct: &str) -> Preprocess {
    Preprocess::default()
        .size([h.parse().unwrap(), w.parse().unwrap()])
        .interpolation(if filter == "bicubic" { Interpolation::Bicubic } else { Interpolation::Bilinear })
        .crop_pct(crop_pct.parse().unwrap())
}

/// A PNG or BMP header that claims a size, with next to nothing behind it.
fn claims(format: ImageFormat, w: u32, h: u32) -> Vec<u8> {
    let mut bytes = fs::read(data(if format == ImageFormat::Png { "grey.png" } else { "photo.bmp" })).unwrap();
    if format == ImageFormat::Png {
        bytes[16..20].copy_from_slice(&w.to_be_bytes());
        bytes[20..24].copy_from_slice(&h.to_be_bytes());
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    } else {
        bytes[18..22].copy_from_slice(&w.to_le_bytes());
        bytes[22..26].copy_from_slice(&h.to_le_bytes());
    }
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0u32, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 }))
}

#[test]
fn lossless_files_decode_to_pillows_pixels() {
    for line in fs::read_to_string(data("decoded.txt")).unwrap().lines() {
        let [name, w, h, hash] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let image = rgb(&decode(name));
        assert_eq!(image.dimensions(), (w.parse().unwrap(), h.parse().unwrap()), "{name}");
        assert_eq!(format!("{:016x}", fnv(image.as_raw())), hash, "{name}");
    }
}

/// Decoders differ in their inverse DCT and in how they upsample colour. So a largest and a mean
/// difference to libjpeg-turbo and libwebp are allowed.
#[test]
fn lossy_files_decode_close_to_pillow() {
    let mut names: Vec<_> = fs::read_dir(data("decoded")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 15);
    for expected in names {
        let name = expected.strip_suffix(".png").unwrap();
        let (max, mean) = difference(&rgb(&decode(name)), &decode(&format!("decoded/{expected}")).to_rgb8());
        println!("{name}: largest {max}, mean {mean:.3}");
        assert!(max <= 4 && mean <= 0.5, "{name}: largest {max}, mean {mean:.3}");
    }
}

#[test]
fn every_exif_orientation_is_applied() {
    let upright = rgb(&decode("orientation_1.jpg"));
    for k in 1..=8 {
        let image = rgb(&decode(&format!("orientation_{k}.jpg")));
        let (w, h) = upright.dimensions();
        assert_eq!(image.dimensions(), if k < 5 { (w, h) } else { (h, w) });
        for (x, y, pixel) in upright.enumerate_pixels() {
            // Where EXIF 2.32, table 6, puts the stored pixel (x, y).
            let (x, y) = match k {
                1 => (x, y),
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (h - 1 - y, x),
                7 => (h - 1 - y, w - 1 - x),
                _ => (y, w - 1 - x),
            };
            assert_eq!(image.get_pixel(x, y), pixel, "orientation {k}");
        }
    }
}

#[test]
fn resize_and_crop_equals_timm() {
    let mut count = 0;
    for line in fs::read_to_string(data("resized.txt")).unwrap().lines() {
        let [name, h, w, filter, crop_pct, hash] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let image = if name.contains('.') { decode(name) } else { generated(name) };
        let out = preprocess(h, w, filter, crop_pct).resize_and_crop(&image).unwrap();
        assert_eq!((out.height(), out.width()), (h.parse().unwrap(), w.parse().unwrap()));
        assert_eq!(format!("{:016x}", fnv(out.as_raw())), hash, "{line}");
        count += 1;
    }
    assert_eq!(count, 290);
}

/// The same as the hashes say, for a few images whose pixels are stored: here a difference has a
/// size.
#[test]
fn stored_pixels_equal_timm() {
    let mut count = 0;
    for file in fs::read_dir(data("resized")).unwrap() {
        let path = file.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let [name, h, w, filter, crop_pct] = stem.split('_').collect::<Vec<_>>()[..] else { panic!("{stem}") };
        let out = preprocess(h, w, filter, crop_pct).resize_and_crop(&decode(&format!("{name}.png"))).unwrap();
        assert_eq!(difference(&out, &decode_file(&path).unwrap().to_rgb8()).0, 0, "{stem}");
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn tensor_equals_timm_to_the_bit() {
    let expected: Vec<f32> = read("tensor_32.f32").chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let tensor = preprocess("32", "32", "bicubic", "1.0").tensor(&decode("photo.png")).unwrap();
    assert_eq!(tensor, expected);
}

#[test]
fn format_is_told_by_content() {
    let image = decode_bytes(Path::new("really_a_png.jpg"), &read("photo.png")).unwrap();
    assert_eq!(image, decode("photo.png"));
}

#[test]
fn what_is_no_image_is_named() {
    for (bytes, looks_like) in [
        (&b"hello, I am a text\n"[..], "text"),
        ("größer".as_bytes(), "text"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><title>404</title>", "HTML"),
        (b"<svg xmlns=''/>", "SVG"),
        (b"%PDF-1.7\n\x80", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "Avif"),
        (b"II*\0\x08\0\0\0", "Tiff"),
        (&[0x1F, 0x8B, 8, 0], "archive"),
        (&[0; 100], "binary data"),
    ] {
        let message = refusal(bytes);
        assert!(message.starts_with("x.jpg: not an image of a known format (JPEG, PNG, WebP, BMP, GIF): looks like "), "{message}");
        assert!(message.contains(looks_like), "{message}");
    }
    assert_eq!(refusal(b""), "x.jpg: is empty");
}

#[test]
fn unreadable_paths_are_refused() {
    assert!(decode_file(&data("none.png")).unwrap_err().to_string().ends_with("none.png: no such file"));
    assert!(decode_file(&data("")).unwrap_err().to_string().ends_with(": is a directory, not an image"));
}

#[test]
fn cut_off_files_are_refused() {
    for name in
        ["photo.jpg", "progressive.jpg", "cmyk.jpg", "photo.png", "palette.png", "lossy.webp", "lossless.webp", "photo.bmp", "photo.gif"]
    {
        let bytes = read(name);
        for keep in [4, 13, 30, 100, bytes.len() / 4, bytes.len() / 2, bytes.len() * 3 / 4, bytes.len() * 9 / 10] {
            let message = refusal(&bytes[..keep]);
            println!("{name} {keep}: {message}");
        }
    }
    // An end marker inside a thumbnail is not the photo's.
    let photo = read("photo.jpg");
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xE1, 0, 8, 1, 2, 0xFF, 0xD9, 5, 6];
    bytes.extend(&photo[2..]);
    assert!(decode_bytes(Path::new("x"), &bytes).is_ok());
    bytes.truncate(bytes.len() / 2);
    assert!(refusal(&bytes).contains("ends before the image does"));
}

#[test]
fn a_jpeg_that_lacks_only_its_end_marker_is_whole() {
    for name in ["photo.jpg", "subsampled.jpg", "progressive.jpg", "grey.jpg"] {
        let bytes = read(name);
        let whole = decode(name);
        let unmarked = bytes.strip_suffix(&[0xFF, 0xD9]).unwrap();
        for zeros in [0, 1, 5000] {
            let padded = [unmarked, &vec![0; zeros]].concat();
            assert_eq!(decode_bytes(Path::new(name), &padded).unwrap(), whole, "{name} and {zeros} zeros");
            // The last rows are missing, whatever stands there.
            let cut = [&unmarked[..unmarked.len() - 20], &vec![0; zeros]].concat();
            assert!(refusal(&cut).contains("ends before the image does"), "{name}");
        }
    }
    // Whole scans, of which the last are missing.
    let bytes = read("progressive.jpg");
    let scans: Vec<usize> = (0..bytes.len() - 1).filter(|&at| bytes[at..].starts_with(&[0xFF, 0xDA])).collect();
    assert!(scans.len() > 2);
    assert!(refusal(&bytes[..scans[scans.len() - 1]]).contains("ends before the image does"));
}

#[test]
fn the_first_frame_of_a_gif_lies_on_its_screen() {
    let bytes = read("photo.gif");
    let whole = decode("photo.gif").to_rgba8();
    let screen = |w: u16, h: u16| {
        let screen = [&bytes[..6], &w.to_le_bytes(), &h.to_le_bytes(), &bytes[10..]].concat();
        decode_bytes(Path::new("x"), &screen).unwrap().to_rgba8()
    };
    // The screen grows to hold the frame.
    assert_eq!(screen(20, 10), whole);
    assert_eq!(screen(20, 34), whole);
    // Beside the frame is the palette's first colour, as in Pillow.
    let larger = screen(60, 40);
    assert_eq!(larger.dimensions(), (60, 40));
    assert_eq!(larger.view(0, 0, 51, 34).to_image(), whole);
    assert_eq!(larger.get_pixel(59, 39).0, [bytes[13], bytes[14], bytes[15], 0]);
}

#[test]
fn a_file_takes_no_memory_on_its_word() {
    // A chunk of metadata that claims 4 GiB behind a sound image: it is left alone.
    let mut webp = read("orientation_6.webp");
    assert_eq!(decode("orientation_6.webp").dimensions(), (25, 36));
    let exif = webp.windows(4).position(|chunk| chunk == b"EXIF").unwrap();
    webp[exif + 4..exif + 8].copy_from_slice(&[0xF0, 0xFF, 0xFF, 0xFF]);
    assert_eq!(decode_bytes(Path::new("x"), &webp).unwrap().dimensions(), (36, 25));
    // More pixels than any file of the length has.
    let lossless = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\x40\x2d\x50\x1b\x07\x10\x11\x11\x88\x88\xfe\x07\0";
    assert!(refusal(lossless).contains("a WebP of 34 bytes has"));
    let gif = b"GIF89a\xff\xff\xff\x07\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02L\x01\0;";
    assert!(refusal(gif).contains("a GIF of 35 bytes has"));
}

#[test]
fn all_threads_share_one_budget() {
    // Each needs a third of the budget, and no more than three have it at once.
    let side = 6_600;
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::new_luma8(side, side).write_to(&mut bytes, ImageFormat::Png).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.png");
    fs::write(&path, bytes.into_inner()).unwrap();
    let (there, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                with_file(&path, |image| {
                    most.fetch_max(there.fetch_add(1, Relaxed) + 1, Relaxed);
                    std::thread::sleep(std::time::Duration::from_millis(200));
                    there.fetch_sub(1, Relaxed);
                    assert_eq!(image.dimensions(), (side, side));
                    Ok(())
                })
                .unwrap();
            });
        }
    });
    assert!((1..=3).contains(&most.load(Relaxed)), "{most:?}");
}

#[test]
fn a_squashed_image_keeps_no_aspect() {
    let image = decode("tall.png");
    let squash = Preprocess::default().size([40, 40]).crop_pct(1.0).crop_mode(CropMode::Squash);
    let resize = squash.resize([90, 61]).unwrap();
    assert_eq!((resize.source_rows(), resize.source_columns()), (0..90, 0..61));
    // timm: both sides to the input's over the share, then the centre.
    let larger = squash.clone().size([50, 50]).resize_and_crop(&image).unwrap();
    let cropped = squash.crop_pct(0.8).resize_and_crop(&image).unwrap();
    assert_eq!(cropped, larger.view(5, 5, 40, 40).to_image());
}

#[test]
fn sizes_are_checked_in_the_header() {
    for format in [ImageFormat::Png, ImageFormat::Bmp] {
        let message = refusal(&claims(format, 60_000, 60_000));
        assert_eq!(message, "x.jpg: 60000 x 60000 is 3600000000 pixels, the limit is 134217728");
        refusal(&claims(format, 0, 0));
        refusal(&claims(format, 0, 5));
    }
    let mut gif = read("photo.gif");
    gif[6..10].fill(0xFF);
    assert_eq!(refusal(&gif), "x.jpg: 65535 x 65535 is 4294836225 pixels, the limit is 134217728");
    gif[6..10].fill(0);
    assert_eq!(refusal(&gif), "x.jpg: 0 x 0 has no pixels");
    // The frame header of a JPEG: FFC0, length, precision, height, width.
    let mut jpeg = read("photo.jpg");
    let frame = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xFF);
    assert_eq!(refusal(&jpeg), "x.jpg: 65535 x 65535 is 4294836225 pixels, the limit is 134217728");
    jpeg[frame + 5..frame + 9].fill(0);
    refusal(&jpeg);
}

#[test]
fn extreme_aspects_need_no_extreme_memory() {
    // Whole, these would be 256 x 25,600,000 pixels: 20 GB.
    let column: Vec<u8> = (0..100_000u32 * 3).map(|i| (i / 3 / 400) as u8).collect();
    let tall = DynamicImage::ImageRgb8(RgbImage::from_raw(1, 100_000, column.clone()).unwrap());
    let wide = DynamicImage::ImageRgb8(RgbImage::from_raw(100_000, 1, column).unwrap());
    for image in [tall, wide] {
        let out = Preprocess::default().resize_and_crop(&image).unwrap();
        assert_eq!(out.dimensions(), (224, 224));
        // 224 of 256 output pixels per source pixel: the middle of the image, where levels do not
        // change.
        assert!(out.pixels().all(|p| p.0 == [124; 3] || p.0 == [125; 3]), "{:?}", out.get_pixel(0, 0));
    }
}

#[test]
fn impossible_settings_are_refused() {
    let image = decode("photo.png");
    let good = Preprocess::default();
    for bad in [
        good.clone().size([0, 224]),
        good.clone().size([1 << 20, 1 << 20]),
        good.clone().crop_pct(0.0),
        good.clone().crop_pct(-1.0),
        good.clone().crop_pct(f32::NAN),
        good.clone().crop_pct(f32::INFINITY),
        good.clone().crop_pct(1e-30),
        good.clone().crop_pct(1e4),
        good.clone().std([1.0, 0.0, 1.0]),
    ] {
        let message = bad.tensor(&image).unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
    }
    assert!(good.tensor(&DynamicImage::new_rgb8(0, 0)).is_err());
}

#[test]
fn float_images_are_taken_too() {
    let image = decode("photo.png");
    assert_eq!(rgb(&DynamicImage::ImageRgb32F(image.to_rgb32f())), image.to_rgb8());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// The centre of a resize computed alone equals the centre of the whole resize.
    #[test]
    fn cropping_first_changes_nothing(w in 1u32..90, h in 1u32..90, crop in 1usize..60, quarter in 0usize..9, bicubic: bool) {
        // Halves are rounded to even, so only multiples of four surely shift both crops alike.
        let size = crop + 4 * quarter;
        let image = generated(&format!("noise-{w}x{h}"));
        let interpolation = if bicubic { Interpolation::Bicubic } else { Interpolation::Bilinear };
        // The same resize, once cut to a square of its short side and once to `crop`.
        let whole = Preprocess::default().size([size; 2]).crop_pct(1.0).interpolation(interpolation);
        let part = whole.clone().size([crop; 2]).crop_pct((crop as f64 / (size as f64 + 0.5)) as f32);
        let (whole, part) = (whole.resize_and_crop(&image).unwrap(), part.resize_and_crop(&image).unwrap());
        let margin = 2 * quarter as u32;
        let expected = whole.view(margin, margin, crop as u32, crop as u32).to_image();
        prop_assert_eq!(expected, part);
    }

    /// Damaged files give an image or an error, never a panic.
    #[test]
    fn damaged_files_never_panic(file in 0usize..8, at in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..6)) {
        let names =
            ["subsampled.jpg", "progressive.jpg", "palette_alpha.png", "rgb_16.png", "lossy_alpha.webp", "animated.webp", "transparent.gif", "palette.bmp"];
        let mut bytes = read(names[file]);
        for (place, byte) in at {
            // Squared, so that headers are hit more often.
            let i = (place * place * bytes.len() as f64) as usize;
            bytes[i] = byte;
        }
        if let Ok(image) = decode_bytes(Path::new("x"), &bytes) {
            prop_assert_eq!(Preprocess::default().tensor(&image).unwrap().len(), 3 * 224 * 224);
        }
    }
}
