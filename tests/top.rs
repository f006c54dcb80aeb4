//! Which classes of which images: thresholds, lists, parts, and batches larger than a device takes.

mod common;

use ghostnet::{
    Card, Class, Engine, Error, Network, Top,
    graph::{Graph, Op, TensorType},
    image::{DynamicImage, Rgb, RgbImage},
    image_input::{Preprocess, decode_file},
};

fn engines() -> impl Iterator<Item = &'static Engine> {
    common::gpu().into_iter().chain([common::cpu()])
}

#[test]
fn only_what_is_wanted_is_given() {
    let image = decode_file(&common::path("assets/images/chelsea.png")).unwrap();
    for engine in engines() {
        let model = engine.load(Network::embedded().unwrap()).unwrap();
        let all = model.classify(&image, 10).unwrap();
        let (second, last) = (&all[1], &all[9]);
        assert_eq!(model.classify(&image, Top::new(10).at_least(second.probability)).unwrap(), all[..2]);
        let among = |top: Top| model.classify(&image, top.among([last.index, second.index])).unwrap();
        assert_eq!(among(Top::new(10)), [second.clone(), last.clone()], "as probable as among all");
        assert_eq!(among(Top::new(1)), all[1..2]);
        assert_eq!(among(Top::new(10).at_least(0.9)), [] as [Class; 0]);
        let part = model.classify(&image, Top::new(10).part([40, 20, 200, 180])).unwrap();
        assert_eq!(part, model.classify(&image.crop_imm(40, 20, 200, 180), 10).unwrap());
        let none = model.classify(&image, Top::new(1).part([0, 0, image.width() + 1, 1]));
        assert!(matches!(none, Err(Error::Shape { .. })), "{none:?}");
        let none = model.classify_pixels(&model.pixels(&image).unwrap(), 1, Top::new(1).part([0, 0, 1, 1]));
        assert!(matches!(none, Err(Error::Shape { .. })), "{none:?}");
    }
}

/// Each image's class is the channel that it is brightest in.
#[test]
fn a_batch_larger_than_a_device_takes_is_split() {
    let Some(engine) = common::gpu() else { return };
    // 16 MiB an image in blocks of four floats; WebGPU's default lets a shader bind 128 MiB.
    const SIDE: usize = 1024;
    let mut graph = Graph::new();
    let x = graph.add_input(3).unwrap();
    let mean = graph.add("mean", Op::GlobalPool, &[x]).unwrap();
    graph.add_output_of("logits", mean, TensorType::vectors());
    let card =
        Card::named("brightest").labels(["red", "green", "blue"]).input("input", Preprocess::default().size([SIDE; 2]).crop_pct(1.0));
    let model = engine.load(Network::new(graph, card).unwrap()).unwrap();
    let colours = [[200, 9, 9], [9, 200, 9], [9, 9, 200]];
    let images: Vec<_> = (0..11).map(|at| DynamicImage::from(RgbImage::from_pixel(8, 8, Rgb(colours[at % 3])))).collect();
    let is = |classes: Vec<Vec<Class>>| classes.iter().map(|of| of[0].index).collect::<Vec<_>>();
    let expected: Vec<usize> = (0..11).map(|at| at % 3).collect();
    assert!(matches!(model.prepare(11, SIDE, SIDE, ghostnet::Form::Classify { k: 1 }), Err(Error::Limit { .. })));
    assert_eq!(is(model.classify_batch(&images, 1).unwrap()), expected);
    let pixels: Vec<u32> = images.iter().flat_map(|image| model.pixels(image).unwrap()).collect();
    assert_eq!(is(model.classify_pixels(&pixels, 11, 1).unwrap()), expected);
}
