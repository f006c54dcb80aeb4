//! The operators: a small function each, in a table.

use super::{
    fold,
    import::Import,
    proto::Node,
    value::{Numbers, Source, Value, total},
};
use crate::graph::{Activation, Axis, Conv, Coordinates, Extent, Filter, Nearest, Op, Pool, PoolKind, Resample};

type Inputs<'a> = [Option<Value>];
type Made = Result<Vec<Value>, String>;

/// Makes what a node computes of its inputs, of which some may be left out.
pub(super) type Operator = fn(&mut Import<'_>, &Node<'_>, &Inputs<'_>) -> Made;

pub(super) const OPERATORS: &[(&str, Operator)] = &[
    ("Abs", abs),
    ("Add", binary),
    ("AveragePool", pool),
    ("BatchNormalization", batch_norm),
    ("Cast", cast),
    ("Clip", clip),
    ("Concat", concat),
    ("Constant", same),
    ("ConstantOfShape", constant_of_shape),
    ("Conv", conv),
    ("Div", binary),
    ("Dropout", dropout),
    ("Equal", binary),
    ("Expand", expand),
    ("Flatten", flatten),
    ("Gather", gather),
    ("Gemm", gemm),
    ("GlobalAveragePool", global_pool),
    ("HardSigmoid", hard_sigmoid),
    ("HardSwish", hard_swish),
    ("Identity", same),
    ("LeakyRelu", leaky_relu),
    ("MatMul", mat_mul),
    ("MaxPool", pool),
    ("Mul", binary),
    ("Neg", neg),
    ("PRelu", p_relu),
    ("ReduceMean", reduce_mean),
    ("Relu", relu),
    ("Reshape", reshape),
    ("Resize", resize),
    ("Shape", shape),
    ("Sigmoid", sigmoid),
    ("Slice", slice),
    ("Softmax", softmax),
    ("Split", split),
    ("Squeeze", squeeze),
    ("Sub", binary),
    ("Tanh", tanh),
    ("Transpose", transpose),
    ("Unsqueeze", unsqueeze),
    ("Upsample", resize),
];

/// The longest stride, dilation or padding.
const MOST: usize = 1 << 20;

fn given<'a>(inputs: &'a Inputs<'_>, at: usize) -> Result<&'a Value, String> {
    inputs.get(at).and_then(Option::as_ref).ok_or_else(|| format!("input {at} is missing"))
}

fn some<'a>(inputs: &'a Inputs<'_>, at: usize) -> Option<&'a Value> {
    inputs.get(at).and_then(Option::as_ref)
}

/// The whole numbers of an attribute, or of the input that holds them in newer versions.
fn numbers(node: &Node<'_>, name: &str, inputs: &Inputs<'_>, at: usize) -> Result<Option<Vec<i64>>, String> {
    if let Some(values) = node.wholes(name) {
        return Ok(Some(values.to_vec()));
    }
    match some(inputs, at) {
        None => Ok(None),
        Some(value) => value.integers().map(Some).ok_or_else(|| format!("`{name}` is no constant")),
    }
}

/// A side, counted from the last where it is negative.
fn side(axis: i64, rank: usize) -> Result<usize, String> {
    let side = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(side).ok().filter(|side| *side < rank).ok_or_else(|| format!("side {axis} of a tensor of {rank}"))
}

/// A pair of an attribute, one number of a 1-d operator standing for columns.
fn pair(values: Option<&[i64]>, otherwise: usize) -> Result<[usize; 2], String> {
    let number = |value: i64| {
        let number = usize::try_from(value).ok().filter(|number| *number <= MOST);
        number.ok_or_else(|| format!("{value} where a number from 0 to {MOST} is needed"))
    };
    match values {
        None => Ok([otherwise; 2]),
        Some(&[h, w]) => Ok([number(h)?, number(w)?]),
        Some(&[w]) => Ok([otherwise, number(w)?]),
        Some(other) => Err(format!("{} sides of a window; one and two are covered", other.len())),
    }
}

fn same(_: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    Ok(vec![given(inputs, 0)?.clone()])
}

fn dropout(_: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    match some(inputs, 2).map(|training| training.integers()) {
        None => Ok(vec![given(inputs, 0)?.clone()]),
        Some(Some(training)) if training == [0] => Ok(vec![given(inputs, 0)?.clone()]),
        Some(_) => Err("in training".into()),
    }
}

fn cast(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let to_float = matches!(node.whole("to", 1), 1 | 10 | 11 | 16);
    match x.numbers() {
        Some(Numbers::F32(values)) if !to_float => {
            let values = values.iter().map(|&value| value as i64).collect();
            Ok(vec![Value::constant(&x.dims(), Numbers::I64(values))])
        }
        Some(Numbers::I64(values)) if to_float => {
            let values = values.iter().map(|&value| value as f32).collect();
            Ok(vec![Value::constant(&x.dims(), Numbers::F32(values))])
        }
        Some(_) => Ok(vec![x.clone()]),
        None if to_float => Ok(vec![Value { is_whole: false, ..x.clone() }]),
        None => Err("to whole numbers".into()),
    }
}

fn shape(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let dims: Vec<i64> = given(inputs, 0)?.dims().into_iter().map(|len| len as i64).collect();
    let rank = dims.len() as i64;
    let at = |value: i64| (if value < 0 { value + rank } else { value }).clamp(0, rank) as usize;
    let (start, end) = (at(node.whole("start", 0)), at(node.whole("end", rank)));
    // Whoever asks for sides may depend on them.
    import.is_fixed = true;
    Ok(vec![Value::wholes(dims.get(start..end).unwrap_or_default().to_vec())])
}

fn constant_of_shape(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let dims = given(inputs, 0)?.integers().ok_or("the shape is no constant")?;
    let dims: Option<Vec<usize>> = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let dims = dims.filter(|dims| dims.iter().try_fold(1usize, |all, &dim| all.checked_mul(dim)).is_some_and(|count| count <= 1 << 24));
    let dims = dims.ok_or("an impossible shape")?;
    let value = match node.tensor("value") {
        Some(tensor) => Value::of(tensor, &|_| Err("its value lies elsewhere".into()))?.numbers().ok_or("no value")?.pick([0].into_iter()),
        None => Numbers::F32([0.0].into()),
    };
    Ok(vec![Value { axes: dims.iter().map(|&len| Axis { len, channels: 0, pixels: 0 }).collect(), ..Value::constant(&[1], value) }])
}

fn transpose(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let rank = x.axes.len();
    let order: Vec<usize> = match node.wholes("perm") {
        Some(order) => order.iter().map(|&axis| side(axis, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    if order.len() != rank || (0..rank).any(|axis| !order.contains(&axis)) {
        return Err(format!("order {order:?} of {rank} sides"));
    }
    Ok(vec![x.transposed(&order)])
}

fn reshaped(import: &mut Import<'_>, x: &Value, dims: &[usize]) -> Made {
    if let Some(made) = x.reshaped(dims) {
        return Ok(vec![made]);
    }
    if total(dims.iter().copied()) != x.count() {
        return Err(format!("{:?} cannot become {dims:?}", x.dims()));
    }
    let in_order = match x.numbers() {
        Some(numbers) => Value::constant(&x.dims(), numbers),
        None => import.in_order(x)?,
    };
    in_order.reshaped(dims).map(|made| vec![made]).ok_or_else(|| format!("{:?} cannot become {dims:?}", x.dims()))
}

fn reshape(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let wanted = numbers(node, "shape", inputs, 1)?.ok_or("without a shape")?;
    let mut dims = Vec::new();
    for (at, &length) in wanted.iter().enumerate() {
        dims.push(match length {
            0 if node.whole("allowzero", 0) == 0 => x.axes.get(at).map(|axis| axis.len).ok_or("it keeps a side that is not there")?,
            -1 => 1,
            length => usize::try_from(length).map_err(|_| format!("a side of {length}"))?,
        });
    }
    if let Some(open) = wanted.iter().position(|&length| length == -1) {
        let known = total(dims.iter().copied());
        if known == 0 || !x.count().is_multiple_of(known) {
            return Err(format!("{:?} cannot become {wanted:?}", x.dims()));
        }
        dims[open] = x.count() / known;
    }
    reshaped(import, x, &dims)
}

fn flatten(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let dims = x.dims();
    let axis = node.whole("axis", 1);
    let at = usize::try_from(if axis < 0 { axis + dims.len() as i64 } else { axis }).ok().filter(|at| *at <= dims.len());
    let at = at.ok_or_else(|| format!("side {axis} of {}", dims.len()))?;
    reshaped(import, x, &[total(dims[..at].iter().copied()), total(dims[at..].iter().copied())])
}

fn squeeze(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let rank = x.axes.len();
    let mut sides: Vec<usize> = match numbers(node, "axes", inputs, 1)? {
        Some(axes) => axes.iter().map(|&axis| side(axis, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).filter(|&at| x.axes[at].len == 1).collect(),
    };
    sides.sort_unstable();
    let mut made = x.clone();
    for &side in sides.iter().rev() {
        if made.axes[side].len != 1 {
            return Err(format!("side {side} of {:?} is not 1", x.dims()));
        }
        made = made.without(side, 0);
    }
    Ok(vec![made])
}

fn unsqueeze(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let axes = numbers(node, "axes", inputs, 1)?.ok_or("without sides")?;
    let rank = x.axes.len() + axes.len();
    let mut sides: Vec<usize> = axes.iter().map(|&axis| side(axis, rank)).collect::<Result<_, _>>()?;
    sides.sort_unstable();
    Ok(vec![sides.into_iter().fold(x.clone(), |made, side| made.with_side(side))])
}

fn expand(_: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, wanted) = (given(inputs, 0)?, given(inputs, 1)?.integers().ok_or("the shape is no constant")?);
    let wanted: Vec<usize> =
        wanted.iter().map(|&len| usize::try_from(len).map_err(|_| format!("a side of {len}"))).collect::<Result<_, _>>()?;
    let dims = fold::broadcast(&x.dims(), &wanted)?;
    Ok(vec![x.expanded(&dims)?])
}

fn gather(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, index) = (given(inputs, 0)?, given(inputs, 1)?);
    let axis = side(node.whole("axis", 0), x.axes.len())?;
    let len = x.axes[axis].len as i64;
    let places = index.integers().ok_or("its places are no constant")?;
    let places: Vec<usize> = places
        .iter()
        .map(|&at| {
            usize::try_from(if at < 0 { at + len } else { at })
                .ok()
                .filter(|at| (*at as i64) < len)
                .ok_or_else(|| format!("place {at} of {len}"))
        })
        .collect::<Result<_, _>>()?;
    match (&index.dims()[..], &places[..]) {
        ([], &[at]) => Ok(vec![x.without(axis, at)]),
        ([_], &[at]) => Ok(vec![x.sliced(axis, at, 1, 1)]),
        ([_], places) => {
            let step = places[1] as isize - places[0] as isize;
            if places.windows(2).any(|pair| pair[1] as isize - pair[0] as isize != step) {
                return Err("its places are not equally far apart".into());
            }
            Ok(vec![x.sliced(axis, places[0], step, places.len())])
        }
        (dims, _) => Err(format!("its places have the shape {dims:?}")),
    }
}

fn slice(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let (starts, ends) =
        (numbers(node, "starts", inputs, 1)?.ok_or("without starts")?, numbers(node, "ends", inputs, 2)?.ok_or("without ends")?);
    let axes = numbers(node, "axes", inputs, 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = numbers(node, "steps", inputs, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("starts, ends, sides and steps are not equally many".into());
    }
    let mut made = x.clone();
    for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = side(axis, x.axes.len())?;
        let len = x.axes[axis].len as i64;
        let from_end = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
        let (first, count) = match step {
            0 => return Err("a step of 0".into()),
            1.. => {
                let (first, end) = (from_end(start).clamp(0, len), from_end(end).clamp(0, len));
                (first, (end - first).max(0).div_ceil_of(step))
            }
            _ => {
                let (first, end) = (from_end(start).clamp(-1, len - 1), from_end(end).clamp(-1, len - 1));
                (first, (first - end).max(0).div_ceil_of(step.saturating_neg()))
            }
        };
        if count == 0 {
            return Err(format!("it leaves nothing of side {axis}"));
        }
        made = made.sliced(axis, first as usize, step as isize, count as usize);
    }
    Ok(vec![made])
}

trait DivCeilOf {
    fn div_ceil_of(self, by: i64) -> i64;
}

impl DivCeilOf for i64 {
    fn div_ceil_of(self, by: i64) -> i64 {
        self / by + i64::from(self % by != 0)
    }
}

fn split(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let axis = side(node.whole("axis", 0), x.axes.len())?;
    let len = x.axes[axis].len;
    let parts = node.outputs.len().max(1);
    let lengths = match numbers(node, "split", inputs, 1)? {
        Some(lengths) => {
            lengths.iter().map(|&len| usize::try_from(len).map_err(|_| format!("a part of {len}"))).collect::<Result<Vec<_>, _>>()?
        }
        None => {
            let each = len.div_ceil(parts);
            (0..parts).map(|at| each.min(len.saturating_sub(at * each))).collect()
        }
    };
    if lengths.iter().sum::<usize>() != len || lengths.contains(&0) {
        return Err(format!("parts {lengths:?} of {len}"));
    }
    let mut first = 0;
    let part = |len: usize| {
        let part = x.sliced(axis, first, 1, len);
        first += len;
        part
    };
    Ok(lengths.into_iter().map(part).collect())
}

fn concat(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let mut values: Vec<Value> = inputs.iter().flatten().cloned().collect();
    let first = values.first().ok_or("without inputs")?;
    let rank = first.axes.len();
    let axis = side(node.whole("axis", 1), rank)?;
    if values.iter().any(|value| value.axes.len() != rank) {
        return Err("its inputs are of different ranks".into());
    }
    values.retain(|value| value.axes[axis].len > 0);
    if values.iter().all(Value::is_constant) {
        return fold::concat(&values, axis).map(|value| vec![value]);
    }
    let like = values.iter().find(|value| !value.is_constant()).cloned().ok_or("without inputs")?;
    if like.batch == Some(axis) {
        return Err("it puts images together".into());
    }
    // The side along which they are put together comes first, as channels; then the others.
    let batch = like.batch;
    let others: Vec<usize> = (0..rank).filter(|at| *at != axis && Some(*at) != batch).collect();
    let order: Vec<usize> = batch.into_iter().chain([axis]).chain(others.iter().copied()).collect();
    let lengths: Vec<usize> = others.iter().map(|&at| like.axes[at].len).collect();
    let [h, w] = match lengths[..] {
        [] => [1, 1],
        [w] => [1, w],
        [h, w] => [h, w],
        _ => [1, lengths.iter().product()],
    };
    let mut nodes = Vec::new();
    let mut total = 0;
    for (at, value) in values.iter().enumerate() {
        let dims = value.dims();
        if others.iter().any(|&other| dims[other] != like.axes[other].len) {
            return Err(format!("inputs of shapes {:?} and {dims:?}", like.dims()));
        }
        let len = dims[axis];
        total += len;
        let turned = value.transposed(&order);
        let maps = match value.is_constant() {
            false => import.maps(&turned, [len, h, w])?,
            true => constant_maps(import, at, &turned, &like.transposed(&order), [len, h, w])?,
        };
        nodes.push(maps.0);
    }
    let (node, source) = match nodes[..] {
        [one] => (one, [total, h, w]),
        _ => import.add("", Op::Concat, &nodes)?,
    };
    // The sides in their old order, over the maps.
    let mut steps = vec![Axis { len: 1, channels: 0, pixels: 0 }; rank];
    steps[axis] = Axis { len: total, channels: 1, pixels: 0 };
    let mut step = 1;
    for &other in others.iter().rev() {
        steps[other] = Axis { len: like.axes[other].len, channels: 0, pixels: step };
        step *= like.axes[other].len as isize;
    }
    Ok(vec![Value { source: Source::Node(node, source), axes: steps, start: [0, 0], batch, is_whole: false }])
}

/// Maps of constant values, one a channel, as large as those of `like`.
fn constant_maps(
    import: &mut Import<'_>,
    at: usize,
    value: &Value,
    like: &Value,
    [len, h, w]: [usize; 3],
) -> Result<(crate::graph::NodeId, [usize; 3]), String> {
    let values = value.floats().ok_or("an input is no constant")?;
    let rows: Vec<&[f32]> = values.chunks(h * w).collect();
    if rows.iter().any(|row| row.iter().any(|value| *value != row[0])) {
        return Err("a constant that differs from pixel to pixel".into());
    }
    let have = like.axes[usize::from(like.batch.is_some())].len;
    let (node, of) = import.maps(like, [have, h, w])?;
    // As many channels as there are, as often as need be; their values do not count.
    let mut nodes = vec![node; len / have];
    if len % have > 0 {
        let part = import.add(&format!("part{at}"), Op::Slice { start: 0, len: len % have }, &[node])?;
        nodes.push(part.0);
    }
    let (node, of) = match nodes[..] {
        [one] => (one, [len, of[1], of[2]]),
        _ => import.add(&format!("parts{at}"), Op::Concat, &nodes)?,
    };
    let like = Value { source: Source::Node(node, of), axes: Vec::new(), start: [0, 0], batch: None, is_whole: false };
    let made = import.scaled_by(&format!("constant{at}"), &like, vec![0.0; len], rows.iter().map(|row| row[0]).collect())?;
    let Source::Node(node, of) = made.source else { return Err("a constant".into()) };
    Ok((node, of))
}

fn relu(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    Ok(vec![import.activated("", given(inputs, 0)?, Activation::Relu)?])
}

fn sigmoid(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    Ok(vec![import.activated("", given(inputs, 0)?, Activation::Sigmoid)?])
}

fn hard_swish(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    Ok(vec![import.activated("", given(inputs, 0)?, Activation::HardSwish)?])
}

fn hard_sigmoid(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let (alpha, beta) = (node.float("alpha", 0.2), node.float("beta", 0.5));
    // relu6(6 (alpha x + beta)) / 6, of which hard_sigmoid(y) is relu6(y + 3) / 6.
    if (6.0 * alpha - 1.0).abs() < 1e-5 && beta == 0.5 {
        return Ok(vec![import.activated("", x, Activation::HardSigmoid)?]);
    }
    let inner = import.scaled("inner", x, 6.0 * alpha, 6.0 * beta - 3.0)?;
    Ok(vec![import.activated("", &inner, Activation::HardSigmoid)?])
}

fn tanh(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    // 2 sigmoid(2 x) - 1
    let twice = import.scaled("twice", given(inputs, 0)?, 2.0, 0.0)?;
    let sigmoid = import.activated("sigmoid", &twice, Activation::Sigmoid)?;
    Ok(vec![import.scaled("", &sigmoid, 2.0, -1.0)?])
}

fn neg(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    if x.is_constant() {
        return fold::binary("Sub", &Value::constant(&[], Numbers::I64([0].into())), x).map(|value| vec![value]);
    }
    Ok(vec![import.scaled("", x, -1.0, 0.0)?])
}

/// `relu(x) + slope * -relu(-x)`, with a slope for each channel of the node.
fn with_slopes(import: &mut Import<'_>, x: &Value, slopes: Vec<f32>) -> Result<Value, String> {
    let above = import.activated("above", x, Activation::Relu)?;
    let turned = import.scaled("turned", x, -1.0, 0.0)?;
    let below = import.activated("below", &turned, Activation::Relu)?;
    let shifts = vec![0.0; slopes.len()];
    let sloped = import.scaled_by("sloped", &below, slopes.iter().map(|slope| -slope).collect(), shifts)?;
    let (Source::Node(a, _), Source::Node(b, _)) = (&above.source, &sloped.source) else { return Err("its input is a constant".into()) };
    let (node, source) = import.add("", Op::Add, &[*a, *b])?;
    Ok(Value { source: Source::Node(node, source), ..x.clone() })
}

fn channels_of(x: &Value) -> Result<usize, String> {
    if let Source::Node(_, [c, ..]) = x.source { Ok(c) } else { Err("its input is a constant".into()) }
}

fn leaky_relu(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let slopes = vec![node.float("alpha", 0.01); channels_of(x)?];
    Ok(vec![with_slopes(import, x, slopes)?])
}

fn abs(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let slopes = vec![-1.0; channels_of(x)?];
    Ok(vec![with_slopes(import, x, slopes)?])
}

fn p_relu(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, slope) = (given(inputs, 0)?, given(inputs, 1)?);
    let slopes = slope.floats().ok_or("its slope is no constant")?;
    let channels = channels_of(x)?;
    let slopes = match slopes.len() {
        1 => vec![slopes[0]; channels],
        count if count == channels => slopes,
        count => return Err(format!("{count} slopes for {channels} channels")),
    };
    Ok(vec![with_slopes(import, x, slopes)?])
}

fn clip(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let bound = |name: &str, at: usize, otherwise: f32| match some(inputs, at) {
        Some(value) => value.floats().and_then(|values| values.first().copied()).ok_or_else(|| format!("its `{name}` is no constant")),
        None => Ok(node.float(name, otherwise)),
    };
    let (low, high) = (bound("min", 1, f32::MIN)?, bound("max", 2, f32::MAX)?);
    if x.is_constant() {
        let values = x.floats().ok_or("a constant")?.into_iter().map(|value| value.clamp(low, high)).collect::<Vec<_>>();
        return Ok(vec![Value::constant(&x.dims(), Numbers::F32(values.into()))]);
    }
    match (low, high) {
        (0.0, 6.0) => Ok(vec![import.activated("", x, Activation::Relu6)?]),
        (0.0, high) if high >= f32::MAX => Ok(vec![import.activated("", x, Activation::Relu)?]),
        (low, high) if low <= f32::MIN && high >= f32::MAX => Ok(vec![x.clone()]),
        // As relu6 of another range.
        (low, high) if low > f32::MIN && high < f32::MAX && low < high => {
            let range = (high - low) / 6.0;
            let inner = import.scaled("inner", x, 1.0 / range, -low / range)?;
            let cut = import.activated("cut", &inner, Activation::Relu6)?;
            Ok(vec![import.scaled("", &cut, range, low)?])
        }
        // max(x, low) = relu(x - low) + low, and min likewise.
        (low, _) if low > f32::MIN => {
            let inner = import.scaled("inner", x, 1.0, -low)?;
            let cut = import.activated("cut", &inner, Activation::Relu)?;
            Ok(vec![import.scaled("", &cut, 1.0, low)?])
        }
        (_, high) => {
            let inner = import.scaled("inner", x, -1.0, high)?;
            let cut = import.activated("cut", &inner, Activation::Relu)?;
            Ok(vec![import.scaled("", &cut, -1.0, high)?])
        }
    }
}

fn batch_norm(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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

fn conv(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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

fn pool(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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

fn global_pool(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let (from, [c, ..]) = import.tensor(x)?;
    let made = import.add("", Op::GlobalPool, &[from])?;
    let mut dims = vec![1; x.axes.len()];
    dims[1] = c;
    Ok(vec![Import::view(made, &dims)])
}

fn reduce_mean(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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

fn softmax(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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

fn mat_mul(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, by) = (given(inputs, 0)?, given(inputs, 1)?);
    let (&[k, m], true) = (&by.dims()[..], by.is_constant()) else {
        return Err("its second input is no constant matrix".into());
    };
    let weight = by.transposed(&[1, 0]).floats().ok_or("no constant")?;
    product(import, x, weight, [m, k], None)
}

fn gemm(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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

fn resize(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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
    let coordinates = match node.text("coordinate_transformation_mode", if import.opset < 11 { "asymmetric" } else { "half_pixel" }) {
        "half_pixel" => Coordinates::HalfPixel,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        other => return Err(format!("coordinates by {other}")),
    };
    let filter = match node.text("mode", "nearest") {
        "nearest" => Filter::Nearest(match node.text("nearest_mode", if import.opset < 11 { "floor" } else { "round_prefer_floor" }) {
            "round_prefer_floor" => Nearest::RoundPreferFloor,
            "round_prefer_ceil" => Nearest::RoundPreferCeil,
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            other => return Err(format!("the nearest by {other}")),
        }),
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

fn binary(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (a, b) = (given(inputs, 0)?, given(inputs, 1)?);
    match (a.is_constant(), b.is_constant()) {
        (true, true) => fold::binary(node.op, a, b),
        (false, true) => with_constant(import, node.op, a, b, false),
        (true, false) => with_constant(import, node.op, b, a, true),
        (false, false) => of_two(import, node.op, a, b),
    }
    .map(|value| vec![value])
}

/// A calculation with a constant; `first` where the constant stands in front.
fn with_constant(import: &mut Import<'_>, op: &str, x: &Value, by: &Value, first: bool) -> Result<Value, String> {
    let affine = |value: f32| match (op, first) {
        ("Add", _) => Ok((1.0, value)),
        ("Sub", false) => Ok((1.0, -value)),
        ("Sub", true) => Ok((-1.0, value)),
        ("Mul", _) => Ok((value, 0.0)),
        ("Div", false) => Ok((1.0 / value, 0.0)),
        _ => Err(format!("{op} with a constant {}", if first { "in front" } else { "behind" })),
    };
    if x.is_whole && op == "Div" {
        return Err("of whole numbers".into());
    }
    let dims = fold::broadcast(&x.dims(), &by.dims())?;
    let (mut x, by) = (x.expanded(&dims)?, by.expanded(&dims)?);
    if x.batch.is_some_and(|batch| by.axes[batch].len > 1) {
        return Err("a constant that differs from image to image".into());
    }
    let is_channel = |(of, by): (&Axis, &Axis)| by.len == 1 || by.channels == 0 || (of.channels != 0 && of.pixels == 0);
    if !x.axes.iter().zip(&by.axes).all(is_channel) {
        x = import.in_order(&x)?;
    }
    let channels = channels_of(&x)?;
    let Some(numbers) = by.numbers() else { return Err("no constant".into()) };
    let (mut scale, mut shift) = (vec![1.0; channels], vec![0.0; channels]);
    for at in 0..numbers.len() {
        let mut rest = at;
        let mut channel = x.start[0] as isize;
        for axis in x.axes.iter().rev() {
            channel += (rest % axis.len) as isize * axis.channels;
            rest /= axis.len;
        }
        (scale[channel as usize], shift[channel as usize]) = affine(numbers.float(at))?;
    }
    import.scaled_by("", &x, scale, shift)
}

fn of_two(import: &mut Import<'_>, op: &str, a: &Value, b: &Value) -> Result<Value, String> {
    let made = match op {
        "Add" | "Sub" => Op::Add,
        "Mul" => Op::Multiply,
        _ => return Err(format!("{op} of two tensors that are no constants")),
    };
    let b = &if op == "Sub" { import.scaled("minus", b, -1.0, 0.0)? } else { b.clone() };
    let dims = fold::broadcast(&a.dims(), &b.dims())?;
    // Tensors that walk over their nodes in one way.
    if let (Source::Node(x, of), Source::Node(y, other)) = (&a.source, &b.source)
        && (of, &a.axes, a.start, a.batch) == (other, &b.axes, b.start, b.batch)
    {
        let (node, source) = import.add("", made, &[*x, *y])?;
        return Ok(Value { source: Source::Node(node, source), ..a.clone() });
    }
    // A gate: one value a channel.
    for (x, gate) in [(a, b), (b, a)] {
        if made == Op::Multiply
            && let ([n, c, h, w], [_, gc, 1, 1]) = (&x.dims()[..], &gate.dims()[..])
            && (gc, h * w > 1, x.batch) == (c, true, Some(0))
        {
            let (from, of) = import.maps(x, [*c, *h, *w])?;
            let (gate, _) = import.maps(gate, [*c, 1, 1])?;
            let (node, source) = import.add("", Op::Multiply, &[from, gate])?;
            debug_assert_eq!((of, *n), (source, 1));
            return Ok(Import::view((node, source), &dims));
        }
    }
    let (a, b) = (a.expanded(&dims)?, b.expanded(&dims)?);
    if a.batch != b.batch {
        return Err("tensors with and without a side for images".into());
    }
    let to = match (dims.len(), a.batch) {
        (4, Some(0)) => [dims[1], dims[2], dims[3]],
        _ => [dims.iter().product(), 1, 1],
    };
    let ((x, _), (y, _)) = (import.maps(&a, to)?, import.maps(&b, to)?);
    let made = import.add("", made, &[x, y])?;
    Ok(Value { batch: a.batch, ..Import::view(made, &dims) })
}
