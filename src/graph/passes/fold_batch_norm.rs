//! BatchNorm after a convolution becomes part of its weights, and one that only scales becomes part
//! of those of the convolutions after it. A BatchNorm elsewhere becomes a 1x1 depthwise convolution.
//! The folding is done in f64 and rounded once.

use super::each;
use crate::graph::{ConstId, Constant, Conv, Graph, NodeId, Op};

pub(super) fn run(graph: &mut Graph) -> usize {
    each(graph, |graph, id, uses| {
        let node = graph.node(id).clone();
        let Op::BatchNorm { weight, bias, mean, var, eps } = node.op else { return false };
        let value = |id: ConstId, c: usize| f64::from(graph.constant(id).data[c]);
        let channels = graph.channels(id);
        // y = x * scale + shift
        let (scale, shift): (Vec<f64>, Vec<f64>) = (0..channels)
            .map(|c| {
                let scale = value(weight, c) / (value(var, c) + f64::from(eps)).sqrt();
                (scale, value(bias, c) - value(mean, c) * scale)
            })
            .unzip();
        let vector = |values: Vec<f64>| Constant {
            name: graph.constant(bias).name.clone(),
            shape: vec![channels],
            data: values.into_iter().map(|v| v as f32).collect(),
        };

        let source = graph.node(node.inputs[0]).clone();
        match source.op {
            Op::Conv(conv)
                if uses[node.inputs[0].0] == 1 && !conv.gate && !conv.residual && !conv.pool && conv.activation == Default::default() =>
            {
                let filters = graph.constant(conv.weight);
                let per_channel = filters.data.len() / channels;
                let data = filters.data.iter().enumerate().map(|(i, &w)| (f64::from(w) * scale[i / per_channel]) as f32).collect();
                let filters = Constant { name: filters.name.clone(), shape: filters.shape.clone(), data };
                let old_bias = |c: usize| conv.bias.map_or(0.0, |b| value(b, c));
                let shift = vector((0..channels).map(|c| old_bias(c) * scale[c] + shift[c]).collect());
                let (weight, bias) = (graph.push_constant(filters), graph.push_constant(shift));
                graph.replace(id, source.name, Op::Conv(Conv { weight, bias: Some(bias), ..conv }), source.inputs);
            }
            // Zeros around the map stay zeros.
            _ if shift.iter().all(|shift| *shift == 0.0) && only_convolved(graph, id, uses) => {
                for user in users(graph, id) {
                    let Op::Conv(conv) = graph.node(user).op.clone() else { continue };
                    let filters = graph.constant(conv.weight);
                    let [c_out, of_group] = [filters.shape[0], filters.shape[1]];
                    let taps = filters.data.len() / (c_out * of_group).max(1);
                    let channel = |at: usize| at / (taps * of_group) / (c_out / conv.groups) * of_group + at / taps % of_group;
                    let data = filters.data.iter().enumerate().map(|(at, &w)| (f64::from(w) * scale[channel(at)]) as f32).collect();
                    let filters = Constant { name: filters.name.clone(), shape: filters.shape.clone(), data };
                    let weight = graph.push_constant(filters);
                    let (name, inputs) = (graph.node(user).name.clone(), node.inputs.clone());
                    graph.replace(user, name, Op::Conv(Conv { weight, ..conv }), inputs);
                }
            }
            _ => {
                let scale = Constant { shape: vec![channels, 1, 1, 1], ..vector(scale) };
                let shift = vector(shift);
                let (weight, bias) = (graph.push_constant(scale), graph.push_constant(shift));
                graph.replace(id, node.name, Op::Conv(Conv::new(weight).bias(bias).groups(channels)), node.inputs);
            }
        }
        true
    })
}

/// The nodes that read a node.
fn users(graph: &Graph, id: NodeId) -> Vec<NodeId> {
    (0..graph.nodes().len()).map(NodeId).filter(|user| graph.node(*user).inputs.contains(&id)).collect()
}

/// Whether convolutions read a node, and nothing else.
fn only_convolved(graph: &Graph, id: NodeId, uses: &[usize]) -> bool {
    let users = users(graph, id);
    let convolved = |user: &NodeId| matches!(&graph.node(*user).op, Op::Conv(conv) if !conv.gate && !conv.residual);
    !users.is_empty() && users.len() == uses[id.0] && users.iter().all(convolved)
}
