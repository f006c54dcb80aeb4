// relayout: copies a tensor into another order of physical channels, where a concatenation or a
// slice could not be laid out free.
//
//   out[n, lane l, p] = in[n, lane table[l], p], or 0 where table[l] is negative (padding)
//
// input, output: [n][block][pixel] blocks of four channels.
// table: [output block] physical input lanes, as f32.
// One invocation: one block of one pixel. Workgroup memory: none.
#import dtype
#import grid

struct Params {
    pixels: u32,
    blocks_out: u32,
    outputs: u32,
    workgroups: u32,
    input_offset: u32,
    input_stride: u32,
    output_offset: u32,
    output_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(3) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;

const WG = ${WG}u;

fn fetch(base: u32, lane: f32) -> f32 {
    let source = u32(max(lane, 0.0));
    let v = unpack(input[base + (source / 4u) * params.pixels]);
    let low = select(v.x, v.y, (source & 1u) != 0u);
    let high = select(v.z, v.w, (source & 1u) != 0u);
    return select(0.0, select(low, high, (source & 2u) != 0u), lane >= 0.0);
}

@compute @workgroup_size(${WG})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let out = workgroup_index(group, groups) * WG + lane;
    if out >= params.outputs {
        return;
    }
    let pixel = out % params.pixels;
    let block = (out / params.pixels) % params.blocks_out;
    let n = out / (params.pixels * params.blocks_out);
    let base = params.input_offset + n * params.input_stride + pixel;
    let lanes = table[block];
    let v = vec4<f32>(fetch(base, lanes.x), fetch(base, lanes.y), fetch(base, lanes.z), fetch(base, lanes.w));
    output[params.output_offset + n * params.output_stride + block * params.pixels + pixel] = pack(v);
}
