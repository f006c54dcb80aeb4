//! Resampled maps against ONNX's Resize as onnxruntime computes it, and what is refused.
//! tools/make_resample_golden.py wrote the maps.

mod common;

use common::{net::Net, relative_difference};
use ghostnet::{
    Engine, Precision, Tensor,
    graph::{Coordinates, Filter, Graph, Nearest, Op, Resample, Shape},
};
use serde::Deserialize;
use std::fs;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    size: [usize; 2],
    sizes: Option<[usize; 2]>,
    scales: Option<[f32; 2]>,
    coordinates: String,
    nearest: Option<String>,
    output: [usize; 2],
    values: Vec<f32>,
}

impl Case {
    fn resample(&self) -> Resample {
        let by = self.sizes.map(Resample::to).or(self.scales.map(Resample::by)).unwrap();
        let filter = match self.nearest.as_deref() {
            None => Filter::Bilinear,
            Some("round_prefer_floor") => Filter::Nearest(Nearest::RoundPreferFloor),
            Some("round_prefer_ceil") => Filter::Nearest(Nearest::RoundPreferCeil),
            Some("floor") => Filter::Nearest(Nearest::Floor),
            Some("ceil") => Filter::Nearest(Nearest::Ceil),
            Some(other) => panic!("{other}"),
        };
        let coordinates = match &*self.coordinates {
            "half_pixel" => Coordinates::HalfPixel,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            other => panic!("{other}"),
        };
        Resample { filter, coordinates, ..by }
    }
}

fn golden() -> Vec<Case> {
    let text = fs::read_to_string(common::path("tests/data/golden/resample.json")).unwrap();
    let golden: Golden = serde_json::from_str(&text).unwrap();
    golden.cases
}

/// Two images of five channels, of which each is the pixels' numbers plus its own number: all cases
/// on maps of one size are results of one graph.
fn check(engine: &Engine, cases: &[Case]) {
    let mut sizes: Vec<[usize; 2]> = cases.iter().map(|case| case.size).collect();
    sizes.dedup();
    for [h, w] in sizes {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.size == [h, w]).collect();
        let (n, c) = (2, 5);
        let (mut net, input) = Net::new(c);
        for case in &cases {
            let resampled = net.add(Op::Resample(case.resample()), &[input]);
            net.output(resampled);
        }
        let model = engine.load_graph(net.graph).unwrap();
        let values = (0..n * c).flat_map(|map| (0..h * w).map(move |pixel| (map * 10 + pixel) as f32));
        let results = common::results(&model, &Tensor::new(&[n, c, h, w], values.collect()).unwrap()).unwrap();
        for (case, (_, got)) in cases.iter().zip(results) {
            let [rows, columns] = case.output;
            let wanted: Vec<f32> = (0..n * c).flat_map(|map| case.values.iter().map(move |v| (map * 10) as f32 + v)).collect();
            let what = format!("{h} x {w}: {:?}", case.resample());
            assert_eq!(got.shape, [n, c, rows, columns], "{what}");
            match (case.nearest.is_some(), engine.precision()) {
                // Whole numbers, which halves hold too.
                (true, _) => assert_eq!(got.data, wanted, "{what}"),
                (false, precision) => {
                    let allowed = if precision == Precision::F32 { 1e-6 } else { common::tolerance::HALF };
                    let difference = relative_difference(&got.data, &wanted);
                    assert!(difference <= allowed, "{what}: {difference:.1e}");
                }
            }
        }
    }
}

#[test]
fn maps_are_those_of_onnxruntime_on_the_cpu() {
    let cases = golden();
    assert!(cases.len() > 150);
    check(common::cpu(), &cases);
}

#[test]
fn maps_are_those_of_onnxruntime_on_the_gpu() {
    let Some(engine) = common::gpu() else { return };
    check(engine, &golden());
    let halves = common::gpu_with(|options| options.precision = Precision::F16).unwrap();
    check(&halves, &golden());
}

#[test]
fn what_cannot_be_resampled_is_refused() {
    let add = |resample: Resample| {
        let mut graph = Graph::new();
        let input = graph.add_input(3).unwrap();
        graph.add("larger", Op::Resample(resample), &[input]).map(|_| graph)
    };
    for (resample, what) in [
        (Resample::to([0, 4]), "larger: rows and columns must be at least 1"),
        (Resample::to([1 << 31, 4]), "larger: a side of 2147483648 is too large, 2147483648 is the limit"),
        (Resample::by([1.0, 0.0]), "larger: a scale of 0 is not above 0 and finite"),
        (Resample::by([-1.5, 1.0]), "larger: a scale of -1.5 is not above 0 and finite"),
        (Resample::by([f32::NAN, 1.0]), "larger: a scale of NaN is not above 0 and finite"),
        (Resample::like(), "larger: takes 2 inputs, 1 were given"),
    ] {
        assert_eq!(add(resample).unwrap_err().to_string(), what);
    }
    for (resample, shape, what) in [
        (Resample::by([0.5, 0.3]), Shape::new(1, 3, 2, 3), "larger: 3 columns times 0.3 are none"),
        (Resample::by([1e9, 1.0]), Shape::new(1, 3, 3, 1), "larger: a side of 3000000000 is too large, 2147483648 is the limit"),
        (
            Resample::to([2, 2]),
            Shape::new(1, 3, 1, (1 << 24) + 1),
            "larger: maps of 16777217 rows or columns cannot be resampled, 16777216 is the limit",
        ),
    ] {
        assert_eq!(add(resample).unwrap().shapes(&[shape]).unwrap_err().to_string(), what);
    }
}
