// ghost_rows: a whole ghost module in one dispatch, as `ghost`, for drivers that run shaders on the CPU and have
// subgroups. One group of ghosts (s = 2), D at most 3.
//
//   y[n, o, p] = act1(bias[o] + sum_i W[o, i] * gate[n, i] * in[n, i, p])                          intrinsic
//   z[n, o, p] = act2(cheap_bias[o] + sum_t C[o, t] * y[n, o, p + t])                              ghosts, zero padding D / 2
//   out = concat(y, z) + residual
//
// Such drivers make every load lane by lane, of one weight for all lanes as of a pixel for each. So each invocation loads one row of
// weights, and the subgroup hands rows on; an invocation has COLUMNS neighbouring columns, and takes those beside them from its neighbours.
// Layouts, bindings and parameters as in `ghost`, and more parameters, by which modules share a pipeline, for such drivers compile for long: where
// GATE or RESIDUAL is 2, some have one (`gates`, `residuals`: 0 or 1; counted by loops, which lavapipe jumps over where it would go
// through a branch), and with RELU_FLAGS activations are ReLU or none. The weights' rows are loaded LANES at a time.
// One workgroup: LANES invocations, one subgroup; BLOCKS intrinsic blocks on a tile of the map, halo included: LANES * COLUMNS columns, or with ROUTE all.
// The intrinsic maps wait for their ghosts
// - in registers (`rows_in_registers`): one invocation makes ROWS rows of its columns at a time, going down the tile;
// - with ROUTE in their place in the output (`rows_in_output`): an invocation makes PIXELS pixels of the intrinsic maps at a time, whichever, then the
//   ghosts of its columns, down the rows. A tile has all columns of the map. With ROUTE 1 a run of columns is made by an invocation, and as many blocks
//   at a time as the subgroup has runs for; with 2 (PARTS) they are made part by part, and a tile and its halo have at most PARTS rows.
// Workgroup memory: none; with PARTS a column of a part, twice: 2 * PARTS * 16 bytes.
#import dtype
#import activation
#import grid

struct Params {
    width: u32,
    height: u32,
    blocks_in: u32,
    blocks_primary: u32,
    tile_width: u32,
    tile_height: u32,
    tiles_x: u32,
    tiles_y: u32,
    tiles_channel: u32,
    workgroups: u32,
    input_offset: u32,
    input_stride: u32,
    output_offset: u32,
    output_stride: u32,
    residual_offset: u32,
    residual_stride: u32,
    unscale: u32,
    cheap_offset: u32,
    cheap_bias_offset: u32,
    ghost_groups: u32,
    gates: u32,
    residuals: u32,
    relu: u32,
    cheap_relu: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
#import weight
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;
#if GATE
@group(0) @binding(5) var<storage, read> gate: array<vec4<f32>>;
#endif
#if RESIDUAL
@group(0) @binding(6) var<storage, read> residual: array<Stored>;
#endif
#if SUMS
@group(0) @binding(7) var<storage, read_write> sums: array<vec4<f32>>;
#endif

#if PARTS
// The last column of the part to the left: that of parts of even number, then that of the others.
var<workgroup> edge: array<vec4<f32>, ${2 * PARTS}>;
#endif

#if ROUTE
// Where row `y` of an intrinsic map lies in the first plane of the output while ghosts are made of it: in its place if the tile has it; a row of
// the halo where the ghosts of the tile's first or last row will be.
fn row_of_intrinsic(y: u32, top: u32, bottom: u32, output_base: u32, ghost_base: u32) -> u32 {
    return select(ghost_base, output_base, (y >= top) & (y < bottom)) + clamp(y, top, bottom - 1u) * params.width;
}
#endif

fn primary_activation(v: vec4<f32>) -> vec4<f32> {
#if RELU_FLAGS
    return select(v, max(v, vec4<f32>(0.0)), params.relu != 0u);
#else
    return activate${ACTIVATION}(v);
#endif
}

fn cheap_activation(v: vec4<f32>) -> vec4<f32> {
#if RELU_FLAGS
    return select(v, max(v, vec4<f32>(0.0)), params.cheap_relu != 0u);
#else
    return activate${CHEAP_ACTIVATION}(v);
#endif
}

@compute @workgroup_size(${LANES})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = workgroup_index(group, groups);
    if index >= params.workgroups {
        return;
    }
    let tiles = params.tiles_x * params.tiles_y;
    let tile = index % tiles;
    let channel_tile = (index / tiles) % params.tiles_channel;
    let n = index / (tiles * params.tiles_channel);
    let block = channel_tile * ${BLOCKS}u;
    let pixels = params.width * params.height;

    // The tile [left, right) x [top, bottom); the rows [first_row, end_row) and the columns from first_column on are those with its halo.
    let left = (tile % params.tiles_x) * params.tile_width;
    let top = (tile / params.tiles_x) * params.tile_height;
    let right = min(left + params.tile_width, params.width);
    let bottom = min(top + params.tile_height, params.height);
    let first_row = max(top, ${D / 2}u) - ${D / 2}u;
    let end_row = min(bottom + ${D / 2}u, params.height);
#if !ROUTE
    let column = max(left, ${D / 2}u) - ${D / 2}u + lane * ${COLUMNS}u;
#import rows_columns
#endif
#for b in 0..BLOCKS
    let bias${b} = bias[block + ${b}u];
#endfor
    let input_base = params.input_offset + n * params.input_stride;
    let output_base = params.output_offset + n * params.output_stride;
    let ghost_base = output_base + params.blocks_primary * pixels;
#if GATE == 2 && LANES != 4
    let gates = opaque(params.gates, group);
#endif
#if RESIDUAL
    let residual_base = params.residual_offset + n * params.residual_stride;
#if ROUTE
    let ghost_residual = residual_base + params.blocks_primary * pixels;
#endif
#endif
#if RESIDUAL == 2
    let residuals = opaque(params.residuals, group);
#endif
#if ROUTE
#import rows_in_output
#else
#import rows_in_registers
#endif
}
