//! The passes match as often as GhostNet implies, leave alone what they must, and change no result.

mod common;

use common::{
    net::{self, CLASSES, Fusing, Net, Random},
    relative_difference, tolerance,
};
use ghostnet::{
    Network, Precision, Tensor,
    device::DeviceClass,
    graph::{
        Activation, Axis, Conv, Graph, NodeId, Op, Output, Rearrange, Resample, Shape,
        passes::{self, Pass},
    },
    model::{
        Source,
        checkpoint::Checkpoint,
        families::ghostnet::{GhostNet, Version},
        formula,
    },
    plan::{ConstantCache, Form, Plan},
};
use std::sync::Arc;

fn ghostnet(name: &str) -> Graph {
    Network::random(name, 0).unwrap().graph().clone()
}

/// Results on the CPU of a graph as it stands after `passes`.
fn results(graph: &Graph, passes: &[Pass], shape: Shape, input: &[f32]) -> Vec<Vec<f32>> {
    let mut graph = graph.clone();
    passes::run(&mut graph, passes::REQUIRED);
    passes::run(&mut graph, passes);
    let options = net::options(DeviceClass::Software, Fusing::All, Form::Tensors, Precision::F32);
    let plan = Plan::new(&graph, &[shape], &options, &mut ConstantCache::new()).unwrap();
    net::run_on_cpu(&Arc::new(plan), input)
}

#[test]
fn passes_match_as_often_as_the_network_implies() {
    // Table 1 of the paper: 16 bottlenecks of two ghost modules each. 7 have squeeze-and-excite and
    // 4 have stride 2. There are 5 shortcuts of a depthwise and a 1x1 convolution: the strided ones
    // and the step from 80 to 112 channels.
    let (bottlenecks, gates, strided, shortcuts) = (16, 7, 4, 5);
    let modules = 2 * bottlenecks;
    for name in ["ghostnet_050", "ghostnet_100", "ghostnet_130"] {
        let mut graph = ghostnet(name);
        // The stem's, two a ghost module, one a strided depthwise convolution, two a shortcut, the
        // last 1x1 convolution's.
        let normalised = 1 + 2 * modules + strided + 2 * shortcuts + 1;
        assert_eq!(passes::run(&mut graph, passes::REQUIRED), [("name_activation", 0), ("fold_batch_norm", normalised)]);
        let matches = passes::run(&mut graph, passes::FUSING);
        let expected = [
            ("merge_branches", 0),
            // The stem's, both parts of each bottleneck's first module, both layers of each gate,
            // the last 1x1's, the head's.
            ("fuse_activation", 1 + 2 * bottlenecks + 2 * gates + 1 + 1),
            ("split_convolution", 0),
            ("fuse_squeeze_excite", gates),
            ("fuse_ghost", modules),
            ("fuse_gate", gates),
            ("fuse_residual", bottlenecks),
            ("fuse_resample", 0),
            ("fuse_separable", shortcuts),
            ("fuse_pool", 1),
        ];
        assert_eq!(matches, expected, "{name}");
        // Input, stem, modules, strided depthwise, gates, shortcuts, last 1x1 with its mean, head,
        // classifier.
        assert_eq!(graph.nodes().len(), 1 + 1 + modules + strided + gates + shortcuts + 1 + 1 + 1, "{name}:\n{graph}");
    }
}

#[test]
fn passes_match_nothing_twice() {
    let mut graph = ghostnet("ghostnet_050");
    passes::run(&mut graph, passes::REQUIRED);
    passes::run(&mut graph, passes::FUSING);
    for (name, count) in passes::run(&mut graph, passes::REQUIRED).into_iter().chain(passes::run(&mut graph, passes::FUSING)) {
        assert_eq!(count, 0, "{name}");
    }
}

#[test]
fn other_ratios_and_cheap_kernels_fuse_too() {
    for (ratio, cheap_kernel, modules) in [(3, 3, 32), (2, 5, 32), (4, 1, 32), (1, 3, 0)] {
        let network = Network::random_of(&GhostNet::new(0.5).ratio(ratio).cheap_kernel(cheap_kernel), 0).unwrap();
        let mut graph = network.graph().clone();
        passes::run(&mut graph, passes::REQUIRED);
        let matches = passes::run(&mut graph, passes::FUSING);
        assert_eq!(matches[4], ("fuse_ghost", modules), "ratio {ratio}, kernel {cheap_kernel}");
        assert!(!graph.nodes().iter().any(|node| matches!(node.op, Op::Slice { .. } | Op::Concat)), "ratio {ratio}:\n{graph}");
    }
}

#[test]
fn every_prefix_of_the_passes_computes_the_same() {
    let shape = Shape::new(1, 3, 64, 64);
    let input = Random(3).values(shape.count());
    let graph = ghostnet("ghostnet_100");
    let expected = results(&graph, &[], shape, &input).remove(0);
    for count in 1..=passes::FUSING.len() {
        let logits = results(&graph, &passes::FUSING[..count], shape, &input).remove(0);
        let difference = relative_difference(&logits, &expected);
        println!("up to {}: {difference:.1e}", passes::FUSING[count - 1].name);
        assert!(difference <= tolerance::REORDERED, "up to {}: {difference:.1e}", passes::FUSING[count - 1].name);
    }
}

#[test]
fn fused_and_unfused_agree_on_the_gpu() {
    let (Some(fused), Some(unfused)) = (common::gpu(), common::gpu_with(|options| options.unfused = true)) else { return };
    let shape = [1, 3, 64, 64];
    let input = Tensor::new(&shape, Random(3).values(shape.iter().product())).unwrap();
    let network = Network::random("ghostnet_100", 0).unwrap();
    let [one, other] = [fused, &unfused].map(|engine| engine.load(network.clone()).unwrap());
    assert!(other.graph().nodes().len() > 2 * one.graph().nodes().len(), "the second is not fused");
    let difference = relative_difference(&one.run(&input).unwrap().data, &other.run(&input).unwrap().data);
    println!("{difference:.1e}");
    assert!(difference <= tolerance::REORDERED, "{difference:.1e}");
}

#[test]
fn ghostnet_takes_52_dispatches() {
    let shape = Shape::new(1, 3, 224, 224);
    for name in ["ghostnet_050", "ghostnet_100", "ghostnet_130"] {
        let graph = net::after_passes(ghostnet(name), true);
        let mut cache = ConstantCache::new();
        for class in CLASSES {
            let mut dispatches = |form: &Form, separable: bool, ghost: bool| {
                let mut options = net::options(class, Fusing::All, form.clone(), Precision::F32);
                options.choice.fuse_separable = separable;
                options.choice.fuse_ghost = ghost;
                Plan::new(&graph, &[shape], &options, &mut cache).unwrap().steps.len()
            };
            let tensors = Form::Tensors;
            assert_eq!(dispatches(&tensors, true, true), 52, "{name}, {class:?}");
            assert_eq!(dispatches(&tensors, false, true), 52 + 5, "{name}, {class:?}: shortcuts in two");
            // Each module in two, and a third for the sum with the shortcut, which waits for both.
            assert_eq!(dispatches(&tensors, true, false), 52 + 32 + 16 + sums(&graph), "{name}, {class:?}: ghost modules in two");
            // Pixels to input, logits to classes.
            assert_eq!(dispatches(&Form::Classify { k: 5 }, true, true), 52 + 2, "{name}, {class:?}: classify");
        }
    }
}

/// Squeeze-and-excites that follow a ghost module directly. Without the fused kernel a pool of
/// their own makes their sums.
fn sums(graph: &Graph) -> usize {
    let follows =
        |node: &&ghostnet::graph::Node| matches!(node.op, Op::SqueezeExcite(_)) && matches!(graph.node(node.inputs[0]).op, Op::Ghost(_));
    graph.nodes().iter().filter(follows).count()
}

/// A graph that a pass has to leave alone: how often `pass` matches, and whether all passes keep
/// the results.
fn check(pass: &str, expected: usize, net: Net, shape: Shape) {
    let mut graph = net.graph.clone();
    passes::run(&mut graph, passes::REQUIRED);
    let matches = passes::run(&mut graph, passes::FUSING);
    let count = matches.iter().find(|(name, _)| *name == pass).expect("the pass is there").1;
    assert_eq!(count, expected, "{pass} on\n{}became\n{graph}", net.graph);
    let input = Random(5).values(shape.count());
    let plain = results(&net.graph, &[], shape, &input);
    let fused = results(&net.graph, passes::FUSING, shape, &input);
    assert_eq!(plain.len(), net.graph.outputs().len());
    for ((plain, fused), Output { name, .. }) in plain.iter().zip(&fused).zip(net.graph.outputs()) {
        let difference = relative_difference(fused, plain);
        assert!(difference <= tolerance::REORDERED, "{pass}, `{name}`: {difference:.1e}\n{graph}");
    }
}

const SHAPE: Shape = Shape::new(2, 6, 5, 7);

/// A primary convolution and its cheap operation.
fn halves(net: &mut Net, edit: impl Fn(Conv) -> Conv) -> [ghostnet::graph::NodeId; 2] {
    let input = ghostnet::graph::NodeId(0);
    let primary = net.pointwise(input, 6);
    [primary, net.conv(primary, 6, [3, 3], 6, |conv| edit(conv.pad(1)))]
}

#[test]
fn a_plain_ghost_module_fuses() {
    // What the graphs below differ from.
    let (mut net, _) = Net::new(6);
    let halves = halves(&mut net, |conv| conv);
    let both = net.add(Op::Concat, &halves);
    net.output(both);
    check("fuse_ghost", 1, net, SHAPE);
}

#[test]
fn a_primary_convolution_that_something_else_uses_stays() {
    let (mut net, _) = Net::new(6);
    let halves = halves(&mut net, |conv| conv);
    let both = net.add(Op::Concat, &halves);
    let other = net.activate(halves[0], Activation::Sigmoid);
    net.output(both);
    net.output(other);
    check("fuse_ghost", 0, net, SHAPE);
}

#[test]
fn a_result_in_the_middle_of_a_ghost_module_stays() {
    for half in 0..2 {
        let (mut net, _) = Net::new(6);
        let halves = halves(&mut net, |conv| conv);
        let both = net.add(Op::Concat, &halves);
        net.output(halves[half]);
        net.output(both);
        check("fuse_ghost", 0, net, SHAPE);
    }
}

#[test]
fn a_strided_or_dilated_cheap_operation_stays() {
    // On one pixel a stride or a dilation keeps the size.
    for edit in [|conv: Conv| conv.stride(2), |conv: Conv| conv.dilation(2).pad(2)] {
        let (mut net, _) = Net::new(6);
        let halves = halves(&mut net, edit);
        let both = net.add(Op::Concat, &halves);
        net.output(both);
        check("fuse_ghost", 0, net, Shape { h: 1, w: 1, ..SHAPE });
    }
}

#[test]
fn a_ghost_module_with_its_ghosts_first_fuses() {
    // With what follows a module: a convolution that reads its channels, a gate, a sum.
    for (groups, cut) in [(1, None), (2, None), (1, Some(10))] {
        let (mut net, input) = Net::new(6);
        let primary = net.pointwise(input, 6);
        let cheap = net.conv(primary, 6 * groups, [3, 3], 6, |conv| conv.pad(1));
        let mut both = net.add(Op::Concat, &[cheap, primary]);
        if let Some(len) = cut {
            both = net.add(Op::Slice { start: 0, len }, &[both]);
        }
        let gated = net.squeeze_excite(both, 3);
        let y = net.pointwise(gated, 6);
        let y = net.add(Op::Add, &[y, input]);
        net.output(both);
        net.output(y);
        check("fuse_ghost", 1, net, SHAPE);
    }
    let (mut net, _) = Net::new(6);
    let [primary, cheap] = halves(&mut net, |conv| conv);
    let both = net.add(Op::Concat, &[cheap, primary]);
    let other = net.pointwise(both, 12);
    let both = net.add(Op::Add, &[both, other]);
    let both = net.activate(both, Activation::Relu);
    net.output(both);
    check("fuse_residual", 2, net, SHAPE);
}

#[test]
fn a_cheap_operation_of_another_tensor_stays() {
    let (mut net, input) = Net::new(6);
    let [primary, _] = halves(&mut net, |conv| conv);
    let cheap = net.depthwise(input, 3, 1);
    let both = net.add(Op::Concat, &[primary, cheap]);
    net.output(both);
    check("fuse_ghost", 0, net, SHAPE);
}

#[test]
fn a_slice_into_the_intrinsic_maps_stays() {
    let (mut net, _) = Net::new(6);
    let halves = halves(&mut net, |conv| conv);
    let both = net.add(Op::Concat, &halves);
    let cut = net.add(Op::Slice { start: 0, len: 5 }, &[both]);
    net.output(cut);
    check("fuse_ghost", 1, net, SHAPE);
}

#[test]
fn activations_fuse_only_into_what_they_alone_use() {
    // Two activations of one convolution: neither may change it for the other.
    let (mut net, input) = Net::new(6);
    let x = net.pointwise(input, 5);
    for activation in [Activation::Relu, Activation::HardSwish] {
        let y = net.activate(x, activation);
        net.output(y);
    }
    check("fuse_activation", 0, net, SHAPE);
    // An activation with two consumers.
    let (mut net, input) = Net::new(6);
    let x = net.pointwise(input, 5);
    let x = net.activate(x, Activation::Relu);
    let y = net.pointwise(x, 5);
    let y = net.add(Op::Add, &[x, y]);
    net.output(y);
    check("fuse_activation", 1, net, SHAPE);
    // A second activation after the first.
    let (mut net, input) = Net::new(6);
    let x = net.pointwise(input, 5);
    let x = net.activate(x, Activation::HardSwish);
    let x = net.activate(x, Activation::Sigmoid);
    net.output(x);
    check("fuse_activation", 1, net, SHAPE);
    // One after a sum, which a residual must not move it before.
    let (mut net, input) = Net::new(6);
    let x = net.pointwise(input, 6);
    let x = net.add(Op::Add, &[x, input]);
    let x = net.activate(x, Activation::Relu);
    net.output(x);
    check("fuse_activation", 0, net, SHAPE);
}

#[test]
fn a_convolution_is_split_where_others_take_its_channels() {
    // Scores and boxes of a detector's head, as one or two results.
    let head = |edit: &dyn Fn(&mut Net, NodeId, NodeId)| {
        let (mut net, input) = Net::new(6);
        let both = net.conv(input, 11, [3, 3], 1, |conv| conv.pad(1));
        let scores = net.activate(both, Activation::Sigmoid);
        edit(&mut net, both, scores);
        net
    };
    let slice = |net: &mut Net, x: NodeId, start: usize, len: usize| net.add(Op::Slice { start, len }, &[x]);
    let split = |net: &mut Net, both: NodeId, scores: NodeId| {
        let [scores, boxes] = [slice(net, scores, 0, 5), slice(net, both, 5, 6)];
        let joined = net.add(Op::Concat, &[boxes, scores]);
        net.output(joined);
    };
    check("split_convolution", 1, head(&split), SHAPE);
    // Some of its channels are not needed.
    let some = |net: &mut Net, _: NodeId, scores: NodeId| {
        let scores = slice(net, scores, 3, 4);
        net.output(scores);
    };
    check("split_convolution", 1, head(&some), SHAPE);
    // The whole is needed; a channel is taken twice.
    let whole = |net: &mut Net, both: NodeId, scores: NodeId| {
        split(net, both, scores);
        net.output(both);
    };
    check("split_convolution", 0, head(&whole), SHAPE);
    let twice = |net: &mut Net, both: NodeId, scores: NodeId| {
        let [scores, boxes] = [slice(net, scores, 0, 6), slice(net, both, 5, 6)];
        let joined = net.add(Op::Concat, &[scores, boxes]);
        net.output(joined);
    };
    check("split_convolution", 0, head(&twice), SHAPE);
}

/// Units of a ShuffleNetV2 of `c` channels: each takes the second half of what comes, and shuffles
/// the first with what it makes.
fn shuffled(c: usize, units: usize, edit: impl Fn(&mut Net, NodeId, NodeId)) -> Net {
    let (mut net, input) = Net::new(6);
    let [a, b] = [net.pointwise(input, c), net.pointwise(input, c)];
    let mut both = net.add(Op::Concat, &[a, b]);
    for _ in 0..units {
        let pixels = SHAPE.pixels();
        let axis = |len, channels, pixels| Axis { len, channels, pixels };
        let shuffle = Rearrange {
            of: [2 * c, SHAPE.h, SHAPE.w],
            start: [0, 0],
            axes: vec![axis(c, 1, 0), axis(2, c as isize, 0), axis(pixels, 0, 1)],
            to: [2 * c, SHAPE.h, SHAPE.w],
        };
        let mixed = net.add(Op::Rearrange(shuffle), &[both]);
        let kept = net.add(Op::Slice { start: 0, len: c }, &[mixed]);
        let taken = net.add(Op::Slice { start: c, len: c }, &[mixed]);
        let x = net.pointwise(taken, c);
        let x = net.depthwise(x, 3, 1);
        let x = net.pointwise(x, c);
        edit(&mut net, kept, taken);
        both = net.add(Op::Concat, &[kept, x]);
    }
    let last = net.depthwise(both, 3, 1);
    net.output(last);
    net
}

#[test]
fn shuffled_channels_are_read_where_they_are() {
    let copies = |net: &Net, class: DeviceClass| {
        let plan = net::plan(&net.graph, SHAPE, class, Fusing::All, Form::Tensors, Precision::F32);
        plan.steps.iter().filter(|step| step.dispatch.key.kernel.name() == "relayout").count()
    };
    for c in [6, 58] {
        let net = shuffled(c, 4, |_, _, _| {});
        // The last, which `depthwise` reads, which takes blocks that lie side by side.
        assert!(CLASSES.iter().all(|class| copies(&net, *class) == 1), "{}", net.graph);
        check("split_convolution", 0, net, SHAPE);
        // What is kept is a result, too, and another convolution reads what is taken.
        let net = shuffled(c, 3, |net, kept, taken| {
            let other = net.conv(taken, 3, [3, 3], 1, |conv| conv.pad(1));
            net.output(kept);
            net.output(other);
        });
        check("split_convolution", 0, net, SHAPE);
    }
}

#[test]
fn gates_that_are_results_or_too_large_stay() {
    let (mut net, input) = Net::new(6);
    let gate = net.gate(input, 3);
    let x = net.add(Op::Multiply, &[input, gate]);
    net.output(x);
    net.output(gate);
    check("fuse_squeeze_excite", 0, net, SHAPE);
    // A slope for each channel, which the kernel does not take.
    let (mut net, input) = Net::new(6);
    let slope = net.constant(&[3], 0.5);
    let mean = net.add(Op::GlobalPool, &[input]);
    let x = net.pointwise(mean, 3);
    let x = net.activate(x, Activation::PRelu(slope));
    let x = net.pointwise(x, 6);
    let gate = net.activate(x, Activation::HardSigmoid);
    let x = net.add(Op::Multiply, &[input, gate]);
    net.output(x);
    check("fuse_squeeze_excite", 0, net, SHAPE);
    // 2052 channels are a block more than the kernel holds.
    for (c, expected) in [(2048, 1), (2052, 0)] {
        let (mut net, input) = Net::new(c);
        let x = net.squeeze_excite(input, 4);
        net.output(x);
        check("fuse_squeeze_excite", expected, net, Shape::new(1, c, 1, 2));
    }
}

#[test]
fn products_that_something_else_uses_stay() {
    let (mut net, input) = Net::new(6);
    let x = net.squeeze_excite(input, 3);
    let y = net.pointwise(x, 4);
    net.output(x);
    net.output(y);
    check("fuse_gate", 0, net, SHAPE);
}

#[test]
fn sums_fuse_once() {
    // A tensor with itself.
    let (mut net, input) = Net::new(6);
    let x = net.pointwise(input, 6);
    let x = net.add(Op::Add, &[x, x]);
    net.output(x);
    check("fuse_residual", 0, net, SHAPE);
    // A summand that is a result as well.
    let (mut net, input) = Net::new(6);
    let x = net.pointwise(input, 6);
    let sum = net.add(Op::Add, &[x, input]);
    net.output(x);
    net.output(sum);
    check("fuse_residual", 0, net, SHAPE);
    // Two ghost modules: one takes the other as its residual.
    let (mut net, input) = Net::new(6);
    let [a, b] = [3, 5].map(|d| net.ghost(input, 10, 2, d, Activation::Relu));
    let x = net.add(Op::Add, &[a, b]);
    net.output(x);
    check("fuse_residual", 1, net, SHAPE);
    // Three terms.
    let (mut net, input) = Net::new(6);
    let [a, b] = [0, 1].map(|_| net.pointwise(input, 6));
    let x = net.add(Op::Add, &[a, b]);
    let x = net.add(Op::Add, &[x, input]);
    net.output(x);
    check("fuse_residual", 1, net, SHAPE);
}

#[test]
fn sums_with_any_convolution_fuse_and_so_do_their_bounds() {
    for (after, groups, expected) in [
        (Some(Activation::Relu), 1, 2),
        (Some(Activation::Relu6), 3, 2),
        // More than bounds.
        (Some(Activation::Silu), 1, 1),
        (None, 2, 1),
        // A depthwise one, of which the kernel adds nothing.
        (Some(Activation::Relu), 6, 0),
    ] {
        let (mut net, input) = Net::new(6);
        let x = net.conv(input, 6, [3, 3], groups, |conv| conv.pad(1));
        let mut x = net.add(Op::Add, &[x, input]);
        if let Some(after) = after {
            x = net.activate(x, after);
        }
        net.output(x);
        check("fuse_residual", expected, net, SHAPE);
    }
    // A sum that is a result as well is not bounded; nor is one bounded twice.
    let (mut net, input) = Net::new(6);
    let x = net.ghost(input, 6, 2, 3, Activation::Relu);
    let sum = net.add(Op::Add, &[x, input]);
    let x = net.activate(sum, Activation::Relu);
    net.output(sum);
    net.output(x);
    check("fuse_residual", 1, net, SHAPE);
    let (mut net, input) = Net::new(6);
    let x = net.ghost(input, 6, 2, 3, Activation::Relu);
    let x = net.add(Op::Add, &[x, input]);
    let x = net.activate(x, Activation::Relu6);
    let x = net.activate(x, Activation::Relu);
    net.output(x);
    check("fuse_residual", 2, net, SHAPE);
}

#[test]
fn depthwise_convolutions_that_the_kernel_cannot_take_stay() {
    for (multiplier, dilation, expected) in [(1, 1, 1), (2, 1, 0), (1, 2, 0)] {
        let (mut net, input) = Net::new(6);
        let x = net.conv(input, 6 * multiplier, [3, 3], 6, |conv| conv.pad(dilation).dilation(dilation));
        let x = net.pointwise(x, 9);
        net.output(x);
        check("fuse_separable", expected, net, SHAPE);
    }
    // Used twice.
    let (mut net, input) = Net::new(6);
    let x = net.depthwise(input, 3, 1);
    for c_out in [4, 9] {
        let y = net.pointwise(x, c_out);
        net.output(y);
    }
    check("fuse_separable", 0, net, SHAPE);
}

#[test]
fn means_of_what_is_also_a_map_stay() {
    let (mut net, input) = Net::new(6);
    let x = net.pointwise(input, 9);
    let mean = net.add(Op::GlobalPool, &[x]);
    net.output(x);
    net.output(mean);
    check("fuse_pool", 0, net, SHAPE);
}

/// A sum of convolutions of `x` of these kernels and groups, each normalised, and with `skip` of a
/// normalisation of `x`.
fn branches(net: &mut Net, x: NodeId, c_out: usize, stride: usize, convs: &[([usize; 2], usize)], skip: bool) -> NodeId {
    let mut parts = Vec::new();
    for &(kernel, groups) in convs {
        let pad = kernel.map(|k| k / 2);
        // Half of the even kernels' padding is on one side only.
        let pad_more = kernel.map(|k| if k % 2 == 0 { -1 } else { 0 });
        let part = net.conv(x, c_out, kernel, groups, |conv| Conv { pad, pad_more, ..conv.stride(stride) });
        parts.push(net.batch_norm(part));
    }
    if skip {
        parts.push(net.batch_norm(x));
    }
    parts.into_iter().reduce(|sum, part| net.add(Op::Add, &[sum, part])).unwrap()
}

fn convolutions(graph: &Graph) -> usize {
    graph.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_))).count()
}

const MERGING: &[Pass] = passes::FUSING.split_at(1).0;

#[test]
fn parallel_branches_are_one_convolution() {
    let (square, one, even) = ([3, 3], [1, 1], [2, 2]);
    for (c_out, stride, convs, skip) in [
        (6, 1, &[(square, 1), (one, 1)][..], true),            // RepVGG
        (6, 1, &[(one, 6), (square, 6), (square, 6)], true),   // GhostNetV3's cheap operation
        (6, 2, &[(one, 6), ([5, 5], 6), ([5, 5], 6)], false),  // its strided one
        (8, 1, &[(one, 1), (one, 1), (one, 1)], false),        // its primary convolution
        (12, 1, &[(square, 6), (one, 6)], false),              // two outputs a channel
        (9, 2, &[(square, 3), (one, 3)], false),               // groups
        (6, 1, &[(square, 1), (one, 2), (square, 6)], true),   // groups within a dense one
        (6, 1, &[(square, 1), (even, 1), ([1, 3], 1)], false), // windows that end elsewhere
    ] {
        let (mut net, input) = Net::new(6);
        let y = branches(&mut net, input, c_out, stride, convs, skip);
        net.output(y);
        let shape = Shape::new(2, 6, 7, 9);
        let values = Random(5).values(shape.count());
        let [apart, merged] = [&[], MERGING].map(|passes| results(&net.graph, passes, shape, &values).remove(0));
        let difference = relative_difference(&merged, &apart);
        assert!(difference <= tolerance::REORDERED, "{convs:?}: {difference:.1e}");
        let mut graph = net.graph.clone();
        passes::run(&mut graph, passes::REQUIRED);
        assert_eq!(passes::run(&mut graph, MERGING), [("merge_branches", 1)], "{convs:?}");
        assert_eq!((graph.nodes().len(), convolutions(&graph)), (2, 1), "{convs:?}:\n{graph}");
    }
}

#[test]
fn sums_that_are_no_branches_stay() {
    let sums: [fn(&mut Net, NodeId) -> NodeId; 8] = [
        // More products than before.
        |net, x| branches(net, x, 6, 1, &[([1, 5], 1), ([5, 1], 1)], false),
        |net, x| branches(net, x, 6, 1, &[([3, 3], 6), ([1, 1], 1)], false),
        // The input itself.
        |net, x| {
            let y = branches(net, x, 6, 1, &[([3, 3], 1)], false);
            net.add(Op::Add, &[x, y])
        },
        // Not of one input.
        |net, x| {
            let y = net.activate(x, Activation::Relu);
            let [a, b] = [x, y].map(|x| net.pointwise(x, 6));
            net.add(Op::Add, &[a, b])
        },
        // Activated.
        |net, x| {
            let [a, b] = [net.pointwise(x, 6), net.pointwise(x, 6)];
            let a = net.activate(a, Activation::Relu);
            net.add(Op::Add, &[a, b])
        },
        // Needed by itself.
        |net, x| {
            let [a, b] = [net.pointwise(x, 6), net.pointwise(x, 6)];
            net.output(a);
            net.add(Op::Add, &[a, b])
        },
        // Dilated.
        |net, x| {
            let [a, b] = [1, 2].map(|d| net.conv(x, 6, [3, 3], 1, |conv| conv.pad(d).dilation(d)));
            net.add(Op::Add, &[a, b])
        },
        // Twice the same.
        |net, x| {
            let a = net.pointwise(x, 6);
            net.add(Op::Add, &[a, a])
        },
    ];
    for (at, sum) in sums.into_iter().enumerate() {
        let (mut net, input) = Net::new(6);
        let y = sum(&mut net, input);
        net.output(y);
        passes::run(&mut net.graph, passes::REQUIRED);
        assert_eq!(passes::run(&mut net.graph, MERGING), [("merge_branches", 0)], "sum {at}");
    }
    // A chain of sums is looked at in pieces.
    let (mut net, input) = Net::new(1);
    let mut x = input;
    for _ in 0..20_000 {
        x = net.add(Op::Add, &[x, input]);
    }
    net.output(x);
    let begin = std::time::Instant::now();
    assert_eq!(passes::run(&mut net.graph, MERGING), [("merge_branches", 0)]);
    assert!(begin.elapsed().as_secs() < 2, "{:?}", begin.elapsed());
}

/// As trained, with 13 branches a bottleneck, and merged by the passes: timm's logits.
#[test]
fn ghostnetv3_is_the_same_before_and_after_merging() {
    let golden = Checkpoint::open(&common::path("tests/data/golden/family.safetensors")).unwrap();
    let shape = Shape::new(1, 3, 97, 65);
    let input = formula::values("input", 0, &[1, 3, 97, 65]);
    for (name, width) in [("ghostnetv3_050", 0.5), ("ghostnetv3_100", 1.0)] {
        let graph = GhostNet::new(width).version(Version::V3).graph(&mut Source::formula_of(0, 1.0)).unwrap();
        let expected = &golden.get(name).unwrap().data;
        for passes in [&[], MERGING, passes::FUSING] {
            let difference = relative_difference(&results(&graph, passes, shape, &input)[0], expected);
            println!("{name}, {} passes: {difference:.1e}", passes.len());
            assert!(difference <= tolerance::NETWORK, "{name}, {} passes: {difference:.1e}", passes.len());
        }
        let mut merged = graph.clone();
        let before = convolutions(&graph);
        passes::run(&mut merged, passes::REQUIRED);
        // Both parts of each module, and what is strided.
        assert_eq!(passes::run(&mut merged, MERGING), [("merge_branches", 2 * 32 + 4)]);
        assert_eq!(convolutions(&merged), before - 32 * (2 + 3) - 4 * 3, "{name}");
    }
}

#[test]
fn the_familys_modules_are_fused() {
    // V2's attention: a mean, three convolutions, and a resampling with the product in 14 of 16
    // bottlenecks; 5 of 7 squeeze-and-excites follow a product, and so need a mean of their own.
    for (name, ghosts, dispatches) in [
        ("ghostnetv2_100", 32, 52 + 14 * 5 + 5),
        ("ghostnetv2_130", 32, 52 + 14 * 5 + 5),
        ("ghostnetv3_050", 32, 52 + 14 * 5 + 5),
        ("ghostnetv3_160", 32, 52 + 14 * 5 + 5),
        ("mobilenetv2_100", 0, 46),
        ("mobilenetv3_large_100", 0, 54),
        ("ghost_resnet50", 33, 75),
    ] {
        let graph = net::after_passes(ghostnet(name), true);
        assert_eq!(graph.nodes().iter().filter(|node| matches!(node.op, Op::Ghost(_))).count(), ghosts, "{name}");
        let options = net::options(DeviceClass::Gpu, Fusing::All, Form::Tensors, Precision::F32);
        let plan = Plan::new(&graph, &[Shape::new(1, 3, 224, 224)], &options, &mut ConstantCache::new()).unwrap();
        assert_eq!(plan.steps.len(), dispatches, "{name}");
    }
}

#[test]
fn products_with_resampled_maps_are_one_step() {
    let like = Resample::like();
    let make = |size: [usize; 2], gate_first: bool, is_result: bool| {
        let (mut net, input) = Net::new(6);
        let y = net.ghost(input, 10, 2, 3, Activation::Relu);
        let gate = net.pointwise(input, 10);
        let half = net.add(Op::Resample(Resample::to(size)), &[gate]);
        let gate = if size == [1, 1] { half } else { net.add(Op::Resample(like), &[half, input]) };
        let inputs = if gate_first { [gate, y] } else { [y, gate] };
        let product = net.add(Op::Multiply, &inputs);
        net.output(product);
        if is_result {
            net.output(gate);
        }
        net.graph
    };
    let shape = Shape::new(2, 6, 7, 9);
    let input = Random(5).values(shape.count());
    // A first operand might be the map, and the second one of one pixel.
    for (size, gate_first, is_result, fused) in
        [([3, 4], false, false, 1), ([1, 1], false, false, 1), ([3, 4], true, false, 0), ([3, 4], false, true, 0)]
    {
        let graph = make(size, gate_first, is_result);
        let mut rewritten = graph.clone();
        passes::run(&mut rewritten, passes::REQUIRED);
        let matches = passes::run(&mut rewritten, passes::FUSING);
        assert!(matches.contains(&("fuse_resample", fused)), "{size:?}, {gate_first}, {is_result}: {matches:?}");
        let [plain, fused] = [&[], passes::FUSING].map(|passes| results(&graph, passes, shape, &input).remove(0));
        let difference = relative_difference(&fused, &plain);
        assert!(difference <= tolerance::REORDERED, "{size:?}: {difference:.1e}");
    }
}
