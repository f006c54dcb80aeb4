//! Operators that compute with maps: windows, products, means and other sizes.

use super::given::{Inputs, MOST, Made, given, pair, some};
use crate::{
    graph::{Axis, Conv, Coordinates, Extent, Filter, Nearest, Op, Pool, PoolKind, Resample},
    model::onnx::{
        import::Import,
        proto::Node,
        value::{Source, Value, total},
    },
    text::Sides,
};

pub(super) fn batch_norm(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    if node.outputs.len() > 1 && node.outputs[1..].iter().any(|name| !name.is_empty()) {
        return Err("it is in training".into());
    }
    let (from, [c, ..]) = import.tensor(x)?;
    let mut vectors = Vec::new();
    for at in 1..5 {
        let vector = given(inputs, at)?;
        vectors.push(import.weights(node.inputs[at], &[c], vector)?);
    }
    let [weight, bias, mean, var] = vectors[..] else { return Err("without its four vectors".into()) };
    let made = import.add("", Op::BatchNorm { weight, bias, mean, var, eps: node.float("epsilon", 1e-5) }, &[from])?;
    Ok(vec![Import::view(made, &x.dims())])
}

/// Padding and its surplus at the far sides, as an operator on windows says it.
fn padding(
    node: &Node<'_>,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
) -> Result<([usize; 2], [isize; 2]), String> {
    let same = |upper: bool| {
        let total = |axis: usize| {
            let span = dilation[axis] * kernel[axis].saturating_sub(1) + 1;
            (size[axis].div_ceil(stride[axis]).saturating_sub(1) * stride[axis] + span).saturating_sub(size[axis])
        };
        let (near, far) = ([0, 1].map(|axis| total(axis) / 2), [0, 1].map(|axis| total(axis).div_ceil(2)));
        if upper {
            (near, [0, 1].map(|axis| far[axis] as isize - near[axis] as isize))
        } else {
            (far, [0, 1].map(|axis| near[axis] as isize - far[axis] as isize))
        }
    };
    match node.text("auto_pad", "NOTSET") {
        "SAME_UPPER" => return Ok(same(true)),
        "SAME_LOWER" => return Ok(same(false)),
        "NOTSET" | "VALID" | "" => {}
        other => return Err(format!("auto_pad {other}")),
    }
    let number = |value: i64| usize::try_from(value).ok().filter(|pad| *pad <= MOST).ok_or_else(|| format!("padding of {value}"));
    match node.wholes("pads").unwrap_or_default() {
        [] => Ok(([0, 0], [0, 0])),
        &[left, right] => Ok(([0, number(left)?], [0, number(right)? as isize - left as isize])),
        &[top, left, bottom, right] => {
            number(bottom)?;
            number(right)?;
            Ok(([number(top)?, number(left)?], [bottom as isize - top as isize, right as isize - left as isize]))
        }
        other => Err(format!("{} paddings", other.len())),
    }
}

pub(super) fn conv(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, weight) = (given(inputs, 0)?, given(inputs, 1)?);
    let (from, [c, h, w]) = import.tensor(x)?;
    let shape = match weight.dims()[..] {
        [c_out, c_in, kh, kw] => [c_out, c_in, kh, kw],
        [c_out, c_in, k] if x.axes.len() == 3 => [c_out, c_in, 1, k],
        _ => return Err(format!("weights of shape {}", Sides(&weight.dims()))),
    };
    let kernel = [shape[2], shape[3]];
    let (stride, dilation) = (pair(node.wholes("strides"), 1)?, pair(node.wholes("dilations"), 1)?);
    if stride.contains(&0) || kernel.contains(&0) {
        return Err("a stride or a kernel of 0".into());
    }
    let (mut pad, mut pad_more) = padding(node, [h, w], kernel, stride, dilation)?;
    let mut from = from;
    if let Some(&(inner, near, more)) = import.padded.get(&from) {
        for axis in 0..2 {
            pad[axis] += near[axis];
            pad_more[axis] += more[axis];
        }
        from = inner;
    }
    let bias = match some(inputs, 2) {
        Some(bias) => Some(import.weights(node.inputs[2], &[shape[0]], bias)?),
        None => None,
    };
    let groups = usize::try_from(node.whole("group", 1)).map_err(|_| "groups below 1")?;
    if shape[1].checked_mul(groups) != Some(c) {
        return Err(format!("{c} channels, and weights of shape {} in {groups} groups", Sides(&shape)));
    }
    let weight = import.weights(node.inputs[1], &shape, weight)?;
    let made = import.add("", Op::Conv(Conv { bias, stride, dilation, pad, pad_more, groups, ..Conv::new(weight) }), &[from])?;
    Ok(vec![of_windows(x, made)])
}

/// One axis of a transposed convolution, as convolutions at stride 1 that make neighbouring outputs
/// each: output `stride * q + r` is made of the inputs from `q + first` on.
struct Transposed {
    stride: usize,
    pad: isize,
    dilation: isize,
    /// The first and the last input that an output reads, counted from its own.
    first: isize,
    last: isize,
    /// Outputs; those before it are rounded up to whole strides.
    out: usize,
}

impl Transposed {
    fn new(size: usize, kernel: usize, stride: usize, dilation: usize, [near, far]: [isize; 2], more: usize) -> Result<Self, String> {
        let span = (size - 1) * stride + dilation * (kernel - 1) + 1 + more;
        let out = usize::try_from(span as isize - near - far).ok().filter(|out| *out > 0);
        let out = out.ok_or_else(|| format!("padding of {near} and {far} leaves nothing of {span}"))?;
        let mut axis = Self { stride, pad: near, dilation: dilation as isize, first: 0, last: 0, out };
        // The first output reads the farthest back, by its last tap, and the last one ahead.
        let reach = (kernel - 1) as isize * axis.dilation - near;
        axis.first = (-reach.div_euclid(stride as isize)).min(0);
        axis.last = ((stride - 1) as isize + near).div_euclid(stride as isize).max(0);
        Ok(axis)
    }

    /// Which input the tap multiplies for the output `r` of a stride, counted from the stride's
    /// own.
    fn input(&self, r: usize, tap: usize) -> Option<isize> {
        let at = r as isize + self.pad - tap as isize * self.dilation;
        (at.rem_euclid(self.stride as isize) == 0).then(|| at.div_euclid(self.stride as isize))
    }

    fn kernel(&self) -> usize {
        (self.last - self.first) as usize + 1
    }

    /// Padding of the convolution, and how much more there is at the far side.
    fn padding(&self, size: usize) -> (usize, isize) {
        let near = -self.first;
        let far = (self.out.div_ceil(self.stride) as isize + self.last - size as isize).max(0);
        (near as usize, far - near)
    }
}

pub(super) fn conv_transpose(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, weight) = (given(inputs, 0)?, given(inputs, 1)?);
    let (from, [c_in, h, w]) = import.tensor(x)?;
    let [c, c_group, kh, kw] = match weight.dims()[..] {
        [c, c_group, kh, kw] => [c, c_group, kh, kw],
        [c, c_group, k] if x.axes.len() == 3 => [c, c_group, 1, k],
        _ => return Err(format!("weights of shape {}", Sides(&weight.dims()))),
    };
    let values = weight.floats().ok_or_else(|| format!("`{}` has to be a constant", node.inputs[1]))?;
    let groups =
        usize::try_from(node.whole("group", 1)).ok().filter(|groups| *groups > 0 && c.is_multiple_of(*groups)).ok_or("its groups")?;
    let (stride, dilation) = (pair(node.wholes("strides"), 1)?, pair(node.wholes("dilations"), 1)?);
    let more = pair(node.wholes("output_padding"), 0)?;
    if stride[0] * kh > 1 << 20 || stride[1] * kw > 1 << 20 {
        return Err(format!("strides of {} and {} by a kernel of {kh} x {kw}", stride[0], stride[1]));
    }
    if c != c_in || stride.contains(&0) || dilation.contains(&0) || [kh, kw].contains(&0) {
        return Err(format!("a stride or a kernel of 0, or {c_in} channels where weights are for {c}"));
    }
    let (size, kernel) = ([h, w], [kh, kw]);
    let wanted = node.wholes("output_shape").map(|shape| pair(Some(shape), 1)).transpose()?;
    let auto = node.text("auto_pad", "NOTSET");
    let mut pads = [[0isize; 2]; 2];
    if let Some(wanted) = wanted.or(matches!(auto, "SAME_UPPER" | "SAME_LOWER").then(|| [h * stride[0], w * stride[1]])) {
        for axis in 0..2 {
            let span = (size[axis] - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1 + more[axis];
            let total = span as isize - wanted[axis] as isize;
            let [less, rest] = [total / 2, total - total / 2];
            pads[axis] = match auto {
                _ if total < 0 => [0, total],
                "SAME_UPPER" => [less, rest],
                _ => [rest, less],
            };
        }
    } else {
        let (near, surplus) = padding(node, size, kernel, [1, 1], [1, 1])?;
        pads = [0, 1].map(|axis| [near[axis] as isize, near[axis] as isize + surplus[axis]]);
    }
    let axis = |at: usize| Transposed::new(size[at], kernel[at], stride[at], dilation[at], pads[at], more[at]);
    let axes = [axis(0)?, axis(1)?];
    let [ky, kx] = [axes[0].kernel(), axes[1].kernel()];
    let (c_out, each, group_in) = (c_group * groups, stride[0] * stride[1], c / groups);
    import
        .fits(total([c_out, each, group_in, ky, kx]))
        .map_err(|why| format!("weights of {} at strides of {} and {}: {why}", Sides(&weight.dims()), stride[0], stride[1]))?;
    let mut filters = vec![0.0; c_out * each * group_in * ky * kx];
    for o in 0..c_out {
        for (ry, rx) in (0..stride[0]).flat_map(|ry| (0..stride[1]).map(move |rx| (ry, rx))) {
            let filter = ((o * stride[0] + ry) * stride[1] + rx) * group_in;
            for (ty, tx) in (0..kh).flat_map(|ty| (0..kw).map(move |tx| (ty, tx))) {
                let (Some(y), Some(x)) = (axes[0].input(ry, ty), axes[1].input(rx, tx)) else { continue };
                let tap = (y - axes[0].first) as usize * kx + (x - axes[1].first) as usize;
                for i in 0..group_in {
                    let source = ((o / c_group * group_in + i) * c_group + o % c_group) * kh * kw + ty * kw + tx;
                    filters[(filter + i) * ky * kx + tap] += values[source];
                }
            }
        }
    }
    let weight = import.matrix("weight", &[c_out * each, group_in, ky, kx], filters)?;
    let bias = match some(inputs, 2) {
        None => None,
        Some(bias) => {
            let values = bias.floats().filter(|values| values.len() == c_out).ok_or("its bias is no constant for each channel")?;
            Some(import.made("bias", values.into_iter().flat_map(|value| vec![value; each]).collect())?)
        }
    };
    let [(pad_y, more_y), (pad_x, more_x)] = [0, 1].map(|at| axes[at].padding(size[at]));
    let conv = Conv { bias, pad: [pad_y, pad_x], pad_more: [more_y, more_x], groups, ..Conv::new(weight) };
    let (node, of) = import.add("", Op::Conv(conv), &[from])?;
    let [_, rows, columns] = of;
    let side = |len: usize, channels: usize, pixels: usize| Axis { len, channels: channels as isize, pixels: pixels as isize };
    let parts = Value {
        source: Source::Node(node, of),
        axes: vec![
            side(1, 0, 0),
            side(c_out, each, 0),
            side(rows, 0, columns),
            side(stride[0], stride[1], 0),
            side(columns, 0, 1),
            side(stride[1], 1, 0),
        ],
        start: [0, 0],
        batch: Some(0),
        is_whole: false,
        least: None,
    };
    let made = import.maps(&parts, [c_out, rows * stride[0], columns * stride[1]])?;
    let whole = Import::view(made, &[1, c_out, made.1[1], made.1[2]]);
    let cut = whole.sliced(2, 0, 1, axes[0].out).sliced(3, 0, 1, axes[1].out);
    Ok(vec![if x.axes.len() == 3 { cut.without(2, 0) } else { cut }])
}

/// What a window made of a tensor, of as many sides.
fn of_windows(x: &Value, made: (crate::graph::NodeId, [usize; 3])) -> Value {
    let [c, h, w] = made.1;
    Import::view(made, &if x.axes.len() == 3 { vec![1, c, h * w] } else { vec![1, c, h, w] })
}

pub(super) fn pool(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let (from, [_, h, w]) = import.tensor(x)?;
    let (kernel, stride) = (pair(node.wholes("kernel_shape"), 1)?, pair(node.wholes("strides"), 1)?);
    let dilation = pair(node.wholes("dilations"), 1)?;
    if dilation != [1, 1] || node.outputs.len() > 1 || kernel.contains(&0) || stride.contains(&0) {
        return Err("dilation, or places of the largest".into());
    }
    let (pad, mut more) = padding(node, [h, w], kernel, stride, dilation)?;
    let average = node.op == "AveragePool";
    let count_pad = node.whole("count_include_pad", 0) != 0;
    if node.whole("ceil_mode", 0) != 0 {
        for (axis, size) in [h, w].into_iter().enumerate() {
            // Where no window fits the graph refuses it.
            let free = size as isize + 2 * pad[axis] as isize + more[axis] - kernel[axis] as isize;
            let Ok(free) = usize::try_from(free) else { continue };
            // One window more, if it begins on the map or on the padding before it.
            let (windows, rest) = (free / stride[axis] + 1, free % stride[axis]);
            let add = if rest > 0 { stride[axis] - rest } else { 0 };
            if add > 0 && windows * stride[axis] < size + pad[axis] {
                if average && count_pad {
                    return Err("ceil_mode with padding that counts".into());
                }
                more[axis] += add as isize;
            }
        }
    }
    let kind = if average { PoolKind::Mean { count_pad } } else { PoolKind::Max };
    let made = import.add("", Op::Pool(Pool { kind, kernel, stride, pad, pad_more: more }), &[from])?;
    Ok(vec![of_windows(x, made)])
}

pub(super) fn resize(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let (from, [c, ..]) = import.tensor(x)?;
    if x.axes.len() != 4 {
        return Err("other than the last two sides of four".into());
    }
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch" {
        return Err("sizes of which one follows from the other".into());
    }
    // Upsample and the first Resize have scales alone, then the region of interest came first.
    let (at, attribute) = if node.op == "Upsample" || import.opset < 11 { (1, node.floats("scales")) } else { (2, None) };
    let scales = match attribute {
        Some(scales) => Some(scales.to_vec()),
        None => some(inputs, at)
            .map(|value| value.floats().ok_or("its scales are no constant"))
            .transpose()?
            .filter(|scales| !scales.is_empty()),
    };
    // Each side's, where only some are given.
    let axes = node.wholes("axes");
    let scales = scales.map(|scales| of_sides(axes, scales, [1.0; 4])).transpose()?;
    let extent = match (scales.as_deref(), some(inputs, 3)) {
        (Some(&[1.0, 1.0, y, x]), _) => Extent::Scales([y, x]),
        (None, Some(sizes)) => match sizes.integers().map(|sizes| of_sides(axes, sizes, [1, c as i64, 0, 0])).transpose()?.as_deref() {
            Some(&[1, channels, y, x]) if channels as usize == c && y > 0 && x > 0 => {
                import.is_fixed = true;
                Extent::Sizes([y as usize, x as usize])
            }
            _ => return Err("sizes that change images or channels".into()),
        },
        _ => return Err("scales that change images or channels, or none".into()),
    };
    let default = if import.opset < 11 { ["asymmetric", "floor"] } else { ["half_pixel", "round_prefer_floor"] };
    let coordinates = one_of(node.text("coordinate_transformation_mode", default[0]), &Coordinates::NAMES, "coordinates by")?;
    // ONNX's own result is of a length with a fraction then, that of others of whole pixels.
    if coordinates == Coordinates::AlignCorners
        && let Extent::Scales(scales) = extent
        && (scales[0] * x.axes[2].len as f32).fract() + (scales[1] * x.axes[3].len as f32).fract() != 0.0
    {
        return Err("align_corners by scales that leave a part of a pixel".into());
    }
    let filter = match node.text("mode", "nearest") {
        "nearest" => Filter::Nearest(one_of(node.text("nearest_mode", default[1]), &Nearest::NAMES, "the nearest by")?),
        "linear" | "bilinear" => Filter::Bilinear,
        other => return Err(format!("mode {other}")),
    };
    if node.whole("antialias", 0) != 0 || node.whole("exclude_outside", 0) != 0 {
        return Err("antialiasing, or pixels outside left out".into());
    }
    let made = import.add("", Op::Resample(Resample { extent, filter, coordinates }), &[from])?;
    let [c, h, w] = made.1;
    Ok(vec![Import::view(made, &[1, c, h, w])])
}

/// What is given of the sides `axes`, or of all, in the order of the sides; `others` of those of
/// which nothing is.
fn of_sides<T: Copy>(axes: Option<&[i64]>, given: Vec<T>, others: [T; 4]) -> Result<Vec<T>, String> {
    let Some(axes) = axes else { return Ok(given) };
    let mut all = others.to_vec();
    for (&axis, &value) in axes.iter().zip(&given) {
        let side = if axis < 0 { axis.saturating_add(4) } else { axis };
        *usize::try_from(side).ok().and_then(|side| all.get_mut(side)).ok_or_else(|| format!("axis {axis} of 4"))? = value;
    }
    if axes.len() == given.len() { Ok(all) } else { Err(format!("{} axes, numbers for {}", axes.len(), given.len())) }
}

/// The one of `all` that is called `name`; without one, the message begins with `what`.
fn one_of<T: Copy>(name: &str, all: &[(&str, T)], what: &str) -> Result<T, String> {
    all.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| format!("{what} {name}"))
}
