//! Modules of the networks on GhostNet's skeleton, with timm's tensor names.

use crate::{
    Error, Result,
    graph::{Activation, Coordinates, Filter, Graph, Nearest, NodeId, Op, Pool, PoolKind, Resample},
    model::builder::{Builder, Filters, Source},
};

/// A ghost module (section 3.1 of the paper): `ceil(c_out / ratio)` maps by a primary convolution,
/// the rest by depthwise operations.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GhostModule {
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Kernel of the primary convolution (1 in GhostNet), odd.
    pub kernel: usize,
    /// Stride of the primary convolution.
    pub stride: usize,
    /// Ratio s: 2 in GhostNet; 1 is the plain convolution.
    pub ratio: usize,
    /// Kernel d of the cheap operation: 3 in GhostNet, odd.
    pub cheap_kernel: usize,
    /// A ReLU after both parts.
    pub relu: bool,
}

impl GhostModule {
    /// GhostNet's: s = 2, d = 3, a 1x1 primary convolution, ReLU.
    pub fn new(c_in: usize, c_out: usize) -> Self {
        Self { c_in, c_out, kernel: 1, stride: 1, ratio: 2, cheap_kernel: 3, relu: true }
    }

    /// Sets [`GhostModule::kernel`].
    pub fn kernel(self, kernel: usize) -> Self {
        Self { kernel, ..self }
    }

    /// Sets [`GhostModule::stride`].
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Sets [`GhostModule::ratio`].
    pub fn ratio(self, ratio: usize) -> Self {
        Self { ratio, ..self }
    }

    /// Sets [`GhostModule::cheap_kernel`].
    pub fn cheap_kernel(self, cheap_kernel: usize) -> Self {
        Self { cheap_kernel, ..self }
    }

    /// Sets [`GhostModule::relu`].
    pub fn relu(self, relu: bool) -> Self {
        Self { relu, ..self }
    }

    /// Adds the module to a graph, with tensors `NAME.primary_conv.{0,1}.*` and
    /// `NAME.cheap_operation.{0,1}.*` as timm's `GhostModule`.
    pub fn add(&self, graph: &mut Graph, source: &mut Source<'_>, name: &str, input: NodeId) -> Result<NodeId> {
        self.build(&mut Builder::new(graph, source).scope(name), input)
    }

    pub(super) fn build(&self, b: &mut Builder<'_, '_>, input: NodeId) -> Result<NodeId> {
        if self.ratio == 0 || self.kernel.is_multiple_of(2) || self.cheap_kernel.is_multiple_of(2) {
            let what = format!("ratio {} must be at least 1, kernels {} and {} odd", self.ratio, self.kernel, self.cheap_kernel);
            return Err(Error::shape(b.name("ghost"), what));
        }
        let m = self.c_out.div_ceil(self.ratio);
        let primary = self.part(b, "primary_conv", input, Filters::new(self.c_in, m, self.kernel).stride(self.stride))?;
        if self.ratio == 1 {
            return Ok(primary);
        }
        let cheap = Filters::new(m, m * (self.ratio - 1), self.cheap_kernel).depthwise();
        let cheap = self.part(b, "cheap_operation", primary, cheap)?;
        let all = b.add("concat", Op::Concat, &[primary, cheap])?;
        if m * self.ratio == self.c_out {
            return Ok(all);
        }
        b.add("slice", Op::Slice { start: 0, len: self.c_out }, &[all])
    }

    fn part(&self, b: &mut Builder<'_, '_>, name: &str, input: NodeId, filters: Filters) -> Result<NodeId> {
        let y = b.conv_of(name, &format!("{name}.0"), input, filters)?;
        let y = b.scope(name).batch_norm("1", y)?;
        if self.relu { b.scope(name).activate("2", y, Activation::Relu) } else { Ok(y) }
    }
}

/// Names of a convolution and its normalisation, and what the convolution is.
type Branch = ([String; 2], Filters);

/// Parallel branches of an input, added up: convolutions, and with `skip` a normalisation of the
/// input itself. So they are trained; a pass makes one convolution of them.
pub(super) fn branches(b: &mut Builder<'_, '_>, name: &str, input: NodeId, convs: &[Branch], skip: Option<&str>) -> Result<NodeId> {
    let mut parts = Vec::new();
    for ([conv, norm], filters) in convs {
        parts.push(b.conv_norm([conv, norm], input, *filters)?);
    }
    parts.extend(skip.map(|norm| b.batch_norm(norm, input)).transpose()?);
    let (last, mut sum) = (parts.len() - 1, parts[0]);
    for (at, part) in parts.into_iter().enumerate().skip(1) {
        let name = if at == last { name.to_string() } else { format!("{name}.sum{at}") };
        sum = b.add(&name, Op::Add, &[sum, part])?;
    }
    Ok(sum)
}

/// GhostNetV3's branches: three alike, called `NAME_rpr_conv.N`, and with `scale` a 1x1 one,
/// `NAME_rpr_scale`.
pub(super) fn alike(name: &str, filters: Filters, scale: bool) -> Vec<Branch> {
    let branch = |part: String, filters| ([format!("{name}_rpr_{part}.conv"), format!("{name}_rpr_{part}.bn1")], filters);
    let mut branches: Vec<Branch> = (0..3).map(|at| branch(format!("conv.{at}"), filters)).collect();
    if scale {
        branches.push(branch("scale".into(), filters.kernel([1, 1])));
    }
    branches
}

/// A module of GhostNetV3 (Liu et al., 2024, arXiv 2404.11202, section 3.2): GhostNet's, trained
/// with parallel branches in the place of each convolution. `merged` weights have one each.
pub(super) fn branched(b: &mut Builder<'_, '_>, input: NodeId, [c_in, c_out]: [usize; 2], relu: bool, merged: bool) -> Result<NodeId> {
    let m = c_out.div_ceil(2);
    let (primary, cheap) = (Filters::new(c_in, m, 1), Filters::new(m, m, 3).depthwise());
    let activate = |b: &mut Builder<'_, '_>, name, x| if relu { b.activate(name, x, Activation::Relu) } else { Ok(x) };
    let x = match merged {
        true => b.conv_of("primary_conv", "primary_conv.0", input, primary.bias())?,
        false => branches(b, "primary_conv", input, &alike("primary", primary, false), None)?,
    };
    let x = activate(b, "primary_activation", x)?;
    let y = match merged {
        true => b.conv_of("cheap_operation", "cheap_operation.0", x, cheap.bias())?,
        false => branches(b, "cheap_operation", x, &alike("cheap", cheap, true), Some("cheap_rpr_skip"))?,
    };
    let y = activate(b, "cheap_activation", y)?;
    let all = b.add("concat", Op::Concat, &[x, y])?;
    if 2 * m == c_out { Ok(all) } else { b.add("slice", Op::Slice { start: 0, len: c_out }, &[all]) }
}

/// A module of RepGhost (Chen et al., 2022, arXiv 2211.06088, figure 3): where a ghost module
/// concatenates its two parts, this one adds them. `merged` weights have one depthwise convolution
/// instead.
pub(super) fn rep_ghost(b: &mut Builder<'_, '_>, input: NodeId, [c_in, c_out]: [usize; 2], relu: bool, merged: bool) -> Result<NodeId> {
    let cheap = Filters::new(c_out, c_out, 3).depthwise();
    let mut x = b.conv_norm(["primary_conv.0", "primary_conv.1"], input, Filters::new(c_in, c_out, 1))?;
    if relu {
        x = b.activate("primary_conv.2", x, Activation::Relu)?;
    }
    let x = match merged {
        true => b.conv("cheap_operation", x, cheap.bias())?,
        false => {
            let conv = ["cheap_operation.0".to_string(), "cheap_operation.1".to_string()];
            branches(b, "cheap_operation", x, &[(conv, cheap)], Some("fusion_bn.0"))?
        }
    };
    if relu { b.activate("relu", x, Activation::Relu) } else { Ok(x) }
}

/// The attention of GhostNetV2 (Tang et al., NeurIPS 2022, arXiv 2211.12905, section 4.2) on the
/// result `x` of a ghost module: a gate for each pixel, made at half the size of the module's
/// `input` from the pixels of a row, then of a column.
pub(super) fn attention(b: &mut Builder<'_, '_>, input: NodeId, x: NodeId, [c_in, c_out]: [usize; 2]) -> Result<NodeId> {
    let half = Pool { kind: PoolKind::Mean { count_pad: false }, kernel: [2, 2], stride: [2, 2], pad: [0, 0], pad_more: [0, 0] };
    let along = |kernel| Filters::new(c_out, c_out, 1).kernel(kernel).depthwise();
    let mut gate = b.add("avg_pool", Op::Pool(half), &[input])?;
    for (at, filters) in [Filters::new(c_in, c_out, 1), along([1, 5]), along([5, 1])].into_iter().enumerate() {
        let [conv, norm] = [2 * at, 2 * at + 1].map(|at| format!("short_conv.{at}"));
        gate = b.conv_norm([&conv, &norm], gate, filters)?;
    }
    let gate = b.activate("gate_fn", gate, Activation::Sigmoid)?;
    let nearest = Resample { filter: Filter::Nearest(Nearest::Floor), coordinates: Coordinates::Asymmetric, ..Resample::like() };
    let gate = b.add("interpolate", Op::Resample(nearest), &[gate, input])?;
    b.add("attend", Op::Multiply, &[x, gate])
}
