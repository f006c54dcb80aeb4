//! Values of 8 bits: rounded as the file says, and calculated with as floats.

use super::{
    functions::of_two,
    given::{Inputs, Made, given, side, some},
};
use crate::{
    graph::Activation,
    model::onnx::{
        import::Import,
        proto::Node,
        value::{Numbers, Source, Value},
    },
};

/// A scale or a zero point: one number, or one for each place on a side of a tensor of `rank`
/// sides.
fn along(value: &Value, node: &Node<'_>, rank: usize) -> Result<Value, String> {
    match (value.is_constant(), value.axes.len()) {
        (false, _) => Err("a scale or zero point that is no constant".into()),
        (true, _) if value.count() == 1 => value.reshaped(&[]).ok_or_else(|| "a scale".into()),
        (true, 1) => {
            let axis = side(node.whole("axis", 1), rank)?;
            Ok((axis + 1..rank).fold(value.clone(), |value, _| value.with_side(value.axes.len())))
        }
        _ => Err("scales of blocks".into()),
    }
}

/// The least value of the type that values are rounded to.
fn least(node: &Node<'_>, zero: Option<&Value>) -> Result<f32, String> {
    match (zero.map(|zero| zero.least), node.whole("output_dtype", 0)) {
        (None, 0 | 2) => Ok(0.0),
        (None, 3) => Ok(-128.0),
        (Some(Some(least)), _) => Ok(least),
        _ => Err("other than 8 bits".into()),
    }
}

pub(super) fn quantize(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, zero) = (given(inputs, 0)?, some(inputs, 2));
    let rank = x.axes.len();
    let (scale, least) = (along(given(inputs, 1)?, node, rank)?, least(node, zero)?);
    let zero = zero.map(|zero| along(zero, node, rank)).transpose()?;
    let zeros = zero.as_ref().map_or(Some(vec![0.0]), Value::floats).ok_or("a zero point that is no constant")?;
    let scaled = of_two(import, "Div", "scaled", x, &scale)?;
    if let Some(numbers) = scaled.numbers() {
        let zero = zero.unwrap_or_else(|| Value::constant(&[], Numbers::I64([0].into()))).expanded(&scaled.dims())?;
        let zeros = zero.numbers().ok_or("a zero point that is no constant")?;
        let value = |at: usize| (numbers.float(at).round_ties_even() + zeros.float(at)).clamp(least, least + 255.0) as i64;
        let values = Numbers::I64((0..numbers.len()).map(value).collect());
        return Ok(vec![Value { least: Some(least), ..Value::constant(&scaled.dims(), values) }]);
    }
    let &[zero_point] = &zeros[..] else { return Err("of a value, by several zero points".into()) };
    let c = import.channels_of(&scaled)?;
    let low = import.made("low", vec![least - zero_point; c])?;
    let rounded = import.activated("rounded", &scaled, Activation::Round8(low))?;
    let made = if zero_point == 0.0 { rounded.clone() } else { import.scaled("", &rounded, 1.0, zero_point)? };
    if let (Source::Node(made, _), Source::Node(rounded, _)) = (&made.source, &rounded.source) {
        import.rounded.insert(*made, (*rounded, zero_point));
    }
    Ok(vec![Value { is_whole: true, ..made }])
}

pub(super) fn dequantize(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let rank = x.axes.len();
    let scale = along(given(inputs, 1)?, node, rank)?;
    let zero = some(inputs, 2).map(|zero| along(zero, node, rank)).transpose()?;
    // What was rounded just before has its zero point not added yet.
    let before = match x.source {
        Source::Node(id, of) => import.rounded.get(&id).map(|(rounded, zero)| (Source::Node(*rounded, of), *zero)),
        Source::Constant(_) => None,
    };
    let zero_point = zero.as_ref().map_or(Some(vec![0.0]), Value::floats).ok_or("a zero point that is no constant")?;
    let centred = match (before, zero) {
        (Some((source, known)), _) if zero_point == [known] => Value { source, is_whole: false, ..x.clone() },
        (_, Some(zero)) => of_two(import, "Sub", "centred", &Value { is_whole: false, ..x.clone() }, &zero)?,
        (_, None) => Value { is_whole: false, ..x.clone() },
    };
    Ok(vec![of_two(import, "Mul", "", &centred, &scale)?])
}
