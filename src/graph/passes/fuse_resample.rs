//! A product with a resampled map is made while that is resampled.

use super::each;
use crate::graph::{Graph, Op};

pub(super) fn run(graph: &mut Graph) -> usize {
    each(graph, |graph, id, uses| {
        let node = graph.node(id);
        // The second operand may be of one pixel, the first never is of fewer pixels.
        let &[factor, resampled] = &node.inputs[..] else { return false };
        let source = graph.node(resampled);
        let Op::Resample(resample) = source.op else { return false };
        if node.op != Op::Multiply || uses[resampled.0] != 1 || factor == resampled {
            return false;
        }
        let inputs = source.inputs.iter().copied().chain([factor]).collect();
        graph.replace(id, node.name.clone(), Op::ResampleProduct(resample), inputs);
        true
    })
}
