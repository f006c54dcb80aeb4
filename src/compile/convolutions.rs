//! Convolutions and what is fused with them: which kernel computes each, in one step or in two.

use super::Compiler;
use crate::{
    graph::{Activation, Calculation, ConstId, Conv, Ghost, NodeId, Op, Separable, Shape, SqueezeExcite},
    kernels::{conv2d, depthwise, elementwise, ghost, linear, pointwise, pool, separable, squeeze_excite},
    plan::{
        Precision,
        emit::{Gate, Owner, Residual, TensorView},
        layout::{self, Layout},
    },
};

/// What a ghost module or a convolution takes beside its first input, where its operation says that
/// it is there.
struct Extra {
    gate: Option<Gate>,
    residual: Option<Residual>,
}

impl Compiler<'_> {
    /// A gate on the first input and what is added to the result, in the layouts that they need.
    fn extra(&mut self, id: NodeId, gate: bool, residual: Option<Activation>) -> Extra {
        let inputs = &self.graph.node(id).inputs;
        let layout_in = self.layouts[inputs[0].0].clone();
        let gate = gate.then(|| self.gate(inputs[1], &layout_in));
        let residual = residual.map(|activation| {
            let layout = self.layouts[id.0].clone();
            Residual { view: self.view_as(inputs[inputs.len() - 1], &layout), activation }
        });
        Extra { gate, residual }
    }

    fn gate(&mut self, id: NodeId, layout: &Layout) -> Gate {
        let is_bounded = match &self.graph.node(id).op {
            Op::SqueezeExcite(se) => matches!(se.gate_activation, Activation::HardSigmoid | Activation::Sigmoid),
            _ => false,
        };
        Gate { view: self.view_as(id, layout), is_bounded }
    }

    /// Whether a node is what `pointwise` computes.
    pub(super) fn is_by_pointwise(&self, id: NodeId) -> bool {
        match &self.graph.node(id).op {
            Op::Conv(conv) if conv.is_pointwise(&self.graph.constants) => self.shapes[self.input(id, 0).0].pixels() > 1,
            _ => false,
        }
    }

    pub(super) fn conv(&mut self, id: NodeId, conv: &Conv) {
        let input = self.input(id, 0);
        let shape = self.shapes[input.0];
        if layout::keeps_lanes(self.graph, conv) {
            let problem = depthwise::Problem {
                name: self.name(id).into(),
                owner: Owner::node(id),
                input: self.view(input),
                weight: self.constant(conv.weight),
                bias: self.values(conv.bias),
                stride: conv.stride,
                pad: conv.pad,
                activation: self.activated(conv.activation),
                sums: self.wants_sums[id.0],
                output: self.output(id),
            };
            self.sums[id.0] = depthwise::lower(&problem, &mut self.emit);
        } else if !conv.is_pointwise(&self.graph.constants) {
            let Extra { residual, .. } = self.extra(id, false, conv.residual);
            let problem = conv2d::Problem {
                name: self.name(id).into(),
                owner: Owner::node(id),
                input: self.view(input),
                weight: self.constant(conv.weight),
                bias: self.values(conv.bias),
                stride: conv.stride,
                pad: conv.pad,
                dilation: conv.dilation,
                groups: conv.groups,
                activation: self.activated(conv.activation),
                residual,
                output: self.output(id),
            };
            conv2d::lower(&problem, &mut self.emit);
        } else if shape.pixels() == 1 && !conv.gate && conv.residual.is_none() && !conv.pool {
            self.linear(id, conv.weight, conv.bias, conv.activation);
        } else {
            let Extra { gate, residual } = self.extra(id, conv.gate, conv.residual);
            let problem = pointwise::Problem {
                name: self.name(id).into(),
                owner: Owner::node(id),
                input: self.view(input),
                weight: self.constant(conv.weight),
                bias: self.values(conv.bias),
                activation: self.activated(conv.activation),
                gate,
                residual,
                mean: conv.pool,
                output: self.output(id),
            };
            pointwise::lower(&problem, &mut self.emit);
        }
    }

    pub(super) fn linear(&mut self, id: NodeId, weight: ConstId, bias: Option<ConstId>, activation: Activation) {
        let problem = linear::Problem {
            name: self.name(id).into(),
            owner: Owner::node(id),
            input: self.view(self.input(id, 0)),
            weight: self.constant(weight),
            bias: self.values(bias),
            activation: self.activated(activation),
            output: self.output(id),
        };
        linear::lower(&problem, &mut self.emit);
    }

    pub(super) fn ghost(&mut self, id: NodeId, ghost: &Ghost) {
        let (primary, cheap) = (self.constant(ghost.primary), self.constant(ghost.cheap));
        let input = self.input(id, 0);
        let shape = self.shapes[id.0];
        // The kernel sums up what it computes, for one group of ghosts.
        let sums = self.wants_sums[id.0] && ghost.residual.is_none() && cheap.shape[0] == primary.shape[0];
        let size = ghost::Size {
            n: shape.n,
            map: [shape.h, shape.w],
            blocks: [self.layouts[input.0].blocks(), Layout::plain(primary.shape[0]).blocks()],
            d: cheap.shape[2],
            gate: ghost.gate,
            sums,
        };
        let Some(cut) = ghost::Cut::new(&size, self.emit.choice()).filter(|_| self.emit.choice().fuse_ghost) else {
            return self.ghost_in_two(id, ghost);
        };
        let Extra { gate, residual } = self.extra(id, ghost.gate, ghost.residual);
        let part = |weight, bias, activation| ghost::Part { weight, bias, activation };
        let problem = ghost::Problem {
            name: self.name(id).into(),
            owner: Owner::node(id),
            input: self.view(input),
            primary: part(primary, self.values(ghost.primary_bias), self.activated(ghost.primary_activation)),
            cheap: part(cheap, self.values(ghost.cheap_bias), self.activated(ghost.cheap_activation)),
            gate,
            residual,
            sums,
            output: self.output(id),
        };
        self.sums[id.0] = ghost::lower(&problem, cut, &mut self.emit);
    }

    /// A ghost module as a 1x1 and a depthwise convolution that write the two channel ranges of one
    /// buffer.
    fn ghost_in_two(&mut self, id: NodeId, ghost: &Ghost) {
        let name = self.name(id);
        let (primary, cheap) = (self.constant(ghost.primary), self.constant(ghost.cheap));
        let (shape, layout) = (self.shapes[id.0], self.layouts[id.0].clone());
        let (m, d) = (primary.shape[0], cheap.shape[2]);
        // Both parts are made aside where there is a residual, since the cheap operation reads the
        // intrinsic maps before the residual is added.
        let to = if ghost.residual.is_some() { self.new_tensor(shape, layout.clone()) } else { self.output(id) };
        let intrinsic = to.part(0, m, Layout::plain(m));
        let ghosts = to.part(intrinsic.blocks(), cheap.shape[0], Layout::from_parts([layout.ghosts(m)]));
        let input = self.input(id, 0);
        let Extra { gate, .. } = self.extra(id, ghost.gate, None);
        let problem = pointwise::Problem {
            name: format!("{name}.primary_conv"),
            owner: Owner::part(id, "primary"),
            input: self.view(input),
            weight: primary,
            bias: self.values(ghost.primary_bias),
            activation: self.activated(ghost.primary_activation),
            gate,
            residual: None,
            mean: false,
            output: intrinsic.clone(),
        };
        pointwise::lower(&problem, &mut self.emit);
        let problem = depthwise::Problem {
            name: format!("{name}.cheap_operation"),
            owner: Owner::part(id, "cheap"),
            input: intrinsic,
            weight: cheap,
            bias: self.values(ghost.cheap_bias),
            stride: [1, 1],
            pad: [d / 2; 2],
            activation: self.activated(ghost.cheap_activation),
            sums: false,
            output: ghosts,
        };
        depthwise::lower(&problem, &mut self.emit);
        if let Extra { residual: Some(residual), .. } = self.extra(id, false, ghost.residual) {
            let problem = elementwise::Problem {
                name: format!("{name}.residual"),
                owner: Owner::NONE,
                a: to,
                b: Some((Calculation::Add, elementwise::Operand::Tensor(residual.view))),
                activation: residual.activation.into(),
                output: self.output(id),
            };
            elementwise::lower(&problem, &mut self.emit);
        }
    }

    pub(super) fn separable(&mut self, id: NodeId, separable: &Separable) {
        let Separable { depthwise: first, pointwise: second } = separable;
        let input = self.view(self.input(id, 0));
        if !self.emit.choice().fuse_separable {
            return self.separable_in_two(id, separable, input);
        }
        let part = |conv: &Conv| separable::Part {
            weight: self.constant(conv.weight),
            bias: self.values(conv.bias),
            activation: self.activated(conv.activation),
        };
        let problem = separable::Problem {
            name: self.name(id).into(),
            owner: Owner::node(id),
            input,
            depthwise: part(first),
            stride: first.stride,
            pad: first.pad,
            pointwise: part(second),
            output: self.output(id),
        };
        separable::lower(&problem, &mut self.emit);
    }

    fn separable_in_two(&mut self, id: NodeId, separable: &Separable, input: TensorView) {
        let Separable { depthwise: first, pointwise: second } = separable;
        let shape = Shape { c: input.shape.c, ..self.shapes[id.0] };
        let middle = self.new_tensor(shape, input.layout.clone());
        let problem = depthwise::Problem {
            name: format!("{}.depthwise", self.name(id)),
            owner: Owner::part(id, "depthwise"),
            input,
            weight: self.constant(first.weight),
            bias: self.values(first.bias),
            stride: first.stride,
            pad: first.pad,
            activation: self.activated(first.activation),
            sums: false,
            output: middle.clone(),
        };
        depthwise::lower(&problem, &mut self.emit);
        let problem = pointwise::Problem {
            name: self.name(id).into(),
            owner: Owner::part(id, "pointwise"),
            input: middle,
            weight: self.constant(second.weight),
            bias: self.values(second.bias),
            activation: self.activated(second.activation),
            gate: None,
            residual: None,
            mean: false,
            output: self.output(id),
        };
        pointwise::lower(&problem, &mut self.emit);
    }

    pub(super) fn squeeze_excite(&mut self, id: NodeId, se: &SqueezeExcite) {
        let from = self.input(id, 0);
        let input = self.view(from);
        let name = self.name(id);
        let sums = match self.sums[from.0] {
            Some(sums) => sums,
            None => pool::lower_sums(format!("{name}.pool"), &input, &mut self.emit),
        };
        let output = self.emit.tensor(self.shapes[id.0], input.layout.clone(), Precision::F32);
        self.views[id.0] = Some(output.clone());
        let layer = |weight, bias, activation| squeeze_excite::Layer { weight, bias, activation };
        let problem = squeeze_excite::Problem {
            name: name.into(),
            owner: Owner::node(id),
            input,
            sums,
            reduce: layer(self.constant(se.reduce), self.values(se.reduce_bias), se.reduce_activation),
            expand: layer(self.constant(se.expand), self.values(se.expand_bias), se.gate_activation),
            output,
        };
        squeeze_excite::lower(&problem, &mut self.emit);
    }
}
