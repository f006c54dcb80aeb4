// resize: resamples one image, crops it and normalises it to the network's input, as Pillow 13
// (src/libImaging/Resample.c) and timm do it: two passes of 22-bit fixed-point weights, with 8 bits
// in between.
//
//   between[i, q] = clip8(sum over t of source[first[i].start + t, q] * first[i].weight[t])
//   pixel[i, j] = clip8(sum over t of between[i, second[j].start + t] * second[j].weight[t])
//   out[c, pixel] = pixel[c] * scale[c] + shift[c]
//
// i is along the axis that is filtered first; q and j are along the other.
// source: the part of the image that the crop needs, as RGBA8 words (red lowest, alpha unused), or
//     in the variant TEXTURE as rgba8unorm.
// table: for each column of the crop, then for each row, its first source pixel, how many there
//     are, and where in table their weights start; then the weights. Pixels that only pad the crop
//     have none and become black.
// output, scale_shift: as in preprocess.
// One invocation: a pixel of the crop.
// One workgroup: TILE x TILE pixels. It goes along the source pixels that the second filter needs
//     in chunks of TILE, each of which the first filter brings into workgroup memory. So any
//     reduction fits. Where two tiles need the same source pixels both filter them.
// Workgroup memory: TILE * TILE * 4 bytes.
#import dtype
#import grid

struct Params {
    workgroups: u32,
    tiles_first: u32,
    width: u32,
    height: u32,
    source_width: u32,
    across_first: u32,
    output_offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if TEXTURE
@group(0) @binding(1) var source: texture_2d<f32>;
#else
@group(0) @binding(1) var<storage, read> source: array<u32>;
#endif
@group(0) @binding(2) var<storage, read> table: array<i32>;
@group(0) @binding(3) var<storage, read> scale_shift: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;

const TILE = ${TILE}u;
const BITS = 22u;
const HALF = 1 << (BITS - 1u);

var<workgroup> between: array<u32, ${TILE * TILE}>;

struct Span {
    start: u32,
    end: u32,
    weights: u32,
}

fn span(at: u32) -> Span {
    let start = u32(table[at * 3u]);
    return Span(start, start + u32(table[at * 3u + 1u]), u32(table[at * 3u + 2u]));
}

fn levels(rgba: u32) -> vec3<i32> {
    return vec3<i32>((vec3<u32>(rgba, rgba >> 8u, rgba >> 16u)) & vec3<u32>(255u));
}

fn clip8(sum: vec3<i32>) -> vec3<i32> {
    return clamp(sum >> vec3<u32>(BITS), vec3<i32>(0), vec3<i32>(255));
}

@compute @workgroup_size(${TILE * TILE})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = workgroup_index(group, groups);
    if tile >= params.workgroups {
        return;
    }
    let across = params.across_first != 0u;
    let size = select(vec2<u32>(params.height, params.width), vec2<u32>(params.width, params.height), across);
    let spans = select(vec2<u32>(params.width, 0u), vec2<u32>(0u, params.width), across);
    let corner = vec2<u32>(tile % params.tiles_first, tile / params.tiles_first) * TILE;
    // Neighbouring invocations take neighbours in a row of the source.
    let along = vec2<u32>(lane % TILE, lane / TILE);
    let local = select(along.yx, along, across);
    let at = min(corner + local, size - 1u);
    let first = span(spans.x + at.x);
    let second = span(spans.y + at.y);
    let begin = span(spans.y + corner.y).start;
    let end = span(spans.y + min(corner.y + TILE, size.y) - 1u).end;

    var sum = vec3<i32>(HALF);
    for (var base = begin; base < end; base += TILE) {
        let q = min(base + local.y, end - 1u);
        var narrow = vec3<i32>(HALF);
#if !TEXTURE
        let origin = q * select(1u, params.source_width, across);
        let step = select(params.source_width, 1u, across);
#endif
        for (var p = first.start; p < first.end; p++) {
#if TEXTURE
            let texel = textureLoad(source, select(vec2<u32>(q, p), vec2<u32>(p, q), across), 0);
            narrow += vec3<i32>(texel.rgb * 255.0 + 0.5) * table[first.weights + p - first.start];
#else
            narrow += levels(source[origin + p * step]) * table[first.weights + p - first.start];
#endif
        }
        let rgb = vec3<u32>(clip8(narrow));
        between[local.y * TILE + local.x] = rgb.x | (rgb.y << 8u) | (rgb.z << 16u);
        workgroupBarrier();
        let stop = min(base + TILE, second.end);
        for (var r = max(base, second.start); r < stop; r++) {
            sum += levels(between[(r - base) * TILE + local.x]) * table[second.weights + r - second.start];
        }
        workgroupBarrier();
    }
    if all(corner + local < size) {
        let xy = select(at.yx, at, across);
        let pixel = vec4<f32>(vec3<f32>(clip8(sum)), 0.0);
        output[params.output_offset + xy.y * params.width + xy.x] = pack(fma(pixel, scale_shift[0], scale_shift[1]));
    }
}
