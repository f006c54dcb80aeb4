//! GhostNet as in the paper's table (Han et al., CVPR 2020, table 1, arXiv 1911.11907), with timm's tensor names.

use super::checkpoint::Checkpoint;
use crate::{
    Error, Result,
    graph::{Activation, ConstId, Conv, Graph, Node, NodeId, Op},
    model::formula,
    text::Sides,
};

/// A row of the paper's table 1: a ghost bottleneck.
struct Bottleneck {
    kernel: usize,
    expansion: usize,
    out: usize,
    squeeze_excite: bool,
    stride: usize,
}

const fn row(kernel: usize, expansion: usize, out: usize, se: u8, stride: usize) -> Bottleneck {
    Bottleneck { kernel, expansion, out, squeeze_excite: se == 1, stride }
}

/// Table 1 at width 1.0, by stages as timm numbers them (`blocks.STAGE.BLOCK`).
const STAGES: &[&[Bottleneck]] = &[
    &[row(3, 16, 16, 0, 1)],
    &[row(3, 48, 24, 0, 2)],
    &[row(3, 72, 24, 0, 1)],
    &[row(5, 72, 40, 1, 2)],
    &[row(5, 120, 40, 1, 1)],
    &[row(3, 240, 80, 0, 2)],
    &[row(3, 200, 80, 0, 1), row(3, 184, 80, 0, 1), row(3, 184, 80, 0, 1), row(3, 480, 112, 1, 1), row(3, 672, 112, 1, 1)],
    &[row(5, 672, 160, 1, 2)],
    &[row(5, 960, 160, 0, 1), row(5, 960, 160, 1, 1), row(5, 960, 160, 0, 1), row(5, 960, 160, 1, 1)],
];

/// Stages before each halving of the map: their outputs are the features timm's `features_only` gives beside the stem's.
const FEATURE_STAGES: [usize; 4] = [1, 3, 5, 7];

const STEM: usize = 16;
const LAST_CONV: usize = 960;
const HEAD: usize = 1280;
/// PyTorch's default, which both implementations keep.
const BATCH_NORM_EPS: f32 = 1e-5;

/// The three widths that have names.
pub(super) const WIDTHS: [(&str, f64); 3] = [("ghostnet_050", 0.5), ("ghostnet_100", 1.0), ("ghostnet_130", 1.3)];

/// What distinguishes one GhostNet from another.
#[derive(Debug, Clone, PartialEq)]
pub struct GhostNet {
    /// Scales every channel count but the head's 1280.
    pub width: f64,
    /// Outputs of the classifier.
    pub classes: usize,
    /// Stride of the first convolution: 2, or 1 for small images.
    pub stem_stride: usize,
    /// Ratio s of every ghost module: one real map makes `s - 1` ghosts. 1 makes every module a plain convolution.
    pub ratio: usize,
    /// Kernel d of the cheap operations.
    pub cheap_kernel: usize,
}

impl GhostNet {
    /// GhostNet of a width with the paper's s = 2 and d = 3, a stem of stride 2 and 1000 classes.
    pub fn new(width: f64) -> Self {
        Self { width, classes: 1000, stem_stride: 2, ratio: 2, cheap_kernel: 3 }
    }

    fn channels(&self, at_width_1: usize) -> usize {
        make_divisible(at_width_1 as f64 * self.width, 4)
    }

    /// Output channels of the stem.
    pub fn stem_channels(&self) -> usize {
        self.channels(STEM)
    }

    /// The network's graph, weights from `source`; results `logits`, or the five feature maps.
    pub fn graph(&self, source: &mut Source<'_>, features: bool) -> Result<Graph> {
        let mut b = Builder { graph: Graph::new(), source };
        let input = b.graph.add_input(3)?;
        let stem_channels = self.stem_channels();
        let stem = b.conv("conv_stem", "conv_stem", input, Filters::new(3, stem_channels, 3).stride(self.stem_stride))?;
        if features {
            b.graph.add_output("conv_stem", stem);
        }
        let stem = b.batch_norm("bn1", stem)?;
        let mut x = b.activate("act1", stem, Activation::Relu)?;
        let mut c = stem_channels;
        for (s, stage) in STAGES.iter().enumerate() {
            for (at, row) in stage.iter().enumerate() {
                let out = self.channels(row.out);
                x = self.bottleneck(&mut b, &format!("blocks.{s}.{at}"), x, [c, out], row)?;
                c = out;
            }
            if features && FEATURE_STAGES.contains(&s) {
                b.graph.add_output(format!("blocks.{s}"), x);
            }
        }
        let last = self.channels(LAST_CONV);
        let name = format!("blocks.{}.0", STAGES.len());
        let x = b.conv(&name, &format!("{name}.conv"), x, Filters::new(c, last, 1))?;
        let x = b.batch_norm(&format!("{name}.bn1"), x)?;
        let x = b.activate(&format!("{name}.act"), x, Activation::Relu)?;
        let x = b.graph.add("global_pool", Op::GlobalPool, &[x])?;
        let x = b.conv("conv_head", "conv_head", x, Filters::new(last, HEAD, 1).bias())?;
        let x = b.activate("act2", x, Activation::Relu)?;
        let weight = b.source.constant(&mut b.graph, "classifier.weight", &[self.classes, HEAD])?;
        let bias = b.source.constant(&mut b.graph, "classifier.bias", &[self.classes])?;
        let logits = b.graph.add("classifier", Op::Linear { weight, bias: Some(bias), activation: Activation::Identity }, &[x])?;
        if !features {
            b.graph.add_output("logits", logits);
        }
        Ok(b.graph)
    }

    fn bottleneck(&self, b: &mut Builder<'_, '_>, name: &str, input: NodeId, [c, out]: [usize; 2], row: &Bottleneck) -> Result<NodeId> {
        let expansion = self.channels(row.expansion);
        let module =
            |c_in, c_out, relu| GhostModule { ratio: self.ratio, cheap_kernel: self.cheap_kernel, relu, ..GhostModule::new(c_in, c_out) };
        let mut x = module(c, expansion, true).add(&mut b.graph, b.source, &format!("{name}.ghost1"), input)?;
        if row.stride > 1 {
            let depthwise = Filters::new(expansion, expansion, row.kernel).stride(row.stride).depthwise();
            let y = b.conv(&format!("{name}.conv_dw"), &format!("{name}.conv_dw"), x, depthwise)?;
            x = b.batch_norm(&format!("{name}.bn_dw"), y)?;
        }
        if row.squeeze_excite {
            // timm's and the official code's rounding: a quarter of the expansion, to a multiple of 4.
            let reduced = make_divisible(expansion as f64 * 0.25, 4);
            let mean = b.graph.add(format!("{name}.se.pool"), Op::GlobalPool, &[x])?;
            let reduce = format!("{name}.se.conv_reduce");
            let y = b.conv(&reduce, &reduce, mean, Filters::new(expansion, reduced, 1).bias())?;
            let y = b.activate(&format!("{name}.se.act1"), y, Activation::Relu)?;
            let expand = format!("{name}.se.conv_expand");
            let y = b.conv(&expand, &expand, y, Filters::new(reduced, expansion, 1).bias())?;
            let gate = b.activate(&format!("{name}.se.gate"), y, Activation::HardSigmoid)?;
            x = b.graph.add(format!("{name}.se.scale"), Op::Multiply, &[x, gate])?;
        }
        let x = module(expansion, out, false).add(&mut b.graph, b.source, &format!("{name}.ghost2"), x)?;
        let shortcut = if c == out && row.stride == 1 {
            input
        } else {
            let depthwise = Filters::new(c, c, row.kernel).stride(row.stride).depthwise();
            let y = b.conv(&format!("{name}.shortcut.depthwise"), &format!("{name}.shortcut.0"), input, depthwise)?;
            let y = b.batch_norm(&format!("{name}.shortcut.1"), y)?;
            let y = b.conv(&format!("{name}.shortcut.pointwise"), &format!("{name}.shortcut.2"), y, Filters::new(c, out, 1))?;
            b.batch_norm(&format!("{name}.shortcut.3"), y)?
        };
        b.graph.add(format!("{name}.add"), Op::Add, &[x, shortcut])
    }
}

/// A ghost module (section 3.1 of the paper): `ceil(c_out / ratio)` maps by a primary convolution, the rest by depthwise operations.
#[derive(Debug, Clone, PartialEq)]
pub struct GhostModule {
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Kernel of the primary convolution (1 in GhostNet), odd.
    pub kernel: usize,
    /// Stride of the primary convolution.
    pub stride: usize,
    /// Ratio s: 2 in GhostNet; 1 is the plain convolution.
    pub ratio: usize,
    /// Kernel d of the cheap operation: 3 in GhostNet, odd.
    pub cheap_kernel: usize,
    /// A ReLU after both parts.
    pub relu: bool,
}

impl GhostModule {
    /// GhostNet's: s = 2, d = 3, a 1x1 primary convolution, ReLU.
    pub fn new(c_in: usize, c_out: usize) -> Self {
        Self { c_in, c_out, kernel: 1, stride: 1, ratio: 2, cheap_kernel: 3, relu: true }
    }

    /// Adds the module to a graph; tensors `NAME.primary_conv.{0,1}.*` and `NAME.cheap_operation.{0,1}.*` as timm's `GhostModule`.
    pub fn add(&self, graph: &mut Graph, source: &mut Source<'_>, name: &str, input: NodeId) -> Result<NodeId> {
        if self.ratio == 0 || self.kernel.is_multiple_of(2) || self.cheap_kernel.is_multiple_of(2) {
            let what = format!("ratio {} must be at least 1, kernels {} and {} odd", self.ratio, self.kernel, self.cheap_kernel);
            return Err(Error::shape(name, what));
        }
        let mut b = Builder { graph: std::mem::take(graph), source };
        let result = self.build(&mut b, name, input);
        *graph = b.graph;
        result
    }

    fn build(&self, b: &mut Builder<'_, '_>, name: &str, input: NodeId) -> Result<NodeId> {
        let m = self.c_out.div_ceil(self.ratio);
        let mut part = |part: &str, input, filters| {
            let y = b.conv(&format!("{name}.{part}"), &format!("{name}.{part}.0"), input, filters)?;
            let y = b.batch_norm(&format!("{name}.{part}.1"), y)?;
            if self.relu { b.activate(&format!("{name}.{part}.2"), y, Activation::Relu) } else { Ok(y) }
        };
        let primary = part("primary_conv", input, Filters::new(self.c_in, m, self.kernel).stride(self.stride))?;
        if self.ratio == 1 {
            return Ok(primary);
        }
        let cheap = part("cheap_operation", primary, Filters::new(m, m * (self.ratio - 1), self.cheap_kernel).depthwise())?;
        let all = b.graph.add(format!("{name}.concat"), Op::Concat, &[primary, cheap])?;
        if m * self.ratio == self.c_out {
            return Ok(all);
        }
        b.graph.add(format!("{name}.slice"), Op::Slice { start: 0, len: self.c_out }, &[all])
    }
}

/// A ghost module in a graph that no pass has changed yet.
pub(super) struct Module {
    pub name: String,
    /// Where all its maps are.
    pub result: NodeId,
    /// How many of them are intrinsic.
    pub intrinsic: usize,
}

/// Every module that makes ghosts, in order.
pub(super) fn modules(graph: &Graph) -> Vec<Module> {
    let nodes = graph.nodes().iter().enumerate();
    let concats = nodes.filter(|(_, node)| node.op == Op::Concat);
    let module = |(at, concat): (usize, &Node)| {
        // The cut to c_out follows at once, where there is one.
        let cut = graph.nodes().get(at + 1).is_some_and(|next| matches!(next.op, Op::Slice { .. }) && next.inputs == [NodeId(at)]);
        Module {
            name: concat.name.trim_end_matches(".concat").into(),
            result: NodeId(at + usize::from(cut)),
            intrinsic: graph.channels(concat.inputs[0]),
        }
    };
    concats.map(module).collect()
}

/// Rounds channels to a multiple of `divisor`, down by a tenth at most (the official code's `_make_divisible`).
fn make_divisible(channels: f64, divisor: usize) -> usize {
    let rounded = (((channels + divisor as f64 / 2.0) as usize) / divisor * divisor).max(divisor);
    if (rounded as f64) < 0.9 * channels { rounded + divisor } else { rounded }
}

/// Where a network's weights come from while its graph is built; remembers every name and shape it was asked for.
pub struct Source<'a> {
    kind: SourceKind<'a>,
    /// Names and shapes, in the order of the network.
    pub tensors: Vec<(String, Vec<usize>)>,
}

enum SourceKind<'a> {
    Zeros,
    Formula(u64),
    Checkpoint(&'a Checkpoint),
}

impl<'a> Source<'a> {
    /// Zeros, for what only needs shapes.
    pub fn zeros() -> Self {
        Self { kind: SourceKind::Zeros, tensors: Vec::new() }
    }

    /// The formula of `tools/golden.py`; seed 0 gives its numbers.
    pub fn formula(seed: u64) -> Self {
        Self { kind: SourceKind::Formula(seed), tensors: Vec::new() }
    }

    /// A checkpoint.
    pub fn checkpoint(checkpoint: &'a Checkpoint) -> Self {
        Self { kind: SourceKind::Checkpoint(checkpoint), tensors: Vec::new() }
    }

    /// Adds the tensor `name` of this shape to the graph.
    pub fn constant(&mut self, graph: &mut Graph, name: &str, shape: &[usize]) -> Result<ConstId> {
        self.tensors.push((name.to_string(), shape.to_vec()));
        match self.kind {
            SourceKind::Zeros => graph.add_constant(name, shape, vec![0.0; shape.iter().product()]),
            SourceKind::Formula(seed) => graph.add_constant(name, shape, formula::values(name, seed, shape)),
            SourceKind::Checkpoint(checkpoint) => {
                let found = checkpoint.get(name).filter(|t| t.shape == shape);
                let missing = || Error::weights(checkpoint.file(), format!("no tensor `{name}` of shape {}", Sides(shape)));
                graph.add_constant(name, shape, found.ok_or_else(missing)?.data.clone())
            }
        }
    }
}

struct Filters {
    c_in: usize,
    c_out: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
    bias: bool,
}

impl Filters {
    fn new(c_in: usize, c_out: usize, kernel: usize) -> Self {
        Self { c_in, c_out, kernel, stride: 1, groups: 1, bias: false }
    }
    fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }
    fn depthwise(self) -> Self {
        Self { groups: self.c_in, ..self }
    }
    fn bias(self) -> Self {
        Self { bias: true, ..self }
    }
}

struct Builder<'s, 'c> {
    graph: Graph,
    source: &'s mut Source<'c>,
}

impl Builder<'_, '_> {
    /// A convolution with "same" padding, node `name`, tensors `tensors.weight` and `tensors.bias`.
    fn conv(&mut self, name: &str, tensors: &str, input: NodeId, f: Filters) -> Result<NodeId> {
        let shape = [f.c_out, f.c_in / f.groups, f.kernel, f.kernel];
        let weight = self.source.constant(&mut self.graph, &format!("{tensors}.weight"), &shape)?;
        let mut conv = Conv::new(weight).stride(f.stride).pad(f.kernel / 2).groups(f.groups);
        if f.bias {
            conv = conv.bias(self.source.constant(&mut self.graph, &format!("{tensors}.bias"), &[f.c_out])?);
        }
        self.graph.add(name, Op::Conv(conv), &[input])
    }

    fn batch_norm(&mut self, name: &str, input: NodeId) -> Result<NodeId> {
        let c = [self.graph.channels(input)];
        let mut vector = |part: &str| self.source.constant(&mut self.graph, &format!("{name}.{part}"), &c);
        let (weight, bias, mean, var) = (vector("weight")?, vector("bias")?, vector("running_mean")?, vector("running_var")?);
        self.graph.add(name, Op::BatchNorm { weight, bias, mean, var, eps: BATCH_NORM_EPS }, &[input])
    }

    fn activate(&mut self, name: &str, input: NodeId, activation: Activation) -> Result<NodeId> {
        self.graph.add(name, Op::Activate(activation), &[input])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_round_as_in_the_official_code() {
        let rounded: Vec<usize> = [8.0, 9.9, 10.1, 20.8, 312.0, 62.4, 1.0].map(|c| make_divisible(c, 4)).into();
        assert_eq!(rounded, [8, 12, 12, 20, 312, 64, 4]);
    }
}
