//! Every operation a graph may hold: its rule for channels and map size, and its cost.
//!
//! The first group is what builders use; the second is what passes make of it.

#[cfg(not(target_arch = "wasm32"))]
use super::RoiAlign;
use super::{
    Activation, Calculate, ConstId, Constant, Extent, Rearrange, Resample, Shape, TopK,
    constants::{known, vector},
    shape::below_largest,
};
use crate::text::Sides;

/// A convolution: weight `[c_out, c_in / groups, kh, kw]`, optional bias `[c_out]`. Sizes are
/// (rows, columns).
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Filters, OIHW.
    pub weight: ConstId,
    /// One value an output channel.
    pub bias: Option<ConstId>,
    /// Rows and columns from one output pixel to the next.
    pub stride: [usize; 2],
    /// Zero rows above and below, zero columns left and right.
    pub pad: [usize; 2],
    /// Zero rows that there are more below than above, zero columns more right than left.
    pub pad_more: [isize; 2],
    /// Rows and columns from one filter tap to the next.
    pub dilation: [usize; 2],
    /// Input and output channels are split into this many independent groups.
    pub groups: usize,
    /// Applied to the result. Set by a pass.
    pub activation: Activation,
    /// The second input scales the first's channels. Set by a pass.
    pub gate: bool,
    /// The last input is added to the activated result, and this applied to the sum. Set by a pass.
    pub residual: Option<Activation>,
    /// Only the mean of each result map leaves. Set by a pass.
    pub pool: bool,
}

impl Conv {
    /// A convolution of stride 1, no padding, one group and no bias.
    pub fn new(weight: ConstId) -> Self {
        Self {
            weight,
            bias: None,
            stride: [1, 1],
            pad: [0, 0],
            pad_more: [0, 0],
            dilation: [1, 1],
            groups: 1,
            activation: Activation::Identity,
            gate: false,
            residual: None,
            pool: false,
        }
    }

    /// With a bias.
    pub fn bias(mut self, bias: ConstId) -> Self {
        self.bias = Some(bias);
        self
    }

    /// With this stride in both directions.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = [stride; 2];
        self
    }

    /// With this padding on all sides.
    pub fn pad(mut self, pad: usize) -> Self {
        self.pad = [pad; 2];
        self
    }

    /// With this dilation in both directions.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = [dilation; 2];
        self
    }

    /// With this many groups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    fn has_no_pad(&self) -> bool {
        self.pad == [0, 0] && self.pad_more == [0, 0]
    }

    /// Kernel of one pixel, stride 1, no padding, one group.
    pub(crate) fn is_pointwise(&self, constants: &[Constant]) -> bool {
        constants[self.weight.0].shape[2..] == [1, 1] && self.stride == [1, 1] && self.has_no_pad() && self.groups == 1
    }

    /// Channels of the output; the message says what does not fit.
    fn channels(&self, constants: &[Constant], input: usize) -> Result<usize, String> {
        let weight = known(constants, self.weight)?;
        let &[c_out, c_in, kh, kw] = &weight.shape[..] else {
            return Err(format!("`{}` has shape {}, needs four dimensions", weight.name, Sides(&weight.shape)));
        };
        if self.groups == 0 || !c_out.is_multiple_of(self.groups) || !input.is_multiple_of(self.groups) {
            return Err(format!("{input} input and {c_out} output channels cannot be split into {} groups", self.groups));
        }
        let needed = c_in.saturating_mul(self.groups);
        if needed != input {
            return Err(format!("input has {input} channels, `{}` {} needs {needed}", weight.name, Sides(&weight.shape)));
        }
        if [c_out, kh, kw].contains(&0) || self.stride.contains(&0) || self.dilation.contains(&0) {
            return Err("channels, kernel, stride and dilation must be at least 1".into());
        }
        below_largest("stride", self.stride)?;
        below_largest("padding", self.pad)?;
        far_pad(self.pad, self.pad_more)?;
        // The filter lies in memory, so its sides are smaller than that already.
        below_largest("dilation", self.dilation.map(|d| d.saturating_mul(kh.max(kw))))?;
        self.bias.iter().try_for_each(|b| vector(constants, *b, c_out))?;
        self.activation.check(constants, c_out)?;
        Ok(c_out)
    }

    /// Each output channel reads one input channel.
    pub(crate) fn is_depthwise(&self, constants: &[Constant]) -> bool {
        self.groups > 1 && constants[self.weight.0].shape[1] == 1
    }
}

/// How a window becomes one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest value on the map.
    Max,
    /// The mean; `count_pad` counts padding as zeros, as PyTorch's `count_include_pad`.
    Mean {
        /// Divide by the whole window, padding included.
        count_pad: bool,
    },
}

/// Pooling over a window; sizes are (rows, columns).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// What is made of the window.
    pub kind: PoolKind,
    /// The window.
    pub kernel: [usize; 2],
    /// From one window to the next.
    pub stride: [usize; 2],
    /// Around the map; less than the window.
    pub pad: [usize; 2],
    /// Rows more below than above, columns more right than left. With `count_pad` they count too.
    pub pad_more: [isize; 2],
}

/// A fused ghost module with a 1x1 primary convolution: inputs `[x]`, then the gate, then the
/// residual, where they are set.
#[derive(Debug, Clone, PartialEq)]
pub struct Ghost {
    /// Primary convolution, `[m, c_in, 1, 1]`.
    pub primary: ConstId,
    /// `[m]`.
    pub primary_bias: Option<ConstId>,
    /// After the primary convolution.
    pub primary_activation: Activation,
    /// Cheap operation, `[m * (s - 1), 1, d, d]`.
    pub cheap: ConstId,
    /// `[m * (s - 1)]`.
    pub cheap_bias: Option<ConstId>,
    /// After the cheap operation.
    pub cheap_activation: Activation,
    /// Channels that are kept of the `m * s`.
    pub c_out: usize,
    /// The ghosts are the first channels and the intrinsic maps the last. All are kept then.
    pub ghosts_first: bool,
    /// The second input scales the first's channels.
    pub gate: bool,
    /// The last input is added to the result, and this applied to the sum.
    pub residual: Option<Activation>,
}

/// The gate of a squeeze-and-excite: mean of each map, two small layers; output `[n, c, 1, 1]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SqueezeExcite {
    /// `[r, c, 1, 1]`.
    pub reduce: ConstId,
    /// `[r]`.
    pub reduce_bias: Option<ConstId>,
    /// After the first layer.
    pub reduce_activation: Activation,
    /// `[c, r, 1, 1]`.
    pub expand: ConstId,
    /// `[c]`.
    pub expand_bias: Option<ConstId>,
    /// After the second layer.
    pub gate_activation: Activation,
}

impl SqueezeExcite {
    /// Channels, and reduced channels, that one may have at most: what the kernel's workgroup
    /// memory holds.
    pub const MOST_CHANNELS: [usize; 2] = [2048, 512];
}

/// A depthwise convolution (channel multiplier 1, no dilation) followed by a 1x1 convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Separable {
    /// The first.
    pub depthwise: Conv,
    /// The second.
    pub pointwise: Conv,
}

/// An operation on `[n, c, h, w]` tensors.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// The network's input.
    Input {
        /// Its channels.
        channels: usize,
    },
    /// A convolution of any kernel, stride, padding, dilation and groups.
    Conv(Conv),
    /// Batch normalisation in evaluation: `(x - mean) / sqrt(var + eps) * weight + bias`, each
    /// `[c]`.
    BatchNorm {
        /// Scale.
        weight: ConstId,
        /// Shift.
        bias: ConstId,
        /// Running mean.
        mean: ConstId,
        /// Running variance.
        var: ConstId,
        /// Added to the variance.
        eps: f32,
    },
    /// A function of every value.
    Activate(Activation),
    /// The sum of two tensors of one shape.
    Add,
    /// The product of two tensors of one shape, or of one and a `[n, c, 1, 1]`.
    Multiply,
    /// A constant `[c, h, w]`, for as many images as the input has.
    Constant(ConstId),
    /// Another calculation of two tensors of one shape, of one and a `[n, c, 1, 1]`, or with a
    /// constant.
    Calculate(Calculate),
    /// Its inputs' channels, one after the other.
    Concat,
    /// `len` channels from `start` on.
    Slice {
        /// First channel.
        start: usize,
        /// How many.
        len: usize,
    },
    /// Maximum or mean over windows.
    Pool(Pool),
    /// Mean of each map: `[n, c, 1, 1]`.
    GlobalPool,
    /// Maps of another size, which a second input may tell.
    Resample(Resample),
    /// Values of each image in another order.
    Rearrange(Rearrange),
    /// Regions of maps, each on a grid of cells: the maps, then the regions.
    #[cfg(not(target_arch = "wasm32"))]
    RoiAlign(RoiAlign),
    /// The softmax over the channels of each pixel.
    Softmax,
    /// The largest channels of each pixel, or their numbers: `[n, k, h, w]`.
    TopK(TopK),
    /// A linear layer on one-pixel maps: weight `[c_out, c_in]`, optional bias `[c_out]`.
    Linear {
        /// `[c_out, c_in]`.
        weight: ConstId,
        /// `[c_out]`.
        bias: Option<ConstId>,
        /// Applied to the result. Set by a pass.
        activation: Activation,
    },

    /// Made by the pass `fuse_ghost`.
    Ghost(Ghost),
    /// Made by the pass `fuse_squeeze_excite`.
    SqueezeExcite(SqueezeExcite),
    /// Made by the pass `fuse_separable`.
    Separable(Separable),
    /// A resampled map times another: the inputs of the resampling, then that other. Made by the
    /// pass `fuse_resample`.
    ResampleProduct(Resample),
}

/// Channels of one node.
pub(super) const MOST_CHANNELS: usize = 1 << 24;

/// Output size of a window of `kernel` taps, `dilation` apart, over `size` values.
fn windows(size: usize, kernel: usize, stride: usize, pad: [usize; 2], dilation: usize) -> Result<usize, String> {
    let (span, [near, far]) = (dilation * (kernel - 1) + 1, pad);
    // `add` keeps each of these below LARGEST, but a browser counts to twice that only.
    let padded = size.checked_add(near).and_then(|size| size.checked_add(far)).ok_or("padded maps are too large")?;
    match padded.checked_sub(span) {
        Some(rest) => Ok(rest / stride + 1),
        None if near == far => Err(format!("a window of {span} does not fit on {size} pixels with padding {near}")),
        None => Err(format!("a window of {span} does not fit on {size} pixels with padding {near} and {far}")),
    }
}

/// Padding below and right, from that above and left.
fn far_pad(pad: [usize; 2], more: [isize; 2]) -> Result<[usize; 2], String> {
    let far = |axis: usize| {
        let far = pad[axis].checked_add_signed(more[axis]);
        far.ok_or_else(|| format!("padding of {} and {} less is below 0", pad[axis], more[axis].unsigned_abs()))
    };
    let far = [far(0)?, far(1)?];
    below_largest("padding", far)?;
    Ok(far)
}

fn same_size(inputs: &[Shape]) -> Result<[usize; 2], String> {
    let first = inputs[0];
    match inputs.iter().find(|s| (s.h, s.w) != (first.h, first.w)) {
        Some(other) => Err(format!("maps of {} x {} and {} x {} do not go together", first.h, first.w, other.h, other.w)),
        None => Ok([first.h, first.w]),
    }
}

impl Op {
    /// The operation's name in listings.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input { .. } => "input",
            Op::Conv(_) => "conv",
            Op::BatchNorm { .. } => "batch_norm",
            Op::Activate(_) => "activate",
            Op::Add => "add",
            Op::Multiply => "multiply",
            Op::Constant(_) => "constant",
            Op::Calculate(_) => "calculate",
            Op::Concat => "concat",
            Op::Slice { .. } => "slice",
            Op::Pool(_) => "pool",
            Op::GlobalPool => "global_pool",
            Op::Resample(_) => "resample",
            Op::Rearrange(_) => "rearrange",
            #[cfg(not(target_arch = "wasm32"))]
            Op::RoiAlign(_) => "roi_align",
            Op::Softmax => "softmax",
            Op::TopK(_) => "top_k",
            Op::Linear { .. } => "linear",
            Op::Ghost(_) => "ghost",
            Op::SqueezeExcite(_) => "squeeze_excite",
            Op::Separable(_) => "separable",
            Op::ResampleProduct(_) => "resample_product",
        }
    }

    /// Channels of the output, from its inputs' channels and its weights. The message says what
    /// does not fit.
    pub(crate) fn channels(&self, constants: &[Constant], inputs: &[usize]) -> Result<usize, String> {
        let arity = |wanted: usize| match inputs.len() == wanted {
            true => Ok(()),
            false => Err(format!("takes {wanted} inputs, {} were given", inputs.len())),
        };
        match self {
            Op::Input { channels } => {
                arity(0)?;
                if *channels == 0 { Err("needs at least one channel".into()) } else { Ok(*channels) }
            }
            Op::Conv(conv) => {
                arity(1 + conv.gate as usize + conv.residual.is_some() as usize)?;
                conv.channels(constants, inputs[0])
            }
            Op::BatchNorm { weight, bias, mean, var, .. } => {
                arity(1)?;
                [weight, bias, mean, var].into_iter().try_for_each(|id| vector(constants, *id, inputs[0]))?;
                Ok(inputs[0])
            }
            Op::Activate(_) | Op::Pool(_) | Op::GlobalPool | Op::Softmax => {
                arity(1)?;
                if let Op::Activate(activation) = self {
                    activation.check(constants, inputs[0])?;
                }
                if let Op::Pool(p) = self {
                    if p.kernel.contains(&0) || p.stride.contains(&0) {
                        return Err("window and stride must be at least 1".into());
                    }
                    below_largest("stride", p.stride)?;
                    below_largest("window", p.kernel)?;
                    let far = far_pad(p.pad, p.pad_more)?;
                    if [p.pad, far].iter().any(|pad| pad[0] >= p.kernel[0] || pad[1] >= p.kernel[1]) {
                        return Err(format!("padding {} must be less than the window {}", Sides(&p.pad), Sides(&p.kernel)));
                    }
                }
                Ok(inputs[0])
            }
            Op::TopK(top_k) => {
                arity(1)?;
                match inputs[0] {
                    c if top_k.k == 0 || top_k.k > c => Err(format!("{} of {c} channels", top_k.k)),
                    c if top_k.places && c > TopK::MOST_CHANNELS => {
                        Err(format!("numbers of {c} channels; up to {} are exact in halves", TopK::MOST_CHANNELS))
                    }
                    _ => Ok(top_k.k),
                }
            }
            Op::Resample(resample) => {
                arity(1 + usize::from(resample.extent == Extent::Like))?;
                resample.check()?;
                Ok(inputs[0])
            }
            #[cfg(not(target_arch = "wasm32"))]
            Op::RoiAlign(roi_align) => {
                arity(roi_align.scales.len() + 1)?;
                roi_align.check(inputs)
            }
            Op::Rearrange(rearrange) => {
                arity(1)?;
                rearrange.check(inputs[0])?;
                Ok(rearrange.to[0])
            }
            Op::Add | Op::Multiply => {
                arity(2)?;
                if inputs[0] != inputs[1] {
                    return Err(format!("inputs have {} and {} channels", inputs[0], inputs[1]));
                }
                Ok(inputs[0])
            }
            Op::Constant(id) => {
                arity(1)?;
                let constant = known(constants, *id)?;
                match constant.shape[..] {
                    [c, h, w] if c * h * w > 0 => Ok(c),
                    _ => Err(format!("`{}` has shape {}, needs channels, rows and columns", constant.name, Sides(&constant.shape))),
                }
            }
            Op::Calculate(calculate) => {
                arity(2 - usize::from(calculate.operand.is_some()))?;
                calculate.check(constants, inputs[0])?;
                match inputs {
                    &[a, b] if a != b => Err(format!("inputs have {a} and {b} channels")),
                    _ => Ok(inputs[0]),
                }
            }
            Op::Concat => match inputs {
                [] => Err("takes at least one input".into()),
                _ => inputs.iter().try_fold(0usize, |sum, &c| sum.checked_add(c)).ok_or_else(|| "too many channels".into()),
            },
            Op::Slice { start, len } => {
                arity(1)?;
                if *len == 0 || start.checked_add(*len).is_none_or(|end| end > inputs[0]) {
                    return Err(format!("channels {start}..{} of {} cannot be taken", start.saturating_add(*len), inputs[0]));
                }
                Ok(*len)
            }
            Op::Linear { weight, bias, activation } => {
                arity(1)?;
                let weight = known(constants, *weight)?;
                match weight.shape[..] {
                    [0, _] => Err(format!("`{}` {} has no rows", weight.name, Sides(&weight.shape))),
                    [c_out, c_in] if c_in == inputs[0] => {
                        bias.iter().try_for_each(|b| vector(constants, *b, c_out))?;
                        activation.check(constants, c_out)?;
                        Ok(c_out)
                    }
                    _ => Err(format!("input has {} channels, `{}` has shape {}", inputs[0], weight.name, Sides(&weight.shape))),
                }
            }
            // Made by passes from operations that were checked.
            Op::Ghost(ghost) => Ok(ghost.c_out),
            Op::SqueezeExcite(_) | Op::ResampleProduct(_) => Ok(inputs[0]),
            Op::Separable(s) => Ok(constants[s.pointwise.weight.0].shape[0]),
        }
    }

    /// Rows and columns of the output.
    pub(crate) fn map_size(&self, constants: &[Constant], inputs: &[Shape]) -> Result<[usize; 2], String> {
        let conv_size = |conv: &Conv, input: Shape| {
            let (shape, far) = (&constants[conv.weight.0].shape, far_pad(conv.pad, conv.pad_more)?);
            Ok::<_, String>([
                windows(input.h, shape[2], conv.stride[0], [conv.pad[0], far[0]], conv.dilation[0])?,
                windows(input.w, shape[3], conv.stride[1], [conv.pad[1], far[1]], conv.dilation[1])?,
            ])
        };
        let one_pixel = |input: Shape| match (input.h, input.w) {
            (1, 1) => Ok([1, 1]),
            (h, w) => Err(format!("needs maps of one pixel, the input's are {h} x {w}")),
        };
        match self {
            Op::Conv(conv) if conv.pool => Ok([1, 1]),
            Op::Conv(conv) => conv_size(conv, inputs[0]),
            Op::Separable(s) => conv_size(&s.depthwise, inputs[0]),
            Op::Pool(p) => {
                let far = far_pad(p.pad, p.pad_more)?;
                Ok([
                    windows(inputs[0].h, p.kernel[0], p.stride[0], [p.pad[0], far[0]], 1)?,
                    windows(inputs[0].w, p.kernel[1], p.stride[1], [p.pad[1], far[1]], 1)?,
                ])
            }
            Op::GlobalPool | Op::SqueezeExcite(_) => Ok([1, 1]),
            Op::Constant(id) => Ok([constants[id.0].shape[1], constants[id.0].shape[2]]),
            Op::ResampleProduct(resample) => {
                let [h, w] = resample.size(inputs[0], inputs.get(1))?;
                let factor = inputs[inputs.len() - 1];
                let resampled = Shape { h, w, ..factor };
                if resampled.pixels() == 1 { Ok([factor.h, factor.w]) } else { same_size(&[factor, resampled]) }
            }
            Op::Resample(resample) => resample.size(inputs[0], inputs.get(1)),
            Op::Rearrange(rearrange) => rearrange.size(inputs[0]),
            #[cfg(not(target_arch = "wasm32"))]
            Op::RoiAlign(roi_align) => roi_align.size(inputs),
            Op::Linear { .. } => one_pixel(inputs[0]),
            Op::Calculate(calculate) if calculate.operand.is_some() => {
                calculate.check_size(constants, inputs[0])?;
                Ok([inputs[0].h, inputs[0].w])
            }
            Op::Multiply | Op::Calculate(_) if (inputs[1].h, inputs[1].w) == (1, 1) => Ok([inputs[0].h, inputs[0].w]),
            Op::Add | Op::Multiply | Op::Calculate(_) | Op::Concat => same_size(inputs),
            _ => Ok([inputs[0].h, inputs[0].w]),
        }
    }

    /// Whether each channel of the output is made of the same channel of the first input, so that
    /// both have one order of channels.
    pub(crate) fn keeps_channels(&self) -> bool {
        #[cfg(not(target_arch = "wasm32"))]
        if let Op::RoiAlign(_) = self {
            return true;
        }
        matches!(
            self,
            Op::Activate(_)
                | Op::Pool(_)
                | Op::GlobalPool
                | Op::Resample(_)
                | Op::Add
                | Op::Multiply
                | Op::Calculate(_)
                | Op::SqueezeExcite(_)
        )
    }

    /// Multiply-adds of convolutions and linear layers, as papers count them.
    pub(crate) fn macs(&self, constants: &[Constant], inputs: &[Shape], output: Shape) -> u64 {
        let per_pixel = |weight: ConstId| constants[weight.0].data.len() as u64;
        let pixels = (output.n * output.pixels()) as u64;
        match self {
            Op::Conv(conv) if conv.pool => per_pixel(conv.weight).saturating_mul((inputs[0].n * inputs[0].pixels()) as u64),
            Op::Conv(conv) => per_pixel(conv.weight).saturating_mul(pixels),
            Op::Linear { weight, .. } => per_pixel(*weight).saturating_mul(pixels),
            Op::Ghost(ghost) => (per_pixel(ghost.primary) + per_pixel(ghost.cheap)).saturating_mul(pixels),
            Op::SqueezeExcite(se) => (per_pixel(se.reduce) + per_pixel(se.expand)) * output.n as u64,
            Op::Separable(s) => (per_pixel(s.depthwise.weight) + per_pixel(s.pointwise.weight)).saturating_mul(pixels),
            _ => 0,
        }
    }

    /// The constants that inputs are multiplied by: all but biases, and those of a BatchNorm.
    pub(crate) fn weights(&self) -> Vec<ConstId> {
        match self {
            Op::Conv(c) => vec![c.weight],
            Op::Linear { weight, .. } => vec![*weight],
            Op::Ghost(g) => vec![g.primary, g.cheap],
            Op::SqueezeExcite(s) => vec![s.reduce, s.expand],
            Op::Separable(s) => vec![s.depthwise.weight, s.pointwise.weight],
            _ => Vec::new(),
        }
    }

    pub(crate) fn constants_mut(&mut self) -> Vec<&mut ConstId> {
        fn conv(c: &mut Conv) -> impl Iterator<Item = &mut ConstId> {
            [&mut c.weight].into_iter().chain(&mut c.bias).chain(c.activation.parameter_mut())
        }
        match self {
            Op::Conv(c) => conv(c).collect(),
            Op::BatchNorm { weight, bias, mean, var, .. } => vec![weight, bias, mean, var],
            Op::Activate(activation) => activation.parameter_mut().into_iter().collect(),
            Op::Constant(id) => vec![id],
            Op::Calculate(calculate) => calculate.operand.as_mut().into_iter().collect(),
            Op::Linear { weight, bias, activation } => [weight].into_iter().chain(bias).chain(activation.parameter_mut()).collect(),
            Op::Ghost(g) => {
                let parameters = [&mut g.primary_activation, &mut g.cheap_activation].into_iter().filter_map(Activation::parameter_mut);
                let biases = [&mut g.primary_bias, &mut g.cheap_bias].into_iter().flatten();
                [&mut g.primary, &mut g.cheap].into_iter().chain(biases).chain(parameters).collect()
            }
            Op::SqueezeExcite(s) => {
                let biases = s.reduce_bias.as_mut().into_iter().chain(s.expand_bias.as_mut());
                [&mut s.reduce, &mut s.expand].into_iter().chain(biases).collect()
            }
            Op::Separable(s) => conv(&mut s.depthwise).chain(conv(&mut s.pointwise)).collect(),
            _ => Vec::new(),
        }
    }
}
