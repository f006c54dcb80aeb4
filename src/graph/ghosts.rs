//! Ghost modules in a graph that no pass has changed.

use super::{Graph, NodeId, Op};

/// Where the maps of a ghost module are.
#[derive(Debug, Clone, PartialEq)]
pub struct GhostMapsOf {
    /// The module's name.
    pub module: String,
    /// The node that holds all its maps.
    pub node: NodeId,
    /// How many of them are intrinsic; they come first.
    pub intrinsic: usize,
}

impl Graph {
    /// Every module that makes ghosts, in order: a concatenation of maps and of what depthwise
    /// convolutions make of the same maps.
    pub fn ghost_modules(&self) -> Vec<GhostMapsOf> {
        let nodes = self.nodes.iter().enumerate();
        let modules = nodes.filter_map(|(at, node)| {
            let &[intrinsic, ghosts] = &node.inputs[..] else { return None };
            if node.op != Op::Concat || self.derived_from(ghosts) != Some(intrinsic) {
                return None;
            }
            // The cut to the wanted channels follows at once, where there is one.
            let cut =
                self.nodes.get(at + 1).is_some_and(|next| matches!(next.op, Op::Slice { start: 0, .. }) && next.inputs == [NodeId(at)]);
            Some(GhostMapsOf {
                module: node.name.strip_suffix(".concat").unwrap_or(&node.name).into(),
                node: NodeId(at + usize::from(cut)),
                intrinsic: self.channels(intrinsic),
            })
        });
        modules.collect()
    }

    /// What a depthwise convolution, with whatever normalises and activates its result, is made of.
    fn derived_from(&self, mut id: NodeId) -> Option<NodeId> {
        while let Op::BatchNorm { .. } | Op::Activate(_) = self.node(id).op {
            id = self.node(id).inputs[0];
        }
        match &self.node(id).op {
            Op::Conv(conv) if conv.is_depthwise(&self.constants) => Some(self.node(id).inputs[0]),
            _ => None,
        }
    }
}
