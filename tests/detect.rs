//! Detectors on a GPU, which samples the picture and finds the candidates itself: the same as on
//! the CPU, and as the reference in numpy says.

mod common;

use ghostnet::{
    Backend, Card, Detection, DetectOptions, Element, Engine, EngineOptions, Error, Model, Network, Precision,
    graph::{Activation, Conv, Graph, NodeId, Op, TensorType},
    image::{DynamicImage, RgbImage},
    image_input::decode_file,
    wgpu,
};
use serde_json::Value;

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
    RgbImage::from_fn(48, 32, |x, y| image::Rgb([x as u8, y as u8, 7])).into()
}

fn gpu(change: impl FnOnce(EngineOptions) -> EngineOptions) -> Option<Engine> {
    common::gpu_with(|options| *options = change(options.clone()))
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
    let Some(gpu) = gpu(|options| options) else { return };
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
            for (engine, device) in [(common::cpu(), "CPU"), (&gpu, "GPU")] {
                is_near(&of(engine), &case["kept"], &format!("{}, {lies:?}, {device}", case["name"]));
            }
        }
    }
}
