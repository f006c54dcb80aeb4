//! What is known while a graph is imported: constants, and the arithmetic on shapes.

use super::{
    proto::{self, Node},
    value::{Numbers, Value, total},
};
use crate::{
    block::{activate, calculate},
    graph::{Activation, Calculation},
    text::Sides,
};
use std::sync::Arc;

/// More values than any tensor of a mobile network has.
const MOST: usize = 1 << 28;

/// More values than constants make of fewer in any mobile network.
const MOST_REPEATED: usize = 1 << 20;

/// The value of a node `Constant`.
pub(super) fn constant(node: &Node<'_>, external: &dyn Fn(&proto::Tensor<'_>) -> Result<Vec<u8>, String>) -> Result<Value, String> {
    if let Some(tensor) = node.tensor("value") {
        return Value::of(tensor, external);
    }
    let floats = |values: &[f32]| Numbers::F32(values.into());
    if node.has("value_float") {
        return Ok(Value::constant(&[], floats(&[node.float("value_float", 0.0)])));
    }
    if node.has("value_int") {
        return Ok(Value::constant(&[], Numbers::I64([node.whole("value_int", 0)].into())));
    }
    if let Some(values) = node.floats("value_floats") {
        return Ok(Value::constant(&[values.len()], floats(values)));
    }
    match node.wholes("value_ints") {
        Some(values) => Ok(Value::wholes(values.to_vec())),
        None => Err("a constant that is neither a tensor nor numbers".into()),
    }
}

/// The shape that two shapes broadcast to.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let side = |dims: &[usize], at: usize| (at + dims.len()).checked_sub(rank).map_or(1, |at| dims[at]);
    let both = |at: usize| match (side(a, at), side(b, at)) {
        (1, other) | (other, 1) => Ok(other),
        (one, other) if one == other => Ok(one),
        _ => Err(format!("shapes {} and {} do not go together", Sides(a), Sides(b))),
    };
    let dims = (0..rank).map(both).collect::<Result<Vec<usize>, String>>()?;
    match total(dims.iter().copied()) {
        count if count <= MOST => Ok(dims),
        _ => Err(format!("shapes {} and {} make more than {MOST} values", Sides(a), Sides(b))),
    }
}

/// A calculation on two constants; whole numbers stay whole.
pub(super) fn calculated(by: Calculation, a: &Value, b: &Value) -> Result<Value, String> {
    let dims = broadcast(&a.dims(), &b.dims())?;
    let count = total(dims.iter().copied());
    if count > MOST_REPEATED.max(a.held() + b.held()) {
        return Err(format!("constants of {} and {} that make {count} values", Sides(&a.dims()), Sides(&b.dims())));
    }
    let both = a.expanded(&dims)?.numbers().zip(b.expanded(&dims)?.numbers());
    let (a, b) = both.ok_or("an input is no constant")?;
    let numbers = match (&a, &b) {
        (Numbers::I64(a), Numbers::I64(b)) => {
            let values = a.iter().zip(b.iter()).map(|(&a, &b)| whole(by, a, b).ok_or("a calculation on whole numbers that has no result"));
            Numbers::I64(values.collect::<Result<_, _>>()?)
        }
        _ => Numbers::F32((0..a.len()).map(|at| calculate(by as usize, [a.float(at); 4], [b.float(at); 4])[0]).collect()),
    };
    Ok(Value::constant(&dims, numbers))
}

fn whole(by: Calculation, a: i64, b: i64) -> Option<i64> {
    match by {
        Calculation::Add => a.checked_add(b),
        Calculation::Subtract => a.checked_sub(b),
        Calculation::Multiply => a.checked_mul(b),
        Calculation::Divide => a.checked_div(b),
        Calculation::Minimum => Some(a.min(b)),
        Calculation::Maximum => Some(a.max(b)),
        Calculation::Power => a.checked_pow(u32::try_from(b).ok()?),
        Calculation::Equal => Some((a == b).into()),
        Calculation::SubtractFrom | Calculation::DivideInto | Calculation::PowerOf => whole(by.exchanged(), b, a),
    }
}

/// A function of a constant's every value.
pub(super) fn activated(numbers: &Numbers, activation: Activation) -> Numbers {
    let whole = matches!(numbers, Numbers::I64(_));
    let values = (0..numbers.len()).map(|at| activate([numbers.float(at); 4], activation.number())[0]);
    if whole { Numbers::I64(values.map(|value| value as i64).collect()) } else { Numbers::F32(values.collect()) }
}

/// Constants one behind the other along a side.
pub(super) fn concat(values: &[Value], side: usize) -> Result<Value, String> {
    let mut dims = values[0].dims();
    let parts: Option<Vec<(usize, Numbers)>> =
        values.iter().map(|value| Some((value.dims().get(side).copied()?, value.numbers()?))).collect();
    let parts = parts.ok_or("its inputs are of different ranks")?;
    let outer: usize = dims[..side].iter().product();
    let inner: usize = dims[side + 1..].iter().product();
    dims[side] = parts.iter().map(|(len, _)| len).sum();
    if parts.iter().any(|(len, numbers)| len * outer * inner != numbers.len()) {
        return Err("its inputs differ in another side".into());
    }
    let places = || {
        (0..outer).flat_map(|at| {
            parts.iter().flat_map(move |(len, numbers)| (at * len * inner..(at + 1) * len * inner).map(move |at| (numbers, at)))
        })
    };
    let held: usize = values.iter().map(Value::held).sum();
    let count = total(dims.iter().copied());
    if count > MOST_REPEATED.max(held) {
        return Err(format!("constants of {held} values that make {count}"));
    }
    let numbers = match parts.iter().all(|(_, numbers)| matches!(numbers, Numbers::I64(_))) {
        true => Numbers::I64(all(count, places().map(|(numbers, at)| if let Numbers::I64(values) = numbers { values[at] } else { 0 }))),
        false => Numbers::F32(all(count, places().map(|(numbers, at)| numbers.float(at)))),
    };
    Ok(Value::constant(&dims, numbers))
}

/// So many values, in no more memory than they need.
fn all<T>(count: usize, values: impl Iterator<Item = T>) -> Arc<[T]> {
    let mut made = Vec::with_capacity(count);
    made.extend(values);
    made.into()
}
