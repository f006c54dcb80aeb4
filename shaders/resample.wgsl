// resample: maps of another size, as ONNX's Resize makes them of the nearest pixel or of four.
//
//   out[n, c, y, x] = in[n, c, first(y), first(x)]                                  nearest
//   out[n, c, y, x] = sum over i of first(y), second(y) and j of first(x), second(x)
//                     of weight(i) * weight(j) * in[n, c, i, j]                     BILINEAR
//   out *= other[n, c, y, x]                                                       PRODUCT
//
// input, other, output: [n][block][pixel] blocks of four channels in one channel order.
// table: for each row of the output, then for each column: (first, second, weight of the second,
// 0). The weight of the first is the rest to 1.
// The host makes the table in f64, so that all devices agree which pixel is nearest.
// One invocation: one block of one pixel. Workgroup memory: none.
#import dtype
#import grid

struct Params {
    width_in: u32,
    pixels_in: u32,
    width_out: u32,
    height_out: u32,
    blocks: u32,
    outputs: u32,
    workgroups: u32,
    input_offset: u32,
    input_stride: u32,
    other_offset: u32,
    other_stride: u32,
    output_offset: u32,
    output_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;
#if PRODUCT
@group(0) @binding(2) var<storage, read> other: array<Stored>;
#endif
@group(0) @binding(3) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> output: array<Stored>;

const WG = ${WG}u;

#if BILINEAR
fn blend(first: vec4<f32>, second: vec4<f32>, weight: f32) -> vec4<f32> {
    return fma(second, vec4<f32>(weight), first * (1.0 - weight));
}
#endif

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
    let pixels_out = params.width_out * params.height_out;
    let pixel = out % pixels_out;
    let block = (out / pixels_out) % params.blocks;
    let n = out / (pixels_out * params.blocks);
    let base = params.input_offset + n * params.input_stride + block * params.pixels_in;
    let row = table[pixel / params.width_out];
    let column = table[params.height_out + pixel % params.width_out];
    let top = base + u32(row.x) * params.width_in;
    let left = u32(column.x);
#if BILINEAR
    let bottom = base + u32(row.y) * params.width_in;
    let right = u32(column.y);
    let above = blend(unpack(input[top + left]), unpack(input[top + right]), column.z);
    let below = blend(unpack(input[bottom + left]), unpack(input[bottom + right]), column.z);
    var value = blend(above, below, row.z);
#else
    var value = unpack(input[top + left]);
#endif
#if PRODUCT
    value *= unpack(other[params.other_offset + n * params.other_stride + block * pixels_out + pixel]);
#endif
    output[params.output_offset + n * params.output_stride + block * pixels_out + pixel] = pack(value);
}
