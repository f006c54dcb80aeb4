//! A concatenation of a 1x1 convolution and a depthwise convolution of it, in either order, or the
//! first channels of one, is a ghost module.

use super::{each, parent_name};
use crate::graph::{Ghost, Graph, NodeId, Op};

pub(super) fn run(graph: &mut Graph) -> usize {
    let modules = each(graph, |graph, id, uses| {
        if graph.node(id).op != Op::Concat {
            return false;
        }
        let &[first, second] = &graph.node(id).inputs[..] else { return false };
        let orders = [([first, second], false), ([second, first], true)];
        let Some((name, ghost, input)) = orders.into_iter().find_map(|(maps, swapped)| ghost_module(graph, maps, swapped, uses)) else {
            return false;
        };
        graph.replace(id, name, Op::Ghost(ghost), vec![input]);
        true
    });
    // The cut to c_out, where the concatenation made more.
    each(graph, |graph, id, uses| {
        let node = graph.node(id);
        let Op::Slice { start: 0, len } = node.op else { return false };
        let source_id = node.inputs[0];
        let source = graph.node(source_id).clone();
        match source.op {
            Op::Ghost(ghost) if !ghost.ghosts_first && uses[source_id.0] == 1 && len >= graph.constant(ghost.primary).shape[0] => {
                graph.replace(id, source.name, Op::Ghost(Ghost { c_out: len, ..ghost }), source.inputs);
                true
            }
            _ => false,
        }
    });
    modules
}

fn ghost_module(graph: &Graph, [primary_id, cheap_id]: [NodeId; 2], ghosts_first: bool, uses: &[usize]) -> Option<(String, Ghost, NodeId)> {
    let (primary_node, cheap_node) = (graph.node(primary_id), graph.node(cheap_id));
    let (Op::Conv(primary), Op::Conv(cheap)) = (&primary_node.op, &cheap_node.op) else { return None };
    let kernel = &graph.constant(cheap.weight).shape[2..];
    let odd_square = kernel[0] == kernel[1] && kernel[0] % 2 == 1 && cheap.pad == [kernel[0] / 2; 2] && cheap.pad_more == [0, 0];
    let plain = |c: &crate::graph::Conv| !c.gate && c.residual.is_none() && !c.pool;
    // The primary maps are used by the concatenation and the cheap operation only, so they need not
    // be kept by themselves.
    let fits = primary.is_pointwise(&graph.constants)
        && cheap.is_depthwise(&graph.constants)
        && cheap_node.inputs == [primary_id]
        && (uses[primary_id.0], uses[cheap_id.0]) == (2, 1)
        && odd_square
        && cheap.stride == [1, 1]
        && cheap.dilation == [1, 1]
        && plain(primary)
        && plain(cheap);
    if !fits {
        return None;
    }
    let ghost = Ghost {
        primary: primary.weight,
        primary_bias: primary.bias,
        primary_activation: primary.activation,
        cheap: cheap.weight,
        cheap_bias: cheap.bias,
        cheap_activation: cheap.activation,
        c_out: graph.channels(primary_id) + graph.channels(cheap_id),
        ghosts_first,
        gate: false,
        residual: None,
    };
    Some((parent_name(&primary_node.name), ghost, primary_node.inputs[0]))
}
