//! BatchNorm after a convolution or linear layer becomes part of its weights, and one that only
//! scales becomes part of those of the convolutions after it. A BatchNorm elsewhere becomes a 1x1
//! depthwise convolution. The folding is done in f64 and rounded once.

use super::each;
use crate::graph::{Activation, ConstId, Constant, Conv, Graph, NodeId, Op};

/// `y = x * scale + shift` for each channel of a BatchNorm.
pub(in crate::graph) fn scale_and_shift(graph: &Graph, id: NodeId) -> (Vec<f64>, Vec<f64>) {
    let Op::BatchNorm { weight, bias, mean, var, eps } = graph.node(id).op else { unreachable!("the caller looks") };
    let value = |id: ConstId, c: usize| f64::from(graph.constant(id).data[c]);
    let channel = |c| {
        let scale = value(weight, c) / (value(var, c) + f64::from(eps)).sqrt();
        (scale, value(bias, c) - value(mean, c) * scale)
    };
    (0..graph.channels(id)).map(channel).unzip()
}

pub(super) fn run(graph: &mut Graph) -> usize {
    each(graph, |graph, id, uses| {
        let node = graph.node(id).clone();
        let Op::BatchNorm { bias: shift_of, .. } = node.op else { return false };
        let channels = graph.channels(id);
        let (scale, shift) = scale_and_shift(graph, id);
        let vector = |graph: &Graph, values: Vec<f64>| Constant {
            name: graph.constant(shift_of).name.clone(),
            shape: vec![channels],
            data: values.into_iter().map(|v| v as f32).collect(),
        };

        let mut source = graph.node(node.inputs[0]).clone();
        let folded = match &mut source.op {
            Op::Conv(conv) if !conv.gate && conv.residual.is_none() && !conv.pool && conv.activation == Activation::Identity => {
                Some((&mut conv.weight, &mut conv.bias))
            }
            Op::Linear { weight, bias, activation: Activation::Identity } => Some((weight, bias)),
            _ => None,
        };
        let folded = folded.filter(|_| uses[node.inputs[0].0] == 1);
        if let Some((weight, bias)) = folded {
            let per_channel = graph.constant(*weight).data.len() / channels;
            let filters = scaled(graph.constant(*weight), |at| scale[at / per_channel]);
            let old = |c: usize| bias.map_or(0.0, |bias| f64::from(graph.constant(bias).data[c]));
            let shift = vector(graph, (0..channels).map(|c| old(c) * scale[c] + shift[c]).collect());
            *weight = graph.push_constant(filters);
            *bias = Some(graph.push_constant(shift));
            graph.replace(id, source.name, source.op, source.inputs);
        // Zeros around the map stay zeros.
        } else if shift.iter().all(|shift| *shift == 0.0) && only_convolved(graph, id, uses) {
            for user in users(graph, id) {
                let Op::Conv(conv) = graph.node(user).op.clone() else { continue };
                let filters = graph.constant(conv.weight);
                let [c_out, of_group] = [filters.shape[0], filters.shape[1]];
                let taps = filters.data.len() / (c_out * of_group).max(1);
                let channel = |at: usize| at / (taps * of_group) / (c_out / conv.groups) * of_group + at / taps % of_group;
                let filters = scaled(filters, |at| scale[channel(at)]);
                let weight = graph.push_constant(filters);
                let (name, inputs) = (graph.node(user).name.clone(), node.inputs.clone());
                graph.replace(user, name, Op::Conv(Conv { weight, ..conv }), inputs);
            }
        } else {
            let scale = Constant { shape: vec![channels, 1, 1, 1], ..vector(graph, scale) };
            let shift = vector(graph, shift);
            let (weight, bias) = (graph.push_constant(scale), graph.push_constant(shift));
            graph.replace(id, node.name, Op::Conv(Conv::new(weight).bias(bias).groups(channels)), node.inputs);
        }
        true
    })
}

/// The constant with each of its values multiplied.
fn scaled(constant: &Constant, by: impl Fn(usize) -> f64) -> Constant {
    let data = constant.data.iter().enumerate().map(|(at, &value)| (f64::from(value) * by(at)) as f32).collect();
    Constant { name: constant.name.clone(), shape: constant.shape.clone(), data }
}

/// The nodes that read a node.
fn users(graph: &Graph, id: NodeId) -> Vec<NodeId> {
    (0..graph.nodes().len()).map(NodeId).filter(|user| graph.node(*user).inputs.contains(&id)).collect()
}

/// Whether convolutions read a node, and nothing else.
fn only_convolved(graph: &Graph, id: NodeId, uses: &[usize]) -> bool {
    let users = users(graph, id);
    let convolved = |user: &NodeId| matches!(&graph.node(*user).op, Op::Conv(conv) if !conv.gate && conv.residual.is_none());
    !users.is_empty() && users.len() == uses[id.0] && users.iter().all(convolved)
}
