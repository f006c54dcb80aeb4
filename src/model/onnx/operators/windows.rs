//! Operators that compute with maps: windows, products, means and other sizes.

use super::given::{Inputs, MOST, Made, given, numbers, pair, side, some};
use crate::{
    graph::{Activation, Axis, Conv, Coordinates, Extent, Filter, Nearest, Op, Pool, PoolKind, Resample},
    model::onnx::{
        import::Import,
        proto::Node,
        value::{Source, Value},
    },
};

pub(super) fn batch_norm(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    if node.outputs.len() > 1 && node.outputs[1..].iter().any(|name| !name.is_empty()) {
        return Err("it is in training".into());
    }
    let (from, [c, ..]) = import.tensor(x)?;
    let mut vectors = Vec::new();
    for at in 1..5 {
        vectors.push(import.weights(node.inputs[at], &[c], given(inputs, at)?)?);
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
            let span = dilation[axis] * (kernel[axis] - 1) + 1;
            ((size[axis].div_ceil(stride[axis]) - 1) * stride[axis] + span).saturating_sub(size[axis])
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
    let (from, [_, h, w]) = import.tensor(x)?;
    let shape = match weight.dims()[..] {
        [c_out, c_in, kh, kw] => [c_out, c_in, kh, kw],
        [c_out, c_in, k] if x.axes.len() == 3 => [c_out, c_in, 1, k],
        _ => return Err(format!("weights of shape {:?}", weight.dims())),
    };
    let kernel = [shape[2], shape[3]];
    let (stride, dilation) = (pair(node.wholes("strides"), 1)?, pair(node.wholes("dilations"), 1)?);
    if stride.contains(&0) || kernel.contains(&0) {
        return Err("a stride or a kernel of 0".into());
    }
    let (pad, pad_more) = padding(node, [h, w], kernel, stride, dilation)?;
    let bias = match some(inputs, 2) {
        Some(bias) => Some(import.weights(node.inputs[2], &[shape[0]], bias)?),
        None => None,
    };
    let groups = usize::try_from(node.whole("group", 1)).map_err(|_| "groups below 1")?;
    let weight = import.weights(node.inputs[1], &shape, weight)?;
    let made = import.add("", Op::Conv(Conv { bias, stride, dilation, pad, pad_more, groups, ..Conv::new(weight) }), &[from])?;
    Ok(vec![of_windows(x, made)])
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

pub(super) fn global_pool(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let (from, [c, ..]) = import.tensor(x)?;
    let made = import.add("", Op::GlobalPool, &[from])?;
    let mut dims = vec![1; x.axes.len()];
    dims[1] = c;
    Ok(vec![Import::view(made, &dims)])
}

pub(super) fn reduce_mean(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let rank = x.axes.len();
    let sides: Vec<usize> = match numbers(node, "axes", inputs, 1)? {
        Some(axes) => axes.iter().map(|&axis| side(axis, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    if x.batch.is_none_or(|batch| sides.contains(&batch)) {
        return Err("a mean over images".into());
    }
    let others: Vec<usize> = (0..rank).filter(|at| Some(*at) != x.batch && !sides.contains(at)).collect();
    let order: Vec<usize> = x.batch.into_iter().chain(others.iter().copied()).chain(sides.iter().copied()).collect();
    let product = |sides: &[usize]| sides.iter().map(|&at| x.axes[at].len).product::<usize>();
    let (c, pixels) = (product(&others), product(&sides));
    let (from, _) = import.pixels(&x.transposed(&order), [c, pixels])?;
    let made = import.add("", Op::GlobalPool, &[from])?;
    let kept: Vec<usize> = (0..rank).map(|at| if sides.contains(&at) { 1 } else { x.axes[at].len }).collect();
    let value = Import::view(made, &kept);
    match node.whole("keepdims", 1) {
        0 => {
            let mut sides = sides;
            sides.sort_unstable();
            Ok(vec![sides.into_iter().rev().fold(value, |value, side| value.without(side, 0))])
        }
        _ => Ok(vec![value]),
    }
}

pub(super) fn softmax(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let rank = x.axes.len();
    // Until version 13 over all sides from one on, then over one.
    let old = import.opset < 13;
    let axis = side(node.whole("axis", if old { 1 } else { -1 }), rank)?;
    let sides: Vec<usize> = if old { (axis..rank).collect() } else { vec![axis] };
    if x.batch.is_none_or(|batch| sides.contains(&batch)) {
        return Err("a softmax over images".into());
    }
    let others: Vec<usize> = (0..rank).filter(|at| Some(*at) != x.batch && !sides.contains(at)).collect();
    let order: Vec<usize> = x.batch.into_iter().chain(sides.iter().copied()).chain(others.iter().copied()).collect();
    let product = |sides: &[usize]| sides.iter().map(|&at| x.axes[at].len).product::<usize>();
    let (from, _) = import.pixels(&x.transposed(&order), [product(&sides), product(&others)])?;
    let (node, source) = import.add("", Op::Softmax, &[from])?;
    let mut axes = vec![Axis { len: 1, channels: 0, pixels: 0 }; rank];
    let (mut channels, mut pixels) = (1, 1);
    for &at in sides.iter().rev() {
        axes[at] = Axis { len: x.axes[at].len, channels, pixels: 0 };
        channels *= x.axes[at].len as isize;
    }
    for &at in others.iter().rev() {
        axes[at] = Axis { len: x.axes[at].len, channels: 0, pixels };
        pixels *= x.axes[at].len as isize;
    }
    Ok(vec![Value { source: Source::Node(node, source), axes, start: [0, 0], batch: x.batch, is_whole: false }])
}

/// A matrix product with constant rows: `x [.., k]` and `weight [m, k]`, with the bias `[m]`.
fn product(import: &mut Import<'_>, x: &Value, weight: Vec<f32>, [m, k]: [usize; 2], bias: Option<Vec<f32>>) -> Made {
    let rank = x.axes.len();
    if rank == 0 || x.axes[rank - 1].len != k || x.batch == Some(rank - 1) {
        return Err(format!("{:?} and a matrix of {m} rows of {k}", x.dims()));
    }
    let bias = bias.map(|bias| import.made("bias", bias)).transpose()?;
    let others: Vec<usize> = (0..rank - 1).filter(|at| Some(*at) != x.batch).collect();
    let rows: usize = others.iter().map(|&at| x.axes[at].len).product();
    let order: Vec<usize> = x.batch.into_iter().chain([rank - 1]).chain(others.iter().copied()).collect();
    let name = "weight";
    let (node, source) = match rows {
        1 => {
            let (from, _) = import.vector(x)?;
            let weight = import.matrix(name, &[m, k], weight)?;
            import.add("", Op::Linear { weight, bias, activation: Activation::Identity }, &[from])?
        }
        rows => {
            let (from, _) = import.pixels(&x.transposed(&order), [k, rows])?;
            let weight = import.matrix(name, &[m, k, 1, 1], weight)?;
            import.add("", Op::Conv(Conv { bias, ..Conv::new(weight) }), &[from])?
        }
    };
    let mut axes = vec![Axis { len: 1, channels: 0, pixels: 0 }; rank];
    axes[rank - 1] = Axis { len: m, channels: 1, pixels: 0 };
    let mut pixels = 1;
    for &at in others.iter().rev() {
        axes[at] = Axis { len: x.axes[at].len, channels: 0, pixels };
        pixels *= x.axes[at].len as isize;
    }
    Ok(vec![Value { source: Source::Node(node, source), axes, start: [0, 0], batch: x.batch, is_whole: false }])
}

pub(super) fn mat_mul(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, by) = (given(inputs, 0)?, given(inputs, 1)?);
    let (&[k, m], true) = (&by.dims()[..], by.is_constant()) else {
        return Err("its second input is no constant matrix".into());
    };
    let weight = by.transposed(&[1, 0]).floats().ok_or("no constant")?;
    product(import, x, weight, [m, k], None)
}

pub(super) fn gemm(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, by) = (given(inputs, 0)?, given(inputs, 1)?);
    if node.whole("transA", 0) != 0 || by.axes.len() != 2 || !by.is_constant() {
        return Err("its second input is no constant matrix, or the first is transposed".into());
    }
    let by = if node.whole("transB", 0) != 0 { by.clone() } else { by.transposed(&[1, 0]) };
    let [m, k] = [by.axes[0].len, by.axes[1].len];
    let (alpha, beta) = (node.float("alpha", 1.0), node.float("beta", 1.0));
    let weight = by.floats().ok_or("no constant")?.into_iter().map(|value| value * alpha).collect();
    let bias = match some(inputs, 2) {
        None => None,
        Some(bias) => {
            let values = bias.floats().ok_or("its third input is no constant")?;
            let values = match values.len() {
                1 => vec![values[0]; m],
                count if count == m => values,
                count => return Err(format!("{count} biases for {m} results")),
            };
            Some(values.into_iter().map(|value| value * beta).collect())
        }
    };
    product(import, x, weight, [m, k], bias)
}

pub(super) fn resize(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let (from, [c, ..]) = import.tensor(x)?;
    if x.axes.len() != 4 || node.has("axes") {
        return Err("other than the last two sides of four".into());
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
    let extent = match (scales.as_deref(), some(inputs, 3)) {
        (Some(&[1.0, 1.0, y, x]), _) => Extent::Scales([y, x]),
        (None, Some(sizes)) => match sizes.integers().as_deref() {
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

/// The one of `all` that is called `name`; without one, the message begins with `what`.
fn one_of<T: Copy>(name: &str, all: &[(&str, T)], what: &str) -> Result<T, String> {
    all.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| format!("{what} {name}"))
}
