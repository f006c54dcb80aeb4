//! Detectors on GhostNet 1.1, as torchvision builds them on a network's maps: RetinaNet (Lin et
//! al., ICCV 2017) and Faster R-CNN (Ren et al., NIPS 2015) on a feature pyramid (Lin et al., CVPR
//! 2017). Tensors have torchvision's and timm's names.

use super::{Family, ghostnet::GhostNet, untagged};
use crate::{
    Error, Result,
    graph::{Activation, Conv, Coordinates, Element, Filter, Graph, Nearest, NodeId, Op, Pool, PoolKind, Resample, RoiAlign, TensorType},
    model::{
        Card,
        builder::{Builder, Filters, Source},
        checkpoint::Checkpoint,
    },
};

/// GhostNet's width in the paper's table of detectors (Han et al., CVPR 2020, table 9).
const WIDTH: f64 = 1.1;

/// Stages whose results are pyramids' maps, by number, at strides 4, 8, 16 and 32: the last ones in
/// front of each halving.
const STAGES: [usize; 4] = [2, 4, 6, 8];

/// What a detector is, beside its pyramid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// RetinaNet: a row of values for each anchor.
    Retina,
    /// Faster R-CNN: a row for each region that a first stage proposes.
    Regions,
}

/// What distinguishes the heads.
struct Table {
    name: &'static str,
    identity: &'static str,
    /// Of the maps that anchors lie on.
    strides: [usize; 5],
    /// Sides of each of these maps' anchors, each with three ratios. RetinaNet's are 32 to 512
    /// times 1, 2^(1/3) and 2^(2/3), cut to whole numbers.
    sizes: [&'static [usize]; 5],
    towers: &'static [Tower],
    /// Of the towers' last convolutions.
    kernel: usize,
    /// The tensor with a row for each class, or for each class and anchor.
    classes: &'static str,
}

/// Convolutions one behind the other.
struct Tower {
    /// What the tensors of those are called that have a ReLU behind them.
    convs: &'static [&'static str],
    /// Those on what these make.
    last: &'static [Last],
}

/// A convolution whose results leave.
struct Last {
    /// What they are called.
    result: &'static str,
    /// What its tensors are called.
    tensors: &'static str,
    /// Its channels for an anchor; `None`: as many as classes.
    channels: Option<usize>,
}

const RATIOS: [f32; 3] = [0.5, 1.0, 2.0];

const RETINA: Table = Table {
    name: "retinanet_ghostnet_110",
    identity: "RetinaNet",
    strides: [8, 16, 32, 64, 128],
    sizes: [&[32, 40, 50], &[64, 80, 101], &[128, 161, 203], &[256, 322, 406], &[512, 645, 812]],
    towers: &[
        Tower {
            convs: &[
                "head.classification_head.conv.0.0",
                "head.classification_head.conv.1.0",
                "head.classification_head.conv.2.0",
                "head.classification_head.conv.3.0",
            ],
            last: &[Last { result: "cls_logits", tensors: "head.classification_head.cls_logits", channels: None }],
        },
        Tower {
            convs: &[
                "head.regression_head.conv.0.0",
                "head.regression_head.conv.1.0",
                "head.regression_head.conv.2.0",
                "head.regression_head.conv.3.0",
            ],
            last: &[Last { result: "bbox_reg", tensors: "head.regression_head.bbox_reg", channels: Some(4) }],
        },
    ],
    kernel: 3,
    classes: "head.classification_head.cls_logits.weight",
};

const REGIONS: Table = Table {
    name: "fasterrcnn_ghostnet_110",
    identity: "Faster R-CNN",
    strides: [4, 8, 16, 32, 64],
    sizes: [&[32], &[64], &[128], &[256], &[512]],
    towers: &[Tower {
        convs: &["rpn.head.conv.0.0"],
        last: &[
            Last { result: "objectness", tensors: "rpn.head.cls_logits", channels: Some(1) },
            Last { result: "deltas", tensors: "rpn.head.bbox_pred", channels: Some(4) },
        ],
    }],
    kernel: 1,
    classes: "roi_heads.box_predictor.cls_score.weight",
};

const TABLES: [(Head, &Table); 2] = [(Head::Retina, &RETINA), (Head::Regions, &REGIONS)];

/// Regions of Faster R-CNN in a picture, and what becomes of each.
const MOST_REGIONS: usize = 1000;
const CELLS: usize = 7;
const HIDDEN: usize = 1024;

/// How torchvision makes an input of a picture: ImageNet's mean and deviation, zeros beside it.
const INPUT: &str = r#""input":{"size":{"short":800,"long":1333,"multiple":32},"mean":[123.675,116.28,103.53],"std":[58.395,57.12,57.375],"pad":[123.675,116.28,103.53]}"#;
/// Boxes against anchors or regions; sides grow by at most 1000 / 16.
const BOX: &str = r#""form":"center","size":"exp","max":4.135166556742356"#;

/// A detector on GhostNet 1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GhostDetector {
    /// What it is.
    pub head: Head,
    /// Classes, of which torchvision's first is never one.
    pub classes: usize,
    /// Channels of the pyramid's maps.
    pub width: usize,
}

impl GhostDetector {
    /// The tensor by which a file is found to hold one, whatever stands before its names.
    pub(in crate::model) const FIRST_TENSOR: &str = "backbone.body.conv_stem.weight";

    /// As torchvision has it by default: the 91 classes of COCO, 256 channels.
    pub fn new(head: Head) -> Self {
        Self { head, classes: 91, width: 256 }
    }

    /// Sets [`GhostDetector::classes`].
    pub fn classes(self, classes: usize) -> Self {
        Self { classes, ..self }
    }

    /// Sets [`GhostDetector::width`].
    pub fn width(self, width: usize) -> Self {
        Self { width, ..self }
    }

    fn table(&self) -> &'static Table {
        if self.head == Head::Retina { &RETINA } else { &REGIONS }
    }

    pub(super) fn names() -> Vec<&'static str> {
        TABLES.iter().map(|(_, table)| table.name).collect()
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        TABLES.iter().find(|(_, table)| table.name == name).map(|(head, _)| Self::new(*head))
    }

    /// The one that the file names or its tensors tell, with what they say of the rest; `None` of
    /// another family's.
    pub(super) fn of(checkpoint: &Checkpoint) -> Result<Option<Self>> {
        let rows = |tensor: &str| checkpoint.shape(tensor).and_then(|shape| shape.first().copied());
        let network = match &checkpoint.config().architecture {
            Some(name) => Self::named(untagged(name)),
            None if rows(Self::FIRST_TENSOR).is_none() => None,
            None => TABLES.iter().find(|(_, table)| rows(table.classes).is_some()).map(|(head, _)| Self::new(*head)),
        };
        let Some(network) = network else { return Ok(None) };
        let needed = |tensor: &str| {
            let missing = || Error::weights(checkpoint.file(), format!("no tensor `{tensor}`; {}", checkpoint.holds()));
            rows(tensor).ok_or_else(missing)
        };
        let width = needed("backbone.fpn.inner_blocks.0.0.weight")?;
        let Table { classes: tensor, .. } = network.table();
        let (rows, per_class) = (needed(tensor)?, if network.head == Head::Retina { network.anchors() } else { 1 });
        if rows == 0 || rows % per_class != 0 {
            let what = format!("`{tensor}` has {rows} rows, not as many for each of {per_class} anchors");
            return Err(Error::weights(checkpoint.file(), what));
        }
        Ok(Some(Self { classes: rows / per_class, width, ..network }))
    }

    /// Anchors of a pixel.
    fn anchors(&self) -> usize {
        self.table().sizes[0].len() * RATIOS.len()
    }

    /// The pyramid of some stages' maps, the finest first.
    fn pyramid(&self, b: &mut Builder<'_, '_>, input: NodeId, stages: &[usize]) -> Result<Vec<NodeId>> {
        let mut b = b.scope("backbone");
        let mut maps = Vec::new();
        GhostNet::new(WIDTH).body(&mut b.scope("body"), input, &mut |_, stage, map, channels| {
            if stage.is_some_and(|stage| stages.contains(&stage)) {
                maps.push((map, channels));
            }
        })?;
        let mut b = b.scope("fpn");
        let mut coarser = None;
        for (at, (map, channels)) in maps.iter_mut().enumerate().rev() {
            let mut sum = b.conv(&format!("inner_blocks.{at}.0"), *map, Filters::new(*channels, self.width, 1).bias())?;
            if let Some(coarser) = coarser {
                let filter = Filter::Nearest(Nearest::Floor);
                let like = Resample { filter, coordinates: Coordinates::Asymmetric, ..Resample::like() };
                let larger = b.add(&format!("larger.{at}"), Op::Resample(like), &[coarser, sum])?;
                sum = b.add(&format!("sum.{at}"), Op::Add, &[sum, larger])?;
            }
            coarser = Some(sum);
            *map = sum;
        }
        let filters = Filters::new(self.width, self.width, 3).bias();
        maps.iter().enumerate().map(|(at, (map, _))| b.conv(&format!("layer_blocks.{at}.0"), *map, filters)).collect()
    }

    /// RetinaNet's two maps on top of the pyramid.
    fn two_more(&self, b: &mut Builder<'_, '_>, maps: &mut Vec<NodeId>) -> Result<()> {
        let filters = Filters::new(self.width, self.width, 3).bias().stride(2);
        let mut b = b.scope("backbone.fpn.extra_blocks");
        let p6 = b.conv("p6", maps[maps.len() - 1], filters)?;
        let relu = b.activate("p6.relu", p6, Activation::Relu)?;
        maps.extend([p6, b.conv("p7", relu, filters)?]);
        Ok(())
    }

    /// The heads, the same on each map.
    fn heads(&self, b: &mut Builder<'_, '_>, maps: &[NodeId]) -> Result<()> {
        let Table { towers, strides, kernel, .. } = self.table();
        for Tower { convs, last } in *towers {
            let filters = Filters::new(self.width, self.width, 3).bias();
            let convs: Vec<(&str, Conv)> = convs.iter().map(|name| Ok((*name, b.filters(name, filters)?))).collect::<Result<_>>()?;
            let mut results: Vec<(&Last, Conv)> = Vec::new();
            for last in *last {
                let channels = self.anchors() * last.channels.unwrap_or(self.classes);
                results.push((last, b.filters(last.tensors, Filters::new(self.width, channels, *kernel).bias())?));
            }
            for (&map, stride) in maps.iter().zip(strides) {
                let mut x = map;
                for (name, conv) in &convs {
                    x = b.add(&level(name, *stride), Op::Conv(conv.clone()), &[x])?;
                    x = b.activate(&level(&format!("{name}.relu"), *stride), x, Activation::Relu)?;
                }
                for (Last { result, tensors, .. }, conv) in &results {
                    let x = b.add(&level(tensors, *stride), Op::Conv(conv.clone()), &[x])?;
                    b.maps(&level(result, *stride), x);
                }
            }
        }
        Ok(())
    }

    /// Faster R-CNN's second stage.
    fn of_regions(&self, b: &mut Builder<'_, '_>, maps: &[NodeId], regions: NodeId) -> Result<()> {
        let align = RoiAlign {
            cells: [CELLS; 2],
            samples: 2,
            scales: REGIONS.strides[..maps.len()].iter().map(|stride| 1.0 / *stride as f32).collect(),
            aligned: false,
            // Of torchvision's 224 for the third map.
            side: 112.0,
        };
        let mut b = b.scope("roi_heads");
        let inputs: Vec<NodeId> = maps.iter().copied().chain([regions]).collect();
        let mut x = b.add("box_roi_pool", Op::RoiAlign(align), &inputs)?;
        for (name, kernel) in [("box_head.fc6", CELLS), ("box_head.fc7", 1)] {
            x = b.linear_of_parts(name, x, kernel, HIDDEN)?;
            x = b.activate(&format!("{name}.relu"), x, Activation::Relu)?;
        }
        for (result, name, each) in [("class_logits", "box_predictor.cls_score", 1), ("box_regression", "box_predictor.bbox_pred", 4)] {
            let x = b.linear_of_parts(name, x, 1, each * self.classes)?;
            b.maps(result, x);
        }
        Ok(())
    }

    /// The results of a head, as a card names them.
    fn joined(&self, result: &str) -> String {
        let outputs = self.table().strides.map(|stride| level(result, stride));
        format!(r#"{{"outputs":{outputs:?},"per_pixel":{}}}"#, self.anchors())
    }
}

/// A name at a stride, such as `cls_logits.p3` at 8.
fn level(name: &str, stride: usize) -> String {
    format!("{name}.p{}", stride.ilog2())
}

impl Family for GhostDetector {
    fn name(&self) -> String {
        self.table().name.into()
    }

    fn identity(&self) -> String {
        self.table().identity.into()
    }

    fn details(&self) -> String {
        format!("{} classes, maps of {} channels", self.classes, self.width)
    }

    /// From `input` `[n, 3, h, w]`, sides multiples of 32. The pyramid's maps are marked as
    /// features: `p3` and so on, by the stride's exponent.
    ///
    /// RetinaNet's results are `cls_logits.p3` to `.p7`, `[n, 9 * classes, h / 8, w / 8]` and so
    /// on, and `bbox_reg.p3` to `.p7`, `[n, 9 * 4, …]`.
    ///
    /// Faster R-CNN's are `objectness.p2` to `.p6`, `[n, 3, h / 4, w / 4]` and so on,
    /// `deltas.p2` to `.p6`, `[n, 3 * 4, …]`, and of its second input `regions`, `[n, r, 4]`,
    /// `class_logits` `[n, classes, r, 1]` and `box_regression` `[n, classes * 4, r, 1]`.
    fn graph(&self, source: &mut Source<'_>) -> Result<Graph> {
        let mut graph = Graph::new();
        let mut b = Builder::new(&mut graph, source);
        let input = b.input(3)?;
        let of_regions = TensorType::new(Element::F32, ["n", "h", "w=4"]).map_err(|what| Error::shape("regions", what))?;
        let regions = if self.head == Head::Regions { Some(b.input_of("regions", of_regions)?) } else { None };
        let mut maps = self.pyramid(&mut b, input, if regions.is_some() { &STAGES } else { &STAGES[1..] })?;
        let count = maps.len();
        if regions.is_some() {
            let half = Pool { kind: PoolKind::Max, kernel: [1; 2], stride: [2; 2], pad: [0; 2], pad_more: [0; 2] };
            maps.push(b.add("backbone.fpn.extra_blocks.pool", Op::Pool(half), &[maps[count - 1]])?);
        } else {
            self.two_more(&mut b, &mut maps)?;
        }
        for (map, stride) in maps.iter().zip(self.table().strides) {
            b.feature(&level("", stride)[1..], *map);
        }
        self.heads(&mut b, &maps)?;
        if let Some(regions) = regions {
            self.of_regions(&mut b, &maps[..count], regions)?;
        }
        Ok(graph)
    }

    fn card(&self) -> Result<Option<Card>> {
        let Table { name, strides, sizes, .. } = self.table();
        let priors =
            format!(r#""priors":{{"strides":{strides:?},"anchors":{{"sizes":{sizes:?},"ratios":{RATIOS:?},"round":true,"corner":true}}}}"#);
        let decoder = match self.head {
            Head::Retina => format!(
                r#"{priors},
                "score":{{"classes":{classes},"activation":"sigmoid","select":"each","per_level":1000}},
                "box":{{{BOX},"values":{boxes}}},"limit":300"#,
                classes = self.joined("cls_logits"),
                boxes = self.joined("bbox_reg"),
            ),
            Head::Regions => format!(
                r#""proposals":{{"input":"regions",{priors},
                    "score":{{"classes":{classes},"per_level":1000}},
                    "box":{{{BOX},"values":{boxes},"least":0.001}},"nms":{{"iou":0.7}},"limit":{MOST_REGIONS}}},
                "score":{{"classes":{{"outputs":["class_logits"]}},"activation":"softmax","skip_first":true,"select":"each"}},
                "box":{{{BOX},"scale":[0.1,0.2],"values":{{"outputs":["box_regression"]}},"per_class":true,"least":0.01}},"limit":100"#,
                classes = self.joined("objectness"),
                boxes = self.joined("deltas"),
            ),
        };
        let rest = r#""threshold":0.05,"nms":{"kind":"greedy","iou":0.5,"per_class":true}"#;
        Card::of_json(&format!(r#"{{"name":"{name}","task":"detect",{INPUT},{decoder},{rest}}}"#)).map(Some)
    }

    /// Boxes then lie beside their anchors, and scores are neither equal nor all 0 or 1.
    fn gain(&self) -> f64 {
        2.5
    }

    /// What GhostNet has behind its stages, which torchvision's files hold along.
    fn leaves_out(&self, name: &str) -> bool {
        let behind = ["blocks.9.", "conv_head.", "classifier."];
        name.strip_prefix("backbone.body.").is_some_and(|name| behind.iter().any(|part| name.starts_with(part)))
    }
}
