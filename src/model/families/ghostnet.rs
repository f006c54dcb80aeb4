//! GhostNet as in the paper's table (Han et al., CVPR 2020, table 1, arXiv 1911.11907), with timm's
//! tensor names.

use crate::{
    Error, Result,
    graph::{Activation, Graph, NodeId, Op},
    model::{
        builder::{Builder, Filters, Source},
        checkpoint::Checkpoint,
        families::Family,
    },
    text::decimal,
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

/// Stages before each halving of the map: their outputs are the features timm's `features_only`
/// gives beside the stem's.
const FEATURE_STAGES: [usize; 4] = [1, 3, 5, 7];

const STEM: usize = 16;
const LAST_CONV: usize = 960;
const HEAD: usize = 1280;
/// PyTorch's default, which both implementations keep.
const BATCH_NORM_EPS: f32 = 1e-5;

/// The three widths that have names.
const WIDTHS: [(&str, f64); 3] = [("ghostnet_050", 0.5), ("ghostnet_100", 1.0), ("ghostnet_130", 1.3)];

/// What distinguishes one GhostNet from another.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GhostNet {
    /// Scales every channel count but the head's 1280.
    pub width: f64,
    /// Outputs of the classifier.
    pub classes: usize,
    /// Stride of the first convolution: 2, or 1 for small images.
    pub stem_stride: usize,
    /// Ratio s of every ghost module: one real map makes `s - 1` ghosts. 1 makes every module a
    /// plain convolution.
    pub ratio: usize,
    /// Kernel d of the cheap operations.
    pub cheap_kernel: usize,
}

impl GhostNet {
    /// The tensor by which a file is found to hold one, whatever stands before its names.
    pub(in crate::model) const FIRST_TENSOR: &str = "conv_stem.weight";

    /// GhostNet of a width with the paper's s = 2 and d = 3, a stem of stride 2 and 1000 classes.
    pub fn new(width: f64) -> Self {
        Self { width, classes: 1000, stem_stride: 2, ratio: 2, cheap_kernel: 3 }
    }

    /// Sets [`GhostNet::classes`].
    pub fn classes(self, classes: usize) -> Self {
        Self { classes, ..self }
    }

    /// Sets [`GhostNet::stem_stride`].
    pub fn stem_stride(self, stem_stride: usize) -> Self {
        Self { stem_stride, ..self }
    }

    /// Sets [`GhostNet::ratio`].
    pub fn ratio(self, ratio: usize) -> Self {
        Self { ratio, ..self }
    }

    /// Sets [`GhostNet::cheap_kernel`].
    pub fn cheap_kernel(self, cheap_kernel: usize) -> Self {
        Self { cheap_kernel, ..self }
    }

    /// Names of the widths that have one.
    pub(in crate::model) fn names() -> impl Iterator<Item = &'static str> {
        WIDTHS.iter().map(|(name, _)| *name)
    }

    /// GhostNet of a name, which leaves open the classes and the stem's stride.
    pub(in crate::model) fn named(name: &str) -> Result<Self> {
        // timm appends the training data's tag: ghostnet_100.in1k.
        let plain = name.split('.').next().unwrap_or(name);
        let found = WIDTHS.iter().find(|(n, _)| *n == plain);
        let unknown = || Error::Model(format!("no network is called `{name}`; there are {}", Self::names().collect::<Vec<_>>().join(", ")));
        found.map(|(_, width)| Self::new(*width)).ok_or_else(unknown)
    }

    /// The one whose weights these are: of the width that the file names, or that its stem's
    /// channels tell.
    pub(in crate::model) fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let config = checkpoint.config();
        let fail = |what: String| Error::weights(checkpoint.file(), what);
        let network = match &config.architecture {
            Some(name) => Self::named(name).map_err(|error| fail(error.to_string()))?,
            None => {
                let stem = checkpoint.shape(Self::FIRST_TENSOR);
                let stem =
                    stem.ok_or_else(|| fail(format!("no tensor `{}`: not a GhostNet; {}", Self::FIRST_TENSOR, checkpoint.holds())))?;
                let channels = stem.first().copied().unwrap_or(0);
                let known = WIDTHS.iter().map(|(_, width)| Self::new(*width)).find(|known| known.stem_channels() == channels);
                known.ok_or_else(|| {
                    fail(format!("`conv_stem.weight` has {channels} output channels; widths 0.5, 1.0 and 1.3 have 8, 16 and 20"))
                })?
            }
        };
        let classes = checkpoint.shape("classifier.weight").and_then(|s| s.first().copied());
        let no_classifier = || fail(format!("no tensor `classifier.weight`: not a GhostNet with its classifier; {}", checkpoint.holds()));
        let classes = classes.ok_or_else(no_classifier)?;
        match config.num_classes {
            Some(stated) if stated != classes => Err(fail(format!("num_classes is {stated}, `classifier.weight` has {classes} rows"))),
            _ if classes == 0 => Err(fail("`classifier.weight` has no rows".into())),
            _ => Ok(Self { classes, stem_stride: config.stem_stride.unwrap_or(2), ..network }),
        }
    }

    fn channels(&self, at_width_1: usize) -> usize {
        make_divisible(at_width_1 as f64 * self.width, 4)
    }

    /// Output channels of the stem.
    pub fn stem_channels(&self) -> usize {
        self.channels(STEM)
    }

    /// The network's graph, weights from `source`, from `input` `[n, 3, h, w]` to `logits`
    /// `[n, classes]`. The five maps that timm's `features_only` gives are marked: the stem's
    /// convolution before its BatchNorm, then the outputs of stages 1, 3, 5 and 7.
    pub fn graph(&self, source: &mut Source<'_>) -> Result<Graph> {
        let mut graph = Graph::new();
        let mut b = Builder::new(&mut graph, source);
        let input = b.input(3)?;
        let mut c = self.stem_channels();
        let stem = b.conv("conv_stem", input, Filters::new(3, c, 3).stride(self.stem_stride))?;
        b.feature("conv_stem", stem);
        let stem = b.batch_norm("bn1", stem, BATCH_NORM_EPS)?;
        let mut x = b.activate("act1", stem, Activation::Relu)?;
        for (s, stage) in STAGES.iter().enumerate() {
            for (at, row) in stage.iter().enumerate() {
                let out = self.channels(row.out);
                x = self.bottleneck(&mut b.scope(&format!("blocks.{s}.{at}")), x, [c, out], row)?;
                c = out;
            }
            if FEATURE_STAGES.contains(&s) {
                b.feature(&format!("blocks.{s}"), x);
            }
        }
        let logits = self.head(&mut b, x, c)?;
        b.vectors("logits", logits);
        Ok(graph)
    }

    fn head(&self, b: &mut Builder<'_, '_>, input: NodeId, c: usize) -> Result<NodeId> {
        let last = self.channels(LAST_CONV);
        let name = format!("blocks.{}.0", STAGES.len());
        let x = b.conv_of(&name, &format!("{name}.conv"), input, Filters::new(c, last, 1))?;
        let x = b.scope(&name).batch_norm("bn1", x, BATCH_NORM_EPS)?;
        let x = b.scope(&name).activate("act", x, Activation::Relu)?;
        let x = b.add("global_pool", Op::GlobalPool, &[x])?;
        let x = b.conv("conv_head", x, Filters::new(last, HEAD, 1).bias())?;
        let x = b.activate("act2", x, Activation::Relu)?;
        b.embedding(x);
        b.linear("classifier", x, self.classes)
    }

    fn bottleneck(&self, b: &mut Builder<'_, '_>, input: NodeId, [c, out]: [usize; 2], row: &Bottleneck) -> Result<NodeId> {
        let expansion = self.channels(row.expansion);
        let module = |c_in, c_out| GhostModule::new(c_in, c_out).ratio(self.ratio).cheap_kernel(self.cheap_kernel);
        let mut x = module(c, expansion).build(&mut b.scope("ghost1"), input)?;
        if row.stride > 1 {
            let y = b.conv("conv_dw", x, Filters::new(expansion, expansion, row.kernel).stride(row.stride).depthwise())?;
            x = b.batch_norm("bn_dw", y, BATCH_NORM_EPS)?;
        }
        if row.squeeze_excite {
            x = squeeze_excite(&mut b.scope("se"), x, expansion)?;
        }
        let x = module(expansion, out).relu(false).build(&mut b.scope("ghost2"), x)?;
        let is_identity = c == out && row.stride == 1;
        let shortcut = if is_identity { input } else { shortcut(&mut b.scope("shortcut"), input, [c, out], row)? };
        b.add("add", Op::Add, &[x, shortcut])
    }
}

impl Family for GhostNet {
    fn name(&self) -> String {
        let named = WIDTHS.iter().find(|(_, width)| *width == self.width);
        named.map_or_else(|| format!("ghostnet_{:03}", (self.width * 100.0).round() as u64), |(name, _)| name.to_string())
    }

    fn identity(&self) -> String {
        format!("width {}", decimal(self.width))
    }

    fn details(&self) -> String {
        format!("{} classes, stem stride {}", self.classes, self.stem_stride)
    }

    fn graph(&self, source: &mut Source<'_>) -> Result<Graph> {
        self.graph(source)
    }
}

fn squeeze_excite(b: &mut Builder<'_, '_>, x: NodeId, c: usize) -> Result<NodeId> {
    // timm's and the official code's rounding: a quarter of the expansion, to a multiple of 4.
    let reduced = make_divisible(c as f64 * 0.25, 4);
    let mean = b.add("pool", Op::GlobalPool, &[x])?;
    let y = b.conv("conv_reduce", mean, Filters::new(c, reduced, 1).bias())?;
    let y = b.activate("act1", y, Activation::Relu)?;
    let y = b.conv("conv_expand", y, Filters::new(reduced, c, 1).bias())?;
    let gate = b.activate("gate", y, Activation::HardSigmoid)?;
    b.add("scale", Op::Multiply, &[x, gate])
}

fn shortcut(b: &mut Builder<'_, '_>, input: NodeId, [c, out]: [usize; 2], row: &Bottleneck) -> Result<NodeId> {
    let y = b.conv_of("depthwise", "0", input, Filters::new(c, c, row.kernel).stride(row.stride).depthwise())?;
    let y = b.batch_norm("1", y, BATCH_NORM_EPS)?;
    let y = b.conv_of("pointwise", "2", y, Filters::new(c, out, 1))?;
    b.batch_norm("3", y, BATCH_NORM_EPS)
}

/// A ghost module (section 3.1 of the paper): `ceil(c_out / ratio)` maps by a primary convolution,
/// the rest by depthwise operations.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
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

    /// Sets [`GhostModule::kernel`].
    pub fn kernel(self, kernel: usize) -> Self {
        Self { kernel, ..self }
    }

    /// Sets [`GhostModule::stride`].
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Sets [`GhostModule::ratio`].
    pub fn ratio(self, ratio: usize) -> Self {
        Self { ratio, ..self }
    }

    /// Sets [`GhostModule::cheap_kernel`].
    pub fn cheap_kernel(self, cheap_kernel: usize) -> Self {
        Self { cheap_kernel, ..self }
    }

    /// Sets [`GhostModule::relu`].
    pub fn relu(self, relu: bool) -> Self {
        Self { relu, ..self }
    }

    /// Adds the module to a graph, with tensors `NAME.primary_conv.{0,1}.*` and
    /// `NAME.cheap_operation.{0,1}.*` as timm's `GhostModule`.
    pub fn add(&self, graph: &mut Graph, source: &mut Source<'_>, name: &str, input: NodeId) -> Result<NodeId> {
        self.build(&mut Builder::new(graph, source).scope(name), input)
    }

    fn build(&self, b: &mut Builder<'_, '_>, input: NodeId) -> Result<NodeId> {
        if self.ratio == 0 || self.kernel.is_multiple_of(2) || self.cheap_kernel.is_multiple_of(2) {
            let what = format!("ratio {} must be at least 1, kernels {} and {} odd", self.ratio, self.kernel, self.cheap_kernel);
            return Err(Error::shape(b.name("ghost"), what));
        }
        let m = self.c_out.div_ceil(self.ratio);
        let primary = self.part(b, "primary_conv", input, Filters::new(self.c_in, m, self.kernel).stride(self.stride))?;
        if self.ratio == 1 {
            return Ok(primary);
        }
        let cheap = Filters::new(m, m * (self.ratio - 1), self.cheap_kernel).depthwise();
        let cheap = self.part(b, "cheap_operation", primary, cheap)?;
        let all = b.add("concat", Op::Concat, &[primary, cheap])?;
        if m * self.ratio == self.c_out {
            return Ok(all);
        }
        b.add("slice", Op::Slice { start: 0, len: self.c_out }, &[all])
    }

    fn part(&self, b: &mut Builder<'_, '_>, name: &str, input: NodeId, filters: Filters) -> Result<NodeId> {
        let y = b.conv_of(name, &format!("{name}.0"), input, filters)?;
        let y = b.scope(name).batch_norm("1", y, BATCH_NORM_EPS)?;
        if self.relu { b.scope(name).activate("2", y, Activation::Relu) } else { Ok(y) }
    }
}

/// Rounds channels to a multiple of `divisor`, down by a tenth at most (the official code's
/// `_make_divisible`).
fn make_divisible(channels: f64, divisor: usize) -> usize {
    let rounded = (((channels + divisor as f64 / 2.0) as usize) / divisor * divisor).max(divisor);
    if (rounded as f64) < 0.9 * channels { rounded + divisor } else { rounded }
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
