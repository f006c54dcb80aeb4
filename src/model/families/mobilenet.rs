//! MobileNetV2 (Sandler et al., CVPR 2018, table 2, arXiv 1801.04381) and MobileNetV3 (Howard et
//! al., ICCV 2019, tables 1 and 2, arXiv 1905.02244), with timm's tensor names.

use super::{Family, classes_of, make_divisible, untagged};
use crate::{
    Result,
    graph::{Activation, Graph, NodeId, Op},
    model::{
        builder::{Builder, Filters, Source},
        checkpoint::Checkpoint,
        families::ghostnet::squeeze_excite,
    },
};
use Activation::{HardSwish, Relu, Relu6};

/// Inverted residuals that are alike, but for the first's stride.
struct Row {
    count: usize,
    kernel: usize,
    stride: usize,
    /// Expanded channels of one input channel. Blocks of 1 have no expansion.
    expansion: f64,
    out: usize,
    squeeze_excite: bool,
    activation: Activation,
}

const fn row(count: usize, kernel: usize, stride: usize, expansion: f64, out: usize, se: u8, activation: Activation) -> Row {
    Row { count, kernel, stride, expansion, out, squeeze_excite: se == 1, activation }
}

struct Table {
    name: &'static str,
    stem: usize,
    /// Of the stem and behind the blocks.
    activation: Activation,
    /// By stages as timm numbers them (`blocks.STAGE.BLOCK`).
    stages: &'static [&'static [Row]],
    /// Channels of the 1x1 convolution between the blocks and the mean.
    last: usize,
    /// Channels of the layer between the mean and the classifier: MobileNetV3 has one.
    hidden: Option<usize>,
}

const TABLES: [Table; 3] = [
    Table {
        name: "mobilenetv2_100",
        stem: 32,
        activation: Relu6,
        stages: &[
            &[row(1, 3, 1, 1.0, 16, 0, Relu6)],
            &[row(2, 3, 2, 6.0, 24, 0, Relu6)],
            &[row(3, 3, 2, 6.0, 32, 0, Relu6)],
            &[row(4, 3, 2, 6.0, 64, 0, Relu6)],
            &[row(3, 3, 1, 6.0, 96, 0, Relu6)],
            &[row(3, 3, 2, 6.0, 160, 0, Relu6)],
            &[row(1, 3, 1, 6.0, 320, 0, Relu6)],
        ],
        last: 1280,
        hidden: None,
    },
    Table {
        name: "mobilenetv3_small_100",
        stem: 16,
        activation: HardSwish,
        stages: &[
            &[row(1, 3, 2, 1.0, 16, 1, Relu)],
            &[row(1, 3, 2, 4.5, 24, 0, Relu), row(1, 3, 1, 3.67, 24, 0, Relu)],
            &[row(1, 5, 2, 4.0, 40, 1, HardSwish), row(2, 5, 1, 6.0, 40, 1, HardSwish)],
            &[row(2, 5, 1, 3.0, 48, 1, HardSwish)],
            &[row(3, 5, 2, 6.0, 96, 1, HardSwish)],
        ],
        last: 576,
        hidden: Some(1024),
    },
    Table {
        name: "mobilenetv3_large_100",
        stem: 16,
        activation: HardSwish,
        stages: &[
            &[row(1, 3, 1, 1.0, 16, 0, Relu)],
            &[row(1, 3, 2, 4.0, 24, 0, Relu), row(1, 3, 1, 3.0, 24, 0, Relu)],
            &[row(3, 5, 2, 3.0, 40, 1, Relu)],
            &[row(1, 3, 2, 6.0, 80, 0, HardSwish), row(1, 3, 1, 2.5, 80, 0, HardSwish), row(2, 3, 1, 2.3, 80, 0, HardSwish)],
            &[row(2, 3, 1, 6.0, 112, 1, HardSwish)],
            &[row(3, 5, 2, 6.0, 160, 1, HardSwish)],
        ],
        last: 960,
        hidden: Some(1280),
    },
];

/// Both papers round to multiples of 8.
const DIVISOR: usize = 8;

/// A MobileNet of width 1.
#[derive(Clone)]
pub struct MobileNet {
    table: &'static Table,
    classes: usize,
}

impl MobileNet {
    fn new(table: &'static Table) -> Self {
        Self { table, classes: 1000 }
    }

    pub(super) fn names() -> Vec<&'static str> {
        TABLES.iter().map(|table| table.name).collect()
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        TABLES.iter().find(|table| table.name == name).map(Self::new)
    }

    /// The one that the file names or its head's shape tells; `None` of another family's.
    pub(super) fn of(checkpoint: &Checkpoint) -> Result<Option<Self>> {
        let network = match &checkpoint.config().architecture {
            Some(name) => Self::named(untagged(name)),
            None if checkpoint.get("blocks.0.0.conv_dw.weight").is_some() => {
                let head = checkpoint.shape("conv_head.weight").unwrap_or_default();
                TABLES.iter().find(|table| head.starts_with(&table.head())).map(Self::new)
            }
            None => None,
        };
        let Some(network) = network else { return Ok(None) };
        Ok(Some(Self { classes: classes_of(checkpoint, "classifier")?, ..network }))
    }

    fn block(&self, b: &mut Builder<'_, '_>, input: NodeId, c: usize, row: &Row, stride: usize) -> Result<NodeId> {
        let expanded = make_divisible(c as f64 * row.expansion, DIVISOR);
        // PyTorch's names: the projection of a block without an expansion is its `conv_pw`.
        let (mut x, names) = match row.expansion == 1.0 {
            true => (input, [["conv_dw", "bn1"], ["conv_pw", "bn2"]]),
            false => {
                let x = b.conv_norm(["conv_pw", "bn1"], input, Filters::new(c, expanded, 1))?;
                (b.activate("act1", x, row.activation)?, [["conv_dw", "bn2"], ["conv_pwl", "bn3"]])
            }
        };
        x = b.conv_norm(names[0], x, Filters::new(expanded, expanded, row.kernel).stride(stride).depthwise())?;
        x = b.activate("act2", x, row.activation)?;
        if row.squeeze_excite {
            x = squeeze_excite(&mut b.scope("se"), x, [expanded, make_divisible(expanded as f64 * 0.25, DIVISOR)])?;
        }
        x = b.conv_norm(names[1], x, Filters::new(expanded, row.out, 1))?;
        if c == row.out && stride == 1 { b.add("add", Op::Add, &[x, input]) } else { Ok(x) }
    }
}

impl Table {
    /// Output and input channels of timm's `conv_head`: the 1x1 convolution in front of the mean,
    /// or the hidden layer behind it.
    fn head(&self) -> [usize; 2] {
        let out = self.stages.last().and_then(|stage| stage.last()).map_or(self.stem, |row| row.out);
        self.hidden.map_or([self.last, out], |hidden| [hidden, self.last])
    }
}

impl Family for MobileNet {
    fn name(&self) -> String {
        self.table.name.into()
    }

    fn identity(&self) -> String {
        "width 1".into()
    }

    fn details(&self) -> String {
        format!("{} classes", self.classes)
    }

    fn graph(&self, source: &mut Source<'_>) -> Result<Graph> {
        let Table { stem, activation, stages, last, hidden, .. } = *self.table;
        let mut graph = Graph::new();
        let mut b = Builder::new(&mut graph, source);
        let input = b.input(3)?;
        let x = b.conv_norm(["conv_stem", "bn1"], input, Filters::new(3, stem, 3).stride(2))?;
        let (mut x, mut c) = (b.activate("act1", x, activation)?, stem);
        for (s, stage) in stages.iter().enumerate() {
            let blocks = stage.iter().flat_map(|row| (0..row.count).map(move |at| (row, if at == 0 { row.stride } else { 1 })));
            for (at, (row, stride)) in blocks.enumerate() {
                x = self.block(&mut b.scope(&format!("blocks.{s}.{at}")), x, c, row, stride)?;
                c = row.out;
            }
        }
        if let Some(hidden) = hidden {
            let mut block = b.scope(&format!("blocks.{}.0", stages.len()));
            let y = block.conv_norm(["conv", "bn1"], x, Filters::new(c, last, 1))?;
            let y = block.activate("act", y, activation)?;
            let y = b.add("global_pool", Op::GlobalPool, &[y])?;
            let y = b.conv("conv_head", y, Filters::new(last, hidden, 1).bias())?;
            x = b.activate("act2", y, activation)?;
        } else {
            let y = b.conv_norm(["conv_head", "bn2"], x, Filters::new(c, last, 1))?;
            let y = b.activate("act2", y, activation)?;
            x = b.add("global_pool", Op::GlobalPool, &[y])?;
        }
        b.embedding(x);
        let logits = b.linear("classifier", x, self.classes)?;
        b.vectors("logits", logits);
        Ok(graph)
    }

    fn gain(&self) -> f64 {
        4.0
    }
}
