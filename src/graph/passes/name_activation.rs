//! Activations that a file spells out become one: `x * sigmoid(x)`, and what is made of
//! `min(max(x + 3, 0), 6)`.

use super::each;
use crate::graph::{Activation, Graph, NodeId, Op};

pub(super) fn run(graph: &mut Graph) -> usize {
    each(graph, |graph, id, _| {
        let Some((activation, x)) = named(graph, id) else { return false };
        let name = graph.node(id).name.clone();
        graph.replace(id, name, Op::Activate(activation), vec![x]);
        true
    })
}

fn named(graph: &Graph, id: NodeId) -> Option<(Activation, NodeId)> {
    let node = graph.node(id);
    match node.op {
        Op::Multiply => products(graph, id).find_map(|(x, factor)| match graph.node(factor).op {
            Op::Activate(Activation::HardSigmoid) if graph.node(factor).inputs == [x] => Some((Activation::HardSwish, x)),
            Op::Activate(Activation::Sigmoid) if graph.node(factor).inputs == [x] => Some((Activation::Silu, x)),
            _ => None,
        }),
        Op::BatchNorm { .. } => {
            let source = scaled(graph, id, 1.0 / 6.0, 0.0)?;
            if let Some(x) = shifted_relu6(graph, source) {
                return Some((Activation::HardSigmoid, x));
            }
            if graph.node(source).op != Op::Multiply {
                return None;
            }
            products(graph, source).find(|(x, factor)| shifted_relu6(graph, *factor) == Some(*x)).map(|(x, _)| (Activation::HardSwish, x))
        }
        _ => None,
    }
}

/// A product's factors, in both orders.
fn products(graph: &Graph, id: NodeId) -> impl Iterator<Item = (NodeId, NodeId)> {
    let [a, b] = [graph.node(id).inputs[0], graph.node(id).inputs[1]];
    [(a, b), (b, a)].into_iter()
}

/// The x of `relu6(x + 3)`.
fn shifted_relu6(graph: &Graph, id: NodeId) -> Option<NodeId> {
    let node = graph.node(id);
    if node.op == Op::Activate(Activation::Relu6) { scaled(graph, node.inputs[0], 1.0, 3.0) } else { None }
}

/// The x of `x * scale + shift`, the same for all channels.
fn scaled(graph: &Graph, id: NodeId, scale: f32, shift: f32) -> Option<NodeId> {
    let node = graph.node(id);
    let Op::BatchNorm { weight, bias, mean, var, eps } = node.op else { return None };
    let all = |id, wanted: f32| graph.constant(id).data.iter().all(|value| (value - wanted).abs() <= 1e-6);
    (eps == 0.0 && all(weight, scale) && all(bias, shift) && all(mean, 0.0) && all(var, 1.0)).then(|| node.inputs[0])
}
