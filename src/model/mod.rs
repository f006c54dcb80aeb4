//! Networks: a graph with its weights, and what is known about it. Names no GPU: [`crate::Model`]
//! is a network on a device.

mod builder;
pub(crate) mod card;
pub mod checkpoint;
pub mod families;
pub mod formula;
#[cfg(not(target_arch = "wasm32"))]
mod ghostify;
mod one_file;
mod onnx;
#[cfg(not(target_arch = "wasm32"))]
mod pytorch;

pub use builder::Source;
pub use card::{Card, Task};
pub use families::{Published, published};
#[cfg(not(target_arch = "wasm32"))]
pub use one_file::Stored;
pub use onnx::Open;

#[cfg(not(target_arch = "wasm32"))]
use crate::detect::{Detector, Finder, Landmarker};
use crate::{
    Error, Result,
    graph::{Constant, GhostMapsOf, Graph, NodeId, Op, Output, Shape, TensorType, passes},
    image_input::Preprocess,
};
use checkpoint::{Checkpoint, Config};
use families::Family;
use std::{borrow::Cow, collections::HashSet, path::Path, sync::Arc};

/// Names of the architectures that [`Network`] builds.
pub fn architectures() -> impl Iterator<Item = &'static str> {
    families::names()
}

/// Whether [`Network`] builds an architecture of this name.
pub fn is_architecture(name: &str) -> bool {
    families::named(name).is_ok()
}

/// What an architecture of this name is.
///
/// # Errors
/// [`Error::Model`] where no network has the name.
pub fn summary(name: &str) -> Result<Summary> {
    Network::build(&*families::named(name)?, &mut Source::zeros(), &Config::default())?.summary()
}

/// The name of the embedded network.
pub const EMBEDDED: &str = "ghostnet_050_cifar10";

static EMBEDDED_WEIGHTS: &[u8] = include_bytes!("../../assets/ghostnet_050_cifar10.safetensors");

/// A network on no device yet: a graph, its weights, and a [`Card`] that says what it is for.
/// Cloning is cheap: weights are shared.
#[derive(Debug, Clone)]
pub struct Network {
    graph: Arc<Graph>,
    card: Card,
    /// What its card's decoder says.
    #[cfg(not(target_arch = "wasm32"))]
    finder: Option<Arc<Finder>>,
    /// What family it is of, if it is of one.
    architecture: Option<Architecture>,
    is_random: bool,
    /// Inputs of an ONNX file that became constants.
    constants: Vec<String>,
    notes: Arc<[String]>,
}

/// Which network of which family.
#[derive(Debug, Clone, PartialEq)]
struct Architecture {
    name: String,
    identity: String,
    details: String,
}

/// What `ghostnet models` lists.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The network's name.
    pub name: String,
    /// Its usual input: channels, rows, columns.
    pub input: [usize; 3],
    /// Trainable parameters as PyTorch counts them: weights, biases, BatchNorm's scale and shift.
    /// Branches that are merged at load count as what they become.
    pub params: u64,
    /// Multiply-adds of convolutions and linear layers for one image of that size.
    pub macs: u64,
}

impl Network {
    /// The embedded network: GhostNet 0.5 for 32 x 32 images of the ten classes of CIFAR-10. Part
    /// of the library; no file is read.
    pub fn embedded() -> Result<Self> {
        let mut network = Self::from_checkpoint(&Checkpoint::from_bytes(EMBEDDED, EMBEDDED_WEIGHTS)?)?;
        network.card.name = EMBEDDED.into();
        Ok(network)
    }

    /// A network of one's own: any graph, with what is known of it.
    ///
    /// # Errors
    /// [`Error::Model`] where the card does not fit the graph: labels that are not as many as
    /// classes, an input or a result that the graph has not. [`Error::Shape`] where a result is of
    /// a node that the graph has not.
    pub fn new(graph: Graph, card: Card) -> Result<Self> {
        graph.check_ends()?;
        let network = Self {
            graph: Arc::new(graph),
            card: Card::default(),
            #[cfg(not(target_arch = "wasm32"))]
            finder: None,
            architecture: None,
            is_random: false,
            constants: Vec::new(),
            notes: Arc::from([]),
        };
        network.with_card(card)
    }

    /// Inputs of an ONNX file that became the constants which [`Open::given`] has for them.
    pub fn constants(&self) -> &[String] {
        &self.constants
    }

    /// The network with another card.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn with_card(self, card: Card) -> Result<Self> {
        let network = Self { card, ..self };
        // In a page a module of its own reads it.
        #[cfg(not(target_arch = "wasm32"))]
        let network = {
            let wrong = |what: String| Error::Model(format!("{}: {what}", network.name()));
            let finder = Finder::of(network.card.decoder.as_deref()).map_err(wrong)?;
            finder.iter().try_for_each(|finder| finder.check(&network.graph, network.card.labels.len())).map_err(wrong)?;
            Self { finder: finder.map(Arc::new), ..network }
        };
        let (card, graph) = (&network.card, &network.graph);
        let missing = |what: &str, name: &str, there: Vec<&str>| {
            Err(Error::Model(format!("the card names the {what} `{name}`, the graph has {}", there.join(", "))))
        };
        let inputs: HashSet<&str> = graph.inputs().iter().map(|input| &*input.name).collect();
        if let Some((name, _)) = card.inputs.iter().find(|(name, _)| !inputs.contains(&**name)) {
            return missing("input", name, graph.inputs().iter().map(|input| &*input.name).collect());
        }
        let outputs: HashSet<&str> = graph.result_names().collect();
        if let Some((name, _)) = card.outputs.iter().find(|(name, _)| !outputs.contains(&**name)) {
            return missing("result", name, graph.result_names().collect());
        }
        match (card.labels.len(), network.classes()) {
            _ if network.card.decoder.is_some() => Ok(network),
            (0, _) => Ok(network),
            (labels, classes) if labels == classes => Ok(network),
            (labels, classes) => Err(Error::Model(format!("{labels} labels for {classes} classes"))),
        }
    }

    /// The network of a weights file: safetensors with timm's names, an official PyTorch
    /// checkpoint (feature `pth`), a one-file network, which holds its graph too, or an ONNX file.
    ///
    /// The architecture comes from the file's metadata, a `config.json` beside it, or the width of
    /// its stem.
    ///
    /// Errors: [`Error::Io`], [`Error::Weights`] with the tensor's name and both shapes.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &Open::default())
    }

    /// As [`Network::open`], with what an ONNX file leaves open.
    pub fn open_with(path: impl AsRef<Path>, open: &Open<'_>) -> Result<Self> {
        let path = path.as_ref();
        match onnx::bytes(path)? {
            Some(bytes) => onnx::read(path, &bytes, open, Some(path.parent().unwrap_or(Path::new("")))),
            None => Self::from_checkpoint(&Checkpoint::open(path)?),
        }
    }

    /// As [`Network::open`], for safetensors or an ONNX file in memory; `origin` names them in
    /// messages.
    pub fn from_bytes(origin: &str, bytes: &[u8]) -> Result<Self> {
        if onnx::is_onnx(&bytes[..bytes.len().min(onnx::HEAD_BYTES)]) {
            return onnx::read(Path::new(origin), bytes, &Open::default(), None);
        }
        Self::from_checkpoint(&Checkpoint::from_bytes(origin, bytes)?)
    }

    /// As [`Network::from_bytes`], with the `config.json` that lies beside the file on a hub, which
    /// says what the file leaves open. An ONNX file leaves it aside, as [`Network::open`] does.
    ///
    /// # Errors
    /// [`Error::Weights`], of either.
    pub fn from_bytes_with(origin: &str, bytes: &[u8], config: &[u8]) -> Result<Self> {
        if onnx::is_onnx(&bytes[..bytes.len().min(onnx::HEAD_BYTES)]) {
            return Self::from_bytes(origin, bytes);
        }
        Self::from_checkpoint(&Checkpoint::from_bytes_with(origin, bytes, config)?)
    }

    /// The network whose weights these are.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self> {
        if let Some(said) = checkpoint.one_file() {
            return one_file::read(checkpoint, said);
        }
        let mut named = Cow::Borrowed(checkpoint);
        for first in families::FIRST_TENSORS {
            named = Cow::Owned(named.with_first(first).into_owned());
            // The backbone of another network may lie there.
            if named.get(first).is_some() && families::of(&named).is_ok() {
                break;
            }
        }
        let checkpoint = &*named;
        let family = families::of(checkpoint)?;
        #[cfg(not(target_arch = "wasm32"))]
        let checkpoint = &checkpoint.without(&|name| family.leaves_out(name));
        let mut source = Source::checkpoint(checkpoint);
        let built = Self::build(&*family, &mut source, checkpoint.config());
        // Where a tensor is missing, the network tells which there should be.
        let mut all = Source::zeros();
        if built.is_err() {
            let _ = family.graph(&mut all);
        }
        checkpoint.check(if built.is_err() { &all.tensors } else { &source.tensors })?;
        let network = built.map_err(|error| match error {
            Error::Model(what) => Error::weights(checkpoint.file(), what),
            error => error,
        })?;
        Ok(Self { notes: checkpoint.notes().into(), ..network })
    }

    /// An architecture by name with weights from a formula, for timing and tests: its answers mean
    /// nothing.
    pub fn random(name: &str, seed: u64) -> Result<Self> {
        let mut network = Self::random_of(&*families::named(name)?, seed)?;
        network.card.name = name.into();
        Ok(network)
    }

    /// A network of a family with weights from a formula: see [`Network::random`].
    ///
    /// # Errors
    /// [`Error::Shape`] where the family cannot be built so.
    pub fn random_of(family: &dyn Family, seed: u64) -> Result<Self> {
        let network = Self::build(family, &mut Source::formula_of(seed, family.gain()), &Config::default())?;
        Ok(Self { is_random: true, ..network })
    }

    /// The same network with weights from a formula: see [`Network::random`].
    pub fn randomised(&self, seed: u64) -> Self {
        let mut graph = Graph::clone(&self.graph);
        for Constant { name, shape, data } in &mut graph.constants {
            *data = formula::values(name, seed, shape).into();
        }
        Self { graph: Arc::new(graph), is_random: true, ..self.clone() }
    }

    fn build(family: &dyn Family, source: &mut Source<'_>, config: &Config) -> Result<Self> {
        let mut graph = family.graph(source)?;
        graph.check_ends()?;
        // Now rather than by the passes, which see normalisations folded, and so rounded, already.
        if passes::merge_branches::run(&mut graph) > 0 {
            graph.compact();
        }
        let architecture = Architecture { name: family.name(), identity: family.identity(), details: family.details() };
        let classes = graph.outputs().first().map_or(0, |output| graph.channels(output.node));
        let preprocess = config.preprocess.clone().unwrap_or_else(|| family.preprocess());
        let config = Config { preprocess: Some(preprocess), ..config.clone() };
        let card = Card::of(&config, classes, || architecture.name.clone());
        // Pages have no family of detectors.
        #[cfg(not(target_arch = "wasm32"))]
        let card = match family.card()? {
            // Its decoder says how a picture becomes the input, and nothing tells who has no names.
            Some(own) => {
                let said = Card { inputs: Vec::new(), ..Card::of(&config, 0, || architecture.name.clone()) };
                Card { name: String::new(), ..own }.or(said)
            }
            None => card,
        };
        Ok(Self { architecture: Some(architecture), ..Self::new(graph, card)? })
    }

    /// The graph before any pass, features marked.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The graph from an input to the features that its builder marked, such as the maps at strides
    /// 2, 4, 8, 16 and 32 that timm's `features_only` gives of a GhostNet.
    ///
    /// # Errors
    /// [`Error::Model`] where none is marked.
    pub fn feature_graph(&self) -> Result<Graph> {
        if self.graph.features().is_empty() {
            return Err(Error::Model(format!("{} has no features: no node is marked as one", self.name())));
        }
        let output = |(name, node): &(String, NodeId)| Output { name: name.clone(), node: *node, tensor: TensorType::maps() };
        Ok(self.graph.up_to(self.graph.features().iter().map(output).collect()))
    }

    /// The graph from an input to what describes the whole of it, `[n, c]`: what its builder
    /// marked, else what the last linear layer reads.
    ///
    /// # Errors
    /// [`Error::Model`] where there is neither.
    pub fn embedding_graph(&self) -> Result<Graph> {
        let last = || {
            let mut node = self.graph.outputs().first()?.node;
            while let Op::Activate(_) = self.graph.node(node).op {
                node = self.graph.node(node).inputs[0];
            }
            matches!(self.graph.node(node).op, Op::Linear { .. }).then(|| self.graph.node(node).inputs[0])
        };
        let node = self.graph.embedding().or_else(last);
        let node = node.ok_or_else(|| Error::Model(format!("{} has no pooled features: its result is of no linear layer", self.name())))?;
        Ok(self.graph.up_to(vec![Output { name: "embedding".into(), node, tensor: TensorType::vectors() }]))
    }

    /// Names of the modules that make ghosts, in order.
    pub fn ghost_modules(&self) -> Vec<String> {
        self.graph.ghost_modules().into_iter().map(|module| module.module).collect()
    }

    /// Where the maps of one of [`Network::ghost_modules`] are.
    pub(crate) fn ghost_module(&self, module: &str) -> Result<GhostMapsOf> {
        let found = self.graph.ghost_modules().into_iter().find(|known| known.module == module);
        found.ok_or_else(|| Error::Model(format!("no ghost module is called `{module}`")))
    }

    /// The graph from an input to the maps of a ghost module.
    pub(crate) fn ghost_graph(&self, of: &GhostMapsOf) -> Graph {
        self.graph.up_to(vec![Output { name: of.module.clone(), node: of.node, tensor: TensorType::maps() }])
    }

    /// Fails unless this is the architecture `name`, which leaves open the classes and the stem's
    /// stride. `origin` names the weights.
    pub fn check_architecture(&self, name: &str, origin: &str) -> Result<()> {
        let wanted = families::named(name)?;
        if self.architecture.as_ref().is_some_and(|own| own.name == wanted.name()) {
            return Ok(());
        }
        Err(Error::weights(origin, format!("holds {}, not {name} ({})", self.description(), wanted.identity())))
    }

    /// Fails unless `other` is of the same architecture, in all its details. `origin` names the
    /// other's weights.
    pub fn check_same(&self, other: &Self, origin: &str) -> Result<()> {
        if self.architecture == other.architecture && (self.architecture.is_some() || self.tensors() == other.tensors()) {
            return Ok(());
        }
        Err(Error::weights(origin, format!("holds {}, not {}", other.description(), self.description())))
    }

    /// Its name, and what tells it from others of its family.
    fn description(&self) -> String {
        match &self.architecture {
            Some(Architecture { identity, details, .. }) => format!("{} ({identity}, {details})", self.name()),
            None => format!("{} (a graph of its own)", self.name()),
        }
    }

    /// Names and shapes of all weights, in the order of the network.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        self.graph.constants.iter().map(|constant| (constant.name.clone(), constant.shape.clone())).collect()
    }

    /// What is known of it.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The network's name: its architecture's, that of the embedded one, or its card's.
    pub fn name(&self) -> &str {
        if self.card.name.is_empty() { "network" } else { &self.card.name }
    }

    /// How many classes it tells apart: the values of its first result for an image, where that is
    /// a vector or the card has labels. 0 where it is anything else.
    pub fn classes(&self) -> usize {
        if self.card.decoder.is_some() {
            return 0;
        }
        let Some(output) = self.graph.outputs().first() else { return 0 };
        let is_vector = output.tensor.fixed(2) == Some(1) && output.tensor.fixed(3) == Some(1);
        let says_classes = self.card.task == Some(Task::Classify) || !self.card.labels.is_empty();
        if is_vector || says_classes { self.graph.channels(output.node) } else { 0 }
    }

    /// How its results become detections, if it is a detector.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn detector(&self) -> Option<&Detector> {
        if let Some(Finder::Detector(detector)) = self.finder.as_deref() { Some(detector) } else { None }
    }

    /// How its results become points, if it is for landmarks.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn landmarker(&self) -> Option<&Landmarker> {
        if let Some(Finder::Landmarker(landmarker)) = self.finder.as_deref() { Some(landmarker) } else { None }
    }

    /// The classes' names; empty where nobody named them.
    pub fn labels(&self) -> &[String] {
        &self.card.labels
    }

    /// Other names of the classes, such as WordNet's synsets; empty where nobody said any.
    pub fn label_names(&self) -> &[String] {
        &self.card.label_names
    }

    /// Names the classes, one a line.
    ///
    /// # Errors
    /// [`Error::Model`] unless there are as many lines as classes.
    pub fn name_classes(&mut self, lines: &str) -> Result<()> {
        let card = Card { labels: card::of_lines(lines), label_names: Arc::from([]), ..self.card.clone() };
        *self = self.clone().with_card(card)?;
        Ok(())
    }

    /// A class's name, or `class N`.
    pub fn label(&self, class: usize) -> String {
        self.card.label(class)
    }

    /// How an image becomes its input.
    ///
    /// # Errors
    /// [`Error::Model`] where its card does not say, or where it takes several inputs.
    pub fn preprocess(&self) -> Result<&Preprocess> {
        if self.card.decoder.is_some()
            && let Some(task) = self.card.task
        {
            return Err(Error::Model(format!("{} does not tell pictures' classes apart; `{}` is for it", self.name(), task.name())));
        }
        let [input] = self.graph.inputs() else {
            return Err(Error::Model(format!("{} takes {} inputs, not one image", self.name(), self.graph.inputs().len())));
        };
        let said = self.card.inputs.iter().find(|(name, _)| *name == input.name);
        said.map(|(_, preprocess)| preprocess).ok_or_else(|| {
            let what = format!("{}: nothing says how an image becomes `{}`; a card does", self.name(), input.name);
            Error::Model(what)
        })
    }

    /// Rows and columns of its usual input: those of its card, or the only ones that the first
    /// input may have. `None` where they are open.
    pub fn size(&self) -> Option<[usize; 2]> {
        let input = self.graph.inputs().first()?;
        let said = self.card.inputs.iter().find(|(name, _)| *name == input.name);
        said.map(|(_, preprocess)| preprocess.size).or_else(|| Some([input.tensor.fixed(2)?, input.tensor.fixed(3)?]))
    }

    /// The shapes of its inputs for `n` images of `h` x `w` pixels. Sides whose length an input
    /// fixes are as long as that.
    pub fn shapes(&self, n: usize, size: [usize; 2]) -> Vec<Shape> {
        self.graph.input_shapes(n, size)
    }

    /// Share of its data's test images that it names right, 0 to 1, as its file says.
    pub fn test_top1(&self) -> Option<f32> {
        self.card.test_top1
    }

    /// What was chosen and left out when its weights were read, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether the weights come from a formula and the answers mean nothing.
    pub fn is_random(&self) -> bool {
        self.is_random
    }

    /// Parameters and multiply-adds at its usual input size.
    ///
    /// # Errors
    /// [`Error::Shape`] where the graph does not take that size.
    pub fn summary(&self) -> Result<Summary> {
        let [h, w] = self.size().unwrap_or(Preprocess::default().size);
        let inputs = self.shapes(1, [h, w]);
        let macs = self.graph.all_macs(&self.graph.shapes(&inputs)?);
        let channels = inputs.first().map_or(0, |input| input.c);
        Ok(Summary { name: self.name().into(), input: [channels, h, w], params: self.graph.params(), macs })
    }
}
