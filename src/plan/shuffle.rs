//! Shuffled channels at no cost, as between ShuffleNetV2's units: concatenations, of which others
//! take channels, that others take channels of.
//!
//! All convolutions of such a network write one buffer, each a range of its own, once. A
//! concatenation or choice of channels is a list of that buffer's blocks. Each convolution writes
//! channels that the same nodes read side by side, in blocks of their own, so that nobody reads a
//! block in vain.

use super::layout::{Layout, PAD, is_free, selection};
use crate::graph::{Conv, Graph, NodeId, Op};
use std::{collections::BTreeMap, sync::Arc};

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

        // The channels of every node as channels of sources.
        let mut channels: BTreeMap<NodeId, Vec<(NodeId, u32)>> = BTreeMap::new();
        for &id in nodes {
            let node = graph.node(id);
            let made = match selection(&node.op) {
                _ if !is_arrangement(&node.op) => (0..graph.channels(id) as u32).map(|c| (id, c)).collect(),
                Some(chosen) => chosen.iter().map(|&c| channels[&node.inputs[0]][c as usize]).collect(),
                None => node.inputs.iter().flat_map(|input| &channels[input]).copied().collect(),
            };
            channels.insert(id, made);
        }
        // Who reads each channel of a source: nodes that something outside reads.
        let mut readers: BTreeMap<(NodeId, u32), Vec<NodeId>> = BTreeMap::new();
        let outside = graph.nodes().iter().enumerate().filter(|(at, _)| !is_inside(&NodeId(*at))).flat_map(|(_, node)| &node.inputs);
        let mut read: Vec<NodeId> = outside.chain(graph.outputs().iter().map(|output| &output.node)).copied().filter(is_inside).collect();
        read.sort_unstable();
        read.dedup();
        for &id in &read {
            for channel in &channels[&id] {
                let of = readers.entry(*channel).or_default();
                if of.last() == Some(&id) {
                    return None; // a layout holds no channel twice
                }
                of.push(id);
            }
        }

        let mut layouts = BTreeMap::new();
        let mut size = 0;
        for &id in &sources {
            let mut parts: BTreeMap<&[NodeId], Vec<u32>> = BTreeMap::new();
            for c in 0..graph.channels(id) as u32 {
                parts.entry(readers.get(&(id, c)).map_or(&[], |of| of)).or_default().push(c);
            }
            let layout = Layout::from_parts(parts.into_values());
            let first = size;
            size += layout.blocks();
            layouts.insert(id, (first, layout));
        }
        let largest = arranged.iter().map(|id| graph.channels(*id).div_ceil(4)).max()?;
        if size > MOST_TIMES * largest {
            return None;
        }
        let buffer = self.buffers.len();
        self.buffers.push(size);
        for &id in nodes {
            let number: BTreeMap<(NodeId, u32), u32> = (0..).zip(&channels[&id]).map(|(number, channel)| (*channel, number)).collect();
            let (mut blocks, mut lanes) = (Vec::new(), Vec::new());
            for (&source, (first, layout)) in &layouts {
                for (block, of_block) in layout.lanes().chunks(4).enumerate() {
                    let own = of_block.iter().map(|&c| number.get(&(source, c)).copied().unwrap_or(PAD));
                    if own.clone().any(|lane| lane != PAD) {
                        blocks.push((first + block) as u32);
                        lanes.extend(own);
                    }
                }
            }
            self.members[id.0] = Some(Member { buffer, blocks: blocks.into(), layout: Layout::from_lanes(lanes) });
        }
        Some(())
    }
}

/// A concatenation or a choice of channels.
fn is_arrangement(op: &Op) -> bool {
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
    let mut all: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
    for at in (0..count).filter(|&at| belongs[at]) {
        all.entry(root(&mut parent, at)).or_default().push(NodeId(at));
    }
    all.into_values().collect()
}
