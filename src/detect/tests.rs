//! Decoders without networks: rows that a formula gives, against a reference in numpy.

use super::*;
use crate::{
    image_input::sample::Window,
    json::Value,
    tensor::{AnyTensor, Tensor, Values},
};
use suppress::Candidate;

const CASES: &str = include_str!("../../tests/data/detect_cases.json");

/// `n` values from `lo` on and below `hi`, of whole numbers alone.
fn fill(n: usize, [lo, hi]: [f64; 2], seed: u32) -> Vec<f32> {
    let value = |at: u32| {
        let mut h = at.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40_503)).wrapping_add(12_345);
        for _ in 0..2 {
            h ^= h >> 16;
            h = h.wrapping_mul(0x45D_9F3B);
        }
        h ^= h >> 16;
        (lo + (hi - lo) * (f64::from(h >> 8) / f64::from(1 << 24))) as f32
    };
    (0..n as u32).map(value).collect()
}

fn number(value: &Value<'_>) -> f64 {
    value.number().unwrap()
}

fn numbers(value: &Value<'_>) -> Vec<f64> {
    value.list().unwrap().iter().map(number).collect()
}

fn whole(value: &Value<'_>, key: &str) -> usize {
    value.get(key).unwrap().whole().unwrap()
}

/// A case's results, by their ranges of channels.
fn results(case: &Value<'_>) -> Vec<(String, AnyTensor)> {
    let Some(Value::Object(outputs)) = case.get("output") else { panic!("no output") };
    let result = |(name, output): &crate::json::Field<'_>| {
        let shape: Vec<usize> = numbers(output.get("shape").unwrap()).into_iter().map(|side| side as usize).collect();
        let (rows, columns) = (shape[1], shape[2]);
        let mut data = vec![0.0; rows * columns];
        for range in output.get("ranges").unwrap().list().unwrap() {
            let [from, to] = numbers(range.get("channels").unwrap())[..] else { panic!("no range") };
            let (from, width) = (from as usize, (to - from) as usize);
            let bounds = ["lo", "hi"].map(|key| number(range.get(key).unwrap()));
            let values = fill(rows * width, bounds, whole(range, "seed") as u32);
            for (row, values) in data.chunks_mut(columns).zip(values.chunks(width)) {
                row[from..from + width].copy_from_slice(values);
            }
        }
        (name.to_string(), Tensor { shape, data: Values::F32(data) })
    };
    outputs.iter().map(result).collect()
}

fn near(found: f32, wanted: f64, within: f64, what: &str) {
    assert!((f64::from(found) - wanted).abs() <= within, "{what}: {found}, not {wanted}");
}

/// Boxes to 1e-4 pixels and scores to 1e-5, and the order and the rows are the same.
#[test]
fn decoders_give_what_the_reference_gives() {
    let cases = Value::parse(CASES).unwrap();
    let cases = cases.get("cases").unwrap().list().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let name = case.get("name").unwrap().text().unwrap();
        let detector = Detector::from_json(case.get("card").unwrap()).unwrap_or_else(|what| panic!("{name}: {what}"));
        let size = detector.input.fit.size().unwrap();
        let results = results(case);
        // Every candidate at first, whatever its score.
        let options = DetectOptions::default();
        let all = Wanted { threshold: f32::NEG_INFINITY, ..detector.wanted(&options, &[]).unwrap() };
        let unbounded = Detector { suppress: Suppress { kind: suppress::Kind::Weighted, ..detector.suppress }, ..detector.clone() };
        let frame = Frame { size, bounds: [size[1] as f32, size[0] as f32], regions: None };
        let every = unbounded.candidates(&results, frame, &all);
        let first = case.get("first_boxes").unwrap().list().unwrap().iter().zip(case.get("first_scores").unwrap().list().unwrap());
        for (at, (corners, score)) in first.enumerate() {
            near(every[at].score, number(score), 1e-5, &format!("{name}, score {at}"));
            for (found, wanted) in every[at].corners.iter().zip(numbers(corners)) {
                near(*found, wanted, 1e-4, &format!("{name}, box {at}"));
            }
        }
        let wanted = detector.wanted(&options, &[]).unwrap();
        let candidates = detector.candidates(&results, frame, &wanted);
        assert_eq!(candidates.len(), whole(case, "candidates"), "{name}");
        let kept = detector.suppress.run(candidates, wanted.limit);
        let reference = case.get("kept").unwrap().list().unwrap();
        assert_eq!(kept.len(), reference.len(), "{name}");
        for (found, wanted) in kept.iter().zip(reference) {
            let Candidate { row, class, score, corners, points } = found;
            assert_eq!([*row, *class], ["candidate", "index"].map(|key| whole(wanted, key)), "{name}");
            near(*score, number(wanted.get("score").unwrap()), 1e-5, name);
            for (found, wanted) in corners.iter().zip(numbers(wanted.get("box").unwrap())) {
                near(*found, wanted, 1e-4, &format!("{name}, row {row}"));
            }
            let there = wanted.get("points").map_or(Vec::new(), |points| points.list().unwrap().iter().map(numbers).collect());
            assert_eq!(points.len(), there.len(), "{name}");
            for (found, wanted) in points.iter().zip(there) {
                near(found[0], wanted[0], 1e-4, &format!("{name}, a point of row {row}"));
                near(found[1], wanted[1], 1e-4, &format!("{name}, a point of row {row}"));
            }
        }
    }
}

fn case(at: usize) -> (Detector, Vec<(String, AnyTensor)>) {
    let cases = Value::parse(CASES).unwrap();
    let case = &cases.get("cases").unwrap().list().unwrap()[at];
    (Detector::from_json(case.get("card").unwrap()).unwrap(), results(case))
}

/// How often something is changed in all; `GHOSTNET_MUTATIONS` says more.
fn mutations(usual: u32) -> u32 {
    std::env::var("GHOSTNET_MUTATIONS").map_or(usual, |count| count.parse().unwrap())
}

/// The card of a detector of two stages, on a grid of two by three cells of one anchor.
const TWO_STAGES: &str = r#"{"task":"detect","input":{"size":[32,48]},
    "proposals":{"input":"regions","priors":{"strides":[16],"anchors":{"sizes":[[16]],"ratios":[1],"corner":true}},
                 "score":{"classes":{"outputs":["first"],"channels":[0,1]}},
                 "box":{"form":"center","size":"exp","values":{"outputs":["first"],"channels":[1,5]},"least":0.001},
                 "nms":{"iou":0.7},"limit":4},
    "score":{"classes":{"outputs":["classes"]},"activation":"softmax","skip_first":true,"select":"each"},
    "box":{"form":"center","size":"exp","values":{"outputs":["boxes"]},"per_class":true,"least":0.01},
    "threshold":0.3,"nms":{"kind":"greedy","iou":0.5,"per_class":true},"limit":10}"#;

fn result(name: &str, shape: &[usize], data: Vec<f32>) -> (String, AnyTensor) {
    (name.into(), Tensor { shape: shape.to_vec(), data: Values::F32(data) })
}

/// Regions come best first, whatever their score, without those that lie on a better one or have no
/// area. Detections are of the class whose box it is, in the rows that have regions.
#[test]
fn the_second_stage_is_of_the_regions_that_the_first_proposes() {
    let detector = Detector::from_json(&Value::parse(TWO_STAGES).unwrap()).unwrap();
    let proposals = detector.proposals.as_ref().unwrap();
    assert_eq!(proposals.finder.outputs(), ["first"]);
    // Anchors of 16 pixels about the cells' corners: (0, 0), (16, 0), (32, 0), (0, 16) and so on.
    let window = detector.input.fit.window([32, 48]);
    let frame = detector.frame(&window, [48.0, 32.0]);
    let first = [
        // Beyond the input, so that nothing of it is left.
        [-1.0f32, 9.0, 9.0, 0.0, 0.0],
        [5.0, 0.0, 0.0, 0.0, 0.0],
        [3.0, 9.0, 0.0, 0.0, 0.0],
        [-7.0, 0.5, 0.5, 0.0, 0.0],
        [-8.0, 0.0, 0.5, 0.0, 0.0],
        // On the one before that.
        [-7.5, -1.49, 0.5, 0.0, 0.0],
    ];
    let first = result("first", &[6, 5], first.into_iter().flatten().collect());
    let regions = proposals.regions(&[first], frame);
    let wanted = [[8.0, 0.0, 24.0, 8.0], [0.0, 16.0, 16.0, 32.0], [8.0, 16.0, 24.0, 32.0]];
    assert_eq!(regions.len(), wanted.len());
    for (found, wanted) in regions.iter().zip(wanted) {
        assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-4), "{found:?}, not {wanted:?}");
    }

    // Of three regions: a row behind theirs counts for nothing.
    let classes = result("classes", &[1, 3, 4, 1], vec![9.0, 0.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0, 9.0, 9.0]);
    let mut boxes = vec![0.0; 12 * 4];
    // The second class's box of the third region is moved right by half of its width.
    boxes[8 * 4 + 2] = 0.5;
    let results = [classes, result("boxes", &[1, 12, 4, 1], boxes)];
    let wanted = detector.wanted(&DetectOptions::default(), &[]).unwrap();
    let found = detector.detections(&results, Some(&regions), &window, [48.0, 32.0], &wanted, &|class| class.to_string());
    let found: Vec<(usize, [f32; 4])> = found.into_iter().map(|found| (found.index, found.corners.map(f32::round))).collect();
    assert_eq!(found, [(0, [0.0, 16.0, 16.0, 32.0]), (1, [16.0, 16.0, 32.0, 32.0])]);
}

#[test]
fn cards_of_two_stages_that_do_not_fit_are_refused() {
    for (from, to, what) in [
        (r#""input":"regions","#, "", "proposals: there is no `input`, which takes them"),
        (r#""limit":4"#, r#""limit":0"#, "proposals.limit is 0, not a whole number from 1 to 10000"),
        (r#""nms":{"iou":0.7}"#, r#""nms":{"iou":0.7,"kind":"none"}"#, "proposals: `kind` is no field of nms"),
        (r#""per_class":true,"least""#, r#""least""#, ""),
        (
            r#""channels":[0,1]}},"#,
            r#""channels":[0,1]},"select":"each"},"#,
            "proposals: they are of one class: no score.select or box.per_class",
        ),
        (
            r#""threshold":0.3"#,
            r#""priors":{"strides":[16]},"threshold":0.3"#,
            "boxes are against `proposals` or against `priors`, not both",
        ),
        (r#""select":"each""#, r#""per_level":9"#, "boxes against `proposals` have the form center and no score.per_level"),
    ] {
        let card = TWO_STAGES.replacen(from, to, 1);
        assert!(card != TWO_STAGES, "{from}");
        let read = Detector::from_json(&Value::parse(&card).unwrap());
        assert_eq!(read.err().unwrap_or_default().replace('"', "`"), what, "{from}");
    }
    let detector = Detector::from_json(&Value::parse(TWO_STAGES).unwrap()).unwrap();
    let shapes = |rows: usize, boxes: usize| {
        move |name: &str| {
            Ok(match name {
                "first" => vec![6, 5],
                "classes" => vec![1, 3, rows, 1],
                _ => vec![1, boxes, rows, 1],
            })
        }
    };
    detector.check(&shapes(4, 12), [32, 48], 2).unwrap();
    assert_eq!(detector.check(&shapes(5, 12), [32, 48], 2).unwrap_err(), "4 proposals for 5 rows of classes");
    assert_eq!(detector.check(&shapes(4, 4), [32, 48], 2).unwrap_err(), "box.values reads 4 channels, 12 are needed");
    assert_eq!(detector.check(&shapes(4, 12), [32, 64], 2).unwrap_err(), "proposals: 8 priors for 6 candidates of an input of 32 x 64");
}

/// No value that a network may give makes anything but finite boxes in the picture, best first.
#[test]
fn no_results_are_too_strange() {
    let strange = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 88.8, 0.0, 1.0, f32::MIN_POSITIVE];
    for at in 0..9 {
        let (detector, results) = case(at);
        let size = detector.input.fit.size().unwrap();
        let window = Window { origin: [0.0; 2], scale: [2.0, 3.0], size };
        let picture = [size[1] as f32 * 2.0, size[0] as f32 * 3.0];
        for round in 0..mutations(4500) / 9 {
            let mut results = results.clone();
            let Values::F32(values) = &mut results[0].1.data else { panic!("f32") };
            let which = fill(values.len(), [0.0, 40.0], round);
            for (value, which) in values.iter_mut().zip(which) {
                *value = strange.get(which as usize).copied().unwrap_or(*value);
            }
            let options = DetectOptions::default().threshold((round % 3) as f32 / 2.0);
            let found =
                detector.detections(&results, None, &window, picture, &detector.wanted(&options, &[]).unwrap(), &|class| class.to_string());
            assert!(found.len() <= detector.limit && found.is_sorted_by(|a, b| a.score >= b.score), "case {at}, round {round}");
            for Detection { score, corners, points, .. } in found {
                assert!(score.is_finite(), "case {at}, round {round}: {score}");
                let [x1, y1, x2, y2] = corners;
                assert!([x1, x2].iter().all(|x| (0.0..=picture[0]).contains(x)), "case {at}, round {round}: {corners:?}");
                assert!([y1, y2].iter().all(|y| (0.0..=picture[1]).contains(y)), "case {at}, round {round}: {corners:?}");
                assert!(points.as_flattened().iter().all(|v| v.is_finite()), "case {at}, round {round}: {points:?}");
            }
        }
    }
}

/// A network's points are numbers, as many as the card says, or none.
#[test]
fn points_of_no_numbers_are_none() {
    let card = r#"{"input":{"size":[8,8],"fit":"region"},"region":{"scale":1.2},
        "points":{"values":{"outputs":["y"]},"count":2,"scale":"region"}}"#;
    let landmarker = Landmarker::from_json(&Value::parse(card).unwrap()).unwrap();
    let points = |corners: [f32; 4], values: [f32; 4]| {
        landmarker.points(&[result("y", &[1, 4], values.to_vec())], &landmarker.window(corners, [8, 8]))
    };
    let near = points([0.0, 0.0, 10.0, 10.0], [0.5, 0.5, 1.0, 0.0]);
    assert!(near.as_flattened().iter().zip([5.0, 5.0, 11.0, -1.0]).all(|(found, wanted)| (found - wanted).abs() < 1e-4), "{near:?}");
    for strange in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        assert!(points([0.0, 0.0, 10.0, 10.0], [0.5, 0.5, strange, 0.0]).is_empty(), "{strange}");
    }
    for strange in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN] {
        assert!(points([0.0, strange, 10.0, 10.0], [0.5, 0.5, 0.5, 0.5]).is_empty(), "{strange}");
    }
}

/// Whatever a card says, it is read or refused in one line, and what is read can be written and
/// read again.
#[test]
fn damaged_cards_are_read_or_refused() {
    let cases = Value::parse(CASES).unwrap();
    for case in cases.get("cases").unwrap().list().unwrap() {
        let card = case.get("card").unwrap().to_string();
        let (mut read, mut refused) = (0, 0);
        for round in 0..mutations(27_000) / 9 {
            let at = fill(4, [0.0, card.len() as f64], round);
            let mut bytes = card.clone().into_bytes();
            for (place, from) in at.chunks_exact(2).map(|pair| (pair[0] as usize, pair[1] as usize)).take(1 + round as usize % 2) {
                bytes[place] = match round % 4 {
                    0 => bytes[from],
                    1 => b"0123456789.-e"[from % 13],
                    2 => b"[]{},:\""[from % 7],
                    _ => b' ',
                };
            }
            let Ok(text) = String::from_utf8(bytes) else { continue };
            let Ok(value) = Value::parse(&text) else { continue };
            match Detector::from_json(&value) {
                Ok(detector) => {
                    read += 1;
                    let again = Finder::of(Some(&decoder(&value).unwrap())).unwrap();
                    assert_eq!(again, Some(Finder::Detector(Box::new(detector))));
                }
                Err(what) => {
                    refused += 1;
                    assert!(!what.contains('\n') && what.chars().count() < 400, "{what}");
                }
            }
        }
        assert!(read > 20 && refused > 20, "{read} read, {refused} refused");
    }
}
