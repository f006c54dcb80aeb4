//! An activation after a convolution or linear layer becomes part of it.

use super::each;
use crate::graph::{Activation, Conv, Graph, Op};

pub(super) fn run(graph: &mut Graph) -> usize {
    each(graph, |graph, id, uses| {
        let node = graph.node(id);
        let Op::Activate(activation) = node.op else { return false };
        let source_id = node.inputs[0];
        let source = graph.node(source_id).clone();
        if uses[source_id.0] != 1 {
            return false;
        }
        let op = match source.op {
            Op::Conv(conv) if conv.activation == Activation::Identity && conv.residual.is_none() && !conv.pool => {
                Op::Conv(Conv { activation, ..conv })
            }
            Op::Linear { weight, bias, activation: Activation::Identity } => Op::Linear { weight, bias, activation },
            _ => return false,
        };
        graph.replace(id, source.name, op, source.inputs);
        true
    })
}
