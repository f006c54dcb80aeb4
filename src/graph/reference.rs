//! What a graph means: its operations as plain loops over `[n, c, h, w]` in f64, before any pass.
//! It is the oracle of the CPU twins' tests.

use super::{
    Activation, Calculate, Calculation, ConstId, Conv, Coordinates, Extent, Filter, Graph, Nearest, Op, Pool, PoolKind, Resample, RoiAlign,
    Shape,
};

/// Every node's output as `[n, c, h, w]` values, for inputs of these shapes.
pub(crate) fn evaluate(graph: &Graph, inputs: &[(&[f32], Shape)]) -> Vec<Vec<f32>> {
    let given: Vec<Shape> = inputs.iter().map(|(_, shape)| *shape).collect();
    let shapes = graph.shapes(&given).expect("the graph takes these shapes");
    let mut values: Vec<Vec<f64>> = Vec::new();
    for (at, (node, &out)) in graph.nodes().iter().zip(&shapes).enumerate() {
        let arguments: Vec<(&[f64], Shape)> = node.inputs.iter().map(|id| (&values[id.0][..], shapes[id.0])).collect();
        let value = match &node.op {
            Op::Input { .. } => inputs[at].0.iter().map(|&v| f64::from(v)).collect(),
            op => node_value(graph, op, &arguments, out),
        };
        assert_eq!(value.len(), out.count(), "`{}`", node.name);
        values.push(value);
    }
    values.into_iter().map(|value| value.into_iter().map(|v| v as f32).collect()).collect()
}

fn node_value(graph: &Graph, op: &Op, arguments: &[(&[f64], Shape)], out: Shape) -> Vec<f64> {
    let constant = |id: ConstId, at: usize| f64::from(graph.constant(id).data[at]);
    let (x, shape) = arguments[0];
    match op {
        Op::Conv(conv) => convolution(graph, conv, x, shape, out),
        Op::BatchNorm { weight, bias, mean, var, eps } => each(out, |[n, c, y, x_]| {
            let normalised = (x[at(shape, [n, c, y, x_])] - constant(*mean, c)) / (constant(*var, c) + f64::from(*eps)).sqrt();
            normalised * constant(*weight, c) + constant(*bias, c)
        }),
        Op::Activate(activation) => each(out, |i| activate(graph, x[at(shape, i)], *activation, i[1])),
        Op::Add => each(out, |i| x[at(shape, i)] + arguments[1].0[at(shape, i)]),
        Op::Multiply => {
            let (other, other_shape) = arguments[1];
            let one_pixel = other_shape.pixels() == 1;
            each(out, |[n, c, y, x_]| {
                let from = if one_pixel { [n, c, 0, 0] } else { [n, c, y, x_] };
                x[at(shape, [n, c, y, x_])] * other[at(other_shape, from)]
            })
        }
        Op::Calculate(Calculate { by, operand }) => each(out, |[n, c, y, x_]| {
            let a = x[at(shape, [n, c, y, x_])];
            let b = match (operand, arguments.get(1)) {
                (Some(id), _) if graph.constant(*id).shape.len() == 1 => constant(*id, c),
                (Some(id), _) => constant(*id, (c * shape.h + y) * shape.w + x_),
                (None, Some(&(other, of))) if of.pixels() == 1 => other[at(of, [n, c, 0, 0])],
                (None, Some(&(other, of))) => other[at(of, [n, c, y, x_])],
                (None, None) => unreachable!("the graph has checked this"),
            };
            calculate(*by, a, b)
        }),
        Op::Constant(id) => each(out, |[_, c, y, x_]| constant(*id, (c * out.h + y) * out.w + x_)),
        Op::Concat => each(out, |[n, c, y, x_]| {
            let mut c = c;
            for (values, shape) in arguments {
                if c < shape.c {
                    return values[at(*shape, [n, c, y, x_])];
                }
                c -= shape.c;
            }
            unreachable!("the output has as many channels as the inputs together")
        }),
        Op::Slice { start, .. } => each(out, |[n, c, y, x_]| x[at(shape, [n, start + c, y, x_])]),
        Op::Pool(pool) => pooling(pool, x, shape, out),
        Op::GlobalPool => each(out, |[n, c, ..]| {
            let map = &x[at(shape, [n, c, 0, 0])..][..shape.pixels()];
            map.iter().sum::<f64>() / shape.pixels() as f64
        }),
        Op::Resample(resample) => resampling(resample, x, shape, out),
        Op::RoiAlign(roi_align) => regions(roi_align, arguments, out),
        Op::Rearrange(rearrange) => each(out, |[n, c, y, x_]| {
            let [channel, pixel] = rearrange.source((c * out.h + y) * out.w + x_);
            x[(n * shape.c + channel) * shape.pixels() + pixel]
        }),
        Op::TopK(top_k) => each(out, |[n, rank, y, x_]| {
            let mut all: Vec<(f64, usize)> = (0..shape.c).map(|c| (x[at(shape, [n, c, y, x_])], c)).collect();
            all.sort_by(|(v, a), (w, b)| {
                let by_value = if top_k.is_smallest { v.total_cmp(w) } else { w.total_cmp(v) };
                by_value.then(if top_k.is_last { b.cmp(a) } else { a.cmp(b) })
            });
            if top_k.places { all[rank].1 as f64 } else { all[rank].0 }
        }),
        Op::Softmax => {
            let total = |n: usize, y: usize, x_: usize| (0..shape.c).map(|c| x[at(shape, [n, c, y, x_])].exp()).sum::<f64>();
            each(out, |[n, c, y, x_]| x[at(shape, [n, c, y, x_])].exp() / total(n, y, x_))
        }
        Op::Linear { weight, bias, activation } => each(out, |[n, o, ..]| {
            let products = (0..shape.c).map(|i| constant(*weight, o * shape.c + i) * x[n * shape.c + i]);
            activate(graph, products.sum::<f64>() + bias.map_or(0.0, |b| constant(b, o)), *activation, o)
        }),
        Op::Input { .. } | Op::Ghost(_) | Op::SqueezeExcite(_) | Op::Separable(_) | Op::ResampleProduct(_) => {
            unreachable!("a graph before its passes has none")
        }
    }
}

fn each(shape: Shape, value: impl Fn([usize; 4]) -> f64) -> Vec<f64> {
    let value = &value;
    let index = (0..shape.n)
        .flat_map(move |n| (0..shape.c).flat_map(move |c| (0..shape.h).flat_map(move |y| (0..shape.w).map(move |x| [n, c, y, x]))));
    index.map(value).collect()
}

fn at(shape: Shape, [n, c, y, x]: [usize; 4]) -> usize {
    ((n * shape.c + c) * shape.h + y) * shape.w + x
}

/// The pixel a filter's tap falls on, where that is on the map.
fn tap(shape: Shape, y: usize, x: usize, pad: [usize; 2]) -> Option<[usize; 2]> {
    let (y, x) = (y.checked_sub(pad[0])?, x.checked_sub(pad[1])?);
    (y < shape.h && x < shape.w).then_some([y, x])
}

fn convolution(graph: &Graph, conv: &Conv, x: &[f64], shape: Shape, out: Shape) -> Vec<f64> {
    assert!(!conv.gate && conv.residual.is_none() && !conv.pool, "only passes set these");
    let weight = graph.constant(conv.weight);
    let &[c_out, c_in, height, width] = &weight.shape[..] else { unreachable!("filters have four dimensions") };
    each(out, |[n, o, y, x_]| {
        let group = o / (c_out / conv.groups);
        let mut sum = conv.bias.map_or(0.0, |b| f64::from(graph.constant(b).data[o]));
        for i in 0..c_in {
            for ky in 0..height {
                for kx in 0..width {
                    let (ty, tx) = (y * conv.stride[0] + ky * conv.dilation[0], x_ * conv.stride[1] + kx * conv.dilation[1]);
                    if let Some([iy, ix]) = tap(shape, ty, tx, conv.pad) {
                        let w = weight.data[((o * c_in + i) * height + ky) * width + kx];
                        sum += f64::from(w) * x[at(shape, [n, group * c_in + i, iy, ix])];
                    }
                }
            }
        }
        activate(graph, sum, conv.activation, o)
    })
}

fn pooling(pool: &Pool, x: &[f64], shape: Shape, out: Shape) -> Vec<f64> {
    each(out, |[n, c, y, x_]| {
        let taps = (0..pool.kernel[0]).flat_map(|ky| (0..pool.kernel[1]).map(move |kx| (ky, kx)));
        let on_map = taps.filter_map(|(ky, kx)| tap(shape, y * pool.stride[0] + ky, x_ * pool.stride[1] + kx, pool.pad));
        let values: Vec<f64> = on_map.map(|[iy, ix]| x[at(shape, [n, c, iy, ix])]).collect();
        match pool.kind {
            PoolKind::Max => values.iter().copied().fold(f64::MIN, f64::max),
            PoolKind::Mean { count_pad } => {
                let divisor = if count_pad { pool.kernel[0] * pool.kernel[1] } else { values.len() };
                values.iter().sum::<f64>() / divisor as f64
            }
        }
    })
}

/// ONNX's Resize, as its operator's description says it.
fn resampling(resample: &Resample, x: &[f64], shape: Shape, out: Shape) -> Vec<f64> {
    let original = |resized: usize, [length, resized_length]: [usize; 2], given: Option<f32>| {
        let (x, [length, resized_length]) = (resized as f64, [length, resized_length].map(|l| l as f64));
        let scale = given.map_or(resized_length / length, f64::from);
        match resample.coordinates {
            Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
            Coordinates::PytorchHalfPixel if resized_length > 1.0 => (x + 0.5) / scale - 0.5,
            Coordinates::PytorchHalfPixel => 0.0,
            Coordinates::AlignCorners if resized_length > 1.0 => x * (length - 1.0) / (resized_length - 1.0),
            Coordinates::AlignCorners => 0.0,
            Coordinates::Asymmetric => x / scale,
        }
    };
    let scales = match resample.extent {
        Extent::Sizes(_) | Extent::Like => [None; 2],
        Extent::Scales(scales) => scales.map(Some),
    };
    each(out, |[n, c, y, x_]| {
        let (y, x_) = (original(y, [shape.h, out.h], scales[0]), original(x_, [shape.w, out.w], scales[1]));
        // What lies outside the map is its nearest pixel.
        let inside = |place: f64, length: usize| place.clamp(0.0, (length - 1) as f64) as usize;
        let pixel = |y: f64, x_: f64| x[at(shape, [n, c, inside(y, shape.h), inside(x_, shape.w)])];
        match resample.filter {
            Filter::Nearest(nearest) => {
                let round = |place: f64| match nearest {
                    Nearest::RoundPreferFloor if place - place.floor() == 0.5 => place.floor(),
                    Nearest::RoundPreferCeil if place - place.floor() == 0.5 => place.ceil(),
                    Nearest::RoundPreferFloor | Nearest::RoundPreferCeil => place.round(),
                    Nearest::Floor => place.floor(),
                    Nearest::Ceil => place.ceil(),
                };
                pixel(round(y), round(x_))
            }
            Filter::Bilinear => {
                let [(top, down), (left, right)] = [y, x_].map(|place| (place.floor(), place - place.floor()));
                let row = |y: f64| pixel(y, left) * (1.0 - right) + pixel(y, left + 1.0) * right;
                row(top) * (1.0 - down) + row(top + 1.0) * down
            }
        }
    })
}

/// torchvision's `roi_align`, of the map that its `MultiScaleRoIAlign` takes.
fn regions(roi_align: &RoiAlign, arguments: &[(&[f64], Shape)], out: Shape) -> Vec<f64> {
    let ((regions, of_regions), maps) = arguments.split_last().expect("the graph has checked this");
    let [rows, columns] = roi_align.cells;
    let samples = roi_align.samples;
    each(out, |[n, c, y, x]| {
        let [x1, y1, x2, y2] = [0, 1, 2, 3].map(|side| regions[at(*of_regions, [n, 0, y / rows, side])]);
        let area = ((x2 - x1) as f32 * (y2 - y1) as f32).max(0.0);
        let level = (f64::from(area).sqrt() / f64::from(roi_align.side)).log2() + 1.0 + 1e-6;
        let of = level.floor().clamp(0.0, (maps.len() - 1) as f64) as usize;
        let (map, shape) = maps[of];
        let scale = f64::from(roi_align.scales[of]);
        let axis = |from: f64, to: f64, cell: usize, cells: usize, sample: usize| {
            let (from, side) = (from * scale, (to - from) * scale);
            let (from, side) = if roi_align.aligned { (from - 0.5, side) } else { (from, side.max(1.0)) };
            from + (cell as f64 + (sample as f64 + 0.5) / samples as f64) * side / cells as f64
        };
        let value = |y: f64, x: f64| {
            if !(-1.0..=shape.h as f64).contains(&y) || !(-1.0..=shape.w as f64).contains(&x) {
                return 0.0;
            }
            let [y, x] = [(y, shape.h), (x, shape.w)].map(|(place, length)| place.clamp(0.0, (length - 1) as f64));
            let pixel = |y: f64, x: f64| map[at(shape, [n, c, (y as usize).min(shape.h - 1), (x as usize).min(shape.w - 1)])];
            let row = |y: f64| pixel(y, x.floor()) * (1.0 - x.fract()) + pixel(y, x.floor() + 1.0) * x.fract();
            row(y.floor()) * (1.0 - y.fract()) + row(y.floor() + 1.0) * y.fract()
        };
        let all = (0..samples).flat_map(|i| (0..samples).map(move |j| (i, j)));
        let sum: f64 = all.map(|(i, j)| value(axis(y1, y2, y % rows, rows, i), axis(x1, x2, x, columns, j))).sum();
        sum / (samples * samples) as f64
    })
}

fn calculate(by: Calculation, a: f64, b: f64) -> f64 {
    match by {
        Calculation::Add => a + b,
        Calculation::Multiply => a * b,
        Calculation::Subtract => a - b,
        Calculation::Divide => a / b,
        Calculation::Minimum => a.min(b),
        Calculation::Maximum => a.max(b),
        Calculation::Power => a.powf(b),
        Calculation::Equal => f64::from(u8::from(a == b)),
        Calculation::SubtractFrom | Calculation::DivideInto | Calculation::PowerOf => calculate(by.exchanged(), b, a),
    }
}

fn activate(graph: &Graph, v: f64, activation: Activation, c: usize) -> f64 {
    let parameter = |id: ConstId| f64::from(graph.constant(id).data[c]);
    match activation {
        Activation::Identity => v,
        Activation::Relu => v.max(0.0),
        Activation::Relu6 => v.clamp(0.0, 6.0),
        Activation::HardSigmoid => (v + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::HardSwish => v * (v + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Sigmoid => 1.0 / (1.0 + (-v).exp()),
        Activation::Silu => v / (1.0 + (-v).exp()),
        Activation::Tanh => v.tanh(),
        Activation::Exp => v.exp(),
        Activation::Sqrt => v.sqrt(),
        Activation::Abs => v.abs(),
        Activation::Erf => erf(v),
        Activation::Gelu => 0.5 * v * (1.0 + erf(v / 2f64.sqrt())),
        Activation::PRelu(slope) => v.max(0.0) + parameter(slope) * v.min(0.0),
        Activation::Round8(low) => v.round_ties_even().clamp(parameter(low), parameter(low) + 255.0),
    }
}

/// The error function, by its power series.
fn erf(v: f64) -> f64 {
    if v.abs() > 5.0 {
        return v.signum();
    }
    let (mut term, mut sum) = (v, v);
    for n in 1..200 {
        term *= -v * v / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}
