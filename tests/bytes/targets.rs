//! What is fuzzed: each target takes bytes from outside, and nothing it does may panic, take long
//! or take much memory. The seeds are small files of each kind.
//!
//! `tests/bytes.rs` runs the targets with a mutator of its own, and cargo-fuzz with libFuzzer's.

#[path = "../common/onnx.rs"]
pub mod messages;

use ghostnet::{
    AnyTensor, Card, DetectOptions, Element, Engine, Form, Model, Network, Values,
    graph::{
        Activation, Axis, Conv, Coordinates, Filter, Graph, Input, NodeId, NonMaxSuppression, Op, Output, Pool, PoolKind, Rearrange,
        Resample, RoiAlign, Setting, TensorType,
    },
    hub::Hub,
    image_input::{Preprocess, decode_bytes},
    model::{Stored, checkpoint::Checkpoint},
    npy,
};
use messages::{Is, Onnx};
use std::{
    cell::RefCell,
    fs,
    io::{Cursor, Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

/// A target: its name, what it does with bytes, and its seeds.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

pub const TARGETS: [Target; 9] = [
    Target { name: "safetensors", run: checkpoint, seeds: safetensors },
    Target { name: "pickle", run: checkpoint, seeds: pickles },
    Target { name: "npy", run: array, seeds: arrays },
    Target { name: "json", run: card, seeds: cards },
    Target { name: "image", run: image, seeds: images },
    Target { name: "one_file", run: network, seeds: one_files },
    Target { name: "onnx", run: network, seeds: onnx },
    Target { name: "hub", run: hub, seeds: answers },
    Target { name: "graph", run: graph, seeds: graphs },
];

fn folder_in_memory() -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    let made = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
    made.expect("a temporary folder")
}

/// A file of these bytes, in memory where the system has such files.
fn with_file(name: &str, bytes: &[u8], work: impl FnOnce(&Path)) {
    thread_local! {
        static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
    }
    let path = FOLDER.with_borrow_mut(|folder| folder.get_or_insert_with(folder_in_memory).path().join(name));
    fs::write(&path, bytes).expect("the temporary folder can be written");
    work(&path);
}

/// An error is one line.
fn one_line<T>(result: ghostnet::Result<T>) -> Option<T> {
    result.map_err(|error| assert!(!error.to_string().contains('\n'), "{error}")).ok()
}

fn checkpoint(bytes: &[u8]) {
    if let Some(checkpoint) = one_line(Checkpoint::from_bytes("fuzz", bytes)) {
        one_line(Network::from_checkpoint(&checkpoint));
    }
}

fn array(bytes: &[u8]) {
    with_file("x.npy", bytes, |path| {
        one_line(npy::shape(path));
        one_line(npy::read_any(path));
    });
}

fn card(bytes: &[u8]) {
    with_file("card.json", bytes, |path| {
        if let Some(detector) = one_line(Card::open(path)).and_then(detector) {
            let picture = image::RgbImage::from_fn(48, 32, |x, y| image::Rgb([x as u8 * 5, y as u8 * 7, 99])).into();
            one_line(detector.detect(&picture, &DetectOptions::default()));
        }
    });
}

/// A small network with this card, if it is a detector's that fits one.
pub fn detector(card: Card) -> Option<Model> {
    let network = [one_stage(), two_stages()].into_iter().find_map(|graph| one_line(Network::new(graph, card.clone())))?;
    network.detector()?;
    one_line(engine().load(network))
}

/// What cards of detectors are for: `y` has a row of six values for each cell of 16 pixels.
fn one_stage() -> Graph {
    let mut graph = Graph::new();
    let input = picture(&mut graph);
    rows(&mut graph, input, "y", 6);
    graph
}

/// What cards of two stages are for: five values for each cell, then scores of three classes and a
/// box of each for a region.
fn two_stages() -> Graph {
    let mut graph = Graph::new();
    let of_regions = TensorType::new(Element::F32, ["n", "h", "w=4"]).expect("sides of regions");
    let input = picture(&mut graph);
    let regions = graph.add_input_of("regions", 1, of_regions).expect("a second input");
    let map = rows(&mut graph, input, "first", 5);
    let align = RoiAlign { cells: [1, 1], samples: 1, scales: vec![1.0 / 16.0], aligned: false, side: 1.0 };
    let cells = graph.add("align", Op::RoiAlign(align), &[map, regions]).expect("regions of a map");
    for (name, channels) in [("classes", 3), ("boxes", 12)] {
        let values: Vec<f32> = (0..channels * 5).map(|at| (at % 7) as f32 * 0.2 - 0.5).collect();
        let weight = graph.add_constant(name, &[channels, 5, 1, 1], values).expect("filters");
        let x = graph.add(name, Op::Conv(Conv::new(weight)), &[cells]).expect("a convolution");
        graph.add_output_of(name, x, TensorType::maps());
    }
    graph
}

fn picture(graph: &mut Graph) -> NodeId {
    let sides = TensorType::new(Element::F32, ["n", "c", "h=32", "w=48"]).expect("sides of a picture");
    graph.add_input_of("input", 3, sides).expect("an input")
}

/// Adds a convolution with a row for each cell of 16 pixels.
fn rows(graph: &mut Graph, input: NodeId, name: &str, channels: usize) -> NodeId {
    let values: Vec<f32> = (0..channels * 768).map(|at| (at % 11) as f32 * 1e-4).collect();
    let weight = graph.add_constant(name, &[channels, 3, 16, 16], values).expect("filters");
    let x = graph.add(name, Op::Conv(Conv::new(weight).stride(16)), &[input]).expect("a convolution");
    graph.add_output_of(name, x, TensorType::maps());
    x
}

fn image(bytes: &[u8]) {
    if let Some(image) = one_line(decode_bytes(Path::new("fuzz"), bytes)) {
        one_line(Preprocess::default().size([32, 32]).resize_and_crop(&image));
    }
}

fn network(bytes: &[u8]) {
    if let Some(network) = one_line(Network::from_bytes("fuzz", bytes)) {
        one_line(network.summary());
        one_line(network.to_bytes(Default::default()));
        run_on_cpu(network);
    }
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(cpu()).expect("there is a CPU"))
}

/// A network's run on the CPU, if it is a small one.
fn run_on_cpu(network: Network) {
    const MOST: usize = 1 << 16;
    let [h, w] = network.size().unwrap_or([8, 8]);
    let inputs = network.shapes(1, [h, w]);
    let fits = |shapes: Vec<ghostnet::graph::Shape>| shapes.iter().all(|shape| shape.checked_count().is_some_and(|count| count <= MOST));
    if !network.graph().shapes(&inputs).is_ok_and(fits) {
        return;
    }
    let Some(model) = one_line(engine().load(network)) else { return };
    one_line(model.plan(1, h, w, Form::Tensors));
    let halves = |(input, shape): (&Input, ghostnet::graph::Shape)| {
        let shape_of = (input.tensor.element == Element::F32).then(|| input.tensor.lengths(shape).ok())??;
        Some((input.name.clone(), AnyTensor { shape: shape_of, data: Values::F32(vec![0.5; shape.count()]) }))
    };
    let given: Option<Vec<_>> = model.network().graph().inputs().iter().zip(inputs).map(halves).collect();
    if let Some(given) = given {
        one_line(model.run_named(&given.iter().map(|(name, tensor)| (&**name, tensor)).collect::<Vec<_>>()));
    }
}

fn cpu() -> ghostnet::EngineOptions {
    ghostnet::EngineOptions::default().backend(ghostnet::Backend::Cpu)
}

/// A hub whose every answer is these bytes.
fn hub(bytes: &[u8]) {
    static ANSWER: OnceLock<(u16, Arc<Mutex<Vec<u8>>>)> = OnceLock::new();
    let (port, answer) = ANSWER.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it has a port").port();
        let answer = Arc::new(Mutex::new(Vec::new()));
        let own = answer.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                let _ = stream.read(&mut request);
                let bytes = own.lock().expect("nobody panics with it").clone();
                let _ = stream.write_all(&bytes);
            }
        });
        (port, answer)
    });
    *answer.lock().expect("nobody panics with it") = bytes.to_vec();
    let folder = folder_in_memory();
    let mut hub = Hub::new(folder.path());
    hub.endpoint = Some(format!("http://127.0.0.1:{port}"));
    let short = Duration::from_millis(500);
    (hub.timeouts.connect, hub.timeouts.answer, hub.timeouts.stall) = (short, short, short);
    one_line(hub.pull("owner/name", |_, _, _| {}));
}

/// Small numbers, and now and then one at an edge.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> usize {
        const EDGES: [usize; 8] = [0, 1 << 24, 1 << 31, (1 << 31) - 1, u32::MAX as usize, usize::MAX, isize::MAX as usize, 1 << 62];
        match self.byte() {
            byte @ 240.. => EDGES[usize::from(byte) % EDGES.len()],
            byte => usize::from(byte % 12),
        }
    }

    fn step(&mut self) -> isize {
        self.number() as isize * if self.byte().is_multiple_of(4) { -1 } else { 1 }
    }

    fn pair(&mut self) -> [usize; 2] {
        [self.number(), self.number()]
    }
}

/// A graph of operations that the bytes name.
fn graph(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut graph = Graph::new();
    let channels = bytes.number();
    let _ = one_line(graph.add_input(channels));
    let mut shapes = Vec::new();
    while !bytes.0.is_empty() && graph.nodes().len() < 64 {
        let node = NodeId(bytes.number());
        let mut constant = |bytes: &mut Bytes<'_>, sides: usize| {
            let shape: Vec<usize> = (0..sides).map(|_| bytes.number()).collect();
            // No more values than any test has, whatever the shape says.
            let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side)).filter(|count| *count < 1 << 12);
            one_line(graph.add_constant("w", &shape, vec![0.25; count.unwrap_or(1)])).unwrap_or(ghostnet::graph::ConstId(bytes.number()))
        };
        let op = match bytes.byte() % 16 {
            0 | 1 => {
                let conv = Conv { stride: bytes.pair(), pad: bytes.pair(), dilation: bytes.pair(), ..Conv::new(constant(&mut bytes, 4)) };
                Op::Conv(Conv { pad_more: [bytes.step(), bytes.step()], groups: bytes.number(), ..conv })
            }
            2 => Op::Linear { weight: constant(&mut bytes, 2), bias: None, activation: Activation::Relu },
            3 => {
                let [weight, bias, mean, var] = [1; 4].map(|sides| constant(&mut bytes, sides));
                Op::BatchNorm { weight, bias, mean, var, eps: 1e-5 }
            }
            4 => Op::Activate(Activation::HardSwish),
            5 => Op::Add,
            6 => Op::Multiply,
            7 => Op::Concat,
            8 => Op::Slice { start: bytes.number(), len: bytes.number() },
            9 => {
                let kind = if bytes.byte().is_multiple_of(2) {
                    PoolKind::Max
                } else {
                    PoolKind::Mean { count_pad: bytes.byte().is_multiple_of(2) }
                };
                let [kernel, stride, pad] = [bytes.pair(), bytes.pair(), bytes.pair()];
                Op::Pool(Pool { kind, kernel, stride, pad, pad_more: [bytes.step(), bytes.step()] })
            }
            10 => Op::GlobalPool,
            11 => Op::Resample(Resample { filter: Filter::Bilinear, coordinates: Coordinates::HalfPixel, ..Resample::to(bytes.pair()) }),
            12 => {
                let axis = |bytes: &mut Bytes<'_>| Axis { len: bytes.number(), channels: bytes.step(), pixels: bytes.step() };
                let axes = (0..bytes.byte() % 8).map(|_| axis(&mut bytes)).collect();
                let three = |bytes: &mut Bytes<'_>| [bytes.number(), bytes.number(), bytes.number()];
                Op::Rearrange(Rearrange { of: three(&mut bytes), start: bytes.pair(), axes, to: three(&mut bytes) })
            }
            13 => Op::Softmax,
            14 => Op::Input { channels: bytes.number() },
            _ => {
                let tensor = if bytes.byte().is_multiple_of(2) { TensorType::maps() } else { TensorType::vectors() };
                graph.add_output_of("y", node, tensor);
                shapes.push(bytes.pair());
                continue;
            }
        };
        let two = matches!(op, Op::Add | Op::Multiply | Op::Concat);
        let inputs = [node, NodeId(if two { bytes.number() } else { 0 })];
        one_line(graph.add("op", op, &inputs[..1 + usize::from(two)]));
    }
    for [h, w] in shapes.into_iter().chain([[8, 8]]) {
        let shape = ghostnet::graph::Shape::new(1, channels, h, w);
        if let Some(shapes) = one_line(graph.shapes(&[shape])) {
            graph.all_macs(&shapes);
        }
    }
    if let Some(network) = one_line(Network::new(graph, Card::default())) {
        one_line(network.summary());
        run_on_cpu(network);
    }
}

// Seeds.

fn safetensors() -> Vec<Vec<u8>> {
    let file = |header: &str, data: &[u8]| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
    let metadata = r#"{"__metadata__":{"architecture":"ghostnet_050","labels":"[\"a\",\"b\"]","input_size":"[3, 32, 32]","crop_pct":"0.9"},
        "module.conv_stem.weight":{"dtype":"F32","shape":[1,1,1,1],"data_offsets":[0,4]},
        "module.classifier.weight":{"dtype":"F16","shape":[2,1],"data_offsets":[4,8]}}"#;
    let wide = r#"{"a.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"w":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]}}"#;
    vec![file(metadata, &[0; 8]), file(wide, &[0; 12])]
}

fn data(folder: &str, most: u64) -> Vec<Vec<u8>> {
    // The repository is this package's folder, or the one above it.
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folder = above.map(|above| above.join("tests/data").join(folder)).find(|path| path.is_dir()).expect("there is test data");
    let entries = fs::read_dir(folder).expect("it can be read");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.metadata().is_ok_and(|found| found.is_file() && found.len() <= most));
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("it can be read")).collect()
}

fn pickles() -> Vec<Vec<u8>> {
    let mut files = data("pth", 4096);
    // Without checksums a change is read, and not refused.
    for file in &mut files {
        for mark in [&b"PK\x03\x04"[..], b"PK\x01\x02"] {
            let crc = if mark[2] == 3 { 14 } else { 16 };
            for at in 0..file.len().saturating_sub(20) {
                if file[at..].starts_with(mark) {
                    file[at + crc..at + crc + 4].fill(0);
                }
            }
        }
    }
    files
}

fn arrays() -> Vec<Vec<u8>> {
    let header = |text: &str, data: &[u8]| [&b"\x93NUMPY\x01\x00"[..], &(text.len() as u16).to_le_bytes(), text.as_bytes(), data].concat();
    vec![
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", &[0; 24]),
        header("{'descr': '<i8', 'fortran_order': True, 'shape': (2, 2, 1), }\n", &[0; 32]),
    ]
}

fn cards() -> Vec<Vec<u8>> {
    let card = r#"{"name": "n", "task": "classify", "labels": ["a", "b\u00e9"], "inputs": {"input": {"size": [224, 224], "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.2, 0.2], "interpolation": "bicubic", "crop_pct": 0.875, "crop_mode": "squash"}}, "outputs": {"y": "z"}, "test_top1": 0.8}"#;
    let config = r#"{"architecture": "ghostnet_100", "num_classes": 2, "label_names": {"0": "n1", "1": "n2"}, "label_descriptions": {"n1": "tench"},
        "pretrained_cfg": {"input_size": [3, 224, 224], "test_input_size": [3, 256, 256], "crop_pct": 1e-1, "mean": [0, 0, 0]}}"#;
    let detector = r#"{"task": "detect", "labels": ["face"], "input": {"size": [32, 48], "fit": "letterbox", "order": "bgr", "mean": [1, 2, 3]},
        "priors": {"strides": [8, 16], "offset": 0.5, "sizes": [[10, 16], [24, 32]], "clamp": true}, "threshold": 0.5, "limit": 50,
        "score": {"classes": {"outputs": ["y"], "channels": [0, 1]}, "activation": "sigmoid", "clip": 100}, "nms": {"kind": "weighted", "iou": 0.3},
        "box": {"form": "center", "values": {"outputs": ["y"], "channels": [1, 5]}, "scale": [0.1, 0.2], "size": "exp"}}"#;
    let landmarks = r#"{"task": "landmarks", "input": {"size": [112, 112], "fit": "region"}, "region": {"from": "box", "scale": 1.2},
        "points": {"values": {"outputs": ["y"]}, "count": 98, "scale": "region"}, "detector": "yunet"}"#;
    // As RetinaNet's on a small network, and as Faster R-CNN's: both are found by.
    let anchors = r#"{"task": "detect", "input": {"size": {"short": 32, "long": 48, "multiple": 16}, "mean": [123.7, 116.3, 103.5], "pad": [124, 116, 104]},
        "priors": {"strides": [16], "anchors": {"sizes": [[16]], "ratios": [1.0], "round": true, "corner": true}}, "threshold": 0.05, "limit": 300,
        "score": {"classes": {"outputs": ["y"], "channels": [0, 2]}, "activation": "sigmoid", "select": "each", "per_level": 5},
        "box": {"form": "center", "size": "exp", "max": 4.135, "values": {"outputs": ["y"], "channels": [2, 6]}}, "nms": {"kind": "greedy", "iou": 0.5, "per_class": true}}"#;
    let stages = r#"{"task": "detect", "labels": ["a", "b"], "input": {"size": [32, 48]}, "proposals": {"input": "regions",
        "priors": {"strides": [16], "anchors": {"sizes": [[16]], "ratios": [1], "corner": true}}, "nms": {"iou": 0.7}, "limit": 4,
        "score": {"classes": {"outputs": ["first"], "channels": [0, 1]}, "per_level": 3},
        "box": {"form": "center", "size": "exp", "values": {"outputs": ["first"], "channels": [1, 5]}, "least": 0.001}},
        "score": {"classes": {"outputs": ["classes"]}, "activation": "softmax", "skip_first": true, "select": "each"}, "threshold": 0.3, "limit": 10,
        "nms": {"kind": "greedy", "iou": 0.5, "per_class": true},
        "box": {"form": "center", "size": "exp", "scale": [0.1, 0.2], "values": {"outputs": ["boxes"]}, "per_class": true, "least": 0.01}}"#;
    [card, config, detector, landmarks, anchors, stages].map(|text| text.as_bytes().to_vec()).into()
}

fn images() -> Vec<Vec<u8>> {
    use image::{DynamicImage, ImageFormat, RgbaImage};
    let picture = DynamicImage::ImageRgba8(RgbaImage::from_fn(13, 9, |x, y| image::Rgba([x as u8 * 17, y as u8 * 23, 99, 255 - x as u8])));
    let mut files = Vec::new();
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP] {
        let mut bytes = Cursor::new(Vec::new());
        let picture = if format == ImageFormat::Jpeg { DynamicImage::ImageRgb8(picture.to_rgb8()) } else { picture.clone() };
        picture.write_to(&mut bytes, format).expect("it can be written");
        files.push(bytes.into_inner());
    }
    files.extend(data("images", 1500));
    files
}

fn small_network() -> Network {
    let mut graph = Graph::new();
    let input = graph.add_input(3).expect("an input");
    let weight = graph.add_constant("conv", &[4, 3, 3, 3], vec![0.1; 108]).expect("filters");
    let x = graph.add("conv", Op::Conv(Conv::new(weight).stride(2).pad(1)), &[input]).expect("a convolution");
    let x = graph.add("pool", Op::GlobalPool, &[x]).expect("a pool");
    let weight = graph.add_constant("linear", &[2, 4], vec![0.1; 8]).expect("weights");
    let x = graph.add("linear", Op::Linear { weight, bias: None, activation: Activation::Identity }, &[x]).expect("a layer");
    graph.add_output_of("logits", x, TensorType::vectors());
    Network::new(graph, Card::named("small").labels(["a", "b"])).expect("they fit")
}

fn one_files() -> Vec<Vec<u8>> {
    let stored = [(small_network(), Stored::F32), (small_network(), Stored::Int8), (suppressing_network(), Stored::F32)];
    stored.map(|(network, stored)| network.to_bytes(stored).expect("it can be written")).into()
}

/// A network whose last step keeps boxes.
fn suppressing_network() -> Network {
    let mut graph = Graph::new();
    let tensor = |sides: &[&str]| TensorType::new(Element::F32, sides.iter().copied()).expect("they fit");
    let input = graph.add_input_of("x", 12, tensor(&["n", "c", "h=1", "w=4"])).expect("an input");
    let boxes = graph.add("boxes", Op::Slice { start: 0, len: 6 }, &[input]).expect("a slice");
    let scores = graph.add("scores", Op::Slice { start: 6, len: 6 }, &[input]).expect("a slice");
    let scores = graph.add("means", Op::GlobalPool, &[scores]).expect("a mean");
    let output = |node, sides: &[&str]| Output { name: "operand".into(), node, tensor: tensor(sides) };
    let last = NonMaxSuppression {
        name: "kept".into(),
        element: Element::I32,
        boxes: output(boxes, &["n", "c", "w"]),
        scores: output(scores, &["n", "c=1", "c=6"]),
        is_centered: true,
        most: Setting::Constant(9.0),
        iou: Setting::Constant(0.5),
        score: Some(Setting::Constant(0.25)),
    };
    graph.add_suppression(last).expect("numbers in range");
    Network::new(graph, Card::named("suppressing")).expect("they fit")
}

/// Graphs that between them have an operator of every kind.
fn onnx() -> Vec<Vec<u8>> {
    let images = || Onnx::default().input("x", &[1, 3, 4, 4]);
    let weights: Vec<f32> = (0..108).map(|at| (at % 7) as f32 * 0.1 - 0.3).collect();
    let pair = Is::Wholes(&[2, 2]);
    let convolutions = images()
        .weights("w", &[4, 3, 3, 3], &weights)
        .weights("v", &[4], &weights[..4])
        .node("Conv", &["x", "w", "v"], &["a"], &[("pads", Is::Wholes(&[1, 1, 1, 1])), ("strides", pair)])
        .node("BatchNormalization", &["a", "v", "v", "v", "v"], &["b"], &[("epsilon", Is::Float(1.0))])
        .node("LeakyRelu", &["b"], &["c"], &[("alpha", Is::Float(0.1))])
        .node("MaxPool", &["c"], &["d"], &[("kernel_shape", Is::Wholes(&[2, 2])), ("ceil_mode", Is::Whole(1))])
        .node("Resize", &["d", "", "scales"], &["e"], &[("mode", Is::Text("linear"))])
        .weights("scales", &[4], &[1.0, 1.0, 2.0, 2.0])
        .node("ConvTranspose", &["e", "t"], &["f"], &[("group", Is::Whole(2))])
        .weights("t", &[4, 2, 1, 1], &weights[..8])
        .node("GlobalAveragePool", &["f"], &["g"], &[])
        .node("Flatten", &["g"], &["h"], &[])
        .node("Gemm", &["h", "m"], &["y"], &[("transB", Is::Whole(1)), ("alpha", Is::Float(0.5))])
        .weights("m", &[2, 4], &weights[..8]);
    let shapes = images()
        .node("Shape", &["x"], &["s"], &[])
        .wholes("two", &[2])
        .wholes("axes", &[0, 1])
        .node("Gather", &["s", "axes"], &["first"], &[])
        .node("Concat", &["first", "rest"], &["shape"], &[("axis", Is::Whole(0))])
        .wholes("rest", &[-1])
        .node("Reshape", &["x", "shape"], &["a"], &[])
        .node("Transpose", &["a"], &["b"], &[("perm", Is::Wholes(&[0, 2, 1]))])
        .node("Slice", &["b", "two", "end", "one"], &["c"], &[])
        .wholes("end", &[9])
        .wholes("one", &[1])
        .node("ConstantOfShape", &["two"], &["zeros"], &[])
        .node("Unsqueeze", &["c", "one"], &["d"], &[])
        .node("Squeeze", &["d", "one"], &["e"], &[])
        .node("Expand", &["one", "two"], &["ones"], &[])
        .node("Range", &["zero", "three", "unit"], &["range"], &[])
        .node("Squeeze", &["one"], &["unit"], &[])
        .node("Sub", &["unit", "unit"], &["zero"], &[])
        .node("Add", &["unit", "end"], &["three"], &[])
        .node("Cast", &["end"], &["floats"], &[("to", Is::Whole(1))])
        .node("Mul", &["e", "floats"], &["f"], &[])
        .node("Split", &["f"], &["y", "z"], &[("axis", Is::Whole(2)), ("num_outputs", Is::Whole(2))])
        .node("Pad", &["x", "pads"], &["padded"], &[("mode", Is::Text("reflect"))])
        .wholes("pads", &[0, 0, 1, 1, 0, 0, 1, 1]);
    let values = images()
        .node("Clip", &["x", "", "high"], &["a"], &[])
        .weights("high", &[], &[2.0])
        .node("HardSigmoid", &["a"], &["b"], &[("alpha", Is::Float(0.3))])
        .node("Div", &["b", "high"], &["c"], &[])
        .node("ReduceMean", &["c"], &["d"], &[("axes", Is::Wholes(&[2])), ("keepdims", Is::Whole(0))])
        .node("Softmax", &["d"], &["e"], &[("axis", Is::Whole(1))])
        .node("TopK", &["e", "k"], &["y", "places"], &[("axis", Is::Whole(1))])
        .wholes("k", &[2])
        .node("QuantizeLinear", &["x", "high", "point"], &["q"], &[])
        .bytes_of("point", &[], &[3])
        .node("DequantizeLinear", &["q", "high", "point"], &["z"], &[])
        .node("Where", &["is", "x", "z"], &["u"], &[])
        .node("Equal", &["high", "high"], &["is"], &[])
        .node("PRelu", &["u", "high"], &["v"], &[]);
    // A unit of a ShuffleNet, then a head whose convolution gives scores and boxes.
    let half = |from, to| [("axis", Is::Whole(1)), ("starts", Is::Wholes(from)), ("ends", Is::Wholes(to))];
    let detector = Onnx::default()
        .input("x", &[1, 8, 4, 4])
        .weights("k", &[4, 4, 1, 1], &weights[..16])
        .weights("d", &[4, 1, 3, 3], &weights[..36])
        .weights("head", &[6, 8, 1, 1], &weights[..48])
        .node("Split", &["x"], &["left", "right"], &[("axis", Is::Whole(1)), ("num_outputs", Is::Whole(2))])
        .node("Conv", &["right", "k"], &["a"], &[])
        .node("Conv", &["a", "d"], &["b"], &[("group", Is::Whole(4)), ("pads", Is::Wholes(&[1, 1, 1, 1]))])
        .node("Concat", &["left", "b"], &["joined"], &[("axis", Is::Whole(1))])
        .wholes("apart", &[1, 2, 4, 4, 4])
        .wholes("together", &[1, 8, 4, 4])
        .node("Reshape", &["joined", "apart"], &["c"], &[])
        .node("Transpose", &["c"], &["e"], &[("perm", Is::Wholes(&[0, 2, 1, 3, 4]))])
        .node("Reshape", &["e", "together"], &["shuffled"], &[])
        .node("Conv", &["shuffled", "head"], &["f"], &[])
        .node("Sigmoid", &["f"], &["likely"], &[])
        .node("Slice", &["likely"], &["y"], &half(&[0], &[2]))
        .node("Slice", &["f"], &["boxes"], &half(&[2], &[6]))
        .wholes("rows", &[1, -1, 16])
        .node("Reshape", &["boxes", "rows"], &["g"], &[])
        .node("Transpose", &["g"], &["z"], &[("perm", Is::Wholes(&[0, 2, 1]))])
        .node("Reshape", &["y", "rows"], &["scores"], &[])
        .wholes("most", &[5])
        .weights("iou", &[], &[0.5])
        .node("NonMaxSuppression", &["z", "scores", "most", "iou"], &["indices"], &[])
        .node("Cast", &["indices"], &["kept"], &[("to", Is::Whole(6))]);
    let regions = Onnx::default()
        .input("x", &[1, 3, 4, 4])
        .input("rois", &[2, 4])
        .wholes("images", &[0, 0])
        .node(
            "RoiAlign",
            &["x", "rois", "images"],
            &["a"],
            &[
                ("output_height", Is::Whole(2)),
                ("output_width", Is::Whole(2)),
                ("sampling_ratio", Is::Whole(2)),
                ("spatial_scale", Is::Float(0.5)),
            ],
        )
        .node("Relu", &["a"], &["y"], &[]);
    vec![
        images().node("Relu", &["x"], &["y"], &[]).output("y").file(),
        regions.output("y").file(),
        detector.output("y").output("z").output("kept").file(),
        convolutions.output("y").file(),
        shapes.output("y").output("range").file(),
        values.output("y").output("v").file(),
    ]
}

fn answers() -> Vec<Vec<u8>> {
    let answer = |head: &str, body: &str| {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).into_bytes()
    };
    let list = r#"{"sha": "0123456789012345678901234567890123456789", "siblings": [{"rfilename": "model.safetensors"}, {"rfilename": "config.json"}]}"#;
    vec![
        answer("200 OK\r\nETag: \"abc\"", list),
        answer("404 Not Found\r\nX-Error-Code: RepoNotFound", "{}"),
        answer("302 Found\r\nLocation: /other", ""),
    ]
}

fn graphs() -> Vec<Vec<u8>> {
    // An input of three channels, convolutions, a pool, results.
    let conv = [0, 0, 1, 1, 1, 1, 1, 1, 4, 3, 3, 3, 0, 1, 0, 1, 1];
    let mut long: Vec<u8> = vec![3];
    for _ in 0..4 {
        long.extend(conv);
        long.extend([1, 4, 2, 10, 3, 15, 0, 8, 8]);
    }
    vec![[&[3][..], &conv, &[1, 15, 1, 8, 8]].concat(), long]
}

/// Runs the target of a name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target has this name");
    (target.run)(bytes);
}
