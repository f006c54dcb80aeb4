//! Host side of `shaders/elementwise.wgsl`.

use super::{Dispatch, Kernel};
use crate::{graph::Activation, plan::Place};

params! {
    /// Parameters of `elementwise`.
    ElementwiseParams {
        pixels, blocks, outputs, workgroups, a_offset, a_stride, b_offset, b_stride, output_offset, output_stride, b_is_gate,
    }
}

/// The second operand of `elementwise`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// Multiply by it rather than add it.
    pub multiply: bool,
    /// It is `[n, c, 1, 1]`.
    pub one_pixel: bool,
    /// It is an f32 gate of `squeeze_excite`.
    pub gate: bool,
    /// Where it is.
    pub place: Place,
}

const INVOCATIONS: u32 = 64;

/// `activation(a OP b)` on `n` maps of `pixels` pixels.
#[allow(clippy::too_many_arguments)] // two operands, a result and their shape
pub fn elementwise(
    n: usize,
    pixels: usize,
    blocks: usize,
    f16: bool,
    activation: Activation,
    a: Place,
    b: Option<Operand>,
    output: Place,
) -> Dispatch {
    let outputs = (n * pixels * blocks) as u32;
    let workgroups = outputs.div_ceil(INVOCATIONS);
    let params = ElementwiseParams {
        pixels: pixels as u32,
        blocks: blocks as u32,
        outputs,
        workgroups,
        a_offset: a.offset,
        a_stride: a.stride,
        b_offset: b.map_or(0, |b| b.place.offset),
        b_stride: b.map_or(0, |b| b.place.stride),
        output_offset: output.offset,
        output_stride: output.stride,
        b_is_gate: b.is_some_and(|b| b.one_pixel).into(),
    };
    let defines = [
        ("WG", INVOCATIONS.into()),
        ("OP", b.map_or(0, |b| 1 + i64::from(b.multiply))),
        ("GATE", b.is_some_and(|b| b.gate).into()),
        ("ACTIVATION", activation as i64),
        ("F16", f16.into()),
    ];
    Dispatch::new(Kernel::Elementwise, &defines[..], &params, workgroups)
}
