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
                Op::BatchNorm { .. } | Op::Activate(_) | Op::Pool(_) | Op::GlobalPool | Op::Resample(_) => {
                    orders.join(at, node.inputs[0].0)
                }
                Op::Add | Op::Multiply => node.inputs.iter().for_each(|input| orders.join(at, input.0)),
                _ => [NodeId(at)].iter().chain(&node.inputs).for_each(|id| orders.fix(*id)),
            }
        }
        let marked = graph.features.iter().map(|(_, node)| *node).chain(graph.embedding);
        graph.leaving().map(|output| output.node).chain(marked).for_each(|id| orders.fix(id));
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
    /// that comes to a place. Its nodes are where they were, its results those of the graph.
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

#[cfg(test)]
mod tests {
    use super::super::super::{Shape, reference::evaluate};
    use super::*;

    /// Every kind of node that has an order or knows it, channels in reverse where they may be.
    #[test]
    fn another_order_changes_no_result() {
        let mut graph = Graph::new();
        let input = graph.add_input(3).unwrap();
        let mut seed = 0u32;
        let mut constant = |graph: &mut Graph, shape: &[usize]| {
            let value = |at: usize| ((at as u32 * 7919 + seed * 104_729) % 997) as f32 / 997.0 + 0.1;
            let data: Vec<f32> = (0..shape.iter().product()).map(value).collect();
            seed += 1;
            graph.add_constant(format!("c{seed}"), shape, data).unwrap()
        };
        let add = |graph: &mut Graph, op: Op, inputs: &[NodeId]| graph.add(format!("n{}", graph.nodes().len()), op, inputs).unwrap();
        let weight = constant(&mut graph, &[6, 3, 3, 3]);
        let bias = constant(&mut graph, &[6]);
        let stem = add(&mut graph, Op::Conv(Conv::new(weight).bias(bias).pad(1)), &[input]);
        let [weight, bias, mean, var] = [(); 4].map(|()| constant(&mut graph, &[6]));
        let x = add(&mut graph, Op::BatchNorm { weight, bias, mean, var, eps: 1e-3 }, &[stem]);
        let slope = constant(&mut graph, &[6]);
        let x = add(&mut graph, Op::Activate(Activation::PRelu(slope)), &[x]);
        let weight = constant(&mut graph, &[6, 1, 3, 3]);
        let x = add(&mut graph, Op::Conv(Conv::new(weight).pad(1).groups(6)), &[x]);
        let mean = add(&mut graph, Op::GlobalPool, &[x]);
        let weights = [constant(&mut graph, &[2, 6, 1, 1]), constant(&mut graph, &[6, 2, 1, 1])];
        let gate = weights.into_iter().fold(mean, |x, weight| add(&mut graph, Op::Conv(Conv::new(weight)), &[x]));
        let x = add(&mut graph, Op::Multiply, &[x, gate]);
        let weight = constant(&mut graph, &[6, 6, 1, 1]);
        let y = add(&mut graph, Op::Conv(Conv::new(weight)), &[x]);
        let sum = add(&mut graph, Op::Add, &[x, y]);
        // Groups of several channels know their order, and so do results.
        let weight = constant(&mut graph, &[8, 3, 1, 1]);
        let dense = constant(&mut graph, &[6, 6, 1, 1]);
        let halves = constant(&mut graph, &[6, 3, 1, 1]);
        let z = add(&mut graph, Op::Conv(Conv::new(dense)), &[sum]);
        assert!(Orders::of(&graph).free(z).is_some());
        let z = add(&mut graph, Op::Conv(Conv::new(halves).groups(2)), &[z]);
        let z = add(&mut graph, Op::Slice { start: 2, len: 3 }, &[z]);
        let z = add(&mut graph, Op::Conv(Conv::new(weight)), &[z]);
        let mean = add(&mut graph, Op::GlobalPool, &[z]);
        let (weight, bias) = (constant(&mut graph, &[5, 8]), constant(&mut graph, &[5]));
        let result = add(&mut graph, Op::Linear { weight, bias: Some(bias), activation: Activation::Identity }, &[mean]);
        graph.add_output("y", result);

        let orders = Orders::of(&graph);
        let groups: Vec<Option<usize>> = (0..graph.nodes().len()).map(|at| orders.free(NodeId(at))).collect();
        assert_eq!(groups[stem.0], groups[sum.0]);
        assert!(groups[stem.0].is_some() && groups[z.0].is_some() && groups[result.0].is_none() && groups[input.0].is_none());
        let reversed = groups.iter().flatten().map(|&group| (group, (0..graph.channels(NodeId(group))).rev().collect())).collect();
        let reordered = orders.reordered(&graph, &reversed);
        let shape = Shape::new(1, 3, 4, 5);
        let values: Vec<f32> = (0..shape.count()).map(|at| (at * 31 % 17) as f32 / 17.0).collect();
        let [a, b] = [&graph, &reordered].map(|graph| evaluate(graph, &[(&values, shape)]));
        assert!(a[sum.0] != b[sum.0]);
        for (a, b) in a[result.0].iter().zip(&b[result.0]) {
            assert!((a - b).abs() <= 1e-6 * a.abs(), "{a} {b}");
        }
    }
}
