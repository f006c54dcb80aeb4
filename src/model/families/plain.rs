//! Networks of plain convolutions, and the same with a ghost module in the place of each, as the
//! paper has them (Han et al., CVPR 2020, sections 4.1 and 4.2): VGG-16 and ResNets for the small
//! images of CIFAR-10, and ResNet-50.

use super::{Family, classes_of, ghostnet::GhostModule, untagged};
use crate::{
    Result,
    graph::{Activation, Graph, NodeId, Op, Pool, PoolKind},
    image_input::Preprocess,
    model::{
        builder::{Builder, Filters, Source},
        checkpoint::Checkpoint,
    },
};

/// Channels of VGG-16's convolutions (Simonyan and Zisserman, ICLR 2015, table 1, D); after each
/// group the map is halved.
const VGG_16: [&[usize]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];

/// Channels of the hidden layer that VGG-16 has for CIFAR-10 (Li et al., ICLR 2017, section 4.1).
const VGG_HIDDEN: usize = 512;

/// What a network's convolutions are arranged as.
#[derive(Clone, Copy)]
enum Arrangement {
    Vgg16,
    /// ResNet for small images (He et al., CVPR 2016, section 4.2): three stages of `n` blocks.
    Small(usize),
    /// ResNet-50 (table 1), its stride in the 3x3 convolution.
    ResNet50,
}

const fn named(name: &'static str, arrangement: Arrangement, ratio: usize) -> Table {
    Table { name, arrangement, ratio }
}

struct Table {
    name: &'static str,
    arrangement: Arrangement,
    /// Of all ghost modules; 1 for plain convolutions.
    ratio: usize,
}

const TABLES: [Table; 9] = [
    named("vgg16", Arrangement::Vgg16, 1),
    named("ghost_vgg16", Arrangement::Vgg16, 2),
    named("resnet20", Arrangement::Small(3), 1),
    named("ghost_resnet20", Arrangement::Small(3), 2),
    named("resnet56", Arrangement::Small(9), 1),
    named("ghost_resnet56", Arrangement::Small(9), 2),
    named("resnet50", Arrangement::ResNet50, 1),
    named("ghost_resnet50", Arrangement::ResNet50, 2),
    named("ghost_resnet50_s4", Arrangement::ResNet50, 4),
];

/// VGG-16 or a ResNet, of plain convolutions or of ghost modules.
pub struct Plain {
    table: &'static Table,
    classes: usize,
    /// VGG-16's layer in front of the classifier, which some leave out.
    has_hidden: bool,
}

impl Plain {
    fn new(table: &'static Table) -> Self {
        let classes = if matches!(table.arrangement, Arrangement::ResNet50) { 1000 } else { 10 };
        Self { table, classes, has_hidden: true }
    }

    pub(super) fn names() -> Vec<&'static str> {
        TABLES.iter().map(|table| table.name).collect()
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        TABLES.iter().find(|table| table.name == name).map(Self::new)
    }

    /// The one that the file names or its tensors tell, with what they say of the rest; `None` of
    /// another family's.
    pub(super) fn of(checkpoint: &Checkpoint) -> Result<Option<Self>> {
        let network = match &checkpoint.config().architecture {
            Some(name) => Self::named(untagged(name)),
            None => Self::told_by(checkpoint),
        };
        let Some(network) = network else { return Ok(None) };
        let has_hidden = checkpoint.get("classifier.0.weight").is_some();
        let classifier = match (network.table.arrangement, has_hidden) {
            (Arrangement::Vgg16, true) => "classifier.3",
            (Arrangement::Vgg16, false) => "classifier",
            _ => "fc",
        };
        Ok(Some(Self { classes: classes_of(checkpoint, classifier)?, has_hidden, ..network }))
    }

    /// The one that has the tensors of its last ghost module or convolution.
    fn told_by(checkpoint: &Checkpoint) -> Option<Self> {
        let has = |tensor: &str| checkpoint.shape(tensor);
        let is_of = |table: &&Table| {
            let (last, beyond) = match table.arrangement {
                Arrangement::Vgg16 => ("features.40".to_string(), "layer1".to_string()),
                Arrangement::Small(count) => (format!("layer3.{}.conv2", count - 1), format!("layer3.{count}.conv1")),
                Arrangement::ResNet50 => ("layer4.2.conv3".to_string(), "layer4.3".to_string()),
            };
            let [plain, primary, cheap] =
                ["weight", "primary_conv.0.weight", "cheap_operation.0.weight"].map(|part| has(&format!("{last}.{part}")));
            let ratio = match (plain, primary, cheap) {
                (Some(_), ..) => 1,
                (None, Some(primary), Some(cheap)) => 1 + cheap.first().unwrap_or(&0) / primary.first().unwrap_or(&1).max(&1),
                _ => return false,
            };
            ratio == table.ratio && !checkpoint.names().any(|name| name.starts_with(&beyond))
        };
        TABLES.iter().find(is_of).map(Self::new)
    }

    /// The convolution `name`, normalised and with `relu` activated; its normalisation is `norm`.
    fn conv(&self, b: &mut Builder<'_, '_>, names: [&str; 2], input: NodeId, [c_in, c_out]: [usize; 2], how: How) -> Result<NodeId> {
        let How { kernel, stride, relu } = how;
        if self.table.ratio > 1 {
            let module = GhostModule::new(c_in, c_out).kernel(kernel).stride(stride).ratio(self.table.ratio).relu(relu);
            return module.build(&mut b.scope(names[0]), input);
        }
        conv_norm(b, names, input, [c_in, c_out], how)
    }

    fn vgg(&self, b: &mut Builder<'_, '_>, input: NodeId) -> Result<NodeId> {
        // Places in a sequence of convolution, normalisation, activation, and of poolings.
        let (mut x, mut c, mut at) = (input, 3, 0);
        for group in VGG_16 {
            for &out in group {
                let names = [at, at + 1].map(|at| format!("features.{at}"));
                x = self.conv(b, names.each_ref().map(String::as_str), x, [c, out], How { kernel: 3, stride: 1, relu: true })?;
                (c, at) = (out, at + 3);
            }
            x = b.add(&format!("features.{at}"), Op::Pool(max_pool(2, 0)), &[x])?;
            at += 1;
        }
        if !self.has_hidden {
            b.embedding(x);
            return b.linear("classifier", x, self.classes);
        }
        let y = b.linear("classifier.0", x, VGG_HIDDEN)?;
        let y = b.batch_norm("classifier.1", y)?;
        let y = b.activate("classifier.2", y, Activation::Relu)?;
        b.embedding(y);
        b.linear("classifier.3", y, self.classes)
    }

    fn resnet(&self, b: &mut Builder<'_, '_>, input: NodeId) -> Result<NodeId> {
        let (stem, stages): (How, &[(usize, usize)]) = match self.table.arrangement {
            Arrangement::ResNet50 => (How { kernel: 7, stride: 2, relu: true }, &[(64, 3), (128, 4), (256, 6), (512, 3)]),
            Arrangement::Small(count) => (How { kernel: 3, stride: 1, relu: true }, &[(16, count), (32, count), (64, count)]),
            Arrangement::Vgg16 => unreachable!("has a graph of its own"),
        };
        let mut c = stages[0].0;
        let mut x = conv_norm(b, ["conv1", "bn1"], input, [3, c], stem)?;
        let is_deep = matches!(self.table.arrangement, Arrangement::ResNet50);
        if is_deep {
            x = b.add("maxpool", Op::Pool(max_pool(3, 1)), &[x])?;
        }
        for (stage, &(width, count)) in stages.iter().enumerate() {
            for at in 0..count {
                let stride = if at == 0 && stage > 0 { 2 } else { 1 };
                let mut block = b.scope(&format!("layer{}.{at}", stage + 1));
                (x, c) = self.residual(&mut block, x, c, width, stride, is_deep)?;
            }
        }
        let x = b.add("global_pool", Op::GlobalPool, &[x])?;
        b.embedding(x);
        b.linear("fc", x, self.classes)
    }

    /// A block: two convolutions of 3x3, or with `is_deep` a bottleneck of 1x1, 3x3 and 1x1.
    fn residual(
        &self,
        b: &mut Builder<'_, '_>,
        input: NodeId,
        c: usize,
        width: usize,
        stride: usize,
        is_deep: bool,
    ) -> Result<(NodeId, usize)> {
        let how = |kernel, stride, relu| How { kernel, stride, relu };
        let (out, x) = if is_deep {
            let x = self.conv(b, ["conv1", "bn1"], input, [c, width], how(1, 1, true))?;
            let x = self.conv(b, ["conv2", "bn2"], x, [width, width], how(3, stride, true))?;
            (4 * width, self.conv(b, ["conv3", "bn3"], x, [width, 4 * width], how(1, 1, false))?)
        } else {
            let x = self.conv(b, ["conv1", "bn1"], input, [c, width], how(3, stride, true))?;
            (width, self.conv(b, ["conv2", "bn2"], x, [width, width], how(3, 1, false))?)
        };
        let shortcut = match (c == out && stride == 1, is_deep) {
            (true, _) => input,
            (false, true) => self.conv(b, ["downsample.0", "downsample.1"], input, [c, out], how(1, stride, false))?,
            (false, false) => conv_norm(b, ["downsample.0", "downsample.1"], input, [c, out], how(1, stride, false))?,
        };
        let sum = b.add("add", Op::Add, &[x, shortcut])?;
        Ok((b.activate("act", sum, Activation::Relu)?, out))
    }
}

/// What a convolution does.
#[derive(Clone, Copy)]
struct How {
    kernel: usize,
    stride: usize,
    relu: bool,
}

fn conv_norm(b: &mut Builder<'_, '_>, names: [&str; 2], input: NodeId, [c_in, c_out]: [usize; 2], how: How) -> Result<NodeId> {
    let y = b.conv_norm(names, input, Filters::new(c_in, c_out, how.kernel).stride(how.stride))?;
    if how.relu { b.activate(&format!("{}.relu", names[0]), y, Activation::Relu) } else { Ok(y) }
}

/// The largest value of each window, at half the size.
fn max_pool(kernel: usize, pad: usize) -> Pool {
    Pool { kind: PoolKind::Max, kernel: [kernel; 2], stride: [2, 2], pad: [pad; 2], pad_more: [0, 0] }
}

impl Family for Plain {
    fn name(&self) -> String {
        self.table.name.into()
    }

    fn identity(&self) -> String {
        format!("ratio {}", self.table.ratio)
    }

    fn details(&self) -> String {
        format!("{} classes", self.classes)
    }

    fn graph(&self, source: &mut Source<'_>) -> Result<Graph> {
        let mut graph = Graph::new();
        let mut b = Builder::new(&mut graph, source);
        let input = b.input(3)?;
        let logits = match self.table.arrangement {
            Arrangement::Vgg16 => self.vgg(&mut b, input)?,
            _ => self.resnet(&mut b, input)?,
        };
        b.vectors("logits", logits);
        Ok(graph)
    }

    fn preprocess(&self) -> Preprocess {
        match self.table.arrangement {
            Arrangement::ResNet50 => Preprocess::default(),
            // CIFAR-10's images as they are.
            _ => Preprocess::default().size([32, 32]).mean([0.4914, 0.4822, 0.4465]).std([0.247, 0.2435, 0.2616]).crop_pct(1.0),
        }
    }
}
