//! Orders of channels: which nodes share one, and the same network with others.

use super::super::{Activation, ConstId, Constant, Conv, Graph, NodeId, Op};
use std::collections::BTreeMap;

/// Which nodes have their channels in one order.
pub(super) struct Orders {
    /// Leads to the first node of a group, which leads to itself.
    first: Vec<usize>,
    /// Of each group's first node: something outside knows the order.
    is_fixed: Vec<bool>,
}

impl Orders {
    pub fn of(graph: &Graph) -> Self {
        let count = graph.nodes().len();
        let mut orders = Self { first: (0..count).collect(), is_fixed: vec![false; count] };
        for (at, node) in graph.nodes().iter().enumerate() {
            match &node.op {
                Op::Conv(conv) if conv.groups == 1 => {}
                Op::Linear { .. } => {}
                Op::Conv(conv) if conv.is_depthwise(&graph.constants) && graph.channels(NodeId(at)) == conv.groups => {
                    orders.join(at, node.inputs[0].0);
                }
                // Its second input only tells a size.
                Op::BatchNorm { .. } | Op::Activate(_) | Op::Pool(_) | Op::GlobalPool | Op::Resample(_) => orders.join(at, node.inputs[0].0),
                Op::Add | Op::Multiply => node.inputs.iter().for_each(|input| orders.join(at, input.0)),
                _ => [NodeId(at)].iter().chain(&node.inputs).for_each(|id| orders.fix(*id)),
            }
        }
        let marked = graph.features.iter().map(|(_, node)| *node).chain(graph.embedding);
        graph.outputs().iter().map(|output| output.node).chain(marked).for_each(|id| orders.fix(id));
        orders
    }

    fn first(&self, mut at: usize) -> usize {
        while self.first[at] != at {
            at = self.first[at];
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.first(a), self.first(b));
        let (first, other) = (a.min(b), a.max(b));
        self.first[other] = first;
        self.is_fixed[first] |= self.is_fixed[other];
    }

    fn fix(&mut self, id: NodeId) {
        let first = self.first(id.0);
        self.is_fixed[first] = true;
    }

    /// The group of a node whose order may be any.
    pub fn free(&self, id: NodeId) -> Option<usize> {
        Some(self.first(id.0)).filter(|first| !self.is_fixed[*first])
    }

    /// The graph with the channels of some groups in another order: `order[place]` is the channel
    /// that comes to a place. Its nodes are where they were, and its results are those of the graph.
    pub fn reordered(&self, graph: &Graph, orders: &BTreeMap<usize, Vec<usize>>) -> Graph {
        let mut made = Reordered { constants: graph.constants.clone(), known: BTreeMap::new(), orders };
        let mut reordered = graph.clone();
        for (at, node) in reordered.nodes.iter_mut().enumerate() {
            let group = |id: NodeId| self.free(id).filter(|group| orders.contains_key(group));
            let rows = group(NodeId(at));
            let columns = node.inputs.first().and_then(|input| group(*input));
            match &mut node.op {
                Op::Conv(Conv { weight, bias, activation, groups, .. }) => {
                    made.change(weight, rows, columns.filter(|_| *groups == 1));
                    bias.iter_mut().for_each(|bias| made.change(bias, rows, None));
                    made.parameter(activation, rows);
                }
                Op::Linear { weight, bias, activation } => {
                    made.change(weight, rows, columns);
                    bias.iter_mut().for_each(|bias| made.change(bias, rows, None));
                    made.parameter(activation, rows);
                }
                Op::BatchNorm { weight, bias, mean, var, .. } => {
                    [weight, bias, mean, var].into_iter().for_each(|id| made.change(id, rows, None));
                }
                Op::Activate(activation) => made.parameter(activation, rows),
                _ => {}
            }
        }
        reordered.constants = made.constants;
        reordered
    }
}

struct Reordered<'a> {
    constants: Vec<Constant>,
    /// What became of a constant in the orders of groups.
    known: BTreeMap<(usize, Option<usize>, Option<usize>), ConstId>,
    orders: &'a BTreeMap<usize, Vec<usize>>,
}

impl Reordered<'_> {
    fn parameter(&mut self, activation: &mut Activation, rows: Option<usize>) {
        activation.parameter_mut().into_iter().for_each(|id| self.change(id, rows, None));
    }

    /// Puts the constant in its place whose first two sides are in the orders of these groups.
    fn change(&mut self, id: &mut ConstId, rows: Option<usize>, columns: Option<usize>) {
        if rows.is_none() && columns.is_none() {
            return;
        }
        let constants = &mut self.constants;
        *id = *self.known.entry((id.0, rows, columns)).or_insert_with(|| {
            let Constant { name, shape, data } = constants[id.0].clone();
            let [c_out, c_in] = [shape[0], shape.get(1).copied().unwrap_or(1)];
            let taps = data.len() / (c_out * c_in).max(1);
            let from = |group: Option<usize>, place: usize| group.map_or(place, |group| self.orders[&group][place]);
            let places = (0..c_out).flat_map(|row| (0..c_in).map(move |column| (row, column)));
            let starts = places.map(|(row, column)| (from(rows, row) * c_in + from(columns, column)) * taps);
            let data = starts.flat_map(|start| data[start..start + taps].iter().copied()).collect();
            constants.push(Constant { name, shape, data });
            ConstId(constants.len() - 1)
        });
    }
}
