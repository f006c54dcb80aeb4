//! A product with a squeeze-and-excite's gate that only feeds a ghost module or 1x1 convolution is
//! done there, while it reads its input.

use super::each;
use crate::graph::{Conv, Ghost, Graph, Op};

pub(super) fn run(graph: &mut Graph) -> usize {
    each(graph, |graph, id, uses| {
        let node = graph.node(id).clone();
        let op = match node.op {
            Op::Ghost(ghost) if !ghost.gate => Op::Ghost(Ghost { gate: true, ..ghost }),
            Op::Conv(conv) if conv.is_pointwise(&graph.constants) && !conv.gate => Op::Conv(Conv { gate: true, ..conv }),
            _ => return false,
        };
        let product_id = node.inputs[0];
        let product = graph.node(product_id);
        let &[x, gate] = &product.inputs[..] else { return false };
        if product.op != Op::Multiply || uses[product_id.0] != 1 || !matches!(graph.node(gate).op, Op::SqueezeExcite(_)) {
            return false;
        }
        let inputs = [x, gate].into_iter().chain(node.inputs[1..].iter().copied()).collect();
        graph.replace(id, node.name, op, inputs);
        true
    })
}
