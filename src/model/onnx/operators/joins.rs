//! Operators that put tensors, or parts of one, together.

use super::{
    functions::of_two,
    given::{Inputs, MOST, Made, given, numbers, side, some},
};
use crate::{
    graph::{Axis, Conv, Op},
    model::onnx::{
        fold,
        import::Import,
        proto::Node,
        value::{Numbers, Source, Value, over_maps},
    },
    text::Sides,
};

pub(super) fn concat(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let values: Vec<Value> = inputs.iter().flatten().cloned().collect();
    let rank = values.first().ok_or("without inputs")?.axes.len();
    let axis = side(node.whole("axis", 1), rank)?;
    Ok(vec![joined(import, "", values, axis)?])
}

/// Tensors one behind the other along a side.
fn joined(import: &mut Import<'_>, suffix: &str, mut values: Vec<Value>, axis: usize) -> Result<Value, String> {
    let rank = values.first().ok_or("without inputs")?.axes.len();
    if values.iter().any(|value| value.axes.len() != rank) {
        return Err("its inputs are of different ranks".into());
    }
    values.retain(|value| value.axes[axis].len > 0);
    if values.iter().all(Value::is_constant) {
        // Twice, while they are put together.
        import.fits(values.iter().map(|value| value.count().saturating_mul(4)).fold(0, usize::saturating_add))?;
        return fold::concat(&values, axis);
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
            return Err(format!("inputs of shapes {} and {}", Sides(&like.dims()), Sides(&dims)));
        }
        let len = dims[axis];
        total += len;
        let turned = value.transposed(&order);
        let maps = match value.is_constant() {
            false => import.maps(&turned, [len, h, w])?,
            true => import.constant_maps(&format!("{suffix}part{at}"), &turned, [len, h, w])?,
        };
        nodes.push(maps.0);
    }
    let (node, source) = match nodes[..] {
        [one] => (one, [total, h, w]),
        _ => import.add(suffix, Op::Concat, &nodes)?,
    };
    let mut dims = like.dims();
    dims[axis] = total;
    let axes = over_maps(&dims, &[axis], &others);
    let is_whole = values.iter().filter(|value| !value.is_constant()).all(|value| value.is_whole);
    Ok(Value { source: Source::Node(node, source), axes, start: [0, 0], batch, is_whole, least: None })
}

/// Places on a side, counted from the last where they are negative.
fn places(index: &[i64], len: usize) -> Result<Vec<usize>, String> {
    let place = |&at: &i64| {
        let place = usize::try_from(if at < 0 { at + len as i64 } else { at }).ok().filter(|place| *place < len);
        place.ok_or_else(|| format!("place {at} of {len}"))
    };
    index.iter().map(place).collect()
}

pub(super) fn gather(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, index) = (given(inputs, 0)?, given(inputs, 1)?);
    let axis = side(node.whole("axis", 0), x.axes.len())?;
    let places = places(&index.integers().ok_or("its places are no constant")?, x.axes[axis].len)?;
    let dims = index.dims();
    if let ([], &[at]) = (&dims[..], &places[..]) {
        return Ok(vec![x.without(axis, at)]);
    }
    // Runs of places that are equally far apart are slices.
    let mut parts: Vec<Value> = Vec::new();
    let mut rest = &places[..];
    while let Some(&first) = rest.first() {
        let step = rest.get(1).map_or(1, |&next| next as isize - first as isize);
        let run = rest.windows(2).take_while(|pair| pair[1] as isize - pair[0] as isize == step).count() + 1;
        parts.push(x.sliced(axis, first, step, run));
        rest = &rest[run..];
    }
    const MOST_PARTS: usize = 256;
    if parts.is_empty() || (parts.len() > MOST_PARTS && !x.is_constant()) {
        return Err(format!("{} runs of places; 1 to {MOST_PARTS} are covered", parts.len()));
    }
    let made = if parts.len() == 1 { parts.remove(0) } else { joined(import, "", parts, axis)? };
    if dims.len() == 1 {
        return Ok(vec![made]);
    }
    let mut to = made.dims();
    to.splice(axis..=axis, dims);
    super::views::reshaped(import, &made, &to)
}

pub(super) fn pad(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let rank = x.axes.len();
    let name = if import.opset < 2 { "paddings" } else { "pads" };
    let pads = numbers(node, name, inputs, 1)?.ok_or("without its widths")?;
    let sides: Vec<usize> = match some(inputs, 3) {
        Some(axes) => {
            axes.integers().ok_or("its `axes` are no constant")?.iter().map(|&axis| side(axis, rank)).collect::<Result<_, _>>()?
        }
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * sides.len() || pads.iter().any(|pad| pad.unsigned_abs() as usize > MOST) {
        return Err(format!("widths {} of {} sides", Sides(&pads), sides.len()));
    }
    let value = match some(inputs, 2) {
        Some(value) => value.floats().and_then(|values| values.first().copied()).ok_or("its value is no constant")?,
        None => node.float("value", 0.0),
    };
    let mode = node.text("mode", "constant");
    let widths = |side: usize| sides.iter().position(|at| *at == side).map_or([0, 0], |at| [pads[at], pads[at + sides.len()]]);
    let mut made = x.clone();
    // Below 0 they cut.
    for side in 0..rank {
        let cut = widths(side).map(|pad| pad.min(0).unsigned_abs() as usize);
        let len = made.axes[side].len;
        if cut != [0, 0] {
            let left =
                len.checked_sub(cut[0] + cut[1]).filter(|left| *left > 0).ok_or_else(|| format!("it leaves nothing of side {side}"))?;
            made = made.sliced(side, cut[0], 1, left);
        }
    }
    let widths: Vec<[usize; 2]> = (0..rank).map(|side| widths(side).map(|pad| pad.max(0) as usize)).collect();
    if let (&[_, c, h, w], Some(0), false) = (&made.dims()[..], made.batch, made.is_constant())
        && (mode, value) == ("constant", 0.0)
        && widths[..2] == [[0, 0]; 2]
        && widths[2..] != [[0, 0]; 2]
    {
        return zeros_around(import, &made, [c, h, w], [widths[2], widths[3]]).map(|made| vec![made]);
    }
    for (side, &[before, after]) in widths.iter().enumerate() {
        if [before, after] == [0, 0] {
            continue;
        }
        if made.batch == Some(side) {
            return Err("it adds images".into());
        }
        let len = made.axes[side].len;
        let repeated = |at: usize, count: usize| {
            let mut part = made.sliced(side, at, 1, 1);
            part.axes[side].len = count;
            part
        };
        let [first, last] = match mode {
            "constant" => [before, after].map(|count| {
                let mut dims = made.dims();
                dims[side] = count;
                let numbers = if made.is_whole { Numbers::I64([value as i64].into()) } else { Numbers::F32([value].into()) };
                let axes = dims.iter().map(|&len| Axis { len, channels: 0, pixels: 0 }).collect();
                Value { axes, ..Value::constant(&[1], numbers) }
            }),
            "edge" => [repeated(0, before), repeated(len - 1, after)],
            "reflect" if before < len && after < len => {
                [made.sliced(side, before, -1, before), made.sliced(side, len.saturating_sub(2), -1, after)]
            }
            "wrap" if before <= len && after <= len => [made.sliced(side, len - before, 1, before), made.sliced(side, 0, 1, after)],
            _ => return Err(format!("mode {mode} of {before} and {after} around {len}")),
        };
        let parts = [first, made.clone(), last].into_iter().filter(|part| part.axes[side].len > 0).collect();
        made = joined(import, &format!("side{side}"), parts, side)?;
    }
    Ok(vec![made])
}

/// Zero rows above and below, and zero columns left and right: a convolution by 1 that pads. One
/// that follows takes the padding over.
fn zeros_around(import: &mut Import<'_>, x: &Value, [c, h, w]: [usize; 3], [rows, columns]: [[usize; 2]; 2]) -> Result<Value, String> {
    let (from, _) = import.maps(x, [c, h, w])?;
    import.fits(c)?;
    let weight = import.matrix("one", &[c, 1, 1, 1], vec![1.0; c])?;
    let (pad, pad_more) = ([rows[0], columns[0]], [rows, columns].map(|[near, far]| far as isize - near as isize));
    let made = import.add("", Op::Conv(Conv { pad, pad_more, groups: c, ..Conv::new(weight) }), &[from])?;
    import.padded.insert(made.0, (from, pad, pad_more));
    let [c, h, w] = made.1;
    Ok(Import::view(made, &[1, c, h, w]))
}

/// Where(condition, x, y): by products, as a condition is 0 or 1.
pub(super) fn choose(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (condition, x, y) = (given(inputs, 0)?, given(inputs, 1)?, given(inputs, 2)?);
    if let Some(numbers) = condition.numbers() {
        let dims = fold::broadcast(&fold::broadcast(&condition.dims(), &x.dims())?, &y.dims())?;
        let all = |wanted: bool| (0..numbers.len()).all(|at| (numbers.float(at) != 0.0) == wanted);
        if all(true) || all(false) {
            return Ok(vec![if all(true) { x } else { y }.expanded(&dims)?]);
        }
    }
    let finite = |value: &Value| value.floats().is_none_or(|values| values.iter().all(|value| value.is_finite()));
    if !finite(x) || !finite(y) {
        return Err("with values that are not finite".into());
    }
    let one = Value::constant(&[], Numbers::I64([1].into()));
    let first = of_two(import, "Mul", "first", condition, x)?;
    let not = of_two(import, "Sub", "not", &one, condition)?;
    let second = of_two(import, "Mul", "second", &not, y)?;
    let made = of_two(import, "Add", "", &first, &second)?;
    let is_whole = [x, y].into_iter().all(|value| value.is_whole || matches!(value.numbers(), Some(Numbers::I64(_))));
    Ok(vec![Value { is_whole, ..made }])
}

pub(super) fn range(_: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let number = |at: usize| given(inputs, at)?.numbers().filter(|numbers| numbers.len() == 1).ok_or("a bound is no constant".to_string());
    let (start, limit, delta) = (number(0)?, number(1)?, number(2)?);
    let count = ((limit.float(0) - start.float(0)) / delta.float(0)).ceil().max(0.0);
    if count.is_nan() || count > MOST as f32 {
        return Err(format!("more than {MOST} values"));
    }
    let count = count as usize;
    let numbers = match (&start, &delta) {
        (Numbers::I64(start), Numbers::I64(delta)) => {
            Numbers::I64((0..count as i64).map(|at| start[0].wrapping_add(at.wrapping_mul(delta[0]))).collect())
        }
        _ => Numbers::F32((0..count).map(|at| start.float(0) + at as f32 * delta.float(0)).collect()),
    };
    Ok(vec![Value::constant(&[count], numbers)])
}
