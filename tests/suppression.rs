//! ONNX's `NonMaxSuppression` as a network's last step: against ONNX Runtime's results, through
//! files, and where it cannot be.

mod common;

use common::{
    net::Random,
    onnx::{Is, Onnx},
};
use ghostnet::{
    AnyTensor, Card, Element, Engine, Error, Form, Network, Precision, Tensor, Values,
    graph::{Graph, NonMaxSuppression, Op, Output, Setting, TensorType},
    model::Stored,
};
use serde_json::Value;

fn engines() -> impl Iterator<Item = &'static Engine> {
    common::gpu().into_iter().chain([common::cpu()])
}

fn floats(shape: &[usize], values: &[f32]) -> AnyTensor {
    AnyTensor { shape: shape.to_vec(), data: Values::F32(values.to_vec()) }
}

fn run(engine: &Engine, network: &Network, inputs: &[(&str, &AnyTensor)]) -> ghostnet::Result<Vec<(String, AnyTensor)>> {
    engine.load(network.clone())?.run_named(inputs)
}

/// The file of `tools/suppression_golden.py`, its input, and what is kept by the result's name.
fn golden() -> (Network, AnyTensor, Vec<(String, Vec<i64>)>) {
    let network = Network::open(common::path("tests/data/suppression/model.onnx")).unwrap();
    let text = std::fs::read_to_string(common::path("tests/data/suppression/golden.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let list = |json: &Value| json.as_array().unwrap().clone();
    let shape: Vec<usize> = list(&json["shape"]).iter().map(|side| side.as_u64().unwrap() as usize).collect();
    let x: Vec<f32> = list(&json["x"]).iter().map(|value| value.as_f64().unwrap() as f32).collect();
    let rows = |json: &Value| list(json).iter().flat_map(list).map(|index| index.as_i64().unwrap()).collect();
    let kept = json["kept"].as_object().unwrap().iter().map(|(name, json)| (name.clone(), rows(json)));
    (network, floats(&shape, &x), kept.collect())
}

#[test]
fn it_keeps_what_onnx_runtime_keeps() {
    let (network, x, wanted) = golden();
    // Of one file with the graph too.
    let read = Network::from_bytes("read", &network.to_bytes(Stored::F32).unwrap()).unwrap();
    assert_eq!(read.graph().suppressions(), network.graph().suppressions());
    assert_eq!(read.graph().to_string(), network.graph().to_string());
    let first = AnyTensor { shape: [&[1], &x.shape[1..]].concat(), data: first_half(&x.data) };
    for (engine, network) in engines().flat_map(|engine| [(engine, &network), (engine, &read)]) {
        let results = run(engine, network, &[("x", &x)]).unwrap();
        assert_eq!(results.len(), 1 + wanted.len());
        assert_eq!((&*results[0].0, &results[0].1.shape[..]), ("boxes", &[2, 36, 4][..]));
        for (name, kept) in &wanted {
            let (_, result) = results.iter().find(|(known, _)| known == name).unwrap();
            assert_eq!(result.shape, [kept.len() / 3, 3], "{name}");
            // Boxes of the second form are cast.
            let wanted =
                if name.ends_with('0') { Values::I64(kept.clone()) } else { Values::I32(kept.iter().map(|&index| index as i32).collect()) };
            assert!(result.data == wanted, "{name} on {}", engine.backend());
        }
        // A session's runs are of fewer images than it was made for.
        let model = engine.load(network.clone()).unwrap();
        let mut session = model.session(2, 6, 6, Form::Tensors, 2).unwrap();
        let pending = [&x, &first].map(|x| session.submit_named(&[("x", x)]).unwrap());
        let [of_all, of_first] = pending.map(|pending| pending.wait().unwrap());
        assert_eq!(of_all, results);
        assert_eq!(of_first, model.run_named(&[("x", &first)]).unwrap());
    }
}

fn first_half(values: &Values) -> Values {
    let Values::F32(values) = values else { panic!("floats") };
    Values::F32(values[..values.len() / 2].to_vec())
}

#[test]
fn halves_keep_boxes_too() {
    let (network, x, wanted) = golden();
    let Some(engine) = common::gpu_with(|options| options.precision = Precision::F16) else { return };
    for (name, result) in &run(&engine, &network, &[("x", &x)]).unwrap()[1..] {
        let (_, kept) = wanted.iter().find(|(known, _)| known == name).unwrap();
        assert!(result.shape[0].abs_diff(kept.len() / 3) * 20 <= kept.len(), "{name}: {:?} of {}", result.shape, kept.len());
    }
}

/// Two boxes that overlap by a third, and one apart: by centres.
const BOXES: [f32; 12] = [1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 2.0, 2.0, 9.0, 9.0, 1.0, 1.0];

/// A file whose every operand is an input, as those of ONNX's own cases are.
fn of_inputs() -> Onnx {
    Onnx::default()
        .input("boxes", &[1, 3, 4])
        .input("scores", &[1, 1, 3])
        .input_of(7, "most", &[1])
        .input("iou", &[1])
        .input("score", &[])
        .node("NonMaxSuppression", &["boxes", "scores", "most", "iou", "score"], &["kept"], &[("center_point_box", Is::Whole(1))])
        .output("kept")
}

#[test]
fn what_it_goes_by_may_be_inputs() {
    let network = of_inputs().network().unwrap();
    let read = Network::from_bytes("read", &network.to_bytes(Stored::F32).unwrap()).unwrap();
    let (boxes, scores) = (floats(&[1, 3, 4], &BOXES), floats(&[1, 1, 3], &[0.5, 0.75, 0.25]));
    for (engine, network) in engines().flat_map(|engine| [(engine, &network), (engine, &read)]) {
        let kept = |most: i64, iou: f32, score: f32| {
            let most = AnyTensor { shape: vec![1], data: Values::I64(vec![most]) };
            let (iou, score) = (floats(&[1], &[iou]), floats(&[], &[score]));
            let inputs = [("boxes", &boxes), ("scores", &scores), ("most", &most), ("iou", &iou), ("score", &score)];
            let mut results = run(engine, network, &inputs)?;
            let (_, tensor) = results.remove(0);
            assert!(results.is_empty() && tensor.shape == [tensor.data.len() / 3, 3]);
            let Values::I64(kept) = tensor.data else { panic!("{}", tensor.data.element().name()) };
            Ok::<Vec<i64>, Error>(kept.chunks(3).map(|row| row[2]).collect())
        };
        assert_eq!(kept(9, 0.3, 0.0).unwrap(), [1, 2]);
        assert_eq!(kept(9, 0.4, 0.0).unwrap(), [1, 0, 2]);
        assert_eq!(kept(2, 0.4, 0.0).unwrap(), [1, 0]);
        assert_eq!(kept(9, 0.4, 0.25).unwrap(), [1, 0]);
        assert_eq!((kept(0, 0.4, 0.0).unwrap(), kept(-1, 0.4, 0.0).unwrap()), (vec![], vec![]));
        assert_eq!(kept(9, 1.5, 0.0).unwrap_err().to_string(), "kept: iou_threshold is 1.5, 0 to 1 is possible");
    }
}

#[test]
fn it_is_only_read_as_the_last_step() {
    let head = || Onnx::default().input("boxes", &[1, 3, 4]).input("scores", &[1, 1, 3]).wholes("most", &[3]).wholes("zero", &[0]);
    let nodes = |onnx: Onnx| onnx.node("NonMaxSuppression", &["boxes", "scores", "most"], &["kept"], &[]);
    let refused = |onnx: Onnx| onnx.network().unwrap_err().to_string().replace("n.onnx: operators that are not covered: ", "");
    let gathered = nodes(head()).node("Gather", &["kept", "zero"], &["y"], &[("axis", Is::Whole(1))]).output("y");
    assert_eq!(refused(gathered), "Gather (`y`): `kept` is a result of NonMaxSuppression, which is only read as the last step");
    let cast = nodes(head()).node("Cast", &["kept"], &["y"], &[("to", Is::Whole(9))]).output("y");
    assert_eq!(refused(cast), "Cast (`y`): `kept` to ONNX's type 9");
    let shapes = head().input("other", &[1, 1, 4]).node("NonMaxSuppression", &["boxes", "other", "most"], &["y"], &[]).output("y");
    let wanted = "boxes [1, 3, 4] and scores [1, 1, 4], [n, boxes, 4] and [n, classes, boxes] are needed";
    assert_eq!(refused(shapes), format!("NonMaxSuppression (`y`): {wanted}"));
    let with = |name: &str, value: f32| {
        let inputs = ["boxes", "scores", "most", if name == "iou" { name } else { "" }, if name == "score" { name } else { "" }];
        head().weights(name, &[1], &[value]).node("NonMaxSuppression", &inputs, &["y"], &[]).output("y")
    };
    assert_eq!(refused(with("iou", f32::NAN)), "NonMaxSuppression (`y`): iou_threshold is NaN, 0 to 1 is possible");
    assert_eq!(refused(with("score", f32::INFINITY)), "NonMaxSuppression (`y`): score_threshold is inf");
    let all = with("score", f32::NEG_INFINITY).network().unwrap();
    assert_eq!(all.graph().suppressions()[0].score, Some(Setting::Constant(f32::MIN)));
    let read = Network::from_bytes("read", &all.to_bytes(Stored::F32).unwrap()).unwrap();
    assert_eq!(read.graph().suppressions(), all.graph().suppressions());
    let two = head().node("NonMaxSuppression", &["boxes", "scores", "two"], &["y"], &[]).wholes("two", &[1, 1]).output("y");
    assert_eq!(refused(two), "NonMaxSuppression (`y`): `max_output_boxes_per_class` of shape [2], one number is needed");
    // Handed on it is the same, and boxes that are constants are boxes.
    let onnx = Onnx::default()
        .input("scores", &[1, 1, 3])
        .weights("boxes", &[1, 3, 4], &BOXES)
        .wholes("most", &[i64::MAX])
        .node("NonMaxSuppression", &["boxes", "scores", "most"], &["kept"], &[("center_point_box", Is::Whole(1))])
        .node("Cast", &["kept"], &["floats"], &[("to", Is::Whole(1))])
        .node("Identity", &["floats"], &["y"], &[])
        .output("y");
    let network = onnx.network().unwrap();
    for engine in engines() {
        let results = run(engine, &network, &[("scores", &floats(&[1, 1, 3], &[0.5, 0.75, 0.25]))]).unwrap();
        assert_eq!(results, [("y".to_string(), floats(&[2, 3], &[0.0, 0.0, 1.0, 0.0, 0.0, 2.0]))]);
        // The first result is a network's of one input.
        let model = engine.load(network.clone()).unwrap();
        assert_eq!(model.run(&Tensor::new(&[1, 1, 3], vec![0.5, 0.75, 0.25]).unwrap()).unwrap().shape, [2, 3]);
    }
}

#[test]
fn ways_that_cannot_be_are_refused_in_one_line() {
    let (network, ..) = golden();
    let message = network.to_pytorch().unwrap_err().to_string();
    assert!(message.starts_with("no form in PyTorch have `some0` (NonMaxSuppression), "), "{message}");
    for engine in engines() {
        let error = engine.load(network.clone()).unwrap().run_buffers(1, [6, 6], &[]).unwrap_err().to_string();
        let what = "NonMaxSuppression is computed on the CPU, and results stay in a GPU's buffers here: `run_named` gives it";
        assert_eq!(error, format!("some0: {what}"));
    }
    let mut card = Card::default();
    card.outputs = vec![("some0".into(), "what".into())];
    let named = network.with_card(card.clone()).unwrap();
    card.outputs[0].0 = "kept".into();
    let missing = named.with_card(card).unwrap_err().to_string();
    assert!(missing.starts_with("the card names the result `kept`, the graph has boxes, some0, "), "{missing}");
}

/// Boxes and scores of a graph of one's own, of `count` places.
fn graph(boxes: &[&str], scores: &[&str]) -> Graph {
    let mut graph = Graph::new();
    let maps = |sides: &[&str]| TensorType::new(Element::F32, sides.iter().copied()).unwrap();
    let x = graph.add_input_of("x", 30, maps(&["n", "c=30"])).unwrap();
    let y = graph.add("y", Op::Slice { start: 0, len: 24 }, &[x]).unwrap();
    let z = graph.add("z", Op::Slice { start: 24, len: 6 }, &[x]).unwrap();
    let output = |name: &str, node, sides| Output { name: name.into(), node, tensor: maps(sides) };
    let last = NonMaxSuppression {
        name: "kept".into(),
        element: Element::I64,
        boxes: output("boxes", y, boxes),
        scores: output("scores", z, scores),
        is_centered: false,
        most: Setting::Constant(9.0),
        iou: Setting::Constant(0.5),
        score: None,
    };
    graph.add_suppression(last).unwrap();
    graph
}

#[test]
fn tensors_that_do_not_fit_are_told_when_they_are_there() {
    for (boxes, scores, wanted) in [
        (&["n", "c=6", "c=4"][..], &["n", "c=1", "c=6"][..], None),
        (&["n", "c=6", "c=4"], &["n", "c=2", "c=3"], Some("kept: boxes [2, 6, 4] and scores [2, 2, 3], ")),
        (&["n", "c=4", "c=6"], &["n", "c=1", "c=6"], Some("kept: boxes [2, 4, 6] and scores [2, 1, 6], ")),
        (&["n", "c"], &["n", "c=1", "c=6"], Some("kept: boxes [2, 24] and scores [2, 1, 6], ")),
        (&["n", "c=5", "c=4"], &["n", "c=1", "c=6"], Some("boxes: [2, 24, 1, 1] is no tensor f32 [n, c=5, c=4]")),
    ] {
        let network = Network::new(graph(boxes, scores), Card::default()).unwrap();
        let read = Network::from_bytes("read", &network.to_bytes(Stored::F32).unwrap()).unwrap();
        let x = floats(&[2, 30], &Random(3).values(60));
        for (engine, network) in engines().flat_map(|engine| [(engine, &network), (engine, &read)]) {
            match (run(engine, network, &[("x", &x)]), wanted) {
                (Ok(results), None) => assert!(results.len() == 1 && results[0].1.shape[1] == 3),
                (Err(error), Some(wanted)) => assert!(error.to_string().starts_with(wanted), "{error}"),
                (results, wanted) => panic!("{results:?}, not {wanted:?}"),
            }
        }
    }
    // No class is told apart by what has no result of its own.
    let network = Network::new(graph(&["n", "c=6", "c=4"], &["n", "c=1", "c=6"]), Card::default()).unwrap();
    assert_eq!(network.classes(), 0);
    let mut other = Graph::new();
    let x = other.add_input(1).unwrap();
    let ghost = ghostnet::graph::NodeId(7);
    let output = |node| Output { name: "o".into(), node, tensor: TensorType::maps() };
    let last = NonMaxSuppression { boxes: output(ghost), scores: output(x), ..network.graph().suppressions()[0].clone() };
    other.add_suppression(last).unwrap();
    assert_eq!(Network::new(other, Card::default()).unwrap_err().to_string(), "o: node 7 is not in the graph (there are 1)");
}

/// Files of changed bytes are refused in one line, or are networks: nothing panics.
#[test]
fn damaged_files_do_no_harm() {
    let mut random = Random(17);
    let (network, ..) = golden();
    let files = [of_inputs().file(), network.to_bytes(Stored::F32).unwrap(), of_inputs().network().unwrap().to_bytes(Stored::F32).unwrap()];
    let words = ["0", "7", "-1", "1e9", "1e99", "NaN", "null", "[]", "{}", "\\\"bool\\\"", "\\\"c=5\\\"", "99999999999999999999"];
    let (mut opened, tries) = (0, 6000);
    for at in 0..tries {
        let mut bytes = files[at % files.len()].clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                _ => {
                    // As long as before, so that a header stays as long as it says.
                    let word = random.pick(&words).as_bytes();
                    let end = (at + word.len()).min(bytes.len());
                    bytes[at..end].copy_from_slice(&word[..end - at]);
                }
            }
        }
        match Network::from_bytes("damaged", &bytes) {
            Ok(network) => {
                opened += 1;
                let inputs = network.graph().inputs();
                // An open side is one long.
                let length = |side: String| side.split_once('=').map_or(1, |(_, length)| length.parse().unwrap());
                let shapes = inputs.iter().map(|input| input.tensor.sides().map(length).collect::<Vec<usize>>());
                let tensors: Vec<AnyTensor> = shapes.map(|shape| floats(&shape, &[])).collect();
                let count = |tensor: &AnyTensor| {
                    tensor.shape.iter().try_fold(1usize, |all, &side| all.checked_mul(side)).filter(|count| *count <= 1 << 12)
                };
                let Some(counts) = tensors.iter().map(count).collect::<Option<Vec<_>>>() else { continue };
                let filled = inputs.iter().zip(&tensors).zip(counts).map(|((input, tensor), count)| {
                    let data = match input.tensor.element {
                        Element::F32 => Values::F32(random.values(count)),
                        Element::I32 => Values::I32(vec![2; count]),
                        Element::I64 => Values::I64(vec![2; count]),
                        Element::Bool => Values::Bool(vec![true; count]),
                    };
                    (input.name.clone(), AnyTensor { shape: tensor.shape.clone(), data })
                });
                let filled: Vec<_> = filled.collect();
                let given: Vec<(&str, &AnyTensor)> = filled.iter().map(|(name, tensor)| (&**name, tensor)).collect();
                if let Err(error) = run(common::cpu(), &network, &given) {
                    assert!(!error.to_string().contains('\n'), "{error}");
                }
            }
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }
    println!("{tries} files, {opened} of them networks");
    assert!(opened > 0 && opened < tries);
}
