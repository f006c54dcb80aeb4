//! Parallel convolutions of one input whose results are added are one convolution, and so are they
//! with a batch normalisation of that input: networks are trained so (RepVGG, MobileOne,
//! GhostNetV3). The merging is done in f64 and rounded once.

use super::fold_batch_norm::scale_and_shift;
use crate::graph::{Activation, ConstId, Constant, Conv, Graph, NodeId, Op};

/// Branches of one sum at most, so that long chains of sums take no time.
const MOST: usize = 16;

pub(crate) fn run(graph: &mut Graph) -> usize {
    let (mut count, mut uses) = (0, graph.uses_from_outputs());
    // From the last sum on, so that all that it adds up is seen at once.
    for at in (0..graph.nodes().len()).rev() {
        let id = NodeId(at);
        if graph.node(id).op != Op::Add || uses[at] == 0 {
            continue;
        }
        let Some((conv, input)) = branches(graph, id, &uses).and_then(|branches| merge(graph, id, &branches)) else { continue };
        graph.replace(id, graph.node(id).name.clone(), Op::Conv(conv), vec![input]);
        (count, uses) = (count + 1, graph.uses_from_outputs());
    }
    count
}

/// What a sum of sums adds up, where all of it are branches.
fn branches(graph: &Graph, sum: NodeId, uses: &[usize]) -> Option<Vec<Branch>> {
    let (mut open, mut branches) = (graph.node(sum).inputs.clone(), Vec::new());
    while let Some(id) = open.pop() {
        match graph.node(id).op {
            Op::Add if uses[id.0] == 1 => open.extend(&graph.node(id).inputs),
            _ => branches.push(Branch::new(graph, id, uses)?),
        }
        if open.len() + branches.len() > MOST {
            return None;
        }
    }
    Some(branches)
}

/// A convolution of `input` as what follows it leaves it: each output channel is multiplied, and
/// something is added.
struct Branch {
    input: NodeId,
    /// `None` for the input itself: one tap of 1 a channel.
    weight: Option<ConstId>,
    kernel: [usize; 2],
    pad: [usize; 2],
    /// Rows and columns that a map loses, at stride 1.
    lost: [i64; 2],
    stride: [usize; 2],
    groups: usize,
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Branch {
    fn new(graph: &Graph, mut id: NodeId, uses: &[usize]) -> Option<Self> {
        let channels = graph.channels(id);
        let (mut scale, mut shift) = (vec![1.0; channels], vec![0.0; channels]);
        let is_normalised = matches!(graph.node(id).op, Op::BatchNorm { .. });
        if uses[id.0] != 1 {
            return None;
        }
        if is_normalised {
            (scale, shift) = scale_and_shift(graph, id);
            id = graph.node(id).inputs[0];
        }
        let node = graph.node(id);
        let Op::Conv(conv) = &node.op else {
            let itself =
                Self { input: id, weight: None, kernel: [1, 1], pad: [0, 0], lost: [0, 0], stride: [1, 1], groups: channels, scale, shift };
            return is_normalised.then_some(itself);
        };
        let is_plain =
            !(conv.gate || conv.residual.is_some() || conv.pool) && conv.activation == Activation::Identity && conv.dilation == [1, 1];
        if !is_plain || uses[id.0] != 1 {
            return None;
        }
        if let Some(bias) = conv.bias {
            let bias = &graph.constant(bias).data;
            for c in 0..channels {
                shift[c] += scale[c] * f64::from(bias[c]);
            }
        }
        let shape = &graph.constant(conv.weight).shape;
        let (kernel, pad) = ([shape[2], shape[3]], conv.pad);
        let lost = [0, 1].map(|axis| kernel[axis] as i64 - 1 - 2 * pad[axis] as i64 - conv.pad_more[axis] as i64);
        let (stride, groups) = (conv.stride, conv.groups);
        Some(Self { input: node.inputs[0], weight: Some(conv.weight), kernel, pad, lost, stride, groups, scale, shift })
    }

    /// Input channels of one output channel.
    fn inputs_of_one(&self, graph: &Graph) -> usize {
        graph.channels(self.input) / self.groups
    }
}

/// The convolution that does what the branches do together; `None` where there is none, or it would
/// multiply more.
fn merge(graph: &mut Graph, sum: NodeId, branches: &[Branch]) -> Option<(Conv, NodeId)> {
    let (first, c_out) = (&branches[0], graph.channels(sum));
    // The window that all windows fit into, and the largest groups.
    let (mut pad, mut kernel, mut groups, mut products) = ([0, 0], [1, 1], usize::MAX, 0);
    for branch in branches {
        if branch.input != first.input || branch.stride != first.stride || branch.lost != first.lost {
            return None;
        }
        pad = [0, 1].map(|axis| branch.pad[axis].max(pad[axis]));
        groups = groups.min(branch.groups);
        products += c_out * branch.inputs_of_one(graph) * branch.kernel[0] * branch.kernel[1];
    }
    for branch in branches {
        kernel = [0, 1].map(|axis| (branch.kernel[axis] + pad[axis] - branch.pad[axis]).max(kernel[axis]));
        if !branch.groups.is_multiple_of(groups) || branch.weight.is_none() && graph.channels(first.input) != c_out {
            return None;
        }
    }
    let inputs_of_one = graph.channels(first.input) / groups;
    let shape = [c_out, inputs_of_one, kernel[0], kernel[1]];
    let size = shape.into_iter().try_fold(1usize, |size, side| size.checked_mul(side)).filter(|size| *size <= products)?;

    let (mut weight, mut bias) = (vec![0.0f64; size], vec![0.0f64; c_out]);
    for branch in branches {
        let (from, [kh, kw]) = (branch.inputs_of_one(graph), branch.kernel);
        let values = branch.weight.map(|weight| &graph.constant(weight).data[..]);
        let mut at = 0;
        for (o, bias) in bias.iter_mut().enumerate() {
            *bias += branch.shift[o];
            // The first input of the branch's own group, in the merged one.
            let start = o / (c_out / branch.groups) * from - o / (c_out / groups) * inputs_of_one;
            for i in 0..from {
                for y in 0..kh {
                    for x in 0..kw {
                        let row = (o * inputs_of_one + start + i) * kernel[0] + pad[0] - branch.pad[0] + y;
                        let value = values.map_or(1.0, |values| f64::from(values[at]));
                        weight[row * kernel[1] + pad[1] - branch.pad[1] + x] += branch.scale[o] * value;
                        at += 1;
                    }
                }
            }
        }
    }
    let name = graph.node(sum).name.clone();
    let mut constant = |part: &str, shape: &[usize], values: &[f64]| {
        let data = values.iter().map(|value| *value as f32).collect();
        graph.push_constant(Constant { name: name.clone() + part, shape: shape.into(), data })
    };
    let (weight, bias) = (constant(".weight", &shape, &weight), constant(".bias", &[c_out], &bias));
    let pad_more = [0, 1].map(|axis| (kernel[axis] as i64 - 1 - 2 * pad[axis] as i64 - first.lost[axis]) as isize);
    Some((Conv { bias: Some(bias), stride: first.stride, pad, pad_more, groups, ..Conv::new(weight) }, first.input))
}
