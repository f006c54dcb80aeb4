//! Detectors on GhostNet against torchvision: tests/data/detectors.json, made by tools/detectors.py
//! from weights that a formula gives.

mod common;

use common::{results, tolerance};
use ghostnet::{
    AnyTensor, Card, DetectOptions, Detection, Engine, Network, Tensor,
    graph::TensorType,
    image_input::decode_file,
    model::families::detector::{GhostDetector, Head},
    model::formula,
};
use serde_json::{Value, json};

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(common::path("tests/data/detectors.json")).unwrap()).unwrap()
}

fn whole(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

/// The network of a case, with a card for smaller pictures.
fn network(all: &Value, case: &Value) -> Network {
    let name = case["name"].as_str().unwrap();
    let head = match name {
        "retinanet_ghostnet_110" => Head::Retina,
        "fasterrcnn_ghostnet_110" => Head::Regions,
        other => panic!("{other}"),
    };
    let network = Network::random_of(&GhostDetector::new(head).classes(whole(&all["classes"])).width(whole(&all["width"])), 0).unwrap();
    assert_eq!(network.name(), name);
    let mut card: Value = serde_json::from_str(&network.card().to_json()).unwrap();
    (card["input"]["size"]["short"], card["input"]["size"]["long"]) = (all["sides"][0].clone(), all["sides"][1].clone());
    card["threshold"] = case["threshold"].clone();
    if head == Head::Regions {
        card["proposals"]["limit"] = all["proposals"].clone();
        card["limit"] = 300.into();
    }
    network.with_card(Card::of_json(&card.to_string()).unwrap()).unwrap()
}

/// Shape, mean, largest magnitude and eight values of a stage, to 1e-4 of its largest value.
fn stage_matches(name: &str, found: &Tensor, wanted: &Value) {
    let shape: Vec<usize> = wanted["shape"].as_array().unwrap().iter().map(whole).collect();
    assert_eq!(found.shape, shape, "{name}");
    let largest = wanted["abs_max"].as_f64().unwrap() as f32;
    let near = |found: f32, wanted: f32, what: &str| {
        let difference = (found - wanted).abs() / largest;
        assert!(difference <= tolerance::NETWORK, "{name}, {what}: {found}, not {wanted}: {difference:.1e} of the largest value");
    };
    let mean = found.data.iter().map(|&v| f64::from(v)).sum::<f64>() / found.data.len() as f64;
    near(mean as f32, wanted["mean"].as_f64().unwrap() as f32, "mean");
    near(found.data.iter().fold(0.0, |most, v| most.max(v.abs())), largest, "largest");
    for (at, value) in wanted["index"].as_array().unwrap().iter().zip(numbers(&wanted["value"])) {
        near(found.data[whole(at)], value, &format!("value {at}"));
    }
}

/// All results of an input by formula, and of a network of one input the pyramid's maps.
fn stages_match(engine: &Engine) {
    let all = expected();
    for case in all["networks"].as_array().unwrap() {
        let model = engine.load(network(&all, case)).unwrap();
        let shape: Vec<usize> = all["shape"].as_array().unwrap().iter().map(whole).collect();
        let input = Tensor::new(&shape, formula::values("input", 0, &shape)).unwrap();
        let found: Vec<(String, Tensor)> = if model.network().graph().inputs().len() == 1 {
            let maps = model.features(&input).unwrap().into_iter().map(|feature| (feature.name, feature.tensor));
            maps.chain(results(&model, &input).unwrap()).collect()
        } else {
            let regions: Vec<f32> = all["regions"].as_array().unwrap().iter().flat_map(numbers).collect();
            let regions = Tensor::new(&[1, regions.len() / 4, 4], regions).unwrap();
            let given = [("input", &input.into()), ("regions", &regions.into())];
            model.run_named(&given).unwrap().into_iter().map(|(name, tensor)| (name, tensor.into_f32())).collect()
        };
        let wanted = case["stages"].as_object().unwrap();
        assert_eq!(found.len(), wanted.len());
        for (name, tensor) in found {
            stage_matches(&name, &tensor, &wanted[&name]);
        }
    }
}

/// A picture alone gives a pyramid's maps, which are those of a whole run.
#[test]
fn features_need_no_regions() {
    let family = GhostDetector::new(Head::Regions).classes(3).width(8);
    let network = Network::random_of(&family, 0).unwrap();
    let mut graph = network.graph().clone();
    let features: Vec<_> = graph.features().to_vec();
    features.iter().for_each(|(name, node)| graph.add_output_of(name, *node, TensorType::maps()));
    let input = Tensor::new(&[1, 3, 64, 96], formula::values("input", 0, &[1, 3, 64, 96])).unwrap();
    let given = [("input", &input.clone().into()), ("regions", &Tensor::new(&[1, 1, 4], vec![0.0, 0.0, 9.0, 9.0]).unwrap().into())];
    let whole = common::cpu().load_graph(graph).unwrap().run_named(&given).unwrap();
    let model = common::cpu().load(network).unwrap();
    let found = model.features(&input).unwrap();
    let told: Vec<(&str, usize)> = found.iter().map(|feature| (&*feature.name, feature.reduction)).collect();
    assert_eq!(told, [("p2", 4), ("p3", 8), ("p4", 16), ("p5", 32), ("p6", 64)]);
    for feature in found {
        let (_, wanted) = whole.iter().find(|(name, _)| *name == feature.name).unwrap();
        assert_eq!(AnyTensor::from(feature.tensor), *wanted, "{}", feature.name);
    }
    assert!(!model.ghost_maps(&input, "backbone.body.blocks.0.0.ghost1").unwrap().ghost.data.is_empty());
    let refused = model.embed(&input).unwrap_err().to_string();
    assert_eq!(refused, "fasterrcnn_ghostnet_110 has no pooled features: its result is of no linear layer");
}

/// What lies beside a detector's weights says its name and its classes; its decoder is the
/// family's.
#[test]
fn a_detectors_config_is_heard() {
    let network = Network::random_of(&GhostDetector::new(Head::Retina).classes(2).width(8), 0).unwrap();
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in network.tensors() {
        let first = data.len();
        data.extend(formula::values(&name, 0, &shape).into_iter().flat_map(f32::to_le_bytes));
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [first, data.len()] }));
    }
    let header = Value::from(header).to_string();
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    let config = json!({
        "architecture": "retinanet_ghostnet_110.own", "label_names": ["n1", "n2"], "label_descriptions": { "n1": "cat", "n2": "dog" },
        "pretrained_cfg": { "input_size": [3, 99, 99], "mean": [0, 0, 0] }
    });
    let found = Network::from_bytes_with("own", &file, config.to_string().as_bytes()).unwrap();
    let Card { name, labels, label_names, inputs, decoder, .. } = found.card();
    assert_eq!(
        (&**name, &**labels, &**label_names),
        ("retinanet_ghostnet_110.own", &["cat", "dog"].map(String::from)[..], &["n1", "n2"].map(String::from)[..])
    );
    assert!(inputs.is_empty() && *decoder == network.card().decoder && found.detector().is_some());
}

fn iou(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |c: [f32; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    let side = |axis: usize| (a[axis + 2].min(b[axis + 2]) - a[axis].max(b[axis])).max(0.0);
    let shared = side(0) * side(1);
    shared / (area(a) + area(b) - shared)
}

/// Every detection clearly above the threshold, on either side, has one on the other.
fn detections_match(engine: &Engine) {
    let all = expected();
    let picture = decode_file(&common::path("assets/images").join(all["image"].as_str().unwrap())).unwrap();
    for case in all["networks"].as_array().unwrap() {
        let model = engine.load(network(&all, case)).unwrap();
        let found = model.detect(&picture, &DetectOptions::default()).unwrap();
        let wanted: Vec<(usize, f32, [f32; 4])> = case["detections"].as_array().unwrap().iter().map(detection).collect();
        let clear = case["threshold"].as_f64().unwrap() as f32 + 0.01;
        // Of Faster R-CNN's classes the first one is none.
        let first = usize::from(model.network().graph().inputs().len() > 1);
        let is_same = |found: &Detection, &(label, score, corners): &(usize, f32, [f32; 4])| {
            found.index + first == label && (found.score - score).abs() <= 1e-3 && iou(found.corners, corners) >= 0.99
        };
        let ours = found.iter().filter(|found| found.score >= clear);
        let theirs = wanted.iter().filter(|wanted| wanted.1 >= clear);
        assert!(theirs.clone().count() > 50, "{}: too few to compare", case["name"]);
        for found in ours {
            assert!(wanted.iter().any(|wanted| is_same(found, wanted)), "{}: torchvision does not find {found:?}", case["name"]);
        }
        for wanted in theirs {
            assert!(found.iter().any(|found| is_same(found, wanted)), "{}: {wanted:?} is not found", case["name"]);
        }
    }
}

fn detection(row: &Value) -> (usize, f32, [f32; 4]) {
    (whole(&row[0]), row[1].as_f64().unwrap() as f32, numbers(&row[2]).try_into().unwrap())
}

#[test]
fn stages_on_the_gpu() {
    if let Some(engine) = common::gpu() {
        stages_match(engine);
    }
}

#[test]
fn stages_on_the_cpu() {
    stages_match(common::cpu());
}

#[test]
fn detections_on_the_gpu() {
    if let Some(engine) = common::gpu() {
        detections_match(engine);
    }
}

#[test]
fn detections_on_the_cpu() {
    detections_match(common::cpu());
}
