//! A sum with the result of a ghost module, or of a convolution that is not depthwise, is done while
//! that result is written, and so is an activation of the sum that only bounds it.

use super::each;
use crate::graph::{Activation, Conv, Ghost, Graph, NodeId, Op};

pub(super) fn run(graph: &mut Graph) -> usize {
    let sums = each(graph, |graph, id, uses| {
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
    });
    let activations = each(graph, |graph, id, uses| {
        let node = graph.node(id);
        let Op::Activate(activation @ (Activation::Relu | Activation::Relu6)) = node.op else { return false };
        let source_id = node.inputs[0];
        let mut source = graph.node(source_id).clone();
        let (Op::Ghost(Ghost { residual: Some(of_sum), .. }) | Op::Conv(Conv { residual: Some(of_sum), .. })) = &mut source.op else {
            return false;
        };
        if uses[source_id.0] != 1 || *of_sum != Activation::Identity {
            return false;
        }
        *of_sum = activation;
        graph.replace(id, source.name, source.op, source.inputs);
        true
    });
    sums + activations
}

fn with_residual(graph: &Graph, id: NodeId) -> Option<Op> {
    let residual = Some(Activation::Identity);
    match &graph.node(id).op {
        Op::Ghost(ghost) if ghost.residual.is_none() => Some(Op::Ghost(Ghost { residual, ..ghost.clone() })),
        Op::Conv(conv) if !conv.is_depthwise(&graph.constants) && conv.residual.is_none() && !conv.pool => {
            Some(Op::Conv(Conv { residual, ..conv.clone() }))
        }
        _ => None,
    }
}
