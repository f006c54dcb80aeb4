//! Networks as graphs of operations on `[n, c, h, w]` tensors, and the passes that fuse them. This
//! names no GPU and allocates nothing on one.
//!
//! A [`Graph`] is built once per network, with no batch or map size in it. [`Graph::shapes`]
//! derives those for a given input. Nodes only refer to earlier nodes, so the order of `nodes` is
//! an order of execution.

mod op;
pub mod passes;
#[cfg(test)]
pub(crate) mod reference;
mod shape;

pub use op::{Activation, Conv, Coordinates, Extent, Filter, Ghost, Nearest, Op, Pool, PoolKind, Resample, Separable, SqueezeExcite};
pub use shape::Shape;

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
    outputs: Vec<(String, NodeId)>,
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

    /// The named results, in the order in which they were declared.
    pub fn outputs(&self) -> &[(String, NodeId)] {
        &self.outputs
    }

    /// The node that feeds the graph. There is exactly one, the first.
    pub fn input(&self) -> Result<NodeId> {
        match self.nodes.first().map(|n| &n.op) {
            Some(Op::Input { .. }) => Ok(NodeId(0)),
            _ => Err(Error::Model("the graph has no input".into())),
        }
    }

    /// Adds weights. `data.len()` must be the product of `shape`.
    pub fn add_constant(&mut self, name: impl Into<String>, shape: &[usize], data: impl Into<Arc<[f32]>>) -> Result<ConstId> {
        let (name, data) = (name.into(), data.into());
        tensor::check(&name, shape, data.len())?;
        self.constants.push(Constant { name, shape: shape.to_vec(), data });
        Ok(ConstId(self.constants.len() - 1))
    }

    /// Adds the graph's input of `channels` channels; it must be the first node.
    pub fn add_input(&mut self, channels: usize) -> Result<NodeId> {
        if !self.nodes.is_empty() {
            return Err(Error::Model("the input must be the graph's first and only one".into()));
        }
        self.add("input", Op::Input { channels }, &[])
    }

    /// Adds an operation on earlier nodes' outputs, and checks its inputs' number and channels and
    /// its weights' shapes.
    pub fn add(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        let name = name.into();
        if let Some(bad) = inputs.iter().find(|id| id.0 >= self.nodes.len()) {
            return Err(Error::shape(name, format!("input {} is not an earlier node (there are {})", bad.0, self.nodes.len())));
        }
        let input_channels: Vec<usize> = inputs.iter().map(|id| self.channels[id.0]).collect();
        let channels = op.channels(&self.constants, &input_channels).map_err(|what| Error::shape(&name, what))?;
        self.nodes.push(Node { name, op, inputs: inputs.to_vec() });
        self.channels.push(channels);
        Ok(NodeId(self.nodes.len() - 1))
    }

    /// Declares a node's output a result of the graph.
    pub fn add_output(&mut self, name: impl Into<String>, node: NodeId) {
        self.outputs.push((name.into(), node));
    }

    /// The shape of every node's output for an input of shape `input` (`[n, c, h, w]`).
    pub fn shapes(&self, input: Shape) -> Result<Vec<Shape>> {
        let largest = [input.n, input.h, input.w].into_iter().max().unwrap_or(0);
        if largest >= op::LARGEST || input.checked_count().is_none() {
            let what = format!("input {input}: the longest side");
            return Err(Error::Limit { what, needed: largest as u64, limit: op::LARGEST as u64 });
        }
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for (node, &channels) in self.nodes.iter().zip(&self.channels) {
            let inputs: Vec<Shape> = node.inputs.iter().map(|id| shapes[id.0]).collect();
            let [h, w] = match node.op {
                Op::Input { channels } if channels != input.c => {
                    return Err(Error::shape(&node.name, format!("the network takes {channels} channels, the input has {}", input.c)));
                }
                Op::Input { .. } => [input.h, input.w],
                _ => node.op.map_size(&self.constants, &inputs).map_err(|what| Error::shape(&node.name, what))?,
            };
            shapes.push(Shape { n: input.n, c: channels, h, w });
        }
        Ok(shapes)
    }

    /// Multiply-adds of a node, given all shapes.
    pub fn macs(&self, id: NodeId, shapes: &[Shape]) -> u64 {
        self.nodes[id.0].op.macs(&self.constants, &self.node_inputs(id, shapes), shapes[id.0])
    }

    fn node_inputs(&self, id: NodeId, shapes: &[Shape]) -> Vec<Shape> {
        self.nodes[id.0].inputs.iter().map(|i| shapes[i.0]).collect()
    }

    /// The part of the graph that computes `node`, which becomes its only result.
    pub(crate) fn up_to(mut self, name: impl Into<String>, node: NodeId) -> Self {
        self.outputs = vec![(name.into(), node)];
        self.compact();
        self
    }

    // What passes do to a graph.

    /// How many times each node's output is used, results of the graph included.
    pub(crate) fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        let inputs = self.nodes.iter().flat_map(|n| &n.inputs);
        for id in inputs.chain(self.outputs.iter().map(|(_, id)| id)) {
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
        if let Some(first) = live.first_mut() {
            *first = true; // the input stays, even if nothing uses it
        }
        for (_, id) in &self.outputs {
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
        for (_, id) in &mut self.outputs {
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
        Ok(())
    }
}
