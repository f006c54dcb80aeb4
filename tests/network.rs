//! Networks of one's own through the front door: graphs of several inputs and results, cards, and
//! one-file networks.

mod common;

use common::{
    net::{self, Net, Random},
    relative_difference, tolerance,
};
use ghostnet::{
    AnyTensor, Card, Element, Engine, Error, Network, Tensor, Values,
    graph::{Activation, Conv, Graph, NodeId, Op, Separable, Shape, TensorType},
    image_input::Preprocess,
    model::{
        Source, Stored,
        checkpoint::Checkpoint,
        families::ghostnet::{GhostModule, GhostNet},
    },
    plan::Form,
};
use image::{DynamicImage, RgbImage};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Counts what is allocated, for what hostile files may take.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's pointer and layout, which came from `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn engines() -> impl Iterator<Item = &'static Engine> {
    common::gpu().into_iter().chain([common::cpu()])
}

fn tensor_type(element: Element, sides: &[&str]) -> TensorType {
    TensorType::new(element, sides.iter().copied()).unwrap()
}

/// A ghost module on an image, scaled by a vector of integers; three results of three types and
/// ranks.
fn two_inputs() -> Graph {
    let mut graph = Graph::new();
    let image = graph.add_input_of("image", 3, TensorType::maps()).unwrap();
    let counts = graph.add_input_of("counts", 8, tensor_type(Element::I64, &["n", "c=8"])).unwrap();
    let module = GhostModule::new(3, 8);
    let maps = module.add(&mut graph, &mut Source::formula(1), "ghost", image).unwrap();
    let scaled = graph.add("scaled", Op::Multiply, &[maps, counts]).unwrap();
    let mean = graph.add("mean", Op::GlobalPool, &[scaled]).unwrap();
    let weight = Source::formula(1).constant(&mut graph, "fc.weight", &[6, 8]).unwrap();
    let linear = graph.add("fc", Op::Linear { weight, bias: None, activation: Activation::Relu }, &[mean]).unwrap();
    graph.add_output_of("pairs", scaled, tensor_type(Element::F32, &["n", "c=2", "c", "h", "w"]));
    graph.add_output_of("signs", linear, tensor_type(Element::Bool, &["n", "c"]));
    graph.add_output_of("twice", counts, tensor_type(Element::I64, &["n", "c", "hw"]));
    graph
}

fn given(n: usize, [h, w]: [usize; 2]) -> [(&'static str, AnyTensor); 2] {
    let image = Random(n as u64).values(n * 3 * h * w);
    let counts = (0..n * 8).map(|at| at as i64 % 5 - 2).collect();
    [
        ("image", AnyTensor { shape: vec![n, 3, h, w], data: Values::F32(image) }),
        ("counts", AnyTensor { shape: vec![n, 8], data: Values::I64(counts) }),
    ]
}

fn named<'a>(tensors: &'a [(&'static str, AnyTensor)]) -> Vec<(&'static str, &'a AnyTensor)> {
    tensors.iter().map(|(name, tensor)| (*name, tensor)).collect()
}

/// Results are alike: of floats nearly, of others the same.
fn alike(got: &[(String, AnyTensor)], wanted: &[(String, AnyTensor)]) {
    assert_eq!(got.len(), wanted.len());
    for ((name, got), (known, wanted)) in got.iter().zip(wanted) {
        assert_eq!((name, &got.shape), (known, &wanted.shape));
        match (&got.data, &wanted.data) {
            (Values::F32(a), Values::F32(b)) => assert!(relative_difference(a, b) <= tolerance::KERNEL, "{name}"),
            (a, b) => assert_eq!(a, b, "{name}"),
        }
    }
}

#[test]
fn several_inputs_and_results_of_any_type_and_rank() {
    let network = Network::new(two_inputs(), Card::named("two")).unwrap();
    let expected = common::cpu().load(network.clone()).unwrap().run_named(&named(&given(2, [6, 5]))).unwrap();
    let shapes: Vec<&[usize]> = expected.iter().map(|(_, tensor)| &tensor.shape[..]).collect();
    assert_eq!(shapes, [&[2, 2, 4, 6, 5][..], &[2, 6], &[2, 8, 1]]);
    let counts = given(2, [6, 5])[1].1.clone();
    assert_eq!(expected[2].1.data, counts.data, "an input that is a result");
    let Values::Bool(signs) = &expected[1].1.data else { panic!("{:?}", expected[1].1.data.element()) };
    assert!(signs.contains(&true) && signs.contains(&false), "{signs:?}");
    for engine in engines() {
        let model = engine.load(network.clone()).unwrap();
        // In any order of names.
        let inputs = given(2, [6, 5]);
        let mut order = named(&inputs);
        alike(&model.run_named(&order).unwrap(), &expected);
        order.reverse();
        alike(&model.run_named(&order).unwrap(), &expected);
        // A session for more images than there are, and several runs under way.
        let mut session = model.session(4, 6, 5, Form::Tensors, 2).unwrap();
        let pending: Vec<_> = (0..3).map(|_| session.submit_named(&order).unwrap()).collect();
        pending.into_iter().for_each(|run| alike(&run.wait().unwrap(), &expected));
        // The images one by one.
        for n in 0..2 {
            let part = |(name, tensor): &(&'static str, AnyTensor)| {
                let of_image = tensor.data.len() / 2;
                let data = match &tensor.data {
                    Values::F32(data) => Values::F32(data[n * of_image..][..of_image].to_vec()),
                    Values::I64(data) => Values::I64(data[n * of_image..][..of_image].to_vec()),
                    _ => unreachable!(),
                };
                (*name, AnyTensor { shape: [&[1], &tensor.shape[1..]].concat(), data })
            };
            let one = inputs.each_ref().map(part);
            let results = model.run_named(&named(&one)).unwrap();
            let Values::F32(all) = &expected[0].1.data else { unreachable!() };
            let Values::F32(got) = &results[0].1.data else { unreachable!() };
            assert!(relative_difference(got, &all[n * got.len()..][..got.len()]) <= tolerance::KERNEL);
        }
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    for engine in engines() {
        let model = engine.load(Network::new(two_inputs(), Card::named("two")).unwrap()).unwrap();
        let good = given(2, [6, 5]);
        let with = |at: usize, name: &'static str, tensor: AnyTensor| {
            let mut inputs = good.clone();
            inputs[at] = (name, tensor);
            model.run_named(&named(&inputs)).unwrap_err().to_string()
        };
        let counts = |shape: &[usize], data: Vec<i64>| AnyTensor { shape: shape.to_vec(), data: Values::I64(data) };
        let floats = AnyTensor { shape: vec![2, 8], data: Values::F32(vec![0.0; 16]) };
        for (message, wanted) in [
            (with(1, "count", counts(&[2, 8], vec![0; 16])), "no input is called `count`: there are image, counts"),
            (with(1, "image", counts(&[2, 8], vec![0; 16])), "input `image` is given twice"),
            (with(1, "counts", floats), "counts: holds f32, i64 [n, c=8] is needed"),
            (with(1, "counts", counts(&[2, 4, 2], vec![0; 16])), "counts: has shape [2, 4, 2], i64 [n, c=8] is needed"),
            (with(1, "counts", counts(&[2, 8], vec![0; 15])), "counts: shape [2, 8] has 16 values, 15 were given"),
            (with(1, "counts", counts(&[3, 8], vec![0; 24])), "counts: has 3 images, `image` has 2"),
            (
                with(1, "counts", counts(&[2, 8], vec![i64::MIN; 16])),
                "counts: value 0 is -9223372036854775808, whole numbers up to 16777216 can be taken",
            ),
        ] {
            assert_eq!(message, wanted);
        }
        let one = model.run_named(&named(&good)[..1]).unwrap_err().to_string();
        assert_eq!(one, "input `counts` is missing: there are image, counts");
        let one = model.run(&Tensor::new(&[1, 3, 6, 5], vec![0.0; 90]).unwrap()).unwrap_err().to_string();
        assert_eq!(one, "the network takes 2 inputs, image, counts: name each");
        let mut session = model.session(1, 6, 5, Form::Tensors, 1).unwrap();
        let many = session.submit_named(&named(&good)).unwrap_err().to_string();
        assert_eq!(many, "image: has shape [2, 3, 6, 5], this session takes [1, 3, 6, 5]");
    }
}

#[test]
fn inputs_of_one_size_need_none() {
    let mut graph = Graph::new();
    let fixed = tensor_type(Element::F32, &["n", "c=2", "c=3", "h=4", "w=5"]);
    let x = graph.add_input_of("x", 6, fixed).unwrap();
    graph.add_output_of("y", x, tensor_type(Element::I32, &["nchw"]));
    let network = Network::new(graph, Card::default()).unwrap();
    assert_eq!(network.size(), Some([4, 5]));
    for engine in engines() {
        let model = engine.load(network.clone()).unwrap();
        assert_eq!(model.plan(2, 99, 99, Form::Tensors).unwrap().inputs[0].shape.to_string(), "[2, 6, 4, 5]");
        let values: Vec<f32> = (0..120).map(|v| v as f32 - 60.4).collect();
        let x = AnyTensor { shape: vec![1, 2, 3, 4, 5], data: Values::F32(values) };
        let (_, y) = model.run_named(&[("x", &x)]).unwrap().remove(0);
        assert_eq!(y, AnyTensor { shape: vec![120], data: Values::I32((-60..60).collect()) });
        let wrong = AnyTensor { shape: vec![1, 2, 3, 5, 4], ..x };
        let message = model.run_named(&[("x", &wrong)]).unwrap_err().to_string();
        assert_eq!(message, "x: has shape [1, 2, 3, 5, 4], f32 [n, c=2, c=3, h=4, w=5] is needed");
    }
}

fn photo() -> DynamicImage {
    let noise = Random(5).values(40 * 30 * 3).into_iter().map(|v| (v * 127.0 + 128.0) as u8).collect();
    RgbImage::from_raw(40, 30, noise).unwrap().into()
}

#[test]
fn a_card_makes_a_graph_a_classifier() {
    let mut graph = Graph::new();
    let x = graph.add_input(3).unwrap();
    let weight = Source::formula(2).constant(&mut graph, "conv.weight", &[4, 3, 3, 3]).unwrap();
    let y = graph.add("conv", Op::Conv(Conv::new(weight).pad(1)), &[x]).unwrap();
    let y = graph.add("mean", Op::GlobalPool, &[y]).unwrap();
    graph.add_output("scores", y);
    let bare = Network::new(graph.clone(), Card::named("bare")).unwrap();
    let preprocess = Preprocess::default().size([16, 12]);
    let card = Card::named("four").labels(["a", "b", "c", "d"]).input("input", preprocess.clone());
    let network = Network::new(graph.clone(), card.clone()).unwrap();
    assert_eq!((bare.classes(), network.classes()), (0, 4));
    for engine in engines() {
        let message = engine.load(bare.clone()).unwrap().classify(&photo(), 1).unwrap_err().to_string();
        assert!(message.contains("bare") && message.contains("card"), "{message}");
        let unlabelled = bare.clone().with_card(Card::named("bare").input("input", preprocess.clone())).unwrap();
        let message = engine.load(unlabelled).unwrap().classify(&photo(), 1).unwrap_err().to_string();
        assert_eq!(message, "bare tells no classes apart: its first result is no vector, and no card names any");
        let model = engine.load(network.clone()).unwrap();
        let classes = model.classify(&photo(), 9).unwrap();
        assert_eq!(classes.len(), 4);
        let tensor = Tensor::new(&[1, 3, 16, 12], preprocess.tensor(&photo()).unwrap()).unwrap();
        let scores = model.run(&tensor).unwrap();
        assert_eq!(scores.shape, [1, 4, 1, 1]);
        let best = (0..4).max_by(|&a, &b| scores.data[a].total_cmp(&scores.data[b])).unwrap();
        assert_eq!((classes[0].index, &*classes[0].label), (best, ["a", "b", "c", "d"][best]));
        let mut session = model.session(1, 16, 12, Form::Classify { k: 9 }, 2).unwrap();
        assert_eq!(session.submit_images(&[photo()]).unwrap().wait().unwrap()[0], classes);
    }
    for (card, wanted) in [
        (Card::default().labels(["a"]), "1 labels for 4 classes"),
        (Card::default().input("image", preprocess), "the card names the input `image`, the graph has input"),
    ] {
        assert_eq!(Network::new(graph.clone(), card).unwrap_err().to_string(), wanted);
    }
}

#[test]
fn what_no_graph_can_have_is_an_error() {
    let mut graph = Graph::new();
    let x = graph.add_input(3).unwrap();
    let refused = |graph: &mut Graph, op: Op, wanted: &str| {
        let message = graph.add("node", op, &[NodeId(0)]).unwrap_err().to_string();
        assert!(message.starts_with("node: ") && message.contains(wanted), "{message}");
    };
    let constant = |graph: &mut Graph, shape: &[usize]| graph.add_constant("w", shape, vec![0.5; shape.iter().product()]).unwrap();
    let none = constant(&mut graph, &[0, 3]);
    refused(&mut graph, Op::Linear { weight: none, bias: None, activation: Activation::Identity }, "`w` [0, 3] has no rows");
    let tall = graph.add_constant("w", &[2, 3, usize::MAX, 0], vec![]).unwrap();
    refused(&mut graph, Op::Conv(Conv::new(tall)), "must be at least 1");
    let wide = graph.add_constant("w", &[0, usize::MAX, 1, 1], vec![]).unwrap();
    refused(&mut graph, Op::Conv(Conv { groups: 3, ..Conv::new(wide) }), "`w` [0, 18446744073709551615, 1, 1] needs");
    let filters = constant(&mut graph, &[2, 3, 1, 1]);
    refused(&mut graph, Op::Conv(Conv { groups: usize::MAX, ..Conv::new(filters) }), "cannot be split");
    // Only passes make these, and only `add_input` inputs.
    refused(&mut graph, Op::Conv(Conv { pool: true, ..Conv::new(filters) }), "is made by passes only");
    refused(&mut graph, Op::Conv(Conv { gate: true, ..Conv::new(filters) }), "is made by passes only");
    refused(&mut graph, Op::Input { channels: 3 }, "is made by `Graph::add_input` only");
    let fused = Separable { depthwise: Conv::new(filters), pointwise: Conv::new(filters) };
    refused(&mut graph, Op::Separable(fused), "is made by passes only");

    // Results and marks of nodes that are not there.
    type End = fn(&mut Graph);
    let ends: [(&str, End); 3] = [
        ("y", |graph| graph.add_output("y", NodeId(7))),
        ("f", |graph| graph.add_feature("f", NodeId(7))),
        ("embedding", |graph| graph.set_embedding(NodeId(7))),
    ];
    for (name, end) in ends {
        let mut graph = graph.clone();
        end(&mut graph);
        let message = format!("{name}: node 7 is not in the graph (there are 1)");
        assert_eq!(graph.shapes(&[Shape::new(1, 3, 4, 4)]).unwrap_err().to_string(), message);
        assert_eq!(Network::new(graph, Card::default()).unwrap_err().to_string(), message);
    }

    // Sizes that overflow in what is made of them.
    graph.add_output("y", x);
    for [n, h, w] in [[1, 1 << 31, 1], [1 << 30, 1 << 30, 1], [1, 1 << 30, 1 << 30], [1 << 20, 1 << 20, 1 << 21]] {
        assert!(matches!(graph.shapes(&[Shape::new(n, 3, h, w)]), Err(Error::Limit { .. })), "{n} {h} {w}");
    }
    let weight = constant(&mut graph, &[64, 3, 1, 1]);
    graph.add("wide", Op::Conv(Conv::new(weight)), &[x]).unwrap();
    let shapes = graph.shapes(&[Shape::new(1 << 20, 3, 1 << 15, 1 << 15)]).unwrap();
    assert_eq!(graph.all_macs(&shapes), (64 * 3) << 50);

    for network in [
        Network::random_of(&GhostNet::new(1.0).classes(0), 0),
        Network::random_of(&GhostNet::new(1e9), 0),
        Network::random_of(&GhostNet::new(1.0).ratio(0), 0),
        Network::random_of(&GhostNet::new(1.0).cheap_kernel(2), 0),
        Network::random_of(&GhostNet::new(1.0).stem_stride(0), 0),
    ] {
        assert!(matches!(network, Err(Error::Shape { .. })), "{network:?}");
    }
}

#[test]
fn features_and_embeddings_of_any_graph() {
    let mut graph = Graph::new();
    let x = graph.add_input(3).unwrap();
    let mut source = Source::formula(3);
    let maps = GhostModule::new(3, 10).stride(2).add(&mut graph, &mut source, "ghost", x).unwrap();
    let mean = graph.add("mean", Op::GlobalPool, &[maps]).unwrap();
    let weight = source.constant(&mut graph, "fc.weight", &[5, 10]).unwrap();
    let linear = graph.add("fc", Op::Linear { weight, bias: None, activation: Activation::Identity }, &[mean]).unwrap();
    graph.add_output_of("logits", linear, TensorType::vectors());
    let none = Network::new(graph.clone(), Card::named("none")).unwrap();
    graph.add_feature("maps", maps);
    let network = Network::new(graph, Card::named("marked")).unwrap();
    let input = Tensor::new(&[2, 3, 7, 9], Random(1).values(2 * 3 * 7 * 9)).unwrap();
    for engine in engines() {
        let model = engine.load(network.clone()).unwrap();
        let features = model.features(&input).unwrap();
        assert_eq!((features.len(), &*features[0].name, features[0].reduction), (1, "maps", 2));
        assert_eq!(features[0].tensor.shape, [2, 10, 4, 5]);
        // What the linear layer reads is the mean of the maps.
        let embedding = model.embed(&input).unwrap();
        let means: Vec<f32> = features[0].tensor.data.chunks(20).map(|map| map.iter().sum::<f32>() / 20.0).collect();
        assert_eq!(embedding.shape, [2, 10]);
        assert!(relative_difference(&embedding.data, &means) <= tolerance::KERNEL);
        let none = engine.load(none.clone()).unwrap();
        assert_eq!(none.features(&input).unwrap_err().to_string(), "none has no features: no node is marked as one");
        assert_eq!(none.embed(&input).unwrap().data, embedding.data);
    }
    let (mut net, x) = Net::new(3);
    let y = net.pointwise(x, 4);
    net.output(y);
    let network = Network::new(net.graph, Card::named("maps")).unwrap();
    let message = common::cpu().load(network).unwrap().embed(&input).unwrap_err().to_string();
    assert_eq!(message, "maps has no pooled features: its result is of no linear layer");
}

#[test]
fn the_embedding_of_a_ghostnet_feeds_its_classifier() {
    let network = Network::embedded().unwrap();
    let (weight, bias) = (network.graph().tensor("classifier.weight").unwrap(), network.graph().tensor("classifier.bias").unwrap());
    let input = Tensor::new(&[1, 3, 32, 32], Random(9).values(3 * 32 * 32)).unwrap();
    for engine in engines() {
        let model = engine.load(network.clone()).unwrap();
        let (embedding, logits) = (model.embed(&input).unwrap(), model.run(&input).unwrap());
        assert_eq!(embedding.shape, [1, 1280]);
        let of_embedding: Vec<f32> = weight
            .data
            .chunks(1280)
            .zip(bias.data.iter())
            .map(|(row, bias)| row.iter().zip(&embedding.data).map(|(w, v)| w * v).sum::<f32>() + bias)
            .collect();
        assert!(relative_difference(&of_embedding, &logits.data) <= tolerance::NETWORK);
    }
}

/// A file's network and what it was made of are one: the same bytes again, the same results.
#[test]
fn one_file_holds_a_whole_network() {
    let every = net::SHAPES.map(|shape| (Network::new(net::every_operation(shape.c), Card::named("all")).unwrap(), shape));
    let others = [(Network::embedded().unwrap(), ghostnet::graph::Shape::new(2, 3, 32, 32))];
    for (network, shape) in every.into_iter().chain(others) {
        let bytes = network.to_bytes(Stored::F32).unwrap();
        assert!(network.to_bytes(Stored::F32).unwrap() == bytes, "the same each time");
        let read = Network::from_bytes("x.safetensors", &bytes).unwrap();
        assert!(read.to_bytes(Stored::F32).unwrap() == bytes, "the same again");
        assert_eq!(read.card(), network.card());
        assert_eq!(read.graph().to_string(), network.graph().to_string());
        let input = Tensor::new(&[shape.n, shape.c, shape.h, shape.w], Random(2).values(shape.count())).unwrap();
        for engine in engines() {
            let [read, network] = [&read, &network].map(|network| {
                let model = engine.load(network.clone()).unwrap();
                common::results(&model, &input).unwrap()
            });
            assert!(read == network, "{shape} on {}", engine.backend());
        }
    }
    // Several inputs and results, marks.
    let mut graph = two_inputs();
    graph.add_feature("scaled", ghostnet::graph::NodeId(8));
    graph.set_embedding(ghostnet::graph::NodeId(9));
    let network = Network::new(graph, Card::named("two")).unwrap();
    let read = Network::from_bytes("two", &network.to_bytes(Stored::F32).unwrap()).unwrap();
    assert_eq!((read.graph().features(), read.graph().embedding()), (network.graph().features(), network.graph().embedding()));
    assert_eq!((read.graph().inputs(), read.graph().outputs()), (network.graph().inputs(), network.graph().outputs()));
    let results =
        [&read, &network].map(|network| common::cpu().load(network.clone()).unwrap().run_named(&named(&given(1, [4, 4]))).unwrap());
    assert_eq!(results[0], results[1]);
}

#[test]
fn halves_are_half_the_file() {
    let network = Network::embedded().unwrap();
    let [whole, halves] = [Stored::F32, Stored::F16].map(|stored| network.to_bytes(stored).unwrap());
    assert!(halves.len() * 10 < whole.len() * 6, "{} and {}", halves.len(), whole.len());
    let read = Network::from_bytes("halves", &halves).unwrap();
    let input = Tensor::new(&[1, 3, 32, 32], Random(3).values(3 * 32 * 32)).unwrap();
    let [a, b] = [&read, &network].map(|network| common::cpu().load(network.clone()).unwrap().run(&input).unwrap().data);
    assert!(relative_difference(&a, &b) <= tolerance::HALVES);
    // A file on disk, and what cannot be halves.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n.safetensors");
    network.save(&path, Stored::F16).unwrap();
    assert!(std::fs::read(&path).unwrap() == halves);
    assert!(Network::open(&path).unwrap().to_bytes(Stored::F16).unwrap() == halves);
    let mut graph = Graph::new();
    let x = graph.add_input(1).unwrap();
    let weight = graph.add_constant("huge", &[1, 1, 1, 1], vec![1e6]).unwrap();
    let y = graph.add("y", Op::Conv(Conv::new(weight)), &[x]).unwrap();
    graph.add_output("y", y);
    let message = Network::new(graph, Card::default()).unwrap().to_bytes(Stored::F16).unwrap_err().to_string();
    assert!(message.contains("huge") && message.contains("65504"), "{message}");
}

/// A small network with a card, as the bytes of its file.
fn small_file() -> Vec<u8> {
    let mut graph = two_inputs();
    graph.add_feature("scaled", ghostnet::graph::NodeId(8));
    let card = Card::named("two").input("image", Preprocess::default());
    Network::new(graph, card).unwrap().to_bytes(Stored::F32).unwrap()
}

#[test]
fn files_that_cannot_be_are_refused_in_one_line() {
    let bytes = small_file();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    let with = |from: &str, to: &str| {
        assert!(header.contains(from), "{from}");
        let header = header.replacen(from, to, 1);
        let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes[8 + length..]].concat();
        let error = Network::from_bytes("n.safetensors", &file).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Weights { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.starts_with("n.safetensors: ") && !message.contains('\n'), "{message}");
        message
    };
    let q = r#"\""#;
    for (from, to, wanted) in [
        (r#""version":"1""#.to_string(), r#""version":"2""#.to_string(), "of version 2; this library reads version 1"),
        (r#""version":"1""#.into(), r#""vers":"1""#.into(), "without `version`"),
        (format!("{q}op{q}:{q}concat{q}"), format!("{q}op{q}:{q}conkat{q}"), "operation `conkat` is unknown to this version"),
        (format!("{q}groups{q}:4"), format!("{q}groups{q}:3"), "3 groups"),
        (format!("{q}groups{q}:4"), format!("{q}gropus{q}:4"), "`gropus` is unknown to this version"),
        (format!("{q}inputs{q}:[0]"), format!("{q}inputs{q}:[7]"), "7 is no earlier node: there are 2"),
        (format!("{q}channels{q}:8"), format!("{q}channels{q}:9"), "9 channels are no tensor i64 [n, c=8]"),
        (format!("{q}channels{q}:3"), format!("{q}channels{q}:99999999"), "99999999 channels, 16777216 is the limit"),
        (format!("{q}c=8{q}"), format!("{q}c=0{q}"), "side `c=0` is no range of n, c, h, w"),
        (format!("{q}weight{q}:{q}fc.weight{q}"), format!("{q}weight{q}:{q}fc{q}"), "there is no tensor `fc`"),
        (r#""fc.weight":{"#.into(), r#""fc.other":{"#.into(), "there is no tensor `fc.weight`"),
        (format!("{q}crop_pct{q}:0.875"), format!("{q}crop_pct{q}:1.875"), "crop_pct is 1.875, not above 0 and at most 1"),
        (format!("{q}image{q}:{{{q}size"), format!("{q}photo{q}:{{{q}size"), "the card names the input `photo`"),
    ] {
        let message = with(&from, &to);
        assert!(message.contains(wanted), "{message}, not: {wanted}");
    }
    let short = Network::from_bytes("n", &bytes[..bytes.len() - 4]).unwrap_err().to_string();
    assert!(short.contains("cut off"), "{short}");
    let checkpoint = Checkpoint::from_bytes("n", &bytes).unwrap();
    assert_eq!(Network::from_checkpoint(&checkpoint).unwrap().name(), "two");
}

/// Damaged files are refused or make a network that can be planned or is refused: nothing panics,
/// and nothing takes more memory than eight times the file and what an empty program needs.
/// `GHOSTNET_MUTATIONS` says how many files are tried.
#[test]
fn damaged_files_do_no_harm() {
    let mutations: usize = std::env::var("GHOSTNET_MUTATIONS").map_or(20_000, |count| count.parse().unwrap());
    let bytes = small_file();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut random = Random(11);
    let words =
        ["0", "1", "7", "99999999999999999999", "-1", "1e9", "[", "]", "{", "}", "\\\"", "conv", "null", "[0]", "4294967296", "2147483647"];
    let (mut opened, mut most) = (0, 0);
    for _ in 0..mutations {
        let mut file = bytes.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(header);
            match random.below(4) {
                0 => file[at] = random.below(256) as u8,
                1 => file[at] ^= 1 << random.below(8),
                2 => {
                    let word = random.pick(&words);
                    let end = (at + random.below(word.len() + 3)).min(file.len());
                    file.splice(at..end, word.bytes());
                }
                _ => {
                    let end = (at + random.below(40)).min(file.len());
                    file.drain(at..end);
                }
            }
        }
        // Most changes move the header's end, which the first bytes tell.
        if random.below(4) > 0 {
            let length = (header + file.len()).saturating_sub(bytes.len()).saturating_sub(8) as u64;
            file[..8].copy_from_slice(&length.to_le_bytes());
        }
        let before = HELD.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        if let Ok(network) = Network::from_bytes("damaged", &file) {
            opened += 1;
            let _ = network.summary();
        }
        let taken = MOST.load(Ordering::Relaxed).saturating_sub(before);
        most = most.max(taken * 10 / file.len().max(1));
        assert!(taken <= 8 * file.len() + (64 << 20), "{taken} bytes of memory for a file of {}", file.len());
    }
    println!("{mutations} files, {opened} of them networks; at most {}.{} times the file", most / 10, most % 10);
    assert!(opened > 0 && opened < mutations);
}

/// Weights of 8 bits, with a zero point in the first row, beside one that no 8 bits hold.
fn of_integers() -> Network {
    let (mut net, x) = Net::new(3);
    let scales: Vec<f32> = (0..6).map(|_| net.random.value().abs() / 100.0 + 1e-3).collect();
    let multiple = |at: usize| if at < 27 { (at * 9) as f32 } else { ((at * 37) % 255) as f32 - 127.0 };
    let weight = (0..6 * 27).map(|at| multiple(at) * scales[at / 27]).collect::<Vec<f32>>();
    let weight = net.graph.add_constant("conv", &[6, 3, 3, 3], weight).unwrap();
    let bias = net.graph.add_constant("bias", &[6], scales).unwrap();
    let x = net.graph.add("conv", Op::Conv(Conv::new(weight).bias(bias)), &[x]).unwrap();
    let y = net.pointwise(x, 200);
    let mean = net.add(Op::GlobalPool, &[y]);
    let y = net.linear(mean, 4);
    net.output(y);
    Network::new(net.graph, Card::named("integers")).unwrap()
}

#[test]
fn bytes_are_a_quarter_of_the_file() {
    let network = of_integers();
    let [whole, bytes] = [Stored::F32, Stored::Int8].map(|stored| network.to_bytes(stored).unwrap());
    let read = Network::from_bytes("bytes", &bytes).unwrap();
    assert!(read.graph().tensor("conv").unwrap().data == network.graph().tensor("conv").unwrap().data, "to the bit");
    assert!(read.graph().tensor("bias").unwrap().data == network.graph().tensor("bias").unwrap().data);
    let again = Network::from_bytes("again", &read.to_bytes(Stored::Int8).unwrap()).unwrap();
    assert_eq!(read.tensors().len(), network.tensors().len());
    // Others are rounded by half a step at most, of 127 for the largest of a row.
    let known = Network::from_bytes("whole", &whole).unwrap();
    for (at, (name, shape)) in known.tensors().iter().enumerate() {
        let [old, new, again] = [&known, &read, &again].map(|network| network.graph().constant(ghostnet::graph::ConstId(at)).data.clone());
        assert!(new == again, "{name}: rounded once");
        for (old, new) in old.chunks(old.len() / shape[0]).zip(new.chunks(old.len() / shape[0])) {
            let largest = old.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            assert!(old.iter().zip(new).all(|(old, new)| (old - new).abs() <= largest / 253.0), "{name}");
        }
    }
    let network = Network::embedded().unwrap();
    let [whole_file, file] = [Stored::F32, Stored::Int8].map(|stored| network.to_bytes(stored).unwrap().len());
    assert!(file * 10 < whole_file * 4 && bytes.len() < whole.len(), "{file} and {whole_file}");
    let read = Network::from_bytes("bytes", &network.to_bytes(Stored::Int8).unwrap()).unwrap();
    let input = Tensor::new(&[1, 3, 32, 32], Random(3).values(3 * 32 * 32)).unwrap();
    let [a, b] = [&read, &network].map(|network| common::cpu().load(network.clone()).unwrap().run(&input).unwrap().data);
    assert!(relative_difference(&a, &b) <= 0.1);
    // A name that scales would take stays another's.
    let mut graph = Graph::new();
    let x = graph.add_input(1).unwrap();
    let [a, b] = ["w", "w.int8_scale"].map(|name| graph.add_constant(name, &[1, 1, 1, 1], vec![0.5]).unwrap());
    let y = graph.add("a", Op::Conv(Conv::new(a)), &[x]).unwrap();
    let y = graph.add("b", Op::Conv(Conv::new(b)), &[y]).unwrap();
    graph.add_output("y", y);
    let read = Network::from_bytes("w", &Network::new(graph, Card::default()).unwrap().to_bytes(Stored::Int8).unwrap()).unwrap();
    assert_eq!(read.tensors().len(), 2);
}

#[test]
fn broken_scales_are_refused_in_one_line() {
    let bytes = of_integers().to_bytes(Stored::Int8).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    let refused = |header: &str, data: &[u8]| {
        let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat();
        let message = Network::from_bytes("n", &file).map(drop).unwrap_err().to_string();
        assert!(!message.contains('\n'), "{message}");
        message
    };
    let data = &bytes[8 + length..];
    let missing = refused(&header.replace("conv.int8_scale", "conv.int8_scales"), data);
    assert_eq!(missing, "n: tensor `conv` holds I8, and there are no scales `conv.int8_scale`");
    // The places of scales and zero points, which have one shape, in the other shape.
    let at = header.find(r#""conv.int8_scale""#).unwrap();
    let (before, after) = header.split_at(at);
    let of_shape = refused(&format!("{before}{}", after.replacen("[6]", "[2,3]", 1)), data);
    assert_eq!(of_shape, "n: tensor `conv.int8_scale` is [2, 3] and should be [6]");
    let (_, offsets) = after.split_once(r#""data_offsets":["#).unwrap();
    let start: usize = offsets.split_once(',').unwrap().0.parse().unwrap();
    for (value, wanted) in [(f32::NAN, "`conv.int8_scale` has NaN at [0]"), (f32::MAX, "`conv` has ")] {
        let mut data = data.to_vec();
        data[start..start + 4].copy_from_slice(&value.to_le_bytes());
        let message = refused(header, &data);
        assert!(message.contains(wanted), "{message}");
    }
    // Weights without a graph are never such.
    let file = Checkpoint::from_bytes("n", &bytes).unwrap();
    assert!(file.get("conv.int8_scale").is_none() && file.get("conv").is_some());
    let weights = refused(&header.replace(r#""format":"ghostnet""#, r#""format":"pt""#), data);
    assert!(weights.contains("holds I8, not f16, bf16, f32 or f64"), "{weights}");
}
