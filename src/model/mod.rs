//! Networks: an architecture with its weights and what is known about them. This names no GPU:
//! [`crate::Model`] is a network on a device.

mod builder;
pub(crate) mod card;
pub mod checkpoint;
pub mod families;
pub mod formula;

pub use builder::Source;

use crate::{
    Error, Result,
    graph::{Graph, NodeId, Shape},
    image_input::Preprocess,
    text::decimal,
};
use card::Card;
use checkpoint::{Checkpoint, Config};
use families::ghostnet::{self, GhostNet};
use std::{path::Path, sync::Arc};

/// Names of the architectures that [`Network`] builds.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    GhostNet::names()
}

/// The name of the embedded network.
pub const EMBEDDED: &str = "ghostnet_050_cifar10";

static EMBEDDED_WEIGHTS: &[u8] = include_bytes!("../../assets/ghostnet_050_cifar10.safetensors");

/// A network with its weights, on no device yet. Cloning is cheap: weights are shared.
#[derive(Debug, Clone)]
pub struct Network {
    card: Card,
    architecture: GhostNet,
    weights: Weights,
    params: u64,
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
    /// The embedded network: GhostNet 0.5 for 32 x 32 images of the ten classes of CIFAR-10. It is
    /// part of the library, and no file is read.
    pub fn embedded() -> Result<Self> {
        let mut network = Self::from_checkpoint(Checkpoint::from_bytes(EMBEDDED, EMBEDDED_WEIGHTS)?)?;
        network.card.name = EMBEDDED.into();
        Ok(network)
    }

    /// The network of a weights file: safetensors with timm's names, or an official PyTorch
    /// checkpoint (feature `pth`).
    ///
    /// The architecture comes from the file's metadata, a `config.json` beside it, or the width of
    /// its stem.
    ///
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
        let architecture = GhostNet::of(&checkpoint)?;
        let network = Self::described(architecture, checkpoint.config());
        let expected = network.tensors()?;
        checkpoint.check(&expected)?;
        let labels = &network.card.labels;
        if !labels.is_empty() && labels.len() != network.architecture.classes {
            let what = format!("{} labels for {} classes", labels.len(), network.architecture.classes);
            return Err(Error::weights(checkpoint.file(), what));
        }
        Ok(Self { weights: Weights::Checkpoint(Arc::new(checkpoint)), ..network })
    }

    /// An architecture by name with weights from a formula, for timing and tests: its answers mean
    /// nothing.
    pub fn random(name: &str, seed: u64) -> Result<Self> {
        let mut network = Self::random_of(GhostNet::named(name)?, seed);
        network.card.name = name.into();
        Ok(network)
    }

    /// Any GhostNet with weights from a formula: see [`Network::random`].
    pub fn random_of(architecture: GhostNet, seed: u64) -> Self {
        Self { weights: Weights::Formula(seed), ..Self::described(architecture, &Config::default()) }
    }

    fn described(architecture: GhostNet, config: &Config) -> Self {
        let card = Card::new(config, architecture.classes, || architecture.name());
        let mut network = Self { card, architecture, weights: Weights::Formula(0), params: 0 };
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

    /// The graph from an input to the five maps that timm's `features_only` gives, at strides 2, 4,
    /// 8, 16 and 32 (with the usual stem). They are the stem's convolution before its BatchNorm,
    /// then the outputs of stages 1, 3, 5 and 7.
    pub fn feature_graph(&self) -> Result<Graph> {
        self.build(true)
    }

    /// Names of the modules that make ghosts, in order.
    pub fn ghost_modules(&self) -> Result<Vec<String>> {
        Ok(ghostnet::modules(&self.graph()?).into_iter().map(|module| module.name).collect())
    }

    /// The graph from an input to the maps of one of [`Network::ghost_modules`], and how many of
    /// these are intrinsic. Those come first.
    pub fn ghost_graph(&self, module: &str) -> Result<(Graph, usize)> {
        let graph = self.graph()?;
        let found = ghostnet::modules(&graph).into_iter().find(|m| m.name == module);
        let found = found.ok_or_else(|| Error::Model(format!("no ghost module is called `{module}`")))?;
        Ok((graph.up_to(module, found.result), found.intrinsic))
    }

    /// Fails unless this is the architecture `name`, which leaves open the classes and the stem's
    /// stride. `origin` names the weights.
    pub fn check_architecture(&self, name: &str, origin: &str) -> Result<()> {
        let wanted = GhostNet::named(name)?.width;
        if self.architecture.width == wanted {
            return Ok(());
        }
        let what = format!("holds {} ({}), not {name} (width {})", self.name(), self.architecture.description(), decimal(wanted));
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
        &self.card.name
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
        &self.card.labels
    }

    /// Names the classes, one a line.
    ///
    /// # Errors
    /// [`Error::Model`] unless there are as many lines as classes.
    pub fn name_classes(&mut self, lines: &str) -> Result<()> {
        let (labels, classes) = (card::of_lines(lines), self.classes());
        if labels.len() != classes {
            return Err(Error::Model(format!("{} labels for {classes} classes", labels.len())));
        }
        self.card.labels = labels;
        Ok(())
    }

    /// A class's name, or `class N`.
    pub fn label(&self, class: usize) -> String {
        self.card.label(class)
    }

    /// What it expects of its input image.
    pub fn preprocess(&self) -> &Preprocess {
        &self.card.preprocess
    }

    /// Share of its data's test images that it names right, 0 to 1, as its file says.
    pub fn test_top1(&self) -> Option<f32> {
        self.card.test_top1
    }

    /// Whether the weights come from a formula and the answers mean nothing.
    pub fn is_random(&self) -> bool {
        matches!(self.weights, Weights::Formula(_))
    }

    /// Parameters and multiply-adds at its usual input size.
    pub fn summary(&self) -> Result<Summary> {
        let [h, w] = self.card.preprocess.size;
        let graph = self.architecture.graph(&mut Source::zeros(), false)?;
        let shapes = graph.shapes(Shape::new(1, 3, h, w))?;
        let macs = (0..graph.nodes().len()).map(|at| graph.macs(NodeId(at), &shapes)).sum();
        Ok(Summary { name: self.card.name.clone(), input: [3, h, w], params: self.params, macs })
    }
}
