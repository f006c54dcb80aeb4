//! Products with constant matrices.

use super::given::{Inputs, Made, given, some};
use crate::{
    graph::{Activation, Conv, Op},
    model::onnx::{
        import::Import,
        proto::Node,
        value::{Source, Value, over_maps},
    },
    text::Sides,
};

/// A matrix product with constant rows: `x [.., k]` and `weight [m, k]`, with the bias `[m]`.
fn product(import: &mut Import<'_>, x: &Value, weight: Vec<f32>, [m, k]: [usize; 2], bias: Option<Vec<f32>>) -> Made {
    let rank = x.axes.len();
    if rank == 0 || x.axes[rank - 1].len != k || x.batch == Some(rank - 1) {
        return Err(format!("{} and a matrix of {m} rows of {k}", Sides(&x.dims())));
    }
    let bias = bias.map(|bias| import.made("bias", bias)).transpose()?;
    let others: Vec<usize> = (0..rank - 1).filter(|at| Some(*at) != x.batch).collect();
    let rows: usize = others.iter().map(|&at| x.axes[at].len).product();
    let order: Vec<usize> = x.batch.into_iter().chain([rank - 1]).chain(others.iter().copied()).collect();
    let (node, source) = match rows {
        1 => {
            let (from, _) = import.vector(x)?;
            let weight = import.matrix("weight", &[m, k], weight)?;
            import.add("", Op::Linear { weight, bias, activation: Activation::Identity }, &[from])?
        }
        rows => {
            let (from, _) = import.pixels(&x.transposed(&order), [k, rows])?;
            let weight = import.matrix("weight", &[m, k, 1, 1], weight)?;
            import.add("", Op::Conv(Conv { bias, ..Conv::new(weight) }), &[from])?
        }
    };
    let mut dims = x.dims();
    dims[rank - 1] = m;
    let axes = over_maps(&dims, &[rank - 1], &others);
    Ok(vec![Value { source: Source::Node(node, source), axes, start: [0, 0], batch: x.batch, is_whole: false, least: None }])
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
