//! Functions of every value, and calculations with two tensors.

use super::given::{Inputs, Made, given, some};
use crate::{
    graph::{Activation, Axis, Op},
    model::onnx::{
        fold,
        import::Import,
        proto::Node,
        value::{Numbers, Source, Value},
    },
};

pub(super) fn relu(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    Ok(vec![import.activated("", given(inputs, 0)?, Activation::Relu)?])
}

pub(super) fn sigmoid(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    Ok(vec![import.activated("", given(inputs, 0)?, Activation::Sigmoid)?])
}

pub(super) fn hard_swish(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    Ok(vec![import.activated("", given(inputs, 0)?, Activation::HardSwish)?])
}

pub(super) fn hard_sigmoid(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let (alpha, beta) = (node.float("alpha", 0.2), node.float("beta", 0.5));
    // relu6(6 (alpha x + beta)) / 6, of which hard_sigmoid(y) is relu6(y + 3) / 6.
    if (6.0 * alpha - 1.0).abs() < 1e-5 && beta == 0.5 {
        return Ok(vec![import.activated("", x, Activation::HardSigmoid)?]);
    }
    let inner = import.scaled("inner", x, 6.0 * alpha, 6.0 * beta - 3.0)?;
    Ok(vec![import.activated("", &inner, Activation::HardSigmoid)?])
}

pub(super) fn tanh(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    // 2 sigmoid(2 x) - 1
    let twice = import.scaled("twice", given(inputs, 0)?, 2.0, 0.0)?;
    let sigmoid = import.activated("sigmoid", &twice, Activation::Sigmoid)?;
    Ok(vec![import.scaled("", &sigmoid, 2.0, -1.0)?])
}

pub(super) fn neg(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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

pub(super) fn leaky_relu(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let slopes = vec![node.float("alpha", 0.01); channels_of(x)?];
    Ok(vec![with_slopes(import, x, slopes)?])
}

pub(super) fn abs(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let slopes = vec![-1.0; channels_of(x)?];
    Ok(vec![with_slopes(import, x, slopes)?])
}

pub(super) fn p_relu(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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

pub(super) fn clip(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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

pub(super) fn binary(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
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
