//! Which logical channel stands in which physical lane.
//!
//! Activations are blocks of four channels. Half of a ghost concatenation is often no multiple of
//! four, so each part is padded on its own, and concatenation is free. Ghosts of a ratio above 2
//! stand group by group. Consumers' weights are permuted to match, once, at load.

use crate::graph::{Calculate, Conv, Ghost, Graph, NodeId, Op};
use std::sync::Arc;

/// A padding lane: no channel.
pub const PAD: u32 = u32::MAX;

/// The physical channels of a tensor: for each lane its logical channel, or [`PAD`]. The length is
/// a multiple of four.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    lanes: Arc<[u32]>,
}

impl Layout {
    /// `channels` in order, padded at the end.
    pub fn plain(channels: usize) -> Self {
        Self::from_parts([(0..channels as u32).collect()])
    }

    /// Parts of channels, each padded to a multiple of four.
    pub fn from_parts(parts: impl IntoIterator<Item = Vec<u32>>) -> Self {
        let mut lanes = Vec::new();
        for part in parts {
            lanes.extend(part);
            lanes.resize(lanes.len().next_multiple_of(4), PAD);
        }
        Self { lanes: lanes.into() }
    }

    pub(super) fn from_lanes(lanes: Vec<u32>) -> Self {
        Self { lanes: lanes.into() }
    }

    /// The lanes' logical channels.
    pub fn lanes(&self) -> &[u32] {
        &self.lanes
    }

    /// Blocks of four lanes.
    pub fn blocks(&self) -> usize {
        self.lanes.len() / 4
    }

    /// Lanes of a block up to the last that has a channel in any: fewer than four only where there
    /// is one block.
    pub(crate) fn lanes_in_use(&self) -> usize {
        self.lanes.iter().rposition(|&lane| lane != PAD).map_or(0, |last| last + 1).min(4)
    }

    /// The physical lane of each of `channels` logical channels.
    pub fn lane_of(&self, channels: usize) -> Vec<u32> {
        let mut of = vec![PAD; channels];
        for (lane, &channel) in self.lanes.iter().enumerate() {
            if channel != PAD {
                of[channel as usize] = lane as u32;
            }
        }
        of
    }

    /// A ghost module's: intrinsic maps, then each group of ghosts in the intrinsic maps' order,
    /// cut to `c_out`.
    pub fn ghost(m: usize, groups: usize, c_out: usize) -> Self {
        let mut parts = vec![(0..m as u32).collect::<Vec<_>>()];
        for r in 0..groups {
            let group = (0..m).map(|i| m + i * groups + r).map(|c| if c < c_out { c as u32 } else { PAD });
            parts.push(group.collect());
        }
        Self::from_parts(parts)
    }

    /// A ghost module's whose channels are the ghosts and then the intrinsic maps: in memory these
    /// come first all the same.
    pub fn ghosts_first(m: usize, groups: usize) -> Self {
        let [m, ghosts] = [m as u32, (m * groups) as u32];
        let lanes = Self::ghost(m as usize, groups, (m + ghosts) as usize);
        let number = |c: u32| if c < m { c + ghosts } else { c - m };
        Self { lanes: lanes.lanes().iter().map(|&c| if c == PAD { PAD } else { number(c) }).collect() }
    }

    /// In a ghost module's layout with `m` intrinsic maps, the lanes of its ghosts, numbered by
    /// themselves.
    pub(crate) fn ghosts(&self, m: usize) -> Vec<u32> {
        let before = if self.lanes[0] == 0 { m as u32 } else { 0 };
        self.lanes[m.next_multiple_of(4)..].iter().map(|&c| if c == PAD { PAD } else { c - before }).collect()
    }

    /// A depthwise convolution's with `multiplier` output channels for each input channel: copies
    /// of the input's lanes.
    pub fn multiplied(&self, multiplier: usize) -> Self {
        let copies =
            (0..multiplier as u32).flat_map(|r| self.lanes.iter().map(move |&c| if c == PAD { PAD } else { c * multiplier as u32 + r }));
        Self { lanes: copies.collect() }
    }

    /// Blocks that hold exactly some channels, and their layout, where there are such: the first.
    /// Channel `i` of them is the channel `channels[i]` here; none is there twice.
    pub(crate) fn select(&self, channels: &[u32]) -> Option<(usize, Self)> {
        let mut number = vec![PAD; self.lanes.iter().filter(|lane| **lane != PAD).max().map_or(0, |&last| last as usize + 1)];
        (0..).zip(channels).for_each(|(at, &channel)| number[channel as usize] = at);
        let of = |lane: &u32| if *lane == PAD { PAD } else { number[*lane as usize] };
        let first = self.lanes.iter().position(|lane| of(lane) != PAD)? / 4;
        let last = self.lanes.iter().rposition(|lane| of(lane) != PAD)? / 4;
        let lanes = &self.lanes[first * 4..last * 4 + 4];
        let whole =
            lanes.iter().all(|lane| *lane == PAD || of(lane) != PAD) && lanes.iter().filter(|lane| **lane != PAD).count() == channels.len();
        whole.then(|| (first, Self { lanes: lanes.iter().map(of).collect() }))
    }
}

/// The input's channel that each output channel is, where an operation takes whole maps as they
/// are, none of them twice.
pub(crate) fn selection(op: &Op) -> Option<Vec<u32>> {
    match op {
        Op::Slice { start, len } => Some((*start as u32..(start + len) as u32).collect()),
        Op::Rearrange(rearrange) => rearrange.channels(),
        _ => None,
    }
}

/// The layout of every node's output.
///
/// Convolutions write any layout at no cost, so one whose result meets another tensor (a sum, a
/// residual) takes that tensor's. `given` are layouts that are known.
pub(crate) fn assign(graph: &Graph, given: impl Fn(NodeId) -> Option<Layout>) -> Vec<Layout> {
    let count = graph.nodes().len();
    let mut wants: Vec<Option<NodeId>> = vec![None; count];
    for (at, node) in graph.nodes().iter().enumerate() {
        let mut meet = |free: NodeId, other: NodeId| {
            let free = source_of_lanes(graph, free);
            if is_free(graph, free) && wants[free.0].is_none() && free != other {
                wants[free.0] = Some(other);
            }
        };
        match &node.op {
            Op::Add | Op::Multiply | Op::Calculate(Calculate { operand: None, .. }) => {
                let [a, b] = [node.inputs[0], node.inputs[1]];
                if is_free(graph, source_of_lanes(graph, b)) { meet(b, a) } else { meet(a, b) }
            }
            Op::ResampleProduct(_) => meet(node.inputs[0], node.inputs[node.inputs.len() - 1]),
            Op::Ghost(Ghost { residual: Some(_), .. }) => meet(node.inputs[node.inputs.len() - 1], NodeId(at)),
            Op::Conv(Conv { residual: Some(_), .. }) => {
                // This convolution is free too: it follows its residual, unless that one is free.
                let other = node.inputs[node.inputs.len() - 1];
                if is_free(graph, other) { meet(other, NodeId(at)) } else { wants[at] = Some(other) }
            }
            _ => {}
        }
    }
    let mut done: Vec<Option<Layout>> = (0..count).map(|at| given(NodeId(at))).collect();
    let mut busy = vec![false; count];
    (0..count).map(|at| resolve(graph, NodeId(at), &wants, &mut done, &mut busy)).collect()
}

/// The node whose lanes this one's are, through what keeps them one to one.
fn source_of_lanes(graph: &Graph, mut id: NodeId) -> NodeId {
    loop {
        let node = graph.node(id);
        let keeps = match &node.op {
            Op::Conv(conv) => keeps_lanes(graph, conv) && graph.channels(id) == conv.groups,
            op => matches!(op, Op::Activate(_) | Op::Pool(_) | Op::Resample(_)),
        };
        if !keeps {
            return id;
        }
        id = node.inputs[0];
    }
}

pub(super) fn is_free(graph: &Graph, id: NodeId) -> bool {
    match &graph.node(id).op {
        Op::Conv(conv) => !keeps_lanes(graph, conv),
        Op::Linear { .. } | Op::Separable(_) => true,
        _ => false,
    }
}

/// Whether a convolution is depthwise, so that its result has its input's lanes. Such a one may
/// read and write one buffer.
pub(crate) fn keeps_lanes(graph: &Graph, conv: &Conv) -> bool {
    let weight = &graph.constant(conv.weight).shape;
    conv.groups > 1 && weight[1] == 1 && conv.dilation == [1, 1] && !conv.gate && conv.residual.is_none() && !conv.pool
}

fn resolve(graph: &Graph, id: NodeId, wants: &[Option<NodeId>], done: &mut [Option<Layout>], busy: &mut [bool]) -> Layout {
    if let Some(layout) = &done[id.0] {
        return layout.clone();
    }
    let plain = Layout::plain(graph.channels(id));
    if busy[id.0] {
        return plain; // a wish that depends on itself
    }
    busy[id.0] = true;
    let node = graph.node(id);
    let mut of = |id: NodeId| resolve(graph, id, wants, done, busy);
    let layout = match &node.op {
        Op::Conv(conv) if keeps_lanes(graph, conv) => of(node.inputs[0]).multiplied(graph.channels(id) / conv.groups),
        op if op.keeps_channels() => of(node.inputs[0]),
        Op::ResampleProduct(_) => of(node.inputs[node.inputs.len() - 1]),
        Op::Concat => {
            let mut lanes = Vec::new();
            let mut start = 0;
            for &input in &node.inputs {
                lanes.extend(of(input).lanes().iter().map(|&l| if l == PAD { PAD } else { l + start }));
                start += graph.channels(input) as u32;
            }
            Layout { lanes: lanes.into() }
        }
        Op::Ghost(ghost) => {
            let m = graph.constant(ghost.primary).shape[0];
            let groups = graph.constant(ghost.cheap).shape[0] / m;
            if ghost.ghosts_first { Layout::ghosts_first(m, groups) } else { Layout::ghost(m, groups, ghost.c_out) }
        }
        op => match (selection(op), wants[id.0]) {
            (Some(channels), _) => of(node.inputs[0]).select(&channels).map_or(plain, |(_, layout)| layout),
            (None, Some(other)) if graph.channels(other) == graph.channels(id) => of(other),
            _ => plain,
        },
    };
    busy[id.0] = false;
    done[id.0] = Some(layout.clone());
    layout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ghost_parts_are_padded_and_cut() {
        // ratio 3, m = 3, 8 of 9 channels: channel 3 + i * 2 + r is ghost r of map i.
        assert_eq!(Layout::ghost(3, 2, 8).lanes(), [0, 1, 2, PAD, 3, 5, 7, PAD, 4, 6, PAD, PAD]);
        assert_eq!(Layout::ghosts_first(3, 2).lanes(), [6, 7, 8, PAD, 0, 2, 4, PAD, 1, 3, 5, PAD]);
        for layout in [Layout::ghost(3, 2, 9), Layout::ghosts_first(3, 2)] {
            assert_eq!(layout.ghosts(3), [0, 2, 4, PAD, 1, 3, 5, PAD]);
        }
    }

    #[test]
    fn slices_on_whole_blocks_are_views() {
        let ghost = Layout::ghost(6, 1, 12);
        let slice = |layout: &Layout, start: u32, len: u32| layout.select(&(start..start + len).collect::<Vec<_>>());
        let (first, second_half) = slice(&ghost, 6, 6).unwrap();
        assert_eq!((first, second_half), (2, Layout::plain(6)));
        assert_eq!(slice(&ghost, 0, 7), None);
        assert_eq!(slice(&Layout::plain(12), 4, 4).unwrap().0, 1);
        assert_eq!(slice(&Layout::plain(12), 2, 4), None);
        // A shuffle only numbers channels anew; so does a choice of whole blocks.
        let (first, shuffled) = ghost.select(&[0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]).unwrap();
        assert_eq!((first, shuffled.lanes()), (0, &[0, 2, 4, 6, 8, 10, PAD, PAD, 1, 3, 5, 7, 9, 11, PAD, PAD][..]));
        assert_eq!(shuffled.select(&[1, 5, 3, 7, 11, 9]).unwrap().1.lanes(), [0, 2, 1, 3, 5, 4, PAD, PAD]);
        assert_eq!(shuffled.select(&[0, 1, 2]), None);
    }

    #[test]
    fn multiplied_lanes_are_group_by_group() {
        assert_eq!(Layout::plain(3).multiplied(2).lanes(), [0, 2, 4, PAD, 1, 3, 5, PAD]);
    }
}
