//! Mean of the map, 1x1 convolution, 1x1 convolution becomes one operation: the gate of a
//! squeeze-and-excite.

use super::{each, parent_name};
use crate::graph::{Graph, Op, SqueezeExcite};

pub(super) fn run(graph: &mut Graph) -> usize {
    each(graph, |graph, id, uses| {
        let sole_source = |id: crate::graph::NodeId| {
            let input = graph.node(id).inputs[0];
            (uses[input.0] == 1).then_some(input)
        };
        let conv = |id| match &graph.node(id).op {
            // The kernel has no room for an activation's parameter.
            Op::Conv(c)
                if c.is_pointwise(&graph.constants) && !c.gate && c.residual.is_none() && !c.pool && c.activation.parameter().is_none() =>
            {
                Some(c.clone())
            }
            _ => None,
        };
        let Some(expand) = conv(id) else { return false };
        // The gate is f32 in any precision, which only products know.
        let products = graph.nodes().iter().filter(|n| n.op == Op::Multiply && n.inputs[1] == id && n.inputs[0] != id).count();
        if products != uses[id.0] {
            return false;
        }
        let Some(reduce_id) = sole_source(id) else { return false };
        let Some(reduce) = conv(reduce_id) else { return false };
        let Some(pool_id) = sole_source(reduce_id) else { return false };
        let pool = graph.node(pool_id);
        // The gate has as many channels as what it was made from. Anything else is a classifier's
        // head.
        if pool.op != Op::GlobalPool
            || graph.channels(pool_id) != graph.channels(id)
            || [graph.channels(id), graph.channels(reduce_id)].iter().zip(SqueezeExcite::MOST_CHANNELS).any(|(has, most)| *has > most)
        {
            return false;
        }
        let (name, input) = (parent_name(&graph.node(id).name), pool.inputs[0]);
        let op = Op::SqueezeExcite(SqueezeExcite {
            reduce: reduce.weight,
            reduce_bias: reduce.bias,
            reduce_activation: reduce.activation,
            expand: expand.weight,
            expand_bias: expand.bias,
            gate_activation: expand.activation,
        });
        graph.replace(id, name, op, vec![input]);
        true
    })
}
