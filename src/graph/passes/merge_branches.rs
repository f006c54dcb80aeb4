//! Parallel convolutions of one input whose results are added are one convolution, and so are they
//! with a batch normalisation of that input: networks are trained so (RepVGG, MobileOne,
//! GhostNetV3). The merging is done in f64 and rounded once.

use crate::graph::{Activation, Constant, Conv, Graph, NodeId, Op};

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
    /// `None` for the input itself.
    conv: Option<Conv>,
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Branch {
    fn new(graph: &Graph, mut id: NodeId, uses: &[usize]) -> Option<Self> {
        let channels = graph.channels(id);
        let (mut scale, mut shift) = (vec![1.0; channels], vec![0.0; channels]);
        let alone = |id: NodeId| uses[id.0] == 1;
        if !alone(id) {
            return None;
        }
        let is_normalised = if let Op::BatchNorm { .. } = graph.node(id).op {
            (scale, shift) = super::fold_batch_norm::scale_and_shift(graph, id);
            id = graph.node(id).inputs[0];
            true
        } else {
            false
        };
        let node = graph.node(id);
        match &node.op {
            Op::Conv(conv) if alone(id) && is_plain(conv) => {
                if let Some(bias) = conv.bias {
                    let bias = &graph.constant(bias).data;
                    shift.iter_mut().zip(&scale).zip(&bias[..]).for_each(|((shift, scale), bias)| *shift += scale * f64::from(*bias));
                }
                Some(Self { input: node.inputs[0], conv: Some(conv.clone()), scale, shift })
            }
            _ if is_normalised => Some(Self { input: id, conv: None, scale, shift }),
            _ => None,
        }
    }

    /// Rows and columns of its filters.
    fn kernel(&self, graph: &Graph) -> [usize; 2] {
        self.conv.as_ref().map_or([1, 1], |conv| [2, 3].map(|axis| graph.constant(conv.weight).shape[axis]))
    }
}

fn is_plain(conv: &Conv) -> bool {
    !(conv.gate || conv.residual || conv.pool) && conv.activation == Activation::Identity && conv.dilation == [1, 1]
}

/// The convolution that does what the branches do together; `None` where there is none, or it would
/// multiply more.
fn merge(graph: &mut Graph, sum: NodeId, branches: &[Branch]) -> Option<(Conv, NodeId)> {
    let input = branches[0].input;
    let first = branches.iter().find_map(|branch| branch.conv.clone())?;
    let (c_in, c_out) = (graph.channels(input), graph.channels(sum));
    let groups = branches.iter().filter_map(|branch| branch.conv.as_ref()).map(|conv| conv.groups).min()?;
    // The input itself is a depthwise convolution of stride 1.
    let conv_of = |branch: &Branch| branch.conv.clone().unwrap_or(Conv { groups: c_in, ..Conv::new(first.weight) });
    let pad = [0, 1].map(|axis| branches.iter().map(|branch| conv_of(branch).pad[axis]).max().unwrap_or(0));
    let kernel = [0, 1].map(|axis| {
        let end = |branch: &Branch| branch.kernel(graph)[axis] + pad[axis] - conv_of(branch).pad[axis];
        branches.iter().map(end).max().unwrap_or(1)
    });
    // Rows and columns that a map loses: the same for all, since the results are added.
    let lost =
        |conv: &Conv, kernel: [usize; 2]| [0, 1].map(|axis| kernel[axis] as isize - 2 * conv.pad[axis] as isize - conv.pad_more[axis]);
    let rest = lost(&first, branches.iter().find(|branch| branch.conv.is_some())?.kernel(graph));
    let fits = |branch: &Branch| {
        let conv = conv_of(branch);
        branch.input == input
            && conv.stride == first.stride
            && conv.groups.is_multiple_of(groups)
            && (branch.conv.is_some() || c_in == c_out)
            && lost(&conv, branch.kernel(graph)) == rest
    };
    let inputs_of_one = c_in / groups;
    let size = c_out * inputs_of_one * kernel[0] * kernel[1];
    let sizes = branches.iter().map(|branch| branch.conv.as_ref().map_or(c_in, |conv| graph.constant(conv.weight).data.len()));
    if branches.len() < 2 || !branches.iter().all(fits) || size > sizes.sum() {
        return None;
    }

    let (mut weight, mut bias) = (vec![0.0f64; size], vec![0.0f64; c_out]);
    for branch in branches {
        let conv = conv_of(branch);
        let [kh, kw] = branch.kernel(graph);
        let (from, first_tap) = (c_in / conv.groups, [0, 1].map(|axis| pad[axis] - conv.pad[axis]));
        let values = branch.conv.as_ref().map(|conv| &graph.constant(conv.weight).data);
        for o in 0..c_out {
            bias[o] += branch.shift[o];
            // The first input of the branch's own group, in the merged one.
            let start = o / (c_out / conv.groups) * from - o / (c_out / groups) * inputs_of_one;
            for (i, y, x) in (0..from).flat_map(|i| (0..kh).flat_map(move |y| (0..kw).map(move |x| (i, y, x)))) {
                let value = values.map_or(1.0, |values| f64::from(values[((o * from + i) * kh + y) * kw + x]));
                let to = ((o * inputs_of_one + start + i) * kernel[0] + first_tap[0] + y) * kernel[1] + first_tap[1] + x;
                weight[to] += branch.scale[o] * value;
            }
        }
    }
    let name = graph.node(sum).name.clone();
    let constant = |part: &str, shape: Vec<usize>, values: Vec<f64>| Constant {
        name: format!("{name}.{part}"),
        shape,
        data: values.into_iter().map(|value| value as f32).collect(),
    };
    let weight = constant("weight", vec![c_out, inputs_of_one, kernel[0], kernel[1]], weight);
    let bias = constant("bias", vec![c_out], bias);
    let pad_more = [0, 1].map(|axis| kernel[axis] as isize - 2 * pad[axis] as isize - rest[axis]);
    let (weight, bias) = (graph.push_constant(weight), graph.push_constant(bias));
    Some((Conv { bias: Some(bias), stride: first.stride, pad, pad_more, groups, ..Conv::new(weight) }, input))
}
