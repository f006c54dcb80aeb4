//! Builds a network's graph: nodes and weights by names in scopes, as PyTorch's modules nest.

use super::{checkpoint::Checkpoint, formula};
use crate::{
    Error, Result,
    graph::{Activation, ConstId, Conv, Graph, NodeId, Op, TensorType},
    tensor::count,
    text::Sides,
};

/// PyTorch's default, which all families keep.
const BATCH_NORM_EPS: f32 = 1e-5;

/// Where a network's weights come from while its graph is built. It remembers every name and shape
/// it was asked for.
pub struct Source<'a> {
    kind: SourceKind<'a>,
    /// Names and shapes, in the order of the network.
    pub tensors: Vec<(String, Vec<usize>)>,
}

enum SourceKind<'a> {
    Zeros,
    Formula { seed: u64, gain: f64 },
    Checkpoint(&'a Checkpoint),
}

impl<'a> Source<'a> {
    /// Zeros, for what only needs shapes.
    pub fn zeros() -> Self {
        Self { kind: SourceKind::Zeros, tensors: Vec::new() }
    }

    /// The formula of `tools/golden.py`; seed 0 gives its numbers.
    pub fn formula(seed: u64) -> Self {
        Self::formula_of(seed, formula::GAIN)
    }

    /// The same with another gain.
    pub fn formula_of(seed: u64, gain: f64) -> Self {
        Self { kind: SourceKind::Formula { seed, gain }, tensors: Vec::new() }
    }

    /// A checkpoint.
    pub fn checkpoint(checkpoint: &'a Checkpoint) -> Self {
        Self { kind: SourceKind::Checkpoint(checkpoint), tensors: Vec::new() }
    }

    /// Adds the tensor `name` of this shape to the graph.
    pub fn constant(&mut self, graph: &mut Graph, name: &str, shape: &[usize]) -> Result<ConstId> {
        self.tensors.push((name.to_string(), shape.to_vec()));
        // A checkpoint holds what it has; the others would make what no memory holds.
        const MOST: usize = 1 << 29;
        if count(shape).is_none_or(|count| count > MOST) {
            return Err(Error::shape(name, format!("{} has more than {MOST} values", Sides(shape))));
        }
        match self.kind {
            SourceKind::Zeros => graph.add_constant(name, shape, vec![0.0; shape.iter().product()]),
            SourceKind::Formula { seed, gain } => graph.add_constant(name, shape, formula::values_of(name, seed, shape, gain)),
            SourceKind::Checkpoint(checkpoint) => {
                let found = checkpoint.get(name).filter(|tensor| tensor.shape == shape && tensor.is_sound());
                let missing = || Error::weights(checkpoint.file(), format!("no tensor `{name}` of shape {}", Sides(shape)));
                graph.add_constant(name, shape, found.ok_or_else(missing)?.data.clone())
            }
        }
    }
}

/// What a convolution is, beside its weights.
#[derive(Clone, Copy)]
pub(super) struct Filters {
    c_in: usize,
    c_out: usize,
    kernel: [usize; 2],
    stride: usize,
    groups: usize,
    bias: bool,
}

impl Filters {
    /// Dense, square, of stride 1, without a bias.
    pub fn new(c_in: usize, c_out: usize, kernel: usize) -> Self {
        Self { c_in, c_out, kernel: [kernel; 2], stride: 1, groups: 1, bias: false }
    }

    /// Of so many rows and columns.
    pub fn kernel(self, kernel: [usize; 2]) -> Self {
        Self { kernel, ..self }
    }

    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    pub fn depthwise(self) -> Self {
        Self { groups: self.c_in, ..self }
    }

    pub fn bias(self) -> Self {
        Self { bias: true, ..self }
    }
}

/// A graph that grows, and where its weights come from. All names are of the builder's scope: those
/// of a network's module.
pub(super) struct Builder<'b, 's> {
    graph: &'b mut Graph,
    source: &'b mut Source<'s>,
    /// Ends with a dot, or is empty.
    scope: String,
}

impl<'b, 's> Builder<'b, 's> {
    pub fn new(graph: &'b mut Graph, source: &'b mut Source<'s>) -> Self {
        Self { graph, source, scope: String::new() }
    }

    /// The same graph, with names that begin with `name` and a dot.
    pub fn scope(&mut self, name: &str) -> Builder<'_, 's> {
        let scope = self.name(name) + ".";
        Builder { graph: self.graph, source: self.source, scope }
    }

    /// A name of this scope, as the graph has it.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.scope)
    }

    pub fn input(&mut self, channels: usize) -> Result<NodeId> {
        self.graph.add_input(channels)
    }

    /// An input of one channel by its name and sides.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn input_of(&mut self, name: &str, tensor: TensorType) -> Result<NodeId> {
        self.graph.add_input_of(name, 1, tensor)
    }

    /// A result that is maps, by a name of no scope.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn maps(&mut self, name: &str, node: NodeId) {
        self.graph.add_output(name, node);
    }

    /// A result that is vectors, `[n, c]`.
    pub fn vectors(&mut self, name: &str, node: NodeId) {
        let name = self.name(name);
        self.graph.add_output_of(name, node, TensorType::vectors());
    }

    pub fn feature(&mut self, name: &str, node: NodeId) {
        let name = self.name(name);
        self.graph.add_feature(name, node);
    }

    pub fn embedding(&mut self, node: NodeId) {
        self.graph.set_embedding(node);
    }

    pub fn add(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        let name = self.name(name);
        self.graph.add(name, op, inputs)
    }

    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<ConstId> {
        let name = self.name(name);
        self.source.constant(self.graph, &name, shape)
    }

    /// A convolution with "same" padding, tensors `NAME.weight` and `NAME.bias`.
    pub fn conv(&mut self, name: &str, input: NodeId, filters: Filters) -> Result<NodeId> {
        self.conv_of(name, name, input, filters)
    }

    /// As [`Builder::conv`], where the tensors are `TENSORS.weight` and `TENSORS.bias`: PyTorch
    /// numbers what is in a sequence.
    pub fn conv_of(&mut self, name: &str, tensors: &str, input: NodeId, f: Filters) -> Result<NodeId> {
        let conv = self.filters(tensors, f)?;
        self.add(name, Op::Conv(conv), &[input])
    }

    /// A convolution that any number of nodes may be, as [`Builder::conv`] makes one of its own.
    pub fn filters(&mut self, tensors: &str, f: Filters) -> Result<Conv> {
        let mut part = self.scope(tensors);
        let [kh, kw] = f.kernel;
        let weight = part.tensor("weight", &[f.c_out, f.c_in / f.groups, kh, kw])?;
        let conv = Conv { pad: [kh / 2, kw / 2], ..Conv::new(weight).stride(f.stride).groups(f.groups) };
        Ok(if f.bias { conv.bias(part.tensor("bias", &[f.c_out])?) } else { conv })
    }

    /// A fully connected layer on each of the parts, squares of `kernel` pixels' side, into which a
    /// map falls, as a convolution: tensors `NAME.weight` `[outputs, c * kernel * kernel]` and
    /// `NAME.bias`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn linear_of_parts(&mut self, name: &str, input: NodeId, kernel: usize, outputs: usize) -> Result<NodeId> {
        let c = self.graph.channels(input);
        let mut part = self.scope(name);
        let (weight, bias) = (part.tensor("weight", &[outputs, c * kernel * kernel])?, part.tensor("bias", &[outputs])?);
        self.graph.constants[weight.0].shape = vec![outputs, c, kernel, kernel];
        self.add(name, Op::Conv(Conv::new(weight).bias(bias).stride(kernel)), &[input])
    }

    /// A batch normalisation of PyTorch's usual epsilon, tensors `NAME.weight`, `NAME.bias`,
    /// `NAME.running_mean` and `NAME.running_var`.
    pub fn batch_norm(&mut self, name: &str, input: NodeId) -> Result<NodeId> {
        let c = [self.graph.channels(input)];
        let mut part = self.scope(name);
        let (weight, bias) = (part.tensor("weight", &c)?, part.tensor("bias", &c)?);
        let (mean, var) = (part.tensor("running_mean", &c)?, part.tensor("running_var", &c)?);
        self.add(name, Op::BatchNorm { weight, bias, mean, var, eps: BATCH_NORM_EPS }, &[input])
    }

    /// A convolution `CONV` without a bias and its batch normalisation `NORM`.
    pub fn conv_norm(&mut self, [conv, norm]: [&str; 2], input: NodeId, filters: Filters) -> Result<NodeId> {
        let y = self.conv(conv, input, filters)?;
        self.batch_norm(norm, y)
    }

    pub fn activate(&mut self, name: &str, input: NodeId, activation: Activation) -> Result<NodeId> {
        self.add(name, Op::Activate(activation), &[input])
    }

    /// A fully connected layer, tensors `NAME.weight` and `NAME.bias`.
    pub fn linear(&mut self, name: &str, input: NodeId, outputs: usize) -> Result<NodeId> {
        let inputs = self.graph.channels(input);
        let mut part = self.scope(name);
        let (weight, bias) = (part.tensor("weight", &[outputs, inputs])?, part.tensor("bias", &[outputs])?);
        self.add(name, Op::Linear { weight, bias: Some(bias), activation: Activation::Identity }, &[input])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_their_scopes() {
        let (mut graph, mut source) = (Graph::new(), Source::zeros());
        let mut b = Builder::new(&mut graph, &mut source);
        let x = b.input(4).unwrap();
        assert_eq!(b.scope("blocks.0").scope("ghost1").name("a"), "blocks.0.ghost1.a");
        let mut outer = b.scope("outer");
        let y = outer.scope("inner").conv_of("conv", "0", x, Filters::new(4, 2, 3).bias()).unwrap();
        let z = outer.batch_norm("bn", y).unwrap();
        outer.vectors("result", z);
        let names: Vec<&str> = graph.nodes().iter().map(|node| &node.name[..]).collect();
        assert_eq!(names[1..], ["outer.inner.conv", "outer.bn"]);
        assert_eq!(graph.outputs()[0].name, "outer.result");
        let tensors: Vec<&str> = source.tensors.iter().map(|(name, _)| &name[..]).collect();
        let bn = ["outer.bn.weight", "outer.bn.bias", "outer.bn.running_mean", "outer.bn.running_var"];
        assert_eq!(tensors, [&["outer.inner.0.weight", "outer.inner.0.bias"], &bn[..]].concat());
    }
}
