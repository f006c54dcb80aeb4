//! A mean over the whole map of a 1x1 convolution's result is made by the convolution, which then
//! writes no map.

use super::each;
use crate::graph::{Conv, Graph, Op};

pub(super) fn run(graph: &mut Graph) -> usize {
    each(graph, |graph, id, uses| {
        let node = graph.node(id);
        if node.op != Op::GlobalPool {
            return false;
        }
        let source_id = node.inputs[0];
        let source = graph.node(source_id).clone();
        match source.op {
            Op::Conv(conv) if uses[source_id.0] == 1 && conv.is_pointwise(&graph.constants) && conv.residual.is_none() && !conv.pool => {
                graph.replace(id, source.name, Op::Conv(Conv { pool: true, ..conv }), source.inputs);
                true
            }
            _ => false,
        }
    })
}
