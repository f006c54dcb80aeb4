// conv2d: a convolution of any kernel, stride, padding, dilation and groups, bias and activation; a
// residual added to its output and an activation of that.
//
//   out[n, o, y, x] = activate(bias[o] + sum_{i, ky, kx} W[o, i, ky, kx]
//                   * in[n, i, y * stride - pad + ky * dilation, x * stride - pad + kx * dilation])
//   or out = activate_sum(that + residual[n, o, y, x])
//
// input, output, residual: [n][block][pixel] blocks of four channels.
// weight: [channel tile][input block of the window][KH * KW][BLOCKS][input lane] rows of four
//     output lanes.
// bias: [block], then each channel tile's first input block, as f32 in lane x, at first_offset.
// The window of a tile is the `blocks_window` input blocks that it sums over: all without groups,
// else those that hold its groups' channels. Weights of channels outside a lane's group are zero.
// DEPTH: lanes of an input block that have a channel: fewer than 4 only where there is one block.
// One invocation: PIXELS pixels of BLOCKS output blocks.
// One workgroup: WG * PIXELS pixels of one channel tile. Workgroup memory: none.
#import dtype
#import activation
#import grid

struct Params {
    width_in: u32,
    height_in: u32,
    width_out: u32,
    pixels_out: u32,
    kernel_y: u32,
    kernel_x: u32,
    stride_y: u32,
    stride_x: u32,
    pad_y: u32,
    pad_x: u32,
    dilation_y: u32,
    dilation_x: u32,
    blocks_window: u32,
    blocks_out: u32,
    first_offset: u32,
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
#if RESIDUAL
@group(0) @binding(5) var<storage, read> residual: array<Stored>;
#endif

const WG = ${WG}u;

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
    let pixel_tile = index % params.tiles_pixel;
    let channel_tile = (index / params.tiles_pixel) % params.tiles_channel;
    let n = index / (params.tiles_pixel * params.tiles_channel);
    let block = channel_tile * ${BLOCKS}u;
    let pixels_in = params.width_in * params.height_in;
    let kernel_y = params.kernel_y;
    let kernel_x = params.kernel_x;
    var plane = params.input_offset + n * params.input_stride + u32(bias[params.first_offset + channel_tile].x) * pixels_in;
    let first = pixel_tile * ${WG * PIXELS}u + lane;
#for p in 0..PIXELS
    let pixel${p} = min(first + ${p * WG}u, params.pixels_out - 1u);
    let y${p} = (pixel${p} / params.width_out) * params.stride_y;
    let x${p} = (pixel${p} % params.width_out) * params.stride_x;
#for b in 0..BLOCKS
    var a${p}_${b} = bias[block + ${b}u];
#endfor
#endfor
#if F16 == 2
    let unscale = vec4<f32>(bitcast<f32>(params.unscale));
#endif
    // The row's number is a multiple of a constant, as in sum_over_input.
    var turn = channel_tile * params.blocks_window * params.kernel_y * params.kernel_x;
    for (var i = 0u; i < params.blocks_window; i++) {
        for (var ky = 0u; ky < kernel_y; ky++) {
            let dy = ky * params.dilation_y;
            for (var kx = 0u; kx < kernel_x; kx++) {
                let dx = kx * params.dilation_x;
#for p in 0..PIXELS
                // The subtraction wraps round left of or above the map, and fails the comparison.
                let iy${p} = y${p} + dy - params.pad_y;
                let ix${p} = x${p} + dx - params.pad_x;
                let ok${p} = (iy${p} < params.height_in) & (ix${p} < params.width_in);
                let v${p} = factor(select(Stored(), input[plane + select(0u, iy${p} * params.width_in + ix${p}, ok${p})], ok${p}));
#endfor
#for b in 0..BLOCKS
#for j in 0..DEPTH
                let w${b}_${j} = factor(weight[turn * ${BLOCKS * 4}u + ${b * 4 + j}u]);
#endfor
#for p in 0..PIXELS
#if F16 == 2
                var s${p}_${b} = v${p}.x * w${b}_0;
#for j in 1..DEPTH
                s${p}_${b} = fma(Factor(v${p}[${j}]), w${b}_${j}, s${p}_${b});
#endfor
                a${p}_${b} = fma(vec4<f32>(s${p}_${b}), unscale, a${p}_${b});
#else
#for j in 0..DEPTH
                a${p}_${b} = fma(vec4<f32>(v${p}[${j}]), w${b}_${j}, a${p}_${b});
#endfor
#endif
#endfor
#endfor
                turn++;
            }
        }
        plane += pixels_in;
    }
    let output_base = params.output_offset + n * params.output_stride;
#if RESIDUAL
    let residual_base = params.residual_offset + n * params.residual_stride;
#endif
#for p in 0..PIXELS
    if first + ${p * WG}u < params.pixels_out {
#for b in 0..BLOCKS
        if block + ${b}u < params.blocks_out {
            let out_at = (block + ${b}u) * params.pixels_out + pixel${p};
#if RESIDUAL
            output[output_base + out_at] = pack(activate${RESIDUAL_ACTIVATION}(activated(a${p}_${b}, block + ${b}u) + unpack(residual[residual_base + out_at])));
#else
            output[output_base + out_at] = pack(activated(a${p}_${b}, block + ${b}u));
#endif
        }
#endfor
    }
#endfor
}
