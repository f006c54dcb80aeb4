// sample: a window of a picture, bilinearly, to a network's normalised input.
//
//   line[q, x] = source[first[x], q] * (1 - share[x]) + source[second[x], q] * share[x]
//   pixel[y, x] = line[first[y], x] * (1 - share[y]) + line[second[y], x] * share[y]
//   out[c, y, x] = (pixel[y, x][c] - mean[c]) / std[c]
//
// A pixel beyond the picture is pad. There is no rounding in between.
// source: the part of the picture that the windows need, as RGBA8 words (red lowest, alpha unused),
//     or in the variant TEXTURE as rgba8unorm (1), or as a frame that a browser lends (2).
// table: from table_first on, for each column of the window, then for each row, two pixels of the
//     source and the second one's share. NONE is beyond the picture.
// output: [1 block][pixel], the fourth lane 0. In the variant NHWC the rows are the channels:
//     [block of four rows][column, channel].
// mean, std: of the tensor's channels, blue first in the variant BGR; pad: red, green and blue.
//     Params hold their bits.
// One invocation: a pixel, or in NHWC one channel of four rows. Workgroup memory: none.
#import dtype
#import grid

struct Params {
    outputs: u32,
    workgroups: u32,
    width: u32,
    height: u32,
    source_width: u32,
    table_first: u32,
#for c in 0..3
    mean_${c}: u32,
#endfor
#for c in 0..3
    std_${c}: u32,
#endfor
#for c in 0..3
    pad_${c}: u32,
#endfor
}

struct Tap {
    first: u32,
    second: u32,
    share: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if TEXTURE == 2
@group(0) @binding(1) var source: texture_external;
#endif
#if TEXTURE == 1
@group(0) @binding(1) var source: texture_2d<f32>;
#endif
#if TEXTURE == 0
@group(0) @binding(1) var<storage, read> source: array<u32>;
#endif
@group(0) @binding(2) var<storage, read> table: array<Tap>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;

const WG = ${WG}u;
const NONE = 0xffffffffu;

fn levels(x: u32, y: u32) -> vec3<f32> {
#if TEXTURE == 2
    return floor(textureLoad(source, vec2<u32>(x, y)).rgb * 255.0 + 0.5);
#endif
#if TEXTURE == 1
    return floor(textureLoad(source, vec2<u32>(x, y), 0).rgb * 255.0 + 0.5);
#endif
#if TEXTURE == 0
    let rgba = source[y * params.source_width + x];
    return vec3<f32>(vec3<u32>(rgba, rgba >> 8u, rgba >> 16u) & vec3<u32>(255u));
#endif
}

fn between(column: Tap, y: u32) -> vec3<f32> {
    return levels(column.first, y) * (1.0 - column.share) + levels(column.second, y) * column.share;
}

// The tensor's channels of a pixel of the window.
fn sampled(x: u32, y: u32) -> vec3<f32> {
    let column = table[params.table_first + x];
    let row = table[params.table_first + params.width + y];
    var rgb = bitcast<vec3<f32>>(vec3<u32>(params.pad_0, params.pad_1, params.pad_2));
    if column.first != NONE && row.first != NONE {
        rgb = between(column, row.first) * (1.0 - row.share) + between(column, row.second) * row.share;
    }
    let mean = bitcast<vec3<f32>>(vec3<u32>(params.mean_0, params.mean_1, params.mean_2));
    let deviation = bitcast<vec3<f32>>(vec3<u32>(params.std_0, params.std_1, params.std_2));
#if BGR
    return (rgb.bgr - mean) / deviation;
#else
    return (rgb - mean) / deviation;
#endif
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
#if NHWC
    let block = out / (params.width * 3u);
    let pixel = out % (params.width * 3u);
    var v = vec4<f32>(0.0);
#for l in 0..4
    if block * 4u + ${l}u < params.height {
        v[${l}] = sampled(pixel / 3u, block * 4u + ${l}u)[pixel % 3u];
    }
#endfor
    output[out] = pack(v);
#else
    output[out] = pack(vec4<f32>(sampled(out % params.width, out / params.width), 0.0));
#endif
}
