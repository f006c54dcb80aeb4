//! ONNX files become networks: small graphs against plain loops, and damaged ones.

mod common;

use common::{net::Random, relative_difference, tolerance};
use ghostnet::{AnyTensor, Engine, Network, Tensor, Values, plan::Form};

/// A protobuf message under construction.
#[derive(Default, Clone)]
struct Message(Vec<u8>);

impl Message {
    fn number(mut self, mut number: u64) -> Self {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
        self
    }

    fn whole(self, field: u64, value: i64) -> Self {
        self.number(field << 3).number(value as u64)
    }

    fn bytes(self, field: u64, bytes: &[u8]) -> Self {
        let mut made = self.number(field << 3 | 2).number(bytes.len() as u64);
        made.0.extend(bytes);
        made
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, message: Self) -> Self {
        self.bytes(field, &message.0)
    }
}

/// What an attribute holds.
enum Is<'a> {
    Whole(i64),
    Wholes(&'a [i64]),
    Float(f32),
    Text(&'a str),
}

/// An ONNX graph under construction.
#[derive(Default)]
struct Onnx(Message);

impl Onnx {
    fn end(&mut self, field: u64, name: &str, dims: &[i64]) {
        let side = |shape: Message, &len: &i64| match len {
            0 => shape.message(1, Message::default().text(2, "open")),
            len => shape.message(1, Message::default().whole(1, len)),
        };
        let shape = dims.iter().fold(Message::default(), side);
        let tensor = Message::default().whole(1, 1).message(2, shape);
        let info = Message::default().text(1, name).message(2, Message::default().message(1, tensor));
        self.0 = std::mem::take(&mut self.0).message(field, info);
    }

    fn input(mut self, name: &str, dims: &[i64]) -> Self {
        self.end(11, name, dims);
        self
    }

    fn output(mut self, name: &str) -> Self {
        self.end(12, name, &[]);
        self
    }

    fn weights(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = dims.iter().fold(Message::default(), |tensor, &dim| tensor.whole(1, dim));
        self.0 = self.0.message(5, tensor.whole(2, 1).text(8, name).bytes(9, &raw));
        self
    }

    fn wholes(mut self, name: &str, values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.0 = self.0.message(5, Message::default().whole(1, values.len() as i64).whole(2, 7).text(8, name).bytes(9, &raw));
        self
    }

    /// A node whose name is its first result's.
    fn node(mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, Is<'_>)]) -> Self {
        let mut node = inputs.iter().fold(Message::default(), |node, name| node.text(1, name));
        node = outputs.iter().fold(node, |node, name| node.text(2, name)).text(3, outputs[0]).text(4, op);
        for (name, value) in attributes {
            let attribute = Message::default().text(1, name);
            let attribute = match value {
                Is::Whole(value) => attribute.whole(3, *value),
                Is::Wholes(values) => values.iter().fold(attribute, |attribute, &value| attribute.whole(8, value)),
                Is::Float(value) => {
                    let mut made = attribute.number(2 << 3 | 5);
                    made.0.extend(value.to_le_bytes());
                    made
                }
                Is::Text(text) => attribute.text(4, text),
            };
            node = node.message(5, attribute);
        }
        self.0 = self.0.message(1, node);
        self
    }

    fn file(self) -> Vec<u8> {
        let opset = Message::default().text(1, "").whole(2, 13);
        Message::default().whole(1, 8).text(2, "tests").message(7, self.0).message(8, opset).0
    }

    fn network(self) -> ghostnet::Result<Network> {
        Network::from_bytes("n.onnx", &self.file())
    }
}

fn engines() -> impl Iterator<Item = &'static Engine> {
    common::gpu().into_iter().chain([common::cpu()])
}

/// The results of a network for one input, on every device.
fn run(network: &Network, name: &str, shape: &[usize], values: &[f32]) -> Vec<(Vec<usize>, Vec<f32>)> {
    let input = AnyTensor { shape: shape.to_vec(), data: Values::F32(values.to_vec()) };
    let mut all = Vec::new();
    for engine in engines() {
        let model = engine.load(network.clone()).unwrap();
        let results = model.run_named(&[(name, &input)]).unwrap();
        let results: Vec<_> = results.into_iter().map(|(_, tensor)| (tensor.shape.clone(), tensor.into_f32().data)).collect();
        if let Some(first) = all.first() {
            let first: &Vec<(Vec<usize>, Vec<f32>)> = first;
            for ((shape, values), (known, wanted)) in results.iter().zip(first) {
                assert_eq!(shape, known);
                assert!(relative_difference(values, wanted) <= tolerance::KERNEL);
            }
        }
        all.push(results);
    }
    all.pop().unwrap()
}

#[test]
fn an_exported_ghost_module_is_one_dispatch() {
    let mut random = Random(3);
    let onnx = Onnx::default()
        .input("x", &[0, 3, 0, 0])
        .weights("primary", &[6, 3, 1, 1], &random.values(18))
        .weights("primary.bias", &[6], &random.values(6))
        .weights("cheap", &[6, 1, 3, 3], &random.values(54))
        .node("Conv", &["x", "primary", "primary.bias"], &["a"], &[])
        .node("Relu", &["a"], &["b"], &[])
        .node("Conv", &["b", "cheap"], &["c"], &[("group", Is::Whole(6)), ("pads", Is::Wholes(&[1, 1, 1, 1]))])
        .node("Relu", &["c"], &["d"], &[])
        .node("Concat", &["b", "d"], &["y"], &[("axis", Is::Whole(1))])
        .output("y");
    let network = onnx.network().unwrap();
    // Its size stays open.
    assert_eq!(network.size(), None);
    let input = Tensor::new(&[2, 3, 5, 7], random.values(2 * 3 * 35)).unwrap();
    for engine in engines() {
        let model = engine.load(network.clone()).unwrap();
        let plan = model.plan(2, 5, 7, Form::Tensors).unwrap();
        assert_eq!(plan.steps.iter().map(|step| step.dispatch.key.kernel.name()).collect::<Vec<_>>(), ["ghost"]);
        assert_eq!(model.run(&input).unwrap().shape, [2, 12, 5, 7]);
    }
}

#[test]
fn channels_last_cost_two_copies_however_many_transposes_there_are() {
    let mut random = Random(4);
    let (first, last) = ([0i64, 3, 1, 2], [0i64, 2, 3, 1]);
    let weights = random.values(4 * 3 * 9);
    let onnx = Onnx::default()
        .input("x", &[1, 5, 4, 3])
        .weights("w", &[4, 3, 3, 3], &weights)
        .node("Transpose", &["x"], &["a"], &[("perm", Is::Wholes(&first))])
        .node("Conv", &["a", "w"], &["b"], &[("auto_pad", Is::Text("SAME_UPPER")), ("strides", Is::Wholes(&[2, 2]))])
        .node("Transpose", &["b"], &["c"], &[("perm", Is::Wholes(&last))])
        .node("Relu", &["c"], &["d"], &[])
        .node("Transpose", &["d"], &["e"], &[("perm", Is::Wholes(&first))])
        .node("Transpose", &["e"], &["y"], &[("perm", Is::Wholes(&last))])
        .output("y");
    let network = onnx.network().unwrap();
    let model = common::cpu().load(network.clone()).unwrap();
    let plan = model.plan(1, 1, 1, Form::Tensors).unwrap();
    let kernels: Vec<&str> = plan.steps.iter().map(|step| step.dispatch.key.kernel.name()).collect();
    assert_eq!(kernels, ["rearrange", "conv2d", "rearrange"]);
    let x = random.values(60);
    let results = run(&network, "x", &[1, 5, 4, 3], &x);
    // SAME_UPPER: of five rows at stride 2 one above and below, of four columns one at the right.
    let mut wanted = Vec::new();
    for (y, column) in (0..3).flat_map(|y| (0..2).map(move |column| (y, column))) {
        for out in 0..4 {
            let mut sum = 0.0;
            for (c, ky, kx) in (0..3).flat_map(|c| (0..3).flat_map(move |ky| (0..3).map(move |kx| (c, ky, kx)))) {
                let (iy, ix) = (2 * y + ky, 2 * column + kx);
                if (1..6).contains(&iy) && ix < 4 {
                    sum += x[((iy - 1) * 4 + ix) * 3 + c] * weights[((out * 3 + c) * 3 + ky) * 3 + kx];
                }
            }
            wanted.push(f32::max(sum, 0.0));
        }
    }
    assert_eq!(results[0].0, [1, 3, 2, 4]);
    assert!(relative_difference(&results[0].1, &wanted) <= tolerance::KERNEL);
}

#[test]
fn reshapes_slices_and_broadcasts_are_numpys() {
    let onnx = Onnx::default()
        .input("x", &[1, 4, 2, 3])
        .wholes("two", &[2])
        .wholes("one", &[1])
        .wholes("minus", &[-1])
        .wholes("from", &[3])
        .wholes("to", &[-9])
        .wholes("axis", &[1])
        .wholes("all", &[1, -1])
        .weights("row", &[3], &[10.0, 20.0, 30.0])
        // [1, 4, 2, 3] -> [1, 2, 2, 2, 3] -> the groups turned: channels shuffled.
        .node("Shape", &["x"], &["shape"], &[])
        .node("Gather", &["shape", "one"], &["channels"], &[])
        .node("Div", &["channels", "two"], &["half"], &[])
        .node("Concat", &["one", "two", "half", "two", "minus"], &["groups"], &[("axis", Is::Whole(0))])
        .node("Reshape", &["x", "groups"], &["grouped"], &[])
        .node("Transpose", &["grouped"], &["turned"], &[("perm", Is::Wholes(&[0, 2, 1, 3, 4]))])
        .node("Reshape", &["turned", "shape"], &["shuffled"], &[])
        .node("Slice", &["shuffled", "from", "to", "axis", "minus"], &["backwards"], &[])
        .node("Add", &["backwards", "row"], &["added"], &[])
        .node("ReduceMean", &["added"], &["mean"], &[("axes", Is::Wholes(&[3])), ("keepdims", Is::Whole(1))])
        .node("Sub", &["added", "mean"], &["centred"], &[])
        .node("Reshape", &["centred", "all"], &["flat"], &[])
        .output("backwards")
        .output("added")
        .output("centred")
        .output("flat");
    let x: Vec<f32> = (0..24).map(|v| v as f32).collect();
    let results = run(&onnx.network().unwrap(), "x", &[1, 4, 2, 3], &x);
    // Channels 0 2 1 3, from the last.
    let backwards: Vec<f32> = [3, 1, 2, 0].iter().flat_map(|c| (0..6).map(move |p| (c * 6 + p) as f32)).collect();
    let added: Vec<f32> = backwards.iter().enumerate().map(|(at, v)| v + [10.0, 20.0, 30.0][at % 3]).collect();
    let centred: Vec<f32> = added.chunks(3).flat_map(|row| row.iter().map(|v| v - row.iter().sum::<f32>() / 3.0)).collect();
    assert_eq!(results[0], (vec![1, 4, 2, 3], backwards));
    assert_eq!(results[1], (vec![1, 4, 2, 3], added));
    for (at, shape) in [(2, vec![1, 4, 2, 3]), (3, vec![1, 24])] {
        assert_eq!(results[at].0, shape);
        assert!(relative_difference(&results[at].1, &centred) <= 1e-5);
    }
}

#[test]
fn activations_of_any_slope_and_range() {
    type Case<'a> = (&'a str, &'a [(&'a str, Is<'a>)], fn(f32) -> f32);
    let functions: [Case<'_>; 6] = [
        ("LeakyRelu", &[("alpha", Is::Float(0.1))], |x| if x > 0.0 { x } else { 0.1 * x }),
        ("HardSigmoid", &[], |x| (0.2 * x + 0.5).clamp(0.0, 1.0)),
        ("HardSwish", &[], |x| x * ((x + 3.0) / 6.0).clamp(0.0, 1.0)),
        ("Tanh", &[], f32::tanh),
        ("Abs", &[], f32::abs),
        ("Neg", &[], |x| -x),
    ];
    for (op, attributes, function) in functions {
        let network = Onnx::default().input("x", &[1, 5, 1, 9]).node(op, &["x"], &["y"], attributes).output("y").network().unwrap();
        let x: Vec<f32> = (0..45).map(|v| (v as f32 - 22.0) / 5.0).collect();
        let wanted: Vec<f32> = x.iter().map(|&x| function(x)).collect();
        let results = run(&network, "x", &[1, 5, 1, 9], &x);
        assert!(relative_difference(&results[0].1, &wanted) <= 1e-5, "{op}");
    }
}

#[test]
fn what_is_not_covered_is_listed() {
    let onnx = Onnx::default()
        .input("x", &[1, 3, 4, 4])
        .node("GridSample", &["x", "x"], &["a"], &[])
        .node("GridSample", &["x", "x"], &["b"], &[])
        .node("Relu", &["a"], &["c"], &[])
        .node("Conv", &["x", "x"], &["d"], &[])
        .output("c");
    let message = onnx.network().unwrap_err().to_string();
    assert_eq!(
        message,
        "n.onnx: operators that are not covered: Conv (`d`): `x` has to be a constant; GridSample (`a`, `b`): no such operator here"
    );
    let none = Onnx::default().input("x", &[1, 3, 4, 4]).output("nothing").network().unwrap_err().to_string();
    assert_eq!(none, "n.onnx: result `nothing` is computed by no node");
    let open = Onnx::default().input("x", &[0, 0]).node("Relu", &["x"], &["y"], &[]).output("y").network().unwrap_err().to_string();
    assert_eq!(open, "n.onnx: input `x` leaves side 1 open");
}

/// Once imported it is a network like any: it can be saved as one file.
#[test]
fn an_imported_network_is_saved_as_one_file() {
    let onnx = Onnx::default().input("x", &[1, 2, 3, 3]).node("Softmax", &["x"], &["y"], &[("axis", Is::Whole(3))]).output("y");
    let network = onnx.network().unwrap();
    let bytes = network.to_bytes(ghostnet::model::Stored::F32).unwrap();
    let read = Network::from_bytes("n", &bytes).unwrap();
    let x = Random(9).values(18);
    assert_eq!(run(&read, "x", &[1, 2, 3, 3], &x), run(&network, "x", &[1, 2, 3, 3], &x));
}

/// Damaged files are refused or make a network: nothing panics. `GHOSTNET_MUTATIONS` says how many
/// are tried.
#[test]
fn damaged_files_do_no_harm() {
    let mutations: usize = std::env::var("GHOSTNET_MUTATIONS").map_or(20_000, |count| count.parse().unwrap());
    let mut random = Random(5);
    let file = Onnx::default()
        .input("x", &[0, 3, 8, 8])
        .weights("w", &[4, 3, 3, 3], &random.values(108))
        .wholes("shape", &[0, -1])
        .node("Conv", &["x", "w"], &["a"], &[("pads", Is::Wholes(&[1, 1, 1, 1])), ("strides", Is::Wholes(&[2, 2]))])
        .node("LeakyRelu", &["a"], &["b"], &[("alpha", Is::Float(0.1))])
        .node("MaxPool", &["b"], &["c"], &[("kernel_shape", Is::Wholes(&[3, 3])), ("ceil_mode", Is::Whole(1))])
        .node("Concat", &["b", "b"], &["d"], &[("axis", Is::Whole(2))])
        .node("Transpose", &["d"], &["e"], &[("perm", Is::Wholes(&[0, 2, 3, 1]))])
        .node("Reshape", &["e", "shape"], &["y"], &[])
        .node("Softmax", &["y"], &["z"], &[])
        .output("c")
        .output("z")
        .file();
    let (mut opened, weights) = (0, 8 + 108 * 4);
    for _ in 0..mutations {
        let mut bytes = file.clone();
        for _ in 0..1 + random.below(3) {
            // Mostly past the weights, which are the largest part.
            let at = if random.below(8) == 0 { random.below(weights) } else { random.below(bytes.len()) };
            match random.below(3) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                _ => {
                    let end = (at + random.below(9)).min(bytes.len());
                    bytes.splice(at..end, (0..random.below(6)).map(|v| v as u8 * 41).collect::<Vec<_>>());
                }
            }
        }
        if let Ok(network) = Network::from_bytes("damaged.onnx", &bytes) {
            opened += 1;
            let _ = network.summary();
        }
    }
    println!("{mutations} files, {opened} of them networks");
    assert!(opened > 0 && opened < mutations);
}
