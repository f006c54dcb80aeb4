//! Images resized by the device: the same pixels as `image_input` makes, which
//! `tests/image_input.rs` holds against Pillow and timm.

mod common;

use common::{
    net::{self, Fusing, Net, Random},
    tolerance,
};
use ghostnet::{
    Backend, Class, EngineOptions, Error, Network, Precision,
    device::DeviceClass,
    gpu,
    gpu::{Image, Source},
    graph::{Graph, Op, Shape},
    image_input::{Interpolation, Preprocess, decode_file},
    kernels::resize::Rows,
    plan::{Form, Plan},
};
use image::{DynamicImage, RgbImage};
use std::{ops::Range, sync::Arc};

/// Rows that are already RGB8.
struct Rgb(RgbImage);

impl Rows for Rgb {
    fn row<'a>(&'a self, y: usize, x: Range<usize>, _: &'a mut Vec<u8>) -> &'a [u8] {
        let width = self.0.width() as usize;
        &self.0.as_raw()[(y * width + x.start) * 3..(y * width + x.end) * 3]
    }
}

impl Rgb {
    fn size(&self) -> [usize; 2] {
        [self.0.height() as usize, self.0.width() as usize]
    }
}

/// Noise of full contrast: the order of the passes shows in it, and every clamp.
fn noise(width: u32, height: u32) -> Rgb {
    let mut random = Random(u64::from(width) << 32 | u64::from(height));
    let bytes = (0..width * height * 3).map(|_| if random.next() & 1 == 0 { random.next() as u8 } else { (random.next() as u8 & 1) * 255 });
    Rgb(RgbImage::from_raw(width, height, bytes.collect()).unwrap())
}

/// The shortest graph that takes images: its first step is all that these tests look at.
fn graph() -> Graph {
    let (mut net, input) = Net::new(3);
    let x = net.add(Op::GlobalPool, &[input]);
    net.output(x);
    net.graph
}

fn plan([h, w]: [usize; 2], n: usize, class: DeviceClass, precision: Precision) -> Arc<Plan> {
    Arc::new(net::plan(&graph(), Shape::new(n, 3, h, w), class, Fusing::All, Form::Classify { k: 1 }, precision))
}

fn prepared(size: [usize; 2], n: usize, class: DeviceClass, precision: Precision) -> Option<gpu::Prepared> {
    let context = common::context()?;
    Some(pollster::block_on(gpu::Prepared::new(context, plan(size, n, class, precision), &gpu::Weights::default())).unwrap().0)
}

/// An image of a size, to be resized.
fn of<'a>(how: &Preprocess, size: [usize; 2], image: &'a Rgb, texture: bool) -> Image<'a> {
    let resize = how.resize(size).unwrap().problem();
    Image { resize, source: if texture { Source::Texture(image) } else { Source::Buffer(image) } }
}

/// Resizes a batch on the device, and the same on the CPU; every level has to be the same.
#[track_caller]
fn compare(prepared: &mut gpu::Prepared, how: &Preprocess, images: &[Rgb], texture: bool) {
    let plan = prepared.plan().clone();
    let images_of: Vec<_> = images.iter().map(|image| of(how, image.size(), image, texture)).collect();
    let bytes = pollster::block_on(prepared.resize_images(&images_of)).unwrap();
    let values = plan.precision.from_bytes(&bytes);
    let scale_shift = &plan.constants.iter().find(|c| c.key.role == "scale_shift").unwrap().data;
    let pixels = how.size[0] * how.size[1];
    for (n, image) in images.iter().enumerate() {
        let expected = how.resize_and_crop(&DynamicImage::ImageRgb8(image.0.clone())).unwrap();
        for (at, (block, pixel)) in values.as_chunks::<4>().0[n * pixels..].iter().zip(expected.pixels()).enumerate() {
            let what = || format!("{:?} to {:?}, texture {texture}, image {n}, pixel {at}", image.size(), how);
            for c in 0..3 {
                let level = (block[c] - scale_shift[4 + c]) / scale_shift[c];
                // A level of f16 is good to a fifth at these means and deviations.
                let close = if plan.precision == Precision::F16 { 0.25 } else { 1e-3 };
                assert!((level - f32::from(pixel[c])).abs() <= close, "{}, channel {c}: {level}, not {}", what(), pixel[c]);
            }
            assert_eq!(block[3], 0.0, "{}: padding", what());
        }
    }
}

fn square(side: usize, crop_pct: f32) -> Preprocess {
    Preprocess::default().size([side; 2]).crop_pct(crop_pct)
}

#[test]
fn every_size_gives_pillows_pixels() {
    let sizes = [
        (1, 1),
        (1, 7),
        (9, 1),
        (2, 300),
        (301, 2),
        (31, 33),
        (256, 256),
        (224, 224),
        (257, 255),
        (640, 480),
        (480, 640),
        // Tall: Pillow filters vertically first.
        (300, 700),
        (65, 1400),
        (1400, 65),
        // Tiles that need more than one chunk, and reductions by 40.
        (1300, 1290),
        (2100, 90),
    ];
    let ways = [
        square(224, 0.875),
        square(32, 1.0),
        // Rows and columns differ and are no multiples of a tile. The crop is larger than the
        // image, with black around it.
        Preprocess::default().size([37, 50]).crop_pct(0.9).interpolation(Interpolation::Bilinear),
        square(33, 1.5),
    ];
    // Tiles of 16 and of 8.
    for (how, class) in ways.iter().flat_map(|how| [(how, DeviceClass::Gpu), (how, DeviceClass::Software)]) {
        let Some(mut prepared) = prepared(how.size, 1, class, Precision::F32) else { return };
        for (width, height) in sizes {
            let images = [noise(width, height)];
            compare(&mut prepared, how, &images, false);
            compare(&mut prepared, how, &images, true);
        }
    }
}

#[test]
fn a_batch_takes_images_of_every_size() {
    let how = square(40, 0.875);
    for precision in [Precision::F32, Precision::F16] {
        let Some(mut prepared) = prepared(how.size, 5, DeviceClass::Gpu, precision) else { return };
        // Larger, smaller, and the first size again: rooms grow, and what is left in them must not
        // show.
        for sizes in [[(50, 60), (200, 300), (3, 3), (50, 60), (90, 400)], [(7, 9), (300, 200), (50, 60), (41, 40), (1, 1)]] {
            let images = sizes.map(|(width, height)| noise(width, height));
            compare(&mut prepared, &how, &images, false);
            compare(&mut prepared, &how, &images, true);
        }
    }
}

#[test]
fn more_sizes_than_are_kept() {
    let how = square(32, 1.0);
    let Some(mut prepared) = prepared(how.size, 1, DeviceClass::Gpu, Precision::F32) else { return };
    for side in (40..60).chain(40..45) {
        compare(&mut prepared, &how, &[noise(side, 50)], side % 2 == 0);
    }
}

#[test]
fn photographs_of_every_kind_are_classified_alike() {
    if common::context().is_none() {
        return;
    }
    let network = || Network::embedded().unwrap();
    let with = |resize_on_device| {
        let options = EngineOptions::default().backend(Backend::Gpu).resize_on_device(Some(resize_on_device));
        common::gpu_with(|o| *o = options.adapter(o.adapter.clone())).unwrap().load(network()).unwrap()
    };
    let [on_device, on_cpu] = [true, false].map(with);
    let mut images = Vec::new();
    for name in ["photo.png", "grey.png", "grey_alpha_16.png", "rgb_16.png", "palette_alpha.png", "rgba.png", "tall.png"] {
        images.push(decode_file(&common::path(&format!("tests/data/images/{name}"))).unwrap());
    }
    images.push(DynamicImage::ImageRgb32F(images[0].to_rgb32f()));
    let probabilities = |classes: &[Class]| classes.iter().map(|c| (c.index, c.probability)).collect::<Vec<_>>();
    for image in &images {
        let [one, other] = [&on_device, &on_cpu].map(|model| probabilities(&model.classify(image, 10).unwrap()));
        assert_eq!(one, other);
    }
    let [one, other] = [&on_device, &on_cpu].map(|model| model.classify_batch(&images, 3).unwrap());
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(probabilities(one), probabilities(other));
    }
    assert_eq!(one.len(), images.len());

    // Several runs in flight, each of up to three images.
    let chunks: Vec<&[DynamicImage]> = images.chunks(3).chain(images.chunks(2)).collect();
    for model in [&on_device, &on_cpu] {
        assert_eq!(model.engine().resizes_on_device(), std::ptr::eq(model, &on_device));
        let mut session = model.session(3, 32, 32, Form::Classify { k: 10 }, 2).unwrap();
        let pending: Vec<_> = chunks.iter().map(|chunk| session.submit_images(chunk).unwrap()).collect();
        for (chunk, pending) in chunks.iter().zip(pending) {
            let classes = pending.wait().unwrap();
            let expected: Vec<_> = chunk.iter().map(|image| model.classify(image, 10).unwrap()).collect();
            for (one, other) in classes.iter().zip(&expected) {
                for ((index, probability), (wanted, close)) in probabilities(one).into_iter().zip(probabilities(other)) {
                    assert!(index == wanted && (probability - close).abs() <= tolerance::REORDERED, "{one:?}, not {other:?}");
                }
            }
            assert_eq!(classes.len(), chunk.len());
        }
        for wrong in [&images[..4], &[]] {
            session.submit_images(wrong).unwrap_err();
        }
        let mut other_size = model.session(1, 40, 32, Form::Classify { k: 1 }, 1).unwrap();
        other_size.submit_images(&images[..1]).unwrap_err();
        let mut tensors = model.session(1, 32, 32, Form::Tensors, 1).unwrap();
        tensors.submit_images(&images[..1]).unwrap_err();
    }
}

#[test]
fn what_a_device_cannot_take_is_refused() {
    let how = square(32, 1.0);
    let Some(mut prepared) = prepared(how.size, 1, DeviceClass::Gpu, Precision::F32) else { return };
    let image = noise(10, 10);
    // Refused before a pixel is read: the image need not be there.
    let mut refused = |images: &[Image<'_>]| match pollster::block_on(prepared.resize_images(images)) {
        Err(Error::Limit { needed, limit, .. }) => (needed, limit),
        other => panic!("{other:?}"),
    };
    // WebGPU's default, or less where the adapter has less.
    let context = common::context().unwrap();
    let side = context.limits().into_iter().find(|limit| limit.name == "max_texture_dimension_2d").unwrap().device;
    assert!(side <= 8192);
    let over = [side as usize + 1; 2];
    assert_eq!(refused(&[of(&how, over, &image, true)]), (side + 1, side));
    assert_eq!(refused(&[of(&how, [8193, 8192], &image, false)]), (8193 * 8192 * 4, 128 << 20));
    let error = pollster::block_on(prepared.resize_images(&[])).unwrap_err().to_string();
    assert_eq!(error, "input: 0 images for a batch of 1");
    let other = Image { resize: square(33, 1.0).resize([10, 10]).unwrap().problem(), source: Source::Buffer(&image) };
    let error = pollster::block_on(prepared.resize_images(&[other])).unwrap_err().to_string();
    assert_eq!(error, "input: an image becomes 33 x 33, the plan takes 32 x 32");
    // And it still works.
    compare(&mut prepared, &how, &[noise(10, 20)], false);
}
