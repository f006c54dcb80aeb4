//! Networks as graphs of operations on `[n, c, h, w]` tensors, and the passes that fuse them. This
//! names no GPU and allocates nothing on one.
//!
//! A [`Graph`] is built once per network, with no batch or map size in it. [`Graph::shapes`]
//! derives those for a given input. Nodes only refer to earlier nodes, so the order of `nodes` is
//! an order of execution.

mod activation;
mod calculation;
mod constants;
mod end;
#[cfg(not(target_arch = "wasm32"))]
mod ghostify;
mod ghosts;
mod json;
mod op;
pub mod passes;
mod rearrange;
#[cfg(test)]
pub(crate) mod reference;
mod resample;
#[cfg(not(target_arch = "wasm32"))]
mod roi_align;
mod shape;
#[cfg(not(target_arch = "wasm32"))]
mod suppression;
mod top_k;

pub use crate::tensor::Element;
pub use activation::{Activated, Activation};
pub use calculation::{Calculate, Calculation};
pub use end::{Input, Output, TensorType};
#[cfg(not(target_arch = "wasm32"))]
pub use ghostify::{Ghostified, Ghostify};
pub use ghosts::GhostMapsOf;
pub use op::{Conv, Ghost, Op, Pool, PoolKind, Separable, SqueezeExcite};
pub use rearrange::{Axis, Rearrange};
pub use resample::{Coordinates, Extent, Filter, Nearest, Resample};
#[cfg(not(target_arch = "wasm32"))]
pub use roi_align::RoiAlign;
pub use shape::Shape;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use suppression::Limits;
#[cfg(not(target_arch = "wasm32"))]
pub use suppression::{NonMaxSuppression, Setting};
pub use top_k::TopK;

use crate::{Error, Result, tensor};
use std::sync::Arc;

/// A node's place in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// A constant's place in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConstId(pub usize);

/// Weights of a node: row-major f32 values with their shape (`[c_out, c_in / groups, kh, kw]` for
/// filters, `[c]` for vectors).
#[derive(Debug, Clone)]
pub struct Constant {
    /// The tensor's name in the weights file, for messages.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub data: Arc<[f32]>,
}

/// Inputs of a graph: their names are compared with each other.
const MOST_INPUTS: usize = 1 << 10;

/// One operation.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name, as in the module tree of the network (`blocks.3.0.ghost1`).
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Where its inputs come from; all earlier nodes.
    pub inputs: Vec<NodeId>,
}

/// A network: operations, their weights, and which results leave it.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    channels: Vec<usize>,
    pub(crate) constants: Vec<Constant>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    #[cfg(not(target_arch = "wasm32"))]
    suppressions: Vec<NonMaxSuppression>,
    features: Vec<(String, NodeId)>,
    embedding: Option<NodeId>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// All nodes, in an order of execution.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// How many channels a node's output has.
    pub fn channels(&self, id: NodeId) -> usize {
        self.channels[id.0]
    }

    /// A constant.
    pub fn constant(&self, id: ConstId) -> &Constant {
        &self.constants[id.0]
    }

    /// The tensors that enter, in the order in which they were added. They are the first nodes.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The constant of this name, if there is one.
    pub fn tensor(&self, name: &str) -> Option<&Constant> {
        self.constants.iter().find(|constant| constant.name == name)
    }

    /// The named results, in the order in which they were declared.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The names of all results: of those that a run gives, then of those of last steps.
    pub(crate) fn result_names(&self) -> impl Iterator<Item = &str> {
        let names = self.outputs.iter().map(|output| &*output.name);
        #[cfg(not(target_arch = "wasm32"))]
        let names = names.chain(self.suppressions.iter().map(|last| &*last.name));
        names
    }

    /// The tensors that a run gives, in their order: the results, then what last steps take.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = &Output> {
        let leaving = self.outputs.iter();
        #[cfg(not(target_arch = "wasm32"))]
        let leaving = leaving.chain(self.suppressions.iter().flat_map(|last| last.operands()));
        leaving
    }

    fn leaving_mut(&mut self) -> impl Iterator<Item = &mut Output> {
        let leaving = self.outputs.iter_mut();
        #[cfg(not(target_arch = "wasm32"))]
        let leaving = leaving.chain(self.suppressions.iter_mut().flat_map(|last| last.operands_mut()));
        leaving
    }

    /// The maps that were marked as features, with their names, in the order of marking.
    pub fn features(&self) -> &[(String, NodeId)] {
        &self.features
    }

    /// The node whose result, `[n, c, 1, 1]`, describes the whole input, if one was marked.
    pub fn embedding(&self) -> Option<NodeId> {
        self.embedding
    }

    /// Adds weights. `data.len()` must be the product of `shape`.
    pub fn add_constant(&mut self, name: impl Into<String>, shape: &[usize], data: impl Into<Arc<[f32]>>) -> Result<ConstId> {
        let (name, data) = (name.into(), data.into());
        tensor::check(&name, shape, data.len())?;
        self.constants.push(Constant { name, shape: shape.to_vec(), data });
        Ok(ConstId(self.constants.len() - 1))
    }

    /// Adds the input `input`, f32 `[n, channels, h, w]`.
    ///
    /// # Errors
    /// As [`Graph::add_input_of`].
    pub fn add_input(&mut self, channels: usize) -> Result<NodeId> {
        self.add_input_of("input", channels, TensorType::maps())
    }

    /// Adds an input of `channels` channels. All inputs of a run have the same number of images.
    ///
    /// # Errors
    /// [`Error::Shape`] where an operation comes before it, another input has its name, the tensor
    /// has another number of channels, or one of its sides holds several axes.
    pub fn add_input_of(&mut self, name: impl Into<String>, channels: usize, tensor: TensorType) -> Result<NodeId> {
        let name = name.into();
        let refused = if self.inputs.len() >= MOST_INPUTS {
            Some(format!("{MOST_INPUTS} inputs are the most"))
        } else if self.inputs.len() < self.nodes.len() {
            Some("inputs come before all operations".into())
        } else if self.inputs.iter().any(|input| input.name == name) {
            Some("there is an input of this name".into())
        } else if tensor.fixed(1).is_some_and(|fixed| fixed != channels) {
            Some(format!("{channels} channels are no tensor {tensor}"))
        } else {
            tensor.check_input().err()
        };
        if let Some(what) = refused {
            return Err(Error::shape(name, what));
        }
        let node = self.insert(name.clone(), Op::Input { channels }, &[])?;
        self.inputs.push(Input { name, node, tensor });
        Ok(node)
    }

    /// Adds an operation on earlier nodes' outputs, and checks its inputs' number and channels and
    /// its weights' shapes.
    ///
    /// # Errors
    /// [`Error::Shape`] where they do not fit, or where only passes make the operation, or
    /// [`Graph::add_input`] does.
    pub fn add(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        let name = name.into();
        let made_otherwise = match &op {
            Op::Ghost(_) | Op::SqueezeExcite(_) | Op::Separable(_) | Op::ResampleProduct(_) => Some("is made by passes only"),
            Op::Conv(conv) if conv.gate || conv.residual.is_some() || conv.pool => Some("is made by passes only"),
            Op::Input { .. } => Some("is made by `Graph::add_input` only"),
            _ => None,
        };
        match made_otherwise {
            Some(what) => Err(Error::shape(name, what)),
            None => self.insert(name, op, inputs),
        }
    }

    fn insert(&mut self, name: String, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        if let Some(bad) = inputs.iter().find(|id| id.0 >= self.nodes.len()) {
            return Err(Error::shape(name, format!("input {} is not an earlier node (there are {})", bad.0, self.nodes.len())));
        }
        let input_channels: Vec<usize> = inputs.iter().map(|id| self.channels[id.0]).collect();
        let channels = op.channels(&self.constants, &input_channels).and_then(|c| match c {
            1..=op::MOST_CHANNELS => Ok(c),
            0 => Err("has no channels".into()),
            _ => Err(format!("{c} channels, {} is the limit", op::MOST_CHANNELS)),
        });
        let channels = channels.map_err(|what| Error::shape(&name, what))?;
        self.nodes.push(Node { name, op, inputs: inputs.to_vec() });
        self.channels.push(channels);
        Ok(NodeId(self.nodes.len() - 1))
    }

    /// Declares a node's output a result of the graph, f32 `[n, c, h, w]`. A node that the graph
    /// has not is an error where the graph is used.
    pub fn add_output(&mut self, name: impl Into<String>, node: NodeId) {
        self.add_output_of(name, node, TensorType::maps());
    }

    /// Declares a node's output a result of the graph, with the type and the sides of `tensor`.
    pub fn add_output_of(&mut self, name: impl Into<String>, node: NodeId, tensor: TensorType) {
        self.outputs.push(Output { name: name.into(), node, tensor });
    }

    /// Marks a node's maps as one of the network's features, which are computed only if asked for.
    pub fn add_feature(&mut self, name: impl Into<String>, node: NodeId) {
        self.features.push((name.into(), node));
    }

    /// Marks a node's result `[n, c, 1, 1]` as what describes the whole input.
    pub fn set_embedding(&mut self, node: NodeId) {
        self.embedding = Some(node);
    }

    /// Fails where a result or a mark is of a node that the graph has not.
    pub(crate) fn check_ends(&self) -> Result<()> {
        let outputs = self.leaving().map(|output| (&*output.name, output.node));
        let marks = self.features.iter().map(|(name, node)| (&**name, *node)).chain(self.embedding.map(|node| ("embedding", node)));
        match outputs.chain(marks).find(|(_, node)| node.0 >= self.nodes.len()) {
            Some((name, node)) => Err(Error::shape(name, format!("node {} is not in the graph (there are {})", node.0, self.nodes.len()))),
            None => Ok(()),
        }
    }

    /// The shape of every node's output for inputs of these shapes, one of each, in their order.
    ///
    /// # Errors
    /// [`Error::Model`] for another number of inputs, [`Error::Shape`] where they do not fit or a
    /// result is of a node that the graph has not, [`Error::Limit`] where a tensor is larger than
    /// the machine can count.
    pub fn shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        self.check_ends()?;
        if inputs.len() != self.inputs.len() {
            let what = format!("the graph takes {} inputs, shapes of {} were given", self.inputs.len(), inputs.len());
            return Err(Error::Model(what));
        }
        for (input, shape) in self.inputs.iter().zip(inputs) {
            if shape.n == 0 {
                return Err(Error::shape(&input.name, "a batch of 0 images"));
            }
            if shape.h == 0 || shape.w == 0 {
                return Err(Error::shape(&input.name, format!("{shape} is empty")));
            }
            shape.check(&format!("input {shape}"))?;
            if shape.n != inputs[0].n {
                let what = format!("has {} images, `{}` has {}", shape.n, self.inputs[0].name, inputs[0].n);
                return Err(Error::shape(&input.name, what));
            }
        }
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        while shapes.len() < self.nodes.len() {
            let shape = self.next_shape(&shapes, inputs)?;
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// The shape of the node that follows those whose shapes are known.
    pub(crate) fn next_shape(&self, shapes: &[Shape], inputs: &[Shape]) -> Result<Shape> {
        let at = shapes.len();
        let (node, channels) = (&self.nodes[at], self.channels[at]);
        let sources: Vec<Shape> = node.inputs.iter().map(|id| shapes[id.0]).collect();
        let shape = match node.op {
            Op::Input { channels } if channels != inputs[at].c => {
                let what = format!("the network takes {channels} channels, the input has {}", inputs[at].c);
                return Err(Error::shape(&node.name, what));
            }
            Op::Input { .. } => inputs[at],
            _ => {
                let [h, w] = node.op.map_size(&self.constants, &sources).map_err(|what| Error::shape(&node.name, what))?;
                Shape { n: inputs[0].n, c: channels, h, w }
            }
        };
        shape.check(&format!("`{}` {shape}", node.name))?;
        Ok(shape)
    }

    /// The inputs' shapes for `n` images of `[h, w]`. Sides whose length an input fixes are as long
    /// as that.
    pub(crate) fn input_shapes(&self, n: usize, [h, w]: [usize; 2]) -> Vec<Shape> {
        let shape = |input: &Input| {
            let side = |axis, open| input.tensor.fixed(axis).unwrap_or(open);
            Shape::new(side(0, n), self.channels(input.node), side(2, h), side(3, w))
        };
        self.inputs.iter().map(shape).collect()
    }

    /// Takes and gives so many images and no other number.
    pub(crate) fn fix_batch(&mut self, images: usize) {
        self.inputs.iter_mut().for_each(|input| input.tensor.fix_batch(images));
        self.leaving_mut().for_each(|output| output.tensor.fix_batch(images));
    }

    /// Trainable parameters as PyTorch counts them: all constants but the running means and
    /// variances of batch normalisations.
    pub fn params(&self) -> u64 {
        let mut counts: Vec<usize> = self.constants.iter().map(|constant| constant.data.len()).collect();
        for node in &self.nodes {
            if let Op::BatchNorm { mean, var, .. } = node.op {
                (counts[mean.0], counts[var.0]) = (0, 0);
            }
        }
        counts.iter().map(|&count| count as u64).sum()
    }

    /// Multiply-adds of all convolutions and linear layers, given all shapes.
    pub fn all_macs(&self, shapes: &[Shape]) -> u64 {
        (0..self.nodes.len()).fold(0, |sum, at| sum.saturating_add(self.macs(NodeId(at), shapes)))
    }

    /// Multiply-adds of a node, given all shapes.
    pub fn macs(&self, id: NodeId, shapes: &[Shape]) -> u64 {
        self.nodes[id.0].op.macs(&self.constants, &self.node_inputs(id, shapes), shapes[id.0])
    }

    fn node_inputs(&self, id: NodeId, shapes: &[Shape]) -> Vec<Shape> {
        self.nodes[id.0].inputs.iter().map(|i| shapes[i.0]).collect()
    }

    /// The part of the graph that computes these results, which become its only ones, and no
    /// marks. Of several inputs those stay that they need: a detector's backbone needs no regions.
    pub(crate) fn up_to(&self, outputs: Vec<Output>) -> Self {
        let mut graph = Self {
            outputs,
            #[cfg(not(target_arch = "wasm32"))]
            suppressions: Vec::new(),
            features: Vec::new(),
            embedding: None,
            ..self.clone()
        };
        graph.compact();
        // Pages have no network of two stages.
        #[cfg(not(target_arch = "wasm32"))]
        if graph.inputs.len() > 1 {
            let uses = graph.uses();
            graph.inputs.retain(|input| uses[input.node.0] > 0);
            graph.compact();
        }
        graph
    }

    /// The graph without marks: passes would keep what is marked.
    pub(crate) fn unmarked(self) -> Self {
        Self { features: Vec::new(), embedding: None, ..self }
    }

    // What passes do to a graph.

    /// How many times each node's output is used, results of the graph included.
    pub(crate) fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        let inputs = self.nodes.iter().flat_map(|n| &n.inputs);
        for id in inputs.chain(self.leaving().map(|output| &output.node)) {
            uses[id.0] += 1;
        }
        uses
    }

    /// Puts another operation in a node's place; it must make as many channels.
    pub(crate) fn replace(&mut self, id: NodeId, name: String, op: Op, inputs: Vec<NodeId>) {
        debug_assert!(inputs.iter().all(|i| i.0 < id.0), "{name}: inputs must be earlier nodes");
        self.nodes[id.0] = Node { name, op, inputs };
    }

    pub(crate) fn push_constant(&mut self, constant: Constant) -> ConstId {
        self.constants.push(constant);
        ConstId(self.constants.len() - 1)
    }

    /// Drops nodes and constants that no output needs, and renumbers the rest.
    pub(crate) fn compact(&mut self) {
        let mut live = vec![false; self.nodes.len()];
        // Inputs stay, even if nothing uses them.
        let ends = self.inputs.iter().map(|input| input.node).chain(self.leaving().map(|output| output.node));
        let marks = self.features.iter().map(|(_, node)| *node).chain(self.embedding);
        for id in ends.chain(marks) {
            live[id.0] = true;
        }
        for at in (0..self.nodes.len()).rev() {
            if live[at] {
                for input in &self.nodes[at].inputs {
                    live[input.0] = true;
                }
            }
        }
        let mut to = vec![NodeId(0); self.nodes.len()];
        let mut nodes = Vec::new();
        let mut channels = Vec::new();
        for (at, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            if live[at] {
                to[at] = NodeId(nodes.len());
                nodes.push(Node { inputs: node.inputs.iter().map(|i| to[i.0]).collect(), ..node });
                channels.push(self.channels[at]);
            }
        }
        self.leaving_mut().for_each(|output| output.node = to[output.node.0]);
        let inputs = self.inputs.iter_mut().map(|input| &mut input.node);
        let marks = self.features.iter_mut().map(|(_, node)| node).chain(&mut self.embedding);
        for id in inputs.chain(marks) {
            *id = to[id.0];
        }
        let mut used: Vec<Option<ConstId>> = vec![None; self.constants.len()];
        let mut constants = Vec::new();
        for node in &mut nodes {
            for id in node.op.constants_mut() {
                *id = *used[id.0].get_or_insert_with(|| {
                    constants.push(self.constants[id.0].clone());
                    ConstId(constants.len() - 1)
                });
            }
        }
        (self.nodes, self.channels, self.constants) = (nodes, channels, constants);
    }
}

impl std::fmt::Display for Graph {
    /// One line a node: name, operation, channels, inputs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, node) in self.nodes.iter().enumerate() {
            let inputs: Vec<&str> = node.inputs.iter().map(|i| self.nodes[i.0].name.as_str()).collect();
            writeln!(f, "{at:4} {:36} {:16} c = {:<5} <- {}", node.name, node.op.name(), self.channels[at], inputs.join(", "))?;
        }
        #[cfg(not(target_arch = "wasm32"))]
        for last in &self.suppressions {
            writeln!(f, "last {:36} {last} <- {}, {}", last.name, last.boxes.node.0, last.scores.node.0)?;
        }
        Ok(())
    }
}
