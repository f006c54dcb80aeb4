//! Lowers every node of a graph to dispatches.

use super::{
    ConstantCache, ConstantKey, Form, PackedConstant, Place, Plan, PlanInput, PlanOptions, PlanOutput, Resource, Step,
    layout::{self, Layout},
    pack,
    slots::{Lifetime, assign_slots},
};
use crate::{
    Error, Result,
    graph::{Activation, Conv, Ghost, Graph, NodeId, Op, Separable, Shape, SqueezeExcite},
    kernels::{self, Dispatch, Halves, Operand, Products, choice::Tile},
    text::decimal,
};
use half::f16;
use std::borrow::Cow;

/// A buffer before it has a slot.
#[derive(Debug, Clone, Copy)]
struct Storage {
    bytes: usize,
    first: usize,
    last: usize,
}

/// A node's output: a range of channel blocks of a storage.
#[derive(Debug, Clone, Copy)]
struct View {
    storage: usize,
    place: Place,
}

/// Partial sums of a node's output, for a squeeze-and-excite.
#[derive(Debug, Clone, Copy)]
struct Sums {
    storage: usize,
    tiles: usize,
}

struct Lowering<'a> {
    graph: &'a Graph,
    shapes: Vec<Shape>,
    layouts: Vec<Layout>,
    options: &'a PlanOptions,
    cache: &'a mut ConstantCache,
    f16: bool,
    /// The concatenation in whose storage a node's output lies, and the first block there.
    placed: Vec<Option<(NodeId, usize)>>,
    views: Vec<Option<View>>,
    sums: Vec<Option<Sums>>,
    wants_sums: Vec<bool>,
    storages: Vec<Storage>,
    constants: Vec<PackedConstant>,
    /// Steps with storages in place of slots.
    steps: Vec<Step>,
}

/// How long the results stay: past every step.
const FOREVER: usize = usize::MAX;

pub(super) fn lower(graph: &Graph, input: Shape, options: &PlanOptions, cache: &mut ConstantCache) -> Result<Plan> {
    let unsupported: Vec<String> = graph
        .nodes()
        .iter()
        .filter(|node| matches!(node.op, Op::BatchNorm { .. }))
        .map(|node| format!("{} `{}` (run the pass fold_batch_norm)", node.op.name(), node.name))
        .collect();
    if !unsupported.is_empty() {
        return Err(Error::NoKernel(unsupported));
    }
    let input_id = graph.input()?;
    if graph.outputs().is_empty() {
        return Err(Error::Model("the graph has no result".into()));
    }
    let count = graph.nodes().len();
    let mut lowering = Lowering {
        graph,
        shapes: graph.shapes(input)?,
        layouts: layout::assign(graph),
        options,
        cache,
        f16: options.precision.is_f16(),
        placed: vec![None; count],
        views: vec![None; count],
        sums: vec![None; count],
        wants_sums: vec![false; count],
        storages: Vec::new(),
        constants: Vec::new(),
        steps: Vec::new(),
    };
    lowering.check_sizes()?;
    lowering.check_weights()?;
    lowering.place_concatenations();
    for node in graph.nodes() {
        if matches!(node.op, Op::SqueezeExcite(_)) {
            lowering.wants_sums[node.inputs[0].0] = true;
        }
    }

    // The input: as a tensor, or made from pixels by the first step.
    let input_layout = lowering.layouts[input_id.0].clone();
    let input_view = lowering.output_view(input_id);
    let input_storage = match options.form {
        Form::Tensors => input_view.storage,
        Form::Classify { .. } => lowering.preprocess(input, input_view)?,
    };
    for at in 1..count {
        lowering.node(NodeId(at))?;
    }
    let outputs = lowering.outputs(input)?;
    for output in &outputs {
        lowering.storages[output.slot].last = FOREVER;
    }

    let lifetimes: Vec<Lifetime> = lowering.storages.iter().map(|s| Lifetime { bytes: s.bytes, first: s.first, last: s.last }).collect();
    let (slot_of, slots) = assign_slots(&lifetimes);
    let mut steps = lowering.steps;
    for (_, resource) in steps.iter_mut().flat_map(|step| &mut step.bindings) {
        if let Resource::Slot(storage) = resource {
            *storage = slot_of[*storage];
        }
    }
    Ok(Plan {
        form: options.form.clone(),
        precision: options.precision,
        steps,
        slots,
        constants: lowering.constants,
        input: PlanInput { slot: slot_of[input_storage], shape: input, layout: input_layout },
        outputs: outputs.into_iter().map(|o| PlanOutput { slot: slot_of[o.slot], ..o }).collect(),
    })
}

/// How a kernel's weights are packed, as [`ConstantKey`] has it.
fn variant(blocks: usize, products: Products) -> usize {
    blocks * 2 + usize::from(products.halves == Halves::Multiplied)
}

/// Weights as a kernel's products take them.
fn scaled(weights: &[f32], products: Products) -> Cow<'_, [f32]> {
    match products.halves {
        Halves::Multiplied => weights.iter().map(|w| w * products.scale).collect(),
        Halves::None | Halves::Stored => weights.into(),
    }
}

impl Lowering<'_> {
    /// Indices in shaders are 32-bit: no tensor may have more blocks than that counts.
    fn check_sizes(&self) -> Result<()> {
        for (at, (shape, layout)) in self.shapes.iter().zip(&self.layouts).enumerate() {
            let blocks = shape.n as u128 * layout.blocks() as u128 * shape.h as u128 * shape.w as u128;
            if blocks > u128::from(u32::MAX / 2) {
                let what = format!("`{}` {shape}: blocks of four channels", self.graph.nodes()[at].name);
                return Err(Error::Limit { what, needed: u64::try_from(blocks).unwrap_or(u64::MAX), limit: (u32::MAX / 2).into() });
            }
        }
        Ok(())
    }

    /// Weights that halves cannot hold would become infinite.
    fn check_weights(&self) -> Result<()> {
        if !self.f16 {
            return Ok(());
        }
        for id in self.graph.nodes().iter().flat_map(|node| node.op.weights()) {
            let weight = self.graph.constant(id);
            let largest = weight.data.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            if largest > f16::MAX.to_f32() {
                let folded = "once batch normalisation is folded into it";
                let [largest, most] = [largest, f16::MAX.to_f32()].map(|v| decimal(v.into()));
                let what = format!("`{}` has a weight of magnitude {largest} ({folded}), f16 holds up to {most}", weight.name);
                return Err(Error::Model(format!("{what}; leave out precision f16")));
            }
        }
        Ok(())
    }

    /// Lets the inputs of concatenations be written straight to their channel range, where no dispatch would then bind one buffer
    /// both for reading and for writing (which WebGPU forbids).
    fn place_concatenations(&mut self) {
        for at in (0..self.graph.nodes().len()).rev() {
            let node = self.graph.node(NodeId(at));
            if node.op != Op::Concat {
                continue;
            }
            let (root, mut block) = self.placed[at].unwrap_or((NodeId(at), 0));
            for &input in &node.inputs {
                let own_storage = !matches!(self.graph.node(input).op, Op::Input { .. } | Op::Slice { .. } | Op::SqueezeExcite(_));
                if own_storage && self.placed[input.0].is_none() {
                    self.placed[input.0] = Some((root, block));
                    if self.reads_itself(root) {
                        self.placed[input.0] = None;
                    }
                }
                block += self.layouts[input.0].blocks();
            }
        }
    }

    /// Whether a dispatch would read and write the storage of a concatenation. Only `depthwise` can.
    fn reads_itself(&self, root: NodeId) -> bool {
        self.graph.nodes().iter().enumerate().any(|(at, node)| {
            let dispatches = match &node.op {
                Op::Concat | Op::Slice { .. } => false,
                Op::Conv(conv) => !layout::uses_depthwise(self.graph, conv),
                _ => true,
            };
            dispatches && self.root(NodeId(at)) == Some(root) && node.inputs.iter().any(|&input| self.root(input) == Some(root))
        })
    }

    /// The concatenation whose storage holds a node's output.
    fn root(&self, id: NodeId) -> Option<NodeId> {
        match self.graph.node(id).op {
            Op::Concat => Some(self.placed[id.0].map_or(id, |(root, _)| root)),
            Op::Slice { .. } => self.root(self.graph.node(id).inputs[0]),
            _ => self.placed[id.0].map(|(root, _)| root),
        }
    }

    fn new_storage(&mut self, bytes: usize) -> usize {
        // Bindings are whole numbers of 16 bytes, so that every kernel's largest element fits.
        self.storages.push(Storage { bytes: bytes.next_multiple_of(16), first: self.steps.len(), last: self.steps.len() });
        self.storages.len() - 1
    }

    /// The view that a node's kernel writes: a range of a concatenation's storage, or a new storage.
    fn output_view(&mut self, id: NodeId) -> View {
        if let Some(view) = self.views[id.0] {
            return view;
        }
        let pixels = self.shapes[id.0].pixels();
        let view = match self.placed[id.0] {
            Some((root, block)) if root != id => {
                let View { storage, place } = self.output_view(root);
                View { storage, place: Place { offset: place.offset + (block * pixels) as u32, stride: place.stride } }
            }
            _ => {
                let (n, blocks) = (self.shapes[id.0].n, self.layouts[id.0].blocks());
                let storage = self.new_storage(n * blocks * pixels * self.options.precision.block_bytes());
                View { storage, place: Place { offset: 0, stride: (blocks * pixels) as u32 } }
            }
        };
        self.views[id.0] = Some(view);
        view
    }

    fn view(&self, id: NodeId) -> View {
        self.views[id.0].expect("inputs are earlier nodes")
    }

    /// The view of `id` in the layout `wanted`: its own, or that of a copy.
    fn view_as(&mut self, id: NodeId, wanted: &Layout) -> View {
        if self.layouts[id.0] == *wanted {
            return self.view(id);
        }
        let shape = self.shapes[id.0];
        let stride = wanted.blocks() * shape.pixels();
        let block_bytes = if self.is_gate(id) { 16 } else { self.options.precision.block_bytes() };
        let storage = self.new_storage(shape.n * stride * block_bytes);
        let to = View { storage, place: Place { offset: 0, stride: stride as u32 } };
        self.copy(id, wanted, to);
        to
    }

    /// Copies a node's output into `to`, in the layout `wanted`.
    fn copy(&mut self, id: NodeId, wanted: &Layout, to: View) {
        let channels = self.graph.channels(id);
        let lane_of: Vec<f32> = self.layouts[id.0].lane_of(channels).iter().map(|&l| l as f32).collect();
        let table: Vec<f32> = wanted.lanes().iter().map(|&c| if c == layout::PAD { -1.0 } else { lane_of[c as usize] }).collect();
        self.copy_lanes(id, wanted.blocks(), table, to);
    }

    /// Copies physical lanes of a node's output into `to`; a negative lane is zero.
    fn copy_lanes(&mut self, id: NodeId, blocks: usize, table: Vec<f32>, to: View) {
        let mut from = self.view(id);
        if from.storage == to.storage {
            // A dispatch may not read and write one buffer: through a copy of all lanes aside.
            let (shape, all) = (self.shapes[id.0], self.layouts[id.0].blocks());
            let stride = all * shape.pixels();
            let storage = self.new_storage(shape.n * stride * self.options.precision.block_bytes());
            let aside = View { storage, place: Place { offset: 0, stride: stride as u32 } };
            self.copy_lanes(id, all, (0..all * 4).map(|lane| lane as f32).collect(), aside);
            from = aside;
        }
        let shape = self.shapes[id.0];
        // A node may be copied in several ways: the key names the table by its contents.
        let hash = |hash: u64, lane: &f32| (hash ^ u64::from(lane.to_bits())).wrapping_mul(0x100_0000_01B3);
        let variant = table.iter().fold(0xCBF2_9CE4_8422_2325, hash) as usize;
        let key = ConstantKey { node: id.0, role: "relayout", variant };
        self.constants.push(PackedConstant { key, data: table.into(), stored: false });
        let table = Resource::Constant(self.constants.len() - 1);
        let dispatch = kernels::relayout(shape.n, shape.pixels(), blocks, self.f16 && !self.is_gate(id), from.place, to.place);
        let bytes = (shape.n * blocks * shape.pixels() * self.options.precision.block_bytes()) as u64;
        let name = format!("{}.relayout", self.graph.node(id).name);
        let bindings = [("input", Resource::Slot(from.storage)), ("table", table), ("output", Resource::Slot(to.storage))];
        self.step(name, dispatch, &bindings, 0, bytes, bytes);
    }

    /// Adds a step; `read` and `write` are bytes of activations, those of constants are added here.
    fn step(&mut self, name: String, dispatch: Dispatch, bindings: &[(&'static str, Resource)], macs: u64, read: u64, write: u64) {
        let at = self.steps.len();
        let mut read_bytes = read;
        for (_, resource) in bindings {
            match *resource {
                Resource::Slot(storage) => self.storages[storage].last = at,
                Resource::Constant(constant) => {
                    let constant = &self.constants[constant];
                    let element = if constant.stored { self.options.precision.block_bytes() / 4 } else { 4 };
                    read_bytes += (constant.data.len() * element) as u64;
                }
            }
        }
        self.steps.push(Step { name, dispatch, bindings: bindings.to_vec(), macs, read_bytes, write_bytes: write });
    }

    fn constant(&mut self, node: NodeId, role: &'static str, variant: usize, stored: bool, pack: &dyn Fn() -> Vec<f32>) -> Resource {
        let key = ConstantKey { node: node.0, role, variant };
        let data = self.cache.get_or_insert_with(&key, &|| pack().into()).clone();
        self.constants.push(PackedConstant { key, data, stored });
        Resource::Constant(self.constants.len() - 1)
    }

    /// How a convolution with these weights multiplies, if it can multiply halves: not with a gate that may be more than 1, whose product
    /// with an activation they might not hold.
    fn products(&self, weights: &[f32], gate: Option<NodeId>) -> Products {
        let is_bounded = |gate: NodeId| match &self.graph.node(gate).op {
            Op::SqueezeExcite(se) => matches!(se.gate_activation, Activation::HardSigmoid | Activation::Sigmoid),
            _ => false,
        };
        if self.f16 && self.options.choice.multiplies_halves && gate.is_none_or(is_bounded) {
            Products::of_halves(weights)
        } else {
            Products::of_f32(self.f16)
        }
    }

    fn tensor_bytes(&self, id: NodeId) -> u64 {
        let shape = self.shapes[id.0];
        (shape.n * self.layouts[id.0].blocks() * shape.pixels() * self.options.precision.block_bytes()) as u64
    }

    fn preprocess(&mut self, input: Shape, to: View) -> Result<usize> {
        if input.c != 3 {
            return Err(Error::shape("input", format!("images have 3 channels, the network takes {}", input.c)));
        }
        let [mean, std] = self.options.normalise;
        let lane = |f: &dyn Fn(usize) -> f32| [f(0), f(1), f(2), 0.0];
        // v = (x / 255 - mean) / std, as one multiply-add.
        let scale = lane(&|c| (1.0 / (255.0 * f64::from(std[c]))) as f32);
        let shift = lane(&|c| (-f64::from(mean[c]) / f64::from(std[c])) as f32);
        let constant = self.constant(NodeId(usize::MAX), "normalise", 0, false, &|| [scale, shift].concat());
        let words = self.new_storage(input.n * input.pixels() * 4);
        let dispatch = kernels::preprocess(input.n, input.pixels(), self.f16, to.place);
        let bindings = [("pixels", Resource::Slot(words)), ("scale_shift", constant), ("output", Resource::Slot(to.storage))];
        let write = self.tensor_bytes(NodeId(0));
        self.step("preprocess".into(), dispatch, &bindings, 0, (input.n * input.pixels() * 4) as u64, write);
        Ok(words)
    }

    fn outputs(&mut self, input: Shape) -> Result<Vec<PlanOutput>> {
        let output = |this: &Self, name: &str, id: NodeId, view: View| {
            let (shape, layout) = (this.shapes[id.0], this.layouts[id.0].clone());
            let Place { offset, stride } = view.place;
            let blocks = offset as usize + (shape.n - 1) * stride as usize + layout.blocks() * shape.pixels();
            let bytes = blocks * this.options.precision.block_bytes();
            PlanOutput { name: name.to_string(), slot: view.storage, place: view.place, bytes, shape, layout }
        };
        let Form::Classify { k } = self.options.form else {
            return Ok(self.graph.outputs().iter().map(|(name, id)| output(self, name, *id, self.view(*id))).collect());
        };
        let (name, id) = self.graph.outputs().first().cloned().ok_or_else(|| Error::Model("the graph has no result".into()))?;
        let shape = self.shapes[id.0];
        if shape.pixels() != 1 {
            return Err(Error::shape(name, format!("classes need a [n, classes, 1, 1] result, this one is {shape}")));
        }
        if k == 0 || k > shape.c {
            return Err(Error::Model(format!("the {k} best of {} classes cannot be given", shape.c)));
        }
        let logits = self.view_as(id, &Layout::plain(shape.c));
        let bytes = input.n * k * 8;
        let storage = self.new_storage(bytes);
        let dispatch = kernels::softmax_top_k(input.n, shape.c, k, self.f16, logits.place);
        let bindings = [("input", Resource::Slot(logits.storage)), ("output", Resource::Slot(storage))];
        let read = self.tensor_bytes(id);
        self.step("softmax_top_k".into(), dispatch, &bindings, 0, read, bytes as u64);
        let shape = Shape::new(input.n, k, 1, 2);
        Ok(vec![PlanOutput { name: "top_k".into(), slot: storage, place: Place::default(), bytes, shape, layout: Layout::plain(k) }])
    }

    fn node(&mut self, id: NodeId) -> Result<()> {
        let node = self.graph.node(id).clone();
        match &node.op {
            Op::Input { .. } | Op::BatchNorm { .. } => unreachable!("one input, the first; BatchNorm was refused"),
            Op::Conv(conv) => self.conv(id, conv),
            Op::Linear { weight, bias, activation } => {
                let conv = Conv { bias: *bias, activation: *activation, ..Conv::new(*weight) };
                self.linear(id, &conv, &node.name);
            }
            Op::Ghost(ghost) => self.ghost(id, ghost),
            Op::Separable(separable) => self.separable(id, separable),
            Op::SqueezeExcite(se) => self.squeeze_excite(id, se),
            Op::Activate(activation) => self.elementwise(id, node.inputs[0], None, *activation),
            Op::Add => self.elementwise(id, node.inputs[0], Some((node.inputs[1], false)), Activation::Identity),
            Op::Multiply => self.elementwise(id, node.inputs[0], Some((node.inputs[1], true)), Activation::Identity),
            Op::Pool(pool) => self.pool(id, Some(pool)),
            Op::GlobalPool => self.pool(id, None),
            Op::Concat => self.concat(id),
            Op::Slice { start, len } => self.slice(id, *start, *len),
        }
        Ok(())
    }

    fn elementwise(&mut self, id: NodeId, a: NodeId, b: Option<(NodeId, bool)>, activation: Activation) {
        let layout = self.layouts[id.0].clone();
        let shape = self.shapes[id.0];
        let from = self.view_as(a, &layout);
        let mut read = self.tensor_bytes(a);
        let mut bindings = vec![("a", Resource::Slot(from.storage))];
        let operand = b.map(|(b, multiply)| {
            let gate = self.is_gate(b);
            let view = self.view_as(b, &layout);
            read += self.tensor_bytes(b);
            bindings.push(("b", Resource::Slot(view.storage)));
            let one_pixel = self.shapes[b.0].pixels() == 1 && shape.pixels() > 1;
            Operand { multiply, one_pixel: one_pixel || gate, gate, place: view.place }
        });
        let to = self.output_view(id);
        bindings.push(("output", Resource::Slot(to.storage)));
        let dispatch = kernels::elementwise(shape.n, shape.pixels(), layout.blocks(), self.f16, activation, from.place, operand, to.place);
        let (name, write) = (self.graph.node(id).name.clone(), self.tensor_bytes(id));
        self.step(name, dispatch, &bindings, 0, read, write);
    }

    fn pool(&mut self, id: NodeId, window: Option<&crate::graph::Pool>) {
        let input = self.graph.node(id).inputs[0];
        let (from, to) = (self.view(input), self.output_view(id));
        let (shape_in, shape) = (self.shapes[input.0], self.shapes[id.0]);
        let blocks = self.layouts[id.0].blocks();
        let sizes = ([shape_in.h, shape_in.w], [shape.h, shape.w]);
        let dispatch = kernels::pool(shape.n, sizes.0, sizes.1, blocks, window, self.f16, false, from.place, to.place);
        let bindings = [("input", Resource::Slot(from.storage)), ("output", Resource::Slot(to.storage))];
        let (name, read, write) = (self.graph.node(id).name.clone(), self.tensor_bytes(input), self.tensor_bytes(id));
        self.step(name, dispatch, &bindings, 0, read, write);
    }

    fn concat(&mut self, id: NodeId) {
        let View { storage, place } = self.output_view(id);
        let root = self.root(id);
        let mut block = 0;
        let pixels = self.shapes[id.0].pixels();
        for input in self.graph.node(id).inputs.clone() {
            let blocks = self.layouts[input.0].blocks();
            let offset = place.offset + (block * pixels) as u32;
            let there = self.views[input.0].is_some_and(|v| self.root(input) == root && v.storage == storage && v.place.offset == offset);
            if !there {
                // Same lanes, another place.
                let table = self.layouts[input.0].lanes().iter().enumerate();
                let table = table.map(|(lane, &c)| if c == layout::PAD { -1.0 } else { lane as f32 }).collect();
                self.copy_lanes(input, blocks, table, View { storage, place: Place { offset, stride: place.stride } });
            }
            block += blocks;
        }
    }

    fn slice(&mut self, id: NodeId, start: usize, len: usize) {
        let input = self.graph.node(id).inputs[0];
        let pixels = self.shapes[id.0].pixels();
        if let Some((block, layout)) = self.layouts[input.0].slice(start, len)
            && layout == self.layouts[id.0]
        {
            let View { storage, place } = self.view(input);
            let place = Place { offset: place.offset + (block * pixels) as u32, ..place };
            self.views[id.0] = Some(View { storage, place });
            return;
        }
        let lane_of = self.layouts[input.0].lane_of(self.graph.channels(input));
        let layout = self.layouts[id.0].clone();
        let table = layout.lanes().iter().map(|&c| if c == layout::PAD { -1.0 } else { lane_of[start + c as usize] as f32 }).collect();
        let to = self.output_view(id);
        self.copy_lanes(input, layout.blocks(), table, to);
    }

    fn conv(&mut self, id: NodeId, conv: &Conv) {
        let graph = self.graph;
        let name = graph.node(id).name.clone();
        let input = graph.node(id).inputs[0];
        let weight = graph.constant(conv.weight);
        let kernel = [weight.shape[2], weight.shape[3]];
        if layout::uses_depthwise(graph, conv) {
            self.depthwise(id, input, conv, name);
        } else if conv.is_pointwise(&graph.constants) {
            if self.shapes[input.0].pixels() == 1 && !conv.gate && !conv.residual && !conv.pool {
                self.linear(id, conv, &name);
            } else {
                let view = self.view(input);
                let layout = self.layouts[input.0].clone();
                self.pointwise(id, conv, (view, layout, self.shapes[input.0]), graph.node(id).inputs[1..].to_vec(), name);
            }
        } else {
            let (shape_in, shape) = (self.shapes[input.0], self.shapes[id.0]);
            let (layout_in, layout_out) = (self.layouts[input.0].clone(), self.layouts[id.0].clone());
            let tile = self.options.choice.conv2d(layout_out.blocks());
            let blocks = tile.blocks as usize;
            let (c_in, c_out) = (shape_in.c, shape.c);
            let windows = pack::Windows::new(&layout_in, &layout_out, blocks, c_in, c_out, conv.groups);
            let taps = kernel[0] * kernel[1];
            let products = self.products(&weight.data, None);
            let filters = self.constant(id, "weight", variant(blocks, products), true, &|| {
                pack::conv2d(&scaled(&weight.data, products), &layout_in, &layout_out, blocks, c_in, conv.groups, taps, &windows)
            });
            let bias = self.constant(id, "bias", blocks, false, &|| {
                let mut bias = pack::vector(conv.bias.map(|b| &graph.constant(b).data[..]), layout_out.lanes(), blocks);
                bias.extend(windows.first.iter().flat_map(|&first| [first as f32, 0.0, 0.0, 0.0]));
                bias
            });
            let (from, to) = (self.view(input), self.output_view(id));
            let dispatch = kernels::conv2d(
                shape.n,
                [shape_in.h, shape_in.w],
                [shape.h, shape.w],
                [windows.blocks, layout_out.blocks()],
                layout_in.lanes_in_use(),
                kernel,
                conv,
                tile,
                products,
                conv.activation,
                from.place,
                to.place,
            );
            let bindings =
                [("input", Resource::Slot(from.storage)), ("weight", filters), ("bias", bias), ("output", Resource::Slot(to.storage))];
            let (macs, read, write) = (graph.macs(id, &self.shapes), self.tensor_bytes(input), self.tensor_bytes(id));
            self.step(name, dispatch, &bindings, macs, read, write);
        }
    }

    fn linear(&mut self, id: NodeId, conv: &Conv, name: &str) {
        let graph = self.graph;
        let input = graph.node(id).inputs[0];
        let weight = graph.constant(conv.weight);
        let (layout_in, layout_out) = (self.layouts[input.0].clone(), self.layouts[id.0].clone());
        let c_in = graph.channels(input);
        let matrix = self.constant(id, "linear_weight", 1, true, &|| pack::matrix(&weight.data, &layout_in, &layout_out, c_in));
        let bias = conv.bias.map(|b| &graph.constant(b).data[..]);
        let bias = self.constant(id, "bias", 1, false, &|| pack::vector(bias, layout_out.lanes(), 1));
        let (from, to) = (self.view(input), self.output_view(id));
        let blocks = [layout_in.blocks(), layout_out.blocks()];
        let dispatch = kernels::linear(self.shapes[id.0].n, blocks, self.f16, conv.activation, from.place, to.place);
        let bindings =
            [("input", Resource::Slot(from.storage)), ("weight", matrix), ("bias", bias), ("output", Resource::Slot(to.storage))];
        let (macs, read, write) = (graph.macs(id, &self.shapes), self.tensor_bytes(input), self.tensor_bytes(id));
        self.step(name.to_string(), dispatch, &bindings, macs, read, write);
    }

    /// A 1x1 convolution of `from`; `extra` are the gate and the residual, where the convolution has them.
    fn pointwise(&mut self, id: NodeId, conv: &Conv, from: (View, Layout, Shape), extra: Vec<NodeId>, name: String) {
        let graph = self.graph;
        let (view, layout_in, shape_in) = from;
        let weight = graph.constant(conv.weight);
        let layout_out = self.layouts[id.0].clone();
        let sizes = [layout_in.blocks(), layout_out.blocks()];
        let tile = self.options.choice.pointwise(shape_in.n, shape_in.pixels(), sizes, (conv.gate, conv.pool));
        let blocks = tile.blocks as usize;
        let c_in = shape_in.c;
        let products = self.products(&weight.data, conv.gate.then(|| extra[0]));
        let matrix = self.constant(id, "weight", variant(blocks, products), true, &|| {
            pack::tiled_matrix(&scaled(&weight.data, products), &layout_in, &layout_out, blocks, c_in)
        });
        let bias = conv.bias.map(|b| &graph.constant(b).data[..]);
        let bias = self.constant(id, "bias", blocks, false, &|| pack::vector(bias, layout_out.lanes(), blocks));
        let mut bindings = vec![("input", Resource::Slot(view.storage)), ("weight", matrix), ("bias", bias)];
        let mut read = (shape_in.n * layout_in.blocks() * shape_in.pixels() * self.options.precision.block_bytes()) as u64;
        let residual = self.gate_and_residual(conv.gate, conv.residual, &extra, &layout_in, &layout_out, &mut bindings, &mut read);
        let to = self.output_view(id);
        bindings.push(("output", Resource::Slot(to.storage)));
        let dispatch = kernels::pointwise(
            shape_in.n,
            shape_in.pixels(),
            [layout_in.blocks(), layout_out.blocks()],
            tile,
            products,
            (conv.gate, residual, conv.pool),
            conv.activation,
            view.place,
            to.place,
        );
        let macs = (weight.data.len() * shape_in.n * shape_in.pixels()) as u64;
        let write = self.tensor_bytes(id);
        self.step(name, dispatch, &bindings, macs, read, write);
    }

    #[allow(clippy::too_many_arguments)] // two optional inputs, their layouts, and what collects their bindings and bytes
    fn gate_and_residual(
        &mut self,
        gate: bool,
        residual: bool,
        extra: &[NodeId],
        layout_in: &Layout,
        layout: &Layout,
        bindings: &mut Vec<(&'static str, Resource)>,
        read: &mut u64,
    ) -> Option<Place> {
        if gate {
            bindings.push(("gate", Resource::Slot(self.view_as(extra[0], layout_in).storage)));
            *read += self.gate_bytes(extra[0]);
        }
        residual.then(|| {
            let id = extra[extra.len() - 1];
            let view = self.view_as(id, layout);
            bindings.push(("residual", Resource::Slot(view.storage)));
            *read += self.tensor_bytes(id);
            view.place
        })
    }

    fn is_gate(&self, id: NodeId) -> bool {
        matches!(self.graph.node(id).op, Op::SqueezeExcite(_))
    }

    /// Gates are f32 whatever the precision.
    fn gate_bytes(&self, id: NodeId) -> u64 {
        (self.shapes[id.0].n * self.layouts[id.0].blocks() * 16) as u64
    }

    fn depthwise(&mut self, id: NodeId, input: NodeId, conv: &Conv, name: String) {
        let from = (self.view(input), self.layouts[input.0].clone(), self.shapes[input.0]);
        let (view, layout) = (self.output_view(id), self.layouts[id.0].clone());
        let to = (view, layout, self.shapes[id.0]);
        let sums = self.wants_sums[id.0];
        let tiles = self.depthwise_between(id, conv, ["weight", "bias"], from, to, sums, name);
        if let Some((storage, tiles)) = tiles {
            self.sums[id.0] = Some(Sums { storage, tiles });
        }
    }

    /// A depthwise convolution between two views; returns the storage and tiles of its sums, where they are wanted.
    #[allow(clippy::too_many_arguments)] // two tensors, a convolution and what to call it
    fn depthwise_between(
        &mut self,
        id: NodeId,
        conv: &Conv,
        roles: [&'static str; 2],
        (from, layout_in, shape_in): (View, Layout, Shape),
        (to, layout_out, shape): (View, Layout, Shape),
        sums: bool,
        name: String,
    ) -> Option<(usize, usize)> {
        let graph = self.graph;
        let weight = graph.constant(conv.weight);
        let kernel = [weight.shape[2], weight.shape[3]];
        let taps = kernel[0] * kernel[1];
        let filters = self.constant(id, roles[0], 1, true, &|| pack::depthwise(&weight.data, layout_out.lanes(), taps));
        let bias = conv.bias.map(|b| &graph.constant(b).data[..]);
        let bias = self.constant(id, roles[1], 1, false, &|| pack::vector(bias, layout_out.lanes(), 1));
        let same = from.storage == to.storage;
        let mut bindings = vec![("weight", filters), ("bias", bias), ("output", Resource::Slot(to.storage))];
        if !same {
            bindings.push(("input", Resource::Slot(from.storage)));
        }
        let tile = self.options.choice.depthwise(shape.w, taps);
        let dispatch = kernels::depthwise(
            shape.n,
            [shape_in.h, shape_in.w],
            [shape.h, shape.w],
            [layout_in.blocks(), layout_out.blocks()],
            (kernel, conv.stride, conv.pad),
            tile,
            self.f16,
            (same, sums),
            conv.activation,
            from.place,
            to.place,
        );
        let summed = sums.then(|| {
            let tiles = dispatch.params::<kernels::DepthwiseParams>().tiles as usize;
            let storage = self.new_storage(shape.n * tiles * layout_out.blocks() * 16);
            bindings.push(("sums", Resource::Slot(storage)));
            (storage, tiles)
        });
        let block_bytes = self.options.precision.block_bytes();
        let macs = (shape.n * shape.pixels() * weight.data.len()) as u64;
        let read = (shape.n * shape_in.pixels() * layout_in.blocks() * block_bytes) as u64;
        let write = (shape.n * shape.pixels() * layout_out.blocks() * block_bytes) as u64;
        self.step(name, dispatch, &bindings, macs, read, write);
        summed
    }

    fn ghost(&mut self, id: NodeId, ghost: &Ghost) {
        match self.ghost_tiles(id, ghost) {
            Some(tiles) if self.options.choice.fuse_ghost => self.ghost_fused(id, ghost, tiles),
            _ => self.ghost_in_two(id, ghost),
        }
    }

    /// Whether a ghost module has one ghost of each intrinsic map (s = 2).
    fn one_group(&self, ghost: &Ghost) -> bool {
        self.graph.constant(ghost.cheap).shape[0] == self.graph.constant(ghost.primary).shape[0]
    }

    /// Whether a squeeze-and-excite wants the sums that a ghost module's kernels can make: of what they compute, and for one group of ghosts.
    fn sums_fit(&self, id: NodeId, ghost: &Ghost) -> bool {
        self.wants_sums[id.0] && !ghost.residual && self.one_group(ghost)
    }

    /// How a ghost module runs in one dispatch; `None` where workgroup memory has no room for it.
    fn ghost_tiles(&self, id: NodeId, ghost: &Ghost) -> Option<(kernels::GhostTiles, Tile)> {
        let choice = &self.options.choice;
        let shape = self.shapes[id.0];
        let (primary, cheap) = (self.graph.constant(ghost.primary), self.graph.constant(ghost.cheap));
        let (blocks, d) = (Layout::plain(primary.shape[0]).blocks(), cheap.shape[2]);
        let tiles = kernels::ghost_tiles(shape.w, shape.h, d, choice.ghost_cells())?;
        let blocks_in = self.layouts[self.graph.node(id).inputs[0].0].blocks();
        let needs = (ghost.gate, self.sums_fit(id, ghost));
        let number_of_tiles = shape.n * tiles.count[0] * tiles.count[1];
        let tile = choice.ghost(tiles.region, tiles.memory_cells(), needs, number_of_tiles, [blocks_in, blocks]);
        Some((tiles, tile))
    }

    fn ghost_fused(&mut self, id: NodeId, ghost: &Ghost, (tiles, tile): (kernels::GhostTiles, Tile)) {
        let graph = self.graph;
        let node = graph.node(id);
        let input = node.inputs[0];
        let (shape_in, shape) = (self.shapes[input.0], self.shapes[id.0]);
        let (layout_in, layout_out) = (self.layouts[input.0].clone(), self.layouts[id.0].clone());
        let (primary, cheap) = (graph.constant(ghost.primary), graph.constant(ghost.cheap));
        let m = primary.shape[0];
        let (groups, d) = (cheap.shape[0] / m, cheap.shape[2]);
        let intrinsic = Layout::plain(m);
        let ghosts = &layout_out.lanes()[intrinsic.lanes().len()..];
        // The cheap operation's own channels are numbered from 0.
        let ghosts: Vec<u32> = ghosts.iter().map(|&c| if c == layout::PAD { c } else { c - m as u32 }).collect();
        let blocks = tile.blocks as usize;
        let products = self.products(&primary.data, ghost.gate.then(|| node.inputs[1]));
        let weight = self.constant(id, "weight", variant(blocks, products), true, &|| {
            let mut weight = pack::tiled_matrix(&scaled(&primary.data, products), &layout_in, &intrinsic, blocks, shape_in.c);
            weight.extend(pack::depthwise(&cheap.data, &ghosts, d * d));
            weight
        });
        let bias = self.constant(id, "bias", blocks, false, &|| {
            let of = |b: Option<crate::graph::ConstId>| b.map(|b| &graph.constant(b).data[..]);
            let mut bias = pack::vector(of(ghost.primary_bias), intrinsic.lanes(), blocks);
            bias.extend(pack::vector(of(ghost.cheap_bias), &ghosts, 1));
            bias
        });
        let from = self.view(input);
        let mut bindings = vec![("input", Resource::Slot(from.storage)), ("weight", weight), ("bias", bias)];
        let mut read = self.tensor_bytes(input);
        let residual =
            self.gate_and_residual(ghost.gate, ghost.residual, &node.inputs[1..], &layout_in, &layout_out, &mut bindings, &mut read);
        let to = self.output_view(id);
        bindings.push(("output", Resource::Slot(to.storage)));
        let sums = self.sums_fit(id, ghost);
        if sums {
            let tiles = tiles.count[0] * tiles.count[1];
            let storage = self.new_storage(shape.n * tiles * layout_out.blocks() * 16);
            bindings.push(("sums", Resource::Slot(storage)));
            self.sums[id.0] = Some(Sums { storage, tiles });
        }
        let module = kernels::GhostModule {
            n: shape.n,
            size: [shape.w, shape.h],
            blocks: [layout_in.blocks(), intrinsic.blocks(), groups],
            d,
            products,
            gate: ghost.gate,
            residual,
            sums,
            activations: [ghost.primary_activation, ghost.cheap_activation],
        };
        let dispatch = kernels::ghost(&module, tiles, tile, from.place, to.place);
        let (macs, write) = (graph.macs(id, &self.shapes), self.tensor_bytes(id));
        self.step(node.name.clone(), dispatch, &bindings, macs, read, write);
    }

    /// A ghost module as a 1x1 and a depthwise convolution that write the two channel ranges of one buffer.
    fn ghost_in_two(&mut self, id: NodeId, ghost: &Ghost) {
        let graph = self.graph;
        let node = graph.node(id);
        let input = node.inputs[0];
        let (shape_in, shape) = (self.shapes[input.0], self.shapes[id.0]);
        let m = graph.constant(ghost.primary).shape[0];
        let d = graph.constant(ghost.cheap).shape[2];
        let intrinsic = Layout::plain(m);
        let layout_out = self.layouts[id.0].clone();
        // With a residual the halves are made aside, for the cheap operation reads the intrinsic maps before the residual is added.
        let to = if ghost.residual {
            let stride = layout_out.blocks() * shape.pixels();
            let storage = self.new_storage(shape.n * stride * self.options.precision.block_bytes());
            View { storage, place: Place { offset: 0, stride: stride as u32 } }
        } else {
            self.output_view(id)
        };
        let primary = Conv { bias: ghost.primary_bias, activation: ghost.primary_activation, gate: ghost.gate, ..Conv::new(ghost.primary) };
        let view = self.view(input);
        let layout_in = self.layouts[input.0].clone();
        self.primary(id, &primary, (view, layout_in, shape_in), (to, &intrinsic), node.inputs.get(1).copied(), &node.name);
        let ghosts: Vec<u32> = layout_out.lanes()[intrinsic.lanes().len()..].to_vec();
        let ghosts = Layout::from_parts([ghosts.iter().map(|&c| if c == layout::PAD { c } else { c - m as u32 }).collect()]);
        let cheap = Conv { bias: ghost.cheap_bias, activation: ghost.cheap_activation, groups: m, ..Conv::new(ghost.cheap).pad(d / 2) };
        let second = View { place: Place { offset: to.place.offset + (intrinsic.blocks() * shape.pixels()) as u32, ..to.place }, ..to };
        let intrinsic_shape = Shape { c: m, ..shape };
        let roles = ["cheap_weight", "cheap_bias"];
        let name = format!("{}.cheap_operation", node.name);
        self.depthwise_between(id, &cheap, roles, (to, intrinsic, intrinsic_shape), (second, ghosts, shape), false, name);
        if ghost.residual {
            let other = *node.inputs.last().expect("a residual is an input");
            let from = self.view_as(other, &layout_out);
            let out = self.output_view(id);
            let operand = Operand { multiply: false, one_pixel: false, gate: false, place: from.place };
            let dispatch = kernels::elementwise(
                shape.n,
                shape.pixels(),
                layout_out.blocks(),
                self.f16,
                Activation::Identity,
                to.place,
                Some(operand),
                out.place,
            );
            let bindings =
                [("a", Resource::Slot(to.storage)), ("b", Resource::Slot(from.storage)), ("output", Resource::Slot(out.storage))];
            let bytes = self.tensor_bytes(id);
            self.step(format!("{}.residual", node.name), dispatch, &bindings, 0, 2 * bytes, bytes);
        }
    }

    /// The primary convolution of a ghost module that runs in two dispatches.
    fn primary(&mut self, id: NodeId, conv: &Conv, from: (View, Layout, Shape), to: (View, &Layout), gate: Option<NodeId>, name: &str) {
        let graph = self.graph;
        let (view, layout_in, shape_in) = from;
        let (to, layout_out) = to;
        let weight = graph.constant(conv.weight);
        let sizes = [layout_in.blocks(), layout_out.blocks()];
        let tile = self.options.choice.pointwise(shape_in.n, shape_in.pixels(), sizes, (gate.is_some(), conv.pool));
        let blocks = tile.blocks as usize;
        let products = self.products(&weight.data, gate);
        let matrix = self.constant(id, "primary_weight", variant(blocks, products), true, &|| {
            pack::tiled_matrix(&scaled(&weight.data, products), &layout_in, layout_out, blocks, shape_in.c)
        });
        let bias = conv.bias.map(|b| &graph.constant(b).data[..]);
        let bias = self.constant(id, "primary_bias", blocks, false, &|| pack::vector(bias, layout_out.lanes(), blocks));
        let mut bindings = vec![("input", Resource::Slot(view.storage)), ("weight", matrix), ("bias", bias)];
        let block_bytes = self.options.precision.block_bytes();
        let mut read = (shape_in.n * layout_in.blocks() * shape_in.pixels() * block_bytes) as u64;
        let extra: Vec<NodeId> = gate.into_iter().collect();
        self.gate_and_residual(conv.gate, false, &extra, &layout_in, layout_out, &mut bindings, &mut read);
        bindings.push(("output", Resource::Slot(to.storage)));
        let dispatch = kernels::pointwise(
            shape_in.n,
            shape_in.pixels(),
            [layout_in.blocks(), layout_out.blocks()],
            tile,
            products,
            (conv.gate, None, false),
            conv.activation,
            view.place,
            to.place,
        );
        let macs = (weight.data.len() * shape_in.n * shape_in.pixels()) as u64;
        let write = (shape_in.n * layout_out.blocks() * shape_in.pixels() * block_bytes) as u64;
        self.step(format!("{name}.primary_conv"), dispatch, &bindings, macs, read, write);
    }

    fn separable(&mut self, id: NodeId, separable: &Separable) {
        let graph = self.graph;
        let node = graph.node(id);
        let input = node.inputs[0];
        let Separable { depthwise, pointwise } = separable;
        let (shape_in, shape) = (self.shapes[input.0], self.shapes[id.0]);
        let (layout_in, layout_out) = (self.layouts[input.0].clone(), self.layouts[id.0].clone());
        let from = self.view(input);
        if !self.options.choice.fuse_separable {
            let middle_shape = Shape { c: shape_in.c, ..shape };
            let stride = layout_in.blocks() * shape.pixels();
            let storage = self.new_storage(shape.n * stride * self.options.precision.block_bytes());
            let middle = View { storage, place: Place { offset: 0, stride: stride as u32 } };
            let roles = ["depthwise_weight", "depthwise_bias"];
            let to = (middle, layout_in.clone(), middle_shape);
            let name = format!("{}.depthwise", node.name);
            self.depthwise_between(id, depthwise, roles, (from, layout_in.clone(), shape_in), to, false, name);
            self.pointwise(id, pointwise, (middle, layout_in, middle_shape), Vec::new(), node.name.clone());
            return;
        }
        let filters = graph.constant(depthwise.weight);
        let kernel = [filters.shape[2], filters.shape[3]];
        let tile = self.options.choice.separable(layout_out.blocks());
        let blocks = tile.blocks as usize;
        let weight = self.constant(id, "separable_weight", blocks, true, &|| {
            let mut weight = pack::tiled_matrix(&graph.constant(pointwise.weight).data, &layout_in, &layout_out, blocks, shape_in.c);
            weight.extend(pack::depthwise(&filters.data, layout_in.lanes(), kernel[0] * kernel[1]));
            weight
        });
        let bias = self.constant(id, "separable_bias", blocks, false, &|| {
            let of = |b: Option<crate::graph::ConstId>| b.map(|b| &graph.constant(b).data[..]);
            let mut bias = pack::vector(of(pointwise.bias), layout_out.lanes(), blocks);
            bias.extend(pack::vector(of(depthwise.bias), layout_in.lanes(), 1));
            bias
        });
        let to = self.output_view(id);
        let dispatch = kernels::separable(
            shape.n,
            [shape_in.h, shape_in.w],
            [shape.h, shape.w],
            [layout_in.blocks(), layout_out.blocks()],
            (kernel, depthwise.stride, depthwise.pad),
            tile,
            self.f16,
            [depthwise.activation, pointwise.activation],
            from.place,
            to.place,
        );
        let bindings =
            [("input", Resource::Slot(from.storage)), ("weight", weight), ("bias", bias), ("output", Resource::Slot(to.storage))];
        let (macs, read, write) = (graph.macs(id, &self.shapes), self.tensor_bytes(input), self.tensor_bytes(id));
        self.step(node.name.clone(), dispatch, &bindings, macs, read, write);
    }

    fn squeeze_excite(&mut self, id: NodeId, se: &SqueezeExcite) {
        let graph = self.graph;
        let node = graph.node(id);
        let input = node.inputs[0];
        let shape_in = self.shapes[input.0];
        let layout = self.layouts[input.0].clone();
        let Sums { storage: sums, tiles } = match self.sums[input.0] {
            Some(sums) => sums,
            None => {
                let from = self.view(input);
                let storage = self.new_storage(shape_in.n * layout.blocks() * 16);
                let size = [shape_in.h, shape_in.w];
                let dispatch = kernels::pool(shape_in.n, size, [1, 1], layout.blocks(), None, self.f16, true, from.place, Place::default());
                let bindings = [("input", Resource::Slot(from.storage)), ("output", Resource::Slot(storage))];
                let (read, write) = (self.tensor_bytes(input), self.gate_bytes(input));
                self.step(format!("{}.pool", node.name), dispatch, &bindings, 0, read, write);
                Sums { storage, tiles: 1 }
            }
        };
        let (reduce, expand) = (graph.constant(se.reduce), graph.constant(se.expand));
        let reduced = Layout::plain(reduce.shape[0]);
        let weight = self.constant(id, "weight", 1, true, &|| {
            let mut weight = pack::matrix(&reduce.data, &layout, &reduced, shape_in.c);
            weight.extend(pack::matrix_by_input(&expand.data, &reduced, &layout, reduce.shape[0]));
            weight
        });
        let bias = self.constant(id, "bias", 1, false, &|| {
            let of = |b: Option<crate::graph::ConstId>| b.map(|b| &graph.constant(b).data[..]);
            let mut bias = pack::vector(of(se.reduce_bias), reduced.lanes(), 1);
            bias.extend(pack::vector(of(se.expand_bias), layout.lanes(), 1));
            bias
        });
        let gate = self.new_storage(shape_in.n * layout.blocks() * 16);
        self.views[id.0] = Some(View { storage: gate, place: Place { offset: 0, stride: layout.blocks() as u32 } });
        let dispatch = kernels::squeeze_excite(
            shape_in.n,
            shape_in.pixels(),
            tiles,
            [layout.blocks(), reduced.blocks()],
            self.f16,
            [se.reduce_activation, se.gate_activation],
        );
        let bindings = [("sums", Resource::Slot(sums)), ("weight", weight), ("bias", bias), ("gate", Resource::Slot(gate))];
        let read = tiles as u64 * self.gate_bytes(input);
        let (macs, write) = (graph.macs(id, &self.shapes), self.gate_bytes(id));
        self.step(node.name.clone(), dispatch, &bindings, macs, read, write);
    }
}
