//! The gate of a squeeze-and-excite: `shaders/squeeze_excite.wgsl`.

#[doc(hidden)]
pub mod cases;
pub(crate) mod twin;
pub(crate) mod vector;

use crate::{
    graph::{Activation, Constant, SqueezeExcite},
    plan::{
        Dispatch,
        emit::{Emitter, Launch, Owner, Sums, TensorView},
        layout::Layout,
        pack::{self, padded},
    },
};

params! { blocks, blocks_reduced, tiles, pixels, slices, gate_slices, expand_offset, expand_bias_offset, parts, part, workgroups }

kernel!("squeeze_excite", writes ["gate"], twin twin::squeeze_excite, vector vector::squeeze_excite, scratch |dispatch| {
    let params: Params = dispatch.params();
    params.images() * params.hidden_len()
});

/// One of the two layers.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    /// `[c_out, c_in, 1, 1]`.
    pub weight: &'a Constant,
    /// `[c_out]`.
    pub bias: Option<&'a [f32]>,
    /// Applied to the sums; one without a parameter.
    pub activation: Activation,
}

/// A gate: mean of each map, two small layers.
#[derive(Clone)]
pub struct Problem<'a> {
    /// The step's name.
    pub name: String,
    /// Whose weights these are.
    pub owner: Owner,
    /// What the gate is made from: `[n, c, h, w]`.
    pub input: TensorView,
    /// Sums of its channels.
    pub sums: Sums,
    /// `c` channels to fewer.
    pub reduce: Layer<'a>,
    /// And back.
    pub expand: Layer<'a>,
    /// `[n, c, 1, 1]`, f32, in the input's layout.
    pub output: TensorView,
}

/// Workgroup memory sizes the shader is composed with, in blocks: channels and reduced channels.
const SIZES: [[usize; 2]; 2] = [[256, 64], [SqueezeExcite::MOST_CHANNELS[0] / 4, SqueezeExcite::MOST_CHANNELS[1] / 4]];

/// Invocations of a workgroup.
const INVOCATIONS: u32 = 256;

/// Inputs of an invocation that are under way at a time. By RDNA2's code they are 16 loads, where
/// one input waits for four.
const UNROLL: u32 = 4;

/// Workgroups that share the gates of few images. Idle compute units take parts of the second
/// layer, and each makes all of the first.
const WORKGROUPS: usize = 4;

impl Params {
    /// Images whose gates are made.
    fn images(&self) -> usize {
        (self.workgroups / self.parts) as usize
    }

    /// Blocks that the means and the reduced layer of one image take.
    fn hidden_len(&self) -> usize {
        (self.blocks + self.blocks_reduced) as usize
    }
}

/// Adds the step that solves the problem.
pub fn lower(problem: &Problem<'_>, emit: &mut Emitter<'_>) {
    let Problem { input, output, reduce, expand, sums, .. } = problem;
    let layout = &input.layout;
    let reduced = Layout::plain(reduce.weight.shape[0]);
    let tiling = emit.matrix_tiling();
    let weights = emit.weights(problem.owner, KERNEL, tiling.variant(), &|| {
        let (first, second) = (&reduce.weight.data, &expand.weight.data);
        let [c, c_reduced] = [input.shape.c, reduce.weight.shape[0]];
        if tiling.rows {
            let mut weights = pack::tiled_matrix(first, layout, &reduced, tiling, c);
            weights.extend(pack::tiled_matrix(second, &reduced, layout, tiling, c_reduced));
            return weights;
        }
        let mut weights = pack::matrix(first, layout, &reduced, c);
        weights.extend(pack::matrix_by_input(second, &reduced, layout, c_reduced));
        weights
    });
    let bias = emit.values(problem.owner, KERNEL, "bias", tiling.blocks, &|| {
        let mut bias = pack::vector(reduce.bias, reduced.lanes(), tiling.blocks);
        bias.extend(pack::vector(expand.bias, layout.lanes(), tiling.blocks));
        bias
    });

    let n = input.shape.n;
    let [blocks, blocks_reduced] = [layout.blocks(), reduced.blocks()];
    let tiles_reduced = blocks_reduced.div_ceil(tiling.blocks);
    // No part is empty.
    let part = blocks.div_ceil((WORKGROUPS / n).max(1)) as u32;
    let parts = (blocks as u32).div_ceil(part);
    // A block has as many invocations as fit and have inputs, at least one. Their number is a power
    // of two, so that slices never straddle workgroups.
    let slices = |blocks: usize, inputs: usize| {
        let most = (inputs as u32).div_ceil(UNROLL).next_power_of_two().min(32);
        (INVOCATIONS / (blocks as u32).next_power_of_two()).clamp(1, most)
    };
    let workgroups = n as u32 * parts;
    let params = Params {
        blocks: blocks as u32,
        blocks_reduced: blocks_reduced as u32,
        tiles: sums.tiles as u32,
        pixels: input.shape.pixels() as u32,
        slices: slices(blocks_reduced, blocks),
        gate_slices: slices(part as usize, blocks_reduced),
        expand_offset: (if tiling.rows { tiles_reduced * tiling.blocks * padded(blocks) } else { blocks * blocks_reduced } * 4) as u32,
        expand_bias_offset: (tiles_reduced * tiling.blocks) as u32,
        parts,
        part,
        workgroups,
    };
    let [max_blocks, max_reduced] =
        *SIZES.iter().find(|[c, r]| blocks <= *c && blocks_reduced <= *r).expect("fuse_squeeze_excite checks the size");
    let defines = [
        ("WG", INVOCATIONS.into()),
        ("UNROLL", UNROLL.into()),
        ("MAX_BLOCKS", max_blocks as i64),
        ("MAX_REDUCED", max_reduced as i64),
        ("REDUCE_ACTIVATION", reduce.activation.number().into()),
        ("GATE_ACTIVATION", expand.activation.number().into()),
        ("F16", emit.f16().into()),
    ];
    let launch = Launch::new(&problem.name, Dispatch::new(KERNEL, &defines, &params, workgroups).with_rows(tiling.rows))
        .macs(n * (reduce.weight.data.len() + expand.weight.data.len()))
        .binds("sums", sums.storage)
        .bytes(sums.tiles * n * blocks * 16, 0)
        .constant("weight", weights)
        .constant("bias", bias)
        .writes("gate", output);
    emit.launch(launch);
}
