// linear: matrix-vector product + bias + activation, on one-pixel maps.
//
//   out[n, o] = activate(bias[o] + sum_i W[o, i] * in[n, i])
//
// input, output: [n][block] blocks of four. weight: [output block][input block][input lane] rows of four output lanes.
// One workgroup: one output block of one image; its invocations stride over the input blocks together (reads stay contiguous) and
// add up in workgroup memory. With LANES as many output blocks as invocations, one subgroup, of which each loads an input block and hands it on.
// tiles: workgroups of an image. Workgroup memory: WG * 16 bytes; none with LANES.
#import dtype
#import activation
#import grid

struct Params {
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
@group(0) @binding(1) var<storage, read> input: array<Stored>;
#if WIDE
@group(0) @binding(2) var<storage, read> weight: array<StoredPair>;
#else
#import weight
#endif
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;

const WG = ${WG}u;
#if LANES
#else
#import reduce
#endif

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
    let n = index / params.tiles;
    let base = params.input_offset + n * params.input_stride;
    var total = vec4<f32>(0.0);
#if LANES
    let block = tile * ${LANES}u + lane;
    let count = opaque(params.blocks_in, group);
    let rows = min(block, params.blocks_out - 1u) * count * 4u;
    let step = 4u;
    for (var i = 0u; i < count; i += ${LANES}u) {
        let values = unpack(input[base + min(i + lane, count - 1u)]);
#import multiply_shared
    }
    let writes = block < params.blocks_out;
#else
    let block = tile;
    for (var i = lane; i < params.blocks_in; i += WG) {
        let x = unpack(input[base + i]);
        let w = (block * params.blocks_in + i) * 4u;
#import multiply_rows
    }
    sums_of[lane] = total;
    reduce_sums(lane);
    total = sums_of[0];
    let writes = lane == 0u;
#endif
    if writes {
        output[params.output_offset + n * params.output_stride + block] = pack(activate${ACTIVATION}(total + bias[block]));
    }
}
