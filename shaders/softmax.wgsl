// softmax: the share of each channel in its pixel.
//
//   out[n, c, p] = exp(in[n, c, p] - most) / sum over k of exp(in[n, k, p] - most)
//   where most is the largest of the pixel's channels
//
// input, output: [n][block][pixel] blocks of four channels, in their order; padding becomes 0.
// LANES invocations: one pixel, LANES blocks apart. One workgroup: WG / LANES pixels.
// Workgroup memory: WG * 4 bytes.
#import dtype
#import grid

struct Params {
    channels: u32,
    blocks: u32,
    pixels: u32,
    outputs: u32,
    workgroups: u32,
    input_offset: u32,
    input_stride: u32,
    output_offset: u32,
    output_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;

const WG = ${WG}u;
const LANES = ${LANES}u;
const LEAST = -3.4e38;

var<workgroup> found: array<f32, ${WG}>;

// A block's channels, with `otherwise` where there is none.
fn block_of(at: u32, block: u32, otherwise: f32) -> vec4<f32> {
    let there = vec4<u32>(block * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.channels);
    return select(vec4<f32>(otherwise), unpack(input[at + block * params.pixels]), there);
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
    let number = index * (WG / LANES) + lane / LANES;
    let is_pixel = number < params.outputs;
    // Invocations without a pixel compute the last again, so that all reach the barriers.
    let counted = min(number, params.outputs - 1u);
    let n = counted / params.pixels;
    let pixel = counted % params.pixels;
    let part = lane % LANES;
    let at = params.input_offset + n * params.input_stride + pixel;

    var most = LEAST;
    for (var block = part; block < params.blocks; block += LANES) {
        let v = block_of(at, block, LEAST);
        most = max(most, max(max(v.x, v.y), max(v.z, v.w)));
    }
    found[lane] = most;
    for (var half = LANES / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if part < half {
            found[lane] = max(found[lane], found[lane + half]);
        }
    }
    workgroupBarrier();
    most = found[lane - part];
    workgroupBarrier();
    var total = 0.0;
    for (var block = part; block < params.blocks; block += LANES) {
        let v = exp(block_of(at, block, LEAST) - most);
        total += v.x + v.y + v.z + v.w;
    }
    found[lane] = total;
    for (var half = LANES / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if part < half {
            found[lane] += found[lane + half];
        }
    }
    workgroupBarrier();
    total = found[lane - part];
    if !is_pixel {
        return;
    }
    let to = params.output_offset + n * params.output_stride + pixel;
    for (var block = part; block < params.blocks; block += LANES) {
        output[to + block * params.pixels] = pack(exp(block_of(at, block, LEAST) - most) / total);
    }
}
