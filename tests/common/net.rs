//! Graphs with random weights, and every way in which a graph can be planned.

use ghostnet::{
    Network, Precision,
    device::{Choice, DeviceClass},
    graph::{
        Activation, Axis, Calculate, Calculation, ConstId, Conv, Coordinates, Filter, Graph, Nearest, NodeId, Op, Pool, PoolKind,
        Rearrange, Resample, RoiAlign, Shape, TopK, passes,
    },
    kernels::{self, case::Case},
    model::families::ghostnet::GhostNet,
    plan::{ConstantCache, Form, Plan, PlanOptions},
};

/// A linear congruential generator (Knuth's MMIX constants).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 32) as u32
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// From -1 to 1.
    pub fn value(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 31) as f32 - 1.0
    }

    pub fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}

pub const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Relu6,
    Activation::HardSigmoid,
    Activation::HardSwish,
    Activation::Sigmoid,
    Activation::Silu,
];

pub const CLASSES: [DeviceClass; 3] = DeviceClass::ALL;

/// Those whose plans run on GPUs. The CPU's have weights in rows, which no shader reads.
pub const GPU_CLASSES: [DeviceClass; 2] = [DeviceClass::Gpu, DeviceClass::Software];

/// A graph under construction, with random weights.
pub struct Net {
    pub graph: Graph,
    pub random: Random,
}

impl Net {
    pub fn new(channels: usize) -> (Self, NodeId) {
        Self::seeded(channels, 7)
    }

    pub fn seeded(channels: usize, seed: u64) -> (Self, NodeId) {
        let mut graph = Graph::new();
        let input = graph.add_input(channels).unwrap();
        (Self { graph, random: Random(seed) }, input)
    }

    pub fn constant(&mut self, shape: &[usize], scale: f32) -> ConstId {
        let data: Vec<f32> = (0..shape.iter().product()).map(|_| self.random.value() * scale).collect();
        self.graph.add_constant("constant", shape, data).unwrap()
    }

    pub fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let name = format!("node{}.{}", self.graph.nodes().len(), op.name());
        self.graph.add(name, op, inputs).unwrap()
    }

    pub fn output(&mut self, node: NodeId) {
        let name = format!("output{}", self.graph.outputs().len());
        self.graph.add_output(name, node);
    }

    /// A convolution with a bias; `edit` sets stride, padding and so on.
    pub fn conv(&mut self, x: NodeId, c_out: usize, [kh, kw]: [usize; 2], groups: usize, edit: impl Fn(Conv) -> Conv) -> NodeId {
        let c_in = self.graph.channels(x) / groups;
        let weight = self.constant(&[c_out, c_in, kh, kw], 1.5 / ((c_in * kh * kw) as f32).sqrt());
        let bias = self.constant(&[c_out], 0.5);
        self.add(Op::Conv(edit(Conv::new(weight).bias(bias).groups(groups))), &[x])
    }

    pub fn pointwise(&mut self, x: NodeId, c_out: usize) -> NodeId {
        self.conv(x, c_out, [1, 1], 1, |conv| conv)
    }

    pub fn depthwise(&mut self, x: NodeId, k: usize, stride: usize) -> NodeId {
        let c = self.graph.channels(x);
        self.conv(x, c, [k, k], c, |conv| conv.stride(stride).pad(k / 2))
    }

    pub fn batch_norm(&mut self, x: NodeId) -> NodeId {
        let c = self.graph.channels(x);
        let var: Vec<f32> = (0..c).map(|_| 1.0 + 0.5 * self.random.value()).collect();
        let var = self.graph.add_constant("var", &[c], var).unwrap();
        let [weight, bias, mean] = [1.5, 0.5, 0.5].map(|scale| self.constant(&[c], scale));
        self.add(Op::BatchNorm { weight, bias, mean, var, eps: 1e-5 }, &[x])
    }

    pub fn activate(&mut self, x: NodeId, activation: Activation) -> NodeId {
        self.add(Op::Activate(activation), &[x])
    }

    /// A ghost module of ratio `s` and cheap kernel `d`, cut to `c_out`.
    pub fn ghost(&mut self, x: NodeId, c_out: usize, s: usize, d: usize, activation: Activation) -> NodeId {
        let m = c_out.div_ceil(s);
        let primary = self.pointwise(x, m);
        let primary = self.activate(primary, activation);
        // With groups of one channel a convolution of one channel is depthwise in name only.
        let cheap = self.conv(primary, m * (s - 1), [d, d], m, |conv| conv.pad(d / 2));
        let cheap = self.activate(cheap, activation);
        let both = self.add(Op::Concat, &[primary, cheap]);
        if m * s == c_out { both } else { self.add(Op::Slice { start: 0, len: c_out }, &[both]) }
    }

    pub fn gate(&mut self, x: NodeId, reduced: usize) -> NodeId {
        let pooled = self.add(Op::GlobalPool, &[x]);
        let squeezed = self.pointwise(pooled, reduced);
        let squeezed = self.activate(squeezed, Activation::Relu);
        let expanded = self.pointwise(squeezed, self.graph.channels(x));
        self.activate(expanded, Activation::HardSigmoid)
    }

    pub fn squeeze_excite(&mut self, x: NodeId, reduced: usize) -> NodeId {
        let gate = self.gate(x, reduced);
        self.add(Op::Multiply, &[x, gate])
    }

    pub fn linear(&mut self, x: NodeId, c_out: usize) -> NodeId {
        let c_in = self.graph.channels(x);
        let weight = self.constant(&[c_out, c_in], 1.0 / (c_in as f32).sqrt());
        let bias = self.constant(&[c_out], 0.5);
        self.add(Op::Linear { weight, bias: Some(bias), activation: Activation::Identity }, &[x])
    }
}

/// Depthwise convolutions of odd kernels, strides and padding, for maps of at least 5 x 9, and
/// dense ones.
pub fn odd_windows(c: usize) -> Graph {
    let (mut net, input) = Net::new(c);
    for (kernel, stride, pad) in [
        ([3, 3], [1, 1], [0, 0]),
        ([3, 3], [2, 2], [4, 5]),
        ([2, 4], [1, 1], [1, 1]),
        ([5, 5], [3, 3], [2, 2]),
        ([5, 5], [2, 2], [0, 2]),
        ([3, 1], [1, 2], [1, 0]),
        ([9, 1], [1, 1], [4, 0]),
        ([1, 5], [1, 1], [0, 2]),
    ] {
        for (out, groups) in [(c, c), (2 * c, c), (c + 1, 1)] {
            let result = net.conv(input, out, kernel, groups, |conv| Conv { stride, pad, ..conv });
            net.output(result);
        }
    }
    net.graph
}

/// Every operation on maps of `c` channels, each with several sizes where it has any, as results of
/// one graph.
pub fn every_operation(c: usize) -> Graph {
    let (mut net, input) = Net::new(c);
    let mut results = Vec::new();
    // conv2d: any kernel, stride, padding, dilation and groups.
    for (at, (kernel, stride, pad, dilation)) in [
        ([3, 3], 1, 1, 1),
        ([3, 3], 2, 1, 1),
        ([5, 5], 2, 2, 1),
        ([7, 7], 1, 3, 1),
        ([1, 1], 2, 0, 1),
        ([7, 5], 3, 4, 1),
        ([1, 3], 1, 1, 1),
        ([3, 3], 1, 2, 2),
    ]
    .into_iter()
    .enumerate()
    {
        let edit = |conv: Conv| conv.stride(stride).pad(pad).dilation(dilation);
        results.push(net.conv(input, [5, 10, 13, 3][at % 4], kernel, 1, edit));
    }
    let four_groups = net.pointwise(input, 12);
    results.push(net.conv(four_groups, 8, [3, 3], 4, |conv| conv.pad(1)));
    let dilated = net.pointwise(input, c);
    results.push(net.conv(dilated, 2 * c, [3, 3], c, |conv| conv.pad(2).dilation(2)));
    // depthwise
    for k in [1, 3, 5, 7] {
        for stride in [1, 2] {
            results.push(net.depthwise(input, k, stride));
        }
    }
    results.push(net.conv(input, c, [3, 5], c, |conv| Conv { stride: [2, 1], pad: [1, 2], ..conv }));
    for multiplier in [2, 3] {
        results.push(net.conv(input, multiplier * c, [3, 3], c, |conv| conv.pad(1)));
    }
    // pointwise, elementwise
    for activation in ACTIVATIONS {
        let x = net.pointwise(input, 10);
        results.push(net.activate(x, activation));
        results.push(net.activate(input, activation));
    }
    let x = net.pointwise(input, c);
    let sum = net.add(Op::Add, &[x, input]);
    results.push(sum);
    results.push(net.add(Op::Add, &[input, sum]));
    results.push(net.add(Op::Multiply, &[input, sum]));
    // Slopes, constants and other calculations.
    let slope = net.constant(&[c], 0.5);
    results.push(net.activate(sum, Activation::PRelu(slope)));
    results.push(net.add(Op::Calculate(Calculate { by: Calculation::Maximum, operand: Some(slope) }), &[sum]));
    results.push(net.add(Op::Calculate(Calculation::Subtract.into()), &[input, sum]));
    let constant = net.constant(&[5, 2, 3], 1.0);
    results.push(net.add(Op::Constant(constant), &[input]));
    results.push(net.add(Op::TopK(TopK { k: 2, is_smallest: false, is_last: false, places: false }), &[four_groups]));
    // pool
    let mean = net.add(Op::GlobalPool, &[input]);
    results.push(net.add(Op::Multiply, &[input, mean]));
    for kind in [PoolKind::Max, PoolKind::Mean { count_pad: true }, PoolKind::Mean { count_pad: false }] {
        for (kernel, stride, pad) in [([3, 3], [2, 2], [1, 1]), ([1, 1], [2, 2], [0, 0]), ([2, 4], [1, 2], [1, 3])] {
            results.push(net.add(Op::Pool(Pool { kind, kernel, stride, pad, pad_more: [0, 0] }), &[input]));
        }
    }
    let x = net.pointwise(input, 13);
    let x = net.activate(x, Activation::Relu);
    let x = net.add(Op::GlobalPool, &[x]);
    let x = net.pointwise(x, 37);
    let x = net.activate(x, Activation::HardSwish);
    results.push(net.linear(x, 11));
    // Padding that differs from side to side.
    for (at, (pad, pad_more)) in [(1, [1, 0]), (2, [-1, -1])].into_iter().enumerate() {
        results.push(net.conv(input, [7, c][at], [3, 3], [1, c][at], |conv| Conv { pad_more, ..conv.pad(pad).stride(2) }));
        let kind = [PoolKind::Max, PoolKind::Mean { count_pad: false }][at];
        results.push(net.add(Op::Pool(Pool { kind, kernel: [3, 3], stride: [2, 2], pad: [pad; 2], pad_more }), &[input]));
    }
    // softmax, and values in another order, of one pixel, since that fits maps of any size
    let x = net.ghost(input, 10, 2, 3, Activation::Relu);
    results.push(net.add(Op::Softmax, &[x]));
    let x = net.add(Op::GlobalPool, &[x]);
    let axes = [(5, 1), (2, 5), (3, 0)].map(|(len, channels)| Axis { len, channels, pixels: 0 });
    results.push(net.add(Op::Rearrange(Rearrange { of: [10, 1, 1], start: [0, 0], axes: axes.into(), to: [5, 2, 3] }), &[x]));
    // resample, of maps laid out plainly and otherwise, and into a concatenation
    let x = net.ghost(input, 10, 2, 3, Activation::Relu);
    let nearest = Resample { filter: Filter::Nearest(Nearest::Ceil), coordinates: Coordinates::Asymmetric, ..Resample::to([3, 10]) };
    let [a, b] = [Resample::to([3, 10]), nearest].map(|resample| net.add(Op::Resample(resample), &[x]));
    results.push(net.add(Op::Concat, &[a, b]));
    results.push(net.add(Op::Resample(Resample::by([1.5, 2.0])), &[input]));
    results.push(net.add(Op::Resample(Resample::like()), &[a, input]));
    // regions of maps in other layouts, and of one map
    let regions = net.pointwise(input, 1);
    let regions = net.add(Op::Resample(Resample::to([5, 4])), &[regions]);
    let align = RoiAlign { cells: [2, 3], samples: 2, scales: vec![1.0, 0.5], aligned: false, side: 1.0 };
    results.push(net.add(Op::RoiAlign(align.clone()), &[x, b, regions]));
    results.push(net.add(Op::RoiAlign(RoiAlign { scales: vec![2.0], aligned: true, samples: 3, ..align }), &[a, regions]));
    // products with resampled maps, of other layouts and of one pixel
    let gate = net.pointwise(input, 10);
    let gate = net.depthwise(gate, 3, 1);
    for size in [[3, 10], [1, 1]] {
        let gate = net.add(Op::Resample(Resample::to(size)), &[gate]);
        let gate =
            if size == [1, 1] { gate } else { net.add(Op::Resample(Resample { filter: nearest.filter, ..Resample::like() }), &[gate, x]) };
        results.push(net.add(Op::Multiply, &[x, gate]));
    }
    // ghost modules, alone and with gate, residual and sums
    for (c_out, s, d) in [(16, 2, 3), (20, 2, 1), (24, 3, 3), (10, 3, 1), (22, 4, 3)] {
        results.push(net.ghost(input, c_out, s, d, Activation::Relu));
    }
    let x = net.ghost(input, 10, 2, 3, Activation::HardSwish);
    let x = net.squeeze_excite(x, 3);
    let x = net.ghost(x, 13, 2, 3, Activation::Identity);
    let shortcut = net.depthwise(input, 3, 1);
    let shortcut = net.pointwise(shortcut, 13);
    let x = net.add(Op::Add, &[x, shortcut]);
    results.push(x);
    let x = net.ghost(x, 20, 2, 3, Activation::Relu);
    let x = net.depthwise(x, 5, 2);
    let x = net.squeeze_excite(x, 5);
    let x = net.ghost(x, 13, 2, 3, Activation::Identity);
    results.push(x);
    // separable
    for (k, stride, c_out) in [(3, 1, 5), (5, 2, 33), (1, 1, 2), (7, 2, 10)] {
        let x = net.depthwise(input, k, stride);
        let x = net.activate(x, Activation::Relu6);
        let x = net.pointwise(x, c_out);
        results.push(net.activate(x, Activation::Silu));
    }
    // concatenations and slices that do not fall on blocks
    let a = net.pointwise(input, 5);
    let b = net.depthwise(a, 3, 1);
    let joined = net.add(Op::Concat, &[a, b, input]);
    let cut = net.add(Op::Slice { start: 3, len: 7 }, &[joined]);
    results.push(net.add(Op::Concat, &[joined, cut, a]));
    results.push(cut);
    for result in results {
        net.output(result);
    }
    net.graph
}

/// Ghost modules with cheap kernels larger than GhostNet's.
pub fn wide_ghosts(c: usize) -> Graph {
    let (mut net, input) = Net::new(c);
    for (c_out, s, d) in [(7, 2, 5), (10, 3, 5), (6, 2, 7)] {
        let x = net.ghost(input, c_out, s, d, Activation::Relu);
        net.output(x);
    }
    net.graph
}

/// Sums over input blocks of every remainder by four, so many that a GPU has four under way. They
/// are plain, and in ghost modules with gate, residual and sums.
pub fn long_sums(c: usize) -> Graph {
    assert!(c > 61);
    let (mut net, input) = Net::new(c);
    for c_out in [c, c + 4, c + 8, c + 12] {
        let x = net.pointwise(input, c_out);
        let x = net.squeeze_excite(x, 3);
        let gated = net.ghost(x, 9, 2, 3, Activation::Identity);
        let shortcut = net.pointwise(x, 9);
        let x = net.add(Op::Add, &[gated, shortcut]);
        net.output(x);
        let x = net.pointwise(input, c_out);
        let x = net.activate(x, Activation::Relu);
        let x = net.ghost(x, 11, 2, 3, Activation::Relu);
        let x = net.squeeze_excite(x, 3);
        net.output(x);
    }
    net.graph
}

/// Maps for [`long_sums`]: of one pixel an invocation, and of more.
pub const LONG_SHAPES: [Shape; 3] = [Shape::new(1, 63, 5, 7), Shape::new(2, 66, 9, 10), Shape::new(1, 69, 14, 19)];

/// Squeeze-and-excites of every size of the kernel, up to its limit of 2048 channels and 512
/// reduced ones.
pub fn squeeze_excites() -> Vec<(Graph, Shape)> {
    [(1, 1, [2, 3, 2]), (130, 33, [2, 5, 7]), (1024, 256, [1, 1, 1]), (1028, 8, [2, 2, 1]), (2048, 512, [1, 1, 2]), (2048, 512, [4, 1, 1])]
        .into_iter()
        .map(|(c, reduced, [n, h, w])| {
            let (mut net, input) = Net::new(c);
            let x = net.squeeze_excite(input, reduced);
            let x = net.pointwise(x, 3);
            net.output(x);
            (net.graph, Shape::new(n, c, h, w))
        })
        .collect()
}

/// Odd maps and channels for [`every_operation`].
pub const SHAPES: [Shape; 6] = [
    Shape::new(1, 1, 1, 1),
    Shape::new(2, 2, 1, 7),
    Shape::new(1, 3, 5, 3),
    Shape::new(3, 5, 7, 7),
    Shape::new(1, 10, 33, 47),
    Shape::new(2, 13, 12, 9),
];

/// A graph after its passes: all of them, or only those it cannot be planned without.
pub fn after_passes(mut graph: Graph, fusing: bool) -> Graph {
    passes::run(&mut graph, passes::REQUIRED);
    if fusing {
        passes::run(&mut graph, passes::FUSING);
    }
    graph
}

/// How far a plan fuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fusing {
    /// Passes and kernels.
    All,
    /// Passes; ghost modules and shortcuts in two dispatches each.
    InTwo,
    /// Neither.
    None,
}

pub const FUSINGS: [Fusing; 3] = [Fusing::All, Fusing::InTwo, Fusing::None];

pub fn options(class: DeviceClass, fusing: Fusing, form: Form, precision: Precision) -> PlanOptions {
    let whole = fusing != Fusing::InTwo;
    let choice = Choice { fuse_ghost: whole, fuse_separable: whole, ..Choice::new(class) };
    PlanOptions { form, precision, choice, normalise: [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]] }
}

/// A plan of a graph that no pass has rewritten yet.
pub fn plan(graph: &Graph, shape: Shape, class: DeviceClass, fusing: Fusing, form: Form, precision: Precision) -> Plan {
    let graph = after_passes(graph.clone(), fusing != Fusing::None);
    Plan::new(&graph, &[shape], &options(class, fusing, form, precision), &mut ConstantCache::new()).unwrap()
}

/// Every plan of a graph for GPUs, in f32 and of one form.
pub fn plans<'a>(graph: &'a Graph, shape: Shape, form: &'a Form) -> impl Iterator<Item = Plan> + 'a {
    let ways = GPU_CLASSES.into_iter().flat_map(|class| FUSINGS.map(|fusing| (class, fusing)));
    ways.map(move |(class, fusing)| plan(graph, shape, class, fusing, form.clone(), Precision::F32))
}

/// The three networks at their usual size, and the one for small images.
pub fn networks() -> Vec<(Network, Shape)> {
    let usual =
        ["ghostnet_050", "ghostnet_100", "ghostnet_130"].map(|name| (Network::random(name, 0).unwrap(), Shape::new(1, 3, 224, 224)));
    let small = Network::random_of(&GhostNet::new(0.5).classes(10).stem_stride(1), 0).unwrap();
    usual.into_iter().chain([(small, Shape::new(1, 3, 32, 32))]).collect()
}

/// Grows a random graph; every tensor may be used again.
pub fn random_graph(seed: u64, operations: usize, channels: usize) -> Graph {
    let (mut net, input) = Net::seeded(channels, seed);
    let mut nodes = vec![input];
    let mut last = input;
    for _ in 0..operations {
        let x = if net.random.below(3) > 0 { last } else { net.random.pick(&nodes) };
        let c = net.graph.channels(x);
        let c_out = 1 + net.random.below(13);
        let activation = net.random.pick(&ACTIVATIONS);
        let k = net.random.pick(&[1, 3, 5]);
        let other = net.random.pick(&nodes);
        last = match net.random.below(10) {
            0 => net.pointwise(x, c_out),
            1 => net.conv(x, c_out, [k, k], 1, |conv| conv.pad(k / 2)),
            2 => net.depthwise(x, k, 1),
            3 => net.activate(x, activation),
            4 => {
                let (s, d) = (2 + net.random.below(2), net.random.pick(&[1, 3]));
                net.ghost(x, c_out.max(2), s, d, activation)
            }
            5 => net.squeeze_excite(x, 1 + c / 4),
            6 => {
                let other = if net.graph.channels(other) == c { other } else { net.pointwise(other, c) };
                net.add(Op::Add, &[x, other])
            }
            7 => {
                let joined = net.add(Op::Concat, &[x, other]);
                // Keeps graphs small.
                if net.graph.channels(joined) > 40 { net.pointwise(joined, 9) } else { joined }
            }
            8 => {
                let x = net.depthwise(x, k, 1);
                net.pointwise(x, c_out)
            }
            _ => {
                let start = net.random.below(c);
                let len = 1 + net.random.below(c - start);
                net.add(Op::Slice { start, len }, &[x])
            }
        };
        nodes.push(last);
    }
    net.output(last);
    net.graph
}

/// Every case of every kernel, alone.
pub fn cases(choice: Choice, precision: Precision) -> impl Iterator<Item = Case> {
    let options = PlanOptions { form: Form::Tensors, precision, choice, normalise: [[0.0; 3], [1.0; 3]] };
    let texts = kernels::CASES.iter().flat_map(|cases| cases.cases.iter().map(move |text| (cases, text)));
    texts.map(move |(cases, text)| cases.case(text, &options).unwrap_or_else(|error| panic!("{error}")))
}

/// A plan's results on the CPU twins, for a `[n, c, h, w]` input. Every slot is poisoned first:
/// what a step reads and no step or input wrote spoils the results.
pub fn run_on_cpu(plan: &std::sync::Arc<Plan>, input: &[f32]) -> Vec<Vec<f32>> {
    let mut prepared = ghostnet::cpu::Prepared::new(plan.clone()).unwrap();
    for slot in 0..plan.slots.len() {
        prepared.slot_mut(slot).fill(f32::NAN);
    }
    let mut blocks = Vec::new();
    plan.pack_inputs(&[input], &mut blocks);
    prepared.set_inputs(bytemuck::cast_slice(&blocks));
    prepared.run();
    plan.outputs.iter().map(|output| output.unpack(prepared.slot(output.slot))).collect()
}
