//! Small graphs through passes, plan and twins against the plain evaluation of the graph: one check
//! of layouts, packing and kernels.

use super::*;
use crate::{
    device::{Choice, DeviceClass},
    graph::{
        Activation, ConstId, Conv, Coordinates, Filter, Graph, Nearest, NodeId, Op, Output, Pool, PoolKind, Resample, RoiAlign, Shape,
        passes, reference::evaluate,
    },
    kernels,
    plan::{ConstantCache, Form, PlanOptions},
};
use proptest::prelude::*;

/// A linear congruential generator (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// From -1 to 1.
    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0).collect()
    }
}

/// A graph under construction, with random weights.
struct Net {
    graph: Graph,
    random: Random,
}

/// Those that are defined everywhere and stay near 1.
fn usual_activations() -> Vec<Activation> {
    Activation::PLAIN.into_iter().filter(|activation| !matches!(activation, Activation::Exp | Activation::Sqrt)).collect()
}

impl Net {
    fn new(channels: usize) -> (Self, NodeId) {
        let mut graph = Graph::new();
        let input = graph.add_input(channels).unwrap();
        (Self { graph, random: Random(7) }, input)
    }

    fn constant(&mut self, shape: &[usize], scale: f32, shift: f32) -> ConstId {
        let data: Vec<f32> = self.random.values(shape.iter().product()).into_iter().map(|v| v * scale + shift).collect();
        self.graph.add_constant("c", shape, data).unwrap()
    }

    fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let name = format!("node{}.x", self.graph.nodes().len());
        self.graph.add(name, op, inputs).unwrap()
    }

    /// A convolution with a bias; `edit` sets stride, padding and so on.
    fn conv(&mut self, x: NodeId, c_out: usize, [kh, kw]: [usize; 2], groups: usize, edit: impl Fn(Conv) -> Conv) -> NodeId {
        let c_in = self.graph.channels(x) / groups;
        let scale = 1.5 / ((c_in * kh * kw) as f32).sqrt();
        let weight = self.constant(&[c_out, c_in, kh, kw], scale, 0.0);
        let bias = self.constant(&[c_out], 0.5, 0.0);
        self.add(Op::Conv(edit(Conv::new(weight).bias(bias).groups(groups))), &[x])
    }

    fn pointwise(&mut self, x: NodeId, c_out: usize) -> NodeId {
        self.conv(x, c_out, [1, 1], 1, |c| c)
    }

    fn depthwise(&mut self, x: NodeId, k: usize, stride: usize) -> NodeId {
        let c = self.graph.channels(x);
        self.conv(x, c, [k, k], c, |conv| conv.stride(stride).pad(k / 2))
    }

    fn batch_norm(&mut self, x: NodeId) -> NodeId {
        let c = [self.graph.channels(x)];
        let [weight, var] = [1.0; 2].map(|shift| self.constant(&c, 0.5, shift));
        let [bias, mean] = [0.0; 2].map(|shift| self.constant(&c, 0.5, shift));
        self.add(Op::BatchNorm { weight, bias, mean, var, eps: 1e-5 }, &[x])
    }

    fn activate(&mut self, x: NodeId, activation: Activation) -> NodeId {
        self.add(Op::Activate(activation), &[x])
    }

    /// A ghost module of ratio `s` and cheap kernel `d`, with BatchNorm, cut to `c_out`.
    fn ghost(&mut self, x: NodeId, c_out: usize, s: usize, d: usize, activation: Activation) -> NodeId {
        let m = c_out.div_ceil(s);
        let primary = self.conv(x, m, [1, 1], 1, |c| c);
        let primary = self.batch_norm(primary);
        let primary = self.activate(primary, activation);
        let cheap = self.conv(primary, m * (s - 1), [d, d], m, |c| c.pad(d / 2));
        let cheap = self.batch_norm(cheap);
        let cheap = self.activate(cheap, activation);
        let both = self.add(Op::Concat, &[primary, cheap]);
        if m * s == c_out { both } else { self.add(Op::Slice { start: 0, len: c_out }, &[both]) }
    }

    fn squeeze_excite(&mut self, x: NodeId, reduced: usize) -> NodeId {
        let gate = self.gate(x, reduced);
        self.add(Op::Multiply, &[x, gate])
    }

    fn gate(&mut self, x: NodeId, reduced: usize) -> NodeId {
        let pooled = self.add(Op::GlobalPool, &[x]);
        let squeezed = self.pointwise(pooled, reduced);
        let squeezed = self.activate(squeezed, Activation::Relu);
        let expanded = self.pointwise(squeezed, self.graph.channels(x));
        self.activate(expanded, Activation::HardSigmoid)
    }

    fn linear(&mut self, x: NodeId, c_out: usize) -> NodeId {
        let c_in = self.graph.channels(x);
        let weight = self.constant(&[c_out, c_in], 1.0 / (c_in as f32).sqrt(), 0.0);
        let bias = self.constant(&[c_out], 0.5, 0.0);
        self.add(Op::Linear { weight, bias: Some(bias), activation: Activation::Identity }, &[x])
    }

    /// Checks the graph with `last` as its result, besides those it has.
    fn check(mut self, last: NodeId, shape: [usize; 4]) {
        self.graph.add_output("last", last);
        let [n, c, h, w] = shape;
        check(&self.graph, Shape::new(n, c, h, w), &mut self.random);
    }
}

fn options(class: DeviceClass, fuse_ghost: bool, fuse_separable: bool, form: Form) -> PlanOptions {
    let choice = Choice { fuse_ghost, fuse_separable, ..Choice::new(class) };
    PlanOptions { form, precision: Precision::F32, choice, normalise: [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]] }
}

/// Runs the graph in every way it can be planned, and compares the results with its plain
/// evaluation.
fn check(graph: &Graph, shape: Shape, random: &mut Random) {
    check_all(graph, &[shape], random);
}

/// As [`check`], of a graph of several inputs.
fn check_all(graph: &Graph, shapes: &[Shape], random: &mut Random) {
    let inputs: Vec<Vec<f32>> = shapes.iter().map(|shape| random.values(shape.count())).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(|values| &values[..]).collect();
    let given: Vec<(&[f32], Shape)> = inputs.iter().copied().zip(shapes.iter().copied()).collect();
    let expected = evaluate(graph, &given);
    let fused: Vec<_> = passes::REQUIRED.iter().chain(passes::FUSING).copied().collect();
    for passes in [passes::REQUIRED, &fused] {
        let mut rewritten = graph.clone();
        passes::run(&mut rewritten, passes);
        for class in DeviceClass::ALL {
            for (fuse_ghost, fuse_separable) in [(true, true), (false, false)] {
                let options = options(class, fuse_ghost, fuse_separable, Form::Tensors);
                let plan = Arc::new(Plan::new(&rewritten, shapes, &options, &mut ConstantCache::new()).unwrap());
                let what = format!("{shapes:?}, {} passes, {class:?}, fused {fuse_ghost}\n{graph}\n{rewritten}", passes.len());
                check_bindings(&plan, &what);
                let mut prepared = Prepared::new(Arc::clone(&plan)).unwrap();
                let mut blocks = Vec::new();
                plan.pack_inputs(&inputs, &mut blocks);
                for _ in 0..2 {
                    // Whatever a step reads but nobody wrote spoils the results.
                    prepared.slots.iter_mut().for_each(|slot| slot.fill([f32::NAN; 4]));
                    prepared.set_inputs(bytemuck::cast_slice(&blocks));
                    prepared.run();
                    for (output, Output { name, node: id, .. }) in plan.outputs.iter().zip(graph.outputs()) {
                        assert_eq!(output.name, *name);
                        let got = output.unpack(prepared.slot(output.slot));
                        let wanted = &expected[id.0];
                        assert_eq!(got.len(), wanted.len(), "{what}");
                        let largest = wanted.iter().fold(1.0f32, |a, v| a.max(v.abs()));
                        for (at, (g, w)) in got.iter().zip(wanted).enumerate() {
                            assert!((g - w).abs() <= 2e-5 * largest, "`{name}` at {at}: {g}, should be {w}; {what}");
                        }
                    }
                }
            }
        }
    }
}

/// WebGPU forbids a dispatch to bind one buffer for reading and for writing.
fn check_bindings(plan: &Plan, what: &str) {
    for step in &plan.steps {
        let kernel = step.dispatch.key.kernel;
        for (name, resource) in &step.bindings {
            let written = match *name {
                "output" | "gate" if kernel == kernels::squeeze_excite::KERNEL || *name == "output" => true,
                "sums" => kernel != kernels::squeeze_excite::KERNEL,
                _ => false,
            };
            let others = step.bindings.iter().filter(|(other, r)| other != name && r == resource).count();
            assert!(!written || others == 0, "`{}` binds {resource:?} twice; {what}", step.name);
        }
    }
}

#[test]
fn convolutions_of_every_kind() {
    for (c_in, c_out, groups) in [(3, 5, 1), (8, 16, 1), (6, 9, 3), (12, 8, 4), (5, 5, 5), (6, 18, 6), (24, 20, 4), (1, 33, 1)] {
        for (kernel, stride, pad, dilation) in [
            ([1, 1], 1, 0, 1),
            ([3, 3], 1, 1, 1),
            ([3, 3], 2, 1, 1),
            ([5, 5], 2, 2, 1),
            ([3, 3], 1, 2, 2),
            ([1, 3], 1, 0, 1),
            ([7, 5], 3, 4, 1),
            ([1, 1], 2, 0, 1),
        ] {
            let (mut net, x) = Net::new(c_in);
            let x = net.conv(x, c_out, kernel, groups, |c| c.stride(stride).pad(pad).dilation(dilation));
            net.check(x, [2, c_in, 9, 7]);
        }
    }
}

#[test]
fn activations() {
    for activation in usual_activations() {
        let (mut net, input) = Net::new(6);
        let x = net.pointwise(input, 10);
        let x = net.activate(x, activation);
        let x = net.activate(x, activation);
        net.check(x, [2, 6, 3, 5]);
    }
}

#[test]
fn activations_with_parameters() {
    let (mut net, input) = Net::new(6);
    let (slope, other) = (net.constant(&[10], 0.5, 0.0), net.constant(&[6], 0.5, 0.0));
    let exp = net.activate(input, Activation::Exp);
    let root = net.activate(exp, Activation::Sqrt);
    let root = net.activate(root, Activation::PRelu(other));
    let x = net.add(Op::Add, &[input, root]);
    let x = net.pointwise(x, 10);
    let x = net.activate(x, Activation::PRelu(slope));
    net.check(x, [2, 6, 3, 5]);

    // Each value is some way from where it would be rounded to another.
    let (mut net, input) = Net::new(6);
    let low = net.constant(&[6], 0.0, -3.0);
    let [weight, var] = [8.0, 1.0].map(|v| net.constant(&[6], 0.0, v));
    let [bias, mean] = [0.0; 2].map(|v| net.constant(&[6], 0.0, v));
    let x = net.add(Op::BatchNorm { weight, bias, mean, var, eps: 0.0 }, &[input]);
    let x = net.activate(x, Activation::Round8(low));
    net.check(x, [1, 6, 2, 3]);
}

#[test]
fn ghost_modules_with_slopes() {
    for (c_out, s) in [(16usize, 2), (20, 3), (7, 2)] {
        let (mut net, input) = Net::new(9);
        let m = c_out.div_ceil(s);
        let [first, second] = [m, m * (s - 1)].map(|c| net.constant(&[c], 0.5, 0.0));
        let primary = net.conv(input, m, [1, 1], 1, |c| c);
        let primary = net.activate(primary, Activation::PRelu(first));
        let cheap = net.conv(primary, m * (s - 1), [3, 3], m, |c| c.pad(1));
        let cheap = net.activate(cheap, Activation::PRelu(second));
        let both = net.add(Op::Concat, &[primary, cheap]);
        let x = net.add(Op::Slice { start: 0, len: c_out }, &[both]);
        net.check(x, [2, 9, 7, 6]);
    }
}

#[test]
fn ghost_modules() {
    for (c_out, s, d) in [(16, 2, 3), (12, 2, 3), (7, 2, 5), (20, 2, 1), (24, 3, 3), (10, 3, 3), (16, 4, 3), (22, 5, 5), (6, 2, 7)] {
        for [n, h, w] in [[2, 7, 7], [1, 1, 1], [1, 33, 18], [2, 5, 40]] {
            let (mut net, input) = Net::new(9);
            let x = net.ghost(input, c_out, s, d, Activation::Relu);
            let x = net.ghost(x, 14, s, d, Activation::Identity);
            net.check(x, [n, 9, h, w]);
        }
    }
}

#[test]
fn bottlenecks() {
    for (width, c_out, stride, k, gate) in
        [(16, 8, 1, 3, false), (20, 8, 1, 5, true), (18, 10, 2, 3, true), (12, 6, 2, 5, false), (20, 14, 1, 3, true)]
    {
        for [n, h, w] in [[2, 7, 9], [1, 20, 17], [1, 2, 2]] {
            let (mut net, input) = Net::new(3);
            let input = net.pointwise(input, 8);
            let x = net.ghost(input, width, 2, 3, Activation::Relu);
            let x = if stride == 2 { net.depthwise(x, k, 2) } else { x };
            let x = if gate { net.squeeze_excite(x, 6) } else { x };
            let x = net.ghost(x, c_out, 2, 3, Activation::Identity);
            let shortcut = if stride == 1 && c_out == 8 {
                input
            } else {
                let y = net.depthwise(input, k, stride);
                let y = net.batch_norm(y);
                let y = net.pointwise(y, c_out);
                net.batch_norm(y)
            };
            let x = net.add(Op::Add, &[x, shortcut]);
            net.check(x, [n, 3, h, w]);
        }
    }
}

#[test]
fn squeeze_excites() {
    for (c, reduced) in [(4, 1), (10, 6), (72, 20), (130, 33)] {
        let (mut net, input) = Net::new(5);
        let x = net.pointwise(input, c);
        let x = net.squeeze_excite(x, reduced);
        let x = net.depthwise(x, 3, 1);
        let x = net.squeeze_excite(x, reduced);
        let x = net.pointwise(x, 7);
        net.check(x, [2, 5, 6, 11]);
    }
}

#[test]
fn gates_of_another_tensor() {
    // The gate's channels are laid out as the ghost module's, what it scales is laid out plainly.
    for ghost in [false, true] {
        let (mut net, input) = Net::new(10);
        let x = net.ghost(input, 10, 2, 3, Activation::Relu);
        let gate = net.gate(x, 3);
        let x = net.add(Op::Multiply, &[input, gate]);
        let x = if ghost { net.ghost(x, 6, 2, 3, Activation::Relu) } else { net.pointwise(x, 6) };
        net.graph.add_output("gate", gate);
        net.check(x, [2, 10, 5, 4]);
    }
}

#[test]
fn heads() {
    let (mut net, input) = Net::new(6);
    let x = net.pointwise(input, 37);
    let x = net.batch_norm(x);
    let x = net.activate(x, Activation::Relu);
    let x = net.add(Op::GlobalPool, &[x]);
    let x = net.pointwise(x, 50);
    let x = net.activate(x, Activation::HardSwish);
    let x = net.linear(x, 11);
    net.check(x, [2, 6, 13, 11]);
}

#[test]
fn pools() {
    for kind in [PoolKind::Max, PoolKind::Mean { count_pad: true }, PoolKind::Mean { count_pad: false }] {
        for (kernel, stride, pad) in
            [([3, 3], [2, 2], [1, 1]), ([2, 2], [2, 2], [0, 0]), ([1, 4], [3, 1], [0, 3]), ([5, 5], [1, 1], [4, 4])]
        {
            let (mut net, input) = Net::new(7);
            let x = net.add(Op::Pool(Pool { kind, kernel, stride, pad, pad_more: [0, 0] }), &[input]);
            net.check(x, [2, 7, 8, 9]);
        }
    }
}

#[test]
fn resampled_maps() {
    let nearest = [Nearest::RoundPreferFloor, Nearest::RoundPreferCeil, Nearest::Floor, Nearest::Ceil].map(Filter::Nearest);
    for filter in nearest.into_iter().chain([Filter::Bilinear]) {
        for coordinates in [Coordinates::HalfPixel, Coordinates::PytorchHalfPixel, Coordinates::AlignCorners, Coordinates::Asymmetric] {
            let (mut net, input) = Net::new(6);
            let x = net.ghost(input, 10, 2, 3, Activation::Relu);
            let sizes = [[14, 18], [4, 3], [1, 20], [7, 9]].map(Resample::to);
            let scales = [[2.0, 2.0], [0.5, 0.7], [1.4, 0.3], [3.0, 1.0]].map(Resample::by);
            for resample in sizes.into_iter().chain(scales) {
                let resampled = net.add(Op::Resample(Resample { filter, coordinates, ..resample }), &[x]);
                let name = format!("{resample:?}");
                net.graph.add_output(name, resampled);
            }
            let y = net.pointwise(x, 5);
            // What follows: a tensor of the same size that it is added to, and a concatenation.
            let larger = net.add(Op::Resample(Resample { filter, coordinates, ..Resample::to([10, 12]) }), &[x]);
            let again = net.add(Op::Resample(Resample { filter, coordinates, ..Resample::to([10, 12]) }), &[y]);
            let joined = net.add(Op::Concat, &[larger, again]);
            net.check(joined, [2, 6, 7, 9]);
        }
    }
}

#[test]
fn regions_of_maps() {
    for (aligned, samples, cells) in [(false, 2, [7, 7]), (true, 1, [2, 3]), (true, 3, [1, 1])] {
        let (mut net, input) = Net::new(6);
        let x = net.ghost(input, 10, 2, 3, Activation::Relu);
        let half = Pool { kind: PoolKind::Max, kernel: [1, 1], stride: [2, 2], pad: [0, 0], pad_more: [0, 0] };
        let y = net.add(Op::Pool(half), &[x]);
        let z = net.add(Op::Pool(half), &[y]);
        let regions = net.pointwise(input, 1);
        let regions = net.add(Op::Resample(Resample::to([20, 4])), &[regions]);
        let align = RoiAlign { cells, samples, scales: vec![3.0, 1.5, 0.75], aligned, side: 0.5 };
        let all = net.add(Op::RoiAlign(align.clone()), &[x, y, z, regions]);
        net.graph.add_output("of one map", all);
        let one = net.add(Op::RoiAlign(RoiAlign { scales: vec![2.0], ..align }), &[y, regions]);
        net.check(one, [2, 6, 7, 9]);
    }
}

#[test]
fn concatenations_and_slices() {
    let (mut net, input) = Net::new(6);
    let a = net.pointwise(input, 5);
    let b = net.depthwise(a, 3, 1);
    let c = net.add(Op::Concat, &[a, b, input]);
    let d = net.add(Op::Slice { start: 3, len: 7 }, &[c]);
    let e = net.add(Op::Slice { start: 5, len: 5 }, &[c]);
    let f = net.add(Op::Concat, &[c, d]);
    let g = net.add(Op::Add, &[e, a]);
    let h = net.pointwise(f, 5);
    let h = net.add(Op::Add, &[h, g]);
    net.graph.add_output("d", d);
    net.graph.add_output("g", g);
    net.check(h, [2, 6, 5, 4]);
}

#[test]
fn a_tensor_concatenated_with_itself() {
    let (mut net, input) = Net::new(6);
    let a = net.pointwise(input, 5);
    let both = net.add(Op::Concat, &[a, a]);
    net.check(both, [2, 6, 5, 4]);
}

#[test]
fn broadcast_and_whole_products() {
    let (mut net, input) = Net::new(6);
    let a = net.pointwise(input, 10);
    let b = net.ghost(input, 10, 2, 3, Activation::Relu);
    let c = net.add(Op::Multiply, &[a, b]);
    let pooled = net.add(Op::GlobalPool, &[a]);
    let d = net.add(Op::Multiply, &[c, pooled]);
    let e = net.add(Op::Add, &[d, c]);
    net.check(e, [2, 6, 5, 4]);
}

#[test]
fn classes_from_pixels() {
    let (mut net, input) = Net::new(3);
    let x = net.conv(input, 8, [3, 3], 1, |c| c.stride(2).pad(1));
    let x = net.activate(x, Activation::Relu);
    let x = net.add(Op::GlobalPool, &[x]);
    let x = net.linear(x, 30);
    net.graph.add_output("logits", x);
    let shape = Shape::new(2, 3, 9, 11);
    let options = options(DeviceClass::Gpu, true, true, Form::Classify { k: 4 });
    let plan = Arc::new(Plan::new(&net.graph, &[shape], &options, &mut ConstantCache::new()).unwrap());
    let mut prepared = Prepared::new(Arc::clone(&plan)).unwrap();
    let words: Vec<u32> = (0..shape.n * shape.pixels()).map(|_| net.random.next() as u32).collect();
    prepared.set_inputs(bytemuck::cast_slice(&words));
    prepared.run();

    let [mean, std] = options.normalise;
    let value = |n: usize, c: usize, p: usize| (words[n * shape.pixels() + p].to_le_bytes()[c] as f32 / 255.0 - mean[c]) / std[c];
    let planes = (0..shape.n).flat_map(|n| (0..3).map(move |c| (n, c)));
    let tensor: Vec<f32> = planes.flat_map(|(n, c)| (0..shape.pixels()).map(move |p| value(n, c, p))).collect();
    let logits = &evaluate(&net.graph, &[(&tensor, shape)])[x.0];
    let pairs: &[u32] = bytemuck::cast_slice(prepared.slot(plan.outputs[0].slot));
    for (n, logits) in logits.chunks(30).enumerate() {
        let total: f32 = logits.iter().map(|v| v.exp()).sum();
        let mut order: Vec<usize> = (0..30).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        for (rank, &class) in order.iter().take(4).enumerate() {
            let at = (n * 4 + rank) * 2;
            assert_eq!(pairs[at], class as u32);
            let probability = f32::from_bits(pairs[at + 1]);
            assert!((probability - logits[class].exp() / total).abs() < 1e-5, "{probability}");
        }
    }
}

#[test]
fn equal_logits_are_in_order_of_class() {
    let (mut net, input) = Net::new(3);
    let weight = net.graph.add_constant("weight", &[6, 3], vec![0.0; 18]).unwrap();
    let bias = net.graph.add_constant("bias", &[6], vec![1.0, 3.0, 1.0, 3.0, 0.0, 1.0]).unwrap();
    let logits = net.add(Op::Linear { weight, bias: Some(bias), activation: Activation::Identity }, &[input]);
    net.graph.add_output("logits", logits);
    let options = options(DeviceClass::Cpu, true, true, Form::Classify { k: 4 });
    let plan = Arc::new(Plan::new(&net.graph, &[Shape::new(1, 3, 1, 1)], &options, &mut ConstantCache::new()).unwrap());
    let mut prepared = Prepared::new(Arc::clone(&plan)).unwrap();
    prepared.run();
    let pairs: &[u32] = bytemuck::cast_slice(prepared.slot(plan.outputs[0].slot));
    assert_eq!([0, 2, 4, 6].map(|at| pairs[at]), [1, 3, 0, 2]);
}

/// Grows a random graph; every tensor may be used again.
fn random_net(seed: u64, operations: usize, channels: usize) -> (Net, NodeId) {
    let (mut net, input) = Net::new(channels);
    net.random = Random(seed);
    let mut nodes = vec![input];
    let mut last = input;
    for _ in 0..operations {
        let x = if net.random.below(3) > 0 { last } else { net.random.pick(&nodes) };
        let c = net.graph.channels(x);
        let c_out = 1 + net.random.below(13);
        let activation = net.random.pick(&usual_activations());
        let k = net.random.pick(&[1, 3, 5]);
        let same = |net: &Net, other: NodeId| net.graph.channels(other) == c;
        last = match net.random.below(14) {
            0 => net.pointwise(x, c_out),
            1 => net.conv(x, c_out, [k, k], 1, |conv| conv.pad(k / 2)),
            2 | 3 => net.depthwise(x, k, 1),
            4 => net.conv(x, c * 2, [k, k], c, |conv| conv.pad(k / 2)),
            5 => net.activate(x, activation),
            6 => net.batch_norm(x),
            7 => {
                let (s, d) = (2 + net.random.below(2), net.random.pick(&[1, 3]));
                net.ghost(x, c_out.max(2), s, d, activation)
            }
            8 => {
                let reduced = 1 + net.random.below(5);
                let gate = net.gate(x, reduced);
                let other = net.random.pick(&nodes);
                let scaled = if same(&net, other) { other } else { x };
                net.add(Op::Multiply, &[scaled, gate])
            }
            9 | 10 => {
                let other = net.random.pick(&nodes);
                let other = if same(&net, other) { other } else { net.pointwise(other, c) };
                let op = if net.random.below(3) == 0 { Op::Multiply } else { Op::Add };
                net.add(op, &[x, other])
            }
            11 | 12 => {
                let mut parts = vec![x];
                for _ in 0..1 + net.random.below(2) {
                    let other = net.random.pick(&nodes);
                    parts.push(other);
                }
                // Keeps graphs small.
                let joined = net.add(Op::Concat, &parts);
                if net.graph.channels(joined) > 40 { net.pointwise(joined, 9) } else { joined }
            }
            _ => {
                let start = net.random.below(c);
                let len = 1 + net.random.below(c - start);
                net.add(Op::Slice { start, len }, &[x])
            }
        };
        nodes.push(last);
    }
    if net.random.below(3) == 0 {
        let other = net.random.pick(&nodes);
        net.graph.add_output("other", other);
    }
    (net, last)
}

proptest! {
    #[test]
    fn random_graphs(seed: u64, operations in 1usize..10, n in 1usize..3, c in 1usize..9, h in 1usize..8, w in 1usize..8) {
        let (net, last) = random_net(seed, operations, c);
        net.check(last, [n, c, h, w]);
    }
}

/// The half that a float is stored as: the nearest, or, as AMD's GPUs have `pack2x16float`, the
/// next one towards zero.
#[cfg(feature = "decode")]
fn half(value: f32, towards_zero: bool) -> f32 {
    let nearest = half::f16::from_f32(value);
    let is_beyond = nearest.to_f32().abs() > value.abs();
    half::f16::from_bits(nearest.to_bits() - u16::from(towards_zero && is_beyond)).to_f32()
}

/// WGSL leaves open how `pack2x16float` rounds. What each step of GhostNet stores is rounded both
/// ways, and the logits are compared with those of floats.
#[cfg(feature = "decode")]
#[test]
fn logits_bear_halves_that_are_rounded_towards_zero() {
    use crate::{Network, image_input::decode_file};
    use std::path::Path;
    let network = Network::embedded().unwrap();
    let mut graph = network.graph().clone();
    passes::run(&mut graph, passes::REQUIRED);
    passes::run(&mut graph, passes::FUSING);
    let mut cache = ConstantCache::default();
    let plan = Plan::new(&graph, &[Shape::new(1, 3, 32, 32)], &options(DeviceClass::Gpu, true, true, Form::Tensors), &mut cache);
    let plan = Arc::new(plan.unwrap());
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/images");
    let mut worst = [0.0f32; 2];
    for name in ["chelsea.png", "horse.png", "rocket.jpg", "astronaut.jpg", "coffee.png"] {
        let input = network.preprocess().unwrap().tensor(&decode_file(&images.join(name)).unwrap()).unwrap();
        let logits = |rounded: Option<bool>| {
            let round = |value: &mut f32| *value = rounded.map_or(*value, |towards_zero| half(*value, towards_zero));
            let mut prepared = Prepared::with(plan.clone(), &Options::plain()).unwrap();
            let mut packed = Vec::new();
            plan.pack_inputs(&[&input], &mut packed);
            // The host rounds to the nearest.
            packed.iter_mut().for_each(|value| *value = rounded.map_or(*value, |_| half(*value, false)));
            prepared.set_inputs(bytemuck::cast_slice(&packed));
            for (at, step) in plan.steps.iter().enumerate() {
                prepared.step(at);
                let output = step.dispatch.key.kernel.spec().writes.first().and_then(|name| step.binding(name));
                if let Some(Resource::Slot(slot)) = output {
                    prepared.slot_mut(slot).iter_mut().for_each(round);
                }
            }
            plan.outputs[0].unpack(prepared.slot(plan.outputs[0].slot))
        };
        let exact = logits(None);
        let largest = exact.iter().fold(0.0f32, |most, logit| most.max(logit.abs()));
        let best = |logits: &[f32]| (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        for (worst, towards_zero) in worst.iter_mut().zip([false, true]) {
            let rounded = logits(Some(towards_zero));
            assert_eq!(best(&rounded), best(&exact), "{name}");
            let far = exact.iter().zip(&rounded).map(|(a, b)| (a - b).abs() / largest);
            *worst = far.fold(*worst, f32::max);
        }
    }
    println!("of the largest logit: {:.5} to the nearest, {:.5} towards zero", worst[0], worst[1]);
    assert!(worst[0] > 0.0 && worst[0] < 0.01 && worst[1] < 0.03, "{worst:?}");
}
