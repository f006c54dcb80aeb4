//! BatchNorm after a convolution becomes part of its weights. A BatchNorm elsewhere becomes a 1x1
//! depthwise convolution. The folding is done in f64 and rounded once.

use super::each;
use crate::graph::{ConstId, Constant, Conv, Graph, NodeId, Op};

/// `y = x * scale + shift` for each channel of a BatchNorm.
pub(super) fn scale_and_shift(graph: &Graph, id: NodeId) -> (Vec<f64>, Vec<f64>) {
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
        let Op::BatchNorm { bias, .. } = node.op else { return false };
        let channels = graph.channels(id);
        let (scale, shift) = scale_and_shift(graph, id);
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
                let old_bias = |c: usize| conv.bias.map_or(0.0, |b| f64::from(graph.constant(b).data[c]));
                let shift = vector((0..channels).map(|c| old_bias(c) * scale[c] + shift[c]).collect());
                let (weight, bias) = (graph.push_constant(filters), graph.push_constant(shift));
                graph.replace(id, source.name, Op::Conv(Conv { weight, bias: Some(bias), ..conv }), source.inputs);
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
