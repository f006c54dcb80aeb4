//! GhostNet as in the paper's table (Han et al., CVPR 2020, table 1, arXiv 1911.11907), and the
//! networks that put other modules on its skeleton, with timm's tensor names.

pub use super::ghost_module::GhostModule;

use super::ghost_module::{alike, attention, branched, branches, rep_ghost};
use crate::{
    Error, Result,
    graph::{Activation, Graph, NodeId, Op},
    model::{
        builder::{Builder, Filters, Source},
        checkpoint::Checkpoint,
        families::{Family, classes_of, make_divisible, untagged},
        formula,
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

/// RepGhostNet's (Chen et al., 2022, arXiv 2211.06088, table 1): about half the expansions.
const REP_STAGES: &[&[Bottleneck]] = &[
    &[row(3, 8, 16, 0, 1)],
    &[row(3, 24, 24, 0, 2)],
    &[row(3, 36, 24, 0, 1)],
    &[row(5, 36, 40, 1, 2)],
    &[row(5, 60, 40, 1, 1)],
    &[row(3, 120, 80, 0, 2)],
    &[row(3, 100, 80, 0, 1), row(3, 120, 80, 0, 1), row(3, 120, 80, 0, 1), row(3, 240, 112, 1, 1), row(3, 336, 112, 1, 1)],
    &[row(5, 336, 160, 1, 2)],
    &[row(5, 480, 160, 0, 1), row(5, 480, 160, 1, 1), row(5, 480, 160, 0, 1), row(5, 480, 160, 1, 1)],
];

/// Takes a map: the stage that made it, but for the stem, and its channels.
pub(super) type Each<'e> = &'e mut dyn FnMut(&mut Builder<'_, '_>, Option<usize>, NodeId, usize);

/// Bottlenecks without GhostNetV2's attention: the first ones, whose maps are large.
const UNATTENDED: usize = 2;

/// Stages before each halving of the map: their outputs are the features timm's `features_only`
/// gives beside the stem's.
const FEATURE_STAGES: [usize; 4] = [1, 3, 5, 7];

const STEM: usize = 16;
const LAST_CONV: usize = 960;
const HEAD: usize = 1280;

/// The networks that have names.
const NAMES: [(&str, Version, f64); 14] = [
    ("ghostnet_050", Version::V1, 0.5),
    ("ghostnet_100", Version::V1, 1.0),
    ("ghostnet_130", Version::V1, 1.3),
    ("ghostnetv2_100", Version::V2, 1.0),
    ("ghostnetv2_130", Version::V2, 1.3),
    ("ghostnetv2_160", Version::V2, 1.6),
    ("ghostnetv3_050", Version::V3, 0.5),
    ("ghostnetv3_100", Version::V3, 1.0),
    ("ghostnetv3_130", Version::V3, 1.3),
    ("ghostnetv3_160", Version::V3, 1.6),
    ("repghostnet_050", Version::RepGhost, 0.5),
    ("repghostnet_080", Version::RepGhost, 0.8),
    ("repghostnet_100", Version::RepGhost, 1.0),
    ("repghostnet_200", Version::RepGhost, 2.0),
];

/// Widths that a stem's channels may tell.
const WIDTHS: [f64; 6] = [0.5, 0.8, 1.0, 1.3, 1.6, 2.0];

/// The networks on GhostNet's skeleton.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// GhostNet.
    V1,
    /// GhostNetV2: attention on the first module of all bottlenecks but two.
    V2,
    /// GhostNetV3: GhostNetV2, trained with parallel branches.
    V3,
    /// RepGhostNet: sums in the place of concatenations.
    RepGhost,
}

/// What distinguishes one GhostNet from another.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GhostNet {
    /// Whose modules it has.
    pub version: Version,
    /// Scales every channel count but the head's 1280.
    pub width: f64,
    /// Outputs of the classifier.
    pub classes: usize,
    /// Stride of the first convolution: 2, or 1 for small images.
    pub stem_stride: usize,
    /// Ratio s of every ghost module: one real map makes `s - 1` ghosts. 1 makes every module a
    /// plain convolution. For the first two versions.
    pub ratio: usize,
    /// Kernel d of the cheap operations. For the first two versions.
    pub cheap_kernel: usize,
    /// The weights hold one convolution in the place of each group of parallel branches. For the
    /// last two versions.
    pub merged: bool,
}

impl GhostNet {
    /// The tensor by which a file is found to hold one, whatever stands before its names.
    pub(in crate::model) const FIRST_TENSOR: &str = "conv_stem.weight";

    /// GhostNet of a width with the paper's s = 2 and d = 3, a stem of stride 2 and 1000 classes.
    pub fn new(width: f64) -> Self {
        Self { version: Version::V1, width, classes: 1000, stem_stride: 2, ratio: 2, cheap_kernel: 3, merged: false }
    }

    /// Sets [`GhostNet::version`].
    pub fn version(self, version: Version) -> Self {
        Self { version, ..self }
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

    /// Sets [`GhostNet::merged`].
    pub fn merged(self, merged: bool) -> Self {
        Self { merged, ..self }
    }

    /// Names of those that have one.
    pub(super) fn names() -> Vec<&'static str> {
        NAMES.iter().map(|(name, ..)| *name).collect()
    }

    /// GhostNet of a name, which leaves open the classes and the stem's stride.
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = NAMES.iter().find(|(known, ..)| *known == name);
        found.map(|(_, version, width)| Self::new(*width).version(*version))
    }

    /// The one that the file names or its tensors tell, with what they say of the rest; `None` of
    /// another family's.
    pub(super) fn of(checkpoint: &Checkpoint) -> Result<Option<Self>> {
        let config = checkpoint.config();
        let network = match &config.architecture {
            Some(name) => Self::named(untagged(name)),
            None => Self::told_by(checkpoint)?,
        };
        let Some(network) = network else { return Ok(None) };
        let merged = ["blocks.0.0.ghost1.primary_conv.0.bias", "blocks.0.0.ghost1.cheap_operation.weight"];
        let merged = merged.iter().any(|tensor| checkpoint.get(tensor).is_some());
        let (classes, stem_stride) = (classes_of(checkpoint, "classifier")?, config.stem_stride.unwrap_or(2));
        Ok(Some(Self { classes, stem_stride, merged, ..network }))
    }

    /// The one of which the modules' tensors and the stem's channels tell; `None` where there are
    /// no ghost modules.
    fn told_by(checkpoint: &Checkpoint) -> Result<Option<Self>> {
        let has = |tensor: &str| checkpoint.get(tensor).is_some();
        let version = if has("blocks.0.0.ghost1.fusion_bn.0.weight") || has("blocks.0.0.ghost1.cheap_operation.weight") {
            Version::RepGhost
        } else if has("blocks.0.0.ghost1.primary_rpr_conv.0.conv.weight") || has("blocks.0.0.ghost1.primary_conv.0.bias") {
            Version::V3
        } else if has("blocks.2.0.ghost1.short_conv.0.weight") {
            Version::V2
        } else if has("blocks.0.0.ghost1.primary_conv.0.weight") {
            Version::V1
        } else {
            return Ok(None);
        };
        let channels = checkpoint.shape("conv_stem.weight").and_then(|shape| shape.first().copied()).unwrap_or(0);
        let known = WIDTHS.map(|width| Self::new(width).version(version)).into_iter().find(|known| known.stem_channels() == channels);
        let unknown = || {
            let widths = "widths 0.5, 0.8, 1.0, 1.3, 1.6 and 2.0 have 8, 12, 16, 20, 24 and 32";
            Error::weights(checkpoint.file(), format!("`conv_stem.weight` has {channels} output channels; {widths}"))
        };
        known.ok_or_else(unknown).map(Some)
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
        let mut last = (input, 0);
        self.body(&mut b, input, &mut |b, s, x, c| {
            match s {
                None => b.feature("conv_stem", x),
                Some(s) if FEATURE_STAGES.contains(&s) => b.feature(&format!("blocks.{s}"), x),
                Some(_) => {}
            }
            last = (x, c);
        })?;
        let logits = self.head(&mut b, last.0, last.1)?;
        b.vectors("logits", logits);
        Ok(graph)
    }

    /// Everything in front of the head. `each` is told of the bare convolution of the stem, then of
    /// each stage's result by its number, with its channels.
    pub(super) fn body(&self, b: &mut Builder<'_, '_>, input: NodeId, each: Each<'_>) -> Result<()> {
        let mut c = self.stem_channels();
        let stem = b.conv("conv_stem", input, Filters::new(3, c, 3).stride(self.stem_stride))?;
        each(b, None, stem, c);
        let stem = b.batch_norm("bn1", stem)?;
        let mut x = b.activate("act1", stem, Activation::Relu)?;
        let stages = if self.version == Version::RepGhost { REP_STAGES } else { STAGES };
        let mut unattended = UNATTENDED;
        for (s, stage) in stages.iter().enumerate() {
            for (at, row) in stage.iter().enumerate() {
                let (out, attends) = (self.channels(row.out), unattended == 0);
                x = self.bottleneck(&mut b.scope(&format!("blocks.{s}.{at}")), x, [c, out], row, attends)?;
                (c, unattended) = (out, unattended.saturating_sub(1));
            }
            each(b, Some(s), x, c);
        }
        Ok(())
    }

    fn head(&self, b: &mut Builder<'_, '_>, input: NodeId, c: usize) -> Result<NodeId> {
        let last = self.channels(LAST_CONV);
        let name = format!("blocks.{}.0", STAGES.len());
        let x = b.conv_of(&name, &format!("{name}.conv"), input, Filters::new(c, last, 1))?;
        let x = b.scope(&name).batch_norm("bn1", x)?;
        let x = b.scope(&name).activate("act", x, Activation::Relu)?;
        let x = b.add("global_pool", Op::GlobalPool, &[x])?;
        let x = b.conv("conv_head", x, Filters::new(last, HEAD, 1).bias())?;
        let x = b.activate("act2", x, Activation::Relu)?;
        b.embedding(x);
        b.linear("classifier", x, self.classes)
    }

    fn bottleneck(&self, b: &mut Builder<'_, '_>, input: NodeId, [c, out]: [usize; 2], row: &Bottleneck, attends: bool) -> Result<NodeId> {
        let expansion = self.channels(row.expansion);
        let mut x = self.module(&mut b.scope("ghost1"), input, [c, expansion], true)?;
        if attends && matches!(self.version, Version::V2 | Version::V3) {
            x = attention(&mut b.scope("ghost1"), input, x, [c, expansion])?;
        }
        if row.stride > 1 {
            let filters = Filters::new(expansion, expansion, row.kernel).stride(row.stride).depthwise();
            x = match (self.version, self.merged) {
                (Version::V3, true) => b.conv("conv_dw", x, filters.bias())?,
                (Version::V3, false) => branches(b, "conv_dw", x, &alike("dw", filters, true), None)?,
                _ => b.conv_norm(["conv_dw", "bn_dw"], x, filters)?,
            };
        }
        if row.squeeze_excite {
            // timm's and the official code's rounding: a quarter of the expansion, to a multiple of
            // 4.
            let reduced = make_divisible(expansion as f64 * 0.25, 4);
            x = squeeze_excite(&mut b.scope("se"), x, [expansion, reduced])?;
        }
        let x = self.module(&mut b.scope("ghost2"), x, [expansion, out], false)?;
        let is_identity = c == out && row.stride == 1;
        let shortcut = if is_identity { input } else { shortcut(&mut b.scope("shortcut"), input, [c, out], row)? };
        b.add("add", Op::Add, &[x, shortcut])
    }

    fn module(&self, b: &mut Builder<'_, '_>, input: NodeId, [c_in, c_out]: [usize; 2], relu: bool) -> Result<NodeId> {
        match self.version {
            Version::V1 | Version::V2 => {
                GhostModule::new(c_in, c_out).ratio(self.ratio).cheap_kernel(self.cheap_kernel).relu(relu).build(b, input)
            }
            Version::V3 => branched(b, input, [c_in, c_out], relu, self.merged),
            Version::RepGhost => rep_ghost(b, input, [c_in, c_out], relu, self.merged),
        }
    }
}

impl Family for GhostNet {
    fn name(&self) -> String {
        let family = match self.version {
            Version::V1 => "ghostnet",
            Version::V2 => "ghostnetv2",
            Version::V3 => "ghostnetv3",
            Version::RepGhost => "repghostnet",
        };
        format!("{family}_{:03}", (self.width * 100.0).round() as u64)
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

    fn gain(&self) -> f64 {
        match self.version {
            Version::V1 | Version::V2 => formula::GAIN,
            Version::V3 => 1.0,
            Version::RepGhost => 1.5,
        }
    }
}

/// A gate of two layers with a hard sigmoid, under timm's names.
pub(super) fn squeeze_excite(b: &mut Builder<'_, '_>, x: NodeId, [c, reduced]: [usize; 2]) -> Result<NodeId> {
    let mean = b.add("pool", Op::GlobalPool, &[x])?;
    let y = b.conv("conv_reduce", mean, Filters::new(c, reduced, 1).bias())?;
    let y = b.activate("act1", y, Activation::Relu)?;
    let y = b.conv("conv_expand", y, Filters::new(reduced, c, 1).bias())?;
    let gate = b.activate("gate", y, Activation::HardSigmoid)?;
    b.add("scale", Op::Multiply, &[x, gate])
}

fn shortcut(b: &mut Builder<'_, '_>, input: NodeId, [c, out]: [usize; 2], row: &Bottleneck) -> Result<NodeId> {
    let y = b.conv_of("depthwise", "0", input, Filters::new(c, c, row.kernel).stride(row.stride).depthwise())?;
    let y = b.batch_norm("1", y)?;
    let y = b.conv_of("pointwise", "2", y, Filters::new(c, out, 1))?;
    b.batch_norm("3", y)
}
