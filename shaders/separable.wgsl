// separable: depthwise k x k, then 1x1, in one dispatch: the shortcut of a bottleneck that changes
// shape.
//
//   y[n, i, p] = depthwise_bias[i] + sum_t D[i, t] * in[n, i, p * stride - pad + t]
//   out[n, o, p] = activate(bias[o] + sum_i W[o, i] * act1(y[n, i, p]))
//
// input, output: [n][block][pixel] blocks of four channels.
// weight: the 1x1 as in pointwise (padded as there), then depthwise [block][KH * KW] at
//     depthwise_offset.
// bias: 1x1 [block], then depthwise [block] at depthwise_bias_offset.
// One invocation: one output pixel of BLOCKS output blocks. The depthwise value of each input block
//     is made on the way and used at once, so that nothing goes through memory. It is made again
//     for each channel tile, so BLOCKS is chosen large.
// Taps are unrolled, so that a GPU has all loads of a block under way at once.
// One workgroup: WG pixels of one channel tile. Workgroup memory: none.
#import dtype
#import activation
#import grid

struct Params {
    width_in: u32,
    height_in: u32,
    width_out: u32,
    pixels_out: u32,
    stride_y: u32,
    stride_x: u32,
    pad_y: u32,
    pad_x: u32,
    blocks_in: u32,
    blocks_out: u32,
    depthwise_offset: u32,
    depthwise_bias_offset: u32,
    tiles_pixel: u32,
    tiles_channel: u32,
    workgroups: u32,
    input_offset: u32,
    input_stride: u32,
    output_offset: u32,
    output_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(2) var<storage, read> weight: array<Stored>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;

const WG = ${WG}u;

// The activation of a block; its parameter, if it has one, lies behind the biases.
fn activated(v: vec4<f32>, block: u32) -> vec4<f32> {
#if ACTIVATION < 16
    return activate${ACTIVATION}(v);
#else
    return activate${ACTIVATION}(v, bias[params.tiles_channel * ${BLOCKS}u + block]);
#endif
}

// The activation of a block of the depthwise convolution; its parameter, if it has one, lies behind
// the biases.
fn activated_first(v: vec4<f32>, block: u32) -> vec4<f32> {
#if DEPTHWISE_ACTIVATION < 16
    return activate${DEPTHWISE_ACTIVATION}(v);
#else
    return activate${DEPTHWISE_ACTIVATION}(v, bias[params.depthwise_bias_offset + params.blocks_in + block]);
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
    let first = pixel_tile * WG + lane;
    let pixel = min(first, params.pixels_out - 1u);
    let y = (pixel / params.width_out) * params.stride_y;
    let x = (pixel % params.width_out) * params.stride_x;
    // Each tap's offset in the plane, and whether it falls on the map. Outside, the subtraction
    // wraps round and fails the comparison.
#for ky in 0..KH
    let iy${ky} = y + ${ky}u - params.pad_y;
#endfor
#for kx in 0..KW
    let ix${kx} = x + ${kx}u - params.pad_x;
#endfor
#for ky in 0..KH
#for kx in 0..KW
    let ok${ky}_${kx} = iy${ky} < params.height_in && ix${kx} < params.width_in;
    let tap${ky}_${kx} = select(0u, iy${ky} * params.width_in + ix${kx}, ok${ky}_${kx});
#endfor
#endfor
    let plane = params.width_in * params.height_in;
    var base = params.input_offset + n * params.input_stride;
#for b in 0..BLOCKS
    var a${b} = bias[block + ${b}u];
#endfor
    // The row's number is a multiple of a constant, as in sum_over_input.
    var turn = channel_tile * ((params.blocks_in + 3u) / 4u) * 4u;
    var d = params.depthwise_offset;
    for (var i = 0u; i < params.blocks_in; i++) {
        var v = bias[params.depthwise_bias_offset + i];
#for ky in 0..KH
#for kx in 0..KW
        v = fma(unpack(select(Stored(), input[base + tap${ky}_${kx}], ok${ky}_${kx})), unpack(weight[d + ${ky * KW + kx}u]), v);
#endfor
#endfor
        d += ${KH * KW}u;
        v = activated_first(v, i);
#for b in 0..BLOCKS
        a${b} = fma(vec4<f32>(v.x), unpack(weight[turn * ${BLOCKS * 4}u + ${b * 4}u]), a${b});
        a${b} = fma(vec4<f32>(v.y), unpack(weight[turn * ${BLOCKS * 4}u + ${b * 4 + 1}u]), a${b});
        a${b} = fma(vec4<f32>(v.z), unpack(weight[turn * ${BLOCKS * 4}u + ${b * 4 + 2}u]), a${b});
        a${b} = fma(vec4<f32>(v.w), unpack(weight[turn * ${BLOCKS * 4}u + ${b * 4 + 3}u]), a${b});
#endfor
        base += plane;
        turn++;
    }
    if first < params.pixels_out {
        let output_base = params.output_offset + n * params.output_stride;
#for b in 0..BLOCKS
        if block + ${b}u < params.blocks_out {
            output[output_base + (block + ${b}u) * params.pixels_out + pixel] = pack(activated(a${b}, block + ${b}u));
        }
#endfor
    }
}
