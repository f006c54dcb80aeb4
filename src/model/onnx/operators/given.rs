//! What operators are given: inputs, of which some may be left out, and attributes.

use crate::model::onnx::{
    import::Import,
    proto::Node,
    value::{MOST_SIDES, Value},
};

pub(super) type Inputs<'a> = [Option<Value>];
pub(super) type Made = Result<Vec<Value>, String>;

/// The longest stride, dilation or padding.
pub(super) const MOST: usize = 1 << 20;

pub(super) fn given<'a>(inputs: &'a Inputs<'_>, at: usize) -> Result<&'a Value, String> {
    inputs.get(at).and_then(Option::as_ref).ok_or_else(|| format!("input {at} is missing"))
}

pub(super) fn some<'a>(inputs: &'a Inputs<'_>, at: usize) -> Option<&'a Value> {
    inputs.get(at).and_then(Option::as_ref)
}

/// The whole numbers of an attribute, or of the input that holds them in newer versions.
pub(super) fn numbers(node: &Node<'_>, name: &str, inputs: &Inputs<'_>, at: usize) -> Result<Option<Vec<i64>>, String> {
    if let Some(values) = node.wholes(name) {
        return Ok(Some(values.to_vec()));
    }
    match some(inputs, at) {
        None => Ok(None),
        Some(value) => value.integers().map(Some).ok_or_else(|| format!("`{name}` is no constant")),
    }
}

/// A side, counted from the last where it is negative.
pub(super) fn side(axis: i64, rank: usize) -> Result<usize, String> {
    let side = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(side).ok().filter(|side| *side < rank).ok_or_else(|| format!("side {axis} of a tensor of {rank}"))
}

/// Sides in their order, each once.
pub(super) fn sides(axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    if rank > MOST_SIDES {
        return Err(format!("{rank} sides; {MOST_SIDES} are the most"));
    }
    let listed = axes.iter().map(|&axis| side(axis, rank)).collect::<Result<Vec<usize>, String>>()?;
    Ok((0..rank).filter(|side| listed.contains(side)).collect())
}

/// A pair of an attribute, one number of a 1-d operator standing for columns.
pub(super) fn pair(values: Option<&[i64]>, otherwise: usize) -> Result<[usize; 2], String> {
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

pub(super) fn same(_: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    Ok(vec![given(inputs, 0)?.clone()])
}
