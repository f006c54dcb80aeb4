//! Convolutions become ghost modules: as many parameters as the paper's networks have, the same
//! results where the filters allow it, and the kernel that computes whole modules.

mod common;

use common::{
    net::{Net, Random, after_passes},
    relative_difference, tolerance,
};
use ghostnet::{
    Card, Network, Tensor,
    graph::{
        Activation, Axis, Calculate, Calculation, Conv, Filter, Ghostified, Ghostify, Graph, Nearest, NodeId, Op, Rearrange, Resample,
        Shape, TopK, passes,
    },
    model,
};

/// The names are those of timm's modules, so that the weights are of the paper's networks too.
#[test]
fn networks_become_the_papers() {
    let cases: [(&str, &str, usize, &[&str]); 3] = [
        ("vgg16", "ghost_vgg16", 2, &["features.*"]),
        ("resnet20", "ghost_resnet20", 2, &["layer?.?.conv1", "layer*.conv2"]),
        ("resnet50", "ghost_resnet50_s4", 4, &["layer*"]),
    ];
    for (plain, ghost, ratio, layers) in cases {
        let network = Network::random(plain, 0).unwrap();
        let size = network.size().unwrap();
        let (made, report) = network.ghostify(&Ghostify::default().ratio(ratio).layers(layers.iter().copied()), size).unwrap();
        let [mut tensors, mut wanted] = [made.tensors(), Network::random(ghost, 1).unwrap().tensors()];
        tensors.sort();
        wanted.sort();
        assert_eq!(tensors, wanted, "{ghost}");
        let (made, wanted, before) = (made.summary().unwrap(), model::summary(ghost).unwrap(), network.summary().unwrap());
        assert_eq!((made.params, made.macs), (wanted.params, wanted.macs), "{ghost}");
        assert_eq!(made.name, format!("{plain}_ghost"));
        let sum = |of: fn(&Ghostified) -> [u64; 2]| report.iter().map(of).fold([0, 0], |sum, of| [sum[0] + of[0], sum[1] + of[1]]);
        let (params, macs) = (sum(|layer| layer.params), sum(|layer| layer.macs));
        assert_eq!((before.params - params[0] + params[1], before.macs - macs[0] + macs[1]), (made.params, made.macs), "{ghost}");
    }
}

/// Filters of which all are multiples of the first `c_out / ratio`, rounded up, and biases that are
/// the same multiples: `[channel]` of (of which filter, how often).
fn multiples(random: &mut Random, c_out: usize, ratio: usize, is_signed: bool) -> Vec<(usize, f32)> {
    let m = c_out.div_ceil(ratio);
    let factor = |random: &mut Random| {
        let factor = 0.5 + random.value().abs();
        if is_signed && random.below(2) == 0 { -factor } else { factor }
    };
    (0..c_out).map(|at| if at < m { (at, 1.0) } else { ((at - m) / (ratio - 1), factor(random)) }).collect()
}

struct Layer {
    c_out: usize,
    kernel: usize,
    activation: Activation,
    has_norm: bool,
    edit: fn(Conv) -> Conv,
}

/// Adds a layer whose filters are multiples, its channels in the order of `places`.
fn add(net: &mut Net, name: &str, x: NodeId, layer: &Layer, multiples: &[(usize, f32)], places: &[usize]) -> NodeId {
    let Layer { c_out, kernel, activation, has_norm, edit } = *layer;
    let c_in = net.graph.channels(x);
    let of_filter = c_in * kernel * kernel;
    let base = net.random.values(c_out * (of_filter + 1));
    let (filters, biases) = base.split_at(c_out * of_filter);
    let scaled = |values: &[f32], factor: f32| values.iter().map(|value| value * factor).collect::<Vec<f32>>();
    let all = || places.iter().map(|&place| multiples[place]);
    let weight = all().flat_map(|(from, factor)| scaled(&filters[from * of_filter..][..of_filter], factor)).collect::<Vec<f32>>();
    let bias = all().map(|(from, factor)| biases[from] * factor).collect::<Vec<f32>>();
    let weight = net.graph.add_constant(format!("{name}.weight"), &[c_out, c_in, kernel, kernel], weight).unwrap();
    let mut y = if has_norm {
        let y = net.graph.add(name, Op::Conv(edit(Conv::new(weight))), &[x]).unwrap();
        let mut vector = |data: Vec<f32>| net.graph.add_constant(format!("{name}.norm"), &[c_out], data).unwrap();
        let mean = vector(bias);
        let [weight, var] =
            [0.5, 1.0].map(|least| (0..c_out).map(|_| least + net.random.value().abs()).collect::<Vec<f32>>()).map(&mut vector);
        let bias = vector(vec![0.0; c_out]);
        net.add(Op::BatchNorm { weight, bias, mean, var, eps: 1e-3 }, &[y])
    } else {
        let bias = net.graph.add_constant(format!("{name}.bias"), &[c_out], bias).unwrap();
        net.graph.add(name, Op::Conv(edit(Conv::new(weight).bias(bias))), &[x]).unwrap()
    };
    if activation != Activation::Identity {
        y = net.activate(y, activation);
    }
    y
}

fn run(graph: &Graph, shape: Shape) -> Vec<Tensor> {
    let model = common::cpu().load(Network::new(graph.clone(), Card::default()).unwrap()).unwrap();
    let input = Tensor::new(&[shape.n, shape.c, shape.h, shape.w], Random(5).values(shape.count())).unwrap();
    common::results(&model, &input).unwrap().into_iter().map(|(_, result)| result).collect()
}

fn alike(a: &Graph, b: &Graph, shape: Shape, what: &str) {
    for (a, b) in run(a, shape).iter().zip(&run(b, shape)) {
        assert_eq!(a.shape, b.shape, "{what}");
        let difference = relative_difference(&a.data, &b.data);
        assert!(difference <= 1e-5, "{what}: {difference}");
    }
}

const SHAPE: Shape = Shape { n: 2, c: 5, h: 11, w: 9 };

/// Where some filters are multiples of others the module computes what the convolution did: in any
/// order of channels if only convolutions read them, else where like and like are at their places.
#[test]
fn what_is_a_multiple_stays_what_it_was() {
    let plain: fn(Conv) -> Conv = |conv| conv;
    let strided: fn(Conv) -> Conv = |conv| Conv { pad_more: [1, 0], ..conv.stride(2).pad(1) };
    let apart: fn(Conv) -> Conv = |conv| conv.pad(2).dilation(2);
    let mut seen = 0;
    for (ratio, c_out) in [(2, 16), (2, 13), (4, 16), (4, 10), (3, 8)] {
        for (kernel, edit) in [(1, plain), (1, (|conv: Conv| conv.stride(2)) as fn(Conv) -> Conv), (3, strided), (3, apart)] {
            for activation in [Activation::Identity, Activation::Relu, Activation::HardSwish] {
                for (has_norm, is_read) in [(false, true), (true, true), (true, false), (false, false)] {
                    seen += 1;
                    let (mut net, input) = Net::seeded(SHAPE.c, seen);
                    let layer = Layer { c_out, kernel, activation, has_norm, edit };
                    let multiples = multiples(&mut net.random, c_out, ratio, activation != Activation::Relu);
                    let mut places: Vec<usize> = (0..c_out).collect();
                    if is_read {
                        (1..c_out).for_each(|at| places.swap(at, net.random.below(at + 1)));
                    }
                    let mut x = add(&mut net, "layer", input, &layer, &multiples, &places);
                    if is_read {
                        x = net.depthwise(x, 3, 1);
                        x = net.squeeze_excite(x, 3);
                        x = net.pointwise(x, 4);
                    }
                    net.output(x);
                    let what = format!("{c_out} / {ratio}, kernel {kernel}, {activation:?}, norm {has_norm}, read {is_read}");
                    let how = Ghostify::default().ratio(ratio).cheap_kernel(if seen % 2 == 0 { 3 } else { 5 }).layers(["layer"]);
                    let (made, report) = net.graph.ghostify(&how, &[SHAPE]).unwrap();
                    let layer = &report[0];
                    assert_eq!((report.len(), layer.intrinsic, layer.is_reordered), (1, c_out.div_ceil(ratio), is_read), "{what}");
                    assert!(layer.error < 1e-5, "{what}: {}", layer.error);
                    alike(&net.graph, &made, SHAPE, &what);
                    assert_eq!(made.ghost_modules().len(), 1);
                }
            }
        }
    }
}

/// Layers whose results are added up have one order; where it suits all of them nothing is lost.
#[test]
fn an_order_may_be_several_layers() {
    let (mut net, input) = Net::new(SHAPE.c);
    let layer = Layer { c_out: 12, kernel: 1, activation: Activation::Identity, has_norm: true, edit: |conv| conv };
    let places = [3, 9, 0, 11, 5, 7, 1, 2, 4, 10, 8, 6];
    let of_pairs = multiples(&mut net.random, 12, 2, true);
    let a = add(&mut net, "a", input, &layer, &of_pairs, &places);
    let b = add(&mut net, "b", input, &layer, &of_pairs, &places);
    let sum = net.add(Op::Add, &[a, b]);
    let sum = net.activate(sum, Activation::Relu);
    let mean = net.add(Op::GlobalPool, &[sum]);
    let x = net.linear(mean, 3);
    net.output(x);
    let (made, report) = net.graph.ghostify(&Ghostify::default().layers(["?"]), &[SHAPE]).unwrap();
    assert!(report.iter().all(|layer| layer.is_reordered && layer.error < 1e-5), "{report:?}");
    alike(&net.graph, &made, SHAPE, "a sum");
    // A mark is outside: whoever reads it knows the order.
    net.graph.add_feature("sum", sum);
    let (made, report) = net.graph.ghostify(&Ghostify::default().layers(["?"]), &[SHAPE]).unwrap();
    assert!(report.iter().all(|layer| !layer.is_reordered && layer.error > 0.1), "{report:?}");
    assert_eq!(made.features().len(), 1);
}

#[test]
fn modules_of_1x1_convolutions_are_one_dispatch_each() {
    let network = Network::random("mobilenetv2_100", 0).unwrap();
    let (made, report) = network.ghostify(&Ghostify::default(), [64, 64]).unwrap();
    let graph = after_passes(made.graph().clone(), true);
    let fused = graph.nodes().iter().filter(|node| matches!(node.op, Op::Ghost(_))).count();
    assert_eq!(fused, report.len());
    assert!(fused > 30, "{fused}");
    // And none of those that are modules already becomes one again.
    let network = Network::random("ghostnet_050", 0).unwrap();
    let before = network.ghost_modules().len();
    let (made, report) = network.ghostify(&Ghostify::default(), [64, 64]).unwrap();
    assert_eq!(made.ghost_modules().len(), before + report.len());
    assert_eq!(passes::near(&after_passes(made.graph().clone(), true)), []);
}

#[test]
fn gpus_compute_them_as_the_cpu_does() {
    let Some(gpu) = common::gpu() else { return };
    for (name, side) in [("resnet20", 32), ("mobilenetv2_100", 64)] {
        let network = Network::random(name, 0).unwrap();
        let (made, _) = network.ghostify(&Ghostify::default(), [side, side]).unwrap();
        let input = Tensor::new(&[1, 3, side, side], Random(5).values(3 * side * side)).unwrap();
        let [on_gpu, on_cpu] = [gpu, common::cpu()].map(|engine| {
            let model = engine.load(Network::new(made.graph().clone(), Card::default()).unwrap()).unwrap();
            common::results(&model, &input).unwrap().remove(0).1
        });
        let difference = relative_difference(&on_gpu.data, &on_cpu.data);
        assert!(difference <= tolerance::NETWORK, "{name}: {difference}");
    }
}

#[test]
fn every_operation_has_a_form_in_pytorch_or_is_named() {
    let (mut net, input) = Net::new(3);
    let values = net.constant(&[3, 4, 5], 1.0);
    let constant = net.add(Op::Constant(values), &[input]);
    let resample = Resample { filter: Filter::Nearest(Nearest::Floor), ..Resample::by([2.0, 0.5]) };
    let resampled = net.add(Op::Resample(resample), &[input]);
    let like = net.add(Op::Resample(Resample::like()), &[resampled, input]);
    let axis = |len, channels, pixels| Axis { len, channels, pixels };
    let turned = Rearrange { of: [3, 4, 5], start: [2, 0], axes: vec![axis(3, -1, 0), axis(20, 0, 1)], to: [3, 4, 5] };
    let turned = net.add(Op::Rearrange(turned), &[constant]);
    let operand = net.constant(&[3], 1.0);
    let by = Calculate { by: Calculation::Divide, operand: Some(operand) };
    let divided = net.add(Op::Calculate(by), &[turned]);
    let least = net.add(Op::Calculate(Calculation::Minimum.into()), &[divided, like]);
    let best = net.add(Op::TopK(TopK { k: 2, is_smallest: true, is_last: false, places: true }), &[least]);
    net.output(best);
    let text = |net: &Net| Network::new(net.graph.clone(), Card::default()).unwrap().to_pytorch();
    let written = text(&net).unwrap();
    for line in [
        "Constant(3, 4, 5)",
        "().expand(len(x0), -1, -1, -1)",
        "x2 = resampled(x0, (None, None), (2.0, 0.5), \"half_pixel\", \"floor\")",
        "x3 = resampled(x2, (x0.shape[2], x0.shape[3]), (None, None), \"half_pixel\", None)",
        "x4 = rearranged(x1, [2, 0], [(3, -1, 0), (20, 0, 1)], [3, 4, 5])",
        "x5 = x4 / self.layers[",
        "x6 = torch.minimum(x5, x3)",
        "x7 = top_k(x6, 2, True, False, True)",
        "def resampled(",
        "def rearranged(",
        "def top_k(",
        "class Constant(",
    ] {
        assert!(written.contains(line), "{line}\n{written}");
    }
    let zeros = net.constant(&[2], 0.0);
    let [a, b] = [best, best].map(|x| net.activate(x, Activation::Round8(zeros)));
    net.output(a);
    net.output(b);
    let refused = text(&net).unwrap_err().to_string();
    let wanted = "no form in PyTorch have `node8.activate` (activate: round8), `node9.activate` (activate: round8)";
    assert!(refused.contains(wanted), "{refused}");
}

#[test]
fn what_cannot_become_a_module_is_refused() {
    let network = Network::random("resnet20", 0).unwrap();
    let refused = |how: Ghostify| network.ghostify(&how, [32, 32]).unwrap_err().to_string();
    let how = Ghostify::default;
    let cases = [
        (how().ratio(0), "ratio 0: a ghost module has at least 2 maps for each intrinsic one"),
        (how().ratio(1), "ratio 1: a ghost module has at least 2 maps for each intrinsic one"),
        (how().ratio(17), "`layer1.0.conv1` has 16 channels, fewer than the ratio 17"),
        (how().cheap_kernel(4), "a cheap operation of 4 x 4: an odd kernel up to 31 is needed"),
        (how().cheap_kernel(33), "a cheap operation of 33 x 33: an odd kernel up to 31 is needed"),
        (how().layers(["conv1", "fc"]), "`fc` names nothing that can become a ghost module: there are `conv1`, `layer1.0.conv1`, "),
    ];
    for (how, wanted) in cases {
        let message = refused(how);
        assert!(message.starts_with(wanted) && !message.contains('\n'), "{message}");
    }
    let (mut net, input) = Net::new(3);
    let x = net.depthwise(input, 3, 1);
    net.output(x);
    let message = net.graph.ghostify(&how(), &[Shape::new(1, 3, 8, 8)]).unwrap_err().to_string();
    assert!(message.contains("no convolution is dense, of 8 channels or more"), "{message}");
    assert!(net.graph.ghostify(&how(), &[]).is_err());
}
