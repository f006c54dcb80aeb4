// pointwise: a 1x1 convolution, bias and activation; a gate on its input, a residual added to its
// output and an activation of that, or the mean over the map.
//
//   out[n, o, p] = activate_sum(activate(bias[o] + sum_i W[o, i] * gate[n, i] * in[n, i, p])
//                               + residual[n, o, p])
//
// input, output, residual: [n][block][pixel] blocks of four channels. gate: [n][block], f32.
// weight: [channel tile][input block][BLOCKS][input lane] rows of four output lanes, so that a tile
//     reads on contiguously. Input blocks are padded to a multiple of four with zeros.
// blocks (SCATTERED): which block of the input buffer each input block is, as f32, in fours.
// UNROLL (1, 2 or 4): input blocks that are under way at a time.
// POOL: a workgroup walks over the whole map and writes only its mean, [n][block].
// One invocation: PIXELS pixels of BLOCKS output blocks, in registers.
// One workgroup: WG * PIXELS pixels of one channel tile. All its weights have addresses that are
//     uniform over the workgroup (scalar loads on AMD).
// Workgroup memory: none; WG * BLOCKS * 16 bytes with POOL.
#import dtype
#import activation
#import grid

struct Params {
    pixels: u32,
    blocks_in: u32,
    blocks_out: u32,
    tiles_pixel: u32,
    tiles_channel: u32,
    workgroups: u32,
    input_offset: u32,
    input_stride: u32,
    output_offset: u32,
    output_stride: u32,
    residual_offset: u32,
    residual_stride: u32,
    unscale: u32,
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
#if SCATTERED
@group(0) @binding(7) var<storage, read> blocks: array<vec4<f32>>;

fn block_of(i: u32) -> u32 {
    return u32(blocks[i / 4u][i % 4u]);
}
#endif

const WG = ${WG}u;
#if POOL
#import reduce
#endif

// The activation of a block; its parameter, if it has one, lies behind the biases.
fn activated(v: vec4<f32>, block: u32) -> vec4<f32> {
#if ACTIVATION < 16
    return activate${ACTIVATION}(v);
#else
    return activate${ACTIVATION}(v, bias[params.tiles_channel * ${BLOCKS}u + block]);
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
#if POOL
    let channel_tile = index % params.tiles_channel;
    let n = index / params.tiles_channel;
#for b in 0..BLOCKS
    var pooled${b} = vec4<f32>(0.0);
#endfor
    for (var pixel_tile = 0u; pixel_tile < params.tiles_pixel; pixel_tile++) {
#else
    let pixel_tile = index % params.tiles_pixel;
    let channel_tile = (index / params.tiles_pixel) % params.tiles_channel;
    let n = index / (params.tiles_pixel * params.tiles_channel);
#endif
    let pixels = params.pixels;
    let block = channel_tile * ${BLOCKS}u;
    let first = pixel_tile * ${WG * PIXELS}u + lane;
    let input_base = params.input_offset + n * params.input_stride;
#for p in 0..PIXELS
    var at${p} = input_base + min(first + ${p * WG}u, params.pixels - 1u);
#for b in 0..BLOCKS
    var a${p}_${b} = bias[block + ${b}u];
#endfor
#endfor
#import sum_over_input
#if POOL
#for p in 0..PIXELS
    if first + ${p * WG}u < params.pixels {
#for b in 0..BLOCKS
        pooled${b} += activated(a${p}_${b}, block + ${b}u);
#endfor
    }
#endfor
    }
#for b in 0..BLOCKS
    sums_of[${b * WG}u + lane] = pooled${b};
#endfor
    reduce_sums(lane);
#for k in 0..(BLOCKS + WG - 1) / WG
    let of${k} = lane + ${k * WG}u;
    let written${k} = channel_tile * ${BLOCKS}u + of${k};
    if of${k} < ${BLOCKS}u && written${k} < params.blocks_out {
        let total = sums_of[of${k} * WG];
        output[params.output_offset + n * params.output_stride + written${k}] = pack(total / f32(params.pixels));
    }
#endfor
#else
    let output_base = params.output_offset + n * params.output_stride;
#if RESIDUAL
    let residual_base = params.residual_offset + n * params.residual_stride;
#endif
#for p in 0..PIXELS
    if first + ${p * WG}u < params.pixels {
#for b in 0..BLOCKS
        if block + ${b}u < params.blocks_out {
            let out_at = (block + ${b}u) * params.pixels + first + ${p * WG}u;
#if RESIDUAL
            output[output_base + out_at] = pack(activate${RESIDUAL_ACTIVATION}(activated(a${p}_${b}, block + ${b}u) + unpack(residual[residual_base + out_at])));
#else
            output[output_base + out_at] = pack(activated(a${p}_${b}, block + ${b}u));
#endif
        }
#endfor
    }
#endfor
#endif
}
