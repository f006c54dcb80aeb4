//! Detectors on a GPU, which samples the picture and finds the candidates itself: the same as on
//! the CPU, and as the reference in numpy says.

mod common;

use common::own::{devices, texture};
use ghostnet::{
    Card, DetectOptions, Detection, Element, Engine, EngineOptions, Error, Network, Precision,
    graph::{Activation, Conv, Graph, NodeId, Op, TensorType},
    image::{DynamicImage, Rgb, RgbImage},
    wgpu,
};
use serde_json::{Value, json};

/// `n` values from `low` on and below `high`, of whole numbers alone.
fn fill(n: usize, low: f64, high: f64, seed: u32) -> Vec<f32> {
    let value = |at: u32| {
        let mut h = at.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503)).wrapping_add(12_345);
        for _ in 0..2 {
            h ^= h >> 16;
            h = h.wrapping_mul(0x45D_9F3B);
        }
        h ^= h >> 16;
        (low + (high - low) * (f64::from(h >> 8) / f64::from(1 << 24))) as f32
    };
    (0..n as u32).map(value).collect()
}

fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(common::path("tests/data/detect_cases.json")).unwrap();
    let mut all: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(cases) = all["cases"].take() else { panic!("no cases") };
    assert_eq!(cases.len(), 9);
    cases
}

fn whole(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// A case's result, `[rows][columns]`.
struct Rows {
    columns: usize,
    values: Vec<f32>,
}

impl Rows {
    fn of(case: &Value) -> Self {
        let output = &case["output"]["y"];
        let [rows, columns] = [1, 2].map(|side| whole(&output["shape"][side]));
        let mut values = vec![0.0; rows * columns];
        for range in output["ranges"].as_array().unwrap() {
            let [from, to] = [0, 1].map(|end| whole(&range["channels"][end]));
            let [low, high] = ["lo", "hi"].map(|end| range[end].as_f64().unwrap());
            let filled = fill(rows * (to - from), low, high, whole(&range["seed"]) as u32);
            for (row, filled) in values.chunks_mut(columns).zip(filled.chunks(to - from)) {
                row[from..to].copy_from_slice(filled);
            }
        }
        Self { columns, values }
    }

    fn len(&self) -> usize {
        self.values.len() / self.columns
    }
}

/// How a case's result lies in a graph.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lies {
    /// Rows are channels.
    RowsAreChannels,
    /// Rows and columns are channels.
    AllAreChannels,
    /// Two results `[1, columns, h, w]` by level.
    ByLevel,
    /// Both: scores by row, all else by level.
    Mixed,
}

/// A network that gives a case's result for any picture.
fn network(case: &Value, lies: Lies) -> Network {
    let rows = Rows::of(case);
    let (count, columns) = (rows.len(), rows.columns);
    let mut graph = Graph::new();
    let input = graph.add_input(3).unwrap();
    let mut add = |name: &str, shape: [usize; 3], values: Vec<f32>, sides: &[&str]| {
        let constant = graph.add_constant(name, &shape, values).unwrap();
        let node: NodeId = graph.add(name, Op::Constant(constant), &[input]).unwrap();
        graph.add_output_of(name, node, TensorType::new(Element::F32, sides.iter().copied()).unwrap());
    };
    let mut card = case["card"].to_string();
    if matches!(lies, Lies::RowsAreChannels | Lies::Mixed) {
        add("y", [count, columns, 1], rows.values.clone(), &["n", "c", "h"]);
    }
    if lies == Lies::AllAreChannels {
        let sides = [format!("c={count}"), format!("c={columns}")];
        add("y", [count * columns, 1, 1], rows.values.clone(), &["n", &sides[0], &sides[1]]);
    }
    if matches!(lies, Lies::ByLevel | Lies::Mixed) {
        for (name, [h, w], first) in [("y8", [4, 6], 0), ("y16", [2, 3], 24)] {
            let value = |at: usize| rows.values[(first + at % (h * w)) * columns + at / (h * w)];
            add(name, [columns, h, w], (0..columns * h * w).map(value).collect(), &["n", "c", "h", "w"]);
        }
        let both = r#""outputs":["y8","y16"]"#;
        let all = r#""outputs":["y"]"#;
        card = if lies == Lies::ByLevel { card.replace(all, both) } else { card.replacen(all, both, 1) };
    }
    let mut card: Value = serde_json::from_str(&card).unwrap();
    card["task"] = "detect".into();
    Network::new(graph, Card::of_json(&card.to_string()).unwrap()).unwrap()
}

/// Of the input's size in the cases.
fn picture() -> DynamicImage {
    RgbImage::from_fn(48, 32, |x, y| Rgb([x as u8, y as u8, 7])).into()
}

/// Boxes to 1e-4 pixels, scores to 1e-5, and the same classes in the same order.
#[track_caller]
fn is_near(found: &[Detection], wanted: &Value, what: &str) {
    let wanted = wanted.as_array().unwrap();
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert_eq!(found.index, whole(&wanted["index"]), "{what}, {at}");
        let near = |found: f32, wanted: f64, within: f64| {
            assert!((f64::from(found) - wanted).abs() <= within, "{what}, {at}: {found}, not {wanted}");
        };
        near(found.score, wanted["score"].as_f64().unwrap(), 1e-5);
        for (axis, (found, wanted)) in found.corners.iter().zip(wanted["box"].as_array().unwrap()).enumerate() {
            // Callers get boxes within the picture.
            near(*found, wanted.as_f64().unwrap().clamp(0.0, [48.0, 32.0][axis % 2]), 1e-4);
        }
        let points = wanted["points"].as_array().map_or(&[][..], |points| points);
        assert_eq!(found.points.len(), points.len(), "{what}");
        for (found, wanted) in found.points.iter().zip(points) {
            (0..2).for_each(|axis| near(found[axis], wanted[axis].as_f64().unwrap(), 1e-4));
        }
    }
}

#[test]
fn cases_give_what_the_reference_gives() {
    let Some(gpu) = common::gpu() else { return };
    for case in cases() {
        let by_level = Rows::of(&case).len() == 30;
        for lies in [Lies::RowsAreChannels, Lies::AllAreChannels, Lies::ByLevel, Lies::Mixed] {
            if !by_level && matches!(lies, Lies::ByLevel | Lies::Mixed) {
                continue;
            }
            let of = |engine: &Engine| {
                let model = engine.load(network(&case, lies)).unwrap();
                let first = model.detect(&picture(), &DetectOptions::default()).unwrap();
                // In whichever order the device finds them.
                (0..3).for_each(|_| assert_eq!(model.detect(&picture(), &DetectOptions::default()).unwrap(), first));
                first
            };
            for (engine, device) in [(common::cpu(), "CPU"), (gpu, "GPU")] {
                is_near(&of(engine), &case["kept"], &format!("{}, {lies:?}, {device}", case["name"]));
            }
        }
    }
}

/// A network that gives these rows of values for any picture.
fn constant(rows: usize, columns: usize, values: Vec<f32>, mut card: Value) -> Network {
    let mut graph = Graph::new();
    let input = graph.add_input(3).unwrap();
    let constant = graph.add_constant("y", &[rows, columns, 1], values).unwrap();
    let node = graph.add("y", Op::Constant(constant), &[input]).unwrap();
    graph.add_output_of("y", node, TensorType::new(Element::F32, ["n", "c", "h"]).unwrap());
    card["task"] = "detect".into();
    Network::new(graph, Card::of_json(&card.to_string()).unwrap()).unwrap()
}

/// A device finds any number of them: more than come back at once, and more than it has room for.
#[test]
fn no_candidate_is_lost() {
    let Some(gpu) = common::gpu() else { return };
    // Records take 28 bytes, and a device keeps 16 MiB of them.
    for (rows, classes) in [(30, 30), (300, 10), (300, 2100)] {
        let columns = classes + 4;
        let mut values = fill(rows * columns, 0.1, 1.0, 5);
        for row in values.chunks_mut(columns) {
            row[classes..].copy_from_slice(&[1.0, 2.0, 30.0, 20.0]);
        }
        let card = json!({
            "input": { "size": [32, 48] }, "threshold": 0.05, "limit": 10000,
            "score": { "classes": { "outputs": ["y"], "channels": [0, classes] }, "select": "each" },
            "box": { "form": "corners", "values": { "outputs": ["y"], "channels": [classes, columns] }, "scale": "pixels" },
            "nms": { "kind": "none" }
        });
        let [on_cpu, on_gpu] = [common::cpu(), gpu].map(|engine| {
            let model = engine.load(constant(rows, columns, values.clone(), card.clone())).unwrap();
            model.detect(&picture(), &DetectOptions::default()).unwrap()
        });
        assert_eq!(on_gpu.len(), (rows * classes).min(10_000));
        assert_eq!(on_gpu, on_cpu, "{rows} rows, {classes} classes");
        // A threshold of the caller's, and classes that are wanted.
        let model = gpu.load(constant(rows, columns, values, card)).unwrap();
        let high = model.detect(&picture(), &DetectOptions::default().threshold(0.9)).unwrap();
        assert_eq!(high[..], on_cpu[..on_cpu.iter().take_while(|found| found.score > 0.9).count()]);
    }
}

/// Noise, so that every pixel and every share shows.
fn noise(width: u32, height: u32) -> DynamicImage {
    let mut random = common::net::Random(9);
    RgbImage::from_fn(width, height, |_, _| Rgb([0; 3].map(|_: u8| random.next() as u8))).into()
}

/// A network whose points are its input, of which nothing is lost: it is above 0.
fn shows_its_input(layout: &str, order: &str) -> Network {
    let mut graph = Graph::new();
    let channels = if layout == "nhwc" { 14 } else { 3 };
    let input = graph.add_input_of("input", channels, TensorType::maps()).unwrap();
    let output = graph.add("relu", Op::Activate(Activation::Relu), &[input]).unwrap();
    graph.add_output_of("y", output, TensorType::maps());
    let card = json!({
        "task": "landmarks",
        "input": {
            "size": [14, 18], "layout": layout, "order": order, "mean": [-3, -2, -1], "std": [255, 100, 50], "fit": "region",
            "pad": [9, 99, 199]
        },
        "region": { "scale": 1.5, "shift": [0.1, -0.1] },
        "points": { "values": { "outputs": ["y"] }, "count": 14 * 18 * 3 / 2 }
    });
    Network::new(graph, Card::of_json(&card.to_string()).unwrap()).unwrap()
}

/// Boxes in a picture of 90 x 70, in its pixels: within, beyond an edge once they are regions, and
/// of no size.
fn boxes() -> Network {
    let boxes = [[20.0, 20.0, 50.0, 45.0], [0.0, 0.0, 30.0, 20.0], [60.0, 40.0, 90.0, 70.0], [0.0, 0.0, 90.0, 70.0], [5.0, 5.0, 5.0, 5.0]];
    let values: Vec<f32> = (0..).zip(boxes).flat_map(|(at, [a, b, c, d])| [0.9 - at as f32 / 10.0, a, b, c, d]).collect();
    let card = json!({
        "input": { "size": [70, 90] }, "threshold": 0.1, "score": { "classes": { "outputs": ["y"], "channels": [0, 1] } },
        "box": { "form": "corners", "values": { "outputs": ["y"], "channels": [1, 5] } }, "nms": { "kind": "none" }
    });
    constant(5, 5, values, card)
}

/// Several regions in one run, to 1e-4 of the values' range.
#[test]
fn regions_are_sampled_as_on_the_cpu() {
    let Some(gpu) = common::gpu() else { return };
    let picture = noise(90, 70);
    let found = common::cpu().load(boxes()).unwrap().detect(&picture, &DetectOptions::default()).unwrap();
    assert_eq!(found.len(), 5);
    let grey = DynamicImage::from(picture.to_luma8());
    let floats = DynamicImage::from(picture.to_rgb32f());
    for (layout, order) in [("nchw", "rgb"), ("nchw", "bgr"), ("nhwc", "rgb"), ("nhwc", "bgr")] {
        let [cpu, gpu] = [common::cpu(), gpu].map(|engine| engine.load(shows_its_input(layout, order)).unwrap());
        for (picture, many) in [(&picture, 1), (&grey, 30), (&floats, 2)] {
            let found: Vec<Detection> = std::iter::repeat_n(&found, many).flatten().cloned().collect();
            let [expected, given] = [&cpu, &gpu].map(|model| model.landmarks(picture, &found).unwrap());
            assert_eq!(given.len(), found.len());
            for (at, (expected, given)) in expected.iter().zip(&given).enumerate() {
                let [x1, y1, x2, y2] = found[at].corners;
                let side = (x2 - x1).max(y2 - y1) * 1.5;
                for (number, (expected, given)) in expected.as_flattened().iter().zip(given.as_flattened()).enumerate() {
                    let close = 1e-4 * 255.0 / 50.0 * side.max(1.0);
                    assert!((expected - given).abs() <= close, "{layout}, {order}, region {at}, value {number}: {given}, not {expected}");
                }
            }
        }
    }
}

/// A detector of white: two rows and columns of cells, whose score is how white a cell is. A box
/// reaches a stride from a cell's middle to each side.
fn detector_of_white() -> Network {
    detector_of_white_in(255.0)
}

/// The same of values in `std`.
fn detector_of_white_in(std: f64) -> Network {
    let mut graph = Graph::new();
    let x = graph.add_input(3).unwrap();
    let weights = (0..5 * 48).map(|at| if at < 48 { 1.0 / 48.0 } else { 0.0 }).collect::<Vec<f32>>();
    let weight = graph.add_constant("weight", &[5, 3, 4, 4], weights).unwrap();
    let bias = graph.add_constant("bias", &[5], vec![0.0, 1.0, 1.0, 1.0, 1.0]).unwrap();
    let y = graph.add("conv", Op::Conv(Conv::new(weight).bias(bias).stride(4)), &[x]).unwrap();
    graph.add_output_of("y", y, TensorType::maps());
    let card = json!({
        "task": "detect", "labels": ["white"],
        "input": { "size": [8, 8], "std": [std, std, std] }, "priors": { "strides": [4], "offset": 0.5 },
        "score": { "classes": { "outputs": ["y"], "channels": [0, 1] } },
        "box": { "form": "distances", "values": { "outputs": ["y"], "channels": [1, 5] } },
        "threshold": 0.5, "nms": { "iou": 0.5 }
    });
    Network::new(graph, Card::of_json(&card.to_string()).unwrap()).unwrap()
}

/// White at the lower right, and grey that a threshold of 0.5 leaves out.
fn white(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([if x > width / 2 && y > height / 2 { 250 } else { 40 }; 3])).into()
}

#[test]
fn what_is_there_is_found_in_pictures_of_any_size() {
    if common::gpu().is_none() {
        return;
    }
    let options = DetectOptions::default();
    let cpu = common::cpu().load(detector_of_white()).unwrap();
    let with =
        |change: &dyn Fn(&mut EngineOptions)| common::gpu_with(|options| change(options)).unwrap().load(detector_of_white()).unwrap();
    let models =
        [with(&|_| ()), with(&|options| options.resize_on_device = Some(false)), with(&|options| options.precision = Precision::F16)];
    for model in [&cpu].into_iter().chain(&models) {
        let empty = model.detect(&DynamicImage::new_rgb8(0, 0), &options).unwrap_err().to_string();
        assert!(empty.contains("image") && empty.ends_with("0 x 0 has no pixels"), "{empty}");
    }
    // What the precision does not hold is refused, whoever samples the picture.
    for on_device in [None, Some(false)] {
        let engine = common::gpu_with(|options| {
            options.precision = Precision::F16;
            options.resize_on_device = on_device;
        });
        let large = engine.unwrap().load(detector_of_white_in(1e-3)).unwrap();
        let refused = large.detect(&white(64, 48), &options).unwrap_err().to_string();
        assert!(refused.contains("f16 holds up to 65504"), "{refused}");
    }
    for (width, height) in [(64, 48), (300, 200), (9, 77), (64, 48)] {
        let picture = white(width, height);
        let expected = cpu.detect(&picture, &options).unwrap();
        let [one] = &expected[..] else { panic!("{expected:?}") };
        assert!(one.corners[0] >= width as f32 / 4.0 && one.corners[1] >= height as f32 / 4.0);
        for (at, model) in models.iter().enumerate() {
            let found = model.detect(&picture, &options).unwrap();
            let [two] = &found[..] else { panic!("{found:?}") };
            let within = if model.engine().precision() == Precision::F16 { 0.02 } else { 1e-4 };
            assert!((one.score - two.score).abs() <= within && one.label == two.label, "model {at}: {one:?}, {two:?}");
            for (one, two) in one.corners.iter().zip(two.corners) {
                assert!((one - two).abs() <= within * width.max(height) as f32, "model {at}: {one}, {two}");
            }
        }
    }
}

#[test]
fn a_texture_is_as_the_image_is() {
    let Some([(device, queue), (other, its_queue)]) = devices(wgpu::Limits::default()) else { return };
    let (usage, format) = (wgpu::TextureUsages::COPY_SRC, wgpu::TextureFormat::Rgba8Unorm);
    let options = DetectOptions::default();
    let engine = Engine::with_device(device.clone(), queue.clone(), EngineOptions::default()).unwrap();
    let [white_ones, boxes] = [detector_of_white(), boxes()].map(|network| engine.load(network).unwrap());
    let points = engine.load(shows_its_input("nchw", "rgb")).unwrap();
    for picture in [white(64, 48), noise(90, 70)] {
        for format in [format, wgpu::TextureFormat::Bgra8UnormSrgb] {
            let texture = texture(&device, &queue, &picture, format, usage);
            for model in [&white_ones, &boxes] {
                assert_eq!(model.detect_texture(&texture, &options).unwrap(), model.detect(&picture, &options).unwrap(), "{format:?}");
            }
            let found = boxes.detect(&picture, &options).unwrap();
            assert_eq!(points.landmarks_texture(&texture, &found).unwrap(), points.landmarks(&picture, &found).unwrap(), "{format:?}");
        }
    }
    let good = texture(&device, &queue, &white(64, 48), format, usage);
    let wrong = texture(&device, &queue, &white(64, 48), format, wgpu::TextureUsages::TEXTURE_BINDING);
    assert!(white_ones.detect_texture(&wrong, &options).unwrap_err().to_string().contains("COPY_SRC"));
    let foreign = texture(&other, &its_queue, &white(64, 48), format, usage);
    assert!(matches!(white_ones.detect_texture(&foreign, &options), Err(Error::Gpu(_))));
    assert_eq!(white_ones.detect_texture(&good, &options).unwrap().len(), 1);
    // The CPU has no textures.
    let cpu = common::cpu().load(detector_of_white()).unwrap();
    assert!(matches!(cpu.detect_texture(&good, &options), Err(Error::Unsupported { .. })));
}
