//! Networks: an architecture with its weights and what is known about them. Names no GPU: [`crate::Model`] is a network on a device.

pub mod checkpoint;
pub mod formula;
pub mod ghostnet;
mod labels;

use crate::{
    Error, Result,
    graph::{Graph, Shape},
    image_input::Preprocess,
    text::decimal,
};
use checkpoint::{Checkpoint, Config};
use ghostnet::{GhostNet, Source, WIDTHS};
use std::{path::Path, sync::Arc};

/// Names of the architectures that [`Network`] builds.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    WIDTHS.iter().map(|(name, _)| *name)
}

/// The name of the embedded network.
pub const EMBEDDED: &str = "ghostnet_050_cifar10";

static EMBEDDED_WEIGHTS: &[u8] = include_bytes!("../../assets/ghostnet_050_cifar10.safetensors");

/// A network with its weights, on no device yet. Cloning is cheap: weights are shared.
#[derive(Debug, Clone)]
pub struct Network {
    name: String,
    architecture: GhostNet,
    weights: Weights,
    labels: Arc<[String]>,
    preprocess: Preprocess,
    params: u64,
    test_top1: Option<f32>,
}

#[derive(Debug, Clone)]
enum Weights {
    Formula(u64),
    Checkpoint(Arc<Checkpoint>),
}

/// What `ghostnet models` lists.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The network's name.
    pub name: String,
    /// Its usual input: channels, rows, columns.
    pub input: [usize; 3],
    /// Trainable parameters as PyTorch counts them: weights, biases, BatchNorm's scale and shift.
    pub params: u64,
    /// Multiply-adds of convolutions and linear layers for one image of that size.
    pub macs: u64,
}

impl Network {
    /// The embedded network: GhostNet 0.5 for 32 x 32 images of the ten classes of CIFAR-10. Part of the library; no file is read.
    pub fn embedded() -> Result<Self> {
        let checkpoint = Checkpoint::from_bytes(EMBEDDED, EMBEDDED_WEIGHTS)?;
        Ok(Self { name: EMBEDDED.into(), ..Self::from_checkpoint(checkpoint)? })
    }

    /// The network of a weights file: safetensors with timm's names, or an official PyTorch checkpoint (feature `pth`).
    ///
    /// The architecture comes from the file's metadata, a `config.json` beside it, or the width of its stem.
    /// Errors: [`Error::Io`], [`Error::Weights`] with the tensor's name and both shapes.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::from_checkpoint(Checkpoint::open(path.as_ref())?)
    }

    /// As [`Network::open`], for safetensors in memory; `origin` names them in messages.
    pub fn from_bytes(origin: &str, bytes: &[u8]) -> Result<Self> {
        Self::from_checkpoint(Checkpoint::from_bytes(origin, bytes)?)
    }

    /// The network whose weights these are.
    pub fn from_checkpoint(checkpoint: Checkpoint) -> Result<Self> {
        let architecture = architecture_of(&checkpoint)?;
        let network = Self::described(architecture, checkpoint.config());
        let expected = network.tensors()?;
        checkpoint.check(&expected)?;
        let labels = &network.labels;
        if !labels.is_empty() && labels.len() != network.architecture.classes {
            let what = format!("{} labels for {} classes", labels.len(), network.architecture.classes);
            return Err(Error::Weights { file: checkpoint.file().to_path_buf(), what });
        }
        Ok(Self { weights: Weights::Checkpoint(Arc::new(checkpoint)), ..network })
    }

    /// An architecture by name with weights from a formula, for timing and tests: its answers mean nothing.
    pub fn random(name: &str, seed: u64) -> Result<Self> {
        let architecture = GhostNet::new(width_of(name)?);
        Ok(Self { name: name.into(), weights: Weights::Formula(seed), ..Self::described(architecture, &Config::default()) })
    }

    /// Any GhostNet with weights from a formula: see [`Network::random`].
    pub fn random_of(architecture: GhostNet, seed: u64) -> Self {
        Self { weights: Weights::Formula(seed), ..Self::described(architecture, &Config::default()) }
    }

    fn described(architecture: GhostNet, config: &Config) -> Self {
        let name = config.architecture.clone().unwrap_or_else(|| name_of(&architecture));
        let labels = match &config.labels {
            Some(labels) => labels.clone().into(),
            None if architecture.classes == 1000 => labels::imagenet(),
            None => Arc::from([]),
        };
        let mut network = Self {
            name,
            labels,
            preprocess: config.preprocess.clone().unwrap_or_default(),
            params: 0,
            test_top1: config.test_top1,
            weights: Weights::Formula(0),
            architecture,
        };
        let counted = |name: &str| !name.ends_with(".running_mean") && !name.ends_with(".running_var");
        let tensors = network.tensors().unwrap_or_default();
        network.params = tensors.iter().filter(|(n, _)| counted(n)).map(|(_, shape)| shape.iter().product::<usize>() as u64).sum();
        network
    }

    /// Names and shapes of all weights, in the order of the network.
    pub fn tensors(&self) -> Result<Vec<(String, Vec<usize>)>> {
        let mut source = Source::zeros();
        self.architecture.graph(&mut source, false)?;
        Ok(source.tensors)
    }

    /// The graph from an input `[n, 3, h, w]` to `logits` `[n, classes, 1, 1]`, before any pass.
    pub fn graph(&self) -> Result<Graph> {
        self.build(false)
    }

    /// The graph from an input to the five maps that timm's `features_only` gives, at strides 2, 4, 8, 16 and 32 (with the usual stem):
    /// the stem's convolution before its BatchNorm, then the outputs of stages 1, 3, 5 and 7.
    pub fn feature_graph(&self) -> Result<Graph> {
        self.build(true)
    }

    /// Names of the modules that make ghosts, in order.
    pub fn ghost_modules(&self) -> Result<Vec<String>> {
        Ok(ghostnet::modules(&self.graph()?).into_iter().map(|module| module.name).collect())
    }

    /// The graph from an input to the maps of one of [`Network::ghost_modules`], and how many of these are intrinsic; they come first.
    pub fn ghost_graph(&self, module: &str) -> Result<(Graph, usize)> {
        let graph = self.graph()?;
        let found = ghostnet::modules(&graph).into_iter().find(|m| m.name == module);
        let found = found.ok_or_else(|| Error::Model(format!("no ghost module is called `{module}`")))?;
        Ok((graph.up_to(module, found.result), found.intrinsic))
    }

    /// Fails unless this is the architecture `name`, which leaves open the classes and the stem's stride; `origin` names the weights.
    pub fn check_architecture(&self, name: &str, origin: &str) -> Result<()> {
        let wanted = width_of(name)?;
        let GhostNet { width, classes, stem_stride, .. } = self.architecture;
        if width == wanted {
            return Ok(());
        }
        let [width, wanted] = [width, wanted].map(decimal);
        let what =
            format!("holds {} (width {width}, {classes} classes, stem stride {stem_stride}), not {name} (width {wanted})", self.name);
        Err(Error::weights(origin, what))
    }

    fn build(&self, features: bool) -> Result<Graph> {
        let mut source = match &self.weights {
            Weights::Formula(seed) => Source::formula(*seed),
            Weights::Checkpoint(checkpoint) => Source::checkpoint(checkpoint),
        };
        self.architecture.graph(&mut source, features)
    }

    /// The network's name: its architecture's, or that of the embedded one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What distinguishes it from other GhostNets.
    pub fn architecture(&self) -> &GhostNet {
        &self.architecture
    }

    /// How many classes it tells apart.
    pub fn classes(&self) -> usize {
        self.architecture.classes
    }

    /// The classes' names; empty where nobody named them.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Whether its classes are ImageNet's and have no names yet: those are a file of their own in a browser.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn lacks_names(&self) -> bool {
        self.labels.is_empty() && self.architecture.classes == 1000
    }

    /// Names the classes, one a line.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn name_classes(&mut self, lines: &str) {
        self.labels = labels::of_lines(lines);
    }

    /// A class's name, or `class N`.
    pub fn label(&self, class: usize) -> String {
        self.labels.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
    }

    /// What it expects of its input image.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Share of its data's test images that it names right, 0 to 1, as its file says.
    pub fn test_top1(&self) -> Option<f32> {
        self.test_top1
    }

    /// Whether the weights come from a formula and the answers mean nothing.
    pub fn is_random(&self) -> bool {
        matches!(self.weights, Weights::Formula(_))
    }

    /// Parameters and multiply-adds at its usual input size.
    pub fn summary(&self) -> Result<Summary> {
        let [h, w] = self.preprocess.size;
        let graph = self.architecture.graph(&mut Source::zeros(), false)?;
        let shapes = graph.shapes(Shape::new(1, 3, h, w))?;
        let macs = (0..graph.nodes().len()).map(|at| graph.macs(crate::graph::NodeId(at), &shapes)).sum();
        Ok(Summary { name: self.name.clone(), input: [3, h, w], params: self.params, macs })
    }
}

fn width_of(name: &str) -> Result<f64> {
    // timm appends the training data's tag: ghostnet_100.in1k.
    let plain = name.split('.').next().unwrap_or(name);
    let known = || WIDTHS.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
    let found = WIDTHS.iter().find(|(n, _)| *n == plain);
    found.map(|(_, width)| *width).ok_or_else(|| Error::Model(format!("no network is called `{name}`; there are {}", known())))
}

fn name_of(architecture: &GhostNet) -> String {
    let named = WIDTHS.iter().find(|(_, width)| *width == architecture.width);
    named.map_or_else(|| format!("ghostnet_{:03}", (architecture.width * 100.0).round() as u64), |(name, _)| name.to_string())
}

fn architecture_of(checkpoint: &Checkpoint) -> Result<GhostNet> {
    let config = checkpoint.config();
    let fail = |what: String| Error::Weights { file: checkpoint.file().to_path_buf(), what };
    let width = match &config.architecture {
        Some(name) => width_of(name).map_err(|error| fail(error.to_string()))?,
        None => {
            let stem = checkpoint.shape("conv_stem.weight").ok_or_else(|| fail("no tensor `conv_stem.weight`: not a GhostNet".into()))?;
            let channels = stem.first().copied().unwrap_or(0);
            let known = |(_, width): &&(&str, f64)| GhostNet::new(*width).stem_channels() == channels;
            let (_, width) = WIDTHS.iter().find(known).ok_or_else(|| {
                fail(format!("`conv_stem.weight` has {channels} output channels; widths 0.5, 1.0 and 1.3 have 8, 16 and 20"))
            })?;
            *width
        }
    };
    let classes = checkpoint.shape("classifier.weight").and_then(|s| s.first().copied());
    let classes = classes.ok_or_else(|| fail("no tensor `classifier.weight`: not a GhostNet with its classifier".into()))?;
    match config.num_classes {
        Some(stated) if stated != classes => return Err(fail(format!("num_classes is {stated}, `classifier.weight` has {classes} rows"))),
        _ if classes == 0 => return Err(fail("`classifier.weight` has no rows".into())),
        _ => {}
    }
    Ok(GhostNet { classes, stem_stride: config.stem_stride.unwrap_or(2), ..GhostNet::new(width) })
}
