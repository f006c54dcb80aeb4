//! Functions of every value, and calculations with two tensors.

use super::given::{Inputs, Made, given, some};
use crate::{
    graph::{Activation, Calculation, Op},
    model::onnx::{
        fold,
        import::Import,
        proto::Node,
        value::{Numbers, Source, Value},
    },
};

/// The function of every value that an operator of no parameters is.
pub(super) fn function(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let activation = match node.op {
        "Relu" => Activation::Relu,
        "Sigmoid" => Activation::Sigmoid,
        "HardSwish" => Activation::HardSwish,
        "Tanh" => Activation::Tanh,
        "Exp" => Activation::Exp,
        "Sqrt" => Activation::Sqrt,
        "Abs" => Activation::Abs,
        "Erf" => Activation::Erf,
        "Gelu" if node.text("approximate", "none") == "none" => Activation::Gelu,
        _ => return Err("by its approximation".into()),
    };
    let x = given(inputs, 0)?;
    match x.numbers() {
        Some(numbers) => Ok(vec![Value::constant(&x.dims(), fold::activated(&numbers, activation))]),
        None => Ok(vec![import.activated("", x, activation)?]),
    }
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

pub(super) fn neg(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    if x.is_constant() {
        return fold::calculated(Calculation::Subtract, &Value::constant(&[], Numbers::I64([0].into())), x).map(|value| vec![value]);
    }
    Ok(vec![import.scaled("", x, -1.0, 0.0)?])
}

/// `max(x, 0) + slope * min(x, 0)`, with a slope for each channel of the node.
fn with_slopes(import: &mut Import<'_>, x: &Value, slopes: Vec<f32>) -> Made {
    let slope = import.made("slope", slopes)?;
    Ok(vec![import.activated("", x, Activation::PRelu(slope))?])
}

pub(super) fn leaky_relu(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let slopes = vec![node.float("alpha", 0.01); import.channels_of(x)?];
    with_slopes(import, x, slopes)
}

pub(super) fn p_relu(import: &mut Import<'_>, _: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let (x, slope) = (given(inputs, 0)?, given(inputs, 1)?);
    if !slope.is_constant() {
        return Err("its slope is no constant".into());
    }
    let (x, slope) = broadcast(x, slope)?;
    let x = if varies_by_channel(&x, &slope) { x } else { import.in_order(&x)? };
    let slopes = by_channel(import, &x, &slope, 1.0)?;
    with_slopes(import, &x, slopes)
}

pub(super) fn clip(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let x = given(inputs, 0)?;
    let bound = |name: &str, at: usize, otherwise: f32| match some(inputs, at) {
        Some(value) => value.floats().and_then(|values| values.first().copied()).ok_or_else(|| format!("its `{name}` is no constant")),
        None => Ok(node.float(name, otherwise)),
    };
    let (low, high) = (bound("min", 1, f32::NEG_INFINITY)?, bound("max", 2, f32::INFINITY)?);
    let bounds = [(Calculation::Maximum, low), (Calculation::Minimum, high)];
    if let Some(numbers) = x.numbers() {
        let values = (0..numbers.len()).map(|at| numbers.float(at).max(low).min(high));
        let numbers = match numbers {
            Numbers::F32(_) => Numbers::F32(values.collect()),
            Numbers::I64(_) => Numbers::I64(values.map(|value| value as i64).collect()),
        };
        return Ok(vec![Value::constant(&x.dims(), numbers)]);
    }
    match (low, high) {
        (0.0, 6.0) => return Ok(vec![import.activated("", x, Activation::Relu6)?]),
        (0.0, high) if high >= f32::MAX => return Ok(vec![import.activated("", x, Activation::Relu)?]),
        // As relu6 of another range, of which the outer half folds into weights.
        (0.0, high) if high > 0.0 => {
            let inner = import.scaled("inner", x, 6.0 / high, 0.0)?;
            let cut = import.activated("cut", &inner, Activation::Relu6)?;
            return Ok(vec![import.scaled("", &cut, high / 6.0, 0.0)?]);
        }
        _ => {}
    }
    let mut made = x.clone();
    for (by, bound) in bounds.into_iter().filter(|(_, bound)| bound.abs() < f32::MAX) {
        let operand = vec![bound; import.channels_of(&made)?];
        made = import.with_vector(if by == Calculation::Maximum { "low" } else { "high" }, &made, by, operand)?;
    }
    Ok(vec![made])
}

/// The calculation of an operator, if it is one.
fn calculation(op: &str) -> Result<Calculation, String> {
    Ok(match op {
        "Add" | "Sum" => Calculation::Add,
        "Sub" => Calculation::Subtract,
        "Mul" => Calculation::Multiply,
        "Div" => Calculation::Divide,
        "Min" => Calculation::Minimum,
        "Max" => Calculation::Maximum,
        "Pow" => Calculation::Power,
        "Equal" => Calculation::Equal,
        other => return Err(format!("{other} of two tensors")),
    })
}

pub(super) fn binary(import: &mut Import<'_>, node: &Node<'_>, inputs: &Inputs<'_>) -> Made {
    let mut made = given(inputs, 0)?.clone();
    if inputs.len() == 1 {
        return Ok(vec![made]);
    }
    let last = inputs.len() - 2;
    for (at, other) in inputs[1..].iter().flatten().enumerate() {
        let suffix = if at == last { String::new() } else { format!("first{}", at + 2) };
        made = of_two(import, node.op, &suffix, &made, other)?;
    }
    Ok(vec![Value { is_whole: made.is_whole || node.op == "Equal", ..made }])
}

pub(super) fn of_two(import: &mut Import<'_>, op: &str, suffix: &str, a: &Value, b: &Value) -> Result<Value, String> {
    if op == "Div" && (a.is_whole || b.is_whole) {
        return Err("of whole numbers".into());
    }
    let by = calculation(op)?;
    let is_whole = a.is_whole && b.is_whole;
    let made = match (a.is_constant(), b.is_constant()) {
        (true, true) => return fold::calculated(by, a, b),
        (false, true) => with_constant(import, by, suffix, a, b),
        (true, false) => with_constant(import, by.exchanged(), suffix, b, a),
        (false, false) => of_nodes(import, by, suffix, a, b),
    }?;
    Ok(Value { is_whole, ..made })
}

/// Two tensors of the shape that theirs make together.
fn broadcast(a: &Value, b: &Value) -> Result<(Value, Value), String> {
    let dims = fold::broadcast(&a.dims(), &b.dims())?;
    let (a, b) = (a.expanded(&dims)?, b.expanded(&dims)?);
    match a.batch.is_some_and(|batch| b.is_constant() && b.axes[batch].len > 1) {
        true => Err("a constant that differs from image to image".into()),
        false => Ok((a, b)),
    }
}

/// Whether a constant of a view's shape has one value for each channel of the view's node.
fn varies_by_channel(x: &Value, by: &Value) -> bool {
    x.axes.iter().zip(&by.axes).all(|(of, by)| by.len == 1 || by.channels == 0 || (of.channels != 0 && of.pixels == 0))
}

/// The value for each channel of a view's node; `otherwise` for channels that the view leaves out.
fn by_channel(import: &Import<'_>, x: &Value, by: &Value, otherwise: f32) -> Result<Vec<f32>, String> {
    let mut values = vec![otherwise; import.channels_of(x)?];
    // Once for each channel, not for each of its places.
    let (mut x, mut by) = (x.clone(), by.clone());
    for (axis, by) in x.axes.iter_mut().zip(&mut by.axes).filter(|(axis, _)| axis.channels == 0) {
        (axis.len, by.len) = (1, 1);
    }
    let numbers = by.numbers().ok_or("no constant")?;
    for at in 0..numbers.len() {
        let mut rest = at;
        let mut channel = x.start[0] as isize;
        for axis in x.axes.iter().rev() {
            channel += (rest % axis.len) as isize * axis.channels;
            rest /= axis.len;
        }
        values[channel as usize] = numbers.float(at);
    }
    Ok(values)
}

/// A calculation with a constant behind.
fn with_constant(import: &mut Import<'_>, by: Calculation, suffix: &str, x: &Value, constant: &Value) -> Result<Value, String> {
    let values = constant.floats().ok_or("no constant")?;
    let (x, constant) = broadcast(x, constant)?;
    let same = values.first().copied().filter(|first| values.iter().all(|value| value == first));
    if by == Calculation::Power && same == Some(2.0) {
        return import.squared(suffix, &x);
    }
    if by == Calculation::Power && same == Some(0.5) {
        return import.activated(suffix, &x, Activation::Sqrt);
    }
    if varies_by_channel(&x, &constant) || x.axes.iter().all(|axis| axis.len == 1 || axis.pixels == 0) {
        let x = if varies_by_channel(&x, &constant) { x } else { import.in_order(&x)? };
        let of = |otherwise: f32| by_channel(import, &x, &constant, otherwise);
        // What is a scale and a shift folds into convolutions.
        let affine = |values: Vec<f32>, line: fn(f32) -> [f32; 2]| values.into_iter().map(line).map(|[a, b]| (a, b)).unzip();
        let (scale, shift): (Vec<f32>, Vec<f32>) = match by {
            Calculation::Add => affine(of(0.0)?, |v| [1.0, v]),
            Calculation::Subtract => affine(of(0.0)?, |v| [1.0, -v]),
            Calculation::SubtractFrom => affine(of(0.0)?, |v| [-1.0, v]),
            Calculation::Multiply => affine(of(1.0)?, |v| [v, 0.0]),
            Calculation::Divide if values.iter().all(|value| (1.0 / value).is_normal()) => affine(of(1.0)?, |v| [1.0 / v, 0.0]),
            _ => return import.with_vector(suffix, &x, by, of(1.0)?),
        };
        return import.scaled_by(suffix, &x, scale, shift);
    }
    // A value for each place: maps of their own.
    let dims = x.dims();
    let (node, source) = match (&dims[..], x.batch) {
        (&[_, c, h, w], Some(0)) => import.maps(&x, [c, h, w])?,
        _ => import.vector(&x)?,
    };
    import.fits(constant.count())?;
    let values = constant.floats().ok_or("no constant")?;
    let made = import.with_maps(suffix, (node, source), by, values)?;
    Ok(Value { batch: x.batch, ..Import::view(made, &dims) })
}

fn of_nodes(import: &mut Import<'_>, by: Calculation, suffix: &str, a: &Value, b: &Value) -> Result<Value, String> {
    let op = match by {
        Calculation::Add => Op::Add,
        Calculation::Multiply => Op::Multiply,
        other => Op::Calculate(other.into()),
    };
    let dims = fold::broadcast(&a.dims(), &b.dims())?;
    // Tensors that walk over their nodes in one way.
    if let (Source::Node(x, of), Source::Node(y, other)) = (&a.source, &b.source)
        && (of, &a.axes, a.start, a.batch) == (other, &b.axes, b.start, b.batch)
    {
        let (node, source) = import.add(suffix, op, &[*x, *y])?;
        return Ok(Value { source: Source::Node(node, source), ..a.clone() });
    }
    // One value for each map, such as a gate.
    for (x, pixel, by) in [(a, b, by), (b, a, by.exchanged())] {
        if let (&[_, c, h, w], &[_, of_pixel, 1, 1]) = (&x.dims()[..], &pixel.dims()[..])
            && (of_pixel, h * w > 1, x.batch, pixel.batch) == (c, true, Some(0), Some(0))
        {
            let op = if by == Calculation::Multiply { Op::Multiply } else { Op::Calculate(by.into()) };
            let (from, _) = import.maps(x, [c, h, w])?;
            let (pixel, _) = import.maps(pixel, [c, 1, 1])?;
            let made = import.add(suffix, op, &[from, pixel])?;
            return Ok(Import::view(made, &dims));
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
    let made = import.add(suffix, op, &[x, y])?;
    Ok(Value { batch: a.batch, ..Import::view(made, &dims) })
}
