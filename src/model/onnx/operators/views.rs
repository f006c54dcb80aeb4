//! Operators that change how a tensor is walked over, and those that put tensors together.

use super::given::{Inputs, Made, given, numbers, side, sides, some};
use crate::{
    graph::Axis,
    model::onnx::{
        fold,
        import::Import,
        proto::Node,
        value::{Numbers, Value, total},
    },
    text::Sides,
};

pub(super) fn dropout(_: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    match some(inputs, 2).map(|training| training.integers()) {
        None => Ok(vec![given(inputs, 0)?.clone()]),
        Some(Some(training)) if training == [0] => Ok(vec![given(inputs, 0)?.clone()]),
        Some(_) => Err("in training".into()),
    }
}

pub(super) fn cast(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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

pub(super) fn shape(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let dims: Vec<i64> = given(inputs, 0)?.dims().into_iter().map(|len| len as i64).collect();
    let rank = dims.len() as i64;
    let at = |value: i64| (if value < 0 { value + rank } else { value }).clamp(0, rank) as usize;
    let (start, end) = (at(node.whole("start", 0)), at(node.whole("end", rank)));
    // Whoever asks for sides may depend on them.
    import.is_fixed = true;
    Ok(vec![Value::wholes(dims.get(start..end).unwrap_or_default().to_vec())])
}

pub(super) fn constant_of_shape(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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

pub(super) fn transpose(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let rank = x.axes.len();
    let order: Vec<usize> = match node.wholes("perm") {
        Some(order) => order.iter().map(|&axis| side(axis, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    if order.len() != rank || (0..rank).any(|axis| !order.contains(&axis)) {
        return Err(format!("order {} of {rank} sides", Sides(&order)));
    }
    Ok(vec![x.transposed(&order)])
}

pub(super) fn reshaped(import: &mut Import<'_>, x: &Value, dims: &[usize]) -> Made {
    if let Some(made) = x.reshaped(dims) {
        return Ok(vec![made]);
    }
    if total(dims.iter().copied()) != x.count() {
        return Err(format!("{} cannot become {}", Sides(&x.dims()), Sides(dims)));
    }
    if let (Some(0), &[_, c, h, w], false) = (x.batch, dims, x.is_constant())
        && h * w > 1
    {
        // A shuffle of channels, most often, which is none of values if maps stay maps.
        let maps = import.maps(x, [c, h, w])?;
        return Ok(vec![Import::view(maps, dims)]);
    }
    let in_order = match x.numbers() {
        Some(numbers) => Value::constant(&x.dims(), numbers),
        None => import.in_order(x)?,
    };
    in_order.reshaped(dims).map(|made| vec![made]).ok_or_else(|| format!("{} cannot become {}", Sides(&x.dims()), Sides(dims)))
}

pub(super) fn reshape(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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
            return Err(format!("{} cannot become {}", Sides(&x.dims()), Sides(&wanted)));
        }
        dims[open] = x.count() / known;
    }
    reshaped(import, x, &dims)
}

pub(super) fn flatten(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let dims = x.dims();
    let axis = node.whole("axis", 1);
    let at = usize::try_from(if axis < 0 { axis + dims.len() as i64 } else { axis }).ok().filter(|at| *at <= dims.len());
    let at = at.ok_or_else(|| format!("side {axis} of {}", dims.len()))?;
    reshaped(import, x, &[total(dims[..at].iter().copied()), total(dims[at..].iter().copied())])
}

pub(super) fn squeeze(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let rank = x.axes.len();
    let squeezed = match numbers(node, "axes", inputs, 1)? {
        Some(axes) => sides(&axes, rank)?,
        None => (0..rank).filter(|&at| x.axes[at].len == 1).collect(),
    };
    let mut made = x.clone();
    for &side in squeezed.iter().rev() {
        if made.axes[side].len != 1 {
            return Err(format!("side {side} of {} is not 1", Sides(&x.dims())));
        }
        made = made.without(side, 0);
    }
    Ok(vec![made])
}

pub(super) fn unsqueeze(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let axes = numbers(node, "axes", inputs, 1)?.ok_or("without sides")?;
    let rank = x.axes.len() + axes.len();
    Ok(vec![sides(&axes, rank)?.into_iter().fold(x.clone(), |made, side| made.with_side(side))])
}

pub(super) fn expand(_: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, wanted) = (given(inputs, 0)?, given(inputs, 1)?.integers().ok_or("the shape is no constant")?);
    let wanted: Vec<usize> =
        wanted.iter().map(|&len| usize::try_from(len).map_err(|_| format!("a side of {len}"))).collect::<Result<_, _>>()?;
    let dims = fold::broadcast(&x.dims(), &wanted)?;
    Ok(vec![x.expanded(&dims)?])
}

pub(super) fn slice(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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
                (first, div_ceil((end - first).max(0), step))
            }
            _ => {
                let (first, end) = (from_end(start).clamp(-1, len - 1), from_end(end).clamp(-1, len - 1));
                (first, div_ceil((first - end).max(0), step.saturating_neg()))
            }
        };
        if count == 0 {
            return Err(format!("it leaves nothing of side {axis}"));
        }
        made = made.sliced(axis, first as usize, step as isize, count as usize);
    }
    Ok(vec![made])
}

fn div_ceil(a: i64, by: i64) -> i64 {
    a / by + i64::from(a % by != 0)
}

pub(super) fn split(_: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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
        return Err(format!("parts {} of {len}", Sides(&lengths)));
    }
    let mut first = 0;
    let part = |len: usize| {
        let part = x.sliced(axis, first, 1, len);
        first += len;
        part
    };
    Ok(lengths.into_iter().map(part).collect())
}
