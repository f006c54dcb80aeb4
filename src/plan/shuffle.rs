//! Shuffled channels at no cost, as between ShuffleNetV2's units: concatenations, of which others
//! take channels, that others take channels of.
//!
//! All convolutions of such a network write one buffer, each a range of its own, once. A
//! concatenation or choice of channels is a list of that buffer's blocks. Each convolution writes
//! channels that the same nodes read side by side, in blocks of their own, so that nobody reads a
//! block in vain.

use super::layout::{Layout, PAD, is_free, selection};
use crate::graph::{Conv, Graph, NodeId, Op};
use std::sync::Arc;

/// A buffer may be so many times as large as the largest concatenation in it.
const MOST_TIMES: usize = 8;

/// Where a node's result lies.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// In which buffer.
    pub buffer: usize,
    /// In which of its blocks.
    pub blocks: Arc<[u32]>,
    /// The channels in those blocks.
    pub layout: Layout,
}

impl Member {
    /// The first block, where they lie side by side.
    pub(crate) fn first(&self) -> Option<usize> {
        self.blocks.windows(2).all(|pair| pair[0] + 1 == pair[1]).then(|| self.blocks[0] as usize)
    }
}

/// The shuffles of a graph.
#[derive(Debug, Default)]
pub(crate) struct Shuffles {
    members: Vec<Option<Member>>,
    /// Blocks of each buffer.
    pub buffers: Vec<usize>,
}

impl Shuffles {
    /// Finds those whose sources are all convolutions that may write any layout.
    pub(crate) fn new(graph: &Graph) -> Self {
        let mut all = Self { members: vec![None; graph.nodes().len()], buffers: Vec::new() };
        // The browser package has no room for this: its plans copy.
        if cfg!(target_arch = "wasm32") {
            return all;
        }
        for component in components(graph) {
            all.add(graph, &component);
        }
        all
    }

    /// Where a node's result lies, if it belongs to a shuffle.
    pub(crate) fn of(&self, id: NodeId) -> Option<&Member> {
        self.members[id.0].as_ref()
    }

    /// Adds the shuffle of these nodes, if it is one and has a place.
    fn add(&mut self, graph: &Graph, nodes: &[NodeId]) -> Option<()> {
        let (arranged, sources): (Vec<NodeId>, Vec<NodeId>) = nodes.iter().partition(|&&id| is_arrangement(&graph.node(id).op));
        let is_inside = |id: &NodeId| nodes.binary_search(id).is_ok();
        let chooses = |id: &NodeId| {
            let node = graph.node(*id);
            node.op != Op::Concat && is_arrangement(&graph.node(node.inputs[0]).op)
        };
        let may_be_source = |id: &NodeId| {
            let node = graph.node(*id);
            let adds = matches!(node.op, Op::Conv(Conv { residual: Some(_), .. }));
            is_free(graph, *id) && !adds && !node.inputs.iter().any(is_inside)
        };
        if !arranged.iter().any(chooses) || !sources.iter().all(may_be_source) {
            return None;
        }

        // The sources' channels are numbered one after the other. By these numbers the channels of
        // every node:
        let mut total = 0;
        let mut channels: Vec<Vec<u32>> = Vec::with_capacity(nodes.len());
        for &id in nodes {
            let node = graph.node(id);
            let of = |input: NodeId| &channels[nodes.binary_search(&input).expect("what it is made of belongs to it")];
            let made = match selection(&node.op) {
                _ if !is_arrangement(&node.op) => {
                    let first = total;
                    total += graph.channels(id) as u32;
                    (first..total).collect()
                }
                Some(chosen) => chosen.iter().map(|&c| of(node.inputs[0])[c as usize]).collect(),
                None => node.inputs.iter().flat_map(|&input| of(input)).copied().collect(),
            };
            channels.push(made);
        }
        // A layout holds no channel twice.
        let mut last = vec![None; total as usize];
        for (id, channels) in nodes.iter().zip(&channels) {
            if channels.iter().any(|&channel| last[channel as usize].replace(*id) == Some(*id)) {
                return None;
            }
        }
        // For each of them, which of the nodes that something outside reads hold it. Results are
        // copied if need be: that a node is one as well changes no sum's order.
        let mut is_read = vec![false; graph.nodes().len()];
        let outside = graph.nodes().iter().enumerate().filter(|(at, _)| !is_inside(&NodeId(*at))).flat_map(|(_, node)| &node.inputs);
        outside.for_each(|id| is_read[id.0] = true);
        let mut readers: Vec<Vec<u32>> = vec![Vec::new(); total as usize];
        for (id, channels) in nodes.iter().zip(&channels).filter(|(id, _)| is_read[id.0]) {
            for &channel in channels {
                readers[channel as usize].push(id.0 as u32);
            }
        }

        // Channels of one source that the same nodes hold stand together. No sort: it would be one
        // of its own in the browser package.
        let readers = |channel: u32| &readers[channel as usize];
        let mut lanes = Vec::new();
        for (_, channels) in nodes.iter().zip(&channels).filter(|(id, _)| !is_arrangement(&graph.node(**id).op)) {
            let mut left = channels.clone();
            while let Some(&first) = left.first() {
                lanes.extend(left.iter().filter(|channel| readers(**channel) == readers(first)));
                left.retain(|channel| readers(*channel) != readers(first));
                lanes.resize(lanes.len().next_multiple_of(4), PAD);
            }
        }
        let largest = arranged.iter().map(|id| graph.channels(*id).div_ceil(4)).max()?;
        if lanes.len() / 4 > MOST_TIMES * largest {
            return None;
        }
        for (id, channels) in nodes.iter().zip(&channels) {
            let mut number = vec![PAD; total as usize];
            (0..).zip(channels).for_each(|(at, &channel)| number[channel as usize] = at);
            let (mut blocks, mut own) = (Vec::new(), Vec::new());
            for (at, block) in (0..).zip(lanes.chunks(4)) {
                let block = block.iter().map(|&channel| if channel == PAD { PAD } else { number[channel as usize] });
                if block.clone().any(|lane| lane != PAD) {
                    blocks.push(at);
                    own.extend(block);
                }
            }
            self.members[id.0] = Some(Member { buffer: self.buffers.len(), blocks: blocks.into(), layout: Layout::from_lanes(own) });
        }
        self.buffers.push(lanes.len() / 4);
        Some(())
    }
}

/// A concatenation or a choice of channels.
pub(crate) fn is_arrangement(op: &Op) -> bool {
    *op == Op::Concat || selection(op).is_some()
}

/// Concatenations and choices of channels that hang together, with what they are made of; in order.
fn components(graph: &Graph) -> Vec<Vec<NodeId>> {
    let count = graph.nodes().len();
    let mut parent: Vec<usize> = (0..count).collect();
    fn root(parent: &mut [usize], mut at: usize) -> usize {
        while parent[at] != at {
            parent[at] = parent[parent[at]];
            at = parent[at];
        }
        at
    }
    let mut belongs = vec![false; count];
    for (at, node) in graph.nodes().iter().enumerate().filter(|(_, node)| is_arrangement(&node.op)) {
        belongs[at] = true;
        for &input in &node.inputs {
            belongs[input.0] = true;
            let [a, b] = [at, input.0].map(|id| root(&mut parent, id));
            parent[a] = b;
        }
    }
    let mut all: Vec<Vec<NodeId>> = vec![Vec::new(); count];
    for at in (0..count).filter(|&at| belongs[at]) {
        all[root(&mut parent, at)].push(NodeId(at));
    }
    all.into_iter().filter(|nodes| !nodes.is_empty()).collect()
}
