// linear: a matrix times a vector, bias and activation, on one-pixel maps.
//
//   out[n, o] = activate(bias[o] + sum_i W[o, i] * in[n, i])
//
// input, output: [n][block] blocks of four channels.
// weight: [output block][input block][input lane] rows of four output lanes.
// One workgroup: one output block of one image. Its invocations stride over the input blocks
//     together, so that reads stay contiguous, and add up in workgroup memory.
// Workgroup memory: WG * 16 bytes.
#import dtype
#import activation
#import grid

struct Params {
    blocks_in: u32,
    blocks_out: u32,
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
#import reduce

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
    let block = index % params.blocks_out;
    let n = index / params.blocks_out;
    let base = params.input_offset + n * params.input_stride;
    var total = vec4<f32>(0.0);
    for (var i = lane; i < params.blocks_in; i += WG) {
        let x = unpack(input[base + i]);
        let w = (block * params.blocks_in + i) * 4u;
        total = fma(vec4<f32>(x.x), unpack(weight[w]), total);
        total = fma(vec4<f32>(x.y), unpack(weight[w + 1u]), total);
        total = fma(vec4<f32>(x.z), unpack(weight[w + 2u]), total);
        total = fma(vec4<f32>(x.w), unpack(weight[w + 3u]), total);
    }
    sums_of[lane] = total;
    reduce_sums(lane);
    if lane == 0u {
        output[params.output_offset + n * params.output_stride + block] = pack(activated(sums_of[0] + bias[block], block));
    }
}
