//! Convolutions become ghost modules (Han et al., CVPR 2020, section 3.1), with weights made of
//! the old ones: some filters stay, and each of the others becomes a multiple of one of them.
//!
//! A module's ghosts come after its intrinsic maps, so that a channel's place says of which map its
//! ghost is made. Where nothing but weights knows the order of the channels they are put into one
//! in which filters that are alike meet. Elsewhere the order stays, and with it who meets whom.

mod fit;
mod orders;

use super::{Activation, Constant, Conv, Graph, NodeId, Op, Shape};
use crate::{Error, Result, graph::passes::fold_batch_norm::scale_and_shift};
use fit::Filters;
use orders::Orders;
use std::collections::BTreeMap;

/// How convolutions become ghost modules.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ghostify {
    /// Ratio s of the paper: one map of so many is intrinsic. At least 2.
    pub ratio: usize,
    /// Kernel d of the cheap operation: odd.
    pub cheap_kernel: usize,
    /// Names of convolutions, in which `*` stands for any text and `?` for any character. Empty:
    /// all that can, but the graph's first convolution.
    pub layers: Vec<String>,
}

impl Default for Ghostify {
    /// GhostNet's: s = 2, d = 3.
    fn default() -> Self {
        Self { ratio: 2, cheap_kernel: 3, layers: Vec::new() }
    }
}

impl Ghostify {
    /// Sets [`Ghostify::ratio`].
    pub fn ratio(self, ratio: usize) -> Self {
        Self { ratio, ..self }
    }

    /// Sets [`Ghostify::cheap_kernel`].
    pub fn cheap_kernel(self, cheap_kernel: usize) -> Self {
        Self { cheap_kernel, ..self }
    }

    /// Sets [`Ghostify::layers`].
    pub fn layers(self, layers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { layers: layers.into_iter().map(Into::into).collect(), ..self }
    }
}

/// A convolution that became a ghost module.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Ghostified {
    /// The convolution's name, and the module's.
    pub name: String,
    /// Input and output channels.
    pub channels: [usize; 2],
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Maps that the primary convolution computes.
    pub intrinsic: usize,
    /// Trainable parameters before and after, the normalisation's included.
    pub params: [u64; 2],
    /// Multiply-adds before and after.
    pub macs: [u64; 2],
    /// The relative L2 error of the filters, normalisation folded: of old ones to what the module
    /// has in their place.
    pub error: f64,
    /// The channels were put into another order, so that filters that are alike meet.
    pub is_reordered: bool,
}

/// Convolutions of fewer channels stay as they are.
const LEAST_CHANNELS: usize = 8;

/// The largest kernel of a cheap operation.
const LARGEST_CHEAP: usize = 31;

/// Orders of more channels stay as they are: pairs are compared with each other.
const MOST_REORDERED: usize = 2048;

/// A convolution, and what follows it and nothing else.
struct Layer {
    conv: NodeId,
    norm: Option<NodeId>,
    /// What both parts of the module apply.
    activation: Activation,
    /// The last of these nodes.
    last: NodeId,
}

impl Graph {
    /// The graph with ghost modules in the place of convolutions: dense ones of at least 8 channels
    /// whose maps have more than one pixel. `inputs` are shapes as [`Graph::shapes`] takes them,
    /// for which multiply-adds are counted.
    ///
    /// A primary convolution of the old kernel, stride and padding computes `ceil(c / ratio)` maps,
    /// a depthwise convolution makes the others of these, and both are normalised as the old one
    /// was. A ReLU or ReLU6 follows both, as in the paper. Any other activation follows their
    /// concatenation: of a multiple of its own results it makes something else.
    ///
    /// The filters of the intrinsic maps are old ones. Each of the others becomes the multiple of
    /// one of these that is nearest in the sense of least squares: the cheap operation's middle
    /// tap, of the other taps all are 0. In front of a ReLU multiples are not negative.
    ///
    /// # Errors
    /// [`Error::Model`] for a ratio below 2 or above a layer's channels, an even cheap kernel, and
    /// where a name fits nothing. [`Error::Shape`] where the shapes do not fit.
    pub fn ghostify(&self, how: &Ghostify, inputs: &[Shape]) -> Result<(Self, Vec<Ghostified>)> {
        if how.ratio < 2 {
            return Err(Error::Model(format!("ratio {}: a ghost module has at least 2 maps for each intrinsic one", how.ratio)));
        }
        if how.cheap_kernel.is_multiple_of(2) || how.cheap_kernel > LARGEST_CHEAP {
            return Err(Error::Model(format!(
                "a cheap operation of {0} x {0}: an odd kernel up to {LARGEST_CHEAP} is needed",
                how.cheap_kernel
            )));
        }
        let shapes = self.shapes(inputs)?;
        let chosen = self.chosen(how, &shapes)?;
        if let Some(id) = chosen.iter().find(|id| self.channels(**id) < how.ratio) {
            let what = format!("`{}` has {} channels, fewer than the ratio {}", self.node(*id).name, self.channels(*id), how.ratio);
            return Err(Error::Model(what));
        }
        let layers: Vec<Layer> = chosen.into_iter().map(|id| self.layer(id)).collect();

        let orders = Orders::of(self);
        let mut groups: BTreeMap<usize, Vec<&Layer>> = BTreeMap::new();
        for layer in layers.iter().filter(|layer| self.channels(layer.conv) <= MOST_REORDERED) {
            orders.free(layer.conv).into_iter().for_each(|group| groups.entry(group).or_default().push(layer));
        }
        let order = |(group, layers): (usize, Vec<&Layer>)| {
            let filters: Vec<Filters<'_>> = layers.into_iter().map(|layer| self.filters(layer)).collect();
            (group, fit::order(&filters, how.ratio))
        };
        let order: BTreeMap<usize, Vec<usize>> = groups.into_iter().map(order).collect();
        // Every node stays where it is.
        let graph = orders.reordered(self, &order);
        let mut graph = Rewriting { old: &graph, new: Self { features: self.features.clone(), ..Self::new() }, to: Vec::new() };
        let made = graph.rewrite(how, &layers)?;
        let report = layers.iter().zip(made).map(|(layer, (macs_per_pixel, params, error))| {
            let shape = &self.constant(self.conv(layer.conv).weight).shape;
            let pixels = shapes[layer.conv.0].n * shapes[layer.conv.0].pixels();
            Ghostified {
                name: self.node(layer.conv).name.clone(),
                channels: [self.channels(self.node(layer.conv).inputs[0]), shape[0]],
                kernel: [shape[2], shape[3]],
                intrinsic: shape[0].div_ceil(how.ratio),
                params,
                macs: [self.macs(layer.conv, &shapes), (pixels as u64).saturating_mul(macs_per_pixel)],
                error,
                is_reordered: orders.free(layer.conv).is_some_and(|group| order.contains_key(&group)),
            }
        });
        Ok((graph.new, report.collect()))
    }

    fn conv(&self, id: NodeId) -> &Conv {
        let Op::Conv(conv) = &self.node(id).op else { unreachable!("only convolutions are chosen") };
        conv
    }

    /// The convolutions that `how` names.
    fn chosen(&self, how: &Ghostify, shapes: &[Shape]) -> Result<Vec<NodeId>> {
        let is_conv = |id: &NodeId| matches!(self.node(*id).op, Op::Conv(_));
        let primaries: Vec<NodeId> = self.ghost_modules().iter().filter_map(|module| self.primary(module.node)).collect();
        let can = |id: &NodeId| {
            let is_dense =
                matches!(&self.node(*id).op, Op::Conv(conv) if conv.groups == 1 && !(conv.gate || conv.residual.is_some() || conv.pool));
            is_dense && self.channels(*id) >= LEAST_CHANNELS && shapes[id.0].pixels() > 1 && !primaries.contains(id)
        };
        let nodes = || (0..self.nodes.len()).map(NodeId);
        let first = nodes().find(is_conv);
        let fits = |pattern: &String, id: &NodeId| is_named(&self.node(*id).name, pattern);
        let candidates: Vec<NodeId> = nodes().filter(can).collect();
        let nothing = |what: &str| {
            const SHOWN: usize = 6;
            let names: Vec<String> = candidates.iter().take(SHOWN).map(|id| format!("`{}`", self.node(*id).name)).collect();
            let there = match candidates.len() {
                0 => format!(
                    "no convolution is dense, of {LEAST_CHANNELS} channels or more, on maps of several pixels and in no ghost module"
                ),
                count if count > SHOWN => format!("there are {} and {} more", names.join(", "), count - SHOWN),
                _ => format!("there are {}", names.join(", ")),
            };
            Err(Error::Model(format!("{what}: {there}")))
        };
        if let Some(pattern) = how.layers.iter().find(|pattern| !candidates.iter().any(|id| fits(pattern, id))) {
            return nothing(&format!("`{pattern}` names nothing that can become a ghost module"));
        }
        let chosen = |id: &NodeId| match &how.layers[..] {
            [] => Some(*id) != first,
            patterns => patterns.iter().any(|pattern| fits(pattern, id)),
        };
        let chosen: Vec<NodeId> = candidates.iter().copied().filter(chosen).collect();
        if chosen.is_empty() { nothing("nothing can become a ghost module but the first convolution") } else { Ok(chosen) }
    }

    /// The primary convolution of the ghost module whose maps a node holds.
    fn primary(&self, maps: NodeId) -> Option<NodeId> {
        let mut id = if self.node(maps).op == Op::Concat { maps } else { self.node(maps).inputs[0] };
        while let Op::Concat | Op::BatchNorm { .. } | Op::Activate(_) = self.node(id).op {
            id = self.node(id).inputs[0];
        }
        matches!(self.node(id).op, Op::Conv(_)).then_some(id)
    }

    fn layer(&self, conv: NodeId) -> Layer {
        let uses = self.uses();
        let is_marked = |id: NodeId| self.embedding == Some(id) || self.features.iter().any(|(_, node)| *node == id);
        let next = |id: NodeId| {
            let next = self.nodes.iter().position(|node| node.inputs == [id])?;
            (uses[id.0] == 1 && !is_marked(id)).then_some(NodeId(next))
        };
        let mut layer = Layer { conv, norm: None, activation: Activation::Identity, last: conv };
        if let own @ (Activation::Relu | Activation::Relu6) = self.conv(conv).activation {
            return Layer { activation: own, ..layer };
        }
        if self.conv(conv).activation != Activation::Identity {
            return layer;
        }
        if let Some(norm) = next(conv).filter(|id| matches!(self.node(*id).op, Op::BatchNorm { .. })) {
            (layer.norm, layer.last) = (Some(norm), norm);
        }
        if let Some(id) = next(layer.last)
            && let Op::Activate(activation @ (Activation::Relu | Activation::Relu6)) = self.node(id).op
        {
            (layer.activation, layer.last) = (activation, id);
        }
        layer
    }

    fn filters(&self, layer: &Layer) -> Filters<'_> {
        let scale = layer.norm.map_or_else(|| vec![1.0; self.channels(layer.conv)], |norm| scale_and_shift(self, norm).0);
        let data = &self.constant(self.conv(layer.conv).weight).data;
        Filters { data, scale, is_signed: layer.activation == Activation::Identity }
    }
}

/// A normalisation that is there.
struct Norm {
    eps: f32,
    /// Weight, bias, mean and variance.
    channels: Vec<[f64; 4]>,
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Norm {
    fn of(graph: &Graph, id: NodeId) -> Self {
        let Op::BatchNorm { weight, bias, mean, var, eps } = graph.node(id).op else { unreachable!("a layer's is one") };
        let (scale, shift) = scale_and_shift(graph, id);
        let channel = |at: usize| [weight, bias, mean, var].map(|id| f64::from(graph.constant(id).data[at]));
        Self { eps, channels: (0..scale.len()).map(channel).collect(), scale, shift }
    }
}

/// Multiply-adds of a pixel, trainable parameters before and after, the filters' error.
type Made = (u64, [u64; 2], f64);

/// A graph that becomes another one.
struct Rewriting<'a> {
    old: &'a Graph,
    new: Graph,
    /// What became of each old node so far.
    to: Vec<NodeId>,
}

impl Rewriting<'_> {
    fn rewrite(&mut self, how: &Ghostify, layers: &[Layer]) -> Result<Vec<Made>> {
        let old = self.old;
        self.new.constants = old.constants.clone();
        let mut made = Vec::new();
        for (at, node) in old.nodes.iter().enumerate() {
            let id = NodeId(at);
            if let Some(input) = old.inputs.iter().find(|input| input.node == id) {
                let input = self.new.add_input_of(&input.name, old.channels(id), input.tensor.clone())?;
                self.to.push(input);
                continue;
            }
            let inputs: Vec<NodeId> = node.inputs.iter().map(|input| self.to[input.0]).collect();
            let layer = layers.iter().find(|layer| layer.conv == id || layer.norm == Some(id) || layer.last == id);
            let to = match layer {
                Some(layer) if layer.last == id => {
                    let input = self.to[old.node(layer.conv).inputs[0].0];
                    let (node, what) = self.module(how, layer, input)?;
                    made.push((layer.conv, what));
                    node
                }
                // Whatever: only the next of these nodes reads it.
                Some(_) => NodeId(0),
                None => self.new.insert(node.name.clone(), node.op.clone(), &inputs)?,
            };
            self.to.push(to);
        }
        for output in &old.outputs {
            self.new.add_output_of(&output.name, self.to[output.node.0], output.tensor.clone());
        }
        self.new.suppressions = old.suppressions.clone();
        let operands = self.new.suppressions.iter_mut().flat_map(|last| last.operands_mut());
        operands.for_each(|output| output.node = self.to[output.node.0]);
        self.new.features = old.features.iter().map(|(name, node)| (name.clone(), self.to[node.0])).collect();
        self.new.embedding = old.embedding.map(|node| self.to[node.0]);
        self.new.compact();
        made.sort_by_key(|(conv, _)| *conv);
        Ok(made.into_iter().map(|(_, made)| made).collect())
    }

    fn constant(&mut self, name: String, shape: &[usize], data: impl IntoIterator<Item = f64>) -> super::ConstId {
        let data = data.into_iter().map(|value| value as f32).collect();
        self.new.push_constant(Constant { name, shape: shape.to_vec(), data })
    }

    /// A normalisation: of each channel its weight, bias, mean and variance.
    fn norm(&mut self, name: String, eps: f32, channels: &[[f64; 4]], input: NodeId) -> Result<NodeId> {
        let mut made = ["weight", "bias", "running_mean", "running_var"]
            .into_iter()
            .enumerate()
            .map(|(at, tensor)| self.constant(format!("{name}.{tensor}"), &[channels.len()], channels.iter().map(|channel| channel[at])));
        let mut next = || made.next().expect("four were made");
        let op = Op::BatchNorm { weight: next(), bias: next(), mean: next(), var: next(), eps };
        drop(made);
        self.new.insert(name, op, &[input])
    }

    fn activate(&mut self, name: String, activation: Activation, input: NodeId) -> Result<NodeId> {
        if activation == Activation::Identity { Ok(input) } else { self.new.insert(name, Op::Activate(activation), &[input]) }
    }

    /// The module of a layer, with the names that timm's have.
    fn module(&mut self, how: &Ghostify, layer: &Layer, input: NodeId) -> Result<(NodeId, Made)> {
        let (old, name) = (self.old, &self.old.node(layer.conv).name);
        let conv = old.conv(layer.conv);
        let filters = old.filters(layer);
        let shape = &old.constant(conv.weight).shape;
        let (c, of_filter) = (shape[0], filters.data.len() / shape[0]);
        let m = c.div_ceil(how.ratio);
        let ghosts_of_each = how.ratio - 1;
        let source = |channel: usize| (channel - m) / ghosts_of_each;
        let bias = conv.bias.map(|bias| &old.constant(bias).data);
        let bias_of = |channel: usize| bias.map_or(0.0, |bias| f64::from(bias[channel]));

        let weight_name = format!("{name}.primary_conv.0.weight");
        let weight = filters.data[..m * of_filter].iter().map(|&value| f64::from(value));
        let weight = self.constant(weight_name, &[m, shape[1], shape[2], shape[3]], weight);
        let mut primary = Conv { weight, bias: None, activation: Activation::Identity, ..conv.clone() };
        primary.bias = bias.map(|_| self.constant(format!("{name}.primary_conv.0.bias"), &[m], (0..m).map(bias_of)));
        let mut x = self.new.insert(format!("{name}.primary_conv"), Op::Conv(primary), &[input])?;
        let norm = layer.norm.map(|norm| Norm::of(old, norm));
        if let Some(norm) = &norm {
            x = self.norm(format!("{name}.primary_conv.1"), norm.eps, &norm.channels[..m], x)?;
        }
        let x = self.activate(format!("{name}.primary_conv.2"), layer.activation, x)?;

        // As many as the ratio makes of each map; those beyond the old channels are cut off.
        let made = m * ghosts_of_each;
        let (d, taps) = (how.cheap_kernel, how.cheap_kernel * how.cheap_kernel);
        let factors: Vec<f64> = (m..m + made).map(|to| if to < c { filters.factor(source(to), to) } else { 0.0 }).collect();
        let tap = |at: usize| if at % taps == taps / 2 { factors[at / taps] } else { 0.0 };
        let weight = self.constant(format!("{name}.cheap_operation.0.weight"), &[made, 1, d, d], (0..made * taps).map(tap));
        let mut cheap = Conv::new(weight).pad(d / 2).groups(m);
        // The part of the intrinsic map's own bias that the factor makes of it.
        let shift_of = |from: usize| norm.as_ref().map_or(bias_of(from), |norm| bias_of(from) * norm.scale[from] + norm.shift[from]);
        let carried = |to: usize| factors[to - m] * shift_of(source(to));
        if norm.is_none() && bias.is_some() {
            let rest = (m..m + made).map(|to| if to < c { bias_of(to) - carried(to) } else { 0.0 });
            cheap.bias = Some(self.constant(format!("{name}.cheap_operation.0.bias"), &[made], rest));
        }
        let mut y = self.new.insert(format!("{name}.cheap_operation"), Op::Conv(cheap), &[x])?;
        if let Some(norm) = &norm {
            // The old one, so that training finds its scale and shift; the mean takes the biases.
            let of = |to: usize| match norm.channels.get(to) {
                Some(&[weight, bias, mean, var]) => [weight, bias, mean - bias_of(to) + carried(to), var],
                None => [1.0, 0.0, 0.0, 1.0],
            };
            let channels: Vec<[f64; 4]> = (m..m + made).map(of).collect();
            y = self.norm(format!("{name}.cheap_operation.1"), norm.eps, &channels, y)?;
        }
        let y = self.activate(format!("{name}.cheap_operation.2"), layer.activation, y)?;
        let mut all = self.new.insert(format!("{name}.concat"), Op::Concat, &[x, y])?;
        if m + made > c {
            all = self.new.insert(format!("{name}.slice"), Op::Slice { start: 0, len: c }, &[all])?;
        }
        if conv.activation != layer.activation {
            all = self.activate(format!("{name}.activation"), conv.activation, all)?;
        }
        let [m, made, c, of_filter, taps] = [m, made, c, of_filter, taps].map(|count| count as u64);
        let vectors = u64::from(bias.is_some()) + 2 * u64::from(layer.norm.is_some());
        let after = vectors * m + (vectors - u64::from(bias.is_some() && layer.norm.is_some())) * made;
        let macs = m * of_filter + made * taps;
        Ok((all, (macs, [c * of_filter + c * vectors, macs + after], filters.error(m as usize, source))))
    }
}

/// Whether a name is one that a pattern stands for.
fn is_named(name: &str, pattern: &str) -> bool {
    let [name, pattern]: [Vec<char>; 2] = [name, pattern].map(|text| text.chars().collect());
    // Where the last `*` was, and how much of the name it stands for.
    let (mut at, mut in_name, mut star) = (0, 0, None);
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => (star, at) = (Some((at, in_name)), at + 1),
            Some(&wanted) if wanted == '?' || wanted == name[in_name] => (at, in_name) = (at + 1, in_name + 1),
            _ => match &mut star {
                Some((of_pattern, end)) => {
                    *end += 1;
                    (at, in_name) = (*of_pattern + 1, *end);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names() {
        let cases = [("", "", true), ("*", "", true), ("a", "ab", false), ("*.conv?", "layer1.0.conv2", true), ("*.conv?", "conv2", false)];
        for (pattern, name, fits) in cases.into_iter().chain([("a*b*c", "aXbYbZc", true), ("a*b*c", "aXc", false), ("?é*", "né", true)]) {
            assert_eq!(is_named(name, pattern), fits, "{pattern} {name}");
        }
    }
}
