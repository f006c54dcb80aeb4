//! Values of a map in another order: `shaders/rearrange.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::{Axis, Rearrange},
    plan::{
        Dispatch,
        emit::{Emitter, Launch, Owner, TensorView},
    },
};

params! {
    pixels_in, pixels_out, channels_out, blocks_out, outputs, workgroups, input_offset, input_stride, output_offset, output_stride,
    start_channel, start_pixel,
    len_0, len_1, len_2, len_3, len_4, len_5,
    channels_0, channels_1, channels_2, channels_3, channels_4, channels_5,
    pixels_0, pixels_1, pixels_2, pixels_3, pixels_4, pixels_5,
}

kernel!("rearrange", writes ["output"], twin twin::rearrange, vector vector::rearrange);

/// A tensor in another order.
#[derive(Clone)]
pub struct Problem {
    /// The step's name.
    pub name: String,
    /// Whose table of lanes this is.
    pub owner: Owner,
    /// `[n, c, h, w]`.
    pub input: TensorView,
    /// Which of its values the output's are.
    pub rearrange: Rearrange,
    /// `[n, c', h', w']`, its channels in their order.
    pub output: TensorView,
}

const INVOCATIONS: u32 = 64;

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem, emit: &mut Emitter<'_>) {
    let Problem { name, owner, input, rearrange, output } = problem;
    let mut lanes: Vec<f32> = input.layout.lane_of(input.shape.c).iter().map(|&lane| lane as f32).collect();
    lanes.resize(lanes.len().next_multiple_of(4), 0.0);
    let table = emit.table(*owner, KERNEL, lanes);
    let outputs = (output.shape.n * output.blocks() * output.shape.pixels()) as u32;
    let workgroups = outputs.div_ceil(INVOCATIONS);
    // Axes of length 1 in front change nothing.
    let mut axes = [Axis { len: 1, channels: 0, pixels: 0 }; 6];
    let first = axes.len() - rearrange.axes.len();
    axes[first..].copy_from_slice(&rearrange.axes);
    let steps = |axis: usize| [axes[axis].channels, axes[axis].pixels].map(|step| step as i32 as u32);
    let params = Params {
        pixels_in: input.shape.pixels() as u32,
        pixels_out: output.shape.pixels() as u32,
        channels_out: output.shape.c as u32,
        blocks_out: output.blocks() as u32,
        outputs,
        workgroups,
        input_offset: input.place.offset,
        input_stride: input.place.stride,
        output_offset: output.place.offset,
        output_stride: output.place.stride,
        start_channel: rearrange.start[0] as u32,
        start_pixel: rearrange.start[1] as u32,
        len_0: axes[0].len as u32,
        len_1: axes[1].len as u32,
        len_2: axes[2].len as u32,
        len_3: axes[3].len as u32,
        len_4: axes[4].len as u32,
        len_5: axes[5].len as u32,
        channels_0: steps(0)[0],
        channels_1: steps(1)[0],
        channels_2: steps(2)[0],
        channels_3: steps(3)[0],
        channels_4: steps(4)[0],
        channels_5: steps(5)[0],
        pixels_0: steps(0)[1],
        pixels_1: steps(1)[1],
        pixels_2: steps(2)[1],
        pixels_3: steps(3)[1],
        pixels_4: steps(4)[1],
        pixels_5: steps(5)[1],
    };
    let dispatch = Dispatch::new(KERNEL, &[("WG", INVOCATIONS.into()), ("F16", emit.f16().into())], &params, workgroups);
    emit.launch(Launch::new(name, dispatch).reads("input", input).constant("table", table).writes("output", output));
}

impl Params {
    /// Length, channels and pixels of each axis, the last the fastest.
    pub(super) fn axes(&self) -> [(usize, isize, isize); 6] {
        let axis = |len: u32, channels: u32, pixels: u32| (len as usize, channels as i32 as isize, pixels as i32 as isize);
        [
            axis(self.len_0, self.channels_0, self.pixels_0),
            axis(self.len_1, self.channels_1, self.pixels_1),
            axis(self.len_2, self.channels_2, self.pixels_2),
            axis(self.len_3, self.channels_3, self.pixels_3),
            axis(self.len_4, self.channels_4, self.pixels_4),
            axis(self.len_5, self.channels_5, self.pixels_5),
        ]
    }
}
