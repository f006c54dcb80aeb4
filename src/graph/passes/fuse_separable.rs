//! A 1x1 convolution of a depthwise convolution that nothing else uses is one operation.

use super::each;
use crate::graph::{Graph, Op, Separable};

pub(super) fn run(graph: &mut Graph) -> usize {
    each(graph, |graph, id, uses| {
        let node = graph.node(id);
        let Op::Conv(pointwise) = &node.op else { return false };
        let source_id = node.inputs[0];
        let source = graph.node(source_id);
        let Op::Conv(depthwise) = &source.op else { return false };
        let multiplier_one = graph.channels(source_id) == graph.channels(source.inputs[0]);
        let fits = uses[source_id.0] == 1
            && pointwise.is_pointwise(&graph.constants)
            && !(pointwise.gate || pointwise.residual.is_some() || pointwise.pool)
            && depthwise.is_depthwise(&graph.constants)
            && depthwise.dilation == [1, 1]
            && multiplier_one;
        if !fits {
            return false;
        }
        let op = Op::Separable(Separable { depthwise: depthwise.clone(), pointwise: pointwise.clone() });
        let (name, inputs) = (super::parent_name(&node.name), source.inputs.clone());
        graph.replace(id, name, op, inputs);
        true
    })
}
