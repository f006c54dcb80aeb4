//! A sum with the result of a ghost module or 1x1 convolution is done while that result is written.

use super::each;
use crate::graph::{Conv, Ghost, Graph, NodeId, Op};

pub(super) fn run(graph: &mut Graph) -> usize {
    each(graph, |graph, id, uses| {
        let node = graph.node(id);
        if node.op != Op::Add {
            return false;
        }
        // A ghost module first, then the later operand: by then the other exists.
        let mut operands = [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])];
        let rank = |(a, _): (NodeId, NodeId)| (matches!(graph.node(a).op, Op::Ghost(_)), a);
        if rank(operands[0]) < rank(operands[1]) {
            operands.swap(0, 1);
        }
        for (source_id, other) in operands {
            if source_id == other || uses[source_id.0] != 1 {
                continue;
            }
            let Some(op) = with_residual(graph, source_id) else { continue };
            let source = graph.node(source_id).clone();
            let inputs = source.inputs.iter().copied().chain([other]).collect();
            graph.replace(id, source.name, op, inputs);
            return true;
        }
        false
    })
}

fn with_residual(graph: &Graph, id: NodeId) -> Option<Op> {
    match &graph.node(id).op {
        Op::Ghost(ghost) if !ghost.residual => Some(Op::Ghost(Ghost { residual: true, ..ghost.clone() })),
        Op::Conv(conv) if conv.is_pointwise(&graph.constants) && !conv.residual && !conv.pool => {
            Some(Op::Conv(Conv { residual: true, ..conv.clone() }))
        }
        _ => None,
    }
}
