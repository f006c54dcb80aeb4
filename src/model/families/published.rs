//! What others measured: shares of test images that networks name right.

/// How often a network names test images right, as somebody published it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Published {
    /// Percent of the images whose class is the network's first answer.
    pub top1: f64,
    /// Percent whose class is among its first five.
    pub top5: Option<f64>,
    /// The images: `ImageNet` or `CIFAR-10`.
    pub data: &'static str,
    /// Who measured: `paper`, or `timm` for weights of its own.
    pub by: &'static str,
}

const fn paper(top1: f64, top5: f64) -> Published {
    Published { top1, top5: Some(top5), data: "ImageNet", by: "paper" }
}

const fn first(top1: f64) -> Published {
    Published { top1, top5: None, data: "ImageNet", by: "paper" }
}

const fn cifar(top1: f64) -> Published {
    Published { data: "CIFAR-10", ..first(top1) }
}

/// timm's results of 2023, `results/results-imagenet.csv`.
const fn timm(top1: f64, top5: f64) -> Published {
    Published { by: "timm", ..paper(top1, top5) }
}

/// The papers that `ghostnet`, `mobilenet` and `plain` name. RepGhostNet's are of its official
/// checkpoints' names, ResNet-50's of GhostNet's table 7, ResNet-20's of He et al., table 6.
const PUBLISHED: [(&str, Published); 25] = [
    ("ghostnet_050", paper(66.2, 86.6)),
    ("ghostnet_100", paper(73.9, 91.4)),
    ("ghostnet_130", paper(75.7, 92.7)),
    ("ghostnetv2_100", paper(75.3, 92.4)),
    ("ghostnetv2_130", paper(76.9, 93.4)),
    ("ghostnetv2_160", paper(77.8, 93.8)),
    ("ghostnetv3_050", first(69.4)),
    ("ghostnetv3_100", first(77.1)),
    ("ghostnetv3_130", first(79.1)),
    ("ghostnetv3_160", first(80.4)),
    ("repghostnet_050", first(66.95)),
    ("repghostnet_080", first(72.24)),
    ("repghostnet_100", first(74.22)),
    ("repghostnet_200", first(78.81)),
    ("mobilenetv2_100", timm(72.98, 91.01)),
    ("mobilenetv3_small_100", timm(67.66, 87.64)),
    ("mobilenetv3_large_100", timm(75.77, 92.54)),
    ("vgg16", cifar(93.6)),
    ("ghost_vgg16", cifar(93.7)),
    ("resnet20", cifar(91.25)),
    ("resnet56", cifar(93.0)),
    ("ghost_resnet56", cifar(92.7)),
    ("resnet50", paper(75.3, 92.2)),
    ("ghost_resnet50", paper(75.0, 92.3)),
    ("ghost_resnet50_s4", paper(74.1, 91.9)),
];

/// What was published of the network of a name.
pub fn published(name: &str) -> Option<Published> {
    PUBLISHED.iter().find(|(known, _)| *known == name).map(|(_, published)| *published)
}
