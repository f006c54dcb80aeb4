//! A convolution of which others take channels, each with an activation of its own or into a
//! concatenation, is a convolution for each of them. So a detector's head, of which only the
//! scores become probabilities, is written once and to its place. Channels that nobody takes are
//! not computed.

use crate::graph::{Activation, Constant, Conv, Graph, NodeId, Op};

/// Parts of one convolution at most.
const MOST: usize = 16;

pub(super) fn run(graph: &mut Graph) -> usize {
    // The browser package has no room for this.
    if cfg!(target_arch = "wasm32") {
        return 0;
    }
    let mut readers: Vec<Vec<NodeId>> = vec![Vec::new(); graph.nodes().len()];
    for (at, node) in graph.nodes().iter().enumerate() {
        node.inputs.iter().for_each(|input| readers[input.0].push(NodeId(at)));
    }
    let mut is_result = vec![false; graph.nodes().len()];
    graph.leaving().for_each(|output| is_result[output.node.0] = true);
    let mut count = 0;
    for at in 0..graph.nodes().len() {
        let Op::Conv(conv) = graph.nodes()[at].op.clone() else { continue };
        if conv.groups == 1
            && conv.activation.parameter().is_none()
            && let Some(parts) = parts(graph, NodeId(at), &conv, &readers, &is_result)
        {
            parts.into_iter().for_each(|part| split(graph, NodeId(at), &conv, part));
            count += 1;
        }
    }
    count
}

/// Some channels that a node takes.
struct Part {
    node: NodeId,
    start: usize,
    len: usize,
    activation: Activation,
}

/// What is taken of a convolution, where that is all that is done with it and worth splitting it.
fn parts(graph: &Graph, id: NodeId, conv: &Conv, readers: &[Vec<NodeId>], is_result: &[bool]) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut is_worth_it = false;
    let mut sources = vec![(id, conv.activation)];
    while let Some((source, activation)) = sources.pop() {
        if is_result[source.0] {
            return None;
        }
        for &node in &readers[source.0] {
            match graph.node(node).op {
                Op::Slice { start, len } => {
                    is_worth_it |= source != id || readers[node.0].iter().any(|reader| graph.node(*reader).op == Op::Concat);
                    parts.push(Part { node, start, len, activation });
                }
                Op::Activate(by) if source == id && activation == Activation::Identity && by.parameter().is_none() => {
                    sources.push((node, by));
                }
                _ => return None,
            }
        }
        if parts.len() > MOST {
            return None;
        }
    }
    let end = |part: &Part| part.start + part.len;
    let is_apart = |(at, a): (usize, &Part)| parts[..at].iter().all(|b| end(a) <= b.start || end(b) <= a.start);
    let are_apart = parts.iter().enumerate().all(is_apart);
    let is_less = parts.iter().map(|part| part.len).sum::<usize>() < graph.channels(id);
    ((is_worth_it || is_less && !parts.is_empty()) && are_apart).then_some(parts)
}

/// Puts the convolution of a part's channels in its place.
fn split(graph: &mut Graph, id: NodeId, conv: &Conv, part: Part) {
    let Part { node, start, len, activation } = part;
    let mut rows = |id| {
        let Constant { name, shape, data } = graph.constant(id);
        let row = data.len() / shape[0];
        let (name, shape) = (format!("{name}[{start}..{}]", start + len), [&[len], &shape[1..]].concat());
        let data = data[start * row..][..len * row].into();
        graph.push_constant(Constant { name, shape, data })
    };
    let conv = Conv { weight: rows(conv.weight), bias: conv.bias.map(&mut rows), activation, ..conv.clone() };
    let (name, inputs) = (format!("{}.{start}", graph.node(id).name), graph.node(id).inputs.clone());
    graph.replace(node, name, Op::Conv(conv), inputs);
}
