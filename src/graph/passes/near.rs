//! What the passes nearly fused, and why they did not.

use crate::graph::{Activation, Conv, Graph, NodeId, Op, SqueezeExcite};

/// An operation that no pass fused, though one nearly did.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    /// The node.
    pub node: String,
    /// The pass that nearly fused it.
    pub pass: &'static str,
    /// What kept it from that, in words.
    pub why: String,
}

/// What is left in a graph after all passes that looks like a pattern of theirs.
pub fn near(graph: &Graph) -> Vec<Near> {
    let look = Look { graph, uses: graph.uses() };
    let nodes = (0..graph.nodes().len()).map(NodeId);
    let found = nodes.filter_map(|id| {
        let (pass, why) = match &graph.node(id).op {
            Op::Concat => ("fuse_ghost", look.ghost(id)?),
            Op::Activate(_) => ("fuse_activation", look.activation(id)?),
            Op::Multiply => ("fuse_squeeze_excite", look.gate(id)?),
            Op::Add => ("fuse_residual", look.residual(id)?),
            Op::GlobalPool => ("fuse_pool", look.pool(id)?),
            _ => return None,
        };
        Some(Near { node: graph.node(id).name.clone(), pass, why })
    });
    found.collect()
}

struct Look<'a> {
    graph: &'a Graph,
    uses: Vec<usize>,
}

impl Look<'_> {
    fn conv(&self, id: NodeId) -> Option<&Conv> {
        if let Op::Conv(conv) = &self.graph.node(id).op { Some(conv) } else { None }
    }

    fn input(&self, id: NodeId, at: usize) -> NodeId {
        self.graph.node(id).inputs[at]
    }

    fn name(&self, id: NodeId) -> &str {
        &self.graph.node(id).name
    }

    /// "`NAME` is used 2 times": other nodes, or results of the graph, read it too.
    fn used(&self, id: NodeId, wanted: usize) -> Option<String> {
        let uses = self.uses[id.0];
        (uses != wanted).then(|| format!("`{}` is used {uses} times, not {wanted}", self.name(id)))
    }

    fn kernel(&self, conv: &Conv) -> [usize; 2] {
        let shape = &self.graph.constant(conv.weight).shape;
        [shape[2], shape[3]]
    }

    /// A concatenation of maps and of what a depthwise convolution makes of them.
    fn ghost(&self, id: NodeId) -> Option<String> {
        let &[first, second] = &self.graph.node(id).inputs[..] else { return None };
        let derived = |cheap: NodeId, primary: NodeId| {
            let conv = self.conv(cheap)?;
            (conv.is_depthwise(&self.graph.constants) && self.input(cheap, 0) == primary).then_some(conv)
        };
        let (cheap, [first, second]) = match derived(second, first) {
            Some(cheap) => (cheap, [first, second]),
            None => (derived(first, second)?, [second, first]),
        };
        let [kh, kw] = self.kernel(cheap);
        let Some(primary) = self.conv(first) else {
            return Some(format!("`{}` is {}, not a 1x1 convolution", self.name(first), self.graph.node(first).op.name()));
        };
        if !primary.is_pointwise(&self.graph.constants) {
            let [h, w] = self.kernel(primary);
            return Some(format!("the primary convolution `{}` is {h} x {w} or strided, not 1 x 1", self.name(first)));
        }
        if kh != kw || kh % 2 == 0 || cheap.pad != [kh / 2; 2] || cheap.pad_more != [0, 0] {
            return Some(format!("the cheap operation `{}` is {kh} x {kw}, not odd, square and padded to its size", self.name(second)));
        }
        if cheap.stride != [1, 1] || cheap.dilation != [1, 1] {
            return Some(format!("the cheap operation `{}` has a stride or a dilation", self.name(second)));
        }
        self.used(first, 2).or_else(|| self.used(second, 1))
    }

    fn activation(&self, id: NodeId) -> Option<String> {
        let source = self.input(id, 0);
        match &self.graph.node(source).op {
            Op::Conv(conv) => self.used(source, 1).or_else(|| {
                Some(
                    match (conv.residual, conv.pool) {
                        (Some(Activation::Identity), _) => "it follows a sum that is fused, and does more than to bound it",
                        (Some(_), _) | (None, false) => "the convolution has an activation",
                        (None, true) => "it follows a mean that is fused",
                    }
                    .into(),
                )
            }),
            Op::Linear { .. } => self.used(source, 1),
            _ => None,
        }
    }

    /// A product with a gate `[n, c, 1, 1]` of two layers on one-pixel maps.
    fn gate(&self, id: NodeId) -> Option<String> {
        let gate = self.input(id, 1);
        if matches!(self.graph.node(gate).op, Op::SqueezeExcite(_)) {
            return None;
        }
        let expand = self.conv(gate)?;
        let reduce_id = self.input(gate, 0);
        self.conv(reduce_id)?;
        let pool = self.input(reduce_id, 0);
        if !expand.is_pointwise(&self.graph.constants) || self.graph.node(pool).op != Op::GlobalPool {
            return None;
        }
        let channels = [gate, reduce_id].map(|id| self.graph.channels(id));
        if channels.iter().zip(SqueezeExcite::MOST_CHANNELS).any(|(has, most)| *has > most) {
            let [most, most_reduced] = SqueezeExcite::MOST_CHANNELS;
            let [c, reduced] = channels;
            return Some(format!("{c} and {reduced} channels, at most {most} and {most_reduced} fit into workgroup memory"));
        }
        self.used(gate, 1).or_else(|| self.used(reduce_id, 1)).or_else(|| self.used(pool, 1))
    }

    /// A sum with the result of a convolution or a ghost module.
    fn residual(&self, id: NodeId) -> Option<String> {
        let takes = |id: NodeId| match &self.graph.node(id).op {
            Op::Ghost(_) => true,
            Op::Conv(conv) => !conv.is_depthwise(&self.graph.constants),
            _ => false,
        };
        let source = [0, 1].map(|at| self.input(id, at)).into_iter().find(|source| takes(*source))?;
        self.used(source, 1).or_else(|| Some(format!("`{}` has a sum fused already", self.name(source))))
    }

    fn pool(&self, id: NodeId) -> Option<String> {
        let source = self.input(id, 0);
        let conv = self.conv(source)?;
        if !conv.is_pointwise(&self.graph.constants) {
            return None;
        }
        self.used(source, 1)
    }
}
