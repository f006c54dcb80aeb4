// top_k: the largest channels of each pixel, or their places.
//
//   out[n, r, p] = the value, or the number, of the channel that has r channels before it
//
// A channel comes before another if its value is larger (SMALLEST: smaller), or as large and its
// number lower (LAST: higher).
// input, output: [n][block][pixel] blocks of four channels, in their order; padding becomes 0.
// PLACES: the channels' numbers are written.
// One invocation: a pixel. Workgroup memory: none.
#import dtype
#import grid

struct Params {
    channels: u32,
    pixels: u32,
    k: u32,
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

// Whether the channel a with the value v comes before the channel b with the value w.
fn is_before(v: f32, a: u32, w: f32, b: u32) -> bool {
#if SMALLEST
    let is_more = v < w;
#else
    let is_more = v > w;
#endif
#if LAST
    return is_more || (v == w && a > b);
#else
    return is_more || (v == w && a < b);
#endif
}

@compute @workgroup_size(${WG})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup_index(group, groups) * WG + lane;
    if number >= params.outputs {
        return;
    }
    let n = number / params.pixels;
    let pixel = number % params.pixels;
    let at = params.input_offset + n * params.input_stride + pixel;
    let to = params.output_offset + n * params.output_stride + pixel;
    var last = 0.0;
    var last_place = 0u;
    var block = vec4<f32>(0.0);
    for (var rank = 0u; rank < params.k; rank++) {
        var best = 0.0;
        var place = params.channels;
        for (var channel = 0u; channel < params.channels; channel++) {
            let v = unpack(input[at + channel / 4u * params.pixels])[channel % 4u];
            let is_left = rank == 0u || is_before(last, last_place, v, channel);
            if is_left && (place == params.channels || is_before(v, channel, best, place)) {
                best = v;
                place = channel;
            }
        }
        last = best;
        last_place = place;
#if PLACES
        block[rank % 4u] = f32(place);
#else
        block[rank % 4u] = best;
#endif
        if rank % 4u == 3u || rank + 1u == params.k {
            output[to + rank / 4u * params.pixels] = pack(block);
            block = vec4<f32>(0.0);
        }
    }
}
