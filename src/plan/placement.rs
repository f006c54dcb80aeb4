//! Concatenations at no cost: whose results are written straight to their range of the
//! concatenation's buffer.

use super::{
    layout::{Layout, keeps_lanes, selection},
    shuffle::Shuffles,
};
use crate::graph::{Graph, Node, NodeId, Op};

/// For each node whose result lies in a concatenation's storage: the concatenation, and the first
/// block there.
pub(crate) struct Placement<'a> {
    graph: &'a Graph,
    /// Whether a node's result is a range of its input's blocks.
    views: Vec<bool>,
    placed: Vec<Option<(NodeId, usize)>>,
}

impl<'a> Placement<'a> {
    /// Places results where no dispatch would then bind one buffer both for reading and for
    /// writing, which WebGPU forbids.
    pub(crate) fn new(graph: &'a Graph, layouts: &[Layout], shuffles: &Shuffles) -> Self {
        let is_view = |(at, node): (usize, &Node)| {
            if shuffles.of(NodeId(at)).is_some() {
                return false;
            }
            let selected = selection(&node.op).and_then(|channels| layouts[node.inputs[0].0].select(&channels));
            selected.is_some_and(|(_, layout)| layout == layouts[at])
        };
        let views = graph.nodes().iter().enumerate().map(is_view).collect();
        let mut all = Self { graph, views, placed: vec![None; graph.nodes().len()] };
        for at in (0..graph.nodes().len()).rev() {
            let node = graph.node(NodeId(at));
            if node.op != Op::Concat || shuffles.of(NodeId(at)).is_some() {
                continue;
            }
            let (root, mut block) = all.placed[at].unwrap_or((NodeId(at), 0));
            for &input in &node.inputs {
                let own_storage = !matches!(graph.node(input).op, Op::Input { .. } | Op::SqueezeExcite(_)) && shuffles.of(input).is_none();
                if own_storage && !all.views[input.0] && all.placed[input.0].is_none() {
                    all.placed[input.0] = Some((root, block));
                    if all.reads_itself(root) {
                        all.placed[input.0] = None;
                    }
                }
                block += layouts[input.0].blocks();
            }
        }
        all
    }

    /// The concatenation in whose storage a node's result lies, and its first block there.
    pub(crate) fn of(&self, id: NodeId) -> Option<(NodeId, usize)> {
        self.placed[id.0].filter(|(root, _)| *root != id)
    }

    /// Whether a dispatch would read and write the storage of a concatenation. Only depthwise
    /// convolutions can.
    fn reads_itself(&self, root: NodeId) -> bool {
        self.graph.nodes().iter().enumerate().any(|(at, node)| {
            let dispatches = match &node.op {
                Op::Concat => false,
                _ if self.views[at] => false,
                Op::Conv(conv) => !keeps_lanes(self.graph, conv),
                _ => true,
            };
            dispatches && self.root(NodeId(at)) == Some(root) && node.inputs.iter().any(|&input| self.root(input) == Some(root))
        })
    }

    /// The concatenation whose storage holds a node's result.
    pub(crate) fn root(&self, id: NodeId) -> Option<NodeId> {
        match self.graph.node(id).op {
            Op::Concat => Some(self.placed[id.0].map_or(id, |(root, _)| root)),
            _ if self.views[id.0] => self.root(self.graph.node(id).inputs[0]),
            _ => self.placed[id.0].map(|(root, _)| root),
        }
    }
}
