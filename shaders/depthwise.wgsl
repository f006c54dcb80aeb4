// depthwise: a k x k convolution of each channel by itself, bias and activation.
//
//   out[n, c, y, x] = activate(bias[c] + sum_{ky, kx} W[c, ky, kx]
//                   * in[n, c mod C_in, y * stride - pad + ky, x * stride - pad + kx])
//
// input, output: [n][block][pixel] blocks of four channels. With a channel multiplier the output's
//     blocks are copies of the input's, one a multiple: block b reads input block b mod blocks_in.
// weight: [block][KH * KW].
// sums (SUMS): [n][tile][block], f32: sums of the output over the tile's pixels, for a
//     squeeze-and-excite that follows.
// SAME: input and output are ranges of one buffer, which a dispatch may bind only once.
// One invocation: PIXELS neighbouring pixels of one row, which share the columns that both need.
// One workgroup: WG such runs of one block, a tile.
// Workgroup memory: none; WG * 16 bytes with SUMS.
#import dtype
#import activation
#import grid

struct Params {
    width_in: u32,
    height_in: u32,
    width_out: u32,
    height_out: u32,
    pad_x: u32,
    pad_y: u32,
    blocks_in: u32,
    blocks_out: u32,
    tiles: u32,
    workgroups: u32,
    input_offset: u32,
    input_stride: u32,
    output_offset: u32,
    output_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if SAME
@group(0) @binding(1) var<storage, read_write> output: array<Stored>;
#else
@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;
#endif
@group(0) @binding(2) var<storage, read> weight: array<Stored>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
#if SUMS
@group(0) @binding(7) var<storage, read_write> sums: array<vec4<f32>>;
#endif

const WG = ${WG}u;
#if SUMS
#import reduce
#endif

fn load(at: u32) -> Stored {
#if SAME
    return output[at];
#else
    return input[at];
#endif
}

// The activation of a block; its parameter, if it has one, lies behind the biases.
fn activated(v: vec4<f32>, block: u32) -> vec4<f32> {
#if ACTIVATION < 16
    return activate${ACTIVATION}(v);
#else
    return activate${ACTIVATION}(v, bias[params.blocks_out + block]);
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
    let tile = index % params.tiles;
    let block = (index / params.tiles) % params.blocks_out;
    let n = index / (params.tiles * params.blocks_out);
    let runs_in_row = (params.width_out + ${PIXELS - 1}u) / ${PIXELS}u;
    let run = tile * WG + lane;
    let y = run / runs_in_row;
    let x = (run % runs_in_row) * ${PIXELS}u;
#if SUMS
    var sum = vec4<f32>(0.0);
#endif
    if y < params.height_out {
        let input_base = params.input_offset + n * params.input_stride + (block % params.blocks_in) * params.width_in * params.height_in;
        let output_at = params.output_offset + n * params.output_stride + (block * params.height_out + y) * params.width_out + x;
#for p in 0..PIXELS
        var a${p} = bias[block];
#endfor
        let w = block * ${KH * KW}u;
        for (var ky = 0u; ky < ${KH}u; ky++) {
            // The subtraction wraps round left of or above the map, and fails the comparison.
            let iy = y * ${STRIDE_Y}u + ky - params.pad_y;
            let row_ok = iy < params.height_in;
            let row_at = input_base + select(0u, iy, row_ok) * params.width_in;
#for kx in 0..KW
            let w${kx} = unpack(weight[w + ky * ${KW}u + ${kx}u]);
#endfor
#for column in 0..(PIXELS - 1) * STRIDE_X + KW
            {
                let ix = x * ${STRIDE_X}u + ${column}u - params.pad_x;
                let ok = row_ok & (ix < params.width_in);
                let v = unpack(select(Stored(), load(row_at + select(0u, ix, ok)), ok));
#for p in 0..PIXELS
#if column >= p * STRIDE_X && column - p * STRIDE_X < KW
                a${p} = fma(v, w${column - p * STRIDE_X}, a${p});
#endif
#endfor
            }
#endfor
        }
#for p in 0..PIXELS
        if x + ${p}u < params.width_out {
            a${p} = activated(a${p}, block);
            output[output_at + ${p}u] = pack(a${p});
#if SUMS
            sum += a${p};
#endif
        }
#endfor
    }
#if SUMS
    sums_of[lane] = sum;
    reduce_sums(lane);
    if lane == 0u {
        sums[(n * params.tiles + tile) * params.blocks_out + block] = sums_of[0];
    }
#endif
}
