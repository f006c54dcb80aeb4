//! From a graph and an input's shape to a plan: which kernel computes which node.

mod convolutions;

use crate::{
    Error, Result,
    graph::{
        Activated, Activation, Calculate, Calculation, ConstId, Constant, Graph, Input, NodeId, Op, Output, Rearrange, Resample, Shape,
        TensorType, TopK,
    },
    kernels::{elementwise, pool, preprocess, rearrange, relayout, resample, softmax, softmax_top_k, top_k},
    plan::{
        ConstantCache, Form, Place, Placement, Plan, PlanInput, PlanOptions, PlanOutput, Precision, check_size,
        emit::{Emitter, Owner, Storage, Sums, TensorView},
        layout::{self, Layout, PAD},
        shuffle::{Shuffles, is_arrangement},
    },
    text::decimal,
};
use half::f16;

impl Plan {
    /// Plans a graph (after its passes) for an input shape. `cache` holds constants that were
    /// packed before, and takes new ones.
    ///
    /// # Errors
    /// [`Error::NoKernel`] for operations that a pass has to take out first, [`Error::Shape`] and
    /// [`Error::Limit`] for inputs that do not fit, [`Error::Model`] for weights that the precision
    /// cannot hold and for graphs without an input or a result.
    pub fn new(graph: &Graph, inputs: &[Shape], options: &PlanOptions, cache: &mut ConstantCache) -> Result<Self> {
        check_operations(graph, &options.form)?;
        let (shapes, shuffles) = (graph.shapes(inputs)?, Shuffles::new(graph));
        let layouts = layout::assign(graph, |id| Some(shuffles.of(id)?.layout.clone()));
        for (node, (&shape, layout)) in graph.nodes().iter().zip(shapes.iter().zip(&layouts)) {
            check_size(&node.name, shape, layout)?;
        }
        check_weights(graph, options.precision)?;
        let mut compiler = Compiler::new(graph, shapes, layouts, shuffles, Emitter::new(options, cache));

        let inputs = compiler.inputs(options)?;
        for at in graph.inputs().len()..graph.nodes().len() {
            compiler.node(NodeId(at));
        }
        graph.leaving().for_each(|output| compiler.gather(output.node));
        let outputs = match options.form {
            Form::Tensors => compiler.tensors()?,
            Form::Classify { k } => vec![compiler.classes(k)?],
        };
        Ok(compiler.emit.finish(inputs, outputs))
    }
}

/// No operation is left that a pass has to take out, and there are an input and a result.
fn check_operations(graph: &Graph, form: &Form) -> Result<()> {
    let unsupported = graph.nodes().iter().filter(|node| matches!(node.op, Op::BatchNorm { .. }));
    let unsupported: Vec<String> =
        unsupported.map(|node| format!("{} `{}` (run the pass fold_batch_norm)", node.op.name(), node.name)).collect();
    if !unsupported.is_empty() {
        return Err(Error::NoKernel(unsupported));
    }
    if graph.inputs().is_empty() {
        return Err(Error::Model("the graph has no input".into()));
    }
    // Classes are of a result itself.
    if graph.outputs().is_empty() && (*form != Form::Tensors || graph.leaving().next().is_none()) {
        return Err(Error::Model("the graph has no result".into()));
    }
    Ok(())
}

/// Weights that halves cannot hold would become infinite.
fn check_weights(graph: &Graph, precision: Precision) -> Result<()> {
    if precision != Precision::F16 {
        return Ok(());
    }
    for id in graph.nodes().iter().flat_map(|node| node.op.weights()) {
        let weight = graph.constant(id);
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

struct Compiler<'a> {
    graph: &'a Graph,
    shapes: Vec<Shape>,
    layouts: Vec<Layout>,
    placement: Placement<'a>,
    shuffles: Shuffles,
    /// Each shuffle's buffer, once something is written to it.
    shuffled: Vec<Option<TensorView>>,
    views: Vec<Option<TensorView>>,
    sums: Vec<Option<Sums>>,
    wants_sums: Vec<bool>,
    emit: Emitter<'a>,
}

impl<'a> Compiler<'a> {
    fn new(graph: &'a Graph, shapes: Vec<Shape>, layouts: Vec<Layout>, shuffles: Shuffles, emit: Emitter<'a>) -> Self {
        let count = graph.nodes().len();
        let mut wants_sums = vec![false; count];
        for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::SqueezeExcite(_))) {
            wants_sums[node.inputs[0].0] = true;
        }
        let placement = Placement::new(graph, &layouts, &shuffles);
        let shuffled = vec![None; shuffles.buffers.len()];
        Self { graph, shapes, layouts, placement, shuffles, shuffled, views: vec![None; count], sums: vec![None; count], wants_sums, emit }
    }

    fn node(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        if self.shuffles.of(id).is_some() && is_arrangement(&node.op) {
            // Nothing is to be done but to say where it is.
            self.output(id);
            return;
        }
        for (at, &input) in node.inputs.iter().enumerate() {
            if at > 0 || !self.is_by_pointwise(id) {
                self.gather(input);
            }
        }
        match &node.op {
            Op::Input { .. } | Op::BatchNorm { .. } => unreachable!("inputs come first; BatchNorm was refused"),
            Op::Conv(conv) => self.conv(id, conv),
            Op::Linear { weight, bias, activation } => self.linear(id, *weight, *bias, *activation),
            Op::Ghost(ghost) => self.ghost(id, ghost),
            Op::Separable(separable) => self.separable(id, separable),
            Op::SqueezeExcite(se) => self.squeeze_excite(id, se),
            Op::Activate(activation) => self.elementwise(id, None, *activation),
            Op::Add => self.elementwise(id, Some(Calculation::Add.into()), Activation::Identity),
            Op::Multiply => self.elementwise(id, Some(Calculation::Multiply.into()), Activation::Identity),
            Op::Constant(constant) => {
                let (constant, output) = (self.constant(*constant), self.output(id));
                elementwise::lower_constant(self.name(id), Owner::node(id), constant, &output, &mut self.emit);
            }
            Op::Calculate(calculate) => self.elementwise(id, Some(*calculate), Activation::Identity),
            Op::Pool(pool) => self.pool(id, Some(*pool)),
            Op::GlobalPool => self.pool(id, None),
            Op::Resample(resample) => self.resample(id, *resample, false),
            Op::ResampleProduct(resample) => self.resample(id, *resample, true),
            Op::Rearrange(rearrange) => match rearrange.channels() {
                Some(channels) => self.select(id, &channels),
                None => self.rearrange(id, rearrange),
            },
            #[cfg(not(target_arch = "wasm32"))]
            Op::RoiAlign(roi_align) => self.roi_align(id, roi_align),
            Op::Softmax => self.softmax(id),
            Op::TopK(top_k) => self.top_k(id, *top_k),
            Op::Concat => self.concat(id),
            op @ Op::Slice { .. } => self.select(id, &layout::selection(op).expect("a slice is some channels")),
        }
    }

    fn name(&self, id: NodeId) -> &'a str {
        &self.graph.node(id).name
    }

    fn input(&self, id: NodeId, at: usize) -> NodeId {
        self.graph.node(id).inputs[at]
    }

    fn constant(&self, id: ConstId) -> &'a Constant {
        self.graph.constant(id)
    }

    fn values(&self, id: Option<ConstId>) -> Option<&'a [f32]> {
        id.map(|id| &self.graph.constant(id).data[..])
    }

    fn activated(&self, by: Activation) -> Activated<'a> {
        Activated { by, parameter: self.values(by.parameter()) }
    }

    /// Where an earlier node's result is.
    fn view(&self, id: NodeId) -> TensorView {
        self.views[id.0].clone().expect("inputs are earlier nodes")
    }

    /// The same in another layout: copied, where it is not its own.
    fn view_as(&mut self, id: NodeId, wanted: &Layout) -> TensorView {
        relayout::in_layout(&self.view(id), wanted, id, self.name(id), &mut self.emit)
    }

    /// Where a node's kernel writes: a range of a concatenation's storage, or a new storage.
    fn output(&mut self, id: NodeId) -> TensorView {
        if let Some(view) = &self.views[id.0] {
            return view.clone();
        }
        let (shape, layout) = (self.shapes[id.0], self.layouts[id.0].clone());
        let view = match (self.shuffles.of(id).cloned(), self.placement.of(id)) {
            (Some(member), _) => {
                let all = Layout::plain(self.shuffles.buffers[member.buffer] * 4);
                let whole = match self.shuffled[member.buffer].take() {
                    Some(whole) => whole,
                    None => self.new_tensor(Shape { c: all.lanes().len(), ..shape }, all),
                };
                let view = match member.first() {
                    Some(first) => whole.part(first, shape.c, layout),
                    None => TensorView { scattered: Some(member.blocks), ..whole.part(0, shape.c, layout) },
                };
                self.shuffled[member.buffer] = Some(whole);
                view
            }
            (None, Some((root, block))) => TensorView { shape, ..self.output(root).part(block, shape.c, layout) },
            (None, None) => self.new_tensor(shape, layout),
        };
        self.views[id.0] = Some(view.clone());
        view
    }

    /// Copies a node's blocks side by side, where they are scattered.
    fn gather(&mut self, id: NodeId) {
        let TensorView { scattered: Some(blocks), layout, shape, .. } = self.view(id) else { return };
        let lanes = (0..).zip(layout.lanes()).map(|(at, &c)| if c == PAD { PAD } else { blocks[at / 4] * 4 + at as u32 % 4 }).collect();
        let output = self.new_tensor(shape, layout.clone());
        self.copy(id, lanes, output.clone());
        self.views[id.0] = Some(output);
    }

    fn new_tensor(&mut self, shape: Shape, layout: Layout) -> TensorView {
        let precision = self.emit.precision();
        self.emit.tensor(shape, layout, precision)
    }

    /// The inputs: tensors, or one that the first step makes of pixels.
    fn inputs(&mut self, options: &PlanOptions) -> Result<Vec<(Storage, PlanInput)>> {
        let graph = self.graph;
        let input = |view: &TensorView, input: &Input| PlanInput {
            name: input.name.clone(),
            slot: 0,
            shape: view.shape,
            layout: view.layout.clone(),
            tensor: input.tensor.clone(),
        };
        match (&options.form, graph.inputs()) {
            (Form::Classify { .. }, [of]) => {
                let view = self.output(of.node);
                let made = input(&view, of);
                Ok(vec![(self.preprocess(options, &of.name, view)?, made)])
            }
            (Form::Classify { .. }, all) => {
                Err(Error::Model(format!("the network takes {} inputs; only one image can be classified", all.len())))
            }
            (Form::Tensors, all) => Ok(all
                .iter()
                .map(|of| {
                    let view = self.output(of.node);
                    (view.storage, input(&view, of))
                })
                .collect()),
        }
    }

    fn preprocess(&mut self, options: &PlanOptions, name: &str, output: TensorView) -> Result<Storage> {
        if output.shape.c != 3 {
            return Err(Error::shape(name, format!("images have 3 channels, the network takes {}", output.shape.c)));
        }
        let [mean, std] = options.normalise;
        Ok(preprocess::lower(&preprocess::Problem { mean, std, output }, &mut self.emit))
    }

    /// What leaves the graph.
    fn tensors(&self) -> Result<Vec<(Storage, PlanOutput)>> {
        let leaving = |output: &Output| {
            // What it looks like is known to fit once its sides have lengths.
            output.tensor.lengths(self.shapes[output.node.0]).map_err(|what| Error::shape(&output.name, what))?;
            let (storage, made) = self.view(output.node).leaving(&output.name);
            Ok((storage, PlanOutput { tensor: output.tensor.clone(), ..made }))
        };
        self.graph.leaving().map(leaving).collect()
    }

    /// The `k` best classes by the first result.
    fn classes(&mut self, k: usize) -> Result<(Storage, PlanOutput)> {
        let Output { name, node: id, .. } = &self.graph.outputs()[0];
        let shape = self.shapes[id.0];
        if shape.pixels() != 1 {
            return Err(Error::shape(name, format!("classes need a [n, classes, 1, 1] result, this one is {shape}")));
        }
        if k == 0 || k > shape.c {
            return Err(Error::Model(format!("the {k} best of {} classes cannot be given", shape.c)));
        }
        let input = self.view_as(*id, &Layout::plain(shape.c));
        let storage = softmax_top_k::lower(&softmax_top_k::Problem { input, k }, &mut self.emit);
        let bytes = shape.n * k * 8;
        let (shape, layout) = (Shape::new(shape.n, k, 1, 2), Layout::plain(k));
        let tensor = TensorType::maps();
        Ok((storage, PlanOutput { name: "top_k".into(), slot: 0, place: Place::default(), bytes, shape, layout, tensor }))
    }

    fn elementwise(&mut self, id: NodeId, calculate: Option<Calculate>, activation: Activation) {
        let layout = self.layouts[id.0].clone();
        let a = self.view_as(self.input(id, 0), &layout);
        let b = calculate.map(|Calculate { by, operand }| {
            let operand = match operand {
                Some(constant) => elementwise::Operand::Constant(self.constant(constant)),
                None => {
                    let other = self.input(id, 1);
                    let view = self.view_as(other, &layout);
                    match self.graph.node(other).op {
                        Op::SqueezeExcite(_) => elementwise::Operand::Gate(view),
                        _ => elementwise::Operand::Tensor(view),
                    }
                }
            };
            (by, operand)
        });
        let problem = elementwise::Problem {
            name: self.name(id).into(),
            owner: Owner::node(id),
            a,
            b,
            activation: self.activated(activation),
            output: self.output(id),
        };
        elementwise::lower(&problem, &mut self.emit);
    }

    fn pool(&mut self, id: NodeId, window: Option<crate::graph::Pool>) {
        let input = self.view(self.input(id, 0));
        let problem = pool::Problem { name: self.name(id).into(), input, window, output: self.output(id) };
        pool::lower(&problem, &mut self.emit);
    }

    fn resample(&mut self, id: NodeId, resample: Resample, product: bool) {
        let inputs = &self.graph.node(id).inputs;
        let layout = self.layouts[id.0].clone();
        let sources: Vec<Shape> = inputs.iter().map(|id| self.shapes[id.0]).collect();
        let size = resample.size(sources[0], sources.get(1)).expect("shapes are known");
        let other = product.then(|| self.view_as(inputs[inputs.len() - 1], &layout));
        let input = self.view_as(inputs[0], &layout);
        let problem =
            resample::Problem { name: self.name(id).into(), owner: Owner::node(id), input, resample, size, other, output: self.output(id) };
        resample::lower(&problem, &mut self.emit);
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn roi_align(&mut self, id: NodeId, roi_align: &crate::graph::RoiAlign) {
        let layout = self.layouts[id.0].clone();
        let (regions, maps) = self.graph.node(id).inputs.split_last().expect("it has inputs");
        let problem = crate::kernels::roi_align::Problem {
            name: self.name(id).into(),
            maps: maps.iter().map(|map| self.view_as(*map, &layout)).collect(),
            regions: self.view(*regions),
            roi_align: roi_align.clone(),
            output: self.output(id),
        };
        crate::kernels::roi_align::lower(&problem, &mut self.emit);
    }

    fn rearrange(&mut self, id: NodeId, rearrange: &Rearrange) {
        let input = self.view(self.input(id, 0));
        let problem = rearrange::Problem {
            name: self.name(id).into(),
            owner: Owner::node(id),
            input,
            rearrange: rearrange.clone(),
            output: self.output(id),
        };
        rearrange::lower(&problem, &mut self.emit);
    }

    fn top_k(&mut self, id: NodeId, top_k: TopK) {
        let source = self.input(id, 0);
        let input = self.view_as(source, &Layout::plain(self.shapes[source.0].c));
        let problem = top_k::Problem { name: self.name(id).into(), input, top_k, output: self.output(id) };
        top_k::lower(&problem, &mut self.emit);
    }

    fn softmax(&mut self, id: NodeId) {
        let input = self.view_as(self.input(id, 0), &Layout::plain(self.shapes[id.0].c));
        let problem = softmax::Problem { name: self.name(id).into(), input, output: self.output(id) };
        softmax::lower(&problem, &mut self.emit);
    }

    /// Copies those of a concatenation's inputs that were not written to their place.
    fn concat(&mut self, id: NodeId) {
        let output = self.output(id);
        let root = self.placement.root(id);
        let mut block = 0;
        for &input in &self.graph.node(id).inputs {
            let view = self.view(input);
            let (blocks, shape) = (view.blocks(), view.shape);
            let to = output.part(block, shape.c, view.layout.clone());
            let there = self.placement.root(input) == root && view.storage == to.storage && view.place.offset == to.place.offset;
            if !there {
                // Same lanes, another place.
                let lanes = view.layout.lanes().iter().enumerate().map(|(lane, &c)| if c == PAD { PAD } else { lane as u32 });
                self.copy(input, lanes.collect(), to);
            }
            block += blocks;
        }
    }

    /// Some of the input's channels: a range of its blocks where they fall on such, else a copy.
    fn select(&mut self, id: NodeId, channels: &[u32]) {
        let input = self.input(id, 0);
        let (from, layout) = (self.view(input), self.layouts[id.0].clone());
        if let Some((block, of_slice)) = from.layout.select(channels)
            && of_slice == layout
        {
            self.views[id.0] = Some(from.part(block, channels.len(), layout));
            return;
        }
        let lane_of = from.layout.lane_of(from.shape.c);
        let lanes = layout.lanes().iter().map(|&c| if c == PAD { PAD } else { lane_of[channels[c as usize] as usize] }).collect();
        let to = self.output(id);
        self.copy(input, lanes, to);
    }

    /// Copies lanes of a node's result.
    fn copy(&mut self, node: NodeId, lanes: Vec<u32>, output: TensorView) {
        let problem = relayout::Problem { name: format!("{}.relayout", self.name(node)), node, input: self.view(node), lanes, output };
        relayout::lower(&problem, &mut self.emit);
    }
}
