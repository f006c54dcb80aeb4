// ghost: a whole ghost module in one dispatch (Han et al., CVPR 2020, section 3.1). A 1x1 primary
// convolution makes the intrinsic maps. A depthwise D x D cheap operation makes RATIO - 1 ghosts of
// each. Both are written to their channel range.
//
//   y[n, o, p] = act1(bias[o] + sum_i W[o, i] * gate[n, i] * in[n, i, p])          intrinsic
//   z[n, r, o, p] = act2(cheap_bias[r, o] + sum_t C[r, o, t] * y[n, o, p + t])     ghosts
//   out = activate_sum(concat(y, z_0, z_1, ...) + residual)
//
// The cheap operation has zero padding D / 2.
// input, residual: [n][block][pixel] blocks of four channels.
// output: the same; the intrinsic maps' blocks, then each ghost group's.
// gate: [n][block], f32.
// weight: primary as in pointwise, then cheap [ghost group][block][D * D] at cheap_offset.
// bias: primary [block], then cheap [ghost group][block] at cheap_bias_offset.
// sums (SUMS): [n][tile][block], f32: sums of the output over the tile's pixels, for a
//     squeeze-and-excite that follows.
// One workgroup: BLOCKS intrinsic blocks on one tile of the map. Its intrinsic maps, halo included,
//     stay in workgroup memory.
// One invocation: in the first phase PIXELS pixels of the tile and its halo at a time, more than
//     once with CHUNKED; in the second strips of STRIP pixels of the tile.
// Workgroup memory: BLOCKS * CELLS * 16 bytes, 8 where F16 is 2; with SUMS (RATIO 2) and
//     WG * 2 * BLOCKS * 16.
#import dtype
#import activation
#import divide
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
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(2) var<storage, read> weight: array<Stored>;
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

const WG = ${WG}u;
const CELLS = ${CELLS}u;
// The intrinsic maps of the tile with a border of D / 2 cells, zero outside the map.
var<workgroup> maps: array<Factor, ${BLOCKS * CELLS}>;
#if SUMS
#import reduce
#endif

// The activation of an intrinsic block; its parameter, if it has one, lies behind the biases.
fn activated(v: vec4<f32>, block: u32) -> vec4<f32> {
#if ACTIVATION < 16
    return activate${ACTIVATION}(v);
#else
    return activate${ACTIVATION}(v, bias[params.tiles_channel * ${BLOCKS}u + block]);
#endif
}

// The activation of a block of ghosts; its parameter, if it has one, lies behind the biases.
fn activated_ghost(v: vec4<f32>, block: u32) -> vec4<f32> {
#if CHEAP_ACTIVATION < 16
    return activate${CHEAP_ACTIVATION}(v);
#else
    return activate${CHEAP_ACTIVATION}(v, bias[params.cheap_bias_offset + params.blocks_primary * params.ghost_groups + block]);
#endif
}

@compute @workgroup_size(${WG})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
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

    // The tile [left, right) x [top, bottom), and the part of tile plus halo that lies on the map.
    let left = (tile % params.tiles_x) * params.tile_width;
    let top = (tile / params.tiles_x) * params.tile_height;
    let right = min(left + params.tile_width, params.width);
    let bottom = min(top + params.tile_height, params.height);
    let rx0 = max(left, ${D / 2}u) - ${D / 2}u;
    let ry0 = max(top, ${D / 2}u) - ${D / 2}u;
    let region_width = min(right + ${D / 2}u, params.width) - rx0;
    let region = region_width * (min(bottom + ${D / 2}u, params.height) - ry0);
    let row = params.tile_width + ${D / 2 * 2}u;
    let cells = row * (params.tile_height + ${D / 2 * 2}u);
#if D > 1
    // Tiles within the map have no cell outside it.
    if region < cells {
        for (var cell = lane; cell < cells; cell += WG) {
            // Cell (0, 0) is pixel (left - D / 2, top - D / 2). The subtraction wraps round outside
            // the map, and fails the comparison.
            let cell_y = divide(cell, row);
            let cell_x = cell - cell_y * row;
            let inside = cell_x + left - ${D / 2}u < params.width && cell_y + top - ${D / 2}u < params.height;
            if !inside {
#for b in 0..BLOCKS
                maps[${b}u * CELLS + cell] = Factor();
#endfor
            }
        }
    }
#endif

    // Phase 1: the primary convolution on every pixel of the region, PIXELS of each invocation at a
    // time.
    let input_base = params.input_offset + n * params.input_stride;
#if CHUNKED
    for (var first = lane; first < region + lane; first += ${WG * PIXELS}u) {
#else
    let first = lane;
#endif
#for p in 0..PIXELS
    let r${p} = min(first + ${p * WG}u, region - 1u);
    let row${p} = divide(r${p}, region_width);
    let x${p} = rx0 + r${p} - row${p} * region_width;
    let y${p} = ry0 + row${p};
    var at${p} = input_base + y${p} * params.width + x${p};
#for b in 0..BLOCKS
    var a${p}_${b} = bias[block + ${b}u];
#endfor
#endfor
#import sum_over_input
#for p in 0..PIXELS
    let cell${p} = (y${p} + ${D / 2}u - top) * row + x${p} + ${D / 2}u - left;
    if first + ${p * WG}u < region {
#for b in 0..BLOCKS
        maps[${b}u * CELLS + cell${p}] = to_factor(activated(a${p}_${b}, block + ${b}u));
#endfor
    }
#endfor
#if CHUNKED
    }
#endif
    workgroupBarrier();

    // Phase 2: the cheap operation on every pixel of the tile, and both halves to memory.
    let output_base = params.output_offset + n * params.output_stride;
#if RESIDUAL
    let residual_base = params.residual_offset + n * params.residual_stride;
#endif
    let tile_width = right - left;
    // These are loops, not copies, since all their values come from workgroup memory, and copies
    // compile long. Each turn of the inner one makes STRIP neighbours of a row, which share most of
    // the cells that they need. The filter stays in registers.
    let strips_x = (tile_width + ${STRIP - 1}u) / ${STRIP}u;
    let strips = strips_x * (bottom - top);
    for (var b = 0u; b < ${BLOCKS}u; b++) {
#if SUMS
        var intrinsic_sum = vec4<f32>(0.0);
        var ghost_sum = vec4<f32>(0.0);
#endif
        let intrinsic_block = block + b;
        for (var r = 0u; r < select(0u, params.ghost_groups, intrinsic_block < params.blocks_primary); r++) {
            let cheap_block = r * params.blocks_primary + intrinsic_block;
            let cheap_bias = bias[params.cheap_bias_offset + cheap_block];
            let c = params.cheap_offset + cheap_block * ${D * D}u;
#for t in 0..D * D
            let c${t} = unpack(weight[c + ${t}u]);
#endfor
            for (var q = lane; q < strips; q += WG) {
                let ty = divide(q, strips_x);
                let tx = (q - ty * strips_x) * ${STRIP}u;
                let corner = b * CELLS + ty * row + tx;
                let pixel = (top + ty) * params.width + left + tx;
#for s in 0..STRIP
                var z${s} = cheap_bias;
#endfor
#for ky in 0..D
#for column in 0..STRIP + D - 1
                let v${ky}_${column} = vec4<f32>(maps[corner + ${ky}u * row + ${column}u]);
#for s in 0..STRIP
#if column >= s && column - s < D
                z${s} = fma(v${ky}_${column}, c${ky * D + column - s}, z${s});
#endif
#endfor
#endfor
#endfor
                // The middle row's cells are the intrinsic maps themselves: the first group of
                // ghosts takes them along.
                if r == 0u {
                    let at = intrinsic_block * pixels + pixel;
#for s in 0..STRIP
                    if tx + ${s}u < tile_width {
                        let intrinsic = v${D / 2}_${s + D / 2};
#if RESIDUAL
                        output[output_base + at + ${s}u] = pack(activate${RESIDUAL_ACTIVATION}(intrinsic + unpack(residual[residual_base + at + ${s}u])));
#else
                        output[output_base + at + ${s}u] = pack(intrinsic);
#endif
#if SUMS
                        intrinsic_sum += intrinsic;
#endif
                    }
#endfor
                }
                let at = (params.blocks_primary + cheap_block) * pixels + pixel;
#for s in 0..STRIP
                if tx + ${s}u < tile_width {
                    z${s} = activated_ghost(z${s}, cheap_block);
#if RESIDUAL
                    output[output_base + at + ${s}u] = pack(activate${RESIDUAL_ACTIVATION}(z${s} + unpack(residual[residual_base + at + ${s}u])));
#else
                    output[output_base + at + ${s}u] = pack(z${s});
#endif
#if SUMS
                    ghost_sum += z${s};
#endif
                }
#endfor
            }
        }
#if SUMS
        sums_of[b * WG + lane] = intrinsic_sum;
        sums_of[(${BLOCKS}u + b) * WG + lane] = ghost_sum;
#endif
    }
#if SUMS
    reduce_sums(lane);
    // Lanes 0 .. BLOCKS hold the intrinsic blocks, the next BLOCKS the ghosts.
    let summed = block + lane % ${BLOCKS}u;
    if lane < ${2 * BLOCKS}u && summed < params.blocks_primary {
        let to = summed + select(0u, params.blocks_primary, lane >= ${BLOCKS}u);
        sums[(n * tiles + tile) * params.blocks_primary * 2u + to] = sums_of[lane * WG];
    }
#endif
}
