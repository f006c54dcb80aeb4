//! ONNX files become networks: small graphs against plain loops, and damaged ones.

mod common;

use common::{
    net::Random,
    onnx::{Is, Onnx},
    relative_difference, tolerance,
};
use ghostnet::{AnyTensor, Engine, Network, Open, Tensor, Values, plan::Form};

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
    let functions: [Case<'_>; 10] = [
        ("LeakyRelu", &[("alpha", Is::Float(0.1))], |x| if x > 0.0 { x } else { 0.1 * x }),
        ("HardSigmoid", &[], |x| (0.2 * x + 0.5).clamp(0.0, 1.0)),
        ("HardSwish", &[], |x| x * ((x + 3.0) / 6.0).clamp(0.0, 1.0)),
        ("Tanh", &[], f32::tanh),
        ("Abs", &[], f32::abs),
        ("Exp", &[], f32::exp),
        ("Gelu", &[], |x| x / (1.0 + (-1.5976 * x - 0.07135 * x * x * x).exp())),
        ("Clip", &[("min", Is::Float(-1.5)), ("max", Is::Float(2.0))], |x| x.clamp(-1.5, 2.0)),
        ("Clip", &[("min", Is::Float(0.0)), ("max", Is::Float(1.5))], |x| x.clamp(0.0, 1.5)),
        ("Neg", &[], |x| -x),
    ];
    for (op, attributes, function) in functions {
        let network = Onnx::default().input("x", &[1, 5, 1, 9]).node(op, &["x"], &["y"], attributes).output("y").network().unwrap();
        let x: Vec<f32> = (0..45).map(|v| (v as f32 - 22.0) / 5.0).collect();
        let wanted: Vec<f32> = x.iter().map(|&x| function(x)).collect();
        let results = run(&network, "x", &[1, 5, 1, 9], &x);
        // That of Gelu is another approximation.
        let most = if op == "Gelu" { 1e-3 } else { 1e-5 };
        assert!(relative_difference(&results[0].1, &wanted) <= most, "{op}");
    }
}

#[test]
fn swish_that_is_spelled_out_is_one_activation() {
    let onnx = |last: &str, attributes: &[(&str, Is<'_>)]| {
        Onnx::default()
            .input("x", &[1, 3, 2, 5])
            .weights("w", &[4, 3, 1, 1], &Random(6).values(12))
            .weights("three", &[1], &[3.0])
            .weights("six", &[1], &[6.0])
            .node("Conv", &["x", "w"], &["a"], &[])
            .node("Add", &["a", "three"], &["b"], &[])
            .node("Clip", &["b"], &["c"], &[("min", Is::Float(0.0)), ("max", Is::Float(6.0))])
            .node("Mul", &["c", "a"], &["d"], &[])
            .node(last, &["d", "six"], &["y"], attributes)
            .output("y")
    };
    let network = onnx("Div", &[]).network().unwrap();
    let plan = common::cpu().load(network.clone()).unwrap().plan(1, 2, 5, Form::Tensors).unwrap();
    assert_eq!(plan.steps.len(), 1);
    // By another number it is none.
    let other = onnx("Mul", &[]).network().unwrap();
    assert!(common::cpu().load(other.clone()).unwrap().plan(1, 2, 5, Form::Tensors).unwrap().steps.len() > 1);
    let x = Random(8).values(30);
    let [swish, product] = [&network, &other].map(|network| run(network, "x", &[1, 3, 2, 5], &x).remove(0).1);
    let wanted: Vec<f32> = product.iter().map(|v| v / 36.0).collect();
    assert!(relative_difference(&swish, &wanted) <= tolerance::KERNEL);
}

#[test]
fn transposed_convolutions_are_sums_over_what_they_scatter() {
    // Stride, kernel, padding, output padding, dilation, groups.
    for [stride, kernel, pad, more, dilation, groups] in
        [[2, 2, 0, 0, 1, 1], [2, 4, 1, 0, 1, 1], [3, 3, 1, 1, 1, 2], [1, 3, 0, 0, 2, 1], [2, 5, 2, 1, 1, 4], [4, 2, 0, 2, 1, 1]]
    {
        let (c, of_group, [h, w]) = (4, 3, [5usize, 4]);
        let mut random = Random(11);
        let (x, weights, bias) =
            (random.values(c * h * w), random.values(c * of_group * kernel * kernel), random.values(of_group * groups));
        let [s, p, m, d] = [stride, pad, more, dilation].map(|v| v as i64);
        let onnx = Onnx::default()
            .input("x", &[1, c as i64, h as i64, w as i64])
            .weights("w", &[c as i64, of_group as i64, kernel as i64, kernel as i64], &weights)
            .weights("b", &[(of_group * groups) as i64], &bias)
            .node(
                "ConvTranspose",
                &["x", "w", "b"],
                &["y"],
                &[
                    ("strides", Is::Wholes(&[s, s])),
                    ("pads", Is::Wholes(&[p; 4])),
                    ("output_padding", Is::Wholes(&[m, m])),
                    ("dilations", Is::Wholes(&[d, d])),
                    ("group", Is::Whole(groups as i64)),
                ],
            )
            .output("y");
        let results = run(&onnx.network().unwrap(), "x", &[1, c, h, w], &x);
        let [rows, columns] = [h, w].map(|size| (size - 1) * stride + dilation * (kernel - 1) + 1 + more - 2 * pad);
        let mut wanted: Vec<f32> = bias.iter().flat_map(|&bias| vec![bias; rows * columns]).collect();
        for (i, y, x_) in (0..c).flat_map(|i| (0..h).flat_map(move |y| (0..w).map(move |x_| (i, y, x_)))) {
            for (o, ky, kx) in (0..of_group).flat_map(|o| (0..kernel).flat_map(move |ky| (0..kernel).map(move |kx| (o, ky, kx)))) {
                let (row, column) = (y * stride + ky * dilation, x_ * stride + kx * dilation);
                if (pad..pad + rows).contains(&row) && (pad..pad + columns).contains(&column) {
                    let to = (i / (c / groups) * of_group + o) * rows * columns + (row - pad) * columns + column - pad;
                    wanted[to] += x[(i * h + y) * w + x_] * weights[((i * of_group + o) * kernel + ky) * kernel + kx];
                }
            }
        }
        assert_eq!(results[0].0, [1, of_group * groups, rows, columns]);
        assert!(relative_difference(&results[0].1, &wanted) <= tolerance::KERNEL, "{stride} {kernel} {pad} {more} {dilation} {groups}");
    }
}

#[test]
fn padding_of_every_mode_is_numpys() {
    let x: Vec<f32> = (0..24).map(|v| v as f32 + 1.0).collect();
    type Place = fn(isize, isize) -> Option<isize>;
    let modes: [(&str, f32, Place); 4] = [
        ("constant", 0.0, |at, len| (0..len).contains(&at).then_some(at)),
        ("constant", 2.5, |at, len| (0..len).contains(&at).then_some(at)),
        ("edge", 0.0, |at, len| Some(at.clamp(0, len - 1))),
        ("reflect", 0.0, |at, len| {
            Some(if at < 0 {
                -at
            } else if at >= len {
                2 * len - 2 - at
            } else {
                at
            })
        }),
    ];
    for (mode, value, place) in modes {
        for pads in [[0, 0, 1, 2, 0, 0, 1, 0], [0, 1, 0, 1, 0, 1, 1, 1], [0, 0, -1, 1, 0, 0, 0, 2]] {
            let onnx = Onnx::default()
                .input("x", &[1, 2, 3, 4])
                .wholes("pads", &pads)
                .weights("value", &[1], &[value])
                .node("Pad", &["x", "pads", "value"], &["y"], &[("mode", Is::Text(mode))])
                .output("y");
            let results = run(&onnx.network().unwrap(), "x", &[1, 2, 3, 4], &x);
            let sizes = [0, 1, 2].map(|side| ([2, 3, 4][side] + pads[side + 1] + pads[side + 5]) as usize);
            let mut wanted = Vec::new();
            // What is cut off is gone before a mode looks at what there is.
            for at in 0..sizes.iter().product::<usize>() {
                let index = [at / (sizes[1] * sizes[2]), at / sizes[2] % sizes[1], at % sizes[2]];
                let source: Option<Vec<isize>> = (0..3)
                    .map(|side| {
                        let cut = (-pads[side + 1]).max(0) as isize;
                        let len = [2, 3, 4][side] - cut - (-pads[side + 5]).max(0) as isize;
                        place(index[side] as isize - pads[side + 1].max(0) as isize, len).map(|place| place + cut)
                    })
                    .collect();
                wanted.push(source.map_or(value, |at| x[((at[0] * 3 + at[1]) * 4 + at[2]) as usize]));
            }
            assert_eq!(results[0], ([&[1][..], &sizes].concat(), wanted), "{mode} {pads:?}");
        }
    }
}

#[test]
fn zeros_in_front_of_a_convolution_are_its_padding() {
    let onnx = Onnx::default()
        .input("x", &[1, 3, 5, 6])
        .weights("w", &[4, 3, 3, 3], &Random(2).values(108))
        .wholes("pads", &[0, 0, 0, 0, 0, 0, 1, 1])
        .node("Pad", &["x", "pads"], &["a"], &[])
        .node("Conv", &["a", "w"], &["y"], &[("strides", Is::Wholes(&[2, 2]))])
        .output("y");
    let plan = common::cpu().load(onnx.network().unwrap()).unwrap().plan(1, 5, 6, Form::Tensors).unwrap();
    assert_eq!(plan.steps.len(), 1);
    assert_eq!([plan.outputs[0].shape.h, plan.outputs[0].shape.w], [2, 3]);
}

#[test]
fn reductions_over_any_sides() {
    let x: Vec<f32> = Random(12).values(60);
    let sum = |values: &[f32]| values.iter().sum::<f32>();
    type Reduce = fn(&[f32]) -> f32;
    let kinds: [(&str, Reduce); 3] = [
        ("ReduceMean", |values| values.iter().sum::<f32>() / values.len() as f32),
        ("ReduceMax", |values| values.iter().copied().fold(f32::MIN, f32::max)),
        ("ReduceMin", |values| values.iter().copied().fold(f32::MAX, f32::min)),
    ];
    for (op, reduce) in kinds {
        let onnx = Onnx::default().input("x", &[1, 3, 4, 5]).node(op, &["x"], &["y"], &[("axes", Is::Wholes(&[1, -1]))]).output("y");
        let results = run(&onnx.network().unwrap(), "x", &[1, 3, 4, 5], &x);
        let row = |y: usize| (0..3).flat_map(|c| x[(c * 4 + y) * 5..][..5].iter().copied()).collect::<Vec<f32>>();
        let wanted: Vec<f32> = (0..4).map(|y| reduce(&row(y))).collect();
        assert_eq!(results[0].0, [1, 1, 4, 1], "{op}");
        assert!(relative_difference(&results[0].1, &wanted) <= 1e-5, "{op}");
    }
    let onnx = Onnx::default()
        .input("x", &[1, 3, 4, 5])
        .wholes("axes", &[2])
        .node("ReduceSum", &["x", "axes"], &["y"], &[("keepdims", Is::Whole(0))])
        .output("y");
    let results = run(&onnx.network().unwrap(), "x", &[1, 3, 4, 5], &x);
    let wanted: Vec<f32> = (0..15).map(|at| sum(&(0..4).map(|y| x[(at / 5 * 4 + y) * 5 + at % 5]).collect::<Vec<_>>())).collect();
    assert_eq!(results[0].0, [1, 3, 5]);
    assert!(relative_difference(&results[0].1, &wanted) <= 1e-5);
}

#[test]
fn the_largest_and_their_places() {
    let x = [3.0, 1.0, 3.0, -2.0, 0.0, 5.0, 5.0, 4.0, 5.0, 1.0];
    let onnx = Onnx::default()
        .input("x", &[1, 2, 5])
        .wholes("k", &[3])
        .node("TopK", &["x", "k"], &["values", "places"], &[])
        .node("ArgMax", &["x"], &["first"], &[("axis", Is::Whole(2)), ("keepdims", Is::Whole(0))])
        .node("ArgMax", &["x"], &["last"], &[("axis", Is::Whole(2)), ("keepdims", Is::Whole(0)), ("select_last_index", Is::Whole(1))])
        .output("values")
        .output("places")
        .output("first")
        .output("last");
    let results = run(&onnx.network().unwrap(), "x", &[1, 2, 5], &x);
    assert_eq!(results[0], (vec![1, 2, 3], vec![3.0, 3.0, 1.0, 5.0, 5.0, 5.0]));
    assert_eq!(results[1], (vec![1, 2, 3], vec![0.0, 2.0, 1.0, 0.0, 1.0, 3.0]));
    assert_eq!(results[2], (vec![1, 2], vec![0.0, 0.0]));
    assert_eq!(results[3], (vec![1, 2], vec![2.0, 3.0]));
}

#[test]
fn values_of_8_bits_are_rounded_as_the_file_says() {
    let onnx = Onnx::default()
        .input("x", &[1, 2, 2, 3])
        .weights("scale", &[], &[0.25])
        .bytes_of("zero", &[], &[(-3i8) as u8])
        .bytes_of("w", &[2, 2, 1, 1], &[10, 20, (-30i8) as u8, 5])
        .weights("of_w", &[2], &[0.1, 0.01])
        .bytes_of("no", &[2], &[0, 0])
        .node("QuantizeLinear", &["x", "scale", "zero"], &["q"], &[])
        .node("DequantizeLinear", &["q", "scale", "zero"], &["y"], &[])
        .node("DequantizeLinear", &["w", "of_w", "no"], &["filters"], &[("axis", Is::Whole(0))])
        .node("Conv", &["y", "filters"], &["z"], &[])
        .output("q")
        .output("y")
        .output("z");
    // Halves go to even numbers, and what is too large to the bounds.
    let x = [0.125, 0.375, -0.125, 100.0, -100.0, 0.0, 1.0, 0.3, -1.0, 2.0, 0.6, 7.7];
    let results = run(&onnx.network().unwrap(), "x", &[1, 2, 2, 3], &x);
    let q: Vec<f32> = x.iter().map(|x| ((x * 4.0f32).round_ties_even() - 3.0).clamp(-128.0, 127.0)).collect();
    let y: Vec<f32> = q.iter().map(|q| (q + 3.0) * 0.25).collect();
    let z: Vec<f32> =
        [[1.0, 2.0], [-0.3, 0.05]].iter().flat_map(|w| (0..6).map(|p| w[0] * y[p] + w[1] * y[6 + p]).collect::<Vec<_>>()).collect();
    assert_eq!((&results[0].1, &results[1].1), (&q, &y));
    assert!(relative_difference(&results[2].1, &z) <= 1e-6);
}

#[test]
fn inputs_that_shapes_depend_on_become_constants() {
    let onnx =
        || Onnx::default().input("x", &[1, 6]).input_of(7, "shape", &[2]).node("Reshape", &["x", "shape"], &["y"], &[]).output("y").file();
    let refused = Network::from_bytes("n.onnx", &onnx()).unwrap_err().to_string();
    assert!(refused.contains("`shape` is no constant"), "{refused}");
    let file = std::env::temp_dir().join(format!("ghostnet-given-{}.onnx", std::process::id()));
    std::fs::write(&file, onnx()).unwrap();
    let given = [("shape".to_string(), AnyTensor { shape: vec![2], data: Values::I64(vec![2, -1]) })];
    let network = Network::open_with(&file, &Open { given: &given, ..Open::default() });
    std::fs::remove_file(&file).unwrap();
    let network = network.unwrap();
    assert_eq!(network.constants(), ["shape"]);
    assert_eq!(run(&network, "x", &[1, 6], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])[0].0, [2, 3]);
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
